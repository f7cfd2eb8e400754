/*
 * pool.h - many like pieces of work, done by a few threads, their results in order.
 *
 * A job has `count` items, 0, 1, 2... Each goes through three stages:
 *
 *   fetch   one item at a time, in rising order; may say that there are no more (optional)
 *   work    several items at once, in any order
 *   finish  one item at a time, in rising order (optional)
 *
 * An item has a slot from its fetch until after its finish: the caller keeps what belongs to an
 * item there, so the memory of a job is that of its slots, however many items there are. A worker
 * that is done with an item early leaves it in its slot and goes on, as long as there are free
 * ones.
 *
 * Errors. The first stage that returns anything but KM_OK ends the job: items already fetched are
 * worked to their end, each once, none is fetched or finished any more, and the result, with its
 * sentence, is that of the lowest item that failed. The stages report with km_fail, in whatever
 * thread they run. A pool has no failures of its own: without memory, too, the caller's thread does
 * it all.
 *
 * Threads. `threads` of them in all, the caller's among them, but no more than items: with 1, and
 * where the system gives no more, everything runs in the caller's thread. They are started by the
 * call and gone when it returns; signals are not delivered to them (see platform.h). Fetches and
 * finishes run in any of them, each after the one before it has returned; what one item's stages,
 * or one kind of these two, leave in memory, the next sees.
 *
 * Progress is asked for in the caller's thread: before its first item, after each of its items, at
 * least every tenth of a second while it waits, and at the end of a job that went well. The numbers
 * never fall, and the last is that of all items. An item that fails, even later, tells more than a
 * cancellation: the result is the item's then. Once something has failed nobody asks any more.
 */
#ifndef KM_POOL_H
#define KM_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

typedef struct km_pool_job {
    /* NULL: all items are there. *end set: there is no item `item`, and nothing was fetched. */
    km_status (*fetch)(void *arg, uint64_t item, unsigned slot, bool *end);
    km_status (*work)(void *arg, uint64_t item, unsigned slot);
    km_status (*finish)(void *arg, uint64_t item, unsigned slot); /* NULL: nothing to do */
    /* Told the number of items finished; anything but KM_OK ends the job with that status.
     * NULL: nobody asks. */
    km_status (*progress)(void *arg, uint64_t finished);
    void *arg;
    uint64_t first;   /* the first item's number */
    uint64_t count;   /* items; UINT64_MAX: until fetch says so */
    unsigned threads; /* 1 to KM_POOL_THREADS_MAX */
    unsigned slots;   /* at least `threads`; the n-th item, from 0, has slot n % slots */
} km_pool_job;

#define KM_POOL_THREADS_MAX 256u

/*
 * How many threads a caller's option stands for: 0 is as many as this process may run on at once,
 * no more than KM_POOL_THREADS_MAX.
 */
unsigned km_pool_threads(uint32_t wanted);

/* How many slots keep `threads` busy although results have to go out in order. */
unsigned km_pool_slots(unsigned threads);

/* Runs the job to its end. *finished (may be NULL): the items that were, whatever the result. */
km_status km_pool_run(const km_pool_job *job, uint64_t *finished);

#endif /* KM_POOL_H */
