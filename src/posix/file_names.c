/*
 * file_names.c - attributes of files by name, deleting them, and what the calls on names share.
 *
 * A name that is a symbolic link is the link itself to those who delete, move or replace it.
 */
#include "file_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file_facts.h"
#include "last_error.h"
#include "sharing.h"
#include "text.h"

/* ---- Questions ---- */

static int open_once(const char *path, int how) {
    int descriptor;
    do {
        descriptor = open(path, how | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* *descriptor to claim the file with; -1 if there is nothing to claim, or no permission to. A name
 * that is gone is an error: it may be another's by the time it is used. */
static DWORD open_to_claim(const char *path, const struct stat *facts, int *descriptor) {
    *descriptor = -1;
    if (!S_ISREG(facts->st_mode)) {
        return ERROR_SUCCESS;
    }
    *descriptor = open_once(path, O_RDONLY);
    if (*descriptor < 0 && errno == EACCES) {
        *descriptor = open_once(path, O_WRONLY);
    }
    if (*descriptor >= 0) {
        return ERROR_SUCCESS;
    }
    switch (errno) {
    case ENOENT:
        return kmw_error_of_missing(path);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return kmw_error_of_errno(errno);
    default:
        return ERROR_SUCCESS; /* one that has become another thing is noticed by its user */
    }
}

#define CLAIM_ROUNDS 8

/* Does the path lead to what the descriptor is? Nobody who claims changes that any more. */
static bool is_still_there(const char *path, int descriptor, struct stat *facts) {
    struct stat claimed;
    return fstat(descriptor, &claimed) == 0 && lstat(path, facts) == 0 &&
           kmw_is_same_file(&claimed, facts);
}

DWORD kmw_name_claim(const char *path, struct stat *facts, DWORD access, DWORD share, int *claim) {
    *claim = -1;
    for (int round = 0; round < CLAIM_ROUNDS; ++round) {
        int descriptor;
        DWORD error = open_to_claim(path, facts, &descriptor);
        if (descriptor < 0) {
            return error;
        }
        error = kmw_sharing_claim_name_alone(descriptor, access, share);
        if (error == ERROR_SUCCESS && is_still_there(path, descriptor, facts)) {
            *claim = descriptor;
            return ERROR_SUCCESS;
        }
        close(descriptor);
        if (error != ERROR_SUCCESS) {
            return error;
        }
    }
    return ERROR_SHARING_VIOLATION;
}

void kmw_name_let_go(int claim) {
    if (claim >= 0) {
        close(claim);
    }
}

bool kmw_name_is_mapped(int claim) {
    return claim >= 0 && kmw_sharing_is_mapped(claim);
}

DWORD kmw_name_claim_to_replace(const char *path, struct stat *facts, int *claim) {
    *claim = -1;
    if (S_ISDIR(facts->st_mode) || (kmw_attributes_of(facts) & FILE_ATTRIBUTE_READONLY)) {
        return ERROR_ACCESS_DENIED;
    }
    /* Sharing nothing is refused by everybody who has it open. */
    DWORD error = kmw_name_claim(path, facts, DELETE, 0, claim);
    if (error == ERROR_SUCCESS && kmw_name_is_mapped(*claim)) {
        close(*claim);
        *claim = -1;
        error = ERROR_SHARING_VIOLATION;
    }
    return error == ERROR_SHARING_VIOLATION ? ERROR_ACCESS_DENIED : error;
}

/* ---- Entries ---- */

/* Where the last name of a path begins and ends; slashes behind it are not part of it. */
static void last_name(const char *path, size_t *start, size_t *end) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    *end = length;
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    *start = length;
}

void kmw_name_parent(const char *path, kmw_path *parent) {
    size_t start = 0;
    size_t end = 0;
    last_name(path, &start, &end);
    if (start == 0) {
        memcpy(parent->text, ".", sizeof ".");
        return;
    }
    memcpy(parent->text, path, start);
    parent->text[start] = '\0';
}

bool kmw_name_is_same(const char *one, const char *other) {
    size_t start[2];
    size_t end[2];
    last_name(one, &start[0], &end[0]);
    last_name(other, &start[1], &end[1]);
    size_t length = end[0] - start[0];
    if (length != end[1] - start[1] || memcmp(one + start[0], other + start[1], length) != 0) {
        return false;
    }
    kmw_path parent;
    struct stat facts[2];
    kmw_name_parent(one, &parent);
    if (stat(parent.text, &facts[0]) != 0) {
        return false;
    }
    kmw_name_parent(other, &parent);
    return stat(parent.text, &facts[1]) == 0 && kmw_is_same_file(&facts[0], &facts[1]);
}

/* Where the system or the file system has no rename that refuses: for a directory the refusal is
 * not atomic, but only an empty one could be replaced by mistake. */
static int rename_if_free(const char *from, const char *to) {
    struct stat facts;
    if (lstat(from, &facts) != 0) {
        return errno;
    }
    if (S_ISDIR(facts.st_mode)) {
        if (lstat(to, &facts) == 0) {
            return EEXIST;
        }
        return rename(from, to) == 0 ? 0 : errno;
    }
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, 0) != 0) {
        return errno;
    }
    if (unlink(from) != 0) {
        int error = errno;
        (void)unlink(to); /* the first error is the one to tell */
        return error;
    }
    return 0;
}

int kmw_name_rename(const char *from, const char *to, bool replace) {
    if (replace) {
        return rename(from, to) == 0 ? 0 : errno;
    }
#if defined(RENAME_NOREPLACE)
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return errno;
    }
#endif
    return rename_if_free(from, to);
}

DWORD kmw_name_error(int error, const char *from, const char *to) {
    struct stat facts;
    switch (error) {
    case ENOENT:
        return lstat(from, &facts) == 0 ? ERROR_PATH_NOT_FOUND : kmw_error_of_missing(from);
    case EEXIST:
    case ENOTEMPTY:
        return ERROR_ALREADY_EXISTS;
    case EISDIR:
    case ENOTDIR:
        return lstat(to, &facts) == 0 ? ERROR_ACCESS_DENIED : ERROR_PATH_NOT_FOUND;
    default:
        return kmw_error_of_errno(error);
    }
}

DWORD kmw_name_sync(const char *path) {
    kmw_path parent;
    kmw_name_parent(path, &parent);
    int descriptor = open(parent.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return kmw_error_of_errno(errno);
    }
    int error = fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
    close(descriptor);
    return error == 0 ? ERROR_SUCCESS : kmw_error_of_errno(error);
}

/* ---- Attributes ---- */

/*
 * A link has its target's attributes and is a REPARSE_POINT besides; one that leads nowhere is that
 * alone.
 */
static DWORD look_up(const char *path, struct stat *facts, DWORD *attributes) {
    struct stat target;
    if (lstat(path, facts) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    bool link = S_ISLNK(facts->st_mode);
    if (!link || stat(path, &target) != 0) {
        *attributes = kmw_attributes_of(facts);
        return ERROR_SUCCESS;
    }
    *facts = target;
    *attributes =
        (kmw_attributes_of(facts) & ~FILE_ATTRIBUTE_NORMAL) | FILE_ATTRIBUTE_REPARSE_POINT;
    return ERROR_SUCCESS;
}

static DWORD attributes_of(DWORD error, const kmw_path *path) {
    struct stat facts;
    DWORD attributes = 0;
    if (error == ERROR_SUCCESS) {
        error = look_up(path->text, &facts, &attributes);
    }
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_FILE_ATTRIBUTES;
    }
    return attributes;
}

DWORD GetFileAttributesA(LPCSTR path) {
    kmw_path path8;
    return attributes_of(kmw_path_from_utf8(path, &path8), &path8);
}

DWORD GetFileAttributesW(LPCWSTR path) {
    kmw_path path8;
    return attributes_of(kmw_path_from_utf16(path, &path8), &path8);
}

static BOOL facts_of(DWORD error, const kmw_path *path, GET_FILEEX_INFO_LEVELS level,
                     WIN32_FILE_ATTRIBUTE_DATA *information) {
    struct stat facts;
    DWORD attributes = 0;
    if (level != GetFileExInfoStandard || information == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (error == ERROR_SUCCESS) {
        error = look_up(path->text, &facts, &attributes);
    }
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    kmw_file_times times = kmw_times_of(-1, path->text, &facts);
    uint64_t size = S_ISREG(facts.st_mode) ? (uint64_t)facts.st_size : 0;
    *information = (WIN32_FILE_ATTRIBUTE_DATA){
        .dwFileAttributes = attributes,
        .ftCreationTime = times.creation,
        .ftLastAccessTime = times.access,
        .ftLastWriteTime = times.write,
        .nFileSizeHigh = (DWORD)(size >> 32),
        .nFileSizeLow = (DWORD)size,
    };
    return TRUE;
}

BOOL GetFileAttributesExA(LPCSTR path, GET_FILEEX_INFO_LEVELS level, LPVOID information) {
    kmw_path path8;
    return facts_of(kmw_path_from_utf8(path, &path8), &path8, level, information);
}

BOOL GetFileAttributesExW(LPCWSTR path, GET_FILEEX_INFO_LEVELS level, LPVOID information) {
    kmw_path path8;
    return facts_of(kmw_path_from_utf16(path, &path8), &path8, level, information);
}

/* ---- Deleting ---- */

/* Of a file that has been claimed. */
static DWORD delete_claimed(const char *path, const struct stat *facts, int claim) {
    if ((kmw_attributes_of(facts) & FILE_ATTRIBUTE_READONLY) || kmw_name_is_mapped(claim)) {
        return ERROR_ACCESS_DENIED;
    }
    if (unlink(path) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    return ERROR_SUCCESS;
}

static DWORD delete_name(const char *path) {
    struct stat facts;
    int claim;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    if (S_ISDIR(facts.st_mode)) {
        return ERROR_ACCESS_DENIED;
    }
    DWORD error = kmw_name_claim(path, &facts, DELETE, KMW_SHARE_ALL, &claim);
    if (error == ERROR_SUCCESS) {
        error = delete_claimed(path, &facts, claim);
        kmw_name_let_go(claim);
    }
    return error;
}

BOOL DeleteFileA(LPCSTR path) {
    kmw_path path8;
    DWORD error = kmw_path_from_utf8(path, &path8);
    if (error == ERROR_SUCCESS) {
        error = delete_name(path8.text);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

BOOL DeleteFileW(LPCWSTR path) {
    kmw_path path8;
    DWORD error = kmw_path_from_utf16(path, &path8);
    if (error == ERROR_SUCCESS) {
        error = delete_name(path8.text);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}
