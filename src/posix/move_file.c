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

#include "file_facts.h"
#include "file_names.h"
#include "last_error.h"
#include "sharing.h"
#include "text.h"

#define MOVEFILE_DELAY_UNTIL_REBOOT 0x4u
#define KNOWN_FLAGS (MOVEFILE_REPLACE_EXISTING | MOVEFILE_COPY_ALLOWED | MOVEFILE_WRITE_THROUGH)

static DWORD check_flags(DWORD flags) {
    if (flags & MOVEFILE_DELAY_UNTIL_REBOOT) {
        return ERROR_NOT_SUPPORTED;
    }
    return flags & ~KNOWN_FLAGS ? ERROR_INVALID_PARAMETER : ERROR_SUCCESS;
}

static DWORD rename_or_copy(const char *from, const struct stat *source, const char *to,
                            DWORD flags) {
    bool replace = flags & MOVEFILE_REPLACE_EXISTING;
    int error = kmw_name_rename(from, to, replace);
    if (error == EXDEV && (flags & MOVEFILE_COPY_ALLOWED) && S_ISREG(source->st_mode)) {
        return kmw_move_across(from, to, replace, flags & MOVEFILE_WRITE_THROUGH);
    }
    return error == 0 ? ERROR_SUCCESS : kmw_name_error(error, from, to);
}

/* rename(2) leaves both names of one file alone. */
static DWORD move_onto_link(const char *from, struct stat *source, const char *to, DWORD flags) {
    int claim;
    if (!(flags & MOVEFILE_REPLACE_EXISTING)) {
        return ERROR_ALREADY_EXISTS;
    }
    DWORD error = kmw_name_claim_to_replace(to, source, &claim);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = unlink(from) == 0 ? ERROR_SUCCESS : kmw_error_of_errno(errno);
    kmw_name_let_go(claim);
    return error;
}

static DWORD move_onto_existing(const char *from, const struct stat *source, const char *to,
                                struct stat *target, DWORD flags) {
    int claim;
    if (!(flags & MOVEFILE_REPLACE_EXISTING)) {
        return ERROR_ALREADY_EXISTS;
    }
    if (S_ISDIR(source->st_mode)) {
        return ERROR_ACCESS_DENIED;
    }
    DWORD error = kmw_name_claim_to_replace(to, target, &claim);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = rename_or_copy(from, source, to, flags);
    kmw_name_let_go(claim);
    return error;
}

/* `target` NULL: there is none yet. */
static DWORD move_claiming(const char *from, struct stat *source, const char *to,
                           struct stat *target, DWORD flags) {
    int claim;
    DWORD error = kmw_name_claim(from, source, DELETE, KMW_SHARE_ALL, &claim);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = target == NULL ? rename_or_copy(from, source, to, flags)
                           : move_onto_existing(from, source, to, target, flags);
    kmw_name_let_go(claim);
    return error;
}

static DWORD move_name(const char *from, const char *to, DWORD flags) {
    struct stat source;
    struct stat target;
    if (lstat(from, &source) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(from) : kmw_error_of_errno(errno);
    }
    bool exists = lstat(to, &target) == 0;
    if (!exists && errno != ENOENT) {
        return kmw_error_of_errno(errno);
    }
    DWORD error;
    if (exists && kmw_name_is_same(from, to)) {
        int claim;
        error = kmw_name_claim(from, &source, DELETE, KMW_SHARE_ALL, &claim);
        if (error == ERROR_SUCCESS) {
            kmw_name_let_go(claim);
        }
        return error;
    }
    if (exists && kmw_is_same_file(&source, &target)) {
        error = move_onto_link(from, &source, to, flags);
    } else {
        error = move_claiming(from, &source, to, exists ? &target : NULL, flags);
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
