/* SPDX-License-Identifier: MIT */
/*
 * The main loop: it waits for keys, events and signals, never for time alone, except that what
 * a running job shows is drawn again four times a second.
 */
#include "ui/ui.h"

#include "base/file.h"
#include "base/text.h"
#include "ops/config.h"
#include "ops/demo.h"
#include "ops/doctor.h"
#include "ui/kit/term.h"
#include "ui/screens/screens.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t resized, hung_up;

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static void on_hang_up(int number)
{
    (void)number;
    hung_up = 1;
}

static void draw(struct app *app)
{
    int rows, columns;
    term_size(&rows, &columns);
    if (rows != app->canvas.rows || columns != app->canvas.columns)
        canvas_resize(&app->canvas, rows, columns);
    app_draw(app);
    term_show(&app->canvas);
}

static void take_keys(struct app *app)
{
    struct term_mouse mouse = {0};
    for (int key; !app->quit && (key = term_key(&mouse)) != KEY_NONE;) {
        if (key == KEY_MOUSE_)
            app_mouse(app, mouse.row, mouse.column, mouse.wheel);
        else if (key == KEY_CTRL('z'))
            term_suspend();
        else if (key == KEY_CTRL('l'))
            term_redraw();
        else if (key != KEY_RESIZED)
            app_key(app, key);
        if (app->copied)
            term_copy(app->copied);
        free(app->copied);
        app->copied = NULL;
    }
}

/* during: the signals that are blocked while the loop waits; else those of it are, too. */
static void run(struct app *app, const sigset_t *during)
{
    draw(app);
    while (!app->quit && !hung_up) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = session_fd(app->session), .events = POLLIN}};
        const struct timespec quarter = {.tv_nsec = 250000000};
        bool moving = app_waits(app) || session_busy(app->session);
        int n = ppoll(fds, COUNT_OF(fds), moving ? &quarter : NULL, during);
        if (n < 0 && errno != EINTR)
            break;
        if (fds[0].revents & (POLLHUP | POLLERR) && n > 0)
            break;
        if (resized) {
            resized = 0;
            term_resized();
        }
        take_keys(app);
        for (struct event *event; (event = session_next(app->session));)
            app_event(app, event);
        if (!app->quit)
            draw(app);
    }
}

struct arguments {
    struct ops_options options;
    const char *paths[64];
    size_t count;
    bool demo, also, write;
    enum scheme scheme;
};

static int usage(const char *what, const char *word)
{
    AUTO_FREE char *safe = text_safe(word);
    fprintf(stderr, "tare: %s: %s (see tare help)\n", safe, what);
    return 2;
}

static bool take_threads(const char *text, unsigned *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || !*text || n < 1 || n > 64)
        return false;
    *ret = (unsigned)n;
    return true;
}

static int take_arguments(int argc, char **argv, struct arguments *ret)
{
    struct config config = {0};
    const char *set = getenv("TARE_THEME");
    config_read(&config, NULL);
    AUTO_FREE char *scheme = set ? mem_strdup(set) : config.theme ? mem_strdup(config.theme) : NULL;
    config_release(&config);
    *ret = (struct arguments){.scheme = SCHEME_DARK};
    if (scheme && !theme_parse(scheme, &ret->scheme))
        return usage("the theme is dark, light or mono", scheme);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char **value = strcmp(word, "--store") == 0     ? &ret->options.store
                             : strcmp(word, "--catalog") == 0 ? &ret->options.catalog
                                                              : NULL;
        if (value && i + 1 < argc)
            *value = argv[++i];
        else if (strcmp(word, "--threads") == 0 || strcmp(word, "-t") == 0) {
            if (!take_threads(i + 1 < argc ? argv[++i] : "", &ret->options.threads))
                return usage("needs a number from 1 to 64", word);
        } else if (strcmp(word, "--demo") == 0)
            ret->demo = true;
        else if (strcmp(word, "-a") == 0)
            ret->also = true;
        else if (strcmp(word, "--readonly") == 0)
            ret->options.readonly = true;
        else if (strcmp(word, "--write") == 0)
            ret->write = true;
        else if (word[0] == '-')
            return usage("no such option", word);
        else if (access(word, F_OK) < 0)
            return usage("no such command, and no such folder", word);
        else if (ret->count + 1 < COUNT_OF(ret->paths))
            ret->paths[ret->count++] = word;
    }
    return 0;
}

/* Before any thread is started: these signals are for the main thread, while it waits. */
static void block_signals(sigset_t *ret_before)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGWINCH);
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, ret_before);
}

/* A NULL behind the last path, which does not count. */
static void end_list(struct path_list *list)
{
    path_list_push(list, "");
    free(list->paths[--list->count]);
    list->paths[list->count] = NULL;
}

/* How lists were shown last, for the next time. */
static void remember(const struct app *app, const struct settings *before, bool readonly)
{
    const struct settings now = {.sort = app->sort,
                                 .reverse = app->reverse,
                                 .details = app->details,
                                 .measure = (unsigned)app->delta.measure};
    if (!readonly && (now.sort != before->sort || now.reverse != before->reverse ||
                      now.details != before->details || now.measure != before->measure))
        settings_write(&now);
}

static int explore(struct arguments *arguments)
{
    sigset_t during;
    struct app app = {.scanning = true, .duplicates = {.open = -1}};
    struct settings settings = {.sort = VIEW_FREES, .details = true};
    settings_read(&settings);
    app.sort = settings.sort;
    app.reverse = settings.reverse;
    app.details = settings.details;
    app.delta.measure = (enum delta_measure)MIN(settings.measure, MEASURES - 1u);
    struct path_list scope = {0};
    struct doctor_report places = {0};
    struct err err = {0};
    struct ops *ops;
    block_signals(&during);
    for (size_t i = 0; i < arguments->count; i++) {
        AUTO_FREE char *real = realpath(arguments->paths[i], NULL);
        path_list_add(&scope, real ? real : arguments->paths[i]);
    }
    int r = ops_open(&arguments->options, &ops, &err);
    if (r == 0) {
        (void)ops_doctor(ops, &places, &err);
        ops_close(ops);
        for (size_t i = 0; arguments->also && i < places.roots.count; i++)
            path_list_add(&scope, places.roots.paths[i]);
        end_list(&scope);
        if (scope.count && !arguments->also)
            arguments->options.scope = (const char *const *)scope.paths;
        app.hub = places.hub;
        app.scope = scope.count ? scope.paths[0] : NULL;
        app.session = session_new(&arguments->options);
        r = session_library(app.session, &app.library, &err);
    }
    if (r == 0)
        r = term_open(arguments->scheme, &err);
    if (r == 0) {
        app_rebuild(&app);
        session_queue(app.session, false);
        session_scan(app.session, scope.count ? (const char *const *)scope.paths : NULL);
        run(&app, &during);
        term_close();
        remember(&app, &settings, arguments->options.readonly);
    }
    if (app.session && session_busy(app.session))
        fprintf(stderr, "tare: finishing the file in flight …\n");
    app_release(&app);
    if (app.session)
        session_free(app.session);
    path_list_release(&scope);
    doctor_report_release(&places);
    if (r < 0) {
        AUTO_FREE char *safe = text_safe(err.text);
        fprintf(stderr, "tare: %s\n", safe);
    }
    return r < 0 ? 1 : 0;
}

/* The explorer on a throw-away copy of the samples, with a store and a catalog of its own. */
static int explore_demo(struct arguments *arguments)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *folder = file_join(tmp && *tmp ? tmp : "/tmp", "tare-demo-XXXXXX");
    AUTO_FREE char *samples = demo_samples();
    struct err err = {.text = "the sample collection is not installed"};
    if (!samples || !mkdtemp(folder)) {
        fprintf(stderr, "tare: %s\n", err.text);
        return 1;
    }
    AUTO_FREE char *hub = file_join(folder, "hub"), *store = file_join(folder, "store");
    AUTO_FREE char *catalog = file_join(folder, "catalog.db");
    arguments->options.store = store;
    arguments->options.catalog = catalog;
    demo_isolate(folder, hub);
    arguments->paths[0] = hub;
    arguments->count = 1;
    int status = 1;
    if (demo_lay_out(samples, hub, &err) == 0)
        status = explore(arguments);
    else
        fprintf(stderr, "tare: %s\n", err.text);
    (void)demo_remove(folder, NULL);
    return status;
}

int ui_main(int argc, char **argv)
{
    struct arguments arguments;
    int status = take_arguments(argc, argv, &arguments);
    if (status)
        return status;
    struct sigaction resize = {.sa_handler = on_resize}, hang_up = {.sa_handler = on_hang_up};
    sigaction(SIGWINCH, &resize, NULL);
    sigaction(SIGHUP, &hang_up, NULL);
    sigaction(SIGTERM, &hang_up, NULL);
    const char *sudo = getenv("SUDO_UID");
    if (geteuid() == 0 && sudo && strcmp(sudo, "0") != 0 && !arguments.write)
        arguments.options.readonly = true;
    return arguments.demo ? explore_demo(&arguments) : explore(&arguments);
}
