/* SPDX-License-Identifier: MIT */
/* What the codecs share. For src/codec only. */
#ifndef TARE_CODEC_PRIVATE_H
#define TARE_CODEC_PRIVATE_H

#include "codec/ans.h"
#include "codec/codec.h"

struct codec_work {
    struct ZSTD_CCtx_s *compress;
    struct ZSTD_DCtx_s *decompress;
    struct ans ans;
    uint8_t *planes, *lists; /* scratch that grows to what a chunk needs */
    size_t planes_cap, lists_cap;
    uint32_t counts[ANS_CLASSES][ANS_SYMBOLS];
};

/* Scratch of need bytes, aligned for any number; what was in it is gone. */
uint8_t *codec_scratch(uint8_t **memory, size_t *cap, size_t need);

int codec_damaged(struct err *err, const char *what);

/* A zstd frame; 0 where it does not fit into cap. */
size_t codec_zstd(struct codec_work *work, const uint8_t *src, size_t n, uint8_t *dst, size_t cap);
int codec_unzstd(struct codec_work *work, const uint8_t *src, size_t len, uint8_t *dst, size_t n,
                 struct err *err);

/* The codecs. Encoders return 0 where cap bytes may not suffice; decoders fill n bytes. */
struct codec_target {
    enum dtype dtype;
    const uint8_t *base;
    size_t base_n;
    uint8_t *dst;
    size_t n;
};

size_t bitx_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                   size_t cap);
int bitx_decode(struct codec_work *work, const uint8_t *src, size_t len,
                const struct codec_target *target, struct err *err);
size_t planes_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                     size_t cap);
int planes_decode(struct codec_work *work, const uint8_t *src, size_t len,
                  const struct codec_target *target, struct err *err);
int planes1_decode(struct codec_work *work, const uint8_t *src, size_t len,
                   const struct codec_target *target, struct err *err);
size_t delta_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                    size_t cap);
int delta_decode(struct codec_work *work, const uint8_t *src, size_t len,
                 const struct codec_target *target, struct err *err);

#endif
