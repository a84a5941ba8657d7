"""Coverage-guided fuzzing of what reads files: `python tests/fuzz.py --seconds 30` for each of model and table.

Whatever the bytes are, `load` gives a network or a FormatError, and the tables behind `fastmlp train` and `predict`
give numbers or a TableError. Anything else is a crash: libFuzzer prints it and keeps the input. Needs atheris;
the seeds are small files made here.
"""

import argparse
import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings
import zipfile

import atheris
import numpy as np

with atheris.instrument_imports(include=["fastmlp"]):
    import fastmlp
    from fastmlp import preprocessing, saving, tables
    from fastmlp.tables import TableError

TABLES = [
    b"a,b,y\n1,2,x\n3,4.5e-3,z\n5,6,x\n7,8,z\n",
    b"\xef\xbb\xbfa,y\r\n-1,0.5\r\n\r\n2,1.5\r\n3,2\r\n4,7\r\n",
    b'"a ""q""",  b,y\n1,\t2,true\n"3",nan,False\n1_0,inf,TRUE\n',
]
SPLIT = b"\n--fuzz--\n"  # between the parts of a model: the zip is made anew around them, its checksums right


def model_seeds():
    nets = fastmlp.MLP([2, 3, 2]), fastmlp.SiameseMLP([2, 2], bias=False), fastmlp.MLP([1, 1], loss="squared_error")
    nets[0].fit([[1.0, 2.0]], [1], epochs=1, optimizer=fastmlp.Adam())
    nets[0].metadata = {"a": [1.5, "b", None]}
    nets[2].fit([[1.0]], [1.0], epochs=1, optimizer=fastmlp.SGD(0.1, momentum=0.5))
    for net in nets:
        net.save("seed.npz")
        with zipfile.ZipFile("seed.npz") as archive:
            parts = [part for name in archive.namelist() for part in (name.encode(), archive.read(name))]
        header = parts[1][parts[1].index(b"\n") + 1 :]
        seeds = pathlib.Path("seed.npz").read_bytes(), SPLIT.join(parts), SPLIT.join([header, *parts[2:]])
        for kind, seed in enumerate(seeds):
            data = bytes([kind]) + seed
            pathlib.Path("seed.npz").write_bytes(model_bytes(data))
            fastmlp.load("seed.npz")  # each is one step from what the loader accepts
            yield data


def model_bytes(data):
    """The file that an input stands for: itself; or parts, zipped; or those with a header of the right length."""
    kind, rest = data[:1], data[1:]
    if kind == b"\0":
        return rest
    parts = rest.split(SPLIT)
    if kind == b"\2":
        head = io.BytesIO()
        np.lib.format.write_array(head, np.frombuffer(parts[0], np.uint8))
        parts[:1] = [b"header.npy", head.getvalue()]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in zip(parts[::2], parts[1::2], strict=False):
            archive.writestr(name.decode("latin-1").replace("\0", "") or "empty", content)
    return file.getvalue()


def try_model(data):
    pathlib.Path("input.npz").write_bytes(model_bytes(data))
    try:
        net = fastmlp.load("input.npz")
    except saving.FormatError:
        return
    if isinstance(net, fastmlp.MLP):
        net(np.zeros((2, net.sizes[0]), net.dtype))
    net.save("again.npz")  # what was read can be written, and read again
    fastmlp.load("again.npz")
    with contextlib.suppress(TableError):
        preprocessing.preprocessing_of(net)


def try_table(data):
    pathlib.Path("input.csv").write_bytes(data)
    task = (None, "regression", "classification")[len(data) % 3]
    with contextlib.suppress(TableError):
        recipe, X, y, train, test = preprocessing.data_of_table("input.csv", "y", task, 0)
        assert np.isfinite(X).all()
        assert len(X) == len(y) == len(train) + len(test)
        assert np.isfinite(recipe.inputs(tables.read("input.csv", features=recipe.features))).all()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each of the two (default: %(default)s)")
    parser.add_argument("--only", choices=["model", "table"], help="one of them, in the current folder")
    args = parser.parse_args()
    if args.only is None:
        for only in ("model", "table"):
            with tempfile.TemporaryDirectory() as folder:  # libFuzzer ends its process without tidying up
                command = [sys.executable, os.path.abspath(__file__), "--seconds", str(args.seconds), "--only", only]
                subprocess.run(command, cwd=folder, check=True)
        return
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Duplicate name", UserWarning)  # zipfile, in model_bytes
    os.mkdir("corpus")
    for number, seed in enumerate(TABLES if args.only == "table" else model_seeds()):
        pathlib.Path("corpus", str(number)).write_bytes(seed)
    options = [f"-max_total_time={args.seconds}", "-max_len=8192", "-rss_limit_mb=1000", "-seed=1", "-verbosity=0"]
    options += ["-print_final_stats=1", f"-artifact_prefix={os.path.join(tempfile.gettempdir(), 'fastmlp-')}"]
    atheris.Setup([sys.argv[0], *options, "corpus"], {"model": try_model, "table": try_table}[args.only])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
