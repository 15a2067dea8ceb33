/* SPDX-License-Identifier: MIT */
/* The verb overview: what a collection is made of, where it lies, and what can be freed how. */
#ifndef TARE_OPS_OVERVIEW_H
#define TARE_OPS_OVERVIEW_H

#include "ops/report.h"

/* A file system that holds models or a store. */
struct space {
    char *place; /* the first folder of ours on it */
    uint64_t size, left;
    uint64_t held; /* bytes of models, and of what is stored of them */
};

/* Something that would free space. */
enum way { WAY_COMPRESS, WAY_TRIALS, WAY_ORPHANS, WAY_BROKEN, WAY_STALE, WAYS };
struct way_sum {
    size_t models;
    uint64_t bytes;
};

struct overview {
    struct space *spaces; /* which holds most, first */
    size_t space_count, space_cap;
    struct report families, dtypes, states;
    struct way_sum ways[WAYS];
};

enum { STALE_DAYS = 90 };

/* Asks the file systems: not for a thread that must not wait. */
void overview_make(const struct library *library, int64_t now, struct overview *ret);
void overview_release(struct overview *overview);

/* What to do: "compress (tare compress --all; in the explorer a, then c)". */
const char *way_text(enum way way);

/* Appends it as lines of escaped text, at most `width` columns wide. */
void overview_text(const struct library *library, const struct overview *overview, int width,
                   struct buf *out);

#endif
