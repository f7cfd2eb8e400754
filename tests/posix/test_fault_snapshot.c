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

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keepmap.h>

#include "posix/fault/fault.h"
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

static void prepare(const scenario *what) {
    (void)remove("target.gz"); /* it need not be there */
    if ((what->options.flags & KM_SNAPSHOT_REPLACE) != 0) {
        scratch_write("target.gz", "old", 3);
    }
}

static km_status run(const scenario *what) {
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
static void check(const scenario *what, km_status status, bool from_then_on) {
    const bool replaces = (what->options.flags & KM_SNAPSHOT_REPLACE) != 0;
    const bool is_as_it_was =
        replaces ? scratch_equals("target.gz", "old", 3) : scratch_size("target.gz") == -1;
    if (status == KM_OK || !is_as_it_was) {
        assert_true(status == KM_OK || replaces || from_then_on);
        taken_holds("target.gz", now.bytes, now.size);
    }
}

/* ---- What must not be left behind ---- */

typedef struct footprint {
    long allocations;
    size_t descriptors, mappings;
} footprint;

static size_t count_descriptors(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Mappings of files of this directory. */
static size_t count_mappings(void) {
    char line[4400];
    char here[4096];
    size_t count = 0;
    assert_non_null(getcwd(here, sizeof here));
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, here) != NULL;
    }
    fclose(maps);
    return count;
}

static footprint footprint_now(void) {
    footprint found = {.descriptors = count_descriptors(), .mappings = count_mappings()};
    found.allocations = fault_outstanding_allocations();
    return found;
}

/* Removes the temporary file of a snapshot; how many there were. */
static size_t remove_temporary(void) {
    size_t removed = 0;
    DIR *folder = opendir(".");
    assert_non_null(folder);
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "target.gz.km-", 13) == 0) {
            assert_int_equal(unlink(entry->d_name), 0);
            removed++;
        }
    }
    closedir(folder);
    return removed;
}

/* ---- The sweep ---- */

/* One run with the k-th call failing. false when no call was left to fail. */
static bool run_with_fault(const scenario *what, fault_kind kind, unsigned k, int error,
                           bool from_then_on) {
    prepare(what);
    const footprint first = footprint_now();
    fault_arm(kind, k, error, from_then_on);
    const km_status status = run(what);
    const bool struck = fault_disarm();
    const footprint last = footprint_now();
    if (last.allocations != first.allocations || last.descriptors != first.descriptors ||
        last.mappings != first.mappings) {
        fail_msg("%s, call %u (%s, error %d%s): allocations %ld to %ld, descriptors %zu to %zu, "
                 "mappings %zu to %zu",
                 what->name, k, fault_victim(), error, from_then_on ? ", and all later" : "",
                 first.allocations, last.allocations, first.descriptors, last.descriptors,
                 first.mappings, last.mappings);
    }
    const size_t left = remove_temporary();
    /* Where every call fails from some point on, so does the removal of a temporary name. */
    if (left > (from_then_on && status != KM_OK ? 1 : 0)) {
        fail_msg("%s, call %u (%s): %zu files left behind", what->name, k, fault_victim(), left);
    }
    if (!struck && status != KM_OK) {
        fail_msg("%s without a fault: %s", what->name, km_error_message());
    }
    if (status != KM_OK && km_error_message()[0] == '\0') {
        fail_msg("%s, call %u (%s): no sentence", what->name, k, fault_victim());
    }
    print_message("%s, call %u%s (%s): %s\n", what->name, k, from_then_on ? " and all later" : "",
                  fault_victim(), status == KM_OK ? "fine" : km_error_message());
    check(what, status, from_then_on);
    return struck;
}

static void sweep(fault_kind kind, int error, bool from_then_on) {
    for (size_t s = 0; s < SCENARIOS; s++) {
        /* What is made once and kept is made here. */
        prepare(&scenarios[s]);
        assert_int_equal(run(&scenarios[s]), KM_OK);
        assert_false(run_with_fault(&scenarios[s], kind, 1000000, error, false));
        prepare(&scenarios[s]);
        fault_arm(kind, 1, error, false);
        (void)run(&scenarios[s]);
        (void)fault_disarm();
        unsigned k = 1;
        while (run_with_fault(&scenarios[s], kind, k, error, from_then_on)) {
            k++;
        }
        assert_true(k > 5);
        print_message("%s: %u calls failed in turn\n", scenarios[s].name, k - 1);
    }
}

static void an_allocation_that_fails_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_ALLOCATIONS, ENOMEM, false);
}

static void memory_that_is_gone_for_good_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_ALLOCATIONS, ENOMEM, true);
}

static void a_system_call_that_fails_with_an_io_error_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EIO, false);
}

static void system_calls_that_fail_from_some_point_on_leave_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EIO, true);
}

static void a_system_call_that_finds_the_disk_full_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, ENOSPC, false);
}

static void a_system_call_that_is_not_permitted_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EPERM, false);
}

static void a_system_call_that_the_kernel_lacks_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, ENOSYS, false);
}

static void a_system_call_that_is_interrupted_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EINTR, false);
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
        assert_true(fault_disarm());
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
    for (int i = 0; i < 3000; i++) { /* the handle table has all it needs after this */
        km_map *map = NULL;
        if (km_open(&map, "source", NULL) != KM_OK) {
            return -1;
        }
        km_close(map);
    }
    return 0;
}

static int free_images(void **state) {
    (void)state;
    image_free(&now);
    image_free(&before);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_leaves_nothing_behind),
        cmocka_unit_test(memory_that_is_gone_for_good_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_fails_with_an_io_error_leaves_nothing_behind),
        cmocka_unit_test(system_calls_that_fail_from_some_point_on_leave_nothing_behind),
        cmocka_unit_test(a_system_call_that_finds_the_disk_full_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_is_not_permitted_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_the_kernel_lacks_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_is_interrupted_leaves_nothing_behind),
        cmocka_unit_test(without_threads_one_does_all),
        cmocka_unit_test(a_disk_that_fills_up_is_said_to_be_full),
        cmocka_unit_test(a_tracker_that_loses_its_memory_only_reads_more),
    };
    return cmocka_run_group_tests(tests, make_files, free_images);
}
