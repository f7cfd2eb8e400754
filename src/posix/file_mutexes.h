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

    /* One thread at a time sets a file's size. Nothing is locked inside. It guards nothing in
     * memory; in a forked child it is free. */
    pthread_mutex_t size;
} kmw_file_mutexes;

/* Those for one more file. They are never destroyed. */
kmw_file_mutexes *kmw_file_mutexes_choose(void);

/*
 * Which process this is, counted in forks: what a thread of the process before has left unfinished
 * is nobody's here.
 */
unsigned kmw_fork_generation(void);

#endif /* KMW_FILE_MUTEXES_H */
