/*
 * test_restore_range.c - restoring a part of the image: just that part, from just its chunks.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/restore_image.h"
#include "support/scratch.h"

#define CHUNK ((uint64_t)IMAGE_CHUNK)
#define SIZE (7 * CHUNK + 1234)

typedef struct range {
    uint64_t offset, length; /* length 0: to the end */
} range;

/* Inside one chunk, at and around its edges, across several, whole, of zeros, to the end. */
static const range ranges[] = {
    {0, 0},
    {0, 1},
    {0, CHUNK},
    {1, CHUNK - 1},
    {100, 1000},
    {CHUNK - 1, 1},
    {CHUNK - 1, 2},
    {CHUNK, CHUNK},
    {CHUNK, 1},
    {CHUNK - 5, 3 * CHUNK},
    {2 * CHUNK, CHUNK + 7},
    {2 * CHUNK + 3, 4 * CHUNK},
    {6 * CHUNK + 5, 0},
    {7 * CHUNK, 0},
    {7 * CHUNK + 1233, 1},
    {SIZE - 1, 0},
    {0, SIZE},
    {SIZE, 0},
};
#define RANGES (sizeof ranges / sizeof ranges[0])

static size_t length_of(const range *one) {
    return (size_t)(one->length != 0 ? one->length : SIZE - one->offset);
}

static km_restore_options options_of(const range *one) {
    return (km_restore_options){.offset = one->offset, .length = one->length, .threads = 2};
}

static int make_snapshots(void **state) {
    static image one;
    snapshot_plan plan = {.level = 1, .total_unknown = true};
    one = image_make("trz", SIZE);
    image_snapshot(&one, "known.kms", NULL);
    image_snapshot(&one, "unknown.kms", &plan);
    *state = &one;
    return 0;
}

static int free_image(void **state) {
    image_free(*state);
    return 0;
}

static void a_file_has_just_the_range(void **state) {
    const image *one = *state;
    for (size_t i = 0; i < RANGES; i++) {
        km_restore_options options = options_of(&ranges[i]);
        assert_int_equal(km_restore("known.kms", "range", &options), KM_OK);
        assert_true(image_is_file(one, (size_t)ranges[i].offset, length_of(&ranges[i]), "range"));
        scratch_remove("range");
    }
}

static void a_stream_has_just_the_range(void **state) {
    const image *one = *state;
    for (size_t i = 0; i < RANGES; i++) {
        image_outlet outlet = {.size = 0};
        km_restore_options options = options_of(&ranges[i]);
        options.write = image_write;
        options.write_arg = &outlet;
        assert_int_equal(km_restore("known.kms", NULL, &options), KM_OK);
        assert_int_equal(outlet.size, length_of(&ranges[i]));
        if (outlet.size > 0) {
            assert_memory_equal(outlet.bytes, one->bytes + ranges[i].offset, outlet.size);
        }
        image_outlet_close(&outlet);
    }
}

static void memory_has_just_the_range(void **state) {
    const image *one = *state;
    for (size_t i = 0; i < RANGES; i++) {
        const size_t length = length_of(&ranges[i]);
        unsigned char *memory = malloc(length + 1);
        km_restore_options options = options_of(&ranges[i]);
        assert_non_null(memory);
        memset(memory, 0x77, length + 1);
        assert_int_equal(km_restore_memory("known.kms", memory, length, &options), KM_OK);
        assert_true(length == 0 || memcmp(memory, one->bytes + ranges[i].offset, length) == 0);
        assert_int_equal(memory[length], 0x77);
        free(memory);
    }
}

/* What a range takes from a snapshot that comes in a stream. */
static void from_stream(const char *snapshot, const image *one) {
    size_t length = 0;
    unsigned char *bytes = image_load(snapshot, &length);
    for (size_t i = 0; i < RANGES; i++) {
        snapshot_stream inlet = {.bytes = bytes, .length = length};
        km_restore_options options = options_of(&ranges[i]);
        options.read = snapshot_stream_read;
        options.read_arg = &inlet;
        assert_int_equal(km_restore(NULL, "range", &options), KM_OK);
        assert_true(image_is_file(one, (size_t)ranges[i].offset, length_of(&ranges[i]), "range"));
        assert_int_equal(inlet.at, length);
        scratch_remove("range");
    }
    free(bytes);
}

static void a_range_of_a_stream_is_just_the_range(void **state) {
    from_stream("known.kms", *state);
    from_stream("unknown.kms", *state);
}

static void only_the_chunks_in_the_range_are_read(void **state) {
    const image *one = *state;
    size_t length = 0;
    unsigned char *bytes = image_load("known.kms", &length);
    scratch_write("partly.kms", bytes, length);
    free(bytes);
    /* Chunk 0's head has the facts, which everybody reads; its packed bytes are damaged. */
    image_damage("partly.kms", image_member("known.kms", 1) - 20);
    image_damage("partly.kms", image_member("known.kms", 4) + 60);
    km_restore_options options = {.offset = CHUNK, .length = 3 * CHUNK};
    assert_int_equal(km_restore("partly.kms", "partly", &options), KM_OK);
    assert_true(image_is_file(one, (size_t)CHUNK, (size_t)(3 * CHUNK), "partly"));
    scratch_remove("partly");
    options.length++;
    assert_int_equal(km_restore("partly.kms", "partly", &options), KM_E_CORRUPT);
    options = (km_restore_options){.offset = CHUNK - 1, .length = 1};
    assert_int_equal(km_restore("partly.kms", "partly", &options), KM_E_CORRUPT);
    assert_int_equal(scratch_size("partly"), -1);
}

static void a_range_past_the_end_is_truncated(void **state) {
    (void)state;
    static const range past[] = {
        {SIZE, 1},       {SIZE + 1, 0},   {0, SIZE + 1},   {SIZE - 1, 2},
        {UINT64_MAX, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {0, UINT64_MAX - 1},
    };
    static const char *const names[] = {"known.kms", "unknown.kms"};
    char memory[2];
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        km_restore_options options = options_of(&past[i]);
        assert_int_equal(km_restore("known.kms", "past", &options), KM_E_TRUNCATED);
        assert_non_null(strstr(km_error_message(), "459986"));
        assert_int_equal(km_restore_memory("known.kms", memory, sizeof memory, &options),
                         KM_E_TRUNCATED);
        for (size_t n = 0; n < 2; n++) {
            size_t length = 0;
            unsigned char *bytes = image_load(names[n], &length);
            snapshot_stream inlet = {.bytes = bytes, .length = length};
            options.read = snapshot_stream_read;
            options.read_arg = &inlet;
            assert_int_equal(km_restore(NULL, "past", &options), KM_E_TRUNCATED);
            free(bytes);
        }
        assert_int_equal(scratch_size("past"), -1);
    }
}

/* It was not asked for any number of bytes, so the sentence has none. */
static void who_wants_all_from_past_the_end_on_is_told_from_where(void **state) {
    (void)state;
    const km_restore_options options = {.offset = SIZE + 1};
    assert_int_equal(km_restore("known.kms", "past", &options), KM_E_TRUNCATED);
    assert_non_null(strstr(km_error_message(), "from byte 459987 on: "));
}

static void of_an_empty_image_there_is_only_the_empty_range(void **state) {
    (void)state;
    image empty = image_make("t", 0);
    km_restore_options options = {.offset = 0};
    image_snapshot(&empty, "empty.kms", NULL);
    assert_int_equal(km_restore("empty.kms", "empty", &options), KM_OK);
    assert_int_equal(scratch_size("empty"), 0);
    assert_int_equal(km_restore_memory("empty.kms", NULL, 0, NULL), KM_OK);
    options.offset = 1;
    options.flags = KM_RESTORE_REPLACE;
    assert_int_equal(km_restore("empty.kms", "empty", &options), KM_E_TRUNCATED);
    image_free(&empty);
}

static void zeros_of_a_range_are_holes_of_its_own_file(void **state) {
    (void)state;
    uint64_t written = 0;
    image one = image_make("rzzz", 8 * IMAGE_CHUNK);
    image_snapshot(&one, "shifted.kms", NULL);
    /* Its zeros begin and end in the middle of the target's blocks, and are left out all the same.
     */
    km_restore_options options = {.offset = 1000, .written = &written};
    assert_int_equal(km_restore("shifted.kms", "shifted", &options), KM_OK);
    assert_true(image_is_file(&one, 1000, one.size - 1000, "shifted"));
    assert_int_equal(written, 2 * IMAGE_CHUNK - 1000);
    image_free(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_just_the_range),
        cmocka_unit_test(a_stream_has_just_the_range),
        cmocka_unit_test(memory_has_just_the_range),
        cmocka_unit_test(a_range_of_a_stream_is_just_the_range),
        cmocka_unit_test(only_the_chunks_in_the_range_are_read),
        cmocka_unit_test(a_range_past_the_end_is_truncated),
        cmocka_unit_test(who_wants_all_from_past_the_end_on_is_told_from_where),
        cmocka_unit_test(of_an_empty_image_there_is_only_the_empty_range),
        cmocka_unit_test(zeros_of_a_range_are_holes_of_its_own_file),
    };
    return cmocka_run_group_tests(tests, make_snapshots, free_image);
}
