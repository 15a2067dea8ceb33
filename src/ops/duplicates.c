/* SPDX-License-Identifier: MIT */
/* Duplicates. Files are grouped by their content; tensors come from the catalog in order of ids. */
#include "ops/duplicates.h"

#include "base/file.h"
#include "base/map.h"
#include "base/text.h"
#include "catalog/catalog.h"

#include <fcntl.h>
#include <string.h>

struct search {
    const struct library *library;
    struct progress *progress;
    struct duplicates *ret;
    int *owners; /* of each file: the first model that names it, NO_MODEL */
    bool *twin;  /* of each file: it equals one that stands for it */
    /* The group in the making: places of one content. */
    struct hash128 id;
    struct duplicate_group group;
    size_t cap;
};

static bool counts(const struct search *s, uint32_t file)
{
    const struct lib_file *f = &s->library->files[file];
    return s->owners[file] != NO_MODEL && f->hashed &&
           (f->state == FILE_PLAIN || f->state == FILE_KEPT);
}

static void take_owners(struct search *s)
{
    for (size_t i = 0; i < s->library->file_count; i++)
        s->owners[i] = NO_MODEL;
    for (size_t m = s->library->model_count; m-- > 0;)
        for (size_t f = 0; f < s->library->models[m].file_count; f++)
            s->owners[s->library->models[m].files[f]] = (int)m;
}

/* ---- groups ---- */

static bool is_across(const struct search *s, const struct duplicate_group *group)
{
    const struct lib_model *first = &s->library->models[group->places[0].model];
    for (size_t i = 1; i < group->count; i++) {
        const struct lib_model *m = &s->library->models[group->places[i].model];
        if (strcmp(m->source, first->source) != 0 || strcmp(m->root, first->root) != 0)
            return true;
    }
    return false;
}

/* Copies whose blocks are those of one before them: cp --reflink made them. */
static size_t count_clones(const struct search *s, const struct duplicate_group *group)
{
    struct map seen = {0};
    size_t clones = 0;
    for (size_t i = 0; i < group->count && group->count > 1; i++) {
        const struct lib_file *file = &s->library->files[group->places[i].file];
        struct hash128 key;
        uint64_t other;
        AUTO_FD int fd = file_open_regular(AT_FDCWD, file->path, NULL, NULL);
        if (fd < 0 || file_extents(fd, &key, NULL) < 0)
            continue;
        key.b[0] ^= (uint8_t)file->fsid;
        clones += map_get(&seen, &key, &other);
        map_put(&seen, &key, i);
    }
    map_release(&seen);
    return clones;
}

/* Keeps the group that was gathered, if it has more than one place; another one begins. */
static void end_group(struct search *s)
{
    struct duplicate_group *group = &s->group;
    struct duplicates *ret = s->ret;
    group->clones = group->kind == DUPLICATE_FILES ? count_clones(s, group) : 0;
    if (group->count > group->clones + 1) {
        size_t bytes = group->count * sizeof *group->places;
        struct duplicate_place *places = group->places;
        size_t copies = group->kind == DUPLICATE_FORMATS ? 2 : group->count - group->clones;
        group->wasted = group->bytes * (copies - 1);
        group->across = is_across(s, group);
        group->places = arena_alloc(&ret->arena, bytes);
        memcpy(group->places, places, bytes);
        *ARRAY_ADD(ret->groups, ret->count, ret->cap) = *group;
        ret->wasted += group->wasted;
        group->places = places;
    }
    *group = (struct duplicate_group){.places = group->places};
}

static void add_place(struct search *s, uint32_t file, const char *tensor, size_t len)
{
    *ARRAY_ADD(s->group.places, s->group.count, s->cap) =
        (struct duplicate_place){file, s->owners[file], tensor, len};
}

/* ---- files ---- */

static int by_content(const void *a, const void *b, void *context)
{
    const struct library *library = context;
    const struct lib_file *x = &library->files[*(const uint32_t *)a];
    const struct lib_file *y = &library->files[*(const uint32_t *)b];
    int order = memcmp(&x->content, &y->content, sizeof x->content);
    return order ? order : *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

/* The content id of a file covers its size: equal ids are equal files. */
static void find_files(struct search *s)
{
    const struct library *library = s->library;
    AUTO_FREE uint32_t *order = mem_alloc((library->file_count + 1) * sizeof *order);
    size_t count = 0;
    for (uint32_t i = 0; i < library->file_count; i++)
        if (counts(s, i))
            order[count++] = i;
    if (count)
        qsort_r(order, count, sizeof *order, by_content, (void *)library);
    for (size_t i = 0; i < count; i++) {
        const struct lib_file *file = &library->files[order[i]];
        bool same = i && hash128_equal(&file->content, &library->files[order[i - 1]].content);
        if (!same)
            end_group(s);
        s->twin[order[i]] = same;
        s->group.kind = DUPLICATE_FILES;
        s->group.bytes = file->disk;
        add_place(s, order[i], "", 0);
    }
    end_group(s);
}

/* ---- formats ---- */

/* Endings of one container; what has none of them is not compared. */
static const char *const containers[][6] = {
    {".safetensors"}, {".bin", ".pt", ".pth", ".ckpt"}, {".h5"}, {".msgpack"}, {".onnx"}, {".gguf"},
};

/* Of a file of a model that lies on disk, else -1. */
static int format_of(const struct search *s, const struct lib_model *m, size_t f)
{
    const struct lib_file *file = &s->library->files[m->files[f]];
    const char *name = m->file_names[f];
    if (file->state != FILE_PLAIN && file->state != FILE_KEPT)
        return -1;
    for (size_t i = 0; i < COUNT_OF(containers); i++)
        for (size_t k = 0; k < COUNT_OF(containers[i]) && containers[i][k]; k++)
            if (text_ends_with(name, containers[i][k]))
                return (int)i;
    return -1;
}

/*
 * Two containers of one model that hold about as many bytes: the same weights for two kinds of
 * loaders. What they hold is not compared.
 */
static void find_formats(struct search *s, int model)
{
    const struct lib_model *m = &s->library->models[model];
    uint64_t sums[COUNT_OF(containers)] = {0};
    for (size_t f = 0; f < m->file_count; f++) {
        int container = format_of(s, m, f);
        if (container >= 0 && s->owners[m->files[f]] == model)
            sums[container] += s->library->files[m->files[f]].size;
    }
    for (size_t i = 1; i < COUNT_OF(containers); i++) {
        size_t same = 0;
        while (same < i &&
               !(sums[same] && sums[i] > sums[same] / 100 * 98 && sums[i] < sums[same] / 100 * 102))
            same++;
        if (same == i)
            continue;
        s->group.kind = DUPLICATE_FORMATS;
        s->group.bytes = MIN(sums[same], sums[i]);
        for (size_t f = 0; f < m->file_count; f++) {
            int container = format_of(s, m, f);
            if (container == (int)same || container == (int)i)
                add_place(s, m->files[f], "", 0);
        }
        end_group(s);
        return;
    }
}

/* ---- tensors ---- */

static int file_of_row(const struct search *s, int64_t row)
{
    size_t low = 0, high = s->library->file_count;
    while (low < high) { /* files stand in the order of their rows */
        size_t middle = (low + high) / 2;
        if (s->library->files[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->library->file_count && s->library->files[low].row == row ? (int)low : -1;
}

/* Tensors come in the order of their ids. */
static int take_tensor(void *context, int64_t row, const struct tensor *t, const struct hash128 *id,
                       struct err *err)
{
    struct search *s = context;
    int file = file_of_row(s, row);
    if (file < 0 || !counts(s, (uint32_t)file) || s->twin[file])
        return 0;
    if (!hash128_equal(id, &s->id)) {
        end_group(s);
        s->id = *id;
        s->group.kind = DUPLICATE_TENSORS;
        s->group.bytes = t->bytes;
        s->group.dtype = t->dtype;
        s->group.dims = t->dims;
        s->group.shape = t->shape;
    }
    add_place(s, (uint32_t)file, t->name, t->name_len);
    return progress_check(s->progress, err);
}

static int by_wasted(const void *a, const void *b)
{
    const struct duplicate_group *x = a, *y = b;
    if (x->wasted != y->wasted)
        return x->wasted > y->wasted ? -1 : 1;
    const struct duplicate_place *p = &x->places[0], *q = &y->places[0];
    return p->file != q->file ? (p->file < q->file ? -1 : 1)
                              : text_natural_compare(p->tensor, q->tensor);
}

int ops_duplicates(struct ops *ops, const struct library *library, struct progress *progress,
                   struct duplicates *ret, struct err *err)
{
    size_t n = library->file_count + 1;
    AUTO_FREE int *owners = mem_alloc(n * sizeof *owners);
    AUTO_FREE bool *twin = mem_zalloc(n * sizeof *twin);
    *ret = (struct duplicates){0};
    struct search s = {
        .library = library, .progress = progress, .ret = ret, .owners = owners, .twin = twin};
    progress_phase(progress, "looking for duplicates");
    take_owners(&s);
    find_files(&s);
    for (size_t m = 0; m < library->model_count; m++)
        find_formats(&s, (int)m);
    int r =
        catalog_repeated_tensors(ops->catalog, DUPLICATE_LEAST, &ret->arena, take_tensor, &s, err);
    end_group(&s);
    free(s.group.places);
    if (r < 0) {
        duplicates_release(ret);
        return r;
    }
    if (ret->count)
        qsort(ret->groups, ret->count, sizeof *ret->groups, by_wasted);
    ret->count = MIN(ret->count, (size_t)DUPLICATES_MOST);
    return 0;
}

void duplicates_release(struct duplicates *duplicates)
{
    free(duplicates->groups);
    arena_release(&duplicates->arena);
    *duplicates = (struct duplicates){0};
}

const char *duplicate_kind_name(enum duplicate_kind kind)
{
    static const char *const names[] = {"tensor", "file", "formats"};
    return names[kind];
}

const char *duplicate_advice(const struct duplicate_group *group)
{
    static const char *const texts[] = {
        "compressing the models keeps the tensor once",
        "the files are equal: compressing them keeps the bytes once",
        "by their sizes the same weights in two formats: delete the one that nothing loads",
    };
    return texts[group->kind];
}
