"""Long lists in the metadata are tensors in the file: they come back equal, and damaged ones are a FormatError."""

import io
import json
import pathlib
import zipfile

import numpy as np
import pytest
from saved import facts, refused, save_small

from fastmlp import MLP, load

FLOATS = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308] * 5
TEXTS = ["", "ä, \U0001f600", "two\nlines", '"quoted"', " "] * 4


def save_long(path):
    """A small network with long lists, and its file."""
    net, _ = save_small(path)
    net.metadata = {"names": TEXTS, "rows": 3, "mean": FLOATS}
    net.save(path)
    return net, path


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"net{request.param}"


def header_and_tensors(path):
    with np.load(path) as arrays:
        return json.loads(arrays["header"].tobytes()), dict(arrays)


def test_long_lists_come_back(path):
    net, _ = save_long(path)
    again = load(path)
    assert facts(again) == facts(net)
    assert list(again.metadata) == ["names", "rows", "mean"]
    assert str(again.metadata["mean"]) == str(FLOATS)  # -0.0 too


def test_others_read_them(tmp_path):
    save_long(tmp_path / "net.npz")
    header, arrays = header_and_tensors(tmp_path / "net.npz")
    assert header["version"] == 2
    assert header["metadata"] == {"names": None, "rows": 3, "mean": None}
    assert arrays["metadata.mean"].tolist() == FLOATS
    assert arrays["metadata.names"].tobytes().decode().split("\0") == TEXTS


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": [0.5] * 16},
        {"a": [1] * 20},
        {"a": [True] * 20},
        {"a": [None] * 20},
        {"a": [0.5] * 20 + [1]},
        {"a": ["b"] * 20 + [0.5]},
        {"a": ["with a \0"] * 20},
        {"a": ["half a pair \ud800"] * 20},
        {"a": {"b": [0.5] * 20}},
        {"../a": [0.5] * 20},
        {"ä": [0.5] * 20},
        {"a\n": [0.5] * 20},
        {"": [0.5] * 20},
        {"a" * 65: [0.5] * 20},
    ],
    ids=lambda metadata: str(metadata)[:20].encode("unicode_escape").decode(),
)
def test_other_lists_stay_in_the_header(path, metadata):
    net, _ = save_small(path)
    net.metadata = metadata
    net.save(path)
    assert load(path).metadata == metadata
    if path.suffix == ".npz":
        assert header_and_tensors(path)[0]["metadata"] == metadata
        assert header_and_tensors(path)[0]["version"] == 1


def test_a_table_of_twenty_thousand_columns_fits(path):
    net = MLP([1, 2])
    numbers = np.random.default_rng(0).normal(size=20_000).tolist()
    names = [f"a long name of column {i}" for i in range(20_000)]
    net.metadata = {"features": names, "mean": numbers, "scale": numbers, "classes": names[:10_000]}
    net.save(path)
    assert load(path).metadata == net.metadata


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([0.5] * 65_537, "its lists have 65537 floats; wanted at most 65536"),
        (["a"] * 32_769, "its lists have 32769 texts; wanted at most 32768"),
        (["a" * 100_000] * 20, "its lists have 2000019 bytes of texts; wanted at most 1048576"),
    ],
    ids=["floats", "texts", "bytes"],
)
def test_longer_lists_are_refused(path, entries, message):
    net, _ = save_small(path)
    before = path.read_bytes()
    for parts in ([entries], [entries[:-17], entries[-17:]] if len(entries) > 40 else [entries]):
        net.metadata = {f"list{i}": part for i, part in enumerate(parts)}
        with pytest.raises(ValueError, match=f"net.metadata is too large: {message}"):
            net.save(path)
        assert path.read_bytes() == before


def test_a_file_of_version_2_loads(tmp_path):
    """The file stays as it is, whatever later versions write."""
    known, _ = save_long(tmp_path / "net.npz")
    assert facts(load(pathlib.Path(__file__).parent / "version2.npz")) == facts(known)


def test_any_byte_changed(path):
    net, _ = save_long(path)
    data, known, unnoticed = path.read_bytes(), facts(net), 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            assert facts(load(path)) == known
            unnoticed += 1
        except ValueError:
            pass
    assert unnoticed == (7 * (6 + 16) + 4 if path.suffix == ".npz" else 0)  # as in test_damaged_files.py


@pytest.fixture
def parts(tmp_path):
    """The header and the members of a file with long lists, and what makes a file of them anew."""
    _, path = save_long(tmp_path / "net.npz")
    header, arrays = header_and_tensors(path)

    def file(header, **changes):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            members = arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
            for name, array in (members | {f"metadata.{name}": array for name, array in changes.items()}).items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
        return data.getvalue()

    path.write_bytes(file(header))
    assert load(path).metadata["mean"] == FLOATS
    return path, header, file


def test_descriptions_of_no_lists(parts):
    path, header, file = parts
    lists, metadata = header["lists"], header["metadata"]
    for changes, message in [
        ({"version": 1}, "fields"),
        ({"lists": []}, "lists is []"),
        ({"lists": {"mean": lists["mean"]}}, "wanted 'metadata.mean.npy'"),
        ({"lists": lists | {"more": ["float", 20, 160]}}, "lists has 'more'"),
        ({"lists": lists | {"rows": ["float", 20, 160]}}, "lists has 'rows'"),
        ({"lists": lists | {"\ud800": ["float", 20, 160]}, "metadata": metadata | {"\ud800": None}}, "lists has"),
        ({"lists": lists | {"a/b": ["float", 20, 160]}, "metadata": metadata | {"a/b": None}}, "lists has 'a/b'"),
        ({"metadata": metadata | {"mean": [1.0]}}, "lists has 'mean'"),
        ({"metadata": {"names": None}}, "lists has 'mean'"),
        *(
            ({"lists": lists | {"mean": mean}}, "lists has 'mean'")
            for mean in (None, [], ["float", 20], ["int", 20, 160], [["float"], 20, 160], ["float", True, 160])
        ),
        *(
            ({"lists": lists | {"mean": ["float", count, size]}}, message)
            for count, size, message in (
                (20.0, 160, "lists has 'mean'"),
                (-20, 160, "lists has 'mean'"),
                (20, -160, "lists has 'mean'"),
                (20, 168, "metadata.mean"),
                (21, 160, "metadata.mean"),
                (10**30, 160, "floats; wanted at most"),
                (20, 2**63, "metadata.mean"),
            )
        ),
        ({"lists": lists | {"names": ["text", 20, 2**40]}}, "bytes of texts; wanted at most"),
        ({"lists": lists | {"names": ["text", 10**6, 10**6]}}, "texts; wanted at most"),
        ({"lists": lists | {"names": ["text", 19, lists["names"][2]]}}, "metadata.names is not the 19"),
    ]:
        refused(path, file(header | changes), message)


def test_tensors_that_are_no_lists(parts):
    path, header, file = parts
    text = np.frombuffer("\0".join(TEXTS).encode(), np.uint8)
    for changes in (
        {"mean": np.array([*FLOATS[:-1], np.nan])},
        {"mean": np.array([*FLOATS[:-1], -np.inf])},
        {"mean": np.zeros(20, "f4")},
        {"mean": np.array(FLOATS)[:-1]},
        {"mean": np.array(FLOATS, object)},
        {"names": np.where(text == 0, 1, text).astype(np.uint8)},
        {"names": np.where(text == ord("ä".encode()[:1]), 0xFF, text).astype(np.uint8)},
        {"names": text[:-1]},
    ):
        refused(path, file(header, **changes), f"metadata.{next(iter(changes))}")
