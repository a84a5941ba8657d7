"""Early stopping: which epoch is the last and which the best, by a plain loop; and that a resumed fit agrees."""

from functools import partial

import numpy as np
import oracle
import pytest
from saved import Numbered, facts

import fastmlp
from fastmlp import MLP, SGD, Adam, Callback, EarlyStopping, load, metrics
from fastmlp.callbacks import Watch
from fastmlp.training import described


class Copies(Callback):
    """The parameters after each epoch."""

    def __init__(self):
        self.params = []

    def on_epoch_end(self, net, epoch, history):
        self.params.append(net.params.copy())


def noisy(rng, rows=60):
    """A problem on which validation soon gets worse."""
    X = rng.normal(size=(2 * rows, 6)).astype("f")
    t = (X[:, 0] + rng.normal(size=2 * rows) > 0).astype(int)
    return (X[:rows], t[:rows]), (X[rows:], t[rows:])


def by_hand(values, sign, patience, min_delta):
    """(epochs that are trained, number of the best) for the values that each epoch would have."""
    mark, waited, epochs = -np.inf, 0, 0
    for value in values:
        epochs += 1
        if sign * value > mark + min_delta:
            mark, waited = sign * value, 0
        else:
            waited += 1
        if waited == patience:
            break
    return epochs, int(np.argmax(sign * np.array(values[:epochs])))


def test_small_improvements_add_up():
    """It is the last improvement that a value must be better than by min_delta, not the best value so far."""
    values = [1.0 - 0.004 * epoch for epoch in range(20)]
    watch = Watch(EarlyStopping(patience=3, min_delta=0.01))
    waited = []
    for value in values:
        assert watch.see(value, 0.0)  # each is the best so far
        waited.append(watch.waited)
    assert waited == [0, 1, 2] * 6 + [0, 1]
    assert by_hand(values, -1, 3, 0.01) == (20, 19)


@pytest.mark.parametrize("min_delta", [0.0, 0.01])
@pytest.mark.parametrize("patience", [1, 4])
@pytest.mark.parametrize("metric", ["loss", "accuracy", "f1"])
def test_it_stops_when_a_plain_loop_would(rng, metric, patience, min_delta):
    train, validation = noisy(rng)
    settings = {"epochs": 40, "batch_size": 10, "optimizer": Adam(0.03), "validation_data": validation}
    free, copies = MLP([6, 16, 2], seed=1), Copies()
    long = free.fit(*train, **settings, callbacks=copies)
    if metric == "loss":
        values, sign = long.val_loss, -1
    elif metric == "accuracy":
        values, sign = long.val_metric, 1
    else:
        values, sign = [], 1
        for params in copies.params:
            free.params = params
            values.append(metrics.f1(validation[1], free.predict(validation[0])))
    epochs, best = by_hand(values, sign, patience, min_delta)
    for restore in (True, False):
        net = MLP([6, 16, 2], seed=1)
        stopping = EarlyStopping(metric, patience, min_delta, restore_best=restore)
        history = net.fit(*train, **settings, early_stopping=stopping)
        assert len(history.loss) == net.epochs_done == epochs < 40
        assert history.loss == long.loss[:epochs]
        assert oracle.same(net.params, copies.params[best if restore else epochs - 1])
        assert (history.val_loss if metric == "loss" else history.val_metric) == values[:epochs]


def test_the_best_weights_are_restored_even_if_it_never_stops(rng):
    train, validation = noisy(rng)
    net = MLP([6, 16, 2], seed=1)
    history = net.fit(*train, epochs=30, batch_size=10, optimizer=Adam(0.03), validation_data=validation,
                      early_stopping=EarlyStopping(patience=1000))  # fmt: skip
    assert len(history.loss) == 30
    assert min(history.val_loss) < history.val_loss[-1]
    again = MLP([6, 16, 2], seed=1)
    again.fit(*train, epochs=int(np.argmin(history.val_loss)) + 1, batch_size=10, optimizer=Adam(0.03))
    assert oracle.same(net.params, again.params)


def test_true_is_short_for_the_default(rng):
    train, validation = noisy(rng)
    nets = [MLP([6, 16, 2], seed=1) for _ in range(2)]
    for net, stopping in zip(nets, (True, EarlyStopping()), strict=True):
        history = net.fit(*train, epochs=100, batch_size=10, optimizer=Adam(0.03), validation_data=validation,
                          early_stopping=stopping)  # fmt: skip
        assert len(history.loss) == int(np.argmin(history.val_loss)) + 1 + 10
    assert oracle.same(nets[0].params, nets[1].params)


def test_a_function_is_greater_for_better(rng):
    train, validation = noisy(rng)

    def worse(y_true, y_pred):
        return -float((y_true == y_pred).mean())

    net = MLP([6, 16, 2], seed=1)
    stopping = EarlyStopping(worse, patience=2)
    history = net.fit(*train, epochs=50, batch_size=10, validation_data=validation, early_stopping=stopping)
    assert len(history.loss) < 50
    assert (history.metric, history.val_metric[-1]) == ("worse", min(history.val_metric[-2:]))


def test_a_function_of_fastmlp_metrics_is_its_name(rng):
    X = rng.normal(size=(60, 4))
    y = X @ rng.normal(size=4)
    results = []
    for metric in ("mean_absolute_error", metrics.mean_absolute_error):
        net = MLP([4, 8, 1], loss="squared_error", seed=1)
        history = net.fit(X, y, epochs=15, validation_data=(X, y), early_stopping=EarlyStopping(metric, patience=3))
        results.append((history.metric, history.val_metric, net.params.tobytes()))
    assert results[0] == results[1]
    assert results[0][1][-1] < results[0][1][0]


class Best:
    """A metric that is an object."""

    def __call__(self, y_true, y_pred):
        return float((y_true == y_pred).mean())


@pytest.mark.parametrize(
    ("metric", "name"),
    [(lambda: partial(np.dot, Best(), out=len), "dot(Best, out=len)"), (Best, "Best"), (lambda: metrics.f1, "f1")],
)
def test_a_metric_has_the_same_name_in_every_process(metric, name):
    # which is what a checkpoint remembers of it: no address
    assert described(EarlyStopping(metric())) == described(EarlyStopping(metric())) == f"{name}, 10, 0.0, True"


def test_a_metric_must_give_a_number(rng):
    train, validation = noisy(rng)
    stopping = EarlyStopping(lambda y_true, y_pred: None)
    with pytest.raises(TypeError, match=r"metric <lambda> gave None; it must give a number"):
        MLP([6, 16, 2]).fit(*train, epochs=1, validation_data=validation, early_stopping=stopping)


def test_a_metric_that_is_not_a_number_never_improves(rng):
    train, validation = noisy(rng)
    net = MLP([6, 16, 2], seed=1)
    stopping = EarlyStopping(lambda true, pred: float("nan"), patience=3)
    history = net.fit(*train, epochs=50, validation_data=validation, early_stopping=stopping)
    assert len(history.loss) == 3  # and there are no best weights to go back to
    other = MLP([6, 16, 2], seed=1)
    other.fit(*train, epochs=3)
    assert oracle.same(net.params, other.params)


def test_an_error_in_a_metric_comes_out_and_leaves_a_usable_network(rng):
    train, validation = noisy(rng)
    calls = []

    def failing(true, pred):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return 1.0

    net, alone = MLP([6, 16, 2], seed=1), MLP([6, 16, 2], seed=1)
    with pytest.raises(ZeroDivisionError):
        net.fit(*train, epochs=9, validation_data=validation, early_stopping=EarlyStopping(failing))
    assert net.epochs_done == 2  # the third is trained, but was never judged
    alone.fit(*train, epochs=3)
    assert oracle.same(net.params, alone.params)
    net.fit(*train, epochs=1)


def test_it_needs_validation_data():
    net = MLP([2, 2])
    call = partial(net.fit, np.ones((2, 2)), [0, 1], early_stopping=True)
    oracle.refused(net, call, ValueError, "^early_stopping is True; it needs validation_data")


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"metric": 3}, "metric"), ({"patience": 0}, "patience"), ({"patience": 1.5}, "patience"),
     ({"min_delta": -1}, "min_delta"), ({"min_delta": np.nan}, "min_delta"), ({"restore_best": 1}, "restore_best")],
    ids=repr,
)  # fmt: skip
def test_settings_are_checked(settings, name):
    with pytest.raises(ValueError, match=f"^{name} is .*; it must be "):
        EarlyStopping(**settings)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("stopping", [EarlyStopping(patience=4), EarlyStopping("f1", 3, 0.01)], ids=repr)
def test_every_checkpoint_leads_to_the_same_bits(tmp_path, rng, dtype, stopping, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    train, validation = noisy(rng)
    settings = {"epochs": 60, "batch_size": 7, "optimizer": SGD(0.1, 0.9), "validation_data": validation}
    settings["early_stopping"] = stopping
    unbroken = MLP([6, 16, 2], seed=1, dtype=dtype)
    history = unbroken.fit(*train, **settings)
    path = Numbered(tmp_path, suffix)
    kept = MLP([6, 16, 2], seed=1, dtype=dtype)
    kept.fit(*train, **settings, checkpoint=path, checkpoint_every=5)
    assert facts(kept) == facts(unbroken)
    assert len(path.written()) > 5
    assert facts(load(path.written()[-1])) == facts(unbroken)  # with the best weights
    for checkpoint in path.written():
        resumed = MLP([6, 16, 2], seed=1, dtype=dtype)
        again = resumed.fit(*train, **settings, resume=checkpoint)
        assert (again.loss, again.val_loss, again.val_metric) == (history.loss, history.val_loss, history.val_metric)
        assert facts(resumed) == facts(unbroken)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, rng):
    train, validation = noisy(rng)
    settings = {"epochs": 3, "batch_size": 10, "validation_data": validation}
    MLP([6, 16, 2]).fit(*train, **settings, early_stopping=True, checkpoint=tmp_path / "with.npz")
    MLP([6, 16, 2]).fit(*train, **settings, checkpoint=tmp_path / "without.npz")
    for path, stopping, message in [
        ("with.npz", None, r"was written with early_stopping = loss, 10, 0\.0, True; now it is None"),
        ("with.npz", EarlyStopping(patience=11), r"= loss, 10, 0\.0, True; now it is loss, 11, 0\.0, True"),
        ("without.npz", True, r"= None; now it is loss, 10"),
    ]:
        net = MLP([6, 16, 2])
        call = partial(net.fit, *train, **settings, early_stopping=stopping, resume=tmp_path / path)
        oracle.refused(net, call, ValueError, message)


def test_load_gives_the_best_weights_so_far(tmp_path, rng):
    train, validation = noisy(rng)
    net, copies, path = MLP([6, 16, 2], seed=1), Copies(), Numbered(tmp_path, ".npz")
    history = net.fit(*train, epochs=20, batch_size=10, optimizer=Adam(0.03), validation_data=validation,
                      early_stopping=EarlyStopping(patience=20), callbacks=copies, checkpoint=path)  # fmt: skip
    for epoch, name in enumerate(path.written()):
        best = int(np.argmin(history.val_loss[: epoch + 1]))
        assert oracle.same(fastmlp.load(name).params, copies.params[best])


@pytest.mark.parametrize("name", metrics.METRICS)
def test_a_function_of_the_module_counts_as_its_name(name):
    stopping = EarlyStopping(getattr(metrics, name))
    assert stopping == EarlyStopping(name)
    assert repr(stopping) == repr(EarlyStopping(name))
