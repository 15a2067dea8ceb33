/* SPDX-License-Identifier: MIT */
/* A throw-away copy of the sample collection, laid out as a hub cache. */
#ifndef TARE_OPS_DEMO_H
#define TARE_OPS_DEMO_H

#include "base/err.h"
#include "base/hash.h"

/*
 * Lays out every model folder below samples (org/name/files; org/run/checkpoint-N/files is one
 * repository) as a hub cache at cache: blobs named by SHA-256 or Git's SHA-1, snapshots, refs.
 */
int demo_lay_out(const char *samples, const char *cache, struct err *err);

/* Makes this hub cache and this folder stand for the user's own, in this process. */
void demo_isolate(const char *folder, const char *hub);

/* The folder with the samples: $TARE_DATA, the build's data/, or the installed one. Free it. */
char *demo_samples(void);

/* One hash over all files and links below a folder: names, bytes, modes, times, targets. */
struct demo_sums {
    size_t files;
    struct hash128 hash;
};
int demo_sum(const char *folder, struct demo_sums *ret, struct err *err);

/* Removes a folder that the demo made, with all that is below. */
int demo_remove(const char *folder, struct err *err);

#endif
