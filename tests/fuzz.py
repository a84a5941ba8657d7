"""Coverage-guided fuzzing of what reads files: `python tests/fuzz.py --seconds 30` for each of model and table.

Whatever the bytes are, a model is a network or a FormatError, and `fastmlp train` and `predict` on a table succeed or
say in one line what is wrong with it. Anything else is a crash: libFuzzer prints it and keeps the input, which
`--only model INPUT` tries once more. Needs atheris; the seeds and the dictionary are made here.
"""

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import math
import os
import pathlib
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib

import atheris
import numpy as np

with atheris.instrument_imports(include=["fastmlp"]):
    import fastmlp
    from fastmlp import _names, _npz, _safetensors, cli, losses, preprocessing, saving
    from fastmlp.tables import TableError

TABLES = [
    b"a,b,y\n1,2,x\n3,4.5e-3,z\n5,6,x\n7,8,z\n",
    b"\xef\xbb\xbfa,y\r\n-1,0.5\r\n\r\n2,1.5\r\n3,2\r\n4,7\r\n",
    b'"a ""q""",  b,y\n1,\t2,true\n"3",nan,False\n1_0,inf,TRUE\n',
    b"a,b,y\n1,2,0\n3,4,1\n5,6,0\n7,8,1\n\n--fuzz--\nb,c,a\n1,x,2\n",
]
SPLIT = b"\n--fuzz--\n"  # between the parts of a model, or the tables for training and predicting
RAW, MEMBERS, HEADER, SEALED = b"\0", b"\1", b"\2", b"\3"  # how the parts of a model become a file: see archive_of

VALUES = json.loads(
    "[0, 1, 2, -1, 17, 2147483647, 2147483648, 4294967296, 9223372036854775808, 18446744073709551616, 1e19, 0.5, -0.0,"
    '1e308, true, null, "", "float64", "a/b", "\\ud800", [], {}, [[]], {"a": null}, [1, 2], ["relu"],'
    '[2147483647, 2147483647, 2], ["float", 17, 136], ["text", 17, 33]]'
)
WORDS = ["", "é", "\ud800", "a/b", "a\nb", "\0"]
INTEGERS = [b"0", b"-1", b"4000000000", b"9223372036854775808"]
NUMBERS = [struct.pack(f"<{kind}", value) for kind in "df" for value in (math.nan, math.inf, 1e-40)]
NUMBERS += [struct.pack(f"<{kind}", value) for kind in "HLQ" for value in (0, 0xFFFF)]
CELLS = (
    "| |0|-0|1|2.5|3e38|1e39|-1e308|1e999|5e-324|nan|inf|1_0|0x1|true|False|y|a|é|'|\0|\ufeff|\u2028|"
    f'"|"a"|"a\nb"|"a""b"|{"9" * 400}'
).split("|")


# Models


def model_seeds():
    """Files of several networks, each in all its kinds."""
    nets = [fastmlp.MLP([2, 3, 2]), fastmlp.SiameseMLP([2, 2], bias=False), fastmlp.MLP([1, 1], loss="squared_error")]
    nets[0].fit([[1.0, 2.0]], [1], epochs=1, optimizer=fastmlp.Adam())
    nets[0].metadata = {"a": [1.5, "b", None], "c": {"d": [{}]}}
    nets[1].metadata = {"floats": [0.5] * 17, "texts": [*"abcdefghijklmnopq"]}
    new = fastmlp.MLP([1, 2, 1], loss=fastmlp.losses.Huber(2.0), dropout=0.5, init="he_normal", activation="exp")
    X, y = [[1.0], [2.0]], [1.0, 2.0]
    for container in (_npz, _safetensors):
        path = "seed.npz" if container is _npz else "seed.safetensors"
        for net in nets:
            net.save(path)
            yield from seeds_of(pathlib.Path(path).read_bytes(), container)
        settings = {"batch_size": 1, "validation_data": (X, y), "checkpoint": path}
        optimizer = fastmlp.SGD(0.1, momentum=0.5)
        fastmlp.MLP([1, 1], loss="squared_error").fit(X, y, epochs=2, **settings, optimizer=optimizer)
        yield from seeds_of(pathlib.Path(path).read_bytes(), container)
        optimizer = fastmlp.Lion(fastmlp.OneCycle(0.1), clip_norm=1.0, ema=0.5)
        new.fit(X, y, epochs=1, **settings, optimizer=optimizer, early_stopping=fastmlp.EarlyStopping())
        yield from seeds_of(pathlib.Path(path).read_bytes(), container)


def seeds_of(data, container):
    if container is _npz:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = [part for name in archive.namelist() for part in (name.encode(), archive.read(name))]
        header = parts[1][parts[1].index(b"\n") + 1 :]
        seeds = RAW + data, MEMBERS + SPLIT.join(parts), HEADER + SPLIT.join([header, *parts[2:]])
    else:
        end = 8 + int.from_bytes(data[:8], "little")
        directory = json.loads(data[8:end])
        header = directory.pop("__metadata__")["fastmlp"]
        seeds = [SEALED + SPLIT.join([header.encode(), json.dumps(directory).encode(), data[end:]])]
    for seed in seeds:
        saving._read(archive_of(seed))  # each is one step from what the loader accepts
        yield seed


def archive_of(data):
    """What reads the file that an input stands for.

    That is an .npz of the bytes themselves; one of members, zipped; one of a header's text and further members; or a
    .safetensors file of a header's text, a directory and data.
    """
    kind, rest = data[:1], data[1:]
    parts = rest.split(SPLIT)
    if kind == SEALED:
        text, directory, content = (*parts, b"", b"")[:3]
        metadata = json.dumps({"fastmlp": text.decode("latin-1"), "crc32": "0" * 8}, separators=(",", ":")).encode()
        head = b'{"__metadata__":' + metadata + (b"," + directory[1:] if len(directory) > 2 else b"}")
        head += b" " * (-len(head) % 8)
        file = len(head).to_bytes(8, "little") + head + content
        checksum = f'"crc32":"{zlib.crc32(file):08x}"'.encode()
        return _safetensors.Archive(io.BytesIO(file.replace(_safetensors._NO_CRC, checksum, 1)))
    if kind == HEADER:
        head = io.BytesIO()
        np.lib.format.write_array(head, np.frombuffer(parts[0], np.uint8))
        parts[:1] = [b"header.npy", head.getvalue()]
    elif kind != MEMBERS:
        return _npz.Archive(io.BytesIO(rest))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in zip(parts[::2], parts[1::2], strict=False):
            archive.writestr(name.decode("latin-1").replace("\0", "") or "empty", content)
    return _npz.Archive(file)


def bytes_of(net, progress):
    file = io.BytesIO()
    _npz.write(file, saving._arrays_of(net, net.optimizer_state(), progress))
    return file.getvalue()


def try_model(data):
    refused = None
    try:
        net, progress = saving._read(archive_of(data))
    except saving.FormatError as error:
        refused = str(error)
    if refused is not None:
        assert "\n" not in refused
        assert len(refused) < 1000
        return
    container, file = (_safetensors if data[:1] == SEALED else _npz), io.BytesIO()
    container.write(file, saving._arrays_of(net, net.optimizer_state(), progress))
    assert bytes_of(*saving._read(container.Archive(file))) == bytes_of(net, progress)
    if isinstance(net, fastmlp.MLP):
        net(np.zeros((2, net.sizes[0]), net.dtype))
    with contextlib.suppress(TableError):
        preprocessing.preprocessing_of(net)


def changed_model(data):
    """An input with another header or another number in a member, where it has a header's text."""
    kind, (text, *rest) = data[:1], data[1:].split(SPLIT)
    choice = random.random()
    if choice < 0.2 and rest:
        place = random.randrange(len(rest))
        member, number = rest[place], random.choice(NUMBERS)
        start = len(member) - len(number) * random.randint(1, 20)
        end = start + len(number)
        if choice < 0.1 and (found := [*re.finditer(rb"\d+", member)]):  # in a name, or where it says its shape
            (start, end), number = random.choice(found).span(), random.choice(INTEGERS)
        rest[place] = member[: max(start, 0)] + number + member[max(end, 0) :]
    elif choice < 0.4 and (found := re.findall(rb'"[^"]*"', text)):  # a word wherever it occurs
        text = text.replace(random.choice(found), json.dumps(random.choice(WORDS)).encode())
    else:
        with contextlib.suppress(ValueError, RecursionError):  # no JSON; or it contains itself
            text = json.dumps(changed_header(json.loads(text))).encode()
    return kind + SPLIT.join([text, *rest])


def changed_header(header):
    """A header with an entry more, less, renamed or changed."""
    places = [(header, key) for key in header] if isinstance(header, dict) else []
    for inner, key in places:  # which grows while one looks through it
        value = inner[key]
        if isinstance(value, dict | list):
            places += [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    if not places:
        return random.choice(VALUES)
    (inner, key), (other, its_key) = random.choices(places, k=2)
    value, choice = random.choice([*VALUES, other[its_key]]), random.random()
    if choice < 0.2:
        del inner[key]
    elif choice < 0.4 and isinstance(inner, list):
        inner.insert(key, value)
    elif choice < 0.3:
        inner[str(random.choice([*WORDS, its_key]))] = inner.pop(key)
    else:
        inner[str(its_key) if choice < 0.4 else key] = value
    return header


# Tables


def command(*arguments):
    """What `fastmlp` has to say on stderr: nothing, or one line."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(arguments)
    said = err.getvalue()
    assert (status, said) == (0, "") or (status == 2 and re.fullmatch("fastmlp: error: [^\n]+\n", said)), (status, said)
    return said


def try_table(data):
    content, _, fresh = data[1:].partition(SPLIT)
    pathlib.Path("input.csv").write_bytes(content)
    task = (None, "regression", "classification")[sum(data[:1]) % 3]
    model = pathlib.Path("model.npz")
    model.unlink(missing_ok=True)
    wrong = None
    try:
        _, X, y, train, test = preprocessing.data_of_table("input.csv", "y", task, 0)
        assert np.isfinite(X).all()
        assert len(X) == len(y) == len(train) + len(test)
    except TableError as error:
        wrong = str(error)
    task_arguments = () if task is None else ("--task", task)
    said = command("train", "input.csv", "--target", "y", *task_arguments, "--hidden", "2", "--epochs", "1")
    assert model.exists() == (not said)
    if wrong is not None:
        assert said == f"fastmlp: error: {wrong}\n"
    elif said:
        assert "the loss is not finite" in said or "are NaN: it has no class" in said
    else:
        assert command("predict", "model.npz", "input.csv") == ""
        assert command("info", "model.npz") == ""
        pathlib.Path("input.csv").write_bytes(fresh)
        command("predict", "model.npz", "input.csv")


def changed_table(data):
    """An input with a line less or more, or with another cell."""
    lines = data[1:].split(b"\n")
    at, choice = random.randrange(len(lines)), random.random()
    if choice < 0.2:
        del lines[at]
    elif choice < 0.3:
        lines.insert(at, random.choice(lines))
    else:
        cells = lines[at].split(b",")
        cells[random.randrange(len(cells))] = random.choice(CELLS).encode()
        lines[at] = b",".join(cells)
    return data[:1] + b"\n".join(lines)


# libFuzzer


def words():
    """What a mutation may insert: the words of the formats."""
    yield from ("y", ",y\n", "\r\n", '""', *CELLS, *NUMBERS)
    yield from (*saving._HEADER_2, *saving._TRAINING_2, *saving.KINDS, *saving.HISTORY)
    yield from (*_names.ACTIVATIONS, *_names.LOSSES, *preprocessing.Preprocessing.__dataclass_fields__)
    for kind in (*saving.OPTIMIZERS.values(), *saving.SCHEDULES.values(), *losses.BY_NAME.values()):
        yield from (kind.__name__, *(field.name for field in dataclasses.fields(kind)))
    yield from (name for names in saving.SLOTS.values() for name in names)
    yield from ("layers.0.weight.npy", ".bias.npy", "metadata.", "history.", "optimizer.", "PK\3\4", "PK\1\2", "PK\5\6")
    yield from ("'descr': '<f8'", "|u1", "'fortran_order': True", "'shape': (-1,)", b"\x93NUMPY\1\0")
    yield from ('{"": ', "[[", "null", "true", "1e999", "NaN", "\\ud800", *INTEGERS, SPLIT)


def mutator(change, seeds):
    """A third of mutations are libFuzzer's, a third `change` its input, a third a seed: most inputs are bad by now."""

    def mutated(data, max_size, seed):
        random.seed(seed)
        kind = random.random()
        if kind < 1 / 3:
            return atheris.Mutate(data, max_size)
        return change(bytes(data) if kind < 2 / 3 else random.choice(seeds))[:max_size]

    return mutated


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each of the two (default: %(default)s)")
    parser.add_argument("--only", choices=["model", "table"], help="one of them, in the current folder")
    parser.add_argument("input", nargs="?", help="what libFuzzer kept of --only this, to be tried once more")
    args = parser.parse_args()
    if args.only is None:
        for only in ("model", "table"):
            memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
            with tempfile.TemporaryDirectory(dir=memory) as folder:  # libFuzzer ends its process without tidying up
                command = [sys.executable, os.path.abspath(__file__), "--seconds", str(args.seconds), "--only", only]
                subprocess.run(command, cwd=folder, check=True)
        return
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Duplicate name", UserWarning)  # zipfile, in archive_of
    test, change = {"model": (try_model, changed_model), "table": (try_table, changed_table)}[args.only]
    if args.input:
        test(pathlib.Path(args.input).read_bytes())
        return
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))  # memory that is asked for, used or not
    os.fsync = lambda descriptor: None  # no power cut is tried here
    cli._parser = functools.cache(cli._parser)  # takes longer than a small table
    os.mkdir("corpus")
    seeds = [b"\0" + table for table in TABLES] if args.only == "table" else [*model_seeds()]
    for number, seed in enumerate(seeds):
        pathlib.Path("corpus", str(number)).write_bytes(seed)
    encoded = dict.fromkeys(word if isinstance(word, bytes) else word.encode() for word in words() if word)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in encoded)
    pathlib.Path("words").write_text("".join(f'"{word}"\n' for word in escaped))
    options = [f"-max_total_time={args.seconds}", "-max_len=8192", "-rss_limit_mb=1000", "-timeout=20", "-seed=1"]
    options += ["-dict=words", "-verbosity=0", "-print_final_stats=1"]
    options += [f"-artifact_prefix={os.path.join(tempfile.gettempdir(), 'fastmlp-')}"]
    atheris.Setup([sys.argv[0], *options, "corpus"], test, custom_mutator=mutator(change, seeds))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
