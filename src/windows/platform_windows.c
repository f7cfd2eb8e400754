/*
 * platform_windows.c - names, drafts and sharing of platform.h, on Windows.
 */
#define _CRT_RAND_S /* rand_s: random numbers from the system */
#include <stdlib.h>

#include "platform.h"

#include <aclapi.h>
#include <stdio.h>
#include <wchar.h>

/* A path that long, or longer with a draft's suffix, needs the prefix that lifts MAX_PATH. */
#define SUFFIX_LENGTH 12
#define SHORT_PATH (MAX_PATH - 1 - SUFFIX_LENGTH)
/* The longest name of one file or directory, in units of UTF-16. */
#define NAME_LENGTH 255
/* A name that somebody else has taken is 32 random bits of bad luck. */
#define NAME_ATTEMPTS 16

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- Paths --------------------------------------------------------------------------------- */

static bool starts_with(const WCHAR *text, const WCHAR *start) {
    return wcsncmp(text, start, wcslen(start)) == 0;
}

/* `head` and `tail` as one text; NULL without memory. */
static WCHAR *join(const WCHAR *head, const WCHAR *tail) {
    size_t size = wcslen(head) + wcslen(tail) + 1;
    WCHAR *text = malloc(size * sizeof *text);
    if (text != NULL) {
        swprintf(text, size, L"%ls%ls", head, tail);
    }
    return text;
}

/* Why the last call failed; never "no error", which would make a result of nothing. */
static DWORD failure(void) {
    DWORD error = GetLastError();
    return error != ERROR_SUCCESS ? error : ERROR_GEN_FAILURE;
}

static DWORD full_path(const WCHAR *path, WCHAR **full) {
    DWORD size = GetFullPathNameW(path, 0, NULL, NULL);
    if (size == 0) {
        return failure();
    }
    WCHAR *text = malloc(size * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    DWORD length = GetFullPathNameW(path, size, text, NULL);
    if (length == 0 || length >= size) { /* longer now: the current directory has changed */
        free(text);
        return length == 0 ? failure() : ERROR_PATH_NOT_FOUND;
    }
    *full = text;
    return ERROR_SUCCESS;
}

/* Replaces a long absolute path by the same with its prefix. */
static DWORD add_prefix(WCHAR **path) {
    WCHAR *plain = *path;
    WCHAR *prefixed = NULL;
    if (wcslen(plain) < SHORT_PATH || starts_with(plain, L"\\\\?\\") ||
        starts_with(plain, L"\\\\.\\")) {
        return ERROR_SUCCESS;
    }
    if (starts_with(plain, L"\\\\")) {
        prefixed = join(L"\\\\?\\UNC\\", plain + 2);
    } else {
        prefixed = join(L"\\\\?\\", plain);
    }
    if (prefixed == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    free(plain);
    *path = prefixed;
    return ERROR_SUCCESS;
}

DWORD km_platform_long_path(const WCHAR *path, WCHAR **native) {
    WCHAR *full = NULL;
    DWORD error = full_path(path, &full);
    if (error == ERROR_SUCCESS) {
        error = add_prefix(&full);
    }
    if (error != ERROR_SUCCESS) {
        free(full);
        return error;
    }
    *native = full;
    return ERROR_SUCCESS;
}

/* The path of an open file with all links followed, without the prefix it is given with. */
static DWORD final_path(HANDLE file, WCHAR **path) {
    DWORD size = GetFinalPathNameByHandleW(file, NULL, 0, VOLUME_NAME_DOS);
    if (size == 0) {
        return failure();
    }
    WCHAR *text = malloc((size + 1) * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    DWORD length = GetFinalPathNameByHandleW(file, text, size + 1, VOLUME_NAME_DOS);
    if (length == 0 || length > size) {
        free(text);
        return length == 0 ? failure() : ERROR_PATH_NOT_FOUND;
    }
    if (starts_with(text, L"\\\\?\\UNC\\")) {
        wmemmove(text + 2, text + 8, wcslen(text + 8) + 1);
    } else if (starts_with(text, L"\\\\?\\")) {
        wmemmove(text, text + 4, wcslen(text + 4) + 1);
    }
    *path = text;
    return ERROR_SUCCESS;
}

DWORD km_platform_resolve(const WCHAR *path, WCHAR **resolved) {
    WCHAR *found = NULL;
    DWORD error = ERROR_SUCCESS;
    HANDLE file = CreateFileW(path, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file != INVALID_HANDLE_VALUE) {
        error =
            GetFileType(file) == FILE_TYPE_DISK ? final_path(file, &found) : ERROR_INVALID_FUNCTION;
        CloseHandle(file);
    } else {
        error = GetLastError();
        /* Attributes are those of the link itself, which leads to nothing. */
        if ((error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND) &&
            GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES) {
            return ERROR_CANT_RESOLVE_FILENAME;
        }
    }
    /* What has no final path (no file yet, a device, a file system without a drive letter) has a
     * full one. */
    if (error != ERROR_SUCCESS) {
        error = full_path(path, &found);
    }
    if (error == ERROR_SUCCESS) {
        error = add_prefix(&found);
    }
    if (error != ERROR_SUCCESS) {
        free(found);
        return error;
    }
    *resolved = found;
    return ERROR_SUCCESS;
}

static bool is_separator(WCHAR unit) {
    return unit == L'\\' || unit == L'/';
}

/* Where the name without its directory begins. */
static size_t name_start(const WCHAR *path) {
    size_t start = wcslen(path);
    while (start > 0 && !is_separator(path[start - 1])) {
        start--;
    }
    return start;
}

/* Asked of the file's directory, since volumes are also mounted on directories. */
DWORD km_platform_disk_free(HANDLE file, uint64_t *bytes) {
    WCHAR *path = NULL;
    ULARGE_INTEGER available;
    DWORD error = final_path(file, &path);
    if (error == ERROR_SUCCESS) {
        error = add_prefix(&path);
    }
    if (error == ERROR_SUCCESS) {
        path[name_start(path)] = L'\0';
        error = GetDiskFreeSpaceExW(path, &available, NULL, NULL) ? ERROR_SUCCESS : failure();
    }
    if (error == ERROR_SUCCESS) {
        *bytes = available.QuadPart;
    }
    free(path);
    return error;
}

/* ---- Drafts -------------------------------------------------------------------------------- */

DWORD km_platform_draft_name(const WCHAR *target, WCHAR **name) {
    unsigned random = 0;
    if (rand_s(&random) != 0) {
        return ERROR_GEN_FAILURE;
    }
    size_t start = name_start(target);
    size_t length = wcslen(target);
    size_t limit = start + NAME_LENGTH - SUFFIX_LENGTH;
    if (length > limit) {
        length = limit;
        if (IS_HIGH_SURROGATE(target[length - 1])) { /* not half a character */
            length--;
        }
    }
    size_t size = length + SUFFIX_LENGTH + 1;
    WCHAR *text = malloc(size * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    swprintf(text, size, L"%.*ls.km-%08x", (int)length, target, random);
    *name = text;
    return ERROR_SUCCESS;
}

DWORD km_platform_draft(const WCHAR *target, uint32_t permissions, DWORD share, HANDLE *file,
                        WCHAR **name) {
    (void)permissions;
    for (int attempt = 0;; attempt++) {
        WCHAR *chosen = NULL;
        DWORD error = km_platform_draft_name(target, &chosen);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        HANDLE made = CreateFileW(chosen, GENERIC_READ | GENERIC_WRITE | DELETE, share, NULL,
                                  CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
        if (made != INVALID_HANDLE_VALUE) {
            *file = made;
            *name = chosen;
            return ERROR_SUCCESS;
        }
        error = GetLastError();
        free(chosen);
        if (error != ERROR_FILE_EXISTS || attempt == NAME_ATTEMPTS) {
            return error;
        }
    }
}

/* Drafts have names here. */
DWORD km_platform_name_draft(HANDLE file, const WCHAR *name) {
    (void)file;
    (void)name;
    return ERROR_NOT_SUPPORTED;
}

/* ---- Permissions --------------------------------------------------------------------------- */

static DWORD set_access_list(HANDLE file, PSECURITY_DESCRIPTOR from, PACL list) {
    SECURITY_DESCRIPTOR_CONTROL control = 0;
    DWORD revision = 0;
    if (!GetSecurityDescriptorControl(from, &control, &revision)) {
        return GetLastError();
    }
    /* A list that inherits from its directory goes on doing so, one that does not, does not. */
    SECURITY_INFORMATION what =
        DACL_SECURITY_INFORMATION |
        ((control & SE_DACL_PROTECTED) != 0 ? PROTECTED_DACL_SECURITY_INFORMATION
                                            : UNPROTECTED_DACL_SECURITY_INFORMATION);
    return SetSecurityInfo(file, SE_FILE_OBJECT, what, NULL, NULL, list, NULL);
}

DWORD km_platform_match_permissions(HANDLE file, const WCHAR *like) {
    PSECURITY_DESCRIPTOR security = NULL;
    PACL list = NULL;
    DWORD error = GetNamedSecurityInfoW(like, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL,
                                        &list, NULL, &security);
    if (error != ERROR_SUCCESS) {
        return error == ERROR_INVALID_FUNCTION ? ERROR_SUCCESS : error; /* FAT has no such lists */
    }
    /* A draft's handle may not change permissions; who has made a file may open it so that it can.
     */
    HANDLE changing = ReOpenFile(file, READ_CONTROL | WRITE_DAC, SHARE_ALL, 0);
    if (changing == INVALID_HANDLE_VALUE) {
        error = GetLastError();
        goto cleanup;
    }
    error = set_access_list(changing, security, list);
    CloseHandle(changing);

cleanup:
    LocalFree(security);
    return error;
}

DWORD km_platform_set_permissions(HANDLE file, uint32_t permissions) {
    (void)file;
    (void)permissions;
    return ERROR_SUCCESS;
}

/* ---- Directories and sharing --------------------------------------------------------------- */

DWORD km_platform_sync_directory(const WCHAR *path) {
    (void)path;
    return ERROR_SUCCESS;
}

DWORD km_platform_sync_entry(HANDLE file, const WCHAR *path) {
    (void)file;
    (void)path;
    return ERROR_SUCCESS;
}

/* Opened with all rights and shared with nobody, any other open handle is a conflict. */
bool km_platform_in_use(const WCHAR *path) {
    static const DWORD rights[] = {GENERIC_READ | GENERIC_WRITE | DELETE, GENERIC_READ | DELETE,
                                   GENERIC_READ};
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        HANDLE file = CreateFileW(path, rights[i], 0, NULL, OPEN_EXISTING, 0, NULL);
        if (file != INVALID_HANDLE_VALUE) {
            CloseHandle(file);
            return false;
        }
        if (GetLastError() != ERROR_ACCESS_DENIED) {
            return GetLastError() == ERROR_SHARING_VIOLATION;
        }
    }
    return false;
}

/* By the kernel, on every file system. */
bool km_platform_sharing_enforced(HANDLE file) {
    (void)file;
    return true;
}
