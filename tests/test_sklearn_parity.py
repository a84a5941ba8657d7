"""fastmlp's estimators are scikit-learn's: the same weights, losses and predictions after 20 epochs, up to rounding.

The bound is 1e-11 in float64 and 1e-3 in float32, of an array's largest entry, or 100 times what scikit-learn itself
moves when every number of X moves by an ulp: training multiplies a rounding by the thousands where it is unstable.
"""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn import neural_network

from fastmlp import sklearn as fastmlp_sklearn

EPOCHS, ROWS = 20, 150
BOUND = {"float64": 1e-11, "float32": 1e-3}
C, R = "MLPClassifier", "MLPRegressor"

# estimator, targets, parameters; "how" (fit), "weights" (none), "rows", "matrix" and "scale" are the test's own
CASES = {
    **{
        f"{solver} {activation} {targets}": (C, targets, {"solver": solver, "activation": activation})
        for solver in ("adam", "sgd")
        for activation in ("identity", "logistic", "tanh", "relu")
        for targets in ("binary", "classes", "labels")
    },
    **{
        f"{solver} {activation} {targets}": (R, targets, {"solver": solver, "activation": activation})
        for solver in ("adam", "sgd")
        for activation in ("identity", "logistic", "tanh", "relu")
        for targets in ("value", "values")
    },
    "one class": (C, "one", {}),
    "poisson adam": (R, "counts", {"loss": "poisson"}),
    "poisson sgd weighted": (R, "counts", {"loss": "poisson", "solver": "sgd", "weights": "random"}),
    "poisson multi-output": (R, "many counts", {"loss": "poisson"}),
    "no hidden layer": (C, "classes", {"hidden_layer_sizes": ()}),
    "two hidden layers": (C, "classes", {"hidden_layer_sizes": (20, 7), "learning_rate_init": 0.01}),
    "large layers": (C, "classes", {"hidden_layer_sizes": (130, 70)}),
    "alpha 0": (C, "classes", {"alpha": 0}),
    "alpha 2": (C, "binary", {"alpha": 2.0}),
    "alpha 2 values": (R, "values", {"alpha": 2.0}),
    "all rows in a step": (C, "classes", {"batch_size": "auto"}),
    "one row a step": (C, "binary", {"batch_size": 1, "rows": 40}),
    "no shuffling": (C, "classes", {"shuffle": False}),
    "no shuffling sgd": (R, "value", {"shuffle": False, "solver": "sgd"}),
    "betas": (C, "classes", {"beta_1": 0.0, "beta_2": 0.5, "epsilon": 1e-3}),
    "no momentum": (C, "classes", {"solver": "sgd", "momentum": 0.0}),
    "plain momentum": (C, "classes", {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05}),
    "momentum 1": (C, "classes", {"solver": "sgd", "momentum": 1.0}),
    "invscaling": (C, "classes", {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5}),
    "invscaling values": (R, "values", {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2}),
    "adaptive": (C, "classes", {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2}),
    "adaptive value": (R, "value", {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1}),
    "stops by tol": (C, "classes", {"tol": 0.05, "n_iter_no_change": 2}),
    "early stopping binary": (C, "binary", {"early_stopping": True, "n_iter_no_change": 3}),
    "early stopping classes": (C, "classes", {"early_stopping": True, "validation_fraction": 0.3}),
    "early stopping labels": (C, "labels", {"early_stopping": True, "learning_rate_init": 0.01}),
    "early stopping value": (R, "value", {"early_stopping": True, "learning_rate_init": 0.01}),
    "early stopping sgd adaptive": (
        C, "classes", {"early_stopping": True, "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1}),
    "early stopping weighted": (R, "values", {"early_stopping": True, "weights": "random"}),
    "weights binary": (C, "binary", {"weights": "random"}),
    "weights classes": (C, "classes", {"weights": "some 0"}),
    "weights labels": (C, "labels", {"weights": "random", "solver": "sgd"}),
    "weights value": (R, "value", {"weights": "some 0", "alpha": 0.1}),
    "weights below 0": (C, "classes", {"weights": "negative", "solver": "sgd"}),
    "weights values": (R, "values", {"weights": "whole", "solver": "sgd"}),
    "partial_fit binary": (C, "binary", {"how": "partial_fit"}),
    "partial_fit classes": (C, "classes", {"how": "partial_fit", "solver": "sgd", "learning_rate": "invscaling"}),
    "partial_fit labels": (C, "labels", {"how": "partial_fit", "weights": "random"}),
    "partial_fit values": (R, "values", {"how": "partial_fit"}),
    "fit, then partial_fit": (C, "classes", {"how": "both"}),
    "sgd goes on after lbfgs": (R, "value", {
        "solver": "sgd",
        "how": (("fit", {}), ("fit", {"solver": "lbfgs"}), ("partial_fit", {"solver": "sgd"}), ("partial_fit", {}))}),
    "adam goes on in lbfgs's dtype": (R, "value", {
        "warm_start": True, "learning_rate_init": 0.01,
        "how": (("partial_fit", {}), ("partial_fit", {}), ("fit", {"solver": "lbfgs", "max_iter": 2}),
                ("partial_fit", {"solver": "adam"}), ("partial_fit", {}))}),
    "early stopping after lbfgs": (C, "binary", {
        "early_stopping": True,
        "how": (("fit", {}), ("fit", {"solver": "lbfgs", "max_iter": 1}),
                ("fit", {"solver": "adam", "warm_start": True, "learning_rate_init": 1e-9, "max_iter": 5}))}),
    "alpha in float32": (C, "classes", {"solver": "lbfgs", "alpha": np.float32(0.3)}),
    "lbfgs of many rows": (R, "value", {"solver": "lbfgs", "rows": 3000}),
    "warm start classes": (C, "classes", {"warm_start": True, "how": "twice"}),
    "warm start value": (R, "value", {"warm_start": True, "how": "twice", "solver": "sgd"}),
    "warm start early stopping": (C, "classes", {"warm_start": True, "how": "twice", "early_stopping": True}),
    "lbfgs binary": (C, "binary", {"solver": "lbfgs", "max_iter": 10}),
    "lbfgs classes": (C, "classes", {"solver": "lbfgs", "activation": "tanh", "weights": "random"}),
    "lbfgs labels": (C, "labels", {"solver": "lbfgs", "alpha": 0.1}),
    "lbfgs values": (R, "values", {"solver": "lbfgs", "activation": "logistic"}),
    "lbfgs counts": (R, "counts", {"solver": "lbfgs", "loss": "poisson"}),
    "lbfgs warm start": (R, "value", {"solver": "lbfgs", "warm_start": True, "how": "twice"}),
    "csr": (C, "classes", {"matrix": "csr"}),
    "csc sgd weighted": (R, "values", {"matrix": "csc", "solver": "sgd", "weights": "random"}),
    "csr early stopping": (C, "binary", {"matrix": "csr", "early_stopping": True}),
    "csr lbfgs": (C, "labels", {"matrix": "csr", "solver": "lbfgs"}),
    "columns": (C, "classes", {"matrix": "F"}),
    "saturated binary": (C, "binary", {"scale": 30}),
    "saturated labels": (C, "labels", {"scale": 30, "solver": "sgd", "learning_rate_init": 1e-4}),
    "saturated lbfgs": (C, "binary", {"scale": 30, "solver": "lbfgs"}),
    "changed under early stopping": (C, "classes", {"warm_start": True, "how": "changed", "early_stopping": True}),
}  # fmt: skip


def targets(kind, X, rng):
    z = X[:, :3] @ rng.normal(size=(3, 4)) + rng.normal(size=(len(X), 4))
    return {
        "binary": z[:, 0] > 0,
        "classes": z.argmax(axis=1),
        "labels": (z > 0.5).astype(int),
        "one": np.zeros(len(X), int),
        "value": z[:, 0],
        "values": z,
        "counts": rng.poisson(np.exp(z[:, 0] / 3)),
        "many counts": rng.poisson(np.exp(z / 3)).astype(float),
    }[kind]


def weights(kind, rows, rng):
    return {
        "none": None,
        "random": rng.uniform(0, 3, rows),
        "some 0": rng.uniform(0, 3, rows) * rng.integers(0, 2, rows),
        "negative": -rng.uniform(-1, 3, rows),
        "whole": rng.integers(1, 4, rows),
    }[kind]


def trained(module, estimator, parameters, X, y, sample_weight, how):
    model = getattr(module, estimator)(**parameters)
    given = {} if sample_weight is None else {"sample_weight": sample_weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(how, tuple):
            for method, changes in how:
                getattr(model.set_params(**changes), method)(X, y)
            return model
        if how != "partial_fit":
            model.fit(X, y, **given)
        if how == "twice":
            model.fit(X, y, **given)
        if how == "changed":
            model = pickle.loads(pickle.dumps(model)).set_params(activation="tanh").fit(X, y, **given)
        if how in ("partial_fit", "both"):
            for _ in range(EPOCHS):
                known = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
                classes = {"classes": known} if estimator == C else {}
                model.partial_fit(X, y, **given, **classes)
    return model


def results(model, X):
    """All that must agree, by name."""
    found = {f"coefs_[{i}]": coef for i, coef in enumerate(model.coefs_)}
    found |= {f"intercepts_[{i}]": intercept for i, intercept in enumerate(model.intercepts_)}
    found |= {"loss_": model.loss_, "predict": model.predict(X)}
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
        if getattr(model, name, None) is not None:
            found[name] = getattr(model, name)
    if hasattr(model, "predict_proba"):
        found["predict_proba"] = model.predict_proba(X)
        if found["predict_proba"].all():  # no logarithm of 0
            found["predict_log_proba"] = model.predict_log_proba(X)
    return {name: np.asarray(value) for name, value in found.items()}


def distance(a, b):
    if a.shape != b.shape or a.dtype.kind in "biu":
        return 0.0 if a.shape == b.shape and (a == b).all() else np.inf
    return float(np.max(np.abs(a.astype(float) - b)) / max(np.max(np.abs(b)), 1e-300))


def compared(name, dtype):
    """For each result of a case its distance from scikit-learn's, and how far that may be."""
    estimator, kind, parameters = CASES[name]
    parameters = {"hidden_layer_sizes": (12,), "batch_size": 32, "max_iter": EPOCHS, "random_state": 3, **parameters}
    own = {"how": "fit", "weights": "none", "rows": ROWS, "matrix": "C", "scale": 1}
    own = {name: parameters.pop(name, default) for name, default in own.items()}
    rng = np.random.default_rng(list(name.encode()))
    X = rng.normal(size=(own["rows"], 9))
    y, sample_weight = targets(kind, X, rng), weights(own["weights"], len(X), rng)
    convert = {"csr": sparse.csr_array, "csc": sparse.csc_array, "F": np.asfortranarray, "C": np.asarray}[own["matrix"]]
    if sparse.issparse(convert(X)):
        X[rng.uniform(size=X.shape) < 0.7] = 0
    X = (own["scale"] * X).astype(dtype)
    beside = np.where(X == 0, X, np.nextafter(X, np.where(rng.uniform(size=X.shape) < 0.5, -9, 9).astype(dtype)))
    ours, theirs, moved = (
        trained(module, estimator, parameters, convert(data), y, sample_weight, own["how"])
        for module, data in ((fastmlp_sklearn, X), (neural_network, X), (neural_network, beside))
    )
    assert (ours.n_iter_, getattr(ours, "t_", 0)) == (theirs.n_iter_, getattr(theirs, "t_", 0))
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert a.dtype == b.dtype
    ours, theirs, moved = results(ours, convert(X)), results(theirs, convert(X)), results(moved, convert(X))
    assert ours.keys() == theirs.keys()
    assert ours["predict"].dtype == theirs["predict"].dtype
    # where scikit-learn ends early for a moved X, or has another class, there is nothing to measure by
    sways = {key: distance(moved[key], value) for key, value in theirs.items()}
    bound = BOUND[np.dtype(dtype).name]
    return {
        key: (distance(ours[key], value), max(bound, 100 * sways[key]) if np.isfinite(sways[key]) else bound)
        for key, value in theirs.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_the_same_model(name, dtype):
    found = compared(name, dtype)
    assert {key: pair for key, pair in found.items() if not pair[0] <= pair[1]} == {}
