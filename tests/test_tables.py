"""CSV tables: what is read, how targets are encoded, how columns are standardised, what is refused and how."""

import csv
import math
import statistics

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from fastmlp import digits
from fastmlp.preprocessing import Preprocessing, data_of_table, encode_target, mean_and_scale
from fastmlp.tables import TableError, read


@pytest.fixture
def table(tmp_path):
    """Writes a file and reads it as a table."""

    def write_and_read(content, **columns):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, **columns)

    return write_and_read


def test_columns_are_found_by_name_and_kept_in_order(table):
    content = "a,label,b,c\n1,x,2,3\n4,y,5,6e-1\n"
    found = table(content, target="label")
    assert found.features == ["a", "b", "c"]
    assert found.X.tolist() == [[1, 2, 3], [4, 5, 0.6]]
    assert found.X.dtype == np.float64
    assert [found.labels[code] for code in found.codes] == ["x", "y"]
    assert found.lines.tolist() == [2, 3]
    assert table(content, features=["c", "a"]).X.tolist() == [[3, 1], [0.6, 4]]
    assert table(content, features=["b"]).X.tolist() == [[2], [5]]


def test_what_spreadsheets_write_is_read(table):
    content = '\ufeff"a", b ,y\r\n\r\n" 1.5",-2,"x, ""quoted"""\r\n3,+4.0,"two\nlines"\r\n'
    found = table(content, target="y")
    assert found.features == ["a", "b"]
    assert found.X.tolist() == [[1.5, -2], [3, 4]]
    assert found.labels == ['x, "quoted"', "two\nlines"]
    assert found.lines.tolist() == [3, 5]


finite = st.floats(allow_nan=False, allow_infinity=False)


@hypothesis.given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1))
def test_numbers_round_trip_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "floats.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c"], *rows])
    assert read(path).X.tobytes() == np.array(rows).tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file"),
        ("\n\n", "empty file"),
        ("a,b,y\n", "no rows below the header"),
        ("a,b,y\n1,2,x\n1,,y\n", "line 3, column 'b': an empty cell"),
        ("a,b,y\n\n1,2,x\n1, ,y\n", "line 4, column 'b': an empty cell"),
        ("a,b,y\n1,2,x\ntwo,2,y\n", "line 3, column 'a': 'two'; wanted a number"),
        ("a,b,y\n1,2,x\n1_000,2,y\n", "line 3, column 'a': '1_000'; wanted a number"),
        ("a,b,y\n1,0x10,x\n", "line 2, column 'b': '0x10'; wanted a number"),
        ("a,b,y\n1,2,x\n1,nan,y\n", "line 3, column 'b': nan; wanted a finite number"),
        ("a,b,y\n-inf,2,x\n", "line 2, column 'a': -inf; wanted a finite number"),
        ("a,b,y\n1,1e999,x\n", "line 2, column 'b': inf; wanted a finite number"),
        ("a,b,y\n1,2,x\n1,2\n", "line 3: 2 cells; the header has 3"),
        ("a,b,y\n1,2,x,\n", "line 2: 4 cells; the header has 3"),
        ("a,a,y\n1,2,x\n", "2 columns are named 'a'"),
        ("y,b,y\n1,2,x\n", "2 columns are named 'y'"),
        (",b,y\n1,2,x\n", "column 1 has no name"),
        ("y\nx\n", "no input columns beside 'y'"),
        ("a,b\n1,2\n", "no column 'y'; its columns, separated by commas, are 'a', 'b'"),
        ("a;b;y\n1;2;x\n", "no column 'y'; its columns, separated by commas, are 'a;b;y'"),
        ('a,b,y\n1,2,"x\n', "line 2: unexpected end of data"),
        (b"a,b,y\n1,2,\xe9\n", "not UTF-8 text"),
        ("a,b,y\n1,2,x\n".encode("utf-16"), "not UTF-8 text"),
        (b"a,b,y\n1,\0,x\n", "wanted a number"),
    ],
)
def test_bad_tables_are_refused_with_line_and_column(table, content, message):
    with pytest.raises(TableError) as caught:
        table(content, target="y")
    assert message in str(caught.value)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_columns_wanted_have_to_be_good(table):
    content = "id,a,a2,a2,\nBob,1,x,,nan\n"
    assert table(content, features=["a"]).X.tolist() == [[1]]
    with pytest.raises(TableError, match="2 columns are named 'a2'"):
        table(content, features=["a", "a2"])


def test_files_that_cannot_be_opened_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


@pytest.fixture
def encoded(table):
    """The task, the classes and each row's class (or value) that a target column leads to."""

    def encode(cells, task=None):
        content = "x,y\n" + "".join(f'1,"{cell}"\n' for cell in cells)
        task, classes, y = encode_target(table(content, target="y"), "y", task)
        return task, classes, [classes[number] for number in y] if classes else y.tolist()

    return encode


TWENTY = [str(number) for number in range(20)]


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["b", "a", "b"], "classification", ["a", "b"]),
        (["10", "9", "-1", "9"], "classification", ["-1", "9", "10"]),
        (["True", "False", "True"], "classification", ["False", "True"]),
        (["true", "false"], "classification", ["false", "true"]),
        (["1.0", "0.0"], "classification", ["0.0", "1.0"]),
        (TWENTY * 2, "classification", TWENTY),
        ([*TWENTY, "20"], "regression", []),
        (["1.5", "2"], "regression", []),
        (["10", "a", "9"], "classification", ["10", "9", "a"]),
    ],
)
def test_the_task_and_the_order_of_classes(encoded, cells, task, classes):
    found_task, found_classes, rows = encoded(cells)
    assert (found_task, found_classes) == (task, classes)
    assert rows == (cells if classes else [float(cell) for cell in cells])


def test_the_task_can_be_chosen(encoded):
    assert encoded(["1", "2", "1"], "regression") == ("regression", [], [1, 2, 1])
    assert encoded(["2.5", "1.5"], "classification") == ("classification", ["1.5", "2.5"], ["2.5", "1.5"])
    task, classes, _ = encoded([str(number) for number in range(30, 0, -1)], "classification")
    assert (task, classes) == ("classification", [str(number) for number in range(1, 31)])


def test_two_spellings_of_one_value_are_one_class(encoded):
    assert encoded(["1", "1.0", " 2", "+1"]) == ("classification", ["1", "2"], ["1", "1", "2", "1"])
    assert encoded(["TRUE", "false", "true"]) == ("classification", ["false", "TRUE"], ["TRUE", "false", "TRUE"])
    large = ["9007199254740992", "9007199254740993"]  # equal as float64
    assert encoded(large) == ("classification", large, large)


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (["a", ""], None, "line 3, column 'y': an empty cell"),
        (["1", "nan"], None, "line 3, column 'y': 'nan'; wanted a class or a finite number"),
        (["1.5", "inf", "2"], "regression", "line 3, column 'y': 'inf'"),
        (["1", "9" * 400], "regression", "wanted a class or a finite number"),
        (["a", "a"], None, "one class only, 'a'"),
        (["1", "1.0"], None, "one class only, '1'"),
        (["2.5", "2.5"], None, "2.5 in every row"),
        (["1", "two"], "regression", "line 3, column 'y': 'two'; wanted a number"),
        (["True", "False"], "regression", "line 2, column 'y': 'True'; wanted a number"),
        (["1.5", "2.5", "2,5"], None, "line 4, column 'y': '2,5'; wanted a number as in other rows, or --task class"),
        ([*TWENTY, "20", "?"], None, "line 23, column 'y': '?'; wanted a number as in other rows"),
    ],
)
def test_bad_targets_are_refused_with_line_and_column(encoded, cells, task, message):
    with pytest.raises(TableError) as caught:
        encoded(cells, task)
    assert message in str(caught.value)


columns = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@hypothesis.given(columns, columns)
def test_mean_and_scale_are_those_of_statistics(a, b):
    rows = min(len(a), len(b))
    X = np.array([a[:rows], b[:rows]]).T
    mean, scale = mean_and_scale(X)
    for column in range(2):
        exact = [float(value) for value in X[:, column]]
        u = 2.0**-53
        # a sum of n terms in any order: n u sum|x|; each deviation then has that error besides its own rounding
        error = rows * u * math.fsum(map(abs, exact)) / rows + u * abs(statistics.fmean(exact))
        assert abs(mean[column] - statistics.fmean(exact)) <= 2 * error
        wanted = statistics.pstdev(exact)
        if min(exact) == max(exact):
            assert (mean[column], scale[column]) == (exact[0], 1)
        else:
            assert abs(scale[column] - wanted) <= 2 * error + (rows + 8) * u * wanted + 1e-300  # subnormal


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-300, 1e300, 5e-324])
def test_a_constant_column_has_scale_one(value):
    mean, scale = mean_and_scale(np.full((7, 1), value))
    assert (mean[0], scale[0]) == (value, 1)


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_squares_neither_overflow_nor_underflow(unit):
    mean, scale = mean_and_scale(np.array([[-unit], [unit]]))
    assert (mean[0], scale[0]) == (0, unit)


def test_inputs_are_standardised_in_float64_and_handed_over_in_float32(table):
    recipe = Preprocessing("regression", "y", ["b", "a"], [1e9, 2.0], [3.0, 0.5], [])
    found = recipe.inputs(table("a,b\n3,1000000001\n2,1000000003\n", features=recipe.features))
    assert found.dtype == np.float32
    assert found.tolist() == np.float32([[1 / 3, 2], [1, 0]]).tolist()


def test_a_cell_too_far_from_the_training_data_is_named(table):
    recipe = Preprocessing("regression", "y", ["a"], [0.0], [1e-30], [])
    with pytest.raises(TableError, match=r"line 3, column 'a': 1e\+20; too far"):
        recipe.inputs(table("a\n0\n1e20\n", features=["a"]))


def test_a_target_too_far_from_the_training_data_is_named(tmp_path):
    path = tmp_path / "table.csv"
    _, test = digits.stratified_split(np.zeros(8), seed=0)
    for row in range(8):
        values = [str(value) for value in range(8)]
        values[row] = "-1e308"  # which makes the scale of the training rows so large that it fits, if it is one of them
        path.write_text("a,y\n" + "".join(f"1,{value}\n" for value in values))
        if row in test:
            with pytest.raises(TableError, match=f"line {row + 2}, column 'y': '-1e308'; too far from the values"):
                data_of_table(path, "y", "regression", 0)
        else:
            assert np.isfinite(data_of_table(path, "y", "regression", 0).y).all()
