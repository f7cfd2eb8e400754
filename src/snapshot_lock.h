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

/* *taken: km_snapshot_unlock is to be called. The statuses of km_lock; timeout_ms 0: no end. */
km_status km_snapshot_lock(km_map *map, uint32_t timeout_ms, bool *taken);

/* Any failure (KM_E_IO) has nothing to do with what was read. */
void km_snapshot_unlock(km_map *map);

#endif /* KM_SNAPSHOT_LOCK_H */
