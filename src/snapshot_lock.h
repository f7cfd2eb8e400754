/*
 * snapshot_lock.h - the map's shared lock while a snapshot of it is read.
 *
 * A lock that the map holds already serves. Several snapshots of one map at once share one lock.
 */
#ifndef KM_SNAPSHOT_LOCK_H
#define KM_SNAPSHOT_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"

/* How a snapshot waits for the lock. */
typedef struct km_snapshot_patience {
    uint32_t timeout_ms;           /* 0: without end */
    km_progress_function progress; /* asked while it waits, and only then; NULL: nobody is */
    void *progress_arg;
} km_snapshot_patience;

/* *taken: km_snapshot_unlock is to be called. The statuses of km_lock, and KM_E_CANCELLED;
 * KM_E_INVALID if the lock is inherited. */
km_status km_snapshot_lock(km_map *map, const km_snapshot_patience *patience, bool *taken);

/* Any failure (KM_E_IO) has nothing to do with what was read. */
void km_snapshot_unlock(km_map *map);

/* Was there a snapshot of the map under way in the parent when this process was forked? Then its
 * lock is held here too, until nobody here can tell when. */
bool km_snapshot_lock_is_inherited(const km_map *map);

#endif /* KM_SNAPSHOT_LOCK_H */
