/* SPDX-License-Identifier: MIT */
/* Error texts. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_from_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on the size of files: ulimit -f */
        return ERR_NOSPACE;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOTFOUND;
    case EROFS:
        return ERR_READONLY;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

int err_set(struct err *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int err_sys(struct err *err, const char *format, ...)
{
    int number = errno;
    int code = err_from_errno(number);
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(number));
    }
    errno = number;
    return code;
}

int err_prefix(struct err *err, const char *what)
{
    if (!err)
        return ERR_IO;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    snprintf(err->text, sizeof err->text, "%.200s: %.390s", what, old);
    return err->code;
}
