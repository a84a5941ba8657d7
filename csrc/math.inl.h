/* Elementary functions on vectors: exp, expm1, log, log1p on [0, 1], tanh, the sigmoid and the normal distribution.
 *
 * Each is one chain of the verbs of simd_*.h, without a branch, a table look-up or libm, so that every ISA rounds alike
 * and gives the same bits. It refuses subnormal results (exp gives 0 instead), promises nothing about the sign or the
 * payload of a NaN, raises no meaningful IEEE flags and sets no errno. No function here knows what it is used for.
 *
 * Errors are in ulp of the exact result: for float the maximum over all inputs, for double the largest found, in the 2^27
 * samples of tests/test_ulps.py --exhaustive or, but for silu, in 40 million others, many of them near the worst.
 * Polynomials are minimax (Remez) for the error named beside them, refitted as each coefficient is rounded. */

#if BITS == 32
#define MANTISSA 23
#define BIAS 127
#define UNIT_ULP 0x1p23           /* 2^MANTISSA: from here on neighbours differ by 1 */
#define EXP_LOWEST -0x1.5d589ep6  /* the least x with exp(x) >= FLT_MIN */
#define SILU_LOWEST -0x1.6f6d56p6 /* the least x with |x exp(x)| >= FLT_MIN */
#define EXP_HIGHEST 0x1.62e42ep6  /* the greatest x with exp(x) <= FLT_MAX */
#define LOG2E 0x1.715476p0
#define LN2_HIGH 0x1.62e43p-1
#define LN2_LOW -0x1.05c61p-29
#define INVERSE_SQRT_2PI 0x1.988454p-2
#define CDF_SCALE 3.0
/* (exp(r) - 1 - r) / r^2 for |r| <= ln2 / 2, relative to expm1(r): 2^-26.1 */
static const T FN(exp_coefficients)[] = {0x1.fffffep-2, 0x1.5554b2p-3, 0x1.555714p-5, 0x1.122674p-7, 0x1.6b759p-10};
/* (2 atanh(s) - 2 s) / s^3 in s^2 <= 1/9, relative to 2 atanh(s): 2^-27.7 */
static const T FN(log_coefficients)[] = {0x1.555502p-1, 0x1.99d1ccp-2, 0x1.1ec042p-2, 0x1.1eca06p-2};
/* (tanh(x) - x) / x^3 in x^2 <= 0.5625^2, relative to tanh(x): 2^-29.4 */
static const T FN(tanh_coefficients)[] = {-0x1.555548p-2, 0x1.110c5ep-3, -0x1.b906p-5, 0x1.5816d6p-6, -0x1.948212p-8};
/* (erfcx(a / sqrt 2) - 1) / (2 v) in v = a / (a + 3), a <= 40, error of Phi: 2^-28.1 */
static const T FN(cdf_coefficients)[] = {-0x1.326348p0,  0x1.0d9ecp0,   -0x1.26c1fp-2, -0x1.35d124p-3,
                                         0x1.cae1a2p-6, 0x1.8e46b4p-4, -0x1.5c0466p-5};
#else
#define MANTISSA 52
#define BIAS 1023
#define UNIT_ULP 0x1p52
#define EXP_LOWEST -0x1.6232bdd7abcd2p9
#define SILU_LOWEST -0x1.657bfcf5db0ccp9
#define EXP_HIGHEST 0x1.62e42fefa39efp9
#define LOG2E 0x1.71547652b82fep0
#define LN2_HIGH 0x1.62e42fefa39efp-1
#define LN2_LOW 0x1.abc9e3b39803fp-56
#define INVERSE_SQRT_2PI 0x1.9884533d43651p-2
#define CDF_SCALE 4.25
/* as above: 2^-55.5 */
static const T FN(exp_coefficients)[] = {
    0x1.0000000000005p-1,  0x1.5555555555541p-3,  0x1.5555555552109p-5,  0x1.1111111117172p-7,  0x1.6c16c17f315e9p-10,
    0x1.a01a017f568ep-13, 0x1.a019a6963876dp-16, 0x1.71de71088ba04p-19, 0x1.28a29e4cf10dap-22, 0x1.ae90331b3997ap-26};
/* 2^-54.2 */
static const T FN(log_coefficients)[] = {
    0x1.5555555555937p-1, 0x1.99999998ebce2p-2, 0x1.249249782f6a1p-2, 0x1.c71c4a6bb4a0bp-3, 0x1.7462501fcc813p-3,
    0x1.3aa925a346d76p-3, 0x1.163f8163ff43p-3,  0x1.959dc80938e4p-4,  0x1.6b503648c7cc6p-3};
/* 2^-54.8 */
static const T FN(tanh_coefficients)[] = {
    -0x1.555555555543dp-2, 0x1.11111110fbf21p-3,   -0x1.ba1ba1a871633p-5, 0x1.664f44d807d93p-6,
    -0x1.226dc5067b3d8p-7, 0x1.d6c31a0d6898dp-9,   -0x1.7cd64f6070baap-10, 0x1.2ef5f326a4f2ep-11,
    -0x1.b4ae7d94d8c45p-13, 0x1.a016483c82013p-15};
/* a / (a + 4.25): 2^-56.5 */
static const T FN(cdf_coefficients)[] = {
    -0x1.b20c9871179d3p0, 0x1.68f9b3c774f02p1,  -0x1.6fb18c77e02b5p1, 0x1.9dffe6232b515p0,  -0x1.9414001f9e284p-3,
    -0x1.2e9f4c673358p-2, 0x1.3ed6b2be0bfcp-4,  0x1.42b524aa56779p-4, -0x1.9fc8539e3a76p-7, -0x1.9fd7def7e5776p-6,
    -0x1.0ac7263099568p-8, 0x1.cfc0e56d6a88fp-8, 0x1.adf995d380f36p-8, -0x1.29ce02c37f738p-8};
#endif
#define ROUNDER (1.5 * UNIT_ULP) /* what is added to it is rounded to an integer, which stands in the lowest bits */

/* c[0] + x (c[1] + x (c[2] + ...)), unrolled: the count is a constant. */
#define POLYNOMIAL(name, x) FN(v_horner)(FN(name##_coefficients), (int)(sizeof FN(name##_coefficients) / sizeof(T)), x)
static ALWAYS_INLINE V FN(v_horner)(const T *c, const int count, V x)
{
    V y = v_set1(c[count - 1]);
    UNROLL
    for (int i = count - 2; i >= 0; --i)
        y = v_fma(y, x, v_set1(c[i]));
    return y;
}

/* Returns r of x = n ln2 + r, |r| <= ln2 / 2, by Cody & Waite's ln2 in two parts; thanks to fma the first may fill T
 * and x - n LN2_HIGH is still exact. n stands in the lowest bits of *rounded: shifted by MANTISSA it is an exponent. */
static ALWAYS_INLINE V FN(exp_reduce)(V x, V *rounded)
{
    *rounded = v_fma(x, v_set1(LOG2E), v_set1(ROUNDER));
    const V n = v_sub(*rounded, v_set1(ROUNDER));
    return v_fnma(n, v_set1(LN2_LOW), v_fnma(n, v_set1(LN2_HIGH), x));
}

/* exp(x) = 2^n y, y = 1 + r (1 + r p(r)) within a factor of 3/2 of 1; n as what to add to the bits of a number. */
static ALWAYS_INLINE V FN(exp_split)(V x, V *n)
{
    V rounded;
    const V one = v_set1(1), r = FN(exp_reduce)(x, &rounded);
    *n = v_bits_shl(rounded, MANTISSA);
    return v_fma(v_fma(POLYNOMIAL(exp, r), r, one), r, one);
}

/* exp(x) for EXP_LOWEST <= x <= EXP_HIGHEST, anything elsewhere. */
static ALWAYS_INLINE V FN(exp_inside)(V x)
{
    V n;
    const V y = FN(exp_split)(x, &n);
    return v_bits_add(y, n);
}

/* exp(x); 0 where that is below the smallest normal number, inf where it is above the greatest.
 * Error: float 0.91 ulp, double 0.91. */
static ALWAYS_INLINE V FN(v_exp)(V x)
{
    const V above = v_add(x, v_set1(INFINITY)); /* NaN for NaN */
    const V y = v_select(m_le(x, v_set1(EXP_HIGHEST)), FN(exp_inside)(x), above);
    return v_select(m_lt(x, v_set1(EXP_LOWEST)), v_set1(0), y);
}

/* exp(x) - 1 = 2^n q + (2^n - 1), q = expm1(r), by halves, for 2^1024 would be too great; n = 0 gives q itself, so that
 * tiny and subnormal x return unchanged.
 * Error for x <= 0: float 0.95 ulp, double 1.19; for x > 0: 1.53 and 2.02 (near 0.36, where 2^n - 1 cancels). */
static ALWAYS_INLINE V FN(v_expm1)(V x)
{
    V rounded;
    const V r = FN(exp_reduce)(x, &rounded);
    const V q = v_fma(v_mul(r, r), POLYNOMIAL(exp, r), r);
    const V half = v_bits_add(v_set1(0.5), v_bits_shl(rounded, MANTISSA)); /* 2^n / 2 */
    const V y = v_fma(half, q, v_sub(half, v_set1(0.5)));
    V result = v_select(m_eq(rounded, v_set1(ROUNDER)), q, v_add(y, y));
    result = v_select(m_le(x, v_set1(EXP_HIGHEST)), result, v_add(x, v_set1(INFINITY)));
    result = v_select(m_lt(x, v_set1(-64)), v_set1(-1), result);
    return v_bits_or(result, v_bits_and(x, v_set1(-0.0))); /* -0 for -0 */
}

/* log(1 + f) = 2 atanh(s) = f - s (f - s^2 p(s^2)), s = f / (2 + f), |s| <= 1/3: the form of fdlibm's log, where the
 * rounding of s falls on the small correction alone. */
static ALWAYS_INLINE V FN(log_1_plus)(V f)
{
    const V s = v_div(f, v_add(v_set1(2), f));
    const V z = v_mul(s, s);
    return v_fnma(s, v_fnma(z, POLYNOMIAL(log, z), f), f);
}

/* log(x) = k ln2 + log(m), x = 2^k m, sqrt(1/2) <= m < sqrt(2); subnormal x are scaled into the normal range first.
 * -inf at 0, NaN below. Error: float 0.97 ulp, double 1.42. */
static ALWAYS_INLINE V FN(v_log)(V x)
{
    const V one = v_set1(1), unit_ulp = v_set1(UNIT_ULP);
    const MASK subnormal = m_lt(x, v_set1(REAL_MIN));
    const V normal = v_select(subnormal, v_mul(x, unit_ulp), x);
    const V bias = v_select(subnormal, v_set1(UNIT_ULP + BIAS + MANTISSA), v_set1(UNIT_ULP + BIAS));
    V k = v_sub(v_bits_or(v_bits_shr(normal, MANTISSA), unit_ulp), bias); /* from the exponent's bits */
    V m = v_bits_or(v_bits_shr(v_bits_shl(normal, BITS - MANTISSA), BITS - MANTISSA), one); /* in [1, 2) */
    const MASK upper = m_le(v_set1(1.41421356237309504880), m);
    m = v_select(upper, v_mul(m, v_set1(0.5)), m);
    k = v_select(upper, v_add(k, one), k);
    V y = v_fma(k, v_set1(LN2_HIGH), v_fma(k, v_set1(LN2_LOW), FN(log_1_plus)(v_sub(m, one))));
    y = v_select(m_lt(x, v_set1(INFINITY)), y, x); /* inf and NaN */
    y = v_select(m_lt(x, v_set1(0)), v_set1(NAN), y);
    return v_select(m_eq(x, v_set1(0)), v_set1(-INFINITY), y);
}

/* log(1 + x) for 0 <= x <= 1 only; x itself where x is tiny. Error: float 1.08 ulp, double 1.46. */
static ALWAYS_INLINE V FN(v_log1p_unit)(V x)
{
    return FN(log_1_plus)(x);
}

/* tanh(x) = x + x^3 p(x^2) for |x| < 0.5625, as for NaN; otherwise 1 - 2 / (exp(2 |x|) + 1), which loses little
 * as it is above 1/2. The sign is put back last, so tanh(-x) = -tanh(x). Error: float 1.53 ulp, double 1.55. */
static ALWAYS_INLINE V FN(v_tanh)(V x)
{
    const V one = v_set1(1), most = v_set1(32), a = v_abs(x), z = v_mul(a, a);
    const V small = v_fma(v_mul(a, z), POLYNOMIAL(tanh, z), a);
    const V clamped = v_select(m_lt(a, most), a, most); /* tanh(32) is 1 in both types */
    const V e = FN(exp_inside)(v_add(clamped, clamped));
    const V large = v_sub(one, v_div(v_set1(2), v_add(e, one)));
    return v_bits_or(v_select(m_le(v_set1(0.5625), a), large, small), v_bits_and(x, v_set1(-0.0)));
}

/* 1 / (1 + exp(-x)), as e / (1 + e) with e = exp(x) for x < 0, so that no exponential overflows.
 * Error where the result is normal: float 2.41 ulp, double 2.43. */
static ALWAYS_INLINE V FN(v_sigmoid)(V x)
{
    const V zero = v_set1(0), one = v_set1(1), e = FN(v_exp)(v_sub(zero, v_abs(x)));
    return v_div(v_select(m_le(zero, x), one, e), v_add(one, e));
}

/* x / (1 + exp(-x)), as x y 2^n / (1 + e) with e = exp(x) = 2^n y for x < 0: x sigmoid(x) is still normal for some x whose
 * sigmoid is not, so that the exponent is put back last.
 * Error where the result is normal: float 3.35 ulp, double 3.08. */
static ALWAYS_INLINE V FN(v_silu)(V x)
{
    V n;
    const V zero = v_set1(0), a = v_sub(zero, v_abs(x)), y = FN(exp_split)(a, &n);
    const V e = v_select(m_lt(a, v_set1(EXP_LOWEST)), zero, v_bits_add(y, n));
    const MASK negative = m_lt(x, zero);
    const V q = v_div(v_select(negative, v_mul(x, y), x), v_add(v_set1(1), e));
    const V result = v_select(negative, v_bits_add(q, n), q);
    return v_select(m_lt(x, v_set1(SILU_LOWEST)), zero, result);
}

/* Phi(x), the standard normal distribution function; *pdf becomes its density exp(-x^2/2) / sqrt(2 pi). With a = |x|,
 * Phi(-a) = exp(-a^2/2) M(a), M(a) = erfcx(a / sqrt 2) / 2 = 1/2 + v p(v), v = a / (a + c): but for scale, the variable
 * of Shepherd & Laframboise 1981, which takes [0, inf) to [0, 1). p is fitted for the absolute error of Phi; in the
 * lower tail Phi is still good to 0.1 %. Error of x Phi(x): float 1.54 ulp of x, double 1.63.
 * Error of Phi: 1.18 * 2^-24 and 1.21 * 2^-53; of the density: 0.73 * 2^-24 and 0.75 * 2^-53. */
static ALWAYS_INLINE V FN(v_normal_cdf)(V x, V *pdf)
{
    const V half = v_set1(0.5), most = v_set1(40), size = v_abs(x);
    const V a = v_select(m_lt(most, size), most, size); /* exp(-40^2/2) is 0 in both types; keeps NaN */
    const V e = FN(v_exp)(v_mul(a, v_mul(a, v_set1(-0.5))));
    const V v = v_div(a, v_add(a, v_set1(CDF_SCALE)));
    const V mills = v_fma(POLYNOMIAL(cdf, v), v, half); /* M(a) */
    *pdf = v_mul(e, v_set1(INVERSE_SQRT_2PI));
    return v_select(m_lt(x, v_set1(0)), v_mul(e, mills), v_fnma(e, mills, v_set1(1)));
}

#undef MANTISSA
#undef BIAS
#undef UNIT_ULP
#undef EXP_LOWEST
#undef SILU_LOWEST
#undef EXP_HIGHEST
#undef LOG2E
#undef LN2_HIGH
#undef LN2_LOW
#undef INVERSE_SQRT_2PI
#undef CDF_SCALE
#undef ROUNDER
#undef POLYNOMIAL
