"""The learning-rate range test: its steps are ordinary steps on a copy, and its suggestion trains well."""

from functools import partial

import numpy as np
import oracle
import pytest
from saved import facts

from fastmlp import MLP, SGD, Adam, SiameseMLP, digits
from fastmlp.range_test import root


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam()], ids=repr)
def test_its_losses_are_those_of_single_steps(rng, dtype, optimizer):
    X, t = rng.normal(size=(50, 4)).astype(dtype), rng.integers(0, 3, 50)
    net, twin = (MLP([4, 8, 3], seed=3, dtype=dtype) for _ in range(2))
    before = facts(net)
    found = net.find_learning_rate(X, t, batch_size=20, low=1e-4, high=1e-1, steps=30, optimizer=optimizer)
    assert facts(net) == before
    assert net.optimizer_state()["optimizer"] is None
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e-1, 30), rtol=1e-12)
    assert (found.rates[0], found.rates.max() <= 1e-1) == (1e-4, True)
    for step, (rate, loss) in enumerate(zip(found.rates, found.losses, strict=True)):
        order = oracle.permutation(50, 3, step // 3)[step % 3 * 20 :][:20]
        assert twin.train_step(X[order], t[order], type(optimizer)(float(rate), 0.9)) == loss


def test_smoothing_and_suggestion(rng):
    X, y = rng.normal(size=(64, 3)), rng.normal(size=64)
    found = MLP([3, 16, 1], loss="squared_error", dtype="f8").find_learning_rate(X, y, batch_size=8, steps=200)
    for i in range(len(found.losses)):
        assert found.smoothed[i] == pytest.approx(found.losses[max(i - 8, 0) : i + 9].mean(), rel=1e-12)
    end = int(np.argmin(found.smoothed))
    slopes = np.gradient(found.smoothed, np.log(found.rates))
    assert found.suggestion == found.rates[1 + np.argmin(slopes[1:end])]


def test_it_stops_where_the_loss_explodes(rng):
    X, y = rng.normal(size=(64, 3)), rng.normal(size=(64, 2))
    for high in (1e3, 1e30):
        net = MLP([3, 16, 2], loss="squared_error")
        found = net.find_learning_rate(X, y, batch_size=16, high=high, optimizer=SGD())
        assert 10 < len(found.losses) < 100
        assert np.isfinite(found.losses).all()
        assert found.suggestion < 1


def test_its_suggestion_trains():
    X, y = digits.load()
    train, test = digits.stratified_split(y)
    for sizes in ([64, 32, 10], [64, 128, 128, 10]):
        for optimizer in (Adam, SGD):
            net = MLP(sizes)
            rate = net.find_learning_rate(X[train], y[train], optimizer=optimizer()).suggestion
            net.fit(X[train], y[train], epochs=30, optimizer=optimizer(rate))
            assert (net.predict(X[test]) == y[test]).mean() > 0.93


def test_pairs(rng):
    X = rng.normal(size=(40, 3))
    found = SiameseMLP([3, 8]).find_learning_rate((X, X[::-1]), rng.integers(0, 2, 40))
    assert len(found.rates) > 10


def test_a_loss_that_never_falls_suggests_nothing():
    found = MLP([1, 1], loss="squared_error").find_learning_rate(np.zeros((4, 1)), np.zeros(4), steps=10)
    assert found.suggestion is None
    assert (found.losses == 0).all()


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"low": 0}, "low"), ({"low": "a"}, "low"), ({"high": np.inf}, "high"), ({"low": 1, "high": 1}, "high"),
     ({"low": 2}, "high"), ({"high": 1e39}, "high"), ({"steps": 1}, "steps"), ({"batch_size": 0}, "batch_size")],
    ids=repr,
)  # fmt: skip
def test_settings_are_checked(settings, name):
    net = MLP([2, 2])
    call = partial(net.find_learning_rate, np.eye(2), [0, 1], **settings)
    oracle.refused(net, call, ValueError, f"^{name} is .*; it must be ")


def test_roots():
    for x, n in [(10, 1), (10, 3), (1e7, 99), (1 + 1e-9, 5), (1e300, 2)]:
        assert root(x, n) == pytest.approx(x ** (1 / n), rel=1e-13)


def test_rates_further_apart_than_a_number_can_say():
    net = MLP([2, 2], dtype="float64")
    call = partial(net.find_learning_rate, np.eye(2), [0, 1], low=1e-300, high=1e30)
    oracle.refused(net, call, ValueError, r"^high is 1e\+30; it must be less than 1e308 times low, which is 1e-300")
