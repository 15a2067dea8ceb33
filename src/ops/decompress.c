/* SPDX-License-Identifier: MIT */
/* Decompress: the files of models come back, byte for byte, or are copied elsewhere. */
#include "ops/compress.h"

#include "base/file.h"
#include "base/text.h"
#include "ops/companions.h"
#include "ops/meta.h"
#include "ops/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One restore on its way. */
struct restore {
    struct ops *ops;
    struct store *store;
    struct transfer *transfer;
    struct progress *progress;
    struct buf *notes;
    uint32_t item, items; /* the file in flight, of all that are to come back */
};

enum { SPARE = 1 << 20 }; /* for manifests and folders */

/* The manifest's bytes and attributes into a file that was just made, and durable. */
static int fill(struct restore *run, const struct manifest *m, int fd, const char *path, bool copy,
                struct err *err)
{
    int r = 0;
    if (m->size && fallocate(fd, 0, 0, (off_t)m->size) < 0 && (errno == ENOSPC || errno == EDQUOT))
        r = err_sys(err, "%s", path);
    if (r == 0)
        r = transfer_decode_file(run->transfer, run->store, m, fd, NULL, err);
    if (r == 0)
        r = meta_write(fd, m, run->store, copy, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s", path);
    return r == ERR_NOSPACE ? ops_explain_space(path, m->size + SPARE, err) : r;
}

/*
 * Writes the file beside its place under tare's own name, and gives it the right one without
 * replacing anything.
 */
static int write_into(struct restore *run, const struct manifest *m, int dir, const char *aside,
                      const char *name, const char *path, bool copy, struct err *err)
{
    AUTO_FD int fd = openat(dir, aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, "%s", path);
    int r = fill(run, m, fd, path, copy, err);
    if (r == 0)
        r = file_rename_new(dir, aside, dir, name, err);
    if (r < 0)
        (void)unlinkat(dir, aside, 0);
    return r;
}

/* Makes the folders of the path below a folder that exists. */
static int make_parents(const char *path, struct err *err)
{
    AUTO_FREE char *dir = file_dir(path);
    return file_make_dirs(dir, err);
}

/* The file is in its place: links, note, and the end of its manifest. */
static int finish_restore(struct restore *run, const struct manifest *m, struct err *err)
{
    AUTO_FREE char *fid = mem_strdup(m->fid);
    int r = store_settle(run->store, m, err);
    if (r == 0)
        r = store_drop_manifest(run->store, fid, err);
    return r < 0 ? r : store_sweep(run->store, err);
}

/* Puts a file back in its place and forgets its manifest. */
static int restore_file(struct restore *run, const char *fid, struct err *err)
{
    const struct manifest *m = store_find(run->store, fid);
    struct stat st;
    struct err why = {0};
    if (!m)
        return 0; /* the recovery at opening found it in its place */
    AUTO_FREE char *aside = store_restore_name(m), *folder = file_dir(m->path);
    const char *name = file_base(m->path);
    AUTO_FD int dir = store_open_folder(run->store, m, m->path, &why);
    if (dir == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND,
                       "%s: its folder is gone; tare decompress --to DIR writes a copy", m->path);
    if (dir < 0)
        return err_set(err, dir, "%s", why.text);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return store_is_back(run->store, m)
                   ? finish_restore(run, m, err)
                   : err_set(err, ERR_EXISTS,
                             "%s: a different file is in its place; tare decompress --to DIR "
                             "writes a copy elsewhere",
                             m->path);
    AUTO_FREE char *original = NULL;
    if (m->state == MANIFEST_ASIDE && store_has_aside(m, dir, false, &original))
        return file_rename_new(dir, original, dir, name, err) < 0 ? ERR_IO
                                                                  : finish_restore(run, m, err);
    int r = ops_check_space(folder, m->size + SPARE, err);
    if (r == 0)
        r = store_set_state(run->store, fid, MANIFEST_RESTORING, err);
    if (r == 0) {
        (void)unlinkat(dir, aside, 0); /* of a restore that was cut off: the name is tare's own */
        r = write_into(run, m, dir, aside, name, m->path, false, err);
    }
    if (r == 0)
        return finish_restore(run, m, err);
    (void)store_set_state(run->store, fid, MANIFEST_STORED, NULL);
    return r;
}

/* Writes a copy below a folder: DIR/model/file. The store stays as it is. */
static int copy_file(struct restore *run, const char *fid, const struct lib_model *model,
                     const char *name, const char *to, struct err *err)
{
    const struct manifest *m = store_find(run->store, fid);
    if (!m)
        return err_set(err, ERR_NOTFOUND, "the store does not have it");
    AUTO_FREE char *below = file_join(model->name, name), *path = file_join(to, below);
    AUTO_FREE char *folder = file_dir(path), *inside = file_dir(below);
    AUTO_FREE char *aside = mem_printf(".tare-copy-%s-%ld", m->fid, (long)getpid());
    if (!file_path_is_safe(model->name, strlen(model->name)) ||
        !file_path_is_safe(name, strlen(name)))
        return err_set(err, ERR_REFUSED, "its name is no path beneath a folder");
    int r = make_parents(path, err);
    AUTO_FD int top = r < 0 ? r : file_open_dir(AT_FDCWD, to, err);
    AUTO_FD int dir =
        top < 0 ? top : file_open_beneath(top, inside, O_RDONLY | O_DIRECTORY, false, err);
    if (dir < 0)
        return dir;
    if (faccessat(dir, file_base(path), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_EXISTS, "%s: is there already", path);
    r = ops_check_space(folder, m->size + SPARE, err);
    if (r == 0)
        r = write_into(run, m, dir, aside, file_base(path), path, true, err);
    return r < 0 ? r : file_sync_dir(dir, err);
}

struct order {
    const struct library *library;
    const int *models;
    size_t count;
    const char *to;
};

/* One file of a model, and what the report says of it. */
static int restore_one(struct restore *run, const struct order *order,
                       const struct lib_model *model, size_t f, struct done_model *done,
                       struct err *err)
{
    const struct lib_file *file = &order->library->files[model->files[f]];
    double start = ops_now();
    const struct manifest *m = store_find(run->store, file->fid);
    uint64_t size = m ? m->size : file->size; /* another file may lie in its place */
    int r = order->to ? copy_file(run, file->fid, model, model->file_names[f], order->to, err)
                      : restore_file(run, file->fid, err);
    done->seconds += ops_now() - start;
    if (r < 0) {
        done_fail(done, file->path, err);
        return r;
    }
    done->files++;
    done->size += size;
    done->freed -=
        order->to || file->state == FILE_KEPT ? 0 : (int64_t)size - (int64_t)file->stored;
    return 0;
}

/* What belongs to the model and is not there any more comes first: its folders, too. */
static int restore_companions(struct restore *run, const struct order *order,
                              const struct lib_model *model, struct err *err)
{
    size_t count = 0;
    int r = companions_restore(run->store, run->transfer, model->id, model->name, order->to, &count,
                               err);
    if (count && !order->to)
        buf_printf(run->notes, "%s: %zu of its other files %s gone, and came back, too\n",
                   model->name, count, count == 1 ? "was" : "were");
    return r;
}

static int restore_from(struct restore *run, const struct order *order, const char *store,
                        struct done_report *report, struct err *err)
{
    int r = 0, first = 0;
    for (size_t i = 0; i < order->count; i++) {
        const struct lib_model *model = &order->library->models[order->models[i]];
        struct done_model *done = NULL;
        struct err lost = {0};
        for (size_t f = 0; f < model->file_count; f++) {
            const struct lib_file *file = &order->library->files[model->files[f]];
            struct err why = {0};
            if (!file->store || strcmp(file->store, store) != 0)
                continue;
            if (!done && restore_companions(run, order, model, &lost) < 0 && lost.text[0])
                buf_printf(run->notes, "%s: its other files: %s\n", model->name, lost.text);
            done = done ? done : done_of(report, model->id, model->name);
            if (r != ERR_CANCELLED) {
                progress_item(run->progress, ++run->item, run->items);
                r = restore_one(run, order, model, f, done, &why);
            }
            done->left += r < 0;
            if (r < 0 && first == 0) {
                first = r;
                if (err)
                    *err = why;
            }
        }
    }
    return r == ERR_CANCELLED ? r : first;
}

/* The stores that files of these models lie in, and how much that is. */
static void list_stores(const struct order *order, struct path_list *stores, uint32_t *ret_items,
                        struct progress *progress)
{
    for (size_t i = 0; i < order->count; i++) {
        const struct lib_model *model = &order->library->models[order->models[i]];
        for (size_t f = 0; f < model->file_count; f++) {
            const struct lib_file *file = &order->library->files[model->files[f]];
            if (!file->store)
                continue;
            ++*ret_items;
            path_list_add(stores, file->store);
            if (progress)
                atomic_fetch_add(&progress->total, file->size);
        }
    }
}

static int decompress_from(struct restore *run, const struct order *order, const char *store,
                           struct done_report *report, struct buf *notes, struct err *err)
{
    struct ops *ops = run->ops;
    int r = order->to
                ? ops_read_store(ops, store, &run->store, notes, err)
                : ops_open_store(ops, store, "decompress", run->progress, &run->store, notes, err);
    if (r < 0)
        return r;
    run->notes = notes;
    progress_phase(run->progress, "decoding");
    run->transfer = transfer_new(ops, run->progress);
    r = restore_from(run, order, store, report, err);
    if (!order->to)
        done_log(run->store, "decompress", report);
    transfer_free(run->transfer);
    store_close(run->store);
    return r;
}

int ops_decompress(struct ops *ops, const struct library *library, const int *models, size_t count,
                   const char *to, struct progress *progress, struct done_report *ret,
                   struct err *err)
{
    struct order order = {library, models, count, to};
    struct restore run = {.ops = ops, .progress = progress};
    struct path_list stores = {0};
    *ret = (struct done_report){0};
    int r = ops_may_write(ops, err), first = 0;
    if (r < 0)
        return r;
    list_stores(&order, &stores, &run.items, progress);
    if (!stores.count)
        first = err_set(err, ERR_REFUSED, "nothing of it is compressed");
    for (size_t i = 0; i < stores.count && r != ERR_CANCELLED; i++) {
        struct done_report part = {0};
        struct err why = {0};
        r = decompress_from(&run, &order, stores.paths[i], &part, &ret->notes, &why);
        done_merge(ret, &part);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = why;
        }
    }
    for (size_t i = 0; i < ret->count; i++) {
        struct done_model *done = &ret->models[i];
        done->state = to || (done->left && !done->files) ? "compressed"
                      : done->left                       ? "partial"
                                                         : "plain";
    }
    path_list_release(&stores);
    return first;
}
