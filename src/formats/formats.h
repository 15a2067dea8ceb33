/* SPDX-License-Identifier: MIT */
/*
 * Which format a weight file has, and which shards an index names. The one door to the parsers.
 */
#ifndef TARE_FORMATS_FORMATS_H
#define TARE_FORMATS_FORMATS_H

#include "base/reader.h"
#include "model/layout.h"

/*
 * Reads what the file holds, by its name (NULL: by its first bytes alone). Formats without a
 * parser are one tensor of bytes; of GGUF the texts in front are read. What only looks like a
 * weight file (LFS pointer, HTML page, empty file) is ERR_FORMAT with a text that says what it is.
 * The caller releases layout.
 */
int format_parse(const char *name, const struct reader *reader, struct layout *layout,
                 struct err *err);

enum { SHARD_INDEX_LIMIT = 256 * 1024 * 1024 };

/*
 * Calls found for each distinct file that the index names; names that are not plain relative
 * paths are an error. A file may be reported more than once where others stand between.
 */
int format_shard_index(const char *bytes, size_t n, void (*found)(void *context, const char *file),
                       void *context, struct err *err);

#endif
