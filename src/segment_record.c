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

/* What stands before it happens before what stands behind it. A step in both directions, and no
 * fence, since ThreadSanitizer knows none. */
static void order(void) {
    static atomic_uint step;
    (void)atomic_fetch_add_explicit(&step, 1, memory_order_seq_cst);
}

DWORD km_segment_write_ready(void *view, uint64_t length) {
    static const uint32_t ready = KM_RECORD_READY;
    char *to = (char *)view + length - KM_RECORD_SIZE + offsetof(km_record, ready);
    SIZE_T done = 0;
    order();
    return WriteProcessMemory(GetCurrentProcess(), to, &ready, sizeof ready, &done)
               ? ERROR_SUCCESS
               : GetLastError();
}

static DWORD view_end_of(HANDLE section, uint64_t section_size, DWORD access, void **view,
                         uint64_t *length) {
    const uint64_t start = km_size_align_down(section_size - KM_RECORD_SIZE, GRANULARITY);
    void *end = MapViewOfFile(section, access, km_size_high(start), km_size_low(start),
                              (SIZE_T)(section_size - start));
    if (end == NULL) {
        return GetLastError();
    }
    *view = end;
    *length = section_size - start;
    return ERROR_SUCCESS;
}

DWORD km_segment_view_end(const km_file *file, DWORD access, void **view, uint64_t *length) {
    return view_end_of(file->handle, file->segment->section_size, access, view, length);
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
    const char *end = (const char *)view + length - KM_RECORD_SIZE;
    uint32_t ready = 0;
    SIZE_T done = 0;
    if (!ReadProcessMemory(GetCurrentProcess(), end + offsetof(km_record, ready), &ready,
                           sizeof ready, &done)) {
        return GetLastError();
    }
    order();
    const DWORD error = km_segment_read_record(view, length, record);
    record->ready = ready;
    return error;
}

/* The view of the last 64 KiB is enough: there may be no address space for all of it. */
DWORD km_segment_look(km_sight *sight) {
    void *view = NULL;
    uint64_t length = 0;
    DWORD error = km_platform_section_size(sight->section, &sight->section_size);
    if (error == ERROR_SUCCESS) {
        error = view_end_of(sight->section, sight->section_size, FILE_MAP_READ, &view, &length);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    sight->verdict = KM_RECORD_NONE;
    if (is_usable(view, length)) {
        error = read_when_ready(view, length, &sight->record);
        if (error == ERROR_SUCCESS) {
            sight->verdict = km_record_judge(&sight->record, sight->section_size);
        }
    }
    UnmapViewOfFile(view);
    return error;
}
