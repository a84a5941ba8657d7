/* Log-sum-exp, softmax and the losses, with dz = dJ/dz in the same pass.
 *
 *   z, dz (B, K) with rows ld apart, loss (B,), y (B, K) or classes t (B,); sums over outputs, no mean over rows
 *   a = max z, S = sum exp(z - a):  LSE = a + log S,  softmax = exp(z - a) / S,  log_softmax = (z - a) - log S
 *   softmax cross-entropy: loss = (a - z_t) + log S (never LSE - z_t, which cancels), dz = softmax - onehot(t)
 *   binary cross-entropy:  loss = max(z, 0) - z y + log(1 + exp(-|z|)), dz = sigmoid(z) - y
 *       with y or onehot(t) smoothed by s: (1 - s) y + s / 2, (1 - s) onehot(t) + s / K     (Szegedy et al. 2016)
 *   focal, softmax or binary: loss = q^gamma CE, q = 1 - p(truth); dz = q^(gamma - 1) (q + gamma (1 - q) CE) dCE/dz
 *                                                                                              (Lin et al. 2017)
 *   squared error:         loss = 1/2 d^2, dz = d = z - y
 *   absolute error:        loss = |d|, dz = sign(d)
 *   Huber:                 loss = 1/2 d^2 where |d| <= delta, else delta (|d| - delta / 2); dz = d cut to +-delta (Huber 1964)
 *   quantile:              loss = max(-q d, (1 - q) d), dz = -q or 1 - q, 0 at d = 0           (Koenker & Bassett 1978)
 *   Poisson, z = log mu:   loss = y (log y - z) - y + mu, half the deviance; dz = mu - y
 *
 * Largest errors found, for 2 to 100 classes: LSE 1.52 ulp of max(1, |max z|, |LSE|) in float, 1.83 in double;
 * cross-entropy 2.24 ulp of max(1, loss) in float, 2.36 in double.
 *
 * A sum across outputs puts output j into partial sum j mod 16 on every ISA and folds the 16 in halves. Softmax, log-softmax
 * and their cross-entropy are NaN of a row that holds a NaN or +inf, or nothing but -inf; LSE is its infinity. No other row
 * is touched. */
enum { FN(PARTIALS) = 16 / LANES };

#define LOAD_ROW(p, j, K, rest) ((K) - (j) < LANES ? v_load_n((p) + (j), (K) - (j), rest) : v_load((p) + (j)))
#define STORE_ROW(p, j, K, a)                                                                                          \
    do {                                                                                                               \
        if ((K) - (j) < LANES)                                                                                         \
            v_store_n((p) + (j), a, (K) - (j));                                                                        \
        else                                                                                                           \
            v_store((p) + (j), a);                                                                                     \
    } while (0)

static ALWAYS_INLINE T FN(fold)(const V *partial)
{
    T p[16];
    for (int v = 0; v < FN(PARTIALS); ++v)
        v_store(p + v * LANES, partial[v]);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; ++i)
            p[i] += p[i + half];
    return p[0];
}

/* The largest of z (K,), past any NaN: which of equal zeros it is shows in no result. */
static ALWAYS_INLINE T FN(row_max)(const T *z, ptrdiff_t K)
{
    T lane[16], a;
    V most = v_set1(-INFINITY);
    for (ptrdiff_t j = 0; j < K; j += LANES) {
        const V x = LOAD_ROW(z, j, K, v_set1(-INFINITY));
        most = v_select(m_lt(most, x), x, most);
    }
    v_store(lane, most);
    a = lane[0];
    for (ptrdiff_t i = 1; i < LANES; ++i)
        a = a < lane[i] ? lane[i] : a;
    return a;
}

/* S = sum exp(z - a), and e (K,) <- exp(z - a) unless NULL. The lanes past K hold exp(-inf) = 0. */
static ALWAYS_INLINE T FN(row_exp)(T *e, const T *z, T a, ptrdiff_t K)
{
    V partial[16 / LANES];
    for (int v = 0; v < FN(PARTIALS); ++v)
        partial[v] = v_set1(0);
    for (ptrdiff_t j = 0; j < K; j += LANES) {
        const int v = (int)(j / LANES) % FN(PARTIALS);
        const V x = FN(v_exp)(v_sub(LOAD_ROW(z, j, K, v_set1(-INFINITY)), v_set1(a)));
        partial[v] = v_add(partial[v], x);
        if (e)
            STORE_ROW(e, j, K, x);
    }
    return FN(fold)(partial);
}

static T FN(log_one)(T S)
{
    T lane[16];
    v_store(lane, FN(v_log)(v_set1(S)));
    return lane[0];
}

/* LSE of a row whose S is NaN: NaN if any z is, else the infinity that the row holds. */
static T FN(lse_not_finite)(const T *z, T a, ptrdiff_t K)
{
    for (ptrdiff_t j = 0; j < K; ++j)
        if (z[j] != z[j])
            return z[j];
    return a;
}

static void FN(row_reduction)(int kind, void *out_, const void *z_, ptrdiff_t B, ptrdiff_t K)
{
    T *out = out_;
    const T *z = z_;
    for (ptrdiff_t i = 0; i < B; ++i, z += K) {
        const T a = FN(row_max)(z, K);
        if (kind == FM_LOGSUMEXP) {
            const T S = FN(row_exp)(NULL, z, a, K);
            out[i] = S == S ? a + FN(log_one)(S) : FN(lse_not_finite)(z, a, K);
            continue;
        }
        T *row = out + i * K;
        const T S = FN(row_exp)(row, z, a, K);
        const V log_S = v_set1(FN(log_one)(S));
        for (ptrdiff_t j = 0; j < K; j += LANES) {
            const V p = v_div(LOAD_ROW(row, j, K, v_set1(0)), v_set1(S));
            const V log_p = v_sub(v_sub(LOAD_ROW(z, j, K, v_set1(0)), v_set1(a)), log_S);
            STORE_ROW(row, j, K, kind == FM_SOFTMAX ? p : log_p);
        }
    }
}

/* At most 16 classes: LANES rows at a time, one to a lane. Each class has a partial sum to itself, and the others, 0, are
 * added in the same order as elsewhere. */
static void FN(few_classes)(T *loss, T *dz, const T *z, const int64_t *t, ptrdiff_t rows, ptrdiff_t K, ptrdiff_t ld)
{
    T column[16 * LANES], margin[LANES];
    V e[16], a = v_set1(-INFINITY);
    const ptrdiff_t fours = (K + 3) / 4 * 4 <= ld ? (K + 3) / 4 * 4 : K / 4 * 4; /* padding may be read, other rows not */
    for (ptrdiff_t j = 0; j < fours; j += 4)
        FN(fm_transpose)(column + j * LANES, LANES, z + j, ld, rows);
    for (ptrdiff_t j = fours; j < K; ++j)
        for (ptrdiff_t i = 0; i < LANES; ++i)
            column[j * LANES + i] = z[(i < rows ? i : 0) * ld + j];
    for (ptrdiff_t j = 0; j < K; ++j) {
        const V x = v_load(column + j * LANES);
        a = v_select(m_lt(a, x), x, a);
    }
    for (ptrdiff_t j = 0; j < 16; ++j)
        e[j] = j < K ? FN(v_exp)(v_sub(v_load(column + j * LANES), a)) : v_set1(0);
    V partial[16];
    for (ptrdiff_t j = 0; j < 8; ++j)
        partial[j] = v_add(e[j], e[j + 8]);
    for (int half = 4; half; half /= 2)
        for (int j = 0; j < half; ++j)
            partial[j] = v_add(partial[j], partial[j + half]);
    v_store(margin, a);
    for (ptrdiff_t i = 0; i < rows; ++i)
        margin[i] -= z[i * ld + t[i]];
    STORE_ROW(loss, 0, rows, v_add(v_load(margin), FN(v_log)(partial[0])));
    for (ptrdiff_t j = 0; j < K; ++j)
        v_store(column + j * LANES, v_div(e[j], partial[0]));
    for (ptrdiff_t i = 0; i < rows; ++i) {
        column[t[i] * LANES + i] -= 1;
        for (ptrdiff_t j = 0; j < K; ++j)
            dz[i * ld + j] = column[j * LANES + i];
    }
}

/* More classes: row by row, in blocks so that one vector takes the logarithm of many. */
static void FN(many_classes)(T *loss, T *dz, const T *z, const int64_t *t, ptrdiff_t rows, ptrdiff_t K, ptrdiff_t ld)
{
    T S[LANES], margin[LANES];
    v_store(S, v_set1(1));
    v_store(margin, v_set1(0));
    for (ptrdiff_t i = 0; i < rows; ++i, z += ld, dz += ld) {
        const T a = FN(row_max)(z, K);
        S[i] = FN(row_exp)(dz, z, a, K);
        margin[i] = a - z[t[i]];
        for (ptrdiff_t j = 0; j < K; j += LANES)
            STORE_ROW(dz, j, K, v_div(LOAD_ROW(dz, j, K, v_set1(0)), v_set1(S[i])));
        dz[t[i]] -= 1;
    }
    STORE_ROW(loss, 0, rows, v_add(v_load(margin), FN(v_log)(v_load(S))));
}

/* The loss of probabilities in [eps, 1 - eps]: what lies outside changes the sum that is reported, not dz. */
static ALWAYS_INLINE V FN(clipped)(V loss)
{
    const V least = v_set1(-LOG_1_LESS_EPS), most = v_set1(-LOG_EPS);
    loss = v_select(m_lt(loss, least), least, loss);
    return v_select(m_lt(most, loss), most, loss);
}

/* q^gamma CE, and in *f what makes dCE/dz its derivative. */
static ALWAYS_INLINE V FN(focus)(V q, V ce, V gamma, V *f)
{
    q = v_select(m_lt(q, v_set1(REAL_MIN)), v_set1(REAL_MIN), q);
    const V power = FN(v_exp)(v_mul(v_sub(gamma, v_set1(1)), FN(v_log)(q)));
    *f = v_mul(power, v_fma(v_mul(gamma, v_sub(v_set1(1), q)), ce, q));
    return v_mul(v_mul(power, q), ce);
}

/* What makes smoothed or focal cross-entropy of the plain one, for at most LANES rows. */
static void FN(shape_rows)(int kind, T parameter, T *loss, T *dz, const T *z, const int64_t *t, ptrdiff_t rows, ptrdiff_t K,
                           ptrdiff_t ld)
{
    if (kind == FM_FOCAL) {
        T q[LANES], factor[LANES];
        V f;
        v_store(q, v_set1(1));
        for (ptrdiff_t i = 0; i < rows; ++i)
            q[i] = -dz[i * ld + t[i]];
        STORE_ROW(loss, 0, rows, FN(focus)(v_load(q), LOAD_ROW(loss, 0, rows, v_set1(0)), v_set1(parameter), &f));
        v_store(factor, f);
        for (ptrdiff_t i = 0; i < rows; ++i)
            for (ptrdiff_t j = 0; j < K; ++j)
                dz[i * ld + j] *= factor[i];
        return;
    }
    for (ptrdiff_t i = 0; i < rows; ++i, z += ld, dz += ld) {
        T sum = 0; /* of the margins z_t - z_j */
        for (ptrdiff_t j = 0; j < K; ++j) {
            sum += z[t[i]] - z[j];
            dz[j] -= parameter / (T)K;
        }
        loss[i] += parameter * (sum / (T)K);
        dz[t[i]] += parameter;
    }
}

static void FN(softmax_cross_entropy)(int kind, T parameter, int clips, T *loss, T *dz, const T *z, const int64_t *t, ptrdiff_t B,
                                      ptrdiff_t K, ptrdiff_t ld)
{
    for (ptrdiff_t i = 0; i < B; i += LANES) {
        const ptrdiff_t rows = B - i < LANES ? B - i : LANES;
        (K <= 16 ? FN(few_classes) : FN(many_classes))(loss + i, dz + i * ld, z + i * ld, t + i, rows, K, ld);
        if (parameter != 0)
            FN(shape_rows)(kind, parameter, loss + i, dz + i * ld, z + i * ld, t + i, rows, K, ld);
        if (clips)
            STORE_ROW(loss + i, 0, rows, FN(clipped)(LOAD_ROW(loss + i, 0, rows, v_set1(0))));
    }
}

/* Cross-entropy of one output, and its derivative. */
static ALWAYS_INLINE V FN(binary_term)(V z, V y, V *dz)
{
    const V zero = v_set1(0);
    const V below = v_select(m_eq(y, zero), zero, v_sub(zero, v_mul(z, y))); /* no -inf * 0 */
    const V lost = v_select(m_lt(zero, z), v_fnma(z, y, z), below);
    *dz = v_sub(FN(v_sigmoid)(z), y);
    return v_add(lost, FN(v_log1p_unit)(FN(v_exp)(v_sub(zero, v_abs(z)))));
}

/* Binary cross-entropy as scikit-learn tells it: of p = sigmoid(z), rounded, in [eps, 1 - eps], and of 1 - p as that is then. */
static ALWAYS_INLINE V FN(clipped_binary_term)(V z, V y)
{
    const V one = v_set1(1), least = v_set1(REAL_EPS), most = v_set1(1 - REAL_EPS);
    V p = FN(v_sigmoid)(z);
    p = v_select(m_lt(p, least), least, p);
    p = v_select(m_lt(most, p), most, p);
    return v_fnma(y, FN(v_log)(p), v_mul(v_sub(y, one), FN(v_log)(v_sub(one, p))));
}

/* One output's loss but for the squared error's, and its derivative. */
static ALWAYS_INLINE V FN(term)(const int kind, V p, V z, V y, V *dz)
{
    const V zero = v_set1(0), one = v_set1(1), d = v_sub(z, y), size = v_abs(d);
    const MASK above = m_lt(zero, d), below = m_lt(d, zero);
    V loss, f;
    switch (kind) {
    case FM_ABSOLUTE_ERROR:
        *dz = v_select(above, one, v_select(below, v_set1(-1), d));
        return size;
    case FM_HUBER:
        f = v_select(m_lt(p, d), p, d);
        *dz = v_select(m_lt(f, v_sub(zero, p)), v_sub(zero, p), f);
        return v_select(m_lt(p, size), v_mul(p, v_fnma(v_set1(0.5), p, size)), v_mul(v_mul(v_set1(0.5), d), d));
    case FM_QUANTILE:
        *dz = v_select(above, v_sub(one, p), v_select(below, v_sub(zero, p), d));
        return v_mul(*dz, d);
    case FM_POISSON:
        f = FN(v_exp)(z);
        *dz = v_sub(f, y);
        return v_add(*dz, v_select(m_eq(y, zero), zero, v_mul(y, v_sub(FN(v_log)(y), z))));
    case FM_BINARY_FOCAL:
        loss = FN(binary_term)(z, y, dz);
        loss = FN(focus)(v_abs(*dz), loss, p, &f);
        *dz = v_mul(*dz, f);
        return loss;
    default:
        return FN(binary_term)(z, v_fma(y, v_sub(one, p), v_mul(v_set1(0.5), p)), dz);
    }
}

/* The losses that are a sum over outputs of a term in z and y alone. Beyond K the term is 0: of z = y for those with a
 * difference; the others, whose targets are not negative, know the places by y = -1. Where there is one output, LANES rows lie
 * across a vector; its partial sum is the row's, as the others are 0. */
static ALWAYS_INLINE void FN(sum_loss)(const int kind, T parameter, const int clips, T *loss, T *dz, const T *z, const T *y,
                                       ptrdiff_t B, ptrdiff_t K, ptrdiff_t ld)
{
    const V zero = v_set1(0), p = v_set1(parameter);
    const T scale = kind == FM_SQUARED_ERROR ? (T)0.5 : 1;
    const int difference = kind == FM_SQUARED_ERROR || kind == FM_ABSOLUTE_ERROR || kind == FM_HUBER || kind == FM_QUANTILE;
    const ptrdiff_t most = K == 1 ? LANES : 1;
    for (ptrdiff_t i = 0, rows; i < B; i += rows, z += rows * ld, dz += rows * ld, y += rows * K) {
        T column[2][LANES];
        V partial[16 / LANES];
        rows = B - i < most ? B - i : most;
        for (ptrdiff_t r = 0; rows > 1 && r < rows; ++r)
            column[0][r] = z[r * ld];
        const T *const from = rows > 1 ? column[0] : z;
        T *const to = rows > 1 ? column[1] : dz;
        const ptrdiff_t n = rows > 1 ? rows : K;
        for (int v = 0; v < FN(PARTIALS); ++v)
            partial[v] = zero;
        for (ptrdiff_t j = 0; j < n; j += LANES) {
            const int v = (int)(j / LANES) % FN(PARTIALS);
            const V zj = LOAD_ROW(from, j, n, zero), yj = LOAD_ROW(y, j, n, difference ? zero : v_set1(-1));
            V d;
            if (kind == FM_SQUARED_ERROR) {
                d = v_sub(zj, yj);
                partial[v] = v_fma(d, d, partial[v]);
            } else {
                V term = FN(term)(kind, p, zj, yj, &d);
                if (clips)
                    term = FN(clipped_binary_term)(zj, v_fma(yj, v_sub(v_set1(1), p), v_mul(v_set1(0.5), p)));
                partial[v] = v_add(partial[v], difference ? term : v_clear(m_lt(yj, zero), term));
            }
            STORE_ROW(to, j, n, d);
        }
        if (rows == 1) {
            loss[i] = FN(fold)(partial) * scale;
            continue;
        }
        STORE_ROW(loss + i, 0, rows, v_mul(v_set1(scale), partial[0]));
        for (ptrdiff_t r = 0; r < rows; ++r)
            dz[r * ld] = column[1][r];
    }
}

#define SUM_LOSS(KIND, CLIPS)                                                                                          \
    FN(sum_loss)(KIND, parameter, CLIPS, loss, dz, z, y, B, K, ld);                                                    \
    break;
static void FN(loss_rows)(int kind, T parameter, int clips, T *loss, T *dz, const T *z, const void *y, ptrdiff_t B, ptrdiff_t K,
                          ptrdiff_t ld)
{
    switch (kind) {
    case FM_SOFTMAX_CROSS_ENTROPY:
    case FM_FOCAL:
        FN(softmax_cross_entropy)(kind, parameter, clips && kind != FM_FOCAL, loss, dz, z, y, B, K, ld);
        break;
    case FM_BINARY_CROSS_ENTROPY:
        if (clips) {
            SUM_LOSS(FM_BINARY_CROSS_ENTROPY, 1)
        }
        SUM_LOSS(FM_BINARY_CROSS_ENTROPY, 0)
    case FM_ABSOLUTE_ERROR:
        SUM_LOSS(FM_ABSOLUTE_ERROR, 0)
    case FM_HUBER:
        SUM_LOSS(FM_HUBER, 0)
    case FM_QUANTILE:
        SUM_LOSS(FM_QUANTILE, 0)
    case FM_POISSON:
        SUM_LOSS(FM_POISSON, 0)
    case FM_BINARY_FOCAL:
        SUM_LOSS(FM_BINARY_FOCAL, 0)
    default:
        SUM_LOSS(FM_SQUARED_ERROR, 0)
    }
}
#undef SUM_LOSS

static void FN(loss)(int kind, double parameter, void *loss, void *dz, const void *z, const void *y, ptrdiff_t B, ptrdiff_t K)
{
    FN(loss_rows)(kind, (T)parameter, 0, loss, dz, z, y, B, K, K);
}

/* The index of the first x that is NaN or infinite, n if there is none: x - x is 0 for finite x alone. */
static ptrdiff_t FN(first_not_finite)(const void *x_, ptrdiff_t n)
{
    enum { BLOCK = 1024 };
    const T *x = x_;
    ptrdiff_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        V sum[16 / LANES];
        for (int v = 0; v < FN(PARTIALS); ++v)
            sum[v] = v_set1(0);
        for (ptrdiff_t j = i; j < i + BLOCK; j += 16)
            for (int v = 0; v < FN(PARTIALS); ++v) {
                const V a = v_load(x + j + v * LANES);
                sum[v] = v_add(sum[v], v_sub(a, a));
            }
        if (FN(fold)(sum) != 0)
            break;
    }
    for (; i < n; ++i)
        if (x[i] - x[i] != 0)
            return i;
    return n;
}
