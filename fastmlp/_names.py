"""The names of activations and losses in the order of the enums of csrc/fastmlp.h, and the checks of plain arguments.

Holds names only; the functions themselves are in C, and in reference.py as NumPy. Arrays are checked in _arrays.py.
"""

from collections.abc import Iterable
from numbers import Real
from operator import index

ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "tanh",
    "sigmoid",
    "impulse",
    "heaviside",
    "exp",
)
LOSSES = (
    "squared_error",
    "softmax_cross_entropy",
    "binary_cross_entropy",
    "absolute_error",
    "huber",
    "quantile",
    "poisson",
    "focal",
    "binary_focal",
)

# ranges for check_number
POSITIVE = (5e-324, float("inf"), "a positive finite number")
NOT_NEGATIVE = (0.0, float("inf"), "a finite number of at least 0")
FRACTION = (0.0, 1.0, "a number of at least 0 and less than 1")
POSITIVE_FRACTION = (5e-324, 1.0, "a number greater than 0 and less than 1")

NO_DERIVATIVE = ("impulse", "heaviside")
HE_INITIALISED = ("relu", "leaky_relu", "elu", "gelu", "silu")


def nearest(value: object, names: Iterable[str]) -> str:
    """A question for a message, where one of names is near to value, or one of the two begins with the other."""
    if not isinstance(value, str) or not value:
        return ""
    import difflib  # only for the message: it costs a millisecond to import

    lower, names = value.lower(), list(names)
    near = difflib.get_close_matches(lower, names, n=1) if lower not in names else [lower]
    near += [name for name in names if name.startswith(lower) or lower.startswith(name)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_name(value: object, names: tuple[str, ...], argument: str) -> str:
    """value if it is one of names, else a ValueError that lists them and suggests the nearest."""
    if isinstance(value, str) and value in names:
        return value
    raise ValueError(f"{argument} is {value!r}{nearest(value, names)}; it must be one of {', '.join(names)}")


def check_bool(name: str, value: object) -> None:
    """A ValueError that names value unless it is True or False, of NumPy or not."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} is {value!r}; it must be True or False")


def check_number(name: str, value: object, low: float, high: float, what: str) -> None:
    """A ValueError that names value unless it is a number of at least low and less than high."""
    try:
        good = isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) < high
    except OverflowError:
        good = False
    if not good:
        raise ValueError(f"{name} is {value!r}; it must be {what}")


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """value as an int if it is a whole number from low to high, else a ValueError that names it."""
    try:
        whole = low - 1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        whole = low - 1
    if not low <= whole <= high:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")
    return whole
