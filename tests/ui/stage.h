/* SPDX-License-Identifier: MIT */
/* The explorer on a canvas, without a terminal: keys in, text out. */
#ifndef TARE_TESTS_STAGE_H
#define TARE_TESTS_STAGE_H

#include "tests/unit/helpers.h"

#include "ui/screens/screens.h"

struct stage {
    char *dir, *hub, *store, *catalog;
    const char *roots[2];
    struct ops_options options;
    struct app app;
    bool fixed; /* times and free space look the same on every machine */
};

/* An explorer of an empty hub cache, that nothing was scanned for yet. */
void stage_open(struct stage *stage, int rows, int columns);
void stage_close(struct stage *stage);
/* Scans, and waits for the end. */
void stage_scan(struct stage *stage);
/* Takes events until nothing runs any more, and draws. */
void stage_settle(struct stage *stage);
void stage_resize(struct stage *stage, int rows, int columns);
/* Each character is a key: \n Enter, \033 Escape, \t Tab. */
void stage_press(struct stage *stage, const char *keys);
bool stage_shows(const struct stage *stage, const char *text);
/* Prints the screen where a text is not on it. */
void stage_sees(const struct stage *stage, const char *text);

#endif
