/* SPDX-License-Identifier: MIT */
/* Which models can be bases for which, and which of those that are planned stand alone for it. */
#ifndef TARE_OPS_BASES_H
#define TARE_OPS_BASES_H

#include "ops/ops.h"

enum { BASES_MOST = 8 };

/* A model whose tensors may be bases. */
struct base_option {
    int model;
    bool stored_only; /* of what the store has or holds; nothing is held or copied for it */
    double cost;      /* predicted bytes; < 0: not known */
};

/* Of one planned model: the options, best first. */
struct model_bases {
    struct base_option options[BASES_MOST];
    size_t count;
    bool stands; /* others are planned as differences from it */
};

/* How a model that is not planned can serve. */
enum base_offer { OFFER_NONE, OFFER_FREE, OFFER_COPY };

struct bases_request {
    const int *models; /* the planned ones */
    size_t count;
    const bool *can_stand; /* of each: some of its files are planned */
    int base;              /* what the user named as base of all; NO_MODEL */
    bool alone;            /* no bases at all */
    /* What the use of a model that is not planned would cost. */
    enum base_offer (*offer)(void *context, int model, bool stored_only);
    void *context;
};

/*
 * Fills ret, one for each of the planned models, zero before. Models without profiles have their
 * ancestors.
 */
void bases_choose(struct ops *ops, const struct library *library,
                  const struct bases_request *request, struct model_bases *ret);

/*
 * Bytes that a model takes as a difference from a base (NO_MODEL: alone), by their profiles; < 0:
 * there are none, or they cannot be compared.
 */
double bases_predict(struct ops *ops, const struct library *library, int model, int base);

#endif
