/* SPDX-License-Identifier: MIT */
/* tare tree */
#include "cli/cli.h"

#include "base/text.h"

#include <string.h>

/* The models of a library as trees: children of each, by name. */
struct forest {
    const struct library *library;
    int *order; /* all models, by name */
    int width;  /* of the widest name with its branches */
};

enum { BRANCH = 3, WIDEST = 64 }; /* columns */

static int by_name(const void *a, const void *b, void *context)
{
    const struct library *library = context;
    return text_natural_compare(library->models[*(const int *)a].name,
                                library->models[*(const int *)b].name);
}

static const struct lib_model *model_at(const struct forest *f, int i)
{
    return &f->library->models[i];
}

/* The claim that names the base, or NULL. */
static const struct lib_claim *claim_of(const struct forest *f, int i, int target)
{
    const struct lib_model *model = model_at(f, i);
    for (size_t c = 0; c < model->claim_count; c++)
        if (library_target(f->library, model->claims[c].target, i) == target)
            return &model->claims[c];
    return NULL;
}

static const char *relation_of(const struct forest *f, int i, int parent)
{
    const struct lib_model *model = model_at(f, i);
    const struct lib_claim *claim = claim_of(f, i, parent);
    if (claim && *claim->detail)
        return claim->detail;
    return model->second != NO_MODEL                       ? "merge"
           : *model->run                                   ? "checkpoint"
           : model->base == parent && model->distance == 0 ? "duplicate"
                                                           : "finetune";
}

static size_t count_members(const struct forest *f, int root)
{
    size_t count = 1;
    for (size_t i = 0; i < f->library->model_count; i++)
        if (model_at(f, (int)i)->base == root)
            count += count_members(f, (int)i);
    return count;
}

/* ---- text ---- */

static int widest(const struct forest *f, int at, int depth)
{
    AUTO_FREE char *name = text_safe(model_at(f, at)->name);
    int width = BRANCH * depth + text_width(name);
    for (size_t i = 0; i < f->library->model_count; i++)
        if (model_at(f, (int)i)->base == at)
            width = MAX(width, widest(f, (int)i, depth + 1));
    return MIN(width, WIDEST);
}

/* A name behind its branches, filled up to the width of all. */
static void print_name(const struct forest *f, int i, const char *branches)
{
    AUTO_FREE char *name = text_safe(model_at(f, i)->name);
    AUTO_BUF struct buf line = {0};
    int room = f->width - text_width(branches);
    text_fit(&line, name, MAX(room, 8));
    printf("%s%s", branches, line.data);
}

/* The words behind a name: relation, distance, evidence, and what compressing it would free. */
static void print_facts(const struct forest *f, int i)
{
    const struct lib_model *model = model_at(f, i);
    char frees[16];
    if (model->base != NO_MODEL) {
        const struct lib_claim *claim = claim_of(f, i, model->base);
        cli_print("  %-10s", relation_of(f, i, model->base));
        if (model->distance >= 0)
            printf("  differs %.1f/16", model->distance);
        cli_print("  %s%s%s", claim ? claim->kind_name : "",
                  claim && model->kin & KIN_BITS ? " " : "", model->kin & KIN_BITS ? "bits" : "");
        if (model->second != NO_MODEL)
            cli_print("  and %s", model_at(f, model->second)->name);
    }
    if (model->kin & KIN_DENIED)
        cli_print("  claims %s: the bits say no",
                  model_at(f, library_declared(f->library, i))->name);
    if (model->frees_known && model->frees > 0) {
        text_size(frees, (uint64_t)model->frees);
        printf("  frees %s", frees);
    }
    printf("\n");
}

static void print_below(const struct forest *f, int parent, const char *indent)
{
    size_t left = 0;
    for (size_t k = 0; k < f->library->model_count; k++)
        left += model_at(f, (int)k)->base == parent;
    for (size_t k = 0; left && k < f->library->model_count; k++) {
        int i = f->order[k];
        if (model_at(f, i)->base != parent)
            continue;
        bool last = --left == 0, utf8 = text_utf8();
        AUTO_FREE char *branches =
            mem_printf("%s%s ", indent, utf8 ? (last ? "└─" : "├─") : (last ? "`-" : "|-"));
        print_name(f, i, branches);
        print_facts(f, i);
        AUTO_FREE char *deeper = mem_printf("%s%s  ", indent, last ? " " : utf8 ? "│" : "|");
        print_below(f, i, deeper);
    }
}

static void print_family(const struct forest *f, int root)
{
    size_t members = count_members(f, root);
    print_name(f, root, "");
    if (members > 1)
        printf("  %zu members", members);
    print_facts(f, root);
    print_below(f, root, "");
}

/* ---- JSON ---- */

static void push_evidence(js *list, const char *kind, const char *detail)
{
    js *object = js_object();
    js_put_text(object, "kind", kind);
    js_put_text(object, "detail", detail);
    js_push(list, object);
}

/* A parent: here, or absent (NO_MODEL) and only named. */
static js *parent_json(const struct forest *f, int i, int parent, const struct lib_claim *claim)
{
    const struct lib_model *model = model_at(f, i);
    js *object = js_object(), *evidence = js_list();
    const char *name = parent == NO_MODEL ? claim->target : model_at(f, parent)->name;
    bool bits = parent != NO_MODEL && (parent == model->base || parent == model->second) &&
                model->kin & KIN_BITS;
    js_put_text(object, "id", parent == NO_MODEL ? NULL : model_at(f, parent)->id);
    js_put_name(object, "name", name, strlen(name));
    js_put_text(object, "relation",
                claim && *claim->detail ? claim->detail : relation_of(f, i, parent));
    if (claim)
        push_evidence(evidence, claim->kind_name, claim->detail);
    if (bits)
        push_evidence(evidence, "bits", "");
    js_put(object, "evidence", evidence);
    if (bits && parent == model->base)
        js_put_real(object, "bit_distance", model->distance);
    else
        js_put(object, "bit_distance", js_null());
    js_put_bool(object, "contradicted",
                claim && model->kin & KIN_DENIED && parent == library_declared(f->library, i));
    return object;
}

static js *member_json(const struct forest *f, int i)
{
    const struct lib_model *model = model_at(f, i);
    js *object = js_object(), *parents = js_list();
    js_put_text(object, "id", model->id);
    js_put_name(object, "name", model->name, strlen(model->name));
    if (model->base != NO_MODEL)
        js_push(parents, parent_json(f, i, model->base, claim_of(f, i, model->base)));
    if (model->second != NO_MODEL)
        js_push(parents, parent_json(f, i, model->second, claim_of(f, i, model->second)));
    for (size_t c = 0; c < model->claim_count; c++) {
        int target = library_target(f->library, model->claims[c].target, i);
        if (target == NO_MODEL || (target != model->base && target != model->second))
            js_push(parents, parent_json(f, i, target, &model->claims[c]));
    }
    js_put(object, "parents", parents);
    return object;
}

static void push_members(const struct forest *f, int at, js *members)
{
    js_push(members, member_json(f, at));
    for (size_t k = 0; k < f->library->model_count; k++)
        if (model_at(f, f->order[k])->base == at)
            push_members(f, f->order[k], members);
}

static js *family_json(const struct forest *f, int root)
{
    js *object = js_object(), *members = js_list();
    js_put_text(object, "root", model_at(f, root)->id);
    push_members(f, root, members);
    js_put(object, "members", members);
    return object;
}

int cli_tree(struct cli *cli)
{
    struct library *library;
    struct err err = {0};
    if (cli_library(cli, &library, &err) < 0)
        return cli_fail(&err);
    struct forest f = {.library = library};
    f.order = mem_alloc((library->model_count + 1) * sizeof *f.order);
    js *families = js_list(); /* stays empty without --json */
    for (size_t i = 0; i < library->model_count; i++)
        f.order[i] = (int)i;
    for (size_t i = 0; i < library->model_count; i++)
        if (model_at(&f, (int)i)->base == NO_MODEL)
            f.width = MAX(f.width, widest(&f, (int)i, 0));
    qsort_r(f.order, library->model_count, sizeof *f.order, by_name, library);
    for (size_t k = 0; k < library->model_count; k++) {
        if (model_at(&f, f.order[k])->base != NO_MODEL)
            continue;
        if (cli->json)
            js_push(families, family_json(&f, f.order[k]));
        else
            print_family(&f, f.order[k]);
    }
    if (cli->json) {
        js *document = js_object();
        js_put(document, "families", families);
        cli_print_json(document);
    } else {
        js_free(families);
    }
    free(f.order);
    library_unref(library);
    return EXIT_DONE;
}
