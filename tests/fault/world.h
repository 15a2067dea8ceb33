/* SPDX-License-Identifier: MIT */
/*
 * What the fault tests share: a small collection with everything that makes the store's work
 * hard, a picture of it to compare with, and runs of the real program on it.
 */
#ifndef TARE_TESTS_WORLD_H
#define TARE_TESTS_WORLD_H

#include "base/mem.h"

/*
 * A folder with a collection, a store and a catalog:
 *   hub/      acme/base      two shards
 *             acme/ft1       two shards, fine-tunes of them
 *             acme/ft2       two revisions; the first shard is frozen: it holds base's tensors, in
 * a blob that both revisions name plain/    mine           a fine-tune of ft1 in a plain folder,
 * and a copy of it s, catalog.db   store and catalog
 */
struct world {
    char *dir;
    char *hub, *plain, *store, *catalog, *home;
};

void world_new(struct world *world, const char *dir);
void world_release(struct world *world); /* removes nothing */
/* Makes the collection below world->dir. */
void world_fill(const struct world *world);

/*
 * Every file and link of the collection, a line each: type, mode, mtime, size, SHA-256 or target,
 * path. Free the result.
 */
char *world_picture(const struct world *world);

/* What the program did. */
struct outcome {
    int status; /* exit status, -1: killed by a signal */
    int signal;
    long peak; /* of its memory, KiB */
};

/*
 * Runs the program with these arguments (NULL-terminated) on the world, and with more variables
 * ("NAME=value", NULL-terminated, may be NULL) in its environment. What it prints goes to
 * dir/out. Ends it after a while: then the test fails.
 */
struct outcome world_run(const struct world *world, const char *const *args,
                         const char *const *environment);
/* The same for a line of words; true where it ended with 0. */
bool world_tare(const struct world *world, const char *line);

/* Copies or removes a folder with everything in it, hard links and times included. */
void world_copy(const char *from, const char *to);
void world_remove(const char *path);

/* Files of the store that belong to a model: 0 after everything was given back. */
size_t world_left(const struct world *world);

/* A folder for the tests, on memory where there is some: free it. */
char *world_folder(void);

#endif
