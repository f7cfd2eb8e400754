/*
 * critical_section.c - CRITICAL_SECTION, a recursive mutex (keepmap/compat/winbase.h).
 */
#include <pthread.h>
#include <stdlib.h>

#include <keepmap/compat/winbase.h>

#include "last_error.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(CRITICAL_SECTION),
               "programs allocate a CRITICAL_SECTION, and the mutex lives in it");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(CRITICAL_SECTION), "and at its address");

static pthread_mutex_t *mutex_of(LPCRITICAL_SECTION section) {
    return (pthread_mutex_t *)(void *)section;
}

/* A program that goes on unlocked destroys its data; one that cannot unlock stands still. */
static void must(int error) {
    if (error != 0) {
        abort();
    }
}

BOOL InitializeCriticalSectionAndSpinCount(LPCRITICAL_SECTION section, DWORD spins) {
    (void)spins;
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error == 0) {
        error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
        if (error == 0) {
            error = pthread_mutex_init(mutex_of(section), &attributes);
        }
        (void)pthread_mutexattr_destroy(&attributes);
    }
    if (error != 0) {
        SetLastError(kmw_error_of_errno(error));
        return FALSE;
    }
    return TRUE;
}

void InitializeCriticalSection(LPCRITICAL_SECTION section) {
    must(InitializeCriticalSectionAndSpinCount(section, 0) ? 0 : -1);
}

void EnterCriticalSection(LPCRITICAL_SECTION section) {
    must(pthread_mutex_lock(mutex_of(section)));
}

BOOL TryEnterCriticalSection(LPCRITICAL_SECTION section) {
    return pthread_mutex_trylock(mutex_of(section)) == 0;
}

void LeaveCriticalSection(LPCRITICAL_SECTION section) {
    must(pthread_mutex_unlock(mutex_of(section)));
}

void DeleteCriticalSection(LPCRITICAL_SECTION section) {
    (void)pthread_mutex_destroy(mutex_of(section));
}
