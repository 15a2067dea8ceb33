/* SPDX-License-Identifier: MIT */
/* Rows for other programs: a table that is written as CSV or as JSON. */
#ifndef TARE_OPS_TABLE_H
#define TARE_OPS_TABLE_H

#include "base/err.h"
#include "base/mem.h"

/* A value of a table: one of these. */
struct value {
    enum { VALUE_NONE, VALUE_INT, VALUE_REAL, VALUE_NAME } kind;
    int64_t number;
    double real;
    const char *name; /* foreign bytes, in the table's arena */
    size_t name_len;
};

/* columns: `width` names, which outlive it; values follow each other row by row. */
struct table {
    const char *const *columns;
    size_t width;
    struct value *values;
    size_t count, cap;
    struct arena arena;
};

void table_int(struct table *table, int64_t value);
void table_real(struct table *table, double value);
/* Copies; NULL puts none. */
void table_name(struct table *table, const char *bytes, size_t n);
void table_text(struct table *table, const char *text);
void table_none(struct table *table);
void table_release(struct table *table);

/* A line of names, then one for each row; texts are escaped, quoted, and no formulas. */
void table_csv(const struct table *table, struct buf *out);
/* {"rows":[{…}]} */
void table_json(const struct table *table, struct buf *out);

/*
 * Appends it in the form that the ending of a path stands for: .csv or .json. ERR_USAGE for any
 * other.
 */
int table_for(const struct table *table, const char *path, struct buf *out, struct err *err);

#endif
