/* SPDX-License-Identifier: MIT */
/* What every verb of the engine works with: catalog, stores, threads, and what is allowed. */
#ifndef TARE_OPS_OPS_H
#define TARE_OPS_OPS_H

#include "base/err.h"
#include "base/progress.h"
#include "model/library.h"

struct catalog;
struct config;
struct pool;

struct store;

struct ops_options {
    const char *catalog;      /* NULL: $XDG_CACHE_HOME/tare/catalog.db */
    const char *store;        /* NULL: one for each file system, see ops_store_for */
    unsigned threads;         /* 0: one for each processor */
    bool wait;                /* for a store that another tare holds */
    bool now;                 /* originals on network file systems go at once, too */
    bool shared;              /* a new store can be read by whoever may read its folder */
    bool readonly;            /* nothing is changed anywhere but in the catalog */
    const char *const *scope; /* only what lies below these folders; NULL: everything */
};

/* Belongs to one thread. */
struct ops {
    struct ops_options options;
    struct catalog *catalog;
    struct config *config;
    struct pool *pool; /* made at the first use */
    struct buf notes;  /* sentences for the user, one a line; may hold foreign bytes */
    struct arena arena;
};

int ops_open(const struct ops_options *options, struct ops **ret, struct err *err);
void ops_close(struct ops *ops); /* accepts NULL */

/* The catalog's path where none is given: free it. */
char *ops_default_catalog(void);

/* Whether what is found out is kept: not where the catalog cannot be used. */
bool ops_index_is_kept(const struct ops *ops);

/* The snapshot of what is known, within the scope. */
int ops_library(struct ops *ops, struct library **ret, struct err *err);

struct pool *ops_pool(struct ops *ops);

/* ERR_READONLY with a sentence where nothing may be changed. */
int ops_may_write(const struct ops *ops, struct err *err);

/*
 * The model that a text means. ERR_NOTFOUND, or ERR_AMBIGUOUS with the candidates in the text.
 */
int ops_find_model(const struct library *library, const char *text, int *ret, struct err *err);

/* ERR_NOSPACE, with how much is missing, where the path's file system has less than need. */
int ops_check_space(const char *path, uint64_t need, struct err *err);
/* After ERR_NOSPACE: the same sentence, or that a quota is in the way, instead of the system's. */
int ops_explain_space(const char *path, uint64_t need, struct err *err);

/* Seconds of a clock that only goes forward. */
double ops_now(void);

/* A growing list of paths. */
struct path_list {
    char **paths;
    size_t count, cap;
};
void path_list_push(struct path_list *list, const char *path);
void path_list_add(struct path_list *list, const char *path); /* unless it is in there */
void path_list_release(struct path_list *list);

/* ERR_NOTFOUND where --store names something that is no store. */
int ops_check_store(const struct ops *ops, struct err *err);
/* All stores that this program knows of and that exist. */
void ops_stores(struct ops *ops, struct path_list *ret);
/*
 * Where a file would be stored: --store; else, on the same file system, a store of the
 * configuration, or $XDG_DATA_HOME/tare/store; else .tare beside its cache or inside its folder.
 * Free it.
 */
char *ops_store_for(const struct ops *ops, const struct lib_model *model, const char *path);
/*
 * store_open for a writer. Another tare that holds the store is waited for where the options say
 * so: what is waited for is told through progress (may be NULL), which also ends the wait.
 */
int ops_open_store(struct ops *ops, const char *path, const char *command,
                   struct progress *progress, struct store **ret, struct buf *notes,
                   struct err *err);
/* The same for one whose bytes are to be written elsewhere: it must be trusted, and stays as it is.
 */
int ops_read_store(struct ops *ops, const char *path, struct store **ret, struct buf *notes,
                   struct err *err);
/* Remembers a store in the catalog. */
void ops_remember_store(struct ops *ops, const char *path);
/* $XDG_DATA_HOME/tare: free it. */
char *ops_data_home(void);

#endif
