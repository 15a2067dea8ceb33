/* SPDX-License-Identifier: MIT */
/* A hash table from content ids to numbers: open addressing, never more than half full. */
#include "base/map.h"

#include "base/mem.h"

#include <string.h>

struct map_slot {
    struct hash128 id;
    uint64_t value;
    bool used;
};

static struct map_slot *find(const struct map *map, const struct hash128 *id)
{
    uint64_t h;
    memcpy(&h, id->b + 4, sizeof h); /* ids are hashes already */
    for (size_t i = h & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->used || hash128_equal(&slot->id, id))
            return slot;
    }
}

bool map_get(const struct map *map, const struct hash128 *id, uint64_t *ret)
{
    const struct map_slot *slot = map->cap ? find(map, id) : NULL;
    if (!slot || !slot->used)
        return false;
    if (ret)
        *ret = slot->value;
    return true;
}

bool map_has(const struct map *map, const struct hash128 *id)
{
    return map_get(map, id, NULL);
}

static void grow(struct map *map)
{
    struct map bigger = {.cap = map->cap ? map->cap * 2 : 64};
    bigger.slots = mem_zalloc(bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < map->cap; i++)
        if (map->slots[i].used)
            map_put(&bigger, &map->slots[i].id, map->slots[i].value);
    free(map->slots);
    *map = bigger;
}

void map_put(struct map *map, const struct hash128 *id, uint64_t value)
{
    if (map->count * 2 >= map->cap)
        grow(map);
    struct map_slot *slot = find(map, id);
    map->count += !slot->used;
    *slot = (struct map_slot){*id, value, true};
}

/* The slots behind it move up, so that no search ends too early. */
void map_remove(struct map *map, const struct hash128 *id)
{
    struct map_slot *slot = map->cap ? find(map, id) : NULL;
    if (!slot || !slot->used)
        return;
    slot->used = false;
    map->count--;
    for (size_t i = (size_t)(slot - map->slots + 1) & (map->cap - 1); map->slots[i].used;
         i = (i + 1) & (map->cap - 1)) {
        struct map_slot moved = map->slots[i];
        map->slots[i].used = false;
        *find(map, &moved.id) = moved;
    }
}

void map_release(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}
