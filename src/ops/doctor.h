/* SPDX-License-Identifier: MIT */
/* The verb doctor: where everything is, and what is missing on this machine. */
#ifndef TARE_OPS_DOCTOR_H
#define TARE_OPS_DOCTOR_H

#include "ops/ops.h"

struct doctor_report {
    struct path_list roots, stores, problems;
    char *hub, *catalog;
    const char *hub_variable; /* which variable names the hub cache, or NULL */
    bool hub_exists;
};

int ops_doctor(struct ops *ops, struct doctor_report *ret, struct err *err);
void doctor_report_release(struct doctor_report *report);

#endif
