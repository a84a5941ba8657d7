"""fit and one-row predict_proba of fastmlp's estimators for scikit-learn beside its own: the same model twice."""

import warnings
from functools import partial
from timeit import timeit

import numpy as np
import peers
import pytest
from measure import per_call, race

from fastmlp import digits

SHAPES = {  # rows, columns, classes, epochs: a default fit for the digits, some epochs of one for what takes longer
    "digits, 1797 x 64": (1797, 64, 10, 200),
    "32561 x 107, 2 classes": (32561, 107, 2, 20),
    "10000 x 784, 10 classes": (10000, 784, 10, 20),
    "32561 x 107, no zeros": (32561, 107, 2, 20),
    "10000 x 784, no zeros": (10000, 784, 10, 20),
}


def data(case, dtype):
    rows, columns, classes, _ = SHAPES[case]
    if case.startswith("digits"):
        X, y = digits.load()
        return X.astype(dtype), y
    rng = np.random.default_rng(0)
    if case.endswith("no zeros"):
        X = rng.standard_normal((rows, columns))
    elif columns == 784:  # a fifth of the pixels has ink
        X = rng.uniform(size=(rows, columns))
        X *= rng.uniform(size=X.shape) < 0.2
    else:  # six numbers and eight one-hot encoded categories, as the census table that it is the size of has
        categories = [np.eye(n)[rng.integers(0, n, rows)] for n in (9, 16, 7, 15, 6, 5, 2, 41)]
        X = np.hstack([rng.standard_normal((rows, 6)), *categories])
    X = X.astype(dtype)
    return X, (X @ rng.standard_normal((columns, classes)) + rng.standard_normal((rows, classes))).argmax(axis=1)


def models(epochs=200):
    peers.require("scikit-learn")
    from sklearn.neural_network import MLPClassifier

    from fastmlp.sklearn import MLPClassifier as Ours

    return Ours(random_state=0, max_iter=epochs), MLPClassifier(random_state=0, max_iter=epochs)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", SHAPES)
def test_estimator_fit(benchmark, case, dtype):
    X, y = data(case, dtype)
    ours, theirs = models(1 if benchmark.disabled else SHAPES[case][3])

    timers = [partial(timeit, partial(model.fit, X, y), number=1) for model in (ours, theirs)]
    race(benchmark, "estimators: fit", f"{case}, {dtype}", "scikit-learn", *timers, rounds=3)
    # the same model; rounding grows over the epochs of a whole fit, most where the steps are large
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(
        ours.loss_curve_[:20], theirs.loss_curve_[:20], rtol=1e-3 if dtype == "float32" else 1e-9
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", [case for case in SHAPES if not case.endswith("no zeros")])
def test_estimator_row(benchmark, case, dtype):
    X, y = data(case, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (model.fit(X[:1000], y[:1000]) for model in models(epochs=2))
    row = X[:1]
    np.testing.assert_allclose(ours.predict_proba(row), theirs.predict_proba(row), rtol=1e-3)
    timers = [per_call(benchmark, model.predict_proba, row) for model in (ours, theirs)]
    race(benchmark, "estimators: predict_proba of one row", f"{case}, {dtype}", "scikit-learn", *timers)
