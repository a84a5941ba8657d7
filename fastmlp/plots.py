"""Pictures of trainings and networks, drawn by Matplotlib (extra ``plot``). Imports it only when something is drawn."""

from collections.abc import Sequence
from math import ceil, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastmlp._names import check_whole
from fastmlp.history import History

if TYPE_CHECKING:
    from fastmlp.range_test import RangeTest

__all__ = ["LossCurveDisplay", "plot_history", "plot_weights"]


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("drawing needs Matplotlib: pip install 'fastmlp[plot]'") from None
    return pyplot


def _dress(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)


def _over_epochs(ax: Any, values: ArrayLike, label: str, **style: Any) -> Any:
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(values, np.float64)
    marker = "o" if len(values) == 1 else ""  # which has no line
    (line,) = ax.plot(np.arange(1, len(values) + 1), values, **({"label": label, "marker": marker} | style))
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    return line


class LossCurveDisplay:
    """Training and validation loss over the epochs, in the style of scikit-learn's displays.

    Parameters
    ----------
    loss : array_like, shape (epochs,)
    val_loss : array_like, shape (epochs,), optional
    name : str, optional
        Of what was trained; stands in the legend.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` has drawn.
    line_, val_line_ : matplotlib Line2D
        The curves; val_line_ is None without validation.

    Examples
    --------
    >>> import fastmlp
    >>> display = fastmlp.LossCurveDisplay(loss=[0.7, 0.5, 0.4], name="small")
    >>> display.plot().line_.get_label()
    'small: loss'
    """

    ax_: Any
    figure_: Any
    line_: Any
    val_line_: Any

    def __init__(self, *, loss: ArrayLike, val_loss: ArrayLike | None = None, name: str | None = None) -> None:
        self.loss, self.val_loss, self.name = loss, val_loss, name

    @classmethod
    def from_history(
        cls, history: History, *, ax: Any = None, name: str | None = None, **kwargs: Any
    ) -> "LossCurveDisplay":
        """Draw what fit returned.

        Parameters
        ----------
        history : History
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs
            For Matplotlib's plot.

        Returns
        -------
        LossCurveDisplay

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> history = fastmlp.MLP([2, 4, 2]).fit(np.eye(2), [0, 1], epochs=5)
        >>> display = fastmlp.LossCurveDisplay.from_history(history)
        """
        return cls(loss=history.loss, val_loss=history.val_loss or None, name=name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, name: str | None = None, **kwargs: Any
    ) -> "LossCurveDisplay":
        """Draw the loss of a fitted estimator, of fastmlp or of scikit-learn itself.

        Parameters
        ----------
        estimator : object with a `history_` or a `loss_curve_`
        ax : matplotlib Axes, optional
        name : str, optional
            By default the estimator's class.
        **kwargs
            For Matplotlib's plot.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ValueError
            If the estimator has neither.

        Examples
        --------
        >>> import fastmlp
        >>> class Fitted:
        ...     loss_curve_ = [0.7, 0.5]
        >>> display = fastmlp.LossCurveDisplay.from_estimator(Fitted())
        """
        name = type(estimator).__name__ if name is None else name
        history = getattr(estimator, "history_", None)
        if isinstance(history, History):
            return cls.from_history(history, ax=ax, name=name, **kwargs)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(f"estimator is {estimator!r}; it must be fitted, and have a history_ or a loss_curve_")
        return cls(loss=estimator.loss_curve_, name=name).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> "LossCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.
        name : str, optional
            Instead of the one given before.
        **kwargs
            For Matplotlib's plot; a label counts as the name.

        Returns
        -------
        LossCurveDisplay
            Itself.

        Examples
        --------
        >>> import fastmlp
        >>> display = fastmlp.LossCurveDisplay(loss=[3, 2], val_loss=[4, 3])
        >>> display.plot().ax_.get_ylabel()
        'loss'
        """
        name = kwargs.pop("label", self.name if name is None else name)
        if ax is None:
            _, ax = _pyplot().subplots(layout="constrained")
        prefix = "" if name is None else f"{name}: "
        self.ax_, self.figure_, self.val_line_ = ax, ax.figure, None
        self.line_ = _over_epochs(ax, self.loss, f"{prefix}loss", **kwargs)
        if self.val_loss is not None:
            alike = kwargs.keys() & {"c", "color"} and not kwargs.keys() & {"ls", "linestyle"}
            apart = {"linestyle": "--"} if alike else {}
            self.val_line_ = _over_epochs(ax, self.val_loss, f"{prefix}val_loss", **kwargs, **apart)
        ax.set_ylabel("loss")
        _dress(ax)
        if self.val_loss is not None or name is not None:
            ax.legend()
        return self


def plot_history(history: History, axes: Any = None) -> tuple[Any, ...]:
    """Draw the losses, and beside them the metric where there is one.

    Parameters
    ----------
    history : History
    axes : matplotlib Axes or sequence of them, optional
        Where to draw: the losses in the first, the metric in the second if there are two.

    Returns
    -------
    tuple of matplotlib Axes

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> history = fastmlp.MLP([2, 4, 2]).fit(np.eye(2), [0, 1], validation_data=(np.eye(2), [0, 1]))
    >>> len(fastmlp.plots.plot_history(history))
    2
    """
    if axes is None:
        n = 2 if history.val_metric else 1
        _, axes = _pyplot().subplots(1, n, squeeze=False, figsize=(5.2 * n, 3.6), layout="constrained")
    panels: tuple[Any, ...] = tuple(np.ravel(axes))
    LossCurveDisplay.from_history(history, ax=panels[0])
    if history.val_metric and len(panels) > 1:
        _over_epochs(panels[1], history.val_metric, history.metric, color="C1")  # the colour of val_loss
        panels[1].set_ylabel(f"val_{history.metric}")
        _dress(panels[1])
    return panels


def plot_weights(
    net: Any,
    shape: Sequence[int],
    units: int | Sequence[int] | None = None,
    columns: int | None = None,
    cmap: str = "RdBu_r",
    ax: Any = None,
) -> Any:
    """Draw what each unit of the first layer looks for in an image.

    Parameters
    ----------
    net : MLP, SiameseMLP, or a fitted estimator of fastmlp or scikit-learn
        Its inputs are the pixels of an image, row after row.
    shape : (height, width) or (height, width, 3)
        Of an image.
    units : int or sequence of int, optional
        How many, the first ones, or which; by default all.
    columns : int, optional
        Images in a row; by default about as many as there are rows.
    cmap : str, default "RdBu_r"
        Colours of negative and positive weights; of images in colour each channel is grey where its weight is 0.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If shape is none of the network's inputs, or there are no such units.

    Examples
    --------
    >>> import fastmlp
    >>> ax = fastmlp.plots.plot_weights(fastmlp.MLP([64, 16, 10]), (8, 8))
    """
    if not hasattr(net, "weights") and not hasattr(net, "coefs_"):
        raise ValueError(f"net is {net!r}; it must be a network, or a fitted estimator")
    W = net.weights[0] if hasattr(net, "weights") else np.transpose(net.coefs_[0])
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if not whole or len(sizes) not in (2, 3) or prod(sizes) != W.shape[1] or sizes[2:] not in ((), (3,)):
        raise ValueError(
            f"shape is {shape!r}; it must be (height, width) or (height, width, 3), with {W.shape[1]} numbers as the "
            "network has inputs"
        )
    if units is None or not isinstance(units, Sequence | np.ndarray):
        count = W.shape[0] if units is None else check_whole("units", units, 1, W.shape[0])
        chosen = list(range(count))
    else:
        chosen = [check_whole(f"units[{i}]", unit, 0, W.shape[0] - 1) for i, unit in enumerate(units)]
        if not chosen:
            raise ValueError("units is empty; it must name at least one unit")
    if columns is None:
        columns = ceil(sqrt(len(chosen) * sizes[0] / sizes[1]))
    columns = min(check_whole("columns", columns, 1, 2**31), len(chosen))
    rows = -(-len(chosen) // columns)
    size = np.abs(W[chosen])
    limit = float(size.max(where=np.isfinite(size), initial=0)) or 1.0
    # One picture of all: a subplot for each unit would take a minute for some hundreds of them.
    gap = max(1, min(sizes[:2]) // 8)
    height, width = sizes[0] + gap, sizes[1] + gap
    mosaic = np.full((rows * height - gap, columns * width - gap, *sizes[2:]), np.nan)
    for place, unit in enumerate(chosen):
        top, left = place // columns * height, place % columns * width
        mosaic[top : top + sizes[0], left : left + sizes[1]] = W[unit].reshape(sizes)
    if ax is None:
        size = 7 / max(mosaic.shape[:2])
        figsize = (max(2.5, mosaic.shape[1] * size) + 0.8, max(1.5, mosaic.shape[0] * size))
        _, ax = _pyplot().subplots(figsize=figsize, layout="constrained")
    if len(sizes) == 3:
        ax.imshow(np.nan_to_num(mosaic / limit / 2 + 0.5, nan=1.0), interpolation="nearest")
    else:
        image = ax.imshow(mosaic, cmap=cmap, vmin=-limit, vmax=limit, interpolation="nearest")
        ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    ax.set_axis_off()
    return ax


def plot_range_test(found: "RangeTest", ax: Any = None) -> Any:
    """Draw a learning-rate range test: the losses, smoothed too, and the suggested rate."""
    if ax is None:
        _, ax = _pyplot().subplots(figsize=(5.6, 3.6), layout="constrained")
    ax.plot(found.rates, found.losses, color="C0", alpha=0.35, lw=1, label="loss of a minibatch")
    ax.plot(found.rates, found.smoothed, color="C0", label="smoothed")
    if found.suggestion is not None:
        ax.axvline(found.suggestion, color="C1", ls="--", label=f"suggestion {found.suggestion:.2g}")
    ax.set_xscale("log")
    if len(found.losses) and found.losses.max() > 2 * found.smoothed[0]:
        low, high = float(found.losses.min()), 2 * float(found.smoothed[0])
        ax.set_ylim(low - 0.05 * (high - low), high)  # a loss that explodes would leave nothing of the others to see
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    _dress(ax)
    ax.legend()
    return ax
