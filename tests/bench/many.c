/* SPDX-License-Identifier: MIT */
/* Many small models: what one of them takes must not depend on how many others there are. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>

enum { WEIGHTS = 50000, ROUNDS = 5, VERBS = 4 };

static const char *const verbs[VERBS] = {"scan", "compress", "verify", "decompress"};

/* Unrelated models of 100 kB each. */
static void write_models(const char *dir, unsigned count)
{
    AUTO_FREE uint16_t *weights = mem_alloc(WEIGHTS * sizeof *weights);
    for (unsigned i = 0; i < count; i++) {
        AUTO_FREE char *name = mem_printf("m/%05u/model.safetensors", i);
        test_weights(weights, WEIGHTS, NULL, i + 1);
        AUTO_BUF struct buf model =
            test_safetensors("{\"w\":{\"dtype\":\"BF16\",\"shape\":[250,200],"
                             "\"data_offsets\":[0,100000]}}",
                             weights, WEIGHTS * sizeof *weights);
        AUTO_FREE char *path = test_path(dir, name); /* makes the folders */
        test_write("", path, model.data, model.len);
    }
}

/* Milliseconds for each model, by verb. */
static void run_all(unsigned count, double ms[VERBS])
{
    char *dir = test_folder();
    double rss;
    write_models(dir, count);
    AUTO_FREE char *scan = mem_printf("scan '%s/m'", dir);
    const char *const lines[VERBS] = {scan, "compress --all --yes", "verify",
                                      "decompress --all --yes"};
    for (int v = 0; v < VERBS; v++)
        ms[v] = run_tare(dir, lines[v], &rss) * 1000 / count;
    test_remove(dir);
}

void bench_many(void)
{
    static const unsigned counts[] = {100, 1000, 10000};
    double ms[COUNT_OF(counts)][VERBS];
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        run_all(counts[c], ms[c]);
        for (int i = 1; i < ROUNDS && counts[c] == counts[0]; i++) {
            double again[VERBS];
            run_all(counts[c], again);
            for (int v = 0; v < VERBS; v++)
                ms[c][v] = MIN(ms[c][v], again[v]);
        }
    }
    printf("\n## Many small models\n\nMilliseconds for each of so many unrelated models of "
           "100 kB; the goal is at most 1.2 times those of 100.\n\n"
           "| verb | 100 | 1,000 | 10,000 | 10,000 to 100 |\n"
           "| --- | ---: | ---: | ---: | ---: |\n");
    for (int v = 0; v < VERBS; v++)
        printf("| %s | %.2f | %.2f | %.2f | %.2f |\n", verbs[v], ms[0][v], ms[1][v], ms[2][v],
               ms[2][v] / ms[0][v]);
}
