/* SPDX-License-Identifier: MIT */
/*
 * safetensors:
 *   0    8 bytes  N, unsigned little-endian, at most 100,000,000
 *   8    N bytes  a JSON object, UTF-8: "__metadata__": {text: text}, and for each tensor
 *                 name: {"dtype": D, "shape": [n, …], "data_offsets": [begin, end]}
 *   8+N  to EOF   the tensors, little-endian, without holes; offsets count from here
 * The rules and their order follow huggingface/safetensors, safetensors/src/tensor.rs, and the
 * leniencies of its JSON library (serde): a tensor may be a list of its three fields, a dtype an
 * object {"F32": null}; unknown fields are ignored; of equal names the last one counts.
 */
#include "formats/safetensors.h"

#include "base/scan.h"
#include "base/text.h"

#include <endian.h>
#include <string.h>

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

enum { GROWS = 6 }; /* times the length of a header is what it becomes in memory */

struct parse {
    struct scan scan;
    struct layout *layout;
    uint64_t *dims; /* the shape in the making */
    size_t dim_count, dim_cap;
    bool metadata_seen;
    struct err *err;
};

/* The name of the tensor at fault, safe for one line and short. */
static int bad_tensor(struct parse *parse, const struct tensor *t, int code, const char *what)
{
    AUTO_BUF struct buf name = {0};
    text_escape(&name, t->name, MIN(t->name_len, 80u));
    return err_set(parse->err, code, "tensor %s: %s", name.data, what);
}

static int take_dtype(struct parse *parse, struct tensor *t)
{
    struct scan *scan = &parse->scan;
    int kind = scan_next(scan, parse->err);
    if (kind == SCAN_OBJECT)
        kind = scan_next(scan, parse->err);
    if (kind < 0)
        return kind;
    if (kind != SCAN_STRING && kind != SCAN_KEY)
        return bad_tensor(parse, t, ERR_FORMAT, "its dtype is not a text");
    if (!dtype_parse(scan->text.data, scan->text.len, &t->dtype)) {
        AUTO_BUF struct buf name = {0};
        buf_str(&name, "unknown dtype ");
        text_escape(&name, scan->text.data, MIN(scan->text.len, 40u));
        return bad_tensor(parse, t, ERR_UNSUPPORTED, name.data);
    }
    if (kind == SCAN_STRING)
        return 0;
    int r = scan_expect(scan, SCAN_OTHER, parse->err);
    return r < 0 ? r : scan_expect(scan, SCAN_CLOSE, parse->err);
}

/* A list of plain unsigned integers into parse->dims. */
static int take_integers(struct parse *parse, const struct tensor *t)
{
    struct scan *scan = &parse->scan;
    int kind = scan_expect(scan, SCAN_LIST, parse->err);
    if (kind < 0)
        return kind;
    parse->dim_count = 0;
    while ((kind = scan_next(scan, parse->err)) == SCAN_NUMBER) {
        if (!scan->is_unsigned)
            return bad_tensor(parse, t, ERR_FORMAT, "a number that is no unsigned integer");
        *ARRAY_ADD(parse->dims, parse->dim_count, parse->dim_cap) = scan->number;
    }
    if (kind < 0)
        return kind;
    return kind == SCAN_CLOSE ? 0 : bad_tensor(parse, t, ERR_FORMAT, "not a list of numbers");
}

static int take_shape(struct parse *parse, struct tensor *t)
{
    int r = take_integers(parse, t);
    if (r < 0)
        return r;
    size_t bytes = parse->dim_count * sizeof *parse->dims;
    uint64_t *shape = arena_alloc(&parse->layout->arena, bytes);
    if (bytes)
        memcpy(shape, parse->dims, bytes);
    t->shape = shape;
    t->dims = (uint32_t)parse->dim_count;
    return 0;
}

/* Leaves begin in t->offset and end in t->bytes until the tensors are checked in order. */
static int take_offsets(struct parse *parse, struct tensor *t)
{
    int r = take_integers(parse, t);
    if (r < 0)
        return r;
    if (parse->dim_count != 2)
        return bad_tensor(parse, t, ERR_FORMAT, "data_offsets are not two numbers");
    t->offset = parse->dims[0];
    t->bytes = parse->dims[1];
    return 0;
}

static int take_field(struct parse *parse, struct tensor *t, unsigned field, unsigned *seen)
{
    if (*seen & field)
        return bad_tensor(parse, t, ERR_FORMAT, "a field stands twice");
    *seen |= field;
    return field == HAS_DTYPE   ? take_dtype(parse, t)
           : field == HAS_SHAPE ? take_shape(parse, t)
                                : take_offsets(parse, t);
}

static int take_fields(struct parse *parse, struct tensor *t, unsigned *seen)
{
    static const struct {
        const char *name;
        unsigned field;
    } fields[] = {{"dtype", HAS_DTYPE}, {"shape", HAS_SHAPE}, {"data_offsets", HAS_OFFSETS}};
    struct scan *scan = &parse->scan;
    int kind;
    while ((kind = scan_next(scan, parse->err)) == SCAN_KEY) {
        unsigned field = 0;
        for (size_t i = 0; i < COUNT_OF(fields); i++)
            if (strlen(fields[i].name) == scan->text.len &&
                memcmp(fields[i].name, scan->text.data, scan->text.len) == 0)
                field = fields[i].field;
        int r = field ? take_field(parse, t, field, seen) : scan_skip(scan, parse->err);
        if (r < 0)
            return r;
    }
    return MIN(kind, 0);
}

static int take_tensor(struct parse *parse)
{
    struct layout *layout = parse->layout;
    struct scan *scan = &parse->scan;
    struct tensor *t = ARRAY_ADD(layout->tensors, layout->count, layout->cap);
    t->order = (uint32_t)layout->count;
    t->name_len = (uint32_t)scan->text.len;
    t->name = arena_strndup(&layout->arena, scan->text.data, scan->text.len);
    unsigned seen = 0;
    int r = 0, kind = scan_next(scan, parse->err);
    if (kind == SCAN_OBJECT)
        r = take_fields(parse, t, &seen);
    else if (kind == SCAN_LIST)
        for (unsigned field = HAS_DTYPE; field <= HAS_OFFSETS && r == 0; field *= 2)
            r = take_field(parse, t, field, &seen);
    else
        r = kind < 0 ? kind : bad_tensor(parse, t, ERR_FORMAT, "not an object");
    if (r == 0 && kind == SCAN_LIST)
        r = scan_expect(scan, SCAN_CLOSE, parse->err);
    if (r == 0 && seen != HAS_ALL)
        r = bad_tensor(parse, t, ERR_FORMAT, "dtype, shape or data_offsets is missing");
    return r;
}

static int take_metadata(struct parse *parse)
{
    struct scan *scan = &parse->scan;
    struct layout *layout = parse->layout;
    if (parse->metadata_seen)
        return err_set(parse->err, ERR_FORMAT, "__metadata__ stands twice");
    parse->metadata_seen = true;
    int kind = scan_next(scan, parse->err);
    if (kind == SCAN_OTHER && strcmp(scan->text.data, "null") == 0)
        return 0;
    if (kind >= 0 && kind != SCAN_OBJECT)
        return err_set(parse->err, ERR_FORMAT, "__metadata__ is not an object");
    while (kind >= 0 && (kind = scan_next(scan, parse->err)) == SCAN_KEY) {
        struct layout_pair *pair = ARRAY_ADD(layout->pairs, layout->pair_count, layout->pair_cap);
        pair->key_len = scan->text.len;
        pair->key = arena_strndup(&layout->arena, scan->text.data, scan->text.len);
        kind = scan_next(scan, parse->err);
        if (kind >= 0 && kind != SCAN_STRING)
            return err_set(parse->err, ERR_FORMAT, "__metadata__ holds something but texts");
        pair->value_len = scan->text.len;
        pair->value = arena_strndup(&layout->arena, scan->text.data, scan->text.len);
    }
    return MIN(kind, 0);
}

static int take_header(struct parse *parse)
{
    static const char metadata[] = "__metadata__";
    struct scan *scan = &parse->scan;
    int r = scan_expect(scan, SCAN_OBJECT, parse->err);
    while (r == 0) {
        int kind = scan_next(scan, parse->err);
        if (kind < 0)
            return kind;
        if (kind == SCAN_CLOSE)
            break;
        bool is_metadata =
            scan->text.len == sizeof metadata - 1 && strcmp(scan->text.data, metadata) == 0;
        r = is_metadata ? take_metadata(parse) : take_tensor(parse);
    }
    int kind = r < 0 ? r : scan_next(scan, parse->err);
    return MIN(kind, 0);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    int order = tensor_compare_names(x, y);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return by_name(a, b);
}

/* Of equal names only the last one stays. */
static void drop_repeats(struct layout *layout)
{
    size_t kept = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct tensor *t = &layout->tensors[i], *next = t + 1;
        bool repeated = i + 1 < layout->count && t->name_len == next->name_len &&
                        memcmp(t->name, next->name, t->name_len) == 0;
        if (!repeated)
            layout->tensors[kept++] = *t;
    }
    layout->count = kept;
}

/* Bytes that shape and dtype ask for. */
static int needed_bytes(struct parse *parse, const struct tensor *t, uint64_t *ret)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->dims; i++)
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return bad_tensor(parse, t, ERR_FORMAT, "its shape overflows");
    if (__builtin_mul_overflow(n, (uint64_t)dtype_bits(t->dtype), &n))
        return bad_tensor(parse, t, ERR_FORMAT, "its size overflows");
    if (n % 8)
        return bad_tensor(parse, t, ERR_FORMAT, "its elements do not fill whole bytes");
    *ret = n / 8;
    return 0;
}

/* Walks the tensors in the order of their bytes: no holes, no overlaps, sizes that agree. */
static int check_tensors(struct parse *parse)
{
    struct layout *layout = parse->layout;
    uint64_t cursor = 0, need = 0;
    for (size_t i = 0; i < layout->count; i++) {
        struct tensor *t = &layout->tensors[i];
        uint64_t begin = t->offset, end = t->bytes;
        if (begin != cursor || end < begin)
            return bad_tensor(parse, t, ERR_FORMAT, "data_offsets leave a hole or overlap");
        int r = needed_bytes(parse, t, &need);
        if (r < 0)
            return r;
        if (end - begin != need)
            return bad_tensor(parse, t, ERR_FORMAT, "data_offsets do not agree with its shape");
        cursor = end;
        t->offset = layout->header + begin;
        t->bytes = need;
        layout->unaligned |= t->offset % dtype_width(t->dtype) != 0;
    }
    uint64_t room = layout->size - layout->header;
    if (cursor > room)
        return err_set(
            parse->err, ERR_FORMAT, "truncated: %llu of %llu bytes are there; download it again",
            (unsigned long long)layout->size, (unsigned long long)(layout->header + cursor));
    layout->trailing = cursor < room;
    return 0;
}

static int parse_text(struct layout *layout, const char *text, size_t n, struct err *err)
{
    struct parse parse = {.layout = layout, .err = err};
    scan_init(&parse.scan, text, n);
    int r = take_header(&parse);
    if (r == 0 && layout->count) {
        qsort(layout->tensors, layout->count, sizeof *layout->tensors, by_name);
        drop_repeats(layout);
        qsort(layout->tensors, layout->count, sizeof *layout->tensors, by_offset);
    }
    if (r == 0)
        r = check_tensors(&parse);
    scan_release(&parse.scan);
    free(parse.dims);
    return r;
}

int safetensors_parse(const struct reader *reader, struct layout *layout, struct err *err)
{
    uint64_t n;
    if (reader->size < sizeof n)
        return err_set(err, ERR_FORMAT, "too short for a safetensors header (%llu bytes)",
                       (unsigned long long)reader->size);
    int r = reader_read(reader, 0, &n, sizeof n, err);
    if (r < 0)
        return r;
    n = le64toh(n);
    if (n > SAFETENSORS_HEADER_LIMIT)
        return err_set(err, ERR_LIMIT, "header of %llu bytes: more than safetensors allows",
                       (unsigned long long)n);
    if (n > reader->size - sizeof n)
        return err_set(err, ERR_FORMAT, "truncated: the header alone has %llu bytes",
                       (unsigned long long)n);
    layout->format = FORMAT_SAFETENSORS;
    layout->size = reader->size;
    layout->header = sizeof n + n;
    layout->unaligned = layout->header % 8 != 0;
    /* What is made of it (a tensor has 60 bytes there, and more here) has to find room, too. */
    AUTO_FREE char *text = mem_has_room(GROWS * n) ? mem_try(n) : NULL;
    if (!text)
        return err_set(err, ERR_LIMIT, "not enough memory for its header of %llu bytes",
                       (unsigned long long)n);
    r = reader_read(reader, sizeof n, text, n, err);
    return r < 0 ? r : parse_text(layout, text, n, err);
}
