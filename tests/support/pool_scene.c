/*
 * pool_scene.c - jobs for the pool whose stages watch one another.
 */
#include "pool_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "deadline.h"
#include "status.h"

enum { IN_VAIN_MS = 30000 };

static _Thread_local bool is_caller;

bool scene_is_caller(void) {
    return is_caller;
}

static void see(scene *with, bool right, const char *wrong) {
    if (!right && with->wrong == NULL) {
        with->wrong = wrong;
    }
}

void scene_enter(scene *with) {
    km_platform_monitor_enter(with->monitor);
}

void scene_leave(scene *with) {
    km_platform_monitor_leave(with->monitor);
}

void scene_set_stage(scene *with, int stage) {
    scene_enter(with);
    with->stage = stage;
    km_platform_monitor_notify(with->monitor);
    scene_leave(with);
}

void scene_wait_for(scene *with, const uint64_t *number, uint64_t wanted) {
    const km_deadline deadline = km_deadline_in(IN_VAIN_MS);
    scene_enter(with);
    while (*number < wanted && km_deadline_left(&deadline) > 0) {
        km_platform_monitor_wait(with->monitor, km_deadline_left(&deadline));
    }
    see(with, *number >= wanted, "a stage waited in vain for another");
    scene_leave(with);
}

void scene_wait_for_stage(scene *with, int stage) {
    const km_deadline deadline = km_deadline_in(IN_VAIN_MS);
    scene_enter(with);
    while (with->stage < stage && km_deadline_left(&deadline) > 0) {
        km_platform_monitor_wait(with->monitor, km_deadline_left(&deadline));
    }
    see(with, with->stage >= stage, "a stage waited in vain for the play");
    scene_leave(with);
}

/* ---- The stages ---------------------------------------------------------------------------- */

static km_status fetch(void *arg, uint64_t item, unsigned slot, bool *end) {
    scene *with = arg;
    scene_enter(with);
    see(with, !with->fetch_inside, "two fetches at once");
    see(with, item == with->job.first + with->fetched, "a fetch out of order");
    see(with, slot == with->fetched % with->job.slots, "another slot than promised");
    see(with, !with->taken[slot], "a slot that is taken");
    see(with, !*end, "an end before it was said");
    with->fetch_inside = true;
    scene_leave(with);

    const km_status status = with->fetching != NULL ? with->fetching(with, item) : KM_OK;

    scene_enter(with);
    with->fetch_inside = false;
    if (status == KM_OK && with->fetched == with->end) {
        *end = true;
    } else if (status == KM_OK) {
        with->fetched++;
        with->taken[slot] = true;
        with->in_slot[slot] = item;
    }
    km_platform_monitor_notify(with->monitor);
    scene_leave(with);
    return status;
}

static km_status work(void *arg, uint64_t item, unsigned slot) {
    scene *with = arg;
    scene_enter(with);
    see(with, with->taken[slot] && with->in_slot[slot] == item, "work in another item's slot");
    with->begun++;
    km_platform_monitor_notify(with->monitor);
    scene_leave(with);

    const km_status status = with->working != NULL ? with->working(with, item) : KM_OK;

    scene_enter(with);
    with->worked++;
    with->worked_by_caller += is_caller;
    km_platform_monitor_notify(with->monitor);
    scene_leave(with);
    return status;
}

static km_status finish(void *arg, uint64_t item, unsigned slot) {
    scene *with = arg;
    scene_enter(with);
    see(with, !with->finish_inside, "two finishes at once");
    see(with, item == with->job.first + with->finished, "a finish out of order");
    see(with, with->taken[slot] && with->in_slot[slot] == item, "a finish in another's slot");
    with->finish_inside = true;
    scene_leave(with);

    const km_status status = with->finishing != NULL ? with->finishing(with, item) : KM_OK;

    scene_enter(with);
    with->finish_inside = false;
    if (status == KM_OK) {
        with->finished++;
        with->taken[slot] = false;
    }
    km_platform_monitor_notify(with->monitor);
    scene_leave(with);
    return status;
}

static km_status progress(void *arg, uint64_t finished) {
    scene *with = arg;
    scene_enter(with);
    see(with, is_caller, "progress in another thread than the caller's");
    see(with, finished >= with->told, "progress that goes back");
    see(with, finished <= with->finished, "progress that is not there");
    with->told = finished;
    with->asked++;
    scene_leave(with);
    return with->asking != NULL ? with->asking(with, finished) : KM_OK;
}

/* ---- The scene ----------------------------------------------------------------------------- */

void scene_set(scene *with, unsigned threads, unsigned slots, uint64_t count) {
    *with = (scene){.end = UINT64_MAX};
    with->job = (km_pool_job){.fetch = fetch,
                              .work = work,
                              .finish = finish,
                              .progress = progress,
                              .arg = with,
                              .first = SCENE_FIRST,
                              .count = count,
                              .threads = threads,
                              .slots = slots};
    assert_int_equal(km_platform_monitor_make(&with->monitor), ERROR_SUCCESS);
}

km_status scene_play(scene *with) {
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

void scene_play_well(scene *with, uint64_t items) {
    assert_int_equal(scene_play(with), KM_OK);
    assert_int_equal(with->fetched, items);
    assert_int_equal(with->finished, items);
    assert_int_equal(with->told, items);
}

void scene_play_and_fail(scene *with, km_status status, const char *sentence) {
    assert_int_equal(scene_play(with), status);
    assert_string_equal(km_error_message(), sentence);
}
