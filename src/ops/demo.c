/* SPDX-License-Identifier: MIT */
/* The sample collection as a hub cache. */
#include "ops/demo.h"

#include "base/file.h"
#include "base/hash.h"
#include "config.h"
#include "model/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLE_LIMIT = 1 << 30 };

/* One repository in the making. */
struct repo {
    char *blobs, *snapshot;
};

/* Weights are named by SHA-256, the small text files as Git names its blobs. */
static int add_file(const struct repo *repo, const char *from, const char *rel, struct err *err)
{
    AUTO_BUF struct buf bytes = {0};
    char name[DIGEST_HEX];
    int r = file_read_all(AT_FDCWD, from, SAMPLE_LIMIT, &bytes, err);
    if (r < 0)
        return r;
    struct digest *digest = digest_new(name_is_weight(rel) ? DIGEST_SHA256 : DIGEST_GIT, bytes.len);
    digest_update(digest, bytes.data, bytes.len);
    digest_hex(digest, name);
    digest_free(digest);
    AUTO_FD int blobs = file_open_dir(AT_FDCWD, repo->blobs, err);
    if (blobs < 0)
        return blobs;
    if (faccessat(blobs, name, F_OK, 0) < 0)
        r = file_replace(blobs, name, bytes.data, bytes.len, 0644, err);
    AUTO_FREE char *link = file_join(repo->snapshot, rel), *dir = file_dir(link);
    if (r == 0)
        r = file_make_dirs(dir, err);
    AUTO_BUF struct buf target = {0};
    for (const char *p = rel; (p = strchr(p, '/')); p++)
        buf_str(&target, "../");
    buf_printf(&target, "../../blobs/%s", name);
    if (r == 0 && symlink(target.data, link) < 0)
        r = err_sys(err, "%s", link);
    return r;
}

static int add_folder(const struct repo *repo, const char *from, const char *rel, struct err *err)
{
    DIR *stream = opendir(from);
    int r = stream ? 0 : err_sys(err, "%s", from);
    for (struct dirent *entry; r == 0 && (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = file_join(from, entry->d_name);
        AUTO_FREE char *name = file_join(rel, entry->d_name);
        struct stat st;
        if (stat(path, &st) < 0)
            r = err_sys(err, "%s", path);
        else
            r = S_ISDIR(st.st_mode) ? add_folder(repo, path, name, err)
                                    : add_file(repo, path, name, err);
    }
    if (stream)
        closedir(stream);
    return r;
}

static int add_repo(const char *from, const char *cache, const char *org, const char *name,
                    struct err *err)
{
    /* A commit has 40 hex digits; which ones does not matter. */
    static const char commit[] = "5a6d70c3ab1e0ff1ce0000000000000000000001";
    AUTO_FREE char *folder = mem_printf("%s/models--%s--%s", cache, org, name);
    AUTO_FREE char *refs = file_join(folder, "refs");
    struct repo repo = {file_join(folder, "blobs"), mem_printf("%s/snapshots/%s", folder, commit)};
    int r = file_make_dirs(repo.blobs, err);
    if (r == 0)
        r = file_make_dirs(repo.snapshot, err);
    if (r == 0)
        r = file_make_dirs(refs, err);
    AUTO_FD int refs_fd = r < 0 ? -1 : file_open_dir(AT_FDCWD, refs, err);
    if (r == 0)
        r = refs_fd < 0 ? refs_fd
                        : file_replace(refs_fd, "main", commit, sizeof commit - 1, 0644, err);
    if (r == 0)
        r = add_folder(&repo, from, "", err);
    free(repo.blobs);
    free(repo.snapshot);
    return r;
}

int demo_lay_out(const char *samples, const char *cache, struct err *err)
{
    DIR *orgs = opendir(samples);
    int r = orgs ? file_make_dirs(cache, err) : err_sys(err, "%s", samples);
    for (struct dirent *org; r == 0 && (org = readdir(orgs));) {
        AUTO_FREE char *below = file_join(samples, org->d_name);
        DIR *names = org->d_name[0] == '.' ? NULL : opendir(below);
        for (struct dirent *name; names && r == 0 && (name = readdir(names));) {
            AUTO_FREE char *from = file_join(below, name->d_name);
            struct stat st;
            if (name->d_name[0] != '.' && stat(from, &st) == 0 && S_ISDIR(st.st_mode))
                r = add_repo(from, cache, org->d_name, name->d_name, err);
        }
        if (names)
            closedir(names);
    }
    if (orgs)
        closedir(orgs);
    return r;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int sum_folder(const char *path, const char *rel, struct hasher *hasher, size_t *files,
                      struct err *err);

static int sum_entry(const char *path, const char *rel, struct hasher *hasher, size_t *files,
                     struct err *err)
{
    struct stat st;
    char target[4096];
    AUTO_BUF struct buf bytes = {0}, line = {0};
    if (lstat(path, &st) < 0)
        return err_sys(err, "%s", path);
    if (S_ISDIR(st.st_mode))
        return sum_folder(path, rel, hasher, files, err);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, target, sizeof target);
        buf_add(&bytes, target, (size_t)MAX(n, 0));
    } else {
        int r = file_read_all(AT_FDCWD, path, SAMPLE_LIMIT, &bytes, err);
        if (r < 0)
            return r;
        buf_printf(&line, "%o %lld.%09ld ", st.st_mode, (long long)st.st_mtim.tv_sec,
                   st.st_mtim.tv_nsec);
    }
    buf_printf(&line, "%s %zu\n", rel, bytes.len);
    hasher_update(hasher, line.data, line.len);
    hasher_update(hasher, bytes.data, bytes.len);
    ++*files;
    return 0;
}

static int sum_folder(const char *path, const char *rel, struct hasher *hasher, size_t *files,
                      struct err *err)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name), r = 0;
    if (count < 0)
        return err_sys(err, "%s", path);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (r == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            AUTO_FREE char *below = file_join(path, name), *full = file_join(rel, name);
            r = sum_entry(below, full, hasher, files, err);
        }
        free(entries[i]);
    }
    free(entries);
    return r;
}

int demo_sum(const char *folder, struct demo_sums *ret, struct err *err)
{
    struct hasher *hasher = hasher_new(0);
    ret->files = 0;
    int r = sum_folder(folder, "", hasher, &ret->files, err);
    ret->hash = hasher_digest(hasher);
    hasher_free(hasher);
    return r;
}

void demo_isolate(const char *folder, const char *hub)
{
    setenv("HF_HUB_CACHE", hub, 1);
    setenv("XDG_DATA_HOME", folder, 1);
    setenv("XDG_STATE_HOME", folder, 1);
}

char *demo_samples(void)
{
    const char *set = getenv("TARE_DATA");
    const char *const places[] = {set ? set : "", TARE_SOURCE_DATA, TARE_DATADIR};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        AUTO_FREE char *path = file_join(places[i], "samples");
        if (*places[i] && access(path, R_OK) == 0)
            return TAKE_PTR(path);
    }
    return NULL;
}

int demo_remove(const char *folder, struct err *err)
{
    AUTO_FD int dir = file_open_dir(AT_FDCWD, folder, err);
    int r = dir < 0 ? dir : file_remove_below(dir, err);
    if (r == 0 && rmdir(folder) < 0)
        r = err_sys(err, "%s", folder);
    return r;
}
