"""Learning rates that change during a fit: immutable settings that an optimizer takes as its learning_rate.

A schedule is a pure function of the step and of the history, so that a resumed fit has the rates of an unbroken one.
Rates decide bits: cosines are polynomials and powers repeated products here, in plain float64, because those of libm
and NumPy differ between versions.
"""

import weakref
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastmlp._names import FRACTION, NOT_NEGATIVE, POSITIVE, POSITIVE_FRACTION, check_number, check_whole, nearest
from fastmlp._settings import Settings
from fastmlp.history import History


class Schedule(Protocol):
    """What an optimizer takes as its learning_rate, besides a number."""

    def rates(self, first: int, steps: int, total: int, history: History) -> NDArray[np.float64]:
        """The rates of the `steps` steps of an epoch; `first` of the fit's `total` steps come before it."""
        ...


@dataclass(frozen=True, repr=False, eq=False)
class StepDecay(Settings):
    """The rate times a factor every so many epochs.

    Parameters
    ----------
    learning_rate : float, default 1e-3
        Of the first epochs.
    every : int, default 10
        Epochs from one drop to the next.
    factor : float, default 0.1
        In (0, 1).

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> schedule = fastmlp.StepDecay(0.1, every=10, factor=0.5)
    >>> [float(schedule.rates(epoch * 3, 3, 90, fastmlp.History())[0]) for epoch in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """

    learning_rate: float = 1e-3
    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, *POSITIVE)
        check_whole("every", self.every, 1, 2**32)
        check_number("factor", self.factor, *POSITIVE_FRACTION)

    def rates(self, first: int, steps: int, total: int, history: History) -> NDArray[np.float64]:
        """The rates of an epoch's steps, all of them alike.

        Parameters
        ----------
        first : int
            Steps of the fit before this epoch.
        steps : int
            Of an epoch.
        total : int
            Steps of the whole fit.
        history : History
            Of the epochs before this one.

        Returns
        -------
        ndarray of float64, shape (steps,)

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.StepDecay(0.1, every=1).rates(0, 2, 20, fastmlp.History())
        array([0.1, 0.1])
        """
        return np.full(steps, float(self.learning_rate) * power(float(self.factor), first // steps // self.every))


@dataclass(frozen=True, repr=False, eq=False)
class Cosine(Settings):
    """Half a cosine from one rate down to another over the whole fit (Loshchilov & Hutter 2017, without restarts).

    Parameters
    ----------
    learning_rate : float, default 1e-3
        Where the cosine begins.
    final : float, default 0
        Where it ends: the step after the last would have this rate.
    warmup : float, default 0
        The fraction of the fit's steps, in [0, 1), during which the rate first rises from 0 in a line.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> schedule = fastmlp.Cosine(0.1, warmup=0.4)
    >>> schedule.rates(0, 5, 5, fastmlp.History()).round(4)
    array([0.0333, 0.0667, 0.1   , 0.075 , 0.025 ])
    """

    learning_rate: float = 1e-3
    final: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, *POSITIVE)
        check_number("final", self.final, *NOT_NEGATIVE)
        check_number("warmup", self.warmup, *FRACTION)

    def rates(self, first: int, steps: int, total: int, history: History) -> NDArray[np.float64]:
        """The rates of an epoch's steps.

        Parameters
        ----------
        first : int
            Steps of the fit before this epoch.
        steps : int
            Of an epoch.
        total : int
            Steps of the whole fit.
        history : History
            Not needed.

        Returns
        -------
        ndarray of float64, shape (steps,)

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.Cosine(1.0).rates(2, 2, 4, fastmlp.History()).round(4)
        array([0.5   , 0.1464])
        """
        high, low = float(self.learning_rate), float(self.final)
        step, warm = np.arange(first, first + steps, dtype=np.float64), int(float(self.warmup) * total)
        rising = high * (step + 1) / (warm + 1)
        return np.where(step < warm, rising, low + (high - low) * fall((step - warm) / (total - warm)))


@dataclass(frozen=True, repr=False, eq=False)
class OneCycle(Settings):
    """Up to a large rate and down to almost none, each by half a cosine, once over the fit (Smith & Topin 2018).

    Momentum stays as it is.

    Parameters
    ----------
    max_rate : float, default 1e-3
        The largest; a learning-rate range test tells how large, see `MLP.find_learning_rate`.
    warmup : float, default 0.3
        The fraction of the fit's steps, in [0, 1), during which the rate rises.
    start_factor : float, default 0.04
        The first rate over max_rate.
    final_factor : float, default 4e-6
        The rate of the step that would follow the last, over max_rate.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.OneCycle(1.0, warmup=0.5).rates(0, 8, 8, fastmlp.History()).round(2)
    array([0.04, 0.18, 0.52, 0.86, 1.  , 0.85, 0.5 , 0.15])
    """

    max_rate: float = 1e-3
    warmup: float = 0.3
    start_factor: float = 0.04
    final_factor: float = 4e-6

    def __post_init__(self) -> None:
        check_number("max_rate", self.max_rate, *POSITIVE)
        check_number("warmup", self.warmup, *FRACTION)
        check_number("start_factor", self.start_factor, *POSITIVE_FRACTION)
        check_number("final_factor", self.final_factor, *FRACTION)

    def rates(self, first: int, steps: int, total: int, history: History) -> NDArray[np.float64]:
        """The rates of an epoch's steps.

        Parameters
        ----------
        first : int
            Steps of the fit before this epoch.
        steps : int
            Of an epoch.
        total : int
            Steps of the whole fit.
        history : History
            Not needed.

        Returns
        -------
        ndarray of float64, shape (steps,)

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.OneCycle(0.1).rates(30, 1, 100, fastmlp.History())
        array([0.1])
        """
        high, step = float(self.max_rate), np.arange(first, first + steps, dtype=np.float64)
        start, final = high * float(self.start_factor), high * float(self.final_factor)
        warm = int(float(self.warmup) * total)
        rising = high + (start - high) * fall(step / max(warm, 1))
        return np.where(step < warm, rising, final + (high - final) * fall((step - warm) / (total - warm)))


@dataclass(frozen=True, repr=False, eq=False)
class ReduceOnPlateau(Settings):
    """The rate times a factor whenever the loss has not improved for a while.

    The loss is val_loss where fit has validation data, else the training loss.

    Parameters
    ----------
    learning_rate : float, default 1e-3
        Of the first epochs.
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        After so many epochs in a row without improvement the rate falls, and they are counted anew.
    min_rate : float, default 0
        It falls no lower.
    threshold : float, default 1e-4
        In [0, 1): a loss improves if it is below the best one by more than this fraction of it.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> history = fastmlp.History(loss=[3.0, 2.0, 2.0, 2.0])
    >>> fastmlp.ReduceOnPlateau(0.5, patience=2).rates(4, 1, 10, history)
    array([0.05])
    """

    learning_rate: float = 1e-3
    factor: float = 0.1
    patience: int = 10
    min_rate: float = 0.0
    threshold: float = 1e-4

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, *POSITIVE)
        check_number("factor", self.factor, *POSITIVE_FRACTION)
        check_whole("patience", self.patience, 1, 2**32)
        check_number("min_rate", self.min_rate, *NOT_NEGATIVE)
        check_number("threshold", self.threshold, *FRACTION)

    def rates(self, first: int, steps: int, total: int, history: History) -> NDArray[np.float64]:
        """The rates of an epoch's steps, all of them alike.

        Parameters
        ----------
        first, steps, total : int
            Of these only the number of steps counts.
        history : History
            Of the epochs before this one.

        Returns
        -------
        ndarray of float64, shape (steps,)

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.ReduceOnPlateau(0.5).rates(0, 2, 10, fastmlp.History())
        array([0.5, 0.5])
        """
        reduced = float(self.learning_rate) * power(float(self.factor), self._reductions(history))
        return np.full(steps, max(reduced, min(float(self.min_rate), float(self.learning_rate))))

    def _reductions(self, history: History) -> int:
        """How often the rate has fallen: a pure function of the history, which goes on from the last answer."""
        global _seen
        losses, below = history.val_loss or history.loss, 1 - float(self.threshold)
        seen, best, waited, fallen = 0, float("inf"), 0, 0
        of, by, answer = _seen  # read once: other threads have histories of their own
        if of() is history and by == self and answer[0] <= len(losses):
            seen, best, waited, fallen = answer
        for loss in losses[seen:]:
            if loss < best * below:
                best, waited = loss, 0
            else:
                waited += 1
            if waited == self.patience:
                waited, fallen = 0, fallen + 1
        _seen = weakref.ref(history), self, (len(losses), best, waited, fallen)
        return fallen


BY_NAME: dict[str, Any] = {
    "step_decay": StepDecay, "cosine": Cosine, "one_cycle": OneCycle, "reduce_on_plateau": ReduceOnPlateau
}  # fmt: skip


def schedule_of(name: str, rate: float) -> Schedule:
    """A schedule with default settings but for its rate."""
    if name not in BY_NAME:
        wanted = f"a positive finite number, a schedule, or one of {', '.join(BY_NAME)}"
        raise ValueError(f"learning_rate is {name!r}{nearest(name, BY_NAME)}; it must be {wanted}")
    schedule: Schedule = BY_NAME[name](rate)
    return schedule


_seen: tuple[Any, Any, tuple[int, float, int, int]] = (lambda: None, None, (0, 0.0, 0, 0))


def power(x: float, n: int) -> float:
    """x**n by repeated squaring: products alone."""
    result = 1.0
    while n:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


def fall(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + cos(pi x)) / 2 for x in [0, 1], and 1 below, 0 above: 1 - sin(pi x / 2)**2 and its mirror image."""
    x = np.clip(x, 0.0, 1.0)
    low = x <= 0.5
    angle = np.where(low, x, 1 - x) * 1.5707963267948966  # at most pi / 4
    square, sine = angle * angle, np.ones_like(x)
    for k in range(18, 0, -2):  # sin(a) / a = 1 - a^2 / (2 * 3) (1 - a^2 / (4 * 5) (...)), to less than 1e-18
        sine = 1 - square / (k * (k + 1)) * sine
    small = square * (sine * sine)
    return np.where(low, 1 - small, small)
