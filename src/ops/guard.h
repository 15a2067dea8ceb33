/* SPDX-License-Identifier: MIT */
/* What speaks against compressing a file just now. For src/ops only. */
#ifndef TARE_OPS_GUARD_H
#define TARE_OPS_GUARD_H

#include "ops/ops.h"

#include <sys/stat.h>

/*
 * 0, or ERR_REFUSED / ERR_BUSY / ERR_CHANGED with the reason: not a regular file any more,
 * changed since the scan, other hard links than those of the store, in use by a process, a
 * download under way beside it, the newest checkpoint of a run that is being written to (live
 * lifts that), metadata that could not be given back.
 * allowed_links: names that the store itself holds, beside the file's own.
 */
int guard_file(const struct lib_model *model, const struct lib_file *file, bool live,
               unsigned allowed_links, struct err *err);

/* 0, or ERR_BUSY with the process's name: whether only this descriptor has the file open. */
int guard_unused(int fd, const struct stat *st, struct err *err);

/* Whether a process has the inode open or mapped: its name and pid in ret (free it), else NULL. */
char *guard_user_of(dev_t dev, ino_t ino);

#endif
