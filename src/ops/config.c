/* SPDX-License-Identifier: MIT */
/* The configuration. */
#include "ops/config.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

static char *config_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config)
        return file_join(config, "tare/config");
    return file_join(home ? home : "/", ".config/tare/config");
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

static bool take_line(struct config *config, char *line)
{
    char *equals = strchr(line, '=');
    if (!equals)
        return false;
    *equals = '\0';
    const char *key = trim(line), *value = trim(equals + 1);
    if (!*value)
        return false;
    if (strcmp(key, "root") == 0) {
        add_path(&config->roots, value);
    } else if (strcmp(key, "store") == 0) {
        add_path(&config->stores, value);
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
    if (file_read_all(AT_FDCWD, path, CONFIG_LIMIT, &text, NULL) < 0)
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
