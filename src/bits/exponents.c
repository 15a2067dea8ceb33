/* SPDX-License-Identifier: MIT */
/* Counting exponents. */
#include "bits/exponents.h"

#include "bits/floats.h"

void exponents_add(struct exponents *sum, enum dtype dtype, const uint8_t *data, size_t n)
{
    const struct float_fields f = float_fields(dtype);
    const uint64_t top = (1u << f.exponent) - 1, fraction = (1ull << f.mantissa) - 1;
    sum->elements += n;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = bits_load(data + i * f.width, f.width);
        uint64_t exponent = bits >> f.mantissa & top, mantissa = bits & fraction;
        if (exponent == top)
            *(mantissa ? &sum->nans : &sum->infinities) += 1;
        else if (!exponent && !mantissa)
            sum->zeros++;
        else
            sum->counts[exponent]++;
    }
}

int exponents_power(enum dtype dtype, unsigned index)
{
    int bias = (1 << (float_fields(dtype).exponent - 1)) - 1;
    return (index ? (int)index : 1) - bias;
}
