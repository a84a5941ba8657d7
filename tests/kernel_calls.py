"""Every kernel with arguments that suit it, and the layouts in which an array may come."""

import tempfile

import numpy as np
from oracle import ACTIVATIONS, DIFFERENTIABLE

from fastmlp import kernels

OF_VALUES = ("binary_cross_entropy", "squared_error", "absolute_error", "huber", "quantile", "poisson")
ELEMENTWISE = [*ACTIVATIONS, "relu_mask", *(f"{name}_derivative" for name in (*DIFFERENTIABLE, "exp"))]


def calls(rng, dtype, rows=5, inputs=9, outputs=7):
    """Every kernel with arguments that suit it: name -> (kernel, arrays of the element type, what else it takes)."""
    X, W, dz, z = (
        rng.normal(size=shape).astype(dtype)
        for shape in ((rows, inputs), (outputs, inputs), (rows, outputs), (rows, outputs))
    )
    b, y, t = (
        rng.normal(size=outputs).astype(dtype),
        rng.random((rows, outputs)).astype(dtype),
        rng.integers(0, outputs, rows),
    )
    table = {
        "matvec": ((W, X[0].copy(), b), {"activation": "tanh"}),
        "matmul": ((X, W, b), {"activation": "relu"}),
        "outer_gradient": ((dz, X), {}),
        "logsumexp": ((z,), {}),
        "softmax": ((z,), {}),
        "log_softmax": ((z,), {}),
        "softmax_cross_entropy": ((z,), {"t": t}),
        "focal": ((z,), {"t": t}),
        "binary_focal": ((z, y.round()), {}),
    }
    table.update({name: ((z, y), {}) for name in OF_VALUES})
    table.update({name: ((z,), {}) for name in ELEMENTWISE})
    return {name: (getattr(kernels, name), list(arrays), extra) for name, (arrays, extra) in table.items()}


KERNELS = list(calls(np.random.default_rng(0), np.float32))


def results(value):
    return value if isinstance(value, tuple) else (value,)


def misaligned(a, offset):
    """A copy of an array that starts `offset` bytes behind a 64-byte boundary."""
    raw = np.zeros(a.nbytes + 192, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    copy = raw[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def strided(a):
    wide = np.full([2 * n + 1 for n in a.shape], np.nan if a.dtype.kind == "f" else -7, a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def memory_mapped(a):
    with tempfile.TemporaryFile() as file:
        file.write(a.tobytes())
        file.flush()
        return np.memmap(file, a.dtype, "r", shape=a.shape)


LAYOUTS = {
    "Fortran order": lambda a: np.asfortranarray(a),
    "every second": strided,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "transposed": lambda a: a.T.copy().T,
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "a byte off": lambda a: misaligned(a, 1),
    "a list": lambda a: a.tolist(),
    "a subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}
