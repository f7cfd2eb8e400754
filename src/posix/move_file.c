/*
 * move_file.c - MoveFileEx.
 *
 * A file is moved whoever maps it, but not past a handle that does not share deletion. What it
 * replaces must be nobody's. With MOVEFILE_WRITE_THROUGH an error of the final sync is reported,
 * although the file has been moved by then.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_names.h"
#include "last_error.h"
#include "text.h"

#define MOVEFILE_DELAY_UNTIL_REBOOT 0x4u
#define KNOWN_FLAGS (MOVEFILE_REPLACE_EXISTING | MOVEFILE_COPY_ALLOWED | MOVEFILE_WRITE_THROUGH)

static DWORD check_flags(DWORD flags) {
    if (flags & MOVEFILE_DELAY_UNTIL_REBOOT) {
        return ERROR_NOT_SUPPORTED;
    }
    return flags & ~KNOWN_FLAGS ? ERROR_INVALID_PARAMETER : ERROR_SUCCESS;
}

/* What must hold of an existing target. */
static DWORD check_target(const struct stat *source, const char *to, const struct stat *target,
                          bool replace) {
    if (!replace) {
        return ERROR_ALREADY_EXISTS;
    }
    if (S_ISDIR(source->st_mode)) {
        return ERROR_ACCESS_DENIED;
    }
    return kmw_name_check_replacing(to, target);
}

static DWORD rename_or_copy(const char *from, const struct stat *source, const char *to,
                            DWORD flags) {
    bool replace = flags & MOVEFILE_REPLACE_EXISTING;
    int error = kmw_name_rename(from, to, replace);
    if (error == EXDEV && (flags & MOVEFILE_COPY_ALLOWED) && S_ISREG(source->st_mode)) {
        return kmw_move_across(from, source, to, replace, flags & MOVEFILE_WRITE_THROUGH);
    }
    return error == 0 ? ERROR_SUCCESS : kmw_name_error(error, from, to);
}

static DWORD move_name(const char *from, const char *to, DWORD flags) {
    struct stat source;
    struct stat target;
    if (lstat(from, &source) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(from) : kmw_error_of_errno(errno);
    }
    DWORD error = kmw_name_check_sharing(from, &source, DELETE);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    bool two_links = false;
    if (lstat(to, &target) == 0) {
        if (kmw_name_is_same(from, to)) {
            return ERROR_SUCCESS;
        }
        error = check_target(&source, to, &target, flags & MOVEFILE_REPLACE_EXISTING);
        two_links = source.st_dev == target.st_dev && source.st_ino == target.st_ino;
    } else if (errno != ENOENT) {
        error = kmw_error_of_errno(errno);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (!two_links) {
        error = rename_or_copy(from, &source, to, flags);
    } else if (unlink(from) != 0) { /* rename(2) leaves both names of one file alone */
        error = kmw_error_of_errno(errno);
    }
    if (error == ERROR_SUCCESS && (flags & MOVEFILE_WRITE_THROUGH)) {
        error = kmw_name_sync(to);
        if (error == ERROR_SUCCESS) {
            error = kmw_name_sync(from);
        }
    }
    return error;
}

BOOL MoveFileExA(LPCSTR from, LPCSTR to, DWORD flags) {
    kmw_path from8;
    kmw_path to8;
    DWORD error = check_flags(flags);
    if (error == ERROR_SUCCESS) {
        error = kmw_path_from_utf8(from, &from8);
    }
    if (error == ERROR_SUCCESS) {
        error = to == NULL ? ERROR_INVALID_PARAMETER : kmw_path_from_utf8(to, &to8);
    }
    if (error == ERROR_SUCCESS) {
        error = move_name(from8.text, to8.text, flags);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

BOOL MoveFileExW(LPCWSTR from, LPCWSTR to, DWORD flags) {
    kmw_path from8;
    kmw_path to8;
    DWORD error = check_flags(flags);
    if (error == ERROR_SUCCESS) {
        error = kmw_path_from_utf16(from, &from8);
    }
    if (error == ERROR_SUCCESS) {
        error = to == NULL ? ERROR_INVALID_PARAMETER : kmw_path_from_utf16(to, &to8);
    }
    if (error == ERROR_SUCCESS) {
        error = move_name(from8.text, to8.text, flags);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}
