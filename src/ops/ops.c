/* SPDX-License-Identifier: MIT */
/* The context of the verbs: catalog, threads, models by name. */
#include "ops/ops.h"

#include "base/file.h"
#include "bits/simd.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "jobs/pool.h"
#include "ops/config.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char *ops_default_catalog(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        return file_join(cache, "tare/catalog.db");
    return file_join(home ? home : "/tmp", ".cache/tare/catalog.db");
}

/* A slower vector path than the CPU has, for comparing. */
static void choose_simd(struct buf *notes)
{
    const char *name = getenv("TARE_SIMD");
    enum simd level;
    if (!name || !*name)
        return;
    if (simd_parse(name, &level))
        simd_use(level);
    else
        buf_str(notes, "TARE_SIMD is scalar, avx2 or avx512; it is ignored\n");
}

/* The named store by its absolute path: what is written down of it stays true elsewhere. */
static int name_store(struct ops *ops, struct err *err)
{
    const char *store = ops->options.store;
    if (!store || store[0] == '/')
        return 0;
    AUTO_FREE char *here = getcwd(NULL, 0);
    if (!here)
        return err_sys(err, "the current folder");
    AUTO_FREE char *path = file_join(here, store);
    ops->options.store = arena_strdup(&ops->arena, path);
    return 0;
}

int ops_open(const struct ops_options *options, struct ops **ret, struct err *err)
{
    struct ops *ops = mem_zalloc(sizeof *ops);
    hash_begin();
    AUTO_FREE char *path = options->catalog ? mem_strdup(options->catalog) : ops_default_catalog();
    ops->options = *options;
    if (!ops->options.threads) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        ops->options.threads = (unsigned)MIN(MAX(processors, 1), 64);
    }
    ops->options.catalog = arena_strdup(&ops->arena, path);
    ops->config = mem_zalloc(sizeof *ops->config);
    config_read(ops->config, &ops->notes);
    choose_simd(&ops->notes);
    int r = name_store(ops, err);
    if (r == 0)
        r = catalog_open(path, &ops->catalog, &ops->notes, err);
    if (r < 0) {
        ops_close(ops);
        return r;
    }
    *ret = ops;
    return 0;
}

void ops_close(struct ops *ops)
{
    if (!ops)
        return;
    catalog_close(ops->catalog);
    pool_free(ops->pool);
    config_release(ops->config);
    free(ops->config);
    buf_release(&ops->notes);
    arena_release(&ops->arena);
    free(ops);
}

bool ops_index_is_kept(const struct ops *ops)
{
    return catalog_kind(ops->catalog) != CATALOG_MEMORY;
}

int ops_library(struct ops *ops, struct library **ret, struct err *err)
{
    return catalog_load(ops->catalog, ops->options.scope, ret, err);
}

struct pool *ops_pool(struct ops *ops)
{
    if (!ops->pool)
        ops->pool = pool_new(ops->options.threads, ops->options.threads + 2);
    return ops->pool;
}

int ops_check_space(const char *path, uint64_t need, struct err *err)
{
    uint64_t have;
    char missing[16];
    if (file_free_space(path, &have, NULL) < 0 || have >= need)
        return 0;
    text_size(missing, need - have);
    return err_set(err, ERR_NOSPACE, "%s more space is needed in %.400s", missing, path);
}

int ops_explain_space(const char *path, uint64_t need, struct err *err)
{
    char size[16];
    if (err && strstr(err->text, strerror(EFBIG)))
        return ERR_NOSPACE; /* it says what is in the way: a limit on the size of files */
    if (ops_check_space(path, need, err) == 0) {
        text_size(size, need);
        err_set(err, ERR_NOSPACE,
                "no space, although the disk has some: a quota? up to %s are needed in %.400s",
                size, path);
    }
    return ERR_NOSPACE;
}

double ops_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int ops_may_write(const struct ops *ops, struct err *err)
{
    if (!ops->options.readonly)
        return 0;
    return err_set(err, ERR_READONLY,
                   "read-only: nothing is changed (leave out --readonly; under sudo it is the "
                   "default, --write lifts it)");
}

int ops_find_model(const struct library *library, const char *text, int *ret, struct err *err)
{
    int found[8];
    size_t count = library_find(library, text, found, COUNT_OF(found));
    if (count == 0) {
        AUTO_FREE char *real = realpath(text, NULL);
        count = real ? library_find(library, real, found, COUNT_OF(found)) : 0;
    }
    if (count == 0)
        return err_set(err, ERR_NOTFOUND, "%s: no such model (see tare list)", text);
    if (count == 1) {
        *ret = found[0];
        return 0;
    }
    AUTO_BUF struct buf names = {0};
    for (size_t i = 0; i < MIN(count, COUNT_OF(found)); i++)
        buf_printf(&names, "%s%s (%s)", i ? ", " : "", library->models[found[i]].name,
                   library->models[found[i]].id);
    return err_set(err, ERR_AMBIGUOUS, "%s could be: %s%s", text, names.data,
                   count > COUNT_OF(found) ? " …" : "");
}

void path_list_add(struct path_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->paths[i], path) == 0)
            return;
    path_list_push(list, path);
}

void path_list_push(struct path_list *list, const char *path)
{
    *ARRAY_ADD(list->paths, list->count, list->cap) = mem_strdup(path);
}

void path_list_release(struct path_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct path_list){0};
}
