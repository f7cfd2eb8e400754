/*
 * path.c - from the path a user gives to the one CreateFileW takes.
 */
#include "path.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "status.h"

/* 32,767 UTF-16 units are the longest path of any system, each at most 3 bytes of UTF-8. */
#define LONGEST_PATH ((size_t)32767 * 3)

km_status km_path_to_native(const char *path, WCHAR **native) {
    if (path == NULL || path[0] == '\0') {
        return km_fail(KM_E_INVALID, path == NULL ? "the path is NULL" : "the path is empty");
    }
    size_t length = strlen(path);
    if (length > LONGEST_PATH) {
        return km_fail(KM_E_INVALID, "the path \"%s\" is too long: it has %zu bytes", path, length);
    }
    /* No character has more units in UTF-16 than bytes in UTF-8. */
    WCHAR *text = malloc((length + 1) * sizeof *text);
    if (text == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory for the path \"%s\"", path);
    }
    km_status status = KM_OK;
    int size = (int)length + 1;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, size, text, size) == 0) {
        status =
            km_fail_system_as(KM_E_INVALID, GetLastError(), "the path \"%s\" is not UTF-8", path);
        goto cleanup;
    }
    DWORD error = km_platform_long_path(text, native);
    if (error != ERROR_SUCCESS) {
        status = km_fail_system(error, "cannot use the path \"%s\"", path);
    }

cleanup:
    free(text);
    return status;
}
