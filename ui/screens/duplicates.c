/* SPDX-License-Identifier: MIT */
/* The Duplicates tab: contents that are on disk more than once, and where they are. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <string.h>

static const char *const kind_names[DUPLICATES_KINDS] = {"tensors and files", "tensors", "files",
                                                         "across sources or folders"};

/* ---- what is shown ---- */

static const struct duplicate_group *group_of(const struct duplicates_view *view, int line)
{
    return &view->found->groups[view->lines[line].group];
}

static bool is_shown(const struct app *app, const struct duplicate_group *group)
{
    const struct duplicates_view *view = &app->duplicates;
    bool files = group->kind != DUPLICATE_TENSORS;
    bool kind = view->kind == DUPLICATES_ALL || (view->kind == DUPLICATES_TENSORS && !files) ||
                (view->kind == DUPLICATES_FILES && files) ||
                (view->kind == DUPLICATES_ACROSS && group->across);
    bool match = !app->filter.len;
    for (size_t i = 0; i < group->count && kind && !match; i++)
        match =
            text_has_words(view->library->files[group->places[i].file].path, app->filter.data) ||
            (group->places[i].tensor_len &&
             text_has_words(group->places[i].tensor, app->filter.data));
    return kind && match;
}

/* Groups, and below the open one its places. */
void duplicates_rebuild(struct app *app)
{
    struct duplicates_view *view = &app->duplicates;
    size_t count = 0, cap = 0;
    free(view->lines);
    view->lines = NULL;
    for (size_t i = 0; view->found && i < view->found->count; i++) {
        const struct duplicate_group *group = &view->found->groups[i];
        if (!is_shown(app, group))
            continue;
        *ARRAY_ADD(view->lines, count, cap) = (struct duplicates_line){i, -1};
        for (size_t k = 0; k < group->count && view->open == (long)i; k++)
            *ARRAY_ADD(view->lines, count, cap) = (struct duplicates_line){i, (int)k};
    }
    list_set_count(&view->list, (int)count);
}

void duplicates_forget(struct app *app)
{
    struct duplicates_view *view = &app->duplicates;
    if (view->found)
        duplicates_release(view->found);
    free(view->found);
    free(view->lines);
    library_unref(view->library);
    *view = (struct duplicates_view){.kind = view->kind, .open = -1, .asked = view->asked};
}

/* Looks anew where the collection has changed since. */
void duplicates_open(struct app *app)
{
    struct duplicates_view *view = &app->duplicates;
    if (app->library && !view->asked && !(view->found && view->library == app->library))
        view->asked = session_duplicates(app->session, app->library);
}

void duplicates_take(struct app *app, struct event *event)
{
    struct duplicates_view *view = &app->duplicates;
    view->asked = 0;
    if (event->err.code) {
        app_say(app, true, "%s", event->err.text);
        return;
    }
    struct list list = view->list;
    duplicates_forget(app);
    view->found = TAKE_PTR(event->duplicates);
    view->library = TAKE_PTR(event->library);
    view->list = list;
    duplicates_rebuild(app);
    if (app->tab == TAB_DUPLICATES)
        duplicates_open(app); /* there may be another library in the meantime */
}

/* ---- drawing ---- */

/* Columns of what a group is, and behind its shape of the models that have it. */
static int what_width(const struct app *app)
{
    return MAX(MIN(app->canvas.columns - 44, 60), 12);
}

enum { SHAPE_WIDTH = 18, NAMED_MOST = 8 };

/* "demo/base, demo/fine and 3 more", as far as there is room. */
static void describe_models(const struct duplicates_view *view, const struct duplicate_group *group,
                            struct buf *out)
{
    size_t named = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (i && group->places[i].model == group->places[i - 1].model)
            continue;
        if (named == NAMED_MOST) {
            buf_str(out, " and more");
            return;
        }
        AUTO_FREE char *name = text_safe(view->library->models[group->places[i].model].name);
        buf_printf(out, "%s%s", named++ ? ", " : "", name);
    }
}

static void draw_group(struct app *app, int line, const struct duplicate_group *group, bool open,
                       enum role role)
{
    const struct duplicates_view *view = &app->duplicates;
    const struct duplicate_place *first = &group->places[0];
    char wasted[16], bytes[16];
    AUTO_BUF struct buf name = {0}, shape = {0}, fitted = {0};
    text_size(wasted, group->wasted);
    text_size(bytes, group->bytes);
    if (group->kind != DUPLICATE_TENSORS)
        text_escape(&name, view->library->files[first->file].path,
                    strlen(view->library->files[first->file].path));
    else
        text_escape(&name, first->tensor, first->tensor_len);
    for (size_t i = 0; i < group->dims; i++)
        buf_printf(&shape, "%s%llu", i ? "x" : "", (unsigned long long)group->shape[i]);
    text_fit(&fitted, name.len ? name.data : "", what_width(app));
    AUTO_BUF struct buf models = {0};
    describe_models(view, group, &models);
    canvas_printf(&app->canvas, line, 0, app->canvas.columns, role,
                  " %c %6s %6zu %6s  %s  %-5s %-*s %s",
                  open                  ? '-'
                  : role == ROLE_CURSOR ? '>'
                                        : ' ',
                  wasted, group->count, bytes, fitted.data,
                  group->kind == DUPLICATE_TENSORS ? dtype_name(group->dtype)
                                                   : duplicate_kind_name(group->kind),
                  app->canvas.columns > 80 ? SHAPE_WIDTH : 0, shape.len ? shape.data : "",
                  app->canvas.columns > 80 ? models.data : "");
}

static void draw_place(struct app *app, int line, const struct duplicate_place *place,
                       enum role role)
{
    const struct duplicates_view *view = &app->duplicates;
    AUTO_FREE char *model = text_safe(view->library->models[place->model].name);
    AUTO_FREE char *path = text_safe(view->library->files[place->file].path);
    AUTO_BUF struct buf tensor = {0};
    text_escape(&tensor, place->tensor, place->tensor_len);
    canvas_printf(&app->canvas, line, 0, app->canvas.columns, role, " %c        %s  %s  %s",
                  role == ROLE_CURSOR ? '>' : ' ', model, tensor.len ? tensor.data : "", path);
}

static void draw_line(struct app *app, int line, int index)
{
    const struct duplicates_view *view = &app->duplicates;
    const struct duplicate_group *group = group_of(view, index);
    const struct duplicates_line *at = &view->lines[index];
    bool selected = index == view->list.cursor;
    enum role role = selected ? ROLE_CURSOR : at->place >= 0 ? ROLE_DIM : ROLE_TEXT;
    canvas_fill(&app->canvas, line, 0, app->canvas.columns, role);
    if (at->place >= 0)
        draw_place(app, line, &group->places[at->place], role);
    else
        draw_group(app, line, group, view->open == (long)at->group, role);
    app_highlight(app, line, 3, app->canvas.columns);
}

static void draw_empty(struct app *app, int line)
{
    const struct duplicates_view *view = &app->duplicates;
    canvas_put(&app->canvas, line, 3, app->canvas.columns - 4, ROLE_DIM,
               view->asked       ? "looking for duplicates …"
               : app->filter.len ? "nothing matches the filter (Esc clears it)"
               : view->kind      ? "nothing of this kind: f shows the next"
               : app->scanning   ? "what is not hashed yet is not compared yet"
                                 : "nothing is on disk more than once");
}

void duplicates_draw(struct app *app, int top, int height)
{
    struct duplicates_view *view = &app->duplicates;
    canvas_fill(&app->canvas, top, 0, app->canvas.columns, ROLE_HEAD);
    canvas_printf(&app->canvas, top, 0, app->canvas.columns, ROLE_HEAD,
                  "   %6s %6s %6s  %-*s  %-5s %-*s %s", "WASTED", "COPIES", "EACH", what_width(app),
                  "WHAT", "TYPE", SHAPE_WIDTH, "SHAPE", app->canvas.columns > 80 ? "IN" : "");
    list_set_height(&view->list, height - 1);
    if (!view->list.count)
        draw_empty(app, top + 2);
    for (int i = 0; i < height - 1 && view->list.top + i < view->list.count; i++)
        draw_line(app, top + 1 + i, view->list.top + i);
}

void duplicates_footer(const struct app *app, struct buf *left, struct buf *right)
{
    const struct duplicates_view *view = &app->duplicates;
    char wasted[16];
    if (!view->found)
        return;
    text_size(wasted, view->found->wasted);
    if (view->list.count && !left->len)
        buf_printf(left, "%s", duplicate_advice(group_of(view, view->list.cursor)));
    buf_printf(right, "%s in all; %s ", wasted, kind_names[view->kind]);
}

/* ---- actions ---- */

size_t duplicates_chosen(const struct app *app, int *out)
{
    const struct duplicates_view *view = &app->duplicates;
    size_t n = 0;
    if (!view->list.count)
        return 0;
    const struct duplicate_group *group = group_of(view, view->list.cursor);
    AUTO_FREE bool *taken = mem_zalloc(app->library->model_count + 1);
    for (size_t i = 0; i < group->count; i++) {
        const char *id = view->library->models[group->places[i].model].id;
        int model = library_find_id(app->library, id);
        if (model == NO_MODEL || taken[model])
            continue;
        taken[model] = true;
        out[n++] = model;
    }
    return n;
}

/* Marks the models of the group, or unmarks them where all are. */
static void mark_group(struct app *app)
{
    AUTO_FREE int *models = mem_alloc((app->library->model_count + 1) * sizeof *models);
    size_t n = duplicates_chosen(app, models), marked = 0;
    for (size_t i = 0; i < n; i++)
        marked += marks_has(&app->marked, app->library->models[models[i]].id);
    for (size_t i = 0; i < n; i++)
        marks_set(&app->marked, app->library->models[models[i]].id, marked < n);
}

static void open_line(struct app *app)
{
    struct duplicates_view *view = &app->duplicates;
    const struct duplicates_line *at = &view->lines[view->list.cursor];
    size_t group = at->group;
    if (at->place >= 0) {
        const struct duplicate_place *place = &group_of(view, view->list.cursor)->places[at->place];
        int model = library_find_id(app->library, view->library->models[place->model].id);
        if (model != NO_MODEL)
            models_jump(app, model);
        return;
    }
    view->open = view->open == (long)group ? -1 : (long)group;
    duplicates_rebuild(app);
    for (int i = 0; i < view->list.count; i++)
        if (view->lines[i].group == group && view->lines[i].place < 0)
            list_go(&view->list, i);
}

bool duplicates_action(struct app *app, enum action action)
{
    struct duplicates_view *view = &app->duplicates;
    switch (action) {
    case ACT_OPEN:
        if (view->list.count)
            open_line(app);
        return true;
    case ACT_MARK_GROUP:
        if (app->library)
            mark_group(app);
        return true;
    case ACT_KIND:
        view->kind = (enum duplicates_kind)((view->kind + 1) % DUPLICATES_KINDS);
        view->open = -1;
        duplicates_rebuild(app);
        return true;
    case ACT_BACK:
        if (view->open < 0)
            return false;
        view->open = -1;
        duplicates_rebuild(app);
        return true;
    default:
        return false;
    }
}
