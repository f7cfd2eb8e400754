/*
 * test_fault_memory.c - pagefile-backed memory when the system refuses, or lacks a call: another
 * way is taken, or there is an error and nothing is left.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "posix/fault/fault.h"
#include "posix/section_commit.h"
#include "posix/section_memory.h"
#include "posix/view.h"
#include "support/process_facts.h"

#define MIB ((uint64_t)1 << 20)

enum { MOST_CALLS = 200 };

/* Under its two names: which one is called depends on how wide offsets are by themselves. */
static DWORD make_with(const char *call, const char *call64, int error, bool from_then_on,
                       DWORD flags, int *descriptor) {
    const unsigned before = process_descriptors();
    *descriptor = -7;
    fault_arm_call(call, 1, error, from_then_on);
    DWORD result = kmw_section_memory_make(MIB, 0, flags, descriptor);
    if (!fault_disarm()) {
        assert_non_null(call64);
        assert_int_equal(result, ERROR_SUCCESS);
        close(*descriptor);
        *descriptor = -7;
        fault_arm_call(call64, 1, error, from_then_on);
        result = kmw_section_memory_make(MIB, 0, flags, descriptor);
        assert_true(fault_disarm());
    }
    assert_int_equal(process_descriptors(), before + (result == ERROR_SUCCESS));
    assert_true((*descriptor == -7) == (result != ERROR_SUCCESS));
    return result;
}

/* It is of so many bytes that are all there, and they are zero. */
static void expect_whole(int descriptor) {
    struct stat facts;
    char byte = 1;
    assert_int_equal(fstat(descriptor, &facts), 0);
    assert_int_equal(facts.st_size, MIB);
    assert_true((uint64_t)facts.st_blocks * 512 >= MIB);
    assert_int_equal(pread(descriptor, &byte, 1, MIB - 1), 1);
    assert_int_equal(byte, 0);
    close(descriptor);
}

static void an_older_system_without_the_newest_flag_makes_memory(void **state) {
    (void)state;
    int descriptor = -1;
    assert_int_equal(make_with("memfd_create", NULL, EINVAL, false, 0, &descriptor), ERROR_SUCCESS);
    expect_whole(descriptor);
}

static void a_system_without_memory_files_makes_an_unnamed_one(void **state) {
    (void)state;
    static const int errors[] = {ENOSYS, EPERM, EACCES};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; ++i) {
        int descriptor = -1;
        assert_int_equal(make_with("memfd_create", NULL, errors[i], true, 0, &descriptor),
                         ERROR_SUCCESS);
        struct stat facts;
        assert_int_equal(fstat(descriptor, &facts), 0);
        assert_int_equal(facts.st_nlink, 0);
        assert_int_equal(facts.st_mode & 0777, 0600);
        expect_whole(descriptor);
    }
}

static void too_many_open_files_is_said_so(void **state) {
    (void)state;
    int descriptor = -1;
    assert_int_equal(make_with("memfd_create", NULL, EMFILE, true, 0, &descriptor),
                     ERROR_TOO_MANY_OPEN_FILES);
}

static void memory_that_the_system_refuses_is_a_refusal_with_numbers(void **state) {
    (void)state;
    static const int errors[] = {ENOSPC, ENOMEM, EDQUOT, EFBIG};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; ++i) {
        int descriptor = -1;
        assert_int_equal(make_with("fallocate", "fallocate64", errors[i], true, 0, &descriptor),
                         ERROR_COMMITMENT_LIMIT);
        assert_int_equal(kmw_commit_refusal_last().asked, MIB);
    }
    int descriptor = -1;
    assert_int_equal(make_with("fallocate", "fallocate64", EDQUOT, true, 0, &descriptor),
                     ERROR_COMMITMENT_LIMIT);
    assert_int_equal(kmw_commit_refusal_last().limit, KMW_LIMIT_FILE_SYSTEM);
}

static void other_errors_keep_their_names(void **state) {
    (void)state;
    int descriptor = -1;
    assert_int_equal(make_with("fallocate", "fallocate64", EIO, true, 0, &descriptor),
                     ERROR_IO_DEVICE);
    assert_int_equal(make_with("ftruncate", "ftruncate64", EIO, true, 0, &descriptor),
                     ERROR_IO_DEVICE);
    assert_int_equal(make_with("ftruncate", "ftruncate64", EFBIG, true, SEC_RESERVE, &descriptor),
                     ERROR_COMMITMENT_LIMIT);
}

static void an_interrupted_call_is_made_again(void **state) {
    (void)state;
    int descriptor = -1;
    assert_int_equal(make_with("fallocate", "fallocate64", EINTR, false, 0, &descriptor),
                     ERROR_SUCCESS);
    expect_whole(descriptor);
    assert_int_equal(make_with("ftruncate", "ftruncate64", EINTR, false, 0, &descriptor),
                     ERROR_SUCCESS);
    expect_whole(descriptor);
}

static void a_file_system_that_cannot_allocate_is_written_to(void **state) {
    (void)state;
    int descriptor = -1;
    assert_int_equal(make_with("fallocate", "fallocate64", EOPNOTSUPP, true, 0, &descriptor),
                     ERROR_SUCCESS);
    expect_whole(descriptor);
}

static DWORD commit_with(const kmw_reserved *section, const char *call, int error) {
    fault_arm_call(call, 1, error, true);
    const DWORD result = kmw_commit_pages(section, 0, 4);
    (void)fault_disarm();
    return result;
}

static void what_others_may_use_is_never_written_over(void **state) {
    (void)state;
    const uint64_t size = 4 * kmw_page_size();
    kmw_reserved section = {-1, 0, size};
    char byte = 0;
    uint64_t end = 0;
    assert_int_equal(kmw_section_memory_make(size, kmw_commit_record_size(size), SEC_RESERVE,
                                             &section.descriptor),
                     ERROR_SUCCESS);
    assert_int_equal(pwrite(section.descriptor, "x", 1, 0), 1);
    DWORD error = commit_with(&section, "fallocate64", EOPNOTSUPP);
    if (error == ERROR_SUCCESS) {
        error = commit_with(&section, "fallocate", EOPNOTSUPP);
    }
    assert_int_equal(error, ERROR_NOT_SUPPORTED);
    assert_int_equal(pread(section.descriptor, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_false(kmw_commit_state(&section, 0, 4, &end));
    assert_int_equal(end, 4);
    close(section.descriptor);
}

static void whatever_call_fails_nothing_is_left(void **state) {
    (void)state;
    const unsigned before = process_descriptors();
    bool failed = true;
    for (unsigned k = 1; failed; ++k) {
        assert_true(k < MOST_CALLS);
        int descriptor = -7;
        fault_arm(FAULT_SYSTEM, k, EIO, false);
        const DWORD error = kmw_section_memory_make(MIB, 0, SEC_COMMIT, &descriptor);
        failed = fault_disarm();
        if (error == ERROR_SUCCESS) {
            expect_whole(descriptor); /* what could not be read is no limit */
        } else {
            assert_int_equal(descriptor, -7);
        }
        assert_int_equal(process_descriptors(), before);
        assert_true(failed || error == ERROR_SUCCESS);
    }
}

static void a_commit_that_fails_anywhere_records_all_or_nothing(void **state) {
    (void)state;
    const uint64_t size = 4 * kmw_page_size();
    bool failed = true;
    for (unsigned k = 1; failed; ++k) {
        assert_true(k < MOST_CALLS);
        kmw_reserved section = {-1, 0, size};
        uint64_t end = 0;
        assert_int_equal(kmw_section_memory_make(size, kmw_commit_record_size(size), SEC_RESERVE,
                                                 &section.descriptor),
                         ERROR_SUCCESS);
        fault_arm(FAULT_SYSTEM, k, EIO, false);
        const DWORD error = kmw_commit_pages(&section, 0, 4);
        failed = fault_disarm();
        assert_int_equal(kmw_commit_state(&section, 0, 4, &end), error == ERROR_SUCCESS);
        assert_int_equal(end, 4);
        assert_true(failed || error == ERROR_SUCCESS);
        close(section.descriptor);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_system_without_memory_files_makes_an_unnamed_one),
        cmocka_unit_test(too_many_open_files_is_said_so),
        cmocka_unit_test(memory_that_the_system_refuses_is_a_refusal_with_numbers),
        cmocka_unit_test(other_errors_keep_their_names),
        cmocka_unit_test(an_interrupted_call_is_made_again),
        cmocka_unit_test(a_file_system_that_cannot_allocate_is_written_to),
        cmocka_unit_test(what_others_may_use_is_never_written_over),
        cmocka_unit_test(whatever_call_fails_nothing_is_left),
        cmocka_unit_test(a_commit_that_fails_anywhere_records_all_or_nothing),
        /* Last: the library remembers it. */
        cmocka_unit_test(an_older_system_without_the_newest_flag_makes_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
