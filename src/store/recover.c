/* SPDX-License-Identifier: MIT */
/*
 * Recovery after a crash, and garbage collection. Recovery never removes an original: what it
 * removes are manifests whose file is back in its place, and objects that no manifest needs.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/text.h"
#include "store/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

int store_hash_file(int fd, uint64_t size, struct hash128 *ret, struct err *err)
{
    AUTO_FREE char *block = mem_alloc(BLOCK);
    struct hasher *hasher = hasher_new(0);
    int r = 0;
    for (uint64_t at = 0; at < size && r == 0;) {
        size_t n = (size_t)MIN(size - at, (uint64_t)BLOCK);
        r = file_pread(fd, block, n, at, err);
        if (r == 0)
            hasher_update(hasher, block, n);
        at += n;
    }
    if (r == 0)
        *ret = hasher_digest(hasher);
    hasher_free(hasher);
    return r;
}

static int sync_folder_of(const char *path, struct err *err)
{
    AUTO_FREE char *parent = file_dir(path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, parent, err);
    return dir < 0 ? dir : file_sync_dir(dir, err);
}

bool store_is_link(const struct manifest_link *link)
{
    char target[4096];
    ssize_t n = readlink(link->path, target, sizeof target - 1);
    return n >= 0 && (size_t)n == strlen(link->target) &&
           memcmp(target, link->target, (size_t)n) == 0;
}

int store_restore_links(const struct manifest *m, struct err *err)
{
    for (size_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &m->links[i];
        bool made = symlink(link->target, link->path) == 0;
        if (!made && (errno == ENOENT || errno == ENOTDIR))
            continue; /* its folder is gone: nobody looks for it there */
        if (!made && errno != EEXIST)
            return err_sys(err, "%s", link->path);
        if (!made && !store_is_link(link))
            continue; /* somebody made another one */
        const struct timespec times[2] = {
            {.tv_nsec = UTIME_OMIT},
            {link->mtime_ns / 1000000000, (long)(link->mtime_ns % 1000000000)}};
        if (link->mtime_ns > 0 && utimensat(AT_FDCWD, link->path, times, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno != ENOTSUP)
            return err_sys(err, "the time of %s", link->path);
        int r = sync_folder_of(link->path, err);
        if (r < 0)
            return r;
    }
    return 0;
}

bool store_is_back(const struct manifest *m)
{
    struct stat st;
    struct hash128 hash;
    AUTO_FD int fd = file_open_regular(AT_FDCWD, m->path, &st, NULL);
    return fd >= 0 && (uint64_t)st.st_size == m->size &&
           store_hash_file(fd, m->size, &hash, NULL) == 0 && hash128_equal(&hash, &m->hash) &&
           fsync(fd) == 0 && sync_folder_of(m->path, NULL) == 0;
}

int store_remove_note(const struct manifest *m, struct err *err)
{
    AUTO_FREE char *path = store_note_path(m);
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    int r = m->note ? file_read_all(AT_FDCWD, path, 8192, &text, &why) : ERR_NOTFOUND;
    if (r == ERR_NOTFOUND || r == ERR_LIMIT || r == ERR_UNSUPPORTED)
        return 0; /* none, or something else of that name */
    if (r < 0)
        return err_set(err, r, "%s", why.text);
    bool ours = !text.len || strncmp(text.data, STORE_NOTE_BEGIN, strlen(STORE_NOTE_BEGIN)) == 0;
    return ours && unlink(path) < 0 && errno != ENOENT ? err_sys(err, "%s", path) : 0;
}

int store_settle(const struct manifest *m, struct err *err)
{
    int r = store_remove_note(m, err);
    if (r == 0)
        r = sync_folder_of(m->path, err);
    return r < 0 ? r : store_restore_links(m, err);
}

static void note(struct buf *notes, const char *path, const char *what)
{
    if (notes)
        buf_printf(notes, "%s: %s\n", path, what);
}

/* What is to become of one manifest. */
enum verdict { KEEP, DROP };

/* Puts an original that was moved aside back. A cut may have left it under both names. */
static bool move_back(const char *aside, const char *place)
{
    struct stat a, b;
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, place, RENAME_NOREPLACE) == 0)
        return true;
    return lstat(aside, &a) == 0 && lstat(place, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino && unlink(aside) == 0;
}

/* The original was moved aside and then nothing more happened. */
static enum verdict recover_aside(const struct manifest *m, const char *aside, struct buf *notes)
{
    if (!move_back(aside, m->path)) {
        note(notes, aside, "an original that was moved aside; another file is in its place");
        return KEEP;
    }
    if (store_settle(m, NULL) < 0) {
        note(notes, m->path, "compressing it was cut off; its links could not be put back yet");
        return KEEP;
    }
    note(notes, m->path, "compressing it was cut off; the original is back in its place");
    return DROP;
}

static enum verdict recover_one(const struct manifest *m, struct buf *notes)
{
    struct stat st;
    AUTO_FREE char *aside = store_aside_path(m), *restore = store_restore_path(m);
    if (lstat(aside, &st) == 0)
        return recover_aside(m, aside, notes);
    bool there = lstat(m->path, &st) == 0;
    if (m->state == MANIFEST_RESTORING)
        (void)unlink(restore);
    if (m->state == MANIFEST_PENDING) {
        if (there)
            return DROP;
        note(notes, m->path, "vanished while it was compressed; what is stored of it is kept");
        return KEEP;
    }
    if (!there || m->state == MANIFEST_KEPT)
        return KEEP;
    if (S_ISREG(st.st_mode) && store_is_back(m)) {
        if (store_settle(m, NULL) < 0) {
            note(notes, m->path, "is back in its place, but its links could not be put back yet");
            return KEEP;
        }
        note(notes, m->path, "is back in its place; its stored copy is dropped");
        return DROP;
    }
    note(notes, m->path,
         "a different file is in its place now; both are kept (decompress --to, or delete)");
    return KEEP;
}

/* Whether the file of an absent manifest lies in its place, moved back there if it was aside. */
static bool absent_is_back(const struct store_absent *absent, struct buf *notes)
{
    const struct manifest *brief = &absent->brief;
    if (!brief->path || !(absent->damaged || absent->lost))
        return false;
    AUTO_FREE char *aside = store_aside_path(brief);
    struct stat st;
    if (lstat(aside, &st) == 0 && !move_back(aside, brief->path))
        return false;
    if (!store_is_back(brief) || store_settle(brief, NULL) < 0)
        return false;
    note(notes, brief->path, "is in its place; its damaged manifest is dropped");
    return true;
}

/* What a file_replace leaves that died on the way: ".NAME.tmp". The lock is ours. */
static void remove_temporaries(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] == '.' && text_ends_with(entry->d_name, ".tmp"))
            (void)unlinkat(folder, entry->d_name, 0);
    if (stream)
        closedir(stream);
}

int store_recover(struct store *store, struct buf *notes, struct err *err)
{
    int r = file_remove_below(store->tmp, err);
    remove_temporaries(store->files);
    remove_temporaries(store->held_dir);
    remove_temporaries(store->dir);
    bool dropped = false;
    for (size_t i = store->manifest_count; i-- > 0 && r == 0;) {
        if (recover_one(&store->manifests[i], notes) == DROP) {
            r = store_drop_manifest(store, store->manifests[i].fid, err);
            dropped = true;
        }
    }
    for (size_t i = store->absent_count; i-- > 0 && r == 0;)
        if (absent_is_back(&store->absents[i], notes))
            r = store_drop_absent(store, store->absents[i].brief.fid, err);
    if (r < 0 || store->absent_count)
        return r;
    if (dropped)
        r = store_reload(store, NULL, err);
    return r < 0 ? r : store_tidy(store, err);
}

int store_tidy(struct store *store, struct err *err)
{
    struct gc_report report;
    struct err why = {0};
    int r = store_gc(store, false, &report, &why);
    return r < 0 && r != ERR_REFUSED ? err_set(err, r, "%s", why.text) : 0;
}

/* Every id that manifests, but for these, refer to, and the base of every delta among them. */
static void mark(const struct store *store, const char *const *without, size_t count,
                 struct map *ids)
{
    for (size_t i = 0; i < store->manifest_count; i++) {
        const struct manifest *m = &store->manifests[i];
        if (text_is_among(m->fid, without, count))
            continue;
        for (size_t k = 0; k < m->range_count; k++) {
            map_put(ids, &m->ranges[k].id, 1);
            map_put(ids, &m->ranges[k].base, 1);
            struct hash128 base = store_base_of(store, &m->ranges[k].id);
            map_put(ids, &base, 1);
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
    if (!dry_run && unlinkat(store->objects, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, "objects/%s", name);
    return 0;
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

/* The manifest of the held file itself, if it is compressed and was compared. */
static const struct manifest *own_manifest(const struct store *store, const struct manifest *held)
{
    for (size_t i = 0; i < store->manifest_count; i++)
        if (store->manifests[i].state != MANIFEST_PENDING &&
            strcmp(store->manifests[i].path, held->path) == 0)
            return &store->manifests[i];
    return NULL;
}

/*
 * A held file is needed while an id of it is referred to, until the file itself is compressed:
 * only then do objects stand for those ids that were compared with it.
 */
static bool held_is_needed(const struct store *store, size_t h, const struct map *ids)
{
    const struct manifest *held = &store->held[h].manifest;
    const struct manifest *own = own_manifest(store, held);
    for (size_t i = 0; i < held->range_count; i++) {
        const struct hash128 *id = &held->ranges[i].id;
        bool stored = false;
        if (!map_has(ids, id))
            continue;
        for (size_t k = 0; own && k < own->range_count && !stored; k++)
            stored = hash128_equal(&own->ranges[k].id, id) && store_has(store, id) != CONTENT_HELD;
        if (!stored || (store_is_base(store, id) && store_is_delta(store, id)))
            return true;
    }
    return false;
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

int store_gc(struct store *store, bool dry_run, struct gc_report *ret, struct err *err)
{
    *ret = (struct gc_report){0};
    if (store->broken)
        return err_set(err, ERR_REFUSED, "%s could not be read in full; nothing is removed",
                       store->path);
    if (store->absent_count)
        return err_set(err, ERR_REFUSED,
                       "%s: %zu manifest(s) cannot be read; nothing is removed until that is "
                       "settled (tare verify)",
                       store->path, store->absent_count);
    int r = sweep(store, NULL, 0, dry_run, ret, err);
    return r < 0 || dry_run || !ret->objects ? r : store_reload(store, NULL, err);
}
