/*
 * test_command_disk.c - the keepmap command on a disk that fails: strace makes a sync fail.
 *
 * Not under asan: LeakSanitizer cannot run in a process that strace holds.
 * Not under tsan: it makes system calls of its own before the command's.
 * Not under valgrind: strace would see valgrind's own calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/scratch.h"
#include "support/tool.h"

enum { NO_STRACE = 99 };

/* Runs the command under strace, which makes `failing` fail, its standard error in the file "err".
 * Skips where strace is not permitted. */
static int run_failing(const char *failing, const char *const *words) {
    const char *all[16] = {"strace", "-f",    "-o",       "trace.txt", "-e", "trace=fsync,unlink",
                           "-e",     failing, tool_path()};
    size_t count = 9;
    for (size_t i = 0; words[i]; i++) {
        assert_true(count + 1 < sizeof all / sizeof all[0]);
        all[count++] = words[i];
    }
    (void)remove("trace.txt");
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        (void)(freopen("/dev/null", "w", stdout) && freopen("err", "w", stderr));
        (void)execvp(all[0], (char *const *)all);
        _exit(NO_STRACE);
    }
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    struct stat facts;
    bool traced = stat("trace.txt", &facts) == 0 && facts.st_size > 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == NO_STRACE || !traced) {
        skip();
    }
    return WEXITSTATUS(status);
}

static void says(const char *words) {
    size_t size = 0;
    char *text = tool_load("err", &size);
    assert_non_null(strstr(text, words));
    free(text);
}

static void a_creation_that_cannot_be_made_durable_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(
        run_failing("inject=fsync:error=EIO", TOOL_WORDS("create", "undurable", "--size", "4k")),
        TOOL_REFUSED);
    assert_int_equal(scratch_size("undurable"), -1);
    says("cannot flush 4096 bytes from 0 of \"undurable\"");
}

static void a_link_that_led_to_it_stays(void **state) {
    struct stat facts;
    (void)state;
    assert_int_equal(symlink("led-to", "leading"), 0);
    assert_int_equal(
        run_failing("inject=fsync:error=EIO", TOOL_WORDS("create", "leading", "--size", "4k")),
        TOOL_REFUSED);
    assert_int_equal(scratch_size("led-to"), -1);
    assert_int_equal(lstat("leading", &facts), 0);
}

static void a_file_that_had_to_stay_is_named(void **state) {
    (void)state;
    assert_int_equal(
        run_failing("inject=fsync,unlink:error=EIO", TOOL_WORDS("create", "stuck", "--size", "4k")),
        TOOL_REFUSED);
    assert_int_equal(scratch_size("stuck"), 4096);
    says("\"stuck\" was made and could not be taken away again");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_creation_that_cannot_be_made_durable_leaves_nothing),
        cmocka_unit_test(a_link_that_led_to_it_stays),
        cmocka_unit_test(a_file_that_had_to_stay_is_named),
    };
    return cmocka_run_group_tests_name("command_disk", tests, NULL, NULL);
}
