/* SPDX-License-Identifier: MIT */
/*
 * Claims of ancestry: what cards, configurations, recipes and the metadata of weight files say
 * about where a model comes from. A claim may be wrong, stale, cyclic, or name something that is
 * not here.
 */
#ifndef TARE_LINEAGE_LINEAGE_H
#define TARE_LINEAGE_LINEAGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Best first: a hash in a file's own metadata is harder to get wrong than a name in a card. */
enum claim_kind {
    CLAIM_METADATA,
    CLAIM_CARD,
    CLAIM_ADAPTER,
    CLAIM_MERGEKIT,
    CLAIM_GGUF, /* copied from a card when the file was converted */
    CLAIM_CONFIG,
    CLAIM_TRAINER, /* no parent: where in its run a checkpoint stands */
    CLAIM_KINDS
};

/* "metadata", "card", …: as in --json. The numbers are in catalogs, too. */
const char *claim_kind_name(enum claim_kind kind);

enum { LINEAGE_FILE_LIMIT = 4 * 1024 * 1024 };

/*
 * target names the parent as written: org/name (hub addresses reduced to it), an absolute path, or
 * "sha256:" and the digest of its file. detail is the relation that the source gives ("finetune",
 * "adapter", "merge", "quantized", or ""); of CLAIM_TRAINER, whose target is empty, words.
 */
typedef void claim_fn(void *context, enum claim_kind kind, const char *target, const char *detail);

/*
 * Reads the bytes of a companion file and calls found for each claim. ERR_FORMAT for a
 * configuration that is no JSON; cards and recipes that cannot be understood claim nothing.
 */
int lineage_read(const char *name, const char *bytes, size_t n, claim_fn *found, void *context,
                 struct err *err);

/* Reads one key and its value of the metadata of a weight file (key of key_len bytes). */
void lineage_metadata(const char *key, size_t key_len, const char *value, size_t n, claim_fn *found,
                      void *context);

#endif
