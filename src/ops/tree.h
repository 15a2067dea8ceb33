/* SPDX-License-Identifier: MIT */
/* Families as people see them: trees of models, and what is known of each one's ancestry. */
#ifndef TARE_OPS_TREE_H
#define TARE_OPS_TREE_H

#include "base/mem.h"
#include "model/library.h"
#include "ops/view.h"

/* One parent of a model, with all that speaks for it, or against. */
struct tree_parent {
    int model;            /* NO_MODEL: it is not here */
    const char *name;     /* foreign bytes */
    const char *relation; /* "finetune", "checkpoint", "adapter", "merge", "quantized",
                             "duplicate" */
    const char *kinds[8]; /* of evidence, as in --json: "card", …, "bits" */
    const char *details[8];
    size_t kind_count;
    double distance;   /* of 16 bits; < 0: not known */
    double shared;     /* share of its bytes in tensors that the parent has, too */
    bool moved;        /* most of that has another name there */
    bool contradicted; /* what claims it is denied by the bits */
};

enum { TREE_PARENTS = 16 };

/* The parents of a model, the one that it hangs under first; at most TREE_PARENTS. */
size_t tree_parents(const struct library *library, int model, struct tree_parent *parents);

/* Appends "differs 2.8/16  card bits", with what contradicts it; and the same behind its relation.
 */
void tree_describe_evidence(const struct tree_parent *parent, struct buf *out);
void tree_describe_parent(const struct tree_parent *parent, struct buf *out);

/* Appends "finetune  differs 2.8/16  card bits": what a model is to the one above it. */
void tree_describe(const struct library *library, int model, struct buf *out);

/* A line of the forest: a model, or a parent that is only named. */
struct tree_row {
    int model;        /* NO_MODEL: absent */
    const char *name; /* foreign bytes */
    int depth;
    size_t below;  /* rows of its subtree, which follow it */
    bool last;     /* of its siblings */
    int64_t frees; /* of it and what is below: what is known, together */
    uint64_t size; /* the same */
};

/*
 * The forest in the order in which it is drawn: families first, models without relatives behind.
 * Families stand by name, size, or by what they free, the largest first; what is in them by name in
 * natural order. Uses the library's memory.
 */
struct tree {
    struct tree_row *rows;
    size_t count, cap;
};
void tree_build(const struct library *library, enum view_sort sort, struct tree *ret);
void tree_release(struct tree *tree);

/* The row that one hangs under; itself at the top. */
size_t tree_parent_row(const struct tree *tree, size_t row);
/* Its name without the folders that it shares with the row above. */
const char *tree_short_name(const struct tree *tree, size_t row);

/* What compressing a model alone would free, where that is known and to be had; else 0. */
int64_t tree_own_frees(const struct lib_model *model);

/* Appends the branches in front of a row's name, "│  ├─ " or their ASCII. */
void tree_branches(const struct tree *tree, size_t row, struct buf *out);

#endif
