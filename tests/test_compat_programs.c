/*
 * test_compat_programs.c - programs written for Windows, built as they stand (tests/compat), do
 * here what they do there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/child.h"
#include "support/program.h"
#include "support/unique.h"

/* What makes them do without a console and a desktop, where those are not standard input and
 * standard error. */
#if defined(_WIN32)
#define WITHOUT_CONSOLE "x"
#else
#define WITHOUT_CONSOLE NULL
#endif

static void two_processes_share_named_memory(void **state) {
    (void)state;
    const char *name = unique_object("Global\\", unique_name("old-style"), "");
    child *first =
        child_start_program(program_path("compat", "named_memory_1"), name, WITHOUT_CONSOLE, NULL);
    child_expect(first, "filled");
    child *second =
        child_start_program(program_path("compat", "named_memory_2"), name, WITHOUT_CONSOLE, NULL);
    child_expect(second, "Message from first process.");
    assert_int_equal(child_finish(second), 0);
    child_tell(first, "");
    assert_int_equal(child_finish(first), 0);
}

/* Starts it, expects its one line, and the exit code. */
static void run(const char *program, const char *line, int code) {
    child *process = child_start_program(program_path("compat", program), NULL);
    child_expect(process, line);
    assert_int_equal(child_finish(process), code);
}

static void a_view_within_a_file_shows_its_place(void **state) {
    (void)state;
    child *process = child_start_program(program_path("compat", "file_view"), NULL);
    child_expect(process, "file size: 139264");
    child_expect(process, "found: 138240");
    assert_int_equal(child_finish(process), 0);
}

static void an_event_lets_all_threads_go(void **state) {
    (void)state;
    run("thread_events", "all ended: 4 readers, sum 28", 0);
}

static void a_mutex_keeps_threads_apart(void **state) {
    (void)state;
    run("thread_mutex", "count 2000", 0);
}

static void a_semaphore_lets_only_so_many_threads_in(void **state) {
    (void)state;
    run("thread_semaphore_cpp", "8 visits, never too many", 0);
}

static void the_last_error_has_a_text(void **state) {
    (void)state;
    child *process = child_start_program(program_path("compat", "error_text"), NULL);
    static const char start[] = "CreateFile failed with error 2: ";
    char line[256];
    child_read(process, line, sizeof line);
    assert_memory_equal(line, start, sizeof start - 1);
    assert_true(line[sizeof start - 1] >= 'A');
    assert_int_equal(child_finish(process), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes_share_named_memory),
        cmocka_unit_test(a_view_within_a_file_shows_its_place),
        cmocka_unit_test(an_event_lets_all_threads_go),
        cmocka_unit_test(a_mutex_keeps_threads_apart),
        cmocka_unit_test(a_semaphore_lets_only_so_many_threads_in),
        cmocka_unit_test(the_last_error_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
