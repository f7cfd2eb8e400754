/*
 * test_open.c - km_open of what exists or does not: options, sizes, kinds of files, sharing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/child.h"
#include "support/scratch.h"

/* Opening must fail with `expected`, leave the map alone and say a sentence with `words` in it. */
static void assert_refused(km_status expected, const char *path, const km_options *options,
                           const char *words) {
    km_map *const untouched = (km_map *)&untouched;
    km_map *map = untouched;
    km_status status = km_open(&map, path, options);
    if (status != expected) {
        print_error("%s and not %s: %s\n", km_strerror(status), km_strerror(expected),
                    km_error_message());
    }
    assert_int_equal(status, expected);
    assert_ptr_equal(map, untouched);
    if (strstr(km_error_message(), words) == NULL) {
        print_error("no \"%s\" in \"%s\"\n", words, km_error_message());
        fail();
    }
}

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    km_status status = km_open(&map, path, options);
    if (status != KM_OK) {
        print_error("%s\n", km_error_message());
    }
    assert_int_equal(status, KM_OK);
    assert_non_null(map);
    return map;
}

static void assert_shows_scratch(const km_map *map, uint64_t offset, unsigned seed) {
    const unsigned char *data = km_data(map);
    for (uint64_t i = 0; i < km_size(map); i++) {
        assert_int_equal(data[i], scratch_byte(offset + i, seed));
    }
}

/* ---- Access ---- */

static void null_options_map_the_whole_file_for_reading(void **state) {
    (void)state;
    scratch_file("null_options", 70000, 1);
    km_map *map = open_map("null_options", NULL);
    assert_int_equal(km_size(map), 70000);
    assert_string_equal(km_path(map), "null_options");
    assert_false(km_created(map));
    assert_shows_scratch(map, 0, 1);
    assert_int_equal(km_close(map), KM_OK);
}

static void stores_through_a_writing_map_are_in_the_file(void **state) {
    (void)state;
    scratch_file("stores", 5000, 2);
    km_map *map = open_map("stores", &(km_options){.access = KM_WRITE});
    memcpy((char *)km_data(map) + 4990, "0123456789", 10);
    assert_int_equal(km_close(map), KM_OK);
    map = open_map("stores", NULL);
    assert_memory_equal((char *)km_data(map) + 4990, "0123456789", 10);
    assert_int_equal(((unsigned char *)km_data(map))[4989], scratch_byte(4989, 2));
    km_close(map);
    assert_int_equal(scratch_size("stores"), 5000);
}

static void stores_through_a_private_map_are_nowhere_else(void **state) {
    (void)state;
    scratch_file("private", 9000, 3);
    km_map *map = open_map("private", &(km_options){.access = KM_PRIVATE});
    km_map *other = open_map("private", NULL);
    memset(km_data(map), 'P', 9000);
    assert_int_equal(((char *)km_data(map))[8999], 'P');
    assert_shows_scratch(other, 0, 3);
    km_close(other);
    km_close(map);
    map = open_map("private", NULL);
    assert_shows_scratch(map, 0, 3);
    km_close(map);
}

static void getters_and_close_take_null(void **state) {
    (void)state;
    assert_null(km_data(NULL));
    assert_int_equal(km_size(NULL), 0);
    assert_null(km_path(NULL));
    assert_false(km_created(NULL));
    assert_int_equal(km_close(NULL), KM_OK);
}

/* ---- Options ---- */

static void options_that_make_no_sense_are_refused(void **state) {
    (void)state;
    scratch_file("senseless", 100, 4);
    static const struct {
        km_options options;
        const char *words;
    } rows[] = {
        {{.access = (km_access)3}, "access"},
        {{.access = (km_access)-1}, "access"},
        {{.flags = 0x80}, "0x80"},
        {{.flags = 0x80000000u}, "0x80000000"},
        {{.flags = KM_OPEN_CREATE}, "KM_WRITE"},
        {{.access = KM_PRIVATE, .flags = KM_OPEN_NEW}, "KM_WRITE"},
        {{.reserve = 1 << 20}, "KM_WRITE"},
        {{.access = KM_PRIVATE, .reserve = 1 << 20}, "KM_WRITE"},
        {{.access = KM_WRITE, .reserve = 1 << 20, .length = 10}, "whole files"},
        {{.access = KM_WRITE, .reserve = 1 << 20, .offset = 10}, "whole files"},
        {{.flags = KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL}, "contradict"},
        {{.access = KM_WRITE, .flags = KM_OPEN_CREATE, .permissions = 010000}, "mode bits"},
        {{.struct_size = 3}, "struct_size 3"},
        {{.struct_size = sizeof(km_options) - 1}, "struct_size"},
        {{.struct_size = 0xCCCCCCCCu}, "struct_size"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(KM_E_INVALID, "senseless", &rows[i].options, rows[i].words);
    }
    assert_int_equal(km_open(NULL, "senseless", NULL), KM_E_INVALID);
}

static void options_of_their_own_size_are_taken(void **state) {
    (void)state;
    scratch_file("own_size", 100, 5);
    km_close(open_map("own_size", &(km_options){.struct_size = sizeof(km_options)}));
    struct {
        km_options options;
        uint64_t later;
    } later = {{.struct_size = sizeof later}, 0};
    km_close(open_map("own_size", &later.options));
    later.later = 1;
    assert_refused(KM_E_INVALID, "own_size", &later.options, "does not know");
}

static void hints_change_nothing_else(void **state) {
    (void)state;
    scratch_file("hints", 300000, 6);
    const uint32_t hints[] = {KM_OPEN_RANDOM, KM_OPEN_SEQUENTIAL};
    for (size_t i = 0; i < 2; i++) {
        for (int access = KM_READ; access <= KM_PRIVATE; access++) {
            km_map *map =
                open_map("hints", &(km_options){.access = (km_access)access, .flags = hints[i]});
            assert_shows_scratch(map, 0, 6);
            km_close(map);
        }
        km_map *map = open_map(
            "hints_new",
            &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW | hints[i], .size = 100000});
        assert_int_equal(km_size(map), 100000);
        km_close(map);
        scratch_remove("hints_new");
    }
}

/* ---- Paths and kinds of files ---- */

static void a_missing_file_is_not_found(void **state) {
    (void)state;
    size_t entries = scratch_entries();
    assert_refused(KM_E_NOT_FOUND, "missing", NULL, "\"missing\" for reading");
    assert_int_equal(km_system_error(), ERROR_FILE_NOT_FOUND);
    assert_refused(KM_E_NOT_FOUND, "missing", &(km_options){.access = KM_WRITE}, "for writing");
    assert_refused(KM_E_NOT_FOUND, "missing/below", NULL, "missing/below");
    assert_refused(KM_E_NOT_FOUND, "missing/below",
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10},
                   "missing/below");
    assert_int_equal(km_system_error(), ERROR_PATH_NOT_FOUND);
    assert_int_equal(scratch_entries(), entries);
}

static void paths_that_are_none_are_invalid(void **state) {
    (void)state;
    assert_refused(KM_E_INVALID, NULL, NULL, "NULL");
    assert_refused(KM_E_INVALID, "", NULL, "empty");
    assert_refused(KM_E_INVALID, "\xFF\xFE.dat", NULL, "UTF-8");
}

static void a_path_that_is_too_long_is_refused(void **state) {
    (void)state;
    static char path[5001];
    memset(path, 'e', sizeof path - 1);
#if defined(_WIN32)
    const km_status expected = KM_E_NOT_FOUND; /* Wine looks for it all the same */
#else
    const km_status expected = KM_E_INVALID;
#endif
    size_t entries = scratch_entries();
    assert_refused(expected, path, NULL, "eeee");
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 1};
    assert_int_not_equal(km_open(&map, path, &options), KM_OK);
    assert_int_equal(scratch_entries(), entries);
}

static void a_path_may_have_any_characters_of_unicode(void **state) {
    (void)state;
    static const char path[] = "b\xC3\xBC"
                               "cher-\xE6\x9B\xB8-\xF0\x9F\x93\x9A";
    km_map *map =
        open_map(path, &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10});
    assert_true(km_created(map));
    assert_string_equal(km_path(map), path);
    km_close(map);
    map = open_map(path, NULL);
    assert_int_equal(km_size(map), 10);
    km_close(map);
}

static void a_directory_is_refused_as_such(void **state) {
    (void)state;
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        assert_refused(KM_E_INVALID, ".", &(km_options){.access = (km_access)access},
                       "it is a directory");
    }
    assert_refused(KM_E_INVALID, ".",
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10},
                   "it is a directory");
    assert_refused(KM_E_EXISTS, ".",
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10}, "\".\"");
}

static void a_device_is_refused_as_such(void **state) {
    (void)state;
#if defined(_WIN32)
    const char *const device = "NUL";
#else
    const char *const device = "/dev/null";
#endif
    assert_refused(KM_E_INVALID, device, NULL, "device");
    assert_refused(KM_E_INVALID, device, &(km_options){.access = KM_WRITE, .size = 10}, "device");
    assert_refused(KM_E_INVALID, device,
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10},
                   "device");
}

/* ---- Sizes of files that exist ---- */

static void an_empty_file_opens_and_has_no_data(void **state) {
    (void)state;
    scratch_write("empty", "", 0);
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_map *map = open_map("empty", &(km_options){.access = (km_access)access});
        assert_int_equal(km_size(map), 0);
        assert_null(km_data(map));
        assert_int_equal(km_close(map), KM_OK);
    }
    km_close(open_map("empty", &(km_options){.flags = KM_OPEN_EXACT}));
}

static void a_file_too_small_grows_only_for_a_writer(void **state) {
    (void)state;
    scratch_file("small", 100, 7);
    assert_refused(KM_E_TRUNCATED, "small", &(km_options){.size = 101}, "it has 100");
    assert_refused(KM_E_TRUNCATED, "small", &(km_options){.access = KM_PRIVATE, .size = 70000},
                   "at least 70000");
    assert_int_equal(scratch_size("small"), 100);
    km_map *map = open_map("small", &(km_options){.access = KM_WRITE, .size = 70000});
    assert_int_equal(km_size(map), 70000);
    const unsigned char *data = km_data(map);
    for (size_t i = 0; i < 70000; i++) {
        assert_int_equal(data[i], i < 100 ? scratch_byte(i, 7) : 0);
    }
    assert_false(km_created(map));
    km_close(map);
    assert_int_equal(scratch_size("small"), 70000);
}

static void a_larger_file_stays_and_is_mapped_whole(void **state) {
    (void)state;
    scratch_file("larger", 5000, 8);
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_map *map = open_map("larger", &(km_options){.access = (km_access)access, .size = 4000});
        assert_int_equal(km_size(map), 5000);
        assert_shows_scratch(map, 0, 8);
        km_close(map);
    }
    assert_int_equal(scratch_size("larger"), 5000);
}

static void exact_means_exact(void **state) {
    (void)state;
    scratch_file("exact", 5000, 9);
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_options options = {.access = (km_access)access, .flags = KM_OPEN_EXACT, .size = 5000};
        km_close(open_map("exact", &options));
        options.size = 4999;
        assert_refused(KM_E_MISMATCH, "exact", &options, "it has 5000");
        options.size = 5001;
        assert_refused(KM_E_MISMATCH, "exact", &options, "exactly 5001");
        options.size = 0;
        assert_refused(KM_E_MISMATCH, "exact", &options, "exactly 0");
    }
    assert_int_equal(scratch_size("exact"), 5000);
}

static void a_sparse_file_grows_without_taking_disk(void **state) {
    (void)state;
    scratch_write("sparse", "x", 1);
    km_map *map = open_map(
        "sparse", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SPARSE, .size = 3 << 20});
    assert_int_equal(km_size(map), 3 << 20);
    assert_int_equal(*(char *)km_data(map), 'x');
    km_size_report report = {0};
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_true(report.allocated < 1 << 20);
    km_close(map);
}

static void sizes_beyond_any_file_are_too_large(void **state) {
    (void)state;
    scratch_write("beyond", "x", 1);
    size_t entries = scratch_entries();
    km_options options = {.access = KM_WRITE, .size = (uint64_t)1 << 63};
    assert_refused(KM_E_TOO_LARGE, "beyond", &options, "9223372036854775808");
    options.flags = KM_OPEN_NEW;
    assert_refused(KM_E_TOO_LARGE, "beyond_new", &options, "9223372036854775808");
    options.size = UINT64_MAX;
    assert_refused(KM_E_TOO_LARGE, "beyond_new", &options, "18446744073709551615");
    assert_int_equal(scratch_size("beyond"), 1);
    assert_int_equal(scratch_entries(), entries);
}

/* Which status depends on what gives out first: the file system, the disk or the address space. */
static void sizes_beyond_this_machine_leave_the_file_as_it_was(void **state) {
    (void)state;
    scratch_write("huge", "x", 1);
    size_t entries = scratch_entries();
    for (int sparse = 0; sparse < 2; sparse++) {
        km_options options = {.access = KM_WRITE,
                              .size = ((uint64_t)1 << 63) - 4096,
                              .flags = sparse ? KM_OPEN_SPARSE : 0};
        for (int is_new = 0; is_new < 2; is_new++) {
            km_map *map = NULL;
            options.flags |= is_new ? KM_OPEN_NEW : 0;
            km_status status = km_open(&map, is_new ? "huge_new" : "huge", &options);
            assert_true(status == KM_E_TOO_LARGE || status == KM_E_NO_SPACE ||
                        status == KM_E_NO_MEMORY);
            assert_null(map);
        }
    }
    assert_int_equal(scratch_size("huge"), 1);
    assert_int_equal(scratch_entries(), entries);
}

static void address_space_that_cannot_be_reserved_leaves_the_file_as_it_was(void **state) {
    (void)state;
    scratch_write("reserve_all", "x", 1);
    size_t entries = scratch_entries();
    km_options options = {.access = KM_WRITE, .size = 4096, .reserve = (uint64_t)1 << 62};
    assert_refused(KM_E_NO_MEMORY, "reserve_all", &options, "reserve");
    options.flags = KM_OPEN_NEW;
    assert_refused(KM_E_NO_MEMORY, "reserve_all_new", &options, "reserve");
    options.reserve = UINT64_MAX;
    assert_refused(KM_E_NO_MEMORY, "reserve_all_new", &options, "reserve");
    assert_int_equal(scratch_size("reserve_all"), 1);
    assert_int_equal(scratch_entries(), entries);
}

/* ---- Parts of a file ---- */

static void a_part_at_any_offset_is_mapped(void **state) {
    (void)state;
    scratch_file("part", 200000, 10);
    const uint64_t offsets[] = {0, 1, 4096, 65535, 65536, 65537, 131072, 199999, 200000};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (int access = KM_READ; access <= KM_PRIVATE; access++) {
            km_options options = {.access = (km_access)access, .offset = offsets[i]};
            km_map *map = open_map("part", &options);
            assert_int_equal(km_size(map), 200000 - offsets[i]);
            assert_shows_scratch(map, offsets[i], 10);
            km_close(map);
        }
    }
    km_map *map = open_map("part", &(km_options){.offset = 70001, .length = 77});
    assert_int_equal(km_size(map), 77);
    assert_shows_scratch(map, 70001, 10);
    km_close(map);
}

static void a_part_past_the_end_is_truncated_and_grows_nothing(void **state) {
    (void)state;
    scratch_file("past", 1000, 11);
    size_t entries = scratch_entries();
    static const struct {
        uint64_t offset, length;
    } rows[] = {{1001, 0}, {1000, 1}, {0, 1001}, {UINT64_MAX, 0}, {1, UINT64_MAX}, {1ull << 63, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_options options = {
            .access = KM_WRITE, .size = 999, .offset = rows[i].offset, .length = rows[i].length};
        assert_refused(KM_E_TRUNCATED, "past", &options, "the file has 1000");
        options.flags = KM_OPEN_CREATE;
        assert_refused(KM_E_TRUNCATED, "past_new", &options, "the file has 999");
    }
    /* Growing to `size` would not be enough: so it does not. */
    assert_refused(KM_E_TRUNCATED, "past",
                   &(km_options){.access = KM_WRITE, .size = 2000, .offset = 2001}, "2000");
    assert_int_equal(scratch_size("past"), 1000);
    assert_int_equal(scratch_entries(), entries);
    km_map *map = open_map(
        "past", &(km_options){.access = KM_WRITE, .size = 2000, .offset = 1999, .length = 1});
    assert_int_equal(km_size(map), 1);
    km_close(map);
    assert_int_equal(scratch_size("past"), 2000);
}

/* ---- Sharing ---- */

static void sole_keeps_everybody_out_and_wants_nobody_in(void **state) {
    (void)state;
    scratch_file("sole", 100, 12);
    km_map *map = open_map("sole", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SOLE});
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_options options = {.access = (km_access)access};
        assert_refused(KM_E_BUSY, "sole", &options, "\"sole\"");
    }
    km_close(map);
    map = open_map("sole", NULL);
    assert_refused(KM_E_BUSY, "sole", &(km_options){.flags = KM_OPEN_SOLE}, "\"sole\"");
    assert_int_equal(km_system_error(), ERROR_SHARING_VIOLATION);
    km_close(map);
}

static int hold_sole(int argc, char **argv) {
    km_map *map = NULL;
    char line[64];
    if (argc != 2 ||
        km_open(&map, argv[1], &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SOLE}) != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    child_say("holding");
    child_hear(line, sizeof line);
    km_close(map);
    return 0;
}

static void sole_holds_between_processes_until_death(void **state) {
    (void)state;
    scratch_file("sole_there", 100, 13);
    child *holder = child_start("hold_sole", "sole_there", NULL);
    child_expect(holder, "holding");
    assert_refused(KM_E_BUSY, "sole_there", NULL, "\"sole_there\"");
    child_kill(holder);
    km_close(open_map("sole_there", NULL));

    holder = child_start("hold_sole", "sole_there", NULL);
    child_expect(holder, "holding");
    assert_refused(KM_E_BUSY, "sole_there", NULL, "\"sole_there\"");
    assert_int_equal(child_finish(holder), 0);
    km_close(open_map("sole_there", NULL));
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold_sole", hold_sole}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_options_map_the_whole_file_for_reading),
        cmocka_unit_test(stores_through_a_writing_map_are_in_the_file),
        cmocka_unit_test(stores_through_a_private_map_are_nowhere_else),
        cmocka_unit_test(getters_and_close_take_null),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(options_of_their_own_size_are_taken),
        cmocka_unit_test(hints_change_nothing_else),
        cmocka_unit_test(a_missing_file_is_not_found),
        cmocka_unit_test(paths_that_are_none_are_invalid),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
        cmocka_unit_test(a_path_may_have_any_characters_of_unicode),
        cmocka_unit_test(a_directory_is_refused_as_such),
        cmocka_unit_test(a_device_is_refused_as_such),
        cmocka_unit_test(an_empty_file_opens_and_has_no_data),
        cmocka_unit_test(a_file_too_small_grows_only_for_a_writer),
        cmocka_unit_test(a_larger_file_stays_and_is_mapped_whole),
        cmocka_unit_test(exact_means_exact),
        cmocka_unit_test(a_sparse_file_grows_without_taking_disk),
        cmocka_unit_test(sizes_beyond_any_file_are_too_large),
        cmocka_unit_test(sizes_beyond_this_machine_leave_the_file_as_it_was),
        cmocka_unit_test(address_space_that_cannot_be_reserved_leaves_the_file_as_it_was),
        cmocka_unit_test(a_part_at_any_offset_is_mapped),
        cmocka_unit_test(a_part_past_the_end_is_truncated_and_grows_nothing),
        cmocka_unit_test(sole_keeps_everybody_out_and_wants_nobody_in),
        cmocka_unit_test(sole_holds_between_processes_until_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
