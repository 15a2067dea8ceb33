/* SPDX-License-Identifier: MIT */
/*
 * Where models lie on disk: the Hugging Face hub cache and plain folders. The walkers name
 * files; they open no weight file and never a secret.
 */
#ifndef TARE_SOURCES_SOURCES_H
#define TARE_SOURCES_SOURCES_H

#include "base/err.h"
#include "base/mem.h"

#include <sys/stat.h>

enum source { SOURCE_FOLDER = 0, SOURCE_HF = 1 };

/* "dir", "hf": as lists show it. */
const char *source_name(enum source source);

enum {
    FOUND_INCOMPLETE = 1, /* a download is under way, or broke off */
    FOUND_ORPHAN = 2,     /* blobs that no revision names */
};

/* One weight file or companion of a model. */
struct found_file {
    const char *name;   /* within the model: "model-00001-of-00002.safetensors" */
    const char *path;   /* the regular file at the end of all links, absolute */
    const char *digest; /* what a content-addressed cache names it by, else NULL */
    struct stat st;     /* of that file */
};

struct found_model {
    enum source source;
    const char *root;     /* the cache or the folder that was walked, absolute */
    const char *name;     /* "acme/l31-sql-ft", "run7/checkpoint-40" */
    const char *path;     /* its folder, or the lone file */
    const char *revision; /* commit, or "" */
    const char *run;      /* name of the run that this is a checkpoint of, or "" */
    unsigned flags;       /* FOUND_… */
    struct found_file *files, *companions;
    size_t file_count, companion_count;
};

/* What a walk reports to. Models without weight files are reported too: the store may hold them. */
struct source_sink {
    int (*model)(void *context, const struct found_model *model, struct err *err);
    /* Something cannot be used; the walk goes on. reason may hold foreign bytes. */
    void (*problem)(void *context, const char *path, const char *reason);
    void *context;
};

/*
 * Walks one root. A folder that looks like a hub cache is walked as one, also below the root.
 * Stays on the root's file system, follows no directory link and no link that leads out.
 * Fails only where the sink fails; a root that cannot be read is a problem told to it.
 */
int source_walk(const char *root, const struct source_sink *sink, struct err *err);

/* Whether the folder is a hub cache, by its entries. */
bool source_is_hub(const char *path);

/* The hub cache of this user by HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME: free it. */
char *source_hub_path(void);

/* One link of a hub cache, by the first hop of its chain. */
struct hub_link {
    char *path;        /* of the link, relative to the cache */
    char *target;      /* its text */
    char *end;         /* where the chain ends, relative to the cache */
    bool missing;      /* nothing is there */
    uint64_t dev, ino; /* else: of the regular file there */
};
/* Sorted: those that lead to files by inode, then those that lead nowhere by their end. */
struct hub_links {
    struct hub_link *links;
    size_t count, cap;
};

/* All links of all repositories of a cache, snapshots and blobs, read afresh. */
int hub_links_read(const char *cache, struct hub_links *ret, struct err *err);
/* Those that lead to an inode; the first of *ret_count, which lie side by side. */
const struct hub_link *hub_links_to(const struct hub_links *links, uint64_t dev, uint64_t ino,
                                    size_t *ret_count);
/* Those whose chain ends at a file (absolute path) of the cache that is not there any more. */
const struct hub_link *hub_links_missing(const struct hub_links *links, const char *cache,
                                         const char *path, size_t *ret_count);
void hub_links_release(struct hub_links *links);

/* Paths relative to a cache, in the order in which they are to go: folders behind what is in them.
 */
struct hub_removal {
    char **paths;
    size_t count, cap;
    bool repo;   /* the whole repository goes */
    bool shared; /* a blob that several repositories share stays */
};

/*
 * What deleting these revisions (commits) of a repository folder ("models--org--name") removes, as
 * `hf cache rm` does it: their snapshots, the refs that name them, the blobs that no other
 * revision leads to; all of the repository where no other revision is left and keep_repo is not
 * set. Shared blobs stay: other repositories may lead to them.
 */
int hub_removal_read(const char *cache, const char *repo, const char *const *commits, size_t count,
                     bool keep_repo, struct hub_removal *ret, struct err *err);
void hub_removal_release(struct hub_removal *removal);

/* Files that belong to a model beside its weights. */
struct kept_file {
    char *name; /* within the model; NULL: a ref of its repository */
    char *path; /* the regular file, absolute */
    struct stat st;
};
struct kept_files {
    struct kept_file *files;
    size_t count, cap;
};
/*
 * The kept files (name_is_kept) of a model, of at most most bytes each: of a folder those that lie
 * in it, of a revision of a hub cache those that its snapshot leads to, and the refs that name it.
 * A lone file has none.
 */
int source_kept_files(const char *source, const char *root, const char *path, const char *revision,
                      uint64_t most, struct kept_files *ret, struct err *err);
void kept_files_release(struct kept_files *files);

/*
 * Whether a download into the repository that this blob belongs to is under way: an
 * ".incomplete" or a lock younger than max_age seconds. ret_name gets which (free it).
 */
bool hub_blob_is_busy(const char *cache, const char *blob_path, int max_age, char **ret_name);

/* The newest modification below a folder (Unix seconds), at most a few levels deep. */
int64_t source_newest_below(const char *folder);

#endif
