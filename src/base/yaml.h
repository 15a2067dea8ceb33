/* SPDX-License-Identifier: MIT */
/*
 * The front matter of a model card (by libyaml). Only the named top-level keys are looked at:
 * each such block is parsed alone, so that odd YAML elsewhere in the card does not matter.
 * Events only, no document tree; aliases and anchors end a block.
 */
#ifndef TARE_BASE_YAML_H
#define TARE_BASE_YAML_H

#include <stddef.h>

enum { YAML_BLOCK_LIMIT = 64 * 1024, YAML_VALUE_LIMIT = 1000 };

/*
 * Calls found for each scalar under a key of keys (NULL at its end): the value itself, or each
 * element where it is a list. Text without front matter, or broken blocks, give nothing.
 */
void yaml_front_matter(const char *bytes, size_t n, const char *const keys[],
                       void (*found)(void *context, const char *key, const char *value),
                       void *context);

#endif
