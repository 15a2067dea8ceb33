/* SPDX-License-Identifier: MIT */
/*
 * The store: manifests, objects, held bases. Its promises and the order of writes are in
 * docs/store-format.md. Passive: it starts no threads; src/ops drives it.
 */
#ifndef TARE_STORE_STORE_H
#define TARE_STORE_STORE_H

#include "base/map.h"
#include "store/manifest.h"
#include "store/object.h"

enum { STORE_VERSION = 3 }; /* of the format file; all older ones are read */

/*
 * What the format file says. Features are bits: a store with an incompatible one that this program
 * does not know cannot be opened, with a read-only compatible one only be read; compatible ones
 * may be unknown.
 */
enum { STORE_NAMES_BASES = 1 }; /* compatible: every manifest names every base of its ranges */
struct store_format {
    int version;
    int64_t created; /* Unix seconds */
    uint64_t compatible, readonly_compatible, incompatible;
};

struct store;

enum store_mode {
    STORE_LIST,   /* no lock; must exist; its manifests alone: no content can be read */
    STORE_READ,   /* no lock; must exist */
    STORE_GIVE,   /* as STORE_READ, of a store whose bytes are to be written elsewhere */
    STORE_WRITE,  /* takes the lock; made where it does not exist; recovers */
    STORE_REPAIR, /* the same, and a damaged or missing format file is written anew */
};

/*
 * What a writer knows of a store. Reading needs none of it. A store is its owner's where its folder
 * and every folder above it belong to the caller or root, and no stranger may write there.
 */
enum store_trust {
    TRUST_NONE,
    TRUST_GIVEN, /* by the user, or by an administrator */
    TRUST_MADE,  /* this user's tare made it: its manifests may name any place */
};
struct store_access {
    bool shared;      /* a new store can be read by whoever may read the folder that it lies in */
    const char *home; /* of the user: what nobody vouches for does not write there; or NULL */
    /* folder: the opened one; path: as it was named, real: as the system names it. */
    enum store_trust (*trust)(void *context, const char *path, const char *real,
                              const struct stat *folder);
    /* A new store was made; may be NULL. */
    void (*made)(void *context, const char *path, const struct stat *folder);
    void *context;
};

/*
 * The bytes of the format file, and what they say. Whatever later versions put into it, the last
 * line is a checksum of all before it. ERR_DAMAGED, ERR_UNSUPPORTED: newer, or a feature that is
 * not known (incompatible ones alone; see store_open).
 */
void store_format_write(const struct store_format *format, struct buf *out);
int store_format_read(const char *text, size_t n, struct store_format *ret, struct err *err);

/*
 * Opens a store. With STORE_WRITE what a crash left is put right first (the recovery table), and
 * a line for each thing done is added to notes (may be NULL). command names the program for
 * whoever finds the store locked. access: from STORE_GIVE on; NULL: nobody's word is taken, and
 * paths must lie beside the store.
 * ERR_LOCKED (the text says by whom), ERR_UNSUPPORTED (newer), ERR_NOTFOUND, ERR_REFUSED (a
 * stranger's store that is not trusted).
 */
int store_open(const char *path, enum store_mode mode, const struct store_access *access,
               const char *command, struct store **ret, struct buf *notes, struct err *err);
void store_close(struct store *store); /* accepts NULL */
const char *store_path(const struct store *store);
/* NULL, or what is wrong with the format file of a store that is open for reading. */
const char *store_format_damage(const struct store *store);
int store_dir(const struct store *store);
/* Whether it belongs to the caller. */
bool store_is_own(const struct store *store);
/* Whether it may write only below the folder that it lies in. */
bool store_is_confined(const struct store *store);
uid_t store_owner(const struct store *store);

/* Manifests, as of the opening and of what this process did since. Owned by the store. */
size_t store_manifest_count(const struct store *store);
const struct manifest *store_manifest(const struct store *store, size_t i);
/* The manifest with this fid, or NULL. */
const struct manifest *store_find(const struct store *store, const char *fid);
/* Gives the manifest away: what remains of it in the store is empty. For STORE_LIST. */
struct manifest store_take(struct store *store, size_t i);

/*
 * A manifest that is damaged, or missing although the roster knows it. What the roster says of
 * it is in brief; path NULL where that is nothing. gc and compress refuse while there are any.
 */
struct store_absent {
    struct manifest brief; /* fid always */
    char *reason;
    bool lost;    /* there is no such file */
    bool damaged; /* or its bytes are: not that it could not be read, or is of a newer version */
};
size_t store_absent_count(const struct store *store);
const struct store_absent *store_absent(const struct store *store, size_t i);
/* Gives away what the roster said of it: what remains is the fid. */
struct manifest store_take_brief(struct store *store, size_t i);
/* Forgets an absent manifest, durably: its file is back, or the user gave it up. */
int store_drop_absent(struct store *store, const char *fid, struct err *err);

/* NULL, or what is wrong with the roster. The next writer writes it anew. */
const char *store_roster_damage(const struct store *store);
/* Names below the store's path of files that are none of its own. */
size_t store_foreign_count(const struct store *store);
const char *store_foreign(const struct store *store, size_t i);

/* ---- where the bytes of a content id are ---- */

enum content_kind { CONTENT_NONE, CONTENT_OBJECT, CONTENT_PACK, CONTENT_HELD };

/* What is known without opening anything. */
enum content_kind store_has(const struct store *store, const struct hash128 *id);
/* Whether an object or pack entry with this id is a delta. */
bool store_is_delta(const struct store *store, const struct hash128 *id);
/* The base of a delta; zero for anything else, and where it is not known without opening. */
struct hash128 store_base_of(const struct store *store, const struct hash128 *id);
/*
 * Every content that decoding this one needs, the nearest first, where necessary read from the
 * objects themselves. ERR_NOTFOUND: it, or one of them, is not there; those found are in bases.
 */
int store_bases(struct store *store, const struct hash128 *id, struct hash128 bases[BASES_DEEP],
                size_t *ret_count, struct err *err);
/* Whether a manifest needs it, as a content or as a base: else the next gc removes it. */
bool store_is_needed(const struct store *store, const struct hash128 *id);
/* Makes manifest i name every base of its ranges, in memory: whether that changed it. */
int store_complete_bases(struct store *store, size_t i, bool *ret_changed, struct err *err);
/*
 * Whether an object with this id may be written as a delta against this base. Manifests are what
 * gc goes by: an id that they name already is written as all of them say, or standalone.
 */
bool store_may_be_delta(const struct store *store, const struct hash128 *id,
                        const struct hash128 *base);
/* Whether some object is a delta against this id. */
bool store_is_base(const struct store *store, const struct hash128 *id);
/* Whether the id is held in a file other than this one: a link or a clone of itself is no other. */
bool store_held_elsewhere(const struct store *store, const struct hash128 *id, const char *path,
                          const struct stat *own);
/*
 * What is held is read from the held file even where an object of the same id exists, which may
 * not have been compared yet. While a file is compared, its objects must be read: on.
 */
void store_prefer_objects(struct store *store, bool on);
/* Whether this inode is held: one of its hard links is the store's. */
bool store_holds(struct store *store, dev_t dev, ino_t ino);

/* The bytes of a content id, open for reading by chunks. */
struct content;

struct content_work; /* scratch of one thread */
struct content_work *content_work_new(void);
void content_work_free(struct content_work *work);
struct codec_work *content_codec(struct content_work *work);

int content_open(struct store *store, const struct hash128 *id, struct content **ret,
                 struct err *err);
void content_free(struct content *content); /* accepts NULL */
uint64_t content_bytes(const struct content *content);
enum dtype content_dtype(const struct content *content);
/* In parts of so many bytes it is read fastest. */
uint32_t content_chunk_bytes(const struct content *content);
/*
 * Raw bytes [offset, offset + n). Every chunk on the way is checked. Safe from several threads
 * with a work each. n at most CODEC_CHUNK_BYTES.
 */
int content_read(const struct content *content, uint64_t offset, uint8_t *dst, size_t n,
                 struct content_work *work, struct err *err);

/*
 * Bytes [offset, offset + n) of a tensor of dtype, as far as a base has elements in their place:
 * *ret_n of them (0 past its end). The base's elements are seen as base_dtype and converted.
 */
int content_read_base(const struct content *base, enum dtype base_dtype, enum dtype dtype,
                      uint64_t offset, uint8_t *dst, size_t n, size_t *ret_n,
                      struct content_work *work, struct err *err);

/* ---- writing (STORE_WRITE only) ---- */

/* A new object or pack for the file in the making; the name within tmp/ is the store's. */
int store_object_new(struct store *store, const struct object_entry *entries, uint32_t count,
                     struct object_writer **ret, struct err *err);
/*
 * The same for one entry that is in the store already and damaged there: it gets an object of its
 * own, which counts before whatever pack it was in.
 */
int store_object_again(struct store *store, const struct object_entry *entry,
                       struct object_writer **ret, struct err *err);
/* Finishes it: durable in tmp/. Adds its length to *size. */
int store_object_finish(struct object_writer *writer, uint64_t *size, struct err *err);
/* Moves all finished objects to their places and makes that durable. */
int store_publish(struct store *store, struct err *err);
/* Drops finished objects that were not published, and published ones that nothing refers to. */
void store_forget(struct store *store);

/* Writes (or replaces) a manifest durably. The store keeps a copy. */
int store_put_manifest(struct store *store, const struct manifest *manifest, struct err *err);
/*
 * Writes down what was found out of a file that was decoded as a whole: the SHA-256 of each of its
 * ranges.
 */
int store_put_shas(struct store *store, const char *fid, const struct sha256 *shas,
                   struct err *err);
/* The original waits beside its place until this time: MANIFEST_ASIDE. */
int store_set_aside(struct store *store, const char *fid, int64_t until, struct err *err);
/* Changes the state alone. */
int store_set_state(struct store *store, const char *fid, enum manifest_state state,
                    struct err *err);
/* The fid of the manifest that keeps the companions of a model. */
void store_companions_fid(const char *model_id, char fid[HASH128_HEX]);
/*
 * Removes a manifest durably. Its objects stay until gc. With the last file of a model go the
 * companions that were kept for it.
 */
int store_drop_manifest(struct store *store, const char *fid, struct err *err);

/*
 * Keeps a base alive: by a hard link where link is set, else by a clone. file tells path, size
 * and the ranges that deltas may need; its fid names the held file. The ids are then readable
 * from here. The link is not followed: path must be the regular file itself.
 */
int store_hold(struct store *store, const struct manifest *file, bool link, struct err *err);
/* Lets go of a held base (or of what is left of one: "held/…"), durably. */
int store_unhold(struct store *store, const char *name, struct err *err);
/* Removes an object or pack by its name ("ab/…"): one that cannot be read and is not needed. */
int store_remove_object(struct store *store, const char *name, struct err *err);
/* Reads the store's folders anew, after such changes. */
int store_refresh(struct store *store, struct err *err);
/* Whether an entry of this object or pack is what its id is read from. */
bool store_counts(const struct store *store, const struct hash128 *id, const char *name);
/* Whether a clone of the file can be made below this folder. */
bool store_can_clone(const char *folder, const char *path);

struct gc_report {
    uint64_t objects, bytes;
};
/*
 * Removes what no manifest needs. With dry_run only counts. ERR_REFUSED while a manifest, or an
 * object that it has to look into, cannot be read.
 */
int store_gc(struct store *store, bool dry_run, struct gc_report *ret, struct err *err);

/* What gc would remove if these manifests were not there: nothing is changed. */
int store_weigh(struct store *store, const char *const *fids, size_t count, struct gc_report *ret,
                struct err *err);
/* The gc that goes along with other work: where it refuses, notes (may be NULL) say why. */
int store_tidy(struct store *store, struct buf *notes, struct err *err);
/*
 * Removes what was given up since the last time: by dropped manifests, or by work that failed. It
 * takes as long as that is much, however large the store.
 */
int store_sweep(struct store *store, struct err *err);

/* Appends a line of JSON to the log. */
int store_log(struct store *store, const char *line, size_t n, struct err *err);

/* Names of all object files ("ab/….pack"), for verify: free them with store_names_free. */
char **store_object_names(const struct store *store, size_t *ret_count);
void store_names_free(char **names, size_t count);
bool store_name_is_pack(const char *name);
/* The id that an object's or pack's name is made of. */
bool store_name_id(const char *name, struct hash128 *ret);
/* Held files: what was noted of each when it was held; the file is held/<fid>. */
size_t store_held_count(const struct store *store);
const struct manifest *store_held(const struct store *store, size_t i);
/* Descriptions of held files that are damaged, or whose file is missing. */
struct held_damage {
    char *name, *reason;
    struct manifest manifest; /* the description, where it can be read; else zero */
};
size_t store_held_damage_count(const struct store *store);
const struct held_damage *store_held_damage(const struct store *store, size_t i);

/* ---- the place of a stored file (store/original.c) ---- */

/*
 * Opens the folder of a path that the manifest names (its own, or a link's), beneath the manifest's
 * root and without following links; of a store that is not trusted only below the folder that the
 * store lies in. Returns a descriptor; ERR_NOTFOUND: gone; ERR_REFUSED.
 */
int store_open_folder(const struct store *store, const struct manifest *m, const char *path,
                      struct err *err);
/* The same, with the folder and those on the way to it made where they are gone. The root must be
 * there. */
int store_make_folder(const struct store *store, const struct manifest *m, const char *path,
                      struct err *err);
/* Names, in the file's folder, of the moved-aside original and of what is written to be given
 * back: free them. */
char *store_aside_name(const struct manifest *manifest);
char *store_restore_name(const struct manifest *manifest);
/* Whether the moved-aside original is there, with same also with the manifest's bytes; its name:
 * free it. */
bool store_has_aside(const struct manifest *manifest, int folder, bool same, char **ret_name);
/* Puts the recorded links back where they are missing, durably; a folder that is gone is no error.
 */
int store_restore_links(const struct store *store, const struct manifest *m, struct err *err);
/* Removes the links that still lead to it. */
void store_remove_links(const struct store *store, const struct manifest *manifest);
/* How many manifests of a model's files there are; companions do not count. */
uint64_t store_model_files(const struct store *store, const char *model_id);
/* How many of the files of MANIFEST_COMPANIONS are not in their places. */
size_t store_companions_missing(const struct manifest *manifest);
/* Whether the file is in its place with the manifest's bytes, and durable there. */
bool store_is_back(const struct store *store, const struct manifest *manifest);
/* Removes the note, if what lies under its name is ours. */
int store_remove_note(const struct store *store, const struct manifest *m, struct err *err);
/* What follows when a file is in its place again: no note, its links, all of it durable. */
int store_settle(const struct store *store, const struct manifest *manifest, struct err *err);
#define STORE_NOTE_BEGIN "This file was compressed by tare"
/* The name of the note that is left in a plain folder: free it. */
char *store_note_path(const struct manifest *manifest);

#endif
