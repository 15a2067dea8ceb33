/* SPDX-License-Identifier: MIT */
/* What the two walkers share. For src/sources only. */
#ifndef TARE_SOURCES_WALK_H
#define TARE_SOURCES_WALK_H

#include "sources/sources.h"

#include <dirent.h>

enum { WALK_DEPTH = 24 };

/* A model in the making: its strings live in the arena. */
struct gather {
    struct found_model model;
    size_t file_cap, companion_cap;
    struct arena arena;
};

void gather_release(struct gather *gather);
/* Adds a weight file, a companion, or nothing, by the name. Text is copied. */
void gather_file(struct gather *gather, const char *name, const char *path, const char *digest,
                 const struct stat *st);
void gather_weight(struct gather *gather, const char *name, const char *path, const char *digest,
                   const struct stat *st);
/* Sorts the files and hands the model to the sink. */
int gather_report(struct gather *gather, const struct source_sink *sink, struct err *err);

/* The entries of a directory without . and .., sorted. Free them with names_release. */
struct name_entry {
    char *name;
    unsigned char type; /* DT_… */
};
struct names {
    struct name_entry *entries;
    size_t count, cap;
};
int names_read(int dir, struct names *ret, struct err *err);
void names_release(struct names *names);

int hub_walk(int dir, const char *path, const struct source_sink *sink, struct err *err);

#endif
