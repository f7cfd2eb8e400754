/*
 * test_open_snapshot.c - km_open_snapshot: what a snapshot holds as a map, whether it is unpacked
 * at the open or when it is touched.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)64 << 10)
#define SMALL (3 * CHUNK + 777)  /* unpacked at the open, wherever */
#define LARGE (40 * CHUNK + 777) /* unpacked when it is touched, where the system can */

/* Text, noise, zeros and text again. */
static unsigned char *make_image(size_t size) {
    unsigned char *image = calloc(1, size);
    assert_non_null(image);
    snapshot_text(image, size / 3, 1);
    const size_t rest = size - size / 3;
    snapshot_noise(image + size / 3, rest < CHUNK + 5 ? rest : CHUNK + 5, 2);
    snapshot_text(image + size / 4 * 3, size - size / 4 * 3, 3);
    return image;
}

static unsigned char *make_snapshot(const char *name, size_t size) {
    size_t length = 0;
    unsigned char *image = make_image(size);
    unsigned char *snapshot =
        snapshot_build(image, size, &(snapshot_plan){.level = 1, .seed = 7}, &length);
    scratch_write(name, snapshot, length);
    free(snapshot);
    return image;
}

static km_map *open_snapshot(const char *name, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open_snapshot(&map, name, options), KM_OK);
    return map;
}

static const char own[] = {'o', 'w', 'n'}; /* what is stored into maps, and not a string */

static const km_options eager = {.flags = KM_OPEN_SEQUENTIAL};
static const km_options private_one = {.access = KM_PRIVATE};
static const km_options private_eager = {.access = KM_PRIVATE, .flags = KM_OPEN_SEQUENTIAL};

/* ---- What it shows -------------------------------------------------------------------------- */

static void a_map_of_a_snapshot_shows_what_it_holds(void **state) {
    (void)state;
    static const size_t sizes[] = {1, CHUNK - 1, CHUNK, CHUNK + 1, SMALL, LARGE};
    const km_options *const ways[] = {NULL, &eager, &private_one, &private_eager};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *image = make_snapshot("shown", sizes[i]);
        for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            km_map *map = open_snapshot("shown", ways[way]);
            assert_int_equal(km_size(map), sizes[i]);
            assert_string_equal(km_path(map), "shown");
            assert_false(km_created(map));
            assert_memory_equal(km_data(map), image, sizes[i]);
            assert_int_equal(km_close(map), KM_OK);
        }
        free(image);
    }
}

static void an_empty_image_is_an_empty_map(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = snapshot_build("", 0, NULL, &length);
    scratch_write("empty", snapshot, length);
    free(snapshot);
    km_map *map = open_snapshot("empty", NULL);
    assert_int_equal(km_size(map), 0);
    assert_null(km_data(map));
    assert_int_equal(km_close(map), KM_OK);
}

static void it_can_be_read_here_and_there(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("random", LARGE);
    km_map *map = open_snapshot("random", &(km_options){.flags = KM_OPEN_RANDOM});
    const unsigned char *data = km_data(map);
    for (size_t i = 0; i < 1000; i++) {
        const size_t at = i * 2654435761u % LARGE;
        assert_int_equal(data[at], image[at]);
    }
    assert_int_equal(km_close(map), KM_OK);
    free(image);
}

static void a_part_may_begin_and_end_anywhere(void **state) {
    (void)state;
    static const struct {
        size_t offset, length;
    } parts[] = {
        {1, 1},         {CHUNK - 1, 2},      {CHUNK, CHUNK}, {5 * CHUNK + 3, 20 * CHUNK},
        {LARGE - 1, 1}, {20 * CHUNK + 1, 0},
    };
    unsigned char *image = make_snapshot("part", LARGE);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t length = parts[i].length ? parts[i].length : LARGE - parts[i].offset;
        km_map *map = open_snapshot(
            "part", &(km_options){.offset = parts[i].offset, .length = parts[i].length});
        assert_int_equal(km_size(map), length);
        assert_memory_equal(km_data(map), image + parts[i].offset, length);
        assert_int_equal(km_close(map), KM_OK);
    }
    free(image);
}

static void a_window_outlives_the_map_it_was_made_from(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("window", LARGE);
    km_map *map = open_snapshot("window", NULL);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 3 * CHUNK + 9, 25 * CHUNK), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
    assert_memory_equal(km_data(window), image + 3 * CHUNK + 9, 25 * CHUNK);
    assert_int_equal(km_close(window), KM_OK);
    free(image);
}

static void a_window_past_the_end_is_refused(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("past", LARGE);
    km_map *map = open_snapshot("past", NULL);
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, LARGE - 1, 2), KM_E_TRUNCATED);
    assert_null(window);
    assert_int_equal(km_open_snapshot(&window, "past", &(km_options){.offset = LARGE + 1}),
                     KM_E_TRUNCATED);
    assert_null(window);
    km_close(map);
    free(image);
}

/* ---- Stores ---------------------------------------------------------------------------------- */

static void private_stores_reach_neither_the_file_nor_another_map(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("private", LARGE);
    for (int way = 0; way < 2; way++) {
        km_map *one = open_snapshot("private", way ? &private_eager : &private_one);
        km_map *other = open_snapshot("private", way ? &private_eager : &private_one);
        km_map *window = NULL;
        memset((char *)km_data(one) + 10 * CHUNK, 'X', 2 * CHUNK);
        assert_int_equal(km_window(&window, one, 10 * CHUNK, 2 * CHUNK), KM_OK);
        assert_memory_equal(km_data(other), image, LARGE);
        assert_memory_equal(km_data(window), image + 10 * CHUNK, 2 * CHUNK);
        assert_int_equal(((unsigned char *)km_data(one))[12 * CHUNK - 1], 'X');
        assert_memory_equal((char *)km_data(one) + 12 * CHUNK, image + 12 * CHUNK,
                            LARGE - 12 * CHUNK);
        km_close(window);
        km_close(one);
        km_close(other);
    }
    assert_int_equal(km_verify("private", NULL), KM_OK);
    free(image);
}

static void km_write_stores_where_nothing_was_touched_yet(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("written", LARGE);
    km_map *map = open_snapshot("written", &private_one);
    assert_int_equal(km_write(map, 7 * CHUNK - 2, own, sizeof own), KM_OK);
    memcpy(image + 7 * CHUNK - 2, own, sizeof own);
    assert_memory_equal(km_data(map), image, LARGE);
    km_close(map);
    map = open_snapshot("written", NULL);
    assert_int_equal(km_write(map, 0, "x", 1), KM_E_ACCESS);
    km_close(map);
    free(image);
}

/* ---- The other calls ------------------------------------------------------------------------- */

static void km_read_needs_nothing_touched_before(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("read", LARGE);
    unsigned char *found = malloc(LARGE);
    km_map *map = open_snapshot("read", NULL);
    assert_non_null(found);
    assert_int_equal(km_read(map, 5, found, LARGE - 5), KM_OK);
    assert_memory_equal(found, image + 5, LARGE - 5);
    km_close(map);
    free(found);
    free(image);
}

static void a_copy_of_it_is_the_image_with_its_private_stores(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("copied", LARGE);
    km_map *map = open_snapshot("copied", &private_one);
    memcpy((char *)km_data(map) + 100, own, sizeof own);
    memcpy(image + 100, own, sizeof own);
    assert_int_equal(km_copy(map, "copy", NULL), KM_OK);
    assert_true(scratch_equals("copy", image, LARGE));
    assert_int_equal(km_close(map), KM_OK);
    free(image);
}

static void a_snapshot_of_it_holds_the_image_with_its_private_stores(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("again", LARGE);
    km_map *map = open_snapshot("again", &private_one);
    memcpy((char *)km_data(map) + 9 * CHUNK, own, sizeof own);
    memcpy(image + 9 * CHUNK, own, sizeof own);
    assert_int_equal(km_snapshot(map, "second", NULL), KM_OK);
    km_close(map);
    map = open_snapshot("second", NULL);
    assert_memory_equal(km_data(map), image, LARGE);
    km_close(map);
    free(image);
}

static void it_does_not_lock_resize_or_need_flushing(void **state) {
    (void)state;
    free(make_snapshot("fixed", LARGE));
    km_map *map = open_snapshot("fixed", &private_one);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_E_UNSUPPORTED);
    assert_int_equal(km_resize(map, CHUNK), KM_E_UNSUPPORTED);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    for (int advice = KM_ADVICE_NORMAL; advice <= KM_ADVICE_COLD; advice++) {
        assert_int_equal(km_advise(map, 0, 0, (km_advice)advice), KM_OK);
    }
    km_close(map);
}

static void cold_advice_loses_nothing(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("cold", LARGE);
    for (int way = 0; way < 2; way++) {
        km_map *map = open_snapshot("cold", way ? &private_one : NULL);
        assert_memory_equal(km_data(map), image, LARGE);
        if (way) {
            memcpy(km_data(map), own, sizeof own);
        }
        assert_int_equal(km_advise(map, 0, 0, KM_ADVICE_COLD), KM_OK);
        assert_memory_equal(km_data(map), way ? (const void *)own : image, 3);
        assert_memory_equal((char *)km_data(map) + 3, image + 3, LARGE - 3);
        km_close(map);
    }
    free(image);
}

static void km_check_looks_at_the_snapshot_file(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *image = make_image(LARGE);
    unsigned char *snapshot = snapshot_build(image, LARGE, &(snapshot_plan){.level = 1}, &length);
    km_size_report report = {0};
    scratch_write("checked", snapshot, length);
    km_map *map = open_snapshot("checked", &eager);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.actual, LARGE);
    assert_int_equal(report.declared, LARGE);
    assert_int_equal(report.mapped, LARGE);
    assert_int_equal(report.expected, KM_SIZE_UNKNOWN);
    assert_int_equal(report.findings, 0);
    scratch_write("checked", snapshot, length - 1);
    assert_int_equal(km_check(map, &report), KM_E_TRUNCATED);
    assert_int_equal(report.findings & KM_SIZE_TRUNCATED, KM_SIZE_TRUNCATED);
    km_close(map);
    free(snapshot);
    free(image);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void options_that_make_no_sense_for_a_snapshot_are_refused(void **state) {
    (void)state;
    static const km_options refused[] = {
        {.access = KM_WRITE},
        {.reserve = LARGE * 2},
        {.flags = KM_OPEN_CREATE},
        {.flags = KM_OPEN_NEW},
        {.flags = KM_OPEN_SOLE},
        {.flags = KM_OPEN_SPARSE},
        {.flags = KM_OPEN_MACHINE_WIDE},
        {.flags = KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL},
        {.permissions = 0600},
        {.type = "tag"},
        {.type_version = 1},
    };
    free(make_snapshot("refused", SMALL));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        km_map *map = NULL;
        assert_int_equal(km_open_snapshot(&map, "refused", &refused[i]), KM_E_INVALID);
        assert_null(map);
    }
    assert_int_equal(km_open_snapshot(NULL, "refused", NULL), KM_E_INVALID);
}

static void the_size_asked_for_is_checked(void **state) {
    (void)state;
    free(make_snapshot("size", SMALL));
    km_map *map = NULL;
    km_options options = {.size = SMALL + 1};
    assert_int_equal(km_open_snapshot(&map, "size", &options), KM_E_TRUNCATED);
    options = (km_options){.size = SMALL - 1, .flags = KM_OPEN_EXACT};
    assert_int_equal(km_open_snapshot(&map, "size", &options), KM_E_MISMATCH);
    assert_null(map);
    options.size = SMALL;
    map = open_snapshot("size", &options);
    km_close(map);
}

static void what_is_no_snapshot_is_refused(void **state) {
    (void)state;
    km_map *map = NULL;
    scratch_file("plain", LARGE, 1);
    scratch_write("nothing", "", 0);
    assert_int_equal(km_open_snapshot(&map, "plain", NULL), KM_E_CORRUPT);
    assert_int_equal(km_open_snapshot(&map, "nothing", NULL), KM_E_CORRUPT);
    assert_int_equal(km_open_snapshot(&map, "missing", NULL), KM_E_NOT_FOUND);
    assert_int_equal(km_open_snapshot(&map, ".", NULL), KM_E_INVALID);
    assert_int_equal(km_open_snapshot(&map, NULL, NULL), KM_E_INVALID);
    assert_null(map);
    assert_false(km_is_snapshot("plain"));
    assert_false(km_is_snapshot("nothing"));
    assert_false(km_is_snapshot("missing"));
    assert_false(km_is_snapshot(NULL));
}

/* Its end is one of a file so long; behind anything else it is not. */
static void what_has_lost_its_beginning_is_a_snapshot_by_its_end(void **state) {
    (void)state;
    unsigned char image[1000] = {1};
    size_t length = 0;
    unsigned char *snapshot = snapshot_build(image, sizeof image, NULL, &length);
    unsigned char *moved = malloc(length + 1);
    assert_non_null(moved);
    memset(moved, 0, length + 1);
    memcpy(moved + 1, snapshot, length);
    scratch_write("moved", moved, length + 1);
    assert_false(km_is_snapshot("moved"));
    memset(snapshot, 0, 64);
    scratch_write("headless", snapshot, length);
    assert_true(km_is_snapshot("headless"));
    scratch_write("neither", snapshot, length - 1);
    assert_false(km_is_snapshot("neither"));
    free(moved);
    free(snapshot);
}

/* In the middle of the noise's body, where only sums can tell. */
static size_t damage(const char *name, size_t size) {
    snapshot_member members[64];
    size_t length = 0;
    unsigned char *image = make_image(size);
    unsigned char *snapshot = snapshot_build(image, size, &(snapshot_plan){.level = 1}, &length);
    const size_t chunk = (size / 3 + CHUNK / 2) / CHUNK;
    assert_in_range(snapshot_members(snapshot, length, members, 64), chunk + 1, 64);
    snapshot[members[chunk].offset + members[chunk].length / 2] ^= 4;
    scratch_write(name, snapshot, length);
    free(snapshot);
    free(image);
    return chunk;
}

static void a_damaged_chunk_is_found_where_all_is_unpacked_at_the_open(void **state) {
    (void)state;
    km_map *map = NULL;
    const size_t chunk = damage("damaged", LARGE);
    char words[32];
    (void)snprintf(words, sizeof words, "chunk %u", (unsigned)chunk);
    assert_int_equal(km_open_snapshot(&map, "damaged", &eager), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), words));
    assert_null(map);
    assert_true(km_is_snapshot("damaged"));
}

static void a_damaged_chunk_is_an_error_to_km_read_and_the_others_are_there(void **state) {
    (void)state;
    km_map *map = NULL;
    unsigned char found[16];
    unsigned char *image = make_image(LARGE);
    const size_t chunk = damage("lazily", LARGE);
    const km_status status = km_open_snapshot(&map, "lazily", NULL);
    if (status == KM_E_CORRUPT) { /* all was unpacked at the open */
        free(image);
        skip();
        return;
    }
    assert_int_equal(status, KM_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(km_read(map, chunk * CHUNK + 8, found, sizeof found), KM_E_CORRUPT);
        assert_non_null(strstr(km_error_message(), "lazily"));
    }
    assert_int_equal(km_read(map, (chunk + 1) * CHUNK, found, sizeof found), KM_OK);
    assert_memory_equal(found, image + (chunk + 1) * CHUNK, sizeof found);
    assert_int_equal(km_copy(map, "no copy", NULL), KM_E_CORRUPT);
    assert_int_equal(scratch_size("no copy"), -1);
    assert_int_equal(km_snapshot(map, "no snapshot", NULL), KM_E_CORRUPT);
    assert_int_equal(scratch_size("no snapshot"), -1);
    assert_int_equal(km_close(map), KM_OK);
    free(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_of_a_snapshot_shows_what_it_holds),
        cmocka_unit_test(an_empty_image_is_an_empty_map),
        cmocka_unit_test(it_can_be_read_here_and_there),
        cmocka_unit_test(a_part_may_begin_and_end_anywhere),
        cmocka_unit_test(a_window_outlives_the_map_it_was_made_from),
        cmocka_unit_test(a_window_past_the_end_is_refused),
        cmocka_unit_test(private_stores_reach_neither_the_file_nor_another_map),
        cmocka_unit_test(km_write_stores_where_nothing_was_touched_yet),
        cmocka_unit_test(km_read_needs_nothing_touched_before),
        cmocka_unit_test(a_copy_of_it_is_the_image_with_its_private_stores),
        cmocka_unit_test(a_snapshot_of_it_holds_the_image_with_its_private_stores),
        cmocka_unit_test(it_does_not_lock_resize_or_need_flushing),
        cmocka_unit_test(cold_advice_loses_nothing),
        cmocka_unit_test(km_check_looks_at_the_snapshot_file),
        cmocka_unit_test(options_that_make_no_sense_for_a_snapshot_are_refused),
        cmocka_unit_test(the_size_asked_for_is_checked),
        cmocka_unit_test(what_is_no_snapshot_is_refused),
        cmocka_unit_test(what_has_lost_its_beginning_is_a_snapshot_by_its_end),
        cmocka_unit_test(a_damaged_chunk_is_found_where_all_is_unpacked_at_the_open),
        cmocka_unit_test(a_damaged_chunk_is_an_error_to_km_read_and_the_others_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
