"""A training that breaks off goes on from its checkpoint to the bits of one that never did."""

import importlib.util
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
from fractions import Fraction

import numpy as np
import oracle
import pytest
from saved import Numbered, facts

import fastmlp
from fastmlp import (
    MLP,
    SGD,
    Adam,
    AdamW,
    Callback,
    EarlyStopping,
    FormatError,
    SiameseMLP,
    _npz,
    load,
    losses,
)

ROWS, EPOCHS, BATCH = 103, 3, 10
NETWORKS = {
    "classes": lambda dtype: MLP([5, 17, 3], seed=3, dtype=dtype),
    "values": lambda dtype: MLP([5, 8, 2], activation="tanh", loss="squared_error", dtype=dtype),
    "siamese": lambda dtype: SiameseMLP([5, 9], seed=1, dtype=dtype),
}
OPTIMIZERS = {"classes": Adam(0.01), "values": SGD(0.05, momentum=0.9, nesterov=True), "siamese": AdamW(0.01)}


def arguments(net, rng, rows=ROWS):
    X = rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)
    if isinstance(net, SiameseMLP):
        return (X, X[::-1].copy()), rng.integers(0, 2, rows)
    if net.loss == "softmax_cross_entropy":
        return X, rng.integers(0, net.sizes[-1], rows)
    return X, rng.normal(size=(rows, net.sizes[-1])).astype(net.dtype)


def course(history):
    return history.loss, history.val_loss, history.val_metric, len(history.seconds)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_checkpoint_leads_to_the_same_bits(tmp_path, rng, name, dtype, shuffle, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    unbroken, kept = NETWORKS[name](dtype), NETWORKS[name](dtype)
    X, y = arguments(unbroken, rng)
    unbroken.fit(X, y, epochs=1, optimizer=OPTIMIZERS[name], batch_size=BATCH)  # so that epochs are counted on
    kept.fit(X, y, epochs=1, optimizer=OPTIMIZERS[name], batch_size=BATCH)
    begun = fastmlp.saving.to_bytes(kept)
    settings = {
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "optimizer": OPTIMIZERS[name],
        "shuffle": shuffle,
        "validation_data": (X, y),
    }
    history = unbroken.fit(X, y, **settings)
    path = Numbered(tmp_path, suffix)
    assert course(kept.fit(X, y, **settings, checkpoint=path, checkpoint_every=4)) == course(history)
    assert facts(kept) == facts(unbroken)
    steps = EPOCHS * -(-ROWS // BATCH)
    assert len(path.written()) == -(-steps // 4)
    for threads, checkpoint in enumerate(path.written(), 1):
        resumed = fastmlp.saving.from_bytes(begun)
        assert course(resumed.fit(X, y, **settings, resume=checkpoint, threads=threads)) == course(history)
        assert facts(resumed) == facts(unbroken)


def test_a_checkpoint_an_epoch_by_default_which_load_reads(tmp_path, rng):
    net, path = NETWORKS["classes"]("float32"), Numbered(tmp_path, ".npz")
    X, y = arguments(net, rng)
    net.fit(X, y, epochs=3, batch_size=BATCH, checkpoint=path)
    assert [load(name).epochs_done for name in path.written()] == [1, 2, 3]
    assert facts(load(path.written()[-1])) == facts(net)


TRAIN = """
import sys, numpy as np, fastmlp
rng = np.random.default_rng(5)
X, y = rng.normal(size=(4000, 30)).astype("f4"), rng.integers(0, 3, 4000)
net = fastmlp.MLP([30, 64, 3], seed=2)
arguments = dict(epochs=int(sys.argv[2]), batch_size=16, verbose=True)
if sys.argv[3] == "resume":
    net.fit(X, y, **arguments, resume=sys.argv[1])
    net.save(sys.argv[4])
else:
    net.fit(X, y, **arguments, checkpoint=sys.argv[1], checkpoint_every=7)
    net.save(sys.argv[4])
"""


def start(*arguments):
    command = [sys.executable, "-uc", TRAIN, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=arguments[0].parent)


def test_a_killed_process_goes_on_to_the_same_bits(tmp_path):
    with start(tmp_path / "a.npz", 8, "begin", tmp_path / "unbroken.npz") as process:
        process.communicate()
    with start(tmp_path / "b.npz", 8, "begin", tmp_path / "no.npz") as process:
        for _ in range(3):
            process.stdout.readline()  # one a finished epoch: the fourth is under way
        process.kill()
        process.communicate()
    assert not (tmp_path / "no.npz").exists()
    assert load(tmp_path / "b.npz").epochs_done >= 2
    with start(tmp_path / "b.npz", 8, "resume", tmp_path / "resumed.npz") as process:
        process.communicate()
    assert facts(load(tmp_path / "resumed.npz")) == facts(load(tmp_path / "unbroken.npz"))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
# One may hit Python's open() before anything holds the file: then it is closed as garbage, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_interrupt_at_any_moment_leaves_a_checkpoint_to_go_on_from(tmp_path, rng):
    unbroken = NETWORKS["classes"]("float32")
    X, y = arguments(unbroken, rng, 700)
    settings = {"epochs": 30, "batch_size": 32, "validation_data": (X, y)}
    history = unbroken.fit(X, y, **settings)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted = 0
    try:
        for delay in np.linspace(1e-4, 1.5 * sum(history.seconds), 60):
            net, path = NETWORKS["classes"]("float32"), tmp_path / f"{delay}.npz"
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                net.fit(X, y, **settings, checkpoint=path, checkpoint_every=10**6)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                if not path.exists():  # before the first step, or at the last line of fit
                    continue
                interrupted += 1
                assert facts(load(path)) == facts(net)
                again = NETWORKS["classes"]("float32")
                assert course(again.fit(X, y, **settings, resume=path)) == course(history)
                assert facts(again) == facts(unbroken)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 5


@pytest.fixture
def checkpoint(tmp_path, rng):
    """A checkpoint in the midst of the second epoch, and what it was written with."""
    net, path = NETWORKS["classes"]("float32"), Numbered(tmp_path, ".npz")
    X, y = arguments(net, rng)
    net.fit(X, y, epochs=2, batch_size=BATCH, checkpoint=path, checkpoint_every=13)
    return path.written()[0], X, y


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 11}, "was written with batch_size = 10; now it is 11"),
        ({"shuffle": False}, "was written with shuffle = True; now it is False"),
        ({"rows": ROWS - 1}, "was written with rows = 103; now it is 102"),
        ({"epochs": 1}, "is past epoch 1; epochs is 1"),
        (
            {"net": MLP([5, 16, 3], seed=3)},
            r"is a checkpoint of MLP\(\[5, 17, 3\].*; this network is MLP\(\[5, 16, 3\]",
        ),
        ({"net": MLP([5, 17, 3], seed=4)}, r"seed=3\); this network is .*seed=4\)"),
        ({"net": MLP([5, 17, 3], seed=3, dtype="f8")}, r"'float32'.*'float64'"),
        ({"net": MLP([5, 17, 3], seed=3, loss=losses.SoftmaxCrossEntropy(0.1))}, "SoftmaxCrossEntropy"),
        ({"net": MLP([5, 17, 3], seed=3, loss="binary_cross_entropy")}, "softmax_cross_entropy.*binary_cross_entropy"),
    ],
    ids=lambda v: str(next(iter(v))) if isinstance(v, dict) else "",
)
def test_a_checkpoint_of_another_call_is_refused(checkpoint, change, message):
    path, X, y = checkpoint
    net = change.pop("net", NETWORKS["classes"]("float32"))
    rows = change.pop("rows", ROWS)
    if net.loss == "binary_cross_entropy":
        y = np.eye(3)[y]
    was = facts(net)
    with pytest.raises(ValueError, match=message):
        net.fit(X[:rows], y[:rows], **({"epochs": 2, "batch_size": BATCH} | change), resume=path)
    assert facts(net) == was


def test_arguments_that_make_no_sense(tmp_path, rng):
    net = NETWORKS["classes"]("float32")
    X, y = arguments(net, rng)
    net.save(tmp_path / "saved.npz")
    was = facts(net)
    for settings, error, message in [
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every is 5, but there is no checkpoint"),
        ({"checkpoint": tmp_path / "a.npz", "checkpoint_every": 0}, ValueError, "checkpoint_every is 0"),
        ({"checkpoint": tmp_path / "a.pt"}, ValueError, r"checkpoint is '.*a\.pt'; wanted a file name that ends in"),
        ({"resume": tmp_path / "saved.npz"}, ValueError, "is a saved network, not a checkpoint"),
        ({"resume": tmp_path / "none.npz"}, FileNotFoundError, "none"),
    ]:
        with pytest.raises(error, match=message):
            net.fit(X, y, epochs=1, **settings)
        assert facts(net) == was
    assert sorted(os.listdir(tmp_path)) == ["saved.npz"]


def test_what_could_not_be_saved_is_refused_before_the_training(tmp_path, rng):
    class Mine(Adam):
        pass

    net = NETWORKS["classes"]("float32")
    X, y = arguments(net, rng)
    was = facts(net)
    for metadata, optimizer, message in [
        ({"a": "b" * 60_000}, Adam(), r"net\.metadata is too large"),
        ({"a": {1, 2}}, Adam(), r"net\.metadata cannot be saved"),
        ({}, Mine(), "optimizer is a Mine"),
    ]:
        net.metadata = metadata
        with pytest.raises(ValueError, match=message):
            net.fit(X, y, epochs=1, optimizer=optimizer, checkpoint=tmp_path / "a.npz")
        net.metadata = {}
        assert facts(net) == was
    if importlib.util.find_spec("safetensors"):
        net = MLP([1] * 85 + [2])  # 510 tensors, and 4 of the history
        with pytest.raises(ValueError, match=r"checkpoint is '.*\.safetensors', which would have 514 tensors; wanted"):
            net.fit([[1.0]], [1], checkpoint=tmp_path / "a.safetensors")
        assert net.epochs_done == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows_done", 15),
        ("rows_done", 110),
        ("rows", 0),
        ("epochs", 7),
        ("loss_sum", -1.0),
        ("loss_sum", 1),
        ("new", 1),
    ],
)
def test_a_checkpoint_at_no_step_of_a_fit_is_damaged(checkpoint, tmp_path, name, value):
    with np.load(checkpoint[0]) as arrays:
        members = dict(arrays)
    header = json.loads(members["header"].tobytes())
    header["training"][name] = value
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(tmp_path / "bad.npz", **members)
    with pytest.raises(FormatError, match="training"):
        load(tmp_path / "bad.npz")


def test_a_history_of_another_length_is_damaged(checkpoint, tmp_path):
    with np.load(checkpoint[0]) as arrays:
        members = dict(arrays)
    members["history.loss"] = np.zeros(2)
    np.savez(tmp_path / "bad.npz", **members)
    with pytest.raises(FormatError, match=r"history\.loss has 2 entries; wanted 1"):
        load(tmp_path / "bad.npz")


def test_a_history_of_ten_million_epochs_is_read():
    """Its length has more digits than that of others."""
    file, entries = io.BytesIO(), np.zeros(10_000_000, np.uint8)
    _npz.write(file, [("history.loss", entries)])
    assert len(_npz.Archive(file).tensor("history.loss", "|u1", (-(2**32),))) == len(entries)


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [({"validation_data": True}, {}, "was written with validation_data; now it is without"),
     ({}, {"validation_data": True}, "was written without validation_data; now it is with"),
     ({"optimizer": Adam()}, {"optimizer": SGD()}, "was written with optimizer = Adam; now it is SGD"),
     ({}, {"threads": 0}, "threads is 0")],
    ids=repr,
)  # fmt: skip
def test_another_call_is_refused_and_changes_nothing(tmp_path, rng, first, then, message):
    X, t = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    first, then = ({**call, "validation_data": (X, t)} if "validation_data" in call else call for call in (first, then))
    MLP([4, 5, 3]).fit(X, t, epochs=2, checkpoint=tmp_path / "a.npz", **first)
    net, kept = MLP([4, 5, 3]), (tmp_path / "a.npz").read_bytes()
    was = facts(net)
    with pytest.raises(ValueError, match=message):
        net.fit(X, t, epochs=4, resume=tmp_path / "a.npz", checkpoint=tmp_path / "a.npz", **then)
    assert facts(net) == was
    assert (tmp_path / "a.npz").read_bytes() == kept


class Named(MLP):
    """A class of one's own."""


@pytest.mark.parametrize("build", [
    lambda: MLP([4, 5, 3], loss=losses.Huber(2)), lambda: MLP([4, 5, 3], loss=losses.Quantile(Fraction(1, 3))),
    lambda: MLP([4, 6, 5, 3], activation=np.array(["relu", "tanh"]), loss="squared_error"),
    lambda: MLP([4, 5, 3], init=np.str_("he_normal"), loss="squared_error"), lambda: Named([4, 5, 3], loss="huber"),
])  # fmt: skip
def test_the_same_call_goes_on_however_its_settings_are_spelt(tmp_path, rng, build):
    X, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    whole, path = build(), tmp_path / "a.npz"
    for epochs, delta, more in ((1, 0, {"checkpoint": path}), (3, 0.0, {"resume": path}), (3, np.float64(0), {})):
        stopping = EarlyStopping(min_delta=delta, patience=np.int64(9), restore_best=False)
        net = build()
        net.fit(X, y, epochs=epochs, validation_data=(X, y), early_stopping=stopping, **more)
    whole.fit(X, y, epochs=3)
    assert oracle.same(net.params, whole.params)


def test_a_loss_that_is_rounded_to_less_than_nothing(tmp_path):
    class Stop(Callback):
        def on_batch_end(self, net, epoch, step, loss):
            return step == 1

    below = 0
    for count in range(1, 60):
        net, path = MLP([1, 1], loss="poisson"), tmp_path / "a.npz"
        net.weights[0][:], net.biases[0][:] = 0, np.log(np.float32(count))
        X, y = np.zeros((6, 1)), np.full(6, count)
        settings = {"epochs": 1, "batch_size": 2, "optimizer": SGD(1e-30)}
        net.fit(X, y, **settings, callbacks=Stop(), checkpoint=path)
        assert oracle.same(load(path).params, net.params)
        below += net.reached[2] < 0
    assert below > 0


def test_no_epochs_change_nothing(rng):
    X, t = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    net = MLP([4, 5, 3])
    net.fit(X, t, epochs=2, optimizer=Adam(ema=0.9))
    net.params = MLP([4, 5, 3], seed=9).params
    was = facts(net)
    net.fit(X, t, epochs=0)
    assert facts(net) == was


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has these")
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "link.npz").symlink_to(tmp_path / "pipe.npz")
    for name in ("pipe.npz", "link.npz"):
        with pytest.raises(OSError, match=name):
            MLP([1, 2]).save(tmp_path / name)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe.npz").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "pipe.npz"]


def test_a_checkpoint_that_cannot_be_written_is_known_before_the_first_step(tmp_path):
    net = MLP([1, 2])
    was = facts(net)
    with pytest.raises(FileNotFoundError) as caught:
        net.fit([[1.0]], [0], checkpoint=tmp_path / "none" / "a.npz")
    assert facts(net) == was
    assert str(caught.value).endswith(f"{str(tmp_path / 'none' / 'a.npz')!r}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has these")
def test_a_checkpoint_that_would_replace_no_file_is_known_before_the_first_step(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    for path in (tmp_path / "pipe.npz", tmp_path / "loop.npz", tmp_path / f"{'a' * 300}.npz"):
        net = MLP([1, 2])
        with pytest.raises(OSError, match=re.escape(path.name)):
            net.fit([[1.0]], [0], epochs=2, checkpoint=path)
        assert not net.epochs_done
