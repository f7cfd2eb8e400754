/*
 * file_facts.c - attributes, times and identity of a file.
 */
#include "file_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "file.h"
#include "last_error.h"

#define TICKS_PER_SECOND 10000000LL
#define SECONDS_1601_TO_1970 11644473600LL
#define BLOCK 512 /* the unit of st_blocks, whatever the file system's own is */

DWORD kmw_attributes_of(const struct stat *facts) {
    const mode_t mode = facts->st_mode;
    if (S_ISDIR(mode)) {
        return FILE_ATTRIBUTE_DIRECTORY;
    }
    if (S_ISLNK(mode)) {
        return FILE_ATTRIBUTE_REPARSE_POINT;
    }
    if (!S_ISREG(mode)) {
        return FILE_ATTRIBUTE_DEVICE;
    }
    DWORD attributes = FILE_ATTRIBUTE_ARCHIVE;
    if (!(mode & (S_IWUSR | S_IWGRP | S_IWOTH))) {
        attributes |= FILE_ATTRIBUTE_READONLY;
    }
    if (facts->st_blocks < facts->st_size / BLOCK) {
        attributes |= FILE_ATTRIBUTE_SPARSE_FILE;
    }
    return attributes;
}

FILETIME kmw_filetime_of(struct timespec time) {
    int64_t seconds = (int64_t)time.tv_sec + SECONDS_1601_TO_1970;
    uint64_t ticks = 0;
    if (seconds >= 0 && seconds < INT64_MAX / TICKS_PER_SECOND) {
        ticks = (uint64_t)(seconds * TICKS_PER_SECOND + time.tv_nsec / 100);
    }
    return (FILETIME){(DWORD)ticks, (DWORD)(ticks >> 32)};
}

#if defined(__APPLE__)
#define ACCESS_TIME(facts) ((facts)->st_atimespec)
#define WRITE_TIME(facts) ((facts)->st_mtimespec)
#else
#define ACCESS_TIME(facts) ((facts)->st_atim)
#define WRITE_TIME(facts) ((facts)->st_mtim)
#endif

/* false: this system or file system does not say. */
static bool birth_time(int descriptor, const char *path, const struct stat *facts,
                       struct timespec *birth) {
#if defined(STATX_BTIME)
    (void)facts;
    struct statx more;
    int found = path == NULL ? statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &more)
                             : statx(AT_FDCWD, path, 0, STATX_BTIME, &more);
    if (found != 0 || !(more.stx_mask & STATX_BTIME)) {
        return false;
    }
    *birth = (struct timespec){.tv_sec = more.stx_btime.tv_sec, .tv_nsec = more.stx_btime.tv_nsec};
    return true;
#elif defined(__APPLE__)
    (void)descriptor, (void)path;
    *birth = facts->st_birthtimespec;
    return true;
#else
    (void)descriptor, (void)path, (void)facts, (void)birth;
    return false;
#endif
}

kmw_file_times kmw_times_of(int descriptor, const char *path, const struct stat *facts) {
    struct timespec birth = WRITE_TIME(facts);
    (void)birth_time(descriptor, path, facts, &birth); /* else it stays the last change */
    return (kmw_file_times){
        .creation = kmw_filetime_of(birth),
        .access = kmw_filetime_of(ACCESS_TIME(facts)),
        .write = kmw_filetime_of(WRITE_TIME(facts)),
    };
}

BOOL GetFileInformationByHandle(HANDLE handle, LPBY_HANDLE_FILE_INFORMATION information) {
    kmw_file *file;
    struct stat facts;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    int error = fstat(file->descriptor, &facts) == 0 ? 0 : errno;
    kmw_file_times times = {0};
    if (error == 0) {
        times = kmw_times_of(file->descriptor, NULL, &facts);
    }
    kmw_use_end(use);
    if (error != 0) {
        return kmw_fail_errno(error);
    }
    const uint64_t size = (uint64_t)facts.st_size;
    const uint64_t index = (uint64_t)facts.st_ino;
    const uint64_t device = (uint64_t)facts.st_dev;
    *information = (BY_HANDLE_FILE_INFORMATION){
        .dwFileAttributes = kmw_attributes_of(&facts),
        .ftCreationTime = times.creation,
        .ftLastAccessTime = times.access,
        .ftLastWriteTime = times.write,
        .dwVolumeSerialNumber = (DWORD)(device ^ device >> 32),
        .nFileSizeHigh = (DWORD)(size >> 32),
        .nFileSizeLow = (DWORD)size,
        .nNumberOfLinks = (DWORD)facts.st_nlink,
        .nFileIndexHigh = (DWORD)(index >> 32),
        .nFileIndexLow = (DWORD)index,
    };
    return TRUE;
}
