/*
 * size.h - arithmetic on sizes and offsets that cannot overflow, in one place.
 *
 * Everything is uint64_t bytes. Functions that may overflow return false then, and leave their
 * result alone.
 */
#ifndef KM_SIZE_H
#define KM_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap/win32.h>

/* The largest file: offsets are signed 64 bits on every system. */
#define KM_SIZE_MAX ((uint64_t)INT64_MAX)

static inline bool km_size_add(uint64_t a, uint64_t b, uint64_t *sum) {
    if (a > UINT64_MAX - b) {
        return false;
    }
    *sum = a + b;
    return true;
}

/* `unit` is a power of two. */
static inline uint64_t km_size_align_down(uint64_t size, uint64_t unit) {
    return size & ~(unit - 1);
}

static inline bool km_size_align_up(uint64_t size, uint64_t unit, uint64_t *aligned) {
    uint64_t sum = 0;
    if (!km_size_add(size, unit - 1, &sum)) {
        return false;
    }
    *aligned = km_size_align_down(sum, unit);
    return true;
}

/* Is [offset, offset + length) inside [0, size)? An empty range at the very end is. */
static inline bool km_size_inside(uint64_t offset, uint64_t length, uint64_t size) {
    return offset <= size && length <= size - offset;
}

static inline DWORD km_size_high(uint64_t size) {
    return (DWORD)(size >> 32);
}

static inline DWORD km_size_low(uint64_t size) {
    return (DWORD)(size & UINT32_MAX);
}

static inline uint64_t km_size_join(DWORD high, DWORD low) {
    return (uint64_t)high << 32 | low;
}

/* Does it fit into a size_t, so that memory can be that long? */
static inline bool km_size_addressable(uint64_t size) {
    return size <= SIZE_MAX;
}

#endif /* KM_SIZE_H */
