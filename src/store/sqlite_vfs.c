/* A layer between SQLite and the file system: remembers why a call failed (SQLite tells only that it did), gathers
 * what a commit writes to the log into one call, and lets tests make any call fail.
 *
 * SQLite writes each page of a commit to the log in two calls, then syncs, and tells nobody of them before. Here they
 * wait till the sync (or till anything else is asked of the file) and go in one. Where that fails, the sync has failed,
 * and the commit with it. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>

enum {
    GATHER_BYTES = 512 << 10,
    WRITE_BYTES = 64 << 10, /* SQLite's own layer below counts with 17 bits */
};

struct layer_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    bool log;           /* the write-ahead log */
    uint8_t *gathered;  /* GATHER_BYTES, from the first write on */
    int gathered_len;
    sqlite3_int64 gathered_at;
};

int (*hf_sqlite_vfs_fault)(void);
static sqlite3_vfs *below;
static _Thread_local int last_error;

int hf_sqlite_vfs_error(void)
{
    int error = last_error;
    last_error = 0;
    return error;
}

/* What a test wants to happen instead; SQLITE_OK: nothing. */
static int fault(void)
{
    return hf_sqlite_vfs_fault == NULL ? SQLITE_OK : hf_sqlite_vfs_fault();
}

static int keep_error(int code)
{
    if (code != SQLITE_OK)
        last_error = code == SQLITE_FULL ? ENOSPC : errno;
    return code;
}

static int flush(struct layer_file *layer)
{
    int len = layer->gathered_len;
    layer->gathered_len = 0;
    if (len == 0)
        return SQLITE_OK;
    if (fault() != SQLITE_OK)
        return SQLITE_IOERR_WRITE;
    for (int done = 0; done < len;) {
        int part = HF_MIN(len - done, (int)WRITE_BYTES);
        int code = layer->real->pMethods->xWrite(layer->real, layer->gathered + done, part,
                                                 layer->gathered_at + done);
        if (code != SQLITE_OK)
            return keep_error(code);
        done += part;
    }
    return SQLITE_OK;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct layer_file *)file)->real;
}

/* Before anything but a write that goes on where the last one ended. */
#define FLUSH(file)                                                                                          \
    do {                                                                                                     \
        int flushed_ = flush((struct layer_file *)(file));                                                   \
        if (flushed_ != SQLITE_OK)                                                                           \
            return flushed_;                                                                                 \
    } while (0)

#define CALL(file, method, instead, ...)                                                                     \
    do {                                                                                                     \
        sqlite3_file *real_ = real_of(file);                                                                 \
        return fault() != SQLITE_OK ? (instead) : keep_error(real_->pMethods->method(real_, ##__VA_ARGS__)); \
    } while (0)

static int layer_close(sqlite3_file *file)
{
    struct layer_file *layer = (struct layer_file *)file;
    sqlite3_free(layer->gathered); /* what was not synced belongs to no commit */
    layer->gathered = NULL;
    return layer->real->pMethods->xClose(layer->real);
}
static int layer_read(sqlite3_file *file, void *to, int count, sqlite3_int64 at)
{
    FLUSH(file);
    CALL(file, xRead, SQLITE_IOERR_READ, to, count, at);
}
static int layer_write(sqlite3_file *file, const void *from, int count, sqlite3_int64 at)
{
    struct layer_file *layer = (struct layer_file *)file;
    if (layer->log && layer->gathered == NULL)
        layer->gathered = sqlite3_malloc(GATHER_BYTES); /* without, it is only slower */
    if (layer->gathered_len != 0 &&
        (at != layer->gathered_at + layer->gathered_len || count > GATHER_BYTES - layer->gathered_len))
        FLUSH(file);
    if (layer->gathered != NULL && count <= GATHER_BYTES - layer->gathered_len) {
        if (layer->gathered_len == 0)
            layer->gathered_at = at;
        memcpy(layer->gathered + layer->gathered_len, from, (size_t)count);
        layer->gathered_len += count;
        return SQLITE_OK;
    }
    CALL(file, xWrite, SQLITE_IOERR_WRITE, from, count, at);
}
static int layer_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    FLUSH(file);
    CALL(file, xTruncate, SQLITE_IOERR_TRUNCATE, size);
}
static int layer_sync(sqlite3_file *file, int flags)
{
    FLUSH(file);
    CALL(file, xSync, SQLITE_IOERR_FSYNC, flags);
}
static int layer_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    FLUSH(file);
    CALL(file, xFileSize, SQLITE_IOERR_FSTAT, ret_size);
}
static int layer_lock(sqlite3_file *file, int level)
{
    CALL(file, xLock, SQLITE_IOERR_LOCK, level);
}
static int layer_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int layer_reserved(sqlite3_file *file, int *ret_locked)
{
    CALL(file, xCheckReservedLock, SQLITE_IOERR_CHECKRESERVEDLOCK, ret_locked);
}
static int layer_control(sqlite3_file *file, int what, void *arg)
{
    FLUSH(file);
    return real_of(file)->pMethods->xFileControl(real_of(file), what, arg);
}
static int layer_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int layer_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int layer_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    CALL(file, xShmMap, SQLITE_IOERR_SHMMAP, region, size, extend, ret);
}
static int layer_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}
static void layer_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int layer_shm_unmap(sqlite3_file *file, int delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods layer_methods = {
    .iVersion = 2,
    .xClose = layer_close,
    .xRead = layer_read,
    .xWrite = layer_write,
    .xTruncate = layer_truncate,
    .xSync = layer_sync,
    .xFileSize = layer_size,
    .xLock = layer_lock,
    .xUnlock = layer_unlock,
    .xCheckReservedLock = layer_reserved,
    .xFileControl = layer_control,
    .xSectorSize = layer_sector,
    .xDeviceCharacteristics = layer_device,
    .xShmMap = layer_shm_map,
    .xShmLock = layer_shm_lock,
    .xShmBarrier = layer_shm_barrier,
    .xShmUnmap = layer_shm_unmap,
};

static int layer_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct layer_file *layer = (struct layer_file *)file;
    (void)vfs;
    *layer = (struct layer_file){.real = (sqlite3_file *)(layer + 1), .log = (flags & SQLITE_OPEN_WAL) != 0};
    if (fault() != SQLITE_OK)
        return SQLITE_CANTOPEN;
    int code = keep_error(below->xOpen(below, name, layer->real, flags, ret_flags));
    if (code == SQLITE_OK || layer->real->pMethods != NULL)
        layer->base.pMethods = &layer_methods;
    return code;
}

/* All other calls of a file system go straight to the one below: their first argument says which it is. */
static int below_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return fault() != SQLITE_OK ? SQLITE_IOERR_DELETE : keep_error(below->xDelete(below, name, sync));
}
static int below_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs;
    return fault() != SQLITE_OK ? SQLITE_IOERR_ACCESS : below->xAccess(below, name, flags, ret);
}
static int below_full_path(sqlite3_vfs *vfs, const char *name, int cap, char *ret)
{
    (void)vfs;
    return below->xFullPathname(below, name, cap, ret);
}
static int below_randomness(sqlite3_vfs *vfs, int count, char *ret)
{
    (void)vfs;
    return below->xRandomness(below, count, ret);
}
static int below_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return below->xSleep(below, microseconds);
}
static int below_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    return below->xCurrentTime(below, ret);
}
static int below_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    return below->xCurrentTimeInt64(below, ret);
}
static int below_error(sqlite3_vfs *vfs, int cap, char *ret)
{
    (void)vfs;
    return below->xGetLastError(below, cap, ret);
}

void hf_sqlite_vfs_register(void)
{
    static sqlite3_vfs layer = {
        .iVersion = 2,
        .zName = HF_SQLITE_VFS,
        .xOpen = layer_open,
        .xDelete = below_delete,
        .xAccess = below_access,
        .xFullPathname = below_full_path,
        .xRandomness = below_randomness,
        .xSleep = below_sleep,
        .xCurrentTime = below_time,
        .xCurrentTimeInt64 = below_time_ms,
        .xGetLastError = below_error,
    };
    below = sqlite3_vfs_find(NULL);
    if (below == NULL)
        return;
    layer.szOsFile = (int)sizeof(struct layer_file) + below->szOsFile;
    layer.mxPathname = below->mxPathname;
    (void)sqlite3_vfs_register(&layer, /* as the default */ 0);
}
