"""Metrics by name: how well predictions agree with what they should be.

They decide when a training stops, so nothing here depends on the order in which a version of NumPy likes to add: sums
of numbers run from the first to the last (cumsum), everything else is counted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp._names import check_name
from fastmlp.losses import CLASSES, PROBABILITIES

__all__ = ["accuracy", "balanced_accuracy", "f1", "mean_absolute_error", "r2", "root_mean_squared_error"]

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def _columns(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as (B, O), of the same shape."""
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    if true.shape != pred.shape or true.ndim not in (1, 2) or not true.size:
        raise ValueError(f"y_true has shape {true.shape} and y_pred {pred.shape}; they must both be (B,) or (B, O)")
    return true.reshape(len(true), -1), pred.reshape(len(pred), -1)


def _sum(a: NDArray[Any]) -> Any:
    """The sum over rows, from the first to the last."""
    return np.cumsum(a, axis=0, dtype="f8")[-1]


def _mean(a: NDArray[Any]) -> float:
    return float(_sum(a) / len(a))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The share of right answers; of a table, that of right entries.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (B,) or (B, O)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    true, pred = _columns(y_true, y_pred)
    return float(np.count_nonzero(true == pred) / true.size)


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The share of right answers in each class of y_true, averaged over the classes.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (B,) or (B, O)
        Class numbers; of a table, the average over its columns.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """

    def of_column(true: NDArray[Any], pred: NDArray[Any]) -> float:
        recalls = [np.count_nonzero(pred[true == k] == k) / np.count_nonzero(true == k) for k in np.unique(true)]
        return _mean(np.array(recalls))

    columns = _columns(y_true, y_pred)
    return _mean(np.array([of_column(true, pred) for true, pred in zip(columns[0].T, columns[1].T, strict=True)]))


def f1(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The harmonic mean of precision and recall (van Rijsbergen 1979).

    Of class 1 where y_true has no other classes than 0 and 1; else the average over all classes that occur in either.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (B,) or (B, O)
        Class numbers; of a table, the average over its columns.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.f1([0, 0, 1, 1], [0, 1, 1, 1])
    0.8
    """

    def of_class(true: NDArray[Any], pred: NDArray[Any], k: int) -> float:
        hits = int(np.count_nonzero((true == k) & (pred == k)))
        return 2 * hits / max(int(np.count_nonzero(true == k)) + int(np.count_nonzero(pred == k)), 1)

    def of_column(true: NDArray[Any], pred: NDArray[Any]) -> float:
        classes = [1] if np.isin(true, (0, 1)).all() else np.union1d(true, pred)
        return _mean(np.array([of_class(true, pred, k) for k in classes]))

    columns = _columns(y_true, y_pred)
    return _mean(np.array([of_column(true, pred) for true, pred in zip(columns[0].T, columns[1].T, strict=True)]))


def r2(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The coefficient of determination, averaged over outputs: 1 for perfect predictions, 0 for the mean of y_true.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (B,) or (B, O)

    Returns
    -------
    float
        An output that is constant in y_true counts 1 if it is predicted exactly, else 0.

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    true, pred = (a.astype("f8") for a in _columns(y_true, y_pred))
    residual, total = _sum((true - pred) ** 2), _sum((true - _sum(true) / len(true)) ** 2)
    constant = (true == true[0]).all(axis=0) | (total == 0)  # a mean that is rounded leaves a total above 0
    explained = 1 - residual / np.where(constant, 1, total)
    return _mean(np.where(constant, residual == 0, explained))


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The mean of |y_true - y_pred|.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (B,) or (B, O)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.mean_absolute_error([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    true, pred = (a.astype("f8") for a in _columns(y_true, y_pred))
    return _mean(_sum(np.abs(true - pred)) / len(true))


def root_mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The square root of the mean of (y_true - y_pred)**2, averaged over outputs.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (B,) or (B, O)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, or there are no rows.

    Examples
    --------
    >>> from fastmlp import metrics
    >>> metrics.root_mean_squared_error([1.0, 2.0], [4.0, 5.0])
    3.0
    """
    true, pred = (a.astype("f8") for a in _columns(y_true, y_pred))
    return _mean(np.sqrt(_sum((true - pred) ** 2) / len(true)))


class Known(NamedTuple):
    """A metric that has a name; `of` says what it judges."""

    function: Metric
    greater_is_better: bool
    of: str


METRICS: dict[str, Known] = {
    "accuracy": Known(accuracy, True, "classes"),
    "balanced_accuracy": Known(balanced_accuracy, True, "classes"),
    "f1": Known(f1, True, "classes"),
    "r2": Known(r2, True, "values"),
    "mean_absolute_error": Known(mean_absolute_error, False, "values"),
    "root_mean_squared_error": Known(root_mean_squared_error, False, "values"),
}


def metric_of(metric: Any) -> str | Metric:
    """A name above, "loss", or a callable from elsewhere; a function of this module becomes its name."""
    if callable(metric):
        return next((name for name, known in METRICS.items() if known.function is metric), metric)
    return check_name(metric, ("loss", *METRICS), "metric")


def greater_is_better(metric: str | Metric) -> bool:
    """Whether training should make it large; a callable from elsewhere is taken for such a one."""
    return callable(metric) or (metric != "loss" and METRICS[metric].greater_is_better)


def name_of(metric: str | Metric, attribute: str = "__name__") -> str:
    """What a metric is called, the same in every process; a functools.partial with its arguments."""
    if isinstance(metric, str):
        return metric
    if isinstance(metric, partial):
        given = [*((None, value) for value in metric.args), *metric.keywords.items()]
        values = [(name, name_of(value, attribute) if callable(value) else repr(value)) for name, value in given]
        arguments = [value if name is None else f"{name}={value}" for name, value in values]
        return f"{name_of(metric.func, attribute)}({', '.join(arguments)})"
    name: str = getattr(metric, attribute, type(metric).__name__)
    return name


def default(loss: str) -> str:
    """The metric of a network with this loss unless another is asked for."""
    return "accuracy" if loss in (*CLASSES, *PROBABILITIES) else "r2"


def check_suits(metric: str | Metric, loss: str) -> None:
    """ValueError for a metric of classes where the outputs are values, and the other way round."""
    outputs = METRICS[default(loss)].of
    if not callable(metric) and metric != "loss" and METRICS[metric].of != outputs:
        fitting = ", ".join(name for name, known in METRICS.items() if known.of == outputs)
        raise ValueError(
            f"metric is {metric!r}, but loss {loss!r} has {outputs}; it must be loss, {fitting} or a function"
        )
