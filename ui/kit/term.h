/* SPDX-License-Identifier: MIT */
/* The terminal, by ncurses. The only door to it. */
#ifndef TARE_UI_KIT_TERM_H
#define TARE_UI_KIT_TERM_H

#include "base/err.h"
#include "ui/kit/theme.h"

/* Takes the terminal over. ERR_UNSUPPORTED with the reason where it cannot be used. */
int term_open(enum scheme scheme, struct err *err);
/* Gives it back as it was. Harmless when it is not open. */
void term_close(void);
void term_size(int *ret_rows, int *ret_columns);
/* Shows the canvas; only what changed goes over the line. */
void term_show(const struct canvas *canvas);
/* The next key, KEY_NONE where none waits. For KEY_MOUSE_: row, column, and wheel -1, 0, 1. */
struct term_mouse {
    int row, column, wheel;
};
int term_key(struct term_mouse *mouse);
/* Draws everything anew, also what seems to be there: after something else wrote on the screen. */
void term_redraw(void);
/* After SIGWINCH: learns the new size. */
void term_resized(void);
/* Hands a text to the terminal's clipboard (OSC 52); terminals that do not know it ignore it. */
void term_copy(const char *text);
/* Stops the program as Ctrl-Z does, and comes back. */
void term_suspend(void);

#endif
