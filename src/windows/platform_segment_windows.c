/*
 * platform_segment_windows.c - segments in platform.h, on Windows.
 */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <shlobj.h>

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

/*
 * Every user's own folder for what programs keep on this machine; for the machine, the one in which
 * all may make files. Not the temporary folder: that is what TMP says, and processes that share a
 * segment need not agree on that. Ends with a backslash.
 */
static DWORD folder_for(bool global, WCHAR *folder, DWORD size) {
    const int id = global ? CSIDL_COMMON_APPDATA : CSIDL_LOCAL_APPDATA;
    const HRESULT result = SHGetFolderPathW(NULL, id | CSIDL_FLAG_CREATE, NULL, 0, folder);
    if (result != S_OK || wcslen(folder) + 1 >= size) {
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

DWORD km_platform_share_companion(HANDLE file, HANDLE section, bool everybody) {
    (void)file, (void)section, (void)everybody;
    return ERROR_SUCCESS;
}

typedef struct section_facts {
    void *base;
    ULONG attributes;
    LARGE_INTEGER size;
} section_facts;

typedef LONG(WINAPI *query_section_call)(HANDLE, int, void *, SIZE_T, SIZE_T *);

/* false: this system, or this handle, does not tell. */
static bool ask_section(HANDLE section, uint64_t *size) {
    const HMODULE library = GetModuleHandleW(L"ntdll.dll");
    const FARPROC found = library != NULL ? GetProcAddress(library, "NtQuerySection") : NULL;
    query_section_call query = NULL;
    section_facts facts = {0};
    SYSTEM_INFO system;
    memcpy(&query, &found, sizeof query); /* the one way from FARPROC that no compiler warns of */
    if (query == NULL || query(section, 0, &facts, sizeof facts, NULL) < 0 ||
        facts.size.QuadPart <= 0) {
        return false;
    }
    GetSystemInfo(&system);
    const uint64_t page = system.dwPageSize;
    *size = ((uint64_t)facts.size.QuadPart + page - 1) / page * page;
    return true;
}

/* A view of all of it tells: all its regions, as a SEC_RESERVE section has pages of two kinds. */
static DWORD measure_view(HANDLE section, uint64_t *size) {
    const char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    if (view == NULL) {
        return GetLastError();
    }
    const char *at = view;
    MEMORY_BASIC_INFORMATION region;
    while (VirtualQuery(at, &region, sizeof region) != 0 && region.AllocationBase == view) {
        at = (const char *)region.BaseAddress + region.RegionSize;
    }
    *size = (uint64_t)(at - view);
    UnmapViewOfFile(view);
    return ERROR_SUCCESS;
}

DWORD km_platform_section_size(HANDLE section, uint64_t *size) {
    return ask_section(section, size) ? ERROR_SUCCESS : measure_view(section, size);
}

/* No section ever gets smaller. */
DWORD km_platform_section_left(HANDLE section, uint64_t size, uint64_t *left) {
    (void)section;
    *left = size;
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
