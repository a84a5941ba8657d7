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
#define PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL /* every access is checked in code of its own: unrolled, it takes minutes to compile */
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    FM_PANEL = 64,        /* columns, or rows across vectors, packed at a time: a multiple of every tile's width */
    FM_BLOCK_ROWS = 56,   /* rows that inference takes through all layers at a time: four full AVX-512 tiles */
    FM_BLOCK_MOST = 224,  /* the same where the weights outgrow L2 */
    FM_GATHER_AHEAD = 160, /* elements between a prefetch and its use: a few rows of a small table */
    FM_SHORT_ROW = 64,    /* elements of a row that is fetched ahead while others are gathered; longer ones during products */
    FM_GATHER_ROWS = 28,  /* rows gathered at a time: two full tiles, which L1 and L2 hold beside W */
    FM_GATHER_MOST = 128, /* the same where W outgrows L2: then it should not be read again soon */
    FM_LARGE_W = 1 << 20, /* bytes of such a W */
    FM_FAR = 1 << 19,     /* bytes of a B that is hardly in L2 as a whole */
    FM_SOON = 16,         /* rows among which the lines fetched ahead go round */
    FM_CHUNK_ROWS = 256,  /* rows that a worker takes through a training step at a time, at least */
    FM_CHUNK_BYTES = 1 << 19, /* what their x, h and dz may fill of an L2 cache, where that is more rows */
    FM_BLOCK_SUMS = 256,  /* rows summed into dW at a time: a panel of dz is then 32 kB of float */
    FM_PACK_BYTES = 1 << 17, /* from 32 pages on, packing pays for fewer misses of the translation cache */
    FM_STRIP = 4096,      /* elements of dW computed before they are updated: 16 kB of float, half an L1 cache */
    FM_SPARSE_STRIP = 8192, /* the same where zeros are skipped: 64 inputs, whose bits are transposed at once, of 128 outputs */
    FM_STRIP_ROWS = 14,   /* a strip's least rows: a full tile of any ISA */
    FM_PACKED = FM_BLOCK_SUMS * FM_STRIP / FM_PANEL, /* a strip of x at most: layers less wide than a panel are not packed */
    FM_SPARSE_VECTORS = 8, /* vectors of one row's sums, where zeros are skipped: with 64 rows of B they fill an L1 cache */
    FM_SPARSE_OUTPUTS = 64, /* a product this wide gains by skipping zero inputs */
    FM_FIRST_INPUTS = 32, /* inputs of the first layer that tell whether to look for zeros in the others */
    FM_SAMPLE_ROWS = 16,  /* rows of all that tell the same in training */
    FM_NONZERO_PERCENT = 60, /* with so few inputs that are not 0 it pays there, */
    FM_SPARSE_BATCH = 32, /* in batches of so many rows: bits are transposed 64 rows at a time */
};

/* What happens to a finished sum of a product before it is stored: the first two are exact for the
 * least numbers too; those after FM_PARTIAL, of networks, give back what they started at, and are 0 where they are below
 * twice that. */
enum fm_finish {
    FM_SUM,          /* C = sum */
    FM_AFFINE,       /* C = sum + bias, never -0 */
    FM_PARTIAL,      /* C = the sum so far, still with what it started at: to go on from there */
    FM_GRADIENT,     /* C = sum: dW, db, dX */
    FM_LAYER,        /* C = sum + bias */
    FM_LAYER_RELU,   /* C = relu(sum + bias) */
    FM_WHERE_ACTIVE, /* C = sum where h > 0, else 0: dz below a relu */
    FM_TIMES_SLOPE,  /* C = C * sum, as C holds r'(z): dz below any other activation */
};

/* What a product fetches into the cache while it computes. */
enum fm_fetch {
    FM_FETCH_NOTHING,
    FM_FETCH_ROWS,  /* the rows `soon` */
    FM_FETCH_PANEL, /* the next column panel of B */
};

/* Words of 64 bits that tell of n numbers, one bit each, whether it is other than 0. */
static inline ptrdiff_t fm_words(ptrdiff_t n) { return (n + 63) / 64; }

/* Elements that start the next array on a cache line, for either type. */
static inline ptrdiff_t fm_padded(ptrdiff_t n) { return (n + 15) / 16 * 16; }

/* Elements for the bits of the inputs of so many rows: a word takes two floats. */
static inline ptrdiff_t fm_bits(const fm_net *net, ptrdiff_t rows)
{
    return fm_padded(2 * rows * fm_words(net->layers[0].inputs));
}

/* Whether y has one class a row, not a number for each output. */
static inline int fm_takes_classes(int loss) { return loss == FM_SOFTMAX_CROSS_ENTROPY || loss == FM_FOCAL; }

/* Elements for one row of y: an int64 class takes two floats. */
static inline ptrdiff_t fm_target_elements(ptrdiff_t O) { return O < 2 ? 2 : O; }

/* All parameters, with their padding: the layers lie one after the other, W and then b. */
static inline ptrdiff_t fm_parameters(const fm_net *net)
{
    const fm_layer *last = &net->layers[net->n_layers - 1];
    return last->W + (last->inputs + (last->b >= 0)) * last->ld;
}

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

static inline ptrdiff_t fm_block(const fm_net *net)
{
    ptrdiff_t weights = 0;
    for (int i = 0; i < net->n_layers; ++i)
        weights += net->layers[i].inputs * net->layers[i].ld;
    return weights * (ptrdiff_t)sizeof(float) > FM_LARGE_W ? FM_BLOCK_MOST : FM_BLOCK_ROWS;
}

/* Rows of a batch that are taken through forward, backward and dW before the next: what they leave stays in cache. With pairs the
 * number of workers has no part in it, as dW is summed over first inputs, then second inputs of each chunk. */
static inline ptrdiff_t fm_chunk(const fm_net *net, ptrdiff_t batch, int threads)
{
    const fm_layer *last = &net->layers[net->n_layers - 1];
    const ptrdiff_t bytes = (ptrdiff_t)sizeof(float) * (net->layers[0].inputs + 2 * (last->before + last->ld));
    const ptrdiff_t many = FM_CHUNK_BYTES / bytes, least = many > FM_CHUNK_ROWS ? many : FM_CHUNK_ROWS;
    const ptrdiff_t rows = net->siamese ? least : least * threads, chunks = (batch + rows - 1) / rows;
    return (batch + chunks - 1) / chunks;
}

/* Scratch of one worker in training: for products as deep as the net, or for a packed strip of x and one of dW. */
static inline ptrdiff_t fm_scratch(const fm_net *net)
{
    const ptrdiff_t product = fm_matmul_scratch(fm_deepest(net)), least = FM_STRIP_ROWS * fm_widest(net);
    const ptrdiff_t strips = FM_PACKED + (least > FM_STRIP ? least : FM_STRIP);
    return fm_padded(product > strips ? product : strips);
}

/* The cases of a switch over the rows of a tile: all, and those of half a full tile or more. */
#define TILES_3(NV, FETCH) TILE(NV, FETCH, 1) TILE(NV, FETCH, 2) TILE(NV, FETCH, 3)
#define TILES_4(NV, FETCH) TILES_3(NV, FETCH) TILE(NV, FETCH, 4)
#define TILES_6(NV, FETCH) TILES_4(NV, FETCH) TILE(NV, FETCH, 5) TILE(NV, FETCH, 6)
#define TILES_FROM_7(NV, FETCH) TILE(NV, FETCH, 7) TILE(NV, FETCH, 8) TILE(NV, FETCH, 9) TILE(NV, FETCH, 10)
#define TILES_10(NV, FETCH) TILES_6(NV, FETCH) TILES_FROM_7(NV, FETCH)
#define TILES_12(NV, FETCH) TILES_10(NV, FETCH) TILE(NV, FETCH, 11) TILE(NV, FETCH, 12)
#define TILES_14(NV, FETCH) TILES_12(NV, FETCH) TILE(NV, FETCH, 13) TILE(NV, FETCH, 14)
#define HIGH_TILES_4(NV, FETCH) TILE(NV, FETCH, 2) TILE(NV, FETCH, 3) TILE(NV, FETCH, 4)
#define HIGH_TILES_6(NV, FETCH) TILE(NV, FETCH, 3) TILE(NV, FETCH, 4) TILE(NV, FETCH, 5) TILE(NV, FETCH, 6)
#define HIGH_TILES_12(NV, FETCH)                                                                                       \
    TILE(NV, FETCH, 6) TILES_FROM_7(NV, FETCH) TILE(NV, FETCH, 11) TILE(NV, FETCH, 12)
#define HIGH_TILES_14(NV, FETCH)                                                                                       \
    TILES_FROM_7(NV, FETCH) TILE(NV, FETCH, 11) TILE(NV, FETCH, 12) TILE(NV, FETCH, 13) TILE(NV, FETCH, 14)
#endif
