/* SPDX-License-Identifier: MIT */
/* Progress and cancel. */
#include "base/progress.h"

#include <stddef.h>

void progress_add(struct progress *progress, uint64_t bytes)
{
    if (progress)
        atomic_fetch_add_explicit(&progress->done, bytes, memory_order_relaxed);
}

void progress_phase(struct progress *progress, const char *phase)
{
    if (progress)
        atomic_store(&progress->phase, phase);
}

void progress_item(struct progress *progress, uint32_t item, uint32_t items)
{
    if (progress) {
        atomic_store(&progress->item, item);
        atomic_store(&progress->items, items);
    }
}

int progress_check(const struct progress *progress, struct err *err)
{
    if (progress && atomic_load_explicit(&progress->cancel, memory_order_relaxed))
        return err_set(err, ERR_CANCELLED, "stopped on request");
    return 0;
}
