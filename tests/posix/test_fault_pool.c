/*
 * test_fault_pool.c - a pool whose threads, monitor or memory the system refuses: the caller's
 * thread, with those there are, does all the work, and nothing is left.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "platform.h"
#include "pool.h"
#include "posix/fault/fault.h"

enum { ITEMS = 300, MOST_CALLS = 40 };

static _Thread_local bool is_caller;

typedef struct tally {
    atomic_uint worked;
    atomic_uint worked_by_others;
    uint64_t finished;
    bool in_order;
} tally;

static km_status work(void *arg, uint64_t item, unsigned slot) {
    tally *with = arg;
    (void)item;
    (void)slot;
    atomic_fetch_add(&with->worked, 1);
    atomic_fetch_add(&with->worked_by_others, !is_caller);
    return KM_OK;
}

static km_status finish(void *arg, uint64_t item, unsigned slot) {
    tally *with = arg;
    (void)slot;
    with->in_order = with->in_order && item == with->finished;
    with->finished++;
    return KM_OK;
}

/* The result does not depend on what was refused. */
static void run_job(tally *with, unsigned threads) {
    uint64_t finished = 0;
    const km_pool_job job = {.work = work,
                             .finish = finish,
                             .arg = with,
                             .count = ITEMS,
                             .threads = threads,
                             .slots = km_pool_slots(threads)};
    *with = (tally){.in_order = true};
    is_caller = true;
    const km_status status = km_pool_run(&job, &finished);
    is_caller = false;
    (void)fault_disarm();
    assert_int_equal(status, KM_OK);
    assert_int_equal(finished, ITEMS);
    assert_int_equal(with->finished, ITEMS);
    assert_int_equal(atomic_load(&with->worked), ITEMS);
    assert_true(with->in_order);
}

static void whatever_is_refused_the_work_is_done_and_nothing_left(void **state) {
    (void)state;
    static const fault_kind kinds[] = {FAULT_ALLOCATIONS, FAULT_SYSTEM};
    tally with;
    for (size_t kind = 0; kind < 2; kind++) {
        for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
            bool failed = true;
            for (unsigned k = 1; failed; k++) {
                assert_true(k < MOST_CALLS);
                const long before = fault_outstanding_allocations();
                fault_arm(kinds[kind], k, ENOMEM, from_then_on);
                run_job(&with, 4);
                failed = strcmp(fault_victim(), "none") != 0;
                assert_int_equal(fault_outstanding_allocations(), before);
            }
        }
    }
}

static void without_threads_the_caller_works_alone(void **state) {
    (void)state;
    tally with;
    fault_arm_call("pthread_create", 1, EAGAIN, true);
    run_job(&with, 4);
    assert_string_equal(fault_victim(), "pthread_create");
    assert_int_equal(atomic_load(&with.worked_by_others), 0);
}

static void without_a_monitor_the_caller_works_alone(void **state) {
    (void)state;
    tally with;
    fault_arm_call("pthread_condattr_setclock", 1, ENOMEM, false);
    run_job(&with, 4);
    assert_string_equal(fault_victim(), "pthread_condattr_setclock");
    assert_int_equal(atomic_load(&with.worked_by_others), 0);
}

static void one_thread_needs_nothing_of_the_system(void **state) {
    (void)state;
    tally with;
    fault_arm(FAULT_ALLOCATIONS, 1, ENOMEM, true);
    run_job(&with, 1);
    assert_string_equal(fault_victim(), "none");
    fault_arm(FAULT_SYSTEM, 1, EAGAIN, true);
    run_job(&with, 1);
    assert_string_equal(fault_victim(), "none");
}

static void do_nothing(void *arg) {
    (void)arg;
}

static void too_many_threads_are_too_little_memory(void **state) {
    (void)state;
    km_thread thread = {.system = 7};
    const long before = fault_outstanding_allocations();
    fault_arm_call("pthread_create", 1, EAGAIN, false);
    assert_int_equal(km_platform_thread_start(&thread, do_nothing, NULL), ERROR_NOT_ENOUGH_MEMORY);
    assert_true(fault_disarm());
    assert_int_equal(thread.system, 7);
    fault_arm(FAULT_ALLOCATIONS, 1, ENOMEM, false);
    assert_int_equal(km_platform_thread_start(&thread, do_nothing, NULL), ERROR_NOT_ENOUGH_MEMORY);
    assert_true(fault_disarm());
    assert_int_equal(thread.system, 7);
    assert_int_equal(fault_outstanding_allocations(), before);
}

static void a_monitor_that_cannot_be_made_leaves_nothing(void **state) {
    (void)state;
    km_monitor *monitor = NULL;
    const long before = fault_outstanding_allocations();
    fault_arm_call("malloc", 1, ENOMEM, false);
    assert_int_equal(km_platform_monitor_make(&monitor), ERROR_NOT_ENOUGH_MEMORY);
    assert_true(fault_disarm());
    fault_arm_call("pthread_condattr_setclock", 1, ENOMEM, false);
    assert_int_equal(km_platform_monitor_make(&monitor), ERROR_NOT_ENOUGH_MEMORY);
    assert_true(fault_disarm());
    assert_null(monitor);
    assert_int_equal(fault_outstanding_allocations(), before);
}

static void an_interrupted_call_for_chance_is_repeated(void **state) {
    (void)state;
    unsigned char bytes[8] = {0};
    fault_arm_call("getrandom", 1, EINTR, false);
    assert_int_equal(km_platform_random(bytes, sizeof bytes), ERROR_SUCCESS);
    assert_true(fault_disarm());
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        sum += bytes[i];
    }
    assert_true(sum > 0);
}

static void without_chance_there_is_an_error(void **state) {
    (void)state;
    unsigned char bytes[8] = {0};
    fault_arm_call("getrandom", 1, ENOSYS, false);
    assert_int_equal(km_platform_random(bytes, sizeof bytes), ERROR_NOT_SUPPORTED);
    assert_true(fault_disarm());
}

static void processors_that_cannot_be_counted_are_one(void **state) {
    (void)state;
    fault_arm_call("sched_getaffinity", 1, EINVAL, false);
    assert_int_equal(km_platform_processors(), 1);
    assert_true(fault_disarm());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_refused_the_work_is_done_and_nothing_left),
        cmocka_unit_test(without_threads_the_caller_works_alone),
        cmocka_unit_test(without_a_monitor_the_caller_works_alone),
        cmocka_unit_test(one_thread_needs_nothing_of_the_system),
        cmocka_unit_test(too_many_threads_are_too_little_memory),
        cmocka_unit_test(a_monitor_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(an_interrupted_call_for_chance_is_repeated),
        cmocka_unit_test(without_chance_there_is_an_error),
        cmocka_unit_test(processors_that_cannot_be_counted_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
