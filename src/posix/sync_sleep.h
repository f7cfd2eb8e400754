/*
 * sync_sleep.h - sleeping on the word of an event or a semaphore, and waking who does.
 *
 * A wake-up can be lost to a death at two places: whoever changes a word may be killed before it
 * wakes, and a waiter may be killed between being woken and taking what it was woken for. So no
 * sleep is longer than KMW_LOOK_AGAIN_MS, however long the wait.
 */
#ifndef KMW_SYNC_SLEEP_H
#define KMW_SYNC_SLEEP_H

#include <stdatomic.h>
#include <time.h>

#include "sync_page.h"

/*
 * How much later than it could have been a wait ends whose wake-up died with somebody, and how late
 * a wait for several objects sees that a mutex's owner has died. Ten looks a second are nothing to
 * a processor, and a tenth of a second is little beside the death of a process.
 */
#define KMW_LOOK_AGAIN_MS 100

/* What it is. Tests make it so long that a wake-up that nobody passes on is missed. */
extern atomic_int kmw_sync_look_again_ms;

/* Counts the caller among the waiters. */
void kmw_sync_enter(kmw_sync_page *page);
void kmw_sync_exit(kmw_sync_page *page);

/* Sleeps, at most until `until` (NULL: without limit), if the word is still `seen`. May return at
 * any time, and does after kmw_sync_look_again_ms. */
void kmw_sync_sleep(kmw_sync_page *page, unsigned seen, const struct timespec *until);

/* Wakes at most `count` of those who sleep, if there are any. Comes after the change it is about.
 */
void kmw_sync_wake(kmw_sync_page *page, int count);

/* The earlier of `until` (may be NULL) and kmw_sync_look_again_ms from now. */
struct timespec kmw_sync_next_look(const struct timespec *until);

#endif /* KMW_SYNC_SLEEP_H */
