"""SiameseMLP: one encoder for two inputs and a head on the difference of what it says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmlp import _arrays, kernels
from fastmlp.network import BaseMLP, check_sizes, per_layer


class SiameseMLP(BaseMLP):
    """A network that learns which of two inputs ranks above the other.

    Both inputs pass through one encoder, a = h(x1) - h(x2), z3 = W a + b, and the chance that x1 ranks above x2 is
    sigmoid(z3), trained by binary cross-entropy. As z3 = g(x1) - g(x2) + b with one score g, what it learns is an order
    (RankNet, Burges et al. 2005; Bradley & Terry 1952).

    Parameters
    ----------
    sizes : sequence of int
        Inputs, then the encoder's layers: at least two numbers. The head with its one output comes on top.
    activation : str or sequence of str, default "relu"
        One name for all layers of the encoder, or one per layer; see `MLP`.
    bias : bool, default True
    dtype : "float32" or "float64", default "float32"
    seed : int, default 0

    Attributes
    ----------
    weights, biases, params, grads, n_params, metadata
        As in `MLP`: the encoder's layers, then the head.

    Raises
    ------
    ValueError
        Naming the argument that is out of range.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X1, X2 = np.array([[1.0], [2.0], [5.0]]), np.array([[3.0], [1.0], [4.0]])
    >>> net = fastmlp.SiameseMLP([1, 8], seed=0)
    >>> history = net.fit((X1, X2), [0, 1, 1], epochs=200, optimizer=fastmlp.Adam(0.05))
    >>> net.predict((X1, X2))
    array([0, 1, 1])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: int = 0,
    ) -> None:
        sizes = check_sizes(sizes, "inputs and the encoder's layers")
        activations = per_layer(activation, len(sizes) - 1, "encoder")
        super().__init__((*sizes, 1), activations, "binary_cross_entropy", "identity", bias, dtype, seed, siamese=True)

    def _inputs(self, X: Any, name: str = "X") -> tuple[tuple[NDArray[Any], ...], bool]:
        if not isinstance(X, tuple | list) or len(X) != 2:
            raise ValueError(f"{name} is a {type(X).__name__}; a siamese network takes a pair ({name}1, {name}2)")
        floats = [_arrays.floats(x, self.dtype, f"{name}[{i}]") for i, x in enumerate(X)]
        rows = tuple(_arrays.as_rows(x, self.sizes[0], f"{name}[{i}]") for i, x in enumerate(floats))
        _arrays.same_rows(rows[0], rows[1], f"{name}[0]", f"{name}[1]")
        return rows, floats[0].ndim == 1

    def __call__(self, x: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The logits z3 of pairs of rows.

        Parameters
        ----------
        x : pair of array_like, each (m, I), or (I,) for one pair
        out : ndarray, shape (m,) or (), optional
            Where to put the result.

        Returns
        -------
        ndarray, shape (m,), or () for one pair
            Greater than 0 where x1 is taken to rank above x2.

        Raises
        ------
        TypeError, ValueError
            If x is no pair of arrays of numbers, or a shape is wrong.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> net = fastmlp.SiameseMLP([2, 8], seed=0)
        >>> X1, X2 = np.eye(2), np.ones((2, 2))
        >>> bool((net((X2, X1)) == -net((X1, X2))).all())  # the head's bias is still 0
        True
        """
        return self._many(x, out)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 where the first of a pair ranks above the second, else 0.

        Parameters
        ----------
        X : pair of array_like, each (m, I), or (I,) for one pair

        Returns
        -------
        ndarray of int64, shape (m,), or () for one pair

        Raises
        ------
        ValueError
            For a pair whose output is NaN, naming the row.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.SiameseMLP([2, 8], seed=0).predict(([[1, 0], [0, 1]], [[0, 1], [1, 0]])).shape
        (2,)
        """
        z = self(X)
        if np.isnan(z).any():
            raise ValueError(f"the output for row {int(np.argmax(np.isnan(z)))} of X is NaN: it has no order")
        return np.asarray(z > 0, np.int64)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The chance that the first of a pair ranks above the second, sigmoid(z3).

        Parameters
        ----------
        X : pair of array_like, each (m, I), or (I,) for one pair

        Returns
        -------
        ndarray, shape (m,), or () for one pair

        Raises
        ------
        TypeError, ValueError
            If X is no pair of arrays of numbers, or a shape is wrong.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.SiameseMLP([2, 8], seed=0).predict_proba(([[1, 0]], [[1, 0]]))
        array([0.5], dtype=float32)
        """
        return kernels.sigmoid(self(X))
