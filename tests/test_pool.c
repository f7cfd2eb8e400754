/*
 * test_pool.c - pool.h: the order of the stages, their slots, and how a job ends.
 *
 * The stages run in threads that must not fail a test: the scene keeps what they saw, and the test
 * judges. Where one has to wait for another they meet in the scene's monitor; whoever waits in vain
 * says so after a while rather than hang.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "deadline.h"
#include "platform.h"
#include "pool.h"
#include "status.h"

enum { MOST_SLOTS = 2 * KM_POOL_THREADS_MAX, IN_VAIN_MS = 30000 };

#define FIRST 1000u

typedef struct scene scene;
/* A test's own part in a stage, besides what the scene watches. Called outside the monitor. */
typedef km_status (*act)(scene *with, uint64_t item);

struct scene {
    km_monitor *monitor; /* for all below but what the test sets before the run */
    km_pool_job job;
    act fetching, working, finishing, asking;
    uint64_t end; /* of what fetch finds */

    uint64_t fetched, worked, finished; /* items, so far */
    uint64_t begun;                     /* works begun */
    uint64_t told, asked;               /* progress: the last number, and how often */
    uint64_t worked_by_caller;
    bool fetch_inside, finish_inside;
    bool taken[MOST_SLOTS];
    uint64_t in_slot[MOST_SLOTS];
    const char *wrong; /* something that may never be */
    int stage;         /* for the tests' acts */
    uint64_t noted;
};

static _Thread_local bool is_caller;

static void see(scene *with, bool right, const char *wrong) {
    if (!right && with->wrong == NULL) {
        with->wrong = wrong;
    }
}

static void enter(scene *with) {
    km_platform_monitor_enter(with->monitor);
}

static void leave(scene *with) {
    km_platform_monitor_leave(with->monitor);
}

/* Where the test's play stands; others wait for it. */
static void set_stage(scene *with, int stage) {
    enter(with);
    with->stage = stage;
    km_platform_monitor_notify(with->monitor);
    leave(with);
}

/* Until *number is `wanted` at least. */
static void wait_for(scene *with, const uint64_t *number, uint64_t wanted) {
    const km_deadline deadline = km_deadline_in(IN_VAIN_MS);
    enter(with);
    while (*number < wanted && km_deadline_left(&deadline) > 0) {
        km_platform_monitor_wait(with->monitor, km_deadline_left(&deadline));
    }
    see(with, *number >= wanted, "a stage waited in vain for another");
    leave(with);
}

static void wait_for_stage(scene *with, int stage) {
    const km_deadline deadline = km_deadline_in(IN_VAIN_MS);
    enter(with);
    while (with->stage < stage && km_deadline_left(&deadline) > 0) {
        km_platform_monitor_wait(with->monitor, km_deadline_left(&deadline));
    }
    see(with, with->stage >= stage, "a stage waited in vain for the play");
    leave(with);
}

/* ---- The stages ---------------------------------------------------------------------------- */

static km_status fetch(void *arg, uint64_t item, unsigned slot, bool *end) {
    scene *with = arg;
    enter(with);
    see(with, !with->fetch_inside, "two fetches at once");
    see(with, item == with->job.first + with->fetched, "a fetch out of order");
    see(with, slot == with->fetched % with->job.slots, "another slot than promised");
    see(with, !with->taken[slot], "a slot that is taken");
    see(with, !*end, "an end before it was said");
    with->fetch_inside = true;
    leave(with);

    const km_status status = with->fetching != NULL ? with->fetching(with, item) : KM_OK;

    enter(with);
    with->fetch_inside = false;
    if (status == KM_OK && with->fetched == with->end) {
        *end = true;
    } else if (status == KM_OK) {
        with->fetched++;
        with->taken[slot] = true;
        with->in_slot[slot] = item;
    }
    km_platform_monitor_notify(with->monitor);
    leave(with);
    return status;
}

static km_status work(void *arg, uint64_t item, unsigned slot) {
    scene *with = arg;
    enter(with);
    see(with, with->taken[slot] && with->in_slot[slot] == item, "work in another item's slot");
    with->begun++;
    km_platform_monitor_notify(with->monitor);
    leave(with);

    const km_status status = with->working != NULL ? with->working(with, item) : KM_OK;

    enter(with);
    with->worked++;
    with->worked_by_caller += is_caller;
    km_platform_monitor_notify(with->monitor);
    leave(with);
    return status;
}

static km_status finish(void *arg, uint64_t item, unsigned slot) {
    scene *with = arg;
    enter(with);
    see(with, !with->finish_inside, "two finishes at once");
    see(with, item == with->job.first + with->finished, "a finish out of order");
    see(with, with->taken[slot] && with->in_slot[slot] == item, "a finish in another's slot");
    with->finish_inside = true;
    leave(with);

    const km_status status = with->finishing != NULL ? with->finishing(with, item) : KM_OK;

    enter(with);
    with->finish_inside = false;
    if (status == KM_OK) {
        with->finished++;
        with->taken[slot] = false;
    }
    km_platform_monitor_notify(with->monitor);
    leave(with);
    return status;
}

static km_status progress(void *arg, uint64_t finished) {
    scene *with = arg;
    enter(with);
    see(with, is_caller, "progress in another thread than the caller's");
    see(with, finished >= with->told, "progress that goes back");
    see(with, finished <= with->finished, "progress that is not there");
    with->told = finished;
    with->asked++;
    leave(with);
    return with->asking != NULL ? with->asking(with, finished) : KM_OK;
}

/* ---- The scene ----------------------------------------------------------------------------- */

static void set_scene(scene *with, unsigned threads, unsigned slots, uint64_t count) {
    *with = (scene){.end = UINT64_MAX};
    with->job = (km_pool_job){.fetch = fetch,
                              .work = work,
                              .finish = finish,
                              .progress = progress,
                              .arg = with,
                              .first = FIRST,
                              .count = count,
                              .threads = threads,
                              .slots = slots};
    assert_int_equal(km_platform_monitor_make(&with->monitor), ERROR_SUCCESS);
}

/* Runs the job; what holds of every job is judged here. */
static km_status play(scene *with) {
    uint64_t finished = UINT64_MAX;
    is_caller = true;
    const km_status status = km_pool_run(&with->job, &finished);
    is_caller = false;
    if (with->wrong != NULL) {
        fail_msg("%s", with->wrong);
    }
    assert_int_equal(finished, with->finished);
    assert_int_equal(with->worked, with->fetched); /* failed or not: what is fetched is worked */
    assert_false(with->fetch_inside || with->finish_inside);
    km_platform_monitor_free(with->monitor);
    return status;
}

static void play_well(scene *with, uint64_t items) {
    assert_int_equal(play(with), KM_OK);
    assert_int_equal(with->fetched, items);
    assert_int_equal(with->finished, items);
    assert_int_equal(with->told, items);
}

static void play_and_fail(scene *with, km_status status, const char *sentence) {
    assert_int_equal(play(with), status);
    assert_string_equal(km_error_message(), sentence);
}

static km_status fail_here(scene *with, uint64_t item) {
    (void)with;
    return km_fail(KM_E_CORRUPT, "item %u", (unsigned)(item - FIRST));
}

/* ---- Order and slots ----------------------------------------------------------------------- */

static void items_are_fetched_and_finished_in_order(void **state) {
    (void)state;
    static const unsigned threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        scene with;
        set_scene(&with, threads[i], km_pool_slots(threads[i]), 2000);
        play_well(&with, 2000);
    }
}

static void as_many_slots_as_threads_are_enough(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 3, 3, 500);
    play_well(&with, 500);
}

static km_status wait_for_two(scene *with, uint64_t item) {
    (void)item;
    wait_for(with, &with->begun, 2);
    return KM_OK;
}

static void two_items_are_worked_at_once_and_one_by_the_caller(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 2, 2);
    with.working = wait_for_two;
    play_well(&with, 2);
    assert_int_equal(with.worked_by_caller, 1);
}

static km_status first_waits_for_four(scene *with, uint64_t item) {
    if (item == FIRST) {
        wait_for(with, &with->worked, 4);
    }
    return KM_OK;
}

static void a_slow_item_lets_the_others_go_on_while_there_are_slots(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 5, 50);
    with.working = first_waits_for_four;
    play_well(&with, 50);
}

static void a_slow_finish_lets_the_others_go_on_while_there_are_slots(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 50);
    with.finishing = first_waits_for_four;
    play_well(&with, 50);
}

static km_status fetch_after_work(scene *with, uint64_t item) {
    if (item == FIRST + 2) {
        wait_for(with, &with->finished, 2);
    }
    return KM_OK;
}

static void a_slow_fetch_lets_the_others_work_and_finish(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 50);
    with.fetching = fetch_after_work;
    play_well(&with, 50);
}

/* ---- How much there is --------------------------------------------------------------------- */

static void no_items_are_no_work(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        scene with;
        set_scene(&with, threads, 8, 0);
        play_well(&with, 0);
        assert_int_equal(with.asked, 1);
    }
}

static void fetch_says_when_there_are_no_more(void **state) {
    (void)state;
    static const uint64_t ends[] = {0, 1, 2, 37};
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            scene with;
            set_scene(&with, threads, 2 * threads, UINT64_MAX);
            with.end = ends[i];
            play_well(&with, ends[i]);
        }
    }
}

static void an_end_before_the_count_is_an_end(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 100);
    with.end = 60;
    play_well(&with, 60);
}

static void with_one_thread_all_is_done_by_the_caller(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 1, 3, 20);
    play_well(&with, 20);
    assert_int_equal(with.worked_by_caller, 20);
    assert_int_equal(with.asked, 21);
}

static void one_item_is_done_by_the_caller(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 8, 16, 1);
    play_well(&with, 1);
    assert_int_equal(with.worked_by_caller, 1);
}

static void there_may_be_256_threads(void **state) {
    (void)state;
    scene with;
    set_scene(&with, KM_POOL_THREADS_MAX, MOST_SLOTS, 5000);
    play_well(&with, 5000);
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

/* ---- Failures ------------------------------------------------------------------------------ */

static km_status fail_at_three(scene *with, uint64_t item) {
    return item == FIRST + 3 ? fail_here(with, item) : KM_OK;
}

static void a_failing_work_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        set_scene(&with, threads, 2 * threads, UINT64_MAX);
        with.working = fail_at_three;
        play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_in_range(with.finished, 0, 3);
        assert_in_range(with.fetched, 4, 3 + 2 * threads);
    }
}

static void a_failing_fetch_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        set_scene(&with, threads, 2 * threads, UINT64_MAX);
        with.fetching = fail_at_three;
        play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_int_equal(with.fetched, 3);
    }
}

static void a_failing_finish_ends_the_job(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        scene with;
        set_scene(&with, threads, 2 * threads, UINT64_MAX);
        with.finishing = fail_at_three;
        play_and_fail(&with, KM_E_CORRUPT, "item 3");
        assert_int_equal(with.finished, 3);
    }
}

static void alone_nothing_is_done_after_the_failure(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 1, 2, 100);
    with.working = fail_at_three;
    play_and_fail(&with, KM_E_CORRUPT, "item 3");
    assert_int_equal(with.fetched, 4);
    assert_int_equal(with.finished, 3);
}

/* Every item fails, item 0 last of all. */
static km_status fail_first_last(scene *with, uint64_t item) {
    if (item == FIRST) {
        wait_for(with, &with->worked, 1);
    }
    return fail_here(with, item);
}

static void the_lowest_failure_is_told_though_a_higher_came_first(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 100);
    with.working = fail_first_last;
    play_and_fail(&with, KM_E_CORRUPT, "item 0");
    assert_int_equal(with.finished, 0);
}

/* Item 1's fetch has failed when item 0's work fails. */
static km_status fail_fetching_one(scene *with, uint64_t item) {
    if (item == FIRST) {
        return KM_OK;
    }
    set_stage(with, 1);
    return fail_here(with, item);
}

static km_status fail_after_the_fetch(scene *with, uint64_t item) {
    wait_for_stage(with, 1);
    return fail_here(with, item);
}

static void an_items_work_tells_more_than_a_later_fetch(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 100);
    with.fetching = fail_fetching_one;
    with.working = fail_after_the_fetch;
    play_and_fail(&with, KM_E_CORRUPT, "item 0");
    assert_int_equal(with.fetched, 1);
}

/* Item 0 fails while item 1 is being fetched. */
static km_status fetch_until_zero_fails(scene *with, uint64_t item) {
    if (item == FIRST + 1) {
        set_stage(with, 1);
        wait_for(with, &with->worked, 1);
    }
    return KM_OK;
}

static km_status fail_while_fetching(scene *with, uint64_t item) {
    if (item != FIRST) {
        return KM_OK;
    }
    wait_for_stage(with, 1);
    return fail_here(with, item);
}

static void what_was_being_fetched_is_worked(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 100);
    with.fetching = fetch_until_zero_fails;
    with.working = fail_while_fetching;
    play_and_fail(&with, KM_E_CORRUPT, "item 0");
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
        set_scene(&with, threads, 4, 100);
        with.working = fail_by_the_system;
        assert_int_equal(play(&with), KM_E_NO_SPACE);
        assert_int_equal(km_system_error(), ERROR_DISK_FULL);
        assert_memory_equal(km_error_message(), "full", 4);
    }
}

static void success_leaves_the_sentence_as_it_was(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 4, 100);
    (void)km_fail(KM_E_BUSY, "before");
    play_well(&with, 100);
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
        set_scene(&with, threads, 2 * threads, UINT64_MAX);
        with.asking = cancel_at_five;
        play_and_fail(&with, KM_E_CANCELLED, "enough");
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
    set_scene(&with, 1, 1, 10);
    with.asking = cancel;
    play_and_fail(&with, KM_E_CANCELLED, "never mind");
    assert_int_equal(with.fetched, 0);
}

/*
 * The other thread's first item is not done before the caller has been asked, and says so, more
 * often than it has items to do meanwhile: it was asked while it waited.
 */
static km_status let_the_caller_wait(scene *with, uint64_t item) {
    if (is_caller) {
        return KM_OK;
    }
    enter(with);
    const bool first = with->stage == 0;
    with->noted = first ? with->asked : with->noted;
    with->stage = first ? 1 : with->stage;
    leave(with);
    wait_for_stage(with, 2);
    (void)item;
    return KM_OK;
}

static km_status count_the_waits(scene *with, uint64_t finished) {
    (void)finished;
    enter(with);
    if (with->stage == 1 && with->asked >= with->noted + with->job.slots + 2) {
        with->stage = 2;
        km_platform_monitor_notify(with->monitor);
    }
    const bool enough = with->stage == 2;
    leave(with);
    return enough ? km_fail(KM_E_CANCELLED, "enough") : KM_OK;
}

static void progress_is_asked_while_the_caller_waits(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 2, UINT64_MAX);
    with.working = let_the_caller_wait;
    with.asking = count_the_waits;
    play_and_fail(&with, KM_E_CANCELLED, "enough");
}

static km_status fail_when_cancelled(scene *with, uint64_t item) {
    (void)let_the_caller_wait(with, item);
    return is_caller ? KM_OK : km_fail(KM_E_CORRUPT, "damaged");
}

static void an_item_that_fails_tells_more_than_a_cancellation(void **state) {
    (void)state;
    scene with;
    set_scene(&with, 2, 2, UINT64_MAX);
    with.working = fail_when_cancelled;
    with.asking = count_the_waits;
    play_and_fail(&with, KM_E_CORRUPT, "damaged");
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
        cmocka_unit_test(threads_are_as_many_as_wanted_or_as_processors),
        cmocka_unit_test(there_is_a_slot_for_each_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
