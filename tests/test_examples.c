/*
 * test_examples.c - every example does what its first lines say, in processes of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/child.h"
#include "support/program.h"
#include "support/scratch.h"
#include "support/unique.h"

#define PROMPT "waiting for a client; type lines for it, end with end of file"

static child *start(const char *example, const char *one, const char *two, const char *three) {
    return child_start_program(program_path("examples", example), one, two, three, NULL);
}

static void a_reader_in_another_process_reads_what_the_writer_has_written(void **state) {
    (void)state;
    const char *name = unique_object("Local\\", unique_name("shared"), "");
    child *writer = start("shared_writer", name, "grown in one process", NULL);
    child_expect(writer, "written: grown in one process");
    child_expect(writer, "press Enter to end");

    child *reader = start("shared_reader", name, NULL, NULL);
    child_expect(reader, "read: grown in one process");
    assert_int_equal(child_finish(reader), 0);

    child *second = start("shared_writer", name, "and again", NULL);
    child_expect(second, "the name existed already: writing over what is there");
    child_expect(second, "written: and again");
    assert_int_equal(child_finish(second), 0);

    child_tell(writer, "");
    assert_int_equal(child_finish(writer), 0);
}

static void without_a_writer_there_is_nothing_to_read(void **state) {
    (void)state;
    child *reader =
        start("shared_reader", unique_object("Local\\", unique_name("nobody"), ""), NULL, NULL);
    assert_int_equal(child_finish(reader), 1);
}

static void the_name_goes_with_the_writer(void **state) {
    (void)state;
    const char *name = unique_object("Local\\", unique_name("gone"), "");
    child *writer = start("shared_writer", name, NULL, NULL);
    child_expect(writer, "written: Hello from the first process");
    assert_int_equal(child_finish(writer), 0); /* its input ends, so it does */
    child *reader = start("shared_reader", name, NULL, NULL);
    assert_int_equal(child_finish(reader), 1);
}

static void converse(const char *server_program, const char *client_program) {
    const char *name = unique_object("Local\\", unique_name("events"), "");
    child *server = start(server_program, name, NULL, NULL);
    child_expect(server, PROMPT);
    child *client = start(client_program, name, NULL, NULL);
    child_expect(client, "connected");

    static const char *const lines[] = {"one", "", "three words here", "the last"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char said[64];
        child_tell(server, lines[i]);
        snprintf(said, sizeof said, "received: %s", lines[i]);
        child_expect(client, said);
        snprintf(said, sizeof said, "sent: %s", lines[i]);
        child_expect(server, said);
    }
    assert_int_equal(child_finish(server), 0); /* the end of its input is goodbye */
    child_expect(client, "the server says goodbye");
    assert_int_equal(child_finish(client), 0);
}

static void the_client_prints_what_the_server_is_told(void **state) {
    (void)state;
    converse("event_server", "event_client");
}

static void server_and_client_in_cpp_do_the_same(void **state) {
    (void)state;
    converse("event_server_cpp", "event_client_cpp");
}

static void a_c_server_has_a_cpp_client_and_the_other_way_round(void **state) {
    (void)state;
    converse("event_server", "event_client_cpp");
    converse("event_server_cpp", "event_client");
}

static void lines_typed_ahead_arrive_one_by_one(void **state) {
    (void)state;
    const char *name = unique_object("Local\\", unique_name("ahead"), "");
    child *server = start("event_server", name, NULL, NULL);
    child_expect(server, PROMPT);
    char line[32];
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "%d", i);
        child_tell(server, line);
    }
    child *client = start("event_client", name, NULL, NULL);
    child_expect(client, "connected");
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "received: %d", i);
        child_expect(client, line);
    }
    assert_int_equal(child_finish(server), 0);
    child_expect(client, "the server says goodbye");
    assert_int_equal(child_finish(client), 0);
}

/* Many times the same character, then an end of its own. */
static char *repeat(const char *character, size_t times, const char *after) {
    size_t width = strlen(character);
    char *text = malloc(times * width + strlen(after) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < times; i++) {
        /* The end comes last. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
        memcpy(text + i * width, character, width);
    }
    memcpy(text + times * width, after, strlen(after) + 1);
    return text;
}

/* Tells the server a line, and expects these pieces of it, the first one repeated. */
static void exchange(child *server, child *client, const char *character, size_t first,
                     const char *second) {
    char *line = repeat(character, first, second);
    char *piece = repeat(character, first, "");
    char said[512];
    child_tell(server, line);
    const char *pieces[] = {piece, second};
    for (size_t i = 0; i < (second[0] != '\0' ? 2u : 1u); i++) {
        snprintf(said, sizeof said, "received: %s", pieces[i]);
        child_expect(client, said);
        snprintf(said, sizeof said, "sent: %s", pieces[i]);
        child_expect(server, said);
    }
    free(piece);
    free(line);
}

static void a_line_longer_than_a_message_is_sent_whole_in_pieces(void **state) {
    (void)state;
    static const char *const servers[] = {"event_server", "event_server_cpp"};
    for (size_t i = 0; i < 2; i++) {
        const char *name = unique_object("Local\\", unique_name("long"), "");
        child *server = start(servers[i], name, NULL, NULL);
        child_expect(server, PROMPT);
        child *client = start("event_client", name, NULL, NULL);
        child_expect(client, "connected");
        exchange(server, client, "a", 255, ""); /* just fits: no empty message after it */
        exchange(server, client, "b", 255, "c");
        exchange(server, client, "\xE2\x82\xAC", 85, "");
        exchange(server, client, "\xC3\xA9", 127, "\xC3\xA9!"); /* 254 bytes: none is cut in two */
        assert_int_equal(child_finish(server), 0);
        child_expect(client, "the server says goodbye");
        assert_int_equal(child_finish(client), 0);
    }
}

static void a_name_that_is_too_long_is_not_cut(void **state) {
    (void)state;
    static const char *const programs[] = {"event_server", "event_server_cpp", "event_client",
                                           "event_client_cpp", "described_segment"};
    char *name = repeat("n", 300, "");
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        assert_int_equal(child_finish(start(programs[i], name, NULL, NULL)), 1);
    }
    free(name);
}

static void a_client_sees_that_its_server_was_killed(void **state) {
    (void)state;
    static const char *const clients[] = {"event_client", "event_client_cpp"};
    for (size_t i = 0; i < 2; i++) {
        const char *name = unique_object("Local\\", unique_name("killed"), "");
        child *server = start("event_server", name, NULL, NULL);
        child_expect(server, PROMPT);
        child *client = start(clients[i], name, NULL, NULL);
        child_expect(client, "connected");
        child_kill(server);
        assert_int_equal(child_finish(client), 1);
    }
}

static void a_client_needs_a_server_and_a_second_server_is_refused(void **state) {
    (void)state;
    const char *name = unique_object("Local\\", unique_name("lonely"), "");
    assert_int_equal(child_finish(start("event_client", name, NULL, NULL)), 1);
    assert_int_equal(child_finish(start("event_client_cpp", name, NULL, NULL)), 1);
    child *server = start("event_server", name, NULL, NULL);
    child_expect(server, PROMPT);
    assert_int_equal(child_finish(start("event_server", name, NULL, NULL)), 1);
    assert_int_equal(child_finish(start("event_server_cpp", name, NULL, NULL)), 1);
    child_kill(server);
}

static void the_first_run_creates_and_the_second_finds(void **state) {
    (void)state;
    const char *name = unique_object("Local\\", unique_name("counter"), "");
    child *first = start("open_or_create", name, NULL, NULL);
    child_expect(first, "created it, start number 1");
    child *second = start("open_or_create", name, NULL, NULL);
    child_expect(second, "found it, start number 2");
    assert_int_equal(child_finish(first), 0);
    child *third = start("open_or_create", name, NULL, NULL); /* the second holds it yet */
    child_expect(third, "found it, start number 3");
    assert_int_equal(child_finish(second), 0);
    assert_int_equal(child_finish(third), 0);
    child *anew = start("open_or_create", name, NULL, NULL);
    child_expect(anew, "created it, start number 1");
    assert_int_equal(child_finish(anew), 0);
}

static void two_scribble_on_their_copies_and_the_original_stays(void **state) {
    (void)state;
    static const char original[] = "the original, which nobody changes";
    const char *name = unique_object("Local\\", unique_name("original"), "");
    child *one = start("copy_on_write", "XXX", "original.txt", name);
    child_expect(one, "came first");
    child_expect(one, "scribbled");
    child *other = start("copy_on_write", "ANOTHER", "original.txt", name);
    child_expect(other, "joined whoever came first");
    child_expect(other, "scribbled");

    child_tell(one, "");
    child_expect(one, "my copy:  XXX original, which nobody changes");
    child_expect(one, "original: the original, which nobody changes");
    child_tell(other, "");
    child_expect(other, "my copy:  ANOTHERginal, which nobody changes");
    child_expect(other, "original: the original, which nobody changes");
    assert_int_equal(child_finish(one), 0);
    assert_int_equal(child_finish(other), 0);
    assert_true(scratch_equals("original.txt", original, sizeof original - 1));
}

static void a_file_that_is_too_short_to_scribble_on_is_refused(void **state) {
    (void)state;
    scratch_write("short.txt", "short", 5);
    scratch_write("empty.txt", "", 0);
    const char *name = unique_object("Local\\", unique_name("short"), "");
    assert_int_equal(child_finish(start("copy_on_write", "XXX", "short.txt", name)), 1);
    assert_int_equal(child_finish(start("copy_on_write", "XXX", "empty.txt", name)), 1);
    assert_true(scratch_equals("short.txt", "short", 5));
}

static void a_described_segment_is_found_with_its_size_and_name(void **state) {
    (void)state;
    const char *name = unique_name("numbers");
    child *maker = start("described_segment", name, NULL, NULL);
    child_expect(maker, "by hand: made 4064 bytes");
    child_expect(maker, "km_segment: made 4000 bytes");
    child *finder = start("described_segment", name, NULL, NULL);
    child_expect(finder, "by hand: \"a thousand numbers\", 4064 bytes, of which 64 are the header");
    child_expect(finder, "km_segment: \"a thousand numbers\" version 1, 4000 bytes, all of them "
                         "data");
    assert_int_equal(child_finish(finder), 0);
    assert_int_equal(child_finish(maker), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_in_another_process_reads_what_the_writer_has_written),
        cmocka_unit_test(without_a_writer_there_is_nothing_to_read),
        cmocka_unit_test(the_name_goes_with_the_writer),
        cmocka_unit_test(the_client_prints_what_the_server_is_told),
        cmocka_unit_test(server_and_client_in_cpp_do_the_same),
        cmocka_unit_test(a_c_server_has_a_cpp_client_and_the_other_way_round),
        cmocka_unit_test(lines_typed_ahead_arrive_one_by_one),
        cmocka_unit_test(a_line_longer_than_a_message_is_sent_whole_in_pieces),
        cmocka_unit_test(a_name_that_is_too_long_is_not_cut),
        cmocka_unit_test(a_client_sees_that_its_server_was_killed),
        cmocka_unit_test(a_client_needs_a_server_and_a_second_server_is_refused),
        cmocka_unit_test(the_first_run_creates_and_the_second_finds),
        cmocka_unit_test(two_scribble_on_their_copies_and_the_original_stays),
        cmocka_unit_test(a_file_that_is_too_short_to_scribble_on_is_refused),
        cmocka_unit_test(a_described_segment_is_found_with_its_size_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
