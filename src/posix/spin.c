/*
 * spin.c - how long a thread spins, and what it learns from it.
 */
#include "spin.h"

#include <sched.h>
#include <time.h>

/* As long as sleeping and being woken takes on two processors: then the worst is twice the best. */
#define LONGEST_NS 20000
#define LOOKS_A_CLOCK 16

/* Where there is one processor. */
#define YIELDS 1

/* A spin that paid earns one, one that did not costs two. Without any left, one wait in this many
 * spins, which costs those that never pay some hundred nanoseconds a wait. */
#define MOST_CREDIT 16
#define FIRST_CREDIT 4
#define WAITS_A_TRIAL 128

/* After this many waits it is asked again how many processors there are. */
#define WAITS_A_CENSUS 1024

static _Thread_local struct {
    unsigned credit;
    unsigned waits_without;
    unsigned waits_to_census;
    bool alone;
} learned = {.credit = FIRST_CREDIT};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

/* More processors than a cpu_set_t holds are more than one. */
static bool has_one_processor(void) {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) == 1;
}

bool kmw_spin_begin(kmw_spin *spin) {
    if (learned.waits_to_census == 0) {
        learned.waits_to_census = WAITS_A_CENSUS;
        learned.alone = has_one_processor();
    }
    learned.waits_to_census--;
    if (learned.credit == 0 && ++learned.waits_without < WAITS_A_TRIAL) {
        return false;
    }
    learned.waits_without = 0;
    *spin = (kmw_spin){.yields = learned.alone};
    return true;
}

bool kmw_spin_on(kmw_spin *spin) {
    if (spin->yields) {
        return spin->looks++ < YIELDS && sched_yield() == 0;
    }
    pause_briefly();
    if (++spin->looks % LOOKS_A_CLOCK != 0) {
        return true;
    }
    if (spin->until == 0) {
        spin->until = now_ns() + LONGEST_NS;
        return true;
    }
    return now_ns() < spin->until;
}

void kmw_spin_end(bool paid) {
    if (paid) {
        learned.credit += learned.credit < MOST_CREDIT;
    } else {
        learned.credit -= learned.credit < 2 ? learned.credit : 2;
    }
}
