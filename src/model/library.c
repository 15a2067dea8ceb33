/* SPDX-License-Identifier: MIT */
/* The snapshot of the collection: derived sums, states, bases, and finding models by name. */
#include "model/library.h"

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

/* The part of a name that library_target compares last: behind the last slash, before any @. */
static const char *last_part(const char *name, size_t *ret_len)
{
    const char *slash = strrchr(name, '/');
    const char *part = slash ? slash + 1 : name;
    *ret_len = strcspn(part, "@");
    return part;
}

int library_target(const struct library *library, const char *target, int self)
{
    int ending = NO_MODEL, endings = 0;
    size_t want_len, len;
    const char *want = last_part(target, &want_len);
    for (size_t i = 0; i < library->model_count; i++) {
        const char *name = library->models[i].name;
        if ((int)i == self)
            continue;
        if (strcasecmp(name, target) == 0)
            return (int)i;
        const char *part = last_part(name, &len);
        if (len == want_len && strncasecmp(part, want, len) == 0 && strchr(target, '/') &&
            strcmp(library->models[i].source, "dir") == 0) {
            ending = (int)i;
            endings++;
        }
    }
    return endings == 1 ? ending : NO_MODEL;
}

int library_declared(const struct library *library, int model)
{
    const struct lib_model *m = &library->models[model];
    for (size_t c = 0; c < m->claim_count; c++) {
        int target = library_target(library, m->claims[c].target, model);
        if (target != NO_MODEL)
            return target;
    }
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
        if (model->frees_known && model->frees > 0 && model->state == MODEL_PLAIN)
            library->frees += (uint64_t)model->frees;
    }
    find_bases(library);
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
