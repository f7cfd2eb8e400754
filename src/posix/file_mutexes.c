/*
 * file_mutexes.c - the mutexes of files, which a forked child finds usable.
 */
#include "file_mutexes.h"

#include <stdatomic.h>

#include "mapped_mark.h"

/* Enough that two files rarely meet, few enough to be taken all at once: 64 mutexes in one hand are
 * more than some thread checkers can keep in mind. */
enum { SETS = 24 };

static kmw_file_mutexes sets[SETS];
static atomic_uint files_made;
static unsigned generation; /* changes only in a child with one thread */
static atomic_uint forks;   /* changes only with all of `marks` and `ranges` held */

kmw_file_mutexes *kmw_file_mutexes_choose(void) {
    return &sets[atomic_fetch_add_explicit(&files_made, 1, memory_order_relaxed) % SETS];
}

unsigned kmw_fork_generation(void) {
    return generation;
}

unsigned kmw_fork_count(void) {
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* From here to the fork nobody marks a file or takes a mark away. */
static void before_fork(void) {
    for (int i = 0; i < SETS; ++i) {
        pthread_mutex_lock(&sets[i].marks);
    }
    for (int i = 0; i < SETS; ++i) {
        kmw_marks_move(&sets[i].marked);
    }
    for (int i = 0; i < SETS; ++i) {
        pthread_mutex_lock(&sets[i].ranges);
    }
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void after_fork_in_parent(void) {
    for (int i = 0; i < SETS; ++i) {
        pthread_mutex_unlock(&sets[i].ranges);
        pthread_mutex_unlock(&sets[i].marks);
    }
}

/* Whoever waited for a change, or was setting a size, is not here. */
static void after_fork_in_child(void) {
    generation++;
    for (int i = 0; i < SETS; ++i) {
        pthread_cond_init(&sets[i].ranges_changed, NULL);
        pthread_mutex_init(&sets[i].size, NULL);
        pthread_mutex_unlock(&sets[i].ranges);
        pthread_mutex_unlock(&sets[i].marks);
    }
}

/* Before any file is made, and so before the handle table watches forks: its handler for the child,
 * which may let files go, runs after this one's. */
__attribute__((constructor)) static void prepare(void) {
    for (int i = 0; i < SETS; ++i) {
        pthread_mutex_init(&sets[i].ranges, NULL);
        pthread_cond_init(&sets[i].ranges_changed, NULL);
        pthread_mutex_init(&sets[i].size, NULL);
        pthread_mutex_init(&sets[i].marks, NULL);
    }
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
