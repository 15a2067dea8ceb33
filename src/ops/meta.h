/* SPDX-License-Identifier: MIT */
/* What belongs to a file beside its bytes, out of and back into the file system. src/ops only. */
#ifndef TARE_OPS_META_H
#define TARE_OPS_META_H

#include "ops/compress.h"

/* Fills fid, path, size, mode, owner and times. Texts go into the manifest's arena. */
void meta_describe(struct manifest *manifest, const char *path, const struct stat *st);

/* Adds the extended attributes, ACLs among them. */
int meta_read(int fd, struct manifest *manifest, struct err *err);

/* Whether mode, owner and attributes of an open file are those of the manifest. */
bool meta_is_same(int fd, const struct manifest *manifest);

/*
 * Refuses, with the reason, what could not be given back later by this user: owner, group,
 * attributes, and flags of the open file's inode that a new file in its folder does not get.
 */
int meta_can_restore(int fd, const struct manifest *manifest, struct err *err);

/*
 * Puts everything back on a file that was just written; for a copy only what is possible. Another's
 * store gives back only that owner's files as that owner's; what makes a file run as somebody else
 * comes back only from an own store that is known to be that.
 */
int meta_write(int fd, const struct manifest *manifest, const struct store *store, bool copy,
               struct err *err);

/* The report's entry for a model, added where there is none. */
struct done_model *done_of(struct done_report *report, const char *id, const char *name);
/* Adds the part of one store to the report of all, and releases it. */
void done_merge(struct done_report *all, struct done_report *part);
/* Notes the first thing that went wrong with a model: what, at which path. */
void done_fail(struct done_model *done, const char *path, const struct err *why);
/* Writes the report into the store's log. */
void done_log(struct store *store, const char *what, const struct done_report *report);

#endif
