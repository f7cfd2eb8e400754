/*
 * buffer_windows.c - buffer.h on Windows.
 */
#include "buffer.h"

#include <malloc.h>

#define ALIGNMENT 64

void *km_buffer_make(size_t size) {
    return _aligned_malloc(size, ALIGNMENT);
}

void km_buffer_free(void *buffer) {
    _aligned_free(buffer);
}
