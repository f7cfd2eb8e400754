/*
 * open_snapshot.c - km_open_snapshot: a map of what a snapshot holds; and km_is_snapshot.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "contents.h"
#include "open.h"
#include "path.h"
#include "snapshot_reader.h"
#include "status.h"

#define KNOWN_FLAGS (KM_OPEN_EXACT | KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL)

static km_status check_options(const km_options *options) {
    if (options->access != KM_READ && options->access != KM_PRIVATE) {
        return km_fail(KM_E_INVALID,
                       "a snapshot is opened with KM_READ or KM_PRIVATE: its contents are fixed");
    }
    if (options->init != NULL || options->init_arg != NULL || options->permissions != 0 ||
        options->type != NULL || options->type_version != 0) {
        return km_fail(KM_E_INVALID, "km_options: init, permissions and type are for what is made; "
                                     "a snapshot is there");
    }
    return KM_OK;
}

static km_status check_size(const char *path, const km_options *options, uint64_t actual) {
    if ((options->flags & KM_OPEN_EXACT) != 0 && actual != options->size) {
        return km_fail(KM_E_MISMATCH,
                       "cannot open \"%s\" as a snapshot of exactly %" PRIu64
                       " bytes: it holds %" PRIu64,
                       path, options->size, actual);
    }
    if (actual < options->size) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot open \"%s\" as a snapshot of at least %" PRIu64
                       " bytes: it holds %" PRIu64,
                       path, options->size, actual);
    }
    return KM_OK;
}

static km_status lay_out(km_map *map, const km_options *options) {
    const uint64_t size = km_contents_size(map->file->contents);
    km_status status = check_size(map->file->path, options, size);
    if (status == KM_OK) {
        status = km_open_check_window(map->file, options, size);
    }
    if (status != KM_OK) {
        return status;
    }
    const uint64_t length = options->length != 0 ? options->length : size - options->offset;
    map->offset = options->offset;
    return length > 0 ? km_contents_view(map, options->offset, length) : KM_OK;
}

km_status km_open_snapshot(km_map **map, const char *snapshot, const km_options *options) {
    km_options known;
    km_status status = km_open_read_options(options, KNOWN_FLAGS, &known);
    if (status == KM_OK) {
        status = check_options(&known);
    }
    if (status != KM_OK) {
        return status;
    }
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "there is no place for the map: it is NULL");
    }
    WCHAR *native_path = NULL;
    status = km_path_to_native(snapshot, &native_path);
    if (status != KM_OK) {
        return status;
    }
    km_map *opened = NULL;
    status = km_map_new(&opened, snapshot, native_path, &known);
    if (status != KM_OK) {
        free(native_path);
        return status;
    }
    status = km_contents_open(snapshot, &opened->file->contents);
    if (status == KM_OK) {
        status = lay_out(opened, &known);
    }
    if (status != KM_OK) {
        (void)km_close(opened);
        return status;
    }
    *map = opened;
    return KM_OK;
}

bool km_is_snapshot(const char *path) {
    return km_reader_looks_like_one(path);
}
