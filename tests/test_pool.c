/*
 * test_pool.c - pool.h: the order of the stages, their slots, and how much there is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform.h"
#include "pool.h"
#include "support/pool_scene.h"

/* ---- Order and slots ----------------------------------------------------------------------- */

static void items_are_fetched_and_finished_in_order(void **state) {
    (void)state;
    static const unsigned threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        scene with;
        scene_set(&with, threads[i], km_pool_slots(threads[i]), 2000);
        scene_play_well(&with, 2000);
    }
}

static void as_many_slots_as_threads_are_enough(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 3, 3, 500);
    scene_play_well(&with, 500);
}

static km_status wait_for_two(scene *with, uint64_t item) {
    (void)item;
    scene_wait_for(with, &with->begun, 2);
    return KM_OK;
}

static void two_items_are_worked_at_once_and_one_by_the_caller(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 2, 2);
    with.working = wait_for_two;
    scene_play_well(&with, 2);
    assert_int_equal(with.worked_by_caller, 1);
}

static km_status first_waits_for_four(scene *with, uint64_t item) {
    if (item == SCENE_FIRST) {
        scene_wait_for(with, &with->worked, 4);
    }
    return KM_OK;
}

static void a_slow_item_lets_the_others_go_on_while_there_are_slots(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 5, 50);
    with.working = first_waits_for_four;
    scene_play_well(&with, 50);
}

static void a_slow_finish_lets_the_others_go_on_while_there_are_slots(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 50);
    with.finishing = first_waits_for_four;
    scene_play_well(&with, 50);
}

static km_status fetch_after_work(scene *with, uint64_t item) {
    if (item == SCENE_FIRST + 2) {
        scene_wait_for(with, &with->finished, 2);
    }
    return KM_OK;
}

static void a_slow_fetch_lets_the_others_work_and_finish(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 50);
    with.fetching = fetch_after_work;
    scene_play_well(&with, 50);
}

/* ---- How much there is --------------------------------------------------------------------- */

static void no_items_are_no_work(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        scene with;
        scene_set(&with, threads, 8, 0);
        scene_play_well(&with, 0);
        assert_int_equal(with.asked, 1);
    }
}

static void fetch_says_when_there_are_no_more(void **state) {
    (void)state;
    static const uint64_t ends[] = {0, 1, 2, 37};
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            scene with;
            scene_set(&with, threads, 2 * threads, UINT64_MAX);
            with.end = ends[i];
            scene_play_well(&with, ends[i]);
        }
    }
}

static void an_end_before_the_count_is_an_end(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 100);
    with.end = 60;
    scene_play_well(&with, 60);
}

static void with_one_thread_all_is_done_by_the_caller(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 1, 3, 20);
    scene_play_well(&with, 20);
    assert_int_equal(with.worked_by_caller, 20);
    assert_int_equal(with.asked, 21);
}

static void one_item_is_done_by_the_caller(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 8, 16, 1);
    scene_play_well(&with, 1);
    assert_int_equal(with.worked_by_caller, 1);
}

static void there_may_be_256_threads(void **state) {
    (void)state;
    scene with;
    scene_set(&with, KM_POOL_THREADS_MAX, SCENE_SLOTS_MOST, 5000);
    scene_play_well(&with, 5000);
}

/* Only the item's slot is touched, so nothing is needed that orders the threads. */
static km_status count_in_slot(void *arg, uint64_t item, unsigned slot) {
    uint64_t *sums = arg;
    sums[slot] += item;
    return KM_OK;
}

static void fetch_finish_and_progress_may_be_missing(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        uint64_t sums[8] = {0};
        uint64_t sum = 0;
        km_pool_job job = {.work = count_in_slot, .arg = sums, .first = 1, .count = 1000};
        job.threads = threads;
        job.slots = 8;
        assert_int_equal(km_pool_run(&job, NULL), KM_OK);
        for (size_t i = 0; i < 8; i++) {
            sum += sums[i];
        }
        assert_int_equal(sum, 500500);
    }
}

/* ---- How many ------------------------------------------------------------------------------ */

static void threads_are_as_many_as_wanted_or_as_processors(void **state) {
    (void)state;
    const unsigned processors = km_platform_processors();
    assert_int_equal(km_pool_threads(1), 1);
    assert_int_equal(km_pool_threads(7), 7);
    assert_int_equal(km_pool_threads(KM_POOL_THREADS_MAX), KM_POOL_THREADS_MAX);
    assert_int_equal(km_pool_threads(UINT32_MAX), KM_POOL_THREADS_MAX);
    assert_int_equal(km_pool_threads(0),
                     processors < KM_POOL_THREADS_MAX ? processors : KM_POOL_THREADS_MAX);
}

static void there_is_a_slot_for_each_thread(void **state) {
    (void)state;
    assert_int_equal(km_pool_slots(1), 1);
    for (unsigned threads = 2; threads <= KM_POOL_THREADS_MAX; threads++) {
        assert_true(km_pool_slots(threads) > threads);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_fetched_and_finished_in_order),
        cmocka_unit_test(as_many_slots_as_threads_are_enough),
        cmocka_unit_test(two_items_are_worked_at_once_and_one_by_the_caller),
        cmocka_unit_test(a_slow_item_lets_the_others_go_on_while_there_are_slots),
        cmocka_unit_test(a_slow_finish_lets_the_others_go_on_while_there_are_slots),
        cmocka_unit_test(a_slow_fetch_lets_the_others_work_and_finish),
        cmocka_unit_test(no_items_are_no_work),
        cmocka_unit_test(fetch_says_when_there_are_no_more),
        cmocka_unit_test(an_end_before_the_count_is_an_end),
        cmocka_unit_test(with_one_thread_all_is_done_by_the_caller),
        cmocka_unit_test(one_item_is_done_by_the_caller),
        cmocka_unit_test(there_may_be_256_threads),
        cmocka_unit_test(fetch_finish_and_progress_may_be_missing),
        cmocka_unit_test(threads_are_as_many_as_wanted_or_as_processors),
        cmocka_unit_test(there_is_a_slot_for_each_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
