/*
 * io.c - the file calls that make something appear whole, as the Win32 calls and platform.h do
 * them.
 */
#include "io.h"

#include "platform.h"
#include "size.h"

static DWORD write_at(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    const char *rest = from;
    while (length > 0) {
        OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
        DWORD done = 0;
        if (!WriteFile(file, rest, length, &done, &at)) {
            return GetLastError();
        }
        if (done == 0) { /* neither progress nor an error: asking on would never end */
            return ERROR_WRITE_FAULT;
        }
        rest += done;
        offset += done;
        length -= done;
    }
    return ERROR_SUCCESS;
}

static DWORD truncate_to(HANDLE file, uint64_t size) {
    if (size > KM_SIZE_MAX) {
        return ERROR_FILE_TOO_LARGE;
    }
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    if (!SetFilePointerEx(file, end, NULL, FILE_BEGIN) || !SetEndOfFile(file)) {
        return GetLastError();
    }
    return ERROR_SUCCESS;
}

static DWORD sync_file(HANDLE file) {
    return FlushFileBuffers(file) ? ERROR_SUCCESS : GetLastError();
}

/* Written through: on Windows that, and not a sync of the directory, makes the new name durable. */
static DWORD rename_to(const WCHAR *from, const WCHAR *to, bool replace) {
    DWORD flags = MOVEFILE_WRITE_THROUGH | (replace ? MOVEFILE_REPLACE_EXISTING : 0u);
    return MoveFileExW(from, to, flags) ? ERROR_SUCCESS : GetLastError();
}

static DWORD remove_name(const WCHAR *path) {
    return DeleteFileW(path) ? ERROR_SUCCESS : GetLastError();
}

static DWORD close_file(HANDLE file) {
    return CloseHandle(file) ? ERROR_SUCCESS : GetLastError();
}

const km_io km_io_default = {
    .create = km_platform_draft,
    .write_at = write_at,
    .truncate = truncate_to,
    .sync = sync_file,
    .name = km_platform_name_draft,
    .rename = rename_to,
    .remove = remove_name,
    .sync_directory = km_platform_sync_directory,
    .close = close_file,
};
