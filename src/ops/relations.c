/* SPDX-License-Identifier: MIT */
/* Relations in the catalog. */
#include "ops/relations.h"

#include "catalog/catalog.h"
#include "delta/profile.h"

#include <string.h>

/* As it is kept: members by their rows. Of this machine's making, like all of the catalog. */
struct kept {
    uint32_t relatives, count;
    double sum;
    struct {
        int64_t row;
        float coarse, full;
    } near[FAMILY_NEAR];
};

static struct hash128 profile_of(const struct family_member *member)
{
    return hash128_of(member->profile, PROFILE_BYTES);
}

/* Who a group consists of: rows and profiles; with known, of those alone that it knows. */
static struct hash128 population(const struct library *library, const struct family_member *members,
                                 const int *order, size_t count,
                                 const struct family_relations *known)
{
    struct hasher *hasher = hasher_new(0);
    for (size_t i = 0; i < count; i++) {
        if (known && !known[order[i]].known)
            continue;
        struct hash128 profile = profile_of(&members[order[i]]);
        hasher_update(hasher, &library->models[order[i]].row, sizeof(int64_t));
        hasher_update(hasher, &profile, sizeof profile);
    }
    struct hash128 hash = hasher_digest(hasher);
    hasher_free(hasher);
    return hash;
}

static char *group_name(const struct hash128 *architecture)
{
    char hex[HASH128_HEX];
    hash128_hex(hex, architecture);
    return mem_printf("relations:%s", hex);
}

/* Whether everyone that it names is here. */
static bool unpack(const struct library *library, const struct kept *kept,
                   struct family_relations *ret)
{
    *ret = (struct family_relations){.known = kept->count <= FAMILY_NEAR,
                                     .relatives = kept->relatives,
                                     .count = MIN(kept->count, (uint32_t)FAMILY_NEAR),
                                     .sum = kept->sum};
    for (uint32_t n = 0; n < ret->count; n++) {
        ret->near[n].member = library_of_row(library, kept->near[n].row);
        ret->near[n].coarse = kept->near[n].coarse;
        ret->near[n].full = kept->near[n].full;
        ret->known &= ret->near[n].member != NO_MODEL;
    }
    return ret->known;
}

static struct kept pack(const struct library *library, const struct family_relations *r)
{
    struct kept kept;
    memset(&kept, 0, sizeof kept);
    kept.relatives = r->relatives;
    kept.count = r->count;
    kept.sum = r->sum;
    for (uint32_t n = 0; n < r->count; n++) {
        kept.near[n].row = library->models[r->near[n].member].row;
        kept.near[n].coarse = r->near[n].coarse;
        kept.near[n].full = r->near[n].full;
    }
    return kept;
}

static int load_group(struct ops *ops, const struct library *library,
                      const struct family_member *members, const int *order, size_t count,
                      struct family_relations *relations, struct err *err)
{
    AUTO_FREE char *name = group_name(&members[order[0]].architecture);
    struct hash128 was;
    bool whole = catalog_key(ops->catalog, name, &was, NULL) == 0;
    for (size_t i = 0; i < count && whole; i++) {
        struct kept kept;
        struct hash128 profile = profile_of(&members[order[i]]);
        int r = catalog_find_relations(ops->catalog, library->models[order[i]].row, &profile, &kept,
                                       sizeof kept, err);
        if (r < 0 && r != ERR_NOTFOUND)
            return r;
        if (r == 0)
            (void)unpack(library, &kept, &relations[order[i]]);
    }
    struct hash128 is = population(library, members, order, count, relations);
    whole = whole && hash128_equal(&was, &is);
    for (size_t i = 0; i < count && !whole; i++)
        relations[order[i]] = (struct family_relations){0};
    return 0;
}

static int save_group(struct ops *ops, const struct library *library,
                      const struct family_member *members, const int *order, size_t count,
                      struct family_relations *relations, struct err *err)
{
    AUTO_FREE char *name = group_name(&members[order[0]].architecture);
    struct hash128 is = population(library, members, order, count, NULL);
    int r = catalog_put_key(ops->catalog, name, &is, err);
    for (size_t i = 0; i < count && r == 0; i++) {
        int64_t row = library->models[order[i]].row;
        struct kept before, kept = pack(library, &relations[order[i]]);
        struct hash128 profile = profile_of(&members[order[i]]);
        bool same = catalog_find_relations(ops->catalog, row, &profile, &before, sizeof before,
                                           NULL) == 0 &&
                    memcmp(&before, &kept, sizeof kept) == 0;
        if (!same)
            r = catalog_put_relations(ops->catalog, row, &profile, &kept, sizeof kept, err);
    }
    return r;
}

/* Calls what loads or saves for each group of a known architecture. */
static int each_group(struct ops *ops, const struct library *library,
                      const struct family_member *members, struct family_relations *relations,
                      int (*take)(struct ops *ops, const struct library *library,
                                  const struct family_member *members, const int *order,
                                  size_t count, struct family_relations *relations,
                                  struct err *err),
                      struct err *err)
{
    AUTO_FREE int *order = family_groups(members, library->model_count);
    int r = 0;
    for (size_t at = 0, end; at < library->model_count && r == 0; at = end) {
        end = family_group_end(members, order, library->model_count, at);
        if (!hash128_is_zero(&members[order[at]].architecture))
            r = take(ops, library, members, order + at, end - at, relations, err);
    }
    return r;
}

int relations_load(struct ops *ops, const struct library *library,
                   const struct family_member *members, struct family_relations *relations,
                   struct err *err)
{
    return each_group(ops, library, members, relations, load_group, err);
}

int relations_save(struct ops *ops, const struct library *library,
                   const struct family_member *members, struct family_relations *relations,
                   struct err *err)
{
    return each_group(ops, library, members, relations, save_group, err);
}
