/*
 * flush.c - km_flush: what was stored, on its way to the disk or there.
 */
#include <inttypes.h>

#include "map.h"
#include "status.h"

/* Windows says so while its own writer is at the very pages; it never takes long. */
#define BUSY_ATTEMPTS 50
#define BUSY_PAUSE_MS 2

static DWORD flush_view(const void *data, uint64_t length) {
    for (int attempt = 1;; attempt++) {
        if (FlushViewOfFile(data, (SIZE_T)length)) {
            return ERROR_SUCCESS;
        }
        DWORD error = GetLastError();
        if (error != ERROR_LOCK_VIOLATION || attempt == BUSY_ATTEMPTS) {
            return error;
        }
        Sleep(BUSY_PAUSE_MS);
    }
}

/* The directory entry of a file that we have made, once. */
static DWORD sync_entry(km_file *file) {
    if (!atomic_load(&file->entry_unsynced)) {
        return ERROR_SUCCESS;
    }
    DWORD error = km_platform_sync_entry(file->handle, file->native_path);
    if (error == ERROR_SUCCESS) {
        atomic_store(&file->entry_unsynced, false); /* not before: others must wait for it too */
    }
    return error;
}

/*
 * After a failed sync the kernel may take the pages for clean, although they never reached the
 * disk: no later success of this file means anything.
 */
static km_status poison(km_file *file, DWORD error, uint64_t offset, uint64_t length) {
    atomic_store(&file->poisoned, true);
    km_status status = km_status_of_error(error) == KM_E_NO_SPACE ? KM_E_NO_SPACE : KM_E_IO;
    return km_fail_system_as(status, error,
                             "cannot flush %" PRIu64 " bytes from %" PRIu64
                             " of \"%s\", stores may be lost",
                             length, offset, file->path);
}

/* The contents are durable, the name is not: only a write that failed is a reason to poison. */
static km_status fail_entry(km_file *file, DWORD error, uint64_t offset, uint64_t length) {
    km_status status = km_status_of_error(error);
    if (status == KM_E_IO || status == KM_E_NO_SPACE) {
        return poison(file, error, offset, length);
    }
    return km_fail_system(error, "cannot make the name of \"%s\" durable", file->path);
}

km_status km_flush(km_map *map, uint64_t offset, uint64_t length, km_flush_mode mode) {
    km_status status = km_map_range(map, offset, &length, "flush");
    if (status != KM_OK) {
        return status;
    }
    if (mode != KM_FLUSH_DURABLE && mode != KM_FLUSH_START) {
        return km_fail(KM_E_INVALID, "cannot flush: %d is no km_flush_mode", (int)mode);
    }
    km_file *file = map->file;
    if (file->access != KM_WRITE || file->segment != NULL) {
        return KM_OK;
    }
    if (atomic_load(&file->poisoned)) {
        return km_fail(KM_E_IO,
                       "cannot flush \"%s\": an earlier flush failed, and its stores may be lost",
                       file->path);
    }
    DWORD error = ERROR_SUCCESS;
    if (length > 0) {
        error = flush_view((const char *)map->data + offset, length);
    }
    if (mode == KM_FLUSH_DURABLE && error == ERROR_SUCCESS && !FlushFileBuffers(file->handle)) {
        error = GetLastError();
    }
    if (error != ERROR_SUCCESS) {
        return poison(file, error, offset, length);
    }
    if (mode == KM_FLUSH_DURABLE) {
        error = sync_entry(file);
    }
    return error == ERROR_SUCCESS ? KM_OK : fail_entry(file, error, offset, length);
}
