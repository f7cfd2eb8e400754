/*
 * test_command_snapshot.c - the keepmap command on snapshots: there and back, since, segments,
 * parts.
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

#include "support/child.h"
#include "support/json.h"
#include "support/scratch.h"
#include "support/tool.h"
#include "support/tool_snapshot.h"
#include "support/unique.h"

#define CHUNK TOOL_CHUNK

/* ---- There and back -------------------------------------------------------------------------- */

static void a_file_of_any_size_comes_back_byte_for_byte(void **state) {
    static const uint64_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1000003};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        scratch_file("there", sizes[i], (unsigned)i);
        tool_says(
            tool_fine(TOOL("snapshot", "there", "round.gz", "--chunk-size", "64k", "--force")),
            "there -> round.gz: ");
        tool_says(tool_fine(TOOL("verify", "round.gz")),
                  "round.gz: every bit is as it was written");
        tool_says(tool_fine(TOOL("restore", "round.gz", "back", "--force")),
                  "round.gz -> back: restored, ");
        assert_true(scratch_same("there", "back"));
    }
}

static void every_level_comes_back(void **state) {
    (void)state;
    scratch_file("leveled", 3 * CHUNK + 5, 1);
    for (char level[] = "0"; level[0] <= '9'; level[0]++) {
        const tool_result *result =
            TOOL("snapshot", "leveled", "leveled.gz", "--force", "--json", "--level", level);
        if (level[0] > '0' && result->exit_status == TOOL_REFUSED) {
            /* Built without a library that packs. */
            assert_string_equal(json_string(result->err, "status"), "KM_E_UNSUPPORTED");
            continue;
        }
        tool_fine(result);
        result = tool_fine(TOOL("info", "leveled.gz", "--json"));
        assert_int_equal(json_integer(result->out, "level"), level[0] - '0');
        tool_fine(TOOL("restore", "leveled.gz", "leveled-back", "--force", "--threads", "2"));
        assert_true(scratch_same("leveled", "leveled-back"));
    }
}

static void snapshot_and_restore_say_in_json_what_they_did(void **state) {
    (void)state;
    scratch_file("said", 5 * CHUNK + 1, 2);
    const tool_result *result = tool_fine(TOOL("snapshot", "said", "said.gz", "--json", "--level",
                                               "0", "--chunk-size", "64k", "--threads", "2"));
    assert_string_equal(json_string(result->out, "verb"), "snapshot");
    assert_string_equal(json_string(result->out, "status"), "KM_OK");
    assert_string_equal(json_string(result->out, "source"), "said");
    assert_string_equal(json_string(result->out, "snapshot"), "said.gz");
    assert_int_equal(json_integer(result->out, "size"), 5 * CHUNK + 1);
    assert_int_equal(json_integer(result->out, "packed_size"), scratch_size("said.gz"));
    assert_int_equal(json_integer(result->out, "chunks"), 6);
    assert_int_equal(json_integer(result->out, "zero_chunks"), 0);
    assert_int_equal(json_integer(result->out, "reused_chunks"), 0);

    result = tool_fine(TOOL("restore", "said.gz", "said-back", "--json", "--no-sync"));
    assert_string_equal(json_string(result->out, "snapshot"), "said.gz");
    assert_string_equal(json_string(result->out, "target"), "said-back");
    assert_int_equal(json_integer(result->out, "size"), 5 * CHUNK + 1);
    assert_int_equal(json_integer(result->out, "written"), 5 * CHUNK + 1);
    result = tool_fine(TOOL("verify", "said.gz", "--json", "--quick"));
    assert_string_equal(json_string(result->out, "status"), "KM_OK");
    assert_string_equal(json_string(result->out, "message"), "");
    assert_true(json_is(result->out, "quick", "true"));
}

static void zeros_come_back_with_their_size(void **state) {
    (void)state;
    tool_fine(TOOL("create", "zeros", "--size", "40M", "--sparse"));
    const tool_result *result = tool_fine(TOOL("snapshot", "zeros", "zeros.gz", "--json"));
    assert_int_equal(json_integer(result->out, "zero_chunks"), 160);
    assert_true(json_integer(result->out, "packed_size") < 100000);
    tool_says(tool_fine(TOOL("restore", "zeros.gz", "zeros-back")), "41943040 bytes (40.0 MiB)");
    assert_true(scratch_same("zeros", "zeros-back"));
    scratch_remove("zeros");
    scratch_remove("zeros-back");
}

static void existing_targets_are_replaced_only_by_force(void **state) {
    (void)state;
    tool_snapshot("new", 1000, 3, "new.gz");
    scratch_write("old", "kept", 4);
    tool_failed_json(TOOL("snapshot", "new", "old", "--json"), TOOL_REFUSED, "KM_E_EXISTS");
    tool_failed_json(TOOL("restore", "new.gz", "old", "--json"), TOOL_REFUSED, "KM_E_EXISTS");
    tool_failed(TOOL("restore", "new.gz", "old"), TOOL_REFUSED, "\"old\"");
    assert_true(scratch_equals("old", "kept", 4));
    tool_fine(TOOL("restore", "new.gz", "old", "--force"));
    assert_true(scratch_same("new", "old"));
    tool_fine(TOOL("snapshot", "new", "old", "--force"));
    tool_fine(TOOL("verify", "old"));
}

static void what_is_not_there_is_refused_and_leaves_nothing(void **state) {
    (void)state;
    tool_snapshot("here", 1000, 3, "here.gz");
    const size_t before = scratch_entries();
    tool_failed_json(TOOL("snapshot", "absent", "a", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("snapshot", "here", "nowhere/a", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("restore", "absent", "a", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("restore", "here.gz", "nowhere/a", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("verify", "absent", "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed(TOOL("verify", "absent"), TOOL_REFUSED, "\"absent\"");
    assert_int_equal(scratch_entries(), before);
}

/* ---- Since ----------------------------------------------------------------------------------- */

static void what_has_not_changed_is_taken_over(void **state) {
    (void)state;
    tool_snapshot("grown", 8 * CHUNK, 4, "first.gz");
    tool_change("grown", 3 * CHUNK + 7, 1);
    const tool_result *result =
        tool_fine(TOOL("snapshot", "grown", "second.gz", "--since", "first.gz"));
    tool_says(result, "; 7 of 8 chunks taken over");
    result = tool_fine(
        TOOL("snapshot", "grown", "third.gz", "--since", "first.gz", "--compare", "--json"));
    assert_int_equal(json_integer(result->out, "chunks"), 8);
    assert_int_equal(json_integer(result->out, "reused_chunks"), 7);

    char id[64];
    result = tool_fine(TOOL("info", "first.gz", "--json"));
    (void)snprintf(id, sizeof id, "%s", json_string(result->out, "id"));
    assert_int_equal(strlen(id), 32);
    assert_true(json_is(result->out, "since", "null"));
    scratch_remove("first.gz"); /* nobody needs it any more */
    result = tool_fine(TOOL("info", "second.gz", "--json"));
    assert_string_equal(json_string(result->out, "since"), id);
    tool_fine(TOOL("restore", "second.gz", "second"));
    assert_true(scratch_same("grown", "second"));
    tool_fine(TOOL("restore", "third.gz", "third"));
    assert_true(scratch_same("grown", "third"));
}

static void a_snapshot_may_replace_the_one_it_was_made_since(void **state) {
    (void)state;
    tool_snapshot("again", 4 * CHUNK, 5, "again.gz");
    const tool_result *result = tool_fine(
        TOOL("snapshot", "again", "again.gz", "--since", "again.gz", "--force", "--json"));
    assert_int_equal(json_integer(result->out, "reused_chunks"), 4);
    tool_fine(TOOL("restore", "again.gz", "again-back"));
    assert_true(scratch_same("again", "again-back"));
}

static void since_what_is_none_or_of_another_kind_is_refused(void **state) {
    (void)state;
    tool_snapshot("kind", 1000, 5, "kind.gz");
    const size_t before = scratch_entries();
    tool_failed_json(TOOL("snapshot", "kind", "never.gz", "--since", "kind", "--json"),
                     TOOL_REFUSED, "KM_E_CORRUPT");
    tool_failed_json(TOOL("snapshot", "kind", "never.gz", "--since", "absent", "--json"),
                     TOOL_REFUSED, "KM_E_NOT_FOUND");
    tool_failed_json(TOOL("snapshot", "kind", "never.gz", "--since", "kind.gz", "--chunk-size",
                          "128k", "--json"),
                     TOOL_REFUSED, "KM_E_MISMATCH");
    assert_int_equal(scratch_entries(), before);
}

/* ---- Segments and locks ---------------------------------------------------------------------- */

/* The command's path as child_start_program wants it. */
static const char *program(void) {
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s", tool_path());
    const size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".exe") == 0) {
        path[length - 4] = '\0';
    }
    return path;
}

static km_map *make_segment(const char *name, uint64_t size) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW,
                                .size = size,
                                .type = "counters",
                                .type_version = 7};
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    for (uint64_t i = 0; i < size; i++) {
        ((unsigned char *)km_data(map))[i] = scratch_byte(i, 6);
    }
    return map;
}

static void a_segment_comes_back_with_its_size_and_type(void **state) {
    const char *name = unique_name("kept");
    char line[512];
    (void)state;
    scratch_file("segment", 100001, 6);
    km_map *map = make_segment(name, 100001);
    const tool_result *result =
        tool_fine(TOOL("snapshot", "--segment", name, "segment.gz", "--json"));
    assert_string_equal(json_string(result->out, "segment"), name);
    assert_int_equal(json_integer(result->out, "size"), 100001);
    tool_failed_json(TOOL("restore", "segment.gz", "--segment", name, "--json"), TOOL_REFUSED,
                     "KM_E_EXISTS");
    (void)km_close(map);
    result = tool_fine(TOOL("info", "segment.gz", "--json"));
    assert_string_equal(json_string(result->out, "source"), "segment");
    assert_string_equal(json_string(result->out, "type"), "counters");
    assert_int_equal(json_integer(result->out, "type_version"), 7);

    child *keeper = child_start_program(program(), "restore", "segment.gz", "--segment", name,
                                        "--hold", "input", NULL);
    child_read(keeper, line, sizeof line);
    assert_int_equal(strncmp(line, "ready: ", 7), 0);
    tool_fine(TOOL("copy", "--segment", name, "segment-back"));
    assert_true(scratch_same("segment", "segment-back"));
    result = tool_fine(TOOL("info", "--segment", name, "--json"));
    assert_string_equal(json_string(result->out, "type"), "counters");
    assert_int_equal(json_integer(result->out, "type_version"), 7);
    assert_int_equal(child_finish(keeper), TOOL_FINE);
    tool_failed_json(TOOL("info", "--segment", name, "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
}

static void what_makes_no_segment_leaves_none(void **state) {
    const char *name = unique_name("never");
    (void)state;
    tool_snapshot("nothing", 0, 1, "nothing.gz");
    tool_snapshot("something", 3 * CHUNK, 1, "something.gz");
    tool_change("something.gz", tool_body(1) + 9, 1);
    tool_failed_json(TOOL("restore", "nothing.gz", "--segment", name, "--hold", "0", "--json"),
                     TOOL_REFUSED, "KM_E_INVALID");
    tool_failed(TOOL("restore", "something.gz", "--segment", name, "--hold", "0"), TOOL_REFUSED,
                "chunk 1 of \"something.gz\"");
    tool_failed_json(TOOL("info", "--segment", name, "--json"), TOOL_REFUSED, "KM_E_NOT_FOUND");
}

static void a_snapshot_waits_for_a_writer_who_locks(void **state) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE};
    (void)state;
    scratch_file("locked", 1000, 1);
    assert_int_equal(km_open(&map, "locked", &options), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER), KM_OK);
    tool_failed_json(TOOL("snapshot", "locked", "locked.gz", "--timeout", "0", "--json"),
                     TOOL_REFUSED, "KM_E_TIMEOUT");
    assert_int_equal(scratch_size("locked.gz"), -1);
    tool_fine(TOOL("snapshot", "locked", "unlocked.gz", "--no-lock"));
    (void)km_unlock(map);
    tool_fine(TOOL("snapshot", "locked", "locked.gz", "--timeout", "0"));
    (void)km_close(map);
}

/* ---- Parts, and in place --------------------------------------------------------------------- */

static void a_part_alone_comes_back(void **state) {
    static unsigned char wanted[CHUNK];
    (void)state;
    tool_snapshot("whole", 4 * CHUNK, 7, "whole.gz");
    for (size_t i = 0; i < sizeof wanted; i++) {
        wanted[i] = scratch_byte(CHUNK + 1000 + i, 7);
    }
    tool_fine(TOOL("restore", "whole.gz", "part", "--offset", "66536", "--length", "64k"));
    assert_true(scratch_equals("part", wanted, sizeof wanted));
    const tool_result *result =
        tool_fine(TOOL("restore", "whole.gz", "rest", "--offset", "192k", "--json"));
    assert_int_equal(json_integer(result->out, "size"), CHUNK);
    tool_run_to("poured", TOOL_WORDS("restore", "whole.gz", "-", "--offset=66536", "--length=64k"));
    assert_true(scratch_same("part", "poured"));
    tool_failed_json(
        TOOL("restore", "whole.gz", "never", "--offset", "192k", "--length", "65537", "--json"),
        TOOL_REFUSED, "KM_E_TRUNCATED");
    tool_failed(TOOL("restore", "whole.gz", "never", "--length", "0"), TOOL_MISUSE,
                "nothing to restore");
    assert_int_equal(scratch_size("never"), -1);
}

static void in_place_writes_what_differs_and_no_more(void **state) {
    (void)state;
    tool_snapshot("placed", 4 * CHUNK, 8, "placed.gz");
    scratch_file("target", 4 * CHUNK, 8);
    tool_change("target", CHUNK + 5, 255);
    tool_says(tool_fine(TOOL("restore", "placed.gz", "target", "--in-place")),
              "of which 64.0 KiB differed");
    assert_true(scratch_same("placed", "target"));
    const tool_result *result =
        tool_fine(TOOL("restore", "placed.gz", "target", "--in-place", "--json"));
    assert_int_equal(json_integer(result->out, "written"), 0);
    scratch_file("target", 100, 1);
    tool_fine(TOOL("restore", "placed.gz", "target", "--in-place"));
    assert_true(scratch_same("placed", "target"));

    tool_change("placed.gz", tool_body(2) + 99, 4);
    scratch_write("spared", "spared", 6);
    tool_failed_json(TOOL("restore", "placed.gz", "spared", "--in-place", "--json"), TOOL_REFUSED,
                     "KM_E_CORRUPT");
    assert_true(scratch_equals("spared", "spared", 6));
    tool_failed_json(TOOL("restore", "placed.gz", "absent", "--in-place", "--json"), TOOL_REFUSED,
                     "KM_E_NOT_FOUND");
    assert_int_equal(scratch_size("absent"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_any_size_comes_back_byte_for_byte),
        cmocka_unit_test(every_level_comes_back),
        cmocka_unit_test(snapshot_and_restore_say_in_json_what_they_did),
        cmocka_unit_test(zeros_come_back_with_their_size),
        cmocka_unit_test(existing_targets_are_replaced_only_by_force),
        cmocka_unit_test(what_is_not_there_is_refused_and_leaves_nothing),
        cmocka_unit_test(what_has_not_changed_is_taken_over),
        cmocka_unit_test(a_snapshot_may_replace_the_one_it_was_made_since),
        cmocka_unit_test(since_what_is_none_or_of_another_kind_is_refused),
        cmocka_unit_test(a_segment_comes_back_with_its_size_and_type),
        cmocka_unit_test(what_makes_no_segment_leaves_none),
        cmocka_unit_test(a_snapshot_waits_for_a_writer_who_locks),
        cmocka_unit_test(a_part_alone_comes_back),
        cmocka_unit_test(in_place_writes_what_differs_and_no_more),
    };
    return cmocka_run_group_tests_name("command_snapshot", tests, NULL, NULL);
}
