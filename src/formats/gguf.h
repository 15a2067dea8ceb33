/* SPDX-License-Identifier: MIT */
/* The texts that stand in front of the tensors of a GGUF file. */
#ifndef TARE_FORMATS_GGUF_H
#define TARE_FORMATS_GGUF_H

#include "base/reader.h"
#include "model/layout.h"

enum { GGUF_TEXT_MOST = 4096 /* bytes of a value; longer ones are passed over */ };

/*
 * Adds the key/values of type string to the layout's pairs, as far as the file can be understood:
 * versions 2 and 3, little-endian. Tensors are left alone. Where from: ggml-org/ggml, docs/gguf.md
 * and src/gguf.cpp.
 */
void gguf_pairs(const struct reader *reader, struct layout *layout);

#endif
