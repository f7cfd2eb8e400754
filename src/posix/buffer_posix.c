/*
 * buffer_posix.c - buffer.h on POSIX.
 */
#include "buffer.h"

#include <stdlib.h>

#define ALIGNMENT 64

void *km_buffer_make(size_t size) {
    void *buffer = NULL;
    return posix_memalign(&buffer, ALIGNMENT, size) == 0 ? buffer : NULL;
}

void km_buffer_free(void *buffer) {
    free(buffer);
}
