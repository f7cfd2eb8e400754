/*
 * sync_page.h - the shared memory that the state of an event, a mutex or a semaphore lies in.
 *
 * Of a named object it is the first page of its file, where everybody who has opened it maps it; of
 * an unnamed one a shared page of its own, since a forked child goes on sharing it. In one process
 * a page is mapped once, however many objects and handles lead to it: a mutex that a thread owns is
 * in the thread's list of robust mutexes by its address, and must be found there when it is taken
 * or released through another handle.
 *
 * A page is counted. Each object holds it, and so does the thread that owns the mutex in it: the
 * kernel will look there when that thread ends, whether the mutex's handles are closed or not.
 *
 * Everybody who may open an object writes to its state. So whatever stands in the words is
 * tolerated, and what must not change is copied once and checked. The mutex is the C library's,
 * which trusts what it finds: who may open a mutex is trusted as far.
 */
#ifndef KMW_SYNC_PAGE_H
#define KMW_SYNC_PAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "handle_table.h"
#include "named_object.h"

/* The same in every program that shares the object. */
typedef struct kmw_sync_state {
    /*
     * What waiters look at and sleep on.
     *   Event:     see event.c.
     *   Semaphore: bits 0 to 30 the count.
     *   Mutex:     counts the releases that somebody waited for in a wait for several objects.
     */
    atomic_uint word;
    /* Who sleeps on the word, or is about to. A waiter that is killed stays counted: that costs
     * system calls, nothing else. */
    atomic_uint waiters;
    uint32_t limit;        /* Event: manual reset. Semaphore: the maximum. */
    atomic_uint abandoned; /* Mutex: 1: whoever takes it next is to be told; 2: nobody can. */
    _Alignas(64) pthread_mutex_t mutex;
} kmw_sync_state;

typedef struct kmw_sync_page kmw_sync_page;
struct kmw_sync_page {
    kmw_sync_state *state;
    uint32_t limit; /* the state's, checked */

    atomic_uint references;
    void *mapping;
    unsigned forks; /* kmw_fork_count() when it was made: if it still is, nobody shares it */
    bool named;
    dev_t device; /* of the file, if named */
    ino_t inode;

    /* The thread of this process (thread_self.h) that owns the mutex and so holds a reference. It
     * may have died since: the reference then waits for the next owner, or for the sweep. */
    _Atomic(uint64_t) owner;
    unsigned depth; /* the owner's: how often it took it */

    /* Guarded by the mutex of sync_page.c. */
    kmw_sync_page *next;
    kmw_sync_page *next_left, *previous_left; /* a ring; NULL: not in it */
};

/* A page of an unnamed object: zeros. One reference. NULL and errno. */
kmw_sync_page *kmw_sync_page_new(void);

/* The page of a named object, mapped if it is not yet: a reference more. NULL and errno. */
kmw_sync_page *kmw_sync_page_of(const kmw_named *named);

void kmw_sync_page_reference(kmw_sync_page *page);
void kmw_sync_page_release(kmw_sync_page *page);

/* An object gives up its reference for good. If a thread owns the mutex, somebody has to look
 * whether that thread lives: kmw_sync_pages_sweep. */
void kmw_sync_page_leave(kmw_sync_page *page);

/* Looks at some of the pages that no object holds, each call at the next ones, and lets go those of
 * mutexes whose owners have died. */
void kmw_sync_pages_sweep(void);

#endif /* KMW_SYNC_PAGE_H */
