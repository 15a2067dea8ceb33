/* SPDX-License-Identifier: MIT */
/* What belongs to a file beside its bytes. */
#include "ops/meta.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct timespec timespec_of(int64_t ns)
{
    int64_t rest = (ns % 1000000000 + 1000000000) % 1000000000; /* times before 1970, too */
    return (struct timespec){.tv_sec = (time_t)((ns - rest) / 1000000000), .tv_nsec = (long)rest};
}

void meta_describe(struct manifest *m, const char *path, const struct stat *st)
{
    AUTO_BUF struct buf text = {0};
    m->path = arena_strdup(&m->arena, path);
    m->size = (uint64_t)st->st_size;
    m->mode = st->st_mode & 07777;
    m->uid = st->st_uid;
    m->gid = st->st_gid;
    m->mtime_ns = file_nanoseconds(&st->st_mtim);
    m->atime_ns = file_nanoseconds(&st->st_atim);
    buf_printf(&text, "%s\n%llu %llu %lld %lld", path, (unsigned long long)st->st_dev,
               (unsigned long long)st->st_ino, (long long)st->st_size, (long long)m->mtime_ns);
    struct hash128 id = hash128_of(text.data, text.len);
    hash128_hex(m->fid, &id);
}

int meta_read(int fd, struct manifest *m, struct err *err)
{
    ssize_t n = flistxattr(fd, NULL, 0);
    if (n <= 0)
        return n < 0 && errno != ENOTSUP ? err_sys(err, "extended attributes") : 0;
    AUTO_FREE char *names = mem_zalloc((size_t)n + 1);
    n = flistxattr(fd, names, (size_t)n);
    if (n < 0)
        return err_sys(err, "extended attributes");
    for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
        ssize_t size = fgetxattr(fd, name, NULL, 0);
        if (size < 0)
            return err_sys(err, "extended attribute %s", name);
        void *value = arena_alloc(&m->arena, (size_t)size + 1);
        if (fgetxattr(fd, name, value, (size_t)size) != size)
            return err_sys(err, "extended attribute %s", name);
        struct manifest_xattr *xattr = ARRAY_ADD(m->xattrs, m->xattr_count, m->xattr_cap);
        *xattr = (struct manifest_xattr){arena_strdup(&m->arena, name), value, (size_t)size};
    }
    return 0;
}

bool meta_is_same(int fd, const struct manifest *m)
{
    struct manifest now = {0};
    struct stat st;
    bool same = fstat(fd, &st) == 0 && (st.st_mode & 07777) == m->mode && st.st_uid == m->uid &&
                st.st_gid == m->gid && meta_read(fd, &now, NULL) == 0 &&
                now.xattr_count == m->xattr_count;
    for (size_t i = 0; i < m->xattr_count && same; i++)
        same = strcmp(now.xattrs[i].name, m->xattrs[i].name) == 0 &&
               now.xattrs[i].size == m->xattrs[i].size &&
               memcmp(now.xattrs[i].value, m->xattrs[i].value, m->xattrs[i].size) == 0;
    manifest_release(&now);
    return same;
}

static bool in_group(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups(COUNT_OF(groups), groups);
    bool found = gid == getegid();
    for (int i = 0; i < n; i++)
        found |= groups[i] == gid;
    return found;
}

/* Flags of an inode (chattr) that the file has, and its folder does not hand on. */
static int check_flags(int fd, const char *folder, struct err *err)
{
    static const struct {
        int flag;
        const char *name;
    } names[] = {{FS_IMMUTABLE_FL, "immutable"},    {FS_APPEND_FL, "append-only"},
                 {FS_NODUMP_FL, "no dump"},         {FS_NOATIME_FL, "no access time"},
                 {FS_SYNC_FL, "synchronous"},       {FS_SECRM_FL, "secure removal"},
                 {FS_UNRM_FL, "can be undeleted"},  {FS_COMPR_FL, "compressed"},
                 {FS_NOCOW_FL, "no copy on write"}, {FS_JOURNAL_DATA_FL, "journalled"}};
    int own = 0, handed = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &own) < 0)
        return 0; /* this file system has none */
    AUTO_FD int dir = file_open_dir(AT_FDCWD, folder, NULL);
    if (dir >= 0 && ioctl(dir, FS_IOC_GETFLAGS, &handed) < 0)
        handed = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (own & ~handed & names[i].flag)
            return err_set(err, ERR_REFUSED, "its flag \"%s\" (chattr) could not be given back",
                           names[i].name);
    return 0;
}

int meta_can_restore(int fd, const struct manifest *m, struct err *err)
{
    AUTO_FREE char *dir = file_dir(m->path);
    if (geteuid() != 0 && m->uid != geteuid())
        return err_set(err, ERR_REFUSED,
                       "it belongs to another user: its owner could not be "
                       "given back");
    if (geteuid() != 0 && !in_group(m->gid))
        return err_set(err, ERR_REFUSED,
                       "it belongs to a group that you are not in: it could not "
                       "be given back");
    if (geteuid() != 0)
        for (size_t i = 0; i < m->xattr_count; i++)
            if (strncmp(m->xattrs[i].name, "security.", 9) == 0 &&
                strcmp(m->xattrs[i].name, "security.selinux") != 0)
                return err_set(err, ERR_REFUSED, "its attribute %s could not be given back",
                               m->xattrs[i].name);
    if (m->mtime_ns == INT64_MAX || m->mtime_ns == INT64_MIN)
        return err_set(err, ERR_REFUSED, "its time is out of range: it could not be given back");
    if (access(dir, W_OK | X_OK) < 0)
        return err_sys(err, "%s", dir);
    return check_flags(fd, dir, err);
}

static bool is_acl(const char *name)
{
    return strncmp(name, "system.posix_acl", 16) == 0;
}

/* What the folder's defaults added and the file did not have. */
static void remove_others(int fd, const struct manifest *m)
{
    char names[4096];
    ssize_t n = flistxattr(fd, names, sizeof names);
    for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
        bool listed = strncmp(name, "security.", 9) == 0;
        for (size_t i = 0; i < m->xattr_count; i++)
            listed |= strcmp(m->xattrs[i].name, name) == 0;
        if (!listed)
            (void)fremovexattr(fd, name);
    }
}

/* The attributes, ACLs or all others: an ACL is part of the mode, and comes behind it. */
static int write_xattrs(int fd, const struct manifest *m, bool acls, bool own, bool copy,
                        struct err *err)
{
    for (size_t i = 0; i < m->xattr_count; i++) {
        const struct manifest_xattr *x = &m->xattrs[i];
        bool grants = strncmp(x->name, "security.", 9) == 0 || strncmp(x->name, "trusted.", 8) == 0;
        if (is_acl(x->name) == acls && (own || !grants) &&
            fsetxattr(fd, x->name, x->value, x->size, 0) < 0 && !copy &&
            strcmp(x->name, "security.selinux") != 0)
            return err_sys(err, "giving back the attribute %s", x->name);
    }
    return 0;
}

int meta_write(int fd, const struct manifest *m, const struct store *store, bool copy,
               struct err *err)
{
    bool own = store_is_own(store), known = own && !store_is_confined(store);
    struct timespec times[2] = {timespec_of(m->atime_ns), timespec_of(m->mtime_ns)};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, "attributes");
    if ((own || m->uid == store_owner(store)) && (st.st_uid != m->uid || st.st_gid != m->gid) &&
        fchown(fd, m->uid, m->gid) < 0 && !copy && own)
        return err_sys(err, "giving back the owner");
    remove_others(fd, m);
    int r = write_xattrs(fd, m, false, known, copy, err);
    if (r == 0 && fchmod(fd, known ? m->mode : m->mode & 01777) < 0)
        r = err_sys(err, "giving back the mode");
    if (r == 0)
        r = write_xattrs(fd, m, true, known, copy, err);
    if (r < 0)
        return r;
    if (futimens(fd, times) < 0 && !copy)
        return err_sys(err, "giving back the times");
    return 0;
}
