"""Long lists of metadata as tensors, which JSON would be slow to read: finite floats, and texts between zero bytes.

Only lists that come back equal are taken, and only from the metadata itself, not from what lies deeper in it.
"""

import contextlib
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp._files import FormatError, shown

SHORT = 16  # entries: shorter lists stay in JSON
MAX_FLOATS, MAX_TEXTS, MAX_BYTES = 1 << 16, 1 << 15, 1 << 20  # together: enough for a table of 20 000 columns
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # of a list that becomes a part of a tensor's name
_TYPES = {"float": "<f8", "text": "|u1"}


def split(metadata: Any) -> tuple[Any, dict[str, list[Any]], dict[str, NDArray[Any]]]:
    """Metadata with None in the places of its long lists, [kind, entries, bytes] of each, and each as an array."""
    arrays = (
        {} if not isinstance(metadata, dict) else {key: _array_of(key, entries) for key, entries in metadata.items()}
    )
    found = {key: array for key, array in arrays.items() if array is not None}
    described = {
        key: ["text" if array.dtype == np.uint8 else "float", len(metadata[key]), array.nbytes]
        for key, array in found.items()
    }
    if too_much := _excess(described):
        raise ValueError(f"net.metadata is too large: its lists have {too_much}")
    return (metadata | dict.fromkeys(found) if found else metadata), described, found


def _array_of(key: Any, entries: Any) -> NDArray[Any] | None:
    if not isinstance(entries, list) or len(entries) <= SHORT or not isinstance(key, str) or not _NAME.fullmatch(key):
        return None
    kinds = set(map(type, entries))
    if kinds == {float}:
        floats = np.array(entries, "<f8")
        return floats if np.isfinite(floats).all() else None
    if kinds != {str}:
        return None
    try:
        text = "\0".join(entries).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    return np.frombuffer(text, np.uint8) if text.count(b"\0") == len(entries) - 1 else None


def _excess(described: dict[str, list[Any]]) -> str:
    floats, texts = ([found[1:] for found in described.values() if found[0] == kind] for kind in _TYPES)
    for found, limit, what in (
        (sum(count for count, _ in floats), MAX_FLOATS, "floats"),
        (sum(count for count, _ in texts), MAX_TEXTS, "texts"),
        (sum(size for _, size in texts), MAX_BYTES, "bytes of texts"),
    ):
        if found > limit:
            return f"{found} {what}; wanted at most {limit}"
    return ""


def check(described: dict[str, Any], metadata: dict[str, Any]) -> None:
    """FormatError unless `split` could have given these two."""
    for key, found in described.items():
        good = _NAME.fullmatch(key) and key in metadata and metadata[key] is None
        good = good and isinstance(found, list) and len(found) == 3 and found[0] in tuple(_TYPES)
        if not good or not all(type(number) is int and number >= SHORT for number in found[1:]):
            raise FormatError(f"its header: lists has {key[:80]!r}: {shown(found)}")
    if too_much := _excess(described):
        raise FormatError(f"its header: lists have {too_much}")


def read(described: dict[str, list[Any]], archive: Any) -> dict[str, NDArray[Any]]:
    """The arrays of the lists, which stand in the file one after the other."""
    return {
        key: archive.tensor(f"metadata.{key}", _TYPES[kind], (size // np.dtype(_TYPES[kind]).itemsize,))
        for key, (kind, _, size) in described.items()
    }


def lists_of(described: dict[str, list[Any]], arrays: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """The lists that became these arrays; made once all of them are known to be good."""
    good = {key: _checked(key, count, arrays[key]) for key, (_, count, _) in described.items()}
    return {key: found.split("\0") if isinstance(found, str) else found.tolist() for key, found in good.items()}


def _checked(key: str, count: int, array: NDArray[Any]) -> NDArray[Any] | str:
    if array.dtype.kind == "f":
        if len(array) == count and np.isfinite(array).all():
            return array
    else:
        with contextlib.suppress(UnicodeDecodeError):
            text = array.tobytes().decode()
            if text.count("\0") == count - 1:
                return text
    raise FormatError(f"metadata.{key} is not the {count} finite floats, or texts in UTF-8, that its header says")
