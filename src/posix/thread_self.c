/*
 * thread_self.c - which thread this is, asked of the system once a thread.
 */
#include "thread_self.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local uint64_t self;
static _Atomic(uint32_t) threads_seen;

uint64_t kmw_thread_self(void) {
    if (self == 0) {
        const uint32_t number =
            atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) + 1;
        self = (uint64_t)number << 32 | (uint32_t)syscall(SYS_gettid);
    }
    return self;
}

pid_t kmw_thread_id(void) {
    return (pid_t)(uint32_t)kmw_thread_self();
}

bool kmw_thread_lives(uint64_t thread) {
    return syscall(SYS_tgkill, getpid(), (pid_t)(uint32_t)thread, 0) == 0 || errno != ESRCH;
}

static void after_fork_in_child(void) {
    self = 0;
}

__attribute__((constructor)) static void watch_forks(void) {
    /* Without memory for it at the start of a program, a child would take its parent's mutexes for
     * its own; the system would not, and refuse to release them. */
    (void)pthread_atfork(NULL, NULL, after_fork_in_child);
}
