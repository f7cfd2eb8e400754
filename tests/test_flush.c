/*
 * test_flush.c - km_flush: what it takes, what it refuses, and what a failed one means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "map.h"
#include "support/scratch.h"

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, options), KM_OK);
    return map;
}

static const km_flush_mode modes[] = {KM_FLUSH_DURABLE, KM_FLUSH_START};

static void any_range_of_a_writing_map_flushes(void **state) {
    (void)state;
    scratch_file("ranges", 200000, 1);
    km_map *map = open_map("ranges", &(km_options){.access = KM_WRITE});
    static const struct {
        uint64_t offset, length;
    } rows[] = {{0, 0},          {0, 200000}, {0, 1},    {199999, 1}, {200000, 0},
                {100000, 99999}, {65536, 0},  {4095, 2}, {0, 65536}};
    for (size_t mode = 0; mode < 2; mode++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            memset(km_data(map), (int)i, 200000);
            assert_int_equal(km_flush(map, rows[i].offset, rows[i].length, modes[mode]), KM_OK);
        }
    }
    km_close(map);
}

static void what_was_flushed_is_what_the_file_has(void **state) {
    (void)state;
    scratch_file("has", 10, 2);
    km_map *map = open_map("has", &(km_options){.access = KM_WRITE});
    memcpy(km_data(map), "0123456789", 10);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_true(scratch_equals("has", "0123456789", 10));
    km_close(map);
}

static void a_window_flushes_its_part(void **state) {
    (void)state;
    scratch_file("part", 200000, 3);
    km_map *map = open_map("part", &(km_options){.access = KM_WRITE, .offset = 70001});
    memset(km_data(map), 'f', 100);
    assert_int_equal(km_flush(map, 50, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_int_equal(km_flush(map, 129999, 1, KM_FLUSH_DURABLE), KM_E_INVALID);
    km_close(map);
}

static void a_new_file_flushes_with_its_directory_entry(void **state) {
    (void)state;
    km_map *map =
        open_map("entry", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10});
    assert_true(map->file->entry_unsynced);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_START), KM_OK);
    assert_true(map->file->entry_unsynced); /* only a durable flush is one */
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_false(map->file->entry_unsynced);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    km_close(map);
    map = open_map("entry", &(km_options){.access = KM_WRITE});
    assert_false(map->file->entry_unsynced);
    km_close(map);
}

static void maps_whose_stores_go_to_no_file_have_nothing_to_flush(void **state) {
    (void)state;
    scratch_file("nothing", 1000, 4);
    const km_access accesses[] = {KM_READ, KM_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        km_map *map = open_map("nothing", &(km_options){.access = accesses[i]});
        for (size_t mode = 0; mode < 2; mode++) {
            assert_int_equal(km_flush(map, 0, 0, modes[mode]), KM_OK);
            assert_int_equal(km_flush(map, 1, 1000, modes[mode]), KM_E_INVALID);
        }
        km_close(map);
    }
}

static void an_empty_map_flushes(void **state) {
    (void)state;
    km_map *map = open_map("empty", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW});
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_START), KM_OK);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_int_equal(km_flush(map, 0, 1, KM_FLUSH_DURABLE), KM_E_INVALID);
    km_close(map);
}

static void ranges_and_modes_that_make_no_sense_are_refused(void **state) {
    (void)state;
    scratch_file("senseless", 1000, 5);
    km_map *map = open_map("senseless", &(km_options){.access = KM_WRITE});
    assert_int_equal(km_flush(map, 0, 1001, KM_FLUSH_START), KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "the map has 1000 bytes"));
    assert_int_equal(km_flush(map, 1001, 0, KM_FLUSH_START), KM_E_INVALID);
    assert_int_equal(km_flush(map, UINT64_MAX, 2, KM_FLUSH_START), KM_E_INVALID);
    assert_int_equal(km_flush(map, 2, UINT64_MAX, KM_FLUSH_START), KM_E_INVALID);
    assert_int_equal(km_flush(map, 0, 0, (km_flush_mode)2), KM_E_INVALID);
    assert_int_equal(km_flush(map, 0, 0, (km_flush_mode)-1), KM_E_INVALID);
    assert_int_equal(km_flush(NULL, 0, 0, KM_FLUSH_DURABLE), KM_E_INVALID);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK); /* none of it poisoned */
    km_close(map);
}

/* The sync is made to fail by taking the file's handle away for a moment. */
static void a_failed_sync_poisons_the_map_and_its_windows_for_good(void **state) {
    (void)state;
    scratch_file("poison", 1000, 6);
    km_map *map = open_map("poison", &(km_options){.access = KM_WRITE});
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 0, 10), KM_OK);
    HANDLE handle = map->file->handle;
    map->file->handle = NULL;
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_E_IO);
    assert_int_equal(km_system_error(), ERROR_INVALID_HANDLE);
    map->file->handle = handle;

    for (size_t mode = 0; mode < 2; mode++) {
        assert_int_equal(km_flush(map, 0, 0, modes[mode]), KM_E_IO);
        assert_int_equal(km_flush(window, 0, 0, modes[mode]), KM_E_IO);
    }
    assert_non_null(strstr(km_error_message(), "an earlier flush failed"));
    km_close(window);
    km_close(map);
    map = open_map("poison", &(km_options){.access = KM_WRITE});
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    km_close(map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_range_of_a_writing_map_flushes),
        cmocka_unit_test(what_was_flushed_is_what_the_file_has),
        cmocka_unit_test(a_window_flushes_its_part),
        cmocka_unit_test(a_new_file_flushes_with_its_directory_entry),
        cmocka_unit_test(maps_whose_stores_go_to_no_file_have_nothing_to_flush),
        cmocka_unit_test(an_empty_map_flushes),
        cmocka_unit_test(ranges_and_modes_that_make_no_sense_are_refused),
        cmocka_unit_test(a_failed_sync_poisons_the_map_and_its_windows_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
