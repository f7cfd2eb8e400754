/*
 * futex.h - sleeping until a word of shared memory changes: each function wraps one system call.
 *
 * Words are shared among processes. Every sleep may end early and for no reason: who sleeps looks
 * again. Errors are treated as such ends, for there is nothing else to do about them than to look.
 */
#ifndef KMW_FUTEX_H
#define KMW_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define KMW_FUTEX_WORDS_MAX 64

/* Sleeps while *word is `expected`, until `until` (CLOCK_MONOTONIC; NULL: without limit). */
void kmw_futex_wait(atomic_uint *word, unsigned expected, const struct timespec *until);

/* Wakes at most `count`, in the order they came. */
void kmw_futex_wake(atomic_uint *word, int count);

/* Sleeps while each of `count` words is as expected; at most KMW_FUTEX_WORDS_MAX. */
void kmw_futex_wait_any(atomic_uint *const *words, const unsigned *expected, unsigned count,
                        const struct timespec *until);

/*
 * Whether kmw_futex_wait_any has the system call for it (Linux 5.16). Where it has not, which it
 * finds out by itself, it looks at the words every now and then. Tests clear this.
 */
extern atomic_bool kmw_futex_has_waitv;

#endif /* KMW_FUTEX_H */
