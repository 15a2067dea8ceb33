/* SPDX-License-Identifier: MIT */
/*
 * All that a long operation knows of the outside: it adds what it has done and asks whether it
 * should stop. Written by workers, read by whoever shows it; every field is atomic.
 */
#ifndef TARE_BASE_PROGRESS_H
#define TARE_BASE_PROGRESS_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
    _Atomic uint64_t done, total; /* bytes of the whole operation */
    _Atomic uint32_t item, items; /* the file in flight, counted from 1; how many */
    _Atomic(const char *) phase;  /* a string constant: "hashing", "comparing" … */
    atomic_bool cancel;           /* set by the outside, polled by the operation */
};

/* All of these accept NULL. */
void progress_add(struct progress *progress, uint64_t bytes);
void progress_phase(struct progress *progress, const char *phase);
void progress_item(struct progress *progress, uint32_t item, uint32_t items);
/* 0, or ERR_CANCELLED with the text for the user. */
int progress_check(const struct progress *progress, struct err *err);

#endif
