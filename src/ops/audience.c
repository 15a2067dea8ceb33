/* SPDX-License-Identifier: MIT */
/* Who else can read a file. */
#include "ops/audience.h"

#include "base/file.h"
#include "base/mem.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_PERSON = 1000, LAST_PERSON = 59999, NAMED = 3, LOOKED_AT = 10000, ROOM = 16384 };

/* Adds a name to a list of which only the first few are shown. */
static void add_name(struct buf *names, size_t *count, const char *name)
{
    if (++*count <= NAMED)
        buf_printf(names, "%s%s", names->len ? ", " : "", name);
    else if (*count == NAMED + 1)
        buf_str(names, ", \xe2\x80\xa6");
}

/* Accounts of services have a shell that ends at once. */
static bool can_log_in(const struct passwd *user)
{
    const char *shell = file_base(user->pw_shell ? user->pw_shell : "");
    return strcmp(shell, "nologin") != 0 && strcmp(shell, "false") != 0;
}

/* Users of the machine that are persons, but for the caller. */
static size_t list_persons(struct buf *names)
{
    size_t count = 0, looked = 0;
    char space[ROOM];
    struct passwd entry, *user;
    setpwent();
    while (looked++ < LOOKED_AT && getpwent_r(&entry, space, sizeof space, &user) == 0)
        if (user->pw_uid >= FIRST_PERSON && user->pw_uid <= LAST_PERSON &&
            user->pw_uid != geteuid() && can_log_in(user))
            add_name(names, &count, user->pw_name);
    endpwent();
    return count;
}

/* The members of a group but for the caller; its name in front. */
static size_t list_members(gid_t gid, struct buf *names)
{
    char space[ROOM], own_space[ROOM];
    struct passwd user, *self = NULL;
    struct group entry, *group = NULL;
    size_t count = 0;
    if (getpwuid_r(geteuid(), &user, own_space, sizeof own_space, &self) != 0)
        self = NULL;
    if (getgrgid_r(gid, &entry, space, sizeof space, &group) != 0 || !group)
        return 0;
    AUTO_BUF struct buf members = {0};
    for (char **member = group->gr_mem; *member; member++)
        if (!self || strcmp(*member, self->pw_name) != 0)
            add_name(&members, &count, *member);
    buf_printf(names, "%s (%s)", group->gr_name, members.data ? members.data : "");
    return count;
}

/* Whether everybody, or the file's group, may go through all folders above it. */
static void look_above(const char *path, gid_t gid, bool *everybody, bool *group)
{
    AUTO_FREE char *folder = file_dir(path);
    struct stat st;
    for (;;) {
        bool known = stat(folder, &st) == 0;
        *everybody &= known && st.st_mode & S_IXOTH;
        *group &= known && st.st_mode & (st.st_gid == gid ? S_IXGRP : S_IXOTH);
        char *slash = strrchr(folder, '/');
        if (!slash || strcmp(folder, "/") == 0 || (!*everybody && !*group))
            return;
        slash[slash == folder] = '\0';
    }
}

char *audience_of(const char *path)
{
    struct stat st;
    AUTO_BUF struct buf names = {0};
    if (stat(path, &st) < 0)
        return NULL;
    bool everybody = st.st_mode & S_IROTH, group = st.st_mode & S_IRGRP;
    look_above(path, st.st_gid, &everybody, &group);
    if (everybody && list_persons(&names))
        return mem_printf("every user of this machine (%s)", names.data);
    if (!everybody && group && list_members(st.st_gid, &names))
        return mem_printf("the group %s", names.data);
    return NULL;
}
