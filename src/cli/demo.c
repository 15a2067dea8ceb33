/* SPDX-License-Identifier: MIT */
/* tare --demo without a terminal: the main job on the samples, step by step, told aloud. */
#include "cli/cli.h"

#include "base/file.h"
#include "ops/demo.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

/* Runs one command of tare as a person would type it. */
static int step(const char *folder, const char *const words[])
{
    AUTO_FREE char *catalog = file_join(folder, "catalog.db"), *store = file_join(folder, "store");
    const char *argv[16] = {"tare"};
    int argc = 1;
    printf("\n$ tare");
    for (; *words; words++) {
        argv[argc++] = *words;
        printf(" %s", *words);
    }
    printf("\n");
    fflush(stdout);
    const char *const common[] = {"--catalog", catalog, "--store", store, "--write"};
    for (size_t i = 0; i < COUNT_OF(common); i++)
        argv[argc++] = common[i];
    argv[argc] = NULL;
    optind = 0;
    int status = cli_main(argc, (char **)argv);
    fflush(stdout);
    if (status != EXIT_DONE)
        fprintf(stderr, "tare: demo: that step ended with status %d\n", status);
    return status;
}

static int run_steps(const char *folder, const char *hub)
{
    const char *const steps[][6] = {
        {"scan", hub},
        {"list"},
        {"plan", "--all"},
        {"compress", "--all", "--yes", "--quiet"},
        {"list"},
        {"verify"},
        {"decompress", "--all", "--yes"},
        {"verify"},
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        int status = step(folder, steps[i]);
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

int cli_demo(void)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *folder = file_join(tmp && *tmp ? tmp : "/tmp", "tare-demo-XXXXXX");
    AUTO_FREE char *samples = demo_samples();
    struct err err = {0};
    struct demo_sums before = {0}, after = {0};
    if (!samples) {
        err_set(&err, ERR_IO, "the sample collection is not installed");
        return cli_fail(&err);
    }
    if (!mkdtemp(folder)) {
        err_sys(&err, "%s", folder);
        return cli_fail(&err);
    }
    AUTO_FREE char *hub = file_join(folder, "hub");
    demo_isolate(folder, hub);
    printf("A throw-away copy of the sample collection, laid out as a hub cache: %s\n", hub);
    int status = EXIT_DONE;
    if (demo_lay_out(samples, hub, &err) < 0 || demo_sum(hub, &before, &err) < 0)
        status = cli_fail(&err);
    if (status == EXIT_DONE)
        status = run_steps(folder, hub);
    if (status == EXIT_DONE && demo_sum(hub, &after, &err) < 0)
        status = cli_fail(&err);
    if (status == EXIT_DONE) {
        bool same = before.files == after.files && hash128_equal(&before.hash, &after.hash);
        printf("\n%zu files and links before, %zu after: %s\n", before.files, after.files,
               same ? "every one is identical (bytes, mode, times, link)" : "THEY DIFFER");
        status = same ? EXIT_DONE : EXIT_FAILED;
    }
    (void)demo_remove(folder, NULL);
    return status;
}
