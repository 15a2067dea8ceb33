/* SPDX-License-Identifier: MIT */
/*
 * Claims of ancestry. Where each is written down: model cards (hub-docs, model-cards.md), PEFT's
 * adapter_config.json, transformers' config.json and trainer_state.json, mergekit's recipes, and
 * the safetensors metadata of kohya's trainers, of the Stable Diffusion checkpoint mergers and of
 * the Model Metadata Standard (modelspec.*), and the general.* keys of GGUF.
 */
#include "lineage/lineage.h"

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { TARGETS_MOST = 64, DIGEST = 64 };

const char *claim_kind_name(enum claim_kind kind)
{
    static const char *const names[] = {"metadata", "card",   "adapter", "mergekit",
                                        "gguf",     "config", "trainer"};
    return names[kind];
}

/* org/name out of what people write there; free it. NULL where nothing is left. */
static char *clean_target(const char *text)
{
    static const char *const prefixes[] = {"https://",        "http://", "www.",
                                           "huggingface.co/", "hf.co/",  "hf:"};
    text += strspn(text, " \t");
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (strncasecmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            text += strlen(prefixes[i]);
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

/* ---- cards ---- */

struct card {
    char relation[16];
    bool adapter; /* made by PEFT */
    struct {
        char *target, relation[16];
    } * bases;
    size_t count, cap;
};

/* The relation that the text begins with, up to end; NULL where it is none. */
static const char *relation_in(const char *text, char end)
{
    static const char *const relations[] = {"finetune", "adapter", "merge", "quantized"};
    for (size_t i = 0; i < COUNT_OF(relations); i++) {
        size_t n = strlen(relations[i]);
        if (strncmp(text, relations[i], n) == 0 && text[n] == end)
            return relations[i];
    }
    return NULL;
}

static void add_base(struct card *card, const char *text, const char *relation)
{
    AUTO_FREE char *target = clean_target(text);
    for (size_t i = 0; i < card->count && target; i++) {
        if (strcasecmp(card->bases[i].target, target) != 0)
            continue;
        if (relation)
            strcpy(card->bases[i].relation, relation);
        return;
    }
    if (!target || card->count == TARGETS_MOST)
        return;
    (void)ARRAY_ADD(card->bases, card->count, card->cap);
    card->bases[card->count - 1].target = TAKE_PTR(target);
    strcpy(card->bases[card->count - 1].relation, relation ? relation : "");
}

/* "base_model:org/name", or "base_model:relation:org/name". */
static void take_tag(struct card *card, const char *tag)
{
    static const char prefix[] = "base_model:";
    if (strncmp(tag, prefix, sizeof prefix - 1) != 0)
        return;
    tag += sizeof prefix - 1;
    const char *relation = relation_in(tag, ':');
    add_base(card, relation ? tag + strlen(relation) + 1 : tag, relation);
}

static void card_value(void *context, const char *key, const char *value)
{
    struct card *card = context;
    const char *relation = relation_in(value, '\0');
    if (strcmp(key, "base_model") == 0)
        add_base(card, value, NULL);
    else if (strcmp(key, "tags") == 0)
        take_tag(card, value);
    else if (strcmp(key, "library_name") == 0)
        card->adapter = strcmp(value, "peft") == 0;
    else if (relation)
        strcpy(card->relation, relation);
}

/* Hands out what was gathered, and frees it. */
static void claim_bases(struct card *card, enum claim_kind kind, const char *otherwise,
                        claim_fn *found, void *context)
{
    for (size_t i = 0; i < card->count; i++) {
        const char *own = card->bases[i].relation;
        found(context, kind, card->bases[i].target, *own ? own : otherwise);
        free(card->bases[i].target);
    }
    free(card->bases);
}

static void read_card(const char *bytes, size_t n, claim_fn *found, void *context)
{
    static const char *const keys[] = {"base_model", "base_model_relation", "tags", "library_name",
                                       NULL};
    struct card card = {0};
    yaml_front_matter(bytes, n, keys, card_value, &card);
    const char *otherwise = *card.relation    ? card.relation
                            : card.adapter    ? "adapter"
                            : card.count > 1u ? "merge"
                                              : "";
    claim_bases(&card, CLAIM_CARD, otherwise, found, context);
}

/* ---- configurations ---- */

/* A repository has at most one slash; a path counts where it is absolute. */
static bool names_model(const char *text)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    return text && *text && *text != '.' && *text != '~' &&
           (*text == '/' || !(slash && strchr(slash + 1, '/')));
}

static void claim_named(claim_fn *found, void *context, enum claim_kind kind, const char *text,
                        const char *detail)
{
    if (names_model(text))
        claim(found, context, kind, text, detail);
}

static void read_config(const js *config, claim_fn *found, void *context)
{
    static const char *const parts[] = {"text_config", "vision_config", "audio_config", "encoder",
                                        "decoder"};
    bool quantized = js_is_object(js_get(config, "quantization_config"));
    claim_named(found, context, CLAIM_CONFIG, js_get_text(config, "_name_or_path"),
                quantized ? "quantized" : "");
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        claim_named(found, context, CLAIM_CONFIG,
                    js_get_text(js_get(config, parts[i]), "_name_or_path"), "");
}

static void read_adapter(const js *config, claim_fn *found, void *context)
{
    claim_named(found, context, CLAIM_ADAPTER, js_get_text(config, "base_model_name_or_path"),
                "adapter");
}

/* The last loss on the evaluation set that the log tells; < 0: none. */
static double last_loss(const js *state)
{
    const js *log = js_get(state, "log_history");
    for (size_t i = js_count(log); i-- > 0;) {
        double loss = js_real(js_get(js_at(log, i), "eval_loss"), -1);
        if (loss >= 0)
            return loss;
    }
    return -1;
}

static void read_trainer(const js *state, claim_fn *found, void *context)
{
    const char *best = js_get_text(state, "best_model_checkpoint");
    const char *slash = best ? strrchr(best, '/') : NULL;
    double loss = last_loss(state);
    AUTO_BUF struct buf words = {0};
    buf_printf(&words, "step %lld", (long long)js_get_int(state, "global_step", 0));
    if (loss >= 0)
        buf_printf(&words, ", eval loss %.4g", loss);
    if (best)
        buf_printf(&words, ", best is %.80s", slash ? slash + 1 : best);
    found(context, CLAIM_TRAINER, "", words.data);
}

/* ---- recipes ---- */

/* path@revision+adapter */
static void recipe_value(void *context, const char *key, const char *value)
{
    (void)key;
    AUTO_FREE char *model = mem_strndup(value, strcspn(value, "@+"));
    const char *adapter = strchr(value, '+');
    if (names_model(model))
        add_base(context, model, "merge");
    if (adapter && names_model(adapter + 1))
        add_base(context, adapter + 1, "merge");
}

static void read_recipe(const char *bytes, size_t n, claim_fn *found, void *context)
{
    static const char *const keys[] = {"base_model", "model", "source_model", NULL};
    struct card models = {0};
    yaml_scalars(bytes, n, keys, recipe_value, &models);
    claim_bases(&models, CLAIM_MERGEKIT, "merge", found, context);
}

/* ---- metadata of weight files ---- */

/* The digest that a text is, with or without 0x; that of nothing at all is no pointer. */
static bool is_digest(const char *text)
{
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    return n == DIGEST && !text[n] && strncasecmp(text, "e3b0c44298fc1c14", 16) != 0;
}

static void claim_digest(claim_fn *found, void *context, const char *text, const char *detail)
{
    char target[sizeof "sha256:" + DIGEST] = "sha256:";
    if (strncasecmp(text, "0x", 2) == 0)
        text += 2;
    if (!is_digest(text))
        return;
    for (size_t i = 0; i < DIGEST; i++)
        target[7 + i] = (char)tolower((unsigned char)text[i]);
    found(context, CLAIM_METADATA, target, detail);
}

/* An object whose keys are the digests of the parents. */
static void read_merged(const char *value, size_t n, claim_fn *found, void *context)
{
    AUTO_JS js *models = NULL;
    const char *keys[TARGETS_MOST];
    if (n > LINEAGE_FILE_LIMIT || js_parse(value, n, &models, NULL) < 0)
        return;
    size_t count = js_keys(models, keys, COUNT_OF(keys));
    for (size_t i = 0; i < count; i++)
        claim_digest(found, context, keys[i], "merge");
}

/* A list of names, as modelspec.merged_from has them. */
static void read_names(const char *value, claim_fn *found, void *context)
{
    AUTO_FREE char *names = mem_strdup(value);
    char *save = NULL;
    int left = TARGETS_MOST;
    for (char *name = strtok_r(names, ",\n", &save); name && left--;
         name = strtok_r(NULL, ",\n", &save))
        claim(found, context, CLAIM_METADATA, name, "merge");
}

/*
 * What a GGUF file was made from: the repository of the model that was converted is the parent,
 * and its card's base_model the one before; addresses, of which only those of a hub count.
 */
static void read_general(const char *key, const char *text, claim_fn *found, void *context)
{
    static const char *const parents[] = {"source.repo_url", "source.huggingface.repository",
                                          "repo_url"};
    static const char base[] = "base_model.", end[] = ".repo_url";
    size_t digits =
        strncmp(key, base, sizeof base - 1) == 0 ? strspn(key + sizeof base - 1, "0123456789") : 0;
    bool is_base = digits && strcmp(key + sizeof base - 1 + digits, end) == 0;
    AUTO_FREE char *target = clean_target(text);
    if (is_base || text_is_among(key, parents, COUNT_OF(parents)))
        claim_named(found, context, CLAIM_GGUF, target, "quantized");
}

void lineage_metadata(const char *key, size_t key_len, const char *value, size_t n, claim_fn *found,
                      void *context)
{
    AUTO_FREE char *name = mem_strndup(key, key_len), *text = mem_strndup(value, n);
    if (strcmp(name, "sd_merge_models") == 0)
        read_merged(value, n, found, context);
    else if (strcmp(name, "modelspec.merged_from") == 0)
        read_names(text, found, context);
    else if (strcmp(name, "ss_new_sd_model_hash") == 0)
        claim_digest(found, context, text, "");
    else if (strcmp(name, "ss_sd_model_name") == 0)
        claim_named(found, context, CLAIM_METADATA, text, "");
    else if (strncmp(name, "general.", 8) == 0)
        read_general(name + 8, text, found, context);
}

/* ---- companions ---- */

static const struct {
    const char *name;
    void (*read_text)(const char *bytes, size_t n, claim_fn *found, void *context);
    void (*read_json)(const js *config, claim_fn *found, void *context);
} companions[] = {
    {"README.md", read_card, NULL},
    {"mergekit_config.yml", read_recipe, NULL},
    {"mergekit_moe_config.yml", read_recipe, NULL},
    {"config.json", NULL, read_config},
    {"model_index.json", NULL, read_config},
    {"adapter_config.json", NULL, read_adapter},
    {"trainer_state.json", NULL, read_trainer},
};

int lineage_read(const char *name, const char *bytes, size_t n, claim_fn *found, void *context,
                 struct err *err)
{
    AUTO_JS js *config = NULL;
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(companions); i++) {
        if (strcmp(companions[i].name, name) != 0)
            continue;
        if (companions[i].read_text)
            companions[i].read_text(bytes, n, found, context);
        else if ((r = js_parse(bytes, n, &config, err)) == 0)
            companions[i].read_json(config, found, context);
    }
    return r;
}
