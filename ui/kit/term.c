/* SPDX-License-Identifier: MIT */
/* The terminal, by ncurses. */
#include "ui/kit/term.h"

#include "ui/kit/keymap.h"

#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static SCREEN *screen;
static attr_t role_attributes[ROLE_COUNT];
static short role_pairs[ROLE_COUNT];
static bool colours;

static void make_looks(enum scheme scheme)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct look look = theme_look(colours ? scheme : SCHEME_MONO, (enum role)role, COLORS);
        role_pairs[role] = 0;
        if (colours && (look.fore >= 0 || look.back >= 0)) {
            init_pair((short)(role + 1), look.fore, look.back);
            role_pairs[role] = (short)(role + 1);
        }
        role_attributes[role] = (look.attributes & LOOK_BOLD ? A_BOLD : 0) |
                                (look.attributes & LOOK_REVERSE ? A_REVERSE : 0) |
                                (look.attributes & LOOK_UNDERLINE ? A_UNDERLINE : 0) |
                                (look.attributes & LOOK_DIM ? A_DIM : 0);
    }
}

int term_open(enum scheme scheme, struct err *err)
{
    const char *type = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_set(err, ERR_UNSUPPORTED,
                       "the explorer needs a terminal; tare help names the commands");
    if (!type || !*type || strcmp(type, "dumb") == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "the terminal (TERM=%s) cannot place text; tare help names the commands",
                       type ? type : "");
    set_escdelay(25);
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return err_set(err, ERR_UNSUPPORTED, "the terminal type %s is not known here", type);
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
    mouseinterval(0);
    colours = !(no_colour && *no_colour) && scheme != SCHEME_MONO && has_colors();
    if (colours) {
        start_color();
        use_default_colors();
    }
    make_looks(scheme);
    return 0;
}

void term_close(void)
{
    if (!screen)
        return;
    endwin();
    delscreen(screen);
    screen = NULL;
}

void term_size(int *ret_rows, int *ret_columns)
{
    getmaxyx(stdscr, *ret_rows, *ret_columns);
}

void term_show(const struct canvas *canvas)
{
    int rows, columns;
    term_size(&rows, &columns);
    erase();
    for (int row = 0; row < MIN(rows, canvas->rows); row++) {
        move(row, 0);
        for (int c = 0; c < MIN(columns, canvas->columns);) {
            const struct cell *cell = &canvas->cells[row * canvas->columns + c];
            char run[4096];
            size_t n = 0;
            /* Neighbours of one role go out together. */
            int start = c;
            while (c < MIN(columns, canvas->columns) &&
                   canvas->cells[row * canvas->columns + c].role == cell->role &&
                   n + sizeof cell->text < sizeof run) {
                const char *text = canvas->cells[row * canvas->columns + c].text;
                size_t len = strlen(text);
                memcpy(run + n, text, len);
                n += len;
                c++;
            }
            run[n] = '\0';
            attr_set(role_attributes[cell->role], role_pairs[cell->role], NULL);
            mvaddstr(row, start, run);
        }
    }
    attr_set(A_NORMAL, 0, NULL);
    refresh();
}

static int translate(int code)
{
    static const struct {
        int from, to;
    } table[] = {
        {KEY_UP, KEY_UP_},        {KEY_DOWN, KEY_DOWN_},      {KEY_LEFT, KEY_LEFT_},
        {KEY_RIGHT, KEY_RIGHT_},  {KEY_HOME, KEY_HOME_},      {KEY_END, KEY_END_},
        {KEY_PPAGE, KEY_PAGE_UP}, {KEY_NPAGE, KEY_PAGE_DOWN}, {KEY_F(1), KEY_F1_},
        {KEY_ENTER, KEY_ENTER_},  {KEY_BACKSPACE, KEY_BACK},  {KEY_RESIZE, KEY_RESIZED},
        {KEY_MOUSE, KEY_MOUSE_},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].from == code)
            return table[i].to;
    return KEY_NONE;
}

int term_key(struct term_mouse *mouse)
{
    wint_t c;
    int kind = get_wch(&c);
    if (kind == ERR)
        return KEY_NONE;
    if (kind == KEY_CODE_YES) {
        int key = translate((int)c);
        MEVENT event;
        if (key == KEY_MOUSE_ && getmouse(&event) == OK)
            *mouse = (struct term_mouse){event.y, event.x,
                                         event.bstate & BUTTON4_PRESSED   ? -1
                                         : event.bstate & BUTTON5_PRESSED ? 1
                                                                          : 0};
        return key;
    }
    switch (c) {
    case '\r':
    case '\n':
        return KEY_ENTER_;
    case '\t':
        return KEY_TAB_;
    case 27:
        return KEY_ESCAPE;
    case 8:
    case 127:
        return KEY_BACK;
    default:
        return (int)c;
    }
}

void term_redraw(void)
{
    clearok(curscr, TRUE);
}

void term_resized(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        resizeterm(size.ws_row, size.ws_col);
}

void term_copy(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    AUTO_BUF struct buf out = {0};
    size_t n = strlen(text);
    buf_str(&out, "\033]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < n ? (unsigned char)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_char(&out, i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
    buf_char(&out, '\a');
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
}

void term_suspend(void)
{
    endwin();
    raise(SIGTSTP);
    refresh();
}
