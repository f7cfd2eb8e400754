/*
 * fork_gate.c - stretches of work in which this process must not fork.
 *
 * A read-write lock: those who work share it, a fork takes it alone. It prefers the fork, or a
 * program whose threads never stop opening things could not fork.
 */
#include "fork_gate.h"

#include <pthread.h>
#include <stdbool.h>

#ifdef PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#define FRESH_GATE PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#else
#define FRESH_GATE PTHREAD_RWLOCK_INITIALIZER
#endif

static pthread_rwlock_t gate = FRESH_GATE;

static _Thread_local unsigned depth;
static _Thread_local bool forking; /* this thread has the gate for itself */

void kmw_fork_gate_close(void) {
    if (depth++ == 0 && !forking) {
        pthread_rwlock_rdlock(&gate);
    }
}

void kmw_fork_gate_open(void) {
    if (--depth == 0 && !forking) {
        pthread_rwlock_unlock(&gate);
    }
}

static void before_fork(void) {
    if (depth == 0) {
        pthread_rwlock_wrlock(&gate);
        forking = true;
    }
}

static void after_fork_in_parent(void) {
    if (forking) {
        forking = false;
        pthread_rwlock_unlock(&gate);
    }
}

/* Those who wait for it in the parent are counted in it, and are not here: so it begins anew. */
static void after_fork_in_child(void) {
    static const pthread_rwlock_t fresh = FRESH_GATE;
    pthread_rwlock_unlock(&gate);
    gate = fresh;
    if (!forking) {
        pthread_rwlock_rdlock(&gate); /* what this thread was at, it is still at */
    }
    forking = false;
}

void kmw_fork_gate_watch(void) {
    /* Without memory for it, what this file is for can happen; nothing else depends on it. */
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
