/* SPDX-License-Identifier: MIT */
/*
 * JSON trees (by jansson): configurations, manifests, and what --json prints.
 * The headers of weight files are read by base/scan.h instead, which holds no tree.
 */
#ifndef TARE_BASE_JSON_H
#define TARE_BASE_JSON_H

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

struct json_t;
typedef struct json_t js;

/* Parses one document; duplicates of a key: the last wins. The caller frees it with js_free. */
int js_parse(const char *bytes, size_t n, js **ret, struct err *err);
void js_free(js *value);
#define AUTO_JS __attribute__((cleanup(js_cleanup)))
void js_cleanup(js **value);

/* Reading. All accept NULL and values of another type, and then give NULL, 0 or the default. */
js *js_get(const js *object, const char *key);
const char *js_text(const js *value); /* borrowed; may hold no NUL */
const char *js_get_text(const js *object, const char *key);
int64_t js_get_int(const js *object, const char *key, int64_t otherwise);
bool js_get_bool(const js *object, const char *key);
size_t js_count(const js *array);
js *js_at(const js *array, size_t i);
int64_t js_int(const js *value, int64_t otherwise);
double js_real(const js *value, double otherwise); /* of integers, too */
/* The keys of an object, at most `most` of them, borrowed; returns how many were written. */
size_t js_keys(const js *object, const char *keys[], size_t most);
bool js_is_object(const js *value);

/* Building. Every js_put and js_push takes over the value that it is given. */
js *js_object(void);
js *js_list(void);
void js_put(js *object, const char *key, js *value);
void js_push(js *array, js *value);
js *js_null(void);
js *js_of_int(int64_t value);
js *js_of_text(const char *text);
void js_push_real(js *array, double value);
void js_put_int(js *object, const char *key, int64_t value);
void js_put_real(js *object, const char *key, double value);
void js_put_bool(js *object, const char *key, bool value);
void js_put_text(js *object, const char *key, const char *text); /* NULL becomes null */
/*
 * A foreign name: UTF-8 goes in as it is; for anything else the escaped text stands under key,
 * and the bytes in hex under key_hex.
 */
void js_put_name(js *object, const char *key, const char *bytes, size_t n);
/*
 * The bytes of a name that js_put_name wrote, with a NUL behind; NULL where there is none. A name
 * may hold NUL: ret_len (may be NULL) gets its length; without it such a name is NULL.
 */
char *js_get_name(const js *object, const char *key, size_t *ret_len);

/* Compact, keys in the order in which they were put. */
void js_write(const js *value, struct buf *out);

#endif
