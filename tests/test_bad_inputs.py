"""What a network refuses or lives with: settings, numbers, labels, shapes. An error names them; nothing has changed."""

import tracemalloc
from functools import partial

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, LOSSES, SIZES

from fastmlp import MLP, SGD


@pytest.mark.parametrize("size", [0, -1, True, 2.5, 2**31, 2**63, 10**12, "8", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_layer_sizes_are_checked_before_anything_is_allocated(size, place):
    sizes = [4, 4, 4]
    sizes[place] = size
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, MemoryError)) as caught:
            MLP(sizes)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    if caught.type is ValueError:
        assert "sizes" in str(caught.value)
        assert str(size) in str(caught.value)


def test_sizes_that_are_too_large_only_together():
    with pytest.raises((ValueError, MemoryError)):
        MLP([2**30, 2**30, 2**30, 2])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sizes": [4]}, "sizes"),
        ({"sizes": []}, "sizes"),
        ({"sizes": 4}, "sizes"),
        ({"activation": "rleu"}, "activation.*rleu"),
        ({"activation": ["relu"]}, "activation"),
        ({"activation": ["relu", "tanh", "relu"]}, "activation"),
        ({"activation": 3}, "activation"),
        ({"output_activation": "soft"}, "output_activation.*soft"),
        ({"loss": "hinge"}, "loss.*hinge"),
        ({"dtype": "float16"}, "dtype.*float16"),
        ({"dtype": int}, "dtype"),
        ({"seed": -1}, "seed.*-1"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"sizes": [4, 8, 1]}, "softmax"),
    ],
)
def test_settings_are_checked(settings, words):
    with pytest.raises((ValueError, TypeError), match=f"(?s){words}"):
        MLP(**{"sizes": [4, 8, 8, 3], **settings})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_numbers_in_inputs(rng, dtype, value):
    net = MLP([9, 16, 3], dtype=dtype, activation="tanh")
    clean = rng.normal(size=(40, 9)).astype(dtype)
    t = rng.integers(0, 3, 40)
    Y, P = net(clean), net.predict_proba(clean)
    for row in (0, 17, 39):
        for column in (0, 4, 8):
            X = clean.copy()
            X[row, column] = value
            others = np.arange(40) != row
            assert oracle.same(net(X)[others], Y[others])
            assert oracle.same(net.predict_proba(X)[others], P[others])
            oracle.refused(net, lambda X=X: net.fit(X, t, epochs=1), ValueError, rf"(?s)\bX\b.*\b{row}\b.*\b{column}\b")
            if np.isnan(value):
                assert np.isnan(net(X)[row]).all()
                assert np.isnan(net(X[row])).all()
                assert np.isnan(net.predict_proba(X)[row]).all()
                oracle.refused(net, lambda X=X: net.predict(X), ValueError, rf"\b{row}\b")
            else:
                net.predict(X) if np.isfinite(net(X)).all() else None


@pytest.mark.parametrize("activation", ACTIVATIONS[:9])
@pytest.mark.parametrize("length", SIZES)
def test_nan_reaches_the_output_through_every_layer(rng, dtype, activation, length):
    net = MLP([length, 33, 97, 2], activation=activation, loss="squared_error", dtype=dtype)
    for position in {0, length // 2, length - 1}:
        X = rng.normal(size=(5, length)).astype(dtype)
        X[3, position] = np.nan
        assert np.isnan(net.predict(X)).all(axis=1).tolist() == [False, False, False, True, False]
        assert np.isnan(net(X[3])).all()


def test_infinities_never_crash_a_prediction(rng, dtype):
    for loss in LOSSES:
        for activation in ACTIVATIONS:
            net = MLP([5, 9, 3], activation=activation, loss=loss, dtype=dtype)
            X = rng.normal(size=(6, 5)).astype(dtype)
            X[2, 3], X[4, 0] = np.inf, -np.inf
            refusal = oracle.attempt(
                partial(net.predict, X)
            )  # inf - inf in a hidden layer makes a NaN, which has no class
            assert refusal is None or "row 2" in str(refusal) or "row 4" in str(refusal)


@pytest.mark.parametrize("loss", LOSSES[::2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_numbers_in_targets(loss, value):
    net, X, y = MLP([4, 3], loss=loss), np.ones((6, 4)), np.zeros((6, 3))
    y[4, 1] = value
    oracle.refused(net, lambda: net.fit(X, y, epochs=1), ValueError, r"\by\b")


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
def test_labels_are_checked(call):
    net, X = MLP([4, 3]), np.ones((3, 4))
    extra = [SGD()] if call == "train_step" else []
    for y in ([0, 1, -1], [0, 1, 3], [0, 1.5, 1], [0, np.nan, 1], [0, 2**40, 1], [[0, 1, 2]], [0.0, 1.0, 2.5]):
        oracle.refused(net, lambda y=y: getattr(net, call)(X, y, *extra), (ValueError, TypeError), r"\by\b")
    getattr(net, call)(X, np.array([0, 1, 2], np.uint8), *extra)


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_are_checked(call, loss):
    net, X = MLP([4, 3], loss=loss), np.ones((5, 4))
    y = np.zeros(5, int) if loss == "softmax_cross_entropy" else np.zeros((5, 3))
    extra = [SGD()] if call == "train_step" else []
    method = getattr(net, call)
    oracle.refused(net, lambda: method(X, y[:4], *extra), ValueError, r"(?s)\(5, 4\).*\(4|\(4.*\(5, 4\)")
    oracle.refused(net, lambda: method(X[:, :3], y, *extra), ValueError, r"(?s)\(5, 3\)")
    oracle.refused(net, lambda: method(np.ones((5, 4, 1)), y, *extra), ValueError, r"\bX\b")
    oracle.refused(net, lambda: method(np.float64(3), y, *extra), ValueError, r"\bX\b")
    if loss != "softmax_cross_entropy":  # never broadcast
        for bad in (np.zeros(5), np.zeros((5, 1)), np.zeros((1, 3)), np.zeros((3, 5))):
            oracle.refused(net, lambda bad=bad: method(X, bad, *extra), ValueError, r"\by\b")
    for predict in (net, net.predict):
        with pytest.raises(ValueError, match=r"(?s)\(5, 3\)"):
            predict(X[:, :3])
        with pytest.raises(ValueError, match=r"\bx\b|\bX\b"):
            predict(np.ones(3))
        with pytest.raises(ValueError, match=r"\bx\b|\bX\b"):
            predict(np.ones((2, 2, 4)))


def test_empty_batches(dtype):
    for loss, kind in zip(LOSSES, (dtype, np.dtype(np.int64), np.dtype(np.int64)), strict=True):
        net = MLP([4, 8, 3], loss=loss, dtype=dtype)
        empty = np.empty((0, 4), dtype)
        assert net(empty).shape == (0, 3)
        found = net.predict(empty)
        assert found.shape == ((0,) if loss == "softmax_cross_entropy" else (0, 3))
        assert found.dtype == kind
        y = np.empty(0, int) if loss == "softmax_cross_entropy" else np.empty((0, 3))
        for method in (net.fit, net.loss_and_grad):
            oracle.refused(net, partial(method, empty, y), ValueError, r"\bX\b")
