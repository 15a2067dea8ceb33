/* SPDX-License-Identifier: MIT */
/* Opening a store, its manifests and its index of content ids. */
#include "store/store.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "store/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MANIFEST_LIMIT = 1 << 30 };

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

void object_name(char dst[OBJECT_NAME], const struct hash128 *id, bool pack)
{
    char hex[HASH128_HEX];
    hash128_hex(hex, id);
    snprintf(dst, OBJECT_NAME, "%.2s/%s%s", hex, hex, pack ? ".pack" : "");
}

bool store_name_id(const char *name, struct hash128 *ret)
{
    char hex[HASH128_HEX];
    snprintf(hex, sizeof hex, "%.32s", strlen(name) > 3 ? name + 3 : "");
    return hash128_parse(ret, hex);
}

bool store_name_is_pack(const char *name)
{
    return text_ends_with(name, ".pack");
}

/* Opens a folder of the store. */
static int open_part(const struct store *store, const char *name, struct err *err)
{
    int fd = openat(store->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_DAMAGED, "%s: its folder %s is missing", store->path, name);
    return fd < 0 ? err_sys(err, "%s/%s", store->path, name) : fd;
}

/* The last line of a format file: "check " and the XXH3-64 of all before it. */
static void add_check(struct buf *out, const char *text, size_t n)
{
    buf_printf(out, "check %016llx\n", (unsigned long long)hash64_of(text, n));
}

void store_format_write(int64_t created, struct buf *out)
{
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "tare-store %d\ncreated %lld\n", STORE_VERSION, (long long)created);
    buf_add(out, text.data, text.len);
    add_check(out, text.data, text.len);
}

int store_format_read(const char *text, size_t n, int *ret_version, struct err *err)
{
    enum { CHECK = 6 + 16 + 1 };
    int version = 0, used = 0;
    AUTO_FREE char *copy = mem_strndup(text, n);
    AUTO_BUF struct buf check = {0};
    bool checked = n > CHECK;
    if (checked) {
        add_check(&check, text, n - CHECK);
        checked = memcmp(check.data, text + n - CHECK, CHECK) == 0;
    }
    int fields = sscanf(copy, "tare-store %d\ncreated %*d%n", &version, &used);
    bool old = version == 1 && used && (size_t)used + 1 == n && copy[used] == '\n';
    if (fields < 1 || (!checked && !old))
        return err_set(err, ERR_DAMAGED, "the format file is damaged");
    if (version > STORE_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "made by a newer tare (format %d)", version);
    *ret_version = version;
    return 0;
}

static int write_format(struct store *store, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    store_format_write(time(NULL), &text);
    int r = file_replace(store->dir, "README.txt", readme, sizeof readme - 1, 0600, err);
    return r < 0 ? r : file_replace(store->dir, "format", text.data, text.len, 0600, err);
}

/* A store in the making: everything is there before the format file says so. */
static int make_parts(struct store *store, struct err *err)
{
    static const char *const names[] = {"files", "objects", "held", "tmp"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (mkdirat(store->dir, names[i], 0700) < 0 && errno != EEXIST)
            return err_sys(err, "%s/%s", store->path, names[i]);
    AUTO_FREE char *parent = file_dir(store->path);
    AUTO_FD int dir = file_open_dir(AT_FDCWD, parent, err);
    int r = dir < 0 ? dir : file_sync_dir(dir, err);
    return r < 0 ? r : write_format(store, err);
}

/* Only an empty folder becomes a store: rmdir refuses what holds anything. */
static bool is_in_the_making(const struct store *store)
{
    static const char *const parts[] = {"files", "held", "objects"};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (unlinkat(store->dir, parts[i], AT_REMOVEDIR) < 0 && errno != ENOENT)
            return false;
    return true;
}

/*
 * What the format file says. A reader goes on without it: the folders and manifests explain
 * themselves. A writer does not, except to repair it.
 */
static int check_format(struct store *store, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    int version = 0;
    int r = file_read_all(store->dir, "format", 4096, &text, &why);
    if (r == ERR_NOTFOUND && store->mode >= STORE_WRITE && is_in_the_making(store))
        return make_parts(store, err);
    if (r == ERR_NOTFOUND)
        r = err_set(&why, ERR_DAMAGED, "its format file is missing");
    else if (r == 0)
        r = store_format_read(text.data, text.len, &version, &why);
    store->version = r == 0 ? version : STORE_VERSION;
    if (r == ERR_DAMAGED && store->mode < STORE_WRITE) {
        store->format_damage = mem_strdup(why.text);
        return 0;
    }
    if ((r == ERR_DAMAGED && store->mode == STORE_REPAIR) ||
        (r == 0 && version < STORE_VERSION && store->mode >= STORE_WRITE))
        return make_parts(store, err);
    return r < 0 ? err_set(err, r, "%s: %.400s%s", store->path, why.text,
                           r == ERR_DAMAGED ? " (tare verify --repair)" : "")
                 : 0;
}

/* One writer at a time, by a lock that the system drops when the process ends. */
static int take_lock(struct store *store, const char *command, struct err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char who[256] = "";
    store->lock = openat(store->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock < 0)
        return err_sys(err, "%s/lock", store->path);
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
    char since[32];
    text_time(since, time(NULL));
    int n = snprintf(who, sizeof who, "pid %d, %.100s, since %s\n", (int)getpid(),
                     command ? command : "tare", since);
    if (ftruncate(store->lock, 0) < 0)
        return err_sys(err, "%s/lock", store->path);
    return file_pwrite(store->lock, who, (size_t)n, 0, err);
}

static void index_delta(struct store *store, const struct hash128 *id, const struct hash128 *base)
{
    if (hash128_is_zero(base))
        return;
    map_put(&store->bases, base, 1);
    map_put(&store->deltas, id, store->delta_count);
    *ARRAY_ADD(store->delta_bases, store->delta_count, store->delta_cap) = *base;
}

static void index_held(struct store *store, size_t h)
{
    const struct manifest *m = &store->held[h].manifest;
    for (size_t i = 0; i < m->range_count; i++) {
        uint64_t at = (uint64_t)h << 32 | i;
        map_put(&store->held_ids, &m->ranges[i].id, at);
        if (!map_has(&store->places, &m->ranges[i].id))
            map_put(&store->places, &m->ranges[i].id, place_make(CONTENT_HELD, at));
    }
}

/* Where a content has no place yet, or only a held one, this pack is its place. */
static void place_in_pack(struct store *store, const struct hash128 *id, size_t pack)
{
    enum content_kind kind = store_has(store, id);
    if (kind == CONTENT_NONE || kind == CONTENT_HELD)
        map_put(&store->places, id, place_make(CONTENT_PACK, pack));
}

static void index_pack(struct store *store, const char *name, const struct hash128 *id)
{
    struct object *object;
    if (object_open(store->objects, name, &object, NULL) < 0)
        return; /* verify tells; what it holds counts as missing */
    *ARRAY_ADD(store->packs, store->pack_count, store->pack_cap) = *id;
    for (uint32_t i = 0; i < object->entry_count; i++) {
        place_in_pack(store, &object->entries[i].id, store->pack_count - 1);
        index_delta(store, &object->entries[i].id, &object->entries[i].base);
    }
    object_free(object);
}

static void add_foreign(struct store *store, const char *folder, const char *name)
{
    *ARRAY_ADD(store->foreign, store->foreign_count, store->foreign_cap) = file_join(folder, name);
}

/* "ab/abcd…" or "ab/abcd….pack", as object_name makes them. */
static bool is_object_name(const char *name)
{
    struct hash128 id;
    char right[OBJECT_NAME];
    if (strlen(name) >= OBJECT_NAME || !store_name_id(name, &id))
        return false;
    object_name(right, &id, store_name_is_pack(name));
    return strcmp(right, name) == 0;
}

/* A list of names in the making: what is the store's, and what is not. */
struct naming {
    char **own, **foreign;
    size_t own_count, own_cap, foreign_count, foreign_cap;
};

/* Sorts what lies in objects/ (folder "") or a folder below it; -1 with errno. */
static int name_objects(const struct store *store, const char *folder, struct naming *naming)
{
    int fd = openat(store->objects, *folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int r = stream ? 0 : -1;
    for (struct dirent *entry; r == 0 && (errno = 0, entry = readdir(stream));) {
        const char *name = entry->d_name;
        AUTO_FREE char *full = file_join(folder, name);
        if (name[0] == '.')
            continue;
        if (!*folder && strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2 &&
            entry->d_type != DT_REG)
            r = name_objects(store, name, naming);
        else if (is_object_name(full))
            *ARRAY_ADD(naming->own, naming->own_count, naming->own_cap) = TAKE_PTR(full);
        else
            *ARRAY_ADD(naming->foreign, naming->foreign_count, naming->foreign_cap) =
                TAKE_PTR(full);
    }
    int number = errno;
    if (stream)
        closedir(stream);
    errno = number;
    return number ? -1 : r;
}

static int name_all_objects(const struct store *store, struct naming *naming)
{
    if (name_objects(store, "", naming) == 0)
        return 0;
    int number = errno;
    store_names_free(naming->own, naming->own_count);
    store_names_free(naming->foreign, naming->foreign_count);
    errno = number;
    return -1;
}

char **store_object_names(const struct store *store, size_t *ret_count)
{
    struct naming naming = {0};
    if (name_all_objects(store, &naming) < 0)
        return NULL;
    store_names_free(naming.foreign, naming.foreign_count);
    *ret_count = naming.own_count;
    return naming.own ? naming.own : mem_zalloc(sizeof *naming.own);
}

static int index_objects(struct store *store, struct err *err)
{
    struct naming naming = {0};
    if (name_all_objects(store, &naming) < 0)
        return err_sys(err, "%s/objects", store->path);
    for (int packs = 0; packs < 2; packs++) {
        for (size_t i = 0; i < naming.own_count; i++) {
            struct hash128 id;
            if (store_name_is_pack(naming.own[i]) != packs || !store_name_id(naming.own[i], &id))
                continue;
            if (packs)
                index_pack(store, naming.own[i], &id);
            else
                map_put(&store->places, &id, place_make(CONTENT_OBJECT, 0));
        }
    }
    for (size_t i = 0; i < naming.foreign_count; i++)
        add_foreign(store, "objects", naming.foreign[i]);
    store_names_free(naming.own, naming.own_count);
    store_names_free(naming.foreign, naming.foreign_count);
    return 0;
}

/* Takes the index out of the struct without releasing it. */
static void forget_index(struct store *store)
{
    store->manifests = NULL;
    store->held = NULL;
    store->packs = store->delta_bases = NULL;
    store->manifest_count = store->manifest_cap = store->held_count = store->held_cap = 0;
    store->pack_count = store->pack_cap = store->delta_count = store->delta_cap = 0;
    store->places = store->deltas = store->bases = store->held_ids = (struct map){0};
    store->pack = NULL;
    store->absents = NULL;
    store->foreign = NULL;
    store->held_damage = NULL;
    store->roster_damage = NULL;
    store->absent_count = store->absent_cap = store->foreign_count = store->foreign_cap = 0;
    store->held_damage_count = store->held_damage_cap = 0;
}

static void clear(struct store *store)
{
    object_free(store->pack);
    for (size_t i = 0; i < store->manifest_count; i++)
        manifest_release(&store->manifests[i]);
    for (size_t i = 0; i < store->held_count; i++)
        manifest_release(&store->held[i].manifest);
    for (size_t i = 0; i < store->absent_count; i++) {
        manifest_release(&store->absents[i].brief);
        free(store->absents[i].reason);
    }
    for (size_t i = 0; i < store->held_damage_count; i++) {
        free(store->held_damage[i].name);
        free(store->held_damage[i].reason);
    }
    store_names_free(store->foreign, store->foreign_count);
    free(store->absents);
    free(store->held_damage);
    free(store->roster_damage);
    map_release(&store->places);
    map_release(&store->deltas);
    map_release(&store->bases);
    map_release(&store->held_ids);
    free(store->manifests);
    free(store->held);
    free(store->packs);
    free(store->delta_bases);
    forget_index(store);
}

/* What a folder of manifests is read into. */
typedef void found_manifest(struct store *store, const char *file, struct manifest *manifest,
                            const struct err *why, struct buf *notes);

/* Whether the name is that of a manifest: 32 hex digits and ".json". */
static bool is_manifest_name(const char *name)
{
    char hex[HASH128_HEX];
    struct hash128 id;
    snprintf(hex, sizeof hex, "%.32s", name);
    return hash128_parse(&id, hex) && strcmp(name + strlen(hex), ".json") == 0;
}

static void read_manifest(struct store *store, int dir, const char *name, found_manifest *found,
                          struct buf *notes)
{
    AUTO_BUF struct buf text = {0};
    struct manifest manifest = {0};
    struct err why = {0};
    int r = file_read_all(dir, name, MANIFEST_LIMIT, &text, &why);
    if (r == 0)
        r = manifest_read(text.data, text.len, &manifest, &why);
    if (r == 0 && strncmp(name, manifest.fid, strlen(manifest.fid)) != 0)
        r = err_set(&why, ERR_DAMAGED, "the manifest has another name than it says");
    found(store, name, r < 0 ? NULL : &manifest, &why, notes);
    manifest_release(&manifest);
}

static void add_held_damage(struct store *store, const char *name, const char *reason)
{
    *ARRAY_ADD(store->held_damage, store->held_damage_count, store->held_damage_cap) =
        (struct held_damage){file_join("held", name), mem_strdup(reason)};
}

/* What is no manifest in a folder of them: a held base, or nothing of ours. */
static void sort_other(struct store *store, int dir, const char *shown, const char *name)
{
    AUTO_FREE char *sidecar = mem_printf("%s.json", name);
    if (name[0] == '.')
        return;
    if (dir != store->held_dir || !is_manifest_name(sidecar))
        add_foreign(store, shown, name);
    else if (faccessat(dir, sidecar, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        add_held_damage(store, name, "a held base whose description is missing");
}

/* Calls found for each manifest of the folder dir. */
static int each_manifest(struct store *store, int dir, const char *shown, found_manifest *found,
                         struct buf *notes, struct err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return err_sys(err, "%s", shown);
    int number = 0;
    for (struct dirent *entry; (errno = 0, entry = readdir(stream));) {
        if (is_manifest_name(entry->d_name))
            read_manifest(store, dir, entry->d_name, found, notes);
        else
            sort_other(store, dir, shown, entry->d_name);
    }
    number = errno;
    closedir(stream);
    errno = number;
    return number ? err_sys(err, "%s", shown) : 0;
}

static struct store_absent *add_absent(struct store *store, const char *fid, const char *reason,
                                       bool lost)
{
    struct store_absent *absent = ARRAY_ADD(store->absents, store->absent_count, store->absent_cap);
    absent->reason = mem_strdup(reason);
    absent->lost = lost;
    snprintf(absent->brief.fid, sizeof absent->brief.fid, "%.32s", fid);
    return absent;
}

static void load_manifest(struct store *store, const char *file, struct manifest *manifest,
                          const struct err *why, struct buf *notes)
{
    if (!manifest) {
        add_absent(store, file, why->text, false);
        if (notes)
            buf_printf(notes, "%s/files/%s: %s\n", store->path, file, why->text);
        return;
    }
    *ARRAY_ADD(store->manifests, store->manifest_count, store->manifest_cap) = *manifest;
    *manifest = (struct manifest){0};
}

static struct store_absent *find_absent(struct store *store, const char *fid)
{
    for (size_t i = 0; i < store->absent_count; i++)
        if (strcmp(store->absents[i].brief.fid, fid) == 0)
            return &store->absents[i];
    return NULL;
}

/* An entry of the roster without a manifest that can be read: what it says is kept. */
static void take_brief(void *context, struct manifest *brief)
{
    struct store *store = context;
    if (store_find(store, brief->fid))
        return;
    struct store_absent *absent = find_absent(store, brief->fid);
    if (!absent)
        absent = add_absent(store, brief->fid, "its manifest is missing", true);
    manifest_release(&absent->brief);
    absent->brief = *brief;
    *brief = (struct manifest){0};
}

static void count_brief(void *context, struct manifest *brief)
{
    (void)brief;
    ++*(size_t *)context;
}

/* Compares the roster with the manifests; stores of version 1 had none. */
static int load_roster(struct store *store, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    struct err why = {0};
    size_t listed = 0;
    int r = file_read_all(store->dir, "roster", MANIFEST_LIMIT, &text, &why);
    if (r == 0)
        r = roster_read(text.data, text.len, count_brief, &listed, &why);
    if (r == 0)
        r = roster_read(text.data, text.len, take_brief, store, &why);
    if (r == ERR_IO)
        return err_set(err, r, "%s", why.text);
    if (r < 0 && (r != ERR_NOTFOUND || store->version > 1))
        store->roster_damage = mem_strdup(why.text);
    store->roster_stale = r < 0 || listed != store->manifest_count + store->absent_count;
    return 0;
}

/* Writes down what manifests there are. without: a fid that is about to go, or NULL. */
static int write_roster(struct store *store, const char *without, struct err *err)
{
    size_t count = 0, most = store->manifest_count + store->absent_count;
    AUTO_FREE const struct manifest **list = mem_alloc((most + 1) * sizeof *list);
    AUTO_BUF struct buf text = {0};
    for (size_t i = 0; i < most; i++) {
        const struct manifest *m = i < store->manifest_count
                                       ? &store->manifests[i]
                                       : &store->absents[i - store->manifest_count].brief;
        if (m->path && !(without && strcmp(m->fid, without) == 0))
            list[count++] = m;
    }
    roster_write(list, count, &text);
    return file_replace(store->dir, "roster", text.data, text.len, 0600, err);
}

static void load_held(struct store *store, const char *file, struct manifest *manifest,
                      const struct err *why, struct buf *notes)
{
    bool missing =
        manifest && faccessat(store->held_dir, manifest->fid, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    if (manifest && !missing) {
        struct held *held = ARRAY_ADD(store->held, store->held_count, store->held_cap);
        held->manifest = *manifest;
        *manifest = (struct manifest){0};
        return;
    }
    const char *reason = manifest ? "the base that it describes is missing" : why->text;
    bool needless = missing && errno == ENOENT && store->mode >= STORE_WRITE;
    if (needless && unlinkat(store->held_dir, file, 0) == 0)
        return; /* a crash came between it and its base: nothing relied on it yet */
    add_held_damage(store, file, reason);
    if (notes)
        buf_printf(notes, "%s/held/%s: %s\n", store->path, file, reason);
}

static int find_foreign(struct store *store, struct err *err)
{
    static const char *const own[] = {"files", "objects", "held",   "tmp",       "format",
                                      "lock",  "log",     "roster", "README.txt"};
    int fd = openat(store->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return err_sys(err, "%s", store->path);
    for (struct dirent *entry; (errno = 0, entry = readdir(stream));) {
        bool known = entry->d_name[0] == '.';
        for (size_t i = 0; i < COUNT_OF(own) && !known; i++)
            known = strcmp(own[i], entry->d_name) == 0;
        if (!known)
            add_foreign(store, "", entry->d_name);
    }
    int number = errno;
    closedir(stream);
    errno = number;
    return number ? err_sys(err, "%s", store->path) : 0;
}

/* Reads everything into an empty index. */
static int load_index(struct store *store, struct buf *notes, struct err *err)
{
    int r = each_manifest(store, store->files, "files", load_manifest, notes, err);
    if (r == 0)
        r = load_roster(store, err);
    if (r < 0 || store->mode == STORE_LIST)
        return r;
    r = each_manifest(store, store->held_dir, "held", load_held, notes, err);
    if (r == 0)
        r = index_objects(store, err);
    if (r == 0)
        r = find_foreign(store, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < store->manifest_count; i++)
        for (size_t k = 0; k < store->manifests[i].range_count; k++)
            index_delta(store, &store->manifests[i].ranges[k].id,
                        &store->manifests[i].ranges[k].base);
    for (size_t i = 0; i < store->held_count; i++)
        index_held(store, i);
    return 0;
}

int store_reload(struct store *store, struct buf *notes, struct err *err)
{
    struct store before = *store;
    forget_index(store);
    int r = load_index(store, notes, err);
    if (r == 0) {
        clear(&before);
        store->broken = false;
        return 0;
    }
    clear(store); /* what was known stays known, and nothing may be removed by it */
    *store = before;
    store->broken = true;
    return r;
}

static int open_parts(struct store *store, const char *command, struct buf *notes, struct err *err)
{
    if (store->mode >= STORE_WRITE) {
        int r = file_make_dirs(store->path, err);
        if (r < 0)
            return r;
    }
    store->dir = file_open_dir(AT_FDCWD, store->path, err);
    if (store->dir < 0)
        return store->dir;
    int r = check_format(store, err);
    if (r == 0 && store->mode >= STORE_WRITE)
        r = take_lock(store, command, err);
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
        r = write_roster(store, NULL, err);
    if (r == 0 && store->mode >= STORE_WRITE)
        r = store_recover(store, notes, err);
    return r;
}

int store_open(const char *path, enum store_mode mode, const char *command, struct store **ret,
               struct buf *notes, struct err *err)
{
    struct store *store = mem_zalloc(sizeof *store);
    store->dir = store->tmp = store->files = store->objects = store->held_dir = store->lock = -1;
    store->path = mem_strdup(path);
    store->mode = mode;
    int r = open_parts(store, command, notes, err);
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
    clear(store);
    cleanup_fd(&store->tmp);
    cleanup_fd(&store->files);
    cleanup_fd(&store->objects);
    cleanup_fd(&store->held_dir);
    cleanup_fd(&store->lock);
    cleanup_fd(&store->dir);
    free(store->unpublished);
    free(store->format_damage);
    free(store->path);
    free(store);
}

const char *store_path(const struct store *store)
{
    return store->path;
}

const char *store_format_damage(const struct store *store)
{
    return store->format_damage;
}

int store_dir(const struct store *store)
{
    return store->dir;
}

size_t store_manifest_count(const struct store *store)
{
    return store->manifest_count;
}

const struct manifest *store_manifest(const struct store *store, size_t i)
{
    return &store->manifests[i];
}

struct manifest store_take(struct store *store, size_t i)
{
    struct manifest manifest = store->manifests[i];
    store->manifests[i] = (struct manifest){0};
    return manifest;
}

size_t store_absent_count(const struct store *store)
{
    return store->absent_count;
}

const struct store_absent *store_absent(const struct store *store, size_t i)
{
    return &store->absents[i];
}

struct manifest store_take_brief(struct store *store, size_t i)
{
    struct manifest brief = store->absents[i].brief;
    store->absents[i].brief = (struct manifest){0};
    memcpy(store->absents[i].brief.fid, brief.fid, sizeof brief.fid);
    return brief;
}

const char *store_roster_damage(const struct store *store)
{
    return store->roster_damage;
}

size_t store_foreign_count(const struct store *store)
{
    return store->foreign_count;
}

const char *store_foreign(const struct store *store, size_t i)
{
    return store->foreign[i];
}

size_t store_held_damage_count(const struct store *store)
{
    return store->held_damage_count;
}

const struct held_damage *store_held_damage(const struct store *store, size_t i)
{
    return &store->held_damage[i];
}

static struct manifest *find(const struct store *store, const char *fid)
{
    for (size_t i = 0; i < store->manifest_count; i++)
        if (strcmp(store->manifests[i].fid, fid) == 0)
            return &store->manifests[i];
    return NULL;
}

const struct manifest *store_find(const struct store *store, const char *fid)
{
    return find(store, fid);
}

int store_put_manifest(struct store *store, const struct manifest *manifest, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    char name[48];
    struct manifest copy = {0};
    manifest_write(manifest, &text);
    int r = manifest_read(text.data, text.len, &copy, err); /* what is written can be read */
    snprintf(name, sizeof name, "%s.json", manifest->fid);
    if (r == 0)
        r = file_replace(store->files, name, text.data, text.len, 0600, err);
    if (r < 0) {
        manifest_release(&copy);
        return r;
    }
    struct manifest *before = find(store, manifest->fid);
    bool added = !before;
    if (before)
        manifest_release(before);
    else
        before = ARRAY_ADD(store->manifests, store->manifest_count, store->manifest_cap);
    *before = copy;
    for (size_t i = 0; i < before->range_count; i++)
        index_delta(store, &before->ranges[i].id, &before->ranges[i].base);
    return added ? write_roster(store, NULL, err) : 0;
}

int store_set_state(struct store *store, const char *fid, enum manifest_state state,
                    struct err *err)
{
    struct manifest *manifest = find(store, fid);
    AUTO_BUF struct buf text = {0};
    char name[48];
    if (!manifest)
        return err_set(err, ERR_NOTFOUND, "no manifest %s", fid);
    enum manifest_state before = manifest->state;
    manifest->state = state;
    manifest_write(manifest, &text);
    snprintf(name, sizeof name, "%s.json", fid);
    int r = file_replace(store->files, name, text.data, text.len, 0600, err);
    if (r < 0)
        manifest->state = before;
    return r;
}

/*
 * Off the roster first: a manifest that is not on it is put there again, never missed. On a full
 * disk the old roster makes room for the new one.
 */
static int drop(struct store *store, const char *fid, struct err *err)
{
    AUTO_FREE char *name = mem_printf("%s.json", fid);
    int r = write_roster(store, fid, err);
    if (r == ERR_NOSPACE && unlinkat(store->dir, "roster", 0) == 0)
        r = write_roster(store, fid, err);
    if (r == 0 && unlinkat(store->files, name, 0) < 0 && errno != ENOENT)
        r = err_sys(err, "%s", name);
    return r < 0 ? r : file_sync_dir(store->files, err);
}

int store_drop_manifest(struct store *store, const char *fid, struct err *err)
{
    struct manifest *manifest = find(store, fid);
    int r = drop(store, fid, err);
    if (r == 0 && manifest) {
        manifest_release(manifest);
        *manifest = store->manifests[--store->manifest_count];
    }
    return r;
}

int store_drop_absent(struct store *store, const char *fid, struct err *err)
{
    struct store_absent *absent = find_absent(store, fid);
    int r = drop(store, fid, err);
    if (r == 0 && absent) {
        manifest_release(&absent->brief);
        free(absent->reason);
        *absent = store->absents[--store->absent_count];
    }
    return r;
}

enum content_kind store_has(const struct store *store, const struct hash128 *id)
{
    uint64_t place;
    return map_get(&store->places, id, &place) ? place_kind(place) : CONTENT_NONE;
}

bool store_is_delta(const struct store *store, const struct hash128 *id)
{
    return map_has(&store->deltas, id);
}

struct hash128 store_base_of(const struct store *store, const struct hash128 *id)
{
    uint64_t at;
    return map_get(&store->deltas, id, &at) ? store->delta_bases[at] : (struct hash128){0};
}

bool store_is_base(const struct store *store, const struct hash128 *id)
{
    return map_has(&store->bases, id);
}

bool store_held_elsewhere(const struct store *store, const struct hash128 *id, const char *path,
                          const struct stat *own)
{
    uint64_t at;
    struct stat st;
    if (!map_get(&store->held_ids, id, &at))
        return false;
    const struct manifest *held = &store->held[at >> 32].manifest;
    return strcmp(held->path, path) != 0 &&
           fstatat(store->held_dir, held->fid, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (st.st_dev != own->st_dev || st.st_ino != own->st_ino);
}

void store_prefer_objects(struct store *store, bool on)
{
    store->prefer_objects = on;
}

bool store_holds(const struct store *store, dev_t dev, ino_t ino)
{
    struct stat st;
    for (size_t i = 0; i < store->held_count; i++)
        if (fstatat(store->held_dir, store->held[i].manifest.fid, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_dev == dev && st.st_ino == ino)
            return true;
    return false;
}

int store_object_new(struct store *store, const struct object_entry *entries, uint32_t count,
                     struct object_writer **ret, struct err *err)
{
    struct unpublished *made =
        ARRAY_ADD(store->unpublished, store->unpublished_count, store->unpublished_cap);
    snprintf(made->tmp, sizeof made->tmp, "%llu", (unsigned long long)++store->next_tmp);
    bool pack = count > 1 || entries[0].bytes < PACK_BELOW;
    struct hash128 id = entries[0].id;
    if (pack) {
        AUTO_BUF struct buf ids = {0};
        for (uint32_t i = 0; i < count; i++)
            buf_add(&ids, &entries[i].id, sizeof entries[i].id);
        id = hash128_of(ids.data, ids.len);
    }
    object_name(made->place, &id, pack);
    for (uint32_t i = 0; i < count; i++) {
        if (pack)
            place_in_pack(store, &entries[i].id, store->pack_count);
        else
            map_put(&store->places, &entries[i].id, place_make(CONTENT_OBJECT, 0));
        index_delta(store, &entries[i].id, &entries[i].base);
    }
    if (pack)
        *ARRAY_ADD(store->packs, store->pack_count, store->pack_cap) = id;
    return object_writer_new(store->tmp, made->tmp, entries, count, ret, err);
}

int store_object_again(struct store *store, const struct object_entry *entry,
                       struct object_writer **ret, struct err *err)
{
    struct unpublished *made =
        ARRAY_ADD(store->unpublished, store->unpublished_count, store->unpublished_cap);
    snprintf(made->tmp, sizeof made->tmp, "%llu", (unsigned long long)++store->next_tmp);
    object_name(made->place, &entry->id, false);
    return object_writer_new(store->tmp, made->tmp, entry, 1, ret, err);
}

bool store_counts(const struct store *store, const struct hash128 *id, const char *name)
{
    uint64_t place;
    char counts[OBJECT_NAME];
    if (!map_get(&store->places, id, &place) || place_kind(place) == CONTENT_HELD)
        return false;
    bool pack = place_kind(place) == CONTENT_PACK;
    object_name(counts, pack ? &store->packs[place_index(place)] : id, pack);
    return strcmp(counts, name) == 0;
}

int store_unhold(struct store *store, const char *name, struct err *err)
{
    AUTO_FREE char *base = mem_strdup(file_base(name));
    if (text_ends_with(base, ".json"))
        base[strlen(base) - 5] = '\0';
    AUTO_FREE char *sidecar = mem_printf("%s.json", base);
    if ((unlinkat(store->held_dir, base, 0) < 0 && errno != ENOENT) ||
        (unlinkat(store->held_dir, sidecar, 0) < 0 && errno != ENOENT))
        return err_sys(err, "held/%s", base);
    return file_sync_dir(store->held_dir, err);
}

int store_remove_object(struct store *store, const char *name, struct err *err)
{
    if (unlinkat(store->objects, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, "objects/%s", name);
    return 0;
}

int store_refresh(struct store *store, struct err *err)
{
    return store_reload(store, NULL, err);
}

int store_object_finish(struct object_writer *writer, uint64_t *size, struct err *err)
{
    uint64_t length;
    int r = object_writer_finish(writer, &length, err);
    if (r == 0)
        *size += length;
    return r;
}

int store_publish(struct store *store, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < store->unpublished_count && r == 0; i++) {
        const struct unpublished *made = &store->unpublished[i];
        char folder[3] = {made->place[0], made->place[1], '\0'};
        if (mkdirat(store->objects, folder, 0700) < 0 && errno != EEXIST)
            r = err_sys(err, "objects/%s", folder);
        if (r == 0 && renameat(store->tmp, made->tmp, store->objects, made->place) < 0)
            r = err_sys(err, "objects/%s", made->place);
    }
    if (r == 0)
        r = file_sync_dir(store->objects, err);
    for (size_t i = 0; i < store->unpublished_count && r == 0; i++) {
        char folder[3] = {store->unpublished[i].place[0], store->unpublished[i].place[1], '\0'};
        AUTO_FD int dir = file_open_dir(store->objects, folder, err);
        r = dir < 0 ? dir : file_sync_dir(dir, err);
    }
    if (r == 0)
        store->unpublished_count = 0;
    return r;
}

void store_forget(struct store *store)
{
    store->unpublished_count = 0;
    (void)file_remove_below(store->tmp, NULL);
    if (store_reload(store, NULL, NULL) == 0)
        (void)store_tidy(store, NULL);
}

bool store_can_clone(const char *folder, const char *path)
{
    AUTO_FREE char *place = mem_strdup(folder);
    while (access(place, F_OK) < 0 && strrchr(place, '/') > place)
        *strrchr(place, '/') = '\0';
    AUTO_FD int to = open(place, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    AUTO_FD int from = file_open_regular(AT_FDCWD, path, NULL, NULL);
    return to >= 0 && from >= 0 && ioctl(to, FICLONE, from) == 0;
}

/* held/<fid> as a link to, or a clone of, the file. */
static int make_held(struct store *store, const char *fid, const char *path, bool link,
                     struct err *err)
{
    if (link) {
        if (linkat(AT_FDCWD, path, store->held_dir, fid, 0) < 0 && errno != EEXIST)
            return err_sys(err, "holding %s", path);
        return file_sync_dir(store->held_dir, err);
    }
    AUTO_FD int from = file_open_regular(AT_FDCWD, path, NULL, err);
    if (from < 0)
        return from;
    AUTO_FD int to = openat(store->held_dir, fid, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (to < 0)
        return err_sys(err, "holding %s", path);
    if (ioctl(to, FICLONE, from) < 0 || fsync(to) < 0) {
        int r = err_sys(err, "holding %s", path);
        (void)unlinkat(store->held_dir, fid, 0);
        return r;
    }
    return file_sync_dir(store->held_dir, err);
}

int store_hold(struct store *store, const struct manifest *file, bool link, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    struct manifest copy = {0};
    char name[48];
    for (size_t i = 0; i < store->held_count; i++)
        if (strcmp(store->held[i].manifest.fid, file->fid) == 0)
            return 0;
    manifest_write(file, &text);
    snprintf(name, sizeof name, "%s.json", file->fid);
    int r = manifest_read(text.data, text.len, &copy, err);
    if (r == 0)
        r = file_replace(store->held_dir, name, text.data, text.len, 0600, err);
    if (r == 0)
        r = make_held(store, file->fid, file->path, link, err);
    if (r < 0) {
        (void)unlinkat(store->held_dir, name, 0);
        manifest_release(&copy);
        return r;
    }
    struct held *held = ARRAY_ADD(store->held, store->held_count, store->held_cap);
    held->manifest = copy;
    index_held(store, store->held_count - 1);
    return 0;
}

int store_log(struct store *store, const char *line, size_t n, struct err *err)
{
    AUTO_FD int fd = openat(store->dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, "%s/log", store->path);
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

void store_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

size_t store_held_count(const struct store *store)
{
    return store->held_count;
}

const struct manifest *store_held(const struct store *store, size_t i)
{
    return &store->held[i].manifest;
}

char *store_aside_path(const struct manifest *manifest)
{
    AUTO_FREE char *dir = file_dir(manifest->path);
    return mem_printf("%s/.tare-aside-%s", dir, manifest->fid);
}

char *store_restore_path(const struct manifest *manifest)
{
    AUTO_FREE char *dir = file_dir(manifest->path);
    return mem_printf("%s/.tare-restore-%s", dir, manifest->fid);
}

char *store_note_path(const struct manifest *manifest)
{
    return mem_printf("%s.tare", manifest->path);
}
