"""h = r(V x), z = W h, J = (y - z)'(y - z) / 2: the network without biases, one sample at a time and in batches."""

import numpy as np
import oracle
import pytest

import fastmlp

R = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


def build(rng, r, rows):
    net = fastmlp.MLP([6, 9, 4], activation=r, loss="squared_error", bias=False, dtype="float64", seed=3)
    X = rng.normal(size=(200, 6))
    if r == "relu":  # rows none of whose units crosses 0 while a weight moves by two steps of 1e-3
        X = X[np.abs(X @ net.weights[0].T).min(axis=1) > 0.02]
    return net, X[:rows], rng.normal(size=(rows, 4))


@pytest.mark.parametrize("r", R)
def test_gradients_are_the_written_formulas(rng, r):
    net, X, Y = build(rng, r, 12)
    V, W = net.weights
    f, slope = R[r]
    for x, y in zip(X, Y, strict=True):
        h = f(V @ x)
        z = W @ h
        loss, [(dV, no_b), (dW, no_c)] = net.loss_and_grad(x[None], y[None])
        # sums of at most 9 terms, three in a row: 3 * 11 u relative, some 4e-15
        assert abs(loss - (y - z) @ (y - z) / 2) <= 1e-13 * loss
        assert oracle.relative_error(dW, np.outer(z - y, h)) <= 1e-13
        assert oracle.relative_error(dV, np.outer(W.T @ (z - y) * slope(V @ x), x)) <= 1e-13
        assert no_b is None
        assert no_c is None
        assert oracle.relative_error(net(x), z) <= 1e-13


@pytest.mark.parametrize("r", R)
@pytest.mark.parametrize("rows", [1, 8])
def test_gradients_are_the_differences(rng, r, rows):
    net, X, Y = build(rng, r, rows)
    assert len(X) == rows
    wanted = oracle.differences(lambda: net.loss_and_grad(X, Y)[0], net.weights)
    for (dW, _), w in zip(net.loss_and_grad(X, Y)[1], wanted, strict=True):
        assert np.abs(w).max() > 1e-3
        assert oracle.relative_error(dW, w) <= 1e-8


def test_a_batch_is_the_mean_of_its_samples(rng):
    net, X, Y = build(rng, "tanh", 8)
    total, loss = [0, 0], 0
    for x, y in zip(X, Y, strict=True):
        J, grads = net.loss_and_grad(x[None], y[None])
        loss += J / 8
        total = [t + dW / 8 for t, (dW, _) in zip(total, grads, strict=True)]
    J, grads = net.loss_and_grad(X, Y)
    assert pytest.approx(loss, rel=1e-13) == J
    for t, (dW, _) in zip(total, grads, strict=True):
        assert oracle.relative_error(dW, t) <= 1e-13


def test_without_biases_there_are_none_and_zero_gives_zero(dtype):
    for r in ("relu", "tanh"):
        net = fastmlp.MLP([6, 9, 4], activation=r, loss="squared_error", bias=False, dtype=dtype)
        assert net.biases == (None, None)
        assert net.n_params == 6 * 9 + 9 * 4
        z = net(np.full(6, -0.0, dtype))
        assert not z.any()
        assert not np.signbit(z).any()


def test_it_learns_a_linear_map(rng):
    A = rng.normal(size=(2, 3))
    X = rng.normal(size=(256, 3))
    net = fastmlp.MLP([3, 16, 2], activation="tanh", loss="squared_error", bias=False, dtype="float64", seed=0)
    history = net.fit(X * 0.3, X @ A.T * 0.3, epochs=200, batch_size=32, optimizer=fastmlp.Adam(0.01))
    assert history.loss[-1] < 1e-3 * history.loss[0]
