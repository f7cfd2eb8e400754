/*
 * test_mutex.c - mutexes: owned by threads, left behind by those that end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/child.h"
#include "support/thread.h"

enum { CROWD = 4, ROUNDS = 2000, LONG_ENOUGH_MS = 60000 };

static HANDLE mutex_of(BOOL owned) {
    HANDLE mutex = CreateMutexA(NULL, owned, NULL);
    assert_non_null(mutex);
    return mutex;
}

static const char *name_of(const char *what) {
    static char name[64];
    snprintf(name, sizeof name, "keepmap-test-%lu-%s", (unsigned long)GetCurrentProcessId(), what);
    return name;
}

/* What one thread is to do to a mutex, and what it saw. */
typedef struct errand {
    HANDLE mutex, other;
    DWORD waited;
    BOOL released;
    DWORD error;
} errand;

static void try_it(void *arg) {
    errand *self = arg;
    self->waited = WaitForSingleObject(self->mutex, 0);
    self->released = ReleaseMutex(self->mutex);
    self->error = GetLastError();
}

static errand elsewhere(HANDLE mutex) {
    errand it = {.mutex = mutex};
    thread_join(thread_start(try_it, &it));
    return it;
}

static void assert_free(HANDLE mutex) {
    errand it = elsewhere(mutex);
    assert_int_equal(it.waited, WAIT_OBJECT_0);
    assert_true(it.released);
}

static void assert_owned_by_us(HANDLE mutex) {
    errand it = elsewhere(mutex);
    assert_int_equal(it.waited, WAIT_TIMEOUT);
    assert_false(it.released);
    assert_int_equal(it.error, ERROR_NOT_OWNER);
}

static void an_owner_takes_it_again_and_releases_as_often(void **state) {
    (void)state;
    HANDLE mutex = mutex_of(FALSE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_OBJECT_0);
    }
    for (int i = 0; i < 3; i++) {
        assert_owned_by_us(mutex);
        assert_true(ReleaseMutex(mutex));
    }
    assert_free(mutex);
    assert_false(ReleaseMutex(mutex));
    assert_int_equal(GetLastError(), ERROR_NOT_OWNER);
    CloseHandle(mutex);
}

static void a_mutex_created_owned_is_the_creator_s(void **state) {
    (void)state;
    HANDLE mutex = mutex_of(TRUE);
    assert_owned_by_us(mutex);
    assert_true(ReleaseMutex(mutex));
    assert_free(mutex);
    CloseHandle(mutex);
}

static void creating_an_existing_one_does_not_take_it(void **state) {
    (void)state;
    const char *name = name_of("existing");
    HANDLE first = CreateMutexA(NULL, FALSE, name);
    assert_non_null(first);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    HANDLE second = CreateMutexA(NULL, TRUE, name);
    assert_non_null(second);
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    assert_false(ReleaseMutex(second));
    assert_int_equal(GetLastError(), ERROR_NOT_OWNER);
    assert_free(first);
    CloseHandle(first);
    CloseHandle(second);
}

static void what_is_taken_by_one_handle_is_released_by_another(void **state) {
    (void)state;
    const char *name = name_of("handles");
    HANDLE first = CreateMutexA(NULL, TRUE, name);
    HANDLE second = OpenMutexA(SYNCHRONIZE, FALSE, name);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(WaitForSingleObject(second, 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(first));
    assert_owned_by_us(first);
    assert_true(CloseHandle(first));
    assert_true(ReleaseMutex(second)); /* SYNCHRONIZE is enough */
    assert_free(second);
    CloseHandle(second);
}

static void the_name_goes_with_the_last_handle_of_an_owned_mutex(void **state) {
    (void)state;
    const char *name = name_of("gone");
    HANDLE mutex = CreateMutexA(NULL, TRUE, name);
    assert_non_null(mutex);
    assert_true(CloseHandle(mutex));
    assert_null(OpenMutexA(SYNCHRONIZE, FALSE, name));
    assert_int_equal(GetLastError(), ERROR_FILE_NOT_FOUND);
    mutex = CreateMutexA(NULL, FALSE, name);
    assert_non_null(mutex);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    assert_free(mutex); /* another one */
    CloseHandle(mutex);
}

/* ---- Ends ---- */

static void take_both_and_end(void *arg) {
    errand *self = arg;
    self->waited = WaitForSingleObject(self->mutex, 0);
    if (self->other != NULL) {
        (void)WaitForSingleObject(self->mutex, 0); /* twice: its end leaves nothing of that */
        (void)WaitForSingleObject(self->other, 0);
    }
}

static void leave_behind(HANDLE mutex, HANDLE other) {
    errand it = {.mutex = mutex, .other = other};
    thread_join(thread_start(take_both_and_end, &it));
    assert_int_equal(it.waited, WAIT_OBJECT_0);
}

static void a_thread_that_ends_owning_two_abandons_both(void **state) {
    (void)state;
    HANDLE mutex = mutex_of(FALSE);
    HANDLE other = mutex_of(FALSE);
    leave_behind(mutex, other);
    assert_int_equal(WaitForSingleObject(mutex, LONG_ENOUGH_MS), WAIT_ABANDONED);
    assert_int_equal(WaitForSingleObject(other, LONG_ENOUGH_MS), WAIT_ABANDONED);
    assert_owned_by_us(mutex);
    assert_owned_by_us(other);
    assert_true(ReleaseMutex(mutex));
    assert_true(ReleaseMutex(other));
    CloseHandle(mutex);
    CloseHandle(other);
}

static void each_abandonment_is_told_once(void **state) {
    (void)state;
    HANDLE mutex = mutex_of(FALSE);
    for (int i = 0; i < 3; i++) {
        leave_behind(mutex, NULL);
        assert_int_equal(WaitForSingleObject(mutex, LONG_ENOUGH_MS), WAIT_ABANDONED);
        assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_OBJECT_0);
        assert_true(ReleaseMutex(mutex));
        assert_true(ReleaseMutex(mutex));
        assert_free(mutex);
    }
    CloseHandle(mutex);
}

static int own_and_wait(int argc, char **argv) {
    char line[16];
    (void)argc;
    HANDLE mutex = OpenMutexA(SYNCHRONIZE, FALSE, argv[1]);
    child_say(WaitForSingleObject(mutex, LONG_ENOUGH_MS) == WAIT_OBJECT_0 ? "owned" : "not owned");
    while (child_hear(line, sizeof line) && line[0] == 'c') {
        CloseHandle(mutex);
        child_say("closed");
    }
    return 0; /* without releasing it */
}

/* `how` 0: killed; 1: its handle closed, then killed; 2: ended by itself. */
static void abandoned_by_a_process(int how) {
    char name[64];
    snprintf(name, sizeof name, "%s", name_of("process"));
    HANDLE mutex = CreateMutexA(NULL, FALSE, name);
    assert_non_null(mutex);
    child *owner = child_start("own_and_wait", name, NULL);
    child_expect(owner, "owned");
    assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_TIMEOUT);
    if (how == 1) {
        child_tell(owner, "c");
        child_expect(owner, "closed");
        assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_TIMEOUT);
    }
    if (how == 2) {
        assert_int_equal(child_finish(owner), 0);
    } else {
        child_kill(owner);
    }
    assert_int_equal(WaitForSingleObject(mutex, LONG_ENOUGH_MS), WAIT_ABANDONED);
    assert_true(ReleaseMutex(mutex));
    assert_free(mutex);
    CloseHandle(mutex);
}

static void a_killed_process_abandons_what_it_owned(void **state) {
    (void)state;
    abandoned_by_a_process(0);
}

static void so_does_one_that_had_closed_its_handle(void **state) {
    (void)state;
    abandoned_by_a_process(1);
}

static void so_does_one_that_just_ends(void **state) {
    (void)state;
    abandoned_by_a_process(2);
}

static void closing_the_handle_of_an_owned_mutex_harms_nobody(void **state) {
    (void)state;
    HANDLE kept = mutex_of(FALSE);
    for (int i = 0; i < 20;
         i++) { /* what is left, and what comes after, are together in one list */
        HANDLE mutex = mutex_of(i % 2);
        assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_OBJECT_0);
        assert_int_equal(WaitForSingleObject(kept, 0), WAIT_OBJECT_0);
        assert_true(CloseHandle(mutex));
        assert_true(ReleaseMutex(kept));
    }
    assert_free(kept);
    CloseHandle(kept);
}

/* ---- Exclusion ---- */

typedef struct till {
    HANDLE mutex;
    unsigned count; /* plain: the mutex is what guards it */
    atomic_uint failures;
} till;

static void count_up(void *arg) {
    till *shared = arg;
    for (int i = 0; i < ROUNDS; i++) {
        DWORD waited = WaitForSingleObject(shared->mutex, LONG_ENOUGH_MS);
        shared->count++;
        shared->failures += waited != WAIT_OBJECT_0;
        shared->failures += !ReleaseMutex(shared->mutex);
    }
}

static void count_up_by_several(void *arg) {
    till *shared = arg;
    HANDLE free_to_all = CreateMutexA(NULL, FALSE, NULL);
    const HANDLE both[] = {free_to_all, shared->mutex};
    for (int i = 0; i < ROUNDS; i++) {
        DWORD waited = WaitForMultipleObjects(2, both, TRUE, LONG_ENOUGH_MS);
        shared->count++;
        shared->failures += waited != WAIT_OBJECT_0;
        shared->failures += !ReleaseMutex(shared->mutex) || !ReleaseMutex(free_to_all);
    }
    CloseHandle(free_to_all);
}

static void only_one_thread_at_a_time_is_inside(void **state) {
    (void)state;
    till shared = {.mutex = mutex_of(FALSE)};
    thread *threads[CROWD];
    for (int i = 0; i < CROWD; i++) {
        threads[i] = thread_start(i % 2 ? count_up_by_several : count_up, &shared);
    }
    for (int i = 0; i < CROWD; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(shared.count, CROWD * ROUNDS);
    assert_int_equal(atomic_load(&shared.failures), 0);
    CloseHandle(shared.mutex);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"own_and_wait", own_and_wait}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_takes_it_again_and_releases_as_often),
        cmocka_unit_test(a_mutex_created_owned_is_the_creator_s),
        cmocka_unit_test(creating_an_existing_one_does_not_take_it),
        cmocka_unit_test(what_is_taken_by_one_handle_is_released_by_another),
        cmocka_unit_test(the_name_goes_with_the_last_handle_of_an_owned_mutex),
        cmocka_unit_test(a_thread_that_ends_owning_two_abandons_both),
        cmocka_unit_test(each_abandonment_is_told_once),
        cmocka_unit_test(a_killed_process_abandons_what_it_owned),
        cmocka_unit_test(so_does_one_that_had_closed_its_handle),
        cmocka_unit_test(so_does_one_that_just_ends),
        cmocka_unit_test(closing_the_handle_of_an_owned_mutex_harms_nobody),
        cmocka_unit_test(only_one_thread_at_a_time_is_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
