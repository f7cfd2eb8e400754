/*
 * futex.c - the futex system calls, and how to do without the newest of them.
 */
#include "futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where there is no futex_waitv: the first pause between two looks, and the longest. */
#define FIRST_PAUSE_NS 20000
#define LONGEST_PAUSE_NS 2000000

#if defined(SYS_futex_waitv) && defined(FUTEX_32)
atomic_bool kmw_futex_has_waitv = true;
#else
atomic_bool kmw_futex_has_waitv = false;
#endif

/* Of the system calls whose time has 64 bits everywhere. */
struct wide_time {
    int64_t seconds;
    int64_t nanoseconds;
};

/* Of the others: as wide as a register. */
struct narrow_time {
    long seconds;
    long nanoseconds;
};

/* Absolute, by CLOCK_MONOTONIC, as FUTEX_WAIT_BITSET is. */
static long wait_until(atomic_uint *word, unsigned expected, const struct timespec *until) {
#if defined(SYS_futex_time64)
    struct wide_time wide = {0};
    if (until != NULL) {
        wide = (struct wide_time){until->tv_sec, until->tv_nsec};
    }
    const long result = syscall(SYS_futex_time64, word, FUTEX_WAIT_BITSET, expected,
                                until != NULL ? &wide : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
    if (result == 0 || errno != ENOSYS) {
        return result; /* Linux 5.1 */
    }
#endif
#if defined(SYS_futex)
    struct narrow_time narrow = {0};
    if (until != NULL) {
        narrow = (struct narrow_time){(long)until->tv_sec, until->tv_nsec};
    }
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, until != NULL ? &narrow : NULL,
                   NULL, FUTEX_BITSET_MATCH_ANY);
#else
    return result;
#endif
}

void kmw_futex_wait(atomic_uint *word, unsigned expected, const struct timespec *until) {
    (void)wait_until(word, expected, until);
}

void kmw_futex_wake(atomic_uint *word, int count) {
#if defined(SYS_futex)
    (void)syscall(SYS_futex, word, FUTEX_WAKE, count);
#else
    (void)syscall(SYS_futex_time64, word, FUTEX_WAKE, count);
#endif
}

static bool has_passed(const struct timespec *until) {
    struct timespec now;
    if (until == NULL) {
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until->tv_sec ||
           (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

static bool are_as_expected(atomic_uint *const *words, const unsigned *expected, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (atomic_load(words[i]) != expected[i]) {
            return false;
        }
    }
    return true;
}

static void look_again_and_again(atomic_uint *const *words, const unsigned *expected,
                                 unsigned count, const struct timespec *until) {
    struct timespec pause = {.tv_nsec = FIRST_PAUSE_NS};
    while (are_as_expected(words, expected, count) && !has_passed(until)) {
        (void)nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec * 2 > LONGEST_PAUSE_NS ? LONGEST_PAUSE_NS : pause.tv_nsec * 2;
    }
}

#if defined(SYS_futex_waitv) && defined(FUTEX_32)

/* False: there is no such call here. */
static bool wait_by_system_call(atomic_uint *const *words, const unsigned *expected, unsigned count,
                                const struct timespec *until) {
    struct futex_waitv waits[KMW_FUTEX_WORDS_MAX];
    for (unsigned i = 0; i < count; i++) {
        waits[i] = (struct futex_waitv){
            .val = expected[i], .uaddr = (uintptr_t)words[i], .flags = FUTEX_32};
    }
    struct wide_time limit = {0};
    if (until != NULL) {
        limit = (struct wide_time){until->tv_sec, until->tv_nsec};
    }
    const long woken =
        syscall(SYS_futex_waitv, waits, count, 0, until != NULL ? &limit : NULL, CLOCK_MONOTONIC);
    /* EPERM: a sandbox that does not know the call. */
    return woken >= 0 || (errno != ENOSYS && errno != EPERM);
}

#else

static bool wait_by_system_call(atomic_uint *const *words, const unsigned *expected, unsigned count,
                                const struct timespec *until) {
    (void)words;
    (void)expected;
    (void)count;
    (void)until;
    return false;
}

#endif

void kmw_futex_wait_any(atomic_uint *const *words, const unsigned *expected, unsigned count,
                        const struct timespec *until) {
    if (count == 1) {
        kmw_futex_wait(words[0], expected[0], until);
        return;
    }
    if (atomic_load_explicit(&kmw_futex_has_waitv, memory_order_relaxed)) {
        if (wait_by_system_call(words, expected, count, until)) {
            return;
        }
        atomic_store_explicit(&kmw_futex_has_waitv, false, memory_order_relaxed);
    }
    look_again_and_again(words, expected, count, until);
}
