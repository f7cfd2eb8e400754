/*
 * test_append.c - bytes appended in large pieces by a thread of its own: all of them, in order, up
 * to the first write that fails.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "append.h"
#include "io.h"
#include "support/append_bytes.h"
#include "support/scratch.h"

#define PIECE APPEND_PIECE
#define STEP APPEND_STEP
#define MOST (4 * PIECE + 12345)

/* ---- A disk -------------------------------------------------------------------------------- */

/* Which write fails, and how many there were. One thread at a time writes. */
static struct {
    unsigned failing; /* 0: none */
    DWORD error;
    unsigned calls;
} disk;

static DWORD write_at(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    disk.calls++;
    return disk.calls == disk.failing ? disk.error
                                      : km_io_default.write_at(file, offset, from, length);
}

static km_io failing_io(unsigned failing, DWORD error) {
    km_io io = km_io_default;
    disk.failing = failing;
    disk.error = error;
    disk.calls = 0;
    io.write_at = write_at;
    return io;
}

/* ---- What comes out ------------------------------------------------------------------------ */

static void append_and_compare(const unsigned char *bytes, size_t size, size_t step, bool bypass) {
    HANDLE file = append_new_file("given");
    km_append *append = NULL;
    assert_int_equal(km_append_begin(&append, &km_io_default, file, bypass), ERROR_SUCCESS);
    assert_int_equal(append_give_all(append, bytes, size, step), ERROR_SUCCESS);
    assert_int_equal(km_append_end(append), ERROR_SUCCESS);
    assert_int_equal(km_append_written(append), size);
    assert_int_equal(km_append_end(append), ERROR_SUCCESS); /* nothing is left to write */
    assert_int_equal(km_append_written(append), size);
    km_append_free(append);
    CloseHandle(file);
    assert_true(scratch_equals("given", bytes, size));
}

static void whatever_is_given_is_in_the_file(void **state) {
    (void)state;
    static const size_t sizes[] = {
        0,         1,     4095,      4096,      STEP - 1,  STEP,          STEP + 1,
        PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE, 3 * PIECE + 1, MOST,
    };
    static const size_t steps[] = {65521, PIECE, MOST};
    unsigned char *bytes = append_bytes(MOST);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
            append_and_compare(bytes, sizes[i], steps[j], true);
            append_and_compare(bytes, sizes[i], steps[j], false);
        }
    }
    free(bytes);
}

/* ---- What fails ---------------------------------------------------------------------------- */

static void after_a_write_that_failed_nothing_is_written_and_the_error_stays(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(MOST);
    const unsigned writes = (unsigned)(MOST / STEP) + 1;
    for (unsigned failing = 1; failing <= writes; failing += 4) {
        const km_io io = failing_io(failing, ERROR_DISK_FULL);
        const size_t before = (failing - 1) * STEP;
        HANDLE file = append_new_file("failed");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &io, file, false), ERROR_SUCCESS);
        const DWORD told = append_give_all(append, bytes, MOST, 300000);
        assert_true(told == ERROR_SUCCESS || told == ERROR_DISK_FULL);
        assert_int_equal(km_append_end(append), ERROR_DISK_FULL);
        assert_int_equal(km_append_end(append), ERROR_DISK_FULL);
        assert_int_equal(disk.calls, failing);
        assert_int_equal(km_append_written(append), before);
        km_append_free(append);
        CloseHandle(file);
        assert_true(scratch_equals("failed", bytes, before));
    }
    free(bytes);
}

static void an_error_is_told_before_three_more_pieces_are_full(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(MOST);
    const km_io io = failing_io(1, ERROR_DISK_FULL);
    HANDLE file = append_new_file("told");
    km_append *append = NULL;
    assert_int_equal(km_append_begin(&append, &io, file, true), ERROR_SUCCESS);
    assert_int_equal(append_give_all(append, bytes, 4 * PIECE, 300000), ERROR_DISK_FULL);
    km_append_free(append);
    CloseHandle(file);
    free(bytes);
}

/* While the thread still passes over what is full, which a race detector would notice. */
static void how_much_was_written_can_be_asked_once_an_error_is_told(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(MOST);
    for (unsigned failing = 1; failing <= 8; failing++) {
        const km_io io = failing_io(failing, ERROR_DISK_FULL);
        HANDLE file = append_new_file("asked");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &io, file, false), ERROR_SUCCESS);
        assert_int_equal(append_give_all(append, bytes, MOST, MOST), ERROR_DISK_FULL);
        for (unsigned i = 0; i < 20000; i++) {
            assert_int_equal(km_append_written(append), (failing - 1) * STEP);
        }
        km_append_free(append);
        CloseHandle(file);
    }
    free(bytes);
}

static void what_is_dropped_leaves_whole_pieces_and_a_file_of_the_callers(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(MOST);
    for (size_t size = 0; size <= 4 * PIECE; size += PIECE / 2) {
        HANDLE file = append_new_file("dropped");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &km_io_default, file, true), ERROR_SUCCESS);
        assert_int_equal(append_give_all(append, bytes, size, PIECE / 4), ERROR_SUCCESS);
        km_append_free(append);
        CloseHandle(file);
        const int64_t left = scratch_size("dropped");
        assert_in_range(left, 0, size);
        assert_int_equal(left % (int64_t)PIECE, 0);
        assert_true(scratch_equals("dropped", bytes, (size_t)left));
    }
    km_append_free(NULL);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_given_is_in_the_file),
        cmocka_unit_test(after_a_write_that_failed_nothing_is_written_and_the_error_stays),
        cmocka_unit_test(an_error_is_told_before_three_more_pieces_are_full),
        cmocka_unit_test(how_much_was_written_can_be_asked_once_an_error_is_told),
        cmocka_unit_test(what_is_dropped_leaves_whole_pieces_and_a_file_of_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
