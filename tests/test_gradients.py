"""Gradients of networks: the written formulas, differences, `backward`, and a step in its pieces."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import oracle
import pytest
from oracle import DIFFERENTIABLE, LOSSES

import fastmlp
from fastmlp import kernels, reference

architectures = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.sampled_from((1, 2, 3, 5, 8, 16, 17, 33)), min_size=2, max_size=5),
        "seed": st.integers(0, 10_000),
        "loss": st.sampled_from(LOSSES),
        "bias": st.booleans(),
        "B": st.sampled_from((1, 2, 7, 16, 33)),
    }
)


def build(drawn, dtype):
    """A random network with random weights, a batch for it, and the generator that drew them."""
    rng = np.random.default_rng(drawn["seed"])
    sizes = list(drawn["sizes"])
    if drawn["loss"] in oracle.OF_CLASSES:
        sizes[-1] = max(sizes[-1], 2)
    activations = [str(a) for a in rng.choice(DIFFERENTIABLE, len(sizes) - 2)]
    net = fastmlp.MLP(sizes, activation=activations or "relu", loss=drawn["loss"], bias=drawn["bias"], dtype=dtype)
    oracle.randomise(net, rng)
    X = rng.normal(size=(drawn["B"], sizes[0])).astype(dtype)
    return net, X, oracle.targets(rng, drawn["loss"], drawn["B"], sizes[-1], dtype), rng


def close(grads, wanted, tolerance):
    """Every gradient within `tolerance` of the largest entry of its kind over all layers."""
    scale = max(np.abs(g).max() for pair in wanted for g in pair)
    for (dW, db), (wanted_dW, wanted_db) in zip(grads, wanted, strict=True):
        assert np.abs(dW - wanted_dW).max() <= tolerance * scale
        assert db is None or np.abs(db - wanted_db).max() <= tolerance * scale


@hypothesis.given(drawn=architectures, double=st.booleans())
def test_loss_and_gradients_are_the_written_formulas(drawn, double):
    dtype = np.dtype(np.float64 if double else np.float32)
    net, X, y, _ = build(drawn, dtype)
    loss, grads = net.loss_and_grad(X, y)
    wanted_loss, wanted = reference.loss_and_grad(
        net.weights, net.biases, oracle.layer_activations(net), net.loss, X, y
    )
    # Up to 5 layers of sums of at most 33 terms forward and back, a relative error of (33 + 2) u each, that weights of
    # norm up to about 0.5 sqrt(33) carry on: 10 * 35 * 8 u, far below any wrong formula's error.
    tolerance = 10 * 35 * 8 * oracle.unit_roundoff(dtype)
    assert abs(loss - wanted_loss) <= tolerance * max(1, wanted_loss)
    close(grads, wanted, tolerance)


@pytest.mark.parametrize("activation", DIFFERENTIABLE)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_the_differences_of_the_loss(rng, activation, loss):
    net = fastmlp.MLP([5, 7, 6, 3], activation=activation, loss=loss, dtype="float64")
    oracle.randomise(net, rng)
    X = rng.normal(size=(30, 5))
    y = oracle.targets(rng, loss, 30, 3)
    z, _ = reference.forward(net.weights, net.biases, oracle.layer_activations(net), X)
    if activation in ("relu", "leaky_relu", "elu") or loss in ("huber", *oracle.KINKED):
        # nothing may cross its kink while a weight moves by two steps
        sure = np.abs(np.concatenate(z[:-1], axis=1)).min(axis=1) > 0.02
        if loss in ("huber", *oracle.KINKED):
            d = np.abs(z[-1] - y)
            sure = (sure if activation in ("relu", "leaky_relu", "elu") else True) & (d.min(axis=1) > 0.02)
            sure &= np.abs(d - 1).min(axis=1) > 0.02
        X, y = X[sure], y[sure]
        assert len(X) >= 3
    grads = [g.copy() for g in oracle.flattened(net.loss_and_grad(X, y)[1])]
    arrays = [a for pair in zip(net.weights, net.biases, strict=True) for a in pair]
    # h^4 J5 / 30 and 1.5 eps |J| / h are some 1e-12 at h = 1e-3
    wanted = oracle.differences(lambda: net.loss_and_grad(X, y)[0], arrays)
    scale = max(np.abs(w).max() for w in wanted)
    assert max(np.abs(g - w).max() for g, w in zip(grads, wanted, strict=True)) <= 1e-8 * scale


@hypothesis.given(drawn=architectures, double=st.booleans())
def test_backward_from_ones_own_dz_is_loss_and_grad(drawn, double):
    dtype = np.dtype(np.float64 if double else np.float32)
    net, X, y, _ = build(drawn, dtype)
    _, grads = net.loss_and_grad(X, y)
    wanted = oracle.copied_then_poisoned(grads)
    dz = getattr(kernels, net.loss)(net(X), y)[1] / dtype.type(len(X))
    dX = net.backward(X, dz)
    assert all(oracle.same(g, w) for g, w in zip(oracle.flattened(grads), wanted, strict=True))
    assert dX.shape == X.shape
    assert dX.dtype == dtype
    tolerance = 10 * 35 * 8 * oracle.unit_roundoff(dtype)  # as above
    z, h = reference.forward(net.weights, net.biases, oracle.layer_activations(net), X)
    wanted_dX = reference.backward(net.weights, oracle.layer_activations(net), z, h, dz.astype(np.float64))[1]
    assert np.abs(dX - wanted_dX).max() <= tolerance * max(np.abs(wanted_dX).max(), np.finfo(dtype).tiny)


@hypothesis.given(drawn=architectures, double=st.booleans())
def test_gradients_are_the_kernels_one_after_the_other(drawn, double):
    check_gradients_are_the_kernels(*build(drawn, np.dtype(np.float64 if double else np.float32))[:3])


@pytest.mark.parametrize("sizes", [(40, 1), (300, 70, 3), (600, 530, 17)], ids=str)
def test_so_they_are_for_batches_taken_in_chunks_and_weights_beyond_the_cache(dtype, sizes):
    drawn = {"sizes": sizes, "seed": sum(sizes), "loss": "squared_error", "bias": True, "B": 5000}
    check_gradients_are_the_kernels(*build(drawn, dtype)[:3])


def check_gradients_are_the_kernels(net, X, y):
    # bit for bit: a step adds nothing of its own, neither in the order of a sum nor by a rounding
    _, grads = net.loss_and_grad(X, y)
    z, h = [], [X]
    for W, b, name in zip(net.weights, net.biases, oracle.layer_activations(net), strict=True):
        z.append(kernels.matmul(h[-1], W, b))
        h.append(getattr(kernels, name)(z[-1]))
    dz = last = getattr(kernels, net.loss)(z[-1], y)[1] / X.dtype.type(len(X))
    for layer in reversed(range(len(grads))):
        dW, db = kernels.outer_gradient(dz, h[layer])
        assert np.array_equal(grads[layer][0], dW)
        assert grads[layer][1] is None or np.array_equal(grads[layer][1], db)
        dz = kernels.matmul(dz, net.weights[layer].T)
        if layer:
            dz *= getattr(kernels, f"{net.activations[layer - 1]}_derivative")(z[layer - 1])
    assert np.array_equal(net.backward(X, last), dz)


def test_the_gradient_by_the_inputs_is_the_differences_too(rng):
    net = fastmlp.MLP([4, 8, 3], activation="tanh", loss="squared_error", dtype="float64")
    X, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    dX = net.backward(X, (net(X) - y) / 5)
    (wanted,) = oracle.differences(lambda: net.loss_and_grad(X, y)[0], [X])
    assert oracle.relative_error(dX, wanted) <= 1e-8


def test_backward_takes_one_row_and_checks_its_shapes(rng, dtype):
    net = fastmlp.MLP([4, 8, 3], loss="squared_error", dtype=dtype)
    X, dz = rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=(5, 3)).astype(dtype)
    assert np.array_equal(net.backward(X[:1], dz[:1])[0], np.ravel(net.backward(X[0], dz[0])))
    for bad_X, bad_dz in ((X[:4], dz), (X, dz[:, :2]), (X[:, :3], dz), (X, dz[0])):
        with pytest.raises(ValueError, match=r"\bX\b|\bdz\b"):
            net.backward(bad_X, bad_dz)


@pytest.mark.parametrize(
    "optimizer", [fastmlp.SGD(0.1, momentum=0.9), fastmlp.Adam(0.01), fastmlp.AdamW(0.01)], ids=repr
)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_by_hand_is_a_step_of_fit(rng, dtype, optimizer, loss):
    nets = [fastmlp.MLP([6, 17, 3], activation="tanh", loss=loss, dtype=dtype, seed=4) for _ in range(3)]
    X, y = rng.normal(size=(22, 6)).astype(dtype), oracle.targets(rng, loss, 22, 3, dtype)
    history = nets[0].fit(X, y, epochs=3, batch_size=8, optimizer=optimizer, shuffle=False)
    losses = []
    for _ in range(3):
        for rows in (slice(0, 8), slice(8, 16), slice(16, 22)):
            losses.append(nets[1].train_step(X[rows], y[rows], optimizer))
            nets[2].loss_and_grad(X[rows], y[rows])
            nets[2].update(optimizer)
    assert oracle.same(nets[1].params, nets[0].params)
    assert oracle.same(nets[2].params, nets[0].params)
    mean = (np.reshape(losses, (3, 3)) @ [8, 8, 6]) / 22
    assert np.allclose(history.loss, mean, rtol=1e-6 if dtype == np.float32 else 1e-13, atol=0)


def test_a_loss_of_ones_own_trains(rng):
    # absolute error: dz = sign(z - y), an algorithm the package does not have
    net = fastmlp.MLP([1, 32, 1], activation="tanh", loss="squared_error", dtype="float64", seed=1)
    X = np.linspace(-1, 1, 64)[:, None]
    y = np.sin(3 * X)
    before = np.abs(net(X) - y).mean()
    for _ in range(500):
        net.backward(X, np.sign(net(X) - y) / 64)
        net.update(fastmlp.Adam(0.01))
    assert np.abs(net(X) - y).mean() < 0.1 * before


def test_grads_are_views_of_the_flat_buffer(rng, dtype):
    net = fastmlp.MLP([5, 17, 3], dtype=dtype)
    X, t = rng.normal(size=(8, 5)).astype(dtype), rng.integers(0, 3, 8)
    _, grads = net.loss_and_grad(X, t)
    assert [(dW.shape, db.shape) for dW, db in grads] == [((17, 5), (17,)), ((3, 17), (3,))]
    first = grads[0][0].copy()
    assert all(np.shares_memory(g, net.grads) for pair in grads for g in pair)
    net.loss_and_grad(X[:4] * 2, t[:4])
    assert not np.array_equal(grads[0][0], first)  # overwritten by the next call
    without = fastmlp.MLP([5, 17, 3], bias=False, dtype=dtype)
    assert [db for _, db in without.loss_and_grad(X, t)[1]] == [None, None]


def test_clipping_between_backward_and_update_counts(rng):
    net, other = (fastmlp.MLP([5, 8, 3], dtype="float64", seed=2) for _ in range(2))
    X, t = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
    net.loss_and_grad(X, t)
    net.grads *= 0.5
    net.update(fastmlp.SGD(0.2))
    other.loss_and_grad(X, t)
    other.update(fastmlp.SGD(0.1))
    assert np.allclose(net.params, other.params, rtol=1e-14, atol=0)


@pytest.mark.parametrize("call", ["loss_and_grad", "fit", "train_step", "backward"])
@pytest.mark.parametrize("output_activation", ["tanh", "sigmoid", "impulse", "heaviside"])
def test_an_activated_output_has_no_gradient_here(call, output_activation):
    net = fastmlp.MLP([3, 4, 2], output_activation=output_activation, loss="squared_error")
    X, y = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    before = net.params.copy()
    with pytest.raises(ValueError, match=output_activation):
        getattr(net, call)(X, y, *([fastmlp.SGD()] if call == "train_step" else []))
    assert np.array_equal(net.params, before)


@pytest.mark.parametrize("activation", ["impulse", "heaviside"])
def test_a_step_in_a_hidden_layer_has_no_gradient(activation):
    net = fastmlp.MLP([3, 4, 2], activation=activation, loss="squared_error")
    with pytest.raises(ValueError, match=activation):
        net.loss_and_grad(np.ones((2, 3)), np.ones((2, 2)))
    assert net(np.ones(3)).shape == (2,)


@pytest.mark.parametrize("rows", [11, 700])
def test_data_in_the_memory_of_the_gradient(rng, rows):
    """One chunk or several: what is read may not be what is written meanwhile."""
    net = fastmlp.MLP([64, 600, 8], loss="squared_error")
    x, d = rng.normal(size=(rows, 64)).astype("f"), (rng.normal(size=(rows, 8)) / rows).astype("f")

    def gradient():  # without what pads it, where the caller's own numbers may stay
        return np.concatenate([g.ravel() for g in oracle.flattened(net._gradient_views)])

    dX, grads = net.backward(x, d), gradient()
    net.grads[: d.size] = d.ravel()
    assert oracle.same(net.backward(x, net.grads[: d.size].reshape(d.shape)), dX)
    assert oracle.same(gradient(), grads)
    net.loss_and_grad(x, d)
    grads = gradient()
    for a, place in ((x, 0), (d, 1)):
        if a.size <= net.grads.size:
            net.grads[: a.size] = a.ravel()
            given = [x, d]
            given[place] = net.grads[: a.size].reshape(a.shape)
            net.loss_and_grad(*given)
            assert oracle.same(gradient(), grads)
