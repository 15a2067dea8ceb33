/* SPDX-License-Identifier: MIT */
/*
 * The Hugging Face hub cache:
 *   models--ORG--NAME/blobs/<etag>                 content; 64 hex digits: SHA-256 of it
 *   models--ORG--NAME/snapshots/<commit>/<path>    relative link to ../../blobs/<etag>,
 *                                                  or the file itself (no-symlink mode)
 *   models--ORG--NAME/refs/<branch or tag>         text: a commit
 *   blobs/<xx>/<xet hash>                          since 2026: content for all repositories;
 *                                                  the repository's blob is a link to it
 * Layout by huggingface_hub, file_download.py and _shared_blobs.py.
 */
#include "sources/walk.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "model/names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <wordexp.h>

enum { HOPS = 8, REF_LIMIT = 4096, ORPHAN_LEAST = 65536 };

/* "~" and "$VAR" as the hub's own code expands them; no commands. */
static char *expand(const char *text)
{
    wordexp_t words;
    char *path = NULL;
    if (wordexp(text, &words, WRDE_NOCMD) == 0) {
        if (words.we_wordc == 1)
            path = mem_strdup(words.we_wordv[0]);
        wordfree(&words);
    }
    return path ? path : mem_strdup(text);
}

char *source_hub_path(void)
{
    static const char *const direct[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"};
    for (size_t i = 0; i < COUNT_OF(direct); i++) {
        const char *value = getenv(direct[i]);
        if (value && *value)
            return expand(value);
    }
    const char *home = getenv("HF_HOME"), *xdg = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    if (home && *home) {
        AUTO_FREE char *path = expand(home);
        return file_join(path, "hub");
    }
    if (xdg && *xdg)
        return file_join(xdg, "huggingface/hub");
    return file_join(user ? user : "/", ".cache/huggingface/hub");
}

static bool is_repo_folder(const char *name)
{
    return strncmp(name, "models--", 8) == 0 && name[8];
}

bool source_is_hub(const char *path)
{
    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct names names = {0};
    bool hub = false;
    struct stat st;
    if (dir < 0 || names_read(dir, &names, NULL) < 0)
        return false;
    for (size_t i = 0; i < names.count && !hub; i++) {
        if (!is_repo_folder(names.entries[i].name))
            continue;
        AUTO_FREE char *below = file_join(names.entries[i].name, "snapshots");
        AUTO_FREE char *blobs = file_join(names.entries[i].name, "blobs");
        hub = fstatat(dir, below, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
              fstatat(dir, blobs, &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    names_release(&names);
    return hub;
}

/* "models--org--name" to "org/name": free it. */
static char *repo_name(const char *folder)
{
    struct buf name = {0};
    for (const char *p = folder + 8; *p; p++) {
        if (p[0] == '-' && p[1] == '-' && p[2]) {
            buf_char(&name, '/');
            p++;
        } else {
            buf_char(&name, *p);
        }
    }
    return name.data;
}

/*
 * rel (a link's path below the cache) and the text of the link, put together without . and ..;
 * NULL where that leads out.
 */
static char *follow(const char *rel, const char *target)
{
    if (target[0] == '/')
        return NULL;
    AUTO_FREE char *dir = file_dir(rel);
    AUTO_FREE char *joined = file_join(dir, target);
    AUTO_FREE char *out = mem_alloc(strlen(joined) + 1);
    size_t n = 0;
    char *save = NULL;
    for (char *part = strtok_r(joined, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            if (n == 0)
                return NULL;
            while (n && out[--n] != '/')
                ;
            continue;
        }
        if (n)
            out[n++] = '/';
        size_t len = strlen(part);
        memcpy(out + n, part, len);
        n += len;
    }
    out[n] = '\0';
    return TAKE_PTR(out);
}

struct hop {
    char *path, *target;
};

/* A chain of links from rel on: where it ends, and what the file there is called. */
struct chain {
    struct hop hops[HOPS];
    size_t count;
    char *end;               /* relative path of the regular file */
    char digest[DIGEST_HEX]; /* the etag on the way, or "" */
    struct stat st;
};

static void chain_release(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        free(chain->hops[i].path);
        free(chain->hops[i].target);
    }
    free(chain->end);
    *chain = (struct chain){0};
}

/* A blob of a repository carries its etag as its name; a shared one does not. */
static void note_digest(struct chain *chain, const char *rel)
{
    const char *name = file_base(rel);
    AUTO_FREE char *dir = file_dir(rel);
    if (is_repo_folder(rel) && strcmp(file_base(dir), "blobs") == 0 &&
        digest_of_name(name) != DIGEST_NONE)
        strcpy(chain->digest, name);
}

static int resolve(int cache, const char *rel, struct chain *chain, struct err *err)
{
    *chain = (struct chain){.end = mem_strdup(rel)};
    for (;;) {
        char target[4096];
        note_digest(chain, chain->end);
        if (fstatat(cache, chain->end, &chain->st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_sys(err, chain->count ? "broken link" : "%s", rel);
        if (!S_ISLNK(chain->st.st_mode)) {
            /* No folder on the way may be a link: it could lead out of the cache. */
            AUTO_FD int fd = file_open_beneath(cache, chain->end, O_PATH | O_NOFOLLOW, false, NULL);
            if (fd < 0 && errno != ELOOP && errno != EXDEV)
                return err_sys(err, "%s", chain->end);
            return fd >= 0 ? 0 : err_set(err, ERR_REFUSED, "a link through another link");
        }
        ssize_t n = readlinkat(cache, chain->end, target, sizeof target - 1);
        if (n < 0)
            return err_sys(err, "%s", chain->end);
        if (chain->count == HOPS)
            return err_set(err, ERR_FORMAT, "a link that never ends");
        target[n] = '\0';
        char *next = follow(chain->end, target);
        if (!next)
            return err_set(err, ERR_REFUSED, "a link that leads out of the cache");
        chain->hops[chain->count++] = (struct hop){chain->end, mem_strdup(target)};
        chain->end = next;
    }
}

struct ref {
    char *name, commit[41];
};

struct repo {
    int cache;          /* descriptor of the cache */
    const char *root;   /* its path */
    const char *folder; /* models--org--name */
    char *name;
    struct ref *refs;
    size_t ref_count, ref_cap;
    char **used; /* names of blobs that snapshots lead to */
    size_t used_count, used_cap;
    bool incomplete;
    bool unclear; /* some link could not be followed: what it leads to is not known */
    const struct source_sink *sink;
};

static void problem(const struct repo *repo, const char *rel, const char *reason)
{
    AUTO_FREE char *path = file_join(repo->root, rel);
    if (repo->sink)
        repo->sink->problem(repo->sink->context, path, reason);
}

/* Opens a folder below the cache; -1 where there is none, with a problem told otherwise. */
static int open_below(const struct repo *repo, const char *rel)
{
    int dir = openat(repo->cache, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 && errno != ENOENT)
        problem(repo, rel, strerror(errno));
    return dir;
}

static void read_refs(struct repo *repo, const char *rel, const char *name, int depth)
{
    AUTO_FD int dir = open_below(repo, rel);
    struct names names = {0};
    if (dir < 0 || depth > WALK_DEPTH || names_read(dir, &names, NULL) < 0)
        return;
    for (size_t i = 0; i < names.count; i++) {
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        AUTO_FREE char *full = file_join(name, names.entries[i].name);
        AUTO_BUF struct buf text = {0};
        if (names.entries[i].type == DT_DIR)
            read_refs(repo, below, full, depth + 1);
        else if (names.entries[i].type == DT_REG &&
                 file_read_all(dir, names.entries[i].name, REF_LIMIT, &text, NULL) == 0 &&
                 text.len >= 40) {
            text.data[40] = '\0';
            struct ref *ref = ARRAY_ADD(repo->refs, repo->ref_count, repo->ref_cap);
            ref->name = mem_strdup(full);
            strcpy(ref->commit, text.data);
        }
    }
    names_release(&names);
}

/* The ref that names this commit, "main" first; NULL where none does. */
static const char *ref_of(const struct repo *repo, const char *commit)
{
    const char *found = NULL;
    for (size_t i = 0; i < repo->ref_count; i++)
        if (strcmp(repo->refs[i].commit, commit) == 0 &&
            (!found || strcmp(repo->refs[i].name, "main") == 0))
            found = repo->refs[i].name;
    return found;
}

static void add_entry(struct repo *repo, struct gather *gather, const char *rel, const char *name)
{
    struct chain chain;
    struct err err;
    bool wanted = name_is_weight(name) || name_is_companion(file_base(name));
    int r = resolve(repo->cache, rel, &chain, &err);
    if (r < 0) {
        problem(repo, rel, err.text);
        repo->unclear |= r != ERR_NOTFOUND;
    } else if (!S_ISREG(chain.st.st_mode)) {
        if (wanted)
            problem(repo, rel, "not a regular file");
    } else {
        AUTO_FREE char *path = file_join(repo->root, chain.end);
        const char *digest = *chain.digest ? chain.digest : NULL;
        /* The repository's own blob is the last path of the chain that lies in it. */
        for (size_t i = 1; i <= chain.count; i++) {
            const char *step = i < chain.count ? chain.hops[i].path : chain.end;
            *ARRAY_ADD(repo->used, repo->used_count, repo->used_cap) = mem_strdup(file_base(step));
        }
        gather_file(gather, name, path, digest, &chain.st);
    }
    chain_release(&chain);
}

static int walk_snapshot(struct repo *repo, struct gather *gather, const char *rel,
                         const char *name, int depth, struct err *err);

/* A folder checkpoint-N inside a snapshot is a model of its own. */
static int walk_checkpoint(struct repo *repo, const struct gather *parent, const char *rel,
                           const char *folder, int depth, struct err *err)
{
    struct gather gather = {.model = parent->model};
    AUTO_FREE char *name = file_join(parent->model.name, folder);
    AUTO_FREE char *path = file_join(repo->root, rel);
    gather.model.files = gather.model.companions = NULL;
    gather.model.file_count = gather.model.companion_count = 0;
    gather.model.name = name;
    gather.model.path = path;
    gather.model.run = parent->model.name;
    int r = walk_snapshot(repo, &gather, rel, "", depth, err);
    if (r == 0)
        r = gather_report(&gather, repo->sink, err);
    gather_release(&gather);
    return r;
}

static int walk_snapshot(struct repo *repo, struct gather *gather, const char *rel,
                         const char *name, int depth, struct err *err)
{
    AUTO_FD int dir = open_below(repo, rel);
    struct names names = {0};
    int r = 0;
    if (dir < 0 || depth > WALK_DEPTH || names_read(dir, &names, NULL) < 0)
        return 0;
    for (size_t i = 0; i < names.count && r == 0; i++) {
        const struct name_entry *entry = &names.entries[i];
        AUTO_FREE char *below = file_join(rel, entry->name);
        AUTO_FREE char *full = file_join(name, entry->name);
        if (entry->type != DT_DIR)
            add_entry(repo, gather, below, full);
        else if (name_checkpoint(entry->name) >= 0 && !*gather->model.run)
            r = walk_checkpoint(repo, gather, below, full, depth + 1, err);
        else
            r = walk_snapshot(repo, gather, below, full, depth + 1, err);
    }
    names_release(&names);
    return r;
}

static int walk_revision(struct repo *repo, const char *commit, bool only, struct err *err)
{
    AUTO_FREE char *rel = mem_printf("%s/snapshots/%s", repo->folder, commit);
    AUTO_FREE char *path = file_join(repo->root, rel);
    const char *ref = ref_of(repo, commit);
    bool plain = only || (ref && strcmp(ref, "main") == 0);
    AUTO_FREE char *name = plain ? mem_strdup(repo->name)
                           : ref ? mem_printf("%s@%s", repo->name, ref)
                                 : mem_printf("%s@%.7s", repo->name, commit);
    struct gather gather = {.model = {.source = SOURCE_HF,
                                      .root = repo->root,
                                      .name = name,
                                      .path = path,
                                      .revision = commit,
                                      .run = "",
                                      .flags = repo->incomplete ? FOUND_INCOMPLETE : 0}};
    int r = walk_snapshot(repo, &gather, rel, "", 0, err);
    if (r == 0)
        r = gather_report(&gather, repo->sink, err);
    gather_release(&gather);
    return r;
}

static bool is_used(const struct repo *repo, const char *blob)
{
    for (size_t i = 0; i < repo->used_count; i++)
        if (strcmp(repo->used[i], blob) == 0)
            return true;
    return false;
}

/* Blobs that no revision leads to: a model of their own, so that they are seen. */
static int walk_orphans(struct repo *repo, const struct names *blobs, int dir, struct err *err)
{
    AUTO_FREE char *rel = file_join(repo->folder, "blobs");
    AUTO_FREE char *path = file_join(repo->root, rel);
    AUTO_FREE char *name = mem_printf("%s@orphans", repo->name);
    struct gather gather = {.model = {.source = SOURCE_HF,
                                      .root = repo->root,
                                      .name = name,
                                      .path = path,
                                      .revision = "",
                                      .run = "",
                                      .flags = FOUND_ORPHAN}};
    for (size_t i = 0; i < blobs->count; i++) {
        const char *blob = blobs->entries[i].name;
        struct stat st;
        if (digest_of_name(blob) == DIGEST_NONE || is_used(repo, blob) ||
            fstatat(dir, blob, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            st.st_size < ORPHAN_LEAST)
            continue;
        AUTO_FREE char *full = file_join(path, blob);
        gather_weight(&gather, blob, full, blob, &st);
    }
    int r = gather.model.file_count ? gather_report(&gather, repo->sink, err) : 0;
    gather_release(&gather);
    return r;
}

static int walk_repo(struct repo *repo, struct err *err)
{
    AUTO_FREE char *refs = file_join(repo->folder, "refs");
    AUTO_FREE char *snapshots = file_join(repo->folder, "snapshots");
    AUTO_FREE char *blob_dir = file_join(repo->folder, "blobs");
    struct names commits = {0}, blobs = {0};
    int r = 0;
    read_refs(repo, refs, "", 0);
    AUTO_FD int blob_fd = open_below(repo, blob_dir);
    AUTO_FD int snapshot_fd = open_below(repo, snapshots);
    if (blob_fd >= 0)
        (void)names_read(blob_fd, &blobs, NULL);
    for (size_t i = 0; i < blobs.count; i++)
        repo->incomplete |= text_ends_with(blobs.entries[i].name, ".incomplete");
    if (snapshot_fd >= 0)
        (void)names_read(snapshot_fd, &commits, NULL);
    for (size_t i = 0; i < commits.count && r == 0; i++)
        if (commits.entries[i].type == DT_DIR)
            r = walk_revision(repo, commits.entries[i].name, commits.count == 1, err);
    if (r == 0 && !repo->unclear)
        r = walk_orphans(repo, &blobs, blob_fd, err);
    names_release(&commits);
    names_release(&blobs);
    return r;
}

static void repo_release(struct repo *repo)
{
    for (size_t i = 0; i < repo->ref_count; i++)
        free(repo->refs[i].name);
    for (size_t i = 0; i < repo->used_count; i++)
        free(repo->used[i]);
    free(repo->refs);
    free(repo->used);
    free(repo->name);
}

int hub_walk(int dir, const char *path, const struct source_sink *sink, struct err *err)
{
    struct names names = {0};
    int r = names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        const struct name_entry *entry = &names.entries[i];
        if (!is_repo_folder(entry->name))
            continue;
        struct repo repo = {.cache = dir, .root = path, .folder = entry->name, .sink = sink};
        repo.name = repo_name(entry->name);
        if (entry->type != DT_DIR)
            problem(&repo, entry->name, "a repository that is not a folder");
        else
            r = walk_repo(&repo, err);
        repo_release(&repo);
    }
    names_release(&names);
    return r;
}

/* A link that leads out is none that counts; one that cannot be read might be. */
static int add_links(int cache, const char *rel, struct hub_links *links, struct err *err)
{
    struct chain chain;
    int r = resolve(cache, rel, &chain, err);
    bool missing = r == ERR_NOTFOUND;
    if (chain.count && (missing || (r == 0 && S_ISREG(chain.st.st_mode))))
        *ARRAY_ADD(links->links, links->count, links->cap) =
            (struct hub_link){.path = mem_strdup(chain.hops[0].path),
                              .target = mem_strdup(chain.hops[0].target),
                              .end = mem_strdup(chain.end),
                              .missing = missing,
                              .dev = missing ? 0 : chain.st.st_dev,
                              .ino = missing ? 0 : chain.st.st_ino};
    chain_release(&chain);
    return r == ERR_IO ? r : 0;
}

static int walk_links(int cache, const char *rel, int depth, struct hub_links *links,
                      struct err *err)
{
    AUTO_FD int dir = openat(cache, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct names names = {0};
    if (depth > WALK_DEPTH || (dir < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)))
        return 0;
    int r = dir < 0 ? err_sys(err, "%s", rel) : names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        if (names.entries[i].type == DT_DIR)
            r = walk_links(cache, below, depth + 1, links, err);
        else if (names.entries[i].type == DT_LNK)
            r = add_links(cache, below, links, err);
    }
    names_release(&names);
    return r;
}

static int by_end(const void *a, const void *b)
{
    const struct hub_link *x = a, *y = b;
    if (x->missing != y->missing)
        return x->missing - y->missing;
    if (x->missing)
        return strcmp(x->end, y->end);
    return x->dev != y->dev ? (x->dev < y->dev ? -1 : 1) : (x->ino > y->ino) - (x->ino < y->ino);
}

int hub_links_read(const char *cache, struct hub_links *ret, struct err *err)
{
    static const char *const parts[] = {"snapshots", "blobs"};
    *ret = (struct hub_links){0};
    AUTO_FD int dir = file_open_dir(AT_FDCWD, cache, err);
    struct names names = {0};
    int r = dir < 0 ? dir : names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        for (size_t p = 0; p < COUNT_OF(parts) && r == 0; p++) {
            AUTO_FREE char *below = file_join(names.entries[i].name, parts[p]);
            if (is_repo_folder(names.entries[i].name))
                r = walk_links(dir, below, 0, ret, err);
        }
    }
    if (ret->count)
        qsort(ret->links, ret->count, sizeof *ret->links, by_end);
    if (r < 0)
        hub_links_release(ret);
    names_release(&names);
    return r;
}

/* The first of those that compare equal to key, and how many they are. */
static const struct hub_link *find_links(const struct hub_links *links, const struct hub_link *key,
                                         size_t *ret_count)
{
    size_t low = 0, high = links->count, end;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (by_end(&links->links[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < links->count && by_end(&links->links[end], key) == 0; end++)
        ;
    *ret_count = end - low;
    return links->links + low;
}

const struct hub_link *hub_links_to(const struct hub_links *links, uint64_t dev, uint64_t ino,
                                    size_t *ret_count)
{
    const struct hub_link key = {.dev = dev, .ino = ino};
    return find_links(links, &key, ret_count);
}

const struct hub_link *hub_links_missing(const struct hub_links *links, const char *cache,
                                         const char *path, size_t *ret_count)
{
    size_t n = strlen(cache);
    *ret_count = 0;
    if (strncmp(path, cache, n) != 0 || path[n] != '/')
        return NULL;
    AUTO_FREE char *end = mem_strdup(path + n + strspn(path + n, "/"));
    const struct hub_link key = {.missing = true, .end = end};
    return find_links(links, &key, ret_count);
}

void hub_links_release(struct hub_links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        free(links->links[i].path);
        free(links->links[i].target);
        free(links->links[i].end);
    }
    free(links->links);
    *links = (struct hub_links){0};
}

/* A file with this ending in the folder that is younger than max_age seconds. */
static bool fresh_file(const char *folder, const char *ending, int max_age, char **ret_name)
{
    AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct names names = {0};
    bool found = false;
    struct stat st;
    if (dir < 0 || names_read(dir, &names, NULL) < 0)
        return false;
    for (size_t i = 0; i < names.count && !found; i++) {
        found = text_ends_with(names.entries[i].name, ending) &&
                fstatat(dir, names.entries[i].name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                st.st_mtime > time(NULL) - max_age;
        if (found)
            *ret_name = file_join(folder, names.entries[i].name);
    }
    names_release(&names);
    return found;
}

bool hub_blob_is_busy(const char *cache, const char *blob_path, int max_age, char **ret_name)
{
    size_t n = strlen(cache);
    if (strncmp(blob_path, cache, n) != 0 || blob_path[n] != '/')
        return false;
    AUTO_FREE char *folder = mem_strndup(blob_path + n + 1, strcspn(blob_path + n + 1, "/"));
    AUTO_FREE char *blobs = file_dir(blob_path);
    AUTO_FREE char *locks = mem_printf("%s/.locks/%s", cache, folder);
    return fresh_file(blobs, ".incomplete", max_age, ret_name) ||
           fresh_file(locks, ".lock", max_age, ret_name);
}

static void add_removal(struct hub_removal *removal, const char *path)
{
    *ARRAY_ADD(removal->paths, removal->count, removal->cap) = mem_strdup(path);
}

/* Everything below a folder, then the folder itself; links are not followed. */
static int add_tree(int cache, const char *rel, int depth, struct hub_removal *removal,
                    struct err *err)
{
    AUTO_FD int dir = openat(cache, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct names names = {0};
    if (dir < 0 && errno == ENOENT)
        return 0;
    if (dir < 0)
        return err_sys(err, "%s", rel);
    int r = depth > WALK_DEPTH ? err_set(err, ERR_LIMIT, "%s: folders in folders", rel)
                               : names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        if (names.entries[i].type == DT_DIR)
            r = add_tree(cache, below, depth + 1, removal, err);
        else
            add_removal(removal, below);
    }
    names_release(&names);
    if (r == 0)
        add_removal(removal, rel);
    return r;
}

/* The refs that name one of the commits. */
static void add_refs(const struct repo *repo, const char *const *commits, size_t count,
                     struct hub_removal *removal)
{
    for (size_t i = 0; i < repo->ref_count; i++) {
        AUTO_FREE char *path = mem_printf("%s/refs/%s", repo->folder, repo->refs[i].name);
        if (text_is_among(repo->refs[i].commit, commits, count))
            add_removal(removal, path);
    }
}

/* The repository's own blobs that links below a folder lead to. */
static int blobs_below(int cache, const char *repo, const char *rel, int depth,
                       struct hub_removal *blobs, struct err *err)
{
    AUTO_FD int dir = openat(cache, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct names names = {0};
    if (dir < 0 && errno == ENOENT)
        return 0;
    int r = dir < 0 || depth > WALK_DEPTH ? err_sys(err, "%s", rel) : names_read(dir, &names, err);
    AUTO_FREE char *own = mem_printf("%s/blobs/", repo);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        struct chain chain = {0};
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        if (names.entries[i].type == DT_DIR) {
            r = blobs_below(cache, repo, below, depth + 1, blobs, err);
            continue;
        }
        r = resolve(cache, below, &chain, err);
        for (size_t k = 1; k <= chain.count && r == 0; k++) {
            const char *step = k < chain.count ? chain.hops[k].path : chain.end;
            if (strncmp(step, own, strlen(own)) == 0)
                add_removal(blobs, step);
            else
                blobs->shared = true;
        }
        chain_release(&chain);
        r = r == ERR_NOTFOUND ? 0 : r; /* a link that leads nowhere has no blob */
    }
    names_release(&names);
    return r;
}

/* Blobs of the revisions that go, which none of those that stay leads to. */
static int add_blobs(struct repo *repo, const struct names *snapshots, const char *const *commits,
                     size_t count, struct hub_removal *removal, struct err *err)
{
    struct hub_removal going = {0}, staying = {0};
    int r = 0;
    for (size_t i = 0; i < snapshots->count && r == 0; i++) {
        const char *commit = snapshots->entries[i].name;
        AUTO_FREE char *rel = mem_printf("%s/snapshots/%s", repo->folder, commit);
        bool goes = text_is_among(commit, commits, count);
        r = blobs_below(repo->cache, repo->folder, rel, 0, goes ? &going : &staying, err);
        if (r < 0 && r != ERR_IO && !goes && err)
            (void)err_prefix(err, "another revision has a link that cannot be followed");
    }
    for (size_t i = 0; i < going.count && r == 0; i++)
        if (!text_is_among(going.paths[i], (const char *const *)staying.paths, staying.count) &&
            !text_is_among(going.paths[i], (const char *const *)removal->paths, removal->count))
            add_removal(removal, going.paths[i]);
    removal->shared |= going.shared;
    hub_removal_release(&going);
    hub_removal_release(&staying);
    return r;
}

int hub_removal_read(const char *cache, const char *repo_folder, const char *const *commits,
                     size_t count, bool keep_repo, struct hub_removal *ret, struct err *err)
{
    *ret = (struct hub_removal){0};
    AUTO_FD int dir = file_open_dir(AT_FDCWD, cache, err);
    struct repo repo = {.cache = dir, .root = cache, .folder = repo_folder};
    struct names snapshots = {0};
    AUTO_FREE char *rel = file_join(repo_folder, "snapshots"),
                   *refs = file_join(repo_folder, "refs");
    AUTO_FD int below = dir < 0 ? -1 : openat(dir, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    int r = dir < 0                        ? dir
            : below < 0 && errno != ENOENT ? err_sys(err, "%s", rel)
            : below < 0                    ? 0
                                           : names_read(below, &snapshots, err);
    ret->repo = !keep_repo;
    for (size_t i = 0; i < snapshots.count; i++)
        ret->repo &= text_is_among(snapshots.entries[i].name, commits, count);
    if (r == 0)
        read_refs(&repo, refs, "", 0);
    add_refs(&repo, commits, count, ret);
    for (size_t i = 0; i < count && r == 0; i++) {
        AUTO_FREE char *snapshot = file_join(rel, commits[i]);
        r = add_tree(dir, snapshot, 0, ret, err);
    }
    if (r == 0)
        r = add_blobs(&repo, &snapshots, commits, count, ret, err);
    if (r == 0 && ret->repo) { /* what is left of it; names that went already are gone then */
        size_t before = ret->count;
        r = add_tree(dir, repo_folder, 0, ret, err);
        for (size_t i = before; i < ret->count; i++) {
            if (!text_is_among(ret->paths[i], (const char *const *)ret->paths, before))
                continue;
            free(ret->paths[i]);
            memmove(&ret->paths[i], &ret->paths[i + 1], (--ret->count - i) * sizeof *ret->paths);
            i--;
        }
    }
    names_release(&snapshots);
    repo_release(&repo);
    return r;
}

void hub_removal_release(struct hub_removal *removal)
{
    for (size_t i = 0; i < removal->count; i++)
        free(removal->paths[i]);
    free(removal->paths);
    *removal = (struct hub_removal){0};
}
