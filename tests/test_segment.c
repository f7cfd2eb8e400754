/*
 * test_segment.c - km_segment in one process: names, sizes, types and options.
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

#include "support/scratch.h"
#include "support/unique.h"

#define PAGE 4096u

static km_map *make(const char *name, uint64_t size) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = size};
    if (km_segment(&map, name, &options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

static km_map *open_segment(const char *name, km_access access) {
    km_map *map = NULL;
    if (km_segment(&map, name, &(km_options){.access = access}) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

/* Fails with `status`, and leaves the map alone; the sentence contains `words`. */
static void refused(const char *name, const km_options *options, km_status status,
                    const char *words) {
    km_map *map = (km_map *)&map;
    const km_status got = km_segment(&map, name, options);
    if (got != status || strstr(km_error_message(), words) == NULL) {
        fail_msg("%s instead of %s: %s", km_strerror(got), km_strerror(status), km_error_message());
    }
    assert_ptr_equal(map, &map);
}

static bool is_there(const char *name) {
    km_map *map = NULL;
    km_status status = km_segment(&map, name, NULL);
    km_close(map);
    if (status != KM_OK) {
        assert_int_equal(status, KM_E_NOT_FOUND);
    }
    return status == KM_OK;
}

/* ---- Making, opening, going ---- */

static void a_new_segment_has_exactly_its_size_in_zeros(void **state) {
    (void)state;
    const uint64_t sizes[] = {1, PAGE - 128, PAGE - 127, PAGE, 65536 - 1, 65536 - 128, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *name = unique_name("size");
        km_map *map = make(name, sizes[i]);
        const unsigned char *bytes = km_data(map);
        assert_int_equal(km_size(map), sizes[i]);
        assert_true(km_created(map));
        assert_string_equal(km_path(map), name);
        for (uint64_t at = 0; at < sizes[i]; at++) {
            assert_int_equal(bytes[at], 0);
        }
        km_map *other = open_segment(name, KM_READ);
        assert_int_equal(km_size(other), sizes[i]);
        assert_false(km_created(other));
        km_close(other);
        km_close(map);
    }
}

static void maps_of_one_name_show_the_same_bytes(void **state) {
    (void)state;
    const char *name = unique_name("same");
    km_map *one = make(name, 100000);
    km_map *reader = open_segment(name, KM_READ);
    km_map *writer = open_segment(name, KM_WRITE);
    memcpy(km_data(one), "from one", sizeof "from one");
    assert_string_equal(km_data(reader), "from one");
    memcpy((char *)km_data(writer) + 99000, "from writer", sizeof "from writer");
    assert_string_equal((char *)km_data(one) + 99000, "from writer");
    km_close(writer);
    km_close(reader);
    km_close(one);
}

static void private_stores_stay_private(void **state) {
    (void)state;
    const char *name = unique_name("private");
    km_map *map = make(name, 5000);
    km_map *copy = open_segment(name, KM_PRIVATE);
    memcpy(km_data(map), "original", sizeof "original");
    assert_string_equal(km_data(copy), "original");
    memcpy(km_data(copy), "scribble", sizeof "scribble");
    assert_string_equal(km_data(map), "original");
    assert_string_equal(km_data(copy), "scribble");
    km_close(copy);
    km_close(map);
}

static void a_segment_goes_with_its_last_map(void **state) {
    (void)state;
    const char *name = unique_name("last");
    assert_false(is_there(name));
    km_map *one = make(name, 100);
    km_map *other = open_segment(name, KM_READ);
    memcpy(km_data(one), "old", sizeof "old");
    km_close(one);
    assert_true(is_there(name));
    km_close(other);
    assert_false(is_there(name));
    km_map *again = make(name, 100);
    assert_string_equal(km_data(again), "");
    km_close(again);
}

static void a_window_keeps_its_segment(void **state) {
    (void)state;
    const char *name = unique_name("window");
    km_map *map = make(name, 200000);
    km_map *window = NULL;
    memcpy((char *)km_data(map) + 70001, "seen through a window", sizeof "seen through a window");
    assert_int_equal(km_window(&window, map, 70001, 100), KM_OK);
    assert_int_equal(km_window(&window, map, 199999, 2), KM_E_TRUNCATED);
    km_close(map);
    assert_true(is_there(name));
    assert_int_equal(km_size(window), 100);
    assert_string_equal(km_data(window), "seen through a window");
    km_map *second = NULL;
    assert_int_equal(km_window(&second, window, 70006, 0), KM_OK);
    assert_int_equal(km_size(second), 200000 - 70006);
    assert_string_equal(km_data(second), "through a window");
    km_close(second);
    km_close(window);
    assert_false(is_there(name));
}

static void the_first_create_makes_and_the_second_opens(void **state) {
    (void)state;
    const char *name = unique_name("create");
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 300};
    km_map *first = NULL;
    km_map *second = NULL;
    assert_int_equal(km_segment(&first, name, &options), KM_OK);
    memcpy(km_data(first), "kept", sizeof "kept");
    assert_int_equal(km_segment(&second, name, &options), KM_OK);
    assert_true(km_created(first));
    assert_false(km_created(second));
    assert_string_equal(km_data(second), "kept");
    km_close(first);
    km_close(second);
}

static void a_new_one_must_not_be_there_and_an_opened_one_must(void **state) {
    (void)state;
    const char *name = unique_name("new");
    refused(name, NULL, KM_E_NOT_FOUND, name);
    km_map *map = make(name, 100);
    refused(name, &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100}, KM_E_EXISTS,
            name);
    refused(name,
            &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_CREATE, .size = 100},
            KM_E_EXISTS, name);
    km_close(map);
}

/* ---- Names ---- */

static void names_are_told_apart_by_case(void **state) {
    (void)state;
    km_map *lower = make(unique_name("case"), 100);
    assert_false(is_there(unique_name("CASE")));
    km_map *upper = make(unique_name("CASE"), 100);
    km_close(lower);
    km_close(upper);
}

static void any_utf8_without_a_backslash_is_a_name(void **state) {
    (void)state;
    const char *const parts[] = {"a/b", "*?:", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", " ",
                                 "Global"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *name = unique_name(parts[i]);
        km_map *map = make(name, 100);
        assert_true(is_there(name));
        assert_string_equal(km_path(map), name);
        km_close(map);
    }
}

static void a_name_has_at_most_240_units(void **state) {
    (void)state;
    char name[3 * 242];
    memset(name, 'n', sizeof name);
    memcpy(name, unique_name("long"), strlen(unique_name("long")));
    name[240] = '\0';
    km_map *map = make(name, 100);
    assert_true(is_there(name));
    km_close(map);
    name[240] = 'n';
    name[241] = '\0';
    refused(name, NULL, KM_E_INVALID, "240 units");
    name[240] = '\0';
    km_map *wide = NULL;
    const km_options machine_wide = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, .size = 100};
    assert_int_equal(km_segment(&wide, name, &machine_wide), KM_OK);
    km_close(wide);
}

static void what_is_no_name_is_refused(void **state) {
    (void)state;
    refused("", NULL, KM_E_INVALID, "empty");
    refused("a\\b", NULL, KM_E_INVALID, "backslash");
    refused("Local\\a", NULL, KM_E_INVALID, "backslash");
    refused("mine.keepmap", NULL, KM_E_INVALID, ".keepmap");
    refused("\xFF\xFE", NULL, KM_E_INVALID, "UTF-8");
}

static void machine_wide_names_are_others(void **state) {
    (void)state;
    const char *name = unique_name("wide");
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, .size = 100};
    km_map *wide = NULL;
    assert_int_equal(km_segment(&wide, name, &options), KM_OK);
    assert_false(is_there(name));
    km_map *mine = make(name, 200);
    memcpy(km_data(wide), "wide", sizeof "wide");
    HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, unique_object("Global\\", name, ""));
    assert_non_null(section);
    const char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_string_equal(view, "wide");
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    km_close(mine);
    km_close(wide);
}

static void a_name_of_another_kind_is_refused(void **state) {
    (void)state;
    const char *name = unique_name("kind");
    HANDLE mutex = CreateMutexA(NULL, FALSE, unique_object("Local\\", name, ""));
    assert_non_null(mutex);
    refused(name, NULL, KM_E_INVALID, "another kind");
    refused(name, &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100},
            KM_E_INVALID, "another kind");
    assert_true(CloseHandle(mutex));
    assert_false(is_there(name));
}

/* ---- Sizes and types ---- */

static void the_size_asked_for_is_compared_with_the_makers(void **state) {
    (void)state;
    const char *name = unique_name("asked");
    km_map *map = make(name, 1000);
    km_map *other = NULL;
    assert_int_equal(km_segment(&other, name, &(km_options){.size = 1000}), KM_OK);
    km_close(other);
    assert_int_equal(km_segment(&other, name, &(km_options){.size = 10}), KM_OK);
    assert_int_equal(km_size(other), 1000);
    km_close(other);
    assert_int_equal(km_segment(&other, name, &(km_options){.size = 1000, .flags = KM_OPEN_EXACT}),
                     KM_OK);
    km_close(other);
    refused(name, &(km_options){.access = KM_WRITE, .size = 1001}, KM_E_TRUNCATED, "it has 1000");
    refused(name, &(km_options){.size = 1001}, KM_E_TRUNCATED, "1001");
    refused(name, &(km_options){.size = 999, .flags = KM_OPEN_EXACT}, KM_E_MISMATCH, "it has 1000");
    refused(
        name,
        &(km_options){.access = KM_WRITE, .size = 2000, .flags = KM_OPEN_CREATE | KM_OPEN_EXACT},
        KM_E_MISMATCH, "2000");
    km_close(map);
}

static void parts_are_mapped_at_any_offset(void **state) {
    (void)state;
    const char *name = unique_name("part");
    km_map *map = make(name, 200000);
    km_map *part = NULL;
    memcpy((char *)km_data(map) + 131, "here", sizeof "here");
    assert_int_equal(km_segment(&part, name, &(km_options){.offset = 131, .length = 5}), KM_OK);
    assert_int_equal(km_size(part), 5);
    assert_string_equal(km_data(part), "here");
    km_close(part);
    refused(name, &(km_options){.offset = 199999, .length = 2}, KM_E_TRUNCATED, "200000");
    km_close(map);
}

static void a_wrong_type_is_told_with_both(void **state) {
    (void)state;
    const char *name = unique_name("type");
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_CREATE,
                          .size = 100,
                          .type = "ticker",
                          .type_version = 3};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    refused(name, &(km_options){.type = "clock", .type_version = 3}, KM_E_MISMATCH,
            "as \"clock\" version 3: it is \"ticker\" version 3");
    refused(name, &(km_options){.type = "ticker", .type_version = 4}, KM_E_MISMATCH,
            "as \"ticker\" version 4: it is \"ticker\" version 3");
    km_map *other = NULL;
    assert_int_equal(km_segment(&other, name, &options), KM_OK);
    km_close(other);
    other = open_segment(name, KM_READ); /* which asks for none */
    km_close(other);
    km_close(map);
}

static void a_segment_without_a_type_is_none_of_the_types(void **state) {
    (void)state;
    const char *name = unique_name("typeless");
    km_map *map = make(name, 100);
    refused(name, &(km_options){.type = "ticker"}, KM_E_MISMATCH, "it has no type");
    km_close(map);
}

static void types_have_1_to_31_bytes_of_utf8(void **state) {
    (void)state;
    const char *name = unique_name("tag");
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_NEW,
                          .size = 100,
                          .type = "1234567890123456789012345678901"};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    km_segment_facts facts = {0};
    assert_int_equal(km_segment_describe(map, &facts), KM_OK);
    assert_string_equal(facts.type, "1234567890123456789012345678901");
    refused(name, &(km_options){.type = "12345678901234567890123456789012"}, KM_E_INVALID, "31");
    refused(name, &(km_options){.type = ""}, KM_E_INVALID, "31");
    refused(name, &(km_options){.type = "\xFF"}, KM_E_INVALID, "UTF-8");
    refused(name, &(km_options){.type = "two\nlines"}, KM_E_INVALID, "cannot be shown");
    refused(name, &(km_options){.type_version = 1}, KM_E_INVALID, "type_version");
    km_close(map);
}

/* A program made with a newer header. */
static void a_longer_description_is_filled_with_zeros_behind_what_is_known(void **state) {
    (void)state;
    struct {
        km_segment_facts facts;
        char newer[600];
    } longer;
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .size = 5000};
    assert_int_equal(km_segment(&map, NULL, &options), KM_OK);
    memset(&longer, 'x', sizeof longer);
    longer.facts.struct_size = sizeof longer;
    assert_int_equal(km_segment_describe(map, &longer.facts), KM_OK);
    assert_int_equal(longer.facts.struct_size, sizeof longer);
    assert_int_equal(longer.facts.size, 5000);
    for (size_t i = 0; i < sizeof longer.newer; i++) {
        assert_int_equal(longer.newer[i], 0);
    }
    longer.facts.struct_size = 8;
    assert_int_equal(km_segment_describe(map, &longer.facts), KM_E_INVALID);
    km_close(map);
}

static void a_segment_describes_itself(void **state) {
    (void)state;
    const char *name = unique_name("described");
    km_map *map = NULL;
    km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 5000, .type = "log", .type_version = 9};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    km_map *other = open_segment(name, KM_READ);
    km_segment_facts facts = {.struct_size = sizeof facts};
    assert_int_equal(km_segment_describe(other, &facts), KM_OK);
    assert_int_equal(facts.struct_size, sizeof facts);
    assert_int_equal(facts.described, 1);
    assert_int_equal(facts.size, 5000);
    assert_int_equal(facts.section_size, 8192);
    assert_int_equal(facts.creator, GetCurrentProcessId());
    assert_int_equal(facts.type_version, 9);
    assert_string_equal(facts.type, "log");
    assert_true(facts.created_ns > 1700000000ULL * 1000000000ULL); /* 2023 */
    facts.struct_size = 3;
    assert_int_equal(km_segment_describe(other, &facts), KM_E_INVALID);
    assert_int_equal(km_segment_describe(other, NULL), KM_E_INVALID);
    assert_int_equal(km_segment_describe(NULL, &facts), KM_E_INVALID);
    km_close(other);
    km_close(map);
    scratch_file("file", 10, 1);
    assert_int_equal(km_open(&map, "file", NULL), KM_OK);
    facts.struct_size = 0;
    assert_int_equal(km_segment_describe(map, &facts), KM_E_INVALID);
    km_close(map);
}

/* ---- Options ---- */

static void options_without_sense_are_refused(void **state) {
    (void)state;
    const char *name = unique_name("options");
    const uint32_t fresh = KM_OPEN_NEW;
    const struct {
        const char *name;
        km_options options;
        km_status status;
    } rows[] = {
        {name, {.access = KM_WRITE, .flags = fresh}, KM_E_INVALID},
        {name, {.access = KM_WRITE, .flags = KM_OPEN_CREATE}, KM_E_INVALID},
        {name, {.access = KM_READ, .flags = fresh, .size = 100}, KM_E_INVALID},
        {name, {.access = KM_PRIVATE, .flags = KM_OPEN_CREATE, .size = 100}, KM_E_INVALID},
        {name, {.access = KM_WRITE, .flags = fresh, .size = 100, .reserve = 1000}, KM_E_INVALID},
        {name, {.access = KM_WRITE, .flags = fresh | 0x80000000u, .size = 100}, KM_E_INVALID},
        {name, {.access = KM_WRITE, .flags = fresh | KM_OPEN_SOLE, .size = 100}, KM_E_UNSUPPORTED},
        {name,
         {.access = KM_WRITE, .flags = fresh | KM_OPEN_SPARSE, .size = 100},
         KM_E_UNSUPPORTED},
        {name, {.access = KM_WRITE, .flags = fresh, .size = UINT64_MAX}, KM_E_TOO_LARGE},
        {name, {.access = KM_WRITE, .flags = fresh, .size = (uint64_t)INT64_MAX}, KM_E_TOO_LARGE},
        {name, {.access = KM_WRITE, .flags = fresh, .size = 100, .offset = 101}, KM_E_TRUNCATED},
        {name,
         {.access = KM_WRITE, .flags = fresh, .size = 100, .permissions = 010000},
         KM_E_INVALID},
        {NULL, {.access = KM_READ, .size = 100}, KM_E_INVALID},
        {NULL, {.access = KM_WRITE}, KM_E_INVALID},
        {NULL, {.access = KM_WRITE, .size = 100, .flags = KM_OPEN_MACHINE_WIDE}, KM_E_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refused(rows[i].name, &rows[i].options, rows[i].status, "");
        assert_false(is_there(name));
    }
    assert_int_equal(km_segment(NULL, name, NULL), KM_E_INVALID);
}

static void files_have_no_types_and_are_not_machine_wide(void **state) {
    (void)state;
    km_map *map = NULL;
    scratch_file("plain", 100, 1);
    assert_int_equal(km_open(&map, "plain", &(km_options){.type = "x"}), KM_E_INVALID);
    assert_int_equal(km_open(&map, "plain", &(km_options){.type_version = 1}), KM_E_INVALID);
    assert_int_equal(km_open(&map, "plain", &(km_options){.flags = KM_OPEN_MACHINE_WIDE}),
                     KM_E_INVALID);
    assert_null(map);
}

/* More than the machine has: an error at once, with the figures, and nothing left. */
static void what_no_memory_can_hold_is_refused_when_it_is_made(void **state) {
    (void)state;
    const char *name = unique_name("huge");
    km_map *map = NULL;
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW, .size = (uint64_t)1 << 61};
    const km_status status = km_segment(&map, name, &options);
    assert_true(status == KM_E_NO_MEMORY || status == KM_E_NO_SPACE || status == KM_E_TOO_LARGE ||
                status == KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "2305843009213693952"));
    assert_null(map);
    assert_false(is_there(name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_segment_has_exactly_its_size_in_zeros),
        cmocka_unit_test(maps_of_one_name_show_the_same_bytes),
        cmocka_unit_test(private_stores_stay_private),
        cmocka_unit_test(a_segment_goes_with_its_last_map),
        cmocka_unit_test(a_window_keeps_its_segment),
        cmocka_unit_test(the_first_create_makes_and_the_second_opens),
        cmocka_unit_test(a_new_one_must_not_be_there_and_an_opened_one_must),
        cmocka_unit_test(names_are_told_apart_by_case),
        cmocka_unit_test(any_utf8_without_a_backslash_is_a_name),
        cmocka_unit_test(a_name_has_at_most_240_units),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(machine_wide_names_are_others),
        cmocka_unit_test(a_name_of_another_kind_is_refused),
        cmocka_unit_test(the_size_asked_for_is_compared_with_the_makers),
        cmocka_unit_test(parts_are_mapped_at_any_offset),
        cmocka_unit_test(a_wrong_type_is_told_with_both),
        cmocka_unit_test(a_segment_without_a_type_is_none_of_the_types),
        cmocka_unit_test(types_have_1_to_31_bytes_of_utf8),
        cmocka_unit_test(a_segment_describes_itself),
        cmocka_unit_test(a_longer_description_is_filled_with_zeros_behind_what_is_known),
        cmocka_unit_test(options_without_sense_are_refused),
        cmocka_unit_test(files_have_no_types_and_are_not_machine_wide),
        cmocka_unit_test(what_no_memory_can_hold_is_refused_when_it_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
