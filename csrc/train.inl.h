/* The training step: gather, forward, loss, backward, update, many times in one call.
 *
 *   h_l = r(h_{l-1} W_l + b_l), h_0 = X;    dW_l = h_{l-1}^T dz_l, db_l = sum of the rows of dz_l,
 *   dz_{l-1} = dz_l W_l^T * r'(z_{l-1})     X (B, I), W (I, O), h and dz (B, O)          (Rumelhart, Hinton, Williams 1986)
 *
 * A step takes its batch in chunks. A chunk has two parts, each parallel: rows (gather, forward, loss, dz down to the first
 * layer), then tiles of dW, after the last chunk each with its update. An output element is one worker's and its sum is never
 * split, so the number of workers changes no bit. The last step of a call leaves its gradient in grads. A loss that is not
 * finite stops before anything has changed; as scikit-learn has it, only one that is NaN.
 *
 * Dropout zeroes outputs h with chance p and multiplies the others by 1 / (1 - p)               (Srivastava et al. 2014)
 * The mask of an output is drawn from the step, the row's place in the batch, the layer and the unit alone.
 *
 * siamese: the rows of X[0], then those of X[1] pass through the first layers as one batch of 2 B rows; the last layer
 * sees a = h(x1) - h(x2). Below it, dz comes from dz for the first half of the rows and from -dz for the second. */

/* The workspace, cut up. h and dz of layer l start at rows * l->before; dz holds r'(z) on the way up. */
typedef struct {
    ptrdiff_t rows; /* a chunk, twice for siamese networks */
    T *x, *y, *loss, *join, *h, *dz, *scratch;
    uint64_t *bits; /* which of x are not 0 */
} FN(space);

typedef struct {
    fm_training *t;
    FN(space) s;
    FN(step) step;
    ptrdiff_t batch, done; /* rows of this step, and how many of them come before this chunk */
    ptrdiff_t first, B;    /* the place of this chunk's first row among all rows, and how many it has */
    const T *X[2];  /* the inputs of its rows, gathered or in place */
    const void *y;
    const T *dz;    /* the caller's own dJ/dz (B, O), or NULL: from the loss */
    double share;   /* sum of the weights of the step's rows, or their number */
    T l1, l2;       /* penalties of this step */
    int sparse;     /* many inputs are 0: they are skipped in the first layer */
    int ends;       /* this is the last chunk of its step */
    int update;     /* and the step updates */
    int keep;       /* leave the gradient in grads; else a strip of dW that is updated at once never leaves the cache */
} FN(job);

static FN(space) FN(cut)(const fm_training *t)
{
    const fm_net *net = t->net;
    const fm_layer *last = &net->layers[net->n_layers - 1];
    const ptrdiff_t chunk = fm_chunk(net, t->batch, t->threads), rows = chunk * (1 + net->siamese), all = last->before + last->ld;
    FN(space) s = {.rows = rows, .x = t->workspace};
    s.y = s.x + fm_padded(rows * net->layers[0].inputs);
    s.loss = s.y + fm_padded(chunk * fm_target_elements(last->outputs));
    s.bits = (uint64_t *)(s.loss + fm_padded(chunk));
    s.join = s.loss + fm_padded(chunk) + fm_bits(net, rows);
    s.h = s.join + (net->siamese ? chunk * last[-1].ld : 0);
    s.dz = s.h + rows * all;
    s.scratch = s.dz + rows * all;
    return s;
}

static T *FN(h_of)(const FN(job) *j, const fm_layer *l) { return j->s.h + j->s.rows * l->before; }
static T *FN(dz_of)(const FN(job) *j, const fm_layer *l) { return j->s.dz + j->s.rows * l->before; }

/* What layer l reads: the batch, what the layer below says, or the difference of what it says of two inputs. */
static const T *FN(input_of)(const FN(job) *j, const fm_layer *l, int side, ptrdiff_t *ld)
{
    const fm_net *net = j->t->net;
    *ld = l == net->layers ? l->inputs : l[-1].ld;
    if (l == net->layers)
        return j->X[side];
    if (net->siamese && l == &net->layers[net->n_layers - 1])
        return j->s.join;
    return FN(h_of)(j, l - 1) + side * j->B * *ld;
}

static ALWAYS_INLINE void FN(copy)(T *to, const T *from, ptrdiff_t n) /* rows are short: no call */
{
    for (ptrdiff_t i = 0; i < n; i += LANES)
        STORE_ROW(to, i, n, LOAD_ROW(from, i, n, v_set1(0)));
}

/* Rows r0..r1 of the batch, copied side by side. A random row is a cache miss: ask for those of some steps ahead,
 * unless they were fetched while the rows before were computed. */
static void FN(gather)(FN(job) *j, ptrdiff_t r0, ptrdiff_t r1, int fetched)
{
    const fm_training *t = j->t;
    const fm_net *net = t->net;
    const ptrdiff_t I = net->layers[0].inputs, O = net->layers[net->n_layers - 1].outputs;
    const ptrdiff_t ahead = 1 + FM_GATHER_AHEAD / I;
    for (ptrdiff_t r = r0; r < r1; ++r) {
        const size_t from = t->order ? t->order[j->first + r] : (size_t)(j->first + r);
        const size_t soon = t->order && j->first + r + ahead < t->rows ? t->order[j->first + r + ahead] : from;
        for (int side = 0; side <= net->siamese; ++side) {
            const T *X = t->X[side];
            for (ptrdiff_t i = 0; !fetched && i < I; i += 64 / (ptrdiff_t)sizeof(T))
                PREFETCH(X + soon * (size_t)I + i);
            const ptrdiff_t row = side * j->B + r;
            if (j->sparse)
                FN(mark_nonzeros)(j->s.bits + row * fm_words(I), j->s.x + row * I, X + from * (size_t)I, I);
            else
                FN(copy)(j->s.x + row * I, X + from * (size_t)I, I);
        }
        if (j->dz)
            continue;
        if (fm_takes_classes(net->loss)) {
            PREFETCH((const int64_t *)t->y + soon);
            ((int64_t *)j->s.y)[r] = ((const int64_t *)t->y)[from];
        } else {
            PREFETCH((const T *)t->y + soon * (size_t)O);
            FN(copy)(j->s.y + r * O, (const T *)t->y + from * (size_t)O, O);
        }
    }
}

/* Dropout of h for rows r0..r1 of one side, and of r'(z) with it, which then stands in d for any activation. */
static void FN(drop)(const FN(job) *j, const fm_layer *l, int side, ptrdiff_t r0, ptrdiff_t r1)
{
    enum { DRAWS = 4 * PHILOX_BLOCKS };
    const fm_training *t = j->t;
    if (l->dropout == 0 || !t->optimizer)
        return;
    const uint64_t first = ((uint64_t)side << 48) + (uint64_t)((j->done + r0) * l->ld / 4); /* 32 bits a unit */
    const uint32_t stream = FM_STREAM_DROPOUT | (uint32_t)(l - t->net->layers) << 8;
    const uint32_t least = (uint32_t)(l->dropout * 0x1p32);
    const T kept = (T)(1 / (1 - l->dropout));
    const ptrdiff_t at = (side * j->B + r0) * l->ld, n = (r1 - r0) * l->ld;
    T *const h = FN(h_of)(j, l) + at, *const d = FN(dz_of)(j, l) + at;
    for (ptrdiff_t i = 0; i < n; i += DRAWS) {
        uint64_t draws[DRAWS / 2];
        T mask[DRAWS];
        philox(draws, t->seed, first + (uint64_t)i / 4, (uint32_t)t->optimizer->steps, stream);
        for (int k = 0; k < DRAWS; ++k)
            mask[k] = (uint32_t)(draws[k / 2] >> 32 * (k % 2)) < least ? 0 : kept;
        for (ptrdiff_t k = 0; k < DRAWS && i + k < n; k += LANES) {
            const V m = v_load(mask + k), a = v_load(h + i + k), zero = v_set1(0);
            v_store(h + i + k, FN(flush)(v_mul(a, m)));
            v_store(d + i + k, l->activation == FM_IDENTITY ? m
                               : l->activation == FM_RELU   ? v_select(m_lt(zero, a), m, zero)
                                                            : v_mul(v_load(d + i + k), m));
        }
    }
}

/* The first layer on the rows r0..r1 of one worker, in blocks. While one is computed the next comes from memory: after the last
 * it is the first that this worker will have of the next chunk. */
static void FN(first_layer)(FN(job) *j, ptrdiff_t r0, ptrdiff_t r1, T *scratch)
{
    const fm_training *t = j->t;
    const fm_layer *l = t->net->layers;
    const ptrdiff_t I = l->inputs, words = fm_words(I), W_bytes = I * l->ld * (ptrdiff_t)sizeof(T);
    const ptrdiff_t most = W_bytes > FM_LARGE_W ? FM_GATHER_MOST : FM_GATHER_ROWS, blocks = (r1 - r0 + most - 1) / most;
    const int gathered = j->X[0] == j->s.x, fetch = gathered && t->order && I > FM_SHORT_ROW;
    for (ptrdiff_t b = 0; b < blocks; ++b) {
        const ptrdiff_t r = r0 + (r1 - r0) * b / blocks, end = r0 + (r1 - r0) * (b + 1) / blocks;
        const ptrdiff_t next = j->first + (end < r1 ? end : j->B + r0);
        if (gathered)
            FN(gather)(j, r, end, j->sparse && fetch); /* gemm does not fetch for every shape */
        for (int side = 0; side <= t->net->siamese; ++side) {
            const T *soon[FM_GATHER_MOST + FM_SOON];
            for (ptrdiff_t i = 0; fetch && i < end - r + FM_SOON; ++i)
                soon[i] = (const T *)t->X[side] + t->order[next + i < t->rows ? next + i : t->rows - 1] * (size_t)I;
            const ptrdiff_t row = side * j->B + r, at = row * l->ld;
            uint64_t *const bits = j->s.bits + row * words;
            for (ptrdiff_t i = 0; j->sparse && !gathered && i < end - r; ++i)
                FN(mark_nonzeros)(bits + i * words, NULL, j->X[side] + (r + i) * I, I);
            FN(layer)(l, t->params, FN(h_of)(j, l) + at, FN(dz_of)(j, l) + at, j->X[side] + r * I, I, end - r, scratch,
                      j->sparse ? bits : NULL, fetch ? soon : NULL);
            FN(drop)(j, l, side, r, end);
        }
    }
}

/* dz of the last layer for rows r0..r1, weighted, divided by the batch, and its negative below it for a siamese network. Of
 * an output with an activation the loss is one of h = r(z), term by term: dJ/dh takes the place of h, as r'(z) is in that
 * of dz = dJ/dh r'(z). */
static void FN(output_gradient)(FN(job) *j, ptrdiff_t r0, ptrdiff_t r1)
{
    const fm_training *t = j->t;
    const fm_net *net = t->net;
    const fm_layer *l = &net->layers[net->n_layers - 1];
    T *dz = FN(dz_of)(j, l) + r0 * l->ld, *const h = FN(h_of)(j, l) + r0 * l->ld;
    T *const dh = l->activation == FM_IDENTITY ? dz : h;
    const ptrdiff_t O = l->outputs, n = (r1 - r0) * l->ld;
    if (l->activation == FM_RELU)
        FN(derivative)(FM_RELU, dz, h, n);
    if (j->dz) {
        for (ptrdiff_t r = 0; r < r1 - r0; ++r)
            memcpy(dh + r * l->ld, j->dz + (j->done + r0 + r) * O, (size_t)O * sizeof(T));
    } else {
        const char *y = j->y;
        y += (size_t)r0 * (fm_takes_classes(net->loss) ? sizeof(int64_t) : (size_t)O * sizeof(T));
        FN(loss_rows)(net->loss, (T)net->loss_parameter, net->as_scikit_learn, j->s.loss + r0, dh, h, y, r1 - r0, O, l->ld);
    }
    for (ptrdiff_t r = 0; dh == h && r < r1 - r0; ++r)
        for (ptrdiff_t i = r * l->ld, o = 0; o < l->ld; i += LANES, o += LANES) { /* what pads a row of h is r(0) */
            const V slope = o < O ? LOAD_ROW(dh + r * l->ld, o, O, v_set1(0)) : v_set1(0);
            v_store(dz + i, FN(flush)(v_mul(v_load(dz + i), slope)));
        }
    for (ptrdiff_t r = r0; !j->dz && t->weights && r < r1; ++r) {
        const T w = ((const T *)t->weights)[t->order ? t->order[j->first + r] : (size_t)(j->first + r)];
        T *const row = dz + (r - r0) * l->ld;
        j->s.loss[r] *= w;
        for (ptrdiff_t i = 0; i < l->ld; i += LANES)
            v_store(row + i, v_mul(v_set1(w), v_load(row + i)));
    }
    const V m = v_set1(j->dz ? 1 : j->share), zero = v_set1(0);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V a = FN(flush)(v_div(v_load(dz + i), m));
        v_store(dz + i, a);
        if (net->siamese)
            v_store(dz + j->B * l->ld + i, v_sub(zero, a));
    }
}

/* Part one, for the rows r0..r1 of one worker: gather, forward, loss and dz down to the first layer. */
static void FN(rows_part)(void *context, int worker, int workers)
{
    FN(job) *j = context;
    const ptrdiff_t r0 = j->B * worker / workers, r1 = j->B * (worker + 1) / workers;
    T *scratch = j->s.scratch + worker * fm_scratch(j->t->net);
    const fm_net *net = j->t->net;
    const T *params = j->t->params;
    const fm_layer *first = net->layers, *last = first + net->n_layers - 1;
    ptrdiff_t ld;

    FN(first_layer)(j, r0, r1, scratch);
    for (const fm_layer *l = first + 1; l <= last; ++l) {
        const int sides = l < last ? net->siamese : 0;
        if (net->siamese && l == last) {
            const ptrdiff_t width = l[-1].ld;
            const T *h = FN(h_of)(j, l - 1);
            memcpy(j->s.join + r0 * width, h + r0 * width, (size_t)((r1 - r0) * width) * sizeof(T));
            FN(subtract)(j->s.join + r0 * width, h + (j->B + r0) * width, (r1 - r0) * width);
        }
        for (int side = 0; side <= sides; ++side) {
            const ptrdiff_t at = (side * j->B + r0) * l->ld;
            const T *x = FN(input_of)(j, l, side, &ld);
            FN(layer)(l, params, FN(h_of)(j, l) + at, FN(dz_of)(j, l) + at, x + r0 * ld, ld, r1 - r0,
                      scratch, NULL, NULL);
            FN(drop)(j, l, side, r0, r1);
        }
    }
    FN(output_gradient)(j, r0, r1);
    for (const fm_layer *l = last; l > first; --l) {
        const fm_layer *below = l - 1;
        const int kind = below->dropout > 0 && j->t->optimizer ? FM_TIMES_SLOPE
                         : below->activation == FM_RELU       ? FM_WHERE_ACTIVE
                         : below->activation == FM_IDENTITY ? FM_LAYER
                                                            : FM_TIMES_SLOPE;
        for (int side = 0; side <= net->siamese; ++side) {
            const ptrdiff_t row = side * j->B + r0;
            const FN(epilogue) e = {.kind = kind, .h = FN(h_of)(j, below) + row * below->ld, .ldh = below->ld};
            FN(product)(r1 - r0, l->inputs, l->outputs, FN(dz_of)(j, below) + row * below->ld, below->ld, 1,
                        FN(dz_of)(j, l) + row * l->ld, l->ld, 1, params + l->W, 1, l->ld, e, scratch);
        }
    }
}

/* The gradient g of n elements from `at` on is there: update them while it is in cache, unless all of it is wanted first. */
static void FN(update_range)(const FN(job) *j, ptrdiff_t at, T *g, ptrdiff_t n, int is_weight)
{
    if (!j->update)
        return;
    if (is_weight && (j->l1 != 0 || j->l2 != 0))
        FN(add_penalty)(j->l1, j->l2, g, (const T *)j->t->params + at, n);
    if (j->t->clip_norm == 0)
        FN(step_range)(&j->step, j->t, at, g, n, is_weight);
}

/* Whether dW of a layer is less work with its inputs across vectors: it has to be transposed then, by one worker. Asked only
 * of one thread, never of `workers`: those may become fewer from one chunk to the next, where the pool is taken. */
static int FN(is_flat)(const fm_layer *l, ptrdiff_t rows)
{
    const ptrdiff_t O = l->outputs, less = l->inputs * FN(vectors)(O) - O * FN(vectors)(l->inputs);
    return FN(is_narrow)(O) || (O <= 16 && less / LANES * rows > 4 * O * l->inputs);
}

/* dW of a layer with few outputs, its inputs across vectors: dW^T = dz^T X. */
static void FN(narrow_gradient)(T *dW, const fm_layer *l, const T *dz, const T *x, ptrdiff_t ld, ptrdiff_t rows,
                                const FN(epilogue) *e, T *scratch)
{
    const ptrdiff_t width = FN(vectors)(l->inputs);
    for (ptrdiff_t i = 0; e->onto && i < l->inputs; ++i)
        for (ptrdiff_t o = 0; o < l->outputs; ++o)
            scratch[o * width + i] = dW[i * l->ld + o];
    FN(gemm)(l->outputs, l->inputs, rows, scratch, width, dz, 1, l->ld, x, ld, e);
    for (ptrdiff_t i = 0; i < l->inputs; ++i)
        for (ptrdiff_t o = 0; o < l->outputs; ++o)
            dW[i * l->ld + o] = scratch[o * width + i];
}

/* dW of the inputs from..to of one layer, in strips, each updated at once. Sums over many rows go on block by block, so that
 * the block of dz stays in cache for all strips. Where the rows of x lie on many pages, those of a strip are packed. */
static void FN(wide_gradient)(const FN(job) *j, const fm_layer *l, ptrdiff_t from, ptrdiff_t to, const T *x, ptrdiff_t ldx,
                              ptrdiff_t rows, T *scratch)
{
    const T *dz = FN(dz_of)(j, l);
    const ptrdiff_t N = FN(vectors)(l->outputs), most = FM_STRIP / l->ld;
    const ptrdiff_t strip = to - from <= most ? to - from : most < TILE_ROWS_2 ? TILE_ROWS_2 : most / TILE_ROWS_2 * TILE_ROWS_2;
    const int keep = j->keep || rows > FM_BLOCK_SUMS;
    T *const beside = scratch + FM_PACKED;
    const int packed = N >= FM_PANEL && rows * ldx * (ptrdiff_t)sizeof(T) > FM_PACK_BYTES;
    for (ptrdiff_t r = 0, some; r < rows; r += some) {
        some = rows - r < FM_BLOCK_SUMS ? rows - r : FM_BLOCK_SUMS;
        const FN(epilogue) e = {.kind = j->ends && r + some == rows ? FM_GRADIENT : FM_PARTIAL, .onto = j->done > 0 || r > 0};
        for (ptrdiff_t at = from, n; at < to; at += n) {
            n = to - at < strip ? to - at : strip;
            const T *A = x + r * ldx + at;
            ptrdiff_t ak = ldx;
            if (packed) {
                ak = fm_padded(n);
                for (ptrdiff_t i = 0; i < some; ++i)
                    FN(copy)(scratch + i * ak, A + i * ldx, n);
                A = scratch;
            }
            T *const dW = keep ? (T *)j->t->grads + l->W + at * l->ld : beside;
            for (ptrdiff_t i = 0; !keep && N < l->ld && i < n; ++i) /* padding, in grads 0 once for all */
                memset(dW + i * l->ld + N, 0, (size_t)(l->ld - N) * sizeof(T));
            FN(gemm)(n, l->outputs, some, dW, l->ld, A, 1, ak, dz + r * l->ld, l->ld, &e);
            if (r + some == rows)
                FN(update_range)(j, l->W + at * l->ld, dW, n * l->ld, 1);
        }
    }
}

/* The same of the first layer, without the products whose x is 0. Where L2 may not hold W and its moments, they are fetched before
 * they are updated: W while the first 64 of the last rows are summed, m and v while the next are. */
static void FN(sparse_gradient)(const FN(job) *j, const fm_layer *l, ptrdiff_t from, ptrdiff_t to, const T *x, ptrdiff_t ldx,
                                ptrdiff_t rows, T *scratch)
{
    uint64_t columns[FM_BLOCK_SUMS / 64][64]; /* of 64 inputs: in which rows they are not 0 */
    const fm_training *t = j->t;
    const T *dz = FN(dz_of)(j, l);
    const ptrdiff_t N = FN(vectors)(l->outputs), words = fm_words(l->inputs);
    const ptrdiff_t most = l->ld < FM_SPARSE_STRIP ? FM_SPARSE_STRIP / l->ld : 1;
    const int keep = j->keep || rows > FM_BLOCK_SUMS;
    const int far = j->update && t->clip_norm == 0 && 3 * l->inputs * l->ld * (ptrdiff_t)sizeof(T) > FM_FAR;
    for (ptrdiff_t r = 0, some; r < rows; r += some) {
        some = rows - r < FM_BLOCK_SUMS ? rows - r : FM_BLOCK_SUMS;
        for (ptrdiff_t at = from, n; at < to; at += n) {
            const ptrdiff_t first = at % 64, left = to - at < 64 - first ? to - at : 64 - first;
            n = left < most ? left : most;
            for (ptrdiff_t b = 0; (!first || at == from) && b < fm_words(some); ++b) {
                for (ptrdiff_t i = 0; i < 64; ++i)
                    columns[b][i] = 64 * b + i < some ? j->s.bits[(r + 64 * b + i) * words + at / 64] : 0;
                fm_transpose_bits(columns[b]);
            }
            T *const dW = keep ? (T *)t->grads + l->W + at * l->ld : scratch;
            for (ptrdiff_t i = 0; !keep && N < l->ld && i < n; ++i) /* padding, in grads 0 once for all */
                memset(dW + i * l->ld + N, 0, (size_t)(l->ld - N) * sizeof(T));
            for (ptrdiff_t b = r, k = 0; b < r + some; b += 64, ++k) { /* few enough rows of dz for an L1 cache */
                const int ends = j->ends && b + 64 >= rows;
                const void *const also = !far || r + some < rows || k > 2 ? NULL : k ? t->slots[k - 1] : t->params;
                const FN(epilogue) e = {.kind = ends ? FM_GRADIENT : FM_PARTIAL,
                                        .onto = j->done > 0 || b > 0,
                                        .also = also ? (const T *)also + l->W + at * l->ld : NULL};
                FN(sparse_gemm)(n, l->outputs, dW, l->ld, x + b * ldx + at, 1, ldx, columns[k] + first, 1, 1, dz + b * l->ld,
                                l->ld, &e);
            }
            if (r + some == rows)
                FN(update_range)(j, l->W + at * l->ld, dW, n * l->ld, 1);
        }
    }
}

/* Part two, for one worker's share of each layer's inputs. What is too little to share, biases and narrow layers, is
 * worker 0's. */
static void FN(tiles_part)(void *context, int worker, int workers)
{
    const FN(job) *j = context;
    const fm_net *net = j->t->net;
    const FN(epilogue) e = {.kind = j->ends ? FM_GRADIENT : FM_PARTIAL, .onto = j->done > 0};
    const T one = 1;
    T *grads = j->t->grads, *scratch = j->s.scratch + worker * fm_scratch(net);
    for (int i = net->n_layers - 1; i >= 0; --i) {
        const fm_layer *l = &net->layers[i];
        const ptrdiff_t rows = j->B * (1 + (net->siamese && i < net->n_layers - 1));
        const T *dz = FN(dz_of)(j, l);
        ptrdiff_t ld;
        const T *x = FN(input_of)(j, l, 0, &ld);
        if (i == 0 && j->sparse) {
            FN(sparse_gradient)(j, l, l->inputs * worker / workers, l->inputs * (worker + 1) / workers, x, ld, rows, scratch);
        } else if (!(j->t->threads == 1 ? FN(is_flat)(l, rows) : FN(is_narrow)(l->outputs)) || FN(vectors)(l->inputs) > ld) {
            FN(wide_gradient)(j, l, l->inputs * worker / workers, l->inputs * (worker + 1) / workers, x, ld, rows, scratch);
        } else if (worker == 0) {
            FN(narrow_gradient)(grads + l->W, l, dz, x, ld, rows, &e, scratch);
            FN(update_range)(j, l->W, grads + l->W, l->inputs * l->ld, 1);
        }
        if (worker == 0 && l->b >= 0) {
            FN(gemm)(1, l->outputs, rows, grads + l->b, l->ld, &one, 0, 0, dz, l->ld, &e);
            FN(update_range)(j, l->b, grads + l->b, l->ld, 0);
        }
    }
}

/* The first chunk of the step at t->next, with dz if that is the caller's own. */
static FN(job) FN(begin)(fm_training *t, const T *dz)
{
    const ptrdiff_t left = t->rows - t->next;
    FN(job) j = {.t = t, .s = FN(cut)(t), .batch = left < t->batch ? left : t->batch, .dz = dz};
    j.share = (double)j.batch;
    if (t->weights && !dz) {
        j.share = 0;
        for (ptrdiff_t r = t->next; r < t->next + j.batch; ++r)
            j.share += (double)((const T *)t->weights)[t->order ? t->order[r] : (size_t)r];
        j.share = j.share != 0 ? j.share : 1; /* weights of 0: no loss and no gradient */
    }
    const double per = t->net->as_scikit_learn ? j.share : 1;
    j.l1 = (T)(t->l1 / per), j.l2 = (T)(t->l2 / per);
    return j;
}

/* rows_part of the next chunk, or 0 where the step is done. */
static int FN(next_chunk)(FN(job) *j)
{
    const fm_training *t = j->t;
    const fm_net *net = t->net;
    const ptrdiff_t I = net->layers[0].inputs, O = net->layers[net->n_layers - 1].outputs;
    const size_t y_size = fm_takes_classes(net->loss) ? sizeof(int64_t) : (size_t)O * sizeof(T);
    const int gathered = t->order || net->siamese; /* rows in order are read where they lie, pairs only side by side */
    j->done += j->B;
    j->first = t->next + j->done;
    if (j->done == j->batch)
        return 0;
    j->B = fm_chunk(net, t->batch, t->threads);
    j->B = j->batch - j->done < j->B ? j->batch - j->done : j->B;
    j->ends = j->done + j->B == j->batch;
    for (int side = 0; side <= net->siamese; ++side)
        j->X[side] = gathered ? j->s.x + side * j->B * I : (const T *)t->X[side] + j->first * I;
    j->y = gathered ? (const char *)j->s.y : (const char *)t->y + (size_t)j->first * y_size;
    fm_parallel(t->threads, FN(rows_part), j);
    return 1;
}

/* Every parameter by the gradient in grads, which is clipped. */
static void FN(update_all)(const FN(step) *s, const fm_training *t)
{
    if (t->clip_norm > 0)
        FN(clip)(t);
    for (const fm_layer *l = t->net->layers; l < t->net->layers + t->net->n_layers; ++l) {
        FN(step_range)(s, t, l->W, (const T *)t->grads + l->W, l->inputs * l->ld, 1);
        if (l->b >= 0)
            FN(step_range)(s, t, l->b, (const T *)t->grads + l->b, l->ld, 0);
    }
}

/* Whether so many inputs are 0, in some of all rows, that skipping them pays: no other bits, but less work. */
static int FN(is_sparse)(const fm_training *t)
{
    const fm_layer *l = t->net->layers;
    const ptrdiff_t rows = t->rows < FM_SAMPLE_ROWS ? t->rows : FM_SAMPLE_ROWS;
    ptrdiff_t n = 0;
    if (l->outputs < FM_SPARSE_OUTPUTS || t->batch < FM_SPARSE_BATCH)
        return 0;
    for (ptrdiff_t i = 0; i < rows; ++i) {
        const ptrdiff_t place = t->rows * i / rows;
        const T *x = (const T *)t->X[0] + (t->order ? t->order[place] : (size_t)place) * (size_t)l->inputs;
        for (ptrdiff_t k = 0; k < l->inputs; ++k)
            n += x[k] != 0;
    }
    return 100 * n <= FM_NONZERO_PERCENT * rows * l->inputs;
}

/* Whether a loss, or a penalty, ends the training. */
static int FN(stops)(const fm_training *t, double loss)
{
    return t->net->as_scikit_learn ? loss != loss : loss - loss != 0;
}

/* Steps until all rows are done or the clock passes `until`. */
static int FN(train)(fm_training *t, double until)
{
    const int sparse = FN(is_sparse)(t);
    const ptrdiff_t begun = t->next;
    for (int last = 0; !last;) {
        FN(job) j = FN(begin)(t, NULL);
        j.sparse = sparse;
        const int penalised = t->optimizer && (j.l1 != 0 || j.l2 != 0);
        const double penalty = penalised ? FN(penalty)(t, (double)j.l1, (double)j.l2) : 0;
        const ptrdiff_t step = t->next / t->batch;
        double loss = 0;
        last = t->next + j.batch == t->rows || fm_seconds() >= until;
        while (FN(next_chunk)(&j)) {
            for (ptrdiff_t r = 0; r < j.B; ++r)
                loss += (double)j.s.loss[r];
            if (t->optimizer && (FN(stops)(t, loss) || FN(stops)(t, penalty))) {
                if (t->next > begun || j.done > 0) /* after some of a step's chunks they are sums of no use */
                    memset(t->grads, 0, (size_t)fm_parameters(t->net) * sizeof(T));
                return FM_NOT_FINITE;
            }
            j.update = t->optimizer && j.ends;
            j.keep = last || !t->optimizer || j.B < j.batch || t->clip_norm > 0;
            if (j.update)
                j.step = FN(begin_step)(t->optimizer, t->rates ? t->rates[step] : t->optimizer->learning_rate);
            if (j.update && !j.keep && j.l1 == 0 && j.step.decay == 0 && t->optimizer->rule != FM_LION)
                j.step.decay = j.l2, j.l2 = 0; /* the same g + l2 W in a pass less, if nobody wants that g (keep) */
            fm_parallel(t->threads, FN(tiles_part), &j);
        }
        if (t->optimizer && t->clip_norm > 0)
            FN(update_all)(&j.step, t);
        if (t->optimizer && t->max_norm > 0)
            FN(limit_norms)(t, t->params);
        if (t->optimizer && t->average)
            FN(move_average)(t);
        if (t->optimizer && t->average && t->max_norm > 0) /* the average of the first steps has initial weights in it */
            FN(limit_norms)(t, t->average);
        if (t->net->as_scikit_learn && t->net->loss == FM_SQUARED_ERROR)
            loss /= (double)t->net->layers[t->net->n_layers - 1].outputs;
        if (t->weights || penalised)
            loss = (loss / j.share + penalty) * (double)j.batch;
        if (t->losses)
            t->losses[step] = loss / (double)j.batch;
        t->loss += loss;
        t->next += j.batch;
    }
    return FM_OK;
}

/* grads from the caller's dz (B, O), and dX (B, I) = dz_0 W_0^T, twice the rows for a siamese network. */
static void FN(backward)(fm_training *t, const void *dz, void *dX)
{
    const fm_layer *l = t->net->layers;
    const FN(epilogue) raw = {.kind = FM_GRADIENT};
    FN(job) j = FN(begin)(t, dz);
    j.keep = 1;
    while (FN(next_chunk)(&j)) {
        fm_parallel(t->threads, FN(tiles_part), &j);
        for (int side = 0; side <= t->net->siamese; ++side)
            FN(product)(j.B, l->inputs, l->outputs, (T *)dX + (side * j.batch + j.done) * l->inputs, l->inputs, 0,
                        FN(dz_of)(&j, l) + side * j.B * l->ld, l->ld, 1, (const T *)t->params + l->W, 1, l->ld, raw,
                        j.s.scratch);
    }
}

/* One optimizer step from the gradient as it stands. */
static void FN(update)(fm_training *t)
{
    const FN(step) s = FN(begin_step)(t->optimizer, t->optimizer->learning_rate);
    FN(update_all)(&s, t);
    if (t->average)
        FN(move_average)(t);
}
