/*
 * test_salvage_hostile.c - km_salvage on files made to mislead it: nothing is found that is not
 * there, in a time that the length of the file bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "input.h"
#include "salvage_scan.h"
#include "support/salvage_subject.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

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
    subject what = subject_mixed(20, &(snapshot_plan){.level = 0});
    bool lost[SUBJECT_MEMBERS];
    uint64_t wasted = 0;
    for (size_t i = 0; i < what.chunks; i++) {
        lost[i] = i + 1 < what.chunks;
        if (lost[i]) {
            subject_spoil_body(&what, i);
        }
    }
    (void)salvage_check(&what, lost);
    assert_int_equal(scan_all("damaged", &wasted), 1);
    assert_true(wasted <= what.length);
    subject_drop(&what);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_promise_much_everywhere_cost_a_few_sums_a_byte),
        cmocka_unit_test(index_heads_everywhere_cost_a_few_sums_a_byte),
        cmocka_unit_test(index_members_inside_one_another_cost_a_few_sums_a_byte),
        cmocka_unit_test(a_size_alone_is_never_tried),
        cmocka_unit_test(a_member_behind_many_damaged_ones_is_found),
        cmocka_unit_test(what_is_no_snapshot_gives_no_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
