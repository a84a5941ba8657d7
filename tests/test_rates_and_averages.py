"""Schedules and averaged weights in fit: as steps with plain rates, averaged by hand; resumed as unbroken."""

import signal
from functools import partial
from time import perf_counter

import numpy as np
import oracle
import pytest
from saved import Numbered, facts

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, Callback, EarlyStopping, History, Lion, Regularization, RMSprop, load

SCHEDULES = {
    "steps": fastmlp.StepDecay(0.05, every=2, factor=0.5),
    "cosine": fastmlp.Cosine(0.05, warmup=0.2),
    "cycle": fastmlp.OneCycle(0.05),
    "plateau": fastmlp.ReduceOnPlateau(0.05, factor=0.5, patience=1, threshold=0.05),
}


def data(rng, dtype="f", rows=50):
    X = rng.normal(size=(rows, 4)).astype(dtype)
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop, Lion])
@pytest.mark.parametrize("name", SCHEDULES)
def test_each_step_has_the_rate_that_the_schedule_says(rng, name, kind):
    X, y = data(rng)
    schedule = SCHEDULES[name]
    fitted, stepped = (MLP([4, 16, 3], seed=1) for _ in range(2))
    history = fitted.fit(X, y, epochs=6, batch_size=16, optimizer=kind(schedule))
    for epoch in range(6):
        rates = schedule.rates(4 * epoch, 4, 24, History(loss=history.loss[:epoch]))
        order = oracle.permutation(50, 1, epoch)
        for step, rate in enumerate(rates.tolist()):
            some = order[16 * step :][:16]
            stepped.train_step(X[some], y[some], kind(rate))
    assert oracle.same(fitted.params, stepped.params)
    again = fitted.fit(X, y, epochs=2, batch_size=16, optimizer=kind(schedule))  # each fit begins the schedule anew
    assert len(again.loss) == 2


def test_a_plateau_is_one_of_validation_where_there_is_some(rng):
    X, y = data(rng)
    schedule = fastmlp.ReduceOnPlateau(1e-6, factor=1e-3, patience=1, threshold=0.9)
    seen = []

    class Rates(type(schedule)):
        def rates(self, first, steps, total, history):
            seen.append((list(history.loss), list(history.val_loss)))
            return super().rates(first, steps, total, history)

    history = MLP([4, 16, 3]).fit(X, y, epochs=3, validation_data=(X, y), optimizer=Adam(Rates(1e-6)))
    assert seen == [(history.loss[:n], history.val_loss[:n]) for n in range(3)]


def test_one_step_takes_no_schedule(rng):
    X, y = data(rng)
    net = MLP([4, 3])
    net.train_step(X, y, Adam())
    for call in (
        partial(net.train_step, X, y, SGD(SCHEDULES["cosine"])),
        partial(net.update, SGD(SCHEDULES["cosine"])),
    ):
        oracle.refused(net, call, ValueError, "learning_rate is Cosine.*fit")


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (np.ones(3), r"rates of shape \(3,\)"),
        (np.ones(4, np.float32), "dtype float32"),
        (np.array([1, -1.0, 1, 1]), "gave -1.0 in epoch 1"),
        (np.array([1, np.nan, 1, 1]), "gave nan in epoch 1"),
        (np.array([1, 1e39, 1, 1]), r"gave 1e\+39 in epoch 1; .* float32"),
    ],
    ids=repr,
)
def test_a_schedule_of_ones_own_is_checked(rng, rates, message):
    class Mine:
        def rates(self, first, steps, total, history):
            return rates

    X, y = data(rng)
    net = MLP([4, 3])
    oracle.refused(
        net, partial(net.fit, X, y, batch_size=16, optimizer=SGD(Mine())), ValueError, f"learning_rate .*{message}"
    )


def test_a_schedule_is_an_object():
    with pytest.raises(ValueError, match=r"^learning_rate is the class Cosine; it must be"):
        SGD(fastmlp.Cosine)


def test_a_schedule_of_ones_own(rng):
    class Mine:
        def rates(self, first, steps, total, history):
            return 0.1 / (1.0 + np.arange(first, first + steps))

    X, y = data(rng)
    fitted, stepped = (MLP([4, 3], seed=1) for _ in range(2))
    fitted.fit(X, y, epochs=2, batch_size=25, shuffle=False, optimizer=SGD(Mine()))
    for t in range(4):
        some = slice(25 * (t % 2), 25 * (t % 2) + 25)
        stepped.train_step(X[some], y[some], SGD(0.1 / (1.0 + t)))
    assert oracle.same(fitted.params, stepped.params)


@pytest.mark.parametrize("kind", [SGD, Adam, Lion])
def test_fit_ends_with_the_average_which_it_has_evaluated(rng, kind):
    X, y = data(rng, "f8")
    fitted, plain = (MLP([4, 16, 3], seed=1, dtype="f8") for _ in range(2))
    averages, average = [], plain.params.copy()

    class Averaging(Callback):
        def on_batch_end(self, net, epoch, step, loss):
            average[:] = 0.9 * average + 0.1 * net.params

        def on_epoch_end(self, net, epoch, history):
            averages.append(average.copy())

    plain.fit(X, y, epochs=3, batch_size=16, optimizer=kind(1e-2), callbacks=Averaging())
    history = fitted.fit(X, y, epochs=3, batch_size=16, optimizer=kind(1e-2, ema=0.9), validation_data=(X, y))
    assert oracle.relative_error(fitted.params, averages[-1]) < 1e-13
    for epoch, params in enumerate(averages):
        plain.params = params
        assert history.val_loss[epoch] == pytest.approx(plain.loss_and_grad(X, y)[0], rel=1e-12)


def test_early_stopping_returns_to_the_best_average(rng):
    X, y = data(rng)
    noise, t = data(rng)
    stopping = EarlyStopping(patience=3)
    net = MLP([4, 32, 3], seed=1)
    history = net.fit(X, y, epochs=200, batch_size=8, optimizer=Adam(0.05, ema=0.8), validation_data=(noise, t),
                      early_stopping=stopping)  # fmt: skip
    assert len(history.loss) < 200
    twin = MLP([4, 32, 3], seed=1)
    twin.fit(X, y, epochs=int(np.argmin(history.val_loss)) + 1, batch_size=8, optimizer=Adam(0.05, ema=0.8))
    assert oracle.same(net.params, twin.params)


EVERYTHING = {
    "cosine": {"optimizer": Adam(SCHEDULES["cosine"], ema=0.9, clip_norm=1.0)},
    "plateau": {"optimizer": RMSprop(SCHEDULES["plateau"], momentum=0.5), "class_weight": "balanced"},
    "penalties": {"optimizer": SGD(0.05, 0.9, ema=0.5), "regularization": Regularization(1e-4, 1e-3, max_norm=2.0)},
    "stopping": {"optimizer": Lion(SCHEDULES["cycle"], ema=0.5), "early_stopping": EarlyStopping("f1", patience=3)},
}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_checkpoint_leads_to_the_same_bits(tmp_path, rng, name, dropout):
    X, y = data(rng)
    weights = rng.uniform(0.5, 2, 50)
    settings = {"epochs": 6, "batch_size": 16, "validation_data": (X, y), "sample_weight": weights} | EVERYTHING[name]

    def fresh():
        return MLP([4, 16, 3], seed=1, dropout=dropout)

    unbroken, kept, path = fresh(), fresh(), Numbered(tmp_path, ".npz")
    history = unbroken.fit(X, y, **settings)
    kept.fit(X, y, **settings, checkpoint=path, checkpoint_every=3, callbacks=Callback())
    assert facts(kept) == facts(unbroken)
    assert facts(load(path.written()[-1])) == facts(unbroken)
    assert len(path.written()) >= 5
    for threads, checkpoint in enumerate(path.written(), 1):
        resumed = fresh()
        again = resumed.fit(X, y, **settings, resume=checkpoint, threads=threads)
        assert (again.loss, again.val_loss, again.val_metric) == (history.loss, history.val_loss, history.val_metric)
        assert facts(resumed) == facts(unbroken)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_interrupt_at_any_moment_leaves_a_checkpoint_to_go_on_from(tmp_path, rng):
    X, y = data(rng, rows=300)
    settings = {"epochs": 40, "batch_size": 32, "validation_data": data(rng), "callbacks": Callback()}
    settings |= {"optimizer": Adam(SCHEDULES["plateau"], ema=0.9), "early_stopping": EarlyStopping(patience=15)}

    def fresh():
        return MLP([4, 16, 3], seed=1)

    unbroken, start = fresh(), perf_counter()
    history = unbroken.fit(X, y, **settings)
    duration, interrupted = perf_counter() - start, 0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for delay in np.linspace(1e-4, 1.2 * duration, 60):
            path = tmp_path / f"{delay}.npz"
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                fresh().fit(X, y, **settings, checkpoint=path, checkpoint_every=10**6)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                if path.exists():
                    interrupted += 1
                    again = fresh()
                    assert again.fit(X, y, **settings, resume=path).val_loss == history.val_loss
                    assert facts(again) == facts(unbroken)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 5


def test_load_gives_the_average(tmp_path, rng):
    X, y = data(rng)
    net, path = MLP([4, 16, 3], seed=1), Numbered(tmp_path, ".npz")
    net.fit(X, y, epochs=3, batch_size=16, optimizer=Adam(0.01, ema=0.9), checkpoint=path)
    for epochs, name in enumerate(path.written(), 1):
        shorter = MLP([4, 16, 3], seed=1)
        shorter.fit(X, y, epochs=epochs, batch_size=16, optimizer=Adam(0.01, ema=0.9))
        assert oracle.same(load(name).params, shorter.params)


@pytest.mark.parametrize("regularization", [0.1, "l2", Regularization])
def test_what_is_no_regularization_is_refused(regularization):
    net = MLP([2, 2])
    call = partial(net.fit, np.eye(2), [0, 1], regularization=regularization)
    oracle.refused(net, call, ValueError, "^regularization is .*; it must be a Regularization or None")
