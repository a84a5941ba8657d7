"""A network in a table, as text and as HTML."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmlp.network import BaseMLP

HEAD = ["layer", "inputs", "outputs", "activation", "dropout", "parameters"]  # dropout only where there is some
SIDES = ["left", "right", "right", "left", "right", "right"]


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
    parameters with padding 832 bytes, gradients 832 bytes
    """

    def __init__(self, net: "BaseMLP") -> None:
        self._title = f"{type(net).__name__}, {net.dtype}, loss {net.loss}"
        names, chances = [*net.activations, net.output_activation], [*net.dropout, 0.0]
        rows = []
        for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
            count = W.size + (0 if b is None else b.size)
            which = "head" if net._siamese and layer == len(names) - 1 else str(layer + 1)
            chance = f"{chances[layer]:g}" if chances[layer] else ""
            rows.append([which, f"{W.shape[1]:,}", f"{W.shape[0]:,}", names[layer], chance, f"{count:,}"])
        table = [HEAD, *rows, ["total", "", "", "", "", f"{net.n_params:,}"]]
        shown = [i for i in range(len(HEAD)) if HEAD[i] != "dropout" or any(chances)]
        self._table = [[row[i] for i in shown] for row in table]
        self._sides = [SIDES[i] for i in shown]
        state = net.optimizer_state()
        memory = [("parameters with padding", net.params.nbytes), ("gradients", net.grads.nbytes)]
        if state["slots"]:
            kind = state["optimizer"]._public().__name__
            memory.append((f"state of {kind}", sum(slot.nbytes for slot in state["slots"])))
        self._memory = ", ".join(f"{what} {_bytes(n)}" for what, n in memory)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._table, strict=True)]
        specs = [("<" if side == "left" else ">") + str(width) for side, width in zip(self._sides, widths, strict=True)]
        lines = ["  ".join(map(format, row, specs)).rstrip() for row in self._table]
        return "\n".join([self._title, *lines, self._memory])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html

        def row(cells: list[str], tag: str) -> str:
            inner = [
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(cells, self._sides, strict=True)
            ]
            return f"<tr>{''.join(inner)}</tr>"

        head, *layers, total = self._table
        return (
            f"<table><caption>{html.escape(self._title)}<br>{html.escape(self._memory)}</caption>"
            f"<thead>{row(head, 'th')}</thead><tbody>{''.join(row(cells, 'td') for cells in layers)}</tbody>"
            f"<tfoot>{row(total, 'td')}</tfoot></table>"
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
