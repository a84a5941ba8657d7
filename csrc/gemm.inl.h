/* The matrix products: one register tile, its loops, and the packing of what a tile cannot read in place.
 *
 *   C (M, N) = sum_k A(i, k) B[k, :]      A(i, k) = A[i * ai + k * ak], B (K, N) row-major, vectors across N
 *
 * forward: A = X, B = W.    dW: A = X transposed (ai = 1), B = dz.    dX: A = dz, B = W transposed, packed.
 * Few outputs: the same for C transposed, so that rows lie across vectors.
 * A column panel of B stays in cache. A sum may be interrupted only to go on in C where it was (onto). Nothing here knows of
 * layers.
 *
 * The sums of a layer that can be trained start at SUM_START, next to nothing, and give it back at their end; what is then
 * below twice that is 0, as an exact 0 may have been lost in the sum before. So a sum of tiny products stays normal on its
 * way: subnormal sums cost Intel's CPUs a hundredfold. And none ends as -0, so that a product with 0 may be skipped.
 * The price: where the first product lies halfway between two numbers, it is rounded up. */

typedef struct {
    int kind;       /* of enum fm_finish */
    int onto;       /* C holds the sum so far: go on from there */
    const T *bias;  /* (N,) or NULL */
    const T *h;     /* what WHERE_ACTIVE looks at, rows ldh apart */
    ptrdiff_t ldh;
    const T *const *soon; /* (M + FM_SOON,) rows of K elements to fetch into the cache meanwhile, or NULL */
    const T *also;        /* (M, N), ldc apart, to fetch where soon is NULL, by sparse_gemm alone; or NULL */
} FN(epilogue);

static ptrdiff_t FN(vectors)(ptrdiff_t n) /* n columns in whole vectors: what is computed of a padded row */
{
    return (n + LANES - 1) / LANES * LANES;
}

static ALWAYS_INLINE T FN(start)(int kind) { return kind < FM_PARTIAL ? 0 : SUM_START; }

static int FN(partial)(int kind) { return kind < FM_PARTIAL ? FM_SUM : FM_PARTIAL; } /* of a sum that will go on */

static ALWAYS_INLINE V FN(finish)(const int kind, V sum, V bias, const T *C, const T *h)
{
    const V zero = v_set1(0), least = v_set1(2 * SUM_START);
    if (kind == FM_SUM || kind == FM_PARTIAL)
        return sum;
    if (kind == FM_AFFINE)
        return v_add(v_add(sum, bias), zero);
    sum = v_sub(sum, v_set1(SUM_START));
    if (kind == FM_LAYER || kind == FM_LAYER_RELU)
        sum = v_add(sum, bias);
    sum = v_clear(m_lt(kind == FM_LAYER_RELU ? sum : v_abs(sum), least), sum);
    if (kind == FM_WHERE_ACTIVE)
        return v_select(m_lt(zero, v_load(h)), sum, zero);
    if (kind == FM_TIMES_SLOPE)
        return FN(flush)(v_mul(v_load(C), sum));
    return sum;
}

/* The finished sums of mr rows by nv vectors, of which a row has room for so many. h is NULL where the kind is none of
 * dz: then there is no code for those, which would be half of what tiles that skip zeros take. */
static ALWAYS_INLINE void FN(store_sums)(const ptrdiff_t mr, const ptrdiff_t nv, const ptrdiff_t room, T *C, ptrdiff_t ldc,
                                         const V *sum, const T *h, const FN(epilogue) *e, ptrdiff_t j0)
{
    V bias[FM_SPARSE_VECTORS];
    UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
        bias[v] = e->bias ? v_load(e->bias + j0 + v * LANES) : v_set1(0);
#define FINISH(KIND)                                                                                                   \
    case KIND:                                                                                                         \
        UNROLL for (ptrdiff_t i = 0; i < mr; ++i)                                                                      \
            UNROLL for (ptrdiff_t v = 0; v < nv; ++v) {                                                                \
                T *c = C + i * ldc + v * LANES;                                                                        \
                v_store(c, FN(finish)(KIND, sum[i * room + v], bias[v], c, h ? h + i * e->ldh + v * LANES : c));      \
            }                                                                                                          \
        break;
    switch (e->kind) { /* once a tile, not once a sum */
        case FM_SUM: /* as FM_PARTIAL */
        FINISH(FM_PARTIAL) FINISH(FM_AFFINE) FINISH(FM_GRADIENT) FINISH(FM_LAYER) FINISH(FM_LAYER_RELU)
    default:
        if (h)
            switch (e->kind) {
                FINISH(FM_WHERE_ACTIVE) FINISH(FM_TIMES_SLOPE)
            }
    }
#undef FINISH
}

/* sum (mr, 4) <- sum + A B, of mr rows by nv vectors. The constant `half`: of the one vector half is padding, and ends as 0. Rows of
 * A are reached from every third one, so that the addresses fit the registers. */
static ALWAYS_INLINE void FN(sum_tile)(const ptrdiff_t mr, const ptrdiff_t nv, const int half, const int fetch, ptrdiff_t K,
                                       V *sum, const T *A, ptrdiff_t ai, ptrdiff_t ak, const T *B, ptrdiff_t ldb,
                                       const T *const *soon)
{
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(T);
    const T *a[(TILE_ROWS_1 + 2) / 3];
    UNROLL for (ptrdiff_t i = 0; i < mr; i += 3)
        a[i / 3] = A + i * ai;
    for (ptrdiff_t k = 0; k < K; ++k) {
        V b[4];
        UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
            b[v] = v_load(B + v * LANES);
        if (fetch == FM_FETCH_ROWS) /* a line of one row of M each time */
            PREFETCH(soon[k % FM_SOON] + k / FM_SOON * line);
        for (ptrdiff_t n = 0; fetch == FM_FETCH_PANEL && n < nv * LANES; n += line)
            PREFETCH(B + nv * LANES + n);
        UNROLL for (ptrdiff_t i = 0; i < mr; ++i) {
            const T *const x = a[i / 3] + (i % 3) * ai;
            UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
                sum[4 * i + v] = half ? v_fma_half(v_set1_half(*x), b[v], sum[4 * i + v])
                                      : v_fma(v_set1(*x), b[v], sum[4 * i + v]);
        }
        UNROLL for (ptrdiff_t i = 0; i < mr; i += 3)
            a[i / 3] += ak;
        B += ldb;
    }
    UNROLL for (ptrdiff_t i = 0; half && i < mr; ++i)
        sum[4 * i] = v_half(sum[4 * i]);
}

/* One tile of mr rows by nv vectors, these and fetch constants where this is inlined; half is not, so that two loops share the
 * code that finishes sums, which is most of a tile's. */
static ALWAYS_INLINE void FN(tile)(const ptrdiff_t mr, const ptrdiff_t nv, const int fetch, int half, ptrdiff_t K, T *C,
                                   ptrdiff_t ldc, const T *A, ptrdiff_t ai, ptrdiff_t ak, const T *B, ptrdiff_t ldb,
                                   const FN(epilogue) *e, ptrdiff_t i0, ptrdiff_t j0)
{
    const V start = v_set1(FN(start)(e->kind));
    V sum[TILE_ROWS_1 * 4];
    const T *h = e->h ? e->h + i0 * e->ldh + j0 : C;
    UNROLL for (ptrdiff_t i = 0; i < mr; ++i)
        UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
            sum[4 * i + v] = start;
    if (e->onto)
        UNROLL for (ptrdiff_t i = 0; i < mr; ++i)
            UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
                sum[4 * i + v] = v_load(C + i * ldc + v * LANES);
    if (HALVES && nv == 1 && half)
        FN(sum_tile)(mr, nv, 1, fetch, K, sum, A, ai, ak, B, ldb, NULL);
    else
        FN(sum_tile)(mr, nv, 0, fetch, K, sum, A, ai, ak, B, ldb, fetch == FM_FETCH_ROWS ? e->soon + i0 : NULL);
    FN(store_sums)(mr, nv, 4, C, ldc, sum, h, e, j0);
}

/* All rows of one column panel, nv vectors wide. Tiles are as equal in height as they can be: a last tile of one row would
 * cost nearly as much as a full one. */
#define TILE(NV, FETCH, ROWS)                                                                                          \
    case ROWS:                                                                                                         \
        FN(tile)(ROWS, NV, FETCH, half, K, C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, e, i, j);                     \
        break;
#define PANEL(NAME, NV, FETCH, MOST, TILES)                                                                            \
    static NEVER_INLINE void FN(NAME)(ptrdiff_t M, ptrdiff_t K, T *C, ptrdiff_t ldc, const T *A, ptrdiff_t ai,         \
                                            ptrdiff_t ak, const T *B, ptrdiff_t ldb, const FN(epilogue) *e,            \
                                            ptrdiff_t j, int half)                                                     \
    {                                                                                                                  \
        ptrdiff_t tiles = (M + MOST - 1) / MOST;                                                                       \
        for (ptrdiff_t i = 0, rows; i < M; i += rows, --tiles) {                                                       \
            rows = (M - i + tiles - 1) / tiles;                                                                        \
            switch (rows) {                                                                                            \
                TILES(NV, FETCH)                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }
PANEL(panel_1, 1, FM_FETCH_NOTHING, TILE_ROWS_1, JOIN(TILES_, TILE_ROWS_1))
PANEL(panel_2, 2, FM_FETCH_NOTHING, TILE_ROWS_2, JOIN(TILES_, TILE_ROWS_2))
PANEL(panel_4, 4, FM_FETCH_NOTHING, TILE_ROWS_4, JOIN(TILES_, TILE_ROWS_4))
PANEL(panel_2_rows, 2, FM_FETCH_ROWS, TILE_ROWS_2, JOIN(HIGH_TILES_, TILE_ROWS_2)) /* M at least half a full tile */
PANEL(panel_2_ahead, 2, FM_FETCH_PANEL, TILE_ROWS_2, JOIN(HIGH_TILES_, TILE_ROWS_2))
#undef PANEL

/* C (M, N) <- A B, where rows of B and C have room for whole vectors. Column panels outermost: their part of B stays in cache
 * for all rows. Few rows take the widest panels, where one row alone still keeps enough sums in flight; so do rows of A that
 * lie a multiple of 2 kB apart, of which an L1 cache of 8 ways cannot hold one line each for a high tile. Of a large B the
 * next panel is fetched meanwhile: it may be beyond L2, or in the cache of the core that wrote it. A last vector that is half
 * padding is a panel by itself, but for few rows. */
static void FN(gemm)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, T *C, ptrdiff_t ldc, const T *A, ptrdiff_t ai, ptrdiff_t ak,
                     const T *B, ptrdiff_t ldb, const FN(epilogue) *e)
{
    const ptrdiff_t wide = M <= TILE_ROWS_4 || (ak == 1 && ai * (ptrdiff_t)sizeof(T) % 2048 == 0) ? 4 : 2;
    const int high = 2 * M >= TILE_ROWS_2, far = high && K * ldb * (ptrdiff_t)sizeof(T) > FM_FAR;
    const int half = HALVES && M > TILE_ROWS_4 && N % LANES > 0 && N % LANES <= LANES / 2;
    for (ptrdiff_t j = 0; j < N;) {
        const ptrdiff_t vectors = (N - j + LANES - 1) / LANES;
        if (vectors >= 4 && wide == 4) {
            FN(panel_4)(M, K, C + j, ldc, A, ai, ak, B + j, ldb, e, j, 0);
            j += 4 * LANES;
        } else if (vectors >= 2 + half) {
            (high && e->soon && !j ? FN(panel_2_rows) : far ? FN(panel_2_ahead) : FN(panel_2))
                (M, K, C + j, ldc, A, ai, ak, B + j, ldb, e, j, 0);
            j += 2 * LANES;
        } else {
            FN(panel_1)(M, K, C + j, ldc, A, ai, ak, B + j, ldb, e, j, half && vectors == 1);
            j += LANES;
        }
    }
}

/* bits (fm_words(n),): which of x (n,) are not 0. x goes to copy too, unless NULL. */
static NEVER_INLINE void FN(mark_nonzeros)(uint64_t *bits, T *copy, const T *x, ptrdiff_t n)
{
    const V zero = v_set1(0);
    for (ptrdiff_t i = 0; i < n; i += 64) {
        uint64_t zeros = 0;
        if (n - i >= 64) {
            UNROLL for (ptrdiff_t k = 0; k < 64; k += LANES) {
                const V a = v_load(x + i + k);
                zeros |= m_bits(m_eq(a, zero)) << k;
                if (copy)
                    v_store(copy + i + k, a);
            }
            *bits++ = ~zeros;
            continue;
        }
        for (ptrdiff_t k = 0; i + k < n; k += LANES) {
            const V a = LOAD_ROW(x, i + k, n, zero);
            zeros |= m_bits(m_eq(a, zero)) << k;
            if (copy)
                STORE_ROW(copy, i + k, n, a);
        }
        *bits = ~zeros & (((uint64_t)1 << (n - i)) - 1);
    }
}

#if BITS == 32 /* once for both types */
/* Bit i of word j becomes bit j of word i. A stage lets one bit of j change places with one of i, and turns j by a bit, so that
 * all six have the same order of words, in whole vectors. */
static void fm_transpose_bits(uint64_t word[64])
{
    uint64_t other[64];
#define STAGE(TO, FROM, WIDTH, LOW)                                                                                    \
    for (int j = 0; j < 32; ++j) {                                                                                     \
        const uint64_t low = LOW, even = FROM[2 * j], odd = FROM[2 * j + 1];                                           \
        TO[j] = (even & low) | (odd & low) << WIDTH;                                                                   \
        TO[j + 32] = (even >> WIDTH & low) | (odd & ~low);                                                             \
    }
    STAGE(other, word, 1, 0x5555555555555555)
    STAGE(word, other, 2, 0x3333333333333333)
    STAGE(other, word, 4, 0x0F0F0F0F0F0F0F0F)
    STAGE(word, other, 8, 0x00FF00FF00FF00FF)
    STAGE(other, word, 16, 0x0000FFFF0000FFFF)
    STAGE(word, other, 32, 0x00000000FFFFFFFF)
#undef STAGE
}
#endif

/* One row of C, nv vectors wide, or half a vector less if `half`, from those k of A that are not 0: their bits are in so many
 * words. Meanwhile some elements are fetched, to L2 as L1 is busy with B, and a little with each row: all at once, they would
 * be waited for. */
static ALWAYS_INLINE void FN(sparse_tile)(const ptrdiff_t nv, const int half, T *C, const T *A, ptrdiff_t ak,
                                          const uint64_t *bits, ptrdiff_t words, const T *B, ptrdiff_t ldb,
                                          const FN(epilogue) *e, ptrdiff_t j, const T *fetch, ptrdiff_t elements)
{
    V sum[FM_SPARSE_VECTORS];
    for (ptrdiff_t f = 0; f < elements; f += 64 / (ptrdiff_t)sizeof(T))
        PREFETCH_L2(fetch + f);
    UNROLL for (ptrdiff_t v = 0; v < nv; ++v)
        sum[v] = e->onto ? v_load(C + v * LANES) : v_set1(FN(start)(e->kind));
    for (ptrdiff_t w = 0; w < words; ++w, A += 64 * ak, B += 64 * ldb)
        for (uint64_t left = bits[w]; left; left &= left - 1) {
            const ptrdiff_t k = __builtin_ctzll(left);
            const V a = v_spread(A + k * ak);
            const T *b = B + k * ldb;
            UNROLL for (ptrdiff_t v = 0; v < nv - half; ++v)
                sum[v] = v_fma(a, v_load(b + v * LANES), sum[v]);
            if (half)
                sum[nv - 1] = v_fma_half(a, v_load(b + (nv - 1) * LANES), sum[nv - 1]);
        }
    if (half)
        sum[nv - 1] = v_half(sum[nv - 1]);
    FN(store_sums)(1, nv, nv, C, 0, sum, NULL, e, j);
}

/* C (M, N) <- A B as gemm has it, without the products whose A(i, k) is 0: words of bits, bi apart, tell of each row of A.
 * Many rows of B are taken a few words of k at a time, which stay in an L1 cache for all rows of A. N of FM_SPARSE_OUTPUTS or
 * more are at least 4 vectors of any ISA, and are cut into panels of 4 to 8. C has room for whole vectors. */
static void FN(sparse_gemm)(ptrdiff_t M, ptrdiff_t N, T *C, ptrdiff_t ldc, const T *A, ptrdiff_t ai, ptrdiff_t ak,
                            const uint64_t *bits, ptrdiff_t bi, ptrdiff_t words, const T *B, ptrdiff_t ldb,
                            const FN(epilogue) *e)
{
    _Static_assert(FM_SPARSE_OUTPUTS > 3 * LANES, "a panel has at least 4 vectors");
    const int half = HALVES && N % LANES > 0 && N % LANES <= LANES / 2;
#define SPARSE_PANEL(NV, HALF)                                                                                         \
    case 2 * NV + HALF:                                                                                                \
        for (ptrdiff_t i = 0; i < M; ++i)                                                                              \
            FN(sparse_tile)(NV, HALF, C + i * ldc + j, A + i * ai + k * ak, ak, bits + i * bi + w, n, B + k * ldb + j, \
                            ldb, &part, j, e->soon ? e->soon[i] + k : e->also ? e->also + i * ldc : C, fetched);       \
        break;
    for (ptrdiff_t j = 0, vectors = (N + LANES - 1) / LANES, nv; vectors; j += nv * LANES, vectors -= nv) {
        const ptrdiff_t panels = (vectors + FM_SPARSE_VECTORS - 1) / FM_SPARSE_VECTORS;
        nv = (vectors + panels - 1) / panels;
        const ptrdiff_t most = M == 1 || words * nv <= 2 * FM_SPARSE_VECTORS ? words : FM_SPARSE_VECTORS / nv;
        for (ptrdiff_t w = 0, n; w < words; w += n) {
            const ptrdiff_t k = 64 * w;
            FN(epilogue) part = *e;
            n = words - w < most ? words - w : most;
            part.onto |= w > 0;
            part.kind = w + n == words ? e->kind : FN(partial)(e->kind);
            const ptrdiff_t fetched = j ? 0 : e->soon ? 64 * n : e->also ? N : 0;
            switch (2 * nv + (half && nv == vectors)) {
                SPARSE_PANEL(4, 0) SPARSE_PANEL(5, 0) SPARSE_PANEL(6, 0) SPARSE_PANEL(7, 0) SPARSE_PANEL(8, 0)
#if HALVES
                SPARSE_PANEL(4, 1) SPARSE_PANEL(5, 1) SPARSE_PANEL(6, 1) SPARSE_PANEL(7, 1) SPARSE_PANEL(8, 1)
#endif
            }
        }
    }
#undef SPARSE_PANEL
}

/* P (K, columns) with rows ld apart <- B(k, j) = W[k * W_k + j * W_j], zeros up to the next whole vector. Meanwhile it fetches
 * (columns,) rows of K elements, unless soon is NULL. */
static void FN(pack)(T *P, ptrdiff_t ld, const T *W, ptrdiff_t W_k, ptrdiff_t W_j, ptrdiff_t K, ptrdiff_t columns,
                     const T *const *soon)
{
    const ptrdiff_t whole = columns / LANES * LANES, rest = columns - whole;
    const ptrdiff_t transposed = W_k == 1 ? K / 4 * 4 : 0; /* by blocks of 4 x LANES: then a line of W serves 16 of k */
    for (ptrdiff_t k0 = 0; k0 < transposed; k0 += 16) {
        const ptrdiff_t k1 = transposed - k0 < 16 ? transposed : k0 + 16;
        for (ptrdiff_t j = 0; soon && j < columns; ++j)
            PREFETCH(soon[j] + k0);
        for (ptrdiff_t j = 0; j < columns; j += LANES)
            for (ptrdiff_t k = k0; k < k1; k += 4)
                FN(fm_transpose)(P + k * ld + j, ld, W + k + j * W_j, W_j, columns - j < LANES ? columns - j : LANES);
    }
    for (ptrdiff_t k = transposed; k < K; ++k)
        for (ptrdiff_t j = 0; j < columns; ++j)
            P[k * ld + j] = W[k * W_k + j * W_j];
    for (ptrdiff_t k = 0; rest && k < K; ++k)
        v_store(P + k * ld + whole, v_load_n(P + k * ld + whole, rest, v_set1(0)));
}

/* Whether so few columns waste most of a vector: then rows go across vectors instead, which pays for transposing A. */
static int FN(is_narrow)(ptrdiff_t N)
{
    return 4 * N <= LANES;
}

/* The columns 0..N of C (M, N) <- A B for few columns: C^T = B^T A^T, 64 rows at a time. Each sum runs as in gemm.
 * scratch: fm_matmul_scratch(K) elements. */
static void FN(narrow)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, T *C, ptrdiff_t ldc, const T *A, ptrdiff_t lda, const T *B,
                       ptrdiff_t ldb, const FN(epilogue) *e, T *scratch)
{
    T *const across = scratch, *const packed = across + FM_PANEL * FM_PANEL;
    const FN(epilogue) raw = {.kind = FN(partial)(e->kind)};
    for (ptrdiff_t i = 0, rows; i < M; i += rows) {
        rows = M - i < FM_PANEL ? M - i : FM_PANEL;
        const ptrdiff_t width = FN(vectors)(rows);
        FN(pack)(packed, width, A + i * lda, 1, lda, K, rows, e->soon ? e->soon + i : NULL);
        FN(gemm)(N, width, K, across, width, B, 1, ldb, packed, width, &raw);
        for (ptrdiff_t n = 0; n < N; ++n) {
            const V bias = v_set1(e->bias ? e->bias[n] : 0);
            for (ptrdiff_t r = 0; r < width; r += LANES)
                v_store(packed + r, FN(finish)(e->kind, v_load(across + n * width + r), bias, packed, packed));
            for (ptrdiff_t r = 0; r < rows; ++r)
                C[(i + r) * ldc + n] = packed[r];
        }
    }
}

/* C (M, N) <- A B for any N and any strides of B. A column panel is packed where B cannot be read in vectors. A last panel
 * narrower than whole vectors is computed beside C and copied, unless the rows of C have room for it (padded). Then too
 * C and h may be read by the epilogue. Packed too is a panel that many rows read, and one whose rows all begin in a few sets of
 * the cache. Never inlined: copies in its callers would add 1 % to the wheel. scratch: fm_matmul_scratch(K) elements. */
static NEVER_INLINE void FN(product)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, T *C, ptrdiff_t ldc, int padded, const T *A,
                                     ptrdiff_t ai, ptrdiff_t ak, const T *B, ptrdiff_t B_k, ptrdiff_t B_j,
                                     FN(epilogue) e, T *scratch)
{
    T *const beside = scratch, *const bias = beside + FM_PANEL * FM_PANEL, *const packed = bias + FM_PANEL;
    const FN(epilogue) all = e;
    for (ptrdiff_t j = 0; j < N; j += FM_PANEL) {
        const ptrdiff_t columns = N - j < FM_PANEL ? N - j : FM_PANEL;
        const ptrdiff_t width = FN(vectors)(columns);
        const T *panel = B + j * B_j;
        ptrdiff_t ld = B_k;
        const int same_sets = B_k * (ptrdiff_t)sizeof(T) % 1024 == 0 && M >= 32 && K >= 32, many = M >= 512;
        if (B_j != 1 || width > columns || same_sets || many) {
            FN(pack)(packed, width, panel, B_k, B_j, K, columns, NULL);
            panel = packed, ld = width;
        }
        if (all.bias)
            e.bias = all.bias + j;
        if (all.bias && width > columns) {
            memset(bias + columns, 0, (size_t)(width - columns) * sizeof(T));
            memcpy(bias, all.bias + j, (size_t)columns * sizeof(T));
            e.bias = bias;
        }
        if (all.h)
            e.h = all.h + j;
        if (padded || width == columns) {
            FN(gemm)(M, columns, K, C + j, ldc, A, ai, ak, panel, ld, &e);
            continue;
        }
        for (ptrdiff_t i = 0; i < M; i += FM_PANEL) {
            const ptrdiff_t rows = M - i < FM_PANEL ? M - i : FM_PANEL;
            FN(gemm)(rows, columns, K, beside, width, A + i * ai, ai, ak, panel, ld, &e);
            for (ptrdiff_t r = 0; r < rows; ++r)
                memcpy(C + (i + r) * ldc + j, beside + r * width, (size_t)columns * sizeof(T));
        }
    }
}

/* Y (B, O) = r(X W^T + b) with W (O, I) of any strides. */
static void FN(matmul)(int activation, void *Y, const void *X, const void *W, const void *b, ptrdiff_t B, ptrdiff_t I,
                       ptrdiff_t O, ptrdiff_t W_row, ptrdiff_t W_column, void *scratch)
{
    const FN(epilogue) e = {.kind = FM_AFFINE, .bias = b};
    FN(product)(B, O, I, Y, O, 0, X, I, 1, W, W_column, W_row, e, scratch);
    if (activation != FM_IDENTITY)
        FN(map)(activation, Y, NULL, Y, B * O, 0);
}

/* dW (O, I) = dz^T X, db (O,) = sum of the rows of dz. */
static void FN(outer_gradient)(void *dW, void *db, const void *dz, const void *X, ptrdiff_t B, ptrdiff_t O, ptrdiff_t I,
                               void *scratch)
{
    const FN(epilogue) raw = {.kind = FM_SUM};
    const T one = 1;
    FN(product)(O, I, B, dW, I, 0, dz, 1, O, X, I, 1, raw, scratch);
    FN(product)(1, O, B, db, O, 0, &one, 0, 0, dz, O, 1, raw, scratch);
}
