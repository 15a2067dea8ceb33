/* SPDX-License-Identifier: MIT */
/* What tests share: a folder of their own, files in it, weight files made from a few words. */
#ifndef TARE_TESTS_HELPERS_H
#define TARE_TESTS_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

/* A new folder below $TMPDIR; free the name. */
char *test_folder(void);
/* The same as a home, so that nothing is read from or written to the user's own. */
char *test_home(void);
/* Removes it with all that is below, and frees the name. */
void test_remove(char *folder);
/* dir/name, with folders on the way made: free it. */
char *test_path(const char *dir, const char *name);
void test_write(const char *dir, const char *name, const void *bytes, size_t n);
void test_write_text(const char *dir, const char *name, const char *text);
void test_link(const char *dir, const char *name, const char *target);
/* All bytes of a file. */
struct buf test_read(const char *dir, const char *name);
bool test_exists(const char *dir, const char *name);

/* A safetensors file: the header as given, and n bytes of data behind. */
struct buf test_safetensors(const char *header, const void *data, size_t n);

/* A BF16 as a float, and a float (no NaN) rounded to BF16. */
float test_widen(uint16_t h);
uint16_t test_narrow(float f);

/* Numbers that repeat from run to run. */
uint32_t test_random(uint32_t *state);
/* The same, normally distributed with a standard deviation of 1. */
float test_normal(uint32_t *state);
/* n BF16 weights near zero, as training leaves them; with base: the base moved a little. */
void test_weights(uint16_t *dst, size_t n, const uint16_t *base, uint32_t seed);

/* A model of two BF16 tensors (big: elements of the first) and one small. With base: a
 * fine-tune of the model that base_seed makes. */
struct buf test_model(size_t big, uint32_t base_seed, uint32_t seed);

/* Puts a model into a hub cache: blob named by SHA-256, snapshot, ref, card. Returns the blob's
 * path below hub: free it. card may be NULL. */
char *test_hub_model(const char *hub, const char *repo, const struct buf *weights,
                     const char *card);

#endif
