/* What the core's kernels reach on every ISA of this CPU, one JSON object a line; kernel_rates.py makes a table of them.
 *
 * Beside the products stands the peak: independent fused multiply-adds on registers alone, measured in turns with them.
 * With LIBXSMM defined, libxsmm's kernels on the same shapes stand there too. */
#include "fastmlp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef LIBXSMM
#include <libxsmm.h>
#endif

enum { ROUNDS = 15 };
static const double ROUND_SECONDS = 2e-3;

/* The peak of one ISA: n steps of as many chains as its registers hold, returned so that no compiler drops them. */
#define PEAK(NAME, ATTRIBUTE, BYTES, CHAINS)                                                                                  \
    typedef float NAME##_vector __attribute__((vector_size(BYTES)));                                                   \
    ATTRIBUTE static float NAME(long n)                                                                                \
    {                                                                                                                  \
        NAME##_vector sum[CHAINS], a = {0}, b = {0};                                                                   \
        a += 0.999f, b += 0.001f;                                                                                      \
        for (int i = 0; i < CHAINS; ++i)                                                                               \
            sum[i] = b * (float)i;                                                                                     \
        for (long k = 0; k < n; ++k)                                                                                   \
            _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) sum[i] = sum[i] * a + b;                         \
        for (int i = 1; i < CHAINS; ++i)                                                                               \
            sum[0] += sum[i];                                                                                          \
        return sum[0][0];                                                                                              \
    }
#if defined(__x86_64__)
PEAK(peak_avx2, __attribute__((target("avx2,fma"), optimize("fp-contract=fast"))), 32, 12)
PEAK(peak_avx512, __attribute__((target("avx512f"), optimize("fp-contract=fast"))), 64, 24)
#elif defined(__aarch64__)
PEAK(peak_neon, __attribute__((optimize("fp-contract=fast"))), 16, 24)
#endif

static const struct {
    const char *isa;
    float (*run)(long);
    int floats; /* a step's */
} peaks[] = {
#if defined(__x86_64__)
    {"avx2", peak_avx2, 12 * 8}, {"avx512", peak_avx512, 24 * 16},
#elif defined(__aarch64__)
    {"neon", peak_neon, 24 * 4},
#endif
    {NULL, NULL, 0}};

static const fm_ops *ops;
static volatile float sink;
static float *x, *w, *y, *scratch;
static ptrdiff_t M, N, K, ld;
static int kind;
static float (*peak)(long);

static void run_peak(void) { sink = peak(1000); }
static void run_product(void) { ops->matmul(FM_IDENTITY, y, x, w, NULL, M, K, N, 1, ld, scratch); }
static void run_activation(void) { ops->activation(kind, y, x, N); }
static void run_softmax(void) { ops->row_reduction(FM_SOFTMAX, y, x, M, K); }
static fm_training training;
static void run_update(void) { ops->update(&training); }
#ifdef LIBXSMM
static libxsmm_smmfunction xsmm; /* column-major: Y^T = W^T X^T, so that its rows are our columns */
static void run_xsmm(void) { xsmm(w, x, y); }
#endif

/* Seconds of one call of each: the best of many short rounds, taken in turns. */
static void race(int n, void (*const *work)(void), double *best)
{
    long calls[4];
    for (int i = 0; i < n; ++i) {
        double seconds = 0;
        for (calls[i] = 1; seconds < ROUND_SECONDS; calls[i] *= 2) {
            const double start = fm_seconds();
            for (long c = 0; c < calls[i]; ++c)
                work[i]();
            seconds = fm_seconds() - start;
        }
        best[i] = 1;
    }
    for (int round = 0; round < ROUNDS; ++round)
        for (int i = 0; i < n; ++i) {
            const double start = fm_seconds();
            for (long c = 0; c < calls[i]; ++c)
                work[i]();
            const double seconds = (fm_seconds() - start) / (double)calls[i];
            best[i] = seconds < best[i] ? seconds : best[i];
        }
}

static void products(int floats)
{
    static const int shapes[][3] = {{14, 32, 64},    {32, 64, 64},    {32, 128, 784},
                                    {128, 128, 784}, {128, 512, 784}, {1024, 1024, 1024}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        void (*work[3])(void) = {run_product};
        double best[3];
        int n = 1;
        M = shapes[i][0], N = shapes[i][1], K = shapes[i][2];
        ld = N % 256 ? N : N + 16; /* as networks store W */
        work[n++] = run_peak;
#ifdef LIBXSMM
        const libxsmm_blasint m = (int)N, nn = (int)M, k = (int)K, lda = (int)ld;
        const float one = 1, zero = 0;
        xsmm = !strcmp(ops->isa, "avx512") ? libxsmm_smmdispatch(m, nn, k, &lda, &k, &m, &one, &zero, NULL, NULL) : NULL;
        if (xsmm)
            work[n++] = run_xsmm;
#endif
        race(n, work, best);
        const double flop = 2.0 * (double)(M * N * K);
        printf("{\"isa\": \"%s\", \"kernel\": \"product %tdx%tdx%td\", \"gflops\": %.2f", ops->isa, M, N, K, flop / best[0] * 1e-9);
        printf(", \"peak\": %.2f", 2e3 * floats / best[1] * 1e-9);
        if (n == 3)
            printf(", \"libxsmm\": %.2f", flop / best[2] * 1e-9);
        puts("}");
    }
}

static void one(const char *name, void (*work)(void), ptrdiff_t elements)
{
    double best;
    race(1, &work, &best);
    printf("{\"isa\": \"%s\", \"kernel\": \"%s\", \"ns\": %.4f}\n", ops->isa, name, best / (double)elements * 1e9);
}

static void elementwise(void)
{
    static const char *const names[] = {"identity", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"};
    N = 8192;
    for (kind = FM_RELU; kind <= FM_SIGMOID; ++kind)
        one(names[kind], run_activation, N);
    M = 800, K = 10;
    one("softmax of 10", run_softmax, M * K);
    static fm_layer layer = {64, 64, 64, 0, -1, 0, FM_IDENTITY};
    static const fm_net net = {&layer, 1, FM_SQUARED_ERROR, 0};
    static fm_optimizer adam = {.rule = FM_ADAM, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    adam.beta1_power = adam.beta2_power = 1;
    training = (fm_training){.net = &net, .params = w, .grads = x, .slots = {y, y + 4096}, .optimizer = &adam};
    memset(y, 0, 8192 * sizeof *y);
    one("Adam", run_update, 4096);
}

int main(void)
{
    enum { MOST = 1040 * 1024 };
    x = aligned_alloc(64, MOST * sizeof *x), w = aligned_alloc(64, MOST * sizeof *w);
    y = aligned_alloc(64, MOST * sizeof *y), scratch = aligned_alloc(64, (size_t)(fm_matmul_scratch(1024) + 16) / 16 * 64);
    if (!x || !w || !y || !scratch)
        return 1;
    for (int i = 0; i < MOST; ++i)
        x[i] = (float)(i % 17) / 8 - 1, w[i] = (float)(i % 13) / 6 - 1, y[i] = 0;
    for (int i = 0; fm_isa_name(i); ++i) {
        if (!fm_isa_operations(i))
            continue;
        ops = fm_isa_operations(i)[0], peak = NULL;
        int floats = 0;
        for (int p = 0; peaks[p].isa; ++p)
            if (!strcmp(peaks[p].isa, ops->isa))
                peak = peaks[p].run, floats = peaks[p].floats;
        if (peak) /* scalar code has none that would say anything */
            products(floats);
        elementwise();
        fflush(stdout);
    }
    return 0;
}
