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

/*
 * What goes by in order is added to these; each may be NULL. tree gets the leaves of the bytes,
 * which the pool computes: the caller ends it.
 */
struct transfer_sums {
    struct hasher *range, *whole;
    struct digest *digest;
    struct hash_tree *tree;
};

/*
 * From now on the lease that is held on this descriptor (guard_lease) is looked at before each
 * chunk: ERR_CHANGED once somebody opens the file for writing. -1: none.
 */
void transfer_watch(struct transfer *transfer, int fd);

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

/* Bytes of a content, and where they lie in a file. */
struct transfer_part {
    const struct content *content;
    uint64_t at, bytes; /* in the content */
    int fd;             /* -1: none */
    uint64_t offset;    /* in the file */
};
/* The part of an opened content that a range names. ERR_DAMAGED: it is not so long. */
int transfer_part_of(const struct content *content, const struct manifest_range *range, int fd,
                     struct transfer_part *ret, struct err *err);

/* Decodes bytes and compares them with those of the file. ERR_DAMAGED where they differ. */
int transfer_compare(struct transfer *transfer, const struct transfer_part *part,
                     const struct transfer_sums *sums, struct err *err);

/* Decodes bytes into the file. */
int transfer_decode(struct transfer *transfer, const struct transfer_part *part,
                    const struct transfer_sums *sums, struct err *err);
/* Decodes a whole content into nothing: whether it can be. */
int transfer_check(struct transfer *transfer, const struct content *content, struct err *err);

/*
 * Decodes a whole stored file into fd (-1: nowhere); its hash and its digest must agree. shas, one
 * for each range, gets their SHA-256, which must be those of the manifest where it has them; NULL:
 * they are not asked for.
 */
int transfer_decode_file(struct transfer *transfer, struct store *store,
                         const struct manifest *manifest, int fd, struct sha256 *shas,
                         struct err *err);

/* Encodes one chunk of at most PACK_BELOW bytes in the calling thread: *ret_codec, its length. */
size_t transfer_encode_small(struct transfer *transfer, const struct codec_chunk *chunk,
                             enum codec wanted, uint8_t *dst, enum codec *ret_codec);
struct content_work *transfer_work(struct transfer *transfer);

#endif
