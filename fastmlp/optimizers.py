"""Optimizers: immutable settings. Their state lives with the network, their arithmetic in csrc/optimizer.inl.h."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


def _check(name: str, value: object, low: float, high: float, what: str) -> None:
    try:
        good = not isinstance(value, bool | str) and low <= float(value) < high  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ValueError(f"{name} is {value!r}; it must be {what}")


_POSITIVE = (5e-324, float("inf"), "a positive finite number")
_NOT_NEGATIVE = (0.0, float("inf"), "a finite number of at least 0")
_FRACTION = (0.0, 1.0, "a number of at least 0 and less than 1")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum and Nesterov's variant of it.

    ``g <- g + weight_decay W``, ``v <- momentum v - learning_rate g``, then ``W <- W + v``, or with Nesterov momentum
    ``W <- W + momentum v - learning_rate g`` with the new v (Sutskever et al. 2013). Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, default 0.01
    momentum : float, default 0
        In [0, 1).
    nesterov : bool, default False
    weight_decay : float, default 0

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

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    slots: ClassVar[int] = 1  # arrays of state, each like the parameters

    def __post_init__(self) -> None:
        _check("learning_rate", self.learning_rate, *_POSITIVE)
        _check("momentum", self.momentum, *_FRACTION)
        if not isinstance(self.nesterov, bool):
            raise ValueError(f"nesterov is {self.nesterov!r}; it must be True or False")
        _check("weight_decay", self.weight_decay, *_NOT_NEGATIVE)


@dataclass(frozen=True)
class Adam:
    """Adam, in the form of Algorithm 1's efficient variant (Kingma & Ba 2015), with weight decay as an L2 penalty.

    ``g <- g + weight_decay W``, ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``, then with
    ``m_hat = m / (1 - beta1^t)`` and ``v_hat = v / (1 - beta2^t)``:
    ``W <- W - learning_rate m_hat / (sqrt(v_hat) + epsilon)``. Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, default 1e-3
    beta1 : float, default 0.9
        In [0, 1), as is beta2.
    beta2 : float, default 0.999
    epsilon : float, default 1e-8
        Positive.
    weight_decay : float, default 0

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

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check("learning_rate", self.learning_rate, *_POSITIVE)
        _check("beta1", self.beta1, *_FRACTION)
        _check("beta2", self.beta2, *_FRACTION)
        _check("epsilon", self.epsilon, *_POSITIVE)
        _check("weight_decay", self.weight_decay, *_NOT_NEGATIVE)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: ``W <- W - learning_rate weight_decay W`` besides (Loshchilov & Hutter 2019).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
        As for `Adam`.
    weight_decay : float, default 0.01
        Not part of the gradient, and not for biases.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.AdamW().weight_decay
    0.01
    """

    weight_decay: float = 0.01


def engine_settings(optimizer: SGD | Adam, dtype: np.dtype[Any]) -> dict[str, float]:
    """The fields of C's fm_optimizer that are settings, finite in dtype; those that a class has not are 0."""
    if not isinstance(optimizer, SGD | Adam):
        raise TypeError(f"optimizer is {optimizer!r}; it must be an SGD, Adam or AdamW object")
    names = ("learning_rate", "weight_decay", "decoupled_decay", "momentum", "nesterov", "beta1", "beta2", "epsilon")
    settings = {name: float(getattr(optimizer, name, 0)) for name in names}
    for name, value in settings.items():
        if value > np.finfo(dtype).max:
            raise ValueError(f"{name} of the optimizer is {value}, which overflows the network's {dtype}")
    if isinstance(optimizer, AdamW):
        settings["decoupled_decay"], settings["weight_decay"] = settings["weight_decay"], 0.0
    return settings
