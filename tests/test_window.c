/*
 * test_window.c - windows on an open map, and advice on any map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, options), KM_OK);
    return map;
}

static km_map *open_window(km_map *map, uint64_t offset, uint64_t length) {
    km_map *window = NULL;
    km_status status = km_window(&window, map, offset, length);
    if (status != KM_OK) {
        print_error("%s\n", km_error_message());
    }
    assert_int_equal(status, KM_OK);
    return window;
}

static void assert_refused(km_status expected, km_map *map, uint64_t offset, uint64_t length) {
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, offset, length), expected);
    assert_null(window);
    assert_true(strlen(km_error_message()) > 0);
}

static void assert_shows_scratch(const km_map *map, uint64_t offset, unsigned seed) {
    const unsigned char *data = km_data(map);
    for (uint64_t i = 0; i < km_size(map); i++) {
        assert_int_equal(data[i], scratch_byte(offset + i, seed));
    }
}

/* ---- Windows ---- */

static void a_window_shows_its_part_whatever_its_offset(void **state) {
    (void)state;
    scratch_file("offsets", 200000, 1);
    static const uint64_t offsets[] = {0, 1, 4095, 65535, 65536, 65537, 131071, 199999};
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_map *map = open_map("offsets", &(km_options){.access = (km_access)access});
        for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
            km_map *rest = open_window(map, offsets[i], 0);
            km_map *byte = open_window(map, offsets[i], 1);
            assert_int_equal(km_size(rest), 200000 - offsets[i]);
            assert_int_equal(km_size(byte), 1);
            assert_shows_scratch(rest, offsets[i], 1);
            assert_shows_scratch(byte, offsets[i], 1);
            assert_string_equal(km_path(rest), "offsets");
            assert_false(km_created(rest));
            km_close(byte);
            km_close(rest);
        }
        km_close(map);
    }
}

static void a_window_at_the_very_end_is_empty(void **state) {
    (void)state;
    scratch_file("end", 70000, 2);
    km_map *map = open_map("end", NULL);
    km_map *window = open_window(map, 70000, 0);
    assert_int_equal(km_size(window), 0);
    assert_null(km_data(window));
    km_close(window);
    km_close(map);
}

static void a_window_past_the_end_is_truncated(void **state) {
    (void)state;
    scratch_file("past", 70000, 3);
    km_map *map = open_map("past", NULL);
    assert_refused(KM_E_TRUNCATED, map, 70001, 0);
    assert_non_null(strstr(km_error_message(), "the file has 70000 bytes"));
    assert_refused(KM_E_TRUNCATED, map, 70000, 1);
    assert_refused(KM_E_TRUNCATED, map, 65536, 65536);
    assert_refused(KM_E_TRUNCATED, map, UINT64_MAX, 0);
    assert_refused(KM_E_TRUNCATED, map, 1, UINT64_MAX);
    assert_refused(KM_E_TRUNCATED, map, 0, UINT64_MAX);
    km_close(map);
}

static void a_window_needs_a_map_and_a_place(void **state) {
    (void)state;
    scratch_file("needs", 100, 4);
    assert_refused(KM_E_INVALID, NULL, 0, 0);
    km_map *map = open_map("needs", NULL);
    assert_int_equal(km_window(NULL, map, 0, 0), KM_E_INVALID);
    km_close(map);
}

static void windows_on_a_writing_map_show_the_same_bytes(void **state) {
    (void)state;
    scratch_file("same", 200000, 5);
    km_map *map = open_map("same", &(km_options){.access = KM_WRITE});
    km_map *window = open_window(map, 99999, 10);
    memcpy(km_data(window), "0123456789", 10);
    assert_memory_equal((char *)km_data(map) + 99999, "0123456789", 10);
    ((char *)km_data(map))[100000] = 'M';
    assert_int_equal(((char *)km_data(window))[1], 'M');
    km_close(window);
    km_close(map);
}

static void each_window_on_a_private_map_has_its_own_stores(void **state) {
    (void)state;
    scratch_file("own", 70000, 6);
    km_map *map = open_map("own", &(km_options){.access = KM_PRIVATE});
    km_map *one = open_window(map, 0, 0);
    km_map *other = open_window(map, 0, 0);
    memset(km_data(map), 'm', 100);
    memset(km_data(one), '1', 100);
    assert_shows_scratch(other, 0, 6);
    assert_int_equal(*(char *)km_data(map), 'm');
    assert_int_equal(*(char *)km_data(one), '1');
    km_close(one);
    km_close(other);
    km_close(map);
}

static void a_window_outlives_its_map(void **state) {
    (void)state;
    scratch_file("outlives", 200000, 7);
    km_map *map = open_map("outlives", &(km_options){.access = KM_WRITE});
    km_map *window = open_window(map, 70000, 1000);
    assert_int_equal(km_close(map), KM_OK);
    assert_shows_scratch(window, 70000, 7);
    assert_string_equal(km_path(window), "outlives");
    *(char *)km_data(window) = 'w';
    assert_int_equal(km_flush(window, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    km_map *second = open_window(window, 0, 0); /* of the file, not of the window */
    assert_int_equal(km_size(second), 200000);
    assert_int_equal(((char *)km_data(second))[70000], 'w');
    km_close(second);
    assert_int_equal(km_close(window), KM_OK);
}

static void a_window_reaches_what_the_file_has_grown_by(void **state) {
    (void)state;
    scratch_file("grown", 1000, 8);
    km_map *map = open_map("grown", NULL);
    km_map *writer = open_map("grown", &(km_options){.access = KM_WRITE, .size = 100000});
    ((char *)km_data(writer))[99999] = 'z';
    assert_int_equal(km_size(map), 1000);
    km_map *window = open_window(map, 90000, 0);
    assert_int_equal(km_size(window), 10000);
    assert_int_equal(((char *)km_data(window))[9999], 'z');
    km_close(window);
    km_close(writer);
    km_close(map);
}

static void an_empty_map_has_windows_once_the_file_has_bytes(void **state) {
    (void)state;
    scratch_write("filled", "", 0);
    km_map *map = open_map("filled", NULL);
    km_map *window = open_window(map, 0, 0);
    assert_null(km_data(window));
    km_close(window);
    km_close(open_map("filled", &(km_options){.access = KM_WRITE, .size = 10}));
    window = open_window(map, 3, 0);
    assert_int_equal(km_size(window), 7);
    km_close(window);
    km_close(map);
}

static void a_map_of_a_part_has_windows_anywhere(void **state) {
    (void)state;
    scratch_file("part", 200000, 9);
    km_map *map = open_map("part", &(km_options){.offset = 150000, .length = 10});
    km_map *window = open_window(map, 10, 70000);
    assert_shows_scratch(window, 10, 9);
    km_close(window);
    km_close(map);
}

/* 64-bit offsets: far past what 32 bits hold. */
static void windows_reach_the_far_end_of_a_large_file(void **state) {
    (void)state;
    const uint64_t size = ((uint64_t)12 << 30) + 12345;
    km_map *map = open_map("far", &(km_options){.access = KM_WRITE,
                                                .flags = KM_OPEN_NEW | KM_OPEN_SPARSE,
                                                .size = size,
                                                .offset = size - 5});
    memcpy(km_data(map), "12345", 5);
    km_map *window = open_window(map, size - 70000, 0);
    assert_int_equal(km_size(window), 70000);
    assert_memory_equal((char *)km_data(window) + 69995, "12345", 5);
    km_map *middle = open_window(map, ((uint64_t)4 << 30) - 1, 2);
    assert_memory_equal(km_data(middle), "\0", 2);
    km_close(middle);
    km_close(window);
    km_close(map);
    scratch_remove("far");
}

static void many_windows_open_and_close_in_any_order(void **state) {
    (void)state;
    enum { COUNT = 64 };
    scratch_file("many", 4 << 20, 10);
    km_map *map = open_map("many", NULL);
    km_map *windows[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        windows[i] = open_window(map, i * 65000, 1000);
    }
    km_close(map);
    for (size_t i = 0; i < COUNT; i++) {
        size_t chosen = i * 37 % COUNT;
        assert_shows_scratch(windows[chosen], chosen * 65000, 10);
        assert_int_equal(km_close(windows[chosen]), KM_OK);
    }
}

/* ---- Advice ---- */

static void advice_changes_no_contents(void **state) {
    (void)state;
    scratch_file("advice", 300000, 11);
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_map *map = open_map("advice", &(km_options){.access = (km_access)access});
        km_map *window = open_window(map, 70001, 100000);
        for (int advice = KM_ADVICE_NORMAL; advice <= KM_ADVICE_COLD; advice++) {
            assert_int_equal(km_advise(map, 0, 0, (km_advice)advice), KM_OK);
            assert_int_equal(km_advise(map, 1, 299999, (km_advice)advice), KM_OK);
            assert_int_equal(km_advise(map, 300000, 0, (km_advice)advice), KM_OK);
            assert_int_equal(km_advise(window, 77, 50000, (km_advice)advice), KM_OK);
        }
        assert_shows_scratch(map, 0, 11);
        assert_shows_scratch(window, 70001, 11);
        km_close(window);
        km_close(map);
    }
}

static void cold_advice_keeps_stores(void **state) {
    (void)state;
    scratch_file("cold", 300000, 12);
    const km_access accesses[] = {KM_PRIVATE, KM_WRITE};
    for (size_t i = 0; i < 2; i++) {
        km_map *map = open_map("cold", &(km_options){.access = accesses[i]});
        memset(km_data(map), 'c', 300000);
        assert_int_equal(km_advise(map, 0, 0, KM_ADVICE_COLD), KM_OK);
        for (size_t byte = 0; byte < 300000; byte++) {
            assert_int_equal(((char *)km_data(map))[byte], 'c');
        }
        km_close(map);
    }
}

static void advice_that_makes_no_sense_is_refused(void **state) {
    (void)state;
    scratch_file("senseless", 1000, 13);
    km_map *map = open_map("senseless", NULL);
    assert_int_equal(km_advise(map, 0, 1001, KM_ADVICE_NORMAL), KM_E_INVALID);
    assert_int_equal(km_advise(map, 1001, 0, KM_ADVICE_NORMAL), KM_E_INVALID);
    assert_int_equal(km_advise(map, UINT64_MAX, 2, KM_ADVICE_NORMAL), KM_E_INVALID);
    assert_int_equal(km_advise(map, 0, 0, (km_advice)5), KM_E_INVALID);
    assert_int_equal(km_advise(map, 0, 0, (km_advice)-1), KM_E_INVALID);
    assert_int_equal(km_advise(NULL, 0, 0, KM_ADVICE_NORMAL), KM_E_INVALID);
    km_close(map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_shows_its_part_whatever_its_offset),
        cmocka_unit_test(a_window_at_the_very_end_is_empty),
        cmocka_unit_test(a_window_past_the_end_is_truncated),
        cmocka_unit_test(a_window_needs_a_map_and_a_place),
        cmocka_unit_test(windows_on_a_writing_map_show_the_same_bytes),
        cmocka_unit_test(each_window_on_a_private_map_has_its_own_stores),
        cmocka_unit_test(a_window_outlives_its_map),
        cmocka_unit_test(a_window_reaches_what_the_file_has_grown_by),
        cmocka_unit_test(an_empty_map_has_windows_once_the_file_has_bytes),
        cmocka_unit_test(a_map_of_a_part_has_windows_anywhere),
        cmocka_unit_test(windows_reach_the_far_end_of_a_large_file),
        cmocka_unit_test(many_windows_open_and_close_in_any_order),
        cmocka_unit_test(advice_changes_no_contents),
        cmocka_unit_test(cold_advice_keeps_stores),
        cmocka_unit_test(advice_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
