/* SPDX-License-Identifier: MIT */
/* Kinship beyond one architecture: vocabularies, renamed tensors, stacked layers, lost catalogs. */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "family/family.h"
#include "ops/delta.h"
#include "ops/optimize.h"
#include "ops/compress.h"
#include "ops/scan.h"
#include "ops/tree.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS = 64, PARTS = 64 };

/* A tensor of a made model: rows of the weights of a seed, moved a little by another one. */
struct part {
    const char *name;
    size_t rows;
    uint32_t seed, moved; /* seed 0: zeros; moved 0: as the seed makes it */
};

static void write_model(const char *dir, const char *name, const struct part *parts,
                        const char *card)
{
    AUTO_BUF struct buf header = {0}, data = {0};
    AUTO_FREE char *folder = file_join(dir, name);
    buf_str(&header, "{");
    for (size_t i = 0; i < PARTS && parts[i].name; i++) {
        size_t n = parts[i].rows * COLUMNS;
        AUTO_FREE uint16_t *base = mem_alloc(n * 2), *own = mem_alloc(n * 2);
        memset(base, 0, n * 2);
        if (parts[i].seed)
            test_weights(base, n, NULL, parts[i].seed);
        if (parts[i].moved)
            test_weights(own, n, base, parts[i].moved);
        buf_printf(&header,
                   "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%zu,%d],\"data_offsets\":[%zu,%zu]}",
                   i ? "," : "", parts[i].name, parts[i].rows, COLUMNS, data.len, data.len + n * 2);
        buf_add(&data, parts[i].moved ? own : base, n * 2);
    }
    buf_str(&header, "}");
    AUTO_BUF struct buf file = test_safetensors(header.data, data.data, data.len);
    test_write(folder, "model.safetensors", file.data, file.len);
    test_write_text(folder, "config.json", "{}");
    if (card)
        test_write_text(folder, "README.md", card);
}

struct place {
    char *dir, *models, *store, *catalog;
    struct ops *ops;
    struct library *library;
};

static void open_ops(struct place *p)
{
    struct ops_options options = {.catalog = p->catalog, .store = p->store, .threads = 2};
    assert_int_equal(ops_open(&options, &p->ops, NULL), 0);
}

static void setup(struct place *p)
{
    *p = (struct place){.dir = test_folder()};
    p->models = test_path(p->dir, "m");
    p->store = test_path(p->dir, "s");
    p->catalog = test_path(p->dir, "c.db");
    open_ops(p);
}

static void teardown(struct place *p)
{
    library_unref(p->library);
    ops_close(p->ops);
    free(p->models);
    free(p->store);
    free(p->catalog);
    test_remove(p->dir);
}

static void scan(struct place *p)
{
    const char *const paths[] = {p->models, NULL};
    const struct scan_request request = {.paths = paths};
    struct scan_report report = {0};
    assert_int_equal(ops_scan(p->ops, &request, NULL, &report, NULL), 0);
    scan_report_release(&report);
    library_unref(p->library);
    assert_int_equal(ops_library(p->ops, &p->library, NULL), 0);
}

static int find(const struct place *p, const char *name)
{
    int index;
    struct err err;
    if (ops_find_model(p->library, name, &index, &err) < 0)
        fail_msg("%s", err.text);
    return index;
}

/* "parent relation kinds", or "none". */
static void assert_first_parent(const struct place *p, const char *name, const char *want)
{
    struct tree_parent parents[TREE_PARENTS];
    int model = find(p, name);
    AUTO_BUF struct buf text = {0};
    buf_str(&text, "none");
    if (tree_parents(p->library, model, parents) && p->library->models[model].base != NO_MODEL) {
        text.len = 0;
        buf_printf(&text, "%s %s", parents[0].name, parents[0].relation);
        for (size_t i = 0; i < parents[0].kind_count; i++)
            buf_printf(&text, " %s", parents[0].kinds[i]);
    }
    assert_string_equal(text.data, want);
}

static const struct part base_parts[PARTS] = {{"model.embed.weight", 300, 1, 0},
                                              {"model.layers.0.up.weight", 400, 2, 0},
                                              {"model.layers.1.up.weight", 400, 3, 0}};

static void kinship__another_vocabulary__is_found_by_the_bits(void **state)
{
    (void)state;
    struct place p;
    const struct part wider[PARTS] = {{"model.embed.weight", 308, 1, 10},
                                      {"model.layers.0.up.weight", 400, 2, 11},
                                      {"model.layers.1.up.weight", 400, 3, 12}};
    const struct part stranger[PARTS] = {{"model.embed.weight", 316, 71, 0},
                                         {"model.layers.0.up.weight", 400, 72, 0},
                                         {"model.layers.1.up.weight", 400, 73, 0}};
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "wider", wider, NULL);
    write_model(p.models, "stranger", stranger, NULL);
    scan(&p);
    assert_first_parent(&p, "wider", "base finetune bits");
    assert_first_parent(&p, "base", "none");
    assert_first_parent(&p, "stranger", "none");
    double d = p.library->models[find(&p, "wider")].distance;
    assert_true(d > 0.5 && d < FAMILY_CUT);
    /* It is a base for what the two have in common. */
    int models[] = {find(&p, "base"), find(&p, "wider")};
    const struct plan_request request = {.models = models, .count = 2, .base = NO_MODEL};
    struct plan *plan;
    assert_int_equal(ops_plan(p.ops, p.library, &request, NULL, &plan, NULL), 0);
    assert_int_equal(plan_model_of(plan, models[1])->base, models[0]);
    plan_free(plan);
    teardown(&p);
}

static void kinship__tensors_without_their_wrapper__are_the_same(void **state)
{
    (void)state;
    struct place p;
    const struct part renamed[PARTS] = {{"embed.weight", 300, 1, 20},
                                        {"layers.0.up.weight", 400, 2, 21},
                                        {"layers.1.up.weight", 400, 3, 0}};
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "renamed", renamed, "---\nbase_model: x/base\n---\n");
    scan(&p);
    assert_first_parent(&p, "renamed", "base finetune card content bits");
    struct tree_parent parents[TREE_PARENTS];
    assert_int_equal(tree_parents(p.library, find(&p, "renamed"), parents), 1);
    assert_true(parents[0].moved && parents[0].shared > 0.3 && parents[0].shared < 0.4);
    teardown(&p);
}

static void kinship__stacked_layers__are_found_by_their_contents(void **state)
{
    (void)state;
    struct place p;
    const struct part stacked[PARTS] = {
        {"model.embed.weight", 300, 1, 0},       {"model.layers.0.up.weight", 400, 2, 0},
        {"model.layers.1.up.weight", 400, 3, 0}, {"model.layers.2.up.weight", 400, 2, 0},
        {"model.layers.3.up.weight", 400, 3, 0}, {"model.head.weight", 100, 44, 0}};
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "stacked", stacked, NULL);
    scan(&p);
    assert_first_parent(&p, "stacked", "base finetune content");
    assert_true(p.library->models[find(&p, "stacked")].shared > 0.9);
    teardown(&p);
}

static void kinship__equal_copies__are_duplicates(void **state)
{
    (void)state;
    struct place p;
    AUTO_FREE uint8_t *bytes = mem_alloc(50000);
    setup(&p);
    for (size_t i = 0; i < 50000; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    test_write(p.models, "one.bin", bytes, 50000);
    test_write(p.models, "two.bin", bytes, 50000);
    scan(&p);
    int one = p.library->models[0].base, two = p.library->models[1].base;
    assert_true((one == NO_MODEL) != (two == NO_MODEL));
    const char *copy = p.library->models[one == NO_MODEL ? 1 : 0].name;
    struct tree_parent parents[TREE_PARENTS];
    assert_int_equal(tree_parents(p.library, find(&p, copy), parents), 1);
    assert_string_equal(parents[0].relation, "duplicate");
    teardown(&p);
}

static void kinship__claim_of_another_architecture__is_checked(void **state)
{
    (void)state;
    struct place p;
    const struct part stranger[PARTS] = {{"model.embed.weight", 316, 71, 0},
                                         {"model.layers.0.up.weight", 400, 72, 0},
                                         {"model.layers.1.up.weight", 400, 73, 0}};
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "stranger", stranger, "---\nbase_model: x/base\n---\n");
    scan(&p);
    const struct lib_model *m = &p.library->models[find(&p, "stranger")];
    assert_int_equal(m->base, NO_MODEL);
    assert_true(m->kin & KIN_DENIED);
    teardown(&p);
}

/* Plans everything; how many of its tensors are differences. */
static size_t plan_all(struct place *p, struct plan **ret)
{
    size_t deltas = 0, count = p->library->model_count;
    AUTO_FREE int *models = mem_alloc((count + 1) * sizeof *models);
    for (size_t i = 0; i < count; i++)
        models[i] = (int)i;
    const struct plan_request request = {
        .models = models, .count = count, .base = NO_MODEL, .live = true};
    assert_int_equal(ops_plan(p->ops, p->library, &request, NULL, ret, NULL), 0);
    for (size_t f = 0; f < (*ret)->file_count; f++)
        for (size_t i = 0; i < (*ret)->files[f].range_count; i++)
            deltas += !hash128_is_zero(&(*ret)->files[f].ranges[i].base);
    return deltas;
}

static void kinship__zeros_that_many_tensors_are__are_no_kinship(void **state)
{
    (void)state;
    struct place p;
    struct part one[PARTS] = {{"a.weight", 3000, 5, 0}}, two[PARTS] = {{"b.weight", 3001, 6, 0}};
    static char names[50][16];
    setup(&p);
    for (size_t i = 0; i < 50; i++) {
        snprintf(names[i], sizeof names[i], "bias.%zu", i);
        one[i + 1] = two[i + 1] = (struct part){names[i], 32, 0, 0};
    }
    write_model(p.models, "one", one, NULL);
    write_model(p.models, "two", two, NULL);
    scan(&p);
    assert_first_parent(&p, "one", "none");
    assert_first_parent(&p, "two", "none");
    teardown(&p);
}

static void kinship__model_that_names_itself__has_no_absent_parent(void **state)
{
    (void)state;
    struct place p;
    struct tree_parent parents[TREE_PARENTS];
    setup(&p);
    write_model(p.models, "base", base_parts, "---\nbase_model: acme/base\n---\n");
    scan(&p);
    assert_int_equal(tree_parents(p.library, find(&p, "base"), parents), 0);
    teardown(&p);
}

static void plan__long_run_of_checkpoints__has_hardly_any_that_stand_alone(void **state)
{
    (void)state;
    enum { STEPS = 60 };
    struct place p;
    struct plan *plan;
    setup(&p);
    for (uint32_t i = 0; i < STEPS; i++) {
        AUTO_FREE char *name = mem_printf("run/checkpoint-%u", i);
        const struct part parts[PARTS] = {{"model.layers.0.up.weight", 2000, 8, 100 + i}};
        write_model(p.models, name, parts, NULL);
    }
    scan(&p);
    assert_true(plan_all(&p, &plan) >= STEPS - 4);
    plan_free(plan);
    teardown(&p);
}

static void plan__chain_of_growing_vocabularies__is_differences_from_the_first(void **state)
{
    (void)state;
    enum { MODELS = 5 };
    struct place p;
    struct plan *plan;
    setup(&p);
    for (uint32_t i = 0; i < MODELS; i++) {
        AUTO_FREE char *name = mem_printf("v%u", i);
        AUTO_FREE char *card = i ? mem_printf("---\nbase_model: x/v%u\n---\n", i - 1) : NULL;
        const struct part parts[PARTS] = {{"model.embed.weight", 900 + i, 1, i},
                                          {"model.layers.0.up.weight", 900, 2, i}};
        write_model(p.models, name, parts, card);
    }
    scan(&p);
    assert_int_equal(plan_all(&p, &plan), 2 * (MODELS - 1));
    plan_free(plan);
    teardown(&p);
}

static void optimize__base_of_what_cannot_be_predicted__stays(void **state)
{
    (void)state;
    struct place p;
    const struct part middle[PARTS] = {{"model.embed.weight", 900, 1, 0},
                                       {"model.layers.0.up.weight", 900, 2, 0}};
    const struct part early[PARTS] = {{"model.embed.weight", 900, 1, 3},
                                      {"model.layers.0.up.weight", 900, 2, 4}};
    const struct part wider[PARTS] = {{"model.embed.weight", 908, 1, 3},
                                      {"model.layers.0.up.weight", 900, 2, 4}};
    struct done_report done = {0};
    struct optimize_plan optimize;
    struct plan *plan;
    setup(&p);
    write_model(p.models, "early", early, "---\nbase_model: x/middle\n---\n");
    write_model(p.models, "wider", wider, "---\nbase_model: x/early\n---\n");
    scan(&p);
    (void)plan_all(&p, &plan);
    assert_int_equal(ops_compress(p.ops, p.library, plan, false, NULL, &done, NULL), 0);
    done_report_release(&done);
    plan_free(plan);
    write_model(p.models, "middle", middle, NULL);
    scan(&p);
    int all[] = {0, 1, 2};
    assert_int_equal(ops_optimize_plan(p.ops, p.library, all, 3, &optimize, NULL), 0);
    for (size_t i = 0; i < optimize.count; i++)
        assert_int_not_equal(optimize.steps[i].model, find(&p, "wider"));
    for (size_t i = 0; i < optimize.count; i++)
        assert_int_not_equal(optimize.steps[i].model, find(&p, "early"));
    optimize_plan_release(&optimize);
    teardown(&p);
}

static void plan__layer_under_another_name__is_a_difference_from_the_one_it_was(void **state)
{
    (void)state;
    struct place p;
    const struct part moved[PARTS] = {{"model.embed.weight", 300, 1, 40},
                                      {"model.layers.0.up.weight", 400, 2, 41},
                                      {"model.layers.1.up.weight", 400, 3, 42},
                                      {"model.layers.2.up.weight", 400, 3, 43}};
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "moved", moved, "---\nbase_model: x/base\n---\n");
    scan(&p);
    int models[] = {find(&p, "base"), find(&p, "moved")};
    const struct plan_request request = {.models = models, .count = 2, .base = NO_MODEL};
    struct plan *plan;
    size_t deltas = 0;
    assert_int_equal(ops_plan(p.ops, p.library, &request, NULL, &plan, NULL), 0);
    for (size_t f = 0; f < plan->file_count; f++)
        for (size_t i = 0; i < plan->files[f].range_count; i++)
            deltas += !hash128_is_zero(&plan->files[f].ranges[i].base);
    assert_int_equal(deltas, 4);
    plan_free(plan);
    teardown(&p);
}

static void ops_delta__all_elements__are_counted_where_they_lie_and_in_the_store(void **state)
{
    (void)state;
    struct place p;
    const struct part fine[PARTS] = {{"embed.weight", 300, 1, 50},
                                     {"layers.0.up.weight", 400, 2, 0},
                                     {"layers.1.up.weight", 401, 3, 52}};
    struct delta_report exact, stored;
    struct done_report done = {0};
    struct plan *plan;
    uint64_t bits = 0;
    size_t n = 300 * COLUMNS;
    AUTO_FREE uint16_t *base = mem_alloc(n * 2), *own = mem_alloc(n * 2);
    test_weights(base, n, NULL, 1);
    test_weights(own, n, base, 50);
    for (size_t i = 0; i < n; i++)
        bits += (unsigned)__builtin_popcount((unsigned)(base[i] ^ own[i]));
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "fine", fine, "---\nbase_model: x/base\n---\n");
    scan(&p);
    int models[] = {find(&p, "base"), find(&p, "fine")};
    assert_int_equal(ops_delta(p.ops, p.library, models[1], models[0], NULL, &exact, NULL), 0);
    assert_int_equal(exact.total.elements, 700 * COLUMNS); /* the third has another shape */
    assert_int_equal(exact.unmatched_count, 1);
    assert_int_equal(exact.total.bits, bits);
    assert_int_equal(exact.tensors[1].untouched, 400);
    assert_int_equal(exact.tensors[1].sum.unchanged, 400 * COLUMNS);
    const struct plan_request request = {.models = models, .count = 2, .base = NO_MODEL};
    assert_int_equal(ops_plan(p.ops, p.library, &request, NULL, &plan, NULL), 0);
    assert_int_equal(ops_compress(p.ops, p.library, plan, false, NULL, &done, NULL), 0);
    done_report_release(&done);
    plan_free(plan);
    scan(&p);
    assert_int_equal(
        ops_delta(p.ops, p.library, find(&p, "fine"), find(&p, "base"), NULL, &stored, NULL), 0);
    assert_memory_equal(&stored.total, &exact.total, sizeof exact.total);
    delta_report_release(&exact);
    delta_report_release(&stored);
    teardown(&p);
}

static void kinship__lost_catalog__is_known_from_the_store(void **state)
{
    (void)state;
    struct place p;
    const struct part fine[PARTS] = {{"model.embed.weight", 300, 1, 30},
                                     {"model.layers.0.up.weight", 400, 2, 31},
                                     {"model.layers.1.up.weight", 400, 3, 32}};
    struct done_report done = {0};
    struct plan *plan;
    setup(&p);
    write_model(p.models, "base", base_parts, NULL);
    write_model(p.models, "fine", fine, NULL);
    scan(&p);
    int models[] = {find(&p, "base"), find(&p, "fine")};
    const struct plan_request request = {.models = models, .count = 2, .base = NO_MODEL};
    assert_int_equal(ops_plan(p.ops, p.library, &request, NULL, &plan, NULL), 0);
    assert_int_equal(ops_compress(p.ops, p.library, plan, false, NULL, &done, NULL), 0);
    done_report_release(&done);
    plan_free(plan);
    ops_close(p.ops);
    assert_int_equal(unlink(p.catalog), 0);
    open_ops(&p);
    scan(&p);
    /* Which of the two stands alone tells nothing of their age. */
    bool below = p.library->models[find(&p, "fine")].base == find(&p, "base");
    bool above = p.library->models[find(&p, "base")].base == find(&p, "fine");
    assert_true(below || above);
    teardown(&p);
}

int main(void)
{
    char *home = test_home();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinship__another_vocabulary__is_found_by_the_bits),
        cmocka_unit_test(kinship__tensors_without_their_wrapper__are_the_same),
        cmocka_unit_test(kinship__stacked_layers__are_found_by_their_contents),
        cmocka_unit_test(kinship__equal_copies__are_duplicates),
        cmocka_unit_test(kinship__claim_of_another_architecture__is_checked),
        cmocka_unit_test(kinship__lost_catalog__is_known_from_the_store),
        cmocka_unit_test(kinship__zeros_that_many_tensors_are__are_no_kinship),
        cmocka_unit_test(kinship__model_that_names_itself__has_no_absent_parent),
        cmocka_unit_test(plan__long_run_of_checkpoints__has_hardly_any_that_stand_alone),
        cmocka_unit_test(plan__chain_of_growing_vocabularies__is_differences_from_the_first),
        cmocka_unit_test(optimize__base_of_what_cannot_be_predicted__stays),
        cmocka_unit_test(plan__layer_under_another_name__is_a_difference_from_the_one_it_was),
        cmocka_unit_test(ops_delta__all_elements__are_counted_where_they_lie_and_in_the_store),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_remove(home);
    return failed;
}
