/*
 * resize.c - km_resize: a file that grows or shrinks under its map.
 */
#include <inttypes.h>

#include "io.h"
#include "map.h"
#include "size.h"
#include "snapshot_changes.h"
#include "status.h"

/* Maps the file's first `size` bytes at `base`, or in the reservation; nothing for size 0. */
static DWORD map_again(km_map *map, void *base, uint64_t size) {
    if (size == 0) {
        return ERROR_SUCCESS;
    }
    DWORD error = km_file_section(map->file, 0, &map->section);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    map->section_size = size;
    error = km_map_view(map, map->section, 0, size, base);
    if (error != ERROR_SUCCESS) {
        (void)km_map_drop(map);
    }
    return error;
}

/* The view as it was before a failure that gave `status`; the sentence stays if that works. */
static km_status put_back(km_map *map, void *base, uint64_t size, km_status status) {
    DWORD error = map_again(map, base, size);
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(status, error,
                                 "cannot resize \"%s\", nor put its view of %" PRIu64
                                 " bytes back: the map is empty now",
                                 map->file->path, size);
    }
    return status;
}

/*
 * To a size below the file's, or to 0. The view has to go meanwhile: no system cuts a file that is
 * mapped.
 *
 * The file pointer is safe to use: what else could move it is km_copy on a window, and while there
 * is a window with anything in it the file is not cut.
 */
static km_status shrink(km_map *map, uint64_t actual, uint64_t size) {
    void *const base = map->view;
    const uint64_t old_size = map->size;
    DWORD error = km_map_drop(map);
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_IO, error, "cannot unmap \"%s\" to resize it",
                                 map->file->path);
    }
    error = km_io_default.truncate(map->file->handle, size);
    if (error != ERROR_SUCCESS) {
        km_status status = km_fail_system(
            error, "cannot cut \"%s\" from %" PRIu64 " to %" PRIu64 " bytes%s", map->file->path,
            actual, size, error == ERROR_USER_MAPPED_FILE ? ", it is mapped elsewhere" : "");
        return put_back(map, base, old_size, status);
    }
    error = map_again(map, base, size);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error,
                              "cannot map \"%s\" again after cutting it to %" PRIu64
                              " bytes: the map is empty now",
                              map->file->path, size);
    }
    return KM_OK;
}

/* The new view in the place of the old one. The old one stays if that fails. */
static DWORD replace_in_place(km_map *map, HANDLE section, uint64_t size) {
    if (map->view == NULL) {
        return km_map_view(map, section, 0, size, NULL);
    }
    DWORD error = km_platform_remap_reserved(&map->reservation, section, FILE_MAP_WRITE, size,
                                             map->section, map->size);
    if (error == ERROR_SUCCESS) {
        map->size = size;
        CloseHandle(map->section);
    }
    if (error == ERROR_INVALID_ADDRESS) { /* the old one is lost too */
        map->view = NULL;
        (void)km_map_drop(map);
    }
    return error;
}

/* The new view wherever there is room, and only then the old one's end. */
static DWORD replace_elsewhere(km_map *map, HANDLE section, uint64_t size) {
    km_map successor = {.file = map->file};
    DWORD error = km_map_view(&successor, section, 0, size, NULL);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = km_map_drop(map);
    if (error != ERROR_SUCCESS) {
        (void)km_map_drop(&successor);
        return error;
    }
    if (map->reservation.base != NULL) {
        km_platform_release(&map->reservation);
    }
    map->view = successor.view;
    map->data = successor.data;
    map->size = size;
    return ERROR_SUCCESS;
}

/* The file has grown but cannot be mapped: as it was, then, unless somebody else holds on to it. */
static km_status undo_growth(km_map *map, uint64_t actual, uint64_t size, km_status status) {
    void *const base = map->view;
    const uint64_t old_size = map->size;
    uint64_t now = 0;
    if (actual == size || km_file_size(map->file, &now) != ERROR_SUCCESS ||
        now != size || /* somebody has added more since, which is not ours to cut off */
        km_map_drop(map) != ERROR_SUCCESS) {
        return status;
    }
    (void)km_io_default.truncate(map->file->handle, actual);
    return put_back(map, base, old_size, status);
}

/* To a size that the file has already, or above it. */
static km_status grow(km_map *map, uint64_t actual, uint64_t size) {
    HANDLE section = NULL;
    DWORD error = km_file_section(map->file, size, &section);
    if (error != ERROR_SUCCESS) {
        return km_fail_growing(map->file, error, actual, size);
    }
    const bool stays = map->reservation.base != NULL && size <= map->reservation.size;
    error = stays ? replace_in_place(map, section, size) : replace_elsewhere(map, section, size);
    if (error != ERROR_SUCCESS) {
        CloseHandle(section);
        km_status status =
            km_fail_system(error, "cannot map %" PRIu64 " bytes of \"%s\"%s", size, map->file->path,
                           map->view == NULL ? ": the map is empty now" : "");
        return undo_growth(map, actual, size, status);
    }
    map->section = section;
    map->section_size = size;
    return KM_OK;
}

km_status km_resize(km_map *map, uint64_t size) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "cannot resize: the map is NULL");
    }
    km_file *file = map->file;
    if (file->segment != NULL) {
        return km_fail(KM_E_UNSUPPORTED,
                       "cannot resize \"%s\": a segment keeps the size that it was made with",
                       file->path);
    }
    if (map->window || file->access != KM_WRITE) {
        return km_fail(KM_E_UNSUPPORTED, "cannot resize \"%s\": the map is %s", file->path,
                       map->window ? "a window" : "not for writing");
    }
    if (size > KM_SIZE_MAX || !km_size_addressable(size)) {
        return km_fail(KM_E_TOO_LARGE,
                       "cannot resize \"%s\" to %" PRIu64 " bytes: more than %s can have",
                       file->path, size, size > KM_SIZE_MAX ? "any file" : "the address space");
    }
    uint64_t actual = 0;
    DWORD error = km_file_size(file, &actual);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot find out the size of \"%s\"", file->path);
    }
    km_changes_forget(map); /* what it watches may go, or move */
    km_status status = KM_OK;
    if (size < actual || size == 0) {
        status = shrink(map, actual, size);
    } else if (size > actual || size != map->size) {
        status = grow(map, actual, size);
    }
    if (status == KM_OK) {
        atomic_store(&file->expected, size);
    }
    return status;
}
