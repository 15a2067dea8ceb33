/* SPDX-License-Identifier: MIT */
/* What the stores hold, by path and by model. */
#include "ops/stored.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "store/store.h"

#include <string.h>
#include <sys/stat.h>

struct reading {
    struct stored *stored;
    const char *store;
    void (*problem)(void *context, const char *path, const char *reason);
    void *context;
};

/* What lies in the place of a stored file decides how it stands. */
static enum file_state state_of(const struct manifest *m)
{
    struct stat st;
    if (lstat(m->path, &st) < 0) {
        AUTO_FREE char *dir = file_dir(m->path);
        return stat(dir, &st) < 0 ? FILE_GONE : FILE_STORED;
    }
    bool same = S_ISREG(st.st_mode) && (uint64_t)st.st_size == m->size &&
                file_nanoseconds(&st.st_mtim) == m->mtime_ns;
    if (!same)
        return FILE_CHANGED;
    return m->state == MANIFEST_KEPT ? FILE_KEPT : FILE_PLAIN;
}

static void add_file(struct reading *reading, struct manifest manifest, enum file_state state)
{
    struct stored *stored = reading->stored;
    struct stored_file *file = ARRAY_ADD(stored->files, stored->file_count, stored->file_cap);
    *file = (struct stored_file){.manifest = manifest, .store = reading->store, .state = state};
}

/* What a verify found damaged, and what is not in its place anyway, cannot be given back whole. */
static enum file_state state_with_damage(struct ops *ops, const struct manifest *m)
{
    enum file_state state = state_of(m);
    bool away = state == FILE_STORED || state == FILE_GONE;
    return away && catalog_is_damaged(ops->catalog, m->fid) ? FILE_DAMAGED : state;
}

static struct hash128 model_key(const char *id)
{
    return hash128_of(id, strlen(id));
}

bool stored_lacks(const struct stored *stored, const char *model_id)
{
    struct hash128 key = model_key(model_id);
    return map_has(&stored->lacking, &key);
}

static int read_store(struct ops *ops, struct reading *reading, struct err *err)
{
    struct store *store;
    int r = store_open(reading->store, STORE_LIST, NULL, NULL, &store, NULL, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < store_manifest_count(store); i++) {
        struct manifest manifest = store_take(store, i);
        if (store_companions_missing(&manifest) && manifest.view_count) {
            struct hash128 key = model_key(manifest.views[0].id);
            map_put(&reading->stored->lacking, &key, 1);
        }
        if (manifest.state == MANIFEST_PENDING || manifest.state == MANIFEST_COMPANIONS)
            manifest_release(&manifest);
        else
            add_file(reading, manifest, state_with_damage(ops, &manifest));
    }
    for (size_t i = 0; i < store_absent_count(store); i++) {
        const struct store_absent *absent = store_absent(store, i);
        AUTO_FREE char *path = mem_printf("%s/files/%s.json", reading->store, absent->brief.fid);
        reading->problem(reading->context, path, absent->reason);
        struct stat st;
        /* Where the file lies in its place, it is as good as never compressed. */
        if (absent->brief.path && absent->brief.state != MANIFEST_COMPANIONS &&
            lstat(absent->brief.path, &st) < 0)
            add_file(reading, store_take_brief(store, i), FILE_DAMAGED);
    }
    store_close(store);
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const struct stored_file *x = a, *y = b;
    return strcmp(x->manifest.path, y->manifest.path);
}

static int by_model(const void *a, const void *b)
{
    const struct stored_view *x = a, *y = b;
    int order = strcmp(x->view->id, y->view->id);
    return order ? order : strcmp(x->view->file, y->view->file);
}

void stored_read(struct ops *ops, struct stored *ret,
                 void (*problem)(void *context, const char *path, const char *reason),
                 void *context)
{
    struct reading reading = {.stored = ret, .problem = problem, .context = context};
    *ret = (struct stored){0};
    ops_stores(ops, &ret->stores);
    for (size_t i = 0; i < ret->stores.count; i++) {
        struct err err;
        reading.store = ret->stores.paths[i];
        if (read_store(ops, &reading, &err) < 0)
            problem(context, reading.store, err.text);
    }
    if (ret->file_count)
        qsort(ret->files, ret->file_count, sizeof *ret->files, by_path);
    for (size_t i = 0; i < ret->file_count; i++)
        for (size_t v = 0; v < ret->files[i].manifest.view_count; v++)
            *ARRAY_ADD(ret->views, ret->view_count, ret->view_cap) =
                (struct stored_view){&ret->files[i].manifest.views[v], &ret->files[i]};
    if (ret->view_count)
        qsort(ret->views, ret->view_count, sizeof *ret->views, by_model);
}

void stored_release(struct stored *stored)
{
    for (size_t i = 0; i < stored->file_count; i++)
        manifest_release(&stored->files[i].manifest);
    free(stored->files);
    free(stored->views);
    path_list_release(&stored->stores);
    map_release(&stored->lacking);
    *stored = (struct stored){0};
}

struct stored_file *stored_at(const struct stored *stored, const char *path)
{
    struct stored_file key = {.manifest = {.path = path}};
    return stored->file_count
               ? bsearch(&key, stored->files, stored->file_count, sizeof key, by_path)
               : NULL;
}

const struct stored_view *stored_views(const struct stored *stored, const char *model_id,
                                       size_t *ret_count)
{
    size_t low = 0, high = stored->view_count, end;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(stored->views[middle].view->id, model_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < stored->view_count; end++)
        if (strcmp(stored->views[end].view->id, model_id) != 0)
            break;
    *ret_count = end - low;
    return stored->views + low;
}
