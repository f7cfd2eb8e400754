/*
 * platform_lazy_windows.c - "Memory filled when it is touched" and "Which pages were stored to" of
 * platform.h, on Windows, which cannot do either.
 *
 * To fill pages as they are touched a program would have to handle their access violations itself,
 * and this library installs no handler. Windows watches writes (MEM_WRITE_WATCH) in private memory
 * only, not in views. So the callers always take their other way here.
 */
#include "platform.h"

DWORD km_platform_lazy_make(uint64_t size, uint32_t chunk_size, bool writable,
                            km_fill_function fill, void *arg, km_lazy_memory **memory,
                            void **base) {
    (void)size;
    (void)chunk_size;
    (void)writable;
    (void)fill;
    (void)arg;
    (void)memory;
    (void)base;
    return ERROR_NOT_SUPPORTED;
}

/* There is none: it can only be asked about NULL. */
bool km_platform_lazy_fill(km_lazy_memory *memory, uint64_t offset, uint64_t length) {
    (void)memory;
    (void)offset;
    (void)length;
    return false;
}

void km_platform_lazy_free(km_lazy_memory *memory) {
    (void)memory;
}

DWORD km_platform_tracker_start(void *view, uint64_t size, km_tracker **tracker) {
    (void)view;
    (void)size;
    (void)tracker;
    return ERROR_NOT_SUPPORTED;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): elsewhere it is written to */
DWORD km_platform_tracker_collect(km_tracker *tracker, uint64_t unit, uint8_t *changed) {
    (void)tracker;
    (void)unit;
    (void)changed;
    return ERROR_NOT_SUPPORTED;
}

void km_platform_tracker_stop(km_tracker *tracker) {
    (void)tracker;
}
