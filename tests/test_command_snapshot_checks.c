/*
 * test_command_snapshot_checks.c - the keepmap command on damaged snapshots, streams, info, cat,
 * and words that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/json.h"
#include "support/scratch.h"
#include "support/tool.h"
#include "support/tool_snapshot.h"

#define CHUNK TOOL_CHUNK

/* ---- Damage ---------------------------------------------------------------------------------- */

static void a_damaged_snapshot_fails_its_check_and_restores_nothing(void **state) {
    (void)state;
    tool_snapshot("sound", 4 * CHUNK, 9, "damaged.gz");
    tool_change("damaged.gz", tool_body(2) + 500, 1);
    const size_t before = scratch_entries();
    const tool_result *result = TOOL("verify", "damaged.gz", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->err, "");
    assert_string_equal(json_string(result->out, "status"), "KM_E_CORRUPT");
    assert_non_null(strstr(json_string(result->out, "message"), "chunk 2 of \"damaged.gz\""));
    assert_true(json_is(result->out, "quick", "false"));
    tool_failed(TOOL("verify", "damaged.gz"), TOOL_CHECK_FAILED, "chunk 2 of \"damaged.gz\"");
    tool_failed(TOOL("verify", "--quick", "damaged.gz"), TOOL_CHECK_FAILED, "chunk 2");
    tool_failed_json(TOOL("restore", "damaged.gz", "never", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    assert_int_equal(scratch_entries(), before);
}

static void what_is_cut_short_or_no_snapshot_fails_its_check(void **state) {
    (void)state;
    tool_snapshot("complete", 2 * CHUNK, 9, "complete.gz");
    tool_cut("complete.gz", "cut.gz", (size_t)scratch_size("complete.gz") - 1);
    tool_failed(TOOL("verify", "cut.gz"), TOOL_CHECK_FAILED, "\"cut.gz\"");
    tool_failed(TOOL("verify", "complete"), TOOL_CHECK_FAILED, "\"complete\"");
    tool_failed_json(TOOL("info", "cut.gz", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    tool_failed_json(TOOL("cat", "cut.gz", "--length", "1", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    tool_failed_json(TOOL("restore", "cut.gz", "never", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    tool_failed_json(TOOL("restore", "complete", "never", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    assert_int_equal(scratch_size("never"), -1);
}

/* None of the verbs that take plain files as well takes it for one. */
static void a_snapshot_without_its_beginning_is_a_damaged_one_and_no_file(void **state) {
    (void)state;
    tool_snapshot("begun", 2 * CHUNK, 9, "headless.gz");
    tool_change("headless.gz", 0, 0xff);
    tool_failed_json(TOOL("info", "headless.gz", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    tool_failed_json(TOOL("cat", "headless.gz", "--length", "1", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    tool_failed_json(TOOL("diff", "headless.gz", "begun", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    tool_fine(TOOL("cat", "headless.gz", "--plain", "--length", "1", "--json"));
    const tool_result *result = tool_fine(TOOL("log", "."));
    assert_non_null(strstr(result->out, "headless.gz: "));
}

/* ---- Streams --------------------------------------------------------------------------------- */

static void a_stream_comes_back_byte_for_byte(void **state) {
    (void)state;
    scratch_file("poured-in", 300000, 10);
    tool_fine(tool_run_through("poured-in", "stream.gz", TOOL_WORDS("snapshot", "-", "-")));
    const tool_result *result =
        tool_fine(tool_run_through("stream.gz", NULL, TOOL_WORDS("verify", "-")));
    tool_says(result, "standard input: every bit is as it was written");
    tool_fine(tool_run_through("stream.gz", "poured-out", TOOL_WORDS("restore", "-", "-")));
    assert_true(scratch_same("poured-in", "poured-out"));
    result = tool_fine(TOOL("info", "stream.gz", "--json"));
    assert_string_equal(json_string(result->out, "source"), "stream");
    assert_int_equal(json_integer(result->out, "size"), 300000);

    tool_says(
        tool_fine(tool_run_through("poured-in", NULL, TOOL_WORDS("snapshot", "-", "file.gz"))),
        "standard input -> file.gz: 300000 bytes");
    tool_says(tool_fine(tool_run_through("file.gz", NULL, TOOL_WORDS("restore", "-", "file"))),
              "standard input -> file: restored, 300000 bytes");
    assert_true(scratch_same("poured-in", "file"));
    tool_fine(tool_run_to("file-again", TOOL_WORDS("restore", "file.gz", "-")));
    assert_true(scratch_same("poured-in", "file-again"));
}

static void an_empty_stream_is_an_empty_image_and_no_snapshot(void **state) {
    (void)state;
    tool_fine(TOOL("snapshot", "-", "empty.gz"));
    tool_fine(TOOL("restore", "empty.gz", "empty"));
    assert_int_equal(scratch_size("empty"), 0);
    tool_failed(TOOL("verify", "-"), TOOL_CHECK_FAILED, "ends after 0 bytes");
    tool_failed_json(TOOL("restore", "-", "never", "--json"), TOOL_REFUSED, "KM_E_CORRUPT");
    assert_int_equal(scratch_size("never"), -1);
}

static void a_stream_without_its_end_fails_its_check_and_leaves_nothing(void **state) {
    (void)state;
    tool_snapshot("endless", 3 * CHUNK, 11, "endless.gz");
    tool_cut("endless.gz", "no-footer.gz", (size_t)scratch_size("endless.gz") - 98);
    tool_cut("endless.gz", "half.gz", (size_t)tool_body(1) + 10);
    const char *const streams[] = {"no-footer.gz", "half.gz"};
    for (size_t i = 0; i < 2; i++) {
        const tool_result *result =
            tool_run_through(streams[i], NULL, TOOL_WORDS("verify", "-", "--json"));
        assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
        assert_string_equal(json_string(result->out, "status"), "KM_E_CORRUPT");
        tool_failed_json(
            tool_run_through(streams[i], NULL, TOOL_WORDS("restore", "-", "never", "--json")),
            TOOL_REFUSED, "KM_E_CORRUPT");
    }
    assert_int_equal(scratch_size("never"), -1);
}

/* ---- info, cat ------------------------------------------------------------------------------- */

static void info_says_what_a_snapshot_says_of_itself(void **state) {
    (void)state;
    tool_snapshot("facts", 3 * CHUNK + 9, 12, "facts.gz");
    const tool_result *result = tool_fine(TOOL("info", "facts.gz", "--json"));
    assert_string_equal(json_string(result->out, "verb"), "info");
    assert_string_equal(json_string(result->out, "snapshot"), "facts.gz");
    assert_string_equal(json_string(result->out, "source"), "file");
    assert_int_equal(json_integer(result->out, "size"), 3 * CHUNK + 9);
    assert_int_equal(json_integer(result->out, "packed_size"), scratch_size("facts.gz"));
    assert_int_equal(json_integer(result->out, "chunk_size"), CHUNK);
    assert_int_equal(json_integer(result->out, "chunks"), 4);
    assert_int_equal(json_integer(result->out, "zero_chunks"), 0);
    assert_int_equal(json_integer(result->out, "stored_chunks"), 4);
    assert_int_equal(json_integer(result->out, "level"), 0);
    assert_true(json_integer(result->out, "made_ns") > UINT64_C(1000000000) * 1000000000);
    assert_true(json_is(result->out, "type", "null"));
    assert_true(json_is(result->out, "type_version", "null"));
    result = tool_fine(TOOL("info", "facts.gz"));
    tool_says(result, "196617 bytes");
    tool_says(result, "4 of 65536 bytes");
    result = tool_fine(TOOL("info", "facts.gz", "--plain", "--json"));
    assert_int_equal(json_integer(result->out, "actual"), scratch_size("facts.gz"));
}

static void cat_writes_what_a_snapshot_holds(void **state) {
    (void)state;
    tool_snapshot("held", 3 * CHUNK + 9, 13, "held.gz");
    tool_fine(tool_run_to("held-out", TOOL_WORDS("cat", "held.gz")));
    assert_true(scratch_same("held", "held-out"));
    tool_fine(tool_run_to("plain-out", TOOL_WORDS("cat", "held.gz", "--plain")));
    assert_true(scratch_same("held.gz", "plain-out"));

    char wanted[16];
    (void)snprintf(wanted, sizeof wanted, "%02x%02x%02x", scratch_byte(CHUNK - 1, 13),
                   scratch_byte(CHUNK, 13), scratch_byte(CHUNK + 1, 13));
    const tool_result *result =
        tool_fine(TOOL("cat", "held.gz", "--offset", "65535", "--length", "3", "--json"));
    assert_string_equal(json_string(result->out, "hex"), wanted);
    tool_says(tool_fine(TOOL("cat", "held.gz", "--offset", "64k", "--length", "16", "--hex")),
              "00010000  ");
    tool_failed_json(TOOL("cat", "held.gz", "--offset", "196617", "--length", "1", "--json"),
                     TOOL_REFUSED, "KM_E_TRUNCATED");
}

static void cat_of_a_damaged_chunk_is_an_error_and_no_signal(void **state) {
    (void)state;
    tool_snapshot("hurt", 3 * CHUNK, 14, "hurt.gz");
    tool_change("hurt.gz", tool_body(1) + 3, 2);
    const tool_result *result = TOOL("cat", "hurt.gz", "--offset", "64k", "--length", "1");
    tool_failed(result, TOOL_REFUSED, "chunk 1 of \"hurt.gz\"");
}

/* ---- Words that make no sense ---------------------------------------------------------------- */

static void words_that_make_no_sense_are_misuse(void **state) {
    static const char *const wrong[][7] = {
        {"snapshot", "a"},
        {"snapshot", "a", "b", "c"},
        {"snapshot", "--segment", "n", "a", "b"},
        {"snapshot", "a", "b", "--level", "10"},
        {"snapshot", "a", "b", "--level", "-1"},
        {"snapshot", "a", "b", "--chunk-size", "4G"},
        {"snapshot", "a", "b", "--timeout", "4294967"},
        {"snapshot", "a", "b", "--timeout", "1", "--no-lock"},
        {"snapshot", "-", "b", "--timeout", "1"},
        {"snapshot", "-", "b", "--no-lock"},
        {"snapshot", "a", "b", "--compare"},
        {"snapshot", "a", "b", "--machine-wide"},
        {"snapshot", "a", "-", "--json"},
        {"snapshot", "a", "-", "--force"},
        {"snapshot", "a", "-", "--no-sync"},
        {"restore", "a"},
        {"restore", "a", "b", "--segment", "n"},
        {"restore", "a", "b", "--hold", "1"},
        {"restore", "a", "b", "--everybody"},
        {"restore", "a", "--segment", "n", "--hold", "soon"},
        {"restore", "a", "--segment", "n", "--force"},
        {"restore", "-", "--segment", "n"},
        {"restore", "a", "b", "--in-place", "--force"},
        {"restore", "a", "b", "--in-place", "--offset", "1"},
        {"restore", "-", "b", "--in-place"},
        {"restore", "a", "-", "--in-place"},
        {"restore", "a", "-", "--json"},
        {"restore", "a", "-", "--force"},
        {"verify"},
        {"verify", "a", "--threads", "x"},
        {"info", "a", "--machine-wide"},
    };
    (void)state;
    const size_t before = scratch_entries();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const tool_result *result = tool_run_to(NULL, wrong[i]);
        assert_string_equal(result->out, "");
        if (result->exit_status != TOOL_MISUSE || result->err_size == 0) {
            fail_msg("no misuse: number %u, exit status %d", (unsigned)i, result->exit_status);
        }
    }
    assert_int_equal(scratch_entries(), before);
}

static void a_chunk_size_that_is_none_is_misuse(void **state) {
    (void)state;
    scratch_file("sized", 100, 1);
    static const char *const wrong[] = {"0", "1", "32k", "65537", "32M"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tool_failed_json(TOOL("snapshot", "sized", "never.gz", "--chunk-size", wrong[i], "--json"),
                         TOOL_MISUSE, "KM_E_INVALID");
    }
    assert_int_equal(scratch_size("never.gz"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_snapshot_fails_its_check_and_restores_nothing),
        cmocka_unit_test(what_is_cut_short_or_no_snapshot_fails_its_check),
        cmocka_unit_test(a_snapshot_without_its_beginning_is_a_damaged_one_and_no_file),
        cmocka_unit_test(a_stream_comes_back_byte_for_byte),
        cmocka_unit_test(an_empty_stream_is_an_empty_image_and_no_snapshot),
        cmocka_unit_test(a_stream_without_its_end_fails_its_check_and_leaves_nothing),
        cmocka_unit_test(info_says_what_a_snapshot_says_of_itself),
        cmocka_unit_test(cat_writes_what_a_snapshot_holds),
        cmocka_unit_test(cat_of_a_damaged_chunk_is_an_error_and_no_signal),
        cmocka_unit_test(words_that_make_no_sense_are_misuse),
        cmocka_unit_test(a_chunk_size_that_is_none_is_misuse),
    };
    return cmocka_run_group_tests_name("command_snapshot_checks", tests, NULL, NULL);
}
