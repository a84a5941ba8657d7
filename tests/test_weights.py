"""sample_weight and class_weight: each minibatch's loss is its weighted mean, by steps made by hand."""

from functools import partial

import numpy as np
import oracle
import pytest

from fastmlp import MLP, SGD, Adam, Callback, SiameseMLP, kernels

KINDS = {
    "classes": lambda **kw: MLP([4, 9, 3], seed=2, **kw),
    "focal": lambda **kw: MLP([4, 9, 3], loss="focal", seed=2, **kw),
    "binary": lambda **kw: MLP([4, 9, 1], loss="binary_cross_entropy", seed=2, **kw),
    "values": lambda **kw: MLP([4, 9, 2], activation="tanh", loss="huber", seed=2, **kw),
}


def data(net, rng, rows=40):
    X = rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)
    if net.sizes[-1] == 3:
        return X, rng.integers(0, 3, rows)
    if net.sizes[-1] == 1:
        return X, rng.integers(0, 2, rows)
    return X, rng.normal(size=(rows, 2)).astype(net.dtype)


class Losses(Callback):
    def __init__(self):
        self.losses = []

    def on_batch_end(self, net, epoch, step, loss):
        self.losses.append(loss)


def by_hand(net, X, y, weights, epochs, batch, optimizer):
    """Steps with a gradient of one's own; the losses of each."""
    y = y if y.ndim == 2 or net.sizes[-1] == 3 else y[:, None].astype(net.dtype)
    losses = []
    for epoch in range(epochs):
        order = oracle.permutation(len(X), net.seed, epoch)
        for first in range(0, len(X), batch):
            some = order[first : first + batch]
            loss, dz = getattr(kernels, net.loss)(net(X[some]), y[some], **vars(net.objective))
            w = weights[some] / weights[some].sum()
            losses.append(float((w * loss).sum()))
            net.backward(X[some], w[:, None] * dz)
            net.update(optimizer)
    return losses


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01)], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_minibatch_is_the_weighted_mean(rng, kind, optimizer):
    fitted, stepped = (KINDS[kind](dtype="float64") for _ in range(2))
    X, y = data(fitted, rng)
    weights, record = rng.uniform(0, 3, 40), Losses()
    weights[::7] = 0
    history = fitted.fit(X, y, epochs=3, batch_size=16, optimizer=optimizer, sample_weight=weights, callbacks=record)
    wanted = by_hand(stepped, X, y, weights, 3, 16, optimizer)
    np.testing.assert_allclose(record.losses, wanted, rtol=1e-10)
    assert oracle.relative_error(fitted.params, stepped.params) < 1e-10
    for epoch in range(3):  # a step counts as many rows as it has
        assert history.loss[epoch] == pytest.approx(np.average(wanted[3 * epoch :][:3], weights=[16, 16, 8]), rel=1e-10)


def test_whole_weights_are_repeated_rows(rng):
    once, repeated = (MLP([4, 9, 3], seed=2, dtype="float64") for _ in range(2))
    X, y = data(once, rng)
    weights = rng.integers(0, 4, 40)
    settings = {"epochs": 5, "batch_size": 1000, "shuffle": False}
    history = once.fit(X, y, **settings, sample_weight=weights)
    again = repeated.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights), **settings)
    np.testing.assert_allclose(history.loss, again.loss, rtol=1e-10)
    assert oracle.relative_error(once.params, repeated.params) < 1e-10


def test_only_ratios_within_a_minibatch_matter(rng, dtype):
    nets = [MLP([4, 9, 3], seed=2, dtype=dtype) for _ in range(3)]
    X, y = data(nets[0], rng)
    weights = rng.uniform(0.5, 2, 40).astype(dtype)
    for net, given in zip(nets, (weights, 4 * weights, weights.tolist()), strict=True):
        net.fit(X, y, epochs=3, batch_size=16, sample_weight=given)
    assert oracle.same(nets[0].params, nets[1].params)  # a power of two rounds nothing
    assert oracle.same(nets[0].params, nets[2].params)


@pytest.mark.parametrize("threads", [1, 2])
def test_weights_of_pairs_and_threads(rng, threads):
    net, other = (SiameseMLP([40, 200], seed=2) for _ in range(2))
    X1, X2 = rng.normal(size=(2, 600, 40)).astype("f")
    weights, y = rng.uniform(0, 1, 600), rng.integers(0, 2, 600)
    net.fit((X1, X2), y, epochs=2, batch_size=300, sample_weight=weights, threads=threads)
    other.fit((X1, X2), y, epochs=2, batch_size=300, sample_weight=weights, threads=1)
    assert oracle.same(net.params, other.params)
    plain = SiameseMLP([40, 200], seed=2)
    plain.fit((X1, X2), y, epochs=2, batch_size=300)
    assert not oracle.same(net.params, plain.params)


@pytest.mark.parametrize("kind", ["classes", "focal", "binary"])
def test_class_weights_are_weights_of_rows(rng, kind):
    make = KINDS[kind]
    X, y = data(make(), rng)
    K, sample = y.max() + 1, rng.uniform(0.5, 2, 40)
    counts = np.bincount(y)
    of_class = rng.uniform(0.5, 2, K)
    of_class[0] = 1
    cases = [
        (of_class, None, of_class[y]),
        (of_class.tolist(), sample, sample * of_class[y]),
        (dict(enumerate(of_class.tolist())), None, of_class[y]),
        ({np.int64(k): of_class[k] for k in range(1, K)}, sample, sample * of_class[y]),  # what is left out has 1
        ("balanced", None, (40 / (K * counts))[y]),
        ("balanced", sample, sample * (40 / (K * counts))[y]),
    ]
    for class_weight, sample_weight, weights in cases:
        one, other = make(), make()
        one.fit(X, y, epochs=2, batch_size=16, class_weight=class_weight, sample_weight=sample_weight)
        other.fit(X, y, epochs=2, batch_size=16, sample_weight=weights)
        assert oracle.same(one.params, other.params)


def test_balanced_is_scikit_learn_s(rng):
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    net, other = KINDS["classes"](), KINDS["classes"]()
    X, _ = data(net, rng)
    y = np.repeat([0, 1, 2], [25, 10, 5])
    net.fit(X, y, class_weight="balanced")
    other.fit(X, y, class_weight=compute("balanced", classes=np.arange(3), y=y))
    assert oracle.same(net.params, other.params)


def test_balanced_weights_help_a_rare_class(rng):
    X = rng.normal(size=(2000, 2))
    y = (X[:, 0] + rng.normal(size=2000) > 2.5).astype(int)
    recalls = []
    for class_weight in (None, "balanced"):
        net = MLP([2, 8, 2], seed=1)
        net.fit(X, y, epochs=20, class_weight=class_weight)
        recalls.append((net.predict(X)[y == 1] == 1).mean())
    assert recalls[1] > 0.75 > 0.5 > recalls[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_weight": [1, 1, 1]}, r"sample_weight has shape \(3,\); it must be \(4,\)"),
        ({"sample_weight": np.ones((4, 1))}, r"sample_weight has shape \(4, 1\)"),
        ({"sample_weight": 1.0}, r"sample_weight has shape \(\)"),
        ({"sample_weight": [1, -1, 1, 1]}, r"sample_weight is -1 for row 1; it must be finite and at least 0"),
        ({"sample_weight": [1, 1, np.nan, 1]}, "sample_weight is nan for row 2"),
        ({"sample_weight": [1, 1, np.inf, 1]}, "sample_weight is inf for row 2"),
        ({"sample_weight": list("abcd")}, "sample_weight has dtype"),
        ({"sample_weight": [[1], [2, 3], 4, 5]}, "sample_weight is no array"),
        ({"sample_weight": ["a", None, 1, 2]}, "sample_weight has dtype object"),
        ({"sample_weight": [0, 0, 0, 0]}, "sample_weight leaves no row with a weight above 0"),
        ({"sample_weight": [1e-60] * 4}, "sample_weight leaves no row"),  # nothing of it is left in float32
        (
            {"sample_weight": [1e38] * 4},
            "sample_weight has the entry 1e.38: the sum of a minibatch would overflow float32",
        ),
        ({"class_weight": "balance"}, r"class_weight is 'balance' \(did you mean 'balanced'\?\)"),
        ({"class_weight": [1, 2]}, r"class_weight has shape \(2,\); it must be \(3,\), a number for each class"),
        ({"class_weight": [1, 2, -3]}, "class_weight is -3 for class 2; it must be finite and at least 0"),
        ({"class_weight": {0: 1, 3: 2}}, "class_weight has the key 3; the classes are 0 to 2"),
        ({"class_weight": {"a": 1}}, "class_weight has the key 'a'"),
        ({"class_weight": {0: np.nan}}, "class_weight is nan for class 0"),
        ({"class_weight": 2.0}, "class_weight is 2.0; it must be 'balanced', a dict or 3 numbers"),
        ({"class_weight": [0, 0, 0]}, "class_weight leaves no row"),
    ],
    ids=repr,
)
def test_bad_weights_are_refused(settings, message):
    net = MLP([2, 3])
    oracle.refused(net, partial(net.fit, np.ones((4, 2)), [0, 1, 2, 0], **settings), ValueError, f"^{message}")


def test_class_weights_need_classes():
    for loss, y in [("squared_error", np.ones((4, 2))), ("binary_cross_entropy", np.ones((4, 2)))]:
        net = MLP([2, 2], loss=loss)
        call = partial(net.fit, np.ones((4, 2)), y, class_weight="balanced")
        oracle.refused(net, call, ValueError, "^class_weight is 'balanced'; only targets that are classes")
    net = MLP([2, 1], loss="binary_cross_entropy")
    call = partial(net.fit, np.ones((4, 2)), [0, 1, 0.25, 0], class_weight="balanced")
    oracle.refused(net, call, ValueError, r"^class_weight needs targets that are 0 or 1; y is 0\.25 in row 2")


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_minibatch_without_weight_is_an_error_before_its_epoch(rng, shuffle):
    net, alone = MLP([4, 3], seed=1), MLP([4, 3], seed=1)
    X, y, weights = rng.normal(size=(12, 4)), rng.integers(0, 3, 12), np.ones(12)
    weights[:8] = 0
    orders = [oracle.permutation(12, 1, epoch) if shuffle else np.arange(12) for epoch in range(50)]
    empty = [[not weights[order[first : first + 3]].any() for first in range(0, 12, 3)] for order in orders]
    epoch = next(epoch for epoch, steps in enumerate(empty) if any(steps))
    message = f"^sample_weight .* step {empty[epoch].index(True) + 1} of epoch {epoch + 1}; each minibatch must"
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, epochs=50, batch_size=3, shuffle=shuffle, sample_weight=weights)
    assert net.epochs_done == epoch
    alone.fit(X, y, epochs=epoch, batch_size=3, shuffle=shuffle, sample_weight=weights)
    assert oracle.same(net.params, alone.params)
