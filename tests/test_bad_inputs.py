"""What a network refuses or lives with: settings, numbers, labels, shapes. An error names them; nothing has changed."""

import tracemalloc
from functools import partial

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, DIFFERENTIABLE, LOSSES, SIZES

from fastmlp import MLP, SGD, SiameseMLP


@pytest.mark.parametrize("size", [0, -1, True, 2.5, 2**31, 2**63, 10**12, "8", None])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", [MLP, SiameseMLP])
def test_layer_sizes_are_checked_before_anything_is_allocated(kind, size, place):
    sizes = [4, 4, 4]
    sizes[place] = size
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, MemoryError)) as caught:
            kind(sizes)
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
        ({"sizes": np.array(4)}, "sizes"),
        ({"sizes": np.array([[4, 3]])}, "sizes"),
        ({"activation": np.array("relu")}, "activation"),
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


def diagonal_of_nan(rng, length, dtype):
    """A row with a NaN at each position, and one without."""
    X = rng.normal(size=(length + 1, length)).astype(dtype)
    X[np.arange(length), np.arange(length)] = np.nan
    return X


@pytest.mark.parametrize("activation", DIFFERENTIABLE)
def test_nan_at_any_position_reaches_the_output_of_its_row_alone(rng, dtype, activation):
    for length in range(1, 68):
        net = MLP([length, 97, 68 - length, 2], activation=activation, loss="squared_error", dtype=dtype)
        X = diagonal_of_nan(rng, length, dtype)
        Y = net.predict(X)
        assert np.isnan(Y[:-1]).all()
        assert np.isfinite(Y[-1]).all()
        assert all(np.isnan(net(x)).all() for x in X[:-1])


@pytest.mark.parametrize("length", SIZES)
def test_nan_at_any_position_is_named(rng, dtype, length):
    net, t = MLP([length, 17, 3], activation="tanh", dtype=dtype), np.zeros(length + 1, int)
    siamese, other = SiameseMLP([length, 5], dtype=dtype), np.ones((length + 1, length), dtype)
    bad = diagonal_of_nan(rng, length, dtype)
    P = net.predict_proba(bad)
    assert np.isnan(P[:-1]).all()
    assert np.isfinite(P[-1]).all()
    for at in range(length):
        X = np.ones_like(bad)
        X[at] = bad[at]
        where = rf"is nan at row {at}, column {at};.*finite"
        oracle.refused(net, partial(net.fit, X, t, epochs=1), ValueError, r"^X " + where)
        oracle.refused(siamese, partial(siamese.fit, (other, X), t, epochs=1), ValueError, r"^X\[1\] " + where)
        oracle.refused(net, partial(net.predict, X), ValueError, rf"\brow {at}\b")
        oracle.refused(siamese, partial(siamese.predict, (X, other)), ValueError, rf"\brow {at}\b")


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


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss not in oracle.OF_CLASSES])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_numbers_in_targets(loss, value):
    net, X, y = MLP([4, 3], loss=loss), np.ones((6, 4)), np.zeros((6, 3))
    y[4, 1] = value
    oracle.refused(net, lambda: net.fit(X, y, epochs=1), ValueError, rf"^y is {value} .*\brow 4\b")


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
def test_labels_are_checked(call):
    net, X = MLP([4, 3]), np.ones((3, 4))
    extra = [SGD()] if call == "train_step" else []
    for y in ([0, 1, -1], [0, 1, 3], [0, 1.5, 1], [0, np.nan, 1], [0, 2**40, 1], [[0, 1, 2]], [0.0, 1.0, 2.5]):
        wanted = r"^y\[\d\] is .*from 0 to 2" if np.ndim(y) == 1 else r"^y has shape \(1, 3\).*\(B,\)"
        oracle.refused(net, lambda y=y: getattr(net, call)(X, y, *extra), ValueError, wanted)
    getattr(net, call)(X, np.array([0, 1, 2], np.uint8), *extra)


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_are_checked(call, loss):
    net, X = MLP([4, 3], loss=loss), np.ones((5, 4))
    y = np.zeros(5, int) if loss in oracle.OF_CLASSES else np.zeros((5, 3))
    extra = [SGD()] if call == "train_step" else []
    method = getattr(net, call)
    oracle.refused(net, lambda: method(X, y[:4], *extra), ValueError, r"(?s)\(5, 4\).*\(4|\(4.*\(5, 4\)")
    oracle.refused(net, lambda: method(X[:, :3], y, *extra), ValueError, r"\(5, 3\).*\(B, 4\)")
    oracle.refused(net, lambda: method(np.ones((5, 4, 1)), y, *extra), ValueError, r"\bX\b")
    oracle.refused(net, lambda: method(np.float64(3), y, *extra), ValueError, r"\bX\b")
    if loss not in oracle.OF_CLASSES:  # never broadcast
        for bad in (np.zeros(5), np.zeros((5, 1)), np.zeros((1, 3)), np.zeros((3, 5))):
            oracle.refused(net, lambda bad=bad: method(X, bad, *extra), ValueError, r"\by\b")
    for predict in (net, net.predict):
        with pytest.raises(ValueError, match=r"\(5, 3\).*\(B, 4\)"):
            predict(X[:, :3])
        with pytest.raises(ValueError, match=r"\bx\b|\bX\b"):
            predict(np.ones(3))
        with pytest.raises(ValueError, match=r"\bx\b|\bX\b"):
            predict(np.ones((2, 2, 4)))


def test_empty_batches(dtype):
    for loss in LOSSES:
        kind = np.dtype(np.int64) if loss in (*oracle.OF_CLASSES, "binary_cross_entropy", "binary_focal") else dtype
        net = MLP([4, 8, 3], loss=loss, dtype=dtype)
        empty = np.empty((0, 4), dtype)
        assert net(empty).shape == (0, 3)
        found = net.predict(empty)
        assert found.shape == ((0,) if loss in oracle.OF_CLASSES else (0, 3))
        assert found.dtype == kind
        y = np.empty(0, int) if loss in oracle.OF_CLASSES else np.empty((0, 3))
        for method in (net.fit, net.loss_and_grad):
            oracle.refused(net, partial(method, empty, y), ValueError, r"\bX\b")
    siamese = SiameseMLP([4, 8], dtype=dtype)
    assert siamese((empty, empty)).shape == siamese.predict((empty, empty)).shape == (0,)
    oracle.refused(siamese, partial(siamese.fit, (empty, empty), np.empty(0)), ValueError, r"\bX\b")


def test_what_was_trained_for_another_architecture_is_refused_with_both_named():
    X, t = np.ones((3, 4)), [0, 1, 1]

    def trained(sizes=(4, 16, 16), dtype="float32"):
        net = MLP(sizes, dtype=dtype)
        net.fit(X, t, epochs=1, optimizer=SGD(0.1, momentum=0.9))
        return net

    net = trained()
    wide, double, state = trained((4, 50, 16)), trained(dtype="float64"), net.optimizer_state()
    shapes = rf"\({wide.params.size},\).*\({net.params.size},\)"
    for name in ("params", "grads"):
        oracle.refused(net, partial(setattr, net, name, getattr(wide, name)), ValueError, f"^{name} .* {shapes}")
    for other, words in ((wide.optimizer_state(), shapes), (double.optimizer_state(), "float64.*float32")):
        oracle.refused(net, partial(net.set_optimizer_state, other), ValueError, words)
    bad = [({"slots": []}, "0 slots"), ({"optimizer": None}, "1 slots"), ({"optimizer": "SGD"}, "SGD")]
    bad += [({"steps": 2**70}, "."), ({"steps": "many"}, "."), ({"beta_powers": (1.0,)}, ".")]
    for changes, words in bad:
        given = partial(net.set_optimizer_state, state | changes)
        oracle.refused(net, given, (ValueError, TypeError, OverflowError), words)
    regression = MLP([4, 5, 2], loss="squared_error")
    oracle.refused(net, lambda: net.fit(X, np.ones((3, 2))), ValueError, r"^y has shape \(3, 2\).*\(B,\) class numbers")
    oracle.refused(regression, lambda: regression.fit(X, t), ValueError, r"^y has shape \(3,\).*\(B, 2\)")
    with pytest.raises(ValueError, match="squared_error"):
        regression.predict_proba(X)


@pytest.mark.parametrize("dtype", ["float23", "x", 3, np.nan, b"1", None, "int32", "float16"], ids=repr)
def test_a_dtype_is_one_of_two(dtype):
    with pytest.raises(ValueError, match=r"^dtype is .*; it must be 'float32' or 'float64'"):
        MLP([2, 3], dtype=dtype)


@pytest.mark.parametrize("value", ["False", None, np.nan, 0, np.array([1, 2])], ids=repr)
def test_what_is_true_or_false_is_nothing_else(value):
    net = MLP([4, 3])
    oracle.refused(net, lambda: MLP([4, 3], bias=value), ValueError, "^bias is .*; it must be True or False")
    fit = partial(net.fit, np.ones((5, 4)), np.zeros(5, int), shuffle=value)
    oracle.refused(net, fit, ValueError, "^shuffle is .*; it must be True or False")


@pytest.mark.parametrize(
    ("given", "near"),
    [("Relu", "relu"), ("GELU", "gelu"), ("rellu", "relu"), ("leaky", "leaky_relu"), ("tanh_approx", "tanh")],
)
def test_the_nearest_name_whatever_its_case(given, near):
    with pytest.raises(ValueError, match=rf"activation is '{given}' \(did you mean '{near}'\?\)"):
        MLP([2, 3, 2], activation=given)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "focal", "binary_cross_entropy", "binary_focal", "poisson"])
def test_what_is_made_of_logits_is_not_made_of_activated_outputs(loss):
    net, X = MLP([4, 3], loss=loss, output_activation="sigmoid"), np.ones((5, 4))
    assert net(X).shape == (5, 3)
    oracle.refused(net, partial(net.predict, X), ValueError, "^output_activation is 'sigmoid'")
    if loss != "poisson":
        oracle.refused(net, partial(net.predict_proba, X), ValueError, "^output_activation is 'sigmoid'")
