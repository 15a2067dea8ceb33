/* SPDX-License-Identifier: MIT */
/* Files: whole reads and writes, atomic replacement, opening beneath a root, directories. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int file_pread(int fd, void *dst, size_t n, uint64_t offset, struct err *err)
{
    char *p = dst;
    while (n) {
        ssize_t got = pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "reading at %llu", (unsigned long long)offset);
        if (got == 0)
            return err_set(err, ERR_CHANGED, "the file became shorter while it was read");
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

int file_pwrite(int fd, const void *src, size_t n, uint64_t offset, struct err *err)
{
    const char *p = src;
    while (n) {
        ssize_t put = pwrite(fd, p, n, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(err, "writing");
        p += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

/* The descriptor, if it is a regular file; else it is closed and an error given. */
static int check_regular(int opened, const char *path, struct stat *ret_stat, struct err *err)
{
    AUTO_FD int fd = opened;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "%s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED, "%s: not a regular file", path);
    if (ret_stat)
        *ret_stat = st;
    return TAKE_FD(fd);
}

int file_open_regular(int dir, const char *path, struct stat *ret_stat, struct err *err)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int fd = openat(dir, path, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dir, path, flags);
    return check_regular(fd, path, ret_stat, err);
}

bool file_path_is_safe(const char *path, size_t n)
{
    if (n == 0 || n >= 4096 || path[0] == '/' || memchr(path, '\0', n) || memchr(path, '\\', n))
        return false;
    if (n > 1 && path[1] == ':')
        return false;
    for (size_t i = 0; i <= n;) {
        const char *end = memchr(path + i, '/', n - i);
        size_t len = end ? (size_t)(end - path) - i : n - i;
        if (len == 0 || len > 255 || (len == 1 && path[i] == '.') ||
            (len == 2 && path[i] == '.' && path[i + 1] == '.'))
            return false;
        i += len + 1;
    }
    return true;
}

/* Component by component, for kernels without openat2: follows no link, and never goes up. */
static int walk_beneath(int root, const char *rel, int flags)
{
    if (rel[0] == '/' || strstr(rel, "..")) {
        errno = EXDEV;
        return -1;
    }
    AUTO_FD int dir = dup(root);
    AUTO_FREE char *copy = mem_strdup(rel);
    char *part = copy;
    for (char *slash; dir >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
        *slash = '\0';
        int next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    return dir < 0 ? -1 : openat(dir, part, flags | O_NOFOLLOW);
}

int file_open_beneath(int root, const char *rel, int flags, bool follow, struct err *err)
{
    struct open_how how = {
        .flags = (uint64_t)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (follow ? 0 : RESOLVE_NO_SYMLINKS),
    };
    int fd = (int)syscall(SYS_openat2, root, rel, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* EPERM: an old seccomp profile's answer */
        fd = walk_beneath(root, rel, flags | O_CLOEXEC);
    return fd < 0 ? err_sys(err, "%s", rel) : fd;
}

int file_open_found(const char *root, const char *path, struct stat *ret_stat, struct err *err)
{
    size_t n = strlen(root);
    if (strncmp(path, root, n) != 0 || path[n] != '/')
        return file_open_regular(AT_FDCWD, path, ret_stat, err);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, root, err);
    if (dir < 0)
        return dir;
    const char *rel = path + n + strspn(path + n, "/");
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct err why;
    AUTO_FD int fd = file_open_beneath(dir, rel, flags | O_NOATIME, false, &why);
    if (fd < 0 && errno == EPERM)
        fd = file_open_beneath(dir, rel, flags, false, &why);
    if (fd < 0)
        return err_set(err, fd, "%s", why.text);
    return check_regular(TAKE_FD(fd), path, ret_stat, err);
}

int file_read_all(int dir, const char *path, size_t max, struct buf *buf, struct err *err)
{
    struct stat st;
    AUTO_FD int fd = file_open_regular(dir, path, &st, err);
    if (fd < 0)
        return fd;
    if ((uint64_t)st.st_size > max)
        return err_set(err, ERR_LIMIT, "%s: larger than %zu bytes", path, max);
    AUTO_FREE char *data = mem_try((size_t)st.st_size + 1);
    if (!data)
        return err_set(err, ERR_LIMIT, "%s: not enough memory for its %lld bytes", path,
                       (long long)st.st_size);
    int r = file_pread(fd, data, (size_t)st.st_size, 0, err);
    if (r < 0)
        return err ? err_prefix(err, path) : r;
    buf_release(buf);
    data[st.st_size] = '\0';
    *buf = (struct buf){.len = (size_t)st.st_size, .cap = (size_t)st.st_size + 1};
    buf->data = TAKE_PTR(data);
    return 0;
}

int64_t file_nanoseconds(const struct timespec *time)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)time->tv_sec, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns))
        return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

int file_sync_dir(int dir, struct err *err)
{
    if (fsync(dir) < 0 && errno != EINVAL && errno != EROFS)
        return err_sys(err, "making a directory durable");
    return 0;
}

int file_replace(int dir, const char *name, const void *data, size_t n, mode_t mode,
                 struct err *err)
{
    char temporary[280];
    if (snprintf(temporary, sizeof temporary, ".%s.tmp", name) >= (int)sizeof temporary)
        return err_set(err, ERR_LIMIT, "%s: the name is too long", name);
    (void)unlinkat(dir, temporary, 0);
    AUTO_FD int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_sys(err, "%s", temporary);
    int r = file_pwrite(fd, data, n, 0, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s", temporary);
    if (close(TAKE_FD(fd)) < 0 && r == 0)
        r = err_sys(err, "%s", temporary);
    if (r == 0 && renameat(dir, temporary, dir, name) < 0)
        r = err_sys(err, "%s", name);
    if (r < 0)
        (void)unlinkat(dir, temporary, 0);
    return r < 0 ? r : file_sync_dir(dir, err);
}

/* Without RENAME_NOREPLACE: what is in the place stays there all the same. */
static int rename_by_link(int from_dir, const char *from, int to_dir, const char *to,
                          struct err *err)
{
    if (linkat(from_dir, from, to_dir, to, 0) == 0)
        return unlinkat(from_dir, from, 0) < 0 ? err_sys(err, "%s", from) : 0;
    if (errno == EEXIST || errno == ENOENT || errno == ENOSPC || errno == EIO)
        return err_sys(err, "%s", to);
    int place = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (place < 0)
        return err_sys(err, "%s", to);
    close(place);
    if (renameat(from_dir, from, to_dir, to) == 0)
        return 0;
    int r = err_sys(err, "%s", to);
    (void)unlinkat(to_dir, to, 0);
    return r;
}

int file_rename_new(int from_dir, const char *from, int to_dir, const char *to, struct err *err)
{
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
        return rename_by_link(from_dir, from, to_dir, to, err);
    return err_sys(err, "%s", to);
}

int file_write_new(const char *path, const void *data, size_t n, struct err *err)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return err_set(err, ERR_EXISTS, "%s: it is there already", path);
    if (fd < 0)
        return err_sys(err, "%s", path);
    int r = file_pwrite(fd, data, n, 0, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s", path);
    AUTO_FREE char *folder = file_dir(path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, folder, NULL);
    if (r == 0 && dir >= 0) /* of a folder that may not be read, the file alone */
        r = file_sync_dir(dir, err);
    if (r < 0)
        (void)unlink(path);
    return r;
}

enum { EXTENTS_MOST = 256 };

/*
 * Calls found for each extent of a file, until it returns non-zero. ERR_UNSUPPORTED where the
 * system does not tell.
 */
static int each_extent(int fd, int (*found)(void *context, const struct fiemap_extent *extent),
                       void *context)
{
    AUTO_FREE struct fiemap *map =
        mem_alloc(sizeof *map + EXTENTS_MOST * sizeof map->fm_extents[0]);
    for (uint64_t at = 0;;) {
        *map = (struct fiemap){.fm_start = at,
                               .fm_length = FIEMAP_MAX_OFFSET - at,
                               .fm_flags = at ? 0 : FIEMAP_FLAG_SYNC,
                               .fm_extent_count = EXTENTS_MOST};
        if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
            return ERR_UNSUPPORTED;
        for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
            const struct fiemap_extent *e = &map->fm_extents[i];
            int r = found(context, e);
            if (r != 0 || e->fe_flags & FIEMAP_EXTENT_LAST)
                return r;
            at = e->fe_logical + e->fe_length;
        }
        if (!map->fm_mapped_extents)
            return 0;
    }
}

static int add_place(void *context, const struct fiemap_extent *e)
{
    enum {
        VAGUE = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE |
                FIEMAP_EXTENT_DATA_TAIL
    };
    const uint64_t place[] = {e->fe_logical, e->fe_physical, e->fe_length};
    buf_add(context, place, sizeof place);
    return e->fe_flags & VAGUE || !e->fe_length ? ERR_UNSUPPORTED : 0;
}

int file_extents(int fd, struct hash128 *ret, struct err *err)
{
    AUTO_BUF struct buf places = {0};
    if (each_extent(fd, add_place, &places) < 0 || !places.len)
        return err_set(err, ERR_UNSUPPORTED, "its bytes have no place of their own");
    *ret = hash128_of(places.data, places.len);
    return 0;
}

/* Bytes of extents so far, and the compressed one whose size the next one tells. */
struct exclusive {
    uint64_t bytes, shared;
    struct fiemap_extent before;
};

/* A compressed extent is as long as it is to the one behind it, where that follows closely. */
static void add_compressed(struct exclusive *sum, const struct fiemap_extent *next)
{
    const struct fiemap_extent *e = &sum->before;
    uint64_t bytes = MIN(e->fe_length, (uint64_t)4096);
    if (!(e->fe_flags & FIEMAP_EXTENT_ENCODED))
        return;
    if (next && next->fe_physical > e->fe_physical &&
        next->fe_physical - e->fe_physical <= e->fe_length)
        bytes = next->fe_physical - e->fe_physical;
    *(e->fe_flags & FIEMAP_EXTENT_SHARED ? &sum->shared : &sum->bytes) += bytes;
}

static int add_extent(void *context, const struct fiemap_extent *e)
{
    struct exclusive *sum = context;
    add_compressed(sum, e);
    if (!(e->fe_flags & FIEMAP_EXTENT_ENCODED))
        *(e->fe_flags & FIEMAP_EXTENT_SHARED ? &sum->shared : &sum->bytes) += e->fe_length;
    sum->before = *e;
    return 0;
}

/*
 * Whether an overlay shows the file from a lower layer: its handle says so, where the kernel makes
 * one (struct ovl_fb of fs/overlayfs: padding 3, version, magic 0xfb, length, flags; 4: upper).
 */
static bool is_lower(int fd)
{
    enum { OVERLAY = 0x794c7630, HANDLE_KIND = 0xf8, MAGIC = 0xfb, UPPER = 4, ROOM = 128 };
    AUTO_FREE struct file_handle *handle = mem_zalloc(sizeof *handle + ROOM);
    struct statfs fs;
    int mount;
    handle->handle_bytes = ROOM;
    return fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAY &&
           name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH | 0x200 /* AT_HANDLE_FID */) ==
               0 &&
           handle->handle_type == HANDLE_KIND && handle->f_handle[4] == MAGIC &&
           !(handle->f_handle[6] & UPPER);
}

uint64_t file_exclusive(int fd, const struct stat *st)
{
    uint64_t blocks = (uint64_t)st->st_blocks * 512;
    struct exclusive sum = {0};
    if (is_lower(fd))
        return 0;
    if (each_extent(fd, add_extent, &sum) < 0)
        return blocks;
    add_compressed(&sum, NULL);
    /* Without compressed or shared extents the system's own number is the better one. */
    bool plain = !sum.shared && !(sum.before.fe_flags & FIEMAP_EXTENT_ENCODED);
    return plain ? blocks : MIN(blocks, sum.bytes);
}

/* The type of the file system with this device, as mountinfo has it: "ext4", "fuse.sshfs". */
static bool mount_type(dev_t dev, char type[64])
{
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    FILE *stream = fopen("/proc/self/mountinfo", "re");
    bool found = false;
    while (stream && !found && getline(&line, &size, stream) > 0) {
        unsigned major_number, minor_number;
        const char *rest = strstr(line, " - ");
        found = rest && sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) == 2 &&
                makedev(major_number, minor_number) == dev && sscanf(rest, " - %63s", type) == 1;
    }
    if (stream)
        fclose(stream);
    return found;
}

enum { FUSE = 0x65735546 };

bool file_has_ctime(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (unsigned)fs.f_type != FUSE && !file_on_network(fd);
}

bool file_on_network(int fd)
{
    static const unsigned remote[] = {
        0x6969 /* NFS */,        0x517b /* SMB */,       0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB2 */,   0x01021997 /* 9P */,    0x00c36400 /* Ceph */,
        0x0bd00bd0 /* Lustre */, 0x47504653 /* GPFS */,  0x19830326 /* BeeGFS */,
        0x5346414f /* AFS */,    0x7461636f /* OCFS2 */, 0x01161970 /* GFS2 */};
    static const char *const local[] = {"fuse",
                                        "fuseblk",
                                        "fuse.bindfs",
                                        "fuse.unionfs",
                                        "fuse.unionfs-fuse",
                                        "fuse.mergerfs",
                                        "fuse.ntfs-3g",
                                        "fuse.gocryptfs",
                                        "fuse.encfs",
                                        "fuse.cryfs",
                                        "fuse.fuse-overlayfs",
                                        "fuse.fuseiso"};
    struct statfs fs;
    struct stat st;
    char type[64] = "";
    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(remote); i++)
        if ((unsigned)fs.f_type == remote[i])
            return true;
    if ((unsigned)fs.f_type != FUSE)
        return false;
    if (fstat(fd, &st) == 0 && mount_type(st.st_dev, type))
        for (size_t i = 0; i < COUNT_OF(local); i++)
            if (strcmp(type, local[i]) == 0)
                return false;
    return true;
}

int file_open_dir(int dir, const char *path, struct err *err)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(err, "%s", path) : fd;
}

int file_make_dirs(const char *path, struct err *err)
{
    AUTO_FREE char *copy = mem_strdup(path);
    for (char *p = copy + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(copy, 0700);
        *p = '/';
    }
    struct stat st;
    if (mkdir(copy, 0700) < 0 && (errno != EEXIST || stat(copy, &st) < 0 || !S_ISDIR(st.st_mode)))
        return err_sys(err, "%s", path);
    return 0;
}

int file_free_space(const char *path, uint64_t *ret_free, struct err *err)
{
    struct statvfs vfs;
    AUTO_FREE char *place = mem_strdup(path);
    while (statvfs(place, &vfs) < 0) {
        char *slash = strrchr(place, '/');
        if (errno != ENOENT || !slash)
            return err_sys(err, "%s", path);
        slash[slash == place] = '\0';
    }
    *ret_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return 0;
}

char *file_join(const char *dir, const char *name)
{
    if (!*dir)
        return mem_strdup(name);
    return mem_printf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
}

const char *file_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *file_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int file_remove_below(int dir, struct err *err)
{
    DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!stream)
        return err_sys(err, "reading a directory");
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dir, entry->d_name, 0) == 0)
            continue;
        AUTO_FD int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (below < 0 || (r = file_remove_below(below, err)) == 0)
            if (below < 0 || unlinkat(dir, entry->d_name, AT_REMOVEDIR) < 0)
                r = err_sys(err, "%s", entry->d_name);
    }
    closedir(stream);
    return r;
}
