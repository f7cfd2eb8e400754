/*
 * buffer_windows.c - buffer.h on Windows.
 */
#include "buffer.h"

#include <malloc.h>
#include <windows.h>

#define ALIGNMENT 64

void *km_buffer_make(size_t size) {
    return _aligned_malloc(size, ALIGNMENT);
}

void km_buffer_free(void *buffer) {
    _aligned_free(buffer);
}

/* Large pages need a privilege there. */
void *km_buffer_make_large(size_t size) {
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void km_buffer_free_large(void *buffer, size_t size) {
    (void)size;
    if (buffer != NULL) {
        (void)VirtualFree(buffer, 0, MEM_RELEASE);
    }
}
