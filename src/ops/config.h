/* SPDX-License-Identifier: MIT */
/*
 * The configuration, $XDG_CONFIG_HOME/tare/config: lines "root = PATH", "store = PATH",
 * "theme = dark|light|mono", "aside = HOURS"; "#" begins a comment; "~/" is the home folder.
 */
#ifndef TARE_OPS_CONFIG_H
#define TARE_OPS_CONFIG_H

#include "ops/ops.h"
#include "ops/view.h"

struct config {
    struct path_list roots, stores;
    char *theme;    /* NULL: not set */
    unsigned aside; /* hours for which originals on network file systems are set aside */
};

/* Reads it into a zeroed struct; a missing file is an empty one. Lines that are not understood
 * are told in notes (may be NULL). */
void config_read(struct config *config, struct buf *notes);
void config_release(struct config *config);

/*
 * What the explorer remembers of its last use, in $XDG_STATE_HOME/tare/explorer: lines "KEY =
 * VALUE". The configuration is people's, this is the program's.
 */
struct settings {
    enum view_sort sort;
    bool reverse, details;
    unsigned measure; /* of the Delta tab */
};

/* What is not there, or not understood, stays as it is. */
void settings_read(struct settings *settings);
/* Where it cannot be written, nothing is remembered. */
void settings_write(const struct settings *settings);

#endif
