/* Everything that computes, for one ISA and one element type. Included twice by each isa_*.c: with BITS 32, then 64. */
#ifndef FASTMLP_STAMP
#define FASTMLP_STAMP
#include "vocabulary.h"
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
