/* SPDX-License-Identifier: MIT */
/*
 * A manifest file holds the same text twice, the second one at the next multiple of 4096 bytes,
 * filled up with newlines: what one damaged block of the disk takes, the other copy still has.
 * The text: a line "tare-manifest 2 CHECKSUM LENGTH" with the XXH3-128 of the JSON object behind
 * it in hex and its length, the object, a newline. docs/store-format.md names its fields.
 * Version 1 was one text, without the length.
 */
#include "store/manifest.h"

#include "base/json.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { COPY_AT = 4096 }; /* copies begin at multiples of this */

/* The first words of the two kinds of file. */
static const char manifest_magic[] = "tare-manifest", roster_magic[] = "tare-roster";
enum { ROSTER_VERSION = 2 };

static const char *const state_names[] = {"pending", "kept", "stored", "restoring"};

const char *manifest_state_name(enum manifest_state state)
{
    return state_names[state];
}

bool manifest_needs(const struct manifest *manifest, const struct hash128 *id)
{
    for (size_t i = 0; i < manifest->range_count && !hash128_is_zero(id); i++)
        if (hash128_equal(&manifest->ranges[i].id, id) ||
            hash128_equal(&manifest->ranges[i].base, id))
            return true;
    return false;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->xattrs);
    free(manifest->links);
    free(manifest->views);
    free(manifest->ranges);
    arena_release(&manifest->arena);
    *manifest = (struct manifest){0};
}

static void put_name(js *object, const char *key, const char *text)
{
    if (text)
        js_put_name(object, key, text, strlen(text));
}

static void put_hash(js *object, const char *key, const struct hash128 *hash)
{
    char hex[HASH128_HEX];
    if (hash128_is_zero(hash))
        return;
    hash128_hex(hex, hash);
    js_put_text(object, key, hex);
}

static js *range_object(const struct manifest_range *range)
{
    js *object = js_object();
    js_put_int(object, "offset", (int64_t)range->offset);
    js_put_int(object, "bytes", (int64_t)range->bytes);
    put_hash(object, "id", &range->id);
    put_hash(object, "base", &range->base);
    js_put_text(object, "dtype", dtype_name(range->dtype));
    if (range->name) {
        js_put_name(object, "name", range->name, range->name_len);
        js *shape = js_list();
        for (size_t i = 0; i < range->dims; i++)
            js_push(shape, js_of_int((int64_t)range->shape[i]));
        js_put(object, "shape", shape);
    }
    return object;
}

static js *view_object(const struct manifest_view *view)
{
    js *object = js_object();
    put_name(object, "id", view->id);
    put_name(object, "name", view->name);
    put_name(object, "source", view->source);
    put_name(object, "root", view->root);
    put_name(object, "path", view->path);
    put_name(object, "revision", view->revision);
    put_name(object, "run", view->run);
    put_name(object, "file", view->file);
    return object;
}

static js *xattr_object(const struct manifest_xattr *xattr)
{
    js *object = js_object();
    AUTO_FREE char *hex = mem_alloc(2 * xattr->size + 1);
    text_hex(hex, xattr->value, xattr->size);
    put_name(object, "name", xattr->name);
    js_put_text(object, "value", hex);
    return object;
}

static js *views_list(const struct manifest *m)
{
    js *views = js_list();
    for (size_t i = 0; i < m->view_count; i++)
        js_push(views, view_object(&m->views[i]));
    return views;
}

static js *links_list(const struct manifest *m)
{
    js *links = js_list();
    for (size_t i = 0; i < m->link_count; i++) {
        js *link = js_object();
        put_name(link, "path", m->links[i].path);
        put_name(link, "target", m->links[i].target);
        js_put_int(link, "mtime_ns", m->links[i].mtime_ns);
        js_push(links, link);
    }
    return links;
}

static void put_lists(js *object, const struct manifest *m)
{
    js *xattrs = js_list(), *ranges = js_list();
    for (size_t i = 0; i < m->xattr_count; i++)
        js_push(xattrs, xattr_object(&m->xattrs[i]));
    for (size_t i = 0; i < m->range_count; i++)
        js_push(ranges, range_object(&m->ranges[i]));
    js_put(object, "xattrs", xattrs);
    js_put(object, "links", links_list(m));
    js_put(object, "views", views_list(m));
    js_put(object, "ranges", ranges);
}

static js *fields_object(const struct manifest *m)
{
    js *object = js_object();
    js_put_text(object, "fid", m->fid);
    js_put_text(object, "state", manifest_state_name(m->state));
    put_name(object, "path", m->path);
    put_name(object, "root", m->root);
    js_put_text(object, "format", m->format);
    js_put_int(object, "size", (int64_t)m->size);
    js_put_int(object, "header", (int64_t)m->header);
    js_put_int(object, "stored", (int64_t)m->stored);
    js_put_int(object, "freed", (int64_t)m->freed);
    put_hash(object, "xxh128", &m->hash);
    js_put_text(object, "digest", m->digest);
    js_put_int(object, "time", m->time);
    js_put_int(object, "mode", m->mode);
    js_put_int(object, "uid", m->uid);
    js_put_int(object, "gid", m->gid);
    js_put_int(object, "mtime_ns", m->mtime_ns);
    js_put_int(object, "atime_ns", m->atime_ns);
    js_put_bool(object, "note", m->note);
    return object;
}

/* A line with version, checksum and length; the JSON; a newline. */
static void put_text(const char *magic, int version, const js *object, struct buf *out)
{
    AUTO_BUF struct buf body = {0};
    js_write(object, &body);
    struct hash128 sum = hash128_of(body.data, body.len);
    char hex[HASH128_HEX];
    hash128_hex(hex, &sum);
    buf_printf(out, "%s %d %s %zu\n", magic, version, hex, body.len);
    buf_add(out, body.data, body.len);
    buf_char(out, '\n');
}

void manifest_write(const struct manifest *m, struct buf *out)
{
    AUTO_JS js *object = fields_object(m);
    AUTO_BUF struct buf text = {0};
    put_lists(object, m);
    put_text(manifest_magic, MANIFEST_VERSION, object, &text);
    size_t start = out->len;
    buf_add(out, text.data, text.len);
    while ((out->len - start) % COPY_AT)
        buf_char(out, '\n');
    buf_add(out, text.data, text.len);
}

/* A name out of the object, in the manifest's arena; NULL where there is none. */
static const char *get_name(struct manifest *m, const js *object, const char *key)
{
    AUTO_FREE char *text = js_get_name(object, key, NULL);
    return arena_strdup(&m->arena, text);
}

static void get_hash(const js *object, const char *key, struct hash128 *ret)
{
    const char *hex = js_get_text(object, key);
    if (!hex || !hash128_parse(ret, hex))
        *ret = (struct hash128){0};
}

static bool get_range(struct manifest *m, const js *object)
{
    struct manifest_range *range = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
    range->offset = (uint64_t)js_get_int(object, "offset", -1);
    range->bytes = (uint64_t)js_get_int(object, "bytes", 0);
    get_hash(object, "id", &range->id);
    get_hash(object, "base", &range->base);
    const char *dtype = js_get_text(object, "dtype");
    if (!dtype || !dtype_parse(dtype, strlen(dtype), &range->dtype))
        range->dtype = DTYPE_BYTES;
    AUTO_FREE char *name = js_get_name(object, "name", &range->name_len);
    if (name) {
        const js *shape = js_get(object, "shape");
        range->name = arena_strndup(&m->arena, name, range->name_len);
        range->dims = js_count(shape);
        uint64_t *dims = arena_alloc(&m->arena, range->dims * sizeof *dims);
        for (size_t i = 0; i < range->dims; i++)
            dims[i] = (uint64_t)js_int(js_at(shape, i), 0);
        range->shape = dims;
    }
    uint64_t before = 0;
    if (m->range_count > 1)
        before = range[-1].offset + range[-1].bytes;
    return range->bytes && range->offset == before && range->bytes <= m->size - before &&
           !hash128_is_zero(&range->id);
}

static bool get_xattr(struct manifest *m, const js *object)
{
    struct manifest_xattr *xattr = ARRAY_ADD(m->xattrs, m->xattr_count, m->xattr_cap);
    const char *hex = js_get_text(object, "value");
    xattr->name = get_name(m, object, "name");
    if (!xattr->name || !hex || strlen(hex) % 2)
        return false;
    xattr->size = strlen(hex) / 2;
    void *value = arena_alloc(&m->arena, xattr->size + 1);
    xattr->value = value;
    return text_unhex(value, hex, xattr->size);
}

static bool get_link(struct manifest *m, const js *object)
{
    struct manifest_link *link = ARRAY_ADD(m->links, m->link_count, m->link_cap);
    link->path = get_name(m, object, "path");
    link->target = get_name(m, object, "target");
    link->mtime_ns = js_get_int(object, "mtime_ns", 0);
    return link->path && link->path[0] == '/' && link->target;
}

static bool get_view(struct manifest *m, const js *object)
{
    struct manifest_view *view = ARRAY_ADD(m->views, m->view_count, m->view_cap);
    const struct {
        const char *key, **text;
    } fields[] = {{"id", &view->id},     {"name", &view->name}, {"source", &view->source},
                  {"root", &view->root}, {"path", &view->path}, {"revision", &view->revision},
                  {"run", &view->run},   {"file", &view->file}};
    bool good = true;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        *fields[i].text = get_name(m, object, fields[i].key);
        good &= *fields[i].text != NULL;
    }
    return good;
}

static bool get_list(struct manifest *m, const js *object, const char *key,
                     bool (*get)(struct manifest *m, const js *object))
{
    const js *list = js_get(object, key);
    bool good = list != NULL;
    for (size_t i = 0; i < js_count(list) && good; i++)
        good = get(m, js_at(list, i));
    return good;
}

static bool get_fields(struct manifest *m, const js *object)
{
    const char *fid = js_get_text(object, "fid"), *state = js_get_text(object, "state");
    struct hash128 id;
    bool known = false;
    if (!fid || !state || !hash128_parse(&id, fid))
        return false;
    strcpy(m->fid, fid);
    for (size_t i = 0; i < COUNT_OF(state_names); i++) {
        if (strcmp(state, state_names[i]) == 0) {
            m->state = (enum manifest_state)i;
            known = true;
        }
    }
    m->path = get_name(m, object, "path");
    m->root = get_name(m, object, "root");
    m->format = get_name(m, object, "format");
    m->digest = get_name(m, object, "digest");
    m->size = (uint64_t)js_get_int(object, "size", 0);
    m->header = (uint64_t)js_get_int(object, "header", 0);
    m->stored = (uint64_t)js_get_int(object, "stored", 0);
    m->freed = (uint64_t)js_get_int(object, "freed", 0);
    get_hash(object, "xxh128", &m->hash);
    m->time = js_get_int(object, "time", 0);
    m->mode = (uint32_t)js_get_int(object, "mode", 0600);
    m->uid = (uint32_t)js_get_int(object, "uid", 0);
    m->gid = (uint32_t)js_get_int(object, "gid", 0);
    m->mtime_ns = js_get_int(object, "mtime_ns", 0);
    m->atime_ns = js_get_int(object, "atime_ns", 0);
    m->note = js_get_bool(object, "note");
    return known && m->path && m->path[0] == '/' && m->root && m->format;
}

/* The JSON object of the text that begins here, if its checksum agrees. */
static int read_text(const char *magic, int newest, const char *bytes, size_t n, int *ret_version,
                     const char **ret_body, size_t *ret_len, struct err *err)
{
    int version = 0, used = 0;
    size_t len = 0;
    char word[16] = "", hex[HASH128_HEX] = "", sum_hex[HASH128_HEX];
    const char *newline = n ? memchr(bytes, '\n', MIN(n, 128u)) : NULL;
    AUTO_FREE char *line = mem_strndup(bytes, newline ? (size_t)(newline - bytes) : 0);
    int fields =
        sscanf(line, "%15s %d %32[0-9a-f]%n %zu%n", word, &version, hex, &used, &len, &used);
    if (fields < 2 || version < 1 || strcmp(word, magic) != 0)
        return err_set(err, ERR_DAMAGED, "its first line is damaged");
    if (version > newest)
        return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (%s version %d)", magic,
                       version);
    const char *body = newline + 1;
    size_t left = n - (size_t)(body - bytes);
    if (version == 1)
        len = left ? left - 1 : 0;
    if (fields != version + 2 || line[used] || len >= left || body[len] != '\n')
        return err_set(err, ERR_DAMAGED, "it is cut off");
    struct hash128 sum = hash128_of(body, len);
    hash128_hex(sum_hex, &sum);
    if (strcmp(hex, sum_hex) != 0)
        return err_set(err, ERR_DAMAGED, "its checksum does not agree");
    *ret_version = version;
    *ret_body = body;
    *ret_len = len;
    return 0;
}

static int read_body(const char *body, size_t len, struct manifest *m, struct err *err)
{
    AUTO_JS js *object = NULL;
    int r = js_parse(body, len, &object, err);
    if (r < 0)
        return r;
    uint64_t end = 0;
    if (!get_fields(m, object) || !get_list(m, object, "xattrs", get_xattr) ||
        !get_list(m, object, "links", get_link) || !get_list(m, object, "views", get_view) ||
        !get_list(m, object, "ranges", get_range))
        return err_set(err, ERR_DAMAGED, "a field of the manifest is missing or wrong");
    if (m->range_count)
        end = m->ranges[m->range_count - 1].offset + m->ranges[m->range_count - 1].bytes;
    return end == m->size ? 0 : err_set(err, ERR_DAMAGED, "the manifest does not cover its file");
}

/* Whether the file is what manifest_write makes of this text: both copies, and newlines between. */
static bool is_whole(const char *bytes, size_t n, const char *text, size_t len)
{
    size_t second = (len + COPY_AT - 1) / COPY_AT * COPY_AT;
    bool whole = n == second + len && memcmp(bytes, text, len) == 0 &&
                 memcmp(bytes + second, text, len) == 0;
    for (size_t i = len; i < second && whole; i++)
        whole = bytes[i] == '\n';
    return whole;
}

uint64_t manifest_takes(const struct manifest *m)
{
    AUTO_BUF struct buf text = {0};
    if (!m->own)
        manifest_write(m, &text);
    return m->stored + (m->own ? m->own : text.len);
}

int manifest_read(const char *bytes, size_t n, struct manifest *m, struct err *err)
{
    const char *body = NULL;
    size_t len = 0, at = 0;
    int version;
    int r = read_text(manifest_magic, MANIFEST_VERSION, bytes, n, &version, &body, &len, err);
    int first = r;
    while (r < 0 && (at += COPY_AT) < n)
        r = read_text(manifest_magic, MANIFEST_VERSION, bytes + at, n - at, &version, &body, &len,
                      NULL);
    if (r < 0)
        return first;
    r = read_body(body, len, m, err);
    m->own = n;
    if (r == 0 && version > 1)
        m->hurt = !is_whole(bytes, n, bytes + at, (size_t)(body + len + 1 - (bytes + at)));
    return r;
}

void roster_write(const struct manifest *const *manifests, size_t count, struct buf *out)
{
    AUTO_JS js *object = js_object();
    js *files = js_list();
    for (size_t i = 0; i < count; i++) {
        js *file = fields_object(manifests[i]);
        js_put(file, "links", links_list(manifests[i]));
        js_put(file, "views", views_list(manifests[i]));
        js_push(files, file);
    }
    js_put(object, "files", files);
    put_text(roster_magic, ROSTER_VERSION, object, out);
}

int roster_read(const char *bytes, size_t n, void (*found)(void *context, struct manifest *brief),
                void *context, struct err *err)
{
    const char *body;
    size_t len;
    int version;
    AUTO_JS js *object = NULL;
    int r = read_text(roster_magic, ROSTER_VERSION, bytes, n, &version, &body, &len, err);
    if (r == 0 && body + len + 1 != bytes + n)
        r = err_set(err, ERR_DAMAGED, "bytes behind its end");
    if (r == 0)
        r = js_parse(body, len, &object, err);
    if (r < 0)
        return r;
    const js *files = js_get(object, "files");
    for (size_t i = 0; i < js_count(files); i++) {
        struct manifest brief = {0};
        if (get_fields(&brief, js_at(files, i)) &&
            get_list(&brief, js_at(files, i), "links", get_link) &&
            get_list(&brief, js_at(files, i), "views", get_view))
            found(context, &brief);
        else
            r = err_set(err, ERR_DAMAGED, "an entry is wrong");
        manifest_release(&brief);
    }
    return r;
}
