/*
 * test_create.c - files that km_open makes: whole, once, initialised, or not at all.
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

/* ---- Creating ---- */

static void create_makes_the_file_only_once(void **state) {
    (void)state;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 100000};
    km_map *map = open_map("created", &options);
    assert_true(km_created(map));
    assert_int_equal(km_size(map), 100000);
    for (size_t i = 0; i < 100000; i++) {
        assert_int_equal(((char *)km_data(map))[i], 0);
    }
    memcpy(km_data(map), "mine", 4);
    km_close(map);
    assert_int_equal(scratch_size("created"), 100000);
    map = open_map("created", &options);
    assert_false(km_created(map));
    assert_memory_equal(km_data(map), "mine", 4);
    km_close(map);
}

static void new_wants_no_file_to_be_there(void **state) {
    (void)state;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10};
    km_close(open_map("new", &options));
    size_t entries = scratch_entries();
    assert_refused(KM_E_EXISTS, "new", &options, "\"new\"");
    options.flags |= KM_OPEN_CREATE;
    assert_refused(KM_E_EXISTS, "new", &options, "\"new\"");
    assert_int_equal(scratch_size("new"), 10);
    assert_int_equal(scratch_entries(), entries);
}

static void a_created_map_is_an_ordinary_one_for_others(void **state) {
    (void)state;
    km_map *map =
        open_map("ordinary", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10});
    memcpy(km_data(map), "0123456789", 10);
    km_map *other = open_map("ordinary", &(km_options){.access = KM_WRITE});
    assert_memory_equal(km_data(other), "0123456789", 10);
    km_close(other);
    /* By a program that does not share deletion, as most do not. */
    HANDLE file = CreateFileA("ordinary", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    CloseHandle(file);
    km_close(map);
}

static void an_empty_file_can_be_created(void **state) {
    (void)state;
    km_map *map =
        open_map("created_empty", &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE});
    assert_true(km_created(map));
    assert_int_equal(km_size(map), 0);
    km_close(map);
    assert_int_equal(scratch_size("created_empty"), 0);
}

typedef struct init_call {
    int calls;
    uint64_t size;
    bool was_zero;
    bool name_was_free;
    const char *name;
    km_status result;
} init_call;

static km_status initialise(void *data, uint64_t size, void *arg) {
    init_call *call = arg;
    call->calls++;
    call->size = size;
    call->was_zero = true;
    for (uint64_t i = 0; i < size; i++) {
        call->was_zero = call->was_zero && ((char *)data)[i] == 0;
    }
    call->name_was_free = scratch_size(call->name) == -1;
    if (size > 0) {
        memset(data, 'i', (size_t)size);
    }
    return call->result;
}

static void init_runs_once_before_the_file_has_its_name(void **state) {
    (void)state;
    init_call call = {.name = "init"};
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_CREATE,
                          .size = 70000,
                          .init = initialise,
                          .init_arg = &call};
    km_map *map = open_map("init", &options);
    assert_int_equal(call.calls, 1);
    assert_int_equal(call.size, 70000);
    assert_true(call.was_zero);
    assert_true(call.name_was_free);
    assert_int_equal(((char *)km_data(map))[69999], 'i');
    km_close(map);
    km_close(open_map("init", &options));
    assert_int_equal(call.calls, 1);
}

static void init_sees_the_whole_file_though_a_part_is_mapped(void **state) {
    (void)state;
    init_call call = {.name = "init_part"};
    km_map *map = open_map("init_part", &(km_options){.access = KM_WRITE,
                                                      .flags = KM_OPEN_NEW,
                                                      .size = 140000,
                                                      .offset = 70000,
                                                      .length = 10,
                                                      .init = initialise,
                                                      .init_arg = &call});
    assert_int_equal(call.size, 140000);
    assert_int_equal(km_size(map), 10);
    assert_memory_equal(km_data(map), "iiiiiiiiii", 10);
    km_close(map);
    map = open_map("init_part", NULL);
    assert_int_equal(*(char *)km_data(map), 'i');
    assert_int_equal(((char *)km_data(map))[139999], 'i');
    km_close(map);
}

static void init_runs_for_an_empty_file_too(void **state) {
    (void)state;
    init_call call = {.name = "init_empty"};
    km_close(open_map("init_empty", &(km_options){.access = KM_WRITE,
                                                  .flags = KM_OPEN_NEW,
                                                  .init = initialise,
                                                  .init_arg = &call}));
    assert_int_equal(call.calls, 1);
    assert_int_equal(call.size, 0);
}

static void an_init_that_fails_leaves_no_file(void **state) {
    (void)state;
    size_t entries = scratch_entries();
    const km_status results[] = {KM_E_CANCELLED, KM_E_CORRUPT, KM_E_EXISTS};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        init_call call = {.name = "init_fails", .result = results[i]};
        km_options options = {.access = KM_WRITE,
                              .flags = KM_OPEN_CREATE,
                              .size = 70000,
                              .init = initialise,
                              .init_arg = &call};
        assert_refused(results[i], "init_fails", &options, km_strerror(results[i]));
        options.offset = 10;
        assert_refused(results[i], "init_fails", &options, km_strerror(results[i]));
        options.offset = 0;
        options.reserve = 1 << 20;
        assert_refused(results[i], "init_fails", &options, km_strerror(results[i]));
        assert_int_equal(call.calls, 3);
    }
    assert_int_equal(scratch_entries(), entries);
}

/* Makes the file itself, in the other's init: the other has come second. */
static km_status win_the_race(void *data, uint64_t size, void *arg) {
    (void)data;
    (void)size;
    scratch_write(arg, "the winner's", 12);
    return KM_OK;
}

static void who_loses_the_race_to_create_opens_the_winner_s_file(void **state) {
    (void)state;
    static char name[] = "race";
    assert_refused(KM_E_NOT_FOUND, "no race", NULL, "no race");
    km_map *map = open_map(name, &(km_options){.access = KM_WRITE,
                                               .flags = KM_OPEN_CREATE,
                                               .size = 5,
                                               .init = win_the_race,
                                               .init_arg = name});
    assert_false(km_created(map));
    assert_int_equal(km_size(map), 12);
    assert_memory_equal(km_data(map), "the winner's", 12);
    assert_non_null(strstr(km_error_message(), "no race")); /* successes leave it alone */
    assert_int_equal(km_system_error(), ERROR_FILE_NOT_FOUND);
    km_close(map);
}

static void who_loses_the_race_for_a_new_file_is_told(void **state) {
    (void)state;
    static char name[] = "new_race";
    size_t entries = scratch_entries();
    assert_refused(KM_E_EXISTS, name,
                   &(km_options){.access = KM_WRITE,
                                 .flags = KM_OPEN_NEW,
                                 .size = 70000,
                                 .init = win_the_race,
                                 .init_arg = name},
                   "new_race");
    assert_int_equal(scratch_size(name), 12);
    assert_int_equal(scratch_entries(), entries + 1);
}

static void sole_holds_for_a_file_just_created_too(void **state) {
    (void)state;
    km_map *map = open_map(
        "sole_new",
        &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SOLE | KM_OPEN_NEW, .size = 100});
    assert_true(km_created(map));
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        km_options options = {.access = (km_access)access};
        assert_refused(KM_E_BUSY, "sole_new", &options, "\"sole_new\"");
    }
    km_close(map);
    km_close(open_map("sole_new", &(km_options){.access = KM_WRITE}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_makes_the_file_only_once),
        cmocka_unit_test(new_wants_no_file_to_be_there),
        cmocka_unit_test(a_created_map_is_an_ordinary_one_for_others),
        cmocka_unit_test(an_empty_file_can_be_created),
        cmocka_unit_test(init_runs_once_before_the_file_has_its_name),
        cmocka_unit_test(init_sees_the_whole_file_though_a_part_is_mapped),
        cmocka_unit_test(init_runs_for_an_empty_file_too),
        cmocka_unit_test(an_init_that_fails_leaves_no_file),
        cmocka_unit_test(who_loses_the_race_to_create_opens_the_winner_s_file),
        cmocka_unit_test(who_loses_the_race_for_a_new_file_is_told),
        cmocka_unit_test(sole_holds_for_a_file_just_created_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
