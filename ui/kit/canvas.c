/* SPDX-License-Identifier: MIT */
/* A grid of cells. */
#include "ui/kit/canvas.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void canvas_resize(struct canvas *canvas, int rows, int columns)
{
    canvas->rows = MAX(rows, 1);
    canvas->columns = MAX(columns, 1);
    free(canvas->cells);
    canvas->cells =
        mem_zalloc((size_t)canvas->rows * (size_t)canvas->columns * sizeof(struct cell));
    canvas_clear(canvas);
}

void canvas_release(struct canvas *canvas)
{
    free(canvas->cells);
    *canvas = (struct canvas){0};
}

static struct cell *cell_at(struct canvas *canvas, int row, int column)
{
    return &canvas->cells[row * canvas->columns + column];
}

void canvas_fill(struct canvas *canvas, int row, int column, int width, enum role role)
{
    if (row < 0 || row >= canvas->rows)
        return;
    for (int c = MAX(column, 0); c < MIN(column + width, canvas->columns); c++)
        *cell_at(canvas, row, c) = (struct cell){.text = " ", .role = (unsigned char)role};
}

void canvas_clear(struct canvas *canvas)
{
    for (int row = 0; row < canvas->rows; row++)
        canvas_fill(canvas, row, 0, canvas->columns, ROLE_TEXT);
}

int canvas_put(struct canvas *canvas, int row, int column, int width, enum role role,
               const char *text)
{
    int end = MIN(column + width, canvas->columns);
    size_t n = strlen(text);
    struct cell *last = NULL;
    if (row < 0 || row >= canvas->rows || column < 0)
        return column;
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = text_decode(text + i, n - i, &point);
        bool raw = !len || text_is_dangerous(point); /* nobody has escaped it */
        const char *bytes = raw ? "?" : text + i;
        int columns = raw ? 1 : text_point_width(point);
        len = MAX(len, (size_t)1);
        if (columns == 0) { /* a combining mark joins the cell before it */
            if (last && strlen(last->text) + len < sizeof last->text)
                strncat(last->text, text + i, len);
            i += len;
            continue;
        }
        if (column + columns > end)
            break;
        last = cell_at(canvas, row, column);
        *last = (struct cell){.role = (unsigned char)role};
        memcpy(last->text, bytes, raw ? 1 : len);
        if (columns == 2)
            *cell_at(canvas, row, column + 1) = (struct cell){.role = (unsigned char)role};
        column += columns;
        i += len;
    }
    return column;
}

int canvas_printf(struct canvas *canvas, int row, int column, int width, enum role role,
                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO_FREE char *text = mem_vprintf(format, args);
    va_end(args);
    return canvas_put(canvas, row, column, width, role, text);
}

void canvas_paint(struct canvas *canvas, int row, int column, int width, enum role role)
{
    if (row < 0 || row >= canvas->rows)
        return;
    for (int c = MAX(column, 0); c < MIN(column + width, canvas->columns); c++)
        cell_at(canvas, row, c)->role = (unsigned char)role;
}

void canvas_highlight(struct canvas *canvas, int row, int column, int width, enum role role,
                      const char *text)
{
    AUTO_BUF struct buf line = {0};
    int end = MIN(column + width, canvas->columns);
    if (row < 0 || row >= canvas->rows || column >= end || !*text)
        return;
    AUTO_FREE size_t *starts = mem_alloc((size_t)(end - column + 1) * sizeof *starts);
    for (int c = column; c < end; c++) {
        starts[c - column] = line.len;
        buf_str(&line, cell_at(canvas, row, c)->text);
    }
    const char *p = line.data;
    for (int c = column; p && (p = strcasestr(p, text)); p += strlen(text)) {
        size_t from = (size_t)(p - line.data), to = from + strlen(text);
        while (c < end && starts[c - column] < from)
            c++;
        for (; c < end && starts[c - column] < to; c++)
            cell_at(canvas, row, c)->role = (unsigned char)role;
    }
}

char *canvas_row(const struct canvas *canvas, int row)
{
    struct buf text = {0};
    buf_add(&text, "", 0);
    for (int c = 0; c < canvas->columns; c++)
        buf_str(&text, canvas->cells[row * canvas->columns + c].text);
    while (text.len && text.data[text.len - 1] == ' ')
        text.data[--text.len] = '\0';
    return text.data;
}
