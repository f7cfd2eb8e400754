/*
 * test_sync_death.c - what becomes of those who wait, and of what was owned, when somebody dies at
 * a bad moment.
 *
 * "Killed between being woken and taking" is played by a child that waits as the library does and
 * ends when it is woken: nothing else can be made to end there every time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/futex.h"
#include "posix/sync_object.h"
#include "posix/sync_sleep.h"

#include "support/stress.h"
#include "support/thread.h"

enum { LONG_ENOUGH_MS = 60000, DEATHS = 100 };

/* ---- Children ---- */

typedef struct stage {
    atomic_uint begun; /* children that are about to wait */
    atomic_uint taken;
} stage;

static stage *shared;

static pid_t play(void (*part)(void *arg), void *arg) {
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        part(arg);
        _exit(0);
    }
    return id;
}

static int end_of(pid_t id) {
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

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

/* It has said that it is about to wait, and sleeps now. */
static void see_asleep(pid_t id, unsigned begun) {
    while (atomic_load(&shared->begun) < begun || state_of(id) != 'S') {
        usleep(1000);
    }
}

static kmw_sync_page *page_of(HANDLE handle, const kmw_sync_class *class) {
    kmw_use use = kmw_sync_use(handle, class, 0);
    assert_non_null(use.object);
    kmw_sync_page *page = kmw_sync_page_in(use);
    kmw_use_end(use);
    return page; /* the test keeps the handle */
}

static void wait_as_usual(void *event) {
    atomic_fetch_add(&shared->begun, 1);
    if (WaitForSingleObject(event, INFINITE) != WAIT_OBJECT_0) {
        _exit(1);
    }
    atomic_fetch_add(&shared->taken, 1);
}

static void wait_for_several(void *event) {
    const HANDLE objects[] = {CreateEventA(NULL, FALSE, FALSE, NULL), event};
    atomic_fetch_add(&shared->begun, 1);
    if (WaitForMultipleObjects(2, objects, FALSE, INFINITE) != WAIT_OBJECT_0 + 1) {
        _exit(1);
    }
    atomic_fetch_add(&shared->taken, 1);
}

/* The wake-up dies with it. */
static void die_when_woken(void *event) {
    kmw_sync_page *page = page_of(event, &kmw_event_class);
    kmw_sync_enter(page);
    atomic_fetch_add(&shared->begun, 1);
    unsigned word = atomic_load(&page->state->word);
    while ((word & 1) == 0) {
        kmw_futex_wait(&page->state->word, word, NULL);
        word = atomic_load(&page->state->word);
    }
    _exit(7);
}

/* ---- Lost wake-ups ---- */

static void beside_a_dying_one(void (*wait)(void *event), bool dying_first) {
    shared = stress_shared_memory(sizeof *shared);
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    pid_t dying = 0, waiting = 0;
    if (dying_first) {
        dying = play(die_when_woken, event);
        see_asleep(dying, 1);
    }
    waiting = play(wait, event);
    see_asleep(waiting, dying_first ? 2 : 1);
    if (!dying_first) {
        dying = play(die_when_woken, event);
        see_asleep(dying, 2);
    }
    assert_true(SetEvent(event));
    /* Whom it wakes is the system's choice. If it was not the one that dies, once more. */
    int ended = 0;
    while (waitpid(dying, &ended, WNOHANG) == 0) {
        usleep(1000);
        if (atomic_load(&shared->taken) != 0) {
            (void)SetEvent(event);
        }
    }
    assert_int_equal(WEXITSTATUS(ended), 7);
    assert_int_equal(end_of(waiting), 0);
    assert_int_equal(atomic_load(&shared->taken), 1);
    CloseHandle(event);
}

static void a_wake_up_that_dies_with_an_earlier_waiter_is_not_lost(void **state) {
    (void)state;
    beside_a_dying_one(wait_as_usual, true);
}

static void nor_one_that_dies_with_a_later_waiter(void **state) {
    (void)state;
    beside_a_dying_one(wait_as_usual, false);
}

static void nor_are_they_lost_to_who_waits_for_several(void **state) {
    (void)state;
    beside_a_dying_one(wait_for_several, true);
    beside_a_dying_one(wait_for_several, false);
}

static void an_event_works_as_before_when_many_waiters_were_killed(void **state) {
    (void)state;
    shared = stress_shared_memory(sizeof *shared);
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    for (unsigned i = 1; i <= 20; i++) {
        pid_t waiter = play(i % 2 ? wait_as_usual : wait_for_several, event);
        see_asleep(waiter, i);
        kill(waiter, SIGKILL);
        assert_int_equal(end_of(waiter), 128 + SIGKILL);
    }
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    pid_t waiter = play(wait_as_usual, event);
    see_asleep(waiter, 21);
    assert_true(SetEvent(event));
    assert_int_equal(end_of(waiter), 0);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    CloseHandle(event);
}

/* ---- Mutexes ---- */

static void own_and_sleep(void *mutex) {
    DWORD result = WaitForSingleObject(mutex, 0);
    atomic_store(&shared->taken, result == WAIT_OBJECT_0 ? 1 : 2);
    for (;;) {
        pause();
    }
}

typedef struct heir {
    HANDLE mutex;
    bool for_several;
    DWORD result;
    BOOL released;
} heir;

static void inherit(void *arg) {
    heir *self = arg;
    HANDLE other = CreateEventA(NULL, FALSE, FALSE, NULL);
    const HANDLE objects[] = {self->mutex, other};
    atomic_fetch_add(&shared->begun, 1);
    self->result = self->for_several ? WaitForMultipleObjects(2, objects, FALSE, LONG_ENOUGH_MS)
                                     : WaitForSingleObject(self->mutex, LONG_ENOUGH_MS);
    self->released = ReleaseMutex(self->mutex);
    CloseHandle(other);
}

static void of_several_heirs_exactly_one_is_told(void **state) {
    (void)state;
    enum { HEIRS = 4 };
    shared = stress_shared_memory(sizeof *shared);
    heir heirs[HEIRS];
    thread *threads[HEIRS];
    unsigned told = 0;
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    pid_t owner = play(own_and_sleep, mutex);
    while (atomic_load(&shared->taken) == 0) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&shared->taken), 1);
    for (int i = 0; i < HEIRS; i++) {
        heirs[i] = (heir){.mutex = mutex, .for_several = i % 2};
        threads[i] = thread_start(inherit, &heirs[i]);
    }
    while (atomic_load(&shared->begun) < HEIRS) {
        usleep(1000);
    }
    kill(owner, SIGKILL);
    assert_int_equal(end_of(owner), 128 + SIGKILL);
    for (int i = 0; i < HEIRS; i++) {
        thread_join(threads[i]);
        assert_true(heirs[i].released);
        told += heirs[i].result == WAIT_ABANDONED;
        assert_true(heirs[i].result == WAIT_ABANDONED || heirs[i].result == WAIT_OBJECT_0);
    }
    assert_int_equal(told, 1);
    CloseHandle(mutex);
}

static void take_and_end(void *mutex) {
    (void)WaitForSingleObject(mutex, 0);
}

static void putting_back_an_abandoned_mutex_leaves_it_abandoned(void **state) {
    (void)state;
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    kmw_sync_page *page = page_of(mutex, &kmw_mutex_class);
    unsigned found = 0;
    thread_join(thread_start(take_and_end, mutex));
    for (int i = 0; i < 3; i++) { /* as a wait for all does that loses the race for another */
        assert_int_equal(kmw_mutex_class.take(page, 0, &found), KMW_TAKEN_ABANDONED);
        kmw_mutex_class.put_back(page, KMW_TAKEN_ABANDONED, found);
    }
    assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_ABANDONED);
    assert_true(ReleaseMutex(mutex));
    assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(mutex));
    CloseHandle(mutex);
}

/* Shared memory without a file has this name. */
static unsigned shared_mappings(void) {
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "/dev/zero (deleted)") != NULL;
    }
    fclose(maps);
    return count;
}

typedef struct owner {
    HANDLE mutex, owned, closed;
} owner;

static void own_until_closed(void *arg) {
    owner *self = arg;
    self->mutex = CreateMutexA(NULL, TRUE, NULL);
    (void)SetEvent(self->owned);
    (void)WaitForSingleObject(self->closed, LONG_ENOUGH_MS);
}

static void what_dead_threads_owned_and_nobody_can_reach_is_let_go(void **state) {
    (void)state;
    owner other = {.owned = CreateEventA(NULL, FALSE, FALSE, NULL),
                   .closed = CreateEventA(NULL, FALSE, FALSE, NULL)};
    unsigned before = shared_mappings();
    for (int i = 0; i < DEATHS; i++) {
        thread *one = thread_start(own_until_closed, &other);
        assert_int_equal(WaitForSingleObject(other.owned, LONG_ENOUGH_MS), WAIT_OBJECT_0);
        assert_true(CloseHandle(other.mutex));
        assert_true(SetEvent(other.closed));
        thread_join(one);
    }
    for (int i = 0; i < DEATHS; i++) { /* creating one looks for some of those */
        assert_true(CloseHandle(CreateMutexA(NULL, FALSE, NULL)));
    }
    assert_int_equal(shared_mappings(), before);
    CloseHandle(other.owned);
    CloseHandle(other.closed);
}

static void wait_without_limit(void *mutex) {
    (void)WaitForSingleObject(mutex, INFINITE);
}

static void a_mutex_that_cannot_be_recovered_is_an_error_and_no_hang(void **state) {
    (void)state;
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    const HANDLE objects[] = {mutex, CreateEventA(NULL, TRUE, TRUE, NULL)};
    pthread_mutex_t *inside = &page_of(mutex, &kmw_mutex_class)->state->mutex;
    thread_join(thread_start(wait_without_limit, mutex));
    /* As a program would that is not keepmap: taken over, and let go without being mended. */
    assert_int_equal(pthread_mutex_trylock(inside), EOWNERDEAD);
    assert_int_equal(pthread_mutex_unlock(inside), 0);
    assert_int_equal(WaitForSingleObject(mutex, INFINITE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_DATA);
    assert_int_equal(WaitForMultipleObjects(2, objects, FALSE, INFINITE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_DATA);
    assert_int_equal(WaitForMultipleObjects(2, objects, TRUE, INFINITE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_DATA);
    CloseHandle(objects[1]);
    CloseHandle(mutex);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wake_up_that_dies_with_an_earlier_waiter_is_not_lost),
        cmocka_unit_test(nor_one_that_dies_with_a_later_waiter),
        cmocka_unit_test(nor_are_they_lost_to_who_waits_for_several),
        cmocka_unit_test(an_event_works_as_before_when_many_waiters_were_killed),
        cmocka_unit_test(of_several_heirs_exactly_one_is_told),
        cmocka_unit_test(putting_back_an_abandoned_mutex_leaves_it_abandoned),
        cmocka_unit_test(what_dead_threads_owned_and_nobody_can_reach_is_let_go),
        cmocka_unit_test(a_mutex_that_cannot_be_recovered_is_an_error_and_no_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
