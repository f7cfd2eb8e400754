/*
 * test_command_snapshot_compare.c - the keepmap command's verbs salvage, diff and log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <direct.h>
#define MAKE_FOLDER(name) _mkdir(name)
#else
#include <sys/stat.h>
#define MAKE_FOLDER(name) mkdir(name, 0700)
#endif

#include <cmocka.h>

#include <keepmap.h>

#include "support/json.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/tool.h"
#include "support/tool_snapshot.h"

#define CHUNK TOOL_CHUNK

/* ---- salvage --------------------------------------------------------------------------------- */

static void what_is_whole_is_salvaged_whole(void **state) {
    (void)state;
    tool_snapshot("whole", 3 * CHUNK + 1, 1, "whole.gz");
    tool_says(tool_fine(TOOL("salvage", "whole.gz", "saved")), "196609 bytes (192.0 KiB) salvaged");
    assert_true(scratch_same("whole", "saved"));
    tool_failed_json(TOOL("salvage", "whole.gz", "saved", "--json"), TOOL_REFUSED, "KM_E_EXISTS");
    const tool_result *result =
        tool_fine(TOOL("salvage", "whole.gz", "saved", "--force", "--json"));
    assert_int_equal(json_integer(result->out, "size"), 3 * CHUNK + 1);
    assert_int_equal(json_integer(result->out, "recovered"), 3 * CHUNK + 1);
    assert_int_equal(json_integer(result->out, "lost"), 0);
    assert_int_equal(json_integer(result->out, "lost_chunks"), 0);
    assert_true(json_is(result->out, "size_known", "true"));
    assert_true(json_is(result->out, "index_found", "true"));
    assert_true(json_is(result->out, "lost_ranges", "[]"));
}

/* The file, with these bytes of it zero. */
static bool is_saved(const char *saved, const char *file, size_t offset, size_t length) {
    size_t size = 0;
    char *bytes = tool_load(file, &size);
    memset(bytes + offset, 0, length);
    const bool same = scratch_equals(saved, bytes, size);
    free(bytes);
    return same;
}

static void what_is_lost_is_zeros_and_listed(void **state) {
    (void)state;
    tool_snapshot("hurt", 5 * CHUNK, 2, "hurt.gz");
    tool_change("hurt.gz", tool_body(1) + 77, 1);
    tool_change("hurt.gz", tool_body(2) + 77, 1);
    const tool_result *result = TOOL("salvage", "hurt.gz", "hurt-saved");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->err, "");
    tool_says(result, "lost: 131072 bytes (128.0 KiB) from byte 65536\n");
    tool_says(result, "hurt-saved: 196608 bytes (192.0 KiB) salvaged, 131072 bytes");
    assert_true(is_saved("hurt-saved", "hurt", CHUNK, 2 * CHUNK));

    result = TOOL("salvage", "hurt.gz", "hurt-saved", "--force", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(json_string(result->out, "status"), "KM_OK");
    assert_int_equal(json_integer(result->out, "lost"), 2 * CHUNK);
    assert_int_equal(json_integer(result->out, "lost_chunks"), 2);
    const char *lost = json_entry(result->out, "lost_ranges", 0);
    assert_string_equal(json_string(lost, "kind"), "KM_RANGE_LOST");
    assert_int_equal(json_integer(lost, "offset"), CHUNK);
    assert_int_equal(json_integer(lost, "length"), 2 * CHUNK);
    assert_null(json_entry(result->out, "lost_ranges", 1));
}

static void without_its_end_a_snapshot_is_salvaged_up_to_there(void **state) {
    (void)state;
    tool_snapshot("cut", 4 * CHUNK, 3, "cut-whole.gz");
    tool_cut("cut-whole.gz", "cut.gz", (size_t)tool_body(2) - 1);
    const tool_result *result = TOOL("salvage", "cut.gz", "cut-saved", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_int_equal(json_integer(result->out, "recovered"), 2 * CHUNK);
    assert_true(json_is(result->out, "index_found", "false"));
    assert_true(is_saved("cut-saved", "cut", 2 * CHUNK, 2 * CHUNK));
    result = TOOL("salvage", "cut.gz", "cut-saved", "--force");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    tool_says(result, "the index is lost");
}

static void where_nothing_is_recovered_no_target_is_made(void **state) {
    (void)state;
    scratch_file("no-snapshot", 100000, 4);
    const size_t before = scratch_entries();
    tool_failed(TOOL("salvage", "no-snapshot", "never"), TOOL_REFUSED, "\"no-snapshot\"");
    tool_failed_json(TOOL("salvage", "no-snapshot", "never", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    tool_failed_json(TOOL("salvage", "absent", "never", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    assert_int_equal(scratch_entries(), before);
}

/* ---- diff ------------------------------------------------------------------------------------ */

static void what_is_the_same_has_status_0(void **state) {
    (void)state;
    tool_snapshot("same", 3 * CHUNK, 5, "same.gz");
    scratch_file("same-too", 3 * CHUNK, 5);
    tool_says(tool_fine(TOOL("diff", "same", "same-too")),
              "same and same-too are the same, 196608");
    tool_says(tool_fine(TOOL("diff", "same-too", "same.gz")), "are the same");
    const tool_result *result = tool_fine(TOOL("diff", "same.gz", "same", "--json"));
    assert_string_equal(json_string(result->out, "a"), "same.gz");
    assert_string_equal(json_string(result->out, "b"), "same");
    assert_true(json_is(result->out, "same", "true"));
    assert_true(json_is(result->out, "a_is_snapshot", "true"));
    assert_true(json_is(result->out, "b_is_snapshot", "false"));
    assert_int_equal(json_integer(result->out, "a_size"), 3 * CHUNK);
    assert_int_equal(json_integer(result->out, "changed"), 0);
    assert_true(json_is(result->out, "ranges", "[]"));
}

static void what_differs_is_told_with_status_1(void **state) {
    (void)state;
    tool_snapshot("before", 3 * CHUNK, 6, "before.gz");
    scratch_file("after", 3 * CHUNK, 6);
    tool_change("after", 70000, 1);
    tool_change("after", 70002, 1);
    tool_fine(TOOL("snapshot", "after", "after.gz", "--since", "before.gz"));

    const tool_result *result = TOOL("diff", "before", "after");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->err, "");
    assert_string_equal(result->out, "changed: 4096 bytes (4.0 KiB) from byte 69632\n"
                                     "1 range differs; 4096 bytes (4.0 KiB) changed\n");
    result = TOOL("diff", "before.gz", "after", "--unit", "1");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_string_equal(result->out, "changed: 1 bytes from byte 70000\n"
                                     "changed: 1 bytes from byte 70002\n"
                                     "2 ranges differ; 2 bytes changed\n");
    result = TOOL("diff", "before.gz", "after.gz", "--json", "--threads", "2");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_true(json_is(result->out, "same", "false"));
    assert_int_equal(json_integer(result->out, "unit"), 4096);
    assert_int_equal(json_integer(result->out, "changed"), 4096);
    const char *changed = json_entry(result->out, "ranges", 0);
    assert_string_equal(json_string(changed, "kind"), "KM_RANGE_CHANGED");
    assert_int_equal(json_integer(changed, "offset"), 69632);
    assert_int_equal(json_integer(changed, "length"), 4096);
    assert_null(json_entry(result->out, "ranges", 1));
    /* The snapshot for the file that it is. */
    result = TOOL("diff", "before.gz", "before", "--plain", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    assert_true(json_is(result->out, "a_is_snapshot", "false"));
    assert_int_equal(json_integer(result->out, "a_size"), scratch_size("before.gz"));
}

static void what_only_one_of_them_has_is_told(void **state) {
    (void)state;
    scratch_file("long", 3 * CHUNK, 7);
    scratch_file("short", CHUNK + 1, 7);
    const tool_result *result = TOOL("diff", "long", "short");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    tool_says(result, "only in the first: 131071 bytes (128.0 KiB) from byte 65537\n");
    tool_says(result, "sizes 196608 and 65537\n");
    result = TOOL("diff", "short", "long", "--json");
    assert_int_equal(result->exit_status, TOOL_CHECK_FAILED);
    const char *only = json_entry(result->out, "ranges", 0);
    assert_string_equal(json_string(only, "kind"), "KM_RANGE_ONLY_B");
    assert_int_equal(json_integer(only, "offset"), CHUNK + 1);
    assert_int_equal(json_integer(only, "length"), 2 * CHUNK - 1);
}

static void a_diff_that_cannot_be_made_is_status_3(void **state) {
    (void)state;
    tool_snapshot("whole-one", 2 * CHUNK, 8, "cut-short.gz");
    tool_cut("cut-short.gz", "cut-short", (size_t)scratch_size("cut-short.gz") - 1);
    tool_failed_json(TOOL("diff", "whole-one", "cut-short", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    tool_failed_json(TOOL("diff", "whole-one", "absent", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed(TOOL("diff", "absent", "whole-one"), TOOL_REFUSED, "\"absent\"");
}

/* ---- log ------------------------------------------------------------------------------------- */

static void log_lists_snapshots_in_the_order_in_which_they_were_made(void **state) {
    static const char *const names[] = {"1.gz", "2.gz", "3.gz"};
    static const uint64_t changed[] = {0, CHUNK, CHUNK + 1};
    (void)state;
    assert_int_equal(MAKE_FOLDER("log"), 0);
    assert_int_equal(MAKE_FOLDER("log/folder"), 0);
    scratch_file("log/no-snapshot", 1000, 1);
    tool_snapshot("logged", 4 * CHUNK, 9, "log/1.gz");
    tool_change("logged", 2 * CHUNK, 1);
    tool_fine(TOOL("snapshot", "logged", "log/2.gz", "--since", "log/1.gz"));
    scratch_file("logged", 4 * CHUNK + 1, 9);
    tool_fine(TOOL("snapshot", "logged", "log/3.gz", "--since", "log/2.gz"));

    const tool_result *result = tool_fine(TOOL("log", "log", "--json"));
    assert_string_equal(json_string(result->out, "directory"), "log");
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "log/%s", names[i]);
        const char *entry = json_entry(result->out, "snapshots", i);
        assert_non_null(entry);
        assert_string_equal(json_string(entry, "name"), names[i]);
        assert_string_equal(json_string(entry, "status"), "KM_OK");
        assert_true(json_is(entry, "message", "null"));
        assert_int_equal(json_integer(entry, "size"), i < 2 ? 4 * CHUNK : 4 * CHUNK + 1);
        assert_int_equal(json_integer(entry, "packed_size"), scratch_size(path));
        assert_true(json_integer(entry, "made_ns") > 0);
        if (i == 0) {
            assert_true(json_is(entry, "changed", "null"));
        } else {
            assert_int_equal(json_integer(entry, "changed"), changed[i]);
        }
    }
    assert_null(json_entry(result->out, "snapshots", 3));

    result = tool_fine(TOOL("log", "log/"));
    const char *first = strstr(result->out, "1.gz\n");
    const char *second = strstr(result->out, "64.0 KiB  2.gz\n");
    const char *third = strstr(result->out, "64.0 KiB  3.gz\n");
    assert_true(first && second && third && first < second && second < third);
    assert_null(strstr(result->out, "no-snapshot"));
}

/* Two files in turn: each is compared with itself, the first of the second with what there is. */
static void log_compares_with_the_one_before_of_the_same_file(void **state) {
    (void)state;
    static const char *const before[] = {NULL, "1.gz", "1.gz", "2.gz"};
    static const uint64_t changed[] = {0, 3 * CHUNK, CHUNK, 0};
    assert_int_equal(MAKE_FOLDER("two-logs"), 0);
    tool_snapshot("log-one", 3 * CHUNK, 21, "two-logs/1.gz");
    tool_snapshot("log-two", 3 * CHUNK, 22, "two-logs/2.gz");
    tool_change("log-one", 1, 1);
    tool_fine(TOOL("snapshot", "log-one", "two-logs/3.gz", "--chunk-size", "64k"));
    tool_fine(TOOL("snapshot", "log-two", "two-logs/4.gz", "--chunk-size", "64k"));
    const tool_result *result = tool_fine(TOOL("log", "two-logs", "--json"));
    for (size_t i = 0; i < 4; i++) {
        const char *entry = json_entry(result->out, "snapshots", i);
        if (before[i] == NULL) {
            assert_true(json_is(entry, "before", "null"));
        } else {
            assert_string_equal(json_string(entry, "before"), before[i]);
            assert_int_equal(json_integer(entry, "changed"), changed[i]);
        }
    }
    result = tool_fine(TOOL("log", "two-logs"));
    assert_non_null(strstr(result->out, " 2.gz\n"));
    assert_non_null(strstr(result->out, " 3.gz after 1.gz\n"));
    assert_non_null(strstr(result->out, " 4.gz after 2.gz\n"));
}

static void log_compares_with_the_one_that_it_was_made_since(void **state) {
    (void)state;
    assert_int_equal(MAKE_FOLDER("since-log"), 0);
    tool_snapshot("log-since", 3 * CHUNK, 23, "since-log/1.gz");
    tool_change("log-since", 1, 1);
    tool_fine(TOOL("snapshot", "log-since", "since-log/2.gz", "--since", "since-log/1.gz"));
    tool_change("log-since", CHUNK + 1, 1);
    tool_fine(TOOL("snapshot", "log-since", "since-log/3.gz", "--since", "since-log/1.gz"));
    const tool_result *result = tool_fine(TOOL("log", "since-log", "--json"));
    const char *third = json_entry(result->out, "snapshots", 2);
    assert_string_equal(json_string(third, "before"), "1.gz");
    assert_int_equal(json_integer(third, "changed"), 2 * CHUNK);
}

static void write_snapshot(const char *path, unsigned char byte, const snapshot_plan *plan) {
    size_t length = 0;
    unsigned char *bytes = snapshot_build(&byte, 1, plan, &length);
    scratch_write(path, bytes, length);
    free(bytes);
}

/* As where the clock was set back in between: all of these say that they were made at one time. */
static void log_finds_the_one_that_it_was_made_since_behind_it_too(void **state) {
    (void)state;
    assert_int_equal(MAKE_FOLDER("clock-log"), 0);
    write_snapshot("clock-log/1.gz", 'b', &(snapshot_plan){.id = 2, .since = 3});
    write_snapshot("clock-log/2.gz", 'b', &(snapshot_plan){.id = 1, .since = 1}); /* itself */
    write_snapshot("clock-log/3.gz", 'a', &(snapshot_plan){.id = 3});
    const tool_result *result = tool_fine(TOOL("log", "clock-log", "--json"));
    static const char *const before[] = {"3.gz", "1.gz", "2.gz"};
    static const uint64_t changed[] = {1, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        const char *entry = json_entry(result->out, "snapshots", i);
        assert_string_equal(json_string(entry, "before"), before[i]);
        assert_int_equal(json_integer(entry, "changed"), changed[i]);
    }
    result = tool_fine(TOOL("log", "clock-log"));
    assert_non_null(strstr(result->out, " 1.gz after 3.gz\n"));
    assert_non_null(strstr(result->out, " 2.gz\n"));
}

static void log_names_what_is_damaged_at_its_end(void **state) {
    (void)state;
    assert_int_equal(MAKE_FOLDER("hurt-log"), 0);
    tool_snapshot("log-hurt", 2 * CHUNK, 10, "hurt-log/whole.gz");
    tool_cut("hurt-log/whole.gz", "hurt-log/cut.gz", 1000);
    const tool_result *result = tool_fine(TOOL("log", "hurt-log", "--json"));
    const char *entry = json_entry(result->out, "snapshots", 1);
    assert_string_equal(json_string(entry, "name"), "cut.gz");
    assert_string_equal(json_string(entry, "status"), "KM_E_CORRUPT");
    assert_non_null(strstr(json_string(entry, "message"), "cut.gz"));
    assert_true(json_is(entry, "size", "null"));
    result = tool_fine(TOOL("log", "hurt-log"));
    assert_non_null(strstr(result->out, "cut.gz: "));
}

static void log_says_why_one_cannot_be_compared_with_the_one_before(void **state) {
    (void)state;
    assert_int_equal(MAKE_FOLDER("torn-log"), 0);
    tool_snapshot("torn", 2 * CHUNK, 11, "torn-log/1.gz");
    tool_snapshot("torn", 2 * CHUNK, 12, "torn-log/2.gz");
    tool_change("torn-log/1.gz", tool_body(1) + 9, 1);
    const tool_result *result = tool_fine(TOOL("log", "torn-log", "--json"));
    const char *first = json_entry(result->out, "snapshots", 0);
    assert_string_equal(json_string(first, "name"), "1.gz");
    assert_string_equal(json_string(first, "status"), "KM_OK"); /* nobody has read its chunks */
    const char *second = json_entry(result->out, "snapshots", 1);
    assert_string_equal(json_string(second, "name"), "2.gz");
    assert_string_equal(json_string(second, "status"), "KM_E_CORRUPT");
    assert_non_null(strstr(json_string(second, "message"), "chunk 1 of \"torn-log/1.gz\""));
    assert_int_equal(json_integer(second, "size"), 2 * CHUNK);
    assert_true(json_is(second, "changed", "null"));
    result = tool_fine(TOOL("log", "torn-log"));
    assert_non_null(strstr(result->out, "           -  1.gz\n"));
    assert_non_null(strstr(result->out, "           ?  2.gz: cannot read chunk 1 of "));
}

static void log_names_what_cannot_be_read(void **state) {
    (void)state;
    km_map *map = NULL;
    assert_int_equal(MAKE_FOLDER("taken-log"), 0);
    scratch_file("taken-log/taken", 1000, 13); /* a snapshot, for all that one can tell */
    const km_options sole = {.access = KM_WRITE, .flags = KM_OPEN_SOLE};
    assert_int_equal(km_open(&map, "taken-log/taken", &sole), KM_OK);
    const tool_result *result = tool_fine(TOOL("log", "taken-log", "--json"));
    const char *entry = json_entry(result->out, "snapshots", 0);
    assert_string_equal(json_string(entry, "name"), "taken");
    assert_string_equal(json_string(entry, "status"), "KM_E_BUSY");
    assert_true(json_is(entry, "made_ns", "null"));
    km_close(map);
    assert_true(json_is(tool_fine(TOOL("log", "taken-log", "--json"))->out, "snapshots", "[]"));
}

static void log_of_no_snapshots_is_empty(void **state) {
    (void)state;
    assert_int_equal(MAKE_FOLDER("empty-log"), 0);
    assert_string_equal(tool_fine(TOOL("log", "empty-log"))->out, "");
    const tool_result *result = tool_fine(TOOL("log", "empty-log", "--json"));
    assert_true(json_is(result->out, "snapshots", "[]"));
    tool_failed_json(TOOL("log", "nowhere", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed(TOOL("log", "nowhere"), TOOL_REFUSED, "\"nowhere\"");
    scratch_file("no-folder", 10, 1);
    tool_failed_json(TOOL("log", "no-folder", "--json"), TOOL_REFUSED, "KM_E_INVALID");
}

/* ---- Words that make no sense ---------------------------------------------------------------- */

static void words_that_make_no_sense_are_misuse(void **state) {
    static const char *const wrong[][5] = {
        {"salvage", "a"},
        {"salvage", "-", "b"},
        {"salvage", "a", "-"},
        {"diff", "a"},
        {"diff", "a", "-"},
        {"diff", "a", "b", "--unit=3"},
        {"diff", "a", "b", "--unit=0"},
        {"diff", "a", "b", "--unit=2M"},
        {"log"},
        {"log", "a", "b"},
    };
    (void)state;
    const size_t before = scratch_entries();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const tool_result *result = tool_run_to(NULL, wrong[i]);
        if (result->exit_status != TOOL_MISUSE || result->err_size == 0) {
            fail_msg("no misuse: number %u, exit status %d", (unsigned)i, result->exit_status);
        }
    }
    assert_int_equal(scratch_entries(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_whole_is_salvaged_whole),
        cmocka_unit_test(what_is_lost_is_zeros_and_listed),
        cmocka_unit_test(without_its_end_a_snapshot_is_salvaged_up_to_there),
        cmocka_unit_test(where_nothing_is_recovered_no_target_is_made),
        cmocka_unit_test(what_is_the_same_has_status_0),
        cmocka_unit_test(what_differs_is_told_with_status_1),
        cmocka_unit_test(what_only_one_of_them_has_is_told),
        cmocka_unit_test(a_diff_that_cannot_be_made_is_status_3),
        cmocka_unit_test(log_lists_snapshots_in_the_order_in_which_they_were_made),
        cmocka_unit_test(log_compares_with_the_one_before_of_the_same_file),
        cmocka_unit_test(log_compares_with_the_one_that_it_was_made_since),
        cmocka_unit_test(log_finds_the_one_that_it_was_made_since_behind_it_too),
        cmocka_unit_test(log_names_what_is_damaged_at_its_end),
        cmocka_unit_test(log_says_why_one_cannot_be_compared_with_the_one_before),
        cmocka_unit_test(log_names_what_cannot_be_read),
        cmocka_unit_test(log_of_no_snapshots_is_empty),
        cmocka_unit_test(words_that_make_no_sense_are_misuse),
    };
    return cmocka_run_group_tests_name("command_snapshot_compare", tests, NULL, NULL);
}
