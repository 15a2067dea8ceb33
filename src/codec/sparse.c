/* SPDX-License-Identifier: MIT */
/*
 * The sparse form of delta. Elements are counted by the exponent of their base. Where few of one
 * exponent changed, the gaps between those that did are told (how many of the same exponent lie
 * between, as Rice codes); where many did, each has a flag; then come the differences.
 */
#include "codec/numbers.h"

#include "base/mem.h"
#include "bits/ordered.h"
#include "codec/bitstream.h"

#include <string.h>

enum telling { NONE, ALL, GAPS, FLAGS };
enum {
    FLAGS_FROM = 8, /* flags where at least every eighth did */
    COUNT_RICE = 1,
};

/* For each exponent of the base: how many elements have it, and how many of those changed. */
struct census {
    uint32_t all[EXPONENTS], changed[EXPONENTS];
    uint8_t telling[EXPONENTS], flag_class[EXPONENTS];
    unsigned flag_classes;
    size_t changes, gaps, flags;
};

/*
 * Lists that grow with what changed: of the elements that did (when decoding, at first those
 * that may have), the gaps by exponent, and a flag and its class for each flagged element.
 */
struct lists {
    uint32_t *places, *ranks, *values, *gaps, *flags;
    uint8_t *exponents, *flag_classes, *elements;
};

/* The places of the exponents that are watched: without a branch for each. */
static size_t watch(const uint8_t *exponents, size_t n, const uint8_t watched[EXPONENTS],
                    uint16_t places[ANS_TILE])
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        places[m] = (uint16_t)i;
        m += watched[exponents[i]];
    }
    return m;
}

static void exponents_at(const struct pairs *p, size_t at, size_t n, uint8_t *exponents)
{
    ordered_exponents(p->dtype, p->base + at * dtype_width(p->dtype), n, exponents);
}

/* Decides how changes are told. */
static void settle(struct census *census)
{
    for (int e = 0; e < EXPONENTS; e++) {
        uint32_t all = census->all[e], changed = census->changed[e];
        census->changes += changed;
        if (!changed) {
            census->telling[e] = NONE;
        } else if (changed == all) {
            census->telling[e] = ALL;
        } else if (changed >= all / FLAGS_FROM && census->flag_classes < ANS_CLASSES) {
            census->telling[e] = FLAGS;
            census->flag_class[e] = (uint8_t)census->flag_classes++;
            census->flags += all;
        } else {
            census->telling[e] = GAPS;
            census->gaps += changed;
        }
    }
}

/* Lists for so many changed elements, gaps, and flagged elements. */
static struct lists make_lists(struct codec_work *work, size_t changes, size_t gaps, size_t flags)
{
    size_t numbers = 4 * changes + gaps + flags;
    uint8_t *memory = codec_scratch(&work->lists, &work->lists_cap, 4 * numbers + changes + flags);
    struct lists list;
    list.places = (uint32_t *)(void *)memory;
    list.ranks = list.places + changes;
    list.values = list.ranks + changes;
    list.elements = (uint8_t *)(list.values + changes);
    list.gaps = list.values + 2 * changes;
    list.flags = list.gaps + gaps;
    list.exponents = (uint8_t *)(list.flags + flags);
    list.flag_classes = list.exponents + changes;
    return list;
}

/* The parameter of gaps: for gaps of this mean, about the best. */
static unsigned gap_rice(uint32_t all, uint32_t changed)
{
    unsigned k = 0;
    while (k < 30 && (uint64_t)changed << (k + 1) < all - changed)
        k++;
    return k;
}

/* The flags need no table of their own: the counts are known. */
static void fit_flags(struct codec_work *work, const struct census *census)
{
    struct ans_model *model = &work->ans.model;
    model->classes = 0;
    for (int e = 0; e < EXPONENTS; e++)
        if (census->telling[e] == FLAGS)
            ans_model_add_pair(model, census->all[e] - census->changed[e], census->changed[e]);
}

/* ---- encoding ---- */

/* How many of the first n exponents are e. Bytes count runs that they can hold. */
static uint32_t rank_of(const uint8_t *exponents, size_t n, uint8_t e)
{
    enum { RUN = 128 };
    uint32_t rank = 0;
    size_t i = 0;
    for (; i + RUN <= n; i += RUN) {
        uint8_t part = 0;
        for (size_t k = 0; k < RUN; k++)
            part = (uint8_t)(part + (exponents[i + k] == e));
        rank += part;
    }
    for (; i < n; i++)
        rank += exponents[i] == e;
    return rank;
}

/* Lists the changed elements, with their ranks among those of their exponent. */
static void list_changes(const struct pairs *p, struct census *census, struct lists *list)
{
    uint32_t values[ANS_TILE];
    uint8_t exponents[ANS_TILE];
    uint16_t places[ANS_TILE];
    size_t width = dtype_width(p->dtype), count = 0;
    memset(census, 0, sizeof *census);
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE), m = 0;
        ordered_split(p->dtype, p->raw + at * width, p->base + at * width, n, values, exponents);
        for (size_t i = 0; i < n; i++) {
            places[m] = (uint16_t)i;
            m += values[i] != 0;
        }
        for (size_t k = 0; k < m; k++, count++) {
            uint8_t e = exponents[places[k]];
            census->changed[e]++;
            list->places[count] = (uint32_t)at + places[k];
            list->ranks[count] = census->all[e] + rank_of(exponents, places[k], e);
            list->values[count] = values[places[k]] - 1;
            list->exponents[count] = e;
        }
        ans_count(exponents, n, census->all);
    }
    settle(census);
}

/* How many bits each count has, as the difference from the one before; then the lower ones. */
static void put_counts(struct bit_writer *w, const struct census *census)
{
    int before = 0;
    for (int e = 0; e < EXPONENTS; e++) {
        uint32_t n = census->changed[e];
        int bits = n ? 32 - __builtin_clz(n) : 0;
        if (!census->all[e])
            continue;
        bits_put_rice(w, fold(bits - before), COUNT_RICE);
        if (bits > 1)
            bits_put(w, n & (((uint32_t)1 << (bits - 1)) - 1), (unsigned)bits - 1);
        before = bits;
    }
}

static void put_gaps(struct bit_writer *w, const struct census *census, struct lists *list)
{
    uint32_t next[EXPONENTS] = {0}, *at[EXPONENTS], *gap = list->gaps;
    for (int e = 0; e < EXPONENTS; e++) {
        at[e] = gap;
        gap += census->telling[e] == GAPS ? census->changed[e] : 0;
    }
    for (size_t i = 0; i < census->changes; i++) {
        uint8_t e = list->exponents[i];
        if (census->telling[e] != GAPS)
            continue;
        *at[e]++ = list->ranks[i] - next[e];
        next[e] = list->ranks[i] + 1;
    }
    gap = list->gaps;
    for (int e = 0; e < EXPONENTS; e++) {
        unsigned k = gap_rice(census->all[e], census->changed[e]);
        for (; gap < at[e]; gap++)
            bits_put_rice(w, *gap, k);
    }
}

/* A flag for each element of the flagged exponents, and its class. */
static void list_flags(const struct pairs *p, const struct census *census, struct lists *list)
{
    uint8_t exponents[ANS_TILE], watched[EXPONENTS];
    uint16_t places[ANS_TILE];
    size_t flags = 0, change = 0;
    for (int e = 0; e < EXPONENTS; e++)
        watched[e] = census->telling[e] == FLAGS;
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE);
        exponents_at(p, at, n, exponents);
        size_t m = watch(exponents, n, watched, places);
        for (size_t k = 0; k < m; k++, flags++) {
            uint32_t place = (uint32_t)at + places[k];
            while (change < census->changes && list->places[change] < place)
                change++;
            list->flags[flags] = change < census->changes && list->places[change] == place;
            list->flag_classes[flags] = census->flag_class[exponents[places[k]]];
        }
    }
}

/* The flags, with their length before them. SIZE_MAX: they may not fit. */
static size_t put_flags(struct codec_work *work, const struct census *census,
                        const struct lists *list, uint8_t *dst, size_t cap)
{
    struct ans *ans = &work->ans;
    uint8_t symbols[ANS_TILE];
    if (cap < VARINT_MOST)
        return SIZE_MAX;
    fit_flags(work, census);
    ans_encode_begin(ans, census->flags, dst + VARINT_MOST, cap - VARINT_MOST);
    for (size_t end = census->flags; end > 0;) {
        size_t n = end % ANS_TILE ? end % ANS_TILE : ANS_TILE;
        end -= n;
        ans_symbols(list->flags + end, n, symbols);
        if (!ans_encode(ans, symbols, list->flag_classes + end, NULL, n))
            return SIZE_MAX;
    }
    const uint8_t *words = ans_encode_end(ans);
    size_t len = (size_t)(dst + cap - words), head = varint_put(dst, (uint32_t)len);
    memmove(dst + head, words, len);
    return head + len;
}

size_t sparse_encode(struct codec_work *work, const struct pairs *p, size_t changes, uint8_t *dst,
                     size_t cap)
{
    struct census census;
    struct bit_writer w = {.data = dst, .cap = cap};
    /* The flagged elements are at most eight times as many as changed. */
    struct lists list = make_lists(work, changes, changes, MIN(p->n, FLAGS_FROM * (changes + 16)));
    list_changes(p, &census, &list);
    put_counts(&w, &census);
    put_gaps(&w, &census, &list);
    size_t at = bits_flush(&w);
    if (bits_full(&w))
        return 0;
    if (census.flags) {
        list_flags(p, &census, &list);
        size_t flags = put_flags(work, &census, &list, dst + at, cap - at);
        if (flags == SIZE_MAX)
            return 0;
        at += flags;
    }
    const struct pairs numbers = {.n = changes, .values = list.values, .exponents = list.exponents};
    struct window window = numbers_fit(work, &numbers);
    size_t len = numbers_put(work, &numbers, window, dst + at, cap - at);
    return len ? at + len : 0;
}

/* ---- decoding ---- */

static bool get_counts(struct bit_reader *r, struct census *census)
{
    int64_t bits = 0;
    for (int e = 0; e < EXPONENTS; e++) {
        if (!census->all[e])
            continue;
        bits += unfold(bits_get_rice(r, COUNT_RICE));
        if (bits < 0 || bits > 32 || r->spent)
            return false;
        census->changed[e] =
            bits < 2 ? (uint32_t)bits : (uint32_t)1 << (bits - 1) | bits_get(r, (unsigned)bits - 1);
        if (census->changed[e] > census->all[e])
            return false;
    }
    settle(census);
    return !r->spent;
}

static void get_gaps(struct bit_reader *r, const struct census *census, struct lists *list)
{
    uint32_t *gap = list->gaps;
    for (int e = 0; e < EXPONENTS; e++) {
        unsigned k = gap_rice(census->all[e], census->changed[e]);
        for (uint32_t i = 0; i < census->changed[e] && census->telling[e] == GAPS; i++)
            *gap++ = bits_get_rice(r, k);
    }
}

/* Where in the gaps the search for changes is. */
struct search {
    const struct census *census;
    struct lists *list;
    uint32_t left[EXPONENTS]; /* elements that go by until one is looked at */
    const uint32_t *next[EXPONENTS], *end[EXPONENTS];
    size_t found, most;
};

static uint32_t next_gap(struct search *s, unsigned e)
{
    if (s->census->telling[e] != GAPS)
        return s->census->telling[e] == NONE ? UINT32_MAX : 0;
    return s->next[e] < s->end[e] ? *s->next[e]++ : UINT32_MAX;
}

static void begin_search(struct search *s, const struct census *census, struct lists *list,
                         size_t most)
{
    const uint32_t *gap = list->gaps;
    *s = (struct search){.census = census, .list = list, .most = most};
    for (unsigned e = 0; e < EXPONENTS; e++) {
        s->next[e] = gap;
        gap += census->telling[e] == GAPS ? census->changed[e] : 0;
        s->end[e] = gap;
        s->left[e] = next_gap(s, e);
    }
}

/* What changed, or is flagged, among the n elements from at on. False where that is too much. */
static bool search_tile(struct search *s, const uint8_t *exponents, size_t at, size_t n)
{
    uint32_t here[EXPONENTS] = {0};
    uint8_t watched[EXPONENTS];
    uint16_t places[ANS_TILE];
    ans_count(exponents, n, here);
    for (unsigned e = 0; e < EXPONENTS; e++) {
        watched[e] = s->left[e] < here[e];
        s->left[e] -= watched[e] || s->left[e] == UINT32_MAX ? 0 : here[e];
    }
    size_t m = watch(exponents, n, watched, places);
    for (size_t k = 0; k < m; k++) {
        unsigned e = exponents[places[k]];
        if (s->left[e]--)
            continue;
        s->left[e] = next_gap(s, e);
        if (s->found == s->most)
            return false;
        s->list->places[s->found] = (uint32_t)(at + places[k]);
        s->list->exponents[s->found++] = (uint8_t)e;
    }
    return true;
}

/* Decodes the flags of those that were found and keeps the ones that changed. */
static bool keep_flagged(struct codec_work *work, const struct census *census, size_t found,
                         const uint8_t *src, size_t len, struct lists *list)
{
    size_t flags = 0, kept = 0;
    for (size_t i = 0; i < found && flags < census->flags; i++) {
        list->flag_classes[flags] = census->flag_class[list->exponents[i]];
        flags += census->telling[list->exponents[i]] == FLAGS;
    }
    fit_flags(work, census);
    if (ans_decode_begin(&work->ans, flags, src, len) < 0)
        return false;
    ans_decode_values(&work->ans, list->flag_classes, list->flags, flags);
    const uint32_t *flag = list->flags;
    for (size_t i = 0; i < found; i++) {
        bool flagged = census->telling[list->exponents[i]] == FLAGS;
        list->places[kept] = list->places[i];
        list->exponents[kept] = list->exponents[i];
        kept += !flagged || *flag;
        flag += flagged;
    }
    return kept == census->changes && ans_decode_end(&work->ans) == 0;
}

/* The differences of the changes, added to their elements and put in their places. */
static int put_changes(struct codec_work *work, const struct pairs *p, size_t m, const uint8_t *src,
                       size_t len, struct lists *list, uint8_t *dst, struct err *err)
{
    size_t width = dtype_width(p->dtype);
    struct window window;
    uint8_t classes[ANS_TILE];
    int r = numbers_open(work, m, src, len, &window, err);
    if (r < 0)
        return r;
    for (size_t at = 0; at < m; at += ANS_TILE) {
        size_t n = MIN(m - at, (size_t)ANS_TILE);
        classes_of(list->exponents + at, n, window, classes);
        ans_decode_values(&work->ans, classes, list->values + at, n);
    }
    if (ans_decode_end(&work->ans) < 0)
        return codec_damaged(err, "delta: the words are damaged");
    for (size_t i = 0; i < m; i++) {
        list->values[i]++;
        memcpy(list->elements + i * width, p->base + list->places[i] * width, width);
    }
    ordered_merge(p->dtype, list->values, list->elements, m, list->elements);
    memcpy(dst, p->base, p->n * width);
    for (size_t i = 0; i < m; i++)
        memcpy(dst + list->places[i] * width, list->elements + i * width, width);
    return 0;
}

/* What changed or is flagged. The candidates are listed; SIZE_MAX where there are too many. */
static size_t find_candidates(const struct pairs *p, const struct census *census, size_t most,
                              struct lists *list)
{
    struct search search;
    uint8_t exponents[ANS_TILE];
    begin_search(&search, census, list, most);
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE);
        exponents_at(p, at, n, exponents);
        if (!search_tile(&search, exponents, at, n))
            return SIZE_MAX;
    }
    return search.found;
}

int sparse_decode(struct codec_work *work, const struct pairs *p, const uint8_t *src, size_t len,
                  uint8_t *dst, struct err *err)
{
    struct census census = {0};
    struct bit_reader r = {.data = src, .len = len};
    uint8_t exponents[ANS_TILE];
    uint32_t flags = 0;
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE);
        exponents_at(p, at, n, exponents);
        ans_count(exponents, n, census.all);
    }
    if (!get_counts(&r, &census) || !census.changes || census.changes > p->n / SPARSE_SHARE)
        return codec_damaged(err, "delta: the counts are damaged");
    size_t most = census.changes + census.flags;
    struct lists list = make_lists(work, most, census.gaps, census.flags);
    get_gaps(&r, &census, &list);
    if (r.spent)
        return codec_damaged(err, "delta: the gaps are damaged");
    size_t found = find_candidates(p, &census, most, &list), at = r.at;
    if (census.flags) {
        size_t head = varint_get(src + at, len - at, &flags);
        at += head;
        if (!head || flags > len - at || found == SIZE_MAX ||
            !keep_flagged(work, &census, found, src + at, flags, &list))
            return codec_damaged(err, "delta: the flags are damaged");
    } else if (found != census.changes) {
        return codec_damaged(err, "delta: the gaps lead beyond the elements");
    }
    at += flags;
    return put_changes(work, p, census.changes, src + at, len - at, &list, dst, err);
}
