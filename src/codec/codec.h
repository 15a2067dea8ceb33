/* SPDX-License-Identifier: MIT */
/*
 * Codecs: raw chunk <-> encoded chunk. A contract on buffers: no files, no threads, no printing.
 *
 * A chunk is a whole number of elements of one dtype: at most CODEC_CHUNK of them in a store, up
 * to 4 GiB elsewhere. Encoding is deterministic. Decoders trust nothing: they check every length,
 * and fill exactly n bytes or fail.
 */
#ifndef TARE_CODEC_CODEC_H
#define TARE_CODEC_CODEC_H

#include "base/err.h"
#include "model/dtype.h"

#include <stddef.h>

enum {
    CODEC_CHUNK = 256 * 1024,            /* elements */
    CODEC_CHUNK_BYTES = CODEC_CHUNK * 8, /* at most, for the widest type */
};

/* Stable ids, written into stores: never change one. */
enum codec {
    CODEC_RAW = 0,
    CODEC_ZSTD = 1,
    CODEC_BITX = 2, /* needs a base */
    CODEC_PLANES = 3,
    CODEC_COUNT
};

const char *codec_name(enum codec codec);
bool codec_parse(const char *name, enum codec *ret);
bool codec_needs_base(enum codec codec);
/* Whether the codec can be tried on elements of this type. */
bool codec_handles(enum codec codec, enum dtype dtype);

/* Scratch memory and contexts of one thread. */
struct codec_work;
struct codec_work *codec_work_new(void);
void codec_work_free(struct codec_work *work); /* accepts NULL */

/* Bytes of an encoded chunk of n raw bytes, at most. */
size_t codec_bound(size_t n);

/*
 * One raw chunk: n bytes, a multiple of the dtype's width; base: n bytes of the same dtype, or
 * NULL. What is encoded with a base can only be decoded with the same base.
 */
struct codec_chunk {
    enum dtype dtype;
    const uint8_t *raw, *base;
    size_t n;
};

/*
 * Encodes into dst (codec_bound(n) bytes there) and returns the length; 0 where the codec does
 * not make the chunk smaller: store it raw then.
 */
size_t codec_encode(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk,
                    uint8_t *dst);

/* Decodes len bytes of src into dst (n bytes). ERR_DAMAGED, ERR_UNSUPPORTED (unknown codec). */
int codec_decode(struct codec_work *work, enum codec codec, enum dtype dtype, const uint8_t *src,
                 size_t len, const uint8_t *base, uint8_t *dst, size_t n, struct err *err);

#endif
