"""One row, and a batch of 1000, through a network: NumPy arrays in and out, in each library."""

import forwards
import numpy as np
import peers
import pytest
from measure import per_call, race

import fastmlp

SHAPES = [(20, 16, 1), (4, 64, 64, 2), (17, 256, 256, 6), (784, 128, 10)]
ONE_DIMENSION = ("fastmlp", "NumPy")  # libraries that are fastest when one row comes as (I,); the others want (1, I)


@pytest.fixture(params=SHAPES, ids=lambda sizes: "-".join(map(str, sizes)))
def net(request):
    return fastmlp.MLP(request.param, loss="squared_error", seed=1)


def check(z, net, X):
    """z is the network's output on X, by an unoptimised float64 pass over it.

    Rounding in a sum of n float32 terms grows like sqrt(n) u relative to the size of what is summed (Higham & Mary
    2019), and layers add; 8 allows for the tail of the distribution over all elements.
    """
    h = X.astype(float)
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        h = (np.maximum(h, 0) if i else h) @ W.T.astype(float) + b
    tolerance = 8 * sum(n**0.5 for n in net.sizes[:-1]) * 2.0**-24 * np.abs(h).max()
    np.testing.assert_allclose(np.asarray(z).reshape(h.shape), h, rtol=0, atol=tolerance)


@pytest.mark.parametrize("library", forwards.BUILDERS)
@pytest.mark.parametrize("rows", [1, 1000])
def test_rows(benchmark, net, rows, library):
    peers.require(library)
    X = np.random.default_rng(0).standard_normal((rows, net.sizes[0]), np.float32)
    call = peers.quietly(forwards.BUILDERS[library])(net)

    def timer(call, library):
        x = X[0] if rows == 1 and library in ONE_DIMENSION else X
        check(peers.quietly(call)(x), net, X)
        return per_call(benchmark, call, x)

    case = "-".join(map(str, net.sizes))
    ours = timer(net, "fastmlp")
    theirs = timer(call, library) if library != "fastmlp" else None
    race(benchmark, "one row" if rows == 1 else f"{rows} rows", case, library, ours, theirs)
