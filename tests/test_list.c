/*
 * test_list.c - km_list: which objects have a name, what they are, and who holds them.
 *
 * Other programs may have objects of their own: a test looks for the ones it has made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/child.h"
#include "support/conformance.h"

#define HOLDERS_AT_MOST 8

/* What the list says of the objects of one name. */
typedef struct sought {
    const char *name;
    int found;
    km_object object; /* its pointers are not to be used */
    char type[KM_TYPE_SIZE];
    uint32_t holders[HOLDERS_AT_MOST];
} sought;

static bool look(const km_object *object, void *arg) {
    sought *one = arg;
    if (strcmp(object->name, one->name) == 0) {
        one->found++;
        one->object = *object;
        snprintf(one->type, sizeof one->type, "%s", object->type != NULL ? object->type : "(none)");
        for (uint32_t i = 0; i < object->holder_count && i < HOLDERS_AT_MOST; i++) {
            one->holders[i] = object->holders[i];
        }
    }
    return true;
}

static sought seek(const char *name) {
    sought one = {.name = name};
    assert_int_equal(km_list(look, &one), KM_OK);
    return one;
}

/* A name that no other run of this suite uses. */
static const char *fresh(char name[64], const char *what) {
    snprintf(name, 64, "list-%s-%lu", what, (unsigned long)GetCurrentProcessId());
    return name;
}

static km_map *make_segment(const char *name, uint64_t size, const char *type, uint32_t flags) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW | flags,
                                .size = size,
                                .type = type,
                                .type_version = type != NULL ? 7 : 0};
    const km_status status = km_segment(&map, name, &options);
    if (status != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

static uint64_t now_ns(void) {
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    const uint64_t since_1601 = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (since_1601 - 116444736000000000ULL) * 100;
}

/* ---- What it says ---------------------------------------------------------------------------- */

static void a_segment_is_listed_with_its_exact_size_and_type(void **state) {
    char name[64];
    (void)state;
    const uint64_t before = now_ns();
    km_map *map = make_segment(fresh(name, "typed"), 12345, "counters", 0);
    const uint64_t after = now_ns();
    sought one = seek(name);
    assert_int_equal(one.found, 1);
    assert_int_equal(one.object.struct_size, sizeof one.object);
    assert_int_equal(one.object.kind, KM_OBJECT_SECTION);
    assert_true(one.object.described);
    assert_false(one.object.machine_wide);
    assert_int_equal(one.object.size, 12345);
    assert_string_equal(one.type, "counters");
    assert_int_equal(one.object.type_version, 7);
    assert_int_equal(one.object.creator, GetCurrentProcessId());
    /* The kernel's coarse clock may be a tick behind the fine one. */
    assert_true(one.object.created_ns + 20000000 >= before);
    assert_true(one.object.created_ns <= after + 20000000);
    km_close(map);
    assert_int_equal(seek(name).found, 0);
}

static void a_segment_without_a_type_has_none(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "untyped"), 1, NULL, 0);
    sought one = seek(name);
    assert_int_equal(one.object.size, 1);
    assert_string_equal(one.type, "(none)");
    assert_int_equal(one.object.type_version, 0);
    km_close(map);
}

static void a_machine_wide_segment_says_so(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "wide"), 100, NULL, KM_OPEN_MACHINE_WIDE);
    sought one = seek(name);
    assert_int_equal(one.found, 1);
    assert_true(one.object.machine_wide);
    assert_int_equal(one.object.size, 100);
    km_close(map);
}

static void a_plain_section_is_listed_without_a_record(void **state) {
    char name[64];
    (void)state;
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 8192,
                                        fresh(name, "plain"));
    assert_non_null(section);
    sought one = seek(name);
    assert_int_equal(one.found, 1);
    assert_int_equal(one.object.kind, KM_OBJECT_SECTION);
    assert_false(one.object.described);
    assert_int_equal(one.object.size, 8192);
    assert_string_equal(one.type, "(none)");
    CloseHandle(section);
    assert_int_equal(seek(name).found, 0);
}

static void a_record_that_lies_about_its_size_is_not_believed(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "liar"), 4000, "counters", 0);
    HANDLE section = OpenFileMappingA(FILE_MAP_WRITE, FALSE, name);
    assert_non_null(section);
    unsigned char *bytes = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 8192);
    assert_non_null(bytes);
    memset(bytes + 8192 - 128 + 16, 0xFF, 8); /* its size: src/record.h */
    sought one = seek(name);
    assert_int_equal(one.found, 1);
    assert_false(one.object.described);
    assert_int_equal(one.object.size, 8192);
    assert_string_equal(one.type, "(none)");
    UnmapViewOfFile(bytes);
    CloseHandle(section);
    km_close(map);
}

static void every_kind_is_told_apart(void **state) {
    char event_name[64];
    char mutex_name[64];
    char semaphore_name[64];
    (void)state;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, fresh(event_name, "event"));
    HANDLE mutex = CreateMutexA(NULL, FALSE, fresh(mutex_name, "mutex"));
    HANDLE semaphore = CreateSemaphoreA(NULL, 0, 1, fresh(semaphore_name, "semaphore"));
    assert_true(event != NULL && mutex != NULL && semaphore != NULL);
    assert_int_equal(seek(event_name).object.kind, KM_OBJECT_EVENT);
    assert_int_equal(seek(mutex_name).object.kind, KM_OBJECT_MUTEX);
    sought one = seek(semaphore_name);
    assert_int_equal(one.object.kind, KM_OBJECT_SEMAPHORE);
    assert_true(one.object.size == KM_SIZE_UNKNOWN);
    CloseHandle(event);
    CloseHandle(mutex);
    CloseHandle(semaphore);
    assert_int_equal(seek(event_name).found, 0);
}

static void names_are_listed_as_they_were_given(void **state) {
    char name[64];
    (void)state;
    snprintf(name, sizeof name,
             "list Gr\xC3\xB6\xC3\x9F"
             "e / \xE2\x82\xAC %lu",
             (unsigned long)GetCurrentProcessId());
    km_map *map = make_segment(name, 10, NULL, 0);
    assert_int_equal(seek(name).found, 1);
    km_close(map);
}

/* ---- The order, and its end ------------------------------------------------------------------ */

typedef struct order {
    char last[1024];
    unsigned calls;
    unsigned at_most;
    bool sorted;
} order;

static bool check_order(const km_object *object, void *arg) {
    order *seen = arg;
    if (seen->calls > 0 && strcmp(seen->last, object->name) > 0) {
        seen->sorted = false;
    }
    snprintf(seen->last, sizeof seen->last, "%s", object->name);
    seen->calls++;
    return seen->calls != seen->at_most;
}

static void the_list_is_sorted_and_ends_when_told_to(void **state) {
    char name[3][64];
    km_map *maps[3];
    (void)state;
    maps[0] = make_segment(fresh(name[0], "c"), 1, NULL, 0);
    maps[1] = make_segment(fresh(name[1], "a"), 1, NULL, 0);
    maps[2] = make_segment(fresh(name[2], "b"), 1, NULL, 0);
    order seen = {.sorted = true};
    assert_int_equal(km_list(check_order, &seen), KM_OK);
    assert_true(seen.sorted);
    assert_true(seen.calls >= 3);
    order cut = {.sorted = true, .at_most = 2};
    assert_int_equal(km_list(check_order, &cut), KM_OK);
    assert_int_equal(cut.calls, 2);
    for (size_t i = 0; i < 3; i++) {
        km_close(maps[i]);
    }
}

static bool close_it(const km_object *object, void *arg) {
    km_map **map = arg;
    if (*map != NULL && strcmp(object->name, km_path(*map)) == 0) {
        km_close(*map);
        *map = NULL;
    }
    return true;
}

static void the_callback_may_close_what_it_is_shown(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "closed"), 1, NULL, 0);
    assert_int_equal(km_list(close_it, &map), KM_OK);
    assert_null(map);
    assert_int_equal(seek(name).found, 0);
}

static void a_list_without_a_callback_is_refused(void **state) {
    (void)state;
    assert_int_equal(km_list(NULL, NULL), KM_E_INVALID);
}

/* ---- Holders --------------------------------------------------------------------------------- */

static int hold_segment(int argc, char **argv) {
    char line[64];
    km_map *map = NULL;
    (void)argc;
    const km_options options = {.access = KM_READ};
    const km_status status = km_segment(&map, argv[1], &options);
    child_say("%lu", status == KM_OK ? (unsigned long)GetCurrentProcessId() : 0UL);
    (void)child_hear(line, sizeof line);
    km_close(map);
    return status == KM_OK ? 0 : 1;
}

static uint32_t hear_process(child *process) {
    char line[64];
    child_read(process, line, sizeof line);
    const unsigned long number = strtoul(line, NULL, 10);
    assert_true(number > 0);
    return (uint32_t)number;
}

static bool is_holder(const sought *one, uint32_t process) {
    for (uint32_t i = 0; i < one->object.holder_count && i < HOLDERS_AT_MOST; i++) {
        if (one->holders[i] == process) {
            return true;
        }
    }
    return false;
}

static void holders_are_the_processes_that_have_it_open(void **state) {
    char name[64];
    (void)state;
    if (conformance_where() != KEEPMAP) {
        km_map *map = make_segment(fresh(name, "held"), 4096, NULL, 0);
        sought one = seek(name);
        assert_int_equal(one.object.holder_count, 0); /* Windows does not tell */
        assert_false(one.object.holders_complete);
        km_close(map);
        return;
    }
    km_map *map = make_segment(fresh(name, "held"), 4096, NULL, 0);
    child *other = child_start("hold_segment", name, NULL);
    const uint32_t process = hear_process(other);
    sought one = seek(name);
    assert_int_equal(one.object.holder_count, 2);
    assert_true(one.holders[0] < one.holders[1]);
    assert_true(is_holder(&one, process) && is_holder(&one, GetCurrentProcessId()));
    assert_true(one.object.holders_complete);
    km_close(map);
    one = seek(name);
    assert_int_equal(one.found, 1);
    assert_int_equal(one.object.holder_count, 1);
    assert_true(is_holder(&one, process));
    assert_int_equal(child_finish(other), 0);
    assert_int_equal(seek(name).found, 0);
}

static void a_view_alone_is_no_holder(void **state) {
    char name[64];
    (void)state;
    if (conformance_where() != KEEPMAP) {
        skip(); /* Windows does not tell who holds */
    }
    km_map *map = make_segment(fresh(name, "viewed"), 4096, NULL, 0);
    child *other = child_start("hold_segment", name, NULL);
    const uint32_t process = hear_process(other);
    HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    CloseHandle(section);
    km_close(map);
    sought one = seek(name);
    assert_int_equal(one.object.holder_count, 1);
    assert_true(is_holder(&one, process));
    UnmapViewOfFile(view);
    assert_int_equal(child_finish(other), 0);
}

static void what_a_killed_holder_left_is_not_listed(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "killed"), 4096, NULL, 0);
    child *other = child_start("hold_segment", name, NULL);
    (void)hear_process(other);
    km_close(map);
    assert_int_equal(seek(name).found, 1);
    child_kill(other);
    assert_int_equal(seek(name).found, 0);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold_segment", hold_segment}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_is_listed_with_its_exact_size_and_type),
        cmocka_unit_test(a_segment_without_a_type_has_none),
        cmocka_unit_test(a_machine_wide_segment_says_so),
        cmocka_unit_test(a_plain_section_is_listed_without_a_record),
        cmocka_unit_test(a_record_that_lies_about_its_size_is_not_believed),
        cmocka_unit_test(every_kind_is_told_apart),
        cmocka_unit_test(names_are_listed_as_they_were_given),
        cmocka_unit_test(the_list_is_sorted_and_ends_when_told_to),
        cmocka_unit_test(the_callback_may_close_what_it_is_shown),
        cmocka_unit_test(a_list_without_a_callback_is_refused),
        cmocka_unit_test(holders_are_the_processes_that_have_it_open),
        cmocka_unit_test(a_view_alone_is_no_holder),
        cmocka_unit_test(what_a_killed_holder_left_is_not_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
