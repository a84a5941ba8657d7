"""What scikit-learn's users have been refused, as parameters of fastmlp's estimators: each does what it says."""

import copy
import pickle

import numpy as np
import oracle
import pytest

import fastmlp
from fastmlp import MLP, digits, losses, reference, schedules

pytest.importorskip("sklearn")

from scipy.sparse import csr_matrix
from sklearn import callback, neural_network
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from fastmlp.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
both = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])


@pytest.fixture(scope="module")
def data():
    X, y = digits.load()
    return X[:400].astype(float), y[:400]


def fitted(kind, X, y, sample_weight=None, validation_data=None, **settings):
    settings = {"hidden_layer_sizes": (12,), "max_iter": 6, "batch_size": 50, "random_state": 0} | settings
    return kind(**settings).fit(X, y, sample_weight, validation_data=validation_data)


def parameters(model):
    return np.concatenate([np.ravel(a) for a in model.coefs_ + model.intercepts_])


def same(a, b):
    return oracle.same(parameters(a), parameters(b)) and a.loss_curve_ == b.loss_curve_


def test_weights_of_classes_are_weights_of_rows(data):
    X, y = data
    by_class = {k: 1.0 + k for k in range(10)}
    assert same(fitted(MLPClassifier, X, y, class_weight=by_class), fitted(MLPClassifier, X, y, y + 1.0))
    weights = np.linspace(0.5, 2, 400)
    both_kinds = fitted(MLPClassifier, X, y, weights, class_weight=by_class)
    assert same(both_kinds, fitted(MLPClassifier, X, y, weights * (y + 1)))
    few = (y == 3).astype(int)
    balanced = fitted(MLPClassifier, X, few, class_weight="balanced")
    assert same(balanced, fitted(MLPClassifier, X, few, 400 / (2 * np.bincount(few)[few])))
    names = fitted(MLPClassifier, X, np.where(few, "yes", "no"), class_weight={"yes": 5, "no": 1})
    assert same(names, fitted(MLPClassifier, X, few, class_weight={0: 1, 1: 5}))
    plain, heavy = (fitted(MLPClassifier, X, few, class_weight=w, max_iter=3) for w in (None, "balanced"))
    assert balanced_accuracy_score(few, heavy.predict(X)) > balanced_accuracy_score(few, plain.predict(X))
    partial = MLPClassifier((12,), class_weight=by_class, random_state=0).partial_fit(X, y, classes=range(10))
    assert oracle.same(
        parameters(partial), parameters(MLPClassifier((12,), random_state=0).partial_fit(X, y, y + 1.0, range(10)))
    )
    with pytest.raises(ValueError, match=r"balanced.*partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=range(10))
    with pytest.raises(ValueError, match=r"class_weight.*several labels"):
        fitted(MLPClassifier, X, np.eye(10, dtype=int)[y], class_weight={0: 2})


@both
def test_activations(data, kind):
    X, y = data
    assert same(fitted(kind, X, y, activation="logistic"), fitted(kind, X, y, activation="logistic", init="auto"))
    sizes = {"hidden_layer_sizes": (12, 8)}
    assert same(fitted(kind, X, y, activation=["relu", "relu"], **sizes), fitted(kind, X, y, **sizes))
    for activation in ("leaky_relu", "elu", "gelu", "silu", "softplus", "exp", ["tanh", "gelu"], ("logistic", "relu")):
        model = fitted(kind, X, y, activation=activation, **sizes)
        h = X
        names = [activation] * 2 if isinstance(activation, str) else activation
        for i, name in enumerate(names):
            h = getattr(reference, name.replace("logistic", "sigmoid"))(h @ model.coefs_[i] + model.intercepts_[i])
        z = h @ model.coefs_[2] + model.intercepts_[2]
        expected = reference.softmax(z) if kind is MLPClassifier else z[:, 0]
        assert np.allclose(model.predict_proba(X) if kind is MLPClassifier else model.predict(X), expected, rtol=1e-9)
    assert not oracle.same(parameters(fitted(kind, X, y, activation="sigmoid")), parameters(fitted(kind, X, y)))


def gradient_step(X, y, objective, kind):
    """A model after one step of gradient descent on all rows."""
    settings = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1, "max_iter": 1, "batch_size": len(X)}
    return fitted(kind, X, y, loss=objective, alpha=0.0, **settings)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", "poisson", losses.Huber(0.3),
                                  losses.Quantile(0.9), losses.SquaredError(), losses.Poisson()], ids=repr)  # fmt: skip
def test_losses_of_values(data, loss):
    X, y = data[0], data[1] / 3
    model = gradient_step(X, y, loss, MLPRegressor)
    net = fastmlp.MLP([64, 12, 1], loss=loss, dtype="float64")
    start = neural_network.MLPRegressor(hidden_layer_sizes=(12,), max_iter=1, random_state=0, learning_rate_init=1e-300)
    start.fit(X, y)
    for W, b, coef, intercept in zip(net.weights, net.biases, start.coefs_, start.intercepts_, strict=True):
        W.T[:], b[:] = coef, intercept
    value, _ = net.loss_and_grad(X, y)
    net.update(fastmlp.SGD(0.1))
    assert model.loss_ == pytest.approx(value, rel=1e-12)
    assert np.allclose(model.coefs_[0], net.weights[0].T, rtol=1e-9, atol=1e-12)
    assert np.allclose(model.predict(X), net.predict(X)[:, 0], rtol=1e-9)
    assert fitted(MLPRegressor, X, y, loss=loss, solver="lbfgs", max_iter=30).loss_ < value


@pytest.mark.parametrize("labels", ["classes", "two", "several"])
@pytest.mark.parametrize("loss", ["focal", losses.Focal(0.5), losses.BinaryFocal(0.5), "smooth",
                                  losses.SoftmaxCrossEntropy(0.2)], ids=repr)  # fmt: skip
def test_losses_of_classes(data, loss, labels):
    X, y = data
    y = {"classes": y, "two": y % 2, "several": np.stack([y > 3, y % 2 == 0], axis=1).astype(int)}[labels]
    given = {"label_smoothing": 0.2} if loss == "smooth" else {"loss": loss}
    model = fitted(MLPClassifier, X, y, max_iter=1, batch_size=400, alpha=0, **given)
    gamma = {"focal": 2.0, losses.Focal(0.5): 0.5, losses.BinaryFocal(0.5): 0.5}.get(loss)
    softmax = labels == "classes"
    if gamma is None:
        objective = (losses.SoftmaxCrossEntropy if softmax else losses.BinaryCrossEntropy)(0.2)
    else:
        objective = (losses.Focal if softmax else losses.BinaryFocal)(gamma)
    start = fitted(neural_network_start, X, y)
    net = fastmlp.MLP([64, 12, *np.shape(start.intercepts_[1])], loss=objective, dtype="float64")
    for W, b, coef, intercept in zip(net.weights, net.biases, start.coefs_, start.intercepts_, strict=True):
        W.T[:], b[:] = coef, intercept
    assert model.loss_ == pytest.approx(net.loss_and_grad(X, y)[0], rel=1e-9)


class neural_network_start:  # noqa: N801
    """scikit-learn's classifier with the parameters that training begins with."""

    def __init__(self, **settings):
        self.model = neural_network.MLPClassifier(**settings | {"max_iter": 1, "learning_rate_init": 1e-300})

    def fit(self, X, y, sample_weight, validation_data):
        return self.model.fit(X, y)


SOLVERS = {
    "adamw": fastmlp.AdamW(0.001),
    "rmsprop": fastmlp.RMSprop(0.001),
    "lion": fastmlp.Lion(0.001, beta2=0.999),
}


@both
@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_by_name_or_as_objects(data, kind, name):
    X, y = data
    by_name = fitted(kind, X, y, solver=name)
    assert same(by_name, fitted(kind, X, y, solver=SOLVERS[name]))
    assert by_name.loss_curve_[-1] < by_name.loss_curve_[0]
    twice = fitted(kind, X, y, solver=name, max_iter=1)
    for _ in range(5):
        twice.partial_fit(X, y)
    # each partial_fit is one epoch more, and goes on from the optimizer's state
    assert len(twice.loss_curve_) == 6
    assert twice.loss_curve_[-1] < twice.loss_curve_[0]
    assert twice._live[0].optimizer_state()["steps"] == 6 * -(-len(X) // 50)


@both
def test_adam_as_an_object_has_the_paper_s_epsilon(data, kind):
    X, y = data
    by_name, by_object = (fitted(kind, X, y, solver=s, epsilon=1e-2) for s in ("adam", fastmlp.Adam(epsilon=1e-2)))
    assert not same(by_name, by_object)


@both
@pytest.mark.parametrize("solver", ["sgd", "adam", fastmlp.RMSprop()], ids=repr)
def test_schedules(data, kind, solver):
    X, y = data
    constant = fitted(kind, X, y, solver=solver, momentum=0.0)
    assert same(
        fitted(kind, X, y, solver=solver, momentum=0.0, learning_rate=fastmlp.StepDecay(0.001, every=100)), constant
    )
    decaying = fitted(
        kind, X, y, solver=solver, momentum=0.0, learning_rate=fastmlp.StepDecay(0.001, every=1, factor=1e-300)
    )
    assert decaying.loss_curve_[0] == constant.loss_curve_[0]
    assert decaying.loss_curve_[2] == pytest.approx(decaying.loss_curve_[5], rel=1e-9)
    seen = []

    class Rates:
        def rates(self, first, steps, total, history):
            seen.append((first, steps, total, len(history.loss)))
            return np.full(steps, 1e-3)

    assert same(fitted(kind, X, y, solver=solver, momentum=0.0, learning_rate=Rates()), constant)
    assert seen == [(8 * epoch, 8, 48, epoch) for epoch in range(6)]


@both
def test_penalties(data, kind):
    X, y = data

    def zeros(model):
        return (np.abs(model.coefs_[0]) < 1e-3).mean()

    plain = fitted(kind, X, y, max_iter=30)
    assert zeros(fitted(kind, X, y, l1=1.0, max_iter=30)) > zeros(plain) + 0.2
    tight = fitted(kind, X, y, max_norm=0.5)
    assert max(np.linalg.norm(coef, axis=0).max() for coef in tight.coefs_) <= 0.5 + 1e-12
    unbounded, bounded = (fitted(kind, X, y, solver="sgd", clip_norm=c) for c in (1e9, 1e-3))
    assert same(unbounded, fitted(kind, X, y, solver="sgd"))
    start = fitted(kind, X, y, solver="sgd", learning_rate_init=1e-300)
    assert (
        np.linalg.norm(parameters(bounded) - parameters(start)) <= 48 * 1e-3 * 1e-3 * 10 + 1e-12
    )  # momentum: 10 times


def test_the_l1_penalty_is_in_the_loss_of_lbfgs(data):
    X, y = data
    losses_found = [fitted(MLPRegressor, X, y, solver="lbfgs", l1=l1, alpha=0.0, max_iter=50).loss_ for l1 in (0, 10)]
    model = fitted(MLPRegressor, X, y, solver="lbfgs", l1=10, alpha=0.0, max_iter=50)
    data_loss = 0.5 * np.mean((model.predict(X) - y) ** 2)
    assert losses_found[1] == pytest.approx(data_loss + 10 * sum(np.abs(c).sum() for c in model.coefs_) / 400)
    assert losses_found[0] < losses_found[1]


@both
def test_dropout(data, kind):
    X, y = data
    assert same(fitted(kind, X, y, dropout=[0.5]), fitted(kind, X, y, dropout=0.5))
    assert not same(fitted(kind, X, y, dropout=0.5), fitted(kind, X, y))
    model, other = fitted(kind, X, y, dropout=0.5), fitted(kind, X, y, dropout=0.5, random_state=1)
    assert model._live[0].seed != other._live[0].seed
    assert oracle.same(model.predict(X), model.predict(X))  # prediction drops nothing


@both
def test_initial_weights(data, kind):
    X, y = data
    for init in ("he_uniform", "he_normal", "glorot_normal", "lecun_uniform"):
        model = fitted(kind, X, y, init=init, max_iter=1, learning_rate_init=1e-300)
        deviation = {"he": (2 / 64) ** 0.5, "glorot": (2 / 76) ** 0.5, "lecun": 1 / 8}[init.split("_")[0]]
        assert model.coefs_[0].std() == pytest.approx(deviation, rel=0.1)
        assert np.abs(model.intercepts_[0]).max() < 1e-290
    assert same(fitted(kind, X, y, init="he_normal"), fitted(kind, X, y, init="he_normal"))
    assert not same(fitted(kind, X, y, init="he_normal", random_state=1), fitted(kind, X, y, init="he_normal"))


@both
def test_averages_of_parameters(data, kind):
    X, y = data
    seen = []

    class Follow(fastmlp.Callback):
        def on_train_begin(self, net):
            self.average = net.params.copy()

        def on_batch_end(self, net, epoch, step, loss):
            self.average = 0.9 * self.average + 0.1 * net.params
            seen.append(loss)

    follow = Follow()
    model = fitted(kind, X, y, ema=0.9, callbacks=follow)
    plain = fitted(kind, X, y)
    assert model.loss_curve_ == plain.loss_curve_  # training itself is as ever
    assert np.allclose(model.coefs_[0], copy.copy(model)._adopt()._views(follow.average)[0][0].T, rtol=1e-9)
    assert np.allclose(np.mean(seen[:8]), plain.loss_curve_[0])
    stopping = {"early_stopping": True, "max_iter": 8}
    held = fitted(kind, X, y, ema=0.5, **stopping)
    assert len(held.validation_scores_) == 8


# ---- validation, early stopping, callbacks ----


@both
def test_validation_data(data, kind, capsys):
    X, y = data
    validation = X[300:], y[300:]
    model = fitted(kind, X[:300], y[:300], validation_data=validation)
    assert same(model, fitted(kind, X[:300], y[:300]))  # to look changes nothing
    history = model.history_
    assert history.loss == model.loss_curve_
    assert len(history.val_loss) == len(history.val_metric) == len(history.seconds) == 6
    assert history.val_metric[-1] == pytest.approx(model.score(*validation))
    assert history.metric == ("accuracy" if kind is MLPClassifier else "r2")
    capsys.readouterr()
    held = fitted(kind, X[:300], y[:300], validation_data=validation, early_stopping=True, verbose=True)
    assert f"Validation loss: {held.history_.val_loss[2]:f}, {history.metric}: " in capsys.readouterr().out
    assert held.validation_scores_[-1] == pytest.approx(held.history_.val_metric[-1])
    assert max(held.validation_scores_) == pytest.approx(held.score(*validation))


@both
@pytest.mark.parametrize("given", ["validation_data", "a share"])
@pytest.mark.parametrize("metric", ["loss", "default", "own"])
def test_early_stopping_by_any_metric(data, kind, metric, given):
    X, y = data
    metric = {"loss": "loss", "default": "accuracy" if kind is MLPClassifier else "mean_absolute_error",
              "own": lambda true, pred: -float(np.abs(true - pred).max())}[metric]  # fmt: skip
    stopping = fastmlp.EarlyStopping(metric, patience=3)
    validation = (X[300:], y[300:]) if given == "validation_data" else None
    model = fitted(
        kind, X[:300], y[:300], None, validation, early_stopping=stopping, max_iter=400, learning_rate_init=0.02
    )
    assert model.n_iter_ < 400
    scores = model.history_.val_loss if metric == "loss" else model.history_.val_metric
    assert model.validation_scores_ == scores
    low = metric in ("loss", "mean_absolute_error")
    best = min(scores) if low else max(scores)
    assert model.best_validation_score_ == best
    assert scores.index(best) == len(scores) - 4
    if validation and metric == "accuracy":
        assert accuracy_score(y[300:], model.predict(X[300:])) == best
    if validation and metric == "mean_absolute_error":
        assert np.abs(model.predict(X[300:]) - y[300:]).mean() == pytest.approx(best)


def test_validation_data_of_strings_and_sparse_rows(data):
    from scipy import sparse

    X, y = data
    names = np.array(list("abcdefghij"))[y]
    plain = fitted(MLPClassifier, X[:300], y[:300], validation_data=(X[300:], y[300:]))
    named = fitted(MLPClassifier, X[:300], names[:300], validation_data=(sparse.csr_array(X[300:]), names[300:]))
    assert named.history_.val_loss == plain.history_.val_loss


@pytest.mark.parametrize("bad", [3, ([[1.0]], [2], [3]), (np.ones((5, 3)), np.ones(5)), (np.ones((5, 64)), np.ones(4)),
                                 (np.full((1, 64), np.nan), [1]), (np.ones((2, 64)), [1, 77])], ids=repr)  # fmt: skip
def test_bad_validation_data(data, bad):
    with pytest.raises(ValueError, match=r"validation_data|features|inconsistent|NaN"):
        fitted(MLPClassifier, *data, validation_data=bad)


class Recorder(fastmlp.Callback):
    def __init__(self, stop=99):
        self.calls, self.stop = [], stop

    def on_train_begin(self, net):
        self.calls.append("begin")

    def on_epoch_end(self, net, epoch, history):
        self.calls.append((epoch, len(history.loss)))
        return epoch == self.stop

    def on_train_end(self, net):
        self.calls.append("end")


class BatchRecorder(Recorder):
    def on_batch_end(self, net, epoch, step, loss):
        self.calls.append((epoch, step, round(loss, 3)))
        return (epoch, step) == (self.stop, 2)


@both
def test_callbacks(data, kind):
    X, y = data
    recorder = Recorder()
    assert same(fitted(kind, X, y, callbacks=[recorder]), fitted(kind, X, y))
    assert recorder.calls == ["begin", *((epoch, epoch + 1) for epoch in range(6)), "end"]
    recorder = Recorder(stop=2)
    assert fitted(kind, X, y, callbacks=recorder).n_iter_ == 3
    assert recorder.calls[-2:] == [(2, 3), "end"]
    recorder = BatchRecorder()
    assert same(fitted(kind, X, y, callbacks=[recorder]), fitted(kind, X, y))
    assert [call[:2] for call in recorder.calls if len(call) == 3 and call[0] == 1] == [(1, step) for step in range(8)]
    recorder = BatchRecorder(stop=1)
    assert fitted(kind, X, y, callbacks=[recorder]).n_iter_ == 2
    with pytest.raises(ValueError, match="callbacks has 3"):
        fitted(kind, X, y, callbacks=[3])


@both
def test_scikit_learn_s_own_callbacks(data, kind):
    X, y = data
    calls = []

    class Tell:
        def setup(self, estimator, context):
            calls.append("setup")

        def teardown(self, estimator, context):
            calls.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            calls.append(("begin", context.task_name, context.task_id))

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            calls.append(("end", context.task_name, context.task_id, round(fitted_estimator.score(X, y), 6)))
            return context.task_id == 3

    assert isinstance(Tell(), callback.FitCallback)
    model = kind(hidden_layer_sizes=(12,), max_iter=6, batch_size=50, random_state=0).set_callbacks(Tell())
    model.fit(X, y)
    assert model.n_iter_ == 4
    assert calls[:2] == ["setup", ("begin", "fit", 0)]
    assert [call[1:3] for call in calls[3:-2:2]] == [("epoch", i) for i in range(4)]
    assert calls[-1] == "teardown"
    assert calls[-2][3] == calls[-3][3] == round(model.score(X, y), 6)
    assert same(model, fitted(kind, X, y, max_iter=4))
    kind(solver="lbfgs", max_iter=2).set_callbacks(Tell()).fit(X, y)
    assert calls[-2][:3] == ("end", "fit", 0)


# ---- bad values ----


@pytest.mark.parametrize("setting", [
    {"activation": "rleu"}, {"activation": "impulse"}, {"activation": ["relu", "relu"]}, {"activation": ["relu2"]},
    {"solver": "adamax"}, {"loss": "hinge"}, {"dropout": 1.0}, {"dropout": [0.1, 0.1]}, {"dropout": [2.0]}, {"l1": -1},
    {"max_norm": 0}, {"clip_norm": -1}, {"ema": 1.0}, {"init": "he"}, {"callbacks": 3}, {"early_stopping": "yes"},
    {"learning_rate": "cosin"}, {"learning_rate": 0.1}, {"learning_rate": None}, {"learning_rate": fastmlp.Cosine},
    {"hidden_layer_sizes": (2.5,)}, {"hidden_layer_sizes": ("a",)},
], ids=repr)  # fmt: skip
@both
def test_bad_values_are_named(data, kind, setting):
    (name,) = setting
    with pytest.raises(ValueError, match=name):
        fitted(kind, *data, **setting)


@pytest.mark.parametrize("setting", [
    {"class_weight": "even"}, {"class_weight": [1, 2]}, {"class_weight": {77: 2}}, {"label_smoothing": 1.0},
    {"class_weight": {0: -1}}, {"class_weight": {0: np.nan}}, {"class_weight": {0: "a"}},
    {"class_weight": dict.fromkeys(range(10), 0)}, {"label_smoothing": 0.1, "loss": "focal"},
    {"label_smoothing": 0.1, "loss": losses.SoftmaxCrossEntropy()},
    {"loss": losses.Huber()}, {"early_stopping": fastmlp.EarlyStopping("r2")},
], ids=repr)  # fmt: skip
def test_bad_values_of_a_classifier_are_named(data, setting):
    with pytest.raises(
        ValueError, match=next(iter(setting)) if "early" not in next(iter(setting)) else "metric is 'r2'"
    ):
        fitted(MLPClassifier, *data, **setting)


@pytest.mark.parametrize(("name", "value", "near"), [
    ("activation", "rellu", "relu"), ("activation", ["rellu"], "relu"), ("solver", "adamm", "adam"),
    ("loss", "log", "log_loss"), ("init", "he_unifrm", "he_uniform"), ("learning_rate", "constnt", "constant"),
    ("class_weight", "balancd", "balanced"),
])  # fmt: skip
def test_the_nearest_name_is_suggested(data, name, value, near):
    with pytest.raises(ValueError, match=rf"{name}.*\(did you mean '{near}'\?\)"):
        fitted(MLPClassifier, *data, **{name: value})


def test_a_subclass_may_have_parameters_without_constraints(data):
    class Own(MLPClassifier):
        def __init__(self, before=None, solver="adam"):
            super().__init__(solver=solver)
            self.before = before

    with pytest.raises(ValueError, match="did you mean 'adam'"):
        Own(solver="adamm").fit(*data)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_balanced_weights_of_a_class_of_which_no_row_counts(data, early_stopping):
    X, y = data
    counts, stopping = (y != 3) * 1.0, {"early_stopping": early_stopping}
    model = fitted(MLPClassifier, X, y, counts, class_weight="balanced", **stopping)
    weights = {k: counts.sum() / (10 * (y == k).sum()) for k in range(10)}
    assert np.allclose(
        parameters(model), parameters(fitted(MLPClassifier, X, y, counts, class_weight=weights, **stopping))
    )


def test_validation_data_of_several_labels_a_row_are_a_matrix(data):
    X, y = data
    labels = np.stack([y > 4, y % 2 == 0, y == 3], axis=1)
    with pytest.raises(ValueError, match="validation_data has one class a row"):
        fitted(MLPClassifier, X, labels, validation_data=(X, y % 3))


def test_bad_values_of_a_regressor_are_named(data):
    X, y = data
    with pytest.raises(ValueError, match="loss"):
        fitted(MLPRegressor, X, y, loss=losses.Focal())
    with pytest.raises(ValueError, match="y has the value -1"):
        fitted(MLPRegressor, X, y - 1, loss="poisson")


@pytest.mark.parametrize("setting", [{"dropout": 0.1}, {"dropout": [0.1]}, {"max_norm": 1.0}, {"clip_norm": 1.0},
                                     {"ema": 0.5}, {"callbacks": [fastmlp.Callback()]},
                                     {"validation_data": ([[0.0]], [0.0])}, {"early_stopping": fastmlp.EarlyStopping()},
                                     {"learning_rate": fastmlp.Cosine(0.1)}], ids=repr)  # fmt: skip
def test_lbfgs_refuses_what_needs_steps(data, setting):
    with pytest.raises(ValueError, match=f"lbfgs.*{next(iter(setting))}"):
        fitted(MLPRegressor, *data, solver="lbfgs", **setting)


@both
def test_callbacks_may_save_and_copy_the_network(data, kind, tmp_path):
    X, y = data

    class Save(fastmlp.Callback):
        def on_epoch_end(self, net, epoch, history):
            net.save(tmp_path / "net.npz")
            self.copies = fastmlp.load(tmp_path / "net.npz"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))
            self.shown = repr(net) + str(net.summary())

    for solver in ("adam", "sgd"):
        save = Save()
        model = fitted(kind, X, y, solver=solver, callbacks=save)
        for net in save.copies:
            assert oracle.same(net.weights[0].T, model.coefs_[0])
            assert type(net.objective) is type(losses.loss_of(net.loss))
        assert "Sklearn" not in save.shown


@both
def test_partial_fit_goes_on_from_what_was_trained_not_from_its_average(data, kind):
    X, y = data
    plain, averaged = (kind(hidden_layer_sizes=(12,), random_state=0, ema=ema) for ema in (None, 0.9))
    expected = None
    for _ in range(4):
        for model in (plain, averaged):
            model.partial_fit(X, y, **({"classes": np.unique(y)} if kind is MLPClassifier else {}))
        averaged = pickle.loads(pickle.dumps(averaged))
        assert averaged.loss_curve_ == plain.loss_curve_
        assert not oracle.same(parameters(averaged), parameters(plain))
        if expected is not None:  # each call has 2 steps: the average moves towards the parameters, and never jumps
            moved = np.abs(parameters(averaged) - expected).max()
            assert 0 < moved < np.abs(parameters(plain) - expected).max()
        expected = parameters(averaged)


def test_a_metric_of_one_s_own_has_the_labels(data):
    X, y = data
    labels = np.array([f"digit {label}" for label in y])
    seen = []

    def exact(y_true, y_pred):
        seen.append((y_true, y_pred))
        return float((y_true == y_pred).mean())

    stopping = fastmlp.EarlyStopping(exact, patience=100)
    model = fitted(MLPClassifier, X, labels, validation_data=(X, labels), early_stopping=stopping)
    assert all((true == labels).all() for true, _ in seen)
    at = int(np.argmax(model.history_.val_metric))
    assert (seen[at][1] == model.predict(X)).all()
    assert model.history_.metric == "exact"
    named, given = (
        fitted(MLPClassifier, X, labels, validation_data=(X, labels), early_stopping=fastmlp.EarlyStopping(metric))
        for metric in ("f1", fastmlp.metrics.f1)
    )
    assert named.history_.val_metric == given.history_.val_metric


@both
def test_validation_in_some_of_the_fits_that_go_on(data, kind):
    X, y = data
    model = kind(
        hidden_layer_sizes=(12,), max_iter=3, warm_start=True, random_state=0, learning_rate="reduce_on_plateau"
    )
    model.fit(X, y).fit(X, y, validation_data=(X, y)).fit(X, y)
    history = model.history_
    assert len(history.loss) == len(history.val_loss) == len(history.val_metric) == 9
    assert np.isnan(history.val_loss).tolist() == [True] * 3 + [False] * 3 + [True] * 3


@pytest.mark.parametrize("validated", [[False, True], [True, False]])
def test_the_rate_of_a_plateau_goes_by_the_validation_of_the_fit_that_is_on(data, validated):
    """Of losses that never change: where there is validation, by the epochs that have it, else by all of them."""
    X, y = data
    rates = []

    class Rates(fastmlp.ReduceOnPlateau):
        def rates(self, *call):
            rates.append(super().rates(*call)[0])
            return np.full(call[1], 1e-300)

    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=6, warm_start=True, random_state=0, shuffle=False, alpha=0)
    model.set_params(learning_rate=Rates(1.0, 0.5, patience=2), batch_size=len(X), n_iter_no_change=99)
    for has in validated:
        model.fit(X, y, validation_data=(X, y) if has else None)
    # asked before the last epoch, of 11: the first is the best, then it falls at every second
    seen = 5 if validated[-1] else 11
    assert rates[-1] == 0.5 ** ((seen - 1) // 2)
    assert len(rates) == 12


@both
def test_another_early_stopping_in_a_fit_that_goes_on(data, kind):
    X, y = data
    ways = False, True, fastmlp.EarlyStopping(patience=2)
    for first in ways:
        for second in ways:
            model = fitted(kind, X, y, warm_start=True, early_stopping=first)
            before = model.loss_curve_[0]
            model.set_params(early_stopping=second).fit(X, y)
            assert model.loss_curve_[-1] < before
            assert (model.best_loss_ is None) == bool(second)
            assert (model.validation_scores_ is None) == (not second)
            if not second:
                model.partial_fit(X, y)


@both
def test_adaptive_rates_do_not_go_by_an_early_stopping_object(data, kind):
    settings = {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": fastmlp.EarlyStopping()}
    with pytest.raises(ValueError, match=r"learning_rate is 'adaptive'.*'reduce_on_plateau'"):
        fitted(kind, *data, **settings)


@both
@pytest.mark.parametrize("name", ["step_decay", "cosine", "one_cycle", "reduce_on_plateau"])
def test_schedules_by_name_begin_at_the_initial_rate(data, kind, name):
    X, y = data
    by_name = fitted(kind, X, y, learning_rate=name, learning_rate_init=0.01)
    assert same(by_name, fitted(kind, X, y, learning_rate=schedules.BY_NAME[name](0.01)))
    assert same(
        fitted(kind, X, y, solver=fastmlp.SGD(0.003), learning_rate=name),
        fitted(kind, X, y, solver=fastmlp.SGD(schedules.BY_NAME[name](0.003))),
    )


def test_partial_fit_counts_epochs_alike_for_both_callbacks(data):
    X, y = data
    seen = []

    class Count(fastmlp.Callback):
        def on_batch_end(self, net, epoch, step, loss):
            seen.append(epoch)

        def on_epoch_end(self, net, epoch, history):
            seen.append(epoch)

    model = MLPRegressor(hidden_layer_sizes=(4,), batch_size=len(X), callbacks=Count())
    for _ in range(3):
        model.partial_fit(X, y)
    assert seen == [0, 0, 1, 1, 2, 2]


@both
def test_true_is_one_as_in_scikit_learn(data, kind):
    X, y = data
    settings = {"alpha": True, "learning_rate_init": True, "epsilon": True}
    assert same(fitted(kind, X, y, **settings), fitted(kind, X, y, alpha=1.0, learning_rate_init=1.0, epsilon=1.0))


OUTPUT_ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "logistic", "sigmoid", "exp"]
TERMS = {  # of d = h - y
    "squared_error": lambda d: d**2 / 2,
    "absolute_error": np.abs,
    "huber": lambda d: np.where(np.abs(d) <= 1, d**2 / 2, np.abs(d) - 0.5),
    "quantile": lambda d: np.maximum(-d, d) / 2,
}


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", TERMS)
@pytest.mark.parametrize("activation", OUTPUT_ACTIVATIONS)
def test_output_activations(data, rng, activation, loss, outputs):
    """One step of gradient descent, against finite differences of the written formula; and what is predicted."""
    X = data[0][:40] / 16
    y, weights = rng.random((40, outputs)) if outputs > 1 else rng.random(40), rng.uniform(0.5, 2, 40)
    r = getattr(reference, activation.replace("logistic", "sigmoid"))

    def outputs_of(W1, W2, b1, b2):
        return r(np.tanh(X @ W1 + b1) @ W2 + b2)

    def sum_of_losses(*p):
        return (weights[:, None] * TERMS[loss](outputs_of(*p) - y.reshape(40, -1))).sum()

    settings = {"activation": "tanh", "output_activation": activation, "alpha": 0.0, "solver": "sgd", "momentum": 0.0}
    settings["batch_size"] = 40
    start, model = (
        fitted(MLPRegressor, X, y, weights, loss=loss, max_iter=1, learning_rate_init=rate, **settings)
        for rate in (1e-300, 1.0)
    )
    p = [a.copy() for a in start.coefs_ + start.intercepts_]
    share = weights.sum() * (
        outputs if loss == "squared_error" else 1
    )  # scikit-learn tells the mean over outputs of this one
    assert model.loss_curve_[0] == pytest.approx(sum_of_losses(*p) / share, rel=1e-12)
    for a, b in zip(p, model.coefs_ + model.intercepts_, strict=True):
        at, step = tuple(rng.integers(0, n) for n in a.shape), 1e-6
        found, kept, values = (a[at] - b[at]) * weights.sum(), a[at], []
        for sign in (1, -1):
            a[at] = kept + sign * step
            values.append(sum_of_losses(*p))
        a[at] = kept
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-6)
    rest = model._live[0].params.copy()
    for view in (a for pair in model._live[0]._views(rest) for a in pair):
        view[...] = 0
    assert not rest.any()  # what pads rows of outputs stays 0
    expected = outputs_of(*model.coefs_, *model.intercepts_)
    assert np.allclose(model.predict(X).reshape(40, -1), expected, rtol=1e-10)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert oracle.same(other.predict(X), model.predict(X))
        assert oracle.same(
            other.set_params(warm_start=True).fit(X, y).predict(X),
            copy.deepcopy(model).set_params(warm_start=True).fit(X, y).predict(X),
        )
    model.coefs_[0] = model.coefs_[0].copy()  # no longer the network's own
    assert np.allclose(model.predict(X).reshape(40, -1), expected, rtol=1e-10)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_output_activation_keeps_values_in_its_range(data, solver):
    X, y = data[0] / 16, (data[1] == 3).astype(float)
    model = MLPRegressor(output_activation="logistic", solver=solver, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert model.out_activation_ == "logistic"
    assert 0 <= model.predict(X).min() < model.predict(X).max() <= 1
    assert model.score(X, y) > 0.9


def test_output_activations_that_do_not_go_with_a_loss(data):
    X, y = data
    assert fitted(MLPRegressor, X, y, loss="poisson", output_activation="exp").out_activation_ == "exp"
    with pytest.raises(ValueError, match=r"output_activation is 'tanh'; that of loss='poisson' is 'exp'"):
        fitted(MLPRegressor, X, y, loss="poisson", output_activation="tanh")
    model = fitted(MLPRegressor, X / 16, y, output_activation="exp", warm_start=True)
    with pytest.raises(ValueError, match="loss is 'poisson'"):
        model.set_params(loss="poisson").fit(X, y)
    with pytest.raises(ValueError, match="output_activation 'tanh', for outputs that are tanh"):
        model.set_params(loss="squared_error", output_activation="tanh").fit(X, y)


@both
def test_the_range_test_of_an_estimator(data, kind):
    X, y = data
    model = fitted(kind, X, y, random_state=np.random.RandomState(0))
    before, state = parameters(model), model.random_state.get_state()[1].copy()
    model.find_learning_rate(X, y, steps=3)
    assert oracle.same(parameters(model), before)
    assert (model.random_state.get_state()[1] == state).all()
    model = kind(hidden_layer_sizes=(12,), random_state=0, batch_size=50)
    before = copy.deepcopy(vars(model))
    found = model.find_learning_rate(X, y, low=1e-5, high=1.0, steps=40)
    assert vars(model) == before
    assert 1e-4 < found.suggestion < 1
    if kind is MLPRegressor:  # whose initial weights do not depend on the classes that some rows have
        first = fitted(kind, X[:50], y[:50], max_iter=1, batch_size=50)
        one = kind(hidden_layer_sizes=(12,), random_state=0, batch_size=50).find_learning_rate(X[:50], y[:50])
        assert one.losses[0] == pytest.approx(first.loss_curve_[0], rel=1e-12)
    sparse = model.find_learning_rate(csr_matrix(X), y, low=1e-5, high=1.0, steps=40)
    assert oracle.same(sparse.losses, found.losses)
    with pytest.raises(ValueError, match="solver is 'lbfgs'"):
        model.set_params(solver="lbfgs").find_learning_rate(X, y)
    with pytest.raises(ValueError, match="low is 0"):
        model.set_params(solver="sgd").find_learning_rate(X, y, low=0)


@both
@pytest.mark.parametrize("batch_size", [-3, 0, 7])
def test_parameters_that_nobody_validates(data, kind, batch_size):
    """As in scikit-learn, partial_fit of a fitted model takes them as they are, and clips the size of a batch."""
    X, y = data
    model = fitted(kind, X, y, max_iter=1).set_params(batch_size=batch_size)
    assert np.isfinite(model.partial_fit(X, y).loss_)
    assert model._live[0].optimizer_state()["steps"] == 8 + -(-len(X) // max(batch_size, 1))


@both
@pytest.mark.parametrize("integer", [np.uint8, np.uint64, np.int16])
def test_batch_sizes_of_any_integer_type(data, kind, integer):
    assert same(fitted(kind, *data, batch_size=integer(70)), fitted(kind, *data, batch_size=70))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("y", [np.datetime64("2020") + np.arange(40), np.array(["0", "1"] * 20), np.array([b"0"] * 40)])
def test_targets_are_numbers(data, solver, y):
    with pytest.raises((TypeError, ValueError), match=r"dtype|numeric"):
        fitted(MLPRegressor, data[0][:40], y, solver=solver, batch_size=40)


@both
def test_kinds_of_true_are_one_criterion(data, kind):
    X, y = data
    scores = []
    for first in (True, np.True_):
        model = fitted(kind, X, y, warm_start=True, early_stopping=first)
        scores.append(model.set_params(early_stopping=True).fit(X, y).validation_scores_)
    assert len(scores[0]) == 12
    assert scores[0] == scores[1]


@both
def test_copies_of_models_whose_parameters_have_another_shape_or_type(data, kind):
    X, y = data
    model = fitted(kind, X, y)
    model.coefs_, model.intercepts_ = ([a.astype("f4") for a in some] for some in (model.coefs_, model.intercepts_))
    assert oracle.same(copy.deepcopy(model).predict(X), model.predict(X))
    pruned = fitted(kind, X, y)
    pruned.coefs_ = [pruned.coefs_[0][:, :5].copy(), pruned.coefs_[1][:5].copy()]
    pruned.intercepts_ = [pruned.intercepts_[0][:5].copy(), pruned.intercepts_[1]]
    assert oracle.same(pickle.loads(pickle.dumps(pruned)).predict(X), pruned.predict(X))
    failed = fitted(kind, X, y)
    with pytest.raises(ValueError, match="ema"):
        failed.set_params(hidden_layer_sizes=(20,), solver="lbfgs", ema=0.9).fit(X, y)
    assert oracle.same(pickle.loads(pickle.dumps(failed)).predict(X), fitted(kind, X, y).predict(X))


def averaged(data, **settings):
    model = MLPRegressor(hidden_layer_sizes=(8,), random_state=0, ema=0.9, **settings)
    return model.partial_fit(*data).partial_fit(*data)


def test_the_average_of_partial_fit_after_another_dtype(data):
    X, y = data
    model = averaged((X.astype("f4"), y), warm_start=True)
    model.set_params(solver="lbfgs", ema=None, max_iter=1).fit(X, y)  # SciPy leaves float64
    assert np.isfinite(model.set_params(solver="adam", ema=0.9).partial_fit(X, y).loss_)


@pytest.mark.parametrize("fault", ["targets", "callbacks"])
def test_a_partial_fit_that_is_refused_keeps_the_average(data, fault):
    X, y = data
    model = averaged(data, loss="poisson")
    before = parameters(model)
    with pytest.raises(ValueError, match=r"y has the value|callbacks has 3"):
        model.set_params(callbacks=3 if fault == "callbacks" else None).partial_fit(X, -y)
    assert oracle.same(parameters(model), before)


def test_ctrl_c_when_training_has_ended_concludes_it_once(data):
    class Interrupt(fastmlp.Callback):
        def on_train_end(self, net):
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        interrupted = averaged(data, callbacks=Interrupt()).partial_fit(*data)
    assert interrupted.loss_curve_ == averaged(data).partial_fit(*data).loss_curve_


def test_parameters_changed_by_hand_are_averaged_from_there(data):
    model = averaged(data, learning_rate_init=1e-6)
    for a in model.coefs_ + model.intercepts_:
        a[...] = 0
    assert np.abs(parameters(model.partial_fit(*data))).max() < 1e-3


@both
def test_the_range_test_has_the_weights_and_penalties_of_fit(data, kind):
    X, y = data
    plain = kind(hidden_layer_sizes=(12,), random_state=0, batch_size=50).find_learning_rate(X, y, steps=10)
    changes = [{"alpha": 50.0}, {"l1": 5.0}, {"max_norm": 0.01}]
    changes += [{"class_weight": {0: 100.0}}] if kind is MLPClassifier else []
    for change in changes:
        model = kind(hidden_layer_sizes=(12,), random_state=0, batch_size=50, **change)
        assert not oracle.same(model.find_learning_rate(X, y, steps=10).losses, plain.losses)


@both
def test_a_summary_of_any_momentum(data, kind):
    class Look(fastmlp.Callback):
        def on_epoch_end(self, net, epoch, history):
            self.seen = str(net.summary())

    look = Look()
    fitted(kind, *data, solver="sgd", momentum=1.0, learning_rate_init=1e-6, max_iter=1, callbacks=look)
    assert "state of SGD" in look.seen


@both
@pytest.mark.parametrize("change", [
    {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": fastmlp.EarlyStopping()},
    {"solver": "lbfgs", "learning_rate": "cosine"}, {"solver": "lbfgs", "dropout": 0.1},
    {"solver": fastmlp.Adam("cosine"), "learning_rate": "one_cycle"},
], ids=repr)  # fmt: skip
def test_what_does_not_go_together_leaves_the_model_as_it_was(data, kind, change):
    X, y = data
    model = fitted(kind, X, y)
    before = parameters(model), model.n_iter_, list(model.loss_curve_)
    with pytest.raises(ValueError, match=r"learning_rate|dropout"):
        model.set_params(**change).fit(X, y)
    assert oracle.same(parameters(model), before[0])
    assert (model.n_iter_, model.loss_curve_) == before[1:]


@both
def test_minibatches_after_lbfgs(data, kind):
    X, y = data
    for way in ("fit", "partial_fit"):
        model = fitted(kind, X, y, solver="lbfgs", warm_start=True).set_params(solver="adam")
        getattr(model, way)(X, y)
        assert len(model.loss_curve_) == (6 if way == "fit" else 1)


def test_names_of_the_logistic_function_are_one(data):
    X, y = data[0], (data[1] == 3).astype(float)
    model = fitted(MLPRegressor, X, y, output_activation="logistic", warm_start=True)
    assert model.set_params(output_activation="sigmoid").fit(X, y).n_iter_ == 6
    with pytest.raises(ValueError, match="output_activation 'tanh'"):
        model.set_params(output_activation="tanh").fit(X, y)


def test_other_parameters_after_fit_are_no_hindrance_to_pickle(data):
    X, y = data
    model = fitted(MLPClassifier, X, y)
    for settings in ({"hidden_layer_sizes": (5, 5), "dropout": [0.1, 0.2]}, {"dropout": 2}):
        wanted = model.set_params(**settings).predict_proba(X)
        for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert oracle.same(other.predict_proba(X), wanted)
            assert other.get_params() == model.get_params()
    with pytest.raises(ValueError, match="dropout"):
        other.fit(X, y)


def test_what_on_batch_end_raises_comes_out_of_fit(data):
    class Alarm(fastmlp.Callback):
        def on_batch_end(self, net, epoch, step, loss):
            if epoch == 2:
                raise FloatingPointError("its own")

    model = MLPClassifier((12,), max_iter=5, batch_size=50, random_state=0, callbacks=Alarm())
    with pytest.raises(FloatingPointError, match="its own"):
        model.fit(*data)
    assert len(model.loss_curve_) == 2
    assert np.isfinite(parameters(model)).all()


@pytest.mark.parametrize("kind", ["fit", "partial_fit"])
def test_a_fit_within_a_fit_is_refused(data, kind):
    class Again(fastmlp.Callback):
        def on_epoch_end(self, net, epoch, history):
            if epoch == 2:
                getattr(model, kind)(*data)

    settings = {"batch_size": 50, "random_state": 0}
    model = MLPClassifier((12,), max_iter=6, callbacks=Again(), **settings)
    with pytest.raises(RuntimeError, match="is being trained"):
        model.fit(*data)
    assert same(model, MLPClassifier((12,), max_iter=3, **settings).fit(*data))


def test_predictions_meanwhile_change_no_gradient_of_lbfgs(data, monkeypatch):
    X, y = data
    settings = {"solver": "lbfgs", "max_iter": 5}
    wanted, gradient = fitted(MLPClassifier, X, y, **settings), MLP._gradient

    def among_others(net, *args, **more):
        if hasattr(model, "coefs_"):  # a thread that has begun with parameters of before, and is done now
            now = model.coefs_, model.intercepts_
            model.coefs_, model.intercepts_ = ([np.ones_like(a) for a in some] for some in now)
            model._forward_pass_fast(X, check_input=False)
            model.coefs_, model.intercepts_ = now
        return gradient(net, *args, **more)

    model = MLPClassifier((12,), random_state=0, batch_size=50, **settings)
    monkeypatch.setattr(MLP, "_gradient", among_others)
    assert oracle.same(parameters(model.fit(X, y)), parameters(wanted))


@both
@pytest.mark.parametrize("again", [lambda model: model, lambda model: pickle.loads(pickle.dumps(model))])
def test_predictions_add_no_attribute(
    data, kind, again
):  # while another thread asks vars() whether the model is fitted
    X, y = data
    for solver in ("adam", "lbfgs"):
        model = again(fitted(kind, X.astype("f4"), y, solver=solver))
        names = set(vars(model))
        model.predict(X)
        assert set(vars(model)) == names


def test_targets_that_overflow_are_named(data):
    X, y = data
    with pytest.raises(ValueError, match=r"y\[.* overflows float32"):
        fitted(MLPRegressor, X.astype("f4"), y * 1e40 + 1e40)


REFUSED = [
    {"dropout": [0.1, 0.2]},
    {"dropout": []},
    {"activation": ["relu", "tanh"]},
    {"callbacks": [3]},
    {"callbacks": [fastmlp.Callback]},
    {"early_stopping": {MLPClassifier: fastmlp.EarlyStopping("r2"), MLPRegressor: fastmlp.EarlyStopping("f1")}},
    {"max_norm": True},
    {"learning_rate_init": 1e300},
    {"validation_data": (np.ones((5, 3)), np.ones(5))},
    {"validation_data": (np.ones((5, 64)), np.ones(4))},
    {"sample_weight": np.ones(3)},
]


@both
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("given", REFUSED, ids=str)
def test_a_fit_that_is_refused_leaves_the_model_that_was_there(data, kind, warm_start, given):
    X, y = (a.astype("f4") for a in data)
    given = {name: value[kind] if isinstance(value, dict) else value for name, value in given.items()}
    match = "metric|learning_rate|" + next(iter(given))
    settings = {name: value for name, value in given.items() if name not in ("validation_data", "sample_weight")}
    more = {name: value for name, value in given.items() if name not in settings}
    model, wanted = (fitted(kind, X, y, warm_start=warm_start) for _ in range(2))
    was = {name: getattr(model, name) for name in settings}
    with pytest.raises(ValueError, match=match):
        model.set_params(**settings).fit(X, y, **more)
    assert set(vars(model)) == set(vars(wanted))
    model.set_params(**was)
    assert oracle.same(model.predict(X), wanted.predict(X))
    for again in (model, wanted):
        again.fit(X, y)
    assert same(model, wanted)
    unfitted = kind(**settings)
    with pytest.raises(ValueError, match=match):
        unfitted.fit(X, y, **more)
    with pytest.raises(NotFittedError):
        unfitted.predict(X)


def test_scikit_learns_callbacks_see_weights_and_what_would_be_left(data):
    class Look:
        def setup(self, estimator, context):
            self.seen, self.weights = [], []

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, metadata):
            self.weights.append(metadata and metadata["sample_weight"])

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            self.seen.append(fitted_estimator.predict_proba(X))
            return context.task_name == "epoch" and context.task_id == 4

    X, y = data
    weights = np.linspace(1, 2, len(y))
    for settings in (
        {},
        {"solver": "adam", "ema": 0.9},
        {"early_stopping": True, "learning_rate_init": 0.1},
        {"early_stopping": fastmlp.EarlyStopping("loss"), "learning_rate_init": 0.3},
        {"early_stopping": fastmlp.EarlyStopping("loss"), "ema": 0.9},
    ):
        look = Look()
        model = MLPClassifier((12,), batch_size=50, random_state=0, **settings).set_callbacks(look)
        model.fit(X, y, weights)
        assert model.n_iter_ == 5
        for found in look.seen[-2:]:  # of the last epoch, and of the whole fit
            assert oracle.same(found, model.predict_proba(X))
        assert all(given is weights for given in look.weights)


def test_lbfgs_has_no_history(data):
    model = fitted(MLPClassifier, *data)
    model.set_params(solver="lbfgs").fit(*data)
    assert not hasattr(model, "history_")


def test_losses_of_training_and_validation_are_of_one_unit(data):
    X, y = data
    Y = np.stack([y, 2.0 * y, -y], axis=1)
    model = MLPRegressor(alpha=0, max_iter=1, learning_rate_init=1e-12, random_state=0).fit(
        X, Y, validation_data=(X, Y)
    )
    assert model.history_.val_loss == pytest.approx(model.history_.loss, rel=1e-6)
