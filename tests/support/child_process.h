/*
 * child_process.h - what child.c needs of the system: start a process with a line to it, and end
 * it.
 *
 * Written twice, in child_posix.c and child_windows.c. Nothing here fails a test; child.c does.
 */
#ifndef TESTS_CHILD_PROCESS_H
#define TESTS_CHILD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* A process goes on its own only so long; then it ends itself, whatever it waits for. */
#define CHILD_LIFETIME_SECONDS 600

typedef struct child_process child_process;

/* The one at `program`, on Windows with ".exe" behind it; NULL: this very program again.
 * `arguments` ends with NULL and leaves out the program's name. */
child_process *child_process_start(const char *program, const char *const *arguments);
bool child_process_write(child_process *process, const char *bytes, size_t size);
/* Bytes read, 0 at the end of its output, -1 if nothing comes in that time. */
int child_process_read(child_process *process, char *to, size_t size, unsigned milliseconds);
void child_process_close_input(child_process *process);
/* The exit code, 128 and the signal's number if a signal ended it, -1 if it lives on. */
int child_process_wait(child_process *process, unsigned milliseconds);
void child_process_kill(child_process *process);
/* The process is gone. */
void child_process_free(child_process *process);

/* The number by which a child knows its parent, and then, in the child: end when that one has. */
unsigned long child_process_self(void);
void child_process_follow(unsigned long parent);

#endif /* TESTS_CHILD_PROCESS_H */
