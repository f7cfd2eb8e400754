/*
 * platform_objects_windows.c - the named objects in platform.h, on Windows: the two directories of
 * the object manager in which names without a prefix, with Local\ and with Global\ live.
 *
 * The calls that list those are ntdll's, documented ("Winternl.h") but in no import library: they
 * are looked up when they are needed.
 */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <winternl.h>

#define QUERY_DIRECTORY 0x0001u
#define ERROR_BITS 0xC0000000u
#define NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define PATH_NOT_FOUND ((NTSTATUS)0xC000003A)
#define NO_MORE_ENTRIES ((NTSTATUS)0x8000001A)

/* Views begin at multiples of this. */
#define GRANULARITY ((uint64_t)65536)

/* Room for one entry, with the longest names there can be. */
#define ENTRY_SIZE ((ULONG)(2 * 65536 + 256))

typedef struct directory_entry {
    UNICODE_STRING name;
    UNICODE_STRING type;
} directory_entry;

typedef struct section_facts {
    void *base;
    ULONG attributes;
    LARGE_INTEGER size;
} section_facts;

typedef NTSTATUS(WINAPI *open_directory_call)(HANDLE *, ACCESS_MASK, OBJECT_ATTRIBUTES *);
typedef NTSTATUS(WINAPI *query_directory_call)(HANDLE, void *, ULONG, BOOLEAN, BOOLEAN, ULONG *,
                                               ULONG *);
typedef NTSTATUS(WINAPI *query_section_call)(HANDLE, int, void *, SIZE_T, SIZE_T *);
typedef ULONG(WINAPI *error_of_status_call)(NTSTATUS);

typedef struct native_calls {
    open_directory_call open_directory;
    query_directory_call query_directory;
    query_section_call query_section;
    error_of_status_call error_of_status;
} native_calls;

typedef struct collection {
    native_calls calls;
    km_platform_object *objects;
    size_t count;
    size_t room;
} collection;

/* ---- The calls ------------------------------------------------------------------------------- */

static bool find_calls(native_calls *calls) {
    const HMODULE library = GetModuleHandleW(L"ntdll.dll");
    if (library == NULL) {
        return false;
    }
    /* The one way from FARPROC that no compiler warns of. */
    const FARPROC found[] = {GetProcAddress(library, "NtOpenDirectoryObject"),
                             GetProcAddress(library, "NtQueryDirectoryObject"),
                             GetProcAddress(library, "NtQuerySection"),
                             GetProcAddress(library, "RtlNtStatusToDosError")};
    _Static_assert(sizeof found == sizeof *calls, "one for each");
    memcpy(calls, found, sizeof found);
    return calls->open_directory != NULL && calls->query_directory != NULL &&
           calls->query_section != NULL && calls->error_of_status != NULL;
}

static bool failed(NTSTATUS status) {
    return ((ULONG)status & ERROR_BITS) == ERROR_BITS;
}

/* ---- One object ------------------------------------------------------------------------------ */

static bool kind_of(const UNICODE_STRING *type, km_object_kind *kind) {
    static const struct {
        const WCHAR *name;
        km_object_kind kind;
    } kinds[] = {{L"Section", KM_OBJECT_SECTION},
                 {L"Event", KM_OBJECT_EVENT},
                 {L"Mutant", KM_OBJECT_MUTEX},
                 {L"Semaphore", KM_OBJECT_SEMAPHORE}};
    const size_t length = type->Length / sizeof(WCHAR);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (wcslen(kinds[i].name) == length &&
            memcmp(kinds[i].name, type->Buffer, type->Length) == 0) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static char *utf8_of(const UNICODE_STRING *text) {
    const int units = (int)(text->Length / sizeof(WCHAR));
    const int size = WideCharToMultiByte(CP_UTF8, 0, text->Buffer, units, NULL, 0, NULL, NULL);
    char *result = calloc((size_t)size + 1, 1);
    if (result != NULL && size > 0) {
        WideCharToMultiByte(CP_UTF8, 0, text->Buffer, units, result, size, NULL, NULL);
    }
    return result;
}

/* The section by its name; NULL if it may not be read, or is gone. */
static HANDLE open_section(const UNICODE_STRING *name, bool machine_wide) {
    const WCHAR *prefix = machine_wide ? L"Global\\" : L"Local\\";
    const size_t units = name->Length / sizeof(WCHAR);
    WCHAR *whole = calloc(wcslen(prefix) + units + 1, sizeof *whole);
    if (whole == NULL) {
        return NULL;
    }
    wcscpy(whole, prefix);
    memcpy(whole + wcslen(prefix), name->Buffer, units * sizeof *whole);
    HANDLE section = OpenFileMappingW(SECTION_QUERY | FILE_MAP_READ, FALSE, whole);
    free(whole);
    return section;
}

static void fetch_tail(HANDLE section, km_platform_object *object) {
    if (object->section_size < KM_PLATFORM_TAIL) {
        return;
    }
    const uint64_t start = (object->section_size - KM_PLATFORM_TAIL) / GRANULARITY * GRANULARITY;
    const uint64_t length = object->section_size - start;
    const char *view =
        MapViewOfFile(section, FILE_MAP_READ, (DWORD)(start >> 32), (DWORD)start, (SIZE_T)length);
    if (view == NULL) {
        return;
    }
    SIZE_T done = 0;
    object->has_tail = ReadProcessMemory(GetCurrentProcess(), view + length - KM_PLATFORM_TAIL,
                                         object->tail, KM_PLATFORM_TAIL, &done) != 0;
    UnmapViewOfFile(view);
}

static void look_at_section(const collection *all, const UNICODE_STRING *name,
                            km_platform_object *object) {
    section_facts facts = {0};
    SYSTEM_INFO system;
    HANDLE section = open_section(name, object->machine_wide);
    if (section == NULL) {
        return;
    }
    if (!failed(all->calls.query_section(section, 0, &facts, sizeof facts, NULL)) &&
        facts.size.QuadPart > 0) {
        GetSystemInfo(&system);
        const uint64_t page = system.dwPageSize;
        object->size = (uint64_t)facts.size.QuadPart;
        object->section_size = (object->size + page - 1) / page * page;
        fetch_tail(section, object);
    }
    CloseHandle(section);
}

static DWORD collect(collection *all, const directory_entry *entry, bool machine_wide) {
    km_platform_object object = {.machine_wide = machine_wide,
                                 .size = KM_SIZE_UNKNOWN,
                                 .created_ns = KM_TIME_UNKNOWN,
                                 .creator = KM_ID_UNKNOWN,
                                 .owner = KM_ID_UNKNOWN};
    if (!kind_of(&entry->type, &object.kind)) {
        return ERROR_SUCCESS;
    }
    if (all->count == all->room) {
        const size_t room = all->room == 0 ? 32 : 2 * all->room;
        km_platform_object *objects = realloc(all->objects, room * sizeof *objects);
        if (objects == NULL) {
            return ERROR_NOT_ENOUGH_MEMORY;
        }
        all->objects = objects;
        all->room = room;
    }
    object.name = utf8_of(&entry->name);
    if (object.name == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    if (object.kind == KM_OBJECT_SECTION) {
        look_at_section(all, &entry->name, &object);
    }
    all->objects[all->count++] = object;
    return ERROR_SUCCESS;
}

/* ---- A directory ----------------------------------------------------------------------------- */

static DWORD go_through(collection *all, HANDLE directory, bool machine_wide) {
    directory_entry *entry = malloc(ENTRY_SIZE);
    ULONG context = 0;
    DWORD error = entry != NULL ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
    while (error == ERROR_SUCCESS) {
        const NTSTATUS status =
            all->calls.query_directory(directory, entry, ENTRY_SIZE, TRUE, FALSE, &context, NULL);
        if (status == NO_MORE_ENTRIES) {
            break;
        }
        error =
            failed(status) ? all->calls.error_of_status(status) : collect(all, entry, machine_wide);
    }
    free(entry);
    return error;
}

/* *missing: there is no such directory. */
static DWORD list_directory(collection *all, WCHAR *path, bool machine_wide, bool *missing) {
    UNICODE_STRING name = {.Buffer = path,
                           .Length = (USHORT)(wcslen(path) * sizeof(WCHAR)),
                           .MaximumLength = (USHORT)(wcslen(path) * sizeof(WCHAR))};
    OBJECT_ATTRIBUTES attributes;
    HANDLE directory = NULL;
    InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
    const NTSTATUS status = all->calls.open_directory(&directory, QUERY_DIRECTORY, &attributes);
    *missing = status == NAME_NOT_FOUND || status == PATH_NOT_FOUND;
    if (failed(status)) {
        return *missing ? ERROR_SUCCESS : all->calls.error_of_status(status);
    }
    const DWORD error = go_through(all, directory, machine_wide);
    CloseHandle(directory);
    return error;
}

/* The session of services, 0, has no directory of its own on Windows: all its names are global. */
static DWORD list_all(collection *all) {
    WCHAR machine[] = L"\\BaseNamedObjects";
    WCHAR local[64];
    DWORD session = 0;
    bool none = false;
    bool no_machine = false;
    if (!ProcessIdToSessionId(GetCurrentProcessId(), &session)) {
        return GetLastError();
    }
    swprintf(local, sizeof local / sizeof *local, L"\\Sessions\\%lu\\BaseNamedObjects", session);
    const DWORD error = list_directory(all, local, false, &none);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const DWORD other = list_directory(all, machine, true, &no_machine);
    return none && no_machine ? ERROR_NOT_SUPPORTED : other;
}

DWORD km_platform_objects(km_platform_object **objects, size_t *count) {
    collection all = {0};
    if (!find_calls(&all.calls)) {
        return ERROR_NOT_SUPPORTED;
    }
    const DWORD error = list_all(&all);
    if (error != ERROR_SUCCESS) {
        km_platform_objects_free(all.objects, all.count);
        return error;
    }
    *objects = all.objects;
    *count = all.count;
    return ERROR_SUCCESS;
}

void km_platform_objects_free(km_platform_object *objects, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(objects[i].name);
        free(objects[i].holders);
    }
    free(objects);
}
