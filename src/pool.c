/*
 * pool.c - many like pieces of work, done by a few threads, their results in order.
 *
 * Items are counted from 0 here; their numbers begin at job->first. Of the items 0, 1, 2... those
 * below `finished` are through, those from there to `fetched` have the slots item % slots, which
 * none can share since there are never more of them than slots. Whoever is done with an item takes
 * the next thing that may be done, the one head item that may be finished before all else, because
 * it frees a slot. Nothing is called inside the monitor.
 */
#include "pool.h"

#include <stdlib.h>

#include "deadline.h"
#include "platform.h"
#include "status.h"

#define LONGEST_SILENCE_MS 100u
/* A slow head item lets the others go on for about as long as one item takes. */
#define SLOTS_FOR_EACH_THREAD 2u
/* Where a cancellation stands among failures: behind those of all items. */
#define BEHIND_ALL_ITEMS UINT64_MAX

typedef struct pool_run {
    const km_pool_job *job;
    km_monitor *monitor; /* for all below */
    bool *worked;        /* by slot: its item waits to be finished */
    uint64_t fetched, finished;
    bool fetching, finishing; /* somebody is at it */
    bool ended;               /* fetch has said so */
    unsigned others;          /* threads besides the caller's that are not done */
    unsigned waiting;
    km_status status; /* of the lowest item that failed... */
    uint64_t failed;  /* ...this one */
    km_failure failure;
} pool_run;

/* ---- The stages ---------------------------------------------------------------------------- */

static unsigned slot_of(const km_pool_job *job, uint64_t item) {
    return (unsigned)(item % job->slots);
}

static km_status fetch(const km_pool_job *job, uint64_t item, bool *end) {
    return job->fetch == NULL ? KM_OK
                              : job->fetch(job->arg, job->first + item, slot_of(job, item), end);
}

static km_status work(const km_pool_job *job, uint64_t item) {
    return job->work(job->arg, job->first + item, slot_of(job, item));
}

static km_status finish(const km_pool_job *job, uint64_t item) {
    return job->finish == NULL ? KM_OK
                               : job->finish(job->arg, job->first + item, slot_of(job, item));
}

static km_status ask(const km_pool_job *job, uint64_t finished) {
    return job->progress == NULL ? KM_OK : job->progress(job->arg, finished);
}

/* ---- In one thread ------------------------------------------------------------------------- */

static km_status run_alone(const km_pool_job *job, uint64_t *finished) {
    for (uint64_t item = 0;; item++) {
        bool end = false;
        *finished = item;
        km_status status = ask(job, item);
        if (status != KM_OK || item == job->count) {
            return status;
        }
        status = fetch(job, item, &end);
        if (status != KM_OK || end) {
            return status;
        }
        status = work(job, item);
        if (status == KM_OK) {
            status = finish(job, item);
        }
        if (status != KM_OK) {
            return status;
        }
    }
}

/* ---- In several: all below is called inside the monitor ------------------------------------ */

static bool may_finish(const pool_run *run) {
    return run->status == KM_OK && !run->finishing && run->finished < run->fetched &&
           run->worked[slot_of(run->job, run->finished)];
}

static bool no_more_to_fetch(const pool_run *run) {
    return run->status != KM_OK || run->ended || run->fetched == run->job->count;
}

static bool may_fetch(const pool_run *run) {
    return !no_more_to_fetch(run) && !run->fetching &&
           run->fetched - run->finished < run->job->slots;
}

/* Called after each change that others may be waiting for. */
static void wake(const pool_run *run) {
    if (run->waiting > 0) {
        km_platform_monitor_notify(run->monitor);
    }
}

static void wait_for_change(pool_run *run, uint32_t milliseconds) {
    run->waiting++;
    km_platform_monitor_wait(run->monitor, milliseconds);
    run->waiting--;
}

/* To be called in the thread that has the sentence. */
static void note_failure(pool_run *run, uint64_t item, km_status status) {
    if (run->status == KM_OK || item < run->failed) {
        run->status = status;
        run->failed = item;
        km_failure_keep(&run->failure);
    }
}

/* Whoever waits for a slot can have one. */
static void finish_one(pool_run *run) {
    const uint64_t item = run->finished;
    km_status status = KM_OK;
    if (run->job->finish != NULL) {
        run->finishing = true;
        km_platform_monitor_leave(run->monitor);
        status = finish(run->job, item);
        km_platform_monitor_enter(run->monitor);
        run->finishing = false;
    }
    if (status == KM_OK) {
        run->worked[slot_of(run->job, item)] = false;
        run->finished++;
    } else {
        note_failure(run, item, status);
    }
    wake(run);
}

/* Is there an item now? What was fetched is worked, whatever has happened meanwhile. */
static bool fetch_one(pool_run *run) {
    const uint64_t item = run->fetched;
    bool end = false;
    if (run->job->fetch != NULL) {
        run->fetching = true;
        km_platform_monitor_leave(run->monitor);
        const km_status status = fetch(run->job, item, &end);
        km_platform_monitor_enter(run->monitor);
        run->fetching = false;
        if (status != KM_OK) {
            note_failure(run, item, status);
        }
        run->ended = end;
        end = end || status != KM_OK;
    }
    if (!end) {
        run->fetched++;
    }
    if (may_fetch(run) || no_more_to_fetch(run)) {
        wake(run);
    }
    return !end;
}

/* The item's own thread looks first whether it can be finished: nobody is told that it can. */
static void take_one(pool_run *run) {
    const uint64_t item = run->fetched;
    if (!fetch_one(run)) {
        return;
    }
    km_platform_monitor_leave(run->monitor);
    const km_status status = work(run->job, item);
    km_platform_monitor_enter(run->monitor);
    if (status != KM_OK) {
        note_failure(run, item, status);
        wake(run);
        return;
    }
    run->worked[slot_of(run->job, item)] = true;
    if (may_finish(run)) {
        finish_one(run);
    }
}

/* false: there was nothing to do. */
static bool do_something(pool_run *run) {
    if (may_finish(run)) {
        finish_one(run);
        return true;
    }
    if (may_fetch(run)) {
        take_one(run);
        return true;
    }
    return false;
}

/* ---- The threads --------------------------------------------------------------------------- */

/* What is left when nothing can be fetched any more is finished by those who are working at it. */
static void help(void *arg) {
    pool_run *run = arg;
    km_platform_monitor_enter(run->monitor);
    for (;;) {
        if (do_something(run)) {
            continue;
        }
        if (no_more_to_fetch(run)) {
            break;
        }
        wait_for_change(run, KM_WAIT_FOREVER);
    }
    run->others--;
    wake(run);
    km_platform_monitor_leave(run->monitor);
}

/* What the caller has been told. A job that has failed is not asked about any more. */
static uint64_t ask_inside(pool_run *run) {
    const uint64_t finished = run->finished;
    if (run->status != KM_OK || run->job->progress == NULL) {
        return finished;
    }
    km_platform_monitor_leave(run->monitor);
    const km_status status = ask(run->job, finished);
    km_platform_monitor_enter(run->monitor);
    if (status != KM_OK) {
        note_failure(run, BEHIND_ALL_ITEMS, status);
        wake(run);
    }
    return finished;
}

/* The caller's part: to work like the others, to ask, and to see them all off. */
static void lead(pool_run *run) {
    const uint32_t patience = run->job->progress != NULL ? LONGEST_SILENCE_MS : KM_WAIT_FOREVER;
    km_deadline silence = km_deadline_in(patience);
    km_platform_monitor_enter(run->monitor);
    uint64_t told = ask_inside(run);
    for (;;) {
        const bool did = do_something(run);
        if (!did && run->others == 0 && no_more_to_fetch(run)) {
            break;
        }
        if (!did) {
            wait_for_change(run, km_deadline_left(&silence));
        }
        if (did || km_deadline_left(&silence) == 0) {
            told = ask_inside(run);
            silence = km_deadline_in(patience);
        }
    }
    if (told != run->finished) {
        (void)ask_inside(run);
    }
    km_platform_monitor_leave(run->monitor);
}

/* As many as there can be, and no more than there is work for. */
static unsigned start_others(pool_run *run, unsigned wanted, km_thread *threads) {
    unsigned started = 0;
    while (started < wanted) {
        km_platform_monitor_enter(run->monitor);
        const bool needed = !no_more_to_fetch(run);
        run->others++;
        km_platform_monitor_leave(run->monitor);
        if (!needed || km_platform_thread_start(&threads[started], help, run) != ERROR_SUCCESS) {
            km_platform_monitor_enter(run->monitor);
            run->others--;
            km_platform_monitor_leave(run->monitor);
            break;
        }
        started++;
    }
    return started;
}

static void run_together(pool_run *run, unsigned threads) {
    km_thread others[KM_POOL_THREADS_MAX];
    const unsigned started = start_others(run, threads - 1, others);
    lead(run);
    for (unsigned i = 0; i < started; i++) {
        km_platform_thread_join(&others[i]);
    }
    if (run->status != KM_OK) {
        km_failure_restore(&run->failure);
    }
}

/* ---- The calls ----------------------------------------------------------------------------- */

static unsigned least(uint64_t one, unsigned other) {
    return one < other ? (unsigned)one : other;
}

unsigned km_pool_threads(uint32_t wanted) {
    return least(wanted != 0 ? wanted : km_platform_processors(), KM_POOL_THREADS_MAX);
}

unsigned km_pool_slots(unsigned threads) {
    return threads == 1 ? 1 : SLOTS_FOR_EACH_THREAD * threads;
}

km_status km_pool_run(const km_pool_job *job, uint64_t *finished) {
    pool_run run = {.job = job};
    const unsigned threads = least(job->count, job->threads);
    if (threads > 1 && km_platform_monitor_make(&run.monitor) == ERROR_SUCCESS) {
        run.worked = calloc(job->slots, sizeof *run.worked);
    }
    if (run.worked != NULL) {
        run_together(&run, threads);
    } else {
        run.status = run_alone(job, &run.finished);
    }
    free(run.worked);
    km_platform_monitor_free(run.monitor);
    if (finished != NULL) {
        *finished = run.finished;
    }
    return run.status;
}
