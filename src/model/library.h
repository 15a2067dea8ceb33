/* SPDX-License-Identifier: MIT */
/*
 * A snapshot of everything that is known about the collection: models, the physical files they
 * name, their claims. Immutable once handed out; shared by reference counting, also between
 * threads. Tensors are not in it: they are read from the catalog for one model when needed.
 */
#ifndef TARE_MODEL_LIBRARY_H
#define TARE_MODEL_LIBRARY_H

#include "base/map.h"
#include "base/mem.h"
#include "model/layout.h"

enum file_state {
    FILE_PLAIN = 0,   /* lies where its owner put it */
    FILE_STORED = 1,  /* only the store has it */
    FILE_KEPT = 2,    /* both: compressed as a trial */
    FILE_CHANGED = 3, /* the store has it, and another file lies in its place */
    FILE_GONE = 4,    /* the store has it, its folder does not exist any more */
    FILE_DAMAGED = 5, /* the store cannot give it back */
};

enum {
    FILE_TRAILING = 1, /* bytes behind the last tensor */
    FILE_UNALIGNED = 2,
    FILE_SPARSE = 4, /* occupies less than its length */
};

/* A physical file, counted once however many models and links name it. */
struct lib_file {
    int64_t row;             /* in the catalog */
    const char *path;        /* absolute; where it lies, or lay */
    const char *digest;      /* NULL, or what a content-addressed cache names it by */
    const char *error;       /* NULL, or why it cannot be read; foreign bytes */
    const char *store, *fid; /* of the store that has it, else NULL */
    uint64_t fsid, ino;
    uint64_t size, disk; /* bytes: length; blocks */
    uint64_t stored;     /* bytes that the store spends on it alone */
    uint64_t parameters, tensors;
    uint64_t dtype_bytes[DTYPE_COUNT];
    int64_t mtime, atime; /* Unix seconds; atime 0: not kept */
    int64_t mtime_ns;     /* the same in nanoseconds */
    uint32_t links;       /* hard links */
    uint32_t users;       /* models that name it */
    unsigned flags;
    enum format format;
    enum file_state state;
    bool hashed;
    struct hash128 content; /* of a hashed file */
};

/* What a card, a configuration, … says of where a model comes from; the best source first. */
struct lib_claim {
    const char *kind_name, *target, *detail; /* as of src/lineage */
    int model;                               /* that the target means; NO_MODEL: it is not here */
};

enum model_state {
    MODEL_PLAIN,
    MODEL_COMPRESSED,
    MODEL_PARTIAL,
    MODEL_KEPT,
    MODEL_GONE,
    MODEL_CHANGED,
    MODEL_DAMAGED,
};

enum {
    MODEL_INCOMPLETE = 1, /* as FOUND_… of src/sources */
    MODEL_ORPHAN = 2,
    MODEL_MISSING = 4,
    MODEL_BASE = 8,   /* another model of the library names it as its base */
    MODEL_LACKS = 16, /* files beside its weights are gone; the store has copies */
};

enum { MODEL_ID = 17, NO_MODEL = -1 };

/* How the base of a model is known. */
enum kin {
    KIN_KNOWN = 1,    /* it was looked for in the bits, too */
    KIN_CLAIMED = 2,  /* it is the one that is declared */
    KIN_BITS = 4,     /* the bits say so, or agree */
    KIN_DENIED = 8,   /* the declared one is not related by its bits */
    KIN_PATH = 16,    /* its place among checkpoints or revisions says so */
    KIN_SAME = 32,    /* every tensor of it is in the base */
    KIN_STORED = 128, /* it is stored as a difference from the base, and was never compared */
    KIN_MOVED = 64,   /* most of what it shares has another name there: renamed, or another layer */
};

struct lib_model {
    int64_t row;       /* in the catalog */
    char id[MODEL_ID]; /* 16 hex digits, from source, root, name and revision */
    const char *name, *root, *path, *revision, *run;
    const char *source;            /* "hf", "dir" */
    const uint32_t *files;         /* indices into the library's files */
    const char *const *file_names; /* within the model, one for each file */
    size_t file_count;
    struct lib_claim *claims;
    size_t claim_count;
    unsigned flags;
    unsigned file_flags; /* FILE_… of any of its files */
    /* Sums over its files. */
    uint64_t size, disk, unique, stored, parameters, tensors;
    uint64_t dtype_bytes[DTYPE_COUNT];
    int64_t modified, read; /* Unix seconds, 0: unknown */
    int64_t frees;          /* bytes; valid with frees_known */
    bool frees_known;
    int64_t family_frees; /* of a root: bytes, its family planned as one; with family_known */
    bool family_known;
    bool hashed; /* every file of it is */
    enum model_state state;
    uint32_t place;    /* among all by name, in natural order */
    int first;         /* of a run: index of its first model; NO_MODEL: it is in none */
    int base;          /* index of what it descends from, NO_MODEL */
    int family;        /* index of the model that all of its family hang under; itself */
    int second;        /* of a merge that the bits show: the other parent, NO_MODEL */
    double distance;   /* bits of 16 in which it differs from that; < 0: not known */
    double shared;     /* share of its bytes in tensors that the base has, too */
    unsigned kin;      /* KIN_… */
    const char *error; /* the first error of its files, or NULL */
};

struct library {
    struct lib_model *models;
    struct lib_file *files;
    size_t model_count, file_count;
    const char **roots;
    size_t root_count;
    uint64_t size, disk, frees, stored; /* every file once; frees: what is known, by families */
    struct map names;                   /* what claims may call the models */
    struct map ids;                     /* models by what identifies them */
    struct arena arena;
    _Atomic unsigned references;
};

struct library *library_ref(struct library *library);
/* Accepts NULL. */
void library_unref(struct library *library);

/* Derives sums, states and bases of the models from files and claims. Called once, by the catalog.
 */
void library_finish(struct library *library);

/*
 * The models that a text may mean: an id, a full name, a path, or the ending of a name behind a
 * slash. Writes at most max indices, returns how many there are.
 */
size_t library_find(const struct library *library, const char *text, int *indices, size_t max);

/* The model of exactly this id, or NO_MODEL. */
int library_find_id(const struct library *library, const char *id);

/* Whether a claim that leads nowhere names the model itself, by another name of it. */
bool library_names_itself(const struct lib_model *model, const struct lib_claim *claim);

/* Whether both are checkpoints of one run. */
static inline bool library_same_run(const struct lib_model *a, const struct lib_model *b)
{
    return a->first != NO_MODEL && a->first == b->first;
}

/* The model of a row of the catalog, or NO_MODEL. Models stand in the order of their rows. */
int library_of_row(const struct library *library, int64_t row);

/* The model that its claims name as its base, or NO_MODEL. */
int library_declared(const struct library *library, int model);

const char *model_state_name(enum model_state state);
const char *file_state_name(enum file_state state);

/* The dtype that most bytes of a model have. */
enum dtype model_dtype(const struct lib_model *model);

/* The words of the FLAGS column, at most 8 written; returns how many. */
size_t model_flags(const struct lib_model *model, const char *flags[8]);

#endif
