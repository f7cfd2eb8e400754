/*
 * test_section_memory.c - the bytes of pagefile-backed sections: there when SEC_COMMIT says so,
 * refused with the numbers when they cannot be, and committed later page by page.
 *
 * A refusal by a control group needs a group that this suite may fill: KEEPMAP_TEST_CGROUP names a
 * directory in which it may make one (version 1's memory hierarchy, or a group of version 2 that
 * hands the memory controller on). It makes none elsewhere: a process is not taken out of the group
 * it was put into without being told.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "posix/large_pages.h"
#include "posix/section_commit.h"
#include "posix/section_memory.h"
#include "posix/view.h"

#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

static int make(uint64_t size, uint64_t record, DWORD flags) {
    int descriptor = -1;
    assert_int_equal(kmw_section_memory_make(size, record, flags, &descriptor), ERROR_SUCCESS);
    assert_true(descriptor >= 0);
    return descriptor;
}

static void make_fails(DWORD error, uint64_t size, DWORD flags) {
    int descriptor = -7;
    assert_int_equal(kmw_section_memory_make(size, 0, flags, &descriptor), error);
    assert_int_equal(descriptor, -7);
}

static uint64_t allocated(int descriptor) {
    struct stat facts;
    assert_int_equal(fstat(descriptor, &facts), 0);
    return (uint64_t)facts.st_blocks * 512;
}

static uint64_t length(int descriptor) {
    struct stat facts;
    assert_int_equal(fstat(descriptor, &facts), 0);
    return (uint64_t)facts.st_size;
}

/* ---- Making ---- */

static void committed_memory_is_all_there_and_zero(void **state) {
    (void)state;
    const uint64_t page = kmw_page_size();
    const uint64_t sizes[] = {1, page, page + 1, 65536, 65537, 3 * MIB, 65 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        const uint64_t whole = (sizes[i] + page - 1) / page * page;
        const int descriptor = make(sizes[i], 0, i % 2 == 0 ? SEC_COMMIT : 0);
        char last = 1;
        assert_int_equal(length(descriptor), whole);
        assert_int_equal(allocated(descriptor), whole);
        assert_int_equal(pread(descriptor, &last, 1, (off_t)whole - 1), 1);
        assert_int_equal(last, 0);
        assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
        close(descriptor);
    }
}

static void reserved_memory_costs_nothing_however_much(void **state) {
    (void)state;
    const uint64_t record = kmw_commit_record_size(TIB);
    const int descriptor = make(TIB, record, SEC_RESERVE);
    assert_int_equal(length(descriptor), TIB + record);
    assert_int_equal(allocated(descriptor), 0);
    close(descriptor);
}

static void an_absurd_size_is_refused_with_the_numbers(void **state) {
    (void)state;
    make_fails(ERROR_COMMITMENT_LIMIT, UINT64_MAX, SEC_COMMIT);
    assert_int_equal(kmw_commit_refusal_last().asked, UINT64_MAX);
    assert_int_equal(kmw_commit_refusal_last().free, INT64_MAX);
    make_fails(ERROR_COMMITMENT_LIMIT, (uint64_t)INT64_MAX + 1, SEC_COMMIT);
    make_fails(ERROR_COMMITMENT_LIMIT, 1024 * TIB, SEC_COMMIT);
    const kmw_commit_refusal refusal = kmw_commit_refusal_last();
    assert_int_equal(refusal.asked, 1024 * TIB);
    assert_true(refusal.free < refusal.asked);
    assert_true(refusal.limit != KMW_LIMIT_NONE);
    make_fails(ERROR_NOT_ENOUGH_MEMORY, UINT64_MAX, SEC_RESERVE);
    make_fails(ERROR_NOT_ENOUGH_MEMORY, (uint64_t)INT64_MAX + 1, SEC_RESERVE);
}

/* Runs `body` in a child; it is all right if that returns 0. */
static void in_a_child(int (*body)(void)) {
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_under_a_file_limit(void) {
    const struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};
    int descriptor = -1;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 1;
    }
    if (kmw_section_memory_make(MIB, 0, SEC_COMMIT, &descriptor) != ERROR_SUCCESS) {
        return 2;
    }
    if (kmw_section_memory_commit(descriptor, MIB, 65536, true) != ERROR_COMMITMENT_LIMIT) {
        return 3;
    }
    if (kmw_section_memory_make(MIB + 1, 0, SEC_COMMIT, &descriptor) != ERROR_COMMITMENT_LIMIT ||
        kmw_section_memory_make(TIB, 0, SEC_RESERVE, &descriptor) != ERROR_COMMITMENT_LIMIT) {
        return 4;
    }
    const kmw_commit_refusal refusal = kmw_commit_refusal_last();
    return refusal.limit == KMW_LIMIT_FILE_SIZE && refusal.free == MIB && refusal.asked == TIB ? 0
                                                                                               : 5;
}

static void a_limit_on_file_sizes_is_a_refusal_and_no_signal(void **state) {
    (void)state;
    in_a_child(make_under_a_file_limit);
}

static volatile sig_atomic_t ticks;

static void tick(int signal) {
    (void)signal;
    ++ticks;
}

static void a_program_with_a_fast_timer_gets_its_memory(void **state) {
    (void)state;
    const struct sigaction action = {.sa_handler = tick};
    const struct itimerval fast = {{0, 500}, {0, 500}};
    const struct itimerval off = {{0, 0}, {0, 0}};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &fast, NULL), 0);
    int descriptor = -1;
    const DWORD error = kmw_section_memory_make(64 * MIB, 0, SEC_COMMIT, &descriptor);
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(error, ERROR_SUCCESS);
    assert_int_equal(allocated(descriptor), 64 * MIB);
    close(descriptor);
}

static void small_sections_are_looked_at_together(void **state) {
    (void)state;
    enum { COUNT = 40 };
    int descriptors[COUNT];
    for (int i = 0; i < COUNT; ++i) {
        descriptors[i] = make(65536, 0, SEC_COMMIT); /* more than there is credit for */
    }
    for (int i = 0; i < COUNT; ++i) {
        assert_int_equal(allocated(descriptors[i]), 65536);
        close(descriptors[i]);
    }
}

/* ---- Large pages ---- */

static void large_pages_that_the_pool_has_not_are_refused(void **state) {
    (void)state;
    make_fails(ERROR_NO_SYSTEM_RESOURCES, 64 * TIB, SEC_COMMIT | SEC_LARGE_PAGES);
    assert_int_equal(kmw_commit_refusal_last().limit, KMW_LIMIT_LARGE_PAGES);
    assert_int_equal(kmw_commit_refusal_last().asked, 64 * TIB);
}

static void a_size_that_large_pages_do_not_divide_is_invalid(void **state) {
    (void)state;
    const uint64_t page = GetLargePageMinimum();
    if (page == 0) {
        print_message("this system has no large pages\n");
        skip();
    }
    assert_int_equal(page & (page - 1), 0);
    make_fails(ERROR_INVALID_PARAMETER, page + 4096, SEC_COMMIT | SEC_LARGE_PAGES);
    assert_int_equal(kmw_large_pages_check(page), ERROR_SUCCESS);
    assert_int_equal(kmw_large_pages_check(page / 2), ERROR_INVALID_PARAMETER);
}

static void large_pages_of_the_pool_are_there(void **state) {
    (void)state;
    const uint64_t page = GetLargePageMinimum();
    if (page == 0 || kmw_large_pages_free() < page) {
        print_message("no large page in the pool\n");
        skip();
    }
    const uint64_t before = kmw_large_pages_free();
    const int descriptor = make(page, 0, SEC_COMMIT | SEC_LARGE_PAGES);
    assert_int_equal(kmw_large_pages_free(), before - page);
    close(descriptor);
}

/* ---- Committing later ---- */

/* A section of `pages` pages that begins at the file's second page. */
static kmw_reserved reserve(uint64_t pages) {
    const uint64_t page = kmw_page_size();
    const uint64_t record = kmw_commit_record_size(pages * page);
    return (kmw_reserved){make((pages + 1) * page, record, SEC_RESERVE), page, pages * page};
}

static void expect_run(const kmw_reserved *section, uint64_t page, uint64_t limit, bool committed,
                       uint64_t end) {
    uint64_t found = 0;
    assert_int_equal(kmw_commit_state(section, page, limit, &found), committed);
    assert_int_equal(found, end);
}

static void pages_are_committed_one_by_one_or_in_runs(void **state) {
    (void)state;
    const kmw_reserved section = reserve(100);
    expect_run(&section, 0, 100, false, 100);
    assert_int_equal(kmw_commit_pages(&section, 10, 20), ERROR_SUCCESS);
    assert_int_equal(kmw_commit_pages(&section, 20, 21), ERROR_SUCCESS);
    expect_run(&section, 0, 100, false, 10);
    expect_run(&section, 10, 100, true, 21);
    expect_run(&section, 15, 18, true, 18);
    expect_run(&section, 21, 100, false, 100);
    assert_int_equal(kmw_commit_pages(&section, 5, 30), ERROR_SUCCESS);
    expect_run(&section, 5, 100, true, 30);
    assert_int_equal(kmw_commit_pages(&section, 99, 100), ERROR_SUCCESS);
    expect_run(&section, 99, 100, true, 100);
    /* One page more: the record's. */
    assert_int_equal(allocated(section.descriptor), (26 + 1) * kmw_page_size());
    close(section.descriptor);
}

static void what_is_touched_is_not_thereby_committed(void **state) {
    (void)state;
    const kmw_reserved section = reserve(8);
    assert_int_equal(pwrite(section.descriptor, "x", 1, (off_t)section.offset), 1);
    expect_run(&section, 0, 8, false, 8);
    close(section.descriptor);
}

static void committing_keeps_what_is_in_the_pages(void **state) {
    (void)state;
    const kmw_reserved section = reserve(8);
    char byte = 0;
    assert_int_equal(pwrite(section.descriptor, "x", 1, (off_t)section.offset), 1);
    assert_int_equal(kmw_commit_pages(&section, 0, 4), ERROR_SUCCESS);
    assert_int_equal(kmw_commit_pages(&section, 0, 8), ERROR_SUCCESS);
    assert_int_equal(pread(section.descriptor, &byte, 1, (off_t)section.offset), 1);
    assert_int_equal(byte, 'x');
    close(section.descriptor);
}

static kmw_reserved inherited;

static int commit_two_pages(void) {
    return kmw_commit_pages(&inherited, 2, 4) == ERROR_SUCCESS ? 0 : 1;
}

static void a_page_is_committed_for_every_process(void **state) {
    (void)state;
    inherited = reserve(8);
    in_a_child(commit_two_pages);
    expect_run(&inherited, 0, 8, false, 2);
    expect_run(&inherited, 2, 8, true, 4);
    close(inherited.descriptor);
}

static void a_page_in_a_tebibyte_is_found(void **state) {
    (void)state;
    const uint64_t pages = TIB / kmw_page_size();
    const kmw_reserved section = reserve(pages);
    const uint64_t chosen = pages - 70000;
    assert_int_equal(kmw_commit_pages(&section, chosen, chosen + 5000), ERROR_SUCCESS);
    expect_run(&section, 0, pages, false, chosen);
    expect_run(&section, chosen, pages, true, chosen + 5000);
    expect_run(&section, chosen + 5000, pages, false, pages);
    close(section.descriptor);
}

static void a_commit_beyond_all_memory_records_nothing(void **state) {
    (void)state;
    const uint64_t pages = 64 * TIB / kmw_page_size();
    const kmw_reserved section = reserve(pages);
    assert_int_equal(kmw_commit_pages(&section, 1, pages), ERROR_COMMITMENT_LIMIT);
    expect_run(&section, 0, pages, false, pages);
    close(section.descriptor);
}

static void a_record_that_was_cut_off_says_not_committed(void **state) {
    (void)state;
    const kmw_reserved section = reserve(8);
    assert_int_equal(kmw_commit_pages(&section, 0, 8), ERROR_SUCCESS);
    assert_int_equal(ftruncate(section.descriptor, (off_t)(section.offset + section.size + 3)), 0);
    expect_run(&section, 0, 8, true, 3);
    expect_run(&section, 3, 8, false, 8);
    close(section.descriptor);
}

static void a_size_without_end_has_no_record(void **state) {
    (void)state;
    const uint64_t page = kmw_page_size();
    assert_int_equal(kmw_commit_record_size(UINT64_MAX), UINT64_MAX);
    assert_int_equal(kmw_commit_record_size(1), page);
    assert_int_equal(kmw_commit_record_size(page * page), page);
    assert_int_equal(kmw_commit_record_size(page * page + 1), 2 * page);
}

/* ---- Where memory is short ---- */

static bool mounted;

static int mount_disk(void **state) {
    (void)state;
    mounted = unshare(CLONE_NEWNS) == 0 &&
              mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
              mkdir("disk", 0777) == 0 && mount("none", "disk", "tmpfs", 0, "size=4m") == 0;
    return 0;
}

static int unmount_disk(void **state) {
    (void)state;
    return mounted && umount2("disk", MNT_DETACH) != 0 ? -1 : 0;
}

/* A file on the small file system, as a named section has it: all of its length, nothing in it. */
static int draft(uint64_t size) {
    if (!mounted) {
        print_message("no privilege to mount a file system\n");
        skip();
    }
    const int descriptor = open("disk", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    return descriptor;
}

static void a_section_larger_than_its_file_system_is_refused(void **state) {
    (void)state;
    const int descriptor = draft(8 * MIB);
    assert_int_equal(kmw_section_memory_commit(descriptor, 4096, 8 * MIB - 4096, true),
                     ERROR_COMMITMENT_LIMIT);
    const kmw_commit_refusal refusal = kmw_commit_refusal_last();
    assert_int_equal(refusal.asked, 8 * MIB - 4096);
    assert_int_equal(refusal.free, 4 * MIB);
    assert_int_equal(refusal.limit, KMW_LIMIT_FILE_SYSTEM);
    assert_int_equal(allocated(descriptor), 0);
    assert_int_equal(kmw_section_memory_commit(descriptor, 4096, 4 * MIB, true), ERROR_SUCCESS);
    assert_int_equal(allocated(descriptor), 4 * MIB);
    close(descriptor);
}

static void a_small_section_on_a_full_file_system_is_refused_despite_credit(void **state) {
    (void)state;
    const int full = draft(4 * MIB);
    assert_int_equal(kmw_section_memory_commit(full, 0, 4 * MIB, true), ERROR_SUCCESS);
    const int descriptor = draft(4096);
    close(make(MIB, 0, SEC_COMMIT)); /* a look elsewhere, which gives credit */
    assert_int_equal(kmw_section_memory_commit(descriptor, 0, 4096, true), ERROR_COMMITMENT_LIMIT);
    assert_int_equal(kmw_commit_refusal_last().asked, 4096);
    assert_int_equal(kmw_commit_refusal_last().free, 0);
    assert_int_equal(kmw_commit_refusal_last().limit, KMW_LIMIT_FILE_SYSTEM);
    close(descriptor);
    close(full);
}

static void pages_that_do_not_fit_are_not_recorded(void **state) {
    (void)state;
    const uint64_t size = 8 * MIB;
    const uint64_t pages = size / kmw_page_size();
    const kmw_reserved section = {draft(size + kmw_commit_record_size(size)), 0, size};
    assert_int_equal(kmw_commit_pages(&section, 0, 10), ERROR_SUCCESS);
    assert_int_equal(kmw_commit_pages(&section, 5, pages), ERROR_COMMITMENT_LIMIT);
    expect_run(&section, 0, pages, true, 10);
    expect_run(&section, 10, pages, false, pages);
    close(section.descriptor);
}

/* Writes a line into a file of the group. */
static bool tell(const char *directory, const char *file, const char *line) {
    char path[PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    const int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    const ssize_t length = (ssize_t)strlen(line);
    const bool told = write(descriptor, line, (size_t)length) == length;
    close(descriptor);
    return told;
}

static char group[PATH_MAX];

static int make_in_a_small_group(void) {
    int small = -1;
    int large = -1;
    if (!tell(group, "cgroup.procs", "0")) {
        return 1;
    }
    if (kmw_section_memory_make(8 * MIB, 0, SEC_COMMIT, &small) != ERROR_SUCCESS) {
        return 2;
    }
    if (kmw_section_memory_make(64 * MIB, 0, SEC_COMMIT, &large) != ERROR_COMMITMENT_LIMIT) {
        return 3;
    }
    const kmw_commit_refusal refusal = kmw_commit_refusal_last();
    if (refusal.limit != KMW_LIMIT_CGROUP || refusal.asked != 64 * MIB ||
        refusal.free >= 32 * MIB) {
        return 4;
    }
    /* And with what is left, as far as it goes: nobody is killed. */
    DWORD error = ERROR_SUCCESS;
    for (int i = 0; i < 512 && error == ERROR_SUCCESS; ++i) {
        error = kmw_section_memory_make(65536, 0, SEC_COMMIT, &large);
    }
    if (error != ERROR_COMMITMENT_LIMIT) {
        return 5;
    }
    return kmw_commit_refusal_last().limit == KMW_LIMIT_CGROUP ? 0 : 6;
}

static void a_section_larger_than_its_group_may_have_is_refused(void **state) {
    (void)state;
    const char *parent = getenv("KEEPMAP_TEST_CGROUP");
    if (parent == NULL) {
        print_message("KEEPMAP_TEST_CGROUP names no group to make one in\n");
        skip();
    }
    (void)snprintf(group, sizeof group, "%s/keepmap-test-%ld", parent, (long)getpid());
    assert_int_equal(mkdir(group, 0755), 0);
    const bool limited =
        tell(group, "memory.limit_in_bytes", "33554432") || tell(group, "memory.max", "33554432");
    /* Where there is swap, the group shall have none of it. */
    (void)(tell(group, "memory.memsw.limit_in_bytes", "33554432") ||
           tell(group, "memory.swap.max", "0"));
    int status = -1;
    if (limited) {
        const pid_t child = fork();
        if (child == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(make_in_a_small_group());
        }
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_int_equal(rmdir(group), 0);
    assert_true(limited);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_memory_is_all_there_and_zero),
        cmocka_unit_test(reserved_memory_costs_nothing_however_much),
        cmocka_unit_test(an_absurd_size_is_refused_with_the_numbers),
        cmocka_unit_test(a_limit_on_file_sizes_is_a_refusal_and_no_signal),
        cmocka_unit_test(a_program_with_a_fast_timer_gets_its_memory),
        cmocka_unit_test(small_sections_are_looked_at_together),
        cmocka_unit_test(large_pages_that_the_pool_has_not_are_refused),
        cmocka_unit_test(a_size_that_large_pages_do_not_divide_is_invalid),
        cmocka_unit_test(large_pages_of_the_pool_are_there),
        cmocka_unit_test(pages_are_committed_one_by_one_or_in_runs),
        cmocka_unit_test(what_is_touched_is_not_thereby_committed),
        cmocka_unit_test(committing_keeps_what_is_in_the_pages),
        cmocka_unit_test(a_page_is_committed_for_every_process),
        cmocka_unit_test(a_page_in_a_tebibyte_is_found),
        cmocka_unit_test(a_commit_beyond_all_memory_records_nothing),
        cmocka_unit_test(a_record_that_was_cut_off_says_not_committed),
        cmocka_unit_test(a_size_without_end_has_no_record),
        cmocka_unit_test(a_section_larger_than_its_file_system_is_refused),
        cmocka_unit_test(a_small_section_on_a_full_file_system_is_refused_despite_credit),
        cmocka_unit_test(pages_that_do_not_fit_are_not_recorded),
        cmocka_unit_test(a_section_larger_than_its_group_may_have_is_refused),
    };
    return cmocka_run_group_tests(tests, mount_disk, unmount_disk);
}
