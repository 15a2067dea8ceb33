/* SPDX-License-Identifier: MIT */
/* The plan as lines for people. */
#include "ops/plan.h"

#include "base/text.h"

#include <string.h>

static void add_model(const struct library *library, const struct plan_model *m, int width,
                      size_t files, struct buf *out)
{
    static const char *const how[] = {"", "in the store", "held by link", "included", "copied"};
    AUTO_FREE char *name = text_safe(library->models[m->model].name);
    AUTO_BUF struct buf fitted = {0};
    char size[16], stored[16];
    text_fit(&fitted, name, width);
    text_size(size, m->size);
    text_size(stored, m->estimated);
    buf_printf(out, "  %s %3zu file%s %7s -> %6s", fitted.data, files, files == 1 ? " " : "s", size,
               stored);
    if (m->base != NO_MODEL) {
        AUTO_FREE char *base = text_safe(library->models[m->base].name);
        buf_printf(out, "   delta against %s (%s)", base, how[m->how]);
    } else {
        buf_str(out, m->asked ? "   standalone" : "   standalone, included");
    }
    buf_char(out, '\n');
}

static void add_skipped(const struct library *library, const struct plan *plan, struct buf *out)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct plan_file *file = &plan->files[i];
        if (!file->skip)
            continue;
        AUTO_FREE char *name = text_safe(library->models[file->model].name);
        AUTO_FREE char *reason = text_safe(file->skip);
        buf_printf(out, "  skipped: %s  (%s)\n", name, reason);
    }
}

/* What it comes to, before and after. */
static void add_sum(const struct plan *plan, uint64_t size, int width, struct buf *out)
{
    char before[16], after[16], copies[16];
    text_size(before, size);
    text_size(after, plan->after);
    text_size(copies, plan->base_bytes);
    buf_printf(out, "  %-*s %9s  %7s -> %6s", width, "together", "", before, after);
    if (plan->base_bytes)
        buf_printf(out, "   and %s of copies of bases", copies);
    buf_char(out, '\n');
}

void plan_text(const struct library *library, const struct plan *plan, struct buf *out)
{
    size_t stored = 0;
    const char *store = NULL;
    int width = 8;
    uint64_t back = 0;
    for (size_t f = 0; f < plan->file_count; f++) {
        if (plan->files[f].skip)
            continue;
        store = store ? store : plan->files[f].store;
        back += library->files[plan->files[f].file].size;
    }
    for (size_t i = 0; i < plan->model_count; i++) {
        AUTO_FREE char *name = text_safe(library->models[plan->models[i].model].name);
        stored += plan->models[i].estimated > 0;
        width = MAX(width, MIN(text_width(name), 34));
    }
    AUTO_FREE char *safe_store = text_safe(store ? store : "-");
    buf_printf(out, "Compress %zu model%s   store %s\n", stored, stored == 1 ? "" : "s",
               safe_store);
    for (size_t i = 0; i < plan->model_count; i++) {
        const struct plan_model *m = &plan->models[i];
        size_t files = 0;
        for (size_t f = 0; f < plan->file_count; f++)
            files += plan->files[f].model == m->model && !plan->files[f].skip;
        if (files)
            add_model(library, m, width, files, out);
    }
    if (stored > 1)
        add_sum(plan, back, width, out);
    char frees[16], needed[16], free_now[16], size[16], time[32], back_time[32];
    text_size(frees, (uint64_t)MAX(plan->frees, 0));
    text_size(needed, plan->needed);
    text_size(free_now, plan->free);
    text_size(size, back);
    text_duration(time, plan->seconds);
    text_duration(back_time, plan->seconds / 2); /* decoding takes about half of it */
    if (plan->frees > 0)
        buf_printf(out, "  frees about %s    needs %s while working (%s there)    about %s\n",
                   frees, needed, free_now, time);
    else
        buf_str(out, "  frees nothing: nothing will be done\n");
    if (stored)
        buf_printf(out,
                   "  to get them back: %s free, about %s\n"
                   "  until then: offline loads fail, online loads download %s again\n",
                   size, back_time, size);
    add_skipped(library, plan, out);
    for (size_t i = 0; i < plan->notes.count; i++) {
        AUTO_FREE char *note = text_safe(plan->notes.paths[i]);
        buf_printf(out, "  note: %s\n", note);
    }
}
