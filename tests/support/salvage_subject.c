/*
 * salvage_subject.c - snapshots to damage, and what km_salvage makes of them.
 */
#include "salvage_subject.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scratch.h"

#define SMALL (2 * SUBJECT_CHUNK + 100)

subject subject_of(unsigned char *image, size_t size, const snapshot_plan *plan) {
    subject made = {.image = image, .size = size};
    made.bytes = snapshot_build(image, size, plan, &made.length);
    made.count = snapshot_members(made.bytes, made.length, made.members, SUBJECT_MEMBERS);
    while (made.chunks < made.count && made.members[made.chunks].kind == KM_MEMBER_DATA) {
        made.chunks++;
    }
    return made;
}

subject subject_small(const snapshot_plan *plan) {
    unsigned char *image = calloc(1, SMALL);
    assert_non_null(image);
    memset(image + 2 * SUBJECT_CHUNK, 'k', SMALL - 2 * SUBJECT_CHUNK);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is in what is returned, for subject_drop */
    return subject_of(image, SMALL, plan);
}

subject subject_mixed(size_t chunks, const snapshot_plan *plan) {
    const size_t size = chunks * SUBJECT_CHUNK + 1000;
    unsigned char *image = calloc(1, size);
    assert_non_null(image);
    for (size_t i = 0; i <= chunks; i++) {
        const size_t length = i < chunks ? SUBJECT_CHUNK : 1000;
        if (i % 3 == 0) {
            snapshot_noise(image + i * SUBJECT_CHUNK, length, plan->id * 100u + (unsigned)i);
        } else if (i % 3 == 1) {
            snapshot_text(image + i * SUBJECT_CHUNK, length, plan->id * 100u + (unsigned)i);
        }
    }
    return subject_of(image, size, plan);
}

void subject_drop(subject *what) {
    free(what->image);
    free(what->bytes);
}

void subject_cut_out(subject *what, size_t offset, size_t length) {
    memmove(what->bytes + offset, what->bytes + offset + length, what->length - offset - length);
    what->length -= length;
}

void subject_put_in(subject *what, size_t offset, const void *bytes, size_t length) {
    unsigned char *larger = realloc(what->bytes, what->length + length);
    assert_non_null(larger);
    memmove(larger + offset + length, larger + offset, what->length - offset);
    memcpy(larger + offset, bytes, length);
    what->bytes = larger;
    what->length += length;
}

void subject_turn_around(subject *what, size_t first) {
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

void subject_spoil_head(subject *what, size_t member) {
    what->bytes[what->members[member].offset + 21] ^= 0x10;
}

void subject_spoil_body(subject *what, size_t member) {
    const snapshot_member *where = &what->members[member];
    what->bytes[where->offset + where->length - 9] ^= 0x10;
}

/* ---- Salvaging ---- */

static bool note_range(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    salvage_outcome *got = arg;
    assert_int_equal(kind, KM_RANGE_LOST);
    assert_true(got->count < OUTCOME_RANGES);
    assert_true(length > 0);
    if (got->count > 0) { /* rising, and joined where they touch */
        assert_true(offset > got->offsets[got->count - 1] + got->lengths[got->count - 1]);
    }
    got->offsets[got->count] = offset;
    got->lengths[got->count++] = length;
    return true;
}

salvage_outcome salvage_bytes(const unsigned char *bytes, size_t length) {
    salvage_outcome got = {.count = 0};
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

void salvage_check_target(const subject *what, const salvage_outcome *got, const bool *lost,
                          uint64_t size) {
    unsigned char *expected = calloc(1, size + 1);
    uint64_t lost_chunks = 0;
    uint64_t lost_bytes = 0;
    size_t range = 0;
    assert_non_null(expected);
    assert_int_equal(got->status, KM_OK);
    assert_int_equal(got->report.size, size);
    memcpy(expected, what->image, size);
    for (size_t chunk = 0; chunk < what->chunks && chunk * SUBJECT_CHUNK < size; chunk++) {
        const uint64_t offset = chunk * SUBJECT_CHUNK;
        const uint64_t length = size - offset < SUBJECT_CHUNK ? size - offset : SUBJECT_CHUNK;
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

bool subject_any_left(const subject *what, const bool *lost) {
    for (size_t i = 0; i < what->chunks; i++) {
        if (!lost[i]) {
            return true;
        }
    }
    return false;
}

salvage_outcome salvage_check(const subject *what, const bool *lost) {
    const salvage_outcome got = salvage_bytes(what->bytes, what->length);
    if (subject_any_left(what, lost)) {
        salvage_check_target(what, &got, lost, what->size);
    } else {
        assert_int_equal(got.status, KM_E_CORRUPT);
    }
    return got;
}
