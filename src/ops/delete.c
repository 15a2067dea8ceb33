/* SPDX-License-Identifier: MIT */
/* Delete. The plan names every path and every manifest; carrying it out follows the plan alone. */
#include "ops/delete.h"

#include "base/file.h"
#include "base/map.h"
#include "base/text.h"
#include "model/names.h"
#include "ops/guard.h"
#include "ops/meta.h"
#include "ops/scan.h"
#include "sources/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANY_LINKS = 1 << 20 };

struct planner {
    struct ops *ops;
    const struct library *library;
    struct delete_plan *plan;
    int at; /* the model in hand, index of plan->models */
};

void delete_plan_free(struct delete_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->model_count; i++)
        free(plan->models[i].refused);
    for (size_t i = 0; i < plan->path_count; i++) {
        free(plan->paths[i].path);
        free(plan->paths[i].root);
    }
    for (size_t i = 0; i < plan->stored_count; i++) {
        free(plan->stored[i].store);
        free(plan->stored[i].fid);
    }
    free(plan->models);
    free(plan->paths);
    free(plan->stored);
    path_list_release(&plan->notes);
    free(plan);
}

static const struct lib_model *model_of(const struct planner *p, size_t at)
{
    return &p->library->models[p->plan->models[at].model];
}

static bool is_chosen(const struct planner *p, int model)
{
    for (size_t i = 0; i < p->plan->model_count; i++)
        if (p->plan->models[i].model == model && !p->plan->models[i].refused)
            return true;
    return false;
}

static bool is_hub(const struct lib_model *model)
{
    return strcmp(model->source, "hf") == 0;
}

static void add_path(struct planner *p, const char *root, const char *path)
{
    for (size_t i = 0; i < p->plan->path_count; i++)
        if (strcmp(p->plan->paths[i].path, path) == 0)
            return;
    *ARRAY_ADD(p->plan->paths, p->plan->path_count, p->plan->path_cap) =
        (struct delete_path){mem_strdup(path), mem_strdup(root), p->at};
}

static void refuse(struct planner *p, const char *reason)
{
    struct delete_model *model = &p->plan->models[p->at];
    if (!model->refused)
        model->refused = mem_strdup(reason);
}

/* ---- what speaks against it ---- */

static void check_files(struct planner *p)
{
    const struct lib_model *model = model_of(p, (size_t)p->at);
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &p->library->files[model->files[i]];
        struct err why = {0};
        bool there = file->state == FILE_PLAIN || file->state == FILE_KEPT;
        p->plan->models[p->at].files += there || file->store;
        struct guard guard = {.live = p->plan->live, .links = ANY_LINKS};
        if (there && guard_file(model, file, &guard, &why) < 0 && why.code != ERR_NOTFOUND)
            refuse(p, why.text);
        guard_note(&guard, &p->plan->notes);
        if (file->state == FILE_CHANGED)
            refuse(p, "a file that is stored was changed in its place: move one of the two away");
    }
}

/* The folder of a repository, "models--org--name", in a path below the cache: free it. */
static char *repo_of(const struct lib_model *model)
{
    const char *rel = model->path + strlen(model->root);
    rel += strspn(rel, "/");
    return mem_strndup(rel, strcspn(rel, "/"));
}

static bool same_repo(const struct lib_model *a, const struct lib_model *b)
{
    AUTO_FREE char *x = repo_of(a), *y = repo_of(b);
    return is_hub(a) && is_hub(b) && strcmp(a->root, b->root) == 0 && strcmp(x, y) == 0;
}

/* A revision goes as a whole: with all its checkpoints. */
static void check_revision(struct planner *p)
{
    const struct lib_model *model = model_of(p, (size_t)p->at);
    for (size_t i = 0; i < p->library->model_count && is_hub(model) && *model->revision; i++) {
        const struct lib_model *other = &p->library->models[i];
        if (!same_repo(model, other) || strcmp(model->revision, other->revision) != 0 ||
            is_chosen(p, (int)i))
            continue;
        AUTO_FREE char *reason = mem_printf(
            "a revision of a hub cache goes as a whole, and %s is in it: delete both", other->name);
        refuse(p, reason);
    }
}

/* ---- what goes ---- */

/* Everything of the chosen revisions of one repository, once. */
static int plan_repo(struct planner *p, struct err *err)
{
    const struct lib_model *model = model_of(p, (size_t)p->at);
    struct path_list commits = {0};
    struct hub_removal removal;
    AUTO_FREE char *repo = repo_of(model);
    bool others = false;
    for (size_t i = 0; i < p->library->model_count; i++) {
        const struct lib_model *other = &p->library->models[i];
        if (!same_repo(model, other) || !*other->revision)
            continue;
        if (is_chosen(p, (int)i))
            path_list_add(&commits, other->revision);
        else
            others = true;
    }
    int r = hub_removal_read(model->root, repo, (const char *const *)commits.paths, commits.count,
                             others, &removal, err);
    for (size_t i = 0; i < removal.count && r == 0; i++) {
        AUTO_FREE char *path = file_join(model->root, removal.paths[i]);
        add_path(p, model->root, path);
    }
    if (r == 0 && removal.shared)
        path_list_add(&p->plan->notes,
                      "blobs that repositories share stay in the cache (hf cache prune)");
    hub_removal_release(&removal);
    path_list_release(&commits);
    return r;
}

/* Whether another model of the library, which stays, lies in the folder or below it. */
static bool is_lived_in(const struct planner *p, const char *folder)
{
    size_t n = strlen(folder);
    for (size_t i = 0; i < p->library->model_count; i++) {
        const char *path = p->library->models[i].path;
        if (!is_chosen(p, (int)i) && strncmp(path, folder, n) == 0 &&
            (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

static bool is_planned(const struct planner *p, const char *path)
{
    for (size_t i = 0; i < p->plan->path_count; i++)
        if (strcmp(p->plan->paths[i].path, path) == 0)
            return true;
    return false;
}

/*
 * A folder of weights: what only describes them goes with them, and the folder where nothing else
 * is in it. The root that was named to the scan stays.
 */
static void plan_folder(struct planner *p, const struct lib_model *model)
{
    struct stat st;
    if (lstat(model->path, &st) < 0 || !S_ISDIR(st.st_mode) || is_lived_in(p, model->path))
        return;
    DIR *stream = opendir(model->path);
    AUTO_BUF struct buf along = {0};
    size_t others = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        AUTO_FREE char *path = file_join(model->path, entry->d_name);
        bool note = text_ends_with(entry->d_name, ".tare");
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_planned(p, path))
            continue;
        bool goes = entry->d_type == DT_REG && name_is_companion(entry->d_name);
        if (goes) {
            add_path(p, model->root, path);
            buf_printf(&along, "%s%s", along.len ? ", " : "", entry->d_name);
        }
        others += !goes && !note;
    }
    if (stream)
        closedir(stream);
    if (along.len) {
        AUTO_FREE char *note = mem_printf("%s: %s go%s, too", model->path, along.data,
                                          strchr(along.data, ',') ? "" : "es");
        path_list_add(&p->plan->notes, note);
    }
    if (others) {
        AUTO_FREE char *note =
            mem_printf("%s: %zu other file%s or folder%s stay%s", model->path, others,
                       others == 1 ? "" : "s", others == 1 ? "" : "s", others == 1 ? "s" : "");
        path_list_add(&p->plan->notes, note);
    } else if (strcmp(model->path, model->root) != 0) {
        add_path(p, model->root, model->path);
    }
}

/* The files of a model that no model names which stays. */
static void plan_files(struct planner *p)
{
    const struct lib_model *model = model_of(p, (size_t)p->at);
    for (size_t i = 0; i < model->file_count; i++) {
        const struct lib_file *file = &p->library->files[model->files[i]];
        bool there = file->state == FILE_PLAIN || file->state == FILE_KEPT;
        bool named = false;
        for (size_t m = 0; m < p->library->model_count && !named; m++)
            for (size_t f = 0; f < p->library->models[m].file_count && !is_chosen(p, (int)m); f++)
                named |= p->library->models[m].files[f] == model->files[i];
        if (there && !named)
            add_path(p, model->root, file->path);
    }
    if (!is_hub(model))
        plan_folder(p, model);
}

static bool names_model(const struct manifest *m, const struct lib_model *model)
{
    for (size_t v = 0; v < m->view_count; v++)
        if (strcmp(m->views[v].id, model->id) == 0)
            return true;
    return false;
}

/* Whether a view of the manifest is of a model that stays. */
static bool names_others(const struct planner *p, const struct manifest *m)
{
    for (size_t v = 0; v < m->view_count; v++) {
        bool chosen = false;
        for (size_t i = 0; i < p->plan->model_count; i++)
            chosen |=
                !p->plan->models[i].refused && strcmp(model_of(p, i)->id, m->views[v].id) == 0;
        if (!chosen)
            return true;
    }
    return false;
}

static void plan_manifest(struct planner *p, const char *store, const struct manifest *m,
                          bool absent)
{
    for (size_t i = 0; i < p->plan->model_count; i++) {
        if (p->plan->models[i].refused || !names_model(m, model_of(p, i)))
            continue;
        *ARRAY_ADD(p->plan->stored, p->plan->stored_count, p->plan->stored_cap) =
            (struct delete_stored){mem_strdup(store), mem_strdup(m->fid), names_others(p, m),
                                   absent, (int)i};
        return;
    }
}

/* Of the content ids that go: that more than one has it, or a held file. */
#define GOING_SEVERAL UINT64_MAX

/* The contents of what goes. owner: its place among the stored ones of the plan. */
static void add_going(struct map *going, const struct manifest *m, uint64_t owner)
{
    uint64_t other;
    for (size_t i = 0; i < m->range_count; i++) {
        const struct hash128 *id = &m->ranges[i].id;
        bool several = map_get(going, id, &other) && other != owner;
        map_put(going, id, several ? GOING_SEVERAL : owner);
    }
}

/* What goes from this store, by content id: which manifest has it. */
static void find_going(const struct planner *p, struct store *store, struct map *going)
{
    for (size_t s = 0; s < p->plan->stored_count; s++) {
        const struct manifest *m = store_find(store, p->plan->stored[s].fid);
        if (m)
            add_going(going, m, (uint64_t)s);
    }
    for (size_t h = 0; h < store_held_count(store); h++)
        if (is_planned(p, store_held(store, h)->path))
            add_going(going, store_held(store, h), GOING_SEVERAL);
}

/* Whether a range is a delta against what goes with another file than the manifest's own. */
static bool depends(const struct planner *p, const struct manifest *m, const struct map *going)
{
    uint64_t owner;
    for (size_t i = 0; i < m->range_count; i++)
        for (size_t k = 0; k < m->ranges[i].base_count; k++)
            if (map_get(going, &m->ranges[i].bases[k], &owner) &&
                (owner == GOING_SEVERAL || strcmp(p->plan->stored[owner].fid, m->fid) != 0))
                return true;
    return false;
}

/* What stays in the store, or held, for models that are stored as differences from these. */
static void note_dependants(struct planner *p, struct store *store)
{
    struct map going = {0};
    find_going(p, store, &going);
    for (size_t i = 0; i < store_manifest_count(store); i++) {
        const struct manifest *m = store_manifest(store, i);
        if (!depends(p, m, &going) || !names_others(p, m))
            continue;
        AUTO_FREE char *note =
            mem_printf("%s is stored as a difference from it: what that needs stays in the store",
                       m->view_count ? m->views[0].name : m->path);
        path_list_add(&p->plan->notes, note);
    }
    map_release(&going);
}

static int plan_store(struct planner *p, const char *path, struct err *err)
{
    struct store *store;
    struct gc_report before, after;
    size_t first = p->plan->stored_count, count = 0;
    int r = store_open(path, STORE_READ, NULL, NULL, &store, NULL, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < store_manifest_count(store); i++)
        plan_manifest(p, path, store_manifest(store, i), false);
    for (size_t i = 0; i < store_absent_count(store); i++)
        plan_manifest(p, path, &store_absent(store, i)->brief, true);
    AUTO_FREE const char **fids = mem_alloc((p->plan->stored_count + 1) * sizeof *fids);
    for (size_t i = first; i < p->plan->stored_count; i++)
        if (!p->plan->stored[i].shared)
            fids[count++] = p->plan->stored[i].fid;
    if (count && store_weigh(store, NULL, 0, &before, NULL) == 0 &&
        store_weigh(store, fids, count, &after, NULL) == 0)
        p->plan->frees += after.bytes - before.bytes;
    note_dependants(p, store);
    store_close(store);
    return 0;
}

/* Blocks of the inodes of which every name goes. */
static void weigh_paths(struct planner *p)
{
    for (size_t i = 0; i < p->plan->path_count; i++) {
        struct stat st, other;
        nlink_t names = 0;
        bool first = true;
        if (lstat(p->plan->paths[i].path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        for (size_t k = 0; k < p->plan->path_count && st.st_nlink > 1; k++) {
            if (lstat(p->plan->paths[k].path, &other) < 0 || other.st_dev != st.st_dev ||
                other.st_ino != st.st_ino)
                continue;
            names++;
            first &= k >= i;
        }
        if (st.st_nlink == 1 || (first && names == st.st_nlink))
            p->plan->frees += (uint64_t)st.st_blocks * 512;
    }
}

/* Models that name one of these as their base, and stay. */
static void note_children(struct planner *p)
{
    for (size_t i = 0; i < p->library->model_count; i++) {
        const struct lib_model *child = &p->library->models[i];
        if (child->base == NO_MODEL || is_chosen(p, (int)i) || !is_chosen(p, child->base))
            continue;
        AUTO_FREE char *note = mem_printf("%s names %s as its base", child->name,
                                          p->library->models[child->base].name);
        path_list_add(&p->plan->notes, note);
    }
}

int ops_delete_plan(struct ops *ops, const struct library *library, const int *models, size_t count,
                    bool live, struct delete_plan **ret, struct err *err)
{
    struct planner p = {.ops = ops, .library = library, .plan = mem_zalloc(sizeof *p.plan)};
    struct path_list stores = {0};
    int r = 0;
    p.plan->live = live;
    for (size_t i = 0; i < count; i++)
        if (!is_chosen(&p, models[i]))
            *ARRAY_ADD(p.plan->models, p.plan->model_count, p.plan->model_cap) =
                (struct delete_model){.model = models[i]};
    for (p.at = 0; p.at < (int)p.plan->model_count; p.at++)
        check_files(&p);
    /* Refusing one member of a revision refuses the others: until nothing changes. */
    for (size_t round = 0; round < p.plan->model_count; round++)
        for (p.at = 0; p.at < (int)p.plan->model_count; p.at++)
            if (!p.plan->models[p.at].refused)
                check_revision(&p);
    for (p.at = 0; p.at < (int)p.plan->model_count && r == 0; p.at++) {
        const struct lib_model *model = model_of(&p, (size_t)p.at);
        if (p.plan->models[p.at].refused)
            continue;
        if (is_hub(model) && *model->revision)
            r = plan_repo(&p, err);
        else
            plan_files(&p);
    }
    ops_stores(ops, &stores);
    for (size_t i = 0; i < stores.count && r == 0; i++)
        r = plan_store(&p, stores.paths[i], err);
    path_list_release(&stores);
    if (r < 0) {
        delete_plan_free(p.plan);
        return r;
    }
    weigh_paths(&p);
    note_children(&p);
    *ret = p.plan;
    return 0;
}

static void add_model_line(const struct library *library, const struct delete_model *m, int width,
                           struct buf *out)
{
    const struct lib_model *model = &library->models[m->model];
    AUTO_FREE char *name = text_safe(model->name),
                   *reason = text_safe(m->refused ? m->refused : "");
    AUTO_BUF struct buf fitted = {0};
    char size[16];
    text_size(size, model->size);
    text_fit(&fitted, name, width);
    if (m->refused)
        buf_printf(out, "  stays: %s  (%s)\n", name, reason);
    else
        buf_printf(out, "  %s %3zu file%s %7s%s\n", fitted.data, m->files,
                   m->files == 1 ? " " : "s", size,
                   model->state == MODEL_PLAIN ? "" : "  (stored)");
}

void delete_plan_text(const struct library *library, const struct delete_plan *plan,
                      struct buf *out)
{
    size_t going = 0;
    int width = 8;
    char size[16];
    for (size_t i = 0; i < plan->model_count; i++) {
        AUTO_FREE char *name = text_safe(library->models[plan->models[i].model].name);
        going += !plan->models[i].refused;
        width = MAX(width, MIN(text_width(name), 34));
    }
    buf_printf(out, "Delete %zu model%s for good\n", going, going == 1 ? "" : "s");
    text_size(size, plan->frees);
    if (going)
        buf_printf(out, "  frees %s; nothing of it can be brought back\n", size);
    for (size_t i = 0; i < plan->notes.count; i++) {
        AUTO_FREE char *note = text_safe(plan->notes.paths[i]);
        buf_printf(out, "  note: %s\n", note);
    }
    for (int refused = 1; refused >= 0; refused--)
        for (size_t i = 0; i < plan->model_count; i++)
            if (!!plan->models[i].refused == refused)
                add_model_line(library, &plan->models[i], width, out);
}

/* ---- carrying it out ---- */

struct run {
    struct ops *ops;
    const struct library *library;
    const struct delete_plan *plan;
    struct progress *progress;
    struct done_report *report;
    struct path_list store_paths;
    struct store **stores; /* one for each path, open for writing */
    int first;             /* what went wrong first */
    struct err *err;
};

static struct done_model *done_at(const struct run *run, int at)
{
    const struct lib_model *model = &run->library->models[run->plan->models[at].model];
    return done_of(run->report, model->id, model->name);
}

static void failed(struct run *run, int at, const char *path, const struct err *why)
{
    done_fail(done_at(run, at), path, why);
    if (run->first == 0) {
        run->first = why->code;
        if (run->err)
            *run->err = *why;
    }
}

/* The folder that a path lies in, opened beneath its root without following links. */
static int open_folder(const struct delete_path *p, struct err *err)
{
    AUTO_FREE char *folder = file_dir(p->path);
    size_t n = strlen(p->root);
    AUTO_FD int root = file_open_dir(AT_FDCWD, p->root, err);
    if (root < 0)
        return root;
    if (strncmp(p->path, p->root, n) != 0 || p->path[n] != '/')
        return err_set(err, ERR_REFUSED, "%s: does not lie in %s", p->path, p->root);
    if (strlen(folder) <= n)
        return TAKE_FD(root);
    const char *rel = folder + n + strspn(folder + n, "/");
    return file_open_beneath(root, rel, O_RDONLY | O_DIRECTORY, false, err);
}

/* Removes one name. What is gone already is no error. */
static int remove_path(const struct delete_path *p, uint64_t *freed, struct err *err)
{
    struct stat st;
    struct err why = {0};
    AUTO_FD int dir = open_folder(p, &why);
    const char *name = file_base(p->path);
    if (dir == ERR_NOTFOUND)
        return 0;
    if (dir < 0)
        return err_set(err, dir, "%s", why.text);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, "%s", p->path);
    if (unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        return err_sys(err, "%s", p->path);
    if (S_ISREG(st.st_mode) && st.st_nlink == 1)
        *freed += (uint64_t)st.st_blocks * 512;
    return file_sync_dir(dir, err);
}

/* Nothing goes while any of it is in use, or lies where nothing can be removed. */
static int check_use(struct run *run, struct err *err)
{
    for (size_t i = 0; i < run->plan->path_count; i++) {
        const struct delete_path *p = &run->plan->paths[i];
        struct stat st;
        AUTO_FREE char *folder = file_dir(p->path);
        AUTO_FD int fd = file_open_regular(AT_FDCWD, p->path, &st, NULL);
        struct err why = {0};
        if (fd >= 0 && guard_unused(fd, &st, NULL, &why) < 0)
            return err_set(err, ERR_BUSY, "%s: %.400s", p->path, why.text);
        if (access(folder, F_OK) == 0 && access(folder, W_OK | X_OK) < 0)
            return err_sys(err, "%s", folder);
    }
    return 0;
}

static int open_stores(struct run *run, struct err *err)
{
    for (size_t i = 0; i < run->plan->stored_count; i++)
        path_list_add(&run->store_paths, run->plan->stored[i].store);
    run->stores = mem_zalloc((run->store_paths.count + 1) * sizeof *run->stores);
    int r = 0;
    for (size_t i = 0; i < run->store_paths.count && r == 0; i++)
        r = ops_open_store(run->ops, run->store_paths.paths[i], "delete", run->progress,
                           &run->stores[i], &run->report->notes, err);
    return r;
}

static void close_stores(struct run *run)
{
    for (size_t i = 0; i < run->store_paths.count; i++)
        store_close(run->stores[i]);
    free(run->stores);
    path_list_release(&run->store_paths);
}

/* Whether two plans remove the same. */
static bool same_plan(const struct delete_plan *a, const struct delete_plan *b)
{
    bool same = a->model_count == b->model_count && a->path_count == b->path_count &&
                a->stored_count == b->stored_count;
    for (size_t i = 0; i < a->model_count && same; i++)
        same = !a->models[i].refused == !b->models[i].refused;
    for (size_t i = 0; i < a->path_count && same; i++)
        same = strcmp(a->paths[i].path, b->paths[i].path) == 0;
    for (size_t i = 0; i < a->stored_count && same; i++)
        same = strcmp(a->stored[i].fid, b->stored[i].fid) == 0 &&
               a->stored[i].shared == b->stored[i].shared;
    return same;
}

/* What was shown to the user must still be what would be done. */
static int check_plan(struct run *run, struct err *err)
{
    struct library *now;
    struct delete_plan *plan;
    AUTO_FREE int *models = mem_alloc((run->plan->model_count + 1) * sizeof *models);
    ops_refresh(run->ops);
    int r = ops_library(run->ops, &now, err);
    if (r < 0)
        return r;
    bool same = true;
    for (size_t i = 0; i < run->plan->model_count && same; i++)
        same = (models[i] = library_find_id(
                    now, run->library->models[run->plan->models[i].model].id)) != NO_MODEL;
    if (same)
        r = ops_delete_plan(run->ops, now, models, run->plan->model_count, run->plan->live, &plan,
                            err);
    if (same && r == 0) {
        same = same_plan(run->plan, plan);
        delete_plan_free(plan);
    }
    library_unref(now);
    return r < 0 || same ? r
                         : err_set(err, ERR_CHANGED,
                                   "something changed since the plan was made: nothing is deleted; "
                                   "look at it again");
}

/* A stored file that other models name: only the views and links of those that go, go. */
static int drop_views(struct store *store, const struct run *run, const struct manifest *m,
                      struct err *err)
{
    struct manifest copy = *m;
    AUTO_FREE struct manifest_view *views = mem_alloc((m->view_count + 1) * sizeof *views);
    AUTO_FREE struct manifest_link *links = mem_alloc((m->link_count + 1) * sizeof *links);
    copy.views = views;
    copy.links = links;
    copy.view_count = copy.link_count = 0;
    for (size_t v = 0; v < m->view_count; v++) {
        bool goes = false;
        for (size_t i = 0; i < run->plan->model_count; i++)
            goes |=
                !run->plan->models[i].refused &&
                strcmp(run->library->models[run->plan->models[i].model].id, m->views[v].id) == 0;
        if (!goes)
            views[copy.view_count++] = m->views[v];
    }
    for (size_t l = 0; l < m->link_count; l++) {
        bool goes = false;
        for (size_t v = 0; v < m->view_count; v++) {
            bool stays = false;
            size_t n = strlen(m->views[v].path);
            for (size_t k = 0; k < copy.view_count; k++)
                stays |= strcmp(copy.views[k].path, m->views[v].path) == 0;
            goes |= !stays && strncmp(m->links[l].path, m->views[v].path, n) == 0 &&
                    m->links[l].path[n] == '/';
        }
        if (!goes)
            links[copy.link_count++] = m->links[l];
    }
    return store_put_manifest(store, &copy, err);
}

static int drop_one(struct store *store, const struct run *run, const struct delete_stored *s,
                    struct err *err)
{
    const struct manifest *m = store_find(store, s->fid);
    if (s->absent && !m)
        return s->shared ? 0 : store_drop_absent(store, s->fid, err);
    if (!m)
        return 0; /* gone already */
    if (s->shared)
        return drop_views(store, run, m, err);
    int r = store_remove_note(store, m, err);
    return r < 0 ? r : store_drop_manifest(store, s->fid, err);
}

/* What the stores have of it goes first: a trial's original is the last to go. */
static void drop_stored(struct run *run, size_t at)
{
    struct store *store = run->stores[at];
    struct err why = {0};
    struct gc_report gc = {0};
    int model = 0;
    for (size_t i = 0; i < run->plan->stored_count && run->first == 0; i++) {
        const struct delete_stored *s = &run->plan->stored[i];
        if (strcmp(s->store, run->store_paths.paths[at]) != 0)
            continue;
        model = s->model;
        if (drop_one(store, run, s, &why) < 0)
            failed(run, s->model, s->store, &why);
        else
            done_at(run, s->model)->files += !s->shared;
    }
    int r = store_gc(store, false, &gc, &why);
    if (r == 0)
        done_at(run, model)->freed += (int64_t)gc.bytes;
    else
        buf_printf(&run->report->notes, "the space in the store is not free yet: %s\n", why.text);
    if (at + 1 == run->store_paths.count) /* of all stores together */
        done_log(store, "delete", run->report);
}

static void remove_paths(struct run *run)
{
    for (size_t i = 0; i < run->plan->path_count && run->first == 0; i++) {
        const struct delete_path *p = &run->plan->paths[i];
        struct err why = {0};
        uint64_t freed = 0;
        progress_item(run->progress, (uint32_t)i + 1, (uint32_t)run->plan->path_count);
        if (progress_check(run->progress, &why) < 0 || remove_path(p, &freed, &why) < 0)
            failed(run, p->model, p->path, &why);
        done_at(run, p->model)->freed += (int64_t)freed;
        done_at(run, p->model)->files += freed > 0;
    }
}

int ops_delete(struct ops *ops, const struct library *library, const struct delete_plan *plan,
               struct progress *progress, struct done_report *ret, struct err *err)
{
    struct run run = {.ops = ops,
                      .library = library,
                      .plan = plan,
                      .progress = progress,
                      .report = ret,
                      .err = err};
    *ret = (struct done_report){0};
    int r = ops_may_write(ops, err);
    if (r == 0)
        r = open_stores(&run, err);
    if (r == 0)
        r = check_plan(&run, err);
    if (r == 0)
        r = check_use(&run, err);
    if (r < 0) {
        close_stores(&run);
        return r;
    }
    progress_phase(progress, "deleting");
    for (size_t i = 0; i < plan->model_count; i++) {
        const struct delete_model *m = &plan->models[i];
        struct err why = {.code = ERR_REFUSED};
        done_at(&run, (int)i)->size = m->refused ? 0 : library->models[m->model].size;
        if (!m->refused)
            continue;
        snprintf(why.text, sizeof why.text, "%s", m->refused);
        done_fail(done_at(&run, (int)i), library->models[m->model].path, &why);
        r = r ? r
              : err_set(err, ERR_REFUSED, "%s: %.400s", library->models[m->model].name, m->refused);
    }
    for (size_t i = 0; i < run.store_paths.count; i++)
        drop_stored(&run, i);
    remove_paths(&run);
    close_stores(&run);
    for (size_t i = 0; i < ret->count; i++)
        ret->models[i].state = !ret->models[i].error  ? "gone"
                               : ret->models[i].files ? "partial"
                                                      : "plain";
    return run.first ? run.first : r;
}
