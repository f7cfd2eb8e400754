/*
 * threads.c - CreateThread (keepmap/compat/winbase.h).
 *
 * A thread's handle is a manual-reset event that the thread sets when it is done: whatever can wait
 * can wait for a thread then. The thread has a handle of its own to it, so it does not matter when
 * the maker closes his. The system's thread ends a moment after the event, which only shows in a
 * mutex that the thread left owned: its next owner may have to wait for that moment.
 */
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include <keepmap/compat/winbase.h>

#include "last_error.h"

typedef struct new_thread {
    LPTHREAD_START_ROUTINE run;
    LPVOID parameter;
    HANDLE done;
    DWORD id;
    sem_t started; /* the id is there */
} new_thread;

static void end_thread(void *done) {
    (void)SetEvent(done);
    (void)CloseHandle(done);
}

/* The maker's memory is the maker's again once `started` is posted. */
static void *run_thread(void *arg) {
    new_thread *made = arg;
    LPTHREAD_START_ROUTINE run = made->run;
    LPVOID parameter = made->parameter;
    HANDLE done = made->done;
    made->id = GetCurrentThreadId();
    (void)sem_post(&made->started);

    pthread_cleanup_push(end_thread, done); /* ExitThread comes this way too */
    (void)run(parameter);
    pthread_cleanup_pop(1);
    return NULL;
}

static int start(new_thread *made, SIZE_T stack) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return error;
    }
    size_t usual = 0;
    pthread_t thread;
    error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (error == 0 && pthread_attr_getstacksize(&attributes, &usual) == 0 && stack > usual) {
        error = pthread_attr_setstacksize(&attributes, stack);
    }
    if (error == 0) {
        error = pthread_create(&thread, &attributes, run_thread, made);
    }
    (void)pthread_attr_destroy(&attributes);
    return error;
}

HANDLE CreateThread(LPSECURITY_ATTRIBUTES security, SIZE_T stack, LPTHREAD_START_ROUTINE run,
                    LPVOID parameter, DWORD flags, LPDWORD id) {
    if (run == NULL || (flags & ~STACK_SIZE_PARAM_IS_A_RESERVATION) != 0) {
        SetLastError(run == NULL ? ERROR_INVALID_PARAMETER : ERROR_NOT_SUPPORTED);
        return NULL;
    }
    new_thread made = {.run = run, .parameter = parameter};
    HANDLE handle = CreateEventA(security, TRUE, FALSE, NULL);
    HANDLE self = GetCurrentProcess();
    if (handle == NULL) {
        return NULL;
    }
    if (!DuplicateHandle(self, handle, self, &made.done, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        goto no_duplicate;
    }
    if (sem_init(&made.started, 0, 0) != 0) {
        SetLastError(ERROR_NO_SYSTEM_RESOURCES);
        goto no_semaphore;
    }
    int error = start(&made, stack);
    if (error != 0) {
        SetLastError(kmw_error_of_errno(error));
        goto no_thread;
    }
    while (sem_wait(&made.started) != 0) { /* EINTR */
    }
    (void)sem_destroy(&made.started);
    if (id != NULL) {
        *id = made.id;
    }
    return handle;

no_thread:
    (void)sem_destroy(&made.started);
no_semaphore:
    (void)CloseHandle(made.done);
no_duplicate:
    (void)CloseHandle(handle);
    return NULL;
}

void ExitThread(DWORD code) {
    (void)code;
    pthread_exit(NULL);
}
