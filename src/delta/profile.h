/* SPDX-License-Identifier: MIT */
/*
 * The profile of a model: 4096 elements at positions that depend on names and shapes alone, rounded
 * to BF16. It is put together from the sketches of the tensors (delta/sketch.h), so that models of
 * one architecture compare without being read again, however they are cut into files.
 */
#ifndef TARE_DELTA_PROFILE_H
#define TARE_DELTA_PROFILE_H

#include "base/hash.h"
#include "delta/sketch.h"

enum { PROFILE_BYTES = SKETCH_MODEL };

/* Tensors whose type is one of dtype_is_float, each with its sketch of SKETCH_TENSOR bytes. */
struct profile_tensor {
    const struct tensor *tensor;
    const uint8_t *sketch;
};

/*
 * Fills profile, and architecture with a hash of names and shapes. Sorts the tensors by name.
 * Zero where there are none.
 */
void profile_build(struct profile_tensor *tensors, size_t count, uint8_t profile[PROFILE_BYTES],
                   struct hash128 *architecture);

/*
 * Of the elements that differ between base and elder, by three steps or more in the order of
 * floats, the share in which the younger one is nearer to the elder. A descendant of the elder
 * keeps nearly all of its changes; a sibling does not. 0 where hardly anything differs.
 */
double profile_kept(const uint8_t base[PROFILE_BYTES], const uint8_t elder[PROFILE_BYTES],
                    const uint8_t younger[PROFILE_BYTES]);

/*
 * Whether a model is nearer to b than to a, by its elements: in standard deviations of chance, at
 * most 3; negative: nearer to a. Of two that hardly differ, their relatives lean towards the one
 * that they come from.
 */
double profile_lean(const uint8_t model[PROFILE_BYTES], const uint8_t a[PROFILE_BYTES],
                    const uint8_t b[PROFILE_BYTES]);

/* The sum over all elements of (a - from) (b - from). */
double profile_dot(const uint8_t from[PROFILE_BYTES], const uint8_t a[PROFILE_BYTES],
                   const uint8_t b[PROFILE_BYTES]);

/*
 * How far a model is from a straight line between two others, a and b, by their profile_dot from
 * it: what is left of the squares of its differences from a when the best mixture of a and b is
 * taken away; 1 where that lies outside.
 */
double profile_off_line(double aa, double ab, double bb);

/* An eighth of a profile, from everywhere in it: by it most comparisons can be left out. */
enum { PROFILE_COARSE = 1024 };
void profile_coarse(const uint8_t profile[PROFILE_BYTES], uint8_t coarse[PROFILE_COARSE]);
double profile_coarse_distance(const uint8_t a[PROFILE_COARSE], const uint8_t b[PROFILE_COARSE]);

/* Bit distance: how many of the 16 bits of an element differ, on average. */
double profile_distance(const uint8_t a[PROFILE_BYTES], const uint8_t b[PROFILE_BYTES]);

/*
 * About how many bits an element of a model takes as BF16: alone, and as a difference from a base
 * (by the entropies of delta/bound.h; runs in which nothing changed count as nothing).
 */
double profile_alone_bits(const uint8_t model[PROFILE_BYTES]);
double profile_delta_bits(const uint8_t model[PROFILE_BYTES], const uint8_t base[PROFILE_BYTES]);

#endif
