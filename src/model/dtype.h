/* SPDX-License-Identifier: MIT */
/* Element types, by the names that safetensors gives them. */
#ifndef TARE_MODEL_DTYPE_H
#define TARE_MODEL_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are written into stores: never change one. DTYPE_BYTES is what has no elements. */
enum dtype {
    DTYPE_BYTES = 0,
    DTYPE_BOOL = 1,
    DTYPE_F4 = 2,
    DTYPE_F6_E2M3 = 3,
    DTYPE_F6_E3M2 = 4,
    DTYPE_U8 = 5,
    DTYPE_I8 = 6,
    DTYPE_F8_E5M2 = 7,
    DTYPE_F8_E4M3 = 8,
    DTYPE_F8_E8M0 = 9,
    DTYPE_F8_E4M3FNUZ = 10,
    DTYPE_F8_E5M2FNUZ = 11,
    DTYPE_I16 = 12,
    DTYPE_U16 = 13,
    DTYPE_F16 = 14,
    DTYPE_BF16 = 15,
    DTYPE_I32 = 16,
    DTYPE_U32 = 17,
    DTYPE_F32 = 18,
    DTYPE_C64 = 19,
    DTYPE_F64 = 20,
    DTYPE_I64 = 21,
    DTYPE_U64 = 22,
    DTYPE_COUNT
};

const char *dtype_name(enum dtype dtype);
/* False where the n characters are no dtype of safetensors. */
bool dtype_parse(const char *name, size_t n, enum dtype *ret);
/* Bits of one logical element: 4 to 64. */
unsigned dtype_bits(enum dtype dtype);
/* Bytes of one element as codecs and chunks count them: sub-byte types count as bytes. */
unsigned dtype_width(enum dtype dtype);
/* IEEE-like floats of 16 bits and more: the ones that have a delta. */
bool dtype_is_float(enum dtype dtype);

#endif
