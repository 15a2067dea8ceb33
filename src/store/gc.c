/* SPDX-License-Identifier: MIT */
/*
 * Garbage collection: what no manifest needs goes. gc goes through everything; sweep looks only at
 * what was given up since the last time. Both go by manifests, which name every base.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/text.h"
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_id(void *context, const struct hash128 *id)
{
    map_put(context, id, 1);
}

/* Every id that manifests, but for these, need: with the bases of bases. */
static void mark(const struct store *store, const char *const *without, size_t count,
                 struct map *ids)
{
    for (size_t i = 0; i < store->manifest_count; i++) {
        const struct manifest *m = &store->manifests[i];
        if (text_is_among(m->fid, without, count))
            continue;
        for (size_t k = 0; k < m->range_count; k++) {
            struct hash128 base = store_base_of(store, &m->ranges[k].id);
            range_each_id(&m->ranges[k], put_id, ids);
            for (int depth = 0; depth < BASES_DEEP && !hash128_is_zero(&base); depth++) {
                map_put(ids, &base, 1);
                base = store_base_of(store, &base);
            }
        }
    }
}

/* Whether some entry of the object is referred to: 1, 0, or ERR_REFUSED if it cannot be read. */
static int is_needed(const struct store *store, const char *name, const struct map *ids,
                     bool *ret_delta, struct err *err)
{
    struct object *object;
    struct hash128 id;
    struct err why = {0};
    int needed = 0;
    *ret_delta = false;
    if (!store_name_is_pack(name) && store_name_id(name, &id) && map_has(ids, &id))
        return 1;
    if (object_open(store->objects, name, &object, &why) < 0)
        return err_set(err, ERR_REFUSED,
                       "%s: %.400s; nothing is removed until that is settled "
                       "(tare verify --repair)",
                       store->path, why.text);
    for (uint32_t i = 0; i < object->entry_count; i++) {
        needed |= map_has(ids, &object->entries[i].id);
        *ret_delta |= !hash128_is_zero(&object->entries[i].base);
    }
    object_free(object);
    return needed;
}

static int sweep_object(struct store *store, const char *name, bool dry_run,
                        struct gc_report *report, struct err *err)
{
    struct stat st;
    if (fstatat(store->objects, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, "objects/%s", name);
    report->objects++;
    report->bytes += (uint64_t)st.st_blocks * 512;
    return dry_run ? 0 : store_remove_object(store, name, err);
}

/* Deltas go before what may be their bases; nothing goes while something cannot be read. */
static int sweep_objects(struct store *store, const struct map *ids, bool dry_run,
                         struct gc_report *report, struct err *err)
{
    size_t count = 0;
    char **names = store_object_names(store, &count);
    if (!names)
        return err_sys(err, "%s/objects", store->path);
    int r = 0;
    AUTO_FREE char *fates = mem_zalloc(count + 1); /* 'd': a delta to go, 's': another to go */
    for (size_t i = 0; i < count && r >= 0; i++) {
        bool delta;
        r = is_needed(store, names[i], ids, &delta, err);
        fates[i] = r == 0 ? (delta ? 'd' : 's') : ' ';
    }
    r = MIN(r, 0);
    for (const char *fate = "ds"; *fate; fate++)
        for (size_t i = 0; i < count && r == 0; i++)
            if (fates[i] == *fate)
                r = sweep_object(store, names[i], dry_run, report, err);
    store_names_free(names, count);
    return r;
}

/* The ids of the held file's own manifest that were compared with it and have places of their own.
 */
static void add_own(const struct store *store, const struct manifest *held, struct map *ids)
{
    for (size_t i = 0; i < store->manifest_count; i++) {
        const struct manifest *m = &store->manifests[i];
        if (m->state == MANIFEST_PENDING || strcmp(m->path, held->path) != 0)
            continue;
        for (size_t k = 0; k < m->range_count; k++)
            if (store_has(store, &m->ranges[k].id) != CONTENT_HELD)
                map_put(ids, &m->ranges[k].id, 1);
    }
}

/*
 * A held file is needed while an id of it is marked (ids NULL: used), until the file itself is
 * compressed: only then do objects stand for those ids that were compared with it.
 */
static bool held_is_needed(const struct store *store, size_t h, const struct map *ids)
{
    const struct manifest *held = &store->held[h].manifest;
    struct map own = {0};
    bool needed = false, looked = false;
    for (size_t i = 0; i < held->range_count && !needed; i++) {
        const struct hash128 *id = &held->ranges[i].id;
        if (ids ? !map_has(ids, id) : !store_is_needed(store, id))
            continue;
        if (!looked)
            add_own(store, held, &own);
        looked = true;
        needed = !map_has(&own, id) || (store_is_base(store, id) && store_is_delta(store, id));
    }
    map_release(&own);
    return needed;
}

static int sweep_held(struct store *store, const struct map *ids, bool dry_run,
                      struct gc_report *report, struct err *err)
{
    for (size_t h = 0; h < store->held_count; h++) {
        const char *fid = store->held[h].manifest.fid;
        AUTO_FREE char *sidecar = mem_printf("%s.json", fid);
        struct stat st;
        if (held_is_needed(store, h, ids))
            continue;
        if (fstatat(store->held_dir, fid, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT)
                continue;
            return err_sys(err, "held/%s", fid);
        }
        report->objects++;
        report->bytes += st.st_nlink > 1 ? 0 : (uint64_t)st.st_blocks * 512;
        if (!dry_run &&
            (unlinkat(store->held_dir, fid, 0) < 0 || unlinkat(store->held_dir, sidecar, 0) < 0))
            return err_sys(err, "held/%s", fid);
    }
    return 0;
}

/* Descriptions whose base is missing, and of which nobody needs anything. */
static int sweep_descriptions(struct store *store, const struct map *ids, bool dry_run,
                              struct err *err)
{
    for (size_t h = 0; h < store->held_damage_count; h++) {
        const struct manifest *m = &store->held_damage[h].manifest;
        bool needed = !m->path;
        for (size_t i = 0; i < m->range_count && !needed; i++)
            needed = map_has(ids, &m->ranges[i].id);
        if (!needed && !dry_run &&
            unlinkat(store->held_dir, file_base(store->held_damage[h].name), 0) < 0 &&
            errno != ENOENT)
            return err_sys(err, "%s", store->held_damage[h].name);
    }
    return 0;
}

/* gc as if some manifests were not there (dry), or for good (none left out). */
static int sweep(struct store *store, const char *const *without, size_t count, bool dry_run,
                 struct gc_report *ret, struct err *err)
{
    struct map ids = {0};
    *ret = (struct gc_report){0};
    mark(store, without, count, &ids);
    int r = sweep_objects(store, &ids, dry_run, ret, err);
    if (r == 0)
        r = sweep_held(store, &ids, dry_run, ret, err);
    if (r == 0)
        r = sweep_descriptions(store, &ids, dry_run, err);
    map_release(&ids);
    return r;
}

int store_weigh(struct store *store, const char *const *fids, size_t count, struct gc_report *ret,
                struct err *err)
{
    return sweep(store, fids, count, true, ret, err);
}

static int may_remove(const struct store *store, struct err *err)
{
    if (store->broken)
        return err_set(err, ERR_REFUSED, "%s could not be read in full; nothing is removed",
                       store->path);
    if (store->absent_count)
        return err_set(err, ERR_REFUSED,
                       "%s: %zu manifest(s) cannot be read; nothing is removed until that is "
                       "settled (tare verify)",
                       store->path, store->absent_count);
    return 0;
}

static bool names_bases(const struct manifest_range *range, const struct hash128 *bases,
                        size_t count)
{
    return range->base_count == count &&
           (!count || memcmp(range->bases, bases, count * sizeof *bases) == 0);
}

int store_complete_bases(struct store *store, size_t i, bool *ret_changed, struct err *err)
{
    struct manifest *m = &store->manifests[i];
    *ret_changed = false;
    for (size_t k = 0; k < m->range_count; k++) {
        struct hash128 bases[BASES_DEEP];
        size_t count;
        int r = store_bases(store, &m->ranges[k].id, bases, &count, err);
        if (r < 0 && r != ERR_NOTFOUND) /* what is missing is lost, and verify tells of it */
            return r;
        /* Of what is missing more may have been known than can be found out now. */
        if (store_has(store, &m->ranges[k].id) == CONTENT_NONE ||
            (r == ERR_NOTFOUND && count <= m->ranges[k].base_count) ||
            names_bases(&m->ranges[k], bases, count))
            continue;
        for (size_t n = 0; n < count; n++)
            store_known_add(store, &bases[n])->uses++;
        for (size_t n = 0; n < m->ranges[k].base_count; n++) {
            struct known *known = store_known(store, &m->ranges[k].bases[n]);
            known->uses -= known->uses > 0;
        }
        manifest_set_bases(m, &m->ranges[k], bases, count);
        *ret_changed = true;
    }
    return 0;
}

/*
 * Manifests of older versions may not name every base: those that are lacking are written anew,
 * once. Reading all objects for it takes as long as it takes; afterwards the format file says so.
 */
static int complete_all(struct store *store, bool write, struct err *err)
{
    int r = 0;
    struct err why = {0};
    if (store->format.compatible & STORE_NAMES_BASES)
        return 0;
    for (size_t i = 0; i < store->manifest_count && r == 0; i++) {
        bool changed;
        r = store_complete_bases(store, i, &changed, &why);
        if (r == 0 && changed && write)
            r = store_set_state(store, store->manifests[i].fid, store->manifests[i].state, &why);
    }
    return r < 0 ? err_set(err, r == ERR_NOSPACE ? r : ERR_REFUSED,
                           "%s: %.300s; nothing is removed until that is settled "
                           "(tare verify --repair)",
                           store->path, why.text)
                 : 0;
}

/*
 * Companions of models of which nothing else is stored: a crash, or a failure, came between. Those
 * of which the store has the only copy stay.
 */
static int drop_lonely(struct store *store, struct err *err)
{
    int r = 0;
    for (size_t i = store->manifest_count; i-- > 0 && r == 0;) {
        const struct manifest *m = &store->manifests[i];
        if (m->state != MANIFEST_COMPANIONS || !m->view_count ||
            store_model_files(store, m->views[0].id) || store_companions_missing(m))
            continue;
        AUTO_FREE char *fid = mem_strdup(m->fid);
        r = store_drop_manifest(store, fid, err);
    }
    return r;
}

int store_gc(struct store *store, bool dry_run, struct gc_report *ret, struct err *err)
{
    *ret = (struct gc_report){0};
    if (store->broken && !dry_run)
        (void)store_reload(store, NULL, NULL);
    int r = may_remove(store, err);
    if (r == 0 && !dry_run)
        r = drop_lonely(store, err);
    if (r == 0)
        r = complete_all(store, !dry_run, err);
    if (r == 0)
        r = sweep(store, NULL, 0, dry_run, ret, err);
    /* Only now every object could be read. */
    if (r == 0 && !dry_run && !(store->format.compatible & STORE_NAMES_BASES))
        r = store_add_features(store, STORE_NAMES_BASES, err);
    store->loose_count = dry_run || r < 0 ? store->loose_count : 0;
    return r < 0 || dry_run || !ret->objects ? r : store_reload(store, NULL, err);
}

int store_tidy(struct store *store, struct buf *notes, struct err *err)
{
    struct gc_report report;
    struct err why = {0};
    int r = store_gc(store, false, &report, &why);
    if (r == ERR_REFUSED && notes)
        buf_printf(notes, "%s\n", why.text);
    return r < 0 && r != ERR_REFUSED ? err_set(err, r, "%s", why.text) : 0;
}

/* ---- what was given up ---- */

/* Whether any entry of a pack is needed; it is open already. */
static bool pack_is_needed(const struct store *store, const struct object *pack)
{
    for (uint32_t i = 0; i < pack->entry_count; i++)
        if (store_is_needed(store, &pack->entries[i].id))
            return true;
    return false;
}

/* The file of an id that nobody needs goes, a pack with the last of its entries. */
static int sweep_id(struct store *store, const struct hash128 *id, struct err *err)
{
    char name[OBJECT_NAME];
    uint64_t place;
    struct object *pack = NULL;
    if (store_is_needed(store, id) || !map_get(&store->places, id, &place) ||
        place_kind(place) == CONTENT_HELD)
        return 0;
    bool packed = place_kind(place) == CONTENT_PACK;
    const uint64_t own = place;
    object_name(name, packed ? &store->packs[place_index(place)] : id, packed);
    int r = packed ? object_open(store->objects, name, &pack, NULL) : 0;
    if (r < 0 && r != ERR_NOTFOUND)
        return 0; /* the next gc says what is wrong with it */
    bool goes = !pack || !pack_is_needed(store, pack);
    r = goes ? store_remove_object(store, name, err) : 0;
    for (uint32_t i = 0; goes && pack && i < pack->entry_count; i++)
        if (map_get(&store->places, &pack->entries[i].id, &place) && place == own)
            store_unplace(store, &pack->entries[i].id);
    if (goes)
        store_unplace(store, id);
    object_free(pack);
    return r;
}

/* Whether a held file, of which something was given up, is not needed any more. */
static bool frees_held(const struct store *store)
{
    AUTO_FREE bool *seen = mem_zalloc(store->held_count + 1);
    bool frees = false;
    uint64_t at;
    for (size_t i = 0; i < store->loose_count && !frees; i++) {
        if (!map_get(&store->held_ids, &store->loose[i], &at) || seen[at >> 32])
            continue;
        seen[at >> 32] = true;
        frees = !held_is_needed(store, (size_t)(at >> 32), NULL);
    }
    return frees;
}

int store_sweep(struct store *store, struct err *err)
{
    int r = may_remove(store, NULL);
    if (r < 0)
        return 0;
    if (!(store->format.compatible & STORE_NAMES_BASES))
        return store_tidy(store, NULL, err);
    for (int deltas = 1; deltas >= 0 && r == 0; deltas--)
        for (size_t i = 0; i < store->loose_count && r == 0; i++)
            if (store_is_delta(store, &store->loose[i]) == deltas)
                r = sweep_id(store, &store->loose[i], err);
    bool held = r == 0 && frees_held(store);
    if (r == 0)
        store->loose_count = 0;
    return held ? store_tidy(store, NULL, err) : r;
}
