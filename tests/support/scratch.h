/*
 * scratch.h - files to test with.
 *
 * Every suite runs in a fresh directory of its own (tests/run), so a test's files are plain
 * relative names; a test uses names that no other test of its suite uses.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes a file of `size` bytes, byte i being (i * 7 + i / 4096 + seed) & 0xFF, with plain C file
 * calls (not keepmap's). Failures fail the current test. */
void scratch_file(const char *name, uint64_t size, unsigned seed);
unsigned char scratch_byte(uint64_t offset, unsigned seed);
void scratch_write(const char *name, const void *bytes, size_t size);
/* The file's length by plain C or stat, -1 if there is none. */
int64_t scratch_size(const char *name);
/* Is the file exactly these bytes? */
bool scratch_equals(const char *name, const void *bytes, size_t size);
/* Are two files byte for byte the same? */
bool scratch_same(const char *one, const char *other);
void scratch_remove(const char *name);
/* Number of directory entries in the current directory (without . and ..), to see what was left. */
size_t scratch_entries(void);

#endif /* TESTS_SCRATCH_H */
