/* SPDX-License-Identifier: MIT */
#include "tests/unit/herd.h"

#include "tests/unit/helpers.h"

#include "delta/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = PROFILE_BYTES / 2, BLOCK = 64 };

/* Elements from everywhere in a BF16 sample. */
static void take_sample(uint16_t out[ELEMENTS])
{
    AUTO_FREE char *dir = mem_printf("%s/samples/demo/quill-1m", getenv("TARE_DATA"));
    AUTO_BUF struct buf file = test_read(dir, "model.safetensors");
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    const char *weights = file.data + sizeof header + header;
    size_t count = (file.len - sizeof header - header) / 2;
    for (size_t i = 0; i < ELEMENTS; i++)
        memcpy(&out[i], weights + 2 * (count * i / ELEMENTS), 2);
}

/* Weights of the same spread, of another training. */
static void shuffle(uint16_t dst[ELEMENTS], const uint16_t src[ELEMENTS], uint32_t *random)
{
    memcpy(dst, src, ELEMENTS * sizeof *dst);
    for (size_t i = 0; i < ELEMENTS; i++) {
        size_t k = i / BLOCK * BLOCK + test_random(random) % BLOCK;
        uint16_t other = dst[k];
        dst[k] = dst[i];
        dst[i] = (uint16_t)(other ^ (test_random(random) >> 5 & 1) << 15);
    }
}

static void move(uint16_t dst[ELEMENTS], const uint16_t src[ELEMENTS], float width,
                 uint32_t *random)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        dst[i] = test_narrow(test_widen(src[i]) + width * test_normal(random));
}

static float spread(const uint16_t src[ELEMENTS])
{
    float sum = 0;
    for (size_t i = 0; i < ELEMENTS; i++)
        sum += test_widen(src[i]) * test_widen(src[i]);
    return sqrtf(sum / ELEMENTS);
}

void herd_make(struct herd *herd, size_t families, size_t each, bool deep, double claims)
{
    /* As shares of the spread of the weights: 0.3 to 4 bits. */
    static const float widths[] = {0.0005f, 0.002f, 0.01f, 0.03f, 0.1f};
    uint16_t sample[ELEMENTS];
    uint32_t random = 7;
    take_sample(sample);
    float scale = spread(sample);
    *herd = (struct herd){.count = families * each};
    herd->profiles = mem_alloc(herd->count * PROFILE_BYTES);
    herd->members = mem_zalloc(herd->count * sizeof *herd->members);
    herd->parents = mem_alloc(herd->count * sizeof *herd->parents);
    AUTO_FREE float *moved = mem_alloc(herd->count * sizeof *moved);
    uint16_t *profiles = (uint16_t *)herd->profiles;
    for (size_t i = 0; i < herd->count; i++) {
        size_t base = i / each * each, nth = i - base;
        bool second = deep && nth > 2 && nth % 3 == 0;
        int parent = !nth ? -1 : (int)(base + (second ? 1 + test_random(&random) % (nth - 1) : 0));
        float *width = &moved[i];
        *width = scale * widths[(base / each + nth) % COUNT_OF(widths)];
        if (second) /* what hides its parent's steps could come from anywhere */
            *width = fminf(*width, moved[parent]);
        uint16_t *own = profiles + i * ELEMENTS;
        if (parent < 0)
            shuffle(own, sample, &random);
        else
            move(own, profiles + (size_t)parent * ELEMENTS, *width, &random);
        bool tells = test_random(&random) % 1000 < 1000 * claims;
        herd->parents[i] = parent;
        herd->members[i] = (struct family_member){.architecture = {{1}},
                                                  .profile = (const uint8_t *)own,
                                                  .claim = tells ? parent : -1,
                                                  .before = -1,
                                                  .age = test_random(&random)};
    }
}

void herd_release(struct herd *herd)
{
    free(herd->profiles);
    free(herd->members);
    free(herd->parents);
}

struct herd_score herd_judge(const struct herd *herd, const struct family_edge *edges)
{
    struct herd_score score = {0};
    for (size_t i = 0; i < herd->count; i++) {
        int parent = herd->parents[i], found = edges[i].parent;
        bool near = parent >= 0 &&
                    profile_distance(herd->members[parent].profile, herd->members[i].profile) < 4.5;
        score.edges += near;
        score.found += near && (found == parent || edges[i].second == parent);
        score.told += found >= 0 && edges[i].distance < 4.5;
        score.right += found >= 0 && edges[i].distance < 4.5 && found == parent;
    }
    return score;
}
