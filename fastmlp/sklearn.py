"""MLPClassifier and MLPRegressor for scikit-learn, with fastmlp's engine: the same models sooner, and more choice.

One import is all that changes: with the same parameters, data and random_state the weights, losses and predictions are
those of scikit-learn 1.9, up to rounding. Needs the extra ``fastmlp[sklearn]``, and nothing else in fastmlp needs this.

>>> from fastmlp.sklearn import MLPClassifier
>>> MLPClassifier(hidden_layer_sizes=(64,), random_state=0)
MLPClassifier(hidden_layer_sizes=(64,), random_state=0)
"""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

try:
    from sklearn import neural_network
    from sklearn.base import _fit_context
    from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
    from sklearn.utils.class_weight import compute_class_weight
except ImportError as error:
    raise ImportError("fastmlp.sklearn needs scikit-learn 1.9 or newer: pip install 'fastmlp[sklearn]'") from error

from fastmlp import losses
from fastmlp._names import NOT_NEGATIVE, check_number
from fastmlp._sklearn import ENGINE_NAMES, HIDDEN_ACTIVATIONS, Estimator
from fastmlp.callbacks import Callback, EarlyStopping
from fastmlp.initialization import INITS
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import BY_NAME as SCHEDULES

__all__ = ["MLPClassifier", "MLPRegressor"]

_CONSTRAINTS: dict[str, list[Any]] = {
    **Estimator._parameter_constraints,
    "activation": [StrOptions(set(HIDDEN_ACTIVATIONS)), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam", "adamw", "rmsprop", "lion"}), Optimizer],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", *SCHEDULES}), HasMethods("rates")],
    "early_stopping": ["boolean", EarlyStopping],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "l1": [Interval(Real, 0, None, closed="left")],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "ema": [Interval(Real, 0, 1, closed="left"), None],
    "init": [StrOptions(set(INITS))],
    "callbacks": [Callback, list, tuple, None],
}


_CLASS_LOSSES = (losses.Focal, losses.BinaryFocal, losses.SoftmaxCrossEntropy, losses.BinaryCrossEntropy)
_VALUE_LOSSES = (losses.SquaredError, losses.Poisson, losses.AbsoluteError, losses.Huber, losses.Quantile)


def _keep(estimator: Any, given: dict[str, Any]) -> None:
    """Set the parameters of an __init__, whose locals are given: untouched, as scikit-learn wants them."""
    vars(estimator).update({name: value for name, value in given.items() if name != "self"})


class MLPClassifier(Estimator, neural_network.MLPClassifier):
    """A classifier with the parameters, attributes and methods of scikit-learn's MLPClassifier, and more.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str or sequence of str, default "relu"
        "identity", "logistic" (or "sigmoid"), "tanh", "relu"; also "leaky_relu", "elu", "gelu", "silu", "softplus",
        "exp". One for all hidden layers, or one per hidden layer.
    solver : str or optimizer, default "adam"
        "lbfgs", "sgd", "adam"; also "adamw", "rmsprop", "lion", or an optimizer object such as `fastmlp.RMSprop`, whose
        settings then count in place of learning_rate_init, momentum and betas.
    alpha : float, default 0.0001
        L2 penalty on the weights, divided by the rows of a step (or by the sum of their weights).
    batch_size : int, default "auto"
        Rows a step; "auto" is 200, or all if there are fewer.
    learning_rate : str or schedule, default "constant"
        For solver="sgd" also "invscaling" and "adaptive". For any solver but "lbfgs" a schedule: "step_decay",
        "cosine", "one_cycle" or "reduce_on_plateau" from learning_rate_init on, or an object such as `fastmlp.Cosine`,
        which has rates of its own.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
        The exponent of "invscaling".
    max_iter : int, default 200
        Epochs at most; iterations of "lbfgs".
    shuffle : bool, default True
    random_state : int, RandomState or None, default None
        Decides initial weights, validation rows, the order of rows and dropout.
    tol, n_iter_no_change : float, default 1e-4 and 10
        Training ends when for more than n_iter_no_change epochs the loss (the score, with early stopping) has not been
        better by tol.
    verbose : bool, default False
        Print a line an epoch.
    warm_start : bool, default False
        Whether fit goes on from the parameters of the last.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
        Both for solver="sgd".
    early_stopping : bool or EarlyStopping, default False
        Watch the score on rows set aside, or on validation_data, and end with the best parameters. An `EarlyStopping`
        says which metric it is, and how long to wait; to it all rows set aside count alike, whatever sample_weight.
    validation_fraction : float, default 0.1
        The share that is set aside.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        For solver="adam" and its kin.
    max_fun : int, default 15000
        The most evaluations that "lbfgs" may have.
    loss : str or loss, default "log_loss"
        Or "focal", or an object such as `fastmlp.losses.Focal`.
    class_weight : dict or "balanced", optional
        How much each class counts; "balanced" is in inverse proportion to the number of its rows (to
        their sample_weight, where that is given).
    label_smoothing : float, default 0
        In [0, 1): so much of the targets of log_loss is spread over all classes.
    dropout : float or sequence of float, default 0
        The chance that a hidden unit is left out of a training step: one, or one per hidden layer.
    l1 : float, default 0
        L1 penalty on the weights, divided as alpha is.
    max_norm : float, optional
        The most that the norm of the weights into a unit may be.
    clip_norm : float, optional
        The most that the norm of the gradient may be.
    ema : float, optional
        The decay of a moving average of the parameters, with which training ends (and on which partial_fit does not
        go on: it has the others still).
    init : str, default "auto"
        scikit-learn's initial weights; or, as in `fastmlp.MLP`, "he_uniform", "he_normal", "glorot_uniform",
        "glorot_normal", "lecun_uniform", "lecun_normal", "zeros", with biases of 0.
    callbacks : Callback or sequence of them, optional
        Objects of classes derived from `fastmlp.Callback`.

    Attributes
    ----------
    classes_ : ndarray
    coefs_, intercepts_ : list of ndarray
        Weights (in, out) and biases (out,) of each layer. Changed in place or replaced, they change predictions.
    loss_curve_ : list of float
        The loss of each epoch; not with "lbfgs".
    history_ : History
        The same, with the time of each epoch, and loss and metric on validation_data; not with "lbfgs".
    loss_, best_loss_, n_iter_, t_, n_layers_, n_outputs_, n_features_in_, feature_names_in_, out_activation_,
    validation_scores_, best_validation_score_
        As in scikit-learn.

    Raises
    ------
    ImportError
        On import, if scikit-learn is not installed.

    Examples
    --------
    >>> from fastmlp import EarlyStopping, digits
    >>> from fastmlp.sklearn import MLPClassifier
    >>> X, y = digits.load()
    >>> train, test = digits.stratified_split(y)
    >>> stopping = EarlyStopping("accuracy", patience=5)
    >>> model = MLPClassifier(activation="gelu", dropout=0.1, early_stopping=stopping, random_state=0)
    >>> model = model.fit(X[train], y[train], validation_data=(X[test], y[test]))
    >>> model.score(X[test], y[test]) > 0.95
    True
    >>> max(model.history_.val_metric) == model.score(X[test], y[test])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_CONSTRAINTS,
        "loss": [StrOptions({"log_loss", "focal"}), *_CLASS_LOSSES],
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
        callbacks: Any = None,
    ) -> None:
        _keep(self, locals())

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _objective(self) -> losses.Loss:
        loss = self.loss
        if self.label_smoothing and loss != "log_loss":
            raise ValueError(
                f"label_smoothing is {self.label_smoothing}, but loss is {loss!r}; it is for 'log_loss' alone"
            )
        focal = loss == "focal" or isinstance(loss, losses.Focal | losses.BinaryFocal)
        plain = losses.SoftmaxCrossEntropy, losses.BinaryCrossEntropy
        kinds = (losses.Focal, losses.BinaryFocal) if focal else plain
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
        labels, given = self.classes_[codes], self.class_weight
        for key, weight in given.items() if isinstance(given, dict) else ():
            check_number(f"class_weight of {key!r}", weight, *NOT_NEGATIVE)
        with np.errstate(divide="ignore"):
            weights = compute_class_weight(given, classes=self.classes_, y=labels, sample_weight=sample_weight)
        weights[~np.isfinite(weights)] = 0  # "balanced", and a class of which no row counts
        if not weights[codes].any():
            raise ValueError(f"class_weight is {given!r}; it leaves no row with a weight above 0")
        return weights[codes] if sample_weight is None else weights[codes] * sample_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Any:
        """Train on X and y.

        Parameters
        ----------
        X : array_like, sparse matrix or dataframe, shape (B, I)
        y : array_like, shape (B,) or (B, O)
            Classes: numbers or strings, or for several labels a row a matrix of 0 and 1.
        sample_weight : array_like, shape (B,), optional
            How much each row counts.
        validation_data : (X, y), optional
            Its loss and metric after each epoch go to `history_`; early stopping watches it in place of rows set aside.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter or data out of range, or parameters that diverge.

        Examples
        --------
        >>> from fastmlp.sklearn import MLPClassifier
        >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["no", "yes", "yes", "no"]
        >>> model = MLPClassifier(solver="lbfgs", activation="tanh", random_state=1).fit(X, y)
        >>> model.predict(X).tolist()
        ['no', 'yes', 'yes', 'no']
        """
        return self._fit(X, y, sample_weight, validation_data=validation_data)

    def predict(self, X: Any) -> NDArray[Any]:
        """Classes.

        Parameters
        ----------
        X : array_like, sparse matrix or dataframe, shape (B, I)

        Returns
        -------
        ndarray, shape (B,) or (B, O)
            Entries of classes_; 0 or 1 for several labels a row.

        Examples
        --------
        >>> from fastmlp.sklearn import MLPClassifier
        >>> MLPClassifier(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], ["a", "b"]).predict([[-1.0]]).tolist()
        ['a']
        """
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
        """The probability of each class.

        Parameters
        ----------
        X : array_like, sparse matrix or dataframe, shape (B, I)

        Returns
        -------
        ndarray, shape (B, number of classes)
            In the order of classes_; of several labels a row each by itself.

        Examples
        --------
        >>> from fastmlp.sklearn import MLPClassifier
        >>> p = MLPClassifier(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], ["a", "b"]).predict_proba([[0.0]])
        >>> bool(p[0, 0] > 0.9), p.shape
        (True, (1, 2))
        """
        outputs = self._quick_outputs(X)
        if outputs is None:
            result: NDArray[Any] = super().predict_proba(X)
            return result
        return outputs if self.n_outputs_ > 1 else np.concatenate((1 - outputs, outputs), axis=1)


class MLPRegressor(Estimator, neural_network.MLPRegressor):
    """A regressor with the parameters, attributes and methods of scikit-learn's MLPRegressor, and more.

    Parameters
    ----------
    loss : str or loss, default "squared_error"
        Or "poisson", "absolute_error", "huber", "quantile", or an object such as `fastmlp.losses.Quantile`.
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str or sequence of str, default "relu"
        "identity", "logistic" (or "sigmoid"), "tanh", "relu"; also "leaky_relu", "elu", "gelu", "silu", "softplus",
        "exp". One for all hidden layers, or one per hidden layer.
    solver : str or optimizer, default "adam"
        "lbfgs", "sgd", "adam"; also "adamw", "rmsprop", "lion", or an optimizer object such as `fastmlp.RMSprop`, whose
        settings then count in place of learning_rate_init, momentum and betas.
    alpha : float, default 0.0001
        L2 penalty on the weights, divided by the rows of a step (or by the sum of their weights).
    batch_size : int, default "auto"
        Rows a step; "auto" is 200, or all if there are fewer.
    learning_rate : str or schedule, default "constant"
        For solver="sgd" also "invscaling" and "adaptive". For any solver but "lbfgs" a schedule: "step_decay",
        "cosine", "one_cycle" or "reduce_on_plateau" from learning_rate_init on, or an object such as `fastmlp.Cosine`,
        which has rates of its own.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
        The exponent of "invscaling".
    max_iter : int, default 200
        Epochs at most; iterations of "lbfgs".
    shuffle : bool, default True
    random_state : int, RandomState or None, default None
        Decides initial weights, validation rows, the order of rows and dropout.
    tol, n_iter_no_change : float, default 1e-4 and 10
        Training ends when for more than n_iter_no_change epochs the loss (the score, with early stopping) has not been
        better by tol.
    verbose : bool, default False
        Print a line an epoch.
    warm_start : bool, default False
        Whether fit goes on from the parameters of the last.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
        Both for solver="sgd".
    early_stopping : bool or EarlyStopping, default False
        Watch the score on rows set aside, or on validation_data, and end with the best parameters. An `EarlyStopping`
        says which metric it is, and how long to wait; to it all rows set aside count alike, whatever sample_weight.
    validation_fraction : float, default 0.1
        The share that is set aside.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        For solver="adam" and its kin.
    max_fun : int, default 15000
        The most evaluations that "lbfgs" may have.
    dropout : float or sequence of float, default 0
        The chance that a hidden unit is left out of a training step: one, or one per hidden layer.
    l1 : float, default 0
        L1 penalty on the weights, divided as alpha is.
    max_norm : float, optional
        The most that the norm of the weights into a unit may be.
    clip_norm : float, optional
        The most that the norm of the gradient may be.
    ema : float, optional
        The decay of a moving average of the parameters, with which training ends (and on which partial_fit does not
        go on: it has the others still).
    init : str, default "auto"
        scikit-learn's initial weights; or, as in `fastmlp.MLP`, "he_uniform", "he_normal", "glorot_uniform",
        "glorot_normal", "lecun_uniform", "lecun_normal", "zeros", with biases of 0.
    output_activation : str, default "identity"
        One of those of `activation`, for values that it keeps in its range: the loss compares it with y. (That of
        "poisson" is "exp" as it is.)
    callbacks : Callback or sequence of them, optional
        Objects of classes derived from `fastmlp.Callback`.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights (in, out) and biases (out,) of each layer. Changed in place or replaced, they change predictions.
    loss_curve_ : list of float
        The loss of each epoch; not with "lbfgs".
    history_ : History
        The same, with the time of each epoch, and loss and metric on validation_data; not with "lbfgs".
    loss_, best_loss_, n_iter_, t_, n_layers_, n_outputs_, n_features_in_, feature_names_in_, out_activation_,
    validation_scores_, best_validation_score_
        As in scikit-learn.

    Raises
    ------
    ImportError
        On import, if scikit-learn is not installed.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> from fastmlp.sklearn import MLPRegressor
    >>> X = np.linspace(0, 1, 200)[:, None]
    >>> above = MLPRegressor(loss=fastmlp.losses.Quantile(0.9), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool((above.predict(X) > X[:, 0] ** 2 - 0.1).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson", "absolute_error", "huber", "quantile"}), *_VALUE_LOSSES],
        "output_activation": [StrOptions(set(HIDDEN_ACTIVATIONS))],
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
        output_activation: str = "identity",
        callbacks: Any = None,
    ) -> None:
        _keep(self, locals())

    def _out_activation(self) -> str:
        return "exp" if self._objective().name == "poisson" else self.output_activation

    def _output_activation(self) -> str:
        given: str = self.output_activation
        if self._objective().name != "poisson":
            return ENGINE_NAMES.get(given, given)
        if given not in ("identity", "exp"):
            raise ValueError(f"output_activation is {given!r}; that of loss='poisson' is 'exp'")
        return "identity"

    def _objective(self) -> losses.Loss:
        return losses.loss_of(self.loss)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Any:
        """Train on X and y.

        Parameters
        ----------
        X : array_like, sparse matrix or dataframe, shape (B, I)
        y : array_like, shape (B,) or (B, O)
            Numbers.
        sample_weight : array_like, shape (B,), optional
            How much each row counts.
        validation_data : (X, y), optional
            Its loss and metric after each epoch go to `history_`; early stopping watches it in place of rows set aside.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter or data out of range, or parameters that diverge.

        Examples
        --------
        >>> from fastmlp.sklearn import MLPRegressor
        >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0])
        >>> model.predict([[1.0]]).round(1)
        array([2.])
        """
        return self._fit(X, y, sample_weight, validation_data=validation_data)

    def predict(self, X: Any) -> NDArray[Any]:
        """Values.

        Parameters
        ----------
        X : array_like, sparse matrix or dataframe, shape (B, I)

        Returns
        -------
        ndarray, shape (B,) or (B, O)

        Examples
        --------
        >>> from fastmlp.sklearn import MLPRegressor
        >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [[1.0, 2.0], [2.0, 3.0]])
        >>> model.predict([[0.5]]).shape
        (1, 2)
        """
        outputs = self._quick_outputs(X)
        if outputs is None:
            result: NDArray[Any] = super().predict(X)
            return result
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs
