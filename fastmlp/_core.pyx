"""The compiled C, loaded once: which ISA computes, what the CPU offers, the random streams.

Knows nothing of networks. The one extension module that contains csrc/; the others reach it through _core.pxd.
"""

import os

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmlp cimport _csrc
from fastmlp._csrc cimport fm_net, fm_ops

cnp.import_array()


cdef list _supported():
    """Names of the ISAs that this CPU has, best last."""
    cdef int i = 0
    names = []
    while _csrc.fm_isa_name(i) != NULL:
        if _csrc.fm_isa_operations(i) != NULL:
            names.append((<bytes>_csrc.fm_isa_name(i)).decode())
        i += 1
    return names


cdef int _choose() except -1:
    """The place of the best supported ISA, or of the one that FASTMLP_ISA asks for."""
    cdef int i = 0
    supported = _supported()
    wanted = os.environ.get("FASTMLP_ISA") or supported[-1]
    if wanted not in supported:
        raise ImportError(f"FASTMLP_ISA is {wanted!r}; this CPU and build of fastmlp offer {', '.join(supported)}")
    while (<bytes>_csrc.fm_isa_name(i)).decode() != wanted:
        i += 1
    return i


cdef const fm_ops *const *_tables = _csrc.fm_isa_operations(_choose())


cdef const fm_ops *operations(bint is_double) noexcept:
    return _tables[is_double]


cdef ptrdiff_t matmul_scratch(ptrdiff_t K) noexcept:
    return _csrc.fm_matmul_scratch(K)


cdef ptrdiff_t row_scratch(const fm_net *net) noexcept:
    return _csrc.fm_row_scratch(net)


cdef ptrdiff_t forward_scratch(const fm_net *net, int threads) noexcept:
    return _csrc.fm_forward_scratch(net, threads)


cdef ptrdiff_t workspace(const fm_net *net, ptrdiff_t batch, int threads) noexcept:
    return _csrc.fm_workspace(net, batch, threads)


cdef double seconds() noexcept nogil:
    return _csrc.fm_seconds()


def isa():
    """The ISA that computes: "scalar", "avx2", "avx512" or "neon"."""
    return (<bytes>_tables[0].isa).decode()


def supported_isas():
    """The ISAs that this CPU and build offer, best last: what FASTMLP_ISA may name."""
    return tuple(_supported())


def uniform(ptrdiff_t n, double limit, uint64_t seed, uint32_t layer):
    """n float64 numbers, uniform in [-limit, limit): the stream that layer number `layer` is initialised from."""
    cdef cnp.ndarray out = np.empty(n)
    _tables[0].uniform(<double *>cnp.PyArray_DATA(out), n, limit, seed, layer)
    return out


def permutation(uint32_t n, uint64_t seed, uint32_t epoch, cnp.ndarray out=None):
    """A permutation of 0..n-1: the order of an epoch of a network with this seed. out: (n,) uint32."""
    if out is None:
        out = np.empty(n, np.uint32)
    with nogil:
        _tables[0].permutation(<uint32_t *>cnp.PyArray_DATA(out), n, seed, epoch)
    return out


def float_size(a):
    """4 or 8 for an array of native float32 or float64 that C can read as it is, contiguous and aligned; else 0."""
    if not cnp.PyArray_CheckExact(a) or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>a):
        return 0
    kind = cnp.PyArray_TYPE(<cnp.ndarray>a)
    return 4 if kind == cnp.NPY_FLOAT else 8 if kind == cnp.NPY_DOUBLE else 0


def is_output(out, tuple shape, int itemsize):
    """Whether C can write float results of this shape and size to it as it is."""
    return float_size(out) == itemsize and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out) and out.shape == shape


def first_outside(cnp.ndarray a, int64_t n):
    """The place of the first of contiguous int64 numbers that is not in 0..n-1; their number if there is none."""
    cdef const int64_t *at = <const int64_t *>cnp.PyArray_DATA(a)
    cdef ptrdiff_t i = 0, size = cnp.PyArray_SIZE(a)
    with nogil:
        while i < size and 0 <= at[i] < n:
            i += 1
    return i


def overlap(cnp.ndarray a, cnp.ndarray b):
    """Whether the memory of two arrays may have a byte in common."""
    if not (cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(b)):
        return np.may_share_memory(a, b)
    cdef char *at = <char *>cnp.PyArray_DATA(a)
    cdef char *bt = <char *>cnp.PyArray_DATA(b)
    return at < bt + cnp.PyArray_NBYTES(b) and bt < at + cnp.PyArray_NBYTES(a)


def first_not_finite(cnp.ndarray a):
    """The flat index of the first NaN or infinity of a contiguous float array; its size if there is none."""
    cdef const fm_ops *ops = operations(cnp.PyArray_ITEMSIZE(a) == 8)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(a), at
    with nogil:
        at = ops.first_not_finite(cnp.PyArray_DATA(a), n)
    return at
