/* SPDX-License-Identifier: MIT */
/* The verbs compress, decompress, verify, gc and log: what changes a store, and what checks it. */
#ifndef TARE_OPS_COMPRESS_H
#define TARE_OPS_COMPRESS_H

#include "ops/plan.h"

/* What became of one model. */
struct done_model {
    char id[MODEL_ID];
    char *name;
    uint64_t size, stored;
    int64_t freed;
    size_t files, left; /* that were done, and that were not */
    double seconds;
    const char *state; /* as in --json */
    char *error;       /* NULL, or the first thing that went wrong; foreign bytes */
};

struct done_report {
    struct done_model *models;
    size_t count, cap;
    struct map by_id; /* hash of the id -> index of models */
    struct buf notes; /* lines for the user; foreign bytes */
};
void done_report_release(struct done_report *report);

/*
 * Carries the plan out, file by file. A file that fails stays as it was and is named in the
 * report; the others go on, those of other stores too. A cancel takes back the file in flight.
 * Returns 0, or what went wrong first.
 */
int ops_compress(struct ops *ops, const struct library *library, const struct plan *plan, bool keep,
                 struct progress *progress, struct done_report *ret, struct err *err);

/*
 * Gives back all files of these models. With to: copies below that folder, the store stays as
 * it is. Files that other models share come back for them too.
 */
int ops_decompress(struct ops *ops, const struct library *library, const int *models, size_t count,
                   const char *to, struct progress *progress, struct done_report *ret,
                   struct err *err);

struct damage {
    char *object, *reason;   /* what in the store, by its path there; foreign bytes */
    struct path_list models; /* names of those that need it */
    struct path_list advice; /* where what is lost can be had again */
    struct hash128 id;       /* of the content that is lost; zero: something else */
    char finding[17];        /* the same for the same damage, from run to run */
    int code;                /* ERR_DAMAGED, or what kept it from being read */
    bool repaired;
};
struct verify_report {
    uint64_t objects, bytes, read; /* read: stored bytes */
    uint64_t files;                /* decoded as a whole */
    uint64_t unread;               /* objects that no verify has read yet */
    int64_t oldest;                /* of the others: when the one was read that waits longest */
    struct damage *damaged;
    size_t count, cap;
    struct path_list foreign; /* files in a store that are none of its own: no damage */
    struct path_list gone;    /* sentences about companions that are not in their places */
};
void verify_report_release(struct verify_report *report);
/* How many damages there are that were not repaired. */
size_t verify_report_open(const struct verify_report *report);

/* Adds a sentence for each model of a store whose companions are not all in their places. */
void verify_companions(const struct store *store, struct path_list *ret);

struct verify_request {
    const int *models; /* indices into the library; count 0: everything */
    size_t count;
    bool repair;          /* from duplicates and originals, where there are any */
    bool deep;            /* decode everything, and compare it with the hashes of the files */
    unsigned part, parts; /* the part-th of so many parts, counted from 1; parts 0: all */
    uint64_t budget;      /* stored bytes to read, the longest unread first; 0: all */
    uint64_t rate;        /* stored bytes to read in a second; 0: as fast as it goes */
};

/*
 * Reads and checks everything that is stored, or what these models need. What it finds is
 * remembered in the catalog, so that lists show it.
 */
int ops_verify(struct ops *ops, const struct library *library, const struct verify_request *request,
               struct progress *progress, struct verify_report *ret, struct err *err);

/* Removes what nothing needs, in all known stores. */
int ops_gc(struct ops *ops, bool dry_run, struct progress *progress, struct gc_report *ret,
           struct err *err);

/* All lines of the logs of all stores, as JSON objects, oldest first: found must not keep them. */
int ops_log(struct ops *ops, void (*found)(void *context, const char *line, size_t n),
            void *context, struct err *err);

#endif
