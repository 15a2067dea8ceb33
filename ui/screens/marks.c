/* SPDX-License-Identifier: MIT */
/* What the tabs of models share: marks, what an action means, and the actions on models. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <string.h>

bool marks_has(const struct marks *marks, const char *text)
{
    struct hash128 key = hash128_of(text, strlen(text));
    uint64_t on;
    return marks->count && map_get(&marks->map, &key, &on) && on;
}

void marks_set(struct marks *marks, const char *text, bool on)
{
    struct hash128 key = hash128_of(text, strlen(text));
    if (on == marks_has(marks, text))
        return;
    map_put(&marks->map, &key, on);
    marks->count = on ? marks->count + 1 : marks->count - 1;
}

void marks_clear(struct marks *marks)
{
    map_release(&marks->map);
    *marks = (struct marks){0};
}

int *marks_chosen(const struct app *app, size_t *ret_count)
{
    int *models = mem_alloc(((app->library ? app->library->model_count : 0) + 1) * sizeof *models);
    size_t n = 0;
    for (size_t i = 0; app->marked.count && i < app->library->model_count; i++)
        if (marks_has(&app->marked, app->library->models[i].id))
            models[n++] = (int)i;
    if (!n)
        n = app->tab == TAB_FAMILIES     ? families_chosen(app, models)
            : app->tab == TAB_DUPLICATES ? duplicates_chosen(app, models)
                                         : models_selected(app, models);
    *ret_count = n;
    return models;
}

void marks_footer(const struct app *app, struct buf *out)
{
    int64_t frees = 0;
    size_t marked = 0;
    char size[16];
    for (size_t i = 0; app->marked.count && i < app->library->model_count; i++) {
        const struct lib_model *m = &app->library->models[i];
        if (!marks_has(&app->marked, m->id))
            continue;
        marked++;
        frees += tree_own_frees(m);
    }
    if (!marked)
        return;
    text_size(size, (uint64_t)frees);
    buf_printf(out, "%zu marked: frees about %s", marked, size);
}

static void bring_back(struct app *app)
{
    size_t count, stored = 0;
    AUTO_FREE int *models = marks_chosen(app, &count);
    for (size_t i = 0; i < count; i++)
        if (app->library->models[models[i]].state != MODEL_PLAIN)
            models[stored++] = models[i];
    if (!stored) {
        app_say(app, true, "nothing of it is compressed");
        return;
    }
    session_decompress(app->session, app->library, models, stored);
    app_say(app, false, "decompressing; 5 shows how far it is");
    marks_clear(&app->marked);
}

static void verify_chosen(struct app *app)
{
    size_t count;
    AUTO_FREE int *models = marks_chosen(app, &count);
    session_verify(app->session, app->library, models, count);
    app_say(app, false, "verifying; 5 shows how far it is");
}

static void copy_path(struct app *app)
{
    size_t count;
    AUTO_FREE int *models = mem_alloc((app->library->model_count + 1) * sizeof *models);
    count = app->tab == TAB_FAMILIES ? families_chosen(app, models) : models_selected(app, models);
    if (count)
        app_copy(app, app->library->models[models[0]].path);
}

/* Whether there is a model for an action. */
static bool any_chosen(const struct app *app)
{
    size_t count;
    free(marks_chosen(app, &count));
    return count > 0;
}

bool marks_action(struct app *app, enum action action)
{
    switch (action) {
    case ACT_UNMARK:
        marks_clear(&app->marked);
        return true;
    case ACT_DELTA:
        if (any_chosen(app))
            delta_chosen(app);
        return true;
    case ACT_COMPRESS:
        if (any_chosen(app))
            plan_ask(app, false);
        return true;
    case ACT_DECOMPRESS:
        if (any_chosen(app))
            bring_back(app);
        return true;
    case ACT_VERIFY:
        if (any_chosen(app))
            verify_chosen(app);
        return true;
    case ACT_DELETE:
        if (any_chosen(app))
            delete_ask(app);
        return true;
    case ACT_COPY:
        if (any_chosen(app))
            copy_path(app);
        return true;
    case ACT_DETAILS:
        app->details = !app->details;
        if (app->details && app->canvas.columns < DETAILS_FROM)
            app_say(app, false, "details are shown from %d columns on", (int)DETAILS_FROM);
        return true;
    default:
        return false;
    }
}
