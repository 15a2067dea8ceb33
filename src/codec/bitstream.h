/* SPDX-License-Identifier: MIT */
/* Bits in a row, lowest bit of each byte first; Rice codes. For src/codec only. */
#ifndef TARE_CODEC_BITSTREAM_H
#define TARE_CODEC_BITSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Past the end of its memory a writer counts on without writing: see bits_full. */
struct bit_writer {
    uint8_t *data;
    size_t cap, at;
    uint64_t held; /* bits that wait for their byte */
    unsigned count;
};

/* Past the end of its bytes a reader gives zeros, and says so: see bits_spent. */
struct bit_reader {
    const uint8_t *data;
    size_t len, at;
    uint64_t held;
    unsigned count;
    bool spent;
};

/* Writes the low n bits of value, n ≤ 32. */
static inline void bits_put(struct bit_writer *w, uint32_t value, unsigned n)
{
    w->held |= (uint64_t)value << w->count;
    w->count += n;
    for (; w->count >= 8; w->count -= 8, w->held >>= 8, w->at++)
        if (w->at < w->cap)
            w->data[w->at] = (uint8_t)w->held;
}

/* Fills up the last byte; the bytes written. */
static inline size_t bits_flush(struct bit_writer *w)
{
    if (w->count)
        bits_put(w, 0, 8 - w->count);
    return w->at;
}

static inline bool bits_full(const struct bit_writer *w)
{
    return w->at > w->cap;
}

static inline uint32_t bits_get(struct bit_reader *r, unsigned n)
{
    for (; r->count < n; r->count += 8) {
        if (r->at < r->len)
            r->held |= (uint64_t)r->data[r->at++] << r->count;
        else
            r->spent = true;
    }
    uint32_t value = (uint32_t)(r->held & (((uint64_t)1 << n) - 1));
    r->held >>= n;
    r->count -= n;
    return value;
}

/* A Rice code: value >> k ones, a zero, the low k bits. */
static inline void bits_put_rice(struct bit_writer *w, uint32_t value, unsigned k)
{
    uint32_t ones = value >> k;
    for (; ones > 24; ones -= 24)
        bits_put(w, 0xffffff, 24);
    bits_put(w, ((uint32_t)1 << ones) - 1, ones + 1);
    bits_put(w, value & (((uint32_t)1 << k) - 1), k);
}

/* The zeros past the end of the bytes end every code; so does a number beyond 31 bits. */
static inline uint32_t bits_get_rice(struct bit_reader *r, unsigned k)
{
    uint32_t ones = 0;
    while (bits_get(r, 1)) {
        if (++ones >> (31 - k)) {
            r->spent = true;
            return 0;
        }
    }
    return ones << k | bits_get(r, k);
}

/* 0, -1, 1, -2, … as 0, 1, 2, 3, …, and back. */
static inline uint32_t fold(int d)
{
    return d < 0 ? (uint32_t)(-2 * d - 1) : (uint32_t)(2 * d);
}

static inline int unfold(uint32_t v)
{
    return v & 1 ? -(int)(v / 2) - 1 : (int)(v / 2);
}

/* Seven bits a byte, lowest first, the top bit set while more follow. */
static inline size_t varint_put(uint8_t *dst, uint32_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        dst[n++] = (uint8_t)(value | 0x80);
    dst[n++] = (uint8_t)value;
    return n;
}

enum { VARINT_MOST = 5 };

/* Returns the bytes read, 0 where there is no number of 32 bits. */
static inline size_t varint_get(const uint8_t *src, size_t len, uint32_t *ret)
{
    uint64_t value = 0;
    for (size_t n = 0; n < len && n < VARINT_MOST; n++) {
        value |= (uint64_t)(src[n] & 0x7f) << (7 * n);
        if (!(src[n] & 0x80)) {
            *ret = (uint32_t)value;
            return value <= UINT32_MAX ? n + 1 : 0;
        }
    }
    return 0;
}

#endif
