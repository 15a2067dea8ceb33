/* SPDX-License-Identifier: MIT */
/* The whole collection at a glance. */
#include "ops/overview.h"

#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { ROWS = 6 /* of each table */, NAMES = 26, NUMBERS = 34 };

/* ---- finding out ---- */

/* Which of the spaces a folder is on: each folder and each device is asked for once. */
static uint64_t find_space(struct overview *overview, const char *place, struct map *seen)
{
    const struct hash128 folder = hash128_of(place, strlen(place));
    struct stat st;
    struct statvfs vfs;
    uint64_t at = UINT64_MAX;
    if (map_get(seen, &folder, &at))
        return at;
    if (stat(place, &st) == 0 && statvfs(place, &vfs) == 0 && vfs.f_blocks) {
        const struct hash128 device = hash128_of(&st.st_dev, sizeof st.st_dev);
        if (!map_get(seen, &device, &at)) {
            at = overview->space_count;
            *ARRAY_ADD(overview->spaces, overview->space_count, overview->space_cap) =
                (struct space){mem_strdup(place), (uint64_t)vfs.f_blocks * vfs.f_frsize,
                               (uint64_t)vfs.f_bavail * vfs.f_frsize, 0};
        }
        map_put(seen, &device, at);
    }
    map_put(seen, &folder, at);
    return at;
}

static void hold(struct overview *overview, const char *place, uint64_t bytes, struct map *seen)
{
    uint64_t at = find_space(overview, place, seen);
    if (at != UINT64_MAX)
        overview->spaces[at].held += bytes;
}

static int by_held(const void *a, const void *b)
{
    const struct space *x = a, *y = b;
    return x->held != y->held ? (x->held > y->held ? -1 : 1) : strcmp(x->place, y->place);
}

/* Of models, each file once, and of stores. */
static void add_spaces(const struct library *library, struct overview *overview)
{
    struct map seen = {0};
    for (size_t i = 0; i < library->model_count; i++)
        hold(overview, library->models[i].root, 0, &seen);
    for (size_t i = 0; i < library->file_count; i++) {
        const struct lib_file *file = &library->files[i];
        AUTO_FREE char *folder = file_dir(file->path);
        if (file->state == FILE_PLAIN || file->state == FILE_KEPT)
            hold(overview, folder, file->disk, &seen);
        if (file->store)
            hold(overview, file->store, file->stored, &seen);
    }
    map_release(&seen);
    if (overview->space_count)
        qsort(overview->spaces, overview->space_count, sizeof *overview->spaces, by_held);
}

static void add_way(struct overview *overview, enum way way, uint64_t bytes)
{
    overview->ways[way].models++;
    overview->ways[way].bytes += bytes;
}

static void add_ways(const struct library *library, int64_t now, struct overview *overview)
{
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *m = &library->models[i];
        bool unused = m->read && now - m->read > (int64_t)STALE_DAYS * 86400;
        overview->ways[WAY_COMPRESS].models +=
            m->state == MODEL_PLAIN && m->frees_known && m->frees > 0;
        if (m->state == MODEL_KEPT)
            add_way(overview, WAY_TRIALS, m->unique);
        if (m->flags & MODEL_ORPHAN)
            add_way(overview, WAY_ORPHANS, m->unique);
        else if (m->flags & (MODEL_INCOMPLETE | MODEL_MISSING))
            add_way(overview, WAY_BROKEN, m->unique);
        else if (unused)
            add_way(overview, WAY_STALE, m->unique);
    }
    overview->ways[WAY_COMPRESS].bytes = library->frees;
}

void overview_make(const struct library *library, int64_t now, struct overview *ret)
{
    *ret = (struct overview){0};
    add_spaces(library, ret);
    add_ways(library, now, ret);
    report_make(library, REPORT_FAMILY, now, &ret->families);
    report_make(library, REPORT_DTYPE, now, &ret->dtypes);
    report_make(library, REPORT_STATE, now, &ret->states);
}

void overview_release(struct overview *overview)
{
    for (size_t i = 0; i < overview->space_count; i++)
        free(overview->spaces[i].place);
    free(overview->spaces);
    report_release(&overview->families);
    report_release(&overview->dtypes);
    report_release(&overview->states);
    *overview = (struct overview){0};
}

/* ---- as text ---- */

const char *way_text(enum way way)
{
    static const char *const texts[WAYS] = {
        "compress them: a and c, or tare compress --all",
        "end the trials: compress them without keeping the originals",
        "delete blobs that no revision names (orphan)",
        "delete downloads that broke off, or fetch the rest",
        "look at what was not read for 90 days (sort by READ)",
    };
    return texts[way];
}

static void put_bar(struct buf *out, double share, int width)
{
    int full = share > 0 ? MAX((int)(share * width + 0.5), 1) : 0;
    for (int i = 0; i < width; i++)
        buf_str(out, i < full ? (text_utf8() ? "█" : "#") : (text_utf8() ? "░" : "."));
}

/* "  name   16.1G  ███░░  12%  (more)" */
static void put_row(struct buf *out, const char *name, uint64_t bytes, double share, int bar,
                    const char *more)
{
    char size[16];
    AUTO_FREE char *safe = text_safe(name);
    buf_str(out, "  ");
    text_fit(out, safe, NAMES);
    text_size(size, bytes);
    buf_printf(out, "  %6s  ", size);
    put_bar(out, share, bar);
    buf_printf(out, " %3.0f%%%s\n", share * 100, more);
}

static void put_report(struct buf *out, const char *title, const struct report *report, int bar)
{
    uint64_t all = report->total.disk + report->total.stored, rest = 0;
    size_t models = 0;
    char more[48];
    buf_printf(out, " \n%s\n", title);
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        uint64_t bytes = row->disk + row->stored;
        if (i >= ROWS && report->count > ROWS + 1) {
            rest += bytes;
            models += row->models;
            continue;
        }
        snprintf(more, sizeof more, "  %zu", row->models);
        put_row(out, row->key, bytes, (double)bytes / (double)MAX(all, 1u), bar, more);
    }
    if (!models)
        return;
    AUTO_FREE char *others = mem_printf("%zu others", report->count - ROWS);
    snprintf(more, sizeof more, "  %zu", models);
    put_row(out, others, rest, (double)rest / (double)MAX(all, 1u), bar, more);
}

void overview_text(const struct library *library, const struct overview *overview, int width,
                   struct buf *out)
{
    char size[16];
    int bar = MAX(MIN(width - NAMES - NUMBERS, 40), 4);
    buf_str(out, "What can be freed, by doing what\n");
    for (int w = 0; w < WAYS; w++) {
        const struct way_sum *sum = &overview->ways[w];
        if (!sum->bytes)
            continue;
        text_size(size, sum->bytes);
        buf_printf(out, "  %6s  %zu model%s  %s\n", size, sum->models, sum->models == 1 ? "" : "s",
                   way_text((enum way)w));
    }
    buf_str(out, "  What is stored twice is in the Duplicates tab (3, or tare duplicates).\n");
    buf_str(out, " \nFile systems, and how full they are\n");
    for (size_t i = 0; i < overview->space_count; i++) {
        const struct space *s = &overview->spaces[i];
        char left[16];
        text_size(left, s->left);
        AUTO_FREE char *more = mem_printf("  %s left", left);
        put_row(out, s->place, s->size, 1 - (double)s->left / (double)s->size, bar, more);
    }
    put_report(out, "Families: what they occupy, and how many models they have",
               &overview->families, bar);
    put_report(out, "Types of the weights", &overview->dtypes, bar);
    put_report(out, "States", &overview->states, bar);
    text_size(size, library->stored);
    if (library->stored)
        buf_printf(out, " \n%s of it is in stores (tare verify reads and checks it)\n", size);
}
