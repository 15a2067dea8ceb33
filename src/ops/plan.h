/* SPDX-License-Identifier: MIT */
/* The verb plan: what compress would do, and give. Nothing is changed. */
#ifndef TARE_OPS_PLAN_H
#define TARE_OPS_PLAN_H

#include "ops/ops.h"
#include "store/store.h"

/* Stores that are open for reading, so that many plans open each only once. */
struct readers;
struct readers *readers_new(void);
void readers_free(struct readers *readers); /* accepts NULL */

struct plan_request {
    const int *models; /* indices into the library */
    size_t count;
    int base;                /* instead of the best ones; NO_MODEL: the best ones */
    bool alone;              /* without any base */
    bool include_base;       /* the bases are compressed as well */
    bool live;               /* checkpoints of a run that is being written to, too */
    bool keep;               /* originals stay */
    struct readers *readers; /* NULL: of its own */
    bool quick;              /* for an estimate in the background: processes are not asked */
};

enum base_how { BASE_NONE, BASE_STORED, BASE_HELD, BASE_INCLUDED, BASE_COPIED };
const char *base_how_name(enum base_how how);

struct plan_range {
    uint64_t offset, bytes;
    struct hash128 id, base; /* base zero: standalone */
    enum dtype dtype, base_dtype;
    enum codec codec;
    bool reference;            /* the content is there, or will be, without writing it again */
    int base_file;             /* of the library, for a delta or a reference; -1: none */
    uint64_t estimated, alone; /* as planned; without a base */
    enum codec alone_codec;
    int64_t tensor; /* index in the file, -1: between tensors */
};

struct plan_file {
    uint32_t file; /* of the library */
    int model;     /* the model that it is planned for */
    char *store;   /* path */
    char *skip;    /* NULL, or why it stays as it is; foreign bytes */
    struct plan_range *ranges;
    size_t range_count;
    uint64_t estimated;
    uint64_t
        disk; /* bytes that removing the file frees: what it shares with others does not count */
};

struct plan_model {
    int model, base; /* base: NO_MODEL */
    enum base_how how;
    uint64_t size, estimated;
    bool asked; /* the user named it; else it is an included base */
};

struct plan {
    struct plan_model *models;
    size_t model_count, model_cap;
    uint32_t *places; /* for each model of the library its place in models and 1, or 0 */
    struct plan_file *files;
    size_t file_count, file_cap;
    uint64_t before;       /* blocks that the files occupy now */
    uint64_t after;        /* estimated bytes in the store for them */
    uint64_t base_bytes;   /* copies of bases */
    int64_t frees;         /* net; may be ≤ 0 */
    uint64_t needed, free; /* space while working; free there now */
    double seconds;
    bool live;              /* as the request said */
    struct path_list notes; /* hints for the user */
    struct arena arena;
};

/*
 * Plans the models. Their files, and those of their bases, are hashed first where they are not.
 * What cannot be compressed is in the plan with the reason.
 */
int ops_plan(struct ops *ops, const struct library *library, const struct plan_request *request,
             struct progress *progress, struct plan **ret, struct err *err);
void plan_free(struct plan *plan); /* accepts NULL */

/* The plan as lines for people, escaped: what becomes of each model, and what it comes to. */
void plan_text(const struct library *library, const struct plan *plan, struct buf *out);

/* The plan of one model, or NULL. */
const struct plan_model *plan_model_of(const struct plan *plan, int model);

/*
 * Fills in what each model would free alone where that is not known for its present state.
 * Part of a full scan.
 */
int ops_estimate(struct ops *ops, struct progress *progress, struct err *err);

#endif
