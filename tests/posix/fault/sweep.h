/*
 * sweep.h - whichever call of a scenario fails, nothing is left behind.
 *
 * The first call fails, then the second, and so on until a run meets no fault any more. After each
 * run this process has the descriptors, mappings and allocations it had before, and its directory
 * the files. A run that met no fault has worked; one that did not work has said why.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_FAULT_SWEEP_H
#define TESTS_FAULT_SWEEP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include <keepmap.h>

#include "posix/fault/fault.h"

typedef struct sweep_fault {
    fault_kind kind;
    int error;
    bool from_then_on; /* and every later call fails as well */
} sweep_fault;

/* What must be the same after a run. */
typedef struct sweep_footprint {
    long allocations;
    unsigned descriptors;
    unsigned mappings;
    size_t files;
} sweep_footprint;

/* What the scenarios of a suite have in common; the suite knows what is behind the pointers. */
typedef struct sweep_rules {
    void (*prepare)(const void *scenario); /* before each run; NULL: nothing is to be done */
    km_status (*run)(const void *scenario);
    void (*check)(const void *scenario, km_status status, bool from_then_on); /* after each run */

    /*
     * The file that is made: it comes and goes. Its draft, of which the name begins with
     * "TARGET.km-", may stay where every later call fails, and so its removal.
     */
    const char *target;
    const char *other; /* another file that comes and goes, or NULL */

    /* Mappings of files of this directory count, and those with one of these texts in their line of
     * /proc/self/maps: up to NULL, or NULL for none. */
    const char *const *mappings;

    bool first_failure_keeps; /* once in a process, a failure may make what is kept */
    /* Differences that are right all the same; NULL: there are none. */
    bool (*allows)(const sweep_footprint *before, const sweep_footprint *after);
} sweep_rules;

/* A scenario that is all functions, and what the rules of such ones call with it. */
typedef struct sweep_scenario {
    const char *name;
    void (*prepare)(void);
    km_status (*run)(void);
    void (*check_done)(void);   /* after KM_OK */
    void (*check_failed)(void); /* after anything else */
} sweep_scenario;

void sweep_prepare(const void *scenario);
km_status sweep_run(const void *scenario);
void sweep_check(const void *scenario, km_status status, bool from_then_on);

/* How many calls have failed in turn. The scenario works when no call fails. */
unsigned sweep_calls(const sweep_rules *rules, const char *name, const void *scenario,
                     const sweep_fault *fault);

/* The handle table makes its blocks once and keeps them: after this it has all it needs, from a
 * file to be opened. 0, as a cmocka fixture says that it worked, or -1. */
int sweep_use_many_handles(const char *path);

/* A test whose state is the fault, for an array in a function. */
#define SWEEP_TEST(test_name, function, ...)                                                       \
    {                                                                                              \
        .name = #test_name, .test_func = (function), .initial_state = &(sweep_fault) {             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* The tests that most sweeps consist of. */
#define SWEEP_TESTS(function)                                                                      \
    SWEEP_TEST(an_allocation_that_fails_leaves_nothing_behind, function, FAULT_ALLOCATIONS,        \
               ENOMEM, false),                                                                     \
        SWEEP_TEST(memory_that_is_gone_for_good_leaves_nothing_behind, function,                   \
                   FAULT_ALLOCATIONS, ENOMEM, true),                                               \
        SWEEP_TEST(system_calls_that_fail_from_some_point_on_leave_nothing_behind, function,       \
                   FAULT_SYSTEM, EIO, true),                                                       \
        SWEEP_TEST(a_system_call_that_finds_the_disk_full_leaves_nothing_behind, function,         \
                   FAULT_SYSTEM, ENOSPC, false),                                                   \
        SWEEP_TEST(a_system_call_that_is_not_permitted_leaves_nothing_behind, function,            \
                   FAULT_SYSTEM, EPERM, false),                                                    \
        SWEEP_TEST(a_system_call_that_the_kernel_lacks_leaves_nothing_behind, function,            \
                   FAULT_SYSTEM, ENOSYS, false),                                                   \
        SWEEP_TEST(a_system_call_that_is_interrupted_leaves_nothing_behind, function,              \
                   FAULT_SYSTEM, EINTR, false)

#endif /* TESTS_FAULT_SWEEP_H */
