"""Networks whose weights are written by hand instead of learnt.

Refuses training: the activations here are steps, whose gradient is zero or nowhere.
"""

import numpy as np
from numpy.typing import DTypeLike

from fastmlp._names import check_whole
from fastmlp.mlp import MLP

__all__ = ["all_distinct"]


def all_distinct(n: int, dtype: DTypeLike = "float64") -> MLP:
    """A network that tells whether its n inputs are all different.

    With impulse(z) = 1 where z is 0, else 0, as the activation of both layers::

        hidden = impulse(W1 x)         one unit for each pair i < j, its row of W1 is e_i - e_j: fires where x_i = x_j
        output = impulse(W2 hidden)    W2 is all ones: fires where no hidden unit does

    Parameters
    ----------
    n : int
        Number of inputs, from 2 to 65536. The hidden layer has n (n - 1) / 2 units.
    dtype : {"float64", "float32"}
        Element type. float32 takes 16777216 and 16777217 for equal, since it cannot tell them apart.

    Returns
    -------
    MLP
        ``net(x)`` is 1.0 where all entries of a row differ, else 0.0: (n,) -> (1,), (B, n) -> (B, 1).
        Its biases are zero. Whatever needs its gradient raises ValueError.

    Raises
    ------
    ValueError
        If n is not a whole number from 2 to 65536, or dtype is neither of the two.
    MemoryError
        If there is no memory for the weights.

    Examples
    --------
    >>> from fastmlp import handmade
    >>> net = handmade.all_distinct(4)
    >>> net([[1, 2, 3, 4], [1, 2, 3, 1]])
    array([[1.],
           [0.]])
    """
    n = check_whole("n", n, 2, 2**16)
    sizes = [n, n * (n - 1) // 2, 1]
    net = MLP(sizes, activation="impulse", output_activation="impulse", loss="squared_error", dtype=dtype)
    W1, W2 = net.weights
    i, j = np.triu_indices(n, 1)
    W1[...] = 0
    W1[np.arange(i.size), i], W1[np.arange(i.size), j] = 1, -1
    W2[...] = 1
    return net
