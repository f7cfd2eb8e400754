/*
 * platform_view_windows.c - "Address space" of platform.h, on Windows.
 *
 * A reservation is made of placeholders where Windows has them (version 1803): a view takes the
 * place of a placeholder and leaves one behind, so that nobody can slip in. Elsewhere the range is
 * plainly reserved, and for the moment in which a view goes in or out its first part is free; what
 * lies behind the view stays reserved at all times.
 *
 * The three calls that know placeholders are looked up at run time: a program that imported them
 * would not start on an older Windows.
 */
#include "platform.h"

#include <string.h>

#include "size.h"

#define PLACEHOLDER_RESERVE 0x00040000u  /* MEM_RESERVE_PLACEHOLDER */
#define PLACEHOLDER_REPLACE 0x00004000u  /* MEM_REPLACE_PLACEHOLDER */
#define PLACEHOLDER_PRESERVE 0x00000002u /* MEM_PRESERVE_PLACEHOLDER */
#define PLACEHOLDER_COALESCE 0x00000001u /* MEM_COALESCE_PLACEHOLDERS */

typedef PVOID(WINAPI *virtual_alloc2)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, void *, ULONG);
typedef PVOID(WINAPI *map_view3)(HANDLE, HANDLE, PVOID, ULONG64, SIZE_T, ULONG, ULONG, void *,
                                 ULONG);
typedef BOOL(WINAPI *unmap_view2)(HANDLE, PVOID, ULONG);
typedef BOOL(WINAPI *prefetch_memory)(HANDLE, ULONG_PTR, PWIN32_MEMORY_RANGE_ENTRY, ULONG);

typedef struct placeholder_calls {
    virtual_alloc2 reserve;
    map_view3 map;
    unmap_view2 unmap;
} placeholder_calls;

/* GetProcAddress' own type says nothing and a cast from it warns, so its bytes are copied. */
static void look_up(HMODULE module, const char *name, void *call) {
    FARPROC found = GetProcAddress(module, name);
    memcpy(call, &found, sizeof found);
}

static bool find_placeholder_calls(placeholder_calls *calls) {
    HMODULE base = GetModuleHandleW(L"kernelbase.dll");
    if (base == NULL) {
        return false;
    }
    look_up(base, "VirtualAlloc2", &calls->reserve);
    look_up(base, "MapViewOfFile3", &calls->map);
    look_up(base, "UnmapViewOfFile2", &calls->unmap);
    return calls->reserve != NULL && calls->map != NULL && calls->unmap != NULL;
}

uint64_t km_platform_address_space(void) {
    MEMORYSTATUSEX memory = {.dwLength = sizeof memory};
    return GlobalMemoryStatusEx(&memory) ? memory.ullAvailVirtual : UINT64_MAX;
}

/* ---- Sizes of ranges ----------------------------------------------------------------------- */

static uint64_t round_up(uint64_t size, DWORD unit) {
    uint64_t rounded = size;
    return km_size_align_up(size, unit, &rounded) ? rounded : size;
}

static SYSTEM_INFO system_info(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info;
}

/* How much of a reservation a view of `length` bytes takes out of it. */
static uint64_t span_of(const km_reservation *reservation, uint64_t length) {
    SYSTEM_INFO info = system_info();
    DWORD unit = reservation->placeholder ? info.dwPageSize : info.dwAllocationGranularity;
    return round_up(length, unit);
}

/* ---- Reserving ----------------------------------------------------------------------------- */

DWORD km_platform_reserve(uint64_t size, km_reservation *reservation) {
    placeholder_calls calls;
    uint64_t whole = round_up(size, system_info().dwAllocationGranularity);
    if (size == 0 || !km_size_addressable(whole)) {
        return size == 0 ? ERROR_INVALID_PARAMETER : ERROR_NOT_ENOUGH_MEMORY;
    }
    km_reservation made = {.size = whole};
    if (find_placeholder_calls(&calls)) {
        made.base = calls.reserve(GetCurrentProcess(), NULL, (SIZE_T)whole,
                                  MEM_RESERVE | PLACEHOLDER_RESERVE, PAGE_NOACCESS, NULL, 0);
        made.placeholder = made.base != NULL;
    }
    if (made.base == NULL) {
        made.base = VirtualAlloc(NULL, (SIZE_T)whole, MEM_RESERVE, PAGE_NOACCESS);
    }
    if (made.base == NULL) {
        return GetLastError();
    }
    *reservation = made;
    return ERROR_SUCCESS;
}

/* The system's word on the page at `address`; all zero (no state at all) if it has none. */
static MEMORY_BASIC_INFORMATION query(const void *address) {
    MEMORY_BASIC_INFORMATION information = {0};
    (void)VirtualQuery(address, &information, sizeof information);
    return information;
}

/* Only without a view in it is a reservation one piece, which can be freed. */
void km_platform_release(km_reservation *reservation) {
    if (reservation->base != NULL && reservation->size > 0 &&
        query(reservation->base).State == MEM_COMMIT) {
        (void)km_platform_unmap_reserved(reservation);
    }
    if (reservation->base != NULL && reservation->size > 0 &&
        query(reservation->base).State == MEM_RESERVE) {
        VirtualFree(reservation->base, 0, MEM_RELEASE);
    }
    *reservation = (km_reservation){0};
}

/* ---- Views in placeholders ----------------------------------------------------------------- */

static DWORD page_protection(DWORD access) {
    if (access == FILE_MAP_COPY) {
        return PAGE_WRITECOPY;
    }
    return (access & FILE_MAP_WRITE) != 0 ? PAGE_READWRITE : PAGE_READONLY;
}

/* Makes one placeholder again of what splitting and unmapping has left. */
static DWORD coalesce(const km_reservation *reservation) {
    if (query(reservation->base).RegionSize >= reservation->size) {
        return ERROR_SUCCESS;
    }
    return VirtualFree(reservation->base, (SIZE_T)reservation->size,
                       MEM_RELEASE | PLACEHOLDER_COALESCE)
               ? ERROR_SUCCESS
               : GetLastError();
}

/*
 * MapViewOfFile3 wants whole pages, or 0 for all of the section, whatever its size. Sections are as
 * long as what is mapped of them, unless somebody has just made the file longer; then the view does
 * not fit the placeholder, and the plain way is left.
 */
static SIZE_T view_length(uint64_t length) {
    return length % system_info().dwPageSize == 0 ? (SIZE_T)length : 0;
}

static DWORD map_placeholder(const km_reservation *reservation, HANDLE section, DWORD access,
                             uint64_t length, uint64_t span) {
    placeholder_calls calls;
    if (!find_placeholder_calls(&calls)) {
        return ERROR_NOT_SUPPORTED;
    }
    if (span < reservation->size &&
        !VirtualFree(reservation->base, (SIZE_T)span, MEM_RELEASE | PLACEHOLDER_PRESERVE)) {
        return GetLastError();
    }
    if (calls.map(section, GetCurrentProcess(), reservation->base, 0, view_length(length),
                  PLACEHOLDER_REPLACE, page_protection(access), NULL, 0) != NULL) {
        return ERROR_SUCCESS;
    }
    DWORD error = GetLastError();
    DWORD joined = coalesce(reservation);
    return joined != ERROR_SUCCESS ? ERROR_INVALID_ADDRESS : error;
}

static DWORD unmap_placeholder(const km_reservation *reservation) {
    placeholder_calls calls;
    if (!find_placeholder_calls(&calls)) {
        return ERROR_NOT_SUPPORTED;
    }
    if (!calls.unmap(GetCurrentProcess(), reservation->base, PLACEHOLDER_PRESERVE)) {
        return GetLastError();
    }
    return coalesce(reservation);
}

/* ---- Views in plain reservations ----------------------------------------------------------- */

/*
 * Without a view the range is one reserved piece; with one it is the view and a second piece behind
 * it. If somebody slips in while a part is free, everything is given up and size is 0 from then on:
 * nothing that is not ours is ever freed.
 */

static bool reserve_from(const km_reservation *reservation, uint64_t start) {
    return start >= reservation->size ||
           VirtualAlloc((char *)reservation->base + start, (SIZE_T)(reservation->size - start),
                        MEM_RESERVE, PAGE_NOACCESS) != NULL;
}

static DWORD map_plain(km_reservation *reservation, HANDLE section, DWORD access, uint64_t length,
                       uint64_t span) {
    VirtualFree(reservation->base, 0, MEM_RELEASE);
    if (MapViewOfFileEx(section, access, 0, 0, (SIZE_T)length, reservation->base) == NULL) {
        DWORD error = GetLastError();
        if (reserve_from(reservation, 0)) {
            return error;
        }
        reservation->size = 0;
        return ERROR_INVALID_ADDRESS;
    }
    if (!reserve_from(reservation, span)) {
        UnmapViewOfFile(reservation->base);
        reservation->size = 0;
        return ERROR_INVALID_ADDRESS;
    }
    return ERROR_SUCCESS;
}

/* Bytes of the view at the base; its pages may differ in protection, never in allocation. */
static uint64_t view_size(const km_reservation *reservation) {
    uint64_t size = 0;
    while (size < reservation->size) {
        MEMORY_BASIC_INFORMATION pages = query((char *)reservation->base + size);
        if (pages.State != MEM_COMMIT || pages.AllocationBase != reservation->base) {
            break;
        }
        size += pages.RegionSize;
    }
    return size;
}

static DWORD unmap_plain(km_reservation *reservation) {
    uint64_t span = span_of(reservation, view_size(reservation));
    if (!UnmapViewOfFile(reservation->base)) {
        return GetLastError();
    }
    if (span < reservation->size) {
        VirtualFree((char *)reservation->base + span, 0, MEM_RELEASE);
    }
    if (!reserve_from(reservation, 0)) {
        reservation->size = 0;
    }
    return ERROR_SUCCESS;
}

/* Should a Windows refuse what its placeholders are for, there is still the plain way. */
static DWORD make_plain(km_reservation *reservation) {
    VirtualFree(reservation->base, 0, MEM_RELEASE);
    reservation->placeholder = false;
    if (reserve_from(reservation, 0)) {
        return ERROR_SUCCESS;
    }
    reservation->size = 0;
    return ERROR_INVALID_ADDRESS;
}

/* ---- Views --------------------------------------------------------------------------------- */

DWORD km_platform_map_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                               uint64_t length) {
    uint64_t span = span_of(reservation, length);
    if (reservation->size == 0) {
        return ERROR_INVALID_ADDRESS;
    }
    if (length == 0 || span > reservation->size) {
        return ERROR_INVALID_PARAMETER;
    }
    if (reservation->placeholder) {
        DWORD error = map_placeholder(reservation, section, access, length, span);
        if (error != ERROR_INVALID_PARAMETER && error != ERROR_INVALID_ADDRESS) {
            return error;
        }
        error = make_plain(reservation);
        if (error != ERROR_SUCCESS) {
            return error;
        }
    }
    return map_plain(reservation, section, access, length, span_of(reservation, length));
}

DWORD km_platform_unmap_reserved(km_reservation *reservation) {
    return reservation->placeholder ? unmap_placeholder(reservation) : unmap_plain(reservation);
}

DWORD km_platform_remap_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                                 uint64_t length, HANDLE old_section, uint64_t old_length) {
    DWORD error = km_platform_unmap_reserved(reservation);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = km_platform_map_reserved(reservation, section, access, length);
    if (error == ERROR_SUCCESS) {
        return ERROR_SUCCESS;
    }
    if (km_platform_map_reserved(reservation, old_section, access, old_length) != ERROR_SUCCESS) {
        return ERROR_INVALID_ADDRESS;
    }
    return error;
}

/* ---- Advice -------------------------------------------------------------------------------- */

static DWORD prefetch(void *address, uint64_t length) {
    prefetch_memory call = NULL;
    HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    if (kernel != NULL) {
        look_up(kernel, "PrefetchVirtualMemory", &call);
    }
    WIN32_MEMORY_RANGE_ENTRY range = {.VirtualAddress = address, .NumberOfBytes = (SIZE_T)length};
    if (call == NULL || call(GetCurrentProcess(), 1, &range, 0)) {
        return ERROR_SUCCESS;
    }
    DWORD error = GetLastError();
    return error == ERROR_CALL_NOT_IMPLEMENTED ? ERROR_SUCCESS : error;
}

/* Unlocking pages that are not locked takes them out of the working set: they stay in memory until
 * somebody needs it, and private ones go to the paging file, not away. */
static DWORD make_cold(void *address, uint64_t length) {
    if (VirtualUnlock(address, (SIZE_T)length)) {
        return ERROR_SUCCESS;
    }
    DWORD error = GetLastError();
    return error == ERROR_NOT_LOCKED ? ERROR_SUCCESS : error;
}

DWORD km_platform_advise(void *address, uint64_t length, km_advice advice, bool private_view) {
    (void)private_view;
    switch (advice) {
    case KM_ADVICE_WILL_NEED:
        return prefetch(address, length);
    case KM_ADVICE_COLD:
        return make_cold(address, length);
    case KM_ADVICE_NORMAL:
    case KM_ADVICE_RANDOM:
    case KM_ADVICE_SEQUENTIAL:
        break; /* said when the file is opened */
    }
    return ERROR_SUCCESS;
}
