/*
 * snapshot_changes.c - what a map knows of the stores made through it since a snapshot of it.
 *
 * The map's km_changes belong to the one snapshot that has taken them out of map->changes; another
 * one that runs beside it finds none, and reads everything.
 */
#include "snapshot_changes.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"

struct km_changes {
    km_tracker *tracker;
    uint64_t windows; /* file->windows when the tracker began anew: none has been made since */
    uint8_t id[KM_FORMAT_ID_SIZE]; /* of the snapshot that was made then */
};

static void changes_free(km_changes *changes) {
    if (changes != NULL) {
        km_platform_tracker_stop(changes->tracker);
        free(changes);
    }
}

static void put_back(km_map *map, km_changes *changes) {
    changes_free(atomic_exchange(&map->changes, changes));
}

/*
 * Does every store to the file that sharing modes allow go through this map's view? Not since a
 * fork, here or in the child: each stores through a view of its own.
 * *windows: what they are to be later for that to have stayed so. Asked for before the references:
 * km_map_new_window changes them in the opposite order.
 */
static bool sees_all_stores(const km_map *map, uint64_t *windows) {
    const km_file *file = map->file;
    *windows = atomic_load(&file->windows);
    return map->view != NULL && map->opened && !map->window && file->access == KM_WRITE &&
           file->forks == km_platform_forks() && file->segment == NULL && file->contents == NULL &&
           (file->flags & KM_OPEN_SOLE) != 0 && atomic_load(&file->references) == 1;
}

static km_changes *start(const km_map *map, uint64_t windows) {
    km_changes *changes = calloc(1, sizeof *changes);
    if (changes == NULL) {
        return NULL;
    }
    changes->windows = windows;
    if (km_platform_tracker_start(map->view, map->size, &changes->tracker) != ERROR_SUCCESS) {
        free(changes);
        return NULL;
    }
    return changes;
}

/* Fetches what was stored to, and begins anew; false if that cannot be told. */
static bool collect(km_changes *changes, uint64_t size, uint8_t chunk_shift, uint8_t **changed) {
    const uint64_t chunks = km_format_chunks(size, chunk_shift);
    uint8_t *bits = calloc((size_t)(chunks / 8 + 1), 1);
    if (bits == NULL || km_platform_tracker_collect(changes->tracker, (uint64_t)1 << chunk_shift,
                                                    bits) != ERROR_SUCCESS) {
        free(bits);
        return false;
    }
    *changed = bits;
    return true;
}

void km_changes_begin(km_change_watch *watch, km_map *map, bool track, const uint8_t *since,
                      uint8_t chunk_shift) {
    uint64_t windows = 0;
    *watch = (km_change_watch){.map = map};
    if (map == NULL) {
        return;
    }
    km_changes *changes = atomic_exchange(&map->changes, NULL);
    const bool sees_all = sees_all_stores(map, &windows);
    if (changes != NULL && (!sees_all || changes->windows != windows)) {
        changes_free(changes);
        changes = NULL;
    }
    const bool continues =
        changes != NULL && since != NULL && memcmp(changes->id, since, sizeof changes->id) == 0;
    if (changes != NULL && !continues && !track) {
        put_back(map, changes); /* they are about another snapshot, which may still be the next's */
        return;
    }
    if (changes != NULL && !collect(changes, map->size, chunk_shift, &watch->changed)) {
        changes_free(changes);
        changes = NULL;
    }
    if (!continues) {
        free(watch->changed);
        watch->changed = NULL;
    }
    watch->changes = changes == NULL && track && sees_all ? start(map, windows) : changes;
}

bool km_changes_untouched(const km_change_watch *watch, uint64_t chunk) {
    return watch->changed != NULL && (watch->changed[chunk / 8] >> (chunk % 8) & 1) == 0;
}

void km_changes_end(km_change_watch *watch, const uint8_t *id) {
    if (watch->changes != NULL && id != NULL) {
        memcpy(watch->changes->id, id, sizeof watch->changes->id);
        put_back(watch->map, watch->changes);
    } else {
        changes_free(watch->changes);
    }
    free(watch->changed);
    *watch = (km_change_watch){0};
}

void km_changes_forget(km_map *map) {
    changes_free(atomic_exchange(&map->changes, NULL));
}
