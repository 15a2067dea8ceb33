/* SPDX-License-Identifier: MIT */
/* Repair. Nothing is replaced before its successor was compared with the id that it is known by. */
#include "ops/repair.h"

#include "base/file.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "ops/companions.h"
#include "ops/index.h"
#include "ops/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEEDS = 4 };

/* Where a content may still be. */
struct candidate {
    char *path;
    uint64_t offset;
};

struct repair {
    struct ops *ops;
    struct store *store;
    struct transfer *transfer;
    struct verify_report *report;
    size_t first;    /* of the report's damages that are this store's */
    struct map done; /* ids that were written anew */
    struct candidate *candidates;
    size_t candidate_count, candidate_cap;
    const struct manifest_range *range; /* that is looked for now */
};

static void forget_candidates(struct repair *repair)
{
    for (size_t i = 0; i < repair->candidate_count; i++)
        free(repair->candidates[i].path);
    repair->candidate_count = 0;
}

static void add_candidate(struct repair *repair, const char *path, uint64_t offset)
{
    *ARRAY_ADD(repair->candidates, repair->candidate_count, repair->candidate_cap) =
        (struct candidate){mem_strdup(path), offset};
}

static void found_tensor(void *context, const char *path, uint64_t offset, uint64_t bytes)
{
    struct repair *repair = context;
    if (bytes == repair->range->bytes)
        add_candidate(repair, path, offset);
}

static void found_file(void *context, const char *path, uint64_t offset, uint64_t bytes)
{
    struct repair *repair = context;
    (void)offset;
    (void)bytes;
    add_candidate(repair, path, repair->range->offset);
}

/* A range of a manifest that is this content, if possible one whose SHA-256 is known. */
static const struct manifest_range *range_of(const struct store *store, const struct hash128 *id)
{
    const struct manifest_range *found = NULL;
    for (size_t i = 0; i < store_manifest_count(store); i++) {
        const struct manifest *m = store_manifest(store, i);
        for (size_t k = 0; k < m->range_count; k++) {
            if (!hash128_equal(&m->ranges[k].id, id) || m->ranges[k].at)
                continue;
            if (!sha256_is_zero(&m->ranges[k].sha))
                return &m->ranges[k];
            found = found ? found : &m->ranges[k];
        }
    }
    return found;
}

static bool is_needed(const struct store *store, const struct hash128 *id)
{
    return store_is_base(store, id) || range_of(store, id);
}

/* The i-th description of a held base, also of one that is missing; NULL behind the last. */
static const struct manifest *description(const struct store *store, size_t i)
{
    size_t held = store_held_count(store);
    if (i < held)
        return store_held(store, i);
    return i - held < store_held_damage_count(store) ? &store_held_damage(store, i - held)->manifest
                                                     : NULL;
}

/* A base that only deltas name is described by what holds it. */
static const struct manifest_range *held_range_of(const struct store *store,
                                                  const struct hash128 *id)
{
    const struct manifest *m;
    for (size_t h = 0; (m = description(store, h)); h++) {
        for (size_t k = 0; k < m->range_count; k++)
            if (hash128_equal(&m->ranges[k].id, id))
                return &m->ranges[k];
    }
    return NULL;
}

/* The companion whose bytes are this range. */
static void add_companion(struct repair *repair, const struct manifest *m, size_t range)
{
    for (size_t i = 0; i < m->companion_count; i++)
        if (m->companions[i].size && range-- == 0)
            add_candidate(repair, m->companions[i].path, 0);
}

/* Every place on disk that may have the bytes: originals, copies, held bases. */
static void collect_candidates(struct repair *repair, const struct hash128 *id)
{
    struct store *store = repair->store;
    forget_candidates(repair);
    for (size_t i = 0; i < store_manifest_count(store); i++) {
        const struct manifest *m = store_manifest(store, i);
        for (size_t k = 0; k < m->range_count; k++) {
            if (!hash128_equal(&m->ranges[k].id, id) || m->ranges[k].at)
                continue;
            repair->range = &m->ranges[k];
            if (m->state == MANIFEST_COMPANIONS)
                add_companion(repair, m, k);
            else
                add_candidate(repair, m->path, m->ranges[k].offset);
            struct hash128 content = index_content(m);
            (void)catalog_find_files(repair->ops->catalog, &content, m->digest, found_file, repair,
                                     NULL);
            break;
        }
    }
    const struct manifest *m;
    for (size_t h = 0; (m = description(store, h)); h++) {
        AUTO_FREE char *path = mem_printf("%s/held/%s", store_path(store), m->fid);
        for (size_t k = 0; k < m->range_count; k++) {
            if (!hash128_equal(&m->ranges[k].id, id))
                continue;
            add_candidate(repair, path, m->ranges[k].offset);
            add_candidate(repair, m->path, m->ranges[k].offset);
        }
    }
    (void)catalog_find_tensors(repair->ops->catalog, id, found_tensor, repair, NULL);
}

/*
 * The seed under which bytes of a file have the id, or -1; their SHA-256 must be that of the range
 * that is looked for, where it is known.
 */
static int seed_of(struct repair *repair, int fd, uint64_t offset, uint64_t bytes,
                   const struct hash128 *id)
{
    const struct sha256 *sha = &repair->range->sha;
    bool known = !sha256_is_zero(sha);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hasher *hasher = hasher_new((uint64_t)seed);
        struct hash_tree tree = {0};
        struct transfer_sums sums = {.range = hasher, .tree = known ? &tree : NULL};
        int r = transfer_hash(repair->transfer, fd, offset, bytes, &sums, NULL);
        struct hash128 seen = hasher_digest(hasher);
        struct sha256 own = hash_tree_end(&tree, TREE_RANGE, bytes);
        hasher_free(hasher);
        if (r < 0 || (known && !sha256_equal(&own, sha)))
            return -1;
        if (hash128_equal(&seen, id))
            return seed;
    }
    return -1;
}

/* What another store has, decoded into a nameless file: a descriptor, or -1. */
static int fetch(struct repair *repair, const struct hash128 *id, uint64_t bytes)
{
    struct path_list stores = {0};
    int found = -1;
    ops_stores(repair->ops, &stores);
    for (size_t i = 0; i < stores.count && found < 0; i++) {
        struct store *other;
        struct content *content = NULL;
        if (strcmp(stores.paths[i], store_path(repair->store)) == 0 ||
            store_open(stores.paths[i], STORE_READ, NULL, NULL, &other, NULL, NULL) < 0)
            continue;
        AUTO_FREE char *folder = file_join(store_path(repair->store), "tmp");
        AUTO_FD int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        const bool opened = fd >= 0 && content_open(other, id, &content, NULL) == 0;
        const struct transfer_part all = {content, 0, bytes, fd, 0};
        if (opened && content_bytes(content) == bytes &&
            transfer_decode(repair->transfer, &all, NULL, NULL) == 0 &&
            seed_of(repair, fd, 0, bytes, id) >= 0)
            found = TAKE_FD(fd);
        content_free(content);
        store_close(other);
    }
    path_list_release(&stores);
    return found;
}

/* A descriptor and an offset where the right bytes are; -1: nowhere. */
static int find_bytes(struct repair *repair, const struct hash128 *id, uint64_t bytes,
                      uint64_t *ret_offset)
{
    collect_candidates(repair, id);
    for (size_t i = 0; i < repair->candidate_count; i++) {
        const struct candidate *c = &repair->candidates[i];
        struct stat st;
        AUTO_FD int fd = file_open_regular(AT_FDCWD, c->path, &st, NULL);
        if (fd < 0 || (uint64_t)st.st_size < bytes || c->offset > (uint64_t)st.st_size - bytes ||
            seed_of(repair, fd, c->offset, bytes, id) < 0)
            continue;
        *ret_offset = c->offset;
        return TAKE_FD(fd);
    }
    *ret_offset = 0;
    return fetch(repair, id, bytes);
}

/* Whether verify found the content damaged, and it was not written anew since. */
static bool is_lost(const struct repair *repair, const struct hash128 *id)
{
    for (size_t i = repair->first; i < repair->report->count; i++)
        if (hash128_equal(&repair->report->damaged[i].id, id))
            return !map_has(&repair->done, id);
    return false;
}

/* Writes a content anew: as a delta where it was one and its base is there, else standalone. */
static int write_again(struct repair *repair, const struct manifest_range *range,
                       const struct hash128 *id, int fd, uint64_t offset, struct err *err)
{
    struct content *base = NULL;
    struct object_writer *writer = NULL;
    uint64_t size = 0;
    bool delta = range->base_count && hash128_equal(&range->id, id) &&
                 store_may_be_delta(repair->store, id, &range->bases[0]) &&
                 !store_is_base(repair->store, id) && !is_lost(repair, &range->bases[0]) &&
                 content_open(repair->store, &range->bases[0], &base, NULL) == 0 &&
                 transfer_check(repair->transfer, base, NULL) == 0;
    struct object_entry entry = {.id = *id, .bytes = range->bytes, .dtype = range->dtype};
    enum codec delta_codec = codec_handles(CODEC_DELTA, range->dtype) ? CODEC_DELTA : CODEC_BITX;
    delta = delta && codec_base_suits(content_dtype(base), range->dtype);
    if (delta) {
        entry.base = range->bases[0];
        entry.base_dtype = content_dtype(base);
    }
    struct transfer_source source = {fd,
                                     offset,
                                     range->bytes,
                                     range->dtype,
                                     delta                          ? delta_codec
                                     : dtype_is_float(range->dtype) ? CODEC_PLANES
                                                                    : CODEC_ZSTD,
                                     delta ? base : NULL,
                                     entry.base_dtype};
    int seed = seed_of(repair, fd, offset, range->bytes, id);
    struct hasher *hasher = hasher_new((uint64_t)MAX(seed, 0));
    struct hash_tree tree = {0};
    const struct transfer_sums sums = {.range = hasher, .tree = &tree};
    int r = store_object_again(repair->store, &entry, &writer, err);
    if (r == 0)
        r = transfer_encode(repair->transfer, &source, writer, &sums, err);
    /* What was encoded must be what was looked for: the file may be written to. */
    struct hash128 seen = hasher_digest(hasher);
    struct sha256 sha = hash_tree_end(&tree, TREE_RANGE, range->bytes);
    bool same = hash128_equal(&seen, id) &&
                (sha256_is_zero(&range->sha) || sha256_equal(&sha, &range->sha));
    if (r == 0 && !same)
        r = err_set(err, ERR_CHANGED, "a file changed while its bytes were taken for a repair");
    hasher_free(hasher);
    if (r == 0)
        r = store_object_finish(writer, &size, err);
    object_writer_free(writer);
    content_free(base);
    return r;
}

static int repair_content(struct repair *repair, const struct hash128 *id, struct err *err)
{
    const struct manifest_range *range = range_of(repair->store, id);
    uint64_t offset;
    if (!range)
        range = held_range_of(repair->store, id);
    if (!range || map_has(&repair->done, id))
        return 0;
    repair->range = range;
    AUTO_FD int fd = find_bytes(repair, id, range->bytes, &offset);
    if (fd < 0)
        return 0;
    int r = write_again(repair, range, id, fd, offset, err);
    if (r == 0)
        r = store_publish(repair->store, err);
    if (r == 0)
        map_put(&repair->done, id, 1);
    return r;
}

/* Whether what was written anew reads as what it should be. */
static bool reads_right(struct repair *repair, const struct hash128 *id)
{
    struct content *content = NULL;
    bool good = content_open(repair->store, id, &content, NULL) == 0 &&
                transfer_check(repair->transfer, content, NULL) == 0;
    content_free(content);
    return good;
}

/* Bases before what is made from them. */
static int repair_contents(struct repair *repair, struct err *err)
{
    struct verify_report *report = repair->report;
    int r = 0;
    for (int bases = 1; bases >= 0; bases--) {
        for (size_t i = repair->first; i < report->count && r == 0; i++) {
            const struct hash128 *id = &report->damaged[i].id;
            if (!hash128_is_zero(id) && store_is_base(repair->store, id) == bases)
                r = repair_content(repair, id, err);
        }
        if (r == 0)
            r = store_refresh(repair->store, err);
    }
    for (size_t i = repair->first; i < report->count && r == 0; i++) {
        struct damage *damage = &report->damaged[i];
        damage->repaired = !hash128_is_zero(&damage->id) && reads_right(repair, &damage->id);
    }
    return r;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/*
 * A held base of which anything was changed is not relied on any more: what deltas need of it
 * gets objects. False where something of it cannot be had.
 */
static int replace_held(struct repair *repair, const char *name, bool *ret_all, struct err *err)
{
    int r = 0;
    *ret_all = true;
    for (size_t h = 0; h < store_held_count(repair->store); h++) {
        const struct manifest *m = store_held(repair->store, h);
        for (size_t k = 0; k < m->range_count && r == 0; k++) {
            const struct hash128 *id = &m->ranges[k].id;
            if (!strstr(name, m->fid) || !is_needed(repair->store, id))
                continue;
            if (store_has(repair->store, id) == CONTENT_HELD)
                r = repair_content(repair, id, err);
            *ret_all &= map_has(&repair->done, id) || reads_right(repair, id);
        }
    }
    return r;
}

/* Whether everything that manifests need has a place, and nothing of it is known to be lost. */
static bool all_is_there(const struct repair *repair)
{
    struct store *store = repair->store;
    bool there = store_absent_count(store) == 0;
    for (size_t i = repair->first; i < repair->report->count && there; i++) {
        const struct damage *damage = &repair->report->damaged[i];
        there = hash128_is_zero(&damage->id) || damage->repaired || !is_needed(store, &damage->id);
    }
    for (size_t i = 0; i < store_manifest_count(store) && there; i++) {
        const struct manifest *m = store_manifest(store, i);
        for (size_t k = 0; k < m->range_count && there; k++) {
            struct hash128 bases[BASES_DEEP];
            size_t count;
            there = store_bases(store, &m->ranges[k].id, bases, &count, NULL) == 0;
        }
    }
    return there;
}

/* Removes an object or pack ("objects/…") unless something that is needed is read from it. */
static int remove_unused(struct repair *repair, const char *path, struct err *err)
{
    struct object *object;
    const char *name = path + strlen("objects/");
    bool counts = false;
    if (object_open(store_dir(repair->store), path, &object, NULL) == 0) {
        for (uint32_t k = 0; k < object->entry_count; k++)
            counts |= store_counts(repair->store, &object->entries[k].id, name) &&
                      is_needed(repair->store, &object->entries[k].id);
        object_free(object);
    }
    return counts ? 0 : store_remove_object(repair->store, name, err);
}

/*
 * Files that could not be read, or not in full, and that nothing needs any more: once everything
 * has its successor they go. A held base that was changed goes too: its owner's name stays.
 */
static int remove_remains(struct repair *repair, struct err *err)
{
    int r = 0;
    bool changed = false;
    for (size_t i = repair->first; i < repair->report->count && r == 0; i++) {
        struct damage *damage = &repair->report->damaged[i];
        if (damage->code != ERR_DAMAGED)
            continue; /* of a newer version, or the disk did not answer: it may be well */
        if (begins_with(damage->object, "held/")) {
            bool all;
            r = replace_held(repair, damage->object, &all, err);
            if (r == 0 && !all)
                continue;
            if (r == 0)
                r = store_unhold(repair->store, damage->object, err);
        } else if (begins_with(damage->object, "objects/")) {
            r = remove_unused(repair, damage->object, err);
        } else {
            continue;
        }
        damage->repaired = r == 0;
        changed = true;
    }
    return r < 0 || !changed ? r : store_refresh(repair->store, err);
}

/* Writes a manifest anew, with every base that it needs. */
static int write_whole(struct repair *repair, const struct manifest *m, struct err *err)
{
    bool lacked;
    for (size_t i = 0; i < store_manifest_count(repair->store); i++)
        if (store_manifest(repair->store, i) == m)
            (void)store_complete_bases(repair->store, i, &lacked, NULL);
    return store_set_state(repair->store, m->fid, m->state, err);
}

/* Manifests of which one copy served are written whole; opening wrote format and roster anew. */
static int repair_frame(struct repair *repair, struct err *err)
{
    int r = 0;
    for (size_t i = repair->first; i < repair->report->count && r == 0; i++) {
        struct damage *damage = &repair->report->damaged[i];
        AUTO_FREE char *fid = mem_strndup(damage->object, strcspn(damage->object, "."));
        if (strcmp(damage->object, "format") == 0 || strcmp(damage->object, "roster") == 0) {
            damage->repaired = true;
        } else if (begins_with(damage->object, "files/")) {
            const struct manifest *m = store_find(repair->store, file_base(fid));
            bool absent = false;
            for (size_t k = 0; k < store_absent_count(repair->store); k++)
                absent |= strcmp(store_absent(repair->store, k)->brief.fid, file_base(fid)) == 0;
            if (m)
                r = write_whole(repair, m, err);
            damage->repaired = r == 0 && !absent; /* dropped, where the file is back */
        }
    }
    return r;
}

static void advise_views(struct damage *damage, const struct manifest *m)
{
    for (size_t v = 0; v < m->view_count; v++) {
        const struct manifest_view *view = &m->views[v];
        AUTO_BUF struct buf line = {0};
        if (strcmp(view->source, "hf") == 0) {
            AUTO_FREE char *repo = mem_strndup(view->name, strcspn(view->name, "@"));
            buf_str(&line, "hf download ");
            text_shell_quote(&line, repo);
            buf_char(&line, ' ');
            text_shell_quote(&line, view->file);
            if (*view->revision)
                buf_printf(&line, " --revision %s", view->revision);
        } else {
            buf_printf(&line, "from a backup of %s", m->path);
        }
        path_list_add(&damage->advice, line.data);
    }
}

/* Where what is lost can be had again: the files that need it. */
static void advise(struct repair *repair)
{
    for (size_t i = repair->first; i < repair->report->count; i++) {
        struct damage *damage = &repair->report->damaged[i];
        if (damage->repaired)
            continue;
        for (size_t k = 0; k < store_absent_count(repair->store); k++) {
            const struct manifest *brief = &store_absent(repair->store, k)->brief;
            if (strstr(damage->object, brief->fid))
                advise_views(damage, brief);
        }
        for (size_t k = 0; k < store_manifest_count(repair->store); k++) {
            const struct manifest *m = store_manifest(repair->store, k);
            if (manifest_needs(m, &damage->id))
                advise_views(damage, m);
        }
    }
}

/* The files that something was repaired for must be what they were, by hash and by digest. */
static void check_whole(struct repair *repair)
{
    for (size_t k = 0; k < store_manifest_count(repair->store); k++) {
        const struct manifest *m = store_manifest(repair->store, k);
        bool touched = false;
        struct err why = {0};
        for (size_t n = 0; n < m->range_count && !touched; n++)
            touched = map_has(&repair->done, &m->ranges[n].id);
        AUTO_FREE struct sha256 *shas = mem_alloc((m->range_count + 1) * sizeof *shas);
        if (!touched ||
            transfer_decode_file(repair->transfer, repair->store, m, -1, shas, &why) == 0)
            continue;
        for (size_t i = repair->first; i < repair->report->count; i++)
            for (size_t n = 0; n < m->range_count; n++)
                if (hash128_equal(&repair->report->damaged[i].id, &m->ranges[n].id))
                    repair->report->damaged[i].repaired = false;
    }
}

/* Companions of which the store has the only copy, and that no model brings back any more. */
static void restore_lonely(struct repair *repair)
{
    for (size_t i = 0; i < store_manifest_count(repair->store); i++) {
        const struct manifest *m = store_manifest(repair->store, i);
        struct err why = {0};
        size_t count = 0;
        if (m->state != MANIFEST_COMPANIONS || !m->view_count ||
            store_model_files(repair->store, m->views[0].id))
            continue;
        if (companions_restore(repair->store, repair->transfer, m->views[0].id, m->views[0].name,
                               NULL, &count, &why) < 0)
            buf_printf(&repair->ops->notes, "%s: %s\n", m->path, why.text);
        if (count)
            buf_printf(&repair->ops->notes, "%s: %zu of its small files were put back\n", m->path,
                       count);
    }
}

int repair_store(struct ops *ops, const char *path, struct transfer *transfer, bool whole,
                 struct verify_report *report, size_t first, struct err *err)
{
    struct repair repair = {.ops = ops, .transfer = transfer, .report = report, .first = first};
    const struct store_access access = trust_access(ops);
    int r =
        store_open(path, STORE_REPAIR, &access, "verify --repair", &repair.store, &ops->notes, err);
    if (r < 0)
        return r;
    store_prefer_objects(repair.store, true); /* what is held is not compared when it is read */
    r = repair_contents(&repair, err);
    if (r == 0)
        r = repair_frame(&repair, err);
    if (r == 0 && whole && all_is_there(&repair))
        r = remove_remains(&repair, err);
    if (r == 0)
        restore_lonely(&repair);
    if (r == 0) {
        check_whole(&repair);
        advise(&repair);
    }
    forget_candidates(&repair);
    free(repair.candidates);
    map_release(&repair.done);
    store_close(repair.store);
    return r;
}
