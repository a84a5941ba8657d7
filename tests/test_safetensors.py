"""A network in a .safetensors file: every bit comes back, others can read it, and damage is a FormatError."""

import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from saved import facts, refused, save_small

from fastmlp import MLP, Adam, FormatError, SiameseMLP, load

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def saved(tmp_path):
    """A small network with its file."""
    return save_small(tmp_path / "net.safetensors")


@pytest.mark.parametrize("net", [MLP([3, 17, 2], seed=2**64 - 1), SiameseMLP([4, 5], bias=False, dtype="f8")], ids=str)
def test_every_bit_and_setting_comes_back(tmp_path, net):
    special = np.array([np.nan, -np.nan, np.inf, -0.0, np.finfo(net.dtype).smallest_subnormal], net.dtype)
    net.weights[0].flat[: len(special)] = special
    net.metadata = {"names": ["ä", "\ud800", '"crc32":"00000000"'], "x": 0.1 + 0.2}
    net.save(tmp_path / "net.safetensors")
    assert facts(load(tmp_path / "net.safetensors")) == facts(net)


def test_others_read_it(saved):
    net, path = saved
    tensors = safetensors.load_file(path)
    assert (tensors["layers.0.weight"] == net.weights[0]).all()
    assert tensors["optimizer.velocity.layers.0.bias"].shape == (2,)
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert json.loads(metadata["fastmlp"])["sizes"] == [1, 2]


def test_any_byte_changed_and_truncated_anywhere(saved):
    _, path = saved
    data = path.read_bytes()
    for at in range(len(data)):
        refused(path, data[:at])
        refused(path, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
    refused(path, data + b"\0")
    refused(path, b"\0" + data)


def sealed(header, data):
    """A file of this header with the right checksum."""
    import zlib

    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    blob = bytearray(len(text).to_bytes(8, "little") + text + data)
    at = blob.index(b'"crc32":"') + 9
    blob[at : at + 8] = f"{zlib.crc32(blob):08x}".encode()
    return bytes(blob)


def test_hostile_files_with_a_right_checksum(saved):
    net, path = saved
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    data = whole[8 + length :]

    def header(**changes):
        found = json.loads(whole[8 : 8 + length])
        found["__metadata__"]["crc32"] = "0" * 8
        return found | changes

    path.write_bytes(sealed(header(), data))
    assert facts(load(path)) == facts(net)
    first = header()["layers.0.bias"]
    extra = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
    refused(path, sealed(header(), data + b"1234"), "safetensors")
    refused(path, sealed(header(more=extra), data + b"1234"), "other tensors")
    refused(path, sealed(header(header=extra), data + b"1234"), "other tensors")
    refused(path, sealed(header(ä=extra), data + b"1234"), "other tensors")
    many = {f"t{i}": extra | {"data_offsets": [len(data) + 4 * i, len(data) + 4 * i + 4]} for i in range(509)}
    refused(path, sealed(header(**many), data + b"1234" * 509), "about 513 tensors; wanted at most 512")
    del many["t508"]
    refused(path, sealed(header(**many), data + b"1234" * 508), "other tensors")
    arrays = {name: list(found.values()) for name, found in many.items()}  # which the package takes for objects
    arrays["t508"] = ["F32", [1], [len(data) + 4 * 508, len(data) + 4 * 509]]
    refused(path, sealed(header(**arrays), data + b"1234" * 509), "wanted at most 512")
    metadata = header()["__metadata__"]
    refused(path, sealed(header(__metadata__=metadata | {"more": "text"}), data), "its metadata")
    refused(path, sealed({"more": extra} | header(), data + b"1234"), "its metadata")
    refused(path, sealed(header(__metadata__={"crc32": "0" * 8, "fastmlp": 1}), data), "its metadata")
    refused(path, sealed(header(**{"layers.0.bias": first | {"dtype": "I32"}}), data), "wanted <f4")
    refused(path, sealed(header(**{"layers.0.bias": first | {"shape": [2**62, 8]}}), data), "safetensors")
    refused(path, sealed(header(**{"layers.0.bias": first | {"data_offsets": [0, 1 << 60]}}), data), "safetensors")
    refused(path, sealed(header(__metadata__={"crc32": "0" * 8}), data), "its metadata")
    refused(path, sealed(header(__metadata__={"crc32": "0" * 8, "fastmlp": "ä"}), data), "its metadata")
    refused(path, sealed(header(__metadata__={"crc32": "0" * 8, "fastmlp": "[" * 10**3}), data), "JSON")
    refused(path, sealed(header(__metadata__={"crc32": "0" * 8, "fastmlp": "[" * 10**4}), data), "values")
    refused(path, (1 << 40).to_bytes(8, "little") + whole[8:], "too long")
    refused(path, b"PK\3\4" + whole, "")


@pytest.mark.parametrize(("layers", "tensors"), [(85, 510), (86, 516)])
def test_as_many_tensors_as_are_read_at_all(tmp_path, layers, tensors):
    net = MLP([1] * layers + [2])
    net.train_step([[1.0]], [1], Adam())
    if tensors > 512:
        with pytest.raises(ValueError, match=rf"would have {tensors} tensors; wanted at most 512, or .* ends in \.npz"):
            net.save(tmp_path / "net.safetensors")
        assert list(tmp_path.iterdir()) == []
    else:
        net.save(tmp_path / "net.safetensors")
        assert facts(load(tmp_path / "net.safetensors")) == facts(net)


def test_without_the_package_the_error_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import fastmlp; fastmlp.MLP([1, 2]).save(sys.argv[1] + '/net.safetensors')"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "ImportError: for .safetensors files, install safetensors: pip install 'fastmlp[safetensors]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_bytes_behind_the_tensors_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "net.safetensors"
    MLP([2, 2]).save(path)
    os.truncate(path, 100 * 2**20)  # of which a file system with holes keeps none
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"1048\d+ bytes follow its header, which tells of \d+"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
