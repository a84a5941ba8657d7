"""Mirror of csrc/fastmlp.h, where everything is explained. Declares; holds no code."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "fastmlp.h" nogil:
    cdef enum:
        FM_LOGSUMEXP
        FM_SOFTMAX
        FM_LOG_SOFTMAX

    ctypedef struct fm_layer:
        ptrdiff_t inputs, outputs, ld
        ptrdiff_t W, b
        ptrdiff_t before
        int activation
        double dropout

    ctypedef struct fm_net:
        const fm_layer *layers
        int n_layers
        int loss
        int siamese
        double loss_parameter
        int as_scikit_learn

    ctypedef struct fm_optimizer:
        int rule
        double learning_rate, weight_decay
        double decoupled_decay
        double momentum
        int nesterov
        double beta1, beta2, epsilon
        int plain_epsilon
        double beta1_power, beta2_power
        int64_t steps

    ctypedef struct fm_training:
        const fm_net *net
        void *params
        void *grads
        void *slots[2]
        void *average
        const void *X[2]
        const void *y
        const uint32_t *order
        ptrdiff_t rows, batch
        ptrdiff_t next
        double loss
        fm_optimizer *optimizer
        const void *weights
        const double *rates
        double *losses
        double l1, l2, max_norm
        double clip_norm
        double average_decay
        uint64_t seed
        void *workspace
        int threads

    ctypedef struct fm_ops:
        const char *isa
        void (*activation)(int kind, void *h, const void *z, ptrdiff_t n) noexcept nogil
        void (*derivative)(int kind, void *d, const void *z, ptrdiff_t n) noexcept nogil
        void (*matmul)(int activation, void *Y, const void *X, const void *W, const void *b, ptrdiff_t B, ptrdiff_t I,
                       ptrdiff_t O, ptrdiff_t W_row, ptrdiff_t W_column, void *scratch) noexcept nogil
        void (*outer_gradient)(void *dW, void *db, const void *dz, const void *X, ptrdiff_t B, ptrdiff_t O, ptrdiff_t I,
                               void *scratch) noexcept nogil
        void (*row_reduction)(int kind, void *out, const void *z, ptrdiff_t B, ptrdiff_t K) noexcept nogil
        void (*loss)(int kind, double parameter, void *loss, void *dz, const void *z, const void *y, ptrdiff_t B,
                     ptrdiff_t K) noexcept nogil
        ptrdiff_t (*first_not_finite)(const void *x, ptrdiff_t n) noexcept nogil
        void (*row)(const fm_net *net, const void *params, void *y, const void *x, void *scratch) noexcept nogil
        void (*forward)(const fm_net *net, const void *params, void *Y, const void **X, ptrdiff_t B, void *scratch,
                        int threads) noexcept nogil
        int (*train)(fm_training *training, double until) noexcept nogil
        void (*backward)(fm_training *training, const void *dz, void *dX) noexcept nogil
        void (*update)(fm_training *training) noexcept nogil
        void (*uniform)(double *out, ptrdiff_t n, double limit, uint64_t seed, uint32_t layer) noexcept nogil
        void (*permutation)(uint32_t *order, uint32_t n, uint64_t seed, uint32_t epoch) noexcept nogil

    ptrdiff_t fm_matmul_scratch(ptrdiff_t K)
    ptrdiff_t fm_row_scratch(const fm_net *net)
    ptrdiff_t fm_forward_scratch(const fm_net *net, int threads)
    ptrdiff_t fm_workspace(const fm_net *net, ptrdiff_t batch, int threads)

    const char *fm_isa_name(int i)
    const fm_ops *const *fm_isa_operations(int i)

    double fm_seconds()
