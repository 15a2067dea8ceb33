/* SPDX-License-Identifier: MIT */
/* What is shown, as rows for other programs. */
#include "ui/screens/screens.h"

#include "base/file.h"
#include "base/text.h"

#include <string.h>

static void put_models(const struct app *app, struct table *t)
{
    static const char *const columns[] = {"id",   "name",  "source", "path",  "dtype",    "size",
                                          "disk", "frees", "stored", "state", "modified", "read"};
    *t = (struct table){.columns = columns, .width = COUNT_OF(columns)};
    for (size_t i = 0; i < app->row_count; i++) {
        const struct lib_model *first = &app->library->models[app->rows[i].model];
        AUTO_FREE int *models = mem_alloc((app->library->model_count + 1) * sizeof *models);
        bool open = app->rows[i].members && marks_has(&app->open_runs, first->run);
        size_t n = open ? 0 : models_of_row(app, i, models); /* its members have rows */
        for (size_t k = 0; k < n; k++) {
            const struct lib_model *m = &app->library->models[models[k]];
            table_text(t, m->id);
            table_text(t, m->name);
            table_text(t, m->source);
            table_text(t, m->path);
            table_text(t, dtype_name(model_dtype(m)));
            table_int(t, (int64_t)m->size);
            table_int(t, (int64_t)m->disk);
            m->frees_known ? table_int(t, m->frees) : table_none(t);
            table_int(t, (int64_t)m->stored);
            table_text(t, model_state_name(m->state));
            m->modified ? table_int(t, m->modified) : table_none(t);
            m->read ? table_int(t, m->read) : table_none(t);
        }
    }
}

static void put_families(const struct app *app, struct table *t)
{
    static const char *const columns[] = {"id",       "name",         "depth",    "parent",
                                          "relation", "bit_distance", "evidence", "frees"};
    *t = (struct table){.columns = columns, .width = COUNT_OF(columns)};
    for (int i = 0; i < app->families.count; i++) {
        const struct tree_row *row = &app->tree.rows[app->tree_lines[i]];
        struct tree_parent parents[TREE_PARENTS];
        bool here = row->model != NO_MODEL;
        size_t count = here ? tree_parents(app->library, row->model, parents) : 0;
        AUTO_BUF struct buf evidence = {0};
        for (size_t k = 0; count && k < parents[0].kind_count; k++)
            buf_printf(&evidence, "%s%s", k ? " " : "", parents[0].kinds[k]);
        table_text(t, here ? app->library->models[row->model].id : NULL);
        table_text(t, row->name);
        table_int(t, row->depth);
        table_text(t, count ? parents[0].name : NULL);
        table_text(t, count ? parents[0].relation : NULL);
        count &&parents[0].distance >= 0 ? table_real(t, parents[0].distance) : table_none(t);
        table_text(t, evidence.len ? evidence.data : NULL);
        table_int(t, row->frees);
    }
}

static void put_duplicates(const struct app *app, struct table *t)
{
    static const char *const columns[] = {"group", "kind",  "wasted", "copies",
                                          "bytes", "model", "file",   "tensor"};
    const struct duplicates_view *view = &app->duplicates;
    *t = (struct table){.columns = columns, .width = COUNT_OF(columns)};
    for (int i = 0; i < view->list.count; i++) {
        const struct duplicate_group *group = &view->found->groups[view->lines[i].group];
        for (size_t k = 0; k < group->count && view->lines[i].place < 0; k++) {
            const struct duplicate_place *p = &group->places[k];
            table_int(t, (int64_t)view->lines[i].group + 1);
            table_text(t, duplicate_kind_name(group->kind));
            table_int(t, (int64_t)group->wasted);
            table_int(t, (int64_t)group->count);
            table_int(t, (int64_t)group->bytes);
            table_text(t, view->library->models[p->model].name);
            table_text(t, view->library->files[p->file].path);
            table_name(t, p->tensor_len ? p->tensor : NULL, p->tensor_len);
        }
    }
}

static void put_delta(const struct app *app, struct table *t)
{
    static const char *const columns[] = {
        "name",      "layer",        "module",          "dtype",  "elements",
        "unchanged", "bit_distance", "relative_change", "cosine", "estimated"};
    const struct delta_report *report = delta_awaits(app) ? NULL : app->delta.report;
    *t = (struct table){.columns = columns, .width = COUNT_OF(columns)};
    for (size_t i = 0; report && i < report->count; i++) {
        const struct delta_tensor *d = &report->tensors[i];
        table_name(t, d->name, d->name_len);
        d->module.layer == NO_LAYER ? table_none(t) : table_int(t, d->module.layer);
        table_text(t, d->module.name);
        table_text(t, dtype_name(d->dtype));
        table_int(t, (int64_t)d->sum.elements);
        table_real(t, compare_unchanged(&d->sum));
        table_real(t, compare_bit_distance(&d->sum));
        table_real(t, compare_relative_change(&d->sum));
        table_real(t, compare_cosine(&d->sum));
        report->sampled ? table_none(t) : table_int(t, (int64_t)d->estimated);
    }
}

static void put_jobs(const struct app *app, struct table *t)
{
    static const char *const columns[] = {"job", "state", "seconds", "freed"};
    *t = (struct table){.columns = columns, .width = COUNT_OF(columns)};
    for (size_t i = 0; i < session_job_count(app->session); i++) {
        const struct session_job *job = session_job(app->session, i);
        table_text(t, job->title);
        table_text(t, jobs_state_name(job->state));
        table_real(t, job->seconds);
        table_int(t, job->freed);
    }
}

static void put_details(const struct app *app, struct table *t)
{
    static const char *const columns[] = {"name", "dtype", "shape", "bytes", "id", "file"};
    static const char *const lines[] = {"line"};
    const struct details_view *view = &app->page;
    bool tensors = view->page <= DETAILS_LARGEST;
    *t = (struct table){.columns = tensors ? columns : lines,
                        .width = tensors ? COUNT_OF(columns) : COUNT_OF(lines)};
    for (size_t i = 0; !tensors && i < view->texts.count; i++)
        table_text(t, view->texts.paths[i]);
    /* Closed groups and open ones: each tensor once. */
    for (size_t i = 0, next = 0; tensors && i < view->count; i++) {
        const struct details_line *line = &view->lines[i];
        if (line->group && line->open)
            continue;
        for (next = line->at; next < line->end; next++) {
            const struct detail_tensor *d = &view->found->tensors[next];
            AUTO_BUF struct buf shape = {0};
            char id[HASH128_HEX];
            details_shape(d->shape, d->dims, &shape);
            hash128_hex(id, &d->id);
            table_name(t, d->name, d->name_len);
            table_text(t, dtype_name(d->dtype));
            table_text(t, shape.data);
            table_int(t, (int64_t)d->bytes);
            table_text(t, hash128_is_zero(&d->id) ? NULL : id);
            table_text(t, d->file);
        }
    }
}

static const struct {
    unsigned place;
    const char *name;
    void (*put)(const struct app *app, struct table *table);
} views[] = {{IN_MODELS, "tare-models.csv", put_models},
             {IN_FAMILIES, "tare-families.csv", put_families},
             {IN_DUPLICATES, "tare-duplicates.csv", put_duplicates},
             {IN_DELTA, "tare-delta.csv", put_delta},
             {IN_JOBS, "tare-jobs.csv", put_jobs},
             {IN_DETAILS, "tare-model.csv", put_details}};

static size_t view_of(const struct app *app)
{
    size_t i = 0;
    while (views[i].place != app_place(app))
        i++;
    return i;
}

void export_ask(struct app *app)
{
    buf_release(&app->typed);
    buf_str(&app->typed, views[view_of(app)].name);
    app_open_overlay(app, OVERLAY_EXPORT);
}

void export_start(struct app *app)
{
    struct table table = {0};
    const char *home = getenv("HOME"), *typed = app->typed.data;
    AUTO_FREE char *path =
        home && strncmp(typed, "~/", 2) == 0 ? file_join(home, typed + 2) : mem_strdup(typed);
    if (app->library)
        views[view_of(app)].put(app, &table);
    if (!table.count) {
        app_say(app, true, "nothing is shown that could be written");
        return;
    }
    session_export(app->session, path, &table);
}

void export_take(struct app *app, const struct event *event)
{
    if (event->err.code)
        app_say(app, true, "%s", event->err.text);
    else
        app_say(app, false, "written: %s", event->name);
}
