/* SPDX-License-Identifier: MIT */
/* Families: profiles of what is indexed, the forest of src/family, edges in the catalog. */
#include "ops/families.h"

#include "catalog/catalog.h"
#include "delta/profile.h"
#include "family/family.h"
#include "base/file.h"
#include "model/names.h"
#include "ops/kinship.h"
#include "ops/material.h"
#include "ops/relations.h"

#include <string.h>

/* By what a profile is known to be of these files still, also when they have been compressed. */
static struct hash128 profile_key(const struct library *library, const struct lib_model *model)
{
    AUTO_BUF struct buf text = {0};
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &library->files[model->files[i]];
        buf_printf(&text, "%llu %lld %s\n", (unsigned long long)file->size, (long long)file->mtime,
                   file->path);
    }
    return hash128_of(text.data ? text.data : "", text.len);
}

static int build_profile(struct catalog *catalog, const struct library *library,
                         const struct lib_model *model, struct catalog_profile *profile,
                         struct err *err)
{
    struct material m;
    int r = material_read(catalog, library, model, &m, err);
    if (r == 0) {
        profile_build(m.tensors, m.count, profile->bytes, &profile->architecture);
        r = catalog_put_profile(catalog, model->row, profile, err);
    }
    material_release(&m);
    return r;
}

int families_profile(struct ops *ops, const struct library *library, int model,
                     uint8_t bytes[PROFILE_BYTES], struct hash128 *architecture, struct err *err)
{
    const struct lib_model *m = &library->models[model];
    struct catalog_profile profile = {
        .key = profile_key(library, m), .bytes = bytes, .count = PROFILE_BYTES};
    int r = catalog_find_profile(ops->catalog, m->row, &profile, err);
    if (r == ERR_NOTFOUND)
        r = build_profile(ops->catalog, library, m, &profile, err);
    *architecture = profile.architecture;
    return r;
}

/* Profiles of all models, those that are not known yet built. */
static int take_members(struct ops *ops, const struct library *library,
                        struct family_member *members, uint8_t *profiles, struct progress *progress,
                        struct err *err)
{
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *model = &library->models[i];
        uint8_t *profile = profiles + i * PROFILE_BYTES;
        struct hash128 architecture = {0};
        struct err why = {0};
        int r = progress_check(progress, err);
        if (r < 0)
            return r;
        r = families_profile(ops, library, (int)i, profile, &architecture, &why);
        if (r == ERR_NOTFOUND) /* not sketched: what is stored, or cannot be read */
            architecture = (struct hash128){0};
        else if (r < 0)
            return err_set(err, r, "%s", why.text);
        members[i] = (struct family_member){.architecture = architecture,
                                            .profile = profile,
                                            .claim = library_declared(library, (int)i),
                                            .before = -1,
                                            .step = *model->run != '\0',
                                            .age = model->modified};
    }
    return 0;
}

/* ---- checkpoints of a run, revisions of a repository ---- */

static int by_run(const void *a, const void *b, void *context)
{
    const struct library *library = context;
    const struct lib_model *x = &library->models[*(const int *)a];
    const struct lib_model *y = &library->models[*(const int *)b];
    int order = strcmp(x->run, y->run);
    if (order == 0)
        order = strcmp(x->root, y->root);
    if (order == 0)
        order = strcmp(x->revision, y->revision);
    if (order)
        return order;
    long m = name_checkpoint(file_base(x->path)), n = name_checkpoint(file_base(y->path));
    return m != n ? (m < n ? -1 : 1) : *(const int *)a - *(const int *)b;
}

/* Each checkpoint follows the one of the next smaller step. */
static void order_runs(const struct library *library, struct family_member *members)
{
    size_t count = 0;
    AUTO_FREE int *order = mem_alloc((library->model_count + 1) * sizeof *order);
    for (size_t i = 0; i < library->model_count; i++)
        if (*library->models[i].run)
            order[count++] = (int)i;
    if (count)
        qsort_r(order, count, sizeof *order, by_run, (void *)library);
    for (size_t i = 1; i < count; i++)
        if (library_same_run(&library->models[order[i - 1]], &library->models[order[i]]))
            members[order[i]].before = order[i - 1];
}

/* Whether two models are revisions of one repository. */
static bool same_repository(const struct lib_model *a, const struct lib_model *b)
{
    size_t n = strcspn(a->name, "@");
    return *a->revision && *b->revision && strcmp(a->root, b->root) == 0 &&
           strncmp(a->name, b->name, n) == 0 && (!b->name[n] || b->name[n] == '@');
}

/* ---- edges ---- */

static void add_contents(struct hasher *hasher, const struct library *library,
                         const struct lib_model *model)
{
    for (size_t f = 0; f < model->file_count; f++)
        hasher_update(hasher, &library->files[model->files[f]].content, sizeof(struct hash128));
}

static struct hash128 contents_of(const struct library *library, const struct lib_model *a,
                                  const struct lib_model *b)
{
    struct hasher *hasher = hasher_new(0);
    add_contents(hasher, library, a);
    add_contents(hasher, library, b);
    struct hash128 contents = hasher_digest(hasher);
    hasher_free(hasher);
    return contents;
}

/* What the two share: as it was found before, or by a look at all their tensors. */
static int take_shared(struct catalog *catalog, const struct library *library,
                       const struct lib_model *model, const struct lib_model *parent,
                       struct catalog_edge *ret, struct err *err)
{
    struct catalog_edge before;
    double named = 0;
    ret->contents = contents_of(library, model, parent);
    if (catalog_find_edge(catalog, model->row, &before, NULL) == 0 &&
        before.parent == parent->row && hash128_equal(&before.contents, &ret->contents)) {
        ret->shared = before.shared;
        ret->kin |= before.kin & (KIN_SAME | KIN_MOVED);
        return 0;
    }
    int r = catalog_shared(catalog, model->row, parent->row, &ret->shared, &named, err);
    ret->kin |= (ret->shared >= 1 ? KIN_SAME : 0u) | (named < ret->shared / 2 ? KIN_MOVED : 0u);
    return r;
}

static int edge_of(struct catalog *catalog, const struct library *library, size_t i,
                   const struct family_edge *edge, struct catalog_edge *ret, struct err *err)
{
    const struct lib_model *model = &library->models[i];
    const struct lib_model *parent = edge->parent < 0 ? NULL : &library->models[edge->parent];
    bool path = edge->path || (parent && same_repository(model, parent));
    *ret = (struct catalog_edge){.model = model->row,
                                 .parent = parent ? parent->row : 0,
                                 .second = edge->second < 0 ? 0 : library->models[edge->second].row,
                                 .distance = edge->distance,
                                 .kin = (edge->claimed ? KIN_CLAIMED : 0u) |
                                        (parent && edge->distance >= 0 ? KIN_BITS : 0u) |
                                        (path ? KIN_PATH : 0u) |
                                        (edge->contradicted ? KIN_DENIED : 0u)};
    int r = parent ? take_shared(catalog, library, model, parent, ret, err) : 0;
    if (parent && ret->distance < 0 && !edge->claimed && !path && ret->shared <= 0)
        ret->kin |= KIN_STORED;
    return r;
}

static int keep_edges(struct catalog *catalog, const struct library *library,
                      const struct family_member *members, const struct family_edge *edges,
                      struct err *err)
{
    AUTO_FREE struct catalog_edge *kept = mem_alloc((library->model_count + 1) * sizeof *kept);
    size_t count = 0;
    int r = 0;
    /* What was not compared keeps what it declares: see library_finish. */
    for (size_t i = 0; i < library->model_count && r == 0; i++)
        if (!hash128_is_zero(&members[i].architecture) || edges[i].parent >= 0)
            r = edge_of(catalog, library, i, &edges[i], &kept[count++], err);
    return r < 0 ? r : catalog_put_edges(catalog, kept, count, err);
}

/* What the forest depends on: while it stays, nothing is compared again. */
static struct hash128 state_of(const struct library *library, const struct family_member *members)
{
    enum { METHOD = 1 /* counts up when the same models would come to another forest */ };
    struct hasher *hasher = hasher_new(METHOD);
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *m = &library->models[i];
        struct family_member member = members[i];
        hasher_update(hasher, &m->row, sizeof m->row);
        hasher_update(hasher, member.profile, PROFILE_BYTES);
        member.profile = NULL;
        hasher_update(hasher, &member.architecture, sizeof member.architecture);
        const int64_t numbers[] = {member.claim, member.before, member.step, member.age, m->state};
        hasher_update(hasher, numbers, sizeof numbers);
        add_contents(hasher, library, m);
    }
    struct hash128 state = hasher_digest(hasher);
    hasher_free(hasher);
    return state;
}

/* Compares the members and keeps what comes of it. */
static int compare(struct ops *ops, const struct library *library,
                   const struct family_member *members, const struct stored *stored,
                   const struct hash128 *state, struct progress *progress, struct err *err)
{
    size_t count = library->model_count;
    AUTO_FREE struct family_relations *relations = mem_zalloc((count + 1) * sizeof *relations);
    AUTO_FREE struct family_edge *edges = mem_alloc((count + 1) * sizeof *edges);
    int r = relations_load(ops, library, members, relations, err);
    if (r < 0)
        return r;
    family_compare(members, count, relations);
    family_forest(members, count, relations, edges);
    r = kinship_find(ops, library, members, stored, edges, progress, err);
    if (r == 0)
        r = catalog_begin(ops->catalog, err);
    if (r < 0)
        return r;
    r = relations_save(ops, library, members, relations, err);
    if (r == 0)
        r = keep_edges(ops->catalog, library, members, edges, err);
    if (r == 0)
        r = catalog_put_key(ops->catalog, "families", state, err);
    return catalog_end(ops->catalog, r, err);
}

int ops_families(struct ops *ops, const struct stored *stored, struct progress *progress,
                 struct err *err)
{
    struct library *library;
    struct hash128 before;
    int r = catalog_load(ops->catalog, NULL, &library, err);
    if (r < 0)
        return r;
    size_t count = library->model_count;
    AUTO_FREE struct family_member *members = mem_zalloc((count + 1) * sizeof *members);
    AUTO_FREE uint8_t *profiles = mem_zalloc((count + 1) * PROFILE_BYTES);
    progress_phase(progress, "comparing models");
    r = take_members(ops, library, members, profiles, progress, err);
    order_runs(library, members);
    struct hash128 state = state_of(library, members);
    bool same =
        catalog_key(ops->catalog, "families", &before, NULL) == 0 && hash128_equal(&before, &state);
    if (r == 0 && !same)
        r = compare(ops, library, members, stored, &state, progress, err);
    library_unref(library);
    return r;
}
