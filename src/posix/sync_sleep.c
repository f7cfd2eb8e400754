/*
 * sync_sleep.c - sleeping on the word of an event or a semaphore, and waking who does.
 *
 * Everything here is sequentially consistent: it rests on "who changes one word and then reads
 * another, and somebody else the other way round: at least one of them sees the other".
 */
#include "sync_sleep.h"

#include "futex.h"

atomic_int kmw_sync_look_again_ms = KMW_LOOK_AGAIN_MS;

void kmw_sync_enter(kmw_sync_page *page) {
    atomic_fetch_add(&page->state->waiters, 1);
}

void kmw_sync_exit(kmw_sync_page *page) {
    atomic_fetch_sub(&page->state->waiters, 1);
}

void kmw_sync_sleep(kmw_sync_page *page, unsigned seen, const struct timespec *until) {
    const struct timespec look = kmw_sync_next_look(until);
    kmw_futex_wait(&page->state->word, seen, &look);
}

void kmw_sync_wake(kmw_sync_page *page, int count) {
    kmw_sync_state *state = page->state;
    if (atomic_load(&state->waiters) != 0) {
        kmw_futex_wake(&state->word, count);
    }
}

struct timespec kmw_sync_next_look(const struct timespec *until) {
    const int pause = atomic_load_explicit(&kmw_sync_look_again_ms, memory_order_relaxed);
    struct timespec look;
    clock_gettime(CLOCK_MONOTONIC, &look);
    look.tv_nsec += pause % 1000 * 1000000L;
    look.tv_sec += pause / 1000 + look.tv_nsec / 1000000000;
    look.tv_nsec %= 1000000000;
    const bool sooner =
        until != NULL && (until->tv_sec < look.tv_sec ||
                          (until->tv_sec == look.tv_sec && until->tv_nsec < look.tv_nsec));
    return sooner ? *until : look;
}
