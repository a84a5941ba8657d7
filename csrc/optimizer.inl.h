/* One optimizer step on a range of parameters. Reads the gradient, never changes it.
 *
 *   SGD:   g <- g + lambda W;  v <- mu v - alpha g;  W <- W + v, or W + mu v - alpha g with Nesterov momentum
 *   Adam:  g <- g + lambda W;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
 *          W <- W - alpha_t m / (sqrt(v) + epsilon_t),  alpha_t = alpha sqrt(1 - beta2^t) / (1 - beta1^t),
 *          epsilon_t = epsilon sqrt(1 - beta2^t)                       (Kingma & Ba 2015, Algorithm 1)
 *   AdamW: W <- W - alpha lambda' W besides                            (Loshchilov & Hutter 2019)
 *
 * Decay is for weights: a range of biases has none. */

/* One step's settings in the element type, from fm_optimizer's double. */
typedef struct {
    int rule, nesterov;
    T rate, decay, decoupled; /* alpha or alpha_t, lambda, alpha lambda' */
    T beta1, rest1, beta2, rest2, epsilon; /* rest = 1 - beta; momentum is beta1 */
    T smallest_g;             /* a smaller g has (1 - beta2) g^2 below the normal numbers: it counts as 0 */
} FN(step);

static FN(step) FN(begin_step)(fm_optimizer *o)
{
    FN(step) s = {.rule = o->rule, .nesterov = o->nesterov, .decay = (T)o->weight_decay};
    s.decoupled = (T)(o->learning_rate * o->decoupled_decay);
    s.rate = (T)o->learning_rate;
    s.beta1 = (T)o->momentum;
    o->steps += 1;
    if (o->rule == FM_ADAM) {
        o->beta1_power *= o->beta1;
        o->beta2_power *= o->beta2;
        const double scale = sqrt(1 - o->beta2_power);
        s.rate = (T)(o->learning_rate * scale / (1 - o->beta1_power));
        s.epsilon = (T)(o->epsilon * scale);
        /* 0 would make 0 / 0 of a weight without gradient; 2^100 is as good as infinity, and has a reciprocal */
        s.epsilon = s.epsilon < REAL_MIN ? REAL_MIN : s.epsilon > (T)0x1p100 ? (T)0x1p100 : s.epsilon;
        s.beta1 = (T)o->beta1, s.rest1 = (T)(1 - o->beta1);
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
#define RECIPROCAL_MAGIC 0x7EF311C7 /* less the bits of d, those of 1 / d but for an eighth */
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

/* n elements from `at` on, a multiple of LANES, with their gradient g. */
static void FN(step_range)(const FN(step) *s, const fm_training *t, ptrdiff_t at, const T *g, ptrdiff_t n, int is_weight)
{
    T *W = (T *)t->params + at, *first = (T *)t->slots[0] + at;
    if (s->rule == FM_SGD)
        FN(sgd)(s, v_set1(is_weight ? s->decay : 0), W, g, first, n);
    else if (is_weight && (s->decay != 0 || s->decoupled != 0))
        FN(adam)(1, s, W, g, first, (T *)t->slots[1] + at, n);
    else
        FN(adam)(0, s, W, g, first, (T *)t->slots[1] + at, n);
}
