/*
 * test_inspect.c - km_inspect: what a snapshot says of itself, to whichever version of the struct.
 *
 * With other codecs: levels and stored chunks are told as they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "codec.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)65536)

static size_t write_snapshot(const char *path, const void *image, size_t size,
                             const snapshot_plan *plan) {
    size_t length = 0;
    unsigned char *bytes = snapshot_build(image, size, plan, &length);
    scratch_write(path, bytes, length);
    free(bytes);
    return length;
}

/* Three chunks of text, one of zeros, one of noise. */
static unsigned char *make_image(void) {
    unsigned char *image = calloc(5, CHUNK);
    assert_non_null(image);
    snapshot_text(image, 3 * CHUNK, 1);
    snapshot_noise(image + 4 * CHUNK, CHUNK, 2);
    return image;
}

static void a_snapshot_tells_what_it_is(void **state) {
    (void)state;
    const bool can_pack = km_codecs()[0] != NULL;
    const snapshot_plan plan = {.level = 6,
                                .source = KM_FORMAT_SEGMENT,
                                .id = 0xab,
                                .since = 0xcd,
                                .type = "test.counters",
                                .type_version = 3};
    unsigned char *image = make_image();
    km_snapshot_facts facts = {.struct_size = sizeof facts};
    const size_t length = write_snapshot("facts.gz", image, 5 * CHUNK, &plan);
    free(image);
    assert_int_equal(km_inspect("facts.gz", &facts), KM_OK);
    assert_int_equal(facts.struct_size, sizeof facts);
    assert_int_equal(facts.source, KM_SOURCE_SEGMENT);
    assert_int_equal(facts.size, 5 * CHUNK);
    assert_int_equal(facts.packed_size, length);
    assert_int_equal(facts.made_ns, UINT64_C(1700000000123456789));
    assert_int_equal(facts.chunks, 5);
    assert_int_equal(facts.zero_chunks, 1);
    assert_int_equal(facts.stored_chunks, can_pack ? 1 : 4);
    assert_int_equal(facts.chunk_size, CHUNK);
    assert_int_equal(facts.level, can_pack ? 6 : 0);
    for (size_t i = 0; i < KM_ID_SIZE; i++) {
        assert_int_equal(facts.id[i], 0xab);
        assert_int_equal(facts.since_id[i], 0xcd);
    }
    assert_int_equal(facts.type_version, 3);
    assert_int_equal(facts.source_volume, 2049); /* as the builder has them */
    assert_int_equal(facts.source_number, 131072);
    assert_string_equal(facts.type, "test.counters");
}

static void an_empty_image_is_one_stored_chunk(void **state) {
    (void)state;
    const snapshot_plan plan = {
        .total_unknown = true, .source = KM_FORMAT_STREAM, .chunk_shift = 24};
    km_snapshot_facts facts = {0};
    write_snapshot("empty.gz", "", 0, &plan);
    assert_int_equal(km_inspect("empty.gz", &facts), KM_OK);
    assert_int_equal(facts.source, KM_SOURCE_STREAM);
    assert_int_equal(facts.size, 0);
    assert_int_equal(facts.chunks, 1);
    assert_int_equal(facts.stored_chunks, 1);
    assert_int_equal(facts.chunk_size, 1 << 24);
    assert_string_equal(facts.type, "");
}

/* km_verify looks at them. */
static void damaged_chunks_are_not_its_business(void **state) {
    (void)state;
    size_t length = 0;
    km_snapshot_facts facts = {0};
    unsigned char *image = make_image();
    unsigned char *bytes = snapshot_build(image, 5 * CHUNK, NULL, &length);
    bytes[1000] ^= 1;
    scratch_write("chunk.gz", bytes, length);
    assert_int_equal(km_inspect("chunk.gz", &facts), KM_OK);
    assert_int_equal(km_verify("chunk.gz", NULL), KM_E_CORRUPT);
    free(bytes);
    free(image);
}

static void facts_index_and_end_are_its_business(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char image[1000] = {1};
    unsigned char *bytes = snapshot_build(image, sizeof image, NULL, &length);
    const size_t places[] = {50, 200, length - 150, length - 50, length - 5};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        km_snapshot_facts facts = {.size = 77};
        bytes[places[i]] ^= 1;
        scratch_write("places.gz", bytes, length);
        bytes[places[i]] ^= 1;
        if (places[i] == 200) { /* in the chunk */
            assert_int_equal(km_inspect("places.gz", &facts), KM_OK);
            continue;
        }
        assert_int_equal(km_inspect("places.gz", &facts), KM_E_CORRUPT);
        assert_int_equal(facts.size, 77);
        assert_non_null(strstr(km_error_message(), "places.gz"));
    }
    free(bytes);
}

static void failures_leave_the_facts_as_they_were(void **state) {
    (void)state;
    km_snapshot_facts facts = {.struct_size = sizeof facts, .size = 77};
    scratch_write("none.gz", "not a snapshot", 14);
    assert_int_equal(km_inspect("missing.gz", &facts), KM_E_NOT_FOUND);
    assert_int_equal(km_inspect("none.gz", &facts), KM_E_CORRUPT);
    assert_int_equal(km_inspect(NULL, &facts), KM_E_INVALID);
    assert_int_equal(km_inspect(".", &facts), KM_E_INVALID);
    facts.struct_size = 8;
    assert_int_equal(km_inspect("none.gz", &facts), KM_E_INVALID);
    assert_int_equal(facts.struct_size, 8);
    assert_int_equal(facts.size, 77);
}

static void a_newer_programs_struct_is_filled_as_far_as_we_know(void **state) {
    (void)state;
    struct {
        km_snapshot_facts facts;
        unsigned char more[40];
    } newer;
    memset(&newer, 0xee, sizeof newer);
    newer.facts.struct_size = sizeof newer;
    write_snapshot("newer.gz", "abc", 3, NULL);
    assert_int_equal(km_inspect("newer.gz", &newer.facts), KM_OK);
    assert_int_equal(newer.facts.struct_size, sizeof newer);
    assert_int_equal(newer.facts.size, 3);
    for (size_t i = 0; i < sizeof newer.more; i++) {
        assert_int_equal(newer.more[i], 0);
    }
}

/* The first version ended before source_volume; struct_size 0 means that one. */
static void an_older_programs_struct_is_filled_to_its_end_and_no_further(void **state) {
    (void)state;
    const size_t first = offsetof(km_snapshot_facts, source_volume);
    const uint32_t sizes[] = {0, (uint32_t)first};
    write_snapshot("older.gz", "abc", 3, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        km_snapshot_facts facts;
        memset(&facts, 0xee, sizeof facts);
        facts.struct_size = sizes[i];
        assert_int_equal(km_inspect("older.gz", &facts), KM_OK);
        assert_int_equal(facts.struct_size, sizes[i]);
        assert_int_equal(facts.size, 3);
        assert_string_equal(facts.type, "");
        const unsigned char *bytes = (const unsigned char *)&facts;
        for (size_t at = first; at < sizeof facts; at++) {
            assert_int_equal(bytes[at], 0xee);
        }
    }
    km_snapshot_facts facts = {.struct_size = (uint32_t)first - 1, .size = 77};
    assert_int_equal(km_inspect("older.gz", &facts), KM_E_INVALID);
    assert_int_equal(facts.size, 77);
}

static void who_wants_no_facts_asks_whether_they_are_there(void **state) {
    (void)state;
    write_snapshot("there.gz", "abc", 3, NULL);
    assert_int_equal(km_inspect("there.gz", NULL), KM_OK);
    assert_int_equal(km_inspect("not there.gz", NULL), KM_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_tells_what_it_is),
        cmocka_unit_test(an_empty_image_is_one_stored_chunk),
        cmocka_unit_test(damaged_chunks_are_not_its_business),
        cmocka_unit_test(facts_index_and_end_are_its_business),
        cmocka_unit_test(failures_leave_the_facts_as_they_were),
        cmocka_unit_test(a_newer_programs_struct_is_filled_as_far_as_we_know),
        cmocka_unit_test(an_older_programs_struct_is_filled_to_its_end_and_no_further),
        cmocka_unit_test(who_wants_no_facts_asks_whether_they_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
