/* SPDX-License-Identifier: MIT */
/* Keys and the actions that they stand for. One table drives keys, footer and help. */
#ifndef TARE_UI_KIT_KEYMAP_H
#define TARE_UI_KIT_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>

/* Keys: code points as they are, and these. */
enum key {
    KEY_NONE = -1,
    KEY_ENTER_ = 0x110000,
    KEY_ESCAPE,
    KEY_TAB_,
    KEY_BACK,
    KEY_UP_,
    KEY_DOWN_,
    KEY_LEFT_,
    KEY_RIGHT_,
    KEY_HOME_,
    KEY_END_,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_F1_,
    KEY_RESIZED,
    KEY_MOUSE_,
};
#define KEY_CTRL(c) ((c)&0x1f)

enum { KEYS_MOST = 4 };

struct binding {
    int action;
    unsigned where;      /* bits of the places where it is valid; the places are the user's */
    int keys[KEYS_MOST]; /* 0: no more */
    const char *label;   /* "c", "space" */
    const char *brief;   /* for the footer, NULL: not there */
    const char *help;    /* a sentence for help */
};

/* The action of a key in a place, -1 for none. */
int keymap_find(const struct binding *bindings, size_t count, unsigned where, int key);

#endif
