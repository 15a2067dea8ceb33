/* SPDX-License-Identifier: MIT */
/* The verb scan: headers first, then sketches and hashes. */
#ifndef TARE_OPS_SCAN_H
#define TARE_OPS_SCAN_H

#include "ops/ops.h"

struct scan_request {
    const char *const *paths; /* become roots; NULL-terminated; NULL: see ops_default_roots */
    const char *forget;       /* a root to drop, or NULL */
    bool headers_only;
};

struct scan_root {
    char *path;
    const char *source; /* "hf", "dir" */
    size_t models, files;
};

struct scan_problem {
    char *path, *reason; /* may hold foreign bytes */
};

struct scan_report {
    struct scan_root *roots;
    size_t root_count, root_cap;
    struct scan_problem *problems;
    size_t problem_count, problem_cap;
    size_t models, files;
    uint64_t tensors, size, disk;
    double seconds;
};

/*
 * Indexes the roots that are given, else the hub cache of this user and all roots known. Unchanged
 * files are not opened again; a scan that was cut off goes on where it stood. Problems of single
 * files are in the report, not in the result.
 */
int ops_scan(struct ops *ops, const struct scan_request *request, struct progress *progress,
             struct scan_report *ret, struct err *err);
void scan_report_release(struct scan_report *report);

/* Hashes the files of these models that are not hashed yet, and only those. */
int ops_hash_models(struct ops *ops, const struct library *library, const int *models, size_t count,
                    struct progress *progress, struct err *err);

/* After a store was changed: reads the headers again, so that lists tell the truth. */
void ops_refresh(struct ops *ops);

/* The roots that a scan without PATH looks at: the hub cache of this user, and what was named. */
void ops_default_roots(struct ops *ops, struct path_list *ret);

#endif
