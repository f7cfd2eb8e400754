/*
 * test_command.c - the verbs of the keepmap command, their exit statuses, text and JSON.
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

/* ---- create, resize, flush ---------------------------------------------------------------------
 */

static void create_makes_zeros_of_the_size(void **state) {
    static const unsigned char zeros[3000];
    (void)state;
    tool_says(tool_fine(TOOL("create", "made", "--size", "3000")), "3000 bytes");
    assert_true(scratch_equals("made", zeros, sizeof zeros));
}

static void create_says_so_in_json(void **state) {
    (void)state;
    const tool_result *result = tool_fine(TOOL("create", "made-json", "--size", "1M", "--json"));
    assert_string_equal(json_string(result->out, "verb"), "create");
    assert_string_equal(json_string(result->out, "status"), "KM_OK");
    assert_string_equal(json_string(result->out, "file"), "made-json");
    assert_int_equal(json_integer(result->out, "size"), 1 << 20);
    assert_true(json_is(result->out, "sparse", "false"));
}

static void create_leaves_an_existing_file_alone(void **state) {
    (void)state;
    scratch_write("existing", "kept", 4);
    tool_failed(TOOL("create", "existing", "--size", "1M"), TOOL_REFUSED, "existing");
    tool_failed_json(TOOL("create", "existing", "--size", "1M", "--json"), TOOL_REFUSED,
                     "KM_E_EXISTS");
    assert_true(scratch_equals("existing", "kept", 4));
}

static void create_in_no_directory_is_refused(void **state) {
    (void)state;
    tool_failed(TOOL("create", "nowhere/file", "--size", "1"), TOOL_REFUSED, "nowhere");
}

static void create_of_an_impossible_size_leaves_nothing(void **state) {
    (void)state;
    size_t before = scratch_entries();
    tool_failed(TOOL("create", "huge", "--size", "9223372036854775808"), TOOL_REFUSED,
                "\"huge\" cannot have 9223372036854775808 bytes");
    const tool_result *result = TOOL("create", "huge", "--size", "9223372036854775808", "--json");
    tool_failed_json(result, TOOL_REFUSED, "KM_E_TOO_LARGE");
    assert_int_equal(scratch_size("huge"), -1);
    assert_int_equal(scratch_entries(), before);
}

static void resize_grows_with_zeros_and_shrinks(void **state) {
    static const unsigned char grown[] = {'a', 'b', 'c', 0, 0};
    (void)state;
    scratch_write("resized", "abc", 3);
    const tool_result *result = tool_fine(TOOL("resize", "resized", "--size", "5", "--json"));
    assert_int_equal(json_integer(result->out, "size_before"), 3);
    assert_int_equal(json_integer(result->out, "size"), 5);
    assert_true(scratch_equals("resized", grown, 5));
    tool_says(tool_fine(TOOL("resize", "resized", "--size", "2")), "shrunk, 2 bytes");
    assert_true(scratch_equals("resized", "ab", 2));
    tool_says(tool_fine(TOOL("resize", "resized", "--size", "0")), "0 bytes");
    assert_int_equal(scratch_size("resized"), 0);
    tool_failed(TOOL("resize", "resized", "--size", "9223372036854775808"), TOOL_REFUSED,
                "\"resized\" to 9223372036854775808 bytes: more than any file");
    tool_fine(TOOL("resize", "resized", "--size", "70000", "--sparse"));
    assert_int_equal(scratch_size("resized"), 70000);
}

static void resize_and_flush_want_a_file(void **state) {
    (void)state;
    tool_failed_json(TOOL("resize", "missing", "--size", "1", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("flush", "missing", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    assert_int_equal(scratch_size("missing"), -1);
}

static void flush_changes_nothing(void **state) {
    (void)state;
    scratch_write("flushed", "abc", 3);
    tool_says(tool_fine(TOOL("flush", "flushed")), "flushed, 3 bytes");
    const tool_result *result = tool_fine(TOOL("flush", "flushed", "--json"));
    assert_int_equal(json_integer(result->out, "size"), 3);
    assert_true(scratch_equals("flushed", "abc", 3));
}

/* ---- info, check, fits -------------------------------------------------------------------------
 */

static void info_shows_exact_and_rounded_sizes(void **state) {
    (void)state;
    scratch_file("sized", 1536 << 10, 1);
    const tool_result *result = tool_fine(TOOL("info", "sized"));
    tool_says(result, "1572864 bytes");
    tool_says(result, "1.5 MiB");
}

static void info_in_json_has_the_names_of_the_header(void **state) {
    static const char *const names[] = {"declared", "actual", "allocated", "disk_free",
                                        "address_free"};
    (void)state;
    scratch_file("sized-json", 12345, 1);
    const tool_result *result = tool_fine(TOOL("info", "sized-json", "--json"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)json_integer(result->out, names[i]);
    }
    assert_int_equal(json_integer(result->out, "actual"), 12345);
    assert_int_equal(json_integer(result->out, "declared"), 12345);
    assert_true(json_is(result->out, "expected", "null"));
    assert_true(json_has(result->out, "findings"));
}

static void info_of_what_is_no_file_is_refused(void **state) {
    (void)state;
    tool_failed_json(TOOL("info", "absent", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("info", ".", "--json"), TOOL_REFUSED, "KM_E_INVALID");
    tool_failed(TOOL("info", "absent"), TOOL_REFUSED, "keepmap info: ");
}

static void check_accepts_the_exact_size(void **state) {
    (void)state;
    scratch_file("checked", 5000, 1);
    tool_says(tool_fine(TOOL("check", "checked", "--size", "5000")), "KM_OK");
    tool_says(tool_fine(TOOL("check", "checked")), "KM_OK");
    const tool_result *result = tool_fine(TOOL("check", "checked", "--size=5000", "--json"));
    assert_string_equal(json_string(result->out, "status"), "KM_OK");
    assert_int_equal(json_integer(result->out, "expected"), 5000);
}

static void a_failed_check_is_a_result_with_status_1(void **state) {
    (void)state;
    scratch_file("wrong-size", 5000, 1);
    const tool_result *result = TOOL("check", "wrong-size", "--size", "5001", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->err, "");
    assert_string_equal(json_string(result->out, "status"), "KM_E_TRUNCATED");
    assert_true(json_lists(result->out, "findings", "KM_SIZE_TRUNCATED"));
    assert_true(strlen(json_string(result->out, "message")) > 0);

    result = TOOL("check", "wrong-size", "--size", "4999", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(json_string(result->out, "status"), "KM_E_MISMATCH");
    assert_true(json_lists(result->out, "findings", "KM_SIZE_MISMATCH"));

    result = TOOL("check", "wrong-size", "--size", "4999");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    tool_says(result, "KM_E_MISMATCH");
    assert_true(result->err_size > 0);
}

/* The library's word for "any size". */
static void no_file_passes_for_one_of_2_to_the_64_less_1(void **state) {
    (void)state;
    scratch_file("any-size", 5000, 1);
    tool_failed(TOOL("check", "any-size", "--size", "18446744073709551615"), TOOL_MISUSE,
                "no file has");
    tool_failed(TOOL("fits", "any-size", "--size=18446744073709551615"), TOOL_MISUSE,
                "no file has");
}

static void a_check_that_could_not_be_made_is_status_3(void **state) {
    (void)state;
    tool_failed_json(TOOL("check", "absent", "--size", "1", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("fits", "absent/file", "--size", "1", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
}

static void a_small_file_fits_and_an_absurd_one_does_not(void **state) {
    (void)state;
    tool_fine(TOOL("fits", ".", "--size", "1"));
    tool_fine(TOOL("fits", "not-yet-there", "--size", "4k"));
    const tool_result *result = TOOL("fits", ".", "--size", "8388607T", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->err, "");
    assert_string_not_equal(json_string(result->out, "status"), "KM_OK");
    assert_int_equal(scratch_size("not-yet-there"), -1);
}

/* ---- cat ----------------------------------------------------------------------------------------
 */

static void cat_writes_the_very_bytes(void **state) {
    (void)state;
    scratch_file("raw", 700001, 3);
    tool_run_to("raw-out", TOOL_WORDS("cat", "raw"));
    assert_true(scratch_same("raw", "raw-out"));
}

static void cat_writes_line_ends_and_ctrl_z_untouched(void **state) {
    static const char bytes[] = "a\nb\r\nc\x1A\x00z";
    (void)state;
    scratch_write("binary", bytes, sizeof bytes);
    const tool_result *result = tool_fine(TOOL("cat", "binary"));
    assert_int_equal(result->out_size, sizeof bytes);
    assert_memory_equal(result->out, bytes, sizeof bytes);
}

static void cat_takes_a_range(void **state) {
    (void)state;
    scratch_write("range", "0123456789", 10);
    assert_string_equal(tool_fine(TOOL("cat", "range", "--offset", "7"))->out, "789");
    assert_string_equal(tool_fine(TOOL("cat", "range", "--offset=2", "--length=3"))->out, "234");
    assert_string_equal(tool_fine(TOOL("cat", "range", "--offset", "10"))->out, "");
    assert_string_equal(tool_fine(TOOL("cat", "range", "--length", "0"))->out, "");
    assert_string_equal(tool_fine(TOOL("cat", "range", "--length", "10"))->out, "0123456789");
}

static void a_range_past_the_end_is_an_error(void **state) {
    (void)state;
    scratch_write("short", "0123456789", 10);
    tool_failed(TOOL("cat", "short", "--offset", "11"), TOOL_REFUSED, "short");
    tool_failed(TOOL("cat", "short", "--length", "11"), TOOL_REFUSED, "too few");
    tool_failed_json(
        TOOL("cat", "short", "--offset", "1", "--length", "18446744073709551615", "--json"),
        TOOL_REFUSED, "KM_E_TRUNCATED");
    tool_failed_json(TOOL("cat", "absent", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
}

static void sizes_are_told_behind_the_longest_path(void **state) {
    static const char name[] = "behind";
    char path[3000 + sizeof name];
    (void)state;
    for (size_t at = 0; at < 3000; at++) {
        path[at] = at % 2 == 0 ? '.' : '/';
    }
    memcpy(path + 3000, name, sizeof name);
    scratch_write("behind", "0123456789", 10);
    tool_failed(TOOL("cat", path, "--offset", "11"), TOOL_REFUSED,
                "\" has 10 bytes: it ends before");
}

static void an_empty_file_is_no_error(void **state) {
    (void)state;
    scratch_write("empty", "", 0);
    assert_string_equal(tool_fine(TOOL("cat", "empty"))->out, "");
    assert_string_equal(json_string(tool_fine(TOOL("cat", "empty", "--json"))->out, "hex"), "");
    tool_fine(TOOL("info", "empty"));
    tool_fine(TOOL("check", "empty", "--size", "0"));
    tool_fine(TOOL("flush", "empty"));
    tool_fine(TOOL("copy", "empty", "empty-copy"));
    assert_int_equal(scratch_size("empty-copy"), 0);
}

static void cat_in_hexadecimal_folds_what_repeats(void **state) {
    static const char expected[] =
        "00000000  41 42 43 00 00 00 00 00  00 00 00 00 00 00 00 00  |ABC.............|\n"
        "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n"
        "*\n"
        "00000040  78 79                                             |xy|\n";
    char bytes[66] = "ABC";
    (void)state;
    bytes[64] = 'x';
    bytes[65] = 'y';
    scratch_write("hex", bytes, sizeof bytes);
    assert_string_equal(tool_fine(TOOL("cat", "hex", "--hex"))->out, expected);
    assert_string_equal(tool_fine(TOOL("cat", "hex", "--hex", "--offset=16", "--length=48"))->out,
                        "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  "
                        "|................|\n*\n00000040\n");
}

static void cat_in_json_has_the_bytes_in_hexadecimal(void **state) {
    (void)state;
    scratch_write("hex-json", "\x01\xFFz", 3);
    const tool_result *result = tool_fine(TOOL("cat", "hex-json", "--offset=1", "--json"));
    assert_string_equal(json_string(result->out, "hex"), "ff7a");
    assert_int_equal(json_integer(result->out, "offset"), 1);
    assert_int_equal(json_integer(result->out, "length"), 2);
}

/* Windows are 64 MiB long, the first from where the range begins: the words lie across the ends of
 * the first two. */
static void cat_goes_from_window_to_window(void **state) {
    enum { MIB = 1 << 20, FROM = 7 };
    (void)state;
    tool_fine(TOOL("create", "windows", "--size", "200M", "--sparse"));
    FILE *file = fopen("windows", "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, FROM + 64L * MIB - 2, SEEK_SET), 0);
    assert_int_equal(fwrite("seam", 1, 4, file), 4);
    assert_int_equal(fseek(file, FROM + 128L * MIB - 3, SEEK_SET), 0);
    assert_int_equal(fwrite("second", 1, 6, file), 6);
    assert_int_equal(fclose(file), 0);

    tool_run_to("windows-out", TOOL_WORDS("cat", "windows", "--offset", "3"));
    assert_int_equal(scratch_size("windows-out"), 200 * MIB - 3);
    scratch_remove("windows-out");
    const tool_result *result =
        tool_fine(TOOL("cat", "windows", "--offset=7", "--length=150M", "--hex"));
    tool_says(result, "|..............se|\n04000007  61 6d 00");
    tool_says(result, "|.............sec|\n08000007  6f 6e 64 00");
    tool_says(result, "*\n09600007\n");
    scratch_remove("windows");
}

static void the_far_end_of_12_gib_is_read(void **state) {
    (void)state;
    tool_fine(TOOL("create", "far", "--size", "12G", "--sparse"));
    const tool_result *result = tool_fine(TOOL("cat", "far", "--offset=12884901886", "--json"));
    assert_string_equal(json_string(result->out, "hex"), "0000");
    result = tool_fine(TOOL("info", "far", "--json"));
    assert_true(json_integer(result->out, "actual") == 12 * GIB);
    scratch_remove("far");
}

/* ---- copy ---------------------------------------------------------------------------------------
 */

static void copy_makes_the_same_bytes(void **state) {
    (void)state;
    scratch_file("source", 300001, 5);
    tool_says(tool_fine(TOOL("copy", "source", "target")), "copied, 300001 bytes");
    assert_true(scratch_same("source", "target"));
    const tool_result *result = tool_fine(TOOL("copy", "source", "target-json", "--json"));
    assert_string_equal(json_string(result->out, "source"), "source");
    assert_string_equal(json_string(result->out, "target"), "target-json");
    assert_int_equal(json_integer(result->out, "size"), 300001);
}

static void copy_replaces_only_by_force(void **state) {
    (void)state;
    scratch_file("new", 9000, 5);
    scratch_write("old", "old", 3);
    tool_failed_json(TOOL("copy", "new", "old", "--json"), TOOL_REFUSED, "KM_E_EXISTS");
    assert_true(scratch_equals("old", "old", 3));
    tool_fine(TOOL("copy", "new", "old", "--force"));
    assert_true(scratch_same("new", "old"));
}

static void a_copy_of_holes_has_holes(void **state) {
#ifdef _WIN32
    static const char size[] = "1G"; /* Wine does not tell where holes are: all of it is read */
#else
    static const char size[] = "12G";
#endif
    (void)state;
    tool_fine(TOOL("create", "holes", "--size", size, "--sparse"));
    const tool_result *result = tool_fine(TOOL("info", "holes", "--json"));
    uint64_t actual = json_integer(result->out, "actual");
    bool holes_here = json_integer(result->out, "allocated") < actual / 2;
    if (holes_here) {
        assert_true(json_lists(result->out, "findings", "KM_SIZE_HOLES"));
        tool_fine(TOOL("copy", "holes", "holes-copy"));
        result = tool_fine(TOOL("info", "holes-copy", "--json"));
        assert_true(json_integer(result->out, "actual") == actual);
        assert_true(json_integer(result->out, "allocated") < actual / 2);
        scratch_remove("holes-copy");
    }
    scratch_remove("holes");
    if (!holes_here) {
        skip(); /* this file system knows no holes */
    }
}

static void a_failed_copy_leaves_nothing(void **state) {
    (void)state;
    scratch_write("whole", "abc", 3);
    size_t before = scratch_entries();
    tool_failed_json(TOOL("copy", "absent", "not-made", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed(TOOL("copy", "whole", "nowhere/not-made"), TOOL_REFUSED, "nowhere");
    tool_failed(TOOL("copy", "whole", "."), TOOL_REFUSED, "keepmap copy: ");
    assert_int_equal(scratch_entries(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_makes_zeros_of_the_size),
        cmocka_unit_test(create_says_so_in_json),
        cmocka_unit_test(create_leaves_an_existing_file_alone),
        cmocka_unit_test(create_in_no_directory_is_refused),
        cmocka_unit_test(create_of_an_impossible_size_leaves_nothing),
        cmocka_unit_test(resize_grows_with_zeros_and_shrinks),
        cmocka_unit_test(resize_and_flush_want_a_file),
        cmocka_unit_test(flush_changes_nothing),
        cmocka_unit_test(info_shows_exact_and_rounded_sizes),
        cmocka_unit_test(info_in_json_has_the_names_of_the_header),
        cmocka_unit_test(info_of_what_is_no_file_is_refused),
        cmocka_unit_test(check_accepts_the_exact_size),
        cmocka_unit_test(a_failed_check_is_a_result_with_status_1),
        cmocka_unit_test(no_file_passes_for_one_of_2_to_the_64_less_1),
        cmocka_unit_test(a_check_that_could_not_be_made_is_status_3),
        cmocka_unit_test(a_small_file_fits_and_an_absurd_one_does_not),
        cmocka_unit_test(cat_writes_the_very_bytes),
        cmocka_unit_test(cat_writes_line_ends_and_ctrl_z_untouched),
        cmocka_unit_test(cat_takes_a_range),
        cmocka_unit_test(a_range_past_the_end_is_an_error),
        cmocka_unit_test(sizes_are_told_behind_the_longest_path),
        cmocka_unit_test(an_empty_file_is_no_error),
        cmocka_unit_test(cat_in_hexadecimal_folds_what_repeats),
        cmocka_unit_test(cat_in_json_has_the_bytes_in_hexadecimal),
        cmocka_unit_test(cat_goes_from_window_to_window),
        cmocka_unit_test(the_far_end_of_12_gib_is_read),
        cmocka_unit_test(copy_makes_the_same_bytes),
        cmocka_unit_test(copy_replaces_only_by_force),
        cmocka_unit_test(a_copy_of_holes_has_holes),
        cmocka_unit_test(a_failed_copy_leaves_nothing),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
