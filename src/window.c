/*
 * window.c - km_window: one more view of a file that is open already.
 */
#include <inttypes.h>

#include "contents.h"
#include "map.h"
#include "size.h"
#include "status.h"

/*
 * Maps the range through the section that the map has, or, where that does not reach (the file has
 * grown, or the map is a window), through one made for it: the view keeps it.
 */
static DWORD view_range(km_map *window, const km_map *map, uint64_t offset, uint64_t length) {
    if (map->file->segment != NULL) {
        return km_map_view(window, map->file->handle, offset, length, NULL);
    }
    if (km_size_inside(offset, length, map->section_size)) {
        return km_map_view(window, map->section, offset, length, NULL);
    }
    HANDLE section = NULL;
    DWORD error = km_file_section(map->file, 0, &section);
    if (error == ERROR_SUCCESS) {
        error = km_map_view(window, section, offset, length, NULL);
        CloseHandle(section);
    }
    return error;
}

km_status km_window(km_map **window, km_map *map, uint64_t offset, uint64_t length) {
    if (window == NULL || map == NULL) {
        return km_fail(KM_E_INVALID, "cannot make a window: there is no %s",
                       map == NULL ? "map" : "place for it");
    }
    uint64_t size = 0;
    DWORD error = km_file_size(map->file, &size);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot find out the size of \"%s\"", map->file->path);
    }
    if (!km_size_inside(offset, length, size)) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot map %" PRIu64 " bytes from %" PRIu64
                       " of \"%s\": the %s has %" PRIu64 " bytes",
                       length, offset, map->file->path, km_file_noun(map->file), size);
    }
    km_map *made = NULL;
    km_status status = km_map_new_window(&made, map);
    if (status != KM_OK) {
        return status;
    }
    uint64_t bytes = length != 0 ? length : size - offset;
    if (bytes > 0 && map->file->contents != NULL) {
        status = km_contents_view(made, offset, bytes);
    } else if (bytes > 0) {
        error = view_range(made, map, offset, bytes);
    }
    if (status != KM_OK) {
        (void)km_close(made);
        return status;
    }
    if (error != ERROR_SUCCESS) {
        status = km_fail_mapping(map->file, error, offset, bytes);
        (void)km_close(made);
        return status;
    }
    made->offset = offset;
    *window = made;
    return KM_OK;
}
