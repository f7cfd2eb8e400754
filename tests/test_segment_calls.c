/*
 * test_segment_calls.c - what the calls on maps make of a segment: init, flush, check, copy, and
 * segments without a name, or beside what others have made.
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

/* ---- init ---- */

typedef struct init_seen {
    int calls;
    uint64_t size;
    km_status result;
    const char *name;
} init_seen;

static km_status count_init(void *data, uint64_t size, void *arg) {
    init_seen *seen = arg;
    seen->calls++;
    seen->size = size;
    for (uint64_t i = 0; i < size; i++) {
        assert_int_equal(((const char *)data)[i], 0);
    }
    memset(data, 'i', (size_t)size);
    return seen->result;
}

static void init_runs_once_over_all_of_it(void **state) {
    (void)state;
    const char *name = unique_name("init");
    init_seen seen = {0};
    km_map *first = NULL;
    km_map *second = NULL;
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_CREATE,
                          .size = 100000,
                          .offset = 70000,
                          .length = 10,
                          .init = count_init,
                          .init_arg = &seen};
    assert_int_equal(km_segment(&first, name, &options), KM_OK);
    assert_int_equal(seen.size, 100000);
    assert_int_equal(km_size(first), 10);
    options.offset = 0;
    options.length = 0;
    assert_int_equal(km_segment(&second, name, &options), KM_OK);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(((char *)km_data(second))[0], 'i');
    assert_int_equal(((char *)km_data(second))[99999], 'i');
    km_close(second);
    km_close(first);
}

static void a_failed_init_leaves_no_segment(void **state) {
    (void)state;
    const char *name = unique_name("failed");
    init_seen seen = {.result = KM_E_CANCELLED};
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_CREATE,
                          .size = 100,
                          .init = count_init,
                          .init_arg = &seen};
    refused(name, &options, KM_E_CANCELLED, "init");
    assert_false(is_there(name));
    seen.result = KM_OK;
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    assert_int_equal(seen.calls, 2);
    km_close(map);
}

static km_status make_the_same(void *data, uint64_t size, void *arg) {
    (void)data;
    (void)size;
    init_seen *seen = arg;
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 100};
    seen->calls++;
    seen->result = km_segment(&map, seen->name, &options);
    return KM_OK;
}

static void an_init_that_opens_its_own_segment_is_refused_and_does_not_hang(void **state) {
    (void)state;
    init_seen seen = {.name = unique_name("inside")};
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW,
                                .size = 100,
                                .init = make_the_same,
                                .init_arg = &seen};
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, seen.name, &options), KM_OK);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.result, KM_E_BUSY);
    km_close(map);
}

/* ---- The calls on maps ---- */

static void flushing_has_nothing_to_do_and_resizing_is_not_possible(void **state) {
    (void)state;
    km_map *map = make(unique_name("calls"), 10000);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_int_equal(km_flush(map, 9999, 1, KM_FLUSH_START), KM_OK);
    assert_int_equal(km_flush(map, 9999, 2, KM_FLUSH_START), KM_E_INVALID);
    assert_int_equal(km_resize(map, 20000), KM_E_UNSUPPORTED);
    assert_int_equal(km_resize(map, 100), KM_E_UNSUPPORTED);
    assert_int_equal(km_size(map), 10000);
    km_close(map);
}

static void advice_loses_nothing(void **state) {
    (void)state;
    const char *name = unique_name("advice");
    km_map *map = make(name, 100000);
    memset(km_data(map), 'a', 100000);
    const km_advice advice[] = {KM_ADVICE_RANDOM, KM_ADVICE_SEQUENTIAL, KM_ADVICE_WILL_NEED,
                                KM_ADVICE_COLD, KM_ADVICE_NORMAL};
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        assert_int_equal(km_advise(map, 0, 0, advice[i]), KM_OK);
    }
    assert_int_equal(((char *)km_data(map))[0], 'a');
    assert_int_equal(((char *)km_data(map))[99999], 'a');
    km_close(map);
}

static void reading_and_writing_stop_at_the_exact_size(void **state) {
    (void)state;
    const char *name = unique_name("transfer");
    km_map *map = make(name, 5000);
    km_map *reader = open_segment(name, KM_READ);
    char bytes[8] = "";
    assert_int_equal(km_write(map, 4992, "8 bytes.", 8), KM_OK);
    assert_int_equal(km_read(reader, 4992, bytes, 8), KM_OK);
    assert_memory_equal(bytes, "8 bytes.", 8);
    assert_int_equal(km_read(reader, 4993, bytes, 8), KM_E_INVALID);
    assert_int_equal(km_write(map, 4993, bytes, 8), KM_E_INVALID);
    assert_int_equal(km_write(reader, 0, bytes, 8), KM_E_ACCESS);
    km_close(reader);
    km_close(map);
}

static void a_check_tells_declared_actual_and_mapped(void **state) {
    (void)state;
    const char *name = unique_name("check");
    km_map *map = make(name, 5000);
    km_map *part = NULL;
    assert_int_equal(
        km_segment(&part, name, &(km_options){.size = 4000, .offset = 10, .length = 20}), KM_OK);
    km_size_report report = {0};
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.findings & ~KM_SIZE_HOLES, 0);
    assert_int_equal(report.expected, 5000);
    assert_int_equal(report.declared, 5000);
    assert_int_equal(report.actual, 8192);
    assert_int_equal(report.mapped, 5000);
    assert_true(report.allocated >= 8192);
    assert_true(report.address_free > 0);
    assert_int_equal(km_check(part, &report), KM_OK);
    assert_int_equal(report.expected, 4000);
    assert_int_equal(report.mapped, 20);
    assert_int_equal(km_check(part, NULL), KM_OK);
    km_close(part);
    km_close(map);
}

static void stores_past_the_end_are_found_by_a_check(void **state) {
    (void)state;
    const char *name = unique_name("overrun");
    km_map *map = make(name, PAGE - 128);
    km_size_report report = {0};
    memset((char *)km_data(map) + PAGE - 128, 'x', 4); /* into the record */
    assert_int_equal(km_check(map, &report), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "stored past its 3968 bytes"));
    assert_int_equal(report.findings & KM_SIZE_RECORD, KM_SIZE_RECORD);
    assert_true(report.declared == KM_SIZE_UNKNOWN);
    km_close(map);
}

static void a_copy_is_a_file_of_the_exact_size(void **state) {
    (void)state;
    const uint64_t sizes[] = {1, 5000, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *name = unique_name("copy");
        km_map *map = make(name, sizes[i]);
        unsigned char *bytes = km_data(map);
        for (uint64_t at = 0; at < sizes[i]; at += 7) {
            bytes[at] = (unsigned char)(at / 7 + 1);
        }
        assert_int_equal(km_copy(map, "copy", NULL), KM_OK);
        assert_true(scratch_equals("copy", bytes, sizes[i]));
        assert_int_equal(km_copy(map, "copy", NULL), KM_E_EXISTS);
        bytes[0] = 99;
        assert_int_equal(km_copy(map, "copy", &(km_copy_options){.flags = KM_COPY_REPLACE}), KM_OK);
        assert_true(scratch_equals("copy", bytes, sizes[i]));
        scratch_remove("copy");
        km_close(map);
    }
}

static void what_was_never_stored_to_is_a_hole_in_the_copy(void **state) {
    (void)state;
    km_map *map = make(unique_name("holes"), 8 << 20);
    km_size_report report = {0};
    ((char *)km_data(map))[4 << 20] = 1;
    assert_int_equal(km_copy(map, "holes", NULL), KM_OK);
    assert_int_equal(km_check_file("holes", 8 << 20, &report), KM_OK);
    assert_int_equal(scratch_size("holes"), 8 << 20);
    km_map *copy = NULL;
    assert_int_equal(km_open(&copy, "holes", NULL), KM_OK);
    assert_memory_equal(km_data(copy), km_data(map), 8 << 20);
    km_close(copy);
    km_close(map);
    scratch_remove("holes");
}

static void a_copy_shows_the_stores_of_a_private_map_and_the_part_of_a_window(void **state) {
    (void)state;
    const char *name = unique_name("views");
    km_map *map = make(name, 5000);
    km_map *mine = open_segment(name, KM_PRIVATE);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 100, 50), KM_OK);
    memset(km_data(map), 's', 5000);
    memset(km_data(mine), 'p', 3);
    assert_int_equal(km_copy(mine, "mine", NULL), KM_OK);
    assert_true(scratch_equals("mine", km_data(mine), 5000));
    assert_int_equal(km_copy(window, "part", NULL), KM_OK);
    assert_true(scratch_equals("part", km_data(window), 50));
    km_close(window);
    km_close(mine);
    km_close(map);
}

static bool stop(uint64_t done, uint64_t total, void *arg) {
    (void)total;
    (void)arg;
    return done == 0;
}

static void a_cancelled_copy_leaves_nothing(void **state) {
    (void)state;
    km_map *map = make(unique_name("cancel"), 4 << 20);
    const size_t entries = scratch_entries();
    assert_int_equal(km_copy(map, "cancelled", &(km_copy_options){.progress = stop}),
                     KM_E_CANCELLED);
    assert_int_equal(scratch_entries(), entries);
    km_close(map);
}

/* ---- Without a name ---- */

static void anonymous_segments_are_new_each_time(void **state) {
    (void)state;
    const km_options options = {.access = KM_WRITE, .size = 5000, .type = "own", .type_version = 1};
    km_map *one = NULL;
    km_map *other = NULL;
    assert_int_equal(km_segment(&one, NULL, &options), KM_OK);
    assert_int_equal(km_segment(&other, NULL, &options), KM_OK);
    assert_null(km_path(one));
    assert_true(km_created(one));
    assert_int_equal(km_size(one), 5000);
    memcpy(km_data(one), "one", sizeof "one");
    assert_string_equal(km_data(other), "");
    km_map *window = NULL;
    assert_int_equal(km_window(&window, one, 1, 0), KM_OK);
    assert_string_equal(km_data(window), "ne");
    assert_int_equal(km_check(one, NULL), KM_OK);
    assert_int_equal(km_copy(one, "anonymous", NULL), KM_OK);
    assert_true(scratch_equals("anonymous", km_data(one), 5000));
    km_close(window);
    km_close(one);
    km_close(other);
}

static void an_anonymous_segment_runs_its_init(void **state) {
    (void)state;
    init_seen seen = {.result = KM_E_IO};
    km_options options = {.access = KM_WRITE, .size = 100, .init = count_init, .init_arg = &seen};
    refused(NULL, &options, KM_E_IO, "init");
    seen.result = KM_OK;
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, NULL, &options), KM_OK);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(((char *)km_data(map))[99], 'i');
    km_close(map);
}

/* ---- Beside what others have made ---- */

/* As of a maker who is done but lives on in a program that was started meanwhile. */
static void a_plain_section_opens_beside_a_mutex_that_nobody_owns(void **state) {
    (void)state;
    const char *name = unique_name("beside");
    HANDLE mutex = CreateMutexA(NULL, FALSE, unique_object("Local\\", name, ".keepmap"));
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 8192, name);
    assert_non_null(mutex);
    assert_non_null(section);
    km_map *map = NULL;
    if (km_segment(&map, name, &(km_options){.access = KM_WRITE}) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    assert_int_equal(km_size(map), 8192);
    km_close(map);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(mutex));
}

static void a_companion_s_name_of_another_kind_is_told(void **state) {
    (void)state;
    const char *name = unique_name("companion");
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, unique_object("Local\\", name, ".keepmap"));
    assert_non_null(event);
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10};
    assert_int_equal(km_segment(&map, name, &options), KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "companion.keepmap\""));
    assert_true(CloseHandle(event));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_section_opens_beside_a_mutex_that_nobody_owns),
        cmocka_unit_test(a_companion_s_name_of_another_kind_is_told),
        cmocka_unit_test(init_runs_once_over_all_of_it),
        cmocka_unit_test(a_failed_init_leaves_no_segment),
        cmocka_unit_test(an_init_that_opens_its_own_segment_is_refused_and_does_not_hang),
        cmocka_unit_test(flushing_has_nothing_to_do_and_resizing_is_not_possible),
        cmocka_unit_test(advice_loses_nothing),
        cmocka_unit_test(reading_and_writing_stop_at_the_exact_size),
        cmocka_unit_test(a_check_tells_declared_actual_and_mapped),
        cmocka_unit_test(stores_past_the_end_are_found_by_a_check),
        cmocka_unit_test(a_copy_is_a_file_of_the_exact_size),
        cmocka_unit_test(what_was_never_stored_to_is_a_hole_in_the_copy),
        cmocka_unit_test(a_copy_shows_the_stores_of_a_private_map_and_the_part_of_a_window),
        cmocka_unit_test(a_cancelled_copy_leaves_nothing),
        cmocka_unit_test(anonymous_segments_are_new_each_time),
        cmocka_unit_test(an_anonymous_segment_runs_its_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
