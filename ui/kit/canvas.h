/* SPDX-License-Identifier: MIT */
/*
 * A grid of cells that screens draw on. It knows no terminal: tests read its text back, and
 * ui/kit/term.c copies it to the screen.
 */
#ifndef TARE_UI_KIT_CANVAS_H
#define TARE_UI_KIT_CANVAS_H

#include "base/mem.h"

/* What a cell means; the theme says how it looks. */
enum role {
    ROLE_TEXT,
    ROLE_DIM,
    ROLE_TITLE,
    ROLE_TAB,
    ROLE_TAB_ACTIVE,
    ROLE_HEAD,
    ROLE_CURSOR,
    ROLE_MARK,
    ROLE_GOOD,
    ROLE_WARN,
    ROLE_BAD,
    ROLE_KEY,
    ROLE_BAR,
    ROLE_OVERLAY,
    ROLE_MATCH,        /* what was searched for */
    ROLE_MATCH_CURSOR, /* the same under the cursor */
    ROLE_HEAT,         /* the first of HEATS shades, from little to much */
    ROLE_COUNT = ROLE_HEAT + 16
};

enum { HEATS = ROLE_COUNT - ROLE_HEAT };

struct cell {
    char text[15]; /* one column's UTF-8, with combining marks; "" right of a wide character */
    unsigned char role;
};

struct canvas {
    int rows, columns;
    struct cell *cells;
};

void canvas_resize(struct canvas *canvas, int rows, int columns);
void canvas_release(struct canvas *canvas);
void canvas_clear(struct canvas *canvas);
void canvas_fill(struct canvas *canvas, int row, int column, int width, enum role role);
/* Writes escaped text, cut at width columns (and at the edge). Returns the column behind it. */
int canvas_put(struct canvas *canvas, int row, int column, int width, enum role role,
               const char *text);
/* The same with printf's format; arguments must be escaped already. */
int canvas_printf(struct canvas *canvas, int row, int column, int width, enum role role,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Changes the role of cells and leaves their text. */
void canvas_paint(struct canvas *canvas, int row, int column, int width, enum role role);
/* Gives every place in these columns where the text stands (case does not matter) a role. */
void canvas_highlight(struct canvas *canvas, int row, int column, int width, enum role role,
                      const char *text);
/* The text of a row without trailing blanks: free it. */
char *canvas_row(const struct canvas *canvas, int row);

#endif
