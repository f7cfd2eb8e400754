/*
 * test_command_terminal.c - the keepmap command on a terminal, at the end of a pipe, on a full
 * disk, and when it is interrupted.
 *
 * Not under valgrind: it looks at which signals the command catches, and valgrind catches them all.
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/json.h"
#include "support/scratch.h"
#include "support/tool.h"

/* ---- A command with standard streams of the test's choice ---------------------------------------
 */

typedef struct streams {
    int out; /* becomes its standard output; -1: it is closed */
    int err;
    int terminal; /* becomes its controlling terminal; -1: none */
    int ignored;  /* a signal it starts with ignored; 0: none */
} streams;

static pid_t start(const streams *given, const char *const *words) {
    const char *all[12] = {tool_path()};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i + 2 < sizeof all / sizeof all[0]);
        all[i + 1] = words[i];
    }
    pid_t id = fork();
    assert_true(id >= 0);
    if (id > 0) {
        return id;
    }
    (void)setsid();
    bool ready = given->terminal < 0 || ioctl(given->terminal, TIOCSCTTY, 0) == 0;
    ready = ready && dup2(given->err, STDERR_FILENO) >= 0;
    ready = ready && (given->out < 0 ? close(STDOUT_FILENO) : dup2(given->out, STDOUT_FILENO)) >= 0;
    if (given->ignored) {
        (void)signal(given->ignored, SIG_IGN);
    }
    if (ready) {
        (void)execv(all[0], (char *const *)all);
    }
    _exit(127);
}

/* The exit status, 128 and the signal's number if one ended it. */
static int finish(pid_t id) {
    int status = 0;
    assert_true(waitpid(id, &status, 0) == id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int open_to_write(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    return file;
}

static char *loaded(const char *path) {
    size_t size = 0;
    return tool_load(path, &size);
}

/* ---- Terminals ---------------------------------------------------------------------------------
 */

typedef struct terminal {
    int master;
    int slave;
} terminal;

static terminal terminal_open(unsigned short columns) {
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    terminal made;
    assert_int_equal(openpty(&made.master, &made.slave, NULL, NULL, &size), 0);
    assert_int_equal(fcntl(made.master, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(made.slave, F_SETFD, FD_CLOEXEC), 0);
    return made;
}

/* What was written to it, once its writer has ended; closes it. */
static const char *terminal_end(terminal *ended) {
    static char text[8192];
    size_t used = 0;
    (void)close(ended->slave);
    for (;;) {
        ssize_t got = read(ended->master, text + used, sizeof text - 1 - used);
        if (got <= 0) {
            break; /* EIO: no slave is open any more */
        }
        used += (size_t)got;
    }
    (void)close(ended->master);
    text[used] = '\0';
    return text;
}

/* Runs it with standard error on a terminal; standard output goes to the file "out". */
static int run_on(terminal *given, int ignored, const char *const *words) {
    streams of = {open_to_write("out"), given->slave, given->slave, ignored};
    int exit_status = finish(start(&of, words));
    (void)close(of.out);
    return exit_status;
}

static void a_bar_shows_on_a_terminal_and_is_taken_away(void **state) {
    (void)state;
    scratch_file("seen", 3 << 20, 1);
    terminal shown = terminal_open(80);
    int exit_status = run_on(&shown, 0, TOOL_WORDS("copy", "seen", "seen-copy"));
    const char *text = terminal_end(&shown);
    assert_int_equal(exit_status, TOOL_FINE);
    assert_non_null(strstr(text, "copying   0 %  0 bytes of 3.0 MiB"));
    assert_non_null(strstr(text, "[....."));
    assert_string_equal(text + strlen(text) - 2, " \r");
    assert_null(strchr(text, '\n'));
}

static void the_bar_stays_within_a_narrow_terminal(void **state) {
    (void)state;
    scratch_file("narrow", 3 << 20, 1);
    for (unsigned short columns = 1; columns < 60; columns += 7) {
        terminal shown = terminal_open(columns);
        int exit_status = run_on(&shown, 0, TOOL_WORDS("copy", "narrow", "narrow-copy", "--force"));
        assert_int_equal(exit_status, TOOL_FINE);
        for (const char *text = terminal_end(&shown); *text; text += strcspn(text, "\r")) {
            text += *text == '\r';
            assert_true(strcspn(text, "\r") < columns);
        }
    }
}

static void json_shows_no_bar(void **state) {
    (void)state;
    scratch_file("json", 5000, 1);
    terminal shown = terminal_open(80);
    int exit_status = run_on(&shown, 0, TOOL_WORDS("copy", "json", "json-copy", "--json"));
    assert_string_equal(terminal_end(&shown), "");
    assert_int_equal(exit_status, TOOL_FINE);
    char *text = loaded("out");
    assert_true(json_is_object(text));
    free(text);
}

static void a_pipe_shows_no_bar(void **state) {
    (void)state;
    scratch_file("piped", 5000, 1);
    const tool_result *result = TOOL("copy", "piped", "piped-copy");
    assert_int_equal(result->exit_status, TOOL_FINE);
    assert_string_equal(result->err, "");
}

/* ---- Interruptions
 * -------------------------------------------------------------------------------- */

static bool catches(pid_t id, int signal_number) {
    char path[64];
    char line[256];
    unsigned long long caught = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)id);
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, "SigCgt:", 7) == 0) {
            caught = strtoull(line + 7, NULL, 16);
        }
    }
    (void)fclose(status);
    return caught >> (signal_number - 1) & 1;
}

/* Until it catches that signal, or, having caught it once, no more. */
static void wait_until(pid_t id, int signal_number, bool caught) {
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int tries = 0; catches(id, signal_number) != caught; tries++) {
        assert_true(tries < 20000);
        (void)nanosleep(&pause, NULL);
    }
}

/* A stopped terminal keeps the command in the drawing of its bar, before the first byte is copied.
 */
static void ctrl_c_ends_a_copy_and_leaves_nothing(void **state) {
    (void)state;
    scratch_file("interrupted", 3 << 20, 1);
    terminal stopped = terminal_open(80);
    streams of = {open_to_write("out"), stopped.slave, stopped.slave, 0};
    size_t before = scratch_entries();
    assert_int_equal(tcflow(stopped.slave, TCOOFF), 0);

    pid_t id = start(&of, TOOL_WORDS("copy", "interrupted", "never"));
    wait_until(id, SIGINT, true);
    assert_int_equal(write(stopped.master, "\x03", 1), 1); /* Ctrl-C */
    wait_until(id, SIGINT, false);
    assert_int_equal(tcflow(stopped.slave, TCOON), 0);
    assert_int_equal(finish(id), 128 + SIGINT);
    (void)close(of.out);

    const char *text = terminal_end(&stopped);
    assert_non_null(strstr(text, "keepmap copy: "));
    assert_int_equal(scratch_size("never"), -1);
    assert_int_equal(scratch_entries(), before);
    assert_int_equal(scratch_size("out"), 0);
}

static void ctrl_c_ends_the_filling_of_a_segment_and_leaves_none(void **state) {
    char name[64];
    (void)state;
    (void)snprintf(name, sizeof name, "terminal-filled-%ld", (long)getpid());
    scratch_file("filling", 3 << 20, 1);
    terminal stopped = terminal_open(80);
    streams of = {open_to_write("out"), stopped.slave, stopped.slave, 0};
    assert_int_equal(tcflow(stopped.slave, TCOOFF), 0);

    pid_t id = start(&of, TOOL_WORDS("segment", name, "--from", "filling"));
    wait_until(id, SIGINT, true);
    assert_int_equal(write(stopped.master, "\x03", 1), 1); /* Ctrl-C */
    wait_until(id, SIGINT, false);
    assert_int_equal(tcflow(stopped.slave, TCOON), 0);
    assert_int_equal(finish(id), 128 + SIGINT);
    (void)close(of.out);

    const char *text = terminal_end(&stopped);
    assert_non_null(strstr(text, "keepmap segment: filling it from \"filling\" was cancelled"));
    assert_int_equal(scratch_size("out"), 0);
    tool_failed_json(TOOL("info", "--segment", name, "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
}

static void a_polite_end_leaves_an_old_target_alone(void **state) {
    (void)state;
    scratch_file("polite", 3 << 20, 1);
    scratch_write("old", "old", 3);
    terminal stopped = terminal_open(80);
    streams of = {open_to_write("out"), stopped.slave, stopped.slave, 0};
    size_t before = scratch_entries();
    assert_int_equal(tcflow(stopped.slave, TCOOFF), 0);

    pid_t id = start(&of, TOOL_WORDS("copy", "polite", "old", "--force"));
    wait_until(id, SIGTERM, true);
    assert_int_equal(kill(id, SIGTERM), 0);
    assert_int_equal(tcflow(stopped.slave, TCOON), 0);
    assert_int_equal(finish(id), 128 + SIGTERM);
    (void)close(of.out);

    (void)terminal_end(&stopped);
    assert_true(scratch_equals("old", "old", 3));
    assert_int_equal(scratch_entries(), before);
}

static void what_the_starter_ignores_stays_ignored(void **state) {
    (void)state;
    scratch_file("ignoring", 5000, 1);
    terminal stopped = terminal_open(80);
    streams of = {open_to_write("out"), stopped.slave, stopped.slave, SIGINT};
    assert_int_equal(tcflow(stopped.slave, TCOOFF), 0);

    pid_t id = start(&of, TOOL_WORDS("copy", "ignoring", "ignoring-copy"));
    wait_until(id, SIGTERM, true);
    assert_false(catches(id, SIGINT));
    assert_int_equal(kill(id, SIGINT), 0);
    assert_int_equal(tcflow(stopped.slave, TCOON), 0);
    assert_int_equal(finish(id), TOOL_FINE);
    (void)close(of.out);
    (void)terminal_end(&stopped);
    assert_true(scratch_same("ignoring", "ignoring-copy"));
}

/* ---- Standard output that takes nothing
 * ------------------------------------------------------------ */

static void refused_with(const tool_result *result, const char *words) {
    assert_int_equal(result->exit_status, TOOL_REFUSED);
    assert_non_null(strstr(result->err, words));
}

static void a_full_disk_under_standard_output_is_an_error(void **state) {
    (void)state;
    scratch_file("poured", 1 << 20, 1);
    const char *words = "cannot write to standard output: No space left on device";
    refused_with(tool_run_to("/dev/full", TOOL_WORDS("info", "poured")), words);
    refused_with(tool_run_to("/dev/full", TOOL_WORDS("cat", "poured")), words);
    refused_with(tool_run_to("/dev/full", TOOL_WORDS("cat", "poured", "--hex")), words);
    refused_with(tool_run_to("/dev/full", TOOL_WORDS("--help")), words);
    refused_with(tool_run_to("/dev/full", TOOL_WORDS("check", "poured", "--size", "1")), words);
    const tool_result *result = tool_run_to("/dev/full", TOOL_WORDS("info", "poured", "--json"));
    assert_int_equal(result->exit_status, TOOL_REFUSED);
    assert_true(json_is_object(result->err));
    assert_string_equal(json_string(result->err, "status"), "KM_E_NO_SPACE");
}

static void a_closed_standard_output_never_hits_the_file(void **state) {
    (void)state;
    static const unsigned char zeros[4096];
    streams of = {-1, open_to_write("err"), -1, 0};
    assert_int_equal(finish(start(&of, TOOL_WORDS("create", "safe", "--size", "4k"))),
                     TOOL_REFUSED);
    (void)close(of.err);
    assert_true(scratch_equals("safe", zeros, sizeof zeros));
    char *text = loaded("err");
    assert_non_null(strstr(text, "cannot write to standard output"));
    free(text);
}

/* Starts it with standard output into a pipe, and reads the first byte. */
static pid_t start_piped(int *reader, const char *const *words) {
    int ends[2];
    char first = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    streams of = {ends[1], open_to_write("err"), -1, 0};
    pid_t id = start(&of, words);
    (void)close(ends[1]);
    (void)close(of.err);
    assert_int_equal(read(ends[0], &first, 1), 1);
    *reader = ends[0];
    return id;
}

static void a_reader_that_has_enough_is_no_error(void **state) {
    int reader = -1;
    (void)state;
    scratch_file("long", 8 << 20, 1);
    pid_t id = start_piped(&reader, TOOL_WORDS("cat", "long"));
    (void)close(reader);
    assert_int_equal(finish(id), TOOL_FINE);
    assert_int_equal(scratch_size("err"), 0);
    id = start_piped(&reader, TOOL_WORDS("cat", "long", "--hex"));
    (void)close(reader);
    assert_int_equal(finish(id), TOOL_FINE);
    assert_int_equal(scratch_size("err"), 0);
}

/* The pipe is full long before the file is read: what comes after the cut is read after it. */
static void a_file_cut_short_under_cat_is_an_error_and_no_signal(void **state) {
    static char rest[1 << 16];
    int reader = -1;
    (void)state;
    scratch_file("cut", 8 << 20, 1);
    pid_t id = start_piped(&reader, TOOL_WORDS("cat", "cut"));
    assert_int_equal(truncate("cut", 100), 0);
    while (read(reader, rest, sizeof rest) > 0) {
    }
    (void)close(reader);
    assert_int_equal(finish(id), TOOL_REFUSED);
    char *text = loaded("err");
    assert_non_null(strstr(text, "keepmap cat: "));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_shows_on_a_terminal_and_is_taken_away),
        cmocka_unit_test(the_bar_stays_within_a_narrow_terminal),
        cmocka_unit_test(json_shows_no_bar),
        cmocka_unit_test(a_pipe_shows_no_bar),
        cmocka_unit_test(ctrl_c_ends_a_copy_and_leaves_nothing),
        cmocka_unit_test(ctrl_c_ends_the_filling_of_a_segment_and_leaves_none),
        cmocka_unit_test(a_polite_end_leaves_an_old_target_alone),
        cmocka_unit_test(what_the_starter_ignores_stays_ignored),
        cmocka_unit_test(a_full_disk_under_standard_output_is_an_error),
        cmocka_unit_test(a_closed_standard_output_never_hits_the_file),
        cmocka_unit_test(a_reader_that_has_enough_is_no_error),
        cmocka_unit_test(a_file_cut_short_under_cat_is_an_error_and_no_signal),
    };
    return cmocka_run_group_tests_name("command_terminal", tests, NULL, NULL);
}
