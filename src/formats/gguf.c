/* SPDX-License-Identifier: MIT */
/* The key/values of a GGUF file. */
#include "formats/gguf.h"

#include <endian.h>
#include <string.h>

enum {
    BLOCK = 64 * 1024, /* bytes that are read at once */
    KEY_MOST = 65535,
    PAIRS_MOST = 65536,
    STRINGS_MOST = 4 << 20, /* in arrays: vocabularies have fewer than a million */
};

/* Types of values, as they are numbered in the file. */
enum { TYPE_STRING = 8, TYPE_ARRAY = 9, TYPE_COUNT = 13 };
static const uint8_t type_bytes[TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Where we are in the file; bytes from start on are at hand. */
struct cursor {
    const struct reader *reader;
    uint64_t at, start;
    size_t len;
    uint64_t strings; /* that may still come in arrays */
    uint8_t block[BLOCK];
};

static bool skip(struct cursor *c, uint64_t n)
{
    if (n > c->reader->size - c->at)
        return false;
    c->at += n;
    return true;
}

/* The next n bytes, at most BLOCK: they stay until the next call. NULL at the end. */
static const uint8_t *take(struct cursor *c, size_t n)
{
    bool here = c->at >= c->start && c->at - c->start + n <= c->len;
    if (n > BLOCK || n > c->reader->size - c->at)
        return NULL;
    if (!here) {
        c->start = c->at;
        c->len = (size_t)MIN(c->reader->size - c->at, (uint64_t)BLOCK);
        if (reader_read(c->reader, c->at, c->block, c->len, NULL) < 0)
            return NULL;
    }
    const uint8_t *bytes = c->block + (c->at - c->start);
    c->at += n;
    return bytes;
}

static bool take_u32(struct cursor *c, uint32_t *ret)
{
    const uint8_t *bytes = take(c, sizeof *ret);
    if (bytes)
        memcpy(ret, bytes, sizeof *ret);
    *ret = bytes ? le32toh(*ret) : 0;
    return bytes;
}

static bool take_u64(struct cursor *c, uint64_t *ret)
{
    const uint8_t *bytes = take(c, sizeof *ret);
    if (bytes)
        memcpy(ret, bytes, sizeof *ret);
    *ret = bytes ? le64toh(*ret) : 0;
    return bytes;
}

static bool skip_array(struct cursor *c)
{
    uint32_t type;
    uint64_t count, n;
    if (!take_u32(c, &type) || !take_u64(c, &count) || type >= TYPE_COUNT || type == TYPE_ARRAY)
        return false;
    if (type != TYPE_STRING)
        return count <= c->reader->size / type_bytes[type] && skip(c, count * type_bytes[type]);
    if (count > c->strings)
        return false;
    c->strings -= count;
    while (count--)
        if (!take_u64(c, &n) || !skip(c, n))
            return false;
    return true;
}

static bool take_text(struct cursor *c, struct layout *layout, const char *key, size_t key_len)
{
    uint64_t n;
    if (!take_u64(c, &n))
        return false;
    if (n > GGUF_TEXT_MOST)
        return skip(c, n);
    const uint8_t *text = take(c, (size_t)n);
    if (text)
        *ARRAY_ADD(layout->pairs, layout->pair_count, layout->pair_cap) = (struct layout_pair){
            key, arena_strndup(&layout->arena, (const char *)text, (size_t)n), key_len, (size_t)n};
    return text;
}

static bool take_pair(struct cursor *c, struct layout *layout)
{
    uint64_t key_len;
    uint32_t type;
    const uint8_t *key;
    if (!take_u64(c, &key_len) || !key_len || key_len > KEY_MOST ||
        !(key = take(c, (size_t)key_len)))
        return false;
    AUTO_FREE char *name = mem_strndup((const char *)key, (size_t)key_len);
    if (!take_u32(c, &type) || type >= TYPE_COUNT)
        return false;
    if (type == TYPE_ARRAY)
        return skip_array(c);
    if (type != TYPE_STRING)
        return skip(c, type_bytes[type]);
    return take_text(c, layout, arena_strndup(&layout->arena, name, (size_t)key_len),
                     (size_t)key_len);
}

void gguf_pairs(const struct reader *reader, struct layout *layout)
{
    uint32_t version;
    uint64_t tensors, pairs;
    AUTO_FREE struct cursor *c = mem_alloc(sizeof *c);
    *c = (struct cursor){.reader = reader, .strings = STRINGS_MOST};
    const uint8_t *magic = take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0 || !take_u32(c, &version) || version < 2 ||
        version > 3 || !take_u64(c, &tensors) || !take_u64(c, &pairs))
        return;
    for (uint64_t i = 0; i < MIN(pairs, (uint64_t)PAIRS_MOST) && take_pair(c, layout); i++)
        ;
}
