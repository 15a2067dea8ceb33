/* SPDX-License-Identifier: MIT */
/* What speaks against compressing a file just now. */
#include "ops/guard.h"

#include "base/file.h"
#include "model/names.h"
#include "sources/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { FRESH = 15 * 60 };

/* Whether one of the process's descriptors is this inode. */
static bool has_open(int proc, const char *pid, dev_t dev, ino_t ino, unsigned *unseen)
{
    AUTO_FREE char *path = file_join(pid, "fd");
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *unseen += fd < 0 && (errno == EACCES || errno == EPERM);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    struct stat st;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));)
        found = entry->d_name[0] != '.' && fstatat(dirfd(stream), entry->d_name, &st, 0) == 0 &&
                st.st_dev == dev && st.st_ino == ino;
    if (stream)
        closedir(stream);
    return found;
}

static bool has_mapped(int proc, const char *pid, dev_t dev, ino_t ino)
{
    AUTO_FREE char *path = file_join(pid, "maps");
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (stream && !found && getline(&line, &size, stream) > 0) {
        unsigned major_number, minor_number;
        unsigned long inode;
        found = sscanf(line, "%*s %*s %*s %x:%x %lu", &major_number, &minor_number, &inode) == 3 &&
                inode == ino && makedev(major_number, minor_number) == dev;
    }
    if (stream)
        fclose(stream);
    return found;
}

char *guard_user_of(dev_t dev, ino_t ino, unsigned *unseen)
{
    AUTO_FD int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = proc < 0 ? NULL : fdopendir(dup(proc));
    char *user = NULL;
    for (struct dirent *entry; stream && !user && (entry = readdir(stream));) {
        const char *pid = entry->d_name;
        if (strspn(pid, "0123456789") != strlen(pid) || atol(pid) == (long)getpid() ||
            (!has_open(proc, pid, dev, ino, unseen) && !has_mapped(proc, pid, dev, ino)))
            continue;
        AUTO_FREE char *comm = file_join(pid, "comm");
        char name[64] = "a process";
        AUTO_FD int fd = openat(proc, comm, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
        if (n > 0)
            name[n - (name[n - 1] == '\n')] = '\0';
        user = mem_printf("%s, pid %s", name, pid);
    }
    if (stream)
        closedir(stream);
    return user;
}

bool guard_lease(int fd)
{
    /* Somebody who opens it just now sends a signal: one that does nothing by default. */
    (void)fcntl(fd, F_SETSIG, SIGURG);
    return fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
}

int guard_lease_check(int fd, struct err *err)
{
    int held = fcntl(fd, F_GETLEASE);
    if (held == F_RDLCK || held == F_WRLCK)
        return 0;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK); /* so that whoever wants to write need not wait */
    return err_set(err, ERR_CHANGED,
                   "a process opened it for writing while it was compressed; it stays as it is");
}

/* A write lease is given only where nobody else has the file open at all. */
int guard_unused(int fd, const struct stat *st, unsigned *ret_unseen, struct err *err)
{
    unsigned unseen = 0;
    int before = fcntl(fd, F_GETLEASE);
    bool leased = before == F_RDLCK || before == F_WRLCK;
    (void)fcntl(fd, F_SETSIG, SIGURG);
    bool unused = fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
    bool could_ask = unused || errno == EAGAIN;
    if (unused && !leased)
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    if (unused)
        return 0;
    AUTO_FREE char *user = guard_user_of(st->st_dev, st->st_ino, &unseen);
    if (user)
        return err_set(err, ERR_BUSY, "%s, has it open", user);
    if (could_ask && !leased && fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    else if (could_ask && !leased)
        return err_set(err, ERR_BUSY, "a process of another user has it open for writing");
    if (ret_unseen && !could_ask)
        *ret_unseen = MAX(*ret_unseen, unseen);
    return 0;
}

static int check_run(const struct lib_model *model, struct err *err)
{
    if (!*model->run || name_checkpoint(file_base(model->path)) < 0)
        return 0;
    AUTO_FREE char *run = file_dir(model->path);
    long own = name_checkpoint(file_base(model->path));
    DIR *stream = opendir(run);
    bool newest = true;
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        newest &= name_checkpoint(entry->d_name) <= own;
    if (stream)
        closedir(stream);
    if (newest && source_newest_below(run) > time(NULL) - FRESH)
        return err_set(err, ERR_REFUSED,
                       "the newest checkpoint of a run that changed in the last 15 minutes "
                       "(--live overrides)");
    return 0;
}

int guard_file(const struct lib_model *model, const struct lib_file *file, struct guard *guard,
               struct err *err)
{
    struct stat st;
    AUTO_FD int fd = file_open_found(model->root, file->path, &st, err);
    if (fd < 0)
        return fd;
    if ((uint64_t)st.st_size != file->size || st.st_mtim.tv_sec != file->mtime ||
        st.st_ino != file->ino)
        return err_set(err, ERR_CHANGED, "changed since it was indexed; scan again");
    if (st.st_nlink > 1 + guard->links)
        return err_set(err, ERR_REFUSED,
                       "it has %u other hard links: removing this one frees "
                       "nothing",
                       (unsigned)st.st_nlink - 1 - guard->links);
    if (geteuid() != 0 && st.st_uid != geteuid())
        return err_set(err, ERR_REFUSED, "it belongs to another user");
    int r = guard_unused(fd, &st, &guard->unseen, err);
    if (r == 0 && !guard->live && strcmp(model->source, "hf") != 0)
        r = check_run(model, err);
    AUTO_FREE char *busy = NULL;
    if (r == 0 && strcmp(model->source, "hf") == 0 &&
        hub_blob_is_busy(model->root, file->path, FRESH, &busy))
        r = err_set(err, ERR_BUSY, "a download beside it is under way (%s)", busy);
    return r;
}

void guard_note(const struct guard *guard, struct path_list *notes)
{
    if (!guard->unseen)
        return;
    for (size_t i = 0; i < notes->count; i++)
        if (strstr(notes->paths[i], "could not be looked at"))
            return;
    AUTO_FREE char *note = mem_printf("%u processes of other users could not be looked at: whether "
                                      "one of them has these files open is not known",
                                      guard->unseen);
    path_list_add(notes, note);
}
