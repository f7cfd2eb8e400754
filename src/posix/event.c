/*
 * event.c - events: a bit that is set, and taken by one (auto reset) or seen by all (manual reset).
 *
 * Besides that bit the word counts two things. Resets, so that a wait for all that took the bit and
 * has to put it back sees that it is not to be there any more. And pulses, so that those who were
 * waiting see that there was one, though it leaves the event reset: of a manual event all of them,
 * of an auto event whoever of them clears the bit that says so. The counts overflow, which matters
 * to nobody who looks again before there have been some thousands.
 */
#include <limits.h>
#include <stddef.h>

#include "last_error.h"
#include "sync_object.h"
#include "sync_sleep.h"

#define SIGNALED 0x1u
#define PULSED 0x2u /* auto: one of those who were waiting is to go */
#define ONE_RESET 0x4u
#define RESETS 0xFFFCu
#define ONE_PULSE 0x10000u
#define PULSES 0xFFFF0000u

#define EVENT_QUERY_STATE 0x0001u

static bool is_manual(const kmw_sync_page *page) {
    return page->limit != 0;
}

/* Does a pulse let go who has waited since the word was `since`? */
static bool is_pulsed(const kmw_sync_page *page, unsigned word, unsigned since) {
    return ((word ^ since) & PULSES) != 0 && (is_manual(page) || (word & PULSED) != 0);
}

static bool event_is_signaled(kmw_sync_page *page, unsigned since) {
    const unsigned word = atomic_load(&page->state->word);
    return (word & SIGNALED) != 0 || is_pulsed(page, word, since);
}

static kmw_taking event_take(kmw_sync_page *page, unsigned since, unsigned *found) {
    unsigned word = atomic_load(&page->state->word);
    while ((word & SIGNALED) != 0 || is_pulsed(page, word, since)) {
        const unsigned taken = word & SIGNALED ? SIGNALED : PULSED;
        if (is_manual(page) ||
            atomic_compare_exchange_weak(&page->state->word, &word, word & ~taken)) {
            *found = word;
            return KMW_TAKEN;
        }
    }
    return KMW_NOT_SIGNALED;
}

/* Also if it is set already: whom that was for may have been killed before taking it. */
static void set(kmw_sync_page *page) {
    atomic_fetch_or(&page->state->word, SIGNALED);
    kmw_sync_wake(page, is_manual(page) ? INT_MAX : 1);
}

static void reset(kmw_sync_page *page) {
    unsigned word = atomic_load(&page->state->word);
    unsigned after = 0;
    do {
        after = (word & (PULSES | PULSED)) | ((word + ONE_RESET) & RESETS);
    } while (!atomic_compare_exchange_weak(&page->state->word, &word, after));
}

static void pulse(kmw_sync_page *page) {
    const unsigned turn = is_manual(page) ? 0 : PULSED;
    unsigned word = atomic_load(&page->state->word);
    unsigned after = 0;
    do {
        after = ((word + ONE_PULSE) & PULSES) | (word & RESETS) | turn;
    } while (!atomic_compare_exchange_weak(&page->state->word, &word, after));
    kmw_sync_wake(page, is_manual(page) ? INT_MAX : 1);
}

/* Unless it has been reset meanwhile. A pulse that was taken is over. */
static void event_put_back(kmw_sync_page *page, kmw_taking taking, unsigned found) {
    unsigned word = atomic_load(&page->state->word);
    if (taking != KMW_TAKEN || is_manual(page) || !(found & SIGNALED)) {
        return;
    }
    do {
        if (((word ^ found) & (RESETS | PULSES)) != 0) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&page->state->word, &word, word | SIGNALED));
    kmw_sync_wake(page, 1);
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

static BOOL change(HANDLE event, void (*how)(kmw_sync_page *page)) {
    kmw_use use = kmw_sync_use(event, &kmw_event_class, EVENT_MODIFY_STATE);
    if (use.object == NULL) {
        return FALSE;
    }
    how(kmw_sync_page_in(use));
    kmw_use_end(use);
    return TRUE;
}

BOOL SetEvent(HANDLE event) {
    return change(event, set);
}

BOOL ResetEvent(HANDLE event) {
    return change(event, reset);
}

BOOL PulseEvent(HANDLE event) {
    return change(event, pulse);
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
