"""A saved network comes back in every bit and setting; a damaged or hostile file is a FormatError; a failed save changes nothing."""

import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, FormatError, SiameseMLP, handmade, load

ARCHITECTURES = {
    "deep": lambda **kw: MLP([3, 17, 16, 5, 2], activation=["relu", "tanh", "gelu"], seed=2**64 - 1, **kw),
    "linear": lambda **kw: MLP([1, 2], **kw),
    "values": lambda **kw: MLP([33, 65, 1], activation="silu", loss="squared_error", seed=7, **kw),
    "binary": lambda **kw: MLP([4, 3, 3], loss="binary_cross_entropy", output_activation="sigmoid", **kw),
    "siamese": lambda **kw: SiameseMLP([5, 31, 4], activation=["elu", "relu"], seed=3, **kw),
}


def facts(net):
    """Everything that a network is, comparable by ==."""
    state = net.optimizer_state()
    names = ("sizes", "activations", "output_activation", "loss", "bias", "dtype", "seed", "epochs_done", "metadata")
    tensors = [array.tobytes() for pair in zip(net.weights, net.biases, strict=True) for array in pair if array is not None]
    slots = [slot.tobytes() for slot in state.pop("slots")]
    return type(net), [getattr(net, name) for name in names], tensors, state, slots


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
    net.metadata = {"names": ["ä", "\ud800", ""], "x": {"pi": 0.1 + 0.2, "big": 10**30, "small": 5e-324}, "none": [None, True]}
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


def test_equal_networks_make_equal_files(tmp_path):
    for name in ("a.npz", "b.npz"):
        MLP([3, 4, 2], seed=5).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# Damaged files


@pytest.fixture
def saved(tmp_path):
    """A small network with its file."""
    net = MLP([1, 2], seed=1)
    net.fit([[1.0], [2.0]], [0, 1], epochs=1, optimizer=SGD(0.1, momentum=0.5))
    net.metadata = {"a": [1.5, "b"]}
    net.save(tmp_path / "net.npz")
    return net, tmp_path / "net.npz"


def refused(path, data, message=""):
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_truncated_anywhere(saved):
    net, path = saved
    data = path.read_bytes()
    for length in range(len(data)):
        refused(path, data[:length])


def test_any_single_bit_changed(saved):
    net, path = saved
    data, known, refusals = path.read_bytes(), facts(net), 0
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            try:
                assert facts(load(path)) == known
            except FormatError:
                refusals += 1
    # What may change unnoticed says nothing about the network: dates, versions and rights of the 5 members (7 bytes in a
    # local header; 7 and the 10 of disk and attributes and "made by" in the directory), and the disk numbers at the end.
    assert refusals >= 8 * (len(data) - 5 * (7 + 17) - 4)


def test_bytes_before_between_and_behind(saved):
    net, path = saved
    data = path.read_bytes()
    refused(path, b"\0" + data)
    refused(path, data + b"\0")
    refused(path, data + data)
    second = data.index(b"PK\3\4", 1)
    refused(path, data[:second] + b"\0" + data[second:])
    directory = data.index(b"PK\1\2")
    refused(path, data[:directory] + bytes(76) + data[directory:])
    refused(path, data[:-22] + bytes(76) + data[-22:-2] + b"\0\1", "directory")
    refused(path, data[:-2] + b"\1\0!")  # a comment


def npy(array, version=None, **kw):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version, **kw)
    return file.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def members(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_file_zipped_anew_loads(saved, members):
    """So that what the next tests change is what makes those files bad."""
    net, path = saved
    path.write_bytes(zipped(members.items()))
    assert facts(load(path)) == facts(net)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_members_than_the_header_implies(saved, members):
    net, path = saved
    weight = "layers.0.weight.npy"
    rows = list(members.items())
    refused(path, zipped([*rows, ("extra.npy", npy([1.0]))]), "member")
    refused(path, zipped([*rows, rows[1]]))
    refused(path, zipped([*rows[:2], rows[1], *rows[2:]]), "layers.0.bias.npy")
    refused(path, zipped([row for row in rows if row[0] != weight]), f"wanted '{weight}'")
    refused(path, zipped(rows[::-1]), "wanted 'header.npy'")
    refused(path, zipped(rows[1:]), "wanted 'header.npy'")
    refused(path, zipped([(name.replace("bias", "baas"), content) for name, content in rows]), "wanted 'layers.0.bias.npy'")
    refused(path, zipped(rows, zipfile.ZIP_DEFLATED), "uncompressed")
    refused(path, zipped([*rows, *((f"more.{i}.npy", b"") for i in range(100_000))]))
    refused(path, zipped([]))


@pytest.mark.filterwarnings("ignore:Stored array in format")
@pytest.mark.parametrize(
    "tensor",
    [
        npy(np.zeros((1, 2), "f4")),
        npy(np.zeros((2, 2), "f4")),
        npy(np.zeros(2, "f4")),
        npy(np.zeros((2, 1), "f8")),
        npy(np.zeros((2, 1), ">f4")),
        npy(np.zeros((2, 1), "i4")),
        npy(np.zeros((2, 1), "f4"), (2, 0)),
        npy(np.zeros((2, 1), "f4")) + b"\0",
        npy(np.zeros((2, 1), "f4"))[:-1],
        npy(np.zeros((2, 1), "f4")).replace(b"(2, 1)", b"(2,-1)"),
        npy(np.zeros((2, 1), "f4")).replace(b"(2, 1), }                    ", b"(2, 4611686018427387905), }  "),
        npy(np.zeros((2, 1), "f4")).replace(b"False", b"True "),
        npy(np.array([[None], [None]]), allow_pickle=True),
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
    ],
)
def test_a_tensor_of_another_shape_type_or_format(saved, members, tensor):
    members["layers.0.weight.npy"] = tensor
    refused(saved[1], zipped(members.items()))


def changed_header(members, **changes):
    header = json.loads(members["header.npy"][128:])
    header |= changes
    return {**members, "header.npy": npy(np.frombuffer(json.dumps(header).encode(), np.uint8))}


def test_headers_that_describe_no_network(saved, members):
    net, path = saved
    optimizer = json.loads(members["header.npy"][128:])["optimizer"]
    path.write_bytes(zipped(changed_header(members).items()))
    assert facts(load(path)) == facts(net)
    bad = [
        ({"format": "other"}, "not a model of fastmlp"),
        ({"version": 2}, "format version 2; this fastmlp reads version 1"),
        ({"version": None}, "format version None"),
        ({"version": "9" * 500}, "format version 999"),
        ({"kind": "Net"}, "kind 'Net'"),
        ({"kind": "SiameseMLP"}, ""),
        ({"surplus": 1}, "surplus"),
        ({"sizes": [1, True]}, "True"),
        ({"sizes": [1, 2.0]}, "2.0"),
        ({"sizes": [1, 0]}, "0"),
        ({"sizes": [1, -2]}, "-2"),
        ({"sizes": []}, "sizes"),
        ({"sizes": "12"}, "sizes"),
        ({"sizes": [2, 1]}, ""),
        ({"sizes": [2**31, 2]}, "bytes"),
        ({"sizes": [2**32, 2**32]}, "bytes"),
        ({"sizes": [2**63, 2**63, 2]}, "bytes"),
        ({"sizes": [10**4000, 2]}, "bytes"),
        ({"sizes": [1] * 100_000}, "bytes"),
        ({"activations": ["relu"]}, "activation"),
        ({"activations": None}, "activations"),
        ({"output_activation": "none"}, "output_activation"),
        ({"loss": "hinge"}, "loss"),
        ({"loss": ["squared_error"]}, "loss"),
        ({"bias": 1}, "bias"),
        ({"bias": False}, "wanted 'optimizer.velocity.layers.0.weight.npy'"),
        ({"dtype": "float16"}, "float16"),
        ({"dtype": "float64"}, ""),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"seed": True}, "seed"),
        ({"epochs_done": -1}, "epochs_done"),
        ({"epochs_done": 2**32}, "epochs_done"),
        ({"metadata": []}, "metadata"),
        ({"optimizer": None}, ""),
        ({"optimizer": {}}, "optimizer"),
        ({"optimizer": optimizer | {"kind": "Lion"}}, "Lion"),
        ({"optimizer": optimizer | {"kind": "Adam"}}, "settings"),
        ({"optimizer": optimizer | {"settings": {}}}, "settings"),
        ({"optimizer": optimizer | {"settings": optimizer["settings"] | {"learning_rate": -1.0}}}, "learning_rate"),
        ({"optimizer": optimizer | {"settings": optimizer["settings"] | {"nesterov": "no"}}}, "nesterov"),
        ({"optimizer": optimizer | {"steps": -1}}, "steps"),
        ({"optimizer": optimizer | {"steps": 2**64}}, "optimizer"),
        ({"optimizer": optimizer | {"beta_powers": [1.0]}}, "beta_powers"),
        ({"optimizer": optimizer | {"beta_powers": [1.0, 1.5]}}, "beta_powers"),
    ]
    for changes, message in bad:
        refused(path, zipped(changed_header(members, **changes).items()), message)
    missing = json.loads(members["header.npy"][128:])
    for name in list(missing):
        rest = json.dumps({key: value for key, value in missing.items() if key != name}).encode()
        refused(path, zipped({**members, "header.npy": npy(np.frombuffer(rest, np.uint8))}.items()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"fastmlp"',
        b"\xff{}",
        "{}".encode("utf-16"),
        b'{"format": "fastmlp", "format": "fastmlp"}',
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": -Infinity}',
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b" " * 5_000_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_headers_that_are_no_json(saved, members, text):
    members["header.npy"] = npy(np.frombuffer(text, np.uint8))
    refused(saved[1], zipped(members.items()))


def test_a_key_that_occurs_twice_or_is_not_finite_deep_inside(saved, members):
    text = members["header.npy"][128:].decode()
    for bad in ('{"a": 1, "a": 1}', '{"a": [NaN]}', '{"a": 1e400}'):
        changed = text.replace('{"a": [1.5, "b"]}', bad).encode()
        assert bad.encode() in changed
        refused(saved[1], zipped({**members, "header.npy": npy(np.frombuffer(changed, np.uint8))}.items()), "JSON")


def test_a_length_in_the_file_allocates_nothing(saved, members):
    net, path = saved
    huge = changed_header(members, sizes=[30_000, 30_000])
    longer = npy(np.zeros(9, np.uint8)).replace(b"(9,), }      ", b"(9999999,), }")
    for data in (zipped(huge.items()), zipped([("header.npy", longer)])):
        tracemalloc.start()
        refused(path, data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_unpickled(saved, members, tmp_path):
    net, path = saved
    bomb = Bomb(str(tmp_path / "exploded"))
    array = np.empty((2, 1), object)
    array[:] = bomb
    refused(path, pickle.dumps(bomb))
    refused(path, npy(array, allow_pickle=True))
    refused(path, zipped([("archive/data.pkl", pickle.dumps(bomb)), ("archive/version", b"3\n")]))  # as PyTorch's are
    refused(path, zipped({**members, "layers.0.weight.npy": npy(array, allow_pickle=True)}.items()), "'|O'")
    refused(path, zipped({**members, "header.npy": npy(array[0], allow_pickle=True)}.items()), "'|O'")
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(bomb)).close()
    assert (tmp_path / "exploded").exists()  # so that the test could have seen it


def test_files_that_cannot_be_opened_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


# Saves that fail


def test_path_has_to_end_in_npz(tmp_path):
    with pytest.raises(ValueError, match=r"path is '.*net'; wanted a file name that ends in \.npz"):
        MLP([1, 2]).save(tmp_path / "net")
    assert os.listdir(tmp_path) == []
    MLP([1, 2]).save(os.fsencode(tmp_path / "net.npz"))
    assert load(str(tmp_path / "net.npz")).sizes == (1, 2)


@pytest.mark.parametrize(
    "metadata",
    [{"a": float("nan")}, {"a": {1, 2}}, {"a": np.ones(2)}, {"a": (1, 2)}, {1: 2}, {"a": "x" * 5_000_000}, ["a"], None],
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


def test_an_optimizer_of_ones_own_is_refused(saved):
    class Mine(Adam):
        pass

    net, path = saved
    net.fit([[1.0], [2.0]], [0, 1], epochs=1, optimizer=Mine())
    with pytest.raises(ValueError, match="optimizer is a Mine"):
        net.save(path)


def test_a_directory_in_the_way(tmp_path):
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(OSError, match="net.npz"):
        MLP([1, 2]).save(tmp_path / "net.npz")
    assert os.listdir(tmp_path) == ["net.npz"]
    with pytest.raises(FileNotFoundError, match="none"):
        MLP([1, 2]).save(tmp_path / "none" / "net.npz")


def run(code, *arguments):
    root = os.path.dirname(os.path.dirname(fastmlp.__file__))
    environment = os.environ | {"PYTHONPATH": root}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_fills_up_leaves_the_old_file(saved):
    net, path = saved
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
