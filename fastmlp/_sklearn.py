"""What fastmlp's two estimators for scikit-learn share; sklearn.py has the classes and says what parameters mean.

scikit-learn itself checks data, draws random numbers and says when to stop. Replaced is what costs time: the steps of
an epoch, the gradient that L-BFGS asks for, and prediction.
"""

import contextlib
import warnings
from dataclasses import replace
from itertools import chain, pairwise
from numbers import Integral
from operator import is_
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, BaseOptimizer, SGDOptimizer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError, StrOptions
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastmlp import _arrays, _core, kernels, losses
from fastmlp._names import ACTIVATIONS, NO_DERIVATIVE, nearest
from fastmlp._sklearn_epochs import Judge, Passes, Tasks, pieces, rows_of
from fastmlp.callbacks import EarlyStopping, check_callbacks
from fastmlp.history import History
from fastmlp.initialization import draw_weights
from fastmlp.mlp import MLP
from fastmlp.network import per_layer
from fastmlp.optimizers import SGD, Adam, AdamW, Lion, RMSprop, engine_settings
from fastmlp.regularization import Regularization
from fastmlp.schedules import BY_NAME as SCHEDULES
from fastmlp.schedules import schedule_of

if TYPE_CHECKING:
    from fastmlp.range_test import RangeTest

FLOAT32_ROWS = 1024  # whose gradients are summed in float32, the sums in float64: L-BFGS looks at all rows at once
ENGINE_NAMES = {"logistic": "sigmoid"}
HIDDEN_ACTIVATIONS = ("logistic", *(name for name in ACTIVATIONS if name not in NO_DERIVATIVE))

# ---- what scikit-learn does otherwise than fastmlp ----


class SklearnSGD(SGD):
    """Momentum may be 1."""

    def __post_init__(self) -> None:
        """The estimator's constraints have checked the rest."""

    @classmethod
    def _public(cls) -> type[SGD]:
        return SGD


class SklearnAdam(Adam):
    """Epsilon has no bias correction."""

    bias_corrected_epsilon: ClassVar[bool] = False

    @classmethod
    def _public(cls) -> type[Adam]:
        return Adam


class Estimator(CallbackSupportMixin, BaseMultilayerPerceptron):
    """What both estimators share.

    After fit, coefs_ and intercepts_ are views of a network's parameters (_live). A user may put other arrays there:
    these are copied into a second network (_spare) whenever outputs are wanted, as nobody tells when they change.
    """

    coefs_: Any
    intercepts_: Any
    loss_: Any
    validation_scores_: Any
    _applied = "identity"  # the activation that the network itself applies to its outputs
    _live: Any  # (network, its views, and the parameters that it was built by: activation, (dropout, loss))
    _spare: Any  # (network, the key that it was built for), or None

    # ---- networks ----

    def _units(self) -> list[int]:
        """Inputs, hidden units and outputs of the parameters that are there."""
        return [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]

    def _activations(self) -> list[str]:
        """The engine's name of each hidden layer's activation."""
        names = per_layer(self.activation, len(self.coefs_) - 1, "hidden", HIDDEN_ACTIVATIONS)
        return [ENGINE_NAMES.get(name, name) for name in names]

    def _output_activation(self) -> str:
        """What the network itself applies to its outputs: nothing where the loss takes logits."""
        return "identity"

    def _objective(self) -> losses.Loss:
        raise NotImplementedError

    def _build(self, dtype: np.dtype[Any], **settings: Any) -> MLP:
        net = MLP(
            self._units(), self._activations(), self._objective(), self._applied, dtype=dtype, init="zeros", **settings
        )
        net._train_as_scikit_learn()
        return net

    def _take(self, net: MLP, coefs: list[NDArray[Any]], intercepts: list[NDArray[Any]]) -> None:
        """Copy weights and biases into a network."""
        for i, (W, b, coef, intercept) in enumerate(zip(net.weights, net.biases, coefs, intercepts, strict=True)):
            assert b is not None
            for name, a, wanted in (("coefs_", coef, W.T.shape), ("intercepts_", intercept, b.shape)):
                if a.shape != wanted:
                    raise ValueError(f"{name}[{i}] has shape {a.shape}; beside the others it must be {wanted}")
            W.T[:], b[:] = coef, intercept

    def _is_live(self) -> bool:
        """Whether the parameters are where the live network has them."""
        live = self.__dict__.get("_live")
        if live is None or live[2] != self.activation or len(live[1]) != 2 * len(self.coefs_):
            return False
        return all(map(is_, live[1], chain(self.coefs_, self.intercepts_)))

    def _network(self, dtype: np.dtype[Any]) -> MLP:
        """A network of that dtype with the parameters as they are."""
        if self._is_live() and self._live[0].dtype == dtype:
            net: MLP = self._live[0]
            return net
        key = (dtype, self.activation, [coef.shape for coef in self.coefs_])
        spare = self.__dict__.get("_spare")
        if spare is None or spare[1] != key:
            spare = self._spare = (self._build(dtype), key)
        net = spare[0]
        self._take(net, self.coefs_, self.intercepts_)
        return net

    def _adopt(self, state: dict[str, Any] | None = None) -> MLP:
        """Make coefs_ and intercepts_ views of a live network for training, which goes on with an optimizer's state."""
        settings = (self.dropout, self._objective())
        if self._is_live():
            net: MLP = self._live[0]
            if self._live[3] == settings:
                return net
        net = self._build(self._dtype(), dropout=self.dropout, seed=self.__dict__.get("_seed", 0))
        self._take(net, self.coefs_, self.intercepts_)
        if state is None and "_live" in self.__dict__ and self._live[0].sizes == net.sizes:
            state = self._live[0].optimizer_state()
            state["slots"] = [self._like(net, self._live[0]._views(slot)) for slot in state["slots"]]
        if state and all(slot.shape == net.params.shape and slot.dtype == net.dtype for slot in state["slots"]):
            net.set_optimizer_state(state)
        for best, name, views in (
            ("_best_coefs", "coefs_", [W.T for W in net.weights]),
            ("_best_intercepts", "intercepts_", list(net.biases)),
        ):
            if self.__dict__.get(best) is getattr(self, name):  # as early stopping leaves them
                setattr(self, best, views)
            setattr(self, name, views)
        self._live = (net, (*self.coefs_, *self.intercepts_), self.activation, settings)
        self._spare = None
        return net

    def _like(self, net: MLP, views: list[tuple[Any, Any]]) -> NDArray[Any]:
        """A buffer laid out as the parameters of net, of its dtype, from views of weights and biases."""
        flat = np.zeros_like(net.params)
        for (W, b), (W_given, b_given) in zip(net._views(flat), views, strict=True):
            assert b is not None
            W[:], b[:] = W_given, b_given
        return flat

    def _dtype(self, *others: Any) -> np.dtype[Any]:
        """What scikit-learn would compute in, with these parameters and others' dtypes."""
        dtype = np.result_type(*self.coefs_, *others)
        return dtype if dtype in ("f4", "f8") else np.dtype("f8")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        if "_spare" in state:
            state["_spare"] = None
        if "_live" in state:
            state["_live"] = state["_live"][0].optimizer_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        live = state.get("_live")
        super().__setstate__({name: value for name, value in state.items() if name != "_live"})
        if live is not None:
            with contextlib.suppress(TypeError, ValueError):  # parameters for the next fit, which are refused there
                self._adopt(live)

    # ---- prediction ----

    def _quick_outputs(self, X: Any) -> NDArray[Any] | None:
        """_forward_pass_fast of a plain array that needs none of scikit-learn's checks; of anything else None."""
        if not _core.float_size(X) or X.ndim != 2 or not self._is_live() or "feature_names_in_" in self.__dict__:
            return None
        net: MLP = self._live[0]
        if X.dtype != net.dtype or X.shape[1] != net.sizes[0] or not len(X) or _core.first_not_finite(X) < X.size:
            return None
        return self._activated(net(X))

    def _activated(self, z: NDArray[Any]) -> NDArray[Any]:
        """The last layer's activation, in place, unless the network has applied it."""
        kind = self.out_activation_ if self._applied == "identity" else ""
        if kind == "softmax":
            kernels.softmax(z, out=z)
        elif kind == "logistic":
            kernels.sigmoid(z, out=z)
        elif kind == "exp":
            kernels.exp(z, out=z)
        return z

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> NDArray[Any]:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        dtype = self._dtype(X.dtype)
        net, X = self._network(dtype), rows_of(X, dtype)
        return self._activated(np.concatenate([net(rows) for _, rows in pieces(X)]) if issparse(X) else net(X))

    # ---- training ----

    def _initialize(self, layer_units: list[int], dtype: np.dtype[Any]) -> None:
        self.out_activation_, self._applied = self._out_activation(), self._output_activation()
        self.n_iter_, self.t_ = 0, 0
        self.n_outputs_, self.n_layers_ = layer_units[-1], len(layer_units)
        layers = [self._init_coef(*units, dtype) for units in pairwise(layer_units)]
        self.coefs_, self.intercepts_ = map(list, zip(*layers, strict=True))
        names = [*self._activations(), self._applied]
        if self.init != "auto" or np.any(self.dropout):  # else scikit-learn's random numbers stay in step
            self._seed = self._random_state.randint(2**31)
        if self.init != "auto":
            for i, (coef, intercept) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
                draw_weights(coef.T, self.init, names[i], self._seed, i)
                intercept[:] = 0
        if self._kind_of_stopping() == "score":
            self._begin_best()
        if self.solver == "lbfgs":
            self.__dict__.pop("history_", None)  # of a model that is gone
            return
        self.loss_curve_: list[float] = []
        self.history_ = History(self.loss_curve_)
        self._begin_criterion()

    def _kind_of_stopping(self) -> str:
        if isinstance(self.early_stopping, EarlyStopping):
            return "object"
        return "score" if self.early_stopping else "loss"

    def _begin_best(self) -> None:
        """The best parameters that early stopping has seen are those that are there."""
        self._best_coefs = [coef.copy() for coef in self.coefs_]
        self._best_intercepts = [intercept.copy() for intercept in self.intercepts_]

    def _begin_criterion(self) -> None:
        """What says when to stop has seen nothing yet."""
        early = bool(self.early_stopping)
        self._criterion, self._no_improvement_count = self._kind_of_stopping(), 0
        self.validation_scores_ = [] if early else None
        self.best_validation_score_ = -np.inf if early else None
        self.best_loss_ = None if early else np.inf

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False, validation_data: Any = None
    ) -> Any:
        if live := self.__dict__.get("_live"):
            with live[0]._turn():  # refuses a fit by a callback, or another thread, of one that is under way
                pass
        given, kept = (X, y, sample_weight), self.__dict__.copy()
        try:
            X, y, sample_weight = self._begin(X, y, sample_weight, incremental, validation_data)
            ready = None if self.solver == "lbfgs" else self._prepare(X, y, sample_weight, incremental, validation_data)
        except BaseException:
            self.__dict__ = kept  # what is refused leaves the model that was there
            raise
        tasks = Tasks(self, *given, incremental)
        if ready is None:
            self._fit_lbfgs(X, y, sample_weight)
        else:
            self._fit_stochastic(*ready, incremental, tasks)
        tasks.end()
        if not all(np.isfinite(w).all() for w in chain(self.coefs_, self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, validation_data: Any
    ) -> tuple[Any, Any, Any]:
        """X, y (B, O) and the weights of the rows, checked, and a new model unless this goes on with one."""
        hidden = self._hidden()
        self._refuse_combinations(validation_data)
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        y = y.reshape(len(y), -1)
        sample_weight = self._weighted(y, sample_weight, incremental)
        if not first:
            self._check_goes_on([X.shape[1], *hidden, y.shape[1]])
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialize([X.shape[1], *hidden, y.shape[1]], X.dtype)
        return X, y, sample_weight

    def _refuse_combinations(self, validation_data: Any) -> None:
        """ValueError for parameters that do not go together."""
        scheduled, watched = self._schedule() is not None, isinstance(self.early_stopping, EarlyStopping)
        if watched and not scheduled and (self.solver, self.learning_rate) == ("sgd", "adaptive"):
            raise ValueError(
                "learning_rate is 'adaptive', which goes by scikit-learn's own criterion, not by an EarlyStopping; "
                "'reduce_on_plateau' goes with it"
            )
        if self.solver != "lbfgs":
            return
        asked = {name: getattr(self, name) for name in ("dropout", "max_norm", "clip_norm", "ema", "callbacks")}
        asked |= {"validation_data": validation_data is not None, "early_stopping": watched, "learning_rate": scheduled}
        for name, value in asked.items():
            if value is not None and np.any(value):
                raise ValueError(f"solver='lbfgs' has no steps to which {name} could apply; it must be left out")

    def _hidden(self) -> list[int]:
        """The units of each hidden layer."""
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") and np.ndim(hidden) else [hidden]
        if not all(isinstance(units, Integral) and not isinstance(units, bool) for units in hidden):
            raise ValueError(f"hidden_layer_sizes is {self.hidden_layer_sizes!r}; it must be whole numbers of units")
        hidden = [int(units) for units in hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        return hidden

    def find_learning_rate(
        self, X: Any, y: Any, *, low: float = 1e-7, high: float = 1.0, steps: int = 100
    ) -> "RangeTest":
        """A learning-rate range test (Smith 2017) of a new model with these parameters; this one stays as it is.

        Parameters
        ----------
        X, y : array_like
            As for fit; a sparse X is made dense, so of a large one some rows are enough.
        low, high : float, default 1e-7 and 1
            The first and the last rate; between them each is the same multiple of the one before.
        steps : int, default 100
            Fewer are done if the loss is about to diverge.

        Returns
        -------
        RangeTest
            With ``rates``, ``losses``, ``suggestion`` and ``plot()``.

        Raises
        ------
        ValueError
            As fit does, and for rates and steps out of range, or solver="lbfgs".

        Examples
        --------
        >>> from fastmlp import digits
        >>> from fastmlp.sklearn import MLPClassifier
        >>> X, y = digits.load()
        >>> found = MLPClassifier(random_state=0).find_learning_rate(X, y)
        >>> 1e-4 < found.suggestion < 1e-1
        True
        """
        from fastmlp.range_test import range_test  # for those who ask

        if self.solver == "lbfgs":
            raise ValueError("solver is 'lbfgs', which has no learning rate to find")
        trial = clone(self)
        trial._validate_params()
        X, y = trial._validate_input(X, y, False, reset=True)
        y = y.reshape(len(y), -1)
        trial._random_state = check_random_state(trial.random_state)
        trial._initialize([X.shape[1], *trial._hidden(), y.shape[1]], X.dtype)
        net = trial._adopt()
        rows = np.ascontiguousarray(X.toarray() if issparse(X) else X, net.dtype)
        weights = trial._weighted(y, None, False)
        passing = {
            "weights": None if weights is None else np.ascontiguousarray(weights, net.dtype),
            "regularization": trial._penalty(),
        }
        data = (rows,), trial._targets(y, net)
        return range_test(net, data, trial._batch_rows(len(y)), low, high, steps, trial._rule()[1], passing)

    def _check_goes_on(self, wanted: list[int]) -> None:
        """ValueError unless the network that is there has the layers that are wanted, and outputs for the loss."""
        units = self._units()
        if units != wanted:
            raise ValueError(
                f"X, hidden_layer_sizes and y are of a network of {wanted} units, but the one to go on with has {units}"
            )
        now = self._output_activation(), self._out_activation()
        same_link = self._applied != "identity" or now[1] == self.out_activation_  # what predict makes of logits
        if now[0] != self._applied or not same_link:
            output = getattr(self, "output_activation", "identity")
            beside = "" if output == "identity" else f" and output_activation {output!r}"
            raise ValueError(
                f"loss is {self.loss!r}{beside}, for outputs that are {now[1]}, but the network to go on with was "
                f"trained for outputs that are {self.out_activation_}; fit it anew, with warm_start=False"
            )

    def _out_activation(self) -> str:
        raise NotImplementedError

    def _validate_params(self) -> None:
        """As in scikit-learn, but the message suggests the nearest of the names."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            for name, value in self.get_params(deep=False).items():
                allowed = [c for c in self._parameter_constraints.get(name, ()) if isinstance(c, StrOptions)]
                hint = nearest(value, sorted(allowed[0].options)) if allowed else ""
                if hint and value not in allowed[0].options and f"{name!r} parameter" in str(error):
                    raise InvalidParameterError(f"{error}{hint}") from None
            raise

    def _check_solver(self) -> bool:
        """Whether there is a partial_fit."""
        return self.solver != "lbfgs" or bool(super()._check_solver())

    def _weighted(self, y: NDArray[Any], sample_weight: Any, incremental: bool) -> Any:
        """sample_weight with the weights of the classes in it."""
        return sample_weight

    def _targets(self, y: NDArray[Any], net: MLP) -> NDArray[Any]:
        """y (B, O) as the engine takes it; what it takes already stays."""
        if net.loss in losses.CLASSES:
            return y.argmax(axis=1) if y.ndim == 2 else y
        if y.dtype.kind not in "fiub":
            raise TypeError(f"y has dtype {y.dtype}; it must hold real numbers")
        if net.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y has the value {y.min()}; loss='poisson' needs numbers of at least 0")
        return _arrays.floats(y, net.dtype, "y")

    # ---- training by L-BFGS ----

    def _fit_lbfgs(self, X: Any, y: NDArray[Any], sample_weight: Any) -> None:
        net = self._build(self._dtype(X.dtype))  # not the one in which others predict meanwhile
        self._take(net, self.coefs_, self.intercepts_)
        # scikit-learn hands on its activations, in whose place the network is, and three buffers
        super()._fit_lbfgs(
            rows_of(X, net.dtype), self._targets(y, net), sample_weight, net, None, None, None, list(net.sizes)
        )
        self._adopt()  # SciPy leaves float64 whatever the dtype of X

    def _backprop(self, X: Any, y: NDArray[Any], sample_weight: Any, net: MLP, *_: Any) -> tuple[float, Any, Any]:
        """The penalised loss over all rows, and its gradient, for L-BFGS."""
        self._take(net, self.coefs_, self.intercepts_)
        weights = None if sample_weight is None else np.ascontiguousarray(sample_weight, net.dtype)
        total = X.shape[0] if weights is None else weights.sum(dtype="f8")
        alpha, l1 = float(self.alpha), float(self.l1)
        loss, gradient = 0.0, np.zeros(net.params.shape)
        for some, rows in pieces(X, most=FLOAT32_ROWS if net.dtype == np.float32 else None):
            some_weights = None if weights is None else weights[some]
            share = (len(rows) if some_weights is None else some_weights.sum(dtype="f8")) / total
            loss += share * net._gradient((rows,), y[some], weights=some_weights)
            gradient += share * net.grads
        views = net._views(gradient)
        for W, (dW, _b) in zip(net.weights, views, strict=True):
            loss += (0.5 * alpha * float(np.vdot(W, W)) + l1 * float(np.abs(W).sum())) / float(total)
            dW += (alpha * W + l1 * np.sign(W)) / total
        return np.float64(loss), [dW.T for dW, _ in views], [db for _, db in views]

    # ---- training by minibatches ----

    def _batch_rows(self, rows: int) -> int:
        """The rows of a step; scikit-learn does not always validate parameters."""
        return max(1, min(200 if self.batch_size == "auto" else int(self.batch_size), rows))

    def _penalty(self) -> Regularization:
        return Regularization(float(self.l1), float(self.alpha), self.max_norm)

    def _schedule(self) -> Any:
        """What says the learning rates of all steps, or None where that is one of scikit-learn's own ways."""
        given = self.learning_rate
        if isinstance(given, type):
            raise ValueError(f"learning_rate is {given!r}; it must be an object of that class, not the class")
        if not isinstance(given, str):
            return given
        rate = float(self.learning_rate_init) if isinstance(self.solver, str) else self.solver.learning_rate
        if given not in SCHEDULES:
            return None
        if hasattr(rate, "rates"):
            raise ValueError(f"learning_rate is {given!r}, but solver is {self.solver!r}, which has a schedule already")
        return schedule_of(given, rate)

    def _rule(self) -> tuple[Any, Any]:
        """What keeps the learning rate from epoch to epoch, as scikit-learn has it, and the engine's optimizer."""
        schedule, rate = self._schedule(), float(self.learning_rate_init)  # which True is too
        first = rate if schedule is None else schedule
        more = {"clip_norm": self.clip_norm, "ema": self.ema}
        betas, momentum = (float(self.beta_1), float(self.beta_2)), (self.momentum, self.nesterovs_momentum)
        epsilon = float(self.epsilon)
        match self.solver:
            case "sgd":
                how = self.learning_rate if schedule is None else "constant"
                return SGDOptimizer([], rate, how, *momentum, self.power_t), SklearnSGD(first, *momentum, **more)
            case "adam":
                return AdamOptimizer([], rate, *betas, epsilon), SklearnAdam(first, *betas, epsilon, **more)
            case "adamw":
                return BaseOptimizer(rate), AdamW(first, *betas, epsilon, **more)
            case "rmsprop":
                return BaseOptimizer(rate), RMSprop(first, epsilon=epsilon, **more)
            case "lion":
                return BaseOptimizer(rate), Lion(first, *betas, **more)
        given = {name: value for name, value in more.items() if value is not None}
        if schedule is not None:
            given["learning_rate"] = schedule
        optimizer = replace(self.solver, **given)
        return BaseOptimizer(0.0 if hasattr(optimizer.learning_rate, "rates") else optimizer.learning_rate), optimizer

    def _prepare(
        self, X: Any, y: NDArray[Any], sample_weight: Any, incremental: bool, validation_data: Any
    ) -> tuple[MLP, Judge, Passes, tuple[Any, ...]]:
        """What a training needs. Nothing of the network that is there has changed before all of it is checked."""
        if self.early_stopping and incremental:
            raise ValueError(f"partial_fit does not support early_stopping={self.early_stopping!r}")
        callbacks, net = check_callbacks(self.callbacks), self._adopt()
        anew = not incremental or not hasattr(self, "_optimizer")
        if anew:
            self._optimizer, self._steps_by = self._rule()
            engine_settings(self._steps_by, net.dtype)
        if self.__dict__.get("_criterion") != self._kind_of_stopping():
            self._begin_criterion()
            self._begin_best()
        if "history_" not in self.__dict__:  # parameters set by hand, or found by L-BFGS
            self.loss_curve_ = self.__dict__.get("loss_curve_", [])
            self.history_ = History(self.loss_curve_)
        judge = Judge(self, net)
        if validation_data is not None:
            judge.take(*self._validation_rows(validation_data), for_history=True)
        elif self.early_stopping:
            (X, y, sample_weight), validation = self._split(X, y, sample_weight)
            judge.take(*validation)
        passes = Passes(
            self, net, X, y, sample_weight, [c.on_batch_end for c in callbacks if hasattr(c, "on_batch_end")]
        )
        if anew:
            net.reset_optimizer()
        if incremental:
            self._leave_average(net)
        return net, judge, passes, callbacks

    def _fit_stochastic(
        self, net: MLP, judge: Judge, passes: Passes, callbacks: tuple[Any, ...], incremental: bool, tasks: Tasks
    ) -> None:
        self.n_iter_ = 0
        scheduled = passes.scheduled
        try:
            with net._turn():
                for callback in callbacks:
                    callback.on_train_begin(net)
                for epoch in range(1 if incremental else self.max_iter):
                    tasks.begin_epoch()
                    start = perf_counter()
                    number = len(self.loss_curve_) if incremental else epoch
                    self.loss_ = np.float64(passes.run(number))
                    self.history_.seconds.append(perf_counter() - start)
                    self.n_iter_ += 1
                    self.t_ += passes.rows
                    self.loss_curve_.append(self.loss_)
                    if self.verbose:
                        print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                    judge.look()
                    self._optimizer.iteration_ends(self.t_)
                    asked = [callback.on_epoch_end(net, number, self.history_) for callback in callbacks]
                    if passes.broken_off or any([*asked, tasks.end_epoch(judge)]) or judge.ends():
                        break
                    if self.n_iter_ == self.max_iter and not (incremental or scheduled or judge.watch):
                        warnings.warn(
                            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                            "hasn't converged yet.",
                            ConvergenceWarning,
                            stacklevel=5,
                        )
                judge.conclude()
                for callback in callbacks:
                    callback.on_train_end(net)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
            judge.conclude()

    def _leave_average(self, net: MLP) -> None:
        """Go on from the parameters whose average the last call left; if others are there, average from those on."""
        trained, average = self.__dict__.pop("_trained", None), net._average
        if average is None:
            return
        if trained is not None and trained.shape == average.shape and np.array_equal(net.params, average):
            net.params = trained
        else:
            average[:] = net.params

    def _split(self, X: Any, y: NDArray[Any], sample_weight: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Rows to train on, and rows to validate with."""
        given = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(
            *given,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=y if is_classifier(self) and self.n_outputs_ == 1 else None,
        )
        training, validation = parts[::2], parts[1::2]
        if validation[0].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        rest = [None] * (3 - len(given))
        return (*training, *rest), (*validation, *rest)

    def _validation_rows(self, data: Any) -> tuple[Any, NDArray[Any]]:
        """validation_data checked, y as it is for training."""
        X, y = _arrays.pair(data, "validation_data")
        kinds: dict[str, Any] = {"accept_sparse": ["csr", "csc"], "dtype": (np.float64, np.float32)}
        kinds |= {"multi_output": True, "y_numeric": not is_classifier(self)}
        try:
            X, y = validate_data(self, X, y, reset=False, **kinds)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from None
        if is_classifier(self):
            unknown = np.setdiff1d(unique_labels(y), self.classes_)
            if len(unknown):
                raise ValueError(f"validation_data has the classes {unknown}, which y has not")
            if y.ndim == 1 and self._label_binarizer.y_type_.startswith("multilabel"):
                raise ValueError("validation_data has one class a row, and y several labels: it must have a matrix too")
            y = self._label_binarizer.transform(y).astype(bool)
        y = y.reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"validation_data has {y.shape[1]} targets a row, and y {self.n_outputs_}")
        return X, y
