/* SPDX-License-Identifier: MIT */
/* Doctor: where everything is, and what is missing on this machine. */
#include "ops/doctor.h"

#include "base/file.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "ops/compress.h"
#include "ops/scan.h"
#include "sources/sources.h"
#include "store/store.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void check_store(struct doctor_report *report, const char *path)
{
    struct store *store;
    struct err err;
    if (store_open(path, STORE_READ, NULL, NULL, &store, NULL, &err) < 0) {
        path_list_add(&report->problems, err.text);
        return;
    }
    if (store_absent_count(store)) {
        AUTO_FREE char *text = mem_printf("%s: %zu manifest(s) cannot be read (tare verify)", path,
                                          store_absent_count(store));
        path_list_add(&report->problems, text);
    }
    verify_companions(store, &report->problems);
    store_close(store);
}

static void check_root(struct doctor_report *report, const char *path)
{
    struct statvfs vfs;
    AUTO_FREE char *text = NULL;
    if (access(path, R_OK | X_OK) < 0)
        text = mem_printf("%s: cannot be read", path);
    else if (access(path, W_OK) < 0)
        text = mem_printf("%s: cannot be written: its models can be seen, not compressed", path);
    else if (statvfs(path, &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize < 1000000000)
        text = mem_printf("%s: less than 1 GB is free there", path);
    if (text)
        path_list_add(&report->problems, text);
}

/* What the last verify found. */
static void check_models(struct ops *ops, struct doctor_report *report)
{
    struct library *library;
    if (ops_library(ops, &library, NULL) < 0)
        return;
    for (size_t i = 0; i < library->model_count; i++) {
        AUTO_FREE char *text = mem_printf(
            "%s: what is stored of it is damaged (tare verify --repair)", library->models[i].name);
        if (library->models[i].state == MODEL_DAMAGED)
            path_list_add(&report->problems, text);
    }
    library_unref(library);
}

int ops_doctor(struct ops *ops, struct doctor_report *ret, struct err *err)
{
    static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                            "XDG_CACHE_HOME"};
    (void)err;
    *ret = (struct doctor_report){.hub = source_hub_path(),
                                  .catalog = mem_strdup(ops->options.catalog)};
    for (size_t i = 0; i < COUNT_OF(variables) && !ret->hub_variable; i++)
        if (getenv(variables[i]) && *getenv(variables[i]))
            ret->hub_variable = variables[i];
    ret->hub_exists = access(ret->hub, F_OK) == 0;
    ops_default_roots(ops, &ret->roots);
    ops_stores(ops, &ret->stores);
    for (size_t i = 0; i < ret->roots.count; i++)
        check_root(ret, ret->roots.paths[i]);
    for (size_t i = 0; i < ret->stores.count; i++)
        check_store(ret, ret->stores.paths[i]);
    check_models(ops, ret);
    if (catalog_kind(ops->catalog) == CATALOG_MEMORY)
        path_list_add(&ret->problems, "the catalog cannot be written: it is kept in memory");
    if (!text_utf8())
        path_list_add(&ret->problems, "the locale is not UTF-8: names are shown in ASCII");
    return 0;
}

void doctor_report_release(struct doctor_report *report)
{
    path_list_release(&report->roots);
    path_list_release(&report->stores);
    path_list_release(&report->problems);
    free(report->hub);
    free(report->catalog);
}
