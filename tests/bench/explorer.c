/* SPDX-License-Identifier: MIT */
/* The explorer on a large collection: a generated catalog, no files behind it. */
#include "tests/bench/bench.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "ui/screens/screens.h"

#include <pty.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MODELS = 10000, TENSORS = 300, FAMILY = 50, RUN = 10 };

/* ---- the catalog ---- */

static void make_layout(struct layout *layout)
{
    static const uint64_t shape[] = {4096, 4096};
    *layout = (struct layout){.format = FORMAT_SAFETENSORS, .header = 40000};
    for (int i = 0; i < TENSORS; i++) {
        AUTO_FREE char *name = mem_printf("model.layers.%d.block_%d.proj.weight", i / 9, i % 9);
        *ARRAY_ADD(layout->tensors, layout->count, layout->cap) =
            (struct tensor){.name = arena_strdup(&layout->arena, name),
                            .name_len = (uint32_t)strlen(name),
                            .shape = shape,
                            .dims = 2,
                            .offset = 40000 + (uint64_t)i * 33554432,
                            .bytes = 33554432,
                            .dtype = DTYPE_BF16};
    }
    layout->size = 40000 + TENSORS * 33554432ull;
}

/* Every tenth family is a run of checkpoints behind its first members. */
static void put_model(struct catalog *catalog, int i, const struct layout *layout)
{
    bool run = i / FAMILY % 10 == 0 && i % FAMILY >= FAMILY - RUN;
    char id[MODEL_ID], key[40];
    snprintf(id, sizeof id, "%016x", i + 1);
    snprintf(key, sizeof key, "1:%x", i + 1);
    AUTO_FREE char *name =
        run ? mem_printf("lab-%02d/run-%04d/checkpoint-%d", i % 37, i / FAMILY, i % FAMILY * 100)
            : mem_printf("lab-%02d/model-%04d-ft-%02d", i % 37, i / FAMILY, i % FAMILY);
    AUTO_FREE char *folder = mem_printf("/models/%s", name);
    AUTO_FREE char *path = mem_printf("%s/model.safetensors", folder);
    AUTO_FREE char *series = run ? mem_printf("lab-%02d/run-%04d", i % 37, i / FAMILY) : NULL;
    struct catalog_file file = {.key = key,
                                .path = path,
                                .fsid = 1,
                                .ino = (uint64_t)i + 1,
                                .size = layout->size,
                                .disk = layout->size,
                                .parameters = 5000000000,
                                .tensors = TENSORS,
                                .mtime_ns = 1700000000000000000 + i,
                                .atime = 1700000000 + i,
                                .links = 1,
                                .format = FORMAT_SAFETENSORS,
                                .dtype_bytes = {[DTYPE_BF16] = layout->size}};
    assert_int_equal(catalog_put_file(catalog, &file, layout, NULL), 0);
    const char *const names[] = {"model.safetensors"};
    const struct catalog_model model = {.id = id,
                                        .name = name,
                                        .source = "dir",
                                        .root = "/models",
                                        .path = folder,
                                        .revision = "",
                                        .run = series ? series : "",
                                        .rows = &file.row,
                                        .file_names = names,
                                        .file_count = 1};
    assert_int_equal(catalog_put_model(catalog, &model, NULL, 0, NULL), 0);
    const struct hash128 nothing = {0};
    assert_int_equal(catalog_put_estimate(catalog, id, false, 1000000000 + i * 7, &nothing, NULL),
                     0);
}

static void make_catalog(const char *path)
{
    struct catalog *catalog;
    struct layout layout;
    struct library *library;
    assert_int_equal(catalog_open(path, &catalog, NULL, NULL), 0);
    make_layout(&layout);
    assert_int_equal(catalog_begin(catalog, NULL), 0);
    for (int i = 0; i < MODELS; i++)
        put_model(catalog, i, &layout);
    assert_int_equal(catalog_end(catalog, 0, NULL), 0);
    assert_int_equal(catalog_load(catalog, NULL, &library, NULL), 0);
    AUTO_FREE struct catalog_edge *edges = mem_zalloc(MODELS * sizeof *edges);
    for (int i = 0; i < MODELS; i++)
        edges[i] =
            (struct catalog_edge){.model = library->models[i].row,
                                  .parent = i % FAMILY ? library->models[i - i % FAMILY].row : 0,
                                  .distance = 2.5,
                                  .kin = KIN_KNOWN | KIN_BITS};
    assert_int_equal(catalog_put_edges(catalog, edges, MODELS, NULL), 0);
    library_unref(library);
    layout_release(&layout);
    catalog_close(catalog);
}

/* ---- in this process ---- */

static double press(struct app *app, int key)
{
    double start = ops_now();
    app_key(app, key);
    app_draw(app);
    return ops_now() - start;
}

static long resident(void)
{
    long pages = 0, all;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void settle(struct app *app)
{
    while (app_waits(app)) {
        struct pollfd wait = {.fd = session_fd(app->session), .events = POLLIN};
        (void)poll(&wait, 1, 100);
        for (struct event *event; (event = session_next(app->session));)
            app_event(app, event);
    }
}

/* The child's figures: memory of a process that has done nothing else. */
static void measure(const char *catalog)
{
    const struct ops_options options = {.catalog = catalog};
    struct app app = {.sort = VIEW_FREES, .details = true, .duplicates = {.open = -1}};
    static const int keys[] = {
        'j', 'G', 'g', ' ', 'a',        '*', 'U',        '/',        'm', 'o',        'd',
        'e', 'l', '-', '0', KEY_ENTER_, 'n', 'N',        'j',        't', KEY_ESCAPE, 's',
        'n', 's', 's', '?', KEY_ESCAPE, 'o', KEY_ESCAPE, 'i',        'i', '2',        'G',
        't', 'h', 'a', 'U', '/',        'm', '9',        KEY_ESCAPE, '1'};
    double start = ops_now(), slowest = 0;
    int slow_key = 0;
    app.session = session_new(&options);
    assert_int_equal(session_library(app.session, &app.library, NULL), 0);
    canvas_resize(&app.canvas, 48, 160);
    models_rebuild(&app);
    app_draw(&app);
    bench_row("explorer: first screen, 10,000 models of 300 tensors", "%.0f ms",
              (ops_now() - start) * 1e3, "<= 100 ms");
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        double seconds = press(&app, keys[i]);
        if (getenv("BENCH_KEYS"))
            fprintf(stderr, "%c %.1f ms\n", keys[i] < 127 ? keys[i] : '^', seconds * 1e3);
        if (seconds > slowest) {
            slowest = seconds;
            slow_key = keys[i];
        }
    }
    AUTO_FREE char *what = mem_printf("explorer: slowest key to finished drawing (%c)",
                                      slow_key < 127 ? slow_key : '^');
    bench_row(what, "%.1f ms", slowest * 1e3, "<= 16 ms");
    start = ops_now();
    press(&app, 'G');
    press(&app, KEY_ENTER_);
    settle(&app);
    app_draw(&app);
    bench_row("explorer: the details of a model", "%.1f ms", (ops_now() - start) * 1e3, "");
    bench_row("explorer: memory", "%.0f MB", (double)resident() / 1e6, "<= 200 MB");
    app_release(&app);
    session_free(app.session);
}

/* ---- over a terminal ---- */

/* Bytes that come until nothing comes for a while. */
static size_t drain(int fd, int patience)
{
    char data[65536];
    size_t sum = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, patience) > 0) {
        ssize_t n = read(fd, data, sizeof data);
        if (n <= 0)
            break;
        sum += (size_t)n;
    }
    return sum;
}

static void measure_line(const char *catalog)
{
    const char *tare = getenv("TARE");
    struct winsize size = {24, 80, 0, 0};
    int fd;
    pid_t child = tare ? forkpty(&fd, NULL, NULL, &size) : -1;
    if (child < 0)
        return;
    if (!child) {
        setenv("TERM", "xterm-256color", 1);
        execl(tare, tare, "--catalog", catalog, (char *)NULL);
        _exit(127);
    }
    static const struct {
        const char *keys, *what;
    } steps[] = {{"j", "one line down"},
                 {"\x06", "a page down"},
                 {"2", "another tab"},
                 {"1", "and back"},
                 {"/m", "a filter"}};
    size_t first = drain(fd, 1500);
    bench_row("terminal 80x24: bytes of the first screen", "%.0f", (double)first, "");
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        AUTO_FREE char *what = mem_printf("terminal 80x24: bytes of %s", steps[i].what);
        if (write(fd, steps[i].keys, strlen(steps[i].keys)) < 0)
            break;
        bench_row(what, "%.0f", (double)drain(fd, 400), i ? "" : "<= 300");
    }
    if (write(fd, "\033", 1) == 1 && drain(fd, 300) < SIZE_MAX && write(fd, "q", 1) == 1)
        (void)drain(fd, 300);
    close(fd);
    (void)waitpid(child, NULL, 0);
}

void bench_explorer(void)
{
    char *dir = test_folder();
    AUTO_FREE char *catalog = test_path(dir, "catalog.db");
    pid_t child;
    make_catalog(catalog);
    fflush(stdout);
    if ((child = fork()) == 0) {
        measure(catalog);
        fflush(stdout);
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
    measure_line(catalog);
    test_remove(dir);
}
