/* One piece of work of fastmlp's core, for guard.py to count its instructions and cache misses: guard CASE [ISA].
 * Only what runs inside `measured` counts. */
#include "fastmlp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 4 };
static const fm_ops *ops;

static void *room(ptrdiff_t n)
{
    char *p = calloc((size_t)n + 32, sizeof(float));
    if (!p)
        exit(1);
    return p + (64 - (uintptr_t)p % 64);
}

static float *filled(ptrdiff_t n, float most)
{
    float *p = room(n);
    for (ptrdiff_t i = 0; i < n; ++i)
        p[i] = most * ((float)(i * 7919 % 2003) / 1001 - 1);
    return p;
}

static void measured(void (*work)(void *), void *what) __attribute__((noinline));
static void measured(void (*work)(void *), void *what)
{
    work(what);
    __asm__ volatile("" ::: "memory"); /* no tail call: the function must be on the stack while it works */
}

typedef struct { ptrdiff_t B, O, I; float *Y, *X, *W, *scratch; } product;
static void multiply(void *what)
{
    const product *p = what;
    ops->matmul(FM_IDENTITY, p->Y, p->X, p->W, NULL, p->B, p->I, p->O, 1, p->O, p->scratch);
}

static void train(void *what) { ops->train(what, 1e18); }

typedef struct { fm_net *net; float *params, *x, *y, *scratch; } row;
static void one_row(void *what)
{
    const row *r = what;
    ops->row(r->net, r->params, r->y, r->x, r->scratch);
}

int main(int argc, char **argv)
{
    ptrdiff_t n[MOST_LAYERS + 1], B, O, I;
    int layers = 0, steps = 8;
    for (int i = 0; fm_isa_name(i); ++i)
        if (fm_isa_operations(i) && (argc < 3 || !strcmp(argv[2], fm_isa_name(i))))
            ops = fm_isa_operations(i)[0];
    if (argc < 2 || !ops)
        return 2;
    if (sscanf(argv[1], "product:%td,%td,%td", &B, &O, &I) == 3) {
        product p = {B, O, I, room(B * O), filled(B * I, 1), filled(I * O, 1), room(fm_matmul_scratch(I))};
        multiply(&p); /* once before, so that every page and line has been touched */
        measured(multiply, &p);
        return 0;
    }
    char *at = strchr(argv[1], ':');
    const int is_row = !strncmp(argv[1], "row:", 4);
    B = is_row ? 1 : strtol(argv[1], NULL, 10);
    for (char *size = strtok(at + 1, "-"); size && layers <= MOST_LAYERS; size = strtok(NULL, "-"))
        n[layers++] = strtol(size, NULL, 10);
    fm_layer l[MOST_LAYERS];
    ptrdiff_t end = 0, before = 0;
    --layers;
    for (int i = 0; i < layers; ++i) {
        const ptrdiff_t ld = (n[i + 1] + 15) / 16 * 16;
        l[i] = (fm_layer){n[i], n[i + 1], ld, end, end + n[i] * ld, before, i < layers - 1 ? FM_RELU : FM_IDENTITY};
        end += (n[i] + 1) * ld, before += ld;
    }
    fm_net net = {l, layers, FM_SOFTMAX_CROSS_ENTROPY, 0};
    float *params = filled(end, 0.1f);
    if (is_row) {
        row r = {&net, params, filled(n[0], 1), room(n[layers]), room(fm_row_scratch(&net))};
        one_row(&r);
        measured(one_row, &r);
        return 0;
    }
    const ptrdiff_t rows = B * steps;
    int64_t *y = room(2 * rows);
    uint32_t *order = room(rows);
    for (ptrdiff_t i = 0; i < rows; ++i)
        y[i] = i % n[layers];
    ops->permutation(order, (uint32_t)rows, 1, 0);
    fm_optimizer adam = {.rule = FM_ADAM, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                         .beta1_power = 1, .beta2_power = 1};
    fm_training t = {.net = &net, .params = params, .grads = room(end), .slots = {room(end), room(end)},
                     .X = {filled(rows * n[0], 1)}, .y = y, .order = order, .rows = rows, .batch = B, .optimizer = &adam,
                     .workspace = room(fm_workspace(&net, B, 1)), .threads = 1};
    train(&t);
    t.next = 0;
    measured(train, &t);
    return 0;
}
