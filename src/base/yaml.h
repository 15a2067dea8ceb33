/* SPDX-License-Identifier: MIT */
/*
 * YAML (by libyaml): events only, no document tree. An alias, or nesting beyond YAML_DEPTH, ends
 * the reading: what stood before counts.
 */
#ifndef TARE_BASE_YAML_H
#define TARE_BASE_YAML_H

#include <stddef.h>

enum { YAML_BLOCK_LIMIT = 64 * 1024, YAML_VALUE_LIMIT = 10000, YAML_DEPTH = 32 };

/*
 * Calls found for each scalar that is the value of one of keys (NULL at their end), wherever it
 * stands in the document: the value itself, each element of a list, or what a mapping there has
 * as its path.
 */
void yaml_scalars(const char *bytes, size_t n, const char *const keys[],
                  void (*found)(void *context, const char *key, const char *value), void *context);

/*
 * The same for the front matter of a model card. Only the named top-level keys are looked at, and
 * each such block is parsed alone, so that odd YAML elsewhere in the card does not matter. Text
 * without front matter, or broken blocks, give nothing.
 */
void yaml_front_matter(const char *bytes, size_t n, const char *const keys[],
                       void (*found)(void *context, const char *key, const char *value),
                       void *context);

#endif
