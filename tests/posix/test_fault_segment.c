/*
 * test_fault_segment.c - every allocation and every system call fails once, in each thing that is
 * done with segments.
 *
 * For each scenario the first call fails, then the second, and so on until a run meets no fault any
 * more; each time that one call alone, and again with every later one failing as well. Either the
 * scenario works, or it returns a status with a sentence; nothing of this process is left behind,
 * no half-made segment is ever seen, and what others have is as it was.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <keepmap.h>

#include "posix/fault/fault.h"
#include "posix/named_object.h"
#include "support/unique.h"

#define SIZE 70000u

typedef struct scenario {
    const char *name;
    km_status (*run)(const char *name); /* closes all that it opens */
    bool there;                         /* a segment of that name is there already */
} scenario;

/* ---- What must not be left behind ---- */

typedef struct footprint {
    long allocations;
    int descriptors;
    int mappings;
} footprint;

static int count_descriptors(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static int count_mappings(void) {
    char line[4400];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "keepmap-") != NULL || strstr(line, "/memfd:") != NULL;
    }
    fclose(maps);
    return count;
}

static footprint footprint_now(void) {
    footprint now = {.descriptors = count_descriptors(), .mappings = count_mappings()};
    now.allocations = fault_outstanding_allocations();
    return now;
}

static bool is_same(const footprint *before, const footprint *after) {
    return after->allocations == before->allocations && after->descriptors == before->descriptors &&
           after->mappings == before->mappings;
}

/*
 * That a descriptor which the library keeps cannot be asked about means that the program has closed
 * it. Another takes its place, and the old one is nobody's business any more (object_directory.c):
 * after a failed fstat one descriptor, with its record, may be left. Not a second one.
 */
static bool is_one_directory_more(const footprint *before, const footprint *after) {
    return strncmp(fault_victim(), "fstat", 5) == 0 &&
           after->allocations == before->allocations + 1 &&
           after->descriptors == before->descriptors + 1 && after->mappings == before->mappings;
}

/* ---- The scenarios ---- */

static km_status fill(void *data, uint64_t size, void *arg) {
    (void)arg;
    memset(data, 'k', (size_t)size);
    return KM_OK;
}

static km_status open_with(km_map **map, const char *name, uint32_t flags) {
    const km_options options = {.access = KM_WRITE,
                                .flags = flags,
                                .size = SIZE,
                                .type = "swept",
                                .type_version = 1,
                                .init = fill};
    km_status status = km_segment(map, name, &options);
    if (status != KM_OK) {
        assert_null(*map);
        return status;
    }
    const char *bytes = km_data(*map);
    assert_int_equal(km_size(*map), SIZE);
    assert_int_equal(bytes[0], 'k');
    assert_int_equal(bytes[SIZE - 1], 'k');
    return KM_OK;
}

static km_status open_and_close(const char *name, uint32_t flags) {
    km_map *map = NULL;
    const km_status status = open_with(&map, name, flags);
    (void)km_close(map); /* it may say that it could not unmap */
    return status;
}

static km_status run_new(const char *name) {
    return open_and_close(name, KM_OPEN_NEW);
}

static km_status run_new_for_everybody(const char *name) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE,
                                .permissions = 0666,
                                .size = SIZE};
    const km_status status = km_segment(&map, name, &options);
    (void)km_close(map);
    return status;
}

static km_status run_create(const char *name) {
    return open_and_close(name, KM_OPEN_CREATE);
}

static km_status run_open(const char *name) {
    return open_and_close(name, 0);
}

static km_status run_anonymous(const char *name) {
    (void)name;
    return open_and_close(NULL, 0);
}

static km_status lock_and_close(km_map *map, km_status opened) {
    km_status status = opened;
    if (status == KM_OK) {
        status = km_lock(map, KM_LOCK_EXCLUSIVE, 0);
        if (status == KM_OK) {
            status = km_unlock(map);
        } else {
            assert_int_equal(km_unlock(map), KM_E_INVALID);
        }
    }
    (void)km_close(map);
    return status;
}

static km_status run_lock(const char *name) {
    km_map *map = NULL;
    const km_status status = open_with(&map, name, 0);
    return lock_and_close(map, status);
}

static km_status run_lock_anonymous(const char *name) {
    (void)name;
    km_map *map = NULL;
    const km_status status = open_with(&map, NULL, 0);
    return lock_and_close(map, status);
}

static km_status run_check_and_window(const char *name) {
    km_map *map = NULL;
    km_map *window = NULL;
    km_size_report report = {0};
    km_status status = open_with(&map, name, 0);
    if (status == KM_OK) {
        status = km_check(map, &report);
    }
    if (status == KM_OK) {
        status = km_window(&window, map, 66000, 10);
    }
    (void)km_close(window);
    (void)km_close(map);
    return status;
}

static km_status run_copy(const char *name) {
    km_map *map = NULL;
    (void)remove("copy");
    km_status status = open_with(&map, name, 0);
    if (status == KM_OK) {
        status = km_copy(map, "copy", NULL);
    }
    (void)km_close(map);
    return status;
}

static const scenario scenarios[] = {
    {"make", run_new, false},
    {"make for everybody", run_new_for_everybody, false},
    {"make or open", run_create, false},
    {"open instead of making", run_create, true},
    {"open", run_open, true},
    {"without a name", run_anonymous, false},
    {"lock", run_lock, true},
    {"lock without a name", run_lock_anonymous, false},
    {"check and window", run_check_and_window, true},
    {"copy", run_copy, true},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* ---- The sweep ---- */

/* After a run: no segment but the one that was there, which is whole, and a name that can be used.
 */
static void check_name(const scenario *what, const char *name, km_map *keeper) {
    km_map *map = NULL;
    if (!what->there) {
        const km_status status = km_segment(&map, name, NULL);
        if (status != KM_E_NOT_FOUND) {
            fail_msg("%s left a segment: %s", what->name, km_strerror(status));
        }
        assert_int_equal(open_with(&map, name, KM_OPEN_NEW), KM_OK);
        km_close(map);
        return;
    }
    assert_int_equal(((char *)km_data(keeper))[SIZE - 1], 'k');
    const km_status locked = km_lock(keeper, KM_LOCK_EXCLUSIVE, 0);
    assert_true(locked == KM_OK || locked == KM_E_OWNER_DIED);
    assert_int_equal(km_unlock(keeper), KM_OK);
}

/* One run with the k-th call failing. false when no call was left to fail. */
static bool run_with_fault(const scenario *what, const char *name, km_map *keeper, fault_kind kind,
                           unsigned k, int error, bool from_then_on) {
    footprint before = footprint_now();
    fault_arm(kind, k, error, from_then_on);
    km_status status = what->run(name);
    bool struck = fault_disarm();
    footprint after = footprint_now();
    if (!is_same(&before, &after) && !is_one_directory_more(&before, &after)) {
        fail_msg("%s, call %u (%s, error %d%s): allocations %ld to %ld, descriptors %d to %d, "
                 "mappings %d to %d",
                 what->name, k, fault_victim(), error, from_then_on ? ", and all later" : "",
                 before.allocations, after.allocations, before.descriptors, after.descriptors,
                 before.mappings, after.mappings);
    }
    if (!struck && status != KM_OK) {
        fail_msg("%s without a fault: %s", what->name, km_error_message());
    }
    if (status != KM_OK && km_error_message()[0] == '\0') {
        fail_msg("%s, call %u (%s): no sentence", what->name, k, fault_victim());
    }
    print_message("%s, call %u%s (%s): %s\n", what->name, k, from_then_on ? " and all later" : "",
                  fault_victim(), status == KM_OK ? "fine" : km_error_message());
    check_name(what, name, keeper);
    return struck;
}

static void sweep_one(const scenario *what, fault_kind kind, int error, bool from_then_on) {
    const char *name = unique_name("swept");
    km_map *keeper = NULL;
    if (what->there) {
        assert_int_equal(open_with(&keeper, name, KM_OPEN_NEW), KM_OK);
        check_name(what, name, keeper); /* its lock's file is open from now on */
    }
    /* What is made once and kept is made here. */
    assert_int_equal(what->run(name), KM_OK);
    assert_int_equal(what->run(name), KM_OK);
    assert_false(run_with_fault(what, name, keeper, kind, 1000000, error, false));
    unsigned k = 1;
    while (run_with_fault(what, name, keeper, kind, k, error, from_then_on)) {
        k++;
    }
    /* A scenario that makes no call at all would have shown nothing. */
    assert_true(k > 1);
    km_close(keeper);
}

static void sweep(fault_kind kind, int error, bool from_then_on) {
    for (size_t s = 0; s < SCENARIOS; s++) {
        sweep_one(&scenarios[s], kind, error, from_then_on);
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

static void a_system_call_that_fails_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EIO, false);
    sweep(FAULT_SYSTEM, EPERM, false);
    sweep(FAULT_SYSTEM, EINTR, false);
}

static void a_system_call_that_finds_memory_full_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, ENOSPC, false);
    sweep(FAULT_SYSTEM, ENOMEM, false);
}

static void a_system_call_that_the_kernel_lacks_leaves_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, ENOSYS, false);
}

static void system_calls_that_fail_from_some_point_on_leave_nothing_behind(void **state) {
    (void)state;
    sweep(FAULT_SYSTEM, EIO, true);
}

/*
 * The handle table makes its blocks once and keeps them: it has all it needs after this. Nor does
 * this process sweep up after others from now on: told that there are no locks, it would take
 * their files for abandoned.
 */
static int use_many_handles(void **state) {
    (void)state;
    kmw_sweep_interval_ms = UINT_MAX;
    for (int i = 0; i < 1500; i++) {
        km_map *map = NULL;
        if (open_with(&map, NULL, 0) != KM_OK) {
            return -1;
        }
        km_close(map);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_leaves_nothing_behind),
        cmocka_unit_test(memory_that_is_gone_for_good_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_fails_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_finds_memory_full_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_the_kernel_lacks_leaves_nothing_behind),
        cmocka_unit_test(system_calls_that_fail_from_some_point_on_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, use_many_handles, NULL);
}
