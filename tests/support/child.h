/*
 * child.h - other processes in a test, the same way on POSIX and Windows.
 *
 * A child is the test's own executable started again in a named role. Parent and child talk in
 * lines over the child's standard input and output. Every wait is bounded; a child that does not
 * answer in time fails the test (in the parent) or ends (in the child, when its parent is gone).
 *
 *     static int hold_open(int argc, char **argv) { ...; child_say("ready"); child_hear(...); }
 *     static const child_role roles[] = {{"hold_open", hold_open}, {NULL, NULL}};
 *     int main(int argc, char **argv) {
 *         child_main(argc, argv, roles);   // does not return in a child
 *         ...cmocka_run_group_tests...
 *     }
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct child_role {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the role's name; the result is the exit code */
} child_role;

typedef struct child child;

/* First in main: runs the role and exits if this process is a child; otherwise returns. */
void child_main(int argc, char **argv, const child_role *roles);

/* The parent's side. Failures fail the current test. */
child *child_start(const char *role, ... /* const char * arguments, then NULL */);
/* Another program, which knows nothing of all this: `path` without ".exe", then its arguments. It
 * ought to end by itself when its input does. */
child *child_start_program(const char *path, ... /* const char * arguments, then NULL */);
void child_tell(child *process, const char *line);
void child_expect(child *process, const char *line); /* the very next line must be this */
void child_read(child *process, char *line, size_t size);
int child_finish(child *process); /* closes its input, waits, frees; the exit code */
void child_kill(child *process);  /* SIGKILL or TerminateProcess, waits until it is gone, frees */

/* The child's side. */
void child_say(const char *format, ...);  /* one line, flushed */
bool child_hear(char *line, size_t size); /* false: the parent has closed our input */

#endif /* TESTS_CHILD_H */
