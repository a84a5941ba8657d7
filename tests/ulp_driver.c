/* The largest error of an elementary function, in ulp of the exact result, against libm in a wider type. Built and run
 * by test_ulps.py: cc -DBITS=32 -DSIMD='"simd_avx2.h"', ulp_driver FUNCTION N. Prints the error and where it stands.
 *
 * Of float the N inputs are every 2^32 / N th bit pattern, all of them for N = 2^32; of double they are random. */
#include "common.h"
#include SIMD
#include "vocabulary.h"
#include <stdio.h>
#include <stdlib.h>

ISA_BEGIN
#include "math.inl.h"
#include "activation.inl.h"
ISA_END

#include <tgmath.h>
#if BITS == 32
typedef double wide; /* errs by 2^-29 ulp of float */
typedef uint32_t word;
enum { DIGITS = FLT_MANT_DIG, LOWEST = FLT_MIN_EXP, HIGHEST = FLT_MAX_EXP };
#else
typedef long double wide; /* on x86 errs by 2^-11 ulp of double */
typedef uint64_t word;
enum { DIGITS = DBL_MANT_DIG, LOWEST = DBL_MIN_EXP, HIGHEST = DBL_MAX_EXP };
#endif

enum { EXP, EXPM1, LOG, LOG1P, TANH, SIGMOID, SILU, SOFTPLUS, ELU, GELU, PHI, DENSITY, FUNCTIONS, BLOCK = 4096 };
static const char *const NAMES[] = {"exp",  "expm1",    "log", "log1p", "tanh", "sigmoid",
                                    "silu", "softplus", "elu", "gelu",  "Phi",  "density"};

ISA_BEGIN
static ALWAYS_INLINE V evaluated(const int f, V x)
{
    V unused, density;
    switch (f) {
    case EXP: return FN(v_exp)(x);
    case EXPM1: return FN(v_expm1)(x);
    case LOG: return FN(v_log)(x);
    case LOG1P: return FN(v_log1p_unit)(x);
    case TANH: return FN(activate)(FM_TANH, x, &unused);
    case SIGMOID: return FN(activate)(FM_SIGMOID, x, &unused);
    case SILU: return FN(activate)(FM_SILU, x, &unused);
    case SOFTPLUS: return FN(activate)(FM_SOFTPLUS, x, &unused);
    case ELU: return FN(activate)(FM_ELU, x, &unused);
    case GELU: return FN(activate)(FM_GELU, x, &unused);
    case PHI: return FN(v_normal_cdf)(x, &density);
    default: FN(v_normal_cdf)(x, &density); return density;
    }
}

static void evaluate(int f, T *y, const T *x)
{
    for (int i = 0; i < BLOCK; i += LANES)
        v_store(y + i, evaluated(f, v_load(x + i)));
}
ISA_END

static wide exactly(int f, wide x)
{
    const wide sqrt_2 = 1.41421356237309504880168872420969808L, sqrt_2_pi = 2.50662827463100050241576528481104525L;
    switch (f) {
    case EXP: return exp(x);
    case EXPM1: return expm1(x);
    case LOG: return log(x);
    case LOG1P: return log1p(x);
    case TANH: return tanh(x);
    case SIGMOID: return 1 / (1 + exp(-x));
    case SILU: return x < -11000 ? 0 : x / (1 + exp(-x));
    case SOFTPLUS: return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    case ELU: return x > 0 ? x : expm1(x);
    case GELU: return x * erfc(-x / sqrt_2) / 2;
    case PHI: return erfc(-x / sqrt_2) / 2;
    default: return exp(-x * x / 2) / sqrt_2_pi;
    }
}

static wide ulp(wide x)
{
    int e;
    frexp(x, &e);
    e = e < LOWEST ? LOWEST : e > HIGHEST ? HIGHEST : e;
    return ldexp((wide)1, e - DIGITS);
}

static wide error(int f, T x, T found)
{
    const wide exact = exactly(f, x);
    wide scale = exact;
    if (found == (T)exact || (found != found && exact != exact)) /* rounded correctly, as most are */
        return 0;
    if (f == GELU) /* in ulp of x */
        scale = x;
    else if (f == PHI || f == DENSITY) /* in units of 2^-24 or 2^-53 */
        scale = 0.5;
    else if (found == 0 && fabs(exact) < REAL_MIN)
        return 0;
    const wide e = fabs(found - exact) / ulp(scale);
    return e == e ? e : INFINITY;
}

static T from_bits(word u)
{
    T x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static T input(uint64_t i, uint64_t n)
{
#if BITS == 32
    return from_bits((word)(i * ((UINT64_C(1) << 32) / n | 1)));
#else
    (void)n;
    uint64_t u = i * 0x9E3779B97F4A7C15u; /* splitmix64 */
    u = (u ^ (u >> 30)) * 0xBF58476D1CE4E5B9u;
    u = (u ^ (u >> 27)) * 0x94D049BB133111EBu;
    u ^= u >> 31;
    switch (i % 4) {
    case 0: return from_bits(u);
    case 1: return ldexp(from_bits(u >> 12 | (u & 1) << 63 | UINT64_C(1023) << 52), (int)(u >> 1) % 51 - 40);
    case 2: return (double)(int64_t)u * 0x1p-61; /* within 4 */
    default: return (double)(int64_t)u * 0x1p-53; /* within 1024 */
    }
#endif
}

int main(int argc, char **argv)
{
    static T x[BLOCK], y[BLOCK];
    const uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 0) : 0; /* a multiple of BLOCK */
    wide worst = -1;
    T where = 0;
    int f = 0;
    while (f < FUNCTIONS && argc == 3 && strcmp(argv[1], NAMES[f]))
        ++f;
    if (f == FUNCTIONS || n == 0 || n % BLOCK)
        return 2;
    for (uint64_t i = 0; i < n; i += BLOCK) {
        for (int j = 0; j < BLOCK; ++j) {
            x[j] = input(i + (uint64_t)j, n);
            if (f == LOG1P && !(x[j] >= 0 && x[j] <= 1))
                x[j] = x[j] > 1 ? 1 / x[j] : 0;
        }
        evaluate(f, y, x);
        for (int j = 0; j < BLOCK; ++j) {
            const wide e = error(f, x[j], y[j]);
            if (e > worst)
                worst = e, where = x[j];
        }
    }
    printf("%.6f %a\n", (double)worst, (double)where);
    return 0;
}
