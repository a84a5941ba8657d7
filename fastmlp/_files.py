"""Files that are replaced as a whole, and JSON that is read with suspicion. Knows no format of its own."""

import contextlib
import errno
import os
from collections.abc import Callable
from math import isfinite
from typing import Any, BinaryIO

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 1 << 16, 1 << 12, 32  # of JSON: the worst of it is read in some 4 ms


class FormatError(ValueError):
    """The file is not a network that this version of fastmlp can read; the message names the file and the defect."""


def replace(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a new file and put it in the place of `path`.

    The new file is complete and on the disk before it takes the name; where that fails, the old one stays and nothing
    else is left. It keeps the old one's permissions, and a symbolic link stays a link.
    """
    import stat

    temporary = ""
    try:
        target = target_of(path)
        temporary = os.path.join(os.path.dirname(target), f".fastmlp-{os.urandom(8).hex()}.tmp")
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):  # the user knows the path, not the temporary name
            if error.filename2 is not None:
                raise type(error)(error.errno, error.strerror, path) from None
            error.filename = path
        raise
    _sync_directory(os.path.dirname(target))


def target_of(path: str) -> str:
    """The file that `replace` would put another in the place of; an OSError for what is no file."""
    target = _followed(path)
    if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
        raise OSError(errno.EINVAL, "neither a regular file nor a new one", path)  # a device, a pipe
    return target


def _followed(path: str) -> str:
    """Where the links of a path lead, be there a file or not; where realpath would guess, an OSError."""
    for _ in range(40):
        folder = os.path.realpath(os.path.dirname(path), strict=True)
        path = os.path.join(folder, os.path.basename(path))
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # no link; nothing there
                return path
            raise
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _sync_directory(directory: str) -> None:
    """Make the new name last through a power cut, where the system lets a directory be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def excess(text: bytes, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES) -> str:
    """What JSON has too much of, found before parsing takes time and memory for it: each value has its mark."""
    if len(text) > max_bytes:
        return f"{len(text)} bytes; wanted at most {max_bytes}"
    values = sum(map(text.count, (b",", b"[", b"{")))
    return f"about {values} values; wanted at most {max_values}" if values > max_values else ""


def too_deep(value: Any) -> bool:
    """Whether lists and dicts are nested so deeply that reading, comparing or copying them might exhaust the stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for outer in level
            if isinstance(outer, list | dict)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def shown(value: Any) -> str:
    """A value from a file, for a message: in one short line, whatever it is, and soon."""
    import reprlib

    short = reprlib.Repr()
    short.maxstring = short.maxlong = 80
    return short.repr(value)[:200]


def json_of(text: bytes) -> Any:
    """The document in `text`, refused where a key occurs twice, a number is not finite, or there is too much of it."""
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def finite(number: str) -> float:
        value = float(number)
        if not isfinite(value):
            raise ValueError(f"{number[:80]} is not a finite number")
        return value

    if found := excess(text):
        raise FormatError(f"its header has {found}")
    try:
        value = json.loads(text.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its header is no JSON document: {str(error)[:200]}") from None
    if too_deep(value):
        raise FormatError(f"its header is nested deeper than {MAX_DEPTH} levels")
    return value
