/* SPDX-License-Identifier: MIT */
/* Which format a weight file has, and which shards an index names. */
#include "formats/formats.h"

#include "base/file.h"
#include "base/scan.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/names.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SNIFF = 512 };

static bool starts(const char *head, const char *with)
{
    return strncasecmp(head, with, strlen(with)) == 0;
}

/* Files that are not what their name says, named as what they are. */
static int reject_impostors(const char *head, uint64_t size, struct err *err)
{
    static const char lfs[] = "version https://git-lfs.github.com/spec/";
    static const char *const pages[] = {"<!doctype", "<html", "<?xml", "<head"};
    const char *text = head + strspn(head, " \t\r\n");
    if (size == 0)
        return err_set(err, ERR_FORMAT, "an empty file");
    if (starts(head, lfs)) {
        char oid[65] = "?";
        unsigned long long bytes = 0;
        const char *p = strstr(head, "oid sha256:");
        if (p)
            sscanf(p, "oid sha256:%64[0-9a-f]", oid);
        p = strstr(head, "\nsize ");
        if (p)
            sscanf(p, "\nsize %llu", &bytes);
        return err_set(err, ERR_FORMAT,
                       "a Git LFS pointer, not the weights (sha256 %s, %llu bytes): run git lfs "
                       "pull",
                       oid, bytes);
    }
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (starts(text, pages[i]))
            return err_set(err, ERR_FORMAT,
                           "a web page, not weights (a failed download): download it again");
    return 0;
}

/* A plausible header length, and an object behind it. */
static bool looks_like_safetensors(const unsigned char *head, size_t n)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0 && n > 8; i--)
        length = length << 8 | head[i];
    return n > 8 && length >= 2 && length <= SAFETENSORS_HEADER_LIMIT &&
           (head[8] == '{' || head[8] == ' ');
}

static void opaque_layout(const struct reader *reader, struct layout *layout)
{
    layout->format = FORMAT_OPAQUE;
    layout->size = reader->size;
    struct tensor *t = ARRAY_ADD(layout->tensors, layout->count, layout->cap);
    uint64_t *shape = arena_alloc(&layout->arena, sizeof *shape);
    *shape = reader->size;
    *t = (struct tensor){.name = "bytes",
                         .name_len = 5,
                         .dims = 1,
                         .shape = shape,
                         .bytes = reader->size,
                         .dtype = DTYPE_BYTES};
}

int format_parse(const char *name, const struct reader *reader, struct layout *layout,
                 struct err *err)
{
    char head[SNIFF + 1] = {0};
    size_t n = MIN(reader->size, (uint64_t)SNIFF);
    int r = reader_read(reader, 0, head, n, err);
    if (r == 0)
        r = reject_impostors(head, reader->size, err);
    if (r < 0)
        return r;
    bool named = name && (name_ends_with(name, ".safetensors") || name_ends_with(name, ".sft"));
    if (named ||
        ((!name || !name_is_weight(name)) && looks_like_safetensors((unsigned char *)head, n)))
        return safetensors_parse(reader, layout, err);
    opaque_layout(reader, layout);
    gguf_pairs(reader, layout);
    return 0;
}

static int take_weight_map(struct scan *scan, void (*found)(void *context, const char *file),
                           void *context, struct err *err)
{
    AUTO_FREE char *last = NULL;
    int kind = scan_expect(scan, SCAN_OBJECT, err);
    while (kind >= 0 && (kind = scan_next(scan, err)) == SCAN_KEY) {
        kind = scan_expect(scan, SCAN_STRING, err);
        if (kind < 0)
            return kind;
        if (last && strcmp(last, scan->text.data) == 0)
            continue;
        if (!file_path_is_safe(scan->text.data, scan->text.len))
            return err_set(err, ERR_REFUSED, "the index names a file outside of its folder: %s",
                           scan->text.data);
        free(last);
        last = mem_strdup(scan->text.data);
        found(context, last);
    }
    return MIN(kind, 0);
}

int format_shard_index(const char *bytes, size_t n, void (*found)(void *context, const char *file),
                       void *context, struct err *err)
{
    struct scan scan;
    scan_init(&scan, bytes, n);
    int r = scan_expect(&scan, SCAN_OBJECT, err);
    while (r == 0) {
        int kind = scan_next(&scan, err);
        if (kind != SCAN_KEY) {
            r = kind < 0 ? kind : scan_expect(&scan, SCAN_END, err);
            break;
        }
        bool is_map = strcmp(scan.text.data, "weight_map") == 0;
        r = is_map ? take_weight_map(&scan, found, context, err) : scan_skip(&scan, err);
    }
    scan_release(&scan);
    return r;
}
