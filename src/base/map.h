/* SPDX-License-Identifier: MIT */
/* A hash table from content ids to numbers. */
#ifndef TARE_BASE_MAP_H
#define TARE_BASE_MAP_H

#include "base/hash.h"

/* Zero-initialised is empty. */
struct map {
    struct map_slot *slots;
    size_t count, cap;
};

/* The number stored under the id; false where there is none. */
bool map_get(const struct map *map, const struct hash128 *id, uint64_t *ret);
/* Stores or replaces. */
void map_put(struct map *map, const struct hash128 *id, uint64_t value);
bool map_has(const struct map *map, const struct hash128 *id);
/* Forgets the id; what was never there is no error. */
void map_remove(struct map *map, const struct hash128 *id);
void map_release(struct map *map);

#endif
