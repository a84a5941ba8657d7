/* What every ISA file shares: how the compiler is told to inline, the block sizes, and the shapes of the workspaces. */
#ifndef FASTMLP_COMMON_H
#define FASTMLP_COMMON_H

#include "fastmlp.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define PREFETCH(p) __builtin_prefetch(p)
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    FM_PANEL = 64,        /* columns, or rows across vectors, packed at a time: a multiple of every tile's width */
    FM_BLOCK_ROWS = 56,   /* rows that inference takes through all layers at a time: four full AVX-512 tiles */
    FM_GATHER_AHEAD = 160, /* elements between a prefetch and its use: a few rows of a small table */
    FM_STRIP = 4096,      /* elements of dW computed before they are updated: 16 kB of float, half an L1 cache */
    FM_SKIP_OUTPUTS = 64, /* a one-row product this wide gains by skipping zero inputs */
};

/* Elements that start the next array on a cache line, for either type. */
static inline ptrdiff_t fm_padded(ptrdiff_t n) { return (n + 15) / 16 * 16; }

/* Elements for one row of y: an int64 class takes two floats. */
static inline ptrdiff_t fm_target_elements(ptrdiff_t O) { return O < 2 ? 2 : O; }

static inline ptrdiff_t fm_widest(const fm_net *net)
{
    ptrdiff_t width = 0;
    for (int i = 0; i < net->n_layers; ++i)
        width = net->layers[i].ld > width ? net->layers[i].ld : width;
    return width;
}

/* The longest sum of a product between layers. */
static inline ptrdiff_t fm_deepest(const fm_net *net)
{
    const ptrdiff_t width = fm_widest(net), inputs = net->layers[0].inputs;
    return inputs > width ? inputs : width;
}

/* The cases of a switch over the rows of a tile. */
#define TILES_3(NV) TILE(NV, 1) TILE(NV, 2) TILE(NV, 3)
#define TILES_4(NV) TILES_3(NV) TILE(NV, 4)
#define TILES_6(NV) TILES_4(NV) TILE(NV, 5) TILE(NV, 6)
#define TILES_10(NV) TILES_6(NV) TILE(NV, 7) TILE(NV, 8) TILE(NV, 9) TILE(NV, 10)
#define TILES_12(NV) TILES_10(NV) TILE(NV, 11) TILE(NV, 12)
#define TILES_14(NV) TILES_12(NV) TILE(NV, 13) TILE(NV, 14)
#endif
