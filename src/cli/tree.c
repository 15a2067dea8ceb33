/* SPDX-License-Identifier: MIT */
/* tare tree */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/tree.h"

#include <string.h>

enum { WIDEST = 64 /* columns of a name with its branches */ };

/* ---- text ---- */

static int row_width(const struct tree_row *row)
{
    AUTO_FREE char *name = text_safe(row->name);
    return 3 * row->depth + text_width(name);
}

/* "7 members", and what compressing them would free. */
static void describe_row(const struct library *library, const struct tree_row *row, struct buf *out)
{
    char frees[16];
    if (row->model == NO_MODEL)
        buf_str(out, "  not here");
    size_t members = row->below + (row->model != NO_MODEL);
    if (row->depth == 0 && row->below)
        buf_printf(out, "  %zu member%s", members, members == 1 ? "" : "s");
    AUTO_BUF struct buf facts = {0};
    if (row->model != NO_MODEL)
        tree_describe(library, row->model, &facts);
    if (facts.len)
        buf_printf(out, "  %s", facts.data);
    text_size(frees, (uint64_t)row->frees);
    if (row->frees > 0)
        buf_printf(out, "  frees %s%s", frees, row->below ? " in all" : "");
}

static void print_tree(const struct library *library, const struct tree *tree)
{
    int width = 0;
    for (size_t i = 0; i < tree->count; i++)
        width = MAX(width, MIN(row_width(&tree->rows[i]), WIDEST));
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_row *row = &tree->rows[i];
        AUTO_FREE char *name = text_safe(row->name);
        AUTO_BUF struct buf line = {0}, facts = {0};
        tree_branches(tree, i, &line);
        text_fit(&line, name, MAX(width - 3 * row->depth, 8));
        describe_row(library, row, &facts);
        printf("%s", line.data);
        cli_print("%s\n", facts.len ? facts.data : "");
    }
}

/* ---- JSON ---- */

static js *parent_json(const struct library *library, const struct tree_parent *parent)
{
    js *object = js_object(), *evidence = js_list();
    js_put_text(object, "id", parent->model == NO_MODEL ? NULL : library->models[parent->model].id);
    js_put_name(object, "name", parent->name, strlen(parent->name));
    js_put_text(object, "relation", parent->relation);
    for (size_t i = 0; i < parent->kind_count; i++) {
        js *item = js_object();
        js_put_text(item, "kind", parent->kinds[i]);
        js_put_text(item, "detail", parent->details[i]);
        js_push(evidence, item);
    }
    js_put(object, "evidence", evidence);
    if (parent->distance >= 0)
        js_put_real(object, "bit_distance", parent->distance);
    else
        js_put(object, "bit_distance", js_null());
    js_put_real(object, "shared", parent->shared);
    js_put_bool(object, "contradicted", parent->contradicted);
    return object;
}

js *cli_parents_json(const struct library *library, int model)
{
    struct tree_parent parents[TREE_PARENTS];
    size_t count = tree_parents(library, model, parents);
    js *list = js_list();
    for (size_t i = 0; i < count; i++)
        js_push(list, parent_json(library, &parents[i]));
    return list;
}

static js *member_json(const struct library *library, int i)
{
    const struct lib_model *model = &library->models[i];
    js *object = js_object();
    js_put_text(object, "id", model->id);
    js_put_name(object, "name", model->name, strlen(model->name));
    js_put(object, "parents", cli_parents_json(library, i));
    return object;
}

/* A family begins at each model that hangs under none that is here. */
static js *families_json(const struct library *library, const struct tree *tree)
{
    js *families = js_list(), *members = NULL;
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_row *row = &tree->rows[i];
        if (row->model == NO_MODEL)
            continue;
        const struct lib_model *model = &library->models[row->model];
        if (model->base == NO_MODEL) {
            js *family = js_object();
            members = js_list();
            js_put_text(family, "root", model->id);
            js_put(family, "members", members);
            js_push(families, family);
        }
        js_push(members, member_json(library, row->model));
    }
    return families;
}

int cli_tree(struct cli *cli)
{
    struct library *library;
    struct tree tree;
    struct err err = {0};
    if (cli_library(cli, &library, &err) < 0)
        return cli_fail(&err);
    tree_build(library, VIEW_NAME, &tree);
    if (cli->json) {
        js *document = js_object();
        js_put(document, "families", families_json(library, &tree));
        cli_print_json(document);
    } else {
        print_tree(library, &tree);
    }
    tree_release(&tree);
    library_unref(library);
    return EXIT_DONE;
}
