/* SPDX-License-Identifier: MIT */
/* Readers on files and memory. */
#include "base/reader.h"

#include "base/file.h"

#include <string.h>

static int read_file(const struct reader *reader, uint64_t offset, void *dst, size_t n,
                     struct err *err)
{
    return file_pread(reader->fd, dst, n, offset, err);
}

static int read_memory(const struct reader *reader, uint64_t offset, void *dst, size_t n,
                       struct err *err)
{
    (void)err;
    if (n)
        memcpy(dst, reader->memory + offset, n);
    return 0;
}

static const struct reader_ops file_ops = {.read = read_file};
static const struct reader_ops memory_ops = {.read = read_memory};

struct reader reader_file(int fd, uint64_t size)
{
    return (struct reader){.ops = &file_ops, .size = size, .fd = fd};
}

struct reader reader_memory(const void *data, size_t n)
{
    return (struct reader){.ops = &memory_ops, .size = n, .fd = -1, .memory = data};
}

int reader_read(const struct reader *reader, uint64_t offset, void *dst, size_t n, struct err *err)
{
    if (offset > reader->size || n > reader->size - offset)
        return err_set(err, ERR_FORMAT, "ends too early: %zu bytes wanted at %llu of %llu", n,
                       (unsigned long long)offset, (unsigned long long)reader->size);
    return reader->ops->read(reader, offset, dst, n, err);
}
