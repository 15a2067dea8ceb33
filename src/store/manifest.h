/* SPDX-License-Identifier: MIT */
/*
 * A manifest: all that is needed to give one removed file back, and to say what it was.
 * The bytes of a manifest file are described in docs/store-format.md.
 */
#ifndef TARE_STORE_MANIFEST_H
#define TARE_STORE_MANIFEST_H

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "model/dtype.h"

#include <sys/stat.h>

enum { MANIFEST_VERSION = 2 };

enum manifest_state {
    MANIFEST_PENDING,   /* the original is in its place and counts; objects may be incomplete */
    MANIFEST_KEPT,      /* complete and compared; the original stays (a trial) */
    MANIFEST_STORED,    /* complete and compared; the original is being removed, or is gone */
    MANIFEST_RESTORING, /* as STORED; the file is being given back */
};

/* A run of the file's bytes. */
struct manifest_range {
    uint64_t offset, bytes;
    struct hash128 id;   /* content id of these bytes */
    struct hash128 base; /* of the tensor that the object is a delta against; zero: none */
    enum dtype dtype;
    /* Of a tensor; name NULL for what lies between tensors. */
    const char *name;
    size_t name_len;
    const uint64_t *shape;
    size_t dims;
};

struct manifest_link {
    const char *path;   /* absolute */
    const char *target; /* its text */
    int64_t mtime_ns;   /* the link's own */
};

/* A model that names the file. */
struct manifest_view {
    const char *id, *name, *source, *root, *path, *revision, *run;
    const char *file; /* its name within the model */
};

struct manifest_xattr {
    const char *name;
    const void *value;
    size_t size;
};

struct manifest {
    char fid[HASH128_HEX];
    enum manifest_state state;
    const char *path;      /* absolute: where the file lay */
    const char *root;      /* the cache or folder that it was found in */
    const char *format;    /* "safetensors", "opaque" */
    uint64_t size, header; /* bytes of the file, and before its first tensor */
    uint64_t stored;       /* bytes of objects that were written for it */
    uint64_t own;          /* of one that was read: bytes of its own file; else 0 */
    uint64_t freed;        /* blocks of the original, in bytes */
    struct hash128 hash;   /* XXH3-128 of the whole file */
    const char *digest;    /* NULL, or the hex digest that its name claims, verified */
    int64_t time;          /* when it was compressed, Unix seconds */
    uint32_t mode, uid, gid;
    int64_t mtime_ns, atime_ns;
    bool note; /* a NAME.tare was left in its place */
    bool hurt; /* of what was read: one of its two copies is damaged, the other one served */
    struct manifest_xattr *xattrs;
    size_t xattr_count, xattr_cap;
    struct manifest_link *links;
    size_t link_count, link_cap;
    struct manifest_view *views;
    size_t view_count, view_cap;
    struct manifest_range *ranges;
    size_t range_count, range_cap;
    struct arena arena; /* holds the texts of a manifest that was read, and may hold others */
};

void manifest_release(struct manifest *manifest);

/* Whether one of its ranges is this content, or a delta against it. No range needs zero. */
bool manifest_needs(const struct manifest *manifest, const struct hash128 *id);

/* Bytes that the store spends on the file alone: objects, and the manifest. */
uint64_t manifest_takes(const struct manifest *manifest);

/* The bytes of the file: twice the same, a line with version and checksum and a JSON object. */
void manifest_write(const struct manifest *manifest, struct buf *out);

/*
 * Reads such bytes into a zero-initialised manifest (released by the caller, also on failure).
 * One undamaged copy is enough; hurt tells that the other one is not.
 * ERR_DAMAGED: the checksum, or what it guards; ERR_UNSUPPORTED: a newer version.
 * The ranges are known to be in order, without holes, and to cover size.
 */
int manifest_read(const char *bytes, size_t n, struct manifest *manifest, struct err *err);

/*
 * The roster: what every manifest of a store is about (fid, path, size, hash, digest, links, views;
 * no ranges or attributes), so that a manifest that is lost or damaged can be named.
 */
void roster_write(const struct manifest *const *manifests, size_t count, struct buf *out);
/* Calls found for each entry; found may take the manifest by copying and zeroing it. */
int roster_read(const char *bytes, size_t n, void (*found)(void *context, struct manifest *brief),
                void *context, struct err *err);

const char *manifest_state_name(enum manifest_state state);

#endif
