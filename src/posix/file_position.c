/*
 * file_position.c - a file's pointer, size and end, what kind of file it is, and its facts.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "file.h"
#include "file_facts.h"
#include "last_error.h"

static DWORD error_of_seek(int error) {
    return error == EBADF ? ERROR_ACCESS_DENIED : kmw_error_of_errno(error);
}

/* Where `distance` leads, which may be below 0. ERROR_INVALID_PARAMETER if it is past all offsets.
 */
static DWORD find_target(const kmw_file *file, LONGLONG distance, DWORD method, off_t *target) {
    off_t base = 0;
    struct stat facts;
    if (method == FILE_CURRENT) {
        base = lseek(file->descriptor, 0, SEEK_CUR);
    } else if (method == FILE_END) {
        base = fstat(file->descriptor, &facts) == 0 ? facts.st_size : -1;
    } else if (method != FILE_BEGIN) {
        return ERROR_INVALID_PARAMETER;
    }
    if (base < 0) {
        return error_of_seek(errno);
    }
    if (distance > INT64_MAX - base) {
        return ERROR_INVALID_PARAMETER;
    }
    *target = base + distance;
    return ERROR_SUCCESS;
}

/* Moves the file pointer, unless it would end above `highest`. */
static DWORD seek_file(const kmw_file *file, LONGLONG distance, DWORD method, off_t highest,
                       off_t *position) {
    off_t target = 0;
    if (method == FILE_CURRENT && highest == INT64_MAX) {
        /* In one step: threads that each move it a bit further do not undo each other's. */
        target = lseek(file->descriptor, distance, SEEK_CUR);
        if (target >= 0) {
            *position = target;
            return ERROR_SUCCESS;
        }
    }
    DWORD error = find_target(file, distance, method, &target);
    if (error == ERROR_SUCCESS && target < 0) {
        error = ERROR_NEGATIVE_SEEK;
    }
    if (error == ERROR_SUCCESS && target > highest) {
        error = ERROR_INVALID_PARAMETER;
    }
    if (error == ERROR_SUCCESS && lseek(file->descriptor, target, SEEK_SET) < 0) {
        error = error_of_seek(errno);
    }
    if (error == ERROR_SUCCESS) {
        *position = target;
    }
    return error;
}

static DWORD seek(HANDLE handle, LONGLONG distance, DWORD method, off_t highest, off_t *position) {
    kmw_file *file;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return ERROR_INVALID_HANDLE;
    }
    DWORD error = seek_file(file, distance, method, highest, position);
    kmw_use_end(use);
    return error;
}

BOOL SetFilePointerEx(HANDLE handle, LARGE_INTEGER distance, PLARGE_INTEGER position,
                      DWORD method) {
    off_t reached;
    DWORD error = seek(handle, distance.QuadPart, method, INT64_MAX, &reached);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    if (position != NULL) {
        position->QuadPart = reached;
    }
    return TRUE;
}

DWORD SetFilePointer(HANDLE handle, LONG low, PLONG high, DWORD method) {
    LARGE_INTEGER distance = {.QuadPart = low};
    if (high != NULL) {
        distance.LowPart = (DWORD)low;
        distance.HighPart = *high;
    }
    LARGE_INTEGER position;
    off_t reached;
    /* Without a place for the high half, a position that has one is refused. */
    DWORD error =
        seek(handle, distance.QuadPart, method, high != NULL ? INT64_MAX : UINT32_MAX, &reached);
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_SET_FILE_POINTER;
    }
    position.QuadPart = reached;
    if (high != NULL) {
        *high = position.HighPart;
    }
    if (position.LowPart == INVALID_SET_FILE_POINTER) {
        SetLastError(ERROR_SUCCESS); /* what tells it from a failure */
    }
    return position.LowPart;
}

static DWORD set_end(kmw_file *file) {
    struct stat facts;
    off_t end = lseek(file->descriptor, 0, SEEK_CUR);
    if (end < 0) {
        return error_of_seek(errno);
    }
    if (fstat(file->descriptor, &facts) != 0) {
        return kmw_error_of_errno(errno);
    }
    return end < facts.st_size ? kmw_file_cut(file, end) : kmw_file_grow(file, facts.st_size, end);
}

BOOL SetEndOfFile(HANDLE handle) {
    kmw_file *file;
    kmw_use use = kmw_file_use(handle, FILE_WRITE_DATA, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error = S_ISREG(file->type) ? set_end(file) : ERROR_INVALID_FUNCTION;
    kmw_use_end(use);
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

static DWORD get_facts(HANDLE handle, struct stat *facts) {
    kmw_file *file;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return ERROR_INVALID_HANDLE;
    }
    DWORD error = fstat(file->descriptor, facts) == 0 ? ERROR_SUCCESS : kmw_error_of_errno(errno);
    kmw_use_end(use);
    return error;
}

BOOL GetFileSizeEx(HANDLE handle, PLARGE_INTEGER size) {
    struct stat facts;
    DWORD error = get_facts(handle, &facts);
    if (error == ERROR_SUCCESS &&
        (S_ISFIFO(facts.st_mode) || S_ISCHR(facts.st_mode) || S_ISSOCK(facts.st_mode))) {
        error = ERROR_INVALID_FUNCTION;
    }
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    size->QuadPart = facts.st_size;
    return TRUE;
}

DWORD GetFileSize(HANDLE handle, LPDWORD high) {
    LARGE_INTEGER size = {.QuadPart = 0};
    if (!GetFileSizeEx(handle, &size)) {
        return INVALID_FILE_SIZE;
    }
    if (high != NULL) {
        *high = (DWORD)size.HighPart;
    }
    if (size.LowPart == INVALID_FILE_SIZE) {
        SetLastError(ERROR_SUCCESS);
    }
    return size.LowPart;
}

DWORD GetFileType(HANDLE handle) {
    kmw_file *file;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return FILE_TYPE_UNKNOWN;
    }
    mode_t type = file->type;
    kmw_use_end(use);
    if (S_ISCHR(type)) {
        return FILE_TYPE_CHAR;
    }
    return S_ISFIFO(type) || S_ISSOCK(type) ? FILE_TYPE_PIPE : FILE_TYPE_DISK;
}
