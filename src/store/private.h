/* SPDX-License-Identifier: MIT */
/* What the files of src/store share. */
#ifndef TARE_STORE_PRIVATE_H
#define TARE_STORE_PRIVATE_H

#include "store/store.h"

enum { OBJECT_NAME = 48 };

/* An object file that is finished but still lies in tmp/. */
struct unpublished {
    char tmp[40], place[OBJECT_NAME]; /* names below tmp/ and objects/ */
};

struct held {
    struct manifest manifest; /* path, size and ranges; the file is held/<fid> */
};

struct store {
    char *path;
    int version;         /* of the format file */
    char *format_damage; /* NULL, or what is wrong with the format file (readers) */
    int dir, tmp, files, objects, held_dir, lock; /* -1 where not open */
    bool locked;                                  /* by us */
    enum store_mode mode;
    struct manifest *manifests;
    size_t manifest_count, manifest_cap;
    struct store_absent *absents;
    size_t absent_count, absent_cap;
    char *roster_damage; /* NULL, or what is wrong with the roster */
    bool roster_stale;   /* a manifest is not on it: a crash came between */
    char **foreign;      /* what lies in the store's folders and is not the store's */
    size_t foreign_count, foreign_cap;
    struct held *held;
    size_t held_count, held_cap;
    struct held_damage *held_damage;
    size_t held_damage_count, held_damage_cap;
    struct hash128 *packs;
    size_t pack_count, pack_cap;
    struct map places; /* id -> place_make() */
    struct map deltas; /* ids that are deltas -> index of delta_bases */
    struct hash128 *delta_bases;
    size_t delta_count, delta_cap;
    struct map bases;    /* ids that some delta needs */
    struct map named;    /* ids that manifests name -> enum naming_kind */
    struct map held_ids; /* id -> index of held << 32 | index of range */
    struct unpublished *unpublished;
    size_t unpublished_count, unpublished_cap;
    uint64_t next_tmp;
    bool prefer_objects; /* over held files, see store_prefer_objects */
    bool broken;         /* the index could not be read again: nothing may be removed */
    struct object *pack; /* opened last: its small tensors are asked for one after the other */
    struct hash128 pack_id;
};

/* What the manifests that name an id say of it. */
enum naming_kind { NAMED_DELTA = 1, NAMED_ALONE = 2 };

/* A place of bytes: what kind, and an index of packs or what held_ids holds. */
static inline uint64_t place_make(enum content_kind kind, uint64_t index)
{
    return (uint64_t)kind << 60 | index;
}
static inline enum content_kind place_kind(uint64_t place)
{
    return (enum content_kind)(place >> 60);
}
static inline uint64_t place_index(uint64_t place)
{
    return place & (((uint64_t)1 << 60) - 1);
}

/* Notes in the index: what a manifest names; a delta and its base; a held base; a pack as the place
 * of an entry. */
void store_index_manifest(struct store *store, const struct manifest *manifest);
void store_index_delta(struct store *store, const struct hash128 *id, const struct hash128 *base);
void store_index_held(struct store *store, size_t h);
void store_place_in_pack(struct store *store, const struct hash128 *id, size_t pack);
/* Releases the index, and leaves an empty one. */
void store_clear_index(struct store *store);
struct store_absent *store_find_absent(struct store *store, const char *fid);
/* Writes down what manifests there are. without: a fid that is about to go, or NULL. */
int store_write_roster(struct store *store, const char *without, struct err *err);

/* Reads manifests, held files and objects anew. */
int store_reload(struct store *store, struct buf *notes, struct err *err);
/* Puts right what a crash left: the recovery table of docs/store-format.md. */
int store_recover(struct store *store, struct buf *notes, struct err *err);

/* "ab/abcdef…" or "ab/abcdef….pack" */
void object_name(char dst[OBJECT_NAME], const struct hash128 *id, bool pack);

#endif
