/* SPDX-License-Identifier: MIT */
/*
 * A model is more than its weights: copies of its small files (name_is_kept) are kept in the store
 * for as long as a weight file of it is there, and come back with it. For src/ops only.
 */
#ifndef TARE_OPS_COMPANIONS_H
#define TARE_OPS_COMPANIONS_H

#include "ops/transfer.h"
#include "sources/sources.h"

enum { COMPANION_MOST = 64 << 20 }; /* bytes of one */

/*
 * Stores copies of a model's companions, or does nothing where the store has them as they are now.
 * links: those of the hub cache that it lies in; NULL: none. Adds what that takes to *stored.
 */
int companions_store(struct store *store, struct transfer *transfer, const struct lib_model *model,
                     const struct hub_links *links, uint64_t *stored, struct err *err);

/*
 * Gives back those of a model that are not there any more, with their links and the folders on the
 * way, never over another file; with to: copies of all of them below to/name. *ret: how many.
 */
int companions_restore(struct store *store, struct transfer *transfer, const char *model_id,
                       const char *name, const char *to, size_t *ret, struct err *err);

#endif
