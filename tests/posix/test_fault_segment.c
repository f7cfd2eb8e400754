/*
 * test_fault_segment.c - every allocation and every system call fails once, in each thing that is
 * done with segments.
 *
 * For each scenario the first call fails, then the second, and so on until a run meets no fault any
 * more; each time that one call alone, and again with every later one failing as well. Either the
 * scenario works, or it returns a status with a sentence; nothing of this process is left behind,
 * no half-made segment is ever seen, and what others have is as it was.
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
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <keepmap.h>

#include "posix/fault/sweep.h"
#include "posix/named_object.h"
#include "support/unique.h"

#define SIZE 70000u

typedef struct scenario {
    const char *name;
    km_status (*run)(const char *name); /* closes all that it opens */
    bool there;                         /* a segment of that name is there already */
} scenario;

/* ---- What must not be left behind ---- */

/*
 * That a descriptor which the library keeps cannot be asked about means that the program has closed
 * it. Another takes its place, and the old one is nobody's business any more (object_directory.c):
 * after a failed fstat one descriptor, with its record, may be left. Not a second one.
 */
static bool is_one_directory_more(const sweep_footprint *before, const sweep_footprint *after) {
    return strncmp(fault_victim(), "fstat", 5) == 0 &&
           after->allocations == before->allocations + 1 &&
           after->descriptors == before->descriptors + 1 && after->mappings == before->mappings &&
           after->files == before->files;
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

/* What a run is of, and what there is around it. */
typedef struct place {
    const scenario *what;
    const char *name;
    km_map *keeper; /* of the segment that is there already */
} place;

static km_status run(const void *arg) {
    const place *at = arg;
    return at->what->run(at->name);
}

/* After a run: no segment but the one that was there, which is whole, and a name that can be used.
 */
static void check_name(const place *at) {
    km_map *map = NULL;
    if (!at->what->there) {
        const km_status status = km_segment(&map, at->name, NULL);
        if (status != KM_E_NOT_FOUND) {
            fail_msg("%s left a segment: %s", at->what->name, km_strerror(status));
        }
        assert_int_equal(open_with(&map, at->name, KM_OPEN_NEW), KM_OK);
        km_close(map);
        return;
    }
    assert_int_equal(((char *)km_data(at->keeper))[SIZE - 1], 'k');
    const km_status locked = km_lock(at->keeper, KM_LOCK_EXCLUSIVE, 0);
    assert_true(locked == KM_OK || locked == KM_E_OWNER_DIED);
    assert_int_equal(km_unlock(at->keeper), KM_OK);
}

static void check(const void *arg, km_status status, bool from_then_on) {
    (void)status;
    (void)from_then_on;
    check_name(arg);
}

static const char *const segments[] = {"keepmap-", "/memfd:", NULL};

static void sweep_one(const scenario *what, const sweep_fault *fault) {
    static const sweep_rules rules = {.run = run,
                                      .check = check,
                                      .target = "copy",
                                      .mappings = segments,
                                      .allows = is_one_directory_more};
    place at = {what, unique_name("swept"), NULL};
    if (what->there) {
        assert_int_equal(open_with(&at.keeper, at.name, KM_OPEN_NEW), KM_OK);
        check_name(&at); /* its lock's file is open from now on */
    }
    /* A scenario that makes no call at all would have shown nothing. */
    assert_true(sweep_calls(&rules, what->name, &at, fault) > 0);
    km_close(at.keeper);
}

static void sweep_all(const sweep_fault *fault) {
    for (size_t s = 0; s < SCENARIOS; s++) {
        sweep_one(&scenarios[s], fault);
    }
}

static void sweep(void **state) {
    sweep_all(*state);
}

static void sweep_system_calls(const int *errors, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sweep_all(&(sweep_fault){FAULT_SYSTEM, errors[i], false});
    }
}

static void a_system_call_that_fails_leaves_nothing_behind(void **state) {
    (void)state;
    sweep_system_calls((const int[]){EIO, EPERM, EINTR}, 3);
}

static void a_system_call_that_finds_memory_full_leaves_nothing_behind(void **state) {
    (void)state;
    sweep_system_calls((const int[]){ENOSPC, ENOMEM}, 2);
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
        SWEEP_TEST(an_allocation_that_fails_leaves_nothing_behind, sweep, FAULT_ALLOCATIONS, ENOMEM,
                   false),
        SWEEP_TEST(memory_that_is_gone_for_good_leaves_nothing_behind, sweep, FAULT_ALLOCATIONS,
                   ENOMEM, true),
        cmocka_unit_test(a_system_call_that_fails_leaves_nothing_behind),
        cmocka_unit_test(a_system_call_that_finds_memory_full_leaves_nothing_behind),
        SWEEP_TEST(a_system_call_that_the_kernel_lacks_leaves_nothing_behind, sweep, FAULT_SYSTEM,
                   ENOSYS, false),
        SWEEP_TEST(system_calls_that_fail_from_some_point_on_leave_nothing_behind, sweep,
                   FAULT_SYSTEM, EIO, true),
    };
    return cmocka_run_group_tests(tests, use_many_handles, NULL);
}
