/*
 * test_snapshot_stream_out.c - km_snapshot from and to streams: what comes in pieces of any length
 * is cut into chunks, and what goes out goes in order, without a step back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK

static const size_t sizes[] = {0,     1,         CHUNK - 1,     CHUNK,         CHUNK + 1,
                               65537, 2 * CHUNK, 3 * CHUNK - 1, 20 * CHUNK + 5};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* ---- Out ----------------------------------------------------------------------------------- */

static void a_stream_takes_what_a_file_would_hold(void **state) {
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        image one = image_make("trz", sizes[i]);
        image_outlet outlet = {0};
        km_map *map = taken_map(&one, "mapped", NULL);
        const km_snapshot_options how = {
            .chunk_size = CHUNK, .threads = 3, .write = image_write, .write_arg = &outlet};
        const km_snapshot_report report = taken(map, NULL, &how);
        assert_int_equal(report.packed_size, outlet.size);
        scratch_write("came out.gz", outlet.bytes, outlet.size);
        taken_holds("came out.gz", one.bytes, one.size);
        assert_int_equal(taken_facts("came out.gz").facts.source, KM_FORMAT_FILE);
        image_outlet_close(&outlet);
        km_close(map);
        image_free(&one);
    }
}

static void a_stream_that_takes_no_more_ends_it(void **state) {
    (void)state;
    image one = image_make("r", 20 * CHUNK);
    km_map *map = taken_map(&one, "too much", NULL);
    static const size_t rooms[] = {1, CHUNK, 10 * CHUNK, 20 * CHUNK};
    for (size_t i = 0; i < 4; i++) {
        image_outlet outlet = {.room = rooms[i]};
        const km_snapshot_options how = {
            .chunk_size = CHUNK, .threads = 3, .write = image_write, .write_arg = &outlet};
        taken_not(KM_E_NO_SPACE, map, NULL, &how);
        assert_non_null(strstr(km_error_message(), "KM_E_NO_SPACE"));
        image_outlet_close(&outlet);
    }
    km_close(map);
    image_free(&one);
}

/* ---- In ------------------------------------------------------------------------------------ */

static void a_stream_is_cut_into_chunks_however_it_comes(void **state) {
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        image one = image_make("trz", sizes[i]);
        for (uint32_t threads = 1; threads < 4; threads += 2) {
            snapshot_stream stream = {.bytes = one.bytes, .length = one.size};
            const km_snapshot_options how = {.flags = KM_SNAPSHOT_REPLACE,
                                             .chunk_size = CHUNK,
                                             .threads = threads,
                                             .read = snapshot_stream_read,
                                             .read_arg = &stream};
            const km_snapshot_report report = taken(NULL, "came in.gz", &how);
            assert_int_equal(report.size, sizes[i]);
            assert_int_equal(report.chunks, sizes[i] == 0 ? 1 : (sizes[i] + CHUNK - 1) / CHUNK);
            taken_holds("came in.gz", one.bytes, one.size);
            const km_reader told = taken_facts("came in.gz");
            assert_int_equal(told.facts.source, KM_FORMAT_STREAM);
            assert_true(told.total_from_footer);
        }
        image_free(&one);
    }
}

static void it_goes_from_stream_to_stream(void **state) {
    (void)state;
    image one = image_make("ttzr", 33 * CHUNK + 1);
    snapshot_stream stream = {.bytes = one.bytes, .length = one.size};
    image_outlet outlet = {0};
    taken_progress seen = {0};
    const km_snapshot_options how = {.chunk_size = CHUNK,
                                     .read = snapshot_stream_read,
                                     .read_arg = &stream,
                                     .write = image_write,
                                     .write_arg = &outlet,
                                     .progress = taken_note,
                                     .progress_arg = &seen};
    (void)taken(NULL, NULL, &how);
    scratch_write("through.gz", outlet.bytes, outlet.size);
    taken_holds("through.gz", one.bytes, one.size);
    assert_int_equal(seen.first, 0);
    assert_int_equal(seen.last, one.size);
    assert_true(seen.total == KM_SIZE_UNKNOWN);
    assert_false(seen.out_of_order);
    image_outlet_close(&outlet);
    image_free(&one);
}

static void a_stream_may_have_an_earlier_snapshot(void **state) {
    (void)state;
    image one = image_make("tr", 8 * CHUNK + 3);
    snapshot_stream stream = {.bytes = one.bytes, .length = one.size};
    km_snapshot_options how = {
        .chunk_size = CHUNK, .read = snapshot_stream_read, .read_arg = &stream};
    (void)taken(NULL, "stream 1.gz", &how);
    one.bytes[3 * CHUNK] ^= 1;
    stream.at = 0;
    how.since = "stream 1.gz";
    how.chunk_size = 0;
    assert_int_equal(taken(NULL, "stream 2.gz", &how).reused_chunks, 8);
    taken_holds("stream 2.gz", one.bytes, one.size);
    /* And it is one for a map, whose facts know their total. */
    km_map *map = taken_map(&one, "file", NULL);
    const km_snapshot_options since = {.since = "stream 2.gz"};
    assert_int_equal(taken(map, "stream 3.gz", &since).reused_chunks, 9);
    taken_holds("stream 3.gz", one.bytes, one.size);
    km_close(map);
    image_free(&one);
}

/* ---- Streams that fail --------------------------------------------------------------------- */

typedef struct failing_stream {
    size_t left;      /* bytes that it gives before... */
    km_status status; /* ...this; KM_OK: it claims more than was asked for */
} failing_stream;

static km_status failing_read(void *to, size_t length, size_t *done, void *arg) {
    failing_stream *stream = arg;
    *done = length < stream->left ? length : stream->left;
    memset(to, 'x', *done);
    stream->left -= *done;
    if (*done > 0) {
        return KM_OK;
    }
    *done = length + 1;
    return stream->status;
}

static void a_stream_that_fails_leaves_nothing(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, CHUNK, 10 * CHUNK + 7};
    for (size_t i = 0; i < 4; i++) {
        for (uint32_t threads = 1; threads < 4; threads += 2) {
            failing_stream stream = {.left = lengths[i], .status = KM_E_IO};
            const km_snapshot_options how = {
                .chunk_size = CHUNK, .threads = threads, .read = failing_read, .read_arg = &stream};
            taken_not(KM_E_IO, NULL, "failed.gz", &how);
            assert_non_null(strstr(km_error_message(), "KM_E_IO"));
            stream = (failing_stream){.left = lengths[i]};
            taken_not(KM_E_INVALID, NULL, "failed.gz", &how);
        }
    }
}

static void a_stream_can_be_cancelled(void **state) {
    (void)state;
    image one = image_make("tr", 20 * CHUNK);
    for (unsigned stop_at = 1; stop_at < 5; stop_at++) {
        snapshot_stream stream = {.bytes = one.bytes, .length = one.size};
        taken_progress seen = {.stop_at = stop_at};
        const km_snapshot_options how = {.chunk_size = CHUNK,
                                         .threads = 1,
                                         .read = snapshot_stream_read,
                                         .read_arg = &stream,
                                         .progress = taken_note,
                                         .progress_arg = &seen};
        taken_not(KM_E_CANCELLED, NULL, "cancelled.gz", &how);
        assert_int_equal(seen.calls, stop_at);
    }
    image_free(&one);
}

static void what_a_stream_cannot_have_is_refused(void **state) {
    (void)state;
    image one = image_make("t", 100);
    image_outlet outlet = {0};
    snapshot_stream stream = {.bytes = one.bytes, .length = one.size};
    km_map *map = taken_map(&one, "both", NULL);
    const km_snapshot_options from = {.read = snapshot_stream_read, .read_arg = &stream};
    const km_snapshot_options to = {.write = image_write, .write_arg = &outlet};
    taken_not(KM_E_INVALID, map, "both.gz", &from);
    taken_not(KM_E_INVALID, map, "both.gz", &to);
    static const uint32_t not_from[] = {KM_SNAPSHOT_TRACK, KM_SNAPSHOT_UNLOCKED};
    static const uint32_t not_to[] = {KM_SNAPSHOT_REPLACE, KM_SNAPSHOT_NO_SYNC};
    for (size_t i = 0; i < 2; i++) {
        km_snapshot_options wrong = from;
        wrong.flags = not_from[i];
        taken_not(KM_E_INVALID, NULL, "both.gz", &wrong);
        wrong = to;
        wrong.flags = not_to[i];
        taken_not(KM_E_INVALID, map, NULL, &wrong);
    }
    km_snapshot_options permitted = to;
    permitted.permissions = 0600;
    taken_not(KM_E_INVALID, map, NULL, &permitted);
    assert_int_equal(outlet.size, 0);
    assert_int_equal(stream.at, 0);
    km_close(map);
    image_free(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_takes_what_a_file_would_hold),
        cmocka_unit_test(a_stream_that_takes_no_more_ends_it),
        cmocka_unit_test(a_stream_is_cut_into_chunks_however_it_comes),
        cmocka_unit_test(it_goes_from_stream_to_stream),
        cmocka_unit_test(a_stream_may_have_an_earlier_snapshot),
        cmocka_unit_test(a_stream_that_fails_leaves_nothing),
        cmocka_unit_test(a_stream_can_be_cancelled),
        cmocka_unit_test(what_a_stream_cannot_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
