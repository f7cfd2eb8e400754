/*
 * console_posix.c - the terminal, signals and standard streams on POSIX systems.
 */
#include "console.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LAST_WORDS_AFTER_S 1

static volatile sig_atomic_t interrupted_by;
static const char *volatile last_words;

/* A file opened while one of these is closed would take its number, and the command's own output
 * would land in the user's data. Opened the wrong way round, using them stays an error. */
static bool standard_streams_are_taken(void) {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        const int mode = stream == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", mode | O_CLOEXEC) != stream) {
            return false;
        }
    }
    return true;
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
    if (last_words) {
        (void)alarm(LAST_WORDS_AFTER_S);
    }
}

/* In the midst of that call: nothing but what a signal handler may do. */
static void obey(int signal_number) {
    const char *words = last_words;
    (void)signal_number;
    if (!words || interrupted_by == 0) {
        return;
    }
    const ssize_t written = write(STDOUT_FILENO, words, strlen(words));
    (void)written; /* there is nobody left to tell */
    console_obey_interrupt();
}

void console_last_words(const char *words) {
    if (!words) {
        (void)alarm(0);
        last_words = NULL;
        return;
    }
    const struct sigaction action = {.sa_handler = obey, .sa_flags = SA_RESTART};
    (void)sigaction(SIGALRM, &action, NULL);
    last_words = words;
    if (interrupted_by != 0) {
        (void)alarm(LAST_WORDS_AFTER_S);
    }
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNAL_COUNT (sizeof signals / sizeof signals[0])

void console_catch_interrupt(void) {
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
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

void console_release_interrupt(void) {
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == note) {
            (void)signal(signals[i], SIG_DFL);
        }
    }
    console_obey_interrupt();
}

#define LOOK_UP_MS 100

/* A read that is begun again after a signal would not see the interruption: so poll waits. It looks
 * up now and then, since another thread may have been the one to be interrupted. */
int console_read(void *to, size_t length, size_t *done) {
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        const int ready = poll(&input, 1, LOOK_UP_MS);
        if (interrupted_by != 0) {
            return EINTR;
        }
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            continue;
        }
        const ssize_t got = read(STDIN_FILENO, to, length);
        if (got >= 0) {
            *done = (size_t)got;
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
    }
}

int console_list(const char *directory, console_entry each, void *arg) {
    DIR *stream = opendir(directory);
    if (!stream) {
        return errno;
    }
    int error = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry =
            readdir(stream); /* NOLINT(concurrency-mt-unsafe): one thread */
        struct stat facts;
        if (!entry) {
            error = errno;
            break;
        }
        if (fstatat(dirfd(stream), entry->d_name, &facts, 0) != 0 || !S_ISREG(facts.st_mode)) {
            continue;
        }
        if (!each(entry->d_name, arg)) {
            error = ENOMEM;
            break;
        }
    }
    (void)closedir(stream);
    return error;
}

/* false: standard input has ended. */
static bool swallow_input(void) {
    char bytes[4096];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

static struct timespec time_until(uint64_t now, uint64_t end) {
    const uint64_t rest = now < end ? end - now : 0;
    return (struct timespec){.tv_sec = (time_t)(rest / 1000),
                             .tv_nsec = (long)(rest % 1000) * 1000000};
}

/* The signals are let in while we sleep, and only then: none comes between the question whether one
 * has come and the sleep. */
static console_event wait_unblocked(uint64_t end, bool input, const sigset_t *unblocked) {
    struct pollfd from = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        const uint64_t now = console_milliseconds();
        const struct timespec rest = time_until(now, end);
        if (interrupted_by != 0) {
            return CONSOLE_INTERRUPTED;
        }
        if (now >= end) {
            return CONSOLE_TIME;
        }
        const int ready =
            ppoll(&from, input ? 1 : 0, end == CONSOLE_FOREVER ? NULL : &rest, unblocked);
        if (ready > 0 && !swallow_input()) {
            return CONSOLE_INPUT_ENDED;
        }
    }
}

console_event console_wait(uint64_t milliseconds, bool input) {
    const uint64_t now = console_milliseconds();
    const uint64_t end =
        milliseconds < CONSOLE_FOREVER - now ? now + milliseconds : CONSOLE_FOREVER;
    sigset_t blocked;
    sigset_t before;
    (void)sigemptyset(&blocked);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        (void)sigaddset(&blocked, signals[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    const console_event event = wait_unblocked(end, input, &before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return event;
}

bool console_screen(unsigned *columns, unsigned *rows) {
    struct winsize size;
    const char *terminal = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (terminal && strcmp(terminal, "dumb") == 0)) {
        return false;
    }
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *columns = known ? size.ws_col : 80;
    *rows = known && size.ws_row > 0 ? size.ws_row : 24;
    return true;
}

void console_obey_interrupt(void) {
    if (interrupted_by != 0) {
        (void)signal(interrupted_by, SIG_DFL);
        (void)raise(interrupted_by);
    }
}
