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

int store_restore_links(const struct manifest *m, struct err *err)
{
    for (size_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &m->links[i];
        if (symlink(link->target, link->path) < 0 && errno != EEXIST) {
            if (errno == ENOENT || errno == ENOTDIR)
                continue; /* its folder is gone: nobody looks for it there */
            return err_sys(err, "%s", link->path);
        }
        const struct timespec times[2] = {
            {.tv_nsec = UTIME_OMIT},
            {link->mtime_ns / 1000000000, (long)(link->mtime_ns % 1000000000)}};
        if (link->mtime_ns > 0)
            (void)utimensat(AT_FDCWD, link->path, times, AT_SYMLINK_NOFOLLOW);
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

void store_remove_note(const struct manifest *m)
{
    AUTO_FREE char *path = store_note_path(m);
    AUTO_BUF struct buf text = {0};
    if (m->note && file_read_all(AT_FDCWD, path, 8192, &text, NULL) == 0 &&
        (!text.len || strncmp(text.data, STORE_NOTE_BEGIN, strlen(STORE_NOTE_BEGIN)) == 0))
        (void)unlink(path);
}

static void note(struct buf *notes, const char *path, const char *what)
{
    if (notes)
        buf_printf(notes, "%s: %s\n", path, what);
}

/* What is to become of one manifest. */
enum verdict { KEEP, DROP };

/* The original was moved aside and then nothing more happened. */
static enum verdict recover_aside(const struct manifest *m, const char *aside, struct buf *notes)
{
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, m->path, RENAME_NOREPLACE) < 0) {
        note(notes, aside, "an original that was moved aside; another file is in its place");
        return KEEP;
    }
    if (sync_folder_of(m->path, NULL) < 0 || store_restore_links(m, NULL) < 0) {
        note(notes, m->path, "compressing it was cut off; its links could not be put back yet");
        return KEEP;
    }
    store_remove_note(m);
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
        if (store_restore_links(m, NULL) < 0) {
            note(notes, m->path, "is back in its place, but its links could not be put back yet");
            return KEEP;
        }
        store_remove_note(m);
        note(notes, m->path, "is back in its place; its stored copy is dropped");
        return DROP;
    }
    note(notes, m->path,
         "a different file is in its place now; both are kept (decompress --to, or delete)");
    return KEEP;
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
    struct gc_report report;
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
    if (r < 0 || store->unreadable)
        return r;
    if (dropped)
        r = store_reload(store, NULL, err);
    return r < 0 ? r : store_gc(store, false, &report, err);
}

/* Every id that manifests refer to, and the base of every delta among them. */
static void mark(const struct store *store, struct map *ids)
{
    for (size_t i = 0; i < store->manifest_count; i++) {
        const struct manifest *m = &store->manifests[i];
        for (size_t k = 0; k < m->range_count; k++) {
            map_put(ids, &m->ranges[k].id, 1);
            map_put(ids, &m->ranges[k].base, 1);
            struct hash128 base = store_base_of(store, &m->ranges[k].id);
            map_put(ids, &base, 1);
        }
    }
}

/* Whether some entry of the object is referred to; what cannot be read is never removed. */
static bool is_needed(const struct store *store, const char *name, const struct map *ids,
                      bool *ret_delta)
{
    struct object *object;
    struct hash128 id;
    bool needed = false;
    *ret_delta = false;
    if (!object_parse_name(name, &id) || (!store_name_is_pack(name) && map_has(ids, &id)) ||
        object_open(store->objects, name, &object, NULL) < 0)
        return true;
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

/* Deltas go before what may be their bases. */
static int sweep_objects(struct store *store, const struct map *ids, bool dry_run,
                         struct gc_report *report, struct err *err)
{
    size_t count;
    char **names = store_object_names(store, &count);
    int r = names ? 0 : err_sys(err, "%s/objects", store->path);
    for (int deltas = 1; deltas >= 0; deltas--) {
        for (size_t i = 0; names && i < count && r == 0; i++) {
            bool delta;
            if (names[i][0] && !is_needed(store, names[i], ids, &delta) && delta == deltas) {
                r = sweep_object(store, names[i], dry_run, report, err);
                names[i][0] = '\0';
            }
        }
    }
    if (names)
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
        if (held_is_needed(store, h, ids) ||
            fstatat(store->held_dir, fid, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        report->objects++;
        report->bytes += st.st_nlink > 1 ? 0 : (uint64_t)st.st_blocks * 512;
        if (!dry_run &&
            (unlinkat(store->held_dir, fid, 0) < 0 || unlinkat(store->held_dir, sidecar, 0) < 0))
            return err_sys(err, "held/%s", fid);
    }
    return 0;
}

int store_gc(struct store *store, bool dry_run, struct gc_report *ret, struct err *err)
{
    struct map ids = {0};
    *ret = (struct gc_report){0};
    if (store->broken)
        return err_set(err, ERR_REFUSED, "%s could not be read in full; nothing is removed",
                       store->path);
    if (store->unreadable)
        return err_set(err, ERR_REFUSED,
                       "%s: %zu manifest(s) cannot be read; nothing is removed until they are "
                       "repaired or moved away",
                       store->path, store->unreadable);
    mark(store, &ids);
    int r = sweep_objects(store, &ids, dry_run, ret, err);
    if (r == 0)
        r = sweep_held(store, &ids, dry_run, ret, err);
    map_release(&ids);
    return r < 0 || dry_run || !ret->objects ? r : store_reload(store, NULL, err);
}
