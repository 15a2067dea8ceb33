/* SPDX-License-Identifier: MIT */
/*
 * Where parsers and codecs read from: a file (by pread, never mapped) or memory.
 * The same code so serves the program, the unit tests and the fuzzers.
 */
#ifndef TARE_BASE_READER_H
#define TARE_BASE_READER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct reader;

struct reader_ops {
    /* Reads exactly n bytes at offset, or fails (ERR_FORMAT: behind the end; ERR_IO). */
    int (*read)(const struct reader *reader, uint64_t offset, void *dst, size_t n, struct err *err);
};

/* Safe to use from several threads at once. The caller keeps fd or memory alive. */
struct reader {
    const struct reader_ops *ops;
    uint64_t size; /* bytes */
    int fd;
    const uint8_t *memory;
};

/* A reader on an open regular file of the given size; the descriptor stays the caller's. */
struct reader reader_file(int fd, uint64_t size);
struct reader reader_memory(const void *data, size_t n);

int reader_read(const struct reader *reader, uint64_t offset, void *dst, size_t n, struct err *err);

#endif
