/* Everything that computes, for one ISA and one element type. Included twice by each isa_*.c: with BITS 32, then 64.
 *
 * The vocabulary below ties the verbs of simd_*.h to the type: T the element, V a vector of LANES of them, MASK a mask,
 * FN(name) the type's own name for a function. */
#ifndef JOIN
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define FN(name) JOIN(name##_, BITS)
#define T JOIN(T_, BITS)
#define T_32 float
#define T_64 double
#define REAL_MIN JOIN(REAL_MIN_, BITS)
#define REAL_MIN_32 FLT_MIN
#define REAL_MIN_64 DBL_MIN
#define REAL_MAX JOIN(REAL_MAX_, BITS)
#define REAL_MAX_32 FLT_MAX
#define REAL_MAX_64 DBL_MAX
#define V JOIN(V_, BITS)
#define MASK JOIN(MASK_, BITS)
#define OP JOIN(OP_, BITS)
#define IOP JOIN(IOP_, BITS)
#define MOP JOIN(MOP_, BITS)
#define INT JOIN(INT_, BITS)
#define REAL JOIN(REAL_, BITS)
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(T)))
#include "random.inl.h"
#endif

#include "math.inl.h"
#include "activation.inl.h"
#include "loss.inl.h"
#include "gemm.inl.h"
#include "optimizer.inl.h"
#include "network.inl.h"
#include "train.inl.h"

static const fm_ops FN(ops) = {
    FM_ISA,       FN(activation),       FN(derivative), FN(matmul),  FN(outer_gradient), FN(row_reduction),
    FN(loss),     FN(first_not_finite), FN(row),        FN(forward), FN(train),          FN(backward),
    FN(update),   uniform,              permutation,
};

#undef BITS
