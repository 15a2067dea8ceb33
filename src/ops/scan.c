/* SPDX-License-Identifier: MIT */
/*
 * Scan: walk the roots and read the headers of what is new (one transaction for each root); then
 * take sketches and hashes of what has none, a transaction for each file, so that a scan that is
 * cut off goes on where it stood.
 */
#include "ops/scan.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "formats/formats.h"
#include "lineage/lineage.h"
#include "model/names.h"
#include "ops/config.h"
#include "ops/families.h"
#include "ops/index.h"
#include "ops/stored.h"
#include "sources/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_CLAIMS_MOST = 64 /* of one weight file */ };

struct scan_state {
    struct ops *ops;
    struct catalog *catalog;
    struct scan_report *report;
    struct progress *progress;
    struct stored stored;
    struct map done;           /* ids of the models put or seen by this scan */
    struct found_model *found; /* what the walk found, before any of it is written */
    size_t found_count, found_cap;
    struct arena arena; /* its texts */
    dev_t fs_dev;       /* the file system looked up last */
    uint64_t fsid;
    bool no_atime; /* it keeps no access times */
};

static void add_problem(void *context, const char *path, const char *reason)
{
    struct scan_report *report = context;
    struct scan_problem *p =
        ARRAY_ADD(report->problems, report->problem_count, report->problem_cap);
    *p = (struct scan_problem){mem_strdup(path), mem_strdup(reason)};
}

/*
 * 16 hex digits from what names a model: stable over rescans and a lost catalog. The path tells
 * a folder from a folder of the same name inside it.
 */
static void model_id(char dst[MODEL_ID], const struct found_model *model)
{
    AUTO_BUF struct buf text = {0};
    const char *const parts[] = {source_name(model->source), model->path, model->name,
                                 model->revision};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        buf_add(&text, parts[i], strlen(parts[i]) + 1);
    snprintf(dst, MODEL_ID, "%016llx", (unsigned long long)hash64_of(text.data, text.len));
}

/* A model on its way into the catalog: what lies on disk, and what only the store has. */
struct pending {
    const struct found_model *found;
    char id[MODEL_ID];
    const struct stored_view **absent;
    size_t absent_count, absent_cap;
    int64_t *rows;
    const char **names;
    size_t row_count, row_cap, name_count, name_cap;
    struct catalog_claim *claims;
    size_t claim_count, claim_cap;
    unsigned flags;
    bool unsettled; /* a problem that the next scan must tell again */
    struct arena arena;
};

static void pending_release(struct pending *pending)
{
    free(pending->absent);
    free(pending->rows);
    free(pending->names);
    free(pending->claims);
    arena_release(&pending->arena);
}

static void add_row(struct pending *pending, int64_t row, const char *name)
{
    *ARRAY_ADD(pending->rows, pending->row_count, pending->row_cap) = row;
    *ARRAY_ADD(pending->names, pending->name_count, pending->name_cap) = name;
}

/* The stored files of the model that no file on disk stands for. */
static void find_absent(const struct scan_state *scan, struct pending *pending)
{
    size_t count;
    const struct stored_view *views = stored_views(&scan->stored, pending->id, &count);
    for (size_t i = 0; i < count; i++) {
        bool there = false;
        for (size_t f = 0; f < pending->found->file_count; f++)
            there |= strcmp(pending->found->files[f].path, views[i].file->manifest.path) == 0;
        if (!there && views[i].file->state != FILE_PLAIN && views[i].file->state != FILE_KEPT)
            *ARRAY_ADD(pending->absent, pending->absent_count, pending->absent_cap) = &views[i];
    }
}

static void stamp_stat(struct buf *text, const struct found_file *file)
{
    const struct stat *st = &file->st;
    buf_add(text, file->name, strlen(file->name) + 1);
    buf_add(text, file->path, strlen(file->path) + 1);
    buf_printf(text, "%llu %llu %lld %lld.%09ld %lld.%09ld %lld %llu\n",
               (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
               (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
               (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec, (long long)st->st_atim.tv_sec,
               (unsigned long long)st->st_blocks);
}

/* A hash of all that was seen of a model: while it stays, nothing has to be read again. */
static struct hash128 stamp_of(const struct scan_state *scan, const struct pending *pending)
{
    const struct found_model *found = pending->found;
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "%u %d\n", found->flags, stored_lacks(&scan->stored, pending->id));
    for (size_t i = 0; i < found->file_count; i++) {
        const struct stored_file *stored = stored_at(&scan->stored, found->files[i].path);
        stamp_stat(&text, &found->files[i]);
        if (stored)
            buf_printf(&text, "%s %d\n", stored->manifest.fid, stored->state);
    }
    for (size_t i = 0; i < found->companion_count; i++)
        stamp_stat(&text, &found->companions[i]);
    for (size_t i = 0; i < pending->absent_count; i++)
        buf_printf(&text, "%s %d\n", pending->absent[i]->file->manifest.fid,
                   pending->absent[i]->file->state);
    return hash128_of(text.data, text.len);
}

static uint64_t fsid_of(struct scan_state *scan, const struct found_file *file)
{
    if (scan->fs_dev != file->st.st_dev) {
        scan->fs_dev = file->st.st_dev;
        scan->fsid = index_fsid(file->path, file->st.st_dev);
        struct statvfs vfs;
        scan->no_atime = statvfs(file->path, &vfs) == 0 && vfs.f_flag & ST_NOATIME;
    }
    return scan->fsid;
}

/* Whether a file of which only the ctime has changed still has the content that was sampled. */
static bool same_sample(const struct catalog_file *known, const char *root, const char *name)
{
    struct layout layout = {0};
    struct catalog_sketches sketches;
    struct stat st;
    AUTO_BUF struct buf bytes = {0};
    AUTO_FD int fd = file_open_found(root, known->path, &st, NULL);
    struct reader reader = reader_file(fd, (uint64_t)st.st_size);
    bool same = fd >= 0 && !hash128_is_zero(&known->sample) &&
                format_parse(name, &reader, &layout, NULL) == 0 &&
                index_sketches(fd, &layout, &bytes, &sketches, NULL) == 0 &&
                hash128_equal(&sketches.sample, &known->sample);
    layout_release(&layout);
    return same;
}

static void take_claim(void *context, enum claim_kind kind, const char *target, const char *detail)
{
    struct pending *pending = context;
    *ARRAY_ADD(pending->claims, pending->claim_count, pending->claim_cap) =
        (struct catalog_claim){.kind = (int)kind,
                               .kind_name = claim_kind_name(kind),
                               .target = arena_strdup(&pending->arena, target),
                               .detail = arena_strdup(&pending->arena, detail)};
}

/* Keeps what the metadata of a weight file claims. */
static int put_metadata(struct scan_state *scan, struct pending *pending, const char *path,
                        const struct layout *layout, struct err *err)
{
    size_t before = pending->claim_count;
    for (size_t i = 0; i < layout->pair_count && pending->claim_count - before < FILE_CLAIMS_MOST;
         i++) {
        const struct layout_pair *pair = &layout->pairs[i];
        lineage_metadata(pair->key, pair->key_len, pair->value, pair->value_len, take_claim,
                         pending);
    }
    size_t count = MIN(pending->claim_count - before, (size_t)FILE_CLAIMS_MOST);
    pending->claim_count = before;
    return catalog_put_file_claims(scan->catalog, path, count ? pending->claims + before : NULL,
                                   count, err);
}

static int put_found(struct scan_state *scan, struct pending *pending,
                     const struct found_file *found, struct err *err)
{
    struct catalog_file file = {0}, before;
    char key[40];
    file.fsid = fsid_of(scan, found);
    index_key(key, file.fsid, found->st.st_ino);
    int r = catalog_find_file(scan->catalog, key, &before, &pending->arena, err);
    if (r < 0 && r != ERR_NOTFOUND)
        return r;
    bool known = r == 0;
    index_stat(&file, &found->st);
    known = known && before.size == file.size && before.mtime_ns == file.mtime_ns && !before.error;
    if (known && before.ctime_ns != file.ctime_ns)
        known = same_sample(&before, pending->found->root, found->name);
    if (known) {
        struct catalog_file now = file;
        file = before;
        index_stat(&file, &found->st);
        file.fsid = now.fsid;
    }
    if (scan->no_atime)
        file.atime = 0;
    const struct stored_file *stored = stored_at(&scan->stored, found->path);
    bool held = stored && stored->state != FILE_PLAIN;
    file.key = key;
    file.path = found->path;
    file.digest = found->digest;
    file.store = held ? stored->store : NULL;
    file.fid = held ? stored->manifest.fid : NULL;
    file.stored = held ? manifest_takes(&stored->manifest) : 0;
    file.state = held ? stored->state : FILE_PLAIN;
    struct layout layout = {0};
    struct catalog_file read = file;
    bool claims = known && catalog_has_file_claims(scan->catalog, file.path);
    if (!claims)
        index_header(known ? &read : &file, pending->found->root, found->name, &layout,
                     &pending->arena);
    r = catalog_put_file(scan->catalog, &file, known ? NULL : &layout, err);
    if (r == 0 && !claims)
        r = put_metadata(scan, pending, file.path, &layout, err);
    layout_release(&layout);
    if (r == 0)
        add_row(pending, file.row, found->name);
    return r;
}

/* The layout that a manifest remembers. Names and shapes stay the manifest's. */
static void layout_of(const struct manifest *m, struct layout *layout, struct hash128 **ret_ids)
{
    size_t id_count = 0, id_cap = 0;
    *layout = (struct layout){.size = m->size, .header = m->header};
    layout->format = strcmp(m->format, "safetensors") == 0 ? FORMAT_SAFETENSORS : FORMAT_OPAQUE;
    for (size_t i = 0; i < m->range_count; i++) {
        const struct manifest_range *range = &m->ranges[i];
        if (!range->name)
            continue;
        struct tensor *t = ARRAY_ADD(layout->tensors, layout->count, layout->cap);
        *t = (struct tensor){.name = range->name,
                             .name_len = (uint32_t)range->name_len,
                             .shape = range->shape,
                             .dims = (uint32_t)range->dims,
                             .offset = range->offset,
                             .bytes = range->bytes,
                             .dtype = range->dtype};
        *ARRAY_ADD(*ret_ids, id_count, id_cap) = range->id;
    }
}

/* A file that only the store has: everything is known from its manifest. */
static int put_absent(struct scan_state *scan, struct pending *pending,
                      const struct stored_view *view, struct err *err)
{
    const struct manifest *m = &view->file->manifest;
    AUTO_FREE char *key = mem_printf("fid:%s", m->fid);
    struct layout layout;
    AUTO_FREE struct hash128 *ids = NULL;
    struct catalog_file file = {.key = key,
                                .path = m->path,
                                .digest = m->digest,
                                .store = view->file->store,
                                .fid = m->fid,
                                .size = m->size,
                                .disk = m->freed,
                                .stored = manifest_takes(m),
                                .header = m->header,
                                .mtime_ns = m->mtime_ns,
                                .atime = m->atime_ns / 1000000000,
                                .links = 1,
                                .state = view->file->state};
    layout_of(m, &layout, &ids);
    file.format = layout.format;
    file.tensors = layout.count;
    for (size_t i = 0; i < layout.count; i++) {
        const struct tensor *t = &layout.tensors[i];
        file.dtype_bytes[t->dtype] += t->bytes;
        if (t->dtype != DTYPE_BYTES)
            file.parameters += tensor_elements(t);
    }
    int r = catalog_put_file(scan->catalog, &file, &layout, err);
    if (r == 0)
        r = catalog_put_hashes(scan->catalog, file.row, &m->hash, ids, layout.count, err);
    if (r == 0)
        r = catalog_copy_sketches(scan->catalog, file.row, err);
    if (r == 0)
        add_row(pending, file.row, view->view->file);
    layout_release(&layout);
    return r;
}

static bool has_name(const struct pending *pending, const char *name)
{
    for (size_t i = 0; i < pending->name_count; i++)
        if (strcmp(pending->names[i], name) == 0)
            return true;
    return false;
}

static void check_shard(void *context, const char *file)
{
    struct pending *pending = context;
    if (!(pending->flags & MODEL_MISSING) && !has_name(pending, file))
        pending->flags |= MODEL_MISSING;
}

static void read_companion(struct scan_state *scan, struct pending *pending,
                           const struct found_file *companion)
{
    struct err err = {0};
    size_t n;
    struct stat st = {0};
    if (strchr(companion->name, '/'))
        return;
    AUTO_FD int fd = file_open_found(pending->found->root, companion->path, &st, &err);
    int r = MIN(fd, 0);
    bool index = name_is_shard_index(companion->name);
    n = (size_t)MAX(st.st_size, 0);
    if (r == 0 && n > (index ? (size_t)SHARD_INDEX_LIMIT : (size_t)LINEAGE_FILE_LIMIT))
        r = err_set(&err, ERR_LIMIT, "too large to be read for what it says");
    AUTO_FREE char *bytes = r == 0 ? mem_alloc(n) : NULL;
    if (r == 0)
        r = file_pread(fd, bytes, n, 0, &err);
    if (r == 0 && index)
        r = format_shard_index(bytes, n, check_shard, pending, &err);
    else if (r == 0)
        r = lineage_read(companion->name, bytes, n, take_claim, pending, &err);
    if (r < 0) {
        add_problem(scan->report, companion->path, err.text);
        pending->unsettled = true;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A numbered set of shards of which one is not there. */
static bool set_is_incomplete(const struct pending *pending)
{
    /* Names of one set differ in their number alone: sorted, they stand together. */
    AUTO_FREE const char **sorted = mem_alloc((pending->name_count + 1) * sizeof *sorted);
    struct shard_name shard, other;
    unsigned have = 0;
    if (pending->name_count)
        memcpy(sorted, pending->names, pending->name_count * sizeof *sorted);
    if (pending->name_count)
        qsort(sorted, pending->name_count, sizeof *sorted, by_text);
    for (size_t i = 0; i < pending->name_count; i++) {
        if (!name_shard(sorted[i], &shard))
            continue;
        have++;
        bool more = i + 1 < pending->name_count && name_shard(sorted[i + 1], &other) &&
                    other.prefix == shard.prefix && other.count == shard.count &&
                    memcmp(sorted[i], sorted[i + 1], shard.prefix) == 0;
        if (!more && have < shard.count)
            return true;
        have = more ? have : 0;
    }
    return false;
}

static int write_model(struct scan_state *scan, struct pending *pending,
                       const struct hash128 *stamp, struct err *err)
{
    static const struct hash128 unknown;
    const struct found_model *found = pending->found;
    int r = 0;
    for (size_t i = 0; i < found->file_count && r == 0; i++)
        r = put_found(scan, pending, &found->files[i], err);
    for (size_t i = 0; i < pending->absent_count && r == 0; i++)
        r = put_absent(scan, pending, pending->absent[i], err);
    for (size_t i = 0; i < found->companion_count && r == 0; i++)
        read_companion(scan, pending, &found->companions[i]);
    if (r < 0)
        return r;
    pending->flags |= (found->flags & FOUND_INCOMPLETE ? MODEL_INCOMPLETE : 0) |
                      (found->flags & FOUND_ORPHAN ? MODEL_ORPHAN : 0) |
                      (stored_lacks(&scan->stored, pending->id) ? MODEL_LACKS : 0) |
                      (set_is_incomplete(pending) ? MODEL_MISSING : 0);
    struct catalog_model model = {.id = pending->id,
                                  .name = found->name,
                                  .source = source_name(found->source),
                                  .root = found->root,
                                  .path = found->path,
                                  .revision = found->revision,
                                  .run = found->run,
                                  .flags = pending->flags,
                                  .stamp = pending->unsettled ? unknown : *stamp,
                                  .rows = pending->rows,
                                  .file_names = pending->names,
                                  .file_count = pending->row_count};
    return catalog_put_model(scan->catalog, &model, pending->claims, pending->claim_count, err);
}

static struct hash128 id_key(const char *id)
{
    return hash128_of(id, strlen(id));
}

static int take_model(struct scan_state *scan, const struct found_model *found, struct err *err)
{
    struct pending pending = {.found = found};
    struct hash128 before;
    int r = progress_check(scan->progress, err);
    model_id(pending.id, found);
    find_absent(scan, &pending);
    if (r == 0 && found->file_count + pending.absent_count) {
        struct hash128 stamp = stamp_of(scan, &pending);
        bool same = catalog_model_stamp(scan->catalog, pending.id, &before, NULL) == 0 &&
                    hash128_equal(&before, &stamp);
        if (!same)
            r = write_model(scan, &pending, &stamp, err);
        if (r == 0)
            r = catalog_see_model(scan->catalog, pending.id, err);
        struct hash128 key = id_key(pending.id);
        map_put(&scan->done, &key, 1);
    }
    pending_release(&pending);
    return r;
}

/* Others can write to the catalog between two models, too. */
static int take_in_turn(struct scan_state *scan, const struct found_model *found, struct err *err)
{
    int r = catalog_begin(scan->catalog, err);
    if (r == 0)
        r = catalog_end(scan->catalog, take_model(scan, found, err), err);
    return r;
}

/* Models of which the walk found nothing any more, but that a store holds. */
static int take_stored_models(struct scan_state *scan, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < scan->stored.view_count && r == 0; i++) {
        const struct manifest_view *view = scan->stored.views[i].view;
        struct hash128 key = id_key(view->id);
        if (map_has(&scan->done, &key))
            continue;
        struct found_model found = {.source =
                                        strcmp(view->source, "hf") == 0 ? SOURCE_HF : SOURCE_FOLDER,
                                    .root = view->root,
                                    .name = view->name,
                                    .path = view->path,
                                    .revision = view->revision,
                                    .run = view->run};
        r = take_in_turn(scan, &found, err);
    }
    return r;
}

static void add_path(void *context, const char *path)
{
    path_list_add(context, path);
}

void ops_default_roots(struct ops *ops, struct path_list *ret)
{
    AUTO_FREE char *hub = source_hub_path();
    AUTO_FREE char *real = realpath(hub, NULL);
    if (real)
        path_list_add(ret, real);
    for (size_t i = 0; i < ops->config->roots.count; i++)
        path_list_add(ret, ops->config->roots.paths[i]);
    (void)catalog_roots(ops->catalog, add_path, ret, NULL);
}

/* The roots of this scan, absolute; those that were named are remembered. */
static int take_roots(struct scan_state *scan, const struct scan_request *request,
                      struct path_list *roots, struct err *err)
{
    int r = 0;
    if (request->forget) {
        AUTO_FREE char *real = realpath(request->forget, NULL);
        r = catalog_forget_root(scan->catalog, real ? real : request->forget, err);
        if (r == 0)
            r = catalog_start_sweep(scan->catalog, err);
        if (r == 0)
            r = catalog_sweep_root(scan->catalog, real ? real : request->forget, err);
    }
    for (size_t i = 0; r == 0 && request->paths && request->paths[i]; i++) {
        AUTO_FREE char *real = realpath(request->paths[i], NULL);
        if (!real) {
            add_problem(scan->report, request->paths[i], strerror(errno));
            continue;
        }
        path_list_add(roots, real);
        r = catalog_add_root(scan->catalog, real, err);
    }
    if (r == 0 && !(request->paths && request->paths[0]))
        ops_default_roots(scan->ops, roots);
    return r;
}

static void take_problem(void *context, const char *path, const char *reason)
{
    struct scan_state *scan = context;
    add_problem(scan->report, path, reason);
}

static struct found_file *keep_files(struct arena *arena, const struct found_file *files,
                                     size_t count)
{
    struct found_file *kept = arena_alloc(arena, (count + 1) * sizeof *kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = (struct found_file){.name = arena_strdup(arena, files[i].name),
                                      .path = arena_strdup(arena, files[i].path),
                                      .digest = arena_strdup(arena, files[i].digest),
                                      .st = files[i].st};
    return kept;
}

/* Keeps what the walk reports for when it is over. */
static int keep_found(void *context, const struct found_model *found, struct err *err)
{
    struct scan_state *scan = context;
    struct found_model *kept = ARRAY_ADD(scan->found, scan->found_count, scan->found_cap);
    *kept = *found;
    kept->root = arena_strdup(&scan->arena, found->root);
    kept->name = arena_strdup(&scan->arena, found->name);
    kept->path = arena_strdup(&scan->arena, found->path);
    kept->revision = arena_strdup(&scan->arena, found->revision);
    kept->run = arena_strdup(&scan->arena, found->run);
    kept->files = keep_files(&scan->arena, found->files, found->file_count);
    kept->companions = keep_files(&scan->arena, found->companions, found->companion_count);
    return progress_check(scan->progress, err);
}

/* Models that are gone go from the catalog, of the roots that were walked. */
static int sweep(struct scan_state *scan, const struct path_list *roots, const bool *walked,
                 struct err *err)
{
    int r = catalog_begin(scan->catalog, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < roots->count && r == 0; i++)
        if (walked[i])
            r = catalog_sweep_root(scan->catalog, roots->paths[i], err);
    if (r == 0)
        r = catalog_drop_orphans(scan->catalog, err);
    return catalog_end(scan->catalog, r, err);
}

/*
 * Walks all roots, and then writes what was found model by model: who else wants to write to the
 * catalog waits for one model at the most. A root that cannot be read is a problem, and keeps what
 * is known of it; only an error of the catalog, or a cancel, ends the scan.
 */
static int scan_headers(struct scan_state *scan, const struct path_list *roots, struct err *err)
{
    const struct source_sink sink = {keep_found, take_problem, scan};
    AUTO_FREE bool *walked = mem_zalloc(roots->count + 1);
    int r = catalog_start_sweep(scan->catalog, err);
    for (size_t i = 0; i < roots->count && r == 0; i++) {
        walked[i] = access(roots->paths[i], R_OK) == 0;
        if (walked[i])
            r = source_walk(roots->paths[i], &sink, err);
        else
            add_problem(scan->report, roots->paths[i], strerror(errno));
    }
    for (size_t i = 0; i < scan->found_count && r == 0; i++)
        r = take_in_turn(scan, &scan->found[i], err);
    if (r == 0)
        r = take_stored_models(scan, err);
    return r < 0 ? r : sweep(scan, roots, walked, err);
}

static int sketch_file(struct catalog *catalog, const struct lib_file *file,
                       const struct catalog_tensors *tensors, int fd, struct err *err)
{
    struct catalog_sketches sketches;
    AUTO_BUF struct buf bytes = {0};
    int r = index_sketches(fd, &tensors->layout, &bytes, &sketches, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    return r < 0 ? r
                 : catalog_end(catalog, catalog_put_sketches(catalog, file->row, &sketches, err),
                               err);
}

static int hash_file(struct catalog *catalog, const struct lib_file *file,
                     const struct catalog_tensors *tensors, int fd, struct progress *progress,
                     struct err *err)
{
    struct hash128 content;
    int r = index_hashes(fd, &tensors->layout, tensors->ids, &content, progress, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    return r < 0 ? r
                 : catalog_end(catalog,
                               catalog_put_hashes(catalog, file->row, &content, tensors->ids,
                                                  tensors->layout.count, err),
                               err);
}

static int copy_hashes(struct catalog *catalog, int64_t row, bool *ret, struct err *err)
{
    int r = catalog_begin(catalog, err);
    return r < 0 ? r : catalog_end(catalog, catalog_copy_hashes(catalog, row, ret, err), err);
}

/* Reads one file for its hashes, or for its sketches alone, and keeps them. */
static int analyse_file(struct catalog *catalog, const struct lib_file *file, bool hash,
                        struct progress *progress, struct err *err)
{
    struct catalog_tensors tensors;
    bool copied = false;
    /* A cache that names files by their digest shows equal ones before a byte is read. */
    int r = hash && file->digest ? copy_hashes(catalog, file->row, &copied, err) : 0;
    if (r < 0 || copied)
        return r;
    r = catalog_tensors(catalog, file->row, &tensors, err);
    if (r < 0)
        return r;
    AUTO_FD int fd = index_open(file, err);
    r = fd < 0 ? fd
        : hash ? hash_file(catalog, file, &tensors, fd, progress, err)
               : sketch_file(catalog, file, &tensors, fd, err);
    catalog_tensors_release(&tensors);
    return r;
}

static const struct lib_file *file_of_row(const struct library *library, int64_t row)
{
    for (size_t i = 0; i < library->file_count; i++)
        if (library->files[i].row == row)
            return library->files[i].users ? &library->files[i] : NULL;
    return NULL;
}

/* The background part: what is not sketched, then what is not hashed. */
static int analyse(struct scan_state *scan, const struct library *library, struct err *err)
{
    struct catalog_rows rows = {0};
    struct err why;
    progress_phase(scan->progress, "sampling");
    int r = catalog_unsketched(scan->catalog, &rows, err);
    for (size_t i = 0; i < rows.count && r == 0; i++) {
        const struct lib_file *file = file_of_row(library, rows.rows[i]);
        r = progress_check(scan->progress, err);
        if (file && r == 0 && analyse_file(scan->catalog, file, false, NULL, &why) < 0)
            add_problem(scan->report, file->path, why.text);
    }
    free(rows.rows);
    rows = (struct catalog_rows){0};
    progress_phase(scan->progress, "hashing");
    if (r == 0)
        r = catalog_unhashed(scan->catalog, &rows, err);
    for (size_t i = 0; i < library->file_count && scan->progress; i++)
        if (library->files[i].users && !library->files[i].hashed && !library->files[i].error)
            atomic_fetch_add(&scan->progress->total, library->files[i].size);
    for (size_t i = 0; i < rows.count && r == 0; i++) {
        const struct lib_file *file = file_of_row(library, rows.rows[i]);
        if (!file)
            continue;
        int failed = analyse_file(scan->catalog, file, true, scan->progress, &why);
        if (failed == ERR_CANCELLED)
            r = err_set(err, ERR_CANCELLED, "%s", why.text);
        else if (failed < 0)
            add_problem(scan->report, file->path, why.text);
    }
    free(rows.rows);
    return r;
}

int ops_hash_models(struct ops *ops, const struct library *library, const int *models, size_t count,
                    struct progress *progress, struct err *err)
{
    int r = 0;
    progress_phase(progress, "hashing");
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *model = &library->models[models[i]];
        for (size_t f = 0; f < model->file_count && r == 0; f++) {
            const struct lib_file *file = &library->files[model->files[f]];
            bool there = file->state == FILE_PLAIN || file->state == FILE_KEPT;
            if (there && !file->hashed && !file->error)
                r = analyse_file(ops->catalog, file, true, progress, err);
        }
    }
    return r;
}

/* Problems of single files are kept in the catalog, so that each scan tells them again. */
static void report_library(const struct library *library, struct scan_report *report)
{
    report->models = library->model_count;
    report->size = library->size;
    report->disk = library->disk;
    for (size_t i = 0; i < library->file_count; i++) {
        const struct lib_file *file = &library->files[i];
        if (!file->users)
            continue;
        report->files++;
        report->tensors += file->tensors;
        if (file->error)
            add_problem(report, file->path, file->error);
    }
    for (size_t i = 0; i < report->root_count; i++) {
        struct scan_root *root = &report->roots[i];
        size_t n = strlen(root->path);
        for (size_t m = 0; m < library->model_count; m++) {
            const struct lib_model *model = &library->models[m];
            if (strncmp(model->path, root->path, n) != 0 ||
                (model->path[n] != '/' && model->path[n] != '\0'))
                continue;
            root->models++;
            root->files += model->file_count;
        }
    }
}

/* Only the gaps of what others read are used for this. */
static void be_polite(void)
{
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

int ops_scan(struct ops *ops, const struct scan_request *request, struct progress *progress,
             struct scan_report *ret, struct err *err)
{
    struct scan_state scan = {
        .ops = ops, .catalog = ops->catalog, .report = ret, .progress = progress};
    struct path_list roots = {0};
    struct library *library = NULL;
    double start = ops_now();
    *ret = (struct scan_report){0};
    progress_phase(progress, "reading headers");
    int r = take_roots(&scan, request, &roots, err);
    for (size_t i = 0; i < roots.count && r == 0; i++)
        *ARRAY_ADD(ret->roots, ret->root_count, ret->root_cap) =
            (struct scan_root){.path = mem_strdup(roots.paths[i]),
                               .source = source_is_hub(roots.paths[i]) ? "hf" : "dir"};
    if (r == 0) {
        stored_read(ops, &scan.stored, add_problem, ret);
        r = scan_headers(&scan, &roots, err);
    }
    AUTO_FREE const char **scope = mem_zalloc((roots.count + 1) * sizeof *scope);
    for (size_t i = 0; i < roots.count; i++)
        scope[i] = roots.paths[i];
    if (r == 0)
        r = catalog_load(ops->catalog, scope, &library, err);
    if (r == 0 && !request->headers_only) {
        be_polite();
        r = analyse(&scan, library, err);
        if (r == 0)
            r = ops_families(ops, &scan.stored, progress, err);
    }
    if (r == 0)
        report_library(library, ret);
    library_unref(library);
    stored_release(&scan.stored);
    map_release(&scan.done);
    arena_release(&scan.arena);
    free(scan.found);
    path_list_release(&roots);
    ret->seconds = ops_now() - start;
    return r;
}

void scan_report_release(struct scan_report *report)
{
    for (size_t i = 0; i < report->root_count; i++)
        free(report->roots[i].path);
    for (size_t i = 0; i < report->problem_count; i++) {
        free(report->problems[i].path);
        free(report->problems[i].reason);
    }
    free(report->roots);
    free(report->problems);
    *report = (struct scan_report){0};
}

void ops_refresh(struct ops *ops)
{
    const struct scan_request request = {.paths = ops->options.scope, .headers_only = true};
    struct scan_report report;
    (void)ops_scan(ops, &request, NULL, &report, NULL);
    scan_report_release(&report);
}
