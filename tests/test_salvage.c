/*
 * test_salvage.c - km_salvage: all that is undamaged in a damaged snapshot, and nothing else; what
 * it tells of the lost; its target and options.
 *
 * Not under tsan: one thread does it all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/salvage_subject.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

/* ---- Undamaged ---- */

static void of_an_undamaged_snapshot_nothing_is_lost(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, SUBJECT_CHUNK, SUBJECT_CHUNK + 1, 5 * SUBJECT_CHUNK};
    const bool lost[8] = {false};
    for (size_t i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
        const size_t size = sizes[i / 4];
        unsigned char *image = calloc(1, size + 1);
        assert_non_null(image);
        snapshot_text(image, size, 5);
        const snapshot_plan plan = {.level = i % 2 != 0, .total_unknown = i / 2 % 2 != 0};
        subject what = subject_of(image, size, &plan);
        const salvage_outcome got = salvage_check(&what, lost);
        assert_true(got.report.size_known);
        assert_true(got.report.index_found);
        subject_drop(&what);
    }
}

static void zeros_of_the_image_are_holes_or_zeros_of_the_target(void **state) {
    (void)state;
    const bool lost[16] = {false};
    subject what = subject_mixed(9, &(snapshot_plan){.level = 0});
    (void)salvage_check(&what, lost);
    subject_drop(&what);
}

static void an_index_of_many_members_is_used(void **state) {
    (void)state;
    enum { CHUNKS = KM_FORMAT_INDEX_ENTRIES + 2 };
    static bool lost[CHUNKS];
    static snapshot_member members[CHUNKS + 8];
    unsigned char *image = calloc(1, CHUNKS * SUBJECT_CHUNK);
    assert_non_null(image);
    for (size_t i = 0; i < CHUNKS; i += 125) { /* 250 among them */
        memset(image + i * SUBJECT_CHUNK, (int)(i % 255 + 1), 16);
    }
    subject what = {.image = image, .size = CHUNKS * SUBJECT_CHUNK, .chunks = CHUNKS};
    what.bytes = snapshot_build(image, what.size, &(snapshot_plan){.level = 1}, &what.length);
    assert_true(snapshot_members(what.bytes, what.length, members, CHUNKS + 8) > CHUNKS);
    for (size_t i = 250; i < 253; i++) {
        memset(what.bytes + members[i].offset, 0, members[i].length);
        lost[i] = true;
    }
    const salvage_outcome got = salvage_check(&what, lost);
    assert_true(got.report.index_found);
    subject_drop(&what);
}

/* ---- Damaged in one place ---- */

/* Zeros [from, to) of the snapshot; which chunks' members change? */
static void punch(subject *what, size_t from, size_t to, bool *lost) {
    for (size_t i = 0; i < what->chunks; i++) {
        lost[i] = false;
        for (size_t at = what->members[i].offset;
             at < what->members[i].offset + what->members[i].length && !lost[i]; at++) {
            lost[i] = at >= from && at < to && what->bytes[at] != 0;
        }
    }
    memset(what->bytes + from, 0, to - from);
}

static void check_holes(const snapshot_plan *plan) {
    static const size_t sizes[] = {1, 60, 5000, 70000, 150000};
    subject what = subject_mixed(7, plan);
    unsigned char *whole = malloc(what.length);
    assert_non_null(whole);
    memcpy(whole, what.bytes, what.length);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t from = 0; from < what.length; from += 20011) {
            bool lost[SUBJECT_MEMBERS];
            const size_t left = what.length - from;
            punch(&what, from, from + (sizes[i] < left ? sizes[i] : left), lost);
            (void)salvage_check(&what, lost);
            memcpy(what.bytes, whole, what.length);
        }
    }
    free(whole);
    subject_drop(&what);
}

static void after_a_hole_every_undamaged_chunk_is_back_and_the_lost_are_named(void **state) {
    (void)state;
    check_holes(&(snapshot_plan){.level = 1});
    check_holes(&(snapshot_plan){.level = 0});
}

static void after_a_hole_in_any_member_only_that_chunk_is_lost(void **state) {
    (void)state;
    subject what = subject_mixed(7, &(snapshot_plan){.level = 1});
    unsigned char *whole = malloc(what.length);
    assert_non_null(whole);
    memcpy(whole, what.bytes, what.length);
    for (size_t i = 0; i < what.count; i++) {
        bool lost[SUBJECT_MEMBERS];
        const size_t from = what.members[i].offset;
        punch(&what, from, from + what.members[i].length, lost);
        const salvage_outcome got = salvage_check(&what, lost);
        assert_true(got.report.size_known);
        assert_int_equal(got.report.index_found, what.members[i].kind != KM_MEMBER_INDEX);
        memcpy(what.bytes, whole, what.length);
    }
    free(whole);
    subject_drop(&what);
}

static void check_cuts(const snapshot_plan *plan) {
    subject what = subject_small(plan);
    const size_t whole = what.length;
    const size_t head_end = KM_FORMAT_FIRST_HEAD_SIZE;
    for (what.length = 0; what.length < whole; what.length++) {
        bool lost[SUBJECT_MEMBERS];
        uint64_t size = 0;
        for (size_t i = 0; i < what.chunks; i++) {
            const snapshot_member *member = &what.members[i];
            const size_t head = i == 0 ? head_end : KM_FORMAT_HEAD_SIZE;
            lost[i] = member->offset + member->length > what.length;
            if (member->offset + head <= what.length) { /* the head tells how far it reaches */
                size = i + 1 == what.chunks ? what.size : (i + 1) * SUBJECT_CHUNK;
            }
        }
        const bool known =
            !plan->total_unknown || what.length >= what.members[what.count - 1].offset;
        const salvage_outcome got = salvage_bytes(what.bytes, what.length);
        if (!subject_any_left(&what, lost)) {
            assert_int_equal(got.status, KM_E_CORRUPT);
            continue;
        }
        salvage_check_target(&what, &got, lost, plan->total_unknown ? size : what.size);
        assert_int_equal(got.report.size_known, known);
    }
    subject_drop(&what);
}

static void cut_anywhere_what_is_before_the_cut_is_back(void **state) {
    (void)state;
    check_cuts(&(snapshot_plan){.level = 1});
    check_cuts(&(snapshot_plan){.level = 1, .total_unknown = true});
}

static void with_a_bit_flipped_anywhere_only_that_chunk_is_lost(void **state) {
    (void)state;
    subject what = subject_small(&(snapshot_plan){.level = 1});
    for (size_t at = 0; at < what.length; at++) {
        bool lost[SUBJECT_MEMBERS] = {false};
        for (size_t i = 0; i < what.chunks; i++) {
            lost[i] = at >= what.members[i].offset &&
                      at < what.members[i].offset + what.members[i].length;
        }
        what.bytes[at] ^= (unsigned char)(1u << at % 8);
        (void)salvage_check(&what, lost);
        what.bytes[at] ^= (unsigned char)(1u << at % 8);
    }
    subject_drop(&what);
}

/* ---- Index, footer and facts lost ---- */

static void without_footer_index_and_facts_the_chunks_are_back(void **state) {
    (void)state;
    for (unsigned gone = 0; gone < 8; gone++) {
        subject what = subject_mixed(7, &(snapshot_plan){.level = 0});
        bool lost[SUBJECT_MEMBERS] = {false};
        if ((gone & 1) != 0) {
            subject_spoil_head(&what, what.count - 1);
        }
        if ((gone & 2) != 0) {
            subject_spoil_head(&what, what.count - 2);
        }
        if ((gone & 4) != 0) {
            subject_spoil_head(&what, 0);
            lost[0] = true;
        }
        const salvage_outcome got = salvage_check(&what, lost);
        assert_int_equal(got.report.index_found, (gone & 2) == 0);
        assert_int_equal(got.report.size_known, gone != 7);
        subject_drop(&what);
    }
}

static void a_hole_in_the_middle_is_known_without_the_index(void **state) {
    (void)state;
    subject what = subject_mixed(7, &(snapshot_plan){.level = 0});
    const bool lost[SUBJECT_MEMBERS] = {false, true, true};
    subject_spoil_head(&what, 1);
    subject_spoil_body(&what, 2);
    what.length = what.members[what.chunks].offset;
    const salvage_outcome got = salvage_check(&what, lost);
    assert_false(got.report.index_found);
    subject_drop(&what);
}

static void a_single_chunk_that_cannot_be_placed_is_not_placed(void **state) {
    (void)state;
    unsigned char *image = malloc(2 * SUBJECT_CHUNK);
    assert_non_null(image);
    snapshot_noise(image, 2 * SUBJECT_CHUNK, 1);
    subject what = subject_of(image, 2 * SUBJECT_CHUNK, &(snapshot_plan){.level = 0});
    /* It is as long as a chunk can be; but the last one may be short in larger chunks. */
    const salvage_outcome got =
        salvage_bytes(what.bytes + what.members[1].offset, what.members[1].length);
    assert_int_equal(got.status, KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "chunk size"));
    subject_drop(&what);
}

/* ---- Members in strange places ---- */

static void exchanged_and_repeated_members_are_found_by_their_numbers(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false};
    subject what = subject_mixed(7, &(snapshot_plan){.level = 1});
    const snapshot_member *last = &what.members[6];
    unsigned char *moved = malloc(last->length);
    assert_non_null(moved);
    memcpy(moved, what.bytes + last->offset, last->length);
    subject_put_in(&what, what.members[1].offset, moved, last->length);
    (void)salvage_check(&what, lost); /* twice */
    subject_cut_out(&what, last->offset + last->length, last->length);
    (void)salvage_check(&what, lost); /* elsewhere */
    free(moved);
    subject_drop(&what);
}

static void members_before_the_first_are_found_as_well(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false};
    subject what = subject_mixed(7, &(snapshot_plan){.level = 0});
    subject_turn_around(&what, 0);
    const salvage_outcome got = salvage_check(&what, lost);
    assert_true(got.report.index_found);
    subject_drop(&what);
}

static void garbage_before_behind_and_between_is_passed_over(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false};
    unsigned char garbage[5000];
    subject what = subject_mixed(7, &(snapshot_plan){.level = 1});
    snapshot_noise(garbage, sizeof garbage, 4);
    for (size_t i = 0; i + 20 < sizeof garbage; i += 50) {
        memcpy(garbage + i, what.bytes, 20); /* beginnings of heads */
    }
    subject_put_in(&what, what.length, garbage, sizeof garbage);
    subject_put_in(&what, what.members[3].offset, garbage, sizeof garbage);
    subject_put_in(&what, 0, garbage, sizeof garbage);
    (void)salvage_check(&what, lost);
    subject_drop(&what);
}

static void bytes_missing_in_a_body_lose_that_chunk_alone(void **state) {
    (void)state;
    const bool lost[SUBJECT_MEMBERS] = {false, false, false, true};
    subject what = subject_mixed(7, &(snapshot_plan){.level = 0});
    subject_cut_out(&what, what.members[3].offset + 30000, 12345);
    (void)salvage_check(&what, lost);
    subject_drop(&what);
}

/* ---- The target and the options ---- */

static void an_existing_target_is_replaced_on_demand_alone(void **state) {
    (void)state;
    subject what = subject_small(&(snapshot_plan){.level = 1});
    km_salvage_options options = {.flags = KM_RESTORE_REPLACE};
    scratch_write("source", what.bytes, what.length);
    scratch_write("target", "old", 3);
    assert_int_equal(km_salvage("source", "target", NULL), KM_E_EXISTS);
    assert_true(scratch_equals("target", "old", 3));
    assert_int_equal(km_salvage("source", "target", &options), KM_OK);
    assert_true(scratch_equals("target", what.image, what.size));
    assert_int_equal(km_salvage("source", "source", &options), KM_E_BUSY);
    assert_true(scratch_equals("source", what.bytes, what.length));
    subject_drop(&what);
}

static bool stop_progress(uint64_t done, uint64_t total, void *arg) {
    unsigned *calls = arg;
    assert_true(done <= total);
    return --*calls > 0;
}

static bool stop_range(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    (void)kind;
    (void)offset;
    (void)length;
    (void)arg;
    return false;
}

typedef struct told {
    uint64_t last;
    unsigned in_second_half;
} told;

static bool note_progress(uint64_t done, uint64_t total, void *arg) {
    told *so_far = arg;
    assert_true(done >= so_far->last && done <= total);
    so_far->last = done;
    so_far->in_second_half += done > total / 2 && done < total;
    return true;
}

/* Each 16 MiB. */
static void progress_is_told_in_whatever_order_the_chunks_lie(void **state) {
    (void)state;
    enum { CHUNKS = 5, SHIFT = 23 };
    const size_t size = (size_t)CHUNKS << SHIFT;
    for (unsigned turn = 0; turn < 2; turn++) {
        unsigned char *image = malloc(size);
        assert_non_null(image);
        snapshot_noise(image, size, 3);
        const snapshot_plan plan = {.chunk_shift = SHIFT, .level = 0};
        subject what = subject_of(image, size, &plan);
        if (turn != 0) {
            subject_turn_around(&what, 1);
        }
        told so_far = {.last = 0};
        const km_salvage_options options = {.flags = KM_RESTORE_NO_SYNC | KM_RESTORE_REPLACE,
                                            .progress = note_progress,
                                            .progress_arg = &so_far};
        scratch_write("turned", what.bytes, what.length);
        assert_int_equal(km_salvage("turned", "salvaged", &options), KM_OK);
        assert_true(scratch_equals("salvaged", image, size));
        assert_int_equal(so_far.last, what.length);
        assert_int_equal(so_far.in_second_half, 2);
        subject_drop(&what);
    }
    scratch_remove("turned");
    scratch_remove("salvaged");
}

static void cancelled_at_any_call_it_leaves_nothing(void **state) {
    (void)state;
    subject what = subject_mixed(4, &(snapshot_plan){.level = 1});
    unsigned most = 1;
    scratch_write("source", what.bytes, what.length);
    const size_t entries = scratch_entries();
    for (;; most++) {
        unsigned calls = most;
        const km_salvage_options options = {.progress = stop_progress, .progress_arg = &calls};
        const km_status status = km_salvage("source", "cancelled", &options);
        if (status == KM_OK) {
            break;
        }
        assert_int_equal(status, KM_E_CANCELLED);
        assert_int_equal(scratch_entries(), entries);
    }
    assert_true(most > 2);
    scratch_remove("cancelled");
    subject_spoil_body(&what, 2);
    scratch_write("source", what.bytes, what.length);
    const km_salvage_options options = {.lost = stop_range};
    assert_int_equal(km_salvage("source", "cancelled", &options), KM_E_CANCELLED);
    assert_int_equal(scratch_entries(), entries);
    subject_drop(&what);
}

static void senseless_options_are_refused(void **state) {
    (void)state;
    const km_salvage_options flags = {.flags = KM_RESTORE_IN_PLACE};
    const km_salvage_options permissions = {.permissions = 010000};
    km_salvage_report small = {.struct_size = 4};
    const km_salvage_options report = {.report = &small};
    assert_int_equal(km_salvage("source", "none", &flags), KM_E_INVALID);
    assert_int_equal(km_salvage("source", "none", &permissions), KM_E_INVALID);
    assert_int_equal(km_salvage("source", "none", &report), KM_E_INVALID);
    assert_int_equal(km_salvage(NULL, "none", NULL), KM_E_INVALID);
    assert_int_equal(km_salvage("source", NULL, NULL), KM_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_undamaged_snapshot_nothing_is_lost),
        cmocka_unit_test(zeros_of_the_image_are_holes_or_zeros_of_the_target),
        cmocka_unit_test(an_index_of_many_members_is_used),
        cmocka_unit_test(after_a_hole_every_undamaged_chunk_is_back_and_the_lost_are_named),
        cmocka_unit_test(after_a_hole_in_any_member_only_that_chunk_is_lost),
        cmocka_unit_test(cut_anywhere_what_is_before_the_cut_is_back),
        cmocka_unit_test(with_a_bit_flipped_anywhere_only_that_chunk_is_lost),
        cmocka_unit_test(without_footer_index_and_facts_the_chunks_are_back),
        cmocka_unit_test(a_hole_in_the_middle_is_known_without_the_index),
        cmocka_unit_test(a_single_chunk_that_cannot_be_placed_is_not_placed),
        cmocka_unit_test(exchanged_and_repeated_members_are_found_by_their_numbers),
        cmocka_unit_test(members_before_the_first_are_found_as_well),
        cmocka_unit_test(garbage_before_behind_and_between_is_passed_over),
        cmocka_unit_test(bytes_missing_in_a_body_lose_that_chunk_alone),
        cmocka_unit_test(an_existing_target_is_replaced_on_demand_alone),
        cmocka_unit_test(progress_is_told_in_whatever_order_the_chunks_lie),
        cmocka_unit_test(cancelled_at_any_call_it_leaves_nothing),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
