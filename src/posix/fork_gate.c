/*
 * fork_gate.c - stretches of work in which this process must not fork.
 *
 * Those who work are counted, and look whether the gate is shut after they have counted themselves;
 * a fork shuts it and then waits until nobody is counted any more. So of two who come together at
 * least one sees the other. It costs those who work two steps on one word, which counts where files
 * are opened and closed by the hundred thousand.
 */
#include "fork_gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static atomic_uint inside;
static atomic_bool shut;
/* Held by the thread that forks; the others wait for it here. Taken before every other mutex. */
static pthread_mutex_t forking_mutex = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local unsigned depth;
static _Thread_local bool forking; /* this thread has the gate for itself */

static void wait_until_open(void) {
    pthread_mutex_lock(&forking_mutex);
    pthread_mutex_unlock(&forking_mutex);
}

void kmw_fork_gate_close(void) {
    if (depth++ > 0 || forking) {
        return;
    }
    atomic_fetch_add(&inside, 1);
    while (atomic_load(&shut)) {
        atomic_fetch_sub(&inside, 1);
        wait_until_open();
        atomic_fetch_add(&inside, 1);
    }
}

void kmw_fork_gate_open(void) {
    if (--depth == 0 && !forking) {
        atomic_fetch_sub(&inside, 1);
    }
}

static void before_fork(void) {
    if (depth > 0) {
        return; /* a handler that came in between */
    }
    pthread_mutex_lock(&forking_mutex);
    atomic_store(&shut, true);
    while (atomic_load(&inside) > 0) {
        const struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL); /* cut short by a signal, it is a shorter pause */
    }
    forking = true;
}

static void after_fork_in_parent(void) {
    if (forking) {
        forking = false;
        atomic_store(&shut, false);
        pthread_mutex_unlock(&forking_mutex);
    }
}

/* What this thread was at, it is still at; the others are not here. */
static void after_fork_in_child(void) {
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    atomic_store(&inside, depth > 0 ? 1 : 0);
    atomic_store(&shut, false);
    if (forking) {
        forking = false;
        pthread_mutex_unlock(&forking_mutex);
    } else {
        forking_mutex = fresh; /* another thread may have had it */
    }
}

void kmw_fork_gate_watch(void) {
    /* Without memory for it, what this file is for can happen; nothing else depends on it. */
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
