/*
 * snapshot_lock.c - the map's shared lock while a snapshot of it is read.
 *
 * map->readers counts the snapshots that read under the lock which the first of them has taken, in
 * its lower half; the upper half is their process, so that a child forked meanwhile, which has the
 * number but not the threads, does not take it for its own. Who takes or gives back the lock has
 * the count at CHANGING meanwhile.
 */
#include "snapshot_lock.h"

#include <inttypes.h>

#include "deadline.h"
#include "status.h"

#define CHANGING UINT32_MAX
#define PAUSE_MS 1u
#define ASK_MS 100u /* how long it waits without asking whether it still should */

static km_status fail_timeout(const km_map *map, uint32_t timeout_ms, const char *who) {
    return km_fail(KM_E_TIMEOUT, "cannot lock \"%s\" shared: %s for %" PRIu32 " ms",
                   map->file->path, who, timeout_ms);
}

/* ---- The count ----------------------------------------------------------------------------- */

static uint64_t readers_of(uint32_t count) {
    return count == 0 ? 0 : (uint64_t)GetCurrentProcessId() << 32 | count;
}

static bool are_inherited(uint64_t readers) {
    return readers != 0 && readers != readers_of((uint32_t)readers);
}

bool km_snapshot_lock_is_inherited(const km_map *map) {
    return are_inherited(atomic_load(&map->readers));
}

/* ---- Waiting ------------------------------------------------------------------------------- */

/* Nothing of the image is done yet. */
static km_status ask(const km_map *map, const km_snapshot_patience *patience) {
    if (patience->progress == NULL || patience->progress(0, km_size(map), patience->progress_arg)) {
        return KM_OK;
    }
    return km_fail(KM_E_CANCELLED,
                   "the snapshot of \"%s\" was cancelled while it waited for the lock",
                   map->file->path);
}

/*
 * By who has set CHANGING. KM_E_TIMEOUT after ASK_MS at most, without a sentence. *ours: not the
 * lock that the program holds itself.
 */
static km_status lock_for_a_while(km_map *map, const km_deadline *deadline, bool *ours) {
    const uint32_t left = km_deadline_left(deadline);
    const uint32_t least = left > 0 ? left : 1;
    const km_deadline step = km_deadline_in(least < ASK_MS ? least : ASK_MS);
    km_status status = KM_E_TIMEOUT;
    km_lock_state found = KM_LOCK_CHANGING;
    for (;;) {
        found = km_lock_for_snapshot(map, step.timeout_ms, &status);
        if (found != KM_LOCK_CHANGING || km_deadline_left(&step) == 0) {
            break;
        }
        Sleep(PAUSE_MS); /* the program locks or unlocks in another thread */
    }
    if (found == KM_LOCKED) {
        *ours = false;
        return KM_OK;
    }
    if (status == KM_E_OWNER_DIED) {
        km_unlock_for_snapshot(map);
    }
    *ours = status == KM_OK;
    return status;
}

/* By who has set CHANGING. */
static km_status take(km_map *map, const km_snapshot_patience *patience,
                      const km_deadline *deadline, bool *ours) {
    for (;;) {
        km_status status = lock_for_a_while(map, deadline, ours);
        if (status != KM_E_TIMEOUT) {
            return status;
        }
        if (km_deadline_left(deadline) == 0) {
            return fail_timeout(map, patience->timeout_ms, "others held it");
        }
        status = ask(map, patience);
        if (status != KM_OK) {
            return status;
        }
    }
}

/* Joins those who read already, or becomes who may change the count; false: to be asked again. */
static bool enter(km_map *map, bool *joined) {
    uint64_t readers = atomic_load(&map->readers);
    const uint32_t count = (uint32_t)readers;
    *joined = count > 0;
    return count != CHANGING && !are_inherited(readers) &&
           atomic_compare_exchange_strong(&map->readers, &readers,
                                          readers_of(*joined ? count + 1 : CHANGING));
}

/* *joined: those who read already; else CHANGING is ours. */
static km_status enter_in_time(km_map *map, const km_snapshot_patience *patience,
                               const km_deadline *deadline, bool *joined) {
    for (unsigned pauses = 1; !enter(map, joined); pauses++) {
        if (km_snapshot_lock_is_inherited(map)) {
            return km_fail(KM_E_INVALID,
                           "cannot lock \"%s\" shared: this process was forked while a snapshot of "
                           "it was being made",
                           map->file->path);
        }
        if (km_deadline_left(deadline) == 0) {
            return fail_timeout(map, patience->timeout_ms,
                                "another snapshot of the map has waited for the lock");
        }
        const km_status status = pauses % (ASK_MS / PAUSE_MS) == 0 ? ask(map, patience) : KM_OK;
        if (status != KM_OK) {
            return status;
        }
        Sleep(PAUSE_MS);
    }
    return KM_OK;
}

/* ---- The calls ----------------------------------------------------------------------------- */

km_status km_snapshot_lock(km_map *map, const km_snapshot_patience *patience, bool *taken) {
    const uint32_t timeout_ms = patience->timeout_ms;
    const km_deadline deadline = km_deadline_in(timeout_ms != 0 ? timeout_ms : KM_WAIT_FOREVER);
    bool ours = false;
    km_status status = enter_in_time(map, patience, &deadline, &ours);
    if (status != KM_OK) {
        return status;
    }
    if (!ours) {
        status = take(map, patience, &deadline, &ours);
        atomic_store(&map->readers, readers_of(ours ? 1 : 0));
    }
    if (status == KM_OK) {
        *taken = ours;
    }
    return status;
}

void km_snapshot_unlock(km_map *map) {
    for (;;) {
        uint64_t readers = atomic_load(&map->readers);
        const uint32_t count = (uint32_t)readers;
        const bool is_last = count == 1;
        if (are_inherited(readers)) {
            return; /* forked from a function that the snapshot called: the lock is the parent's */
        }
        if (atomic_compare_exchange_strong(&map->readers, &readers,
                                           readers_of(is_last ? CHANGING : count - 1))) {
            if (is_last) {
                km_unlock_for_snapshot(map);
                atomic_store(&map->readers, 0);
            }
            return;
        }
    }
}
