/* SPDX-License-Identifier: MIT */
/*
 * Recovery after a crash. It never removes an original: what it removes are manifests whose file
 * is back in its place, and objects that no manifest needs.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/text.h"
#include "store/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void note(struct buf *notes, const char *path, const char *what)
{
    if (notes)
        buf_printf(notes, "%s: %s\n", path, what);
}

/* What is to become of one manifest. */
enum verdict { KEEP, DROP, EXPIRE };

/* Puts an original that was moved aside back. A cut may have left it under both names. */
static bool move_back(int dir, const char *aside, const char *name)
{
    struct stat a, b;
    if (file_rename_new(dir, aside, dir, name, NULL) == 0)
        return true;
    return fstatat(dir, aside, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino && unlinkat(dir, aside, 0) == 0;
}

/* The original was moved aside and then nothing more happened. */
static enum verdict recover_aside(const struct store *store, const struct manifest *m, int dir,
                                  const char *aside, struct buf *notes)
{
    if (!move_back(dir, aside, file_base(m->path))) {
        AUTO_FREE char *folder = file_dir(m->path), *path = file_join(folder, aside);
        note(notes, path, "an original that was moved aside; another file is in its place");
        return KEEP;
    }
    if (store_settle(store, m, NULL) < 0) {
        note(notes, m->path, "compressing it was cut off; its links could not be put back yet");
        return KEEP;
    }
    note(notes, m->path, "compressing it was cut off; the original is back in its place");
    return DROP;
}

/* An empty file that file_rename_new makes where it cannot rename without replacing. */
static bool is_placeholder(const struct manifest *m, const struct stat *st)
{
    return m->size && S_ISREG(st->st_mode) && !st->st_size && st->st_uid == geteuid() &&
           (st->st_mode & 07777) == 0600;
}

/* A file lies in the place of one that is stored. */
static enum verdict recover_there(const struct store *store, const struct manifest *m, int dir,
                                  const struct stat *st, struct buf *notes)
{
    /* What a restore makes in the place before it renames over it, where nothing else works. */
    if (m->state == MANIFEST_RESTORING && is_placeholder(m, st)) {
        (void)unlinkat(dir, file_base(m->path), 0);
        return KEEP;
    }
    if (S_ISREG(st->st_mode) && store_is_back(store, m)) {
        if (store_settle(store, m, NULL) < 0) {
            note(notes, m->path, "is back in its place, but its links could not be put back yet");
            return KEEP;
        }
        note(notes, m->path, "is back in its place; its stored copy is dropped");
        return DROP;
    }
    note(notes, m->path,
         "a different file is in its place now; both are kept (decompress --to, or delete)");
    return KEEP;
}

/* refused: counts those whose place the store may not write to. */
static enum verdict recover_one(const struct store *store, const struct manifest *m,
                                size_t *refused, struct buf *notes)
{
    struct stat st;
    struct err why = {0};
    if (m->state == MANIFEST_COMPANIONS || m->state == MANIFEST_LENT)
        return KEEP;
    AUTO_FREE char *aside = store_aside_name(m), *restore = store_restore_name(m);
    AUTO_FD int dir = store_open_folder(store, m, m->path, &why);
    *refused += dir == ERR_REFUSED;
    if (dir < 0 && dir != ERR_NOTFOUND && dir != ERR_REFUSED)
        note(notes, m->path, why.text);
    if (dir < 0) /* the folder is gone, or not ours to write to */
        return KEEP;
    bool set_aside = fstatat(dir, aside, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (set_aside && is_placeholder(m, &st))
        set_aside = unlinkat(dir, aside, 0) < 0;
    if (m->state != MANIFEST_ASIDE && set_aside)
        return recover_aside(store, m, dir, aside, notes);
    if (m->state == MANIFEST_ASIDE && time(NULL) >= m->until)
        return EXPIRE;
    bool there = fstatat(dir, file_base(m->path), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (m->state == MANIFEST_RESTORING)
        (void)unlinkat(dir, restore, 0);
    if (m->state == MANIFEST_PENDING) {
        if (there)
            return DROP;
        note(notes, m->path, "vanished while it was compressed; what is stored of it is kept");
        return KEEP;
    }
    return !there || m->state == MANIFEST_KEPT ? KEEP : recover_there(store, m, dir, &st, notes);
}

/*
 * The time for which an original was set aside is over. One that somebody wrote to meanwhile stays:
 * the next recovery moves it back to its place.
 */
static int expire(struct store *store, const struct manifest *m, struct err *err)
{
    AUTO_FREE char *aside = NULL;
    AUTO_FD int dir = store_open_folder(store, m, m->path, err);
    if (dir < 0)
        return dir;
    if (store_has_aside(m, dir, true, &aside) && unlinkat(dir, aside, 0) < 0)
        return err_sys(err, "%s", m->path);
    int r = file_sync_dir(dir, err);
    return r < 0 ? r : store_set_state(store, m->fid, MANIFEST_STORED, err);
}

/* Whether the file of an absent manifest lies in its place, moved back there if it was aside. */
static bool absent_is_back(const struct store *store, const struct store_absent *absent,
                           struct buf *notes)
{
    const struct manifest *brief = &absent->brief;
    struct stat st;
    if (!brief->path || !(absent->damaged || absent->lost))
        return false;
    AUTO_FREE char *aside = store_aside_name(brief);
    AUTO_FD int dir = store_open_folder(store, brief, brief->path, NULL);
    if (dir < 0 || (fstatat(dir, aside, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    !move_back(dir, aside, file_base(brief->path))))
        return false;
    if (!store_is_back(store, brief) || store_settle(store, brief, NULL) < 0)
        return false;
    note(notes, brief->path, "is in its place; its damaged manifest is dropped");
    return true;
}

/* A repair does without copies of companions that cannot be read: the next compress makes new ones.
 */
static bool gives_up(const struct store *store, const struct store_absent *absent,
                     struct buf *notes)
{
    const struct manifest *brief = &absent->brief;
    if (store->mode != STORE_REPAIR || !(absent->damaged || absent->lost) || !brief->path ||
        brief->state != MANIFEST_COMPANIONS)
        return false;
    note(notes, brief->path,
         "the copies of its small files cannot be read any more; they are "
         "dropped");
    return true;
}

/* What a file_replace leaves that died on the way: ".NAME.tmp". The lock is ours. */
static void remove_temporaries(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] == '.' && text_ends_with(entry->d_name, ".tmp"))
            (void)unlinkat(folder, entry->d_name, 0);
    if (stream)
        closedir(stream);
}

int store_recover(struct store *store, struct buf *notes, struct err *err)
{
    int r = file_remove_below(store->tmp, err);
    remove_temporaries(store->files);
    remove_temporaries(store->held_dir);
    remove_temporaries(store->dir);
    bool dropped = false;
    size_t refused = 0;
    for (size_t i = store->manifest_count; i-- > 0 && r == 0;) {
        if (i >= store->manifest_count) /* its companions may have gone with the last one */
            continue;
        enum verdict verdict = recover_one(store, &store->manifests[i], &refused, notes);
        if (verdict == EXPIRE)
            r = expire(store, &store->manifests[i], err);
        if (verdict == DROP) {
            AUTO_FREE char *fid = mem_strdup(store->manifests[i].fid);
            r = store_drop_manifest(store, fid, err);
            dropped = true;
        }
    }
    if (refused && notes)
        buf_printf(notes,
                   "%s: %zu of its files belong outside of %s: nothing is written there until you "
                   "trust it (tare trust %s)\n",
                   store->path, refused, store->confined ? store->confined : "their roots",
                   store->path);
    for (size_t i = store->absent_count; i-- > 0 && r == 0;) {
        AUTO_FREE char *fid = mem_strdup(store->absents[i].brief.fid);
        if (absent_is_back(store, &store->absents[i], notes) ||
            gives_up(store, &store->absents[i], notes))
            r = store_drop_absent(store, fid, err);
    }
    if (r < 0 || store->absent_count)
        return r;
    if (dropped)
        r = store_reload(store, NULL, err);
    /* What a repair finds out may be needed, although no manifest says so yet. */
    return r < 0 || store->mode == STORE_REPAIR ? r : store_tidy(store, notes, err);
}
