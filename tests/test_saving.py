"""A saved network comes back in every bit and setting; a save that fails changes nothing."""

import copy
import io
import json
import os
import pathlib
import stat
import struct
import subprocess
import sys
import zipfile

import crafted
import numpy as np
import pytest
from child import environment
from saved import facts, save_small

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, SiameseMLP, _npz, handmade, load, saving
from fastmlp._files import MAX_BYTES
from fastmlp.saving import MAX_LAYERS, MAX_METADATA

ARCHITECTURES = {
    "deep": lambda **kw: MLP([3, 17, 16, 5, 2], activation=["relu", "tanh", "gelu"], seed=2**64 - 1, **kw),
    "linear": lambda **kw: MLP([1, 2], **kw),
    "values": lambda **kw: MLP([33, 65, 1], activation="silu", loss="squared_error", seed=7, **kw),
    "binary": lambda **kw: MLP([4, 3, 3], loss="binary_cross_entropy", output_activation="sigmoid", **kw),
    "siamese": lambda **kw: SiameseMLP([5, 31, 4], activation=["elu", "relu"], seed=3, **kw),
}


def data_for(net, rng, rows=40):
    X = rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)
    if isinstance(net, SiameseMLP):
        return (X, X[::-1].copy()), rng.integers(0, 2, rows)
    if net.loss == "softmax_cross_entropy":
        return X, rng.integers(0, net.sizes[-1], rows)
    return X, rng.integers(0, 2, (rows, net.sizes[-1])).astype(net.dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_bit_and_setting_comes_back(tmp_path, rng, name, dtype, bias):
    net = ARCHITECTURES[name](dtype=dtype, bias=bias)
    for W in net.weights:
        W[...] = rng.normal(size=W.shape)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).smallest_subnormal], dtype)
    count = min(len(special), net.weights[0].size)
    net.weights[0].flat[:count] = special[:count]
    net.metadata = {"names": ["ä", "\ud800", ""], "x": {"a": 0.1 + 0.2, "b": 10**30, "c": 5e-324}, "none": [None, True]}
    net.save(tmp_path / "net.npz")
    assert facts(load(tmp_path / "net.npz")) == facts(net)


def test_a_network_made_by_hand_comes_back(tmp_path):
    net = handmade.all_distinct(5)
    net.save(tmp_path / "net.npz")
    again = load(tmp_path / "net.npz")
    assert facts(again) == facts(net)
    assert again([[1, 2, 3, 4, 5], [1, 2, 3, 4, 1]]).tolist() == [[1], [0]]


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1), SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), Adam(np.float32(0.01)), AdamW(1e-2, 0.8)],
    ids=repr,
)
@pytest.mark.parametrize("name", ["deep", "values", "siamese"])
def test_training_goes_on_as_if_never_interrupted(tmp_path, rng, name, optimizer, dtype):
    unbroken, broken = ARCHITECTURES[name](dtype=dtype), ARCHITECTURES[name](dtype=dtype)
    X, y = data_for(unbroken, rng)
    unbroken.fit(X, y, epochs=6, batch_size=7, optimizer=optimizer)
    broken.fit(X, y, epochs=3, batch_size=7, optimizer=optimizer)
    broken.save(tmp_path / "net.npz")
    resumed = load(tmp_path / "net.npz")
    assert facts(resumed) == facts(broken)
    resumed.fit(X, y, epochs=3, batch_size=7, optimizer=optimizer)
    assert facts(resumed) == facts(unbroken)
    assert facts(resumed)[2] != facts(broken)[2]


def test_the_file_is_what_numpy_and_zip_call_an_npz(tmp_path, rng):
    net = ARCHITECTURES["deep"](dtype="float64")
    net.fit(*data_for(net, rng), epochs=1, optimizer=Adam())
    net.save(tmp_path / "net.npz")
    with zipfile.ZipFile(tmp_path / "net.npz") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:3] == ["header.npy", "layers.0.weight.npy", "layers.0.bias.npy"]
        assert len(archive.namelist()) == 1 + 3 * 8
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        assert (header["format"], header["version"], header["sizes"]) == ("fastmlp", 1, [3, 17, 16, 5, 2])
        for layer in range(4):
            assert (arrays[f"layers.{layer}.weight"] == net.weights[layer]).all()
            assert (arrays[f"layers.{layer}.bias"] == net.biases[layer]).all()
        assert arrays["optimizer.v.layers.3.bias"].shape == (2,)
        np.savez(tmp_path / "copy.npz", **arrays)  # what another program makes of it
    assert facts(load(tmp_path / "copy.npz")) == facts(net)


def test_a_file_of_version_1_loads(tmp_path):
    """As fastmlp 0.1.0 wrote it. The file stays as it is, whatever later versions write."""
    known, _ = save_small(tmp_path / "net.npz")
    assert facts(load(pathlib.Path(__file__).parent / "version1.npz")) == facts(known)


def test_equal_networks_make_equal_files(tmp_path):
    for name in ("a.npz", "b.npz"):
        MLP([3, 4, 2], seed=5).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# Saves that fail


@pytest.fixture
def saved(tmp_path):
    """A small network with its file."""
    return save_small(tmp_path / "net.npz")


def test_path_has_to_end_in_npz(tmp_path):
    with pytest.raises(ValueError, match=r"path is '.*net'; wanted a file name that ends in \.npz or \.safetensors"):
        MLP([1, 2]).save(tmp_path / "net")
    assert os.listdir(tmp_path) == []
    MLP([1, 2]).save(os.fsencode(tmp_path / "net.npz"))
    assert load(str(tmp_path / "net.npz")).sizes == (1, 2)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")},
        {"a": {1, 2}},
        {"a": np.ones(2)},
        {"a": (1, 2)},
        {1: 2},
        {"a": "x" * 50_000},
        {"a": [0] * 3_000},
        {"a": json.loads("[" * 30 + "0" + "]" * 30)},
        ["a"],
        None,
    ],
    ids=lambda metadata: repr(metadata)[:20],
)
def test_metadata_that_would_not_come_back(saved, metadata):
    net, path = saved
    before = path.read_bytes()
    net.metadata = metadata
    with pytest.raises(ValueError, match=r"net\.metadata"):
        net.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_what_is_saved_can_be_loaded_whatever_the_metadata():
    net, saves = MLP([1, 2]), 0
    for max_bytes, max_values in (MAX_METADATA, (MAX_METADATA[0] - 1_000, MAX_METADATA[1] - 50)):
        for name, text in crafted.headers(max_bytes, max_values).items():
            try:
                net.metadata = {"a": json.loads(text)}
                saved = saving.to_bytes(net)
            except (ValueError, RecursionError):  # no JSON, or too large
                continue
            saves += 1
            assert facts(saving.from_bytes(saved)) == facts(net), name
    assert saves > 10


@pytest.mark.parametrize("metadata", [{"a": [0] * 2995}, {"a": "b" * 44_980}], ids=["values", "bytes"])
def test_the_largest_header_can_be_saved_and_loaded(tmp_path, metadata):
    """Of the deepest network, each number with as many digits as there are, and the largest metadata beside it."""
    long = 1.2345678901234567e-300
    net = MLP([1] * MAX_LAYERS + [2], activation="leaky_relu", bias=False, dropout=long, seed=2**64 - 1)
    schedule = fastmlp.OneCycle(1 / 3, 1 / 3, long, long)
    optimizer = AdamW(schedule, 1 / 3, 1 / 3, long, long, clip_norm=long, ema=1 / 3)
    stopping = fastmlp.EarlyStopping(patience=2**31 - 1, min_delta=long)
    X, y = [[1.0], [2.0]], [0, 1]
    settings = {"batch_size": 1, "validation_data": (X, y), "optimizer": optimizer, "early_stopping": stopping}
    net.fit(X, y, 1, **settings, checkpoint=tmp_path / "a.npz")
    net.metadata = metadata
    net.fit(X, y, 1, **settings, checkpoint=tmp_path / "net.npz")
    assert facts(load(tmp_path / "net.npz")) == facts(net)
    with np.load(tmp_path / "net.npz") as arrays:
        size = len(arrays["header"]) + 10 * MAX_LAYERS + 300  # were the sizes of ten digits, and the counts of training
    assert size < MAX_BYTES
    net.metadata = {
        key: [*value, 0, 0] if isinstance(value, list) else value + "b" * 20 for key, value in metadata.items()
    }
    with pytest.raises(ValueError, match=r"net\.metadata is too large"):
        net.save(tmp_path / "net.npz")


def test_more_layers_than_can_be_saved(tmp_path):
    net = MLP([1] * 301 + [2])
    for save in (lambda: net.save(tmp_path / "net.npz"), lambda: copy.copy(net)):
        with pytest.raises(ValueError, match="the network has 301 layers; wanted at most 300 to save it"):
            save()
    assert os.listdir(tmp_path) == []


def test_an_optimizer_of_ones_own_is_refused(saved):
    class Mine(Adam):
        pass

    net, path = saved
    net.fit([[1.0], [2.0]], [0, 1], epochs=1, optimizer=Mine())
    with pytest.raises(ValueError, match="optimizer is a Mine"):
        net.save(path)


def test_a_directory_in_the_way(tmp_path):
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(OSError, match=r"net\.npz"):
        MLP([1, 2]).save(tmp_path / "net.npz")
    assert os.listdir(tmp_path) == ["net.npz"]
    with pytest.raises(FileNotFoundError, match="none"):
        MLP([1, 2]).save(tmp_path / "none" / "net.npz")


def test_what_is_no_path_is_named():
    for call in (MLP([1, 2]).save, load):
        with pytest.raises(TypeError, match=r"^path is 5; it must be a path"):
            call(5)
    with pytest.raises(TypeError, match=r"^checkpoint is 5; it must be a path"):
        MLP([1, 2]).fit([[1.0]], [0], checkpoint=5)


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    elsewhere = os.path.dirname(sys.executable)  # than in a clone, whose sources would come first
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, cwd=elsewhere)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_fills_up_leaves_the_old_file(saved):
    _, path = saved
    before = path.read_bytes()
    code = """
import resource, sys, fastmlp
net = fastmlp.MLP([100, 100, 2])
for limit in [0, 1, 30, 500, 4096, 20_000, 40_000]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        net.save(sys.argv[1])
    except OSError as error:
        assert error.filename == sys.argv[1], error.filename
    else:
        sys.exit(f"saved within {limit} bytes")
"""
    found = run(code, path)
    assert (found.returncode, found.stderr) == (0, "")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_link_is_followed_wherever_it_leads(tmp_path, monkeypatch):
    for folder in ("models", "links"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "links")
    os.symlink("../models", "folder")
    os.symlink("folder/new.npz", "first.npz")  # no such file yet
    os.symlink(tmp_path / "links" / "first.npz", "second.npz")
    os.symlink("loop.npz", "loop.npz")
    os.symlink("none/new.npz", "none.npz")
    before = sorted(os.listdir())
    for seed, name in enumerate(["second.npz", "first.npz", "folder/new.npz", "../models/new.npz"]):
        MLP([1, 2], seed=seed).save(name)
        assert load(tmp_path / "models" / "new.npz").seed == seed
    for name, error in (("loop.npz", OSError), ("none.npz", FileNotFoundError)):
        with pytest.raises(error) as caught:
            MLP([1, 2]).save(name)
        assert caught.value.filename == name
    assert os.listdir("../models") == ["new.npz"]
    assert sorted(os.listdir()) == before
    assert all(map(os.path.islink, before))


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_rights_are_those_of_the_umask_or_of_the_old_file(tmp_path):
    code = "import os, sys, fastmlp; os.umask(0o027); [fastmlp.MLP([1, 2]).save(path) for path in sys.argv[1:]]"
    new, old, link = tmp_path / "new.npz", tmp_path / "old.npz", tmp_path / "link.npz"
    old.write_bytes(b"")
    old.chmod(0o604)
    link.symlink_to(old)
    assert run(code, new, link).returncode == 0
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(old.stat().st_mode) == 0o604
    assert link.is_symlink()
    assert load(old).sizes == (1, 2)


def test_the_files_numbers_are_little_endian(saved):
    net, path = saved
    with zipfile.ZipFile(path) as archive:
        data = archive.read("layers.0.weight.npy")
    assert struct.unpack("<2f", data[-8:]) == tuple(net.weights[0].reshape(-1).tolist())


def test_a_file_is_sound_whatever_happens_to_its_arrays_meanwhile():
    given = np.zeros(100, np.float32)

    class Changing(io.BytesIO):
        """Changes them as a thread that trains would, between a checksum and the bytes."""

        def write(self, data):
            given[:] += 1
            return super().write(data)

    file = Changing()
    _npz.write(file, [("a", given)])
    archive = _npz.Archive(io.BytesIO(file.getvalue()))
    found = archive.tensor("a", "<f4", (100,))
    archive.finish()
    assert (found == found[0]).all()
    assert given[0] > 1
