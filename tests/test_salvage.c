/*
 * test_salvage.c - km_salvage: all that is undamaged in a damaged snapshot, and nothing else.
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

#include "input.h"
#include "salvage_plan.h"
#include "salvage_scan.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)
#define SMALL (2 * CHUNK + 100)
#define MEMBERS 32
#define RANGES 64
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- Snapshots to damage ---- */

typedef struct subject {
    unsigned char *image;
    size_t size;
    unsigned char *bytes;
    size_t length;
    snapshot_member members[MEMBERS]; /* as they were before any damage */
    size_t count;                     /* of them */
    size_t chunks;
} subject;

static subject subject_of(unsigned char *image, size_t size, const snapshot_plan *plan) {
    subject made = {.image = image, .size = size};
    made.bytes = snapshot_build(image, size, plan, &made.length);
    made.count = snapshot_members(made.bytes, made.length, made.members, MEMBERS);
    while (made.chunks < made.count && made.members[made.chunks].kind == KM_MEMBER_DATA) {
        made.chunks++;
    }
    return made;
}

/* A few hundred bytes, in every build: two chunks of zeros and a short one of other bytes. */
static subject small_subject(const snapshot_plan *plan) {
    unsigned char *image = calloc(1, SMALL);
    assert_non_null(image);
    memset(image + 2 * CHUNK, 'k', SMALL - 2 * CHUNK);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is in what is returned, for drop */
    return subject_of(image, SMALL, plan);
}

/* `chunks` chunks, by turns noise, text and zeros, and a short last one. */
static subject mixed_subject(size_t chunks, const snapshot_plan *plan) {
    const size_t size = chunks * CHUNK + 1000;
    unsigned char *image = calloc(1, size);
    assert_non_null(image);
    for (size_t i = 0; i <= chunks; i++) {
        const size_t length = i < chunks ? CHUNK : 1000;
        if (i % 3 == 0) {
            snapshot_noise(image + i * CHUNK, length, plan->id * 100u + (unsigned)i);
        } else if (i % 3 == 1) {
            snapshot_text(image + i * CHUNK, length, plan->id * 100u + (unsigned)i);
        }
    }
    return subject_of(image, size, plan);
}

static void drop(subject *what) {
    free(what->image);
    free(what->bytes);
}

/* Cuts bytes out, or puts bytes in. */
static void cut_out(subject *what, size_t offset, size_t length) {
    memmove(what->bytes + offset, what->bytes + offset + length, what->length - offset - length);
    what->length -= length;
}

static void put_in(subject *what, size_t offset, const void *bytes, size_t length) {
    unsigned char *larger = realloc(what->bytes, what->length + length);
    assert_non_null(larger);
    memmove(larger + offset + length, larger + offset, what->length - offset);
    memcpy(larger + offset, bytes, length);
    what->bytes = larger;
    what->length += length;
}

/* The data members from `first` on, the last one first. */
static void turn_around(subject *what, size_t first) {
    const size_t end = what->members[what->chunks].offset;
    unsigned char *turned = malloc(end);
    size_t at = end;
    assert_non_null(turned);
    for (size_t i = first; i < what->chunks; i++) {
        at -= what->members[i].length;
        memcpy(turned + at, what->bytes + what->members[i].offset, what->members[i].length);
    }
    memcpy(what->bytes + at, turned + at, end - at);
    free(turned);
}

static void spoil_head(subject *what, size_t member) {
    what->bytes[what->members[member].offset + 21] ^= 0x10;
}

static void spoil_body(subject *what, size_t member) {
    const snapshot_member *where = &what->members[member];
    what->bytes[where->offset + where->length - 9] ^= 0x10;
}

/* ---- Salvaging ---- */

typedef struct outcome {
    km_status status;
    km_salvage_report report;
    uint64_t offsets[RANGES];
    uint64_t lengths[RANGES];
    size_t count;
} outcome;

static bool note_range(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    outcome *got = arg;
    assert_int_equal(kind, KM_RANGE_LOST);
    assert_true(got->count < RANGES);
    assert_true(length > 0);
    if (got->count > 0) { /* rising, and joined where they touch */
        assert_true(offset > got->offsets[got->count - 1] + got->lengths[got->count - 1]);
    }
    got->offsets[got->count] = offset;
    got->lengths[got->count++] = length;
    return true;
}

static outcome salvage_bytes(const unsigned char *bytes, size_t length) {
    outcome got = {.count = 0};
    const km_salvage_options options = {
        .flags = KM_RESTORE_NO_SYNC,
        .lost = note_range,
        .lost_arg = &got,
        .report = &got.report,
    };
    (void)remove("salvaged");
    scratch_write("damaged", bytes, length);
    got.status = km_salvage("damaged", "salvaged", &options);
    if (got.status == KM_OK) {
        assert_int_equal(scratch_size("salvaged"), got.report.size);
        assert_int_equal(got.report.size, got.report.recovered + got.report.lost);
    } else {
        assert_int_equal(scratch_size("salvaged"), -1);
        assert_true(km_error_message()[0] != '\0');
    }
    return got;
}

/* Is the target the image, `size` bytes of it, but for zeros in the chunks that are lost, and have
 * just these been told? */
static void check_target(const subject *what, const outcome *got, const bool *lost, uint64_t size) {
    unsigned char *expected = calloc(1, size + 1);
    uint64_t lost_chunks = 0;
    uint64_t lost_bytes = 0;
    size_t range = 0;
    assert_non_null(expected);
    assert_int_equal(got->status, KM_OK);
    assert_int_equal(got->report.size, size);
    memcpy(expected, what->image, size);
    for (size_t chunk = 0; chunk < what->chunks && chunk * CHUNK < size; chunk++) {
        const uint64_t offset = chunk * CHUNK;
        const uint64_t length = size - offset < CHUNK ? size - offset : CHUNK;
        if (!lost[chunk]) {
            continue;
        }
        memset(expected + offset, 0, length);
        lost_chunks++;
        lost_bytes += length;
        if (range == 0 || !lost[chunk - 1]) {
            assert_true(range < got->count);
            assert_int_equal(got->offsets[range], offset);
            range++;
        }
        if (chunk + 1 == what->chunks || offset + length == size || !lost[chunk + 1]) {
            assert_int_equal(got->offsets[range - 1] + got->lengths[range - 1], offset + length);
        }
    }
    assert_int_equal(got->count, range);
    assert_int_equal(got->report.lost_chunks, lost_chunks);
    assert_int_equal(got->report.lost, lost_bytes);
    assert_true(scratch_equals("salvaged", expected, size));
    free(expected);
}

static bool any_left(const subject *what, const bool *lost) {
    for (size_t i = 0; i < what->chunks; i++) {
        if (!lost[i]) {
            return true;
        }
    }
    return false;
}

/* Salvages: the chunks in `lost`, and no others, must be lost. */
static outcome check(const subject *what, const bool *lost) {
    const outcome got = salvage_bytes(what->bytes, what->length);
    if (any_left(what, lost)) {
        check_target(what, &got, lost, what->size);
    } else {
        assert_int_equal(got.status, KM_E_CORRUPT);
    }
    return got;
}

/* ---- Undamaged ---- */

static void of_an_undamaged_snapshot_nothing_is_lost(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, CHUNK, CHUNK + 1, 5 * CHUNK};
    const bool lost[8] = {false};
    for (size_t i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
        const size_t size = sizes[i / 4];
        unsigned char *image = calloc(1, size + 1);
        assert_non_null(image);
        snapshot_text(image, size, 5);
        const snapshot_plan plan = {.level = i % 2 != 0, .total_unknown = i / 2 % 2 != 0};
        subject what = subject_of(image, size, &plan);
        const outcome got = check(&what, lost);
        assert_true(got.report.size_known);
        assert_true(got.report.index_found);
        drop(&what);
    }
}

static void zeros_of_the_image_are_holes_or_zeros_of_the_target(void **state) {
    (void)state;
    const bool lost[16] = {false};
    subject what = mixed_subject(9, &(snapshot_plan){.level = 0});
    (void)check(&what, lost);
    drop(&what);
}

static void an_index_of_many_members_is_used(void **state) {
    (void)state;
    enum { CHUNKS = KM_FORMAT_INDEX_ENTRIES + 2 };
    static bool lost[CHUNKS];
    static snapshot_member members[CHUNKS + 8];
    unsigned char *image = calloc(1, CHUNKS * CHUNK);
    assert_non_null(image);
    for (size_t i = 0; i < CHUNKS; i += 125) { /* 250 among them */
        memset(image + i * CHUNK, (int)(i % 255 + 1), 16);
    }
    subject what = {.image = image, .size = CHUNKS * CHUNK, .chunks = CHUNKS};
    what.bytes = snapshot_build(image, what.size, &(snapshot_plan){.level = 1}, &what.length);
    assert_true(snapshot_members(what.bytes, what.length, members, CHUNKS + 8) > CHUNKS);
    for (size_t i = 250; i < 253; i++) {
        memset(what.bytes + members[i].offset, 0, members[i].length);
        lost[i] = true;
    }
    const outcome got = check(&what, lost);
    assert_true(got.report.index_found);
    drop(&what);
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
    subject what = mixed_subject(7, plan);
    unsigned char *whole = malloc(what.length);
    assert_non_null(whole);
    memcpy(whole, what.bytes, what.length);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t from = 0; from < what.length; from += 20011) {
            bool lost[MEMBERS];
            const size_t left = what.length - from;
            punch(&what, from, from + (sizes[i] < left ? sizes[i] : left), lost);
            (void)check(&what, lost);
            memcpy(what.bytes, whole, what.length);
        }
    }
    free(whole);
    drop(&what);
}

static void after_a_hole_every_undamaged_chunk_is_back_and_the_lost_are_named(void **state) {
    (void)state;
    check_holes(&(snapshot_plan){.level = 1});
    check_holes(&(snapshot_plan){.level = 0});
}

static void after_a_hole_in_any_member_only_that_chunk_is_lost(void **state) {
    (void)state;
    subject what = mixed_subject(7, &(snapshot_plan){.level = 1});
    unsigned char *whole = malloc(what.length);
    assert_non_null(whole);
    memcpy(whole, what.bytes, what.length);
    for (size_t i = 0; i < what.count; i++) {
        bool lost[MEMBERS];
        const size_t from = what.members[i].offset;
        punch(&what, from, from + what.members[i].length, lost);
        const outcome got = check(&what, lost);
        assert_true(got.report.size_known);
        assert_int_equal(got.report.index_found, what.members[i].kind != KM_MEMBER_INDEX);
        memcpy(what.bytes, whole, what.length);
    }
    free(whole);
    drop(&what);
}

static void check_cuts(const snapshot_plan *plan) {
    subject what = small_subject(plan);
    const size_t whole = what.length;
    const size_t head_end = KM_FORMAT_FIRST_HEAD_SIZE;
    for (what.length = 0; what.length < whole; what.length++) {
        bool lost[MEMBERS];
        uint64_t size = 0;
        for (size_t i = 0; i < what.chunks; i++) {
            const snapshot_member *member = &what.members[i];
            const size_t head = i == 0 ? head_end : KM_FORMAT_HEAD_SIZE;
            lost[i] = member->offset + member->length > what.length;
            if (member->offset + head <= what.length) { /* the head tells how far it reaches */
                size = i + 1 == what.chunks ? what.size : (i + 1) * CHUNK;
            }
        }
        const bool known =
            !plan->total_unknown || what.length >= what.members[what.count - 1].offset;
        const outcome got = salvage_bytes(what.bytes, what.length);
        if (!any_left(&what, lost)) {
            assert_int_equal(got.status, KM_E_CORRUPT);
            continue;
        }
        check_target(&what, &got, lost, plan->total_unknown ? size : what.size);
        assert_int_equal(got.report.size_known, known);
    }
    drop(&what);
}

static void cut_anywhere_what_is_before_the_cut_is_back(void **state) {
    (void)state;
    check_cuts(&(snapshot_plan){.level = 1});
    check_cuts(&(snapshot_plan){.level = 1, .total_unknown = true});
}

static void with_a_bit_flipped_anywhere_only_that_chunk_is_lost(void **state) {
    (void)state;
    subject what = small_subject(&(snapshot_plan){.level = 1});
    for (size_t at = 0; at < what.length; at++) {
        bool lost[MEMBERS] = {false};
        for (size_t i = 0; i < what.chunks; i++) {
            lost[i] = at >= what.members[i].offset &&
                      at < what.members[i].offset + what.members[i].length;
        }
        what.bytes[at] ^= (unsigned char)(1u << at % 8);
        (void)check(&what, lost);
        what.bytes[at] ^= (unsigned char)(1u << at % 8);
    }
    drop(&what);
}

/* ---- Index, footer and facts lost ---- */

static void without_footer_index_and_facts_the_chunks_are_back(void **state) {
    (void)state;
    for (unsigned gone = 0; gone < 8; gone++) {
        subject what = mixed_subject(7, &(snapshot_plan){.level = 0});
        bool lost[MEMBERS] = {false};
        if ((gone & 1) != 0) {
            spoil_head(&what, what.count - 1);
        }
        if ((gone & 2) != 0) {
            spoil_head(&what, what.count - 2);
        }
        if ((gone & 4) != 0) {
            spoil_head(&what, 0);
            lost[0] = true;
        }
        const outcome got = check(&what, lost);
        assert_int_equal(got.report.index_found, (gone & 2) == 0);
        assert_int_equal(got.report.size_known, gone != 7);
        drop(&what);
    }
}

static void a_hole_in_the_middle_is_known_without_the_index(void **state) {
    (void)state;
    subject what = mixed_subject(7, &(snapshot_plan){.level = 0});
    const bool lost[MEMBERS] = {false, true, true};
    spoil_head(&what, 1);
    spoil_body(&what, 2);
    what.length = what.members[what.chunks].offset;
    const outcome got = check(&what, lost);
    assert_false(got.report.index_found);
    drop(&what);
}

static void a_single_chunk_that_cannot_be_placed_is_not_placed(void **state) {
    (void)state;
    unsigned char *image = malloc(2 * CHUNK);
    assert_non_null(image);
    snapshot_noise(image, 2 * CHUNK, 1);
    subject what = subject_of(image, 2 * CHUNK, &(snapshot_plan){.level = 0});
    /* It is as long as a chunk can be; but the last one may be short in larger chunks. */
    const outcome got = salvage_bytes(what.bytes + what.members[1].offset, what.members[1].length);
    assert_int_equal(got.status, KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "chunk size"));
    drop(&what);
}

/* ---- Members in strange places ---- */

static void exchanged_and_repeated_members_are_found_by_their_numbers(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false};
    subject what = mixed_subject(7, &(snapshot_plan){.level = 1});
    const snapshot_member *last = &what.members[6];
    unsigned char *moved = malloc(last->length);
    assert_non_null(moved);
    memcpy(moved, what.bytes + last->offset, last->length);
    put_in(&what, what.members[1].offset, moved, last->length);
    (void)check(&what, lost); /* twice */
    cut_out(&what, last->offset + last->length, last->length);
    (void)check(&what, lost); /* elsewhere */
    free(moved);
    drop(&what);
}

static void members_before_the_first_are_found_as_well(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false};
    subject what = mixed_subject(7, &(snapshot_plan){.level = 0});
    turn_around(&what, 0);
    const outcome got = check(&what, lost);
    assert_true(got.report.index_found);
    drop(&what);
}

static void the_member_that_the_index_knows_is_preferred(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false};
    subject what = mixed_subject(4, &(snapshot_plan){.id = 1, .level = 1});
    subject other = mixed_subject(4, &(snapshot_plan){.id = 2, .level = 1});
    const snapshot_member *foreign = &other.members[1];
    put_in(&what, what.members[1].offset, other.bytes + foreign->offset, foreign->length);
    (void)check(&what, lost);
    drop(&other);
    drop(&what);
}

static void garbage_before_behind_and_between_is_passed_over(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false};
    unsigned char garbage[5000];
    subject what = mixed_subject(7, &(snapshot_plan){.level = 1});
    snapshot_noise(garbage, sizeof garbage, 4);
    for (size_t i = 0; i + 20 < sizeof garbage; i += 50) {
        memcpy(garbage + i, what.bytes, 20); /* beginnings of heads */
    }
    put_in(&what, what.length, garbage, sizeof garbage);
    put_in(&what, what.members[3].offset, garbage, sizeof garbage);
    put_in(&what, 0, garbage, sizeof garbage);
    (void)check(&what, lost);
    drop(&what);
}

static void bytes_missing_in_a_body_lose_that_chunk_alone(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false, false, false, true};
    subject what = mixed_subject(7, &(snapshot_plan){.level = 0});
    cut_out(&what, what.members[3].offset + 30000, 12345);
    (void)check(&what, lost);
    drop(&what);
}

static void of_two_snapshots_the_one_with_more_is_taken_and_never_a_mixture(void **state) {
    (void)state;
    const bool none[MEMBERS] = {false};
    for (unsigned turn = 0; turn < 2; turn++) {
        subject one = mixed_subject(6, &(snapshot_plan){.id = 1, .level = 1});
        subject other = mixed_subject(turn == 0 ? 6 : 7, &(snapshot_plan){.id = 2, .level = 1});
        subject both = one; /* of equals the first */
        both.bytes = malloc(one.length + other.length);
        assert_non_null(both.bytes);
        memcpy(both.bytes, one.bytes, one.length);
        memcpy(both.bytes + one.length, other.bytes, other.length);
        both.length = one.length + other.length;
        const outcome got = salvage_bytes(both.bytes, both.length);
        const subject *taken = turn == 0 ? &one : &other;
        check_target(taken, &got, none, taken->size);
        free(both.bytes);
        drop(&one);
        drop(&other);
    }
}

static void the_end_of_one_snapshot_is_not_taken_for_the_end_of_another(void **state) {
    (void)state;
    subject one = mixed_subject(6, &(snapshot_plan){.id = 1, .level = 0});
    subject other = mixed_subject(6, &(snapshot_plan){.id = 2, .level = 0});
    /* Four chunks of the one, cut in the fifth, and the last two of the other with its end. */
    const bool lost[MEMBERS] = {false, false, false, false, true, true, true};
    one.length = one.members[4].offset + 777;
    put_in(&one, one.length, other.bytes + other.members[5].offset,
           other.length - other.members[5].offset);
    (void)check(&one, lost);
    drop(&other);
    drop(&one);
}

/* A snapshot lies in a stored chunk of another, whose head is damaged and whose index is lost: its
 * members from `first` on, up to `end`. */
static void check_nested(size_t first, size_t end) {
    const snapshot_plan plan = {.id = 1, .level = 0};
    subject inner = small_subject(&(snapshot_plan){.id = 2, .level = 1});
    subject what = mixed_subject(7, &plan);
    unsigned char *image = what.image;
    const size_t from = inner.members[first].offset;
    const size_t length = inner.members[end - 1].offset + inner.members[end - 1].length - from;
    /* With its beginning or its end in sight nobody knows which of the two goes on behind it, so
     * the first chunk is not taken for a part of what comes then. But what comes is right. */
    const bool lost[MEMBERS] = {first == 0 || end == inner.count, true};
    what.image = NULL;
    drop(&what);
    snapshot_noise(image + CHUNK, CHUNK, 8);
    memcpy(image + CHUNK + 100, inner.bytes + from, length);
    what = subject_of(image, 7 * CHUNK + 1000, &plan);
    spoil_head(&what, 1);
    what.length = what.members[what.chunks].offset;
    (void)check(&what, lost);
    drop(&inner);
    drop(&what);
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
    unsigned char *texts = malloc(5 * CHUNK);
    assert_non_null(texts);
    for (size_t i = 0; i < 5; i++) { /* noise, so that all are stored, but for zeros */
        snapshot_noise(texts + i * CHUNK, CHUNK, 70 + (unsigned)i);
    }
    memset(texts + CHUNK, 0, 2 * CHUNK);
    subject inner = subject_of(texts, 5 * CHUNK, &(snapshot_plan){.id = 2, .level = 0});
    subject what = mixed_subject(7, &plan);
    unsigned char *image = what.image;
    const size_t from = inner.members[1].offset;
    const size_t length = inner.members[3].offset + inner.members[3].length / 2 - from;
    const bool lost[MEMBERS] = {false, true, true};
    what.image = NULL;
    drop(&what);
    snapshot_noise(image + CHUNK, 2 * CHUNK, 8);
    memcpy(image + 2 * CHUNK + 100, inner.bytes + from, length);
    what = subject_of(image, 7 * CHUNK + 1000, &plan);
    spoil_head(&what, 1);
    spoil_head(&what, 2);
    what.length = what.members[what.chunks].offset;
    (void)check(&what, lost);
    drop(&inner);
    drop(&what);
}

/* In a damaged chunk lie the beginnings of two snapshots, and many small parts. */
static void parts_inside_a_damaged_chunk_do_not_hide_the_snapshot_around_it(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {true, true};
    subject one = small_subject(&(snapshot_plan){.id = 3, .level = 1});
    subject other = small_subject(&(snapshot_plan){.id = 4, .level = 1});
    subject what = mixed_subject(7, &(snapshot_plan){.id = 1, .level = 0});
    const snapshot_member *part = &other.members[1];
    unsigned char *inside = what.bytes + what.members[1].offset + KM_FORMAT_HEAD_SIZE;
    spoil_head(&what, 0);
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
    const outcome got = check(&what, lost);
    assert_true(got.report.index_found);
    drop(&one);
    drop(&other);
    drop(&what);
}

static void a_part_without_a_name_is_of_the_snapshot_whose_index_lists_it(void **state) {
    (void)state;
    bool lost[MEMBERS] = {true};
    subject one = mixed_subject(20, &(snapshot_plan){.id = 1, .level = 0});
    subject other = mixed_subject(20, &(snapshot_plan){.id = 2, .level = 0});
    /* Twelve chunks of the one, its end gone, and the other, of which two heads are damaged: what
     * is between these has no name, and chunks that the one has lost. */
    lost[14] = true;
    spoil_head(&other, 0);
    spoil_head(&other, 14);
    put_in(&other, 0, one.bytes, one.members[12].offset);
    const outcome got = check(&other, lost);
    assert_true(got.report.index_found);
    drop(&one);
    drop(&other);
}

static void what_follows_a_snapshot_too_many_is_of_none_before_it(void **state) {
    (void)state;
    const bool lost[MEMBERS] = {false, false, false, false, true, true, true, true};
    subject kept = mixed_subject(7, &(snapshot_plan){.id = 200, .level = 0});
    subject more = mixed_subject(7, &(snapshot_plan){.id = 201, .level = 0});
    /* 63 small ones, one cut in its fifth chunk, and one whose second head is damaged. */
    spoil_head(&more, 1);
    kept.length = kept.members[4].offset;
    put_in(&kept, kept.length, more.bytes, more.members[more.chunks].offset);
    for (unsigned i = 0; i + 1 < KM_PLAN_SNAPSHOTS; i++) {
        subject small = small_subject(&(snapshot_plan){.id = (uint8_t)(1 + i), .level = 1});
        put_in(&kept, 0, small.bytes, small.length);
        drop(&small);
    }
    (void)check(&kept, lost);
    drop(&more);
    drop(&kept);
}

/* ---- Hostile files ---- */

/* Looks through the file to its end; the members that are whole. */
static unsigned scan_all(const char *name, uint64_t *wasted) {
    km_input input;
    km_scan scan;
    km_scan_result result = KM_SCAN_PAUSE;
    unsigned whole = 0;
    uint64_t position = 0;
    assert_int_equal(km_input_open(&input, name, SHARE_ALL, "testing"), KM_OK);
    km_scan_begin(&scan, &input);
    while (result != KM_SCAN_END) {
        km_scan_member member;
        assert_int_equal(km_scan_next(&scan, &member, &result), KM_OK);
        assert_true(result == KM_SCAN_END || scan.position > position);
        position = scan.position;
        whole += result == KM_SCAN_MEMBER && member.kind == KM_MEMBER_DATA && member.as.data.whole;
    }
    *wasted = scan.wasted;
    km_scan_end(&scan);
    km_input_close(&input);
    return whole;
}

static void heads_that_promise_much_everywhere_cost_a_few_sums_a_byte(void **state) {
    (void)state;
    const size_t length = (size_t)4 << 20;
    const uint64_t promised = (uint64_t)1 << 20;
    unsigned char *bytes = calloc(1, length);
    uint64_t wasted = 0;
    assert_non_null(bytes);
    for (size_t at = 0; at + KM_FORMAT_HEAD_SIZE <= length; at += KM_FORMAT_HEAD_SIZE) {
        const km_format_entry entry = {
            .packed_length = (uint32_t)promised, .raw_length = (uint32_t)promised, .sum = at};
        km_format_head_write(1 + at, &entry, NULL, bytes + at);
    }
    scratch_write("heads", bytes, length);
    assert_int_equal(scan_all("heads", &wasted), 0);
    assert_true(wasted <= 5 * (length + promised));
    assert_int_equal(salvage_bytes(bytes, length).status, KM_E_CORRUPT);
    free(bytes);
}

static void index_heads_everywhere_cost_a_few_sums_a_byte(void **state) {
    (void)state;
    const size_t length = (size_t)4 << 20;
    unsigned char *bytes = calloc(1, length);
    unsigned char *member = calloc(1, KM_FORMAT_INDEX_SIZE_MAX);
    unsigned char *entries = calloc(KM_FORMAT_INDEX_ENTRIES, KM_FORMAT_ENTRY_SIZE);
    uint64_t wasted = 0;
    assert_non_null(bytes);
    assert_non_null(member);
    assert_non_null(entries);
    km_format_index_write(0, KM_FORMAT_INDEX_ENTRIES, entries, member);
    for (size_t at = 0; at + 36 <= length; at += 36) {
        memcpy(bytes + at, member, 36);
    }
    scratch_write("indexes", bytes, length);
    assert_int_equal(scan_all("indexes", &wasted), 0);
    assert_true(wasted <= 5 * (length + KM_FORMAT_INDEX_SIZE_MAX));
    free(entries);
    free(member);
    free(bytes);
}

/* Each lies within the one before, all sums are right, and no entry is possible. */
static void index_members_inside_one_another_cost_a_few_sums_a_byte(void **state) {
    (void)state;
    enum { LEVELS = 100, SIZE = KM_FORMAT_INDEX_SIZE_MAX, STEP = 2 * KM_FORMAT_ENTRY_SIZE };
    const size_t length = 64 * (size_t)SIZE;
    unsigned char *bytes = calloc(1, length);
    unsigned char *entries = malloc(SIZE);
    uint64_t wasted = 0;
    assert_non_null(bytes);
    assert_non_null(entries);
    for (size_t at = 0; at < length; at += SIZE) {
        for (size_t level = LEVELS; level-- > 0;) { /* two entries of room before and behind */
            const uint32_t count = KM_FORMAT_INDEX_ENTRIES - 4 * (uint32_t)level;
            unsigned char *member = bytes + at + level * STEP;
            memcpy(entries, member + 32, (size_t)count * KM_FORMAT_ENTRY_SIZE);
            km_format_index_write(0, count, entries, member);
        }
    }
    scratch_write("nested", bytes, length);
    assert_int_equal(scan_all("nested", &wasted), 0);
    assert_true(wasted >= 4 * length); /* then it ended */
    assert_true(wasted <= 5 * (length + SIZE));
    free(entries);
    free(bytes);
}

static void a_size_alone_is_never_tried(void **state) {
    (void)state;
    km_format_footer footer = {
        .chunk_shift = KM_CHUNK_SHIFT_MIN,
        .hash_kind = KM_FORMAT_HASH_XXH3_128,
        .total = KM_FORMAT_TOTAL_MAX,
        .chunks = KM_FORMAT_CHUNKS_MAX,
        .index_offset = KM_FORMAT_TOTAL_MAX,
    };
    unsigned char bytes[KM_FORMAT_FOOTER_SIZE];
    km_format_footer_write(&footer, bytes);
    assert_int_equal(salvage_bytes(bytes, sizeof bytes).status, KM_E_CORRUPT);
}

static void a_member_behind_many_damaged_ones_is_found(void **state) {
    (void)state;
    subject what = mixed_subject(20, &(snapshot_plan){.level = 0});
    bool lost[MEMBERS];
    uint64_t wasted = 0;
    for (size_t i = 0; i < what.chunks; i++) {
        lost[i] = i + 1 < what.chunks;
        if (lost[i]) {
            spoil_body(&what, i);
        }
    }
    (void)check(&what, lost);
    assert_int_equal(scan_all("damaged", &wasted), 1);
    assert_true(wasted <= what.length);
    drop(&what);
}

static void what_is_no_snapshot_gives_no_target(void **state) {
    (void)state;
    static unsigned char noise[300000];
    snapshot_noise(noise, sizeof noise, 12);
    assert_int_equal(salvage_bytes(noise, sizeof noise).status, KM_E_CORRUPT);
    assert_int_equal(salvage_bytes(noise, 0).status, KM_E_CORRUPT);
    memset(noise, 0x1f, sizeof noise);
    assert_int_equal(salvage_bytes(noise, sizeof noise).status, KM_E_CORRUPT);
    assert_int_equal(km_salvage("nowhere", "salvaged", NULL), KM_E_NOT_FOUND);
    assert_int_equal(scratch_size("salvaged"), -1);
}

/* ---- The target and the options ---- */

static void an_existing_target_is_replaced_on_demand_alone(void **state) {
    (void)state;
    subject what = small_subject(&(snapshot_plan){.level = 1});
    km_salvage_options options = {.flags = KM_RESTORE_REPLACE};
    scratch_write("source", what.bytes, what.length);
    scratch_write("target", "old", 3);
    assert_int_equal(km_salvage("source", "target", NULL), KM_E_EXISTS);
    assert_true(scratch_equals("target", "old", 3));
    assert_int_equal(km_salvage("source", "target", &options), KM_OK);
    assert_true(scratch_equals("target", what.image, what.size));
    assert_int_equal(km_salvage("source", "source", &options), KM_E_BUSY);
    assert_true(scratch_equals("source", what.bytes, what.length));
    drop(&what);
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
            turn_around(&what, 1);
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
        drop(&what);
    }
    scratch_remove("turned");
    scratch_remove("salvaged");
}

static void cancelled_at_any_call_it_leaves_nothing(void **state) {
    (void)state;
    subject what = mixed_subject(4, &(snapshot_plan){.level = 1});
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
    spoil_body(&what, 2);
    scratch_write("source", what.bytes, what.length);
    const km_salvage_options options = {.lost = stop_range};
    assert_int_equal(km_salvage("source", "cancelled", &options), KM_E_CANCELLED);
    assert_int_equal(scratch_entries(), entries);
    drop(&what);
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
        cmocka_unit_test(the_member_that_the_index_knows_is_preferred),
        cmocka_unit_test(garbage_before_behind_and_between_is_passed_over),
        cmocka_unit_test(bytes_missing_in_a_body_lose_that_chunk_alone),
        cmocka_unit_test(of_two_snapshots_the_one_with_more_is_taken_and_never_a_mixture),
        cmocka_unit_test(the_end_of_one_snapshot_is_not_taken_for_the_end_of_another),
        cmocka_unit_test(a_snapshot_inside_a_damaged_chunk_is_not_taken_for_it),
        cmocka_unit_test(a_head_that_promises_much_makes_no_part_of_another_snapshot_trusted),
        cmocka_unit_test(parts_inside_a_damaged_chunk_do_not_hide_the_snapshot_around_it),
        cmocka_unit_test(a_part_without_a_name_is_of_the_snapshot_whose_index_lists_it),
        cmocka_unit_test(what_follows_a_snapshot_too_many_is_of_none_before_it),
        cmocka_unit_test(heads_that_promise_much_everywhere_cost_a_few_sums_a_byte),
        cmocka_unit_test(index_heads_everywhere_cost_a_few_sums_a_byte),
        cmocka_unit_test(index_members_inside_one_another_cost_a_few_sums_a_byte),
        cmocka_unit_test(a_size_alone_is_never_tried),
        cmocka_unit_test(a_member_behind_many_damaged_ones_is_found),
        cmocka_unit_test(what_is_no_snapshot_gives_no_target),
        cmocka_unit_test(an_existing_target_is_replaced_on_demand_alone),
        cmocka_unit_test(progress_is_told_in_whatever_order_the_chunks_lie),
        cmocka_unit_test(cancelled_at_any_call_it_leaves_nothing),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
