/*
 * test_sync_turns.c - every wake-up is passed on to somebody who can use it, and what a wait for
 * all takes and cannot keep is put back.
 *
 * A wait looks again now and then, and would find what nobody woke it for. So that it cannot, the
 * time between two looks is longer here than a test may take.
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

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/futex.h"
#include "posix/sync_object.h"
#include "posix/sync_sleep.h"

#include "support/thread.h"

enum { AN_HOUR_MS = 3600 * 1000, SIGNALED = 1 };

static kmw_sync_page *page_of(HANDLE handle, const kmw_sync_class *class) {
    kmw_use use = kmw_sync_use(handle, class, 0);
    assert_non_null(use.object);
    kmw_sync_page *page = kmw_sync_page_in(use);
    kmw_use_end(use);
    return page; /* the test keeps the handle */
}

static HANDLE event_of(BOOL manual, BOOL signaled) {
    HANDLE event = CreateEventA(NULL, manual, signaled, NULL);
    assert_non_null(event);
    return event;
}

/* ---- Processes that wait ---- */

typedef struct waiter {
    HANDLE objects[2];
    DWORD count;
    BOOL all;
} waiter;

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

/* Sleeps on its objects when this returns; its exit status will be what the wait came to. */
static pid_t start_waiting(const waiter *it) {
    kmw_sync_page *last = page_of(it->objects[it->count - 1], &kmw_event_class);
    const unsigned before = atomic_load(&last->state->waiters);
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit((int)WaitForMultipleObjects(it->count, it->objects, it->all, INFINITE));
    }
    while (atomic_load(&last->state->waiters) == before || state_of(id) != 'S') {
        usleep(1000);
    }
    return id;
}

static int end_of(pid_t id) {
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int look_seldom(void **state) {
    (void)state;
    atomic_store(&kmw_sync_look_again_ms, AN_HOUR_MS);
    return 0;
}

/* ---- Turns ---- */

static void who_takes_another_object_hands_its_wake_up_on(void **state) {
    (void)state;
    HANDLE first = event_of(FALSE, FALSE);
    HANDLE second = event_of(FALSE, FALSE);
    pid_t for_any = start_waiting(&(waiter){.objects = {first, second}, .count = 2});
    pid_t for_one = start_waiting(&(waiter){.objects = {second}, .count = 1});
    /* The first is set by somebody who wakes nobody. The second wakes who came first. */
    atomic_fetch_or(&page_of(first, &kmw_event_class)->state->word, SIGNALED);
    assert_true(SetEvent(second));
    assert_int_equal(end_of(for_any), WAIT_OBJECT_0);
    assert_int_equal(end_of(for_one), WAIT_OBJECT_0);
    CloseHandle(first);
    CloseHandle(second);
}

static void who_cannot_take_all_hands_its_wake_up_on(void **state) {
    (void)state;
    HANDLE missing = event_of(FALSE, FALSE);
    HANDLE wanted = event_of(FALSE, FALSE);
    pid_t for_all = start_waiting(&(waiter){.objects = {missing, wanted}, .count = 2, .all = TRUE});
    pid_t for_one = start_waiting(&(waiter){.objects = {wanted}, .count = 1});
    assert_true(SetEvent(wanted));
    assert_int_equal(end_of(for_one), WAIT_OBJECT_0);
    assert_true(SetEvent(missing));
    assert_true(SetEvent(wanted));
    assert_int_equal(end_of(for_all), WAIT_OBJECT_0);
    CloseHandle(missing);
    CloseHandle(wanted);
}

static void a_released_mutex_wakes_who_waits_for_several(void **state) {
    (void)state;
    for (BOOL all = FALSE; all <= TRUE; all++) {
        HANDLE mutex = CreateMutexA(NULL, TRUE, NULL);
        HANDLE event = event_of(TRUE, all);
        pid_t other = start_waiting(&(waiter){.objects = {mutex, event}, .count = 2, .all = all});
        assert_true(ReleaseMutex(mutex));
        assert_int_equal(end_of(other), WAIT_OBJECT_0);
        CloseHandle(mutex);
        CloseHandle(event);
    }
}

static void pulses_reach_who_waits_for_several(void **state) {
    (void)state;
    HANDLE idle = event_of(FALSE, FALSE);
    for (BOOL manual = FALSE; manual <= TRUE; manual++) {
        HANDLE event = event_of(manual, FALSE);
        pid_t other = start_waiting(&(waiter){.objects = {event, idle}, .count = 2});
        assert_true(PulseEvent(event));
        assert_int_equal(end_of(other), WAIT_OBJECT_0);
        assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
        CloseHandle(event);
    }
    CloseHandle(idle);
}

static void also_without_the_call_for_several(void **state) {
    const bool has = atomic_exchange(&kmw_futex_has_waitv, false);
    pulses_reach_who_waits_for_several(state);
    a_released_mutex_wakes_who_waits_for_several(state);
    atomic_store(&kmw_futex_has_waitv, has);
}

static void a_pulse_lets_nobody_go_who_comes_later(void **state) {
    (void)state;
    HANDLE event = event_of(FALSE, FALSE);
    kmw_sync_page *page = page_of(event, &kmw_event_class);
    unsigned found = 0;
    const unsigned since = atomic_load(&page->state->word);
    assert_true(PulseEvent(event));
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_true(ResetEvent(event));
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    /* But one of those who had come before. */
    assert_int_equal(kmw_event_class.take(page, since, &found), KMW_TAKEN);
    assert_int_equal(kmw_event_class.take(page, since, &found), KMW_NOT_SIGNALED);
    CloseHandle(event);
}

/* ---- Putting back ---- */

static void take_and_end(void *mutex) {
    (void)WaitForSingleObject(mutex, INFINITE);
}

/* One that looks free and is not to be had, each time. */
static HANDLE broken_mutex(void) {
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    pthread_mutex_t *inside = &page_of(mutex, &kmw_mutex_class)->state->mutex;
    thread_join(thread_start(take_and_end, mutex));
    /* As a program would that is not keepmap: taken over, and let go without being mended. */
    assert_int_equal(pthread_mutex_trylock(inside), EOWNERDEAD);
    assert_int_equal(pthread_mutex_unlock(inside), 0);
    assert_int_equal(WaitForSingleObject(mutex, INFINITE), WAIT_FAILED);
    return mutex;
}

static void what_all_cannot_keep_is_put_back(void **state) {
    (void)state;
    const HANDLE objects[] = {event_of(FALSE, TRUE), CreateSemaphoreA(NULL, 1, 2, NULL),
                              CreateMutexA(NULL, FALSE, NULL), broken_mutex()};
    assert_int_equal(WaitForMultipleObjects(4, objects, TRUE, INFINITE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_DATA);
    assert_false(ReleaseMutex(objects[2]));
    assert_int_equal(WaitForMultipleObjects(3, objects, TRUE, 0), WAIT_OBJECT_0);
    assert_true(ReleaseMutex(objects[2]));
    for (int i = 0; i < 4; i++) {
        CloseHandle(objects[i]);
    }
}

static void what_is_put_back_wakes_who_waits_for_it(void **state) {
    (void)state;
    unsigned found = 0;
    HANDLE event = event_of(FALSE, TRUE);
    kmw_sync_page *page = page_of(event, &kmw_event_class);
    assert_int_equal(kmw_event_class.take(page, 0, &found), KMW_TAKEN);
    pid_t other = start_waiting(&(waiter){.objects = {event}, .count = 1});
    kmw_event_class.put_back(page, KMW_TAKEN, found);
    assert_int_equal(end_of(other), WAIT_OBJECT_0);
    CloseHandle(event);
}

static void a_reset_event_is_not_put_back(void **state) {
    (void)state;
    unsigned found = 0;
    HANDLE event = event_of(FALSE, TRUE);
    kmw_sync_page *page = page_of(event, &kmw_event_class);
    for (int pulse = 0; pulse < 2; pulse++) {
        assert_true(SetEvent(event));
        assert_int_equal(kmw_event_class.take(page, 0, &found), KMW_TAKEN);
        assert_true(pulse ? PulseEvent(event) : ResetEvent(event));
        kmw_event_class.put_back(page, KMW_TAKEN, found);
        assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    }
    CloseHandle(event);
}

static void a_semaphore_filled_meanwhile_stays_full(void **state) {
    (void)state;
    unsigned found = 0;
    HANDLE semaphore = CreateSemaphoreA(NULL, 2, 2, NULL);
    kmw_sync_page *page = page_of(semaphore, &kmw_semaphore_class);
    assert_int_equal(kmw_semaphore_class.take(page, 0, &found), KMW_TAKEN);
    assert_true(ReleaseSemaphore(semaphore, 1, NULL));
    kmw_semaphore_class.put_back(page, KMW_TAKEN, found);
    assert_false(ReleaseSemaphore(semaphore, 1, NULL));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_TIMEOUT);
    CloseHandle(semaphore);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_another_object_hands_its_wake_up_on),
        cmocka_unit_test(who_cannot_take_all_hands_its_wake_up_on),
        cmocka_unit_test(a_released_mutex_wakes_who_waits_for_several),
        cmocka_unit_test(pulses_reach_who_waits_for_several),
        cmocka_unit_test(also_without_the_call_for_several),
        cmocka_unit_test(a_pulse_lets_nobody_go_who_comes_later),
        cmocka_unit_test(what_all_cannot_keep_is_put_back),
        cmocka_unit_test(what_is_put_back_wakes_who_waits_for_it),
        cmocka_unit_test(a_reset_event_is_not_put_back),
        cmocka_unit_test(a_semaphore_filled_meanwhile_stays_full),
    };
    return cmocka_run_group_tests(tests, look_seldom, NULL);
}
