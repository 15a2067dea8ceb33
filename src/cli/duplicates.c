/* SPDX-License-Identifier: MIT */
/* tare duplicates */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/duplicates.h"

#include <string.h>

enum { PLACES_SHOWN = 6 };

struct work {
    struct cli *cli;
    struct library *library;
    struct duplicates found;
    struct err err;
};

static int run(void *context, struct progress *progress)
{
    struct work *work = context;
    return ops_duplicates(work->cli->ops, work->library, progress, &work->found, &work->err);
}

static bool is_shown(const struct cli *cli, const struct duplicate_group *group)
{
    return !(cli->given & OPT_FILES) || group->kind != DUPLICATE_TENSORS;
}

static js *place_json(const struct work *work, const struct duplicate_place *place)
{
    const struct lib_file *file = &work->library->files[place->file];
    js *object = js_object();
    js_put_text(object, "model", work->library->models[place->model].id);
    js_put_name(object, "file", file->path, strlen(file->path));
    if (place->tensor_len)
        js_put_name(object, "tensor", place->tensor, place->tensor_len);
    else
        js_put(object, "tensor", js_null());
    return object;
}

static js *group_json(const struct work *work, const struct duplicate_group *group)
{
    bool tensors = group->kind == DUPLICATE_TENSORS;
    js *object = js_object(), *places = js_list(), *shape = js_list();
    js_put_text(object, "kind", duplicate_kind_name(group->kind));
    js_put_int(object, "bytes", (int64_t)group->bytes);
    js_put_int(object, "copies", (int64_t)group->count);
    js_put_int(object, "wasted", (int64_t)group->wasted);
    js_put_int(object, "clones", (int64_t)group->clones);
    js_put_text(object, "dtype", tensors ? dtype_name(group->dtype) : NULL);
    for (size_t i = 0; i < group->dims; i++)
        js_push(shape, js_of_int((int64_t)group->shape[i]));
    js_put(object, "shape", shape);
    for (size_t i = 0; i < group->count; i++)
        js_push(places, place_json(work, &group->places[i]));
    js_put(object, "places", places);
    return object;
}

static void print_group(const struct work *work, const struct duplicate_group *group)
{
    char wasted[16], bytes[16];
    text_size(wasted, group->wasted);
    text_size(bytes, group->bytes);
    printf("%7s wasted: %zu %s of %s\n", wasted, group->count,
           group->kind == DUPLICATE_TENSORS ? "tensors" : "files", bytes);
    if (group->kind == DUPLICATE_FORMATS)
        printf("          %s\n", duplicate_advice(group));
    if (group->clones)
        printf("          %zu of them share their blocks (clones)\n", group->clones);
    for (size_t i = 0; i < MIN(group->count, (size_t)PLACES_SHOWN); i++) {
        const struct duplicate_place *place = &group->places[i];
        AUTO_BUF struct buf tensor = {0};
        text_escape(&tensor, place->tensor, place->tensor_len);
        AUTO_FREE char *path = text_safe(work->library->files[place->file].path);
        printf("          %s%s%s\n", path, tensor.len ? "  " : "", tensor.len ? tensor.data : "");
    }
    if (group->count > PLACES_SHOWN)
        printf("          and %zu more\n", group->count - PLACES_SHOWN);
}

/* Of all groups, or of the files alone. */
static uint64_t sum_shown(const struct work *work)
{
    uint64_t sum = 0;
    if (!(work->cli->given & OPT_FILES))
        return work->found.wasted;
    for (size_t i = 0; i < work->found.count; i++)
        sum += is_shown(work->cli, &work->found.groups[i]) ? work->found.groups[i].wasted : 0;
    return sum;
}

static void show(const struct work *work)
{
    const struct duplicates *found = &work->found;
    js *groups = js_list(); /* stays empty without --json */
    uint64_t sum = sum_shown(work);
    for (size_t i = 0; i < found->count; i++) {
        if (!is_shown(work->cli, &found->groups[i]))
            continue;
        if (work->cli->json)
            js_push(groups, group_json(work, &found->groups[i]));
        else
            print_group(work, &found->groups[i]);
    }
    if (work->cli->json) {
        js *document = js_object();
        js_put(document, "groups", groups);
        js_put_int(document, "wasted", (int64_t)sum);
        cli_print_json(document);
        return;
    }
    js_free(groups);
    char wasted[16];
    text_size(wasted, sum);
    printf("%s on disk more than once; compressing keeps each once\n", wasted);
}

int cli_duplicates(struct cli *cli)
{
    struct work work = {.cli = cli};
    int r = cli_library(cli, &work.library, &work.err);
    if (r == 0)
        r = cli_run(cli, run, &work);
    if (r == 0)
        show(&work);
    duplicates_release(&work.found);
    library_unref(work.library);
    return r < 0 ? cli_fail(&work.err) : EXIT_DONE;
}
