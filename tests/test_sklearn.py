"""fastmlp's estimators in scikit-learn's company: its own checks, its tools, what users do to a fitted model."""

import copy
import inspect
import pickle
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import oracle
import pytest
from child import environment

import fastmlp
from fastmlp import digits

pytest.importorskip("sklearn")

import joblib
import sklearn
from scipy import sparse
from sklearn import calibration, inspection, model_selection, neural_network, pipeline, preprocessing
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmlp import _sklearn_epochs
from fastmlp.sklearn import MLPClassifier, MLPRegressor

PAIRS = [(MLPClassifier, neural_network.MLPClassifier), (MLPRegressor, neural_network.MLPRegressor)]
both = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["MLPClassifier", "MLPRegressor"])
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.filterwarnings("ignore")  # the checks fit odd data on purpose, and look for the warnings that matter
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


@both
def test_parameters_and_defaults(ours, theirs):
    mine, wanted = ours().get_params(), theirs().get_params()
    assert {name: mine[name] for name in wanted} == wanted
    parameters = inspect.signature(ours).parameters
    for name in mine.keys() - wanted.keys():
        assert parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
    order = [name for name in parameters if name in wanted]
    assert order == list(inspect.signature(theirs).parameters)
    assert issubclass(ours, theirs)


@both
def test_what_is_defined_here_has_an_example(ours, theirs):
    for thing in (ours, *(method for name, method in vars(ours).items() if callable(method) and name[0] != "_")):
        assert ">>>" in thing.__doc__


def test_without_scikit_learn_the_error_names_the_extra():
    code = """
import sys
import fastmlp
assert "sklearn" not in sys.modules and "scipy" not in sys.modules
sys.modules["sklearn"] = None
try:
    import fastmlp.sklearn
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert "pip install 'fastmlp[sklearn]'" in done.stdout


@pytest.fixture(scope="module")
def some_digits():
    X, y = digits.load()
    return X[:300].astype(float), y[:300]


# ---- scikit-learn's tools ----


def test_a_grid_search_in_threads(some_digits):
    grid = {"mlp__alpha": [0.01, 1.0], "mlp__hidden_layer_sizes": [(8,), (16,)]}
    steps = [
        ("scale", preprocessing.StandardScaler()),
        ("mlp", MLPClassifier(learning_rate_init=0.01, max_iter=40, random_state=0)),
    ]
    found = []
    for jobs in (1, 2):
        with joblib.parallel_backend("threading"):
            search = model_selection.GridSearchCV(pipeline.Pipeline(steps), grid, cv=2, n_jobs=jobs).fit(*some_digits)
        found.append(search.cv_results_["mean_test_score"])
    assert (found[0] == found[1]).all()
    assert search.score(*some_digits) > 0.9


def test_cross_validation_calibration_and_importance(some_digits):
    X, y = some_digits
    model = MLPClassifier((16,), learning_rate_init=0.01, max_iter=40, random_state=0)
    scores = model_selection.cross_validate(model, X, y, cv=3, scoring=["accuracy", "neg_log_loss"])
    assert scores["test_accuracy"].mean() > 0.8
    calibrated = calibration.CalibratedClassifierCV(model, cv=2).fit(X, y)
    assert np.allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    X = X[:, :24]
    importance = inspection.permutation_importance(model.fit(X, y), X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean[0] == 0  # a pixel that is never lit
    assert importance.importances_mean.max() > 0


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), "joblib"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_copy_goes_on_like_the_original(some_digits, tmp_path, again, solver):
    X, y = some_digits
    model = MLPClassifier((16,), solver=solver, max_iter=3, random_state=0).fit(X, y)
    if again == "joblib":
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model")
    else:
        other = again(model)
    assert oracle.same(other.predict_proba(X), model.predict_proba(X))
    before = model.predict_proba(X)
    for _ in range(3):
        other.partial_fit(X, y)
    assert oracle.same(model.predict_proba(X), before)  # they have nothing in common any more
    for _ in range(3):
        model.partial_fit(X, y)
    for a, b in zip(other.coefs_ + other.intercepts_, model.coefs_ + model.intercepts_, strict=True):
        assert oracle.same(a, b)
    assert other.loss_curve_[3:] == model.loss_curve_[3:] or again is copy.copy  # a shallow copy shares its lists


def test_clone_takes_parameters_alone(some_digits):
    given = {
        "activation": ["gelu", "tanh"], "hidden_layer_sizes": (8, 4), "solver": fastmlp.RMSprop(momentum=0.5),
        "learning_rate": fastmlp.Cosine(0.01), "loss": fastmlp.losses.Focal(1.5), "dropout": [0.1, 0.0],
        "early_stopping": fastmlp.EarlyStopping("f1"), "callbacks": [fastmlp.Callback()], "class_weight": "balanced",
    }  # fmt: skip
    model = MLPClassifier(max_iter=2, random_state=0, **given).fit(*some_digits)
    twin = sklearn.base.clone(model)
    assert not hasattr(twin, "coefs_")
    assert {name: twin.get_params()[name] for name in given if name != "callbacks"} == {
        name: value for name, value in given.items() if name != "callbacks"
    }
    assert oracle.same(twin.fit(*some_digits).coefs_[0], model.coefs_[0])


def test_weights_are_routed(some_digits):
    X, y = some_digits
    weights = np.where(y == 3, 5.0, 0.1)
    alone = MLPClassifier((8,), max_iter=10, random_state=0).fit(preprocessing.scale(X), y, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier((8,), max_iter=10, random_state=0).set_fit_request(sample_weight=True)
        scaler = preprocessing.StandardScaler().set_fit_request(sample_weight=False)
        line = pipeline.make_pipeline(scaler, model)
        line.fit(X, y, sample_weight=weights)
        assert np.allclose(line[-1].coefs_[0], alone.coefs_[0])
        assert "validation_data" in model.get_metadata_routing().fit.requests


@both
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_and_names(some_digits, ours, theirs, library):
    frames = pytest.importorskip(library)
    X, y = some_digits[0][:, :5], some_digits[1]
    columns = list("abcde")
    frame = frames.DataFrame(dict(zip(columns, X.T, strict=True)))
    model = ours(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(frame, frames.Series(y))
    assert list(model.feature_names_in_) == columns
    assert (
        model.predict(frame) == ours(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X, y).predict(X)
    ).all()
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[columns[::-1]])


@both
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(some_digits, ours, theirs, library):
    pytest.importorskip(library)
    X, y = some_digits
    model = ours(hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    lines = [pipeline.make_pipeline(preprocessing.StandardScaler(), sklearn.base.clone(model)) for _ in range(2)]
    lines[0].set_output(transform=library)
    assert (lines[0].fit(X, y).predict(X) == lines[1].fit(X, y).predict(X)).all()
    assert len(lines[0][-1].feature_names_in_) == 64


def test_labels_of_any_kind(some_digits):
    X, y = some_digits
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], object)
    model = MLPClassifier((16,), learning_rate_init=0.01, max_iter=40, random_state=0).fit(X, names[y])
    assert model.score(X, names[y]) > 0.9
    assert set(model.predict(X)) <= set(names)
    assert model.predict(X[: 0 + 1]).dtype == model.predict(sparse.csr_array(X[:1])).dtype
    two = MLPClassifier((8,), learning_rate_init=0.01, max_iter=20, early_stopping=True, random_state=0).fit(
        X, np.where(y > 4, "high", "low")
    )
    assert set(two.predict(X)) == {"high", "low"}
    many = MLPClassifier((8,), max_iter=20, random_state=0).fit(X, np.stack([y > 4, y % 2 == 0], axis=1).astype(int))
    assert many.predict(X).shape == (300, 2)


@both
def test_it_shows_in_a_notebook(ours, theirs, some_digits):
    html = ours(dropout=0.25)._repr_html_()
    assert "dropout" in html
    assert ours.__name__ in html
    assert "fitted" in ours(hidden_layer_sizes=(4,), max_iter=2).fit(*some_digits)._repr_html_()
    assert repr(ours(dropout=0.25)) == f"{ours.__name__}(dropout=0.25)"


# ---- a fitted model in users' hands ----


@both
def test_predictions_follow_the_parameters(some_digits, ours, theirs):
    X, y = some_digits
    models = [kind(hidden_layer_sizes=(8, 6), max_iter=3, random_state=0).fit(X, y) for kind in (ours, theirs)]
    own = [model.coefs_[1] * 2 for model in models]

    def change(what):
        for model, array in zip(models, own, strict=True):
            what(model, array)
        for call in ("predict", "predict_proba"):
            if hasattr(models[0], call):
                assert np.allclose(*(getattr(model, call)(X) for model in models), rtol=1e-9, atol=1e-12)

    before = models[0].coefs_[1]
    kept = before.copy()
    change(lambda model, array: model.coefs_[0].__imul__(1.5))
    change(lambda model, array: model.coefs_[0].__setitem__((slice(None), 2), 0))
    change(lambda model, array: model.intercepts_[-1].__iadd__(1))
    change(lambda model, array: model.coefs_.__setitem__(1, array))
    change(lambda model, array: array.__imul__(-1))
    assert oracle.same(before, kept)  # what is no longer the model's is nobody's but its holder's
    change(lambda model, array: setattr(model, "coefs_", [coef.astype("f4") for coef in model.coefs_]))
    change(lambda model, array: setattr(model, "coefs_", [coef.astype("f8") for coef in model.coefs_]))
    change(lambda model, array: model.set_params(activation="tanh"))
    change(lambda model, array: model.partial_fit(X, y))
    change(lambda model, array: model.intercepts_[0].__iadd__(0.5))
    clones = [pickle.loads(pickle.dumps(model)) for model in models]
    assert np.allclose(*(model.predict(X) for model in clones), rtol=1e-9)


@both
def test_pruned_models_still_predict(some_digits, ours, theirs):
    X, y = some_digits
    models = [kind(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X, y) for kind in (ours, theirs)]
    for model in models:
        model.coefs_ = [model.coefs_[0][:, :5], model.coefs_[1][:5]]
        model.intercepts_[0] = model.intercepts_[0][:5]
    assert np.allclose(*(model.predict(X) for model in models), rtol=1e-9)


@both
@pytest.mark.parametrize("fitted", ["f4", "f8"])
@pytest.mark.parametrize("given", ["f2", "f4", "f8", "i4", "i8", "?", ">f8"])
def test_rows_of_any_dtype(some_digits, ours, theirs, fitted, given):
    X, y = some_digits
    call = "predict_proba" if ours is MLPClassifier else "predict"
    models = [
        kind(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X.astype(fitted), y) for kind in (ours, theirs)
    ]
    for rows in (X, X[:1], np.asfortranarray(X[:7]), X[::3]):
        mine, wanted = (getattr(model, call)(rows.astype(given)) for model in models)
        assert mine.dtype == wanted.dtype
        assert np.allclose(mine, wanted, rtol=1e-3 if mine.dtype == "f4" or fitted == "f4" else 1e-9, atol=1e-7)


@both
def test_bad_rows_are_refused_as_scikit_learn_refuses_them(some_digits, ours, theirs):
    X, y = some_digits
    models = [kind(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X, y) for kind in (ours, theirs)]
    bad = [X[:, :3], X[0], X[:0], np.full((2, 64), np.nan), np.full((2, 64), np.inf), np.full((2, 64), "a"), None]
    for rows in [*bad, X[:1, :63], np.where(X[:1] == X[0, 5], np.nan, X[:1]), sparse.csr_array(X[:, :3])]:
        messages = [str(oracle.attempt(partial(model.predict, rows), Exception)) for model in models]
        assert messages[0] == messages[1] != "None"


# ---- networks to go on with ----


@both
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_rows_and_targets_of_another_network_are_refused(some_digits, ours, theirs, solver):
    X, y = some_digits
    wide = np.stack([y > 4, y % 2 == 0, y == 3], axis=1).astype(int)
    settings = {"hidden_layer_sizes": (4,), "solver": solver, "max_iter": 2, "warm_start": True, "random_state": 0}
    numbers = ours is MLPRegressor
    for first, then in ((wide, wide[:, 0]), (wide[:, 0], wide)) if numbers else ():
        model = ours(**settings).fit(X, first)
        before = pickle.dumps(model.coefs_)
        with pytest.raises(
            ValueError, match=r"y are of a network of \[64, 4, \d\] units, but the one .* has \[64, 4, \d\]"
        ):
            model.fit(X, then)
        assert model.n_outputs_ == (3 if first is wide else 1)
        assert pickle.dumps(model.coefs_) == before
    model = ours(**settings).fit(X, y > 4)
    with pytest.raises(ValueError, match="hidden_layer_sizes and y are of a network"):
        sklearn.base.clone(model).fit(X, y > 4).set_params(hidden_layer_sizes=(4, 4)).fit(X, y > 4)
    model.coefs_[0] = np.zeros((70, 4))
    with pytest.raises(ValueError, match="X, hidden_layer_sizes and y"):
        model.fit(X, y > 4)
    model.coefs_[0], model.intercepts_[0] = np.zeros((64, 4)), np.zeros(1)
    with pytest.raises(ValueError, match=r"intercepts_\[0\] has shape \(1,\); beside the others it must be \(4,\)"):
        model.fit(X, y > 4)


def test_a_refused_fit_leaves_the_labels(some_digits):
    X, y = some_digits
    several = np.stack([y > 4, y % 2 == 0, y == 3], axis=1)
    model, other = (MLPClassifier((4,), max_iter=2, random_state=0).fit(X, several) for _ in range(2))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, y > 4, sample_weight=[1.0])
    for fitted in (model, other):
        fitted.partial_fit(X, several)
    assert oracle.same(model.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(("first", "then"), [("poisson", "squared_error"), ("huber", "poisson")])
def test_a_loss_for_other_outputs_is_refused(some_digits, first, then):
    X, y = some_digits
    model = MLPRegressor(first, (4,), max_iter=2, warm_start=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=f"loss is '{then}', for outputs that are"):
        model.set_params(loss=then).fit(X, y)
    model.set_params(loss=first).fit(X, y)


# ---- training that goes wrong, or ends early ----


def test_a_loss_that_overflows_ends_nothing(some_digits):
    X, y = some_digits[0].astype("f4"), (some_digits[1] * 1e20).astype("f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (kind(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X, y) for kind in PAIRS[1])
    assert ours.loss_curve_ == theirs.loss_curve_ == [np.inf] * 5
    assert all(np.isfinite(coef).all() for coef in ours.coefs_)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_losses_are_numbers_of_numpy(some_digits, ours, theirs, solver, dtype):
    model = ours(hidden_layer_sizes=(4,), solver=solver, max_iter=2).fit(some_digits[0].astype(dtype), some_digits[1])
    numbers = [model.loss_] if solver == "lbfgs" else [model.loss_, model.best_loss_, *model.loss_curve_]
    assert all(isinstance(number, np.float64) for number in numbers)


def test_divergence_is_an_error(some_digits):
    ours, theirs = PAIRS[1]
    X, y = some_digits
    settings = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1e6, "max_iter": 30, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in (ours, theirs):
            with pytest.raises(ValueError, match="non-finite parameter weights"):
                kind(hidden_layer_sizes=(8, 8), **settings).fit(X * 1e3, y)


def test_divergence_under_early_stopping_ends_with_the_best(some_digits):
    X, y = some_digits
    settings = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1, "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (kind(early_stopping=True, **settings).fit(X, y) for kind in PAIRS[1])
    assert np.isnan(ours.validation_scores_[-1])
    assert np.isnan(theirs.validation_scores_[-1])
    assert np.allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9)


def test_a_step_whose_rows_weigh_nothing_is_the_error_it_always_was(some_digits):
    weights = np.arange(300) >= 200
    for kind in PAIRS[0]:
        with pytest.raises(ZeroDivisionError, match="sum to zero"):
            kind(shuffle=False, max_iter=1).fit(*some_digits, sample_weight=weights)


@both
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True, "n_iter_no_change": 1}, {"solver": "sgd", "tol": 1.0,
                         "n_iter_no_change": 2, "learning_rate": "adaptive"}, {"tol": 10.0}], ids=repr)  # fmt: skip
def test_what_is_printed_and_warned_of(some_digits, capsys, ours, theirs, settings):
    told = []
    for kind in (ours, theirs):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kind(hidden_layer_sizes=(8,), max_iter=15, verbose=True, batch_size=301, random_state=0, **settings).fit(
                *some_digits
            )
        told.append((capsys.readouterr().out, [(w.category, str(w.message), w.filename) for w in caught]))
    assert told[0][0] == told[1][0]
    assert [w[:2] for w in told[0][1]] == [w[:2] for w in told[1][1]]
    assert all(w[2] == __file__ for w in told[0][1] if w[0] is ConvergenceWarning)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupt_leaves_a_usable_model(some_digits, early_stopping):
    class Interrupt(fastmlp.Callback):
        def on_epoch_end(self, net, epoch, history):
            if epoch == 3:
                raise KeyboardInterrupt

    X, y = some_digits
    model = MLPClassifier((8,), random_state=0, early_stopping=early_stopping, callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    assert model.n_iter_ == 4
    assert model.predict(X).shape == (300,)


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("shuffle", [True, False])
def test_sparse_rows_are_made_dense_piece_by_piece(some_digits, monkeypatch, container, shuffle):
    X, y = some_digits
    settings = {"hidden_layer_sizes": (8,), "max_iter": 4, "batch_size": 32, "shuffle": shuffle, "random_state": 0}
    whole = MLPClassifier(**settings).fit(X, y, sample_weight=y + 1.0)
    lbfgs = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=5, random_state=0).fit(
        X, y, sample_weight=y + 1.0
    )
    monkeypatch.setattr(_sklearn_epochs, "PIECE", 5000)
    parts = MLPClassifier(**settings).fit(container(X), y, sample_weight=y + 1.0)
    for a, b in zip(parts.coefs_ + parts.intercepts_, whole.coefs_ + whole.intercepts_, strict=True):
        assert oracle.same(a, b)
    assert parts.loss_curve_ == whole.loss_curve_
    assert oracle.same(parts.predict_proba(container(X)), whole.predict_proba(X))
    summed = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=5, random_state=0).fit(
        container(X), y, sample_weight=y + 1.0
    )
    assert np.allclose(summed.coefs_[0], lbfgs.coefs_[0], rtol=1e-6)
