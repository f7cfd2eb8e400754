/*
 * console_keys.c - single keys (keepmap/compat/conio.h).
 *
 * A terminal has two ways here: its own, line by line, and that of keys. _getch alone switches to
 * keys for the length of its call, so that lines can be read between two keys. A program that has
 * called _kbhit looks again and again, and what is typed between two looks must be neither shown
 * nor edited: from then on keys stay single until the program ends.
 *
 * The translation of Enter to '\n' stays on, and is undone here: a key typed before the switch was
 * translated already, and stdio knows a line by it. While _getch waits the signal keys are switched
 * off with the rest and looked for here: the terminal is put right before the signal is raised,
 * which may end or stop the process, and no signal handler is needed. At any other time they are
 * the terminal's, so that they end a program that is not looking for keys.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include <keepmap/compat/conio.h>

#define NO_KEY EOF

/* Held while a key is waited for. */
static pthread_mutex_t one_reader = PTHREAD_MUTEX_INITIALIZER;

/* Held for moments only. */
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int put_back;
    bool polling;         /* _kbhit has been called */
    bool reading;         /* _getch waits */
    bool ended;           /* the terminal is not ours any more */
    pid_t switched_by;    /* whose `lines` it is: a forked child has switched nothing yet */
    struct termios lines; /* how the terminal was before */
} state = {.put_back = NO_KEY};

static bool in_foreground(void) {
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* The terminal as `state` wants it. False: no terminal, or not ours now. */
static bool keys_on(void) {
    struct termios now;
    if (state.ended || tcgetattr(STDIN_FILENO, &now) != 0) {
        return false;
    }
    bool switched = state.switched_by == getpid();
    if (!switched || (now.c_lflag & ICANON) != 0) { /* a shell may have switched it back */
        state.lines = now;
    }
    struct termios keys = state.lines;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO | (state.reading ? ISIG : 0));
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    state.switched_by = getpid();
    return tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
}

static void keys_off(void) {
    if (state.switched_by == getpid()) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &state.lines);
        state.switched_by = 0;
    }
}

static bool begin_reading(void) {
    (void)pthread_mutex_lock(&state_lock);
    state.reading = true;
    bool on = keys_on();
    (void)pthread_mutex_unlock(&state_lock);
    return on;
}

/* Lines again, except for a program that looks for keys and goes on. */
static void end_reading(bool goes_on) {
    (void)pthread_mutex_lock(&state_lock);
    state.reading = false;
    if (goes_on && state.polling) {
        (void)keys_on();
    } else {
        keys_off();
    }
    (void)pthread_mutex_unlock(&state_lock);
}

static struct termios terminal_of_lines(void) {
    (void)pthread_mutex_lock(&state_lock);
    struct termios lines = state.lines;
    (void)pthread_mutex_unlock(&state_lock);
    return lines;
}

/* Also while another thread waits for a key. In the background it would only stop the process. */
__attribute__((destructor)) static void put_terminal_right(void) {
    (void)pthread_mutex_lock(&state_lock);
    if (state.switched_by == getpid() && in_foreground()) {
        keys_off();
    }
    state.ended = true;
    (void)pthread_mutex_unlock(&state_lock);
}

/* The signal that a terminal set like this sends for a key; 0: none. */
static int signal_of(unsigned char key, const struct termios *terminal) {
    if ((terminal->c_lflag & ISIG) == 0 || key == (unsigned char)_POSIX_VDISABLE) {
        return 0;
    }
    if (key == terminal->c_cc[VINTR]) {
        return SIGINT;
    }
    if (key == terminal->c_cc[VQUIT]) {
        return SIGQUIT;
    }
    return key == terminal->c_cc[VSUSP] ? SIGTSTP : 0;
}

/* The whole foreground gets a key's signal, as if the terminal itself had sent it. */
static void raise_signal(int number) {
    if (!in_foreground() || kill(0, number) != 0) {
        (void)raise(number);
    }
}

/* What the terminal's own way has made of two keys is undone: Enter is a newline, and Ctrl-D,
 * typed while lines were read, a zero. */
static int key_of(unsigned char got, const struct termios *lines) {
    if (got == '\n') {
        return '\r';
    }
    return got == 0 ? lines->c_cc[VEOF] : got;
}

static int terminal_key(void) {
    while (begin_reading()) {
        unsigned char got = 0;
        ssize_t count = read(STDIN_FILENO, &got, 1);
        int error = errno;
        struct termios lines = terminal_of_lines();
        int number = count == 1 ? signal_of(got, &lines) : 0;
        end_reading(number == 0);
        if (count == 1 && number == 0) {
            return key_of(got, &lines);
        }
        if (count == 1) {
            raise_signal(number);
        } else if (count == 0 || error != EINTR) {
            return EOF;
        }
    }
    return EOF;
}

/* NO_KEY if there is none. */
static int take_put_back(void) {
    (void)pthread_mutex_lock(&state_lock);
    int key = state.put_back;
    state.put_back = NO_KEY;
    (void)pthread_mutex_unlock(&state_lock);
    return key;
}

static int next_key(void) {
    int key = take_put_back();
    if (key != NO_KEY) {
        return key;
    }
    if (isatty(STDIN_FILENO)) {
        (void)fflush(stdout); /* the question, before its answer */
        return terminal_key();
    }
    int character = getc(stdin);
    return character == '\n' ? '\r' : character;
}

/* Would reading not wait? The end of the input, and an error, are no wait. */
static bool readable(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

/* Stdio may have read on, so that the descriptor does not tell. Who waits inside stdio now waits
 * for the next character, so that there is none. */
static bool stream_readable(void) {
    if (ftrylockfile(stdin) != 0) {
        return false;
    }
#if defined(__GLIBC__)
    bool there = stdin->_IO_read_ptr < stdin->_IO_read_end || readable();
#else
    bool there = readable();
#endif
    funlockfile(stdin);
    return there;
}

static bool terminal_readable(void) {
    (void)pthread_mutex_lock(&state_lock);
    state.polling = true;
    if (in_foreground()) {
        (void)keys_on();
    }
    (void)pthread_mutex_unlock(&state_lock);
    return readable();
}

static bool key_is_put_back(void) {
    (void)pthread_mutex_lock(&state_lock);
    bool there = state.put_back != NO_KEY;
    (void)pthread_mutex_unlock(&state_lock);
    return there;
}

int _getch(void) {
    (void)pthread_mutex_lock(&one_reader);
    int key = next_key();
    (void)pthread_mutex_unlock(&one_reader);
    return key;
}

int _getche(void) {
    int key = _getch();
    if (key != EOF) {
        (void)_putch(key);
    }
    return key;
}

int _kbhit(void) {
    if (key_is_put_back()) {
        return 1;
    }
    return isatty(STDIN_FILENO) ? terminal_readable() : stream_readable();
}

int _ungetch(int key) {
    (void)pthread_mutex_lock(&state_lock);
    bool refused = key == EOF || state.put_back != NO_KEY;
    if (!refused) {
        state.put_back = (unsigned char)key;
    }
    (void)pthread_mutex_unlock(&state_lock);
    return refused ? EOF : key;
}

int _putch(int character) {
    int written = putchar(character);
    return written == EOF || fflush(stdout) != 0 ? EOF : character;
}

int _cputs(const char *text) {
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? -1 : 0;
}
