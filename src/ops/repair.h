/* SPDX-License-Identifier: MIT */
/* Repair of what verify found damaged, from wherever the right bytes still are. src/ops only. */
#ifndef TARE_OPS_REPAIR_H
#define TARE_OPS_REPAIR_H

#include "ops/compress.h"
#include "ops/transfer.h"

/*
 * Repairs the damages from index first on, which are those of this store: contents from files of
 * the collection, held bases and other stores, after their hash was compared; manifests from
 * their other copy; format and roster anew. What cannot be repaired gets advice. Only if the whole
 * store was verified do files go that could not be read and that nothing needs any more.
 */
int repair_store(struct ops *ops, const char *path, struct transfer *transfer, bool whole,
                 struct verify_report *report, size_t first, struct err *err);

#endif
