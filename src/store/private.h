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

/* What is known of an id beside its place. */
struct known {
    struct hash128 base; /* what its object or pack entry is a delta against; zero: nothing */
    uint32_t uses;       /* ranges of manifests that need it, as their content or as a base */
    bool is_base;        /* some delta needs it */
    bool named, alone;   /* manifests name it as a content; one of them without a base */
    bool sure;           /* base was read from its object, or from a manifest that says all */
};

struct store {
    char *path;
    struct store_format format;
    char *format_damage; /* NULL, or what is wrong with the format file (readers) */
    int dir, tmp, files, objects, held_dir, lock; /* -1 where not open */
    bool locked;                                  /* by us */
    bool making;                                  /* a reader found it cut off in the making */
    enum store_mode mode;
    uid_t owner;    /* of its folder */
    char *confined; /* NULL, or the only folder that it may write below */
    bool homeless;  /* that is the home folder, or above it: it may not write at all */
    struct manifest *manifests;
    size_t manifest_count, manifest_cap;
    struct map by_fid; /* -> index of manifests */
    struct map models; /* hash of a model's id -> how many manifests of its files there are */
    struct store_absent *absents;
    size_t absent_count, absent_cap;
    char *roster_damage; /* NULL, or what is wrong with the roster */
    bool roster_stale;   /* it has to be written anew */
    size_t roster_lines;
    char **foreign; /* what lies in the store's folders and is not the store's */
    size_t foreign_count, foreign_cap;
    struct held *held;
    size_t held_count, held_cap;
    struct held_damage *held_damage;
    size_t held_damage_count, held_damage_cap;
    struct hash128 *packs;
    size_t pack_count, pack_cap;
    struct map places; /* id -> place_make() */
    struct map ids;    /* id -> index of known */
    struct known *known;
    size_t known_count, known_cap;
    struct map held_ids;    /* id -> index of held << 32 | index of range */
    struct map held_inodes; /* of the files in held/, see inode_key */
    struct hash128 *loose;  /* ids that something gave up: the next sweep looks at them */
    size_t loose_count, loose_cap;
    struct unpublished *unpublished;
    size_t unpublished_count, unpublished_cap;
    uint64_t next_tmp;
    bool prefer_objects; /* over held files, see store_prefer_objects */
    bool broken;         /* the index could not be read again: nothing may be removed */
    struct object *pack; /* opened last: its small tensors are asked for one after the other */
    struct hash128 pack_id;
};

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

/* The index: what a manifest names, and no longer; a delta and its base; a held base; a pack as the
 * place of an entry; an id that has no place any more. */
void store_index_manifest(struct store *store, const struct manifest *manifest);
void store_unindex_manifest(struct store *store, const struct manifest *manifest);
void store_index_delta(struct store *store, const struct hash128 *id, const struct hash128 *base);
void store_index_held(struct store *store, size_t h);
void store_place_in_pack(struct store *store, const struct hash128 *id, size_t pack);
void store_unplace(struct store *store, const struct hash128 *id);
/* What is known of an id; NULL: nothing. The pointer is good until the index changes. */
struct known *store_known(const struct store *store, const struct hash128 *id);
struct known *store_known_add(struct store *store, const struct hash128 *id);
/* Releases the index, and leaves an empty one. */
void store_clear_index(struct store *store);
struct store_absent *store_find_absent(struct store *store, const char *fid);
/* Notes that nobody may need the id any more. */
void store_loosen(struct store *store, const struct hash128 *id);

/* Compares the roster with the manifests that were read. */
int store_load_roster(struct store *store, struct err *err);
/* Writes the roster anew. without: a fid that is about to go, or NULL. */
int store_write_roster(struct store *store, const char *without, struct err *err);
/* Adds a line: a manifest that came, or a fid that goes. */
int store_roster_came(struct store *store, const struct manifest *manifest, struct err *err);
int store_roster_goes(struct store *store, const char *fid, struct err *err);
/* Takes over what the roster says of a manifest that cannot be read. */
void store_add_brief(void *context, struct manifest *brief);
/* Takes over a manifest. */
struct manifest *store_keep_manifest(struct store *store, struct manifest *manifest);
/*
 * Notes whose the store is, and what it may write to; from STORE_GIVE on ERR_REFUSED where it is a
 * stranger's and not trusted (store/trust.c).
 */
int store_check_trust(struct store *store, const struct store_access *access, struct err *err);
/* Of new files in the store: 0600, and what its folder grants others to read. */
mode_t store_file_mode(const struct store *store);
/* mkdirat, with what the store's folder grants others; a finished object gets it by store_share. */
int store_make_dir(const struct store *store, int parent, const char *name);
void store_share(const struct store *store, int parent, const char *name);
/* Gives a new store's folder the group and setgid bit of the folder that it lies in. */
void store_inherit(const struct store *store, bool shared);

/* The folder of an object by its name, opened; a link is none. */
int store_object_folder(const struct store *store, const char *name, struct err *err);
/* A file of the store's own in its folder: never a link, a device, or one with another name. */
int store_open_own(const struct store *store, const char *name, int flags, struct err *err);

/* Writes the format file anew, with these bits among the compatible features. */
int store_add_features(struct store *store, uint64_t compatible, struct err *err);

/* Reads manifests, held files and objects anew. */
int store_reload(struct store *store, struct buf *notes, struct err *err);
/* Puts right what a crash left: the recovery table of docs/store-format.md. */
int store_recover(struct store *store, struct buf *notes, struct err *err);

/* "ab/abcdef…" or "ab/abcdef….pack" */
void object_name(char dst[OBJECT_NAME], const struct hash128 *id, bool pack);

#endif
