"""Metrics: equal to scikit-learn's, and to what fit reports."""

import numpy as np
import pytest

from fastmlp import MLP, EarlyStopping, metrics

sklearn = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_classes(rng, n_classes):
    for rows in (9, 30, 1000):
        true, pred = rng.integers(0, n_classes, rows), rng.integers(0, n_classes, rows)
        true[:2] = 0, n_classes - 1  # so that it is not taken for binary
        pred = np.where(rng.random(rows) < 0.5, true, pred)
        average = "binary" if n_classes == 2 else "macro"
        assert metrics.accuracy(true, pred) == sklearn.accuracy_score(true, pred)
        assert metrics.f1(true, pred) == pytest.approx(sklearn.f1_score(true, pred, average=average), rel=1e-14)
        if set(pred) <= set(true):  # scikit-learn warns otherwise
            wanted = sklearn.balanced_accuracy_score(true, pred)
            assert metrics.balanced_accuracy(true, pred) == pytest.approx(wanted, rel=1e-14)


def test_several_binary_outputs_are_averaged(rng):
    true, pred = rng.integers(0, 2, (50, 4)), rng.integers(0, 2, (50, 4))
    assert metrics.accuracy(true, pred) == (true == pred).mean()
    assert metrics.f1(true, pred) == pytest.approx(sklearn.f1_score(true, pred, average="macro"), rel=1e-14)
    each = [sklearn.balanced_accuracy_score(true[:, k], pred[:, k]) for k in range(4)]
    assert metrics.balanced_accuracy(true, pred) == pytest.approx(np.mean(each), rel=1e-14)


@pytest.mark.parametrize("shape", [(1,), (40,), (40, 1), (40, 3), (30, 20)])
def test_values(rng, shape):
    true, pred = rng.normal(size=shape), rng.normal(size=shape)
    assert metrics.mean_absolute_error(true, pred) == pytest.approx(sklearn.mean_absolute_error(true, pred), rel=1e-13)
    wanted = sklearn.root_mean_squared_error(true, pred)
    assert metrics.root_mean_squared_error(true, pred) == pytest.approx(wanted, rel=1e-13)
    if shape[0] > 1:
        assert metrics.r2(true, pred) == pytest.approx(sklearn.r2_score(true, pred), rel=1e-12)


def test_r2_of_constant_outputs():
    true = np.ones((5, 2))
    assert metrics.r2(true, true) == 1
    assert metrics.r2(true, true * np.array([1, 2])) == 0.5


def test_class_1_absent():
    assert metrics.f1([0, 0], [0, 0]) == 0
    assert metrics.f1([0, 0], [1, 0]) == 0


def test_sums_run_from_the_first_to_the_last(rng):
    """So that no version of NumPy decides a bit: as a plain loop has it."""
    true, pred = rng.normal(size=1000), rng.normal(size=1000)
    total = 0.0
    for a, b in zip(true.tolist(), pred.tolist(), strict=True):
        total += abs(a - b)
    assert metrics.mean_absolute_error(true, pred) == total / 1000


def test_shapes_must_agree():
    for bad in ([[1, 2]], [1, 2, 3], [], 3):
        with pytest.raises(ValueError, match=r"y_true has shape .* and y_pred"):
            metrics.accuracy([1, 2], bad)
    with pytest.raises(ValueError, match="y_true has shape"):
        metrics.r2([], [])


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "binary_cross_entropy", "squared_error"])
def test_fit_reports_the_metric_of_what_predict_says(rng, loss):
    X = rng.normal(size=(80, 3)).astype("f")
    y = {
        "softmax_cross_entropy": rng.integers(0, 3, 80),
        "binary_cross_entropy": rng.integers(0, 2, 80),
        "squared_error": rng.normal(size=80),
    }[loss]
    net = MLP([3, 8, 3 if loss == "softmax_cross_entropy" else 1], loss=loss)
    names = [name for name, known in metrics.METRICS.items() if (known.of == "values") == (loss == "squared_error")]
    for metric in (*names, lambda true, pred: float(true.ndim == pred.ndim == 1) + (true == pred).mean()):
        stopping = EarlyStopping(metric, patience=100)
        history = net.fit(X, y, epochs=1, validation_data=(X, y), early_stopping=stopping)
        predicted = net.predict(X).reshape(len(X))
        function = metric if callable(metric) else metrics.METRICS[metric].function
        expected = function(y.astype("f") if loss == "squared_error" else y, predicted)
        assert history.val_metric == [expected]
        assert history.metric == (metric if isinstance(metric, str) else "<lambda>")


def test_metrics_that_do_not_suit_are_refused(rng):
    X = np.ones((4, 2))
    for loss, y, metric, other in [
        ("squared_error", np.ones((4, 2)), "accuracy", "r2"),
        ("softmax_cross_entropy", [0, 1, 0, 1], "r2", "f1"),
        ("binary_cross_entropy", np.ones((4, 2)), "root_mean_squared_error", "balanced_accuracy"),
    ]:
        net = MLP([2, 2], loss=loss)
        with pytest.raises(ValueError, match=f"metric is '{metric}'.*{other}"):
            net.fit(X, y, validation_data=(X, y), early_stopping=EarlyStopping(metric))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match=r"metric is 'acuracy' \(did you mean 'accuracy'\?\).*mean_absolute_error"):
        EarlyStopping(metric="acuracy")
    with pytest.raises(ValueError, match="metric is None"):
        EarlyStopping(metric=None)


@pytest.mark.parametrize("metric", [metrics.r2, metrics.mean_absolute_error, metrics.root_mean_squared_error])
def test_a_target_that_is_nan_is_no_constant(metric):
    assert np.isnan(metric([1.0, np.nan, 3.0], [1.0, 2.0, 3.0]))


def test_a_constant_whose_mean_is_rounded_is_constant():
    assert metrics.r2([0.1] * 10, [0.2] * 10) == 0
    assert metrics.r2([0.1] * 10, [0.1] * 10) == 1
