/* SPDX-License-Identifier: MIT */
/*
 * Draws the screens in documents anew: paint [--check] FILE... Behind a line
 *     <!-- screen ROWSxCOLUMNS: KEY... -->
 * comes a block of code, which becomes what the explorer shows of the sample collection after these
 * keys: characters, Enter, Esc, Space. --check compares instead; figures and bars may differ, they
 * are another machine's.
 */
#include "tests/ui/stage.h"

#include "base/file.h"
#include "base/text.h"
#include "ops/demo.h"

#include <ctype.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char mark[] = "<!-- screen ";

static void press(struct stage *stage, const char *name)
{
    const char *key = strcmp(name, "Enter") == 0   ? "\n"
                      : strcmp(name, "Esc") == 0   ? "\033"
                      : strcmp(name, "Space") == 0 ? " "
                                                   : name;
    stage_press(stage, key);
    stage_settle(stage);
}

/* The folder of this run, of the same length as one that people could have. */
static void rename_folder(char *line)
{
    static const char made[] = "/tmp/tare-test-XXXXXX", shown[] = "/data/people/my-files";
    size_t fixed = strlen(made) - 6;
    for (char *p = line; (p = strstr(p, "/tmp/tare-")); p++)
        for (size_t i = 0;
             i < strlen(made) && (i < fixed ? p[i] == made[i] : isalnum((unsigned char)p[i])); i++)
            p[i] = shown[i];
}

/* The lines of the canvas, those in the middle that are empty left out where there are many. */
static void put_screen(const struct stage *stage, struct buf *out)
{
    int blank = 0;
    for (int row = 0; row < stage->app.canvas.rows; row++) {
        AUTO_FREE char *line = canvas_row(&stage->app.canvas, row);
        rename_folder(line);
        blank = *line ? 0 : blank + 1;
        if (blank < 2)
            buf_printf(out, "%s\n", line);
    }
}

/* line: behind the mark, "80x24: 2 g -->". */
static void draw(struct stage *stage, const char *line, struct buf *out)
{
    int columns = 80, rows = 24;
    AUTO_FREE char *keys = mem_strdup(line);
    char *save = NULL, *colon = strchr(keys, ':');
    if (sscanf(keys, "%dx%d:", &columns, &rows) != 2 || !colon)
        fail_msg("not a screen: %s", line);
    stage_resize(stage, rows, columns);
    stage->app.overlay = OVERLAY_NONE;
    stage->app.page.page = DETAILS_TENSORS;
    buf_release(&stage->app.filter);
    stage_press(stage, "1");
    stage_press(stage, "1Ug");
    for (char *key = strtok_r(colon + 1, " ", &save); key && strcmp(key, "-->") != 0;
         key = strtok_r(NULL, " ", &save))
        press(stage, key);
    put_screen(stage, out);
}

/* The document with its screens drawn anew. */
static void paint(struct stage *stage, char *text, struct buf *out)
{
    bool skipping = false;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        bool screen = strncmp(line, mark, strlen(mark)) == 0;
        if (skipping) {
            skipping = strcmp(line, "```") != 0;
            if (skipping)
                continue;
        }
        buf_printf(out, "%s\n", line);
        if (!screen)
            continue;
        buf_str(out, "```\n");
        draw(stage, line + strlen(mark), out);
        line = end + 1; /* the opening fence */
        end = strchr(line, '\n');
        skipping = true;
    }
}

/* Without what may be otherwise on another machine. */
static void plain(const char *text, struct buf *out)
{
    for (const char *p = text; *p;) {
        uint32_t point;
        size_t n = text_decode(p, strlen(p), &point);
        n = n ? n : 1;
        if (*p >= '0' && *p <= '9')
            buf_str(out, out->len && out->data[out->len - 1] == '0' ? "" : "0");
        else if (*p != ' ' && !(point >= 0x2580 && point < 0x25a0) && !strchr("KMGT.%\n", *p))
            buf_add(out, p, n);
        p += n;
    }
    buf_char(out, '\n');
}

/* Line by line; the first one that differs is told. */
static bool is_same(const char *path, const char *was, const char *now)
{
    AUTO_FREE char *a = mem_strdup(was), *b = mem_strdup(now);
    char *save_a = NULL, *save_b = NULL;
    char *x = strtok_r(a, "\n", &save_a), *y = strtok_r(b, "\n", &save_b);
    for (; x && y; x = strtok_r(NULL, "\n", &save_a), y = strtok_r(NULL, "\n", &save_b)) {
        AUTO_BUF struct buf left = {0}, right = {0};
        plain(x, &left);
        plain(y, &right);
        if (strcmp(left.data, right.data) == 0)
            continue;
        fprintf(stderr, "%s is stale (make screens):\n- %s\n+ %s\n", path, x, y);
        return false;
    }
    if (x || y)
        fprintf(stderr, "%s is stale (make screens): it ends otherwise\n", path);
    return !x && !y;
}

static bool take_file(struct stage *stage, const char *path, bool check)
{
    AUTO_BUF struct buf was = {0}, now = {0};
    struct err err = {0};
    int r = file_read_all(AT_FDCWD, path, 1 << 22, &was, &err);
    AUTO_FREE char *before = r == 0 ? mem_strdup(was.data) : NULL;
    if (r == 0) {
        paint(stage, was.data, &now);
        if (check)
            return is_same(path, before, now.data);
        AUTO_FD int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        r = fd < 0 ? err_sys(&err, "%s", path) : file_pwrite(fd, now.data, now.len, 0, &err);
    }
    if (r < 0)
        fprintf(stderr, "%s: %s\n", path, err.text);
    return r == 0;
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C.UTF-8");
    setenv("TMPDIR", "/tmp", 1);
    char *home = test_home();
    AUTO_FREE char *samples = demo_samples();
    struct stage stage;
    bool check = argc > 1 && strcmp(argv[1], "--check") == 0, good = true;
    stage_open(&stage, 24, 80);
    stage.fixed = true;
    stage.app.sort = VIEW_FREES;
    stage.app.details = true;
    if (!samples || demo_lay_out(samples, stage.hub, NULL) < 0)
        fail_msg("the samples are not there");
    stage_scan(&stage);
    for (int i = check ? 2 : 1; i < argc; i++)
        good &= take_file(&stage, argv[i], check);
    stage_close(&stage);
    test_remove(home);
    return good ? 0 : 1;
}
