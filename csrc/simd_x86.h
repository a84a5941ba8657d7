/* What AVX2 and AVX-512 share: the transposition of small blocks, in the baseline's SSE2. */
#ifndef FASTMLP_SIMD_X86_H
#define FASTMLP_SIMD_X86_H

#include <immintrin.h>
#include <stddef.h>

static inline void fm_transpose_32(float *P, ptrdiff_t ldp, const float *W, ptrdiff_t ldw)
{
    __m128 a = _mm_loadu_ps(W), b = _mm_loadu_ps(W + ldw);
    __m128 c = _mm_loadu_ps(W + 2 * ldw), d = _mm_loadu_ps(W + 3 * ldw);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(P, a);
    _mm_storeu_ps(P + ldp, b);
    _mm_storeu_ps(P + 2 * ldp, c);
    _mm_storeu_ps(P + 3 * ldp, d);
}

static inline void fm_transpose_64(double *P, ptrdiff_t ldp, const double *W, ptrdiff_t ldw)
{
    for (int j = 0; j < 4; j += 2)
        for (int k = 0; k < 4; k += 2) {
            const __m128d a = _mm_loadu_pd(W + j * ldw + k), b = _mm_loadu_pd(W + (j + 1) * ldw + k);
            _mm_storeu_pd(P + k * ldp + j, _mm_unpacklo_pd(a, b));
            _mm_storeu_pd(P + (k + 1) * ldp + j, _mm_unpackhi_pd(a, b));
        }
}
#endif
