"""What a call of fit has to tell: one number an epoch in each list; and where it is, should it break off."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass
class History:
    """The course of a training.

    Attributes
    ----------
    loss : list of float
        Mean loss over the rows of each epoch, as each step found it before its update.
    val_loss, val_metric : list of float
        Mean loss, and accuracy (R² for values) or the metric of early_stopping, on the validation data after each
        epoch; empty without such data.
    seconds : list of float
        Time of the training steps of each epoch: without validation, and without the look for bad values before the
        first.
    metric : str
        What val_metric is; "" without validation data.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> net = fastmlp.MLP([1, 4, 1], loss="squared_error")
    >>> history = net.fit(np.ones((8, 1)), np.ones(8), epochs=3)
    >>> len(history.loss), history.val_loss
    (3, [])
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_metric: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    metric: str = ""

    def plot(self, axes: Any = None) -> tuple[Any, ...]:
        """Draw the losses, and the metric where there is one (extra ``plot``: Matplotlib).

        Parameters
        ----------
        axes : matplotlib Axes or sequence of them, optional
            Where to draw: the losses in the first, the metric in the second if there are two. By default in a new
            figure.

        Returns
        -------
        tuple of matplotlib Axes

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import fastmlp
        >>> history = fastmlp.History(loss=[0.7, 0.5, 0.4], val_loss=[0.8, 0.6, 0.6], seconds=[0.1, 0.1, 0.1])
        >>> (axes,) = history.plot()
        >>> axes.get_xlabel()
        'epoch'
        """
        from fastmlp.plots import plot_history

        return plot_history(self, axes)


@dataclass
class Progress:
    """Where a fit is, and between which bounds: what a checkpoint keeps beside the network.

    rows, batch_size and shuffle are fit's, as is early_stopping in words; the network had epochs_before when it began.
    `epochs` are done and in the history; of the next, rows_done rows with a sum of losses and the seconds that they
    took. `best` are the parameters to which early stopping would return.
    """

    rows: int
    batch_size: int
    shuffle: bool
    epochs_before: int
    early_stopping: str | None = None
    epochs: int = 0
    rows_done: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: History = field(default_factory=History)
    best: NDArray[Any] | None = None
