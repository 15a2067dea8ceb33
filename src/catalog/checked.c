/* SPDX-License-Identifier: MIT */
/*
 * The checksum is the XXH3-64 of the page without its last eight bytes and of the page's place,
 * so that swapped pages are found as well; the write-ahead log has checksums of its own. A
 * database whose header reserves other than eight bytes a page passes as it is.
 * SQLite's VFS interface: https://www.sqlite.org/vfs.html
 */
#include "catalog/checked.h"

#include "base/hash.h"
#include "base/mem.h"

#include <sqlite3.h>
#include <string.h>

enum { HEADER = 100, RESERVE_AT = 20, PAGE_LEAST = 512, PAGE_MOST = 65536 };

/* A file of ours, with the real one behind it in the same allocation. */
struct checked_file {
    sqlite3_file base;
    bool database; /* not a journal, a log or a temporary file */
    bool checked;  /* its header says that its pages have checksums */
};

static sqlite3_file *real(sqlite3_file *file)
{
    return (sqlite3_file *)((struct checked_file *)file + 1);
}

static sqlite3_vfs *real_vfs(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static bool is_page(int n, sqlite3_int64 offset)
{
    return n >= PAGE_LEAST && n <= PAGE_MOST && (n & (n - 1)) == 0 && offset % n == 0;
}

static void sum_page(const void *page, int n, sqlite3_int64 offset, uint8_t sum[CHECKED_RESERVE])
{
    struct hasher *hasher = hasher_new((uint64_t)offset);
    hasher_update(hasher, page, (size_t)n - CHECKED_RESERVE);
    struct hash128 hash = hasher_digest(hasher);
    hasher_free(hasher);
    memcpy(sum, hash.b, CHECKED_RESERVE);
}

static void read_header(struct checked_file *file, const void *bytes, int n, sqlite3_int64 offset)
{
    if (file->database && offset == 0 && n >= HEADER)
        file->checked = ((const uint8_t *)bytes)[RESERVE_AT] == CHECKED_RESERVE;
}

static int checked_read(sqlite3_file *f, void *bytes, int n, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)f;
    uint8_t sum[CHECKED_RESERVE];
    int code = real(f)->pMethods->xRead(real(f), bytes, n, offset);
    if (code != SQLITE_OK || !file->database)
        return code;
    read_header(file, bytes, n, offset);
    if (!file->checked || !is_page(n, offset))
        return SQLITE_OK;
    sum_page(bytes, n, offset, sum);
    return memcmp((uint8_t *)bytes + n - CHECKED_RESERVE, sum, CHECKED_RESERVE) == 0
               ? SQLITE_OK
               : SQLITE_CORRUPT;
}

static int checked_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)f;
    read_header(file, bytes, n, offset);
    if (!file->checked || !is_page(n, offset))
        return real(f)->pMethods->xWrite(real(f), bytes, n, offset);
    AUTO_FREE uint8_t *page = mem_alloc((size_t)n);
    memcpy(page, bytes, (size_t)n);
    sum_page(page, n, offset, page + n - CHECKED_RESERVE);
    return real(f)->pMethods->xWrite(real(f), page, n, offset);
}

/* Everything else is passed on. */
static int checked_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}

static int checked_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real(f)->pMethods->xTruncate(real(f), size);
}

static int checked_sync(sqlite3_file *f, int flags)
{
    return real(f)->pMethods->xSync(real(f), flags);
}

static int checked_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real(f)->pMethods->xFileSize(real(f), size);
}

static int checked_lock(sqlite3_file *f, int lock)
{
    return real(f)->pMethods->xLock(real(f), lock);
}

static int checked_unlock(sqlite3_file *f, int lock)
{
    return real(f)->pMethods->xUnlock(real(f), lock);
}

static int checked_reserved(sqlite3_file *f, int *out)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int checked_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int checked_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int checked_traits(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int checked_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int checked_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}

static void checked_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int checked_unmap(sqlite3_file *f, int remove)
{
    return real(f)->pMethods->xShmUnmap(real(f), remove);
}

/* Version 2: no memory mapping, so that every page comes through checked_read. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = checked_close,
    .xRead = checked_read,
    .xWrite = checked_write,
    .xTruncate = checked_truncate,
    .xSync = checked_sync,
    .xFileSize = checked_size,
    .xLock = checked_lock,
    .xUnlock = checked_unlock,
    .xCheckReservedLock = checked_reserved,
    .xFileControl = checked_control,
    .xSectorSize = checked_sector,
    .xDeviceCharacteristics = checked_traits,
    .xShmMap = checked_map,
    .xShmLock = checked_shm_lock,
    .xShmBarrier = checked_barrier,
    .xShmUnmap = checked_unmap,
};

static int checked_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                        int *out)
{
    struct checked_file *file = (struct checked_file *)f;
    *file = (struct checked_file){.database = flags & SQLITE_OPEN_MAIN_DB};
    int code = real_vfs(vfs)->xOpen(real_vfs(vfs), name, real(f), flags, out);
    file->base.pMethods = real(f)->pMethods ? &methods : NULL;
    return code;
}

const char *checked_vfs(void)
{
    static sqlite3_vfs vfs;
    static const char name[] = "tare-checked";
    if (sqlite3_vfs_find(name))
        return name;
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);
    if (!base)
        return NULL;
    vfs = *base; /* whatever is not a file of ours goes to the system's */
    vfs.zName = name;
    vfs.pAppData = base;
    vfs.szOsFile = (int)sizeof(struct checked_file) + base->szOsFile;
    vfs.xOpen = checked_open;
    vfs.pNext = NULL;
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? name : NULL;
}
