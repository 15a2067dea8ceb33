/* SPDX-License-Identifier: MIT */
/* Families: who descends from whom, kept in the catalog. Part of a full scan. */
#ifndef TARE_OPS_FAMILIES_H
#define TARE_OPS_FAMILIES_H

#include "ops/ops.h"

/*
 * Compares all models that have sketches and writes the edges that come of it, with what is
 * declared. Models that were not compared keep what they declare.
 */
int ops_families(struct ops *ops, struct progress *progress, struct err *err);

#endif
