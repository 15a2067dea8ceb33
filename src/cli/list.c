/* SPDX-License-Identifier: MIT */
/* tare list, tare show */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/delta.h"
#include "ops/details.h"
#include "ops/tree.h"
#include "ops/view.h"

#include <string.h>
#include <time.h>

static void put_dtypes(js *object, const uint64_t bytes[DTYPE_COUNT])
{
    js *dtypes = js_object();
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (bytes[i])
            js_put_int(dtypes, dtype_name((enum dtype)i), (int64_t)bytes[i]);
    js_put(object, "dtypes", dtypes);
}

static void put_time(js *object, const char *key, int64_t seconds)
{
    if (seconds)
        js_put_int(object, key, seconds);
    else
        js_put(object, key, js_null());
}

js *cli_model_json(const struct library *library, const struct lib_model *model)
{
    js *object = js_object(), *formats = js_list(), *flags = js_list();
    const char *words[8];
    size_t word_count = model_flags(model, words);
    bool seen[2] = {false, false};
    for (size_t i = 0; i < model->file_count; i++) {
        enum format format = library->files[model->files[i]].format;
        if (!seen[format])
            js_push(formats, js_of_text(format_name(format)));
        seen[format] = true;
    }
    for (size_t i = 0; i < word_count; i++)
        js_push(flags, js_of_text(words[i]));
    js_put_text(object, "id", model->id);
    js_put_name(object, "name", model->name, strlen(model->name));
    js_put_text(object, "source", model->source);
    js_put_name(object, "path", model->path, strlen(model->path));
    js_put_text(object, "revision", *model->revision ? model->revision : NULL);
    js_put(object, "formats", formats);
    put_dtypes(object, model->dtype_bytes);
    js_put_int(object, "files", (int64_t)model->file_count);
    js_put_int(object, "tensors", (int64_t)model->tensors);
    js_put_int(object, "parameters", (int64_t)model->parameters);
    js_put_int(object, "size", (int64_t)model->size);
    js_put_int(object, "disk", (int64_t)model->disk);
    js_put_int(object, "unique", (int64_t)model->unique);
    if (model->frees_known)
        js_put_int(object, "frees", model->frees);
    else
        js_put(object, "frees", js_null());
    js_put_int(object, "stored", (int64_t)model->stored);
    js_put_text(object, "state",
                model->state == MODEL_KEPT ? "plain" : model_state_name(model->state));
    js_put_text(object, "base", model->base == NO_MODEL ? NULL : library->models[model->base].id);
    put_time(object, "modified", model->modified);
    put_time(object, "read", model->read);
    js_put(object, "flags", flags);
    return object;
}

static void print_row(const struct lib_model *model, int name_width)
{
    char size[16], disk[16], frees[16] = "-", age[16] = "?";
    const char *words[8];
    size_t count = model_flags(model, words);
    AUTO_FREE char *safe = text_safe(model->name);
    AUTO_BUF struct buf name = {0};
    text_fit(&name, safe, name_width);
    text_size(size, model->size);
    text_size(disk, model->disk);
    if (model->frees_known && model->frees > 0 && model->state != MODEL_COMPRESSED)
        text_size(frees, (uint64_t)model->frees);
    if (model->read)
        text_age(age, time(NULL) - model->read);
    printf("%s  %-6s  %-9s %7s %7s %7s %6s ", name.data, model->source,
           dtype_name(model_dtype(model)), model->state == MODEL_COMPRESSED ? "-" : size, disk,
           frees, age);
    for (size_t i = 0; i < count; i++)
        printf(" %s", words[i]);
    putchar('\n');
}

static void print_list(const struct library *library, const int *order, size_t count)
{
    char size[16], disk[16], frees[16], stored[16];
    int width = 4;
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *safe = text_safe(library->models[order[i]].name);
        width = MAX(width, MIN(text_width(safe), 60));
    }
    printf("%-*s  %-6s  %-9s %7s %7s %7s %6s  %s\n", width, "NAME", "SOURCE", "DTYPE", "SIZE",
           "DISK", "FREES", "READ", "FLAGS");
    for (size_t i = 0; i < count; i++)
        print_row(&library->models[order[i]], width);
    text_size(size, library->size);
    text_size(disk, library->disk);
    text_size(frees, library->frees);
    text_size(stored, library->stored);
    printf("%zu models, %s (%s on disk, %s of it in stores); compressing each alone frees up to "
           "%s\n",
           library->model_count, size, disk, stored, frees);
}

static js *list_json(const struct library *library, const int *order, size_t count)
{
    js *document = js_object(), *models = js_list(), *totals = js_object();
    for (size_t i = 0; i < count; i++)
        js_push(models, cli_model_json(library, &library->models[order[i]]));
    js_put_int(totals, "models", (int64_t)library->model_count);
    js_put_int(totals, "size", (int64_t)library->size);
    js_put_int(totals, "disk", (int64_t)library->disk);
    js_put_int(totals, "frees", (int64_t)library->frees);
    js_put_int(totals, "stored", (int64_t)library->stored);
    js_put(document, "models", models);
    js_put(document, "totals", totals);
    return document;
}

int cli_list(struct cli *cli)
{
    struct library *library;
    struct err err = {0};
    enum view_sort sort = VIEW_FREES;
    size_t count;
    if (cli->sort && !view_sort_parse(cli->sort, &sort)) {
        err_set(&err, ERR_USAGE, "--sort takes name, size, disk, frees, read or modified");
        return cli_fail(&err);
    }
    if (cli_library(cli, &library, &err) < 0)
        return cli_fail(&err);
    AUTO_FREE int *order = view_order(library, sort, false, cli->filter, &count);
    if (cli->json)
        cli_print_json(list_json(library, order, count));
    else
        print_list(library, order, count);
    library_unref(library);
    return EXIT_DONE;
}

static js *tensor_json(const struct view_tensor *t)
{
    js *object = js_object(), *shape = js_list();
    char id[HASH128_HEX];
    js_put_name(object, "name", t->tensor->name, t->tensor->name_len);
    js_put_text(object, "dtype", dtype_name(t->tensor->dtype));
    for (uint32_t i = 0; i < t->tensor->dims; i++)
        js_push(shape, t->tensor->shape[i] > INT64_MAX ? js_of_text("more than 2^63")
                                                       : js_of_int((int64_t)t->tensor->shape[i]));
    js_put(object, "shape", shape);
    js_put_int(object, "bytes", (int64_t)t->tensor->bytes);
    hash128_hex(id, &t->id);
    js_put_text(object, "id", hash128_is_zero(&t->id) ? NULL : id);
    js_put_name(object, "file", t->file, strlen(t->file));
    return object;
}

static void put_files(js *document, const struct library *library, const struct lib_model *model)
{
    js *files = js_list(), *claims = js_list();
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &library->files[model->files[i]];
        js *object = js_object();
        js_put_name(object, "path", file->path, strlen(file->path));
        js_put_int(object, "size", (int64_t)file->size);
        js_put_text(object, "state", file_state_name(file->state));
        js_put_text(object, "sha256",
                    file->digest && digest_of_name(file->digest) == DIGEST_SHA256 ? file->digest
                                                                                  : NULL);
        js_push(files, object);
    }
    for (size_t i = 0; i < model->claim_count; i++) {
        js *object = js_object();
        js_put_text(object, "kind", model->claims[i].kind_name);
        js_put_name(object, "target", model->claims[i].target, strlen(model->claims[i].target));
        js_put_text(object, "detail", model->claims[i].detail);
        js_push(claims, object);
    }
    js_put(document, "files", files);
    js_put(document, "claims", claims);
    js_put(document, "parents", cli_parents_json(library, (int)(model - library->models)));
}

static int add_tensor(void *context, const struct view_tensor *tensor)
{
    js_push(context, tensor_json(tensor));
    return 0;
}

static int print_tensor(void *context, const struct view_tensor *tensor)
{
    const struct tensor *t = tensor->tensor;
    AUTO_BUF struct buf shape = {0}, name = {0};
    char size[16];
    (void)context;
    details_shape(t->shape, t->dims, &shape);
    text_escape(&name, t->name, t->name_len);
    text_size(size, t->bytes);
    printf("  %-9s %-18s %7s  %s\n", dtype_name(t->dtype), shape.data, size, name.data);
    return 0;
}

/* One line for each parent, and who descends from it. */
static void print_lineage(const struct library *library, int index)
{
    struct tree_parent parents[TREE_PARENTS];
    size_t count = tree_parents(library, index, parents), children = 0;
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf line = {0};
        tree_describe_parent(&parents[i], &line);
        cli_print("  parent     %s%s  %s\n", parents[i].name,
                  parents[i].model == NO_MODEL ? " (not here)" : "", line.data);
    }
    for (size_t i = 0; i < library->model_count; i++)
        children += library->models[i].base == index;
    if (children)
        printf("  children   %zu\n", children);
}

static void print_model(const struct library *library, const struct lib_model *model)
{
    char size[16], disk[16], stored[16], when[32];
    text_size(size, model->size);
    text_size(disk, model->disk);
    text_size(stored, model->stored);
    text_time(when, model->modified);
    cli_print("%s\n", model->name);
    cli_print("  id         %s\n", model->id);
    cli_print("  path       %s\n", model->path);
    if (*model->revision)
        cli_print("  revision   %s\n", model->revision);
    cli_print("  state      %s\n", model_state_name(model->state));
    cli_print("  size       %s in %zu files, %s on disk, %s in the store\n", size,
              model->file_count, disk, stored);
    cli_print("  holds      %llu tensors, %llu parameters, mostly %s\n",
              (unsigned long long)model->tensors, (unsigned long long)model->parameters,
              dtype_name(model_dtype(model)));
    cli_print("  modified   %s\n", when);
    print_lineage(library, (int)(model - library->models));
    for (size_t i = 0; i < model->claim_count; i++) {
        const struct lib_claim *claim = &model->claims[i];
        bool words = *claim->detail, target = *claim->target;
        cli_print("  %-10s says: %s%s%s\n", claim->kind_name, words ? claim->detail : "comes from",
                  !target ? ""
                  : words ? " of "
                          : " ",
                  claim->target);
    }
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &library->files[model->files[i]];
        text_size(size, file->size);
        cli_print("  file       %s  %s  %s%s%s%s%s\n", model->file_names[i], size,
                  file_state_name(file->state), file->links > 1 ? "  hard-linked" : "",
                  file->flags & FILE_SPARSE ? "  sparse" : "",
                  file->flags & FILE_TRAILING ? "  trailing bytes" : "",
                  file->flags & FILE_UNALIGNED ? "  unaligned tensors" : "");
        if (file->error)
            cli_print("             %s\n", file->error);
    }
}

struct exact_work {
    struct cli *cli;
    struct library *library;
    int model;
    struct delta_report report;
    struct err *err;
};

static int run_exact(void *context, struct progress *progress)
{
    struct exact_work *work = context;
    int base = work->library->models[work->model].base;
    return base == NO_MODEL ? err_set(work->err, ERR_REFUSED, "it has no parent to compare it with")
                            : ops_delta(work->cli->ops, work->library, work->model, base, progress,
                                        &work->report, work->err);
}

/* Reads the model and its parent, and tells in how many bits they differ. */
static int show_exact(struct cli *cli, struct library *library, int model, js *document,
                      struct err *err)
{
    struct exact_work work = {.cli = cli, .library = library, .model = model, .err = err};
    int r = cli_run(cli, run_exact, &work);
    if (r == 0 && document)
        js_put_real(document, "exact_distance", compare_bit_distance(&work.report.total));
    else if (r == 0)
        printf("  exactly    %.4f/16 bits, over %llu elements\n",
               compare_bit_distance(&work.report.total),
               (unsigned long long)work.report.total.elements);
    delta_report_release(&work.report);
    return r;
}

struct tensor_work {
    struct cli *cli;
    struct library *library;
    int model;
    struct tensor_look look;
    struct err *err;
};

static int run_tensor(void *context, struct progress *progress)
{
    struct tensor_work *work = context;
    const char *name = work->cli->tensor;
    return ops_tensor(work->cli->ops, work->library, work->model, name, strlen(name), progress,
                      &work->look, work->err);
}

static js *look_json(const struct library *library, const struct tensor_look *look)
{
    const struct exponents *s = &look->spread;
    js *object = js_object(), *exponents = js_object(), *places = js_list();
    js_put_name(object, "name", look->tensor.name, look->tensor.name_len);
    js_put_text(object, "dtype", dtype_name(look->tensor.dtype));
    js_put_int(object, "bytes", (int64_t)look->tensor.bytes);
    js_put_int(object, "elements", (int64_t)look->all);
    js_put_int(object, "sampled", (int64_t)s->elements);
    js_put_int(object, "zeros", (int64_t)s->zeros);
    js_put_int(object, "infinities", (int64_t)s->infinities);
    js_put_int(object, "nans", (int64_t)s->nans);
    for (unsigned i = 0; i < EXPONENTS; i++) {
        char power[16];
        snprintf(power, sizeof power, "%d", exponents_power(look->tensor.dtype, i));
        if (s->counts[i]) /* subnormal ones count with the smallest */
            js_put_int(exponents, power, js_get_int(exponents, power, 0) + (int64_t)s->counts[i]);
    }
    js_put(object, "exponents", exponents);
    for (size_t i = 0; i < look->place_count; i++) {
        const struct tensor_place *p = &look->places[i];
        js *place = js_object();
        js_put_text(place, "model", p->model == NO_MODEL ? NULL : library->models[p->model].id);
        js_put_name(place, "file", library->files[p->file].path,
                    strlen(library->files[p->file].path));
        js_put_name(place, "tensor", p->name, p->name_len);
        js_push(places, place);
    }
    js_put(object, "places", places);
    return object;
}

/* show --tensor: one tensor, its numbers and where else it stands. */
static int show_tensor(struct cli *cli, struct library *library, int model, struct err *err)
{
    struct tensor_work work = {.cli = cli, .library = library, .model = model, .err = err};
    AUTO_BUF struct buf text = {0};
    int r = cli_run(cli, run_tensor, &work);
    if (r < 0)
        return r;
    if (cli->json) {
        cli_print_json(look_json(library, &work.look));
    } else {
        tensor_look_text(library, &work.look, &text);
        cli_print("%s\n", cli->tensor);
        fputs(text.data, stdout);
    }
    tensor_look_release(&work.look);
    return 0;
}

int cli_show(struct cli *cli)
{
    struct library *library;
    struct err err = {0};
    int index;
    int r = cli_library(cli, &library, &err);
    if (r < 0)
        return cli_fail(&err);
    r = ops_find_model(library, cli->args[0], &index, &err);
    if (r < 0) {
        library_unref(library);
        return cli_fail(&err);
    }
    const struct lib_model *model = &library->models[index];
    if (cli->tensor) {
        r = show_tensor(cli, library, index, &err);
    } else if (cli->json) {
        js *document = cli_model_json(library, model), *tensors = js_list();
        put_files(document, library, model);
        r = view_tensors(cli->ops, library, model, add_tensor, tensors, &err);
        js_put(document, "tensors", tensors);
        if (r == 0 && cli->given & OPT_EXACT)
            r = show_exact(cli, library, index, document, &err);
        cli_print_json(document);
    } else {
        print_model(library, model);
        if (cli->given & OPT_EXACT)
            r = show_exact(cli, library, index, NULL, &err);
        if (r == 0)
            r = view_tensors(cli->ops, library, model, print_tensor, NULL, &err);
    }
    library_unref(library);
    return r < 0 ? cli_fail(&err) : EXIT_DONE;
}
