/* SPDX-License-Identifier: MIT */
/* Claims of ancestry from README.md, config.json and adapter_config.json. */
#include "lineage/lineage.h"

#include "base/json.h"
#include "base/yaml.h"

#include <string.h>
#include <strings.h>

typedef void claim_fn(void *context, enum claim_kind kind, const char *target, const char *detail);

const char *claim_kind_name(enum claim_kind kind)
{
    static const char *const names[] = {"card", "config", "adapter"};
    return names[kind];
}

/* org/name out of what people write there; free it. NULL where nothing is left. */
static char *clean_target(const char *text)
{
    static const char *const prefixes[] = {"https://",        "http://", "www.",
                                           "huggingface.co/", "hf.co/",  "hf:"};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (strncasecmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            text += strlen(prefixes[i]);
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n/", text[n - 1]))
        n--;
    return n && n < 1024 ? mem_strndup(text, n) : NULL;
}

static void claim(claim_fn *found, void *context, enum claim_kind kind, const char *text,
                  const char *detail)
{
    AUTO_FREE char *target = text ? clean_target(text) : NULL;
    if (target)
        found(context, kind, target, detail);
}

struct card {
    char relation[16];
    char **bases;
    size_t count, cap;
};

static void card_value(void *context, const char *key, const char *value)
{
    struct card *card = context;
    if (strcmp(key, "base_model") == 0 && card->count < 64) {
        *ARRAY_ADD(card->bases, card->count, card->cap) = mem_strdup(value);
        return;
    }
    static const char *const relations[] = {"finetune", "adapter", "merge", "quantized"};
    for (size_t i = 0; i < COUNT_OF(relations); i++)
        if (strcmp(key, "base_model_relation") == 0 && strcmp(value, relations[i]) == 0)
            strcpy(card->relation, value);
}

static void read_card(const char *bytes, size_t n, claim_fn *found, void *context)
{
    static const char *const keys[] = {"base_model", "base_model_relation", NULL};
    struct card card = {0};
    yaml_front_matter(bytes, n, keys, card_value, &card);
    if (!*card.relation && card.count > 1)
        strcpy(card.relation, "merge");
    for (size_t i = 0; i < card.count; i++) {
        claim(found, context, CLAIM_CARD, card.bases[i], card.relation);
        free(card.bases[i]);
    }
    free(card.bases);
}

/* The name may be a local path, or nothing; a repository has at most one slash. */
static bool names_repository(const char *text)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    return text && *text && *text != '/' && *text != '.' && *text != '~' &&
           !(slash && strchr(slash + 1, '/'));
}

static void read_config(const js *config, claim_fn *found, void *context)
{
    const char *text = js_get_text(config, "_name_or_path");
    bool quantized = js_is_object(js_get(config, "quantization_config"));
    if (names_repository(text))
        claim(found, context, CLAIM_CONFIG, text, quantized ? "quantized" : "");
}

int lineage_read(const char *name, const char *bytes, size_t n,
                 void (*found)(void *context, enum claim_kind kind, const char *target,
                               const char *detail),
                 void *context, struct err *err)
{
    AUTO_JS js *config = NULL;
    if (strcmp(name, "README.md") == 0) {
        read_card(bytes, n, found, context);
        return 0;
    }
    int r = js_parse(bytes, n, &config, err);
    if (r < 0)
        return r;
    if (strcmp(name, "config.json") == 0)
        read_config(config, found, context);
    else
        claim(found, context, CLAIM_ADAPTER, js_get_text(config, "base_model_name_or_path"),
              "adapter");
    return 0;
}
