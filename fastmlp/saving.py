"""Networks as files: one `.npz` of plain tensors and a JSON header.

The first member, `header.npy`, holds the bytes of a JSON document: what the network is, how far its optimizer got, and its
metadata. Then come, little-endian and without padding, `layers.0.weight` (O, I), `layers.0.bias` (O,), `layers.1.weight` and
so on, and the optimizer's buffers as `optimizer.m.layers.0.weight` ... `numpy.load` reads them too.

Refuses whatever `save` does not write: the header alone says which tensors follow and how large each is, and all of it is
checked before a network is built. Parameters are the user's: whatever bits they have, NaN included, come back as they were.
"""

import dataclasses
import itertools
import os
from math import isfinite

import numpy as np

from fastmlp._npz import Archive, FormatError, replace
from fastmlp.mlp import MLP
from fastmlp.optimizers import SGD, Adam, AdamW
from fastmlp.siamese import SiameseMLP

FORMAT, VERSION = "fastmlp", 1
MAX_HEADER = 1 << 22  # bytes of JSON; tens of thousands of feature names fit
OPTIMIZERS = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
SLOTS = {type(None): (), SGD: ("velocity",), Adam: ("m", "v"), AdamW: ("m", "v")}  # the buffers that each keeps
_HEADER = dict.fromkeys(("format", "kind", "output_activation", "loss", "dtype"), str)
_HEADER |= {"version": int, "sizes": list, "activations": list, "bias": bool, "seed": int, "epochs_done": int}
_HEADER |= {"optimizer": (dict, type(None)), "metadata": dict}


def save(net, path):
    """Write a network to a file; either the old file or the whole new one is there afterwards, whatever happens.

    Parameters
    ----------
    net : MLP or SiameseMLP
        With its parameters, the state of its optimizer, and `net.metadata`, which JSON must be able to hold.
    path : str or os.PathLike
        A name that ends in .npz. An existing file is replaced and its permissions are kept; a symbolic link is followed.

    Raises
    ------
    ValueError
        If path does not end in .npz, or net.metadata are not text, finite numbers, bools, None, lists and dicts with str
        keys, or exceed 4 MB.
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


def load(path):
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
    """
    with open(path, "rb") as file:
        try:
            return _read(Archive(file))
        except FormatError as error:
            raise FormatError(f"{os.fsdecode(path)}: {error}") from None


# The header.


def _header_of(net, state):
    optimizer = state["optimizer"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": "SiameseMLP" if isinstance(net, SiameseMLP) else "MLP",
        "sizes": list(net.sizes),
        "activations": list(net.activations),
        "output_activation": net.output_activation,
        "loss": net.loss,
        "bias": net.bias,
        "dtype": net.dtype.name,
        "seed": net.seed,
        "epochs_done": net.epochs_done,
        "optimizer": None if optimizer is None else _optimizer_header(optimizer, state),
        "metadata": net.metadata,
    }


def _optimizer_header(optimizer, state):
    kind = type(optimizer).__name__
    if OPTIMIZERS.get(kind) is not type(optimizer):
        raise ValueError(f"the network's optimizer is a {kind}; only {', '.join(OPTIMIZERS)} can be saved")
    settings = {name: kind_of(getattr(optimizer, name)) for name, kind_of in _settings(type(optimizer)).items()}
    return {"kind": kind, "settings": settings, "steps": state["steps"], "beta_powers": list(state["beta_powers"])}


def _settings(optimizer_class):
    return {field.name: field.type for field in dataclasses.fields(optimizer_class)}


def _json_of(header):
    import json

    metadata = header["metadata"]
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"net.metadata cannot be saved as JSON: {error}") from None
    if not isinstance(metadata, dict) or json.loads(text)["metadata"] != metadata:
        raise ValueError("net.metadata would come back changed; wanted a dict of str keys, without tuples")
    if len(text) > MAX_HEADER:
        raise ValueError(f"net.metadata need {len(text)} bytes as JSON; wanted at most {MAX_HEADER}")
    return text.encode()


def _parsed(text):
    import json

    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def finite(number):
        if not isfinite(float(number)):
            raise ValueError(f"{number} is not a finite number")
        return float(number)

    if len(text) > MAX_HEADER:
        raise FormatError(f"its header has {len(text)} bytes; wanted at most {MAX_HEADER}")
    try:
        return json.loads(text.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its header is no JSON document: {str(error)[:200]}") from None


def _check_fields(where, found, wanted):
    if set(found) != set(wanted):
        raise FormatError(f"{where} has the fields {str(sorted(found))[:400]}; wanted {sorted(wanted)}")
    for name, kind in wanted.items():
        if not isinstance(found[name], kind) or (kind is int and (isinstance(found[name], bool) or found[name] < 0)):
            raise FormatError(f"{where}: {name} is {str(found[name])[:80]!r}")


def _check_header(header):
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError("not a model of fastmlp")
    if header.get("version") != VERSION:
        raise FormatError(f"format version {str(header.get('version'))[:80]}; this fastmlp reads version {VERSION}")
    _check_fields("its header", header, _HEADER)
    if header["kind"] not in ("MLP", "SiameseMLP"):
        raise FormatError(f"kind {header['kind'][:80]!r}; wanted MLP or SiameseMLP")
    if header["dtype"] not in ("float32", "float64"):
        raise FormatError(f"dtype {header['dtype'][:80]!r}; wanted float32 or float64")
    for size in header["sizes"]:
        if type(size) is not int or size < 1:
            raise FormatError(f"its header: sizes contain {str(size)[:80]!r}")


def _optimizer_of(found):
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


def _tensors(net, state):
    """(name, view) of all that is stored."""
    names = SLOTS[type(state["optimizer"])]
    slots = zip([f"optimizer.{name}." for name in names], state["slots"], strict=True)
    for prefix, flat in [("", net.params), *slots]:
        for layer, (W, b) in enumerate(net._views(flat)):
            yield f"{prefix}layers.{layer}.weight", W
            if b is not None:
                yield f"{prefix}layers.{layer}.bias", b


def _network_of(header, n_slots, left):
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
        build = SiameseMLP if siamese else MLP
        net = build(sizes[:-1] if siamese else sizes, activation=header["activations"], **settings)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"its header: {error}") from None
    if (net.sizes, net.loss, net.output_activation) != (tuple(sizes), header["loss"], header["output_activation"]):
        raise FormatError(f"its header: a {header['kind']} has no such sizes, loss or output_activation")
    net.metadata = header["metadata"]
    net.epochs_done = header["epochs_done"]
    return net


def _read(archive):
    header = _parsed(archive.tensor("header", "|u1", (None,)).tobytes())
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
