/*
 * map.c - maps and the files they share: making, viewing, looking at and closing them.
 */
#include "map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "contents.h"
#include "segment.h"
#include "size.h"
#include "snapshot_changes.h"
#include "status.h"

/* Views begin at multiples of this (SYSTEM_INFO.dwAllocationGranularity, the same everywhere). */
#define GRANULARITY 65536u

DWORD km_section_protection(km_access access) {
    switch (access) {
    case KM_READ:
        return PAGE_READONLY;
    case KM_WRITE:
        return PAGE_READWRITE;
    case KM_PRIVATE:
        return PAGE_WRITECOPY;
    }
    return PAGE_NOACCESS;
}

DWORD km_view_access(km_access access) {
    switch (access) {
    case KM_READ:
        return FILE_MAP_READ;
    case KM_WRITE:
        return FILE_MAP_WRITE;
    case KM_PRIVATE:
        return FILE_MAP_COPY;
    }
    return 0;
}

/* The file, and its path behind it, in one piece. */
static km_file *file_new(const char *path, WCHAR *native_path, const km_options *options) {
    size_t path_size = strlen(path) + 1;
    km_file *file = malloc(sizeof *file + path_size);
    if (file == NULL) {
        return NULL;
    }
    *file = (km_file){0};
    file->path = memcpy(file + 1, path, path_size);
    file->handle = INVALID_HANDLE_VALUE;
    file->native_path = native_path;
    file->access = options->access;
    file->flags = options->flags;
    atomic_init(&file->references, 1);
    file->forks = km_platform_forks();
    atomic_init(&file->windows, 0);
    atomic_init(&file->expected, options->size);
    atomic_init(&file->poisoned, false);
    atomic_init(&file->entry_unsynced, false);
    return file;
}

static void file_release(km_file *file) {
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (file->handle != INVALID_HANDLE_VALUE) {
        CloseHandle(file->handle);
    }
    km_contents_close(file->contents);
    free(file->segment);
    free(file->native_path);
    free(file);
}

km_status km_map_new(km_map **map, const char *path, WCHAR *native_path,
                     const km_options *options) {
    km_map *new_map = malloc(sizeof *new_map);
    km_file *file = file_new(path, native_path, options);
    if (new_map == NULL || file == NULL) {
        free(new_map);
        free(file);
        return km_fail(KM_E_NO_MEMORY, "no memory for a map of \"%s\"", path);
    }
    *new_map = (km_map){
        .file = file,
        .opened = true,
        .window = options->offset != 0 || options->length != 0,
    };
    atomic_init(&new_map->lock, KM_UNLOCKED);
    atomic_init(&new_map->readers, 0);
    atomic_init(&new_map->changes, NULL);
    *map = new_map;
    return KM_OK;
}

km_status km_map_new_window(km_map **window, const km_map *map) {
    km_map *new_map = malloc(sizeof *new_map);
    if (new_map == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory for a window on \"%s\"", map->file->path);
    }
    atomic_fetch_add_explicit(&map->file->references, 1, memory_order_relaxed);
    atomic_fetch_add(&map->file->windows, 1); /* in this order: see snapshot_changes.c */
    *new_map = (km_map){.file = map->file, .window = true};
    atomic_init(&new_map->lock, KM_UNLOCKED);
    atomic_init(&new_map->readers, 0);
    atomic_init(&new_map->changes, NULL);
    *window = new_map;
    return KM_OK;
}

const char *km_file_noun(const km_file *file) {
    if (file->contents != NULL) {
        return "snapshot";
    }
    return file->segment != NULL ? "segment" : "file";
}

DWORD km_file_size(const km_file *file, uint64_t *size) {
    LARGE_INTEGER now;
    if (file->contents != NULL) {
        *size = km_contents_size(file->contents);
        return ERROR_SUCCESS;
    }
    if (file->segment != NULL) {
        uint64_t left = 0;
        const DWORD error =
            km_platform_section_left(file->handle, file->segment->section_size, &left);
        if (error == ERROR_SUCCESS) {
            *size = left < file->segment->size ? left : file->segment->size;
        }
        return error;
    }
    if (!GetFileSizeEx(file->handle, &now)) {
        return GetLastError();
    }
    *size = (uint64_t)now.QuadPart;
    return ERROR_SUCCESS;
}

DWORD km_file_section(const km_file *file, uint64_t size, HANDLE *section) {
    if (size > 0 && (file->flags & KM_OPEN_SPARSE) != 0) {
        /* A file system without holes allocates: more than was asked for, and no failure. */
        DWORD error = km_platform_set_sparse(file->handle);
        if (error != ERROR_SUCCESS && error != ERROR_NOT_SUPPORTED) {
            return error;
        }
    }
    HANDLE made = CreateFileMappingW(file->handle, NULL, km_section_protection(file->access),
                                     km_size_high(size), km_size_low(size), NULL);
    if (made == NULL) {
        return GetLastError();
    }
    *section = made;
    return ERROR_SUCCESS;
}

DWORD km_map_view(km_map *map, HANDLE section, uint64_t offset, uint64_t length, void *base) {
    if (length == 0) {
        map->offset = offset;
        return ERROR_SUCCESS;
    }
    uint64_t start = km_size_align_down(offset, GRANULARITY);
    uint64_t lead = offset - start;
    DWORD access = km_view_access(map->file->access);
    if (!km_size_addressable(lead + length)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }

    if (map->reservation.base != NULL) {
        DWORD error = km_platform_map_reserved(&map->reservation, section, access, length);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        map->view = map->reservation.base;
    } else {
        void *view = MapViewOfFileEx(section, access, km_size_high(start), km_size_low(start),
                                     (SIZE_T)(lead + length), base);
        if (view == NULL) {
            return GetLastError();
        }
        map->view = view;
    }
    map->data = (char *)map->view + lead;
    map->offset = offset;
    map->size = length;
    return ERROR_SUCCESS;
}

static void close_section(km_map *map) {
    if (map->section != NULL) {
        CloseHandle(map->section);
    }
    map->section = NULL;
    map->section_size = 0;
}

static void forget_view(km_map *map) {
    map->view = NULL;
    map->data = NULL;
    map->size = 0;
}

DWORD km_map_drop(km_map *map) {
    km_contents_drop(map);
    if (map->view != NULL) {
        DWORD error = ERROR_SUCCESS;
        if (map->reservation.base != NULL) {
            error = km_platform_unmap_reserved(&map->reservation);
        } else if (!UnmapViewOfFile(map->view)) {
            error = GetLastError();
        }
        if (error != ERROR_SUCCESS) {
            return error;
        }
    }
    forget_view(map);
    close_section(map);
    return ERROR_SUCCESS;
}

DWORD km_map_discard(km_map *map) {
    DWORD error = km_map_drop(map);
    if (map->reservation.base != NULL) {
        km_platform_release(&map->reservation); /* with the view, if that is still there */
        error = ERROR_SUCCESS;
    }
    forget_view(map);
    close_section(map);
    return error;
}

km_status km_map_range(const km_map *map, uint64_t offset, uint64_t *length, const char *verb) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "cannot %s: the map is NULL", verb);
    }
    if (!km_size_inside(offset, *length, map->size)) {
        return km_fail(KM_E_INVALID,
                       "cannot %s %" PRIu64 " bytes from %" PRIu64
                       " of \"%s\": the map has %" PRIu64 " bytes",
                       verb, *length, offset, map->file->path, map->size);
    }
    if (*length == 0) {
        *length = map->size - offset;
    }
    return KM_OK;
}

km_status km_fail_mapping(const km_file *file, DWORD error, uint64_t offset, uint64_t length) {
    uint64_t now = 0;
    if (km_file_size(file, &now) == ERROR_SUCCESS && !km_size_inside(offset, length, now)) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot map bytes %" PRIu64 " to %" PRIu64 " of \"%s\": the %s has %" PRIu64
                       " bytes",
                       offset, offset + length, file->path, km_file_noun(file), now);
    }
    return km_fail_system(error, "cannot map bytes %" PRIu64 " to %" PRIu64 " of \"%s\"", offset,
                          offset + length, file->path);
}

km_status km_fail_growing(const km_file *file, DWORD error, uint64_t from, uint64_t to) {
    /* Of a size that is beyond them systems say that the disk is full, or that it is no size. */
    DWORD allowed = km_platform_growth_allowed(file->handle, to);
    if (allowed != ERROR_SUCCESS) {
        error = allowed;
    }
    km_status status =
        error == ERROR_INVALID_PARAMETER ? KM_E_TOO_LARGE : km_status_of_error(error);
    return km_fail_system_as(status, error,
                             "cannot make \"%s\" grow from %" PRIu64 " to %" PRIu64 " bytes",
                             file->path, from, to);
}

km_status km_close(km_map *map) {
    if (map == NULL) {
        return KM_OK;
    }
    km_status status = KM_OK;
    km_file *file = map->file;
    /*
     * Closing the file's handle frees the lock, and only for this process if a fork has shared it.
     * While windows keep the handle, or a segment has the holder's mark, it has to be freed by
     * itself; but not by a forked child, whose parent goes on relying on it.
     */
    if (atomic_load(&map->lock) == KM_LOCKED && map->locker == GetCurrentProcessId() &&
        (atomic_load(&file->references) > 1 || file->segment != NULL)) {
        km_lock_drop(map);
    }
    km_segment_lock_close(map);
    km_changes_forget(map);
    DWORD error = km_map_discard(map);
    if (error != ERROR_SUCCESS) {
        status = km_fail_system_as(KM_E_IO, error, "cannot unmap \"%s\"", file->path);
    }
    file_release(file);
    free(map);
    return status;
}

void *km_data(const km_map *map) {
    return map == NULL ? NULL : map->data;
}

uint64_t km_size(const km_map *map) {
    return map == NULL ? 0 : map->size;
}

const char *km_path(const km_map *map) {
    if (map == NULL || (map->file->segment != NULL && map->file->native_path == NULL)) {
        return NULL;
    }
    return map->file->path;
}

bool km_created(const km_map *map) {
    return map != NULL && map->created;
}
