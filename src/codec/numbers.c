/* SPDX-License-Identifier: MIT */
/* Ordered differences as symbols in classes. */
#include "codec/numbers.h"

#include "base/mem.h"
#include "bits/ordered.h"

#include <math.h>
#include <string.h>

enum { SAMPLE_RUNS = 16, SAMPLE_RUN = 64 };

struct tile {
    uint32_t values[ANS_TILE];
    uint8_t exponents[ANS_TILE], symbols[ANS_TILE], classes[ANS_TILE];
};

void classes_of(const uint8_t *exponents, size_t n, struct window window, uint8_t *restrict classes)
{
    uint8_t low = (uint8_t)window.low, top = (uint8_t)(window.classes - 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)(exponents[i] < low ? 0 : exponents[i] - low);
        classes[i] = c > top ? top : c;
    }
}

/* Differences, symbols and classes of n elements from at on. */
static void fill(const struct pairs *p, size_t at, size_t n, struct window window, struct tile *t)
{
    size_t width = dtype_width(p->dtype);
    if (p->values) {
        memcpy(t->values, p->values + at, n * sizeof *t->values);
        memcpy(t->exponents, p->exponents + at, n);
    } else {
        ordered_split(p->dtype, p->raw + at * width, p->base + at * width, n, t->values,
                      t->exponents);
    }
    ans_symbols(t->values, n, t->symbols);
    classes_of(t->exponents, n, window, t->classes);
}

/* ---- the classes of a chunk ---- */

size_t numbers_sample(const struct pairs *p, const uint8_t *elements, uint32_t counts[EXPONENTS])
{
    uint8_t exponents[SAMPLE_RUN];
    size_t width = dtype_width(p->dtype), step = p->n / SAMPLE_RUNS, total = 0;
    memset(counts, 0, EXPONENTS * sizeof *counts);
    for (size_t at = 0; at < p->n; at += MAX(step, (size_t)SAMPLE_RUN)) {
        size_t n = MIN(p->n - at, (size_t)SAMPLE_RUN);
        if (p->values)
            memcpy(exponents, p->exponents + at, n);
        else
            ordered_exponents(p->dtype, elements + at * width, n, exponents);
        for (size_t i = 0; i < n; i++)
            counts[exponents[i]]++;
        total += n;
    }
    return total;
}

/* Sixteen exponents up to the highest that at least one of 256 sampled elements reaches. */
static struct window widest_window(const struct pairs *p)
{
    uint32_t counts[EXPONENTS];
    size_t total = numbers_sample(p, p->base, counts), above = 0;
    unsigned top = EXPONENTS - 1;
    while (top > 0 && (above += counts[top]) * 256 < total)
        top--;
    unsigned low = top >= ANS_CLASSES ? top - (ANS_CLASSES - 1) : 0;
    return (struct window){low, ANS_CLASSES};
}

static void count_symbols(struct codec_work *work, const struct pairs *p, struct window window)
{
    /* Four counts at once: the same symbol often follows itself. */
    enum { ALL = ANS_CLASSES * ANS_SYMBOLS };
    uint32_t part[4][ALL] = {0}, *counts = work->counts[0];
    struct tile t;
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE), i = 0;
        fill(p, at, n, window, &t);
        for (; i + 4 <= n; i += 4)
            for (size_t k = 0; k < 4; k++)
                part[k][t.classes[i + k] * ANS_SYMBOLS + t.symbols[i + k]]++;
        for (; i < n; i++)
            part[0][t.classes[i] * ANS_SYMBOLS + t.symbols[i]]++;
    }
    for (size_t i = 0; i < ALL; i++)
        counts[i] = part[0][i] + part[1][i] + part[2][i] + part[3][i];
}

/* What a class costs in 1/65536 bits: its symbols, and about three bits a symbol of table. */
static uint64_t class_cost(const uint32_t counts[ANS_SYMBOLS])
{
    unsigned end = ANS_SYMBOLS;
    while (end && !counts[end - 1])
        end--;
    return ans_entropy(counts) + (uint64_t)(5 + 3 * end) * 65536;
}

/* Whether class b costs less as a part of a; then it is. cost: of a and b, kept up. */
static bool join(uint32_t a[ANS_SYMBOLS], const uint32_t b[ANS_SYMBOLS], uint64_t *cost_a,
                 uint64_t cost_b)
{
    uint32_t both[ANS_SYMBOLS];
    for (unsigned s = 0; s < ANS_SYMBOLS; s++)
        both[s] = a[s] + b[s];
    uint64_t cost = class_cost(both);
    if (cost > *cost_a + cost_b)
        return false;
    memcpy(a, both, sizeof both);
    *cost_a = cost;
    return true;
}

/* Joins the outermost classes while that pays. */
static struct window narrow_window(uint32_t counts[ANS_CLASSES][ANS_SYMBOLS], struct window w)
{
    uint64_t cost[ANS_CLASSES];
    unsigned first = 0, last = w.classes - 1;
    for (unsigned c = 0; c < w.classes; c++)
        cost[c] = class_cost(counts[c]);
    while (first < last && join(counts[first + 1], counts[first], &cost[first + 1], cost[first]))
        first++;
    while (first < last && join(counts[last - 1], counts[last], &cost[last - 1], cost[last]))
        last--;
    memmove(counts[0], counts[first], (last - first + 1) * sizeof counts[0]);
    return (struct window){w.low + first, last - first + 1};
}

/* ---- numbers in classes ---- */

struct window numbers_fit(struct codec_work *work, const struct pairs *p)
{
    struct window window = widest_window(p);
    count_symbols(work, p, window);
    window = narrow_window(work->counts, window);
    ans_model_fit(&work->ans.model, window.classes, work->counts);
    return window;
}

double numbers_cost(const struct codec_work *work, size_t n)
{
    const struct ans_model *model = &work->ans.model;
    double bits = 32 * ans_lanes(n);
    for (unsigned c = 0; c < model->classes; c++)
        for (unsigned s = 0; s < ANS_SYMBOLS; s++)
            if (work->counts[c][s])
                bits += work->counts[c][s] * (double)(log2f((float)ANS_SCALE / model->freq[c][s]) +
                                                      (float)ans_symbol_width(s));
    return bits;
}

size_t numbers_put(struct codec_work *work, const struct pairs *p, struct window window,
                   uint8_t *dst, size_t cap)
{
    struct ans *ans = &work->ans;
    struct tile t;
    if (cap < 2 + ANS_MODEL_MOST)
        return 0;
    dst[0] = (uint8_t)window.low;
    dst[1] = (uint8_t)window.classes;
    size_t head = 2 + ans_model_write(&ans->model, dst + 2);
    ans_encode_begin(ans, p->n, dst + head, cap - head);
    for (size_t end = p->n; end > 0;) {
        size_t n = end % ANS_TILE ? end % ANS_TILE : ANS_TILE;
        end -= n;
        fill(p, end, n, window, &t);
        if (!ans_encode(ans, t.symbols, t.classes, t.values, n))
            return 0;
    }
    const uint8_t *words = ans_encode_end(ans);
    size_t len = (size_t)(dst + cap - words);
    memmove(dst + head, words, len);
    return head + len;
}

int numbers_open(struct codec_work *work, size_t n, const uint8_t *src, size_t len,
                 struct window *window, struct err *err)
{
    struct ans *ans = &work->ans;
    if (len < 2 || src[1] < 1 || src[1] > ANS_CLASSES)
        return codec_damaged(err, "delta: the classes are damaged");
    *window = (struct window){src[0], src[1]};
    ans->model.classes = window->classes;
    size_t head = ans_model_read(&ans->model, ANS_NUMBER_SYMBOLS, src + 2, len - 2);
    return head && ans_decode_begin(ans, n, src + 2 + head, len - 2 - head) == 0
               ? 0
               : codec_damaged(err, "delta: a table is damaged");
}
