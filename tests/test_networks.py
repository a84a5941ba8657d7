"""MLP as its users see it: construction, views, padding, one row and many, predictions, fit, History, bad inputs."""

import re
import tracemalloc

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, LOSSES, SIZES

import fastmlp
from fastmlp import MLP, SGD, Adam, reference

f4 = np.float32


def padding(net):
    """Where the flat buffers hold no parameter."""
    kept = net.params.copy()
    net.params[...] = 0
    for array in (*net.weights, *net.biases):
        if array is not None:
            array[...] = 1
    where = net.params == 0
    net.params[...] = kept
    return where


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_the_reference_s(rng, dtype, activation, bias):
    for sizes in ([3, 1], [1, 16, 1], [7, 33, 17, 5], [20, 65, 64, 3], [2, 3, 1, 97, 2]):
        net = MLP(sizes, activation=activation, bias=bias, dtype=dtype, loss="squared_error")
        oracle.randomise(net, rng, 0.3)
        X = rng.normal(size=(19, sizes[0])).astype(dtype)
        z, h = reference.forward(net.weights, net.biases, oracle.layer_activations(net), X)
        # A step turns on the last bit, so rows whose z are near 0 are left out. For the others each layer adds at most
        # (fan_in + 2) u sum |w||h|, and the layers above carry it on with slopes of at most 1.13.
        sure = np.ones(19, bool)
        if activation in ("impulse", "heaviside") and len(z) > 1:
            sure = np.concatenate([np.abs(l) for l in z[:-1]], axis=1).min(axis=1) > 1e-4
        error = np.zeros((1, sizes[0]))
        for W, b, x in zip(net.weights, net.biases, h[:-1], strict=True):
            u = oracle.unit_roundoff(dtype)
            own = (W.shape[1] + 2) * u * (np.abs(x) @ np.abs(W).T + (0 if b is None else np.abs(b))) + 8 * u
            error = 1.13 * error @ np.abs(W).T.astype(np.float64) + own
        if activation in ("impulse", "heaviside"):
            error = error + 1e-5
        assert np.all((np.abs(net(X) - h[-1]) <= 2 * error)[sure])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[3, 1], [20, 16, 1], [17, 65, 33, 7], [9, 97, 130, 2], [1, 1, 1]])
def test_one_row_is_the_row_in_any_batch(rng, dtype, activation, sizes):
    net = MLP(sizes, activation=activation, dtype=dtype, loss="squared_error", output_activation=activation)
    oracle.randomise(net, rng)
    X = rng.normal(size=(70, sizes[0])).astype(dtype)
    X[::3][X[::3] < 0] = 0  # zeros that a one-row product may skip
    Y = np.stack([net(x) for x in X])
    assert Y.shape == (70, sizes[-1])
    for rows in range(1, 71):
        assert oracle.same(net(X[:rows]), Y[:rows])
    order = rng.permutation(70)
    assert oracle.same(net(X[order]), Y[order])
    assert oracle.same(net(np.tile(X, (5, 1))), np.tile(Y, (5, 1)))


@pytest.mark.parametrize("loss", LOSSES)
def test_training_sees_the_outputs_that_inference_gives(rng, dtype, loss):
    net = MLP([9, 33, 5], activation="gelu", loss=loss, dtype=dtype)
    X, y = rng.normal(size=(23, 9)).astype(dtype), oracle.targets(rng, loss, 23, 5, dtype)
    losses, _ = getattr(fastmlp.kernels, loss)(net(X), y)
    assert net.loss_and_grad(X, y)[0] == pytest.approx(losses.astype(float).mean(), rel=1e-15)


def test_weights_and_biases_are_views_in_place(rng, dtype):
    net = MLP([4, 6, 2], dtype=dtype)
    assert isinstance(net.weights, tuple)
    assert isinstance(net.biases, tuple)
    assert [w.shape for w in net.weights] == [(6, 4), (2, 6)]
    assert [b.shape for b in net.biases] == [(6,), (2,)]
    assert net.params.ndim == net.grads.ndim == 1
    assert net.params.dtype == net.grads.dtype == net.dtype == dtype
    assert net.params.ctypes.data % 64 == 0
    assert net.params.shape == net.grads.shape
    assert net.n_params == 4 * 6 + 6 + 6 * 2 + 2
    assert all(np.shares_memory(a, net.params) for a in (*net.weights, *net.biases))
    for array in (*net.weights, *net.biases):
        array[...] = 0
    net.weights[0][1, 2], net.weights[1][0, 1], net.biases[1][1] = 2, 3, 5
    assert net(np.array([0, 0, 7, 0], dtype)).tolist() == [42, 5]
    assert (net.params != 0).sum() == 3
    assert MLP([4, 6, 2], bias=False).biases == (None, None)


def test_what_a_network_tells_of_itself():
    net = MLP([4, 6, 5, 2], activation=("relu", "tanh"), loss="squared_error", dtype="float64", seed=7)
    assert net.sizes == (4, 6, 5, 2)
    assert net.activations == ("relu", "tanh")
    assert (net.output_activation, net.loss, net.bias, net.seed) == ("identity", "squared_error", True, 7)
    assert net.dtype == np.float64
    assert net.metadata == {}
    assert MLP([4, 6, 5, 2], activation="gelu").activations == ("gelu", "gelu")
    default = MLP([4, 2])
    assert (default.loss, default.dtype, default.bias, default.seed) == ("softmax_cross_entropy", f4, True, 0)
    for words in ("4", "6", "5", "2", "float64"):
        assert words in repr(net)


def test_padding_is_zero_and_stays_zero(rng, dtype):
    for sizes in ([3, 5, 2], [17, 33, 3], [256, 256, 1]):
        for optimizer in (
            SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            Adam(weight_decay=0.1),
            fastmlp.AdamW(),
        ):
            net = MLP(sizes, activation="sigmoid", loss="squared_error", dtype=dtype)
            where = padding(net)
            assert where.sum() == net.params.size - net.n_params
            assert not net.params[where].any()
            X, y = rng.normal(size=(9, sizes[0])).astype(dtype), rng.normal(size=(9, sizes[-1])).astype(dtype)
            net.fit(X, y, epochs=3, batch_size=4, optimizer=optimizer)
            assert not net.params[where].any()
            assert not net.grads[where].any()
            for slot in net.optimizer_state()["slots"]:
                assert not slot[where].any()


@pytest.mark.parametrize("activation", ACTIVATIONS[:9])
@pytest.mark.parametrize("junk", [1.0, -3e4, np.nan, np.inf])
def test_junk_in_the_padding_changes_no_result(rng, dtype, activation, junk):
    nets = [MLP([5, 19, 3, 2], activation=activation, dtype=dtype, seed=1) for _ in range(2)]
    X, t = rng.normal(size=(30, 5)).astype(dtype), rng.integers(0, 2, 30)
    where = padding(nets[0])
    nets[1].params[where] = junk
    assert oracle.same(nets[1](X), nets[0](X))
    assert oracle.same(nets[1](X[0]), nets[0](X[0]))
    losses, grads = zip(*(net.loss_and_grad(X, t) for net in nets), strict=True)
    assert losses[0] == losses[1]
    for clean, dirty in zip(*grads, strict=True):
        assert all(oracle.same(a, b) for a, b in zip(clean, dirty, strict=True))
    dz = rng.normal(size=(30, 2)).astype(dtype)
    assert oracle.same(*(net.backward(X, dz) for net in nets))
    for net in nets:
        net.grads[where] = junk
        net.update(Adam())
        net.fit(X, t, epochs=2, batch_size=7)
    assert oracle.same(nets[1].params[~where], nets[0].params[~where])


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(), fastmlp.AdamW()], ids=repr)
@pytest.mark.parametrize("loss", LOSSES)
def test_five_epochs_twice_are_ten(rng, dtype, optimizer, loss):
    X, y = rng.normal(size=(50, 4)).astype(dtype), oracle.targets(rng, loss, 50, 3, dtype)
    whole, parts = (MLP([4, 16, 3], loss=loss, dtype=dtype, seed=2) for _ in range(2))
    history = whole.fit(X, y, epochs=10, batch_size=8, optimizer=optimizer)
    halves = [parts.fit(X, y, epochs=5, batch_size=8, optimizer=optimizer) for _ in range(2)]
    assert oracle.same(whole.params, parts.params)
    assert history.loss == halves[0].loss + halves[1].loss


def test_seeds_and_shuffling(rng):
    X, t = rng.normal(size=(64, 4)).astype(f4), rng.integers(0, 3, 64)

    def trained(seed=0, shuffle=True):
        net = MLP([4, 16, 3], seed=seed)
        net.fit(X, t, epochs=3, batch_size=8, shuffle=shuffle)
        return net.params.copy()

    assert oracle.same(trained(), trained())
    assert not np.array_equal(trained(), trained(seed=1))
    assert not np.array_equal(trained(), trained(shuffle=False))
    assert oracle.same(trained(shuffle=False), trained(shuffle=False))


def test_the_order_of_an_epoch_is_the_documented_permutation(rng):
    X, t = rng.normal(size=(37, 4)), rng.integers(0, 3, 37)
    fitted, stepped = (MLP([4, 8, 3], dtype="float64", seed=11) for _ in range(2))
    fitted.fit(X, t, epochs=3, batch_size=10, optimizer=SGD(0.1))
    for epoch in range(3):
        order = oracle.permutation(37, 11, epoch)
        for first in range(0, 37, 10):
            rows = order[first : first + 10]
            stepped.train_step(X[rows], t[rows], SGD(0.1))
    assert oracle.same(fitted.params, stepped.params)


def test_predictions(rng, dtype):
    X = rng.normal(size=(25, 4)).astype(dtype)
    net = MLP([4, 8, 3], dtype=dtype)
    z, classes = net(X), net.predict(X)
    assert classes.dtype == np.int64
    assert classes.shape == (25,)
    assert np.array_equal(classes, z.argmax(axis=1))
    assert oracle.same(net.predict_proba(X), fastmlp.kernels.softmax(z))

    for outputs in (1, 3):
        net = MLP([4, 8, outputs], loss="binary_cross_entropy", dtype=dtype)
        z, classes = net(X), net.predict(X)
        assert classes.dtype == np.int64
        assert classes.shape == (25, outputs)
        assert np.array_equal(classes, (z > 0).astype(int))
        assert 0 < classes.mean() < 1
        assert oracle.same(net.predict_proba(X), fastmlp.kernels.sigmoid(z))

    net = MLP([4, 8, 3], loss="squared_error", dtype=dtype)
    assert oracle.same(net.predict(X), net(X))
    with pytest.raises(ValueError, match="squared_error"):
        net.predict_proba(X)


def test_a_one_dimensional_x_is_one_row(rng):
    x = rng.normal(size=4).astype(f4)
    net = MLP([4, 8, 3])
    assert net(x).shape == (3,)
    assert oracle.same(net(x), net(x[None])[0])
    assert oracle.same(np.ravel(net.predict_proba(x)), net.predict_proba(x[None])[0])
    assert np.ravel(net.predict(x)).tolist() == net.predict(x[None]).tolist()
    regression = MLP([4, 8, 3], loss="squared_error")
    assert oracle.same(np.ravel(regression.predict(x)), regression(x))


def test_history(rng):
    X, t = rng.normal(size=(60, 4)).astype(f4), rng.integers(0, 3, 60)
    history = MLP([4, 8, 3]).fit(X, t, epochs=4, batch_size=16)
    assert [type(v) for v in (history.loss, history.val_loss, history.val_metric, history.seconds)] == [list] * 4
    assert (len(history.loss), history.val_loss, history.val_metric, len(history.seconds)) == (4, [], [], 4)
    assert all(isinstance(v, float) and v > 0 for v in history.loss + history.seconds)

    net = MLP([4, 8, 3])
    history = net.fit(X[:40], t[:40], epochs=3, batch_size=16, validation_data=(X[40:], t[40:]))
    assert len(history.val_loss) == len(history.val_metric) == 3
    assert history.val_metric[-1] == (net.predict(X[40:]) == t[40:]).mean()
    assert history.val_loss[-1] == pytest.approx(net.loss_and_grad(X[40:], t[40:])[0], rel=1e-6)

    y = X[:, :2] * 2 + 1
    net = MLP([4, 8, 2], loss="squared_error")
    history = net.fit(X, y, epochs=30, batch_size=16, validation_data=(X[40:], y[40:]))
    residual = ((net.predict(X[40:]) - y[40:]) ** 2).sum(axis=0)
    spread = ((y[40:] - y[40:].mean(axis=0)) ** 2).sum(axis=0)
    # R^2 over one output is 1 - residual / spread; of several, scikit-learn's mean over outputs or one over the sums
    allowed = [(1 - residual / spread).mean(), 1 - residual.sum() / spread.sum()]
    assert min(abs(history.val_metric[-1] - a) for a in allowed) < 1e-5
    validated = MLP([4, 8, 2], loss="squared_error")
    plain = MLP([4, 8, 2], loss="squared_error")
    validated.fit(X, y, epochs=3, validation_data=(X, y))
    plain.fit(X, y, epochs=3)
    assert oracle.same(validated.params, plain.params)  # to look changes nothing


def test_history_s_loss_is_the_mean_over_rows(rng):
    X, t = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    net = MLP([4, 8, 3], dtype="float64")
    before = net.loss_and_grad(X, t)[0]
    history = net.fit(X, t, epochs=1, batch_size=16, optimizer=SGD(0.0 + 1e-300))
    assert history.loss[0] == pytest.approx(before, rel=1e-13)


def test_verbose_prints_a_line_an_epoch(rng, capsys):
    X, t = rng.normal(size=(20, 4)).astype(f4), rng.integers(0, 3, 20)
    MLP([4, 3]).fit(X, t, epochs=3)
    assert capsys.readouterr().out == ""
    MLP([4, 3]).fit(X, t, epochs=3, verbose=True)
    assert len(capsys.readouterr().out.strip().splitlines()) == 3


def test_targets_of_one_output_may_be_flat(rng, dtype):
    X, y = rng.normal(size=(20, 4)).astype(dtype), rng.integers(0, 2, 20)
    for loss in ("squared_error", "binary_cross_entropy"):
        flat, column = (MLP([4, 8, 1], loss=loss, dtype=dtype) for _ in range(2))
        flat.fit(X, y, epochs=2)
        column.fit(X, y[:, None], epochs=2)
        assert oracle.same(flat.params, column.params)
        assert flat.loss_and_grad(X, y)[0] == column.loss_and_grad(X, y[:, None])[0]


def test_it_learns(rng, dtype):
    X = rng.normal(size=(600, 2)).astype(dtype)
    t = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = MLP([2, 32, 2], dtype=dtype)
    net.fit(X[:400], t[:400], epochs=60, batch_size=16, optimizer=Adam(0.01))
    assert (net.predict(X[400:]) == t[400:]).mean() > 0.95


def test_fit_copies_no_X(rng):
    for dtype in (np.float32, np.float64):
        X = np.zeros((100_000, 50), dtype)
        t = np.zeros(100_000, np.int64)
        net = MLP([50, 16, 3], dtype=dtype)
        tracemalloc.start()
        try:
            net.fit(X, t, epochs=2, batch_size=100)
            net.predict(X)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # X has 20 or 40 MB. fit: an order of 4 bytes a row and a workspace; predict: outputs and classes of 3 + 2 words a row
        assert peak < 0.3 * X.nbytes


# What cannot be built or fitted.


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


def unchanged(net, call, error, match):
    before, state = net.params.copy(), repr(net.optimizer_state())
    with pytest.raises(error, match=match):
        call()
    assert oracle.same(net.params, before)
    assert repr(net.optimizer_state()) == state


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_numbers_in_X(rng, dtype, value):
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
            unchanged(net, lambda X=X: net.fit(X, t, epochs=1), ValueError, rf"(?s)\bX\b.*\b{row}\b.*\b{column}\b")
            if np.isnan(value):
                assert np.isnan(net(X)[row]).all()
                assert np.isnan(net(X[row])).all()
                assert np.isnan(net.predict_proba(X)[row]).all()
                unchanged(net, lambda X=X: net.predict(X), ValueError, rf"\b{row}\b")
            else:
                net.predict(X) if np.isfinite(net(X)).all() else None


@pytest.mark.parametrize("activation", ACTIVATIONS[:9])
@pytest.mark.parametrize("length", SIZES)
def test_nan_reaches_the_output_through_every_layer(rng, dtype, activation, length):
    net = MLP([length, 33, 2], activation=activation, loss="squared_error", dtype=dtype)
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
            try:
                assert len(net.predict(X)) == 6
            except ValueError as error:  # inf - inf in a hidden layer makes a NaN, which has no class
                assert "X" in str(error)


@pytest.mark.parametrize("loss", LOSSES[::2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_numbers_in_y(loss, value):
    net, X, y = MLP([4, 3], loss=loss), np.ones((6, 4)), np.zeros((6, 3))
    y[4, 1] = value
    unchanged(net, lambda: net.fit(X, y, epochs=1), ValueError, r"\by\b")


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
def test_labels_are_checked(call):
    net, X = MLP([4, 3]), np.ones((3, 4))
    extra = [SGD()] if call == "train_step" else []
    for y in ([0, 1, -1], [0, 1, 3], [0, 1.5, 1], [0, np.nan, 1], [0, 2**40, 1], [[0, 1, 2]], [0.0, 1.0, 2.5]):
        unchanged(net, lambda y=y: getattr(net, call)(X, y, *extra), (ValueError, TypeError), r"\by\b")
    getattr(net, call)(X, np.array([0, 1, 2], np.uint8), *extra)


@pytest.mark.parametrize("call", ["fit", "loss_and_grad", "train_step"])
@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_are_checked(call, loss):
    net, X = MLP([4, 3], loss=loss), np.ones((5, 4))
    y = np.zeros(5, int) if loss == "softmax_cross_entropy" else np.zeros((5, 3))
    extra = [SGD()] if call == "train_step" else []
    method = getattr(net, call)
    unchanged(net, lambda: method(X, y[:4], *extra), ValueError, r"(?s)\(5, 4\).*\(4|\(4.*\(5, 4\)")
    unchanged(net, lambda: method(X[:, :3], y, *extra), ValueError, r"(?s)\(5, 3\)")
    unchanged(net, lambda: method(np.ones((5, 4, 1)), y, *extra), ValueError, r"\bX\b")
    unchanged(net, lambda: method(np.float64(3), y, *extra), ValueError, r"\bX\b")
    if loss != "softmax_cross_entropy":  # never broadcast
        for bad in (np.zeros(5), np.zeros((5, 1)), np.zeros((1, 3)), np.zeros((3, 5))):
            unchanged(net, lambda bad=bad: method(X, bad, *extra), ValueError, r"\by\b")
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
        for call in (lambda: net.fit(empty, y), lambda: net.loss_and_grad(empty, y)):
            unchanged(net, call, ValueError, r"\bX\b")


@pytest.mark.parametrize(
    "settings",
    [{"epochs": -1}, {"epochs": 1.5}, {"batch_size": 0}, {"batch_size": -3}, {"batch_size": 2.5}, {"optimizer": "adam"},
     {"threads": 0}, {"threads": -1}, {"threads": 1.5}, {"validation_data": 3}],
    ids=repr,
)  # fmt: skip
def test_settings_of_fit_are_checked(settings):
    net, (name,) = MLP([4, 3]), settings
    unchanged(net, lambda: net.fit(np.ones((5, 4)), np.zeros(5, int), **settings), (ValueError, TypeError), name)


def test_validation_data_are_checked_before_training():
    net, X, t = MLP([4, 3]), np.ones((5, 4)), np.zeros(5, int)
    for bad in ((X[:, :3], t), (X, t[:4]), (X, t + 3)):
        unchanged(net, lambda bad=bad: net.fit(X, t, epochs=1, validation_data=bad), ValueError, "(?s).")


def test_a_batch_larger_than_the_data_is_all_of_it(rng):
    X, t = rng.normal(size=(10, 4)).astype(f4), rng.integers(0, 3, 10)
    nets = [MLP([4, 3]) for _ in range(2)]
    nets[0].fit(X, t, epochs=3, batch_size=10, shuffle=False)
    nets[1].fit(X, t, epochs=3, batch_size=10**6, shuffle=False)
    assert oracle.same(nets[0].params, nets[1].params)


def test_a_loss_that_overflows_stops_before_the_step_that_would_spread_it(rng):
    X, y = rng.normal(size=(40, 4)).astype(f4), rng.normal(size=(40, 2)).astype(f4)
    for optimizer in (SGD(1e18), SGD(1e18, momentum=0.9)):
        net, twin = (MLP([4, 16, 2], loss="squared_error", seed=3) for _ in range(2))
        with pytest.raises(FloatingPointError, match=r"(?s)epoch.*step|step.*epoch") as caught:
            net.fit(X, y, epochs=50, batch_size=10, shuffle=False, optimizer=optimizer)
        done, (epoch, step) = 0, [int(n) for n in re.findall(r"(?:epoch|step)\D*(\d+)", str(caught.value))][:2]
        with np.errstate(all="ignore"):
            while np.isfinite(np.sum((twin(X[done % 4 * 10 :][:10]) - y[done % 4 * 10 :][:10]) ** 2, dtype=f4)):
                twin.train_step(X[done % 4 * 10 :][:10], y[done % 4 * 10 :][:10], optimizer)
                done += 1
        assert oracle.same(net.params, twin.params)
        assert np.isfinite(net.params).all()
        assert net.optimizer_state()["step"] == done
        # counted from 0 or from 1
        assert (epoch, step) in ((done // 4, done % 4), (done // 4 + 1, done % 4 + 1), (done // 4 + 1, done % 4))
        for call in (lambda: net.train_step(X, y * f4(1e20), optimizer), lambda: net.fit(X, y * f4(1e20), epochs=1)):
            unchanged(net, call, FloatingPointError, "loss")


def test_subnormal_inputs_are_used_exactly_and_what_is_stored_is_never_subnormal(dtype):
    info = np.finfo(dtype)
    net = MLP([2, 2, 2], activation="identity", loss="squared_error", bias=False, dtype=dtype)
    net.weights[0][...] = np.array([[2.0**20, 0], [0, 1]])
    net.weights[1][...] = np.eye(2)
    x = np.array([info.tiny / 4, info.tiny / 4], dtype)
    wanted = [info.tiny / 4 * dtype.type(2.0**20), 0]
    assert net(x).tolist() == wanted
    assert net(np.stack([x] * 20)).tolist() == [wanted] * 20
    net.train_step(x, np.zeros(2, dtype), Adam(learning_rate=float(info.tiny)))
    for buffer in (net.params, *net.optimizer_state()["slots"]):
        assert not ((buffer != 0) & (np.abs(buffer) < info.tiny)).any()


def test_moments_of_a_dead_column_do_not_stay_subnormal(rng):
    net = MLP([3, 8, 2], seed=1)
    X, t = rng.normal(size=(32, 3)).astype(f4), rng.integers(0, 2, 32)
    net.fit(X, t, epochs=2, optimizer=Adam())
    X[:, 1] = 0
    net.fit(X, t, epochs=3000, batch_size=32, optimizer=Adam())
    for slot in net.optimizer_state()["slots"]:
        assert not ((slot != 0) & (np.abs(slot) < np.finfo(f4).tiny)).any()
