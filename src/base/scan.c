/* SPDX-License-Identifier: MIT */
/* A JSON scanner that builds nothing. */
#include "base/scan.h"

#include "base/text.h"

#include <string.h>

void scan_init(struct scan *scan, const char *bytes, size_t n)
{
    *scan = (struct scan){.p = bytes, .start = bytes, .end = bytes + n, .need_value = true};
}

void scan_release(struct scan *scan)
{
    buf_release(&scan->text);
}

static int bad(const struct scan *scan, const char *what, struct err *err)
{
    return err_set(err, ERR_FORMAT, "not JSON: %s at byte %zu", what,
                   (size_t)(scan->p - scan->start));
}

static void skip_blank(struct scan *scan)
{
    while (scan->p < scan->end &&
           (*scan->p == ' ' || *scan->p == '\t' || *scan->p == '\n' || *scan->p == '\r'))
        scan->p++;
}

static int hex4(struct scan *scan, uint32_t *ret)
{
    uint32_t value = 0;
    if (scan->end - scan->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *scan->p++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return 0;
}

/* Behind a backslash. */
static int take_escape(struct scan *scan, struct err *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (scan->p == scan->end)
        return bad(scan, "open string", err);
    char c = *scan->p++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        buf_char(&scan->text, to[known - from]);
        return 0;
    }
    uint32_t point, low;
    if (c != 'u' || hex4(scan, &point) < 0)
        return bad(scan, "unknown escape", err);
    if (point >= 0xd800 && point < 0xdc00) {
        if (scan->end - scan->p < 6 || scan->p[0] != '\\' || scan->p[1] != 'u')
            return bad(scan, "lone surrogate", err);
        scan->p += 2;
        if (hex4(scan, &low) < 0 || low < 0xdc00 || low > 0xdfff)
            return bad(scan, "lone surrogate", err);
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point < 0xe000) {
        return bad(scan, "lone surrogate", err);
    }
    text_put_point(&scan->text, point);
    return 0;
}

/* Behind the opening quote. */
static int take_string(struct scan *scan, struct err *err)
{
    scan->text.len = 0;
    buf_add(&scan->text, "", 0);
    for (;;) {
        const char *run = scan->p;
        while (scan->p < scan->end && *scan->p != '"' && *scan->p != '\\' &&
               (unsigned char)*scan->p >= 0x20)
            scan->p++;
        buf_add(&scan->text, run, (size_t)(scan->p - run));
        if (!text_is_utf8(run, (size_t)(scan->p - run)))
            return bad(scan, "not UTF-8", err);
        if (scan->p == scan->end)
            return bad(scan, "open string", err);
        char c = *scan->p++;
        if (c == '"')
            return 0;
        if (c != '\\')
            return bad(scan, "control character in a string", err);
        int r = take_escape(scan, err);
        if (r < 0)
            return r;
    }
}

static bool digit_at(const struct scan *scan)
{
    return scan->p < scan->end && *scan->p >= '0' && *scan->p <= '9';
}

static int take_number(struct scan *scan, struct err *err)
{
    bool plain = *scan->p != '-';
    scan->number = 0;
    if (!plain)
        scan->p++;
    if (!digit_at(scan))
        return bad(scan, "wrong number", err);
    bool zero = *scan->p == '0';
    const char *first = scan->p;
    for (; digit_at(scan); scan->p++)
        if (__builtin_mul_overflow(scan->number, (uint64_t)10, &scan->number) ||
            __builtin_add_overflow(scan->number, (uint64_t)(*scan->p - '0'), &scan->number))
            plain = false;
    if (zero && scan->p - first > 1)
        return bad(scan, "number with a leading zero", err);
    if (scan->p < scan->end && *scan->p == '.') {
        plain = false;
        scan->p++;
        if (!digit_at(scan))
            return bad(scan, "wrong number", err);
        while (digit_at(scan))
            scan->p++;
    }
    if (scan->p < scan->end && (*scan->p == 'e' || *scan->p == 'E')) {
        plain = false;
        scan->p++;
        if (scan->p < scan->end && (*scan->p == '+' || *scan->p == '-'))
            scan->p++;
        if (!digit_at(scan))
            return bad(scan, "wrong number", err);
        while (digit_at(scan))
            scan->p++;
    }
    scan->is_unsigned = plain;
    return 0;
}

static int take_word(struct scan *scan, struct err *err)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(scan->end - scan->p) >= n && memcmp(scan->p, words[i], n) == 0) {
            scan->text.len = 0;
            buf_str(&scan->text, words[i]);
            scan->p += n;
            return 0;
        }
    }
    return bad(scan, "unexpected character", err);
}

static int open_level(struct scan *scan, char kind, struct err *err)
{
    if (scan->depth == SCAN_DEPTH)
        return err_set(err, ERR_LIMIT, "JSON nested deeper than %d", SCAN_DEPTH);
    scan->open[scan->depth++] = (uint8_t)kind;
    scan->p++;
    scan->after_value = false;
    scan->need_value = false;
    return kind == '{' ? SCAN_OBJECT : SCAN_LIST;
}

static int take_value(struct scan *scan, struct err *err)
{
    int r, kind;
    char c = *scan->p;
    if (c == '{' || c == '[')
        return open_level(scan, c, err);
    if (c == '"') {
        scan->p++;
        r = take_string(scan, err);
        kind = SCAN_STRING;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        r = take_number(scan, err);
        kind = SCAN_NUMBER;
    } else {
        r = take_word(scan, err);
        kind = SCAN_OTHER;
    }
    scan->after_value = true;
    scan->need_value = false;
    return r < 0 ? r : kind;
}

static int take_key(struct scan *scan, struct err *err)
{
    if (*scan->p != '"')
        return bad(scan, "a key was expected", err);
    scan->p++;
    int r = take_string(scan, err);
    if (r < 0)
        return r;
    skip_blank(scan);
    if (scan->p == scan->end || *scan->p != ':')
        return bad(scan, "':' was expected", err);
    scan->p++;
    scan->need_value = true;
    return SCAN_KEY;
}

int scan_next(struct scan *scan, struct err *err)
{
    skip_blank(scan);
    if (scan->depth == 0 && scan->after_value)
        return scan->p == scan->end ? SCAN_END : bad(scan, "something follows the end", err);
    if (scan->p == scan->end)
        return bad(scan, "it ends too early", err);
    if (scan->need_value)
        return take_value(scan, err);
    uint8_t level = scan->open[scan->depth - 1];
    if (*scan->p == (level == '{' ? '}' : ']')) {
        scan->p++;
        scan->depth--;
        scan->after_value = true;
        return SCAN_CLOSE;
    }
    if (scan->after_value) {
        if (*scan->p != ',')
            return bad(scan, "',' was expected", err);
        scan->p++;
        scan->after_value = false;
        skip_blank(scan);
        if (scan->p == scan->end)
            return bad(scan, "it ends too early", err);
    }
    return level == '{' ? take_key(scan, err) : take_value(scan, err);
}

int scan_leave(struct scan *scan, struct err *err)
{
    int level = scan->depth;
    while (scan->depth >= level) {
        int kind = scan_next(scan, err);
        if (kind < 0)
            return kind;
    }
    return 0;
}

int scan_skip(struct scan *scan, struct err *err)
{
    int kind = scan_next(scan, err);
    return kind == SCAN_OBJECT || kind == SCAN_LIST ? scan_leave(scan, err) : MIN(kind, 0);
}

int scan_expect(struct scan *scan, enum scan_kind kind, struct err *err)
{
    int got = scan_next(scan, err);
    if (got < 0)
        return got;
    return got == (int)kind ? 0 : bad(scan, "another kind of value was expected", err);
}
