"""A truncated, damaged, foreign or hostile file is a FormatError, found before anything is allocated or executed."""

import io
import json
import pickle
import sys
import time
import tracemalloc
import zipfile

import crafted
import numpy as np
import pytest
from saved import facts, refused, save_small

from fastmlp import FormatError, load
from fastmlp._files import MAX_BYTES, MAX_VALUES, excess


@pytest.fixture
def saved(tmp_path):
    """A small network with its file."""
    return save_small(tmp_path / "net.npz")


def test_truncated_anywhere(saved):
    _, path = saved
    data = path.read_bytes()
    for length in range(len(data)):
        refused(path, data[:length])


def test_any_byte_changed(saved):
    net, path = saved
    data, known, refusals = path.read_bytes(), facts(net), 0
    for at in range(len(data)):
        for change in (1 << at % 8, 0xFF):
            changed = bytearray(data)
            changed[at] ^= change
            path.write_bytes(changed)
            try:
                assert facts(load(path)) == known
            except FormatError:
                refusals += 1
    # What may change unnoticed says nothing about the network: dates, versions and rights of the 5 members (6 bytes in
    # a local header; 8 and 8 of disk and attributes in the directory), and the 4 of disk numbers at the end.
    assert refusals == 2 * (len(data) - 5 * (6 + 16) - 4)


def test_bytes_before_between_and_behind(saved):
    _, path = saved
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
    _, path = saved
    weight = "layers.0.weight.npy"
    rows = list(members.items())
    refused(path, zipped([*rows, ("extra.npy", npy([1.0]))]), "member")
    refused(path, zipped([*rows, rows[1]]))
    refused(path, zipped([*rows[:2], rows[1], *rows[2:]]), "layers.0.bias.npy")
    refused(path, zipped([row for row in rows if row[0] != weight]), f"wanted '{weight}'")
    refused(path, zipped(rows[::-1]), "wanted 'header.npy'")
    refused(path, zipped(rows[1:]), "wanted 'header.npy'")
    refused(
        path, zipped([(name.replace("bias", "b"), content) for name, content in rows]), "wanted 'layers.0.bias.npy'"
    )
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
        ({"version": 0}, "format version 0; this fastmlp reads versions 1 and 2"),
        ({"version": 3}, "format version 3; this fastmlp reads versions 1 and 2"),
        ({"version": True}, "format version True"),
        ({"version": 2}, "fields"),
        ({"version": None}, "format version None"),
        ({"version": "9" * 500}, "format version '999"),
        ({"kind": "Net"}, "kind is 'Net'"),
        ({"kind": "SiameseMLP"}, ""),
        ({"surplus": 1}, "surplus"),
        ({"sizes": [1, True]}, "True"),
        ({"sizes": [1, 2.0]}, "2.0"),
        ({"sizes": [1, 0]}, "0"),
        ({"sizes": [1, -2]}, "-2"),
        ({"sizes": []}, "sizes"),
        ({"sizes": "12"}, "sizes"),
        ({"sizes": [2, 1]}, ""),
        ({"sizes": [2**31 - 1, 2]}, "bytes"),
        ({"sizes": [2**31 - 1] * 6}, "bytes"),
        ({"sizes": [2**31, 2]}, "sizes"),
        ({"sizes": [2**63, 2**63, 2]}, "sizes"),
        ({"sizes": [10**4000, 10**4000]}, "sizes"),
        ({"sizes": [1] * 301}, "bytes"),
        ({"sizes": [1] * 302}, "302 sizes; wanted at most 301"),
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
        ({"optimizer": optimizer | {"kind": "Lamb"}}, "Lamb"),
        ({"optimizer": optimizer | {"kind": "Lion"}}, "settings"),
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
    _, path = saved
    huge = changed_header(members, sizes=[30_000, 30_000])
    longer = npy(np.zeros(9, np.uint8)).replace(b"(9,), }      ", b"(9999999,), }")
    for data in (zipped(huge.items()), zipped([("header.npy", longer)])):
        tracemalloc.start()
        refused(path, data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


@pytest.mark.parametrize("item", [b"0,", b"[],", b"{},", b'"",', b'{"a":0},'])
def test_a_header_of_very_many_values_is_not_parsed(saved, members, item):
    _, path = saved
    text = b"[" + item * (60_000 // len(item)) + b"0]"
    data = zipped({**members, "header.npy": npy(np.frombuffer(text, np.uint8))}.items())
    refused(path, data)  # what is imported late is imported by now
    tracemalloc.start()
    refused(path, data, "values; wanted at most 4096")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(text)  # some copies of the bytes, no object for each value


def test_just_as_many_values_as_are_parsed(saved, members):
    _, path = saved
    refused(path, with_header(members, b"[" + b"0," * 4095 + b"0]"), "not a model of fastmlp")
    refused(path, with_header(members, b"[" + b"0," * 4096 + b"0]"), "about 4097 values; wanted at most 4096")
    deep = b"[" * 30 + b"]" * 30
    nested = members["header.npy"][128:].replace(b"[1.5,", deep + b",").replace(b'"b"]', b'"c": 0')
    path.write_bytes(with_header(members, nested))
    assert json.dumps(load(path).metadata["a"]).encode() == deep
    refused(path, with_header(members, nested.replace(b"[]", b"[[]]")), "nested deeper")


def with_header(members, text):
    return zipped({**members, "header.npy": npy(np.frombuffer(text, np.uint8))}.items())


CRAFTED = crafted.headers()
SMALLER = crafted.headers(MAX_BYTES - 600, MAX_VALUES - 60)  # to be a part of a header


@pytest.mark.parametrize("name", CRAFTED)
def test_headers_that_cost_most_are_refused(saved, members, name):
    """As large as is parsed at all: one byte more is not, so that the limits bound the cost."""
    _, path = saved
    text = CRAFTED[name]
    assert not excess(text)
    assert len(text) > 0.95 * MAX_BYTES or sum(map(text.count, (b",", b"[", b"{"))) > 0.95 * MAX_VALUES
    assert "wanted at most" not in refused(path, with_header(members, text))
    refused(path, with_header(members, text + b" " * (MAX_BYTES + 1 - len(text))), "wanted |u1 of shape (65536,)")
    for field in (b'"version": 1', b'"sizes": [1, 2]', b'"training": null'):
        assert field in members["header.npy"]
        header = members["header.npy"][128:].replace(field, field.split(b":")[0] + b": " + SMALLER[name])
        assert not excess(header)
        refused(path, with_header(members, header))


@pytest.mark.exhaustive  # not where the machine may be busy
def test_no_header_takes_ten_milliseconds(saved, members):
    _, path = saved
    for name, text in CRAFTED.items():
        path.write_bytes(with_header(members, text))
        times = []
        for _ in range(100):
            start = time.perf_counter()
            with pytest.raises(FormatError):
                load(path)
            times.append(time.perf_counter() - start)
        assert min(times) < 0.010, name


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_unpickled(saved, members, tmp_path):
    _, path = saved
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


def test_no_file_but_the_one_named_is_opened(saved, members, tmp_path):
    _, path = saved
    bomb = zipped({**members, "layers.0.weight.npy": pickle.dumps(Bomb(str(tmp_path / "other")))}.items())
    bad = tmp_path / "bad.npz"
    refused(bad, bomb)  # what is imported late is imported by now
    opened = []
    watching = [True]
    sys.addaudithook(lambda event, arguments: watching and event == "open" and opened.append(arguments[0]))
    load(path)
    with pytest.raises(FormatError):
        load(bad)
    watching.clear()  # a hook stays for ever
    assert opened == [str(path), str(bad)]


def test_files_that_cannot_be_opened_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
