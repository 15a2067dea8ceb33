/* SPDX-License-Identifier: MIT */
/*
 * Text for people. Names, paths and messages that hold foreign bytes reach a terminal, a log or
 * a report only through text_escape: what could steer a terminal or hide in it comes out as
 * \xNN or \u{NNNN}.
 */
#ifndef TARE_BASE_TEXT_H
#define TARE_BASE_TEXT_H

#include "base/mem.h"

/*
 * Appends n foreign bytes, made safe for one line: control characters (C0, DEL, C1), line and
 * paragraph separators, bidirectional controls, zero-width and tag characters and everything
 * that is not strict UTF-8 are escaped; combining marks beyond two in a row as well. Without a
 * UTF-8 locale everything above 0x7e is escaped.
 */
void text_escape(struct buf *out, const char *bytes, size_t n);

/* Whether a code point could steer a terminal, or hide in it. */
bool text_is_dangerous(uint32_t point);

/* text_escape of a C string, into memory of its own (free it). */
char *text_safe(const char *text);

/* Whether the locale shows UTF-8; text_set_utf8 forces it (front ends and tests). */
bool text_utf8(void);
void text_set_utf8(bool on);

/* Length in bytes of the code point at p (n bytes there), 0 where it is not strict UTF-8. */
size_t text_decode(const char *p, size_t n, uint32_t *ret_point);
bool text_is_utf8(const char *p, size_t n);
/* Appends a code point as UTF-8. */
void text_put_point(struct buf *out, uint32_t point);

/* Columns that a code point, or escaped text, takes on a terminal. */
int text_point_width(uint32_t point);
int text_width(const char *text);

/* Appends text cut or padded to exactly width columns; a cut shows an ellipsis in the middle. */
void text_fit(struct buf *out, const char *text, int width);

/* The same without the padding. */
void text_shorten(struct buf *out, const char *text, int width);

/* "16.1G", "512", "3.4M": decimal units, at most 5 characters. */
void text_size(char dst[16], uint64_t bytes);
/* "20G", "3.5M", "512": decimal units, as text_size writes them. False: no such size. */
bool text_parse_size(const char *text, uint64_t *ret);
/* "857K", "3.3M", "5.0B": how models are called by their parameters. */
void text_count(char dst[16], uint64_t count);
/* "41d", "2h", "5m", "now": seconds between two times. */
void text_age(char dst[16], int64_t seconds);
/* "about 1 min 50 s" without the "about". */
void text_duration(char dst[32], double seconds);
/* "2026-11-23 19:25" in local time. */
void text_time(char dst[32], int64_t unix_seconds);

/* Appends the text quoted for a POSIX shell. */
void text_shell_quote(struct buf *out, const char *text);

/*
 * Natural order: numbers inside names compare as numbers, of equal ones that with fewer zeros in
 * front comes first. Like strcmp; names that begin alike stand together.
 */
int text_natural_compare(const char *a, const char *b);

/* Lower-case hex of n bytes, and back (false where it is not exactly 2n hex digits). */
void text_hex(char *dst, const void *bytes, size_t n);
bool text_unhex(void *dst, const char *hex, size_t n);
/* Whether text has exactly n characters, all lower-case hex digits. */
bool text_is_hex(const char *text, size_t n);

bool text_ends_with(const char *text, const char *end);

/* Whether every one of the words (apart by blanks) stands somewhere in the text; case does not
 * matter. */
bool text_has_words(const char *text, const char *words);

/* Whether the word is one of these. */
bool text_is_among(const char *word, const char *const *words, size_t count);

#endif
