/* SPDX-License-Identifier: MIT */
/* Layers and modules, by the names of tensors. */
#include "model/modules.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 24 };

struct parts {
    char text[512];
    char *at[PARTS];
    size_t count;
};

static void split(const char *name, size_t n, struct parts *parts)
{
    n = MIN(n, sizeof parts->text - 1);
    for (size_t i = 0; i < n; i++)
        parts->text[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    parts->text[n] = '\0';
    parts->count = 0;
    char *save = NULL;
    for (char *part = strtok_r(parts->text, "./", &save); part && parts->count < PARTS;
         part = strtok_r(NULL, "./", &save))
        parts->at[parts->count++] = part;
}

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && n < 7 && !text[n];
}

static bool is_one_of(const char *text, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* What only wraps: it says nothing about the place of a tensor. */
static bool is_wrapper(const char *text)
{
    static const char *const words[] = {"model",    "transformer", "module", "base_model",
                                        "backbone", "gpt_neox",    "bert",   "roberta",
                                        "layers",   "layer",       "h",      "blocks",
                                        "block",    "resblocks",   "vit",    "language_model"};
    return is_one_of(text, words, COUNT_OF(words));
}

static bool is_leaf(const char *text)
{
    static const char *const words[] = {"weight", "bias", "gamma", "beta"};
    return is_one_of(text, words, COUNT_OF(words));
}

static void add(struct module *ret, const char *text)
{
    size_t used = strlen(ret->name), n = strlen(text), dot = used ? 1 : 0;
    if (used + dot + n >= sizeof ret->name)
        return;
    if (dot)
        ret->name[used] = '.';
    memcpy(ret->name + used + dot, text, n + 1);
}

/* Where the number of the layer stands: the first one; parts->count where there is none. */
static size_t layer_at(const struct parts *parts)
{
    size_t i = 0;
    while (i < parts->count && !is_number(parts->at[i]))
        i++;
    return i;
}

void module_of(const char *name, size_t n, struct module *ret)
{
    struct parts parts;
    split(name, n, &parts);
    size_t layer = layer_at(&parts), end = parts.count;
    *ret = (struct module){.layer = layer < end ? atoi(parts.at[layer]) : NO_LAYER};
    bool leaf = end && is_leaf(parts.at[end - 1]);
    bool bias = leaf && strcmp(parts.at[end - 1], "bias") == 0;
    end -= leaf && end > 1;
    for (size_t i = 0; i < end; i++) {
        if (i == layer || (i < layer && is_wrapper(parts.at[i])))
            continue;
        add(ret, is_number(parts.at[i]) ? "*" : parts.at[i]);
    }
    if (bias)
        add(ret, "bias");
    if (!*ret->name)
        add(ret, parts.count ? parts.at[parts.count - 1] : "?");
}
