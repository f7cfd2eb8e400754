/*
 * full_path.c - GetFullPathName and GetTempPath: paths as text, whether or not they exist.
 *
 * "." and ".." are taken out of the text, as on Windows. That is not where a path with ".." after a
 * symbolic link leads; the calls that open files do not use this.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "last_error.h"
#include "text.h"

/* Takes the last name off an absolute path without a slash at its end. */
static size_t drop_name(const char *path, size_t length) {
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    return length > 0 ? length - 1 : 0;
}

/*
 * Adds the names of `from` to an absolute path of `length` characters that does not end in a slash
 * (the root is ""). ERROR_FILENAME_EXCED_RANGE if it gets too long.
 */
static DWORD append(kmw_path *path, size_t *length, const char *from) {
    while (*from != '\0') {
        size_t name = strcspn(from, "/");
        if (name == 2 && memcmp(from, "..", 2) == 0) {
            *length = drop_name(path->text, *length);
        } else if (name > 0 && !(name == 1 && from[0] == '.')) {
            if (*length + 1 + name >= sizeof path->text) {
                return ERROR_FILENAME_EXCED_RANGE;
            }
            path->text[(*length)++] = '/';
            memcpy(path->text + *length, from, name);
            *length += name;
        }
        from += name;
        from += strspn(from, "/");
    }
    return ERROR_SUCCESS;
}

/* `from` is not empty. A slash at its end is kept. */
static DWORD full_path(const char *from, kmw_path *path) {
    kmw_path current;
    size_t length = 0;
    DWORD error = ERROR_SUCCESS;
    if (from[0] != '/') {
        if (getcwd(current.text, sizeof current.text) == NULL) {
            return kmw_error_of_errno(errno);
        }
        error = append(path, &length, current.text);
    }
    if (error == ERROR_SUCCESS) {
        error = append(path, &length, from);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (length == 0 || from[strlen(from) - 1] == '/') {
        if (length + 1 >= sizeof path->text) {
            return ERROR_FILENAME_EXCED_RANGE;
        }
        path->text[length++] = '/';
    }
    path->text[length] = '\0';
    return ERROR_SUCCESS;
}

static DWORD fail(DWORD code) {
    SetLastError(code);
    return 0;
}

/* How these calls return text: its length, or the size it needs if that is not there. */
static DWORD deliver8(const kmw_path *path, DWORD size, LPSTR buffer) {
    size_t length = strlen(path->text);
    if (buffer == NULL || length >= size) {
        return (DWORD)length + 1;
    }
    memcpy(buffer, path->text, length + 1);
    return (DWORD)length;
}

static DWORD deliver16(const kmw_path *path, DWORD size, LPWSTR buffer) {
    size_t length = kmw_utf8_to_utf16(path->text, strlen(path->text), NULL, 0);
    if (length == (size_t)-1) {
        return fail(ERROR_NO_UNICODE_TRANSLATION); /* the current directory's own name */
    }
    if (buffer == NULL || length >= size) {
        return (DWORD)length + 1;
    }
    (void)kmw_utf8_to_utf16(path->text, strlen(path->text), buffer, length);
    buffer[length] = 0;
    return (DWORD)length;
}

/* A path of no name is no path to complete, and not ERROR_PATH_NOT_FOUND either. */
static DWORD error_of_path(DWORD error) {
    return error == ERROR_PATH_NOT_FOUND ? ERROR_INVALID_NAME : error;
}

DWORD GetFullPathNameA(LPCSTR path, DWORD size, LPSTR buffer, LPSTR *name) {
    kmw_path path8;
    kmw_path full;
    DWORD error = error_of_path(kmw_path_from_utf8(path, &path8));
    if (error == ERROR_SUCCESS) {
        error = full_path(path8.text, &full);
    }
    if (error != ERROR_SUCCESS) {
        return fail(error);
    }
    DWORD length = deliver8(&full, size, buffer);
    if (name != NULL) {
        *name = NULL;
        if (buffer != NULL && length < size) {
            char *last = strrchr(buffer, '/') + 1;
            *name = *last != '\0' ? last : NULL;
        }
    }
    return length;
}

DWORD GetFullPathNameW(LPCWSTR path, DWORD size, LPWSTR buffer, LPWSTR *name) {
    kmw_path path8;
    kmw_path full;
    DWORD error = error_of_path(kmw_path_from_utf16(path, &path8));
    if (error == ERROR_SUCCESS) {
        error = full_path(path8.text, &full);
    }
    if (error != ERROR_SUCCESS) {
        return fail(error);
    }
    DWORD length = deliver16(&full, size, buffer);
    if (name != NULL && length != 0) {
        *name = NULL;
        if (buffer != NULL && length < size) {
            WCHAR *last = buffer + length;
            while (last[-1] != u'/') {
                last--;
            }
            *name = *last != 0 ? last : NULL;
        }
    }
    return length;
}

/* $TMPDIR made absolute, else /tmp; with a slash at its end. */
static DWORD temp_path(kmw_path *path) {
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || directory[0] == '\0') {
        directory = "/tmp";
    }
    DWORD error = full_path(directory, path);
    size_t length = error == ERROR_SUCCESS ? strlen(path->text) : 0;
    if (error != ERROR_SUCCESS || path->text[length - 1] == '/') {
        return error;
    }
    if (length + 1 >= sizeof path->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    memcpy(path->text + length, "/", sizeof "/");
    return ERROR_SUCCESS;
}

DWORD GetTempPathA(DWORD size, LPSTR buffer) {
    kmw_path path;
    DWORD error = temp_path(&path);
    return error == ERROR_SUCCESS ? deliver8(&path, size, buffer) : fail(error);
}

DWORD GetTempPathW(DWORD size, LPWSTR buffer) {
    kmw_path path;
    DWORD error = temp_path(&path);
    return error == ERROR_SUCCESS ? deliver16(&path, size, buffer) : fail(error);
}
