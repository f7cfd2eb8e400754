/*
 * child.c - both ends of the conversation between a test and its child processes.
 */
#include "child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "child_process.h"

/* PROGRAM --child PARENT ROLE ARGUMENT... */
#define CHILD_MARK "--child"
enum { FIRST_ROLE_ARGUMENT = 3, MAX_ARGUMENTS = 16, MAX_LINE = 1024 };

/* Long enough for a loaded machine and a slow emulator; a sound test never waits it out. */
enum { PATIENCE_MS = 60000 };

struct child {
    child_process *process;
    char role[64];
    char unread[MAX_LINE];
    size_t unread_length;
};

/* ---- The parent's side ---- */

static void free_child(child *process) {
    child_process_free(process->process);
    free(process);
}

/* The child goes first: a failing test must not leave it holding files. */
static _Noreturn void give_up(child *process, const char *why) {
    char role[sizeof process->role];
    memcpy(role, process->role, sizeof role);
    child_kill(process);
    fail_msg("child %s: %s", role, why);
    abort(); /* not reached: a failure leaves the test */
}

/* `arguments` has `count` of them already, and room for what the list adds, up to its NULL. */
static void add_arguments(const char **arguments, size_t count, va_list list) {
    for (const char *next = va_arg(list, const char *); next != NULL;
         next = va_arg(list, const char *)) {
        assert_true(count < MAX_ARGUMENTS + FIRST_ROLE_ARGUMENT);
        arguments[count++] = next;
    }
}

static child *start(const char *program, const char *role, const char *const *arguments) {
    child *started = calloc(1, sizeof *started);
    assert_non_null(started);
    snprintf(started->role, sizeof started->role, "%s", role);
    started->process = child_process_start(program, arguments);
    if (started->process == NULL) {
        free(started);
        fail_msg("child %s: cannot be started", role);
        return NULL;
    }
    return started;
}

child *child_start(const char *role, ...) {
    char parent[32];
    snprintf(parent, sizeof parent, "%lu", child_process_self());
    const char *arguments[MAX_ARGUMENTS + FIRST_ROLE_ARGUMENT + 1] = {CHILD_MARK, parent, role};
    va_list list;
    va_start(list, role);
    add_arguments(arguments, FIRST_ROLE_ARGUMENT, list);
    va_end(list);
    return start(NULL, role, arguments);
}

child *child_start_program(const char *path, ...) {
    const char *arguments[MAX_ARGUMENTS + FIRST_ROLE_ARGUMENT + 1] = {NULL};
    va_list list;
    va_start(list, path);
    add_arguments(arguments, 0, list);
    va_end(list);
    const char *name = path + strlen(path);
    while (name > path && name[-1] != '/' && name[-1] != '\\') {
        --name;
    }
    return start(path, name, arguments);
}

void child_tell(child *process, const char *line) {
    char text[MAX_LINE];
    int length = snprintf(text, sizeof text, "%s\n", line);
    assert_true(length > 0 && (size_t)length < sizeof text);
    if (!child_process_write(process->process, text, (size_t)length)) {
        give_up(process, "hears nothing more");
    }
}

void child_read(child *process, char *line, size_t size) {
    char *end = NULL;
    while ((end = memchr(process->unread, '\n', process->unread_length)) == NULL) {
        size_t space = sizeof process->unread - process->unread_length;
        if (space == 0) {
            give_up(process, "its line is too long");
        }
        int got = child_process_read(process->process, process->unread + process->unread_length,
                                     space, PATIENCE_MS);
        if (got <= 0) {
            give_up(process, got == 0 ? "has ended without a word" : "does not answer");
        }
        process->unread_length += (size_t)got;
    }
    size_t length = (size_t)(end - process->unread);
    size_t kept = length > 0 && end[-1] == '\r' ? length - 1 : length;
    if (kept >= size) {
        give_up(process, "its line is too long");
    }
    memcpy(line, process->unread, kept);
    line[kept] = '\0';
    process->unread_length -= length + 1;
    memmove(process->unread, end + 1, process->unread_length);
}

void child_expect(child *process, const char *line) {
    char said[MAX_LINE];
    child_read(process, said, sizeof said);
    if (strcmp(said, line) != 0) {
        char why[2 * MAX_LINE + 32];
        snprintf(why, sizeof why, "said \"%s\", not \"%s\"", said, line);
        give_up(process, why);
    }
}

int child_finish(child *process) {
    child_process_close_input(process->process);
    int code = child_process_wait(process->process, PATIENCE_MS);
    if (code < 0) {
        give_up(process, "does not end");
    }
    free_child(process);
    return code;
}

void child_kill(child *process) {
    child_process_kill(process->process);
    free_child(process);
}

/* ---- The child's side ---- */

void child_main(int argc, char **argv, const child_role *roles) {
    if (argc < FIRST_ROLE_ARGUMENT + 1 || strcmp(argv[1], CHILD_MARK) != 0) {
        return;
    }
    child_process_follow(strtoul(argv[2], NULL, 10));
    for (const child_role *role = roles; role->name != NULL; role++) {
        if (strcmp(role->name, argv[FIRST_ROLE_ARGUMENT]) == 0) {
            exit(role->run(argc - FIRST_ROLE_ARGUMENT, argv + FIRST_ROLE_ARGUMENT));
        }
    }
    fprintf(stderr, "no role %s\n", argv[FIRST_ROLE_ARGUMENT]);
    exit(125);
}

void child_say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
}

bool child_hear(char *line, size_t size) {
    if (fgets(line, (int)size, stdin) == NULL) {
        return false;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}
