/* SPDX-License-Identifier: MIT */
/* Verify, gc and log: the verbs that look after stores. */
#include "ops/compress.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "ops/repair.h"
#include "ops/transfer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LOG_LIMIT = 1 << 30 };
#define HURT "one of its two copies is damaged, the other one serves"

struct check {
    struct ops *ops;
    struct store *store;
    struct transfer *transfer;
    struct progress *progress;
    struct verify_report *report;
    uint8_t *block;    /* a chunk's stored bytes */
    struct map wanted; /* ids; with only */
    bool only;
    const struct verify_request *request;
    double started;           /* of reading, for the rate */
    struct reading *readings; /* objects that are to be read */
    size_t reading_count, done;
    struct found_shas *found; /* of files whose manifests were made before there were any */
    size_t found_count, found_cap;
};

struct found_shas {
    char *fid;
    struct sha256 *shas;
};

/* An object file, and when it was read last. */
struct reading {
    char *name;
    struct hash128 key;
    int64_t time; /* 0: never */
};

void verify_report_release(struct verify_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->damaged[i].object);
        free(report->damaged[i].reason);
        path_list_release(&report->damaged[i].models);
        path_list_release(&report->damaged[i].advice);
    }
    free(report->damaged);
    path_list_release(&report->foreign);
    path_list_release(&report->gone);
    *report = (struct verify_report){0};
}

size_t verify_report_open(const struct verify_report *report)
{
    size_t n = 0;
    for (size_t i = 0; i < report->count; i++)
        n += !report->damaged[i].repaired;
    return n;
}

static struct damage *add_damage(struct check *check, const char *object, const char *reason,
                                 int code)
{
    struct verify_report *report = check->report;
    struct damage *damage = ARRAY_ADD(report->damaged, report->count, report->cap);
    damage->object = mem_strdup(object);
    damage->reason = mem_strdup(reason);
    /* By what it is about: the words may name another chunk the next time. */
    AUTO_FREE char *about =
        mem_printf("%s\n%s", check->store ? store_path(check->store) : "", object);
    snprintf(damage->finding, sizeof damage->finding, "%016llx",
             (unsigned long long)hash64_of(about, strlen(about)));
    /* Too short, or gone: as damaged as with other bytes. */
    damage->code = code == ERR_CHANGED || code == ERR_NOTFOUND ? ERR_DAMAGED : code;
    return damage;
}

static void name_views(const struct manifest *m, struct damage *damage)
{
    for (size_t v = 0; v < m->view_count; v++)
        path_list_add(&damage->models, m->views[v].name);
}

/* Adds the models that need an id, directly or as a base. */
static void name_models(const struct check *check, const struct hash128 *id, struct damage *damage)
{
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        if (manifest_needs(m, id))
            name_views(m, damage);
    }
}

static void add_lost(struct check *check, const char *object, const char *reason, int code,
                     const struct hash128 *id)
{
    struct damage *damage = add_damage(check, object, reason, code);
    damage->id = *id;
    name_models(check, id, damage);
}

static bool is_wanted(const struct check *check, const struct hash128 *id)
{
    return !check->only || map_has(&check->wanted, id);
}

/* An entry of which no chunk has a checksum of its stored bytes: it is decoded. */
static int decode_entry(struct check *check, const struct object_entry *entry, struct err *err)
{
    struct content *content;
    int r = content_open(check->store, &entry->id, &content, err);
    if (r < 0)
        return r;
    r = transfer_check(check->transfer, content, err);
    content_free(content);
    return r;
}

/* Waits where more was read than the rate allows. */
static void keep_rate(const struct check *check)
{
    uint64_t rate = check->request->rate;
    double ahead =
        rate ? (double)check->report->read / (double)rate - (ops_now() - check->started) : 0;
    const struct timespec pause = {(time_t)MIN(ahead, 1.0), (long)(MIN(ahead, 0.999) * 1e9)};
    if (ahead > 0.01)
        nanosleep(&pause, NULL);
}

/*
 * The stored bytes of an entry are those that were decoded and compared when it was made, if
 * their checksums agree: that takes no longer than reading them. Its base is an entry of its own.
 */
static int read_entry(struct check *check, const struct object *object,
                      const struct object_entry *entry, struct err *err)
{
    int r = 0;
    for (uint32_t i = 0; i < entry->count && r == 0; i++) {
        const struct object_chunk *chunk = &object->chunks[entry->first + i];
        struct err why = {0};
        r = progress_check(check->progress, &why);
        if (r == 0)
            r = object_read(object, chunk, check->block, &why);
        check->report->read += chunk->stored;
        keep_rate(check);
        if (r == 0 && (unsigned)chunk->codec >= CODEC_COUNT)
            r = err_set(&why, ERR_DAMAGED, "its codec %u is not known", (unsigned)chunk->codec);
        if (r < 0)
            return err_set(err, r, "chunk %u: %.400s", i, why.text);
        progress_add(check->progress, chunk->raw);
    }
    return 0;
}

/* What is wrong with an entry becomes a damage. */
static int check_entry(struct check *check, const char *name, const struct object *object,
                       const struct object_entry *entry)
{
    struct err why = {0};
    int r = object->version > 1 ? read_entry(check, object, entry, &why)
                                : decode_entry(check, entry, &why);
    check->report->bytes += entry->bytes;
    if (r == 0)
        r = object_check_frame(object, entry, &why);
    if (r == ERR_CANCELLED)
        return r;
    if (r < 0)
        add_lost(check, name, why.text, why.code, &entry->id);
    return 0;
}

static int check_object(struct check *check, const char *name)
{
    AUTO_FREE char *path = file_join("objects", name);
    struct object *object;
    struct err why = {0};
    struct hash128 id;
    int r = object_open(store_dir(check->store), path, &object, &why);
    if (r < 0 && store_name_is_pack(name) && check->only)
        return 0; /* whose it is cannot be told */
    if (r < 0 && store_name_is_pack(name)) {
        add_damage(check, path, why.text, why.code); /* what it held is told as missing */
        return 0;
    }
    if (r < 0) {
        if (store_name_id(name, &id) && is_wanted(check, &id))
            add_lost(check, path, why.text, why.code, &id);
        return 0;
    }
    bool wanted = false;
    object_from_disk(object);
    for (uint32_t i = 0; i < object->entry_count && r == 0; i++) {
        if (!is_wanted(check, &object->entries[i].id) ||
            !store_counts(check->store, &object->entries[i].id, name))
            continue;
        wanted = true;
        r = check_entry(check, path, object, &object->entries[i]);
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
    struct stat st;
    AUTO_FD int fd = file_open_regular(store_dir(check->store), name, &st, &why);
    struct hasher *hasher = hasher_new(0);
    struct transfer_sums sums = {.range = hasher};
    bool length = fd >= 0 && (uint64_t)st.st_size == m->size;
    struct hash128 empty = hash128_of("", 0);
    int r = 0;
    for (size_t i = 0; i < m->range_count && r != ERR_CANCELLED; i++) {
        const struct manifest_range *range = &m->ranges[i];
        if (hash128_equal(&range->id, &empty) || !is_wanted(check, &range->id))
            continue;
        hasher_reset(hasher, 0);
        r = fd < 0 ? fd
                   : transfer_hash(check->transfer, fd, range->offset, range->bytes, &sums, &why);
        struct hash128 seen = hasher_digest(hasher);
        if (r < 0 && r != ERR_CANCELLED)
            add_lost(check, name, why.text, why.code, &range->id);
        else if (r == 0 && (!length || !hash128_equal(&seen, &range->id)))
            add_lost(check, name, "a held base was changed in its place", ERR_DAMAGED, &range->id);
    }
    if (m->hurt && !check->only)
        add_damage(check, name, HURT, ERR_DAMAGED);
    check->report->objects++;
    check->report->bytes += m->size;
    hasher_free(hasher);
    return r == ERR_CANCELLED ? r : 0;
}

/* What is asked of every id that a manifest names. */
struct asking {
    struct check *check;
    struct map told;
};

/* Ids that manifests name and that are nowhere. */
static void ask_id(void *context, const struct hash128 *id)
{
    struct asking *asking = context;
    struct check *check = asking->check;
    char hex[HASH128_HEX];
    if (!is_wanted(check, id) || map_has(&asking->told, id) ||
        store_has(check->store, id) != CONTENT_NONE)
        return;
    map_put(&asking->told, id, 1);
    hash128_hex(hex, id);
    add_lost(check, hex, "missing from the store", ERR_DAMAGED, id);
}

/*
 * A manifest must name every base that its objects need: gc goes by that. So for one that does
 * not, its objects are read: what they need counts, too.
 */
static void check_bases(struct check *check, size_t i)
{
    struct err why = {0};
    bool lacked = false;
    int r = store_complete_bases(check->store, i, &lacked, &why);
    const struct manifest *m = store_manifest(check->store, i);
    AUTO_FREE char *name = mem_printf("files/%s.json", m->fid);
    if (r == 0 && lacked)
        name_views(m,
                   add_damage(check, name, "does not name every base that it needs", ERR_DAMAGED));
}

static bool needs_check(const struct check *check, const struct manifest *m)
{
    for (size_t k = 0; k < m->range_count; k++)
        if (is_wanted(check, &m->ranges[k].id))
            return true;
    return false;
}

static void check_missing(struct check *check)
{
    struct asking asking = {.check = check};
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        if (needs_check(check, store_manifest(check->store, i)))
            check_bases(check, i);
        const struct manifest *m = store_manifest(check->store, i);
        for (size_t k = 0; k < m->range_count; k++)
            range_each_id(&m->ranges[k], ask_id, &asking);
    }
    map_release(&asking.told);
}

static void check_manifests(struct check *check)
{
    for (size_t i = 0; i < store_absent_count(check->store); i++) {
        const struct store_absent *absent = store_absent(check->store, i);
        AUTO_FREE char *name = mem_printf("files/%s.json", absent->brief.fid);
        name_views(&absent->brief, add_damage(check, name, absent->reason, ERR_DAMAGED));
    }
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        AUTO_FREE char *name = mem_printf("files/%s.json", m->fid);
        if (m->hurt)
            name_views(m, add_damage(check, name, HURT, ERR_DAMAGED));
    }
}

void verify_companions(const struct store *store, struct path_list *ret)
{
    for (size_t i = 0; i < store_manifest_count(store); i++) {
        const struct manifest *m = store_manifest(store, i);
        size_t missing = store_companions_missing(m);
        if (!missing || !m->view_count)
            continue;
        AUTO_FREE char *line = mem_printf(
            "%s: %zu of its other files %s gone from %s; %s", m->views[0].name, missing,
            missing == 1 ? "is" : "are", m->path,
            store_model_files(store, m->views[0].id) ? "copies come back with it (tare decompress)"
                                                     : "tare verify --repair puts copies there");
        path_list_add(ret, line);
    }
}

/* What is not content: the store's own files, and what is none of them. */
static void check_frame(struct check *check)
{
    const char *format = store_format_damage(check->store);
    const char *roster = store_roster_damage(check->store);
    if (format)
        add_damage(check, "format", format, ERR_DAMAGED);
    if (roster)
        add_damage(check, "roster", roster, ERR_DAMAGED);
    for (size_t i = 0; i < store_held_damage_count(check->store); i++)
        add_damage(check, store_held_damage(check->store, i)->name,
                   store_held_damage(check->store, i)->reason, ERR_DAMAGED);
    for (size_t i = 0; i < store_foreign_count(check->store); i++) {
        AUTO_FREE char *path = file_join(store_path(check->store), store_foreign(check->store, i));
        path_list_add(&check->report->foreign, path);
    }
}

/* Whether a name belongs to the part that is asked for; the same names do each time. */
static bool in_part(const struct check *check, const char *name)
{
    unsigned parts = check->request->parts;
    return !parts || hash64_of(name, strlen(name)) % parts == check->request->part - 1;
}

static int by_time(const void *a, const void *b)
{
    const struct reading *x = a, *y = b;
    return x->time != y->time ? (x->time < y->time ? -1 : 1) : strcmp(x->name, y->name);
}

/* The objects of the part, with a budget those first that were not read for longest. */
static int list_readings(struct check *check, struct err *err)
{
    size_t count = 0;
    char **names = store_object_names(check->store, &count);
    if (!names)
        return err_sys(err, "%s/objects", store_path(check->store));
    check->readings = mem_alloc((count + 1) * sizeof *check->readings);
    for (size_t i = 0; i < count; i++) {
        if (!in_part(check, names[i]))
            continue;
        AUTO_FREE char *about = mem_printf("%s\n%s", store_path(check->store), names[i]);
        struct reading *reading = &check->readings[check->reading_count++];
        reading->key = hash128_of(about, strlen(about));
        reading->name = TAKE_PTR(names[i]);
        reading->time = catalog_reading(check->ops->catalog, &reading->key);
    }
    store_names_free(names, count);
    if (check->reading_count && check->request->budget)
        qsort(check->readings, check->reading_count, sizeof *check->readings, by_time);
    return 0;
}

/* Notes what was read, and what waits longest. */
static int remember_readings(struct check *check, struct err *err)
{
    int64_t now = time(NULL);
    struct verify_report *report = check->report;
    int r = catalog_begin(check->ops->catalog, err);
    for (size_t i = 0; i < check->done && r == 0 && !check->only; i++)
        r = catalog_put_reading(check->ops->catalog, &check->readings[i].key, now, err);
    for (size_t i = check->done; i < check->reading_count; i++) {
        int64_t at = check->readings[i].time;
        report->unread += !at;
        if (at && (!report->oldest || at < report->oldest))
            report->oldest = at;
    }
    return catalog_end(check->ops->catalog, r, err);
}

/* Decodes whole files: what their objects give must have the hashes of the file. */
static int check_files(struct check *check)
{
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        AUTO_FREE struct sha256 *shas = mem_alloc((m->range_count + 1) * sizeof *shas);
        AUTO_FREE char *name = mem_printf("files/%s.json", m->fid);
        struct err why = {0};
        if (m->state == MANIFEST_PENDING || !in_part(check, m->fid) || !needs_check(check, m))
            continue;
        int r = transfer_decode_file(check->transfer, check->store, m, -1, shas, &why);
        if (r == ERR_CANCELLED)
            return r;
        check->report->files++;
        if (r < 0)
            name_views(m, add_damage(check, name, why.text, why.code));
        else if (sha256_is_zero(&m->sha) && m->range_count)
            *ARRAY_ADD(check->found, check->found_count, check->found_cap) =
                (struct found_shas){mem_strdup(m->fid), TAKE_PTR(shas)};
    }
    return 0;
}

static int check_store(struct check *check, struct err *err)
{
    int r = 0;
    if (!check->only) {
        check_frame(check);
        verify_companions(check->store, &check->report->gone);
    }
    check_manifests(check);
    check_missing(check);
    r = list_readings(check, err);
    if (r < 0)
        return r;
    store_prefer_objects(check->store, true); /* a held base must not cover for its object */
    for (check->done = 0; check->done < check->reading_count && r == 0; check->done++) {
        if (check->request->budget && check->report->read >= check->request->budget)
            break;
        r = check_object(check, check->readings[check->done].name);
    }
    if (r == 0 && check->request->deep)
        r = check_files(check);
    store_prefer_objects(check->store, false);
    for (size_t h = 0; h < store_held_count(check->store) && r == 0; h++)
        if (in_part(check, store_held(check->store, h)->fid))
            r = check_held(check, h);
    return r == ERR_CANCELLED ? err_set(err, r, "stopped on request") : r;
}

static void want_id(void *context, const struct hash128 *id)
{
    map_put(context, id, 1);
}

/* What the models need. */
static void want_models(struct check *check, const struct library *library,
                        const struct verify_request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        const struct lib_model *model = &library->models[request->models[i]];
        for (size_t f = 0; f < model->file_count; f++) {
            const char *fid = library->files[model->files[f]].fid;
            const struct manifest *m = fid ? store_find(check->store, fid) : NULL;
            for (size_t k = 0; m && k < m->range_count; k++)
                range_each_id(&m->ranges[k], want_id, &check->wanted);
        }
    }
}

/* The bytes that will be gone through: each content once, and the held bases. */
static uint64_t work_of(const struct check *check)
{
    struct map counted = {0};
    uint64_t bytes = 0;
    for (size_t i = 0; i < store_manifest_count(check->store); i++) {
        const struct manifest *m = store_manifest(check->store, i);
        for (size_t k = 0; k < m->range_count; k++) {
            if (!is_wanted(check, &m->ranges[k].id) || map_has(&counted, &m->ranges[k].id))
                continue;
            map_put(&counted, &m->ranges[k].id, 1);
            bytes += m->ranges[k].bytes;
        }
    }
    for (size_t h = 0; h < store_held_count(check->store); h++)
        bytes += store_held(check->store, h)->size;
    map_release(&counted);
    return bytes;
}

/* Whether something that a range needs is lost. */
struct loss {
    const struct map *lost;
    bool damaged;
};

static void look_lost(void *context, const struct hash128 *id)
{
    struct loss *loss = context;
    loss->damaged |= map_has(loss->lost, id);
}

/* Notes in the catalog which stored files are damaged, and which are not, of those checked. */
static int remember_damage(const struct check *check, size_t first, struct err *err)
{
    struct map lost = {0};
    struct catalog *catalog = check->ops->catalog;
    for (size_t i = first; i < check->report->count; i++) {
        const struct damage *damage = &check->report->damaged[i];
        if (!damage->repaired && !hash128_is_zero(&damage->id))
            map_put(&lost, &damage->id, 1);
    }
    int r = catalog_begin(catalog, err);
    for (size_t i = 0; i < store_manifest_count(check->store) && r == 0; i++) {
        const struct manifest *m = store_manifest(check->store, i);
        struct loss loss = {.lost = &lost};
        bool wanted = false;
        for (size_t k = 0; k < m->range_count; k++) {
            wanted |= is_wanted(check, &m->ranges[k].id);
            range_each_id(&m->ranges[k], look_lost, &loss);
        }
        /* Of a part only what is damaged is known. */
        bool whole = !check->request->parts && !check->request->budget;
        if (wanted && (whole || loss.damaged))
            r = catalog_put_damage(catalog, m->fid, loss.damaged, err);
    }
    map_release(&lost);
    return catalog_end(catalog, r, err);
}

/* Manifests of older versions get what was found out of their files. */
static int write_found(struct check *check, struct err *err)
{
    struct store *store;
    struct ops *ops = check->ops;
    if (!check->found_count || ops_may_write(ops, NULL) < 0)
        return 0;
    int r = ops_open_store(ops, store_path(check->store), "verify --deep", check->progress, &store,
                           &ops->notes, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < check->found_count && r == 0; i++)
        if (store_find(store, check->found[i].fid))
            r = store_put_shas(store, check->found[i].fid, check->found[i].shas, err);
    store_close(store);
    return r;
}

static void check_release(struct check *check)
{
    transfer_free(check->transfer);
    store_close(check->store);
    map_release(&check->wanted);
    for (size_t i = 0; i < check->reading_count; i++)
        free(check->readings[i].name);
    free(check->readings);
    for (size_t i = 0; i < check->found_count; i++) {
        free(check->found[i].fid);
        free(check->found[i].shas);
    }
    free(check->found);
    free(check->block);
}

static int verify_store(struct ops *ops, const struct library *library, const char *path,
                        const struct verify_request *request, struct progress *progress,
                        struct verify_report *report, struct err *err)
{
    struct check check = {.ops = ops,
                          .progress = progress,
                          .report = report,
                          .request = request,
                          .started = ops_now(),
                          .only = request->count > 0};
    size_t first = report->count;
    int r = store_open(path, STORE_READ, NULL, NULL, &check.store, NULL, err);
    if (r < 0)
        return r;
    want_models(&check, library, request);
    if (progress)
        atomic_fetch_add(&progress->total, work_of(&check) * (request->deep ? 2 : 1));
    check.transfer = transfer_new(ops, progress);
    check.block = mem_alloc(CODEC_CHUNK_BYTES);
    r = check_store(&check, err);
    if (r == 0)
        r = remember_readings(&check, err);
    if (r == 0)
        r = write_found(&check, err);
    if (r == 0 && request->repair && (report->count > first || report->gone.count))
        r = repair_store(ops, path, check.transfer, !check.only && !request->parts, report, first,
                         err);
    if (r == 0)
        r = remember_damage(&check, first, err);
    check_release(&check);
    return r;
}

int ops_verify(struct ops *ops, const struct library *library, const struct verify_request *request,
               struct progress *progress, struct verify_report *ret, struct err *err)
{
    struct path_list stores = {0};
    *ret = (struct verify_report){0};
    int r = request->repair ? ops_may_write(ops, err) : 0;
    ops_stores(ops, &stores);
    progress_phase(progress, "verifying");
    struct check frame = {.report = ret, .request = request};
    struct err why = {0};
    if (!request->count && catalog_check(ops->catalog, &why) == ERR_DAMAGED) {
        struct damage *damage = add_damage(&frame, "catalog", why.text, ERR_DAMAGED);
        path_list_add(&damage->advice, "the next scan makes the index anew");
    }
    for (size_t i = 0; i < stores.count && r == 0; i++)
        r = verify_store(ops, library, stores.paths[i], request, progress, ret, err);
    path_list_release(&stores);
    return r;
}

int ops_gc(struct ops *ops, bool dry_run, struct progress *progress, struct gc_report *ret,
           struct err *err)
{
    struct path_list stores = {0};
    int r = dry_run ? 0 : ops_may_write(ops, err);
    *ret = (struct gc_report){0};
    if (r == 0)
        ops_stores(ops, &stores);
    for (size_t i = 0; i < stores.count && r == 0; i++) {
        struct store *store;
        struct gc_report one = {0};
        r = dry_run
                ? store_open(stores.paths[i], STORE_READ, NULL, NULL, &store, &ops->notes, err)
                : ops_open_store(ops, stores.paths[i], "gc", progress, &store, &ops->notes, err);
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
