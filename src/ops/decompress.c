/* SPDX-License-Identifier: MIT */
/* Decompress: the files of models come back, byte for byte, or are copied elsewhere. */
#include "ops/compress.h"

#include "base/file.h"
#include "base/text.h"
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
};

enum { SPARE = 1 << 20 }; /* for manifests and folders */

/* Writes the file under another name in its folder, complete with everything, and durable. */
static int write_aside(struct restore *run, const struct manifest *m, const char *path, bool copy,
                       struct err *err)
{
    (void)unlink(path);
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, "%s", path);
    int r = 0;
    if (m->size && fallocate(fd, 0, 0, (off_t)m->size) < 0 && (errno == ENOSPC || errno == EDQUOT))
        r = err_sys(err, "%s", path);
    if (r == 0)
        r = transfer_decode_file(run->transfer, run->store, m, fd, err);
    if (r == 0)
        r = meta_write(fd, m, copy, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s", path);
    if (r < 0)
        (void)unlink(path);
    return r == ERR_NOSPACE ? ops_explain_space(path, m->size + SPARE, err) : r;
}

/* Makes the folders of the path below a folder that exists. */
static int make_parents(const char *path, struct err *err)
{
    AUTO_FREE char *dir = file_dir(path);
    return file_make_dirs(dir, err);
}

static int sync_parent(const char *path, struct err *err)
{
    AUTO_FREE char *parent = file_dir(path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, parent, err);
    return dir < 0 ? dir : file_sync_dir(dir, err);
}

/* The file is in its place: links, note, and the end of its manifest. */
static int finish_restore(struct restore *run, const struct manifest *m, struct err *err)
{
    AUTO_FREE char *fid = mem_strdup(m->fid);
    int r = store_settle(m, err);
    if (r == 0)
        r = store_drop_manifest(run->store, fid, err);
    return r < 0 ? r : store_tidy(run->store, err);
}

/* Puts a file back in its place and forgets its manifest. */
static int restore_file(struct restore *run, const char *fid, struct err *err)
{
    const struct manifest *m = store_find(run->store, fid);
    struct stat st;
    if (!m)
        return 0; /* the recovery at opening found it in its place */
    AUTO_FREE char *aside = store_restore_path(m), *folder = file_dir(m->path);
    if (stat(folder, &st) < 0)
        return err_set(err, ERR_NOTFOUND,
                       "%s: its folder is gone; tare decompress --to DIR writes a copy", m->path);
    if (lstat(m->path, &st) == 0)
        return store_is_back(m)
                   ? finish_restore(run, m, err)
                   : err_set(err, ERR_EXISTS,
                             "%s: a different file is in its place; tare decompress --to DIR "
                             "writes a copy elsewhere",
                             m->path);
    int r = ops_check_space(folder, m->size + SPARE, err);
    if (r == 0)
        r = store_set_state(run->store, fid, MANIFEST_RESTORING, err);
    if (r == 0)
        r = write_aside(run, m, aside, false, err);
    if (r == 0 && renameat2(AT_FDCWD, aside, AT_FDCWD, m->path, RENAME_NOREPLACE) < 0) {
        r = err_sys(err, "%s", m->path);
        (void)unlink(aside);
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
    AUTO_FREE char *folder = file_join(to, model->name), *path = file_join(folder, name);
    AUTO_FREE char *aside = mem_printf("%s.part", path);
    if (!file_path_is_safe(model->name, strlen(model->name)) ||
        !file_path_is_safe(name, strlen(name)))
        return err_set(err, ERR_REFUSED, "its name is no path beneath a folder");
    if (access(path, F_OK) == 0)
        return err_set(err, ERR_EXISTS, "%s: is there already", path);
    int r = make_parents(path, err);
    if (r == 0)
        r = ops_check_space(folder, m->size + SPARE, err);
    if (r == 0)
        r = write_aside(run, m, aside, true, err);
    if (r == 0 && renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
        r = err_sys(err, "%s", path);
        (void)unlink(aside);
    }
    return r < 0 ? r : sync_parent(path, err);
}

struct order {
    const struct library *library;
    const int *models;
    size_t count;
    const char *to;
};

static int restore_from(struct restore *run, const struct order *order, const char *store,
                        struct done_report *report, struct err *err)
{
    int r = 0, first = 0;
    uint32_t item = 0;
    for (size_t i = 0; i < order->count; i++) {
        const struct lib_model *model = &order->library->models[order->models[i]];
        struct done_model *done = done_of(report, model);
        size_t left = 0;
        for (size_t f = 0; f < model->file_count; f++) {
            const struct lib_file *file = &order->library->files[model->files[f]];
            struct err why = {0};
            if (!file->store || strcmp(file->store, store) != 0)
                continue;
            left++;
            if (r == ERR_CANCELLED)
                continue;
            progress_item(run->progress, ++item, (uint32_t)order->library->file_count);
            double start = ops_now();
            const struct manifest *m = store_find(run->store, file->fid);
            uint64_t size = m ? m->size : file->size; /* another file may lie in its place */
            r = order->to ? copy_file(run, file->fid, model, model->file_names[f], order->to, &why)
                          : restore_file(run, file->fid, &why);
            done->seconds += ops_now() - start;
            if (r == 0) {
                left--;
                done->files++;
                done->size += size;
                done->freed -= order->to || file->state == FILE_KEPT
                                   ? 0
                                   : (int64_t)size - (int64_t)file->stored;
            } else {
                done_fail(done, file->path, &why);
                if (first == 0 && err)
                    *err = why;
                first = first ? first : r;
            }
        }
        done->state = order->to || (left && !done->files) ? "compressed"
                      : left                              ? "partial"
                                                          : "plain";
    }
    return first;
}

int ops_decompress(struct ops *ops, const struct library *library, const int *models, size_t count,
                   const char *to, struct progress *progress, struct done_report *ret,
                   struct err *err)
{
    struct order order = {library, models, count, to};
    struct path_list stores = {0};
    *ret = (struct done_report){0};
    int r = ops_may_write(ops, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *model = &library->models[models[i]];
        for (size_t f = 0; f < model->file_count; f++) {
            const struct lib_file *file = &library->files[model->files[f]];
            if (file->store)
                path_list_add(&stores, file->store);
            if (file->store && progress)
                atomic_fetch_add(&progress->total, file->size);
        }
    }
    if (!stores.count)
        r = err_set(err, ERR_REFUSED, "nothing of it is compressed");
    for (size_t i = 0; i < stores.count && r == 0; i++) {
        struct restore run = {.ops = ops, .progress = progress};
        r = to ? store_open(stores.paths[i], STORE_READ, NULL, &run.store, &ret->notes, err)
               : ops_open_store(ops, stores.paths[i], "decompress", progress, &run.store,
                                &ret->notes, err);
        if (r < 0)
            break;
        progress_phase(progress, "decoding");
        run.transfer = transfer_new(ops, progress);
        r = restore_from(&run, &order, stores.paths[i], ret, err);
        if (!to)
            done_log(run.store, "decompress", ret);
        transfer_free(run.transfer);
        store_close(run.store);
    }
    path_list_release(&stores);
    return r;
}
