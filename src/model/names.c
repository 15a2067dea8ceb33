/* SPDX-License-Identifier: MIT */
/* What file names tell. */
#include "model/names.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool name_ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcasecmp(name + n - m, ending) == 0;
}

bool name_is_weight(const char *name)
{
    static const char *const endings[] = {".safetensors", ".sft",  ".gguf", ".bin", ".pt",
                                          ".pth",         ".ckpt", ".onnx", ".npz"};
    for (size_t i = 0; i < COUNT_OF(endings); i++)
        if (name_ends_with(name, endings[i]))
            return true;
    return false;
}

static bool is_one_of(const char *name, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool name_is_companion(const char *name)
{
    static const char *const names[] = {"README.md",           "config.json",
                                        "model_index.json",    "adapter_config.json",
                                        "mergekit_config.yml", "mergekit_moe_config.yml",
                                        "trainer_state.json"};
    return is_one_of(name, names, COUNT_OF(names)) || name_is_shard_index(name);
}

bool name_is_kept(const char *name)
{
    static const char *const names[] = {"added_tokens.json",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "config.yaml",
                                        "generation_config.json",
                                        "merges.txt",
                                        "modules.json",
                                        "optimizer_config.json",
                                        "params.json",
                                        "preprocessor_config.json",
                                        "processor_config.json",
                                        "quantize_config.json",
                                        "scheduler_config.json",
                                        "sentencepiece.bpe.model",
                                        "special_tokens_map.json",
                                        "spiece.model",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "train_config.yaml",
                                        "video_preprocessor_config.json",
                                        "vocab.json",
                                        "vocab.txt",
                                        "LICENSE",
                                        "LICENSE.md",
                                        "LICENSE.txt",
                                        "NOTICE",
                                        "USE_POLICY.md",
                                        "sentence_bert_config.json"};
    return name_is_companion(name) || is_one_of(name, names, COUNT_OF(names));
}

bool name_is_config(const char *name)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "model_index.json",
                                        "params.json"};
    return is_one_of(name, names, COUNT_OF(names)) || name_is_shard_index(name);
}

bool name_is_shard_index(const char *name)
{
    return name_ends_with(name, ".index.json");
}

bool name_shard(const char *name, struct shard_name *ret)
{
    const char *of = strstr(name, "-of-");
    unsigned index, count;
    if (!of || of - name < 6 || of[-6] != '-' || strspn(of - 5, "0123456789") != 5)
        return false;
    if (strspn(of + 4, "0123456789") != 5 || of[9] != '.')
        return false;
    if (sscanf(of - 5, "%5u-of-%5u", &index, &count) != 2 || index == 0 || index > count)
        return false;
    *ret = (struct shard_name){.prefix = (size_t)(of - 6 - name), .index = index, .count = count};
    return true;
}

long name_checkpoint(const char *name)
{
    static const char prefix[] = "checkpoint-";
    const char *digits = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    size_t n = strspn(digits, "0123456789");
    return n && n < 16 && !digits[n] ? atol(digits) : -1;
}
