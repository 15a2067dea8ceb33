/* SPDX-License-Identifier: MIT */
/* Schemes. The monochrome one must show everything that the others show. */
#include "ui/kit/theme.h"

#include <string.h>

enum { BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE };

static const struct look looks[SCHEME_COUNT][ROLE_HEAT] = {
    [SCHEME_MONO] = {[ROLE_TEXT] = {-1, -1, 0},
                     [ROLE_DIM] = {-1, -1, 0},
                     [ROLE_TITLE] = {-1, -1, LOOK_BOLD},
                     [ROLE_TAB] = {-1, -1, 0},
                     [ROLE_TAB_ACTIVE] = {-1, -1, LOOK_BOLD},
                     [ROLE_HEAD] = {-1, -1, LOOK_UNDERLINE},
                     [ROLE_CURSOR] = {-1, -1, LOOK_REVERSE},
                     [ROLE_MARK] = {-1, -1, LOOK_BOLD},
                     [ROLE_GOOD] = {-1, -1, 0},
                     [ROLE_WARN] = {-1, -1, LOOK_BOLD},
                     [ROLE_BAD] = {-1, -1, LOOK_BOLD},
                     [ROLE_KEY] = {-1, -1, LOOK_BOLD},
                     [ROLE_BAR] = {-1, -1, LOOK_REVERSE},
                     [ROLE_OVERLAY] = {-1, -1, 0},
                     [ROLE_MATCH] = {-1, -1, LOOK_BOLD | LOOK_UNDERLINE},
                     [ROLE_MATCH_CURSOR] = {-1, -1, LOOK_REVERSE | LOOK_BOLD | LOOK_UNDERLINE}},
    [SCHEME_DARK] = {[ROLE_TEXT] = {-1, -1, 0},
                     [ROLE_DIM] = {CYAN, -1, 0},
                     [ROLE_TITLE] = {WHITE, BLUE, LOOK_BOLD},
                     [ROLE_TAB] = {CYAN, -1, 0},
                     [ROLE_TAB_ACTIVE] = {WHITE, -1, LOOK_BOLD},
                     [ROLE_HEAD] = {CYAN, -1, LOOK_UNDERLINE},
                     [ROLE_CURSOR] = {-1, -1, LOOK_REVERSE},
                     [ROLE_MARK] = {YELLOW, -1, LOOK_BOLD},
                     [ROLE_GOOD] = {GREEN, -1, 0},
                     [ROLE_WARN] = {YELLOW, -1, 0},
                     [ROLE_BAD] = {RED, -1, LOOK_BOLD},
                     [ROLE_KEY] = {YELLOW, -1, 0},
                     [ROLE_BAR] = {WHITE, BLUE, 0},
                     [ROLE_OVERLAY] = {WHITE, -1, 0},
                     [ROLE_MATCH] = {YELLOW, -1, LOOK_BOLD | LOOK_UNDERLINE},
                     [ROLE_MATCH_CURSOR] = {-1, -1, LOOK_REVERSE | LOOK_BOLD | LOOK_UNDERLINE}},
    [SCHEME_LIGHT] = {[ROLE_TEXT] = {-1, -1, 0},
                      [ROLE_DIM] = {BLUE, -1, 0},
                      [ROLE_TITLE] = {BLACK, CYAN, LOOK_BOLD},
                      [ROLE_TAB] = {BLUE, -1, 0},
                      [ROLE_TAB_ACTIVE] = {BLACK, -1, LOOK_BOLD},
                      [ROLE_HEAD] = {BLUE, -1, LOOK_UNDERLINE},
                      [ROLE_CURSOR] = {-1, -1, LOOK_REVERSE},
                      [ROLE_MARK] = {MAGENTA, -1, LOOK_BOLD},
                      [ROLE_GOOD] = {BLUE, -1, 0},
                      [ROLE_WARN] = {MAGENTA, -1, 0},
                      [ROLE_BAD] = {RED, -1, LOOK_BOLD},
                      [ROLE_KEY] = {MAGENTA, -1, 0},
                      [ROLE_BAR] = {BLACK, CYAN, 0},
                      [ROLE_OVERLAY] = {BLACK, -1, 0},
                      [ROLE_MATCH] = {MAGENTA, -1, LOOK_BOLD | LOOK_UNDERLINE},
                      [ROLE_MATCH_CURSOR] = {-1, -1, LOOK_REVERSE | LOOK_BOLD | LOOK_UNDERLINE}},
};

/* From cold to hot in the 256 colours of xterm, on a dark and on a light ground. */
static const short heats[2][HEATS] = {
    {24, 25, 31, 37, 36, 35, 71, 107, 143, 179, 215, 214, 208, 202, 196, 197},
    {153, 117, 81, 75, 74, 73, 71, 107, 143, 179, 172, 166, 160, 124, 125, 89},
};
/* The same in eight colours. */
static const short few_heats[HEATS] = {BLUE,   BLUE,   BLUE,   BLUE,   CYAN, CYAN, CYAN, CYAN,
                                       YELLOW, YELLOW, YELLOW, YELLOW, RED,  RED,  RED,  RED};

static struct look heat_look(enum scheme scheme, int level, int colours)
{
    if (scheme == SCHEME_MONO)
        return (struct look){-1, -1, 0};
    return (struct look){colours >= 256 ? heats[scheme == SCHEME_LIGHT][level] : few_heats[level],
                         -1, 0};
}

struct look theme_look(enum scheme scheme, enum role role, int colours)
{
    if (role >= ROLE_HEAT)
        return heat_look(scheme, (int)role - ROLE_HEAT, colours);
    return looks[scheme][role];
}

bool theme_parse(const char *name, enum scheme *ret)
{
    static const char *const names[] = {"mono", "dark", "light"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum scheme)i;
            return true;
        }
    }
    return false;
}
