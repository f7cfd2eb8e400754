/*
 * segment_record.c - the record of a section: finding it, reading and writing it.
 *
 * Others can write it, and a POSIX system lets them cut off the very page: it is read and written
 * by calls that report what a load or a store would die of.
 */
#include <stdatomic.h>

#include "segment.h"
#include "size.h"

/* Views begin at multiples of this. */
#define GRANULARITY 65536u

DWORD km_segment_read_record(const void *view, uint64_t length, km_record *record) {
    const char *from = (const char *)view + length - KM_RECORD_SIZE;
    SIZE_T done = 0;
    return ReadProcessMemory(GetCurrentProcess(), from, record, KM_RECORD_SIZE, &done)
               ? ERROR_SUCCESS
               : GetLastError();
}

DWORD km_segment_write_record(void *view, uint64_t length, const km_record *record) {
    char *to = (char *)view + length - KM_RECORD_SIZE;
    SIZE_T done = 0;
    return WriteProcessMemory(GetCurrentProcess(), to, record, KM_RECORD_SIZE, &done)
               ? ERROR_SUCCESS
               : GetLastError();
}

DWORD km_segment_view_end(const km_file *file, DWORD access, void **view, uint64_t *length) {
    const uint64_t section_size = file->segment->section_size;
    const uint64_t start = km_size_align_down(section_size - KM_RECORD_SIZE, GRANULARITY);
    void *end = MapViewOfFile(file->handle, access, km_size_high(start), km_size_low(start),
                              (SIZE_T)(section_size - start));
    if (end == NULL) {
        return GetLastError();
    }
    *view = end;
    *length = section_size - start;
    return ERROR_SUCCESS;
}

/* A plain section may end in pages that are reserved and not committed: those cannot be read. */
static bool is_usable(const void *view, uint64_t length) {
    MEMORY_BASIC_INFORMATION region;
    const char *last = (const char *)view + length - 1;
    return VirtualQuery(last, &region, sizeof region) != 0 && region.State == MEM_COMMIT;
}

/*
 * `ready` is read before the rest: the maker writes it last, so whoever has seen it sees the rest,
 * and the data, as they were meant to be.
 */
static DWORD read_when_ready(const void *view, uint64_t length, km_record *record) {
    DWORD error = km_segment_read_record(view, length, record);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const char *end = (const char *)view + length - KM_RECORD_SIZE;
    const uint32_t ready = atomic_load_explicit(
        (_Atomic uint32_t *)(uintptr_t)(end + offsetof(km_record, ready)), memory_order_acquire);
    error = km_segment_read_record(view, length, record);
    record->ready = ready;
    return error;
}

DWORD km_segment_look(km_sight *sight) {
    void *view = MapViewOfFile(sight->section, FILE_MAP_READ, 0, 0, 0);
    if (view == NULL) {
        return GetLastError();
    }
    sight->verdict = KM_RECORD_NONE;
    DWORD error = km_platform_section_size(sight->section, view, &sight->section_size);
    if (error == ERROR_SUCCESS && is_usable(view, sight->section_size)) {
        error = read_when_ready(view, sight->section_size, &sight->record);
        if (error == ERROR_SUCCESS) {
            sight->verdict = km_record_judge(&sight->record, sight->section_size);
        }
    }
    UnmapViewOfFile(view);
    return error;
}
