/*
 * console_posix.c - the terminal, signals and standard streams on POSIX systems.
 */
#include "console.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted_by;

/* A file opened while one of these is closed would take its number, and the command's own output
 * would land in the user's data. Opened for reading only, writing to them stays an error. */
static bool standard_streams_are_taken(void) {
    for (;;) {
        int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (lowest < 0) {
            return false;
        }
        if (lowest > STDERR_FILENO) {
            (void)close(lowest);
            return true;
        }
    }
}

char **console_start(char **argv) {
    (void)signal(SIGPIPE, SIG_IGN);
    return standard_streams_are_taken() ? argv : NULL;
}

bool console_remove(const char *path) {
    char *target = realpath(path, NULL); /* a link was there before and stays */
    bool removed = target && unlink(target) == 0;
    free(target);
    return removed;
}

unsigned console_columns(void) {
    struct winsize size;
    if (!isatty(STDERR_FILENO)) {
        return 0;
    }
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return 80;
    }
    return size.ws_col;
}

uint64_t console_milliseconds(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void note(int signal_number) {
    interrupted_by = signal_number;
}

void console_catch_interrupt(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        if (sigaction(signals[i], NULL, &before) != 0 || before.sa_handler == SIG_IGN) {
            continue;
        }
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
        action.sa_flags |= (int)SA_RESETHAND; /* the second time it is obeyed at once */
        (void)sigemptyset(&action.sa_mask);
        (void)sigaction(signals[i], &action, NULL);
    }
}

bool console_interrupted(void) {
    return interrupted_by != 0;
}

void console_obey_interrupt(void) {
    if (interrupted_by != 0) {
        (void)signal(interrupted_by, SIG_DFL);
        (void)raise(interrupted_by);
    }
}
