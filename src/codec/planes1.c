/* SPDX-License-Identifier: MIT */
/*
 * The first stream of planes, which tare 0.1.0 wrote: decoding only. Each plane is preceded by
 * a mode (1 byte) and a length (4 bytes): 0 the bytes, 1 one byte that all are, 2 rANS, 3 a zstd
 * frame. The rANS stream:
 *   1 byte            number of distinct symbols - 1
 *   each 3 bytes      symbol, frequency (16 bits, little-endian); ascending, they add up to 4096
 *   8 × 4 bytes       the first states, little-endian
 *   rest              16-bit words, in the order in which they are taken
 * Symbol i belongs to state i mod 8. A state x decodes the symbol s whose interval holds
 * x mod 4096, becomes freq(s) × (x div 4096) + (x mod 4096) - start(s), and takes a word when it
 * is below 2^16. In the end every state is 2^16 again.
 */
#include "codec/private.h"

#include "bits/floats.h"
#include "bits/planes.h"

#include <string.h>

enum { STATES = 8, BITS = 12, SCALE = 1 << BITS, LOW = 1 << 16, STATE_BYTES = 4 * STATES };
enum { PLANE_HEAD = 5 };

struct slot {
    uint16_t freq, bias; /* bias: position within the symbol's interval */
    uint8_t symbol;
};

static int read_table(const uint8_t *src, size_t len, struct slot table[SCALE], size_t *ret_at)
{
    size_t at = 1, sum = 0;
    int last = -1;
    if (len < 1 || len < 1 + 3 * ((size_t)src[0] + 1) + STATE_BYTES)
        return -1;
    for (unsigned i = 0; i <= src[0]; i++, at += 3) {
        size_t f = src[at + 1] | (size_t)src[at + 2] << 8;
        if (src[at] <= last || f == 0 || f >= SCALE || f > SCALE - sum)
            return -1;
        last = src[at];
        for (size_t k = 0; k < f; k++)
            table[sum + k] = (struct slot){(uint16_t)f, (uint16_t)k, src[at]};
        sum += f;
    }
    *ret_at = at;
    return sum == SCALE ? 0 : -1;
}

/* Decodes exactly n bytes out of exactly len. */
static int rans_decode(const uint8_t *src, size_t len, uint8_t *dst, size_t n)
{
    struct slot table[SCALE];
    uint32_t state[STATES];
    size_t at;
    if (read_table(src, len, table, &at) < 0)
        return -1;
    for (int i = 0; i < STATES; i++, at += 4) {
        state[i] = (uint32_t)bits_load(src + at, 4);
        if (state[i] < LOW)
            return -1;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t x = state[i % STATES];
        struct slot s = table[x & (SCALE - 1)];
        x = s.freq * (x >> BITS) + s.bias;
        dst[i] = s.symbol;
        if (x < LOW) {
            if (len - at < 2)
                return -1;
            x = x << 16 | (uint32_t)bits_load(src + at, 2);
            at += 2;
        }
        state[i % STATES] = x;
    }
    for (int i = 0; i < STATES; i++)
        if (state[i] != LOW)
            return -1;
    return at == len ? 0 : -1;
}

static int decode_plane(struct codec_work *work, int mode, const uint8_t *src, size_t len,
                        uint8_t *dst, size_t n, struct err *err)
{
    if (mode == 0 && len == n) {
        memcpy(dst, src, n);
        return 0;
    }
    if (mode == 1 && len == 1) {
        memset(dst, src[0], n);
        return 0;
    }
    if (mode == 2 && rans_decode(src, len, dst, n) == 0)
        return 0;
    return mode == 3 ? codec_unzstd(work, src, len, dst, n, err)
                     : codec_damaged(err, "planes: a plane is damaged");
}

int planes1_decode(struct codec_work *work, const uint8_t *src, size_t len,
                   const struct codec_target *target, struct err *err)
{
    unsigned exponents, planes = planes_count(target->dtype, &exponents);
    size_t count = target->n / dtype_width(target->dtype), at = 0;
    uint8_t *split = codec_scratch(&work->planes, &work->planes_cap, planes * count);
    for (unsigned i = 0; i < planes; i++) {
        if (len - at < PLANE_HEAD || bits_load(src + at + 1, 4) > len - at - PLANE_HEAD)
            return codec_damaged(err, "planes: a plane is cut off");
        size_t part = bits_load(src + at + 1, 4);
        int r =
            decode_plane(work, src[at], src + at + PLANE_HEAD, part, split + i * count, count, err);
        if (r < 0)
            return r;
        at += PLANE_HEAD + part;
    }
    if (at != len)
        return codec_damaged(err, "planes: bytes behind the last plane");
    planes_merge(target->dtype, split, NULL, count, target->dst);
    return 0;
}
