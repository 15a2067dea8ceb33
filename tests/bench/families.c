/* SPDX-License-Identifier: MIT */
/* What comparing models costs, and how well it finds who descends from whom. */
#include "tests/bench/bench.h"

#include "delta/profile.h"
#include "ops/ops.h"
#include "tests/unit/herd.h"

#include <stdio.h>
#include <string.h>

static void row(size_t families, size_t each, bool deep, double claims)
{
    struct herd herd;
    herd_make(&herd, families, each, deep, claims);
    size_t held = sizeof(struct family_relations) + sizeof(struct family_edge) +
                  sizeof *herd.members + PROFILE_BYTES;
    AUTO_FREE struct family_relations *relations = mem_zalloc(herd.count * sizeof *relations);
    AUTO_FREE struct family_edge *edges = mem_alloc(herd.count * sizeof *edges);
    double start = ops_now();
    family_compare(herd.members, herd.count - 1, relations);
    double compared = ops_now();
    family_compare(herd.members, herd.count, relations);
    double one = ops_now();
    family_forest(herd.members, herd.count, relations, edges);
    double grown = ops_now();
    struct herd_score score = herd_judge(&herd, edges);
    printf("| %zu | %zu%s | %.0f %% | %.2f s | %.1f ms | %.2f s | %.0f MB | %.4f | %.4f |\n",
           herd.count, families, deep ? ", two steps deep" : "", claims * 100, compared - start,
           (one - compared) * 1e3, grown - one, (double)(held * herd.count) / 1e6,
           (double)score.right / (double)score.told, (double)score.found / (double)score.edges);
    fflush(stdout);
    herd_release(&herd);
}

void bench_families(void)
{
    static const size_t sizes[] = {500, 1000, 2000, 10000};
    printf("\n## Families\n\nGenerated models of one architecture (tests/unit/herd.c): comparing "
           "all pairs, adding one model to those compared, and growing the trees. Precision and "
           "recall of the edges below 4.5 bits. Where nothing is claimed, which of two models is "
           "the elder cannot always be told.\n\n"
           "| models | families | claims | compare all | add one | grow | memory | precision | "
           "recall |\n| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        row(sizes[i] / 10, 10, true, 0.9);
    row(200, 10, false, 0);
    row(200, 10, true, 0);
    row(1, 10000, true, 0.9);
}
