"""The siamese network: one encoder, two inputs, a head on the difference, and the order that it learns."""

import numpy as np
import oracle
import pytest
from oracle import DIFFERENTIABLE

import fastmlp
from fastmlp import SGD, Adam, AdamW, SiameseMLP, digits, kernels, reference


def build(rng, sizes=(5, 7), dtype="float64", **settings):
    net = SiameseMLP(list(sizes), dtype=dtype, **settings)
    oracle.randomise(net, rng)
    return net


def pairs(rng, rows, inputs, dtype=np.float64):
    X1, X2 = (rng.normal(size=(rows, inputs)).astype(dtype) for _ in range(2))
    return X1, X2, rng.integers(0, 2, rows)


def test_gradients_are_the_written_formulas(rng):
    net = build(rng)
    (W1, W2), (b1, b2) = net.weights, net.biases
    X1, X2, y = pairs(rng, 12, 5)
    m = len(y)
    dW1, db1, dW2, db2, J = 0, 0, 0, 0, 0
    for x1, x2, t in zip(X1, X2, y, strict=True):
        z1, z2 = W1 @ x1 + b1, W1 @ x2 + b1
        a = np.maximum(z1, 0) - np.maximum(z2, 0)
        z3 = W2 @ a + b2
        p = 1 / (1 + np.exp(-z3))
        J = J - (t * np.log(p) + (1 - t) * np.log(1 - p))[0] / m
        d1 = (p - t) / m
        g1, g2 = W2.T @ d1 * (z1 > 0), W2.T @ d1 * (z2 > 0)
        dW2, db2 = dW2 + np.outer(d1, a), db2 + d1
        dW1, db1 = dW1 + np.outer(g1, x1) - np.outer(g2, x2), db1 + g1 - g2
    loss, [(found_dW1, found_db1), (found_dW2, found_db2)] = net.loss_and_grad((X1, X2), y)
    # sums of at most 24 terms, four in a row: 4 * 26 u, some 1e-14 of the largest entry
    assert loss == pytest.approx(J, rel=1e-13)
    for found, wanted in ((found_dW1, dW1), (found_db1, db1), (found_dW2, dW2), (found_db2, db2)):
        assert oracle.relative_error(found, wanted) <= 1e-13
    before = [a.copy() for a in (W1, b1, W2, b2)]
    net.train_step((X1, X2), y, SGD(0.5))
    for array, old, grad in zip((W1, b1, W2, b2), before, (dW1, db1, dW2, db2), strict=True):
        assert oracle.relative_error(array, old - 0.5 * grad) <= 1e-13


@pytest.mark.parametrize("activation", DIFFERENTIABLE)
@pytest.mark.parametrize("sizes", [(4, 6), (4, 6, 5), (3, 8, 7, 17)])
def test_gradients_of_any_encoder(rng, activation, sizes):
    net = build(rng, sizes, activation=activation)
    X1, X2, y = pairs(rng, 9, sizes[0])
    loss, grads = net.loss_and_grad((X1, X2), y)
    wanted_loss, wanted = reference.siamese_loss_and_grad(net.weights, net.biases, net.activations, X1, X2, y)
    assert loss == pytest.approx(wanted_loss, rel=1e-13)
    scale = max(np.abs(g).max() for pair in wanted for g in pair)
    for pair, wanted_pair in zip(grads, wanted, strict=True):
        for found, exact in zip(pair, wanted_pair, strict=True):
            assert np.abs(found - exact).max() <= 1e-13 * scale


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_gradients_are_the_differences(rng, activation):
    net = build(rng, (4, 6, 5), activation=activation)
    X1, X2, y = pairs(rng, 60, 4)
    sure = np.ones(60, bool)
    if activation == "relu":  # rows none of whose units crosses 0 while a weight moves by two steps of 1e-3
        for X in (X1, X2):
            z, _ = reference.forward(net.weights[:-1], net.biases[:-1], net.activations, X)
            sure &= np.abs(np.concatenate(z, axis=1)).min(axis=1) > 0.03
    X1, X2, y = X1[sure], X2[sure], y[sure]
    assert len(y) >= 5
    arrays = [a for pair in zip(net.weights, net.biases, strict=True) for a in pair]
    grads = [g.copy() for pair in net.loss_and_grad((X1, X2), y)[1] for g in pair]
    wanted = oracle.differences(lambda: net.loss_and_grad((X1, X2), y)[0], arrays)
    scale = max(np.abs(w).max() for w in wanted)
    assert max(np.abs(g - w).max() for g, w in zip(grads, wanted, strict=True)) <= 1e-8 * scale


def test_outputs_and_shapes(rng, dtype):
    net = build(rng, (5, 17, 9), dtype)
    X1, X2, y = pairs(rng, 40, 5, dtype)
    assert [w.shape for w in net.weights] == [(17, 5), (9, 17), (1, 9)]
    assert [b.shape for b in net.biases] == [(17,), (9,), (1,)]
    z3 = net((X1, X2))
    assert z3.shape == (40,)
    assert z3.dtype == dtype
    encode = fastmlp.MLP([5, 17, 9], activation="relu", output_activation="relu", dtype=dtype, loss="squared_error")
    for mine, theirs in zip((*encode.weights, *encode.biases), (*net.weights[:2], *net.biases[:2]), strict=True):
        mine[...] = theirs
    a = encode(X1) - encode(X2)
    assert oracle.same(z3, kernels.matmul(a, net.weights[2], net.biases[2])[:, 0])
    p = net.predict_proba((X1, X2))
    assert oracle.same(p, kernels.sigmoid(z3))
    classes = net.predict((X1, X2))
    assert classes.dtype == np.int64
    assert np.array_equal(classes, z3 > 0)
    loss, _ = net.loss_and_grad((X1, X2), y)
    wanted, _ = kernels.binary_cross_entropy(z3[:, None], y[:, None].astype(dtype))
    assert loss == pytest.approx(wanted.astype(float).mean(), rel=1e-15)
    for rows in (1, 2, 15, 17, 39):
        assert oracle.same(net((X1[:rows], X2[:rows])), z3[:rows])


@pytest.mark.parametrize("activation", DIFFERENTIABLE)
@pytest.mark.parametrize("sizes", [(5, 64), (5, 33, 17)])
def test_swapping_the_inputs_turns_the_sign(rng, dtype, activation, sizes):
    net = build(rng, sizes, dtype, activation=activation)
    net.biases[-1][...] = 0
    X1, X2, _ = pairs(rng, 200, 5, dtype)
    X1[::2] *= 30
    assert np.array_equal(net((X1, X2)), -net((X2, X1)))
    assert len(np.unique(net((X1, X2)))) > 150
    p, q = net.predict_proba((X1, X2)), net.predict_proba((X2, X1))
    assert np.abs(p.astype(float) + q - 1).max() <= 2 * np.finfo(dtype).eps  # 2 ulp of 1
    same = net((X1, X1))
    assert not same.any()
    assert not np.signbit(same).any()


def test_the_loss_is_computed_from_z3(rng):
    net = SiameseMLP([1, 1], activation="identity", dtype="float64")
    for array, value in zip((*net.weights, *net.biases), (1, 1, 0, 0), strict=True):
        array[...] = value
    x = np.array([[1e3]])
    loss, grads = net.loss_and_grad((x, -x), np.array([0]))  # log(1 - sigmoid(2000)) would be -inf
    assert loss == 2000
    assert grads[1][1] == [1.0]


def test_steps_by_hand_are_steps_of_fit(rng, dtype):
    X1, X2, y = pairs(rng, 22, 5, dtype)
    for optimizer in (SGD(0.1, momentum=0.9), Adam(0.01)):
        nets = [SiameseMLP([5, 17, 6], dtype=dtype, seed=3) for _ in range(3)]
        nets[0].fit((X1, X2), y, epochs=3, batch_size=8, shuffle=False, optimizer=optimizer)
        for _ in range(3):
            for rows in (slice(0, 8), slice(8, 16), slice(16, 22)):
                nets[1].train_step((X1[rows], X2[rows]), y[rows], optimizer)
                nets[2].loss_and_grad((X1[rows], X2[rows]), y[rows])
                nets[2].update(optimizer)
        assert oracle.same(nets[1].params, nets[0].params)
        assert oracle.same(nets[2].params, nets[0].params)


def test_five_epochs_twice_are_ten(rng):
    X1, X2, y = pairs(rng, 50, 5, np.float32)
    whole, parts = (SiameseMLP([5, 16], seed=2) for _ in range(2))
    whole.fit((X1, X2), y, epochs=10, batch_size=8, optimizer=Adam())
    for _ in range(2):
        parts.fit((X1, X2), y, epochs=5, batch_size=8, optimizer=Adam())
    assert oracle.same(whole.params, parts.params)


def test_backward_of_a_loss_of_ones_own(rng):
    net = build(rng)
    X1, X2, y = pairs(rng, 16, 5)
    _, grads = net.loss_and_grad((X1, X2), y)
    wanted = oracle.copied_then_poisoned(grads)
    net.backward((X1, X2), (net.predict_proba((X1, X2)) - y) / 16)
    assert all(oracle.same(g, w) for g, w in zip(oracle.flattened(grads), wanted, strict=True))


def test_what_does_not_fit_is_told(rng):
    net = SiameseMLP([5, 7])
    X1, X2, y = pairs(rng, 6, 5)
    for bad in (X1, (X1,), (X1, X2, X2), (X1[:5], X2), (X1[:, :4], X2[:, :4]), (X1, X2[:, :4])):
        for call in (net, net.predict, lambda X: net.fit(X, y, epochs=1), lambda X: net.loss_and_grad(X, y)):
            with pytest.raises((ValueError, TypeError), match=r"\b[xX]"):
                call(bad)
    for bad in (y[:5], y[:, None] * np.ones((1, 2)), y + 0.5j):
        with pytest.raises((ValueError, TypeError), match=r"\by\b"):
            net.fit((X1, X2), bad, epochs=1)
    X2[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"(?s)\bX.*\b3\b.*\b2\b"):
        net.fit((X1, X2), y, epochs=1)
    assert np.isnan(net((X1, X2))).tolist() == [False, False, False, True, False, False]
    for sizes in ([5], [], [5, 0]):
        with pytest.raises(ValueError, match="sizes"):
            SiameseMLP(sizes)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_tells_which_of_two_digits_is_the_larger(seed):
    X, label = digits.load()
    train, test = digits.stratified_split(
        label, seed=seed
    )  # images first, pairs after: no test image is seen in training
    rng = np.random.default_rng(seed)

    def draw(rows, n):
        i, j = rng.choice(rows, n), rng.choice(rows, n)
        i, j = i[label[i] != label[j]], j[label[i] != label[j]]
        return (X[i], X[j]), (label[i] > label[j]).astype(np.int64)

    net = SiameseMLP([64, 64], seed=seed)
    net.fit(*draw(train, 40_000), epochs=15, batch_size=128, optimizer=AdamW(3e-3))
    pairs_of_test, larger = draw(test, 20_000)
    assert 0.4 < larger.mean() < 0.6
    assert (net.predict(pairs_of_test) == larger).mean() >= 0.94
