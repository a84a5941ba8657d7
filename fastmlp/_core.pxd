"""What the compiled C offers to the other Cython modules."""

from fastmlp._csrc cimport fm_net, fm_ops

cdef const fm_ops *operations(bint is_double) noexcept
cdef ptrdiff_t matmul_scratch(ptrdiff_t K) noexcept
cdef ptrdiff_t row_scratch(const fm_net *net) noexcept
cdef ptrdiff_t forward_scratch(const fm_net *net, int threads) noexcept
cdef ptrdiff_t workspace(const fm_net *net, ptrdiff_t batch, int threads) noexcept
cdef double seconds() noexcept nogil
