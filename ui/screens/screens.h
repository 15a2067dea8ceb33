/* SPDX-License-Identifier: MIT */
/*
 * The screens: each draws on the canvas and answers actions. They share one state, which belongs
 * to the main thread. Nothing here waits: what takes time is a job of the session.
 */
#ifndef TARE_UI_SCREENS_SCREENS_H
#define TARE_UI_SCREENS_SCREENS_H

#include "ops/duplicates.h"
#include "ops/session.h"
#include "ops/tree.h"
#include "ops/view.h"
#include "base/map.h"
#include "ui/kit/canvas.h"
#include "ui/kit/keymap.h"
#include "ui/kit/list.h"

enum tab { TAB_MODELS, TAB_FAMILIES, TAB_DUPLICATES, TAB_DELTA, TAB_JOBS, TAB_COUNT };

enum { DETAILS_FROM = 120 /* columns */ };

enum overlay {
    OVERLAY_NONE,
    OVERLAY_HELP,
    OVERLAY_PLAN,
    OVERLAY_DELETE,
    OVERLAY_LOG,
    OVERLAY_TENSOR,
    OVERLAY_OVERVIEW,
    OVERLAY_BASE,
    OVERLAY_FILTER,
    OVERLAY_EXPORT,
    OVERLAY_SORT,
    OVERLAY_QUIT
};

/* Places of the key table: which of them a key is valid in. */
enum {
    IN_MODELS = 1,
    IN_JOBS = 2,
    IN_PLAN = 4,
    IN_TEXT = 8, /* help, log */
    IN_DELETE = 16,
    IN_FAMILIES = 32,
    IN_DELTA = 64,
    IN_DUPLICATES = 128,
    IN_DETAILS = 256,
    IN_PICK = 512,                                /* a list to choose from */
    IN_LISTS = IN_MODELS | IN_FAMILIES,           /* of models */
    IN_ROWS = IN_LISTS | IN_DUPLICATES | IN_JOBS, /* one list */
    IN_TABS = IN_ROWS | IN_DELTA | IN_DETAILS,
};

enum action {
    ACT_DOWN,
    ACT_UP,
    ACT_TOP,
    ACT_BOTTOM,
    ACT_PAGE_DOWN,
    ACT_PAGE_UP,
    ACT_HALF_DOWN,
    ACT_HALF_UP,
    ACT_OPEN,
    ACT_BACK,
    ACT_MODELS,
    ACT_FAMILIES,
    ACT_DUPLICATES,
    ACT_KIND,
    ACT_DELTA_TAB,
    ACT_DELTA,
    ACT_MEASURE,
    ACT_BASE,
    ACT_LEFT,
    ACT_RIGHT,
    ACT_JOBS,
    ACT_NEXT_TAB,
    ACT_MARK,
    ACT_MARK_ALL,
    ACT_UNMARK,
    ACT_INVERT,
    ACT_MARK_GROUP,
    ACT_FILTER,
    ACT_NEXT,
    ACT_PREVIOUS,
    ACT_SORT,
    ACT_COMPRESS,
    ACT_DECOMPRESS,
    ACT_VERIFY,
    ACT_DELETE,
    ACT_RESUME,
    ACT_DETAILS,
    ACT_RESCAN,
    ACT_OVERVIEW,
    ACT_EXPORT,
    ACT_CANCEL_JOB,
    ACT_COPY,
    ACT_HELP,
    ACT_QUIT,
    ACT_PLAN_START,
    ACT_PLAN_KEEP,
    ACT_PLAN_BASE,
    ACT_PLAN_FILES,
    ACT_PLAN_CANCEL,
    ACT_DELETE_START,
};

extern const struct binding bindings[];
extern const size_t binding_count;

/* A set of ids, or other keys. */
struct marks {
    struct map map; /* 1 for each that is in it, 0 for each that was */
    size_t count;
};

/* A row of the Models tab: a model, or a run of checkpoints that stands for its members. */
struct row {
    int model;      /* a run: its first member */
    int members;    /* 0: a model */
    int64_t number; /* by which it stands; of a run, together */
    bool inside;    /* a member below its run */
};

enum duplicates_kind {
    DUPLICATES_ALL,
    DUPLICATES_TENSORS,
    DUPLICATES_FILES,
    DUPLICATES_ACROSS,
    DUPLICATES_KINDS
};

/* A line of the Duplicates tab: a group, or a place of it. */
struct duplicates_line {
    size_t group;
    int place; /* -1: the group itself */
};

struct duplicates_view {
    uint64_t asked;           /* the question that is open, 0 */
    struct duplicates *found; /* NULL: not looked for yet */
    struct library *library;  /* that it is of */
    struct list list;
    struct duplicates_line *lines;
    long open; /* the group whose places are shown, -1 */
    enum duplicates_kind kind;
};

/* Models to choose another base from. */
struct delta_picks {
    struct library *library;
    int model, *others;
    struct list list;
};

struct delta_view {
    uint64_t asked;              /* the question that is open, 0 */
    uint64_t answered;           /* that the report answers */
    struct delta_report *report; /* NULL: nothing was compared yet */
    struct library *library;
    int model, base;
    struct delta_map map;       /* of the report */
    int row, column, top, left; /* where the cursor stands, and what is in sight */
    enum delta_measure measure;
    struct buf search; /* for a module */
};

enum details_page {
    DETAILS_TENSORS,
    DETAILS_LARGEST,
    DETAILS_FILES,
    DETAILS_LINEAGE,
    DETAILS_HISTORY,
    DETAILS_PAGES
};

/* A line of the details: tensors from at to end; from and to: the part of the name that it shows.
 */
struct details_line {
    size_t at, end, from, to;
    int depth;
    bool group, open;
};

struct details_view {
    bool open;
    uint64_t asked, looked; /* the questions that are open: for the model, for a tensor; 0 */
    struct details *found;  /* NULL: not there yet */
    struct library *library;
    int model;
    enum details_page page;
    struct list list;
    struct details_line *lines; /* of pages of tensors */
    size_t count, cap;
    struct path_list texts; /* of the others */
    struct marks turned;    /* groups that are not as they were at first */
    struct buf filter;
};

struct app {
    struct session *session;
    struct library *library; /* NULL until the first snapshot */
    struct canvas canvas;
    enum tab tab;
    enum overlay overlay;
    bool details, quit, scanning;
    bool moved; /* a key was pressed: the cursor follows its model from then on */
    /* Models */
    struct list models;
    struct row *rows;
    size_t row_count, row_cap;
    char selected[MODEL_ID]; /* the model under the cursor when it was drawn last */
    struct marks marked;     /* ids of models */
    struct marks open_runs;  /* run keys */
    /* Families */
    struct list families;
    struct tree tree;
    size_t *tree_lines;  /* the rows of the tree that are shown */
    struct marks closed; /* what is collapsed */
    enum view_sort sort;
    bool reverse;
    struct buf filter;
    struct duplicates_view duplicates;
    struct delta_view delta;
    struct details_view page;  /* over the Models tab */
    struct overview *overview; /* of the library; NULL: not looked at yet */
    /* Jobs */
    struct buf job_search;
    struct list jobs;
    uint64_t job, log_job;        /* under the cursor; whose log is open */
    struct path_list interrupted; /* titles of jobs that earlier runs left undone */
    /* Overlays */
    struct list text; /* scrolls help, log and plan */
    struct buf box;   /* the text of a tensor */
    struct buf typed; /* the name of a file */
    struct delta_picks picks;
    struct plan *plan;
    struct delete_plan *deletion;
    struct library *plan_library, *asked_library;
    int *plan_models;
    size_t plan_model_count;
    uint64_t plan_asked; /* the question that is open, 0 */
    bool plan_include_base, plan_files;
    char *copied;  /* a path for the clipboard; the loop takes it */
    char *message; /* one line for the user, escaped; until the next key */
    bool message_bad;
    const char *hub;   /* for the first run */
    const char *scope; /* what is shown, NULL: the known caches */
};

/* Draws everything for the canvas's size. */
void app_draw(struct app *app);
/* A key; what it means depends on tab and overlay. */
void app_key(struct app *app, int key);
void app_mouse(struct app *app, int row, int column, int wheel);
/* Takes an event in (and frees it). */
void app_event(struct app *app, struct event *event);
/* Before its session is freed: what it waits for is cancelled. */
void app_release(struct app *app);

/* For the screens. */
/* What is shown, anew: after another library, filter or order. */
void app_rebuild(struct app *app);
void app_say(struct app *app, bool bad, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is searched for in the view that is open; what is shown of it, anew. */
struct buf *app_filter(struct app *app);
void app_refilter(struct app *app);
/* Shows in a drawn line what is searched for. */
void app_highlight(struct app *app, int line, int column, int width);
/* The place of the key table where keys go to when nothing lies over it. */
unsigned app_place(const struct app *app);
/* Whether an answer is waited for. */
bool app_waits(const struct app *app);
/* For the clipboard, if it can be pasted without harm. */
void app_copy(struct app *app, const char *text);
void app_open_overlay(struct app *app, enum overlay overlay);

/* Remembers the model under the cursor, which it stays on when rows change. */
void models_note(struct app *app);
void models_draw(struct app *app, int top, int height);
bool models_action(struct app *app, enum action action);
void models_rebuild(struct app *app);
/* The models of a row: itself, or the members of its run; returns how many. */
size_t models_of_row(const struct app *app, size_t row, int *out);
/* The models of the selected row; returns how many. */
size_t models_selected(const struct app *app, int *out);
/* Shows a model in the Models tab. */
void models_jump(struct app *app, int model);
/* Columns that a list has beside the details; the details of a model behind them. */
int models_details_room(const struct app *app);
void models_draw_details(struct app *app, int model, int top, int height);

void families_note(struct app *app);
void families_draw(struct app *app, int top, int height);
bool families_action(struct app *app, enum action action);
void families_rebuild(struct app *app);
void families_select(struct app *app, const char *id);
size_t families_chosen(const struct app *app, int *out);
/* What is known of the selected model. */
void families_footer(const struct app *app, struct buf *out);

void duplicates_draw(struct app *app, int top, int height);
bool duplicates_action(struct app *app, enum action action);
void duplicates_rebuild(struct app *app);
/* The tab was opened, or there is another library. */
void duplicates_open(struct app *app);
void duplicates_take(struct app *app, struct event *event);
void duplicates_forget(struct app *app);
/* The models of the group under the cursor. */
size_t duplicates_chosen(const struct app *app, int *out);
void duplicates_footer(const struct app *app, struct buf *left, struct buf *right);

void delta_draw(struct app *app, int top, int height);
bool delta_action(struct app *app, enum action action);
/* Compares what is chosen, and opens the tab. */
void delta_chosen(struct app *app);
/* A model against its parent. */
void delta_ask_for(struct app *app, struct library *library, int model);
void delta_ask(struct app *app, struct library *library, int model, int base);
/* Takes the answer. */
void delta_take(struct app *app, struct event *event);
void delta_forget(struct app *app);
/* A click in the map. top: its first line. */
void delta_click(struct app *app, int row, int column);
/* Compares with the base that was picked. */
void delta_pick(struct app *app);
/* Whether what is shown is not what was asked for. */
bool delta_awaits(const struct app *app);
void delta_forget_picks(struct app *app);

bool marks_has(const struct marks *marks, const char *text);
void marks_set(struct marks *marks, const char *text, bool on);
void marks_clear(struct marks *marks);
/* The models that an action means: the marked ones, else those of the selected row: free it. */
int *marks_chosen(const struct app *app, size_t *ret_count);
/* "1 marked: frees about 10.8G", or "". */
void marks_footer(const struct app *app, struct buf *out);
/* Actions on models, the same in all their tabs. */
bool marks_action(struct app *app, enum action action);

/* The details of a model, until Esc. */
void details_open(struct app *app, int model);
void details_draw(struct app *app, int top, int height);
/* Lines above its list. */
int details_top(void);
bool details_action(struct app *app, enum action action);
void details_rebuild(struct app *app);
/* There is another library. */
void details_follow(struct app *app);
void details_take(struct app *app, struct event *event);
void details_take_look(struct app *app, struct event *event);
void details_forget(struct app *app);

/* Asks for a file name, then writes what is shown. */
void export_ask(struct app *app);
void export_start(struct app *app);
void export_take(struct app *app, const struct event *event);

const char *jobs_state_name(enum job_state state);
void jobs_draw(struct app *app, int top, int height);
/* Remembers the job under the cursor; keeps the cursor on it when others come and go. */
void jobs_note(struct app *app);
void jobs_follow(struct app *app);
void jobs_take_queue(struct app *app, struct event *event);
bool jobs_action(struct app *app, enum action action);

void overlay_draw(struct app *app);
bool overlay_key(struct app *app, int key);
void plan_ask(struct app *app, bool include_base);
/* Asks what deleting the chosen models would mean. */
void delete_ask(struct app *app);
/* Takes the answer, or why there is none, if it is still waited for. */
void plan_take(struct app *app, struct event *event);

#endif
