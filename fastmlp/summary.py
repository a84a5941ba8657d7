"""A network in a table, as text and as HTML."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmlp.network import BaseMLP

HEAD = ("layer", "inputs", "outputs", "activation", "parameters")


class Summary:
    """A table of a network's layers, as it was when this was made. Shows itself as text, and as HTML in a notebook.

    Parameters
    ----------
    net : MLP or SiameseMLP

    Examples
    --------
    >>> import fastmlp
    >>> print(fastmlp.SiameseMLP([3, 8]).summary())
    SiameseMLP, float32, loss binary_cross_entropy
    layer  inputs  outputs  activation  parameters
    1           3        8  relu                32
    head        8        1  identity             9
    total                                       41
    parameters 832 bytes, gradients 832 bytes
    """

    def __init__(self, net: "BaseMLP") -> None:
        self._title = f"{type(net).__name__}, {net.dtype}, loss {net.loss}"
        names = [*net.activations, net.output_activation]
        self._rows = []
        for layer, (W, b, name) in enumerate(zip(net.weights, net.biases, names, strict=True), 1):
            count = W.size + (0 if b is None else b.size)
            which = "head" if net._siamese and layer == len(names) else str(layer)
            self._rows.append((which, f"{W.shape[1]:,}", f"{W.shape[0]:,}", name, f"{count:,}"))
        self._total = f"{net.n_params:,}"
        state = net.optimizer_state()
        memory = [("parameters", net.params.nbytes), ("gradients", net.grads.nbytes)]
        if state["slots"]:
            memory.append(
                (f"state of {type(state['optimizer']).__name__}", sum(slot.nbytes for slot in state["slots"]))
            )
        self._memory = ", ".join(f"{what} {_bytes(n)}" for what, n in memory)

    def __str__(self) -> str:
        table = [HEAD, *self._rows, ("total", "", "", "", self._total)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            cells = [
                cell.ljust(w) if i in (0, 3) else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([self._title, *lines, self._memory])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html

        def row(cells: tuple[str, ...], tag: str) -> str:
            sides = ("left", "right", "right", "left", "right")
            inner = [
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides, strict=True)
            ]
            return f"<tr>{''.join(inner)}</tr>"

        body = "".join(row(cells, "td") for cells in self._rows)
        return (
            f"<table><caption>{html.escape(self._title)}<br>{html.escape(self._memory)}</caption>"
            f"<thead>{row(HEAD, 'th')}</thead><tbody>{body}</tbody>"
            f"<tfoot>{row(('total', '', '', '', self._total), 'td')}</tfoot></table>"
        )


def _bytes(n: int) -> str:
    """n in units of a thousand."""
    if n < 1000:
        return f"{n} bytes"
    value, unit = n / 1e3, "kB"
    for larger in ("MB", "GB", "TB"):
        if value >= 999.95:
            value, unit = value / 1e3, larger
    return f"{value:.1f} {unit}"
