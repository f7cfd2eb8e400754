/*
 * mutex.c - mutexes: robust, recursive mutexes of the C library, shared among processes.
 *
 * The C library knows who owns one; the page remembers which thread of this process does, because
 * that thread holds the page: on its first taking it gets a reference, which goes with its last
 * release. Whoever dies leaves it to the next owner in this process, or to the sweep.
 *
 * Who waits for one mutex alone sleeps inside the C library. Who waits for several objects sleeps
 * on the page's word, which a release changes if there is such a waiter. The death of an owner does
 * not change it: that is seen at the next look.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>

#include "file_mutexes.h"
#include "last_error.h"
#include "sync_object.h"
#include "sync_sleep.h"
#include "thread_self.h"

#define MUTEX_QUERY_STATE 0x0001u

/* Values of the state's `abandoned`. */
#define TELL_THE_NEXT 1u
#define BEYOND_REPAIR 2u

/*
 * As many of a dead thread's mutexes as Linux looks at: the rest would be nobody's, and nobody
 * could take them. Those that a program has made without keepmap are not known here.
 */
enum { MOST_OWNED = 2048 };

/* ---- Owning ---- */

/* How many mutexes the calling thread owns. A forked child's thread owns none. */
static unsigned *owned_here(void) {
    static _Thread_local struct {
        uint64_t thread;
        unsigned count;
    } owned;
    const uint64_t self = kmw_thread_self();
    if (owned.thread != self) {
        owned.thread = self;
        owned.count = 0;
    }
    return &owned.count;
}

static bool is_owner(const kmw_sync_page *page) {
    return atomic_load_explicit(&page->owner, memory_order_relaxed) == kmw_thread_self();
}

/* After the C library has given it. What the owner before left undone is the caller's to mend. */
static kmw_taking own(kmw_sync_page *page, bool owner_died) {
    unsigned to_tell = TELL_THE_NEXT;
    if (!owner_died && is_owner(page)) {
        page->depth++;
        return KMW_TAKEN;
    }
    if (owner_died) {
        (void)pthread_mutex_consistent(&page->state->mutex); /* just given as inconsistent */
    }
    if (atomic_exchange(&page->owner, kmw_thread_self()) == 0) {
        kmw_sync_page_reference(page); /* else a dead owner's is inherited */
    }
    page->depth = 1;
    (*owned_here())++;
    /* Not by force: what is beyond repair stays so. */
    const bool was_put_back = atomic_compare_exchange_strong(&page->state->abandoned, &to_tell, 0);
    return owner_died || was_put_back ? KMW_TAKEN_ABANDONED : KMW_TAKEN;
}

/* Somebody has written to the page, or used the mutex, who should not have. That stays so: some C
 * libraries give such a mutex to whoever tries often enough. */
static kmw_taking give_up(kmw_sync_page *page) {
    atomic_store(&page->state->abandoned, BEYOND_REPAIR);
    kmw_fail(ERROR_INVALID_DATA);
    return KMW_TAKE_FAILED;
}

static bool is_beyond_repair(const kmw_sync_page *page) {
    return atomic_load(&page->state->abandoned) == BEYOND_REPAIR;
}

static kmw_taking settle(kmw_sync_page *page, int result) {
    switch (result) {
    case 0:
        return own(page, false);
    case EOWNERDEAD:
        return own(page, true);
    case EBUSY:
    case ETIMEDOUT:
        return KMW_NOT_SIGNALED;
    case EAGAIN: /* taken more often than can be counted */
        kmw_fail(ERROR_NO_SYSTEM_RESOURCES);
        return KMW_TAKE_FAILED;
    default: /* ENOTRECOVERABLE, EINVAL */
        return give_up(page);
    }
}

/* FALSE, and the last error: the calling thread does not own it. */
static BOOL release(kmw_sync_page *page) {
    kmw_sync_state *state = page->state;
    if (!is_owner(page)) {
        return kmw_fail(ERROR_NOT_OWNER);
    }
    if (page->depth > 1) {
        page->depth--;
        return pthread_mutex_unlock(&state->mutex) == 0 ? TRUE : kmw_fail(ERROR_NOT_OWNER);
    }
    /* Before the next owner can say that it is it. */
    atomic_store(&page->owner, 0);
    (*owned_here())--;
    const int result = pthread_mutex_unlock(&state->mutex);
    /* Adds nothing, but orders the look after the release: a waiter counts itself, then tries. */
    if (atomic_fetch_add(&state->waiters, 0) != 0) {
        atomic_fetch_add(&state->word, 1);
        kmw_sync_wake(page, 1);
    }
    kmw_sync_page_release(page); /* the caller's object has one more */
    return result == 0 ? TRUE : kmw_fail(ERROR_NOT_OWNER);
}

/* ---- The class ---- */

static DWORD make_mutex(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0) {
        return kmw_error_of_errno(error);
    }
    error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    if (error == 0) {
        error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    }
    if (error == 0) {
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (error == 0) {
        error = pthread_mutex_init(mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return error == 0 ? ERROR_SUCCESS : kmw_error_of_errno(error);
}

static kmw_taking mutex_take(kmw_sync_page *page, unsigned since, unsigned *found) {
    (void)since;
    *found = 0; /* what there is to put back is not in the word */
    if (is_beyond_repair(page)) {
        return give_up(page);
    }
    if (*owned_here() == MOST_OWNED && !is_owner(page)) {
        kmw_fail(ERROR_NO_SYSTEM_RESOURCES);
        return KMW_TAKE_FAILED;
    }
    return settle(page, pthread_mutex_trylock(&page->state->mutex));
}

static DWORD mutex_start(kmw_sync_page *page, const kmw_sync_start *start) {
    unsigned found = 0;
    const DWORD error = make_mutex(&page->state->mutex);
    if (error != ERROR_SUCCESS || !start->owned) {
        return error;
    }
    return mutex_take(page, 0, &found) == KMW_TAKEN ? ERROR_SUCCESS : GetLastError();
}

/* The C library does as the mutex's own description of itself says: one of another type would not
 * be robust, or end the process on an assertion. */
static bool mutex_is_sound(const kmw_sync_page *page) {
#if defined(__GLIBC__)
    pthread_mutex_t like = PTHREAD_MUTEX_INITIALIZER;
    if (make_mutex(&like) != ERROR_SUCCESS) {
        return false;
    }
    const int kind = like.__data.__kind;
    pthread_mutex_destroy(&like);
    return page->state->mutex.__data.__kind == kind;
#else
    (void)page;
    return true;
#endif
}

/* Without taking it, where the C library's lock word is known to be the kernel's: the owner's
 * thread id, which is gone with the owner. Elsewhere whoever tries will see. */
static bool mutex_is_signaled(kmw_sync_page *page, unsigned since) {
    (void)since;
#if defined(__GLIBC__)
    const unsigned owner =
        (unsigned)__atomic_load_n(&page->state->mutex.__data.__lock, __ATOMIC_SEQ_CST) &
        FUTEX_TID_MASK;
    return owner == 0 || is_owner(page) || is_beyond_repair(page);
#else
    (void)page;
    return true;
#endif
}

/* Whoever gets it next is told what this owner has been told. */
static void mutex_put_back(kmw_sync_page *page, kmw_taking taking, unsigned found) {
    unsigned nothing = 0;
    (void)found;
    if (taking == KMW_TAKEN_ABANDONED) {
        (void)atomic_compare_exchange_strong(&page->state->abandoned, &nothing, TELL_THE_NEXT);
    }
    (void)release(page);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOCKS_ARE_WATCHED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define LOCKS_ARE_WATCHED 1
#endif

static int lock_until(pthread_mutex_t *mutex, const struct timespec *until) {
#if defined(LOCKS_ARE_WATCHED)
    /* ThreadSanitizer knows neither clocklock nor a robust timedlock, and would miss who owns it.
     */
    const struct timespec moment = {.tv_nsec = 1000000};
    struct timespec now;
    int result = EBUSY;
    do {
        (void)nanosleep(&moment, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        result = pthread_mutex_trylock(mutex);
    } while (result == EBUSY && (now.tv_sec < until->tv_sec ||
                                 (now.tv_sec == until->tv_sec && now.tv_nsec < until->tv_nsec)));
    return result == EBUSY ? ETIMEDOUT : result;
#elif defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
#else
    /* By the clock that can be set, but not for long: who calls looks at the other one. */
    struct timespec now, real;
    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_REALTIME, &real);
    real.tv_sec += until->tv_sec - now.tv_sec;
    real.tv_nsec += until->tv_nsec - now.tv_nsec;
    if (real.tv_nsec < 0) {
        real.tv_nsec += 1000000000;
        real.tv_sec--;
    } else if (real.tv_nsec >= 1000000000) {
        real.tv_nsec -= 1000000000;
        real.tv_sec++;
    }
    return pthread_mutex_timedlock(mutex, &real);
#endif
}

static kmw_taking mutex_wait(kmw_sync_page *page, const struct timespec *until) {
    for (;;) {
        const struct timespec look = kmw_sync_next_look(until);
        const int result = lock_until(&page->state->mutex, &look);
        const bool at_end =
            until != NULL && look.tv_sec == until->tv_sec && look.tv_nsec == until->tv_nsec;
        if (result != ETIMEDOUT || at_end || is_beyond_repair(page)) {
            return is_beyond_repair(page) ? give_up(page) : settle(page, result);
        }
    }
}

static BOOL mutex_signal(kmw_sync_page *page, DWORD access) {
    (void)access; /* owning it is right enough */
    return release(page);
}

/*
 * An unnamed mutex that only this thread could still release, but for the want of a handle: nobody
 * waits for it, or ever will. Unless there was a fork since: then another process may.
 */
static void mutex_part(kmw_sync_page *page) {
    const bool is_private = !page->named && page->forks == kmw_fork_count();
    while (is_private && is_owner(page) && release(page)) {
    }
    kmw_sync_pages_sweep();
}

const kmw_sync_class kmw_mutex_class = {
    .class = {KMW_MUTEX, kmw_sync_object_last_handle, kmw_sync_object_destroy},
    .all = MUTEX_ALL_ACCESS,
    .read = READ_CONTROL | MUTEX_QUERY_STATE,
    .write = READ_CONTROL,
    .execute = READ_CONTROL | SYNCHRONIZE,
    .start = mutex_start,
    .is_sound = mutex_is_sound,
    .is_signaled = mutex_is_signaled,
    .take = mutex_take,
    .put_back = mutex_put_back,
    .wait = mutex_wait,
    .signal = mutex_signal,
    .part = mutex_part,
};

/* ---- The calls ---- */

BOOL ReleaseMutex(HANDLE mutex) {
    kmw_use use = kmw_sync_use(mutex, &kmw_mutex_class, 0);
    if (use.object == NULL) {
        return FALSE;
    }
    const BOOL released = release(kmw_sync_page_in(use));
    kmw_use_end(use);
    return released;
}

HANDLE CreateMutexA(LPSECURITY_ATTRIBUTES security, BOOL owned, LPCSTR name) {
    const kmw_sync_start start = {.owned = owned != FALSE};
    kmw_sync_pages_sweep();
    return kmw_sync_create_a(&kmw_mutex_class, security, &start, name);
}

HANDLE CreateMutexW(LPSECURITY_ATTRIBUTES security, BOOL owned, LPCWSTR name) {
    const kmw_sync_start start = {.owned = owned != FALSE};
    kmw_sync_pages_sweep();
    return kmw_sync_create_w(&kmw_mutex_class, security, &start, name);
}

HANDLE OpenMutexA(DWORD access, BOOL inherit, LPCSTR name) {
    return kmw_sync_open_a(&kmw_mutex_class, access, inherit, name);
}

HANDLE OpenMutexW(DWORD access, BOOL inherit, LPCWSTR name) {
    return kmw_sync_open_w(&kmw_mutex_class, access, inherit, name);
}
