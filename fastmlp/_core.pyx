"""The compiled C, loaded once: which ISA computes, what the CPU offers, the random streams.

Knows nothing of networks. The one extension module that contains csrc/; the others reach it through _core.pxd.
"""

import os

import numpy as np

cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t

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
    _csrc.fm_uniform(<double *>cnp.PyArray_DATA(out), n, limit, seed, layer)
    return out


def permutation(uint32_t n, uint64_t seed, uint32_t epoch):
    """A uint32 permutation of 0..n-1: the order of the rows in epoch number `epoch` of a network with this seed."""
    cdef cnp.ndarray out = np.empty(n, np.uint32)
    with nogil:
        _csrc.fm_permutation(<uint32_t *>cnp.PyArray_DATA(out), n, seed, epoch)
    return out


def first_not_finite(cnp.ndarray a):
    """The flat index of the first NaN or infinity of a contiguous float array; its size if there is none."""
    cdef const fm_ops *ops = operations(cnp.PyArray_ITEMSIZE(a) == 8)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(a), at
    with nogil:
        at = ops.first_not_finite(cnp.PyArray_DATA(a), n)
    return at
