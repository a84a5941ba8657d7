/* Everything that computes, in the portable scalar code. */
#include "common.h"
#include "simd_scalar.h"
#define FM_ISA "scalar"

ISA_BEGIN
#define BITS 32
#include "stamp.inl.h"
#define BITS 64
#include "stamp.inl.h"
ISA_END

const fm_ops *const fm_scalar_operations[2] = {&ops_32, &ops_64};
