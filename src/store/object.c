/* SPDX-License-Identifier: MIT */
/*
 * Object files. All numbers are little-endian.
 *   0    8  "tareobj\n"
 *   8    4  version (4)
 *   12   4  entries E
 *   16   4  chunks C
 *   20   4  flags: 1, a frame lies before the chunks of each entry (packs)
 *   24   8  length of the file
 *   32   8  XXH3-64 of the tables
 *   40   8  XXH3-64 of bytes 0 to 39
 *   48      E entries of 64 bytes: id 16, base 16 (0: none), raw bytes 8, first chunk 4,
 *           chunks 4, dtype 4, dtype of the base 4, first byte of the base 8
 *           C chunks of 16 bytes: stored bytes 3, codec 1, low half of the XXH3-64 of the stored
 *           bytes 4, XXH3-64 of the raw bytes 8
 *           the encoded chunks, one behind the other
 * A frame has 48 bytes: "tareent\n", id 16, base 16, dtype 1, dtype of the base 1, 0 2, raw bytes
 * 4: what is in a pack can be found without its tables.
 * In version 3 entries have 56 bytes, without the last field, and there are no frames. In versions
 * 1 and 2 a chunk has 32 bytes: offset 8, stored bytes 4, raw bytes 4, codec 4, the two checksums
 * (the first one 0 in version 1); the dtype of the base is 0 and that of the entry.
 */
#include "store/object.h"

#include "base/file.h"
#include "base/mem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD = 48,
    ENTRY = 64,
    ENTRY_3 = 56,
    FRAME = 48,
    FRAMED = 1,
    CHUNK = OBJECT_CHUNK_COST,
    CHUNK_2 = 32,
    CHUNK_ELEMENTS_2 = 256 * 1024,
    TABLE_LIMIT = 1 << 28,
};
static const char magic[8] = "tareobj\n", frame_magic[8] = "tareent\n";

struct object_writer {
    int fd;
    uint64_t at;
    uint8_t *tables;
    struct object_entry *entries;
    uint32_t entry_count, chunk_count, next;
    uint32_t entry; /* of a pack: whose frame comes next */
    bool framed;
};

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

uint32_t object_chunk_bytes(uint32_t version, enum dtype dtype)
{
    return version < 3 ? CHUNK_ELEMENTS_2 * dtype_width(dtype) : CODEC_CHUNK_BYTES;
}

static uint32_t chunk_count(uint32_t version, enum dtype dtype, uint64_t bytes)
{
    uint32_t each = object_chunk_bytes(version, dtype);
    return (uint32_t)(bytes / each + (bytes % each != 0));
}

static int damaged(struct err *err, const char *what)
{
    return err_set(err, ERR_DAMAGED, "%s", what);
}

static size_t entry_size(uint32_t version)
{
    return version < 4 ? ENTRY_3 : ENTRY;
}

static int parse_entries(struct object *object, const uint8_t *p, struct err *err)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < object->entry_count; i++, p += entry_size(object->version)) {
        struct object_entry *entry = &object->entries[i];
        memcpy(entry->id.b, p, 16);
        memcpy(entry->base.b, p + 16, 16);
        entry->bytes = get64(p + 32);
        entry->first = get32(p + 40);
        entry->count = get32(p + 44);
        entry->dtype = (enum dtype)get32(p + 48);
        entry->base_dtype = object->version < 3 ? entry->dtype : (enum dtype)get32(p + 52);
        entry->base_at = object->version < 4 ? 0 : get64(p + 56);
        bool delta = !hash128_is_zero(&entry->base);
        if ((unsigned)entry->dtype >= DTYPE_COUNT || (unsigned)entry->base_dtype >= DTYPE_COUNT ||
            (delta && !codec_base_suits(entry->base_dtype, entry->dtype)) ||
            (entry->base_at && !delta) || entry->base_at >> 62 ||
            entry->base_at % dtype_width(entry->base_dtype) || entry->first != next ||
            entry->bytes % dtype_width(entry->dtype) ||
            entry->bytes / object_chunk_bytes(object->version, entry->dtype) >
                object->chunk_count ||
            entry->count != chunk_count(object->version, entry->dtype, entry->bytes))
            return damaged(err, "an entry of the table is wrong");
        next += entry->count;
    }
    return next == object->chunk_count ? 0 : damaged(err, "the tables do not agree");
}

/* One line of the table; at: where the chunks before it end. Returns where the next begins. */
static const uint8_t *parse_chunk(uint32_t version, const uint8_t *p, uint64_t at, uint32_t raw,
                                  struct object_chunk *ret)
{
    if (version < 3) {
        *ret = (struct object_chunk){.offset = get64(p),
                                     .stored = get32(p + 8),
                                     .raw = get32(p + 12),
                                     .codec = (enum codec)get32(p + 16),
                                     .stored_sum = get32(p + 20),
                                     .sum = get64(p + 24)};
        return p + CHUNK_2;
    }
    *ret = (struct object_chunk){.offset = at,
                                 .stored = get32(p) & 0xffffff,
                                 .raw = raw,
                                 .codec = (enum codec)(get32(p) >> 24),
                                 .stored_sum = get32(p + 4),
                                 .sum = get64(p + 8)};
    return p + CHUNK;
}

static int parse_chunks(struct object *object, const uint8_t *p, uint64_t at, struct err *err)
{
    for (uint32_t e = 0; e < object->entry_count; e++) {
        const struct object_entry *entry = &object->entries[e];
        uint64_t left = entry->bytes;
        at += object->framed && entry->count ? FRAME : 0;
        for (uint32_t i = 0; i < entry->count; i++) {
            struct object_chunk *chunk = &object->chunks[entry->first + i];
            uint64_t want = MIN(left, (uint64_t)object_chunk_bytes(object->version, entry->dtype));
            p = parse_chunk(object->version, p, at, (uint32_t)want, chunk);
            if (chunk->raw != want || chunk->stored > chunk->raw || chunk->offset > object->size ||
                chunk->stored > object->size - chunk->offset)
                return damaged(err, "a chunk of the table is wrong");
            left -= want;
            at = chunk->offset + chunk->stored;
        }
    }
    return 0;
}

static int parse(struct object *object, struct err *err)
{
    uint8_t head[HEAD];
    if (object->size < HEAD)
        return damaged(err, "too short for an object");
    int r = file_pread(object->fd, head, HEAD, 0, err);
    if (r < 0)
        return r;
    if (memcmp(head, magic, sizeof magic) != 0 || get64(head + 40) != hash64_of(head, 40))
        return damaged(err, "the header of the object is damaged");
    object->version = get32(head + 8);
    if (object->version < 1 || object->version > OBJECT_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (object version %u)",
                       object->version);
    object->entry_count = get32(head + 12);
    object->chunk_count = get32(head + 16);
    object->framed = object->version > 3 && get32(head + 20) & FRAMED;
    size_t entries = object->entry_count * entry_size(object->version);
    uint64_t tables =
        entries + (uint64_t)object->chunk_count * (object->version < 3 ? CHUNK_2 : CHUNK);
    if (get64(head + 24) != object->size || tables > object->size - HEAD || tables > TABLE_LIMIT)
        return damaged(err, "the object has another length than it says");
    AUTO_FREE uint8_t *bytes = mem_has_room(4 * tables) ? mem_try(tables) : NULL;
    if (!bytes)
        return err_set(err, ERR_LIMIT, "not enough memory for its tables of %llu bytes",
                       (unsigned long long)tables);
    r = file_pread(object->fd, bytes, tables, HEAD, err);
    if (r < 0)
        return r;
    if (hash64_of(bytes, tables) != get64(head + 32))
        return damaged(err, "the tables of the object are damaged");
    object->entries = mem_zalloc(object->entry_count * sizeof *object->entries);
    object->chunks = mem_zalloc(object->chunk_count * sizeof *object->chunks);
    r = parse_entries(object, bytes, err);
    return r < 0 ? r : parse_chunks(object, bytes + entries, HEAD + tables, err);
}

int object_open_fd(int fd, uint64_t size, struct object **ret, struct err *err)
{
    struct object *object = mem_zalloc(sizeof *object);
    *object = (struct object){.fd = fd, .size = size, .references = 1};
    int r = parse(object, err);
    if (r < 0)
        object_free(object);
    else
        *ret = object;
    return r;
}

int object_open(int dir, const char *path, struct object **ret, struct err *err)
{
    struct stat st;
    struct err why = {0};
    /* Not even a folder on the way may be a link. */
    int fd = file_open_beneath(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, false, &why);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        cleanup_fd(&fd);
        fd = err_set(&why, ERR_DAMAGED, "it is no regular file");
    }
    int r = fd < 0 ? fd : object_open_fd(fd, (uint64_t)st.st_size, ret, &why);
    return r < 0 ? err_set(err, r, "object %.60s: %.400s", file_base(path), why.text) : 0;
}

void object_free(struct object *object)
{
    if (!object || --object->references)
        return;
    cleanup_fd(&object->fd);
    free(object->entries);
    free(object->chunks);
    free(object);
}

const struct object_entry *object_find(const struct object *object, const struct hash128 *id)
{
    for (uint32_t i = 0; i < object->entry_count; i++)
        if (hash128_equal(&object->entries[i].id, id))
            return &object->entries[i];
    return NULL;
}

void object_from_disk(const struct object *object)
{
    (void)posix_fadvise(object->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int object_read(const struct object *object, const struct object_chunk *chunk, uint8_t *dst,
                struct err *err)
{
    int r = file_pread(object->fd, dst, chunk->stored, chunk->offset, err);
    if (r == 0 && object->version > 1 &&
        (uint32_t)hash64_of(dst, chunk->stored) != chunk->stored_sum)
        r = damaged(err, "what is stored of it was changed");
    return r;
}

int object_writer_new(int dir, const char *name, const struct object_entry *entries, uint32_t count,
                      bool framed, struct object_writer **ret, struct err *err)
{
    (void)unlinkat(dir, name, 0);
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return err_sys(err, "%s", name);
    struct object_writer *writer = mem_zalloc(sizeof *writer);
    writer->fd = fd;
    writer->entry_count = count;
    writer->framed = framed;
    writer->entries = mem_alloc(count * sizeof *entries);
    memcpy(writer->entries, entries, count * sizeof *entries);
    for (uint32_t i = 0; i < count; i++) {
        struct object_entry *entry = &writer->entries[i];
        entry->first = writer->chunk_count;
        entry->count = chunk_count(OBJECT_VERSION, entry->dtype, entry->bytes);
        writer->chunk_count += entry->count;
    }
    size_t tables = (size_t)count * ENTRY + (size_t)writer->chunk_count * CHUNK;
    writer->tables = mem_zalloc(tables);
    writer->at = HEAD + tables;
    *ret = writer;
    return 0;
}

static void make_frame(const struct object_entry *entry, uint8_t frame[FRAME])
{
    memset(frame, 0, FRAME);
    memcpy(frame, frame_magic, sizeof frame_magic);
    memcpy(frame + 8, entry->id.b, 16);
    memcpy(frame + 24, entry->base.b, 16);
    frame[40] = (uint8_t)entry->dtype;
    frame[41] = (uint8_t)entry->base_dtype;
    put32(frame + 44, (uint32_t)entry->bytes);
}

int object_check_frame(const struct object *object, const struct object_entry *entry,
                       struct err *err)
{
    uint8_t frame[FRAME], seen[FRAME];
    if (!object->framed || !entry->count)
        return 0;
    make_frame(entry, frame);
    int r = file_pread(object->fd, seen, FRAME, object->chunks[entry->first].offset - FRAME, err);
    return r < 0 || memcmp(frame, seen, FRAME) == 0 ? r : damaged(err, "its frame is damaged");
}

/* Before the first chunk of each entry of a pack. */
static int add_frame(struct object_writer *writer, struct err *err)
{
    uint8_t frame[FRAME];
    while (writer->entry < writer->entry_count && !writer->entries[writer->entry].count)
        writer->entry++;
    if (!writer->framed || writer->entry == writer->entry_count ||
        writer->entries[writer->entry].first != writer->next)
        return 0;
    make_frame(&writer->entries[writer->entry++], frame);
    int r = file_pwrite(writer->fd, frame, FRAME, writer->at, err);
    writer->at += FRAME;
    return r;
}

int object_writer_add(struct object_writer *writer, enum codec codec, const uint8_t *data,
                      uint32_t stored, uint64_t sum, struct err *err)
{
    int r = add_frame(writer, err);
    uint8_t *p =
        writer->tables + (size_t)writer->entry_count * ENTRY + (size_t)writer->next++ * CHUNK;
    put32(p, stored | (uint32_t)codec << 24);
    put32(p + 4, (uint32_t)hash64_of(data, stored));
    put64(p + 8, sum);
    if (r == 0)
        r = file_pwrite(writer->fd, data, stored, writer->at, err);
    writer->at += stored;
    return r;
}

int object_writer_finish(struct object_writer *writer, uint64_t *ret_size, struct err *err)
{
    uint8_t head[HEAD] = {0};
    size_t tables = (size_t)writer->entry_count * ENTRY + (size_t)writer->chunk_count * CHUNK;
    uint8_t *p = writer->tables;
    for (uint32_t i = 0; i < writer->entry_count; i++, p += ENTRY) {
        const struct object_entry *entry = &writer->entries[i];
        memcpy(p, entry->id.b, 16);
        memcpy(p + 16, entry->base.b, 16);
        put64(p + 32, entry->bytes);
        put32(p + 40, entry->first);
        put32(p + 44, entry->count);
        put32(p + 48, entry->dtype);
        put32(p + 52, entry->base_dtype);
        put64(p + 56, entry->base_at);
    }
    memcpy(head, magic, sizeof magic);
    put32(head + 8, OBJECT_VERSION);
    put32(head + 12, writer->entry_count);
    put32(head + 16, writer->chunk_count);
    put32(head + 20, writer->framed ? FRAMED : 0);
    put64(head + 24, writer->at);
    put64(head + 32, hash64_of(writer->tables, tables));
    put64(head + 40, hash64_of(head, 40));
    int r = file_pwrite(writer->fd, writer->tables, tables, HEAD, err);
    if (r == 0)
        r = file_pwrite(writer->fd, head, HEAD, 0, err);
    if (r == 0 && fsync(writer->fd) < 0)
        r = err_sys(err, "making an object durable");
    /* What is compared next shall come from the disk. */
    (void)posix_fadvise(writer->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (close(TAKE_FD(writer->fd)) < 0 && r == 0)
        r = err_sys(err, "closing an object");
    if (r == 0)
        *ret_size = writer->at;
    return r;
}

void object_writer_free(struct object_writer *writer)
{
    if (!writer)
        return;
    cleanup_fd(&writer->fd);
    free(writer->tables);
    free(writer->entries);
    free(writer);
}
