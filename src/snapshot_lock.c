/*
 * snapshot_lock.c - the map's shared lock while a snapshot of it is read.
 *
 * map->readers counts the snapshots that read under the lock which the first of them has taken. Who
 * takes or gives it back has it at CHANGING meanwhile; so a lock found held in between is the
 * program's own.
 */
#include "snapshot_lock.h"

#include <inttypes.h>

#include "deadline.h"
#include "status.h"

#define CHANGING (-1)
#define PAUSE_MS 1u

/* By who has set CHANGING. *ours: not the one that the program holds itself. */
static km_status take(km_map *map, const km_deadline *deadline, bool *ours) {
    *ours = atomic_load(&map->lock) != KM_LOCKED;
    if (!*ours) {
        return KM_OK;
    }
    km_status status = km_lock(map, KM_LOCK_SHARED, km_deadline_left(deadline));
    if (status == KM_E_OWNER_DIED) {
        (void)km_unlock(map); /* a shared lock says nothing of the mark: the next is told too */
    }
    *ours = status == KM_OK;
    return status;
}

/* Joins those who read already, or becomes who may change the count; false: to be asked again. */
static bool enter(km_map *map, bool *joined) {
    int readers = atomic_load(&map->readers);
    *joined = readers > 0;
    return readers != CHANGING && atomic_compare_exchange_strong(&map->readers, &readers,
                                                                 *joined ? readers + 1 : CHANGING);
}

km_status km_snapshot_lock(km_map *map, uint32_t timeout_ms, bool *taken) {
    const km_deadline deadline = km_deadline_in(timeout_ms != 0 ? timeout_ms : KM_WAIT_FOREVER);
    bool joined = false;
    while (!enter(map, &joined)) {
        if (km_deadline_left(&deadline) == 0) {
            return km_fail(KM_E_TIMEOUT,
                           "cannot lock \"%s\" shared: another snapshot of the map has waited for "
                           "the lock for %" PRIu32 " ms",
                           map->file->path, timeout_ms);
        }
        Sleep(PAUSE_MS);
    }
    bool ours = joined;
    km_status status = joined ? KM_OK : take(map, &deadline, &ours);
    if (!joined) {
        atomic_store(&map->readers, ours ? 1 : 0);
    }
    if (status == KM_OK) {
        *taken = ours;
    }
    return status;
}

void km_snapshot_unlock(km_map *map) {
    for (;;) {
        int readers = atomic_load(&map->readers);
        const bool is_last = readers == 1;
        if (atomic_compare_exchange_strong(&map->readers, &readers,
                                           is_last ? CHANGING : readers - 1)) {
            if (is_last) {
                (void)km_unlock(map);
                atomic_store(&map->readers, 0);
            }
            return;
        }
    }
}
