/* SPDX-License-Identifier: MIT */
/* A comparison as a map. A place says which cell it is, so that a map with many holes is small. */
#include "ops/delta_map.h"

#include "base/map.h"

#include <math.h>
#include <string.h>

static uint32_t *place_of(const struct delta_map *map, int row, int column)
{
    return &map->places[(size_t)row * (size_t)map->columns + (size_t)column];
}

const struct delta_cell *delta_map_cell(const struct delta_map *map, int row, int column)
{
    return &map->cells[*place_of(map, row, column)];
}

static double measure_of(const struct delta_cell *cell, enum delta_measure measure)
{
    switch (measure) {
    case MEASURE_STORED:
        return (double)cell->estimated / (double)MAX(cell->bytes, 1u);
    case MEASURE_BITS:
        return compare_bit_distance(&cell->sum);
    case MEASURE_CHANGE:
        return compare_relative_change(&cell->sum);
    default:
        return 1 - compare_unchanged(&cell->sum);
    }
}

double delta_cell_measure(const struct delta_cell *cell, enum delta_measure measure)
{
    double value = cell->tensors ? measure_of(cell, measure) : 0;
    return isfinite(value) ? value : 0;
}

/* Where a key stands on an axis: behind those before it, if it is new. */
static int take_place(struct map *axis, const void *key, size_t n, int *count)
{
    const struct hash128 id = hash128_of(key, n);
    uint64_t at;
    if (map_get(axis, &id, &at))
        return (int)at;
    at = (uint64_t)MIN(*count, DELTA_AXIS_MOST - 1);
    *count = (int)at + 1;
    map_put(axis, &id, at);
    return (int)at;
}

static void add_to_cell(struct delta_map *map, int row, int column, const struct delta_tensor *t)
{
    uint32_t *place = place_of(map, row, column);
    if (!*place) {
        *place = (uint32_t)map->cell_count;
        *ARRAY_ADD(map->cells, map->cell_count, map->cell_cap) = (struct delta_cell){.tensor = t};
    }
    struct delta_cell *cell = &map->cells[*place];
    compare_join(&cell->sum, &t->sum);
    cell->bytes += t->bytes;
    cell->estimated += t->estimated;
    cell->tensors++;
}

void delta_map_make(const struct delta_report *report, struct delta_map *ret)
{
    struct delta_map map = {0};
    struct map rows = {0}, columns = {0};
    struct place {
        int row, column;
    } *places = mem_alloc((report->count + 1) * sizeof *places);
    size_t most = MIN(report->count + 1, (size_t)DELTA_AXIS_MOST);
    AUTO_FREE size_t *order = delta_order(report);
    map.modules = mem_alloc(most * sizeof *map.modules);
    map.layers = mem_alloc(most * sizeof *map.layers);
    map.modules[map.rows++] = "(all)";
    for (size_t i = 0; i < report->count; i++) {
        const struct module *module = &report->tensors[order[i]].module;
        int row = take_place(&rows, module->name, strlen(module->name), &map.rows);
        int column = take_place(&columns, &module->layer, sizeof module->layer, &map.columns);
        map.modules[row] = row == DELTA_AXIS_MOST - 1 ? "(others)" : module->name;
        map.layers[column] = module->layer;
        places[i] = (struct place){row, column};
    }
    map.places = mem_zalloc(((size_t)map.rows * (size_t)map.columns + 1) * sizeof *map.places);
    *ARRAY_ADD(map.cells, map.cell_count, map.cell_cap) = (struct delta_cell){0};
    for (size_t i = 0; i < report->count; i++) {
        add_to_cell(&map, 0, places[i].column, &report->tensors[order[i]]);
        add_to_cell(&map, places[i].row, places[i].column, &report->tensors[order[i]]);
    }
    for (size_t i = 0; i < map.cell_count; i++)
        for (int m = 0; m < MEASURES; m++)
            map.most[m] =
                MAX(map.most[m], delta_cell_measure(&map.cells[i], (enum delta_measure)m));
    free(places);
    map_release(&rows);
    map_release(&columns);
    *ret = map;
}

void delta_map_release(struct delta_map *map)
{
    free(map->modules);
    free(map->layers);
    free(map->places);
    free(map->cells);
    *map = (struct delta_map){0};
}
