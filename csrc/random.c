/* Random numbers that are the same everywhere: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), a keyed bijection of a
 * 128-bit counter. The key is the user's seed; the counter is (block, index, stream): one number, one place, no state. */
#include "fastmlp.h"

typedef struct { uint32_t word[4]; } block;

static block philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t old_c1 = c1, old_c3 = c3;
        c0 = (uint32_t)(p1 >> 32) ^ old_c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ old_c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (block){{c0, c1, c2, c3}};
}

/* The 64-bit number at place i of a stream is half i % 2 of block i / 2. */
static block block_of(uint64_t seed, uint64_t i, uint32_t index, uint32_t stream)
{
    return philox(seed, (uint32_t)(i / 2), (uint32_t)(i / 2 >> 32), index, stream);
}

static uint64_t half_of(block b, uint64_t i)
{
    const int at = 2 * (int)(i % 2);
    return (uint64_t)b.word[at] | (uint64_t)b.word[at + 1] << 32;
}

/* out[i] = limit (2 u - 1), u uniform on the multiples of 2^-53 in [0, 1). */
void fm_uniform(double *out, ptrdiff_t n, double limit, uint64_t seed, uint32_t layer)
{
    for (ptrdiff_t i = 0; i < n; ++i) {
        const block b = block_of(seed, (uint64_t)i, layer, FM_STREAM_WEIGHTS);
        const double u = (double)(half_of(b, (uint64_t)i) >> 11) * 0x1p-53;
        out[i] = limit * (2 * u - 1);
    }
}

/* The order of one epoch: Fisher-Yates from the end, place i swapped with place floor(draw (i + 1) / 2^64). (Its bias, at
 * most n / 2^64 a swap, no experiment could see.) */
void fm_permutation(uint32_t *order, uint32_t n, uint64_t seed, uint32_t epoch)
{
    block b = {{0}};
    for (uint32_t i = 0; i < n; ++i)
        order[i] = i;
    for (uint32_t left = n; left > 1; --left) {
        const uint32_t i = left - 1;
        if (left == n || i % 2)
            b = block_of(seed, i, epoch, FM_STREAM_ORDER);
        const uint64_t r = half_of(b, i);
        const uint32_t other = (uint32_t)(((r >> 32) * left + ((r & 0xFFFFFFFFu) * left >> 32)) >> 32);
        const uint32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}
