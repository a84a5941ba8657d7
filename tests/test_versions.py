"""Files of version 2 of the format: what needs it and what does not, and that all of it comes back or is refused."""

import json

import numpy as np
import oracle
import pytest
from saved import facts, refused

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, Lion, RMSprop, SiameseMLP, load, losses

SCHEDULES = [
    fastmlp.StepDecay(0.1, every=np.int64(3), factor=0.5),
    fastmlp.Cosine(np.float32(0.1), final=1e-3, warmup=0.1),
    fastmlp.OneCycle(0.1),
    fastmlp.ReduceOnPlateau(0.1, patience=2, min_rate=1e-5),
]
OPTIMIZERS = [
    RMSprop(0.01, momentum=0.9),
    Lion(1e-3),
    Adam(clip_norm=1.0),
    AdamW(ema=0.9),
    SGD(0.1, 0.9, clip_norm=0.5, ema=0.99),
    *[Adam(schedule) for schedule in SCHEDULES],
    RMSprop(SCHEDULES[1], ema=0.5),
]
LOSSES = [
    losses.SquaredError(),
    losses.SoftmaxCrossEntropy(label_smoothing=0.1),
    losses.BinaryCrossEntropy(label_smoothing=0.1),
    losses.AbsoluteError(),
    losses.Huber(2.0),
    losses.Quantile(0.9),
    losses.Poisson(),
    losses.Focal(1.0),
    losses.BinaryFocal(),
]


def header_of(path):
    with np.load(path) as arrays:
        return json.loads(arrays["header"].tobytes())


def data(net, rng, rows=20):
    X = rng.normal(size=(rows, net.sizes[0]))
    if net.loss in ("softmax_cross_entropy", "focal"):
        return X, rng.integers(0, net.sizes[-1], rows)
    return X, rng.integers(0, 2, (rows, net.sizes[-1]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizers_come_back(tmp_path, rng, dtype, optimizer):
    unbroken, net = (MLP([4, 9, 3], dtype=dtype, seed=3) for _ in range(2))
    X, y = data(net, rng)
    for each in (unbroken, net):
        each.fit(X, y, epochs=2, batch_size=7, optimizer=optimizer)
    net.save(tmp_path / "net.npz")
    assert header_of(tmp_path / "net.npz")["version"] == 2
    again = load(tmp_path / "net.npz")
    assert facts(again) == facts(net)
    for each in (unbroken, again):
        each.fit(X, y, epochs=2, batch_size=7, optimizer=optimizer)
    assert facts(again) == facts(unbroken)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_come_back(tmp_path, loss):
    net = MLP([4, 9, 3], loss=loss)
    net.save(tmp_path / "net.npz")
    again = load(tmp_path / "net.npz")
    assert facts(again) == facts(net)
    assert again.objective == loss
    assert header_of(tmp_path / "net.npz")["version"] == (1 if loss == losses.SquaredError() else 2)


@pytest.mark.parametrize(
    "settings",
    [{"dropout": 0.25}, {"dropout": [0.0, 0.5]}, {"init": "lecun_normal"}, {"activation": ["relu", "exp"]}],
    ids=repr,
)
def test_networks_come_back(tmp_path, settings):
    net = MLP([4, 9, 8, 3], seed=2, **settings)
    net.save(tmp_path / "net.npz")
    assert header_of(tmp_path / "net.npz")["version"] == 2
    assert facts(load(tmp_path / "net.npz")) == facts(net)


@pytest.mark.parametrize("make", [lambda: MLP([4, 9, 3]), lambda: SiameseMLP([4, 9])])
def test_what_uses_nothing_new_stays_readable_for_older_versions(tmp_path, rng, make):
    for optimizer in (SGD(0.1, momentum=0.9), Adam(), AdamW()):
        net = make()
        X, y = data(net, rng)
        inputs = (X, X[::-1]) if isinstance(net, SiameseMLP) else X
        net.fit(inputs, y, epochs=1, optimizer=optimizer, callbacks=fastmlp.Callback(), checkpoint=tmp_path / "a.npz")
        net.save(tmp_path / "b.npz")
        for name in ("a.npz", "b.npz"):
            header = header_of(tmp_path / name)
            assert header["version"] == 1
            assert set(header) == {
                "format", "version", "kind", "sizes", "activations", "output_activation", "loss", "bias", "seed",
                "dtype", "epochs_done", "optimizer", "metadata", "training",
            }  # fmt: skip
            assert not {"clip_norm", "ema"} & set(header["optimizer"]["settings"])


def test_a_siamese_network_can_be_of_version_2(tmp_path, rng):
    net, X = SiameseMLP([3, 5]), rng.normal(size=(9, 3))
    net.fit((X, X[::-1]), rng.integers(0, 2, 9), epochs=1, optimizer=Adam(ema=0.9))
    net.save(tmp_path / "net.npz")
    assert facts(load(tmp_path / "net.npz")) == facts(net)


def test_what_is_of_ones_own_is_refused(tmp_path):
    class MyRate:
        def rates(self, first, steps, total, history):
            return np.full(steps, 0.1)

    class MyLoss(losses.Huber):
        pass

    net = MLP([2, 2])
    net.fit(np.eye(2), [0, 1], epochs=1, optimizer=SGD(MyRate()))
    with pytest.raises(ValueError, match="learning_rate is a MyRate; only StepDecay, Cosine"):
        net.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="loss is a MyLoss"):
        MLP([2, 2], loss=MyLoss()).save(tmp_path / "net.npz")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def rich(tmp_path, rng):
    """A file in which everything is used, a checkpoint of a fit with early stopping."""
    net = MLP([4, 9, 3], loss=losses.Focal(1.5), dropout=0.1, init="he_normal")
    X, y = data(net, rng)
    optimizer = Adam(fastmlp.Cosine(0.1), ema=0.9, clip_norm=1.0)
    net.fit(
        X, y, epochs=2, optimizer=optimizer, validation_data=(X, y), early_stopping=True, checkpoint=tmp_path / "a.npz"
    )
    return tmp_path / "a.npz"


def changed(path, change):
    """The bytes of the file with another header."""
    with np.load(path) as arrays:
        members = dict(arrays)
    header = json.loads(members["header"].tobytes())
    change(header)
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **members)
    return path.read_bytes()


def put(*keys, value):
    """A change of the entry at these keys."""

    def change(header):
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


def drop(*keys):
    def change(header):
        for key in keys[:-1]:
            header = header[key]
        del header[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("version", value=1), "fields"),
        (put("loss", value="poisson"), "objective"),
        (put("loss", value="x" * 5000), "loss is 'xxx"),
        (put("objective", value={}), "objective"),
        (put("objective", "gamma", value=-1.0), "gamma"),
        (put("objective", "gamma", value=1), "gamma"),
        (put("objective", "delta", value=1.0), "objective"),
        (put("dropout", value=[]), "dropout"),
        (put("dropout", value=[0.1] * 500), "dropout has 500 entries"),
        (put("dropout", value=["x" * 5000]), "dropout"),
        (put("dropout", value=[1.0]), "dropout"),
        (put("dropout", value=0.1), "dropout"),
        (put("init", value="mine"), "init"),
        (put("init", value=None), "init"),
        (put("kind", value="SiameseMLP"), ""),
        (put("optimizer", "settings", "learning_rate", value={}), "learning_rate"),
        (put("optimizer", "settings", "learning_rate", "kind", value="Mine"), "learning_rate 'Mine'"),
        (put("optimizer", "settings", "learning_rate", "settings", value={}), "learning_rate"),
        (put("optimizer", "settings", "learning_rate", "settings", "warmup", value=1.0), "warmup"),
        (put("optimizer", "settings", "learning_rate", "settings", "warmup", value=True), "warmup"),
        (drop("optimizer", "settings", "learning_rate"), "settings"),
        (put("optimizer", "settings", "clip_norm", value=None), "clip_norm"),
        (put("optimizer", "settings", "clip_norm", value=-1.0), "clip_norm"),
        (put("optimizer", "settings", "ema", value=1.0), "ema"),
        (drop("optimizer", "settings", "ema"), "best"),
        (put("training", "early_stopping", value=3), "early_stopping"),
        (put("training", "best", value=1), "best"),
        (put("training", "best", value=False), ""),
        (drop("training", "best"), "training"),
        (put("new", value=1), "fields"),
    ],
)
def test_what_no_save_writes_is_refused(rich, change, message):
    load(rich)
    refused(rich, changed(rich, change), message)


def test_version_1_cannot_hold_what_is_new(tmp_path):
    for net in (MLP([2, 2], loss="poisson"), MLP([2, 3, 2], activation="exp"), MLP([2, 2])):
        if net.loss == "softmax_cross_entropy" and net.activations == ():
            net.fit(np.eye(2), [0, 1], epochs=1, optimizer=Lion())
        path = tmp_path / "net.npz"
        net.save(path)

        def old(header):
            header["version"] = 1
            for name in ("objective", "dropout", "init", "lists"):
                del header[name]

        refused(path, changed(path, old), "its header has what version 1 of the format had not")


def test_a_version_2_network_is_copied(rng):
    import copy
    import pickle

    net = MLP([4, 9, 3], loss=losses.Huber(2.0), dropout=0.2)
    net.fit(*data(net, rng), epochs=1, optimizer=RMSprop(fastmlp.OneCycle(0.01), ema=0.9))
    for again in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert facts(again) == facts(net)
        assert oracle.same(again._average, net._average)
