/*
 * test_verify.c - km_verify: snapshots of all sizes are good, from files and streams, with any
 * number of threads; what is wrong is said with its place.
 *
 * With other codecs: what cannot be unpacked is told apart from what is damaged.
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
#define MEMBERS 64

typedef struct sample {
    unsigned char *bytes;
    size_t length;
    size_t size; /* of the image */
    snapshot_member members[MEMBERS];
    size_t member_count;
} sample;

/* Chunks of text, zeros and noise in turn. */
static sample make_sample(size_t size, const snapshot_plan *plan) {
    sample made = {.size = size};
    unsigned char *image = calloc(1, size + 1);
    assert_non_null(image);
    for (size_t at = 0; at < size; at += CHUNK) {
        const size_t length = size - at < CHUNK ? size - at : CHUNK;
        if (at / CHUNK % 3 == 0) {
            snapshot_text(image + at, length, (unsigned)at);
        } else if (at / CHUNK % 3 == 2) {
            snapshot_noise(image + at, length, (unsigned)at);
        }
    }
    made.bytes = snapshot_build(image, size, plan, &made.length);
    free(image);
    made.member_count = snapshot_members(made.bytes, made.length, made.members, MEMBERS);
    return made;
}

static km_status verify_stream(const sample *one, km_verify_options options) {
    snapshot_stream stream = {.bytes = one->bytes, .length = one->length};
    options.read = snapshot_stream_read;
    options.read_arg = &stream;
    return km_verify(NULL, &options);
}

static km_status verify_file(const sample *one, km_verify_options options) {
    scratch_write("snapshot.gz", one->bytes, one->length);
    return km_verify("snapshot.gz", &options);
}

static void expect_words(const char *words) {
    if (strstr(km_error_message(), words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, km_error_message());
    }
}

/* ---- What is good -------------------------------------------------------------------------- */

static void snapshots_of_all_sizes_are_good(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int level = 0; level <= 1; level++) {
            const snapshot_plan plan = {.level = level, .total_unknown = level == 1};
            sample one = make_sample(sizes[i], &plan);
            for (uint32_t threads = 0; threads <= 4; threads += 2) {
                for (uint32_t flags = 0; flags <= KM_VERIFY_QUICK; flags++) {
                    const km_verify_options options = {.threads = threads, .flags = flags};
                    assert_int_equal(verify_file(&one, options), KM_OK);
                    assert_int_equal(verify_stream(&one, options), KM_OK);
                }
            }
            free(one.bytes);
        }
    }
    assert_int_equal(km_verify("snapshot.gz", NULL), KM_OK);
}

static void chunks_of_other_sizes_are_good(void **state) {
    (void)state;
    for (uint8_t shift = 17; shift <= KM_CHUNK_SHIFT_MAX; shift++) {
        const snapshot_plan plan = {.level = 1, .chunk_shift = shift};
        sample one = make_sample(9 * CHUNK + 1, &plan);
        assert_int_equal(verify_file(&one, (km_verify_options){0}), KM_OK);
        assert_int_equal(verify_stream(&one, (km_verify_options){0}), KM_OK);
        free(one.bytes);
    }
}

/* 454 entries are the most that a member of the index has. */
static void an_index_of_two_members_is_read_and_checked(void **state) {
    (void)state;
    static const km_verify_options options = {.threads = 3};
    const size_t size = 455 * CHUNK;
    unsigned char *image = calloc(1, size);
    sample one = {.size = size};
    assert_non_null(image);
    snapshot_text(image + 454 * CHUNK, CHUNK, 3);
    one.bytes = snapshot_build(image, size, NULL, &one.length);
    free(image);
    assert_int_equal(verify_file(&one, options), KM_OK);
    assert_int_equal(verify_stream(&one, options), KM_OK);
    const size_t second = one.length - KM_FORMAT_FOOTER_SIZE - KM_FORMAT_INDEX_SIZE(1);
    one.bytes[second + 32] ^= 1;
    assert_int_equal(verify_file(&one, options), KM_E_CORRUPT);
    assert_int_equal(verify_stream(&one, options), KM_E_CORRUPT);
    one.bytes[second + 32] ^= 1;
    one.bytes[second - KM_FORMAT_INDEX_SIZE_MAX - 1] ^= 1; /* the end of the last chunk */
    assert_int_equal(verify_file(&one, options), KM_E_CORRUPT);
    expect_words("chunk 454");
    assert_int_equal(verify_stream(&one, options), KM_E_CORRUPT);
    expect_words("chunk 454");
    free(one.bytes);
}

/* ---- What is not --------------------------------------------------------------------------- */

static void the_first_damaged_chunk_is_named_with_its_place(void **state) {
    (void)state;
    const snapshot_plan plan = {.level = 1};
    sample one = make_sample(20 * CHUNK, &plan);
    for (size_t chunk = 5; chunk < 20; chunk += 3) {
        one.bytes[one.members[chunk].offset + one.members[chunk].length - 12] ^= 4;
    }
    for (uint32_t threads = 1; threads <= 4; threads++) {
        const km_verify_options options = {.threads = threads};
        assert_int_equal(verify_file(&one, options), KM_E_CORRUPT);
        expect_words("chunk 5 of \"snapshot.gz\" (bytes 327680 up to 393216 of the image)");
        expect_words("its packed bytes are damaged");
        assert_int_equal(verify_stream(&one, options), KM_E_CORRUPT);
        expect_words("chunk 5");
    }
    free(one.bytes);
}

static void the_place_of_the_last_chunk_ends_with_the_image(void **state) {
    (void)state;
    const km_verify_options options = {.threads = 1};
    sample one = make_sample(CHUNK + 5, NULL);
    one.bytes[one.members[1].offset + one.members[1].length - 12] ^= 4;
    assert_int_equal(verify_file(&one, options), KM_E_CORRUPT);
    expect_words("chunk 1 of \"snapshot.gz\" (bytes 65536 up to 65541 of the image)");
    free(one.bytes);
}

/* Everything else agrees: only who unpacks and hashes can know. */
static void a_hash_that_lies_is_found_unless_the_check_is_quick(void **state) {
    (void)state;
    const snapshot_plan plan = {.level = 1};
    for (size_t chunk = 0; chunk < 3; chunk++) {
        sample one = make_sample(3 * CHUNK, &plan);
        one.bytes[one.members[3].offset + 32 + 36 * chunk + 20] ^= 1;
        snapshot_seal(one.bytes, one.members, one.member_count);
        for (uint32_t threads = 1; threads <= 3; threads += 2) {
            const km_verify_options whole = {.threads = threads};
            const km_verify_options quick = {.threads = threads, .flags = KM_VERIFY_QUICK};
            assert_int_equal(verify_file(&one, whole), KM_E_CORRUPT);
            expect_words("its bytes are not those of the index");
            assert_int_equal(verify_stream(&one, whole), KM_E_CORRUPT);
            expect_words("its bytes are not those of the index");
            assert_int_equal(verify_file(&one, quick), KM_OK);
            assert_int_equal(verify_stream(&one, quick), KM_OK);
        }
        free(one.bytes);
    }
}

/* The sums of head and index are made anew for bytes that are no chunk any more. */
static void packed_bytes_that_lie_are_found_unless_the_check_is_quick(void **state) {
    (void)state;
    const snapshot_plan plan = {.level = 1};
    for (size_t chunk = 0; chunk < 3; chunk++) {
        sample one = make_sample(3 * CHUNK, &plan);
        const snapshot_member *member = &one.members[chunk];
        unsigned char *head = one.bytes + member->offset;
        const size_t head_size = km_format_head_size(chunk);
        head[member->length - 5] ^= 1; /* the CRC */
        const uint64_t sum = km_checksum(head + head_size, member->length - head_size);
        snapshot_put(head + 36, 8, sum);
        snapshot_put(one.bytes + one.members[3].offset + 32 + 36 * chunk + 12, 8, sum);
        snapshot_seal(one.bytes, one.members, one.member_count);
        const km_verify_options quick = {.flags = KM_VERIFY_QUICK};
        assert_int_equal(verify_file(&one, (km_verify_options){0}), KM_E_CORRUPT);
        assert_int_equal(verify_stream(&one, (km_verify_options){0}), KM_E_CORRUPT);
        expect_words("of the stream");
        assert_int_equal(verify_file(&one, quick), KM_OK);
        assert_int_equal(verify_stream(&one, quick), KM_OK);
        free(one.bytes);
    }
}

/* Zeros that do not say so are deflate like any other. */
static void what_nothing_unpacks_is_unsupported_and_not_damaged(void **state) {
    (void)state;
    const bool can_unpack = km_codecs()[0] != NULL;
    const km_status expected = can_unpack ? KM_OK : KM_E_UNSUPPORTED;
    sample one = make_sample(3 * CHUNK, NULL);
    one.bytes[one.members[1].offset + 18] = 0;
    one.bytes[one.members[3].offset + 32 + 36 + 8] = 0;
    snapshot_seal(one.bytes, one.members, one.member_count);
    assert_int_equal(verify_file(&one, (km_verify_options){0}), expected);
    assert_int_equal(verify_stream(&one, (km_verify_options){0}), expected);
    if (!can_unpack) {
        expect_words("zlib");
    }
    free(one.bytes);
}

static void what_is_not_there_is_not_found(void **state) {
    (void)state;
    assert_int_equal(km_verify("missing.gz", NULL), KM_E_NOT_FOUND);
    expect_words("missing.gz");
}

static km_status failing_read(void *to, size_t length, size_t *done, void *arg) {
    snapshot_stream *stream = arg;
    return stream->at < stream->length ? snapshot_stream_read(to, length, done, stream) : KM_E_IO;
}

static void what_the_stream_fails_with_comes_back(void **state) {
    (void)state;
    sample one = make_sample(5 * CHUNK, NULL);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        for (size_t length = 0; length < one.length; length += 9999) {
            snapshot_stream stream = {.bytes = one.bytes, .length = length};
            const km_verify_options options = {
                .threads = threads, .read = failing_read, .read_arg = &stream};
            assert_int_equal(km_verify(NULL, &options), KM_E_IO);
        }
    }
    free(one.bytes);
}

/* ---- Options ------------------------------------------------------------------------------- */

static void options_that_make_no_sense_are_invalid(void **state) {
    (void)state;
    const km_verify_options both = {.read = snapshot_stream_read};
    const km_verify_options unknown = {.flags = 0x80};
    const km_verify_options short_one = {.struct_size = 4};
    assert_int_equal(km_verify(NULL, NULL), KM_E_INVALID);
    assert_int_equal(km_verify("snapshot.gz", &both), KM_E_INVALID);
    assert_int_equal(km_verify("snapshot.gz", &unknown), KM_E_INVALID);
    assert_int_equal(km_verify("snapshot.gz", &short_one), KM_E_INVALID);
    assert_int_equal(km_verify("", NULL), KM_E_INVALID);
}

typedef struct told {
    uint64_t calls, first, last, total;
    uint64_t enough; /* calls after which it says so; 0: never */
    bool fell;       /* something was less than before */
} told;

static bool tell(uint64_t done, uint64_t total, void *arg) {
    told *all = arg;
    all->first = all->calls == 0 ? done : all->first;
    all->fell = all->fell || done < all->last || (total != KM_SIZE_UNKNOWN && done > total);
    all->last = done;
    all->total = total;
    all->calls++;
    return all->enough == 0 || all->calls < all->enough;
}

static void progress_rises_from_nothing_to_the_whole_image(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 100, 20 * CHUNK + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (uint32_t threads = 1; threads <= 4; threads++) {
            for (unsigned unknown = 0; unknown < 2; unknown++) {
                const snapshot_plan plan = {.total_unknown = unknown != 0};
                sample one = make_sample(sizes[i], &plan);
                told file = {0};
                told stream = {0};
                km_verify_options options = {
                    .threads = threads, .progress = tell, .progress_arg = &file};
                assert_int_equal(verify_file(&one, options), KM_OK);
                options.progress_arg = &stream;
                assert_int_equal(verify_stream(&one, options), KM_OK);
                assert_true(file.calls >= 1 && !file.fell);
                assert_true(stream.calls >= 1 && !stream.fell);
                if (threads == 1) { /* others may be faster than the first question */
                    assert_int_equal(file.first, 0);
                }
                assert_int_equal(file.last, sizes[i]);
                assert_int_equal(file.total, sizes[i]);
                assert_int_equal(stream.last, sizes[i]);
                assert_int_equal(stream.total, unknown ? KM_SIZE_UNKNOWN : sizes[i]);
                free(one.bytes);
            }
        }
    }
}

static void whoever_has_enough_is_told_that_it_was_cancelled(void **state) {
    (void)state;
    sample one = make_sample(20 * CHUNK, NULL);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        told file = {.enough = 1};
        told stream = {.enough = 1};
        km_verify_options options = {.threads = threads, .progress = tell, .progress_arg = &file};
        assert_int_equal(verify_file(&one, options), KM_E_CANCELLED);
        expect_words("verifying \"snapshot.gz\" was cancelled");
        options.progress_arg = &stream;
        assert_int_equal(verify_stream(&one, options), KM_E_CANCELLED);
        expect_words("verifying \"(stream)\" was cancelled");
        assert_int_equal(file.calls, 1);
        assert_int_equal(stream.calls, 1);
    }
    free(one.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_of_all_sizes_are_good),
        cmocka_unit_test(chunks_of_other_sizes_are_good),
        cmocka_unit_test(an_index_of_two_members_is_read_and_checked),
        cmocka_unit_test(the_first_damaged_chunk_is_named_with_its_place),
        cmocka_unit_test(the_place_of_the_last_chunk_ends_with_the_image),
        cmocka_unit_test(a_hash_that_lies_is_found_unless_the_check_is_quick),
        cmocka_unit_test(packed_bytes_that_lie_are_found_unless_the_check_is_quick),
        cmocka_unit_test(what_nothing_unpacks_is_unsupported_and_not_damaged),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(what_the_stream_fails_with_comes_back),
        cmocka_unit_test(options_that_make_no_sense_are_invalid),
        cmocka_unit_test(progress_rises_from_nothing_to_the_whole_image),
        cmocka_unit_test(whoever_has_enough_is_told_that_it_was_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
