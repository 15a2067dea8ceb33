/* SPDX-License-Identifier: MIT */
/* Families as people see them. */
#include "ops/tree.h"

#include "base/text.h"
#include "model/dtype.h"

#include <string.h>
#include <strings.h>

#define SHARED_LEAST 0.005 /* of what may be equal by chance: norms that nothing changed */

/* ---- what is known of the ancestry of one model ---- */

static void add_kind(struct tree_parent *parent, const char *kind, const char *detail)
{
    for (size_t i = 0; i < parent->kind_count; i++)
        if (strcmp(parent->kinds[i], kind) == 0)
            return;
    if (parent->kind_count == COUNT_OF(parent->kinds))
        return;
    parent->kinds[parent->kind_count] = kind;
    parent->details[parent->kind_count++] = detail;
}

static bool is_quantized(enum dtype dtype)
{
    return dtype != DTYPE_BYTES && dtype_width(dtype) < 2;
}

/* What a model is to a parent of which no claim says it. */
static const char *relation_of(const struct library *library, int model, int parent)
{
    const struct lib_model *m = &library->models[model];
    bool nearest = m->base == parent;
    if (nearest && m->kin & KIN_PATH && *m->run)
        return "checkpoint";
    if (nearest && m->kin & KIN_SAME)
        return "duplicate";
    if (m->second != NO_MODEL && (nearest || m->second == parent))
        return "merge";
    if (parent != NO_MODEL && is_quantized(model_dtype(m)) &&
        !is_quantized(model_dtype(&library->models[parent])))
        return "quantized";
    return *m->run ? "checkpoint" : "finetune";
}

/* Adds a parent, or finds it among those that are there; NULL where there is no room. */
static struct tree_parent *parent_at(const struct library *library, int model, const char *name,
                                     struct tree_parent *parents, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (model != NO_MODEL
                ? parents[i].model == model
                : parents[i].model == NO_MODEL && strcasecmp(parents[i].name, name) == 0)
            return &parents[i];
    if (*count == TREE_PARENTS)
        return NULL;
    parents[*count] =
        (struct tree_parent){.model = model,
                             .name = model == NO_MODEL ? name : library->models[model].name,
                             .distance = -1};
    return &parents[(*count)++];
}

/* What the bits and the path say of the base, and of the other parent of a merge. */
static void add_found(const struct library *library, const struct lib_model *m,
                      struct tree_parent *parents, size_t *count)
{
    struct tree_parent *base = parent_at(library, m->base, NULL, parents, count);
    base->distance = m->distance;
    base->shared = m->shared;
    base->moved = m->kin & KIN_MOVED;
    if (m->second != NO_MODEL)
        (void)parent_at(library, m->second, NULL, parents, count);
}

/* Claims that name nothing that could be shown: a path of another machine, no name at all. */
static bool names_nothing(const struct lib_claim *claim)
{
    return claim->model == NO_MODEL &&
           (!*claim->target || *claim->target == '/' || strncmp(claim->target, "sha256:", 7) == 0);
}

static void add_claims(const struct library *library, int model, struct tree_parent *parents,
                       size_t *count)
{
    const struct lib_model *m = &library->models[model];
    int declared = library_declared(library, model);
    for (size_t c = 0; c < m->claim_count; c++) {
        const struct lib_claim *claim = &m->claims[c];
        if (names_nothing(claim) || library_names_itself(m, claim))
            continue;
        struct tree_parent *parent =
            parent_at(library, claim->model, claim->target, parents, count);
        if (!parent)
            return;
        add_kind(parent, claim->kind_name, claim->detail);
        if (*claim->detail && !parent->relation)
            parent->relation = claim->detail;
        parent->contradicted |= m->kin & KIN_DENIED && claim->model == declared;
    }
}

size_t tree_parents(const struct library *library, int model, struct tree_parent *parents)
{
    const struct lib_model *m = &library->models[model];
    size_t count = 0;
    if (m->base != NO_MODEL)
        add_found(library, m, parents, &count);
    add_claims(library, model, parents, &count);
    for (size_t i = 0; i < count; i++) {
        struct tree_parent *parent = &parents[i];
        bool base = parent->model != NO_MODEL && parent->model == m->base;
        if (base && m->kin & KIN_PATH)
            add_kind(parent, "path", "");
        if (base && m->shared >= SHARED_LEAST)
            add_kind(parent, "content", m->kin & KIN_MOVED ? "under other names" : "");
        if (m->kin & KIN_BITS &&
            (base || (parent->model != NO_MODEL && parent->model == m->second)))
            add_kind(parent, "bits", "");
        if (base && m->kin & KIN_STORED)
            add_kind(parent, "bits", "stored as a difference from it");
        bool series = base && m->kin & KIN_PATH && *m->run;
        if (!parent->relation || series || (base && m->kin & KIN_SAME))
            parent->relation = relation_of(library, model, parent->model);
    }
    return count;
}

/* Where in its run a checkpoint stands, as its trainer wrote it down; NULL where it did not. */
static const char *progress_of(const struct lib_model *m)
{
    for (size_t c = 0; c < m->claim_count; c++)
        if (strcmp(m->claims[c].kind_name, "trainer") == 0)
            return m->claims[c].detail;
    return NULL;
}

void tree_describe_parent(const struct tree_parent *parent, struct buf *out)
{
    buf_printf(out, "%-10s  ", parent->relation);
    tree_describe_evidence(parent, out);
}

void tree_describe_evidence(const struct tree_parent *parent, struct buf *out)
{
    if (parent->distance >= 0)
        buf_printf(out, "differs %.1f/16  ", parent->distance);
    if (parent->shared >= SHARED_LEAST && parent->shared < 1)
        buf_printf(out, "shares %.0f%%%s  ", parent->shared * 100,
                   parent->moved ? " under other names" : "");
    for (size_t i = 0; i < parent->kind_count; i++)
        buf_printf(out, "%s%s", i ? " " : "", parent->kinds[i]);
    if (parent->contradicted)
        buf_str(out, ", bits say no");
}

void tree_describe(const struct library *library, int model, struct buf *out)
{
    const struct lib_model *m = &library->models[model];
    struct tree_parent parents[TREE_PARENTS];
    size_t count = tree_parents(library, model, parents);
    bool hangs = count && (parents[0].model == NO_MODEL || parents[0].model == m->base);
    const char *progress = progress_of(m);
    if (hangs && !parents[0].contradicted)
        tree_describe_parent(&parents[0], out);
    if (progress)
        buf_printf(out, "  %s", progress);
    for (size_t i = 0; i < count; i++) {
        const struct tree_parent *parent = &parents[i];
        if (parent->contradicted)
            buf_printf(out, "  claims %s: the bits say no", parent->name);
        else if (i && parent->model != NO_MODEL && strcmp(parent->relation, "merge") == 0)
            buf_printf(out, "  and %s", parent->name);
        else if (i && parent->model == NO_MODEL)
            buf_printf(out, "  names %s, which is not here", parent->name);
    }
}

/* ---- the forest ---- */

/* Models and absent parents as nodes: a model is its index, an absent one comes behind them. */
struct node {
    const char *name;
    int model, parent, first, next; /* children in order, by first and next; -1 */
    bool lone;
};

struct forest {
    const struct library *library;
    struct node *nodes;
    size_t count, cap;
    struct map absent; /* names of absent parents, to their nodes */
};

static int absent_node(struct forest *f, const char *name)
{
    size_t n = strlen(name);
    AUTO_FREE char *low = mem_strdup(name);
    for (size_t i = 0; i < n; i++)
        low[i] = (char)(low[i] >= 'A' && low[i] <= 'Z' ? low[i] + 32 : low[i]);
    struct hash128 key = hash128_of(low, n);
    uint64_t at;
    if (map_get(&f->absent, &key, &at))
        return (int)at;
    at = f->count;
    *ARRAY_ADD(f->nodes, f->count, f->cap) =
        (struct node){.name = name, .model = NO_MODEL, .parent = -1, .first = -1, .next = -1};
    map_put(&f->absent, &key, at);
    return (int)at;
}

/*
 * A root hangs under what it claims to come from, where that is not here. The checkpoints of a run
 * stand side by side under its first one: a run may be long.
 */
static int parent_node(struct forest *f, int model)
{
    struct tree_parent parents[TREE_PARENTS];
    const struct lib_model *models = f->library->models;
    int base = models[model].base;
    while (base != NO_MODEL && models[base].base != NO_MODEL &&
           library_same_run(&models[base], &models[model]) &&
           library_same_run(&models[base], &models[models[base].base]))
        base = models[base].base;
    size_t count = base == NO_MODEL ? tree_parents(f->library, model, parents) : 0;
    for (size_t i = 0; i < count; i++)
        if (parents[i].model == NO_MODEL)
            return absent_node(f, parents[i].name);
    return base;
}

/* Families before models that have no relatives; names in natural order. */
static int by_place(const void *a, const void *b, void *context)
{
    const struct node *nodes = context;
    const struct node *x = &nodes[*(const int *)a], *y = &nodes[*(const int *)b];
    if (x->lone != y->lone)
        return x->lone ? 1 : -1;
    int order = text_natural_compare(x->name, y->name);
    return order ? order : *(const int *)a - *(const int *)b;
}

int64_t tree_own_frees(const struct lib_model *model)
{
    return model->frees_known && model->frees > 0 && model->state == MODEL_PLAIN ? model->frees : 0;
}

static struct tree_row row_of(const struct forest *f, int at, int depth)
{
    const struct node *node = &f->nodes[at];
    const struct lib_model *m = node->model == NO_MODEL ? NULL : &f->library->models[node->model];
    return (struct tree_row){.model = node->model,
                             .name = node->name,
                             .depth = depth,
                             .last = node->next < 0,
                             .frees = m ? tree_own_frees(m) : 0,
                             .size = m ? m->size : 0};
}

/* Adds a node and all below it. Not by recursion: chains of checkpoints are long. */
static void add_rows(const struct forest *f, int root, struct tree *tree)
{
    AUTO_FREE size_t *above = NULL; /* rows whose children are being added */
    size_t depth = 0, cap = 0;
    for (int at = root; at >= 0;) {
        size_t row = tree->count;
        *ARRAY_ADD(tree->rows, tree->count, tree->cap) = row_of(f, at, (int)depth);
        if (f->nodes[at].first >= 0) {
            *ARRAY_ADD(above, depth, cap) = row;
            at = f->nodes[at].first;
            continue;
        }
        while (at != root && f->nodes[at].next < 0) {
            struct tree_row *parent = &tree->rows[above[--depth]];
            parent->below = tree->count - 1 - (size_t)(parent - tree->rows);
            at = f->nodes[at].parent;
        }
        at = at == root ? -1 : f->nodes[at].next;
    }
}

static void sum_below(struct tree *tree)
{
    for (size_t i = tree->count; i-- > 0;)
        for (size_t k = i + 1; k <= i + tree->rows[i].below; k += tree->rows[k].below + 1)
            tree->rows[i].frees += tree->rows[k].frees, tree->rows[i].size += tree->rows[k].size;
}

/* What a family frees as one stands at its root, and is part of what an absent parent names. */
static void take_families(const struct library *library, struct tree *tree)
{
    for (size_t i = tree->count; i-- > 0;) {
        struct tree_row *row = &tree->rows[i];
        const struct lib_model *m = row->model == NO_MODEL ? NULL : &library->models[row->model];
        if (m && m->base == NO_MODEL && m->family_known && m->family_frees > row->frees)
            row->frees = m->family_frees;
        if (m)
            continue;
        row->frees = 0;
        for (size_t k = i + 1; k <= i + row->below; k += tree->rows[k].below + 1)
            row->frees += tree->rows[k].frees;
    }
}

/* A family, by where it begins. */
struct span {
    size_t first, count;
    bool lone;
    int64_t number;
};

static int by_number(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->lone != y->lone)
        return x->lone ? 1 : -1;
    if (x->number != y->number)
        return x->number > y->number ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

static void sort_families(struct tree *tree, enum view_sort sort)
{
    AUTO_FREE struct span *spans = mem_alloc((tree->count + 1) * sizeof *spans);
    struct tree_row *rows = mem_alloc((tree->count + 1) * sizeof *rows);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < tree->count; i += tree->rows[i].below + 1)
        spans[n++] =
            (struct span){i, tree->rows[i].below + 1, !tree->rows[i].below,
                          sort == VIEW_SIZE ? (int64_t)tree->rows[i].size : tree->rows[i].frees};
    if (n)
        qsort(spans, n, sizeof *spans, by_number);
    for (size_t i = 0; i < n; i++) {
        memcpy(rows + at, tree->rows + spans[i].first, spans[i].count * sizeof *rows);
        at += spans[i].count;
    }
    free(tree->rows);
    tree->rows = rows;
    tree->cap = tree->count + 1;
}

void tree_build(const struct library *library, enum view_sort sort, struct tree *ret)
{
    struct forest f = {.library = library};
    *ret = (struct tree){0};
    for (size_t i = 0; i < library->model_count; i++)
        *ARRAY_ADD(f.nodes, f.count, f.cap) = (struct node){
            .name = library->models[i].name, .model = (int)i, .first = -1, .next = -1};
    for (size_t i = 0; i < library->model_count; i++) {
        int parent = parent_node(&f, (int)i);
        f.nodes[i].parent = parent;
        if (parent >= 0)
            f.nodes[parent].first = 0; /* it has some */
    }
    AUTO_FREE int *order = mem_alloc((f.count + 1) * sizeof *order);
    for (size_t i = 0; i < f.count; i++) {
        order[i] = (int)i;
        f.nodes[i].lone = f.nodes[i].parent < 0 && f.nodes[i].first < 0;
        f.nodes[i].first = -1;
    }
    if (f.count)
        qsort_r(order, f.count, sizeof *order, by_place, f.nodes);
    for (size_t k = f.count; k-- > 0;) {
        struct node *node = &f.nodes[order[k]];
        if (node->parent < 0)
            continue;
        node->next = f.nodes[node->parent].first;
        f.nodes[node->parent].first = order[k];
    }
    for (size_t k = 0; k < f.count; k++)
        if (f.nodes[order[k]].parent < 0)
            add_rows(&f, order[k], ret);
    sum_below(ret);
    take_families(library, ret);
    if (sort == VIEW_SIZE || sort == VIEW_FREES)
        sort_families(ret, sort);
    free(f.nodes);
    map_release(&f.absent);
}

enum { DEEPEST = 16 /* levels that are drawn */ };

void tree_release(struct tree *tree)
{
    free(tree->rows);
    *tree = (struct tree){0};
}

size_t tree_parent_row(const struct tree *tree, size_t row)
{
    int depth = tree->rows[row].depth;
    while (depth && tree->rows[row].depth >= depth)
        row--;
    return row;
}

const char *tree_short_name(const struct tree *tree, size_t row)
{
    const char *name = tree->rows[row].name, *above = tree->rows[tree_parent_row(tree, row)].name;
    size_t shared = 0;
    for (size_t i = 0; tree->rows[row].depth && name[i] && name[i] == above[i]; i++)
        shared = name[i] == '/' ? i + 1 : shared;
    return name + shared;
}

void tree_branches(const struct tree *tree, size_t row, struct buf *out)
{
    int depth = tree->rows[row].depth, left = MAX(depth - DEEPEST, 0);
    bool utf8 = text_utf8();
    AUTO_FREE const char **parts = mem_alloc(((size_t)depth + 1) * sizeof *parts);
    if (left)
        buf_printf(out, "(%d) ", left);
    for (int d = depth; d > left; d--) {
        bool last = tree->rows[row].last;
        if (d == depth)
            parts[d - 1] = utf8 ? (last ? "└─ " : "├─ ") : (last ? "`- " : "|- ");
        else
            parts[d - 1] = last ? "   " : utf8 ? "│  " : "|  ";
        row = tree_parent_row(tree, row);
    }
    for (int d = left; d < depth; d++)
        buf_str(out, parts[d]);
}
