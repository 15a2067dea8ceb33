/* SPDX-License-Identifier: MIT */
/*
 * Compress: each file goes through the order of work of docs/store-format.md. Whatever fails
 * before the original is moved aside is taken back; after that the original is moved back first.
 */
#include "ops/compress.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "ops/companions.h"
#include "ops/config.h"
#include "ops/guard.h"
#include "ops/meta.h"
#include "ops/transfer.h"
#include "sources/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PACK_BYTES = 8 << 20, PACK_ENTRIES = 4096, SEEDS = 4 };

/* The run over all files that go into one store. */
struct run {
    struct ops *ops;
    const struct library *library;
    const struct plan *plan;
    struct store *store;
    struct transfer *transfer;
    struct progress *progress;
    uint32_t item, items; /* the file in flight, of all that are planned */
    uint64_t later;       /* bytes of originals that wait, until then */
    int64_t until;
    const struct lib_model *kept; /* whose companions were looked at last */
    bool keep;
    struct buf *notes;
    struct cache_links *links; /* of the hub caches that files of the plan lie in */
    size_t link_count, link_cap;
    struct viewer *viewers; /* models that name files, by file */
    size_t viewer_count, viewer_cap;
};

/* The links of a hub cache, read once. */
struct cache_links {
    const char *root;
    struct hub_links links;
};

/* A model's name for a file. */
struct viewer {
    uint32_t file;
    const struct lib_model *model;
    const char *name;
};

/* Small tensors on their way into a pack: encoded already. */
struct pack {
    struct object_entry *entries;
    struct small {
        size_t at, stored;
        enum codec codec;
        uint64_t sum;
    } * smalls;
    size_t count, entry_cap, small_cap;
    struct buf bytes;
};

/* One file on its way into the store. */
struct work {
    struct run *run;
    const struct plan_file *plan;
    const struct lib_file *file;
    const struct lib_model *model;
    struct manifest manifest;
    int fd;
    bool leased; /* nobody can write to it unseen */
    struct stat st;
    struct hasher *whole, *range;
    struct hash_tree tree; /* of the range */
    struct digest *digest;
    struct pack pack;
};

static void work_release(struct work *work)
{
    manifest_release(&work->manifest);
    cleanup_fd(&work->fd);
    hasher_free(work->whole);
    hasher_free(work->range);
    free(work->tree.parts);
    digest_free(work->digest);
    free(work->pack.entries);
    free(work->pack.smalls);
    buf_release(&work->pack.bytes);
}

/* ---- bases ---- */

/* A manifest that describes a base where it lies, for holding it. */
static int describe_base(struct run *run, uint32_t index, struct manifest *m, struct err *err)
{
    const struct lib_file *file = &run->library->files[index];
    struct catalog_tensors tensors;
    struct stat st;
    size_t count;
    int r = catalog_tensors(run->ops->catalog, file->row, &tensors, err);
    if (r < 0)
        return r;
    AUTO_FD int fd = file_open_regular(AT_FDCWD, file->path, &st, err);
    if (fd < 0 || (uint64_t)st.st_size != file->size || st.st_mtim.tv_sec != file->mtime) {
        catalog_tensors_release(&tensors);
        return fd < 0
                   ? fd
                   : err_set(err, ERR_CHANGED, "%s: the base has changed; scan again", file->path);
    }
    AUTO_FREE struct range *ranges = layout_ranges(&tensors.layout, &count);
    meta_describe(m, file->path, &st);
    m->format = format_name(file->format);
    m->root = arena_strdup(&m->arena, "/");
    struct hasher *hasher = hasher_new(0);
    const struct transfer_sums sums = {.range = hasher};
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct tensor *t = ranges[i].tensor;
        struct manifest_range *range = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
        *range = (struct manifest_range){.offset = ranges[i].offset,
                                         .bytes = ranges[i].bytes,
                                         .dtype = t ? t->dtype : DTYPE_BYTES};
        if (t) {
            range->id = tensors.ids[t - tensors.layout.tensors];
            continue;
        }
        hasher_reset(hasher, 0);
        r = transfer_hash(run->transfer, fd, range->offset, range->bytes, &sums, err);
        range->id = hasher_digest(hasher);
    }
    hasher_free(hasher);
    catalog_tensors_release(&tensors);
    return r;
}

/* Stores a tensor of a base standalone while its file stays. */
static int copy_base(struct run *run, uint32_t index, const struct hash128 *id, struct err *err)
{
    const struct lib_file *file = &run->library->files[index];
    struct catalog_tensors tensors;
    uint64_t size = 0;
    int r = catalog_tensors(run->ops->catalog, file->row, &tensors, err);
    if (r < 0)
        return r;
    r = err_set(err, ERR_CHANGED, "%s: the base has changed; scan again", file->path);
    for (size_t i = 0; i < tensors.layout.count; i++) {
        const struct tensor *t = &tensors.layout.tensors[i];
        if (!hash128_equal(&tensors.ids[i], id))
            continue;
        AUTO_FD int fd = file_open_regular(AT_FDCWD, file->path, NULL, err);
        struct hasher *hasher = hasher_new(0);
        struct transfer_sums sums = {.range = hasher};
        struct transfer_source source = {.fd = fd,
                                         .offset = t->offset,
                                         .bytes = t->bytes,
                                         .dtype = t->dtype,
                                         .codec = CODEC_PLANES};
        struct object_entry entry = {.id = *id, .bytes = t->bytes, .dtype = t->dtype};
        struct object_writer *writer = NULL;
        r = fd < 0 ? fd : store_object_new(run->store, &entry, 1, &writer, err);
        if (r == 0)
            r = transfer_encode(run->transfer, &source, writer, &sums, err);
        struct hash128 seen = hasher_digest(hasher);
        if (r == 0 && !hash128_equal(&seen, id))
            r = err_set(err, ERR_CHANGED, "%s: the base has changed; scan again", file->path);
        if (r == 0)
            r = store_object_finish(writer, &size, err);
        object_writer_free(writer);
        hasher_free(hasher);
        break;
    }
    catalog_tensors_release(&tensors);
    return r < 0 ? r : store_publish(run->store, err);
}

/* Makes sure that what the range refers to is in the store, or held. */
static int provide_base(struct run *run, const struct plan_range *range, struct err *err)
{
    const struct hash128 *id = range->reference ? &range->id : &range->base;
    if (range->base_file < 0 || store_has(run->store, id) != CONTENT_NONE)
        return 0;
    const struct lib_file *file = &run->library->files[range->base_file];
    struct manifest held = {0};
    int r = describe_base(run, (uint32_t)range->base_file, &held, err);
    if (r == 0)
        r = store_hold(run->store, &held, file->digest != NULL, err);
    manifest_release(&held);
    return r == 0 ? 0 : copy_base(run, (uint32_t)range->base_file, id, err);
}

/* ---- encoding ---- */

static int flush_pack(struct work *work, struct err *err)
{
    struct pack *pack = &work->pack;
    struct object_writer *writer = NULL;
    if (!pack->count)
        return 0;
    int r = store_object_new(work->run->store, pack->entries, (uint32_t)pack->count, &writer, err);
    for (size_t i = 0; i < pack->count && r == 0; i++) {
        const struct small *s = &pack->smalls[i];
        r = object_writer_add(writer, s->codec, (const uint8_t *)pack->bytes.data + s->at,
                              (uint32_t)s->stored, s->sum, err);
    }
    if (r == 0)
        r = store_object_finish(writer, &work->manifest.stored, err);
    object_writer_free(writer);
    pack->count = 0;
    pack->bytes.len = 0;
    return r;
}

static struct object_entry entry_of(const struct work *work, size_t index)
{
    const struct manifest_range *range = &work->manifest.ranges[index];
    struct object_entry entry = {.id = range->id, .bytes = range->bytes, .dtype = range->dtype};
    if (range->base_count) {
        entry.base = range->bases[0];
        entry.base_dtype = work->plan->ranges[index].base_dtype;
    }
    return entry;
}

/* A small tensor: encoded at once, kept until the pack is written. */
static int add_to_pack(struct work *work, size_t index, enum codec codec,
                       const struct content *base, const struct transfer_sums *sums,
                       struct err *err)
{
    struct manifest_range *range = &work->manifest.ranges[index];
    struct pack *pack = &work->pack;
    AUTO_FREE uint8_t *raw = mem_alloc(range->bytes), *from = mem_alloc(range->bytes);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(range->bytes));
    enum dtype base_dtype = work->plan->ranges[index].base_dtype;
    size_t base_n = 0;
    int r = file_pread(work->fd, raw, range->bytes, range->offset, err);
    if (r == 0 && base)
        r = content_read_base(base, base_dtype, range->dtype, 0, from, range->bytes, &base_n,
                              transfer_work(work->run->transfer), err);
    if (r < 0)
        return r;
    hasher_update(sums->range, raw, range->bytes);
    hasher_update(sums->whole, raw, range->bytes);
    if (sums->digest)
        digest_update(sums->digest, raw, range->bytes);
    struct sha256 leaf = hash_tree_leaf(raw, range->bytes);
    hash_tree_add(sums->tree, &leaf);
    struct codec_chunk chunk = {range->dtype, raw, base ? from : NULL, range->bytes, base_n};
    size_t count = pack->count;
    struct small *small = ARRAY_ADD(pack->smalls, count, pack->small_cap);
    *small = (struct small){.at = pack->bytes.len};
    small->stored = transfer_encode_small(work->run->transfer, &chunk, codec, out, &small->codec);
    small->sum = hash64_of(raw, range->bytes);
    buf_add(&pack->bytes, out, small->stored);
    *ARRAY_ADD(pack->entries, pack->count, pack->entry_cap) = entry_of(work, index);
    progress_add(work->run->progress, range->bytes);
    return pack->bytes.len > PACK_BYTES || pack->count == PACK_ENTRIES ? flush_pack(work, err) : 0;
}

static int encode_object(struct work *work, size_t index, enum codec codec,
                         const struct content *base, const struct transfer_sums *sums,
                         struct err *err)
{
    const struct manifest_range *range = &work->manifest.ranges[index];
    struct object_entry entry = entry_of(work, index);
    struct transfer_source source = {work->fd, range->offset, range->bytes,    range->dtype,
                                     codec,    base,          entry.base_dtype};
    struct object_writer *writer = NULL;
    int r = store_object_new(work->run->store, &entry, 1, &writer, err);
    if (r == 0)
        r = transfer_encode(work->run->transfer, &source, writer, sums, err);
    if (r == 0)
        r = store_object_finish(writer, &work->manifest.stored, err);
    object_writer_free(writer);
    return r;
}

/* Whether the bytes are in the pack that is being filled. */
static bool in_pack(const struct pack *pack, const struct hash128 *id)
{
    for (size_t i = 0; i < pack->count; i++)
        if (hash128_equal(&pack->entries[i].id, id))
            return true;
    return false;
}

static bool has_bytes(const struct work *work, const struct hash128 *id)
{
    switch (store_has(work->run->store, id)) {
    case CONTENT_OBJECT:
    case CONTENT_PACK:
        return true;
    case CONTENT_HELD:
        return store_held_elsewhere(work->run->store, id, work->file->path, &work->st);
    default:
        return false;
    }
}

/*
 * Whether the store has the bytes, and everything that decoding them needs, which becomes the
 * range's bases. What no manifest names may be left from a crash, and is opened to find out.
 */
static bool is_known(struct work *work, struct manifest_range *range)
{
    const struct hash128 *id = &range->id;
    struct store *store = work->run->store;
    struct hash128 bases[BASES_DEEP];
    size_t count = 0;
    struct content *content = NULL;
    bool known = has_bytes(work, id) && store_bases(store, id, bases, &count, NULL) == 0;
    if (known && !store_is_needed(store, id))
        known = content_open(store, id, &content, NULL) == 0;
    content_free(content);
    if (known)
        manifest_set_bases(&work->manifest, range, bases, count);
    return known;
}

/* One range: a reference, or encoded as planned. What goes by is hashed in any case. */
static int store_range(struct work *work, size_t index, struct err *err)
{
    const struct plan_range *plan = &work->plan->ranges[index];
    struct manifest_range *range = &work->manifest.ranges[index];
    const struct transfer_sums sums = {work->range, work->whole, work->digest, &work->tree};
    struct content *base = NULL;
    enum codec codec = plan->codec;
    hasher_reset(work->range, 0);
    int r = provide_base(work->run, plan, err);
    if (r < 0)
        return r;
    if (in_pack(&work->pack, &range->id))
        r = flush_pack(work, err);
    if (r == 0 && is_known(work, range)) {
        r = transfer_hash(work->run->transfer, work->fd, range->offset, range->bytes, &sums, err);
    } else if (r == 0) {
        bool delta = !hash128_is_zero(&plan->base) &&
                     !store_is_delta(work->run->store, &plan->base) &&
                     !store_is_base(work->run->store, &range->id) &&
                     store_may_be_delta(work->run->store, &range->id, &plan->base) &&
                     content_open(work->run->store, &plan->base, &base, NULL) == 0;
        if (delta)
            manifest_set_bases(&work->manifest, range, &plan->base, 1);
        else if (codec_needs_base(codec) || plan->reference)
            codec = plan->reference && !dtype_is_float(plan->dtype) ? CODEC_ZSTD
                    : plan->reference                               ? CODEC_PLANES
                                                                    : plan->alone_codec;
        r = range->bytes < PACK_BELOW ? add_to_pack(work, index, codec, base, &sums, err)
                                      : encode_object(work, index, codec, base, &sums, err);
    }
    content_free(base);
    range->sha = hash_tree_end(&work->tree, TREE_RANGE, range->bytes);
    struct hash128 seen = hasher_digest(work->range);
    if (r == 0 && !hash128_equal(&seen, &range->id))
        r = err_set(err, ERR_CHANGED, "it changed since it was indexed; scan again");
    return r;
}

static int check_digest(struct work *work, struct err *err)
{
    char hex[DIGEST_HEX];
    if (!work->digest)
        return 0;
    digest_hex(work->digest, hex);
    if (strcmp(hex, work->file->digest) != 0)
        return err_set(err, ERR_DAMAGED,
                       "its bytes do not agree with its name: this download is damaged, download "
                       "it again");
    work->manifest.digest = arena_strdup(&work->manifest.arena, hex);
    return 0;
}

static int encode_file(struct work *work, struct err *err)
{
    int r = 0;
    progress_phase(work->run->progress, "encoding");
    for (size_t i = 0; i < work->manifest.range_count && r == 0; i++)
        r = store_range(work, i, err);
    if (r == 0)
        r = flush_pack(work, err);
    work->manifest.hash = hasher_digest(work->whole);
    for (size_t i = 0; i < work->manifest.range_count; i++)
        hash_tree_add(&work->tree, &work->manifest.ranges[i].sha);
    work->manifest.sha = hash_tree_end(&work->tree, TREE_FILE, work->manifest.size);
    if (r == 0)
        r = check_digest(work, err);
    return r < 0 ? r : store_publish(work->run->store, err);
}

/* ---- comparing ---- */

/* whole: gets the bytes; NULL: not wanted. */
static int compare_range(struct work *work, size_t index, struct hasher *whole, struct err *err)
{
    const struct manifest_range *range = &work->manifest.ranges[index];
    const struct transfer_sums sums = {.whole = whole};
    struct content *content;
    struct transfer_part part;
    int r = content_open(work->run->store, &range->id, &content, err);
    if (r < 0)
        return r == ERR_NOTFOUND || r == ERR_CHANGED ? ERR_DAMAGED : r;
    r = transfer_part_of(content, range, work->fd, &part, err);
    if (r == 0)
        r = transfer_compare(work->run->transfer, &part, &sums, err);
    content_free(content);
    return r;
}

static int hash_range(struct work *work, size_t index, uint64_t seed, struct hash128 *ret,
                      struct err *err)
{
    const struct manifest_range *range = &work->manifest.ranges[index];
    struct hasher *hasher = hasher_new(seed);
    const struct transfer_sums sums = {.range = hasher};
    int r = transfer_hash(work->run->transfer, work->fd, range->offset, range->bytes, &sums, err);
    *ret = hasher_digest(hasher);
    hasher_free(hasher);
    return r;
}

/* Stores the tensor standalone, under the id with this seed. */
static int store_reseeded(struct work *work, size_t index, uint64_t seed, struct err *err)
{
    struct manifest_range *range = &work->manifest.ranges[index];
    static const struct transfer_sums none;
    int r = hash_range(work, index, seed, &range->id, err);
    manifest_set_bases(&work->manifest, range, NULL, 0);
    if (r == 0 && store_has(work->run->store, &range->id) == CONTENT_NONE)
        r = encode_object(work, index, dtype_is_float(range->dtype) ? CODEC_PLANES : CODEC_ZSTD,
                          NULL, &none, err);
    return r < 0 ? r : store_publish(work->run->store, err);
}

/*
 * What the store gives back for an id are other bytes. Only where the file still has the bytes that
 * the id was made of is that a hash collision (or a damaged object): then they are stored under
 * another id. Else the file has changed.
 */
static int resolve_collision(struct work *work, size_t index, struct err *err)
{
    struct hash128 now;
    int r = hash_range(work, index, 0, &now, err);
    if (r == 0 && !hash128_equal(&now, &work->manifest.ranges[index].id))
        return err_set(err, ERR_CHANGED, "it changed while it was compressed; it stays as it is");
    if (r == 0)
        r = ERR_DAMAGED;
    for (uint64_t seed = 1; r == ERR_DAMAGED && seed < SEEDS; seed++)
        if ((r = store_reseeded(work, index, seed, err)) == 0)
            r = compare_range(work, index, NULL, err);
    return r;
}

/* What was compared must be what was hashed and is written down, as a whole too. */
static int check_compared(struct work *work, const struct hasher *whole, bool reseeded,
                          struct err *err)
{
    struct hash128 hash = hasher_digest(whole);
    bool same = hash128_equal(&hash, &work->manifest.hash);
    if (reseeded)
        same = transfer_decode_file(work->run->transfer, work->run->store, &work->manifest, -1,
                                    NULL, NULL) == 0;
    return same
               ? 0
               : err_set(err, ERR_CHANGED, "it changed while it was compressed; it stays as it is");
}

/*
 * What decoding each range needs, as its object says: gc goes by that. An object that cannot be
 * read is left to the comparison.
 */
static void name_bases(struct work *work)
{
    struct manifest *m = &work->manifest;
    for (size_t i = 0; i < m->range_count; i++) {
        struct hash128 bases[BASES_DEEP];
        size_t count;
        if (store_bases(work->run->store, &m->ranges[i].id, bases, &count, NULL) == 0)
            manifest_set_bases(m, &m->ranges[i], bases, count);
    }
}

static int compare_file(struct work *work, struct err *err)
{
    struct store *store = work->run->store;
    struct hasher *whole = hasher_new(0);
    bool any = false;
    name_bases(work);
    int r = store_put_manifest(store, &work->manifest, err);
    progress_phase(work->run->progress, "comparing");
    store_prefer_objects(store, true);
    for (size_t i = 0; i < work->manifest.range_count && r == 0; i++) {
        r = compare_range(work, i, whole, err);
        if (r != ERR_DAMAGED)
            continue;
        any = true;
        r = resolve_collision(work, i, err);
        name_bases(work);
        if (r == 0)
            r = store_put_manifest(store, &work->manifest, err);
    }
    if (r == 0)
        r = check_compared(work, whole, any, err);
    store_prefer_objects(store, false);
    hasher_free(whole);
    return r;
}

/* ---- removing the original ---- */

static int write_note(const struct work *work, int dir, struct err *err)
{
    const struct manifest *m = &work->manifest;
    AUTO_FREE char *name = store_note_path(m);
    AUTO_BUF struct buf text = {0}, quoted = {0};
    AUTO_FD int fd = openat(dir, file_base(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(err, "%s", name);
    text_shell_quote(&quoted, work->model->name);
    buf_printf(&text,
               STORE_NOTE_BEGIN ": %s, %llu bytes.\n"
                                "It is in the store %s.\n"
                                "To get it back, byte for byte: tare decompress %s\n",
               file_base(m->path), (unsigned long long)m->size, store_path(work->run->store),
               quoted.data);
    int r = file_pwrite(fd, text.data, text.len, 0, err);
    return r == 0 && fsync(fd) < 0 ? err_sys(err, "%s", name) : r;
}

/* Whether two looks at a file saw the same bytes, as far as length and time tell. */
static bool same_length(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether this name is the file that was looked at. */
static bool is_same_file(int dir, const char *name, const struct stat *was)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == was->st_ino &&
           same_length(&st, was);
}

/* Whether nothing about the file has changed since: its ctime cannot be set back. */
static bool same_ctime(int fd, const struct timespec *then)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_ctim.tv_sec == then->tv_sec &&
           st.st_ctim.tv_nsec == then->tv_nsec;
}

static int changed(struct err *err)
{
    return err_set(err, ERR_CHANGED, "it was changed or replaced while it was compressed");
}

static int add_link(struct manifest *m, const char *root, const struct hub_link *found,
                    struct err *err)
{
    struct stat st;
    AUTO_FREE char *path = file_join(root, found->path);
    if (lstat(path, &st) < 0)
        return err_sys(err, "%s", path);
    struct manifest_link *link = ARRAY_ADD(m->links, m->link_count, m->link_cap);
    *link = (struct manifest_link){.path = arena_strdup(&m->arena, path),
                                   .target = arena_strdup(&m->arena, found->target),
                                   .mtime_ns = file_nanoseconds(&st.st_mtim)};
    return 0;
}

/* The links of the cache, read at its first file of this run. */
static int links_of(struct run *run, const char *root, const struct hub_links **ret,
                    struct err *err)
{
    for (size_t i = 0; i < run->link_count; i++) {
        *ret = &run->links[i].links;
        if (strcmp(run->links[i].root, root) == 0)
            return 0;
    }
    struct cache_links *added = ARRAY_ADD(run->links, run->link_count, run->link_cap);
    added->root = root;
    *ret = &added->links;
    int r = hub_links_read(root, &added->links, err);
    if (r < 0)
        run->link_count--;
    return r;
}

/* The links of a hub cache that lead to the file. */
static int add_links(struct work *work, struct err *err)
{
    const struct hub_links *links;
    size_t count = 0;
    if (strcmp(work->model->source, "hf") != 0)
        return 0;
    int r = links_of(work->run, work->model->root, &links, err);
    const struct hub_link *found =
        r < 0 ? NULL : hub_links_to(links, work->st.st_dev, work->st.st_ino, &count);
    for (size_t i = 0; i < count && r == 0; i++)
        r = add_link(&work->manifest, work->model->root, &found[i], err);
    return r;
}

/* Adds links to a manifest of the store, and removes them. */
static int take_links(struct store *store, const struct manifest *m, const char *root,
                      const struct hub_link *found, size_t count, struct err *err)
{
    struct manifest more = *m;
    AUTO_FREE char *fid = mem_strdup(m->fid);
    int r = 0;
    more.arena = (struct arena){0};
    more.links = NULL;
    more.link_count = more.link_cap = 0;
    for (size_t i = 0; i < m->link_count; i++)
        *ARRAY_ADD(more.links, more.link_count, more.link_cap) = m->links[i];
    for (size_t i = 0; i < count && r == 0; i++)
        r = add_link(&more, root, &found[i], err);
    if (r == 0)
        r = store_put_manifest(store, &more, err);
    if (r == 0)
        store_remove_links(store, store_find(store, fid));
    free(more.links);
    arena_release(&more.arena);
    return r;
}

/*
 * Revisions that were downloaded meanwhile may lead to files that are gone now: such links go too,
 * and come back with them, like those that were there before.
 */
static int take_new_links(struct run *run, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < run->link_count && r == 0; i++) {
        struct hub_links links;
        const char *root = run->links[i].root;
        r = hub_links_read(root, &links, err);
        for (size_t k = 0; k < store_manifest_count(run->store) && r == 0; k++) {
            const struct manifest *m = store_manifest(run->store, k);
            size_t count = 0;
            const struct hub_link *found = hub_links_missing(&links, root, m->path, &count);
            if (count && manifest_is_away(m))
                r = take_links(run->store, m, root, found, count, err);
        }
        hub_links_release(&links);
    }
    return r;
}

/* Once more, by content: what was changed before the rename, whose ctime hides that. */
static int compare_again(struct work *work, struct err *err)
{
    int r = 0;
    store_prefer_objects(work->run->store, true);
    for (size_t i = 0; i < work->manifest.range_count && r == 0; i++)
        r = compare_range(work, i, NULL, err);
    store_prefer_objects(work->run->store, false);
    return r == ERR_DAMAGED ? changed(err) : r;
}

/*
 * The moved file, as it is looked at from now on. Without a lease it is opened by its new name:
 * file systems in user space may give it another inode number, and only its content tells that it
 * is ours.
 */
static int look_at_moved(struct work *work, int dir, const char *aside, struct stat *ret,
                         struct err *err)
{
    if (work->leased && fstat(work->fd, ret) == 0 && is_same_file(dir, aside, ret))
        return 0;
    work->leased = false;
    transfer_watch(work->run->transfer, -1);
    int fd = file_open_regular(dir, aside, ret, err);
    if (fd < 0)
        return fd;
    cleanup_fd(&work->fd);
    work->fd = fd;
    return same_length(ret, &work->st) ? 0 : changed(err);
}

/*
 * The last look before the only step that cannot be undone: the file, aside under this name, is
 * ours, nobody uses it, and nothing of it was changed since it was compared. What stays is the
 * instant between this and the unlink (docs/safety.md).
 */
static int last_look(struct work *work, int dir, const char *aside, const struct stat *moved,
                     struct err *err)
{
    int r = guard_unused(work->fd, moved, NULL, err);
    if (r == 0 && !meta_is_same(work->fd, &work->manifest))
        r = changed(err);
    if (r == 0)
        r = work->leased ? guard_lease_check(work->fd, err) : compare_again(work, err);
    bool same = is_same_file(dir, aside, moved) &&
                (!file_has_ctime(work->fd) || same_ctime(work->fd, &moved->st_ctim));
    return r == 0 && !same ? changed(err) : r;
}

/* On a network another machine may have the file open: to it an unlink is a lost file. */
static bool waits(const struct work *work)
{
    const struct ops *ops = work->run->ops;
    return !ops->options.now && ops->config->aside && file_on_network(work->fd);
}

/* The original stays beside its place for a while: handles that are open stay good. */
static int leave_aside(struct work *work, struct err *err)
{
    int64_t until = time(NULL) + (int64_t)work->run->ops->config->aside * 3600;
    int r = store_set_aside(work->run->store, work->manifest.fid, until, err);
    work->manifest.state = MANIFEST_ASIDE;
    work->run->later += work->manifest.freed;
    work->run->until = until;
    work->manifest.freed = 0;
    return r;
}

/* The original goes. What fails before the unlink is undone; after it nothing fails any more. */
static int remove_original(struct work *work, struct err *err)
{
    const struct manifest *m = &work->manifest;
    const char *name = file_base(m->path);
    struct store *store = work->run->store;
    struct stat moved;
    struct err why = {0};
    AUTO_FREE char *aside = store_aside_name(m);
    AUTO_FD int dir = store_open_folder(store, m, m->path, err);
    int r = dir < 0 ? dir : store_set_state(store, m->fid, MANIFEST_STORED, err);
    if (r == 0 && !same_ctime(work->fd, &work->st.st_ctim))
        r = changed(err); /* a lease says nothing of modes and attributes */
    if (r < 0)
        return r;
    if (file_rename_new(dir, name, dir, aside, &why) < 0)
        return err_set(err, why.code, "moving the original aside: %.400s", why.text);
    r = look_at_moved(work, dir, aside, &moved, err);
    if (r == 0)
        r = file_sync_dir(dir, err);
    if (r == 0 && m->note)
        r = write_note(work, dir, err);
    if (r == 0)
        store_remove_links(store, m);
    if (r == 0)
        r = last_look(work, dir, aside, &moved, err);
    if (r == 0 && waits(work))
        return leave_aside(work, err);
    if (r == 0 && unlinkat(dir, aside, 0) < 0)
        r = err_sys(err, "removing the original");
    if (r < 0) {
        if (file_rename_new(dir, aside, dir, name, NULL) == 0)
            (void)store_settle(store, m, NULL);
        return r;
    }
    work->manifest.state = MANIFEST_STORED;
    if (file_sync_dir(dir, &why) < 0)
        buf_printf(work->run->notes, "%s: is compressed; %s\n", m->path, why.text);
    return 0;
}

/* ---- one file ---- */

static int by_file(const void *a, const void *b)
{
    const struct viewer *x = a, *y = b;
    return x->file != y->file ? (x->file < y->file ? -1 : 1) : (x > y) - (x < y);
}

/* Which models name which files, sorted by file. */
static void list_viewers(struct run *run)
{
    for (size_t i = 0; i < run->library->model_count; i++) {
        const struct lib_model *model = &run->library->models[i];
        for (size_t f = 0; f < model->file_count; f++)
            *ARRAY_ADD(run->viewers, run->viewer_count, run->viewer_cap) =
                (struct viewer){model->files[f], model, model->file_names[f]};
    }
    if (run->viewer_count)
        qsort(run->viewers, run->viewer_count, sizeof *run->viewers, by_file);
}

static void add_views(struct work *work)
{
    struct manifest *m = &work->manifest;
    const struct run *run = work->run;
    size_t low = 0, high = run->viewer_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (run->viewers[middle].file < work->plan->file)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < run->viewer_count && run->viewers[low].file == work->plan->file; low++) {
        const struct lib_model *model = run->viewers[low].model;
        struct manifest_view *view = ARRAY_ADD(m->views, m->view_count, m->view_cap);
        *view = (struct manifest_view){model->id,   model->name,           model->source,
                                       model->root, model->path,           model->revision,
                                       model->run,  run->viewers[low].name};
    }
}

/* Opens the file and writes down everything about it that is not its bytes. */
static int begin_file(struct work *work, struct err *err)
{
    struct run *run = work->run;
    struct manifest *m = &work->manifest;
    struct catalog_tensors tensors;
    struct stat held;
    struct guard guard = {.live = run->plan->live};
    guard.links =
        stat(work->file->path, &held) == 0 && store_holds(run->store, held.st_dev, held.st_ino);
    int r = guard_file(work->model, work->file, &guard, err);
    if (r < 0)
        return r;
    work->fd = file_open_found(work->model->root, work->file->path, &work->st, err);
    if (work->fd < 0)
        return work->fd;
    /* On a network a lease tells only of this machine. */
    work->leased = !file_on_network(work->fd) && guard_lease(work->fd);
    transfer_watch(run->transfer, work->leased ? work->fd : -1);
    meta_describe(m, work->file->path, &work->st);
    m->root = work->model->root;
    AUTO_FD int folder = store_open_folder(run->store, m, m->path, err);
    if (folder < 0)
        return folder;
    m->format = format_name(work->file->format);
    m->time = time(NULL);
    m->freed = work->st.st_nlink > 1 + guard.links ? 0 : work->plan->disk;
    AUTO_FREE char *note = store_note_path(m);
    m->note = strcmp(work->model->source, "hf") != 0 && lstat(note, &held) < 0 && errno == ENOENT;
    r = meta_read(work->fd, m, err);
    if (r == 0)
        r = meta_can_restore(work->fd, m, err);
    if (r == 0)
        r = add_links(work, err);
    if (r == 0)
        r = catalog_tensors(run->ops->catalog, work->file->row, &tensors, err);
    if (r < 0)
        return r;
    add_views(work);
    m->header = tensors.layout.header;
    for (size_t i = 0; i < work->plan->range_count; i++) {
        const struct plan_range *range = &work->plan->ranges[i];
        struct manifest_range *added = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
        *added = (struct manifest_range){
            .offset = range->offset, .bytes = range->bytes, .id = range->id, .dtype = range->dtype};
        if (range->tensor < 0)
            continue;
        const struct tensor *t = &tensors.layout.tensors[range->tensor];
        added->name = arena_strndup(&m->arena, t->name, t->name_len);
        added->name_len = t->name_len;
        added->dims = t->dims;
        uint64_t *shape = arena_alloc(&m->arena, t->dims * sizeof *shape);
        if (t->dims)
            memcpy(shape, t->shape, t->dims * sizeof *shape);
        added->shape = shape;
    }
    catalog_tensors_release(&tensors);
    return 0;
}

/* What one file needs while it is worked on: estimated, a little more, and room for manifests. */
static uint64_t space_for(const struct plan_file *plan)
{
    return plan->estimated + plan->estimated / 20 + (1 << 20);
}

/* Whether the original lies where it lay; changed or not, it is then the user's. */
static bool is_in_place(const struct work *work)
{
    struct stat st;
    return lstat(work->manifest.path, &st) == 0 && st.st_dev == work->st.st_dev &&
           st.st_ino == work->st.st_ino;
}

/* All steps for one file. On any failure the original is in its place and the store as before. */
static int compress_file(struct run *run, const struct plan_file *plan, struct manifest *ret,
                         struct err *err)
{
    struct work work = {.run = run, .plan = plan, .fd = -1};
    work.file = &run->library->files[plan->file];
    work.model = &run->library->models[plan->model];
    work.whole = hasher_new(0);
    work.range = hasher_new(0);
    if (work.file->digest)
        work.digest = digest_new(digest_of_name(work.file->digest), work.file->size);
    int r = begin_file(&work, err);
    if (r == 0)
        r = ops_check_space(store_path(run->store), space_for(plan), err);
    bool begun = r == 0;
    if (r == 0)
        r = encode_file(&work, err);
    if (r == 0)
        r = compare_file(&work, err);
    if (r == 0)
        r = run->keep ? store_set_state(run->store, work.manifest.fid, MANIFEST_KEPT, err)
                      : remove_original(&work, err);
    transfer_watch(run->transfer, -1);
    /* Only while the original and its links are in place may what is stored of it go. */
    if (r < 0 && begun && is_in_place(&work) && store_settle(run->store, &work.manifest, NULL) == 0)
        (void)store_drop_manifest(run->store, work.manifest.fid, NULL);
    if (r < 0 && begun)
        store_forget(run->store);
    if (r == ERR_NOSPACE && begun)
        r = ops_explain_space(store_path(run->store), space_for(plan), err);
    if (r == 0) {
        *ret = work.manifest;
        work.manifest = (struct manifest){0};
    }
    work_release(&work);
    return r;
}

/* ---- the whole plan ---- */

struct done_model *done_of(struct done_report *report, const char *id, const char *name)
{
    struct hash128 key = hash128_of(id, strlen(id));
    uint64_t at;
    if (map_get(&report->by_id, &key, &at))
        return &report->models[at];
    map_put(&report->by_id, &key, report->count);
    struct done_model *done = ARRAY_ADD(report->models, report->count, report->cap);
    snprintf(done->id, sizeof done->id, "%s", id);
    done->name = mem_strdup(name);
    return done;
}

void done_merge(struct done_report *all, struct done_report *part)
{
    for (size_t i = 0; i < part->count; i++) {
        struct done_model *from = &part->models[i];
        struct done_model *to = done_of(all, from->id, from->name);
        to->size += from->size;
        to->stored += from->stored;
        to->freed += from->freed;
        to->files += from->files;
        to->seconds += from->seconds;
        to->left += from->left;
        if (!to->error)
            to->error = TAKE_PTR(from->error);
    }
    done_report_release(part);
}

void done_fail(struct done_model *done, const char *path, const struct err *why)
{
    bool named = strncmp(why->text, path, strlen(path)) == 0;
    if (!done->error)
        done->error = named ? mem_strdup(why->text) : mem_printf("%s: %s", path, why->text);
}

void done_report_release(struct done_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->models[i].name);
        free(report->models[i].error);
    }
    free(report->models);
    map_release(&report->by_id);
    buf_release(&report->notes);
    *report = (struct done_report){0};
}

void done_log(struct store *store, const char *what, const struct done_report *report)
{
    AUTO_JS js *line = js_object();
    AUTO_BUF struct buf text = {0};
    js *models = js_list();
    uint64_t before = 0, after = 0;
    bool failed = false;
    for (size_t i = 0; i < report->count; i++) {
        js_push(models, js_of_text(report->models[i].name));
        before += report->models[i].size;
        after += report->models[i].stored;
        failed |= report->models[i].error != NULL;
    }
    js_put_int(line, "time", time(NULL));
    js_put_text(line, "what", what);
    js_put(line, "models", models);
    js_put_int(line, "before", (int64_t)before);
    js_put_int(line, "after", (int64_t)after);
    js_put_text(line, "result", failed ? "failed in part" : "done");
    js_write(line, &text);
    (void)store_log(store, text.data, text.len, NULL);
}

/* Before the first file of a model goes, copies of what belongs to it are in the store. */
static int keep_companions(struct run *run, const struct lib_model *model, struct done_model *done,
                           struct err *err)
{
    const struct hub_links *links = NULL;
    uint64_t stored = 0;
    if (run->keep || run->kept == model)
        return 0;
    int r = strcmp(model->source, "hf") == 0 ? links_of(run, model->root, &links, err) : 0;
    if (r == 0)
        r = companions_store(run->store, run->transfer, model, links, &stored, err);
    done->stored += stored;
    done->freed -= (int64_t)stored;
    run->kept = r < 0 ? NULL : model;
    return r;
}

/* One file of the plan, and what the report says of it. */
static int compress_planned(struct run *run, const struct plan_file *file,
                            struct done_report *report, struct err *err)
{
    const struct lib_model *model = &run->library->models[file->model];
    struct done_model *done = done_of(report, model->id, model->name);
    struct manifest manifest = {0};
    double start = ops_now();
    int r = keep_companions(run, model, done, err);
    if (r == 0)
        r = compress_file(run, file, &manifest, err);
    done->seconds += ops_now() - start;
    if (r < 0) {
        run->kept = NULL; /* with the last manifest of the model its companions go */
        done->left++;
        done_fail(done, run->library->files[file->file].path, err);
    } else {
        uint64_t takes = manifest_takes(&manifest);
        done->files++;
        done->size += manifest.size;
        done->stored += takes;
        done->freed += (run->keep ? 0 : (int64_t)manifest.freed) - (int64_t)takes;
    }
    manifest_release(&manifest);
    return r;
}

/* What follows when all files of a store are done: nothing of it undoes them. */
static void finish_store(struct run *run, struct done_report *report)
{
    struct err why = {0};
    if (take_new_links(run, &why) < 0)
        buf_printf(run->notes, "links that were made meanwhile were not looked at: %s\n", why.text);
    if (store_tidy(run->store, run->notes, &why) < 0) /* a base that is held and now stored, too */
        buf_printf(run->notes, "%s\n", why.text);
    if (run->later) {
        char size[16], when[32];
        text_size(size, run->later);
        text_time(when, run->until);
        buf_printf(run->notes,
                   "%s are freed after %s, by what tare does first then: another machine may have "
                   "the files open (--now does not wait)\n",
                   size, when);
    }
    done_log(run->store, run->keep ? "compress --keep" : "compress", report);
}

static int compress_into(struct run *run, const char *store, struct done_report *report,
                         struct err *err)
{
    const struct plan *plan = run->plan;
    int first = 0;
    run->kept = NULL;
    int r =
        ops_open_store(run->ops, store, "compress", run->progress, &run->store, run->notes, err);
    if (r < 0)
        return r;
    if (store_absent_count(run->store)) {
        store_close(run->store);
        return err_set(err, ERR_REFUSED,
                       "%s: a manifest cannot be read (tare verify); nothing is compressed", store);
    }
    ops_remember_store(run->ops, store);
    run->transfer = transfer_new(run->ops, run->progress);
    for (size_t f = 0; f < plan->file_count && r != ERR_CANCELLED; f++) {
        struct err why = {0};
        if (plan->files[f].skip || strcmp(plan->files[f].store, store) != 0)
            continue;
        progress_item(run->progress, ++run->item, run->items);
        r = compress_planned(run, &plan->files[f], report, &why);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = why;
        }
    }
    finish_store(run, report);
    transfer_free(run->transfer);
    store_close(run->store);
    return r == ERR_CANCELLED ? r : first;
}

/* The files of a store that could not be opened fail with the reason. */
static void fail_store(const struct run *run, const char *store, struct done_report *report,
                       const struct err *why)
{
    for (size_t f = 0; f < run->plan->file_count; f++) {
        const struct plan_file *file = &run->plan->files[f];
        const struct lib_model *model = &run->library->models[file->model];
        if (file->skip || strcmp(file->store, store) != 0)
            continue;
        struct done_model *done = done_of(report, model->id, model->name);
        done->left++;
        done_fail(done, store, why);
    }
}

/* Refuses a plan that would do nothing, or free nothing, with the reason. */
static int check_worth(const struct plan *plan, bool keep, struct err *err)
{
    const char *skip = NULL;
    size_t stored = 0;
    for (size_t f = 0; f < plan->file_count; f++) {
        stored += !plan->files[f].skip;
        skip = skip ? skip : plan->files[f].skip;
    }
    if (!stored)
        return err_set(err, ERR_REFUSED, "nothing can be compressed: %s", skip ? skip : "no files");
    if (!keep && plan->frees <= 0)
        return err_set(err, ERR_REFUSED, "compressing this would free nothing");
    return 0;
}

int ops_compress(struct ops *ops, const struct library *library, const struct plan *plan, bool keep,
                 struct progress *progress, struct done_report *ret, struct err *err)
{
    struct run run = {.ops = ops,
                      .library = library,
                      .plan = plan,
                      .progress = progress,
                      .keep = keep,
                      .notes = &ret->notes};
    struct path_list stores = {0};
    *ret = (struct done_report){0};
    int r = ops_may_write(ops, err), first = 0;
    if (r == 0)
        r = check_worth(plan, keep, err);
    if (r < 0)
        return r;
    for (size_t f = 0; f < plan->file_count; f++) {
        if (plan->files[f].skip)
            continue;
        run.items++;
        path_list_add(&stores, plan->files[f].store);
        if (progress)
            atomic_fetch_add(&progress->total, 2 * library->files[plan->files[f].file].size);
    }
    list_viewers(&run);
    for (size_t i = 0; i < stores.count && r != ERR_CANCELLED; i++) {
        struct done_report part = {0};
        struct err why = {0};
        r = compress_into(&run, stores.paths[i], &part, &why);
        if (r < 0 && r != ERR_CANCELLED && !part.count)
            fail_store(&run, stores.paths[i], &part, &why);
        done_merge(ret, &part);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = why;
        }
    }
    for (size_t i = 0; i < ret->count; i++)
        ret->models[i].state = ret->models[i].error && !ret->models[i].files ? "plain"
                               : ret->models[i].error                        ? "partial"
                               : keep                                        ? "kept"
                                                                             : "compressed";
    for (size_t i = 0; i < run.link_count; i++)
        hub_links_release(&run.links[i].links);
    free(run.links);
    free(run.viewers);
    path_list_release(&stores);
    return first;
}
