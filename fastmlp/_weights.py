"""How much each row of a training counts: sample_weight and class_weight, checked and multiplied."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp._names import check_name


def _weights(given: Any, shape: tuple[int, ...], name: str, entry: str) -> NDArray[np.float64]:
    """given as finite float64 numbers >= 0 of that shape."""
    try:
        a = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} is no array; it must be {shape}, a number for each {entry}") from None
    if a.dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {a.dtype}; it must hold real numbers")
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}; it must be {shape}, a number for each {entry}")
    bad = ~((a >= 0) & (a < np.inf))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name} is {a[at]} for {entry} {at}; it must be finite and at least 0")
    return a.astype(np.float64)


def _of_classes(class_weight: Any, labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """One weight for each class."""
    if isinstance(class_weight, str):
        check_name(class_weight, ("balanced",), "class_weight")
        counts = np.bincount(labels, minlength=n_classes)
        return len(labels) / (n_classes * np.maximum(counts, 1))
    if isinstance(class_weight, Mapping):
        unknown = [key for key in class_weight if key not in range(n_classes)]
        if unknown:
            raise ValueError(f"class_weight has the key {unknown[0]!r}; the classes are 0 to {n_classes - 1}")
        class_weight = [class_weight.get(k, 1) for k in range(n_classes)]
    elif not hasattr(class_weight, "__len__"):
        raise ValueError(
            f"class_weight is {class_weight!r}; it must be 'balanced', a dict or {n_classes} numbers, one a class"
        )
    return _weights(class_weight, (n_classes,), "class_weight", "class")


def row_weights(
    sample_weight: ArrayLike | None,
    class_weight: Any,
    labels: NDArray[np.int64] | None,
    n_classes: int,
    rows: int,
    batch_size: int,
    dtype: np.dtype[Any],
) -> NDArray[Any] | None:
    """The weight of each row in the network's dtype, or None where nothing says that they differ.

    labels are the classes of the rows, None where the loss has none.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(rows) if sample_weight is None else _weights(sample_weight, (rows,), "sample_weight", "row")
    if class_weight is not None:
        if labels is None:
            raise ValueError(f"class_weight is {class_weight!r}; only targets that are classes can have it")
        weights = weights * _of_classes(class_weight, labels, n_classes)[labels]
    name = "sample_weight" if class_weight is None else "class_weight"
    if float(weights.max()) * min(batch_size, rows) > float(np.finfo(dtype).max):
        raise ValueError(f"{name} has the entry {weights.max()}: the sum of a minibatch would overflow {dtype}")
    result = weights.astype(dtype)
    if not result.any():
        raise ValueError(f"{name} leaves no row with a weight above 0")
    return result


def refuse_empty_batches(weights: NDArray[Any], order: NDArray[Any] | None, batch_size: int, epoch: int) -> None:
    """ValueError for a minibatch of this epoch in which no row has a weight."""
    ordered = weights if order is None else weights[order]
    largest = np.maximum.reduceat(ordered, np.arange(0, len(weights), batch_size))
    if not largest.all():
        raise ValueError(
            f"sample_weight (with class_weight) is 0 for every row of step {int(np.argmin(largest)) + 1} of epoch "
            f"{epoch + 1}; each minibatch must have a row that counts: drop rows of weight 0, or take larger batches"
        )
