/*
 * thread_windows.c - threads in a test, by the system's own calls.
 */
#include "thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <windows.h>

#include <cmocka.h>

struct thread {
    HANDLE handle;
    void (*run)(void *arg);
    void *arg;
};

static DWORD WINAPI begin(LPVOID arg) {
    thread *self = arg;
    self->run(self->arg);
    return 0;
}

thread *thread_start(void (*run)(void *arg), void *arg) {
    thread *one = malloc(sizeof *one);
    assert_non_null(one);
    *one = (thread){.run = run, .arg = arg};
    one->handle = CreateThread(NULL, 0, begin, one, 0, NULL);
    assert_non_null(one->handle);
    return one;
}

void thread_join(thread *one) {
    assert_int_equal(WaitForSingleObject(one->handle, INFINITE), WAIT_OBJECT_0);
    CloseHandle(one->handle);
    free(one);
}
