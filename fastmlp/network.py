"""What every network shares: building and initialising, the loop over epochs, gradients and updates. Thin.

Arithmetic is in C, memory and the calls into C in _engine.pyx, checks of arrays in _arrays.py; what inputs look like
and what outputs mean is said by mlp.py and siamese.py.
"""

import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp import _arrays, _core, kernels
from fastmlp._engine import Network
from fastmlp._names import ACTIVATIONS, NO_DERIVATIVE, check_name, check_number, check_whole
from fastmlp.history import History, Progress
from fastmlp.initialization import INITS, draw_weights
from fastmlp.losses import CLASSES, PROBABILITIES, Loss, loss_of
from fastmlp.optimizers import Adam, Optimizer, engine_settings

Gradients = list[tuple[NDArray[Any], NDArray[Any] | None]]


def per_layer(activation: object, layers: int, which: str) -> tuple[str, ...]:
    """One name for each of so many layers, from one for all or one for each."""
    if isinstance(activation, str):
        return (check_name(activation, ACTIVATIONS, "activation"),) * layers
    if not isinstance(activation, Sequence) or len(activation) != layers:
        raise ValueError(f"activation is {activation!r}; it must be one name, or one per {which} layer ({layers} here)")
    return tuple(check_name(name, ACTIVATIONS, "activation") for name in activation)


def per_hidden_layer(dropout: Any, layers: int) -> tuple[float, ...]:
    """One chance for each of so many hidden layers, from one for all or one for each."""
    given = dropout if isinstance(dropout, Sequence) and not isinstance(dropout, str) else [dropout] * layers
    if len(given) != layers:
        raise ValueError(f"dropout is {dropout!r}; it must be one number, or one per hidden layer ({layers} here)")
    for chance in given:
        check_number("dropout", chance, 0.0, 1.0, "at least 0 and less than 1")
    return tuple(float(chance) for chance in given)


def check_sizes(sizes: Sequence[int], what: str) -> tuple[int, ...]:
    """sizes as a tuple of at least two positive numbers."""
    if isinstance(sizes, str) or not hasattr(sizes, "__len__") or len(sizes) < 2:
        raise ValueError(f"sizes is {sizes!r}; it must be at least two numbers: {what}")
    return tuple(check_whole(size, f"sizes[{i}]", 1, 2**31 - 1) for i, size in enumerate(sizes))


class BaseMLP(Network):
    """What MLP and SiameseMLP share: building, the loop of fit, optimizers, views.

    A subclass says by `_inputs` how its inputs look.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        activations: tuple[str, ...],
        loss: str | Loss,
        output_activation: str,
        bias: bool,
        dtype: DTypeLike,
        seed: int,
        dropout: float | Sequence[float] = 0.0,
        init: str = "auto",
        siamese: bool = False,
    ) -> None:
        check_name(output_activation, ACTIVATIONS, "output_activation")
        check_name(init, INITS, "init")
        objective = loss_of(loss)
        if objective.name in CLASSES and sizes[-1] == 1:
            raise ValueError("a softmax over one output is always 1: give two outputs, or loss='binary_cross_entropy'")
        seed = check_whole(seed, "seed", 0, 2**64 - 1)
        dtype = _arrays.float_dtype(dtype)
        names = (*activations, output_activation)
        chances = per_hidden_layer(dropout, len(sizes) - 2)
        layers = list(zip(sizes[:-1], sizes[1:], names, (*chances, 0.0), strict=True))
        n_bytes = sum((i + 1) * (o + 64) for i, o, *_ in layers) * dtype.itemsize
        if n_bytes > sys.maxsize // 8:
            raise ValueError(f"sizes is {list(sizes)}: its weights alone would take {n_bytes:.1e} bytes")
        super().__init__(layers, objective, bool(bias), siamese, dtype, seed)
        self.sizes, self.activations, self.output_activation = sizes, activations, output_activation
        self.loss, self.objective, self.bias, self.seed = objective.name, objective, bool(bias), seed
        self.dropout, self.init = chances, init
        self.metadata: dict[str, Any] = {}
        views = self._views(self.params)
        self.weights: tuple[NDArray[Any], ...] = tuple(W for W, _ in views)
        self.biases: tuple[NDArray[Any] | None, ...] = tuple(b for _, b in views)
        self._gradient_views: Gradients = self._views(self.grads)
        for layer, (W, name) in enumerate(zip(self.weights, names, strict=True)):
            draw_weights(W, init, name, seed, layer)

    @property
    def n_params(self) -> int:
        """The number of weights and biases, without padding."""
        return sum(W.size for W in self.weights) + sum(b.size for b in self.biases if b is not None)

    def __repr__(self) -> str:
        loss = self.loss if self.objective == loss_of(self.loss) else self.objective
        rest = f", dropout={list(self.dropout)}" if any(self.dropout) else ""
        rest += f", init={self.init!r}" if self.init != "auto" else ""
        return (
            f"{type(self).__name__}({list(self.sizes)}, activation={list(self.activations)}, loss={loss!r}, "
            f"output_activation={self.output_activation!r}, bias={self.bias}, dtype='{self.dtype}', seed={self.seed}"
            f"{rest})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """For copy and pickle: what `save` would write, and nothing that would run."""
        from fastmlp import saving

        if type(self) not in saving.KINDS.values():
            raise TypeError(f"a {type(self).__name__} does not know how to be copied or pickled: give it a __reduce__")
        return saving.from_bytes, (saving.to_bytes(self),)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    # ---- what subclasses say ----

    def _inputs(self, X: Any, name: str = "X") -> tuple[tuple[NDArray[Any], ...], bool]:
        """The checked inputs, and whether they were one row."""
        raise NotImplementedError

    def _targets(self, y: ArrayLike, X: tuple[NDArray[Any], ...], one_row: bool, name: str = "y") -> NDArray[Any]:
        """y checked against the loss and the rows of X."""
        if self.loss in CLASSES:
            result: NDArray[Any] = _arrays.classes(y, self.sizes[-1], name)
        else:
            result = _arrays.targets(y, self.sizes[-1], self.dtype, one_row, name)
        _arrays.same_rows(X[0], result, "X", name)
        return result

    def _refuse_no_gradient(self) -> None:
        bad = [name for name in (*self.activations, self.output_activation) if name in NO_DERIVATIVE]
        if bad:
            raise ValueError(f"activation {bad[0]!r} has no useful derivative: this network has no gradient")
        if self.output_activation != "identity":
            raise ValueError(
                f"output_activation is {self.output_activation!r}; training and gradients need 'identity' "
                "(the losses take logits)"
            )

    def _training_data(self, X: Any, y: ArrayLike) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
        """Inputs and targets for a gradient, which the activations must have."""
        self._refuse_no_gradient()
        inputs, one_row = self._inputs(X)
        targets = self._targets(y, inputs, one_row)
        if not len(targets):
            raise ValueError(f"X has shape {inputs[0].shape}; training needs at least one row")
        self._refuse_out_of_range(targets)
        return inputs, targets

    def _refuse_out_of_range(self, targets: NDArray[Any], name: str = "y") -> None:
        if self.loss == "binary_cross_entropy":
            _arrays.in_range(targets, (targets >= 0) & (targets <= 1), "numbers from 0 to 1", self.loss, name)
        elif self.loss == "binary_focal":
            _arrays.in_range(targets, (targets == 0) | (targets == 1), "0 or 1", self.loss, name)
        elif self.loss == "poisson":
            _arrays.in_range(targets, targets >= 0, "numbers of at least 0", self.loss, name)

    def _validation_data(self, data: tuple[Any, ArrayLike]) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise ValueError(f"validation_data is a {type(data).__name__}; it must be a pair (X, y)")
        inputs, one_row = self._inputs(data[0], "validation_data[0]")
        targets = self._targets(data[1], inputs, one_row, "validation_data[1]")
        if not len(targets):
            raise ValueError(f"validation_data[0] has shape {inputs[0].shape}; it must have at least one row")
        self._refuse_not_finite(inputs, targets, "validation_data[0]", "validation_data[1]")
        self._refuse_out_of_range(targets, "validation_data[1]")
        return inputs, targets

    def _refuse_not_finite(
        self, inputs: tuple[NDArray[Any], ...], targets: NDArray[Any], X_name: str = "X", y_name: str = "y"
    ) -> None:
        if len(targets) >= 2**32:
            raise ValueError(f"{X_name} has {len(targets)} rows; fit takes less than 2**32")
        for rows in inputs:
            _arrays.finite(rows, X_name)
        if targets.dtype.kind == "f":
            _arrays.finite(targets, y_name)

    # ---- training ----

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        epochs: int = 10,
        batch_size: int = 128,
        optimizer: Optimizer = Adam(),  # noqa: B008 - settings are immutable
        shuffle: bool = True,
        validation_data: tuple[Any, ArrayLike] | None = None,
        threads: int | None = None,
        verbose: bool = False,
        checkpoint: Any = None,
        checkpoint_every: int | None = None,
        resume: Any = None,
    ) -> History:
        """Train by minibatches.

        Parameters
        ----------
        X : array_like, shape (B, I)
            Never copied if it is C-contiguous and of the network's dtype. (A siamese network takes a pair of them.)
        y : array_like
            softmax_cross_entropy: (B,) class numbers; otherwise (B, O), or (B,) where O = 1.
        epochs : int, default 10
        batch_size : int, default 128
            Rows a step; the last step of an epoch takes what is left.
        optimizer : SGD, Adam or AdamW, default Adam()
            Goes on from the state of the last call with the same class; see reset_optimizer.
        shuffle : bool, default True
            A new order of the rows each epoch, drawn from the network's seed and the number of the epoch.
        validation_data : (X, y), optional
            Evaluated after each epoch.
        threads : int, optional
            At most; by default what set_num_threads or the machine says. No result depends on it.
        verbose : bool, default False
            Print a line per epoch.
        checkpoint : str or os.PathLike, optional
            A file to keep, ending in .npz or .safetensors, from which `resume` goes on; written at Ctrl-C too.
            `fastmlp.load` reads it as it reads any network.
        checkpoint_every : int, optional
            Steps from one checkpoint to the next; by default those of an epoch. The last step always leaves one.
        resume : str or os.PathLike, optional
            A checkpoint of the same call on the same network and data: the network becomes what it was there, and fit
            goes on to the same bits as if it had never broken off, with any `threads`.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            For shapes, types or values that do not fit, numbers that are not finite, or a checkpoint of another network
            or call; nothing has changed.
        FloatingPointError
            If the loss of a step is not finite: the message names epoch and step, which has changed nothing.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        >>> net = fastmlp.MLP([2, 16, 2], seed=0)
        >>> history = net.fit(X, [0, 1, 1, 0], epochs=200, optimizer=fastmlp.Adam(learning_rate=0.05))
        >>> net.predict(X)
        array([0, 1, 1, 0])
        """
        epochs = check_whole(epochs, "epochs", 0, 2**32 - 1 - self.epochs_done)
        batch_size = check_whole(batch_size, "batch_size", 1, sys.maxsize)
        inputs, targets = self._training_data(X, y)
        self._refuse_not_finite(inputs, targets)
        engine_settings(optimizer, self.dtype)
        validation = None if validation_data is None else self._validation_data(validation_data)
        progress = Progress(len(targets), batch_size, bool(shuffle), self.epochs_done)
        steps = -(-progress.rows // batch_size)
        every = steps if checkpoint_every is None else check_whole(checkpoint_every, "checkpoint_every", 1, sys.maxsize)
        if checkpoint is None and checkpoint_every is not None:
            raise ValueError(f"checkpoint_every is {checkpoint_every}, but there is no checkpoint to write")
        if checkpoint is not None or resume is not None:
            from fastmlp import saving
        if checkpoint is not None:
            saving.check_path(checkpoint, "checkpoint")
        order, ordered = np.empty(progress.rows, np.uint32) if shuffle else None, None
        with self._turn():
            if resume is not None:
                progress = saving.resume(self, resume, progress, epochs)
            history, rows = progress.history, progress.rows
            self.reached = (progress.epochs, progress.rows_done, progress.loss_sum)
            try:
                while self.reached[0] < epochs:
                    epoch, done, total = self.reached
                    stop = rows
                    if checkpoint is not None:
                        left = every - (epoch * steps + done // batch_size) % every
                        stop = min(rows, done + left * batch_size)
                    start = perf_counter()
                    if order is not None and ordered != epoch:
                        _core.permutation(rows, self.seed, progress.epochs_before + epoch, order)
                        ordered = epoch
                    try:
                        total = self._train(
                            inputs, targets, order, batch_size, optimizer, threads, epoch, done, stop, total
                        )
                    except FloatingPointError as error:
                        raise FloatingPointError(
                            f"the loss is not finite in epoch {epoch + 1}, step {error.args[0] + 1}; that step changed "
                            "nothing. Lower the learning rate, or scale the inputs"
                        ) from None
                    progress.seconds += perf_counter() - start
                    if stop == rows:
                        history.seconds.append(progress.seconds)
                        history.loss.append(total / rows)
                        if validation is not None:
                            val_loss, val_metric = self._evaluate(*validation, threads)
                            history.val_loss.append(val_loss)
                            history.val_metric.append(val_metric)
                        self.reached = (epoch + 1, 0, 0.0)  # an epoch that is interrupted before is not in the history
                    self._settle(progress)
                    due = stop < rows or (epoch + 1) * steps % every == 0 or epoch + 1 == epochs
                    if checkpoint is not None and due:
                        saving.save_checkpoint(self, checkpoint, progress)
                    if verbose and stop == rows:
                        print(self._epoch_line(epoch, epochs, history))
            except KeyboardInterrupt:
                self._settle(progress)
                if checkpoint is not None:
                    saving.save_checkpoint(self, checkpoint, progress)
                raise
            finally:
                self._settle(progress)
        return history

    def _settle(self, progress: Progress) -> None:
        """Make progress, history and epochs_done say what training has reached, wherever it was interrupted."""
        epochs, rows_done, loss_sum = self.reached
        if epochs > progress.epochs:
            progress.seconds = 0.0
        progress.epochs, progress.rows_done, progress.loss_sum = epochs, rows_done, loss_sum
        history = progress.history
        for entries in (history.loss, history.val_loss, history.val_metric, history.seconds):
            del entries[epochs:]
        self.epochs_done = progress.epochs_before + epochs

    def _epoch_line(self, epoch: int, epochs: int, history: History) -> str:
        line = f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}  loss {history.loss[-1]:.4f}"
        if history.val_loss:
            metric = "accuracy" if self.loss in (*CLASSES, *PROBABILITIES) else "R2"
            line += f"  val_loss {history.val_loss[-1]:.4f}  val_{metric} {history.val_metric[-1]:.4f}"
        return line + f"  {1e3 * history.seconds[-1]:.3g} ms"

    def _evaluate(self, X: tuple[NDArray[Any], ...], y: NDArray[Any], threads: int | None) -> tuple[float, float]:
        """Mean loss, and accuracy or R², over checked rows. Sums run in order: cumsum never reassociates."""
        z = np.empty((len(y), self.sizes[-1]), self.dtype)
        self._forward(X, z, threads)
        losses, _ = getattr(kernels, self.loss)(z, y, **vars(self.objective))
        loss = float(np.cumsum(losses, dtype="f8")[-1]) / len(y)
        if self.loss in CLASSES:
            return loss, float(np.mean(z.argmax(1) == y))
        if self.loss in PROBABILITIES:
            return loss, float(np.mean((z > 0) == (y > 0.5)))
        return loss, r2(y, kernels.exp(z) if self.loss == "poisson" else z)

    def train_step(self, X: Any, y: ArrayLike, optimizer: Optimizer) -> float:
        """One step on all rows of X at once.

        Parameters
        ----------
        X, y : array_like
            As for fit.
        optimizer : SGD, Adam or AdamW

        Returns
        -------
        float
            The mean loss before the update.

        Raises
        ------
        FloatingPointError
            If the loss is not finite; nothing has changed.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP([2, 8, 1], loss="squared_error", seed=0)
        >>> losses = [net.train_step([[0, 1], [1, 0]], [1, -1], fastmlp.SGD(0.1)) for _ in range(20)]
        >>> losses[-1] < losses[0]
        True
        """
        inputs, targets = self._training_data(X, y)
        with self._turn():
            try:
                return self._train(inputs, targets, None, len(targets), optimizer) / len(targets)
            except FloatingPointError:
                raise FloatingPointError("the loss is not finite; this step changed nothing") from None

    def loss_and_grad(self, X: Any, y: ArrayLike) -> tuple[float, Gradients]:
        """The mean loss over the rows of X, and its gradient.

        Parameters
        ----------
        X, y : array_like
            As for fit.

        Returns
        -------
        loss : float
        grads : list of (dW, db)
            One pair per layer: dW (O, I), db (O,) or None without biases. Views of `net.grads`, which the next
            call overwrites.

        Raises
        ------
        ValueError
            If an activation has no useful derivative, or shapes do not fit.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error", dtype="float64")
        >>> loss, grads = net.loss_and_grad([[1, 2]], [3])
        >>> grads[0][0].shape
        (3, 2)
        """
        inputs, targets = self._training_data(X, y)
        with self._turn():
            loss = self._gradient(inputs, targets)
        return loss, list(self._gradient_views)

    def backward(self, X: Any, dz: ArrayLike) -> Any:
        """The gradient of a loss of your own, from its derivative by the outputs.

        Parameters
        ----------
        X : array_like, shape (B, I)
            As for fit.
        dz : array_like, shape (B, O)
            dJ/dz of the outputs z = net(X), with any 1/B in it.

        Returns
        -------
        ndarray, shape (B, I)
            dJ/dX; dJ/dW and dJ/db are in `net.grads`. (A siamese network gives a pair.)

        Raises
        ------
        ValueError
            If an activation has no useful derivative, or shapes do not fit.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error")
        >>> X = np.ones((4, 2), np.float32)
        >>> net.backward(X, net(X) / 4).shape  # J = mean of z**2 / 2
        (4, 2)
        """
        self._refuse_no_gradient()
        inputs, one_row = self._inputs(X)
        rows = _arrays.targets(dz, self.sizes[-1], self.dtype, one_row, "dz")
        _arrays.same_rows(inputs[0], rows, "X", "dz")
        if not len(rows):
            raise ValueError(f"X has shape {inputs[0].shape}; a gradient needs at least one row")
        with self._turn():
            dX = self._backward(inputs, rows)
        parts = np.split(dX, len(inputs))
        parts = [part[0] if one_row else part for part in parts]
        return parts[0] if len(parts) == 1 else tuple(parts)

    def update(self, optimizer: Optimizer) -> None:
        """One optimizer step from `net.grads` as they stand: after backward, and after what you did to them.

        Parameters
        ----------
        optimizer : SGD, Adam or AdamW

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error")
        >>> dX = net.backward([[1, 2]], [[0.5]])  # dJ/dz of a loss of one's own
        >>> net.grads *= 0.1
        >>> net.update(fastmlp.SGD(0.01))
        """
        with self._turn():
            self._update(optimizer)

    def save(self, path: Any) -> None:
        """Write the network with its optimizer state to a file that `fastmlp.load` reads.

        Parameters
        ----------
        path : str or os.PathLike
            Ends in ".npz", or ".safetensors" where that package is installed. An older file there is replaced only when
            the new one is complete.

        Examples
        --------
        >>> import fastmlp, tempfile, os
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(os.path.join(folder, "net.npz"))
        """
        from fastmlp.saving import save  # json and zipfile are for those who save

        save(self, path)


def r2(y: NDArray[Any], z: NDArray[Any]) -> float:
    """The coefficient of determination, averaged over outputs: 1 for a perfect z, 0 for the mean of y."""
    y64, z64 = y.astype("f8"), z.astype("f8")
    residual = np.cumsum((y64 - z64) ** 2, axis=0)[-1]
    total = np.cumsum((y64 - np.cumsum(y64, axis=0)[-1] / len(y)) ** 2, axis=0)[-1]
    explained = 1 - residual / np.where(total > 0, total, 1)
    return float(np.where(total > 0, explained, residual == 0).mean())
