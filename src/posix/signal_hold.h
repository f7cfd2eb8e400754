/*
 * signal_hold.h - keeps the signals that go with a failed write from the program.
 *
 * Writing past RLIMIT_FSIZE or into a pipe without a reader raises a signal besides the error, in
 * the thread that writes, and ends a program that did not expect it. Win32 knows the error only.
 */
#ifndef KMW_SIGNAL_HOLD_H
#define KMW_SIGNAL_HOLD_H

#include <signal.h>
#include <stdbool.h>

typedef struct kmw_signal_hold {
    int signal;   /* 0: none is held */
    bool pending; /* it was before: that one is not ours to take */
    sigset_t mask;
} kmw_signal_hold;

/* From here on the thread does not receive `signal`. Does nothing with 0. */
void kmw_signal_hold_begin(kmw_signal_hold *hold, int signal);
/* Takes back one that has come since, and lets others through again. errno is kept. */
void kmw_signal_hold_end(const kmw_signal_hold *hold);

/* SIGXFSZ if this process may not make every file as long as it likes, else 0. */
int kmw_signal_of_growth(void);

#endif /* KMW_SIGNAL_HOLD_H */
