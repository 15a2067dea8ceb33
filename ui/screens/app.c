/* SPDX-License-Identifier: MIT */
/* The frame around the tabs: title, tab line, footer, and where keys and events go. */
#include "ui/screens/screens.h"

#include "base/file.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_ROWS = 15, LEAST_COLUMNS = 60 };

void app_say(struct app *app, bool bad, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO_FREE char *text = mem_vprintf(format, args);
    va_end(args);
    free(app->message);
    app->message = text_safe(text);
    app->message_bad = bad;
}

void app_copy(struct app *app, const char *text)
{
    uint32_t point;
    for (size_t i = 0, len; text[i]; i += MAX(len, (size_t)1)) {
        len = text_decode(text + i, strlen(text + i), &point);
        if (len && !text_is_dangerous(point))
            continue;
        app_say(app, true, "not copied: there are control characters in %s", text);
        return;
    }
    free(app->copied);
    app->copied = mem_strdup(text);
    app_say(app, false, "copied: %s", text);
}

void app_open_overlay(struct app *app, enum overlay overlay)
{
    app->overlay = overlay;
    app->text = (struct list){0};
}

void app_rebuild(struct app *app)
{
    models_rebuild(app);
    families_rebuild(app);
    duplicates_rebuild(app);
}

/* "99% full, 61G left" of the file system that most of the collection is on. */
static void describe_disk(const struct app *app, struct buf *out)
{
    if (!app->overview || !app->overview->space_count)
        return;
    const struct space *space = &app->overview->spaces[0];
    char left[16];
    double used = 1 - (double)space->left / (double)space->size;
    text_size(left, space->left);
    buf_printf(out, "%d%% full, %s left ", (int)(used * 100 + 0.5), left);
}

static void draw_title(struct app *app)
{
    struct canvas *c = &app->canvas;
    AUTO_BUF struct buf left = {0}, right = {0};
    char disk[16], frees[16];
    buf_str(&left, " tare");
    if (app->library) {
        text_size(disk, app->library->disk);
        text_size(frees, app->library->frees);
        buf_printf(&left, "  %zu model%s  %s on disk", app->library->model_count,
                   app->library->model_count == 1 ? "" : "s", disk);
        if (app->library->frees)
            buf_printf(&left, "  about %s can be freed", frees);
    }
    describe_disk(app, &right);
    canvas_fill(c, 0, 0, c->columns, ROLE_TITLE);
    int end = canvas_put(c, 0, 0, c->columns, ROLE_TITLE, left.data);
    int at = c->columns - text_width(right.data ? right.data : "");
    if (right.len && at > end + 1)
        canvas_put(c, 0, at, c->columns, ROLE_TITLE, right.data);
}

/* "hashing 38%" while a scan works. */
static void describe_scan(const struct app *app, struct buf *out)
{
    for (size_t i = 0; i < session_job_count(app->session); i++) {
        const struct session_job *job = session_job(app->session, i);
        if (!job->progress || (job->kind > JOB_SCAN && job->kind < JOB_ESTIMATE))
            continue;
        const char *phase = job->progress->phase;
        uint64_t total = job->progress->total;
        out->len = 0;
        buf_printf(out, "%s", phase ? phase : "starting");
        if (total)
            buf_printf(out, " %d%%", (int)(MIN(job->progress->done, total) * 100 / total));
    }
}

static const char *const tab_names[TAB_COUNT] = {"1 Models", "2 Families", "3 Duplicates",
                                                 "4 Delta", "5 Jobs"};

/* The tab whose name stands at a column of the tab line, or the one that is open. */
static enum tab tab_at(const struct app *app, int column)
{
    int at = 1;
    for (size_t i = 0; i < TAB_COUNT; i++) {
        int end = at + (int)strlen(tab_names[i]) + 2;
        if (column >= at && column < end)
            return (enum tab)i;
        at = end;
    }
    return app->tab;
}

static void draw_tabs(struct app *app)
{
    AUTO_BUF struct buf busy = {0};
    int at = 1;
    for (size_t i = 0; i < TAB_COUNT; i++) {
        bool active = i == app->tab;
        at = canvas_printf(&app->canvas, 1, at, 20, active ? ROLE_TAB_ACTIVE : ROLE_TAB,
                           active ? "[%s]" : " %s ", tab_names[i]);
    }
    describe_scan(app, &busy);
    if (busy.len)
        canvas_put(&app->canvas, 1, app->canvas.columns - text_width(busy.data) - 1,
                   app->canvas.columns, ROLE_DIM, busy.data);
}

static void describe_filter(const struct buf *filter, struct buf *out)
{
    AUTO_FREE char *safe = text_safe(filter->data);
    buf_str(out, "filter: ");
    text_shorten(out, safe, 40);
    buf_str(out, "  ");
}

/* What a tab says of itself: on the left of what is selected, on the right of the list. */
static void describe_tab(struct app *app, struct buf *left, struct buf *right)
{
    if (app_filter(app)->len)
        describe_filter(app_filter(app), right);
    if (app_place(app) & IN_LISTS) {
        marks_footer(app, left);
        if (!left->len && app->tab == TAB_FAMILIES)
            families_footer(app, left);
        AUTO_FREE char *name = mem_strdup(view_sort_name(app->sort));
        for (char *p = name; *p; p++)
            *p = (char)(*p >= 'a' ? *p - 32 : *p);
        buf_printf(right, "sorted by %s%s ", name, app->reverse ? " (reversed)" : "");
    }
    if (app->tab == TAB_DUPLICATES) {
        marks_footer(app, left);
        duplicates_footer(app, left, right);
    }
}

/* A message, else what the tab says. Of a long message both ends: the file and the reason. */
static void draw_status(struct app *app)
{
    struct canvas *c = &app->canvas;
    AUTO_BUF struct buf left = {0}, right = {0};
    if (app->message) {
        text_shorten(&left, app->message, c->columns - 2);
        canvas_put(c, c->rows - 2, 1, c->columns - 2, app->message_bad ? ROLE_BAD : ROLE_GOOD,
                   left.len ? left.data : "");
        return;
    }
    describe_tab(app, &left, &right);
    int width = right.len ? text_width(right.data) : 0;
    if (left.len)
        canvas_put(c, c->rows - 2, 1, c->columns - 2 - width, ROLE_MARK, left.data);
    if (right.len)
        canvas_put(c, c->rows - 2, MAX(c->columns - width, 0), c->columns, ROLE_DIM, right.data);
}

/* As many as there is room for, but help and quit always. */
static void draw_keys(struct app *app)
{
    static const int always = 14; /* "? help  q quit" */
    struct canvas *c = &app->canvas;
    int at = 1;
    for (size_t i = 0; i < binding_count; i++) {
        bool last = bindings[i].action == ACT_HELP || bindings[i].action == ACT_QUIT ||
                    bindings[i].action == ACT_OVERVIEW;
        if (!bindings[i].brief || !(bindings[i].where & app_place(app)))
            continue;
        int need = text_width(bindings[i].label) + 1 + text_width(bindings[i].brief);
        if (at + need + (last ? 0 : always + 2) > c->columns)
            continue;
        at = canvas_put(c, c->rows - 1, at, c->columns, ROLE_KEY, bindings[i].label);
        at = canvas_printf(c, c->rows - 1, at, c->columns, ROLE_TEXT, " %s", bindings[i].brief);
        at += 2;
    }
}

void app_draw(struct app *app)
{
    struct canvas *c = &app->canvas;
    canvas_clear(c);
    if (c->rows < LEAST_ROWS || c->columns < LEAST_COLUMNS) {
        canvas_put(c, 0, 0, c->columns, ROLE_WARN, "too small");
        if (c->rows > 1)
            canvas_printf(c, 1, 0, c->columns, ROLE_TEXT, "needs %dx%d", LEAST_COLUMNS, LEAST_ROWS);
        return;
    }
    draw_title(app);
    draw_tabs(app);
    if (app->tab == TAB_JOBS)
        jobs_draw(app, 2, c->rows - 4);
    else if (app->tab == TAB_FAMILIES)
        families_draw(app, 2, c->rows - 4);
    else if (app->tab == TAB_DUPLICATES)
        duplicates_draw(app, 2, c->rows - 4);
    else if (app->tab == TAB_DELTA)
        delta_draw(app, 2, c->rows - 4);
    else if (app->page.open)
        details_draw(app, 2, c->rows - 4);
    else
        models_draw(app, 2, c->rows - 4);
    draw_status(app);
    draw_keys(app);
    overlay_draw(app);
}

static bool move_list(struct list *list, enum action action)
{
    int page = MAX(list->height - 1, 1);
    switch (action) {
    case ACT_DOWN:
        list_move(list, 1);
        return true;
    case ACT_UP:
        list_move(list, -1);
        return true;
    case ACT_TOP:
        list_go(list, 0);
        return true;
    case ACT_BOTTOM:
        list_go(list, list->count - 1);
        return true;
    case ACT_PAGE_DOWN:
        list_move(list, page);
        return true;
    case ACT_PAGE_UP:
        list_move(list, -page);
        return true;
    case ACT_HALF_DOWN:
        list_move(list, page / 2);
        return true;
    case ACT_HALF_UP:
        list_move(list, -page / 2);
        return true;
    case ACT_NEXT:
        list_go(list, list->cursor + 1 < list->count ? list->cursor + 1 : 0);
        return true;
    case ACT_PREVIOUS:
        list_go(list, list->cursor ? list->cursor - 1 : list->count - 1);
        return true;
    default:
        return false;
    }
}

static struct list *list_of(struct app *app)
{
    switch (app->tab) {
    case TAB_JOBS:
        return &app->jobs;
    case TAB_FAMILIES:
        return &app->families;
    case TAB_DUPLICATES:
        return &app->duplicates.list;
    default:
        return app->page.open ? &app->page.list : &app->models;
    }
}

unsigned app_place(const struct app *app)
{
    static const unsigned places[TAB_COUNT] = {IN_MODELS, IN_FAMILIES, IN_DUPLICATES, IN_DELTA,
                                               IN_JOBS};
    return app->tab == TAB_MODELS && app->page.open ? IN_DETAILS : places[app->tab];
}

bool app_waits(const struct app *app)
{
    return app->scanning || app->plan_asked || app->delta.asked || app->duplicates.asked ||
           app->page.asked || app->page.looked;
}

/* ---- searching ---- */

struct buf *app_filter(struct app *app)
{
    switch (app_place(app)) {
    case IN_JOBS:
        return &app->job_search;
    case IN_DELTA:
        return &app->delta.search;
    case IN_DETAILS:
        return &app->page.filter;
    default:
        return &app->filter;
    }
}

void app_highlight(struct app *app, int line, int column, int width)
{
    const struct buf *filter = app_filter(app);
    if (!filter->len || column >= app->canvas.columns)
        return;
    bool cursor = app->canvas.cells[line * app->canvas.columns + column].role == ROLE_CURSOR;
    AUTO_FREE char *words = mem_strdup(filter->data);
    char *save = NULL;
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        canvas_highlight(&app->canvas, line, column, width, cursor ? ROLE_MATCH_CURSOR : ROLE_MATCH,
                         word);
}

/* Jobs and modules stay as they are, and the cursor goes to the next one that matches. */
static bool line_matches(struct app *app, int line)
{
    const char *text = app->tab == TAB_JOBS ? session_job(app->session, (size_t)line)->title
                                            : app->delta.map.modules[line];
    return text_has_words(text, app_filter(app)->data);
}

static void search(struct app *app, int by)
{
    bool jobs = app->tab == TAB_JOBS;
    int count = jobs ? (int)session_job_count(app->session) : app->delta.map.rows;
    int at = jobs ? app->jobs.cursor : app->delta.row;
    for (int i = by ? 1 : 0; i <= count && count && app_filter(app)->len; i++) {
        int line = ((at + i * (by < 0 ? -1 : 1)) % count + count) % count;
        if (!line_matches(app, line))
            continue;
        if (jobs)
            list_go(&app->jobs, line);
        else
            app->delta.row = line;
        return;
    }
}

void app_refilter(struct app *app)
{
    unsigned place = app_place(app);
    if (place == IN_DETAILS)
        details_rebuild(app);
    else if (place & (IN_JOBS | IN_DELTA))
        search(app, 0);
    else if (place == IN_FAMILIES)
        families_rebuild(app);
    else if (place == IN_DUPLICATES)
        duplicates_rebuild(app);
    else
        models_rebuild(app);
}

/* The other tab of models shows the same one. */
static void open_tab(struct app *app, enum tab tab)
{
    if (tab == TAB_MODELS && app->tab == TAB_MODELS)
        details_forget(app);
    app->tab = tab;
    if (tab == TAB_FAMILIES)
        families_rebuild(app);
    else if (tab == TAB_MODELS)
        models_rebuild(app);
    else if (tab == TAB_DUPLICATES) {
        duplicates_rebuild(app);
        duplicates_open(app);
    }
}

static bool act_in_tab(struct app *app, enum action action)
{
    switch (app->tab) {
    case TAB_JOBS:
        return jobs_action(app, action);
    case TAB_DUPLICATES:
        return duplicates_action(app, action) || marks_action(app, action);
    case TAB_DELTA:
        return delta_action(app, action);
    case TAB_FAMILIES:
        return families_action(app, action) || marks_action(app, action);
    default:
        if (app->page.open)
            return details_action(app, action);
        return models_action(app, action) || marks_action(app, action);
    }
}

static void act(struct app *app, enum action action)
{
    bool found = app_place(app) & (IN_JOBS | IN_DELTA);
    if (action == ACT_BACK && app_filter(app)->len) {
        buf_release(app_filter(app));
        app_refilter(app);
        return;
    }
    if (found && (action == ACT_NEXT || action == ACT_PREVIOUS)) {
        search(app, action == ACT_NEXT ? 1 : -1);
        return;
    }
    if ((app->tab != TAB_DELTA && move_list(list_of(app), action)) || act_in_tab(app, action))
        return;
    switch (action) {
    case ACT_MODELS:
        open_tab(app, TAB_MODELS);
        break;
    case ACT_FAMILIES:
        open_tab(app, TAB_FAMILIES);
        break;
    case ACT_DUPLICATES:
        open_tab(app, TAB_DUPLICATES);
        break;
    case ACT_DELTA_TAB:
        open_tab(app, TAB_DELTA);
        break;
    case ACT_JOBS:
        open_tab(app, TAB_JOBS);
        break;
    case ACT_NEXT_TAB:
        open_tab(app, (enum tab)((app->tab + 1) % TAB_COUNT));
        break;
    case ACT_BACK:
        open_tab(app, TAB_MODELS);
        break;
    case ACT_FILTER:
        app_open_overlay(app, OVERLAY_FILTER);
        break;
    case ACT_SORT:
        app_open_overlay(app, OVERLAY_SORT);
        break;
    case ACT_OVERVIEW:
        app_open_overlay(app, OVERLAY_OVERVIEW);
        break;
    case ACT_EXPORT:
        export_ask(app);
        break;
    case ACT_HELP:
        app_open_overlay(app, OVERLAY_HELP);
        break;
    case ACT_RESCAN:
        app->scanning = true;
        session_scan(app->session, NULL);
        break;
    case ACT_QUIT:
        if (app_place(app) == IN_DETAILS)
            details_forget(app);
        else if (session_busy(app->session))
            app_open_overlay(app, OVERLAY_QUIT);
        else
            app->quit = true;
        break;
    default:
        break;
    }
}

void app_key(struct app *app, int key)
{
    free(app->message);
    app->message = NULL;
    app->moved = true;
    if (app_place(app) == IN_MODELS)
        models_note(app);
    else if (app_place(app) == IN_FAMILIES)
        families_note(app);
    if (app->canvas.rows < LEAST_ROWS || app->canvas.columns < LEAST_COLUMNS) {
        app->quit = key == 'q' || key == KEY_CTRL('c');
        return;
    }
    jobs_note(app);
    int action =
        overlay_key(app, key) ? -1 : keymap_find(bindings, binding_count, app_place(app), key);
    if (action >= 0)
        act(app, (enum action)action);
    jobs_note(app);
}

void app_mouse(struct app *app, int row, int column, int wheel)
{
    struct list *list = app->overlay == OVERLAY_BASE ? &app->picks.list
                        : app->overlay               ? &app->text
                                                     : list_of(app);
    bool map = app->tab == TAB_DELTA && !app->overlay;
    int first = 2 + (app_place(app) == IN_DETAILS ? details_top() : 1);
    if (wheel && map)
        act(app, wheel < 0 ? ACT_UP : ACT_DOWN);
    else if (wheel)
        list_move(list, 3 * wheel);
    else if (app->overlay)
        return;
    else if (row == 1)
        open_tab(app, tab_at(app, column));
    else if (map)
        delta_click(app, row - 2, column);
    else if (row >= first && row - first + list->top < list->count)
        list_go(list, row - first + list->top);
    jobs_note(app);
}

static void release_overview(struct app *app)
{
    if (app->overview)
        overview_release(app->overview);
    free(app->overview);
    app->overview = NULL;
}

void app_event(struct app *app, struct event *event)
{
    switch (event->kind) {
    case EVENT_LIBRARY:
        library_unref(app->library);
        app->library = event->library;
        event->library = NULL;
        release_overview(app);
        app->overview = TAKE_PTR(event->overview);
        app_rebuild(app);
        details_follow(app);
        if (app->tab == TAB_DUPLICATES)
            duplicates_open(app);
        break;
    case EVENT_DUPLICATES:
        duplicates_take(app, event);
        break;
    case EVENT_DELTA:
        delta_take(app, event);
        break;
    case EVENT_DETAILS:
        details_take(app, event);
        break;
    case EVENT_TENSOR:
        details_take_look(app, event);
        break;
    case EVENT_EXPORT:
        export_take(app, event);
        break;
    case EVENT_QUEUE:
        jobs_take_queue(app, event);
        break;
    case EVENT_PLAN:
    case EVENT_DELETE:
        plan_take(app, event);
        break;
    case EVENT_JOB:
        if (event->err.code)
            app_say(app, true, "%s", event->err.text);
        break;
    }
    jobs_follow(app);
    app->scanning = false;
    for (size_t i = 0; i < session_job_count(app->session); i++)
        app->scanning |= session_job(app->session, i)->kind == JOB_SCAN &&
                         session_job(app->session, i)->state == JOB_RUNNING;
    event_free(event);
}

void app_release(struct app *app)
{
    details_forget(app);
    plan_free(app->plan);
    delete_plan_free(app->deletion);
    library_unref(app->plan_library);
    library_unref(app->asked_library);
    library_unref(app->library);
    marks_clear(&app->marked);
    marks_clear(&app->open_runs);
    marks_clear(&app->closed);
    delta_forget(app);
    buf_release(&app->delta.search);
    duplicates_forget(app);
    release_overview(app);
    buf_release(&app->job_search);
    buf_release(&app->box);
    buf_release(&app->typed);
    delta_forget_picks(app);
    tree_release(&app->tree);
    free(app->tree_lines);
    path_list_release(&app->interrupted);
    buf_release(&app->filter);
    canvas_release(&app->canvas);
    free(app->plan_models);
    free(app->copied);
    free(app->rows);
    free(app->message);
}
