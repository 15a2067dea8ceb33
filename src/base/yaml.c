/* SPDX-License-Identifier: MIT */
/* Front matter of model cards. The only file that knows libyaml. */
#include "base/yaml.h"

#include "base/mem.h"

#include <string.h>
#include <yaml.h>

struct block {
    const char *key;
    struct buf text;
};

static void parse_block(const struct block *block,
                        void (*found)(void *context, const char *key, const char *value),
                        void *context)
{
    yaml_parser_t parser;
    yaml_event_t event;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)block->text.data, block->text.len);
    int depth = 0, values = 0;
    bool more = true, key_seen = false;
    while (more && yaml_parser_parse(&parser, &event)) {
        switch (event.type) {
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            depth++;
            more = depth <= 2 && !(depth == 2 && event.type == YAML_MAPPING_START_EVENT);
            break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            depth--;
            break;
        case YAML_SCALAR_EVENT:
            if (key_seen && event.data.scalar.length)
                found(context, block->key, (const char *)event.data.scalar.value);
            key_seen = true;
            more = ++values < YAML_VALUE_LIMIT;
            break;
        case YAML_ALIAS_EVENT:
        case YAML_STREAM_END_EVENT:
            more = false;
            break;
        default:
            break;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
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
    }
    if (open && block.key) /* no closing fence */
        parse_block(&block, found, context);
    buf_release(&block.text);
}
