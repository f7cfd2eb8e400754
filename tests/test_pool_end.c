/*
 * test_pool_end.c - pool.h: how a job ends that fails or is cancelled, and what it tells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform.h"
#include "status.h"
#include "support/pool_scene.h"

static km_status fail_here(scene *with, uint64_t item) {
    (void)with;
    return km_fail(KM_E_CORRUPT, "item %u", (unsigned)(item - SCENE_FIRST));
}

/* ---- Failures ------------------------------------------------------------------------------ */

static km_status fail_at_three(scene *with, uint64_t item) {
    return item == SCENE_FIRST + 3 ? fail_here(with, item) : KM_OK;
}

static void a_failing_work_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        scene_set(&with, threads, 2 * threads, UINT64_MAX);
        with.working = fail_at_three;
        scene_play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_in_range(with.finished, 0, 3);
        assert_in_range(with.fetched, 4, 3 + 2 * threads);
    }
}

static void a_failing_fetch_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        scene_set(&with, threads, 2 * threads, UINT64_MAX);
        with.fetching = fail_at_three;
        scene_play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_int_equal(with.fetched, 3);
    }
}

static void a_failing_finish_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        scene_set(&with, threads, 2 * threads, UINT64_MAX);
        with.finishing = fail_at_three;
        scene_play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_int_equal(with.finished, 3);
    }
}

static void alone_nothing_is_done_after_the_failure(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 1, 2, 100);
    with.working = fail_at_three;
    scene_play_and_fail(&with, KM_E_CORRUPT, "item 3");
    assert_int_equal(with.fetched, 4);
    assert_int_equal(with.finished, 3);
}

/* Every item fails, item 0 last of all. */
static km_status fail_first_last(scene *with, uint64_t item) {
    if (item == SCENE_FIRST) {
        scene_wait_for(with, &with->worked, 1);
    }
    return fail_here(with, item);
}

static void the_lowest_failure_is_told_though_a_higher_came_first(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 100);
    with.working = fail_first_last;
    scene_play_and_fail(&with, KM_E_CORRUPT, "item 0");
    assert_int_equal(with.finished, 0);
}

/* Item 1's fetch has failed when item 0's work fails. */
static km_status fail_fetching_one(scene *with, uint64_t item) {
    if (item == SCENE_FIRST) {
        return KM_OK;
    }
    scene_set_stage(with, 1);
    return fail_here(with, item);
}

static km_status fail_after_the_fetch(scene *with, uint64_t item) {
    scene_wait_for_stage(with, 1);
    return fail_here(with, item);
}

static void an_items_work_tells_more_than_a_later_fetch(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 100);
    with.fetching = fail_fetching_one;
    with.working = fail_after_the_fetch;
    scene_play_and_fail(&with, KM_E_CORRUPT, "item 0");
    assert_int_equal(with.fetched, 1);
}

/* Item 0 fails while item 1 is being fetched. */
static km_status fetch_until_zero_fails(scene *with, uint64_t item) {
    if (item == SCENE_FIRST + 1) {
        scene_set_stage(with, 1);
        scene_wait_for(with, &with->worked, 1);
    }
    return KM_OK;
}

static km_status fail_while_fetching(scene *with, uint64_t item) {
    if (item != SCENE_FIRST) {
        return KM_OK;
    }
    scene_wait_for_stage(with, 1);
    return fail_here(with, item);
}

static void what_was_being_fetched_is_worked(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 100);
    with.fetching = fetch_until_zero_fails;
    with.working = fail_while_fetching;
    scene_play_and_fail(&with, KM_E_CORRUPT, "item 0");
    assert_in_range(with.worked, 2, 4);
}

static km_status fail_by_the_system(scene *with, uint64_t item) {
    (void)with;
    (void)item;
    return km_fail_system(ERROR_DISK_FULL, "full");
}

static void the_systems_error_comes_with_the_sentence(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 2; threads++) {
        scene with;
        scene_set(&with, threads, 4, 100);
        with.working = fail_by_the_system;
        assert_int_equal(scene_play(&with), KM_E_NO_SPACE);
        assert_int_equal(km_system_error(), ERROR_DISK_FULL);
        assert_memory_equal(km_error_message(), "full", 4);
    }
}

static void success_leaves_the_sentence_as_it_was(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 4, 100);
    (void)km_fail(KM_E_BUSY, "before");
    scene_play_well(&with, 100);
    assert_string_equal(km_error_message(), "before");
}

/* ---- Progress ------------------------------------------------------------------------------ */

static km_status cancel_at_five(scene *with, uint64_t finished) {
    (void)with;
    return finished >= 5 ? km_fail(KM_E_CANCELLED, "enough") : KM_OK;
}

static void progress_cancels(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        scene_set(&with, threads, 2 * threads, UINT64_MAX);
        with.asking = cancel_at_five;
        scene_play_and_fail(&with, KM_E_CANCELLED, "enough");
        assert_true(with.finished >= 5);
        assert_true(threads > 1 || with.finished == 5);
    }
}

static km_status cancel(scene *with, uint64_t finished) {
    (void)with;
    (void)finished;
    return km_fail(KM_E_CANCELLED, "never mind");
}

static void progress_cancels_before_anything_is_done(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 1, 1, 10);
    with.asking = cancel;
    scene_play_and_fail(&with, KM_E_CANCELLED, "never mind");
    assert_int_equal(with.fetched, 0);
}

/*
 * The other thread's first item is not done before the caller has been asked, and says so, more
 * often than it has items to do meanwhile: it was asked while it waited.
 */
static km_status let_the_caller_wait(scene *with, uint64_t item) {
    if (scene_is_caller()) {
        return KM_OK;
    }
    scene_enter(with);
    const bool first = with->stage == 0;
    with->noted = first ? with->asked : with->noted;
    with->stage = first ? 1 : with->stage;
    scene_leave(with);
    scene_wait_for_stage(with, 2);
    (void)item;
    return KM_OK;
}

static km_status count_the_waits(scene *with, uint64_t finished) {
    (void)finished;
    scene_enter(with);
    if (with->stage == 1 && with->asked >= with->noted + with->job.slots + 2) {
        with->stage = 2;
        km_platform_monitor_notify(with->monitor);
    }
    const bool enough = with->stage == 2;
    scene_leave(with);
    return enough ? km_fail(KM_E_CANCELLED, "enough") : KM_OK;
}

static void progress_is_asked_while_the_caller_waits(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 2, UINT64_MAX);
    with.working = let_the_caller_wait;
    with.asking = count_the_waits;
    scene_play_and_fail(&with, KM_E_CANCELLED, "enough");
}

static km_status fail_when_cancelled(scene *with, uint64_t item) {
    (void)let_the_caller_wait(with, item);
    return scene_is_caller() ? KM_OK : km_fail(KM_E_CORRUPT, "damaged");
}

static void an_item_that_fails_tells_more_than_a_cancellation(void **state) {
    (void)state;
    scene with;
    scene_set(&with, 2, 2, UINT64_MAX);
    with.working = fail_when_cancelled;
    with.asking = count_the_waits;
    scene_play_and_fail(&with, KM_E_CORRUPT, "damaged");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_work_ends_the_job),
        cmocka_unit_test(a_failing_fetch_ends_the_job),
        cmocka_unit_test(a_failing_finish_ends_the_job),
        cmocka_unit_test(alone_nothing_is_done_after_the_failure),
        cmocka_unit_test(the_lowest_failure_is_told_though_a_higher_came_first),
        cmocka_unit_test(an_items_work_tells_more_than_a_later_fetch),
        cmocka_unit_test(what_was_being_fetched_is_worked),
        cmocka_unit_test(the_systems_error_comes_with_the_sentence),
        cmocka_unit_test(success_leaves_the_sentence_as_it_was),
        cmocka_unit_test(progress_cancels),
        cmocka_unit_test(progress_cancels_before_anything_is_done),
        cmocka_unit_test(progress_is_asked_while_the_caller_waits),
        cmocka_unit_test(an_item_that_fails_tells_more_than_a_cancellation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
