/*
 * test_fault_restore.c - every allocation and every system call fails once, in each way there is to
 * restore a snapshot.
 *
 * For each scenario the first call fails, then the second, and so on until a run meets no fault any
 * more; each time that one call alone, and again with every later one failing as well. Either the
 * image is there, exactly, or there is a status with a sentence and the target is as it was (in
 * place: such that the next call repairs it). Never is a descriptor, an allocation or a file left.
 *
 * Native only: it stands in for the system calls with the linker's --wrap. One thread restores,
 * since only the thread that armed a fault is hit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "posix/fault/sweep.h"
#include "posix/named_object.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/unique.h"

#define SIZE (3 * IMAGE_CHUNK + 100)
#define OLD "what was there before"

static image one;
static unsigned char *snapshot;
static size_t snapshot_length;
static unsigned char memory[SIZE];
/* So that nothing the tests themselves do with streams is among the allocations. */
static unsigned char stream_out[SIZE];

/* ---- The scenarios ---- */

static void prepare_nothing(void) {
    (void)remove("target"); /* it need not be there */
}

static void prepare_old(void) {
    scratch_write("target", OLD, strlen(OLD));
}

static void prepare_similar(void) {
    unsigned char *bytes = malloc(SIZE + 5);
    assert_non_null(bytes);
    memset(bytes, 1, SIZE + 5);
    memcpy(bytes, one.bytes, IMAGE_CHUNK);
    scratch_write("target", bytes, SIZE + 5);
    free(bytes);
}

static void target_is_image(void) {
    assert_true(image_is_file(&one, 0, SIZE, "target"));
}

/* What fails after the naming may find no way back any more: then the target is whole. */
static void no_target(void) {
    if (scratch_size("target") != -1) {
        target_is_image();
    }
}

static void target_is_old(void) {
    if (!scratch_equals("target", OLD, strlen(OLD))) {
        target_is_image();
    }
}

static void target_can_be_repaired(void) {
    km_restore_options options = {.flags = KM_RESTORE_IN_PLACE, .threads = 1};
    assert_int_equal(km_restore("snapshot.kms", "target", &options), KM_OK);
    target_is_image();
}

static void memory_is_image(void) {
    assert_memory_equal(memory, one.bytes, SIZE);
}

static void stream_is_image(void) {
    assert_memory_equal(stream_out, one.bytes, SIZE);
}

static void nothing_to_see(void) {
}

static km_status run_file(void) {
    km_restore_options options = {.threads = 1};
    return km_restore("snapshot.kms", "target", &options);
}

static km_status run_replace(void) {
    km_restore_options options = {.flags = KM_RESTORE_REPLACE, .threads = 1};
    return km_restore("snapshot.kms", "target", &options);
}

static km_status run_in_place(void) {
    km_restore_options options = {.flags = KM_RESTORE_IN_PLACE, .threads = 1};
    return km_restore("snapshot.kms", "target", &options);
}

static km_status run_from_stream(void) {
    snapshot_stream inlet = {.bytes = snapshot, .length = snapshot_length};
    km_restore_options options = {.threads = 1, .read = snapshot_stream_read, .read_arg = &inlet};
    return km_restore(NULL, "target", &options);
}

static km_status take(const void *from, size_t length, void *arg) {
    size_t *have = arg;
    assert_true(length <= SIZE - *have);
    memcpy(stream_out + *have, from, length);
    *have += length;
    return KM_OK;
}

static km_status run_to_stream(void) {
    size_t have = 0;
    km_restore_options options = {.threads = 1, .write = take, .write_arg = &have};
    return km_restore("snapshot.kms", NULL, &options);
}

static km_status run_memory(void) {
    km_restore_options options = {.threads = 1};
    return km_restore_memory("snapshot.kms", memory, SIZE, &options);
}

static km_status run_segment(void) {
    km_map *map = NULL;
    const char *name = unique_name("restored");
    km_options options = {.access = KM_PRIVATE};
    const km_status status = km_restore_segment(&map, "snapshot.kms", name, &options);
    if (status == KM_OK) {
        memcpy(memory, km_data(map), SIZE);
    } else {
        assert_null(map);
    }
    (void)km_close(map);
    return status;
}

static void no_segment(void) {
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, unique_name("restored"), NULL), KM_E_NOT_FOUND);
}

static const sweep_scenario scenarios[] = {
    {"a new file", prepare_nothing, run_file, target_is_image, no_target},
    {"a file replaced", prepare_old, run_replace, target_is_image, target_is_old},
    {"in place", prepare_similar, run_in_place, target_is_image, target_can_be_repaired},
    {"from a stream", prepare_nothing, run_from_stream, target_is_image, no_target},
    {"to a stream", prepare_nothing, run_to_stream, stream_is_image, nothing_to_see},
    {"to memory", prepare_nothing, run_memory, memory_is_image, nothing_to_see},
    {"to a segment", prepare_nothing, run_segment, memory_is_image, no_segment},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* ---- The sweep ---- */

static void sweep(void **state) {
    static const sweep_rules rules = {.prepare = sweep_prepare,
                                      .run = sweep_run,
                                      .check = sweep_check,
                                      .target = "target",
                                      .first_failure_keeps = true};
    for (size_t s = 0; s < SCENARIOS; s++) {
        /* A scenario that makes no call at all would have shown nothing. */
        assert_true(sweep_calls(&rules, scenarios[s].name, &scenarios[s], *state) > 0);
    }
}

/* This process does not sweep up after others from now on: told that there are no locks, it would
 * take their files for abandoned. */
static int prepare_all(void **state) {
    (void)state;
    kmw_sweep_interval_ms = UINT_MAX;
    one = image_make("trz", SIZE);
    image_snapshot(&one, "snapshot.kms", NULL);
    snapshot = image_load("snapshot.kms", &snapshot_length);
    return sweep_use_many_handles("snapshot.kms");
}

static int free_all(void **state) {
    (void)state;
    free(snapshot);
    image_free(&one);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SWEEP_TESTS(sweep),
        SWEEP_TEST(a_system_call_that_fails_leaves_nothing_behind, sweep, FAULT_SYSTEM, EIO, false),
    };
    return cmocka_run_group_tests(tests, prepare_all, free_all);
}
