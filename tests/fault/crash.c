/* SPDX-License-Identifier: MIT */
/*
 * Crash states: the changes that the real program makes are recorded (tests/fault/interpose.c),
 * and for each moment between two of them the disks are built that a power cut could leave: what
 * was not synced is gone, names and bytes apart, or some of it at random. On each of them the
 * program recovers and gives everything back: the collection must look as it did before.
 *
 *   crash [SCENARIO…]        all states, and proof that without syncs the test would fail
 *   crash needed [SCENARIO…] also leaves out each sync in turn, and tells which of them are needed
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "tests/unit/helpers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct scenario {
    const char *name, *prepare[4], *run;
    bool keeps; /* originals stay: nothing can be lost, with or without syncs */
};

static const struct scenario scenarios[] = {
    {"compress",
     {"scan @hub @plain", NULL},
     "compress acme/ft1 mine/model.safetensors --yes",
     false},
    {"keep", {"scan @hub @plain", NULL}, "compress acme/ft2 --keep --yes", true},
    {"base",
     {"scan @hub @plain", "compress acme/ft1 mine/model.safetensors --yes", NULL},
     "compress acme/base --yes",
     false},
    {"back",
     {"scan @hub @plain", "compress --all --yes", NULL},
     "decompress acme/ft1 mine/model.safetensors --yes",
     false},
};

/* The part of a file that its inode holds. */
struct body {
    struct buf data;
    mode_t mode;
    struct timespec mtime;
};

/* A file, link or folder: as the program sees it, and as the disk has it. */
struct node {
    unsigned long long inode;
    char kind; /* 'f', 'l', 'd' */
    struct body now, disk;
    char *target;
};

/* A name. node -1: not there. */
struct name {
    char *path; /* below the world, with a slash in front */
    int now, disk;
};

struct disk {
    struct node *nodes;
    size_t node_count, node_cap;
    struct name *names;
    size_t name_count, name_cap;
};

struct test {
    const struct scenario *scenario;
    struct world world;
    char *before; /* the picture */
    struct buf trace;
    struct disk start;
    struct map seen; /* hashes of states that were tried */
    int left_out;    /* the sync that does not count, -1: all count, -2: none does */
    unsigned states, failures;
    bool quiet;
};

/* ---- the model of a disk ---- */

static int find_name(const struct disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->name_count; i++)
        if (strcmp(disk->names[i].path, path) == 0)
            return (int)i;
    return -1;
}

static struct name *name_of(struct disk *disk, const char *path)
{
    int at = find_name(disk, path);
    if (at >= 0)
        return &disk->names[at];
    struct name *name = ARRAY_ADD(disk->names, disk->name_count, disk->name_cap);
    *name = (struct name){mem_strdup(path), -1, -1};
    return name;
}

static int add_node(struct disk *disk, char kind, unsigned long long inode)
{
    struct node *node = ARRAY_ADD(disk->nodes, disk->node_count, disk->node_cap);
    node->kind = kind;
    node->inode = inode;
    node->now.mode = node->disk.mode = 0600;
    return (int)disk->node_count - 1;
}

/* The file of this inode number that was made last: numbers are used again. */
static struct node *node_of(struct disk *disk, unsigned long long inode)
{
    for (size_t i = disk->node_count; i-- > 0;)
        if (disk->nodes[i].inode == inode && disk->nodes[i].kind == 'f')
            return &disk->nodes[i];
    return NULL;
}

static void copy_body(struct body *to, const struct body *from)
{
    struct buf data = {0};
    buf_add(&data, from->data.data, from->data.len);
    buf_release(&to->data);
    *to = *from;
    to->data = data;
}

static void release(struct disk *disk)
{
    for (size_t i = 0; i < disk->node_count; i++) {
        buf_release(&disk->nodes[i].now.data);
        buf_release(&disk->nodes[i].disk.data);
        free(disk->nodes[i].target);
    }
    for (size_t i = 0; i < disk->name_count; i++)
        free(disk->names[i].path);
    free(disk->nodes);
    free(disk->names);
    *disk = (struct disk){0};
}

static void copy_disk(struct disk *to, const struct disk *from)
{
    *to = (struct disk){0};
    for (size_t i = 0; i < from->node_count; i++) {
        const struct node *node = &from->nodes[i];
        struct node *copy = &to->nodes[add_node(to, node->kind, node->inode)];
        copy = &to->nodes[i];
        copy_body(&copy->now, &node->now);
        copy_body(&copy->disk, &node->disk);
        copy->target = node->target ? mem_strdup(node->target) : NULL;
    }
    for (size_t i = 0; i < from->name_count; i++) {
        struct name *name = ARRAY_ADD(to->names, to->name_count, to->name_cap);
        *name = from->names[i];
        name->path = mem_strdup(from->names[i].path);
    }
}

/* The catalog and what the test itself writes are no part of it. */
static bool is_left_out(const char *path)
{
    return strncmp(path, "/catalog.db", 11) == 0 || strncmp(path, "/home", 5) == 0 ||
           strcmp(path, "/out") == 0;
}

/* Everything that lies below the world now, durable. */
static void take_in(struct disk *disk, const char *root, const char *rel)
{
    AUTO_FREE char *path = mem_printf("%s%s", root, rel);
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        struct stat st;
        AUTO_FREE char *below = mem_printf("%s/%s", rel, entry->d_name);
        AUTO_FREE char *full = mem_printf("%s%s", root, below);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_left_out(below) || lstat(full, &st) < 0)
            continue;
        char kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
        struct node *known = kind == 'f' ? node_of(disk, st.st_ino) : NULL;
        int at = known ? (int)(known - disk->nodes) : add_node(disk, kind, st.st_ino);
        struct node *node = &disk->nodes[at];
        node->now.mode = st.st_mode & 07777;
        node->now.mtime = st.st_mtim;
        if (kind == 'l') {
            char target[4096];
            ssize_t n = readlink(full, target, sizeof target - 1);
            node->target = mem_strndup(target, (size_t)MAX(n, 0));
        } else if (kind == 'f' && !known) {
            node->now.data = test_read("", full);
        }
        copy_body(&node->disk, &node->now);
        struct name *name = name_of(disk, below);
        name->now = name->disk = at;
        if (kind == 'd')
            take_in(disk, root, below);
    }
    if (stream)
        closedir(stream);
}

static void change_length(struct body *body, size_t n)
{
    static const char zeros[4096];
    while (body->data.len < n)
        buf_add(&body->data, zeros, MIN(sizeof zeros, n - body->data.len));
    body->data.len = n;
}

static bool is_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* One line of the trace. Returns where the next one begins; *ret_sync: it was a sync. */
static const char *apply(struct disk *disk, const char *line, bool counts, bool *ret_sync)
{
    const char *next = strchr(line, '\n') + 1;
    unsigned long long inode;
    long long seconds, at;
    long nanoseconds;
    unsigned mode;
    size_t n;
    char a[4096] = "", b[4096] = "";
    *ret_sync = false;
    if (sscanf(line, "create %llu %4095[^\n]", &inode, a) == 2) {
        int node = add_node(disk, 'f', inode);
        name_of(disk, a)->now = node;
    } else if (sscanf(line, "write %llu %lld %zu", &inode, &at, &n) == 3) {
        struct node *node = node_of(disk, inode);
        if (node && (size_t)at + n > node->now.data.len)
            change_length(&node->now, (size_t)at + n);
        if (node && n)
            memcpy(node->now.data.data + at, next, n);
        next += n + 1;
    } else if (sscanf(line, "truncate %llu %lld", &inode, &at) == 2) {
        struct node *node = node_of(disk, inode);
        if (node)
            change_length(&node->now, (size_t)at);
    } else if (sscanf(line, "mode %llu %o", &inode, &mode) == 2) {
        struct node *node = node_of(disk, inode);
        if (node)
            node->now.mode = mode;
    } else if (sscanf(line, "mtime %llu %lld.%9ld", &inode, &seconds, &nanoseconds) == 3) {
        struct node *node = node_of(disk, inode);
        if (node)
            node->now.mtime = (struct timespec){seconds, nanoseconds};
    } else if (sscanf(line, "linktime %lld.%9ld %4095[^\n]", &seconds, &nanoseconds, a) == 3) {
        int node = name_of(disk, a)->now;
        if (node >= 0)
            disk->nodes[node].now.mtime = (struct timespec){seconds, nanoseconds};
    } else if (sscanf(line, "sync %llu", &inode) == 1) {
        struct node *node = node_of(disk, inode);
        if (node && counts)
            copy_body(&node->disk, &node->now);
        *ret_sync = node != NULL;
    } else if (strncmp(line, "syncdir", 7) == 0) {
        sscanf(line, "syncdir%*1[ ]%4095[^\n]", a); /* nothing behind it: the world itself */
        for (size_t i = 0; i < disk->name_count && counts; i++)
            if (is_in(disk->names[i].path, a))
                disk->names[i].disk = disk->names[i].now;
        *ret_sync = true;
    } else if (sscanf(line, "rename %4095s %4095[^\n]", a, b) == 2) {
        int node = name_of(disk, a)->now;
        name_of(disk, a)->now = -1;
        name_of(disk, b)->now = node;
    } else if (sscanf(line, "link %4095s %4095[^\n]", a, b) == 2) {
        int node = name_of(disk, a)->now;
        name_of(disk, b)->now = node;
    } else if (sscanf(line, "symlink %4095s %4095[^\n]", a, b) == 2) {
        int node = add_node(disk, 'l', 0);
        disk->nodes[node].target = mem_strdup(a);
        name_of(disk, b)->now = node;
    } else if (sscanf(line, "mkdir %4095[^\n]", a) == 1) {
        int node = add_node(disk, 'd', 0);
        name_of(disk, a)->now = node;
    } else if (sscanf(line, "unlink %4095[^\n]", a) == 1 ||
               sscanf(line, "rmdir %4095[^\n]", a) == 1) {
        name_of(disk, a)->now = -1;
    } else {
        fail_msg("a line of the trace that is not understood: %.60s", line);
    }
    return next;
}

/* ---- states ---- */

/* What of the unsynced survived. Names that are links or folders bring their inode along. */
enum survival { NOTHING, NAMES, BYTES, RANDOM_ONE, RANDOM_TWO, SURVIVALS };

static bool survives(enum survival survival, bool name, uint32_t *random)
{
    switch (survival) {
    case NAMES:
        return name;
    case BYTES:
        return !name;
    case RANDOM_ONE:
    case RANDOM_TWO:
        return test_random(random) & 1;
    default:
        return false;
    }
}

/* A state: which node each name has, and which body each node. */
struct state {
    int *names;  /* one for each name, -1: not there */
    bool *fresh; /* one for each node: its unsynced body */
};

static int by_path(const void *a, const void *b, void *context)
{
    const struct disk *disk = context;
    return strcmp(disk->names[*(const int *)a].path, disk->names[*(const int *)b].path);
}

/* Names in the order of paths, so that folders come before what is in them: free it. */
static int *in_order(const struct disk *disk)
{
    int *order = mem_alloc((disk->name_count + 1) * sizeof *order);
    for (size_t i = 0; i < disk->name_count; i++)
        order[i] = (int)i;
    qsort_r(order, disk->name_count, sizeof *order, by_path, (void *)disk);
    return order;
}

static bool has_parent(const struct disk *disk, const struct state *state, const char *path)
{
    AUTO_FREE char *parent = file_dir(path);
    int at = find_name(disk, parent);
    return strcmp(parent, "/") == 0 || (at >= 0 && state->names[at] >= 0);
}

static void choose(const struct disk *disk, const int *order, enum survival survival, uint32_t seed,
                   struct state *state)
{
    for (size_t i = 0; i < disk->node_count; i++)
        state->fresh[i] = disk->nodes[i].kind != 'f' || survives(survival, false, &seed);
    for (size_t i = 0; i < disk->name_count; i++) {
        const struct name *name = &disk->names[order[i]];
        bool fresh = name->now != name->disk && survives(survival, true, &seed);
        int node = fresh ? name->now : name->disk;
        state->names[order[i]] = node >= 0 && has_parent(disk, state, name->path) ? node : -1;
    }
}

static struct hash128 hash_state(const struct disk *disk, const int *order,
                                 const struct state *state)
{
    struct hasher *hasher = hasher_new(0);
    for (size_t i = 0; i < disk->name_count; i++) {
        int node = state->names[order[i]];
        if (node < 0)
            continue;
        const struct node *n = &disk->nodes[node];
        const struct body *body = state->fresh[node] ? &n->now : &n->disk;
        const char *path = disk->names[order[i]].path;
        hasher_update(hasher, path, strlen(path) + 1);
        hasher_update(hasher, &node, sizeof node);
        hasher_update(hasher, body->data.data, body->data.len);
        hasher_update(hasher, &body->mtime, sizeof body->mtime);
        hasher_update(hasher, &body->mode, sizeof body->mode);
    }
    struct hash128 hash = hasher_digest(hasher);
    hasher_free(hasher);
    return hash;
}

static void build_name(const struct test *test, const struct disk *disk, const struct state *state,
                       const char *path, int at, char **first)
{
    const struct node *node = &disk->nodes[at];
    const struct body *body = state->fresh[at] ? &node->now : &node->disk;
    AUTO_FREE char *full = mem_printf("%s%s", test->world.dir, path);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, body->mtime};
    if (node->kind == 'd') {
        assert_int_equal(mkdir(full, 0700), 0);
    } else if (node->kind == 'l') {
        assert_int_equal(symlink(node->target, full), 0);
        (void)utimensat(AT_FDCWD, full, times, AT_SYMLINK_NOFOLLOW);
    } else if (first[at]) {
        assert_int_equal(link(first[at], full), 0);
    } else {
        test_write("", full, body->data.data ? body->data.data : "", body->data.len);
        assert_int_equal(chmod(full, body->mode), 0);
        assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
        first[at] = mem_strdup(full);
    }
}

static void build(const struct test *test, const struct disk *disk, const int *order,
                  const struct state *state)
{
    AUTO_FREE char **first = mem_zalloc((disk->node_count + 1) * sizeof *first);
    world_remove(test->world.dir);
    assert_int_equal(mkdir(test->world.dir, 0755), 0);
    assert_int_equal(mkdir(test->world.home, 0700), 0);
    for (size_t i = 0; i < disk->name_count; i++)
        if (state->names[order[i]] >= 0)
            build_name(test, disk, state, disk->names[order[i]].path, state->names[order[i]],
                       first);
    for (size_t i = 0; i < disk->node_count; i++)
        free(first[i]);
}

static bool recovers(struct test *test, size_t step, enum survival survival)
{
    bool back = world_tare(&test->world, "decompress --all --yes");
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    (void)world_tare(&test->world, "gc"); /* what is given back stays back */
    AUTO_FREE char *now = world_picture(&test->world);
    if (strcmp(test->before, now) == 0)
        return true;
    if (test->quiet)
        return false;
    fprintf(stderr, "FAILED: %s, after change %zu, survival %d; giving back %s\n%.*s",
            test->scenario->name, step, survival, back ? "worked" : "failed", (int)out.len,
            out.data);
    AUTO_FREE char *a = mem_printf("%s.before", test->world.dir);
    AUTO_FREE char *b = mem_printf("%s.now", test->world.dir);
    test_write_text("", a, test->before);
    test_write_text("", b, now);
    AUTO_FREE char *diff = mem_printf("diff %s %s >&2", a, b);
    (void)!system(diff);
    return false;
}

/* The states of one moment. */
static void try_states(struct test *test, const struct disk *disk, size_t step)
{
    AUTO_FREE int *order = in_order(disk);
    AUTO_FREE int *names = mem_alloc((disk->name_count + 1) * sizeof *names);
    AUTO_FREE bool *fresh = mem_alloc(disk->node_count + 1);
    struct state state = {names, fresh};
    for (int survival = 0; survival < SURVIVALS; survival++) {
        choose(disk, order, (enum survival)survival, (uint32_t)(step * 31 + (size_t)survival),
               &state);
        struct hash128 hash = hash_state(disk, order, &state);
        if (map_has(&test->seen, &hash))
            continue;
        map_put(&test->seen, &hash, 1);
        test->states++;
        build(test, disk, order, &state);
        test->failures += !recovers(test, step, (enum survival)survival);
        if (test->failures > (test->quiet ? 0 : 5))
            return;
    }
}

/* All moments; returns how many syncs there are. */
static size_t replay(struct test *test)
{
    struct disk disk;
    size_t syncs = 0, step = 0;
    copy_disk(&disk, &test->start);
    for (const char *line = test->trace.data; line < test->trace.data + test->trace.len;) {
        bool sync;
        bool counts =
            test->left_out == -1 || (test->left_out >= 0 && (size_t)test->left_out != syncs);
        line = apply(&disk, line, counts, &sync);
        syncs += sync;
        step++;
        if (test->failures <= (test->quiet ? 0 : 5))
            try_states(test, &disk, step);
    }
    release(&disk);
    return syncs;
}

/* The trace without what concerns the catalog. */
static void keep_relevant(struct buf *trace)
{
    struct buf kept = {0};
    unsigned long long ignored[4096], inode;
    size_t count = 0;
    for (const char *line = trace->data; line < trace->data + trace->len;) {
        const char *next = strchr(line, '\n') + 1;
        char a[4096] = "", word[16];
        size_t n = 0;
        long long at;
        bool drop = false;
        if (sscanf(line, "write %llu %lld %zu", &inode, &at, &n) == 3)
            next += n + 1;
        if (sscanf(line, "create %llu %4095[^\n]", &inode, a) == 2) {
            drop = is_left_out(a);
            for (size_t i = 0; i < count && !drop; i++)
                if (ignored[i] == inode)
                    ignored[i] = 0; /* the number is used again */
            if (drop && count < COUNT_OF(ignored))
                ignored[count++] = inode;
        } else if (sscanf(line, "%15s %llu", word, &inode) == 2) {
            for (size_t i = 0; i < count; i++)
                drop |= ignored[i] == inode;
        } else if (sscanf(line, "%15s %4095s", word, a) == 2) {
            drop = is_left_out(a);
        }
        if (!drop)
            buf_add(&kept, line, (size_t)(next - line));
        line = next;
    }
    buf_release(trace);
    *trace = kept;
}

static void expand(const struct world *world, const char *line, struct buf *out)
{
    for (; *line; line++) {
        if (*line == '@')
            buf_printf(out, "%s/", world->dir);
        else
            buf_char(out, *line);
    }
}

static void record(struct test *test)
{
    AUTO_FREE char *trace = mem_printf("%s.trace", test->world.dir);
    AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", getenv("FAULT_LIBRARY"));
    AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", test->world.dir);
    AUTO_FREE char *to = mem_printf("FAULT_RECORD=%s", trace);
    const char *const environment[] = {preload, scope, to, NULL};
    const char *args[12];
    size_t n = 0;
    char *save = NULL;
    AUTO_FREE char *words = mem_strdup(test->scenario->run);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        args[n++] = word;
    args[n] = NULL;
    world_fill(&test->world);
    test->before = world_picture(&test->world);
    for (size_t i = 0; test->scenario->prepare[i]; i++) {
        AUTO_BUF struct buf line = {0};
        expand(&test->world, test->scenario->prepare[i], &line);
        assert_true(world_tare(&test->world, line.data));
    }
    take_in(&test->start, test->world.dir, "");
    /* The catalog's inodes are known before the run, too. */
    assert_int_equal(world_run(&test->world, args, environment).status, 0);
    test->trace = test_read("", trace);
    keep_relevant(&test->trace);
}

static unsigned run_scenario(const struct scenario *scenario, const char *folder, bool needed)
{
    struct test test = {.scenario = scenario, .left_out = -1};
    AUTO_FREE char *dir = mem_printf("%s/%s", folder, scenario->name);
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&test.world, dir);
    record(&test);
    size_t syncs = replay(&test);
    unsigned states = test.states, failures = test.failures;
    /* The test must be able to fail: where no sync counts, something is lost. */
    test.quiet = true;
    test.left_out = -2;
    test.failures = 0;
    (void)replay(&test);
    bool able = test.failures > 0 || scenario->keeps;
    printf("%-9s %5u states between changes, %zu syncs: %u failed%s\n", scenario->name, states,
           syncs, failures,
           able ? "" : "; but without any sync nothing fails: a defect of the test");
    fflush(stdout);
    for (size_t i = 0; needed && i < syncs; i++) {
        test.left_out = (int)i;
        test.failures = 0;
        map_release(&test.seen);
        test.seen = (struct map){0};
        (void)replay(&test);
        printf("  sync %2zu %s\n", i, test.failures ? "is needed" : "is not missed");
        fflush(stdout);
    }
    map_release(&test.seen);
    release(&test.start);
    buf_release(&test.trace);
    free(test.before);
    world_release(&test.world);
    return failures + !able;
}

int main(int argc, char **argv)
{
    bool needed = argc > 1 && strcmp(argv[1], "needed") == 0;
    unsigned failures = 0;
    pid_t pids[COUNT_OF(scenarios)] = {0};
    if (!getenv("FAULT_LIBRARY"))
        return 77;
    char *folder = world_folder();
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        bool wanted = argc - needed < 2;
        for (int a = 1 + needed; a < argc; a++)
            wanted |= strcmp(argv[a], scenarios[i].name) == 0;
        fflush(stdout);
        if (wanted && (pids[i] = fork()) == 0)
            _exit(run_scenario(&scenarios[i], folder, needed) > 0);
    }
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        int status = 0;
        if (pids[i])
            waitpid(pids[i], &status, 0);
        failures += status != 0;
    }
    if (!failures)
        world_remove(folder);
    else
        printf("see %s\n", folder);
    free(folder);
    return failures > 0;
}
