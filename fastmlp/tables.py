"""CSV tables: read numeric columns and a target column.

Refuses to guess: every cell of an input column is a finite number, or the table is an error that names the line of the
file and the column. Nothing is imputed, one-hot encoded or skipped but blank lines.
"""

import array
import csv
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Path = str | os.PathLike[str]


class TableError(ValueError):
    """A table that cannot be used; the message says where and why, in one line."""


@dataclass(frozen=True)
class Table:
    """Columns of a CSV file.

    `X` (B, I) float64 holds the columns `features`, `lines` (B,) the line of the file at which each row ends. `codes`
    (B,) numbers each row's target cell in `labels`, its distinct texts in order of appearance; empty without target.
    """

    path: Path
    features: list[str]
    X: NDArray[np.float64]
    lines: NDArray[np.int64]
    labels: list[str]
    codes: NDArray[np.int64]


class _Reader(Protocol):
    """What csv.reader returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def read(path: Path, *, features: Sequence[str] | None = None, target: str | None = None) -> Table:
    """Read numeric columns, and the texts of a target column, from a CSV file with a header row.

    Parameters
    ----------
    path : str or os.PathLike
        UTF-8 text, with or without a byte order mark.
    features : list of str, optional
        Input columns, in the order wanted; by default all but the target. Other columns are ignored.
    target : str, optional
        Column whose cells are kept as text.

    Raises
    ------
    TableError
        If the file is no such table; OSError if it cannot be opened.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            return _read(path, reader, features, target)
        except UnicodeDecodeError:
            raise TableError(f"{path}: not UTF-8 text") from None
        except csv.Error as error:
            raise TableError(f"{path}, line {reader.line_num}: {error}") from None


def _read(path: Path, reader: _Reader, features: Sequence[str] | None, target: str | None) -> Table:
    header = _header(path, reader)
    wanted = list(features) if features is not None else [name for name in header if name != target]
    if not wanted:
        raise TableError(f"{path}: no input columns beside {target!r}")
    places = _places(path, header, wanted if target is None else [*wanted, target])
    pick = _picker([places[name] for name in wanted])
    at = places[target] if target is not None else None

    values, lines, codes = array.array("d"), array.array("q"), array.array("q")
    labels: dict[str, int] = {}
    for row in reader:
        if len(row) != len(header):
            if not row:
                continue
            raise TableError(f"{path}, line {reader.line_num}: {len(row)} cells; the header has {len(header)}")
        cells = pick(row)
        try:
            values.extend(map(float, cells))
        except ValueError:
            raise _not_a_number(path, reader.line_num, wanted, cells) from None
        if "_" in "".join(cells):  # Python reads 1_000 as a number, nobody else does
            raise _not_a_number(path, reader.line_num, wanted, cells)
        lines.append(reader.line_num)
        if at is not None:
            codes.append(labels.setdefault(row[at].strip(), len(labels)))
    if not lines:
        raise TableError(f"{path}: no rows below the header")
    X = np.frombuffer(values, np.float64).reshape(len(lines), len(wanted))
    table = Table(path, wanted, X, np.frombuffer(lines, np.int64), list(labels), np.array(codes, np.int64))
    refuse_not_finite(table, X, "wanted a finite number")
    return table


def _header(path: Path, reader: _Reader) -> list[str]:
    for row in reader:
        if row:
            return [name.strip() for name in row]
    raise TableError(f"{path}: empty file; wanted a header row and rows of numbers")


def _places(path: Path, header: list[str], wanted: list[str]) -> dict[str, int]:
    """Where each column stands, having checked that those wanted can be told apart."""
    places = dict(zip(reversed(header), range(len(header) - 1, -1, -1), strict=True))
    for name in wanted:
        if not name and name in header:
            raise TableError(f"{path}: column {header.index(name) + 1} has no name")
        if name not in places:
            known = ", ".join(map(repr, header[:8])) + (", ..." if len(header) > 8 else "")
            raise TableError(f"{path}: no column {name!r}; its columns, separated by commas, are {known}")
    if len(places) < len(header):
        for name in wanted:
            if header.count(name) > 1:
                raise TableError(f"{path}: {header.count(name)} columns are named {name!r}")
    return places


def _picker(indices: list[int]) -> Callable[[list[str]], Any]:
    if len(indices) == 1:
        (index,) = indices
        return lambda row: (row[index],)
    return operator.itemgetter(*indices)


def number_of(text: str) -> int | float | None:
    """The number that a cell stands for, an int where it is written as one, or None."""
    if "_" in text:
        return None
    number = None
    try:
        number = float(text)
        return int(text) if number.is_integer() else number
    except ValueError:
        return number


def _not_a_number(path: Path, line: int, names: list[str], cells: Sequence[str]) -> TableError:
    name, cell = next((name, cell) for name, cell in zip(names, cells, strict=True) if number_of(cell) is None)
    return TableError(f"{path}, line {line}, column {name!r}: {shown(cell)}; wanted a number")


def shown(cell: str) -> str:
    if not cell.strip():
        return "an empty cell"
    return repr(cell) if len(cell) <= 40 else repr(cell[:37] + "...")


def refuse_not_finite(table: Table, X: NDArray[Any], hint: str) -> None:
    """TableError for the first cell of the table where X, computed from it or its own, is not finite."""
    finite = np.isfinite(X)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        where = f"{table.path}, line {table.lines[row]}, column {table.features[column]!r}"
        raise TableError(f"{where}: {table.X[row, column]}; {hint}")
