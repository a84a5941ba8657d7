"""The command line, run as users run it: what it prints, what it writes, and one clear line where it cannot."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from child import environment

import fastmlp
from fastmlp import digits
from fastmlp.preprocessing import preprocessing_of

ENVIRONMENT = environment(PYTHONWARNINGS="error")


@pytest.fixture
def run(tmp_path):
    """Runs `fastmlp ...` in an empty folder."""

    def run_fastmlp(*arguments, status=0):
        command = [sys.executable, "-m", "fastmlp", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, timeout=120)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == status, done.stderr
        return done

    return run_fastmlp


@pytest.fixture
def refused(run, tmp_path):
    """Runs `fastmlp ...`, which has to end in one line with this message and nothing else."""

    def run_and_see(message, *arguments):
        before = sorted(os.listdir(tmp_path))
        done = run(*arguments, status=2)
        assert done.stdout == ""
        assert re.fullmatch(r"fastmlp: error: .+\n", done.stderr)
        assert message in done.stderr
        assert sorted(os.listdir(tmp_path)) == before

    return run_and_see


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def flowers(rows=120):
    """Three classes on two inputs of very different scale, the third of no use."""
    rng = np.random.default_rng(0)
    kinds = ["setosa", "rosa, wild", "λίλιον"]
    for row in range(rows):
        kind = row % 3
        yield [rng.normal(1e4 * kind, 500), rng.normal(1e-3 * (kind == 1), 1e-4), 7, kinds[kind]]


@pytest.fixture
def table(tmp_path):
    write(tmp_path / "flowers.csv", ["width", "petal", "constant", "kind"], flowers())
    return "flowers.csv"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_digits_by_default(run, tmp_path, seed):
    lines = run("train", "--seed", seed).stdout.splitlines()
    accuracy = re.fullmatch(r"test accuracy: (\d+\.\d) %", lines[-1])
    assert float(accuracy[1]) >= 97
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 100
    assert all(re.fullmatch(r"epoch +\d+/100  loss \d.*accuracy \d.* ms", line) for line in epochs)
    net = fastmlp.load(tmp_path / "model.npz")
    assert (net.sizes, net.seed, net.epochs_done) == ((64, 64, 10), seed, 100)
    X, y = digits.load()
    test = digits.stratified_split(y, seed=seed)[1]
    predicted = net.predict(X[test])
    assert accuracy[1] == f"{100 * np.mean(predicted == y[test]):.1f}"
    rows = [line.split() for line in lines if re.match(r" +\d +\d\.\d+ ", line)]
    assert [int(row[0]) for row in rows] == list(range(10))
    for digit, precision, recall, support in rows:
        of_class, named = y[test] == int(digit), predicted == int(digit)
        assert precision == f"{np.mean(of_class[named]):.3f}"
        assert recall == f"{np.mean(named[of_class]):.3f}"
        assert int(support) == of_class.sum()


def predictions(done):
    header, *rows = csv.reader(io.StringIO(done.stdout))
    return header, rows


def test_a_model_of_the_digits_predicts_pixels(run, tmp_path):
    run("train", "--epochs", 5, "--out", "digits.npz")
    X, _ = digits.load()
    pixels = (X[:20] * 16).astype(int)
    write(tmp_path / "pixels.csv", ["id", *digits.FEATURES], [[f"row {i}", *row] for i, row in enumerate(pixels)])
    header, rows = predictions(run("predict", "digits.npz", "pixels.csv"))
    assert header == ["prediction", *(f"p_{digit}" for digit in range(10))]
    net = fastmlp.load(tmp_path / "digits.npz")
    assert [int(row[0]) for row in rows] == net.predict(X[:20]).tolist()
    assert (np.array([row[1:] for row in rows], np.float32) == net.predict_proba(X[:20])).all()


def test_classes_of_ones_own(run, tmp_path, table):
    arguments = ["train", table, "--target", "kind", "--hidden", "16,8", "--epochs", 200, "--batch-size", 10]
    lines = run(*arguments).stdout.splitlines()
    assert lines[-1] == "test accuracy: 100.0 %"  # classes 20 standard deviations apart
    net = fastmlp.load(tmp_path / "model.npz")
    assert net.sizes == (3, 16, 8, 3)
    fresh = list(flowers(300))[120:]
    write(tmp_path / "fresh.csv", ["petal", "note", "constant", "width"], [[b, "?", c, a] for a, b, c, _ in fresh])
    header, rows = predictions(run("predict", "model.npz", "fresh.csv"))
    assert header == ["prediction", "p_rosa, wild", "p_setosa", "p_λίλιον"]
    assert [row[0] for row in rows] == [row[3] for row in fresh]
    probabilities = np.array([row[1:] for row in rows], float)
    assert [header[1 + best].removeprefix("p_") for best in probabilities.argmax(axis=1)] == [row[0] for row in rows]
    # each term is rounded to 9 digits after a softmax that is within 4 eps of 1
    assert (abs(probabilities.sum(axis=1) - 1) <= 4 * 2.0**-23 + 3e-9).all()


def test_values_of_ones_own(run, tmp_path):
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (400, 2)) * [1, 1e6]
    y = 5000 + 300 * X[:, 0] - 2e-4 * X[:, 1]
    write(tmp_path / "t.csv", ["a", "b", "price"], np.column_stack([X, y]).tolist())
    lines = run("train", "t.csv", "--target", "price", "--learning-rate", "0.01", "--seed", 3).stdout.splitlines()
    score = float(re.fullmatch(r"test R2: (\d\.\d+)", lines[-1])[1])
    error = float(re.search(r"test RMSE: (\S+) \(in the units of 'price'\)", lines[-2])[1])
    assert score > 0.99  # the target is linear and without noise
    header, rows = predictions(run("predict", "model.npz", "t.csv"))
    assert header == ["prediction"]
    predicted = np.array(rows, float)[:, 0]
    test = digits.stratified_split(np.zeros(400), seed=3)[1]
    squares = (predicted[test] - y[test]) ** 2
    assert error == float(f"{np.sqrt(squares.mean()):.4g}")
    assert score == float(f"{1 - squares.sum() / ((y[test] - y[test].mean()) ** 2).sum():.3f}")


def test_task_chooses_between_classes_and_values(run, tmp_path):
    write(tmp_path / "t.csv", ["a", "y"], [[i, i % 5] for i in range(60)])
    assert "test accuracy" in run("train", "t.csv", "--target", "y", "--epochs", 1).stdout
    assert "test R2" in run("train", "t.csv", "--target", "y", "--epochs", 1, "--task", "regression").stdout
    header, rows = predictions(run("predict", "model.npz", "t.csv"))
    assert header == ["prediction"]
    assert len(rows) == 60


def test_standardising_uses_the_training_rows_alone(run, tmp_path):
    rows = [[float(i), i % 2] for i in range(40)]
    train, test = digits.stratified_split([row[1] for row in rows], seed=0)
    for row in test:
        rows[row][0] = 1e6
    write(tmp_path / "t.csv", ["a", "y"], rows)
    run("train", "t.csv", "--target", "y", "--epochs", 1)
    metadata = fastmlp.load(tmp_path / "model.npz").metadata
    values = np.array([rows[row][0] for row in train])
    assert metadata["mean"] == [values.mean()]
    assert metadata["scale"] == pytest.approx([values.std()], rel=1e-14)  # 30 terms, each off by an ulp at most


def test_the_same_seed_makes_the_same_file(run, tmp_path, table):
    arguments = ["train", table, "--target", "kind", "--epochs", 3]
    for name, seed in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2)):
        run(*arguments, "--seed", seed, "--out", name)
    files = [(tmp_path / name).read_bytes() for name in ("a.npz", "b.npz", "c.npz")]
    assert files[0] == files[1] != files[2]


def test_info_names_what_a_user_needs(run, table):
    run("train", table, "--target", "kind", "--hidden", "5", "--epochs", 2, "--learning-rate", "0.025")
    shown = run("info", "model.npz").stdout
    for wanted in ("3-5-3", "38 parameters", "float32", "relu", "2 epochs", "learning_rate=0.025", "target     kind"):
        assert wanted in shown
    assert "width, petal, constant" in shown
    assert "rosa, wild" in shown


def test_info_of_a_network_that_was_not_made_here(run, tmp_path):
    fastmlp.SiameseMLP([7, 4]).save(tmp_path / "pairs.npz")
    shown = run("info", "pairs.npz").stdout
    assert "SiameseMLP 7-4-1" in shown
    assert "37 parameters" in shown


def test_version_and_help(run):
    assert run("--version").stdout == f"fastmlp {fastmlp.__version__}\n"
    assert "predict" in run("--help").stdout
    shown = run("train", "--help").stdout
    for option in ("--target", "--task", "--hidden", "--epochs", "--batch-size", "--learning-rate", "--seed", "--out"):
        assert option in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "'fly'"),
        (["train", "--epochs", "0"], "--epochs: '0'"),
        (["train", "--epochs", "1.5"], "--epochs: '1.5'"),
        (["train", "--batch-size", "-1"], "--batch-size"),
        (["train", "--hidden", "64,x"], "--hidden: 'x'"),
        (["train", "--hidden", ""], "--hidden"),
        (["train", "--hidden", "999999999999"], "--hidden"),
        (["train", "--learning-rate", "0"], "--learning-rate: '0'"),
        (["train", "--learning-rate", "nan"], "--learning-rate: 'nan'"),
        (["train", "--learning-rate", "inf"], "--learning-rate: 'inf'"),
        (["train", "--seed", "-1"], "--seed"),
        (["train", "--seed", str(2**64)], "--seed"),
        (["train", "--surplus"], "--surplus"),
        (["train", "--target", "y"], "--target"),
        (["train", "flowers.csv"], "--target"),
        (["train", "--task", "regression"], "--task"),
        (["train", "--task", "clustering"], "clustering"),
        (["train", "none.csv", "--target", "kind"], "none.csv: No such file"),
        (["train", ".", "--target", "kind"], "Is a directory"),
        (["train", "flowers.csv", "--target", "Kind"], "no column 'Kind'"),
        (["train", "flowers.csv", "--target", "width", "--task", "regression"], "line 2, column 'kind': 'setosa'"),
        (["train", "flowers.csv", "--target", "kind", "--task", "regression"], "line 2, column 'kind': 'setosa'"),
        (["train", "--out", "model"], "--out model: wanted a file name that ends in .npz"),
        (["train", "--out", "none/model.npz"], "none/model.npz: No such file"),
        (["train", "--out", "folder.npz"], "folder.npz"),
        (["train", "--out", "flowers.csv/model.npz"], "flowers.csv/model.npz"),
        (["predict", "none.npz", "flowers.csv"], "none.npz: No such file"),
        (["predict", "flowers.csv", "flowers.csv"], "flowers.csv: "),
        (["predict", "bare.npz", "flowers.csv"], "bare.npz: "),
        (["predict", "bare.npz"], "DATA.csv"),
        (["info", "flowers.csv"], "flowers.csv: "),
        (["info", "folder.npz"], "folder.npz"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_one_line(refused, tmp_path, table, arguments, message):
    (tmp_path / "folder.npz").mkdir()
    fastmlp.MLP([4, 2]).save(tmp_path / "bare.npz")
    refused(message, *arguments)


def test_bad_tables_are_told_apart(refused, tmp_path, table, run):
    run("train", table, "--target", "kind", "--epochs", 1)
    bad = {
        "": "empty file",
        "width,petal,constant,kind\n": "no rows",
        "width,petal,kind\n1,2,a\n3,4,b\n": "no column 'constant'",
        "width,petal,constant,kind\n1,2,3,a\n1,two,3,a\n": "line 3, column 'petal': 'two'",
        "width,petal,constant,kind\n1,2,3,a\n1,,3,a\n": "line 3, column 'petal': an empty cell",
        "width,petal,constant,kind\n1,1e39,3,a\n": "line 2, column 'petal': 1e+39; too far",
    }
    for number, (content, message) in enumerate(bad.items()):
        path = tmp_path / f"{number}.csv"
        path.write_text(content)
        refused(message, "predict", "model.npz", path.name)
    for content, message in (
        ("a,y\n1,x\n2,y\n", "2 rows are too few"),
        ("a,y\n1,x\n2,x\n", "one class only"),
        ("a,y\n1,1.5\n2,1.5\n", "1.5 in every row"),
    ):
        path.write_text(content)
        refused(message, "train", path.name, "--target", "y")


def test_a_model_that_could_not_be_saved_is_an_error_before_training(refused, tmp_path):
    write(tmp_path / "t.csv", ["a", "y"], [[i, "x" * 60_000 + str(i % 2)] for i in range(20)])
    refused("net.metadata is too large", "train", "t.csv", "--target", "y", "--epochs", 1)
    refused("301 layers", "train", "--hidden", ",".join(["1"] * 300))


def test_a_training_that_diverges_is_an_error(run, tmp_path, table):
    done = run("train", table, "--target", "kind", "--learning-rate", "1e30", status=2)
    assert re.fullmatch(r"fastmlp: error: the loss is not finite in epoch \d+, step \d+; .+\n", done.stderr)
    assert os.listdir(tmp_path) == [table]


def test_a_test_row_without_class_is_an_error_before_the_model_is_written(run, tmp_path):
    """Inputs so large that hidden units overflow, for outputs of inf - inf with the weights of this seed."""
    rows = [[i % 7, i % 5, "xyz"[i % 3]] for i in range(40)]
    rows[8], rows[19], rows[29] = [3e38, 3e38, "x"], [-3e38, 3e38, "y"], [3e38, -3e38, "z"]
    write(tmp_path / "t.csv", ["a", "b", "y"], rows)
    done = run("train", "t.csv", "--target", "y", "--epochs", 2, "--seed", 1, status=2)
    assert re.fullmatch(r"fastmlp: error: the outputs for row \d of X are NaN: it has no class\n", done.stderr)
    assert os.listdir(tmp_path) == ["t.csv"]


def test_values_near_the_end_of_float64(run, tmp_path):
    write(tmp_path / "t.csv", ["a", "b", "y"], [[1, 2, -1e308], [3, 6, 5e-324], [7, 8, 1]])
    run("train", "t.csv", "--target", "y", "--epochs", 1, "--hidden", 2)
    rows = predictions(run("predict", "model.npz", "t.csv"))[1]
    assert "inf" in [row[0] for row in rows]
    rows = [[-1e308, 8, 1], [3, 4, 1], [1e39, 6, 0], [7, 8, 1], [-1e308, 2, 0]]
    write(tmp_path / "t.csv", ["a", "b", "y"], rows + rows[1:4])  # a mean of -1e308 itself
    run("train", "t.csv", "--target", "y", "--epochs", "1")
    run("predict", "model.npz", "t.csv")


def test_a_model_edited_by_hand_is_an_error(refused, tmp_path, table, run):
    run("train", table, "--target", "kind", "--epochs", 1)
    net = fastmlp.load(tmp_path / "model.npz")
    good = json.dumps(net.metadata)
    for name in net.metadata:
        for value in (None, [], [1], ["a"] * 3, {"a": 1}, "text", -1, [0.0, 1.0, 0.0], [1, 2, "x"]):
            net.metadata = json.loads(good)
            if net.metadata[name] == value or (name, value) in [("target", "text"), ("target_mean", -1)]:
                continue
            if name == "mean" and value == [0.0, 1.0, 0.0]:
                continue
            net.metadata[name] = value
            net.save(tmp_path / "edited.npz")
            assert fastmlp.load(tmp_path / "edited.npz").metadata == net.metadata
            with pytest.raises(ValueError, match=rf"{name}|task|needs"):
                preprocessing_of(net)
    refused("edited.npz: its metadata", "predict", "edited.npz", table)
    net.metadata = {"surplus": 1}
    net.save(tmp_path / "edited.npz")
    refused("edited.npz: its metadata", "predict", "edited.npz", table)
    assert "surplus" in run("info", "edited.npz").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    for arguments in (["train", "--epochs", "3000"], ["info", "model.npz"]):
        fastmlp.MLP([4, 2]).save(tmp_path / "model.npz")
        command = [sys.executable, "-m", "fastmlp", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
        process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path):
    fastmlp.MLP([4, 2]).save(tmp_path / "model.npz")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fastmlp", "info", "model.npz"]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(rb"fastmlp: error: .*No space left.*\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
def test_ctrl_c_stops_quietly_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "fastmlp", "train", "--epochs", "100000000"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while not process.stdout.readline().startswith(b"epoch"):
        pass
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 130
    assert os.listdir(tmp_path) == []
    process.stdout.close()
    process.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize("command", ["train", "info model.npz", "predict model.npz x.csv"])
def test_a_closed_output_is_one_line(tmp_path, command):
    line = f"{sys.executable} -m fastmlp {command} >&-"
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "fastmlp: error: standard output is closed\n")
    assert os.listdir(tmp_path) == []


def test_a_target_without_a_name_is_named(refused, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    refused("no column ''", "train", "t.csv", "--target", "")
