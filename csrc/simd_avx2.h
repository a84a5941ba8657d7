/* The vector verbs in AVX2 with FMA; what each means is said in simd_scalar.h. */
#ifndef FASTMLP_SIMD_H
#define FASTMLP_SIMD_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_BYTES 32
#define OP_32(name) _mm256_##name##_ps
#define OP_64(name) _mm256_##name##_pd
#define IOP_32(name) _mm256_##name##_epi32
#define IOP_64(name) _mm256_##name##_epi64
#define SET_BITS JOIN(SET_BITS_, BITS)
#define SET_BITS_32 _mm256_set1_epi32
#define SET_BITS_64 _mm256_set1_epi64x
#define INT_32(a) _mm256_castps_si256(a)
#define INT_64(a) _mm256_castpd_si256(a)
#define REAL_32(a) _mm256_castsi256_ps(a)
#define REAL_64(a) _mm256_castsi256_pd(a)
#define V_32 __m256
#define V_64 __m256d
#define MASK_32 __m256
#define MASK_64 __m256d

/* A window that starts n lanes before the middle of this table selects the first n lanes. */
static const int32_t fm_lanes_32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
static const int64_t fm_lanes_64[8] = {-1, -1, -1, -1};
#define FIRST(n) _mm256_loadu_si256((const __m256i *)(JOIN(fm_lanes_, BITS) + LANES - (n)))

#define v_load(p) OP(loadu)(p)
#define v_store(p, a) OP(storeu)(p, a)
#define v_load_n(p, n, rest) OP(blendv)(rest, OP(maskload)(p, FIRST(n)), REAL(FIRST(n)))
#define v_store_n(p, a, n) OP(maskstore)(p, FIRST(n), a)
#define v_set1(x) OP(set1)((T)(x))
#define v_add(a, b) OP(add)(a, b)
#define v_sub(a, b) OP(sub)(a, b)
#define v_mul(a, b) OP(mul)(a, b)
#define v_div(a, b) OP(div)(a, b)
#define v_fma(a, b, c) OP(fmadd)(a, b, c)
#define v_fnma(a, b, c) OP(fnmadd)(a, b, c)
#define v_sqrt(a) OP(sqrt)(a)
#define v_abs(a) OP(andnot)(v_set1(-0.0), a)
#define v_select(m, a, b) OP(blendv)(b, a, m)
#define v_bits_add(a, b) REAL(IOP(add)(INT(a), INT(b)))
#define v_bits_sub(a, b) REAL(IOP(sub)(INT(a), INT(b)))
#define v_bits_set1(x) REAL(SET_BITS(x))
#define v_bits_and(a, b) OP(and)(a, b)
#define v_bits_or(a, b) OP(or)(a, b)
#define v_bits_shl(a, n) REAL(IOP(slli)(INT(a), n))
#define v_bits_shr(a, n) REAL(IOP(srli)(INT(a), n))
#define v_clear(m, a) OP(andnot)(m, a)
#define v_at_most(a, bound) OP(min)(a, bound)
#define v_flush(a) v_clear(m_lt(v_abs(a), v_set1(REAL_MIN)), a)
#define m_lt(a, b) OP(cmp)(a, b, _CMP_LT_OQ)
#define m_le(a, b) OP(cmp)(a, b, _CMP_LE_OQ)
#define m_eq(a, b) OP(cmp)(a, b, _CMP_EQ_OQ)
#define m_bits(m) ((uint64_t)OP(movemask)(m))

/* 16 registers: 12 accumulators, two vectors of B, one broadcast of A. */
#define TILE_ROWS_1 10
#define TILE_ROWS_2 6
#define TILE_ROWS_4 3
#define ROW_VECTORS 8

#if defined(__clang__)
#define ISA_BEGIN _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define ISA_END _Pragma("clang attribute pop")
#else
#define ISA_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define ISA_END _Pragma("GCC pop_options")
#endif

ISA_BEGIN
#define ROW(j) (W + ((j) < n ? (j) : n - 1) * ldw)
static inline void fm_transpose_32(float *P, ptrdiff_t ldp, const float *W, ptrdiff_t ldw, ptrdiff_t n)
{
    __m256 row[4], low[2], high[2]; /* row[i]: four of row i, then of row i + 4 */
    for (int i = 0; i < 4; ++i)
        row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(ROW(i))), _mm_loadu_ps(ROW(i + 4)), 1);
    for (int i = 0; i < 2; ++i) {
        low[i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
        high[i] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
    }
    _mm256_storeu_ps(P, _mm256_shuffle_ps(low[0], low[1], 0x44));
    _mm256_storeu_ps(P + ldp, _mm256_shuffle_ps(low[0], low[1], 0xEE));
    _mm256_storeu_ps(P + 2 * ldp, _mm256_shuffle_ps(high[0], high[1], 0x44));
    _mm256_storeu_ps(P + 3 * ldp, _mm256_shuffle_ps(high[0], high[1], 0xEE));
}
static inline void fm_transpose_64(double *P, ptrdiff_t ldp, const double *W, ptrdiff_t ldw, ptrdiff_t n)
{
    for (int k = 0; k < 4; k += 2) { /* row[i]: two of row i, then of row i + 2 */
        __m256d row[2];
        for (int i = 0; i < 2; ++i)
            row[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(ROW(i) + k)), _mm_loadu_pd(ROW(i + 2) + k), 1);
        _mm256_storeu_pd(P + k * ldp, _mm256_unpacklo_pd(row[0], row[1]));
        _mm256_storeu_pd(P + (k + 1) * ldp, _mm256_unpackhi_pd(row[0], row[1]));
    }
}
#undef ROW
ISA_END
#endif
