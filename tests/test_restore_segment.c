/*
 * test_restore_segment.c - km_restore_segment: a new segment, whole before anybody sees it.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/child.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/unique.h"

#define SIZE (9 * IMAGE_CHUNK + 321)

static void make_snapshot(const char *path, const char *type, uint32_t version, image *one) {
    snapshot_plan plan = {.level = 1,
                          .source = type != NULL ? KM_FORMAT_SEGMENT : KM_FORMAT_FILE,
                          .type = type,
                          .type_version = version};
    *one = image_make("trz", SIZE);
    image_snapshot(one, path, &plan);
}

/* Is there no such segment? */
static void assert_absent(const char *name) {
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, name, NULL), KM_E_NOT_FOUND);
}

static void a_segment_has_the_bytes_and_the_size_of_the_image(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    const char *name = unique_name("bytes");
    km_options options = {.access = KM_WRITE};
    make_snapshot("bytes.kms", NULL, 0, &one);
    assert_int_equal(km_restore_segment(&map, "bytes.kms", name, &options), KM_OK);
    assert_int_equal(km_size(map), SIZE);
    assert_memory_equal(km_data(map), one.bytes, SIZE);
    assert_true(km_created(map));
    assert_int_equal(km_check(map, NULL), KM_OK);
    ((char *)km_data(map))[0] = 'w';
    km_close(map);
    assert_absent(name);
    image_free(&one);
}

static void without_options_the_map_is_for_reading(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    const char *name = unique_name("reading");
    make_snapshot("reading.kms", NULL, 0, &one);
    assert_int_equal(km_restore_segment(&map, "reading.kms", name, NULL), KM_OK);
    assert_memory_equal(km_data(map), one.bytes, SIZE);
    assert_true(km_created(map));
    assert_int_equal(km_write(map, 0, "w", 1), KM_E_ACCESS);
    km_close(map);
    assert_absent(name);
    km_options options = {.access = KM_PRIVATE};
    assert_int_equal(km_restore_segment(&map, "reading.kms", name, &options), KM_OK);
    ((char *)km_data(map))[0] = 'p';
    km_close(map);
    assert_absent(name);
    image_free(&one);
}

static void whatever_is_said_of_creating_the_segment_is_a_new_one(void **state) {
    (void)state;
    static const km_access accesses[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    static const uint32_t flags[] = {0, KM_OPEN_NEW, KM_OPEN_CREATE, KM_OPEN_CREATE | KM_OPEN_NEW};
    image one;
    const char *name = unique_name("creating");
    make_snapshot("creating.kms", NULL, 0, &one);
    for (size_t i = 0; i < 12; i++) {
        km_map *map = NULL;
        km_map *other = NULL;
        const km_options options = {.access = accesses[i % 3], .flags = flags[i / 3]};
        assert_int_equal(km_restore_segment(&map, "creating.kms", name, &options), KM_OK);
        assert_true(km_created(map));
        assert_memory_equal(km_data(map), one.bytes, SIZE);
        assert_int_equal(km_restore_segment(&other, "creating.kms", name, &options), KM_E_EXISTS);
        assert_null(other);
        km_close(map);
        assert_absent(name);
    }
    image_free(&one);
}

static void a_segment_without_a_name_is_restored_too(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE};
    make_snapshot("nameless.kms", NULL, 0, &one);
    assert_int_equal(km_restore_segment(&map, "nameless.kms", NULL, &options), KM_OK);
    assert_memory_equal(km_data(map), one.bytes, SIZE);
    km_close(map);
    image_free(&one);
}

static void the_type_is_the_snapshots_unless_told(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    km_segment_facts facts = {.struct_size = sizeof facts};
    const char *name = unique_name("type");
    km_options options = {.access = KM_WRITE};
    make_snapshot("type.kms", "counters", 7, &one);
    assert_int_equal(km_restore_segment(&map, "type.kms", name, &options), KM_OK);
    assert_int_equal(km_segment_describe(map, &facts), KM_OK);
    assert_string_equal(facts.type, "counters");
    assert_int_equal(facts.type_version, 7);
    km_close(map);
    options.type = "others";
    options.type_version = 8;
    assert_int_equal(km_restore_segment(&map, "type.kms", name, &options), KM_OK);
    assert_int_equal(km_segment_describe(map, &facts), KM_OK);
    assert_string_equal(facts.type, "others");
    assert_int_equal(facts.type_version, 8);
    km_close(map);
    image_free(&one);
}

static int look(int argc, char **argv) {
    (void)argc;
    image one = image_make("trz", SIZE);
    km_map *map = NULL;
    km_status status = km_segment(&map, argv[1], NULL);
    if (status != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    const bool same = km_size(map) == SIZE && memcmp(km_data(map), one.bytes, SIZE) == 0;
    child_say(same ? "the same" : "others");
    km_close(map);
    image_free(&one);
    return 0;
}

static void another_process_sees_it_whole(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    const char *name = unique_name("whole");
    km_options options = {.access = KM_WRITE};
    make_snapshot("whole.kms", "counters", 7, &one);
    assert_int_equal(km_restore_segment(&map, "whole.kms", name, &options), KM_OK);
    child *looker = child_start("look", name, NULL);
    child_expect(looker, "the same");
    assert_int_equal(child_finish(looker), 0);
    km_close(map);
    image_free(&one);
}

static void a_segment_that_is_there_is_not_touched(void **state) {
    (void)state;
    image one;
    km_map *there = NULL;
    km_map *map = NULL;
    const char *name = unique_name("there");
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100};
    make_snapshot("there.kms", NULL, 0, &one);
    assert_int_equal(km_segment(&there, name, &options), KM_OK);
    memcpy(km_data(there), "mine", 4);
    options.size = 0;
    assert_int_equal(km_restore_segment(&map, "there.kms", name, &options), KM_E_EXISTS);
    options.flags = KM_OPEN_CREATE;
    assert_int_equal(km_restore_segment(&map, "there.kms", name, &options), KM_E_EXISTS);
    assert_null(map);
    assert_memory_equal(km_data(there), "mine", 4);
    km_close(there);
    image_free(&one);
}

static void a_damaged_snapshot_makes_no_segment_and_says_where(void **state) {
    (void)state;
    image one;
    km_map *map = NULL;
    const char *name = unique_name("damaged");
    km_options options = {.access = KM_WRITE};
    make_snapshot("damaged.kms", NULL, 0, &one);
    image_damage("damaged.kms", image_member("damaged.kms", 4) + 60);
    assert_int_equal(km_restore_segment(&map, "damaged.kms", name, &options), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "chunk 4 of \"damaged.kms\""));
    assert_null(map);
    assert_absent(name);
    /* The name is free: nothing stands in the way of the next. */
    image_damage("damaged.kms", image_member("damaged.kms", 0)); /* a head too */
    assert_int_equal(km_restore_segment(&map, "damaged.kms", name, &options), KM_E_CORRUPT);
    assert_absent(name);
    image_free(&one);
}

static void requests_that_make_no_sense_are_refused(void **state) {
    (void)state;
    image one;
    image empty = image_make("t", 0);
    km_map *map = NULL;
    const char *name = unique_name("sense");
    make_snapshot("sense.kms", NULL, 0, &one);
    image_snapshot(&empty, "empty.kms", NULL);
    km_options options = {.access = KM_WRITE};
    assert_int_equal(km_restore_segment(&map, "empty.kms", name, &options), KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "empty"));
    assert_int_equal(km_restore_segment(NULL, "sense.kms", name, &options), KM_E_INVALID);
    assert_int_equal(km_restore_segment(&map, NULL, name, &options), KM_E_INVALID);
    assert_int_equal(km_restore_segment(&map, "missing.kms", name, &options), KM_E_NOT_FOUND);
    assert_int_equal(km_restore_segment(&map, "sense.kms", "with\\backslash", &options),
                     KM_E_INVALID);
    options.size = SIZE;
    assert_int_equal(km_restore_segment(&map, "sense.kms", name, &options), KM_E_INVALID);
    options.size = 0;
    options.reserve = SIZE;
    assert_int_equal(km_restore_segment(&map, "sense.kms", name, &options), KM_E_INVALID);
    assert_null(map);
    assert_absent(name);
    image_free(&one);
    image_free(&empty);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"look", look}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_has_the_bytes_and_the_size_of_the_image),
        cmocka_unit_test(without_options_the_map_is_for_reading),
        cmocka_unit_test(whatever_is_said_of_creating_the_segment_is_a_new_one),
        cmocka_unit_test(a_segment_without_a_name_is_restored_too),
        cmocka_unit_test(the_type_is_the_snapshots_unless_told),
        cmocka_unit_test(another_process_sees_it_whole),
        cmocka_unit_test(a_segment_that_is_there_is_not_touched),
        cmocka_unit_test(a_damaged_snapshot_makes_no_segment_and_says_where),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
