/* SPDX-License-Identifier: MIT */
/*
 * A manifest file holds the same text twice, the second one at the next multiple of 4096 bytes,
 * filled up with newlines: what one damaged block of the disk takes, the other copy still has.
 * The text: a line "tare-manifest 3 CHECKSUM LENGTH" with the XXH3-128 of the JSON object behind
 * it in hex and its length, the object, a newline. docs/store-format.md names its fields.
 * Version 1 was one text, without the length.
 */
#include "store/manifest.h"

#include "base/json.h"
#include "base/map.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { COPY_AT = 4096 }; /* copies begin at multiples of this */

/* The first words of the two kinds of file. */
static const char manifest_magic[] = "tare-manifest", roster_magic[] = "tare-roster";
static const char roster_head[] = "tare-roster 3\n";
enum { ROSTER_TEXT = 2 }; /* the last version that was one text */

static const char *const state_names[MANIFEST_STATES] = {
    "pending", "kept", "stored", "restoring", "lent", "aside", "companions"};

const char *manifest_state_name(enum manifest_state state)
{
    return state_names[state];
}

bool range_needs(const struct manifest_range *range, const struct hash128 *id)
{
    bool needs = hash128_equal(&range->id, id);
    for (size_t i = 0; i < range->base_count && !needs; i++)
        needs = hash128_equal(&range->bases[i], id);
    return needs;
}

bool manifest_needs(const struct manifest *manifest, const struct hash128 *id)
{
    for (size_t i = 0; i < manifest->range_count && !hash128_is_zero(id); i++)
        if (range_needs(&manifest->ranges[i], id))
            return true;
    return false;
}

void range_each_id(const struct manifest_range *range,
                   void (*found)(void *context, const struct hash128 *id), void *context)
{
    found(context, &range->id);
    for (size_t i = 0; i < range->base_count; i++)
        found(context, &range->bases[i]);
}

void manifest_set_bases(struct manifest *m, struct manifest_range *range,
                        const struct hash128 *bases, size_t count)
{
    struct hash128 *copy = count ? arena_alloc(&m->arena, count * sizeof *copy) : NULL;
    if (count)
        memcpy(copy, bases, count * sizeof *copy);
    range->bases = copy;
    range->base_count = count;
}

bool manifest_is_away(const struct manifest *m)
{
    return m->state == MANIFEST_STORED || m->state == MANIFEST_RESTORING ||
           m->state == MANIFEST_LENT || m->state == MANIFEST_ASIDE;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->xattrs);
    free(manifest->links);
    free(manifest->views);
    free(manifest->ranges);
    free(manifest->companions);
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

static void put_sha(js *object, const struct sha256 *sha)
{
    char hex[SHA256_HEX];
    if (sha256_is_zero(sha))
        return;
    sha256_hex(hex, sha);
    js_put_text(object, "sha256", hex);
}

static void put_bases(js *object, const struct manifest_range *range)
{
    char hex[HASH128_HEX];
    js *bases = js_list();
    for (size_t i = 0; i < range->base_count; i++) {
        hash128_hex(hex, &range->bases[i]);
        js_push(bases, js_of_text(hex));
    }
    js_put(object, "bases", bases);
}

static js *range_object(const struct manifest_range *range)
{
    js *object = js_object();
    js_put_int(object, "offset", (int64_t)range->offset);
    js_put_int(object, "bytes", (int64_t)range->bytes);
    put_hash(object, "id", &range->id);
    put_sha(object, &range->sha);
    if (range->at)
        js_put_int(object, "at", (int64_t)range->at);
    if (range->base_count)
        put_bases(object, range);
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

static js *companions_list(const struct manifest *m)
{
    js *list = js_list();
    for (size_t i = 0; i < m->companion_count; i++) {
        const struct manifest_companion *c = &m->companions[i];
        js *object = js_object();
        put_name(object, "name", c->name);
        put_name(object, "path", c->path);
        js_put_int(object, "size", (int64_t)c->size);
        js_put_int(object, "mode", c->mode);
        js_put_int(object, "uid", c->uid);
        js_put_int(object, "gid", c->gid);
        js_put_int(object, "mtime_ns", c->mtime_ns);
        js_push(list, object);
    }
    return list;
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
    if (m->companion_count)
        js_put(object, "companions", companions_list(m));
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
    put_sha(object, &m->sha);
    js_put_text(object, "digest", m->digest);
    js_put_int(object, "time", m->time);
    if (m->until)
        js_put_int(object, "until", m->until);
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

static void get_sha(const js *object, struct sha256 *ret)
{
    const char *hex = js_get_text(object, "sha256");
    if (!hex || !text_is_hex(hex, SHA256_HEX - 1) || !sha256_parse(ret, hex))
        *ret = (struct sha256){0};
}

/* A list since version 3; before it one "base", or none. */
static bool get_bases(struct manifest *m, struct manifest_range *range, const js *object)
{
    struct hash128 bases[BASES_DEEP];
    const js *list = js_get(object, "bases");
    size_t count = js_count(list);
    if (count > BASES_DEEP)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *hex = js_text(js_at(list, i));
        if (!hex || !hash128_parse(&bases[i], hex) || hash128_is_zero(&bases[i]))
            return false;
    }
    if (!list) {
        get_hash(object, "base", &bases[0]);
        count = !hash128_is_zero(&bases[0]);
    }
    manifest_set_bases(m, range, bases, count);
    return true;
}

static bool get_range(struct manifest *m, const js *object)
{
    struct manifest_range *range = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
    range->offset = (uint64_t)js_get_int(object, "offset", -1);
    range->bytes = (uint64_t)js_get_int(object, "bytes", 0);
    get_hash(object, "id", &range->id);
    get_sha(object, &range->sha);
    range->at = (uint64_t)js_get_int(object, "at", 0);
    bool good = get_bases(m, range, object);
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
    return good && range->bytes && range->at < (uint64_t)1 << 62 && range->offset == before &&
           range->bytes <= m->size - before && !hash128_is_zero(&range->id);
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

static bool get_companion(struct manifest *m, const js *object)
{
    struct manifest_companion *c = ARRAY_ADD(m->companions, m->companion_count, m->companion_cap);
    c->name = get_name(m, object, "name");
    c->path = get_name(m, object, "path");
    c->size = (uint64_t)js_get_int(object, "size", 0);
    c->mode = (uint32_t)js_get_int(object, "mode", 0600);
    c->uid = (uint32_t)js_get_int(object, "uid", 0);
    c->gid = (uint32_t)js_get_int(object, "gid", 0);
    c->mtime_ns = js_get_int(object, "mtime_ns", 0);
    return c->path && c->path[0] == '/';
}

/* The companions that have bytes are the ranges, one by one. */
static bool companions_agree(const struct manifest *m)
{
    size_t range = 0;
    for (size_t i = 0; i < m->companion_count; i++) {
        if (!m->companions[i].size)
            continue;
        if (range == m->range_count || m->ranges[range++].bytes != m->companions[i].size)
            return false;
    }
    return (m->state == MANIFEST_COMPANIONS) == (m->companion_count > 0) &&
           (!m->companion_count || range == m->range_count);
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
    get_sha(object, &m->sha);
    m->time = js_get_int(object, "time", 0);
    m->until = js_get_int(object, "until", 0);
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
    if (fields != (version == 1 ? 3 : 4) || line[used] || len >= left || body[len] != '\n')
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
        !get_list(m, object, "ranges", get_range) ||
        (js_get(object, "companions") && !get_list(m, object, "companions", get_companion)) ||
        !companions_agree(m))
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
    m->version = version;
    if (r == 0 && version > 1)
        m->hurt = !is_whole(bytes, n, bytes + at, (size_t)(body + len + 1 - (bytes + at)));
    return r;
}

void roster_begin(struct buf *out)
{
    buf_str(out, roster_head);
}

/* A sign, the XXH3-64 of what follows it and the blank, and that. */
static void roster_line(char sign, const char *text, size_t n, struct buf *out)
{
    buf_printf(out, "%c %016llx ", sign, (unsigned long long)hash64_of(text, n));
    buf_add(out, text, n);
    buf_char(out, '\n');
}

void roster_add(const struct manifest *m, struct buf *out)
{
    AUTO_JS js *file = fields_object(m);
    AUTO_BUF struct buf text = {0};
    js_put(file, "links", links_list(m));
    js_put(file, "views", views_list(m));
    js_write(file, &text);
    roster_line('+', text.data, text.len, out);
}

void roster_remove(const char *fid, struct buf *out)
{
    roster_line('-', fid, strlen(fid), out);
}

static int read_brief(const js *file, void (*found)(void *context, struct manifest *brief),
                      void *context, struct err *err)
{
    struct manifest brief = {0};
    bool good = get_fields(&brief, file) && get_list(&brief, file, "links", get_link) &&
                get_list(&brief, file, "views", get_view);
    if (good)
        found(context, &brief);
    manifest_release(&brief);
    return good ? 0 : err_set(err, ERR_DAMAGED, "an entry is wrong");
}

/* Version 1 and 2: one text with all of them. */
static int read_roster_text(const char *bytes, size_t n,
                            void (*found)(void *context, struct manifest *brief), void *context,
                            struct roster *ret, struct err *err)
{
    const char *body;
    size_t len;
    AUTO_JS js *object = NULL;
    int r = read_text(roster_magic, ROSTER_TEXT, bytes, n, &ret->version, &body, &len, err);
    if (r == 0 && body + len + 1 != bytes + n)
        r = err_set(err, ERR_DAMAGED, "bytes behind its end");
    if (r == 0)
        r = js_parse(body, len, &object, err);
    const js *files = js_get(object, "files");
    ret->live = js_count(files);
    ret->end = n;
    for (size_t i = 0; i < js_count(files) && r == 0; i++)
        r = read_brief(js_at(files, i), found, context, err);
    return r;
}

/* What one line of a roster says: its sign and its text; false where it is damaged. */
static bool parse_line(const char *line, size_t n, const char **ret_text, size_t *ret_len)
{
    enum { HEAD = 2 + 16 + 1 };
    char sum[HEAD + 1];
    if (n <= HEAD || (line[0] != '+' && line[0] != '-'))
        return false;
    *ret_text = line + HEAD;
    *ret_len = n - HEAD;
    snprintf(sum, sizeof sum, "%c %016llx ", line[0],
             (unsigned long long)hash64_of(*ret_text, *ret_len));
    return memcmp(sum, line, HEAD) == 0;
}

/* The fid that a line is about: its whole text, or the first field of the object. */
static bool line_fid(const char *text, size_t n, bool add, struct hash128 *ret)
{
    static const char before[] = "{\"fid\":\"";
    size_t skip = add ? sizeof before - 1 : 0;
    char hex[HASH128_HEX] = "";
    if (n < skip + HASH128_HEX - 1 || (add && memcmp(text, before, skip) != 0))
        return false;
    memcpy(hex, text + skip, HASH128_HEX - 1);
    return hash128_parse(ret, hex);
}

/* Goes through the lines: with last, notes where each fid was named last; else tells those. */
static int each_line(const char *bytes, struct roster *roster, struct map *last, bool note,
                     void (*found)(void *context, struct manifest *brief), void *context,
                     struct err *err)
{
    int r = 0;
    for (size_t at = sizeof roster_head - 1, next; at < roster->end && r == 0; at = next) {
        const char *text = NULL, *line = bytes + at;
        size_t n = (size_t)((const char *)memchr(line, '\n', roster->end - at) - line), len = 0;
        struct hash128 fid;
        uint64_t where;
        next = at + n + 1;
        if (!parse_line(line, n, &text, &len) || !line_fid(text, len, line[0] == '+', &fid))
            return err_set(err, ERR_DAMAGED, "line %zu is damaged", roster->lines + 2);
        roster->lines += note;
        if (note) {
            map_put(last, &fid, line[0] == '+' ? at : 0);
        } else if (map_get(last, &fid, &where) && where == at) {
            AUTO_JS js *file = NULL;
            roster->live++;
            r = js_parse(text, len, &file, err);
            if (r == 0)
                r = read_brief(file, found, context, err);
        }
    }
    return r;
}

int roster_read(const char *bytes, size_t n, void (*found)(void *context, struct manifest *brief),
                void *context, struct roster *ret, struct err *err)
{
    struct map last = {0};
    *ret = (struct roster){0};
    if (n < sizeof roster_head - 1 || memcmp(bytes, roster_head, sizeof roster_head - 1) != 0) {
        int version = 0;
        AUTO_FREE char *head = mem_strndup(bytes, MIN(n, (size_t)40));
        if (sscanf(head, "tare-roster %d", &version) == 1 && version > ROSTER_TEXT + 1)
            return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (roster version %d)",
                           version);
        return read_roster_text(bytes, n, found, context, ret, err);
    }
    const char *end = memrchr(bytes, '\n', n);
    ret->version = ROSTER_TEXT + 1;
    ret->end = (size_t)(end + 1 - bytes);
    int r = each_line(bytes, ret, &last, true, found, context, err);
    if (r == 0)
        r = each_line(bytes, ret, &last, false, found, context, err);
    map_release(&last);
    return r;
}
