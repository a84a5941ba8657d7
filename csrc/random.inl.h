/* Random numbers that are the same everywhere: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), a keyed bijection of a
 * 128-bit counter. The key is the user's seed; the counter is (block, index, stream): one number, one place, no state. The
 * 64-bit number at place i of a stream is half i % 2 of block i / 2.
 *
 * Plain C, which the compiler turns into vectors of each ISA; knows nothing of the element types. */

enum { PHILOX_BLOCKS = 32 };

/* The draws of PHILOX_BLOCKS blocks from `first` on. Each 32-bit word has a lane of 64 bits, as wide as its products. */
static void philox(uint64_t draws[2 * PHILOX_BLOCKS], uint64_t seed, uint64_t first, uint32_t index, uint32_t stream)
{
    const uint64_t low = 0xFFFFFFFFu;
    uint64_t c0[PHILOX_BLOCKS], c1[PHILOX_BLOCKS], c2[PHILOX_BLOCKS], c3[PHILOX_BLOCKS], k0 = seed & low, k1 = seed >> 32;
    for (int i = 0; i < PHILOX_BLOCKS; ++i) {
        const uint64_t at = first + (uint64_t)i;
        c0[i] = at & low, c1[i] = at >> 32, c2[i] = index, c3[i] = stream;
    }
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < PHILOX_BLOCKS; ++i) {
            const uint64_t p0 = 0xD2511F53u * c0[i], p1 = 0xCD9E8D57u * c2[i];
            c0[i] = p1 >> 32 ^ c1[i] ^ k0;
            c1[i] = p1 & low;
            c2[i] = p0 >> 32 ^ c3[i] ^ k1;
            c3[i] = p0 & low;
        }
        k0 = (k0 + 0x9E3779B9u) & low;
        k1 = (k1 + 0xBB67AE85u) & low;
    }
    for (int i = 0; i < PHILOX_BLOCKS; ++i) {
        draws[2 * i] = c0[i] | c1[i] << 32;
        draws[2 * i + 1] = c2[i] | c3[i] << 32;
    }
}

/* out[i] = limit (2 u - 1), u uniform on the multiples of 2^-53 in [0, 1). */
static void uniform(double *out, ptrdiff_t n, double limit, uint64_t seed, uint32_t layer)
{
    uint64_t draws[2 * PHILOX_BLOCKS];
    for (ptrdiff_t i = 0; i < n; ++i) {
        if (i % (2 * PHILOX_BLOCKS) == 0)
            philox(draws, seed, (uint64_t)i / 2, layer, FM_STREAM_WEIGHTS);
        const double u = (double)(draws[i % (2 * PHILOX_BLOCKS)] >> 11) * 0x1p-53;
        out[i] = limit * (2 * u - 1);
    }
}

/* The order of one epoch: Fisher-Yates from the end, place i swapped with place floor(draw (i + 1) / 2^64). (Its bias, at
 * most n / 2^64 a swap, no experiment could see.) */
static void permutation(uint32_t *order, uint32_t n, uint64_t seed, uint32_t epoch)
{
    uint64_t draws[2 * PHILOX_BLOCKS];
    for (uint32_t i = 0; i < n; ++i)
        order[i] = i;
    for (uint32_t end = n, start; end > 0; end = start) {
        start = (end - 1) / (2 * PHILOX_BLOCKS) * (2 * PHILOX_BLOCKS);
        philox(draws, seed, start / 2, epoch, FM_STREAM_ORDER);
        for (uint32_t i = end; i-- > start;) {
            const uint64_t r = draws[i - start], left = (uint64_t)i + 1;
            const uint32_t other = (uint32_t)(((r >> 32) * left + ((r & 0xFFFFFFFFu) * left >> 32)) >> 32);
            const uint32_t kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
    }
}
