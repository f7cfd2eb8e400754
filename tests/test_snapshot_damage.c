/*
 * test_snapshot_damage.c - whatever becomes of a snapshot is found: every flipped bit, every length
 * that it can be cut to, members exchanged, repeated, left out or taken from another one.
 *
 * A small snapshot with a chunk of each form is damaged; km_verify says so whether it reads a file
 * or a stream, unpacks or only sums, and km_restore leaves no target.
 *
 * With other codecs: what is checked does not depend on what packs.
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
#include <keepmap/win32.h>

#include "codec.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)65536)
#define TAIL ((size_t)150)
#define IMAGE_SIZE (2 * CHUNK + TAIL)
#define MEMBERS 5 /* three chunks, index, footer */
#define PATH "damaged.gz"

typedef struct subject {
    unsigned char *bytes;
    size_t length;
    snapshot_member members[MEMBERS];
} subject;

/* Something that packs (zeros where nothing does: else there would be half a million bits more to
 * try), zeros, and a rest that is stored. `kind` 1 differs in the first chunk alone. */
static subject make_subject(unsigned kind) {
    subject made = {0};
    unsigned char *image = calloc(1, IMAGE_SIZE);
    assert_non_null(image);
    if (km_codecs()[0] != NULL) {
        snapshot_text(image, 1500, 1 + kind);
    }
    snapshot_noise(image + 2 * CHUNK, TAIL, 2);
    const snapshot_plan plan = {.level = 1, .id = (uint8_t)(7 + kind), .seed = 99};
    made.bytes = snapshot_build(image, IMAGE_SIZE, &plan, &made.length);
    free(image);
    assert_int_equal(snapshot_members(made.bytes, made.length, made.members, MEMBERS), MEMBERS);
    assert_true(made.length < 4096);
    return made;
}

static km_status verify_stream(const unsigned char *bytes, size_t length, uint32_t flags) {
    snapshot_stream stream = {.bytes = bytes, .length = length};
    const km_verify_options options = {
        .flags = flags, .threads = 1, .read = snapshot_stream_read, .read_arg = &stream};
    return km_verify(NULL, &options);
}

static km_status verify_file(uint32_t flags) {
    const km_verify_options options = {.flags = flags, .threads = 1};
    return km_verify(PATH, &options);
}

/* Nothing else may be in the folder than what was there. */
static void expect_no_restore(void) {
    const size_t before = scratch_entries();
    const km_restore_options options = {.threads = 1};
    const km_status status = km_restore(PATH, "target", &options);
    assert_int_equal(status, KM_E_CORRUPT);
    assert_int_equal(scratch_size("target"), -1);
    assert_int_equal(scratch_entries(), before);
}

/* These bytes are no snapshot, however they are looked at. */
static void expect_found(const unsigned char *bytes, size_t length) {
    scratch_write(PATH, bytes, length);
    assert_int_equal(verify_file(0), KM_E_CORRUPT);
    assert_int_equal(verify_file(KM_VERIFY_QUICK), KM_E_CORRUPT);
    assert_int_equal(verify_stream(bytes, length, 0), KM_E_CORRUPT);
    assert_int_equal(verify_stream(bytes, length, KM_VERIFY_QUICK), KM_E_CORRUPT);
    expect_no_restore();
}

/* ---- Bits ---------------------------------------------------------------------------------- */

static void the_undamaged_snapshot_is_good(void **state) {
    const subject *one = *state;
    scratch_write(PATH, one->bytes, one->length);
    assert_int_equal(verify_file(0), KM_OK);
    assert_int_equal(verify_file(KM_VERIFY_QUICK), KM_OK);
    assert_int_equal(verify_stream(one->bytes, one->length, 0), KM_OK);
    assert_int_equal(verify_stream(one->bytes, one->length, KM_VERIFY_QUICK), KM_OK);
    assert_int_equal(km_restore(PATH, "good target", NULL), KM_OK);
    assert_int_equal(scratch_size("good target"), IMAGE_SIZE);
    scratch_remove("good target");
}

static void write_byte(HANDLE file, size_t at, unsigned char byte) {
    OVERLAPPED where = {.Offset = (DWORD)at};
    DWORD done = 0;
    assert_true(WriteFile(file, &byte, 1, &done, &where));
    assert_int_equal(done, 1);
}

static void every_flipped_bit_is_found_in_a_file(void **state) {
    const subject *one = *state;
    scratch_write(PATH, one->bytes, one->length);
    HANDLE file =
        CreateFileA(PATH, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    for (size_t bit = 0; bit < one->length * 8; bit++) {
        const unsigned char good = one->bytes[bit / 8];
        write_byte(file, bit / 8, (unsigned char)(good ^ 1u << bit % 8));
        /* Both of them for every bit would take twice as long and tell no more: the quick one reads
         * all the other one does. */
        assert_int_equal(verify_file(bit % 2 == 0 ? 0 : KM_VERIFY_QUICK), KM_E_CORRUPT);
        write_byte(file, bit / 8, good);
    }
    CloseHandle(file);
    assert_int_equal(verify_file(0), KM_OK);
}

static void every_flipped_bit_is_found_in_a_stream(void **state) {
    subject *one = *state;
    for (size_t bit = 0; bit < one->length * 8; bit++) {
        one->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_equal(verify_stream(one->bytes, one->length, bit % 2 == 0 ? KM_VERIFY_QUICK : 0),
                         KM_E_CORRUPT);
        one->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void no_flipped_bit_lets_restore_leave_a_target(void **state) {
    subject *one = *state;
    for (size_t bit = 0; bit < one->length * 8; bit += 13) { /* every bit of a byte has its turn */
        one->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        scratch_write(PATH, one->bytes, one->length);
        expect_no_restore();
        one->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

/* ---- Lengths ------------------------------------------------------------------------------- */

static void every_truncation_is_found(void **state) {
    const subject *one = *state;
    for (size_t length = 0; length < one->length; length++) {
        scratch_write(PATH, one->bytes, length);
        assert_int_equal(verify_file(0), KM_E_CORRUPT);
        assert_int_equal(verify_stream(one->bytes, length, 0), KM_E_CORRUPT);
    }
}

static void no_truncation_lets_restore_leave_a_target(void **state) {
    const subject *one = *state;
    for (size_t length = 0; length < one->length; length++) {
        scratch_write(PATH, one->bytes, length);
        expect_no_restore();
    }
}

static void bytes_before_and_behind_are_found(void **state) {
    const subject *one = *state;
    static const size_t more[] = {1, 2, 10, 98, 1000};
    unsigned char *longer = calloc(2, one->length + 1000);
    assert_non_null(longer);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        memset(longer, 0, one->length + more[i]);
        memcpy(longer, one->bytes, one->length);
        expect_found(longer, one->length + more[i]);
        memset(longer, 0, more[i]);
        memcpy(longer + more[i], one->bytes, one->length);
        expect_found(longer, one->length + more[i]);
    }
    /* Two snapshots in a row are one gzip file, and no snapshot. */
    memcpy(longer, one->bytes, one->length);
    memcpy(longer + one->length, one->bytes, one->length);
    expect_found(longer, 2 * one->length);
    free(longer);
}

/* ---- Members ------------------------------------------------------------------------------- */

/* A row of members, each of the one or of the other. */
typedef struct row {
    unsigned char *bytes;
    size_t length;
} row;

static void add_member(row *to, const subject *from, size_t number) {
    const snapshot_member *member = &from->members[number];
    unsigned char *grown = realloc(to->bytes, to->length + member->length + 1);
    assert_non_null(grown);
    memcpy(grown + to->length, from->bytes + member->offset, member->length);
    to->bytes = grown;
    to->length += member->length;
}

static void expect_row_found(row *made) {
    expect_found(made->bytes, made->length);
    free(made->bytes);
}

static void every_swap_of_two_members_is_found(void **state) {
    const subject *one = *state;
    for (size_t a = 0; a < MEMBERS; a++) {
        for (size_t b = a + 1; b < MEMBERS; b++) {
            row made = {0};
            for (size_t i = 0; i < MEMBERS; i++) {
                add_member(&made, one, i == a ? b : i == b ? a : i);
            }
            expect_row_found(&made);
        }
    }
}

static void every_member_left_out_or_repeated_is_found(void **state) {
    const subject *one = *state;
    for (size_t which = 0; which < MEMBERS; which++) {
        row without = {0};
        row twice = {0};
        for (size_t i = 0; i < MEMBERS; i++) {
            if (i != which) {
                add_member(&without, one, i);
            }
            add_member(&twice, one, i);
            if (i == which) {
                add_member(&twice, one, i);
            }
        }
        expect_row_found(&without);
        expect_row_found(&twice);
    }
}

static bool is_same_member(const subject *one, const subject *other, size_t which) {
    const snapshot_member *a = &one->members[which];
    const snapshot_member *b = &other->members[which];
    return a->length == b->length &&
           memcmp(one->bytes + a->offset, other->bytes + b->offset, a->length) == 0;
}

/* A chunk that both have is the same member in both: to exchange it changes nothing. */
static void every_member_of_another_snapshot_is_found(void **state) {
    const subject *one = *state;
    subject other = make_subject(1);
    size_t alike = 0;
    for (size_t which = 0; which < MEMBERS; which++) {
        row made = {0};
        if (is_same_member(one, &other, which)) {
            alike++;
            continue;
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            add_member(&made, i == which ? &other : one, i);
        }
        expect_row_found(&made);
    }
    assert_in_range(alike, 2, 3); /* the later chunks; the index too, if all chunks are alike */
    free(other.bytes);
}

static void every_chunk_of_another_snapshot_in_another_place_is_found(void **state) {
    const subject *one = *state;
    subject other = make_subject(1);
    for (size_t place = 0; place < 3; place++) {
        for (size_t from = 0; from < 3; from++) {
            row made = {0};
            if (place == from) {
                continue;
            }
            for (size_t i = 0; i < MEMBERS; i++) {
                add_member(&made, i == place ? &other : one, i == place ? from : i);
            }
            expect_row_found(&made);
        }
    }
    free(other.bytes);
}

static void halves_of_two_snapshots_are_found(void **state) {
    const subject *one = *state;
    subject other = make_subject(1);
    for (size_t half = 1; half < MEMBERS; half++) {
        row made = {0};
        for (size_t i = 0; i < MEMBERS; i++) {
            add_member(&made, i < half ? one : &other, i);
        }
        expect_row_found(&made);
    }
    free(other.bytes);
}

static int make_state(void **state) {
    static subject one;
    one = make_subject(0);
    *state = &one;
    return 0;
}

static int drop_state(void **state) {
    subject *one = *state;
    free(one->bytes);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_undamaged_snapshot_is_good),
        cmocka_unit_test(every_flipped_bit_is_found_in_a_file),
        cmocka_unit_test(every_flipped_bit_is_found_in_a_stream),
        cmocka_unit_test(no_flipped_bit_lets_restore_leave_a_target),
        cmocka_unit_test(every_truncation_is_found),
        cmocka_unit_test(no_truncation_lets_restore_leave_a_target),
        cmocka_unit_test(bytes_before_and_behind_are_found),
        cmocka_unit_test(every_swap_of_two_members_is_found),
        cmocka_unit_test(every_member_left_out_or_repeated_is_found),
        cmocka_unit_test(every_member_of_another_snapshot_is_found),
        cmocka_unit_test(every_chunk_of_another_snapshot_in_another_place_is_found),
        cmocka_unit_test(halves_of_two_snapshots_are_found),
    };
    return cmocka_run_group_tests(tests, make_state, drop_state);
}
