/*
 * test_change_tracker_life.c - when a tracker begins and ends, who may have one, and what forks,
 * and views that are gone, mean to it.
 *
 * Not under valgrind: it does not know userfaultfd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/userfault.h"
#include "support/process_facts.h"

#define PAGE ((size_t)4096)
#define LENGTH (PAGES * PAGE)

enum { PAGES = 64 };

/* Bit n is page n's. */
static uint64_t collect(km_tracker *tracker) {
    uint8_t changed[PAGES / 8];
    uint64_t pages = 0;
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_SUCCESS);
    memcpy(&pages, changed, sizeof pages);
    return pages;
}

static DWORD start(unsigned char *view, km_tracker **tracker) {
    return km_platform_tracker_start(view, LENGTH, tracker);
}

static unsigned char *map(int sharing) {
    void *view = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(view, MAP_FAILED);
    return view;
}

/* Not asked of the tracker itself: one that is broken must not be skipped. */
static void need_tracker(void) {
    const int userfault = kmw_userfault_open(KMW_FEATURE_WP_ASYNC);
    if (userfault < 0) {
        skip(); /* needs Linux 6.7 and userfaultfd */
    }
    close(userfault);
}

static int exit_code(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- Beginning and ending ---- */

static void a_stopped_view_can_be_stored_to_and_tracked_again(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    for (int i = 0; i < 3; ++i) {
        km_tracker *tracker = NULL;
        assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
        assert_int_equal(collect(tracker), 0);
        view[PAGE] = 1;
        assert_int_equal(collect(tracker), 2);
        km_platform_tracker_stop(tracker);
        view[0] = 1;
        view[PAGE] = 2;
    }
    munmap(view, LENGTH);
}

static void a_view_has_one_tracker_at_a_time(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    km_tracker *second = (km_tracker *)view;
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    view[2 * PAGE] = 1;
    assert_int_equal(start(view, &second), ERROR_NOT_SUPPORTED);
    assert_ptr_equal(second, view);
    assert_int_equal(collect(tracker), 4);
    view[3 * PAGE] = 1;
    assert_int_equal(collect(tracker), 8);
    km_platform_tracker_stop(tracker);
    munmap(view, LENGTH);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = (km_tracker *)view;
    assert_int_equal(km_platform_tracker_start(view, 0, &tracker), ERROR_INVALID_PARAMETER);
    assert_int_equal(km_platform_tracker_start(view + 1, PAGE, &tracker), ERROR_INVALID_PARAMETER);
    assert_int_equal(km_platform_tracker_start(view, UINT64_MAX, &tracker),
                     ERROR_INVALID_PARAMETER);
    assert_int_equal(km_platform_tracker_start(view, UINT64_MAX - 2 * PAGE, &tracker),
                     ERROR_INVALID_PARAMETER);
    assert_ptr_equal(tracker, view);
    need_tracker();
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    uint8_t changed[PAGES / 8] = {0};
    const uint64_t bad_units[] = {0, 1, 2048, 4097, 3 * PAGE};
    for (size_t i = 0; i < sizeof bad_units / sizeof bad_units[0]; ++i) {
        assert_int_equal(km_platform_tracker_collect(tracker, bad_units[i], changed),
                         ERROR_INVALID_PARAMETER);
    }
    km_platform_tracker_stop(tracker);
    km_platform_tracker_stop(NULL);
    munmap(view, LENGTH);
}

static void a_size_within_a_page_counts_as_that_page(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_PRIVATE);
    km_tracker *tracker = NULL;
    uint8_t changed[2] = {0, 0x5A};
    assert_int_equal(km_platform_tracker_start(view, 2 * PAGE + 1, &tracker), ERROR_SUCCESS);
    memset(view, 1, LENGTH);
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_SUCCESS);
    assert_int_equal(changed[0], 7);
    assert_int_equal(changed[1], 0x5A);
    km_platform_tracker_stop(tracker);
    munmap(view, LENGTH);
}

static void nothing_is_left_behind(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    const unsigned descriptors = process_descriptors();
    for (int i = 0; i < 3; ++i) {
        km_tracker *tracker = NULL;
        assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
        assert_true(process_descriptors() > descriptors);
        km_platform_tracker_stop(tracker);
        assert_int_equal(process_descriptors(), descriptors);
    }
    munmap(view, LENGTH);
}

/* ---- Views that are gone ---- */

static void a_view_that_is_gone_is_not_called_unchanged(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    uint8_t changed[PAGES / 8] = {0};
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    munmap(view + PAGE, PAGE);
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_INVALID_ADDRESS);
    munmap(view, LENGTH);
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_INVALID_ADDRESS);
    km_platform_tracker_stop(tracker);
}

static void another_mapping_in_a_views_place_is_not_taken_for_it(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    km_tracker *successor = NULL;
    uint8_t changed[PAGES / 8] = {0};
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    assert_ptr_equal(
        mmap(view, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        view);
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_NOT_SUPPORTED);
    km_platform_tracker_stop(tracker);
    assert_int_equal(start(view, &successor), ERROR_SUCCESS);
    view[0] = 1;
    assert_int_equal(collect(successor), 1);
    km_platform_tracker_stop(successor);
    munmap(view, LENGTH);
}

static void a_view_that_was_moved_is_not_tracked_any_more(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    unsigned char *place = map(MAP_PRIVATE);
    km_tracker *tracker = NULL;
    uint8_t changed[PAGES / 8] = {0};
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    assert_ptr_equal(mremap(view, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, place), place);
    place[0] = 1;
    assert_int_equal(km_platform_tracker_collect(tracker, PAGE, changed), ERROR_INVALID_ADDRESS);
    km_platform_tracker_stop(tracker);
    munmap(place, LENGTH);
}

static void a_read_only_view_of_a_read_only_file_has_no_tracker(void **state) {
    (void)state;
    need_tracker();
    FILE *file = fopen("read_only", "wbe");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate("read_only", LENGTH), 0);
    HANDLE handle =
        CreateFileA("read_only", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(handle, NULL, PAGE_READONLY, 0, 0, NULL);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    km_tracker *tracker = (km_tracker *)view;
    assert_int_equal(start(view, &tracker), ERROR_NOT_SUPPORTED);
    assert_ptr_equal(tracker, view);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(handle));
}

/* ---- fork ---- */

static void a_fork_hides_no_store_of_its_parent(void **state) {
    (void)state;
    need_tracker();
    const int sharings[] = {MAP_SHARED, MAP_PRIVATE};
    for (size_t i = 0; i < 2; ++i) {
        unsigned char *view = map(sharings[i]);
        km_tracker *tracker = NULL;
        memset(view, 1, LENGTH);
        assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
        view[PAGE] = 2; /* before the fork, asked after it */
        int gate[2];
        char byte = 0;
        assert_int_equal(pipe(gate), 0);
        const pid_t child = fork();
        if (child == 0) {
            (void)!read(gate[0], &byte, 1); /* lives on while the parent stores and asks */
            _exit(0);
        }
        assert_int_equal(collect(tracker), 2);
        view[PAGE] = 3;
        view[2 * PAGE] = 3;
        assert_int_equal(collect(tracker), 6);
        assert_int_equal(collect(tracker), 0);
        assert_int_equal(write(gate[1], "x", 1), 1);
        assert_int_equal(exit_code(child), 0);
        view[3 * PAGE] = 3;
        assert_int_equal(collect(tracker), 8);
        close(gate[0]);
        close(gate[1]);
        km_platform_tracker_stop(tracker);
        munmap(view, LENGTH);
    }
}

static void a_childs_copy_of_a_tracker_does_nothing(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    view[PAGE] = 1;
    const pid_t child = fork();
    if (child == 0) {
        uint8_t changed[PAGES / 8];
        const DWORD error = km_platform_tracker_collect(tracker, PAGE, changed);
        km_platform_tracker_stop(tracker);
        _exit(error == ERROR_NOT_SUPPORTED ? 0 : 1);
    }
    assert_int_equal(exit_code(child), 0);
    assert_int_equal(collect(tracker), 2);
    view[2 * PAGE] = 1;
    assert_int_equal(collect(tracker), 4);
    km_platform_tracker_stop(tracker);
    munmap(view, LENGTH);
}

static void a_child_that_keeps_the_descriptors_does_not_keep_the_view_tracked(void **state) {
    (void)state;
    need_tracker();
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    int gate[2];
    char byte = 0;
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    const pid_t child = fork();
    if (child == 0) {
        (void)!read(gate[0], &byte, 1);
        _exit(0);
    }
    km_platform_tracker_stop(tracker);
    assert_int_equal(start(view, &tracker), ERROR_SUCCESS);
    view[0] = 1;
    assert_int_equal(collect(tracker), 1);
    km_platform_tracker_stop(tracker);
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_int_equal(exit_code(child), 0);
    close(gate[0]);
    close(gate[1]);
    munmap(view, LENGTH);
}

/* ---- Users ---- */

/* Whoever changes its user may not look into its own /proc/self, unless it says that it may be
 * looked into. */
static int track_as_a_plain_user(void) {
    unsigned char *view = map(MAP_SHARED);
    km_tracker *tracker = NULL;
    uint8_t changed[PAGES / 8] = {0};
    if (setuid(65534) != 0) {
        return 1;
    }
    if (start(view, &tracker) != ERROR_NOT_SUPPORTED) {
        return 2;
    }
    if (prctl(PR_SET_DUMPABLE, 1) != 0 || start(view, &tracker) != ERROR_SUCCESS) {
        return 3;
    }
    view[PAGE] = 1;
    if (km_platform_tracker_collect(tracker, PAGE, changed) != ERROR_SUCCESS || changed[0] != 2) {
        return 4;
    }
    km_platform_tracker_stop(tracker);
    return 0;
}

static void a_plain_user_has_a_tracker_too(void **state) {
    (void)state;
    need_tracker();
    if (geteuid() != 0) {
        skip(); /* the other tests are run by a plain user already */
    }
    const pid_t child = fork();
    if (child == 0) {
        _exit(track_as_a_plain_user());
    }
    assert_int_equal(exit_code(child), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_view_can_be_stored_to_and_tracked_again),
        cmocka_unit_test(a_view_has_one_tracker_at_a_time),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(a_size_within_a_page_counts_as_that_page),
        cmocka_unit_test(nothing_is_left_behind),
        cmocka_unit_test(a_view_that_is_gone_is_not_called_unchanged),
        cmocka_unit_test(another_mapping_in_a_views_place_is_not_taken_for_it),
        cmocka_unit_test(a_view_that_was_moved_is_not_tracked_any_more),
        cmocka_unit_test(a_read_only_view_of_a_read_only_file_has_no_tracker),
        cmocka_unit_test(a_fork_hides_no_store_of_its_parent),
        cmocka_unit_test(a_childs_copy_of_a_tracker_does_nothing),
        cmocka_unit_test(a_child_that_keeps_the_descriptors_does_not_keep_the_view_tracked),
        cmocka_unit_test(a_plain_user_has_a_tracker_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
