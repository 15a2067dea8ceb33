/* SPDX-License-Identifier: MIT */
/* A generated collection of one architecture, of which it is known who descends from whom. */
#ifndef TARE_TESTS_HERD_H
#define TARE_TESTS_HERD_H

#include "family/family.h"

struct herd {
    uint8_t *profiles;
    struct family_member *members;
    int *parents; /* -1: a base */
    size_t count;
};

/*
 * `families` families of `each` models. Bases are the weights of a trained sample, shuffled among
 * their neighbours. Members are moved by normal steps of several widths, from the base or, where
 * deep, every third from an earlier member, and then by no more than that one was. The share of
 * them that claims stands for says where they come from; no model tells its age.
 */
void herd_make(struct herd *herd, size_t families, size_t each, bool deep, double claims);
void herd_release(struct herd *herd);

/* How many edges of the truth are below 4.5 bits, how many of those were found, and how many that
 * were found are there. */
struct herd_score {
    size_t edges, found, told, right;
};
struct herd_score herd_judge(const struct herd *herd, const struct family_edge *edges);

#endif
