/*
 * open.c - km_open: the options, the file, its size, and the first view of it.
 */
#include "open.h"

#include <inttypes.h>
#include <stdlib.h>

#include "input.h"
#include "io.h"
#include "options.h"
#include "path.h"
#include "size.h"
#include "status.h"

#define FIRST_OPTIONS_SIZE sizeof(km_options)
#define KNOWN_FLAGS                                                                                \
    (KM_OPEN_CREATE | KM_OPEN_NEW | KM_OPEN_EXACT | KM_OPEN_SOLE | KM_OPEN_SPARSE |                \
     KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL)
#define PERMISSION_BITS 07777u

/* Others may make and remove the file between two of our looks at it, but not for ever. */
#define CREATE_ATTEMPTS 100

static km_status check_options(const km_options *options) {
    bool windowed = options->offset != 0 || options->length != 0;
    switch (options->access) {
    case KM_WRITE:
        break;
    case KM_READ:
    case KM_PRIVATE:
        if ((options->flags & (KM_OPEN_CREATE | KM_OPEN_NEW)) != 0) {
            return km_fail(KM_E_INVALID, "KM_OPEN_CREATE and KM_OPEN_NEW need KM_WRITE");
        }
        if (options->reserve != 0) {
            return km_fail(KM_E_INVALID, "km_options.reserve needs KM_WRITE: no other map grows");
        }
        break;
    default:
        return km_fail(KM_E_INVALID, "km_options.access %d is none", (int)options->access);
    }
    if (options->reserve != 0 && windowed) {
        return km_fail(KM_E_INVALID, "km_options.reserve is for whole files: no window grows");
    }
    if ((options->flags & KM_OPEN_RANDOM) != 0 && (options->flags & KM_OPEN_SEQUENTIAL) != 0) {
        return km_fail(KM_E_INVALID, "KM_OPEN_RANDOM and KM_OPEN_SEQUENTIAL contradict each other");
    }
    if ((options->permissions & ~PERMISSION_BITS) != 0) {
        return km_fail(KM_E_INVALID, "km_options.permissions 0%" PRIo32 " are no mode bits",
                       options->permissions);
    }
    return KM_OK;
}

DWORD km_open_file_flags(uint32_t flags) {
    DWORD file_flags = FILE_ATTRIBUTE_NORMAL;
    if ((flags & KM_OPEN_RANDOM) != 0) {
        file_flags |= FILE_FLAG_RANDOM_ACCESS;
    }
    if ((flags & KM_OPEN_SEQUENTIAL) != 0) {
        file_flags |= FILE_FLAG_SEQUENTIAL_SCAN;
    }
    return file_flags;
}

static DWORD open_handle(km_file *file) {
    DWORD access = file->access == KM_WRITE ? GENERIC_READ | GENERIC_WRITE : GENERIC_READ;
    DWORD share = (file->flags & KM_OPEN_SOLE) != 0
                      ? 0
                      : FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    file->handle = CreateFileW(file->native_path, access, share, NULL, OPEN_EXISTING,
                               km_open_file_flags(file->flags), NULL);
    return file->handle == INVALID_HANDLE_VALUE ? GetLastError() : ERROR_SUCCESS;
}

static km_status fail_opening(const km_file *file, DWORD error) {
    const char *purpose = file->access == KM_WRITE ? "writing" : "reading";
    if (error == ERROR_ACCESS_DENIED) {
        DWORD attributes = GetFileAttributesW(file->native_path);
        if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
            return km_fail_system_as(KM_E_INVALID, error,
                                     "cannot open \"%s\" for %s, it is a directory", file->path,
                                     purpose);
        }
    }
    return km_fail_system(error, "cannot open \"%s\" for %s", file->path, purpose);
}

/* The size of a file that can be mapped at all; a directory could not even be opened. */
static km_status look_at_file(const km_file *file, uint64_t *size) {
    uint64_t now = 0;
    DWORD error = km_platform_opened_size(file->handle, &now);
    if ((error != ERROR_SUCCESS || now == 0) && km_is_device(file->handle)) {
        return km_fail(KM_E_INVALID, "cannot map \"%s\": it is a device or a pipe, not a file",
                       file->path);
    }
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot find out the size of \"%s\"", file->path);
    }
    *size = now;
    return KM_OK;
}

static km_status check_size(const km_file *file, const km_options *options, uint64_t actual) {
    if ((options->flags & KM_OPEN_EXACT) != 0 && actual != options->size) {
        return km_fail(KM_E_MISMATCH,
                       "cannot open \"%s\" as a file of exactly %" PRIu64 " bytes: it has %" PRIu64,
                       file->path, options->size, actual);
    }
    if (actual < options->size && options->access != KM_WRITE) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot open \"%s\" as a file of at least %" PRIu64
                       " bytes: it has %" PRIu64,
                       file->path, options->size, actual);
    }
    return KM_OK;
}

km_status km_open_check_window(const km_file *file, const km_options *options, uint64_t size) {
    if (km_size_inside(options->offset, options->length, size)) {
        return KM_OK;
    }
    return km_fail(KM_E_TRUNCATED,
                   "cannot map %" PRIu64 " bytes from %" PRIu64 " of \"%s\": the %s has %" PRIu64
                   " bytes",
                   options->length, options->offset, file->path, km_file_noun(file), size);
}

/* Address space for the larger of options.reserve and the file. */
static km_status reserve(km_map *map, const km_options *options, uint64_t size) {
    uint64_t bytes = options->reserve > size ? options->reserve : size;
    DWORD error = km_size_addressable(bytes) ? km_platform_reserve(bytes, &map->reservation)
                                             : ERROR_NOT_ENOUGH_MEMORY;
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_NO_MEMORY, error,
                                 "cannot reserve %" PRIu64 " bytes of address space for \"%s\"",
                                 bytes, map->file->path);
    }
    return KM_OK;
}

km_status km_open_lay_out(km_map *map, const km_options *options, uint64_t actual, uint64_t size) {
    km_file *file = map->file;
    if (options->reserve != 0) {
        km_status status = reserve(map, options, size);
        if (status != KM_OK) {
            return status;
        }
    }
    if (size == 0) {
        return KM_OK;
    }
    DWORD error = km_file_section(file, size > actual ? size : 0, &map->section);
    if (error != ERROR_SUCCESS && size > actual) {
        return km_fail_growing(file, error, actual, size);
    }
    map->section_size = size;
    uint64_t length = options->length != 0 ? options->length : size - options->offset;
    if (error == ERROR_SUCCESS) {
        error = km_map_view(map, map->section, options->offset, length, NULL);
    }
    if (error != ERROR_SUCCESS) {
        return km_fail_mapping(file, error, options->offset, length);
    }
    return KM_OK;
}

/* Cuts off what we added, if nobody has added more since. */
static void undo_growth(km_map *map, uint64_t actual, uint64_t size) {
    uint64_t now = 0;
    if (km_map_discard(map) == ERROR_SUCCESS && km_file_size(map->file, &now) == ERROR_SUCCESS &&
        now == size) {
        (void)km_io_default.truncate(map->file->handle, actual);
    }
}

static km_status open_existing(km_map *map, const km_options *options) {
    uint64_t actual = 0;
    km_status status = look_at_file(map->file, &actual);
    if (status != KM_OK) {
        return status;
    }
    status = check_size(map->file, options, actual);
    if (status != KM_OK) {
        return status;
    }
    uint64_t size = actual > options->size ? actual : options->size;
    status = km_open_check_window(map->file, options, size);
    if (status != KM_OK) {
        return status;
    }
    if (options->access == KM_WRITE && (options->flags & KM_OPEN_RANDOM) != 0) {
        km_platform_uncache(map->file->handle);
    }
    status = km_open_lay_out(map, options, actual, size);
    if (status != KM_OK && size > actual) {
        undo_growth(map, actual, size);
    }
    return status;
}

/* *taken: somebody has made the file since we saw that there is none. */
static km_status open_once(km_map *map, const km_options *options, bool *taken) {
    *taken = false;
    if ((options->flags & KM_OPEN_NEW) == 0) {
        DWORD error = open_handle(map->file);
        if (error == ERROR_SUCCESS) {
            return open_existing(map, options);
        }
        if (error != ERROR_FILE_NOT_FOUND || (options->flags & KM_OPEN_CREATE) == 0) {
            return fail_opening(map->file, error);
        }
    }
    return km_open_create(map, options, taken);
}

static km_status open_or_create(km_map *map, const km_options *options) {
    if (options->size > KM_SIZE_MAX) {
        return km_fail(KM_E_TOO_LARGE,
                       "\"%s\" cannot have %" PRIu64 " bytes: that is more than any file can have",
                       map->file->path, options->size);
    }
    bool taken = true;
    if ((options->flags & KM_OPEN_CREATE) == 0 || (options->flags & KM_OPEN_NEW) != 0) {
        return open_once(map, options, &taken);
    }
    km_failure before; /* losing the race is nothing to tell, if the winner's file opens */
    km_failure_keep(&before);
    km_status status = KM_OK;
    for (int attempt = 0; taken && attempt < CREATE_ATTEMPTS; attempt++) {
        status = open_once(map, options, &taken);
    }
    if (status == KM_OK) {
        km_failure_restore(&before);
    }
    return status;
}

km_status km_open_read_options(const km_options *options, uint32_t flags, km_options *known) {
    km_status status =
        km_struct_read(options, FIRST_OPTIONS_SIZE, sizeof *known, known, "km_options");
    if (status == KM_OK) {
        status = km_flags_check(known->flags, flags, "km_options.flags");
    }
    return status == KM_OK ? check_options(known) : status;
}

km_status km_open(km_map **map, const char *path, const km_options *options) {
    km_options known;
    km_status status = km_open_read_options(options, KNOWN_FLAGS, &known);
    if (status != KM_OK) {
        return status;
    }
    if (known.type != NULL || known.type_version != 0) {
        return km_fail(KM_E_INVALID, "km_options.type is for segments: a file has none");
    }
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "there is no place for the map: it is NULL");
    }
    WCHAR *native_path = NULL;
    status = km_path_to_native(path, &native_path);
    if (status != KM_OK) {
        return status;
    }
    km_map *opened = NULL;
    status = km_map_new(&opened, path, native_path, &known);
    if (status != KM_OK) {
        free(native_path);
        return status;
    }
    status = open_or_create(opened, &known);
    if (status != KM_OK) {
        (void)km_close(opened);
        return status;
    }
    *map = opened;
    return KM_OK;
}
