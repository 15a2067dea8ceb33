/* SPDX-License-Identifier: MIT */
/* Orders and filters of lists, and the tensors of a model. */
#include "ops/view.h"

#include "base/text.h"
#include "catalog/catalog.h"

#include <string.h>

static const char *const sort_names[VIEW_SORTS] = {"name",  "size", "disk",
                                                   "frees", "read", "modified"};

const char *view_sort_name(enum view_sort sort)
{
    return sort_names[sort];
}

bool view_sort_parse(const char *name, enum view_sort *ret)
{
    for (int i = 0; i < VIEW_SORTS; i++) {
        if (strcmp(sort_names[i], name) == 0) {
            *ret = (enum view_sort)i;
            return true;
        }
    }
    return false;
}

struct sort_key {
    int64_t number;
    const struct lib_model *model;
};

static int64_t number_of(const struct lib_model *model, enum view_sort sort)
{
    switch (sort) {
    case VIEW_SIZE:
        return (int64_t)model->size;
    case VIEW_DISK:
        return (int64_t)model->disk;
    case VIEW_FREES:
        return model->frees_known ? model->frees : INT64_MIN;
    case VIEW_READ:
        return model->read;
    case VIEW_MODIFIED:
        return model->modified;
    default:
        return 0;
    }
}

static int by_key(const void *a, const void *b)
{
    const struct sort_key *x = a, *y = b;
    if (x->number != y->number)
        return x->number > y->number ? -1 : 1;
    return x->model->place < y->model->place ? -1 : 1;
}

/* Whether every word of the filter stands somewhere in the model's name, source or flags. */
static bool matches(const struct lib_model *model, const char *filter)
{
    const char *flags[8];
    size_t count = model_flags(model, flags);
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "%s %s %s", model->name, model->source, dtype_name(model_dtype(model)));
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, " %s", flags[i]);
    return text_has_words(text.data, filter);
}

int *view_order(const struct library *library, enum view_sort sort, bool reverse,
                const char *filter, size_t *ret_count)
{
    AUTO_FREE struct sort_key *keys = mem_alloc((library->model_count + 1) * sizeof *keys);
    int *order = mem_alloc((library->model_count + 1) * sizeof *order);
    size_t count = 0;
    for (size_t i = 0; i < library->model_count; i++) {
        const struct lib_model *model = &library->models[i];
        if (!filter || !*filter || matches(model, filter))
            keys[count++] = (struct sort_key){number_of(model, sort), model};
    }
    if (count)
        qsort(keys, count, sizeof *keys, by_key);
    for (size_t i = 0; i < count; i++)
        order[i] = (int)(keys[reverse ? count - 1 - i : i].model - library->models);
    *ret_count = count;
    return order;
}

int view_tensors(struct ops *ops, const struct library *library, const struct lib_model *model,
                 int (*found)(void *context, const struct view_tensor *tensor), void *context,
                 struct err *err)
{
    int r = 0;
    for (size_t f = 0; f < model->file_count && r == 0; f++) {
        struct catalog_tensors tensors;
        r = catalog_tensors(ops->catalog, library->files[model->files[f]].row, &tensors, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < tensors.layout.count && r == 0; i++) {
            const struct view_tensor tensor = {&tensors.layout.tensors[i], tensors.ids[i],
                                               model->file_names[f]};
            r = found(context, &tensor);
        }
        catalog_tensors_release(&tensors);
    }
    return r;
}
