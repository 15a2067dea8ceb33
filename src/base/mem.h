/* SPDX-License-Identifier: MIT */
/*
 * Memory: allocation, growing arrays, byte buffers, cleanup by attribute.
 *
 * Running out of memory ends the program on the spot, as kill -9 would, with a word about it: the
 * store is made to survive that. What a file can make large is checked against a limit, and
 * allocated by a call that may fail (mem_try).
 */
#ifndef TARE_BASE_MEM_H
#define TARE_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* For what cannot go on: a library that has no memory, too. */
void mem_none(void) __attribute__((noreturn));
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
/* For lengths that a file decides: NULL where there is no room. */
void *mem_try(size_t size);
/* Whether so much could be had now: before work whose memory grows with a file's length. */
bool mem_has_room(size_t size);
char *mem_strdup(const char *text);
/* A copy of n bytes with a NUL behind. */
char *mem_strndup(const char *text, size_t n);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a va_list. */
char *mem_vprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
/* The array grown so that one more element fits; *cap is updated. */
void *mem_grow(void *array, size_t count, size_t *cap, size_t element);

/* Appends a zeroed element to (array, count, cap) and yields a pointer to it. */
#define ARRAY_ADD(array, count, cap)                                                               \
    ((array) = mem_grow((array), (count), &(cap), sizeof *(array)), &(array)[(count)++])

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Bytes that grow. data has a NUL behind len once anything was added. */
struct buf {
    char *data;
    size_t len, cap;
};

void buf_add(struct buf *buf, const void *data, size_t n);
void buf_str(struct buf *buf, const char *text);
void buf_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_release(struct buf *buf);

/* Many small things that are freed together. Zero-initialised is empty. */
struct arena {
    struct arena_block *blocks;
};

void *arena_alloc(struct arena *arena, size_t size); /* aligned for uint64_t, not zeroed */
char *arena_strndup(struct arena *arena, const char *text, size_t n);
char *arena_strdup(struct arena *arena, const char *text); /* NULL stays NULL */
void arena_release(struct arena *arena);

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}
void cleanup_fd(int *fd);

/* Released when the variable goes out of scope. */
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_FD __attribute__((cleanup(cleanup_fd)))
#define AUTO_BUF __attribute__((cleanup(buf_release)))

/* The pointer or descriptor, given away: the cleanup no longer touches it. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __auto_type take_ = (p);                                                                   \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_ = (fd);                                                                          \
        (fd) = -1;                                                                                 \
        take_;                                                                                     \
    })

#endif
