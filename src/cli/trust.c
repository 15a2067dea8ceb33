/* SPDX-License-Identifier: MIT */
/* tare trust */
#include "cli/cli.h"

#include "ops/trust.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *user_name(uid_t uid, char room[32])
{
    const struct passwd *user = getpwuid(uid);
    snprintf(room, 32, "%ld", (long)uid);
    return user ? user->pw_name : room;
}

struct listed {
    js *list; /* NULL: text */
    size_t count;
};

static void show_trusted(void *context, const char *path, uid_t owner)
{
    struct listed *listed = context;
    char room[32];
    listed->count++;
    if (!listed->list) {
        cli_print("%s (of %s)\n", path, user_name(owner, room));
        return;
    }
    js *entry = js_object();
    js_put_name(entry, "path", path, strlen(path));
    js_put_int(entry, "owner", owner);
    js_push(listed->list, entry);
}

static int list_trusted(struct cli *cli)
{
    struct listed listed = {.list = cli->json ? js_list() : NULL};
    trust_list(show_trusted, &listed);
    if (cli->json) {
        js *document = js_object();
        js_put(document, "trusted", listed.list);
        cli_print_json(document);
    } else if (!listed.count) {
        cli_print("no store of another user is trusted\n");
    }
    return EXIT_DONE;
}

static int do_trust(struct cli *cli, const struct trust_view *view, struct err *err)
{
    char room[32], answer[16] = "";
    bool asks = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (!view->is_store)
        cli_print("%s: holds no store yet\n", view->path);
    cli_print("%s belongs to %s. Whoever can write to it decides what tare writes below\n"
              "the folder that it lies in, with your rights.\n",
              view->path, user_name(view->st.st_uid, room));
    if (!(cli->given & OPT_YES)) {
        if (!asks)
            return err_set(err, ERR_USAGE, "nothing was done; --yes trusts it");
        fprintf(stderr, "Trust it? [y/N] ");
        if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
            return 0;
    }
    int r = trust_add(view, err);
    if (r == 0)
        cli_print("trusted; tare trust %s --revoke takes it back\n", view->path);
    return r;
}

int cli_trust(struct cli *cli)
{
    struct trust_view view = {0};
    struct err err = {0};
    if (!cli->arg_count)
        return list_trusted(cli);
    int r = cli->given & OPT_REVOKE ? trust_remove(cli->args[0], &err)
                                    : trust_look(cli->args[0], &view, &err);
    if (r == 0 && !(cli->given & OPT_REVOKE))
        r = do_trust(cli, &view, &err);
    free(view.path);
    return r < 0 ? cli_fail(&err) : EXIT_DONE;
}
