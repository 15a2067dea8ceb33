/* SPDX-License-Identifier: MIT */
/* What compressing each model alone, and each family as one, would free: kept in the catalog. */
#include "ops/plan.h"

#include "catalog/catalog.h"

#include <string.h>

enum { DEPTH = 8 /* ancestors that an estimate depends on */ };

static void add_state(const struct library *library, int model, struct buf *text)
{
    const struct lib_model *m = &library->models[model];
    for (size_t i = 0; i < m->file_count; i++) {
        const struct lib_file *file = &library->files[m->files[i]];
        buf_add(text, &file->content, sizeof file->content);
        buf_printf(text, "%d %u %s\n", file->state, file->links, file->path);
    }
}

/* What the estimate of a model depends on: contents and states of it and of its ancestors. */
static struct hash128 estimate_key(const struct library *library, int model)
{
    AUTO_BUF struct buf text = {0};
    for (int depth = 0; model != NO_MODEL && depth < DEPTH; depth++) {
        add_state(library, model, &text);
        model = library->models[model].base;
    }
    return hash128_of(text.data, text.len);
}

/* The same of models that are planned together. */
static struct hash128 group_key(const struct library *library, const int *models, size_t count)
{
    AUTO_BUF struct buf text = {0};
    for (size_t i = 0; i < count; i++)
        add_state(library, models[i], &text);
    return hash128_of(text.data, text.len);
}

/* Plans models quickly, unless it is known for this key what that gives. */
static int estimate(struct ops *ops, const struct library *library, const int *models, size_t count,
                    int owner, bool family, const struct hash128 *key, struct progress *progress,
                    struct err *err)
{
    const char *id = library->models[owner].id;
    struct hash128 before;
    struct plan_request request = {
        .models = models, .count = count, .base = NO_MODEL, .quick = true, .live = true};
    struct plan *plan;
    if (catalog_estimate_key(ops->catalog, id, family, &before, NULL) == 0 &&
        hash128_equal(&before, key))
        return 0;
    int r = progress_check(progress, err);
    if (r == 0)
        r = ops_plan(ops, library, &request, progress, &plan, err);
    if (r < 0)
        return r;
    bool can = false;
    for (size_t f = 0; f < plan->file_count; f++)
        can |= !plan->files[f].skip;
    int64_t frees = can ? plan->frees : INT64_MIN;
    plan_free(plan);
    return catalog_put_estimate(ops->catalog, id, family, frees, key, err);
}

/* The members of each family that lie on disk, planned as one. */
static int estimate_families(struct ops *ops, const struct library *library,
                             struct progress *progress, struct err *err)
{
    size_t count = library->model_count;
    AUTO_FREE int *members = mem_alloc((count + 1) * sizeof *members);
    AUTO_FREE int *roots = mem_alloc((count + 1) * sizeof *roots);
    AUTO_FREE size_t *sizes = mem_zalloc((count + 1) * sizeof *sizes);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *m = &library->models[i];
        roots[i] = m->hashed && m->state == MODEL_PLAIN ? library->models[i].family : NO_MODEL;
        sizes[roots[i] == NO_MODEL ? count : (size_t)roots[i]]++;
    }
    for (size_t root = 0; root < count && r == 0; root++) {
        size_t n = 0;
        for (size_t i = 0; i < count && sizes[root] > 1; i++)
            if (roots[i] == (int)root)
                members[n++] = (int)i;
        struct hash128 key = group_key(library, members, n);
        if (n > 1)
            r = estimate(ops, library, members, n, (int)root, true, &key, progress, err);
    }
    return r;
}

int ops_estimate(struct ops *ops, struct progress *progress, struct err *err)
{
    struct library *library;
    int r = ops_library(ops, &library, err);
    if (r < 0)
        return r;
    progress_phase(progress, "estimating");
    for (size_t i = 0; i < library->model_count && r == 0; i++) {
        struct hash128 key = estimate_key(library, (int)i);
        int model = (int)i;
        if (library->models[i].hashed)
            r = estimate(ops, library, &model, 1, model, false, &key, progress, err);
    }
    if (r == 0)
        r = estimate_families(ops, library, progress, err);
    library_unref(library);
    return r;
}
