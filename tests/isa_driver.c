/* Drives one ISA's whole operation table on pseudo-random inputs and prints a hash of the bits of every result, so that two
 * builds, two ISAs or two kinds of CPU are compared by comparing lines. Built and run by test_isa.py: isa_driver ISA.
 * isa_driver ISA guard prints no hashes: it runs every array kernel with each of its arrays flush against a page that nobody
 * may read or write, behind it and then before it, so that a kernel which touches one element too many dies of it.
 * isa_driver ISA underflow tells of each small network whose products are subnormal one by one, if their sums are so too.
 *
 * Inputs come from integer arithmetic alone; a NaN is hashed as a NaN, whatever its sign and payload. */
#include "fastmlp.h"
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

static uint64_t state = 1;
static const int SIZES[] = {1, 3, 7, 15, 16, 17, 31, 33, 63, 65, 97};
enum { N_SIZES = sizeof SIZES / sizeof *SIZES, DOUBLES = 200000 };

static uint64_t next(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Multiples of 2^-20 below `most` in size, one in eight of them 0. */
static double number(double most)
{
    const int64_t i = (int64_t)(next() >> 43) - (1 << 20);
    return next() % 8 ? most * (double)i * 0x1p-20 : 0;
}

static void *room(void)
{
    char *p = calloc(DOUBLES + 8, sizeof(double));
    if (!p)
        exit(1);
    return p + (64 - (uintptr_t)p % 64);
}

static double get(const void *p, ptrdiff_t i, int d) { return d ? ((const double *)p)[i] : (double)((const float *)p)[i]; }

static void put(void *p, ptrdiff_t i, int d, double x)
{
    if (d)
        ((double *)p)[i] = x;
    else
        ((float *)p)[i] = (float)x;
}

static void fill(void *p, ptrdiff_t n, int d, double most)
{
    for (ptrdiff_t i = 0; i < n; ++i)
        put(p, i, d, number(most));
}

/* Most numbers become 0, so that products skip them. */
static void thin(void *p, ptrdiff_t n, int d)
{
    for (ptrdiff_t i = 0; i < n; ++i)
        if (next() % 4)
            put(p, i, d, 0);
}

static void poison(void *p, ptrdiff_t n, int d)
{
    for (ptrdiff_t i = 0; i < n; ++i)
        put(p, i, d, NAN);
}

/* Parameters of every layer; what pads them stays. */
static void draw(void *params, const fm_layer *layers, int n, int d)
{
    for (const fm_layer *l = layers; l < layers + n; ++l)
        for (int i = 0; i < l->inputs + (l->b >= 0); ++i)
            for (int j = 0; j < l->outputs; ++j)
                put(params, l->W + i * l->ld + j, d, number(1.5 / sqrt((double)l->inputs)));
}

static void tell(const char *name, int a, int b, int d, const void *p, ptrdiff_t n)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (ptrdiff_t i = 0; i < n; ++i) {
        double x = get(p, i, d);
        uint64_t u;
        memcpy(&u, &x, sizeof u);
        if (x != x)
            u = 0x7FF8000000000000u;
        hash = (hash ^ (u & 0xFFFFFFFFu)) * 0x100000001B3u;
        hash = (hash ^ (u >> 32)) * 0x100000001B3u;
    }
    printf("%s %d %d %s %016llx\n", name, a, b, d ? "double" : "float", (unsigned long long)hash);
}

static int takes_classes(int loss) { return loss == FM_SOFTMAX_CROSS_ENTROPY || loss == FM_FOCAL; }

static void *x, *w, *b, *y, *y2, *scratch;

static void products(const fm_ops *ops, int d)
{
    for (int i = 0; i < N_SIZES; ++i)
        for (int j = 0; j < N_SIZES; ++j) {
            const int B = SIZES[(i + 3 * j) % N_SIZES], I = SIZES[i], O = SIZES[j];
            fill(x, B * I, d, 4), fill(w, O * I, d, 4), fill(b, O, d, 4), poison(y, B * O, d);
            ops->matmul(j % 12, y, x, w, i % 2 ? b : NULL, B, I, O, I, 1, scratch);
            tell("matmul", I, O, d, y, B * O);
            ops->matmul(FM_IDENTITY, y, x, w, b, B, I, O, 1, O, scratch); /* W in the other order */
            tell("matmul transposed", I, O, d, y, B * O);
            fill(w, B * O, d, 4), poison(y, O * I, d), poison(y2, O, d);
            ops->outer_gradient(y, y2, w, x, B, O, I, scratch);
            tell("dW", I, O, d, y, O * I);
            tell("db", I, O, d, y2, O);
        }
}

static void elementwise(const fm_ops *ops, int d)
{
    static const double edges[] = {0, 1e-310, 1e-44, 1e-38, 3e-38, 1e-8, 1, 20, 87, 88.8, 104, 709.5, 746, 1e4, 1e30, INFINITY, NAN};
    enum { EDGES = sizeof edges / sizeof *edges, MANY = 4099 };
    fill(x, MANY, d, 12);
    for (int i = 0; i < MANY / 3; ++i)
        put(x, i, d, get(x, i, d) * (i % 2 ? 9 : 0x1p-12));
    for (int i = 0; i < EDGES; ++i)
        put(x, 2 * i, d, edges[i]), put(x, 2 * i + 1, d, -edges[i]);
    for (int kind = FM_IDENTITY; kind <= FM_EXP; ++kind)
        for (int i = 0; i <= N_SIZES; ++i) {
            const int n = i < N_SIZES ? SIZES[i] : MANY;
            poison(y, n, d);
            ops->activation(kind, y, x, n);
            tell("activation", kind, n, d, y, n);
            poison(y, n, d);
            ops->derivative(kind, y, x, n);
            tell("derivative", kind, n, d, y, n);
        }
}

static void losses(const fm_ops *ops, int d)
{
    enum { B = 37 };
    int64_t t[B];
    for (int i = 0; i < N_SIZES; ++i) {
        const int K = SIZES[i];
        fill(x, B * K, d, 20), fill(w, B * K, d, 1);
        for (int r = 0; r < B; ++r)
            t[r] = (int64_t)(next() % (uint64_t)K);
        put(x, 3 * K, d, -INFINITY), put(x, 5 * K + K / 2, d, INFINITY), put(x, 7 * K + K - 1, d, NAN), put(x, 9 * K, d, 1e30);
        for (int j = 0; j < K; ++j)
            put(x, 11 * K + j, d, -INFINITY);
        for (int kind = FM_LOGSUMEXP; kind <= FM_LOG_SOFTMAX; ++kind) {
            poison(y, B * K, d);
            ops->row_reduction(kind, y, x, B, K);
            tell("reduction", kind, K, d, y, kind == FM_LOGSUMEXP ? B : B * K);
        }
        for (int kind = FM_SQUARED_ERROR; kind <= FM_BINARY_FOCAL; ++kind) {
            poison(y, B, d), poison(y2, B * K, d);
            ops->loss(kind, i % 2 * 0.5, y, y2, x, takes_classes(kind) ? (void *)t : w, B, K);
            tell("loss", kind, K, d, y, B);
            tell("loss dz", kind, K, d, y2, B * K);
        }
        put(x, B * K - 1, d, NAN);
        const double first[1] = {(double)ops->first_not_finite(w, B * K) + (double)ops->first_not_finite(x, B * K)};
        tell("first_not_finite", 0, K, 1, first, 1);
    }
}

/* Ten epochs of a network I-H-H'-O, with all that training can do besides if `more`, then inference, one row and a gradient of
 * the caller's own. */
static void network(const fm_ops *ops, int d, int I, int H, int O, int activation, int loss, int siamese, int rule, int threads,
                    int more)
{
    enum { ROWS = 61, BATCH = 13, STEPS = 5 };
    const int elementwise = loss == FM_SQUARED_ERROR || (loss >= FM_ABSOLUTE_ERROR && loss <= FM_QUANTILE);
    const int last = more && elementwise && rule ? (activation + rule) % (FM_SIGMOID + 1) : FM_IDENTITY;
    const int outputs = siamese ? 1 : O, widths[] = {I, H, SIZES[(activation + 4) % 8], outputs};
    fm_layer layers[3];
    ptrdiff_t at = 0, before = 0;
    for (int l = 0; l < 3; ++l) {
        const ptrdiff_t ld = (widths[l + 1] + 15) / 16 * 16;
        const int bias = l != 1 || activation % 2;
        layers[l] = (fm_layer){widths[l], widths[l + 1], ld, at, bias ? at + widths[l] * ld : -1, before,
                               l < 2 ? activation : last, more && l < 2 ? 0.25 : 0};
        at += (widths[l] + bias) * ld, before += ld;
    }
    const fm_net net = {layers, 3, siamese ? FM_BINARY_CROSS_ENTROPY : loss, siamese, more * 0.5, more && rule / 2};
    fm_optimizer optimizer = {.rule = rule, .learning_rate = 0.01, .weight_decay = 0.01,
                              .decoupled_decay = rule == FM_ADAM || rule == FM_LION ? 0.1 : 0, .plain_epsilon = more,
                              .momentum = 0.9, .nesterov = activation % 2, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                              .beta1_power = 1, .beta2_power = 1};
    void *params = room(), *grads = room(), *m = room(), *v = room(), *X2 = room(), *dz = room();
    void *workspace = calloc((size_t)fm_workspace(&net, BATCH, threads) + (size_t)fm_workspace(&net, ROWS, threads), sizeof(double));
    void *average = room(), *weights = room();
    const double rates[STEPS] = {0.01, 0.02, 0.015, 0.01, 0.005};
    double told[STEPS] = {0};
    int64_t t[ROWS];
    uint32_t order[ROWS];
    draw(params, layers, 3, d);
    fill(x, ROWS * I, d, 2), fill(X2, ROWS * I, d, 2), fill(w, ROWS * outputs, d, 1), fill(dz, ROWS * outputs, d, 1);
    if (H > 64)
        thin(x, ROWS * I, d), thin(X2, ROWS * I, d);
    for (int r = 0; r < ROWS; ++r)
        t[r] = (int64_t)(next() % (uint64_t)outputs);
    fm_training training = {.net = &net, .params = params, .grads = grads, .slots = {m, v}, .X = {x, X2},
                            .y = takes_classes(net.loss) ? (void *)t : w, .rows = ROWS, .batch = BATCH,
                            .optimizer = &optimizer, .workspace = workspace, .threads = threads};
    if (more) {
        for (int i = 0; i < ROWS * outputs; ++i) /* as counts and chances are */
            put(w, i, d, fabs(get(w, i, d)));
        for (int r = 0; r < ROWS; ++r)
            put(weights, r, d, 0.5 + fabs(number(1)));
        draw(average, layers, 3, d);
        training.average = average, training.average_decay = 0.9, training.weights = weights, training.rates = rates;
        training.losses = told, training.l1 = 0.001, training.l2 = 0.01, training.max_norm = 1, training.seed = 7;
        training.clip_norm = rule % 2 ? 0.1 : 0;
    }
    int status = FM_OK;
    for (uint32_t epoch = 0; epoch < 10 && !status; ++epoch) {
        ops->permutation(order, ROWS, 5, epoch);
        training.order = epoch % 3 ? order : NULL;
        training.next = 0;
        status = ops->train(&training, fm_seconds() + 1e9);
    }
    const int name = activation + 100 * loss + 1000 * siamese + 10000 * rule + 100000 * more;
    tell("train", name, H, 1, &training.loss, 1);
    tell("losses", name, H, 1, told, STEPS);
    tell("average", name, H, d, average, at);
    tell("params", name, status, d, params, at);
    tell("grads", name, H, d, grads, at);
    tell("m", name, H, d, m, at);
    tell("v", name, H, d, v, at);
    const void *X[2] = {x, X2};
    void *forward_scratch = calloc((size_t)fm_forward_scratch(&net, threads), sizeof(double));
    poison(y, ROWS * outputs, d);
    ops->forward(&net, params, y, X, ROWS, forward_scratch, threads);
    tell("forward", name, H, d, y, ROWS * outputs);
    if (!siamese) {
        ops->row(&net, params, y, x, forward_scratch);
        tell("row", name, H, d, y, outputs);
    }
    training.batch = ROWS, training.next = 0, training.order = NULL, training.optimizer = NULL;
    memset(workspace, 0, (size_t)fm_workspace(&net, ROWS, threads) * sizeof(double));
    poison(y, ROWS * I * (1 + siamese), d);
    ops->backward(&training, dz, y);
    tell("dX", name, H, d, y, ROWS * I * (1 + siamese));
    tell("own grads", name, H, d, grads, at);
    training.optimizer = &optimizer;
    ops->update(&training);
    tell("update", name, H, d, params, at);
    free(workspace), free(forward_scratch); /* what room() gave is left to the end of the process */
}

#if defined(__unix__) || defined(__APPLE__)
/* ---- guard pages ---- */

enum { ROOMS = 10, MOST = 67, ROOM_BYTES = 1 << 22 };
static char *rooms[ROOMS];
static int at_end;

static void open_rooms(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = ROOM_BYTES;
    for (int i = 0; i < ROOMS; ++i) {
        char *p = mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) || mprotect(p + page + size, page, PROT_NONE))
            exit(1);
        rooms[i] = p + page;
    }
}

/* n elements at the end, or the beginning, of a room. */
static void *flush(int room, ptrdiff_t n, int d)
{
    const ptrdiff_t bytes = n * (ptrdiff_t)(d ? sizeof(double) : sizeof(float));
    if (bytes > ROOM_BYTES)
        exit(1);
    return rooms[room] + (at_end ? ROOM_BYTES - bytes : 0);
}

static void *zeros(int room, ptrdiff_t n, int d)
{
    return memset(flush(room, n, d), 0, (size_t)n * (d ? sizeof(double) : sizeof(float)));
}

static void *numbers(int room, ptrdiff_t n, int d)
{
    void *p = flush(room, n, d);
    fill(p, n, d, 1);
    return p;
}

static void *classes(int room, ptrdiff_t B, ptrdiff_t K)
{
    int64_t *t = (void *)(rooms[room] + (at_end ? ROOM_BYTES - B * (ptrdiff_t)sizeof *t : 0));
    for (ptrdiff_t i = 0; i < B; ++i)
        t[i] = (i + 1) % K;
    return t;
}

static void guarded_products(const fm_ops *ops, int d)
{
    for (int M = 1; M <= MOST; ++M)
        for (int N = 1; N <= MOST; ++N)
            for (int K = 1; K <= MOST; ++K) {
                void *X = flush(0, M * K, d), *W = flush(1, N * K, d), *bias = flush(2, N, d), *Y = flush(3, M * N, d);
                void *dW = flush(4, N * K, d), *aside = flush(5, fm_matmul_scratch(K > M ? K : M), d);
                ops->matmul(FM_IDENTITY, Y, X, W, bias, M, K, N, K, 1, aside);
                ops->matmul((M + N + K) % 12, Y, X, W, NULL, M, K, N, 1, N, aside);
                ops->outer_gradient(dW, bias, Y, X, M, N, K, flush(5, fm_matmul_scratch(M), d));
            }
}

static void guarded_rows(const fm_ops *ops, int d)
{
    for (int n = 1; n <= MOST; ++n) {
        void *z = flush(0, n, d), *out = flush(1, n, d);
        for (int kind = FM_IDENTITY; kind <= FM_EXP; ++kind)
            ops->activation(kind, out, z, n), ops->derivative(kind, out, z, n);
        ops->first_not_finite(z, n);
        ops->first_not_finite(flush(0, 1000 + n, d), 1000 + n); /* which ends in and behind a block */
        for (int B = 1; B <= MOST; ++B) {
            void *rows = numbers(2, B * n, d), *dz = flush(3, B * n, d), *loss = flush(4, B, d), *y = numbers(5, B * n, d);
            if (B % 3 == 0)
                put(rows, B * n - 1, d, INFINITY);
            for (int kind = FM_LOGSUMEXP; kind <= FM_LOG_SOFTMAX; ++kind)
                ops->row_reduction(kind, kind == FM_LOGSUMEXP ? loss : dz, rows, B, n);
            for (int kind = FM_SQUARED_ERROR; kind <= FM_BINARY_FOCAL; ++kind)
                ops->loss(kind, B % 2 * 0.5, loss, dz, rows, takes_classes(kind) ? classes(6, B, n) : y, B, n);
        }
        ops->uniform(flush(6, n, 1), n, 1, 5, 0);
        ops->permutation(flush(6, n, 0), (uint32_t)n, 5, 0);
    }
}

/* A network I-H-O with all that the caller hands over flush. Activation, rule and threads change with the sizes. */
static void guarded_network(const fm_ops *ops, int d, int B, int I, int H, int O, int loss, int siamese)
{
    const int widths[] = {I, H, siamese ? 1 : O}, turn = B + I + H + O;
    fm_layer layers[2];
    ptrdiff_t at = 0, before = 0;
    for (int l = 0; l < 2; ++l) {
        const ptrdiff_t ld = (widths[l + 1] + 15) / 16 * 16;
        layers[l] = (fm_layer){widths[l], widths[l + 1], ld, at, at + widths[l] * ld, before, l ? FM_IDENTITY : (turn + loss) % 11};
        at += (widths[l] + 1) * ld, before += ld;
    }
    const fm_net net = {layers, 2, siamese ? FM_BINARY_CROSS_ENTROPY : loss, siamese};
    const int batch = 1 + B / 2, threads = batch < 3 ? 1 : 1 + turn % 3;
    fm_optimizer optimizer = {.rule = turn % 4, .learning_rate = 0.01, .weight_decay = turn % 4 / 2 * 0.01,
                              .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .beta1_power = 1, .beta2_power = 1};
    void *params = zeros(0, at, d), *X[2] = {numbers(4, B * I, d), numbers(5, B * I, d)};
    void *y = net.loss == FM_SOFTMAX_CROSS_ENTROPY ? classes(6, B, widths[2]) : numbers(6, B * widths[2], d);
    uint32_t *order = flush(7, B, 0);
    fm_training training = {.net = &net, .params = params, .grads = zeros(1, at, d), .slots = {zeros(2, at, d), zeros(3, at, d)},
                            .X = {X[0], X[1]}, .y = y, .order = order, .rows = B, .batch = batch, .optimizer = &optimizer,
                            .workspace = zeros(8, fm_workspace(&net, batch, threads), d), .threads = threads};
    draw(params, layers, 2, d);
    if (turn % 2)
        thin(X[0], B * I, d), thin(X[1], B * I, d);
    ops->permutation(order, (uint32_t)B, 5, 0);
    for (int epoch = 0; epoch < 2; ++epoch, training.order = NULL, training.next = 0)
        if (ops->train(&training, fm_seconds() + 1e9) != FM_OK || training.next != B) {
            fprintf(stderr, "%d-%d-%d stops after %td of %d rows\n", I, H, widths[2], training.next, B);
            exit(1);
        }
    training.batch = B, training.workspace = zeros(8, fm_workspace(&net, B, threads), d);
    ops->backward(&training, numbers(9, B * widths[2], d), flush(6, B * I * (1 + siamese), d));
    ops->update(&training);
    ops->forward(&net, params, flush(9, B * widths[2], d), (const void *const *)X, B,
                 flush(8, fm_forward_scratch(&net, threads), d), threads);
    if (!siamese)
        ops->row(&net, params, flush(9, widths[2], d), flush(4, I, d), flush(8, fm_row_scratch(&net), d));
}

static void guarded(const fm_ops *ops, int d)
{
    guarded_products(ops, d);
    guarded_rows(ops, d);
    for (int n = 1; n <= MOST; ++n)
        for (int i = 0; i < 12; ++i) { /* each of rows, inputs, width and outputs, with each loss */
            const int which = i / 3;
            guarded_network(ops, d, which == 0 ? n : 5, which == 1 ? n : 7, which == 2 ? n : 9, which == 3 ? n : 3, i % 3, 0);
            if (i == 0)
                guarded_network(ops, d, 6, n, 66 + n % 2, 3, 0, 0); /* skips zeros */
            if (i % 3 == 0)
                guarded_network(ops, d, which == 0 ? n : 5, which == 1 ? n : 7, which == 2 ? n : 9, 1, 2, 1);
        }
    for (int more = 0; more < 3; ++more) { /* batches of several chunks, whose sums go on block by block, for 1 to 3 threads */
        guarded_network(ops, d, 1300, 130, 200, 5 + more, 1, 0);
        guarded_network(ops, d, 1300, 130, 200 + more, 1, 2, 1);
    }
}
#endif

/* Whether the CPU met a sum that is subnormal and not exact, where every product is: inputs of 1e-9, weights of 1e-30, of
 * double 1e-300. */
static int meets_subnormals(const fm_ops *ops, int d, int activation, int B)
{
    const int I = 64, H = 70, O = 3, ld = 80, ld2 = 16, n = (I + 1) * ld + (H + 1) * ld2;
    fm_layer layers[] = {{I, H, ld, 0, I * ld, 0, activation}, {H, O, ld2, (I + 1) * ld, (I + 1) * ld + H * ld2, ld, FM_IDENTITY}};
    const fm_net net = {layers, 2, FM_SQUARED_ERROR, 0};
    fm_optimizer optimizer = {.rule = FM_SGD, .learning_rate = 0.01, .momentum = 0.9};
    void *params = calloc((size_t)n, 8), *grads = calloc((size_t)n, 8), *velocity = calloc((size_t)n, 8);
    fm_training t = {.net = &net, .params = params, .grads = grads, .slots = {velocity}, .X = {x}, .y = y, .rows = B, .batch = B,
                     .optimizer = &optimizer, .workspace = calloc((size_t)fm_workspace(&net, B, 1), 8), .threads = 1};
    draw(params, layers, 2, d);
    for (ptrdiff_t i = 0; i < n; ++i)
        put(params, i, d, get(params, i, d) * (d ? 1e-300 : 1e-30));
    for (int l = 0; l < 2; ++l)
        memset((char *)params + layers[l].b * (d ? 8 : 4), 0, (size_t)layers[l].ld * (d ? 8 : 4));
    fill(x, (ptrdiff_t)B * I, d, 1e-9);
    if (B % 4)
        thin(x, (ptrdiff_t)B * I, d);
    fill(y, (ptrdiff_t)B * O, d, 1e-9);
    feclearexcept(FE_ALL_EXCEPT);
    ops->forward(&net, params, y2, (const void *const[]){x, NULL}, B, scratch, 1);
    ops->row(&net, params, y2, x, scratch);
    ops->train(&t, fm_seconds() + 1e9);
    const int met = fetestexcept(FE_UNDERFLOW);
    free(params), free(grads), free(velocity), free(t.workspace);
    return met;
}

int main(int argc, char **argv)
{
    const fm_ops *const *table = NULL;
    for (int i = 0; argc > 1 && fm_isa_name(i); ++i)
        if (!strcmp(fm_isa_name(i), argv[1]))
            table = fm_isa_operations(i);
    if (!table) {
        fprintf(stderr, "no such ISA here\n");
        return 2;
    }
    printf("isa %s\n", table[0]->isa);
    x = room(), w = room(), b = room(), y = room(), y2 = room(), scratch = room();
    if (argc == 3 && !strcmp(argv[2], "underflow")) {
        for (int d = 0; d < 2; ++d)
            for (int activation = FM_IDENTITY; activation <= FM_SILU; ++activation) /* r(0) = 0 */
                for (int B = 1; B < 700; B = 3 * B + 1)
                    if (meets_subnormals(table[d], d, activation, B))
                        printf("type %d, activation %d, %d rows\n", d, activation, B);
        return 0;
    }
#if defined(__unix__) || defined(__APPLE__)
    if (argc == 3 && !strcmp(argv[2], "guard")) {
        open_rooms();
        for (int d = 0; d < 2; ++d)
            for (at_end = 0; at_end < 2; ++at_end)
                guarded(table[d], d);
        printf("nothing touched\n");
        return 0;
    }
#endif
    double u[97];
    table[0]->uniform(u, 97, 0.5, 123456789012345u, 3);
    tell("uniform", 0, 0, 1, u, 97);
    for (int d = 0; d < 2; ++d) {
        products(table[d], d);
        elementwise(table[d], d);
        losses(table[d], d);
        for (int activation = FM_IDENTITY; activation <= FM_SIGMOID; ++activation)
            for (int loss = 0; loss < 3; ++loss) {
                const int H = SIZES[(activation + 4 * loss + 2) % N_SIZES];
                network(table[d], d, H == 97 ? 130 : 7, H, 2 + 3 * loss, activation, loss, 0, (activation + loss) % 2, 1 + loss, 0);
            }
        for (int activation = FM_IDENTITY; activation <= FM_SIGMOID; ++activation)
            network(table[d], d, 7, SIZES[activation + 2], 1, activation, 2, 1, activation % 2, 1, 0);
        for (int loss = FM_SQUARED_ERROR; loss <= FM_BINARY_FOCAL; ++loss)
            for (int rule = FM_SGD; rule <= FM_LION; ++rule)
                network(table[d], d, loss % 2 ? 7 : 130, rule % 2 ? 33 : 97, takes_classes(loss) ? 5 : 1 + rule,
                        (loss + 4 * rule) % (FM_SIGMOID + 1), loss, 0, rule, 1 + rule % 2, 1);
    }
    return 0;
}
