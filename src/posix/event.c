/*
 * event.c - events: a bit that is set, and taken by one (auto reset) or seen by all (manual reset).
 */
#include <limits.h>
#include <stddef.h>

#include "last_error.h"
#include "sync_object.h"
#include "sync_sleep.h"

#define SIGNALED 1u
#define ONE_PULSE 2u
#define PULSES (~(SIGNALED | KMW_CROWDED))

#define EVENT_QUERY_STATE 0x0001u

static bool is_manual(const kmw_sync_page *page) {
    return page->limit != 0;
}

/* A pulse lets go all who were waiting for a manual event, though they find it reset again. */
static bool is_signaled(const kmw_sync_page *page, unsigned word, unsigned since) {
    return (word & SIGNALED) != 0 || (is_manual(page) && ((word ^ since) & PULSES) != 0);
}

static bool event_is_signaled(kmw_sync_page *page, unsigned since) {
    return is_signaled(page, atomic_load(&page->state->word), since);
}

static kmw_taking event_take(kmw_sync_page *page, unsigned since) {
    unsigned word = atomic_load(&page->state->word);
    if (is_manual(page)) {
        return is_signaled(page, word, since) ? KMW_TAKEN : KMW_NOT_SIGNALED;
    }
    while (word & SIGNALED) {
        if (atomic_compare_exchange_weak(&page->state->word, &word, word & ~SIGNALED)) {
            return KMW_TAKEN;
        }
    }
    return KMW_NOT_SIGNALED;
}

/* Also if it is set already: whom that was for may have been killed before taking it. */
static void set(kmw_sync_page *page) {
    atomic_fetch_or(&page->state->word, SIGNALED);
    (void)kmw_sync_wake(page, is_manual(page) ? INT_MAX : 1);
}

static void event_put_back(kmw_sync_page *page, kmw_taking taking) {
    if (taking == KMW_TAKEN && !is_manual(page)) {
        set(page);
    }
}

static BOOL event_signal(kmw_sync_page *page, DWORD access) {
    if (!(access & EVENT_MODIFY_STATE)) {
        return kmw_fail(ERROR_ACCESS_DENIED);
    }
    set(page);
    return TRUE;
}

static bool event_is_sound(const kmw_sync_page *page) {
    return page->limit <= 1;
}

const kmw_sync_class kmw_event_class = {
    .class = {KMW_EVENT, kmw_sync_object_last_handle, kmw_sync_object_destroy},
    .all = EVENT_ALL_ACCESS,
    .read = READ_CONTROL | EVENT_QUERY_STATE,
    .write = READ_CONTROL | EVENT_MODIFY_STATE,
    .execute = READ_CONTROL | SYNCHRONIZE,
    .is_sound = event_is_sound,
    .is_signaled = event_is_signaled,
    .take = event_take,
    .put_back = event_put_back,
    .signal = event_signal,
};

/* ---- The calls ---- */

BOOL SetEvent(HANDLE event) {
    kmw_use use = kmw_sync_use(event, &kmw_event_class, EVENT_MODIFY_STATE);
    if (use.object == NULL) {
        return FALSE;
    }
    set(kmw_sync_page_in(use));
    kmw_use_end(use);
    return TRUE;
}

BOOL ResetEvent(HANDLE event) {
    kmw_use use = kmw_sync_use(event, &kmw_event_class, EVENT_MODIFY_STATE);
    if (use.object == NULL) {
        return FALSE;
    }
    atomic_fetch_and(&kmw_sync_page_in(use)->state->word, ~SIGNALED);
    kmw_use_end(use);
    return TRUE;
}

static void pulse_manual(kmw_sync_page *page) {
    unsigned word = atomic_load(&page->state->word);
    unsigned after = 0;
    do {
        after = (word & KMW_CROWDED) | ((word + ONE_PULSE) & PULSES);
    } while (!atomic_compare_exchange_weak(&page->state->word, &word, after));
    (void)kmw_sync_wake(page, INT_MAX);
}

/* Left set if there is somebody who is on his way to take it. */
static void pulse_auto(kmw_sync_page *page) {
    atomic_fetch_or(&page->state->word, SIGNALED);
    if (kmw_sync_wake(page, 1) == 0) {
        atomic_fetch_and(&page->state->word, ~SIGNALED);
    }
}

BOOL PulseEvent(HANDLE event) {
    kmw_use use = kmw_sync_use(event, &kmw_event_class, EVENT_MODIFY_STATE);
    if (use.object == NULL) {
        return FALSE;
    }
    kmw_sync_page *page = kmw_sync_page_in(use);
    if (is_manual(page)) {
        pulse_manual(page);
    } else {
        pulse_auto(page);
    }
    kmw_use_end(use);
    return TRUE;
}

static kmw_sync_start start_of(BOOL manual_reset, BOOL signaled) {
    return (kmw_sync_start){.word = signaled ? SIGNALED : 0, .limit = manual_reset ? 1 : 0};
}

HANDLE CreateEventA(LPSECURITY_ATTRIBUTES security, BOOL manual_reset, BOOL signaled, LPCSTR name) {
    const kmw_sync_start start = start_of(manual_reset, signaled);
    return kmw_sync_create_a(&kmw_event_class, security, &start, name);
}

HANDLE CreateEventW(LPSECURITY_ATTRIBUTES security, BOOL manual_reset, BOOL signaled,
                    LPCWSTR name) {
    const kmw_sync_start start = start_of(manual_reset, signaled);
    return kmw_sync_create_w(&kmw_event_class, security, &start, name);
}

HANDLE OpenEventA(DWORD access, BOOL inherit, LPCSTR name) {
    return kmw_sync_open_a(&kmw_event_class, access, inherit, name);
}

HANDLE OpenEventW(DWORD access, BOOL inherit, LPCWSTR name) {
    return kmw_sync_open_w(&kmw_event_class, access, inherit, name);
}
