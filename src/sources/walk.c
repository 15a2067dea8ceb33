/* SPDX-License-Identifier: MIT */
/* What the walkers share. */
#include "sources/walk.h"

#include "base/file.h"
#include "base/text.h"
#include "model/names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void gather_release(struct gather *gather)
{
    free(gather->model.files);
    free(gather->model.companions);
    arena_release(&gather->arena);
    *gather = (struct gather){0};
}

static struct found_file make_file(struct arena *arena, const char *name, const char *path,
                                   const char *digest, const struct stat *st)
{
    return (struct found_file){.name = arena_strdup(arena, name),
                               .path = arena_strdup(arena, path),
                               .digest = arena_strdup(arena, digest),
                               .st = *st};
}

void gather_weight(struct gather *gather, const char *name, const char *path, const char *digest,
                   const struct stat *st)
{
    struct found_model *model = &gather->model;
    *ARRAY_ADD(model->files, model->file_count, gather->file_cap) =
        make_file(&gather->arena, name, path, digest, st);
}

void gather_file(struct gather *gather, const char *name, const char *path, const char *digest,
                 const struct stat *st)
{
    struct found_model *model = &gather->model;
    if (name_is_weight(name))
        gather_weight(gather, name, path, digest, st);
    else if (name_is_companion(file_base(name)))
        *ARRAY_ADD(model->companions, model->companion_count, gather->companion_cap) =
            make_file(&gather->arena, name, path, digest, st);
}

static int by_name(const void *a, const void *b)
{
    const struct found_file *x = a, *y = b;
    return text_natural_compare(x->name, y->name);
}

static void sort_files(struct found_file *files, size_t count)
{
    if (count)
        qsort(files, count, sizeof *files, by_name);
}

int gather_report(struct gather *gather, const struct source_sink *sink, struct err *err)
{
    struct found_model *model = &gather->model;
    sort_files(model->files, model->file_count);
    sort_files(model->companions, model->companion_count);
    return sink->model(sink->context, model, err);
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

int names_read(int dir, struct names *ret, struct err *err)
{
    *ret = (struct names){0};
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return err_sys(err, "reading a folder");
    int number;
    for (struct dirent *entry; errno = 0, entry = readdir(stream), number = errno, entry;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        unsigned char type = entry->d_type;
        struct stat st;
        if (type == DT_UNKNOWN && fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = IFTODT(st.st_mode);
        struct name_entry *added = ARRAY_ADD(ret->entries, ret->count, ret->cap);
        *added = (struct name_entry){mem_strdup(entry->d_name), type};
    }
    closedir(stream);
    if (number) { /* a part of a listing would pass for the whole */
        names_release(ret);
        errno = number;
        return err_sys(err, "reading a folder");
    }
    if (ret->count)
        qsort(ret->entries, ret->count, sizeof *ret->entries, entry_order);
    return 0;
}

void names_release(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->entries[i].name);
    free(names->entries);
    *names = (struct names){0};
}
