/*
 * test_semaphore.c - semaphores: counting, the maximum, threads and processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/child.h"
#include "support/thread.h"

enum { CROWD = 4, PLACES = 2, ROUNDS = 2000, LONG_ENOUGH_MS = 60000 };

static HANDLE semaphore_of(LONG count, LONG maximum) {
    HANDLE semaphore = CreateSemaphoreA(NULL, count, maximum, NULL);
    assert_non_null(semaphore);
    return semaphore;
}

static void it_lets_through_as_many_as_it_counts(void **state) {
    (void)state;
    LONG before = -1;
    HANDLE semaphore = semaphore_of(2, 5);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_TIMEOUT);
    assert_true(ReleaseSemaphore(semaphore, 3, &before));
    assert_int_equal(before, 0);
    assert_true(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(before, 3);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(WaitForSingleObject(semaphore, INFINITE), WAIT_OBJECT_0);
    }
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_TIMEOUT);
    CloseHandle(semaphore);
}

static void a_release_beyond_the_maximum_changes_nothing(void **state) {
    (void)state;
    LONG before = -1;
    HANDLE semaphore = semaphore_of(3, 4);
    assert_false(ReleaseSemaphore(semaphore, 2, &before));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(before, -1);
    assert_true(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(before, 3);
    assert_false(ReleaseSemaphore(semaphore, 0x7FFFFFFF, NULL));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    CloseHandle(semaphore);
}

static void the_greatest_maximum_can_be_reached(void **state) {
    (void)state;
    LONG before = -1;
    HANDLE semaphore = semaphore_of(0, 0x7FFFFFFF);
    assert_true(ReleaseSemaphore(semaphore, 0x7FFFFFFF, NULL));
    assert_false(ReleaseSemaphore(semaphore, 1, NULL));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_true(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(before, 0x7FFFFFFE);
    CloseHandle(semaphore);
}

static void impossible_counts_make_no_semaphore(void **state) {
    (void)state;
    static const LONG counts[][2] = {{2, 1}, {0, 0}, {-1, 1}, {0, -1}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_null(CreateSemaphoreA(NULL, counts[i][0], counts[i][1], NULL));
        assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
        assert_null(CreateSemaphoreW(NULL, counts[i][0], counts[i][1], NULL));
        assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    }
}

typedef struct room {
    HANDLE door;
    atomic_int inside;
    atomic_int most;
    atomic_uint failures;
} room;

static void visit(void *arg) {
    room *it = arg;
    for (int i = 0; i < ROUNDS; i++) {
        bool in = WaitForSingleObject(it->door, LONG_ENOUGH_MS) == WAIT_OBJECT_0;
        int now = atomic_fetch_add(&it->inside, 1) + 1;
        int most = atomic_load(&it->most);
        while (now > most && !atomic_compare_exchange_weak(&it->most, &most, now)) {
        }
        atomic_fetch_sub(&it->inside, 1);
        if (!in || !ReleaseSemaphore(it->door, 1, NULL)) {
            atomic_fetch_add(&it->failures, 1);
        }
    }
}

static void never_more_are_inside_than_there_are_places(void **state) {
    (void)state;
    room it = {.door = semaphore_of(PLACES, PLACES)};
    thread *threads[CROWD];
    for (int i = 0; i < CROWD; i++) {
        threads[i] = thread_start(visit, &it);
    }
    for (int i = 0; i < CROWD; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&it.failures), 0);
    assert_true(atomic_load(&it.most) >= 1 && atomic_load(&it.most) <= PLACES);
    for (int i = 0; i < PLACES; i++) {
        assert_int_equal(WaitForSingleObject(it.door, 0), WAIT_OBJECT_0);
    }
    assert_int_equal(WaitForSingleObject(it.door, 0), WAIT_TIMEOUT);
    CloseHandle(it.door);
}

typedef struct guest {
    HANDLE door;
    DWORD result;
} guest;

static void enter(void *arg) {
    guest *self = arg;
    self->result = WaitForSingleObject(self->door, LONG_ENOUGH_MS);
}

static void one_release_of_many_lets_many_go(void **state) {
    (void)state;
    guest guests[CROWD];
    thread *threads[CROWD];
    HANDLE door = semaphore_of(0, CROWD);
    for (int i = 0; i < CROWD; i++) {
        guests[i] = (guest){.door = door};
        threads[i] = thread_start(enter, &guests[i]);
    }
    assert_true(ReleaseSemaphore(door, CROWD, NULL));
    for (int i = 0; i < CROWD; i++) {
        thread_join(threads[i]);
        assert_int_equal(guests[i].result, WAIT_OBJECT_0);
    }
    CloseHandle(door);
}

static int take_and_give(int argc, char **argv) {
    (void)argc;
    HANDLE semaphore = OpenSemaphoreA(SEMAPHORE_ALL_ACCESS, FALSE, argv[1]);
    LONG before = -1;
    if (WaitForSingleObject(semaphore, LONG_ENOUGH_MS) != WAIT_OBJECT_0 ||
        !ReleaseSemaphore(semaphore, 5, &before)) {
        return 1;
    }
    return before == 0 ? 0 : 2;
}

static void another_process_takes_and_gives(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "keepmap-test-%lu-s", (unsigned long)GetCurrentProcessId());
    HANDLE semaphore = CreateSemaphoreA(NULL, 0, 5, name);
    assert_non_null(semaphore);
    HANDLE same = CreateSemaphoreA(NULL, 5, 9, name); /* its counts do not matter */
    assert_non_null(same);
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    child *other = child_start("take_and_give", name, NULL);
    assert_true(ReleaseSemaphore(same, 1, NULL));
    assert_int_equal(child_finish(other), 0);
    LONG before = -1;
    assert_false(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_true(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(before, 4);
    CloseHandle(same);
    CloseHandle(semaphore);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"take_and_give", take_and_give}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lets_through_as_many_as_it_counts),
        cmocka_unit_test(a_release_beyond_the_maximum_changes_nothing),
        cmocka_unit_test(the_greatest_maximum_can_be_reached),
        cmocka_unit_test(impossible_counts_make_no_semaphore),
        cmocka_unit_test(never_more_are_inside_than_there_are_places),
        cmocka_unit_test(one_release_of_many_lets_many_go),
        cmocka_unit_test(another_process_takes_and_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
