"""Nothing outside an array is touched: inputs and outputs flush against unreadable pages, behind and before.

A fault kills a process, so the work is done in a child: this file run as a program.
"""

import ctypes
import itertools
import math
import mmap
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from child import environment
from oracle import ACTIVATIONS, DIFFERENTIABLE, LOSSES, OF_CLASSES

import fastmlp
from fastmlp import MLP, kernels

SIZES = (1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 33, 48, 64, 67)
PAGE = mmap.PAGESIZE


class Room:
    """Memory between two pages that nobody may read or write."""

    def __init__(self, libc, size=16 * PAGE):
        self.pages = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        for page in (start, start + PAGE + size):
            if libc.mprotect(ctypes.c_void_p(page), PAGE, 0):
                raise OSError("mprotect failed")
        self.bytes = np.frombuffer(self.pages, np.uint8)[PAGE : PAGE + size]

    def put(self, a, at_end):
        """A copy of an array, flush against the page behind or the page before."""
        place = self.bytes[self.bytes.size - a.nbytes :] if at_end else self.bytes[: a.nbytes]
        copy = place.view(a.dtype).reshape(a.shape)
        copy[...] = a
        return copy


def products_of_every_size(rooms, at_end, dtype):
    """All M, N, K from 1 to 67; the numbers do not matter."""

    def part(room, *shape):
        n = math.prod(shape) * dtype.itemsize
        return (room.bytes[room.bytes.size - n :] if at_end else room.bytes[:n]).view(dtype).reshape(shape)

    for inputs, outputs in itertools.product(range(1, 68), range(1, 68)):
        W, b = part(rooms[0], outputs, inputs), part(rooms[1], outputs)
        for rows in range(1, 68):
            X, Y = part(rooms[2], rows, inputs), part(rooms[3], rows, outputs)
            kernels.matmul(X, W, b, out=Y)
            kernels.outer_gradient(Y, X, out=(W, b))


def products(put, rng, dtype):
    for rows, inputs, outputs in itertools.product(SIZES, SIZES, SIZES):
        X, W, b = (rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (outputs, inputs), outputs))
        X, W, b, Y = put(X, W, b, np.empty((rows, outputs), dtype))
        kernels.matmul(X, W, b, out=Y)
        _, W = put(X, np.ascontiguousarray(W.T))
        kernels.matvec(W.T, X[-1])
        Y, X, dW, db = put(Y, X, np.empty((outputs, inputs), dtype), b)
        kernels.outer_gradient(Y, X, out=(dW, db))


def elements_and_rows(put, rng, dtype):
    for n in range(1, 70):
        z, out = put(rng.normal(size=n).astype(dtype), np.empty(n, dtype))
        for name in (*ACTIVATIONS, *(f"{a}_derivative" for a in (*DIFFERENTIABLE, "exp"))):
            getattr(kernels, name)(z, out=out)
        for rows in (1, 3, 16, 17):
            z, y, dz, loss, t = put(
                *(np.ones((rows, n), dtype) for _ in range(3)), np.ones(rows, dtype), np.ones(rows, int) * 0
            )
            for name in ("softmax", "log_softmax"):
                getattr(kernels, name)(z, out=dz)
            kernels.logsumexp(z, out=loss)
            for name in LOSSES:
                getattr(kernels, name)(z, t if name in OF_CLASSES else y, out=(loss, dz))


def networks(put, rng, dtype):
    for sizes, bias in itertools.product(([1, 1], [3, 7, 2], [17, 33, 5], [67, 65, 66, 2]), (True, False)):
        net = MLP(sizes, dtype=dtype, bias=bias, loss="squared_error")
        for rows in (1, 2, 55, 57):
            X, y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
            X, y, out = put(X.astype(dtype), y.astype(dtype), np.empty(y.shape, dtype))
            net(X, out=out)
            net(X[-1], out=out[-1])
            net.backward(X, out)
            for shuffle in (True, False):
                net.fit(X, y, epochs=1, batch_size=7, shuffle=shuffle)


def main():
    libc, rng = ctypes.CDLL(None, use_errno=True), np.random.default_rng(0)
    rooms = [Room(libc) for _ in range(5)]
    for dtype, at_end, part in itertools.product(
        (np.float32, np.float64), (True, False), (products, elements_and_rows, networks)
    ):
        part(lambda *arrays, at=at_end: [r.put(a, at) for r, a in zip(rooms, arrays, strict=False)], rng, dtype)
    if fastmlp.cpu_info()["isa"] == fastmlp.cpu_info()["isas"][-1]:
        for room in rooms:
            room.bytes[...] = 0
        for dtype, at_end in itertools.product((np.dtype("f4"), np.dtype("f8")), (True, False)):
            products_of_every_size(rooms, at_end, dtype)
    print("nothing touched")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect by hand is for Linux")
@pytest.mark.parametrize("isa", fastmlp.cpu_info()["isas"])
def test_no_array_is_read_or_written_beyond_its_ends(isa):
    here = pathlib.Path(__file__).resolve()
    child = subprocess.run(
        [sys.executable, str(here)], env=environment(FASTMLP_ISA=isa), cwd=here.parent, capture_output=True, text=True
    )
    assert (child.returncode, child.stdout) == (0, "nothing touched\n"), child.stderr


if __name__ == "__main__":
    main()
