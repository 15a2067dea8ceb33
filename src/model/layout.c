/* SPDX-License-Identifier: MIT */
/* What a weight file holds. */
#include "model/layout.h"

#include <string.h>

void layout_release(struct layout *layout)
{
    free(layout->tensors);
    free(layout->pairs);
    arena_release(&layout->arena);
    *layout = (struct layout){0};
}

struct range *layout_ranges(const struct layout *layout, size_t *ret_count)
{
    struct range *ranges = NULL;
    size_t count = 0, cap = 0;
    uint64_t at = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct tensor *t = &layout->tensors[i];
        if (!t->bytes)
            continue;
        if (t->offset > at)
            *ARRAY_ADD(ranges, count, cap) = (struct range){at, t->offset - at, NULL};
        *ARRAY_ADD(ranges, count, cap) = (struct range){t->offset, t->bytes, t};
        at = t->offset + t->bytes;
    }
    if (layout->size > at)
        *ARRAY_ADD(ranges, count, cap) = (struct range){at, layout->size - at, NULL};
    *ret_count = count;
    return ranges;
}

int tensor_compare_names(const struct tensor *a, const struct tensor *b)
{
    int order = memcmp(a->name, b->name, MIN(a->name_len, b->name_len));
    return order ? order : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

const char *tensor_core_name(const struct tensor *tensor, size_t *ret_len)
{
    static const char *const wrappers[] = {"model.",      "transformer.", "module.",
                                           "base_model.", "backbone.",    "gpt_neox.",
                                           "bert.",       "roberta.",     "language_model."};
    const char *name = tensor->name, *end = name + tensor->name_len;
    for (size_t i = 0; i < COUNT_OF(wrappers); i++) {
        size_t n = strlen(wrappers[i]);
        if ((size_t)(end - name) <= n || memcmp(name, wrappers[i], n) != 0)
            continue;
        name += n;
        i = (size_t)-1; /* there may be several, in any order */
    }
    *ret_len = (size_t)(end - name);
    return name;
}

uint64_t tensor_elements(const struct tensor *tensor)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < tensor->dims; i++)
        n *= tensor->shape[i];
    return n;
}

const char *format_name(enum format format)
{
    return format == FORMAT_SAFETENSORS ? "safetensors" : "opaque";
}
