/* SPDX-License-Identifier: MIT */
/*
 * The configuration, $XDG_CONFIG_HOME/tare/config: lines "root = PATH", "store = PATH",
 * "theme = dark|light|mono"; "#" begins a comment; "~/" is the home folder.
 */
#ifndef TARE_OPS_CONFIG_H
#define TARE_OPS_CONFIG_H

#include "ops/ops.h"

struct config {
    struct path_list roots, stores;
    char *theme; /* NULL: not set */
};

/* Reads it into a zeroed struct; a missing file is an empty one. Lines that are not understood
 * are told in notes (may be NULL). */
void config_read(struct config *config, struct buf *notes);
void config_release(struct config *config);

#endif
