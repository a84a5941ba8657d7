"""The command `fastmlp`: train a network on the bundled digits or on a CSV table, predict with it, describe it.

Refuses to leave half a result: whatever is wrong with arguments, table or model is one line on stderr and exit status
2, and no file is written.
"""

import argparse
import csv
import dataclasses
import io
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp import metrics
from fastmlp.preprocessing import Preprocessing, data_of_digits, data_of_table, preprocessing_of
from fastmlp.saving import check_room, check_writable
from fastmlp.tables import TableError, number_of, read

TRAIN = """Train a network and write it to a file. Without DATA it learns the handwritten digits that come with fastmlp.
DATA is a CSV file with a header row; every column but the target is an input and holds numbers. A quarter of the rows,
chosen by --seed, is kept for the test at the end; inputs are standardised, and the model remembers how."""
PREDICT = """Predict every row of a CSV table and print CSV: the prediction and, for classes, the probability of each.
The table needs a header row and the model's input columns ('fastmlp info MODEL' names them); others are ignored."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see '{self.prog} --help')")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's); returns the exit status."""
    if sys.stdout is None:
        print("fastmlp: error: standard output is closed", file=sys.stderr)
        return 2
    try:
        args = _parser().parse_args(argv)
        _set_stdout(errors="backslashreplace", line_buffering=args.run is _train)
        with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float64 are printed as inf
            args.run(args)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _forget_stdout()
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _forget_stdout()
    except (ValueError, FloatingPointError, MemoryError) as error:
        message = str(error) or type(error).__name__
    print("fastmlp: error:", message.replace("\n", " "), file=sys.stderr)
    return 2


def _set_stdout(**settings: Any) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(**settings)


def _forget_stdout() -> None:
    """Keep the interpreter from writing at its exit what cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> Parser:
    parser = Parser(prog="fastmlp", description="Small neural networks on tables of numbers.")
    parser.add_argument("--version", action="version", version=f"fastmlp {fastmlp.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = commands.add_parser("train", description=TRAIN, help="train a network and write it to a file")
    train.add_argument("data", nargs="?", metavar="DATA.csv", help="table to learn from (default: the digits)")
    train.add_argument("--target", metavar="COLUMN", help="the column to predict; needed with DATA.csv")
    train.add_argument(
        "--task",
        choices=["classification", "regression"],
        help="default: classification for texts, true/false and whole numbers of at most 20 different values",
    )
    add = train.add_argument
    add("--hidden", type=_sizes, default=[64], metavar="N,N", help="units of each hidden layer (default: 64)")
    add("--epochs", type=_count, default=100, metavar="N", help="passes over the training rows (default: %(default)s)")
    add("--batch-size", type=_count, default=200, metavar="N", help="rows a step (default: %(default)s)")
    add("--learning-rate", type=_rate, default=0.01, metavar="X", help="of Adam (default: %(default)s)")
    add("--seed", type=_seed, default=0, metavar="N", help="decides split, weights, order (default: %(default)s)")
    add("--out", default="model.npz", metavar="FILE.npz", help="where the model goes (default: %(default)s)")
    train.set_defaults(run=_train)

    predict = commands.add_parser("predict", description=PREDICT, help="predict the rows of a table")
    predict.add_argument("model", metavar="MODEL.npz", help="what 'fastmlp train' wrote")
    predict.add_argument("data", metavar="DATA.csv", help="table with the model's input columns")
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", description="Describe a model.", help="describe a model")
    info.add_argument("model", metavar="MODEL.npz", help="what 'fastmlp train' or net.save wrote")
    info.set_defaults(run=_info)
    return parser


def _whole(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or len(text) > 20 or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a whole number from {low} to {high}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1, 2**31 - 1)


def _sizes(text: str) -> list[int]:
    return [_count(size.strip()) for size in text.split(",")]


def _seed(text: str) -> int:
    return _whole(text, 0, 2**64 - 1)


def _rate(text: str) -> float:
    rate = number_of(text)
    if rate is None or not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a number above 0")
    return float(rate)


# train


def _train(args: argparse.Namespace) -> None:
    if (args.data is None) != (args.target is None):
        raise ValueError("--target COLUMN names the column of DATA.csv to predict: wanted both or neither")
    if args.data is None and args.task:
        raise ValueError("--task is for DATA.csv; the digits are classes")
    _check_destination(args.out)
    recipe, X, y, train, test = (
        data_of_table(args.data, args.target, args.task, args.seed) if args.data else data_of_digits(args.seed)
    )
    net = fastmlp.MLP(
        [X.shape[1], *args.hidden, len(recipe.classes) or 1],
        loss="softmax_cross_entropy" if recipe.classes else "squared_error",
        seed=args.seed,
    )
    outputs = f"{len(recipe.classes)} classes" if recipe.classes else f"values of {recipe.target!r}"
    optimizer = fastmlp.Adam(learning_rate=args.learning_rate)
    net.metadata = dataclasses.asdict(recipe)
    check_room(net, args.out, "--out", optimizer)
    print(f"{len(train)} rows to train on, {len(test)} for validation; {X.shape[1]} inputs, {outputs}")
    history = net.fit(
        X[train],
        y[train],
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=optimizer,
        validation_data=(X[test], y[test]),
        verbose=True,
    )
    predicted = net.predict(X[test])
    net.save(args.out)
    print(f"trained in {sum(history.seconds):.3f} s; wrote {args.out}")
    if recipe.classes:
        _report_classes(recipe.classes, y[test], predicted)
    else:
        _report_values(recipe, y[test], predicted)


def _check_destination(path: str) -> None:
    """Find out before training whether the model can be written after it."""
    if not path.endswith(".npz"):
        raise ValueError(f"--out {path}: wanted a file name that ends in .npz")
    check_writable(path)


def _report_classes(classes: list[str], y: NDArray[Any], predicted: NDArray[Any]) -> None:
    support, given, right = (np.bincount(rows, minlength=len(classes)) for rows in (y, predicted, y[y == predicted]))
    width = max(5, *map(len, classes))
    print(f"\n{'class':>{width}}  precision  recall  support")
    for label, hits, named, rows in zip(classes, right, given, support, strict=True):
        precision = f"{hits / named:.3f}" if named else "-"
        recall = f"{hits / rows:.3f}" if rows else "-"
        print(f"{label:>{width}}  {precision:>9}  {recall:>6}  {rows:>7}")
    print(f"\ntest accuracy: {100 * metrics.accuracy(y, predicted):.1f} %")


def _report_values(recipe: Preprocessing, y: NDArray[Any], predicted: NDArray[Any]) -> None:
    predicted = predicted.reshape(-1)
    rmse = metrics.root_mean_squared_error(y, predicted) * recipe.target_scale
    score = f"{metrics.r2(y, predicted):.3f}" if (y != y[0]).any() else "undefined, all test values are equal"
    print(f"\ntest RMSE: {rmse:.4g} (in the units of {recipe.target!r})\ntest R2: {score}")


# predict and info


def _predict(args: argparse.Namespace) -> None:
    net = fastmlp.load(args.model)
    try:
        recipe = preprocessing_of(net)
    except TableError as error:
        raise ValueError(f"{args.model}: {error}") from None
    X = recipe.inputs(read(args.data, features=recipe.features))
    _set_stdout(encoding="utf-8", errors="backslashreplace")  # as the tables that it reads
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["prediction", *(f"p_{label}" for label in recipe.classes)])
    predicted = net.predict(X)
    if recipe.classes:
        for number, row in zip(predicted.tolist(), net.predict_proba(X).tolist(), strict=True):
            out.writerow([recipe.classes[number], *(f"{p:.9g}" for p in row)])
    else:
        out.writerows([value] for value in recipe.values(predicted).tolist())


def _info(args: argparse.Namespace) -> None:
    net = fastmlp.load(args.model)
    print(f"{args.model}: {type(net).__name__} {'-'.join(map(str, net.sizes))}, {net.n_params} parameters, {net.dtype}")
    optimizer = net.optimizer_state()["optimizer"]
    facts = {
        "activation": ", ".join([*net.activations, net.output_activation]),
        "loss": net.loss,
        "biases": "yes" if net.bias else "no",
        "seed": str(net.seed),
        "training": f"{net.epochs_done} epochs, {optimizer or 'no optimizer'}",
    }
    try:
        recipe = preprocessing_of(net)
        facts |= {"task": recipe.task, "target": recipe.target, "classes": ", ".join(recipe.classes)}
        facts |= {"inputs": ", ".join(recipe.features)}
    except TableError as error:
        facts["table"] = str(error)
    for name, fact in facts.items():
        if fact:
            print(textwrap.fill(fact, 120, initial_indent=f"{name:<11}", subsequent_indent=" " * 11))
