/* SPDX-License-Identifier: MIT */
/* Runs every fuzz target over its seeds and over mutations of them that never change. */
#include "tests/fuzz/targets.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { MUTATIONS = 1500 };

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void mutate(struct buf *data, uint32_t *random)
{
    for (uint32_t n = 1 + next(random) % 4; n && data->len; n--) {
        size_t at = next(random) % data->len;
        switch (next(random) % 5) {
        case 0:
            data->data[at] ^= (char)(1u << next(random) % 8);
            break;
        case 1:
            data->data[at] = (char)next(random);
            break;
        case 2:
            data->len = at + 1;
            break;
        case 3:
            memmove(data->data, data->data + at / 2, data->len - at / 2);
            data->len -= at / 2;
            break;
        default: {
            char again[64];
            memcpy(again, data->data, MIN(at, sizeof again));
            buf_add(data, again, MIN(at, sizeof again));
        }
        }
    }
}

/* What fuzzing kept: tests/fuzz/corpus/TARGET. */
static size_t replay_corpus(const struct fuzz_target *target)
{
    const char *top = getenv("srcdir");
    AUTO_FREE char *folder = mem_printf("%s/tests/fuzz/corpus/%s", top ? top : ".", target->name);
    DIR *stream = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        AUTO_FREE char *path = file_join(folder, entry->d_name);
        AUTO_BUF struct buf bytes = {0};
        if (entry->d_name[0] == '.' || file_read_all(AT_FDCWD, path, 1 << 20, &bytes, NULL) < 0)
            continue;
        AUTO_FREE uint8_t *exact = mem_alloc(bytes.len);
        memcpy(exact, bytes.data, bytes.len);
        target->run(exact, bytes.len);
        count++;
    }
    if (stream)
        closedir(stream);
    return count;
}

int main(void)
{
    for (size_t t = 0; t < fuzz_target_count; t++) {
        size_t kept = replay_corpus(&fuzz_targets[t]);
        uint32_t random = 2463534242u;
        for (int seed = 0; seed < 4; seed++) {
            struct buf whole = {0};
            fuzz_targets[t].seed(seed, &whole);
            fuzz_targets[t].run((const uint8_t *)whole.data, whole.len);
            for (int i = 0; i < MUTATIONS; i++) {
                struct buf copy = {0};
                buf_add(&copy, whole.data, whole.len);
                mutate(&copy, &random);
                /* Exactly as long as it is, so that a sanitizer sees every byte too far. */
                AUTO_FREE uint8_t *exact = mem_alloc(copy.len);
                memcpy(exact, copy.data, copy.len);
                fuzz_targets[t].run(exact, copy.len);
                buf_release(&copy);
            }
            buf_release(&whole);
        }
        printf("%s: ok, %zu kept inputs\n", fuzz_targets[t].name, kept);
    }
    return 0;
}
