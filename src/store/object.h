/* SPDX-License-Identifier: MIT */
/*
 * Object files: the encoded chunks of one tensor, or of the small tensors of one file (a pack).
 * Byte by byte in docs/store-format.md.
 */
#ifndef TARE_STORE_OBJECT_H
#define TARE_STORE_OBJECT_H

#include "base/err.h"
#include "base/hash.h"
#include "codec/codec.h"

enum {
    OBJECT_VERSION = 4,
    OBJECT_CHUNK_COST = 16, /* bytes of table for each chunk */
    PACK_BELOW = 64 * 1024, /* tensors smaller than this go into packs */
};

struct object_chunk {
    uint64_t offset; /* in the file */
    uint32_t stored, raw;
    enum codec codec;
    uint32_t stored_sum; /* low half of the XXH3-64 of the stored bytes */
    uint64_t sum;        /* XXH3-64 of the raw bytes */
};

struct object_entry {
    struct hash128 id, base; /* base zero: none */
    uint64_t bytes;          /* raw */
    uint32_t first, count;   /* chunks */
    enum dtype dtype;
    enum dtype base_dtype; /* as which the elements of the base are seen */
    uint64_t base_at; /* bytes of the base before the first that counts: rows of a larger one */
};

/* An object file that is open for reading. Reading is safe from several threads. */
struct object {
    int fd;
    uint32_t version;
    uint64_t size;
    struct object_entry *entries;
    struct object_chunk *chunks;
    uint32_t entry_count, chunk_count;
    bool framed;         /* a pack whose entries begin with a frame */
    unsigned references; /* one after opening; changed by the thread that owns the store */
};

/* Opens and checks header and tables. dir: a directory descriptor. ERR_DAMAGED, … */
int object_open(int dir, const char *path, struct object **ret, struct err *err);
/* The same for a descriptor of size bytes, which the object takes over (also on failure). */
int object_open_fd(int fd, uint64_t size, struct object **ret, struct err *err);
/* Gives up one reference. Accepts NULL. */
void object_free(struct object *object);
const struct object_entry *object_find(const struct object *object, const struct hash128 *id);
/* What is read from it next comes from the disk, not from the system's cache. */
void object_from_disk(const struct object *object);
/* The encoded bytes of a chunk: chunk->stored bytes into dst. ERR_DAMAGED: their checksum. */
int object_read(const struct object *object, const struct object_chunk *chunk, uint8_t *dst,
                struct err *err);

/* Whether the frame of an entry says what the table says; 0 where it has none. */
int object_check_frame(const struct object *object, const struct object_entry *entry,
                       struct err *err);

/*
 * Raw bytes of one chunk of elements of this dtype (the last one of a tensor may have fewer), in
 * objects of this version.
 */
uint32_t object_chunk_bytes(uint32_t version, enum dtype dtype);

/* An object file in the making. Passive: the caller encodes, the writer appends. */
struct object_writer;

/*
 * Starts in dir/name with room for the tables; ids and lengths of the entries are known. framed:
 * each entry begins with a frame, as those of packs do.
 */
int object_writer_new(int dir, const char *name, const struct object_entry *entries, uint32_t count,
                      bool framed, struct object_writer **ret, struct err *err);
/* Appends the next chunk, in the order of entries and of the bytes within them. */
int object_writer_add(struct object_writer *writer, enum codec codec, const uint8_t *data,
                      uint32_t stored, uint64_t sum, struct err *err);
/* Writes the tables and makes the file durable. ret_size: its length. */
int object_writer_finish(struct object_writer *writer, uint64_t *ret_size, struct err *err);
void object_writer_free(struct object_writer *writer); /* accepts NULL; does not remove the file */

#endif
