/* SPDX-License-Identifier: MIT */
/* What speaks against compressing a file just now. For src/ops only. */
#ifndef TARE_OPS_GUARD_H
#define TARE_OPS_GUARD_H

#include "ops/ops.h"

#include <sys/stat.h>

/* What a guard is told, and what it could not find out. */
struct guard {
    bool live;       /* checkpoints of a run that is being written to, too */
    unsigned links;  /* names that the file may have beside its own: what the store holds */
    unsigned unseen; /* processes of other users whose files could not be looked at */
};

/*
 * 0, or ERR_REFUSED / ERR_BUSY / ERR_CHANGED with the reason: not a regular file any more,
 * changed since the scan, other hard links, in use by a process, a download under way beside it,
 * the newest checkpoint of a run that is being written to, of another user.
 */
int guard_file(const struct lib_model *model, const struct lib_file *file, struct guard *guard,
               struct err *err);

/* Adds a sentence about what could not be found out, if anything. */
void guard_note(const struct guard *guard, struct path_list *notes);

/*
 * Takes a read lease on a file: from then on whoever opens it for writing waits until it is given
 * up, and guard_lease_check tells of it. False where none can be had (the file system, the
 * owner, a writer); it ends with the descriptor.
 */
bool guard_lease(int fd);
/* ERR_CHANGED, with the lease given up, if somebody wants to write to the file. */
int guard_lease_check(int fd, struct err *err);

/*
 * 0, or ERR_BUSY with the process's name: whether only this descriptor has the file open. unseen
 * (may be NULL) gets how many processes could not be asked; 0 where the system itself answered. A
 * lease that is held becomes one against every other opening where that is possible.
 */
int guard_unused(int fd, const struct stat *st, unsigned *unseen, struct err *err);

/*
 * Whether a process has the inode open or mapped: its name and pid (free it), else NULL. Adds to
 * *unseen those of which it cannot be told.
 */
char *guard_user_of(dev_t dev, ino_t ino, unsigned *unseen);

#endif
