/*
 * test_fault_append.c - appending where the system refuses the thread, the memory, or the way past
 * its cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "append.h"
#include "io.h"
#include "platform.h"
#include "posix/fault/fault.h"
#include "posix/file.h"
#include "support/append_bytes.h"
#include "support/scratch.h"

#define PIECE APPEND_PIECE
#define SIZE (3 * PIECE + 777)

/* Which write fails, and how many there were; refused: those past the cache. */
static struct {
    unsigned failing;  /* 0: none */
    unsigned bypassed; /* so many go past the cache before it refuses */
    bool refuses_bypass;
    unsigned calls, refused;
} disk;

static bool bypasses(HANDLE file) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, FILE_WRITE_DATA, &opened);
    assert_non_null(use.object);
    const bool set = (fcntl(opened->descriptor, F_GETFL) & O_DIRECT) != 0;
    kmw_use_end(use);
    return set;
}

static DWORD write_at(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    disk.calls++;
    if (disk.refuses_bypass && bypasses(file)) {
        if (disk.bypassed > 0) {
            disk.bypassed--;
            return km_io_default.write_at(file, offset, from, length);
        }
        /* As after a write cut short, whose rest does not begin at a multiple of a block. */
        assert_int_equal(km_io_default.write_at(file, offset, from, 4096), ERROR_SUCCESS);
        disk.refused++;
        return ERROR_INVALID_PARAMETER;
    }
    return disk.calls == disk.failing ? ERROR_DISK_FULL
                                      : km_io_default.write_at(file, offset, from, length);
}

static km_io io_of(unsigned failing, bool refuses_bypass) {
    km_io io = km_io_default;
    disk.failing = failing;
    disk.refuses_bypass = refuses_bypass;
    disk.bypassed = 0;
    disk.calls = 0;
    disk.refused = 0;
    io.write_at = write_at;
    return io;
}

/* Gives all in small steps, also after an error, and ends: what the end says. */
static DWORD append_all(km_append *append, const unsigned char *bytes) {
    (void)append_give_all(append, bytes, SIZE, 100000);
    return km_append_end(append);
}

static const char *const needs_of_a_thread[] = {"pthread_create", "pthread_condattr_setclock"};

static void without_a_thread_the_caller_writes_everything(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    for (size_t i = 0; i < 2; i++) {
        HANDLE file = append_new_file("alone");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &km_io_default, file, true), ERROR_SUCCESS);
        fault_arm_call(needs_of_a_thread[i], 1, EAGAIN, true);
        const DWORD error = append_all(append, bytes);
        assert_true(fault_disarm());
        assert_int_equal(error, ERROR_SUCCESS);
        assert_int_equal(km_append_written(append), SIZE);
        km_append_free(append);
        CloseHandle(file);
        assert_true(scratch_equals("alone", bytes, SIZE));
    }
    free(bytes);
}

static void without_a_thread_too_nothing_is_written_after_a_write_that_failed(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    const unsigned writes = (unsigned)(SIZE / APPEND_STEP) + 1;
    for (unsigned failing = 1; failing <= writes; failing += 4) {
        const km_io io = io_of(failing, false);
        HANDLE file = append_new_file("alone and failed");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &io, file, false), ERROR_SUCCESS);
        fault_arm_call("pthread_create", 1, EAGAIN, true);
        const DWORD error = append_all(append, bytes);
        assert_true(fault_disarm());
        assert_int_equal(error, ERROR_DISK_FULL);
        assert_int_equal(disk.calls, failing);
        assert_int_equal(km_append_written(append), (failing - 1) * APPEND_STEP);
        km_append_free(append);
        CloseHandle(file);
        assert_true(scratch_equals("alone and failed", bytes, (failing - 1) * APPEND_STEP));
    }
    free(bytes);
}

static void whatever_memory_is_refused_it_begins_or_leaves_nothing(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    bool failed = true;
    for (unsigned k = 1; failed; k++) {
        assert_true(k < 20);
        HANDLE file = append_new_file("refused");
        km_append *append = NULL;
        const long before = fault_outstanding_allocations();
        fault_arm(FAULT_ALLOCATIONS, k, ENOMEM, false);
        const DWORD begun = km_append_begin(&append, &km_io_default, file, true);
        const DWORD error = begun == ERROR_SUCCESS ? append_all(append, bytes) : ERROR_SUCCESS;
        failed = fault_disarm();
        assert_int_equal(error, ERROR_SUCCESS);
        if (begun != ERROR_SUCCESS) {
            assert_int_equal(begun, ERROR_NOT_ENOUGH_MEMORY);
            assert_null(append);
        }
        km_append_free(append);
        assert_int_equal(fault_outstanding_allocations(), before);
        CloseHandle(file);
        assert_true(scratch_equals("refused", bytes, begun == ERROR_SUCCESS ? SIZE : 0));
    }
    free(bytes);
}

static void without_large_pages_it_begins_and_without_their_memory_it_does_not(void **state) {
    (void)state;
    HANDLE file = append_new_file("large");
    km_append *append = NULL;
    fault_arm(FAULT_SYSTEM, 1, ENOMEM, true);
    const DWORD refused = km_append_begin(&append, &km_io_default, file, true);
    assert_true(fault_disarm());
    assert_int_equal(refused, ERROR_NOT_ENOUGH_MEMORY);
    assert_null(append);
    fault_arm(FAULT_SYSTEM, 2, EINVAL, true);
    const DWORD begun = km_append_begin(&append, &km_io_default, file, true);
    (void)fault_disarm(); /* there are systems without */
    assert_int_equal(begun, ERROR_SUCCESS);
    km_append_free(append);
    CloseHandle(file);
}

/* Where the file system cannot be told to bypass the cache at all, nothing is there to refuse. */
static void a_refused_write_past_the_cache_goes_through_it(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    const km_io io = io_of(0, true);
    HANDLE file = append_new_file("through");
    const bool can = km_platform_bypass_cache(file, true) == ERROR_SUCCESS;
    assert_int_equal(bypasses(file), can);
    assert_true(!can || km_platform_bypass_cache(file, false) == ERROR_SUCCESS);
    assert_false(bypasses(file));
    km_append *append = NULL;
    assert_int_equal(km_append_begin(&append, &io, file, true), ERROR_SUCCESS);
    assert_int_equal(append_all(append, bytes), ERROR_SUCCESS);
    assert_int_equal(disk.refused, can ? 1 : 0);
    assert_int_equal(disk.calls, SIZE / APPEND_STEP + 1 + disk.refused);
    km_append_free(append);
    CloseHandle(file);
    assert_true(scratch_equals("through", bytes, SIZE));
    free(bytes);
}

static void what_follows_a_write_refused_in_the_middle_goes_through_the_cache(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    const km_io io = io_of(0, true);
    disk.bypassed = 1;
    HANDLE file = append_new_file("middle");
    km_append *append = NULL;
    assert_int_equal(km_append_begin(&append, &io, file, true), ERROR_SUCCESS);
    assert_int_equal(append_all(append, bytes), ERROR_SUCCESS);
    assert_true(disk.refused <= 1); /* none where nothing can go past the cache */
    assert_int_equal(disk.bypassed, 1 - disk.refused);
    assert_int_equal(km_append_written(append), SIZE);
    km_append_free(append);
    CloseHandle(file);
    assert_true(scratch_equals("middle", bytes, SIZE));
    free(bytes);
}

static void the_file_goes_through_the_cache_again_in_the_end(void **state) {
    (void)state;
    unsigned char *bytes = append_bytes(SIZE);
    for (int ended = 0; ended < 2; ended++) {
        HANDLE file = append_new_file("again");
        km_append *append = NULL;
        assert_int_equal(km_append_begin(&append, &km_io_default, file, true), ERROR_SUCCESS);
        assert_int_equal(km_append_give(append, bytes, 2 * PIECE), ERROR_SUCCESS);
        if (ended != 0) {
            assert_int_equal(km_append_end(append), ERROR_SUCCESS);
            assert_false(bypasses(file));
        }
        km_append_free(append);
        assert_false(bypasses(file));
        CloseHandle(file);
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_thread_the_caller_writes_everything),
        cmocka_unit_test(without_a_thread_too_nothing_is_written_after_a_write_that_failed),
        cmocka_unit_test(whatever_memory_is_refused_it_begins_or_leaves_nothing),
        cmocka_unit_test(a_refused_write_past_the_cache_goes_through_it),
        cmocka_unit_test(without_large_pages_it_begins_and_without_their_memory_it_does_not),
        cmocka_unit_test(what_follows_a_write_refused_in_the_middle_goes_through_the_cache),
        cmocka_unit_test(the_file_goes_through_the_cache_again_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
