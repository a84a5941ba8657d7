"""What is there to see: summaries, lines and bars of progress, pictures."""

import html.parser
import re
import subprocess
import sys
import types

import numpy as np
import oracle
import pytest
from child import environment

import fastmlp
from fastmlp import MLP, SGD, History, SiameseMLP, digits


class Cells(html.parser.HTMLParser):
    """The rows of a table; every element must be closed."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@pytest.mark.parametrize("bias", [True, False])
def test_summary(bias, dtype):
    net = MLP([10, 2000, 30, 2], activation=["relu", "tanh"], bias=bias, dtype=dtype)
    summary = net.summary()
    title, head, *layers, total, memory = str(summary).splitlines()
    assert repr(summary) == str(summary)
    assert title == f"MLP, {dtype}, loss softmax_cross_entropy"
    assert head.split() == ["layer", "inputs", "outputs", "activation", "parameters"]
    assert [line.split()[:4] for line in layers] == [
        ["1", "10", "2,000", "relu"],
        ["2", "2,000", "30", "tanh"],
        ["3", "30", "2", "identity"],
    ]
    assert len({len(line) for line in (head, *layers, total)}) == 1  # right-aligned at the end
    counts = [int(line.split()[-1].replace(",", "")) for line in layers]
    assert counts == [W.size + bias * len(W) for W in net.weights]
    assert int(total.split()[-1].replace(",", "")) == sum(counts) == net.n_params
    n = net.params.nbytes / 1e3
    assert memory == f"parameters with padding {n:.1f} kB, gradients {n:.1f} kB"
    net.fit(np.zeros((2, 10)), [0, 1], epochs=1)
    n *= 2
    size = f"{n:.1f} kB" if n < 1000 else f"{n / 1e3:.1f} MB"
    assert str(net.summary()).endswith(f", state of Adam {size}")
    table = Cells(summary._repr_html_())
    assert table.rows[0] == head.split()
    assert [cells[:1] + cells[-1:] for cells in table.rows[1:-1]] == [
        [str(i + 1), f"{c:,}"] for i, c in enumerate(counts)
    ]


def test_summary_shows_dropout():
    lines = str(MLP([3, 8, 7, 2], dropout=[0.25, 0]).summary()).splitlines()
    assert [line.split()[-2] for line in lines[1:5]] == ["dropout", "0.25", "relu", "identity"]


def test_summary_of_pairs_names_the_head():
    lines = str(SiameseMLP([3, 8, 4]).summary()).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "head"]


def test_a_line_an_epoch(rng, capsys):
    X, t = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    history = MLP([4, 3]).fit(X, t, epochs=12, validation_data=(X, t), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    for epoch, line in enumerate(lines):
        pattern = rf"epoch +{epoch + 1}/12  loss (\S+) +val_loss (\S+) +val_accuracy (\S+) +\S+ ms"
        found = [float(figure) for figure in re.fullmatch(pattern, line).groups()]
        wanted = [history.loss[epoch], history.val_loss[epoch], history.val_metric[epoch]]
        assert found == pytest.approx(wanted, rel=6e-4)
    assert {line.index("val_loss") for line in lines} == {lines[0].index("val_loss")}  # in columns


@pytest.mark.parametrize("rows", [30, 2000])
def test_a_bar(rng, capsys, rows):
    pytest.importorskip("tqdm")
    X, t = rng.normal(size=(rows, 4)), rng.integers(0, 3, rows)
    quiet, shown = (MLP([4, 8, 3]) for _ in range(2))
    history = quiet.fit(X, t, epochs=7, batch_size=10)
    assert shown.fit(X, t, epochs=7, batch_size=10, verbose="bar").loss == history.loss
    assert oracle.same(quiet.params, shown.params)
    last = capsys.readouterr().err.split("\r")[-1]
    assert "epoch 7/7: 100%" in last
    assert f"loss={history.loss[-1]:.4g}" in last


def test_other_words_for_verbose_are_refused():
    net = MLP([2, 2])
    for verbose in ("line", 2, None, [], np.ones(2)):
        call = lambda verbose=verbose: net.fit(np.eye(2), [0, 1], verbose=verbose)  # noqa: E731
        oracle.refused(net, call, ValueError, "^verbose is .*; it must be True, False or 'bar'")


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def drawn(line):
    return line.get_xdata().tolist(), line.get_ydata().tolist()


HISTORY = History(loss=[3.0, 2.0, 1.5], val_loss=[3.5, 2.5, 2.5], val_metric=[0.1, 0.5, 0.6], metric="f1")


def test_history_plot(pyplot):
    losses, metric = HISTORY.plot()
    assert [drawn(line) for line in losses.lines] == [([1, 2, 3], HISTORY.loss), ([1, 2, 3], HISTORY.val_loss)]
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["loss", "val_loss"]
    assert drawn(metric.lines[0]) == ([1, 2, 3], HISTORY.val_metric)
    assert (losses.get_xlabel(), losses.get_ylabel(), metric.get_ylabel()) == ("epoch", "loss", "val_f1")
    (alone,) = History(loss=[3.0]).plot()
    assert alone.get_legend() is None
    assert alone.lines[0].get_marker() == "o"  # one point has no line
    _, ax = pyplot.subplots()
    assert HISTORY.plot(ax) == (ax,)
    _, two = pyplot.subplots(2)
    assert HISTORY.plot(two) == tuple(two)
    assert [len(ax.lines) for ax in two] == [2, 1]
    two[0].figure.canvas.draw()
    assert len(History().plot()[0].lines) == 1  # of a fit of no epochs: an empty line


def test_loss_curve_display(pyplot):
    display = fastmlp.LossCurveDisplay.from_history(HISTORY, name="mine")
    assert display.ax_.figure is display.figure_
    assert drawn(display.line_)[1] == HISTORY.loss
    assert drawn(display.val_line_)[1] == HISTORY.val_loss
    assert display.line_.get_label() == "mine: loss"
    ax = display.ax_
    other = fastmlp.LossCurveDisplay(loss=[1.0, 2.0]).plot(ax, name="other", color="red")
    assert other.ax_ is ax
    assert (other.line_.get_color(), other.val_line_, other.line_.get_label()) == ("red", None, "other: loss")

    class Estimator:
        pass

    estimator = Estimator()
    with pytest.raises(ValueError, match=r"estimator is .*; it must be fitted, and have a history_ or a loss_curve_"):
        fastmlp.LossCurveDisplay.from_estimator(estimator)
    estimator.loss_curve_ = [5.0, 4.0]
    display = fastmlp.LossCurveDisplay.from_estimator(estimator)
    assert drawn(display.line_)[1] == [5, 4]
    assert display.line_.get_label() == "Estimator: loss"
    estimator.history_ = HISTORY
    assert drawn(fastmlp.LossCurveDisplay.from_estimator(estimator, name="").val_line_)[1] == HISTORY.val_loss


def tiles(picture, height, width, rows, columns):
    """The images of a mosaic, by the gaps between them."""
    down, across = (picture.shape[0] + 1) // rows, (picture.shape[1] + 1) // columns
    gap_rows, gap_columns = down - height, across - width
    assert gap_rows == gap_columns >= 1
    return [
        picture[r * down : r * down + height, c * across : c * across + width]
        for r in range(rows)
        for c in range(columns)
    ]


def test_plot_weights(pyplot, rng):
    net = MLP([12, 7, 2])
    net.weights[0][:] = rng.normal(size=(7, 12))
    ax = fastmlp.plots.plot_weights(net, (3, 4), units=[6, 2, 0], columns=2)
    image = ax.images[0].get_array().filled(np.nan)
    found = tiles(image, 3, 4, 2, 2)
    for tile, unit in zip(found, (6, 2, 0), strict=False):
        assert (tile == net.weights[0][unit].reshape(3, 4)).all()
    assert np.isnan(found[3]).all()
    limit = np.abs(net.weights[0][[6, 2, 0]]).max()
    assert ax.images[0].get_clim() == (-limit, limit)  # white is 0
    net.weights[0][2, 5] = np.nan
    limit = np.nanmax(np.abs(net.weights[0]))
    assert fastmlp.plots.plot_weights(net, (3, 4)).images[0].get_clim() == (-limit, limit)
    net.weights[0][2, 5] = 0
    for units, count in [(None, 7), (4, 4), (np.int64(4), 4)]:
        shown = fastmlp.plots.plot_weights(net, (3, 4), units=units).images[0].get_array().filled(np.nan)
        assert np.count_nonzero(~np.isnan(shown)) == count * 12
    colours = fastmlp.plots.plot_weights(net, (2, 2, 3), units=1).images[0].get_array()
    wanted = net.weights[0][0].reshape(2, 2, 3) / np.abs(net.weights[0][0]).max() / 2 + 0.5
    np.testing.assert_allclose(np.asarray(colours), wanted, rtol=1e-6)
    estimator = types.SimpleNamespace(coefs_=[np.array(net.weights[0].T)])
    again = fastmlp.plots.plot_weights(estimator, (2, 2, 3), units=1).images[0].get_array()
    assert oracle.same(np.asarray(again), np.asarray(colours))
    net.weights[0][:] = 0
    fastmlp.plots.plot_weights(net, (3, 4)).figure.canvas.draw()
    _, given = pyplot.subplots()
    assert fastmlp.plots.plot_weights(net, (3, 4), ax=given) is given


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"shape": (3, 5)}, "shape"), ({"shape": (12,)}, "shape"), ({"shape": (3, 2, 2)}, "shape"),
     ({"shape": 12}, "shape"), ({"shape": (3.0, 4)}, "shape"), ({"shape": (-3, -4)}, "shape"),
     ({"units": 8}, "units"), ({"units": [7]}, r"units\[0\]"), ({"units": []}, "units"), ({"columns": 0}, "columns")],
    ids=repr,
)  # fmt: skip
def test_plot_weights_checks(pyplot, settings, name):
    with pytest.raises(ValueError, match=f"^{name} is .*; it must "):
        fastmlp.plots.plot_weights(MLP([12, 7, 2]), **({"shape": (3, 4)} | settings))


def test_the_range_test_s_picture(pyplot):
    X, y = digits.load()
    found = MLP([64, 32, 10]).find_learning_rate(X, y, optimizer=SGD(), high=1e4)
    ax = found.plot()
    assert drawn(ax.lines[0]) == (found.rates.tolist(), found.losses.tolist())
    assert drawn(ax.lines[1])[1] == found.smoothed.tolist()
    assert ax.lines[2].get_xdata() == [found.suggestion] * 2
    assert ax.get_xscale() == "log"
    ax.figure.canvas.draw()
    assert MLP([1, 1], loss="squared_error").find_learning_rate([[0.0]], [0.0]).plot(ax) is ax


WITHOUT = """
import sys
sys.modules.update(matplotlib=None, tqdm=None)
import numpy as np, fastmlp
heavy = {"matplotlib", "tqdm", "json", "zipfile", "fastmlp.plots"}
assert not any(sys.modules.get(name) for name in heavy)
net = fastmlp.MLP([2, 2])
for use in (
    lambda: net.fit(np.eye(2), [0, 1], verbose="bar"),
    lambda: fastmlp.History().plot(),
    lambda: fastmlp.plots.plot_weights(net, (1, 2)),
    lambda: net.find_learning_rate(np.eye(2), [0, 1]).plot(),
    lambda: fastmlp.LossCurveDisplay(loss=[1]).plot(),
):
    try:
        use()
    except ImportError as error:
        print(error)
"""


def test_what_is_missing_is_named(tmp_path):
    command = [sys.executable, "-c", WITHOUT]
    found = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert found.stderr == ""
    bar, *pictures = found.stdout.splitlines()
    assert bar == "verbose='bar' needs tqdm: pip install 'fastmlp[progress]'"
    assert pictures == ["drawing needs Matplotlib: pip install 'fastmlp[plot]'"] * 4
