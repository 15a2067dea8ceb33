/* SPDX-License-Identifier: MIT */
/* Verify, gc and log: the verbs that look after stores. */
#include "ops/compress.h"

#include "base/file.h"
#include "ops/transfer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { LOG_LIMIT = 1 << 30 };

struct check {
    struct store *store;
    struct transfer *transfer;
    struct progress *progress;
    struct verify_report *report;
    struct map wanted; /* ids; with only */
    bool only;
};

void verify_report_release(struct verify_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->damaged[i].object);
        free(report->damaged[i].reason);
        path_list_release(&report->damaged[i].models);
    }
    free(report->damaged);
    *report = (struct verify_report){0};
}

static struct damage *add_damage(struct check *check, const char *object, const char *reason)
{
    struct verify_report *report = check->report;
    struct damage *damage = ARRAY_ADD(report->damaged, report->count, report->cap);
    damage->object = mem_strdup(object);
    damage->reason = mem_strdup(reason);
    return damage;
}

/* Adds the models that need an id, directly or as a base. */
static void name_models(const struct check *check, const struct hash128 *id, struct damage *damage)
{
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        bool needs = false;
        for (size_t k = 0; k < m->range_count && !needs; k++)
            needs = hash128_equal(&m->ranges[k].id, id) || hash128_equal(&m->ranges[k].base, id);
        for (size_t v = 0; v < m->view_count && needs; v++)
            path_list_add(&damage->models, m->views[v].name);
    }
}

static bool is_wanted(const struct check *check, const struct hash128 *id)
{
    return !check->only || map_has(&check->wanted, id);
}

/* Decodes one entry; what is wrong becomes a damage. */
static int check_entry(struct check *check, const char *name, const struct hash128 *id)
{
    struct content *content;
    struct err why = {0};
    int r = content_open(check->store, id, &content, &why);
    if (r == 0) {
        r = transfer_decode(check->transfer, content, -1, 0, NULL, &why);
        check->report->bytes += content_bytes(content);
        content_free(content);
    }
    if (r == ERR_CANCELLED)
        return r;
    if (r < 0)
        name_models(check, id, add_damage(check, name, why.text));
    return 0;
}

static int check_object(struct check *check, const char *name)
{
    AUTO_FREE char *path = file_join("objects", name);
    struct object *object;
    struct err why;
    int r = object_open(store_dir(check->store), path, &object, &why);
    struct hash128 id;
    char hex[HASH128_HEX];
    snprintf(hex, sizeof hex, "%.32s", name + 3);
    if (r < 0) {
        struct damage *damage = add_damage(check, name, why.text);
        if (!hash128_parse(&id, hex))
            return 0;
        name_models(check, &id, damage); /* what a damaged pack held is told as missing */
        return 0;
    }
    bool wanted = false;
    for (uint32_t i = 0; i < object->entry_count && r == 0; i++) {
        if (!is_wanted(check, &object->entries[i].id))
            continue;
        wanted = true;
        r = check_entry(check, name, &object->entries[i].id);
    }
    check->report->objects += wanted;
    object_free(object);
    return r;
}

/* A held base is checked by the ids of its tensors: that is what deltas rely on. */
static int check_held(struct check *check, size_t h)
{
    const struct manifest *m = store_held(check->store, h);
    AUTO_FREE char *name = mem_printf("held/%s", m->fid);
    struct err why = {0};
    AUTO_FD int fd = file_open_regular(store_dir(check->store), name, NULL, &why);
    struct hasher *hasher = hasher_new(0);
    struct transfer_sums sums = {.range = hasher};
    struct hash128 empty = hash128_of("", 0);
    int r = MIN(fd, 0);
    if (r < 0)
        add_damage(check, name, why.text);
    for (size_t i = 0; i < m->range_count && fd >= 0 && r == 0; i++) {
        const struct manifest_range *range = &m->ranges[i];
        if (hash128_equal(&range->id, &empty) || !is_wanted(check, &range->id))
            continue;
        hasher_reset(hasher, 0);
        r = transfer_hash(check->transfer, fd, range->offset, range->bytes, &sums, &why);
        struct hash128 seen = hasher_digest(hasher);
        if (r == 0 && hash128_equal(&seen, &range->id))
            continue;
        if (r == ERR_CANCELLED)
            break;
        r = 0;
        name_models(check, &range->id,
                    add_damage(check, name,
                               "a held base was changed in its place; download it "
                               "again"));
    }
    check->report->objects++;
    check->report->bytes += m->size;
    hasher_free(hasher);
    return r == ERR_CANCELLED ? r : 0;
}

/* Ids that manifests name and that are nowhere. */
static void check_missing(struct check *check)
{
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        for (size_t k = 0; k < m->range_count; k++) {
            const struct manifest_range *range = &m->ranges[k];
            const struct hash128 *ids[] = {&range->id, &range->base};
            for (size_t n = 0; n < COUNT_OF(ids); n++) {
                char hex[HASH128_HEX];
                if (hash128_is_zero(ids[n]) || !is_wanted(check, ids[n]) ||
                    store_has(check->store, ids[n]) != CONTENT_NONE)
                    continue;
                hash128_hex(hex, ids[n]);
                name_models(check, ids[n], add_damage(check, hex, "missing from the store"));
            }
        }
    }
}

static void found_unreadable(void *context, const char *file, const struct err *why)
{
    add_damage(context, file, why->text);
}

static int take_manifest(void *context, const char *file, struct manifest *manifest,
                         const struct err *why)
{
    if (!manifest)
        found_unreadable(context, file, why);
    return 0;
}

static int check_store(struct check *check, const char *path, struct err *err)
{
    size_t count;
    int r = store_each_manifest(path, take_manifest, check, err);
    check_missing(check);
    char **names = store_object_names(check->store, &count);
    for (size_t i = 0; i < count && r == 0; i++)
        r = check_object(check, names[i]);
    store_names_free(names, count);
    for (size_t h = 0; h < store_held_count(check->store) && r == 0; h++)
        r = check_held(check, h);
    return r == ERR_CANCELLED ? err_set(err, r, "stopped on request") : r;
}

/* What the models need. */
static void want_models(struct check *check, const struct library *library, const int *models,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *model = &library->models[models[i]];
        for (size_t f = 0; f < model->file_count; f++) {
            const char *fid = library->files[model->files[f]].fid;
            const struct manifest *m = fid ? store_find(check->store, fid) : NULL;
            for (size_t k = 0; m && k < m->range_count; k++) {
                map_put(&check->wanted, &m->ranges[k].id, 1);
                map_put(&check->wanted, &m->ranges[k].base, 1);
            }
        }
    }
}

int ops_verify(struct ops *ops, const struct library *library, const int *models, size_t count,
               struct progress *progress, struct verify_report *ret, struct err *err)
{
    struct path_list stores = {0};
    int r = 0;
    *ret = (struct verify_report){0};
    ops_stores(ops, &stores);
    progress_phase(progress, "verifying");
    for (size_t i = 0; i < stores.count && r == 0; i++) {
        struct check check = {.progress = progress, .report = ret, .only = count > 0};
        r = store_open(stores.paths[i], STORE_READ, NULL, &check.store, NULL, err);
        if (r < 0)
            break;
        for (size_t k = 0; k < store_manifest_count(check.store) && progress; k++)
            atomic_fetch_add(&progress->total, store_manifest(check.store, k)->size);
        want_models(&check, library, models, count);
        check.transfer = transfer_new(ops, progress);
        r = check_store(&check, stores.paths[i], err);
        transfer_free(check.transfer);
        store_close(check.store);
        map_release(&check.wanted);
    }
    path_list_release(&stores);
    return r;
}

int ops_gc(struct ops *ops, bool dry_run, struct gc_report *ret, struct err *err)
{
    struct path_list stores = {0};
    int r = dry_run ? 0 : ops_may_write(ops, err);
    *ret = (struct gc_report){0};
    if (r == 0)
        ops_stores(ops, &stores);
    for (size_t i = 0; i < stores.count && r == 0; i++) {
        struct store *store;
        struct gc_report one = {0};
        r = store_open(stores.paths[i], dry_run ? STORE_READ : STORE_WRITE, "gc", &store,
                       &ops->notes, err);
        if (r < 0)
            break;
        r = store_gc(store, dry_run, &one, err);
        ret->objects += one.objects;
        ret->bytes += one.bytes;
        store_close(store);
    }
    path_list_release(&stores);
    return r;
}

int ops_log(struct ops *ops, void (*found)(void *context, const char *line, size_t n),
            void *context, struct err *err)
{
    struct path_list stores = {0};
    int r = 0;
    ops_stores(ops, &stores);
    for (size_t i = 0; i < stores.count && r == 0; i++) {
        AUTO_FREE char *path = file_join(stores.paths[i], "log");
        AUTO_BUF struct buf text = {0};
        r = file_read_all(AT_FDCWD, path, LOG_LIMIT, &text, err);
        if (r == ERR_NOTFOUND)
            r = 0;
        for (char *line = text.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
            found(context, line, (size_t)(end - line));
    }
    path_list_release(&stores);
    return r;
}
