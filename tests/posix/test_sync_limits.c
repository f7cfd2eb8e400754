/*
 * test_sync_limits.c - how many mutexes a thread may own, and what becomes of those that it owns
 * when their last handle is closed; how few objects one can wait for.
 *
 * Not under tsan: it cannot keep so many locks of one thread in mind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "support/thread.h"

enum { MOST_OWNED = 2048, CLOSED = 500, LONG_ENOUGH_MS = 60000 };

static HANDLE mutexes[MOST_OWNED + 1];

/* What the last mutex says to who owns all others; 0: as it should. */
static DWORD own_all(void) {
    for (int i = 0; i < MOST_OWNED; i++) {
        if (WaitForSingleObject(mutexes[i], LONG_ENOUGH_MS) != WAIT_OBJECT_0) {
            return 1;
        }
    }
    if (WaitForSingleObject(mutexes[MOST_OWNED], INFINITE) != WAIT_FAILED ||
        GetLastError() != ERROR_NO_SYSTEM_RESOURCES) {
        return 2;
    }
    if (CreateMutexA(NULL, TRUE, NULL) != NULL || GetLastError() != ERROR_NO_SYSTEM_RESOURCES) {
        return 3;
    }
    /* Again is not one more, and who gives one gets one. */
    if (WaitForSingleObject(mutexes[0], 0) != WAIT_OBJECT_0 || !ReleaseMutex(mutexes[0]) ||
        !ReleaseMutex(mutexes[0]) || WaitForSingleObject(mutexes[MOST_OWNED], 0) != WAIT_OBJECT_0 ||
        !ReleaseMutex(mutexes[MOST_OWNED]) || WaitForSingleObject(mutexes[0], 0) != WAIT_OBJECT_0) {
        return 4;
    }
    return 0;
}

static void own_all_and_end(void *arg) {
    DWORD *result = arg;
    *result = own_all();
}

static void assert_all_abandoned(void) {
    for (int i = 0; i < MOST_OWNED; i++) {
        assert_int_equal(WaitForSingleObject(mutexes[i], LONG_ENOUGH_MS), WAIT_ABANDONED);
        assert_true(ReleaseMutex(mutexes[i]));
    }
    assert_int_equal(WaitForSingleObject(mutexes[MOST_OWNED], 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(mutexes[MOST_OWNED]));
}

static void all_that_a_thread_may_own_are_abandoned_with_its_end(void **state) {
    (void)state;
    DWORD result = 0;
    for (int i = 0; i <= MOST_OWNED; i++) {
        mutexes[i] = CreateMutexA(NULL, FALSE, NULL);
        assert_non_null(mutexes[i]);
    }
    thread_join(thread_start(own_all_and_end, &result));
    assert_int_equal(result, 0);
    assert_all_abandoned();

    int status = 0;
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        _exit((int)own_all());
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_int_equal(status, 0);
    assert_all_abandoned();
    for (int i = 0; i <= MOST_OWNED; i++) {
        assert_true(CloseHandle(mutexes[i]));
    }
}

static unsigned mappings(void) {
    int letter = 0;
    unsigned lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while ((letter = fgetc(maps)) != EOF) {
        lines += letter == '\n';
    }
    fclose(maps);
    return lines;
}

static void an_unnamed_mutex_that_its_owner_closes_is_gone(void **state) {
    (void)state;
    HANDLE first = CreateMutexA(NULL, TRUE, NULL);
    assert_true(CloseHandle(first));
    const unsigned before = mappings();
    for (int i = 0; i < CLOSED; i++) {
        HANDLE mutex = CreateMutexA(NULL, TRUE, NULL);
        assert_non_null(mutex);
        assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_OBJECT_0);
        assert_true(CloseHandle(mutex));
    }
    assert_true(mappings() < before + CLOSED / 2);
}

static void and_is_one_less_that_its_owner_owns(void **state) {
    (void)state;
    for (int i = 0; i < MOST_OWNED + 2; i++) {
        HANDLE mutex = CreateMutexA(NULL, TRUE, NULL);
        assert_non_null(mutex);
        assert_true(CloseHandle(mutex));
    }
}

static int take_and_end(HANDLE mutex) {
    const DWORD result = WaitForSingleObject(mutex, 0);
    return result == WAIT_TIMEOUT ? 0 : 1;
}

static void a_child_s_mutex_its_parent_owns_though_it_closes_it(void **state) {
    (void)state;
    int ends[2];
    char byte = 0;
    int status = 0;
    assert_int_equal(pipe(ends), 0);
    HANDLE mutex = CreateMutexA(NULL, TRUE, NULL);
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1 ? take_and_end(mutex) : 2);
    }
    assert_true(CloseHandle(mutex));
    assert_int_equal(write(ends[1], &byte, 1), 1);
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
}

/* Windows would crash, which nobody can rely on. */
static void no_handles_are_an_error(void **state) {
    (void)state;
    assert_int_equal(WaitForMultipleObjects(2, NULL, FALSE, 0), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_int_equal(WaitForMultipleObjects(1, NULL, TRUE, 0), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_thread_may_own_are_abandoned_with_its_end),
        cmocka_unit_test(an_unnamed_mutex_that_its_owner_closes_is_gone),
        cmocka_unit_test(and_is_one_less_that_its_owner_owns),
        cmocka_unit_test(no_handles_are_an_error),
        cmocka_unit_test(a_child_s_mutex_its_parent_owns_though_it_closes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
