/*
 * test_fault_snapshot.c - every allocation and every system call of a snapshot fails once.
 *
 * For each scenario: the first call fails, then the second, and so on until a run meets no fault
 * any more; each time that one call alone, and again with every later one failing as well. Whatever
 * happens, either there is a snapshot and it is right, or there is a status with a sentence, and
 * the target is as it was. Never is a descriptor, a mapping, an allocation or a temporary file left
 * behind.
 *
 * Faults strike the thread that armed them, so the work is done in that one; where threads are to
 * be started, their starting fails.
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

#include "posix/fault/fault.h"
#include "posix/fault/sweep.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK
#define SIZE (3 * CHUNK + 500)

static image now, before; /* what the source holds, and what the earlier snapshot does */

typedef struct scenario {
    const char *name;
    km_access access;
    km_snapshot_options options;
    bool stream; /* from one */
} scenario;

static const scenario scenarios[] = {
    {"new", KM_READ, {.chunk_size = CHUNK, .threads = 1}, false},
    {"stored", KM_READ, {.chunk_size = CHUNK, .threads = 1, .level = KM_LEVEL_STORED}, false},
    {"private", KM_PRIVATE, {.chunk_size = CHUNK, .threads = 1}, false},
    {"threads", KM_READ, {.chunk_size = CHUNK, .threads = 3}, false},
    {"replacing", KM_WRITE, {.flags = KM_SNAPSHOT_REPLACE, .threads = 1}, false},
    {"since", KM_WRITE, {.since = "earlier.gz", .threads = 1}, false},
    {"compared",
     KM_WRITE,
     {.flags = KM_SNAPSHOT_COMPARE, .since = "earlier.gz", .threads = 1},
     false},
    {"a stream", KM_READ, {.chunk_size = CHUNK, .threads = 1, .read = snapshot_stream_read}, true},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static void prepare(const void *arg) {
    const scenario *what = arg;
    (void)remove("target.gz"); /* it need not be there */
    if ((what->options.flags & KM_SNAPSHOT_REPLACE) != 0) {
        scratch_write("target.gz", "old", 3);
    }
}

static km_status run(const void *arg) {
    const scenario *what = arg;
    snapshot_stream stream = {.bytes = now.bytes, .length = now.size};
    km_snapshot_options options = what->options;
    km_map *map = NULL;
    km_status status = KM_OK;
    if (what->stream) {
        options.read_arg = &stream;
    } else {
        const km_options access = {.access = what->access};
        status = km_open(&map, "source", &access);
    }
    if (status == KM_OK) {
        status = km_snapshot(map, "target.gz", &options);
    }
    const bool holds_lock = status == KM_OK && map != NULL && km_unlock(map) == KM_OK;
    (void)km_close(map);
    assert_false(holds_lock);
    return status;
}

/*
 * After a failure the target is as it was, unless that came after it had got its name and could not
 * be taken back: then it is whole, and at most not durable.
 */
static void check(const void *arg, km_status status, bool from_then_on) {
    const scenario *what = arg;
    const bool replaces = (what->options.flags & KM_SNAPSHOT_REPLACE) != 0;
    const bool is_as_it_was =
        replaces ? scratch_equals("target.gz", "old", 3) : scratch_size("target.gz") == -1;
    if (status == KM_OK || !is_as_it_was) {
        assert_true(status == KM_OK || replaces || from_then_on);
        taken_holds("target.gz", now.bytes, now.size);
    }
}

static void sweep(void **state) {
    static const sweep_rules rules = {.prepare = prepare,
                                      .run = run,
                                      .check = check,
                                      .target = "target.gz",
                                      .first_failure_keeps = true};
    for (size_t s = 0; s < SCENARIOS; s++) {
        assert_true(sweep_calls(&rules, scenarios[s].name, &scenarios[s], *state) >= 5);
    }
}

/* ---- More of them ---- */

static void without_threads_one_does_all(void **state) {
    (void)state;
    const scenario *threads = &scenarios[3];
    assert_string_equal(threads->name, "threads");
    for (unsigned k = 1; k < 3; k++) {
        prepare(threads);
        fault_arm_call("pthread_create", k, EAGAIN, true);
        assert_int_equal(run(threads), KM_OK);
        const bool refused = fault_disarm();
        assert_true(refused || k == 2); /* the first may have done all before one more is wanted */
        taken_holds("target.gz", now.bytes, now.size);
    }
}

static void a_disk_that_fills_up_is_said_to_be_full(void **state) {
    (void)state;
    prepare(&scenarios[0]);
    fault_arm_call("pwrite64", 1, ENOSPC, true);
    assert_int_equal(run(&scenarios[0]), KM_E_NO_SPACE);
    assert_true(fault_disarm());
    assert_non_null(strstr(km_error_message(), "target.gz"));
}

static void a_tracker_that_loses_its_memory_only_reads_more(void **state) {
    (void)state;
    const km_options sole = {.access = KM_WRITE, .flags = KM_OPEN_SOLE};
    km_snapshot_report report = {.struct_size = sizeof report};
    km_snapshot_options how = {.flags = KM_SNAPSHOT_TRACK | KM_SNAPSHOT_REPLACE,
                               .chunk_size = CHUNK,
                               .threads = 1,
                               .report = &report};
    for (unsigned k = 1;; k++) {
        km_map *map = taken_map(&now, "watched", &sole);
        (void)remove("watched.gz");
        how.since = NULL;
        assert_int_equal(km_snapshot(map, "watched.gz", &how), KM_OK);
        how.since = "watched.gz";
        ((char *)km_data(map))[0] ^= 1;
        fault_arm(FAULT_ALLOCATIONS, k, ENOMEM, false);
        km_status status = km_snapshot(map, "watched.gz", &how);
        const bool struck = fault_disarm();
        if (status != KM_OK) {
            assert_int_equal(status, KM_E_NO_MEMORY);
        } else {
            taken_holds("watched.gz", km_data(map), now.size);
        }
        ((char *)km_data(map))[CHUNK] ^= 1;
        assert_int_equal(km_snapshot(map, "watched.gz", &how), KM_OK);
        taken_holds("watched.gz", km_data(map), now.size);
        km_close(map);
        if (!struck) {
            return;
        }
    }
}

static int make_files(void **state) {
    (void)state;
    now = image_make("ttrz", SIZE);
    before = image_make("tttz", SIZE);
    scratch_write("source", now.bytes, now.size);
    image_snapshot(&before, "earlier.gz", NULL);
    return sweep_use_many_handles("source");
}

static int free_images(void **state) {
    (void)state;
    image_free(&now);
    image_free(&before);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SWEEP_TESTS(sweep),
        SWEEP_TEST(a_system_call_that_fails_with_an_io_error_leaves_nothing_behind, sweep,
                   FAULT_SYSTEM, EIO, false),
        cmocka_unit_test(without_threads_one_does_all),
        cmocka_unit_test(a_disk_that_fills_up_is_said_to_be_full),
        cmocka_unit_test(a_tracker_that_loses_its_memory_only_reads_more),
    };
    return cmocka_run_group_tests(tests, make_files, free_images);
}
