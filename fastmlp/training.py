"""The loop of fit: epochs, learning rates, what is looked at after each epoch, callbacks, checkpoints.

Its arguments arrive checked from network.py, the steps are the engine's; nothing here touches a number that training
uses, except that it ends with the best weights or with their average where that was asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmlp import _core, _weights, kernels, metrics
from fastmlp.callbacks import Callback, EarlyStopping, Watch
from fastmlp.history import History, Progress
from fastmlp.losses import CLASSES, PROBABILITIES

if TYPE_CHECKING:
    from fastmlp.network import BaseMLP
    from fastmlp.regularization import Regularization

Data = tuple[tuple[NDArray[Any], ...], NDArray[Any]]  # inputs and targets, checked


@dataclass(repr=False, eq=False)
class Call:
    """The arguments of fit, checked."""

    data: Data
    epochs: int
    batch_size: int
    optimizer: Any
    shuffle: bool
    validation: Data | None
    threads: int | None
    verbose: bool | str
    checkpoint: Any
    checkpoint_every: int
    resume: Any
    weights: NDArray[Any] | None
    regularization: "Regularization | None"
    callbacks: tuple[Callback, ...]
    stopping: EarlyStopping | None
    metric: str | metrics.Metric


class Training:
    """One call of fit as it goes."""

    def __init__(self, net: "BaseMLP", call: Call) -> None:
        self.net, self.call, self.rows = net, call, len(call.data[1])
        self.steps = -(-self.rows // call.batch_size)
        self.progress = Progress(self.rows, call.batch_size, call.shuffle, net.epochs_done, described(call.stopping))
        self.order = np.empty(self.rows, np.uint32) if call.shuffle else None
        self.begun = -1  # the epoch whose order and rates are there
        self.on_batch_end = [callback.on_batch_end for callback in call.callbacks if hasattr(callback, "on_batch_end")]
        self.pauses = bool(self.on_batch_end) or call.verbose == "bar" or call.checkpoint is not None
        self.losses = np.empty(self.steps) if self.on_batch_end else None
        passing = {"weights": call.weights, "losses": self.losses, "regularization": call.regularization}
        self.passing: dict[str, Any] = {name: value for name, value in passing.items() if value is not None}
        self.some_weigh_nothing = call.weights is not None and not call.weights.all()
        self.scheduled = hasattr(call.optimizer.learning_rate, "rates")
        self.watch = None if call.stopping is None else Watch(call.stopping)
        averaged = call.optimizer.ema is not None
        self.twin = net._twin() if averaged and call.validation is not None else net

    def run(self) -> History:
        net, call = self.net, self.call
        if call.checkpoint is not None or call.resume is not None:
            from fastmlp import saving
        with net._turn():
            if call.resume is not None:
                self.progress = saving.resume(
                    net, call.resume, self.progress, call.epochs, call.optimizer, call.validation is not None
                )
            progress = self.progress
            history = progress.history
            if call.validation is not None:
                history.metric = metrics.name_of(call.metric)
            if self.watch is not None:
                for epoch in zip(history.val_loss, history.val_metric, strict=True):
                    self.watch.see(*epoch)
            stopped = self.watch is not None and self.watch.stops
            net.reached = (progress.epochs, progress.rows_done, progress.loss_sum)
            try:
                with self._bar() as bar:
                    for callback in call.callbacks:
                        callback.on_train_begin(net)
                    while net.reached[0] < call.epochs and not stopped:
                        stopped = self._advance(bar)
                        if call.checkpoint is not None:
                            ended = stopped or net.reached[0] == call.epochs
                            if ended or self._steps_done() % call.checkpoint_every == 0:
                                saving.save_checkpoint(net, call.checkpoint, progress)
                        if net.reached[1] == 0:
                            self._tell(bar)
            except KeyboardInterrupt:
                self._settle()
                if call.checkpoint is not None:
                    saving.save_checkpoint(net, call.checkpoint, progress)
                raise
            finally:
                self._settle()
            if call.resume is not None or net.reached != (0, 0, 0.0):
                conclude(net, progress.best)
            for callback in call.callbacks:
                callback.on_train_end(net)
        return history

    def _steps_done(self) -> int:
        epochs, rows_done, _ = self.net.reached
        return epochs * self.steps + -(-rows_done // self.call.batch_size)

    def _advance(self, bar: Any) -> bool:
        """Train to where there is something to do between steps, and do it; whether it is to stop training."""
        net, call = self.net, self.call
        epoch, done, _ = net.reached
        stop = self._next_stop(done)
        stopped = self._train(epoch, done, stop)
        ended = stop == self.rows
        if ended:
            stopped |= self._end_epoch(epoch)
        self._settle()
        if bar is not None:
            bar.update(-(-stop // call.batch_size) - done // call.batch_size)
        if ended:
            for callback in call.callbacks:
                stopped |= bool(callback.on_epoch_end(net, epoch, self.progress.history))
        return stopped

    def _next_stop(self, rows_done: int) -> int:
        """How far the engine may go through the rows before there is something to do here."""
        call, steps = self.call, self.steps
        if not self.pauses:
            return self.rows
        if self.on_batch_end:
            steps = 1
        elif call.verbose == "bar":
            steps = -(-steps // 100)  # each a hundredth of an epoch, so that the bar moves in long ones too
        if call.checkpoint is not None:
            steps = min(steps, call.checkpoint_every - self._steps_done() % call.checkpoint_every)
        return min(self.rows, rows_done + steps * call.batch_size)

    def _train(self, epoch: int, done: int, stop: int) -> bool:
        """Train on the rows from done to stop of an epoch; whether a callback says that this is enough."""
        net, call = self.net, self.call
        start = perf_counter()
        if self.begun != epoch:
            self._begin_epoch(epoch)
        try:
            net._train(
                *call.data, self.order, call.batch_size, call.optimizer, call.threads, epoch, done, stop,
                net.reached[2], **self.passing,
            )  # fmt: skip
        except FloatingPointError as error:
            raise FloatingPointError(
                f"the loss is not finite in epoch {epoch + 1}, step {error.args[0] + 1}; that step changed nothing. "
                "Lower the learning rate, or scale the inputs"
            ) from None
        self.progress.seconds += perf_counter() - start
        stopped = False
        if self.losses is not None and stop > done:
            step = done // call.batch_size
            for on_batch_end in self.on_batch_end:
                stopped |= bool(on_batch_end(net, epoch, step, float(self.losses[step])))
        return stopped

    def _begin_epoch(self, epoch: int) -> None:
        """The order of the rows and the learning rates of an epoch."""
        net, call, progress = self.net, self.call, self.progress
        if self.order is not None:
            _core.permutation(self.rows, net.seed, progress.epochs_before + epoch, self.order)
        if call.weights is not None and self.some_weigh_nothing:
            _weights.refuse_empty_batches(call.weights, self.order, call.batch_size, epoch)
        if self.scheduled:
            self.passing["rates"] = rates_of(
                call.optimizer, epoch, self.steps, call.epochs, progress.history, net.dtype
            )
        self.begun = epoch

    def _end_epoch(self, epoch: int) -> bool:
        """Enter an epoch into the history; whether early stopping says that this is enough."""
        net, call, progress = self.net, self.call, self.progress
        history = progress.history
        history.seconds.append(progress.seconds)
        history.loss.append(net.reached[2] / self.rows)
        if call.validation is not None:
            params = net.params if net._average is None else net._average
            if self.twin is not net:
                self.twin.params = params
            val_loss, val_metric = evaluate(self.twin, *call.validation, call.metric, call.threads)
            history.val_loss.append(val_loss)
            history.val_metric.append(val_metric)
            if self.watch is not None and self.watch.see(val_loss, val_metric) and self.watch.settings.restore_best:
                progress.best = params.copy()
        net.reached = (epoch + 1, 0, 0.0)  # an epoch that is interrupted before is not in the history
        return self.watch is not None and self.watch.stops

    def _settle(self) -> None:
        """Make progress, history and epochs_done say what training has reached, wherever it was interrupted."""
        progress, (epochs, rows_done, loss_sum) = self.progress, self.net.reached
        if epochs > progress.epochs:
            progress.seconds = 0.0
        progress.epochs, progress.rows_done, progress.loss_sum = epochs, rows_done, loss_sum
        history = progress.history
        for entries in (history.loss, history.val_loss, history.val_metric, history.seconds):
            del entries[epochs:]
        self.net.epochs_done = progress.epochs_before + epochs

    # ---- what users see ----

    @contextmanager
    def _bar(self) -> Iterator[Any]:
        """A bar that counts steps, where one is wanted."""
        if self.call.verbose != "bar":
            yield None
            return
        total = self.call.epochs * self.steps
        # without the rate of steps, there is room for the figures in 80 columns
        shape = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        with progress_bar()(total=total, initial=self._steps_done(), bar_format=shape) as bar:
            yield bar

    def _tell(self, bar: Any) -> None:
        """The figures of the last epoch, in a line or beside the bar."""
        history = self.progress.history
        figures = {"loss": history.loss[-1]}
        if history.val_loss:
            figures["val_loss"] = history.val_loss[-1]
            figures[f"val_{history.metric}"] = history.val_metric[-1]
        if "rates" in self.passing:
            figures["rate"] = float(self.passing["rates"][-1])
        if bar is not None:
            bar.set_description(f"epoch {len(history.loss)}/{self.call.epochs}", refresh=False)  # when it is time to
            bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        elif self.call.verbose:
            epochs, width = self.call.epochs, len(str(self.call.epochs))
            columns = [f"{name} {value:<9.4g}" for name, value in figures.items()]
            milliseconds = 1e3 * history.seconds[-1]
            print(f"epoch {len(history.loss):>{width}}/{epochs}", *columns, f"{milliseconds:.3g} ms", sep="  ")


def rates_of(
    optimizer: Any, epoch: int, steps: int, epochs: int, history: History, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """The learning rates of an epoch's steps, as the optimizer's schedule has them, checked."""
    rates = np.asarray(optimizer.learning_rate.rates(epoch * steps, steps, epochs * steps, history))
    if rates.shape != (steps,) or rates.dtype != np.float64:
        raise ValueError(
            f"learning_rate gave rates of shape {rates.shape} and dtype {rates.dtype} for epoch {epoch + 1}; "
            f"they must be ({steps},) float64 numbers"
        )
    bad = ~((rates >= 0) & (rates <= np.finfo(dtype).max))
    if bad.any():
        raise ValueError(
            f"learning_rate gave {rates[bad][0]} in epoch {epoch + 1}; a rate must be at least 0 and finite in the "
            f"network's {dtype}"
        )
    return np.ascontiguousarray(rates)


def conclude(net: "BaseMLP", best: NDArray[Any] | None) -> None:
    """What is left to do when training ends: take the best weights, or else the average of them, if there are any."""
    if best is not None:
        net.params = best
    elif net._average is not None:
        net.params = net._average


def described(stopping: EarlyStopping | None) -> str | None:
    """Early stopping in words that are the same in every process, for a checkpoint."""
    if stopping is None:
        return None
    metric = metrics.name_of(stopping.metric, "__qualname__")
    return f"{metric}, {int(stopping.patience)}, {float(stopping.min_delta)}, {bool(stopping.restore_best)}"


def evaluate(
    net: "BaseMLP", X: tuple[NDArray[Any], ...], y: NDArray[Any], metric: str | metrics.Metric, threads: int | None
) -> tuple[float, float]:
    """Mean loss and a metric over checked rows. Sums run in order: cumsum never reassociates."""
    z = np.empty((len(y), net.sizes[-1]), net.dtype)
    net._forward(X, z, threads)
    losses, _ = getattr(kernels, net.loss)(z, y, **vars(net.objective))
    loss = float(np.cumsum(losses, dtype="f8")[-1]) / len(y)
    if net.loss in CLASSES:
        true, pred = y, z.argmax(1)
    elif net.loss in PROBABILITIES:
        true, pred = (y > 0.5).astype(np.int64), (z > 0).astype(np.int64)
    else:
        true, pred = y, kernels.exp(z) if net.loss == "poisson" else z
    if true.ndim == 2 and true.shape[1] == 1:
        true, pred = true[:, 0], pred[:, 0]
    function = metric if callable(metric) else metrics.METRICS[metric].function
    value = function(true, pred)
    try:
        return loss, float(value)
    except (TypeError, ValueError):
        raise TypeError(f"metric {metrics.name_of(metric)} gave {value!r}; it must give a number") from None


def progress_bar() -> Any:
    """tqdm's class, for a terminal or a notebook."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("verbose='bar' needs tqdm: pip install 'fastmlp[progress]'") from None
    return tqdm
