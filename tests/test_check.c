/*
 * test_check.c - km_check, km_check_file and km_fits: sizes known before they hurt.
 */
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "size.h"
#include "support/scratch.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#include <sys/stat.h>
#include <unistd.h>
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

/* What is a verdict about this one file, and not about the disk it lies on. */
#define OWN_FINDINGS                                                                               \
    (KM_SIZE_TRUNCATED | KM_SIZE_MISMATCH | KM_SIZE_GREW | KM_SIZE_NO_DISK | KM_SIZE_NO_ADDRESS |  \
     KM_SIZE_TOO_LARGE)

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, options), KM_OK);
    return map;
}

static void append(const WCHAR *name, uint64_t offset) {
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    DWORD done = 0;
    HANDLE file = CreateFileW(name, GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(WriteFile(file, "more", 4, &done, &at));
    CloseHandle(file);
}

/* `size` bytes with nothing allocated for them, where the file system has holes. */
static void make_sparse(const WCHAR *name, uint64_t size) {
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    HANDLE file =
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, CREATE_NEW, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    DWORD error = km_platform_set_sparse(file);
    assert_true(error == ERROR_SUCCESS || error == ERROR_NOT_SUPPORTED);
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file));
    CloseHandle(file);
}

/* ---- An open map --------------------------------------------------------------------------- */

static void a_map_of_an_unchanged_file_is_fine(void **state) {
    (void)state;
    km_size_report report = {0};
    scratch_file("fine", 10000, 0);
    km_map *map = open_map("fine", NULL);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, 0);
    assert_int_equal(report.struct_size, 0);
    assert_true(report.expected == KM_SIZE_UNKNOWN);
    assert_int_equal(report.declared, 10000);
    assert_int_equal(report.actual, 10000);
    assert_int_equal(report.mapped, 10000);
    assert_true(report.disk_free > 0 && report.disk_free != KM_SIZE_UNKNOWN);
    assert_true(report.address_free > MIB);
    assert_int_equal(km_check(map, NULL), KM_OK);
    km_close(map);
}

static void a_file_that_grew_is_a_finding_and_no_failure(void **state) {
    (void)state;
    km_size_report report = {.struct_size = sizeof report};
    km_options options = {.size = 100};
    scratch_file("grew", 100, 0);
    km_map *map = open_map("grew", &options);
    append(W("grew"), 100);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_GREW);
    assert_int_equal(report.struct_size, sizeof report);
    assert_int_equal(report.expected, 100);
    assert_int_equal(report.actual, 104);
    assert_int_equal(report.mapped, 100);
    km_close(map);
}

static void a_window_has_not_grown(void **state) {
    (void)state;
    km_size_report report = {0};
    km_options options = {.offset = 10, .length = 20};
    scratch_file("window", 100, 0);
    km_map *map = open_map("window", &options);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, 0);
    assert_int_equal(report.actual, 100);
    assert_int_equal(report.mapped, 20);
    km_close(map);
}

static void an_exact_map_of_a_file_that_grew_is_a_mismatch(void **state) {
    (void)state;
    km_size_report report = {0};
    km_options options = {.size = 100, .flags = KM_OPEN_EXACT};
    scratch_file("exact", 100, 0);
    km_map *map = open_map("exact", &options);
    assert_int_equal(km_check(map, &report), KM_OK);
    append(W("exact"), 100);
    assert_int_equal(km_check(map, &report), KM_E_MISMATCH);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_MISMATCH | KM_SIZE_GREW);
    assert_int_equal(report.expected, 100);
    assert_int_equal(report.actual, 104);
    assert_non_null(strstr(km_error_message(), "104"));
    km_close(map);
}

static void ones_own_resize_is_no_mismatch(void **state) {
    (void)state;
    km_size_report report = {0};
    km_options options = {.access = KM_WRITE, .size = 100, .flags = KM_OPEN_EXACT};
    scratch_file("resized", 100, 0);
    km_map *map = open_map("resized", &options);
    assert_int_equal(km_resize(map, 5000), KM_OK);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.expected, 5000);
    assert_int_equal(report.actual, 5000);
    km_close(map);
}

#if !defined(_WIN32) /* Windows lets nobody cut a mapped file. */
static void a_file_cut_short_under_its_map_is_truncated(void **state) {
    (void)state;
    km_size_report report = {0};
    scratch_file("cut", 10000, 0);
    km_map *map = open_map("cut", NULL);
    assert_int_equal(truncate("cut", 300), 0);
    assert_int_equal(km_check(map, &report), KM_E_TRUNCATED);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_TRUNCATED);
    assert_int_equal(report.actual, 300);
    assert_int_equal(report.mapped, 10000);
    assert_non_null(strstr(km_error_message(), "\"cut\""));
    assert_non_null(strstr(km_error_message(), "300"));
    assert_non_null(strstr(km_error_message(), "10000"));
    km_close(map);
}

static void a_map_whose_file_and_directory_are_gone_can_be_checked(void **state) {
    (void)state;
    km_size_report report = {0};
    assert_int_equal(mkdir("gone", 0777), 0);
    scratch_file("gone/file", 1000, 0);
    km_map *map = open_map("gone/file", NULL);
    scratch_remove("gone/file");
    assert_int_equal(rmdir("gone"), 0);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.actual, 1000);
    assert_true(report.disk_free > 0);
    km_close(map);
}
#endif

static void holes_are_a_finding(void **state) {
    (void)state;
    km_size_report report = {0};
    make_sparse(W("holes"), 64 * MIB);
    assert_int_equal(km_check_file("holes", 64 * MIB, &report), KM_OK);
    if (report.allocated >= 64 * MIB) {
        skip(); /* this file system has no holes */
    }
    assert_int_equal(report.findings & (OWN_FINDINGS | KM_SIZE_HOLES), KM_SIZE_HOLES);
    km_map *map = open_map("holes", NULL);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & (OWN_FINDINGS | KM_SIZE_HOLES), KM_SIZE_HOLES);
    assert_true(report.allocated < MIB);
    km_close(map);
    scratch_file("solid", MIB, 0);
    assert_int_equal(km_check_file("solid", MIB, &report), KM_OK);
    assert_int_equal(report.findings & KM_SIZE_HOLES, 0);
}

/* ---- A file by name ------------------------------------------------------------------------ */

static void a_file_is_compared_with_what_is_expected(void **state) {
    (void)state;
    km_size_report report = {0};
    scratch_file("compared", 1000, 0);
    assert_int_equal(km_check_file("compared", 1000, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, 0);
    assert_int_equal(report.mapped, 0);
    assert_int_equal(report.expected, 1000);
    assert_int_equal(km_check_file("compared", KM_SIZE_UNKNOWN, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, 0);
    assert_int_equal(km_check_file("compared", 1001, &report), KM_E_TRUNCATED);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_TRUNCATED | KM_SIZE_MISMATCH);
    assert_int_equal(report.actual, 1000);
    assert_int_equal(km_check_file("compared", 999, &report), KM_E_MISMATCH);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_MISMATCH);
    assert_int_equal(km_check_file("compared", 999, NULL), KM_E_MISMATCH);
}

static void what_is_no_file_is_refused_and_the_report_left_alone(void **state) {
    (void)state;
    km_size_report report;
    memset(&report, 0x5A, sizeof report);
    report.struct_size = sizeof report;
    km_size_report untouched = report;
    assert_int_equal(km_check_file("missing", 0, &report), KM_E_NOT_FOUND);
    assert_int_equal(km_check_file("missing/file", 0, &report), KM_E_NOT_FOUND);
    assert_int_equal(km_check_file(".", 0, &report), KM_E_INVALID);
    assert_int_equal(km_check_file("", 0, &report), KM_E_INVALID);
    assert_int_equal(km_check_file(NULL, 0, &report), KM_E_INVALID);
    assert_int_equal(km_check(NULL, &report), KM_E_INVALID);
    assert_int_equal(km_fits("missing/file", 1, &report), KM_E_NOT_FOUND);
    assert_int_equal(km_fits(NULL, 1, &report), KM_E_INVALID);
    assert_memory_equal(&report, &untouched, sizeof report);
}

static void a_file_larger_than_the_disk_cannot_be_filled(void **state) {
    (void)state;
    km_size_report report = {0};
    char number[32];
    assert_int_equal(km_fits(".", 0, &report), KM_OK);
    uint64_t huge = report.disk_free + TIB;
    if (huge > 8 * TIB || huge > report.address_free) {
        skip(); /* an enviable disk, or a sanitizer that has taken nearly all addresses */
    }
    make_sparse(W("huge"), huge);
    assert_int_equal(km_check_file("huge", huge, &report), KM_E_NO_SPACE);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_NO_DISK);
    snprintf(number, sizeof number, "%" PRIu64, huge);
    assert_non_null(strstr(km_error_message(), number));
    km_options options = {.access = KM_WRITE, .length = MIB};
    km_map *map = open_map("huge", &options);
    assert_int_equal(km_check(map, &report), KM_E_NO_SPACE);
    km_close(map);
    options.access = KM_READ; /* nobody can fill the holes through this one */
    map = open_map("huge", &options);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_NO_DISK);
    km_close(map);
    scratch_remove("huge");
}

/* ---- A file that may come ------------------------------------------------------------------ */

static void a_small_file_fits_anywhere(void **state) {
    (void)state;
    static const char *const paths[] = {"not there yet", ".", "./not there yet"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        km_size_report report = {0};
        size_t before = scratch_entries();
        assert_int_equal(km_fits(paths[i], MIB, &report), KM_OK);
        assert_int_equal(report.findings & OWN_FINDINGS, 0);
        assert_int_equal(report.expected, MIB);
        assert_int_equal(report.actual, 0);
        assert_int_equal(report.allocated, 0);
        assert_int_equal(report.mapped, 0);
        assert_int_equal(scratch_entries(), before);
    }
}

static void an_existing_file_is_reported_as_it_is(void **state) {
    (void)state;
    km_size_report report = {0};
    scratch_file("there", 4 * MIB, 0);
    assert_int_equal(km_fits("there", 8 * MIB, &report), KM_OK);
    assert_int_equal(report.findings & OWN_FINDINGS, 0);
    assert_int_equal(report.expected, 8 * MIB);
    assert_int_equal(report.actual, 4 * MIB);
    assert_true(report.allocated > 0);
}

static void more_than_the_disk_has_does_not_fit(void **state) {
    (void)state;
    km_size_report report = {0};
    assert_int_equal(km_fits("not there", MIB, &report), KM_OK);
    uint64_t more = 2 * report.disk_free;
    if (more > 8 * TIB) {
        skip(); /* the file system may not take a file that large at all */
    }
    assert_int_equal(km_fits("not there", more, &report), KM_E_NO_SPACE);
    assert_int_equal(report.findings & OWN_FINDINGS, KM_SIZE_NO_DISK);
}

static void more_than_a_file_or_the_address_space_takes_is_too_large(void **state) {
    (void)state;
    km_size_report report = {0};
    assert_int_equal(km_fits("not there", (uint64_t)1 << 60, &report), KM_E_TOO_LARGE);
    assert_true((report.findings & KM_SIZE_NO_ADDRESS) != 0);
    assert_int_equal(km_fits("not there", (uint64_t)1 << 63, &report), KM_E_TOO_LARGE);
    assert_true((report.findings & KM_SIZE_TOO_LARGE) != 0);
    assert_int_equal(km_fits("not there", UINT64_MAX, &report), KM_E_TOO_LARGE);
}

/* ---- The report's own size ----------------------------------------------------------------- */

static void a_report_of_another_size_is_filled_as_far_as_both_know_it(void **state) {
    (void)state;
    struct {
        km_size_report known;
        uint64_t later;
        uint64_t guard;
    } report;
    scratch_file("versions", 100, 0);
    memset(&report, 0x5A, sizeof report);
    report.known.struct_size = 8;
    assert_int_equal(km_check_file("versions", 100, &report.known), KM_E_INVALID);
    report.known.struct_size = 0x5A5A5A5A;
    assert_int_equal(km_check_file("versions", 100, &report.known), KM_E_INVALID);
    report.known.struct_size = sizeof report.known + sizeof report.later;
    assert_int_equal(km_check_file("versions", 100, &report.known), KM_OK);
    assert_int_equal(report.known.actual, 100);
    assert_int_equal(report.known.struct_size, sizeof report.known + sizeof report.later);
    assert_int_equal(report.later, 0);
    assert_true(report.guard == 0x5A5A5A5A5A5A5A5Au);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_of_an_unchanged_file_is_fine),
        cmocka_unit_test(a_file_that_grew_is_a_finding_and_no_failure),
        cmocka_unit_test(a_window_has_not_grown),
        cmocka_unit_test(an_exact_map_of_a_file_that_grew_is_a_mismatch),
        cmocka_unit_test(ones_own_resize_is_no_mismatch),
#if !defined(_WIN32)
        cmocka_unit_test(a_file_cut_short_under_its_map_is_truncated),
        cmocka_unit_test(a_map_whose_file_and_directory_are_gone_can_be_checked),
#endif
        cmocka_unit_test(holes_are_a_finding),
        cmocka_unit_test(a_file_is_compared_with_what_is_expected),
        cmocka_unit_test(what_is_no_file_is_refused_and_the_report_left_alone),
        cmocka_unit_test(a_file_larger_than_the_disk_cannot_be_filled),
        cmocka_unit_test(a_small_file_fits_anywhere),
        cmocka_unit_test(an_existing_file_is_reported_as_it_is),
        cmocka_unit_test(more_than_the_disk_has_does_not_fit),
        cmocka_unit_test(more_than_a_file_or_the_address_space_takes_is_too_large),
        cmocka_unit_test(a_report_of_another_size_is_filled_as_far_as_both_know_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
