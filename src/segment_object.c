/*
 * segment_object.c - what the objects that belong to a segment are called, and who may use them.
 */
#include <stdlib.h>
#include <string.h>

#include "segment.h"

DWORD km_segment_text(const char *before, const char *middle, const char *after, WCHAR **text) {
    const char *const parts[] = {before, middle, after};
    size_t size = 1;
    for (size_t i = 0; i < 3; i++) {
        size += strlen(parts[i]);
    }
    /* No character has more units in UTF-16 than bytes in UTF-8. */
    WCHAR *whole = malloc(size * sizeof *whole);
    if (whole == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    int units = 0;
    for (size_t i = 0; i < 3; i++) {
        const int length = (int)strlen(parts[i]);
        if (length == 0) {
            continue;
        }
        const int added = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, parts[i], length,
                                              whole + units, (int)size - units);
        if (added == 0) {
            const DWORD error = GetLastError();
            free(whole);
            return error;
        }
        units += added;
    }
    whole[units] = 0;
    *text = whole;
    return ERROR_SUCCESS;
}

SECURITY_ATTRIBUTES *km_segment_security(bool everybody, km_everybody *storage) {
    if (!everybody ||
        !InitializeSecurityDescriptor(&storage->descriptor, SECURITY_DESCRIPTOR_REVISION) ||
        !SetSecurityDescriptorDacl(&storage->descriptor, TRUE, NULL, FALSE)) {
        return NULL;
    }
    storage->attributes = (SECURITY_ATTRIBUTES){
        .nLength = sizeof storage->attributes,
        .lpSecurityDescriptor = &storage->descriptor,
    };
    return &storage->attributes;
}
