/*
 * sync_sleep.h - sleeping on the word of an event or a semaphore, and waking who does.
 *
 * A waiter may be killed between being woken and taking what it was woken for. Its wake-up is lost
 * then to those who sleep beside it; so they look again every KMW_LOOK_AGAIN_MS. But who is the
 * only one to wait can lose nothing to anybody, and a sleep without a limit is cheaper by a tenth.
 * So:
 *
 * The first to arrive is a candidate, and whoever arrives while somebody is there makes company:
 * sets KMW_CROWDED in the word and, if nobody has yet, wakes a candidate that sleeps. A candidate
 * clears that bit when it finds itself the only one, looks once more whether it is, and then sleeps
 * without a limit on a word without the bit. If somebody came before that second look, it sees
 * him; if later, the bit is there, and the sleep does not begin. There is one candidate at a time:
 * it came when there was nobody.
 */
#ifndef KMW_SYNC_SLEEP_H
#define KMW_SYNC_SLEEP_H

#include <stdbool.h>
#include <time.h>

#include "sync_page.h"

#define KMW_CROWDED ((unsigned)1 << 31)

/*
 * How much later than it could have been a wait ends whose wake-up died with somebody else, and how
 * late a wait for several objects sees that a mutex's owner has died. Ten looks a second are
 * nothing to a processor, and a tenth of a second is little beside the death of a process.
 */
#define KMW_LOOK_AGAIN_MS 100

/* Counts the caller among the waiters. True: it is a candidate. */
bool kmw_sync_enter(kmw_sync_page *page);
void kmw_sync_exit(kmw_sync_page *page);

/* Sleeps, at most until `until` (NULL: without limit), if the word is still `seen`. May return at
 * any time, and does after KMW_LOOK_AGAIN_MS where that is necessary. */
void kmw_sync_sleep(kmw_sync_page *page, bool candidate, unsigned seen,
                    const struct timespec *until);

/* Wakes at most `count` of those who sleep, if there are any; how many it was. Comes after the
 * change it is about. */
int kmw_sync_wake(kmw_sync_page *page, int count);

/* The earlier of `until` (may be NULL) and KMW_LOOK_AGAIN_MS from now. */
struct timespec kmw_sync_next_look(const struct timespec *until);

#endif /* KMW_SYNC_SLEEP_H */
