/* SPDX-License-Identifier: MIT */
/* Copies of the small files of a model. */
#include "ops/companions.h"

#include "base/file.h"
#include "ops/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The companions of a model on their way into the store. */
struct keeping {
    struct store *store;
    struct transfer *transfer;
    struct manifest manifest;
    struct buf *bytes; /* of each range */
    struct hasher *whole;
    struct hash_tree tree;
    uint64_t *stored;
};

/* ---- storing ---- */

static struct sha256 sha_of(const struct buf *bytes)
{
    struct hash_tree tree = {0};
    for (size_t at = 0; at < bytes->len; at += TREE_CHUNK) {
        struct sha256 leaf = hash_tree_leaf(bytes->data + at, MIN(bytes->len - at, TREE_CHUNK));
        hash_tree_add(&tree, &leaf);
    }
    return hash_tree_end(&tree, TREE_RANGE, bytes->len);
}

/* Adds a companion and, where it has any, the range of its bytes, which are taken over. */
static void add_companion(struct keeping *keeping, const struct manifest_companion *like,
                          struct buf *bytes)
{
    struct manifest *m = &keeping->manifest;
    struct manifest_companion *c = ARRAY_ADD(m->companions, m->companion_count, m->companion_cap);
    *c = *like;
    c->name = arena_strdup(&m->arena, like->name);
    c->path = arena_strdup(&m->arena, like->path);
    c->size = bytes->len;
    if (!bytes->len)
        return;
    struct manifest_range *range = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
    *range = (struct manifest_range){.offset = m->size,
                                     .bytes = bytes->len,
                                     .id = hash128_of(bytes->data, bytes->len),
                                     .sha = sha_of(bytes),
                                     .dtype = DTYPE_BYTES};
    m->size += bytes->len;
    hasher_update(keeping->whole, bytes->data, bytes->len);
    hash_tree_add(&keeping->tree, &range->sha);
    keeping->bytes[m->range_count - 1] = *bytes;
    *bytes = (struct buf){0};
}

static int take_file(struct keeping *keeping, const struct kept_file *file, struct err *err)
{
    AUTO_BUF struct buf bytes = {0};
    const struct manifest_companion like = {.name = file->name,
                                            .path = file->path,
                                            .mode = file->st.st_mode & 07777,
                                            .uid = file->st.st_uid,
                                            .gid = file->st.st_gid,
                                            .mtime_ns = file_nanoseconds(&file->st.st_mtim)};
    int r = file_read_all(AT_FDCWD, file->path, COMPANION_MOST, &bytes, err);
    if (r == 0)
        add_companion(keeping, &like, &bytes);
    return r;
}

/* The bytes of a range of the store. */
static int read_range(struct keeping *keeping, const struct manifest_range *range, struct buf *ret,
                      struct err *err)
{
    struct content *content = NULL;
    struct transfer_part part;
    AUTO_FREE uint8_t *block = mem_alloc(CODEC_CHUNK_BYTES);
    int r = content_open(keeping->store, &range->id, &content, err);
    if (r == 0)
        r = transfer_part_of(content, range, -1, &part, err);
    for (uint64_t at = 0; at < range->bytes && r == 0; at += CODEC_CHUNK_BYTES) {
        size_t n = (size_t)MIN(range->bytes - at, (uint64_t)CODEC_CHUNK_BYTES);
        r = content_read(content, range->at + at, block, n, transfer_work(keeping->transfer), err);
        if (r == 0)
            buf_add(ret, block, n);
    }
    content_free(content);
    return r;
}

/* What the store has of a companion that is gone since stays in it, with the links to it. */
static int take_gone(struct keeping *keeping, const struct manifest *before, struct err *err)
{
    struct manifest *m = &keeping->manifest;
    struct stat st;
    size_t range = 0;
    int r = 0;
    for (size_t i = 0; i < before->companion_count && r == 0; i++) {
        const struct manifest_companion *c = &before->companions[i];
        const struct manifest_range *at = c->size ? &before->ranges[range++] : NULL;
        AUTO_BUF struct buf bytes = {0};
        if (lstat(c->path, &st) == 0)
            continue;
        r = at ? read_range(keeping, at, &bytes, err) : 0;
        if (r == 0)
            add_companion(keeping, c, &bytes);
    }
    for (size_t i = 0; i < before->link_count && r == 0; i++)
        if (lstat(before->links[i].path, &st) < 0)
            *ARRAY_ADD(m->links, m->link_count, m->link_cap) =
                (struct manifest_link){.path = arena_strdup(&m->arena, before->links[i].path),
                                       .target = arena_strdup(&m->arena, before->links[i].target),
                                       .mtime_ns = before->links[i].mtime_ns};
    return r;
}

/* The links of the model's own snapshot that lead to one of its companions. */
static int take_links(struct keeping *keeping, const struct lib_model *model,
                      const struct kept_file *file, const struct hub_links *links, struct err *err)
{
    struct manifest *m = &keeping->manifest;
    size_t count = 0, n = strlen(model->path);
    const struct hub_link *found = hub_links_to(links, file->st.st_dev, file->st.st_ino, &count);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        AUTO_FREE char *path = file_join(model->root, found[i].path);
        if (strncmp(path, model->path, n) != 0 || path[n] != '/')
            continue;
        if (lstat(path, &st) < 0)
            return err_sys(err, "%s", path);
        *ARRAY_ADD(m->links, m->link_count, m->link_cap) =
            (struct manifest_link){.path = arena_strdup(&m->arena, path),
                                   .target = arena_strdup(&m->arena, found[i].target),
                                   .mtime_ns = file_nanoseconds(&st.st_mtim)};
    }
    return 0;
}

static int encode(struct keeping *keeping, struct object_writer *writer, const struct buf *bytes,
                  struct err *err)
{
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(CODEC_CHUNK_BYTES));
    int r = 0;
    for (size_t at = 0; at < bytes->len && r == 0; at += CODEC_CHUNK_BYTES) {
        const uint8_t *raw = (const uint8_t *)bytes->data + at;
        size_t n = MIN(bytes->len - at, (size_t)CODEC_CHUNK_BYTES);
        struct codec_chunk chunk = {DTYPE_BYTES, raw, NULL, (uint32_t)n, 0};
        enum codec codec;
        size_t len = transfer_encode_small(keeping->transfer, &chunk, CODEC_ZSTD, out, &codec);
        r = object_writer_add(writer, codec, out, (uint32_t)len, hash64_of(raw, n), err);
    }
    return r;
}

/* Whether the store has the bytes of a range, and they are these. */
static bool can_be_read(struct keeping *keeping, size_t at)
{
    AUTO_BUF struct buf bytes = {0};
    const struct buf *want = &keeping->bytes[at];
    return store_is_needed(keeping->store, &keeping->manifest.ranges[at].id) &&
           read_range(keeping, &keeping->manifest.ranges[at], &bytes, NULL) == 0 &&
           bytes.len == want->len && memcmp(bytes.data, want->data, want->len) == 0;
}

/* Whether a range with this content comes later among those that are new. */
static bool comes_again(const struct keeping *keeping, const bool *fresh, size_t at)
{
    for (size_t i = at + 1; i < keeping->manifest.range_count; i++)
        if (fresh[i] &&
            hash128_equal(&keeping->manifest.ranges[i].id, &keeping->manifest.ranges[at].id))
            return true;
    return false;
}

/* Writes what the store lacks: large ones alone, small ones into a pack. */
static int write_new(struct keeping *keeping, struct err *err)
{
    const struct manifest *m = &keeping->manifest;
    AUTO_FREE bool *fresh = mem_zalloc(m->range_count + 1);
    AUTO_FREE struct object_entry *entries = mem_alloc((m->range_count + 1) * sizeof *entries);
    int r = 0;
    for (size_t i = 0; i < m->range_count; i++)
        fresh[i] = !can_be_read(keeping, i);
    for (int small = 0; small < 2 && r == 0; small++) {
        uint32_t count = 0;
        for (size_t i = 0; i < m->range_count && r == 0; i++) {
            const struct manifest_range *range = &m->ranges[i];
            if (!fresh[i] || (range->bytes < PACK_BELOW) != small || comes_again(keeping, fresh, i))
                continue;
            entries[count++] = (struct object_entry){
                .id = range->id, .bytes = range->bytes, .dtype = range->dtype};
            if (small)
                continue;
            struct object_writer *writer = NULL;
            r = store_object_new(keeping->store, &entries[--count], 1, &writer, err);
            if (r == 0)
                r = encode(keeping, writer, &keeping->bytes[i], err);
            if (r == 0)
                r = store_object_finish(writer, keeping->stored, err);
            object_writer_free(writer);
        }
        if (!count || r < 0)
            continue;
        struct object_writer *writer = NULL;
        r = store_object_new(keeping->store, entries, count, &writer, err);
        for (size_t i = 0; i < m->range_count && r == 0; i++)
            if (fresh[i] && m->ranges[i].bytes < PACK_BELOW && !comes_again(keeping, fresh, i))
                r = encode(keeping, writer, &keeping->bytes[i], err);
        if (r == 0)
            r = store_object_finish(writer, keeping->stored, err);
        object_writer_free(writer);
    }
    return r < 0 ? r : store_publish(keeping->store, err);
}

/* What the store gives back must be what was read; and what that needs is written down. */
static int compare(struct keeping *keeping, struct err *err)
{
    struct manifest *m = &keeping->manifest;
    int r = 0;
    for (size_t i = 0; i < m->range_count && r == 0; i++) {
        AUTO_BUF struct buf again = {0};
        const struct buf *bytes = &keeping->bytes[i];
        struct hash128 bases[BASES_DEEP];
        size_t count = 0;
        r = read_range(keeping, &m->ranges[i], &again, err);
        if (r == 0 && (again.len != bytes->len || memcmp(again.data, bytes->data, again.len) != 0))
            r = err_set(err, ERR_DAMAGED, "what the store gives back differs from the file");
        if (r == 0)
            r = store_bases(keeping->store, &m->ranges[i].id, bases, &count, err);
        if (r == 0)
            manifest_set_bases(m, &m->ranges[i], bases, count);
    }
    return r;
}

/* The companion with this path, or NULL. */
static const struct manifest_companion *find_path(const struct manifest *m, const char *path)
{
    for (size_t i = 0; i < m->companion_count; i++)
        if (strcmp(m->companions[i].path, path) == 0)
            return &m->companions[i];
    return NULL;
}

/* Whether the store has all that are there as they are: names, sizes and times. */
static bool is_stored(const struct store *store, const char *fid, const struct kept_files *files)
{
    const struct manifest *m = store_find(store, fid);
    bool same = m && m->state == MANIFEST_COMPANIONS;
    for (size_t i = 0; i < files->count && same; i++) {
        const struct manifest_companion *c = find_path(m, files->files[i].path);
        same = c && c->size == (uint64_t)files->files[i].st.st_size &&
               c->mtime_ns == file_nanoseconds(&files->files[i].st.st_mtim);
    }
    return same;
}

static int keep(struct keeping *keeping, const struct lib_model *model,
                const struct kept_files *files, const struct hub_links *links, struct err *err)
{
    struct manifest *m = &keeping->manifest;
    struct manifest_view view = {model->id,   model->name,     model->source, model->root,
                                 model->path, model->revision, model->run,    ""};
    int r = 0;
    m->state = MANIFEST_COMPANIONS;
    m->path = model->path;
    m->root = model->root;
    m->format = "companions";
    m->time = time(NULL);
    *ARRAY_ADD(m->views, m->view_count, m->view_cap) = view;
    for (size_t i = 0; i < files->count && r == 0; i++) {
        r = take_file(keeping, &files->files[i], err);
        if (r == 0 && links)
            r = take_links(keeping, model, &files->files[i], links, err);
    }
    const struct manifest *before = store_find(keeping->store, m->fid);
    if (r == 0 && before && before->state == MANIFEST_COMPANIONS)
        r = take_gone(keeping, before, err);
    m->hash = hasher_digest(keeping->whole);
    m->sha = hash_tree_end(&keeping->tree, TREE_FILE, m->size);
    if (r == 0)
        r = write_new(keeping, err);
    if (r == 0)
        r = compare(keeping, err);
    return r < 0 ? r : store_put_manifest(keeping->store, m, err);
}

int companions_store(struct store *store, struct transfer *transfer, const struct lib_model *model,
                     const struct hub_links *links, uint64_t *stored, struct err *err)
{
    struct kept_files files;
    struct keeping keeping = {.store = store, .transfer = transfer, .stored = stored};
    int r = source_kept_files(model->source, model->root, model->path, model->revision,
                              COMPANION_MOST, &files, err);
    if (r < 0)
        return r;
    store_companions_fid(model->id, keeping.manifest.fid);
    if (files.count && !is_stored(store, keeping.manifest.fid, &files)) {
        const struct manifest *before = store_find(store, keeping.manifest.fid);
        size_t most = files.count + (before ? before->companion_count : 0);
        keeping.bytes = mem_zalloc(most * sizeof *keeping.bytes);
        keeping.whole = hasher_new(0);
        r = keep(&keeping, model, &files, links, err);
        if (r < 0)
            store_forget(store);
        for (size_t i = 0; i < most; i++)
            buf_release(&keeping.bytes[i]);
        free(keeping.bytes);
        hasher_free(keeping.whole);
        manifest_release(&keeping.manifest);
    }
    kept_files_release(&files);
    return r;
}

/* ---- giving back ---- */

/* Writes one of them into an open folder, under tare's own name first. */
static int write_one(struct store *store, struct transfer *transfer, const struct manifest *m,
                     size_t at, const struct manifest_range *range, int dir, const char *name,
                     struct err *err)
{
    const struct manifest_companion *c = &m->companions[at];
    AUTO_FREE char *aside = mem_printf(".tare-copy-%s-%zu-%ld", m->fid, at, (long)getpid());
    AUTO_FD int fd = openat(dir, aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct content *content = NULL;
    struct transfer_part part;
    if (fd < 0)
        return err_sys(err, "%s", c->path);
    int r = range ? content_open(store, &range->id, &content, err) : 0;
    if (range && r == 0)
        r = transfer_part_of(content, range, fd, &part, err);
    if (range && r == 0) {
        part.offset = 0;
        r = transfer_decode(transfer, &part, NULL, err);
    }
    content_free(content);
    const struct manifest meta = {.mode = c->mode,
                                  .uid = c->uid,
                                  .gid = c->gid,
                                  .mtime_ns = c->mtime_ns,
                                  .atime_ns = c->mtime_ns};
    if (r == 0)
        r = meta_write(fd, &meta, store, true, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s", c->path);
    if (r == 0)
        r = file_rename_new(dir, aside, dir, name, err);
    if (r < 0)
        (void)unlinkat(dir, aside, 0);
    return r < 0 ? r : file_sync_dir(dir, err);
}

/* Below another folder: the folder of a name in it, made where it is missing; -1: not wanted. */
static int folder_below(const char *to, const char *model, const char *name, struct err *err)
{
    AUTO_FREE char *below = file_join(model, name), *path = file_join(to, below);
    AUTO_FREE char *folder = file_dir(path), *inside = file_dir(below);
    if (!file_path_is_safe(below, strlen(below)))
        return err_set(err, ERR_REFUSED, "its name is no path beneath a folder");
    int r = file_make_dirs(folder, err);
    AUTO_FD int top = r < 0 ? r : file_open_dir(AT_FDCWD, to, err);
    return top < 0 ? top : file_open_beneath(top, inside, O_RDONLY | O_DIRECTORY, false, err);
}

/* One of them, unless something is in its place; *ret counts it. */
static int restore_one(struct store *store, struct transfer *transfer, const struct manifest *m,
                       size_t at, const struct manifest_range *range, const char *model,
                       const char *to, size_t *ret, struct err *err)
{
    const struct manifest_companion *c = &m->companions[at];
    const char *name = file_base(to ? c->name : c->path);
    AUTO_FD int dir =
        to ? folder_below(to, model, c->name, err) : store_make_folder(store, m, c->path, err);
    if (dir < 0 || faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return MIN(dir, 0);
    int r = write_one(store, transfer, m, at, range, dir, name, err);
    *ret += r == 0;
    return r;
}

int companions_restore(struct store *store, struct transfer *transfer, const char *model_id,
                       const char *name, const char *to, size_t *ret, struct err *err)
{
    char fid[HASH128_HEX];
    size_t range = 0;
    int first = 0;
    *ret = 0;
    store_companions_fid(model_id, fid);
    const struct manifest *m = store_find(store, fid);
    if (!m || m->state != MANIFEST_COMPANIONS)
        return 0;
    /* One that fails does not keep the others: they may be the only copies. */
    for (size_t i = 0; i < m->companion_count; i++) {
        const struct manifest_range *bytes = m->companions[i].size ? &m->ranges[range++] : NULL;
        if (to && !m->companions[i].name)
            continue;
        int r = restore_one(store, transfer, m, i, bytes, name, to, ret, first ? NULL : err);
        first = first ? first : r;
    }
    for (size_t i = 0; !to && i < m->link_count && first == 0; i++) {
        AUTO_FD int dir = store_make_folder(store, m, m->links[i].path, err);
        first = MIN(dir, 0);
    }
    return to || first < 0 ? first : store_restore_links(store, m, err);
}
