/*
 * append_bytes.h - what the suites of append.h append, and the files they append it to.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_APPEND_BYTES_H
#define TESTS_APPEND_BYTES_H

#include <stddef.h>

#include <keepmap/win32.h>

#include "append.h"

/* How much is written at once past the cache, and through it. */
#define APPEND_PIECE ((size_t)4 << 20)
#define APPEND_STEP ((size_t)256 << 10)

/* Empty, and open for this test alone. */
HANDLE append_new_file(const char *name);

/* malloc'ed; no two pieces are the same. */
unsigned char *append_bytes(size_t size);

/* In steps of so many bytes, all of them, whatever each call says. The first error. */
DWORD append_give_all(km_append *append, const unsigned char *bytes, size_t size, size_t step);

#endif /* TESTS_APPEND_BYTES_H */
