/* Everything that computes, in NEON. */
#if defined(__aarch64__) || defined(_M_ARM64)
#include "common.h"
#include "simd_neon.h"
#define FM_ISA "neon"

ISA_BEGIN
#define BITS 32
#include "stamp.inl.h"
#define BITS 64
#include "stamp.inl.h"
ISA_END

const fm_ops *const fm_neon_operations[2] = {&ops_32, &ops_64};
#else
typedef int fm_no_neon; /* a file may not be empty */
#endif
