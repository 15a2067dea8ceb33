/* SPDX-License-Identifier: MIT */
/* The verb report: what eats the disk, summed by something. */
#ifndef TARE_OPS_REPORT_H
#define TARE_OPS_REPORT_H

#include "ops/ops.h"

enum report_by {
    REPORT_FAMILY,
    REPORT_DTYPE,
    REPORT_STATE,
    REPORT_AGE,
    REPORT_OWNER,
    REPORT_ROOT,
    REPORT_KEYS
};

const char *report_by_name(enum report_by by);
bool report_by_parse(const char *name, enum report_by *ret);

struct report_row {
    char *key; /* foreign bytes */
    size_t models;
    uint64_t size, disk, stored; /* disk: every file once, in the first row that has it */
    int64_t frees;               /* what is known */
};

struct report {
    struct report_row *rows; /* by what they occupy; ages in their order */
    size_t count, cap;
    struct report_row total; /* no key */
};

/* Age is the time since a model was read, where that is kept, else since it was changed. */
void report_make(const struct library *library, enum report_by by, int64_t now, struct report *ret);
void report_release(struct report *report);

#endif
