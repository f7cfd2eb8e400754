/*
 * test_wait.c - waiting for one and for several objects.
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

#include "support/scratch.h"
#include "support/thread.h"

enum {
    MOST = MAXIMUM_WAIT_OBJECTS,
    ROUNDS = 1000,
    MANY_ROUNDS = 20000,
    LONG_ENOUGH_MS = 60000,
    SHORT_MS = 30
};

static HANDLE event_of(BOOL manual, BOOL signaled) {
    HANDLE event = CreateEventA(NULL, manual, signaled, NULL);
    assert_non_null(event);
    return event;
}

static DWORD any_of(DWORD count, const HANDLE *objects) {
    return WaitForMultipleObjects(count, objects, FALSE, 0);
}

static DWORD all_of(DWORD count, const HANDLE *objects) {
    return WaitForMultipleObjects(count, objects, TRUE, 0);
}

static void close_each(const HANDLE *objects, int count) {
    for (int i = 0; i < count; i++) {
        assert_true(CloseHandle(objects[i]));
    }
}

static void any_takes_the_first_that_is_signaled_and_no_other(void **state) {
    (void)state;
    const HANDLE events[] = {event_of(FALSE, FALSE), event_of(FALSE, TRUE), event_of(FALSE, TRUE)};
    assert_int_equal(any_of(3, events), WAIT_OBJECT_0 + 1);
    assert_int_equal(any_of(3, events), WAIT_OBJECT_0 + 2);
    assert_int_equal(any_of(3, events), WAIT_TIMEOUT);
    close_each(events, 3);
}

static void all_takes_nothing_unless_it_can_take_all(void **state) {
    (void)state;
    const HANDLE objects[] = {event_of(FALSE, TRUE), CreateSemaphoreA(NULL, 1, 2, NULL),
                              CreateMutexA(NULL, FALSE, NULL), event_of(FALSE, FALSE)};
    assert_int_equal(all_of(4, objects), WAIT_TIMEOUT);
    assert_int_equal(WaitForMultipleObjects(4, objects, TRUE, SHORT_MS), WAIT_TIMEOUT);
    assert_false(ReleaseMutex(objects[2]));
    assert_true(SetEvent(objects[3]));
    assert_int_equal(all_of(4, objects), WAIT_OBJECT_0);
    assert_int_equal(any_of(2, objects), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(objects[3], 0), WAIT_TIMEOUT);
    assert_true(ReleaseMutex(objects[2]));
    assert_false(ReleaseMutex(objects[2]));
    close_each(objects, 4);
}

static void as_many_as_64_can_be_waited_for(void **state) {
    (void)state;
    HANDLE events[MOST + 1];
    for (int i = 0; i <= MOST; i++) {
        events[i] = event_of(FALSE, FALSE);
    }
    assert_true(SetEvent(events[MOST - 1]));
    assert_int_equal(any_of(MOST, events), WAIT_OBJECT_0 + MOST - 1);
    assert_int_equal(WaitForMultipleObjects(MOST, events, FALSE, SHORT_MS), WAIT_TIMEOUT);
    for (int i = 0; i < MOST; i++) {
        assert_true(SetEvent(events[i]));
    }
    assert_int_equal(all_of(MOST, events), WAIT_OBJECT_0);
    assert_int_equal(any_of(MOST, events), WAIT_TIMEOUT);
    assert_int_equal(any_of(MOST + 1, events), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_int_equal(any_of(0, events), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    close_each(events, MOST + 1);
}

static void a_bad_handle_among_good_ones_takes_nothing(void **state) {
    (void)state;
    HANDLE good = event_of(FALSE, TRUE);
    const HANDLE objects[] = {good, NULL};
    assert_int_equal(any_of(2, objects), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_int_equal(WaitForSingleObject(good, 0), WAIT_OBJECT_0);
    assert_true(CloseHandle(good));
}

static void a_wait_ends_after_its_time_and_not_before(void **state) {
    (void)state;
    const HANDLE events[] = {event_of(FALSE, FALSE), event_of(TRUE, FALSE)};
    LARGE_INTEGER frequency, begin, middle, end;
    assert_true(QueryPerformanceFrequency(&frequency));
    assert_true(QueryPerformanceCounter(&begin));
    assert_int_equal(WaitForSingleObject(events[0], SHORT_MS), WAIT_TIMEOUT);
    assert_true(QueryPerformanceCounter(&middle));
    assert_int_equal(WaitForMultipleObjects(2, events, FALSE, SHORT_MS), WAIT_TIMEOUT);
    assert_true(QueryPerformanceCounter(&end));
    /* Clocks differ by a little. */
    const LONGLONG least = frequency.QuadPart * (SHORT_MS - 5) / 1000;
    assert_true(middle.QuadPart - begin.QuadPart >= least);
    assert_true(end.QuadPart - middle.QuadPart >= least);
    close_each(events, 2);
}

static void waiting_leaves_the_last_error_alone(void **state) {
    (void)state;
    const HANDLE events[] = {event_of(FALSE, FALSE), event_of(TRUE, TRUE)};
    SetLastError(0xBEEF);
    assert_int_equal(WaitForSingleObject(events[0], 1), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(events[1], 1), WAIT_OBJECT_0);
    assert_int_equal(WaitForMultipleObjects(2, events, TRUE, 1), WAIT_TIMEOUT);
    assert_int_equal(WaitForMultipleObjects(2, events, FALSE, 1), WAIT_OBJECT_0 + 1);
    assert_int_equal(GetLastError(), 0xBEEF);
    close_each(events, 2);
}

/* ---- Abandoned mutexes ---- */

static void take_and_end(void *mutex) {
    (void)WaitForSingleObject(mutex, 0);
}

static HANDLE abandoned_mutex(void) {
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    assert_non_null(mutex);
    thread_join(thread_start(take_and_end, mutex));
    return mutex;
}

static void any_tells_which_mutex_was_abandoned(void **state) {
    (void)state;
    const HANDLE objects[] = {event_of(FALSE, FALSE), abandoned_mutex(), event_of(TRUE, TRUE)};
    assert_int_equal(any_of(3, objects), WAIT_ABANDONED_0 + 1);
    assert_int_equal(any_of(3, objects), WAIT_OBJECT_0 + 1);
    close_each(objects, 3);
}

static void all_tells_that_one_was_abandoned(void **state) {
    (void)state;
    const HANDLE objects[] = {event_of(FALSE, FALSE), abandoned_mutex()};
    assert_int_equal(all_of(2, objects), WAIT_TIMEOUT);
    assert_true(SetEvent(objects[0]));
    assert_int_equal(all_of(2, objects), WAIT_ABANDONED_0);
    assert_true(ReleaseMutex(objects[1]));
    assert_true(SetEvent(objects[0]));
    assert_int_equal(all_of(2, objects), WAIT_OBJECT_0);
    close_each(objects, 2);
}

/* ---- Other objects ---- */

static void a_file_is_always_signaled(void **state) {
    (void)state;
    scratch_file("waited", 100, 1);
    HANDLE file =
        CreateFileA("waited", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    const HANDLE objects[] = {event_of(FALSE, FALSE), file};
    assert_int_equal(WaitForSingleObject(file, INFINITE), WAIT_OBJECT_0);
    assert_int_equal(any_of(2, objects), WAIT_OBJECT_0 + 1);
    assert_int_equal(WaitForMultipleObjects(2, objects, TRUE, SHORT_MS), WAIT_TIMEOUT);
    assert_true(SetEvent(objects[0]));
    assert_int_equal(all_of(2, objects), WAIT_OBJECT_0);
    close_each(objects, 2);
}

static void this_process_does_not_end_while_it_waits(void **state) {
    (void)state;
    assert_int_equal(WaitForSingleObject(GetCurrentProcess(), 1), WAIT_TIMEOUT);
    HANDLE event = event_of(FALSE, FALSE);
    assert_int_equal(SignalObjectAndWait(event, GetCurrentProcess(), 1, FALSE), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    assert_true(CloseHandle(event));
}

/* ---- SignalObjectAndWait ---- */

static void one_call_signals_one_and_waits_for_another(void **state) {
    (void)state;
    HANDLE event = event_of(FALSE, FALSE);
    HANDLE other = event_of(FALSE, TRUE);
    HANDLE mutex = CreateMutexA(NULL, TRUE, NULL);
    HANDLE semaphore = CreateSemaphoreA(NULL, 0, 1, NULL);
    assert_int_equal(SignalObjectAndWait(event, other, INFINITE, FALSE), WAIT_OBJECT_0);
    assert_int_equal(SignalObjectAndWait(semaphore, event, INFINITE, FALSE), WAIT_OBJECT_0);
    assert_int_equal(SignalObjectAndWait(mutex, semaphore, INFINITE, FALSE), WAIT_OBJECT_0);
    assert_false(ReleaseMutex(mutex));
    assert_int_equal(SignalObjectAndWait(event, other, 1, FALSE), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    const HANDLE objects[] = {event, other, mutex, semaphore};
    close_each(objects, 4);
}

static void what_cannot_be_signaled_is_not_waited_after(void **state) {
    (void)state;
    HANDLE event = event_of(FALSE, TRUE);
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    HANDLE semaphore = CreateSemaphoreA(NULL, 1, 1, NULL);
    assert_int_equal(SignalObjectAndWait(mutex, event, 0, FALSE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_NOT_OWNER);
    assert_int_equal(SignalObjectAndWait(semaphore, event, 0, FALSE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(SignalObjectAndWait(NULL, event, 0, FALSE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    const HANDLE objects[] = {event, mutex, semaphore};
    close_each(objects, 3);
}

static void nothing_is_signaled_before_a_wait_that_cannot_be(void **state) {
    (void)state;
    HANDLE event = event_of(FALSE, FALSE);
    assert_int_equal(SignalObjectAndWait(event, NULL, 0, FALSE), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_true(CloseHandle(event));
}

/* ---- Threads ---- */

typedef struct player {
    HANDLE own[2];   /* told by these, either in turn */
    HANDLE other[2]; /* tells by these */
    BOOL all;
    DWORD rounds;
    DWORD failures;
} player;

static void play(void *arg) {
    player *self = arg;
    for (DWORD i = 0; i < self->rounds; i++) {
        DWORD waited = WaitForMultipleObjects(2, self->own, self->all, LONG_ENOUGH_MS);
        DWORD wanted = self->all ? WAIT_OBJECT_0 : WAIT_OBJECT_0 + i % 2;
        self->failures += waited != wanted;
        self->failures += !SetEvent(self->other[i % 2]);
        if (self->all) {
            self->failures += !SetEvent(self->other[1 - i % 2]);
        }
    }
}

static void keep_step(BOOL all) {
    const HANDLE events[] = {event_of(FALSE, TRUE), event_of(FALSE, all), event_of(FALSE, FALSE),
                             event_of(FALSE, FALSE)};
    player one = {.own = {events[0], events[1]}, .other = {events[2], events[3]}};
    player two = {.own = {events[2], events[3]}, .other = {events[1], events[0]}};
    one.all = two.all = all;
    one.rounds = two.rounds = ROUNDS;
    thread *threads[] = {thread_start(play, &one), thread_start(play, &two)};
    thread_join(threads[0]);
    thread_join(threads[1]);
    assert_int_equal(one.failures, 0);
    assert_int_equal(two.failures, 0);
    close_each(events, 4);
}

static void two_threads_keep_step_each_waiting_for_any_of_two(void **state) {
    (void)state;
    keep_step(FALSE);
}

static void two_threads_keep_step_each_waiting_for_all_of_two(void **state) {
    (void)state;
    keep_step(TRUE);
}

typedef struct setter {
    HANDLE events[2];
    atomic_uint turn; /* of a round; 0: nothing to do yet */
} setter;

/* Always both, and the first before the second. */
static void set_in_order(void *arg) {
    setter *self = arg;
    for (unsigned round = 1; round <= MANY_ROUNDS; round++) {
        while (atomic_load(&self->turn) < round) {
            Sleep(0);
        }
        for (atomic_uint pause = 0; pause < round % 200; pause++) {
        }
        (void)SetEvent(self->events[0]);
        (void)SetEvent(self->events[1]);
    }
}

static void any_never_takes_a_later_one_and_leaves_an_earlier(void **state) {
    (void)state;
    setter other = {.events = {event_of(FALSE, FALSE), event_of(FALSE, FALSE)}};
    thread *one = thread_start(set_in_order, &other);
    for (unsigned round = 1; round <= MANY_ROUNDS; round++) {
        atomic_store(&other.turn, round);
        assert_int_equal(WaitForMultipleObjects(2, other.events, FALSE, LONG_ENOUGH_MS),
                         WAIT_OBJECT_0);
        assert_int_equal(WaitForSingleObject(other.events[1], LONG_ENOUGH_MS), WAIT_OBJECT_0);
    }
    thread_join(one);
    close_each(other.events, 2);
}

typedef struct worker {
    HANDLE objects[3]; /* stop, work, more work */
    atomic_uint *done;
} worker;

static void work(void *arg) {
    worker *self = arg;
    while (WaitForMultipleObjects(3, self->objects, FALSE, LONG_ENOUGH_MS) != WAIT_OBJECT_0) {
        atomic_fetch_add(self->done, 1);
    }
}

static void workers_do_all_the_work_that_is_announced(void **state) {
    (void)state;
    enum { WORKERS = 3 };
    atomic_uint done = 0;
    thread *threads[WORKERS];
    HANDLE stop = event_of(TRUE, FALSE);
    HANDLE few = CreateSemaphoreA(NULL, 0, 10 * ROUNDS, NULL);
    HANDLE more = CreateSemaphoreA(NULL, 0, 10 * ROUNDS, NULL);
    worker each = {.objects = {stop, few, more}, .done = &done};
    for (int i = 0; i < WORKERS; i++) {
        threads[i] = thread_start(work, &each);
    }
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(ReleaseSemaphore(i % 2 ? few : more, 1, NULL));
        if (i % 100 == 0) {
            Sleep(1); /* they go to sleep now and then */
        }
    }
    while (atomic_load(&done) < ROUNDS) {
        Sleep(1);
    }
    assert_true(SetEvent(stop));
    for (int i = 0; i < WORKERS; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&done), ROUNDS);
    const HANDLE objects[] = {stop, few, more};
    close_each(objects, 3);
}

typedef struct diner {
    HANDLE forks[2];
    DWORD failures;
} diner;

static void dine(void *arg) {
    diner *self = arg;
    for (int i = 0; i < ROUNDS; i++) {
        DWORD waited = WaitForMultipleObjects(2, self->forks, TRUE, LONG_ENOUGH_MS);
        self->failures += waited != WAIT_OBJECT_0;
        self->failures += !ReleaseMutex(self->forks[0]) || !ReleaseMutex(self->forks[1]);
    }
}

static void philosophers_who_take_both_forks_or_none_all_eat(void **state) {
    (void)state;
    enum { TABLE = 4 };
    HANDLE forks[TABLE];
    diner diners[TABLE];
    thread *threads[TABLE];
    for (int i = 0; i < TABLE; i++) {
        forks[i] = CreateMutexA(NULL, FALSE, NULL);
    }
    for (int i = 0; i < TABLE; i++) {
        diners[i] = (diner){.forks = {forks[i], forks[(i + 1) % TABLE]}};
        threads[i] = thread_start(dine, &diners[i]);
    }
    for (int i = 0; i < TABLE; i++) {
        thread_join(threads[i]);
        assert_int_equal(diners[i].failures, 0);
    }
    close_each(forks, TABLE);
}

static void a_thread_has_a_number_of_its_own(void **state) {
    (void)state;
    assert_int_not_equal(GetCurrentThreadId(), 0);
    assert_int_equal(GetCurrentThreadId(), GetCurrentThreadId());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_takes_the_first_that_is_signaled_and_no_other),
        cmocka_unit_test(all_takes_nothing_unless_it_can_take_all),
        cmocka_unit_test(as_many_as_64_can_be_waited_for),
        cmocka_unit_test(a_bad_handle_among_good_ones_takes_nothing),
        cmocka_unit_test(a_wait_ends_after_its_time_and_not_before),
        cmocka_unit_test(waiting_leaves_the_last_error_alone),
        cmocka_unit_test(any_tells_which_mutex_was_abandoned),
        cmocka_unit_test(all_tells_that_one_was_abandoned),
        cmocka_unit_test(a_file_is_always_signaled),
        cmocka_unit_test(this_process_does_not_end_while_it_waits),
        cmocka_unit_test(one_call_signals_one_and_waits_for_another),
        cmocka_unit_test(what_cannot_be_signaled_is_not_waited_after),
        cmocka_unit_test(nothing_is_signaled_before_a_wait_that_cannot_be),
        cmocka_unit_test(two_threads_keep_step_each_waiting_for_any_of_two),
        cmocka_unit_test(two_threads_keep_step_each_waiting_for_all_of_two),
        cmocka_unit_test(any_never_takes_a_later_one_and_leaves_an_earlier),
        cmocka_unit_test(workers_do_all_the_work_that_is_announced),
        cmocka_unit_test(philosophers_who_take_both_forks_or_none_all_eat),
        cmocka_unit_test(a_thread_has_a_number_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
