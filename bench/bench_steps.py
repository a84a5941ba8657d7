"""Whole training steps: gather of shuffled rows, forward, softmax cross-entropy, backward, Adam, in each library."""

from itertools import pairwise

import epochs
import numpy as np
import peers
import pytest
from measure import race

import fastmlp

CASES = [
    ((20, 64, 64, 2), 32),
    ((20, 64, 64, 2), 256),
    ((784, 128, 10), 32),
    ((784, 128, 10), 128),
    ((784, 512, 512, 10), 128),
]


def data(sizes, rows):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, sizes[0]), np.float32), rng.integers(0, sizes[-1], rows)


def steps_per_epoch(sizes, batch):
    """2e9 multiply-adds, some tens of milliseconds: enough for the clock, and the same rows for every library."""
    multiply_adds = batch * sum(i * o for i, o in pairwise(sizes))
    return max(24, min(2000, int(2e9 / multiply_adds)))


def check(build, sizes, batch, steps):
    """The library's first losses on one batch are fastmlp's: the same weights, loss and, after the first, update.

    A step changes the loss by percents, rounding in float32 by less than 1e-4 of it: sums of n terms err by about
    sqrt(n) u < 2e-6, and what Adam makes of gradients that are rounding alone moves the loss by no more than those.
    """
    X, y = data(sizes, batch)
    theirs = build(fastmlp.MLP(sizes, seed=1), X, y, batch)
    ours = epochs.BUILDERS["fastmlp"](fastmlp.MLP(sizes, seed=1), X, y, batch)
    np.testing.assert_allclose([theirs()[1] for _ in range(steps)], [ours()[1] for _ in range(steps)], rtol=1e-4)


@pytest.mark.parametrize("library", epochs.BUILDERS)
@pytest.mark.parametrize(("sizes", "batch"), CASES, ids=lambda v: "-".join(map(str, v)) if isinstance(v, tuple) else v)
def test_step(benchmark, sizes, batch, library):
    peers.require(library)
    steps = 2 if benchmark.disabled else steps_per_epoch(sizes, batch)
    X, y = data(sizes, batch * steps)

    def timer(library):
        epoch = epochs.BUILDERS[library](fastmlp.MLP(sizes, seed=1), X, y, batch)
        return lambda: epoch()[0] / steps

    def their_timer():
        # scikit-learn's Adam has taken a step of its own before it has the weights: only its first loss must agree
        check(epochs.BUILDERS[library], sizes, batch, steps=1 if library == "scikit-learn" else 3)
        return timer(library)

    theirs = peers.quietly(their_timer)() if library != "fastmlp" else None
    case = f"{'-'.join(map(str, sizes))}, batch {batch}"
    race(benchmark, "training step", case, library, timer("fastmlp"), theirs, rounds=7)
