"""The loop of fit: order, seeds, History, memory, and what stops it."""

import gc
import io
import re
import signal
import tracemalloc
from functools import partial
from time import perf_counter

import numpy as np
import oracle
import pytest
from oracle import LOSSES

import fastmlp
from fastmlp import MLP, SGD, Adam


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(), fastmlp.AdamW()], ids=repr)
@pytest.mark.parametrize("loss", LOSSES)
def test_five_epochs_twice_are_ten(rng, dtype, optimizer, loss):
    X, y = 0.1 * rng.normal(size=(50, 4)).astype(dtype), oracle.targets(rng, loss, 50, 3, dtype)
    whole, parts = (MLP([4, 16, 3], loss=loss, dtype=dtype, seed=2) for _ in range(2))
    history = whole.fit(X, y, epochs=10, batch_size=8, optimizer=optimizer)
    halves = [parts.fit(X, y, epochs=5, batch_size=8, optimizer=optimizer) for _ in range(2)]
    assert oracle.same(whole.params, parts.params)
    assert history.loss == halves[0].loss + halves[1].loss


def test_seeds_and_shuffling(rng):
    X, t = rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 3, 64)

    def trained(seed=0, shuffle=True):
        net = MLP([4, 16, 3], seed=seed)
        net.fit(X, t, epochs=3, batch_size=8, shuffle=shuffle)
        return net.params.copy()

    assert oracle.same(trained(), trained())
    assert not np.array_equal(trained(), trained(seed=1))
    assert not np.array_equal(trained(), trained(shuffle=False))
    assert oracle.same(trained(shuffle=False), trained(shuffle=False))


@pytest.mark.parametrize(
    ("sizes", "rows", "batch"), [((4, 8, 3), 37, 10), ((300, 70, 3), 1300, 600), ((784, 530, 2), 300, 130)], ids=str
)
def test_the_order_of_an_epoch_is_the_documented_permutation(rng, dtype, sizes, rows, batch):
    X, t = rng.normal(size=(rows, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], rows)
    fitted, stepped = (MLP(sizes, dtype=dtype, seed=11) for _ in range(2))
    fitted.fit(X, t, epochs=3, batch_size=batch, optimizer=Adam())
    for epoch in range(3):
        order = oracle.permutation(rows, 11, epoch)
        for first in range(0, rows, batch):
            some = order[first : first + batch]
            stepped.train_step(X[some], t[some], Adam())
    assert oracle.same(fitted.params, stepped.params)
    assert oracle.same(fitted.grads, stepped.grads)  # the last step's


def test_history(rng):
    X, t = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
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
    assert history.val_metric[-1] == pytest.approx((1 - residual / spread).mean(), rel=1e-5)  # as scikit-learn has it
    validated = MLP([4, 8, 2], loss="squared_error")
    plain = MLP([4, 8, 2], loss="squared_error")
    validated.fit(X, y, epochs=3, validation_data=(X, y))
    plain.fit(X, y, epochs=3)
    assert oracle.same(validated.params, plain.params)  # to look changes nothing


def test_seconds_are_those_of_each_epoch(rng):
    X, t, start = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60), perf_counter()
    assert sum(MLP([4, 8, 3]).fit(X, t, epochs=200).seconds) < perf_counter() - start


def test_history_s_loss_is_the_mean_over_rows(rng):
    X, t = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    net = MLP([4, 8, 3], dtype="float64")
    before = net.loss_and_grad(X, t)[0]
    history = net.fit(X, t, epochs=1, batch_size=16, optimizer=SGD(0.0 + 1e-300))
    assert history.loss[0] == pytest.approx(before, rel=1e-13)


def test_verbose_prints_a_line_an_epoch(rng, capsys):
    X, t = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
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
    assert (net.predict(X[400:]) == t[400:]).mean() > 0.9


def test_fit_never_copies_its_inputs(rng):
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
        # X has 20 or 40 MB. fit: an order, 4 bytes a row, and a workspace; predict: a row's 3 outputs, flags and class
        assert peak < 0.3 * X.nbytes


@pytest.mark.parametrize(
    "settings",
    [{"epochs": -1}, {"epochs": 1.5}, {"batch_size": 0}, {"batch_size": -3}, {"batch_size": 2.5}, {"optimizer": "adm"},
     {"threads": 0}, {"threads": -1}, {"threads": 1.5}, {"validation_data": 3}],
    ids=repr,
)  # fmt: skip
def test_settings_of_fit_are_checked(settings):
    net, (name,) = MLP([4, 3]), settings
    oracle.refused(net, lambda: net.fit(np.ones((5, 4)), np.zeros(5, int), **settings), (ValueError, TypeError), name)


def test_validation_data_are_checked_before_training():
    net, X, t = MLP([4, 3]), np.ones((5, 4)), np.zeros(5, int)
    for bad in ((X[:, :3], t), (X, t[:4]), (X, t + 3)):
        oracle.refused(
            net, lambda bad=bad: net.fit(X, t, epochs=1, validation_data=bad), ValueError, r"^validation_data\[[01]\]"
        )


def test_a_batch_larger_than_the_data_is_all_of_it(rng):
    X, t = rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 3, 10)
    nets = [MLP([4, 3]) for _ in range(2)]
    nets[0].fit(X, t, epochs=3, batch_size=10, shuffle=False)
    nets[1].fit(X, t, epochs=3, batch_size=10**6, shuffle=False)
    assert oracle.same(nets[0].params, nets[1].params)


def test_a_loss_that_overflows_stops_before_the_step_that_would_spread_it(rng):
    X, y = rng.normal(size=(40, 4)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    for optimizer in (SGD(1e18), SGD(1e18, momentum=0.9), Adam(1e12)):
        net, twin = (MLP([4, 16, 2], loss="squared_error", seed=3) for _ in range(2))
        with pytest.raises(FloatingPointError, match=r"(?s)epoch.*step|step.*epoch") as caught:
            net.fit(X, y, epochs=50, batch_size=10, shuffle=False, optimizer=optimizer)
        done, (epoch, step) = 0, [int(n) for n in re.findall(r"(?:epoch|step)\D*(\d+)", str(caught.value))][:2]
        with np.errstate(all="ignore"):
            while np.isfinite(np.sum((twin(X[done % 4 * 10 :][:10]) - y[done % 4 * 10 :][:10]) ** 2, dtype=np.float32)):
                twin.train_step(X[done % 4 * 10 :][:10], y[done % 4 * 10 :][:10], optimizer)
                done += 1
        assert oracle.same(net.params, twin.params)
        assert np.isfinite(net.params).all()
        assert net.optimizer_state()["steps"] == done
        assert repr(net.optimizer_state()) == repr(twin.optimizer_state())
        assert (epoch, step) == (done // 4 + 1, done % 4 + 1)
        oracle.refused(net, partial(net.train_step, X, y * np.float32(1e20), optimizer), FloatingPointError, "loss")
        oracle.refused(
            net, partial(net.fit, X, y * np.float32(1e20), epochs=1, optimizer=optimizer), FloatingPointError, "loss"
        )


def test_moments_of_a_dead_column_do_not_stay_subnormal(rng):
    net = MLP([3, 8, 2], seed=1)
    X, t = rng.normal(size=(32, 3)).astype(np.float32), rng.integers(0, 2, 32)
    net.fit(X, t, epochs=2, optimizer=Adam())
    X[:, 1] = 0
    net.fit(X, t, epochs=3000, batch_size=32, optimizer=Adam())
    for slot in net.optimizer_state()["slots"]:
        assert not ((slot != 0) & (np.abs(slot) < np.finfo(np.float32).tiny)).any()


class Interfering(io.StringIO):
    """A standard output during whose writing somebody uses the network that is being trained."""

    def __init__(self, use):
        super().__init__()
        self.use, self.refusals = use, []

    def write(self, text):
        self.refusals.append(oracle.attempt(self.use, RuntimeError))
        return super().write(text)


def test_a_network_is_trained_by_one_call_at_a_time(rng, monkeypatch):
    X, t = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    net, alone = (MLP([4, 8, 3], seed=1) for _ in range(2))
    alone.fit(X, t, epochs=2)
    uses = [
        partial(net.fit, X, t),
        partial(net.train_step, X, t, Adam()),
        partial(net.loss_and_grad, X, t),
        partial(net.backward, X, np.ones((20, 3))),
        partial(net.update, Adam()),
        net.reset_optimizer,
    ]
    for use in uses:
        out = Interfering(use)
        monkeypatch.setattr("sys.stdout", out)
        net.fit(X, t, epochs=2, verbose=True)
        monkeypatch.undo()
        assert len(out.refusals) >= 2
        assert all(isinstance(error, RuntimeError) for error in out.refusals)
    once = MLP([4, 8, 3], seed=1)
    monkeypatch.setattr("sys.stdout", Interfering(lambda: once(X)))  # to ask is always allowed
    once.fit(X, t, epochs=2, verbose=True)
    assert oracle.same(once.params, alone.params)


def steps_by_hand(net, X, t, batch, steps):
    """A network of the same seed after so many steps of fit."""
    twin = MLP(net.sizes, seed=net.seed)
    a_epoch = -(-len(X) // batch)
    for step in range(steps):
        if step % a_epoch == 0:
            order = oracle.permutation(len(X), net.seed, step // a_epoch)
        some = order[step % a_epoch * batch :][:batch]
        twin.train_step(X[some], t[some], Adam())
    return twin


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("hidden", [8, 500])
def test_an_interrupt_stops_fit_in_time_at_a_step_s_boundary(rng, hidden, threads):
    X, t = rng.normal(size=(400, 300)).astype(np.float32), rng.integers(0, 3, 400)
    delays = []
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(5):  # a machine busy with other things may be late; fastmlp is late every time
            net = MLP([300, hidden, 3], seed=1)
            start = perf_counter()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                net.fit(X, t, epochs=10**9, batch_size=150, threads=threads)
            delays.append(perf_counter() - start - 0.05)
            if delays[-1] < 0.2:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert min(delays) < 0.2
    steps = net.optimizer_state()["steps"]
    assert steps > 0
    assert oracle.same(net.params, steps_by_hand(net, X, t, 150, steps).params)
    assert len(net.fit(X, t, epochs=2).loss) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_between_two_epochs_leaves_a_usable_network(rng, monkeypatch, error):
    X, t = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    net, alone = (MLP([4, 8, 3], seed=1) for _ in range(2))

    class Broken(io.StringIO):
        def write(self, text):
            raise error

    monkeypatch.setattr("sys.stdout", Broken())
    with pytest.raises(error):
        net.fit(X, t, epochs=5, verbose=True)
    monkeypatch.undo()
    for _ in range(2):
        alone.fit(X, t, epochs=1)
        assert oracle.same(net.params, alone.params)
        assert net.epochs_done == alone.epochs_done
        net.fit(X, t, epochs=1)


def test_validation_data_are_checked_like_training_data(rng):
    X, y = rng.standard_normal((8, 3)).astype("f"), rng.integers(0, 2, 8).astype("f")
    net = MLP([3, 4, 1], loss="binary_cross_entropy")
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"validation_data\[1\].* 5\.0 .*0 to 1"):
        net.fit(X, y, validation_data=(X, np.full(8, 5.0)))
    with pytest.raises(ValueError, match=r"validation_data\[0\] is nan at row 0"):
        net.fit(X, y, validation_data=(np.full_like(X, np.nan), y))
    assert (net.params == before).all()


def test_a_network_that_was_never_initialised_is_an_error():
    with pytest.raises(RuntimeError, match="never initialised"):
        MLP.__new__(MLP)(np.zeros(0, bool))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
def test_an_interrupt_at_any_moment_leaves_the_network_free(rng):
    """In a loop of single steps the interrupt often comes between taking the network and training it."""
    X, y, adam = rng.standard_normal((4, 3)).astype("f"), np.array([0, 1, 1, 0]), fastmlp.Adam()

    def interrupted(net, delay):
        signal.setitimer(signal.ITIMER_REAL, delay)
        while True:
            net.train_step(X, y, adam)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # Hypothesis has a callback of the collector, and Python drops what that raises
    try:
        for delay in rng.uniform(1e-5, 1e-3, 300):
            net = MLP([3, 16, 2])
            with pytest.raises(KeyboardInterrupt):
                interrupted(net, delay)
            net.train_step(X, y, adam)
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)
