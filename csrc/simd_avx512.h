/* The vector verbs in AVX-512 (F, DQ, VL); what each means is said in simd_scalar.h. */
#ifndef FASTMLP_SIMD_H
#define FASTMLP_SIMD_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 64
#define OP_32(name) _mm512_##name##_ps
#define OP_64(name) _mm512_##name##_pd
#define MOP_32(name) _mm512_##name##_ps_mask
#define MOP_64(name) _mm512_##name##_pd_mask
#define IOP_32(name) _mm512_##name##_epi32
#define IOP_64(name) _mm512_##name##_epi64
#define INT_32(a) _mm512_castps_si512(a)
#define INT_64(a) _mm512_castpd_si512(a)
#define REAL_32(a) _mm512_castsi512_ps(a)
#define REAL_64(a) _mm512_castsi512_pd(a)
#define V_32 __m512
#define V_64 __m512d
#define MASK_32 __mmask16
#define MASK_64 __mmask8

#define FIRST(n) ((MASK)((1u << (n)) - 1))

#define v_load(p) OP(loadu)(p)
#define v_store(p, a) OP(storeu)(p, a)
#define v_load_n(p, n, rest) OP(mask_loadu)(rest, FIRST(n), p)
#define v_store_n(p, a, n) OP(mask_storeu)(p, FIRST(n), a)
#define v_set1(x) OP(set1)((T)(x))
#define v_spread(p) JOIN(fm_spread_, BITS)(p)
#define v_add(a, b) OP(add)(a, b)
#define v_sub(a, b) OP(sub)(a, b)
#define v_mul(a, b) OP(mul)(a, b)
#define v_div(a, b) OP(div)(a, b)
#define v_fma(a, b, c) OP(fmadd)(a, b, c)
#define v_fnma(a, b, c) OP(fnmadd)(a, b, c)
#define v_sqrt(a) OP(sqrt)(a)
#define v_abs(a) OP(abs)(a)
#define v_select(m, a, b) OP(mask_blend)(m, b, a)
#define v_bits_add(a, b) REAL(IOP(add)(INT(a), INT(b)))
#define v_bits_sub(a, b) REAL(IOP(sub)(INT(a), INT(b)))
#define v_bits_set1(x) REAL(IOP(set1)(x))
#define v_bits_and(a, b) REAL(IOP(and)(INT(a), INT(b)))
#define v_bits_or(a, b) REAL(IOP(or)(INT(a), INT(b)))
#define v_bits_shl(a, n) REAL(IOP(slli)(INT(a), n))
#define v_bits_shr(a, n) REAL(IOP(srli)(INT(a), n))
#define v_clear(m, a) OP(mask_mov)(a, m, v_set1(0))
#define v_at_most(a, bound) OP(min)(a, bound)
/* class 0x26: subnormal, and both zeros, as the other ISAs too make +0 of -0 */
#define v_flush(a) v_clear(MOP(fpclass)(a, 0x26), a)
#define m_lt(a, b) MOP(cmp)(a, b, _CMP_LT_OQ)
#define m_le(a, b) MOP(cmp)(a, b, _CMP_LE_OQ)
#define m_eq(a, b) MOP(cmp)(a, b, _CMP_EQ_OQ)
#define m_bits(m) ((uint64_t)(m))

/* Half a vector costs half as much where the CPU's own are of 256 bits (Zen 4), and no more elsewhere. */
#define HALVES 1
#define HALF_32(a) _mm512_castps512_ps256(a)
#define HALF_64(a) _mm512_castpd512_pd256(a)
#define v_fma_half_32(a, b, sum) _mm512_castps256_ps512(_mm256_fmadd_ps(HALF_32(a), HALF_32(b), HALF_32(sum)))
#define v_fma_half_64(a, b, sum) _mm512_castpd256_pd512(_mm256_fmadd_pd(HALF_64(a), HALF_64(b), HALF_64(sum)))
#define v_set1_half_32(x) _mm512_castps256_ps512(_mm256_set1_ps(x))
#define v_set1_half_64(x) _mm512_castpd256_pd512(_mm256_set1_pd(x))
#define v_set1_half JOIN(v_set1_half_, BITS)
#define v_half_32(a) _mm512_maskz_mov_ps(0xFF, a)
#define v_half_64(a) _mm512_maskz_mov_pd(0xF, a)
#define v_fma_half JOIN(v_fma_half_, BITS)
#define v_half JOIN(v_half_, BITS)

/* 32 registers: up to 28 accumulators, the vectors of B, and A broadcast from memory. */
#define TILE_ROWS_1 14
#define TILE_ROWS_2 14
#define TILE_ROWS_4 6
#define ROW_VECTORS 16

#if defined(__clang__)
#define ISA_BEGIN _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx512dq,avx512vl,avx2,fma\"))), apply_to = function)")
#define ISA_END _Pragma("clang attribute pop")
#else
#define ISA_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512dq,avx512vl,avx2,fma\")")
#define ISA_END _Pragma("GCC pop_options")
#endif

ISA_BEGIN
/* By way of an integer register: Zen 4 loads one vector a cycle, and an integer besides. The compiler would make a vector's load
 * of it again, if it knew. */
#define FM_SPREAD(SUFFIX, T, U, VECTOR, SET1, CAST)                                                                    \
    static inline VECTOR fm_spread_##SUFFIX(const T *p)                                                                \
    {                                                                                                                  \
        U bits;                                                                                                        \
        memcpy(&bits, p, sizeof bits);                                                                                 \
        __asm__("" : "+r"(bits));                                                                                      \
        return CAST(SET1(bits));                                                                                       \
    }
FM_SPREAD(32, float, int, __m512, _mm512_set1_epi32, _mm512_castsi512_ps)
FM_SPREAD(64, double, long long, __m512d, _mm512_set1_epi64, _mm512_castsi512_pd)
#define ROW(j) (W + ((j) < n ? (j) : n - 1) * ldw)
static inline void fm_transpose_32(float *P, ptrdiff_t ldp, const float *W, ptrdiff_t ldw, ptrdiff_t n)
{
    __m512 row[4], low[2], high[2]; /* row[i]: four of each of the rows i, i + 4, i + 8, i + 12 */
    for (int i = 0; i < 4; ++i) {
        row[i] = _mm512_castps128_ps512(_mm_loadu_ps(ROW(i)));
        row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(ROW(i + 4)), 1);
        row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(ROW(i + 8)), 2);
        row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(ROW(i + 12)), 3);
    }
    for (int i = 0; i < 2; ++i) {
        low[i] = _mm512_unpacklo_ps(row[2 * i], row[2 * i + 1]);
        high[i] = _mm512_unpackhi_ps(row[2 * i], row[2 * i + 1]);
    }
    _mm512_storeu_ps(P, _mm512_shuffle_ps(low[0], low[1], 0x44));
    _mm512_storeu_ps(P + ldp, _mm512_shuffle_ps(low[0], low[1], 0xEE));
    _mm512_storeu_ps(P + 2 * ldp, _mm512_shuffle_ps(high[0], high[1], 0x44));
    _mm512_storeu_ps(P + 3 * ldp, _mm512_shuffle_ps(high[0], high[1], 0xEE));
}
static inline void fm_transpose_64(double *P, ptrdiff_t ldp, const double *W, ptrdiff_t ldw, ptrdiff_t n)
{
    for (int k = 0; k < 4; k += 2) { /* row[i]: two of each of the rows i, i + 2, i + 4, i + 6 */
        __m512d row[2];
        for (int i = 0; i < 2; ++i) {
            row[i] = _mm512_castpd128_pd512(_mm_loadu_pd(ROW(i) + k));
            row[i] = _mm512_insertf64x2(row[i], _mm_loadu_pd(ROW(i + 2) + k), 1);
            row[i] = _mm512_insertf64x2(row[i], _mm_loadu_pd(ROW(i + 4) + k), 2);
            row[i] = _mm512_insertf64x2(row[i], _mm_loadu_pd(ROW(i + 6) + k), 3);
        }
        _mm512_storeu_pd(P + k * ldp, _mm512_unpacklo_pd(row[0], row[1]));
        _mm512_storeu_pd(P + (k + 1) * ldp, _mm512_unpackhi_pd(row[0], row[1]));
    }
}
#undef ROW
ISA_END
#endif
