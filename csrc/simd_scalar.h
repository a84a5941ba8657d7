/* The vector verbs, one lane at a time: the oracle that every other ISA must equal bit for bit.
 *
 * A verb works for both element types: OP(name) is the type's spelling of an instruction, and the stamp (stamp.inl.h) says
 * which type is meant. v_ takes and gives vectors, m_ gives masks; comparisons are false for NaN. v_load_n reads the first
 * n lanes, 1 <= n <= LANES, and takes the others from a vector. v_clear(m, a) is 0 where m, else a; v_flush(a) is 0 where a
 * is subnormal; v_at_most(a, bound) is the bound, which is above 0, for a NaN too; m_bits(m) is an integer with a bit a lane.
 * v_spread(p) is v_set1(*p) for loops that are bound by loads of vectors, where an ISA has a way around them.
 * v_fma_half(a, b, sum) and v_set1_half(x) are v_fma and v_set1 in the first half of the lanes, whatever is in the others; v_half(a)
 * has 0 there. Only ISAs that define HALVES have these three.
 * FN(fm_transpose)(P, ldp, W, ldw, n) is the one verb on memory: P[k, j] <- W[j, k] for k < 4, j < LANES, where row n - 1 of
 * W stands for the rows from n on. No verb may round other than IEEE 754 does, so there are no reciprocal estimates, and no
 * other min or max, whose answers for NaN and for signed zeros differ between CPUs. */
#ifndef FASTMLP_SIMD_H
#define FASTMLP_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES sizeof(T)
#define OP_32(name) fm_##name##_f32
#define OP_64(name) fm_##name##_f64
#define V_32 float
#define V_64 double
#define MASK_32 int
#define MASK_64 int

#define v_load(p) (*(p))
#define v_store(p, a) ((void)(*(p) = (a)))
#define v_load_n(p, n, rest) ((void)(n), (void)(rest), *(p))
#define v_store_n(p, a, n) ((void)(n), (void)(*(p) = (a)))
#define v_set1(x) ((T)(x))
#define v_add(a, b) ((a) + (b))
#define v_sub(a, b) ((a) - (b))
#define v_mul(a, b) ((a) * (b))
#define v_div(a, b) ((a) / (b))
#define v_fma(a, b, c) OP(fma)(a, b, c)
#define v_fnma(a, b, c) OP(fma)(-(a), b, c)
#define v_sqrt(a) OP(sqrt)(a)
#define v_abs(a) OP(abs)(a)
#define v_select(m, a, b) ((m) ? (a) : (b))
#define v_bits_add(a, b) OP(bits_add)(a, b)
#define v_bits_sub(a, b) OP(bits_sub)(a, b)
#define v_bits_set1(x) OP(real)(x)
#define v_bits_and(a, b) OP(bits_and)(a, b)
#define v_bits_or(a, b) OP(bits_or)(a, b)
#define v_bits_shl(a, n) OP(bits_shl)(a, n)
#define v_bits_shr(a, n) OP(bits_shr)(a, n)
#define v_clear(m, a) ((m) ? 0 : (a))
#define v_at_most(a, bound) ((a) < (bound) ? (a) : (bound))
#define v_flush(a) v_clear(m_lt(v_abs(a), v_set1(REAL_MIN)), a)
#define m_lt(a, b) ((a) < (b))
#define m_le(a, b) ((a) <= (b))
#define m_eq(a, b) ((a) == (b))
#define m_bits(m) ((uint64_t)((m) != 0))

#define FM_SCALAR_VERBS(T, U, SUFFIX, FMA, SQRT, ABS)                                                                  \
    static inline U fm_bits_##SUFFIX(T a) { U u; memcpy(&u, &a, sizeof u); return u; }                                 \
    static inline T fm_real_##SUFFIX(U u) { T a; memcpy(&a, &u, sizeof a); return a; }                                 \
    static inline T fm_fma_##SUFFIX(T a, T b, T c) { return FMA(a, b, c); }                                            \
    static inline T fm_sqrt_##SUFFIX(T a) { return SQRT(a); }                                                          \
    static inline T fm_abs_##SUFFIX(T a) { return ABS(a); }                                                            \
    static inline T fm_bits_add_##SUFFIX(T a, T b) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) + fm_bits_##SUFFIX(b)); } \
    static inline T fm_bits_sub_##SUFFIX(T a, T b) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) - fm_bits_##SUFFIX(b)); } \
    static inline T fm_bits_and_##SUFFIX(T a, T b) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) & fm_bits_##SUFFIX(b)); } \
    static inline T fm_bits_or_##SUFFIX(T a, T b) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) | fm_bits_##SUFFIX(b)); }  \
    static inline T fm_bits_shl_##SUFFIX(T a, int n) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) << n); }            \
    static inline T fm_bits_shr_##SUFFIX(T a, int n) { return fm_real_##SUFFIX(fm_bits_##SUFFIX(a) >> n); }
FM_SCALAR_VERBS(float, uint32_t, f32, fmaf, sqrtf, fabsf)
FM_SCALAR_VERBS(double, uint64_t, f64, fma, sqrt, fabs)

static inline void fm_transpose_32(float *P, ptrdiff_t ldp, const float *W, ptrdiff_t ldw, ptrdiff_t n)
{
    (void)ldw, (void)n;
    for (int k = 0; k < 4; ++k)
        P[k * ldp] = W[k];
}
static inline void fm_transpose_64(double *P, ptrdiff_t ldp, const double *W, ptrdiff_t ldw, ptrdiff_t n)
{
    (void)ldw, (void)n;
    for (int k = 0; k < 4; ++k)
        P[k * ldp] = W[k];
}

/* Register tiles: rows of a tile that is 1, 2 or 4 vectors wide, and the width in vectors of the one-row kernel. */
#define TILE_ROWS_1 4
#define TILE_ROWS_2 4
#define TILE_ROWS_4 4
#define ROW_VECTORS 8

#define ISA_BEGIN
#define ISA_END
#endif
