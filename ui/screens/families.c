/* SPDX-License-Identifier: MIT */
/* The Families tab: trees of models, with what is known of each one's ancestry. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { FIXED = 40, EVIDENCE_MOST = 24 };

static const struct tree_row *row_at(const struct app *app, size_t line)
{
    return &app->tree.rows[app->tree_lines[line]];
}

static size_t cursor_row(const struct app *app)
{
    return app->tree_lines[app->families.cursor];
}

/* By what a collapsed row is remembered. */
static const char *key_of(const struct app *app, const struct tree_row *row)
{
    return row->model == NO_MODEL ? row->name : app->library->models[row->model].id;
}

static bool is_closed(const struct app *app, const struct tree_row *row)
{
    return row->below && marks_has(&app->closed, key_of(app, row));
}

/* ---- which rows are shown ---- */

/* Marks the rows that match the filter, and those above them. */
static bool *find_matches(const struct app *app)
{
    bool *shown = mem_zalloc(app->tree.count + 1);
    for (size_t i = app->tree.count; i-- > 0;) {
        const struct tree_row *row = &app->tree.rows[i];
        shown[i] = text_has_words(row->name, app->filter.data);
        for (size_t k = i + 1; k <= i + row->below; k += app->tree.rows[k].below + 1)
            shown[i] |= shown[k];
    }
    return shown;
}

static void take_lines(struct app *app)
{
    AUTO_FREE bool *shown = app->filter.len ? find_matches(app) : NULL;
    app->tree_lines = mem_realloc(app->tree_lines, (app->tree.count + 1) * sizeof(size_t));
    size_t n = 0;
    for (size_t i = 0; i < app->tree.count; i++) {
        if (shown && !shown[i])
            continue;
        app->tree_lines[n++] = i;
        if (!shown && is_closed(app, &app->tree.rows[i]))
            i += app->tree.rows[i].below;
    }
    list_set_count(&app->families, (int)n);
}

void families_rebuild(struct app *app)
{
    if (!app->library)
        return;
    tree_release(&app->tree);
    tree_build(app->library, app->sort, &app->tree);
    take_lines(app);
    families_select(app, app->selected);
}

void families_select(struct app *app, const char *id)
{
    for (int i = 0; i < app->families.count; i++) {
        int model = row_at(app, (size_t)i)->model;
        if (model != NO_MODEL && strcmp(app->library->models[model].id, id) == 0)
            list_go(&app->families, i);
    }
}

/* The models of the selected row; of a collapsed one, all that it hides. */
size_t families_chosen(const struct app *app, int *out)
{
    size_t n = 0;
    if (!app->families.count)
        return 0;
    size_t row = cursor_row(app), last = row;
    if (is_closed(app, &app->tree.rows[row]) || app->tree.rows[row].model == NO_MODEL)
        last += app->tree.rows[row].below;
    for (size_t i = row; i <= last; i++)
        if (app->tree.rows[i].model != NO_MODEL)
            out[n++] = app->tree.rows[i].model;
    return n;
}

/* ---- drawing ---- */

/* "card bits": the sources that name what the row hangs under; "!card": one that the bits deny. */
static void describe_evidence(const struct tree_parent *parents, size_t count, bool hangs,
                              struct buf *out)
{
    for (size_t p = 0; p < count; p++)
        for (size_t i = 0; i < parents[p].kind_count; i++)
            if (parents[p].contradicted || (hangs && p == 0))
                buf_printf(out, "%s%s%s", out->len ? " " : "", parents[p].contradicted ? "!" : "",
                           parents[p].kinds[i]);
}

static void put_size(char out[16], int64_t bytes)
{
    strcpy(out, "");
    if (bytes > 0)
        text_size(out, (uint64_t)bytes);
}

static void draw_row(struct app *app, int line, size_t index, int width)
{
    const struct tree_row *row = row_at(app, index);
    const struct lib_model *model =
        row->model == NO_MODEL ? NULL : &app->library->models[row->model];
    struct tree_parent parents[TREE_PARENTS];
    size_t count = model ? tree_parents(app->library, row->model, parents) : 0;
    bool hangs = row->depth && count;
    int evidence_width = MAX(MIN(width - FIXED - 30, EVIDENCE_MOST), 0);
    int name_width = MAX(width - FIXED - evidence_width, 12);
    AUTO_BUF struct buf name = {0}, shown = {0}, facts = {0}, evidence = {0};
    AUTO_FREE char *safe = text_safe(tree_short_name(&app->tree, app->tree_lines[index]));
    char differs[16] = "", frees[16], all[16];
    tree_branches(&app->tree, app->tree_lines[index], &name);
    if (row->below)
        buf_str(&name, is_closed(app, row) ? "+ " : "");
    text_fit(&shown, safe, MAX(name_width - text_width(name.data ? name.data : ""), 4));
    describe_evidence(parents, count, hangs, &facts);
    text_fit(&evidence, facts.data ? facts.data : "", evidence_width);
    if (hangs && parents[0].distance >= 0)
        snprintf(differs, sizeof differs, "%.1f/16", parents[0].distance);
    put_size(frees, model ? tree_own_frees(model) : 0);
    bool whole = row->below && (!model || model->base == NO_MODEL);
    put_size(all, whole ? row->frees : 0);
    bool selected = (int)index == app->families.cursor;
    bool marked = model && marks_has(&app->marked, model->id);
    bool denied = model && model->kin & KIN_DENIED;
    enum role role = selected ? ROLE_CURSOR
                     : marked ? ROLE_MARK
                     : denied ? ROLE_BAD
                     : !model ? ROLE_DIM
                              : ROLE_TEXT;
    canvas_fill(&app->canvas, line, 0, width, role);
    canvas_printf(&app->canvas, line, 0, width, role, "%c%c %s%s %-10s %6s %s %6s %6s",
                  selected && marked ? '>' : ' ',
                  marked     ? '*'
                  : selected ? '>'
                             : ' ',
                  name.data ? name.data : "", shown.data,
                  !model  ? "not here"
                  : hangs ? parents[0].relation
                          : "",
                  differs, evidence.data ? evidence.data : "", frees, all);
    app_highlight(app, line, 3, name_width);
}

static void draw_absent(struct app *app, int top)
{
    canvas_put(&app->canvas, top + 2, 3, app->canvas.columns - 3, ROLE_DIM,
               app->library && app->library->model_count
                   ? "nothing matches the filter (Esc clears it)"
                   : "no models are indexed yet");
}

void families_note(struct app *app)
{
    int model = app->families.count ? app->tree.rows[cursor_row(app)].model : NO_MODEL;
    if (model != NO_MODEL)
        strcpy(app->selected, app->library->models[model].id);
}

void families_draw(struct app *app, int top, int height)
{
    int width = models_details_room(app);
    int evidence_width = MAX(MIN(width - FIXED - 30, EVIDENCE_MOST), 0);
    canvas_printf(&app->canvas, top, 0, width, ROLE_HEAD, "   %-*s %-10s %6s %-*.*s %6s %6s",
                  MAX(width - FIXED - evidence_width, 12), "FAMILY", "RELATION", "BITS",
                  evidence_width, evidence_width, "KNOWN BY", "FREES", "ALL");
    list_set_height(&app->families, height - 1);
    if (!app->families.count)
        draw_absent(app, top);
    for (int i = 0; i < height - 1 && app->families.top + i < app->families.count; i++)
        draw_row(app, top + 1 + i, (size_t)(app->families.top + i), width);
    int model = app->families.count ? app->tree.rows[cursor_row(app)].model : NO_MODEL;
    families_note(app);
    if (model == NO_MODEL)
        return;
    if (width < app->canvas.columns)
        models_draw_details(app, model, top, height);
}

/* What is known of the selected one, in words. */
void families_footer(const struct app *app, struct buf *out)
{
    AUTO_BUF struct buf facts = {0};
    if (!app->families.count)
        return;
    const struct tree_row *row = &app->tree.rows[cursor_row(app)];
    if (row->model == NO_MODEL)
        buf_str(&facts, "named by what is below it, and not here");
    else
        tree_describe(app->library, row->model, &facts);
    AUTO_FREE char *safe = text_safe(facts.len ? facts.data : "");
    const char *p = safe;
    for (bool blank = true; *p; p++) { /* the columns of the text form are not wanted here */
        if (*p != ' ' || !blank)
            buf_char(out, *p);
        blank = *p == ' ';
    }
}

/* ---- actions ---- */

static void open_row(struct app *app, bool open)
{
    size_t row = cursor_row(app);
    const struct tree_row *r = &app->tree.rows[row];
    bool closed = is_closed(app, r);
    if (open && closed) {
        marks_set(&app->closed, key_of(app, r), false);
    } else if (open) {
        if (r->model != NO_MODEL)
            models_jump(app, r->model);
        return;
    } else if (r->below && !closed) {
        marks_set(&app->closed, key_of(app, r), true);
    } else if (r->depth) { /* up to what it hangs under */
        int line = app->families.cursor;
        while (row_at(app, (size_t)line)->depth >= r->depth)
            line--;
        list_go(&app->families, line);
        return;
    }
    take_lines(app);
}

static void mark_below(struct app *app)
{
    size_t row = cursor_row(app);
    bool all = true;
    for (int pass = 0; pass < 2; pass++) /* what is marked already is unmarked */
        for (size_t i = row; i <= row + app->tree.rows[row].below; i++) {
            int model = app->tree.rows[i].model;
            if (model == NO_MODEL)
                continue;
            const char *id = app->library->models[model].id;
            if (pass == 0)
                all &= marks_has(&app->marked, id);
            else
                marks_set(&app->marked, id, !all);
        }
}

static void mark_selected(struct app *app)
{
    AUTO_FREE int *models = mem_alloc((app->library->model_count + 1) * sizeof *models);
    size_t n = families_chosen(app, models);
    bool on = n && !marks_has(&app->marked, app->library->models[models[0]].id);
    for (size_t i = 0; i < n; i++)
        marks_set(&app->marked, app->library->models[models[i]].id, on);
    list_move(&app->families, 1);
}

/* Marks, or inverts, all that is shown. */
static void mark_shown(struct app *app, bool invert)
{
    for (int i = 0; i < app->families.count; i++) {
        int model = row_at(app, (size_t)i)->model;
        const char *id = model == NO_MODEL ? NULL : app->library->models[model].id;
        if (id)
            marks_set(&app->marked, id, !invert || !marks_has(&app->marked, id));
    }
}

bool families_action(struct app *app, enum action action)
{
    if (!app->families.count && action != ACT_BACK)
        return false;
    switch (action) {
    case ACT_OPEN:
        open_row(app, true);
        return true;
    case ACT_BACK:
        if (app->families.count)
            open_row(app, false);
        return true;
    case ACT_MARK:
        mark_selected(app);
        return true;
    case ACT_MARK_GROUP:
        mark_below(app);
        return true;
    case ACT_MARK_ALL:
    case ACT_INVERT:
        mark_shown(app, action == ACT_INVERT);
        return true;
    default:
        return false;
    }
}
