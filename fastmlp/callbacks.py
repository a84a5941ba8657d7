"""What looks on while a network is trained: callbacks of one's own, and early stopping."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastmlp import metrics
from fastmlp._names import NOT_NEGATIVE, check_bool, check_number, check_whole
from fastmlp._settings import Settings
from fastmlp.history import History

if TYPE_CHECKING:
    from fastmlp.network import BaseMLP


class Callback:
    """Something that fit calls as it goes: derive from it, and define what you need.

    ``on_batch_end(net, epoch, step, loss)`` is not there until you define it, as it costs a call into Python after
    every step: epoch and step count from 0, loss is the minibatch's mean before its update. A true value that it or
    on_epoch_end returns stops the training, at once but in good order. What a callback raises ends fit and comes out of
    it, the network being where the last step left it. The network is busy meanwhile: a callback may use and save it,
    but `fit`, `train_step` and their like raise RuntimeError.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> class Enough(fastmlp.Callback):
    ...     def on_epoch_end(self, net, epoch, history):
    ...         return history.loss[-1] < 0.1
    >>> net = fastmlp.MLP([1, 4, 1], loss="squared_error")
    >>> history = net.fit(np.ones((8, 1)), np.ones(8), epochs=1000, callbacks=[Enough()])
    >>> history.loss[-1] < 0.1 <= history.loss[-2]
    True
    """

    def on_train_begin(self, net: "BaseMLP") -> None:
        """Before the first step, or the first after a checkpoint.

        Parameters
        ----------
        net : MLP or SiameseMLP

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.Callback().on_train_begin(fastmlp.MLP([2, 2]))
        """

    def on_epoch_end(self, net: "BaseMLP", epoch: int, history: History) -> object:
        """After each epoch and its validation; a true value stops the training.

        Parameters
        ----------
        net : MLP or SiameseMLP
        epoch : int
            Of this fit, from 0.
        history : History
            With the epoch's entries.

        Returns
        -------
        object

        Examples
        --------
        >>> import fastmlp
        >>> bool(fastmlp.Callback().on_epoch_end(fastmlp.MLP([2, 2]), 0, fastmlp.History()))
        False
        """
        return None

    def on_train_end(self, net: "BaseMLP") -> None:
        """When training has ended without an error, with the network's final parameters.

        Parameters
        ----------
        net : MLP or SiameseMLP

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.Callback().on_train_end(fastmlp.MLP([2, 2]))
        """


@dataclass(frozen=True, repr=False, eq=False)
class EarlyStopping(Settings):
    """Stop when a metric of the validation data has not improved for a while (Prechelt 1998).

    Parameters
    ----------
    metric : str or callable, default "loss"
        "loss" of the validation data; "accuracy", "balanced_accuracy" or "f1" of classes; "r2", "mean_absolute_error"
        or "root_mean_squared_error" of values; or a function of (y_true, y_pred) that is greater for better
        predictions (but those of `fastmlp.metrics` count as their names), both being what `predict` gives, except that
        one output makes them (B,).
    patience : int, default 10
        After so many epochs in a row without improvement training stops.
    min_delta : float, default 0
        Only a change for the better by more than this is an improvement.
    restore_best : bool, default True
        End with the parameters of the epoch whose metric was best of all.

    Raises
    ------
    ValueError
        For a value outside its range.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> net = fastmlp.MLP([1, 8, 1], loss="squared_error")
    >>> stopping = fastmlp.EarlyStopping(metric="r2", patience=5, min_delta=1e-4)
    >>> history = net.fit(
    ...     X[::2], X[::2], epochs=1000, batch_size=4, validation_data=(X[1::2], X[1::2]), early_stopping=stopping
    ... )
    >>> len(history.loss) < 1000
    True
    """

    metric: str | metrics.Metric = "loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", metrics.metric_of(self.metric))
        check_whole("patience", self.patience, 1, 2**32)
        check_number("min_delta", self.min_delta, *NOT_NEGATIVE)
        check_bool("restore_best", self.restore_best)


def judge_of(stopping: EarlyStopping | None, loss: str) -> str | metrics.Metric:
    """The metric that validation data are judged by, of a network with this loss: early stopping's, or the default."""
    if stopping is None or stopping.metric == "loss":
        return metrics.default(loss)
    metrics.check_suits(stopping.metric, loss)
    return stopping.metric


class Watch:
    """Counts for one fit what EarlyStopping asks for: a function of the values that it has seen."""

    def __init__(self, settings: EarlyStopping) -> None:
        self.settings = settings
        self.sign = 1.0 if metrics.greater_is_better(settings.metric) else -1.0
        self.best = self.reference = float("-inf")
        self.waited = 0

    def see(self, loss: float, metric: float) -> bool:
        """Take in an epoch's validation; whether it is the best so far."""
        value = self.sign * self.value(loss, metric)
        if value > self.reference + float(self.settings.min_delta):
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        if value > self.best:
            self.best = value
            return True
        return False

    def value(self, loss: float, metric: float) -> float:
        """What is to be looked at of an epoch's validation."""
        return loss if self.settings.metric == "loss" else metric

    @property
    def stops(self) -> bool:
        return self.waited >= self.settings.patience


def check_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """callbacks as a tuple, one by itself included."""
    if callbacks is None:
        return ()
    given: tuple[Any, ...] = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
    for callback in given:
        if not isinstance(callback, Callback):
            raise ValueError(f"callbacks has {callback!r}; it must have objects of classes derived from Callback")
    return given


def check_early_stopping(early_stopping: object) -> EarlyStopping | None:
    """True is short for EarlyStopping(), False for None."""
    if early_stopping is None or early_stopping is False:
        return None
    if early_stopping is True:
        return EarlyStopping()
    if not isinstance(early_stopping, EarlyStopping):
        raise ValueError(f"early_stopping is {early_stopping!r}; it must be True, False or an EarlyStopping")
    return early_stopping
