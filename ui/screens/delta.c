/* SPDX-License-Identifier: MIT */
/* The Delta tab: a heat map of modules by layers, what differs between a model and its base. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 28, SHADES = 5, BELOW = 4 /* lines under the map */, CELL_MOST = 4 };

void delta_forget(struct app *app)
{
    struct delta_view *view = &app->delta;
    if (view->report)
        delta_report_release(view->report);
    free(view->report);
    delta_map_release(&view->map);
    library_unref(view->library);
    *view =
        (struct delta_view){.measure = view->measure, .asked = view->asked, .search = view->search};
}

void delta_take(struct app *app, struct event *event)
{
    struct delta_view *view = &app->delta;
    if (event->job != view->asked)
        return;
    if (event->err.code) {
        view->asked = 0;
        app_say(app, true, "%s", event->err.text);
        return;
    }
    struct delta_view before = *view;
    bool same = before.answered == event->job;
    delta_forget(app);
    view->asked = event->delta->sampled ? event->job : 0; /* the exact one follows */
    view->answered = event->job;
    view->report = TAKE_PTR(event->delta);
    view->library = TAKE_PTR(event->library);
    view->model = event->model;
    view->base = event->base;
    view->map = event->map;
    event->map = (struct delta_map){0};
    if (same && before.map.rows == view->map.rows && before.map.columns == view->map.columns) {
        view->row = before.row;
        view->column = before.column;
    }
}

/* ---- asking ---- */

void delta_ask(struct app *app, struct library *library, int model, int base)
{
    app->tab = TAB_DELTA;
    session_cancel(app->session, app->delta.asked);
    app->delta.asked = session_delta(app->session, library, model, base);
}

void delta_ask_for(struct app *app, struct library *library, int model)
{
    int base = library->models[model].base;
    if (base == NO_MODEL)
        app_say(app, true, "no parent of it is known: mark two models to compare them");
    else
        delta_ask(app, library, model, base);
}

/* The two that are marked, the second against the first; else the selected against its base. */
void delta_chosen(struct app *app)
{
    size_t count;
    AUTO_FREE int *models = marks_chosen(app, &count);
    if (count == 2) {
        bool second = app->library->models[models[0]].base == models[1];
        delta_ask(app, app->library, models[second ? 0 : 1], models[second ? 1 : 0]);
    } else if (count == 1) {
        delta_ask_for(app, app->library, models[0]);
    } else {
        app_say(app, true, "delta compares two marked models, or one with its parent");
    }
}

/* ---- another base ---- */

/* Who the model could be compared with: its family first, the nearest above all. */
static int nearness(const struct library *library, int model, int other)
{
    const struct lib_model *m = &library->models[model], *o = &library->models[other];
    return m->base == other           ? 0
           : m->second == other       ? 1
           : o->base == model         ? 2
           : o->family == m->family   ? 3
           : o->tensors == m->tensors ? 4
                                      : 5;
}

static int by_nearness(const void *a, const void *b, void *context)
{
    const struct delta_picks *picks = context;
    const struct library *library = picks->library;
    int i = *(const int *)a, k = *(const int *)b;
    int x = nearness(library, picks->model, i), y = nearness(library, picks->model, k);
    return x != y ? x - y : text_natural_compare(library->models[i].name, library->models[k].name);
}

void delta_forget_picks(struct app *app)
{
    library_unref(app->picks.library);
    free(app->picks.others);
    app->picks = (struct delta_picks){0};
}

bool delta_awaits(const struct app *app)
{
    return app->delta.asked && app->delta.asked != app->delta.answered;
}

static void ask_base(struct app *app)
{
    struct delta_view *view = &app->delta;
    if (!view->report || !app->library)
        return;
    int model = library_find_id(app->library, view->library->models[view->model].id);
    if (delta_awaits(app) || model == NO_MODEL) {
        app_say(app, true,
                model == NO_MODEL ? "the model is not there any more"
                                  : "the comparison that was asked for is not there yet");
        return;
    }
    struct delta_picks *picks = &app->picks;
    int count = 0;
    delta_forget_picks(app);
    picks->library = library_ref(app->library);
    picks->model = model;
    picks->others = mem_alloc((picks->library->model_count + 1) * sizeof *picks->others);
    for (int i = 0; i < (int)picks->library->model_count; i++)
        if (i != model && picks->library->models[i].tensors)
            picks->others[count++] = i;
    if (count)
        qsort_r(picks->others, (size_t)count, sizeof *picks->others, by_nearness, picks);
    picks->list = (struct list){.count = count, .height = count};
    app_open_overlay(app, OVERLAY_BASE);
}

void delta_pick(struct app *app)
{
    const struct delta_picks *picks = &app->picks;
    if (picks->list.count)
        delta_ask(app, picks->library, picks->model, picks->others[picks->list.cursor]);
}

/* ---- drawing ---- */

/* The colour is finer than the shade. */
static enum role heat_of(double value, double most)
{
    int level = most > 0 ? (int)(value / most * HEATS) : 0;
    return value > 0 ? (enum role)((int)ROLE_HEAT + MIN(level, HEATS - 1)) : ROLE_DIM;
}

/* Blank is nothing at all; the faintest shade is something. */
static const char *shade_of(double value, double most)
{
    static const char *const blocks[SHADES] = {"·", "░", "▒", "▓", "█"};
    static const char *const plain[SHADES] = {".", "-", "+", "x", "#"};
    int level =
        value <= 0 || most <= 0 ? 0 : 1 + MIN((int)(value / most * (SHADES - 1)), SHADES - 2);
    return (text_utf8() ? blocks : plain)[level];
}

static int cell_width(const struct delta_view *view, int room)
{
    return MAX(MIN(room / MAX(view->map.columns, 1), (int)CELL_MOST), 1);
}

static void keep_in_sight(struct delta_view *view, int rows, int columns)
{
    view->top = MIN(view->top, view->row);
    view->top = MAX(view->top, view->row - rows + 1);
    view->left = MIN(view->left, view->column);
    view->left = MAX(view->left, view->column - columns + 1);
}

/* The numbers of the layers above their columns; of narrow ones every fifth. */
static void draw_layers(struct app *app, int line, int columns, int width)
{
    const struct delta_view *view = &app->delta;
    canvas_fill(&app->canvas, line, 0, app->canvas.columns, ROLE_HEAD);
    canvas_put(&app->canvas, line, 3, NAME_WIDTH, ROLE_HEAD, "MODULE by LAYER");
    if (view->left > 0)
        canvas_put(&app->canvas, line, 1 + NAME_WIDTH, 1, ROLE_HEAD, "<");
    if (view->left + columns < view->map.columns)
        canvas_put(&app->canvas, line, app->canvas.columns - 1, 1, ROLE_HEAD, ">");
    for (int i = 0; i < columns && view->left + i < view->map.columns; i++) {
        int layer = view->map.layers[view->left + i];
        int at = 3 + NAME_WIDTH + i * width;
        if (layer == NO_LAYER && width > 3)
            canvas_put(&app->canvas, line, at, width, ROLE_HEAD, "out");
        else if (layer != NO_LAYER && (width > 2 || layer % 5 == 0))
            canvas_printf(&app->canvas, line, at, app->canvas.columns - at, ROLE_HEAD, "%d", layer);
    }
}

static void draw_map_row(struct app *app, int line, int row, int columns, int width, double most)
{
    const struct delta_view *view = &app->delta;
    bool selected = row == view->row;
    AUTO_BUF struct buf name = {0};
    text_fit(&name, view->map.modules[row], NAME_WIDTH - 1);
    canvas_printf(&app->canvas, line, 0, NAME_WIDTH + 3, selected ? ROLE_MARK : ROLE_TEXT, " %c %s",
                  selected ? '>' : ' ', name.data);
    app_highlight(app, line, 3, NAME_WIDTH);
    for (int i = 0; i < columns && view->left + i < view->map.columns; i++) {
        const struct delta_cell *cell = delta_map_cell(&view->map, row, view->left + i);
        int at = 3 + NAME_WIDTH + i * width;
        bool here = selected && view->left + i == view->column;
        double value = delta_cell_measure(cell, view->measure);
        for (int k = 0; k < width; k++)
            canvas_put(&app->canvas, line, at + k, 1, here ? ROLE_CURSOR : heat_of(value, most),
                       cell->tensors ? shade_of(value, most) : " ");
    }
}

/* A bar for each bit, the most significant first: sign, exponent, mantissa apart. */
static void draw_bits(struct app *app, int line, const struct comparison *sum, enum dtype dtype)
{
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const digits[] = {" ", "1", "2", "3", "4", "5", "6", "7", "8"};
    int exponent = dtype == DTYPE_F16 ? 5 : 8, bits = 8 * (int)dtype_width(dtype);
    AUTO_BUF struct buf text = {0};
    buf_str(&text, "flips  sign [");
    for (int bit = bits - 1; bit >= 0; bit--) {
        double share = (double)sum->flips[bit] / (double)MAX(sum->elements, 1u);
        int level = share <= 0 ? 0 : 1 + MIN((int)(share * 2 * 8), 7); /* a half is by chance */
        if (bit == bits - 2)
            buf_str(&text, "]  exponent [");
        if (bit == bits - 2 - exponent)
            buf_str(&text, "]  mantissa [");
        buf_str(&text, (text_utf8() ? bars : digits)[level]);
    }
    buf_str(&text, "]  full: half of them");
    canvas_put(&app->canvas, line, 3, app->canvas.columns - 4, ROLE_TEXT, text.data);
}

static void draw_cursor(struct app *app, int line)
{
    const struct delta_view *view = &app->delta;
    const struct delta_cell *cell = delta_map_cell(&view->map, view->row, view->column);
    if (!cell->tensors) {
        canvas_put(&app->canvas, line, 3, 40, ROLE_DIM, "this layer has no such module");
        return;
    }
    const struct delta_tensor *t = cell->tensor;
    AUTO_BUF struct buf name = {0};
    text_escape(&name, t->name, t->name_len);
    int at = canvas_printf(&app->canvas, line, 3, app->canvas.columns - 4, ROLE_TITLE, "%s%s  %s",
                           name.len ? name.data : "", cell->tensors > 1 ? " and others" : "",
                           dtype_name(t->dtype));
    if (t->untouched && t->untouched < t->rows)
        canvas_printf(&app->canvas, line, at, app->canvas.columns - at - 1, ROLE_TEXT,
                      "  %llu of %llu rows untouched", (unsigned long long)t->untouched,
                      (unsigned long long)t->rows);
    AUTO_FREE char *stored =
        view->report->sampled
            ? mem_strdup("")
            : mem_printf("  stored %.1f%%", delta_cell_measure(cell, MEASURE_STORED) * 100);
    canvas_printf(&app->canvas, line + 1, 3, app->canvas.columns - 4, ROLE_TEXT,
                  "%.2f%% unchanged  %.2f/16 bits  change %.1e  cosine %.5f%s",
                  compare_unchanged(&cell->sum) * 100, compare_bit_distance(&cell->sum),
                  compare_relative_change(&cell->sum), compare_cosine(&cell->sum), stored);
    draw_bits(app, line + 2, &cell->sum, t->dtype);
}

static void draw_legend(struct app *app, int line, double most)
{
    static const char *const names[MEASURES] = {"changed", "bits that differ", "relative change",
                                                "stored size (estimated)"};
    const struct delta_view *view = &app->delta;
    char range[48];
    if (view->measure == MEASURE_CHANGED)
        snprintf(range, sizeof range, "0 to %.1f%%", most * 100);
    else if (view->measure == MEASURE_BITS)
        snprintf(range, sizeof range, "0 to %.2f of 16", most);
    else if (view->measure == MEASURE_STORED)
        snprintf(range, sizeof range, "0 to %.1f%% of the tensor", most * 100);
    else
        snprintf(range, sizeof range, "0 to %.1e", most);
    canvas_printf(&app->canvas, line, 3, app->canvas.columns - 4, ROLE_DIM, "%s: %s   %s",
                  names[view->measure], range,
                  text_utf8() ? "· none ░ ▒ ▓ █ most" : ". none - + x # most");
}

static void draw_map(struct app *app, int top, int height)
{
    struct delta_view *view = &app->delta;
    AUTO_FREE char *model = text_safe(view->library->models[view->model].name);
    AUTO_FREE char *base = text_safe(view->library->models[view->base].name);
    int room = app->canvas.columns - NAME_WIDTH - 4, width = cell_width(view, room);
    int rows = height - BELOW - 3, columns = room / width;
    double most = view->map.most[view->measure];
    AUTO_BUF struct buf stored = {0};
    char from[16], to[16];
    text_size(from, view->report->bytes);
    text_size(to, view->report->estimated);
    if (!view->report->sampled)
        buf_printf(&stored, "  as a difference about %s of %s", to, from);
    int each = MAX((app->canvas.columns - 12) / 2, 8);
    AUTO_BUF struct buf own = {0}, other = {0};
    text_shorten(&own, model, each);
    text_shorten(&other, base, each);
    canvas_printf(&app->canvas, top, 1, app->canvas.columns - 1, ROLE_TITLE, "%s against %s",
                  own.data, other.data);
    canvas_printf(&app->canvas, top + 1, 1, app->canvas.columns - 1, ROLE_TEXT,
                  "%.1f%% unchanged  differs %.2f/16 bits%s",
                  compare_unchanged(&view->report->total) * 100,
                  compare_bit_distance(&view->report->total),
                  stored.len    ? stored.data
                  : view->asked ? "  (of samples; all of it is being read)"
                                : "  (of samples)");
    keep_in_sight(view, rows, columns);
    draw_layers(app, top + 2, columns, width);
    for (int i = 0; i < rows && view->top + i < view->map.rows; i++)
        draw_map_row(app, top + 3 + i, view->top + i, columns, width, most);
    draw_legend(app, top + height - BELOW, most);
    draw_cursor(app, top + height - BELOW + 1);
}

void delta_draw(struct app *app, int top, int height)
{
    if (delta_awaits(app))
        canvas_put(&app->canvas, top + 2, 3, app->canvas.columns - 4, ROLE_DIM,
                   "reading both models …");
    else if (app->delta.report)
        draw_map(app, top, height);
    else
        canvas_put(&app->canvas, top + 2, 3, app->canvas.columns - 4, ROLE_DIM,
                   "d on a model compares it with its parent; d on two marked ones, these");
}

void delta_click(struct app *app, int row, int column)
{
    struct delta_view *view = &app->delta;
    int width = cell_width(view, app->canvas.columns - NAME_WIDTH - 4);
    int at = (column - 3 - NAME_WIDTH) / width;
    if (!view->report || row < 3)
        return;
    view->row = MIN(view->top + row - 3, view->map.rows - 1);
    if (column >= 3 + NAME_WIDTH)
        view->column = MIN(view->left + at, view->map.columns - 1);
}

/* ---- actions ---- */

static void move(struct delta_view *view, int rows, int columns)
{
    view->row = MAX(MIN(view->row + rows, view->map.rows - 1), 0);
    view->column = MAX(MIN(view->column + columns, view->map.columns - 1), 0);
}

bool delta_action(struct app *app, enum action action)
{
    struct delta_view *view = &app->delta;
    switch (action) {
    case ACT_DOWN:
        move(view, 1, 0);
        return true;
    case ACT_UP:
        move(view, -1, 0);
        return true;
    case ACT_RIGHT:
        move(view, 0, 1);
        return true;
    case ACT_LEFT:
        move(view, 0, -1);
        return true;
    case ACT_TOP:
        move(view, -view->map.rows, -view->map.columns);
        return true;
    case ACT_BOTTOM:
        move(view, view->map.rows, view->map.columns);
        return true;
    case ACT_PAGE_DOWN:
    case ACT_HALF_DOWN:
        move(view, 10, 0);
        return true;
    case ACT_PAGE_UP:
    case ACT_HALF_UP:
        move(view, -10, 0);
        return true;
    case ACT_MEASURE:
        view->measure = (enum delta_measure)((view->measure + 1) % MEASURES);
        return true;
    case ACT_BASE:
        ask_base(app);
        return true;
    default:
        return false;
    }
}
