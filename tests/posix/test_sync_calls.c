/*
 * test_sync_calls.c - where nobody waits, signaling and taking are no system calls; and where
 * somebody does, being killed at that call costs him nothing but a moment.
 *
 * The former is done where the kernel kills who makes one: in a process that has given up all of
 * them but read, write and exit. The latter where it kills who calls futex.
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
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/sync_object.h"

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

/* ---- Killed between changing the word and waking ---- */

/* S: it sleeps. */
static char state_of(pid_t id) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)id);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *end = strrchr(text, ')');
    assert_non_null(end);
    return end[2];
}

static pid_t start_waiting(HANDLE object) {
    kmw_use use = kmw_use_begin(object, KMW_ANY);
    const kmw_sync_state *state = kmw_sync_page_in(use)->state;
    kmw_use_end(use);
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(WaitForSingleObject(object, INFINITE) == WAIT_OBJECT_0 ? 0 : 1);
    }
    while (atomic_load(&state->waiters) == 0 || state_of(id) != 'S') {
        usleep(1000);
    }
    return id;
}

static bool die_at_futex(void) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static BOOL release_one(HANDLE semaphore) {
    return ReleaseSemaphore(semaphore, 1, NULL);
}

static void outlive_the_signaler(HANDLE object, BOOL (*signal_it)(HANDLE object)) {
    int status = 0;
    pid_t waiter = start_waiting(object);
    pid_t signaler = fork();
    assert_true(signaler >= 0);
    if (signaler == 0) {
        _exit(die_at_futex() && signal_it(object) ? 0 : 1);
    }
    assert_int_equal(waitpid(signaler, &status, 0), signaler);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS); /* when about to wake */
    assert_int_equal(waitpid(waiter, &status, 0), waiter);
    assert_int_equal(status, 0);
    CloseHandle(object);
}

static void a_signal_outlives_who_was_killed_before_waking(void **state) {
    (void)state;
    outlive_the_signaler(CreateEventA(NULL, TRUE, FALSE, NULL), SetEvent);
    outlive_the_signaler(CreateEventA(NULL, FALSE, FALSE, NULL), SetEvent);
    outlive_the_signaler(CreateEventA(NULL, TRUE, FALSE, NULL), PulseEvent);
    outlive_the_signaler(CreateEventA(NULL, FALSE, FALSE, NULL), PulseEvent);
    outlive_the_signaler(CreateSemaphoreA(NULL, 0, 1, NULL), release_one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_nobody_waits_for_is_a_system_call),
        cmocka_unit_test(a_signal_outlives_who_was_killed_before_waking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
