"""What every network shares: building and initialising, fit and its arguments, gradients and updates. Thin.

Arithmetic is in C, memory and the calls into C in _engine.pyx, checks of arrays in _arrays.py, the loop over epochs in
training.py; what inputs look like and what outputs mean is said by mlp.py and siamese.py.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp import _arrays
from fastmlp._engine import Network
from fastmlp._names import ACTIVATIONS, FRACTION, NO_DERIVATIVE, check_bool, check_name, check_number, check_whole
from fastmlp._weights import row_weights
from fastmlp.callbacks import Callback, EarlyStopping, check_callbacks, check_early_stopping, judge_of
from fastmlp.history import History
from fastmlp.initialization import INITS, draw_weights
from fastmlp.losses import CLASSES, PROBABILITIES, Loss, loss_of
from fastmlp.optimizers import Adam, Optimizer, engine_settings, one_step, optimizer_of
from fastmlp.regularization import Regularization
from fastmlp.threads import num_threads
from fastmlp.training import Call, Training, progress_bar

if TYPE_CHECKING:
    from fastmlp.range_test import RangeTest
    from fastmlp.summary import Summary

Gradients = list[tuple[NDArray[Any], NDArray[Any] | None]]


def per_layer(activation: Any, layers: int, which: str, names: tuple[str, ...] = ACTIVATIONS) -> tuple[str, ...]:
    """One name for each of so many layers, from one for all or one for each."""
    if isinstance(activation, str):
        return (check_name(activation, names, "activation"),) * layers
    one_each = isinstance(activation, Sequence) or (isinstance(activation, np.ndarray) and activation.ndim == 1)
    if not one_each or len(activation) != layers:
        raise ValueError(f"activation is {activation!r}; it must be one name, or one per {which} layer ({layers} here)")
    return tuple(check_name(name, names, "activation") for name in activation)


def per_hidden_layer(dropout: Any, layers: int) -> tuple[float, ...]:
    """One chance for each of so many hidden layers, from one for all or one for each."""
    some = isinstance(dropout, Sequence | np.ndarray) and not isinstance(dropout, str) and np.ndim(dropout) == 1
    given = dropout if some else [dropout] * layers
    if len(given) != layers:
        raise ValueError(f"dropout is {dropout!r}; it must be one number, or one per hidden layer ({layers} here)")
    for chance in given:
        check_number("dropout", chance, *FRACTION)
    return tuple(float(chance) for chance in given)


def check_sizes(sizes: Sequence[int], what: str) -> tuple[int, ...]:
    """sizes as a tuple of at least two positive numbers."""
    if isinstance(sizes, str) or not hasattr(sizes, "__len__") or getattr(sizes, "ndim", 1) != 1 or len(sizes) < 2:
        raise ValueError(f"sizes is {sizes!r}; it must be at least two numbers: {what}")
    return tuple(check_whole(f"sizes[{i}]", size, 1, 2**31 - 1) for i, size in enumerate(sizes))


class BaseMLP(Network):
    """What MLP and SiameseMLP share: building, fit, gradients, updates, views.

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
        check_bool("bias", bias)
        check_name(init, INITS, "init")
        objective = loss_of(loss)
        if objective.name in CLASSES and sizes[-1] == 1:
            raise ValueError("a softmax over one output is always 1: give two outputs, or loss='binary_cross_entropy'")
        seed = check_whole("seed", seed, 0, 2**64 - 1)
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
        self.dropout, self.init, self._siamese = chances, init, siamese
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

    def _twin(self) -> "BaseMLP":
        """A network of its own with the same layers, loss and parameters, to try something on."""
        twin = type(self).__new__(type(self))
        BaseMLP.__init__(
            twin, self.sizes, self.activations, self.objective, self.output_activation, self.bias, self.dtype,
            self.seed, self.dropout, self.init, self._siamese,
        )  # fmt: skip
        twin.params = self.params
        return twin

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

    def _targets(
        self, y: ArrayLike, X: tuple[NDArray[Any], ...], one_row: bool, X_name: str = "X", name: str = "y"
    ) -> NDArray[Any]:
        """y checked against the loss and the rows of X."""
        if self.loss in CLASSES:
            result: NDArray[Any] = _arrays.classes(y, self.sizes[-1], name)
        else:
            result = _arrays.targets(y, self.sizes[-1], self.dtype, one_row, name)
        _arrays.same_rows(X[0], result, X_name, name)
        return result

    def _refuse_no_gradient(self) -> None:
        bad = [name for name in (*self.activations, self.output_activation) if name in NO_DERIVATIVE]
        if bad:
            raise ValueError(f"activation {bad[0]!r} has no useful derivative: this network has no gradient")
        if self.output_activation != "identity":
            raise ValueError(f"output_activation is {self.output_activation!r}; training and gradients need 'identity'")

    def _training_data(self, X: Any, y: ArrayLike) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
        """Inputs and targets for a gradient, which the activations must have."""
        self._refuse_no_gradient()
        inputs, one_row = self._inputs(X)
        inputs = tuple(_arrays.apart(x, self.grads) for x in inputs)
        targets = _arrays.apart(self._targets(y, inputs, one_row), self.grads)
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
        X, y = _arrays.pair(data, "validation_data")
        inputs, one_row = self._inputs(X, "validation_data[0]")
        targets = self._targets(y, inputs, one_row, "validation_data[0]", "validation_data[1]")
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
        for i, rows in enumerate(inputs):
            _arrays.finite(rows, X_name if len(inputs) == 1 else f"{X_name}[{i}]")
        if targets.dtype.kind == "f":
            _arrays.finite(targets, y_name)

    def _labels(self, targets: NDArray[Any], class_weight: Any) -> tuple[NDArray[np.int64] | None, int]:
        """The classes of the targets and how many there are, None where they have none; looked at only if needed."""
        if class_weight is None:
            return None, 0
        if self.loss in CLASSES:
            return targets, self.sizes[-1]
        if self.loss not in PROBABILITIES or self.sizes[-1] > 1:
            return None, 0
        bad = (targets != 0) & (targets != 1)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"class_weight needs targets that are 0 or 1; y is {targets[row, 0]} in row {row}")
        return targets[:, 0].astype(np.int64), 2

    # ---- training ----

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        epochs: int = 10,
        batch_size: int = 128,
        optimizer: Optimizer | str = Adam(),  # noqa: B008 - settings are immutable
        shuffle: bool = True,
        validation_data: tuple[Any, ArrayLike] | None = None,
        threads: int | None = None,
        verbose: bool | str = False,
        checkpoint: Any = None,
        checkpoint_every: int | None = None,
        resume: Any = None,
        regularization: Regularization | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: str | Mapping[int, float] | ArrayLike | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
        early_stopping: EarlyStopping | bool | None = None,
    ) -> History:
        """Train by minibatches.

        Parameters
        ----------
        X : array_like, shape (B, I)
            Never copied if it is C-contiguous and of the network's dtype. (A siamese network takes a pair of them.)
        y : array_like
            softmax_cross_entropy, focal: (B,) class numbers; otherwise (B, O), or (B,) where O = 1.
        epochs : int, default 10
        batch_size : int, default 128
            Rows a step; the last step of an epoch takes what is left.
        optimizer : SGD, Adam, AdamW, RMSprop, Lion or str, default Adam()
            A name, such as "adam", is short for the defaults. Goes on from the state of the last call with the same
            class; see reset_optimizer.
        shuffle : bool, default True
            A new order of the rows each epoch, drawn from the network's seed and the number of the epoch.
        validation_data : (X, y), optional
            Evaluated after each epoch.
        threads : int, optional
            At most; by default what set_num_threads or the machine says. No result depends on it.
        verbose : bool or "bar", default False
            Print a line per epoch, or show a bar with the time that is left (extra ``progress``).
        checkpoint : str or os.PathLike, optional
            A file to keep, ending in .npz or .safetensors, from which `resume` goes on; written at Ctrl-C too.
            `fastmlp.load` reads it as it reads any network.
        checkpoint_every : int, optional
            Steps from one checkpoint to the next; by default those of an epoch. The last step always leaves one.
        resume : str or os.PathLike, optional
            A checkpoint of the same call on the same network and data: the network becomes what it was there, and fit
            goes on to the same bits as if it had never broken off, with any `threads`.
        regularization : Regularization, optional
            Penalties and bounds of the weights.
        sample_weight : array_like, shape (B,), optional
            How much each row counts, at least 0: a minibatch's loss is its weighted mean, so at least one of its rows
            must count.
        class_weight : "balanced", dict or sequence, optional
            How much each class counts, where targets are classes (0 and 1 with one binary output); multiplied into
            sample_weight. "balanced" weighs each of K classes by B / (K n), n being its rows; a class that a dict
            leaves out has 1.
        callbacks : Callback or iterable of Callback, optional
            Called in their order.
        early_stopping : EarlyStopping or bool, optional
            Stop when validation data say so; True is short for EarlyStopping().

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            For shapes, types or values that do not fit, numbers that are not finite, or a checkpoint of another network
            or call; nothing has changed, unless a minibatch of a later epoch has no row that counts.
        OSError
            If the checkpoint cannot be written or read.
        FloatingPointError
            If the loss of a step is not finite: the message names epoch and step, which has changed nothing.
        ImportError
            If verbose is "bar" and tqdm is not installed.

        Notes
        -----
        With an optimizer that has `ema`, validation data are evaluated with the averaged weights, and the network ends
        with them; with early stopping that restores the best weights, it ends with those. Both are so at the end of
        fit, also one that a callback stops, and in what `fastmlp.load` reads from a checkpoint; an error in midst of it
        leaves the network where the last step left it. A resumed fit goes on where a callback stopped; another fit
        goes on from the parameters as they are, averaged ones too, and from the average so far.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        >>> net = fastmlp.MLP([2, 16, 2], seed=0)
        >>> history = net.fit(X, [0, 1, 1, 0], epochs=200, optimizer=fastmlp.Adam(learning_rate=0.05))
        >>> net.predict(X)
        array([0, 1, 1, 0])
        """
        epochs = check_whole("epochs", epochs, 0, 2**32 - 1 - self.epochs_done)
        batch_size = check_whole("batch_size", batch_size, 1, sys.maxsize)
        check_bool("shuffle", shuffle)
        num_threads(threads)
        inputs, targets = self._training_data(X, y)
        self._refuse_not_finite(inputs, targets)
        rule = optimizer_of(optimizer)
        engine_settings(rule, self.dtype)
        validation = None if validation_data is None else self._validation_data(validation_data)
        stopping = check_early_stopping(early_stopping)
        if stopping is not None and validation is None:
            raise ValueError(f"early_stopping is {early_stopping!r}; it needs validation_data to look at")
        metric = judge_of(stopping, self.loss)
        labels, classes = self._labels(targets, class_weight)
        if regularization is not None and not isinstance(regularization, Regularization):
            raise ValueError(f"regularization is {regularization!r}; it must be a Regularization or None")
        weights = row_weights(sample_weight, class_weight, labels, classes, len(targets), batch_size, self.dtype)
        if not (
            verbose == "bar" if isinstance(verbose, str) else isinstance(verbose, int | np.bool_) and verbose in (0, 1)
        ):
            raise ValueError(f"verbose is {verbose!r}; it must be True, False or 'bar'")
        if verbose == "bar":
            progress_bar()
        steps = -(-len(targets) // batch_size)
        every = steps if checkpoint_every is None else check_whole("checkpoint_every", checkpoint_every, 1, sys.maxsize)
        if checkpoint is None and checkpoint_every is not None:
            raise ValueError(f"checkpoint_every is {checkpoint_every}, but there is no checkpoint to write")
        if checkpoint is not None:
            from fastmlp import saving

            saving.check_room(self, checkpoint, "checkpoint", rule, stopping is not None)
        call = Call(
            (inputs, targets), epochs, batch_size, rule, bool(shuffle), validation, threads, verbose, checkpoint,
            every, resume, weights, regularization, check_callbacks(callbacks), stopping, metric,
        )  # fmt: skip
        return Training(self, call).run()

    def train_step(self, X: Any, y: ArrayLike, optimizer: Optimizer | str) -> float:
        """One step on all rows of X at once.

        Parameters
        ----------
        X, y : array_like
            As for fit.
        optimizer : SGD, Adam, AdamW, RMSprop, Lion or str

        Returns
        -------
        float
            The mean loss before the update.

        Raises
        ------
        ValueError, TypeError
            As fit does, and for a learning rate that is a schedule; nothing has changed.
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
        rule = one_step(optimizer)
        with self._turn():
            try:
                return self._train(inputs, targets, None, len(targets), rule) / len(targets)
            except FloatingPointError:
                raise FloatingPointError("the loss is not finite; this step changed nothing") from None

    def find_learning_rate(
        self,
        X: Any,
        y: ArrayLike,
        batch_size: int = 128,
        low: float = 1e-7,
        high: float = 1.0,
        steps: int = 100,
        optimizer: Optimizer | str = Adam(),  # noqa: B008 - settings are immutable
    ) -> "RangeTest":
        """A learning-rate range test (Smith 2017): the losses while the rate of a copy rises from low to high.

        Parameters
        ----------
        X, y : array_like
            As for fit.
        batch_size : int, default 128
        low, high : float, default 1e-7 and 1
            The first and the last rate; between them each is the same multiple of the one before.
        steps : int, default 100
            Fewer are done if the loss is about to diverge.
        optimizer : SGD, Adam, AdamW, RMSprop, Lion or str, default Adam()
            Its own learning rate does not matter.

        Returns
        -------
        RangeTest
            With ``rates``, ``losses``, ``suggestion`` and ``plot()``. The network has not changed.

        Raises
        ------
        ValueError, TypeError
            As fit does, and for rates and steps out of range.

        Examples
        --------
        >>> import fastmlp
        >>> from fastmlp import digits
        >>> X, y = digits.load()
        >>> found = fastmlp.MLP([64, 32, 10]).find_learning_rate(X, y)
        >>> 1e-4 < found.suggestion < 1e-1
        True
        """
        from fastmlp.range_test import range_test  # for those who ask

        batch_size = check_whole("batch_size", batch_size, 1, sys.maxsize)
        data = self._training_data(X, y)
        self._refuse_not_finite(*data)
        rule = optimizer_of(optimizer)
        engine_settings(rule, self.dtype)
        return range_test(self._twin(), data, batch_size, low, high, steps, rule)

    def summary(self) -> "Summary":
        """A table of the layers, their parameters, and the memory that they take.

        Returns
        -------
        Summary
            Shows itself as text, and as HTML in a notebook.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.MLP([4, 64, 2]).summary()
        MLP, float32, loss softmax_cross_entropy
        layer  inputs  outputs  activation  parameters
        1           4       64  relu               320
        2          64        2  identity           130
        total                                      450
        parameters with padding 5.4 kB, gradients 5.4 kB
        """
        from fastmlp.summary import Summary

        return Summary(self)

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
        inputs = tuple(_arrays.apart(x, self.grads) for x in inputs)
        rows = _arrays.apart(rows, self.grads)
        _arrays.same_rows(inputs[0], rows, "X", "dz")
        if not len(rows):
            raise ValueError(f"X has shape {inputs[0].shape}; a gradient needs at least one row")
        with self._turn():
            dX = self._backward(inputs, rows)
        parts = np.split(dX, len(inputs))
        parts = [part[0] if one_row else part for part in parts]
        return parts[0] if len(parts) == 1 else tuple(parts)

    def update(self, optimizer: Optimizer | str) -> None:
        """One optimizer step from `net.grads` as they stand: after backward, and after what you did to them.

        Parameters
        ----------
        optimizer : SGD, Adam, AdamW, RMSprop, Lion or str

        Raises
        ------
        ValueError
            For another optimizer, or one whose learning rate is a schedule; nothing has changed.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error")
        >>> dX = net.backward([[1, 2]], [[0.5]])  # dJ/dz of a loss of one's own
        >>> net.grads *= 0.1
        >>> net.update(fastmlp.SGD(0.01))
        """
        with self._turn():
            self._update(one_step(optimizer))

    def save(self, path: Any) -> None:
        """Write the network with its optimizer state to a file that `fastmlp.load` reads.

        Parameters
        ----------
        path : str or os.PathLike
            Ends in ".npz", or ".safetensors" where that package is installed. An older file there is replaced only when
            the new one is complete.

        Raises
        ------
        ValueError
            For another ending, or metadata that JSON cannot hold.
        OSError
            If the file cannot be written.
        ImportError
            For ".safetensors" without that package (extra ``safetensors``).

        Examples
        --------
        >>> import fastmlp, tempfile, os
        >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(os.path.join(folder, "net.npz"))
        """
        from fastmlp.saving import save  # json and zipfile are for those who save

        save(self, path)
