/* SPDX-License-Identifier: MIT */
/* Text for people: escaping, widths, sizes, times. */
#include "base/text.h"

#include <ctype.h>
#include <langinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

enum { UTF8_UNKNOWN, UTF8_NO, UTF8_YES };
static atomic_int utf8_state = UTF8_UNKNOWN;

bool text_utf8(void)
{
    if (utf8_state == UTF8_UNKNOWN)
        utf8_state = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? UTF8_YES : UTF8_NO;
    return utf8_state == UTF8_YES;
}

void text_set_utf8(bool on)
{
    utf8_state = on ? UTF8_YES : UTF8_NO;
}

size_t text_decode(const char *p, size_t n, uint32_t *ret_point)
{
    const unsigned char *s = (const unsigned char *)p;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0)
        return 0;
    size_t len = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : (s[0] & 0xf0) == 0xe0       ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 0;
    if (len == 0 || len > n)
        return 0;
    uint32_t point = len == 1 ? s[0] : s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    *ret_point = point;
    return len;
}

void text_put_point(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_char(out, (char)c);
    } else if (c < 0x800) {
        buf_char(out, (char)(0xc0 | c >> 6));
        buf_char(out, (char)(0x80 | (c & 0x3f)));
    } else {
        if (c < 0x10000) {
            buf_char(out, (char)(0xe0 | c >> 12));
        } else {
            buf_char(out, (char)(0xf0 | c >> 18));
            buf_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_char(out, (char)(0x80 | (c & 0x3f)));
    }
}

bool text_is_utf8(const char *p, size_t n)
{
    uint32_t point;
    for (size_t i = 0, len; i < n; i += len)
        if (!(len = text_decode(p + i, n - i, &point)))
            return false;
    return true;
}

bool text_is_dangerous(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
        {0x200b, 0x200f},    {0x2028, 0x202e}, {0x2060, 0x206f}, {0xe000, 0xf8ff},
        {0xfe00, 0xfe0f},    {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
        {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

int text_point_width(uint32_t point)
{
    if (point < 0x7f)
        return point >= 0x20;
    int width = wcwidth((wchar_t)point);
    return width < 0 ? 1 : width;
}

void text_escape(struct buf *out, const char *bytes, size_t n)
{
    int marks = 0;
    if (n == 0)
        buf_add(out, "", 0);
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = text_decode(bytes + i, n - i, &point);
        if (len == 0) {
            buf_printf(out, "\\x%02x", (unsigned char)bytes[i++]);
            continue;
        }
        bool mark = point > 0x7f && wcwidth((wchar_t)point) == 0;
        marks = mark ? marks + 1 : 0;
        if (point < 0x80 && text_is_dangerous(point))
            buf_printf(out, "\\x%02x", point);
        else if (point > 0x7e && (!text_utf8() || text_is_dangerous(point) || marks > 2 ||
                                  wcwidth((wchar_t)point) < 0))
            buf_printf(out, "\\u{%x}", point);
        else
            buf_add(out, bytes + i, len);
        i += len;
    }
}

char *text_safe(const char *text)
{
    struct buf out = {0};
    text_escape(&out, text, strlen(text));
    return out.data;
}

int text_width(const char *text)
{
    int width = 0;
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = text_decode(text + i, n - i, &point);
        width += len ? text_point_width(point) : 1;
        i += len ? len : 1;
    }
    return width;
}

/* Bytes of text that fill at most width columns from its start. */
static size_t head_bytes(const char *text, int width)
{
    size_t n = strlen(text), i = 0;
    while (i < n) {
        uint32_t point;
        size_t len = text_decode(text + i, n - i, &point);
        int w = len ? text_point_width(point) : 1;
        if (w > width)
            break;
        width -= w;
        i += len ? len : 1;
    }
    return i;
}

/* Where the tail of text begins that fills at most width columns. */
static size_t tail_start(const char *text, int width)
{
    int skip = text_width(text) - width;
    size_t n = strlen(text), i = 0;
    while (i < n && skip > 0) {
        uint32_t point;
        size_t len = text_decode(text + i, n - i, &point);
        skip -= len ? text_point_width(point) : 1;
        i += len ? len : 1;
    }
    return i;
}

void text_shorten(struct buf *out, const char *text, int width)
{
    int have = text_width(text);
    if (width <= 0)
        return;
    if (have <= width) {
        buf_str(out, text);
    } else if (width < 3) {
        buf_add(out, text, head_bytes(text, width));
    } else {
        int head = (width - 1) / 2;
        buf_add(out, text, head_bytes(text, head));
        buf_str(out, text_utf8() ? "\xe2\x80\xa6" : "~");
        buf_str(out, text + tail_start(text, width - 1 - head));
    }
}

void text_fit(struct buf *out, const char *text, int width)
{
    size_t start = out->len;
    buf_add(out, "", 0);
    text_shorten(out, text, width);
    for (int pad = width - text_width(out->data + start); pad > 0; pad--)
        buf_char(out, ' ');
}

void text_size(char dst[16], uint64_t bytes)
{
    static const char units[] = {'K', 'M', 'G', 'T', 'P', 'E'};
    if (bytes < 1000) {
        snprintf(dst, 16, "%llu", (unsigned long long)bytes);
        return;
    }
    double value = (double)bytes / 1000;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < COUNT_OF(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(dst, 16, "%.1f%c", value, units[unit]);
}

bool text_parse_size(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGTP";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (end == text || !(value >= 0) || (*end && (!unit || end[1])))
        return false;
    for (int i = 0; unit && i <= unit - units; i++)
        value *= 1000;
    if (value >= 1e19)
        return false;
    *ret = (uint64_t)value;
    return true;
}

void text_count(char dst[16], uint64_t count)
{
    static const char units[] = {'K', 'M', 'B', 'T'};
    double value = (double)count / 1000;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < COUNT_OF(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(dst, 16, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void text_age(char dst[16], int64_t seconds)
{
    if (seconds < 60)
        snprintf(dst, 16, "now");
    else if (seconds < 3600)
        snprintf(dst, 16, "%dm", (int)(seconds / 60));
    else if (seconds < 2 * 86400)
        snprintf(dst, 16, "%dh", (int)(seconds / 3600));
    else if (seconds < (int64_t)9999 * 86400)
        snprintf(dst, 16, "%dd", (int)(seconds / 86400));
    else
        snprintf(dst, 16, ">27y");
}

void text_duration(char dst[32], double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s < 60)
        snprintf(dst, 32, "%ld s", MAX(s, 1));
    else if (s < 3600)
        snprintf(dst, 32, "%ld min %ld s", s / 60, s % 60);
    else
        snprintf(dst, 32, "%ld h %ld min", s / 3600, s / 60 % 60);
}

void text_time(char dst[32], int64_t unix_seconds)
{
    time_t t = (time_t)unix_seconds;
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(dst, 32, "%Y-%m-%d %H:%M", &tm))
        snprintf(dst, 32, "?");
}

void text_shell_quote(struct buf *out, const char *text)
{
    static const char plain[] = "%+,-./:=@_";
    bool simple = *text != '\0';
    for (const char *p = text; *p; p++)
        simple = simple && (isalnum((unsigned char)*p) || strchr(plain, *p));
    if (simple) {
        buf_str(out, text);
        return;
    }
    buf_char(out, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            buf_str(out, "'\\''");
        else
            buf_char(out, *p);
    }
    buf_char(out, '\'');
}

int text_natural_compare(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            size_t zeros_a = strspn(a, "0"), zeros_b = strspn(b, "0");
            a += zeros_a;
            b += zeros_b;
            size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
            int order = na != nb ? (na < nb ? -1 : 1) : strncmp(a, b, na);
            if (order || zeros_a != zeros_b)
                return order ? order : zeros_a < zeros_b ? -1 : 1;
            a += na;
            b += nb;
        } else {
            if (*a != *b)
                return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
        }
    }
    return *a ? 1 : *b ? -1 : 0;
}

void text_hex(char *dst, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = "0123456789abcdef"[p[i] >> 4];
        dst[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
    }
    dst[2 * n] = '\0';
}

bool text_is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && text[n] == '\0';
}

bool text_unhex(void *dst, const char *hex, size_t n)
{
    unsigned char *p = dst;
    if (!text_is_hex(hex, 2 * n))
        return false;
    for (size_t i = 0; i < 2 * n; i++) {
        int digit = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
        p[i / 2] = (unsigned char)(i % 2 ? p[i / 2] | digit : digit << 4);
    }
    return true;
}

bool text_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

bool text_is_among(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

bool text_has_words(const char *text, const char *words)
{
    AUTO_FREE char *copy = mem_strdup(words);
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        if (!strcasestr(text, word))
            return false;
    return true;
}
