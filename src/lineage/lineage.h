/* SPDX-License-Identifier: MIT */
/*
 * Claims of ancestry: what cards and configurations say about where a model comes from.
 * A claim may be wrong, stale, cyclic, or name something that is not here.
 */
#ifndef TARE_LINEAGE_LINEAGE_H
#define TARE_LINEAGE_LINEAGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum claim_kind { CLAIM_CARD, CLAIM_CONFIG, CLAIM_ADAPTER, CLAIM_KINDS };

/* "card", "config", "adapter": as in --json. */
const char *claim_kind_name(enum claim_kind kind);

enum { LINEAGE_FILE_LIMIT = 4 * 1024 * 1024 };

/*
 * Reads the bytes of a companion file and calls found for each claim: target names the parent
 * as written (hub addresses reduced to org/name), detail the relation that the file gives
 * ("finetune", "adapter", "merge", "quantized", or "").
 * ERR_FORMAT for a configuration that is no JSON; a card that cannot be understood claims nothing.
 */
int lineage_read(const char *name, const char *bytes, size_t n,
                 void (*found)(void *context, enum claim_kind kind, const char *target,
                               const char *detail),
                 void *context, struct err *err);

#endif
