/*
 * test_fault_sync.c - creating and opening events, mutexes and semaphores while the system refuses
 * in the middle: an error, and nothing left.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "posix/fault/fault.h"

enum { MOST_CALLS = 200, KINDS = 3 };

static HANDLE create(int kind, const char *name) {
    switch (kind) {
    case 0:
        return CreateEventA(NULL, FALSE, FALSE, name);
    case 1:
        return CreateMutexA(NULL, TRUE, name);
    default:
        return CreateSemaphoreA(NULL, 1, 1, name);
    }
}

static HANDLE open_one(int kind, const char *name) {
    switch (kind) {
    case 0:
        return OpenEventA(EVENT_ALL_ACCESS, FALSE, name);
    case 1:
        return OpenMutexA(MUTEX_ALL_ACCESS, FALSE, name);
    default:
        return OpenSemaphoreA(SEMAPHORE_ALL_ACCESS, FALSE, name);
    }
}

/* The mutex that was made owned must be let go before its handle is. */
static void discard(int kind, HANDLE handle, bool owned) {
    if (handle == NULL) {
        return;
    }
    if (kind == 1 && owned) {
        assert_true(ReleaseMutex(handle));
    }
    assert_true(CloseHandle(handle));
}

static void make_until_nothing_fails(int kind, const char *name, bool exists, fault_kind fault,
                                     int error) {
    bool failed = true;
    HANDLE holder = exists ? create(kind, name) : NULL;
    discard(kind, create(kind, name), !exists); /* what is made once, such as a block of handles */
    for (unsigned k = 1; failed; k++) {
        assert_true(k < MOST_CALLS);
        const long before = fault_outstanding_allocations();
        fault_arm(fault, k, error, false);
        SetLastError(0);
        HANDLE made = create(kind, name);
        const DWORD code = GetLastError();
        failed = fault_disarm();
        assert_true(made != NULL || (failed && code != ERROR_SUCCESS));
        /* Where /dev/shm cannot be looked at, objects are elsewhere, and this is a new one. */
        const bool elsewhere = failed && strncmp(fault_victim(), "lstat", 5) == 0;
        if (made != NULL && !elsewhere && code != (exists ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS)) {
            fail_msg("call %u (%s) failed: made, and error %u", k, fault_victim(), (unsigned)code);
        }
        discard(kind, made, !exists || code == ERROR_SUCCESS);
        if (fault_outstanding_allocations() != before) {
            fail_msg("call %u (%s) failed and left memory", k, fault_victim());
        }
        HANDLE other = exists || name == NULL ? NULL : open_one(kind, name);
        if (other != NULL) {
            fail_msg("call %u (%s) failed and left the name", k, fault_victim());
        }
    }
    if (holder != NULL) {
        discard(kind, holder, true);
    }
}

static void what_cannot_be_made_leaves_nothing(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "keepmap-test-%d-fault", (int)getpid());
    for (int kind = 0; kind < KINDS; kind++) {
        make_until_nothing_fails(kind, NULL, false, FAULT_ALLOCATIONS, ENOMEM);
        make_until_nothing_fails(kind, NULL, false, FAULT_SYSTEM, ENOMEM);
        make_until_nothing_fails(kind, name, false, FAULT_ALLOCATIONS, ENOMEM);
        make_until_nothing_fails(kind, name, false, FAULT_SYSTEM, EIO);
        make_until_nothing_fails(kind, name, true, FAULT_ALLOCATIONS, ENOMEM);
        make_until_nothing_fails(kind, name, true, FAULT_SYSTEM, EIO);
    }
}

static void open_until_nothing_fails(int kind, const char *name, fault_kind fault) {
    bool failed = true;
    for (unsigned k = 1; failed; k++) {
        assert_true(k < MOST_CALLS);
        const long before = fault_outstanding_allocations();
        fault_arm(fault, k, ENOMEM, false);
        SetLastError(0);
        HANDLE opened = open_one(kind, name);
        const DWORD code = GetLastError();
        failed = fault_disarm();
        assert_true((opened != NULL) == (code == ERROR_SUCCESS));
        discard(kind, opened, false);
        assert_int_equal(fault_outstanding_allocations(), before);
    }
}

static void what_cannot_be_opened_leaves_nothing(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "keepmap-test-%d-open", (int)getpid());
    for (int kind = 0; kind < KINDS; kind++) {
        HANDLE holder = create(kind, name);
        open_until_nothing_fails(kind, name, FAULT_ALLOCATIONS);
        open_until_nothing_fails(kind, name, FAULT_SYSTEM);
        discard(kind, holder, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_made_leaves_nothing),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
