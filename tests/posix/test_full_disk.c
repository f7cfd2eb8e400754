/*
 * test_full_disk.c - a disk that is full, or that would be: a small one in memory, mounted in a
 * mount namespace of this suite's own, so that nobody else sees it and it goes with the process.
 */
#include <stdarg.h>
#include <stddef.h>

#include <sched.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"

#define MIB ((uint64_t)1 << 20)

/* Bytes of the disk, all but a few pages of which a file can have. */
#define DISK_SIZE (4 * MIB)

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

/* Mounting needs privileges that the tests need not have. */
static void need_disk(void) {
    if (!mounted) {
        skip();
    }
}

static km_map *open_map(const char *path, km_access access) {
    km_map *map = NULL;
    km_options options = {.access = access};
    assert_int_equal(km_open(&map, path, &options), KM_OK);
    return map;
}

static void a_copy_that_does_not_fit_is_no_space_and_leaves_nothing(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    km_size_report before = {0};
    km_size_report after = {0};
    need_disk();
    scratch_file("large", DISK_SIZE + 100000, 0);
    assert_int_equal(km_fits("disk", 0, &before), KM_OK);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        km_map *map = open_map("large", all[i]);
        assert_int_equal(km_copy(map, "disk/copy", NULL), KM_E_NO_SPACE);
        assert_non_null(strstr(km_error_message(), "\"large\" to \"disk/copy\""));
        km_close(map);
        assert_int_equal(scratch_size("disk/copy"), -1);
    }
    assert_int_equal(km_fits("disk", 0, &after), KM_OK);
    assert_int_equal(after.disk_free, before.disk_free);
    assert_int_equal(chdir("disk"), 0);
    size_t entries = scratch_entries();
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(entries, 0);
}

static void a_target_that_cannot_be_replaced_on_a_full_disk_stays(void **state) {
    (void)state;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    need_disk();
    scratch_file("larger", DISK_SIZE, 0);
    scratch_write("disk/old", "old", 3);
    km_map *map = open_map("larger", KM_READ);
    assert_int_equal(km_copy(map, "disk/old", &replace), KM_E_NO_SPACE);
    assert_true(scratch_equals("disk/old", "old", 3));
    km_close(map);
    scratch_remove("disk/old");
}

static void a_file_that_does_not_fit_is_not_made(void **state) {
    (void)state;
    km_size_report before = {0};
    km_size_report after = {0};
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 2 * DISK_SIZE};
    need_disk();
    assert_int_equal(km_fits("disk", 0, &before), KM_OK);
    assert_int_equal(km_open(&map, "disk/new", &options), KM_E_NO_SPACE);
    assert_null(map);
    assert_non_null(strstr(km_error_message(), "\"disk/new\""));
    assert_int_equal(chdir("disk"), 0);
    size_t entries = scratch_entries();
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(entries, 0);
    assert_int_equal(km_fits("disk", 0, &after), KM_OK);
    assert_int_equal(after.disk_free, before.disk_free);
}

static void growth_that_does_not_fit_leaves_file_and_map_as_they_were(void **state) {
    (void)state;
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .size = 2 * DISK_SIZE};
    need_disk();
    scratch_file("disk/grows", 5000, 4);
    assert_int_equal(km_open(&map, "disk/grows", &options), KM_E_NO_SPACE);
    assert_null(map);
    assert_int_equal(scratch_size("disk/grows"), 5000);
    map = open_map("disk/grows", KM_WRITE);
    assert_int_equal(km_resize(map, 2 * DISK_SIZE), KM_E_NO_SPACE);
    assert_int_equal(km_size(map), 5000);
    assert_int_equal(((unsigned char *)km_data(map))[4999], scratch_byte(4999, 4));
    assert_int_equal(scratch_size("disk/grows"), 5000);
    assert_int_equal(km_resize(map, MIB), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
    scratch_remove("disk/grows");
}

static void what_a_file_has_allocated_counts_as_there(void **state) {
    (void)state;
    km_size_report report = {0};
    need_disk();
    scratch_file("disk/there", 3 * MIB, 0);
    assert_int_equal(km_fits("disk/other", 2 * MIB, &report), KM_E_NO_SPACE);
    assert_int_equal(report.findings, KM_SIZE_NO_DISK);
    assert_int_equal(report.actual, 0);
    assert_int_equal(km_fits("disk/there", 4 * MIB - 65536, &report), KM_OK);
    assert_int_equal(report.allocated, 3 * MIB);
    assert_int_equal(km_fits("disk/there", 4 * MIB + 65536, &report), KM_E_NO_SPACE);
    scratch_remove("disk/there");
}

static void holes_that_the_disk_cannot_fill_are_no_space(void **state) {
    (void)state;
    km_size_report report = {0};
    need_disk();
    scratch_file("disk/holes", 0, 0);
    assert_int_equal(truncate("disk/holes", 8 * MIB), 0);
    assert_int_equal(km_check_file("disk/holes", 8 * MIB, &report), KM_E_NO_SPACE);
    assert_int_equal(report.findings & KM_SIZE_NO_DISK, KM_SIZE_NO_DISK);
    km_map *map = open_map("disk/holes", KM_WRITE);
    assert_int_equal(km_check(map, NULL), KM_E_NO_SPACE);
    assert_non_null(strstr(km_error_message(), "8388608"));
    km_close(map);
    map = open_map("disk/holes", KM_READ);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & KM_SIZE_NO_DISK, KM_SIZE_NO_DISK);
    km_close(map);
    scratch_remove("disk/holes");
}

static void holes_are_copied_onto_a_disk_that_cannot_fill_them(void **state) {
    (void)state;
    need_disk();
    scratch_file("sparse", 0, 0);
    assert_int_equal(truncate("sparse", 64 * MIB), 0);
    km_map *map = open_map("sparse", KM_READ);
    assert_int_equal(km_copy(map, "disk/sparse", NULL), KM_OK);
    assert_true(scratch_same("sparse", "disk/sparse"));
    km_close(map);
    scratch_remove("disk/sparse");
}

/* What a child under a limit sees; 0 if all is as it should be. */
static int copy_under_a_limit(void) {
    struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};
    km_map *map = NULL;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || km_open(&map, "unlimited", NULL) != KM_OK) {
        return 1;
    }
    if (km_copy(map, "limited copy", NULL) != KM_E_TOO_LARGE) {
        return 2;
    }
    km_map *limited = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = MIB};
    if (km_open(&limited, "limited", &options) != KM_OK ||
        km_resize(limited, MIB + 1) != KM_E_TOO_LARGE || km_size(limited) != MIB) {
        return 5;
    }
    km_close(limited);
    if (km_fits("limited copy", 2 * MIB, NULL) != KM_E_TOO_LARGE ||
        km_fits("limited copy", MIB, NULL) != KM_OK) {
        return 3;
    }
    km_close(map);
    return scratch_size("limited copy") == -1 ? 0 : 4;
}

static void expect_fine(int (*in_a_child)(void)) {
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(in_a_child());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Not compressed, so that it is as large as the file. */
static int snapshot_under_a_limit(void) {
    struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};
    const km_snapshot_options stored = {.level = KM_LEVEL_STORED};
    km_map *map = NULL;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || km_open(&map, "unlimited", NULL) != KM_OK) {
        return 1;
    }
    if (km_snapshot(map, "limited.gz", &stored) != KM_E_TOO_LARGE) {
        return 2;
    }
    km_close(map);
    return scratch_size("limited.gz") == -1 ? 0 : 3;
}

static void a_limit_on_file_sizes_is_a_status_and_no_signal(void **state) {
    (void)state;
    scratch_file("unlimited", 2 * MIB, 0);
    expect_fine(copy_under_a_limit);
}

static void a_snapshot_past_the_limit_on_file_sizes_is_too_large_whatever_the_disk(void **state) {
    (void)state;
    scratch_file("unlimited", 2 * MIB, 1);
    expect_fine(snapshot_under_a_limit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_does_not_fit_is_no_space_and_leaves_nothing),
        cmocka_unit_test(a_target_that_cannot_be_replaced_on_a_full_disk_stays),
        cmocka_unit_test(a_file_that_does_not_fit_is_not_made),
        cmocka_unit_test(growth_that_does_not_fit_leaves_file_and_map_as_they_were),
        cmocka_unit_test(what_a_file_has_allocated_counts_as_there),
        cmocka_unit_test(holes_that_the_disk_cannot_fill_are_no_space),
        cmocka_unit_test(holes_are_copied_onto_a_disk_that_cannot_fill_them),
        cmocka_unit_test(a_limit_on_file_sizes_is_a_status_and_no_signal),
        cmocka_unit_test(a_snapshot_past_the_limit_on_file_sizes_is_too_large_whatever_the_disk),
    };
    return cmocka_run_group_tests(tests, mount_disk, unmount_disk);
}
