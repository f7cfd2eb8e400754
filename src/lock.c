/*
 * lock.c - km_lock and km_unlock: locks among processes, on one byte of the file.
 *
 * map->lock says what this map holds; who changes it owns KM_LOCK_CHANGING meanwhile.
 */
#include <inttypes.h>

#include "map.h"
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
    DWORD error = wait_for_lock(file->handle, mode, timeout_ms);
    map->locker = GetCurrentProcessId();
    atomic_store(&map->lock, error == ERROR_SUCCESS ? KM_LOCKED : KM_UNLOCKED);
    return error == ERROR_SUCCESS ? KM_OK : fail_locking(file, error, mode, timeout_ms);
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
    OVERLAPPED place = lock_place();
    BOOL unlocked = UnlockFileEx(map->file->handle, 0, 1, 0, &place);
    DWORD error = unlocked ? ERROR_SUCCESS : GetLastError();
    atomic_store(&map->lock, unlocked ? KM_UNLOCKED : KM_LOCKED);
    if (!unlocked) {
        return km_fail_system_as(KM_E_IO, error, "cannot unlock \"%s\"", map->file->path);
    }
    return KM_OK;
}
