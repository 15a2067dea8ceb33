/* SPDX-License-Identifier: MIT */
/*
 * What models are known to be related to, kept from one scan to the next: so one new model costs
 * one pass over its group. For src/ops only.
 */
#ifndef TARE_OPS_RELATIONS_H
#define TARE_OPS_RELATIONS_H

#include "family/family.h"
#include "ops/ops.h"

/*
 * Fills in what is known. A group of which a member has gone, or has another profile, is known no
 * more.
 */
int relations_load(struct ops *ops, const struct library *library,
                   const struct family_member *members, struct family_relations *relations,
                   struct err *err);
/* Keeps what is new. Within a transaction. */
int relations_save(struct ops *ops, const struct library *library,
                   const struct family_member *members, struct family_relations *relations,
                   struct err *err);

#endif
