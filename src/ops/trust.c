/* SPDX-License-Identifier: MIT */
/* Which stores this user made or trusts. */
#include "ops/trust.h"

#include "base/file.h"
#include "ops/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_LIMIT = 1 << 20 };
#define SYSTEM_LIST "/etc/tare/trusted"

char *ops_data_home(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data)
        return file_join(data, "tare");
    return file_join(home ? home : "/tmp", ".local/share/tare");
}

/* A list of this user's own: its text, or nothing. */
static void read_list(const char *name, struct buf *ret)
{
    AUTO_FREE char *home = ops_data_home(), *path = file_join(home, name);
    (void)file_read_all(AT_FDCWD, path, LIST_LIMIT, ret, NULL);
}

static int write_list(const char *name, const struct buf *text, struct err *err)
{
    AUTO_FREE char *home = ops_data_home();
    int r = file_make_dirs(home, err);
    AUTO_FD int dir = r < 0 ? r : file_open_dir(AT_FDCWD, home, err);
    return dir < 0 ? dir
                   : file_replace(dir, name, text->data ? text->data : "", text->len, 0600, err);
}

/* Calls found for each line that is not empty; the text is cut up. */
static void each_line(struct buf *text, void (*found)(void *context, const char *line),
                      void *context)
{
    char *save = NULL;
    for (char *line = text->data ? strtok_r(text->data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        found(context, line);
}

void trust_each_made(void (*found)(void *context, const char *path), void *context)
{
    AUTO_BUF struct buf text = {0};
    read_list("stores", &text);
    each_line(&text, found, context);
}

/* ---- the list of trusted stores ---- */

/* A line of it. */
struct trusted {
    unsigned long long owner, dev, ino;
    const char *path; /* the rest of the line */
};

static bool parse_trusted(const char *line, struct trusted *ret)
{
    int used = 0;
    if (sscanf(line, "%llu %llu %llu %n", &ret->owner, &ret->dev, &ret->ino, &used) < 3 || !used)
        return false;
    ret->path = line + used;
    return true;
}

static bool is_folder(const struct trusted *t, const struct stat *st)
{
    return t->owner == st->st_uid && t->dev == st->st_dev && t->ino == st->st_ino;
}

/* A folder that is looked for, or a path, and whether it was found. */
struct lookup {
    const char *path;
    const struct stat *st;
    bool found;
};

static void match_folder(void *context, const char *line)
{
    struct lookup *lookup = context;
    struct trusted t;
    lookup->found |= parse_trusted(line, &t) && is_folder(&t, lookup->st);
}

static void match_path(void *context, const char *line)
{
    struct lookup *lookup = context;
    lookup->found |= strcmp(line, lookup->path) == 0;
}

/* The administrator's list counts only where nobody but root may write to it. */
static void read_system_list(struct buf *ret)
{
    struct stat st;
    if (lstat(SYSTEM_LIST, &st) == 0 && st.st_uid == 0 && !(st.st_mode & 0022))
        (void)file_read_all(AT_FDCWD, SYSTEM_LIST, LIST_LIMIT, ret, NULL);
}

static bool is_trusted(void *context, const char *path, const struct stat *st)
{
    struct lookup lookup = {path, st, false};
    AUTO_BUF struct buf own = {0}, all = {0};
    (void)context;
    read_list("trusted", &own);
    each_line(&own, match_folder, &lookup);
    if (lookup.found)
        return true;
    read_system_list(&all);
    each_line(&all, match_path, &lookup);
    return lookup.found;
}

/* ---- stores that were made here ---- */

static bool is_made(const struct ops *ops, const char *path)
{
    AUTO_FREE char *home = ops_data_home(), *usual = file_join(home, "store");
    struct lookup lookup = {path, NULL, strcmp(path, usual) == 0};
    for (size_t i = 0; i < ops->config->stores.count; i++)
        lookup.found |= strcmp(path, ops->config->stores.paths[i]) == 0;
    trust_each_made(match_path, &lookup);
    return lookup.found;
}

/* What cannot be remembered is made all the same: it may then write only beside itself. */
static void remember(void *context, const char *path)
{
    struct ops *ops = context;
    AUTO_BUF struct buf text = {0};
    if (is_made(ops, path) || strchr(path, '\n'))
        return;
    read_list("stores", &text);
    buf_printf(&text, "%s\n", path);
    (void)write_list("stores", &text, NULL);
}

struct store_access trust_access(struct ops *ops, const char *path)
{
    return (struct store_access){.made_here = is_made(ops, path),
                                 .shared = ops->options.shared,
                                 .made = remember,
                                 .trusted = is_trusted,
                                 .context = ops};
}

/* ---- tare trust ---- */

int trust_look(const char *path, struct trust_view *ret, struct err *err)
{
    *ret = (struct trust_view){.path = realpath(path, NULL)};
    if (!ret->path)
        return err_sys(err, "%s", path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, ret->path, err);
    if (dir < 0)
        return dir;
    if (fstat(dir, &ret->st) < 0)
        return err_sys(err, "%s", path);
    ret->is_store = faccessat(dir, "format", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
                    faccessat(dir, "files", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    ret->trusted = is_trusted(NULL, ret->path, &ret->st);
    return 0;
}

int trust_add(const struct trust_view *view, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    if (view->trusted)
        return 0;
    if (strchr(view->path, '\n'))
        return err_set(err, ERR_UNSUPPORTED, "a path with a line break cannot be remembered");
    read_list("trusted", &text);
    buf_printf(&text, "%llu %llu %llu %s\n", (unsigned long long)view->st.st_uid,
               (unsigned long long)view->st.st_dev, (unsigned long long)view->st.st_ino,
               view->path);
    return write_list("trusted", &text, err);
}

/* The lines of a list that are not about a path. */
struct filter {
    const char *path;
    struct buf kept;
    bool dropped;
};

static void keep_others(void *context, const char *line)
{
    struct filter *filter = context;
    struct trusted t;
    if (parse_trusted(line, &t) && strcmp(t.path, filter->path) == 0)
        filter->dropped = true;
    else
        buf_printf(&filter->kept, "%s\n", line);
}

int trust_remove(const char *path, struct err *err)
{
    AUTO_FREE char *real = realpath(path, NULL);
    struct filter filter = {.path = real ? real : path};
    AUTO_BUF struct buf text = {0};
    read_list("trusted", &text);
    each_line(&text, keep_others, &filter);
    int r = filter.dropped ? write_list("trusted", &filter.kept, err)
                           : err_set(err, ERR_NOTFOUND, "%s: is not on the list", filter.path);
    buf_release(&filter.kept);
    return r;
}

struct listing {
    void (*found)(void *context, const char *path, uid_t owner);
    void *context;
};

static void list_line(void *context, const char *line)
{
    struct listing *listing = context;
    struct trusted t;
    if (parse_trusted(line, &t))
        listing->found(listing->context, t.path, (uid_t)t.owner);
}

void trust_list(void (*found)(void *context, const char *path, uid_t owner), void *context)
{
    struct listing listing = {found, context};
    AUTO_BUF struct buf text = {0};
    read_list("trusted", &text);
    each_line(&text, list_line, &listing);
}
