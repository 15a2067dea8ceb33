/* SPDX-License-Identifier: MIT */
/* What file names tell: weights, shards of a model, companions. */
#ifndef TARE_MODEL_NAMES_H
#define TARE_MODEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a file of this name holds weights (by its ending, in any case). */
bool name_is_weight(const char *name);

/* Whether a file of this name is read for what it says of its model: card and configurations. */
bool name_is_companion(const char *name);

/*
 * A small file without which the weights are of little use (configurations, tokenizers, cards,
 * indexes, licences): copies of them are kept with what is stored.
 */
bool name_is_kept(const char *name);

/* Whether a folder with this file is one model: config.json and its like. */
bool name_is_config(const char *name);

/* Whether this is a shard index ("model.safetensors.index.json"). */
bool name_is_shard_index(const char *name);

/* "model-00002-of-00005.safetensors": true, with the length of "model", 2 and 5. */
struct shard_name {
    size_t prefix;
    unsigned index, count;
};
bool name_shard(const char *name, struct shard_name *ret);

/* The N of "checkpoint-N", -1 for any other name. */
long name_checkpoint(const char *name);

bool name_ends_with(const char *name, const char *ending);

#endif
