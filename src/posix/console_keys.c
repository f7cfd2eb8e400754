/*
 * console_keys.c - single keys (keepmap/compat/conio.h).
 *
 * A terminal is switched to single keys for the length of one call only, so that nothing has to be
 * put right at exit. Its signal keys are switched off with the rest and looked for here: the
 * terminal is as it was before the signal is raised, which may end or stop the process, and no
 * signal handler is needed for it.
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

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int put_back = NO_KEY;

/* Single keys from here on; *before is what to go back to. False: no terminal, or not ours now. */
static bool terminal_begin(struct termios *before) {
    if (tcgetattr(STDIN_FILENO, before) != 0) {
        return false;
    }
    struct termios keys = *before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    keys.c_iflag &= ~(tcflag_t)(ICRNL | INLCR);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
}

static void terminal_end(const struct termios *before) {
    (void)tcsetattr(STDIN_FILENO, TCSANOW, before);
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
    if (tcgetpgrp(STDIN_FILENO) != getpgrp() || kill(0, number) != 0) {
        (void)raise(number);
    }
}

static int terminal_key(void) {
    for (;;) {
        struct termios before;
        if (!terminal_begin(&before)) {
            return EOF;
        }
        unsigned char key = 0;
        ssize_t got = read(STDIN_FILENO, &key, 1);
        int error = errno;
        terminal_end(&before);
        if (got == 1) {
            int number = signal_of(key, &before);
            if (number == 0) {
                return key;
            }
            raise_signal(number);
        } else if (got == 0 || error != EINTR) {
            return EOF;
        }
    }
}

static int next_key(void) {
    if (put_back != NO_KEY) {
        int key = put_back;
        put_back = NO_KEY;
        return key;
    }
    if (isatty(STDIN_FILENO)) {
        (void)fflush(stdout); /* the question, before its answer */
        return terminal_key();
    }
    int character = getc(stdin);
    return character == '\n' ? '\r' : character;
}

/* Has stdio read on, so that the descriptor does not tell? */
static bool stdio_holds_input(void) {
#if defined(__GLIBC__)
    return stdin->_IO_read_ptr < stdin->_IO_read_end;
#else
    return false;
#endif
}

/* Would reading not wait? The end of the input, and an error, are no wait. */
static bool readable(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static bool key_is_there(void) {
    struct termios before;
    if (put_back != NO_KEY) {
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        return stdio_holds_input() || readable();
    }
    if (!terminal_begin(&before)) {
        return true;
    }
    bool there = readable();
    terminal_end(&before);
    return there;
}

int _getch(void) {
    (void)pthread_mutex_lock(&one_at_a_time);
    int key = next_key();
    (void)pthread_mutex_unlock(&one_at_a_time);
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
    (void)pthread_mutex_lock(&one_at_a_time);
    bool there = key_is_there();
    (void)pthread_mutex_unlock(&one_at_a_time);
    return there;
}

int _ungetch(int key) {
    (void)pthread_mutex_lock(&one_at_a_time);
    bool refused = key == EOF || put_back != NO_KEY;
    if (!refused) {
        put_back = (unsigned char)key;
    }
    (void)pthread_mutex_unlock(&one_at_a_time);
    return refused ? EOF : key;
}

int _putch(int character) {
    int written = putchar(character);
    return written == EOF || fflush(stdout) != 0 ? EOF : character;
}

int _cputs(const char *text) {
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? -1 : 0;
}
