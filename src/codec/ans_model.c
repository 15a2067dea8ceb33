/* SPDX-License-Identifier: MIT */
/* Frequencies: from counts to levels, from levels to frequencies, and levels as bits. */
#include "codec/ans.h"

#include "base/mem.h"
#include "codec/bitstream.h"

#include <math.h>
#include <string.h>

enum {
    LEVEL_MOST = 53, /* all of 2^13 */
    FIRST_GUESS = 20,
    COUNT_BITS = 8,
    RICE_BITS = 3,
    COUNT_RICE = 2,
    OFF_MOST = 4,
    CERTAIN = 256, /* what occurs more often gets its very level */
};

/* 2^15 × 2^(i/4): what a level stands for; and half a level below, where the one below begins. */
static const uint32_t weights[4] = {32768, 38968, 46341, 55109};
static const uint32_t borders[4] = {30048, 35734, 42495, 50535};

void ans_count(const uint8_t *symbols, size_t n, uint32_t counts[ANS_SYMBOLS])
{
    /* Four counts at once: the same symbol often follows itself. */
    uint32_t part[4][ANS_SYMBOLS] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            part[k][symbols[i + k]]++;
    for (; i < n; i++)
        part[0][symbols[i]]++;
    for (int s = 0; s < ANS_SYMBOLS; s++)
        counts[s] += part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

uint64_t ans_entropy(const uint32_t counts[ANS_SYMBOLS])
{
    double sum = 0, total = 0;
    for (int s = 0; s < ANS_SYMBOLS; s++) {
        if (!counts[s])
            continue;
        total += counts[s];
        sum += counts[s] * (double)log2f((float)counts[s]);
    }
    double bits = total > 0 ? total * (double)log2f((float)total) - sum : 0;
    return bits > 0 ? (uint64_t)(bits * 65536) : 0;
}

/* The level of count out of total, in quarters of an octave above 2^-13. */
static uint8_t level_of(uint32_t count, uint64_t total)
{
    uint64_t scaled = ((uint64_t)count << 28) / total;
    unsigned octave = scaled >> 16 ? 48 - (unsigned)__builtin_clzll(scaled) : 0;
    unsigned level = octave ? 4 * octave : 1;
    while (level < LEVEL_MOST && scaled >= (uint64_t)borders[level & 3] << (level >> 2))
        level++;
    return (uint8_t)level;
}

static uint64_t weight_of(uint8_t level)
{
    return level ? (uint64_t)weights[(level - 1) & 3] << ((level - 1) >> 2) : 0;
}

/* Levels to frequencies that add up to ANS_SCALE, none of a symbol that occurs zero. */
static void finish(const uint8_t level[ANS_SYMBOLS], uint16_t freq[ANS_SYMBOLS])
{
    uint64_t sum = 0;
    int total = 0, most = 0;
    for (int s = 0; s < ANS_SYMBOLS; s++)
        sum += weight_of(level[s]);
    for (int s = 0; s < ANS_SYMBOLS; s++) {
        freq[s] = 0;
        if (!level[s])
            continue;
        uint64_t f = (weight_of(level[s]) * ANS_SCALE + sum / 2) / sum;
        freq[s] = (uint16_t)MAX(f, 1u);
        total += freq[s];
        if (freq[s] > freq[most])
            most = s;
    }
    /* What rounding left over goes to the largest; what it took too much comes from there. */
    for (; total > ANS_SCALE; total--, freq[most]--) {
        most = 0;
        for (int s = 1; s < ANS_SYMBOLS; s++)
            if (freq[s] > freq[most])
                most = s;
    }
    freq[most] = (uint16_t)(freq[most] + ANS_SCALE - total);
}

/* What the level of a symbol is likely to be: as next to it, moved as in the class before. */
static int guess(const struct ans_model *model, unsigned c, unsigned s)
{
    unsigned first = model->first;
    int left = s > first ? model->level[c][s - 1] : FIRST_GUESS;
    if (!c)
        return left;
    int up = model->level[c - 1][s];
    int corner = s > first ? model->level[c - 1][s - 1] : FIRST_GUESS;
    int sum = left + up - corner;
    return sum < 0 ? 0 : sum > LEVEL_MOST ? LEVEL_MOST : sum;
}

/*
 * What each occurrence of a symbol costs more, in bits, at a level that is -4 to 4 quarters of an
 * octave off: its own code is longer or shorter, and those of all others the other way.
 */
static const float off_cost[2 * OFF_MOST + 1] = {0.27865f, 0.16514f, 0.07745f, 0.02046f, 0,
                                                 0.02297f, 0.09758f, 0.23362f, 0.44270f};

/* About the bits that a level takes in the table. */
static float level_cost(int level, int guessed)
{
    return (float)((fold(level - guessed) >> 1) + 2);
}

/* The level of a symbol that costs least, with what it takes in the table. */
static uint8_t best_level(uint32_t count, uint64_t total, int guessed)
{
    int right = count ? level_of(count, total) : 1;
    int from = MAX(right - OFF_MOST, 1), to = MIN(right + OFF_MOST, LEVEL_MOST), best = right;
    float least = level_cost(right, guessed);
    if (count > CERTAIN)
        return (uint8_t)right;
    if (!count) {
        best = 0;
        least = level_cost(0, guessed);
    }
    for (int level = from; level <= to; level++) {
        /* One that never occurs takes from the others what its frequency is, at least a step. */
        float cost =
            level_cost(level, guessed) + (count ? (float)count * off_cost[level - right + OFF_MOST]
                                                : (float)total * (1.4427f / ANS_SCALE));
        if (cost < least) {
            best = level;
            least = cost;
        }
    }
    return (uint8_t)best;
}

static unsigned first_symbol(unsigned classes, uint32_t counts[][ANS_SYMBOLS])
{
    unsigned first = ANS_SYMBOLS - 1;
    for (unsigned c = 0; c < classes; c++)
        for (unsigned s = 0; s < first; s++)
            if (counts[c][s])
                first = s;
    return first;
}

void ans_model_fit(struct ans_model *model, unsigned classes, uint32_t counts[][ANS_SYMBOLS])
{
    model->classes = classes;
    model->first = first_symbol(classes, counts);
    memset(model->level, 0, sizeof model->level);
    for (unsigned c = 0; c < classes; c++) {
        uint64_t total = 0;
        unsigned end = model->first + 1;
        for (unsigned s = 0; s < ANS_SYMBOLS; s++) {
            total += counts[c][s];
            end = counts[c][s] ? s + 1 : end;
        }
        if (!total)
            model->level[c][model->first] = LEVEL_MOST;
        for (unsigned s = model->first; s < end && total; s++)
            model->level[c][s] = best_level(counts[c][s], total, guess(model, c, s));
        finish(model->level[c], model->freq[c]);
    }
}

void ans_model_add_pair(struct ans_model *model, uint32_t zeros, uint32_t ones)
{
    unsigned c = model->classes++;
    uint64_t total = (uint64_t)zeros + ones, f = (ones * (uint64_t)ANS_SCALE + total / 2) / total;
    memset(model->level[c], 0, sizeof model->level[c]);
    memset(model->freq[c], 0, sizeof model->freq[c]);
    model->level[c][0] = model->level[c][1] = 1;
    model->freq[c][1] = (uint16_t)MIN(MAX(f, 1u), ANS_SCALE - 1u);
    model->freq[c][0] = (uint16_t)(ANS_SCALE - model->freq[c][1]);
}

bool ans_model_raw(const struct ans_model *model)
{
    unsigned widest = 0;
    for (unsigned c = 0; c < model->classes; c++)
        for (unsigned s = 0; s < ANS_SYMBOLS; s++)
            if (model->level[c][s])
                widest = MAX(widest, ans_symbol_width(s));
    return widest > 0;
}

/* One past the last symbol of a class that occurs. */
static unsigned symbols_end(const struct ans_model *model, unsigned c)
{
    unsigned end = ANS_SYMBOLS;
    while (end > 1 && !model->level[c][end - 1])
        end--;
    return end;
}

/* The parameter that writes numbers of which so many have each value in the fewest bits. */
static unsigned best_rice(const uint32_t counts[2 * LEVEL_MOST + 1])
{
    unsigned best = 0;
    uint64_t least = UINT64_MAX;
    for (unsigned k = 0; k < 1u << RICE_BITS; k++) {
        uint64_t bits = 0;
        for (unsigned v = 0; v <= 2 * LEVEL_MOST; v++)
            bits += (uint64_t)counts[v] * ((v >> k) + 1 + k);
        if (bits < least) {
            least = bits;
            best = k;
        }
    }
    return best;
}

size_t ans_model_write(const struct ans_model *model, uint8_t *dst)
{
    unsigned first = model->first, end[ANS_CLASSES];
    uint8_t rest[ANS_CLASSES][ANS_SYMBOLS]; /* of the levels, after guessing */
    uint32_t counts[2 * LEVEL_MOST + 1] = {0};
    struct bit_writer w = {.data = dst, .cap = ANS_MODEL_MOST};
    for (unsigned c = 0; c < model->classes; c++) {
        end[c] = symbols_end(model, c);
        for (unsigned s = first; s < end[c]; s++) {
            rest[c][s] = (uint8_t)fold(model->level[c][s] - guess(model, c, s));
            counts[rest[c][s]]++;
        }
    }
    unsigned k = best_rice(counts);
    bits_put(&w, first, COUNT_BITS);
    bits_put(&w, k, RICE_BITS);
    for (unsigned c = 0; c < model->classes; c++) {
        if (c)
            bits_put_rice(&w, fold((int)end[c] - (int)end[c - 1]), COUNT_RICE);
        else
            bits_put(&w, end[c] - 1, COUNT_BITS);
        for (unsigned s = first; s < end[c]; s++)
            bits_put_rice(&w, rest[c][s], k);
    }
    return bits_flush(&w);
}

static bool get_class(struct ans_model *model, unsigned c, unsigned end, unsigned k,
                      struct bit_reader *r)
{
    bool occurs = false;
    for (unsigned s = model->first; s < end; s++) {
        int64_t level = (int64_t)guess(model, c, s) + unfold(bits_get_rice(r, k));
        if (level < 0 || level > LEVEL_MOST || r->spent)
            return false;
        model->level[c][s] = (uint8_t)level;
        occurs |= level > 0;
    }
    if (occurs)
        finish(model->level[c], model->freq[c]);
    return occurs;
}

size_t ans_model_read(struct ans_model *model, unsigned most, const uint8_t *src, size_t len)
{
    struct bit_reader r = {.data = src, .len = len};
    unsigned first = model->first = bits_get(&r, COUNT_BITS), k = bits_get(&r, RICE_BITS);
    int64_t end = 0;
    memset(model->level, 0, sizeof model->level);
    for (unsigned c = 0; c < model->classes; c++) {
        end =
            c ? end + unfold(bits_get_rice(&r, COUNT_RICE)) : (int64_t)bits_get(&r, COUNT_BITS) + 1;
        if (end <= first || end > most || r.spent || !get_class(model, c, (unsigned)end, k, &r))
            return 0;
    }
    return r.at;
}
