/* SPDX-License-Identifier: MIT */
/*
 * Codecs: raw chunk <-> encoded chunk. A contract on buffers: no files, no threads, no printing.
 *
 * A chunk is a whole number of elements of one dtype: at most CODEC_CHUNK_BYTES in a store, up to
 * 4 GiB elsewhere. On one machine encoding is
 * deterministic, whatever the vector path; another one may choose otherwise. Decoders trust
 * nothing: they check every length, and fill exactly n bytes or fail.
 */
#ifndef TARE_CODEC_CODEC_H
#define TARE_CODEC_CODEC_H

#include "base/err.h"
#include "model/dtype.h"

#include <stddef.h>

enum { CODEC_CHUNK_BYTES = 2 << 20 };

/* Stable ids, written into stores: never change one. */
enum codec {
    CODEC_RAW = 0,
    CODEC_ZSTD = 1,
    CODEC_BITX = 2,     /* needs a base */
    CODEC_PLANES_1 = 3, /* written by tare 0.1.0; decoding only */
    CODEC_DELTA = 4,    /* needs a base */
    CODEC_PLANES = 5,
    CODEC_COUNT
};

const char *codec_name(enum codec codec);
bool codec_parse(const char *name, enum codec *ret);
bool codec_needs_base(enum codec codec);
/* Whether the codec encodes elements of this type. */
bool codec_handles(enum codec codec, enum dtype dtype);

/* Whether a tensor of this type can be a base for elements of the other, converted. */
bool codec_base_suits(enum dtype base, enum dtype dtype);
/* Converts n elements of a base to a type that it suits. */
void codec_convert(enum dtype from, enum dtype to, const uint8_t *src, size_t n, uint8_t *dst);

/* Scratch memory and contexts of one thread. */
struct codec_work;
struct codec_work *codec_work_new(void);
void codec_work_free(struct codec_work *work); /* accepts NULL */

/* Bytes of an encoded chunk of n raw bytes, at most. */
size_t codec_bound(size_t n);

/*
 * One raw chunk: n bytes, a multiple of the dtype's width; base: base_n bytes of the same dtype
 * for its first elements (delta; bitx wants n of them), or NULL. What is encoded with a base can
 * only be decoded with the same base.
 */
struct codec_chunk {
    enum dtype dtype;
    const uint8_t *raw, *base;
    size_t n, base_n;
};

/*
 * Encodes into dst (codec_bound(n) bytes there) and returns the length; 0 where the codec does
 * not make the chunk smaller: store it raw then.
 */
size_t codec_encode(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk,
                    uint8_t *dst);

/*
 * Decodes len bytes of src into dst (n bytes). base: as for the encoder, not within dst.
 * ERR_DAMAGED, ERR_UNSUPPORTED (unknown codec).
 */
int codec_decode(struct codec_work *work, enum codec codec, enum dtype dtype, const uint8_t *src,
                 size_t len, const uint8_t *base, size_t base_n, uint8_t *dst, size_t n,
                 struct err *err);

#endif
