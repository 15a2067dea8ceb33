/* SPDX-License-Identifier: MIT */
/* The configuration. */
#include "ops/config.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20, ASIDE_HOURS = 24 };

/* A file of ours below the folder that a variable names, or its usual place at home. */
static char *place_of(const char *variable, const char *usual, const char *file)
{
    const char *set = getenv(variable), *home = getenv("HOME");
    AUTO_FREE char *folder =
        set && *set ? mem_strdup(set) : file_join(home && *home ? home : "/", usual);
    return file_join(folder, file);
}

static char *config_path(void)
{
    return place_of("XDG_CONFIG_HOME", ".config", "tare/config");
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1]))
        text[--n] = '\0';
    return text;
}

static void add_path(struct path_list *list, const char *value)
{
    const char *home = getenv("HOME");
    if (strncmp(value, "~/", 2) == 0 && home) {
        AUTO_FREE char *path = file_join(home, value + 2);
        path_list_add(list, path);
    } else {
        path_list_add(list, value);
    }
}

/* Cuts "key = value" in two; false where it is something else. */
static bool split(char *line, const char **ret_key, const char **ret_value)
{
    char *equals = strchr(line, '=');
    if (!equals)
        return false;
    *equals = '\0';
    *ret_key = trim(line);
    *ret_value = trim(equals + 1);
    return **ret_value != '\0';
}

static bool take_line(struct config *config, char *line)
{
    const char *key, *value;
    if (!split(line, &key, &value))
        return false;
    if (strcmp(key, "root") == 0) {
        add_path(&config->roots, value);
    } else if (strcmp(key, "store") == 0) {
        add_path(&config->stores, value);
    } else if (strcmp(key, "aside") == 0) {
        char *end;
        config->aside = (unsigned)strtoul(value, &end, 10);
        return !*end && config->aside <= 24 * 365;
    } else if (strcmp(key, "theme") == 0) {
        free(config->theme);
        config->theme = mem_strdup(value);
    } else {
        return false;
    }
    return true;
}

void config_read(struct config *config, struct buf *notes)
{
    AUTO_FREE char *path = config_path();
    AUTO_BUF struct buf text = {0};
    char *save = NULL;
    config->aside = ASIDE_HOURS;
    if (file_read_all(AT_FDCWD, path, CONFIG_LIMIT, &text, NULL) < 0 || !text.len)
        return;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        AUTO_FREE char *copy = mem_strdup(line);
        line = trim(line);
        if (*line && *line != '#' && !take_line(config, line) && notes)
            buf_printf(notes, "%s: not understood: %s\n", path, copy);
    }
}

void config_release(struct config *config)
{
    path_list_release(&config->roots);
    path_list_release(&config->stores);
    free(config->theme);
    *config = (struct config){0};
}

/* ---- what the explorer remembers ---- */

static void take_setting(struct settings *settings, const char *key, const char *value)
{
    if (strcmp(key, "sort") == 0)
        (void)view_sort_parse(value, &settings->sort);
    else if (strcmp(key, "reverse") == 0)
        settings->reverse = strcmp(value, "yes") == 0;
    else if (strcmp(key, "details") == 0)
        settings->details = strcmp(value, "yes") == 0;
    else if (strcmp(key, "measure") == 0 && value[0] >= '0' && value[0] <= '9' && !value[1])
        settings->measure = (unsigned)(value[0] - '0');
}

void settings_read(struct settings *settings)
{
    AUTO_FREE char *path = place_of("XDG_STATE_HOME", ".local/state", "tare/explorer");
    AUTO_BUF struct buf text = {0};
    char *save = NULL;
    const char *key, *value;
    if (file_read_all(AT_FDCWD, path, CONFIG_LIMIT, &text, NULL) < 0 || !text.len)
        return;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (split(line, &key, &value))
            take_setting(settings, key, value);
}

void settings_write(const struct settings *settings)
{
    AUTO_FREE char *folder = place_of("XDG_STATE_HOME", ".local/state", "tare");
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "sort = %s\nreverse = %s\ndetails = %s\nmeasure = %u\n",
               view_sort_name(settings->sort), settings->reverse ? "yes" : "no",
               settings->details ? "yes" : "no", settings->measure);
    if (file_make_dirs(folder, NULL) < 0)
        return;
    AUTO_FD int dir = file_open_dir(AT_FDCWD, folder, NULL);
    if (dir >= 0)
        (void)file_replace(dir, "explorer", text.data, text.len, 0600, NULL);
}
