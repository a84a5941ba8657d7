"""Where inputs, targets and outputs are checked, converted and copied.

What leaves here is C-contiguous, aligned, native float32 or float64 (int64 for classes) and of the right shape, and is
the caller's own memory wherever that is so already, but for classes, which the engine takes for places in arrays.
Nothing here computes.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp import _core

FLOAT32, FLOAT64 = np.dtype("f4"), np.dtype("f8")

Array = NDArray[np.float32] | NDArray[np.float64]


def float_dtype(dtype: DTypeLike, name: str = "dtype") -> np.dtype:
    """float32 or float64 as a native numpy.dtype."""
    try:
        given = np.dtype(dtype)
    except TypeError:
        given = None
    if dtype is None or given is None or given not in (FLOAT32, FLOAT64):
        raise ValueError(f"{name} is {dtype!r}; it must be 'float32' or 'float64'")
    return given.newbyteorder("=")


def common_dtype(*arrays: ArrayLike) -> np.dtype:
    """float32 if all that is floating is float32 or float16, else float64."""
    sizes = [_core.float_size(a) or _float_size(np.asarray(a)) for a in arrays]
    return FLOAT32 if 0 < max(sizes) <= 4 else FLOAT64


def _float_size(a: np.ndarray) -> int:
    return a.dtype.itemsize if a.dtype.kind == "f" else 0


def _array(x: ArrayLike, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:  # rows that are not of one length
        raise ValueError(f"{name} is no array: {error}") from None


def floats(x: ArrayLike, dtype: np.dtype | None, name: str) -> Array:
    """x as a contiguous array of dtype (None: its common_dtype), copied only where it must be."""
    size = _core.float_size(x)
    if size and (dtype is None or size == dtype.itemsize):
        return x  # type: ignore[return-value]
    a = _array(x, name)
    if a.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {a.dtype}; it must hold real numbers")
    if dtype is None:
        dtype = common_dtype(a)
    if a.dtype == dtype and a.dtype.isnative:
        result = a
    else:
        with np.errstate(over="ignore"):
            result = a.astype(dtype)
        if a.dtype.kind == "f" and a.dtype.itemsize > dtype.itemsize:
            lost = np.isinf(result) & np.isfinite(a)
            if lost.any():
                at = np.unravel_index(np.argmax(lost), a.shape)
                raise ValueError(f"{name}{list(map(int, at))} is {a[at]}, which overflows {dtype}")
    return np.require(result, requirements=["C", "A"])


def as_rows(X: Array, width: int, name: str) -> Array:
    """X (B, I), or one row (I,) as (1, I)."""
    if X.ndim not in (1, 2) or X.shape[-1] != width:
        raise ValueError(f"{name} has shape {X.shape}; it must be (B, {width}), or ({width},) for one row")
    return X.reshape(-1, width) if X.ndim == 1 else X


def pair(data: Any, name: str) -> tuple[Any, Any]:
    """data as (X, y)."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        size = f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise ValueError(f"{name} is a {type(data).__name__}{size}; it must be a pair (X, y)")
    X, y = data
    return X, y


def same_rows(X: Array, y: np.ndarray, X_name: str, y_name: str) -> None:
    if len(X) != len(y):
        raise ValueError(
            f"{X_name} has shape {X.shape} and {y_name} {y.shape}; they must have as many rows as each other"
        )


def finite(a: Array, name: str) -> None:
    """ValueError that names the first entry that is NaN or infinite."""
    at = _core.first_not_finite(a)
    if at < a.size:
        place = [int(i) for i in np.unravel_index(at, a.shape)]
        where = f"row {place[0]}, column {place[1]}" if a.ndim == 2 else f"row {place[0]}"
        raise ValueError(f"{name} is {a.flat[at]} at {where}; training needs finite numbers")


def classes(y: ArrayLike, n_classes: int, name: str = "y") -> NDArray[np.int64]:
    """y (B,) as int64 classes in 0..n_classes-1; one class as (1,)."""
    a = _array(y, name)
    if a.dtype.kind not in "iubf":
        raise TypeError(f"{name} has dtype {a.dtype}; it must hold class numbers 0 to {n_classes - 1}")
    if a.ndim > 1:
        raise ValueError(f"{name} has shape {a.shape}; it must be (B,) class numbers")
    a = np.atleast_1d(a)
    with np.errstate(invalid="ignore") if a.dtype.kind == "f" else nullcontext():  # of NaN and infinity
        result = np.array(a, np.int64)  # a copy, which nobody else can change once it is checked
    bad = _core.first_outside(result, n_classes)
    if a.dtype.kind == "f" and (fractions := result != a).any():
        bad = min(bad, int(np.argmax(fractions)))
    if bad < a.size:
        raise ValueError(f"{name}[{bad}] is {a[bad]}; it must be a whole class number from 0 to {n_classes - 1}")
    return result


def targets(y: ArrayLike, n_outputs: int, dtype: np.dtype, one_row: bool = False, name: str = "y") -> Array:
    """y (B, O), or (B,) where O = 1, as (B, O); for one row of X (O,) or, where O = 1, a number."""
    a = floats(y, dtype, name)
    if one_row and a.ndim < 2 and a.size == n_outputs:
        return a.reshape(1, n_outputs)
    if a.ndim == 1 and n_outputs == 1:
        return a.reshape(-1, 1)
    if a.ndim != 2 or a.shape[1] != n_outputs:
        wanted = "(B,) or (B, 1)" if n_outputs == 1 else f"(B, {n_outputs})"
        raise ValueError(f"{name} has shape {a.shape}; it must be {wanted}")
    return a


def in_range(y: Array, good: NDArray[np.bool_], wanted: str, loss: str, name: str = "y") -> None:
    """ValueError that names the first target of (B, O) which is not good."""
    if not good.all():
        at = int(np.argmin(good.all(axis=1)))
        raise ValueError(f"{name} is {y[at][~good[at]][0]} in row {at}; {loss} needs {wanted}")


def output(out: Any, shape: tuple[int, ...], dtype: np.dtype, *apart_from: np.ndarray) -> np.ndarray:
    """out itself if results can be written there: its shape and dtype are right and it is no part of apart_from."""
    if not _core.is_output(out, shape, dtype.itemsize):
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out is a {type(out).__name__}; it must be a numpy array")
        if out.shape != shape or out.dtype != dtype or not out.dtype.isnative:
            raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; it must be {shape} of {dtype}")
        if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
            raise ValueError("out is not contiguous, aligned and writeable; it must be all three")
    for other in apart_from:
        if _core.overlap(out, other):
            raise ValueError("out overlaps the network's parameters; it must have memory of its own")
    checked: NDArray[Any] = out
    return checked


def apart(a: Array, *written: np.ndarray) -> Array:
    """a, or a copy where one of the arrays to be written overlaps it."""
    for out in written:
        if _core.overlap(a, out):
            return a.copy()
    return a
