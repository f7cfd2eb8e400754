/*
 * test_lock.c - km_lock: who waits for whom, for how long, and what death frees.
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

static km_map *open_map(const char *path, km_access access) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, &(km_options){.access = access}), KM_OK);
    return map;
}

/* ---- The other process: locks FILE in MODE ("0" shared, "1" exclusive), says how that went ----
 */

static int hold_lock(int argc, char **argv) {
    km_map *map = NULL;
    char line[64];
    if (argc != 4 || km_open(&map, argv[1], &(km_options){.access = KM_WRITE}) != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    uint32_t timeout = (uint32_t)strtoul(argv[3], NULL, 10);
    km_status status =
        km_lock(map, argv[2][0] == '1' ? KM_LOCK_EXCLUSIVE : KM_LOCK_SHARED, timeout);
    child_say("%s", km_strerror(status));
    child_hear(line, sizeof line);
    if (status == KM_OK && strcmp(line, "unlock") == 0) {
        child_say("%s", km_strerror(km_unlock(map)));
        child_hear(line, sizeof line);
    }
    km_close(map);
    return 0;
}

static void try_elsewhere(const char *path, km_lock_mode mode, km_status expected) {
    child *other = child_start("hold_lock", path, mode == KM_LOCK_EXCLUSIVE ? "1" : "0", "0", NULL);
    child_expect(other, km_strerror(expected));
    assert_int_equal(child_finish(other), 0);
}

/* ---- Tests ---- */

static void shared_locks_go_together_and_exclusive_ones_with_nothing(void **state) {
    (void)state;
    scratch_file("together", 100, 1);
    km_map *one = open_map("together", KM_WRITE);
    km_map *other = open_map("together", KM_WRITE);
    static const struct {
        km_lock_mode held, asked;
        km_status expected;
    } rows[] = {
        {KM_LOCK_SHARED, KM_LOCK_SHARED, KM_OK},
        {KM_LOCK_SHARED, KM_LOCK_EXCLUSIVE, KM_E_BUSY},
        {KM_LOCK_EXCLUSIVE, KM_LOCK_SHARED, KM_E_BUSY},
        {KM_LOCK_EXCLUSIVE, KM_LOCK_EXCLUSIVE, KM_E_BUSY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(km_lock(one, rows[i].held, 0), KM_OK);
        assert_int_equal(km_lock(other, rows[i].asked, 0), rows[i].expected);
        try_elsewhere("together", rows[i].asked, rows[i].expected);
        if (rows[i].expected == KM_OK) {
            assert_int_equal(km_unlock(other), KM_OK);
        }
        assert_int_equal(km_unlock(one), KM_OK);
        assert_int_equal(km_lock(other, rows[i].asked, 0), KM_OK);
        assert_int_equal(km_unlock(other), KM_OK);
    }
    km_close(one);
    km_close(other);
}

static void a_lock_is_neither_recursive_nor_upgradable(void **state) {
    (void)state;
    scratch_file("recursive", 100, 2);
    km_map *map = open_map("recursive", KM_WRITE);
    const km_lock_mode modes[] = {KM_LOCK_SHARED, KM_LOCK_EXCLUSIVE};
    for (size_t held = 0; held < 2; held++) {
        assert_int_equal(km_lock(map, modes[held], 0), KM_OK);
        for (size_t asked = 0; asked < 2; asked++) {
            assert_int_equal(km_lock(map, modes[asked], 0), KM_E_INVALID);
            assert_int_equal(km_lock(map, modes[asked], KM_WAIT_FOREVER), KM_E_INVALID);
        }
        assert_int_equal(km_unlock(map), KM_OK);
        assert_int_equal(km_unlock(map), KM_E_INVALID);
    }
    km_close(map);
}

static void requests_that_make_no_sense_are_refused(void **state) {
    (void)state;
    scratch_file("senseless", 100, 3);
    km_map *map = open_map("senseless", KM_WRITE);
    assert_int_equal(km_unlock(map), KM_E_INVALID);
    assert_int_equal(km_lock(map, (km_lock_mode)2, 0), KM_E_INVALID);
    assert_int_equal(km_lock(NULL, KM_LOCK_SHARED, 0), KM_E_INVALID);
    assert_int_equal(km_unlock(NULL), KM_E_INVALID);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 0, 10), KM_OK);
    assert_int_equal(km_lock(window, KM_LOCK_SHARED, 0), KM_E_UNSUPPORTED);
    assert_int_equal(km_unlock(window), KM_E_INVALID);
    km_close(window);
    km_close(map);
}

static void reading_and_private_maps_lock_too(void **state) {
    (void)state;
    scratch_file("readers", 100, 4);
    const km_access accesses[] = {KM_READ, KM_PRIVATE};
    km_map *writer = open_map("readers", KM_WRITE);
    for (size_t i = 0; i < 2; i++) {
        km_map *map = open_map("readers", accesses[i]);
        assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
        assert_int_equal(km_lock(writer, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
        assert_int_equal(km_unlock(map), KM_OK);
        assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_lock(writer, KM_LOCK_SHARED, 0), KM_E_BUSY);
        km_close(map);
        assert_int_equal(km_lock(writer, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_unlock(writer), KM_OK);
    }
    km_close(writer);
}

static void a_map_of_a_part_locks_the_same_byte(void **state) {
    (void)state;
    scratch_file("part", 1000, 5);
    km_map *part = NULL;
    assert_int_equal(
        km_open(&part, "part", &(km_options){.access = KM_WRITE, .offset = 10, .length = 5}),
        KM_OK);
    assert_int_equal(km_lock(part, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    try_elsewhere("part", KM_LOCK_SHARED, KM_E_BUSY);
    km_close(part);
    try_elsewhere("part", KM_LOCK_EXCLUSIVE, KM_OK);
}

static void a_lock_stops_no_stores_and_no_resize(void **state) {
    (void)state;
    scratch_file("stores", 100, 6);
    km_map *one = open_map("stores", KM_WRITE);
    km_map *other = open_map("stores", KM_WRITE);
    assert_int_equal(km_lock(one, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    *(char *)km_data(other) = 's';
    assert_int_equal(km_write(other, 1, "t", 1), KM_OK);
    assert_int_equal(km_flush(other, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_memory_equal(km_data(one), "st", 2);
    assert_int_equal(km_resize(one, 100000), KM_OK);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
    km_close(one);
    km_close(other);
}

static void closing_frees_the_lock_even_while_windows_stay(void **state) {
    (void)state;
    scratch_file("closing", 100, 7);
    km_map *map = open_map("closing", KM_WRITE);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    try_elsewhere("closing", KM_LOCK_SHARED, KM_E_BUSY);
    km_close(map);
    try_elsewhere("closing", KM_LOCK_EXCLUSIVE, KM_OK);
    km_close(window);
}

static void a_wait_ends_with_its_time(void **state) {
    (void)state;
    scratch_file("time", 100, 8);
    km_map *holder = open_map("time", KM_WRITE);
    km_map *waiter = open_map("time", KM_WRITE);
    assert_int_equal(km_lock(holder, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    uint64_t start = GetTickCount64();
    assert_int_equal(km_lock(waiter, KM_LOCK_SHARED, 120), KM_E_TIMEOUT);
    assert_true(GetTickCount64() - start >= 120);
    assert_non_null(strstr(km_error_message(), "120 ms"));
    assert_int_equal(km_unlock(waiter), KM_E_INVALID); /* it holds nothing */
    assert_int_equal(km_unlock(holder), KM_OK);
    assert_int_equal(km_lock(waiter, KM_LOCK_SHARED, 120), KM_OK);
    km_close(waiter);
    km_close(holder);
}

/* The other waits while we hold the lock, and has it once we let go. */
static void a_waiter_gets_what_is_freed(void **state) {
    (void)state;
    scratch_file("freed", 100, 9);
    const char *const timeouts[] = {"4294967295", "60000"};
    km_map *map = open_map("freed", KM_WRITE);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        child *waiter = child_start("hold_lock", "freed", "1", timeouts[i], NULL);
        Sleep(30); /* likely waiting by now; not needed for the result */
        assert_int_equal(km_unlock(map), KM_OK);
        child_expect(waiter, "KM_OK");
        assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_E_BUSY);
        child_tell(waiter, "unlock");
        child_expect(waiter, "KM_OK");
        assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
        assert_int_equal(km_unlock(map), KM_OK);
        assert_int_equal(child_finish(waiter), 0);
    }
    km_close(map);
}

static void death_frees_the_lock(void **state) {
    (void)state;
    scratch_file("death", 100, 10);
    km_map *map = open_map("death", KM_WRITE);
    child *holder = child_start("hold_lock", "death", "1", "0", NULL);
    child_expect(holder, "KM_OK");
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
    child_kill(holder);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 10000), KM_OK);
    km_close(map);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold_lock", hold_lock}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_locks_go_together_and_exclusive_ones_with_nothing),
        cmocka_unit_test(a_lock_is_neither_recursive_nor_upgradable),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(reading_and_private_maps_lock_too),
        cmocka_unit_test(a_map_of_a_part_locks_the_same_byte),
        cmocka_unit_test(a_lock_stops_no_stores_and_no_resize),
        cmocka_unit_test(closing_frees_the_lock_even_while_windows_stay),
        cmocka_unit_test(a_wait_ends_with_its_time),
        cmocka_unit_test(a_waiter_gets_what_is_freed),
        cmocka_unit_test(death_frees_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
