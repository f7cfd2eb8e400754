/*
 * test_transfer.c - km_read and km_write, where a load or a store would kill.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"

#if !defined(_WIN32)
#include <unistd.h>
#endif

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, options), KM_OK);
    return map;
}

static void what_is_read_is_what_the_map_shows(void **state) {
    (void)state;
    scratch_file("shows", 300000, 1);
    unsigned char *bytes = malloc(300000);
    assert_non_null(bytes);
    const uint64_t offsets[] = {0, 70001};
    for (size_t o = 0; o < 2; o++) {
        for (int access = KM_READ; access <= KM_PRIVATE; access++) {
            km_map *map =
                open_map("shows", &(km_options){.access = (km_access)access, .offset = offsets[o]});
            memset(bytes, 0xAA, 300000);
            uint64_t length = km_size(map) - 4;
            assert_int_equal(km_read(map, 3, bytes, length), KM_OK);
            for (uint64_t i = 0; i < length; i++) {
                assert_int_equal(bytes[i], scratch_byte(offsets[o] + 3 + i, 1));
            }
            assert_int_equal(bytes[length], 0xAA);
            km_close(map);
        }
    }
    free(bytes);
}

static void what_is_written_is_what_the_map_shows(void **state) {
    (void)state;
    const km_access accesses[] = {KM_PRIVATE, KM_WRITE};
    scratch_file("written", 300000, 2);
    for (size_t i = 0; i < 2; i++) {
        km_map *map = open_map("written", &(km_options){.access = accesses[i], .offset = 70001});
        km_map *other = open_map("written", &(km_options){.offset = 70001});
        assert_int_equal(km_write(map, 4090, "0123456789", 10), KM_OK);
        assert_memory_equal((char *)km_data(map) + 4090, "0123456789", 10);
        char seen[10];
        assert_int_equal(km_read(other, 4090, seen, 10), KM_OK);
        assert_int_equal(memcmp(seen, "0123456789", 10) == 0, accesses[i] == KM_WRITE);
        km_close(other);
        km_close(map);
    }
}

static void a_reading_map_is_not_written(void **state) {
    (void)state;
    scratch_file("reading", 100, 3);
    km_map *map = open_map("reading", NULL);
    assert_int_equal(km_write(map, 0, "x", 1), KM_E_ACCESS);
    assert_int_equal(*(unsigned char *)km_data(map), scratch_byte(0, 3));
    km_close(map);
}

static void a_range_outside_the_map_is_invalid(void **state) {
    (void)state;
    scratch_file("outside", 100, 4);
    km_map *map = open_map("outside", &(km_options){.access = KM_WRITE});
    char bytes[200] = {0};
    static const struct {
        uint64_t offset, length;
    } rows[] = {{0, 101}, {100, 1}, {101, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX}, {UINT64_MAX, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(km_read(map, rows[i].offset, bytes, rows[i].length), KM_E_INVALID);
        assert_int_equal(km_write(map, rows[i].offset, bytes, rows[i].length), KM_E_INVALID);
    }
    assert_int_equal(km_read(map, 0, NULL, 1), KM_E_INVALID);
    assert_int_equal(km_write(map, 0, NULL, 1), KM_E_INVALID);
    assert_int_equal(km_read(NULL, 0, bytes, 1), KM_E_INVALID);
    assert_int_equal(km_write(NULL, 0, bytes, 1), KM_E_INVALID);
    km_close(map);
}

static void nothing_is_read_and_written_anywhere(void **state) {
    (void)state;
    scratch_file("zero", 100, 5);
    km_map *map = open_map("zero", &(km_options){.access = KM_WRITE});
    assert_int_equal(km_read(map, 0, NULL, 0), KM_OK);
    assert_int_equal(km_read(map, 100, NULL, 0), KM_OK);
    assert_int_equal(km_write(map, 100, NULL, 0), KM_OK);
    assert_int_equal(km_resize(map, 0), KM_OK);
    assert_int_equal(km_read(map, 0, NULL, 0), KM_OK);
    assert_int_equal(km_write(map, 0, NULL, 0), KM_OK);
    km_close(map);
}

#if !defined(_WIN32)
/* By a program that knows nothing of keepmap. Windows lets nobody cut a file that is mapped. */
static void a_file_cut_short_is_an_error_and_no_signal(void **state) {
    (void)state;
    static unsigned char bytes[100000];
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        scratch_file("cut", 100000, 6);
        km_map *map = open_map("cut", &(km_options){.access = (km_access)access});
        assert_int_equal(truncate("cut", 10000), 0);
        assert_int_equal(km_read(map, 0, bytes, 10000), KM_OK);
        for (size_t i = 0; i < 10000; i++) {
            assert_int_equal(bytes[i], scratch_byte(i, 6));
        }
        assert_int_equal(km_read(map, 50000, bytes, 1), KM_E_TRUNCATED);
        assert_non_null(strstr(km_error_message(), "the file has only 10000 bytes"));
        assert_int_equal(km_read(map, 0, bytes, 100000), KM_E_TRUNCATED);
        /* In the last page no load would notice: memory reads as zeros there. */
        assert_int_equal(km_read(map, 9999, bytes, 2), KM_E_TRUNCATED);
        assert_int_equal(km_read(map, 10000, bytes, 1), KM_E_TRUNCATED);
        if (access != KM_READ) {
            assert_int_equal(km_write(map, 9999, "x", 1), KM_OK);
            assert_int_equal(km_write(map, 9999, "xy", 2), KM_E_TRUNCATED);
            assert_int_equal(km_write(map, 99999, "x", 1), KM_E_TRUNCATED);
            assert_int_equal(scratch_size("cut"), 10000);
        }
        km_close(map);
    }
}

static void a_file_that_is_long_enough_again_is_readable_again(void **state) {
    (void)state;
    char byte = 'x';
    scratch_file("again", 100000, 7);
    km_map *map = open_map("again", NULL);
    assert_int_equal(truncate("again", 0), 0);
    assert_int_equal(km_read(map, 0, &byte, 1), KM_E_TRUNCATED);
    assert_int_equal(truncate("again", 100000), 0);
    assert_int_equal(km_read(map, 99999, &byte, 1), KM_OK);
    assert_int_equal(byte, 0);
    km_close(map);
}

static void windows_look_at_their_own_end(void **state) {
    (void)state;
    char bytes[10];
    scratch_file("windows", 200000, 8);
    km_map *map = open_map("windows", NULL);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 70001, 100), KM_OK);
    assert_int_equal(truncate("windows", 70006), 0);
    assert_int_equal(km_read(window, 0, bytes, 5), KM_OK);
    assert_int_equal(km_read(window, 0, bytes, 6), KM_E_TRUNCATED);
    km_close(window);
    km_close(map);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_the_map_shows),
        cmocka_unit_test(what_is_written_is_what_the_map_shows),
        cmocka_unit_test(a_reading_map_is_not_written),
        cmocka_unit_test(a_range_outside_the_map_is_invalid),
        cmocka_unit_test(nothing_is_read_and_written_anywhere),
#if !defined(_WIN32)
        cmocka_unit_test(a_file_cut_short_is_an_error_and_no_signal),
        cmocka_unit_test(a_file_that_is_long_enough_again_is_readable_again),
        cmocka_unit_test(windows_look_at_their_own_end),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
