/*
 * lock.c - km_lock and km_unlock: locks among processes, on one byte of the file, or of the one
 * that a segment has for it.
 *
 * map->lock says what this map holds; who changes it owns KM_LOCK_CHANGING meanwhile.
 */
#include <inttypes.h>

#include "deadline.h"
#include "map.h"
#include "segment.h"
#include "size.h"
#include "snapshot_lock.h"
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
static DWORD wait_for_lock(HANDLE file, km_lock_mode mode, const km_deadline *deadline) {
    for (uint32_t pause = FIRST_PAUSE_MS;; pause *= 2) {
        const DWORD error = try_lock(file, mode);
        if (error != ERROR_LOCK_VIOLATION || deadline->timeout_ms == 0) {
            return error;
        }
        const uint32_t left = km_deadline_left(deadline);
        if (left == 0) {
            return WAIT_TIMEOUT;
        }
        pause = pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS;
        Sleep(pause < left ? pause : left);
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

/* The byte. A segment's file may have lost its name while we waited: those who come now meet at
 * another one, and so do we. */
static km_status take_byte(km_map *map, km_lock_mode mode, const km_deadline *deadline,
                           HANDLE *handle) {
    km_file *file = map->file;
    for (;;) {
        km_status status =
            file->segment != NULL ? km_segment_lock_file(map, deadline, handle) : KM_OK;
        if (status != KM_OK) {
            return status;
        }
        const DWORD error = wait_for_lock(*handle, mode, deadline);
        if (error != ERROR_SUCCESS) {
            return fail_locking(file, error, mode, deadline->timeout_ms);
        }
        if (file->segment == NULL || !km_segment_lock_is_lost(map)) {
            return KM_OK;
        }
        (void)unlock_byte(*handle); /* nobody else will ever ask for it */
    }
}

/* *held: also with KM_E_OWNER_DIED. */
static km_status take_lock(km_map *map, km_lock_mode mode, const km_deadline *deadline,
                           bool *held) {
    HANDLE handle = map->file->handle;
    *held = false;
    km_status status = take_byte(map, mode, deadline, &handle);
    if (status != KM_OK) {
        return status;
    }
    status = map->file->segment != NULL ? km_segment_lock_entered(map, mode) : KM_OK;
    *held = status == KM_OK || status == KM_E_OWNER_DIED;
    if (!*held) {
        (void)unlock_byte(handle); /* the first failure is the one to tell */
    }
    return status;
}

static km_status fail_begun(const km_map *map, const char *by) {
    return km_fail(KM_E_INVALID, "cannot lock \"%s\": %s", map->file->path, by);
}

/* Makes map->lock ours. The lock of a snapshot is none of the program's: it is waited for, as if
 * another map had it. */
static km_status begin_locking(km_map *map, const km_deadline *deadline) {
    for (;;) {
        int found = KM_UNLOCKED;
        if (atomic_compare_exchange_strong(&map->lock, &found, KM_LOCK_CHANGING)) {
            return KM_OK;
        }
        if (found != KM_LOCK_SNAPSHOT) {
            return fail_begun(map, found == KM_LOCKED ? "this map holds its lock already"
                                                      : "another thread is locking this map");
        }
        if (km_snapshot_lock_is_inherited(map)) {
            return fail_begun(map, "this process was forked while a snapshot of it was being made");
        }
        if (km_deadline_left(deadline) == 0) {
            return km_fail(deadline->timeout_ms == 0 ? KM_E_BUSY : KM_E_TIMEOUT,
                           "cannot lock \"%s\": a snapshot of this map is being made",
                           map->file->path);
        }
        Sleep(FIRST_PAUSE_MS);
    }
}

/* By who owns map->lock, which is `as` if all goes well. */
static km_status lock_begun(km_map *map, km_lock_mode mode, const km_deadline *deadline,
                            km_lock_state as) {
    bool held = false;
    km_status status = take_lock(map, mode, deadline, &held);
    map->locker = GetCurrentProcessId();
    atomic_store(&map->lock, (int)(held ? as : KM_UNLOCKED));
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
    if (file->contents != NULL) {
        return km_fail(KM_E_UNSUPPORTED,
                       "cannot lock \"%s\": what a snapshot holds does not change", file->path);
    }
    if (file->segment != NULL && mode == KM_LOCK_EXCLUSIVE && file->access != KM_WRITE) {
        return km_fail(KM_E_ACCESS,
                       "cannot lock the segment \"%s\" exclusively: the map is not for writing",
                       file->path);
    }
    const km_deadline deadline = km_deadline_in(timeout_ms);
    km_status status = begin_locking(map, &deadline);
    return status == KM_OK ? lock_begun(map, mode, &deadline, KM_LOCKED) : status;
}

km_lock_state km_lock_for_snapshot(km_map *map, uint32_t timeout_ms, km_status *status) {
    int found = KM_UNLOCKED;
    if (atomic_compare_exchange_strong(&map->lock, &found, KM_LOCK_SNAPSHOT)) {
        const km_deadline deadline = km_deadline_in(timeout_ms);
        *status = lock_begun(map, KM_LOCK_SHARED, &deadline, KM_LOCK_SNAPSHOT);
    }
    return (km_lock_state)found;
}

/* By who owns map->lock. The byte is freed whatever becomes of the mark. */
static km_status give_back(km_map *map, bool repaired) {
    const km_file *file = map->file;
    HANDLE handle = file->handle;
    bool ours = true;
    DWORD mark_error = ERROR_SUCCESS;
    if (file->segment != NULL) {
        mark_error = km_segment_lock_leaving(map, repaired, &handle, &ours);
    }
    const DWORD error = ours ? unlock_byte(handle) : ERROR_SUCCESS;
    atomic_store(&map->lock, error == ERROR_SUCCESS ? KM_UNLOCKED : KM_LOCKED);
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_IO, error, "cannot unlock \"%s\"", file->path);
    }
    if (!ours) {
        return km_fail(KM_E_INVALID,
                       "cannot unlock the segment \"%s\": the process that locked it before the "
                       "fork has done so",
                       file->path);
    }
    if (mark_error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_IO, mark_error,
                                 "unlocked the segment \"%s\", but its record is out of reach",
                                 file->path);
    }
    return KM_OK;
}

static bool begin_unlocking(km_map *map) {
    int state = KM_LOCKED;
    return atomic_compare_exchange_strong(&map->lock, &state, KM_LOCK_CHANGING);
}

km_status km_unlock(km_map *map) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "cannot unlock: the map is NULL");
    }
    if (!begin_unlocking(map)) {
        return km_fail(KM_E_INVALID, "cannot unlock \"%s\": this map holds no lock",
                       map->file->path);
    }
    return give_back(map, true);
}

void km_unlock_for_snapshot(km_map *map) {
    (void)give_back(map, true); /* a shared lock says nothing of the mark: the next is told too */
}

void km_lock_drop(km_map *map) {
    if (begin_unlocking(map)) {
        (void)give_back(map, false); /* closing the file behind it frees it in any case */
    }
}
