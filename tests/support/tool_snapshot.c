/*
 * tool_snapshot.c - snapshots that the command has made, and damage to them.
 */
#include "tool_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scratch.h"
#include "tool.h"

/* Bytes of a data member, as snapshot_format.md has it: its head, which in the first one holds the
 * facts too, and two stored blocks with their trailer. */
#define HEAD 52
#define HEAD_WITH_FACTS 164
#define PACKED (TOOL_CHUNK + 5 + 5 + 8)

void tool_snapshot(const char *file, uint64_t size, unsigned seed, const char *snapshot) {
    scratch_file(file, size, seed);
    (void)tool_fine(
        TOOL("snapshot", file, snapshot, "--level", "0", "--chunk-size", "64k", "--force"));
}

long tool_body(unsigned chunk) {
    return (long)(HEAD_WITH_FACTS + chunk * (PACKED + HEAD));
}

void tool_change(const char *name, long offset, unsigned char bits) {
    FILE *file = fopen(name, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_true(fputc(byte ^ bits, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

void tool_cut(const char *name, const char *target, size_t size) {
    size_t whole = 0;
    char *bytes = tool_load(name, &whole);
    assert_true(size <= whole);
    scratch_write(target, bytes, size);
    free(bytes);
}
