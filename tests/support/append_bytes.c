/*
 * append_bytes.c - what the suites of append.h append, and the files they append it to.
 */
#include "append_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

HANDLE append_new_file(const char *name) {
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    return file;
}

unsigned char *append_bytes(size_t size) {
    unsigned char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 7 + i / 4096 + i / APPEND_PIECE);
    }
    return bytes;
}

DWORD append_give_all(km_append *append, const unsigned char *bytes, size_t size, size_t step) {
    DWORD first = ERROR_SUCCESS;
    for (size_t at = 0; at < size; at += step) {
        const size_t length = size - at < step ? size - at : step;
        const DWORD error = km_append_give(append, bytes + at, length);
        first = first != ERROR_SUCCESS ? first : error;
    }
    return first;
}
