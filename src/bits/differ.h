/* SPDX-License-Identifier: MIT */
/* Counting the bits in which two runs of bytes differ, at the speed of memory. */
#ifndef TARE_BITS_DIFFER_H
#define TARE_BITS_DIFFER_H

#include <stddef.h>
#include <stdint.h>

/* n is a multiple of 8. */
uint64_t bits_differ(const uint8_t *a, const uint8_t *b, size_t n);

#endif
