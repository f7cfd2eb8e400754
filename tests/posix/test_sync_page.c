/*
 * test_sync_page.c - the shared page: waits without the newest system call, and pages that others
 * have spoiled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/futex.h"
#include "posix/sync_object.h"

#include "support/child.h"
#include "support/thread.h"

enum { LONG_ENOUGH_MS = 60000, ROUNDS = 200 };

static kmw_sync_page *page_of(HANDLE handle, const kmw_sync_class *class) {
    kmw_use use = kmw_sync_use(handle, class, 0);
    assert_non_null(use.object);
    kmw_sync_page *page = kmw_sync_page_in(use);
    kmw_use_end(use);
    return page; /* the test keeps the handle */
}

/* ---- Waits for several ---- */

typedef struct player {
    HANDLE own[3], other;
    BOOL all;
    unsigned failures;
} player;

static void play(void *arg) {
    player *self = arg;
    for (int i = 0; i < ROUNDS; i++) {
        DWORD result = WaitForMultipleObjects(3, self->own, self->all, LONG_ENOUGH_MS);
        self->failures += result != (self->all ? WAIT_OBJECT_0 : WAIT_OBJECT_0 + 1);
        self->failures += !SetEvent(self->other);
    }
}

/* Any: the first is never signaled; all: the others always are. */
static void keep_step(BOOL all) {
    HANDLE idle = CreateEventA(NULL, TRUE, all, NULL);
    HANDLE ping = CreateEventA(NULL, FALSE, TRUE, NULL);
    HANDLE pong = CreateEventA(NULL, FALSE, FALSE, NULL);
    HANDLE last = CreateEventA(NULL, TRUE, all, NULL);
    player one = {.own = {idle, ping, last}, .other = pong, .all = all};
    player two = {.own = {idle, pong, last}, .other = ping, .all = all};
    thread *threads[] = {thread_start(play, &one), thread_start(play, &two)};
    thread_join(threads[0]);
    thread_join(threads[1]);
    assert_int_equal(one.failures, 0);
    assert_int_equal(two.failures, 0);
    assert_int_equal(WaitForMultipleObjects(2, (const HANDLE[]){pong, pong}, FALSE, 20),
                     WAIT_TIMEOUT);
    CloseHandle(idle);
    CloseHandle(ping);
    CloseHandle(pong);
    CloseHandle(last);
}

static void several_are_waited_for_by_one_system_call(void **state) {
    (void)state;
    if (!atomic_load(&kmw_futex_has_waitv)) {
        skip(); /* built for a system without it */
    }
    keep_step(FALSE);
    keep_step(TRUE);
}

static void or_without_it(void **state) {
    (void)state;
    const bool has = atomic_exchange(&kmw_futex_has_waitv, false);
    keep_step(FALSE);
    keep_step(TRUE);
    assert_false(atomic_load(&kmw_futex_has_waitv));
    atomic_store(&kmw_futex_has_waitv, has);
}

/* ---- Pages that others have spoiled ---- */

static int open_spoiled(int argc, char **argv) {
    (void)argc;
    HANDLE opened = argv[1][0] == 'e'   ? OpenEventA(EVENT_ALL_ACCESS, FALSE, argv[2])
                    : argv[1][0] == 'm' ? OpenMutexA(MUTEX_ALL_ACCESS, FALSE, argv[2])
                                        : OpenSemaphoreA(SEMAPHORE_ALL_ACCESS, FALSE, argv[2]);
    if (opened != NULL) {
        return 1;
    }
    return (int)GetLastError();
}

static void an_object_that_is_none_is_not_opened(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "keepmap-test-%d-spoiled", (int)getpid());

    HANDLE event = CreateEventA(NULL, FALSE, FALSE, name);
    page_of(event, &kmw_event_class)->state->limit = 7;
    assert_int_equal(child_finish(child_start("open_spoiled", "e", name, NULL)),
                     ERROR_INVALID_DATA);
    CloseHandle(event);

    HANDLE semaphore = CreateSemaphoreA(NULL, 0, 1, name);
    page_of(semaphore, &kmw_semaphore_class)->state->limit = 0x80000000u;
    assert_int_equal(child_finish(child_start("open_spoiled", "s", name, NULL)),
                     ERROR_INVALID_DATA);
    CloseHandle(semaphore);

    HANDLE mutex = CreateMutexA(NULL, FALSE, name);
    kmw_sync_page *page = page_of(mutex, &kmw_mutex_class);
    memset(&page->state->mutex, 0x77, sizeof page->state->mutex);
    assert_int_equal(child_finish(child_start("open_spoiled", "m", name, NULL)),
                     ERROR_INVALID_DATA);
    CloseHandle(mutex);
}

static void a_count_that_somebody_spoils_is_no_crash(void **state) {
    (void)state;
    LONG before = 0;
    HANDLE semaphore = CreateSemaphoreA(NULL, 0, 3, NULL);
    atomic_store(&page_of(semaphore, &kmw_semaphore_class)->state->word, 0xFFFFFFFFu);
    assert_false(ReleaseSemaphore(semaphore, 1, &before));
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_POSTS);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    atomic_store(&page_of(semaphore, &kmw_semaphore_class)->state->word, 0x80000000u);
    assert_int_equal(WaitForSingleObject(semaphore, 20), WAIT_TIMEOUT);
    CloseHandle(semaphore);

    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    kmw_sync_state *state_of = page_of(event, &kmw_event_class)->state;
    atomic_store(&state_of->word, 0xFFFFFFFEu);
    atomic_store(&state_of->waiters, 0xFFFFFFFFu);
    assert_int_equal(WaitForSingleObject(event, 20), WAIT_TIMEOUT);
    assert_true(SetEvent(event));
    assert_int_equal(WaitForSingleObject(event, INFINITE), WAIT_OBJECT_0);
    CloseHandle(event);
}

/* ---- One page, however many handles ---- */

static void a_named_page_is_mapped_once(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "keepmap-test-%d-once", (int)getpid());
    HANDLE first = CreateMutexA(NULL, TRUE, name);
    HANDLE second = OpenMutexA(MUTEX_ALL_ACCESS, FALSE, name);
    HANDLE third = CreateMutexA(NULL, FALSE, name);
    kmw_sync_page *page = page_of(first, &kmw_mutex_class);
    assert_ptr_equal(page_of(second, &kmw_mutex_class), page);
    assert_ptr_equal(page_of(third, &kmw_mutex_class), page);
    assert_int_equal(atomic_load(&page->references), 4); /* three objects, and the owner */
    assert_true(ReleaseMutex(third));
    assert_int_equal(atomic_load(&page->references), 3);
    CloseHandle(first);
    CloseHandle(second);
    assert_int_equal(atomic_load(&page->references), 1);
    CloseHandle(third);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"open_spoiled", open_spoiled}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_are_waited_for_by_one_system_call),
        cmocka_unit_test(or_without_it),
        cmocka_unit_test(an_object_that_is_none_is_not_opened),
        cmocka_unit_test(a_count_that_somebody_spoils_is_no_crash),
        cmocka_unit_test(a_named_page_is_mapped_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
