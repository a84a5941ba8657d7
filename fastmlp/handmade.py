"""Networks whose weights are written by hand instead of learnt.

Refuses training: the activations here are steps, whose gradient is zero or nowhere.
"""

import itertools
import operator

from fastmlp.mlp import MLP


def all_distinct(n, dtype="float64"):
    """A network that tells whether its n inputs are all different.

    With impulse(z) = 1 where z is 0, else 0, as the activation of both layers::

        hidden = impulse(W1 x)         one unit for each pair i < j, its row of W1 is e_i - e_j: fires where x_i = x_j
        output = impulse(W2 hidden)    W2 is all ones: fires where no hidden unit does

    Parameters
    ----------
    n : int
        Number of inputs, at least 2. The hidden layer has n (n - 1) / 2 units.
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
        If n is not an integer or is below 2, or dtype is neither of the two.

    Examples
    --------
    >>> from fastmlp import handmade
    >>> net = handmade.all_distinct(4)
    >>> net([[1, 2, 3, 4], [1, 2, 3, 1]])
    array([[1.],
           [0.]])
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or operator.index(n) < 2:
        raise ValueError(f"n is {n!r}; wanted an integer of at least 2")
    pairs = list(itertools.combinations(range(n), 2))
    net = MLP([n, len(pairs), 1], activation="impulse", output_activation="impulse", loss="squared_error", dtype=dtype)
    W1, W2 = net.weights
    W1[...] = 0
    for row, (i, j) in enumerate(pairs):
        W1[row, i], W1[row, j] = 1, -1
    W2[...] = 1
    return net
