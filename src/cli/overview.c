/* SPDX-License-Identifier: MIT */
/* tare overview */
#include "cli/cli.h"

#include "ops/overview.h"

#include <string.h>
#include <time.h>

static js *spaces_json(const struct overview *overview)
{
    js *spaces = js_list();
    for (size_t i = 0; i < overview->space_count; i++) {
        const struct space *s = &overview->spaces[i];
        js *space = js_object();
        js_put_name(space, "path", s->place, strlen(s->place));
        js_put_int(space, "size", (int64_t)s->size);
        js_put_int(space, "left", (int64_t)s->left);
        js_push(spaces, space);
    }
    return spaces;
}

static js *ways_json(const struct overview *overview)
{
    static const char *const names[WAYS] = {"compress", "trials", "orphans", "incomplete", "stale"};
    js *ways = js_list();
    for (int w = 0; w < WAYS; w++) {
        js *way = js_object();
        js_put_text(way, "way", names[w]);
        js_put_int(way, "models", (int64_t)overview->ways[w].models);
        js_put_int(way, "bytes", (int64_t)overview->ways[w].bytes);
        js_push(ways, way);
    }
    return ways;
}

int cli_overview(struct cli *cli)
{
    struct library *library;
    struct overview overview;
    struct err err = {0};
    if (cli_library(cli, &library, &err) < 0)
        return cli_fail(&err);
    overview_make(library, time(NULL), &overview);
    if (cli->json) {
        js *document = js_object();
        js_put(document, "ways", ways_json(&overview));
        js_put(document, "file_systems", spaces_json(&overview));
        cli_put_report(document, "families", &overview.families);
        cli_put_report(document, "dtypes", &overview.dtypes);
        cli_put_report(document, "states", &overview.states);
        cli_print_json(document);
    } else {
        AUTO_BUF struct buf text = {0};
        overview_text(library, &overview, 80, &text);
        fputs(text.data, stdout);
    }
    overview_release(&overview);
    library_unref(library);
    return EXIT_DONE;
}
