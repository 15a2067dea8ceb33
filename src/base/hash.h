/* SPDX-License-Identifier: MIT */
/*
 * Hashes: XXH3-128 for content ids, XXH3-64 for checksums, SHA-256 and Git's SHA-1 to check a
 * file against the digest that a cache names it by.
 */
#ifndef TARE_BASE_HASH_H
#define TARE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 128 bits in canonical (big-endian) order: their hex reads like xxhsum -H2 prints it. */
struct hash128 {
    uint8_t b[16];
};

enum { HASH128_HEX = 33 }; /* characters, with the NUL */

bool hash128_equal(const struct hash128 *a, const struct hash128 *b);
bool hash128_is_zero(const struct hash128 *a);
void hash128_hex(char dst[HASH128_HEX], const struct hash128 *hash);
bool hash128_parse(struct hash128 *dst, const char *hex);

struct hash128 hash128_of(const void *data, size_t n);
uint64_t hash64_of(const void *data, size_t n);

/* A running XXH3-128. */
struct hasher;
struct hasher *hasher_new(uint64_t seed);
void hasher_reset(struct hasher *hasher, uint64_t seed);
void hasher_update(struct hasher *hasher, const void *data, size_t n);
struct hash128 hasher_digest(const struct hasher *hasher);
void hasher_free(struct hasher *hasher);

/* Makes the library for SHA-256 ready, before anything is at stake: without memory it crashes. */
void hash_begin(void);

/* The plain SHA-256 of bytes, and the tree of them that docs/store-format.md describes. */
struct sha256 {
    uint8_t b[32];
};
enum { SHA256_HEX = 65, TREE_CHUNK = 2 << 20 };

bool sha256_equal(const struct sha256 *a, const struct sha256 *b);
bool sha256_is_zero(const struct sha256 *hash);
void sha256_hex(char dst[SHA256_HEX], const struct sha256 *hash);
bool sha256_parse(struct sha256 *dst, const char *hex);

/* The leaf of one chunk: TREE_CHUNK bytes of a range, or its last ones. Safe in any thread. */
struct sha256 hash_tree_leaf(const void *data, size_t n);

/*
 * A tree in the making: of a range, from its leaves in order; of a file, from the hashes of its
 * ranges in order. Zero-initialised is empty; hash_tree_end releases it.
 */
struct hash_tree {
    struct sha256 *parts;
    size_t count, cap;
};
enum hash_tree_kind { TREE_RANGE = 1, TREE_FILE = 2 };
void hash_tree_add(struct hash_tree *tree, const struct sha256 *part);
/* bytes: how many the parts stand for. */
struct sha256 hash_tree_end(struct hash_tree *tree, enum hash_tree_kind kind, uint64_t bytes);

/* A running digest as caches use it in file names. */
enum digest_kind { DIGEST_NONE, DIGEST_SHA256, DIGEST_GIT };
enum { DIGEST_HEX = 65 };

/* What a file of this name claims to be: 64 hex digits SHA-256, 40 Git's blob id. */
enum digest_kind digest_of_name(const char *name);

struct digest;
/* size is needed for DIGEST_GIT, whose input begins with it. */
struct digest *digest_new(enum digest_kind kind, uint64_t size);
void digest_update(struct digest *digest, const void *data, size_t n);
void digest_hex(struct digest *digest, char dst[DIGEST_HEX]);
void digest_free(struct digest *digest);

#endif
