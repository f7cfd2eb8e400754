/*
 * tool.h - runs the keepmap command and keeps what it says.
 *
 * The command is the one that the environment's KM_TEST_TOOL names.
 */
#ifndef TESTS_TOOL_H
#define TESTS_TOOL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tool_result {
    int exit_status; /* 128 and the signal's number if a signal ended it */
    char *out;       /* standard output; a NUL follows it */
    size_t out_size;
    char *err;
    size_t err_size;
} tool_result;

/*
 * Runs it with `words`, up to a NULL, and an empty standard input. Standard output goes to the file
 * `out_path`, to be read from there, or is kept (NULL). A tool that cannot be run fails the current
 * test. The result is valid until the next run.
 */
const tool_result *tool_run_to(const char *out_path, const char *const *words);

/* The same with the file `in_path` as standard input; NULL: an empty one. */
const tool_result *tool_run_through(const char *in_path, const char *out_path,
                                    const char *const *words);

#define TOOL_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TOOL(...) tool_run_to(NULL, TOOL_WORDS(__VA_ARGS__))

/* Its exit statuses, as the manual page has them. */
enum { TOOL_FINE, TOOL_CHECK_FAILED, TOOL_MISUSE, TOOL_REFUSED };

/* Each of these fails the current test if it is not so. */

/* Exit status 0, and standard error is silent. */
const tool_result *tool_fine(const tool_result *result);
/* That exit status, standard output is silent, and standard error says these words. */
void tool_failed(const tool_result *result, int exit_status, const char *words);
/* The same, with a JSON object of that status on standard error. */
void tool_failed_json(const tool_result *result, int exit_status, const char *status);
/* Standard output says these words. */
void tool_says(const tool_result *result, const char *words);

/* The whole file, with a NUL behind it; the caller frees. Fails the current test. */
char *tool_load(const char *path, size_t *size);

/* The command's path. Fails the current test if there is none. */
const char *tool_path(void);

/*
 * What tool.c needs of the system, in tool_posix.c and tool_windows.c: runs `words` with standard
 * input coming from (NULL: empty), and output and error going to these files. -1: it cannot be run.
 */
int tool_spawn(const char *const *words, const char *in_path, const char *out_path,
               const char *err_path);

#endif /* TESTS_TOOL_H */
