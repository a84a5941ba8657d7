"""Losses: immutable settings, each with a short name for its defaults. Their arithmetic is in csrc/loss.inl.h."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastmlp._names import FRACTION, LOSSES, NOT_NEGATIVE, POSITIVE, POSITIVE_FRACTION, check_name, check_number
from fastmlp._settings import Settings

__all__ = [
    "AbsoluteError",
    "BinaryCrossEntropy",
    "BinaryFocal",
    "Focal",
    "Huber",
    "Poisson",
    "Quantile",
    "SoftmaxCrossEntropy",
    "SquaredError",
]

CLASSES = ("softmax_cross_entropy", "focal")  # targets are one class number a row
PROBABILITIES = ("binary_cross_entropy", "binary_focal")  # targets are from 0 to 1, outputs are logits


@dataclass(frozen=True, repr=False, eq=False)
class Loss(Settings):
    """What all losses share."""

    name: ClassVar[str]

    @property
    def parameter(self) -> float:
        """The one number that C knows of the settings."""
        return next((float(value) for value in vars(self).values()), 0.0)


@dataclass(frozen=True, repr=False, eq=False)
class SquaredError(Loss):
    """½ (z - y)², summed over outputs.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.MLP([2, 1], loss=fastmlp.losses.SquaredError()).loss
    'squared_error'
    """

    name: ClassVar[str] = "squared_error"


@dataclass(frozen=True, repr=False, eq=False)
class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax of the outputs for the true class.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1): so much of the target is spread evenly over all classes (Szegedy et al. 2016).

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.SoftmaxCrossEntropy(label_smoothing=0.1)
    SoftmaxCrossEntropy(label_smoothing=0.1)
    """

    name: ClassVar[str] = "softmax_cross_entropy"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number("label_smoothing", self.label_smoothing, *FRACTION)


@dataclass(frozen=True, repr=False, eq=False)
class BinaryCrossEntropy(Loss):
    """Cross-entropy of the sigmoid of each output, summed over outputs; targets from 0 to 1.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1): a target y becomes (1 - s) y + s / 2.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.BinaryCrossEntropy(label_smoothing=0.1)
    BinaryCrossEntropy(label_smoothing=0.1)
    """

    name: ClassVar[str] = "binary_cross_entropy"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number("label_smoothing", self.label_smoothing, *FRACTION)


@dataclass(frozen=True, repr=False, eq=False)
class AbsoluteError(Loss):
    """abs(z - y), summed over outputs: its least mean is at the median. Its derivative at z = y is 0.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.MLP([2, 1], loss="absolute_error").objective
    AbsoluteError()
    """

    name: ClassVar[str] = "absolute_error"


@dataclass(frozen=True, repr=False, eq=False)
class Huber(Loss):
    """½ d² for d = z - y up to ±delta, ``delta (abs(d) - delta / 2)`` beyond (Huber 1964), summed over outputs.

    Parameters
    ----------
    delta : float, default 1

    Raises
    ------
    ValueError
        For a value that is not positive.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.Huber(delta=2.0)
    Huber(delta=2.0)
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        check_number("delta", self.delta, *POSITIVE)


@dataclass(frozen=True, repr=False, eq=False)
class Quantile(Loss):
    """The pinball loss ``max(q (y - z), (1 - q) (z - y))``, summed over outputs: least at the q-quantile of y
    (Koenker & Bassett 1978). Its derivative at z = y is 0.

    Parameters
    ----------
    q : float, default 0.5
        In (0, 1).

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.Quantile(q=0.9)
    Quantile(q=0.9)
    """

    name: ClassVar[str] = "quantile"
    q: float = 0.5

    def __post_init__(self) -> None:
        check_number("q", self.q, *POSITIVE_FRACTION)


@dataclass(frozen=True, repr=False, eq=False)
class Poisson(Loss):
    """Half the deviance of Poisson counts with mean mu = exp(z), ``y log(y / mu) - y + mu``, summed over outputs.

    Targets are at least 0, and `predict` gives mu.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.MLP([2, 1], loss="poisson").objective
    Poisson()
    """

    name: ClassVar[str] = "poisson"


@dataclass(frozen=True, repr=False, eq=False)
class Focal(Loss):
    """Softmax cross-entropy times ``(1 - p)^gamma``, p the probability of the true class: what is learnt already counts
    little (Lin et al. 2017).

    Parameters
    ----------
    gamma : float, default 2

    Raises
    ------
    ValueError
        For a negative value.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.Focal(gamma=1.0)
    Focal(gamma=1.0)
    """

    name: ClassVar[str] = "focal"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, *NOT_NEGATIVE)


@dataclass(frozen=True, repr=False, eq=False)
class BinaryFocal(Loss):
    """Binary cross-entropy times ``(1 - p)^gamma`` for each output, p the probability of the truth (Lin et al. 2017);
    targets are 0 or 1.

    Parameters
    ----------
    gamma : float, default 2

    Raises
    ------
    ValueError
        For a negative value.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.losses.BinaryFocal().gamma
    2.0
    """

    name: ClassVar[str] = "binary_focal"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, *NOT_NEGATIVE)


BY_NAME: dict[str, type[Loss]] = {loss.name: loss for loss in Loss.__subclasses__()}


def loss_of(loss: Any) -> Loss:
    """A loss from its name or from itself."""
    return loss if isinstance(loss, Loss) else BY_NAME[check_name(loss, LOSSES, "loss")]()
