/* SPDX-License-Identifier: MIT */
/*
 * Which stores this user made or trusts. $XDG_DATA_HOME/tare/stores lists those that were made,
 * .../trusted those that were trusted by `tare trust`: a line each of owner, device, inode and
 * path, so that another folder under the same name is not meant. /etc/tare/trusted is the
 * administrator's: a path on each line.
 */
#ifndef TARE_OPS_TRUST_H
#define TARE_OPS_TRUST_H

#include "ops/ops.h"
#include "store/store.h"

/* What store_open is told about a store. ops must outlive it. */
struct store_access trust_access(struct ops *ops);

/* Calls found for the path of each store that was made outside of its usual places. */
void trust_each_made(void (*found)(void *context, const char *path), void *context);

/* What `tare trust` finds out about a folder, and shows before it is trusted. */
struct trust_view {
    struct stat st;
    char *path;    /* by the system; free it */
    bool is_store; /* or empty */
    bool trusted;  /* already */
};
int trust_look(const char *path, struct trust_view *ret, struct err *err);
/* Remembers it: owner, device and inode of the folder that was looked at. */
int trust_add(const struct trust_view *view, struct err *err);
/* Forgets it; ERR_NOTFOUND. */
int trust_remove(const char *path, struct err *err);
/* Calls found for each line of the user's own list. */
void trust_list(void (*found)(void *context, const char *path, uid_t owner), void *context);

#endif
