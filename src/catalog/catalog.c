/* SPDX-License-Identifier: MIT */
/* The index, in SQLite. The only file that knows it. */
#include "catalog/catalog.h"

#include "base/file.h"
#include "catalog/checked.h"
#include "catalog/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

enum {
    SCHEMA_VERSION = COUNT_OF(schema_steps),
    CHECKED_SINCE = 3, /* the version from which on pages have checksums */
    APPLICATION_ID = 0x74617265
};

/* Every statement that runs often: prepared once, at first use. */
enum statement {
    ROOT_ADD,
    ROOT_FORGET,
    ROOT_LIST,
    STORE_ADD,
    STORE_LIST,
    FILE_FIND,
    FILE_PUT,
    TENSORS_DROP,
    TENSOR_PUT,
    TENSOR_HASH,
    TENSOR_SKETCH,
    FILE_CONTENT,
    FILE_SKETCH,
    FILE_SAMPLE,
    FILE_TWIN,
    TENSORS_COPY,
    FILE_BEFORE,
    SKETCHES_COPY,
    CONTENT_COPY,
    FILES_UNHASHED,
    FILES_UNSKETCHED,
    FILE_LAYOUT,
    TENSOR_LIST,
    TENSOR_SKETCHES,
    PROFILE_PUT,
    PROFILE_FIND,
    SHARED_BYTES,
    EACH_TENSOR,
    REPEATED_TENSORS,
    KEY_PUT,
    KEY_FIND,
    RELATIONS_PUT,
    RELATIONS_FIND,
    ORPHAN_RELATIONS,
    COMPARISON_PUT,
    COMPARISON_FIND,
    COMPARISONS_TRIM,
    EDGES_DROP,
    EDGE_PUT,
    EDGE_FIND,
    LOAD_EDGES,
    MODEL_STAMP,
    MODEL_PUT,
    MODEL_FILES_DROP,
    MODEL_FILE_PUT,
    CLAIMS_DROP,
    CLAIM_PUT,
    FILE_CLAIMS_DROP,
    FILE_CLAIM_PUT,
    FILE_CLAIM_FIND,
    MODEL_SEEN,
    SWEEP_FILES,
    SWEEP_CLAIMS,
    SWEEP_MODELS,
    ORPHAN_TENSORS,
    ORPHAN_FILES,
    ORPHAN_CLAIMS,
    ESTIMATE_PUT,
    ESTIMATE_KEY,
    FAMILY_PUT,
    FAMILY_KEY,
    TENSOR_PLACES,
    FILE_PLACES,
    JOB_ADD,
    JOB_OWN,
    JOB_DROP,
    JOB_LIST,
    DAMAGE_PUT,
    DAMAGE_DROP,
    DAMAGE_FIND,
    READING_PUT,
    READING_FIND,
    LOAD_FILES,
    LOAD_MODELS,
    LOAD_MODEL_FILES,
    LOAD_CLAIMS,
    STATEMENT_COUNT
};

#define FILE_COLUMNS                                                                               \
    "row, key, path, digest, error, store, fid, fsid, ino, size, disk, stored, parameters,"        \
    " tensors, header, mtime, ctime, atime, links, flags, format, state, sample, content, dtypes"
#define UNSEEN                                                                                     \
    " (SELECT row FROM models WHERE (root = ?1 OR substr(root, 1, length(?1) + 1) = ?2)"           \
    " AND id NOT IN (SELECT id FROM temp.seen))"
#define UNNAMED "(SELECT row FROM files WHERE row NOT IN (SELECT file FROM model_files))"

static const char *const statements[STATEMENT_COUNT] = {
    [ROOT_ADD] = "INSERT OR IGNORE INTO roots VALUES(?1, ?2)",
    [ROOT_FORGET] = "DELETE FROM roots WHERE path = ?1",
    [ROOT_LIST] = "SELECT path FROM roots ORDER BY added, rowid",
    [STORE_ADD] = "INSERT OR IGNORE INTO stores VALUES(?1, ?2)",
    [STORE_LIST] = "SELECT path FROM stores ORDER BY added, rowid",
    [FILE_FIND] = "SELECT " FILE_COLUMNS " FROM files WHERE key = ?1",
    [FILE_PUT] =
        "INSERT INTO files(" FILE_COLUMNS ") VALUES(NULL, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
        " ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)"
        " ON CONFLICT(key) DO UPDATE SET path = ?3, digest = ?4, error = ?5, store = ?6,"
        " fid = ?7, fsid = ?8, ino = ?9, size = ?10, disk = ?11, stored = ?12, parameters = ?13,"
        " tensors = ?14, header = ?15, mtime = ?16, ctime = ?17, atime = ?18, links = ?19,"
        " flags = ?20, format = ?21, state = ?22, sample = ?23, content = ?24, dtypes = ?25"
        " RETURNING row",
    [TENSORS_DROP] = "DELETE FROM tensors WHERE file = ?1",
    [TENSOR_PUT] = "INSERT INTO tensors VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL)",
    [TENSOR_HASH] = "UPDATE tensors SET id = ?3 WHERE file = ?1 AND idx = ?2",
    [TENSOR_SKETCH] = "UPDATE tensors SET sketch = ?3 WHERE file = ?1 AND idx = ?2",
    [FILE_CONTENT] = "UPDATE files SET content = ?2 WHERE row = ?1",
    [FILE_SKETCH] = "UPDATE files SET sketch = ?2 WHERE row = ?1",
    [FILE_SAMPLE] = "UPDATE files SET sample = ?2 WHERE row = ?1",
    [FILE_TWIN] = "SELECT g.row FROM files f JOIN files g ON g.digest = f.digest"
                  " AND g.size = f.size AND g.tensors = f.tensors AND g.header = f.header"
                  " WHERE f.row = ?1 AND g.row <> ?1 AND length(f.digest) = 64"
                  " AND g.content IS NOT NULL LIMIT 1",
    [TENSORS_COPY] = "UPDATE tensors SET id = (SELECT t.id FROM tensors t WHERE t.file = ?2"
                     " AND t.idx = tensors.idx) WHERE file = ?1",
    [FILE_BEFORE] = "SELECT g.row FROM files f JOIN files g ON g.path = f.path AND g.size = f.size"
                    " AND g.tensors = f.tensors WHERE f.row = ?1 AND g.row <> ?1"
                    " AND g.sketch IS NOT NULL LIMIT 1",
    [SKETCHES_COPY] = "UPDATE tensors SET sketch = (SELECT t.sketch FROM tensors t"
                      " WHERE t.file = ?2 AND t.idx = tensors.idx) WHERE file = ?1",
    [CONTENT_COPY] = "UPDATE files SET content = (SELECT g.content FROM files g WHERE g.row = ?2)"
                     " WHERE row = ?1",
    /* First what begins like another file's sketch: likely copies; then by size. */
    [FILES_UNHASHED] =
        "WITH again AS MATERIALIZED (SELECT size, substr(sketch, 1, 64) AS start FROM files"
        " WHERE sketch IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1)"
        " SELECT row FROM files WHERE content IS NULL AND state IN (0, 2) AND error IS NULL"
        " AND flags & 4 = 0"
        " ORDER BY (size, substr(sketch, 1, 64)) NOT IN (SELECT size, start FROM again), size, row",
    [FILES_UNSKETCHED] = "SELECT row FROM files WHERE sketch IS NULL AND state IN (0, 2)"
                         " AND error IS NULL AND flags & 4 = 0 ORDER BY row",
    [FILE_LAYOUT] = "SELECT format, header, size, flags, tensors FROM files WHERE row = ?1",
    [TENSOR_LIST] = "SELECT name, dtype, shape, offset, bytes, id FROM tensors WHERE file = ?1"
                    " ORDER BY idx",
    [TENSOR_SKETCHES] = "SELECT sketch FROM tensors WHERE file = ?1 ORDER BY idx",
    [PROFILE_PUT] = "UPDATE models SET architecture = ?2, profile = ?3, profile_key = ?4"
                    " WHERE row = ?1",
    [PROFILE_FIND] = "SELECT architecture, profile FROM models WHERE row = ?1"
                     " AND profile_key = ?2",
    [SHARED_BYTES] =
        "WITH other AS MATERIALIZED (SELECT u.id, u.name FROM tensors u JOIN model_files n"
        " ON n.file = u.file WHERE n.model = ?2 AND u.id IS NOT NULL)"
        " SELECT total(CASE WHEN t.id IN (SELECT id FROM other) THEN bytes END),"
        " total(CASE WHEN (t.id, t.name) IN (SELECT id, name FROM other) THEN bytes END),"
        " total(bytes) FROM tensors t JOIN model_files m ON m.file = t.file WHERE m.model = ?1",
    [EACH_TENSOR] = "SELECT m.model, t.id, t.bytes FROM model_files m JOIN tensors t"
                    " ON t.file = m.file WHERE t.bytes >= ?1 AND t.id IS NOT NULL",
    [REPEATED_TENSORS] =
        "SELECT name, dtype, shape, offset, bytes, id, file FROM tensors WHERE bytes >= ?1"
        " AND id IN (SELECT id FROM tensors WHERE bytes >= ?1 AND id IS NOT NULL GROUP BY id"
        " HAVING count(*) > 1) ORDER BY id, file, idx",
    [KEY_PUT] = "INSERT OR REPLACE INTO keys VALUES(?1, ?2)",
    [KEY_FIND] = "SELECT value FROM keys WHERE name = ?1",
    [RELATIONS_PUT] = "INSERT OR REPLACE INTO relations VALUES(?1, ?2, ?3)",
    [RELATIONS_FIND] = "SELECT data FROM relations WHERE model = ?1 AND profile = ?2",
    [ORPHAN_RELATIONS] = "DELETE FROM relations WHERE model NOT IN (SELECT row FROM models)",
    [COMPARISON_PUT] = "INSERT OR REPLACE INTO comparisons VALUES(?1, ?2)",
    [COMPARISON_FIND] = "SELECT data FROM comparisons WHERE key = ?1",
    /* They are quickly found again: some 40 MB of them are enough. */
    [COMPARISONS_TRIM] =
        "DELETE FROM comparisons WHERE (SELECT count(*) FROM comparisons) > 100000",
    [EDGES_DROP] = "DELETE FROM edges",
    [EDGE_PUT] = "INSERT INTO edges VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [EDGE_FIND] = "SELECT parent, second, distance, kin, shared, contents FROM edges"
                  " WHERE model = ?1",
    [LOAD_EDGES] = "SELECT model, parent, second, distance, kin, shared FROM edges ORDER BY model",
    [MODEL_STAMP] = "SELECT stamp FROM models WHERE id = ?1",
    [MODEL_PUT] = "INSERT INTO models(id, name, source, root, path, revision, run, flags, stamp)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                  " ON CONFLICT(id) DO UPDATE SET name = ?2, source = ?3, root = ?4, path = ?5,"
                  " revision = ?6, run = ?7, flags = ?8, stamp = ?9 RETURNING row",
    [MODEL_FILES_DROP] = "DELETE FROM model_files WHERE model = ?1",
    [MODEL_FILE_PUT] = "INSERT INTO model_files VALUES(?1, ?2, ?3, ?4)",
    [CLAIMS_DROP] = "DELETE FROM claims WHERE model = ?1",
    [CLAIM_PUT] = "INSERT INTO claims VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [FILE_CLAIMS_DROP] = "DELETE FROM file_claims WHERE path = ?1",
    [FILE_CLAIM_PUT] = "INSERT INTO file_claims VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [MODEL_SEEN] = "INSERT OR IGNORE INTO temp.seen VALUES(?1)",
    [SWEEP_FILES] = "DELETE FROM model_files WHERE model IN" UNSEEN,
    [SWEEP_CLAIMS] = "DELETE FROM claims WHERE model IN" UNSEEN,
    [SWEEP_MODELS] = "DELETE FROM models WHERE row IN" UNSEEN,
    [ORPHAN_TENSORS] = "DELETE FROM tensors WHERE file IN " UNNAMED,
    [ORPHAN_FILES] = "DELETE FROM files WHERE row NOT IN (SELECT file FROM model_files)",
    [FILE_CLAIM_FIND] = "SELECT 1 FROM file_claims WHERE path = ?1 LIMIT 1",
    [ORPHAN_CLAIMS] = "DELETE FROM file_claims WHERE path NOT IN (SELECT path FROM files)",
    [ESTIMATE_PUT] = "UPDATE models SET frees = ?2, frees_key = ?3 WHERE id = ?1",
    [ESTIMATE_KEY] = "SELECT frees_key FROM models WHERE id = ?1",
    [FAMILY_PUT] = "UPDATE models SET family_frees = ?2, family_key = ?3 WHERE id = ?1",
    [FAMILY_KEY] = "SELECT family_key FROM models WHERE id = ?1",
    [TENSOR_PLACES] = "SELECT f.path, t.offset, t.bytes FROM tensors t JOIN files f"
                      " ON f.row = t.file WHERE t.id = ?1 AND f.state IN (0, 2)",
    [FILE_PLACES] = "SELECT path, 0, size FROM files WHERE (content = ?1 OR digest = ?2)"
                    " AND state IN (0, 2)",
    [JOB_ADD] = "INSERT INTO jobs(what, pid, born, added) VALUES(?1, ?2, ?3, ?4) RETURNING id",
    [JOB_OWN] = "UPDATE jobs SET pid = ?2, born = ?3 WHERE id = ?1",
    [JOB_DROP] = "DELETE FROM jobs WHERE id = ?1",
    [JOB_LIST] = "SELECT id, what, pid, born, added FROM jobs ORDER BY id",
    [DAMAGE_PUT] = "INSERT OR IGNORE INTO damage VALUES(?1)",
    [DAMAGE_DROP] = "DELETE FROM damage WHERE fid = ?1",
    [DAMAGE_FIND] = "SELECT 1 FROM damage WHERE fid = ?1",
    [READING_PUT] = "INSERT OR REPLACE INTO readings VALUES(?1, ?2)",
    [READING_FIND] = "SELECT time FROM readings WHERE object = ?1",
    [LOAD_FILES] = "SELECT " FILE_COLUMNS " FROM files ORDER BY row",
    [LOAD_MODELS] = "SELECT row, id, name, source, root, path, revision, run, flags, frees,"
                    " family_frees FROM models ORDER BY row",
    [LOAD_MODEL_FILES] = "SELECT model, file, name FROM model_files ORDER BY model, idx",
    [LOAD_CLAIMS] = "SELECT model, kind_name, target, detail, kind, idx FROM claims UNION"
                    " SELECT m.model, c.kind_name, c.target, c.detail, c.kind, c.idx"
                    " FROM file_claims c JOIN files f ON f.path = c.path"
                    " JOIN model_files m ON m.file = f.row WHERE c.idx >= 0 ORDER BY 1, 5, 6",
};

struct catalog {
    sqlite3 *db;
    sqlite3_stmt *prepared[STATEMENT_COUNT];
    enum catalog_kind kind;
    char *path;
    bool damaged; /* found while it was read: set aside when it is closed */
};

static int fail(struct catalog *catalog, struct err *err)
{
    int code = sqlite3_errcode(catalog->db);
    catalog->damaged |= code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    if (code == SQLITE_CORRUPT && catalog->path)
        return err_set(err, ERR_DAMAGED,
                       "the catalog %.400s is damaged: it is set aside, and the next command makes "
                       "a new one",
                       catalog->path);
    if (code == SQLITE_BUSY)
        return err_set(err, ERR_BUSY, "the catalog is in use by another tare");
    return err_set(err, code == SQLITE_FULL ? ERR_NOSPACE : ERR_IO, "catalog: %s",
                   sqlite3_errmsg(catalog->db));
}

/* The statement, reset, ready for binding; NULL after an error that fail() tells. */
static sqlite3_stmt *statement(struct catalog *catalog, enum statement which)
{
    sqlite3_stmt **st = &catalog->prepared[which];
    if (!*st && sqlite3_prepare_v3(catalog->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                   st, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*st);
    return *st;
}

static void bind_bytes(sqlite3_stmt *st, int at, const void *bytes, size_t n)
{
    if (bytes)
        sqlite3_bind_blob64(st, at, n ? bytes : "", n, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, at);
}

static void bind_name(sqlite3_stmt *st, int at, const char *name)
{
    bind_bytes(st, at, name, name ? strlen(name) : 0);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static void bind_hash(sqlite3_stmt *st, int at, const struct hash128 *hash)
{
    bind_bytes(st, at, hash && !hash128_is_zero(hash) ? hash : NULL, sizeof *hash);
}

/* Runs to the end and resets. */
static int run(struct catalog *catalog, sqlite3_stmt *st, struct err *err)
{
    int code;
    if (!st)
        return fail(catalog, err);
    while ((code = sqlite3_step(st)) == SQLITE_ROW)
        ;
    int r = code == SQLITE_DONE ? 0 : fail(catalog, err);
    sqlite3_reset(st);
    return r;
}

/* 1: a row is there, 0: the end (reset), negative: an error. */
static int step(struct catalog *catalog, sqlite3_stmt *st, struct err *err)
{
    int code = st ? sqlite3_step(st) : SQLITE_ERROR;
    if (code == SQLITE_ROW)
        return 1;
    int r = code == SQLITE_DONE ? 0 : fail(catalog, err);
    if (st)
        sqlite3_reset(st);
    return r;
}

static int execute(struct catalog *catalog, const char *sql, struct err *err)
{
    return sqlite3_exec(catalog->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(catalog, err);
}

/* Runs a statement whose parameters are a path and the time. */
static int add_place(struct catalog *catalog, enum statement which, const char *path,
                     struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    if (st) {
        bind_name(st, 1, path);
        sqlite3_bind_int64(st, 2, time(NULL));
    }
    return run(catalog, st, err);
}

static bool on_network(const char *path)
{
    struct statfs fs;
    AUTO_FREE char *dir = file_dir(path);
    if (statfs(dir, &fs) < 0)
        return false;
    switch ((unsigned long)fs.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case 0xff534d42ul: /* CIFS */
    case 0xfe534d42ul: /* SMB2 */
    case 0x01021997ul: /* 9p */
    case 0x0bd00bd0ul: /* Lustre */
    case FUSE_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

static int64_t pragma(struct catalog *catalog, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(catalog->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        value = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return value;
}

/* *ret_old: it was of a version before there were checksums. */
static int migrate(struct catalog *catalog, bool *ret_old, struct err *err)
{
    *ret_old = false;
    if (pragma(catalog, "PRAGMA user_version") == SCHEMA_VERSION)
        return 0; /* nobody is waited for */
    int r = execute(catalog, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    int64_t version = pragma(catalog, "PRAGMA user_version");
    if (version < 0)
        r = err_set(err, ERR_DAMAGED, "its version is %lld", (long long)version);
    else if (version > SCHEMA_VERSION)
        r = err_set(err, ERR_UNSUPPORTED, "the catalog was made by a newer tare (version %lld)",
                    (long long)version);
    *ret_old = version > 0 && version < CHECKED_SINCE;
    char line[80];
    for (int64_t v = version; v < SCHEMA_VERSION && r == 0; v++)
        r = execute(catalog, schema_steps[v], err);
    snprintf(line, sizeof line, "PRAGMA user_version = %d; PRAGMA application_id = %d",
             (int)SCHEMA_VERSION, APPLICATION_ID);
    if (r == 0 && version < SCHEMA_VERSION)
        r = execute(catalog, line, err);
    return catalog_end(catalog, r, err);
}

/*
 * What lies at the path: nothing or an empty file, a catalog, a database of somebody else, or
 * no database. Looked at before anything is written.
 */
enum found { FOUND_NOTHING, FOUND_CATALOG, FOUND_FOREIGN, FOUND_GARBAGE };

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum found look_at(const char *path)
{
    static const char magic[16] = "SQLite format 3";
    unsigned char head[100];
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return FOUND_NOTHING;
    AUTO_FREE char *journal = mem_printf("%s-journal", path);
    if (access(journal, F_OK) == 0)
        return FOUND_CATALOG; /* its first page may be half written: SQLite takes that back */
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || st.st_size < (off_t)sizeof head ||
        file_pread(fd, head, sizeof head, 0, NULL) < 0 || memcmp(head, magic, sizeof magic) != 0)
        return FOUND_GARBAGE;
    /* Without id and schema: one that a crash left in the making; what it is shows when opened. */
    bool fresh = get32(head + 68) == 0 && get32(head + 40) == 0;
    return get32(head + 68) == APPLICATION_ID || fresh ? FOUND_CATALOG
           : head[20] == CHECKED_RESERVE               ? FOUND_GARBAGE /* ours, by all signs */
                                                       : FOUND_FOREIGN;
}

/* Whether every page has a checksum; an old catalog is written anew for that. */
static bool has_checksums(struct catalog *catalog, bool old)
{
    int reserve = -1;
    if (catalog->kind == CATALOG_MEMORY)
        return true;
    if (old)
        (void)sqlite3_exec(catalog->db, "VACUUM", NULL, NULL, NULL);
    (void)sqlite3_file_control(catalog->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    return reserve == CHECKED_RESERVE;
}

/* One attempt to open. *ret_corrupt tells whether the catalog there is damaged. */
static int try_open(struct catalog *catalog, const char *path, bool *ret_corrupt, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int reserve = CHECKED_RESERVE;
    bool old = false;
    int r = sqlite3_open_v2(path, &catalog->db, flags, checked_vfs()) == SQLITE_OK
                ? 0
                : fail(catalog, err);
    sqlite3_busy_timeout(catalog->db, 10000);
    if (r == 0)
        (void)sqlite3_file_control(catalog->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    if (r == 0 && pragma(catalog, "SELECT count(*) FROM sqlite_master") > 0 &&
        pragma(catalog, "PRAGMA application_id") != APPLICATION_ID)
        r = err_set(err, ERR_REFUSED, "not a catalog of tare; it is left as it is");
    bool network = catalog->kind == CATALOG_FILE && on_network(path);
    if (r == 0)
        r = execute(catalog,
                    network ? "PRAGMA journal_mode = TRUNCATE" : "PRAGMA journal_mode = WAL", err);
    if (r == 0)
        r = execute(catalog,
                    "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                    "CREATE TEMP TABLE seen(id TEXT PRIMARY KEY) WITHOUT ROWID",
                    err);
    if (r == 0)
        r = migrate(catalog, &old, err);
    if (r == 0 && !has_checksums(catalog, old))
        r = err_set(err, ERR_DAMAGED, "its pages have no checksums");
    if (r == 0 && sqlite3_exec(catalog->db, statements[LOAD_MODELS], NULL, NULL, NULL) != SQLITE_OK)
        r = fail(catalog, err); /* damage that only reading finds */
    int code = sqlite3_errcode(catalog->db);
    *ret_corrupt =
        r == ERR_DAMAGED ||
        (r < 0 && (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR));
    if (r == 0 && catalog->kind == CATALOG_FILE && sqlite3_db_readonly(catalog->db, "main"))
        r = err_set(err, ERR_READONLY, "cannot be written");
    if (r < 0) {
        for (int i = 0; i < STATEMENT_COUNT; i++) {
            sqlite3_finalize(catalog->prepared[i]);
            catalog->prepared[i] = NULL;
        }
        sqlite3_close(catalog->db);
        catalog->db = NULL;
    }
    return r;
}

/* Moves a damaged catalog to a name that is free: path.corrupt, path.corrupt.1 …: free it. */
static char *set_aside(const char *path)
{
    for (int i = 0; i < 100; i++) {
        AUTO_FREE char *to =
            i ? mem_printf("%s.corrupt.%d", path, i) : mem_printf("%s.corrupt", path);
        if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
            continue;
        AUTO_FREE char *wal = mem_printf("%s-wal", path), *shm = mem_printf("%s-shm", path);
        (void)unlink(wal);
        (void)unlink(shm);
        return TAKE_PTR(to);
    }
    return NULL;
}

int catalog_open(const char *path, struct catalog **ret, struct buf *note, struct err *err)
{
    struct catalog *catalog = mem_zalloc(sizeof *catalog);
    struct err why = {0};
    bool corrupt = false;
    AUTO_FREE char *dir = file_dir(path);
    enum found found = look_at(path);
    /* Only what bears a catalog's name may be a damaged one; anything else is not ours. */
    if (found == FOUND_FOREIGN ||
        (found == FOUND_GARBAGE && strcmp(file_base(path), "catalog.db"))) {
        free(catalog);
        return err_set(err, ERR_REFUSED, "%s: not a catalog of tare; it is left as it is", path);
    }
    int r = file_make_dirs(dir, &why);
    if (r == 0)
        r = try_open(catalog, path, &corrupt, &why);
    if (r < 0 && corrupt) {
        AUTO_FREE char *aside = set_aside(path);
        if (note && aside)
            buf_printf(note, "%s was damaged: set aside as %s, a new one is made\n", path,
                       file_base(aside));
        r = try_open(catalog, path, &corrupt, &why);
    }
    if (r < 0 && r != ERR_UNSUPPORTED && r != ERR_BUSY && r != ERR_REFUSED) {
        if (note)
            buf_printf(note, "%s: %s; the index is kept in memory for this run\n", path, why.text);
        catalog->kind = CATALOG_MEMORY;
        r = try_open(catalog, ":memory:", &corrupt, &why);
    }
    if (r < 0) {
        free(catalog);
        return err_set(err, r, "%s: %.500s", path, why.text);
    }
    catalog->path = mem_strdup(path);
    catalog->damaged = false; /* what was, is set aside */
    *ret = catalog;
    return 0;
}

int catalog_check(struct catalog *catalog, struct err *err)
{
    AUTO_FREE char *first = NULL;
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(catalog->db, "PRAGMA integrity_check(1)", -1, &st, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        first = mem_strdup((const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    if (first && strcmp(first, "ok") == 0)
        return 0;
    if (!first && code != SQLITE_CORRUPT)
        return fail(catalog, err);
    catalog->damaged = true;
    return err_set(err, ERR_DAMAGED, "%s", first ? first : "a page has another checksum");
}

void catalog_close(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(catalog->prepared[i]);
    sqlite3_close(catalog->db);
    if (catalog->damaged && catalog->kind == CATALOG_FILE)
        free(set_aside(catalog->path));
    free(catalog->path);
    free(catalog);
}

enum catalog_kind catalog_kind(const struct catalog *catalog)
{
    return catalog->kind;
}

int catalog_begin(struct catalog *catalog, struct err *err)
{
    return execute(catalog, "BEGIN IMMEDIATE", err);
}

/* A COMMIT that fails (SQLITE_BUSY, a full disk) may leave the transaction open: it is ended. */
int catalog_end(struct catalog *catalog, int r, struct err *err)
{
    if (r == 0)
        r = execute(catalog, "COMMIT", err);
    if (r < 0 && !sqlite3_get_autocommit(catalog->db))
        (void)execute(catalog, "ROLLBACK", NULL);
    return r;
}

int catalog_add_root(struct catalog *catalog, const char *path, struct err *err)
{
    return add_place(catalog, ROOT_ADD, path, err);
}

int catalog_add_store(struct catalog *catalog, const char *path, struct err *err)
{
    return add_place(catalog, STORE_ADD, path, err);
}

int catalog_put_damage(struct catalog *catalog, const char *fid, bool damaged, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, damaged ? DAMAGE_PUT : DAMAGE_DROP);
    if (st)
        bind_text(st, 1, fid);
    return run(catalog, st, err);
}

bool catalog_is_damaged(struct catalog *catalog, const char *fid)
{
    sqlite3_stmt *st = statement(catalog, DAMAGE_FIND);
    if (st)
        bind_text(st, 1, fid);
    bool found = step(catalog, st, NULL) > 0;
    if (found)
        sqlite3_reset(st);
    return found;
}

int catalog_put_reading(struct catalog *catalog, const struct hash128 *object, int64_t time,
                        struct err *err)
{
    sqlite3_stmt *st = statement(catalog, READING_PUT);
    if (st) {
        bind_hash(st, 1, object);
        sqlite3_bind_int64(st, 2, time);
    }
    return run(catalog, st, err);
}

int64_t catalog_reading(struct catalog *catalog, const struct hash128 *object)
{
    sqlite3_stmt *st = statement(catalog, READING_FIND);
    if (st)
        bind_hash(st, 1, object);
    if (step(catalog, st, NULL) <= 0)
        return 0;
    int64_t time = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return time;
}

int catalog_forget_root(struct catalog *catalog, const char *path, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, ROOT_FORGET);
    if (st)
        bind_name(st, 1, path);
    return run(catalog, st, err);
}

/* A column of bytes as text of its own; NULL stays NULL. */
static char *column_name(struct arena *arena, sqlite3_stmt *st, int at)
{
    const char *bytes = sqlite3_column_blob(st, at);
    if (sqlite3_column_type(st, at) == SQLITE_NULL)
        return NULL;
    return arena_strndup(arena, bytes, (size_t)sqlite3_column_bytes(st, at));
}

int catalog_put_job(struct catalog *catalog, struct catalog_job *job, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, job->id ? JOB_OWN : JOB_ADD);
    if (st && job->id) {
        sqlite3_bind_int64(st, 1, job->id);
        sqlite3_bind_int64(st, 2, job->pid);
        sqlite3_bind_int64(st, 3, job->born);
        int owned = run(catalog, st, err);
        return owned < 0 || sqlite3_changes(catalog->db)
                   ? owned
                   : err_set(err, ERR_NOTFOUND, "the job is not waiting any more");
    }
    if (st) {
        bind_text(st, 1, job->what);
        sqlite3_bind_int64(st, 2, job->pid);
        sqlite3_bind_int64(st, 3, job->born);
        sqlite3_bind_int64(st, 4, job->added);
    }
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0 ? r : err_set(err, ERR_IO, "catalog: a job has no number");
    job->id = sqlite3_column_int64(st, 0);
    return run(catalog, st, err);
}

int catalog_drop_job(struct catalog *catalog, int64_t id, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, JOB_DROP);
    if (st)
        sqlite3_bind_int64(st, 1, id);
    return run(catalog, st, err);
}

int catalog_jobs(struct catalog *catalog,
                 void (*found)(void *context, const struct catalog_job *job), void *context,
                 struct err *err)
{
    sqlite3_stmt *st = statement(catalog, JOB_LIST);
    int r;
    while ((r = step(catalog, st, err)) > 0) {
        const struct catalog_job job = {.id = sqlite3_column_int64(st, 0),
                                        .what = (const char *)sqlite3_column_text(st, 1),
                                        .pid = sqlite3_column_int64(st, 2),
                                        .born = sqlite3_column_int64(st, 3),
                                        .added = sqlite3_column_int64(st, 4)};
        found(context, &job);
    }
    return r;
}

/* Runs a statement that yields path, offset and bytes. */
static int each_place(struct catalog *catalog, sqlite3_stmt *st,
                      void (*found)(void *context, const char *path, uint64_t offset,
                                    uint64_t bytes),
                      void *context, struct err *err)
{
    struct arena arena = {0};
    int r;
    while ((r = step(catalog, st, err)) > 0)
        found(context, column_name(&arena, st, 0), (uint64_t)sqlite3_column_int64(st, 1),
              (uint64_t)sqlite3_column_int64(st, 2));
    arena_release(&arena);
    return r;
}

int catalog_find_tensors(struct catalog *catalog, const struct hash128 *id,
                         void (*found)(void *context, const char *path, uint64_t offset,
                                       uint64_t bytes),
                         void *context, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, TENSOR_PLACES);
    if (st)
        bind_hash(st, 1, id);
    return each_place(catalog, st, found, context, err);
}

int catalog_find_files(struct catalog *catalog, const struct hash128 *content, const char *digest,
                       void (*found)(void *context, const char *path, uint64_t offset,
                                     uint64_t bytes),
                       void *context, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_PLACES);
    if (st) {
        bind_hash(st, 1, content);
        bind_text(st, 2, digest);
    }
    return each_place(catalog, st, found, context, err);
}

/* The same for a column that is never NULL: free it. */
static char *column_text(sqlite3_stmt *st, int at)
{
    return mem_strndup(sqlite3_column_blob(st, at), (size_t)sqlite3_column_bytes(st, at));
}

static int list_places(struct catalog *catalog, enum statement which,
                       void (*found)(void *context, const char *path), void *context,
                       struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    struct arena arena = {0};
    int r;
    while ((r = step(catalog, st, err)) > 0)
        found(context, column_name(&arena, st, 0));
    arena_release(&arena);
    return r;
}

int catalog_roots(struct catalog *catalog, void (*found)(void *context, const char *path),
                  void *context, struct err *err)
{
    return list_places(catalog, ROOT_LIST, found, context, err);
}

int catalog_stores(struct catalog *catalog, void (*found)(void *context, const char *path),
                   void *context, struct err *err)
{
    return list_places(catalog, STORE_LIST, found, context, err);
}

static void column_bytes(sqlite3_stmt *st, int at, void *dst, size_t n)
{
    memset(dst, 0, n);
    if ((size_t)sqlite3_column_bytes(st, at) == n)
        memcpy(dst, sqlite3_column_blob(st, at), n);
}

/* A number from 0 to most; anything else, which only damage can bring, counts as 0. */
static int bounded(sqlite3_stmt *st, int at, int most)
{
    int64_t value = sqlite3_column_int64(st, at);
    return value < 0 || value > most ? 0 : (int)value;
}

/* Reads the FILE_COLUMNS. Texts go into the arena. */
static void read_file(struct arena *arena, sqlite3_stmt *st, struct catalog_file *file)
{
    int at = 0;
    *file = (struct catalog_file){0};
    file->row = sqlite3_column_int64(st, at++);
    file->key = column_name(arena, st, at++);
    file->path = column_name(arena, st, at++);
    file->digest = column_name(arena, st, at++);
    file->error = column_name(arena, st, at++);
    file->store = column_name(arena, st, at++);
    file->fid = column_name(arena, st, at++);
    uint64_t *const numbers[] = {&file->fsid,   &file->ino,        &file->size,    &file->disk,
                                 &file->stored, &file->parameters, &file->tensors, &file->header};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        *numbers[i] = (uint64_t)sqlite3_column_int64(st, at++);
    file->mtime_ns = sqlite3_column_int64(st, at++);
    file->ctime_ns = sqlite3_column_int64(st, at++);
    file->atime = sqlite3_column_int64(st, at++);
    file->links = (uint32_t)sqlite3_column_int(st, at++);
    file->flags = (unsigned)sqlite3_column_int(st, at++);
    file->format = (enum format)bounded(st, at++, FORMAT_SAFETENSORS);
    file->state = (enum file_state)bounded(st, at++, FILE_DAMAGED);
    column_bytes(st, at++, &file->sample, sizeof file->sample);
    column_bytes(st, at++, &file->content, sizeof file->content);
    column_bytes(st, at++, file->dtype_bytes, sizeof file->dtype_bytes);
}

int catalog_find_file(struct catalog *catalog, const char *key, struct catalog_file *ret,
                      struct arena *arena, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_FIND);
    if (st)
        bind_text(st, 1, key);
    int r = step(catalog, st, err);
    if (r > 0) {
        read_file(arena, st, ret);
        sqlite3_reset(st);
        return 0;
    }
    return r < 0 ? r : err_set(err, ERR_NOTFOUND, "%s: not in the catalog", key);
}

static int put_tensors(struct catalog *catalog, int64_t row, const struct layout *layout,
                       struct err *err)
{
    sqlite3_stmt *st = statement(catalog, TENSORS_DROP);
    if (st)
        sqlite3_bind_int64(st, 1, row);
    int r = run(catalog, st, err);
    for (size_t i = 0; i < layout->count && r == 0; i++) {
        const struct tensor *t = &layout->tensors[i];
        if (!(st = statement(catalog, TENSOR_PUT)))
            return fail(catalog, err);
        sqlite3_bind_int64(st, 1, row);
        sqlite3_bind_int64(st, 2, (int64_t)i);
        bind_bytes(st, 3, t->name, t->name_len);
        sqlite3_bind_int(st, 4, (int)t->dtype);
        bind_bytes(st, 5, t->shape, t->dims * sizeof *t->shape);
        sqlite3_bind_int64(st, 6, (int64_t)t->offset);
        sqlite3_bind_int64(st, 7, (int64_t)t->bytes);
        r = run(catalog, st, err);
    }
    return r;
}

int catalog_put_file(struct catalog *catalog, struct catalog_file *file,
                     const struct layout *layout, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_PUT);
    if (!st)
        return fail(catalog, err);
    int at = 2;
    bind_text(st, at++, file->key);
    bind_name(st, at++, file->path);
    bind_text(st, at++, file->digest);
    bind_name(st, at++, file->error);
    bind_name(st, at++, file->store);
    bind_text(st, at++, file->fid);
    const uint64_t numbers[] = {file->fsid,   file->ino,        file->size,    file->disk,
                                file->stored, file->parameters, file->tensors, file->header};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        sqlite3_bind_int64(st, at++, (int64_t)numbers[i]);
    sqlite3_bind_int64(st, at++, file->mtime_ns);
    sqlite3_bind_int64(st, at++, file->ctime_ns);
    sqlite3_bind_int64(st, at++, file->atime);
    sqlite3_bind_int(st, at++, (int)file->links);
    sqlite3_bind_int(st, at++, (int)file->flags);
    sqlite3_bind_int(st, at++, (int)file->format);
    sqlite3_bind_int(st, at++, (int)file->state);
    bind_hash(st, at++, &file->sample);
    bind_hash(st, at++, &file->content);
    bind_bytes(st, at++, file->dtype_bytes, sizeof file->dtype_bytes);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0 ? r : fail(catalog, err);
    file->row = sqlite3_column_int64(st, 0);
    r = run(catalog, st, err);
    return r == 0 && layout ? put_tensors(catalog, file->row, layout, err) : r;
}

/* One statement of (row, blob) or (row, index, blob). */
static int put_blob(struct catalog *catalog, enum statement which, int64_t row, int64_t index,
                    const void *bytes, size_t n, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    int at = 1;
    if (st) {
        sqlite3_bind_int64(st, at++, row);
        if (index >= 0)
            sqlite3_bind_int64(st, at++, index);
        bind_bytes(st, at, bytes, n);
    }
    return run(catalog, st, err);
}

int catalog_put_hashes(struct catalog *catalog, int64_t row, const struct hash128 *content,
                       const struct hash128 *ids, size_t count, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = put_blob(catalog, TENSOR_HASH, row, (int64_t)i, &ids[i], sizeof ids[i], err);
    return r < 0 ? r : put_blob(catalog, FILE_CONTENT, row, -1, content, sizeof *content, err);
}

static int copy_from(struct catalog *catalog, enum statement which, int64_t row, int64_t twin,
                     struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    if (st) {
        sqlite3_bind_int64(st, 1, row);
        sqlite3_bind_int64(st, 2, twin);
    }
    return run(catalog, st, err);
}

int catalog_copy_hashes(struct catalog *catalog, int64_t row, bool *ret, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_TWIN);
    *ret = false;
    if (st)
        sqlite3_bind_int64(st, 1, row);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r;
    int64_t twin = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    r = copy_from(catalog, TENSORS_COPY, row, twin, err);
    if (r == 0)
        r = copy_from(catalog, CONTENT_COPY, row, twin, err);
    *ret = r == 0;
    return r;
}

int catalog_copy_sketches(struct catalog *catalog, int64_t row, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_BEFORE);
    if (st)
        sqlite3_bind_int64(st, 1, row);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r;
    int64_t before = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return copy_from(catalog, SKETCHES_COPY, row, before, err);
}

int catalog_put_sketches(struct catalog *catalog, int64_t row,
                         const struct catalog_sketches *sketches, struct err *err)
{
    const size_t each = sketches->each;
    int r = 0;
    for (size_t i = 0; i < sketches->count && r == 0; i++)
        r = put_blob(catalog, TENSOR_SKETCH, row, (int64_t)i, sketches->bytes + i * each, each,
                     err);
    if (r == 0)
        r = put_blob(catalog, FILE_SKETCH, row, -1, sketches->bytes + sketches->count * each,
                     sketches->whole, err);
    return r < 0 ? r
                 : put_blob(catalog, FILE_SAMPLE, row, -1, &sketches->sample,
                            sizeof sketches->sample, err);
}

static int list_rows(struct catalog *catalog, enum statement which, struct catalog_rows *ret,
                     struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    int r;
    *ret = (struct catalog_rows){0};
    while ((r = step(catalog, st, err)) > 0)
        *ARRAY_ADD(ret->rows, ret->count, ret->cap) = sqlite3_column_int64(st, 0);
    return r;
}

int catalog_unhashed(struct catalog *catalog, struct catalog_rows *ret, struct err *err)
{
    return list_rows(catalog, FILES_UNHASHED, ret, err);
}

int catalog_unsketched(struct catalog *catalog, struct catalog_rows *ret, struct err *err)
{
    return list_rows(catalog, FILES_UNSKETCHED, ret, err);
}

static void read_tensor(struct arena *arena, sqlite3_stmt *st, struct tensor *t)
{
    size_t shape_bytes = (size_t)sqlite3_column_bytes(st, 2);
    uint64_t *shape = arena_alloc(arena, shape_bytes);
    if (shape_bytes)
        memcpy(shape, sqlite3_column_blob(st, 2), shape_bytes);
    t->name = column_name(arena, st, 0);
    t->name_len = (uint32_t)sqlite3_column_bytes(st, 0);
    t->dtype = (enum dtype)bounded(st, 1, DTYPE_COUNT - 1);
    t->shape = shape;
    t->dims = (uint32_t)(shape_bytes / sizeof *shape);
    t->offset = (uint64_t)sqlite3_column_int64(st, 3);
    t->bytes = (uint64_t)sqlite3_column_int64(st, 4);
}

int catalog_tensors(struct catalog *catalog, int64_t row, struct catalog_tensors *ret,
                    struct err *err)
{
    *ret = (struct catalog_tensors){0};
    sqlite3_stmt *st = statement(catalog, FILE_LAYOUT);
    if (st)
        sqlite3_bind_int64(st, 1, row);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0
                   ? r
                   : err_set(err, ERR_NOTFOUND, "file %lld is not in the catalog", (long long)row);
    struct layout *layout = &ret->layout;
    layout->format = (enum format)bounded(st, 0, FORMAT_SAFETENSORS);
    layout->header = (uint64_t)sqlite3_column_int64(st, 1);
    layout->size = (uint64_t)sqlite3_column_int64(st, 2);
    layout->trailing = sqlite3_column_int(st, 3) & FILE_TRAILING;
    sqlite3_reset(st);
    if ((st = statement(catalog, TENSOR_LIST)))
        sqlite3_bind_int64(st, 1, row);
    size_t id_count = 0, id_cap = 0;
    while ((r = step(catalog, st, err)) > 0) {
        read_tensor(&layout->arena, st, ARRAY_ADD(layout->tensors, layout->count, layout->cap));
        column_bytes(st, 5, ARRAY_ADD(ret->ids, id_count, id_cap), sizeof *ret->ids);
    }
    if (r < 0)
        catalog_tensors_release(ret);
    return r;
}

int catalog_tensor_sketches(struct catalog *catalog, int64_t row, size_t each, struct buf *ret,
                            struct err *err)
{
    sqlite3_stmt *st = statement(catalog, TENSOR_SKETCHES);
    bool whole = true;
    int r;
    if (st)
        sqlite3_bind_int64(st, 1, row);
    while ((r = step(catalog, st, err)) > 0) {
        whole &= (size_t)sqlite3_column_bytes(st, 0) == each;
        if (whole)
            buf_add(ret, sqlite3_column_blob(st, 0), each);
    }
    return r < 0 || whole ? r : err_set(err, ERR_NOTFOUND, "not every tensor has a sketch");
}

int catalog_put_profile(struct catalog *catalog, int64_t model,
                        const struct catalog_profile *profile, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, PROFILE_PUT);
    if (st) {
        sqlite3_bind_int64(st, 1, model);
        bind_hash(st, 2, &profile->architecture);
        bind_bytes(st, 3, profile->bytes, profile->count);
        bind_hash(st, 4, &profile->key);
    }
    return run(catalog, st, err);
}

int catalog_find_profile(struct catalog *catalog, int64_t model, struct catalog_profile *profile,
                         struct err *err)
{
    sqlite3_stmt *st = statement(catalog, PROFILE_FIND);
    if (st) {
        sqlite3_bind_int64(st, 1, model);
        bind_hash(st, 2, &profile->key);
    }
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0 ? r : err_set(err, ERR_NOTFOUND, "the profile is not in the catalog");
    column_bytes(st, 0, &profile->architecture, sizeof profile->architecture);
    column_bytes(st, 1, profile->bytes, profile->count);
    sqlite3_reset(st);
    return 0;
}

/* Reads a hash that a statement with one text parameter yields. */
static int find_hash(struct catalog *catalog, enum statement which, const char *id,
                     struct hash128 *ret, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    if (st)
        bind_text(st, 1, id);
    int r = step(catalog, st, err);
    if (r > 0) {
        column_bytes(st, 0, ret, sizeof *ret);
        sqlite3_reset(st);
        return 0;
    }
    return r < 0 ? r : err_set(err, ERR_NOTFOUND, "%s is not in the catalog", id);
}

int catalog_shared(struct catalog *catalog, int64_t model, int64_t other, double *ret,
                   double *ret_named, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, SHARED_BYTES);
    if (st) {
        sqlite3_bind_int64(st, 1, model);
        sqlite3_bind_int64(st, 2, other);
    }
    int r = step(catalog, st, err);
    if (r <= 0)
        return r;
    double all = sqlite3_column_double(st, 2);
    *ret = all > 0 ? sqlite3_column_double(st, 0) / all : 0;
    *ret_named = all > 0 ? sqlite3_column_double(st, 1) / all : 0;
    sqlite3_reset(st);
    return 0;
}

int catalog_each_tensor(struct catalog *catalog,
                        void (*found)(void *context, int64_t model, const struct hash128 *id,
                                      uint64_t bytes),
                        void *context, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, EACH_TENSOR);
    int r;
    if (st)
        sqlite3_bind_int64(st, 1, CATALOG_TENSOR_LEAST);
    while ((r = step(catalog, st, err)) > 0) {
        struct hash128 id;
        column_bytes(st, 1, &id, sizeof id);
        found(context, sqlite3_column_int64(st, 0), &id, (uint64_t)sqlite3_column_int64(st, 2));
    }
    return r;
}

int catalog_repeated_tensors(struct catalog *catalog, uint64_t least, struct arena *arena,
                             int (*found)(void *context, int64_t row, const struct tensor *tensor,
                                          const struct hash128 *id, struct err *err),
                             void *context, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, REPEATED_TENSORS);
    int r;
    if (st)
        sqlite3_bind_int64(st, 1, (int64_t)least);
    while ((r = step(catalog, st, err)) > 0) {
        struct tensor tensor = {0};
        struct hash128 id;
        read_tensor(arena, st, &tensor);
        column_bytes(st, 5, &id, sizeof id);
        r = found(context, sqlite3_column_int64(st, 6), &tensor, &id, err);
        if (r < 0) {
            sqlite3_reset(st);
            return r;
        }
    }
    return r;
}

int catalog_put_key(struct catalog *catalog, const char *name, const struct hash128 *key,
                    struct err *err)
{
    sqlite3_stmt *st = statement(catalog, KEY_PUT);
    if (st) {
        bind_text(st, 1, name);
        bind_hash(st, 2, key);
    }
    return run(catalog, st, err);
}

int catalog_key(struct catalog *catalog, const char *name, struct hash128 *ret, struct err *err)
{
    return find_hash(catalog, KEY_FIND, name, ret, err);
}

int catalog_put_relations(struct catalog *catalog, int64_t model, const struct hash128 *profile,
                          const void *data, size_t n, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, RELATIONS_PUT);
    if (st) {
        sqlite3_bind_int64(st, 1, model);
        bind_hash(st, 2, profile);
        bind_bytes(st, 3, data, n);
    }
    return run(catalog, st, err);
}

/* The n bytes that a statement finds. ERR_NOTFOUND where there are none, or not so many. */
static int take_data(struct catalog *catalog, sqlite3_stmt *st, void *data, size_t n,
                     struct err *err)
{
    int r = step(catalog, st, err);
    if (r < 0)
        return r;
    bool found = r > 0 && (size_t)sqlite3_column_bytes(st, 0) == n;
    if (found)
        memcpy(data, sqlite3_column_blob(st, 0), n);
    if (r > 0)
        sqlite3_reset(st);
    return found ? 0 : err_set(err, ERR_NOTFOUND, "it is not in the catalog");
}

int catalog_find_relations(struct catalog *catalog, int64_t model, const struct hash128 *profile,
                           void *data, size_t n, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, RELATIONS_FIND);
    if (st) {
        sqlite3_bind_int64(st, 1, model);
        bind_hash(st, 2, profile);
    }
    return take_data(catalog, st, data, n, err);
}

int catalog_put_comparison(struct catalog *catalog, const struct hash128 *key, const void *data,
                           size_t n, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, COMPARISON_PUT);
    if (st) {
        bind_hash(st, 1, key);
        bind_bytes(st, 2, data, n);
    }
    return run(catalog, st, err);
}

int catalog_find_comparison(struct catalog *catalog, const struct hash128 *key, void *data,
                            size_t n, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, COMPARISON_FIND);
    if (st)
        bind_hash(st, 1, key);
    return take_data(catalog, st, data, n, err);
}

int catalog_find_edge(struct catalog *catalog, int64_t model, struct catalog_edge *ret,
                      struct err *err)
{
    sqlite3_stmt *st = statement(catalog, EDGE_FIND);
    if (st)
        sqlite3_bind_int64(st, 1, model);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0 ? r : err_set(err, ERR_NOTFOUND, "the edge is not in the catalog");
    *ret = (struct catalog_edge){.model = model,
                                 .parent = sqlite3_column_int64(st, 0),
                                 .second = sqlite3_column_int64(st, 1),
                                 .distance = sqlite3_column_double(st, 2),
                                 .kin = (unsigned)sqlite3_column_int(st, 3),
                                 .shared = sqlite3_column_double(st, 4)};
    column_bytes(st, 5, &ret->contents, sizeof ret->contents);
    sqlite3_reset(st);
    return 0;
}

int catalog_put_edges(struct catalog *catalog, const struct catalog_edge *edges, size_t count,
                      struct err *err)
{
    int r = run(catalog, statement(catalog, EDGES_DROP), err);
    for (size_t i = 0; i < count && r == 0; i++) {
        sqlite3_stmt *st = statement(catalog, EDGE_PUT);
        if (st) {
            sqlite3_bind_int64(st, 1, edges[i].model);
            sqlite3_bind_int64(st, 2, edges[i].parent);
            sqlite3_bind_int64(st, 3, edges[i].second);
            sqlite3_bind_double(st, 4, edges[i].distance);
            sqlite3_bind_int64(st, 5, edges[i].kin);
            sqlite3_bind_double(st, 6, edges[i].shared);
            bind_hash(st, 7, &edges[i].contents);
        }
        r = run(catalog, st, err);
    }
    return r;
}

void catalog_tensors_release(struct catalog_tensors *tensors)
{
    layout_release(&tensors->layout);
    free(tensors->ids);
    tensors->ids = NULL;
}

int catalog_model_stamp(struct catalog *catalog, const char *id, struct hash128 *ret,
                        struct err *err)
{
    return find_hash(catalog, MODEL_STAMP, id, ret, err);
}

int catalog_estimate_key(struct catalog *catalog, const char *id, bool family, struct hash128 *ret,
                         struct err *err)
{
    return find_hash(catalog, family ? FAMILY_KEY : ESTIMATE_KEY, id, ret, err);
}

int catalog_put_estimate(struct catalog *catalog, const char *id, bool family, int64_t frees,
                         const struct hash128 *key, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, family ? FAMILY_PUT : ESTIMATE_PUT);
    if (st) {
        bind_text(st, 1, id);
        sqlite3_bind_int64(st, 2, frees);
        bind_hash(st, 3, key);
    }
    return run(catalog, st, err);
}

static int put_row(struct catalog *catalog, const struct catalog_model *model, int64_t *ret_row,
                   struct err *err)
{
    sqlite3_stmt *st = statement(catalog, MODEL_PUT);
    if (!st)
        return fail(catalog, err);
    bind_text(st, 1, model->id);
    bind_name(st, 2, model->name);
    bind_text(st, 3, model->source);
    bind_name(st, 4, model->root);
    bind_name(st, 5, model->path);
    bind_text(st, 6, model->revision);
    bind_name(st, 7, model->run);
    sqlite3_bind_int(st, 8, (int)model->flags);
    bind_hash(st, 9, &model->stamp);
    int r = step(catalog, st, err);
    if (r <= 0)
        return r < 0 ? r : fail(catalog, err);
    *ret_row = sqlite3_column_int64(st, 0);
    return run(catalog, st, err);
}

static int drop_by_row(struct catalog *catalog, enum statement which, int64_t row, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, which);
    if (st)
        sqlite3_bind_int64(st, 1, row);
    return run(catalog, st, err);
}

/* Puts a claim whose owner is bound already; st may be NULL. */
static int put_claim(struct catalog *catalog, sqlite3_stmt *st, int64_t i,
                     const struct catalog_claim *claim, struct err *err)
{
    if (st) {
        sqlite3_bind_int64(st, 2, i);
        sqlite3_bind_int(st, 3, claim->kind);
        bind_text(st, 4, claim->kind_name);
        bind_name(st, 5, claim->target);
        bind_text(st, 6, claim->detail);
    }
    return run(catalog, st, err);
}

int catalog_put_file_claims(struct catalog *catalog, const char *path,
                            const struct catalog_claim *claims, size_t count, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, FILE_CLAIMS_DROP);
    if (st)
        bind_name(st, 1, path);
    int r = run(catalog, st, err);
    /* The first row only says that the file was read. */
    static const struct catalog_claim none = {.kind_name = "", .target = "", .detail = ""};
    for (size_t i = 0; i <= count && r == 0; i++) {
        st = statement(catalog, FILE_CLAIM_PUT);
        if (st)
            bind_name(st, 1, path);
        r = put_claim(catalog, st, (int64_t)i - 1, i ? &claims[i - 1] : &none, err);
    }
    return r;
}

bool catalog_has_file_claims(struct catalog *catalog, const char *path)
{
    sqlite3_stmt *st = statement(catalog, FILE_CLAIM_FIND);
    if (st)
        bind_name(st, 1, path);
    bool found = step(catalog, st, NULL) > 0;
    if (found)
        sqlite3_reset(st);
    return found;
}

int catalog_put_model(struct catalog *catalog, const struct catalog_model *model,
                      const struct catalog_claim *claims, size_t claim_count, struct err *err)
{
    int64_t row = 0;
    int r = put_row(catalog, model, &row, err);
    if (r == 0)
        r = drop_by_row(catalog, MODEL_FILES_DROP, row, err);
    for (size_t i = 0; i < model->file_count && r == 0; i++) {
        sqlite3_stmt *st = statement(catalog, MODEL_FILE_PUT);
        if (!st)
            return fail(catalog, err);
        sqlite3_bind_int64(st, 1, row);
        sqlite3_bind_int64(st, 2, (int64_t)i);
        sqlite3_bind_int64(st, 3, model->rows[i]);
        bind_name(st, 4, model->file_names[i]);
        r = run(catalog, st, err);
    }
    if (r == 0)
        r = drop_by_row(catalog, CLAIMS_DROP, row, err);
    for (size_t i = 0; i < claim_count && r == 0; i++) {
        sqlite3_stmt *st = statement(catalog, CLAIM_PUT);
        if (st)
            sqlite3_bind_int64(st, 1, row);
        r = put_claim(catalog, st, (int64_t)i, &claims[i], err);
    }
    return r;
}

int catalog_see_model(struct catalog *catalog, const char *id, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, MODEL_SEEN);
    if (st)
        bind_text(st, 1, id);
    return run(catalog, st, err);
}

int catalog_start_sweep(struct catalog *catalog, struct err *err)
{
    return execute(catalog, "DELETE FROM temp.seen", err);
}

int catalog_sweep_root(struct catalog *catalog, const char *root, struct err *err)
{
    static const enum statement sweeps[] = {SWEEP_FILES, SWEEP_CLAIMS, SWEEP_MODELS};
    AUTO_FREE char *below = mem_printf("%s/", root);
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(sweeps) && r == 0; i++) {
        sqlite3_stmt *st = statement(catalog, sweeps[i]);
        if (st) {
            bind_name(st, 1, root);
            bind_name(st, 2, below);
        }
        r = run(catalog, st, err);
    }
    return r;
}

int catalog_drop_orphans(struct catalog *catalog, struct err *err)
{
    static const enum statement drops[] = {ORPHAN_TENSORS, ORPHAN_FILES, ORPHAN_CLAIMS,
                                           ORPHAN_RELATIONS, COMPARISONS_TRIM};
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(drops) && r == 0; i++)
        r = run(catalog, statement(catalog, drops[i]), err);
    return r;
}

/* Row numbers of the database to indices of the snapshot; rows come in ascending order. */
struct row_map {
    int64_t *rows;
    size_t count, cap;
};

static int map_find(const struct row_map *map, int64_t row)
{
    size_t low = 0, high = map->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->count && map->rows[low] == row ? (int)low : -1;
}

static void take_file(struct lib_file *dst, const struct catalog_file *src)
{
    *dst = (struct lib_file){
        .row = src->row,
        .path = src->path ? src->path : "",
        .digest = src->digest,
        .error = src->error,
        .store = src->store,
        .fid = src->fid,
        .fsid = src->fsid,
        .ino = src->ino,
        .size = src->size,
        .disk = src->disk,
        .stored = src->stored,
        .parameters = src->parameters,
        .tensors = src->tensors,
        .mtime = src->mtime_ns / 1000000000 - (src->mtime_ns % 1000000000 < 0),
        .mtime_ns = src->mtime_ns,
        .atime = src->atime,
        .links = src->links,
        .flags = src->flags,
        .format = src->format,
        .state = src->state,
        .hashed = !hash128_is_zero(&src->content),
        .content = src->content,
    };
    memcpy(dst->dtype_bytes, src->dtype_bytes, sizeof dst->dtype_bytes);
}

static int load_files(struct catalog *catalog, struct library *library, struct row_map *map,
                      struct err *err)
{
    sqlite3_stmt *st = statement(catalog, LOAD_FILES);
    size_t cap = 0;
    int r;
    while ((r = step(catalog, st, err)) > 0) {
        struct catalog_file file;
        read_file(&library->arena, st, &file);
        take_file(ARRAY_ADD(library->files, library->file_count, cap), &file);
        *ARRAY_ADD(map->rows, map->count, map->cap) = file.row;
    }
    return r;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static bool in_scope(const char *root, const char *path, const char *const scope[])
{
    if (!scope)
        return true;
    for (; *scope; scope++) {
        size_t n = strlen(*scope);
        if (strcmp(root, *scope) == 0 || strcmp(path, *scope) == 0 ||
            (strncmp(path, *scope, n) == 0 && path[n] == '/'))
            return true;
    }
    return false;
}

/* Whether an estimate is known, and not that it cannot be compressed. */
static bool take_estimate(sqlite3_stmt *st, int column, int64_t *ret)
{
    *ret = sqlite3_column_int64(st, column);
    return sqlite3_column_type(st, column) != SQLITE_NULL && *ret != INT64_MIN;
}

static int load_models(struct catalog *catalog, struct library *library, const char *const scope[],
                       struct row_map *map, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, LOAD_MODELS);
    struct arena *arena = &library->arena;
    size_t cap = 0;
    int r;
    while ((r = step(catalog, st, err)) > 0) {
        AUTO_FREE char *root = column_text(st, 4), *path = column_text(st, 5);
        if (!in_scope(root, path, scope))
            continue;
        struct lib_model *model = ARRAY_ADD(library->models, library->model_count, cap);
        model->row = sqlite3_column_int64(st, 0);
        *ARRAY_ADD(map->rows, map->count, map->cap) = model->row;
        snprintf(model->id, sizeof model->id, "%s", (const char *)sqlite3_column_text(st, 1));
        model->name = or_empty(column_name(arena, st, 2));
        model->source = or_empty(column_name(arena, st, 3));
        model->root = arena_strdup(arena, root);
        model->path = arena_strdup(arena, path);
        model->revision = or_empty(column_name(arena, st, 6));
        model->run = or_empty(column_name(arena, st, 7));
        model->flags = (unsigned)sqlite3_column_int(st, 8);
        model->frees_known = take_estimate(st, 9, &model->frees);
        model->family_known = take_estimate(st, 10, &model->family_frees);
    }
    return r;
}

/* The rows come grouped by model: each group becomes the arrays of one model. */
static int load_model_files(struct catalog *catalog, struct library *library,
                            const struct row_map *models, const struct row_map *files,
                            struct err *err)
{
    sqlite3_stmt *st = statement(catalog, LOAD_MODEL_FILES);
    uint32_t *indices = NULL;
    const char **names = NULL;
    size_t count = 0, cap = 0, name_count = 0, name_cap = 0;
    int r, at = -1;
    do {
        r = step(catalog, st, err);
        int model = r > 0 ? map_find(models, sqlite3_column_int64(st, 0)) : -1;
        if (model != at && at >= 0 && count) {
            uint32_t *own = arena_alloc(&library->arena, count * sizeof *own);
            const char **own_names = arena_alloc(&library->arena, count * sizeof *own_names);
            memcpy(own, indices, count * sizeof *own);
            memcpy(own_names, names, count * sizeof *own_names);
            library->models[at].files = own;
            library->models[at].file_names = own_names;
            library->models[at].file_count = count;
            count = name_count = 0;
        }
        at = model;
        int file = model >= 0 ? map_find(files, sqlite3_column_int64(st, 1)) : -1;
        if (file >= 0) {
            *ARRAY_ADD(indices, count, cap) = (uint32_t)file;
            *ARRAY_ADD(names, name_count, name_cap) = or_empty(column_name(&library->arena, st, 2));
        }
    } while (r > 0);
    free(indices);
    free(names);
    return r;
}

static int load_claims(struct catalog *catalog, struct library *library,
                       const struct row_map *models, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, LOAD_CLAIMS);
    struct lib_claim *claims = NULL;
    size_t count = 0, cap = 0;
    int r, at = -1;
    do {
        r = step(catalog, st, err);
        int model = r > 0 ? map_find(models, sqlite3_column_int64(st, 0)) : -1;
        if (model != at && at >= 0) {
            struct lib_claim *own = arena_alloc(&library->arena, count * sizeof *own);
            memcpy(own, claims, count * sizeof *own);
            library->models[at].claims = own;
            library->models[at].claim_count = count;
            count = 0;
        }
        at = model;
        if (model >= 0)
            *ARRAY_ADD(claims, count, cap) =
                (struct lib_claim){.kind_name = or_empty(column_name(&library->arena, st, 1)),
                                   .target = or_empty(column_name(&library->arena, st, 2)),
                                   .detail = or_empty(column_name(&library->arena, st, 3)),
                                   .model = NO_MODEL};
    } while (r > 0);
    free(claims);
    return r;
}

/* Edges whose ends are both here; library_finish takes the others from the claims. */
static int load_edges(struct catalog *catalog, struct library *library,
                      const struct row_map *models, struct err *err)
{
    sqlite3_stmt *st = statement(catalog, LOAD_EDGES);
    int r;
    while ((r = step(catalog, st, err)) > 0) {
        int model = map_find(models, sqlite3_column_int64(st, 0));
        int64_t parent = sqlite3_column_int64(st, 1);
        int at = parent ? map_find(models, parent) : NO_MODEL;
        if (model < 0 || (parent && at < 0))
            continue;
        library->models[model].base = at;
        library->models[model].second = map_find(models, sqlite3_column_int64(st, 2));
        library->models[model].distance = sqlite3_column_double(st, 3);
        library->models[model].kin = (unsigned)sqlite3_column_int(st, 4) | KIN_KNOWN;
        library->models[model].shared = sqlite3_column_double(st, 5);
    }
    return r;
}

struct root_list {
    struct library *library;
    size_t cap;
};

static void add_root(void *context, const char *path)
{
    struct root_list *list = context;
    struct library *library = list->library;
    *ARRAY_ADD(library->roots, library->root_count, list->cap) =
        arena_strdup(&library->arena, path);
}

int catalog_load(struct catalog *catalog, const char *const scope[], struct library **ret,
                 struct err *err)
{
    struct library *library = mem_zalloc(sizeof *library);
    struct row_map files = {0}, models = {0};
    struct root_list roots = {.library = library};
    library->references = 1;
    int r = execute(catalog, "BEGIN", err);
    const bool begun = r == 0;
    if (r == 0)
        r = load_files(catalog, library, &files, err);
    if (r == 0)
        r = load_models(catalog, library, scope, &models, err);
    if (r == 0)
        r = load_model_files(catalog, library, &models, &files, err);
    if (r == 0)
        r = load_claims(catalog, library, &models, err);
    if (r == 0)
        r = load_edges(catalog, library, &models, err);
    if (r == 0)
        r = catalog_roots(catalog, add_root, &roots, err);
    if (begun)
        (void)catalog_end(catalog, 0, NULL);
    free(files.rows);
    free(models.rows);
    if (r < 0) {
        library_unref(library);
        return r;
    }
    library_finish(library);
    *ret = library;
    return 0;
}
