/*
 * platform_threads_posix.c - threads, chance and time of platform.h, on POSIX.
 */
#include "platform.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "cgroup_processors.h"
#include "file_mutexes.h"
#include "last_error.h"

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000

/* Some systems give a thread less than the codecs and their sentences want. */
#define LEAST_STACK ((size_t)1 << 20)

/* Sets of so many processors are asked for: more than Linux can be built for. */
enum { PROCESSOR_SETS = 16 };

/* ---- Threads ------------------------------------------------------------------------------- */

typedef struct beginning {
    void (*run)(void *arg);
    void *arg;
} beginning;

static void *begin(void *arg) {
    const beginning that = *(beginning *)arg;
    free(arg);
    that.run(that.arg);
    return NULL;
}

/* A new thread has the signal mask of the one that makes it. */
static void block_signals_from_outside(sigset_t *before) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t outside;
    sigfillset(&outside);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&outside, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &outside, before);
}

static int create(pthread_t *thread, beginning *with) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return error;
    }
    size_t usual = 0;
    if (pthread_attr_getstacksize(&attributes, &usual) == 0 && usual < LEAST_STACK) {
        error = pthread_attr_setstacksize(&attributes, LEAST_STACK);
    }
    if (error == 0) {
        error = pthread_create(thread, &attributes, begin, with);
    }
    (void)pthread_attr_destroy(&attributes);
    return error;
}

DWORD km_platform_thread_start(km_thread *thread, void (*run)(void *arg), void *arg) {
    beginning *with = malloc(sizeof *with);
    if (with == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *with = (beginning){.run = run, .arg = arg};
    pthread_t made;
    sigset_t before;
    block_signals_from_outside(&before);
    const int error = create(&made, with);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(with);
        return error == EAGAIN ? ERROR_NOT_ENOUGH_MEMORY : kmw_error_of_errno(error);
    }
    thread->system = (uintptr_t)made;
    return ERROR_SUCCESS;
}

void km_platform_thread_join(km_thread *thread) {
    (void)pthread_join((pthread_t)thread->system, NULL);
}

/* ---- Monitors ------------------------------------------------------------------------------ */

struct km_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* by a clock that nobody sets */
};

static int make_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0) {
        error = pthread_cond_init(condition, &attributes);
    }
    (void)pthread_condattr_destroy(&attributes);
    return error;
}

DWORD km_platform_monitor_make(km_monitor **monitor) {
    km_monitor *made = malloc(sizeof *made);
    if (made == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    int error = pthread_mutex_init(&made->mutex, NULL);
    if (error != 0) {
        goto no_mutex;
    }
    error = make_condition(&made->changed);
    if (error != 0) {
        goto no_condition;
    }
    *monitor = made;
    return ERROR_SUCCESS;

no_condition:
    (void)pthread_mutex_destroy(&made->mutex);
no_mutex:
    free(made);
    return kmw_error_of_errno(error);
}

void km_platform_monitor_free(km_monitor *monitor) {
    if (monitor == NULL) {
        return;
    }
    (void)pthread_cond_destroy(&monitor->changed);
    (void)pthread_mutex_destroy(&monitor->mutex);
    free(monitor);
}

void km_platform_monitor_enter(km_monitor *monitor) {
    (void)pthread_mutex_lock(&monitor->mutex);
}

void km_platform_monitor_leave(km_monitor *monitor) {
    (void)pthread_mutex_unlock(&monitor->mutex);
}

static struct timespec monotonic_in(uint32_t milliseconds) {
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(milliseconds / 1000);
    at.tv_nsec += (long)(milliseconds % 1000) * NS_PER_MS;
    if (at.tv_nsec >= NS_PER_S) {
        at.tv_nsec -= NS_PER_S;
        at.tv_sec++;
    }
    return at;
}

void km_platform_monitor_wait(km_monitor *monitor, uint32_t milliseconds) {
    if (milliseconds == KM_WAIT_FOREVER) {
        (void)pthread_cond_wait(&monitor->changed, &monitor->mutex);
        return;
    }
    const struct timespec until = monotonic_in(milliseconds);
    (void)pthread_cond_timedwait(&monitor->changed, &monitor->mutex, &until);
}

void km_platform_monitor_notify(km_monitor *monitor) {
    (void)pthread_cond_broadcast(&monitor->changed);
}

/* ---- Processors ---------------------------------------------------------------------------- */

unsigned km_platform_processors(void) {
    cpu_set_t allowed[PROCESSOR_SETS];
    const unsigned quota = kmw_cgroup_processors("");
    if (sched_getaffinity(0, sizeof allowed, allowed) != 0) {
        return 1;
    }
    const unsigned count = (unsigned)CPU_COUNT_S(sizeof allowed, allowed);
    return count < quota ? count : quota;
}

unsigned km_platform_forks(void) {
    return kmw_fork_count();
}

/* ---- Chance and time ----------------------------------------------------------------------- */

DWORD km_platform_random(void *bytes, size_t length) {
    unsigned char *to = bytes;
    while (length > 0) {
        const ssize_t done = getrandom(to, length, 0);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? kmw_error_of_errno(errno) : ERROR_GEN_FAILURE;
        }
        to += done;
        length -= (size_t)done;
    }
    return ERROR_SUCCESS;
}

uint64_t km_platform_now(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
