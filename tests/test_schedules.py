"""Learning-rate schedules: their formulas to high precision, and that they are pure."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import mpmath
import numpy as np
import oracle
import pytest

from fastmlp import SGD, Adam, Cosine, History, Lion, OneCycle, ReduceOnPlateau, RMSprop, StepDecay, schedules


def whole(schedule, steps, epochs, history=None):
    """The rates of all steps of a fit."""
    history = history or History()
    parts = [schedule.rates(epoch * steps, steps, epochs * steps, history) for epoch in range(epochs)]
    assert all(part.dtype == np.float64 and part.shape == (steps,) for part in parts)
    return np.concatenate(parts)


def test_the_cosine_is_exact(rng):
    """fall(x) = (1 + cos(pi x)) / 2 within 1e-15 of itself, however small it is."""
    x = np.concatenate([[0, 0.25, 0.5, np.nextafter(0.5, 1), 1 - 2.0**-53], rng.uniform(0, 1, 3000)])
    x = np.concatenate([x, 1 - 10.0 ** rng.uniform(-12, -1, 500)])
    found = schedules.fall(x)
    with mpmath.workdps(40):
        for at, value in zip(x.tolist(), found.tolist(), strict=True):
            exact = mpmath.cos(mpmath.pi * mpmath.mpf(at) / 2) ** 2
            assert abs(value - exact) <= 1e-15 * exact
    assert schedules.fall(np.array([-3.0, 0.0, 1.0, 7.0])).tolist() == [1, 1, 0, 0]


def test_powers(rng):
    for x in rng.uniform(0.01, 1, 50).tolist():
        for n in (0, 1, 2, 3, 10, 37, 100):
            with mpmath.workdps(40):
                exact = mpmath.mpf(x) ** n
                assert abs(schedules.power(x, n) - exact) <= 3e-16 * n * exact
    assert schedules.power(0.1, 10**9) == 0


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (7, 13), (1000, 3), (1, 50)])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.99])
def test_cosine(steps, epochs, warmup):
    rates, total = whole(Cosine(0.3, final=0.01, warmup=warmup), steps, epochs), steps * epochs
    warm = int(warmup * total)
    for t, rate in enumerate(rates.tolist()):
        with mpmath.workdps(30):
            fall = (1 + mpmath.cos(mpmath.pi * (t - warm) / (total - warm))) / 2
            wanted = mpmath.mpf(0.3) * (t + 1) / (warm + 1) if t < warm else 0.01 + (mpmath.mpf(0.3) - 0.01) * fall
        assert rate == pytest.approx(float(wanted), rel=3e-15)
    assert rates.max() == 0.3
    assert (rates > 0).all()


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (7, 13), (1000, 3), (1, 50)])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 0.99])
def test_one_cycle(steps, epochs, warmup):
    schedule = OneCycle(0.3, warmup=warmup, start_factor=0.1, final_factor=0.001)
    rates, total = whole(schedule, steps, epochs), steps * epochs
    warm = int(warmup * total)
    for t, rate in enumerate(rates.tolist()):
        with mpmath.workdps(30):
            if t < warm:
                wanted = 0.03 + mpmath.mpf(0.27) * (1 - mpmath.cos(mpmath.pi * t / warm)) / 2
            else:
                fall = (1 + mpmath.cos(mpmath.pi * (t - warm) / (total - warm))) / 2
                wanted = 0.0003 + mpmath.mpf(0.3 - 0.0003) * fall
        assert rate == pytest.approx(float(wanted), rel=1e-14)
    assert rates.max() == 0.3


def test_step_decay():
    rates = whole(StepDecay(0.5, every=3, factor=0.2), 2, 10)
    wanted = [0.5 * 0.2 ** (epoch // 3) for epoch in range(10) for _ in range(2)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-15)


def plateau_by_hand(losses, rate, factor, patience, min_rate, threshold):
    """What a loop over epochs that keeps counters would have for a rate after them."""
    best, bad = np.inf, 0
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
            if bad == patience:
                rate, bad = max(rate * factor, min_rate), 0
    return rate


def test_reduce_on_plateau(rng):
    settings = {"factor": 0.5, "patience": 3, "min_rate": 1e-3, "threshold": 0.01}
    for _ in range(20):
        losses = (np.exp(-np.arange(60) / 10) + rng.uniform(0, 0.3, 60)).tolist()
        history, schedule = History(), ReduceOnPlateau(0.1, **settings)
        for epoch in range(61):  # as fit asks, epoch for epoch
            history.loss = losses[:epoch]
            wanted = plateau_by_hand(losses[:epoch], 0.1, **settings)
            assert schedule.rates(epoch * 4, 4, 400, history).tolist() == pytest.approx([wanted] * 4, rel=1e-15)
        history.val_loss = losses[::-1]  # which comes first
        wanted = plateau_by_hand(losses[::-1], 0.1, **settings)
        assert schedule.rates(240, 1, 400, history)[0] == pytest.approx(wanted, rel=1e-15)


def test_reduce_on_plateau_is_a_function_of_the_history_alone(rng):
    """Whatever it was asked before: other histories, other settings, or this history when it was longer."""
    histories = [History(loss=rng.uniform(1, 2, 30).tolist()) for _ in range(3)]
    some = [ReduceOnPlateau(1.0, 0.5, patience) for patience in (1, 2, 5)]

    for _ in range(300):
        schedule, history = some[rng.integers(3)], histories[rng.integers(3)]
        if rng.random() < 0.5:
            history.loss.append(float(rng.uniform(1, 2)))
        elif history.loss:
            del history.loss[rng.integers(len(history.loss)) :]
        wanted = plateau_by_hand(history.loss, 1.0, 0.5, schedule.patience, 0.0, 1e-4)
        assert schedule.rates(0, 1, 1, history)[0] == wanted


def test_a_long_history_costs_no_more_than_a_short_one():
    class Losses(list):
        looked_at = 0

        def __getitem__(self, at):
            found = super().__getitem__(at)
            self.looked_at += len(found) if isinstance(at, slice) else 1
            return found

    history, schedule = History(loss=Losses([1.0] * 100_000)), ReduceOnPlateau(1.0)
    for _ in range(5000):
        history.loss.append(1.0)
        schedule.rates(0, 1, 1, history)
    assert history.loss.looked_at == 105_000  # each once


def test_a_loss_that_is_not_a_number_is_no_improvement():
    history = History(loss=[float("nan")] * 4)
    assert ReduceOnPlateau(1.0, 0.5, patience=2).rates(0, 1, 1, history)[0] == 0.25


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (partial(StepDecay, 0.0, 1), "learning_rate"),
        (partial(StepDecay, "fast", 1), "learning_rate"),
        (partial(StepDecay, 0.1, 0), "every"),
        (partial(StepDecay, 0.1, 1.5), "every"),
        (partial(StepDecay, 0.1, 1, factor=1.0), "factor"),
        (partial(Cosine, np.inf), "learning_rate"),
        (partial(Cosine, 0.1, final=-1), "final"),
        (partial(Cosine, 0.1, warmup=1.0), "warmup"),
        (partial(Cosine, 0.1, warmup=True), "warmup"),
        (partial(OneCycle, -1), "max_rate"),
        (partial(OneCycle, 1, warmup=-0.1), "warmup"),
        (partial(OneCycle, 1, start_factor=0), "start_factor"),
        (partial(OneCycle, 1, final_factor=np.nan), "final_factor"),
        (partial(ReduceOnPlateau, None), "learning_rate"),
        (partial(ReduceOnPlateau, 0.1, factor=0), "factor"),
        (partial(ReduceOnPlateau, 0.1, patience=0), "patience"),
        (partial(ReduceOnPlateau, 0.1, min_rate=-1), "min_rate"),
        (partial(ReduceOnPlateau, 0.1, threshold=1), "threshold"),
    ],
)
def test_settings_are_checked(make, name):
    error = oracle.attempt(make, ValueError)
    assert error is not None
    assert str(error).startswith(f"{name} is ")
    assert "; it must be " in str(error)


def test_reduce_on_plateau_in_threads(rng):
    """Fits in several threads take turns at its memory of the last answer."""
    losses, kept = [rng.uniform(1, 2, 40).tolist() for _ in range(4)], sys.getswitchinterval()

    def rates(losses):
        schedule, found = ReduceOnPlateau(1.0, 0.5, patience=2), []
        for _ in range(100):
            history = History()
            for loss in losses:
                history.loss.append(loss)
                found.append(schedule.rates(0, 1, 1, history)[0])
        return found

    wanted = [rates(some) for some in losses]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(rates, losses)) == wanted
    finally:
        sys.setswitchinterval(kept)


def test_a_name_is_short_for_a_schedule_with_the_optimizer_s_own_rate():
    assert Adam("cosine") == Adam(Cosine(1e-3))
    assert SGD("one_cycle") == SGD(OneCycle(0.01))
    assert RMSprop("step_decay", rho=0.5) == RMSprop(StepDecay(1e-3), rho=0.5)
    assert Lion("reduce_on_plateau") == Lion(ReduceOnPlateau(1e-4))
    for name in ("cosin", "0.1"):
        hint = r" \(did you mean 'cosine'\?\)" if name == "cosin" else ""
        with pytest.raises(
            ValueError, match=rf"learning_rate is '{name}'{hint}; it must be a positive finite number, "
        ):
            SGD(name)


def test_the_rates_of_estimators_are_checked_as_those_of_networks(rng):
    estimators = pytest.importorskip("fastmlp.sklearn", exc_type=ImportError)

    class Schedule:
        def rates(self, first, steps, total, history):
            return np.full(steps, rate)

    X = rng.normal(size=(50, 3)).astype("f4")
    for rate in (1e300, -1.0, np.nan):
        model = estimators.MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", learning_rate=Schedule(), max_iter=2)
        with pytest.raises(
            ValueError, match=rf"learning_rate gave {re.escape(str(rate))} in epoch 1; .*network's float32"
        ):
            model.fit(X, X[:, 0])
