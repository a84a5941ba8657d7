/* The vector verbs in AVX-512 (F, DQ, VL); what each means is said in simd_scalar.h. */
#ifndef FASTMLP_SIMD_H
#define FASTMLP_SIMD_H

#include "simd_x86.h"
#include <stdint.h>

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
#define v_bits_and(a, b) REAL(IOP(and)(INT(a), INT(b)))
#define v_bits_or(a, b) REAL(IOP(or)(INT(a), INT(b)))
#define v_bits_shl(a, n) REAL(IOP(slli)(INT(a), n))
#define v_bits_shr(a, n) REAL(IOP(srli)(INT(a), n))
#define m_lt(a, b) MOP(cmp)(a, b, _CMP_LT_OQ)
#define m_le(a, b) MOP(cmp)(a, b, _CMP_LE_OQ)
#define m_eq(a, b) MOP(cmp)(a, b, _CMP_EQ_OQ)

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
#endif
