/*
 * input.c - a file that is read as it is, by offsets, whatever it holds.
 */
#include "input.h"

#include <inttypes.h>
#include <stdlib.h>

#include "path.h"
#include "platform.h"
#include "size.h"
#include "status.h"

/* What one call is asked for: more brings nothing. */
#define READ_MAX ((size_t)16 << 20)

bool km_is_device(HANDLE file) {
    BY_HANDLE_FILE_INFORMATION facts;
    return GetFileType(file) != FILE_TYPE_DISK ||
           (GetFileInformationByHandle(file, &facts) &&
            (facts.dwFileAttributes & FILE_ATTRIBUTE_DEVICE) != 0);
}

bool km_is_hole(HANDLE file, uint64_t from, uint32_t length) {
    uint64_t start = 0;
    return km_platform_next_data(file, from, from + length, &start, NULL) == ERROR_SUCCESS &&
           start == from + length;
}

static km_status fail_opening(const char *path, const WCHAR *native, DWORD error,
                              const char *purpose) {
    const DWORD attributes =
        error == ERROR_ACCESS_DENIED ? GetFileAttributesW(native) : INVALID_FILE_ATTRIBUTES;
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        return km_fail_system_as(KM_E_INVALID, error, "cannot open \"%s\" %s, it is a directory",
                                 path, purpose);
    }
    return km_fail_system(error, "cannot open \"%s\" %s", path, purpose);
}

static km_status open_native(km_input *input, const WCHAR *native, DWORD share,
                             const char *purpose) {
    input->file = CreateFileW(native, GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
    if (input->file == INVALID_HANDLE_VALUE) {
        return fail_opening(input->path, native, GetLastError(), purpose);
    }
    const DWORD error = km_platform_opened_size(input->file, &input->size);
    if ((error != ERROR_SUCCESS || input->size == 0) && km_is_device(input->file)) {
        return km_fail(KM_E_INVALID, "cannot open \"%s\" %s: it is a device or a pipe, not a file",
                       input->path, purpose);
    }
    return error == ERROR_SUCCESS
               ? KM_OK
               : km_fail_system(error, "cannot find out the size of \"%s\"", input->path);
}

km_status km_input_open(km_input *input, const char *path, DWORD share, const char *purpose) {
    km_input opened = {.path = path, .file = INVALID_HANDLE_VALUE};
    WCHAR *native = NULL;
    km_status status = km_path_to_native(path, &native);
    if (status != KM_OK) {
        return status;
    }
    status = open_native(&opened, native, share, purpose);
    free(native);
    if (status != KM_OK) {
        km_input_close(&opened);
        return status;
    }
    *input = opened;
    return KM_OK;
}

void km_input_close(km_input *input) {
    if (input->file != INVALID_HANDLE_VALUE) {
        CloseHandle(input->file);
        input->file = INVALID_HANDLE_VALUE;
    }
}

DWORD km_read_at(HANDLE file, uint64_t offset, void *to, size_t length, size_t *done) {
    size_t have = 0;
    DWORD error = ERROR_SUCCESS;
    while (error == ERROR_SUCCESS && have < length) {
        const uint64_t from = offset + have;
        const DWORD step = (DWORD)(length - have < READ_MAX ? length - have : READ_MAX);
        OVERLAPPED at = {.Offset = km_size_low(from), .OffsetHigh = km_size_high(from)};
        DWORD got = 0;
        error =
            ReadFile(file, (uint8_t *)to + have, step, &got, &at) ? ERROR_SUCCESS : GetLastError();
        if (error == ERROR_SUCCESS && got == 0) {
            error = ERROR_HANDLE_EOF;
        }
        have += got;
    }
    *done = have;
    return error == ERROR_HANDLE_EOF ? ERROR_SUCCESS : error;
}

km_status km_input_read(const km_input *input, uint64_t offset, void *to, size_t length,
                        size_t *done) {
    size_t have = 0;
    const DWORD error = km_read_at(input->file, offset, to, length, &have);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot read %zu bytes at %" PRIu64 " of \"%s\"",
                              length - have, offset + have, input->path);
    }
    *done = have;
    return KM_OK;
}
