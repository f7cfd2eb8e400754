/*
 * platform_segment_windows.c - segments in platform.h, on Windows.
 */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* FNV-1a in 64 bits, begun at `hash`. */
static uint64_t hash_bytes(uint64_t hash, const void *from, size_t length) {
    const unsigned char *bytes = from;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001B3ULL;
    }
    return hash;
}

static bool is_global(const WCHAR *name) {
    return wcsncmp(name, L"Global\\", 7) == 0;
}

/* Every user's own folder for what does not last; for the machine, the one in which all may make
 * files. Ends with a backslash. */
static DWORD folder_for(bool global, WCHAR *folder, DWORD size) {
    if (!global) {
        const DWORD length = GetTempPathW(size, folder);
        return length > 0 && length < size ? ERROR_SUCCESS : ERROR_PATH_NOT_FOUND;
    }
    const DWORD length = GetEnvironmentVariableW(L"ProgramData", folder, size - 1);
    if (length == 0 || length >= size - 1) {
        return ERROR_PATH_NOT_FOUND;
    }
    wcscat(folder, L"\\");
    return ERROR_SUCCESS;
}

DWORD km_platform_companion(const WCHAR *name, WCHAR **path) {
    enum { FOLDER_SIZE = MAX_PATH + 1, FILE_NAME_SIZE = 64 };
    const bool global = is_global(name);
    WCHAR folder[FOLDER_SIZE];
    DWORD session = 0;
    const DWORD error = folder_for(global, folder, FOLDER_SIZE);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (!global) { /* two sessions of one user may share the folder, and not the segment */
        (void)ProcessIdToSessionId(GetCurrentProcessId(), &session);
    }
    const size_t size = FOLDER_SIZE + FILE_NAME_SIZE;
    WCHAR *text = malloc(size * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    const size_t bytes = wcslen(name) * sizeof *name;
    const uint64_t one = hash_bytes(0xCBF29CE484222325ULL, &session, sizeof session);
    const uint64_t other = hash_bytes(0x6C62272E07BB0142ULL, &session, sizeof session);
    swprintf(text, size, L"%lskeepmap-%016llx%016llx.lock", folder,
             (unsigned long long)hash_bytes(one, name, bytes),
             (unsigned long long)hash_bytes(other, name, bytes));
    *path = text;
    return ERROR_SUCCESS;
}

/* That of the view: of all its regions, as a SEC_RESERVE section has pages of two kinds. */
DWORD km_platform_section_size(HANDLE section, const void *view, uint64_t *size) {
    (void)section;
    const char *at = view;
    MEMORY_BASIC_INFORMATION region;
    while (VirtualQuery(at, &region, sizeof region) != 0 && region.AllocationBase == view) {
        at = (const char *)region.BaseAddress + region.RegionSize;
    }
    *size = (uint64_t)(at - (const char *)view);
    return ERROR_SUCCESS;
}

/* Bytes that the system may still promise. */
static bool commit_left(uint64_t *bytes) {
    MEMORYSTATUSEX memory = {.dwLength = sizeof memory};
    if (!GlobalMemoryStatusEx(&memory)) {
        return false;
    }
    *bytes = memory.ullAvailPageFile;
    return true;
}

bool km_platform_refused_memory(uint64_t *available, const char **limit) {
    *limit = "memory and page file";
    return commit_left(available);
}

DWORD km_platform_section_memory(HANDLE section, uint64_t size, uint64_t *allocated,
                                 uint64_t *available) {
    (void)section;
    *allocated = size; /* committed when it was made: the system has promised it */
    if (!commit_left(available)) {
        *available = KM_SIZE_UNKNOWN;
    }
    return ERROR_SUCCESS;
}
