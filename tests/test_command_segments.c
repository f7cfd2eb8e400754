/*
 * test_command_segments.c - the keepmap command on segments: segment, info, copy, watch, ls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/child.h"
#include "support/conformance.h"
#include "support/json.h"
#include "support/scratch.h"
#include "support/tool.h"

/* A name that no other run of this suite uses. */
static const char *fresh(char name[64], const char *what) {
    snprintf(name, 64, "command-%s-%lu", what, (unsigned long)GetCurrentProcessId());
    return name;
}

/* The command's path as child_start_program wants it. */
static const char *program(void) {
    static char path[4096];
    snprintf(path, sizeof path, "%s", tool_path());
    const size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".exe") == 0) {
        path[length - 4] = '\0';
    }
    return path;
}

/* Waits until others can open it. */
static child *ready(child *keeper) {
    char line[512];
    child_read(keeper, line, sizeof line);
    if (strncmp(line, "ready: ", 7) != 0) {
        fail_msg("not ready: %s", line);
    }
    return keeper;
}

static child *keep_file(const char *name, const char *file) {
    return ready(
        child_start_program(program(), "segment", name, "--from", file, "--hold", "input", NULL));
}

static child *keep_empty(const char *name, const char *size) {
    return ready(
        child_start_program(program(), "segment", name, "--size", size, "--hold", "input", NULL));
}

static km_map *make_segment(const char *name, uint64_t size) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = size};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    return map;
}

static void is_gone(const char *name) {
    tool_failed_json(TOOL("info", "--segment", name, "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
}

/* ---- There and back -------------------------------------------------------------------------- */

static void a_file_comes_back_from_a_segment_byte_for_byte(void **state) {
    static const uint64_t sizes[] = {1, 3967, 3968, 3969, 4096, 5000, 65537, 1000003};
    char name[64];
    (void)state;
    fresh(name, "round");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        scratch_file("there", sizes[i], (unsigned)i);
        child *keeper = keep_file(name, "there");
        const tool_result *result =
            tool_fine(TOOL("copy", "--segment", name, "back", "--force", "--json"));
        assert_int_equal(json_integer(result->out, "size"), sizes[i]);
        assert_true(scratch_same("there", "back"));
        assert_int_equal(child_finish(keeper), TOOL_FINE);
        is_gone(name);
    }
}

static void a_large_sparse_file_comes_back(void **state) {
    char name[64];
    (void)state;
    tool_fine(TOOL("create", "sparse", "--size", "300M", "--sparse"));
    child *keeper = keep_file(fresh(name, "sparse"), "sparse");
    tool_fine(TOOL("copy", "--segment", name, "sparse-back"));
    assert_int_equal(scratch_size("sparse-back"), 300 << 20);
    assert_int_equal(child_finish(keeper), TOOL_FINE);
    assert_true(scratch_same("sparse", "sparse-back"));
    scratch_remove("sparse");
    scratch_remove("sparse-back");
}

static void an_empty_file_makes_no_segment(void **state) {
    char name[64];
    (void)state;
    scratch_write("empty", "", 0);
    fresh(name, "empty");
    tool_failed(TOOL("segment", name, "--from", "empty", "--hold", "0"), TOOL_REFUSED,
                "\"empty\" is empty");
    is_gone(name);
}

static void a_segment_larger_than_its_file_ends_in_zeros(void **state) {
    static const unsigned char wanted[6] = {'a', 'b', 'c'};
    char name[64];
    (void)state;
    scratch_write("short", "abc", 3);
    child *keeper = ready(child_start_program(program(), "segment", fresh(name, "longer"), "--from",
                                              "short", "--size", "6", "--hold", "input", NULL));
    tool_fine(TOOL("copy", "--segment", name, "longer"));
    assert_true(scratch_equals("longer", wanted, sizeof wanted));
    assert_int_equal(child_finish(keeper), TOOL_FINE);
}

static void a_file_larger_than_its_segment_is_misuse(void **state) {
    char name[64];
    (void)state;
    scratch_write("too-long", "abc", 3);
    fresh(name, "smaller");
    tool_failed(TOOL("segment", name, "--from", "too-long", "--size", "2"), TOOL_MISUSE,
                "--size 2 is too small: \"too-long\" has 3 bytes");
    is_gone(name);
}

static void a_copy_of_a_segment_replaces_only_by_force(void **state) {
    char name[64];
    (void)state;
    scratch_write("target", "kept", 4);
    km_map *map = make_segment(fresh(name, "force"), 3);
    memcpy(km_data(map), "new", 3);
    tool_failed_json(TOOL("copy", "--segment", name, "target", "--json"), TOOL_REFUSED,
                     "KM_E_EXISTS");
    assert_true(scratch_equals("target", "kept", 4));
    const tool_result *result =
        tool_fine(TOOL("copy", "--segment", name, "target", "--force", "--json"));
    assert_string_equal(json_string(result->out, "segment"), name);
    assert_true(scratch_equals("target", "new", 3));
    km_close(map);
}

/* ---- segment, info --------------------------------------------------------------------------- */

static void a_segment_of_a_size_is_zeros_and_lives_until_let_go(void **state) {
    static const unsigned char zeros[100];
    char name[64];
    (void)state;
    child *keeper = keep_empty(fresh(name, "zeros"), "100");
    tool_fine(TOOL("copy", "--segment", name, "zeros"));
    assert_true(scratch_equals("zeros", zeros, sizeof zeros));
    tool_failed_json(TOOL("segment", name, "--size", "1", "--json"), TOOL_REFUSED, "KM_E_EXISTS");
    assert_int_equal(child_finish(keeper), TOOL_FINE);
    is_gone(name);
}

static void a_segment_held_for_no_time_is_ready_and_gone(void **state) {
    char name[64];
    (void)state;
    fresh(name, "brief");
    tool_says(tool_fine(TOOL("segment", name, "--size", "1k", "--hold", "0")), "ready: ");
    const tool_result *result =
        tool_fine(TOOL("segment", name, "--size", "1k", "--hold", "0", "--json"));
    assert_string_equal(json_string(result->out, "segment"), name);
    assert_int_equal(json_integer(result->out, "size"), 1024);
    assert_true(json_is(result->out, "machine_wide", "false"));
    is_gone(name);
}

static void info_tells_what_a_segment_says_of_itself(void **state) {
    char name[64];
    (void)state;
    fresh(name, "info");
    child *keeper =
        ready(child_start_program(program(), "segment", name, "--size", "5000", "--type",
                                  "counters", "--type-version", "3", "--hold", "input", NULL));
    const tool_result *result = tool_fine(TOOL("info", "--segment", name, "--json"));
    assert_string_equal(json_string(result->out, "segment"), name);
    assert_true(json_is(result->out, "described", "true"));
    assert_int_equal(json_integer(result->out, "size"), 5000);
    assert_int_equal(json_integer(result->out, "section_size"), 8192);
    assert_string_equal(json_string(result->out, "type"), "counters");
    assert_int_equal(json_integer(result->out, "type_version"), 3);
    assert_true(json_integer(result->out, "created_ns") > 0);
    assert_true(json_integer(result->out, "creator") > 0);
    assert_true(json_is(result->out, "findings", "[]"));
    tool_says(tool_fine(TOOL("info", "--segment", name)), "5000 bytes");
    tool_says(tool_fine(TOOL("info", "--segment", name)), "counters");
    assert_int_equal(child_finish(keeper), TOOL_FINE);
}

static void info_of_a_plain_section_says_that_it_is_one(void **state) {
    char name[64];
    (void)state;
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096,
                                        fresh(name, "plain"));
    assert_non_null(section);
    const tool_result *result = tool_fine(TOOL("info", "--segment", name, "--json"));
    assert_true(json_is(result->out, "described", "false"));
    assert_int_equal(json_integer(result->out, "size"), 4096);
    assert_true(json_is(result->out, "type", "null"));
    assert_true(json_is(result->out, "created_ns", "null"));
    tool_says(tool_fine(TOOL("info", "--segment", name)), "plain section");
    CloseHandle(section);
}

static void a_machine_wide_name_is_another_name(void **state) {
    char name[64];
    (void)state;
    fresh(name, "wide");
    child *keeper = ready(child_start_program(program(), "segment", name, "--size", "10",
                                              "--machine-wide", "--hold", "input", NULL));
    is_gone(name);
    const tool_result *result =
        tool_fine(TOOL("info", "--segment", name, "--machine-wide", "--json"));
    assert_int_equal(json_integer(result->out, "size"), 10);
    assert_int_equal(child_finish(keeper), TOOL_FINE);
}

static void words_about_segments_that_make_no_sense_are_misuse(void **state) {
    (void)state;
    tool_failed(TOOL("segment", "name"), TOOL_MISUSE, "needs --size or --from");
    tool_failed(TOOL("segment", "--size", "1"), TOOL_MISUSE, "NAME is wanted");
    tool_failed(TOOL("segment", "name", "--size", "1", "--hold", "soon"), TOOL_MISUSE,
                "--hold soon");
    tool_failed(TOOL("segment", "name", "--size", "1", "--type-version", "4294967296"), TOOL_MISUSE,
                "not a whole number below 2^32");
    tool_failed(TOOL("copy", "--segment", "name"), TOOL_MISUSE, "TARGET is wanted, 0 given");
    tool_failed(TOOL("copy", "--segment", "name", "one", "two"), TOOL_MISUSE, "2 given");
    tool_failed(TOOL("info", "--segment", "name", "file"), TOOL_MISUSE, "nothing is wanted");
    tool_failed(TOOL("info", "file", "--machine-wide"), TOOL_MISUSE, "--segment");
    tool_failed(TOOL("watch", "name", "--count", "0"), TOOL_MISUSE, "--count 0");
    tool_failed(TOOL("ls", "name"), TOOL_MISUSE, "nothing is wanted");
    tool_failed_json(TOOL("segment", "a\\b", "--size", "1", "--json"), TOOL_REFUSED,
                     "KM_E_INVALID");
}

/* ---- ls -------------------------------------------------------------------------------------- */

/* The list's object of that name, as an object of its own; NULL: there is none. */
static const char *listed(const tool_result *result, const char *name) {
    const char *entry = NULL;
    assert_true(json_is_object(result->out));
    for (size_t i = 0; (entry = json_entry(result->out, "objects", i)) != NULL; i++) {
        if (strcmp(json_string(entry, "name"), name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static void ls_lists_a_segment_with_what_is_known_of_it(void **state) {
    char name[64];
    (void)state;
    fresh(name, "listed");
    child *keeper =
        ready(child_start_program(program(), "segment", name, "--size", "777", "--type", "log",
                                  "--type-version", "2", "--hold", "input", NULL));
    const tool_result *result = tool_fine(TOOL("ls", "--json"));
    const char *entry = listed(result, name);
    assert_non_null(entry);
    assert_string_equal(json_string(entry, "kind"), "section");
    assert_int_equal(json_integer(entry, "size"), 777);
    assert_string_equal(json_string(entry, "type"), "log");
    assert_int_equal(json_integer(entry, "type_version"), 2);
    assert_true(json_is(entry, "machine_wide", "false"));
    if (conformance_where() == KEEPMAP) {
        assert_true(json_is(entry, "holders_complete", "true"));
        assert_null(json_entry(entry, "holders", 1));
        assert_non_null(json_entry(entry, "holders", 0));
    } else {
        assert_true(json_is(entry, "holders", "[]"));
        assert_true(json_is(entry, "holders_complete", "false"));
    }
    result = tool_fine(TOOL("ls"));
    assert_int_equal(strncmp(result->out, "KIND ", 5), 0);
    tool_says(result, name);
    tool_says(result, "log/2");
    assert_int_equal(child_finish(keeper), TOOL_FINE);
    assert_null(listed(tool_fine(TOOL("ls", "--json")), name));
}

static void ls_makes_names_with_control_characters_harmless(void **state) {
    char name[64];
    char shown[64];
    (void)state;
    snprintf(name, sizeof name, "bad\033[2J\n%lu", (unsigned long)GetCurrentProcessId());
    snprintf(shown, sizeof shown, "bad\\x1B[2J\\x0A%lu", (unsigned long)GetCurrentProcessId());
    km_map *map = make_segment(name, 1);
    const tool_result *result = tool_fine(TOOL("ls"));
    tool_says(result, shown);
    assert_null(strchr(result->out, '\033'));
    assert_non_null(listed(tool_fine(TOOL("ls", "--json")), name));
    km_close(map);
}

/* ---- watch ----------------------------------------------------------------------------------- */

static void watch_tells_each_change_and_the_end(void **state) {
    char name[64];
    char line[256];
    char wanted[256];
    (void)state;
    km_map *map = make_segment(fresh(name, "watched"), 64);
    child *watcher =
        child_start_program(program(), "watch", name, "--interval", "1", "--offset", "16", NULL);
    snprintf(wanted, sizeof wanted, "watching: %s, 48 bytes from byte 16", name);
    child_expect(watcher, wanted);
    volatile unsigned char *bytes = km_data(map);
    bytes[15] = 1; /* not watched */
    bytes[16] = 0x2A;
    child_expect(watcher, "00000010 1 2a");
    bytes[63] = 0xFF;
    child_expect(watcher, "0000003f 1 ff");
    bytes[16] = 0;
    child_expect(watcher, "00000010 1 00");
    km_close(map);
    snprintf(wanted, sizeof wanted, "gone: %s", name);
    child_read(watcher, line, sizeof line);
    assert_string_equal(line, wanted);
    assert_int_equal(child_finish(watcher), TOOL_FINE);
}

static void watch_does_not_keep_a_segment_alive(void **state) {
    char name[64];
    char line[256];
    (void)state;
    km_map *map = make_segment(fresh(name, "let-go"), 64);
    child *watcher = child_start_program(program(), "watch", name, "--interval", "60000", NULL);
    child_read(watcher, line, sizeof line);
    km_close(map);
    is_gone(name);
    child_kill(watcher);
}

static void watch_ends_after_so_many_looks(void **state) {
    char name[64];
    (void)state;
    km_map *map = make_segment(fresh(name, "counted"), 64);
    const tool_result *result =
        tool_fine(TOOL("watch", name, "--count", "3", "--interval", "0", "--json"));
    assert_string_equal(json_string(result->out, "segment"), name);
    assert_int_equal(json_integer(result->out, "looks"), 3);
    assert_int_equal(json_integer(result->out, "length"), 64);
    assert_true(json_is(result->out, "changes", "[]"));
    assert_true(json_is(result->out, "gone", "false"));
    km_close(map);
}

static void watch_wants_a_segment_that_has_the_range(void **state) {
    char name[64];
    (void)state;
    fresh(name, "ranged");
    tool_failed_json(TOOL("watch", name, "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    km_map *map = make_segment(name, 64);
    tool_failed(TOOL("watch", name, "--offset", "65"), TOOL_REFUSED, "has 64 bytes");
    tool_failed_json(TOOL("watch", name, "--offset", "60", "--length", "5", "--json"), TOOL_REFUSED,
                     "KM_E_TRUNCATED");
    tool_fine(TOOL("watch", name, "--offset", "60", "--length", "4", "--count", "1"));
    tool_fine(TOOL("watch", name, "--offset", "64", "--count", "1"));
    km_close(map);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_comes_back_from_a_segment_byte_for_byte),
        cmocka_unit_test(a_large_sparse_file_comes_back),
        cmocka_unit_test(an_empty_file_makes_no_segment),
        cmocka_unit_test(a_segment_larger_than_its_file_ends_in_zeros),
        cmocka_unit_test(a_file_larger_than_its_segment_is_misuse),
        cmocka_unit_test(a_copy_of_a_segment_replaces_only_by_force),
        cmocka_unit_test(a_segment_of_a_size_is_zeros_and_lives_until_let_go),
        cmocka_unit_test(a_segment_held_for_no_time_is_ready_and_gone),
        cmocka_unit_test(info_tells_what_a_segment_says_of_itself),
        cmocka_unit_test(info_of_a_plain_section_says_that_it_is_one),
        cmocka_unit_test(a_machine_wide_name_is_another_name),
        cmocka_unit_test(words_about_segments_that_make_no_sense_are_misuse),
        cmocka_unit_test(ls_lists_a_segment_with_what_is_known_of_it),
        cmocka_unit_test(ls_makes_names_with_control_characters_harmless),
        cmocka_unit_test(watch_tells_each_change_and_the_end),
        cmocka_unit_test(watch_does_not_keep_a_segment_alive),
        cmocka_unit_test(watch_ends_after_so_many_looks),
        cmocka_unit_test(watch_wants_a_segment_that_has_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
