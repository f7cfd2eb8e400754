/*
 * sync_sleep.c - sleeping on the word of an event or a semaphore, and waking who does.
 *
 * Everything here is sequentially consistent: it rests on "who changes one word and then reads
 * another, and somebody else the other way round: at least one of them sees the other".
 */
#include "sync_sleep.h"

#include <limits.h>

#include "futex.h"

/* What a sleeper hears: signals all do; that somebody else has come, only a candidate. */
#define SIGNALS ((uint32_t)1)
#define COMPANY ((uint32_t)2)

bool kmw_sync_enter(kmw_sync_page *page) {
    kmw_sync_state *state = page->state;
    if (atomic_fetch_add(&state->waiters, 1) == 0) {
        return true;
    }
    atomic_fetch_or(&state->word, KMW_CROWDED);
    if (atomic_load(&state->told) == 0) {
        (void)kmw_futex_wake(&state->word, INT_MAX, COMPANY);
        atomic_store(&state->told, 1); /* not before: who dies here has told nobody */
    }
    return false;
}

void kmw_sync_exit(kmw_sync_page *page) {
    atomic_fetch_sub(&page->state->waiters, 1);
}

static bool is_alone(kmw_sync_state *state) {
    if (atomic_load(&state->waiters) != 1) {
        return false;
    }
    if (atomic_load(&state->word) & KMW_CROWDED) {
        atomic_store(&state->told, 0);
        atomic_fetch_and(&state->word, ~KMW_CROWDED);
    }
    return atomic_load(&state->waiters) == 1;
}

void kmw_sync_sleep(kmw_sync_page *page, bool candidate, unsigned seen,
                    const struct timespec *until) {
    kmw_sync_state *state = page->state;
    if (until == NULL && candidate && is_alone(state)) {
        kmw_futex_wait(&state->word, seen & ~KMW_CROWDED, NULL, SIGNALS | COMPANY);
        return;
    }
    const struct timespec look = kmw_sync_next_look(until);
    kmw_futex_wait(&state->word, seen, &look, SIGNALS);
}

int kmw_sync_wake(kmw_sync_page *page, int count) {
    kmw_sync_state *state = page->state;
    return atomic_load(&state->waiters) != 0 ? kmw_futex_wake(&state->word, count, SIGNALS) : 0;
}

struct timespec kmw_sync_next_look(const struct timespec *until) {
    struct timespec look;
    clock_gettime(CLOCK_MONOTONIC, &look);
    look.tv_sec += (look.tv_nsec + KMW_LOOK_AGAIN_MS * 1000000L) / 1000000000;
    look.tv_nsec = (look.tv_nsec + KMW_LOOK_AGAIN_MS * 1000000L) % 1000000000;
    const bool sooner =
        until != NULL && (until->tv_sec < look.tv_sec ||
                          (until->tv_sec == look.tv_sec && until->tv_nsec < look.tv_nsec));
    return sooner ? *until : look;
}
