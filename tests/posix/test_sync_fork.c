/*
 * test_sync_fork.c - a forked child and its parent's events, mutexes and semaphores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

enum { LONG_ENOUGH_MS = 60000, ROUNDS = 200 };

typedef struct objects {
    HANDLE event, other, mutex;
} objects;

/* The exit status of a child that runs `part`; 0: all was as it should be. */
static int in_child(int (*part)(const objects *it), const objects *it) {
    int status = 0;
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(part(it));
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int answer(const objects *it) {
    for (int i = 0; i < ROUNDS; i++) {
        if (WaitForSingleObject(it->event, LONG_ENOUGH_MS) != WAIT_OBJECT_0 ||
            !SetEvent(it->other)) {
            return 1;
        }
    }
    return 0;
}

static void call(void *arg) {
    const objects *it = arg;
    for (int i = 0; i < ROUNDS; i++) {
        (void)SetEvent(it->event);
        (void)WaitForSingleObject(it->other, LONG_ENOUGH_MS);
    }
}

static void unnamed_events_are_shared_with_the_child(void **state) {
    (void)state;
    objects it = {.event = CreateEventA(NULL, FALSE, FALSE, NULL),
                  .other = CreateEventA(NULL, FALSE, FALSE, NULL)};
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(answer(&it));
    }
    int status = 0;
    call(&it);
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_int_equal(status, 0);
    CloseHandle(it.event);
    CloseHandle(it.other);
}

static int cannot_use_the_mutex(const objects *it) {
    if (ReleaseMutex(it->mutex) || GetLastError() != ERROR_NOT_OWNER) {
        return 1;
    }
    if (WaitForSingleObject(it->mutex, 0) != WAIT_TIMEOUT) {
        return 2;
    }
    return CloseHandle(it->mutex) ? 0 : 3;
}

static void what_the_parent_owns_the_child_does_not(void **state) {
    (void)state;
    objects it = {.mutex = CreateMutexA(NULL, TRUE, NULL)};
    assert_int_equal(WaitForSingleObject(it.mutex, 0), WAIT_OBJECT_0);
    assert_int_equal(in_child(cannot_use_the_mutex, &it), 0);
    /* And its end takes nothing away. */
    assert_true(ReleaseMutex(it.mutex));
    assert_true(ReleaseMutex(it.mutex));
    assert_false(ReleaseMutex(it.mutex));
    CloseHandle(it.mutex);
}

static int take_twice_and_release(const objects *it) {
    for (int i = 0; i < 2; i++) {
        if (WaitForSingleObject(it->mutex, 0) != WAIT_OBJECT_0) {
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (!ReleaseMutex(it->mutex)) {
            return 2;
        }
    }
    return ReleaseMutex(it->mutex) ? 3 : 0;
}

static void the_child_takes_what_its_parent_has_released(void **state) {
    (void)state;
    objects it = {.mutex = CreateMutexA(NULL, TRUE, NULL)};
    assert_true(ReleaseMutex(it.mutex));
    assert_int_equal(in_child(take_twice_and_release, &it), 0);
    assert_int_equal(WaitForSingleObject(it.mutex, 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(it.mutex));
    CloseHandle(it.mutex);
}

/* Forked while its parent owned it, it takes it when the parent has released it. */
static int wait_and_take(const objects *it) {
    if (!SetEvent(it->event) || WaitForSingleObject(it->mutex, LONG_ENOUGH_MS) != WAIT_OBJECT_0) {
        return 1;
    }
    return ReleaseMutex(it->mutex) && !ReleaseMutex(it->mutex) && CloseHandle(it->mutex) ? 0 : 2;
}

static void release_it(const objects *it) {
    assert_int_equal(WaitForSingleObject(it->event, LONG_ENOUGH_MS), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(it->mutex));
}

static void a_child_forked_by_the_owner_can_become_the_owner(void **state) {
    (void)state;
    objects it = {.mutex = CreateMutexA(NULL, TRUE, NULL),
                  .event = CreateEventA(NULL, FALSE, FALSE, NULL)};
    int status = 0;
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(wait_and_take(&it));
    }
    release_it(&it);
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_int_equal(status, 0);
    assert_int_equal(WaitForSingleObject(it.mutex, 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(it.mutex));
    CloseHandle(it.mutex);
    CloseHandle(it.event);
}

static int take_and_die(const objects *it) {
    (void)WaitForSingleObject(it->mutex, 0);
    raise(SIGKILL);
    return 1;
}

static void what_a_child_dies_owning_its_parent_is_told(void **state) {
    (void)state;
    objects it = {.mutex = CreateMutexA(NULL, FALSE, NULL)};
    assert_int_equal(in_child(take_and_die, &it), 128 + SIGKILL);
    assert_int_equal(WaitForSingleObject(it.mutex, 0), WAIT_ABANDONED);
    assert_true(ReleaseMutex(it.mutex));
    CloseHandle(it.mutex);
}

static int has_another_number(const objects *it) {
    return GetCurrentThreadId() == (DWORD)getpid() && GetCurrentThreadId() != (DWORD)(uintptr_t)it
               ? 0
               : 1;
}

static void the_child_s_thread_has_its_own_number(void **state) {
    (void)state;
    const uintptr_t ours = GetCurrentThreadId();
    assert_int_equal(in_child(has_another_number, (const objects *)ours), 0);
}

static void a_child_keeps_the_name(void **state) {
    (void)state;
    char name[64];
    int ends[2];
    snprintf(name, sizeof name, "keepmap-test-%d-kept", (int)getpid());
    assert_int_equal(pipe(ends), 0);
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, name);
    assert_non_null(event);
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    assert_true(CloseHandle(event));
    event = OpenEventA(SYNCHRONIZE, FALSE, name);
    assert_non_null(event);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    assert_true(CloseHandle(event));
    close(ends[1]);
    assert_int_equal(waitpid(id, NULL, 0), id);
    assert_null(OpenEventA(SYNCHRONIZE, FALSE, name));
    assert_int_equal(GetLastError(), ERROR_FILE_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unnamed_events_are_shared_with_the_child),
        cmocka_unit_test(what_the_parent_owns_the_child_does_not),
        cmocka_unit_test(the_child_takes_what_its_parent_has_released),
        cmocka_unit_test(a_child_forked_by_the_owner_can_become_the_owner),
        cmocka_unit_test(what_a_child_dies_owning_its_parent_is_told),
        cmocka_unit_test(the_child_s_thread_has_its_own_number),
        cmocka_unit_test(a_child_keeps_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
