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

enum { MANIFEST_VERSION = 3, BASES_DEEP = 3 };

enum manifest_state {
    MANIFEST_PENDING,    /* the original is in its place and counts; objects may be incomplete */
    MANIFEST_KEPT,       /* complete and compared; the original stays (a trial) */
    MANIFEST_STORED,     /* complete and compared; the original is being removed, or is gone */
    MANIFEST_RESTORING,  /* as STORED; the file is being given back */
    MANIFEST_LENT,       /* as STORED; a copy is in its place for a while, what is stored stays */
    MANIFEST_ASIDE,      /* as STORED; the original waits beside its place until a time */
    MANIFEST_COMPANIONS, /* copies of a model's small files, which stay in their places */
    MANIFEST_STATES,
};

/* A run of the file's bytes. */
struct manifest_range {
    uint64_t offset, bytes;
    struct hash128 id; /* content id of these bytes, or of a content that they are a part of */
    uint64_t at;       /* where in the content they begin: 0 but for a part */
    /* Every content that decoding it needs, the nearest first; at most BASES_DEEP. */
    const struct hash128 *bases;
    size_t base_count;
    struct sha256 sha; /* the tree over its chunks; zero: made before version 3 */
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

/* One file of MANIFEST_COMPANIONS: its bytes are the next range, unless it is empty. */
struct manifest_companion {
    const char *name; /* within the model; NULL: it is none of its files (a ref of its cache) */
    const char *path; /* absolute */
    uint64_t size;
    uint32_t mode, uid, gid;
    int64_t mtime_ns;
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
    struct sha256 sha;     /* the tree over its ranges; zero: made before version 3 */
    const char *digest;    /* NULL, or the hex digest that its name claims, verified */
    int64_t time;          /* when it was compressed, Unix seconds */
    int64_t until;         /* of MANIFEST_ASIDE: when the original may go, Unix seconds */
    int version;           /* of the text that was read */
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
    struct manifest_companion *companions;
    size_t companion_count, companion_cap;
    struct arena arena; /* holds the texts of a manifest that was read, and may hold others */
};

void manifest_release(struct manifest *manifest);

/* Whether one of its ranges is this content, or decoding it needs it. No range needs zero. */
bool manifest_needs(const struct manifest *manifest, const struct hash128 *id);
bool range_needs(const struct manifest_range *range, const struct hash128 *id);

/* Calls found for each id that the range names: its content, and the bases. */
void range_each_id(const struct manifest_range *range,
                   void (*found)(void *context, const struct hash128 *id), void *context);

/* Makes these the bases of a range; they are copied into the manifest's arena. */
void manifest_set_bases(struct manifest *manifest, struct manifest_range *range,
                        const struct hash128 *bases, size_t count);

/* Whether the file is away from its place: stored, and neither a trial nor a set of companions. */
bool manifest_is_away(const struct manifest *manifest);

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
 * The roster: what every manifest of a store is about (fid, path, size, hashes, digest, links,
 * views; no ranges or attributes), so that a manifest that is lost or damaged can be named. It is
 * appended to: a line for each manifest that comes or goes, the last one of a fid counts. Up to
 * version 2 it was one text, written anew each time.
 */
void roster_begin(struct buf *out); /* its first line */
void roster_add(const struct manifest *manifest, struct buf *out);
void roster_remove(const char *fid, struct buf *out);

struct roster {
    int version;
    size_t lines; /* behind the first one */
    size_t live;  /* manifests that are on it */
    size_t end;   /* bytes of it that count: a last line that was cut off does not */
};
/* Calls found for each entry; found may take the manifest by copying and zeroing it. */
int roster_read(const char *bytes, size_t n, void (*found)(void *context, struct manifest *brief),
                void *context, struct roster *ret, struct err *err);

const char *manifest_state_name(enum manifest_state state);

#endif
