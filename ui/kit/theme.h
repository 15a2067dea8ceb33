/* SPDX-License-Identifier: MIT */
/* Schemes: how each role looks. */
#ifndef TARE_UI_KIT_THEME_H
#define TARE_UI_KIT_THEME_H

#include "ui/kit/canvas.h"

enum { LOOK_BOLD = 1, LOOK_REVERSE = 2, LOOK_UNDERLINE = 4, LOOK_DIM = 8 };

/* Colours by the eight of ECMA-48, above 15 by the 256 of xterm; -1: the terminal's own. */
struct look {
    short fore, back;
    unsigned attributes; /* LOOK_… */
};

enum scheme { SCHEME_MONO, SCHEME_DARK, SCHEME_LIGHT, SCHEME_COUNT };

/* colours: how many the terminal has. */
struct look theme_look(enum scheme scheme, enum role role, int colours);
/* "mono", "dark", "light". */
bool theme_parse(const char *name, enum scheme *ret);

#endif
