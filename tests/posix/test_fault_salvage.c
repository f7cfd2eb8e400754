/*
 * test_fault_salvage.c - every allocation and every system call of km_salvage, km_diff and a stream
 * fails once: either the work is done and right, or there is a status with a sentence, nothing is
 * left behind, and nothing is taken for lost because it could not be read.
 *
 * Not under tsan: one thread does it all.
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "posix/fault/sweep.h"
#include "snapshot_stream.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)
#define SIZE (3 * CHUNK + 500)

static unsigned char *image;
static unsigned char *snapshot;
static size_t snapshot_length;
static unsigned lost_ranges;

static int make_files(void **state) {
    (void)state;
    image = malloc(SIZE);
    assert_non_null(image);
    snapshot_text(image, SIZE, 6);
    snapshot = snapshot_build(image, SIZE, &(snapshot_plan){.level = 1}, &snapshot_length);
    scratch_write("image", image, SIZE);
    scratch_write("snapshot", snapshot, snapshot_length);
    return sweep_use_many_handles("snapshot");
}

static int clear(void **state) {
    (void)state;
    free(image);
    free(snapshot);
    return 0;
}

static bool count_lost(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    (void)kind;
    (void)offset;
    (void)length;
    (void)arg;
    lost_ranges++;
    return true;
}

/* ---- What is tried ---- */

typedef struct scenario {
    const char *name;
    const char *target;
    km_status (*run)(void);
    void (*check)(km_status status, bool from_then_on);
} scenario;

static km_status run_salvage(void) {
    const km_salvage_options options = {.lost = count_lost};
    return km_salvage("snapshot", "target", &options);
}

/* Where all calls fail from then on, a target that has its name cannot be removed any more. */
static void check_salvage(km_status status, bool from_then_on) {
    const bool there = scratch_size("target") >= 0;
    assert_true(status == KM_OK ? there : !there || from_then_on);
    if (there) {
        assert_int_equal(lost_ranges, 0);
        assert_true(scratch_equals("target", image, SIZE));
    }
}

static km_status run_replacing(void) {
    const km_salvage_options options = {.flags = KM_RESTORE_REPLACE, .lost = count_lost};
    return km_salvage("snapshot", "existing", &options);
}

static void check_replacing(km_status status, bool from_then_on) {
    (void)from_then_on;
    if (status == KM_OK) {
        assert_int_equal(lost_ranges, 0);
    }
    assert_true(scratch_equals("existing", image, SIZE) ||
                (status != KM_OK && scratch_equals("existing", "old", 3)));
}

static km_diff_report diff_report;

static km_status run_diff(void) {
    const km_diff_options options = {.threads = 1, .range = count_lost, .report = &diff_report};
    diff_report = (km_diff_report){.struct_size = sizeof diff_report};
    return km_diff("image", "snapshot", &options);
}

static void check_diff(km_status status, bool from_then_on) {
    (void)from_then_on;
    assert_int_equal(lost_ranges, 0);
    assert_int_equal(diff_report.a_size, status == KM_OK ? SIZE : 0);
}

static km_status run_stream(void) {
    snapshot_stream from = {.bytes = snapshot, .length = snapshot_length};
    static unsigned char packed[CHUNK + 100];
    km_stream *stream = NULL;
    bool end = false;
    km_status status = km_stream_begin(snapshot_stream_read, &from, &stream);
    while (status == KM_OK && !end) {
        uint64_t chunk = 0;
        km_format_entry entry;
        status = km_stream_next(stream, &chunk, &entry, packed, &end);
    }
    km_stream_end(stream);
    return status;
}

static void check_stream(km_status status, bool from_then_on) {
    (void)from_then_on;
    assert_int_not_equal(status, KM_E_CORRUPT);
}

/* ---- The sweeps ---- */

static void prepare(const void *arg) {
    (void)arg;
    (void)remove("target"); /* it need not be there */
    scratch_write("existing", "old", 3);
    lost_ranges = 0;
}

static km_status run(const void *arg) {
    const scenario *what = arg;
    return what->run();
}

static void check(const void *arg, km_status status, bool from_then_on) {
    const scenario *what = arg;
    assert_int_not_equal(status, KM_E_CORRUPT);
    what->check(status, from_then_on);
}

static void sweep(const scenario *what) {
    static const sweep_fault faults[] = {
        {FAULT_ALLOCATIONS, ENOMEM, false}, {FAULT_ALLOCATIONS, ENOMEM, true},
        {FAULT_SYSTEM, EIO, false},         {FAULT_SYSTEM, EIO, true},
        {FAULT_SYSTEM, EACCES, false},      {FAULT_SYSTEM, EACCES, true},
    };
    const sweep_rules rules = {
        .prepare = prepare, .run = run, .check = check, .target = what->target};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        (void)sweep_calls(&rules, what->name, what, &faults[i]);
    }
}

static void whatever_fails_salvage_makes_a_right_target_or_none(void **state) {
    (void)state;
    sweep(&(scenario){"salvage", "target", run_salvage, check_salvage});
}

static void whatever_fails_salvage_replaces_a_target_wholly_or_not(void **state) {
    (void)state;
    sweep(&(scenario){"salvage onto a file", "existing", run_replacing, check_replacing});
}

static void whatever_fails_diff_tells_no_difference_that_is_none(void **state) {
    (void)state;
    sweep(&(scenario){"diff", "target", run_diff, check_diff});
}

static void without_memory_a_stream_fails_and_is_not_called_damaged(void **state) {
    (void)state;
    sweep(&(scenario){"stream", "target", run_stream, check_stream});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_salvage_makes_a_right_target_or_none),
        cmocka_unit_test(whatever_fails_salvage_replaces_a_target_wholly_or_not),
        cmocka_unit_test(whatever_fails_diff_tells_no_difference_that_is_none),
        cmocka_unit_test(without_memory_a_stream_fails_and_is_not_called_damaged),
    };
    return cmocka_run_group_tests(tests, make_files, clear);
}
