/*
 * check.c - four questions about a size: is it exact, what is declared, what is allocated, and does
 * it fit.
 *
 * Each call gathers its facts into a report, finds what is wrong, hands the report over and then
 * turns the findings into one status.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "contents.h"
#include "map.h"
#include "options.h"
#include "path.h"
#include "platform.h"
#include "segment.h"
#include "size.h"
#include "status.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- The report ---------------------------------------------------------------------------- */

static km_status report_size(const km_size_report *report, uint32_t *size) {
    return km_result_size(report, sizeof *report, "km_size_report", size);
}

static void hand_over(const km_size_report *facts, uint32_t size, km_size_report *report) {
    km_result_fill(facts, sizeof *facts, size, report);
}

/* ---- Facts --------------------------------------------------------------------------------- */

/* Bytes of the file's size that have no block of the disk yet. */
static uint64_t unallocated(uint64_t size, uint64_t allocated) {
    return allocated < size ? size - allocated : 0;
}

static DWORD ask_file(HANDLE file, km_size_report *facts) {
    LARGE_INTEGER size;
    uint64_t allocated = 0;
    if (!GetFileSizeEx(file, &size)) {
        return GetLastError();
    }
    DWORD error = km_platform_allocated(file, &allocated);
    if (error == ERROR_SUCCESS) {
        error = km_platform_disk_free(file, &facts->disk_free);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    facts->actual = (uint64_t)size.QuadPart;
    facts->declared = facts->actual;
    facts->allocated = allocated;
    if (unallocated(facts->actual, allocated) > 0) {
        facts->findings |= KM_SIZE_HOLES;
    }
    if (!km_platform_sharing_enforced(file)) {
        facts->findings |= KM_SIZE_NO_SHARING;
    }
    return ERROR_SUCCESS;
}

/* The directory of a path that km_platform_resolve made. */
static DWORD directory_of(const WCHAR *resolved, WCHAR **directory) {
    DWORD size = GetFullPathNameW(resolved, 0, NULL, NULL);
    if (size == 0) {
        return GetLastError();
    }
    WCHAR *text = malloc(size * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    WCHAR *name = NULL;
    DWORD length = GetFullPathNameW(resolved, size, text, &name);
    if (length == 0 || length >= size) {
        free(text);
        return length == 0 ? GetLastError() : ERROR_PATH_NOT_FOUND;
    }
    if (name != NULL) {
        *name = 0;
    }
    *directory = text;
    return ERROR_SUCCESS;
}

static DWORD ask_disk(const WCHAR *directory, km_size_report *facts) {
    ULARGE_INTEGER available;
    if (!GetDiskFreeSpaceExW(directory, &available, NULL, NULL)) {
        return GetLastError();
    }
    facts->disk_free = available.QuadPart;
    return ERROR_SUCCESS;
}

static void find_missing_disk(uint64_t size, km_size_report *facts) {
    if (unallocated(size, facts->allocated) > facts->disk_free) {
        facts->findings |= KM_SIZE_NO_DISK;
    }
}

static void find_missing_address(uint64_t size, km_size_report *facts) {
    if (size > facts->address_free) {
        facts->findings |= KM_SIZE_NO_ADDRESS;
    }
}

/* ---- Verdicts ------------------------------------------------------------------------------ */

static km_status fail_disk(const char *path, uint64_t size, const km_size_report *facts) {
    return km_fail(KM_E_NO_SPACE,
                   "\"%s\" with %" PRIu64 " bytes does not fit on its disk: %" PRIu64
                   " are allocated, %" PRIu64 " more are free",
                   path, size, facts->allocated, facts->disk_free);
}

static km_status fail_address(const char *path, uint64_t size, const km_size_report *facts) {
    return km_fail(KM_E_TOO_LARGE,
                   "\"%s\" with %" PRIu64 " bytes does not fit into the address space: %" PRIu64
                   " are free",
                   path, size, facts->address_free);
}

static km_status fail_facts(DWORD error, const char *path) {
    return km_fail_system(error, "cannot learn the sizes of \"%s\"", path);
}

/* ---- An open map --------------------------------------------------------------------------- */

static km_status judge_map(const km_map *map, const km_size_report *facts) {
    const km_file *file = map->file;
    if ((facts->findings & KM_SIZE_TRUNCATED) != 0) {
        return km_fail(KM_E_TRUNCATED,
                       "\"%s\" has been cut short: it has %" PRIu64
                       " bytes; the map needs %" PRIu64,
                       file->path, facts->actual, map->offset + map->size);
    }
    if ((facts->findings & KM_SIZE_MISMATCH) != 0) {
        return km_fail(KM_E_MISMATCH,
                       "\"%s\" has %" PRIu64 " bytes; exactly %" PRIu64 " are wanted", file->path,
                       facts->actual, facts->expected);
    }
    if ((facts->findings & KM_SIZE_NO_DISK) != 0 && file->access == KM_WRITE) {
        return fail_disk(file->path, facts->actual, facts);
    }
    return KM_OK;
}

static void compare_map(const km_map *map, km_size_report *facts) {
    const km_file *file = map->file;
    const bool exact = (file->flags & KM_OPEN_EXACT) != 0;
    const uint64_t expected = atomic_load(&file->expected);
    const uint64_t mapped_end = map->offset + map->size;
    facts->mapped = map->size;
    facts->expected = exact || expected != 0 ? expected : KM_SIZE_UNKNOWN;
    if (facts->actual < mapped_end) {
        facts->findings |= KM_SIZE_TRUNCATED;
    }
    if (exact && facts->actual != expected) {
        facts->findings |= KM_SIZE_MISMATCH;
    }
    if (!map->window && facts->actual > mapped_end) { /* a window is meant to show less */
        facts->findings |= KM_SIZE_GREW;
    }
}

km_status km_check(const km_map *map, km_size_report *report) {
    uint32_t size = 0;
    km_status status = report_size(report, &size);
    if (status != KM_OK) {
        return status;
    }
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "km_check: the map is NULL");
    }
    km_size_report facts = {.address_free = km_platform_address_space()};
    if (map->file->segment != NULL) {
        status = km_segment_ask(map, &facts);
        if (status != KM_OK) {
            return status;
        }
        hand_over(&facts, size, report);
        return km_segment_judge(map, &facts);
    }
    if (map->file->contents != NULL) {
        status = km_contents_ask(map, &facts);
        if (status != KM_OK) {
            return status;
        }
        hand_over(&facts, size, report);
        return km_contents_judge(map, &facts);
    }
    DWORD error = ask_file(map->file->handle, &facts);
    if (error != ERROR_SUCCESS) {
        return fail_facts(error, map->file->path);
    }
    compare_map(map, &facts);
    find_missing_disk(facts.actual, &facts);
    hand_over(&facts, size, report);
    return judge_map(map, &facts);
}

/* ---- A file by name ------------------------------------------------------------------------ */

/* Asks a regular file that nobody needs to have open. */
static km_status ask_path(const char *path, const WCHAR *native, km_size_report *facts) {
    HANDLE file = CreateFileW(native, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return km_fail_system(GetLastError(), "cannot open \"%s\"", path);
    }
    km_status status = KM_OK;
    BY_HANDLE_FILE_INFORMATION information;
    if (GetFileType(file) != FILE_TYPE_DISK || !GetFileInformationByHandle(file, &information) ||
        (information.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE)) != 0) {
        status = km_fail(KM_E_INVALID, "\"%s\" is no regular file", path);
        goto cleanup;
    }
    DWORD error = ask_file(file, facts);
    if (error != ERROR_SUCCESS) {
        status = fail_facts(error, path);
    }

cleanup:
    CloseHandle(file);
    return status;
}

static km_status judge_file(const char *path, const km_size_report *facts) {
    if ((facts->findings & (KM_SIZE_TRUNCATED | KM_SIZE_MISMATCH)) != 0) {
        km_status status =
            (facts->findings & KM_SIZE_TRUNCATED) != 0 ? KM_E_TRUNCATED : KM_E_MISMATCH;
        return km_fail(status, "\"%s\" has %" PRIu64 " bytes; exactly %" PRIu64 " are wanted", path,
                       facts->actual, facts->expected);
    }
    if ((facts->findings & KM_SIZE_NO_ADDRESS) != 0) {
        return fail_address(path, facts->actual, facts);
    }
    if ((facts->findings & KM_SIZE_NO_DISK) != 0) {
        return fail_disk(path, facts->actual, facts);
    }
    return KM_OK;
}

static void compare_file(uint64_t expected, km_size_report *facts) {
    facts->expected = expected;
    if (expected == KM_SIZE_UNKNOWN) {
        return;
    }
    if (facts->actual < expected) {
        facts->findings |= KM_SIZE_TRUNCATED;
    }
    if (facts->actual != expected) {
        facts->findings |= KM_SIZE_MISMATCH;
    }
}

km_status km_check_file(const char *path, uint64_t expected, km_size_report *report) {
    uint32_t size = 0;
    WCHAR *native = NULL;
    km_size_report facts = {.address_free = km_platform_address_space()};
    km_status status = report_size(report, &size);
    if (status == KM_OK) {
        status = km_path_to_native(path, &native);
    }
    if (status == KM_OK) {
        status = ask_path(path, native, &facts);
    }
    if (status != KM_OK) {
        goto cleanup;
    }
    compare_file(expected, &facts);
    find_missing_address(facts.actual, &facts);
    find_missing_disk(facts.actual, &facts);
    hand_over(&facts, size, report);
    status = judge_file(path, &facts);

cleanup:
    free(native);
    return status;
}

/* ---- A file that may come ------------------------------------------------------------------ */

static bool is_directory(const WCHAR *path) {
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/* *directory: where the file is or would be. An existing file's facts go into the report. */
static km_status ask_place(const char *path, const WCHAR *native, WCHAR **directory,
                           km_size_report *facts) {
    WCHAR *resolved = NULL;
    km_status status = KM_OK;
    DWORD error = km_platform_resolve(native, &resolved);
    if (error != ERROR_SUCCESS) {
        return fail_facts(error, path);
    }
    if (is_directory(resolved)) {
        *directory = resolved;
        return KM_OK;
    }
    error =
        GetFileAttributesW(resolved) == INVALID_FILE_ATTRIBUTES ? GetLastError() : ERROR_SUCCESS;
    if (error == ERROR_SUCCESS) {
        status = ask_path(path, resolved, facts);
    } else if (error != ERROR_FILE_NOT_FOUND) {
        status = fail_facts(error, path);
    }
    if (status != KM_OK) {
        goto cleanup;
    }
    error = directory_of(resolved, directory);
    if (error != ERROR_SUCCESS) {
        status = fail_facts(error, path);
    }

cleanup:
    free(resolved);
    return status;
}

static km_status judge_fit(const char *path, uint64_t size, const km_size_report *facts) {
    if ((facts->findings & KM_SIZE_TOO_LARGE) != 0) {
        return km_fail(KM_E_TOO_LARGE, "\"%s\" with %" PRIu64 " bytes is larger than a file can be",
                       path, size);
    }
    if ((facts->findings & KM_SIZE_NO_ADDRESS) != 0) {
        return fail_address(path, size, facts);
    }
    if ((facts->findings & KM_SIZE_NO_DISK) != 0) {
        return fail_disk(path, size, facts);
    }
    return KM_OK;
}

km_status km_fits(const char *path, uint64_t size, km_size_report *report) {
    uint32_t struct_size = 0;
    WCHAR *native = NULL;
    WCHAR *directory = NULL;
    km_size_report facts = {.expected = size, .address_free = km_platform_address_space()};
    km_status status = report_size(report, &struct_size);
    if (status == KM_OK) {
        status = km_path_to_native(path, &native);
    }
    if (status == KM_OK) {
        status = ask_place(path, native, &directory, &facts);
    }
    if (status != KM_OK) {
        goto cleanup;
    }
    DWORD error = ask_disk(directory, &facts);
    DWORD allowed = error == ERROR_SUCCESS ? km_platform_size_allowed(directory, size) : error;
    if (error != ERROR_SUCCESS || (allowed != ERROR_SUCCESS && allowed != ERROR_FILE_TOO_LARGE)) {
        status = fail_facts(error != ERROR_SUCCESS ? error : allowed, path);
        goto cleanup;
    }
    if (allowed == ERROR_FILE_TOO_LARGE) {
        facts.findings |= KM_SIZE_TOO_LARGE;
    }
    find_missing_address(size, &facts);
    find_missing_disk(size, &facts);
    hand_over(&facts, struct_size, report);
    status = judge_fit(path, size, &facts);

cleanup:
    free(directory);
    free(native);
    return status;
}
