"""Weighted rows, penalties, bounds on norms, averaged weights and dropout: one step of each against its formula."""

import numpy as np
import oracle
import pytest

import fastmlp
from fastmlp import MLP, SGD, Adam, Regularization, reference


def problem(rng, dtype, loss="squared_error", rows=12):
    net = MLP([5, 17, 3], activation="tanh", loss=loss, dtype=dtype, seed=3)
    oracle.randomise(net, rng)
    return net, rng.normal(size=(rows, 5)).astype(dtype), oracle.targets(rng, loss, rows, 3, dtype)


def parameters(net):
    return [a.astype(np.float64) for pair in zip(net.weights, net.biases, strict=True) for a in pair]


def gradients(net, X, y):
    """The mean loss and its gradient, copied, in float64."""
    loss, grads = net.loss_and_grad(X, y)
    return loss, [g.astype(np.float64) for g in oracle.flattened(grads)]


def one_step(net, X, y, optimizer, **settings):
    """One step of fit on all rows: the loss it tells, and the parameters it leaves."""
    history = net.fit(X, y, epochs=1, batch_size=len(X), shuffle=False, optimizer=optimizer, **settings)
    return history.loss[0], parameters(net)


def close(found, wanted, dtype):
    # sums of a dozen rows and 17 units, each product rounded a few times: some 100 u of the largest entry
    scale = max(np.abs(w).max() for w in wanted)
    return all(
        np.abs(f - w).max() <= 100 * oracle.unit_roundoff(dtype) * scale for f, w in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("loss", oracle.LOSSES)
def test_weights_of_rows_weigh_their_losses_and_gradients(rng, dtype, loss):
    net, X, y = problem(rng, dtype, loss)
    weights = rng.uniform(0.1, 3, len(X))
    weights[4] = 0
    before, rows = parameters(net), [gradients(net, X[i : i + 1], y[i : i + 1]) for i in range(len(X))]
    share = weights / weights.sum()
    told, after = one_step(net, X, y, SGD(0.1), sample_weight=weights)
    assert told == pytest.approx(sum(s * row[0] for s, row in zip(share, rows, strict=True)), rel=1e-6)
    mean = [sum(s * row[1][k] for s, row in zip(share, rows, strict=True)) for k in range(len(before))]
    assert close(after, [w - 0.1 * g for w, g in zip(before, mean, strict=True)], dtype)


@pytest.mark.parametrize("as_scikit_learn", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_penalties_are_in_the_loss_and_the_gradient(rng, dtype, as_scikit_learn, weighted):
    net, X, y = problem(rng, dtype)
    before, (loss, grads) = parameters(net), gradients(net, X, y)
    share = 1.0
    if as_scikit_learn:
        net._train_as_scikit_learn()
        loss, share = loss / 3, 24.0 if weighted else 12.0  # it tells the mean over the 3 outputs
    weights = {"sample_weight": np.full(len(X), 2.0)} if weighted else {}
    told, after = one_step(net, X, y, SGD(0.1), regularization=Regularization(l1=0.3, l2=0.2), **weights)
    for k in (0, 2):  # weights, not biases
        grads[k] = grads[k] + (0.3 * np.sign(before[k]) + 0.2 * before[k]) / share
    penalty = sum(0.3 * np.abs(before[k]).sum() + 0.1 * (before[k] ** 2).sum() for k in (0, 2)) / share
    assert told == pytest.approx(loss + penalty, rel=float(100 * np.finfo(dtype).eps))
    assert close(after, [w - 0.1 * g for w, g in zip(before, grads, strict=True)], dtype)


@pytest.mark.parametrize("sizes", [(400, 90, 3), (43, 100, 2), (130, 65, 70)])
def test_the_penalty_of_many_weights_is_the_sum_over_all_of_them(rng, dtype, sizes):
    net = MLP(sizes, loss="squared_error", dtype=dtype, seed=3)
    oracle.randomise(net, rng)
    X, y = rng.normal(size=(4, sizes[0])).astype(dtype), rng.normal(size=(4, sizes[-1])).astype(dtype)
    W = [w.astype(np.float64) for w in net.weights]
    loss, penalty = net.loss_and_grad(X, y)[0], sum(3 * np.abs(w).sum() + 2.5 * (w**2).sum() for w in W)
    told, _ = one_step(net, X, y, SGD(1e-3), regularization=Regularization(l1=3.0, l2=5.0))
    # 4096 elements at a time in 16 sums: some 300 additions of positive numbers, the rest in float64
    assert told - loss == pytest.approx(
        penalty, rel=float(300 * np.finfo(dtype).eps), abs=float(np.finfo(dtype).eps * told)
    )


def test_what_stands_in_the_padding_is_no_part_of_a_penalty_or_a_norm(rng):
    for settings in ({"regularization": Regularization(l1=0.1, l2=0.1)}, {"optimizer": SGD(0.1, clip_norm=0.1)}):
        results = []
        for padding in (0.0, 7.0):
            net, X, y = problem(np.random.default_rng(1), "float32")
            kept = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
            net.params[...] = padding
            for views, values in zip((net.weights, net.biases), kept, strict=True):
                for view, value in zip(views, values, strict=True):
                    view[...] = value
            results.append(one_step(net, X, y, **{"optimizer": SGD(0.1), **settings}))
        assert results[0][0] == results[1][0]
        assert all(map(np.array_equal, results[0][1], results[1][1]))


def test_units_keep_within_the_largest_norm(rng, dtype):
    net, X, y = problem(rng, dtype)
    free, _, _ = problem(rng, dtype)
    free.params = net.params
    one_step(free, X, y, SGD(0.1))
    one_step(net, X, y, SGD(0.1), regularization=Regularization(max_norm=1.0))
    cut = 0
    for W, wanted in zip(net.weights, free.weights, strict=True):
        norms = np.linalg.norm(wanted.astype(np.float64), axis=1)
        for row, free_row, norm in zip(W, wanted, norms, strict=True):
            if norm > 1:
                cut += 1
                assert np.abs(row - free_row / norm).max() <= 20 * np.finfo(dtype).eps
            else:
                assert np.array_equal(row, free_row)
    assert 0 < cut < 20


@pytest.mark.parametrize("size", [1.0, 1e25])
def test_a_gradient_is_cut_to_its_norm(rng, dtype, size):
    net, X, y = problem(rng, dtype, "absolute_error")
    net.weights[1][...] *= dtype.type(size)  # then dW of the first layer is as large, and its square overflows float32
    before, (_, grads) = parameters(net), gradients(net, X, y)
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    optimizer = SGD(1.0, clip_norm=float(norm / 4))
    net.train_step(X, y, optimizer)
    for g, found in zip(grads, oracle.flattened(net._gradient_views), strict=True):
        assert np.abs(found - g / 4).max() <= 100 * np.finfo(dtype).eps * np.abs(g).max()
    wanted = [w - g / 4 for w, g in zip(before, grads, strict=True)]
    assert close(parameters(net), wanted, dtype)


def test_a_gradient_within_its_norm_is_left_alone(rng, dtype):
    results = []
    for optimizer in (Adam(0.01), Adam(0.01, clip_norm=1e6)):
        net, X, y = problem(np.random.default_rng(5), dtype)
        net.fit(X, y, epochs=3, batch_size=5, optimizer=optimizer)
        results.append(net.params.copy())
    assert oracle.same(*results)


def test_the_average_follows_the_parameters(rng, dtype):
    net, X, y = problem(rng, dtype)
    optimizer, average = Adam(0.05, ema=0.7), parameters(net)
    for _ in range(9):
        net.train_step(X, y, optimizer)
        average = [a + (1 - 0.7) * (w - a) for a, w in zip(average, parameters(net), strict=True)]
    found = [a.astype(np.float64) for pair in net._views(net._average) for a in pair]
    assert close(found, average, dtype)
    assert not close(found, parameters(net), dtype)


def test_an_average_begins_within_the_bound_of_norms(rng):
    net, X, y = problem(rng, "float64")
    net.weights[0][...] *= 100
    optimizer, bound = Adam(0.01, ema=0.99), Regularization(max_norm=0.5)
    net.fit(X, y, epochs=2, batch_size=4, optimizer=optimizer, regularization=bound)
    norms = [np.linalg.norm(W, axis=1).max() for W in net.weights]
    assert max(norms) <= 0.5 * (1 + 1e-14)  # a few roundings


# ---- dropout ----


def masks(net, rows, steps, threads=None):
    """Factors of the hidden units in so many steps: (steps, rows, units), seen through the gradient of the head.

    Hidden units are 1, and dz of row i is -2^i, so that a sum over rows tells them apart.
    """
    units = net.sizes[1]
    net.weights[0][...], net.biases[0][...], net.weights[1][...] = 0, 1, 0
    X, y = np.ones((rows, 1)), 2.0 ** np.arange(rows)[:, None] * rows
    found = []
    for _ in range(steps):
        net.weights[1][...], net.biases[1][...] = 0, 0
        net.biases[0][...], net.weights[0][...] = 1, 0
        net.fit(X, y, epochs=1, batch_size=rows, shuffle=False, optimizer=SGD(1.0), threads=threads)
        sums = net.weights[1][0] * (1 - net.dropout[0])  # of 2^i over the rows i that kept the unit
        bits = np.rint(sums).astype(np.int64)
        assert np.abs(sums - bits).max() < 1e-6 * 2**rows
        found.append(bits[None, :] >> np.arange(rows)[:, None] & 1)
        assert found[-1].shape == (rows, units)
    return np.array(found)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_dropout_keeps_units_by_chance_and_scales_them(p, activation):
    net = MLP([1, 1000, 1], activation=activation, loss="squared_error", dtype="float64", dropout=p, seed=2)
    kept = masks(net, 8, 5)
    n = kept.size
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    # neighbours in units, rows and steps are independent: the share of equal ones is within 5 standard deviations
    equal = p * p + (1 - p) * (1 - p)
    for axis in range(3):
        a, b = np.take(kept, range(1, kept.shape[axis]), axis), np.take(kept, range(kept.shape[axis] - 1), axis)
        assert abs((a == b).mean() - equal) < 5 * np.sqrt(equal * (1 - equal) / a.size) + 1e-3


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_are_those_of_the_published_generator(p):
    net = MLP([1, 70, 1], loss="squared_error", dtype="float64", dropout=p, seed=2**40 + 3)
    expected = [oracle.kept(p, 9, 72, net.seed, step, 0)[:, :70] for step in range(3)]  # rows of 72: whole lines
    assert np.array_equal(masks(net, 9, 3), expected)


def test_masks_depend_on_seed_and_step_alone():
    build = lambda seed: MLP([1, 64, 1], loss="squared_error", dtype="float64", dropout=0.5, seed=seed)  # noqa: E731
    first = masks(build(1), 6, 3)
    assert np.array_equal(first, masks(build(1), 6, 3, threads=2))
    assert not np.array_equal(first, masks(build(2), 6, 3))
    assert not np.array_equal(first[0], first[1])


def test_a_batch_in_chunks_has_the_same_masks_for_any_number_of_threads(rng, dtype):
    X, t = rng.normal(size=(3000, 60)).astype(dtype), rng.integers(0, 3, 3000)
    settings = {"sample_weight": rng.uniform(0, 2, 3000), "regularization": Regularization(0.01, 0.1, max_norm=1.0)}
    params = []
    for threads in (1, 2, 3):  # a chunk takes a multiple of threads: here the whole batch, or parts of it
        net = MLP([60, 150, 40, 3], dropout=[0.5, 0.2], dtype=dtype)
        net.fit(X, t, epochs=2, batch_size=2900, optimizer=Adam(clip_norm=0.1), threads=threads, **settings)
        params.append(net.params.tobytes())
    assert len(set(params)) == 1


@pytest.mark.parametrize("activation", oracle.DIFFERENTIABLE)
def test_the_gradient_is_that_of_the_masked_network(rng, activation):
    # One row of x: what dropout left of unit j is told by the change of W2[:, j], and then all else must follow.
    net = MLP([3, 40, 2], activation=activation, loss="squared_error", dtype="float64", dropout=0.4, seed=5)
    oracle.randomise(net, rng)
    x, y = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    W1, b1, W2, b2 = (a.copy() for pair in zip(net.weights, net.biases, strict=True) for a in pair)
    z1 = W1 @ x[0] + b1
    h = getattr(reference, activation)(z1)
    loss = net.train_step(x, y, SGD(1.0))
    dW2, db2 = W2 - net.weights[1], b2 - net.biases[1]
    mask = (dW2[0] / db2[0]) / np.where(h == 0, 1, h)
    mask = np.where(np.abs(mask) < 1e-9, 0, 1 / 0.6)
    assert 3 < (mask > 0).sum() < 38
    dz2 = W2 @ (h * mask) + b2 - y[0]
    assert loss == pytest.approx(0.5 * (dz2**2).sum(), rel=1e-12)
    slope = getattr(reference, f"{activation}_derivative")(z1)
    dz1 = (W2.T @ dz2) * mask * slope
    assert np.abs(db2 - dz2).max() <= 1e-12
    assert np.abs((W1 - net.weights[0]) - np.outer(dz1, x[0])).max() <= 1e-12


def test_dropout_is_for_training_steps_alone(rng):
    plain, dropping = (MLP([4, 30, 3], dropout=p, seed=1) for p in (0.0, 0.5))
    X, t = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    assert oracle.same(plain(X), dropping(X))
    losses = [net.loss_and_grad(X, t)[0] for net in (plain, dropping)]
    assert losses[0] == losses[1]
    assert oracle.same(plain.grads, dropping.grads)
    for net in (plain, dropping):
        net.fit(X, t, epochs=1)
    assert not oracle.same(plain.params, dropping.params)


@pytest.mark.parametrize("bad", [-0.1, 1.0, 2, "half", True, None, [0.1], [0.1, 0.2, 0.3], float("nan")])
def test_bad_dropout(bad):
    with pytest.raises(ValueError, match="dropout is"):
        MLP([4, 8, 8, 3], dropout=bad)


def test_bad_regularization_and_optimizer_options():
    for name in ("l1", "l2"):
        for bad in (-1, float("inf"), float("nan"), "1", None, True):
            with pytest.raises(ValueError, match=f"{name} is"):
                Regularization(**{name: bad})
    for bad in (0, -1, float("inf"), "1"):
        with pytest.raises(ValueError, match="max_norm is"):
            Regularization(max_norm=bad)
        with pytest.raises(ValueError, match="clip_norm is"):
            fastmlp.Adam(clip_norm=bad)
    for bad in (-0.1, 1.0, "0.9"):
        with pytest.raises(ValueError, match="ema is"):
            fastmlp.Lion(ema=bad)
    for bad in (0, 1, -1, 2, "0.5"):
        with pytest.raises(ValueError, match="q is"):
            fastmlp.losses.Quantile(q=bad)
    with pytest.raises(ValueError, match=r"loss is 'hubert' \(did you mean 'huber'\?\)"):
        MLP([2, 1], loss="hubert")
    with pytest.raises(ValueError, match="init is 'xavier'"):
        MLP([2, 1], init="xavier", loss="squared_error")
