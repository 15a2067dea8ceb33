/* SPDX-License-Identifier: MIT */
/* Who else can read a file: what is compressed into a store of the caller's own is taken from them.
 */
#ifndef TARE_OPS_AUDIENCE_H
#define TARE_OPS_AUDIENCE_H

/*
 * "every user of this machine (ann, bob)" or "the group ml (ann)"; NULL: nobody but the caller and
 * root. By modes of the file and of the folders above it, and by the users and groups that the
 * system lists. Free it.
 */
char *audience_of(const char *path);

#endif
