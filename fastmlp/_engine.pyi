from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

from fastmlp.losses import Loss
from fastmlp.optimizers import Optimizer
from fastmlp.regularization import Regularization

def leading_dimension(outputs: int, itemsize: int) -> int: ...

@disjoint_base
class Network:
    params: NDArray[Any]
    grads: NDArray[Any]
    @property
    def dtype(self) -> np.dtype[Any]: ...
    epochs_done: int
    reached: tuple[int, int, float]
    @property
    def _average(self) -> NDArray[Any] | None: ...
    def __init__(
        self,
        layers: Sequence[tuple[int, int, str, float]],
        loss: Loss,
        bias: bool,
        siamese: bool,
        dtype: np.dtype[Any],
        seed: int,
    ) -> None: ...
    def __call__(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def reset_optimizer(self) -> None: ...
    def optimizer_state(self) -> dict[str, Any]: ...
    def set_optimizer_state(self, state: dict[str, Any]) -> None: ...
    def _train_as_scikit_learn(self) -> None: ...
    def _adopt(self, state: dict[str, Any]) -> None: ...
    def _views(self, flat: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any] | None]]: ...
    def _many(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def _forward(self, X: tuple[NDArray[Any], ...], y: NDArray[Any], threads: int | None = None) -> None: ...
    def _turn(self) -> AbstractContextManager[None]: ...
    def _train(
        self,
        X: tuple[NDArray[Any], ...],
        y: NDArray[Any],
        order: NDArray[np.uint32] | None,
        batch: int,
        optimizer: Optimizer,
        threads: int | None = None,
        epoch: int = 0,
        start: int = 0,
        stop: int | None = None,
        loss: float = 0.0,
        *,
        weights: NDArray[Any] | None = None,
        rates: NDArray[np.float64] | None = None,
        losses: NDArray[np.float64] | None = None,
        regularization: Regularization | None = None,
    ) -> float: ...
    def _gradient(
        self,
        X: tuple[NDArray[Any], ...],
        y: NDArray[Any],
        weights: NDArray[Any] | None = None,
    ) -> float: ...
    def _backward(self, X: tuple[NDArray[Any], ...], dz: NDArray[Any]) -> NDArray[Any]: ...
    def _update(self, optimizer: Optimizer) -> None: ...
