"""MLP as its users see it: construction, views, padding, one row and many, predictions."""

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, DIFFERENTIABLE, LOSSES

import fastmlp
from fastmlp import MLP, SGD, Adam, kernels, reference


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


@pytest.mark.parametrize("activation", [*DIFFERENTIABLE, "impulse", "heaviside"])
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
            sure = np.abs(np.concatenate(z[:-1], axis=1)).min(axis=1) > 1e-4
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


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[5, 256, 64, 3], [130, 255, 1], [3, 1, 17, 257, 10]])
def test_a_network_is_its_kernels_one_after_the_other(rng, dtype, activation, sizes):
    net = MLP(sizes, activation=activation, dtype=dtype, loss="squared_error")
    oracle.randomise(net, rng, 0.3)
    for rows in (1, 2, 55, 56, 57, 113):
        h = X = rng.normal(size=(rows, sizes[0])).astype(dtype)
        for W, b, name in zip(net.weights, net.biases, oracle.layer_activations(net), strict=True):
            h = kernels.matmul(h, W, b, name)
        assert np.array_equal(net(X), h)


@pytest.mark.parametrize("loss", LOSSES)
def test_training_sees_the_outputs_that_inference_gives(rng, dtype, loss):
    net = MLP([9, 33, 5], activation="gelu", loss=loss, dtype=dtype)
    X, y = rng.normal(size=(23, 9)).astype(dtype), oracle.targets(rng, loss, 23, 5, dtype)
    losses, _ = getattr(kernels, loss)(net(X), y)
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


def test_assigning_the_flat_buffers_copies_into_them(rng, dtype):
    net = MLP([4, 6, 2], dtype=dtype)
    params, grads, weights = net.params, net.grads, net.weights[0].copy()
    net.params *= 0.5
    net.params = net.params * 4
    assert net.params is params
    assert oracle.same(net.weights[0], weights * 2)
    net.loss_and_grad(rng.normal(size=(3, 4)), [0, 1, 0])
    kept = grads.copy()
    net.grads = grads * 2
    assert net.grads is grads
    assert oracle.same(grads, kept * 2)


def test_what_a_network_tells_of_itself():
    net = MLP([4, 6, 5, 2], activation=("relu", "tanh"), loss="squared_error", dtype="float64", seed=7)
    assert net.sizes == (4, 6, 5, 2)
    assert net.activations == ("relu", "tanh")
    assert (net.output_activation, net.loss, net.bias, net.seed) == ("identity", "squared_error", True, 7)
    assert net.dtype == np.float64
    assert net.metadata == {}
    assert MLP([4, 6, 5, 2], activation="gelu").activations == ("gelu", "gelu")
    default = MLP([4, 2])
    assert (default.loss, default.dtype, default.bias, default.seed) == ("softmax_cross_entropy", np.float32, True, 0)
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


@pytest.mark.parametrize("activation", DIFFERENTIABLE)
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


def test_predictions(rng, dtype):
    X = rng.normal(size=(25, 4)).astype(dtype)
    net = MLP([4, 8, 3], dtype=dtype)
    z, classes = net(X), net.predict(X)
    assert classes.dtype == np.int64
    assert classes.shape == (25,)
    assert np.array_equal(classes, z.argmax(axis=1))
    assert oracle.same(net.predict_proba(X), kernels.softmax(z))

    for outputs in (1, 3):
        net = MLP([4, 8, outputs], loss="binary_cross_entropy", dtype=dtype)
        z, classes = net(X), net.predict(X)
        assert classes.dtype == np.int64
        assert classes.shape == (25, outputs)
        assert np.array_equal(classes, (z > 0).astype(int))
        assert 0 < classes.mean() < 1
        assert oracle.same(net.predict_proba(X), kernels.sigmoid(z))

    net = MLP([4, 8, 3], loss="squared_error", dtype=dtype)
    assert oracle.same(net.predict(X), net(X))
    with pytest.raises(ValueError, match="squared_error"):
        net.predict_proba(X)


def test_a_one_dimensional_x_is_one_row(rng):
    x = rng.normal(size=4).astype(np.float32)
    net = MLP([4, 8, 3])
    assert net(x).shape == (3,)
    assert oracle.same(net(x), net(x[None])[0])
    assert oracle.same(np.ravel(net.predict_proba(x)), net.predict_proba(x[None])[0])
    assert np.ravel(net.predict(x)).tolist() == net.predict(x[None]).tolist()
    regression = MLP([4, 8, 3], loss="squared_error")
    assert oracle.same(np.ravel(regression.predict(x)), regression(x))


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
