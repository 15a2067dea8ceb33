/* SPDX-License-Identifier: MIT */
/* The details of a model, over the Models tab: its tensors, files, lineage and history. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FACTS = 4 /* lines above the list */, OPEN_TO = 3 /* levels that are open at first */ };

static const char *const page_names[DETAILS_PAGES] = {"tensors", "largest", "files", "lineage",
                                                      "history"};

static const struct lib_model *model_of(const struct details_view *view)
{
    return &view->library->models[view->model];
}

/* ---- opening ---- */

void details_forget(struct app *app)
{
    struct details_view *view = &app->page;
    bool over = app_place(app) == IN_DETAILS &&
                (app->overlay == OVERLAY_TENSOR || app->overlay == OVERLAY_FILTER ||
                 app->overlay == OVERLAY_EXPORT);
    if (over) /* they are about this page */
        app->overlay = OVERLAY_NONE;
    session_cancel(app->session, view->asked);
    session_cancel(app->session, view->looked);
    if (view->found)
        details_release(view->found);
    free(view->found);
    free(view->lines);
    library_unref(view->library);
    marks_clear(&view->turned);
    path_list_release(&view->texts);
    buf_release(&view->filter);
    *view = (struct details_view){.page = view->page};
}

void details_open(struct app *app, int model)
{
    details_forget(app);
    app->page.open = true;
    app->page.model = model;
    app->page.library = library_ref(app->library);
    app->page.asked = session_details(app->session, app->library, model);
}

void details_take(struct app *app, struct event *event)
{
    struct details_view *view = &app->page;
    if (event->job != view->asked)
        return;
    view->asked = 0;
    if (event->err.code) {
        if (!view->found) /* else it could only not be read anew */
            details_forget(app);
        app_say(app, true, "%s", event->err.text);
        return;
    }
    if (view->found)
        details_release(view->found);
    free(view->found);
    view->found = TAKE_PTR(event->details);
    details_rebuild(app);
}

void details_follow(struct app *app)
{
    struct details_view *view = &app->page;
    int model = view->open ? library_find_id(app->library, model_of(view)->id) : NO_MODEL;
    if (model == NO_MODEL)
        return;
    struct library *before = view->library;
    view->library = library_ref(app->library);
    view->model = model;
    library_unref(before);
    details_rebuild(app);
    session_cancel(app->session, view->asked);
    view->asked = session_details(app->session, app->library, model);
}

/* ---- lines ---- */

static void add_line(struct details_view *view, struct details_line line)
{
    *ARRAY_ADD(view->lines, view->count, view->cap) = line;
}

/* Where the part of a name ends that begins at from: its dot, or its end. */
static size_t part_end(const struct detail_tensor *t, size_t from)
{
    const char *dot = from < t->name_len ? memchr(t->name + from, '.', t->name_len - from) : NULL;
    return dot ? (size_t)(dot - t->name) : t->name_len;
}

/* Where the tensors end that have the part from from to n, and a dot behind it, like the first. */
static size_t group_end(const struct details *found, size_t at, size_t end, size_t from, size_t n)
{
    const struct detail_tensor *first = &found->tensors[at];
    size_t i = at + 1;
    while (i < end && found->tensors[i].name_len > n &&
           memcmp(found->tensors[i].name + from, first->name + from, n + 1 - from) == 0)
        i++;
    return i;
}

/* The last dot, from n on, up to which the first and the last of a group have the same name. */
static size_t common_end(const struct detail_tensor *a, const struct detail_tensor *b, size_t n)
{
    for (size_t i = n; i < MIN(a->name_len, b->name_len) && a->name[i] == b->name[i]; i++)
        n = a->name[i] == '.' ? i : n;
    return n;
}

/* The tensors from at to end, whose names are the same before from, as a tree. */
static void add_tree(struct details_view *view, size_t at, size_t end, size_t from, int depth)
{
    const struct details *found = view->found;
    while (at < end) {
        const struct detail_tensor *t = &found->tensors[at];
        size_t n = part_end(t, from);
        size_t stop = n < t->name_len ? group_end(found, at, end, from, n) : at + 1;
        if (stop == at + 1) { /* alone: no group */
            add_line(view, (struct details_line){at, stop, from, t->name_len, depth, false, false});
            at = stop;
            continue;
        }
        n = common_end(t, &found->tensors[stop - 1], n); /* what has no branches is one part */
        AUTO_FREE char *key = mem_strndup(t->name, n);
        bool layer = t->name[from] >= '0' && t->name[from] <= '9';
        bool open = (depth < OPEN_TO && !layer) != marks_has(&view->turned, key);
        add_line(view, (struct details_line){at, stop, from, n, depth, true, open});
        if (open)
            add_tree(view, at, stop, n + 1, depth + 1);
        at = stop;
    }
}

static bool matches(const struct details_view *view, const char *text)
{
    return !view->filter.len || text_has_words(text, view->filter.data);
}

static int by_bytes(const void *a, const void *b, void *context)
{
    const struct details *found = context;
    const struct details_line *x = a, *y = b;
    uint64_t m = found->tensors[x->at].bytes, n = found->tensors[y->at].bytes;
    return m != n ? (m > n ? -1 : 1) : (x->at > y->at) - (x->at < y->at);
}

/* Tensors by their whole names: what matches, or the largest first. */
static void add_flat(struct details_view *view)
{
    for (size_t i = 0; i < view->found->count; i++)
        if (matches(view, view->found->tensors[i].name))
            add_line(view, (struct details_line){i, i + 1, 0, view->found->tensors[i].name_len, 0,
                                                 false, false});
    if (view->page == DETAILS_LARGEST && view->count)
        qsort_r(view->lines, view->count, sizeof *view->lines, by_bytes, view->found);
}

/* ---- pages of text ---- */

static void add_text(struct details_view *view, const char *key, const char *value)
{
    AUTO_FREE char *safe = text_safe(value);
    AUTO_FREE char *line = mem_printf("%-12s %s", key, safe);
    if (matches(view, line))
        path_list_push(&view->texts, line);
}

static void add_files(struct details_view *view)
{
    const struct lib_model *m = model_of(view);
    for (size_t i = 0; i < m->file_count; i++) {
        const struct lib_file *file = &view->library->files[m->files[i]];
        char size[16];
        text_size(size, file->size);
        AUTO_FREE char *line =
            mem_printf("%-10s %s%s%s%s%s", file_state_name(file->state), m->file_names[i],
                       file->links > 1 || file->users > 1 ? "  (shared)" : "",
                       file->flags & FILE_SPARSE ? "  (sparse)" : "",
                       file->flags & FILE_TRAILING ? "  (bytes behind the last tensor)" : "",
                       file->flags & FILE_UNALIGNED ? "  (unaligned)" : "");
        add_text(view, size, line);
        add_text(view, "", file->path);
        if (file->digest) {
            AUTO_FREE char *digest = mem_printf("named by its digest %s", file->digest);
            add_text(view, "", digest);
        }
        if (file->error)
            add_text(view, "error", file->error);
    }
}

static void add_parents(struct details_view *view)
{
    struct tree_parent parents[TREE_PARENTS];
    size_t count = tree_parents(view->library, view->model, parents);
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf facts = {0};
        AUTO_FREE char *name =
            mem_printf("%s%s", parents[i].name, parents[i].model == NO_MODEL ? " (not here)" : "");
        add_text(view, parents[i].relation, name);
        tree_describe_evidence(&parents[i], &facts);
        if (facts.len)
            add_text(view, "", facts.data);
    }
    if (!count)
        add_text(view, "parent", "none is known");
}

static void add_lineage(struct details_view *view)
{
    const struct lib_model *m = model_of(view);
    add_parents(view);
    for (size_t i = 0; i < view->library->model_count; i++)
        if (view->library->models[i].base == view->model)
            add_text(view, "child", view->library->models[i].name);
    for (size_t i = 0; i < m->claim_count; i++) {
        const struct lib_claim *claim = &m->claims[i];
        AUTO_FREE char *says = mem_printf("%s %s", claim->detail, claim->target);
        add_text(view, claim->kind_name, says);
    }
}

static void add_history(struct details_view *view)
{
    for (size_t i = 0; i < view->found->history.count; i++)
        if (matches(view, view->found->history.paths[i]))
            path_list_push(&view->texts, view->found->history.paths[i]);
}

void details_rebuild(struct app *app)
{
    struct details_view *view = &app->page;
    view->count = 0;
    path_list_release(&view->texts);
    if (!view->found)
        return;
    if (view->page == DETAILS_TENSORS && !view->filter.len)
        add_tree(view, 0, view->found->count, 0, 0);
    else if (view->page <= DETAILS_LARGEST)
        add_flat(view);
    else if (view->page == DETAILS_FILES)
        add_files(view);
    else if (view->page == DETAILS_LINEAGE)
        add_lineage(view);
    else
        add_history(view);
    list_set_count(&view->list,
                   (int)(view->page <= DETAILS_LARGEST ? view->count : view->texts.count));
}

/* ---- drawing ---- */

/* "BF16 99% F32 1%" */
static void describe_dtypes(const struct lib_model *m, struct buf *out)
{
    uint64_t all = 0;
    for (int i = 0; i < DTYPE_COUNT; i++)
        all += m->dtype_bytes[i];
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (m->dtype_bytes[i])
            buf_printf(out, m->dtype_bytes[i] == all ? "%s%s" : "%s%s %.0f%%", out->len ? "  " : "",
                       dtype_name((enum dtype)i), (double)m->dtype_bytes[i] * 100 / (double)all);
}

static void draw_facts(struct app *app, int top)
{
    const struct lib_model *m = model_of(&app->page);
    struct canvas *c = &app->canvas;
    AUTO_BUF struct buf dtypes = {0}, lineage = {0};
    AUTO_FREE char *name = text_safe(m->name), *path = text_safe(m->path);
    char size[16], disk[16], unique[16], parameters[16];
    text_count(parameters, m->parameters);
    text_size(size, m->size);
    text_size(disk, m->disk);
    text_size(unique, m->unique);
    describe_dtypes(m, &dtypes);
    tree_describe(app->page.library, app->page.model, &lineage);
    AUTO_FREE char *kin = text_safe(lineage.len ? lineage.data : "");
    AUTO_FREE char *error = m->error ? text_safe(m->error) : NULL;
    AUTO_FREE char *revision = text_safe(m->revision);
    canvas_printf(c, top, 1, c->columns - 2, ROLE_TITLE, "%s  %s%s%s", name,
                  model_state_name(m->state), *revision ? "  " : "", revision);
    canvas_printf(c, top + 1, 1, c->columns - 2, ROLE_TEXT,
                  "%s, %s on disk, %s unique   %s parameters, %llu tensors   %s", size, disk,
                  unique, parameters, (unsigned long long)m->tensors,
                  dtypes.len ? dtypes.data : "");
    canvas_printf(c, top + 2, 1, c->columns - 2, m->error ? ROLE_BAD : ROLE_DIM, "%s%s%s",
                  error ? error : kin, *kin && !error ? "   " : "", error ? "" : path);
    for (int i = 0, at = 1; i < DETAILS_PAGES; i++)
        at =
            canvas_printf(c, top + 3, at, 16, i == (int)app->page.page ? ROLE_TAB_ACTIVE : ROLE_TAB,
                          i == (int)app->page.page ? "[%s]" : " %s ", page_names[i]);
}

/* Columns of a tensor's name. */
static int name_room(const struct app *app)
{
    return MIN(MAX(app->canvas.columns - 40, 16), 80);
}

static void draw_tensor(struct app *app, int line, const struct details_line *l, enum role role)
{
    const struct details_view *view = &app->page;
    const struct detail_tensor *t = &view->found->tensors[l->at];
    int name_width = name_room(app);
    AUTO_BUF struct buf name = {0}, fitted = {0}, shape = {0};
    uint64_t bytes = 0;
    char size[16];
    for (size_t i = l->at; i < l->end; i++)
        bytes += view->found->tensors[i].bytes;
    text_size(size, bytes);
    buf_printf(&name, "%*s%s", 2 * l->depth, "", l->group ? (l->open ? "- " : "+ ") : "");
    text_escape(&name, t->name + l->from, l->to - l->from);
    text_fit(&fitted, name.data, name_width);
    if (l->group)
        buf_printf(&shape, "%zu tensors", l->end - l->at);
    else
        details_shape(t->shape, t->dims, &shape);
    canvas_fill(&app->canvas, line, 0, app->canvas.columns, role);
    canvas_printf(&app->canvas, line, 0, app->canvas.columns, role, " %c %s %7s  %-6s %s",
                  role == ROLE_CURSOR ? '>' : ' ', fitted.data, size,
                  l->group ? "" : dtype_name(t->dtype), shape.data);
    app_highlight(app, line, 3, name_width);
}

static void draw_empty(struct app *app, int line)
{
    const struct details_view *view = &app->page;
    canvas_put(&app->canvas, line, 3, app->canvas.columns - 4, ROLE_DIM,
               !view->found       ? "reading the catalog …"
               : view->filter.len ? "nothing matches the filter (Esc clears it)"
               : view->page <= DETAILS_LARGEST
                   ? "its format is not known: it has no tensors to show"
               : view->page == DETAILS_HISTORY ? "nothing was done with it yet"
                                               : "nothing to tell");
}

int details_top(void)
{
    return FACTS + 1;
}

void details_draw(struct app *app, int top, int height)
{
    struct details_view *view = &app->page;
    int first = top + FACTS + 1, rows = height - FACTS - 1;
    bool tensors = view->page <= DETAILS_LARGEST;
    draw_facts(app, top);
    canvas_fill(&app->canvas, top + FACTS, 0, app->canvas.columns, ROLE_HEAD);
    if (tensors)
        canvas_printf(&app->canvas, top + FACTS, 0, app->canvas.columns, ROLE_HEAD,
                      "   %-*s %7s  %-6s %s", name_room(app), "TENSOR", "SIZE", "DTYPE", "SHAPE");
    list_set_height(&view->list, rows);
    if (!view->list.count)
        draw_empty(app, first + 1);
    for (int i = 0; i < rows && view->list.top + i < view->list.count; i++) {
        int at = view->list.top + i;
        enum role role = at == view->list.cursor ? ROLE_CURSOR : ROLE_TEXT;
        if (tensors) {
            draw_tensor(app, first + i, &view->lines[at], role);
            continue;
        }
        canvas_fill(&app->canvas, first + i, 0, app->canvas.columns, role);
        canvas_printf(&app->canvas, first + i, 0, app->canvas.columns, role, " %c %s",
                      role == ROLE_CURSOR ? '>' : ' ', view->texts.paths[at]);
        app_highlight(app, first + i, 3, app->canvas.columns);
    }
}

/* ---- actions ---- */

static void look_at(struct app *app, const struct details_line *line)
{
    struct details_view *view = &app->page;
    const struct detail_tensor *t = &view->found->tensors[line->at];
    app_open_overlay(app, OVERLAY_TENSOR);
    session_cancel(app->session, view->looked);
    view->looked = session_tensor(app->session, view->library, view->model, t->name, t->name_len);
}

void details_take_look(struct app *app, struct event *event)
{
    struct details_view *view = &app->page;
    if (event->job != view->looked)
        return;
    view->looked = 0;
    if (app->overlay != OVERLAY_TENSOR)
        return;
    if (event->err.code) {
        app->overlay = OVERLAY_NONE;
        app_say(app, true, "%s", event->err.text);
        return;
    }
    buf_release(&app->box);
    text_escape(&app->box, event->look->tensor.name, event->look->tensor.name_len);
    buf_char(&app->box, '\n');
    tensor_look_text(event->library, event->look, &app->box);
}

/* Opens or closes the group under the cursor, or looks at the tensor. */
static void open_line(struct app *app, bool open)
{
    struct details_view *view = &app->page;
    if (view->page > DETAILS_LARGEST || !view->list.count)
        return;
    const struct details_line *line = &view->lines[view->list.cursor];
    if (!line->group) {
        if (open)
            look_at(app, line);
        return;
    }
    AUTO_FREE char *key = mem_strndup(view->found->tensors[line->at].name, line->to);
    if (line->open != open)
        marks_set(&view->turned, key, !marks_has(&view->turned, key));
    details_rebuild(app);
}

/* Up to the group that the line is in; false at the top. */
static bool go_up(struct details_view *view)
{
    if (view->page != DETAILS_TENSORS || !view->list.count)
        return false;
    int at = view->list.cursor, depth = view->lines[at].depth;
    if (view->lines[at].group && view->lines[at].open)
        return false;
    while (at > 0 && view->lines[at].depth >= depth)
        at--;
    list_go(&view->list, at);
    return depth > 0;
}

static void go_back(struct app *app, bool step)
{
    struct details_view *view = &app->page;
    bool group = view->page == DETAILS_TENSORS && view->list.count &&
                 view->lines[view->list.cursor].group && view->lines[view->list.cursor].open;
    if (view->filter.len) {
        buf_release(&view->filter);
        details_rebuild(app);
    } else if (step && group) {
        open_line(app, false);
    } else if (!step || !go_up(view)) {
        details_forget(app);
    }
}

bool details_action(struct app *app, enum action action)
{
    struct details_view *view = &app->page;
    switch (action) {
    case ACT_OPEN:
        open_line(app, true);
        return true;
    case ACT_LEFT:
        go_back(app, true);
        return true;
    case ACT_BACK:
        go_back(app, false);
        return true;
    case ACT_KIND:
        view->page = (enum details_page)((view->page + 1) % DETAILS_PAGES);
        list_go(&view->list, 0);
        details_rebuild(app);
        return true;
    case ACT_COPY:
        if (view->page <= DETAILS_LARGEST && view->list.count)
            app_copy(app, view->found->tensors[view->lines[view->list.cursor].at].name);
        return true;
    case ACT_DELTA:
        delta_ask_for(app, view->library, view->model);
        return true;
    default:
        return false;
    }
}
