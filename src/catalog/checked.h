/* SPDX-License-Identifier: MIT */
/*
 * A layer between SQLite and its files that puts a checksum at the end of each page of the
 * database when it is written, and compares it when the page is read: a flipped bit becomes an
 * error, never an answer. For src/catalog only.
 */
#ifndef TARE_CATALOG_CHECKED_H
#define TARE_CATALOG_CHECKED_H

enum { CHECKED_RESERVE = 8 }; /* bytes at the end of each page, set before the first write */

/* The name of the VFS to open a database with; registered at the first call. NULL: not to be had.
 */
const char *checked_vfs(void);

#endif
