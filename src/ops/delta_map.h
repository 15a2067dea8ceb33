/* SPDX-License-Identifier: MIT */
/* A comparison as a map: modules by layers, and what a cell of it comes to. */
#ifndef TARE_OPS_DELTA_MAP_H
#define TARE_OPS_DELTA_MAP_H

#include "ops/delta.h"

enum delta_measure {
    MEASURE_CHANGED, /* share of the weights */
    MEASURE_BITS,    /* that differ, of 16 */
    MEASURE_CHANGE,  /* relative */
    MEASURE_STORED,  /* share of the tensor that it would take */
    MEASURES
};

/* One module of one layer. */
struct delta_cell {
    struct comparison sum;
    const struct delta_tensor *tensor; /* the first one of it */
    size_t tensors;                    /* 0: there is none */
    uint64_t bytes, estimated;
};

enum { DELTA_AXIS_MOST = 2000 /* rows and columns: the rest stands together in the last one */ };

struct delta_map {
    const char **modules; /* of the rows: all of them, then each in the order in which they come */
    int *layers;          /* of the columns, NO_LAYER first */
    int rows, columns;
    double most[MEASURES]; /* of all cells */
    uint32_t *places;      /* rows by columns: which cell */
    struct delta_cell *cells;
    size_t cell_count, cell_cap;
};

/* The report outlives the map. */
void delta_map_make(const struct delta_report *report, struct delta_map *ret);
void delta_map_release(struct delta_map *map);

const struct delta_cell *delta_map_cell(const struct delta_map *map, int row, int column);
/* Never infinite, never NaN; 0 where the cell has no tensors. */
double delta_cell_measure(const struct delta_cell *cell, enum delta_measure measure);

#endif
