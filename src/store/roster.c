/* SPDX-License-Identifier: MIT */
/* The roster file: read, appended to, and written anew when it has grown too long. */
#include "store/store.h"

#include "base/file.h"
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROSTER_LIMIT = 1 << 30, SPARE_LINES = 1024 };

/* An entry of the roster without a manifest that can be read: what it says is kept. */
static void take_brief(void *context, struct manifest *brief)
{
    struct store *store = context;
    if (!store_find(store, brief->fid))
        store_add_brief(store, brief);
}

/* Whether so many lines are more than the live ones are worth. */
static bool too_long(const struct store *store)
{
    return store->roster_lines > 2 * (store->manifest_count + store->absent_count) + SPARE_LINES;
}

int store_load_roster(struct store *store, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    struct roster roster = {0};
    int r = file_read_all(store->dir, "roster", ROSTER_LIMIT, &text, &why);
    if (r == 0)
        r = roster_read(text.data, text.len, take_brief, store, &roster, &why);
    if (r == ERR_IO)
        return err_set(err, r, "%s", why.text);
    size_t all = store->manifest_count + store->absent_count;
    /* A crash comes between a manifest and its line at most once. */
    if (r == 0 && roster.version > 2 && all > roster.live + 1)
        r = err_set(&why, ERR_DAMAGED, "%zu manifests are not on it", all - roster.live);
    if (r < 0 && (r != ERR_NOTFOUND || store->format.version > 1))
        store->roster_damage = mem_strdup(why.text);
    store->roster_lines = roster.lines;
    store->roster_stale = r < 0 || roster.version < 3 || roster.end != text.len ||
                          roster.live != all || too_long(store);
    return 0;
}

int store_write_roster(struct store *store, const char *without, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    size_t lines = 0, most = store->manifest_count + store->absent_count;
    roster_begin(&text);
    for (size_t i = 0; i < most; i++) {
        const struct manifest *m = i < store->manifest_count
                                       ? &store->manifests[i]
                                       : &store->absents[i - store->manifest_count].brief;
        if (!m->path || (without && strcmp(m->fid, without) == 0))
            continue;
        roster_add(m, &text);
        lines++;
    }
    int r = file_replace(store->dir, "roster", text.data, text.len, store_file_mode(store), err);
    if (r == 0) {
        store->roster_lines = lines;
        store->roster_stale = false;
    }
    return r;
}

/* What could not be appended in full is cut off again; else the next time all is written anew. */
static int append(struct store *store, const struct buf *line, struct err *err)
{
    struct stat st;
    AUTO_FD int fd = store_open_own(store, "roster", O_WRONLY, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, "%s/roster", store->path);
    int r = file_pwrite(fd, line->data, line->len, (uint64_t)st.st_size, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, "%s/roster", store->path);
    if (r == 0)
        store->roster_lines++;
    else if (ftruncate(fd, st.st_size) < 0 || fsync(fd) < 0)
        store->roster_stale = true;
    return r;
}

int store_roster_came(struct store *store, const struct manifest *m, struct err *err)
{
    AUTO_BUF struct buf line = {0};
    if (store->roster_stale || too_long(store))
        return store_write_roster(store, NULL, err);
    roster_add(m, &line);
    return append(store, &line, err);
}

/* On a full disk the old roster makes room for the new one. */
int store_roster_goes(struct store *store, const char *fid, struct err *err)
{
    AUTO_BUF struct buf line = {0};
    roster_remove(fid, &line);
    int r = store->roster_stale || too_long(store) ? store_write_roster(store, fid, err)
                                                   : append(store, &line, err);
    if (r == ERR_NOSPACE && unlinkat(store->dir, "roster", 0) == 0) {
        store->roster_stale = true;
        r = store_write_roster(store, fid, err);
    }
    return r;
}
