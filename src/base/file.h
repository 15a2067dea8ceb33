/* SPDX-License-Identifier: MIT */
/* Files: whole reads and writes, atomic replacement, opening beneath a root, directories. */
#ifndef TARE_BASE_FILE_H
#define TARE_BASE_FILE_H

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#include <sys/stat.h>

/* Reads or writes all n bytes, over short counts and EINTR. A file that ends early: ERR_CHANGED. */
int file_pread(int fd, void *dst, size_t n, uint64_t offset, struct err *err);
int file_pwrite(int fd, const void *src, size_t n, uint64_t offset, struct err *err);

/*
 * Opens a foreign regular file for reading: never a FIFO, a device or a link in the last step,
 * never blocking, without touching its access time where the system allows that.
 * dir is a directory descriptor or AT_FDCWD. Returns a descriptor, or an error.
 */
int file_open_regular(int dir, const char *path, struct stat *ret_stat, struct err *err);

/*
 * Opens rel beneath the directory root; the system refuses what leads out. Links inside are
 * followed only with follow. flags as for open. Returns a descriptor or error. A path that came
 * out of a file is checked with file_path_is_safe before.
 */
int file_open_beneath(int root, const char *rel, int flags, bool follow, struct err *err);

/*
 * file_open_regular for a path that a walk below root reported: every step from root on is
 * taken without following links. root may be the file's own folder or any above it.
 */
int file_open_found(const char *root, const char *path, struct stat *ret_stat, struct err *err);

/* Whether a path that came out of a file may be used: relative, plain components, not too long. */
bool file_path_is_safe(const char *path, size_t n);

/* The whole of a regular file of at most max bytes, into buf (replaced). */
int file_read_all(int dir, const char *path, size_t max, struct buf *buf, struct err *err);

/*
 * Replaces dir/name by the n bytes atomically and durably: temporary file, fsync, rename, fsync
 * of the directory. After a failure the old content stands.
 */
int file_replace(int dir, const char *name, const void *data, size_t n, mode_t mode,
                 struct err *err);

/*
 * Renames without replacing anything: ERR_EXISTS. Where the file system cannot do that in one
 * step (FUSE, NFS), a second link is made and the first name removed; where it has no links, the
 * new name is made exclusively and renamed over.
 */
int file_rename_new(int from_dir, const char *from, int to_dir, const char *to, struct err *err);

/* Nanoseconds since 1970; times that do not fit come out as INT64_MAX or INT64_MIN. */
int64_t file_nanoseconds(const struct timespec *time);

/* Makes a file that is not there yet, durable; ERR_EXISTS. What fails leaves none behind. */
int file_write_new(const char *path, const void *data, size_t n, struct err *err);
/*
 * A hash of where on its file system the bytes of a file lie: the same for clones (reflinks), of
 * which the bytes are there once. ERR_UNSUPPORTED where the system does not tell.
 */
int file_extents(int fd, struct hash128 *ret, struct err *err);

/*
 * How many bytes of the disk removing this file frees, as far as the system tells: blocks that it
 * shares with clones or snapshots do not count, nor anything of a file that an overlay shows from
 * one of its lower layers. Of compressed blocks (btrfs) the size is taken from where they lie.
 */
uint64_t file_exclusive(int fd, const struct stat *st);

/*
 * Whether other machines may use the files of this file system: a network or cluster file system,
 * or one in user space that is not known to be local.
 */
bool file_on_network(int fd);
/* Whether its ctime is the file's own: not on a network or in user space, where it is cached. */
bool file_has_ctime(int fd);

/* fsync of a directory. */
int file_sync_dir(int dir, struct err *err);

/* Opens a directory; file_make_dirs makes it and its parents first (mode 0700 for new ones). */
int file_open_dir(int dir, const char *path, struct err *err);
int file_make_dirs(const char *path, struct err *err);

/* Free bytes for this user on the file system of the path (or of its nearest parent). */
int file_free_space(const char *path, uint64_t *ret_free, struct err *err);

/* "a/b": free it. */
char *file_join(const char *dir, const char *name);
/* The part behind the last slash. */
const char *file_base(const char *path);
/* All before the last slash ("." or "/" where there is none): free it. */
char *file_dir(const char *path);

/* Removes what lies below a directory of our own, without following links; keeps the directory. */
int file_remove_below(int dir, struct err *err);

#endif
