/* SPDX-License-Identifier: MIT */
/*
 * A JSON scanner that builds nothing: it walks a document token by token, in memory of its own
 * size, however many entries a stranger put in. Strict (RFC 8259): UTF-8 only, no lone
 * surrogates, no control characters in strings, no trailing commas. Strings may hold NUL.
 * Depth is limited to SCAN_DEPTH.
 */
#ifndef TARE_BASE_SCAN_H
#define TARE_BASE_SCAN_H

#include "base/err.h"
#include "base/mem.h"

enum { SCAN_DEPTH = 128 };

enum scan_kind {
    SCAN_END,    /* the document is over, only white space followed */
    SCAN_OBJECT, /* { */
    SCAN_LIST,   /* [ */
    SCAN_CLOSE,  /* } or ] */
    SCAN_KEY,    /* text holds it */
    SCAN_STRING, /* text holds it */
    SCAN_NUMBER, /* is_unsigned and number, where it is a plain integer below 2^64 */
    SCAN_OTHER,  /* true, false, null: text holds the word */
};

struct scan {
    const char *p, *end, *start;
    int depth;
    uint8_t open[SCAN_DEPTH]; /* '{' or '[' for each level */
    bool need_value, after_value;
    struct buf text; /* the last key, string or word, unescaped */
    uint64_t number;
    bool is_unsigned;
};

void scan_init(struct scan *scan, const char *bytes, size_t n);
void scan_release(struct scan *scan);

/* The next token, or an error (ERR_FORMAT, ERR_LIMIT) that says where. */
int scan_next(struct scan *scan, struct err *err);

/* Behind a key, or in a list: passes over one whole value. */
int scan_skip(struct scan *scan, struct err *err);

/* Behind SCAN_OBJECT or SCAN_LIST: passes over what is left of it, its close included. */
int scan_leave(struct scan *scan, struct err *err);

/* The next token must be of this kind. */
int scan_expect(struct scan *scan, enum scan_kind kind, struct err *err);

#endif
