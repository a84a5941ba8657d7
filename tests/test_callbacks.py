"""Callbacks of fit: when they are called, what stops training, and what an error in one leaves behind."""

import threading
from functools import partial

import numpy as np
import oracle
import pytest
from saved import facts

from fastmlp import MLP, SGD, Adam, Callback, EarlyStopping, SiameseMLP, load


def data(rng, rows=50):
    return rng.normal(size=(rows, 4)).astype("f"), rng.integers(0, 3, rows)


class Recorder(Callback):
    def __init__(self, name="", calls=None):
        self.name, self.calls = name, [] if calls is None else calls

    def on_train_begin(self, net):
        self.calls.append((self.name, "begin", net.epochs_done))

    def on_epoch_end(self, net, epoch, history):
        self.calls.append((self.name, "epoch", epoch, len(history.loss), len(history.val_loss), net.epochs_done))

    def on_train_end(self, net):
        self.calls.append((self.name, "end", net.epochs_done))


class BatchRecorder(Callback):
    def __init__(self):
        self.calls, self.params = [], []

    def on_batch_end(self, net, epoch, step, loss):
        self.calls.append((epoch, step, loss))
        self.params.append(net.params.copy())


def test_who_is_called_when(rng):
    X, t = data(rng)
    a = Recorder("a")
    net, plain = MLP([4, 8, 3]), MLP([4, 8, 3])
    net.fit(X, t, epochs=1)
    net.fit(X, t, epochs=2, validation_data=(X, t), callbacks=[a, Recorder("b", a.calls)])
    wanted = [("begin", 1), ("epoch", 0, 1, 1, 2), ("epoch", 1, 2, 2, 3), ("end", 3)]
    assert a.calls == [(name, *call) for call in wanted for name in "ab"]
    plain.fit(X, t, epochs=3)
    assert oracle.same(net.params, plain.params)  # to look on changes nothing
    one = Recorder()
    net.fit(X, t, epochs=0, callbacks=one)  # one needs no list
    assert one.calls == [("", "begin", 3), ("", "end", 3)]


@pytest.mark.parametrize("make", [lambda: MLP([4, 8, 3], seed=2), lambda: SiameseMLP([4, 8], seed=2)])
def test_batches(rng, make):
    """After every step, with its loss and the parameters after it."""
    X, t = data(rng)
    fitted, plain, stepped = make(), make(), make()
    if isinstance(fitted, SiameseMLP):
        X, t = (X, X[::-1].copy()), t % 2
    batches = BatchRecorder()
    history = fitted.fit(X, t, epochs=2, batch_size=20, callbacks=[batches, Recorder()], shuffle=False)
    assert plain.fit(X, t, epochs=2, batch_size=20, shuffle=False).loss == history.loss
    assert oracle.same(fitted.params, plain.params)
    assert [call[:2] for call in batches.calls] == [(epoch, step) for epoch in range(2) for step in range(3)]
    for (_, step, loss), params in zip(batches.calls, batches.params, strict=True):
        some = slice(20 * step, 20 * step + 20)
        inputs = (X[0][some], X[1][some]) if isinstance(X, tuple) else X[some]
        assert loss == pytest.approx(stepped.train_step(inputs, t[some], Adam()), rel=1e-14)
        assert oracle.same(params, stepped.params)
    for epoch in range(2):
        losses = [loss for e, _, loss in batches.calls if e == epoch]
        assert history.loss[epoch] == pytest.approx(np.average(losses, weights=[20, 20, 10]), rel=1e-14)


class StopAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, epoch, history):
        return np.bool_(epoch == self.epoch)


class StopAtStep(Callback):
    def __init__(self, epoch, step):
        self.at = epoch, step

    def on_batch_end(self, net, epoch, step, loss):
        return (epoch, step) == self.at


def test_a_true_value_stops(rng, tmp_path):
    X, t = data(rng)
    whole, net, late = (MLP([4, 8, 3]) for _ in range(3))
    calls = Recorder()
    history = net.fit(X, t, epochs=9, batch_size=10, callbacks=[StopAt(1), calls], checkpoint=tmp_path / "a.npz")
    assert len(history.loss) == net.epochs_done == 2
    assert calls.calls[-2:] == [("", "epoch", 1, 2, 0, 2), ("", "end", 2)]
    whole.fit(X, t, epochs=2, batch_size=10)
    assert oracle.same(net.params, whole.params)
    # within an epoch: its beginning has been trained, but is in no history
    for step, done in ((2, 1), (4, 2)):
        net = MLP([4, 8, 3])
        path = tmp_path / f"{step}.npz"
        history = net.fit(X, t, epochs=9, batch_size=10, callbacks=StopAtStep(1, step), checkpoint=path)
        assert len(history.loss) == net.epochs_done == done
        assert net.optimizer_state()["steps"] == 5 + step + 1
        assert facts(load(path)) == facts(net)
        resumed = MLP([4, 8, 3])
        resumed.fit(X, t, epochs=9, batch_size=10, resume=path)
        late = MLP([4, 8, 3])
        late.fit(X, t, epochs=9, batch_size=10)
        assert facts(resumed) == facts(late)


class Failing(Callback):
    def __init__(self, where, error):
        self.where, self.error = where, error

    def on_train_begin(self, net):
        if self.where == "begin":
            raise self.error

    def on_epoch_end(self, net, epoch, history):
        if self.where == "epoch" and epoch == 1:
            raise self.error

    def on_train_end(self, net):
        if self.where == "end":
            raise self.error


class FailingStep(Callback):
    def __init__(self, error):
        self.error = error

    def on_batch_end(self, net, epoch, step, loss):
        if (epoch, step) == (1, 2):
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("mine"), StopIteration()], ids=repr)
@pytest.mark.parametrize("where", ["begin", "step", "epoch", "end"])
def test_an_error_comes_out_and_leaves_a_usable_network(rng, where, error):
    X, t = data(rng)
    net, alone = (MLP([4, 8, 3], seed=1) for _ in range(2))
    callback = FailingStep(error) if where == "step" else Failing(where, error)
    with pytest.raises(type(error)) as caught:
        net.fit(X, t, epochs=3, batch_size=10, callbacks=[callback, Recorder()])
    assert caught.value is error
    steps = {"begin": 0, "step": 8, "epoch": 10, "end": 15}[where]
    assert net.optimizer_state()["steps"] == steps
    assert net.epochs_done == steps // 5
    for step in range(steps):
        some = oracle.permutation(50, 1, step // 5)[step % 5 * 10 :][:10]
        alone.train_step(X[some], t[some], Adam())
    assert oracle.same(net.params, alone.params)
    assert len(net.fit(X, t, epochs=2).loss) == 2


def test_an_interrupt_in_a_callback_leaves_a_checkpoint(rng, tmp_path):
    X, t = data(rng)
    whole, net, resumed = (MLP([4, 8, 3], seed=1) for _ in range(3))
    settings = {"epochs": 4, "batch_size": 10}
    whole.fit(X, t, **settings)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, t, **settings, callbacks=FailingStep(KeyboardInterrupt()), checkpoint=tmp_path / "a.npz")
    assert facts(load(tmp_path / "a.npz")) == facts(net)
    resumed.fit(X, t, **settings, resume=tmp_path / "a.npz")
    assert facts(resumed) == facts(whole)


class Using(Callback):
    """Uses the network from within, and from another thread."""

    def __init__(self, *uses):
        self.uses, self.errors = uses, []

    def use(self):
        self.errors += [oracle.attempt(use, RuntimeError) for use in self.uses]

    def on_epoch_end(self, net, epoch, history):
        self.use()
        other = threading.Thread(target=self.use)
        other.start()
        other.join()

    def on_batch_end(self, net, epoch, step, loss):
        self.use()


def test_a_network_is_busy_while_its_callbacks_run(rng, tmp_path):
    X, t = data(rng)
    net, other, alone = (MLP([4, 8, 3], seed=1) for _ in range(3))
    alone.fit(X, t, epochs=2)
    refused = Using(
        partial(net.fit, X, t),
        partial(net.train_step, X, t, Adam()),
        partial(net.loss_and_grad, X, t),
        partial(net.update, SGD()),
        net.reset_optimizer,
    )
    allowed = Using(
        partial(net, X), partial(net.predict, X), partial(net.save, tmp_path / "a.npz"), partial(other.fit, X, t)
    )
    net.fit(X, t, epochs=2, callbacks=[refused, allowed])
    assert len(refused.errors) == 5 * 2 * 3
    assert all("is being trained already" in str(error) for error in refused.errors)
    assert set(allowed.errors) == {None}
    assert oracle.same(net.params, alone.params)


@pytest.mark.parametrize("callbacks", [[print], "abc", 3, [Recorder(), None], [Recorder], StopAt], ids=str)
def test_what_is_no_callback_is_refused(callbacks):
    net = MLP([2, 2])
    oracle.refused(
        net, lambda: net.fit(np.ones((2, 2)), [0, 1], callbacks=callbacks), ValueError, "^callbacks has .*Callback"
    )


@pytest.mark.parametrize("early_stopping", [1, "loss", EarlyStopping, 0])
def test_what_is_no_early_stopping_is_refused(early_stopping):
    net, X = MLP([2, 2]), np.ones((2, 2))
    call = partial(net.fit, X, [0, 1], validation_data=(X, [0, 1]), early_stopping=early_stopping)
    oracle.refused(net, call, ValueError, "^early_stopping is .*; it must be True, False or an EarlyStopping")


@pytest.mark.parametrize("other", [100_000, 2, -1])
def test_classes_that_a_callback_changes_stay_those_of_the_call(rng, other):
    class Relabel(Callback):
        def on_epoch_end(self, net, epoch, history):
            t[:] = other

    X, t = data(rng)
    wanted, found = MLP([4, 5, 3]), MLP([4, 5, 3])
    wanted.fit(X, t.copy(), epochs=3)
    found.fit(X, t, epochs=3, callbacks=Relabel())
    assert oracle.same(found.params, wanted.params)
