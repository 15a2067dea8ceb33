/* SPDX-License-Identifier: MIT */
/*
 * The place of a stored file: what lies there, and what is put back. Everything goes by the folder,
 * which is opened beneath the manifest's root without following links.
 */
#include "store/store.h"

#include "base/file.h"
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = TREE_CHUNK };

/* Whether every part of a relative path is a name: none is empty, "." or "..". */
static bool is_plain(const char *rel)
{
    for (const char *part = rel;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += n;
        if (!*part)
            return true;
    }
}

/* The part of an absolute path below a folder; NULL where it does not lie below it. */
static const char *below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    while (n && folder[n - 1] == '/')
        n--;
    if (strncmp(path, folder, n) != 0 || path[n] != '/')
        return NULL;
    return is_plain(path + n + 1) ? path + n + 1 : NULL;
}

/* The folder rel below one that is open, made on the way where it is missing. */
static int make_beneath(int top, const char *rel, struct err *err)
{
    AUTO_FD int dir = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *copy = mem_strdup(rel);
    char *save = NULL;
    for (char *part = strtok_r(copy, "/", &save); part && dir >= 0;
         part = strtok_r(NULL, "/", &save)) {
        if (mkdirat(dir, part, 0755) == 0)
            (void)file_sync_dir(dir, NULL);
        int next = openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    return dir < 0 ? err_sys(err, "%s", rel) : TAKE_FD(dir);
}

static int open_beneath(const char *root, const char *rel, bool make, struct err *err)
{
    AUTO_FREE char *folder = file_dir(rel);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, root, err);
    if (dir < 0 || !strchr(rel, '/'))
        return dir < 0 ? dir : TAKE_FD(dir);
    return make ? make_beneath(dir, folder, err)
                : file_open_beneath(dir, folder, O_RDONLY | O_DIRECTORY, false, err);
}

static int open_folder(const struct store *store, const struct manifest *m, const char *path,
                       bool make, struct err *err)
{
    const char *rel = below(path, m->root);
    if (!rel)
        return err_set(err, ERR_REFUSED, "%s: does not lie below its root %s", path, m->root);
    if (store->homeless)
        return err_set(
            err, ERR_REFUSED,
            "%s: the store %s is not known to be yours, and lies beside your home folder "
            "or in it: it writes nothing until you trust it (tare trust %s)",
            path, store->path, store->path);
    if (!store->confined)
        return open_beneath(m->root, rel, make, err);
    rel = below(path, store->confined);
    if (!rel)
        return err_set(err, ERR_REFUSED,
                       "%s: does not lie below %s, the only folder that this store may write to "
                       "until you trust it (tare trust %s)",
                       path, store->confined, store->path);
    return open_beneath(store->confined, rel, make, err);
}

int store_open_folder(const struct store *store, const struct manifest *m, const char *path,
                      struct err *err)
{
    return open_folder(store, m, path, false, err);
}

int store_make_folder(const struct store *store, const struct manifest *m, const char *path,
                      struct err *err)
{
    return open_folder(store, m, path, true, err);
}

char *store_aside_name(const struct manifest *m)
{
    return mem_printf(".tare-aside-%s", m->fid);
}

char *store_restore_name(const struct manifest *m)
{
    return mem_printf(".tare-restore-%s", m->fid);
}

char *store_note_path(const struct manifest *m)
{
    return mem_printf("%s.tare", m->path);
}

/* Hashes the bytes of one range: its tree, and on into the whole file's XXH3-128. */
static int hash_range(int fd, uint64_t offset, uint64_t bytes, char *block, struct hasher *whole,
                      struct sha256 *ret, struct err *err)
{
    struct hash_tree tree = {0};
    int r = 0;
    for (uint64_t at = 0; at < bytes && r == 0; at += BLOCK) {
        size_t n = (size_t)MIN(bytes - at, (uint64_t)BLOCK);
        r = file_pread(fd, block, n, offset + at, err);
        if (r < 0)
            break;
        hasher_update(whole, block, n);
        if (ret) {
            struct sha256 leaf = hash_tree_leaf(block, n);
            hash_tree_add(&tree, &leaf);
        }
    }
    if (ret)
        *ret = hash_tree_end(&tree, TREE_RANGE, bytes);
    return r;
}

/*
 * Whether a file of the right length has the manifest's bytes: by SHA-256 where the manifest has
 * one for every range, by XXH3-128 in any case. What the roster alone knows has no ranges.
 */
static bool has_bytes(int fd, const struct manifest *m)
{
    AUTO_FREE char *block = mem_alloc(BLOCK);
    struct hasher *whole = hasher_new(0);
    bool ranges = m->range_count > 0, same = true;
    for (size_t i = 0; i < m->range_count && same; i++) {
        const struct manifest_range *range = &m->ranges[i];
        struct sha256 seen;
        bool known = !sha256_is_zero(&range->sha);
        same = hash_range(fd, range->offset, range->bytes, block, whole, known ? &seen : NULL,
                          NULL) == 0 &&
               (!known || sha256_equal(&seen, &range->sha));
    }
    if (!ranges)
        same = hash_range(fd, 0, m->size, block, whole, NULL, NULL) == 0;
    struct hash128 hash = hasher_digest(whole);
    hasher_free(whole);
    return same && hash128_equal(&hash, &m->hash);
}

size_t store_companions_missing(const struct manifest *m)
{
    struct stat st;
    size_t missing = 0;
    for (size_t i = 0; i < m->companion_count; i++)
        missing += lstat(m->companions[i].path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
    return missing;
}

bool store_has_aside(const struct manifest *m, int folder, bool same, char **ret_name)
{
    struct stat st;
    *ret_name = store_aside_name(m);
    AUTO_FD int fd = file_open_regular(folder, *ret_name, &st, NULL);
    return fd >= 0 && (!same || ((uint64_t)st.st_size == m->size && has_bytes(fd, m)));
}

bool store_is_back(const struct store *store, const struct manifest *m)
{
    struct stat st;
    AUTO_FD int dir = store_open_folder(store, m, m->path, NULL);
    AUTO_FD int fd = dir < 0 ? -1 : file_open_regular(dir, file_base(m->path), &st, NULL);
    return fd >= 0 && (uint64_t)st.st_size == m->size && has_bytes(fd, m) && fsync(fd) == 0 &&
           file_sync_dir(dir, NULL) == 0;
}

/* Whether dir/name is a link with this text. */
static bool is_link(int dir, const char *name, const char *text)
{
    char target[4096];
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    return n >= 0 && (size_t)n == strlen(text) && memcmp(target, text, (size_t)n) == 0;
}

static int restore_link(const struct store *store, const struct manifest *m,
                        const struct manifest_link *link, struct err *err)
{
    struct err why = {0};
    AUTO_FD int dir = store_open_folder(store, m, link->path, &why);
    const char *name = file_base(link->path);
    if (dir == ERR_NOTFOUND)
        return 0; /* its folder is gone: nobody looks for it there */
    if (dir < 0)
        return err_set(err, dir, "%s", why.text);
    bool made = symlinkat(link->target, dir, name) == 0;
    if (!made && errno != EEXIST)
        return err_sys(err, "%s", link->path);
    if (!made && !is_link(dir, name, link->target))
        return 0; /* somebody made another one */
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {link->mtime_ns / 1000000000, (long)(link->mtime_ns % 1000000000)}};
    if (link->mtime_ns > 0 && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 &&
        errno != ENOTSUP)
        return err_sys(err, "the time of %s", link->path);
    return file_sync_dir(dir, err);
}

int store_restore_links(const struct store *store, const struct manifest *m, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < m->link_count && r == 0; i++)
        r = restore_link(store, m, &m->links[i], err);
    return r;
}

void store_remove_links(const struct store *store, const struct manifest *m)
{
    for (size_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &m->links[i];
        AUTO_FD int dir = store_open_folder(store, m, link->path, NULL);
        if (dir >= 0 && is_link(dir, file_base(link->path), link->target)) {
            (void)unlinkat(dir, file_base(link->path), 0);
            (void)file_sync_dir(dir, NULL);
        }
    }
}

/* The note in a folder, if what lies under its name is ours. */
static int remove_note(const struct manifest *m, int dir, struct err *err)
{
    AUTO_FREE char *path = store_note_path(m);
    const char *name = file_base(path);
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    int r = m->note ? file_read_all(dir, name, 8192, &text, &why) : ERR_NOTFOUND;
    if (r == ERR_NOTFOUND || r == ERR_LIMIT || r == ERR_UNSUPPORTED)
        return 0; /* none, or something else of that name */
    if (r < 0)
        return err_set(err, r, "%s", why.text);
    bool ours = !text.len || strncmp(text.data, STORE_NOTE_BEGIN, strlen(STORE_NOTE_BEGIN)) == 0;
    return ours && unlinkat(dir, name, 0) < 0 && errno != ENOENT ? err_sys(err, "%s", path) : 0;
}

int store_remove_note(const struct store *store, const struct manifest *m, struct err *err)
{
    struct err why = {0};
    if (!m->note)
        return 0;
    AUTO_FD int dir = store_open_folder(store, m, m->path, &why);
    return dir == ERR_NOTFOUND ? 0
           : dir < 0           ? err_set(err, dir, "%s", why.text)
                               : remove_note(m, dir, err);
}

int store_settle(const struct store *store, const struct manifest *m, struct err *err)
{
    AUTO_FD int dir = store_open_folder(store, m, m->path, err);
    int r = dir < 0 ? dir : remove_note(m, dir, err);
    if (r == 0)
        r = file_sync_dir(dir, err);
    return r < 0 ? r : store_restore_links(store, m, err);
}
