/* SPDX-License-Identifier: MIT */
/* The snapshot of the collection: derived sums, states, bases, and finding models by name. */
#include "model/library.h"

#include "base/text.h"

#include "model/names.h"

#include <ctype.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

struct library *library_ref(struct library *library)
{
    atomic_fetch_add(&library->references, 1);
    return library;
}

void library_unref(struct library *library)
{
    if (!library || atomic_fetch_sub(&library->references, 1) != 1)
        return;
    free(library->models);
    free(library->files);
    free(library->roots);
    map_release(&library->names);
    map_release(&library->ids);
    arena_release(&library->arena);
    free(library);
}

const char *model_state_name(enum model_state state)
{
    static const char *const names[] = {"plain", "compressed", "partial", "kept",
                                        "gone",  "changed",    "damaged"};
    return names[state];
}

const char *file_state_name(enum file_state state)
{
    static const char *const names[] = {"plain",   "compressed", "kept",
                                        "changed", "gone",       "damaged"};
    return names[state];
}

enum dtype model_dtype(const struct lib_model *model)
{
    enum dtype most = DTYPE_BYTES;
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (model->dtype_bytes[i] > model->dtype_bytes[most])
            most = (enum dtype)i;
    return most;
}

size_t model_flags(const struct lib_model *model, const char *flags[8])
{
    size_t n = 0;
    if (model->error)
        flags[n++] = strstr(model->error, "truncated") ? "!trunc" : "!bad";
    if (model->state == MODEL_DAMAGED)
        flags[n++] = "!damaged";
    if (model->state == MODEL_CHANGED)
        flags[n++] = "changed";
    if (model->state == MODEL_GONE)
        flags[n++] = "gone";
    if (model->state == MODEL_COMPRESSED)
        flags[n++] = "packed";
    if (model->state == MODEL_PARTIAL)
        flags[n++] = "partly";
    if (model->state == MODEL_KEPT)
        flags[n++] = "trial";
    if (model->flags & MODEL_INCOMPLETE && n < 8)
        flags[n++] = "loading";
    if (model->flags & MODEL_MISSING && n < 8)
        flags[n++] = "!shards";
    if (model->flags & MODEL_LACKS && n < 8)
        flags[n++] = "!files";
    if (model->flags & MODEL_ORPHAN && n < 8)
        flags[n++] = "orphan";
    if (model->file_flags & FILE_TRAILING && n < 8)
        flags[n++] = "trailing";
    if (model->file_flags & FILE_SPARSE && n < 8)
        flags[n++] = "sparse";
    if (model->flags & MODEL_BASE && n < 8)
        flags[n++] = "base";
    return n;
}

static enum model_state state_of(const struct library *library, const struct lib_model *model)
{
    size_t count[FILE_DAMAGED + 1] = {0};
    for (size_t i = 0; i < model->file_count; i++)
        count[library->files[model->files[i]].state]++;
    if (count[FILE_DAMAGED])
        return MODEL_DAMAGED;
    if (count[FILE_CHANGED])
        return MODEL_CHANGED;
    if (count[FILE_GONE])
        return MODEL_GONE;
    if (count[FILE_STORED] == model->file_count && model->file_count)
        return MODEL_COMPRESSED;
    if (count[FILE_STORED])
        return MODEL_PARTIAL;
    return count[FILE_KEPT] ? MODEL_KEPT : MODEL_PLAIN;
}

static bool lies_on_disk(const struct lib_file *file)
{
    return file->state == FILE_PLAIN || file->state == FILE_KEPT;
}

static void sum_files(struct library *library, struct lib_model *model)
{
    model->hashed = true;
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &library->files[model->files[i]];
        bool counted = false; /* two names in one model may lead to one file */
        for (size_t j = 0; j < i && !counted; j++)
            counted = model->files[j] == model->files[i];
        model->size += file->size;
        model->file_flags |= file->flags;
        if (!model->error)
            model->error = file->error;
        if (counted)
            continue;
        model->stored += file->stored;
        model->parameters += file->parameters;
        model->tensors += file->tensors;
        model->hashed &= file->hashed;
        for (int t = 0; t < DTYPE_COUNT; t++)
            model->dtype_bytes[t] += file->dtype_bytes[t];
        model->modified = MAX(model->modified, file->mtime);
        model->read = MAX(model->read, file->atime);
        model->disk += lies_on_disk(file) ? file->disk : file->stored;
        if (file->users == 1 && file->links <= 1)
            model->unique += lies_on_disk(file) ? file->disk : file->stored;
    }
    model->state = state_of(library, model);
}

/* ---- what claims mean ---- */

enum { AMBIGUOUS = INT32_MAX };

static bool is_here(const struct lib_model *model)
{
    return strcmp(model->source, "dir") == 0;
}

/* The part of a name that may stand for all of it: behind the last slash, before any @. */
static const char *last_part(const char *name, size_t *ret_len)
{
    const char *slash = strrchr(name, '/');
    const char *part = slash ? slash + 1 : name;
    *ret_len = strcspn(part, "@");
    for (size_t i = *ret_len; i-- > 1;)
        if (part[i] == '.' && name_is_weight(part))
            *ret_len = i;
    return part;
}

/* Names are compared without case. */
static struct hash128 name_key(char kind, const char *name, size_t n)
{
    AUTO_FREE char *text = mem_alloc(n + 1);
    text[0] = kind;
    for (size_t i = 0; i < n; i++)
        text[i + 1] = (char)tolower((unsigned char)name[i]);
    return hash128_of(text, n + 1);
}

static struct hash128 ending_key(const char *name)
{
    size_t n;
    const char *part = last_part(name, &n);
    return name_key('e', part, n);
}

/* The first model of a name has it; an ending must be one model's alone. */
static void put_name(struct library *library, const struct hash128 *key, int model, bool alone)
{
    uint64_t before;
    if (!map_get(&library->names, key, &before))
        map_put(&library->names, key, (uint64_t)model);
    else if (alone && before != (uint64_t)model)
        map_put(&library->names, key, AMBIGUOUS);
}

static void put_names(struct library *library, int at)
{
    const struct lib_model *model = &library->models[at];
    struct hash128 key = name_key('n', model->name, strlen(model->name));
    put_name(library, &key, at, false);
    key = name_key('n', model->path, strlen(model->path));
    put_name(library, &key, at, false);
    key = ending_key(model->name);
    if (is_here(model))
        put_name(library, &key, at, true);
    for (size_t i = 0; i < model->file_count; i++) {
        const char *digest = library->files[model->files[i]].digest;
        AUTO_FREE char *name = digest ? mem_printf("sha256:%s", digest) : NULL;
        if (!name)
            continue;
        key = name_key('n', name, strlen(name));
        put_name(library, &key, at, false);
    }
}

static int find_name(const struct library *library, const struct hash128 *key, int self)
{
    uint64_t at;
    return map_get(&library->names, key, &at) && at != AMBIGUOUS && at != (uint64_t)self ? (int)at
                                                                                         : NO_MODEL;
}

/* The model that a claim's target means, or NO_MODEL. */
static int find_target(const struct library *library, const char *target, int self)
{
    struct hash128 key = name_key('n', target, strlen(target));
    int found = find_name(library, &key, self);
    if (found != NO_MODEL)
        return found;
    /* A copy of what it was made from may bear its own name. */
    if (strcasecmp(library->models[self].name, target) == 0)
        for (size_t i = 0; i < library->model_count; i++)
            if ((int)i != self && strcasecmp(library->models[i].name, target) == 0)
                return (int)i;
    key = ending_key(target);
    return strchr(target, '/') || name_is_weight(target) ? find_name(library, &key, self)
                                                         : NO_MODEL;
}

bool library_names_itself(const struct lib_model *model, const struct lib_claim *claim)
{
    struct hash128 own = ending_key(model->name), named = ending_key(claim->target);
    return claim->model == NO_MODEL && hash128_equal(&own, &named);
}

static void resolve_claims(struct library *library)
{
    for (size_t i = 0; i < library->model_count; i++)
        put_names(library, (int)i);
    for (size_t i = 0; i < library->model_count; i++)
        for (size_t c = 0; c < library->models[i].claim_count; c++) {
            struct lib_claim *claim = &library->models[i].claims[c];
            claim->model = find_target(library, claim->target, (int)i);
        }
}

int library_declared(const struct library *library, int model)
{
    const struct lib_model *m = &library->models[model];
    for (size_t c = 0; c < m->claim_count; c++)
        if (m->claims[c].model != NO_MODEL)
            return m->claims[c].model;
    return NO_MODEL;
}

/* Claims may go round in circles: the first one of a circle has no base then. */
static void cut_circles(struct library *library)
{
    for (size_t i = 0; i < library->model_count; i++) {
        int at = library->models[i].base;
        for (size_t steps = 0; at != NO_MODEL && at != (int)i && steps < library->model_count;
             steps++)
            at = library->models[at].base;
        if (at == (int)i)
            library->models[i].base = NO_MODEL;
    }
}

static void find_bases(struct library *library)
{
    resolve_claims(library);
    for (size_t i = 0; i < library->model_count; i++) {
        struct lib_model *model = &library->models[i];
        if (!(model->kin & KIN_KNOWN)) {
            model->base = library_declared(library, (int)i);
            model->second = NO_MODEL;
            model->distance = -1;
            model->kin = model->base != NO_MODEL ? KIN_CLAIMED : 0;
        }
    }
    cut_circles(library);
    for (size_t i = 0; i < library->model_count; i++)
        if (library->models[i].base != NO_MODEL)
            library->models[library->models[i].base].flags |= MODEL_BASE;
}

int library_of_row(const struct library *library, int64_t row)
{
    size_t low = 0, high = library->model_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (library->models[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < library->model_count && library->models[low].row == row ? (int)low : NO_MODEL;
}

/* Up to a root, or to a model whose family is known; then down again, by the way that was come. */
static void find_family(struct library *library, int model)
{
    int root = model;
    while (library->models[root].family == NO_MODEL && library->models[root].base != NO_MODEL)
        root = library->models[root].base;
    int family = library->models[root].family == NO_MODEL ? root : library->models[root].family;
    for (int at = model; at != root; at = library->models[at].base)
        library->models[at].family = family;
    library->models[root].family = family;
}

static void find_families(struct library *library)
{
    for (size_t i = 0; i < library->model_count; i++)
        library->models[i].family = NO_MODEL;
    for (size_t i = 0; i < library->model_count; i++)
        find_family(library, (int)i);
}

static int by_name(const void *a, const void *b)
{
    const struct lib_model *x = *(struct lib_model *const *)a, *y = *(struct lib_model *const *)b;
    int order = text_natural_compare(x->name, y->name);
    return order ? order : strcmp(x->id, y->id);
}

/* Lists are put in order often, names compared once. */
static void find_places(struct library *library)
{
    AUTO_FREE struct lib_model **order =
        mem_alloc((library->model_count + 1) * sizeof(struct lib_model *));
    for (size_t i = 0; i < library->model_count; i++)
        order[i] = &library->models[i];
    if (library->model_count)
        qsort(order, library->model_count, sizeof *order, by_name);
    for (size_t i = 0; i < library->model_count; i++)
        order[i]->place = (uint32_t)i;
}

/* Checkpoints of one run have its name, their root and their revision in common. */
static void find_runs(struct library *library)
{
    struct map runs = {0};
    for (size_t i = 0; i < library->model_count; i++) {
        struct lib_model *m = &library->models[i];
        AUTO_BUF struct buf text = {0};
        uint64_t first = i;
        m->first = NO_MODEL;
        if (!*m->run)
            continue;
        buf_add(&text, m->run, strlen(m->run) + 1);
        buf_add(&text, m->root, strlen(m->root) + 1);
        buf_str(&text, m->revision);
        struct hash128 key = hash128_of(text.data, text.len);
        if (!map_get(&runs, &key, &first))
            map_put(&runs, &key, first);
        m->first = (int)first;
    }
    map_release(&runs);
}

/* A family that is planned as one gives more than its members do, each alone. */
static void sum_frees(struct library *library)
{
    AUTO_FREE int64_t *sums = mem_zalloc((library->model_count + 1) * sizeof *sums);
    AUTO_FREE int64_t *disk = mem_zalloc((library->model_count + 1) * sizeof *disk);
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *m = &library->models[i];
        if (m->state != MODEL_PLAIN)
            continue;
        disk[m->family] += (int64_t)m->disk;
        if (m->frees_known && m->frees > 0)
            sums[m->family] += m->frees;
    }
    for (size_t i = 0; i < library->model_count; i++) {
        struct lib_model *m = &library->models[i];
        /* Some of it may have been compressed since it was estimated. */
        m->family_frees = MIN(m->family_frees, disk[i]);
        bool whole = sums[i] > 0 && m->family_known && m->family_frees > sums[i];
        library->frees += (uint64_t)(whole ? m->family_frees : sums[i]);
    }
}

static void put_ids(struct library *library)
{
    for (size_t i = 0; i < library->model_count; i++) {
        const struct hash128 key = hash128_of(library->models[i].id, MODEL_ID - 1);
        map_put(&library->ids, &key, i);
    }
}

int library_find_id(const struct library *library, const char *id)
{
    uint64_t at;
    const struct hash128 key = hash128_of(id, strlen(id));
    return map_get(&library->ids, &key, &at) ? (int)at : NO_MODEL;
}

void library_finish(struct library *library)
{
    for (size_t i = 0; i < library->model_count; i++) {
        struct lib_model *model = &library->models[i];
        for (size_t f = 0; f < model->file_count; f++)
            library->files[model->files[f]].users++;
    }
    for (size_t i = 0; i < library->file_count; i++) {
        const struct lib_file *file = &library->files[i];
        if (!file->users)
            continue;
        library->size += file->size;
        library->disk += lies_on_disk(file) ? file->disk : file->stored;
        library->stored += file->stored;
    }
    for (size_t i = 0; i < library->model_count; i++) {
        struct lib_model *model = &library->models[i];
        sum_files(library, model);
        if (model->state == MODEL_DAMAGED)
            model->frees_known = false; /* what was estimated before */
    }
    put_ids(library);
    find_places(library);
    find_runs(library);
    find_bases(library);
    find_families(library);
    sum_frees(library);
}

/* Whether text is the ending of name, at the start of a component. */
static bool is_ending(const char *name, const char *text)
{
    size_t n = strlen(name), m = strlen(text);
    return n > m && name[n - m - 1] == '/' && strcmp(name + n - m, text) == 0;
}

static bool means_exactly(const struct lib_model *model, const char *text)
{
    return strcmp(model->id, text) == 0 || strcmp(model->name, text) == 0 ||
           strcmp(model->path, text) == 0;
}

size_t library_find(const struct library *library, const char *text, int *indices, size_t max)
{
    size_t found = 0;
    for (int exact = 1; exact >= 0 && !found; exact--) {
        for (size_t i = 0; i < library->model_count; i++) {
            const struct lib_model *model = &library->models[i];
            if (!(exact ? means_exactly(model, text) : is_ending(model->name, text)))
                continue;
            if (found < max)
                indices[found] = (int)i;
            found++;
        }
    }
    return found;
}
