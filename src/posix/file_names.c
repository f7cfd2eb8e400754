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

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- Questions ---- */

/* A descriptor to ask about sharing; -1 if there is nothing to ask, or no way to. */
static int open_to_ask(const char *path, const struct stat *facts) {
    if (!S_ISREG(facts->st_mode)) {
        return -1;
    }
    const int flags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
    int descriptor = open(path, O_RDONLY | flags);
    if (descriptor < 0 && errno == EACCES) {
        descriptor = open(path, O_WRONLY | flags);
    }
    return descriptor;
}

DWORD kmw_name_check_sharing(const char *path, const struct stat *facts, DWORD access) {
    int descriptor = open_to_ask(path, facts);
    if (descriptor < 0) {
        return ERROR_SUCCESS;
    }
    bool refused = kmw_sharing_is_refused(descriptor, access, SHARE_ALL);
    close(descriptor);
    return refused ? ERROR_SHARING_VIOLATION : ERROR_SUCCESS;
}

bool kmw_name_is_mapped(const char *path, const struct stat *facts) {
    int descriptor = open_to_ask(path, facts);
    if (descriptor < 0) {
        return false;
    }
    bool mapped = kmw_sharing_is_mapped(descriptor);
    close(descriptor);
    return mapped;
}

DWORD kmw_name_check_replacing(const char *path, const struct stat *facts) {
    if (S_ISDIR(facts->st_mode) || (kmw_attributes_of(facts) & FILE_ATTRIBUTE_READONLY)) {
        return ERROR_ACCESS_DENIED;
    }
    int descriptor = open_to_ask(path, facts);
    if (descriptor < 0) {
        return ERROR_SUCCESS;
    }
    /* Sharing nothing is refused by everybody who has it open. */
    bool used = kmw_sharing_is_refused(descriptor, DELETE, 0) || kmw_sharing_is_mapped(descriptor);
    close(descriptor);
    return used ? ERROR_ACCESS_DENIED : ERROR_SUCCESS;
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
    return stat(parent.text, &facts[1]) == 0 && facts[0].st_dev == facts[1].st_dev &&
           facts[0].st_ino == facts[1].st_ino;
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

static DWORD delete_name(const char *path) {
    struct stat facts;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    if (S_ISDIR(facts.st_mode)) {
        return ERROR_ACCESS_DENIED;
    }
    DWORD error = kmw_name_check_sharing(path, &facts, DELETE);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if ((kmw_attributes_of(&facts) & FILE_ATTRIBUTE_READONLY) || kmw_name_is_mapped(path, &facts)) {
        return ERROR_ACCESS_DENIED;
    }
    if (unlink(path) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    return ERROR_SUCCESS;
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
