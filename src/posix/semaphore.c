/*
 * semaphore.c - semaphores: a count that never passes its maximum, taken one at a time.
 */
#include <limits.h>
#include <stddef.h>

#include "last_error.h"
#include "sync_object.h"
#include "sync_sleep.h"

#define COUNT ((unsigned)INT32_MAX) /* more is no count, whoever wrote it there */

#define SEMAPHORE_QUERY_STATE 0x0001u

static bool semaphore_is_signaled(kmw_sync_page *page, unsigned since) {
    (void)since;
    return (atomic_load(&page->state->word) & COUNT) != 0;
}

static kmw_taking semaphore_take(kmw_sync_page *page, unsigned since, unsigned *found) {
    (void)since;
    unsigned word = atomic_load(&page->state->word);
    while (word & COUNT) {
        if (atomic_compare_exchange_weak(&page->state->word, &word, word - 1)) {
            *found = word;
            return KMW_TAKEN;
        }
    }
    return KMW_NOT_SIGNALED;
}

static DWORD release(kmw_sync_page *page, unsigned count, unsigned *before) {
    unsigned word = atomic_load(&page->state->word);
    do {
        *before = word & COUNT;
        if (*before > page->limit || count > page->limit - *before) {
            return ERROR_TOO_MANY_POSTS;
        }
    } while (!atomic_compare_exchange_weak(&page->state->word, &word, word + count));
    kmw_sync_wake(page, (int)count);
    return ERROR_SUCCESS;
}

/* If it is full meanwhile, somebody's release went through that would have been refused, had this
 * not been taken: the count is what it would be then, and whom it concerns has been woken. */
static void semaphore_put_back(kmw_sync_page *page, kmw_taking taking, unsigned found) {
    unsigned before = 0;
    (void)found;
    if (taking == KMW_TAKEN) {
        (void)release(page, 1, &before);
    }
}

static BOOL semaphore_signal(kmw_sync_page *page, DWORD access) {
    unsigned before = 0;
    if (!(access & SEMAPHORE_MODIFY_STATE)) {
        return kmw_fail(ERROR_ACCESS_DENIED);
    }
    const DWORD error = release(page, 1, &before);
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

static bool semaphore_is_sound(const kmw_sync_page *page) {
    return page->limit > 0 && page->limit <= INT32_MAX;
}

const kmw_sync_class kmw_semaphore_class = {
    .class = {KMW_SEMAPHORE, kmw_sync_object_last_handle, kmw_sync_object_destroy},
    .all = SEMAPHORE_ALL_ACCESS,
    .read = READ_CONTROL | SEMAPHORE_QUERY_STATE,
    .write = READ_CONTROL | SEMAPHORE_MODIFY_STATE,
    .execute = READ_CONTROL | SYNCHRONIZE,
    .is_sound = semaphore_is_sound,
    .is_signaled = semaphore_is_signaled,
    .take = semaphore_take,
    .put_back = semaphore_put_back,
    .signal = semaphore_signal,
};

/* ---- The calls ---- */

BOOL ReleaseSemaphore(HANDLE semaphore, LONG count, PLONG before) {
    unsigned was = 0;
    if (count <= 0) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    kmw_use use = kmw_sync_use(semaphore, &kmw_semaphore_class, SEMAPHORE_MODIFY_STATE);
    if (use.object == NULL) {
        return FALSE;
    }
    const DWORD error = release(kmw_sync_page_in(use), (unsigned)count, &was);
    kmw_use_end(use);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    if (before != NULL) {
        *before = (LONG)was;
    }
    return TRUE;
}

static bool are_valid(LONG count, LONG maximum) {
    return count >= 0 && maximum > 0 && count <= maximum;
}

HANDLE CreateSemaphoreA(LPSECURITY_ATTRIBUTES security, LONG count, LONG maximum, LPCSTR name) {
    if (!are_valid(count, maximum)) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    const kmw_sync_start start = {.word = (unsigned)count, .limit = (uint32_t)maximum};
    return kmw_sync_create_a(&kmw_semaphore_class, security, &start, name);
}

HANDLE CreateSemaphoreW(LPSECURITY_ATTRIBUTES security, LONG count, LONG maximum, LPCWSTR name) {
    if (!are_valid(count, maximum)) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    const kmw_sync_start start = {.word = (unsigned)count, .limit = (uint32_t)maximum};
    return kmw_sync_create_w(&kmw_semaphore_class, security, &start, name);
}

HANDLE OpenSemaphoreA(DWORD access, BOOL inherit, LPCSTR name) {
    return kmw_sync_open_a(&kmw_semaphore_class, access, inherit, name);
}

HANDLE OpenSemaphoreW(DWORD access, BOOL inherit, LPCWSTR name) {
    return kmw_sync_open_w(&kmw_semaphore_class, access, inherit, name);
}
