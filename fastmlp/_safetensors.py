"""Named arrays in one `.safetensors` file, by the package of that name, with a checksum that it lacks.

The JSON header is the text `fastmlp` of the file's metadata. Beside it stands `crc32`: of all bytes of the file, with
its own eight digits as zeros. Has the interface of _npz.py.
"""

import re
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastmlp._files import MAX_BYTES, FormatError, json_of

_CRC = re.compile(rb'"crc32":"([0-9a-f]{8})"')  # nowhere else: inside a text the quotes are escaped
_NO_CRC = b'"crc32":"00000000"'


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


class Archive:
    """Reads arrays by name: `tensor` for each, then `finish`. `left` is the number of their bytes not yet read."""

    overhead = 0

    def __init__(self, file: BinaryIO) -> None:
        package_ = package()
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, 2 * MAX_BYTES):  # escaped quotes take two bytes
            raise FormatError("no .safetensors file, cut short, or its header is too long")
        header = file.read(length)
        found = _CRC.findall(header)
        if len(found) != 1:
            raise FormatError("not a model of fastmlp: no crc32 in its metadata")
        data = file.read()
        zeroed = _CRC.sub(_NO_CRC, header)
        if f"{zlib.crc32(data, zlib.crc32(zeroed, zlib.crc32(start))):08x}".encode() != found[0]:
            raise FormatError("it is damaged: its checksum is wrong")
        described = json_of(header, times=2)
        metadata: Any = described.get("__metadata__") if isinstance(described, dict) else None
        text = metadata.get("fastmlp") if isinstance(metadata, dict) else None
        if not isinstance(text, str) or not text.isascii() or len(metadata) != 2:
            raise FormatError("not a model of fastmlp: its metadata are not the ASCII texts `fastmlp` and `crc32`")
        try:
            self.tensors: dict[str, NDArray[Any]] = package_.numpy.load(start + header + data)
        except (package_.SafetensorError, ValueError, TypeError, KeyError) as error:
            raise FormatError(f"no .safetensors file: {str(error)[:200]}") from None
        self.tensors["header"] = np.frombuffer(text.encode(), np.uint8)
        self.left = len(data) + len(text)

    def tensor(self, name: str, descr: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array of this name, which must be of this type and shape; shape (-1,) takes any length."""
        array = self.tensors.pop(name, None)
        if array is None:
            raise FormatError(f"no tensor {name!r}")
        if array.dtype.newbyteorder("<").str != descr or (array.shape != shape and (shape != (-1,) or array.ndim != 1)):
            raise FormatError(f"{name} is {array.dtype} of shape {array.shape}; wanted {descr} of shape {shape}")
        self.left -= array.nbytes
        return array

    def finish(self) -> None:
        """Check that there are no other tensors."""
        if self.tensors:
            raise FormatError(f"it has other tensors too: {str(sorted(self.tensors))[:200]}")
