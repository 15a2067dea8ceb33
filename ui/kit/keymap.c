/* SPDX-License-Identifier: MIT */
/* Keys and actions. */
#include "ui/kit/keymap.h"

int keymap_find(const struct binding *bindings, size_t count, unsigned where, int key)
{
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < KEYS_MOST && bindings[i].keys[k]; k++)
            if (bindings[i].where & where && bindings[i].keys[k] == key)
                return bindings[i].action;
    return -1;
}
