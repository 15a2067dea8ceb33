/* SPDX-License-Identifier: MIT */
/* What is asked of a store that is open, and what is changed in it. */
#include "store/store.h"

#include "base/file.h"
#include "base/text.h"
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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
    struct hash128 key;
    uint64_t at;
    return hash128_parse(&key, fid) && map_get(&store->by_fid, &key, &at) ? &store->manifests[at]
                                                                          : NULL;
}

const struct manifest *store_find(const struct store *store, const char *fid)
{
    return find(store, fid);
}

struct manifest *store_keep_manifest(struct store *store, struct manifest *manifest)
{
    struct hash128 key;
    struct manifest *kept = find(store, manifest->fid);
    if (kept) {
        manifest_release(kept);
    } else {
        if (hash128_parse(&key, manifest->fid))
            map_put(&store->by_fid, &key, store->manifest_count);
        kept = ARRAY_ADD(store->manifests, store->manifest_count, store->manifest_cap);
    }
    *kept = *manifest;
    return kept;
}

/* Takes it out of the list: the last one gets its place. */
static void forget_manifest(struct store *store, struct manifest *manifest)
{
    struct hash128 key;
    size_t at = (size_t)(manifest - store->manifests);
    store_unindex_manifest(store, manifest);
    if (hash128_parse(&key, manifest->fid))
        map_remove(&store->by_fid, &key);
    manifest_release(manifest);
    *manifest = store->manifests[--store->manifest_count];
    if (at < store->manifest_count && hash128_parse(&key, manifest->fid))
        map_put(&store->by_fid, &key, at);
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
        r = file_replace(store->files, name, text.data, text.len, store_file_mode(store), err);
    if (r < 0) {
        store->broken = true; /* the new one may be there all the same: nothing is removed by what
                                 is known, until that is read again */
        manifest_release(&copy);
        return r;
    }
    const struct manifest *before = find(store, manifest->fid);
    bool changed =
        !before || before->view_count != copy.view_count || before->link_count != copy.link_count;
    store_index_manifest(store, &copy); /* before the old one goes: nothing is loose between */
    if (before)
        store_unindex_manifest(store, before);
    const struct manifest *kept = store_keep_manifest(store, &copy);
    return changed ? store_roster_came(store, kept, err) : 0;
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
    int r = file_replace(store->files, name, text.data, text.len, store_file_mode(store), err);
    if (r < 0)
        manifest->state = before;
    return r;
}

int store_set_aside(struct store *store, const char *fid, int64_t until, struct err *err)
{
    struct manifest *m = find(store, fid);
    if (m)
        m->until = until;
    return store_set_state(store, fid, MANIFEST_ASIDE, err);
}

int store_put_shas(struct store *store, const char *fid, const struct sha256 *shas, struct err *err)
{
    struct manifest *m = find(store, fid);
    struct hash_tree tree = {0};
    if (!m)
        return err_set(err, ERR_NOTFOUND, "no manifest %s", fid);
    for (size_t i = 0; i < m->range_count; i++) {
        m->ranges[i].sha = shas[i];
        hash_tree_add(&tree, &shas[i]);
    }
    m->sha = hash_tree_end(&tree, TREE_FILE, m->size);
    return store_set_state(store, fid, m->state, err);
}

/* Off the roster first: a manifest that is not on it is put there again, never missed. */
static int drop(struct store *store, const char *fid, struct err *err)
{
    AUTO_FREE char *name = mem_printf("%s.json", fid);
    int r = store_roster_goes(store, fid, err);
    if (r == 0 && unlinkat(store->files, name, 0) < 0 && errno != ENOENT)
        r = err_sys(err, "%s", name);
    return r < 0 ? r : file_sync_dir(store->files, err);
}

void store_companions_fid(const char *model_id, char fid[HASH128_HEX])
{
    AUTO_FREE char *text = mem_printf("companions\n%s", model_id);
    struct hash128 hash = hash128_of(text, strlen(text));
    hash128_hex(fid, &hash);
}

uint64_t store_model_files(const struct store *store, const char *model_id)
{
    struct hash128 key = hash128_of(model_id, strlen(model_id));
    uint64_t count = 0;
    return map_get(&store->models, &key, &count) ? count : 0;
}

/* What is kept for models that have nothing else in the store: their fids. */
static struct hash128 *lonely_companions(const struct store *store, const struct manifest *m,
                                         size_t *ret_count)
{
    struct hash128 *fids = mem_alloc((m->view_count + 1) * sizeof *fids);
    *ret_count = 0;
    for (size_t i = 0; i < m->view_count && m->state != MANIFEST_COMPANIONS; i++) {
        char fid[HASH128_HEX];
        store_companions_fid(m->views[i].id, fid);
        const struct manifest *kept = find(store, fid);
        if (store_model_files(store, m->views[i].id) == 1 && kept &&
            !store_companions_missing(kept) && hash128_parse(&fids[*ret_count], fid))
            ++*ret_count;
    }
    return fids;
}

int store_drop_manifest(struct store *store, const char *fid, struct err *err)
{
    struct manifest *manifest = find(store, fid);
    size_t count = 0;
    AUTO_FREE struct hash128 *lonely = manifest ? lonely_companions(store, manifest, &count) : NULL;
    int r = drop(store, fid, err);
    if (r == 0 && manifest)
        forget_manifest(store, manifest);
    for (size_t i = 0; i < count && r == 0; i++) {
        char own[HASH128_HEX];
        hash128_hex(own, &lonely[i]);
        struct manifest *kept = find(store, own); /* a model may have named the file twice */
        r = kept ? drop(store, own, err) : 0;
        if (r == 0 && kept)
            forget_manifest(store, kept);
    }
    return r;
}

int store_drop_absent(struct store *store, const char *fid, struct err *err)
{
    struct store_absent *absent = store_find_absent(store, fid);
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

struct hash128 store_base_of(const struct store *store, const struct hash128 *id)
{
    const struct known *known = store_known(store, id);
    return known ? known->base : (struct hash128){0};
}

bool store_is_delta(const struct store *store, const struct hash128 *id)
{
    struct hash128 base = store_base_of(store, id);
    return !hash128_is_zero(&base);
}

/* Reads from its object what an id is a delta against, where that is not known for sure. */
static int learn(struct store *store, const struct hash128 *id, struct err *err)
{
    char name[OBJECT_NAME];
    struct object *object;
    const struct known *known = store_known(store, id);
    if ((known && known->sure) || store_has(store, id) != CONTENT_OBJECT)
        return 0;
    object_name(name, id, false);
    int r = object_open(store->objects, name, &object, err);
    if (r < 0)
        return r;
    const struct object_entry *entry = object_find(object, id);
    if (entry) {
        struct known *learned = store_known_add(store, id);
        learned->base = (struct hash128){0}; /* a manifest may have said another one */
        learned->sure = true;
        store_index_delta(store, id, &entry->base);
    }
    object_free(object);
    return entry ? 0 : err_set(err, ERR_DAMAGED, "object %s is not where it should be", name);
}

int store_bases(struct store *store, const struct hash128 *id, struct hash128 bases[BASES_DEEP],
                size_t *ret_count, struct err *err)
{
    char hex[HASH128_HEX];
    struct hash128 at = *id;
    hash128_hex(hex, id);
    *ret_count = 0;
    for (;;) {
        enum content_kind kind = store_has(store, &at);
        if (kind == CONTENT_NONE)
            return err_set(err, ERR_NOTFOUND, "%s %s is missing from the store",
                           *ret_count ? "the base of" : "object", hex);
        int r = kind == CONTENT_HELD ? 0 : learn(store, &at, err);
        if (r < 0)
            return r;
        at = kind == CONTENT_HELD ? (struct hash128){0} : store_base_of(store, &at);
        if (hash128_is_zero(&at))
            return 0;
        if (*ret_count == BASES_DEEP)
            return err_set(err, ERR_DAMAGED, "object %s: its base never ends", hex);
        bases[(*ret_count)++] = at;
    }
}

bool store_may_be_delta(const struct store *store, const struct hash128 *id,
                        const struct hash128 *base)
{
    const struct known *known = store_known(store, id);
    return !known || !known->named || (!known->alone && hash128_equal(&known->base, base));
}

bool store_is_base(const struct store *store, const struct hash128 *id)
{
    const struct known *known = store_known(store, id);
    return known && known->is_base;
}

bool store_is_needed(const struct store *store, const struct hash128 *id)
{
    const struct known *known = store_known(store, id);
    return known && known->uses > 0;
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

/* Of an inode, as a key of maps. */
static struct hash128 inode_key(dev_t dev, ino_t ino)
{
    const uint64_t both[] = {dev, ino};
    return hash128_of(both, sizeof both);
}

static void note_inode(struct store *store, const char *fid)
{
    struct stat st;
    if (fstatat(store->held_dir, fid, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    struct hash128 key = inode_key(st.st_dev, st.st_ino);
    map_put(&store->held_inodes, &key, 1);
}

bool store_holds(struct store *store, dev_t dev, ino_t ino)
{
    struct hash128 key = inode_key(dev, ino);
    for (size_t i = 0; i < store->held_count && !store->held_inodes.count; i++)
        note_inode(store, store->held[i].manifest.fid);
    return map_has(&store->held_inodes, &key);
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
            store_place_in_pack(store, &entries[i].id, store->pack_count);
        else
            map_put(&store->places, &entries[i].id, place_make(CONTENT_OBJECT, 0));
        struct known *known = store_known_add(store, &entries[i].id);
        known->base = (struct hash128){0};
        known->sure = true;
        store_index_delta(store, &entries[i].id, &entries[i].base);
        store_loosen(store, &entries[i].id);
    }
    if (pack)
        *ARRAY_ADD(store->packs, store->pack_count, store->pack_cap) = id;
    return object_writer_new(store->tmp, made->tmp, entries, count, pack, ret, err);
}

int store_object_again(struct store *store, const struct object_entry *entry,
                       struct object_writer **ret, struct err *err)
{
    struct unpublished *made =
        ARRAY_ADD(store->unpublished, store->unpublished_count, store->unpublished_cap);
    snprintf(made->tmp, sizeof made->tmp, "%llu", (unsigned long long)++store->next_tmp);
    object_name(made->place, &entry->id, false);
    return object_writer_new(store->tmp, made->tmp, entry, 1, false, ret, err);
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

int store_object_folder(const struct store *store, const char *name, struct err *err)
{
    char folder[3] = {name[0], name[1], '\0'};
    int dir = openat(store->objects, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? err_sys(err, "objects/%s", folder) : dir;
}

int store_remove_object(struct store *store, const char *name, struct err *err)
{
    struct err why = {0};
    AUTO_FD int dir = store_object_folder(store, name, &why);
    if (dir < 0)
        return dir == ERR_NOTFOUND ? 0 : err_set(err, dir, "%s", why.text);
    if (unlinkat(dir, file_base(name), 0) < 0 && errno != ENOENT)
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
        if (store_make_dir(store, store->objects, folder) < 0 && errno != EEXIST)
            r = err_sys(err, "objects/%s", folder);
        store_share(store, store->tmp, made->tmp);
        AUTO_FD int dir = r < 0 ? r : store_object_folder(store, made->place, err);
        r = MIN(r, MIN(dir, 0));
        if (r == 0 && renameat(store->tmp, made->tmp, dir, file_base(made->place)) < 0)
            r = err_sys(err, "objects/%s", made->place);
    }
    if (r == 0)
        r = file_sync_dir(store->objects, err);
    for (size_t i = 0; i < store->unpublished_count && r == 0; i++) {
        AUTO_FD int dir = store_object_folder(store, store->unpublished[i].place, err);
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
    (void)store_sweep(store, NULL);
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
        r = file_replace(store->held_dir, name, text.data, text.len, store_file_mode(store), err);
    if (r == 0)
        r = make_held(store, file->fid, file->path, link, err);
    if (r < 0) {
        (void)unlinkat(store->held_dir, name, 0);
        manifest_release(&copy);
        return r;
    }
    struct held *held = ARRAY_ADD(store->held, store->held_count, store->held_cap);
    held->manifest = copy;
    for (size_t i = 0; i < copy.range_count; i++)
        store_loosen(store, &copy.ranges[i].id);
    if (store->held_inodes.count)
        note_inode(store, copy.fid);
    store_index_held(store, store->held_count - 1);
    return 0;
}

size_t store_held_count(const struct store *store)
{
    return store->held_count;
}

const struct manifest *store_held(const struct store *store, size_t i)
{
    return &store->held[i].manifest;
}
