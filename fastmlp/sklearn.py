"""scikit-learn's MLPClassifier and MLPRegressor with fastmlp's engine: the same models, sooner, with more choice.

scikit-learn itself decides what its parameters mean, checks data, draws random numbers and says when to stop. Replaced
is what costs time: the steps of an epoch, the gradient that L-BFGS asks for, and prediction. Needs the extra
``fastmlp[sklearn]``; nothing else in fastmlp imports this module.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from numbers import Real
from operator import is_
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastmlp import _core, kernels, losses
from fastmlp._names import ACTIVATIONS, NO_DERIVATIVE
from fastmlp.initialization import INITS, draw_weights
from fastmlp.mlp import MLP
from fastmlp.optimizers import SGD, Adam, AdamW, Lion, Optimizer, RMSprop
from fastmlp.regularization import Regularization

try:
    from scipy.sparse import issparse
    from sklearn import neural_network
    from sklearn.base import is_classifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, BaseOptimizer, SGDOptimizer
    from sklearn.utils import check_random_state
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.validation import _check_sample_weight, validate_data
except ImportError as error:
    raise ImportError("fastmlp.sklearn needs scikit-learn 1.9 or newer: pip install 'fastmlp[sklearn]'") from error

__all__ = ["MLPClassifier", "MLPRegressor"]

PIECE = 2**22  # numbers of a sparse X that are made dense at a time


# ---- what scikit-learn does otherwise than fastmlp ----


@dataclass(frozen=True)
class _SGD(SGD):
    def __post_init__(self) -> None:
        """A momentum of 1 is allowed; the estimator's constraints have checked the rest."""


@dataclass(frozen=True)
class _Adam(Adam):
    bias_corrected_epsilon: ClassVar[bool] = False


@dataclass(frozen=True)
class _Penalty(Regularization):
    per_batch: ClassVar[bool] = True


@dataclass(frozen=True)
class _SoftmaxCrossEntropy(losses.SoftmaxCrossEntropy):
    clips: ClassVar[bool] = True


@dataclass(frozen=True)
class _BinaryCrossEntropy(losses.BinaryCrossEntropy):
    clips: ClassVar[bool] = True


@dataclass(frozen=True)
class _SquaredError(losses.SquaredError):
    averages: ClassVar[bool] = True


def _pieces(X: Any, rows: int = 1) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Slices with their rows of X: a dense X at once, a sparse one by multiples of `rows` that fit in memory."""
    if not issparse(X):
        yield slice(None), X
        return
    step = max(1, PIECE // (rows * X.shape[1])) * rows
    for start in range(0, X.shape[0], step):
        some = slice(start, start + step)
        yield some, X[some].toarray()


def _rows(X: Any, dtype: np.dtype[Any]) -> Any:
    """X as the engine reads it: dense, but for a sparse one (by rows) of more than a piece."""
    if issparse(X):
        if X.shape[0] * X.shape[1] > PIECE:
            return X.tocsr().astype(dtype)
        X = X.toarray()
    return np.ascontiguousarray(X, dtype)


class _Estimator(BaseMultilayerPerceptron):  # type: ignore[misc]
    """What both estimators share.

    After fit, coefs_ and intercepts_ are views of a network's parameters (_live). A user may put other arrays there:
    these are copied into a second network (_spare) whenever outputs are wanted, as nobody tells when they change.
    """

    # ---- networks ----

    def _activations(self) -> list[str]:
        """The engine's name of each hidden layer's activation."""
        given, layers = self.activation, len(self.coefs_) - 1
        names = [given] * layers if isinstance(given, str) else list(given)
        if len(names) != layers:
            raise ValueError(f"activation is {given!r}; it must be one name, or one per hidden layer ({layers} here)")
        return ["sigmoid" if name == "logistic" else name for name in names]

    def _objective(self) -> losses.Loss:
        raise NotImplementedError

    def _build(self, dtype: np.dtype[Any], **settings: Any) -> MLP:
        sizes = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        return MLP(sizes, self._activations(), self._objective(), dtype=dtype, init="zeros", **settings)

    def _fill(self, net: MLP) -> None:
        for W, b, coef, intercept in zip(net.weights, net.biases, self.coefs_, self.intercepts_, strict=True):
            W.T[:], b[:] = coef, intercept  # type: ignore[index]

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
        self._fill(net)
        return net

    def _adopt(self) -> MLP:
        """Make coefs_ and intercepts_ views of the live network, which goes on with its optimizer's state."""
        before = self.__dict__.get("_live")
        if self._is_live():
            net: MLP = before[0]
            return net
        net = self._build(self._dtype(), dropout=self.dropout, seed=self.__dict__.get("_seed", 0))
        self._fill(net)
        if before is not None and before[0].sizes == net.sizes and before[0].dtype == net.dtype:
            net.set_optimizer_state(before[0].optimizer_state())
        self.coefs_, self.intercepts_ = [W.T for W in net.weights], list(net.biases)
        self._live = (net, (*self.coefs_, *self.intercepts_), self.activation)
        self.__dict__.pop("_spare", None)
        return net

    def _dtype(self, *others: Any) -> np.dtype[Any]:
        """What scikit-learn would compute in, with these parameters and others' dtypes."""
        dtype = np.result_type(*self.coefs_, *others)
        return dtype if dtype in ("f4", "f8") else np.dtype("f8")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        state.pop("_spare", None)
        if "_live" in state:
            state["_live"] = state["_live"][0].optimizer_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        live = state.get("_live")
        super().__setstate__({name: value for name, value in state.items() if name != "_live"})
        if live is not None:
            self._adopt().set_optimizer_state(live)

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
        """The last layer's activation, in place."""
        kind = self.out_activation_
        if kind == "softmax":
            kernels.softmax(z, out=z)
        elif kind == "logistic":
            kernels.sigmoid(z, out=z)
        elif kind == "exp":
            np.exp(z, out=z)
        return z

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> NDArray[Any]:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        dtype = self._dtype(X.dtype)
        net, X = self._network(dtype), _rows(X, dtype)
        return self._activated(np.concatenate([net(rows) for _, rows in _pieces(X)]) if issparse(X) else net(X))

    # ---- training ----

    def _initialize(self, y: NDArray[Any], layer_units: list[int], dtype: np.dtype[Any]) -> None:
        self.n_iter_, self.t_ = 0, 0
        self.n_outputs_, self.n_layers_ = y.shape[1], len(layer_units)
        self.out_activation_ = self._out_activation()
        layers = [self._init_coef(*units, dtype) for units in pairwise(layer_units)]
        self.coefs_, self.intercepts_ = map(list, zip(*layers, strict=True))
        self.__dict__.pop("_live", None)
        activations = self._activations()
        if self.init != "auto" or np.any(self.dropout):  # else scikit-learn's random numbers stay in step
            self._seed = self._random_state.randint(2**31)
        if self.init != "auto":
            for i, (coef, name) in enumerate(zip(self.coefs_, [*activations, "identity"], strict=True)):
                draw_weights(coef.T, self.init, name, self._seed, i)
                self.intercepts_[i][:] = 0
        if self.early_stopping:
            self._best_coefs = [coef.copy() for coef in self.coefs_]
            self._best_intercepts = [intercept.copy() for intercept in self.intercepts_]
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = bool(self.early_stopping)
            self.validation_scores_ = [] if early else None
            self.best_validation_score_ = -np.inf if early else None
            self.best_loss_ = None if early else np.inf

    def _out_activation(self) -> str:
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._weighted(y, sample_weight, incremental)
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialize(y, [X.shape[1], *hidden, self.n_outputs_], X.dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, y, sample_weight)
        else:
            self._fit_stochastic(X, y, sample_weight, incremental)
        if not all(np.isfinite(w).all() for w in chain(self.coefs_, self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _weighted(self, y: NDArray[Any], sample_weight: Any, incremental: bool) -> Any:
        """sample_weight with the weights of the classes in it."""
        return sample_weight

    def _targets(self, y: NDArray[Any], net: MLP) -> NDArray[Any]:
        """y (B, O) as the engine takes it; what it takes already stays."""
        if net.loss in losses.CLASSES:
            return y.argmax(axis=1) if y.ndim == 2 else y
        if net.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y has the value {y.min()}; loss='poisson' needs numbers of at least 0")
        return np.ascontiguousarray(y, net.dtype)

    def _fit_lbfgs(self, X: Any, y: NDArray[Any], sample_weight: Any, *_: Any) -> None:
        given = {"dropout": 0.0, "max_norm": None, "clip_norm": None, "ema": None}
        for name, default in given.items():
            if getattr(self, name) != default:
                raise ValueError(f"{name} is {getattr(self, name)!r}; solver='lbfgs' cannot have it")
        units = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        net = self._network(self._dtype(X.dtype))
        super()._fit_lbfgs(_rows(X, net.dtype), self._targets(y, net), sample_weight, None, None, None, None, units)
        self._adopt()  # SciPy leaves float64 whatever the dtype of X

    def _backprop(self, X: Any, y: NDArray[Any], sample_weight: Any, *_: Any) -> tuple[float, Any, Any]:
        """The penalised loss over all rows, and its gradient, for L-BFGS."""
        net = self._network(self._dtype(X.dtype))
        y, X = self._targets(y, net), _rows(X, net.dtype)
        weights = None if sample_weight is None else np.ascontiguousarray(sample_weight, net.dtype)
        total = X.shape[0] if weights is None else weights.sum()
        loss, gradient = 0.0, np.zeros_like(net.params)
        for some, rows in _pieces(X):
            some_weights = None if weights is None else weights[some]
            share = (len(rows) if some_weights is None else some_weights.sum()) / total
            loss += share * net._gradient((rows,), y[some], weights=some_weights)
            gradient += share * net.grads
        views = net._views(gradient)
        for W, (dW, _b) in zip(net.weights, views, strict=True):
            loss += (0.5 * self.alpha * np.vdot(W, W) + self.l1 * np.abs(W).sum()) / total
            dW += (self.alpha * W + self.l1 * np.sign(W)) / total
        return loss, [dW.T for dW, _ in views], [db for _, db in views]

    def _rule(self) -> tuple[Any, Optimizer]:
        """What keeps the learning rate from epoch to epoch, as scikit-learn has it, and the engine's optimizer."""
        rate, more = self.learning_rate_init, {"clip_norm": self.clip_norm, "ema": self.ema}
        betas = (self.beta_1, self.beta_2)
        match self.solver:
            case "sgd":
                momentum = (self.momentum, self.nesterovs_momentum)
                keeper = SGDOptimizer([], rate, self.learning_rate, *momentum, self.power_t)
                return keeper, _SGD(rate, *momentum, **more)
            case "adam":
                return AdamOptimizer([], rate, *betas, self.epsilon), _Adam(rate, *betas, self.epsilon, **more)
            case "adamw":
                return BaseOptimizer(rate), AdamW(rate, *betas, self.epsilon, **more)
            case "rmsprop":
                return BaseOptimizer(rate), RMSprop(rate, epsilon=self.epsilon, **more)
            case "lion":
                return BaseOptimizer(rate), Lion(rate, *betas, **more)
        return BaseOptimizer(self.solver.learning_rate), replace(self.solver, **{k: v for k, v in more.items() if v})

    def _fit_stochastic(self, X: Any, y: NDArray[Any], sample_weight: Any, incremental: bool, *_: Any) -> None:
        net = self._adopt()
        if not incremental or not hasattr(self, "_optimizer"):
            net.reset_optimizer()
            self._optimizer, self._steps_by = self._rule()
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        training, validation = (X, y, sample_weight), (None, None, None)
        if self.early_stopping:
            training, validation = self._split(*training)
        X, y, weights = training
        X, y = _rows(X, net.dtype), self._targets(y, net)
        weights = None if weights is None else np.ascontiguousarray(weights, net.dtype)
        rows = len(y)
        batch_size = min(200, rows) if self.batch_size == "auto" else self.batch_size
        if batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
            batch_size = rows
        order = np.arange(rows, dtype=np.uint32) if self.shuffle else None
        self.n_iter_ = 0
        try:
            with net._turn():
                for _epoch in range(1 if incremental else self.max_iter):
                    if order is not None:  # the numbers that sklearn.utils.shuffle would draw
                        order = order[self._random_state.permutation(rows)]
                    self.loss_ = self._epoch(net, X, y, weights, order, batch_size)
                    self.n_iter_ += 1
                    self.t_ += rows
                    self.loss_curve_.append(self.loss_)
                    if self.verbose:
                        print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                    self._update_no_improvement_count(bool(self.early_stopping), *validation)
                    self._optimizer.iteration_ends(self.t_)
                    if self._no_improvement_count > self.n_iter_no_change and self._ends():
                        break
                    if self.n_iter_ == self.max_iter and not incremental:
                        warnings.warn(
                            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                            "hasn't converged yet.",
                            ConvergenceWarning,
                            stacklevel=4,
                        )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if self.early_stopping:
            for now, best in zip(net.weights, self._best_coefs, strict=True):
                now.T[:] = best
            for now, best in zip(net.biases, self._best_intercepts, strict=True):
                now[:] = best
            self._best_coefs, self._best_intercepts = (
                self.coefs_,
                self.intercepts_,
            )  # as in scikit-learn, the same arrays

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
        if is_classifier(self):
            validation[1] = self._label_binarizer.inverse_transform(validation[1])
        rest = [None] * (3 - len(given))
        return (*training, *rest), (*validation, *rest)

    def _epoch(self, net: MLP, X: Any, y: Any, weights: Any, order: Any, batch_size: int) -> float:
        """One epoch's steps; the mean of their losses. Parameters that diverge become NaN, as scikit-learn's do."""
        if weights is not None:
            ordered = weights if order is None else weights[order]
            if not np.add.reduceat(ordered, np.arange(0, len(ordered), batch_size)).all():
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        penalty = _Penalty(self.l1, self.alpha, self.max_norm)
        optimizer = replace(self._steps_by, learning_rate=self._optimizer.learning_rate)
        total = 0.0
        try:
            if not issparse(X):
                total = net._train((X,), y, order, batch_size, optimizer, weights=weights, regularization=penalty)
                return total / len(y)
            if order is not None:
                X, y, weights = X[order], y[order], None if weights is None else weights[order]
            for some, rows in _pieces(X, batch_size):
                total = net._train(
                    (rows,), y[some], None, batch_size, optimizer, loss=total,
                    weights=None if weights is None else weights[some], regularization=penalty,
                )  # fmt: skip
        except FloatingPointError:
            net.params = np.nan
            return float("nan")
        return total / len(y)

    def _ends(self) -> bool:
        """Whether there's nothing more to hope for; else the learning rate has become smaller."""
        what = "Validation score" if self.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        if self._optimizer.trigger_stopping(message, self.verbose):
            return True
        self._no_improvement_count = 0
        return False


_CONSTRAINTS: dict[str, list[Any]] = {
    **BaseMultilayerPerceptron._parameter_constraints,
    "activation": [StrOptions({"logistic", *ACTIVATIONS} - set(NO_DERIVATIVE)), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam", "adamw", "rmsprop", "lion"}), Optimizer],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "l1": [Interval(Real, 0, None, closed="left")],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "ema": [Interval(Real, 0, 1, closed="left"), None],
    "init": [StrOptions(set(INITS))],
}


def _keep(estimator: Any, given: dict[str, Any]) -> None:
    """Set the parameters of __init__, whose locals are given, as scikit-learn wants them: untouched."""
    vars(estimator).update({name: given[name] for name in estimator._get_param_names()})


class MLPClassifier(_Estimator, neural_network.MLPClassifier):  # type: ignore[misc]
    """x"""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_CONSTRAINTS,
        "loss": [StrOptions({"log_loss", "focal"}), losses.Loss],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: Any = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        dropout: Any = 0.0,
        l1: float = 0.0,
        max_norm: float | None = None,
        clip_norm: float | None = None,
        ema: float | None = None,
        init: str = "auto",
    ) -> None:
        _keep(self, locals())

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _objective(self) -> losses.Loss:
        loss = self.loss
        focal = loss == "focal" or isinstance(loss, losses.Focal | losses.BinaryFocal)
        kinds = (losses.Focal, losses.BinaryFocal) if focal else (_SoftmaxCrossEntropy, _BinaryCrossEntropy)
        setting = [loss.parameter] if isinstance(loss, losses.Loss) else [] if focal else [self.label_smoothing]
        return kinds[self.out_activation_ == "logistic"](*setting)

    def _weighted(self, y: NDArray[Any], sample_weight: Any, incremental: bool) -> Any:
        if self.class_weight is None:
            return sample_weight
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(f"class_weight is {self.class_weight!r}; with several labels a row there can be none")
        if incremental and self.class_weight == "balanced":
            raise ValueError("class_weight is 'balanced', which partial_fit cannot know; give a dict")
        codes = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(int)
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_[codes], sample_weight=sample_weight
        )
        return of_class[codes] if sample_weight is None else of_class[codes] * sample_weight

    def predict(self, X: Any) -> NDArray[Any]:
        """Classes."""
        outputs = self._quick_outputs(X)
        if outputs is None:
            result: NDArray[Any] = super().predict(X)
        elif self.out_activation_ == "softmax":
            result = self.classes_[outputs.argmax(axis=1)]
        elif self.n_outputs_ == 1 and len(self.classes_) == 2:
            result = self.classes_[(outputs[:, 0] > 0.5).astype(int)]
        else:
            result = self._label_binarizer.inverse_transform(outputs)
        return result

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities."""
        outputs = self._quick_outputs(X)
        if outputs is None:
            result: NDArray[Any] = super().predict_proba(X)
            return result
        return outputs if self.n_outputs_ > 1 else np.concatenate((1 - outputs, outputs), axis=1)


class MLPRegressor(_Estimator, neural_network.MLPRegressor):  # type: ignore[misc]
    """x"""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_CONSTRAINTS,
        "loss": [
            StrOptions({"squared_error", "poisson", "absolute_error", "huber", "quantile"}),
            losses.Loss,
        ],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: Any = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        l1: float = 0.0,
        max_norm: float | None = None,
        clip_norm: float | None = None,
        ema: float | None = None,
        init: str = "auto",
    ) -> None:
        _keep(self, locals())

    def _out_activation(self) -> str:
        return "exp" if self._objective().name == "poisson" else "identity"

    def _objective(self) -> losses.Loss:
        objective = losses.loss_of(self.loss)
        return _SquaredError() if objective.name == "squared_error" else objective

    def predict(self, X: Any) -> NDArray[Any]:
        """Values."""
        outputs = self._quick_outputs(X)
        if outputs is None:
            result: NDArray[Any] = super().predict(X)
            return result
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs
