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

/* A path that is told to somebody. */
struct path_found {
    void (*found)(void *context, const char *path);
    void *context;
};

/* Lines of earlier versions are paths alone. */
static void found_line(void *context, const char *line)
{
    const struct path_found *to = context;
    struct trusted t;
    to->found(to->context, parse_trusted(line, &t) ? t.path : line);
}

void trust_each_made(void (*found)(void *context, const char *path), void *context)
{
    struct path_found to = {found, context};
    AUTO_BUF struct buf text = {0};
    read_list("stores", &text);
    each_line(&text, found_line, &to);
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

/* Whether a list of folders has this one. */
static bool is_listed(const char *list, const struct stat *st)
{
    struct lookup lookup = {NULL, st, false};
    AUTO_BUF struct buf text = {0};
    read_list(list, &text);
    each_line(&text, match_folder, &lookup);
    return lookup.found;
}

static bool is_trusted(const char *real, const struct stat *st)
{
    struct lookup lookup = {real, st, false};
    AUTO_BUF struct buf text = {0};
    read_system_list(&text);
    each_line(&text, match_path, &lookup);
    return lookup.found || is_listed("trusted", st);
}

/* ---- stores that were made here ---- */

/* The user's own place for stores, and those that the configuration names. */
static bool is_usual(const struct ops *ops, const char *path)
{
    AUTO_FREE char *home = ops_data_home(), *usual = file_join(home, "store");
    bool found = strcmp(path, usual) == 0;
    for (size_t i = 0; i < ops->config->stores.count && !found; i++)
        found = strcmp(path, ops->config->stores.paths[i]) == 0;
    return found;
}

static void add_folder(struct buf *text, const char *path, const struct stat *st)
{
    buf_printf(text, "%llu %llu %llu %s\n", (unsigned long long)st->st_uid,
               (unsigned long long)st->st_dev, (unsigned long long)st->st_ino, path);
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
    if (strcmp(parse_trusted(line, &t) ? t.path : line, filter->path) == 0)
        filter->dropped = true;
    else
        buf_printf(&filter->kept, "%s\n", line);
}

/* A line of an earlier version, which is a path alone, means the folder that is there now. */
static bool was_listed(const char *path, const struct stat *st)
{
    struct lookup lookup = {path, st, false};
    struct filter filter = {.path = path};
    AUTO_BUF struct buf text = {0}, again = {0};
    read_list("stores", &text);
    buf_add(&again, text.data ? text.data : "", text.len);
    each_line(&text, match_path, &lookup);
    if (lookup.found) {
        each_line(&again, keep_others, &filter);
        add_folder(&filter.kept, path, st);
        (void)write_list("stores", &filter.kept, NULL);
    }
    buf_release(&filter.kept);
    return lookup.found;
}

static enum store_trust trust_of(void *context, const char *path, const char *real,
                                 const struct stat *st)
{
    if (is_trusted(real, st))
        return TRUST_GIVEN;
    return is_usual(context, path) || is_listed("stores", st) || was_listed(path, st) ? TRUST_MADE
                                                                                      : TRUST_NONE;
}

/* What cannot be remembered is made all the same: it may then write only beside itself. */
static void remember(void *context, const char *path, const struct stat *st)
{
    AUTO_BUF struct buf text = {0};
    if (is_usual(context, path) || is_listed("stores", st) || strchr(path, '\n'))
        return;
    read_list("stores", &text);
    add_folder(&text, path, st);
    (void)write_list("stores", &text, NULL);
}

struct store_access trust_access(struct ops *ops)
{
    return (struct store_access){.shared = ops->options.shared,
                                 .home = getenv("HOME"),
                                 .trust = trust_of,
                                 .made = remember,
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
    ret->trusted = is_trusted(ret->path, &ret->st);
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
    add_folder(&text, view->path, &view->st);
    return write_list("trusted", &text, err);
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
