/* SPDX-License-Identifier: MIT */
/*
 * Plain folders. A folder with weights and a config is a model; with model_index.json it is one
 * model with all that lies below; elsewhere each set of shards, and each lone weight file, is
 * one. Folders named checkpoint-N are checkpoints of the run that their parent names.
 */
#include "sources/walk.h"

#include "base/file.h"
#include "base/text.h"
#include "model/names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct folder_walk {
    const char *root;
    int root_fd;
    dev_t dev;
    const struct source_sink *sink;
    struct place {
        dev_t dev;
        ino_t ino;
    } * visited; /* the folders on the way down: a loop is one of them */
    size_t visited_count, visited_cap;
};

/* One folder: where it is, and what is in it. */
struct folder {
    int fd;
    char *path;      /* absolute */
    const char *rel; /* below the root, "" for the root itself */
    struct names names;
};

static void tell(const struct folder_walk *walk, const char *path, const char *reason)
{
    walk->sink->problem(walk->sink->context, path, reason);
}

static bool is_skipped(const char *name)
{
    static const char *const skipped[] = {".git", ".tare", ".locks", ".no_exist"};
    for (size_t i = 0; i < COUNT_OF(skipped); i++)
        if (strcmp(name, skipped[i]) == 0)
            return true;
    return false;
}

/* The name of the model in this folder: its path below the root, or the root's own name. */
static char *folder_name(const struct folder_walk *walk, const struct folder *folder)
{
    return mem_strdup(*folder->rel ? folder->rel : file_base(walk->root));
}

/* A link to a weight file counts where it stays beneath the root. */
static bool stat_entry(const struct folder_walk *walk, const struct folder *folder,
                       const struct name_entry *entry, char **ret_path, struct stat *st)
{
    AUTO_FREE char *path = file_join(folder->path, entry->name);
    if (entry->type == DT_LNK) {
        AUTO_FREE char *rel = file_join(folder->rel, entry->name);
        AUTO_FD int fd = file_open_beneath(walk->root_fd, rel, O_PATH, true, NULL);
        AUTO_FREE char *real = realpath(path, NULL);
        if (fd < 0 || !real || fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
            if (name_is_weight(entry->name) && access(path, F_OK) < 0)
                tell(walk, path, "broken link");
            return false;
        }
        *ret_path = TAKE_PTR(real);
        return true;
    }
    if (fstatat(folder->fd, entry->name, st, AT_SYMLINK_NOFOLLOW) < 0) {
        tell(walk, path, strerror(errno));
        return false;
    }
    *ret_path = TAKE_PTR(path);
    return true;
}

/* Adds one entry of a folder to a model, under the name prefix/entry. */
static void add_entry(const struct folder_walk *walk, const struct folder *folder,
                      const struct name_entry *entry, const char *prefix, struct gather *gather)
{
    struct stat st;
    char *found = NULL;
    AUTO_FREE char *name = file_join(prefix, entry->name);
    bool weight = name_is_weight(entry->name);
    if (entry->type == DT_DIR || (!weight && !name_is_companion(entry->name)))
        return;
    if (!stat_entry(walk, folder, entry, &found, &st))
        return;
    AUTO_FREE char *path = found;
    if (S_ISREG(st.st_mode))
        gather_file(gather, name, path, NULL, &st);
    else
        tell(walk, path, "not a regular file");
}

static struct gather new_model(const struct folder_walk *walk, const char *name, const char *path)
{
    return (struct gather){.model = {.source = SOURCE_FOLDER,
                                     .root = walk->root,
                                     .name = name,
                                     .path = path,
                                     .revision = "",
                                     .run = ""}};
}

static int report_folder(const struct folder_walk *walk, const struct folder *folder,
                         struct gather *gather, struct err *err)
{
    AUTO_FREE char *parent = file_dir(*folder->rel ? folder->rel : folder->path);
    AUTO_FREE char *run = NULL;
    if (name_checkpoint(file_base(folder->path)) >= 0) {
        run = mem_strdup(strcmp(parent, ".") == 0 ? file_base(walk->root)
                         : *folder->rel           ? parent
                                                  : file_base(parent));
        gather->model.run = run;
    }
    return gather_report(gather, walk->sink, err);
}

/* All weight files of the folder are one model. */
static int folder_is_model(const struct folder_walk *walk, const struct folder *folder,
                           struct err *err)
{
    AUTO_FREE char *name = folder_name(walk, folder);
    struct gather gather = new_model(walk, name, folder->path);
    for (size_t i = 0; i < folder->names.count; i++)
        add_entry(walk, folder, &folder->names.entries[i], "", &gather);
    int r = report_folder(walk, folder, &gather, err);
    gather_release(&gather);
    return r;
}

/* Whether two names are shards of one set. */
static bool same_set(const char *a, const char *b)
{
    struct shard_name x, y;
    return name_shard(a, &x) && name_shard(b, &y) && x.prefix == y.prefix && x.count == y.count &&
           memcmp(a, b, x.prefix) == 0;
}

/* Each weight file, or set of shards, is a model. The names are sorted: sets stand together. */
static int files_are_models(const struct folder_walk *walk, const struct folder *folder,
                            struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < folder->names.count && r == 0;) {
        const char *first = folder->names.entries[i].name;
        size_t end = i + 1;
        if (!name_is_weight(first) || folder->names.entries[i].type == DT_DIR) {
            i++;
            continue;
        }
        AUTO_FREE char *path = file_join(folder->path, first);
        AUTO_FREE char *name = file_join(folder->rel, first);
        struct gather gather = new_model(walk, name, path);
        while (end < folder->names.count && same_set(first, folder->names.entries[end].name))
            end++;
        for (; i < end; i++)
            add_entry(walk, folder, &folder->names.entries[i], "", &gather);
        if (gather.model.file_count)
            r = gather_report(&gather, walk->sink, err);
        gather_release(&gather);
    }
    return r;
}

static void folder_close(struct folder *folder)
{
    cleanup_fd(&folder->fd);
    free(folder->path);
    names_release(&folder->names);
}

/* Opens the folder rel below the root; what cannot be read is told and gives false. */
static bool folder_open(struct folder_walk *walk, const char *rel, struct folder *folder)
{
    struct err err = {0};
    struct stat st;
    *folder = (struct folder){.fd = -1, .rel = rel};
    folder->path = *rel ? file_join(walk->root, rel) : mem_strdup(walk->root);
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (*rel ? O_NOFOLLOW : 0));
    bool good = folder->fd >= 0 && fstat(folder->fd, &st) == 0;
    if (!good)
        tell(walk, folder->path, strerror(errno));
    good = good && st.st_dev == walk->dev;
    for (size_t i = 0; i < walk->visited_count && good; i++)
        good = walk->visited[i].ino != st.st_ino || walk->visited[i].dev != st.st_dev;
    if (good && names_read(folder->fd, &folder->names, &err) < 0) {
        tell(walk, folder->path, err.text);
        good = false;
    }
    if (good)
        *ARRAY_ADD(walk->visited, walk->visited_count, walk->visited_cap) =
            (struct place){st.st_dev, st.st_ino};
    else
        folder_close(folder);
    return good;
}

static void gather_below(struct folder_walk *walk, const char *rel, const char *prefix,
                         struct gather *gather, int depth)
{
    struct folder folder;
    if (depth > WALK_DEPTH || !folder_open(walk, rel, &folder))
        return;
    for (size_t i = 0; i < folder.names.count; i++) {
        const struct name_entry *entry = &folder.names.entries[i];
        AUTO_FREE char *below = file_join(rel, entry->name);
        AUTO_FREE char *name = file_join(prefix, entry->name);
        if (entry->type == DT_DIR && !is_skipped(entry->name))
            gather_below(walk, below, name, gather, depth + 1);
        else
            add_entry(walk, &folder, entry, prefix, gather);
    }
    walk->visited_count--;
    folder_close(&folder);
}

/* A pipeline of components: one model with everything below. */
static int pipeline_is_model(struct folder_walk *walk, const char *rel, struct err *err)
{
    struct folder folder = {.fd = -1, .rel = rel};
    AUTO_FREE char *name = folder_name(walk, &folder);
    AUTO_FREE char *path = *rel ? file_join(walk->root, rel) : mem_strdup(walk->root);
    struct gather gather = new_model(walk, name, path);
    gather_below(walk, rel, "", &gather, 0);
    int r = gather_report(&gather, walk->sink, err);
    gather_release(&gather);
    return r;
}

static bool holds(const struct folder *folder, bool (*wanted)(const char *name))
{
    for (size_t i = 0; i < folder->names.count; i++)
        if (folder->names.entries[i].type != DT_DIR && wanted(folder->names.entries[i].name))
            return true;
    return false;
}

static bool is_pipeline(const char *name)
{
    return strcmp(name, "model_index.json") == 0;
}

static bool is_hub_part(const char *name)
{
    return strncmp(name, "models--", 8) == 0;
}

static int walk_folder(struct folder_walk *walk, const char *rel, int depth, struct err *err)
{
    struct folder folder;
    bool hub = false;
    if (depth > WALK_DEPTH) {
        AUTO_FREE char *path = file_join(walk->root, rel);
        tell(walk, path, "nested too deeply: not looked into");
        return 0;
    }
    if (!folder_open(walk, rel, &folder))
        return 0;
    for (size_t i = 0; i < folder.names.count; i++)
        hub |= is_hub_part(folder.names.entries[i].name);
    int r = 0;
    if (hub && source_is_hub(folder.path)) {
        r = hub_walk(folder.fd, folder.path, walk->sink, err);
    } else if (holds(&folder, is_pipeline)) {
        walk->visited_count--;
        r = pipeline_is_model(walk, rel, err);
        walk->visited_count++;
    } else {
        r = holds(&folder, name_is_config) ? folder_is_model(walk, &folder, err)
                                           : files_are_models(walk, &folder, err);
        for (size_t i = 0; i < folder.names.count && r == 0; i++) {
            const struct name_entry *entry = &folder.names.entries[i];
            AUTO_FREE char *below = file_join(rel, entry->name);
            if (entry->type == DT_DIR && !is_skipped(entry->name))
                r = walk_folder(walk, below, depth + 1, err);
        }
    }
    walk->visited_count--;
    folder_close(&folder);
    return r;
}

/* The root is a single weight file. */
static int walk_lone_file(const char *root, const struct stat *st, const struct source_sink *sink,
                          struct err *err)
{
    AUTO_FREE char *dir = file_dir(root);
    struct folder_walk walk = {.root = dir, .sink = sink};
    struct gather gather = new_model(&walk, file_base(root), root);
    gather_weight(&gather, file_base(root), root, NULL, st);
    int r = gather_report(&gather, sink, err);
    gather_release(&gather);
    return r;
}

int source_walk(const char *root, const struct source_sink *sink, struct err *err)
{
    struct stat st;
    struct folder_walk walk = {.root = root, .sink = sink};
    if (stat(root, &st) == 0 && S_ISREG(st.st_mode))
        return walk_lone_file(root, &st, sink, err);
    walk.dev = st.st_dev;
    walk.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (walk.root_fd < 0) {
        tell(&walk, root,
             errno == ENOTDIR ? "neither a folder nor a regular file" : strerror(errno));
        return 0;
    }
    int r = walk_folder(&walk, "", 0, err);
    close(walk.root_fd);
    free(walk.visited);
    return r;
}

static int64_t newest_below(int dir, const char *name, int depth)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct names names = {0};
    struct stat st;
    int64_t newest = 0;
    if (fd < 0 || names_read(fd, &names, NULL) < 0)
        return 0;
    for (size_t i = 0; i < names.count; i++) {
        if (fstatat(fd, names.entries[i].name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            newest = MAX(newest, (int64_t)st.st_mtime);
        if (names.entries[i].type == DT_DIR && depth < 4)
            newest = MAX(newest, newest_below(fd, names.entries[i].name, depth + 1));
    }
    names_release(&names);
    return newest;
}

int64_t source_newest_below(const char *folder)
{
    return newest_below(AT_FDCWD, folder, 0);
}

const char *source_name(enum source source)
{
    return source == SOURCE_HF ? "hf" : "dir";
}
