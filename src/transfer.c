/*
 * transfer.c - km_read and km_write: copies that report a file cut short, where a load or a store
 * would kill.
 */
#include <inttypes.h>

#include "contents.h"
#include "map.h"
#include "size.h"
#include "status.h"

static km_status check_transfer(const km_map *map, uint64_t offset, const void *memory,
                                uint64_t length, const char *verb) {
    uint64_t unused = length;
    km_status status = km_map_range(map, offset, &unused, verb);
    if (status == KM_OK && memory == NULL && length > 0) {
        status =
            km_fail(KM_E_INVALID, "cannot %s \"%s\": the memory is NULL", verb, map->file->path);
    }
    return status;
}

/*
 * The result of a copy that said `error`. The file's size is looked at even if all went well: in
 * its last page memory reads as zeros behind the end, and takes stores that reach nobody.
 */
static km_status finish_transfer(const km_map *map, uint64_t offset, uint64_t length, DWORD error,
                                 const char *verb) {
    const km_file *file = map->file;
    const uint64_t end = map->offset + offset + length;
    uint64_t size = 0;
    DWORD size_error = km_file_size(file, &size);
    if (size_error == ERROR_SUCCESS && size < end) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot %s bytes %" PRIu64 " to %" PRIu64
                       " of \"%s\": the %s has only %" PRIu64 " bytes now",
                       verb, end - length, end, file->path, km_file_noun(file), size);
    }
    if (error == ERROR_SUCCESS) {
        error = size_error;
    }
    if (error != ERROR_SUCCESS) {
        return km_fail_system_as(KM_E_IO, error,
                                 "cannot %s bytes %" PRIu64 " to %" PRIu64 " of \"%s\"", verb,
                                 end - length, end, file->path);
    }
    return KM_OK;
}

km_status km_read(const km_map *map, uint64_t offset, void *to, uint64_t length) {
    km_status status = check_transfer(map, offset, to, length, "read");
    if (status == KM_OK) {
        status = km_contents_need(map, offset, length);
    }
    if (status != KM_OK || length == 0) {
        return status;
    }
    SIZE_T done = 0;
    BOOL copied = ReadProcessMemory(GetCurrentProcess(), (const char *)map->data + offset, to,
                                    (SIZE_T)length, &done);
    return finish_transfer(map, offset, length, copied ? ERROR_SUCCESS : GetLastError(), "read");
}

km_status km_write(km_map *map, uint64_t offset, const void *from, uint64_t length) {
    km_status status = check_transfer(map, offset, from, length, "write");
    if (status != KM_OK) {
        return status;
    }
    if (map->file->access == KM_READ) {
        return km_fail(KM_E_ACCESS, "cannot write \"%s\": the map is for reading", map->file->path);
    }
    status = km_contents_need(map, offset, length);
    if (status != KM_OK || length == 0) {
        return status;
    }
    SIZE_T done = 0;
    BOOL copied = WriteProcessMemory(GetCurrentProcess(), (char *)map->data + offset, from,
                                     (SIZE_T)length, &done);
    return finish_transfer(map, offset, length, copied ? ERROR_SUCCESS : GetLastError(), "write");
}
