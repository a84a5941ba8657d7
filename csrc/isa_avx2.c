/* Everything that computes, in AVX2 with FMA. */
#if defined(__x86_64__) || defined(_M_X64)
#include "common.h"
#include "simd_avx2.h"
#define FM_ISA "avx2"

ISA_BEGIN
#define BITS 32
#include "stamp.inl.h"
#define BITS 64
#include "stamp.inl.h"
ISA_END

const fm_ops *const fm_avx2_operations[2] = {&ops_32, &ops_64};
#else
typedef int fm_no_avx2; /* a file may not be empty */
#endif
