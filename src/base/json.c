/* SPDX-License-Identifier: MIT */
/* JSON trees. The only file that knows jansson. */
#include "base/json.h"

#include "base/text.h"

#include <jansson.h>
#include <string.h>

int js_parse(const char *bytes, size_t n, js **ret, struct err *err)
{
    json_error_t why;
    js *value = json_loadb(bytes, n, JSON_DECODE_ANY, &why);
    if (!value)
        return err_set(err, ERR_FORMAT, "not JSON: %s (line %d)", why.text, why.line);
    *ret = value;
    return 0;
}

void js_free(js *value)
{
    json_decref(value);
}

void js_cleanup(js **value)
{
    json_decref(*value);
}

js *js_get(const js *object, const char *key)
{
    return json_object_get(object, key);
}

const char *js_text(const js *value)
{
    return json_string_value(value);
}

const char *js_get_text(const js *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t js_int(const js *value, int64_t otherwise)
{
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

int64_t js_get_int(const js *object, const char *key, int64_t otherwise)
{
    return js_int(json_object_get(object, key), otherwise);
}

bool js_get_bool(const js *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

size_t js_count(const js *array)
{
    return json_array_size(array);
}

js *js_at(const js *array, size_t i)
{
    return json_array_get(array, i);
}

double js_real(const js *value, double otherwise)
{
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

size_t js_keys(const js *object, const char *keys[], size_t most)
{
    size_t n = 0;
    for (void *at = json_object_iter((js *)object); at && n < most;
         at = json_object_iter_next((js *)object, at))
        keys[n++] = json_object_iter_key(at);
    return n;
}

bool js_is_object(const js *value)
{
    return json_is_object(value);
}

js *js_object(void)
{
    return json_object();
}

js *js_list(void)
{
    return json_array();
}

void js_put(js *object, const char *key, js *value)
{
    if (json_object_set_new(object, key, value) < 0)
        mem_none();
}

void js_push(js *array, js *value)
{
    if (json_array_append_new(array, value) < 0)
        mem_none();
}

js *js_null(void)
{
    return json_null();
}

js *js_of_int(int64_t value)
{
    return json_integer(value);
}

void js_push_real(js *array, double value)
{
    js_push(array, json_real(value));
}

js *js_of_text(const char *text)
{
    if (!text)
        return json_null();
    js *value = json_string(text);
    if (value)
        return value;
    AUTO_FREE char *safe = text_safe(text);
    return json_string(safe);
}

void js_put_int(js *object, const char *key, int64_t value)
{
    js_put(object, key, json_integer(value));
}

void js_put_real(js *object, const char *key, double value)
{
    js *real = json_real(value); /* NULL for NaN and infinities, which JSON lacks */
    js_put(object, key, real ? real : json_null());
}

void js_put_bool(js *object, const char *key, bool value)
{
    js_put(object, key, json_boolean(value));
}

void js_put_text(js *object, const char *key, const char *text)
{
    js_put(object, key, js_of_text(text));
}

void js_put_name(js *object, const char *key, const char *bytes, size_t n)
{
    js *plain = json_stringn(bytes, n);
    if (plain && !memchr(bytes, '\0', n)) {
        js_put(object, key, plain);
        return;
    }
    json_decref(plain);
    AUTO_BUF struct buf safe = {0};
    text_escape(&safe, bytes, n);
    js_put_text(object, key, safe.data);
    AUTO_FREE char *hex = mem_alloc(2 * n + 1);
    AUTO_FREE char *hex_key = mem_printf("%s_hex", key);
    text_hex(hex, bytes, n);
    js_put_text(object, hex_key, hex);
}

char *js_get_name(const js *object, const char *key, size_t *ret_len)
{
    AUTO_FREE char *hex_key = mem_printf("%s_hex", key);
    const char *hex = js_get_text(object, hex_key);
    if (!hex) {
        const char *text = js_get_text(object, key);
        if (text && ret_len)
            *ret_len = strlen(text);
        return text ? mem_strdup(text) : NULL;
    }
    size_t n = strlen(hex) / 2;
    AUTO_FREE char *bytes = mem_alloc(n + 1);
    bytes[n] = '\0';
    if (!text_unhex(bytes, hex, n) || (!ret_len && memchr(bytes, '\0', n)))
        return NULL;
    if (ret_len)
        *ret_len = n;
    return TAKE_PTR(bytes);
}

static int append(const char *bytes, size_t n, void *out)
{
    buf_add(out, bytes, n);
    return 0;
}

void js_write(const js *value, struct buf *out)
{
    /* Half a document must not get a checksum. */
    if (json_dump_callback(value, append, out,
                           JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) < 0)
        mem_none();
}
