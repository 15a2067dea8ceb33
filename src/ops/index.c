/* SPDX-License-Identifier: MIT */
/* How a file gets into the catalog. */
#include "ops/index.h"

#include "base/file.h"
#include "delta/sketch.h"
#include "formats/formats.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, DROP_SIZE = 32 * 1024 * 1024 };

uint64_t index_fsid(const char *path, dev_t dev)
{
    struct statfs fs;
    uint64_t id = 0;
    if (statfs(path, &fs) == 0)
        memcpy(&id, &fs.f_fsid, MIN(sizeof id, sizeof fs.f_fsid));
    return id ? id : (uint64_t)dev;
}

void index_key(char dst[40], uint64_t fsid, uint64_t ino)
{
    snprintf(dst, 40, "%llx:%llx", (unsigned long long)fsid, (unsigned long long)ino);
}

int index_check(const struct lib_file *file, int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, "%s", file->path);
    bool same =
        (uint64_t)st.st_size == file->size && file_nanoseconds(&st.st_mtim) == file->mtime_ns;
    return same ? 0 : err_set(err, ERR_CHANGED, "%s: changed since it was indexed", file->path);
}

int index_open(const struct lib_file *file, struct err *err)
{
    struct stat st;
    AUTO_FREE char *dir = file_dir(file->path);
    AUTO_FD int fd = file_open_found(dir, file->path, &st, err);
    int r = fd < 0 ? fd : index_check(file, fd, err);
    return r < 0 ? r : TAKE_FD(fd);
}

void index_stat(struct catalog_file *file, const struct stat *st)
{
    file->ino = st->st_ino;
    file->size = (uint64_t)st->st_size;
    file->disk = (uint64_t)st->st_blocks * 512;
    file->mtime_ns = file_nanoseconds(&st->st_mtim);
    file->ctime_ns = file_nanoseconds(&st->st_ctim);
    file->atime = st->st_atim.tv_sec;
    file->links = (uint32_t)st->st_nlink;
    file->flags &= ~(unsigned)FILE_SPARSE;
    /* A file system may pack small files; more than a page short is a hole. */
    if (file->disk + 65536 < file->size)
        file->flags |= FILE_SPARSE;
}

static void note_layout(struct catalog_file *file, const struct layout *layout)
{
    file->format = layout->format;
    file->header = layout->header;
    file->tensors = layout->count;
    file->parameters = 0;
    memset(file->dtype_bytes, 0, sizeof file->dtype_bytes);
    if (layout->trailing)
        file->flags |= FILE_TRAILING;
    if (layout->unaligned)
        file->flags |= FILE_UNALIGNED;
    for (size_t i = 0; i < layout->count; i++) {
        const struct tensor *t = &layout->tensors[i];
        file->dtype_bytes[t->dtype] += t->bytes;
        if (t->dtype != DTYPE_BYTES)
            file->parameters += tensor_elements(t);
    }
}

void index_header(struct catalog_file *file, const char *root, const char *name,
                  struct layout *layout, struct arena *arena)
{
    struct err err = {0};
    struct stat st;
    file->error = NULL;
    AUTO_FD int fd = file_open_found(root, file->path, &st, &err);
    int r = MIN(fd, 0);
    if (r == 0) {
        struct reader reader = reader_file(fd, (uint64_t)st.st_size);
        index_stat(file, &st);
        r = format_parse(name, &reader, layout, &err);
    }
    if (r < 0) {
        layout_release(layout);
        file->error = arena_strdup(arena, err.text);
    }
    note_layout(file, layout);
}

int index_sketches(int fd, const struct layout *layout, struct buf *bytes,
                   struct catalog_sketches *ret, struct err *err)
{
    struct reader reader = reader_file(fd, layout->size);
    uint8_t sketch[SKETCH_MODEL];
    bytes->len = 0;
    for (size_t i = 0; i < layout->count; i++) {
        int r = sketch_tensor(&reader, &layout->tensors[i], SKETCH_TENSOR / (2 * SKETCH_RUN),
                              sketch, err);
        if (r < 0)
            return r;
        buf_add(bytes, sketch, SKETCH_TENSOR);
    }
    int r = sketch_model(&reader, layout, sketch, err);
    if (r < 0)
        return r;
    buf_add(bytes, sketch, SKETCH_MODEL);
    *ret = (struct catalog_sketches){.bytes = (const uint8_t *)bytes->data,
                                     .count = layout->count,
                                     .each = SKETCH_TENSOR,
                                     .whole = SKETCH_MODEL,
                                     .sample = hash128_of(bytes->data, bytes->len)};
    return 0;
}

/* Hashes bytes of the file, and drops the pages behind from the cache. */
static int hash_range(int fd, const struct range *range, struct hasher *hasher, char *block,
                      struct progress *progress, struct err *err)
{
    uint64_t end = range->offset + range->bytes, dropped = range->offset;
    for (uint64_t at = range->offset; at < end;) {
        size_t n = (size_t)MIN(end - at, (uint64_t)READ_SIZE);
        int r = progress_check(progress, err);
        if (r == 0)
            r = file_pread(fd, block, n, at, err);
        if (r < 0)
            return r;
        hasher_update(hasher, block, n);
        progress_add(progress, n);
        at += n;
        if (at - dropped >= DROP_SIZE) {
            (void)posix_fadvise(fd, (off_t)dropped, (off_t)(at - dropped), POSIX_FADV_DONTNEED);
            dropped = at;
        }
    }
    return 0;
}

static void add_part(struct hasher *whole, uint64_t bytes, const struct hash128 *id)
{
    uint64_t number = htole64(bytes);
    hasher_update(whole, &number, sizeof number);
    hasher_update(whole, id, sizeof *id);
}

struct hash128 index_content(const struct manifest *m)
{
    struct hasher *whole = hasher_new(0);
    uint64_t size = htole64(m->size);
    hasher_update(whole, &size, sizeof size);
    for (size_t i = 0; i < m->range_count; i++)
        add_part(whole, m->ranges[i].bytes, &m->ranges[i].id);
    struct hash128 content = hasher_digest(whole);
    hasher_free(whole);
    return content;
}

/*
 * The content id of a file: XXH3-128 over its size and, for each run of bytes (header, tensors,
 * gaps, tail), length and id. Equal files have equal ids, and no byte is hashed twice.
 */
int index_hashes(int fd, const struct layout *layout, struct hash128 *ids, struct hash128 *content,
                 struct progress *progress, struct err *err)
{
    size_t count;
    AUTO_FREE struct range *ranges = layout_ranges(layout, &count);
    AUTO_FREE char *block = mem_alloc(READ_SIZE);
    struct hasher *hasher = hasher_new(0), *whole = hasher_new(0);
    struct hash128 empty = hash128_of("", 0);
    uint64_t number = htole64(layout->size);
    int r = 0;
    for (size_t i = 0; i < layout->count; i++)
        ids[i] = empty;
    hasher_update(whole, &number, sizeof number);
    for (size_t i = 0; i < count && r == 0; i++) {
        hasher_reset(hasher, 0);
        r = hash_range(fd, &ranges[i], hasher, block, progress, err);
        struct hash128 id = hasher_digest(hasher);
        add_part(whole, ranges[i].bytes, &id);
        if (ranges[i].tensor)
            ids[ranges[i].tensor - layout->tensors] = id;
    }
    if (r == 0)
        *content = hasher_digest(whole);
    hasher_free(hasher);
    hasher_free(whole);
    return r;
}
