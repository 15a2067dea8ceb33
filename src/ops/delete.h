/* SPDX-License-Identifier: MIT */
/* The verb delete: models go for good, after a plan that says what that frees and what it hits. */
#ifndef TARE_OPS_DELETE_H
#define TARE_OPS_DELETE_H

#include "ops/compress.h"

struct delete_model {
    int model;
    char *refused; /* NULL, or why it stays; foreign bytes */
    size_t files;  /* that lie on disk or in a store */
};

/* A name in a cache or folder that goes, in this order. */
struct delete_path {
    char *path; /* absolute */
    char *root; /* the cache or folder that it lies beneath */
    int model;  /* index of delete_plan.models */
};

/* A stored file that goes, or stays for others that name it. */
struct delete_stored {
    char *store, *fid;
    bool shared; /* another model names it too: only the names of these models go */
    bool absent; /* its manifest is damaged or lost */
    int model;
};

struct delete_plan {
    struct delete_model *models;
    size_t model_count, model_cap;
    struct delete_path *paths;
    size_t path_count, path_cap;
    struct delete_stored *stored;
    size_t stored_count, stored_cap;
    bool live;              /* checkpoints of a run that is being written to, too */
    uint64_t frees;         /* bytes: blocks that nobody else shares, and what the stores give up */
    struct path_list notes; /* what depends on it, what stays held; foreign bytes */
};

/*
 * What deleting the models would remove. In a hub cache that is what `hf cache rm` removes for
 * their revisions, and nothing that another revision or repository uses; in a folder the models'
 * files, what only describes them, and folders that are empty then. Nothing is changed.
 */
int ops_delete_plan(struct ops *ops, const struct library *library, const int *models, size_t count,
                    bool live, struct delete_plan **ret, struct err *err);
void delete_plan_free(struct delete_plan *plan); /* accepts NULL */

/* The plan as lines for people, escaped. */
void delete_plan_text(const struct library *library, const struct delete_plan *plan,
                      struct buf *out);

/*
 * Carries the plan out. Where it is cut off, each file is there or gone, and `tare jobs --resume`
 * does the rest; blobs that are left without their revision are listed as @orphans. Nothing at all
 * is removed where the plan would be another one by now, a store is locked, or any of it is in use.
 */
int ops_delete(struct ops *ops, const struct library *library, const struct delete_plan *plan,
               struct progress *progress, struct done_report *ret, struct err *err);

#endif
