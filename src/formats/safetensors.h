/* SPDX-License-Identifier: MIT */
/* The header of a safetensors file. */
#ifndef TARE_FORMATS_SAFETENSORS_H
#define TARE_FORMATS_SAFETENSORS_H

#include "base/reader.h"
#include "model/layout.h"

enum { SAFETENSORS_HEADER_LIMIT = 100000000 };

/*
 * Reads the header and fills layout (zero-initialised by the caller, who releases it also after
 * a failure). Tensors come sorted by offset. Accepts what the reference parser accepts, and in
 * addition bytes behind the last tensor (layout.trailing).
 * ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED (a dtype), or what the reader says.
 */
int safetensors_parse(const struct reader *reader, struct layout *layout, struct err *err);

#endif
