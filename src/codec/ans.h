/* SPDX-License-Identifier: MIT */
/*
 * The entropy coder of planes and delta: range ANS with fractional bits over several states at
 * once, symbols in classes (contexts) that each have a table (J. Duda, "Asymmetric numeral
 * systems", arXiv:1311.2540; interleaved as in F. Giesen, arXiv:1402.3392), and numbers as
 * symbols with raw bits behind. The stream: docs/codec-delta.md. For src/codec only.
 */
#ifndef TARE_CODEC_ANS_H
#define TARE_CODEC_ANS_H

#include "bits/simd.h"

#include <stddef.h>
#include <stdint.h>

enum {
    ANS_BITS = 12,
    ANS_SCALE = 1 << ANS_BITS,
    ANS_LOW = 1 << 16, /* states lie in [2^16, 2^32) */
    ANS_LANES = 32,    /* states, at most */
    ANS_CLASSES = 16,
    ANS_SYMBOLS = 256,
    ANS_TILE = 2048,       /* elements of one call, at most; a multiple of ANS_LANES */
    ANS_MODEL_MOST = 8192, /* bytes of a written model, at most */
};

enum { ANS_NUMBER_SYMBOLS = 124 }; /* of numbers of 32 bits */

/*
 * Numbers as symbols: a float of two mantissa bits. Below 8 the number itself, above it its
 * exponent and two bits below the first; what lies under those is raw, so many bits:
 */
static inline unsigned ans_symbol_width(unsigned symbol)
{
    return symbol < 8 ? 0 : (symbol >> 2) - 1;
}

void ans_symbols(const uint32_t *values, size_t n, uint8_t *symbols);

/* Frequencies of the symbols, for each class. Levels are quarters of an octave; 0: never. */
struct ans_model {
    unsigned classes, first; /* first: no class has a symbol below it */
    uint8_t level[ANS_CLASSES][ANS_SYMBOLS];
    uint16_t freq[ANS_CLASSES][ANS_SYMBOLS]; /* add up to ANS_SCALE */
};

/* Adds to counts how often each symbol occurs. */
void ans_count(const uint8_t *symbols, size_t n, uint32_t counts[ANS_SYMBOLS]);
/* Bits that an ideal coder needs for these counts, in 1/65536. */
uint64_t ans_entropy(const uint32_t counts[ANS_SYMBOLS]);

/*
 * Fits a model to counts; a class that never occurs gets a table of one symbol. For encoders: what
 * it comes to is written, and may differ by a little where floats are calculated otherwise.
 */
void ans_model_fit(struct ans_model *model, unsigned classes, uint32_t counts[][ANS_SYMBOLS]);
/*
 * One more class, of the symbols 0 and 1, from counts that encoder and decoder know; both occur.
 * In integers, so that every machine comes to the same model. Begin with classes 0.
 */
void ans_model_add_pair(struct ans_model *model, uint32_t zeros, uint32_t ones);
/* Writes it to dst (ANS_MODEL_MOST bytes there); the bytes written. */
size_t ans_model_write(const struct ans_model *model, uint8_t *dst);
/* Reads one with model->classes classes, symbols below most. The bytes read, 0 for damage. */
size_t ans_model_read(struct ans_model *model, unsigned most, const uint8_t *src, size_t len);
/* Whether raw bits follow any of its symbols. */
bool ans_model_raw(const struct ans_model *model);

/*
 * Raw bits of a symbol come in parts, lowest first: up to 4 with the symbol, the rest in rounds
 * of up to 16.
 */
enum { ANS_RAW_FIRST = 4, ANS_RAW_ROUND = 16, ANS_RAW_ROUNDS = 2 };

/* How many states a stream of n elements has. */
unsigned ans_lanes(size_t n);

/* Where words go among the lanes: for masks of eight lanes. */
struct ans_shuffles {
    uint8_t expand[256][8];    /* lane -> its word */
    uint8_t compress[256][16]; /* bytes of the words, pushed to the end */
};

struct ans_encoder {
    unsigned lanes;
    bool raw;
    const struct ans_shuffles *shuffles;
    uint8_t *floor, *at; /* words grow downwards */
    uint32_t state[ANS_LANES];
    /* frequency, start << 13, reciprocal of the frequency << 32 */
    uint64_t table[ANS_CLASSES * ANS_SYMBOLS];
};

struct ans_decoder {
    unsigned lanes;
    bool raw;
    const struct ans_shuffles *shuffles;
    const uint8_t *at, *end;
    uint32_t state[ANS_LANES];
    /* bias, (frequency - 1) << 12, symbol << 24, for each class and slot */
    uint32_t table[ANS_CLASSES * ANS_SCALE + 8];
};

/* The memory of one thread: tables are large. */
struct ans {
    struct ans_shuffles shuffles;
    struct ans_model model;
    struct ans_encoder encoder;
    struct ans_decoder decoder;
};

void ans_init(struct ans *ans);

/* Starts an encoder of n elements with ans->model; words go into cap bytes of dst, from the end. */
void ans_encode_begin(struct ans *ans, size_t n, uint8_t *dst, size_t cap);

/*
 * Encodes a tile; the last one of the stream comes first, and only that one may be shorter than
 * a multiple of ANS_LANES. classes NULL: all 0. values NULL: no raw bits. Returns false where
 * the memory may not suffice.
 */
bool ans_encode(struct ans *ans, const uint8_t *symbols, const uint8_t *classes,
                const uint32_t *values, size_t n);
/* Puts the states before the words: where the bytes of both begin. They end where dst does. */
const uint8_t *ans_encode_end(struct ans *ans);

/* Starts a decoder of n elements with ans->model over exactly len bytes. -1: damage. */
int ans_decode_begin(struct ans *ans, size_t n, const uint8_t *src, size_t len);
/*
 * Decode the next n symbols, or numbers, from the first on; n is a multiple of ANS_LANES but for
 * the last ones.
 */
void ans_decode_symbols(struct ans *ans, uint8_t *symbols, size_t n);
void ans_decode_values(struct ans *ans, const uint8_t *classes, uint32_t *values, size_t n);
/* Whether all that was encoded has been decoded, and nothing else. */
int ans_decode_end(const struct ans *ans);

/* ---- the vector paths: whole blocks of ANS_LANES elements ---- */
#ifdef SIMD_X86
/* Encode the last blocks of a tile, while the memory suffices in any case. */
void ans_encode_avx512(struct ans_encoder *encoder, const uint8_t *symbols, const uint8_t *classes,
                       const uint32_t *values, size_t n);
void ans_encode_avx2(struct ans_encoder *encoder, const uint8_t *symbols, const uint8_t *classes,
                     const uint32_t *values, size_t n);
/* Decode whole blocks while enough bytes lie ahead; the elements decoded. */
size_t ans_decode_symbols_avx512(struct ans_decoder *decoder, uint8_t *symbols, size_t n);
size_t ans_decode_values_avx512(struct ans_decoder *decoder, const uint8_t *classes,
                                uint32_t *values, size_t n);
size_t ans_decode_symbols_avx2(struct ans_decoder *decoder, uint8_t *symbols, size_t n);
size_t ans_decode_values_avx2(struct ans_decoder *decoder, const uint8_t *classes, uint32_t *values,
                              size_t n);
#endif

enum {
    ANS_ELEMENT_MOST = 6, /* bytes that an element takes at most: a word in each of three rounds */
    ANS_MARGIN = 256,     /* for the states, and for vectors that reach further */
};
_Static_assert(ANS_MARGIN >= ANS_LANES * ANS_ELEMENT_MOST + 64, "a block reads beyond its check");

#endif
