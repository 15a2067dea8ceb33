/* SPDX-License-Identifier: MIT */
/* The Models tab: the list, its marks, and the details pane. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <string.h>
#include <time.h>

enum { DETAILS_WIDTH = 46, FIXED = 55 };

static const struct lib_model *model_at(const struct app *app, size_t row)
{
    return &app->library->models[app->rows[row].model];
}

/* Members of the row's run, or the model itself, in the order of the list. */
static size_t members_of(const struct app *app, const struct row *row, int *out)
{
    const struct lib_model *first = &app->library->models[row->model];
    size_t n = 0;
    if (!row->members) {
        out[n++] = row->model;
        return n;
    }
    for (size_t i = 0; i < app->library->model_count; i++)
        if (library_same_run(first, &app->library->models[i]))
            out[n++] = (int)i;
    return n;
}

static void add_row(struct app *app, int model, int members, bool inside)
{
    *ARRAY_ADD(app->rows, app->row_count, app->row_cap) =
        (struct row){.model = model, .members = members, .inside = inside};
}

/* What a row shows, summed over its members. */
struct sums {
    uint64_t size, disk;
    int64_t frees, read;
    bool frees_known, stored;
    int marked;
};

static struct sums sum_row(const struct app *app, const struct row *row)
{
    struct sums sums = {.stored = true};
    AUTO_FREE int *members = mem_alloc((app->library->model_count + 1) * sizeof *members);
    size_t n = members_of(app, row, members);
    for (size_t i = 0; i < n; i++) {
        const struct lib_model *m = &app->library->models[members[i]];
        sums.size += m->size;
        sums.disk += m->disk;
        sums.stored &= m->state == MODEL_COMPRESSED;
        if (m->frees_known && m->frees > 0 && m->state == MODEL_PLAIN) {
            sums.frees += m->frees;
            sums.frees_known = true;
        }
        sums.read = MAX(sums.read, m->read);
        sums.marked += marks_has(&app->marked, m->id);
    }
    return sums;
}

/* Adds to what a row sorts by; where that is no sum, rows stay in the order of their first model.
 */
static void add_number(const struct app *app, const struct lib_model *m, int64_t *number)
{
    if (app->sort == VIEW_SIZE)
        *number += (int64_t)m->size;
    else if (app->sort == VIEW_DISK)
        *number += (int64_t)m->disk;
    else if (app->sort == VIEW_FREES)
        *number += tree_own_frees(m);
    else if (app->sort == VIEW_READ)
        *number = MAX(*number, m->read);
}

static int by_number(const void *a, const void *b, void *context)
{
    const struct app *app = context;
    const struct row *x = &app->rows[*(const size_t *)a], *y = &app->rows[*(const size_t *)b];
    if (x->number != y->number)
        return (x->number > y->number) != app->reverse ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* Puts runs where their sums belong. */
static void sort_rows(struct app *app)
{
    size_t n = app->row_count;
    AUTO_FREE size_t *order = mem_alloc((n + 1) * sizeof *order);
    struct row *rows = mem_alloc((n + 1) * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    if (n)
        qsort_r(order, n, sizeof *order, by_number, app);
    for (size_t i = 0; i < n; i++)
        rows[i] = app->rows[order[i]];
    free(app->rows);
    app->rows = rows;
    app->row_cap = n + 1;
}

/* Opens the runs that are to be open: their members stand below them. */
static void insert_members(struct app *app, const int *order, size_t count)
{
    size_t closed_count = app->row_count;
    AUTO_FREE struct row *closed = mem_alloc((closed_count + 1) * sizeof *closed);
    if (closed_count)
        memcpy(closed, app->rows, closed_count * sizeof *closed);
    app->row_count = 0;
    for (size_t i = 0; i < closed_count; i++) {
        const struct lib_model *first = &app->library->models[closed[i].model];
        add_row(app, closed[i].model, closed[i].members, false);
        if (!closed[i].members || !marks_has(&app->open_runs, first->run))
            continue;
        for (size_t k = 0; k < count; k++)
            if (library_same_run(first, &app->library->models[order[k]]))
                add_row(app, order[k], 0, true);
    }
}

/* One row for each model, but one for a run of several; without a filter. */
static void take_rows(struct app *app, const int *order, size_t count)
{
    const struct lib_model *models = app->library->models;
    AUTO_FREE int *sizes = mem_zalloc((app->library->model_count + 1) * sizeof *sizes);
    AUTO_FREE size_t *rows = mem_zalloc((app->library->model_count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++)
        if (models[order[i]].first != NO_MODEL)
            sizes[models[order[i]].first]++;
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *m = &models[order[i]];
        bool run = m->first != NO_MODEL && sizes[m->first] > 1 && !app->filter.len;
        if (!run || !rows[m->first])
            add_row(app, order[i], run ? sizes[m->first] : 0, false);
        if (run && !rows[m->first])
            rows[m->first] = app->row_count;
        add_number(app, m, &app->rows[run ? rows[m->first] - 1 : app->row_count - 1].number);
    }
}

/* The rows from library, order, filter and open runs; the cursor stays on its model. */
void models_rebuild(struct app *app)
{
    size_t count;
    if (!app->library)
        return;
    bool inside = app->row_count && app->rows[app->models.cursor].inside;
    AUTO_FREE int *order = view_order(app->library, app->sort, app->reverse,
                                      app->filter.len ? app->filter.data : NULL, &count);
    app->row_count = 0;
    take_rows(app, order, count);
    sort_rows(app);
    insert_members(app, order, count);
    list_set_count(&app->models, (int)app->row_count);
    for (size_t i = 0; i < app->row_count && app->moved; i++)
        if (strcmp(model_at(app, i)->id, app->selected) == 0 && app->rows[i].inside == inside)
            list_go(&app->models, (int)i);
}

static void draw_row(struct app *app, int line, size_t index, int width)
{
    const struct row *row = &app->rows[index];
    const struct lib_model *model = model_at(app, index);
    struct sums sums = sum_row(app, row);
    char size[16] = "-", disk[16], frees[16] = "-", age[16] = "?";
    const char *words[8];
    int name_width = MAX(width - FIXED, 12);
    bool selected = (int)index == app->models.cursor;
    AUTO_FREE char *safe = text_safe(row->members ? model->run : model->name);
    AUTO_FREE char *shown = row->members ? mem_printf("%s  %d ckpts", safe, row->members)
                                         : mem_printf("%s%s", row->inside ? "  " : "", safe);
    AUTO_BUF struct buf name = {0}, flags = {0};
    text_fit(&name, shown, name_width);
    if (!sums.stored)
        text_size(size, sums.size);
    text_size(disk, sums.disk);
    if (sums.frees_known)
        text_size(frees, (uint64_t)sums.frees);
    if (sums.read)
        text_age(age, time(NULL) - sums.read);
    size_t word_count = model_flags(model, words);
    for (size_t i = 0; i < word_count; i++)
        buf_printf(&flags, "%s%s", i ? " " : "", words[i]);
    enum role role = selected ? ROLE_CURSOR : sums.marked ? ROLE_MARK : ROLE_TEXT;
    canvas_fill(&app->canvas, line, 0, width, role);
    canvas_printf(&app->canvas, line, 0, width, role, "%c%c %s %-6s  %-5s %7s %6s %6s %5s  %s",
                  selected && sums.marked ? '>' : ' ',
                  sums.marked ? '*'
                  : selected  ? '>'
                              : ' ',
                  name.data, model->source, dtype_name(model_dtype(model)), size, disk, frees, age,
                  flags.len ? flags.data : "");
    app_highlight(app, line, 3, name_width);
    if (model->error && !selected)
        canvas_paint(&app->canvas, line, width - 12, 12, ROLE_BAD);
}

static int detail(struct app *app, int line, int column, const char *key, const char *value)
{
    if (line >= app->canvas.rows - 2)
        return line;
    canvas_put(&app->canvas, line, column, 11, ROLE_DIM, key);
    canvas_put(&app->canvas, line, column + 11, DETAILS_WIDTH - 12, ROLE_TEXT, value);
    return line + 1;
}

/* A value over as many lines as it needs. */
static int detail_long(struct app *app, int line, int column, const char *key, const char *value)
{
    AUTO_FREE char *safe = text_safe(value);
    const char *p = safe;
    do {
        AUTO_BUF struct buf part = {0};
        int width = 0;
        while (*p && width < DETAILS_WIDTH - 13) {
            uint32_t point;
            size_t n = text_decode(p, strlen(p), &point);
            width += n ? text_point_width(point) : 1;
            buf_add(&part, p, n ? n : 1);
            p += n ? n : 1;
        }
        line = detail(app, line, column, key, part.data ? part.data : "");
        key = "";
    } while (*p && line < app->canvas.rows - 2);
    return line;
}

/* Each parent, and what is known of it. */
static int detail_lineage(struct app *app, int model, int line, int column)
{
    struct tree_parent parents[TREE_PARENTS];
    size_t count = tree_parents(app->library, model, parents);
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf facts = {0};
        AUTO_FREE char *name =
            mem_printf("%s%s", parents[i].name, parents[i].model == NO_MODEL ? " (not here)" : "");
        line = detail_long(app, line, column, parents[i].relation, name);
        tree_describe_evidence(&parents[i], &facts);
        if (facts.len)
            line = detail_long(app, line, column, "", facts.data);
    }
    return line;
}

int models_details_room(const struct app *app)
{
    int width = app->canvas.columns;
    return app->details && width >= DETAILS_FROM ? width - DETAILS_WIDTH - 2 : width;
}

void models_draw_details(struct app *app, int model, int top, int height)
{
    const struct lib_model *m = &app->library->models[model];
    int column = app->canvas.columns - DETAILS_WIDTH, line = top;
    char size[16], disk[16], unique[16], parameters[16], when[32];
    text_count(parameters, m->parameters);
    for (int i = 0; i < height; i++)
        canvas_put(&app->canvas, top + i, column - 2, 1, ROLE_DIM, text_utf8() ? "│" : "|");
    text_size(size, m->size);
    text_size(disk, m->disk);
    text_size(unique, m->unique);
    text_time(when, m->modified);
    line = detail_long(app, line, column, "name", m->name);
    line = detail_long(app, line, column, "path", m->path);
    if (*m->revision)
        line = detail_long(app, line, column, "revision", m->revision);
    line = detail(app, line, column, "state", model_state_name(m->state));
    AUTO_FREE char *weights = mem_printf("%s, %s on disk, %s unique", size, disk, unique);
    line = detail(app, line, column, "size", weights);
    AUTO_FREE char *holds =
        mem_printf("%llu tensors, %s parameters", (unsigned long long)m->tensors, parameters);
    line = detail(app, line, column, "holds", holds);
    line = detail(app, line, column, "modified", when);
    line = detail_lineage(app, model, line, column);
    if (m->error)
        line = detail_long(app, line, column, "error", m->error);
    line++;
    for (size_t i = 0; i < m->file_count && line < top + height; i++) {
        const struct lib_file *file = &app->library->files[m->files[i]];
        text_size(size, file->size);
        AUTO_FREE char *value = mem_printf("%s  %s", size, m->file_names[i]);
        line = detail_long(app, line, column, i ? "" : "files", value);
    }
}

static void draw_first_run(struct app *app, int top)
{
    struct canvas *c = &app->canvas;
    int w = c->columns - 4;
    if (app->scanning) {
        canvas_put(c, top + 1, 2, w, ROLE_TEXT, "Looking for models …");
        return;
    }
    canvas_put(c, top + 1, 2, w, ROLE_TITLE, "No models found");
    AUTO_FREE char *hub = text_safe(app->scope ? app->scope : app->hub);
    canvas_put(c, top + 3, 2, w, ROLE_TEXT, "Looked at:");
    canvas_printf(c, top + 4, 4, w, ROLE_TEXT, "%s", hub);
    canvas_put(c, top + 6, 2, w, ROLE_TEXT, "The Hugging Face cache is moved by HF_HUB_CACHE,");
    canvas_put(c, top + 7, 2, w, ROLE_TEXT, "HF_HOME or XDG_CACHE_HOME. Other folders:");
    canvas_put(c, top + 9, 4, w, ROLE_TEXT, "tare FOLDER            explore one");
    canvas_put(c, top + 10, 4, w, ROLE_TEXT, "tare scan FOLDER       remember it");
    canvas_put(c, top + 11, 4, w, ROLE_TEXT, "tare --demo            try it on samples");
}

void models_note(struct app *app)
{
    if (app->row_count)
        strcpy(app->selected, model_at(app, (size_t)app->models.cursor)->id);
}

void models_draw(struct app *app, int top, int height)
{
    int width = models_details_room(app);
    if (!app->library || !app->library->model_count) {
        draw_first_run(app, top);
        return;
    }
    int name_width = MAX(width - FIXED, 12);
    canvas_printf(&app->canvas, top, 0, width, ROLE_HEAD, "   %-*s %-6s  %-5s %7s %6s %6s %5s  %s",
                  name_width, "NAME", "SOURCE", "DTYPE", "SIZE", "DISK", "FREES", "READ", "FLAGS");
    list_set_height(&app->models, height - 1);
    if (!app->row_count)
        canvas_put(&app->canvas, top + 2, 3, width - 3, ROLE_DIM,
                   "nothing matches the filter (Esc clears it)");
    for (int i = 0; i < height - 1 && app->models.top + i < app->models.count; i++)
        draw_row(app, top + 1 + i, (size_t)(app->models.top + i), width);
    models_note(app);
    if (width < app->canvas.columns && app->row_count)
        models_draw_details(app, app->rows[app->models.cursor].model, top, height);
}

size_t models_selected(const struct app *app, int *out)
{
    return app->row_count ? models_of_row(app, (size_t)app->models.cursor, out) : 0;
}

size_t models_of_row(const struct app *app, size_t row, int *out)
{
    return members_of(app, &app->rows[row], out);
}

static void mark_row(struct app *app, size_t index, bool on)
{
    AUTO_FREE int *members = mem_alloc((app->library->model_count + 1) * sizeof *members);
    size_t n = members_of(app, &app->rows[index], members);
    for (size_t i = 0; i < n; i++)
        marks_set(&app->marked, app->library->models[members[i]].id, on);
}

static void mark_run(struct app *app)
{
    const struct lib_model *model = model_at(app, (size_t)app->models.cursor);
    for (size_t i = 0; i < app->library->model_count; i++)
        if (library_same_run(model, &app->library->models[i]))
            marks_set(&app->marked, app->library->models[i].id, true);
    marks_set(&app->marked, model->id, true);
}

static void mark_every(struct app *app, enum action action)
{
    for (size_t i = 0; i < app->row_count; i++)
        if (!app->rows[i].members)
            mark_row(app, i,
                     action == ACT_MARK_ALL ||
                         (action == ACT_INVERT && !marks_has(&app->marked, model_at(app, i)->id)));
        else if (!marks_has(&app->open_runs, model_at(app, i)->run))
            mark_row(app, i,
                     action == ACT_MARK_ALL ||
                         (action == ACT_INVERT && !sum_row(app, &app->rows[i]).marked));
}

static void open_row(struct app *app, bool open)
{
    const struct row *row = &app->rows[app->models.cursor];
    const struct lib_model *model = model_at(app, (size_t)app->models.cursor);
    if (row->members || row->inside)
        marks_set(&app->open_runs, model->run, open && row->members);
    else if (open)
        details_open(app, row->model);
    models_rebuild(app);
}

void models_jump(struct app *app, int model)
{
    const struct lib_model *m = &app->library->models[model];
    strcpy(app->selected, m->id);
    app->tab = TAB_MODELS;
    details_forget(app);
    if (*m->run)
        marks_set(&app->open_runs, m->run, true);
    models_rebuild(app);
    for (size_t i = 0; i < app->row_count; i++)
        if (!app->rows[i].members && strcmp(model_at(app, i)->id, m->id) == 0)
            list_go(&app->models, (int)i);
}

bool models_action(struct app *app, enum action action)
{
    bool any = app->row_count > 0;
    switch (action) {
    case ACT_OPEN:
        if (any)
            open_row(app, true);
        return true;
    case ACT_BACK:
        if (any)
            open_row(app, false);
        return true;
    case ACT_MARK:
        if (any) {
            mark_row(app, (size_t)app->models.cursor,
                     !sum_row(app, &app->rows[app->models.cursor]).marked);
            list_move(&app->models, 1);
        }
        return true;
    case ACT_MARK_ALL:
    case ACT_INVERT:
        mark_every(app, action);
        return true;
    case ACT_MARK_GROUP:
        if (any)
            mark_run(app);
        return true;
    default:
        return false;
    }
}
