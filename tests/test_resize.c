/*
 * test_resize.c - files that grow and shrink under their map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/child.h"
#include "support/scratch.h"

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    km_status status = km_open(&map, path, options);
    if (status != KM_OK) {
        print_error("%s\n", km_error_message());
    }
    assert_int_equal(status, KM_OK);
    return map;
}

/* Resizes; then map and file have that size, the old bytes are there and the new ones are zero. */
static void resize(km_map *map, const char *path, uint64_t size, uint64_t kept, unsigned seed) {
    km_status status = km_resize(map, size);
    if (status != KM_OK) {
        print_error("%s\n", km_error_message());
    }
    assert_int_equal(status, KM_OK);
    assert_int_equal(km_size(map), size);
    assert_int_equal(scratch_size(path), size);
    assert_int_equal(km_data(map) == NULL, size == 0);
    for (uint64_t i = 0; i < size; i++) {
        assert_int_equal(((unsigned char *)km_data(map))[i], i < kept ? scratch_byte(i, seed) : 0);
    }
}

/* Refused, and map and file are as they were. */
static void assert_refused(km_status expected, km_map *map, const char *path, uint64_t size) {
    void *data = km_data(map);
    uint64_t old_size = km_size(map);
    int64_t file_size = scratch_size(path);
    assert_int_equal(km_resize(map, size), expected);
    assert_ptr_equal(km_data(map), data);
    assert_int_equal(km_size(map), old_size);
    assert_int_equal(scratch_size(path), file_size);
}

static void a_map_grows_and_shrinks(void **state) {
    (void)state;
    scratch_file("both", 5000, 1);
    km_map *map = open_map("both", &(km_options){.access = KM_WRITE});
    resize(map, "both", 5001, 5000, 1);
    resize(map, "both", 200000, 5000, 1);
    resize(map, "both", 200000, 5000, 1);
    resize(map, "both", 4999, 4999, 1);
    resize(map, "both", 5000, 4999, 1); /* what was cut comes back as zeros */
    resize(map, "both", 1, 1, 1);
    resize(map, "both", 70000, 1, 1);
    km_close(map);
    assert_int_equal(scratch_size("both"), 70000);
}

static void a_map_comes_from_nothing_and_goes_back(void **state) {
    (void)state;
    const uint64_t reserves[] = {0, 1 << 20};
    for (size_t i = 0; i < 2; i++) {
        scratch_write("nothing", "", 0);
        km_map *map =
            open_map("nothing", &(km_options){.access = KM_WRITE, .reserve = reserves[i]});
        resize(map, "nothing", 0, 0, 0);
        resize(map, "nothing", 100000, 0, 0);
        resize(map, "nothing", 0, 0, 0);
        resize(map, "nothing", 1, 0, 0);
        assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
        resize(map, "nothing", 0, 0, 0);
        assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
        km_close(map);
    }
}

static void within_its_reserve_a_map_never_moves(void **state) {
    (void)state;
    scratch_file("reserve", 5000, 2);
    km_map *map = open_map("reserve", &(km_options){.access = KM_WRITE, .reserve = 10 << 20});
    void *const data = km_data(map);
    const uint64_t sizes[] = {5001, 65536, 65537, 1 << 20, 10 << 20, 100000, 5001, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        resize(map, "reserve", sizes[i], 5000, 2);
        assert_ptr_equal(km_data(map), data);
    }
    assert_int_equal(km_resize(map, 0), KM_OK);
    resize(map, "reserve", 1 << 20, 0, 2);
    assert_ptr_equal(km_data(map), data);
    km_close(map);
}

static void beyond_its_reserve_a_map_still_grows(void **state) {
    (void)state;
    scratch_file("beyond", 5000, 3);
    km_map *map = open_map("beyond", &(km_options){.access = KM_WRITE, .reserve = 100000});
    resize(map, "beyond", 1 << 20, 5000, 3);
    resize(map, "beyond", 3 << 20, 5000, 3);
    resize(map, "beyond", 70000, 5000, 3);
    km_close(map);
}

static void a_file_larger_than_the_reserve_opens(void **state) {
    (void)state;
    scratch_file("larger", 300000, 4);
    km_map *map = open_map("larger", &(km_options){.access = KM_WRITE, .reserve = 1});
    assert_int_equal(km_size(map), 300000);
    void *const data = km_data(map);
    resize(map, "larger", 100, 100, 4);
    assert_ptr_equal(km_data(map), data);
    km_close(map);
}

static void shrinking_does_not_move_the_map(void **state) {
    (void)state;
    scratch_file("stays", 300000, 5);
    km_map *map = open_map("stays", &(km_options){.access = KM_WRITE});
    void *const data = km_data(map);
    resize(map, "stays", 100000, 100000, 5);
    assert_ptr_equal(km_data(map), data);
    km_close(map);
}

static void stores_survive_a_move(void **state) {
    (void)state;
    scratch_write("survive", "0123456789", 10);
    km_map *map = open_map("survive", &(km_options){.access = KM_WRITE});
    memcpy(km_data(map), "abcde", 5);
    assert_int_equal(km_resize(map, 1 << 20), KM_OK);
    assert_memory_equal(km_data(map), "abcde56789", 10);
    memcpy((char *)km_data(map) + (1 << 20) - 3, "end", 3);
    assert_int_equal(km_close(map), KM_OK);
    map = open_map("survive", NULL);
    assert_memory_equal(km_data(map), "abcde56789", 10);
    assert_memory_equal((char *)km_data(map) + (1 << 20) - 3, "end", 3);
    km_close(map);
}

static void a_sparse_map_grows_without_taking_disk(void **state) {
    (void)state;
    km_map *map = open_map(
        "sparse",
        &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_SPARSE, .size = 10});
    assert_int_equal(km_resize(map, 8 << 20), KM_OK);
    km_size_report report = {0};
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_true(report.allocated < 1 << 20);
    km_close(map);
}

static void only_whole_writing_maps_resize(void **state) {
    (void)state;
    scratch_file("only", 1000, 6);
    km_map *map = open_map("only", NULL);
    assert_refused(KM_E_UNSUPPORTED, map, "only", 2000);
    km_close(map);
    map = open_map("only", &(km_options){.access = KM_PRIVATE});
    assert_refused(KM_E_UNSUPPORTED, map, "only", 2000);
    km_close(map);
    map = open_map("only", &(km_options){.access = KM_WRITE, .length = 1000});
    assert_refused(KM_E_UNSUPPORTED, map, "only", 2000);
    km_close(map);
    map = open_map("only", &(km_options){.access = KM_WRITE});
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_refused(KM_E_UNSUPPORTED, window, "only", 2000);
    km_close(window);
    km_close(map);
    assert_int_equal(km_resize(NULL, 1), KM_E_INVALID);
}

static void a_window_of_one_s_own_stops_shrinking_but_not_growing(void **state) {
    (void)state;
    const uint64_t reserves[] = {0, 1 << 20};
    for (size_t i = 0; i < 2; i++) {
        scratch_file("window", 100000, 7);
        km_map *map = open_map("window", &(km_options){.access = KM_WRITE, .reserve = reserves[i]});
        km_map *window = NULL;
        assert_int_equal(km_window(&window, map, 50000, 100), KM_OK);
        assert_refused(KM_E_BUSY, map, "window", 99999);
        assert_non_null(strstr(km_error_message(), "mapped"));
        assert_refused(KM_E_BUSY, map, "window", 0);
        assert_int_equal(*(unsigned char *)km_data(map), scratch_byte(0, 7));
        resize(map, "window", 200000, 100000, 7);
        assert_int_equal(*(unsigned char *)km_data(window), scratch_byte(50000, 7));
        km_close(window);
        resize(map, "window", 99999, 99999, 7);
        km_close(map);
    }
}

static int hold_mapped(int argc, char **argv) {
    km_map *map = NULL;
    char line[64];
    if (argc != 2 || km_open(&map, argv[1], NULL) != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    child_say("mapped");
    child_hear(line, sizeof line);
    km_close(map);
    return 0;
}

static void another_process_s_map_stops_shrinking_until_it_dies(void **state) {
    (void)state;
    scratch_file("elsewhere", 100000, 8);
    km_map *map = open_map("elsewhere", &(km_options){.access = KM_WRITE});
    child *holder = child_start("hold_mapped", "elsewhere", NULL);
    child_expect(holder, "mapped");
    assert_refused(KM_E_BUSY, map, "elsewhere", 1000);
    assert_int_equal(km_system_error(), ERROR_USER_MAPPED_FILE);
    child_kill(holder);
    resize(map, "elsewhere", 1000, 1000, 8);
    km_close(map);
}

static void sizes_beyond_the_machine_leave_the_map_as_it_was(void **state) {
    (void)state;
    const uint64_t reserves[] = {0, 1 << 20};
    for (int sparse = 0; sparse < 2; sparse++) {
        for (size_t i = 0; i < 2; i++) {
            scratch_file("huge", 5000, 9);
            km_map *map = open_map("huge", &(km_options){.access = KM_WRITE,
                                                         .flags = sparse ? KM_OPEN_SPARSE : 0,
                                                         .reserve = reserves[i]});
            assert_refused(KM_E_TOO_LARGE, map, "huge", (uint64_t)1 << 63);
            assert_refused(KM_E_TOO_LARGE, map, "huge", UINT64_MAX);
            void *data = km_data(map);
            km_status status = km_resize(map, ((uint64_t)1 << 63) - 4096);
            assert_true(status == KM_E_TOO_LARGE || status == KM_E_NO_SPACE ||
                        status == KM_E_NO_MEMORY);
            assert_ptr_equal(km_data(map), data);
            assert_int_equal(km_size(map), 5000);
            assert_int_equal(scratch_size("huge"), 5000);
            resize(map, "huge", 6000, 5000, 9);
            km_close(map);
        }
    }
}

/* What km_fits knows beforehand, growing says too. On Windows it knows only what it can ask. */
static void a_size_that_no_file_can_have_is_too_large_and_no_full_disk(void **state) {
    (void)state;
    const uint64_t sizes[] = {(uint64_t)1 << 45, (uint64_t)1 << 62, INT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        km_size_report report = {0};
        km_status fits = km_fits("beyond all", sizes[i], &report);
        if (fits != KM_E_TOO_LARGE || (report.findings & KM_SIZE_TOO_LARGE) == 0) {
            continue;
        }
        scratch_file("beyond all", 5000, 12);
        for (uint32_t flags = 0; flags <= KM_OPEN_SPARSE; flags += KM_OPEN_SPARSE) {
            km_options options = {.access = KM_WRITE, .flags = flags};
            km_map *map = open_map("beyond all", &options);
            assert_refused(KM_E_TOO_LARGE, map, "beyond all", sizes[i]);
            km_close(map);
            map = NULL;
            options.size = sizes[i];
            assert_int_equal(km_open(&map, "beyond all", &options), KM_E_TOO_LARGE);
            options.flags |= KM_OPEN_NEW;
            assert_int_equal(km_open(&map, "never made", &options), KM_E_TOO_LARGE);
            assert_null(map);
            assert_int_equal(scratch_size("beyond all"), 5000);
            assert_int_equal(scratch_size("never made"), -1);
        }
        scratch_remove("beyond all");
    }
}

static void a_map_follows_a_file_that_others_have_grown(void **state) {
    (void)state;
    scratch_file("follows", 1000, 10);
    km_map *map = open_map("follows", &(km_options){.access = KM_WRITE});
    km_close(open_map("follows", &(km_options){.access = KM_WRITE, .size = 50000}));
    assert_int_equal(km_size(map), 1000);
    resize(map, "follows", 50000, 1000, 10);
    km_close(open_map("follows", &(km_options){.access = KM_WRITE, .size = 90000}));
    resize(map, "follows", 60000, 1000, 10);
    km_close(map);
}

static void an_exact_size_moves_with_the_resize(void **state) {
    (void)state;
    scratch_file("moves", 1000, 11);
    km_map *map =
        open_map("moves", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_EXACT, .size = 1000});
    assert_int_equal(km_check(map, NULL), KM_OK);
    resize(map, "moves", 2000, 1000, 11);
    assert_int_equal(km_check(map, NULL), KM_OK);
    resize(map, "moves", 500, 500, 11);
    assert_int_equal(km_check(map, NULL), KM_OK);
    km_close(map);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold_mapped", hold_mapped}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_grows_and_shrinks),
        cmocka_unit_test(a_map_comes_from_nothing_and_goes_back),
        cmocka_unit_test(within_its_reserve_a_map_never_moves),
        cmocka_unit_test(beyond_its_reserve_a_map_still_grows),
        cmocka_unit_test(a_file_larger_than_the_reserve_opens),
        cmocka_unit_test(shrinking_does_not_move_the_map),
        cmocka_unit_test(stores_survive_a_move),
        cmocka_unit_test(a_sparse_map_grows_without_taking_disk),
        cmocka_unit_test(only_whole_writing_maps_resize),
        cmocka_unit_test(a_window_of_one_s_own_stops_shrinking_but_not_growing),
        cmocka_unit_test(another_process_s_map_stops_shrinking_until_it_dies),
        cmocka_unit_test(sizes_beyond_the_machine_leave_the_map_as_it_was),
        cmocka_unit_test(a_size_that_no_file_can_have_is_too_large_and_no_full_disk),
        cmocka_unit_test(a_map_follows_a_file_that_others_have_grown),
        cmocka_unit_test(an_exact_size_moves_with_the_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
