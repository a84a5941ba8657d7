/* The vector verbs in NEON (AArch64, where it is part of the baseline); what each means is said in simd_scalar.h. */
#ifndef FASTMLP_SIMD_H
#define FASTMLP_SIMD_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 16
#define OP_32(name) name##_f32
#define OP_64(name) name##_f64
#define IOP_32(name) name##_u32
#define IOP_64(name) name##_u64
#define INT_32(a) vreinterpretq_u32_f32(a)
#define INT_64(a) vreinterpretq_u64_f64(a)
#define REAL_32(a) vreinterpretq_f32_u32(a)
#define REAL_64(a) vreinterpretq_f64_u64(a)
#define V_32 float32x4_t
#define V_64 float64x2_t
#define MASK_32 uint32x4_t
#define MASK_64 uint64x2_t

static const uint32_t fm_lane_bits_32[4] = {1, 2, 4, 8};
static const uint64_t fm_lane_bits_64[2] = {1, 2};

static inline float32x4_t fm_load_n_32(const float *p, size_t n, float32x4_t rest)
{
    float buffer[4];
    vst1q_f32(buffer, rest);
    memcpy(buffer, p, n * sizeof *p);
    return vld1q_f32(buffer);
}
static inline float64x2_t fm_load_n_64(const double *p, size_t n, float64x2_t rest)
{
    double buffer[2];
    vst1q_f64(buffer, rest);
    memcpy(buffer, p, n * sizeof *p);
    return vld1q_f64(buffer);
}
static inline void fm_store_n_32(float *p, float32x4_t a, size_t n)
{
    float buffer[4];
    vst1q_f32(buffer, a);
    memcpy(p, buffer, n * sizeof *p);
}
static inline void fm_store_n_64(double *p, float64x2_t a, size_t n)
{
    double buffer[2];
    vst1q_f64(buffer, a);
    memcpy(p, buffer, n * sizeof *p);
}

static inline void fm_transpose_32(float *P, ptrdiff_t ldp, const float *W, ptrdiff_t ldw, ptrdiff_t n)
{
    float32x4x4_t rows;
    float columns[16];
    for (int j = 0; j < 4; ++j)
        rows.val[j] = vld1q_f32(W + (j < n ? j : n - 1) * ldw);
    vst4q_f32(columns, rows); /* interleaves: one of each row, and again */
    for (int k = 0; k < 4; ++k)
        vst1q_f32(P + k * ldp, vld1q_f32(columns + 4 * k));
}
static inline void fm_transpose_64(double *P, ptrdiff_t ldp, const double *W, ptrdiff_t ldw, ptrdiff_t n)
{
    for (int k = 0; k < 4; k += 2) {
        const float64x2_t a = vld1q_f64(W + k), b = vld1q_f64(W + (n - 1) * ldw + k);
        vst1q_f64(P + k * ldp, vzip1q_f64(a, b));
        vst1q_f64(P + (k + 1) * ldp, vzip2q_f64(a, b));
    }
}

#define v_load(p) OP(vld1q)(p)
#define v_store(p, a) OP(vst1q)(p, a)
#define v_load_n(p, n, rest) JOIN(fm_load_n_, BITS)(p, (size_t)(n), rest)
#define v_store_n(p, a, n) JOIN(fm_store_n_, BITS)(p, a, (size_t)(n))
#define v_set1(x) OP(vdupq_n)((T)(x))
#define v_add(a, b) OP(vaddq)(a, b)
#define v_sub(a, b) OP(vsubq)(a, b)
#define v_mul(a, b) OP(vmulq)(a, b)
#define v_div(a, b) OP(vdivq)(a, b)
#define v_fma(a, b, c) OP(vfmaq)(c, a, b)
#define v_fnma(a, b, c) OP(vfmsq)(c, a, b)
#define v_sqrt(a) OP(vsqrtq)(a)
#define v_abs(a) OP(vabsq)(a)
#define v_select(m, a, b) OP(vbslq)(m, a, b)
#define v_bits_add(a, b) REAL(IOP(vaddq)(INT(a), INT(b)))
#define v_bits_sub(a, b) REAL(IOP(vsubq)(INT(a), INT(b)))
#define v_bits_set1(x) REAL(IOP(vdupq_n)(x))
#define v_bits_and(a, b) REAL(IOP(vandq)(INT(a), INT(b)))
#define v_bits_or(a, b) REAL(IOP(vorrq)(INT(a), INT(b)))
#define v_bits_shl(a, n) REAL(IOP(vshlq_n)(INT(a), n))
#define v_bits_shr(a, n) REAL(IOP(vshrq_n)(INT(a), n))
#define v_clear(m, a) REAL(IOP(vbicq)(INT(a), m))
#define v_at_most(a, bound) OP(vminnmq)(a, bound)
#define v_flush(a) v_clear(m_lt(v_abs(a), v_set1(REAL_MIN)), a)
#define m_lt(a, b) OP(vcltq)(a, b)
#define m_le(a, b) OP(vcleq)(a, b)
#define m_eq(a, b) OP(vceqq)(a, b)
#define m_bits(m) ((uint64_t)IOP(vaddvq)(IOP(vandq)(m, IOP(vld1q)(JOIN(fm_lane_bits_, BITS)))))

/* 32 registers: up to 24 accumulators, the vectors of B, one broadcast of A. */
#define TILE_ROWS_1 14
#define TILE_ROWS_2 12
#define TILE_ROWS_4 6
#define ROW_VECTORS 16

#define ISA_BEGIN
#define ISA_END
#endif
