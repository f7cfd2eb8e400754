/*
 * snapshot_changes.h - what a map knows of the stores made through it since a snapshot of it, so
 * that the next one need not read what nobody has touched.
 *
 * Never wrong: whatever could have let a store go by (a window, another process, a snapshot that
 * failed, a tracker that did) means that nothing is known, and then everything is read.
 */
#ifndef KM_SNAPSHOT_CHANGES_H
#define KM_SNAPSHOT_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"
#include "snapshot_format.h"

/* What one snapshot knows. */
typedef struct km_change_watch {
    km_map *map;
    km_changes *changes; /* the map's, ours until the end; NULL: none */
    uint8_t *changed;    /* a bit for each chunk; NULL: nothing is known */
} km_change_watch;

/*
 * Before the first byte is read. `since`: the id of the snapshot that this one is made since; NULL:
 * none. `track`: the stores from here on are to be known to the next one. There is no failure, only
 * less to know.
 */
void km_changes_begin(km_change_watch *watch, km_map *map, bool track, const uint8_t *since,
                      uint8_t chunk_shift);

/* Is it sure that nothing was stored to the chunk since that snapshot? From all threads. */
bool km_changes_untouched(const km_change_watch *watch, uint64_t chunk);

/* `id`: that of the snapshot that has been made; NULL: it has failed, and all is forgotten. */
void km_changes_end(km_change_watch *watch, const uint8_t *id);

/* The map's view goes. Nobody is making a snapshot of the map. */
void km_changes_forget(km_map *map);

#endif /* KM_SNAPSHOT_CHANGES_H */
