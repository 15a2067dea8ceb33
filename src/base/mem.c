/* SPDX-License-Identifier: MIT */
/* Memory and byte buffers. */
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mem_none(void)
{
    static const char text[] =
        "tare: not enough memory: it ends here, as if it had been killed; what "
        "was begun is taken back, or finished, by the next one\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

static void *checked(void *p)
{
    if (!p)
        mem_none();
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return checked(realloc(old, size ? size : 1));
}

void *mem_try(size_t size)
{
    return malloc(size ? size : 1);
}

bool mem_has_room(size_t size)
{
    /* volatile: else the compiler leaves both calls out */
    void *volatile probe = malloc(size ? size : 1);
    free(probe);
    return probe != NULL;
}

char *mem_strdup(const char *text)
{
    return checked(strdup(text));
}

char *mem_strndup(const char *text, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (n)
        memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *mem_vprintf(const char *format, va_list args)
{
    char *text;
    if (vasprintf(&text, format, args) < 0)
        mem_none();
    return text;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    return text;
}

void *mem_grow(void *array, size_t count, size_t *cap, size_t element)
{
    if (count == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        array = checked(reallocarray(array, *cap, element));
    }
    memset((char *)array + count * element, 0, element);
    return array;
}

static void reserve(struct buf *buf, size_t n)
{
    size_t need = buf->len + n + 1;
    if (need <= buf->cap)
        return;
    buf->cap = MAX(need, buf->cap * 2);
    buf->data = mem_realloc(buf->data, buf->cap);
}

void buf_add(struct buf *buf, const void *data, size_t n)
{
    reserve(buf, n);
    if (n)
        memcpy(buf->data + buf->len, data, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void buf_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO_FREE char *text = mem_vprintf(format, args);
    va_end(args);
    buf_str(buf, text);
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void cleanup_fd(int *fd)
{
    if (*fd >= 0) {
        int number = errno;
        close(*fd);
        errno = number;
    }
}

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    uint64_t bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;
    size = (size + 7) & ~(size_t)7;
    if (!block || block->size - block->used < size) {
        size_t room = MAX(size, block ? MIN(block->size * 2, (size_t)1 << 20) : 1024);
        block = mem_alloc(sizeof *block + room);
        *block = (struct arena_block){.next = arena->blocks, .size = room};
        arena->blocks = block;
    }
    void *p = (char *)block->bytes + block->used;
    block->used += size;
    return p;
}

char *arena_strndup(struct arena *arena, const char *text, size_t n)
{
    char *copy = arena_alloc(arena, n + 1);
    if (n)
        memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
