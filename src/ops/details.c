/* SPDX-License-Identifier: MIT */
/* Details of a model and of a tensor. */
#include "ops/details.h"

#include "base/json.h"
#include "base/text.h"
#include "ops/compress.h"
#include "ops/side.h"
#include "ops/view.h"

#include <string.h>

enum {
    SAMPLE_BLOCK = 1 << 20,
    SAMPLE_BLOCKS = 64,
    PLACES_MOST = 100,
    BAR_WIDTH = 40,
    BARS_MOST = 24,
    FEW_ONE_IN = 1000, /* so few are told as one */
};

/* ---- a model ---- */

static void copy_tensor(struct arena *arena, const struct tensor *t, const struct hash128 *id,
                        const char *file, struct detail_tensor *ret)
{
    uint64_t *shape = arena_alloc(arena, (t->dims + 1) * sizeof *shape);
    if (t->dims)
        memcpy(shape, t->shape, t->dims * sizeof *shape);
    *ret = (struct detail_tensor){.name = arena_strndup(arena, t->name, t->name_len),
                                  .name_len = t->name_len,
                                  .shape = shape,
                                  .dims = t->dims,
                                  .dtype = t->dtype,
                                  .bytes = t->bytes,
                                  .id = *id,
                                  .file = file};
}

struct collecting {
    struct details *details;
    const struct progress *progress;
    const char *from, *file; /* the name of the file at hand, in the library and as a copy */
};

static int collect(void *context, const struct view_tensor *t)
{
    struct collecting *c = context;
    if (t->file != c->from)
        c->file = arena_strdup(&c->details->arena, t->file);
    c->from = t->file;
    copy_tensor(&c->details->arena, t->tensor, &t->id, c->file,
                ARRAY_ADD(c->details->tensors, c->details->count, c->details->cap));
    return progress_check(c->progress, NULL);
}

/* Names that begin alike stand together, whatever bytes they have. */
static int by_name(const void *a, const void *b)
{
    const struct detail_tensor *x = a, *y = b;
    int order = text_natural_compare(x->name, y->name);
    if (!order)
        order = memcmp(x->name, y->name, MIN(x->name_len, y->name_len));
    return order ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

struct remembering {
    struct details *details;
    const char *name;
};

static void remember(void *context, const char *line, size_t n)
{
    struct remembering *r = context;
    AUTO_BUF struct buf text = {0};
    if (log_describe(line, n, r->name, &text))
        path_list_push(&r->details->history, text.data);
}

int ops_details(struct ops *ops, const struct library *library, int model,
                struct progress *progress, struct details *ret, struct err *err)
{
    const struct lib_model *m = &library->models[model];
    struct collecting collecting = {.details = ret, .progress = progress};
    struct remembering remembering = {ret, m->name};
    *ret = (struct details){0};
    int r = view_tensors(ops, library, m, collect, &collecting, err);
    if (ret->count)
        qsort(ret->tensors, ret->count, sizeof *ret->tensors, by_name);
    if (r == 0)
        r = ops_log(ops, remember, &remembering, err);
    if (r < 0)
        details_release(ret);
    return r;
}

void details_release(struct details *details)
{
    free(details->tensors);
    path_list_release(&details->history);
    arena_release(&details->arena);
    *details = (struct details){0};
}

void details_shape(const uint64_t *shape, uint32_t dims, struct buf *out)
{
    if (!dims)
        buf_str(out, "scalar");
    for (uint32_t i = 0; i < dims; i++)
        buf_printf(out, "%s%llu", i ? "x" : "", (unsigned long long)shape[i]);
}

bool log_describe(const char *line, size_t n, const char *model, struct buf *out)
{
    char when[32], before[16], after[16];
    AUTO_JS js *entry = NULL;
    AUTO_BUF struct buf names = {0};
    if (js_parse(line, n, &entry, NULL) < 0)
        return false;
    const js *models = js_get(entry, "models");
    bool about = !model;
    for (size_t i = 0; i < js_count(models); i++) {
        const char *name = js_text(js_at(models, i));
        about |= name && model && strcmp(name, model) == 0;
        buf_printf(&names, "%s%s", i ? ", " : "", name ? name : "");
    }
    if (!about)
        return false;
    text_time(when, js_get_int(entry, "time", 0));
    text_size(before, (uint64_t)js_get_int(entry, "before", 0));
    text_size(after, (uint64_t)js_get_int(entry, "after", 0));
    const char *what = js_get_text(entry, "what"), *result = js_get_text(entry, "result");
    AUTO_FREE char *text =
        mem_printf("%s  %-12s %7s -> %7s  %s  %s", when, what ? what : "", before, after,
                   result ? result : "", names.len ? names.data : "");
    text_escape(out, text, strlen(text));
    return true;
}

/* ---- a tensor ---- */

struct looking {
    const struct library *library;
    struct tensor_look *look;
    struct ops *ops;
};

/* The tensor that begins there in a file, if it is one. */
static int name_place(struct looking *l, uint32_t file, uint64_t offset, struct err *err)
{
    struct catalog_tensors tensors;
    int r = catalog_tensors(l->ops->catalog, l->library->files[file].row, &tensors, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < tensors.layout.count; i++) {
        const struct tensor *t = &tensors.layout.tensors[i];
        if (t->offset != offset || !t->bytes)
            continue;
        *ARRAY_ADD(l->look->places, l->look->place_count, l->look->place_cap) =
            (struct tensor_place){
                NO_MODEL, file, arena_strndup(&l->look->arena, t->name, t->name_len), t->name_len};
        break;
    }
    catalog_tensors_release(&tensors);
    return 0;
}

struct found_place {
    char *path;
    uint64_t offset;
};
struct found_places {
    struct found_place *list;
    size_t count, cap;
};

static void add_place(void *context, const char *path, uint64_t offset, uint64_t bytes)
{
    struct found_places *found = context;
    (void)bytes;
    if (found->count < PLACES_MOST)
        *ARRAY_ADD(found->list, found->count, found->cap) =
            (struct found_place){mem_strdup(path), offset};
}

/* The first model that names each of the files. */
static void name_models(const struct library *library, struct tensor_look *look)
{
    for (size_t m = library->model_count; m-- > 0;)
        for (size_t f = 0; f < library->models[m].file_count; f++)
            for (size_t p = 0; p < look->place_count; p++)
                if (look->places[p].file == library->models[m].files[f])
                    look->places[p].model = (int)m;
}

static int find_places(struct looking *l, uint32_t own, uint64_t own_offset,
                       const struct progress *progress, struct err *err)
{
    struct found_places found = {0};
    int r =
        hash128_is_zero(&l->look->tensor.id)
            ? 0
            : catalog_find_tensors(l->ops->catalog, &l->look->tensor.id, add_place, &found, err);
    for (size_t i = 0; i < found.count; i++) {
        r = r == 0 ? progress_check(progress, err) : r;
        for (uint32_t f = 0; f < l->library->file_count && r == 0; f++)
            if (strcmp(l->library->files[f].path, found.list[i].path) == 0 &&
                !(f == own && found.list[i].offset == own_offset)) {
                r = name_place(l, f, found.list[i].offset, err);
                break;
            }
        free(found.list[i].path);
    }
    free(found.list);
    name_models(l->library, l->look);
    return r;
}

/* All of it, or blocks from everywhere in it. */
static int read_spread(const struct source *source, struct progress *progress,
                       struct tensor_look *look, struct err *err)
{
    const struct tensor *t = source->tensor;
    unsigned width = dtype_width(t->dtype);
    uint64_t blocks = (t->bytes + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK;
    uint64_t taken = MIN(blocks, (uint64_t)SAMPLE_BLOCKS);
    struct content_work *work = content_work_new();
    AUTO_FREE uint8_t *data = mem_alloc(SAMPLE_BLOCK);
    int r = 0;
    for (uint64_t i = 0; i < taken && r == 0; i++) {
        uint64_t at = i * blocks / taken * SAMPLE_BLOCK;
        size_t n = (size_t)MIN(t->bytes - at, (uint64_t)SAMPLE_BLOCK);
        r = progress_check(progress, err);
        if (r == 0)
            r = bytes_read(&source->at, at, data, n, work, err);
        if (r == 0)
            exponents_add(&look->spread, t->dtype, data, n / width);
        progress_add(progress, n);
    }
    content_work_free(work);
    return r;
}

static bool find_name(const struct side *side, const char *name, size_t n, size_t *ret_file,
                      size_t *ret_index)
{
    for (size_t f = 0; f < side->count; f++)
        for (size_t i = 0; i < side->files[f].tensors.layout.count; i++) {
            const struct tensor *t = &side->files[f].tensors.layout.tensors[i];
            if (t->name_len != n || memcmp(t->name, name, n) != 0)
                continue;
            *ret_file = f;
            *ret_index = i;
            return true;
        }
    return false;
}

int ops_tensor(struct ops *ops, const struct library *library, int model, const char *name,
               size_t name_len, struct progress *progress, struct tensor_look *ret, struct err *err)
{
    struct side side = {0};
    size_t file = 0, index = 0;
    *ret = (struct tensor_look){0};
    int r = side_open(ops, library, model, &side, err);
    if (r == 0 && !find_name(&side, name, name_len, &file, &index))
        r = err_set(err, ERR_NOTFOUND, "%s has no tensor of this name: %.*s",
                    library->models[model].name, (int)MIN(name_len, 200u), name);
    if (r == 0) {
        const struct catalog_tensors *tensors = &side.files[file].tensors;
        const struct tensor *t = &tensors->layout.tensors[index];
        struct looking looking = {library, ret, ops};
        struct source source = {0};
        copy_tensor(&ret->arena, t, &tensors->ids[index],
                    arena_strdup(&ret->arena, library->models[model].file_names[file]),
                    &ret->tensor);
        ret->all = tensor_elements(t);
        progress_phase(progress, "reading");
        r = dtype_is_float(t->dtype) ? source_open(&side.files[file], index, &source, err) : 0;
        if (r == 0 && source.tensor)
            r = read_spread(&source, progress, ret, err);
        source_close(&source);
        if (r == 0)
            r = find_places(&looking, library->models[model].files[file], t->offset, progress, err);
    }
    side_close(&side);
    if (r < 0)
        tensor_look_release(ret);
    return r;
}

void tensor_look_release(struct tensor_look *look)
{
    free(look->places);
    arena_release(&look->arena);
    *look = (struct tensor_look){0};
}

/* ---- as text ---- */

static void put_bar(const char *label, uint64_t count, uint64_t most, uint64_t all, struct buf *out)
{
    int width = count ? MAX((int)((double)count / (double)most * BAR_WIDTH + 0.5), 1) : 0;
    buf_printf(out, "%8s ", label);
    for (int i = 0; i < BAR_WIDTH; i++)
        buf_str(out, i >= width ? " " : text_utf8() ? "█" : "#");
    buf_printf(out, " %6.2f%%\n", (double)count * 100 / (double)MAX(all, 1u));
}

/* The exponents that occur, the largest first; what is far below goes into one line. */
static void put_spread(const struct tensor_look *look, struct buf *out)
{
    const struct exponents *s = &look->spread;
    enum dtype dtype = look->tensor.dtype;
    unsigned top = EXPONENTS, bottom = 0;
    uint64_t most = s->zeros, below = 0;
    for (unsigned i = 0; i < EXPONENTS; i++) {
        most = MAX(most, s->counts[i]);
        if (!s->counts[i])
            continue;
        bottom = top == EXPONENTS ? i : bottom;
        top = i;
    }
    if (top == EXPONENTS && !s->zeros)
        return;
    buf_str(out, " \n  size of   share of the numbers\n");
    if (top != EXPONENTS) {
        unsigned last = bottom;
        while (last < top &&
               (below + s->counts[last] < s->elements / FEW_ONE_IN || top - last >= BARS_MOST))
            below += s->counts[last++];
        for (unsigned i = top + 1; i-- > last;) {
            char label[16];
            snprintf(label, sizeof label, "2^%d", exponents_power(dtype, i));
            put_bar(label, s->counts[i], most, s->elements, out);
        }
        if (below)
            put_bar("smaller", below, most, s->elements, out);
    }
    if (s->zeros)
        put_bar("zero", s->zeros, most, s->elements, out);
    if (s->infinities || s->nans)
        buf_printf(out, "   %llu infinite, %llu no number (NaN)\n",
                   (unsigned long long)s->infinities, (unsigned long long)s->nans);
    if (s->elements < look->all)
        buf_printf(out, "   of %llu samples\n", (unsigned long long)s->elements);
}

static void put_places(const struct library *library, const struct tensor_look *look,
                       struct buf *out)
{
    if (hash128_is_zero(&look->tensor.id)) {
        buf_str(out, "not hashed yet: where else it stands is not known\n");
        return;
    }
    if (!look->place_count)
        buf_str(out, "this content stands nowhere else\n");
    else
        buf_printf(out, "the same content stands in %zu other place%s\n", look->place_count,
                   look->place_count == 1 ? "" : "s");
    for (size_t i = 0; i < look->place_count; i++) {
        const struct tensor_place *p = &look->places[i];
        AUTO_FREE char *where = text_safe(p->model == NO_MODEL ? library->files[p->file].path
                                                               : library->models[p->model].name);
        buf_printf(out, "  %s  ", where);
        text_escape(out, p->name, p->name_len);
        buf_char(out, '\n');
    }
}

void tensor_look_text(const struct library *library, const struct tensor_look *look,
                      struct buf *out)
{
    const struct detail_tensor *t = &look->tensor;
    char size[16], id[HASH128_HEX];
    text_size(size, t->bytes);
    buf_printf(out, "%s  ", dtype_name(t->dtype));
    details_shape(t->shape, t->dims, out);
    buf_printf(out, "  %llu elements  %s\n", (unsigned long long)look->all, size);
    if (!hash128_is_zero(&t->id)) {
        hash128_hex(id, &t->id);
        buf_printf(out, "content %s\n", id);
    }
    put_places(library, look, out);
    put_spread(look, out);
}
