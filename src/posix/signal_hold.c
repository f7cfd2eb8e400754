/*
 * signal_hold.c - keeps the signals that go with a failed write from the program.
 */
#include "signal_hold.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

static bool is_pending(int signal) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, signal) == 1;
}

void kmw_signal_hold_begin(kmw_signal_hold *hold, int signal) {
    hold->signal = signal;
    if (signal == 0) {
        return;
    }
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, signal);
    pthread_sigmask(SIG_BLOCK, &held, &hold->mask);
    hold->pending = is_pending(signal);
}

void kmw_signal_hold_end(const kmw_signal_hold *hold) {
    if (hold->signal == 0) {
        return;
    }
    const int error = errno;
    if (!hold->pending && is_pending(hold->signal)) {
        sigset_t held;
        int taken;
        sigemptyset(&held);
        sigaddset(&held, hold->signal);
        (void)sigwait(&held, &taken); /* it is there: this does not wait */
    }
    pthread_sigmask(SIG_SETMASK, &hold->mask, NULL);
    errno = error;
}

int kmw_signal_of_growth(void) {
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? SIGXFSZ : 0;
}
