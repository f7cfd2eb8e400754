/*
 * test_file_lock_threads.c - LockFileEx from several threads: one handle's waiters, and its locks
 * when they move to another description.
 *
 * Not under valgrind: it runs one thread at a time, and loops that race hardly advance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define SHARED 0u
#define EXCLUSIVE LOCKFILE_EXCLUSIVE_LOCK

static HANDLE open_file(const char *path, DWORD access) {
    HANDLE file =
        CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static BOOL lock_at(HANDLE file, DWORD offset, DWORD length, DWORD flags) {
    OVERLAPPED at = {.Offset = offset};
    return LockFileEx(file, flags, 0, length, 0, &at);
}

static BOOL try_lock(HANDLE file, DWORD offset, DWORD length, DWORD flags) {
    return lock_at(file, offset, length, flags | LOCKFILE_FAIL_IMMEDIATELY);
}

static BOOL unlock_at(HANDLE file, DWORD offset, DWORD length) {
    OVERLAPPED at = {.Offset = offset};
    return UnlockFileEx(file, 0, length, 0, &at);
}

typedef struct waiter {
    pthread_t thread;
    HANDLE file;
    DWORD offset, length, flags;
    atomic_bool done;
    BOOL result;
} waiter;

static void *wait_and_lock(void *argument) {
    waiter *self = argument;
    self->result = lock_at(self->file, self->offset, self->length, self->flags);
    atomic_store(&self->done, true);
    return NULL;
}

static void start(waiter *self) {
    atomic_init(&self->done, false);
    assert_int_equal(pthread_create(&self->thread, NULL, wait_and_lock, self), 0);
}

static void finish(waiter *self) {
    assert_int_equal(pthread_join(self->thread, NULL), 0);
    assert_true(self->result);
}

/* Long enough that a waiter has begun to wait, as a rule; what is asserted holds either way. */
static void let_it_wait(void) {
    Sleep(20);
}

static void a_thread_waits_for_its_own_handles_range(void **state) {
    (void)state;
    HANDLE file = open_file("own", GENERIC_READ | GENERIC_WRITE);
    assert_true(try_lock(file, 0, 10, EXCLUSIVE));
    waiter second = {.file = file, .offset = 5, .length = 10, .flags = EXCLUSIVE};
    start(&second);
    let_it_wait();
    assert_false(atomic_load(&second.done));
    assert_true(unlock_at(file, 0, 10));
    finish(&second);
    assert_true(try_lock(file, 0, 5, EXCLUSIVE));
    CloseHandle(file);
}

static void a_thread_waits_for_another_handles_range(void **state) {
    (void)state;
    HANDLE file = open_file("others", GENERIC_READ | GENERIC_WRITE);
    HANDLE other = open_file("others", GENERIC_READ | GENERIC_WRITE);
    assert_true(try_lock(other, 0, 10, EXCLUSIVE));
    waiter second = {.file = file, .offset = 5, .length = 10, .flags = SHARED};
    start(&second);
    let_it_wait();
    assert_false(atomic_load(&second.done));
    /* The waiting one holds nothing yet, and stands in nobody's way elsewhere. */
    assert_true(try_lock(other, 12, 1, EXCLUSIVE));
    assert_true(unlock_at(other, 12, 1));
    assert_true(try_lock(file, 20, 1, EXCLUSIVE));
    assert_true(unlock_at(other, 0, 10));
    finish(&second);
    assert_false(try_lock(other, 5, 1, EXCLUSIVE));
    assert_true(try_lock(other, 5, 1, SHARED));
    CloseHandle(file);
    CloseHandle(other);
}

static void a_waiter_survives_the_move_to_a_writable_description(void **state) {
    (void)state;
    CloseHandle(open_file("moved", GENERIC_READ | GENERIC_WRITE));
    HANDLE reader = open_file("moved", GENERIC_READ);
    HANDLE other = open_file("moved", GENERIC_READ | GENERIC_WRITE);
    assert_true(try_lock(other, 0, 10, EXCLUSIVE));
    assert_true(try_lock(reader, 50, 10, SHARED));
    waiter second = {.file = reader, .offset = 0, .length = 10, .flags = SHARED};
    start(&second);
    let_it_wait();
    assert_true(try_lock(reader, 100, 10, EXCLUSIVE)); /* makes the locks move */
    assert_false(try_lock(other, 50, 1, EXCLUSIVE));
    assert_true(unlock_at(other, 0, 10));
    finish(&second);
    assert_false(try_lock(other, 0, 1, EXCLUSIVE));
    assert_true(unlock_at(reader, 0, 10));
    assert_true(try_lock(other, 0, 10, EXCLUSIVE)); /* nothing stayed behind */
    CloseHandle(reader);
    assert_true(try_lock(other, 50, 60, EXCLUSIVE));
    CloseHandle(other);
}

static void on_signal(int number) {
    (void)number;
}

static void a_signal_does_not_end_waiting(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    struct sigaction before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    HANDLE file = open_file("signalled", GENERIC_READ | GENERIC_WRITE);
    HANDLE other = open_file("signalled", GENERIC_READ | GENERIC_WRITE);
    assert_true(try_lock(other, 0, 10, EXCLUSIVE));
    waiter second = {.file = file, .offset = 0, .length = 10, .flags = EXCLUSIVE};
    start(&second);
    let_it_wait();
    for (int i = 0; i < 5; ++i) {
        assert_int_equal(pthread_kill(second.thread, SIGUSR1), 0);
    }
    let_it_wait();
    assert_false(atomic_load(&second.done));
    assert_true(unlock_at(other, 0, 10));
    finish(&second);
    CloseHandle(file);
    CloseHandle(other);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void a_forked_child_shares_its_parents_locks(void **state) {
    (void)state;
    HANDLE file = open_file("forked", GENERIC_READ | GENERIC_WRITE);
    HANDLE other = open_file("forked", GENERIC_READ | GENERIC_WRITE);
    assert_true(try_lock(file, 0, 10, EXCLUSIVE));
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        BOOL closed = CloseHandle(file);
        _exit(closed && !try_lock(other, 0, 1, SHARED) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(try_lock(other, 0, 1, SHARED)); /* the parent holds it still */
    CloseHandle(file);
    assert_true(try_lock(other, 0, 1, SHARED));
    CloseHandle(other);
}

/* ---- Exclusion under load ---- */

enum { THREADS = 6, ROUNDS = 300, CELLS = 4 };

/* What the locks guard: readers of a cell, or -1 for one writer. */
static atomic_int cells[CELLS];
static atomic_int violations;

typedef struct worker {
    pthread_t thread;
    HANDLE file;
    bool exclusive; /* always: a handle's own shared locks pass over its exclusive ones */
    unsigned seed;
} worker;

static void enter_and_leave(atomic_int *cell, bool exclusive) {
    if (exclusive) {
        int nobody = 0;
        if (!atomic_compare_exchange_strong(cell, &nobody, -1)) {
            atomic_fetch_add(&violations, 1);
            return;
        }
        sched_yield();
        atomic_store(cell, 0);
        return;
    }
    if (atomic_fetch_add(cell, 1) < 0) {
        atomic_fetch_add(&violations, 1);
    }
    sched_yield();
    atomic_fetch_sub(cell, 1);
}

static void *work(void *argument) {
    worker *self = argument;
    for (int round = 0; round < ROUNDS; ++round) {
        self->seed = self->seed * 1103515245u + 12345u;
        DWORD first = (self->seed >> 16) % CELLS;
        DWORD count = 1 + (self->seed >> 20) % (CELLS - first);
        bool exclusive = self->exclusive || (self->seed >> 24) % 3 == 0;
        if (!lock_at(self->file, first, count, exclusive ? EXCLUSIVE : SHARED)) {
            atomic_fetch_add(&violations, 1);
            continue;
        }
        for (DWORD cell = first; cell < first + count; ++cell) {
            enter_and_leave(&cells[cell], exclusive);
        }
        if (!unlock_at(self->file, first, count)) {
            atomic_fetch_add(&violations, 1);
        }
    }
    return NULL;
}

static void threads_on_one_and_several_handles_never_meet_inside(void **state) {
    (void)state;
    worker workers[THREADS];
    HANDLE shared = open_file("load", GENERIC_READ | GENERIC_WRITE);
    HANDLE reader = open_file("load", GENERIC_READ);
    HANDLE own = open_file("load", GENERIC_READ | GENERIC_WRITE);
    HANDLE own_reader = open_file("load", GENERIC_READ);
    const HANDLE files[THREADS] = {shared, shared, reader, reader, own, own_reader};
    for (unsigned i = 0; i < THREADS; ++i) {
        workers[i].file = files[i];
        workers[i].exclusive = files[i] == shared || files[i] == reader;
        workers[i].seed = i + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; ++i) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    assert_int_equal(atomic_load(&violations), 0);
    assert_true(try_lock(own, 0, CELLS, EXCLUSIVE)); /* and all is given back */
    CloseHandle(shared);
    CloseHandle(reader);
    CloseHandle(own);
    CloseHandle(own_reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_waits_for_its_own_handles_range),
        cmocka_unit_test(a_thread_waits_for_another_handles_range),
        cmocka_unit_test(a_waiter_survives_the_move_to_a_writable_description),
        cmocka_unit_test(a_signal_does_not_end_waiting),
        cmocka_unit_test(a_forked_child_shares_its_parents_locks),
        cmocka_unit_test(threads_on_one_and_several_handles_never_meet_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
