"""Named arrays in one `.safetensors` file, by the package of that name, with a checksum that it lacks.

The JSON header is the text `fastmlp` of the file's metadata. Beside it stands `crc32`: of all bytes of the file, with
its own eight digits as zeros. Has the interface of _npz.py.
"""

import functools
import re
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastmlp._files import MAX_BYTES, FormatError

MAX_TENSORS = 512  # which the package takes some 2 ms to tell apart, sound or not
_MAX_HEADER = 2 * MAX_BYTES + 200 * MAX_TENSORS  # escaped quotes take two bytes
_CRC = re.compile(rb'"crc32":"([0-9a-f]{8})"')  # nowhere else: inside a text the quotes are escaped
_END = re.compile(rb'"data_offsets":\s*\[\s*\d{1,18}\s*,\s*(\d{1,18})\s*\]')  # of a tensor among the bytes that follow
_NO_CRC = b'"crc32":"00000000"'
_START = re.compile(rb'\{"__metadata__":\{,?"fastmlp":(?=")')  # once the checksum is taken out


def package() -> Any:
    """The package safetensors, which an extra brings."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("for .safetensors files, install safetensors: pip install 'fastmlp[safetensors]'") from None
    return safetensors


def write(file: BinaryIO, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write (name, array) pairs, the first of them the header."""
    (_, header), *rest = arrays
    tensors = {name: np.ascontiguousarray(array) for name, array in rest}
    metadata = {"fastmlp": header.tobytes().decode(), "crc32": "00000000"}
    data = bytearray(package().numpy.save(tensors, metadata))
    at = data.index(_NO_CRC) + len(_NO_CRC) - 9
    data[at : at + 8] = f"{zlib.crc32(data):08x}".encode()
    file.write(data)


def _text_of(header: bytes) -> tuple[str, bytes]:
    """The text in a header without checksum, and what follows it. Nothing else of the header is parsed here."""
    import json

    start = _START.match(header)
    try:
        text, end = json.JSONDecoder().raw_decode(header.decode("ascii"), start.end()) if start else ("", 0)
    except ValueError:
        start = None
    if not start or not text.isascii() or not header.startswith((b"}", b",}"), end):
        raise FormatError("not a model of fastmlp: its metadata are not the ASCII texts `fastmlp` and `crc32`")
    return text, header[end:]


class Archive:
    """Reads arrays by name: `tensor` for each, then `finish`. `left` is the number of their bytes not yet read."""

    overhead = 0

    def __init__(self, file: BinaryIO) -> None:
        package()
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, _MAX_HEADER):
            raise FormatError("no .safetensors file, cut short, or its header is too long")
        header = file.read(length)
        found = _CRC.findall(header)
        if len(found) != 1:
            raise FormatError("not a model of fastmlp: no crc32 in its metadata")
        self.text, rest = _text_of(_CRC.sub(b"", header))
        if rest.count(b"[") > 2 * MAX_TENSORS:  # a shape and offsets for each
            raise FormatError(f"about {rest.count(b'[') // 2} tensors; wanted at most {MAX_TENSORS}")
        told, there = max(map(int, _END.findall(rest)), default=0), size - 8 - length
        if told != there:  # before all of it is read
            raise FormatError(f"{there} bytes follow its header, which tells of {told}")
        data = file.read()
        zeroed = _CRC.sub(_NO_CRC, header)
        if f"{zlib.crc32(data, zlib.crc32(zeroed, zlib.crc32(start))):08x}".encode() != found[0]:
            raise FormatError("it is damaged: its checksum is wrong")
        self.content, self.left = start + header + data, len(data)

    @functools.cached_property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Those that were not asked for yet; told apart only once the header is known to be good."""
        package_ = package()
        try:
            tensors: dict[str, NDArray[Any]] = package_.numpy.load(self.content)
        except (package_.SafetensorError, ValueError, TypeError, KeyError) as error:
            raise FormatError(f"no .safetensors file: {str(error)[:200]}") from None
        return tensors

    def tensor(self, name: str, descr: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array of this name, which must be of this type and shape; shape (-n,) takes any length up to n."""
        if name == "header":
            return np.frombuffer(self.text.encode(), np.uint8)
        array = self.tensors.pop(name, None)
        if array is None:
            raise FormatError(f"no tensor {name!r}")
        fits = array.shape == shape or (array.ndim == 1 and len(array) <= -shape[0])
        if array.dtype.newbyteorder("<").str != descr or not fits:
            raise FormatError(f"{name} is {array.dtype} of shape {array.shape}; wanted {descr} of shape {shape}")
        self.left -= array.nbytes
        return array

    def finish(self) -> None:
        """Check that there are no other tensors."""
        if self.tensors:
            raise FormatError(f"it has other tensors too: {str(sorted(self.tensors))[:200]}")
