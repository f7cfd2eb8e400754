/*
 * test_snapshot_stream.c - a snapshot that arrives in a stream: given out chunk by chunk, and whole
 * only if every bit of it is as it was written.
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

#include "chunk.h"
#include "snapshot_stream.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)
#define SMALL (2 * CHUNK + 100)
#define FACTS_TOTAL (44 + 32) /* where a snapshot has the total of its facts */

/* ---- Streams ---- */

typedef struct source {
    const unsigned char *bytes;
    size_t length;
    size_t at;
    size_t most;      /* given out at once */
    unsigned calls;   /* so far */
    unsigned fail_at; /* which call fails; 0: none */
    size_t lie;       /* bytes told of that were not asked for */
} source;

static km_status read_source(void *to, size_t length, size_t *done, void *arg) {
    source *from = arg;
    if (++from->calls == from->fail_at) {
        return KM_E_TIMEOUT;
    }
    size_t step = from->length - from->at;
    step = step < length ? step : length;
    step = step < from->most ? step : from->most;
    if (step > 0) {
        memcpy(to, from->bytes + from->at, step);
    }
    from->at += step;
    *done = step + (from->lie != 0 ? length + from->lie : 0);
    return KM_OK;
}

/* What a whole stream gave. */
typedef struct result {
    uint64_t chunks;
    uint64_t total;
    unsigned char *image; /* NULL: nobody wants it */
} result;

static void unpack_to(const km_stream *stream, uint64_t chunk, const km_format_entry *entry,
                      const void *packed, unsigned char *image) {
    km_unpacker *unpacker = NULL;
    assert_int_equal(km_unpacker_make(&unpacker), KM_OK);
    assert_int_equal(km_unpack(unpacker, entry, packed,
                               image + (chunk << km_stream_facts(stream)->chunk_shift), NULL),
                     KM_CHUNK_GOOD);
    km_unpacker_free(unpacker);
}

static km_status read_chunks(km_stream *stream, result *got) {
    const uint32_t chunk_size = (uint32_t)1 << km_stream_facts(stream)->chunk_shift;
    unsigned char *packed = malloc(km_format_packed_most(chunk_size));
    bool end = false;
    km_status status = KM_OK;
    assert_non_null(packed);
    while (status == KM_OK && !end) {
        uint64_t chunk = UINT64_MAX;
        km_format_entry entry;
        status = km_stream_next(stream, &chunk, &entry, packed, &end);
        if (status == KM_OK && !end) {
            assert_int_equal(chunk, got->chunks);
            got->chunks++;
            got->total += entry.raw_length;
            if (got->image != NULL) {
                unpack_to(stream, chunk, &entry, packed, got->image);
            }
        }
    }
    free(packed);
    return status;
}

static km_status read_stream(source *from, result *got) {
    km_stream *stream = NULL;
    km_status status = km_stream_begin(read_source, from, &stream);
    if (status != KM_OK) {
        assert_null(stream);
        return status;
    }
    status = read_chunks(stream, got);
    if (status == KM_OK) {
        assert_int_equal(km_stream_footer(stream)->total, got->total);
        assert_int_equal(km_stream_footer(stream)->chunks, got->chunks);
        status = km_stream_check_hashes(stream);
    }
    km_stream_end(stream);
    return status;
}

static km_status read_bytes(const unsigned char *bytes, size_t length) {
    source from = {.bytes = bytes, .length = length, .most = SIZE_MAX};
    result got = {.chunks = 0};
    return read_stream(&from, &got);
}

/* A few hundred bytes, in every build: two chunks of zeros and a short one of other bytes. */
static unsigned char *small_snapshot(const snapshot_plan *plan, size_t *length) {
    unsigned char *image = calloc(1, SMALL);
    assert_non_null(image);
    memset(image + 2 * CHUNK, 'k', SMALL - 2 * CHUNK);
    unsigned char *snapshot = snapshot_build(image, SMALL, plan, length);
    free(image);
    return snapshot;
}

/* ---- What is whole ---- */

static void check_image(size_t size, size_t most, const snapshot_plan *plan) {
    unsigned char *image = malloc(size + 1);
    unsigned char *back = malloc(size + 1);
    size_t length = 0;
    assert_non_null(image);
    assert_non_null(back);
    snapshot_text(image, size, (unsigned)size);
    unsigned char *snapshot = snapshot_build(image, size, plan, &length);
    source from = {.bytes = snapshot, .length = length, .most = most};
    result got = {.image = back};
    assert_int_equal(read_stream(&from, &got), KM_OK);
    assert_int_equal(got.total, size);
    assert_memory_equal(image, back, size);
    assert_int_equal(from.at, length);
    free(snapshot);
    free(image);
    free(back);
}

static void a_stream_gives_the_image_whatever_the_pieces(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77};
    static const size_t pieces[] = {1, 2, 51, 4096, 65536, 65537, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            check_image(sizes[i], pieces[k], &(snapshot_plan){.level = 0});
            check_image(sizes[i], pieces[k], &(snapshot_plan){.level = 1, .total_unknown = true});
        }
    }
    check_image(300000, 1000, &(snapshot_plan){.level = 1, .chunk_shift = 18});
}

static void an_index_of_many_members_is_read(void **state) {
    (void)state;
    const size_t size = (KM_FORMAT_INDEX_ENTRIES * 2 + 3) * CHUNK + 5;
    size_t length = 0;
    unsigned char *image = calloc(1, size);
    assert_non_null(image);
    unsigned char *snapshot =
        snapshot_build(image, size, &(snapshot_plan){.total_unknown = true, .level = 1}, &length);
    assert_int_equal(read_bytes(snapshot, length), KM_OK);
    free(snapshot);
    free(image);
}

static void the_facts_are_there_from_the_start(void **state) {
    (void)state;
    size_t length = 0;
    const snapshot_plan plan = {.id = 7, .since = 9, .seed = 5, .type = "t", .type_version = 3};
    unsigned char *snapshot = small_snapshot(&plan, &length);
    source from = {.bytes = snapshot, .length = length, .most = SIZE_MAX};
    km_stream *stream = NULL;
    assert_int_equal(km_stream_begin(read_source, &from, &stream), KM_OK);
    assert_int_equal(km_stream_facts(stream)->id[15], 7);
    assert_int_equal(km_stream_facts(stream)->since[0], 9);
    assert_int_equal(km_stream_facts(stream)->seed, 5);
    assert_int_equal(km_stream_facts(stream)->total, SMALL);
    assert_string_equal(km_stream_facts(stream)->type, "t");
    km_stream_end(stream);
    free(snapshot);
}

static void the_end_stays_the_end(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(NULL, &length);
    source from = {.bytes = snapshot, .length = length, .most = SIZE_MAX};
    km_stream *stream = NULL;
    result got = {.chunks = 0};
    uint64_t chunk = 77;
    km_format_entry entry;
    bool end = false;
    assert_int_equal(km_stream_begin(read_source, &from, &stream), KM_OK);
    assert_int_equal(read_chunks(stream, &got), KM_OK);
    assert_int_equal(km_stream_next(stream, &chunk, &entry, NULL, &end), KM_OK);
    assert_true(end);
    assert_int_equal(chunk, 77);
    km_stream_end(stream);
    km_stream_end(NULL);
    free(snapshot);
}

/* ---- What is damaged ---- */

static void every_truncation_is_found_and_its_place_told(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(&(snapshot_plan){.level = 1}, &length);
    for (size_t cut = 0; cut < length; cut++) {
        char told[100];
        assert_int_equal(read_bytes(snapshot, cut), KM_E_CORRUPT);
        (void)snprintf(told, sizeof told,
                       "the stream ends after %zu bytes, before the snapshot's end", cut);
        assert_string_equal(km_error_message(), told);
    }
    free(snapshot);
}

static void check_flips(const snapshot_plan *plan) {
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(plan, &length);
    assert_int_equal(read_bytes(snapshot, length), KM_OK);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        snapshot[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_equal(read_bytes(snapshot, length), KM_E_CORRUPT);
        snapshot[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(snapshot);
}

static void every_flipped_bit_is_found(void **state) {
    (void)state;
    check_flips(&(snapshot_plan){.level = 1});
    check_flips(&(snapshot_plan){.level = 1, .total_unknown = true});
}

static void bytes_behind_the_end_are_damage(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(NULL, &length);
    unsigned char *twice = malloc(2 * length);
    assert_non_null(twice);
    memcpy(twice, snapshot, length);
    memcpy(twice + length, snapshot, length);
    source from = {.bytes = twice, .length = length + 1, .most = length};
    result got = {.chunks = 0};
    assert_int_equal(read_bytes(twice, length + 1), KM_E_CORRUPT);
    assert_int_equal(read_bytes(twice, 2 * length), KM_E_CORRUPT);
    assert_int_equal(read_stream(&from, &got), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "goes on behind the snapshot's end"));
    free(twice);
    free(snapshot);
}

/* Members of `snapshot`, in the order of `order`, -1 ending it. */
static km_status read_members(const unsigned char *snapshot, size_t length, const int *order) {
    snapshot_member members[16];
    unsigned char *bytes = malloc(4 * length);
    size_t used = 0;
    assert_non_null(bytes);
    (void)snapshot_members(snapshot, length, members, 16);
    for (; *order >= 0; order++) {
        memcpy(bytes + used, snapshot + members[*order].offset, members[*order].length);
        used += members[*order].length;
    }
    const km_status status = read_bytes(bytes, used);
    free(bytes);
    return status;
}

static void every_exchange_repetition_and_loss_of_members_is_found(void **state) {
    (void)state;
    enum { MEMBERS = 5 };
    for (int unknown = 0; unknown < 2; unknown++) {
        size_t length = 0;
        const snapshot_plan plan = {.level = 1, .total_unknown = unknown != 0};
        unsigned char *snapshot = small_snapshot(&plan, &length);
        const int whole[] = {0, 1, 2, 3, 4, -1};
        assert_int_equal(read_members(snapshot, length, whole), KM_OK);
        for (int a = 0; a < MEMBERS; a++) {
            int twice[MEMBERS + 2];
            int without[MEMBERS];
            for (int i = 0; i <= MEMBERS; i++) {
                twice[i] = i <= a ? i : i - 1;
            }
            twice[MEMBERS + 1] = -1;
            for (int i = 0; i < MEMBERS; i++) {
                without[i] = i == MEMBERS - 1 ? -1 : i < a ? i : i + 1;
            }
            assert_int_equal(read_members(snapshot, length, twice), KM_E_CORRUPT);
            assert_int_equal(read_members(snapshot, length, without), KM_E_CORRUPT);
            for (int b = a + 1; b < MEMBERS; b++) {
                int exchanged[] = {0, 1, 2, 3, 4, -1};
                exchanged[a] = b;
                exchanged[b] = a;
                assert_int_equal(read_members(snapshot, length, exchanged), KM_E_CORRUPT);
            }
        }
        free(snapshot);
    }
}

/* The small snapshot with member `member` taken from another one. */
static km_status read_mixed(const snapshot_plan *one, const snapshot_plan *other, size_t member) {
    size_t length = 0;
    size_t other_length = 0;
    unsigned char *a = small_snapshot(one, &length);
    unsigned char *b = small_snapshot(other, &other_length);
    snapshot_member in_a[8];
    snapshot_member in_b[8];
    assert_int_equal(length, other_length);
    (void)snapshot_members(a, length, in_a, 8);
    (void)snapshot_members(b, length, in_b, 8);
    memcpy(a + in_a[member].offset, b + in_b[member].offset, in_a[member].length);
    const km_status status = read_bytes(a, length);
    free(a);
    free(b);
    return status;
}

static void footer_and_facts_of_two_snapshots_are_found(void **state) {
    (void)state;
    const snapshot_plan one = {.id = 1, .level = 1};
    const snapshot_plan other = {.id = 2, .level = 1};
    assert_int_equal(read_mixed(&one, &other, 0), KM_E_CORRUPT);
    assert_int_equal(read_mixed(&one, &other, 4), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "another snapshot"));
}

static void a_footer_that_contradicts_what_came_is_found(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(&(snapshot_plan){.total_unknown = true}, &length);
    unsigned char *bytes = snapshot + length - KM_FORMAT_FOOTER_SIZE;
    km_format_footer footer;
    assert_true(km_format_footer_read(bytes, &footer));
    for (int i = 0; i < 5; i++) {
        km_format_footer changed = footer;
        changed.total += i == 0;
        changed.total += i == 1 ? CHUNK : 0;
        changed.chunks += i == 1;
        changed.index_offset += i == 2;
        changed.index_sum += i == 3;
        km_format_footer_write(&changed, bytes);
        assert_int_equal(read_bytes(snapshot, length), i == 4 ? KM_OK : KM_E_CORRUPT);
    }
    free(snapshot);
}

/* All its chunks are full: only at the end does it show that some are missing. */
static void facts_that_promise_more_chunks_than_come_are_found(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *image = calloc(2, CHUNK);
    assert_non_null(image);
    unsigned char *snapshot = snapshot_build(image, 2 * CHUNK, NULL, &length);
    snapshot_member members[4];
    const size_t count = snapshot_members(snapshot, length, members, 4);
    assert_int_equal(count, 4);
    snapshot_put(snapshot + FACTS_TOTAL, 8, 3 * CHUNK);
    snapshot_seal(snapshot, members, count);
    assert_int_equal(read_bytes(snapshot, length), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "the footer"));
    snapshot_put(snapshot + FACTS_TOTAL, 8, 2 * CHUNK);
    snapshot_seal(snapshot, members, count);
    assert_int_equal(read_bytes(snapshot, length), KM_OK);
    free(snapshot);
    free(image);
}

static void a_short_chunk_in_the_middle_is_found(void **state) {
    (void)state;
    size_t length = 0;
    size_t short_length = 0;
    const snapshot_plan plan = {.level = 1, .total_unknown = true};
    unsigned char *image = calloc(1, 3 * CHUNK);
    assert_non_null(image);
    unsigned char *whole = snapshot_build(image, 3 * CHUNK, &plan, &length);
    unsigned char *shorter = snapshot_build(image, CHUNK + 9, &plan, &short_length);
    unsigned char *mixed = malloc(length + short_length);
    snapshot_member in_whole[8];
    snapshot_member in_short[8];
    size_t used = 0;
    assert_non_null(mixed);
    (void)snapshot_members(whole, length, in_whole, 8);
    (void)snapshot_members(shorter, short_length, in_short, 8);
    memcpy(mixed, shorter, in_short[2].offset);
    used = in_short[2].offset;
    memcpy(mixed + used, whole + in_whole[2].offset, length - in_whole[2].offset);
    used += length - in_whole[2].offset;
    assert_int_equal(read_bytes(mixed, used), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "lengths do not fit"));
    free(mixed);
    free(shorter);
    free(whole);
    free(image);
}

/* ---- Hashes ---- */

/* Tells the hash of each chunk, that of `wrong` with a bit flipped, that of `silent` not. */
static km_status check_told(uint64_t wrong, uint64_t silent) {
    size_t length = 0;
    const uint64_t seed = 99;
    unsigned char *image = malloc(SMALL);
    unsigned char *packed = malloc(km_format_packed_most(CHUNK));
    assert_non_null(image);
    assert_non_null(packed);
    snapshot_text(image, SMALL, 1);
    unsigned char *snapshot =
        snapshot_build(image, SMALL, &(snapshot_plan){.seed = seed, .level = 1}, &length);
    source from = {.bytes = snapshot, .length = length, .most = 1000};
    km_stream *stream = NULL;
    bool end = false;
    assert_int_equal(km_stream_begin(read_source, &from, &stream), KM_OK);
    while (!end) {
        uint64_t chunk = 0;
        km_format_entry entry;
        uint8_t hash[KM_HASH_SIZE];
        assert_int_equal(km_stream_next(stream, &chunk, &entry, packed, &end), KM_OK);
        if (!end && chunk != silent) {
            km_hash(image + chunk * CHUNK, entry.raw_length, seed, hash);
            hash[15] ^= chunk == wrong;
            km_stream_hashed(stream, chunk, hash);
        }
    }
    const km_status status = km_stream_check_hashes(stream);
    km_stream_end(stream);
    free(snapshot);
    free(packed);
    free(image);
    return status;
}

static void hashes_that_were_told_are_compared_with_the_index(void **state) {
    (void)state;
    assert_int_equal(check_told(UINT64_MAX, UINT64_MAX), KM_OK);
    assert_int_equal(check_told(UINT64_MAX, 1), KM_OK);
    assert_int_equal(check_told(1, 1), KM_OK);
    assert_int_equal(check_told(1, 0), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "chunk 1"));
    assert_int_equal(check_told(2, 0), KM_E_CORRUPT);
    assert_int_equal(check_told(0, UINT64_MAX), KM_E_CORRUPT);
}

/* ---- Errors ---- */

static void what_the_read_function_fails_with_comes_back(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(&(snapshot_plan){.level = 1}, &length);
    unsigned fail_at = 1;
    for (;; fail_at++) {
        source from = {.bytes = snapshot, .length = length, .most = 10, .fail_at = fail_at};
        result got = {.chunks = 0};
        const km_status status = read_stream(&from, &got);
        if (status == KM_OK) {
            break;
        }
        assert_int_equal(status, KM_E_TIMEOUT);
        assert_int_equal(from.calls, fail_at);
        assert_non_null(strstr(km_error_message(), "cannot read the snapshot's stream"));
    }
    assert_true(fail_at > length / 10);
    free(snapshot);
}

static void a_read_function_that_tells_too_much_is_refused(void **state) {
    (void)state;
    size_t length = 0;
    unsigned char *snapshot = small_snapshot(NULL, &length);
    source from = {.bytes = snapshot, .length = length, .most = 10, .lie = 1};
    result got = {.chunks = 0};
    assert_int_equal(read_stream(&from, &got), KM_E_INVALID);
    free(snapshot);
}

static void what_is_no_snapshot_is_damage(void **state) {
    (void)state;
    unsigned char noise[500];
    snapshot_noise(noise, sizeof noise, 3);
    assert_int_equal(read_bytes(noise, sizeof noise), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "does not begin as a snapshot"));
    assert_int_equal(read_bytes(noise, 0), KM_E_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_gives_the_image_whatever_the_pieces),
        cmocka_unit_test(an_index_of_many_members_is_read),
        cmocka_unit_test(the_facts_are_there_from_the_start),
        cmocka_unit_test(the_end_stays_the_end),
        cmocka_unit_test(every_truncation_is_found_and_its_place_told),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(bytes_behind_the_end_are_damage),
        cmocka_unit_test(every_exchange_repetition_and_loss_of_members_is_found),
        cmocka_unit_test(footer_and_facts_of_two_snapshots_are_found),
        cmocka_unit_test(a_footer_that_contradicts_what_came_is_found),
        cmocka_unit_test(facts_that_promise_more_chunks_than_come_are_found),
        cmocka_unit_test(a_short_chunk_in_the_middle_is_found),
        cmocka_unit_test(hashes_that_were_told_are_compared_with_the_index),
        cmocka_unit_test(what_the_read_function_fails_with_comes_back),
        cmocka_unit_test(a_read_function_that_tells_too_much_is_refused),
        cmocka_unit_test(what_is_no_snapshot_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
