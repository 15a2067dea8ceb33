/* SPDX-License-Identifier: MIT */
/*
 * The pipeline: chunks are read in order by the calling thread, worked on by the pool, and
 * collected in order. Memory is bounded by the chunks in flight. For src/ops only.
 */
#ifndef TARE_OPS_TRANSFER_H
#define TARE_OPS_TRANSFER_H

#include "ops/ops.h"
#include "store/store.h"

struct transfer;

struct transfer *transfer_new(struct ops *ops, struct progress *progress);
void transfer_free(struct transfer *transfer); /* accepts NULL */

/* What goes by in order is added to these; each may be NULL. */
struct transfer_sums {
    struct hasher *range, *whole;
    struct digest *digest;
};

/* Reads bytes of fd for the sums alone. */
int transfer_hash(struct transfer *transfer, int fd, uint64_t offset, uint64_t bytes,
                  const struct transfer_sums *sums, struct err *err);

struct transfer_source {
    int fd;
    uint64_t offset, bytes;
    enum dtype dtype;
    enum codec codec;
    const struct content *base; /* NULL: standalone */
    enum dtype base_dtype;      /* as which its elements are seen */
};
/* Encodes a tensor into the writer, chunk by chunk. */
int transfer_encode(struct transfer *transfer, const struct transfer_source *source,
                    struct object_writer *writer, const struct transfer_sums *sums,
                    struct err *err);

/* Decodes a content and compares it with bytes of fd. ERR_DAMAGED where they differ. */
int transfer_compare(struct transfer *transfer, const struct content *content, int fd,
                     uint64_t offset, struct err *err);

/* Decodes a content into fd at offset (fd -1: nowhere). */
int transfer_decode(struct transfer *transfer, const struct content *content, int fd,
                    uint64_t offset, const struct transfer_sums *sums, struct err *err);

/* Decodes a whole stored file into fd (-1: nowhere); its hash and its digest must agree. */
int transfer_decode_file(struct transfer *transfer, struct store *store,
                         const struct manifest *manifest, int fd, struct err *err);

/* Encodes one chunk of at most PACK_BELOW bytes in the calling thread: *ret_codec, its length. */
size_t transfer_encode_small(struct transfer *transfer, const struct codec_chunk *chunk,
                             enum codec wanted, uint8_t *dst, enum codec *ret_codec);
struct content_work *transfer_work(struct transfer *transfer);

#endif
