/* SPDX-License-Identifier: MIT */
/* The explorer on a canvas. */
#include "tests/ui/stage.h"

#include "base/file.h"

#include <poll.h>
#include <string.h>
#include <time.h>

enum { DAY = 86400 };

void stage_open(struct stage *stage, int rows, int columns)
{
    *stage = (struct stage){.dir = test_folder()};
    stage->hub = test_path(stage->dir, "hub");
    stage->store = test_path(stage->dir, "store");
    stage->catalog = test_path(stage->dir, "catalog.db");
    assert_int_equal(file_make_dirs(stage->hub, NULL), 0);
    stage->roots[0] = stage->hub;
    stage->options = (struct ops_options){
        .catalog = stage->catalog, .store = stage->store, .threads = 2, .scope = stage->roots};
    stage->app = (struct app){
        .sort = VIEW_NAME, .details = true, .hub = stage->hub, .duplicates = {.open = -1}};
    stage->app.session = session_new(&stage->options);
    canvas_resize(&stage->app.canvas, rows, columns);
}

void stage_close(struct stage *stage)
{
    app_release(&stage->app);
    session_free(stage->app.session);
    free(stage->hub);
    free(stage->store);
    free(stage->catalog);
    test_remove(stage->dir);
}

/* A snapshot as it could be on a machine of people: read on other days, on a fuller disk. */
static void fix(struct event *event)
{
    struct library *library = event->library;
    int64_t now = time(NULL);
    for (size_t i = 0; i < library->model_count && event->kind == EVENT_LIBRARY; i++) {
        struct lib_model *m = &library->models[i];
        m->read = now - (int64_t)(i * 5 + 1) * DAY;
        m->modified = 1795600000 - (int64_t)i * DAY;
    }
    if (!event->overview || !event->overview->space_count)
        return;
    struct space *space = &event->overview->spaces[0];
    space->size = 1000000000000;
    space->left = 61000000000;
    free(space->place);
    space->place = mem_strdup("/data");
}

void stage_settle(struct stage *stage)
{
    do {
        struct pollfd wait = {.fd = session_fd(stage->app.session), .events = POLLIN};
        (void)poll(&wait, 1, 100);
        for (struct event *event; (event = session_next(stage->app.session));) {
            if (stage->fixed && event->library)
                fix(event);
            app_event(&stage->app, event);
        }
    } while (session_works(stage->app.session));
    app_draw(&stage->app);
}

void stage_scan(struct stage *stage)
{
    stage->app.scanning = true;
    session_scan(stage->app.session, stage->roots);
    stage_settle(stage);
}

void stage_resize(struct stage *stage, int rows, int columns)
{
    canvas_resize(&stage->app.canvas, rows, columns);
    app_draw(&stage->app);
}

void stage_press(struct stage *stage, const char *keys)
{
    for (; *keys; keys++)
        app_key(&stage->app, *keys == '\n'     ? (int)KEY_ENTER_
                             : *keys == '\033' ? (int)KEY_ESCAPE
                             : *keys == '\t'   ? (int)KEY_TAB_
                                               : *keys);
    app_draw(&stage->app);
}

bool stage_shows(const struct stage *stage, const char *text)
{
    for (int row = 0; row < stage->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&stage->app.canvas, row);
        if (strstr(line, text))
            return true;
    }
    return false;
}

void stage_sees(const struct stage *stage, const char *text)
{
    if (stage_shows(stage, text))
        return;
    for (int row = 0; row < stage->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&stage->app.canvas, row);
        print_message("%s\n", line);
    }
    fail_msg("the screen does not show: %s", text);
}
