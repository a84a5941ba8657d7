"""Zero inputs are skipped where there are many: less work, no other bits."""

import numpy as np
import oracle
import pytest

from fastmlp import MLP, SGD, Adam, SiameseMLP, cpu_info, kernels, set_num_threads

SHAPES = [  # rows, inputs, width of the first layer: words of 64 and of what is left over, chunks, one panel or several
    (1, 5, 64),
    (63, 64, 70),
    (64, 65, 100),
    (65, 107, 130),
    (200, 64, 100),
    (300, 200, 256),
    (700, 130, 77),
]


@pytest.fixture(params=[1, 3])
def threads(request):
    before = cpu_info()["threads"]
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


def table(rng, rows, inputs, share, dtype):
    """Mostly zeros, of either sign, with a column of nothing else and one of none."""
    X = rng.normal(size=(rows, inputs)) * (rng.uniform(size=(rows, inputs)) < share)
    X[rng.uniform(size=X.shape) < 0.1] *= -1
    X[:, 0], X[:, -1] = -0.0, 1
    return X.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.05, 0.25])
@pytest.mark.parametrize(("rows", "inputs", "width"), SHAPES)
def test_training_has_the_bits_of_every_product(rng, threads, rows, inputs, width, share, dtype):
    X, y = table(rng, rows, inputs, share, dtype), rng.normal(size=(rows, 3)).astype(dtype)
    one, other = (MLP([inputs, width, 3], activation="tanh", loss="squared_error", dtype=dtype, seed=4) for _ in "ab")
    # backward skips nothing: it takes the first layer as any other. dz as the loss has it, divided by the batch
    dz = kernels.squared_error(other(X), y)[1] / dtype(rows)
    other.backward(X, dz)
    one.loss_and_grad(X, y)
    assert oracle.same(one.grads, other.grads)
    for optimizer in (Adam(0.01), SGD(0.05, momentum=0.9)):
        one.train_step(X, y, optimizer)
        other.backward(X, kernels.squared_error(other(X), y)[1] / dtype(rows))
        other.update(optimizer)
        assert oracle.same(one.params, other.params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_have_them_too(rng, threads, dtype):
    X = table(rng, 500, 100, 0.2, dtype), table(rng, 500, 100, 0.2, dtype)
    y = rng.integers(0, 2, 500)
    one, other = (SiameseMLP([100, 80], activation="relu", dtype=dtype, seed=4) for _ in "ab")
    other.backward(X, kernels.binary_cross_entropy(other(X)[:, None], y[:, None].astype(dtype))[1] / dtype(500))
    one.loss_and_grad(X, y)
    assert oracle.same(one.grads, other.grads)


def test_one_row_has_the_bits_of_the_batch(rng):
    X = table(rng, 50, 107, 0.1, np.float32)
    net = MLP([107, 100, 64, 3], seed=2)
    wanted = net(X)
    assert all(oracle.same(net(x), z) for x, z in zip(X, wanted, strict=True))
