/* SPDX-License-Identifier: MIT */
/*
 * Which layer and which module a tensor belongs to, by its name: for Llama, Qwen, Mistral, Gemma,
 * GPT-2 and NeoX, BERT, T5, ViT, Whisper, Mamba, experts, UNets; other names give what can be had.
 */
#ifndef TARE_MODEL_MODULES_H
#define TARE_MODEL_MODULES_H

#include <stddef.h>

enum { MODULE_NAME = 96, NO_LAYER = -1 };

struct module {
    int layer;              /* the number of the block, NO_LAYER: outside of all */
    char name[MODULE_NAME]; /* "self_attn.q_proj", "embed_tokens"; experts as "mlp.experts.*.w1" */
};

/* name: n bytes, may be foreign; what is not printable ASCII becomes '?'. */
void module_of(const char *name, size_t n, struct module *ret);

#endif
