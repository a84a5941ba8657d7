/* The activations h = r(z) and their derivatives r'(z), elementwise over z, h (n,).
 *
 *   identity z    relu max(z, 0)    leaky_relu z, below 0 z / 100    elu z, below 0 exp(z) - 1    gelu z Phi(z)
 *   silu z sigmoid(z)    softplus log(1 + exp(z))    tanh, sigmoid, exp    impulse 1 at 0    heaviside 1 from 0 on, else 0
 *
 * Value and derivative share what is dear, the exponentials, so one body gives both. r'(0) = 0 for relu, as in PyTorch and
 * scikit-learn. impulse and heaviside have no useful derivative: whoever asks for a gradient refuses them before C. */

/* log(1 + exp(z)), where exp cannot overflow. Error where the result is normal: float 1.75 ulp, double 2.09. */
static ALWAYS_INLINE V FN(softplus)(V z)
{
    const V zero = v_set1(0);
    return v_add(v_select(m_lt(zero, z), z, zero), FN(v_log1p_unit)(FN(v_exp)(v_sub(zero, v_abs(z)))));
}

/* r(z), and r'(z) in *d; unused results cost nothing once this is inlined with a constant kind. */
static ALWAYS_INLINE V FN(activate)(const int kind, V z, V *d)
{
    const V zero = v_set1(0), one = v_set1(1);
    const MASK positive = m_lt(zero, z);
    V h, s;
    switch (kind) {
    case FM_RELU:
        *d = v_select(positive, one, zero);
        return v_select(m_le(z, zero), zero, z);
    case FM_LEAKY_RELU:
        *d = v_select(positive, one, v_set1(0.01));
        return v_select(positive, z, v_mul(v_set1(0.01), z));
    case FM_ELU:
        *d = v_select(positive, one, FN(v_exp)(z));
        return v_select(positive, z, FN(v_expm1)(z));
    case FM_GELU: /* z Phi(z); Phi(z) + z phi(z) (Hendrycks & Gimpel 2016) */
        h = FN(v_normal_cdf)(z, &s);
        *d = v_fma(z, s, h);
        return v_mul(z, h);
    case FM_SILU:
        s = FN(v_sigmoid)(z);
        h = FN(v_silu)(z);
        *d = v_fma(h, v_sub(one, s), s);
        return h;
    case FM_SOFTPLUS:
        *d = FN(v_sigmoid)(z);
        return FN(softplus)(z);
    case FM_TANH:
        h = FN(v_tanh)(z);
        *d = v_fnma(h, h, one);
        return h;
    case FM_SIGMOID:
        h = FN(v_sigmoid)(z);
        *d = v_mul(h, v_sub(one, h));
        return h;
    case FM_EXP:
        h = FN(v_exp)(z);
        *d = h;
        return h;
    case FM_IMPULSE:
        *d = zero;
        return v_select(m_eq(z, zero), one, zero);
    case FM_HEAVISIDE:
        *d = zero;
        return v_select(m_le(zero, z), one, zero);
    default:
        *d = one;
        return z;
    }
}

static ALWAYS_INLINE V FN(flush)(V a) /* what is stored is never subnormal: as a factor it would cost a hundredfold */
{
    return v_flush(a);
}

/* h, d (n,) <- r(z), r'(z); h or d may be NULL, h may be z. */
static ALWAYS_INLINE void FN(map_kind)(const int kind, T *h, T *d, const T *z, ptrdiff_t n, const int flush)
{
    V slope;
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t left = n - i < LANES ? n - i : LANES;
        V value = FN(activate)(kind, left < LANES ? v_load_n(z + i, left, v_set1(0)) : v_load(z + i), &slope);
        if (flush)
            value = FN(flush)(value);
        if (left < LANES) {
            if (h)
                v_store_n(h + i, value, left);
            if (d)
                v_store_n(d + i, slope, left);
        } else {
            if (h)
                v_store(h + i, value);
            if (d)
                v_store(d + i, slope);
        }
    }
}

#define MAP(KIND)                                                                                                      \
    case KIND:                                                                                                         \
        if (!d)                                                                                                        \
            FN(map_kind)(KIND, h, NULL, z, n, flush);                                                                  \
        else                                                                                                           \
            FN(map_kind)(KIND, h, d, z, n, flush);                                                                     \
        break;
static void FN(map)(int kind, T *h, T *d, const T *z, ptrdiff_t n, int flush)
{
    switch (kind) {
        MAP(FM_IDENTITY) MAP(FM_RELU) MAP(FM_LEAKY_RELU) MAP(FM_ELU) MAP(FM_GELU) MAP(FM_SILU) MAP(FM_SOFTPLUS)
        MAP(FM_TANH) MAP(FM_SIGMOID) MAP(FM_IMPULSE) MAP(FM_HEAVISIDE) MAP(FM_EXP)
    }
}
#undef MAP

static void FN(activation)(int kind, void *h, const void *z, ptrdiff_t n)
{
    FN(map)(kind, h, NULL, z, n, 0);
}

static void FN(derivative)(int kind, void *d, const void *z, ptrdiff_t n)
{
    FN(map)(kind, NULL, d, z, n, 0);
}
