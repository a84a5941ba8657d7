/* One optimizer step on a range of parameters, whose gradient g it reads and never changes; W, g, m and v have n elements.
 *
 *   SGD:   g <- g + lambda W;  v <- mu v - alpha g;  W <- W + v, or W + mu v - alpha g with Nesterov momentum
 *   Adam:  g <- g + lambda W;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
 *          W <- W - alpha_t m / (sqrt(v) + epsilon_t),  alpha_t = alpha sqrt(1 - beta2^t) / (1 - beta1^t),
 *          epsilon_t = epsilon sqrt(1 - beta2^t)                       (Kingma & Ba 2015, Algorithm 1)
 *   AdamW: W <- W - alpha lambda' W besides                            (Loshchilov & Hutter 2019)
 *   RMSprop: g <- g + lambda W;  v <- rho v + (1 - rho) g^2;  m <- mu m + g / (sqrt(v) + epsilon);  W <- W - alpha m
 *                                                                      (Tieleman & Hinton 2012)
 *   Lion:  W <- W - alpha (sign(beta1 m + (1 - beta1) g) + lambda' W);  m <- beta2 m + (1 - beta2) g   (Chen et al. 2023)
 *
 * Decay is for weights: a range of biases has none. Besides, what happens to a gradient before its step, penalties and
 * clipping, and to the parameters after it, their norms and their average. */

/* One step's settings in the element type, from fm_optimizer's double. */
typedef struct {
    int rule, nesterov;
    T rate, decay, decoupled; /* alpha or alpha_t, lambda, alpha lambda' */
    T beta1, rest1, beta2, rest2, epsilon; /* rest = 1 - beta; momentum is beta1 */
    T smallest_g;             /* a smaller g has (1 - beta2) g^2 below the normal numbers: it counts as 0 */
} FN(step);

static FN(step) FN(begin_step)(fm_optimizer *o, double learning_rate)
{
    FN(step) s = {.rule = o->rule, .nesterov = o->nesterov, .decay = (T)o->weight_decay};
    s.decoupled = (T)(learning_rate * o->decoupled_decay);
    s.rate = (T)learning_rate;
    s.beta1 = (T)o->momentum;
    o->steps += 1;
    if (o->rule == FM_LION) {
        s.beta1 = (T)o->beta1, s.rest1 = (T)(1 - o->beta1);
        s.beta2 = (T)o->beta2, s.rest2 = (T)(1 - o->beta2);
    }
    if (o->rule == FM_ADAM || o->rule == FM_RMSPROP) {
        double scale = 1;
        if (o->rule == FM_ADAM) {
            o->beta1_power *= o->beta1;
            o->beta2_power *= o->beta2;
            scale = sqrt(1 - o->beta2_power);
            s.rate = (T)(learning_rate * scale / (1 - o->beta1_power));
            s.beta1 = (T)o->beta1, s.rest1 = (T)(1 - o->beta1);
        }
        s.epsilon = (T)(o->plain_epsilon ? o->epsilon : o->epsilon * scale);
        /* 0 would make 0 / 0 of a weight without gradient; 2^100 is as good as infinity, and has a reciprocal */
        s.epsilon = s.epsilon < REAL_MIN ? REAL_MIN : s.epsilon > (T)0x1p100 ? (T)0x1p100 : s.epsilon;
        s.beta2 = (T)o->beta2, s.rest2 = (T)(1 - o->beta2);
        s.smallest_g = (T)sqrt(REAL_MIN / (1 - o->beta2));
    }
    return s;
}

static ALWAYS_INLINE void FN(sgd)(const FN(step) *s, V decay, T *W, const T *grad, T *velocity, ptrdiff_t n)
{
    const V rate = v_set1(s->rate), momentum = v_set1(s->beta1);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V w = v_load(W + i), g = v_fma(decay, w, v_load(grad + i));
        const V v = FN(flush)(v_fnma(rate, g, v_mul(momentum, v_load(velocity + i))));
        v_store(velocity + i, v);
        v_store(W + i, FN(flush)(v_add(w, s->nesterov ? v_fnma(rate, g, v_mul(momentum, v)) : v)));
    }
}

#if BITS == 32
#define RECIPROCAL_MAGIC 0x7EF311C7 /* this less the bits of d are the bits of 1 / d to within an eighth */
#define RECIPROCAL_STEPS 2
#else
#define RECIPROCAL_MAGIC 0x7FDE623822FC16E6
#define RECIPROCAL_STEPS 3
#endif
/* 1 / d within 1 ulp or so, for 2^-126 <= d <= 2^120, by Newton's iteration of third order, y <- y (1 + e + e^2), e = 1 - d y,
 * which cubes the error. Where a divider works on one vector in ten or twenty cycles and sqrt(v) keeps it busy as it is, seven
 * multiply-adds are faster; being IEEE operations all, they give the same bits everywhere. */
static ALWAYS_INLINE V FN(reciprocal)(V d)
{
    const V one = v_set1(1);
    V y = v_bits_sub(v_bits_set1(RECIPROCAL_MAGIC), d);
    UNROLL for (int i = 0; i < RECIPROCAL_STEPS; ++i) {
        const V e = v_fnma(d, y, one);
        y = v_fma(y, v_fma(e, e, e), y);
    }
    return y;
}
#undef RECIPROCAL_MAGIC
#undef RECIPROCAL_STEPS

/* `decays`, a constant where this is inlined, says whether there is any decay. */
static ALWAYS_INLINE void FN(adam)(const int decays, const FN(step) *s, T *W, const T *grad, T *first, T *second, ptrdiff_t n)
{
    const V decay = v_set1(s->decay), decoupled = v_set1(s->decoupled);
    const V rate = v_set1(s->rate), epsilon = v_set1(s->epsilon);
    const V smallest = v_set1(s->smallest_g), largest = v_set1(REAL_MAX);
    const V beta1 = v_set1(s->beta1), rest1 = v_set1(s->rest1), beta2 = v_set1(s->beta2), rest2 = v_set1(s->rest2);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V w = v_load(W + i), g = decays ? v_fma(decay, w, v_load(grad + i)) : v_load(grad + i);
        const V q = v_clear(m_lt(v_abs(g), smallest), g);
        const V m = FN(flush)(v_fma(beta1, v_load(first + i), v_mul(rest1, g)));
        const V v = v_at_most(FN(flush)(v_fma(beta2, v_load(second + i), v_mul(rest2, v_mul(q, q)))), largest);
        v_store(first + i, m);
        v_store(second + i, v);
        const V per = FN(reciprocal)(v_add(v_sqrt(v), epsilon));
        v_store(W + i, FN(flush)(v_fnma(v_mul(rate, m), per, decays ? v_fnma(decoupled, w, w) : w)));
    }
}

static ALWAYS_INLINE void FN(rmsprop)(const FN(step) *s, V decay, T *W, const T *grad, T *first, T *second, ptrdiff_t n)
{
    const V rate = v_set1(s->rate), epsilon = v_set1(s->epsilon), momentum = v_set1(s->beta1);
    const V smallest = v_set1(s->smallest_g), largest = v_set1(REAL_MAX);
    const V rho = v_set1(s->beta2), rest = v_set1(s->rest2);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V w = v_load(W + i), g = v_fma(decay, w, v_load(grad + i)), q = v_clear(m_lt(v_abs(g), smallest), g);
        const V v = v_at_most(FN(flush)(v_fma(rho, v_load(second + i), v_mul(rest, v_mul(q, q)))), largest);
        const V per = FN(reciprocal)(v_add(v_sqrt(v), epsilon));
        const V m = FN(flush)(v_fma(g, per, v_mul(momentum, v_load(first + i))));
        v_store(first + i, m);
        v_store(second + i, v);
        v_store(W + i, FN(flush)(v_fnma(rate, m, w)));
    }
}

static ALWAYS_INLINE V FN(sign)(V a)
{
    const V zero = v_set1(0);
    return v_select(m_lt(zero, a), v_set1(1), v_select(m_lt(a, zero), v_set1(-1), a));
}

static ALWAYS_INLINE void FN(lion)(const FN(step) *s, V decoupled, T *W, const T *grad, T *first, ptrdiff_t n)
{
    const V rate = v_set1(s->rate);
    const V beta1 = v_set1(s->beta1), rest1 = v_set1(s->rest1), beta2 = v_set1(s->beta2), rest2 = v_set1(s->rest2);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V w = v_load(W + i), g = v_load(grad + i), m = v_load(first + i);
        const V u = FN(sign)(v_fma(beta1, m, v_mul(rest1, g)));
        v_store(first + i, FN(flush)(v_fma(beta2, m, v_mul(rest2, g))));
        v_store(W + i, FN(flush)(v_fnma(rate, u, v_fnma(decoupled, w, w))));
    }
}

/* n elements from `at` on, a multiple of LANES, with their gradient g. */
static void FN(step_range)(const FN(step) *s, const fm_training *t, ptrdiff_t at, const T *g, ptrdiff_t n, int is_weight)
{
    T *W = (T *)t->params + at, *first = (T *)t->slots[0] + at;
    if (s->rule == FM_SGD)
        FN(sgd)(s, v_set1(is_weight ? s->decay : 0), W, g, first, n);
    else if (s->rule == FM_RMSPROP)
        FN(rmsprop)(s, v_set1(is_weight ? s->decay : 0), W, g, first, (T *)t->slots[1] + at, n);
    else if (s->rule == FM_LION)
        FN(lion)(s, v_set1(is_weight ? s->decoupled : 0), W, g, first, n);
    else if (is_weight && (s->decay != 0 || s->decoupled != 0))
        FN(adam)(1, s, W, g, first, (T *)t->slots[1] + at, n);
    else
        FN(adam)(0, s, W, g, first, (T *)t->slots[1] + at, n);
}

/* g <- g + l1 sign(W) + l2 W over n elements, a multiple of LANES. */
static void FN(add_penalty)(T l1, T l2, T *g, const T *W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const V w = v_load(W + i);
        V slope = v_fma(v_set1(l2), w, v_load(g + i));
        if (l1 != 0)
            slope = v_fma(v_set1(l1), FN(sign)(w), slope);
        v_store(g + i, slope);
    }
}

/* *size, *square <- sum |scale a|, sum (scale a)^2 of A (rows, O), ld apart, in float64 over blocks of rows. Column j goes to
 * partial sum j mod 16, as in losses. An addition waits for the one before it: where few vectors make 16 sums, blocks go
 * side by side. */
static void FN(norms)(double *size, double *square, T scale, const T *A, ptrdiff_t rows, ptrdiff_t O, ptrdiff_t ld)
{
    enum { BLOCKS = FN(PARTIALS) < 4 ? 4 / FN(PARTIALS) : 1 };
    const ptrdiff_t some = 1 + 4096 / ld;
    *size = *square = 0;
    for (ptrdiff_t r = 0; r < rows; r += BLOCKS * some) {
        V first[BLOCKS][16 / LANES], second[BLOCKS][16 / LANES];
        for (int b = 0; b < BLOCKS; ++b)
            for (int v = 0; v < FN(PARTIALS); ++v)
                first[b][v] = second[b][v] = v_set1(0);
#define ADD(LOAD)                                                                                                      \
    UNROLL for (int b = 0; b < BLOCKS; ++b)                                                                            \
        UNROLL for (int v = 0; v < FN(PARTIALS); ++v)                                                                  \
            if (i + b * some < rows && j + v * LANES < O) {                                                            \
                const T *const row = A + (i + b * some) * ld;                                                          \
                const V a = v_mul(v_set1(scale), LOAD(row, j + v * LANES, O, v_set1(0)));                              \
                first[b][v] = v_add(first[b][v], v_abs(a));                                                            \
                second[b][v] = v_fma(a, a, second[b][v]);                                                              \
            }
#define LOAD_WHOLE(p, j, K, rest) v_load((p) + (j))
        for (ptrdiff_t i = r, j; i < rows && i < r + some; ++i) {
            for (j = 0; j + 16 <= O; j += 16)
                ADD(LOAD_WHOLE)
            if (j < O)
                ADD(LOAD_ROW)
        }
#undef LOAD_WHOLE
#undef ADD
        for (int b = 0; b < BLOCKS; ++b) {
            *size += (double)FN(fold)(first[b]);
            *square += (double)FN(fold)(second[b]);
        }
    }
}

/* l1 sum |W| + l2 / 2 sum W^2 over all layers. */
static double FN(penalty)(const fm_training *t, double l1, double l2)
{
    double all = 0, size, square;
    for (const fm_layer *l = t->net->layers; l < t->net->layers + t->net->n_layers; ++l) {
        FN(norms)(&size, &square, 1, (const T *)t->params + l->W, l->inputs, l->outputs, l->ld);
        all += l1 * size + 0.5 * l2 * square;
    }
    return all;
}

/* grads <- grads clip / |grads| where the norm is larger than clip            (Pascanu, Mikolov, Bengio 2013)
 * Squares that overflow are taken of numbers that are small enough. */
static void FN(clip)(const fm_training *t)
{
    T *const grads = t->grads, scales[2] = {1, BITS == 32 ? (T)0x1p-80 : (T)0x1p-600};
    double norm = INFINITY, size, square;
    for (int i = 0; i < 2 && norm == INFINITY; ++i) {
        double sum = 0;
        for (const fm_layer *l = t->net->layers; l < t->net->layers + t->net->n_layers; ++l) {
            FN(norms)(&size, &square, scales[i], grads + l->W, l->inputs, l->outputs, l->ld);
            sum += square;
            if (l->b >= 0)
                FN(norms)(&size, &square, scales[i], grads + l->b, 1, l->outputs, l->ld), sum += square;
        }
        norm = sqrt(sum) / (double)scales[i];
    }
    if (!(norm > t->clip_norm))
        return;
    const V factor = v_set1(t->clip_norm / norm);
    for (ptrdiff_t i = 0, n = fm_parameters(t->net); i < n; i += LANES)
        v_store(grads + i, v_mul(factor, v_load(grads + i)));
}

/* The weights into each unit, in params or their average, scaled down to the norm max_norm where that is less
 *                                                                         (Srebro & Shraibman 2005; Hinton et al. 2012) */
static void FN(limit_norms)(const fm_training *t, T *params)
{
    const V most = v_set1(t->max_norm), one = v_set1(1);
    for (const fm_layer *l = t->net->layers; l < t->net->layers + t->net->n_layers; ++l)
        for (ptrdiff_t j = 0; j < l->outputs; j += LANES) {
            T *const W = params + l->W + j;
            V sum = v_set1(0);
            for (ptrdiff_t i = 0; i < l->inputs; ++i)
                sum = v_fma(v_load(W + i * l->ld), v_load(W + i * l->ld), sum);
            const V norm = v_sqrt(sum), factor = v_select(m_lt(most, norm), v_div(most, norm), one);
            for (ptrdiff_t i = 0; i < l->inputs; ++i)
                v_store(W + i * l->ld, FN(flush)(v_mul(factor, v_load(W + i * l->ld))));
        }
}

/* average <- average + (1 - decay) (params - average)                      (Polyak & Juditsky 1992) */
static void FN(move_average)(const fm_training *t)
{
    const V rest = v_set1(1 - t->average_decay);
    T *const a = t->average;
    const T *const W = t->params;
    for (ptrdiff_t i = 0, n = fm_parameters(t->net); i < n; i += LANES)
        v_store(a + i, FN(flush)(v_fma(rest, v_sub(v_load(W + i), v_load(a + i)), v_load(a + i))));
}
