/* fastmlp's C core: the contract between the arithmetic and whoever calls it.
 *
 * All arithmetic is here. C knows no Python, allocates nothing, prints nothing and checks nothing: sizes, names and
 * pointers are the caller's business. Matrices are row-major and `ld` is a row stride, all counted in elements.
 * B, I, O stand for batch, inputs, outputs.
 *
 * The contract of every function: each sum of products runs in ascending index order, one fused multiply-add at a time, from
 * zero or, in networks, next to nothing (gemm.inl.h), and the bias is added last; sums across a row's outputs, of norms and of
 * penalties go into 16 partial sums, folded in halves (loss.inl.h). Hence the same bits on every ISA, for any batch size
 * and any number of threads. */
#ifndef FASTMLP_H
#define FASTMLP_H

#include <stddef.h>
#include <stdint.h>

enum fm_activation {
    FM_IDENTITY, FM_RELU, FM_LEAKY_RELU, FM_ELU, FM_GELU, FM_SILU, FM_SOFTPLUS, FM_TANH, FM_SIGMOID, FM_IMPULSE, FM_HEAVISIDE,
    FM_EXP
};
enum fm_loss {
    FM_SQUARED_ERROR, FM_SOFTMAX_CROSS_ENTROPY, FM_BINARY_CROSS_ENTROPY, FM_ABSOLUTE_ERROR, FM_HUBER, FM_QUANTILE, FM_POISSON,
    FM_FOCAL, FM_BINARY_FOCAL
};
enum fm_row_reduction { FM_LOGSUMEXP, FM_SOFTMAX, FM_LOG_SOFTMAX };
enum fm_rule { FM_SGD, FM_ADAM, FM_RMSPROP, FM_LION };
enum fm_stream { FM_STREAM_WEIGHTS, FM_STREAM_ORDER, FM_STREAM_DROPOUT };
enum fm_status { FM_OK, FM_NOT_FINITE };

/* One dense layer. W is (I, O) with rows `ld` apart at params[W], the bias (O,) at params[b]. The columns O..ld are padding. */
typedef struct {
    ptrdiff_t inputs, outputs, ld;
    ptrdiff_t W, b;   /* b < 0: no bias */
    ptrdiff_t before; /* sum of ld over the layers before this one */
    int activation;
    double dropout;   /* the chance that an output is 0 during a training step */
} fm_layer;

/* A chain of layers. Siamese: all but the last layer see each of two inputs, the last one the difference of what they say. */
typedef struct {
    const fm_layer *layers;
    int n_layers;
    int loss;
    int siamese;
    double loss_parameter; /* smoothing of labels, Huber's delta, the quantile, focal gamma */
    /* The loss as reported is that of probabilities in [eps, 1 - eps], and a mean over outputs of squared errors; l1 and l2
     * are divided by the batch's sum of weights; an infinite loss, whose gradient may be finite, ends nothing. */
    int as_scikit_learn;
} fm_net;

/* An optimizer's settings and the part of its state that is not an array. beta_power are the running products beta^t. */
typedef struct {
    int rule;
    double learning_rate, weight_decay;
    double decoupled_decay; /* AdamW's: W <- W - learning_rate * decoupled_decay * W */
    double momentum;
    int nesterov;
    double beta1, beta2, epsilon; /* RMSprop's rho is beta2 */
    int plain_epsilon;            /* Adam's epsilon_t = epsilon, as scikit-learn has it */
    double beta1_power, beta2_power;
    int64_t steps;
} fm_optimizer;

/* One pass of minibatch training over `rows` rows, or what is left of it. */
typedef struct {
    const fm_net *net;
    void *params, *grads, *slots[2]; /* flat buffers of one layout; slots: v of SGD, m of Lion, m and v of the others. grads: the last step's */
    void *average;                   /* another one, the moving average of params, or NULL */
    const void *X[2];                /* (rows, I), contiguous; X[1] for siamese networks only */
    const void *y;                   /* int64 classes (rows,) for softmax cross-entropy, else (rows, O) */
    const uint32_t *order;           /* the row that stands at each place, or NULL for rows as they come */
    ptrdiff_t rows, batch;
    ptrdiff_t next;                  /* rows done */
    double loss;                     /* sum over the steps done of their mean loss, with penalties, times their rows */
    fm_optimizer *optimizer;         /* NULL: leave the gradient in grads */
    const void *weights;             /* (rows,) of the losses, whose mean over a batch is weighted then; or NULL */
    const double *rates;             /* the learning rate of each step of all rows, or NULL: the optimizer's */
    double *losses;                  /* the loss of each step of all rows is put there, unless NULL */
    double l1, l2, max_norm;         /* penalties l1 |W| + l2 / 2 W^2, and the most that a unit's weights may have; 0: none */
    double clip_norm;                /* the most that the norm of the gradient may be; 0: any */
    double average_decay;            /* average <- decay average + (1 - decay) params after each step */
    uint64_t seed;                   /* of dropout */
    void *workspace;                 /* fm_workspace() elements, zero before the first use */
    int threads;
} fm_training;

/* Everything that computes, for one ISA and one element type; `void *` stands for that type. */
typedef struct {
    const char *isa;

    /* kernels on arrays */
    void (*activation)(int kind, void *h, const void *z, ptrdiff_t n);
    void (*derivative)(int kind, void *d, const void *z, ptrdiff_t n);
    /* (not I: complex.h makes that a macro where Cython includes this) */
    void (*matmul)(int activation, void *Y, const void *X, const void *W, const void *b, ptrdiff_t B, ptrdiff_t inputs,
                   ptrdiff_t outputs, ptrdiff_t W_row, ptrdiff_t W_column, void *scratch);
    void (*outer_gradient)(void *dW, void *db, const void *dz, const void *X, ptrdiff_t B, ptrdiff_t outputs,
                           ptrdiff_t inputs, void *scratch);
    void (*row_reduction)(int kind, void *out, const void *z, ptrdiff_t B, ptrdiff_t K);
    void (*loss)(int kind, double parameter, void *loss, void *dz, const void *z, const void *y, ptrdiff_t B, ptrdiff_t K);
    ptrdiff_t (*first_not_finite)(const void *x, ptrdiff_t n); /* n where all are finite */

    /* networks */
    void (*row)(const fm_net *net, const void *params, void *y, const void *x, void *scratch);
    void (*forward)(const fm_net *net, const void *params, void *Y, const void *const X[2], ptrdiff_t B, void *scratch,
                    int threads);
    /* steps until all rows are done or fm_seconds() passes `until`; FM_NOT_FINITE after a step that changed nothing */
    int (*train)(fm_training *training, double until);
    void (*backward)(fm_training *training, const void *dz, void *dX);
    void (*update)(fm_training *training);

    /* random streams, the same in both tables */
    void (*uniform)(double *out, ptrdiff_t n, double limit, uint64_t seed, uint32_t layer);
    void (*permutation)(uint32_t *order, uint32_t n, uint64_t seed, uint32_t epoch);
} fm_ops;

/* How many elements of scratch a call wants. */
ptrdiff_t fm_matmul_scratch(ptrdiff_t K);
ptrdiff_t fm_row_scratch(const fm_net *net);
ptrdiff_t fm_forward_scratch(const fm_net *net, int threads);
ptrdiff_t fm_workspace(const fm_net *net, ptrdiff_t batch, int threads);

/* dispatch.c: the ISAs in ascending order of preference. fm_isa_name(i) is NULL past the last one; fm_isa_operations gives
 * two tables, for float and double, or NULL where this CPU or build lacks the ISA. */
const char *fm_isa_name(int i);
const fm_ops *const *fm_isa_operations(int i);

/* threads.c: work(context, i, n) for i in 0..n-1 at once, then return. Falls back to doing it alone. */
void fm_parallel(int n, void (*work)(void *context, int i, int n), void *context);
double fm_seconds(void);
#endif
