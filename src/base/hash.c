/* SPDX-License-Identifier: MIT */
/* Hashes, by xxHash and libcrypto. */
#include "base/hash.h"

#include "base/mem.h"
#include "base/text.h"
#include "config.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* The distribution's library may carry vector code picked at run time. */
#ifdef HAVE_XXH3_128BITS_UPDATE_DISPATCH
XXH_errorcode XXH3_128bits_update_dispatch(XXH3_state_t *state, const void *input, size_t len);
#define UPDATE XXH3_128bits_update_dispatch
#else
#define UPDATE XXH3_128bits_update
#endif

struct hasher {
    XXH3_state_t *state;
};

struct digest {
    EVP_MD_CTX *context;
};

static struct hash128 canonical(XXH128_hash_t value)
{
    XXH128_canonical_t bytes;
    struct hash128 hash;
    XXH128_canonicalFromHash(&bytes, value);
    memcpy(hash.b, bytes.digest, sizeof hash.b);
    return hash;
}

bool hash128_equal(const struct hash128 *a, const struct hash128 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool hash128_is_zero(const struct hash128 *a)
{
    static const struct hash128 zero;
    return hash128_equal(a, &zero);
}

void hash128_hex(char dst[HASH128_HEX], const struct hash128 *hash)
{
    text_hex(dst, hash->b, sizeof hash->b);
}

bool hash128_parse(struct hash128 *dst, const char *hex)
{
    return text_unhex(dst->b, hex, sizeof dst->b);
}

struct hash128 hash128_of(const void *data, size_t n)
{
    return canonical(XXH3_128bits(data, n));
}

uint64_t hash64_of(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

struct hasher *hasher_new(uint64_t seed)
{
    struct hasher *hasher = mem_alloc(sizeof *hasher);
    hasher->state = XXH3_createState();
    if (!hasher->state)
        mem_none();
    hasher_reset(hasher, seed);
    return hasher;
}

void hasher_reset(struct hasher *hasher, uint64_t seed)
{
    XXH3_128bits_reset_withSeed(hasher->state, seed);
}

void hasher_update(struct hasher *hasher, const void *data, size_t n)
{
    if (n)
        UPDATE(hasher->state, data, n);
}

struct hash128 hasher_digest(const struct hasher *hasher)
{
    return canonical(XXH3_128bits_digest(hasher->state));
}

void hasher_free(struct hasher *hasher)
{
    if (hasher)
        XXH3_freeState(hasher->state);
    free(hasher);
}

bool sha256_equal(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool sha256_is_zero(const struct sha256 *hash)
{
    static const struct sha256 zero;
    return sha256_equal(hash, &zero);
}

void sha256_hex(char dst[SHA256_HEX], const struct sha256 *hash)
{
    text_hex(dst, hash->b, sizeof hash->b);
}

bool sha256_parse(struct sha256 *dst, const char *hex)
{
    return text_unhex(dst->b, hex, sizeof dst->b);
}

/* Of a byte that says what is hashed, a number where there is one, and the bytes. */
static struct sha256 tagged(uint8_t tag, const void *number, const void *data, size_t n)
{
    struct sha256 hash;
    unsigned length = sizeof hash.b;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(context, &tag, 1) ||
        (number && !EVP_DigestUpdate(context, number, sizeof(uint64_t))) ||
        (n && !EVP_DigestUpdate(context, data, n)) || !EVP_DigestFinal_ex(context, hash.b, &length))
        mem_none();
    EVP_MD_CTX_free(context);
    return hash;
}

void hash_begin(void)
{
    (void)tagged(0, NULL, "", 0);
}

struct sha256 hash_tree_leaf(const void *data, size_t n)
{
    return tagged(0, NULL, data, n);
}

void hash_tree_add(struct hash_tree *tree, const struct sha256 *part)
{
    *ARRAY_ADD(tree->parts, tree->count, tree->cap) = *part;
}

struct sha256 hash_tree_end(struct hash_tree *tree, enum hash_tree_kind kind, uint64_t bytes)
{
    uint64_t number = htole64(bytes);
    struct sha256 hash =
        tagged((uint8_t)kind, &number, tree->parts, tree->count * sizeof *tree->parts);
    free(tree->parts);
    *tree = (struct hash_tree){0};
    return hash;
}

enum digest_kind digest_of_name(const char *name)
{
    return text_is_hex(name, 64) ? DIGEST_SHA256 : text_is_hex(name, 40) ? DIGEST_GIT : DIGEST_NONE;
}

struct digest *digest_new(enum digest_kind kind, uint64_t size)
{
    struct digest *digest = mem_alloc(sizeof *digest);
    digest->context = EVP_MD_CTX_new();
    const EVP_MD *how = kind == DIGEST_GIT ? EVP_sha1() : EVP_sha256();
    if (!digest->context || !EVP_DigestInit_ex(digest->context, how, NULL))
        mem_none();
    if (kind == DIGEST_GIT) {
        char head[40];
        int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        digest_update(digest, head, (size_t)n + 1);
    }
    return digest;
}

void digest_update(struct digest *digest, const void *data, size_t n)
{
    if (!EVP_DigestUpdate(digest->context, data, n))
        mem_none();
}

void digest_hex(struct digest *digest, char dst[DIGEST_HEX])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!EVP_DigestFinal_ex(digest->context, bytes, &n))
        mem_none();
    text_hex(dst, bytes, n);
}

void digest_free(struct digest *digest)
{
    if (digest)
        EVP_MD_CTX_free(digest->context);
    free(digest);
}
