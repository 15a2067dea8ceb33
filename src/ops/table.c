/* SPDX-License-Identifier: MIT */
/* Tables as CSV and JSON. */
#include "ops/table.h"

#include "base/json.h"
#include "base/text.h"

#include <string.h>

static struct value *add(struct table *table, int kind)
{
    struct value *value = ARRAY_ADD(table->values, table->count, table->cap);
    *value = (struct value){.kind = kind};
    return value;
}

void table_int(struct table *table, int64_t value)
{
    add(table, VALUE_INT)->number = value;
}

void table_real(struct table *table, double value)
{
    add(table, VALUE_REAL)->real = value;
}

void table_none(struct table *table)
{
    add(table, VALUE_NONE);
}

void table_name(struct table *table, const char *bytes, size_t n)
{
    struct value *value = add(table, bytes ? VALUE_NAME : VALUE_NONE);
    if (bytes)
        value->name = arena_strndup(&table->arena, bytes, n);
    value->name_len = n;
}

void table_text(struct table *table, const char *text)
{
    table_name(table, text, text ? strlen(text) : 0);
}

void table_release(struct table *table)
{
    free(table->values);
    arena_release(&table->arena);
    *table = (struct table){0};
}

/* Quotes doubled; what begins like a formula would be one to a spreadsheet. */
static void put_quoted(struct buf *out, const struct value *value)
{
    AUTO_BUF struct buf safe = {0};
    text_escape(&safe, value->name, value->name_len);
    buf_str(out, safe.len && strchr("=+-@", *safe.data) ? "\"'" : "\"");
    for (size_t i = 0; i < safe.len; i++) {
        if (safe.data[i] == '"')
            buf_char(out, '"');
        buf_char(out, safe.data[i]);
    }
    buf_char(out, '"');
}

void table_csv(const struct table *table, struct buf *out)
{
    for (size_t i = 0; i < table->width; i++)
        buf_printf(out, "%s%s", i ? "," : "", table->columns[i]);
    buf_char(out, '\n');
    for (size_t i = 0; i < table->count; i++) {
        const struct value *value = &table->values[i];
        if (value->kind == VALUE_INT)
            buf_printf(out, "%lld", (long long)value->number);
        else if (value->kind == VALUE_REAL)
            buf_printf(out, "%.9g", value->real);
        else if (value->kind == VALUE_NAME)
            put_quoted(out, value);
        buf_char(out, (i + 1) % table->width ? ',' : '\n');
    }
}

void table_json(const struct table *table, struct buf *out)
{
    AUTO_JS js *document = js_object();
    js *rows = js_list(), *row = NULL;
    js_put(document, "rows", rows);
    for (size_t i = 0; i < table->count; i++) {
        const struct value *value = &table->values[i];
        const char *column = table->columns[i % table->width];
        if (i % table->width == 0)
            js_push(rows, row = js_object());
        if (value->kind == VALUE_INT)
            js_put_int(row, column, value->number);
        else if (value->kind == VALUE_REAL)
            js_put_real(row, column, value->real);
        else if (value->kind == VALUE_NAME)
            js_put_name(row, column, value->name, value->name_len);
        else
            js_put(row, column, js_null());
    }
    js_write(document, out);
    buf_char(out, '\n');
}

int table_for(const struct table *table, const char *path, struct buf *out, struct err *err)
{
    if (text_ends_with(path, ".json"))
        table_json(table, out);
    else if (text_ends_with(path, ".csv"))
        table_csv(table, out);
    else
        return err_set(err, ERR_USAGE, "%s: the name tells the form: it ends in .csv or .json",
                       path);
    return 0;
}
