/* SPDX-License-Identifier: MIT */
/*
 * The stream:
 *   1 byte            number of distinct symbols - 1
 *   each 3 bytes      symbol, frequency (16 bits, little-endian); ascending, they add up to 4096
 *   8 × 4 bytes       the decoder's first states, little-endian
 *   rest              16-bit words, in the order in which the decoder takes them
 * Symbol i belongs to state i mod 8. A state x decodes the symbol s whose interval holds
 * x mod 4096, becomes freq(s) × (x div 4096) + (x mod 4096) - start(s), and takes a word when it
 * is below 2^16. In the end every state is 2^16 again.
 */
#include "codec/rans.h"

#include <math.h>
#include <string.h>

enum { LOW = 1 << 16, HEAD = 4 * RANS_STATES };

double rans_entropy_bits(const uint32_t counts[256], size_t n)
{
    double bits = 0;
    for (int s = 0; s < 256; s++)
        if (counts[s])
            bits += counts[s] * log2((double)n / counts[s]);
    return bits;
}

/* Scales the counts to frequencies that add up to RANS_SCALE, none of them zero. */
static void normalise(const uint32_t counts[256], size_t n, uint16_t freq[256])
{
    int total = 0, most = 0;
    for (int s = 0; s < 256; s++) {
        uint64_t scaled = ((uint64_t)counts[s] * RANS_SCALE + n / 2) / n;
        freq[s] = (uint16_t)(counts[s] && !scaled ? 1 : scaled);
        total += freq[s];
        if (freq[s] > freq[most])
            most = s;
    }
    /* What rounding gave too much is taken from the largest, one step at a time. */
    while (total != RANS_SCALE) {
        int step = total > RANS_SCALE ? -1 : 1;
        if (step < 0)
            for (int s = 0; s < 256; s++)
                if (freq[s] > freq[most])
                    most = s;
        freq[most] = (uint16_t)(freq[most] + step);
        total += step;
    }
}

static size_t write_table(const uint16_t freq[256], uint8_t *dst)
{
    size_t at = 1;
    for (int s = 0; s < 256; s++) {
        if (!freq[s])
            continue;
        dst[at++] = (uint8_t)s;
        dst[at++] = (uint8_t)freq[s];
        dst[at++] = (uint8_t)(freq[s] >> 8);
    }
    dst[0] = (uint8_t)((at - 1) / 3 - 1);
    return at;
}

size_t rans_encode(const uint8_t *src, size_t n, const uint32_t counts[256], uint8_t *dst,
                   size_t cap)
{
    uint16_t freq[256], start[256];
    uint32_t state[RANS_STATES];
    uint32_t sum = 0;
    normalise(counts, n, freq);
    for (int s = 0; s < 256; s++) {
        start[s] = (uint16_t)sum;
        sum += freq[s];
    }
    if (cap < 1 + 3 * 256 + HEAD)
        return 0;
    size_t at = write_table(freq, dst), end = cap & ~(size_t)1;
    for (int i = 0; i < RANS_STATES; i++)
        state[i] = LOW;
    /* Backwards, words from the end of dst down: the decoder reads them forwards. */
    for (size_t i = n; i-- > 0;) {
        uint32_t x = state[i % RANS_STATES], f = freq[src[i]];
        if (x >= f << (32 - RANS_BITS)) {
            if (end < at + HEAD + 2)
                return 0;
            dst[--end] = (uint8_t)(x >> 8);
            dst[--end] = (uint8_t)x;
            x >>= 16;
        }
        state[i % RANS_STATES] = ((x / f) << RANS_BITS) + x % f + start[src[i]];
    }
    for (int i = 0; i < RANS_STATES; i++, at += 4)
        for (int b = 0; b < 4; b++)
            dst[at + (size_t)b] = (uint8_t)(state[i] >> (8 * b));
    size_t words = (cap & ~(size_t)1) - end;
    memmove(dst + at, dst + end, words);
    return at + words;
}

struct slot {
    uint16_t freq, bias; /* bias: position within the symbol's interval */
    uint8_t symbol;
};

static int read_table(const uint8_t *src, size_t len, struct slot table[RANS_SCALE], size_t *ret_at)
{
    size_t at = 1, sum = 0;
    int last = -1;
    if (len < 1 || len < 1 + 3 * ((size_t)src[0] + 1) + HEAD)
        return -1;
    for (unsigned i = 0; i <= src[0]; i++, at += 3) {
        size_t f = src[at + 1] | (size_t)src[at + 2] << 8;
        if (src[at] <= last || f == 0 || f >= RANS_SCALE || f > RANS_SCALE - sum)
            return -1;
        last = src[at];
        for (size_t k = 0; k < f; k++)
            table[sum + k] = (struct slot){(uint16_t)f, (uint16_t)k, src[at]};
        sum += f;
    }
    *ret_at = at;
    return sum == RANS_SCALE ? 0 : -1;
}

int rans_decode(const uint8_t *src, size_t len, uint8_t *dst, size_t n)
{
    struct slot table[RANS_SCALE];
    uint32_t state[RANS_STATES];
    size_t at;
    if (read_table(src, len, table, &at) < 0)
        return -1;
    for (int i = 0; i < RANS_STATES; i++, at += 4) {
        state[i] = (uint32_t)src[at] | (uint32_t)src[at + 1] << 8 | (uint32_t)src[at + 2] << 16 |
                   (uint32_t)src[at + 3] << 24;
        if (state[i] < LOW)
            return -1;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t x = state[i % RANS_STATES];
        struct slot s = table[x & (RANS_SCALE - 1)];
        x = s.freq * (x >> RANS_BITS) + s.bias;
        dst[i] = s.symbol;
        if (x < LOW) {
            if (len - at < 2)
                return -1;
            x = x << 16 | (uint32_t)src[at] | (uint32_t)src[at + 1] << 8;
            at += 2;
        }
        state[i % RANS_STATES] = x;
    }
    for (int i = 0; i < RANS_STATES; i++)
        if (state[i] != LOW)
            return -1;
    return at == len ? 0 : -1;
}
