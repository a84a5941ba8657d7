"""Between a table and a network: encode the target, standardise inputs and values, keep how it was done in the model.

Refuses metadata that do not fit their network, so that a model edited by hand fails with a message and not with nonsense.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastmlp.tables import TableError, number_of, shown

MAX_INTEGER_CLASSES = 20


def encode_target(table, target, task=None):
    """Turn the texts of the target column into what a network learns.

    Classification is the default for texts, for true/false and for integers with at most 20 distinct values. Classes are
    sorted: numbers by value, false before true, other texts by code point; cells of one value (1 and 1.0, True and true)
    are one class, spelt as in its first row.

    Parameters
    ----------
    table : Table
    target : str
        Name of the column, for messages.
    task : {"classification", "regression"}, optional

    Returns
    -------
    task : str
    classes : list of str
        Empty for a regression.
    y : ndarray, shape (B,)
        int64 numbers of classes, or float64 values.
    """
    numbers = [number_of(label) for label in table.labels]
    for label, number in zip(table.labels, numbers, strict=True):
        if not label or (number is not None and not math.isfinite(number)):
            raise _target_error(table, target, label, "wanted a class or a finite number")
    known = [number for number in numbers if number is not None]
    like_regression = len(set(known)) > MAX_INTEGER_CLASSES or any(number != int(number) for number in known)
    if task == "regression" or (task is None and like_regression):
        if None in numbers:
            hint = "wanted a number" if task else "wanted a number as in other rows, or --task classification"
            raise _target_error(table, target, table.labels[numbers.index(None)], hint)
        values = np.array(numbers, np.float64)
        if (values == values[0]).all():
            raise TableError(f"{table.path}, column {target!r}: {table.labels[0]} in every row; nothing to learn")
        return "regression", [], values[table.codes]
    return "classification", *_encode_classes(table, target, numbers)


def _target_error(table, target, label, hint):
    line = table.lines[np.argmax(table.codes == table.labels.index(label))]
    return TableError(f"{table.path}, line {line}, column {target!r}: {shown(label)}; {hint}")


def _encode_classes(table, target, numbers):
    truths = [{"false": False, "true": True}.get(label.lower()) for label in table.labels]
    keys = next((keys for keys in (numbers, truths) if None not in keys), table.labels)
    spelling = dict(zip(reversed(keys), reversed(table.labels), strict=True))  # the first spelling stays
    order = sorted(spelling)
    if len(order) == 1:
        raise TableError(f"{table.path}, column {target!r}: one class only, {table.labels[0]!r}; wanted two or more")
    place = {key: number for number, key in enumerate(order)}
    return [spelling[key] for key in order], np.array([place[key] for key in keys], np.int64)[table.codes]


def mean_and_scale(X):
    """Mean and standard deviation of each column of X (B, I), as float64 (I,); a constant column has scale 1."""
    low, high = X.min(axis=0), X.max(axis=0)
    mean = np.clip(X.mean(axis=0), low, high)  # a constant column's mean is its value, whatever the sum rounds to
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = X - mean
        largest = np.abs(deviation).max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)
        scale = unit * np.sqrt(((deviation / unit) ** 2).mean(axis=0))  # no overflow and no underflow in the square
    return mean, np.where(scale > 0, scale, 1.0)


@dataclass(frozen=True)
class Preprocessing:
    """What a network trained on a table needs to be used on another: kept in `net.metadata`, in these words.

    An input is (cell - mean) / scale. A regression's value is output * target_scale + target_mean.
    """

    task: str
    target: str
    features: list
    mean: list
    scale: list
    classes: list
    target_mean: float = 0.0
    target_scale: float = 1.0

    def inputs(self, table):
        """The network's inputs, float32 (B, I), from the cells of a table."""
        with np.errstate(over="ignore"):
            X = table.X - np.array(self.mean)
            X /= np.array(self.scale)
            X = X.astype(np.float32)
        if not np.isfinite(X).all():
            row, column = np.argwhere(~np.isfinite(X))[0]
            where = f"{table.path}, line {table.lines[row]}, column {table.features[column]!r}"
            raise TableError(f"{where}: {table.X[row, column]} is too far from the values trained on")
        return X


def preprocessing_of(net):
    """The Preprocessing in `net.metadata`, checked against the network; TableError if there is none or it is broken."""
    known = Preprocessing.__dataclass_fields__
    found = net.metadata
    if not found:
        raise TableError("the model knows no columns: it was not made by 'fastmlp train'")
    if set(found) != set(known):
        raise TableError(f"its metadata are {', '.join(sorted(map(str, found)))}; wanted {', '.join(sorted(known))}")
    check = _Metadata(found)
    inputs, outputs = net.sizes[0], net.sizes[-1]
    check.that("task", found["task"] in ("classification", "regression"), "classification or regression")
    check.that("target", isinstance(found["target"], str), "a text")
    check.texts("features", inputs)
    check.numbers("mean", found["mean"], inputs)
    check.numbers("scale", found["scale"], inputs, positive=True)
    is_class = found["task"] == "classification"
    check.texts("classes", outputs if is_class else 0)
    check.numbers("target_mean", [found["target_mean"]], 1)
    check.numbers("target_scale", [found["target_scale"]], 1, positive=True)
    loss = "softmax_cross_entropy" if is_class else "squared_error"
    if getattr(net, "loss", None) != loss or (not is_class and outputs != 1):
        raise TableError(f"a {found['task']} needs {loss} and one output a class or value; the model has {net.loss}")
    return Preprocessing(**found)


class _Metadata:
    """Checks of single entries; each failure names the entry."""

    def __init__(self, entries):
        self.entries = entries

    def that(self, name, holds, wanted):
        if not holds:
            raise TableError(f"its metadata {name!r} are damaged; wanted {wanted}")

    def texts(self, name, count):
        texts = self.entries[name]
        good = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        self.that(name, good and len(texts) == len(set(texts)) == count, f"{count} different texts")

    def numbers(self, name, numbers, count, positive=False):
        good = isinstance(numbers, list) and len(numbers) == count
        good = good and all(type(number) in (int, float) and -1e308 < number < 1e308 for number in numbers)
        self.that(name, good and (not positive or min(numbers) > 0), f"{count} finite numbers")
