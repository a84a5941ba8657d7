"""Networks as files and as bytes: plain tensors and a JSON header, in an `.npz` or a `.safetensors` file.

The header says what the network is, how far its optimizer got, and its metadata; in an .npz it is the bytes of the
first member, `header.npy`, in a .safetensors file the text `fastmlp` of its metadata. Then come, little-endian and
without padding, `layers.0.weight` (O, I), `layers.0.bias` (O,), `layers.1.weight` and so on, and the optimizer's
buffers as `optimizer.m.layers.0.weight` ... A checkpoint of a broken-off fit says besides, in the header's `training`,
how far that got, and has the lists of its History as `history.loss` ..., and the parameters to which early stopping
would return as `best.layers.0.weight` ... Long lists in the metadata are tensors too, `metadata.mean` ..., which the
header's `lists` describes. `numpy.load` or safetensors reads all of them. A file that uses nothing that version 1 did
not know is of version 1.

Refuses whatever `save` does not write: the header alone says which tensors follow and how large each is, and all of it
is checked before a network is built. Parameters are the user's: whatever bits they have, NaN included, come back.
"""

import dataclasses
import errno
import itertools
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp import _lists, _npz, _safetensors
from fastmlp._files import MAX_BYTES, MAX_DEPTH, FormatError, excess, json_of, replace, shown, target_of, too_deep
from fastmlp.history import Progress
from fastmlp.losses import BY_NAME
from fastmlp.mlp import MLP
from fastmlp.network import BaseMLP
from fastmlp.optimizers import SGD, Adam, AdamW, Lion, Optimizer, RMSprop
from fastmlp.schedules import Cosine, OneCycle, ReduceOnPlateau, StepDecay
from fastmlp.siamese import SiameseMLP
from fastmlp.training import conclude

__all__ = ["FormatError", "load", "save"]

FORMAT, VERSIONS = "fastmlp", (1, 2)
MAX_LAYERS = 300  # which take some 2 ms to build
MAX_METADATA = (45_000, 3_000)  # bytes and values of JSON: with 300 layers they stay below what json_of reads
KINDS: dict[str, type[MLP | SiameseMLP]] = {"MLP": MLP, "SiameseMLP": SiameseMLP}
OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, Lion)}
SCHEDULES: dict[str, Any] = {kind.__name__: kind for kind in (StepDecay, Cosine, OneCycle, ReduceOnPlateau)}
SLOTS = {"sgd": ("velocity",), "adam": ("m", "v"), "rmsprop": ("m", "v"), "lion": ("m",)}
_HEADER: dict[str, Any] = dict.fromkeys(("format", "kind", "output_activation", "loss", "dtype"), str)
_HEADER |= {"version": int, "sizes": list, "activations": list, "bias": bool, "seed": int, "epochs_done": int}
_HEADER |= {"optimizer": (dict, type(None)), "metadata": dict, "training": (dict, type(None))}
_HEADER_2: dict[str, Any] = _HEADER | {"objective": dict, "dropout": list, "init": str, "lists": dict}
_TRAINING: dict[str, Any] = {"rows": int, "batch_size": int, "shuffle": bool, "epochs_before": int, "epochs": int}
_TRAINING |= {"rows_done": int, "loss_sum": float, "seconds": float}
_TRAINING_2: dict[str, Any] = _TRAINING | {"early_stopping": (str, type(None)), "best": bool}
HISTORY = ("loss", "val_loss", "val_metric", "seconds")


def save(net: BaseMLP, path: str | bytes | os.PathLike[Any]) -> None:
    """Write a network to a file; either the old file or the whole new one is there afterwards, whatever happens.

    Parameters
    ----------
    net : MLP or SiameseMLP
        With its parameters, the state of its optimizer, and `net.metadata`, which JSON must be able to hold.
    path : str or os.PathLike
        A name that ends in .npz, or in .safetensors, for which that package must be installed. An existing file is
        replaced, its permissions are kept; a symbolic link is followed.

    Raises
    ------
    ValueError
        If path ends in neither, or net.metadata is not made of text, finite numbers, bools, None, lists and dicts
        with str keys, or is larger than 45 kB or 3000 values of JSON: lists of more than 16 floats or texts in
        net.metadata itself do not count there, but have their own limits of 65536 floats, 32768 texts and 1 MB. Or if
        the network has more than 300 layers, or would be more than 512 tensors in a .safetensors file.
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
    save_checkpoint(net, path, None)


def save_checkpoint(net: BaseMLP, path: str | bytes | os.PathLike[Any], progress: Progress | None) -> None:
    """`save`, with what a fit that is not done needs to go on."""
    path = _decoded(path, "path")
    container = check_path(path)
    arrays = list(_arrays_of(net, net.optimizer_state(), progress))
    _check_count(container, len(arrays), path, "path")
    replace(path, lambda file: container.write(file, arrays))


def _decoded(path: Any, name: str) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{name} is {shown(path)}; it must be a path: str or os.PathLike") from None


def check_path(path: str | bytes | os.PathLike[Any], name: str = "path") -> Any:
    """The module that writes files of this name."""
    path = _decoded(path, name)
    if path.endswith(".safetensors"):
        _safetensors.package()
        return _safetensors
    if not path.endswith(".npz"):
        raise ValueError(f"{name} is {path!r}; wanted a file name that ends in .npz or .safetensors")
    return _npz


def check_room(
    net: BaseMLP, path: str | bytes | os.PathLike[Any], name: str, optimizer: Optimizer, stops: bool = False
) -> None:
    """ValueError, before a training with this optimizer and early stopping, for what could not be saved after it."""
    path = _decoded(path, name)
    container = check_path(path, name)
    check_writable(path)
    slots = [net.params] * len(_slots(optimizer))
    state = {"optimizer": optimizer, "steps": 0, "beta_powers": (1.0, 1.0), "slots": slots}
    progress = Progress(1, 1, False, 0, best=net.params if stops else None)
    _check_count(container, sum(1 for _ in _arrays_of(net, state, progress)), path, name)


def check_writable(path: str) -> None:
    """OSError, before a training, where no file of this name could be written after it."""
    import tempfile

    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(target_of(path))):
            pass
    except OSError as error:
        error.filename = path
        raise


def _check_count(container: Any, arrays: int, path: str, name: str) -> None:
    if container is _safetensors and arrays - 1 > _safetensors.MAX_TENSORS:  # the header is none of them
        wanted = f"at most {_safetensors.MAX_TENSORS}, or a file name that ends in .npz"
        raise ValueError(f"{name} is {path!r}, which would have {arrays - 1} tensors; wanted {wanted}")


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
    net, progress = _load(path)
    if progress is not None:
        conclude(net, progress.best)
    return net


def _load(path: str | bytes | os.PathLike[Any]) -> tuple[MLP | SiameseMLP, Progress | None]:
    container = _safetensors if _decoded(path, "path").endswith(".safetensors") else _npz
    with open(path, "rb") as file:
        try:
            return _read(container.Archive(file))
        except FormatError as error:
            raise FormatError(f"{os.fsdecode(path)}: {error}") from None


def _identity(net: BaseMLP) -> tuple[Any, ...]:
    """What a network is, however its settings were spelt: 2 or 2.0, a text of NumPy's or Python's."""
    names = (
        "sizes",
        "activations",
        "output_activation",
        "loss",
        "bias",
        "dtype",
        "seed",
        "dropout",
        "init",
        "_siamese",
    )
    return *(getattr(net, name) for name in names), {name: float(x) for name, x in vars(net.objective).items()}


def resume(
    net: BaseMLP,
    path: str | bytes | os.PathLike[Any],
    wanted: Progress,
    epochs: int,
    optimizer: Optimizer,
    validated: bool,
) -> Progress:
    """Bring `net` to where the checkpoint at `path` was written, by a fit of the same rows, batches and epochs."""
    found, progress = _load(_decoded(path, "resume"))
    where = os.fsdecode(path)
    if progress is None:
        raise ValueError(f"resume: {where} is a saved network, not a checkpoint; load it, and fit it")
    if _identity(found) != _identity(net):
        raise ValueError(f"resume: {where} is a checkpoint of {found!r}; this network is {net!r}")
    kind, now = type(found.optimizer_state()["optimizer"]), optimizer._public()
    if kind not in (type(None), now):
        raise ValueError(f"resume: {where} was written with optimizer = {kind.__name__}; now it is {now.__name__}")
    if progress.epochs and bool(progress.history.val_loss) != validated:
        was, is_now = ("with", "without") if progress.history.val_loss else ("without", "with")
        raise ValueError(f"resume: {where} was written {was} validation_data; now it is {is_now}")
    for name in ("rows", "batch_size", "shuffle", "early_stopping"):
        if getattr(progress, name) != getattr(wanted, name):
            was, now = getattr(progress, name), getattr(wanted, name)
            raise ValueError(f"resume: {where} was written with {name} = {was}; now it is {now}")
    if progress.epochs + (progress.rows_done > 0) > epochs:
        raise ValueError(f"resume: {where} is past epoch {progress.epochs}; epochs is {epochs}")
    net.params = found.params
    net._adopt(found.optimizer_state())
    net.epochs_done = found.epochs_done
    return progress


def to_bytes(net: BaseMLP) -> bytes:
    """What `save` would write to an .npz."""
    file = BytesIO()
    _npz.write(file, _arrays_of(net, net.optimizer_state(), None))
    return file.getvalue()


def from_bytes(data: bytes) -> MLP | SiameseMLP:
    """A network from what `to_bytes` gave, checked like a file: all that a pickle of a network runs."""
    if not isinstance(data, bytes):
        raise FormatError(f"a network is made from bytes, not from a {type(data).__name__}")
    return _read(_npz.Archive(BytesIO(data)))[0]


# The header.


def _header_of(
    net: BaseMLP, state: dict[str, Any], progress: Progress | None, metadata: Any, lists: dict[str, Any]
) -> dict[str, Any]:
    optimizer = state["optimizer"]
    if optimizer is not None and optimizer._public() is not type(optimizer):
        optimizer = optimizer._public()(**vars(optimizer))
    version = 2 if lists else _version(net, optimizer, progress)
    if BY_NAME[net.loss] is not type(net.objective):
        raise ValueError(f"the network's loss is a {type(net.objective).__name__}; only those of fastmlp can be saved")
    header = {
        "format": FORMAT,
        "version": version,
        "kind": "SiameseMLP" if isinstance(net, SiameseMLP) else "MLP",
        **{name: getattr(net, name) for name in ("sizes", "activations", "output_activation", "loss", "bias", "seed")},
        "dtype": net.dtype.name,
        "epochs_done": net.epochs_done,
        "optimizer": None if optimizer is None else _optimizer_header(optimizer, state),
        "metadata": metadata,
        "training": None if progress is None else _training_header(progress, version),
    }
    if version == 2:
        objective = {name: float(value) for name, value in vars(net.objective).items()}
        header |= {"objective": objective, "dropout": net.dropout, "init": net.init, "lists": lists}
    return header


def _version(net: BaseMLP, optimizer: Optimizer | None, progress: Progress | None) -> int:
    """The lowest version of the format that can say all this."""
    plain = (
        net.loss in ("squared_error", "softmax_cross_entropy", "binary_cross_entropy")
        and net.objective == BY_NAME[net.loss]()
        and "exp" not in (*net.activations, net.output_activation)
        and not any(net.dropout)
        and net.init == "auto"
        and (progress is None or progress.early_stopping is None)
    )
    if optimizer is not None:
        plain &= isinstance(optimizer, SGD | Adam) and optimizer.clip_norm is None and optimizer.ema is None
        plain &= not hasattr(optimizer.learning_rate, "rates")  # type: ignore[attr-defined]
    return 1 if plain else 2


def _training_header(progress: Progress, version: int) -> dict[str, Any]:
    header = {name: getattr(progress, name) for name in _TRAINING}
    if version == 1:
        return header
    return header | {"early_stopping": progress.early_stopping, "best": progress.best is not None}


def _slots(optimizer: Optimizer | None) -> tuple[str, ...]:
    """The names of an optimizer's buffers."""
    if optimizer is None:
        return ()
    return SLOTS[optimizer.rule] + (() if optimizer.ema is None else ("average",))


def _optimizer_header(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    kind = type(optimizer).__name__
    if OPTIMIZERS.get(kind) is not type(optimizer):
        raise ValueError(f"the network's optimizer is a {kind}; only {', '.join(OPTIMIZERS)} can be saved")
    given = {name: value for name, value in vars(optimizer).items() if value is not None}
    if hasattr(given["learning_rate"], "rates"):
        given["learning_rate"] = _schedule_header(given["learning_rate"])
    settings = {name: kind_of(given[name]) for name, kind_of in _settings(type(optimizer), given).items()}
    return {"kind": kind, "settings": settings, "steps": state["steps"], "beta_powers": list(state["beta_powers"])}


def _schedule_header(schedule: Any) -> dict[str, Any]:
    kind = type(schedule).__name__
    if SCHEDULES.get(kind) is not type(schedule):
        raise ValueError(f"the optimizer's learning_rate is a {kind}; only {', '.join(SCHEDULES)} can be saved")
    types: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(schedule)}
    return {"kind": kind, "settings": {name: kind_of(getattr(schedule, name)) for name, kind_of in types.items()}}


def _settings(optimizer_class: type[Optimizer], given: Mapping[str, Any]) -> dict[str, Any]:
    """The types of an optimizer's settings; those that are None by default only where they are given."""
    fields = [
        field for field in dataclasses.fields(optimizer_class) if field.default is not None or field.name in given
    ]
    types = {field.name: bool if field.type is bool else float for field in fields}
    return types | ({"learning_rate": dict} if isinstance(given.get("learning_rate"), dict) else {})


def _json_of(header: dict[str, Any]) -> bytes:
    import json

    metadata, layers = header["metadata"], len(header["sizes"]) - 1
    if layers > MAX_LAYERS:
        raise ValueError(f"the network has {layers} layers; wanted at most {MAX_LAYERS} to save it")
    try:
        text = json.dumps(metadata, allow_nan=False)
        unchanged = isinstance(metadata, dict) and json.loads(text) == metadata
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"net.metadata cannot be saved as JSON: {error}") from None
    if not unchanged:
        raise ValueError("net.metadata would come back changed; it must be a dict with str keys and without tuples")
    if found := excess(json.dumps([metadata, header.get("lists")]).encode(), *MAX_METADATA):
        besides = f"besides lists of more than {_lists.SHORT} floats or texts"
        raise ValueError(f"net.metadata is too large: {besides}, its JSON has {found}")
    if too_deep([metadata]):
        raise ValueError(f"net.metadata is nested too deeply; wanted at most {MAX_DEPTH - 2} levels")
    whole = json.dumps(header, allow_nan=False).encode()
    if found := excess(whole):  # not to be reached: what is saved can be loaded
        raise ValueError(f"the network cannot be saved: its header has {found}")
    return whole


def _check_fields(where: str, found: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    if set(found) != set(wanted):
        raise FormatError(f"{where} has the fields {str(sorted(found))[:400]}; wanted {sorted(wanted)}")
    for name, kind in wanted.items():
        if not isinstance(found[name], kind) or (kind is int and (isinstance(found[name], bool) or found[name] < 0)):
            raise FormatError(f"{where}: {name} is {shown(found[name])}")


def _check_header(header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError("not a model of fastmlp")
    version = header.get("version")
    if version not in VERSIONS or type(version) is not int:
        raise FormatError(
            f"format version {shown(version)}; this fastmlp reads versions {' and '.join(map(str, VERSIONS))}"
        )
    _check_fields("its header", header, _HEADER if version == 1 else _HEADER_2)
    if version == 2:
        _lists.check(header["lists"], header["metadata"])
    if header["epochs_done"] >= 2**32:
        raise FormatError(f"its header: epochs_done is {shown(header['epochs_done'])}; wanted less than 2**32")
    for name, known in (("kind", tuple(KINDS)), ("dtype", ("float32", "float64"))):
        if header[name] not in known:
            raise FormatError(f"its header: {name} is {header[name][:80]!r}; wanted {' or '.join(known)}")
    if len(header["sizes"]) - 1 > MAX_LAYERS:
        raise FormatError(f"its header: {len(header['sizes'])} sizes; wanted at most {MAX_LAYERS + 1}")
    for size in header["sizes"]:
        if type(size) is not int or not 0 < size < 2**31:
            raise FormatError(f"its header: sizes contain {shown(size)}")
    if header["version"] == 2:
        if header["loss"] not in BY_NAME:
            raise FormatError(f"its header: loss is {header['loss'][:80]!r}; wanted one of {', '.join(BY_NAME)}")
        fields = dataclasses.fields(BY_NAME[header["loss"]])
        _check_fields("its objective", header["objective"], {field.name: float for field in fields})
        for chance in header["dropout"]:
            if type(chance) is not float:
                raise FormatError(f"its header: dropout contains {shown(chance)}")
        if len(header["dropout"]) != max(len(header["sizes"]) - 2, 0):
            raise FormatError(f"its header: dropout has {len(header['dropout'])} entries; wanted one a hidden layer")


def _optimizer_of(found: dict[str, Any] | None) -> dict[str, Any]:
    """The optimizer's state, its buffers still missing."""
    if found is None:
        return {"optimizer": None}
    _check_fields("its optimizer", found, {"kind": str, "settings": dict, "steps": int, "beta_powers": list})
    powers, kind = found["beta_powers"], OPTIMIZERS.get(found["kind"])
    if kind is None:
        raise FormatError(f"optimizer {found['kind'][:80]!r}; wanted one of {', '.join(OPTIMIZERS)}")
    settings = found["settings"]
    _check_fields("its optimizer's settings", settings, _settings(kind, settings))
    if len(powers) != 2 or not all(type(power) is float and 0 <= power <= 1 for power in powers):
        raise FormatError(f"its optimizer: beta_powers are {shown(powers)}; wanted two numbers from 0 to 1")
    try:
        if isinstance(settings["learning_rate"], dict):
            settings = settings | {"learning_rate": _schedule_of(settings["learning_rate"])}
        return {"optimizer": kind(**settings), "steps": found["steps"], "beta_powers": tuple(powers)}
    except ValueError as error:
        raise FormatError(f"its optimizer: {error}") from None


def _schedule_of(found: dict[str, Any]) -> Any:
    _check_fields("its learning_rate", found, {"kind": str, "settings": dict})
    kind = SCHEDULES.get(found["kind"])
    if kind is None:
        raise FormatError(f"learning_rate {found['kind'][:80]!r}; wanted one of {', '.join(SCHEDULES)}")
    fields = dataclasses.fields(kind)
    _check_fields("its learning_rate's settings", found["settings"], {field.name: field.type for field in fields})
    return kind(**found["settings"])


def _progress_of(found: dict[str, Any] | None, version: int, epochs_done: int, loss: str) -> Progress | None:
    """Where a broken-off fit was, its history and the best parameters still missing."""
    if found is None:
        return None
    _check_fields("its training", found, _TRAINING if version == 1 else _TRAINING_2)
    progress = Progress(**{name: value for name, value in found.items() if name != "best"})
    whole = progress.rows > 0 and progress.batch_size > 0 and progress.seconds >= 0
    whole &= progress.loss_sum >= 0 or loss == "poisson"  # whose 0 may be rounded to less
    at_step = whole and (progress.rows_done % progress.batch_size == 0 or progress.rows_done == progress.rows)
    if not at_step or progress.rows_done > progress.rows or progress.epochs_before + progress.epochs != epochs_done:
        raise FormatError(f"its training is at no step of a fit: {shown(found)}")
    return progress


# Networks and tensors, in the order of the file.


def _arrays_of(net: BaseMLP, state: dict[str, Any], progress: Progress | None) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, array) of all that is stored, the header first."""
    metadata, lists, arrays = _lists.split(net.metadata)
    yield "header", np.frombuffer(_json_of(_header_of(net, state, progress, metadata, lists)), np.uint8)
    yield from _tensors(net, state, None if progress is None else progress.best)
    if progress is not None:
        for name in HISTORY:
            yield f"history.{name}", np.array(getattr(progress.history, name), "<f8")
    for name, array in arrays.items():
        yield f"metadata.{name}", array


def _tensors(net: BaseMLP, state: dict[str, Any], best: NDArray[Any] | None) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, view) of all that is stored."""
    names = _slots(state["optimizer"])
    slots = zip([f"optimizer.{name}." for name in names], state["slots"], strict=True)
    for prefix, flat in [("", net.params), *slots, *([] if best is None else [("best.", best)])]:
        for layer, (W, b) in enumerate(net._views(flat)):
            yield f"{prefix}layers.{layer}.weight", W
            if b is not None:
                yield f"{prefix}layers.{layer}.bias", b


def _network_of(header: dict[str, Any], n_buffers: int, archive: Any) -> MLP | SiameseMLP:
    """The untrained network that a checked header describes, if what is left of the archive can fill it."""
    sizes, siamese = header["sizes"], header["kind"] == "SiameseMLP"
    count = sum((inputs + header["bias"]) * outputs for inputs, outputs in itertools.pairwise(sizes))
    needed = n_buffers * (count * np.dtype(header["dtype"]).itemsize + archive.overhead * (len(sizes) - 1))
    if needed > archive.left:
        raise FormatError(f"its tensors need {needed} bytes; {archive.left} are there")
    settings = {name: header[name] for name in ("bias", "dtype", "seed")}
    if not siamese:
        settings |= {name: header[name] for name in ("loss", "output_activation")}
        if header["version"] == 2:
            settings |= {name: header[name] for name in ("dropout", "init")}
    try:
        if not siamese and header["version"] == 2:
            settings["loss"] = BY_NAME[header["loss"]](**header["objective"])
        net = KINDS[header["kind"]](sizes[:-1] if siamese else sizes, activation=header["activations"], **settings)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"its header: {str(error)[:400]}") from None
    if (net.sizes, net.loss, net.output_activation) != (tuple(sizes), header["loss"], header["output_activation"]):
        raise FormatError(f"its header: a {header['kind']} has no such sizes, loss or output_activation")
    if header["version"] == 2:
        wanted = header["objective"], tuple(header["dropout"]), header["init"]
        if (vars(net.objective), net.dropout, net.init) != wanted:
            raise FormatError(f"its header: a {header['kind']} has no such objective, dropout or init")
    net.metadata = header["metadata"]
    net.epochs_done = header["epochs_done"]
    return net


def _read_history(archive: Any, progress: Progress) -> None:
    for name in HISTORY:
        values = archive.tensor(f"history.{name}", "<f8", (-(2**32),))
        if len(values) != progress.epochs and (len(values) or not name.startswith("val_")):
            raise FormatError(f"history.{name} has {len(values)} entries; wanted {progress.epochs}, one an epoch")
        getattr(progress.history, name).extend(values.tolist())


def _read(archive: Any) -> tuple[MLP | SiameseMLP, Progress | None]:
    header = json_of(archive.tensor("header", "|u1", (-MAX_BYTES,)).tobytes())
    _check_header(header)
    state = _optimizer_of(header["optimizer"])
    progress = _progress_of(header["training"], header["version"], header["epochs_done"], header["loss"])
    n_slots, has_best = len(_slots(state["optimizer"])), progress is not None and header["training"].get("best")
    net = _network_of(header, 1 + n_slots + bool(has_best), archive)
    if _version(net, state["optimizer"], progress) > header["version"]:
        raise FormatError(f"its header has what version {header['version']} of the format had not")
    state["slots"] = [np.zeros_like(net.params) for _ in range(n_slots)]
    best = np.zeros_like(net.params) if has_best else None
    if progress is not None:
        progress.best = best
    for name, view in _tensors(net, state, best):
        view[...] = archive.tensor(name, view.dtype.newbyteorder("<").str, view.shape)
    if progress is not None:
        _read_history(archive, progress)
    lists = header.get("lists", {})
    arrays = _lists.read(lists, archive)
    archive.finish()
    try:
        net.set_optimizer_state(state)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"its optimizer: {error}") from None
    net.metadata |= _lists.lists_of(lists, arrays)
    return net, progress
