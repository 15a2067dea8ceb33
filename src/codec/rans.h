/* SPDX-License-Identifier: MIT */
/*
 * An order-0 entropy coder for bytes: interleaved range ANS with fractional bits
 * (J. Duda, "Asymmetric numeral systems", arXiv:1311.2540), after the word-wise, table-driven
 * form of F. Giesen, "Interleaved entropy coders", arXiv:1402.3392. For src/codec only.
 */
#ifndef TARE_CODEC_RANS_H
#define TARE_CODEC_RANS_H

#include <stddef.h>
#include <stdint.h>

enum { RANS_STATES = 8, RANS_BITS = 12, RANS_SCALE = 1 << RANS_BITS };

/* Bits that an ideal order-0 coder needs for these counts. */
double rans_entropy_bits(const uint32_t counts[256], size_t n);

/*
 * Encodes n bytes with at least two distinct values into dst. Returns the length, or 0 where it
 * would not fit into cap.
 */
size_t rans_encode(const uint8_t *src, size_t n, const uint32_t counts[256], uint8_t *dst,
                   size_t cap);

/* Decodes exactly n bytes out of exactly len. Returns 0, or -1 for damage. */
int rans_decode(const uint8_t *src, size_t len, uint8_t *dst, size_t n);

#endif
