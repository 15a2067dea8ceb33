/* SPDX-License-Identifier: MIT */
/*
 * Whose a store is. By the opened folder and each folder above it: who owns one of them, or may
 * write to it, can put another store in its place.
 */
#include "store/store.h"

#include "base/file.h"
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a group is the caller's own and has nobody else in it. */
static bool is_private_group(gid_t gid)
{
    char space[8192];
    struct group group, *found = NULL;
    struct passwd user, *self = NULL;
    char user_space[4096];
    if (getpwuid_r(geteuid(), &user, user_space, sizeof user_space, &self) != 0 || !self ||
        self->pw_gid != gid || getgrgid_r(gid, &group, space, sizeof space, &found) != 0 || !found)
        return false;
    for (char **member = group.gr_mem; *member; member++)
        if (strcmp(*member, self->pw_name) != 0)
            return false;
    return true;
}

/* What makes a folder a stranger's; NULL: it is the caller's or root's, and they alone write. */
static const char *foreign_reason(const struct stat *st)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return "belongs to another user";
    if (st->st_mode & S_ISVTX)
        return NULL; /* others may add names, and cannot change these */
    if (st->st_mode & S_IWOTH)
        return "can be written to by everyone";
    if (st->st_mode & S_IWGRP && !is_private_group(st->st_gid))
        return "can be written to by a group";
    return NULL;
}

static char *path_of(int dir)
{
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 0 && path[0] == '/' ? mem_strndup(path, (size_t)n) : NULL;
}

/* The first folder from the store's upwards that is a stranger's: its path, and the reason. */
static char *find_foreign(const struct store *store, const char **ret_reason)
{
    struct stat st, above;
    AUTO_FD int dir = openat(store->dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    *ret_reason = "could not be looked at";
    while (dir >= 0 && fstat(dir, &st) == 0) {
        *ret_reason = foreign_reason(&st);
        if (*ret_reason)
            break;
        int parent = openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0 || fstat(parent, &above) < 0) {
            *ret_reason = "has a folder above it that could not be looked at";
            cleanup_fd(&parent);
            break;
        }
        bool top = above.st_dev == st.st_dev && above.st_ino == st.st_ino;
        close(dir);
        dir = parent;
        if (top)
            return NULL;
    }
    char *path = dir < 0 ? NULL : path_of(dir);
    return path ? path : mem_strdup(store->path);
}

/* Whether a folder is another one, or lies above it. */
static bool is_above(const char *folder, const char *other)
{
    size_t n = strlen(folder);
    return strncmp(folder, other, n) == 0 && (!other[n] || other[n] == '/' || folder[n - 1] == '/');
}

int store_check_trust(struct store *store, const struct store_access *access, struct err *err)
{
    struct stat st;
    const char *reason;
    if (fstat(store->dir, &st) < 0)
        return err_sys(err, "%s", store->path);
    AUTO_FREE char *path = path_of(store->dir);
    const char *real = path ? path : store->path;
    store->owner = st.st_uid;
    store->confined = file_dir(real);
    if (store->mode < STORE_GIVE)
        return 0;
    enum store_trust trust = access && access->trust
                                 ? access->trust(access->context, store->path, real, &st)
                                 : TRUST_NONE;
    AUTO_FREE char *foreign = find_foreign(store, &reason);
    if (foreign && trust != TRUST_GIVEN)
        return err_set(err, ERR_REFUSED,
                       "%s: %s %s: nothing is written with this store, or given back from it, "
                       "until you trust it (tare trust %s)",
                       store->path, strcmp(foreign, real) == 0 ? "it" : foreign, reason,
                       store->path);
    if (st.st_uid == geteuid() && trust != TRUST_NONE) {
        free(store->confined);
        store->confined = NULL;
    }
    /* Below the home folder nearly everything could be written. */
    if (trust == TRUST_NONE && access && access->home && is_above(store->confined, access->home))
        store->homeless = true;
    return 0;
}

bool store_is_own(const struct store *store)
{
    return store->owner == geteuid();
}

bool store_is_confined(const struct store *store)
{
    return store->confined != NULL;
}

uid_t store_owner(const struct store *store)
{
    return store->owner;
}

/* ---- what others may read ---- */

mode_t store_file_mode(const struct store *store)
{
    struct stat st;
    return 0600 | (fstat(store->dir, &st) == 0 ? st.st_mode & 0044 : 0);
}

int store_make_dir(const struct store *store, int parent, const char *name)
{
    struct stat st;
    if (mkdirat(parent, name, 0700) < 0)
        return -1;
    if (fstat(store->dir, &st) == 0 && st.st_mode & 0055)
        (void)fchmodat(parent, name, 0700 | (st.st_mode & 02055), 0);
    return 0;
}

void store_share(const struct store *store, int parent, const char *name)
{
    mode_t mode = store_file_mode(store) & 0044;
    if (mode)
        (void)fchmodat(parent, name, 0400 | mode, 0);
}

void store_inherit(const struct store *store, bool shared)
{
    struct stat above;
    AUTO_FD int parent = openat(store->dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fstat(parent, &above) < 0)
        return;
    /* A group of which the caller is none leaves the store the caller's alone. */
    bool given = fchown(store->dir, (uid_t)-1, above.st_gid) == 0;
    mode_t mode = 0700 | (given ? above.st_mode & S_ISGID : 0) |
                  (shared ? above.st_mode & (given ? 0055 : 0005) : 0);
    (void)fchmod(store->dir, mode);
}
