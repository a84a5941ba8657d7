/* Inference: one row, and many rows in blocks. train.inl.h does the rest of what loops over layers.
 *
 *   h_l = r(h_{l-1} W_l + b_l), h_0 = X               W_l (I, O)
 *   siamese: the first layers see X[0], then X[1]; the last layer sees a = h(x1) - h(x2) */

/* Identity and relu are part of the product; FN(map) does the others. */
static int FN(is_fused)(const fm_layer *l) { return l->activation == FM_IDENTITY || l->activation == FM_RELU; }

static FN(epilogue) FN(layer_epilogue)(const fm_layer *l, const T *params)
{
    const int steps = l->activation == FM_IMPULSE || l->activation == FM_HEAVISIDE; /* they tell 0 from the least number */
    const int kind = steps ? FM_AFFINE : l->activation == FM_RELU ? FM_LAYER_RELU : FM_LAYER;
    return (FN(epilogue)){.kind = kind, .bias = l->b < 0 ? NULL : params + l->b};
}

/* h (rows, O) of one layer from its inputs x; bits tell which of those are not 0, or are NULL. r'(z) goes to d, unless that is
 * NULL or r is the identity or relu, where h tells it.
 * scratch: fm_matmul_scratch(inputs) elements. */
static void FN(layer)(const fm_layer *l, const T *params, T *h, T *d, const T *x, ptrdiff_t ldx, ptrdiff_t rows, T *scratch,
                      const uint64_t *bits, const T *const *soon)
{
    FN(epilogue) e = FN(layer_epilogue)(l, params);
    const ptrdiff_t words = fm_words(l->inputs);
    e.soon = soon;
    if (bits)
        FN(sparse_gemm)(rows, l->outputs, h, l->ld, x, ldx, 1, bits, words, words, params + l->W, l->ld, &e);
    else if (FN(is_narrow)(l->outputs) && rows >= LANES)
        FN(narrow)(rows, l->outputs, l->inputs, h, l->ld, x, ldx, params + l->W, l->ld, &e, scratch);
    else
        FN(gemm)(rows, l->outputs, l->inputs, h, l->ld, x, ldx, 1, params + l->W, l->ld, &e);
    if (!FN(is_fused)(l))
        FN(map)(l->activation, h, d, h, rows * l->ld, 1);
}

/* ---- one row ---- */

static ALWAYS_INLINE void FN(row_tile)(const ptrdiff_t nv, T *y, const T *x, ptrdiff_t K, const T *W, ptrdiff_t ld,
                                       const FN(epilogue) *e, ptrdiff_t j)
{
    V sum[ROW_VECTORS];
    UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
        sum[v] = v_set1(FN(start)(e->kind));
    for (ptrdiff_t k = 0; k < K; ++k) {
        const V a = v_set1(x[k]);
        UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
            sum[v] = v_fma(a, v_load(W + k * ld + j + v * LANES), sum[v]);
    }
    UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
        v_store(y + j + v * LANES, FN(finish)(e->kind, sum[v], e->bias ? v_load(e->bias + j + v * LANES) : v_set1(0), y, y));
}

/* y (N,) <- r(x W + b), x (K,), W (K, N), r the identity or relu. */
static void FN(row_product)(ptrdiff_t N, ptrdiff_t K, T *y, const T *x, const T *W, ptrdiff_t ld, const FN(epilogue) *e)
{
#define ROW_TILES(NV)                                                                                                  \
    for (; NV <= ROW_VECTORS && N - j >= NV * LANES; j += NV * LANES)                                                  \
        FN(row_tile)(NV <= ROW_VECTORS ? NV : 1, y, x, K, W, ld, e, j);
    ptrdiff_t j = 0;
    ROW_TILES(16) ROW_TILES(8) ROW_TILES(4) ROW_TILES(2) ROW_TILES(1)
#undef ROW_TILES
}

/* Whether a quarter of the first inputs is 0, as they are of pixels and of one-hot columns: then it may pay to ask about all. */
static int FN(begins_with_zeros)(const T *x, ptrdiff_t I)
{
    int zeros = 0;
    for (ptrdiff_t i = 0; i < FM_FIRST_INPUTS && i < I; ++i)
        zeros += x[i] == 0;
    return 4 * zeros >= FM_FIRST_INPUTS;
}

/* y (O,) of one row x (I,). scratch: fm_row_scratch(net) elements. */
static void FN(row)(const fm_net *net, const void *params_, void *y, const void *x_, void *scratch)
{
    const T *params = params_, *x = x_;
    T *const buffers = scratch;
    const ptrdiff_t width = fm_widest(net);
    uint64_t *const bits = (uint64_t *)(buffers + 2 * width);
    for (int i = 0; i < net->n_layers; ++i) {
        const fm_layer *l = &net->layers[i];
        const FN(epilogue) e = FN(layer_epilogue)(l, params);
        T *h = buffers + i % 2 * width;
        const int zeros = i ? l[-1].activation == FM_RELU : FN(begins_with_zeros)(x, l->inputs);
        const ptrdiff_t N = FN(vectors)(l->outputs), words = fm_words(l->inputs);
        if (zeros && l->outputs >= FM_SPARSE_OUTPUTS) { /* no sum ends as -0, so that none changes */
            FN(mark_nonzeros)(bits, NULL, x, l->inputs);
            FN(sparse_gemm)(1, l->outputs, h, 0, x, 0, 1, bits, words, words, params + l->W, l->ld, &e);
        } else {
            FN(row_product)(N, l->inputs, h, x, params + l->W, l->ld, &e);
        }
        if (!FN(is_fused)(l))
            FN(map)(l->activation, h, NULL, h, l->ld, 1);
        x = h;
    }
    memcpy(y, x, (size_t)net->layers[net->n_layers - 1].outputs * sizeof(T));
}

/* ---- many rows ---- */

typedef struct {
    const fm_net *net;
    const T *params;
    T *Y, *scratch;
    const T *X[2];
    ptrdiff_t B;
} FN(inference);

/* The first n layers on a block of rows, to and fro between two thirds of block; returns where the last h is. */
static T *FN(chain)(const fm_net *net, int n, const T *params, T *block, const T *x, ptrdiff_t rows)
{
    const ptrdiff_t area = fm_block(net) * fm_widest(net);
    ptrdiff_t ldx = net->layers[0].inputs;
    T *h = block;
    for (int i = 0; i < n; ++i) {
        h = block + i % 2 * area;
        FN(layer)(&net->layers[i], params, h, NULL, x, ldx, rows, block + 3 * area, NULL, NULL);
        x = h, ldx = net->layers[i].ld;
    }
    return h;
}

/* a <- a - h over n elements, a multiple of LANES. */
static void FN(subtract)(T *a, const T *h, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store(a + i, FN(flush)(v_sub(v_load(a + i), v_load(h + i))));
}

/* The rows of one worker, in blocks that stay in cache from the first layer to the last. */
static void FN(infer)(void *context, int worker, int workers)
{
    const FN(inference) *c = context;
    const fm_net *net = c->net;
    const fm_layer *last = &net->layers[net->n_layers - 1];
    const ptrdiff_t most = fm_block(net), area = most * fm_widest(net), I = net->layers[0].inputs;
    const ptrdiff_t end = c->B * (worker + 1) / workers;
    T *const block = c->scratch + worker * fm_forward_scratch(net, 1), *const a = block + 2 * area;
    for (ptrdiff_t r = c->B * worker / workers, rows; r < end; r += rows) {
        rows = end - r < most ? end - r : most;
        const T *h = FN(chain)(net, net->n_layers - net->siamese, c->params, block, c->X[0] + r * I, rows);
        if (net->siamese) {
            memcpy(a, h, (size_t)(rows * last[-1].ld) * sizeof(T));
            FN(subtract)(a, FN(chain)(net, net->n_layers - 1, c->params, block, c->X[1] + r * I, rows), rows * last[-1].ld);
            FN(layer)(last, c->params, block, NULL, a, last[-1].ld, rows, block + 3 * area, NULL, NULL);
            h = block;
        }
        for (ptrdiff_t i = 0; i < rows; ++i)
            memcpy(c->Y + (r + i) * last->outputs, h + i * last->ld, (size_t)last->outputs * sizeof(T));
    }
}

static void FN(forward)(const fm_net *net, const void *params, void *Y, const void *const X[2], ptrdiff_t B,
                        void *scratch, int threads)
{
    FN(inference) c = {net, params, Y, scratch, {X[0], X[1]}, B};
    fm_parallel(threads, FN(infer), &c);
}
