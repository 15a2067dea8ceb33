/* SPDX-License-Identifier: MIT */
/* Scalars of YAML, by events. The only file that knows libyaml. */
#include "base/yaml.h"

#include "base/mem.h"

#include <string.h>
#include <yaml.h>

/* A mapping or a sequence that is open, and the key of keys that its values stand under. */
struct level {
    bool mapping, want_key;
    const char *key;
};

struct walk {
    const char *const *keys;
    void (*found)(void *context, const char *key, const char *value);
    void *context;
    struct level levels[YAML_DEPTH];
    int depth, values;
};

static const char *match(const char *const keys[], const char *text)
{
    while (*keys && strcmp(*keys, text) != 0)
        keys++;
    return *keys;
}

/* Opens a level; what stands in a list stands under the key of the list. */
static bool open_level(struct walk *walk, bool mapping)
{
    if (walk->depth == YAML_DEPTH)
        return false;
    struct level *outer = walk->depth ? &walk->levels[walk->depth - 1] : NULL;
    walk->levels[walk->depth++] = (struct level){mapping, mapping, outer ? outer->key : NULL};
    if (outer)
        outer->want_key = outer->mapping;
    return true;
}

static bool take_scalar(struct walk *walk, const char *text)
{
    struct level *level = walk->depth ? &walk->levels[walk->depth - 1] : NULL;
    if (level && level->want_key) {
        const char *outer = walk->depth > 1 ? walk->levels[walk->depth - 2].key : NULL;
        level->key = strcmp(text, "path") == 0 && outer ? outer : match(walk->keys, text);
    } else if (level && level->key && *text) {
        walk->found(walk->context, level->key, text);
    }
    if (level && level->mapping)
        level->want_key = !level->want_key;
    return ++walk->values < YAML_VALUE_LIMIT;
}

static bool take_event(struct walk *walk, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_level(walk, event->type == YAML_MAPPING_START_EVENT);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        walk->depth--;
        return true;
    case YAML_SCALAR_EVENT:
        return take_scalar(walk, (const char *)event->data.scalar.value);
    case YAML_ALIAS_EVENT:
    case YAML_STREAM_END_EVENT:
        return false;
    default:
        return true;
    }
}

void yaml_scalars(const char *bytes, size_t n, const char *const keys[],
                  void (*found)(void *context, const char *key, const char *value), void *context)
{
    struct walk walk = {.keys = keys, .found = found, .context = context};
    yaml_parser_t parser;
    yaml_event_t event;
    if (!n || !yaml_parser_initialize(&parser)) /* libyaml aborts where there is no text at all */
        return;
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, n);
    for (bool more = true; more && yaml_parser_parse(&parser, &event);) {
        more = take_event(&walk, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

struct block {
    const char *key;
    struct buf text;
};

static void parse_block(const struct block *block,
                        void (*found)(void *context, const char *key, const char *value),
                        void *context)
{
    const char *const keys[] = {block->key, NULL};
    yaml_scalars(block->text.data, block->text.len, keys, found, context);
}

/* The key of keys that the line begins with, as "key:". */
static const char *key_of_line(const char *line, size_t n, const char *const keys[])
{
    for (; *keys; keys++) {
        size_t len = strlen(*keys);
        if (n > len && memcmp(line, *keys, len) == 0 && line[len] == ':')
            return *keys;
    }
    return NULL;
}

static size_t line_length(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? (size_t)(newline - p) : (size_t)(end - p);
}

static bool is_fence(const char *line, size_t n)
{
    while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    return n == 3 && memcmp(line, "---", 3) == 0;
}

static void add_line(struct buf *text, const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_str(text, line[i] == '\t' ? "  " : (char[]){line[i], '\0'});
    buf_char(text, '\n');
}

void yaml_front_matter(const char *bytes, size_t n, const char *const keys[],
                       void (*found)(void *context, const char *key, const char *value),
                       void *context)
{
    const char *p = bytes, *end = bytes + n;
    struct block block = {0};
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    size_t len = line_length(p, end);
    bool open = is_fence(p, len);
    for (p += len + 1; open && p < end; p += len + 1) {
        len = line_length(p, end);
        open = !is_fence(p, len);
        bool continues = len == 0 || strchr(" \t-#\r", *p);
        if (!open || !continues) {
            if (block.key)
                parse_block(&block, found, context);
            block.text.len = 0;
            block.key = open ? key_of_line(p, len, keys) : NULL;
        }
        if (block.key && block.text.len + len < YAML_BLOCK_LIMIT)
            add_line(&block.text, p, len);
        else if (!continues)
            block.key = NULL; /* too long to be what it says */
    }
    if (open && block.key) /* no closing fence */
        parse_block(&block, found, context);
    buf_release(&block.text);
}
