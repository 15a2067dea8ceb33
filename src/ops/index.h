/* SPDX-License-Identifier: MIT */
/* How a file gets into the catalog: its identity, header, sketches and hashes. For src/ops only. */
#ifndef TARE_OPS_INDEX_H
#define TARE_OPS_INDEX_H

#include "catalog/catalog.h"
#include "ops/ops.h"
#include "store/manifest.h"

#include <sys/stat.h>

/*
 * Opens a file that is as the catalog knows it; ERR_CHANGED. index_check asks again of an open
 * one, after it was read.
 */
int index_open(const struct lib_file *file, struct err *err);
int index_check(const struct lib_file *file, int fd, struct err *err);

/* An id of the file system that survives a reboot, where the system has one. */
uint64_t index_fsid(const char *path, dev_t dev);

/* The key of a file that lies on disk: "fsid:inode" in hex. */
void index_key(char dst[40], uint64_t fsid, uint64_t ino);

/* Everything that stat tells, put into a record. */
void index_stat(struct catalog_file *file, const struct stat *st);

/*
 * Reads the header of a file that a walk below root found and completes its record. What is
 * wrong with the file goes into file->error (in arena), with layout left empty.
 */
void index_header(struct catalog_file *file, const char *root, const char *name,
                  struct layout *layout, struct arena *arena);

/* All sketches of a file in a row, with the hash of all of them. */
int index_sketches(int fd, const struct layout *layout, struct buf *bytes,
                   struct catalog_sketches *ret, struct err *err);

/* Hashes every tensor and what lies between: ids (count of the layout) and the content id. */
int index_hashes(int fd, const struct layout *layout, struct hash128 *ids, struct hash128 *content,
                 struct progress *progress, struct err *err);

/* The content id of a stored file, as index_hashes would find it. */
struct hash128 index_content(const struct manifest *manifest);

#endif
