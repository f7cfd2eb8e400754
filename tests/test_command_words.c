/*
 * test_command_words.c - the words of the keepmap command: help, verbs, options, sizes, names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/json.h"
#include "support/scratch.h"
#include "support/tool.h"

#define GIB ((uint64_t)1 << 30)

static const char *const all_verbs[] = {
    "create",  "info",   "check",   "fits", "resize", "flush",   "cat",   "copy", "snapshot",
    "restore", "verify", "salvage", "diff", "log",    "segment", "watch", "ls"};
#define ALL_VERBS (sizeof all_verbs / sizeof all_verbs[0])

static void help_is_a_result_and_names_every_verb(void **state) {
    (void)state;
    const tool_result *result = tool_fine(TOOL("--help"));
    for (size_t i = 0; i < ALL_VERBS; i++) {
        tool_says(result, all_verbs[i]);
    }
    tool_fine(TOOL("-h"));
}

static void every_verb_has_help_of_its_own(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL_VERBS; i++) {
        char usage[64];
        (void)snprintf(usage, sizeof usage, "usage: keepmap %s ", all_verbs[i]);
        const tool_result *result = tool_fine(TOOL(all_verbs[i], "--help"));
        tool_says(result, usage);
        tool_says(result, "--json");
    }
    tool_says(tool_fine(TOOL("copy", "--help")), "--force");
}

static void the_version_is_text_or_json(void **state) {
    (void)state;
    tool_says(tool_fine(TOOL("--version")), "keepmap 0.1.0\n");
    const tool_result *result = tool_fine(TOOL("--json", "--version"));
    assert_string_equal(json_string(result->out, "version"), "0.1.0");
}

static void no_verb_is_misuse(void **state) {
    (void)state;
    const tool_result *result = tool_run_to(NULL, (const char *const[]){NULL});
    tool_failed(result, TOOL_MISUSE, "keepmap VERB --help");
    tool_failed_json(TOOL("--json"), TOOL_MISUSE, "KM_E_INVALID");
}

static void an_unknown_word_is_misuse_and_named(void **state) {
    (void)state;
    tool_failed(TOOL("frobnicate"), TOOL_MISUSE, "no such verb: frobnicate");
    tool_failed(TOOL("--frobnicate"), TOOL_MISUSE, "no such option: --frobnicate");
    tool_failed(TOOL("info", "file", "--frobnicate"), TOOL_MISUSE, "no such option: --frobnicate");
    tool_failed(TOOL("info", "file", "-x"), TOOL_MISUSE, "no such option: -x");
    tool_failed(TOOL("info", "file", "--size", "1"), TOOL_MISUSE, "no such option: --size");
    tool_failed_json(TOOL("info", "file", "--frobnicate", "--json"), TOOL_MISUSE, "KM_E_INVALID");
}

static void the_number_of_operands_is_checked(void **state) {
    (void)state;
    tool_failed(TOOL("info"), TOOL_MISUSE, "FILE");
    tool_failed(TOOL("info", "one", "two"), TOOL_MISUSE, "FILE");
    tool_failed(TOOL("copy", "one"), TOOL_MISUSE, "SOURCE TARGET");
    tool_failed(TOOL("copy", "one", "two", "three"), TOOL_MISUSE, "SOURCE TARGET");
}

static void a_needed_size_is_asked_for(void **state) {
    (void)state;
    tool_failed(TOOL("create", "never"), TOOL_MISUSE, "--size");
    tool_failed(TOOL("resize", "never"), TOOL_MISUSE, "--size");
    tool_failed(TOOL("fits", "."), TOOL_MISUSE, "--size");
    assert_int_equal(scratch_size("never"), -1);
}

static void sizes_that_are_none_are_misuse(void **state) {
    static const char *const wrong[] = {
        "",   "k",   "1x",    "-1",  "+1",  "1.5G",      "0x10",         " 1",
        "1 ", "1KB", "1kib ", "1Gi", "1kk", "16777216T", "17179869184G", "18446744073709551616"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tool_failed(TOOL("create", "never", "--size", wrong[i]), TOOL_MISUSE,
                    "not a number of bytes");
    }
    tool_failed(TOOL("create", "never", "--size"), TOOL_MISUSE, "--size needs a value");
    tool_failed(TOOL("create", "never", "--size=1", "--sparse=1"), TOOL_MISUSE,
                "--sparse takes no value");
    assert_int_equal(scratch_size("never"), -1);
}

static void sizes_take_powers_of_1024(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},         {"1", 1},           {"4k", 4096},
                 {"4K", 4096},     {"4KiB", 4096},     {"4kiB", 4096},
                 {"3M", 3u << 20}, {"3MiB", 3u << 20}, {"3m", 3u << 20},
                 {"2G", 2 * GIB},  {"1T", 1024 * GIB}, {"18446744073709551614", UINT64_MAX - 1}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const tool_result *result = TOOL("fits", ".", "--json", "--size", sizes[i].text);
        assert_true(result->exit_status == TOOL_FINE || result->exit_status == TOOL_CHECK_FAILED);
        assert_true(json_integer(result->out, "expected") == sizes[i].bytes);
    }
}

static void two_dashes_end_the_options(void **state) {
    (void)state;
    tool_fine(TOOL("create", "--size=10", "--", "--json"));
    assert_int_equal(scratch_size("--json"), 10);
    tool_says(tool_fine(TOOL("info", "--", "--json")), "10 bytes");
    scratch_remove("--json");
}

static void file_names_are_utf8(void **state) {
    static const char name[] = "zur\xC3\xBC"
                               "ck-\xE6\x97\xA5.bin";
    (void)state;
    tool_fine(TOOL("create", name, "--size", "5"));
    const tool_result *result = tool_fine(TOOL("info", name, "--json"));
    assert_string_equal(json_string(result->out, "file"), name);
    assert_int_equal(json_integer(result->out, "actual"), 5);
    tool_fine(TOOL("copy", name, "utf8-copy"));
    assert_int_equal(scratch_size("utf8-copy"), 5);
}

static void odd_names_do_not_break_the_output(void **state) {
    (void)state;
#ifdef _WIN32
    static const char name[] = "odd 'name' [x]"; /* quotes and control characters are refused */
#else
    static const char name[] = "odd \"name\"\\\n\x1B[31m\x7F";
#endif
    tool_fine(TOOL("create", name, "--size", "1"));
    const tool_result *result = tool_fine(TOOL("info", name, "--json"));
    assert_string_equal(json_string(result->out, "file"), name);
    result = tool_fine(TOOL("info", name));
    assert_null(strchr(result->out, '\x1B'));
    scratch_remove(name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_a_result_and_names_every_verb),
        cmocka_unit_test(every_verb_has_help_of_its_own),
        cmocka_unit_test(the_version_is_text_or_json),
        cmocka_unit_test(no_verb_is_misuse),
        cmocka_unit_test(an_unknown_word_is_misuse_and_named),
        cmocka_unit_test(the_number_of_operands_is_checked),
        cmocka_unit_test(a_needed_size_is_asked_for),
        cmocka_unit_test(sizes_that_are_none_are_misuse),
        cmocka_unit_test(sizes_take_powers_of_1024),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(file_names_are_utf8),
        cmocka_unit_test(odd_names_do_not_break_the_output),
    };
    return cmocka_run_group_tests_name("command_words", tests, NULL, NULL);
}
