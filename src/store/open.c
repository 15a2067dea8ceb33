/* SPDX-License-Identifier: MIT */
/* Opening a store: its format file, its folders, its lock; and its log. */
#include "store/store.h"

#include "base/file.h"
#include "base/text.h"
#include "store/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char readme[] =
    "This folder is a store of tare: it holds model files that were compressed, and what is\n"
    "needed to give them back byte for byte. Do not change or remove anything in here by hand.\n"
    "\n"
    "  tare list                     what is stored\n"
    "  tare decompress MODEL         put a model's files back where they were\n"
    "  tare decompress MODEL --to D  write a copy elsewhere\n"
    "  tare verify                   read and check everything\n"
    "\n"
    "files/ names every file that is stored here, as JSON; docs/store-format.md of tare\n"
    "describes every byte.\n";
/* Opens a folder of the store. */
static int open_part(const struct store *store, const char *name, struct err *err)
{
    int fd = openat(store->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_DAMAGED, "%s: its folder %s is missing", store->path, name);
    return fd < 0 ? err_sys(err, "%s/%s", store->path, name) : fd;
}

/* The last line of a format file: "check " and the XXH3-64 of all before it. */
static void add_check(struct buf *out, const char *text, size_t n)
{
    buf_printf(out, "check %016llx\n", (unsigned long long)hash64_of(text, n));
}

void store_format_write(const struct store_format *format, struct buf *out)
{
    AUTO_BUF struct buf text = {0};
    buf_printf(&text,
               "tare-store %d\ncreated %lld\ncompatible %llx\nread-only-compatible %llx\n"
               "incompatible %llx\n",
               STORE_VERSION, (long long)format->created, (unsigned long long)format->compatible,
               (unsigned long long)format->readonly_compatible,
               (unsigned long long)format->incompatible);
    buf_add(out, text.data, text.len);
    add_check(out, text.data, text.len);
}

int store_format_read(const char *text, size_t n, struct store_format *ret, struct err *err)
{
    enum { CHECK = 6 + 16 + 1 };
    int used = 0, masks = 0;
    long long created = 0;
    unsigned long long compatible = 0, readonly = 0, incompatible = 0;
    AUTO_FREE char *copy = mem_strndup(text, n);
    AUTO_BUF struct buf check = {0};
    bool checked = n > CHECK;
    *ret = (struct store_format){0};
    if (checked) {
        add_check(&check, text, n - CHECK);
        checked = memcmp(check.data, text + n - CHECK, CHECK) == 0;
    }
    int fields =
        sscanf(copy,
               "tare-store %d\ncreated %lld%n\ncompatible %llx\n"
               "read-only-compatible %llx\nincompatible %llx\n%n",
               &ret->version, &created, &used, &compatible, &readonly, &incompatible, &masks);
    bool old = ret->version == 1 && used && (size_t)used + 1 == n && copy[used] == '\n';
    if (fields < 1 || (!checked && !old) || (ret->version == STORE_VERSION && !masks))
        return err_set(err, ERR_DAMAGED, "the format file is damaged");
    if (ret->version > STORE_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (format %d)", ret->version);
    if (incompatible)
        return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (features %llx)", incompatible);
    ret->created = created;
    ret->compatible = compatible;
    ret->readonly_compatible = readonly;
    return 0;
}

static int write_format(struct store *store, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    mode_t mode = store_file_mode(store);
    store->format.version = STORE_VERSION;
    store_format_write(&store->format, &text);
    int r = file_replace(store->dir, "README.txt", readme, sizeof readme - 1, mode, err);
    return r < 0 ? r : file_replace(store->dir, "format", text.data, text.len, mode, err);
}

int store_add_features(struct store *store, uint64_t compatible, struct err *err)
{
    store->format.compatible |= compatible;
    return write_format(store, err);
}

/* Everything is there before the format file says so. */
static int make_parts(struct store *store, struct err *err)
{
    static const char *const names[] = {"files", "objects", "held", "tmp"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (store_make_dir(store, store->dir, names[i]) < 0 && errno != EEXIST)
            return err_sys(err, "%s/%s", store->path, names[i]);
    AUTO_FREE char *parent = file_dir(store->path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, parent, err);
    int r = dir < 0 ? dir : file_sync_dir(dir, err);
    return r < 0 ? r : write_format(store, err);
}

/* A new store: what is written into it from the first file on names all bases. */
static int make_store(struct store *store, const struct store_access *access, struct err *err)
{
    store->format = (struct store_format){.created = time(NULL), .compatible = STORE_NAMES_BASES};
    struct stat st;
    store_inherit(store, access && access->shared);
    if (access && access->made && fstat(store->dir, &st) == 0)
        access->made(access->context, store->path, &st);
    free(store->confined); /* what it will say, this program has written */
    store->confined = NULL;
    store->homeless = false;
    return make_parts(store, err);
}

static bool is_empty(const struct store *store, const char *name)
{
    int fd = openat(store->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    bool missing = fd < 0 && errno == ENOENT;
    if (stream)
        closedir(stream);
    return missing || (stream && !count);
}

/* Whether nothing but what a store that was just begun has in it lies in the folder. */
static bool is_in_the_making(const struct store *store)
{
    static const char *const parts[] = {"files", "held", "objects", "tmp"};
    static const char *const begun[] = {"lock", "README.txt", ".README.txt.tmp", ".format.tmp"};
    int fd = openat(store->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool making = stream != NULL;
    for (struct dirent *entry; making && (entry = readdir(stream));) {
        const char *name = entry->d_name;
        bool known = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        for (size_t i = 0; i < COUNT_OF(begun) && !known; i++)
            known = strcmp(begun[i], name) == 0;
        for (size_t i = 0; i < COUNT_OF(parts) && !known; i++)
            known = strcmp(parts[i], name) == 0 && is_empty(store, name);
        making = known;
    }
    if (stream)
        closedir(stream);
    return making;
}

/* A store without a right format file has these all the same; a folder of somebody else has not. */
static bool has_parts(const struct store *store)
{
    static const char *const parts[] = {"files", "held", "objects"};
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (fstatat(store->dir, parts[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            return false;
    return true;
}

/*
 * What the format file says. A reader goes on without it: the folders and manifests explain
 * themselves. A writer does not, except to repair it.
 */
static int check_format(struct store *store, const struct store_access *access, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    bool writes = store->mode >= STORE_WRITE;
    int r = file_read_all(store->dir, "format", 4096, &text, &why);
    if (r == ERR_NOTFOUND && is_in_the_making(store)) {
        store->making = !writes;
        return writes ? make_store(store, access, err) : 0;
    }
    if (r == ERR_NOTFOUND)
        r = err_set(&why, ERR_DAMAGED, "its format file is missing");
    else if (r == 0)
        r = store_format_read(text.data, text.len, &store->format, &why);
    if (r == 0 && writes && store->format.readonly_compatible)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: a newer tare uses it (features %llx): this one can read it, and not "
                       "write to it",
                       store->path, (unsigned long long)store->format.readonly_compatible);
    if (r < 0)
        store->format = (struct store_format){STORE_VERSION, .created = time(NULL)};
    if (r == ERR_DAMAGED && !writes) {
        store->format_damage = mem_strdup(why.text);
        return 0;
    }
    if ((r == ERR_DAMAGED && store->mode == STORE_REPAIR && has_parts(store)) ||
        (r == 0 && store->format.version < STORE_VERSION && writes))
        return make_parts(store, err);
    return r < 0 ? err_set(err, r, "%s: %.400s%s", store->path, why.text,
                           r == ERR_DAMAGED ? " (tare verify --repair)" : "")
                 : 0;
}

int store_open_own(const struct store *store, const char *name, int flags, struct err *err)
{
    struct stat st;
    AUTO_FD int fd =
        openat(store->dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "%s/%s", store->path, name);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return err_set(err, ERR_REFUSED, "%s/%s: is no file of this store alone", store->path,
                       name);
    return TAKE_FD(fd);
}

/* One writer at a time, by a lock that the system drops when the process ends. */
static int take_lock(struct store *store, const char *command, struct err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char who[256] = "";
    store->lock = store_open_own(store, "lock", O_RDWR | O_CREAT, err);
    if (store->lock < 0)
        return store->lock;
    if (fcntl(store->lock, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return err_sys(err, "locking %s", store->path);
        ssize_t n = pread(store->lock, who, sizeof who - 1, 0);
        who[MAX(n, 0)] = '\0';
        who[strcspn(who, "\n")] = '\0';
        return err_set(err, ERR_LOCKED, "%s is in use by another tare (%s); --wait waits for it",
                       store->path, *who ? who : "since just now");
    }
    /* Some network file systems grant every lock: a second one must be refused. */
    AUTO_FD int probe = openat(store->dir, "lock", O_RDWR | O_CLOEXEC);
    if (probe >= 0 && fcntl(probe, F_OFD_SETLK, &lock) == 0)
        return err_set(err, ERR_UNSUPPORTED, "%s: locks do not work on this file system",
                       store->path);
    store->locked = true;
    char since[32];
    text_time(since, time(NULL));
    int n = snprintf(who, sizeof who, "pid %d, %.100s, since %s\n", (int)getpid(),
                     command ? command : "tare", since);
    if (ftruncate(store->lock, 0) < 0)
        return err_sys(err, "%s/lock", store->path);
    return file_pwrite(store->lock, who, (size_t)n, 0, err);
}

/* Before anything is made in a folder, the lock too: is it a store, or empty? */
static int check_folder(const struct store *store, struct err *err)
{
    if (faccessat(store->dir, "format", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || has_parts(store) ||
        is_in_the_making(store))
        return 0;
    return err_set(err, ERR_REFUSED,
                   "%s: holds other files and is no store of tare: it is left as it is",
                   store->path);
}

static int open_parts(struct store *store, const struct store_access *access, const char *command,
                      struct buf *notes, struct err *err)
{
    if (store->mode >= STORE_WRITE) {
        int r = file_make_dirs(store->path, err);
        if (r < 0)
            return r;
    }
    store->dir = file_open_dir(AT_FDCWD, store->path, err);
    if (store->dir < 0)
        return store->dir;
    int r = store_check_trust(store, access, err);
    if (r == 0 && store->mode >= STORE_WRITE)
        r = check_folder(store, err);
    if (r == 0 && store->mode >= STORE_WRITE)
        r = take_lock(store, command, err);
    if (r == 0)
        r = check_format(store, access, err);
    if (store->making)
        return r;
    const struct {
        const char *name;
        int *fd;
    } parts[] = {{"files", &store->files},
                 {"objects", &store->objects},
                 {"held", &store->held_dir},
                 {"tmp", &store->tmp}};
    for (size_t i = 0; i < COUNT_OF(parts) && r == 0; i++) {
        *parts[i].fd = open_part(store, parts[i].name, err);
        r = MIN(*parts[i].fd, 0);
    }
    if (r == 0)
        r = store_reload(store, notes, err);
    if (r == 0 && store->mode >= STORE_WRITE && store->roster_stale)
        r = store_write_roster(store, NULL, err);
    if (r == 0 && store->mode >= STORE_WRITE)
        r = store_recover(store, notes, err);
    return r;
}

int store_open(const char *path, enum store_mode mode, const struct store_access *access,
               const char *command, struct store **ret, struct buf *notes, struct err *err)
{
    struct store *store = mem_zalloc(sizeof *store);
    store->dir = store->tmp = store->files = store->objects = store->held_dir = store->lock = -1;
    store->path = mem_strdup(path);
    store->mode = mode;
    int r = open_parts(store, access, command, notes, err);
    if (r < 0) {
        store_close(store);
        return r;
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_clear_index(store);
    cleanup_fd(&store->tmp);
    cleanup_fd(&store->files);
    cleanup_fd(&store->objects);
    cleanup_fd(&store->held_dir);
    /* Else the next one would pass for us until it has written its own name. */
    if (store->locked)
        (void)!ftruncate(store->lock, 0);
    cleanup_fd(&store->lock);
    cleanup_fd(&store->dir);
    free(store->unpublished);
    free(store->format_damage);
    free(store->confined);
    free(store->path);
    free(store);
}

int store_log(struct store *store, const char *line, size_t n, struct err *err)
{
    AUTO_FD int fd = store_open_own(store, "log", O_WRONLY | O_CREAT | O_APPEND, err);
    if (fd < 0)
        return fd;
    AUTO_BUF struct buf text = {0};
    buf_add(&text, line, n);
    buf_char(&text, '\n');
    /* One call, so that two writers' lines do not mix; what a short one leaves follows. */
    for (size_t at = 0; at < text.len;) {
        ssize_t put = write(fd, text.data + at, text.len - at);
        if (put < 0 && errno != EINTR)
            return err_sys(err, "%s/log", store->path);
        at += (size_t)MAX(put, 0);
    }
    return 0;
}
