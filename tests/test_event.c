/*
 * test_event.c - events, between threads and between processes.
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

enum { CROWD = 4, ROUNDS = 500, LONG_ENOUGH_MS = 60000 };

static HANDLE event_of(BOOL manual, BOOL signaled) {
    HANDLE event = CreateEventA(NULL, manual, signaled, NULL);
    assert_non_null(event);
    return event;
}

/* A name that no other run uses. */
static const char *name_of(const char *what) {
    static char name[64];
    snprintf(name, sizeof name, "keepmap-test-%lu-%s", (unsigned long)GetCurrentProcessId(), what);
    return name;
}

static void a_set_auto_event_lets_one_wait_go(void **state) {
    (void)state;
    HANDLE event = event_of(FALSE, FALSE);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_true(SetEvent(event));
    assert_true(SetEvent(event)); /* no more than set */
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_true(CloseHandle(event));
}

static void a_set_manual_event_stays_set_until_it_is_reset(void **state) {
    (void)state;
    HANDLE event = event_of(TRUE, FALSE);
    assert_true(SetEvent(event));
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(event, INFINITE), WAIT_OBJECT_0);
    assert_true(ResetEvent(event));
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_true(CloseHandle(event));
}

static void an_event_may_be_set_from_the_start(void **state) {
    (void)state;
    HANDLE automatic = event_of(FALSE, TRUE);
    HANDLE manual = event_of(TRUE, TRUE);
    assert_int_equal(WaitForSingleObject(automatic, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(automatic, 0), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
    CloseHandle(automatic);
    CloseHandle(manual);
}

static void a_pulse_that_nobody_waits_for_leaves_the_event_reset(void **state) {
    (void)state;
    for (int manual = 0; manual < 2; manual++) {
        HANDLE event = event_of(manual, TRUE);
        assert_true(PulseEvent(event));
        assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
        CloseHandle(event);
    }
}

/* ---- Threads ---- */

typedef struct waiter {
    HANDLE event;
    atomic_uint *gone;
    DWORD result;
} waiter;

static void wait_for_it(void *arg) {
    waiter *self = arg;
    self->result = WaitForSingleObject(self->event, LONG_ENOUGH_MS);
    atomic_fetch_add(self->gone, 1);
}

static void start_crowd(waiter *crowd, thread **threads, HANDLE event, atomic_uint *gone) {
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (waiter){.event = event, .gone = gone};
        threads[i] = thread_start(wait_for_it, &crowd[i]);
    }
}

static void join_crowd(const waiter *crowd, thread **threads) {
    for (int i = 0; i < CROWD; i++) {
        thread_join(threads[i]);
        assert_int_equal(crowd[i].result, WAIT_OBJECT_0);
    }
}

static void a_manual_event_lets_everybody_go(void **state) {
    (void)state;
    atomic_uint gone = 0;
    waiter crowd[CROWD];
    thread *threads[CROWD];
    HANDLE event = event_of(TRUE, FALSE);
    start_crowd(crowd, threads, event, &gone);
    assert_true(SetEvent(event));
    join_crowd(crowd, threads);
    CloseHandle(event);
}

static void each_set_of_an_auto_event_lets_one_go(void **state) {
    (void)state;
    atomic_uint gone = 0;
    waiter crowd[CROWD];
    thread *threads[CROWD];
    HANDLE event = event_of(FALSE, FALSE);
    start_crowd(crowd, threads, event, &gone);
    for (unsigned i = 1; i <= CROWD; i++) {
        assert_true(SetEvent(event));
        while (atomic_load(&gone) < i) {
            Sleep(1);
        }
        assert_int_equal(atomic_load(&gone), i);
    }
    join_crowd(crowd, threads);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    CloseHandle(event);
}

static void pulses_let_go_who_waits_and_leave_the_event_reset(void **state) {
    (void)state;
    for (int manual = 0; manual < 2; manual++) {
        atomic_uint gone = 0;
        waiter crowd[CROWD];
        thread *threads[CROWD];
        HANDLE event = event_of(manual, FALSE);
        start_crowd(crowd, threads, event, &gone);
        while (atomic_load(&gone) < CROWD) { /* who comes later needs a later one */
            assert_true(PulseEvent(event));
            Sleep(1);
        }
        join_crowd(crowd, threads);
        assert_true(PulseEvent(event));
        assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
        CloseHandle(event);
    }
}

/* ---- Names and processes ---- */

static void two_handles_of_one_name_are_one_event(void **state) {
    (void)state;
    const char *name = name_of("one");
    HANDLE first = CreateEventA(NULL, FALSE, FALSE, name);
    assert_non_null(first);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    HANDLE second = CreateEventA(NULL, TRUE, TRUE, name); /* neither manual nor set by that */
    assert_non_null(second);
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    HANDLE third = OpenEventA(SYNCHRONIZE, FALSE, name);
    assert_non_null(third);
    assert_int_equal(WaitForSingleObject(third, 0), WAIT_TIMEOUT);
    assert_true(SetEvent(first));
    assert_int_equal(WaitForSingleObject(third, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(second, 0), WAIT_TIMEOUT);
    assert_true(CloseHandle(first));
    assert_true(CloseHandle(second));
    assert_true(CloseHandle(third));
    assert_null(OpenEventA(SYNCHRONIZE, FALSE, name));
    assert_int_equal(GetLastError(), ERROR_FILE_NOT_FOUND);
}

static void wide_and_narrow_names_are_the_same_names(void **state) {
    (void)state;
    WCHAR wide[64];
    const char *name = name_of("wide");
    size_t i = 0;
    for (; name[i] != '\0'; i++) {
        wide[i] = (WCHAR)name[i];
    }
    wide[i] = 0;
    HANDLE first = CreateEventW(NULL, FALSE, TRUE, wide);
    assert_non_null(first);
    HANDLE second = OpenEventA(EVENT_ALL_ACCESS, FALSE, name);
    HANDLE third = OpenEventW(EVENT_ALL_ACCESS, FALSE, wide);
    assert_non_null(second);
    assert_non_null(third);
    assert_int_equal(WaitForSingleObject(second, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(third, 0), WAIT_TIMEOUT);
    CloseHandle(first);
    CloseHandle(second);
    CloseHandle(third);
}

static void events_without_a_name_are_different_ones(void **state) {
    (void)state;
    HANDLE first = CreateEventA(NULL, TRUE, FALSE, "");
    HANDLE second = CreateEventA(NULL, TRUE, FALSE, "");
    assert_non_null(first);
    assert_non_null(second);
    assert_true(SetEvent(first));
    assert_int_equal(WaitForSingleObject(second, 0), WAIT_TIMEOUT);
    CloseHandle(first);
    CloseHandle(second);
}

static void what_a_handle_may_not_do_it_does_not(void **state) {
    (void)state;
    const char *name = name_of("rights");
    HANDLE all = CreateEventA(NULL, TRUE, FALSE, name);
    HANDLE waiting = OpenEventA(SYNCHRONIZE, FALSE, name);
    HANDLE setting = OpenEventA(EVENT_MODIFY_STATE, FALSE, name);
    assert_non_null(all);
    assert_non_null(waiting);
    assert_non_null(setting);
    assert_false(SetEvent(waiting));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_false(ResetEvent(waiting));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_false(PulseEvent(waiting));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_int_equal(WaitForSingleObject(setting, 0), WAIT_FAILED);
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_true(SetEvent(setting));
    assert_int_equal(WaitForSingleObject(waiting, 0), WAIT_OBJECT_0);

    HANDLE lesser = NULL;
    HANDLE self = GetCurrentProcess();
    assert_true(DuplicateHandle(self, all, self, &lesser, GENERIC_EXECUTE, FALSE, 0));
    assert_int_equal(WaitForSingleObject(lesser, 0), WAIT_OBJECT_0);
    assert_false(SetEvent(lesser));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    CloseHandle(lesser);
    CloseHandle(all);
    CloseHandle(waiting);
    CloseHandle(setting);
}

static int answer(int argc, char **argv) {
    (void)argc;
    HANDLE ping = OpenEventA(SYNCHRONIZE, FALSE, argv[1]);
    HANDLE pong = OpenEventA(EVENT_MODIFY_STATE, FALSE, argv[2]);
    for (int i = 0; i < ROUNDS; i++) {
        if (WaitForSingleObject(ping, LONG_ENOUGH_MS) != WAIT_OBJECT_0 || !SetEvent(pong)) {
            return 1;
        }
    }
    return 0;
}

static void two_processes_keep_step_through_two_events(void **state) {
    (void)state;
    char names[2][64];
    snprintf(names[0], sizeof names[0], "%s", name_of("ping"));
    snprintf(names[1], sizeof names[1], "%s", name_of("pong"));
    HANDLE ping = CreateEventA(NULL, FALSE, FALSE, names[0]);
    HANDLE pong = CreateEventA(NULL, FALSE, FALSE, names[1]);
    assert_non_null(ping);
    assert_non_null(pong);
    child *other = child_start("answer", names[0], names[1], NULL);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(SetEvent(ping));
        assert_int_equal(WaitForSingleObject(pong, LONG_ENOUGH_MS), WAIT_OBJECT_0);
    }
    assert_int_equal(WaitForSingleObject(pong, 0), WAIT_TIMEOUT);
    assert_int_equal(child_finish(other), 0);
    CloseHandle(ping);
    CloseHandle(pong);
}

static int hold_event(int argc, char **argv) {
    char line[16];
    (void)argc;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, argv[1]);
    child_say(event != NULL ? "held" : "not held");
    (void)child_hear(line, sizeof line);
    return 0;
}

static void a_killed_holder_s_name_is_gone(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "%s", name_of("killed"));
    child *other = child_start("hold_event", name, NULL);
    child_expect(other, "held");
    HANDLE event = OpenEventA(SYNCHRONIZE, FALSE, name);
    assert_non_null(event);
    assert_true(CloseHandle(event));
    child_kill(other);
    assert_null(OpenEventA(SYNCHRONIZE, FALSE, name));
    assert_int_equal(GetLastError(), ERROR_FILE_NOT_FOUND);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {
        {"answer", answer}, {"hold_event", hold_event}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_auto_event_lets_one_wait_go),
        cmocka_unit_test(a_set_manual_event_stays_set_until_it_is_reset),
        cmocka_unit_test(an_event_may_be_set_from_the_start),
        cmocka_unit_test(a_pulse_that_nobody_waits_for_leaves_the_event_reset),
        cmocka_unit_test(a_manual_event_lets_everybody_go),
        cmocka_unit_test(each_set_of_an_auto_event_lets_one_go),
        cmocka_unit_test(pulses_let_go_who_waits_and_leave_the_event_reset),
        cmocka_unit_test(two_handles_of_one_name_are_one_event),
        cmocka_unit_test(wide_and_narrow_names_are_the_same_names),
        cmocka_unit_test(events_without_a_name_are_different_ones),
        cmocka_unit_test(what_a_handle_may_not_do_it_does_not),
        cmocka_unit_test(two_processes_keep_step_through_two_events),
        cmocka_unit_test(a_killed_holder_s_name_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
