/*
 * disk_space.c - GetDiskFreeSpaceEx.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "last_error.h"
#include "text.h"

/* A result nobody asked for, or in bytes; what 64 bits cannot hold is their largest value. */
static void store(PULARGE_INTEGER to, uint64_t blocks, uint64_t block_size) {
    if (to != NULL) {
        to->QuadPart = blocks > UINT64_MAX / block_size ? UINT64_MAX : blocks * block_size;
    }
}

static BOOL disk_space(const char *directory, PULARGE_INTEGER available, PULARGE_INTEGER total,
                       PULARGE_INTEGER unused) {
    struct stat facts;
    struct statvfs space;
    if (stat(directory, &facts) != 0) {
        return errno == ENOENT ? kmw_fail(kmw_error_of_missing(directory)) : kmw_fail_errno(errno);
    }
    if (!S_ISDIR(facts.st_mode)) {
        return kmw_fail(ERROR_DIRECTORY);
    }
    int result;
    do {
        result = statvfs(directory, &space);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return kmw_fail_errno(errno);
    }
    uint64_t block_size = space.f_frsize != 0 ? space.f_frsize : 1;
    store(available, space.f_bavail, block_size);
    store(total, space.f_blocks, block_size);
    store(unused, space.f_bfree, block_size);
    return TRUE;
}

BOOL GetDiskFreeSpaceExA(LPCSTR directory, PULARGE_INTEGER available, PULARGE_INTEGER total,
                         PULARGE_INTEGER unused) {
    kmw_path path = {"."};
    DWORD error = directory == NULL ? ERROR_SUCCESS : kmw_path_from_utf8(directory, &path);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    return disk_space(path.text, available, total, unused);
}

BOOL GetDiskFreeSpaceExW(LPCWSTR directory, PULARGE_INTEGER available, PULARGE_INTEGER total,
                         PULARGE_INTEGER unused) {
    kmw_path path = {"."};
    DWORD error = directory == NULL ? ERROR_SUCCESS : kmw_path_from_utf16(directory, &path);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    return disk_space(path.text, available, total, unused);
}
