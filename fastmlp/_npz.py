"""Named arrays in one file: an uncompressed `.npz`, read strictly from first byte to last.

Refuses what `write` does not write: compression, another member or another order, pickles, bytes that nothing
accounts for. No length in the file is trusted: the caller says which array comes next, and nothing is allocated that
the rest of the file is too short to fill.
"""

import errno
import math
import os
import re
import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastmlp._files import FormatError

# PKWARE's APPNOTE: local file header, central directory entry, end of the central directory.
_LOCAL, _ENTRY, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_ZIP64_END = 56 + 20  # its record and locator, present beyond 4 GB
_IN_ZIP64 = 0xFFFFFFFF  # "see the extra field", beside members beyond 4 GB
_MAGIC = b"\x93NUMPY\x01\x00"


def _description(descr: str, shape: tuple[int, ...]) -> bytes:
    """The header that NumPy's format prescribes for a C-ordered array."""
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()


def write(file: BinaryIO, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write (name, array) pairs, little-endian."""
    import zipfile

    class ZipFile(zipfile.ZipFile):
        __del__: Any = dict  # in C, and does nothing: in Python's own a Ctrl-C would be lost; `close` is called here

    archive = ZipFile(file, "w")
    try:
        for name, array in arrays:
            dtype = array.dtype.newbyteorder("<")
            text, data = _description(dtype.str, array.shape), array.astype(dtype, copy=False).tobytes()
            text += b" " * (-(len(_MAGIC) + 2 + len(text) + 1) % 64) + b"\n"
            head = _MAGIC + len(text).to_bytes(2, "little") + text
            member = zipfile.ZipInfo(name + ".npy")  # dated 1980: equal networks make equal files
            member.create_system, member.external_attr = 3, 0o644 << 16
            member.file_size = len(head) + len(data)
            out = archive.open(member, "w")
            out.write(head)
            out.write(data)  # a copy: of an array in training zipfile would write other bytes than it sums
            out.close()  # not after an error, of which it would complain in its place
        if any(member.flag_bits for member in archive.infolist()):  # zipfile could not seek, and chose another layout
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    except BaseException:
        archive.fp = None  # else close, __del__'s too, would complain of an unfinished member in the error's place
        raise
    archive.close()


class Archive:
    """Reads one array after the other: `tensor` for each member, in order, then `finish`.

    `left` is the number of bytes not yet read, of which a member takes at least `overhead` besides its data.
    """

    overhead = 100

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = self.left = file.seek(0, 2)
        file.seek(0)
        self.members: list[tuple[bytes, int, int, int]] = []  # name, offset, CRC, length

    def take(self, count: int) -> bytes:
        data = self.file.read(count) if count <= self.left else b""
        if len(data) != count:
            raise FormatError("cut short")
        self.left -= count
        return data

    def tensor(self, name: str, descr: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The next array, which must be of this name, type and shape; shape (-n,) takes any length up to n."""
        offset = self.size - self.left
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(self.take(30))
        if signature != b"PK\3\4" or flags or method:
            raise FormatError(f"no plain member of an uncompressed .npz at byte {offset}")
        found = self.take(name_length)
        if found != f"{name}.npy".encode():
            raise FormatError(f"member {found[:80]!r} at byte {offset}; wanted {name + '.npy'!r}")
        self.take(extra_length)
        head = self.take(10)
        head += self.take(int.from_bytes(head[8:], "little"))
        if shape[0] < 0 and (digits := re.search(rb"'shape': \((\d{1,10}),\)", head)):
            shape = (min(int(digits[1]), -shape[0]),)
        if head[:8] != _MAGIC or head[10:].rstrip(b" \n") != _description(descr, shape):
            raise FormatError(f"{name}.npy is {head[10:90]!r}; wanted {descr} of shape {shape}")
        array = self._fill(descr, shape)
        length = len(head) + array.nbytes
        if zlib.crc32(array.data, zlib.crc32(head)) != crc or not {packed, size} <= {length, _IN_ZIP64}:
            raise FormatError(f"{name}.npy is damaged: its checksum or size is wrong")
        self.members.append((found, offset, crc, length))
        return array

    def _fill(self, descr: str, shape: tuple[int, ...]) -> NDArray[Any]:
        count = math.prod(shape) * np.dtype(descr).itemsize
        if count > self.left:
            raise FormatError("cut short")
        array = np.empty(shape, descr)
        if self.file.readinto(array.reshape(-1).view(np.uint8)) != count:  # type: ignore[attr-defined]
            raise FormatError("cut short")
        self.left -= count
        return array

    def finish(self) -> None:
        """Check that the rest of the file is the directory of exactly the members that were read."""
        start = self.size - self.left
        for name, offset, crc, length in self.members:
            signature, _, _, flags, method, _, _, *entry = _ENTRY.unpack(self.take(46))
            found_crc, packed, size, name_length, extra_length, comment_length, _, _, _, found_offset = entry
            good = signature == b"PK\1\2" and not flags and not method and not comment_length and found_crc == crc
            good = good and {packed, size} <= {length, _IN_ZIP64} and found_offset in (offset, _IN_ZIP64)
            if not good or self.take(name_length) != name:
                raise FormatError(f"its directory disagrees with member {name.decode()!r}")
            self.take(extra_length)
        length = self.size - self.left - start
        if self.left == _END.size + _ZIP64_END:
            self.take(_ZIP64_END)
        if self.left != _END.size:
            raise FormatError(f"{self.left} bytes after its directory; wanted {_END.size}")
        signature, _, _, here, all_, found_length, found_start, comment_length = _END.unpack(self.take(_END.size))
        good = signature == b"PK\5\6" and not comment_length and {here, all_} <= {len(self.members), 0xFFFF}
        if not good or found_length != length or found_start not in (start, _IN_ZIP64):
            raise FormatError("its directory does not end as it should")
