/*
 * file_mutexes.h - the mutexes of files, which a forked child finds usable.
 *
 * A mutex that another thread holds when the process forks is never let go in the child. So files
 * do not have their own: they share a few that are looked after when the process forks.
 */
#ifndef KMW_FILE_MUTEXES_H
#define KMW_FILE_MUTEXES_H

#include <pthread.h>

typedef struct kmw_file_mutexes {
    /* The ranges that LockFileEx holds, of several files. A leaf: nothing is locked inside, nor is
     * anything done that may wait. Taken around fork, so that the ranges are whole in the child. */
    pthread_mutex_t ranges;
    pthread_cond_t ranges_changed; /* a range was removed */

    /* One thread at a time sets a file's size. Of the others only `marks` is locked inside. It
     * guards nothing in memory; in a forked child it is free. */
    pthread_mutex_t size;

    /* The marks of several files (mapped_mark.h) and the list of those that have some. A file that
     * is being cut short is so with this held, which keeps it from being marked meanwhile; but
     * nothing else is done inside that may wait long. Inside it only `ranges` is locked. Taken
     * around fork, after the handle table's mutex; no handle is used and no object released inside.
     */
    pthread_mutex_t marks;
    struct kmw_file *marked;
} kmw_file_mutexes;

/* Those for one more file. They are never destroyed. */
kmw_file_mutexes *kmw_file_mutexes_choose(void);

/*
 * Which process this is, counted in forks: what a thread of the process before has left unfinished
 * is nobody's here.
 */
unsigned kmw_fork_generation(void);

/*
 * How many forks there have been, in the parents too: what was opened when it was another number
 * is shared with another process. It does not change while one of the above is held, save `size`.
 */
unsigned kmw_fork_count(void);

#endif /* KMW_FILE_MUTEXES_H */
