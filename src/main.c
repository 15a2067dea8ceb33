/* SPDX-License-Identifier: MIT */
/* tare: a command goes to the command line, anything else to the explorer. */
#include "cli/cli.h"
#include "ui/ui.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool has_terminal(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* Options that the explorer takes itself; the first other word decides. */
static bool wants_command(int argc, char **argv)
{
    static const char *const with_value[] = {"--store", "--catalog", "--threads", "-t"};
    for (int i = 1; i < argc; i++) {
        bool value = false;
        for (size_t k = 0; k < COUNT_OF(with_value); k++)
            value |= strcmp(argv[i], with_value[k]) == 0;
        if (value)
            i++;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
                 strcmp(argv[i], "--version") == 0)
            return true;
        else if (argv[i][0] != '-')
            return cli_is_command(argv[i]);
    }
    return false;
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
    if (wants_command(argc, argv))
        return cli_main(argc, argv);
    bool demo = argc > 1 && strcmp(argv[1], "--demo") == 0;
    if (demo && !has_terminal())
        return cli_demo();
    return ui_main(argc, argv);
}
