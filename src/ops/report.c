/* SPDX-License-Identifier: MIT */
/* Reports. */
#include "ops/report.h"

#include "ops/tree.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

static const char *const by_names[REPORT_KEYS] = {"family", "dtype", "state",
                                                  "age",    "owner", "root"};

const char *report_by_name(enum report_by by)
{
    return by_names[by];
}

bool report_by_parse(const char *name, enum report_by *ret)
{
    for (int i = 0; i < REPORT_KEYS; i++) {
        if (strcmp(by_names[i], name) == 0) {
            *ret = (enum report_by)i;
            return true;
        }
    }
    return false;
}

/* Ages begin with a digit by which they stand in order; it is not shown. */
static const struct {
    int64_t days;
    const char *name;
} ages[] = {{7, "0this week"}, {31, "1this month"}, {92, "2this quarter"}, {366, "3this year"}};

static const char *age_of(const struct lib_model *m, int64_t now)
{
    int64_t days = (now - (m->read ? m->read : m->modified)) / 86400;
    for (size_t i = 0; i < COUNT_OF(ages); i++)
        if (days < ages[i].days)
            return ages[i].name;
    return "4older";
}

/* Who owns the first file of a model that is there. */
static char *owner_of(const struct library *library, const struct lib_model *m)
{
    struct stat st;
    for (size_t i = 0; i < m->file_count; i++) {
        if (stat(library->files[m->files[i]].path, &st) < 0)
            continue;
        const struct passwd *user = getpwuid(st.st_uid);
        return user ? mem_strdup(user->pw_name) : mem_printf("%ld", (long)st.st_uid);
    }
    return mem_strdup("(nobody: not there)");
}

static char *key_of(const struct library *library, int model, enum report_by by, int64_t now)
{
    const struct lib_model *m = &library->models[model];
    switch (by) {
    case REPORT_FAMILY:
        return mem_strdup(library->models[library->models[model].family].name);
    case REPORT_DTYPE:
        return mem_strdup(dtype_name(model_dtype(m)));
    case REPORT_STATE:
        return mem_strdup(model_state_name(m->state));
    case REPORT_AGE:
        return mem_strdup(age_of(m, now));
    case REPORT_OWNER:
        return owner_of(library, m);
    default:
        return mem_strdup(m->root);
    }
}

static struct report_row *row_of(struct report *report, char *key)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->rows[i].key, key) == 0) {
            free(key);
            return &report->rows[i];
        }
    struct report_row *row = ARRAY_ADD(report->rows, report->count, report->cap);
    *row = (struct report_row){.key = key};
    return row;
}

static void add_model(const struct library *library, const struct lib_model *m, bool *counted,
                      struct report_row *row)
{
    row->models++;
    row->frees += tree_own_frees(m);
    for (size_t i = 0; i < m->file_count; i++) {
        const struct lib_file *file = &library->files[m->files[i]];
        bool here = file->state == FILE_PLAIN || file->state == FILE_KEPT;
        if (counted[m->files[i]])
            continue;
        counted[m->files[i]] = true;
        row->size += file->size;
        row->disk += here ? file->disk : 0;
        row->stored += file->stored;
    }
}

static int by_disk(const void *a, const void *b)
{
    const struct report_row *x = a, *y = b;
    uint64_t m = x->disk + x->stored, n = y->disk + y->stored;
    return m != n ? (m > n ? -1 : 1) : strcmp(x->key, y->key);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct report_row *)a)->key, ((const struct report_row *)b)->key);
}

/* Families that are planned as one give more than their members alone. */
static void take_families(const struct library *library, struct report *report)
{
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *m = &library->models[i];
        if (m->base != NO_MODEL || !m->family_known)
            continue;
        struct report_row *row = row_of(report, mem_strdup(m->name));
        row->frees = MAX(row->frees, m->family_frees);
    }
}

void report_make(const struct library *library, enum report_by by, int64_t now, struct report *ret)
{
    AUTO_FREE bool *counted = mem_zalloc(library->file_count + 1);
    *ret = (struct report){0};
    for (size_t i = 0; i < library->model_count; i++)
        add_model(library, &library->models[i], counted,
                  row_of(ret, key_of(library, (int)i, by, now)));
    if (by == REPORT_FAMILY)
        take_families(library, ret);
    if (ret->count)
        qsort(ret->rows, ret->count, sizeof *ret->rows, by == REPORT_AGE ? by_key : by_disk);
    for (size_t i = 0; i < ret->count; i++) {
        struct report_row *row = &ret->rows[i];
        if (by == REPORT_AGE)
            memmove(row->key, row->key + 1, strlen(row->key));
        ret->total.models += row->models;
        ret->total.size += row->size;
        ret->total.disk += row->disk;
        ret->total.stored += row->stored;
        ret->total.frees += row->frees;
    }
}

void report_release(struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free(report->rows[i].key);
    free(report->rows);
    *report = (struct report){0};
}
