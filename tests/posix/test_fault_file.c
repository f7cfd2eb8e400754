/*
 * test_fault_file.c - CreateFile when the system refuses in the middle: no file is left that was
 * made for a handle that could not be had.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "posix/fault/fault.h"
#include "support/scratch.h"

enum { MOST_CALLS = 200 };

static void make_until_nothing_fails(DWORD disposition, fault_kind kind, int error) {
    bool failed = true;
    for (unsigned k = 1; failed; ++k) {
        assert_true(k < MOST_CALLS);
        const size_t entries = scratch_entries();
        fault_arm(kind, k, error, false);
        HANDLE file = CreateFileA("made", GENERIC_READ | GENERIC_WRITE, 0, NULL, disposition,
                                  FILE_ATTRIBUTE_NORMAL, NULL);
        failed = fault_disarm();
        if (file != INVALID_HANDLE_VALUE) {
            assert_true(CloseHandle(file));
            assert_int_equal(unlink("made"), 0);
        }
        if (scratch_entries() != entries) {
            fail_msg("call %u (%s) failed and left a file", k, fault_victim());
        }
        assert_true(failed || file != INVALID_HANDLE_VALUE);
    }
}

static void a_file_whose_handle_cannot_be_had_is_not_made(void **state) {
    (void)state;
    static const DWORD dispositions[] = {CREATE_NEW, CREATE_ALWAYS, OPEN_ALWAYS};
    for (unsigned i = 0; i < sizeof dispositions / sizeof dispositions[0]; ++i) {
        make_until_nothing_fails(dispositions[i], FAULT_ALLOCATIONS, ENOMEM);
        make_until_nothing_fails(dispositions[i], FAULT_SYSTEM, EIO);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_whose_handle_cannot_be_had_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
