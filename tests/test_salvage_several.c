/*
 * test_salvage_several.c - km_salvage where members of several snapshots lie in one file: which
 * belong together, and which snapshot is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "salvage_plan.h"
#include "support/salvage_subject.h"
#include "support/snapshot_builder.h"

static void the_member_that_the_index_knows_is_preferred(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false};
    subject what = subject_mixed(4, &(snapshot_plan){.id = 1, .level = 1});
    subject other = subject_mixed(4, &(snapshot_plan){.id = 2, .level = 1});
    const snapshot_member *foreign = &other.members[1];
    subject_put_in(&what, what.members[1].offset, other.bytes + foreign->offset, foreign->length);
    (void)salvage_check(&what, lost);
    subject_drop(&other);
    subject_drop(&what);
}

static void of_two_snapshots_the_one_with_more_is_taken_and_never_a_mixture(void **state) {
    (void)state;
    const bool none[SUBJECT_MEMBERS] = {false};
    for (unsigned turn = 0; turn < 2; turn++) {
        subject one = subject_mixed(6, &(snapshot_plan){.id = 1, .level = 1});
        subject other = subject_mixed(turn == 0 ? 6 : 7, &(snapshot_plan){.id = 2, .level = 1});
        subject both = one; /* of equals the first */
        both.bytes = malloc(one.length + other.length);
        assert_non_null(both.bytes);
        memcpy(both.bytes, one.bytes, one.length);
        memcpy(both.bytes + one.length, other.bytes, other.length);
        both.length = one.length + other.length;
        const salvage_outcome got = salvage_bytes(both.bytes, both.length);
        const subject *taken = turn == 0 ? &one : &other;
        salvage_check_target(taken, &got, none, taken->size);
        free(both.bytes);
        subject_drop(&one);
        subject_drop(&other);
    }
}

static void the_end_of_one_snapshot_is_not_taken_for_the_end_of_another(void **state) {
    (void)state;
    subject one = subject_mixed(6, &(snapshot_plan){.id = 1, .level = 0});
    subject other = subject_mixed(6, &(snapshot_plan){.id = 2, .level = 0});
    /* Four chunks of the one, cut in the fifth, and the last two of the other with its end. */
    const bool lost[SUBJECT_MEMBERS] = {false, false, false, false, true, true, true};
    one.length = one.members[4].offset + 777;
    subject_put_in(&one, one.length, other.bytes + other.members[5].offset,
                   other.length - other.members[5].offset);
    (void)salvage_check(&one, lost);
    subject_drop(&other);
    subject_drop(&one);
}

/* A snapshot lies in a stored chunk of another, whose head is damaged and whose index is lost: its
 * members from `first` on, up to `end`. */
static void check_nested(size_t first, size_t end) {
    const snapshot_plan plan = {.id = 1, .level = 0};
    subject inner = subject_small(&(snapshot_plan){.id = 2, .level = 1});
    subject what = subject_mixed(7, &plan);
    unsigned char *image = what.image;
    const size_t from = inner.members[first].offset;
    const size_t length = inner.members[end - 1].offset + inner.members[end - 1].length - from;
    /* With its beginning or its end in sight nobody knows which of the two goes on behind it, so
     * the first chunk is not taken for a part of what comes then. But what comes is right. */
    const bool lost[SUBJECT_MEMBERS] = {first == 0 || end == inner.count, true};
    what.image = NULL;
    subject_drop(&what);
    snapshot_noise(image + SUBJECT_CHUNK, SUBJECT_CHUNK, 8);
    memcpy(image + SUBJECT_CHUNK + 100, inner.bytes + from, length);
    what = subject_of(image, 7 * SUBJECT_CHUNK + 1000, &plan);
    subject_spoil_head(&what, 1);
    what.length = what.members[what.chunks].offset;
    (void)salvage_check(&what, lost);
    subject_drop(&inner);
    subject_drop(&what);
}

static void a_snapshot_inside_a_damaged_chunk_is_not_taken_for_it(void **state) {
    (void)state;
    for (size_t first = 0; first < 4; first++) {
        for (size_t end = first + 1; end <= 5; end++) {
            check_nested(first, end);
        }
    }
}

/* The same with a larger one inside: its first two members are whole in a stored block, the third's
 * head as well, but it promises more than there is behind it. */
static void a_head_that_promises_much_makes_no_part_of_another_snapshot_trusted(void **state) {
    (void)state;
    const snapshot_plan plan = {.id = 1, .level = 0};
    unsigned char *texts = malloc(5 * SUBJECT_CHUNK);
    assert_non_null(texts);
    for (size_t i = 0; i < 5; i++) { /* noise, so that all are stored, but for zeros */
        snapshot_noise(texts + i * SUBJECT_CHUNK, SUBJECT_CHUNK, 70 + (unsigned)i);
    }
    memset(texts + SUBJECT_CHUNK, 0, 2 * SUBJECT_CHUNK);
    subject inner = subject_of(texts, 5 * SUBJECT_CHUNK, &(snapshot_plan){.id = 2, .level = 0});
    subject what = subject_mixed(7, &plan);
    unsigned char *image = what.image;
    const size_t from = inner.members[1].offset;
    const size_t length = inner.members[3].offset + inner.members[3].length / 2 - from;
    const bool lost[SUBJECT_MEMBERS] = {false, true, true};
    what.image = NULL;
    subject_drop(&what);
    snapshot_noise(image + SUBJECT_CHUNK, 2 * SUBJECT_CHUNK, 8);
    memcpy(image + 2 * SUBJECT_CHUNK + 100, inner.bytes + from, length);
    what = subject_of(image, 7 * SUBJECT_CHUNK + 1000, &plan);
    subject_spoil_head(&what, 1);
    subject_spoil_head(&what, 2);
    what.length = what.members[what.chunks].offset;
    (void)salvage_check(&what, lost);
    subject_drop(&inner);
    subject_drop(&what);
}

/* In a damaged chunk lie the beginnings of two snapshots, and many small parts. */
static void parts_inside_a_damaged_chunk_do_not_hide_the_snapshot_around_it(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {true, true};
    subject one = subject_small(&(snapshot_plan){.id = 3, .level = 1});
    subject other = subject_small(&(snapshot_plan){.id = 4, .level = 1});
    subject what = subject_mixed(7, &(snapshot_plan){.id = 1, .level = 0});
    const snapshot_member *part = &other.members[1];
    unsigned char *inside = what.bytes + what.members[1].offset + KM_FORMAT_HEAD_SIZE;
    subject_spoil_head(&what, 0);
    memset(what.bytes + what.members[1].offset, 'x', what.members[1].length);
    memcpy(inside, one.bytes, one.members[0].length);
    inside += one.members[0].length;
    memcpy(inside, other.bytes, other.members[0].length);
    inside += other.members[0].length;
    for (unsigned i = 0; i < 2 * KM_PLAN_SNAPSHOTS; i++) {
        memcpy(inside + 1, other.bytes + part->offset, part->length);
        inside += part->length + 1;
    }
    assert_true(inside < what.bytes + what.members[2].offset);
    const salvage_outcome got = salvage_check(&what, lost);
    assert_true(got.report.index_found);
    subject_drop(&one);
    subject_drop(&other);
    subject_drop(&what);
}

static void a_part_without_a_name_is_of_the_snapshot_whose_index_lists_it(void **state) {
    (void)state;
    bool lost[SUBJECT_MEMBERS] = {true};
    subject one = subject_mixed(20, &(snapshot_plan){.id = 1, .level = 0});
    subject other = subject_mixed(20, &(snapshot_plan){.id = 2, .level = 0});
    /* Twelve chunks of the one, its end gone, and the other, of which two heads are damaged: what
     * is between these has no name, and chunks that the one has lost. */
    lost[14] = true;
    subject_spoil_head(&other, 0);
    subject_spoil_head(&other, 14);
    subject_put_in(&other, 0, one.bytes, one.members[12].offset);
    const salvage_outcome got = salvage_check(&other, lost);
    assert_true(got.report.index_found);
    subject_drop(&one);
    subject_drop(&other);
}

static void what_follows_a_snapshot_too_many_is_of_none_before_it(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false, false, false, false, true, true, true, true};
    subject kept = subject_mixed(7, &(snapshot_plan){.id = 200, .level = 0});
    subject more = subject_mixed(7, &(snapshot_plan){.id = 201, .level = 0});
    /* 63 small ones, one cut in its fifth chunk, and one whose second head is damaged. */
    subject_spoil_head(&more, 1);
    kept.length = kept.members[4].offset;
    subject_put_in(&kept, kept.length, more.bytes, more.members[more.chunks].offset);
    for (unsigned i = 0; i + 1 < KM_PLAN_SNAPSHOTS; i++) {
        subject small = subject_small(&(snapshot_plan){.id = (uint8_t)(1 + i), .level = 1});
        subject_put_in(&kept, 0, small.bytes, small.length);
        subject_drop(&small);
    }
    (void)salvage_check(&kept, lost);
    subject_drop(&more);
    subject_drop(&kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_member_that_the_index_knows_is_preferred),
        cmocka_unit_test(of_two_snapshots_the_one_with_more_is_taken_and_never_a_mixture),
        cmocka_unit_test(the_end_of_one_snapshot_is_not_taken_for_the_end_of_another),
        cmocka_unit_test(a_snapshot_inside_a_damaged_chunk_is_not_taken_for_it),
        cmocka_unit_test(a_head_that_promises_much_makes_no_part_of_another_snapshot_trusted),
        cmocka_unit_test(parts_inside_a_damaged_chunk_do_not_hide_the_snapshot_around_it),
        cmocka_unit_test(a_part_without_a_name_is_of_the_snapshot_whose_index_lists_it),
        cmocka_unit_test(what_follows_a_snapshot_too_many_is_of_none_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
