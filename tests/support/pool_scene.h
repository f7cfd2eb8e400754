/*
 * pool_scene.h - jobs for the pool whose stages watch one another.
 *
 * The stages run in threads that must not fail a test: the scene keeps what they saw, and the test
 * judges. Where one has to wait for another they meet in the scene's monitor; whoever waits in vain
 * says so after a while rather than hang.
 */
#ifndef TESTS_POOL_SCENE_H
#define TESTS_POOL_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "platform.h"
#include "pool.h"

enum { SCENE_SLOTS_MOST = 2 * KM_POOL_THREADS_MAX };

/* The number of a job's first item. */
#define SCENE_FIRST 1000u

typedef struct scene scene;
/* A test's own part in a stage, besides what the scene watches. Called outside the monitor. */
typedef km_status (*scene_act)(scene *with, uint64_t item);

struct scene {
    km_monitor *monitor; /* for all below but what the test sets before the run */
    km_pool_job job;
    scene_act fetching, working, finishing, asking;
    uint64_t end; /* of what fetch finds */

    uint64_t fetched, worked, finished; /* items, so far */
    uint64_t begun;                     /* works begun */
    uint64_t told, asked;               /* progress: the last number, and how often */
    uint64_t worked_by_caller;
    bool fetch_inside, finish_inside;
    bool taken[SCENE_SLOTS_MOST];
    uint64_t in_slot[SCENE_SLOTS_MOST];
    const char *wrong; /* something that may never be */
    int stage;         /* for the tests' acts */
    uint64_t noted;
};

/* A job of `count` items, numbered from SCENE_FIRST; the test adds what it wants otherwise. */
void scene_set(scene *with, unsigned threads, unsigned slots, uint64_t count);

/* Runs the job, and takes down the scene; what holds of every job is judged here. */
km_status scene_play(scene *with);

/* The same for a job that must work, all `items` of it, and for one that must fail. */
void scene_play_well(scene *with, uint64_t items);
void scene_play_and_fail(scene *with, km_status status, const char *sentence);

/* ---- For the acts -------------------------------------------------------------------------- */

/* Is this the thread that runs the job? */
bool scene_is_caller(void);

/* Into the scene's monitor, and out of it. */
void scene_enter(scene *with);
void scene_leave(scene *with);

/* Where the test's play stands; others wait for it. */
void scene_set_stage(scene *with, int stage);
void scene_wait_for_stage(scene *with, int stage);

/* Until *number is `wanted` at least. */
void scene_wait_for(scene *with, const uint64_t *number, uint64_t wanted);

#endif /* TESTS_POOL_SCENE_H */
