/* SPDX-License-Identifier: MIT */
/* What is in a store: manifests, roster, objects, packs and held bases, read into memory. */
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
#include <unistd.h>

enum { MANIFEST_LIMIT = 1 << 30 };

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

struct known *store_known(const struct store *store, const struct hash128 *id)
{
    uint64_t at;
    return map_get(&store->ids, id, &at) ? &store->known[at] : NULL;
}

struct known *store_known_add(struct store *store, const struct hash128 *id)
{
    struct known *known = store_known(store, id);
    if (known)
        return known;
    map_put(&store->ids, id, store->known_count);
    return ARRAY_ADD(store->known, store->known_count, store->known_cap);
}

void store_loosen(struct store *store, const struct hash128 *id)
{
    *ARRAY_ADD(store->loose, store->loose_count, store->loose_cap) = *id;
}

void store_index_delta(struct store *store, const struct hash128 *id, const struct hash128 *base)
{
    if (hash128_is_zero(base))
        return;
    store_known_add(store, id)->base = *base;
    store_known_add(store, base)->is_base = true;
}

static void add_use(void *context, const struct hash128 *id)
{
    store_known_add(context, id)->uses++;
}

static void end_use(void *context, const struct hash128 *id)
{
    struct known *known = store_known(context, id);
    if (known && known->uses)
        known->uses--;
    store_loosen(context, id);
}

/* What the table of an object or pack says of its base counts before what a manifest says. */
static void index_range(struct store *store, const struct manifest_range *range)
{
    bool delta = range->base_count > 0;
    struct hash128 base = delta ? range->bases[0] : (struct hash128){0};
    struct known *known = store_known_add(store, &range->id);
    known->alone |=
        !delta || ((known->named || known->sure) && !hash128_equal(&known->base, &base));
    if (delta && !known->sure && hash128_is_zero(&known->base))
        known->base = base;
    known->named = true;
    for (size_t i = 0; i < range->base_count; i++) {
        struct known *needed = store_known_add(store, &range->bases[i]);
        needed->is_base = true;
        if (i + 1 < range->base_count && !needed->sure)
            needed->base = range->bases[i + 1];
    }
    range_each_id(range, add_use, store);
}

/* Counts the models that a file belongs to, each once; by: 1, or -1. */
static void count_models(struct store *store, const struct manifest *m, int by)
{
    struct map counted = {0};
    for (size_t i = 0; i < m->view_count && m->state != MANIFEST_COMPANIONS; i++) {
        struct hash128 key = hash128_of(m->views[i].id, strlen(m->views[i].id));
        uint64_t count = 0;
        if (map_has(&counted, &key))
            continue;
        map_put(&counted, &key, 1);
        (void)map_get(&store->models, &key, &count);
        map_put(&store->models, &key, count + (uint64_t)by);
    }
    map_release(&counted);
}

void store_index_manifest(struct store *store, const struct manifest *m)
{
    count_models(store, m, 1);
    for (size_t i = 0; i < m->range_count; i++)
        index_range(store, &m->ranges[i]);
}

void store_unindex_manifest(struct store *store, const struct manifest *m)
{
    count_models(store, m, -1);
    for (size_t i = 0; i < m->range_count; i++)
        range_each_id(&m->ranges[i], end_use, store);
}

void store_unplace(struct store *store, const struct hash128 *id)
{
    uint64_t at;
    struct known *known = store_known(store, id);
    map_remove(&store->places, id);
    if (map_get(&store->held_ids, id, &at))
        map_put(&store->places, id, place_make(CONTENT_HELD, at));
    if (known)
        *known = (struct known){.uses = known->uses, .is_base = known->is_base};
}

void store_index_held(struct store *store, size_t h)
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
void store_place_in_pack(struct store *store, const struct hash128 *id, size_t pack)
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
        store_place_in_pack(store, &object->entries[i].id, store->pack_count - 1);
        store_index_delta(store, &object->entries[i].id, &object->entries[i].base);
        store_known_add(store, &object->entries[i].id)->sure = true;
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
    int fd = openat(store->objects, *folder ? folder : ".",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int r = stream ? 0 : -1;
    for (struct dirent *entry; r == 0 && (errno = 0, entry = readdir(stream));) {
        const char *name = entry->d_name;
        AUTO_FREE char *full = file_join(folder, name);
        if (name[0] == '.')
            continue;
        struct stat st;
        if (!*folder && strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2 &&
            fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
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
    if (store->making || name_objects(store, "", naming) == 0)
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
    store->packs = store->loose = NULL;
    store->known = NULL;
    store->manifest_count = store->manifest_cap = store->held_count = store->held_cap = 0;
    store->pack_count = store->pack_cap = store->known_count = store->known_cap = 0;
    store->places = store->ids = store->held_ids = store->held_inodes = (struct map){0};
    store->by_fid = store->models = (struct map){0};
    store->pack = NULL;
    store->absents = NULL;
    store->foreign = NULL;
    store->held_damage = NULL;
    store->roster_damage = NULL;
    store->absent_count = store->absent_cap = store->foreign_count = store->foreign_cap = 0;
    store->held_damage_count = store->held_damage_cap = 0;
    store->loose_count = store->loose_cap = 0;
}

void store_clear_index(struct store *store)
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
        manifest_release(&store->held_damage[i].manifest);
        free(store->held_damage[i].name);
        free(store->held_damage[i].reason);
    }
    store_names_free(store->foreign, store->foreign_count);
    free(store->absents);
    free(store->held_damage);
    free(store->roster_damage);
    map_release(&store->places);
    map_release(&store->ids);
    map_release(&store->held_ids);
    map_release(&store->held_inodes);
    map_release(&store->by_fid);
    map_release(&store->models);
    free(store->known);
    free(store->loose);
    free(store->manifests);
    free(store->held);
    free(store->packs);
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

static struct held_damage *add_held_damage(struct store *store, const char *name,
                                           const char *reason)
{
    struct held_damage *damage =
        ARRAY_ADD(store->held_damage, store->held_damage_count, store->held_damage_cap);
    *damage = (struct held_damage){.name = file_join("held", name), .reason = mem_strdup(reason)};
    return damage;
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
                                       int code)
{
    struct store_absent *absent = ARRAY_ADD(store->absents, store->absent_count, store->absent_cap);
    absent->reason = mem_strdup(reason);
    absent->lost = code == ERR_NOTFOUND;
    absent->damaged = code == ERR_DAMAGED;
    snprintf(absent->brief.fid, sizeof absent->brief.fid, "%.32s", fid);
    return absent;
}

static void load_manifest(struct store *store, const char *file, struct manifest *manifest,
                          const struct err *why, struct buf *notes)
{
    if (!manifest) {
        add_absent(store, file, why->text, why->code);
        if (notes)
            buf_printf(notes, "%s/files/%s: %s\n", store->path, file, why->text);
        return;
    }
    store_keep_manifest(store, manifest);
    *manifest = (struct manifest){0};
}

struct store_absent *store_find_absent(struct store *store, const char *fid)
{
    for (size_t i = 0; i < store->absent_count; i++)
        if (strcmp(store->absents[i].brief.fid, fid) == 0)
            return &store->absents[i];
    return NULL;
}

void store_add_brief(void *context, struct manifest *brief)
{
    struct store *store = context;
    struct store_absent *absent = store_find_absent(store, brief->fid);
    if (!absent)
        absent = add_absent(store, brief->fid, "its manifest is missing", ERR_NOTFOUND);
    manifest_release(&absent->brief);
    absent->brief = *brief;
    *brief = (struct manifest){0};
}

static void load_held(struct store *store, const char *file, struct manifest *manifest,
                      const struct err *why, struct buf *notes)
{
    bool missing = manifest &&
                   faccessat(store->held_dir, manifest->fid, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                   errno == ENOENT;
    (void)notes;
    if (manifest && !missing) {
        struct held *held = ARRAY_ADD(store->held, store->held_count, store->held_cap);
        held->manifest = *manifest;
        *manifest = (struct manifest){0};
        return;
    }
    /* A crash between it and its base leaves one, too: gc removes it where nobody needs it. */
    struct held_damage *damage = add_held_damage(
        store, file, manifest ? "the base that it describes is missing" : why->text);
    if (manifest) {
        damage->manifest = *manifest;
        *manifest = (struct manifest){0};
    }
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
        r = store_load_roster(store, err);
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
        store_index_manifest(store, &store->manifests[i]);
    for (size_t i = 0; i < store->held_count; i++)
        store_index_held(store, i);
    return 0;
}

int store_reload(struct store *store, struct buf *notes, struct err *err)
{
    struct store before = *store;
    forget_index(store);
    int r = load_index(store, notes, err);
    if (r == 0) {
        store_clear_index(&before);
        store->broken = false;
        return 0;
    }
    store_clear_index(store); /* what was known stays known, and nothing may be removed by it */
    *store = before;
    store->broken = true;
    return r;
}

void store_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
