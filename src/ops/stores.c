/* SPDX-License-Identifier: MIT */
/* Which stores there are, and which one a file belongs into. */
#include "ops/ops.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "ops/config.h"
#include "ops/trust.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A store that lost its format file is one all the same. */
static bool is_store(const char *path)
{
    AUTO_FREE char *format = file_join(path, "format"), *files = file_join(path, "files");
    AUTO_FREE char *objects = file_join(path, "objects");
    return access(format, F_OK) == 0 || (access(files, F_OK) == 0 && access(objects, F_OK) == 0);
}

static void add_if_store(struct path_list *list, const char *path)
{
    if (is_store(path))
        path_list_add(list, path);
}

/* The places a root's models may have been stored at. */
static void add_near(struct path_list *list, const char *root)
{
    AUTO_FREE char *parent = file_dir(root);
    AUTO_FREE char *beside = file_join(parent, ".tare"), *inside = file_join(root, ".tare");
    add_if_store(list, beside);
    add_if_store(list, inside);
}

static void found_store(void *context, const char *path)
{
    add_if_store(context, path);
}

static void found_root(void *context, const char *path)
{
    add_near(context, path);
}

int ops_check_store(const struct ops *ops, struct err *err)
{
    if (!ops->options.store || is_store(ops->options.store))
        return 0;
    return err_set(err, ERR_NOTFOUND, "%s: there is no store", ops->options.store);
}

void ops_stores(struct ops *ops, struct path_list *ret)
{
    if (ops->options.store) {
        add_if_store(ret, ops->options.store);
        return;
    }
    AUTO_FREE char *home = ops_data_home();
    AUTO_FREE char *usual = file_join(home, "store");
    add_if_store(ret, usual);
    for (size_t i = 0; i < ops->config->stores.count; i++)
        add_if_store(ret, ops->config->stores.paths[i]);
    trust_each_made(found_store, ret);
    (void)catalog_stores(ops->catalog, found_store, ret, NULL);
    (void)catalog_roots(ops->catalog, found_root, ret, NULL);
}

/* The device of the path, or of its nearest parent that exists. */
static dev_t device_of(const char *path)
{
    struct stat st;
    AUTO_FREE char *place = mem_strdup(path);
    while (stat(place, &st) < 0) {
        char *slash = strrchr(place, '/');
        if (!slash)
            return 0;
        slash[slash == place] = '\0';
        if (slash == place && stat(place, &st) < 0)
            return 0;
    }
    return st.st_dev;
}

char *ops_store_for(const struct ops *ops, const struct lib_model *model, const char *path)
{
    if (ops->options.store)
        return mem_strdup(ops->options.store);
    for (size_t i = 0; i < ops->config->stores.count; i++)
        if (device_of(ops->config->stores.paths[i]) == device_of(path))
            return mem_strdup(ops->config->stores.paths[i]);
    AUTO_FREE char *home = ops_data_home(), *usual = file_join(home, "store");
    if (!ops->options.shared && device_of(usual) == device_of(path))
        return TAKE_PTR(usual);
    if (strcmp(model->source, "hf") != 0)
        return file_join(model->root, ".tare");
    AUTO_FREE char *parent = file_dir(model->root);
    return file_join(parent, ".tare");
}

int ops_open_store(struct ops *ops, const char *path, const char *command,
                   struct progress *progress, struct store **ret, struct buf *notes,
                   struct err *err)
{
    const struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
    const struct store_access access = trust_access(ops);
    bool told = false;
    for (;;) {
        int r = store_open(path, STORE_WRITE, &access, command, ret, notes, err);
        if (r != ERR_LOCKED || !ops->options.wait)
            return r;
        if (!told && notes && err)
            buf_printf(notes, "waited: %s\n", err->text);
        told = true;
        progress_phase(progress, "waiting for another tare");
        if (progress_check(progress, err) < 0)
            return ERR_CANCELLED;
        nanosleep(&pause, NULL);
    }
}

int ops_read_store(struct ops *ops, const char *path, struct store **ret, struct buf *notes,
                   struct err *err)
{
    const struct store_access access = trust_access(ops);
    return store_open(path, STORE_GIVE, &access, NULL, ret, notes, err);
}

void ops_remember_store(struct ops *ops, const char *path)
{
    (void)catalog_add_store(ops->catalog, path, NULL);
}
