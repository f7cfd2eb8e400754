/*
 * wait.c - the waits for one and for several objects.
 *
 * Whoever waits for several may be woken by one that it then does not take; it hands that wake-up
 * on to somebody else. A wait for all of several sleeps only on those that keep it from going on:
 * so it takes no wake-ups from those that do not, and two such waits cannot hand one to and fro.
 */
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

#include "futex.h"
#include "last_error.h"
#include "spin.h"
#include "sync_object.h"
#include "sync_sleep.h"

_Static_assert(MAXIMUM_WAIT_OBJECTS <= KMW_FUTEX_WORDS_MAX, "one call sleeps on all of them");

/* One object of a wait. */
typedef struct waiting {
    kmw_use use;
    const kmw_sync_class *class; /* NULL: always signaled */
    kmw_sync_page *page;
    unsigned since; /* the word at the beginning */
    unsigned seen;  /* ...and when it was last looked at */
    bool slept_on;
    bool refused; /* it looked signaled, but was not to be had */
    kmw_taking taking;
    unsigned found; /* what the word was when it was taken */
} waiting;

/* ---- Time ---- */

typedef struct time_limit {
    struct timespec at;
    const struct timespec *until; /* NULL: none */
} time_limit;

static void limit_to(time_limit *limit, DWORD milliseconds) {
    limit->until = NULL;
    if (milliseconds != INFINITE) {
        clock_gettime(CLOCK_MONOTONIC, &limit->at);
        const long nanoseconds = limit->at.tv_nsec + (long)(milliseconds % 1000) * 1000000;
        limit->at.tv_sec += (time_t)(milliseconds / 1000) + nanoseconds / 1000000000;
        limit->at.tv_nsec = nanoseconds % 1000000000;
        limit->until = &limit->at;
    }
}

static bool is_over(const time_limit *limit) {
    struct timespec now;
    if (limit->until == NULL) {
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > limit->at.tv_sec ||
           (now.tv_sec == limit->at.tv_sec && now.tv_nsec >= limit->at.tv_nsec);
}

/* ---- Handles ---- */

/* False, and the last error, if the handle is none that can be waited for. */
static bool begin(HANDLE handle, waiting *it) {
    kmw_use use = kmw_use_begin(handle, KMW_ANY);
    if (use.object == NULL) {
        return false;
    }
    if (use.object->class->kind == KMW_SECTION || !(use.access & SYNCHRONIZE)) {
        kmw_use_end(use);
        kmw_fail(ERROR_ACCESS_DENIED);
        return false;
    }
    *it = (waiting){.use = use, .class = kmw_sync_class_of(use.object)};
    if (it->class != NULL) {
        it->page = kmw_sync_page_in(use);
        it->since = atomic_load(&it->page->state->word);
    }
    return true;
}

/* The current process or thread, of which no one here sees the end. */
static bool is_own(HANDLE handle) {
    return handle == GetCurrentProcess() || handle == (HANDLE)(intptr_t)-2;
}

static DWORD wait_for_own(DWORD milliseconds) {
    Sleep(milliseconds);
    return WAIT_TIMEOUT;
}

static DWORD code_of(kmw_taking taking) {
    switch (taking) {
    case KMW_TAKEN:
        return WAIT_OBJECT_0;
    case KMW_TAKEN_ABANDONED:
        return WAIT_ABANDONED;
    case KMW_NOT_SIGNALED:
        return WAIT_TIMEOUT;
    default:
        return WAIT_FAILED;
    }
}

/* ---- One object ---- */

static kmw_taking take(waiting *it) {
    return it->class == NULL ? KMW_TAKEN : it->class->take(it->page, it->since, &it->found);
}

static kmw_taking spin(waiting *it) {
    kmw_spin spinning;
    if (!kmw_spin_begin(&spinning)) {
        return KMW_NOT_SIGNALED;
    }
    kmw_taking taking = KMW_NOT_SIGNALED;
    do {
        taking = take(it);
    } while (taking == KMW_NOT_SIGNALED && kmw_spin_on(&spinning));
    kmw_spin_end(taking == KMW_TAKEN);
    return taking;
}

static kmw_taking sleep_until_taken(waiting *it, const time_limit *limit) {
    kmw_sync_enter(it->page);
    kmw_taking taking = KMW_NOT_SIGNALED;
    for (;;) {
        it->seen = atomic_load(&it->page->state->word);
        taking = take(it);
        if (taking != KMW_NOT_SIGNALED || is_over(limit)) {
            break;
        }
        kmw_sync_sleep(it->page, it->seen, limit->until);
    }
    kmw_sync_exit(it->page);
    return taking;
}

static DWORD wait_for(waiting *it, DWORD milliseconds) {
    kmw_taking taking = take(it);
    if (taking != KMW_NOT_SIGNALED || milliseconds == 0) {
        return code_of(taking);
    }
    time_limit limit;
    limit_to(&limit, milliseconds);
    if (it->class->wait != NULL) {
        return code_of(it->class->wait(it->page, limit.until));
    }
    taking = spin(it);
    if (taking == KMW_NOT_SIGNALED) {
        taking = sleep_until_taken(it, &limit);
    }
    return code_of(taking);
}

DWORD WaitForSingleObjectEx(HANDLE object, DWORD milliseconds, BOOL alertable) {
    (void)alertable;
    waiting it;
    if (is_own(object)) {
        return wait_for_own(milliseconds);
    }
    if (!begin(object, &it)) {
        return WAIT_FAILED;
    }
    const DWORD result = wait_for(&it, milliseconds);
    kmw_use_end(it.use);
    return result;
}

DWORD WaitForSingleObject(HANDLE object, DWORD milliseconds) {
    return WaitForSingleObjectEx(object, milliseconds, FALSE);
}

/* Both handles are looked at before anything is done. */
DWORD SignalObjectAndWait(HANDLE to_signal, HANDLE to_wait_for, DWORD milliseconds,
                          BOOL alertable) {
    (void)alertable;
    waiting it = {.class = NULL};
    const bool waits_for_own = is_own(to_wait_for);
    DWORD result = WAIT_FAILED;
    kmw_use use = kmw_use_begin(to_signal, KMW_ANY);
    if (use.object == NULL) {
        return WAIT_FAILED;
    }
    const kmw_sync_class *class = kmw_sync_class_of(use.object);
    if (class == NULL) {
        kmw_use_end(use);
        kmw_fail(ERROR_INVALID_HANDLE);
        return WAIT_FAILED;
    }
    if (!waits_for_own && !begin(to_wait_for, &it)) {
        kmw_use_end(use);
        return WAIT_FAILED;
    }
    if (class->signal(kmw_sync_page_in(use), use.access)) {
        result = waits_for_own ? wait_for_own(milliseconds) : wait_for(&it, milliseconds);
    }
    if (!waits_for_own) {
        kmw_use_end(it.use);
    }
    kmw_use_end(use);
    return result;
}

/* ---- Several objects ---- */

static bool looks_free(waiting *it) {
    return !it->refused && (it->class == NULL || it->class->is_signaled(it->page, it->since));
}

/* Something that looks free, while all before it did not when looked at after it: who sets two in
 * their order must not see us take the second and leave the first. */
static unsigned lowest_free(waiting *each, unsigned free) {
    unsigned i = 0;
    while (i < free) {
        if (looks_free(&each[i])) {
            free = i;
            i = 0;
        } else {
            i++;
        }
    }
    return free;
}

/* The first that is signaled. */
static DWORD take_any(waiting *each, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        each[i].refused = false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!looks_free(&each[i])) {
            continue;
        }
        i = lowest_free(each, i);
        each[i].taking = take(&each[i]);
        each[i].refused = each[i].taking == KMW_NOT_SIGNALED;
        if (each[i].taking != KMW_NOT_SIGNALED) {
            const DWORD code = code_of(each[i].taking);
            return code == WAIT_FAILED ? WAIT_FAILED : code + i;
        }
    }
    return WAIT_TIMEOUT;
}

/* A pulse lets nobody go who waits for something else as well: it is over by then. */
static bool is_signaled(waiting *it) {
    return it->class == NULL || it->class->is_signaled(it->page, it->seen);
}

static void put_back(waiting *each, unsigned count) {
    while (count-- > 0) {
        if (each[count].class != NULL) {
            each[count].class->put_back(each[count].page, each[count].taking, each[count].found);
        }
        each[count].taking = KMW_NOT_SIGNALED;
    }
}

/* All, or none. */
static DWORD take_all(waiting *each, unsigned count) {
    DWORD result = WAIT_OBJECT_0;
    for (unsigned i = 0; i < count; i++) {
        if (!is_signaled(&each[i])) {
            return WAIT_TIMEOUT;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        each[i].since = each[i].seen;
        each[i].taking = take(&each[i]);
        if (each[i].taking == KMW_NOT_SIGNALED || each[i].taking == KMW_TAKE_FAILED) {
            const DWORD code = code_of(each[i].taking);
            put_back(each, i);
            return code;
        }
        if (each[i].taking == KMW_TAKEN_ABANDONED) {
            result = WAIT_ABANDONED_0;
        }
    }
    return result;
}

static DWORD try_to_take(waiting *each, unsigned count, bool all) {
    for (unsigned i = 0; i < count; i++) {
        if (each[i].class != NULL) {
            each[i].seen = atomic_load(&each[i].page->state->word);
        }
    }
    return all ? take_all(each, count) : take_any(each, count);
}

/* What woke this thread and is left by it, or might have, is somebody else's turn. */
static void hand_on(waiting *each, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const bool taken = each[i].taking == KMW_TAKEN || each[i].taking == KMW_TAKEN_ABANDONED;
        if (each[i].slept_on && !taken && is_signaled(&each[i])) {
            kmw_sync_wake(each[i].page, 1);
        }
        each[i].slept_on = false;
    }
}

/* All were signaled, and somebody was faster: he or we must get through the next time. */
static void step_aside(unsigned *lost) {
    const struct timespec moment = {.tv_nsec = 1000L << (*lost < 10 ? *lost : 10)};
    (*lost)++;
    (void)nanosleep(&moment, NULL);
}

static void sleep_on(waiting *each, unsigned count, bool all, const time_limit *limit,
                     unsigned *lost) {
    atomic_uint *words[KMW_FUTEX_WORDS_MAX];
    unsigned expected[KMW_FUTEX_WORDS_MAX];
    unsigned sleeping = 0;
    for (unsigned i = 0; i < count; i++) {
        if (all && is_signaled(&each[i])) {
            continue;
        }
        each[i].slept_on = true;
        words[sleeping] = &each[i].page->state->word;
        expected[sleeping++] = each[i].seen;
    }
    if (sleeping == 0) {
        step_aside(lost);
        return;
    }
    const struct timespec look = kmw_sync_next_look(limit->until);
    kmw_futex_wait_any(words, expected, sleeping, &look);
}

static DWORD spin_for_several(waiting *each, unsigned count, bool all) {
    kmw_spin spinning;
    if (!kmw_spin_begin(&spinning)) {
        return WAIT_TIMEOUT;
    }
    DWORD result = WAIT_TIMEOUT;
    do {
        result = try_to_take(each, count, all);
    } while (result == WAIT_TIMEOUT && kmw_spin_on(&spinning));
    kmw_spin_end(result != WAIT_TIMEOUT);
    return result;
}

static DWORD sleep_for_several(waiting *each, unsigned count, bool all, const time_limit *limit) {
    DWORD result = WAIT_TIMEOUT;
    unsigned lost = 0;
    for (unsigned i = 0; i < count; i++) {
        if (each[i].class != NULL) {
            kmw_sync_enter(each[i].page);
        }
    }
    for (;;) {
        result = try_to_take(each, count, all);
        if (result != WAIT_TIMEOUT || is_over(limit)) {
            break;
        }
        hand_on(each, count);
        sleep_on(each, count, all, limit, &lost);
    }
    for (unsigned i = 0; i < count; i++) {
        if (each[i].class != NULL) {
            kmw_sync_exit(each[i].page);
        }
    }
    hand_on(each, count);
    return result;
}

static DWORD wait_for_several(waiting *each, unsigned count, bool all, DWORD milliseconds) {
    time_limit limit;
    DWORD result = try_to_take(each, count, all);
    if (result != WAIT_TIMEOUT || milliseconds == 0) {
        return result;
    }
    limit_to(&limit, milliseconds);
    result = spin_for_several(each, count, all);
    return result == WAIT_TIMEOUT ? sleep_for_several(each, count, all, &limit) : result;
}

static bool has_duplicates(const waiting *each, unsigned count) {
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (each[i].use.object == each[j].use.object ||
                (each[i].page != NULL && each[i].page == each[j].page)) {
                return true;
            }
        }
    }
    return false;
}

DWORD WaitForMultipleObjectsEx(DWORD count, const HANDLE *objects, BOOL all, DWORD milliseconds,
                               BOOL alertable) {
    (void)alertable;
    waiting each[MAXIMUM_WAIT_OBJECTS];
    DWORD result = WAIT_FAILED;
    unsigned begun = 0;
    if (count == 0 || count > MAXIMUM_WAIT_OBJECTS || objects == NULL) {
        kmw_fail(ERROR_INVALID_PARAMETER);
        return WAIT_FAILED;
    }
    while (begun < count && begin(objects[begun], &each[begun])) {
        begun++;
    }
    if (begun == count && all && has_duplicates(each, count)) {
        kmw_fail(ERROR_INVALID_PARAMETER);
    } else if (begun == count) {
        result = wait_for_several(each, count, all != FALSE, milliseconds);
    }
    while (begun-- > 0) {
        kmw_use_end(each[begun].use);
    }
    return result;
}

DWORD WaitForMultipleObjects(DWORD count, const HANDLE *objects, BOOL all, DWORD milliseconds) {
    return WaitForMultipleObjectsEx(count, objects, all, milliseconds, FALSE);
}
