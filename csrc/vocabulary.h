/* What ties the verbs of simd_*.h to the element type that BITS, 32 or 64, names: T the element, V a vector of LANES of
 * them, MASK a mask, FN(name) the type's own name for a function. */
#ifndef FASTMLP_VOCABULARY_H
#define FASTMLP_VOCABULARY_H

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define FN(name) JOIN(name##_, BITS)
#define T JOIN(T_, BITS)
#define T_32 float
#define T_64 double
#define REAL_MIN JOIN(REAL_MIN_, BITS)
#define REAL_MIN_32 FLT_MIN
#define REAL_MIN_64 DBL_MIN
#define SUM_START (64 * REAL_MIN) /* 8e-37 of float: hundreds of products of 1e-39 do not take a sum from here to 0 */
#define REAL_MAX JOIN(REAL_MAX_, BITS)
#define REAL_MAX_32 FLT_MAX
#define REAL_MAX_64 DBL_MAX
#define REAL_EPS JOIN(REAL_EPS_, BITS) /* the distance from 1 to the next number */
#define REAL_EPS_32 FLT_EPSILON
#define REAL_EPS_64 DBL_EPSILON
#define LOG_EPS JOIN(LOG_EPS_, BITS)
#define LOG_EPS_32 -0x1.fe2804p+3
#define LOG_EPS_64 -0x1.205966f2b4f12p+5
#define LOG_1_LESS_EPS JOIN(LOG_1_LESS_EPS_, BITS)
#define LOG_1_LESS_EPS_32 -0x1.000002p-23
#define LOG_1_LESS_EPS_64 -0x1p-52
#define V JOIN(V_, BITS)
#define MASK JOIN(MASK_, BITS)
#define OP JOIN(OP_, BITS)
#define IOP JOIN(IOP_, BITS)
#define MOP JOIN(MOP_, BITS)
#define INT JOIN(INT_, BITS)
#define REAL JOIN(REAL_, BITS)
#ifndef v_spread
#define v_spread(p) v_set1(*(p))
#endif
#ifndef HALVES /* then what is said of halves only has to compile */
#define HALVES 0
#define v_fma_half(a, b, sum) v_fma(a, b, sum)
#define v_set1_half(x) v_set1(x)
#define v_half(a) (a)
#endif
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(T)))
#endif
