/* SPDX-License-Identifier: MIT */
/* The bytes of a content id, wherever the store has them. */
#include "store/store.h"

#include "base/file.h"
#include "store/private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct content {
    struct object *object;            /* an object or a pack */
    const struct object_entry *entry; /* within it */
    struct content *base;             /* of a delta */
    uint32_t chunk;                   /* bytes of one, raw */
    int held;                         /* else a descriptor of a held file */
    uint64_t offset, bytes;           /* within that */
    uint64_t skip;                    /* as a base: bytes before those that count */
    enum dtype dtype;
};

struct content_work {
    struct codec_work *codec;
    /* CODEC_CHUNK_BYTES each, made at first use */
    uint8_t *encoded, *base, *raw, *other;
    struct content_work *below; /* for the base of a delta */
};

struct content_work *content_work_new(void)
{
    struct content_work *work = mem_zalloc(sizeof *work);
    work->codec = codec_work_new();
    return work;
}

void content_work_free(struct content_work *work)
{
    if (!work)
        return;
    content_work_free(work->below);
    codec_work_free(work->codec);
    free(work->encoded);
    free(work->base);
    free(work->raw);
    free(work->other);
    free(work);
}

struct codec_work *content_codec(struct content_work *work)
{
    return work->codec;
}

/* A pack, opened once while its tensors are asked for in a row. */
static int open_pack(struct store *store, const struct hash128 *pack, struct object **ret,
                     struct err *err)
{
    if (!store->pack || !hash128_equal(&store->pack_id, pack)) {
        char name[48];
        struct object *object;
        object_name(name, pack, true);
        int r = object_open(store->objects, name, &object, err);
        if (r < 0)
            return r;
        object_free(store->pack);
        store->pack = object;
        store->pack_id = *pack;
    }
    store->pack->references++;
    *ret = store->pack;
    return 0;
}

static int open_object(struct store *store, const struct hash128 *id, const struct hash128 *pack,
                       struct content *content, struct err *err)
{
    char name[48];
    object_name(name, id, false);
    int r = pack ? open_pack(store, pack, &content->object, err)
                 : object_open(store->objects, name, &content->object, err);
    if (r < 0)
        return r;
    content->entry = object_find(content->object, id);
    if (!content->entry)
        return err_set(err, ERR_DAMAGED, "object %s is not where it should be", name);
    content->bytes = content->entry->bytes;
    content->dtype = content->entry->dtype;
    content->chunk = object_chunk_bytes(content->object->version, content->dtype);
    return 0;
}

static int open_held(struct store *store, uint64_t at, struct content *content, struct err *err)
{
    const struct manifest *m = &store->held[at >> 32].manifest;
    const struct manifest_range *range = &m->ranges[at & 0xffffffff];
    struct stat st;
    AUTO_FD int fd = file_open_regular(store->held_dir, m->fid, &st, err);
    if (fd < 0)
        return fd;
    if ((uint64_t)st.st_size != m->size)
        return err_set(err, ERR_DAMAGED, "the held base %s was changed in its place", m->path);
    content->held = TAKE_FD(fd);
    content->offset = range->offset;
    content->bytes = range->bytes;
    content->dtype = range->dtype;
    return 0;
}

static int open_at(struct store *store, const struct hash128 *id, bool as_base,
                   struct content *content, struct err *err)
{
    uint64_t place;
    char hex[HASH128_HEX];
    int r;
    hash128_hex(hex, id);
    if (!map_get(&store->places, id, &place))
        return err_set(err, ERR_DAMAGED, "%s %s is missing from the store",
                       as_base ? "the base" : "object", hex);
    uint64_t held;
    if (!store->prefer_objects && map_get(&store->held_ids, id, &held) &&
        open_held(store, held, content, NULL) == 0)
        return 0;
    if (place_kind(place) == CONTENT_HELD)
        return open_held(store, place_index(place), content, err);
    bool packed = place_kind(place) == CONTENT_PACK;
    r = open_object(store, id, packed ? &store->packs[place_index(place)] : NULL, content, err);
    bool delta = r == 0 && !hash128_is_zero(&content->entry->base);
    /*
     * The held file serves where the object cannot; but not while objects are compared with a
     * file that may be the held one itself.
     */
    bool fails = r < 0 && !store->prefer_objects;
    if ((fails || (delta && as_base)) && map_get(&store->held_ids, id, &place)) {
        object_free(content->object);
        content->object = NULL;
        return open_held(store, place, content, err);
    }
    if (r < 0 || !delta)
        return r;
    if (as_base)
        return err_set(err, ERR_DAMAGED, "object %s: its base is a delta itself", hex);
    content->base = mem_zalloc(sizeof *content->base);
    content->base->held = -1;
    content->base->skip = content->entry->base_at;
    return open_at(store, &content->entry->base, true, content->base, err);
}

int content_open(struct store *store, const struct hash128 *id, struct content **ret,
                 struct err *err)
{
    struct content *content = mem_zalloc(sizeof *content);
    content->held = -1;
    int r = open_at(store, id, false, content, err);
    if (r < 0) {
        content_free(content);
        return r;
    }
    *ret = content;
    return 0;
}

void content_free(struct content *content)
{
    if (!content)
        return;
    content_free(content->base);
    object_free(content->object);
    cleanup_fd(&content->held);
    free(content);
}

uint64_t content_bytes(const struct content *content)
{
    return content->bytes;
}

enum dtype content_dtype(const struct content *content)
{
    return content->dtype;
}

uint32_t content_chunk_bytes(const struct content *content)
{
    return content->chunk ? content->chunk : CODEC_CHUNK_BYTES;
}

static uint8_t *scratch(uint8_t **buffer)
{
    if (!*buffer)
        *buffer = mem_alloc(CODEC_CHUNK_BYTES);
    return *buffer;
}

/* One whole chunk of an object into dst. */
static int read_chunk(const struct content *content, uint32_t i, uint8_t *dst,
                      struct content_work *work, struct err *err)
{
    const struct object_chunk *chunk = &content->object->chunks[content->entry->first + i];
    const uint8_t *base = NULL;
    size_t base_n = 0;
    struct err why = {0};
    int r = object_read(content->object, chunk, scratch(&work->encoded), &why);
    if (r == 0 && content->base && codec_needs_base(chunk->codec)) {
        if (!work->below)
            work->below = content_work_new();
        r = content_read_base(content->base, content->entry->base_dtype, content->dtype,
                              (uint64_t)i * content->chunk, scratch(&work->base), chunk->raw,
                              &base_n, work->below, &why);
        base = work->base;
    }
    if (r == 0)
        r = codec_decode(work->codec, chunk->codec, content->dtype, work->encoded, chunk->stored,
                         base, base_n, dst, chunk->raw, &why);
    if (r == 0 && hash64_of(dst, chunk->raw) != chunk->sum)
        r = err_set(&why, ERR_DAMAGED,
                    content->base ? "its bytes, or those of its base, are wrong"
                                  : "its bytes are wrong");
    if (r == 0)
        return 0;
    char hex[HASH128_HEX];
    hash128_hex(hex, &content->entry->id);
    return err_set(err, r, "object %s, chunk %u: %.400s", hex, i, why.text);
}

int content_read(const struct content *content, uint64_t offset, uint8_t *dst, size_t n,
                 struct content_work *work, struct err *err)
{
    if (offset > content->bytes || n > content->bytes - offset)
        return err_set(err, ERR_DAMAGED, "more bytes are asked for than the object has");
    if (content->held >= 0)
        return file_pread(content->held, dst, n, content->offset + offset, err);
    uint32_t each = content->chunk;
    while (n) {
        uint32_t i = (uint32_t)(offset / each), inside = (uint32_t)(offset % each);
        uint32_t raw = content->object->chunks[content->entry->first + i].raw;
        size_t part = MIN(n, (size_t)(raw - inside));
        bool whole = inside == 0 && part == raw;
        uint8_t *to = whole ? dst : scratch(&work->raw);
        int r = read_chunk(content, i, to, work, err);
        if (r < 0)
            return r;
        if (!whole)
            memcpy(dst, to + inside, part);
        dst += part;
        offset += part;
        n -= part;
    }
    return 0;
}

int content_read_base(const struct content *base, enum dtype base_dtype, enum dtype dtype,
                      uint64_t offset, uint8_t *dst, size_t n, size_t *ret_n,
                      struct content_work *work, struct err *err)
{
    unsigned from = dtype_width(base_dtype), to = dtype_width(dtype);
    uint64_t at = offset / to;
    uint64_t there = base->bytes > base->skip ? (base->bytes - base->skip) / from : 0;
    size_t count = at < there ? (size_t)MIN(there - at, (uint64_t)(n / to)) : 0;
    *ret_n = count * to;
    if (!count)
        return 0;
    if (base_dtype == dtype)
        return content_read(base, base->skip + offset, dst, *ret_n, work, err);
    for (size_t done = 0, part; done < count; done += part) {
        part = MIN(count - done, (size_t)CODEC_CHUNK_BYTES / from);
        int r = content_read(base, base->skip + (at + done) * from, scratch(&work->other),
                             part * from, work, err);
        if (r < 0)
            return r;
        codec_convert(base_dtype, dtype, work->other, part, dst + done * to);
    }
    return 0;
}
