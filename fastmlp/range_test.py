"""The learning-rate range test: what the loss does while the rate rises. Trains a copy, never the network."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmlp import _core
from fastmlp._names import POSITIVE, check_number, check_whole
from fastmlp.schedules import power

if TYPE_CHECKING:
    from fastmlp.network import BaseMLP

MEMORY, DIVERGED = 0.9, 4.0  # the test is over where a moving average of this memory is so many times its lowest
REACH = 25  # the losses are smoothed by the mean over a 25th of all steps, to either side


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """What `find_learning_rate` of a network or an estimator found.

    Attributes
    ----------
    rates, losses : ndarray of float64
        The rate of each step, and the loss of its minibatch before the update.
    smoothed : ndarray of float64
        Means of each step's loss and its neighbours'.
    suggestion : float or None
        The rate at which the smoothed loss fell most steeply before it was lowest or exploded; None if it never fell.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> found = fastmlp.MLP([1, 16, 1], loss="squared_error").find_learning_rate(X, X, batch_size=16)
    >>> len(found.rates) == len(found.losses) <= 100
    True
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float | None

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the rates (extra ``plot``: Matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> found = fastmlp.MLP([2, 8, 2]).find_learning_rate(np.eye(2), [0, 1])
        >>> ax = found.plot()
        """
        from fastmlp.plots import plot_range_test

        return plot_range_test(self, ax)


def root(x: float, n: int) -> float:
    """The n-th root of x >= 1, by bisection: products alone decide."""
    low, high = 1.0, x
    while low < (middle := low + (high - low) / 2) < high:
        if power(middle, n) < x:
            low = middle
        else:
            high = middle
    return high


def range_test(
    twin: "BaseMLP",
    data: tuple[tuple[NDArray[Any], ...], NDArray[Any]],
    batch_size: int,
    low: float,
    high: float,
    steps: int,
    optimizer: Any,
    passing: dict[str, Any] | None = None,
) -> RangeTest:
    """Train a network that nobody needs afterwards; `passing` are more arguments of its _train."""
    largest = float(np.finfo(twin.dtype).max)
    check_number("low", low, POSITIVE[0], largest, POSITIVE[2])
    check_number("high", high, float(low), largest, f"finite and greater than low, which is {low}")
    if high == low:
        raise ValueError(f"high is {high!r}; it must be finite and greater than low, which is {low}")
    if float(high) / float(low) == float("inf"):
        raise ValueError(f"high is {high!r}; it must be less than 1e308 times low, which is {low}")
    steps = check_whole("steps", steps, 2, 2**31)
    ratio, rate, rows = root(float(high) / float(low), steps - 1), float(low), len(data[1])
    order, done, epoch = np.empty(rows, np.uint32), 0, 0
    rates: list[float] = []
    losses: list[float] = []
    average, weight, lowest = 0.0, 0.0, float("inf")
    for _ in range(steps):
        if done == 0:
            _core.permutation(rows, twin.seed, epoch, order)
        stop = min(rows, done + batch_size)
        try:
            total = twin._train(
                *data, order, batch_size, dataclasses.replace(optimizer, learning_rate=rate), start=done, stop=stop,
                **(passing or {}),
            )  # fmt: skip
        except FloatingPointError:
            break
        loss = total / (stop - done)
        average, weight = MEMORY * average + (1 - MEMORY) * loss, MEMORY * weight + (1 - MEMORY)
        rates.append(rate)
        losses.append(loss)
        lowest = min(lowest, average / weight)
        if average / weight > DIVERGED * lowest:
            break
        rate, done = min(rate * ratio, float(high)), stop
        if done == rows:
            done, epoch = 0, epoch + 1
    smoothed = _smoothed(losses, steps // REACH)
    at = _steepest(smoothed)
    return RangeTest(np.array(rates), np.array(losses), smoothed, None if at is None else rates[at])


def _smoothed(losses: list[float], reach: int) -> NDArray[np.float64]:
    """The mean of each loss and its neighbours up to this far."""
    sums, at = np.cumsum([0.0, *losses]), np.arange(len(losses))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(losses))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def _steepest(smoothed: NDArray[np.float64]) -> int | None:
    """The step around which the loss falls most, for the same factor of the rate."""
    if not len(smoothed):
        return None
    risen = smoothed > 2 * smoothed[0]
    end = int(np.argmin(smoothed[: np.argmax(risen)] if risen.any() else smoothed)) + 1
    if end < 3:
        return None
    falls = smoothed[: end - 2] - smoothed[2:end]
    at = int(np.argmax(falls))
    return at + 1 if falls[at] > 0 else None
