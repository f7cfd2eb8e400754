/*
 * buffer_posix.c - buffer.h on POSIX.
 */
#include "buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define LARGE_PAGE ((size_t)2 << 20) /* of x86-64 and of AArch64 with pages of 4 KiB */

void *km_buffer_make(size_t size) {
    void *buffer = NULL;
    return posix_memalign(&buffer, ALIGNMENT, size) == 0 ? buffer : NULL;
}

void km_buffer_free(void *buffer) {
    free(buffer);
}

/* Where the kernel has given too much so that a large page fits, the ends go back. */
static uint8_t *trim(uint8_t *given, size_t size) {
    const size_t before = (LARGE_PAGE - (uintptr_t)given % LARGE_PAGE) % LARGE_PAGE;
    if (before > 0) {
        (void)munmap(given, before);
    }
    if (before < LARGE_PAGE) {
        (void)munmap(given + before + size, LARGE_PAGE - before);
    }
    return given + before;
}

void *km_buffer_make_large(size_t size) {
    uint8_t *given =
        mmap(NULL, size + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (given == MAP_FAILED) {
        return NULL;
    }
    uint8_t *buffer = trim(given, size);
#ifdef MADV_HUGEPAGE
    (void)madvise(buffer, size, MADV_HUGEPAGE); /* speed only */
#endif
    return buffer;
}

void km_buffer_free_large(void *buffer, size_t size) {
    if (buffer != NULL) {
        (void)munmap(buffer, size);
    }
}
