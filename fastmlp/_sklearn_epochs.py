"""How fastmlp's estimators for scikit-learn pass through their rows, and judge each epoch's result.

The steps are the engine's. Random numbers, scores and the criteria for stopping are scikit-learn's own, so that the
same model comes out.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier

from fastmlp import metrics
from fastmlp.callbacks import EarlyStopping, Watch, judge_of
from fastmlp.history import History
from fastmlp.mlp import MLP
from fastmlp.optimizers import Optimizer
from fastmlp.training import evaluate, rates_of

PIECE = 2**22  # numbers of a sparse X that are made dense at a time


def pieces(X: Any, rows: int = 1, most: int | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Slices with their rows of X, at most so many; of a sparse one by multiples of `rows` that fit in memory."""
    if not issparse(X):
        step = most or max(1, len(X))
    else:
        step = max(1, min(most or PIECE, PIECE // (rows * X.shape[1]))) * rows
    for start in range(0, X.shape[0], step):
        some = slice(start, start + step)
        yield some, X[some].toarray() if issparse(X) else X[some]


def _part(a: Any, some: Any) -> Any:
    return a if a is None or some is None else a[some]


def rows_of(X: Any, dtype: np.dtype[Any]) -> Any:
    """X as the engine reads it: dense, but for a sparse one (by rows) of more than a piece."""
    if issparse(X):
        if X.shape[0] * X.shape[1] > PIECE:
            return X.tocsr().astype(dtype)
        X = X.toarray()
    return np.ascontiguousarray(X, dtype)


class Passes:
    """The rows of one call of fit, and how training passes through them."""

    def __init__(
        self, estimator: Any, net: MLP, X: Any, y: NDArray[Any], weights: Any, on_batch_end: list[Any]
    ) -> None:
        self.estimator, self.net, self.on_batch_end = estimator, net, on_batch_end
        self.X, self.y = rows_of(X, net.dtype), estimator._targets(y, net)
        self.weights = None if weights is None else np.ascontiguousarray(weights, net.dtype)
        self.rows = len(self.y)
        if estimator.batch_size != "auto" and estimator.batch_size > self.rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
            )
        self.batch_size = estimator._batch_rows(self.rows)
        self.steps = -(-self.rows // self.batch_size)
        self.losses = np.empty(self.steps) if on_batch_end else None
        self.order = np.arange(self.rows, dtype=np.uint32) if estimator.shuffle else None
        self.broken_off = False
        self.scheduled = hasattr(estimator._steps_by.learning_rate, "rates")
        self.penalty = estimator._penalty()

    def run(self, epoch: int) -> float:
        """One epoch; the mean loss of its rows. Parameters that diverge become NaN, as scikit-learn's do."""
        X, y, weights, order, size = self.X, self.y, self.weights, self.order, self.batch_size
        if order is not None:  # the numbers that sklearn.utils.shuffle would draw
            order = self.order = order[self.estimator._random_state.permutation(self.rows)]
        if weights is not None and not np.add.reduceat(_part(weights, order), np.arange(0, self.rows, size)).all():
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        if order is not None and issparse(X):
            X, y, weights, order = X[order], y[order], _part(weights, order), None
        optimizer, rates, done, loss = self._optimizer(), self._rates(epoch), 0, 0.0
        for some, rows in pieces(X, size):
            steps = slice(done // size, None)
            stride = size if self.on_batch_end else len(rows)
            for start in range(0, len(rows), stride):
                stop = min(start + stride, len(rows))
                try:
                    loss = self.net._train(
                        (rows,), y[some], order, size, optimizer, None, epoch, start, stop, loss,
                        weights=_part(weights, some), rates=_part(rates, steps), losses=_part(self.losses, steps),
                        regularization=self.penalty,
                    )  # fmt: skip
                except FloatingPointError:
                    self.net.params[:] = np.nan
                    return float("nan")
                done += stop - start
                if self.on_batch_end and self._broken_off(epoch, (done - 1) // size):
                    return loss / done
        return loss / done

    def _broken_off(self, epoch: int, step: int) -> bool:
        loss = float(self.losses[step])  # type: ignore[index]
        asked = [on_batch_end(self.net, epoch, step, loss) for on_batch_end in self.on_batch_end]
        self.broken_off = any(asked)
        return self.broken_off

    def _optimizer(self) -> Optimizer:
        """The optimizer with the learning rate of the epoch."""
        estimator = self.estimator
        rate = estimator._optimizer.learning_rate
        if not self.scheduled and estimator._steps_by.learning_rate != rate:
            estimator._steps_by = replace(estimator._steps_by, learning_rate=rate)
        optimizer: Optimizer = estimator._steps_by
        return optimizer

    def _rates(self, epoch: int) -> NDArray[np.float64] | None:
        """The rates of an epoch's steps, where a schedule says them."""
        if not self.scheduled:
            return None
        estimator, history = self.estimator, self.estimator.history_
        if any(map(isnan, history.val_loss)):  # only some of the fits that go on had validation data
            validation = [] if isnan(history.val_loss[-1]) else [loss for loss in history.val_loss if not isnan(loss)]
            history = History(history.loss, validation)
        return rates_of(estimator._steps_by, epoch, self.steps, estimator.max_iter, history, self.net.dtype)


class Judge:
    """Looks after each epoch at how good the model has become, and says when to stop and with which parameters to end.

    scikit-learn's own criterion counts unless early_stopping is an EarlyStopping object.
    """

    def __init__(self, estimator: Any, net: MLP) -> None:
        self.estimator, self.net = estimator, net
        stopping = estimator.early_stopping
        self.watch = Watch(stopping) if isinstance(stopping, EarlyStopping) else None
        self.best: NDArray[Any] | None = None
        self.concluded = False
        self.scored: tuple[Any, ...] = (None, None, None)  # for scikit-learn's criterion
        self.judged: tuple[Any, ...] | None = None  # for the history, and an EarlyStopping

    def take(self, X: Any, y: NDArray[Any], sample_weight: Any = None, for_history: bool = False) -> None:
        """Rows to validate with."""
        estimator, net, watch = self.estimator, self.net, self.watch
        if watch is None and estimator.early_stopping:
            labels = estimator._label_binarizer.inverse_transform(y) if is_classifier(estimator) else y
            self.scored = (X, labels, sample_weight)
        if for_history or watch is not None:
            metric = judge_of(None if watch is None else watch.settings, net.loss)
            dense = np.ascontiguousarray(X.toarray() if issparse(X) else X, net.dtype)
            estimator.history_.metric = metrics.name_of(metric)
            if is_classifier(estimator) and callable(metric):
                metric = self._of_labels(metric)
            self.judged = ((dense,), estimator._targets(y, net), metric, None)

    def _of_labels(self, metric: metrics.Metric) -> metrics.Metric:
        """A function of what predict gives as one of class numbers."""
        classes = self.estimator.classes_
        if self.estimator._label_binarizer.y_type_.startswith("multilabel"):
            return metric
        return lambda true, pred: metric(classes[true], classes[pred])

    def look(self) -> None:
        """Enter the epoch's validation, and count those without an improvement."""
        estimator, history, watch = self.estimator, self.estimator.history_, self.watch
        with self._average():
            if self.judged is not None or history.val_loss:  # of this fit, or of one before it that this goes on from
                missing = [float("nan")] * (len(history.loss) - len(history.val_loss) - (self.judged is not None))
                history.val_loss += missing
                history.val_metric += missing
            if self.judged is not None:
                loss, metric = evaluate(self.net, *self.judged)
                if self.net.loss == "squared_error":  # scikit-learn's is a mean over outputs
                    loss /= self.net.sizes[-1]
                history.val_loss.append(loss)
                history.val_metric.append(metric)
                if estimator.verbose:
                    print(f"Validation loss: {loss:f}, {history.metric}: {metric:f}")
            if watch is None:
                estimator._update_no_improvement_count(estimator.early_stopping, *self.scored)
                return
            value = watch.value(loss, metric)
            estimator.validation_scores_.append(value)
            if watch.see(loss, metric):
                estimator.best_validation_score_ = value
                self.best = self.net.params.copy() if watch.settings.restore_best else None

    @contextmanager
    def _average(self) -> Iterator[None]:
        """Parameters changed for their moving average, where there is one."""
        if self.net._average is None:
            yield
            return
        kept = self.net.params.copy()
        self.net.params = self.net._average
        try:
            yield
        finally:
            self.net.params = kept

    def ends(self) -> bool:
        """Whether there is nothing more to hope for; scikit-learn may lower the learning rate first."""
        estimator = self.estimator
        if self.watch is not None:
            return self.watch.stops
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        what = "Validation score" if estimator.early_stopping else "Training loss"
        epochs = f"for {estimator.n_iter_no_change} consecutive epochs."
        if estimator._optimizer.trigger_stopping(
            f"{what} did not improve more than tol={estimator.tol:f} {epochs}", estimator.verbose
        ):
            return True
        estimator._no_improvement_count = 0
        return False

    def outcome(self) -> dict[str, Any]:
        """The attributes with which the fit would end now, where they are others than those that are there."""
        estimator, net = self.estimator, self.net
        if self.best is None and self.watch is None and estimator.early_stopping:
            return {"coefs_": estimator._best_coefs, "intercepts_": estimator._best_intercepts}
        chosen = net._average if self.best is None else self.best
        if chosen is None:
            return {}
        views = net._views(chosen.copy())
        return {"coefs_": [W.T for W, _ in views], "intercepts_": [b for _, b in views]}

    def conclude(self) -> None:
        """End with the best parameters, or with their average, where that is asked for."""
        estimator, net = self.estimator, self.net
        if self.concluded:  # and Ctrl-C came after it
            return
        self.concluded = True
        if self.best is not None:
            net.params = self.best
        elif self.watch is None and estimator.early_stopping:
            estimator._take(net, estimator._best_coefs, estimator._best_intercepts)
            estimator._best_coefs, estimator._best_intercepts = (
                estimator.coefs_,
                estimator.intercepts_,
            )  # the same, as there
        elif net._average is not None:
            estimator._trained = net.params.copy()
            net.params = net._average


class Tasks:
    """What fit tells scikit-learn's own callbacks, those of set_callbacks: it is a task, and each epoch one in it."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, incremental: bool) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.told = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.fit: Any = None
        if getattr(estimator, "_skl_callbacks", None) and not incremental:
            self.fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            self.fit.call_on_fit_task_begin(**self.told)

    def begin_epoch(self) -> None:
        if self.fit is not None:
            self.epoch = self.fit.subcontext("epoch")
            self.epoch.call_on_fit_task_begin(**self.told)

    def end_epoch(self, judge: Judge) -> bool:
        """Whether a callback says that this is enough."""
        # a copy of the estimator has all else that it needs to predict
        return self.fit is not None and bool(
            self.epoch.call_on_fit_task_end(reconstruction_attributes=judge.outcome, **self.told)
        )

    def end(self) -> None:
        if self.fit is not None:
            self.fit.call_on_fit_task_end(reconstruction_attributes={}, **self.told)
