/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive fault injection: the real program runs a scenario once to count its system calls;
 * then again for each call, which fails, or at which the program dies. After each run the store
 * is opened again by an undisturbed program, which finishes the work or takes it back and gives
 * everything back: the collection must look as it did before, and the store must be empty.
 *
 *   faults [all] [SCENARIO…]     all: every fault at every call; else one fault at every call
 *                                that changes something, and at each tenth that reads
 *   faults SCENARIO w:12 eio     one run, and what is left of it stays to be looked at
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "tests/unit/helpers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct scenario {
    const char *name;
    const char *prepare[6]; /* commands before, undisturbed */
    const char *run;        /* the command that is disturbed */
    bool deletes;           /* it removes files of the collection on purpose */
};

static const struct scenario scenarios[] = {
    {"scan", {NULL}, "scan hub plain", false},
    {"compress", {"scan hub plain", NULL}, "compress acme/ft1 mine/model.safetensors --yes", false},
    {"share",
     {"scan hub plain", "compress acme/ft1 --yes", NULL},
     "compress acme/ft2 acme/ft2@v2 --yes",
     false},
    {"keep", {"scan hub plain", NULL}, "compress acme/ft1 --keep --yes", false},
    {"base",
     {"scan hub plain", "compress acme/ft1 mine/model.safetensors --yes", NULL},
     "compress acme/base --yes",
     false},
    {"one-back",
     {"scan hub plain", "compress --all --yes", NULL},
     "decompress acme/ft1 mine/model.safetensors --yes",
     false},
    {"all-back",
     {"scan hub plain", "compress acme/ft1 acme/ft2 mine/model.safetensors --yes", NULL},
     "decompress --all --yes",
     false},
    {"recover",
     {"scan hub plain", "compress acme/ft1 mine/model.safetensors --yes", "!cut", NULL},
     "gc",
     false},
    {"delete",
     {"scan hub plain", "compress acme/ft1 --yes", NULL},
     "delete acme/base acme/ft2 --yes",
     true},
    {"delete-stored",
     {"scan hub plain", "compress acme/ft1 acme/ft2 acme/ft2@v2 mine/model.safetensors --yes",
      NULL},
     "delete acme/ft2 mine/model.safetensors --yes",
     true},
    {"gc", {"scan hub plain", "compress acme/ft1 --yes", "!rubbish", NULL}, "gc", false},
};

/* The faults that a call of each class can meet. */
static const struct {
    const char *class;
    const char *faults[13];
} classes[] = {
    {"open", {"eio", "estale", "eintr", "dead", NULL}},
    {"read", {"eio", "estale", "eintr", "short", NULL}},
    {"stat", {"eio", "estale", NULL}},
    {"create",
     {"die", "enospc", "eio", "edquot", "estale", "eintr", "after", "full", "dead", NULL}},
    {"write",
     {"die", "enospc", "short", "torn", "eio", "edquot", "eintr", "estale", "after", "full", "dead",
      NULL}},
    {"sync", {"die", "eio", "enospc", "edquot", "eintr", "after", "full", "dead", NULL}},
    {"close", {"eio", "die", "enospc", "edquot", "estale", "eintr", "dead", NULL}},
    {"name",
     {"die", "eio", "after", "enospc", "lie", "edquot", "estale", "eintr", "full", "dead", NULL}},
    {"meta", {"die", "eio", "enospc", "edquot", "estale", "eintr", "after", "full", "dead", NULL}},
};

enum { STRIDE = 30 }; /* of the calls that read, where not all are taken */

/* A call of the undisturbed run. */
struct call {
    int class;
    char what;    /* 'w', 'r' */
    size_t at;    /* among those */
    bool telling; /* is tried in any case */
};

struct job {
    const struct scenario *scenario;
    struct world world;
    char *template; /* a copy of the world before the disturbed run */
    char *before;   /* the picture of the collection */
    char *after;    /* for one that deletes: when it ran undisturbed */
    char *library;  /* the interposed library */
    struct call *calls;
    size_t call_count, call_cap;
    size_t changes, looks;
    unsigned runs, failures;
};

static void tare_or_die(const struct job *job, const char *line)
{
    AUTO_BUF struct buf words = {0};
    AUTO_FREE char *copy = mem_strdup(line);
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool folder = strcmp(word, "hub") == 0 || strcmp(word, "plain") == 0;
        buf_printf(&words, "%s%s%s ", folder ? job->world.dir : "", folder ? "/" : "", word);
    }
    if (!world_tare(&job->world, words.data)) {
        AUTO_BUF struct buf out = test_read(job->world.dir, "out");
        fprintf(stderr, "%s\n%.*s", line, (int)out.len, out.data);
        abort();
    }
}

/* Stops a compress, a decompress and the writing of a manifest in the middle. */
static void cut_off(const struct job *job)
{
    AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", job->library);
    AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", job->world.dir);
    static const struct {
        const char *args[5], *at;
    } cuts[] = {{{"compress", "acme/ft2", "--yes", NULL}, "FAULT_AT=w:150"},
                {{"decompress", "mine/model.safetensors", "--yes", NULL}, "FAULT_AT=w:26"}};
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        const char *const environment[] = {preload, scope, "FAULT_KIND=die", cuts[i].at, NULL};
        (void)world_run(&job->world, cuts[i].args, environment);
    }
    test_write_text(job->world.store, "files/.x.json.tmp", "half");
    test_write_text(job->world.store, "tmp/7", "half");
}

static void prepare(struct job *job)
{
    world_fill(&job->world);
    job->before = world_picture(&job->world);
    for (size_t i = 0; job->scenario->prepare[i]; i++) {
        const char *line = job->scenario->prepare[i];
        if (strcmp(line, "!cut") == 0) {
            cut_off(job);
        } else if (strcmp(line, "!rubbish") == 0) {
            test_write_text(job->world.store, "tmp/7", "half");
            tare_or_die(job, "compress acme/ft2 --yes --keep");
            AUTO_FREE char *command = mem_printf(
                "cd %s/files && grep -l '\"kept\"' *.json | xargs rm -f", job->world.store);
            assert_int_equal(system(command), 0);
        } else {
            tare_or_die(job, line);
        }
    }
    world_copy(job->world.dir, job->template);
}

static void reset(const struct job *job)
{
    world_remove(job->world.dir);
    world_copy(job->template, job->world.dir);
}

static struct outcome disturb(const struct job *job, const char *count, const char *at,
                              const char *kind)
{
    AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", job->library);
    AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", job->world.dir);
    AUTO_FREE char *out = mem_printf("FAULT_COUNT=%s", count ? count : "/dev/null");
    AUTO_FREE char *where = mem_printf("FAULT_AT=%s", at ? at : "w:0");
    AUTO_FREE char *what = mem_printf("FAULT_KIND=%s", kind ? kind : "none");
    const char *const environment[] = {preload, scope, where, what, count ? out : NULL, NULL};
    const char *args[12];
    size_t n = 0;
    AUTO_FREE char *copy = mem_strdup(job->scenario->run);
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (strcmp(word, "hub") == 0)
            word = job->world.hub;
        else if (strcmp(word, "plain") == 0)
            word = job->world.plain;
        args[n++] = word;
    }
    args[n] = NULL;
    return world_run(&job->world, args, environment);
}

/* Runs undisturbed, and learns which calls there are. */
static void count_calls(struct job *job)
{
    AUTO_FREE char *path = mem_printf("%s.count", job->world.dir);
    reset(job);
    struct outcome outcome = disturb(job, path, NULL, NULL);
    if (outcome.status != 0) {
        AUTO_BUF struct buf out = test_read(job->world.dir, "out");
        fprintf(stderr, "%s undisturbed: status %d, signal %d\n%.*s", job->scenario->run,
                outcome.status, outcome.signal, (int)out.len, out.data);
        abort();
    }
    if (job->scenario->deletes) {
        (void)world_tare(&job->world, "decompress --all --yes");
        job->after = world_picture(&job->world);
    }
    FILE *stream = fopen(path, "r");
    char class[16], about[512];
    assert_non_null(stream);
    while (fscanf(stream, "%15s %511[^\n]", class, about) == 2) {
        struct call *call = ARRAY_ADD(job->calls, job->call_count, job->call_cap);
        for (size_t i = 0; i < COUNT_OF(classes); i++)
            if (strcmp(classes[i].class, class) == 0)
                call->class = (int)i;
        bool change =
            strcmp(class, "open") != 0 && strcmp(class, "read") != 0 && strcmp(class, "stat") != 0;
        call->what = change ? 'w' : 'r';
        call->at = change ? ++job->changes : ++job->looks;
        /* What cannot be read of a held base must not pass for a base that is not there. */
        call->telling = change || strstr(about, "/held") != NULL;
    }
    fclose(stream);
    unlink(path);
}

/* Whether every line of one picture is in the other. */
static bool is_part_of(const char *part, const char *whole)
{
    for (const char *line = part; *line; line = strchr(line, '\n') + 1) {
        AUTO_FREE char *one = mem_strndup(line, (size_t)(strchr(line, '\n') + 1 - line));
        if (!strstr(whole, one))
            return false;
    }
    return true;
}

/* Nothing but what was to be deleted is gone, nothing is there that was not, the store is well. */
static bool is_deleted(const struct job *job)
{
    (void)world_tare(&job->world, "jobs --resume");
    bool well = world_tare(&job->world, "verify");
    AUTO_BUF struct buf out = test_read(job->world.dir, "out");
    (void)world_tare(&job->world, "decompress --all --yes");
    AUTO_FREE char *now = world_picture(&job->world);
    bool kept = is_part_of(job->after, now), own = is_part_of(now, job->before);
    if (well && kept && own)
        return true;
    fprintf(stderr, "  verify %s; something else %s; something new %s\n%.*s\n%s\n%s\n",
            well ? "finds nothing" : "finds damage", kept ? "is kept" : "IS GONE",
            own ? "is not there" : "IS THERE", (int)out.len, out.data, job->after, now);
    return false;
}

/* What must hold after a disturbed run, however it ended. */
static bool is_whole(const struct job *job, struct outcome outcome, const char *kind, bool finish)
{
    bool lethal =
        strcmp(kind, "die") == 0 || strcmp(kind, "after") == 0 || strcmp(kind, "torn") == 0;
    bool harmless = strcmp(kind, "short") == 0;
    if (outcome.status < 0 && !(lethal && outcome.signal == SIGKILL)) {
        fprintf(stderr, "  ended by signal %d\n", outcome.signal);
        return false;
    }
    if (harmless && outcome.status != 0) {
        fprintf(stderr, "  status %d: short counts are no failure\n", outcome.status);
        return false;
    }
    if (job->scenario->deletes)
        return is_deleted(job);
    if (finish && world_tare(&job->world, "scan"))
        (void)world_tare(&job->world, job->scenario->run);
    bool back = world_tare(&job->world, "decompress --all --yes");
    AUTO_BUF struct buf out = test_read(job->world.dir, "out");
    size_t left = world_left(&job->world);
    bool swept = !left || world_tare(&job->world, "gc");
    AUTO_FREE char *now = world_picture(&job->world);
    left = left ? world_left(&job->world) : 0;
    if (strcmp(job->before, now) == 0 && swept && !left)
        return true;
    fprintf(stderr, "  giving back %s, gc %s, %zu files left in the store\n%.*s\n",
            back ? "worked" : "failed", swept ? "worked" : "failed", left, (int)out.len, out.data);
    AUTO_FREE char *a = mem_printf("%s.before", job->world.dir);
    AUTO_FREE char *b = mem_printf("%s.now", job->world.dir);
    test_write_text("", a, job->before);
    test_write_text("", b, now);
    AUTO_FREE char *diff =
        mem_printf("diff %s %s >&2; find %s/s -type f >&2", a, b, job->world.dir);
    (void)!system(diff);
    return false;
}

static bool one_run(struct job *job, const char *at, const char *kind, bool finish)
{
    reset(job);
    struct outcome outcome = disturb(job, NULL, at, kind);
    AUTO_BUF struct buf out = {0};
    if (test_exists(job->world.dir, "out"))
        out = test_read(job->world.dir, "out");
    job->runs++;
    if (is_whole(job, outcome, kind, finish))
        return true;
    job->failures++;
    fprintf(stderr, "FAILED: %s %s %s%s (status %d): %.*s\n", job->scenario->name, at, kind,
            finish ? " finish" : "", outcome.status, (int)out.len, out.data);
    return false;
}

/* All calls of this worker's share. */
static void all_runs(struct job *job, unsigned worker, unsigned workers, bool all)
{
    for (size_t i = worker; i < job->call_count && job->failures < 20; i += workers) {
        const struct call *call = &job->calls[i];
        const char *const *faults = classes[call->class].faults;
        AUTO_FREE char *at = mem_printf("%c:%zu", call->what, call->at);
        size_t count = 0;
        while (faults[count])
            count++;
        if (!all && !call->telling && call->at % STRIDE)
            continue;
        for (size_t k = 0; k < count; k++)
            if (all || k == call->at / (call->what == 'r' ? STRIDE : 1) % count)
                (void)one_run(job, at, faults[k], (i + k) % 2);
    }
}

/* A worker's sums, handed back through shared memory. */
struct sums {
    unsigned runs, failures;
    size_t changes, looks;
};

static void work(const struct scenario *scenario, const char *folder, unsigned worker,
                 unsigned workers, bool all, struct sums *sums)
{
    struct job job = {.scenario = scenario, .library = getenv("FAULT_LIBRARY")};
    AUTO_FREE char *dir = mem_printf("%s/w%u", folder, worker);
    job.template = mem_printf("%s/t%u", folder, worker);
    world_remove(dir);
    world_remove(job.template);
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&job.world, dir);
    prepare(&job);
    count_calls(&job);
    all_runs(&job, worker, workers, all);
    *sums = (struct sums){job.runs, job.failures, job.changes, job.looks};
}

static unsigned run_scenario(const struct scenario *scenario, const char *folder, bool all)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = (unsigned)MIN(MAX(processors, 1), 8);
    struct sums *sums = mmap(NULL, workers * sizeof *sums, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sums total = {0};
    pid_t pids[8];
    for (unsigned w = 0; w < workers; w++) {
        fflush(stdout);
        pids[w] = fork();
        if (pids[w] == 0) {
            work(scenario, folder, w, workers, all, &sums[w]);
            _exit(0);
        }
    }
    for (unsigned w = 0; w < workers; w++) {
        int status;
        waitpid(pids[w], &status, 0);
        total.failures += sums[w].failures + (status != 0);
        total.runs += sums[w].runs;
        total.changes = MAX(total.changes, sums[w].changes);
        total.looks = MAX(total.looks, sums[w].looks);
    }
    munmap(sums, workers * sizeof *sums);
    printf("%-10s %4zu changing and %4zu reading calls: %6u runs, %u failed\n", scenario->name,
           total.changes, total.looks, total.runs, total.failures);
    fflush(stdout);
    return total.failures;
}

static const struct scenario *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    fprintf(stderr, "%s: no such scenario\n", name);
    exit(2);
}

static int single(const char *folder, char **argv)
{
    struct job job = {.scenario = find(argv[1]), .library = getenv("FAULT_LIBRARY")};
    AUTO_FREE char *dir = mem_printf("%s/w", folder);
    job.template = mem_printf("%s/t", folder);
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&job.world, dir);
    prepare(&job);
    bool good = one_run(&job, argv[2], argv[3], argv[4] != NULL);
    printf("%s, see %s\n", good ? "good" : "FAILED", folder);
    return !good;
}

int main(int argc, char **argv)
{
    char *folder = world_folder();
    unsigned failures = 0;
    bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    if (!getenv("FAULT_LIBRARY"))
        return 77;
    if (argc > 3 && strchr(argv[2], ':'))
        return single(folder, argv);
    for (int i = all ? 2 : 1; i < argc; i++)
        failures += run_scenario(find(argv[i]), folder, all);
    for (size_t i = 0; argc - all < 2 && i < COUNT_OF(scenarios); i++)
        failures += run_scenario(&scenarios[i], folder, all);
    if (failures)
        printf("see %s\n", folder);
    else
        world_remove(folder);
    return failures > 0;
}
