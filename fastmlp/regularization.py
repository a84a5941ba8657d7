"""Regularization: what is added to the loss, or asked of the weights, besides fitting the data. Immutable settings."""

from dataclasses import dataclass

from fastmlp._names import NOT_NEGATIVE, POSITIVE, check_number
from fastmlp._settings import Settings


@dataclass(frozen=True, repr=False, eq=False)
class Regularization(Settings):
    """Penalties on the weights, and a bound on their norms; biases have none.

    The training loss becomes ``J + l1 sum(abs(W)) + l2 / 2 sum(W²)``, and so does the one that History tells.

    Parameters
    ----------
    l1, l2 : float, default 0
    max_norm : float, optional
        After each step the weights into a unit are scaled down to this Euclidean norm where they exceed it (Srebro &
        Shraibman 2005).

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.Regularization(l2=1e-4)
    Regularization(l1=0.0, l2=0.0001, max_norm=None)
    """

    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None

    def __post_init__(self) -> None:
        check_number("l1", self.l1, *NOT_NEGATIVE)
        check_number("l2", self.l2, *NOT_NEGATIVE)
        if self.max_norm is not None:
            check_number("max_norm", self.max_norm, *POSITIVE[:2], f"{POSITIVE[2]}, or None")
