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


@pytest.mark.parametrize("batch", [32, 100, 300])
def test_many_steps_have_the_bits_of_every_product(rng, threads, batch):
    X, y = table(rng, 500, 130, 0.2, np.float32), rng.normal(size=(500, 3)).astype(np.float32)
    one, other = (MLP([130, 100, 3], activation="tanh", loss="squared_error", seed=4) for _ in "ab")
    one.fit(X, y, epochs=2, batch_size=batch, optimizer=Adam(0.01))
    for epoch in range(2):
        order = oracle.permutation(500, 4, epoch)
        for rows in np.split(order, range(batch, 500, batch)):
            dz = kernels.squared_error(other(X[rows]), y[rows])[1] / np.float32(len(rows))
            other.backward(X[rows], dz)
            other.update(Adam(0.01))
    assert oracle.same(one.params, other.params)


def test_products_with_zeros_are_left_out():
    # 0 * inf is NaN: without skipping the loss would be
    X, y = np.eye(64, dtype=np.float32), np.zeros(64, np.int64)
    X[:, 5] = 0
    net = MLP([64, 64, 2], seed=1)
    net.weights[0][:, 5] = np.inf
    assert np.isfinite(net.loss_and_grad(X, y)[0])
    assert np.isfinite(net(X[0])).all()
    assert np.isnan(net.loss_and_grad(X[:8], y[:8])[0])  # too few rows for it to pay


def test_padding_stays_zero_where_a_step_ends_in_a_later_chunk(rng):
    X, y = table(rng, 600, 100, 0.2, np.float32), rng.normal(size=(600, 10)).astype(np.float32)
    net = MLP([100, 72, 10], loss="squared_error", seed=1)
    padding = net.params == 0  # and biases, which get a gradient
    for b in net.biases:
        b[...] = 1
    padding &= net.params == 0
    y[599] = 1e30  # not finite only after the first chunk
    with pytest.raises(FloatingPointError):
        net.fit(X, y, epochs=1, batch_size=600, shuffle=False, threads=1)
    assert not net.grads.any()
    net.fit(X, y.clip(-9, 9), epochs=2, batch_size=600, optimizer=Adam(0.01), threads=1)
    assert not net.params[padding].any()
    assert not net.grads[padding].any()


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
