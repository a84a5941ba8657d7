/* Which ISAs this CPU and operating system have. Compiled for the baseline CPU, like everything outside isa_*.c. */
#include "fastmlp.h"

extern const fm_ops *const fm_scalar_operations[2];
static int always(void) { return 1; }

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
extern const fm_ops *const fm_avx2_operations[2], *const fm_avx512_operations[2];

/* CPUID by hand: __builtin_cpu_supports is not there for clang-cl, and its answer forgets XCR0 on some compilers. */
static int has(unsigned leaf1_ecx, unsigned leaf7_ebx, unsigned states)
{
    const unsigned osxsave = 1u << 27;
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (leaf1_ecx | osxsave)) != (leaf1_ecx | osxsave))
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & leaf7_ebx) != leaf7_ebx)
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* what the operating system saves of the registers */
    return (low & states) == states;
}
#define FMA (1u << 12)
#define AVX2 (1u << 5)
#define AVX512_F_DQ_VL (1u << 16 | 1u << 17 | 1u << 31)
static int has_avx2(void) { return has(FMA, AVX2, 0x6); }
static int has_avx512(void) { return has(FMA, AVX2 | AVX512_F_DQ_VL, 0xE6); }
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const fm_ops *const fm_neon_operations[2];
#endif

static const struct {
    const char *name;
    const fm_ops *const *operations;
    int (*supported)(void);
} isas[] = {
    {"scalar", fm_scalar_operations, always},
#if defined(__x86_64__) || defined(_M_X64)
    {"avx2", fm_avx2_operations, has_avx2},
    {"avx512", fm_avx512_operations, has_avx512},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {"neon", fm_neon_operations, always},
#endif
};

const char *fm_isa_name(int i)
{
    return i < (int)(sizeof isas / sizeof *isas) ? isas[i].name : NULL;
}

const fm_ops *const *fm_isa_operations(int i)
{
    return isas[i].supported() ? isas[i].operations : NULL;
}
