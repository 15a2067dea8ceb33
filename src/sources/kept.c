/* SPDX-License-Identifier: MIT */
/* The small files that belong to a model, of which copies are kept with its weights. */
#include "sources/walk.h"

#include "base/file.h"
#include "model/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REF_LIMIT = 4096 };

struct kept_walk {
    const char *root;
    int top; /* of the root */
    uint64_t most;
    struct kept_files *files;
};

static char *path_of(int fd)
{
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    return n > 0 && (size_t)n < sizeof path ? mem_strndup(path, (size_t)n) : NULL;
}

/* rel: below the root; what it leads to must lie below it, too. */
static void add_kept(struct kept_walk *walk, const char *rel, const char *name)
{
    struct stat st;
    AUTO_FD int fd =
        file_open_beneath(walk->top, rel, O_RDONLY | O_NONBLOCK | O_NOCTTY, true, NULL);
    AUTO_FREE char *path = fd < 0 ? NULL : path_of(fd), *root = path_of(walk->top);
    if (!path || !root || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size > walk->most || strncmp(path, root, strlen(root)) != 0)
        return;
    /* By the root's own name, which may lead through links, as all paths of the model are. */
    *ARRAY_ADD(walk->files->files, walk->files->count, walk->files->cap) = (struct kept_file){
        .name = name ? mem_strdup(name) : NULL,
        .path = file_join(walk->root, path + strlen(root) + strspn(path + strlen(root), "/")),
        .st = st};
}

static int walk_kept(struct kept_walk *walk, const char *rel, const char *name, bool deep,
                     int depth, struct err *err)
{
    struct names names = {0};
    AUTO_FD int dir =
        file_open_beneath(walk->top, *rel ? rel : ".", O_RDONLY | O_DIRECTORY, false, err);
    if (dir < 0 || depth > WALK_DEPTH)
        return MIN(dir, 0);
    int r = names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        AUTO_FREE char *full = file_join(name, names.entries[i].name);
        if (names.entries[i].type == DT_DIR)
            r = deep ? walk_kept(walk, below, full, deep, depth + 1, err) : 0;
        else if (name_is_kept(names.entries[i].name))
            add_kept(walk, below, full);
    }
    names_release(&names);
    return r;
}

/* The refs of a repository that name the revision. */
static int walk_refs(struct kept_walk *walk, const char *rel, const char *revision, int depth,
                     struct err *err)
{
    struct names names = {0};
    AUTO_FD int dir = file_open_beneath(walk->top, rel, O_RDONLY | O_DIRECTORY, false, NULL);
    if (dir < 0 || depth > WALK_DEPTH)
        return 0;
    int r = names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && r == 0; i++) {
        AUTO_FREE char *below = file_join(rel, names.entries[i].name);
        AUTO_BUF struct buf text = {0};
        if (names.entries[i].type == DT_DIR)
            r = walk_refs(walk, below, revision, depth + 1, err);
        else if (file_read_all(dir, names.entries[i].name, REF_LIMIT, &text, NULL) == 0 &&
                 text.len >= strlen(revision) && memcmp(text.data, revision, strlen(revision)) == 0)
            add_kept(walk, below, NULL);
    }
    names_release(&names);
    return r;
}

int source_kept_files(const char *source, const char *root, const char *path, const char *revision,
                      uint64_t most, struct kept_files *ret, struct err *err)
{
    struct stat st;
    size_t n = strlen(root);
    *ret = (struct kept_files){0};
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || strncmp(path, root, n) != 0)
        return 0;
    const char *rel = path + n + strspn(path + n, "/");
    bool hub = strcmp(source, source_name(SOURCE_HF)) == 0;
    AUTO_FD int top = file_open_dir(AT_FDCWD, root, err);
    struct kept_walk walk = {.root = root, .top = top, .most = most, .files = ret};
    int r = top < 0 ? top : walk_kept(&walk, rel, "", hub, 0, err);
    if (r == 0 && hub && *revision) {
        AUTO_FREE char *repo = mem_strndup(rel, strcspn(rel, "/")), *refs = file_join(repo, "refs");
        r = walk_refs(&walk, refs, revision, 0, err);
    }
    if (r < 0)
        kept_files_release(ret);
    return r;
}

void kept_files_release(struct kept_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].name);
        free(files->files[i].path);
    }
    free(files->files);
    *files = (struct kept_files){0};
}
