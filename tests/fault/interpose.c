/* SPDX-License-Identifier: MIT */
/*
 * Stands between the real program and the C library (LD_PRELOAD) and sees every system call that
 * reads or changes files below one folder. Driven by the environment:
 *   FAULT_SCOPE   the folder; calls elsewhere are left alone
 *   FAULT_COUNT   file: a line "CLASS NAME PATH" is appended for each call
 *   FAULT_KIND    what happens at one call: see kinds below
 *   FAULT_AT      at which: w:N the N-th call that changes something, r:N that reads something
 *   FAULT_RECORD  file: every change is written down in order, for tests/fault/crash.c
 *   FAULT_MALLOC  N: the N-th allocation of the process fails, N+: all from there on; 0: none
 *   FAULT_LACKS   what the file system cannot do, words of: leases, noreplace,
 *                 local (it says that it is NFS)
 * Both counts begin with 1. A run with one thread makes its changes in the same order each time.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { FDS = 4096, PATH_ROOM = 4096 };

/* Of calls. CREATE to META change something, the others only look. */
enum class { OPEN, READ, STAT, CREATE, WRITE, SYNC, CLOSE, NAME, META };
static const char *const class_names[] = {"open", "read",  "stat", "create", "write",
                                          "sync", "close", "name", "meta"};

enum kind {
    NONE,
    EIO_,
    ENOSPC_,
    EDQUOT_,
    EINTR_,
    ESTALE_,
    SHORT, /* half of the bytes */
    TORN,  /* half of the bytes are written, then the process dies */
    DIE,   /* before the call */
    AFTER, /* after the call */
    LIE,   /* the call is made, and EIO reported: as a network file system may do */
    FULL,  /* from here on there is no space */
    STOP,  /* the process stops before the call, until somebody lets it go on */
    DEAD,  /* from here on the disk answers every call with EIO */
};
static const char *const kind_names[] = {"none",   "eio",   "enospc", "edquot", "eintr",
                                         "estale", "short", "torn",   "die",    "after",
                                         "lie",    "full",  "stop",   "dead"};

static struct {
    bool on;
    char scope[PATH_ROOM];
    size_t scope_len;
    enum kind kind;
    char at_what; /* 'w', 'r' */
    long at;
    long changes, looks; /* so far; under lock */
    bool begun;          /* FULL and DEAD have begun */
    bool no_leases, no_noreplace, not_local;
    int count_fd, record_fd;
    char *paths[FDS]; /* of descriptors in scope; under lock */
    bool written[FDS];
    pthread_mutex_t lock;
} g = {.count_fd = -1, .record_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void start(void)
{
    const char *scope = getenv("FAULT_SCOPE"), *kind = getenv("FAULT_KIND");
    const char *at = getenv("FAULT_AT"), *count = getenv("FAULT_COUNT");
    const char *record = getenv("FAULT_RECORD"), *lacks = getenv("FAULT_LACKS");
    if (!scope)
        return;
    g.scope_len = strlen(scope);
    memcpy(g.scope, scope, g.scope_len + 1);
    for (size_t i = 0; kind && i < sizeof kind_names / sizeof *kind_names; i++)
        if (strcmp(kind, kind_names[i]) == 0)
            g.kind = (enum kind)i;
    g.no_leases = lacks && strstr(lacks, "leases");
    g.no_noreplace = lacks && strstr(lacks, "noreplace");
    g.not_local = lacks && strstr(lacks, "local");
    if (at) {
        g.at_what = at[0];
        g.at = atol(at + 2);
    }
    /* High numbers, so that the program's own descriptors stay as they would be. */
    if (count)
        g.count_fd = fcntl(REAL(open64)(count, O_WRONLY | O_CREAT | O_APPEND, 0600), F_DUPFD, 900);
    if (record)
        g.record_fd = fcntl(REAL(open64)(record, O_WRONLY | O_CREAT | O_TRUNC, 0600), F_DUPFD, 901);
    g.on = true;
    unsetenv("LD_PRELOAD"); /* programs that this one starts run without */
}

/* The absolute path of (dir, path), or NULL where that is out of scope. */
static const char *place(int dir, const char *path, char out[PATH_ROOM])
{
    if (!g.on || !path)
        return NULL;
    if (path[0] == '/')
        snprintf(out, PATH_ROOM, "%s", path);
    else if (dir >= 0 && dir < FDS && g.paths[dir] && strcmp(path, ".") == 0)
        snprintf(out, PATH_ROOM, "%s", g.paths[dir]);
    else if (dir >= 0 && dir < FDS && g.paths[dir])
        snprintf(out, PATH_ROOM, "%s/%s", g.paths[dir], path);
    else
        return NULL;
    bool in = strncmp(out, g.scope, g.scope_len) == 0 &&
              (out[g.scope_len] == '/' || out[g.scope_len] == '\0');
    return in ? out : NULL;
}

static const char *place_fd(int fd)
{
    return g.on && fd >= 0 && fd < FDS ? g.paths[fd] : NULL;
}

static void remember(int fd, const char *path, bool written)
{
    if (fd < 0 || fd >= FDS || !path)
        return;
    pthread_mutex_lock(&g.lock);
    free(g.paths[fd]);
    g.paths[fd] = strdup(path);
    g.written[fd] = written;
    pthread_mutex_unlock(&g.lock);
}

static void put(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        long done = REAL(syscall)(SYS_write, fd, p, n);
        if (done <= 0)
            abort();
        p += done;
        n -= (size_t)done;
    }
}

static void line(int fd, const char *format, ...)
{
    char text[3 * PATH_ROOM];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(fd, text, (size_t)n);
}

static bool takes_space(enum class class)
{
    return class == CREATE || class == WRITE || class == SYNC || class == META || class == NAME;
}

/* Counts a call in scope; what is to happen to it. */
static enum kind meet(enum class class, const char *name, const char *path)
{
    enum kind fate = NONE;
    if (!path)
        return NONE;
    pthread_mutex_lock(&g.lock);
    bool change = class >= CREATE;
    long at = change ? ++g.changes : ++g.looks;
    bool here = g.kind && (g.at_what == 'w') == change && at == g.at;
    if (g.count_fd >= 0)
        line(g.count_fd, "%s %s %s\n", class_names[class], name, path + g.scope_len);
    g.begun |= here && (g.kind == FULL || g.kind == DEAD);
    if (g.kind == DEAD || g.kind == FULL)
        fate = g.begun && (g.kind == DEAD || takes_space(class)) ? g.kind : NONE;
    else if (here)
        fate = g.kind;
    pthread_mutex_unlock(&g.lock);
    if (fate == DIE)
        kill(getpid(), SIGKILL);
    if (fate == STOP)
        kill(getpid(), SIGSTOP);
    return fate;
}

/* The error that a fate makes of a call, or 0. */
static int error_of(enum kind fate)
{
    switch (fate) {
    case EIO_:
    case DEAD:
        return EIO;
    case ENOSPC_:
    case FULL:
        return ENOSPC;
    case EDQUOT_:
        return EDQUOT;
    case EINTR_:
        return EINTR;
    case ESTALE_:
        return ESTALE;
    default:
        return 0;
    }
}

/* What is left to do once the call was made. */
static long settle(enum kind fate, long result)
{
    if (fate == AFTER)
        kill(getpid(), SIGKILL);
    if (fate == LIE && result >= 0) {
        errno = EIO;
        return -1;
    }
    return result;
}

/* A call that does, or does not, happen. */
#define CALL(class, name, path, expression)                                                        \
    ({                                                                                             \
        enum kind fate_ = meet(class, name, path);                                                 \
        int error_ = error_of(fate_);                                                              \
        long result_;                                                                              \
        if (error_) {                                                                              \
            errno = error_;                                                                        \
            result_ = -1;                                                                          \
        } else {                                                                                   \
            result_ = settle(fate_, (long)(expression));                                           \
        }                                                                                          \
        result_;                                                                                   \
    })

/* ---- what is written down for replaying ---- */

static bool recording(const char *path)
{
    return path && g.record_fd >= 0;
}

static unsigned long long inode_of(int fd)
{
    struct stat64 st;
    return REAL(fstat64)(fd, &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

#define RECORD(path, ...)                                                                          \
    do {                                                                                           \
        if (recording(path)) {                                                                     \
            int errno_ = errno;                                                                    \
            pthread_mutex_lock(&g.lock);                                                           \
            line(g.record_fd, __VA_ARGS__);                                                        \
            pthread_mutex_unlock(&g.lock);                                                         \
            errno = errno_;                                                                        \
        }                                                                                          \
    } while (0)

static void record_write(int fd, const char *path, const void *data, size_t n, long long at)
{
    if (!recording(path))
        return;
    pthread_mutex_lock(&g.lock);
    line(g.record_fd, "write %llu %lld %zu\n", inode_of(fd), at, n);
    put(g.record_fd, data, n);
    put(g.record_fd, "\n", 1);
    pthread_mutex_unlock(&g.lock);
}

/* ---- opening and closing ---- */

static int opened(int fd, const char *path, int flags, bool existed)
{
    if (fd < 0 || !path)
        return fd;
    remember(fd, path, (flags & O_ACCMODE) != O_RDONLY);
    if (!existed && flags & O_CREAT)
        RECORD(path, "create %llu %s\n", inode_of(fd), path + g.scope_len);
    else if (flags & O_TRUNC)
        RECORD(path, "truncate %llu 0\n", inode_of(fd));
    return fd;
}

static int open_at(const char *name, int dir, const char *path, int flags, mode_t mode)
{
    char room[PATH_ROOM];
    const char *at = place(dir, path, room);
    bool makes = flags & (O_CREAT | O_TRUNC) && (flags & O_TMPFILE) != O_TMPFILE;
    bool existed = at && makes && REAL(faccessat)(AT_FDCWD, at, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)CALL(makes ? CREATE : OPEN, name, at, REAL(openat64)(dir, path, flags, mode));
    return opened(fd, at, flags, existed || !makes);
}

#define MODE_OF(flags)                                                                             \
    ({                                                                                             \
        mode_t mode_ = 0;                                                                          \
        if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                   \
            va_list args_;                                                                         \
            va_start(args_, flags);                                                                \
            mode_ = (mode_t)va_arg(args_, int);                                                    \
            va_end(args_);                                                                         \
        }                                                                                          \
        mode_;                                                                                     \
    })

int open64(const char *path, int flags, ...)
{
    return open_at("open", AT_FDCWD, path, flags, MODE_OF(flags));
}

int openat64(int dir, const char *path, int flags, ...)
{
    return open_at("openat", dir, path, flags, MODE_OF(flags));
}

/* The one raw call of the program: openat2. */
long syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number != SYS_openat2)
        return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    char room[PATH_ROOM];
    const char *at = place((int)a[0], (const char *)a[1], room);
    const struct open_how *how = (const struct open_how *)a[2];
    long fd = CALL(OPEN, "openat2", at, REAL(syscall)(number, a[0], a[1], a[2], a[3]));
    return opened((int)fd, at, (int)how->flags, true);
}

int close(int fd)
{
    const char *path = place_fd(fd);
    if (!path || !g.written[fd])
        path = NULL;
    enum kind fate = meet(CLOSE, "close", path);
    if (place_fd(fd)) {
        pthread_mutex_lock(&g.lock);
        free(g.paths[fd]);
        g.paths[fd] = NULL;
        pthread_mutex_unlock(&g.lock);
    }
    /* A close that fails has closed the descriptor all the same. */
    int result = (int)settle(fate, REAL(close)(fd));
    if (!error_of(fate))
        return result;
    errno = error_of(fate);
    return -1;
}

int dup(int fd)
{
    int copy = REAL(dup)(fd);
    remember(copy, place_fd(fd), false);
    return copy;
}

DIR *opendir(const char *path)
{
    char room[PATH_ROOM];
    enum kind fate = meet(OPEN, "opendir", place(AT_FDCWD, path, room));
    if (error_of(fate)) {
        errno = error_of(fate);
        return NULL;
    }
    DIR *stream = REAL(opendir)(path);
    if (stream)
        remember(dirfd(stream), place(AT_FDCWD, path, room), false);
    return stream;
}

int closedir(DIR *stream)
{
    int fd = dirfd(stream);
    if (place_fd(fd)) {
        pthread_mutex_lock(&g.lock);
        free(g.paths[fd]);
        g.paths[fd] = NULL;
        pthread_mutex_unlock(&g.lock);
    }
    return REAL(closedir)(stream);
}

/* ---- bytes ---- */

static size_t share(enum kind fate, size_t n)
{
    return (fate == SHORT || fate == TORN) && n > 1 ? n / 2 : n;
}

static ssize_t after_write(enum kind fate, ssize_t done)
{
    if (fate == TORN)
        kill(getpid(), SIGKILL);
    return (ssize_t)settle(fate, done);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t at)
{
    enum kind fate = meet(READ, "pread", place_fd(fd));
    if (error_of(fate)) {
        errno = error_of(fate);
        return -1;
    }
    return (ssize_t)settle(fate, REAL(pread64)(fd, data, share(fate, n), at));
}

ssize_t read(int fd, void *data, size_t n)
{
    enum kind fate = meet(READ, "read", place_fd(fd));
    if (error_of(fate)) {
        errno = error_of(fate);
        return -1;
    }
    return (ssize_t)settle(fate, REAL(read)(fd, data, share(fate, n)));
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    const char *path = place_fd(fd);
    enum kind fate = meet(WRITE, "pwrite", path);
    if (error_of(fate)) {
        errno = error_of(fate);
        return -1;
    }
    ssize_t done = REAL(pwrite64)(fd, data, share(fate, n), at);
    if (done > 0)
        record_write(fd, path, data, (size_t)done, (long long)at);
    return after_write(fate, done);
}

ssize_t write(int fd, const void *data, size_t n)
{
    const char *path = place_fd(fd);
    enum kind fate = meet(WRITE, "write", path);
    if (error_of(fate)) {
        errno = error_of(fate);
        return -1;
    }
    ssize_t done = REAL(write)(fd, data, share(fate, n));
    if (done > 0 && recording(path)) {
        off64_t end = lseek64(fd, 0, SEEK_CUR);
        record_write(fd, path, data, (size_t)done, (long long)end - done);
    }
    return after_write(fate, done);
}

static int sync_fd(const char *name, int fd, int (*call)(int))
{
    const char *path = place_fd(fd);
    int r = (int)CALL(SYNC, name, path, call(fd));
    struct stat64 st;
    if (r == 0 && recording(path) && REAL(fstat64)(fd, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            RECORD(path, "syncdir %s\n", path + g.scope_len);
        else
            RECORD(path, "sync %llu\n", (unsigned long long)st.st_ino);
    }
    return r;
}

int fsync(int fd)
{
    return sync_fd("fsync", fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return sync_fd("fdatasync", fd, REAL(fdatasync));
}

int ftruncate64(int fd, off64_t length)
{
    const char *path = place_fd(fd);
    int r = (int)CALL(META, "ftruncate", path, REAL(ftruncate64)(fd, length));
    if (r == 0)
        RECORD(path, "truncate %llu %lld\n", inode_of(fd), (long long)length);
    return r;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    const char *path = place_fd(fd);
    int r = (int)CALL(META, "fallocate", path, REAL(fallocate64)(fd, mode, offset, length));
    if (r == 0)
        RECORD(path, "truncate %llu %lld\n", inode_of(fd), (long long)(offset + length));
    return r;
}

/* ---- names ---- */

static int rename_at(const char *name, int from_dir, const char *from, int to_dir, const char *to,
                     unsigned flags)
{
    char a[PATH_ROOM], b[PATH_ROOM];
    const char *from_at = place(from_dir, from, a), *to_at = place(to_dir, to, b);
    if (flags && from_at && g.no_noreplace) {
        errno = EINVAL;
        return -1;
    }
    int r = (int)CALL(NAME, name, from_at,
                      flags ? REAL(renameat2)(from_dir, from, to_dir, to, flags)
                            : REAL(renameat)(from_dir, from, to_dir, to));
    if (r == 0 && to_at)
        RECORD(from_at, "rename %s %s\n", from_at + g.scope_len, to_at + g.scope_len);
    return r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return rename_at("renameat", from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return rename_at("renameat2", from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to)
{
    return rename_at("rename", AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    char a[PATH_ROOM], b[PATH_ROOM];
    const char *from_at = place(from_dir, from, a), *to_at = place(to_dir, to, b);
    int r = (int)CALL(NAME, "linkat", to_at, REAL(linkat)(from_dir, from, to_dir, to, flags));
    if (r == 0 && from_at)
        RECORD(to_at, "link %s %s\n", from_at + g.scope_len, to_at + g.scope_len);
    return r;
}

int symlinkat(const char *target, int dir, const char *path)
{
    char room[PATH_ROOM];
    const char *at = place(dir, path, room);
    int r = (int)CALL(NAME, "symlinkat", at, REAL(symlinkat)(target, dir, path));
    if (r == 0)
        RECORD(at, "symlink %s %s\n", target, at + g.scope_len);
    return r;
}

static int unlink_at(const char *name, int dir, const char *path, int flags)
{
    char room[PATH_ROOM];
    const char *at = place(dir, path, room);
    int r = (int)CALL(NAME, name, at, REAL(unlinkat)(dir, path, flags));
    if (r == 0)
        RECORD(at, "%s %s\n", flags & AT_REMOVEDIR ? "rmdir" : "unlink", at + g.scope_len);
    return r;
}

int unlinkat(int dir, const char *path, int flags)
{
    return unlink_at("unlinkat", dir, path, flags);
}

int unlink(const char *path)
{
    return unlink_at("unlink", AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlink_at("rmdir", AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    char room[PATH_ROOM];
    const char *at = place(dir, path, room);
    int r = (int)CALL(NAME, "mkdirat", at, REAL(mkdirat)(dir, path, mode));
    if (r == 0)
        RECORD(at, "mkdir %s\n", at + g.scope_len);
    return r;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- what belongs to a file beside its bytes ---- */

int fchmod(int fd, mode_t mode)
{
    const char *path = place_fd(fd);
    int r = (int)CALL(META, "fchmod", path, REAL(fchmod)(fd, mode));
    if (r == 0)
        RECORD(path, "mode %llu %o\n", inode_of(fd), (unsigned)mode);
    return r;
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
    char room[PATH_ROOM];
    return (int)CALL(META, "fchmodat", place(dir, path, room),
                     REAL(fchmodat)(dir, path, mode, flags));
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    return (int)CALL(META, "fchown", place_fd(fd), REAL(fchown)(fd, uid, gid));
}

int futimens(int fd, const struct timespec times[2])
{
    const char *path = place_fd(fd);
    int r = (int)CALL(META, "futimens", path, REAL(futimens)(fd, times));
    if (r == 0)
        RECORD(path, "mtime %llu %lld.%09ld\n", inode_of(fd), (long long)times[1].tv_sec,
               times[1].tv_nsec);
    return r;
}

int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
    char room[PATH_ROOM];
    const char *at = place(dir, path, room);
    int r = (int)CALL(META, "utimensat", at, REAL(utimensat)(dir, path, times, flags));
    if (r == 0)
        RECORD(at, "linktime %lld.%09ld %s\n", (long long)times[1].tv_sec, times[1].tv_nsec,
               at + g.scope_len);
    return r;
}

int fsetxattr(int fd, const char *name, const void *value, size_t n, int flags)
{
    return (int)CALL(META, "fsetxattr", place_fd(fd), REAL(fsetxattr)(fd, name, value, n, flags));
}

int fremovexattr(int fd, const char *name)
{
    return (int)CALL(META, "fremovexattr", place_fd(fd), REAL(fremovexattr)(fd, name));
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t n)
{
    return (ssize_t)CALL(STAT, "fgetxattr", place_fd(fd), REAL(fgetxattr)(fd, name, value, n));
}

ssize_t flistxattr(int fd, char *names, size_t n)
{
    return (ssize_t)CALL(STAT, "flistxattr", place_fd(fd), REAL(flistxattr)(fd, names, n));
}

/* ---- looking ---- */

int stat64(const char *path, struct stat64 *st)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "stat", place(AT_FDCWD, path, room), REAL(stat64)(path, st));
}

int lstat64(const char *path, struct stat64 *st)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "lstat", place(AT_FDCWD, path, room), REAL(lstat64)(path, st));
}

int fstat64(int fd, struct stat64 *st)
{
    return (int)CALL(STAT, "fstat", place_fd(fd), REAL(fstat64)(fd, st));
}

int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "fstatat", place(dir, path, room),
                     REAL(fstatat64)(dir, path, st, flags));
}

int access(const char *path, int mode)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "access", place(AT_FDCWD, path, room), REAL(access)(path, mode));
}

int faccessat(int dir, const char *path, int mode, int flags)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "faccessat", place(dir, path, room),
                     REAL(faccessat)(dir, path, mode, flags));
}

ssize_t readlink(const char *path, char *target, size_t n)
{
    char room[PATH_ROOM];
    return (ssize_t)CALL(STAT, "readlink", place(AT_FDCWD, path, room),
                         REAL(readlink)(path, target, n));
}

ssize_t readlinkat(int dir, const char *path, char *target, size_t n)
{
    char room[PATH_ROOM];
    return (ssize_t)CALL(STAT, "readlinkat", place(dir, path, room),
                         REAL(readlinkat)(dir, path, target, n));
}

struct dirent64 *readdir64(DIR *stream)
{
    enum kind fate = meet(READ, "readdir", place_fd(dirfd(stream)));
    if (error_of(fate)) {
        errno = error_of(fate);
        return NULL;
    }
    struct dirent64 *entry = REAL(readdir64)(stream);
    settle(fate, 0);
    return entry;
}

int statvfs64(const char *path, struct statvfs64 *vfs)
{
    char room[PATH_ROOM];
    return (int)CALL(STAT, "statvfs", place(AT_FDCWD, path, room), REAL(statvfs64)(path, vfs));
}

int fstatfs64(int fd, struct statfs64 *fs)
{
    int r = (int)CALL(STAT, "fstatfs", place_fd(fd), REAL(fstatfs64)(fd, fs));
    if (r == 0 && place_fd(fd) && g.not_local)
        fs->f_type = 0x6969;
    return r;
}

/* Locks and leases; everything else of fcntl is about descriptors alone. */
int fcntl64(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (command == F_SETLEASE && place_fd(fd) && g.no_leases) {
        errno = EINVAL;
        return -1;
    }
    bool lock = command == F_OFD_SETLK || command == F_SETLK || command == F_SETLEASE;
    return (int)CALL(STAT, "fcntl", lock ? place_fd(fd) : NULL,
                     REAL(fcntl64)(fd, command, argument));
}

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct {
    bool known, on, all;
    long at;
    _Atomic long count;
} memory;

/* Whether this allocation fails. The environment is read once, before anything else runs. */
static bool starved(void)
{
    if (!memory.known) {
        memory.known = true;
        const char *at = getenv("FAULT_MALLOC");
        memory.on = at != NULL;
        memory.at = at ? atol(at) : 0;
        memory.all = at && strchr(at, '+');
    }
    if (!memory.on)
        return false;
    long count = ++memory.count;
    bool fails = memory.at && (memory.all ? count >= memory.at : count == memory.at);
    if (fails)
        errno = ENOMEM;
    return fails;
}

void *malloc(size_t size)
{
    return starved() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return starved() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return starved() ? NULL : __libc_realloc(old, size);
}

/* How many there were is told at the end, where that is asked for. */
__attribute__((destructor)) static void tell_memory(void)
{
    if (memory.on && !memory.at && g.count_fd >= 0)
        line(g.count_fd, "allocations %ld\n", (long)memory.count);
}

/* SQLite waits between tries for locks that will not come: no test has time for that. */
int usleep(useconds_t microseconds)
{
    return g.on ? 0 : REAL(usleep)(microseconds);
}

unsigned sleep(unsigned seconds)
{
    return g.on ? 0 : REAL(sleep)(seconds);
}
