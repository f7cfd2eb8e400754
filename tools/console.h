/*
 * console.h - what the command asks of the system beyond keepmap and the C library: its words in
 * UTF-8, bytes untouched on standard output, files to remove, the terminal, Ctrl-C. Once for each
 * system: console_posix.c and console_windows.c.
 */
#ifndef TOOLS_CONSOLE_H
#define TOOLS_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * First in main. Standard output passes bytes as they are; writing to a pipe that nobody reads any
 * more is an error, not a signal. The result is argv in UTF-8, with a NULL behind its last; NULL if
 * there was no memory, no standard stream, or the words are no text.
 */
char **console_start(char **argv);

/* Takes away a file that this command has made, through a link too. false: it is still there. */
bool console_remove(const char *path);

/* Columns of the terminal that standard error is; 0 if it is none. */
unsigned console_columns(void);

/* A clock that only goes forward. */
uint64_t console_milliseconds(void);

/*
 * From now on Ctrl-C, or a polite request to end, is noted and not obeyed, the first time. One that
 * the starter of this process ignores stays ignored.
 */
void console_catch_interrupt(void);
bool console_interrupted(void);

/* From now on it is obeyed at once again, as one that was noted is where there is a way. */
void console_release_interrupt(void);

/*
 * Around a call that may wait for others without end: an interruption that it does not let through
 * within a second is obeyed there, after `words`, which stay where they are, have been written to
 * standard output. NULL: the call is over.
 */
void console_last_words(const char *words);

typedef enum console_event {
    CONSOLE_TIME,        /* that time is over */
    CONSOLE_INTERRUPTED, /* see console_catch_interrupt, which comes first */
    CONSOLE_INPUT_ENDED,
} console_event;

#define CONSOLE_FOREVER UINT64_MAX

/* Waits so long, until interrupted, or, with `input`, until standard input, whatever it brings, has
 * ended. */
console_event console_wait(uint64_t milliseconds, bool input);

/*
 * Reads up to `length` bytes of standard input, as they are, into `to`; *done 0: it has ended. The
 * result is an errno, 0 if all went well, EINTR once console_interrupted.
 */
int console_read(void *to, size_t length, size_t *done);

/* Called with the name of each entry of a directory that is no directory itself, in no order.
 * false: no memory, or enough. */
typedef bool (*console_entry)(const char *name, void *arg);

/* The result is an errno; ENOMEM if `each` has said false. */
int console_list(const char *directory, console_entry each, void *arg);

/* The size of the terminal that standard output is. false: it is none, or none that can move its
 * cursor. */
bool console_screen(unsigned *columns, unsigned *rows);

/*
 * Once everything is cleaned up, ends the process the way the noted interruption would have, so
 * that a shell sees it; returns where there is no such way, or nothing was noted.
 */
void console_obey_interrupt(void);

#endif /* TOOLS_CONSOLE_H */
