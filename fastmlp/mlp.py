"""MLP: the multilayer perceptron that users build. Says what its inputs look like and what its outputs mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp import _arrays, kernels
from fastmlp.losses import CLASSES, PROBABILITIES, Loss
from fastmlp.network import BaseMLP, check_sizes, per_layer


class MLP(BaseMLP):
    """A multilayer perceptron: dense layers with activations between them.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs: at least two numbers.
    activation : str or sequence of str, default "relu"
        One name for all hidden layers, or one per hidden layer: identity, relu, leaky_relu (slope 0.01), elu (alpha 1),
        gelu (exact), silu, softplus, tanh, sigmoid, exp, impulse (1 at 0, else 0), heaviside (1 for z >= 0).
    loss : str or loss of `fastmlp.losses`, default "softmax_cross_entropy"
        For classes: also "focal". For yes and no at each output, from logits: "binary_cross_entropy", "binary_focal".
        For numbers: "squared_error" (1/2 |z - y|^2), "absolute_error", "huber", "quantile"; for counts, "poisson". A
        name is short for the loss with its defaults.
    output_activation : str, default "identity"
        Applied by `net(x)`. Training needs "identity", and so do classes, probabilities and counts, which are made of
        logits.
    bias : bool, default True
    dtype : "float32" or "float64", default "float32"
    seed : int, default 0
        Decides the initial weights, the order of the rows in each epoch, and dropout.
    dropout : float or sequence of float, default 0
        The chance, in [0, 1), that an output of a hidden layer is 0 in a training step, where the others are divided by
        its complement (Srivastava et al. 2014): one for all hidden layers, or one per hidden layer.
    init : str, default "auto"
        He uniform for relu, leaky_relu, elu, gelu and silu, Glorot uniform otherwise; or one of he_uniform, he_normal,
        glorot_uniform, glorot_normal, lecun_uniform, lecun_normal, zeros for all layers. Biases begin at 0.

    Attributes
    ----------
    weights, biases : tuple of ndarray
        Per layer, views in place: weights[l] is (O, I), biases[l] is (O,), or None without biases.
    params, grads : ndarray
        The flat buffer behind them, in which rows of outputs are padded with zeros, and one like it for the gradient.
    n_params : int
        Weights and biases, without padding.
    metadata : dict
        For your own notes (anything JSON can hold); saved with the network.

    Raises
    ------
    ValueError
        Naming the argument that is out of range.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> net = fastmlp.MLP([4, 64, 64, 2], activation="tanh", seed=1)
    >>> net(np.zeros(4, np.float32))
    array([0., 0.], dtype=float32)
    >>> net.n_params
    4610
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        loss: str | Loss = "softmax_cross_entropy",
        output_activation: str = "identity",
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: int = 0,
        dropout: float | Sequence[float] = 0.0,
        init: str = "auto",
    ) -> None:
        sizes = check_sizes(sizes, "inputs, hidden layers, outputs")
        activations = per_layer(activation, len(sizes) - 2, "hidden")
        super().__init__(sizes, activations, loss, output_activation, bias, dtype, seed, dropout, init)

    def _inputs(self, X: Any, name: str = "X") -> tuple[tuple[NDArray[Any], ...], bool]:
        rows = _arrays.floats(X, self.dtype, name)
        return (_arrays.as_rows(rows, self.sizes[0], name),), rows.ndim == 1

    def _logits(self, X: ArrayLike) -> NDArray[Any]:
        if self.output_activation != "identity":
            raise ValueError(
                f"output_activation is {self.output_activation!r}; what {self.loss} makes of logits needs 'identity' "
                "(net(X) gives the outputs as they are)"
            )
        return self(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Classes or values.

        Parameters
        ----------
        X : array_like, shape (B, I), or (I,) for one row

        Returns
        -------
        ndarray
            softmax_cross_entropy, focal: int64 classes (B,). binary_cross_entropy, binary_focal: int64 0 or 1 (B, O),
            by z > 0. poisson: the means exp(z) (B, O). Other losses: the outputs (B, O). One row gives its entry alone.

        Raises
        ------
        ValueError
            Where a class is asked of a row with outputs that are NaN, naming the row, or classes or means of a network
            with an output activation.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.MLP([2, 8, 3], seed=0).predict([[0, 0], [1, -1]]).shape
        (2,)
        """
        if self.loss not in (*CLASSES, *PROBABILITIES, "poisson"):
            return self(X)
        z = self._logits(X)
        if self.loss == "poisson":
            return kernels.exp(z)
        undefined = np.isnan(z).any(axis=-1)
        if undefined.any():
            raise ValueError(f"the outputs for row {int(np.argmax(undefined))} of X are NaN: it has no class")
        if self.loss in PROBABILITIES:
            return (z > 0).astype(np.int64)
        return np.asarray(z.argmax(axis=-1), np.int64)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Probabilities of the classes: the softmax or the sigmoid of the outputs.

        Parameters
        ----------
        X : array_like, shape (B, I), or (I,) for one row

        Returns
        -------
        ndarray, shape (B, O), or (O,)

        Raises
        ------
        ValueError
            For a network whose loss is one of numbers, such as squared_error, or with an output activation.

        Examples
        --------
        >>> import fastmlp
        >>> p = fastmlp.MLP([2, 8, 3], seed=0).predict_proba([[0, 0], [1, -1]])
        >>> bool(abs(p.sum(axis=1) - 1).max() < 1e-6)
        True
        """
        if self.loss not in (*CLASSES, *PROBABILITIES):
            raise ValueError(f"loss is {self.loss!r}: such a network has values, not probabilities; use predict")
        return (kernels.softmax if self.loss in CLASSES else kernels.sigmoid)(self._logits(X))
