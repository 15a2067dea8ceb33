/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "delta/profile.h"
#include "family/family.h"
#include "tests/unit/herd.h"

#include <math.h>
#include <string.h>

enum { ELEMENTS = PROFILE_BYTES / 2, MOST = 12 };

/* Models of one architecture, made from each other. */
struct world {
    uint16_t profiles[MOST][ELEMENTS];
    struct family_member members[MOST];
    struct family_relations relations[MOST];
    struct family_edge edges[MOST];
    size_t count;
};

static int add(struct world *w)
{
    int i = (int)w->count++;
    w->members[i] = (struct family_member){.architecture = {{1}},
                                           .profile = (const uint8_t *)w->profiles[i],
                                           .claim = -1,
                                           .before = -1,
                                           .age = i};
    return i;
}

static int add_base(struct world *w, uint32_t seed)
{
    int i = add(w);
    test_weights(w->profiles[i], ELEMENTS, NULL, seed);
    return i;
}

/* A fine-tune: every weight moved by about a fortieth of what weights are. */
static int add_fine(struct world *w, int parent, uint32_t seed)
{
    int i = add(w);
    uint32_t random = seed * 2654435761u;
    for (size_t k = 0; k < ELEMENTS; k++) {
        float step = (float)(test_random(&random) >> 8) / 65536 - 0.5f;
        w->profiles[i][k] = test_narrow(test_widen(w->profiles[parent][k]) + step * 0.004f);
    }
    return i;
}

static int add_merge(struct world *w, int a, int b)
{
    int i = add(w);
    for (size_t k = 0; k < ELEMENTS; k++) {
        w->profiles[i][k] =
            test_narrow((test_widen(w->profiles[a][k]) + test_widen(w->profiles[b][k])) / 2);
    }
    return i;
}

static void solve(struct world *w)
{
    memset(w->relations, 0, sizeof w->relations);
    family_compare(w->members, w->count, w->relations);
    family_forest(w->members, w->count, w->relations, w->edges);
}

static void family_forest__fine_tunes_of_two_bases__are_two_trees(void **state)
{
    (void)state;
    struct world w = {0};
    int one = add_fine(&w, add_base(&w, 1), 2), base = 0;
    int two = add_fine(&w, base, 3), three = add_fine(&w, base, 4);
    int other = add_base(&w, 50), its = add_fine(&w, other, 6), also = add_fine(&w, other, 7);
    solve(&w);
    assert_int_equal(w.edges[base].parent, -1);
    assert_int_equal(w.edges[one].parent, base);
    assert_int_equal(w.edges[two].parent, base);
    assert_int_equal(w.edges[three].parent, base);
    assert_int_equal(w.edges[other].parent, -1);
    assert_int_equal(w.edges[its].parent, other);
    assert_int_equal(w.edges[also].parent, other);
    assert_true(w.edges[one].distance > 0.1 && w.edges[one].distance < FAMILY_CUT);
}

static void family_forest__other_architecture__is_not_compared(void **state)
{
    (void)state;
    struct world w = {0};
    int base = add_base(&w, 1), fine = add_fine(&w, base, 2);
    w.members[fine].architecture.b[0] = 2;
    solve(&w);
    assert_int_equal(w.edges[fine].parent, -1);
    w.members[fine].claim = base;
    solve(&w);
    assert_int_equal(w.edges[fine].parent, base);
    assert_true(w.edges[fine].claimed && w.edges[fine].distance < 0);
}

static void family_forest__claim_that_the_bits_deny__is_not_used(void **state)
{
    (void)state;
    struct world w = {0};
    int base = add_base(&w, 1), fine = add_fine(&w, base, 2), more = add_fine(&w, base, 3);
    int stranger = add_base(&w, 60);
    w.members[fine].claim = stranger;
    w.members[more].claim = base;
    solve(&w);
    assert_int_equal(w.edges[fine].parent, base);
    assert_true(w.edges[fine].contradicted && !w.edges[fine].claimed);
    assert_true(w.edges[more].claimed);
    assert_int_equal(w.edges[stranger].parent, -1);
}

static void family_forest__claims_in_a_circle__leave_a_root(void **state)
{
    (void)state;
    struct world w = {0};
    int base = add_base(&w, 1), fine = add_fine(&w, base, 2);
    w.members[base].claim = fine;
    w.members[fine].claim = base;
    solve(&w);
    assert_true((w.edges[base].parent == -1) != (w.edges[fine].parent == -1));
}

/* Training moves them the same way, so most of them are nearer to the one that only went that way.
 */
static void family_forest__fine_tunes_that_learned_alike__stay_below_the_base(void **state)
{
    (void)state;
    struct world w = {0};
    int base = add_base(&w, 1), common = add_fine(&w, base, 20);
    for (uint32_t i = 0; i < 4; i++) {
        uint16_t *fine = w.profiles[add_fine(&w, base, 30 + i)];
        size_t begin = i ? 0 : ELEMENTS / 2; /* the lower half of one was frozen */
        memcpy(fine, w.profiles[base], begin * sizeof *fine);
        for (size_t k = begin; k < ELEMENTS; k++) {
            float drift = test_widen(w.profiles[common][k]) - test_widen(w.profiles[base][k]);
            fine[k] = test_narrow(test_widen(fine[k]) + 0.6f * drift);
        }
    }
    solve(&w);
    assert_int_equal(w.edges[base].parent, -1);
    assert_int_equal(w.edges[common].parent, base);
}

static void family_forest__mean_of_two_fine_tunes__is_their_merge(void **state)
{
    (void)state;
    struct world w = {0};
    int base = add_base(&w, 1), a = add_fine(&w, base, 20), b = add_fine(&w, base, 300);
    int c = add_fine(&w, base, 4), merge = add_merge(&w, a, b);
    solve(&w);
    assert_true((w.edges[merge].parent == a && w.edges[merge].second == b) ||
                (w.edges[merge].parent == b && w.edges[merge].second == a));
    for (int i = a; i <= c; i++) {
        assert_int_equal(w.edges[i].parent, base);
        assert_int_equal(w.edges[i].second, -1);
    }
}

static void family_forest__checkpoints_of_a_run__are_in_order_below_the_base(void **state)
{
    (void)state;
    struct world w = {0};
    /* A run goes on in about one direction: a step adds to what those before changed. */
    int base = add_base(&w, 1), steps[3] = {add_fine(&w, base, 70)};
    uint32_t random = 5;
    for (int s = 1; s < 3; s++) {
        steps[s] = add(&w);
        for (size_t k = 0; k < ELEMENTS; k++) {
            float drift = test_widen(w.profiles[steps[0]][k]) - test_widen(w.profiles[base][k]);
            float other = (float)(test_random(&random) >> 8) / 65536 - 0.5f;
            w.profiles[steps[s]][k] =
                test_narrow(test_widen(w.profiles[steps[s - 1]][k]) + drift / 2 + other * 0.0015f);
        }
    }
    for (int s = 0; s < 3; s++)
        w.members[steps[s]].step = true;
    solve(&w);
    assert_int_equal(w.edges[steps[1]].parent, steps[0]);
    assert_int_equal(w.edges[steps[2]].parent, steps[1]);
    assert_int_equal(w.edges[steps[0]].parent, base);
    assert_int_equal(w.edges[base].parent, -1);
}

/* Mean and deviation of the distance of pairs: one model, and it moved by a share of its spread. */
static void simulate(float moved, double *mean, double *deviation)
{
    enum { PAIRS = 400 };
    uint16_t a[ELEMENTS], b[ELEMENTS];
    uint32_t random = 11;
    double sum = 0, squares = 0;
    for (int i = 0; i < PAIRS; i++) {
        for (int k = 0; k < ELEMENTS; k++) {
            float w = test_normal(&random), step = test_normal(&random);
            a[k] = test_narrow(0.02f * w);
            b[k] = test_narrow(0.02f * (moved > 0 ? w + moved * step : step));
        }
        double d = profile_distance((const uint8_t *)a, (const uint8_t *)b);
        sum += d;
        squares += d * d;
    }
    *mean = sum / PAIRS;
    *deviation = sqrt(squares / PAIRS - *mean * *mean);
}

static void profile_distance__simulated_pairs__keep_six_deviations_from_the_cut(void **state)
{
    (void)state;
    double related, unrelated, deviation, other;
    simulate(0.33f, &related, &deviation);
    simulate(0, &unrelated, &other);
    assert_true(related > 4.6 && related < 4.7);
    assert_true(unrelated > 5.6 && unrelated < 5.9);
    /* 2 bits of one element, over the root of 4096 */
    assert_true(deviation > 0.025 && deviation < 0.037 && other > 0.025 && other < 0.037);
    assert_true(related + 6 * deviation < FAMILY_CUT);
    assert_true(unrelated - 6 * other > FAMILY_CUT);
}

static void assert_found(bool deep, double claims)
{
    struct herd herd;
    herd_make(&herd, 200, 10, deep, claims);
    AUTO_FREE struct family_relations *relations = mem_zalloc(herd.count * sizeof *relations);
    AUTO_FREE struct family_edge *edges = mem_alloc(herd.count * sizeof *edges);
    family_compare(herd.members, herd.count, relations);
    family_forest(herd.members, herd.count, relations, edges);
    struct herd_score score = herd_judge(&herd, edges);
    assert_true(score.edges > 1700);
    assert_true((double)score.found >= 0.99 * (double)score.edges);
    assert_true((double)score.right >= 0.99 * (double)score.told);
    herd_release(&herd);
}

static void family_forest__two_thousand_models_of_one_architecture__find_their_parents(void **state)
{
    (void)state;
    assert_found(true, 0.9);
    assert_found(false, 0);
}

static void family_compare__one_more_model__is_as_if_all_were_compared(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 4, 30, true, 0.9);
    AUTO_FREE struct family_relations *at_once = mem_zalloc(herd.count * sizeof *at_once);
    AUTO_FREE struct family_relations *one_by_one = mem_zalloc(herd.count * sizeof *one_by_one);
    family_compare(herd.members, herd.count, at_once);
    family_compare(herd.members, herd.count - 2, one_by_one);
    family_compare(herd.members, herd.count, one_by_one);
    for (size_t i = 0; i < herd.count; i++) {
        assert_int_equal(one_by_one[i].relatives, at_once[i].relatives);
        assert_true(fabs(one_by_one[i].sum - at_once[i].sum) < 1e-9);
        assert_memory_equal(one_by_one[i].near, at_once[i].near,
                            at_once[i].count * sizeof at_once[i].near[0]);
    }
    herd_release(&herd);
}

static void profile_build__shards_and_dtypes__do_not_matter(void **state)
{
    (void)state;
    uint64_t shape[2] = {100, 64}, shape_one[1] = {64};
    uint8_t sketches[3][SKETCH_TENSOR], one[PROFILE_BYTES], two[PROFILE_BYTES];
    struct hash128 a, b;
    struct tensor tensors[3] = {{.name = "a",
                                 .name_len = 1,
                                 .dtype = DTYPE_BF16,
                                 .shape = shape,
                                 .dims = 2,
                                 .bytes = 12800},
                                {.name = "b",
                                 .name_len = 1,
                                 .dtype = DTYPE_BF16,
                                 .shape = shape,
                                 .dims = 2,
                                 .bytes = 12800},
                                {.name = "c",
                                 .name_len = 1,
                                 .dtype = DTYPE_BF16,
                                 .shape = shape_one,
                                 .dims = 1,
                                 .bytes = 128}};
    for (size_t i = 0; i < sizeof sketches; i++)
        sketches[i / SKETCH_TENSOR][i % SKETCH_TENSOR] = (uint8_t)(i * 31);
    struct profile_tensor rows[3] = {
        {&tensors[0], sketches[0]}, {&tensors[1], sketches[1]}, {&tensors[2], sketches[2]}};
    struct profile_tensor other[3] = {rows[2], rows[1], rows[0]};
    profile_build(rows, 3, one, &a);
    for (int i = 0; i < 3; i++) {
        tensors[i].dtype = DTYPE_F32;
        tensors[i].bytes *= 2;
    }
    profile_build(other, 3, two, &b);
    assert_true(hash128_equal(&a, &b));
    assert_memory_equal(one, two, sizeof one);
    shape[0]++;
    profile_build(rows, 3, two, &b);
    assert_false(hash128_equal(&a, &b));
    profile_build(rows, 0, two, &b);
    assert_true(hash128_is_zero(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(family_forest__fine_tunes_of_two_bases__are_two_trees),
        cmocka_unit_test(family_forest__other_architecture__is_not_compared),
        cmocka_unit_test(family_forest__claim_that_the_bits_deny__is_not_used),
        cmocka_unit_test(family_forest__claims_in_a_circle__leave_a_root),
        cmocka_unit_test(family_forest__fine_tunes_that_learned_alike__stay_below_the_base),
        cmocka_unit_test(family_forest__mean_of_two_fine_tunes__is_their_merge),
        cmocka_unit_test(family_forest__checkpoints_of_a_run__are_in_order_below_the_base),
        cmocka_unit_test(profile_distance__simulated_pairs__keep_six_deviations_from_the_cut),
        cmocka_unit_test(
            family_forest__two_thousand_models_of_one_architecture__find_their_parents),
        cmocka_unit_test(family_compare__one_more_model__is_as_if_all_were_compared),
        cmocka_unit_test(profile_build__shards_and_dtypes__do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
