/*
 * test_sync_calls.c - where nobody waits, signaling and taking are no system calls.
 *
 * It is done where the kernel kills who makes one: in a process that has given up all of them but
 * read, write and exit.
 *
 * Not under asan: the sanitizers make system calls of their own.
 * Not under tsan: likewise.
 * Not under valgrind: likewise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

enum { ROUNDS = 3000 };

typedef struct objects {
    HANDLE automatic, manual, semaphore, mutex;
} objects;

static bool use_events(const objects *it) {
    const HANDLE both[] = {it->manual, it->automatic};
    return SetEvent(it->automatic) &&
           WaitForSingleObject(it->automatic, INFINITE) == WAIT_OBJECT_0 && SetEvent(it->manual) &&
           SetEvent(it->automatic) &&
           WaitForMultipleObjects(2, both, TRUE, INFINITE) == WAIT_OBJECT_0 &&
           ResetEvent(it->manual) && SetEvent(it->automatic) &&
           WaitForMultipleObjects(2, both, FALSE, INFINITE) == WAIT_OBJECT_0 + 1 &&
           WaitForSingleObject(it->automatic, 0) == WAIT_TIMEOUT;
}

static bool use_semaphore(const objects *it) {
    return ReleaseSemaphore(it->semaphore, 1, NULL) &&
           WaitForSingleObject(it->semaphore, INFINITE) == WAIT_OBJECT_0;
}

static bool use_mutex(const objects *it) {
    return WaitForSingleObject(it->mutex, INFINITE) == WAIT_OBJECT_0 && ReleaseMutex(it->mutex);
}

static bool add_a_system_call(const objects *it) {
    (void)it;
    return syscall(SYS_getppid) > 0;
}

/* The status of a process that uses them, the last times without system calls. */
static int use_without_calls(bool (*use)(const objects *it), const objects *it) {
    int status = 0;
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        bool well = use(it) && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0;
        for (int i = 0; i < ROUNDS && well; i++) {
            well = use(it);
        }
        syscall(SYS_exit, well ? 0 : 1);
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    return status;
}

static void nothing_that_nobody_waits_for_is_a_system_call(void **state) {
    (void)state;
    const objects it = {
        .automatic = CreateEventA(NULL, FALSE, FALSE, NULL),
        .manual = CreateEventA(NULL, TRUE, FALSE, NULL),
        .semaphore = CreateSemaphoreA(NULL, 0, 1, NULL),
        .mutex = CreateMutexA(NULL, FALSE, NULL),
    };
    assert_int_equal(use_without_calls(use_events, &it), 0);
    assert_int_equal(use_without_calls(use_semaphore, &it), 0);
    assert_int_equal(use_without_calls(use_mutex, &it), 0);
    int status = use_without_calls(add_a_system_call, &it);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it would have been seen */
    CloseHandle(it.automatic);
    CloseHandle(it.manual);
    CloseHandle(it.semaphore);
    CloseHandle(it.mutex);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_nobody_waits_for_is_a_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
