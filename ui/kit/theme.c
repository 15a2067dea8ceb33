/* SPDX-License-Identifier: MIT */
/* Schemes. The monochrome one must show everything that the others show. */
#include "ui/kit/theme.h"

#include <string.h>

enum { BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE };

static const struct look looks[SCHEME_COUNT][ROLE_COUNT] = {
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
                     [ROLE_OVERLAY] = {-1, -1, 0}},
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
                     [ROLE_OVERLAY] = {WHITE, -1, 0}},
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
                      [ROLE_OVERLAY] = {BLACK, -1, 0}},
};

struct look theme_look(enum scheme scheme, enum role role)
{
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
