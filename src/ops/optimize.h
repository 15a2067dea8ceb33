/* SPDX-License-Identifier: MIT */
/* The verb optimize: what is stored is planned anew, now that better bases may have arrived. */
#ifndef TARE_OPS_OPTIMIZE_H
#define TARE_OPS_OPTIMIZE_H

#include "ops/compress.h"

/* A stored model that is to be stored in another way. Bases: NO_MODEL is standalone. */
struct optimize_step {
    int model, base, base_now;
    double now, then; /* bytes, both predicted */
};

struct optimize_plan {
    struct optimize_step *steps; /* in the order in which they are carried out */
    size_t count, cap;
    double now, then; /* of all models that were looked at */
};

/*
 * What would change for these models of the library. A family is left as it is unless a hundredth
 * of what it takes can be saved.
 */
int ops_optimize_plan(struct ops *ops, const struct library *library, const int *models,
                      size_t count, struct optimize_plan *ret, struct err *err);
void optimize_plan_release(struct optimize_plan *plan);

/* The plan as lines for people, escaped. */
void optimize_text(const struct library *library, const struct optimize_plan *plan,
                   struct buf *out);

/*
 * Carries the plan for these models out: each one is given back and compressed again, with all that
 * makes both safe; then what could not move before others had moved. What is interrupted leaves one
 * model decompressed, and its compression on the queue.
 */
int ops_optimize(struct ops *ops, const struct library *library, const int *models, size_t count,
                 const struct optimize_plan *plan, struct progress *progress,
                 struct done_report *ret, struct err *err);

#endif
