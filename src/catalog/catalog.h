/* SPDX-License-Identifier: MIT */
/*
 * The index, in SQLite. It can be deleted at any time: a rescan makes it anew. One connection
 * belongs to one thread. All texts that hold names of strangers are stored as bytes.
 */
#ifndef TARE_CATALOG_CATALOG_H
#define TARE_CATALOG_CATALOG_H

#include "base/err.h"
#include "model/library.h"

struct catalog;

enum catalog_kind {
    CATALOG_FILE,
    CATALOG_MEMORY, /* the place cannot be written: nothing is kept */
};

/*
 * Opens or makes the catalog at path (its folder too). A damaged one is moved aside to a free
 * name, path.corrupt, and made anew; where nothing can be written it lives in memory. note, where
 * not NULL, gets a line for the user about either. ERR_UNSUPPORTED: made by a newer program;
 * ERR_REFUSED: the file is something else, and is left as it is.
 */
int catalog_open(const char *path, struct catalog **ret, struct buf *note, struct err *err);
void catalog_close(struct catalog *catalog); /* accepts NULL */
/* Reads all of it. ERR_DAMAGED, with what is wrong: it is set aside when it is closed. */
int catalog_check(struct catalog *catalog, struct err *err);
enum catalog_kind catalog_kind(const struct catalog *catalog);

int catalog_begin(struct catalog *catalog, struct err *err);
/* Ends what was begun: keeps it where r is 0, else undoes it. Returns r, or why it was not kept. */
int catalog_end(struct catalog *catalog, int r, struct err *err);

int catalog_add_root(struct catalog *catalog, const char *path, struct err *err);
int catalog_forget_root(struct catalog *catalog, const char *path, struct err *err);
int catalog_add_store(struct catalog *catalog, const char *path, struct err *err);
/* Calls found for each root, or store, in the order in which they were added. */
int catalog_roots(struct catalog *catalog, void (*found)(void *context, const char *path),
                  void *context, struct err *err);
int catalog_stores(struct catalog *catalog, void (*found)(void *context, const char *path),
                   void *context, struct err *err);

/* Remembers, or forgets, that what is stored of a file (by its manifest's fid) is damaged. */
int catalog_put_damage(struct catalog *catalog, const char *fid, bool damaged, struct err *err);
bool catalog_is_damaged(struct catalog *catalog, const char *fid);

/* Remembers when verify read an object (by a hash of its store and name); 0: never. */
int catalog_put_reading(struct catalog *catalog, const struct hash128 *object, int64_t time,
                        struct err *err);
int64_t catalog_reading(struct catalog *catalog, const struct hash128 *object);

/* Work that was asked for, and the process that does it: born tells it from a later one. */
struct catalog_job {
    int64_t id;
    const char *what; /* JSON; src/ops/queue.c knows it */
    int64_t pid, born, added;
};
/* Adds a job (id is set), or, where it has an id, writes down who does it now. */
int catalog_put_job(struct catalog *catalog, struct catalog_job *job, struct err *err);
int catalog_drop_job(struct catalog *catalog, int64_t id, struct err *err);
/* Calls found for each job, oldest first. */
int catalog_jobs(struct catalog *catalog,
                 void (*found)(void *context, const struct catalog_job *job), void *context,
                 struct err *err);

/* Calls found for each place on disk where there is a tensor of this content id. */
int catalog_find_tensors(struct catalog *catalog, const struct hash128 *id,
                         void (*found)(void *context, const char *path, uint64_t offset,
                                       uint64_t bytes),
                         void *context, struct err *err);
/* The same for whole files with this content id, or that a cache names by this digest (may be
 * NULL); offset and bytes are those of the file. */
int catalog_find_files(struct catalog *catalog, const struct hash128 *content, const char *digest,
                       void (*found)(void *context, const char *path, uint64_t offset,
                                     uint64_t bytes),
                       void *context, struct err *err);

/* A file as the catalog keeps it. key tells files apart: see file_key in src/ops/scan.c. */
struct catalog_file {
    int64_t row;
    const char *key, *path, *digest, *error, *store, *fid;
    uint64_t fsid, ino, size, disk, stored, parameters, tensors, header;
    int64_t mtime_ns, ctime_ns, atime;
    uint32_t links;
    unsigned flags;
    enum format format;
    enum file_state state;
    struct hash128 sample;  /* of its sketches; zero: not taken */
    struct hash128 content; /* zero: not hashed */
    uint64_t dtype_bytes[DTYPE_COUNT];
};

/* Finds by key; the texts go into the arena. ERR_NOTFOUND. */
int catalog_find_file(struct catalog *catalog, const char *key, struct catalog_file *ret,
                      struct arena *arena, struct err *err);
/*
 * Writes a file (file->row is set) and, where layout is not NULL, its tensors instead of those
 * before; their ids and sketches are then unknown.
 */
int catalog_put_file(struct catalog *catalog, struct catalog_file *file,
                     const struct layout *layout, struct err *err);

/* A claim of ancestry: kind, the smaller the better, and texts as of src/lineage. */
struct catalog_claim {
    int kind;
    const char *kind_name, *target, *detail;
};
/*
 * What the weight file at a path says, instead of what it said before. It outlasts the file's row:
 * a compressed file is another row.
 */
int catalog_put_file_claims(struct catalog *catalog, const char *path,
                            const struct catalog_claim *claims, size_t count, struct err *err);
/* Whether that was done, also where there were none. */
bool catalog_has_file_claims(struct catalog *catalog, const char *path);

/* What hashing a file found: its content id, and one id for each of its tensors. */
int catalog_put_hashes(struct catalog *catalog, int64_t row, const struct hash128 *content,
                       const struct hash128 *ids, size_t count, struct err *err);
/*
 * Copies the hashes of a hashed file of the same name-given digest, size and number of tensors,
 * if there is one: *ret tells. The digest is a claim; whoever relies on the bytes reads them.
 */
int catalog_copy_hashes(struct catalog *catalog, int64_t row, bool *ret, struct err *err);
/*
 * Copies the sketches of another file that lies, or lay, at the same path and has as many tensors,
 * if there is one: what is compressed is known by another row.
 */
int catalog_copy_sketches(struct catalog *catalog, int64_t row, struct err *err);

/* count sketches of each bytes in a row, behind them the sketch of the whole file; and a hash of
 * all of it, by which the file is known again when only its ctime has changed. */
struct catalog_sketches {
    const uint8_t *bytes;
    size_t count, each, whole;
    struct hash128 sample;
};
int catalog_put_sketches(struct catalog *catalog, int64_t row,
                         const struct catalog_sketches *sketches, struct err *err);

/* Files that lie on disk and are not hashed (likely copies first), or not sketched. */
struct catalog_rows {
    int64_t *rows;
    size_t count, cap;
};
int catalog_unhashed(struct catalog *catalog, struct catalog_rows *ret, struct err *err);
int catalog_unsketched(struct catalog *catalog, struct catalog_rows *ret, struct err *err);

/* The tensors of a file, in the order of their bytes; id zero where unknown. */
struct catalog_tensors {
    struct layout layout; /* format, header, size and tensors */
    struct hash128 *ids;
};
int catalog_tensors(struct catalog *catalog, int64_t row, struct catalog_tensors *ret,
                    struct err *err);
void catalog_tensors_release(struct catalog_tensors *tensors);

/*
 * Appends the sketches of a file's tensors, each bytes long, in their order. ERR_NOTFOUND where one
 * was not taken.
 */
int catalog_tensor_sketches(struct catalog *catalog, int64_t row, size_t each, struct buf *ret,
                            struct err *err);

/* The profile of a model (delta/profile.h), as it was when its files were as key says. */
struct catalog_profile {
    struct hash128 key, architecture;
    uint8_t *bytes; /* the caller's */
    size_t count;
};
int catalog_put_profile(struct catalog *catalog, int64_t model,
                        const struct catalog_profile *profile, struct err *err);
/* Fills architecture and bytes for profile->key. ERR_NOTFOUND. */
int catalog_find_profile(struct catalog *catalog, int64_t model, struct catalog_profile *profile,
                         struct err *err);

/*
 * The share of the bytes of a model's tensors that another one has, too, by their content ids;
 * *ret_named: under the same names.
 */
int catalog_shared(struct catalog *catalog, int64_t model, int64_t other, double *ret,
                   double *ret_named, struct err *err);

/* Calls found for each tensor of each model that is so large and whose content id is known. */
enum { CATALOG_TENSOR_LEAST = 4096 };
int catalog_each_tensor(struct catalog *catalog,
                        void (*found)(void *context, int64_t model, const struct hash128 *id,
                                      uint64_t bytes),
                        void *context, struct err *err);

/*
 * Calls found for each tensor of at least so many bytes whose content id stands more than once, in
 * the order of their ids, and then of their places; texts and shapes go into the arena. A result
 * other than 0 ends it and is returned.
 */
int catalog_repeated_tensors(struct catalog *catalog, uint64_t least, struct arena *arena,
                             int (*found)(void *context, int64_t row, const struct tensor *tensor,
                                          const struct hash128 *id, struct err *err),
                             void *context, struct err *err);

/* By what something of this name was made. ERR_NOTFOUND. */
int catalog_put_key(struct catalog *catalog, const char *name, const struct hash128 *key,
                    struct err *err);
int catalog_key(struct catalog *catalog, const char *name, struct hash128 *ret, struct err *err);

/*
 * What a model of this profile is known to be related to: n bytes of src/ops/relations.c.
 * ERR_NOTFOUND where there are none, or not so many.
 */
int catalog_put_relations(struct catalog *catalog, int64_t model, const struct hash128 *profile,
                          const void *data, size_t n, struct err *err);
int catalog_find_relations(struct catalog *catalog, int64_t model, const struct hash128 *profile,
                           void *data, size_t n, struct err *err);

/* What comparing two contents found: n bytes of src/ops/delta.c. ERR_NOTFOUND as above. */
int catalog_put_comparison(struct catalog *catalog, const struct hash128 *key, const void *data,
                           size_t n, struct err *err);
int catalog_find_comparison(struct catalog *catalog, const struct hash128 *key, void *data,
                            size_t n, struct err *err);

/* Who descends from whom; parent, and second of a merge, 0: nobody. kin: enum kin of
 * model/library.h. */
struct catalog_edge {
    int64_t model, parent, second;
    double distance, shared;
    unsigned kin;
    struct hash128 contents; /* of both, when shared was found */
};
/* The edge of a model, as it was put. ERR_NOTFOUND. */
int catalog_find_edge(struct catalog *catalog, int64_t model, struct catalog_edge *ret,
                      struct err *err);
/* Instead of all that were there. */
int catalog_put_edges(struct catalog *catalog, const struct catalog_edge *edges, size_t count,
                      struct err *err);

/* A model as the catalog keeps it. */
struct catalog_model {
    const char *id, *name, *source, *root, *path, *revision, *run;
    unsigned flags;
    struct hash128 stamp; /* of all that was seen of it */
    const int64_t *rows;  /* its files */
    const char *const *file_names;
    size_t file_count;
};

/* ERR_NOTFOUND where there is no such model. */
int catalog_model_stamp(struct catalog *catalog, const char *id, struct hash128 *ret,
                        struct err *err);
int catalog_put_model(struct catalog *catalog, const struct catalog_model *model,
                      const struct catalog_claim *claims, size_t claim_count, struct err *err);
/* Marks a model as seen by this scan, without writing to the file; see catalog_sweep_root. */
int catalog_see_model(struct catalog *catalog, const char *id, struct err *err);
int catalog_start_sweep(struct catalog *catalog, struct err *err);
/* Removes the models at and below this root that were not seen since catalog_start_sweep. */
int catalog_sweep_root(struct catalog *catalog, const char *root, struct err *err);
/* Removes files that no model names. */
int catalog_drop_orphans(struct catalog *catalog, struct err *err);

/*
 * What compressing a model alone would free (or, of a root, its family as one), as planned for the
 * state that key stands for; INT64_MIN: it cannot be compressed.
 */
int catalog_put_estimate(struct catalog *catalog, const char *id, bool family, int64_t frees,
                         const struct hash128 *key, struct err *err);
int catalog_estimate_key(struct catalog *catalog, const char *id, bool family, struct hash128 *ret,
                         struct err *err);

/*
 * An immutable snapshot with one reference: of everything, or of what lies at and below the
 * given folders (NULL-terminated; NULL: everything).
 */
int catalog_load(struct catalog *catalog, const char *const scope[], struct library **ret,
                 struct err *err);

#endif
