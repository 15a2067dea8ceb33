/* SPDX-License-Identifier: MIT */
/* Families: who descends from whom, kept in the catalog. Part of a full scan. */
#ifndef TARE_OPS_FAMILIES_H
#define TARE_OPS_FAMILIES_H

#include "delta/profile.h"
#include "ops/ops.h"

/*
 * Compares all models that have sketches and writes the edges that come of it, with what is
 * declared. Models that were not compared keep what they declare, or what the store says of them.
 * Nothing is done where nothing has changed.
 */
struct stored;
int ops_families(struct ops *ops, const struct stored *stored, struct progress *progress,
                 struct err *err);

/*
 * The profile of a model, as it is known, or put together from its sketches. ERR_NOTFOUND where
 * there are none; architecture zero where it has no floats.
 */
int families_profile(struct ops *ops, const struct library *library, int model,
                     uint8_t bytes[PROFILE_BYTES], struct hash128 *architecture, struct err *err);

#endif
