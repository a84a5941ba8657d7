"""Networks as files: one `.npz` of plain tensors and a JSON header.

The first member, `header.npy`, holds the bytes of a JSON document: what the network is, how far its optimizer got, and
its metadata. Then come, little-endian and without padding, `layers.0.weight` (O, I), `layers.0.bias` (O,),
`layers.1.weight` and so on, and the optimizer's buffers as `optimizer.m.layers.0.weight` ... `numpy.load` reads them.

Refuses whatever `save` does not write: the header alone says which tensors follow and how large each is, and all of it
is checked before a network is built. Parameters are the user's: whatever bits they have, NaN included, come back.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp._npz import Archive, FormatError, replace
from fastmlp.mlp import MLP
from fastmlp.network import BaseMLP
from fastmlp.optimizers import SGD, Adam, AdamW
from fastmlp.siamese import SiameseMLP

__all__ = ["FormatError", "load", "save"]

FORMAT, VERSION = "fastmlp", 1
MAX_HEADER = 1 << 22  # bytes of JSON; tens of thousands of feature names fit
OPTIMIZERS: dict[str, type[SGD | Adam]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
SLOTS: dict[type, tuple[str, ...]] = {type(None): (), SGD: ("velocity",), Adam: ("m", "v"), AdamW: ("m", "v")}
_HEADER: dict[str, Any] = dict.fromkeys(("format", "kind", "output_activation", "loss", "dtype"), str)
_HEADER |= {"version": int, "sizes": list, "activations": list, "bias": bool, "seed": int, "epochs_done": int}
_HEADER |= {"optimizer": (dict, type(None)), "metadata": dict}


def save(net: BaseMLP, path: str | bytes | os.PathLike[Any]) -> None:
    """Write a network to a file; either the old file or the whole new one is there afterwards, whatever happens.

    Parameters
    ----------
    net : MLP or SiameseMLP
        With its parameters, the state of its optimizer, and `net.metadata`, which JSON must be able to hold.
    path : str or os.PathLike
        A name that ends in .npz. An existing file is replaced, its permissions are kept; a symbolic link is followed.

    Raises
    ------
    ValueError
        If path does not end in .npz, or net.metadata is not made of text, finite numbers, bools, None, lists and dicts
        with str keys, or exceeds 4 MB.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> net = fastmlp.MLP([2, 3, 2])
    >>> net.save(path)
    >>> bool((fastmlp.load(path).params == net.params).all())
    True
    """
    path = os.fsdecode(path)
    if not path.endswith(".npz"):
        raise ValueError(f"path is {path!r}; wanted a file name that ends in .npz")
    state = net.optimizer_state()
    header = np.frombuffer(_json_of(_header_of(net, state)), np.uint8)
    replace(path, [("header", header), *_tensors(net, state)])


def load(path: str | bytes | os.PathLike[Any]) -> MLP | SiameseMLP:
    """Read a network that `save` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    MLP or SiameseMLP
        Equal to the saved one in every bit and setting; training goes on where it stopped.

    Raises
    ------
    FormatError
        If the file is damaged, is no such file, or is of a version that this fastmlp does not read. Nothing in it is
        ever executed.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import fastmlp, tempfile, os
    >>> net = fastmlp.MLP([2, 3, 1], loss="squared_error", seed=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "net.npz"))
    ...     again = fastmlp.load(os.path.join(folder, "net.npz"))
    >>> again.sizes, again.seed
    ((2, 3, 1), 4)
    """
    with open(path, "rb") as file:
        try:
            return _read(Archive(file))
        except FormatError as error:
            raise FormatError(f"{os.fsdecode(path)}: {error}") from None


# The header.


def _header_of(net: BaseMLP, state: dict[str, Any]) -> dict[str, Any]:
    optimizer = state["optimizer"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": "SiameseMLP" if isinstance(net, SiameseMLP) else "MLP",
        **{name: getattr(net, name) for name in ("sizes", "activations", "output_activation", "loss", "bias", "seed")},
        "dtype": net.dtype.name,
        "epochs_done": net.epochs_done,
        "optimizer": None if optimizer is None else _optimizer_header(optimizer, state),
        "metadata": net.metadata,
    }


def _optimizer_header(optimizer: SGD | Adam, state: dict[str, Any]) -> dict[str, Any]:
    kind = type(optimizer).__name__
    if OPTIMIZERS.get(kind) is not type(optimizer):
        raise ValueError(f"the network's optimizer is a {kind}; only {', '.join(OPTIMIZERS)} can be saved")
    settings = {name: kind_of(getattr(optimizer, name)) for name, kind_of in _settings(type(optimizer)).items()}
    return {"kind": kind, "settings": settings, "steps": state["steps"], "beta_powers": list(state["beta_powers"])}


def _settings(optimizer_class: type[SGD | Adam]) -> dict[str, Any]:
    return {field.name: field.type for field in dataclasses.fields(optimizer_class)}


def _json_of(header: dict[str, Any]) -> bytes:
    import json

    metadata = header["metadata"]
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"net.metadata cannot be saved as JSON: {error}") from None
    if not isinstance(metadata, dict) or json.loads(text)["metadata"] != metadata:
        raise ValueError("net.metadata would come back changed; it must be a dict with str keys and without tuples")
    if len(text) > MAX_HEADER:
        raise ValueError(f"net.metadata takes {len(text)} bytes as JSON; it must take at most {MAX_HEADER}")
    return text.encode()


def _parsed(text: bytes) -> Any:
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def finite(number: str) -> float:
        if not isfinite(float(number)):
            raise ValueError(f"{number} is not a finite number")
        return float(number)

    if len(text) > MAX_HEADER:
        raise FormatError(f"its header has {len(text)} bytes; wanted at most {MAX_HEADER}")
    try:
        return json.loads(text.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its header is no JSON document: {str(error)[:200]}") from None


def _check_fields(where: str, found: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    if set(found) != set(wanted):
        raise FormatError(f"{where} has the fields {str(sorted(found))[:400]}; wanted {sorted(wanted)}")
    for name, kind in wanted.items():
        if not isinstance(found[name], kind) or (kind is int and (isinstance(found[name], bool) or found[name] < 0)):
            raise FormatError(f"{where}: {name} is {str(found[name])[:80]!r}")


def _check_header(header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError("not a model of fastmlp")
    if header.get("version") != VERSION:
        raise FormatError(f"format version {str(header.get('version'))[:80]}; this fastmlp reads version {VERSION}")
    _check_fields("its header", header, _HEADER)
    if header["epochs_done"] >= 2**32:
        raise FormatError(f"its header: epochs_done is {str(header['epochs_done'])[:80]}; wanted less than 2**32")
    for name, known in (("kind", ("MLP", "SiameseMLP")), ("dtype", ("float32", "float64"))):
        if header[name] not in known:
            raise FormatError(f"its header: {name} is {header[name][:80]!r}; wanted {' or '.join(known)}")
    for size in header["sizes"]:
        if type(size) is not int or not 0 < size < 2**31:
            raise FormatError(f"its header: sizes contain {str(size)[:80]!r}")


def _optimizer_of(found: dict[str, Any] | None) -> dict[str, Any]:
    """The optimizer's state, its buffers still missing."""
    if found is None:
        return {"optimizer": None}
    _check_fields("its optimizer", found, {"kind": str, "settings": dict, "steps": int, "beta_powers": list})
    powers, kind = found["beta_powers"], OPTIMIZERS.get(found["kind"])
    if kind is None:
        raise FormatError(f"optimizer {found['kind'][:80]!r}; wanted one of {', '.join(OPTIMIZERS)}")
    _check_fields("its optimizer's settings", found["settings"], _settings(kind))
    if len(powers) != 2 or not all(type(power) is float and 0 <= power <= 1 for power in powers):
        raise FormatError(f"its optimizer: beta_powers are {str(powers)[:80]}; wanted two numbers from 0 to 1")
    try:
        return {"optimizer": kind(**found["settings"]), "steps": found["steps"], "beta_powers": tuple(powers)}
    except ValueError as error:
        raise FormatError(f"its optimizer: {error}") from None


# Networks and tensors, in the order of the file.


def _tensors(net: BaseMLP, state: dict[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, view) of all that is stored."""
    names = SLOTS[type(state["optimizer"])]
    slots = zip([f"optimizer.{name}." for name in names], state["slots"], strict=True)
    for prefix, flat in [("", net.params), *slots]:
        for layer, (W, b) in enumerate(net._views(flat)):
            yield f"{prefix}layers.{layer}.weight", W
            if b is not None:
                yield f"{prefix}layers.{layer}.bias", b


def _network_of(header: dict[str, Any], n_slots: int, left: int) -> MLP | SiameseMLP:
    """The untrained network that a checked header describes, if `left` bytes can fill it."""
    sizes, siamese = header["sizes"], header["kind"] == "SiameseMLP"
    count = sum((inputs + header["bias"]) * outputs for inputs, outputs in itertools.pairwise(sizes))
    needed = (1 + n_slots) * (count * np.dtype(header["dtype"]).itemsize + 100 * (len(sizes) - 1))
    if needed > left:
        raise FormatError(f"its tensors need {needed} bytes; {left} are there")
    settings = {name: header[name] for name in ("bias", "dtype", "seed")}
    if not siamese:
        settings |= {name: header[name] for name in ("loss", "output_activation")}
    try:
        build: type[MLP | SiameseMLP] = SiameseMLP if siamese else MLP
        net = build(sizes[:-1] if siamese else sizes, activation=header["activations"], **settings)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"its header: {error}") from None
    if (net.sizes, net.loss, net.output_activation) != (tuple(sizes), header["loss"], header["output_activation"]):
        raise FormatError(f"its header: a {header['kind']} has no such sizes, loss or output_activation")
    net.metadata = header["metadata"]
    net.epochs_done = header["epochs_done"]
    return net


def _read(archive: Archive) -> MLP | SiameseMLP:
    header = _parsed(archive.tensor("header", "|u1", (-1,)).tobytes())
    _check_header(header)
    state = _optimizer_of(header["optimizer"])
    n_slots = len(SLOTS[type(state["optimizer"])])
    net = _network_of(header, n_slots, archive.left)
    state["slots"] = [np.zeros_like(net.params) for _ in range(n_slots)]
    for name, view in _tensors(net, state):
        view[...] = archive.tensor(name, view.dtype.newbyteorder("<").str, view.shape)
    archive.finish()
    try:
        net.set_optimizer_state(state)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"its optimizer: {error}") from None
    return net
