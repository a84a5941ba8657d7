"""Optimizers: immutable settings. Their state lives with the network, their arithmetic in csrc/optimizer.inl.h.

A learning rate is a number or a schedule, whatever has a method `rates`: see schedules.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastmlp._names import FRACTION, NOT_NEGATIVE, POSITIVE, check_bool, check_name, check_number
from fastmlp._settings import Settings

if TYPE_CHECKING:
    from fastmlp.schedules import Schedule


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Optimizer(Settings):
    """What all optimizers share.

    Parameters
    ----------
    clip_norm : float, optional
        A gradient whose Euclidean norm, over all parameters, is larger is scaled down to it (Pascanu et al. 2013).
    ema : float, optional
        The decay, in [0, 1), of a moving average of the parameters, ``average <- ema average + (1 - ema) W`` after each
        step, with which `fit` evaluates and which it leaves as the parameters in the end (Polyak & Juditsky 1992).
    """

    clip_norm: float | None = None
    ema: float | None = None

    slots: ClassVar[int]  # arrays of state, each like the parameters
    rule: ClassVar[str]  # of csrc/fastmlp.h's fm_rule

    def __repr__(self) -> str:
        own = {
            name: value for name, value in vars(self).items() if name not in ("clip_norm", "ema") or value is not None
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in own.items())})"

    @classmethod
    def _public(cls) -> type["Optimizer"]:
        """The class that users know and files name: this one, unless it is a variant within the package."""
        return cls

    def _check(self, **ranges: tuple[float, float, str]) -> None:
        if isinstance(self.learning_rate, str):  # type: ignore[attr-defined]
            from fastmlp.schedules import schedule_of  # for those who ask

            object.__setattr__(self, "learning_rate", schedule_of(self.learning_rate, type(self).learning_rate))  # type: ignore[attr-defined]
        rate = self.learning_rate  # type: ignore[attr-defined]
        if isinstance(rate, type):
            raise ValueError(f"learning_rate is the class {rate.__name__}; it must be a number or a schedule object")
        if not hasattr(rate, "rates"):
            check_number("learning_rate", rate, *POSITIVE)
        for name, allowed in ranges.items():
            check_number(name, getattr(self, name), *allowed)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, *POSITIVE)
        if self.ema is not None:
            check_number("ema", self.ema, *FRACTION)


@dataclass(frozen=True, repr=False, eq=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it.

    ``g <- g + weight_decay W``, ``v <- momentum v - learning_rate g``, then ``W <- W + v``, or with Nesterov momentum
    ``W <- W + momentum v - learning_rate g`` with the new v (Sutskever et al. 2013). Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, schedule or its name, default 0.01
    momentum : float, default 0
        In [0, 1).
    nesterov : bool, default False
    weight_decay : float, default 0
    clip_norm, ema : float, optional
        A bound on the gradient's norm, and the decay of an average of the parameters: see `Optimizer`.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.SGD(learning_rate=0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    learning_rate: "float | str | Schedule" = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    slots: ClassVar[int] = 1
    rule: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        self._check(momentum=FRACTION, weight_decay=NOT_NEGATIVE)
        check_bool("nesterov", self.nesterov)


@dataclass(frozen=True, repr=False, eq=False)
class Adam(Optimizer):
    """Adam, in the form of Algorithm 1's efficient variant (Kingma & Ba 2015), with weight decay as an L2 penalty.

    ``g <- g + weight_decay W``, ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``, then with
    ``m_hat = m / (1 - beta1^t)`` and ``v_hat = v / (1 - beta2^t)``:
    ``W <- W - learning_rate m_hat / (sqrt(v_hat) + epsilon)``. Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, schedule or its name, default 1e-3
    beta1 : float, default 0.9
        In [0, 1), as is beta2.
    beta2 : float, default 0.999
    epsilon : float, default 1e-8
        Positive.
    weight_decay : float, default 0
    clip_norm, ema : float, optional
        A bound on the gradient's norm, and the decay of an average of the parameters: see `Optimizer`.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.Adam(learning_rate=3e-4).beta2
    0.999
    """

    learning_rate: "float | str | Schedule" = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    slots: ClassVar[int] = 2
    rule: ClassVar[str] = "adam"
    bias_corrected_epsilon: ClassVar[bool] = True  # else epsilon_t = epsilon, as scikit-learn has it

    def __post_init__(self) -> None:
        self._check(beta1=FRACTION, beta2=FRACTION, epsilon=POSITIVE, weight_decay=NOT_NEGATIVE)


@dataclass(frozen=True, repr=False, eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: ``W <- W - learning_rate weight_decay W`` besides (Loshchilov & Hutter 2019).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, clip_norm, ema
        As for `Adam`.
    weight_decay : float, default 0.01
        Not part of the gradient, and not for biases.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.AdamW().weight_decay
    0.01
    """

    weight_decay: float = 0.01


@dataclass(frozen=True, repr=False, eq=False)
class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman & Hinton 2012), with momentum.

    ``g <- g + weight_decay W``, ``v <- rho v + (1 - rho) g^2``, ``m <- momentum m + g / (sqrt(v) + epsilon)``, then
    ``W <- W - learning_rate m``. Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, schedule or its name, default 1e-3
    rho : float, default 0.9
        In [0, 1), as is momentum.
    momentum : float, default 0
    epsilon : float, default 1e-8
        Positive.
    weight_decay : float, default 0
    clip_norm, ema : float, optional
        A bound on the gradient's norm, and the decay of an average of the parameters: see `Optimizer`.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.RMSprop(momentum=0.9).rho
    0.9
    """

    learning_rate: "float | str | Schedule" = 1e-3
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    slots: ClassVar[int] = 2
    rule: ClassVar[str] = "rmsprop"

    def __post_init__(self) -> None:
        self._check(rho=FRACTION, momentum=FRACTION, epsilon=POSITIVE, weight_decay=NOT_NEGATIVE)


@dataclass(frozen=True, repr=False, eq=False)
class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of an interpolated momentum (Chen et al. 2023).

    ``W <- W - learning_rate (sign(beta1 m + (1 - beta1) g) + weight_decay W)``, ``m <- beta2 m + (1 - beta2) g``.
    Biases are not decayed. Wants a learning rate some three to ten times smaller than Adam's.

    Parameters
    ----------
    learning_rate : float, schedule or its name, default 1e-4
    beta1 : float, default 0.9
        In [0, 1), as is beta2.
    beta2 : float, default 0.99
    weight_decay : float, default 0
        Decoupled, as in `AdamW`.
    clip_norm, ema : float, optional
        A bound on the gradient's norm, and the decay of an average of the parameters: see `Optimizer`.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.Lion(3e-4).beta2
    0.99
    """

    learning_rate: "float | str | Schedule" = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    slots: ClassVar[int] = 1
    rule: ClassVar[str] = "lion"

    def __post_init__(self) -> None:
        self._check(beta1=FRACTION, beta2=FRACTION, weight_decay=NOT_NEGATIVE)


BY_NAME: dict[str, Optimizer] = {
    "sgd": SGD(),
    "adam": Adam(),
    "adamw": AdamW(),
    "rmsprop": RMSprop(),
    "lion": Lion(),
}
RULES = ("sgd", "adam", "rmsprop", "lion")  # in the order of fm_rule
_SETTINGS = ("learning_rate", "weight_decay", "decoupled_decay", "momentum", "nesterov", "beta1", "beta2", "epsilon")


def optimizer_of(optimizer: Any) -> Any:
    """An optimizer from its name, with default settings; whatever is no name stays."""
    return BY_NAME[check_name(optimizer, tuple(BY_NAME), "optimizer")] if isinstance(optimizer, str) else optimizer


def one_step(optimizer: Any) -> Any:
    """The optimizer of a single step, which a schedule cannot tell the rate of."""
    rule = optimizer_of(optimizer)
    rate = getattr(rule, "learning_rate", None)
    if hasattr(rate, "rates"):
        raise ValueError(f"learning_rate is {rate!r}; schedules are for fit, a step takes a number")
    return rule


def engine_settings(optimizer: Any, dtype: np.dtype[Any]) -> dict[str, float]:
    """The fields of C's fm_optimizer that are settings, finite in dtype; those that a class has not are 0."""
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"optimizer is {optimizer!r}; it must be an SGD, Adam, AdamW, RMSprop or Lion object, or a name"
        )
    values = {**vars(optimizer), "beta2": getattr(optimizer, "rho", getattr(optimizer, "beta2", 0))}
    if hasattr(optimizer.learning_rate, "rates"):  # type: ignore[attr-defined]
        values["learning_rate"] = 0
    settings = {name: float(values.get(name, 0)) for name in _SETTINGS}
    for name, value in settings.items():
        if value > float(np.finfo(dtype).max):  # NumPy would round value to dtype, and warn
            raise ValueError(f"{name} of the optimizer is {value}, which overflows the network's {dtype}")
    if isinstance(optimizer, AdamW | Lion):
        settings["decoupled_decay"], settings["weight_decay"] = settings["weight_decay"], 0.0
    settings["rule"] = RULES.index(optimizer.rule)
    settings["plain_epsilon"] = not getattr(optimizer, "bias_corrected_epsilon", True)
    settings["clip_norm"] = optimizer.clip_norm or 0.0
    return settings
