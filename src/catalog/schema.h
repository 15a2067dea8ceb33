/* SPDX-License-Identifier: MIT */
/* The tables of the catalog, as steps from one version to the next. For src/catalog only. */
#ifndef TARE_CATALOG_SCHEMA_H
#define TARE_CATALOG_SCHEMA_H

/* Entry i leads from version i to i + 1. Published steps are never edited, only added. */
static const char *const schema_steps[] = {
    "CREATE TABLE roots(path BLOB PRIMARY KEY, added INTEGER);"
    "CREATE TABLE stores(path BLOB PRIMARY KEY, added INTEGER);"
    "CREATE TABLE files(row INTEGER PRIMARY KEY, key TEXT UNIQUE, path BLOB, digest TEXT,"
    " error BLOB, store BLOB, fid TEXT, fsid INTEGER, ino INTEGER, size INTEGER, disk INTEGER,"
    " stored INTEGER, parameters INTEGER, tensors INTEGER, header INTEGER, mtime INTEGER,"
    " ctime INTEGER, atime INTEGER, links INTEGER, flags INTEGER, format INTEGER, state INTEGER,"
    " sample BLOB, content BLOB, dtypes BLOB, sketch BLOB);"
    "CREATE TABLE tensors(file INTEGER, idx INTEGER, name BLOB, dtype INTEGER, shape BLOB,"
    " offset INTEGER, bytes INTEGER, id BLOB, sketch BLOB, PRIMARY KEY(file, idx))"
    " WITHOUT ROWID;"
    "CREATE TABLE models(row INTEGER PRIMARY KEY, id TEXT UNIQUE, name BLOB, source TEXT,"
    " root BLOB, path BLOB, revision TEXT, run BLOB, flags INTEGER, stamp BLOB, frees INTEGER,"
    " frees_key BLOB);"
    "CREATE TABLE model_files(model INTEGER, idx INTEGER, file INTEGER, name BLOB,"
    " PRIMARY KEY(model, idx)) WITHOUT ROWID;"
    "CREATE INDEX model_files_file ON model_files(file);"
    "CREATE TABLE claims(model INTEGER, idx INTEGER, kind INTEGER, kind_name TEXT, target BLOB,"
    " detail TEXT, PRIMARY KEY(model, idx)) WITHOUT ROWID;",
    /* Stored files of which the last verify, or an attempt to give them back, found damage. */
    "CREATE TABLE damage(fid TEXT PRIMARY KEY) WITHOUT ROWID;",
    /* Work that was asked for and is not done: what as JSON, and the process that does it. */
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY, what TEXT, pid INTEGER, born INTEGER,"
    " added INTEGER);",
    /* Families: by what models of one architecture are compared, and what came of it. */
    "ALTER TABLE models ADD COLUMN architecture BLOB;"
    "ALTER TABLE models ADD COLUMN profile BLOB;"
    "ALTER TABLE models ADD COLUMN profile_key BLOB;"
    "CREATE TABLE edges(model INTEGER PRIMARY KEY, parent INTEGER, second INTEGER,"
    " distance REAL, kin INTEGER);",
    /* Claims: of weight files, too, and the best source first; models are read again for them. */
    "ALTER TABLE edges ADD COLUMN shared REAL;"
    "ALTER TABLE edges ADD COLUMN contents BLOB;"
    "CREATE TABLE file_claims(path BLOB, idx INTEGER, kind INTEGER, kind_name TEXT, target BLOB,"
    " detail TEXT, PRIMARY KEY(path, idx)) WITHOUT ROWID;"
    "UPDATE claims SET kind = CASE kind_name WHEN 'card' THEN 1 WHEN 'adapter' THEN 2 ELSE 4 END;"
    "UPDATE models SET stamp = zeroblob(16);"
    "ALTER TABLE models ADD COLUMN family_frees INTEGER;"
    "ALTER TABLE models ADD COLUMN family_key BLOB;"
    "CREATE TABLE relations(model INTEGER PRIMARY KEY, profile BLOB, data BLOB);"
    "CREATE TABLE keys(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;",
    /* What comparing the contents of two tensors found. */
    "CREATE TABLE comparisons(key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID;",
    /* Claims of GGUF files come before those of configurations; they are looked for now. */
    "UPDATE claims SET kind = kind + 1 WHERE kind >= 4;"
    "UPDATE file_claims SET kind = kind + 1 WHERE kind >= 4;"
    "DELETE FROM file_claims WHERE path IN (SELECT path FROM files WHERE format = 0);"
    "UPDATE models SET stamp = zeroblob(16);"
    /* The number of a job that is done is not given to another one. */
    "ALTER TABLE jobs RENAME TO jobs_before;"
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, pid INTEGER, born INTEGER,"
    " added INTEGER);"
    "INSERT INTO jobs SELECT * FROM jobs_before;"
    "DROP TABLE jobs_before;",
    /* What is looked up for each file takes as long however many there are. */
    "CREATE INDEX files_path ON files(path);"
    "CREATE INDEX files_size ON files(size);"
    "CREATE INDEX files_digest ON files(digest) WHERE digest IS NOT NULL;"
    /* When verify read an object last: a hash of its store and name, and the time. */
    "CREATE TABLE readings(object BLOB PRIMARY KEY, time INTEGER) WITHOUT ROWID;",
};

#endif
