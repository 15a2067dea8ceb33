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
    bool keep;
    struct buf *notes;
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
    struct stat st;
    struct hasher *whole, *range;
    struct digest *digest;
    struct pack pack;
};

static void work_release(struct work *work)
{
    manifest_release(&work->manifest);
    cleanup_fd(&work->fd);
    hasher_free(work->whole);
    hasher_free(work->range);
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
    struct object_entry entry = {
        .id = range->id, .base = range->base, .bytes = range->bytes, .dtype = range->dtype};
    if (!hash128_is_zero(&range->base))
        entry.base_dtype = work->plan->ranges[index].base_dtype;
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

static bool is_known(const struct work *work, const struct hash128 *id)
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

/* One range: a reference, or encoded as planned. What goes by is hashed in any case. */
static int store_range(struct work *work, size_t index, struct err *err)
{
    const struct plan_range *plan = &work->plan->ranges[index];
    struct manifest_range *range = &work->manifest.ranges[index];
    const struct transfer_sums sums = {work->range, work->whole, work->digest};
    struct content *base = NULL;
    enum codec codec = plan->codec;
    hasher_reset(work->range, 0);
    int r = provide_base(work->run, plan, err);
    if (r < 0)
        return r;
    if (in_pack(&work->pack, &range->id))
        r = flush_pack(work, err);
    if (r == 0 && is_known(work, &range->id)) {
        range->base = store_base_of(work->run->store, &range->id);
        r = transfer_hash(work->run->transfer, work->fd, range->offset, range->bytes, &sums, err);
    } else if (r == 0) {
        bool delta = !hash128_is_zero(&plan->base) &&
                     !store_is_delta(work->run->store, &plan->base) &&
                     !store_is_base(work->run->store, &range->id) &&
                     store_may_be_delta(work->run->store, &range->id, &plan->base) &&
                     content_open(work->run->store, &plan->base, &base, NULL) == 0;
        if (delta)
            range->base = plan->base;
        else if (codec_needs_base(codec) || plan->reference)
            codec = plan->reference && !dtype_is_float(plan->dtype) ? CODEC_ZSTD
                    : plan->reference                               ? CODEC_PLANES
                                                                    : plan->alone_codec;
        r = range->bytes < PACK_BELOW ? add_to_pack(work, index, codec, base, &sums, err)
                                      : encode_object(work, index, codec, base, &sums, err);
    }
    content_free(base);
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
    if (r == 0)
        r = check_digest(work, err);
    return r < 0 ? r : store_publish(work->run->store, err);
}

/* ---- comparing ---- */

static int compare_range(struct work *work, size_t index, struct err *err)
{
    const struct manifest_range *range = &work->manifest.ranges[index];
    struct content *content;
    int r = content_open(work->run->store, &range->id, &content, err);
    if (r < 0)
        return r == ERR_NOTFOUND || r == ERR_CHANGED ? ERR_DAMAGED : r;
    if (content_bytes(content) != range->bytes)
        r = err_set(err, ERR_DAMAGED, "an object has another length than the tensor");
    else
        r = transfer_compare(work->run->transfer, content, work->fd, range->offset, err);
    content_free(content);
    return r;
}

/*
 * The bytes that an id was known for are others: XXH3 met its like. The tensor is stored under
 * the id with the next seed.
 */
static int store_reseeded(struct work *work, size_t index, uint64_t seed, struct err *err)
{
    struct manifest_range *range = &work->manifest.ranges[index];
    struct hasher *hasher = hasher_new(seed);
    struct transfer_sums sums = {.range = hasher};
    int r = transfer_hash(work->run->transfer, work->fd, range->offset, range->bytes, &sums, err);
    range->id = hasher_digest(hasher);
    range->base = (struct hash128){0};
    hasher_free(hasher);
    sums = (struct transfer_sums){0};
    if (r == 0 && store_has(work->run->store, &range->id) == CONTENT_NONE)
        r = encode_object(work, index, dtype_is_float(range->dtype) ? CODEC_PLANES : CODEC_ZSTD,
                          NULL, &sums, err);
    return r < 0 ? r : store_publish(work->run->store, err);
}

static int compare_file(struct work *work, struct err *err)
{
    struct store *store = work->run->store;
    int r = store_put_manifest(store, &work->manifest, err);
    progress_phase(work->run->progress, "comparing");
    store_prefer_objects(store, true);
    for (size_t i = 0; i < work->manifest.range_count && r == 0; i++) {
        bool reseeded = false;
        r = compare_range(work, i, err);
        for (uint64_t seed = 1; r == ERR_DAMAGED && seed < SEEDS; seed++) {
            reseeded = true;
            if ((r = store_reseeded(work, i, seed, err)) == 0)
                r = compare_range(work, i, err);
        }
        if (r == 0 && reseeded)
            r = store_put_manifest(store, &work->manifest, err);
    }
    store_prefer_objects(store, false);
    return r;
}

/* ---- removing the original ---- */

static int write_note(const struct work *work, struct err *err)
{
    const struct manifest *m = &work->manifest;
    AUTO_FREE char *name = store_note_path(m);
    AUTO_BUF struct buf text = {0}, quoted = {0};
    AUTO_FD int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
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

static void remove_links(const struct manifest *m)
{
    for (size_t i = 0; i < m->link_count; i++) {
        if (store_is_link(&m->links[i]))
            (void)unlink(m->links[i].path);
    }
    for (size_t i = 0; i < m->link_count; i++) {
        AUTO_FREE char *path = file_dir(m->links[i].path);
        AUTO_FD int dir = file_open_dir(AT_FDCWD, path, NULL);
        if (dir >= 0)
            (void)file_sync_dir(dir, NULL);
    }
}

static bool still_ours(const struct work *work, const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && st.st_dev == work->st.st_dev && st.st_ino == work->st.st_ino &&
           st.st_size == work->st.st_size && st.st_mtim.tv_sec == work->st.st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == work->st.st_mtim.tv_nsec;
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

/* The links of a hub cache that lead to the file. */
static int add_links(struct work *work, struct err *err)
{
    struct hub_links links;
    if (strcmp(work->model->source, "hf") != 0)
        return 0;
    int r = hub_links_read(work->model->root, &links, err);
    for (size_t i = 0; i < links.count && r == 0; i++)
        if (links.links[i].dev == work->st.st_dev && links.links[i].ino == work->st.st_ino)
            r = add_link(&work->manifest, work->model->root, &links.links[i], err);
    hub_links_release(&links);
    return r;
}

/*
 * A revision that was downloaded meanwhile may lead to the file that is gone now: such links go
 * too, and come back with it, like those that were there before.
 */
static int take_new_links(struct work *work, struct err *err)
{
    struct manifest *m = &work->manifest;
    struct hub_links links;
    if (strcmp(work->model->source, "hf") != 0)
        return 0;
    int r = hub_links_to_missing(work->model->root, m->path, &links, err);
    for (size_t i = 0; i < links.count && r == 0; i++)
        r = add_link(m, work->model->root, &links.links[i], err);
    if (r == 0 && links.count)
        r = store_put_manifest(work->run->store, m, err);
    if (r == 0 && links.count)
        remove_links(m);
    hub_links_release(&links);
    return r;
}

static int remove_original(struct work *work, struct err *err)
{
    const struct manifest *m = &work->manifest;
    AUTO_FREE char *aside = store_aside_path(m), *dir_path = file_dir(m->path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, dir_path, err);
    int r = dir < 0 ? dir : store_set_state(work->run->store, m->fid, MANIFEST_STORED, err);
    if (r < 0)
        return r;
    if (renameat2(AT_FDCWD, m->path, AT_FDCWD, aside, RENAME_NOREPLACE) < 0)
        return err_sys(err, "moving the original aside");
    r = file_sync_dir(dir, err);
    if (r == 0 && m->note)
        r = write_note(work, err);
    if (r == 0)
        remove_links(m);
    /* The last look before the only step that cannot be undone. */
    if (r == 0)
        r = guard_unused(work->fd, &work->st, NULL, err);
    if (r == 0 && !still_ours(work, aside))
        r = err_set(err, ERR_CHANGED, "it was replaced while it was compressed");
    if (r == 0 && unlink(aside) < 0)
        r = err_sys(err, "removing the original");
    if (r == 0) {
        work->manifest.state = MANIFEST_STORED;
        r = file_sync_dir(dir, err);
        return r < 0 ? r : take_new_links(work, err);
    }
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, m->path, RENAME_NOREPLACE) == 0)
        (void)store_settle(m, NULL);
    return r;
}

/* ---- one file ---- */

static void add_views(struct work *work)
{
    struct manifest *m = &work->manifest;
    const struct library *library = work->run->library;
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *model = &library->models[i];
        for (size_t f = 0; f < model->file_count; f++) {
            if (model->files[f] != work->plan->file)
                continue;
            struct manifest_view *view = ARRAY_ADD(m->views, m->view_count, m->view_cap);
            *view = (struct manifest_view){model->id,   model->name,         model->source,
                                           model->root, model->path,         model->revision,
                                           model->run,  model->file_names[f]};
        }
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
    meta_describe(m, work->file->path, &work->st);
    m->root = work->model->root;
    m->format = format_name(work->file->format);
    m->time = time(NULL);
    m->freed = work->st.st_nlink > 1 + guard.links ? 0 : (uint64_t)work->st.st_blocks * 512;
    AUTO_FREE char *note = store_note_path(m);
    m->note = strcmp(work->model->source, "hf") != 0 && lstat(note, &held) < 0 && errno == ENOENT;
    r = meta_read(work->fd, m, err);
    if (r == 0)
        r = meta_can_restore(m, err);
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
    /* Only while the original and its links are in place may what is stored of it go. */
    if (r < 0 && begun && still_ours(&work, work.manifest.path) &&
        store_settle(&work.manifest, NULL) == 0)
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

struct done_model *done_of(struct done_report *report, const struct lib_model *model)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->models[i].id, model->id) == 0)
            return &report->models[i];
    struct done_model *done = ARRAY_ADD(report->models, report->count, report->cap);
    memcpy(done->id, model->id, sizeof done->id);
    done->name = mem_strdup(model->name);
    return done;
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

static int compress_into(struct run *run, const char *store, struct done_report *report,
                         struct err *err)
{
    const struct plan *plan = run->plan;
    int first = 0;
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
        const struct plan_file *file = &plan->files[f];
        const struct lib_model *model = &run->library->models[file->model];
        struct err why = {0};
        struct manifest manifest = {0};
        if (file->skip || strcmp(file->store, store) != 0)
            continue;
        progress_item(run->progress, (uint32_t)f + 1, (uint32_t)plan->file_count);
        struct done_model *done = done_of(report, model);
        double start = ops_now();
        r = compress_file(run, file, &manifest, &why);
        done->seconds += ops_now() - start;
        if (r < 0)
            done_fail(done, run->library->files[file->file].path, &why);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = why;
        }
        if (r == 0) {
            done->files++;
            done->size += manifest.size;
            uint64_t takes = manifest_takes(&manifest);
            done->stored += takes;
            done->freed += (run->keep ? 0 : (int64_t)manifest.freed) - (int64_t)takes;
        }
        manifest_release(&manifest);
    }
    (void)store_tidy(run->store, NULL); /* a base that is held and now stored, too */
    for (size_t i = 0; i < report->count; i++)
        report->models[i].state = report->models[i].error && !report->models[i].files ? "plain"
                                  : report->models[i].error                           ? "partial"
                                  : run->keep                                         ? "kept"
                                              : "compressed";
    done_log(run->store, run->keep ? "compress --keep" : "compress", report);
    transfer_free(run->transfer);
    store_close(run->store);
    return first;
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
    int r = ops_may_write(ops, err);
    if (r == 0)
        r = check_worth(plan, keep, err);
    if (r < 0)
        return r;
    for (size_t f = 0; f < plan->file_count; f++) {
        if (plan->files[f].skip)
            continue;
        path_list_add(&stores, plan->files[f].store);
        if (progress)
            atomic_fetch_add(&progress->total, 2 * library->files[plan->files[f].file].size);
    }
    for (size_t i = 0; i < stores.count && r == 0; i++)
        r = compress_into(&run, stores.paths[i], ret, err);
    path_list_release(&stores);
    return r;
}
