/* SPDX-License-Identifier: MIT */
/* Pairs of models for measuring. */
#include "tests/bench/bench.h"

#include "tests/unit/helpers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 4096, COLUMNS = 4096, TENSOR = ROWS * COLUMNS };

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Two normal numbers at a time. */
static void normal(uint64_t *state, float out[2])
{
    float u = (float)((mix(state) >> 40) + 1) * 0x1p-24f, v = (float)(mix(state) >> 40) * 0x1p-24f;
    float r = sqrtf(-2 * logf(u)), angle = 6.2831853f * v;
    out[0] = r * cosf(angle);
    out[1] = r * sinf(angle);
}

static void fill_base(uint16_t *w, size_t n, unsigned seed)
{
    uint64_t state = seed;
    float two[2], spread = 0;
    for (size_t i = 0; i < n; i += 2) {
        if (i % COLUMNS == 0) {
            normal(&state, two);
            spread = 0.02f * expf(0.3f * two[0]);
        }
        normal(&state, two);
        w[i] = test_narrow(two[0] * spread);
        w[i + 1] = test_narrow(two[1] * spread);
    }
}

static void fill_fine(uint16_t *w, const uint16_t *base, size_t n, double step, unsigned seed)
{
    uint64_t state = seed;
    float two[2];
    for (size_t i = 0; i < n; i += 2) {
        normal(&state, two);
        w[i] = test_narrow(test_widen(base[i]) + two[0] * (float)step);
        w[i + 1] = test_narrow(test_widen(base[i + 1]) + two[1] * (float)step);
    }
}

struct target {
    const char *name;
    double bits, same; /* one of them */
};

static const struct target targets[] = {
    {"bits-0.1", 0.1, 0}, {"bits-1", 1, 0},      {"bits-2", 2, 0},        {"bits-3", 3, 0},
    {"bits-4", 4, 0},     {"same-99", 0, 0.990}, {"same-99.9", 0, 0.999},
};

/* The step that reaches the target, found on a quarter of a million weights. */
static double find_step(const struct target *target, const uint16_t *base, uint16_t *fine)
{
    enum { N = 64 * COLUMNS };
    double low = -30, high = 0;
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2, bits = 0, same = 0;
        fill_fine(fine, base, N, exp2(middle), 1);
        for (size_t k = 0; k < N; k++) {
            bits += __builtin_popcount((unsigned)(base[k] ^ fine[k]));
            same += base[k] == fine[k];
        }
        bool more = target->bits > 0 ? bits / N < target->bits : same / N > target->same;
        *(more ? &low : &high) = middle;
    }
    return exp2(low);
}

static FILE *begin(const char *dir, const char *name, int tensors)
{
    AUTO_BUF struct buf header = {0};
    AUTO_FREE char *path = test_path(dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < tensors; i++)
        buf_printf(&header,
                   "%c\"model.layers.%d.mlp.up_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[%d,%d],"
                   "\"data_offsets\":[%lld,%lld]}",
                   i ? ',' : '{', i, ROWS, COLUMNS, 2LL * TENSOR * i, 2LL * TENSOR * (i + 1));
    buf_char(&header, '}');
    uint64_t length = header.len;
    assert_true(fwrite(&length, 8, 1, file) == 1 && fwrite(header.data, length, 1, file) == 1);
    return file;
}

size_t pairs_count(void)
{
    return COUNT_OF(targets);
}

const char *pairs_name(size_t i)
{
    return targets[i].name;
}

void pairs_write(const char *dir, unsigned megabytes)
{
    int tensors = MAX((int)megabytes / (2 * TENSOR >> 20), 1);
    AUTO_FREE uint16_t *base = mem_alloc(TENSOR * 2), *fine = mem_alloc(TENSOR * 2);
    double steps[COUNT_OF(targets)];
    FILE *files[COUNT_OF(targets) + 1];
    fill_base(base, TENSOR, 1);
    for (size_t t = 0; t < COUNT_OF(targets); t++) {
        AUTO_FREE char *name = mem_printf("%s.safetensors", targets[t].name);
        steps[t] = find_step(&targets[t], base, fine);
        files[t] = begin(dir, name, tensors);
    }
    files[COUNT_OF(targets)] = begin(dir, "base.safetensors", tensors);
    for (int i = 0; i < tensors; i++) {
        fill_base(base, TENSOR, (unsigned)i + 1);
        assert_true(fwrite(base, 2, TENSOR, files[COUNT_OF(targets)]) == TENSOR);
        for (size_t t = 0; t < COUNT_OF(targets); t++) {
            fill_fine(fine, base, TENSOR, steps[t], 1000 * (unsigned)i + (unsigned)t);
            assert_true(fwrite(fine, 2, TENSOR, files[t]) == TENSOR);
        }
    }
    for (size_t t = 0; t <= COUNT_OF(targets); t++)
        assert_int_equal(fclose(files[t]), 0);
}
