/* SPDX-License-Identifier: MIT */
/*
 * Kinship beyond one architecture: models that share equal tensors, under whatever names and in
 * whatever layers, or whose tensors of the same name and shape are related by their bits (another
 * vocabulary, another prefix of the names). For src/ops only.
 */
#ifndef TARE_OPS_KINSHIP_H
#define TARE_OPS_KINSHIP_H

#include "family/family.h"
#include "ops/stored.h"

/*
 * Looks for parents of those models of the library that have none in edges, and at the claims that
 * could not be compared; changes edges. stored: what the stores hold, by whose bases a model that
 * was never compared is known; may be NULL.
 */
int kinship_find(struct ops *ops, const struct library *library,
                 const struct family_member *members, const struct stored *stored,
                 struct family_edge *edges, struct progress *progress, struct err *err);

#endif
