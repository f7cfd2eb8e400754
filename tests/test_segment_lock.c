/*
 * test_segment_lock.c - km_lock on segments: who waits for whom, and who is told of whose death.
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
#include "support/unique.h"

static km_map *make(const char *name, uint32_t flags) {
    km_map *map = NULL;
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_CREATE | flags, .size = 200000};
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

/* ---- The other process: locks NAME in MODE ("0" shared, "1" exclusive), waiting so many ms ----
 */

static int hold_lock(int argc, char **argv) {
    km_map *map = NULL;
    char line[64] = "";
    if (argc != 4 || km_segment(&map, argv[1], &(km_options){.access = KM_WRITE}) != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    const km_status status = km_lock(map, argv[2][0] == '1' ? KM_LOCK_EXCLUSIVE : KM_LOCK_SHARED,
                                     (uint32_t)strtoul(argv[3], NULL, 10));
    child_say("%s", km_strerror(status));
    child_hear(line, sizeof line);
    if (strcmp(line, "unlock") == 0) {
        child_say("%s", km_strerror(km_unlock(map)));
        child_hear(line, sizeof line);
    }
    if (strcmp(line, "just end") == 0) {
        exit(0); /* without km_close */
    }
    km_close(map);
    return 0;
}

static child *holder(const char *name, km_lock_mode mode, const char *expected) {
    child *other = child_start("hold_lock", name, mode == KM_LOCK_EXCLUSIVE ? "1" : "0", "0", NULL);
    child_expect(other, expected);
    return other;
}

static void elsewhere(const char *name, km_lock_mode mode, const char *expected) {
    assert_int_equal(child_finish(holder(name, mode, expected)), 0);
}

static void kill_holder(const char *name) {
    child_kill(holder(name, KM_LOCK_EXCLUSIVE, "KM_OK"));
}

/* ---- Locking ---- */

static void shared_locks_go_together_and_exclusive_ones_with_nothing(void **state) {
    (void)state;
    const char *name = unique_name("together");
    static const struct {
        km_lock_mode held, asked;
        km_status expected;
    } rows[] = {
        {KM_LOCK_SHARED, KM_LOCK_SHARED, KM_OK},
        {KM_LOCK_SHARED, KM_LOCK_EXCLUSIVE, KM_E_BUSY},
        {KM_LOCK_EXCLUSIVE, KM_LOCK_SHARED, KM_E_BUSY},
        {KM_LOCK_EXCLUSIVE, KM_LOCK_EXCLUSIVE, KM_E_BUSY},
    };
    const uint32_t scopes[] = {0, KM_OPEN_MACHINE_WIDE};
    for (size_t scope = 0; scope < 2; scope++) {
        km_map *one = make(name, scopes[scope]);
        km_map *other = make(name, scopes[scope]);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            assert_int_equal(km_lock(one, rows[i].held, 0), KM_OK);
            assert_int_equal(km_lock(other, rows[i].asked, 0), rows[i].expected);
            if (rows[i].expected == KM_OK) {
                assert_int_equal(km_unlock(other), KM_OK);
            }
            assert_int_equal(km_unlock(one), KM_OK);
        }
        km_close(other);
        km_close(one);
    }
}

static void processes_keep_each_other_out(void **state) {
    (void)state;
    const char *name = unique_name("processes");
    km_map *map = make(name, 0);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    elsewhere(name, KM_LOCK_SHARED, "KM_E_BUSY");
    elsewhere(name, KM_LOCK_EXCLUSIVE, "KM_E_BUSY");
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
    elsewhere(name, KM_LOCK_SHARED, "KM_OK");
    elsewhere(name, KM_LOCK_EXCLUSIVE, "KM_E_BUSY");
    km_close(map);
}

static void machine_wide_and_other_names_have_locks_of_their_own(void **state) {
    (void)state;
    const char *name = unique_name("own");
    km_map *maps[] = {make(name, 0), make(name, KM_OPEN_MACHINE_WIDE), make(unique_name("Own"), 0)};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(km_lock(maps[i], KM_LOCK_EXCLUSIVE, 0), KM_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        km_close(maps[i]);
    }
}

static void a_lock_is_neither_recursive_nor_for_windows(void **state) {
    (void)state;
    km_map *map = make(unique_name("once"), 0);
    km_map *window = NULL;
    assert_int_equal(km_unlock(map), KM_E_INVALID);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_E_INVALID);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_INVALID);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_unlock(map), KM_E_INVALID);
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_int_equal(km_lock(window, KM_LOCK_SHARED, 0), KM_E_UNSUPPORTED);
    km_close(window);
    km_close(map);
}

static void who_cannot_write_locks_shared_only(void **state) {
    (void)state;
    const char *name = unique_name("readers");
    const km_access accesses[] = {KM_READ, KM_PRIVATE};
    km_map *writer = make(name, 0);
    for (size_t i = 0; i < 2; i++) {
        km_map *map = open_segment(name, accesses[i]);
        assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_ACCESS);
        assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
        assert_int_equal(km_lock(writer, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
        assert_int_equal(km_unlock(map), KM_OK);
        assert_int_equal(km_lock(writer, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_E_BUSY);
        assert_int_equal(km_unlock(writer), KM_OK);
        km_close(map);
    }
    km_close(writer);
}

static void a_wait_ends_with_its_time_or_with_the_lock(void **state) {
    (void)state;
    const char *name = unique_name("time");
    km_map *map = make(name, 0);
    km_map *waiter = open_segment(name, KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    const uint64_t start = GetTickCount64();
    assert_int_equal(km_lock(waiter, KM_LOCK_SHARED, 120), KM_E_TIMEOUT);
    assert_true(GetTickCount64() - start >= 120);
    assert_non_null(strstr(km_error_message(), "120 ms"));
    child *other = child_start("hold_lock", name, "1", "60000", NULL);
    Sleep(30);
    assert_int_equal(km_unlock(map), KM_OK);
    child_expect(other, "KM_OK");
    child_tell(other, "unlock");
    child_expect(other, "KM_OK");
    assert_int_equal(child_finish(other), 0);
    km_close(waiter);
    km_close(map);
}

static void closing_frees_the_lock_even_while_windows_stay(void **state) {
    (void)state;
    const char *name = unique_name("closing");
    km_map *keeper = make(name, 0);
    km_map *map = open_segment(name, KM_WRITE);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    elsewhere(name, KM_LOCK_SHARED, "KM_E_BUSY");
    km_close(map);
    elsewhere(name, KM_LOCK_EXCLUSIVE, "KM_OK"); /* and nobody is said to have died */
    km_close(window);
    km_close(keeper);
}

/* Many come and go: the file below is deleted and made again, and never are there two. */
static void the_lock_stays_one_while_its_users_come_and_go(void **state) {
    (void)state;
    const char *name = unique_name("come-and-go");
    km_map *keeper = make(name, 0);
    for (int i = 0; i < 50; i++) {
        km_map *one = open_segment(name, KM_WRITE);
        km_map *other = open_segment(name, KM_WRITE);
        assert_int_equal(km_lock(one, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
        km_close(i % 2 == 0 ? one : other);
        km_map *last = i % 2 == 0 ? other : one;
        assert_int_equal(km_lock(last, KM_LOCK_EXCLUSIVE, 0), i % 2 == 0 ? KM_OK : KM_E_INVALID);
        km_map *third = open_segment(name, KM_WRITE);
        assert_int_equal(km_lock(third, KM_LOCK_SHARED, 0), KM_E_BUSY);
        km_close(last);
        assert_int_equal(km_lock(third, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        km_close(third);
    }
    km_close(keeper);
}

static void anonymous_segments_lock_each_by_itself(void **state) {
    (void)state;
    const km_options options = {.access = KM_WRITE, .size = 100};
    km_map *one = NULL;
    km_map *other = NULL;
    assert_int_equal(km_segment(&one, NULL, &options), KM_OK);
    assert_int_equal(km_segment(&other, NULL, &options), KM_OK);
    assert_int_equal(km_lock(one, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(km_lock(other, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(km_unlock(one), KM_OK);
    km_close(one);
    km_close(other);
}

/* ---- Death ---- */

static void the_next_after_a_dead_holder_gets_the_lock_and_is_told(void **state) {
    (void)state;
    const char *name = unique_name("death");
    km_map *map = make(name, 0);
    kill_holder(name);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_E_OWNER_DIED);
    assert_non_null(strstr(km_error_message(), "ended while it had the lock"));
    elsewhere(name, KM_LOCK_SHARED, "KM_E_BUSY"); /* for it is held */
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_INVALID);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    km_close(map);
}

static void a_holder_that_ends_without_closing_counts_as_dead(void **state) {
    (void)state;
    const char *name = unique_name("end");
    km_map *map = make(name, 0);
    child *other = holder(name, KM_LOCK_EXCLUSIVE, "KM_OK");
    child_tell(other, "just end");
    assert_int_equal(child_finish(other), 0);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_E_OWNER_DIED);
    km_close(map);
}

static void shared_lockers_are_told_until_somebody_has_repaired(void **state) {
    (void)state;
    const char *name = unique_name("repair");
    km_map *map = make(name, 0);
    km_map *reader = open_segment(name, KM_READ);
    kill_holder(name);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(km_lock(reader, KM_LOCK_SHARED, 10000), KM_E_OWNER_DIED);
        elsewhere(name, KM_LOCK_EXCLUSIVE, "KM_E_BUSY");
        assert_int_equal(km_unlock(reader), KM_OK);
    }
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_OWNER_DIED);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(reader, KM_LOCK_SHARED, 0), KM_OK);
    km_close(reader);
    km_close(map);
}

static void who_dies_while_repairing_leaves_the_mark(void **state) {
    (void)state;
    const char *name = unique_name("again");
    km_map *map = make(name, 0);
    kill_holder(name);
    child_kill(holder(name, KM_LOCK_EXCLUSIVE, "KM_E_OWNER_DIED"));
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_E_OWNER_DIED);
    km_close(map);
}

static void closing_without_unlocking_repairs_nothing(void **state) {
    (void)state;
    const char *name = unique_name("unrepaired");
    km_map *keeper = make(name, 0);
    kill_holder(name);
    km_map *map = open_segment(name, KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_E_OWNER_DIED);
    km_close(map);
    assert_int_equal(km_lock(keeper, KM_LOCK_EXCLUSIVE, 0), KM_E_OWNER_DIED);
    assert_int_equal(km_unlock(keeper), KM_OK);
    map = open_segment(name, KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    km_close(map);
    assert_int_equal(km_lock(keeper, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    km_close(keeper);
}

static void who_waits_for_a_holder_that_is_killed_gets_the_lock_and_is_told(void **state) {
    (void)state;
    const char *name = unique_name("waiting");
    km_map *map = make(name, 0);
    child *victim = holder(name, KM_LOCK_EXCLUSIVE, "KM_OK");
    child *waiter = child_start("hold_lock", name, "1", "60000", NULL);
    Sleep(50);
    child_kill(victim);
    child_expect(waiter, "KM_E_OWNER_DIED");
    child_tell(waiter, "unlock");
    child_expect(waiter, "KM_OK");
    assert_int_equal(child_finish(waiter), 0);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
    km_close(map);
}

static void the_death_of_a_shared_holder_is_nothing_to_tell(void **state) {
    (void)state;
    const char *name = unique_name("shared-death");
    km_map *map = make(name, 0);
    child_kill(holder(name, KM_LOCK_SHARED, "KM_OK"));
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_OK);
    km_close(map);
}

static void plain_sections_lock_without_a_mark(void **state) {
    (void)state;
    const char *name = unique_name("plain");
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, name);
    assert_non_null(section);
    km_map *map = open_segment(name, KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    elsewhere(name, KM_LOCK_SHARED, "KM_E_BUSY");
    assert_int_equal(km_unlock(map), KM_OK);
    kill_holder(name);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_OK);
    km_close(map);
    assert_true(CloseHandle(section));
}

static void a_locked_segment_can_be_copied(void **state) {
    (void)state;
    const char *name = unique_name("copied");
    km_map *map = make(name, 0);
    km_map *reader = open_segment(name, KM_READ);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(km_copy(map, "copied", NULL), KM_OK);
    assert_int_equal(km_copy(reader, "copied too", NULL), KM_OK);
    km_close(reader);
    km_close(map);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold_lock", hold_lock}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_locks_go_together_and_exclusive_ones_with_nothing),
        cmocka_unit_test(processes_keep_each_other_out),
        cmocka_unit_test(machine_wide_and_other_names_have_locks_of_their_own),
        cmocka_unit_test(a_lock_is_neither_recursive_nor_for_windows),
        cmocka_unit_test(who_cannot_write_locks_shared_only),
        cmocka_unit_test(a_wait_ends_with_its_time_or_with_the_lock),
        cmocka_unit_test(closing_frees_the_lock_even_while_windows_stay),
        cmocka_unit_test(the_lock_stays_one_while_its_users_come_and_go),
        cmocka_unit_test(anonymous_segments_lock_each_by_itself),
        cmocka_unit_test(the_next_after_a_dead_holder_gets_the_lock_and_is_told),
        cmocka_unit_test(a_holder_that_ends_without_closing_counts_as_dead),
        cmocka_unit_test(shared_lockers_are_told_until_somebody_has_repaired),
        cmocka_unit_test(who_dies_while_repairing_leaves_the_mark),
        cmocka_unit_test(closing_without_unlocking_repairs_nothing),
        cmocka_unit_test(who_waits_for_a_holder_that_is_killed_gets_the_lock_and_is_told),
        cmocka_unit_test(the_death_of_a_shared_holder_is_nothing_to_tell),
        cmocka_unit_test(plain_sections_lock_without_a_mark),
        cmocka_unit_test(a_locked_segment_can_be_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
