/* SPDX-License-Identifier: MIT */
/* What lies over the tabs: the plan, help, a job's log, and the prompts of the footer. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <string.h>

enum { TYPED_MOST = 1000 /* bytes */ };

/* The one table of actions: it drives the keys, the footer and help. */
const struct binding bindings[] = {
    {ACT_COMPRESS,
     IN_LISTS | IN_DUPLICATES,
     {'c'},
     "c",
     "compress",
     "compress the marked, else the selected: shows the plan"},
    {ACT_DECOMPRESS, IN_LISTS, {'x'}, "x", "decompress", "give the files back, byte for byte"},
    {ACT_DELTA,
     IN_LISTS,
     {'d'},
     "d",
     "delta",
     "two marked models, or one with its parent: what differs"},
    {ACT_KIND, IN_DUPLICATES, {'f'}, "f", "kind", "tensors, files, across sources or folders"},
    {ACT_KIND,
     IN_DETAILS,
     {'f'},
     "f",
     "next page",
     "tensors, the largest ones, files, lineage, history"},
    {ACT_OPEN,
     IN_DETAILS,
     {KEY_ENTER_, 'l', KEY_RIGHT_},
     "Enter",
     "open",
     "open a group; look at a tensor: its numbers, and where else it stands"},
    {ACT_LEFT, IN_DETAILS, {'h', KEY_LEFT_}, "h", NULL, "close the group; back"},
    {ACT_BACK, IN_DETAILS, {KEY_ESCAPE}, "Esc", "back", "back to the models"},
    {ACT_DELTA, IN_DETAILS, {'d'}, "d", "delta", "what differs from its parent"},
    {ACT_COPY, IN_DETAILS, {'y'}, "y", NULL, "copy the name of the tensor"},
    {ACT_MEASURE,
     IN_DELTA,
     {'m'},
     "m",
     "measure",
     "changed, bits that differ, relative change, stored size"},
    {ACT_BASE, IN_DELTA, {'b'}, "b", "base", "pick another model to compare with"},
    {ACT_LEFT, IN_DELTA, {'h', KEY_LEFT_}, "h", NULL, "the layer before"},
    {ACT_RIGHT, IN_DELTA, {'l', KEY_RIGHT_}, "l", NULL, "the next layer"},
    {ACT_BACK, IN_DELTA, {KEY_ESCAPE}, "Esc", NULL, "back to the models"},
    {ACT_CANCEL_JOB, IN_JOBS, {'x'}, "x", "cancel", "stop after the file in flight"},
    {ACT_MARK, IN_LISTS, {' '}, "space", "mark", "mark and move on"},
    {ACT_FILTER,
     IN_LISTS | IN_DUPLICATES | IN_DETAILS,
     {'/'},
     "/",
     "filter",
     "show only what matches (Esc clears)"},
    {ACT_FILTER, IN_JOBS | IN_DELTA, {'/'}, "/", "search", "go to what matches; n and N go on"},
    {ACT_SORT, IN_LISTS, {'s'}, "s", "sort", "sort by another column; the same again reverses"},
    {ACT_OPEN,
     IN_ROWS,
     {KEY_ENTER_, 'l', KEY_RIGHT_},
     "Enter l",
     NULL,
     "open: a model, a run, a family, a group, the log of a job"},
    {ACT_BACK,
     IN_ROWS | IN_TEXT,
     {KEY_ESCAPE, 'h', KEY_LEFT_},
     "Esc h",
     NULL,
     "back; collapse; clear the filter"},
    {ACT_DOWN,
     IN_TABS | IN_TEXT | IN_PLAN | IN_DELETE | IN_PICK,
     {'j', KEY_DOWN_},
     "j",
     NULL,
     "down"},
    {ACT_UP, IN_TABS | IN_TEXT | IN_DELETE | IN_PICK, {'k', KEY_UP_}, "k", NULL, "up"},
    {ACT_UP, IN_PLAN, {KEY_UP_}, "Up", NULL, "up"},
    {ACT_TOP,
     IN_TABS | IN_TEXT | IN_PLAN | IN_DELETE | IN_PICK,
     {'g', KEY_HOME_},
     "g Home",
     NULL,
     "first"},
    {ACT_BOTTOM,
     IN_TABS | IN_TEXT | IN_PLAN | IN_DELETE | IN_PICK,
     {'G', KEY_END_},
     "G End",
     NULL,
     "last"},
    {ACT_PAGE_DOWN,
     IN_TABS | IN_TEXT | IN_PLAN | IN_DELETE,
     {KEY_PAGE_DOWN, KEY_CTRL('f')},
     "PgDn",
     NULL,
     "a page down"},
    {ACT_PAGE_UP,
     IN_TABS | IN_TEXT | IN_PLAN | IN_DELETE,
     {KEY_PAGE_UP, KEY_CTRL('b')},
     "PgUp",
     NULL,
     "a page up"},
    {ACT_HALF_DOWN, IN_TABS | IN_TEXT, {KEY_CTRL('d')}, "Ctrl-d", NULL, "half a page down"},
    {ACT_HALF_UP, IN_TABS | IN_TEXT, {KEY_CTRL('u')}, "Ctrl-u", NULL, "half a page up"},
    {ACT_MARK_ALL, IN_LISTS, {'a'}, "a", NULL, "mark all that is shown"},
    {ACT_UNMARK, IN_LISTS, {'U'}, "U", NULL, "unmark all"},
    {ACT_INVERT, IN_LISTS, {'*'}, "*", NULL, "invert the marks"},
    {ACT_MARK_GROUP, IN_MODELS, {'t'}, "t", NULL, "mark the whole run"},
    {ACT_MARK_GROUP, IN_DUPLICATES, {'t'}, "t", "mark", "mark the models that have it, or unmark"},
    {ACT_UNMARK, IN_DUPLICATES, {'U'}, "U", NULL, "unmark all"},
    {ACT_MARK_GROUP, IN_FAMILIES, {'t'}, "t", "tree", "mark it and all below it, or unmark"},
    {ACT_NEXT, IN_TABS, {'n'}, "n", NULL, "next match"},
    {ACT_PREVIOUS, IN_TABS, {'N'}, "N", NULL, "previous match"},
    {ACT_VERIFY, IN_LISTS, {'V'}, "V", NULL, "read and check what is stored of it"},
    {ACT_VERIFY, IN_JOBS, {'V'}, "V", "verify", "read and check everything that is stored"},
    {ACT_DELETE, IN_LISTS, {'D'}, "D", NULL, "delete for good: shows what that means"},
    {ACT_RESUME, IN_JOBS, {'R'}, "R", "resume", "go on with jobs that were interrupted"},
    {ACT_DETAILS, IN_LISTS, {'i'}, "i", NULL, "details on or off (120 columns)"},
    {ACT_COPY, IN_LISTS, {'y'}, "y", NULL, "copy the path"},
    {ACT_EXPORT, IN_TABS, {'e'}, "e", NULL, "write what is shown into a file, as CSV or JSON"},
    {ACT_RESCAN, IN_TABS, {'r'}, "r", NULL, "scan again"},
    {ACT_MODELS, IN_TABS, {'1'}, "1", NULL, "the Models tab"},
    {ACT_FAMILIES, IN_TABS, {'2'}, "2", NULL, "the Families tab"},
    {ACT_DUPLICATES, IN_TABS, {'3'}, "3", NULL, "the Duplicates tab"},
    {ACT_DELTA_TAB, IN_TABS, {'4'}, "4", NULL, "the Delta tab"},
    {ACT_JOBS, IN_TABS, {'5'}, "5", NULL, "the Jobs tab"},
    {ACT_NEXT_TAB, IN_TABS, {KEY_TAB_}, "Tab", NULL, "the next tab"},
    {ACT_PLAN_START, IN_PLAN, {'y'}, "y", NULL, "start"},
    {ACT_PLAN_KEEP, IN_PLAN, {'k'}, "k", NULL, "start and keep the originals"},
    {ACT_PLAN_BASE, IN_PLAN, {'b'}, "b", NULL, "include the bases"},
    {ACT_PLAN_FILES, IN_PLAN, {'e'}, "e", NULL, "show the files"},
    {ACT_PLAN_CANCEL, IN_PLAN | IN_DELETE, {KEY_ESCAPE, KEY_ENTER_, 'q'}, "Esc", NULL, "cancel"},
    {ACT_OPEN, IN_PICK, {KEY_ENTER_, 'l', KEY_RIGHT_}, "Enter", NULL, "compare with it"},
    {ACT_BACK, IN_PICK, {KEY_ESCAPE, 'q', 'h', KEY_LEFT_}, "Esc", NULL, "back"},
    {ACT_DELETE_START, IN_DELETE, {'Y'}, "Y", NULL, "delete"},
    {ACT_HELP, IN_TABS, {'?', KEY_F1_}, "?", "help", "this"},
    {ACT_QUIT, IN_TABS | IN_TEXT, {'q', KEY_CTRL('c')}, "q", "quit", "back, then quit"},
    {ACT_OVERVIEW, IN_TABS, {'o'}, "o", "overview", "what is there, and what can be freed how"},
};
const size_t binding_count = COUNT_OF(bindings);

/* Breaks lines that are wider than the box at blanks; what goes on is indented. */
static void wrap(struct buf *text, int width)
{
    struct buf out = {0};
    char *save = NULL;
    for (char *line = text->len ? strtok_r(text->data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        int used = 0, indent = (int)strspn(line, " ");
        for (char *p = line; *p;) {
            size_t n = strspn(p, " "), word = strcspn(p + n, " ");
            AUTO_FREE char *part = mem_strndup(p, n + word);
            int part_width = text_width(part);
            if (used && used + part_width > width) {
                buf_printf(&out, "\n%*s%s", indent + 2, "", part + n);
                used = indent + 2 + part_width - (int)n;
            } else {
                buf_str(&out, part);
                used += part_width;
            }
            p += n + word;
        }
        buf_char(&out, '\n');
    }
    buf_release(text);
    *text = out;
}

/* A box of lines in the middle; lines that are too many scroll. */
static void draw_box(struct app *app, const char *title, struct buf *text, const char *keys)
{
    struct canvas *c = &app->canvas;
    bool utf8 = text_utf8();
    int width = MIN(c->columns, 100), lines = 0, line = 0;
    wrap(text, width - 4);
    for (const char *p = text->data; p && *p; p++)
        lines += *p == '\n';
    int room = MIN(lines, c->rows - 6), height = room + (keys ? 4 : 2);
    int top = MAX((c->rows - height) / 2, 1), left = (c->columns - width) / 2;
    list_set_height(&app->text, room);
    list_set_count(&app->text, MAX(lines - room + 1, 1));
    for (int i = 0; i < height; i++) {
        canvas_fill(c, top + i, left, width, ROLE_OVERLAY);
        canvas_put(c, top + i, left, 1, ROLE_DIM, utf8 ? "│" : "|");
        canvas_put(c, top + i, left + width - 1, 1, ROLE_DIM, utf8 ? "│" : "|");
    }
    for (int i = 0; i < width; i++) {
        const char *corner_top = !utf8            ? (i == 0 || i == width - 1 ? "+" : "-")
                                 : i == 0         ? "┌"
                                 : i == width - 1 ? "┐"
                                                  : "─";
        const char *corner_bottom = !utf8            ? (i == 0 || i == width - 1 ? "+" : "-")
                                    : i == 0         ? "└"
                                    : i == width - 1 ? "┘"
                                                     : "─";
        canvas_put(c, top, left + i, 1, ROLE_DIM, corner_top);
        canvas_put(c, top + height - 1, left + i, 1, ROLE_DIM, corner_bottom);
    }
    canvas_printf(c, top, left + 2, width - 4, ROLE_TITLE, " %s ", title);
    char *save = NULL;
    int skip = app->text.cursor;
    for (char *p = lines ? strtok_r(text->data, "\n", &save) : NULL; p && line < room;
         p = strtok_r(NULL, "\n", &save)) {
        if (skip-- > 0)
            continue;
        canvas_put(c, top + 1 + line++, left + 2, width - 4, ROLE_OVERLAY, p);
    }
    int below = lines - room - app->text.cursor;
    int at = keys ? canvas_put(c, top + height - 2, left + 2, width - 4, ROLE_KEY, keys) : left + 2;
    if (below > 0)
        canvas_printf(c, top + height - 2, at + 3, left + width - 2 - at - 3, ROLE_DIM,
                      "%d more line%s", below, below == 1 ? "" : "s");
}

static void help_text(const struct app *app, struct buf *out)
{
    unsigned where = app_place(app);
    for (size_t i = 0; i < binding_count; i++)
        if (bindings[i].where & where)
            buf_printf(out, "%-9s %s\n", bindings[i].label, bindings[i].help);
    if (app->tab == TAB_FAMILIES)
        buf_str(out, " \n"
                     "RELATION  what it is to the model above it\n"
                     "BITS      how many of the 16 bits of a weight differ from it, on average\n"
                     "KNOWN BY  card, config, adapter, mergekit, gguf, metadata: written there;\n"
                     "          path: its place in a run; content: equal tensors;\n"
                     "          bits: the weights themselves\n"
                     "FREES     what compressing this model alone would give (an estimate)\n"
                     "ALL       what compressing the whole family as one would give\n"
                     "not here  named as a parent, and in none of the places that were scanned\n"
                     "+         collapsed: Enter opens it, and c means all of it\n"
                     "!card     it claims a parent that the bits deny\n");
    if (app->tab == TAB_DUPLICATES)
        buf_str(out,
                " \n"
                "WASTED    what would be free if each content were kept once; a file that\n"
                "          several names or models share counts once\n"
                "COPIES    how often it is on disk; Enter shows where, and again jumps there\n");
    if (app->tab == TAB_DELTA)
        buf_str(out, " \n"
                     "Rows are modules (the first: all of them), columns layers; what is outside\n"
                     "of all layers comes first. The darker, the more; a dot is a tensor that is\n"
                     "equal.\n"
                     "changed   share of the weights of which any bit differs\n"
                     "bits      how many of 16 bits differ, on average; by chance 5.7\n"
                     "relative  the length of the difference over that of the base\n"
                     "flips     how often each bit differs: a full bar is half of the weights,\n"
                     "          which is chance\n");
    if (where == IN_DETAILS)
        buf_str(out, " \n"
                     "unique    what deleting it would free: what nobody else shares\n"
                     "+ -       a group of tensors, by the dots of their names: Enter opens it\n");
    if (where != IN_MODELS)
        return;
    buf_str(out, " \n"
                 "SIZE      what the files' lengths add up to\n"
                 "DISK      what they occupy, shared files included\n"
                 "FREES     what compressing this model alone would give (an estimate)\n"
                 "READ      when it was read last; ? where that is not kept\n"
                 "base      another model names it as its base\n"
                 "packed    only the store has it; x brings it back\n"
                 "partly    some of its files are packed\n"
                 "trial     packed, and the originals are still there\n"
                 "loading   a download is under way, or broke off\n"
                 "orphan    blobs that no revision names\n"
                 "!damaged  what is stored of it is damaged (tare verify --repair)\n"
                 "!trunc    cut off: download it again\n"
                 "!bad      cannot be read; details say why\n"
                 "!shards   a shard is missing\n"
                 "!files    files beside its weights are gone; copies come back with it\n"
                 "trailing  bytes behind the last tensor: not what the format allows\n"
                 "sparse    holes in the file: it is not hashed and not compressed\n");
}

static void plan_lines(struct app *app, struct buf *out)
{
    plan_text(app->plan_library, app->plan, out);
    for (size_t f = 0; app->plan_files && f < app->plan->file_count; f++) {
        const struct plan_file *file = &app->plan->files[f];
        const struct lib_file *lib = &app->plan_library->files[file->file];
        AUTO_FREE char *safe = text_safe(lib->path);
        char size[16], to[16];
        text_size(size, lib->size);
        text_size(to, file->estimated);
        if (!file->skip)
            buf_printf(out, "  %7s -> %6s  %s\n", size, to, safe);
    }
}

/* A box whose title is the first line of the text. */
static void draw_titled(struct app *app, const struct buf *text, const char *keys)
{
    size_t first = strcspn(text->data, "\n");
    AUTO_FREE char *title = mem_strndup(text->data, first);
    AUTO_BUF struct buf rest = {0};
    buf_str(&rest, text->data + first + 1);
    draw_box(app, title, &rest, keys);
}

static void draw_plan(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    if (app->plan_asked) {
        buf_str(&text, "working out what this would give …\n");
        draw_box(app, "Plan", &text, "Esc cancel");
        return;
    }
    plan_lines(app, &text);
    draw_titled(app, &text,
                app->plan->frees > 0
                    ? "[ Cancel ]  y start  k keep originals (trial)  b include base  e files"
                    : "[ Cancel ]  b include base  e files");
}

static bool deletes_any(const struct delete_plan *plan)
{
    for (size_t i = 0; i < plan->model_count; i++)
        if (!plan->models[i].refused)
            return true;
    return false;
}

static void draw_deletion(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    if (app->plan_asked) {
        buf_str(&text, "looking at what depends on it …\n");
        draw_box(app, "Delete", &text, "Esc cancel");
        return;
    }
    delete_plan_text(app->plan_library, app->deletion, &text);
    draw_titled(app, &text,
                deletes_any(app->deletion) ? "[ Cancel ]  Y (capital) delete for good"
                                           : "[ Cancel ]");
}

static void draw_log(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    int at = session_find(app->session, app->log_job);
    if (at < 0)
        return;
    const struct session_job *job = session_job(app->session, (size_t)at);
    buf_add(&text, job->log.data, job->log.len);
    if (!job->log.len)
        buf_str(&text, job->progress ? "it is still at work\n" : "nothing to tell\n");
    draw_box(app, job->title, &text, "Esc back");
}

/* A prompt in the last line. Of a long text the end is in sight. */
static void draw_prompt(struct app *app, const char *label, const struct buf *typed)
{
    int last = app->canvas.rows - 1, room = app->canvas.columns - text_width(label) - 5;
    AUTO_FREE char *safe = text_safe(typed->len ? typed->data : "");
    const char *end = safe;
    uint32_t point;
    while (text_width(end) > MAX(room, 8))
        end += text_decode(end, strlen(end), &point);
    canvas_fill(&app->canvas, last, 0, app->canvas.columns, ROLE_TEXT);
    canvas_printf(&app->canvas, last, 0, app->canvas.columns, ROLE_KEY, " %s: %s%s_", label,
                  end > safe ? "<" : "", end);
}

static void draw_pick(struct app *app)
{
    struct delta_picks *picks = &app->picks;
    AUTO_BUF struct buf text = {0};
    list_set_height(&picks->list, app->canvas.rows - 6);
    for (int i = picks->list.top, end = i + app->canvas.rows - 6; i < MIN(end, picks->list.count);
         i++) {
        AUTO_FREE char *name = text_safe(picks->library->models[picks->others[i]].name);
        buf_str(&text, i == picks->list.cursor ? "> " : "  ");
        text_shorten(&text, name, MIN(app->canvas.columns, 100) - 8);
        buf_char(&text, '\n');
    }
    AUTO_FREE char *title = mem_printf("Compare with one of %d", picks->list.count);
    draw_box(app, title, &text, "j k   Enter compare   Esc back");
}

static void draw_overview(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    if (app->overview)
        overview_text(app->library, app->overview, MIN(app->canvas.columns, 100) - 4, &text);
    else
        buf_str(&text, "looking …\n");
    draw_box(app, "Overview", &text, "j k scroll   Esc back");
}

static void draw_tensor(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    if (app->page.looked) {
        buf_str(&text, "reading it …\n");
        draw_box(app, "Tensor", &text, "Esc back");
    } else {
        draw_titled(app, &app->box, "j k scroll   Esc back");
    }
}

void overlay_draw(struct app *app)
{
    AUTO_BUF struct buf text = {0};
    int last = app->canvas.rows - 1;
    switch (app->overlay) {
    case OVERLAY_HELP:
        help_text(app, &text);
        draw_box(app, "Help", &text, "j k scroll   Esc back");
        break;
    case OVERLAY_PLAN:
        draw_plan(app);
        break;
    case OVERLAY_DELETE:
        draw_deletion(app);
        break;
    case OVERLAY_LOG:
        draw_log(app);
        break;
    case OVERLAY_FILTER:
        draw_prompt(app, app_place(app) & (IN_JOBS | IN_DELTA) ? "search" : "filter",
                    app_filter(app));
        break;
    case OVERLAY_EXPORT:
        draw_prompt(app, "write what is shown to (.csv or .json)", &app->typed);
        break;
    case OVERLAY_TENSOR:
        draw_tensor(app);
        break;
    case OVERLAY_OVERVIEW:
        draw_overview(app);
        break;
    case OVERLAY_BASE:
        draw_pick(app);
        break;
    case OVERLAY_SORT:
        canvas_fill(&app->canvas, last, 0, app->canvas.columns, ROLE_TEXT);
        canvas_put(&app->canvas, last, 0, app->canvas.columns, ROLE_KEY,
                   " sort by: n name  s size  d disk  f frees  r read  m modified");
        break;
    case OVERLAY_QUIT:
        canvas_fill(&app->canvas, last, 0, app->canvas.columns, ROLE_TEXT);
        canvas_put(&app->canvas, last, 0, app->canvas.columns, ROLE_WARN,
                   " a job runs: q stop it (the file in flight is taken back) and quit   Esc stay");
        break;
    case OVERLAY_NONE:
        break;
    }
}

/* ---- the plan ---- */

static void drop_plan(struct app *app)
{
    plan_free(app->plan);
    delete_plan_free(app->deletion);
    library_unref(app->plan_library);
    app->plan = NULL;
    app->deletion = NULL;
    app->plan_library = NULL;
}

/* What was planned, and what is still asked for, is not wanted any more. */
static void forget_plan(struct app *app)
{
    session_cancel(app->session, app->plan_asked);
    app->plan_asked = 0;
    drop_plan(app);
}

static void close_plan(struct app *app)
{
    forget_plan(app);
    app->overlay = OVERLAY_NONE;
}

void plan_take(struct app *app, struct event *event)
{
    if (event->job != app->plan_asked)
        return;
    app->plan_asked = 0;
    if (event->err.code) {
        close_plan(app);
        app_say(app, true, "%s", event->err.text);
        return;
    }
    drop_plan(app);
    app->plan = TAKE_PTR(event->plan);
    app->deletion = TAKE_PTR(event->deletion);
    app->plan_library = TAKE_PTR(event->library);
}

void plan_ask(struct app *app, bool include_base)
{
    if (!include_base) {
        free(app->plan_models);
        app->plan_models = marks_chosen(app, &app->plan_model_count);
        library_unref(app->asked_library);
        app->asked_library = library_ref(app->library);
    }
    forget_plan(app);
    app->plan_include_base = include_base;
    app->plan_files = false;
    const struct plan_request request = {.models = app->plan_models,
                                         .count = app->plan_model_count,
                                         .base = NO_MODEL,
                                         .include_base = include_base};
    app->plan_asked = session_plan(app->session, app->asked_library, &request);
    app_open_overlay(app, OVERLAY_PLAN);
}

void delete_ask(struct app *app)
{
    size_t count;
    AUTO_FREE int *models = marks_chosen(app, &count);
    forget_plan(app);
    app->plan_asked = session_plan_delete(app->session, app->library, models, count);
    app_open_overlay(app, OVERLAY_DELETE);
}

/* Scrolls the text of a box; false where the action is another. */
static bool scroll(struct app *app, int action)
{
    static const struct {
        enum action action;
        int lines;
    } steps[] = {{ACT_DOWN, 1},       {ACT_UP, -1},         {ACT_PAGE_DOWN, 10},
                 {ACT_HALF_DOWN, 10}, {ACT_PAGE_UP, -10},   {ACT_HALF_UP, -10},
                 {ACT_TOP, -1000000}, {ACT_BOTTOM, 1000000}};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if ((int)steps[i].action != action)
            continue;
        list_move(&app->text, steps[i].lines);
        return true;
    }
    return false;
}

static void delete_key(struct app *app, int key)
{
    int action = keymap_find(bindings, binding_count, IN_DELETE, key);
    switch (action) {
    case ACT_PLAN_CANCEL:
        close_plan(app);
        break;
    case ACT_DELETE_START:
        if (!app->deletion || !deletes_any(app->deletion))
            break;
        session_delete(app->session, app->plan_library, TAKE_PTR(app->deletion));
        close_plan(app);
        marks_clear(&app->marked);
        app_say(app, false, "deleting; 5 shows how far it is");
        break;
    default:
        scroll(app, action);
    }
}

static void start_plan(struct app *app, bool keep)
{
    if (!app->plan || (app->plan->frees <= 0 && !keep))
        return;
    session_compress(app->session, app->plan_library, app->plan, keep);
    app->plan = NULL;
    drop_plan(app);
    app->overlay = OVERLAY_NONE;
    marks_clear(&app->marked);
    app_say(app, false, "compressing; 5 shows how far it is");
}

static void plan_key(struct app *app, int key)
{
    int action = keymap_find(bindings, binding_count, IN_PLAN, key);
    switch (action) {
    case ACT_PLAN_CANCEL:
        close_plan(app);
        break;
    case ACT_PLAN_START:
        start_plan(app, false);
        break;
    case ACT_PLAN_BASE:
        if (app->plan)
            plan_ask(app, true);
        break;
    case ACT_PLAN_FILES:
        app->plan_files = !app->plan_files;
        break;
    case ACT_PLAN_KEEP:
        start_plan(app, true);
        break;
    default:
        scroll(app, action);
    }
}

/* ---- prompts ---- */

/* A key in a line that is typed; false where it is not for the line. */
static bool type(struct buf *line, int key)
{
    if (key == KEY_BACK || key == KEY_CTRL('h')) {
        while (line->len && (line->data[line->len - 1] & 0xc0) == 0x80)
            line->len--;
        line->len -= line->len > 0;
        if (line->data)
            line->data[line->len] = '\0';
    } else if (key == KEY_CTRL('u')) {
        buf_release(line);
    } else if (key >= 0x20 && key != 0x7f && key < 0x110000 && line->len < TYPED_MOST) {
        text_put_point(line, (uint32_t)key);
    } else {
        return false;
    }
    return true;
}

static void filter_key(struct app *app, int key)
{
    if (key == KEY_ESCAPE || key == KEY_CTRL('c'))
        buf_release(app_filter(app));
    else if (type(app_filter(app), key) || key != KEY_ENTER_)
        key = KEY_NONE;
    if (key != KEY_NONE)
        app->overlay = OVERLAY_NONE;
    app_refilter(app);
}

static void export_key(struct app *app, int key)
{
    if (type(&app->typed, key))
        return;
    if (key == KEY_ENTER_ && app->typed.len)
        export_start(app);
    if (key == KEY_ENTER_ || key == KEY_ESCAPE || key == KEY_CTRL('c'))
        app->overlay = OVERLAY_NONE;
}

static void pick_key(struct app *app, int key)
{
    int action = keymap_find(bindings, binding_count, IN_PICK, key);
    struct list *list = &app->picks.list;
    if (action == ACT_DOWN || action == ACT_UP)
        list_move(list, action == ACT_DOWN ? 1 : -1);
    else if (action == ACT_TOP || action == ACT_BOTTOM)
        list_go(list, action == ACT_TOP ? 0 : list->count - 1);
    else if (action == ACT_BACK || action == ACT_OPEN)
        app->overlay = OVERLAY_NONE;
    if (action == ACT_OPEN)
        delta_pick(app);
}

static void sort_key(struct app *app, int key)
{
    static const char letters[] = "nsdfrm";
    static const enum view_sort sorts[] = {VIEW_NAME,  VIEW_SIZE, VIEW_DISK,
                                           VIEW_FREES, VIEW_READ, VIEW_MODIFIED};
    const char *letter = key > 0 && key < 0x7f ? strchr(letters, key) : NULL;
    app->overlay = OVERLAY_NONE;
    if (!letter)
        return;
    enum view_sort sort = sorts[letter - letters];
    app->reverse = sort == app->sort && !app->reverse;
    app->sort = sort;
    app_refilter(app);
}

static void quit_key(struct app *app, int key)
{
    app->overlay = OVERLAY_NONE;
    if (key == 'q' || key == KEY_CTRL('c'))
        app->quit = true;
}

static void text_key(struct app *app, int key)
{
    if (!scroll(app, keymap_find(bindings, binding_count, IN_TEXT, key)))
        app->overlay = OVERLAY_NONE;
}

bool overlay_key(struct app *app, int key)
{
    switch (app->overlay) {
    case OVERLAY_NONE:
        return false;
    case OVERLAY_PLAN:
        plan_key(app, key);
        return true;
    case OVERLAY_DELETE:
        delete_key(app, key);
        return true;
    case OVERLAY_FILTER:
        filter_key(app, key);
        return true;
    case OVERLAY_SORT:
        sort_key(app, key);
        return true;
    case OVERLAY_EXPORT:
        export_key(app, key);
        return true;
    case OVERLAY_BASE:
        pick_key(app, key);
        return true;
    case OVERLAY_QUIT:
        quit_key(app, key);
        return true;
    default:
        text_key(app, key);
        return true;
    }
}
