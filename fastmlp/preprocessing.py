"""Between a table and a network: encode the target, standardise inputs and values, keep how it was done in the model.

Refuses metadata that do not fit their network, so that a model edited by hand fails with a message, not with nonsense.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp import digits
from fastmlp.network import BaseMLP
from fastmlp.tables import Path, Table, TableError, number_of, read, refuse_not_finite, shown

MAX_INTEGER_CLASSES = 20


def encode_target(table: Table, target: str, task: str | None = None) -> tuple[str, list[str], NDArray[Any]]:
    """Turn the texts of the target column into what a network learns.

    Classification is the default for texts, for true/false and for integers with at most 20 distinct values. Classes
    are sorted: numbers by value, false before true, other texts by code point; cells of one value (1 and 1.0, True and
    true) are one class, spelt as in its first row.

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


def _target_error(table: Table, target: str, label: str, hint: str) -> TableError:
    line = table.lines[np.argmax(table.codes == table.labels.index(label))]
    return TableError(f"{table.path}, line {line}, column {target!r}: {shown(label)}; {hint}")


def _encode_classes(table: Table, target: str, numbers: Sequence[Any]) -> tuple[list[str], NDArray[np.int64]]:
    truths = [{"false": False, "true": True}.get(label.lower()) for label in table.labels]
    keys: Sequence[Any] = next((keys for keys in (numbers, truths) if None not in keys), table.labels)
    spelling = dict(zip(reversed(keys), reversed(table.labels), strict=True))  # the first spelling stays
    order = sorted(spelling)
    if len(order) == 1:
        raise TableError(f"{table.path}, column {target!r}: one class only, {table.labels[0]!r}; wanted two or more")
    place = {key: number for number, key in enumerate(order)}
    return [spelling[key] for key in order], np.array([place[key] for key in keys], np.int64)[table.codes]


def mean_and_scale(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column of X (B, I), as float64 (I,); a constant column has scale 1."""
    low, high = X.min(axis=0), X.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.clip(X.mean(axis=0), low, high)  # a constant column's mean is its value, whatever the sum rounds to
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
    features: list[str]
    mean: list[float]
    scale: list[float]
    classes: list[str]
    target_mean: float = 0.0
    target_scale: float = 1.0

    def inputs(self, table: Table) -> NDArray[np.float32]:
        """The network's inputs, float32 (B, I), from the cells of a table."""
        with np.errstate(over="ignore"):
            X = table.X - np.array(self.mean)
            X /= np.array(self.scale)
            inputs: NDArray[np.float32] = X.astype(np.float32)
        refuse_not_finite(table, inputs, "too far from the values trained on")
        return inputs

    def values(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """A regression's values, float64 (B,), from the network's outputs (B, 1)."""
        values: NDArray[np.float64] = outputs.reshape(-1).astype(np.float64) * self.target_scale + self.target_mean
        return values


class Data(NamedTuple):
    """Rows to learn from, those of the numbers `train`, and to test on."""

    recipe: Preprocessing
    X: NDArray[np.float32]
    y: NDArray[Any]
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def data_of_digits(seed: int) -> Data:
    """The bundled digits; the model will take pixels from 0 to 16."""
    X, y = digits.load()
    mean, scale = [0.0] * X.shape[1], [float(digits.PIXEL_MAX)] * X.shape[1]
    classes = [str(digit) for digit in range(10)]
    recipe = Preprocessing("classification", "digit", list(digits.FEATURES), mean, scale, classes)
    return Data(recipe, X, y, *digits.stratified_split(y, seed=seed))


def data_of_table(path: Path, target: str, task: str | None, seed: int) -> Data:
    """A CSV table; the statistics that standardise it are those of its training rows."""
    table = read(path, target=target)
    task, classes, y = encode_target(table, target, task)
    train, test = digits.stratified_split(y if classes else np.zeros(len(y)), seed=seed)
    if len(train) == 0 or len(test) == 0:
        raise TableError(f"{path}: {len(y)} rows are too few to keep some for the test")
    mean, scale = mean_and_scale(table.X[train])
    recipe = Preprocessing(task, target, table.features, mean.tolist(), scale.tolist(), classes)
    if not classes:
        target_mean, target_scale = (float(number[0]) for number in mean_and_scale(y[train, None]))
        recipe = replace(recipe, target_mean=target_mean, target_scale=target_scale)
        with np.errstate(over="ignore"):
            y = (y - target_mean) / target_scale
            finite = np.isfinite(y.astype(np.float32))
        if not finite.all():
            label = table.labels[table.codes[np.argmin(finite)]]
            raise _target_error(table, target, label, "too far from the values trained on")
    return Data(recipe, recipe.inputs(table), y, train, test)


def preprocessing_of(net: BaseMLP) -> Preprocessing:
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
    if net.loss != loss or (not is_class and outputs != 1):
        raise TableError(f"a {found['task']} needs {loss} and one output a class or value; the model has {net.loss}")
    return Preprocessing(**found)


class _Metadata:
    """Checks of single entries; each failure names the entry."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self.entries = entries

    def that(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise TableError(f"its metadata {name!r} are damaged; wanted {wanted}")

    def texts(self, name: str, count: int) -> None:
        texts = self.entries[name]
        good = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        self.that(name, good and len(texts) == len(set(texts)) == count, f"{count} different texts")

    def numbers(self, name: str, numbers: Any, count: int, positive: bool = False) -> None:
        good = isinstance(numbers, list) and len(numbers) == count
        good = good and all(type(number) in (int, float) and abs(number) <= sys.float_info.max for number in numbers)
        self.that(name, good and (not positive or min(numbers) > 0), f"{count} finite numbers")
