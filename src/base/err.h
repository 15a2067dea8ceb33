/* SPDX-License-Identifier: MIT */
/*
 * Errors of the engine: one negative enum, and a text that travels beside it.
 * A function of the engine returns 0 or one of these; it never prints and never exits.
 */
#ifndef TARE_BASE_ERR_H
#define TARE_BASE_ERR_H

enum {
    ERR_IO = -1,          /* the system refused a call; the text names file and reason */
    ERR_FORMAT = -2,      /* bytes that do not follow their format */
    ERR_LIMIT = -3,       /* larger than what is read on purpose */
    ERR_UNSUPPORTED = -4, /* right, but not for this program or this version of it */
    ERR_NOTFOUND = -5,    /* no such model, object, file */
    ERR_EXISTS = -6,      /* something is in the place already */
    ERR_BUSY = -7,        /* in use by another process */
    ERR_LOCKED = -8,      /* another tare holds the store */
    ERR_CHANGED = -9,     /* not what it was when it was looked at last */
    ERR_DAMAGED = -10,    /* a checksum does not agree */
    ERR_NOSPACE = -11,    /* no room, or over quota */
    ERR_CANCELLED = -12,  /* the user asked to stop */
    ERR_USAGE = -13,      /* a wrong argument */
    ERR_REFUSED = -14,    /* a guard said no; the text says why */
    ERR_READONLY = -15,   /* nothing may be changed (--readonly, or the place) */
    ERR_AMBIGUOUS = -16,  /* more than one model is meant */
};

/* The text may hold foreign bytes: it goes through text_escape before it is shown. */
struct err {
    int code;
    char text[600];
};

/* Stores code and text where err is not NULL. Returns code. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and the text of errno behind; the code follows from errno. */
int err_sys(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "what: " before the text that err holds. Returns its code. */
int err_prefix(struct err *err, const char *what);

/* The engine's code for an errno: ERR_NOSPACE, ERR_NOTFOUND, ERR_READONLY, else ERR_IO. */
int err_from_errno(int number);

#endif
