/*
 * test_command_watch.c - the keepmap command's watch on a terminal, and segment when it is told to
 * stop.
 */
#include <errno.h>
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
#include <unistd.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"
#include "support/tool.h"

#define CTRL_C "\x03"

/* The command with a terminal as all its standard streams, and what it has written there. */
typedef struct session {
    pid_t id;
    int terminal;
    size_t used;
    char text[1 << 16];
} session;

static session shown; /* one at a time */

static void begin(unsigned short columns, unsigned short rows, const char *const *words) {
    const struct winsize size = {.ws_row = rows, .ws_col = columns};
    const char *all[12] = {tool_path()};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i + 2 < sizeof all / sizeof all[0]);
        all[i + 1] = words[i];
    }
    shown.used = 0;
    shown.text[0] = '\0';
    shown.id = forkpty(&shown.terminal, NULL, NULL, &size);
    assert_true(shown.id >= 0);
    if (shown.id == 0) {
        (void)setenv("TERM", "xterm", 1);
        (void)signal(SIGINT, SIG_DFL); /* the suite's starter may ignore it */
        (void)execv(all[0], (char *const *)all);
        _exit(127);
    }
}

/* false: it has ended. */
static bool hear(void) {
    assert_true(shown.used + 1 < sizeof shown.text);
    const ssize_t got =
        read(shown.terminal, shown.text + shown.used, sizeof shown.text - 1 - shown.used);
    if (got <= 0) {
        return false; /* EIO: the last writer is gone */
    }
    shown.used += (size_t)got;
    shown.text[shown.used] = '\0';
    return true;
}

/* Reads on until it has written this; then what was before is forgotten. */
static void until(const char *words) {
    for (;;) {
        const char *found = strstr(shown.text, words);
        if (found) {
            const size_t passed = (size_t)(found - shown.text) + strlen(words);
            memmove(shown.text, shown.text + passed, shown.used - passed + 1);
            shown.used -= passed;
            return;
        }
        if (!hear()) {
            fail_msg("not shown: \"%s\" in: %s", words, shown.text);
        }
    }
}

/* The exit status, 128 and the signal's number if one ended it. */
static int end(void) {
    int status = 0;
    while (hear()) {
    }
    (void)close(shown.terminal);
    assert_int_equal(waitpid(shown.id, &status, 0), shown.id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void press(const char *keys) {
    assert_int_equal(write(shown.terminal, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static const char *fresh(char name[64], const char *what) {
    (void)snprintf(name, 64, "watch-%s-%ld", what, (long)getpid());
    return name;
}

static km_map *make_segment(const char *name, uint64_t size) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = size};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    return map;
}

static bool exists(const char *name) {
    km_map *map = NULL;
    const km_status status = km_segment(&map, name, NULL);
    km_close(map);
    assert_true(status == KM_OK || status == KM_E_NOT_FOUND);
    return status == KM_OK;
}

/* ---- watch ----------------------------------------------------------------------------------- */

static void watch_marks_what_has_changed_and_ctrl_c_restores_the_terminal(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "marks"), 32);
    memcpy(km_data(map), "hello", 5);
    begin(100, 24, TOOL_WORDS("watch", name, "--interval", "1"));
    until("\033[?1049h\033[?25l");
    until("32 bytes, every 1 ms");
    until("00000000  68 65 6c 6c 6f 00");
    until("|hello...........|");
    ((volatile char *)km_data(map))[0] = 'j';
    until("00000000  \033[7m6a\033[m 65 6c");
    until("|\033[7mj\033[mello...");
    until("00000000  6a 65 6c"); /* the next look finds it as it was */
    press(CTRL_C);
    until("\033[?25h\033[?1049l");
    assert_int_equal(end(), TOOL_FINE);
    assert_string_equal(shown.text, "");
    km_close(map);
}

static void watch_says_what_a_small_terminal_does_not_show(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "small"), 4096);
    begin(100, 10, TOOL_WORDS("watch", name, "--count", "1"));
    until("00000070  00"); /* the eighth row of ten, between heading and footing */
    until("not shown: 3968 bytes from 00000080 on");
    assert_int_equal(end(), TOOL_FINE);
    km_close(map);
}

/* Columns that a line takes without its escape sequences. */
static unsigned width_of(const char *line, size_t length) {
    unsigned width = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\033') {
            i += 2 + strspn(line + i + 2, "?0123456789");
        } else {
            width += line[i] != '\r';
        }
    }
    return width;
}

static void watch_stays_within_a_narrow_terminal(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "narrow"), 4096);
    for (unsigned short columns = 20; columns < 120; columns += 9) {
        begin(columns, 5, TOOL_WORDS("watch", name, "--count", "1"));
        assert_int_equal(end(), TOOL_FINE);
        const char *line = shown.text;
        for (; strstr(line, "\r\n"); line = strstr(line, "\r\n") + 2) {
            const size_t length = (size_t)(strstr(line, "\r\n") - line);
            assert_true(width_of(line, length) < columns);
        }
        assert_true(width_of(line, strlen(line)) < columns);
        assert_non_null(strstr(shown.text, "not shown"));
    }
    km_close(map);
}

static void watch_ends_with_the_segment_and_says_so(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "ends"), 16);
    begin(100, 24, TOOL_WORDS("watch", name, "--interval", "1"));
    until("00000000");
    km_close(map);
    until("\033[?1049l");
    until("gone: ");
    until(name);
    assert_int_equal(end(), TOOL_FINE);
}

static void watch_leaves_the_screen_before_it_complains(void **state) {
    (void)state;
    begin(100, 24, TOOL_WORDS("watch", "watch-of-nothing"));
    until("\033[?25h\033[?1049l");
    until("keepmap watch: ");
    assert_int_equal(end(), TOOL_REFUSED);
}

/* ---- segment --------------------------------------------------------------------------------- */

static void a_segment_ends_well_by_each_polite_signal(void **state) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char name[64];
    (void)state;
    fresh(name, "polite");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        begin(80, 24, TOOL_WORDS("segment", name, "--size", "100"));
        until("ready: ");
        assert_true(exists(name));
        assert_int_equal(kill(shown.id, signals[i]), 0);
        assert_int_equal(end(), TOOL_FINE);
        assert_false(exists(name));
    }
}

static km_status stop_for_ever(void *data, uint64_t size, void *arg) {
    (void)data, (void)size, (void)arg;
    (void)raise(SIGSTOP);
    return KM_OK;
}

static pid_t begin_stopped_maker(const char *name) {
    int status = 0;
    const pid_t maker = fork();
    assert_true(maker >= 0);
    if (maker == 0) {
        km_map *map = NULL;
        const km_options options = {
            .access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100, .init = stop_for_ever};
        _exit((int)km_segment(&map, name, &options));
    }
    assert_int_equal(waitpid(maker, &status, WUNTRACED), maker);
    assert_true(WIFSTOPPED(status));
    return maker;
}

static void watch_is_ended_by_one_ctrl_c_while_a_stopped_maker_keeps_it_waiting(void **state) {
    char name[64];
    (void)state;
    const pid_t maker = begin_stopped_maker(fresh(name, "stopped"));
    begin(80, 24, TOOL_WORDS("watch", name));
    until("\033[?1049h");
    press(CTRL_C);
    until("\033[?1049l");
    assert_int_equal(end(), 128 + SIGINT);
    assert_int_equal(kill(maker, SIGKILL), 0);
    assert_int_equal(waitpid(maker, NULL, 0), maker);
}

static void a_killed_keeper_takes_its_segment_along(void **state) {
    char name[64];
    (void)state;
    begin(80, 24, TOOL_WORDS("segment", fresh(name, "killed"), "--size", "100"));
    until("ready: ");
    assert_int_equal(kill(shown.id, SIGKILL), 0);
    assert_int_equal(end(), 128 + SIGKILL);
    assert_false(exists(name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watch_marks_what_has_changed_and_ctrl_c_restores_the_terminal),
        cmocka_unit_test(watch_says_what_a_small_terminal_does_not_show),
        cmocka_unit_test(watch_stays_within_a_narrow_terminal),
        cmocka_unit_test(watch_ends_with_the_segment_and_says_so),
        cmocka_unit_test(watch_leaves_the_screen_before_it_complains),
        cmocka_unit_test(a_segment_ends_well_by_each_polite_signal),
        cmocka_unit_test(watch_is_ended_by_one_ctrl_c_while_a_stopped_maker_keeps_it_waiting),
        cmocka_unit_test(a_killed_keeper_takes_its_segment_along),
    };
    return cmocka_run_group_tests_name("command_watch", tests, NULL, NULL);
}
