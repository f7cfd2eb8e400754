/*
 * lock.c - km_lock and km_unlock: locks among processes, on one byte of the file, or of the one
 * that a segment has for it.
 *
 * map->lock says what this map holds; who changes it owns KM_LOCK_CHANGING meanwhile.
 */
#include <inttypes.h>

#include "map.h"
#include "segment.h"
#include "size.h"
#include "status.h"

/* Part of keepmap's conventions, see keepmap.h: programs of other versions must meet here. */
#define LOCK_BYTE (((uint64_t)1 << 62) - 1)

#define FIRST_PAUSE_MS 1u
#define LONGEST_PAUSE_MS 16u

static OVERLAPPED lock_place(void) {
    return (OVERLAPPED){.Offset = km_size_low(LOCK_BYTE), .OffsetHigh = km_size_high(LOCK_BYTE)};
}

static DWORD try_lock(HANDLE file, km_lock_mode mode) {
    OVERLAPPED place = lock_place();
    DWORD flags = LOCKFILE_FAIL_IMMEDIATELY;
    if (mode == KM_LOCK_EXCLUSIVE) {
        flags |= LOCKFILE_EXCLUSIVE_LOCK;
    }
    return LockFileEx(file, flags, 0, 1, 0, &place) ? ERROR_SUCCESS : GetLastError();
}

/*
 * Asks again and again, at growing intervals, rather than have LockFileEx wait: that has no time
 * limit, and on Windows everything else on the same handle, a flush by another thread, would wait
 * with it.
 */
static DWORD wait_for_lock(HANDLE file, km_lock_mode mode, uint32_t timeout_ms) {
    const uint64_t start = GetTickCount64();
    for (uint32_t pause = FIRST_PAUSE_MS;; pause *= 2) {
        DWORD error = try_lock(file, mode);
        if (error != ERROR_LOCK_VIOLATION || timeout_ms == 0) {
            return error;
        }
        pause = pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS;
        uint32_t rest = pause;
        if (timeout_ms != KM_WAIT_FOREVER) {
            uint64_t waited = GetTickCount64() - start;
            if (waited >= timeout_ms) {
                return WAIT_TIMEOUT;
            }
            rest = timeout_ms - (uint32_t)waited;
        }
        Sleep(pause < rest ? pause : rest);
    }
}

static km_status fail_locking(const km_file *file, DWORD error, km_lock_mode mode,
                              uint32_t timeout_ms) {
    const char *kind = mode == KM_LOCK_EXCLUSIVE ? "exclusively" : "shared";
    if (error == WAIT_TIMEOUT) {
        return km_fail(KM_E_TIMEOUT, "cannot lock \"%s\" %s: others held it for %" PRIu32 " ms",
                       file->path, kind, timeout_ms);
    }
    return km_fail_system(error, "cannot lock \"%s\" %s", file->path, kind);
}

static DWORD unlock_byte(HANDLE file) {
    OVERLAPPED place = lock_place();
    return UnlockFileEx(file, 0, 1, 0, &place) ? ERROR_SUCCESS : GetLastError();
}

/* *held: also with KM_E_OWNER_DIED. */
static km_status take_lock(km_map *map, km_lock_mode mode, uint32_t timeout_ms, bool *held) {
    km_file *file = map->file;
    HANDLE handle = file->handle;
    *held = false;
    if (file->segment != NULL) {
        km_status status = km_segment_lock_file(map, &handle);
        if (status != KM_OK) {
            return status;
        }
    }
    DWORD error = wait_for_lock(handle, mode, timeout_ms);
    if (error != ERROR_SUCCESS) {
        return fail_locking(file, error, mode, timeout_ms);
    }
    km_status status = file->segment != NULL ? km_segment_lock_entered(map, mode) : KM_OK;
    *held = status == KM_OK || status == KM_E_OWNER_DIED;
    if (!*held) {
        (void)unlock_byte(handle); /* the first failure is the one to tell */
    }
    return status;
}

km_status km_lock(km_map *map, km_lock_mode mode, uint32_t timeout_ms) {
    if (map == NULL || (mode != KM_LOCK_SHARED && mode != KM_LOCK_EXCLUSIVE)) {
        return km_fail(KM_E_INVALID, "cannot lock: %s",
                       map == NULL ? "the map is NULL" : "that is no km_lock_mode");
    }
    km_file *file = map->file;
    if (!map->opened) {
        return km_fail(KM_E_UNSUPPORTED,
                       "cannot lock a window of \"%s\": the lock is the business of its map",
                       file->path);
    }
    int state = KM_UNLOCKED;
    if (!atomic_compare_exchange_strong(&map->lock, &state, KM_LOCK_CHANGING)) {
        return km_fail(KM_E_INVALID, "cannot lock \"%s\": %s", file->path,
                       state == KM_LOCKED ? "this map holds its lock already"
                                          : "another thread is locking this map");
    }
    if (file->segment != NULL && mode == KM_LOCK_EXCLUSIVE && file->access != KM_WRITE) {
        atomic_store(&map->lock, KM_UNLOCKED);
        return km_fail(KM_E_ACCESS,
                       "cannot lock the segment \"%s\" exclusively: the map is not for writing",
                       file->path);
    }
    bool held = false;
    km_status status = take_lock(map, mode, timeout_ms, &held);
    map->locker = GetCurrentProcessId();
    atomic_store(&map->lock, held ? KM_LOCKED : KM_UNLOCKED);
    return status;
}

km_status km_unlock(km_map *map) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "cannot unlock: the map is NULL");
    }
    int state = KM_LOCKED;
    if (!atomic_compare_exchange_strong(&map->lock, &state, KM_LOCK_CHANGING)) {
        return km_fail(KM_E_INVALID, "cannot unlock \"%s\": this map holds no lock",
                       map->file->path);
    }
    HANDLE handle = map->file->handle;
    DWORD error = ERROR_SUCCESS;
    if (map->file->segment != NULL) {
        error = km_segment_lock_leaving(map, &handle);
    }
    if (error == ERROR_SUCCESS) {
        error = unlock_byte(handle);
    }
    atomic_store(&map->lock, error == ERROR_SUCCESS ? KM_UNLOCKED : KM_LOCKED);
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_IO, error, "cannot unlock \"%s\"", map->file->path);
    }
    return KM_OK;
}
