/*
 * sync_page.c - mapping, sharing and letting go the pages of events, mutexes and semaphores.
 */
#include "sync_page.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file_mutexes.h"
#include "thread_self.h"
#include "view.h"

_Static_assert(sizeof(kmw_sync_state) <= KMW_STATE_SIZE, "a header has room for the state");
_Static_assert(KMW_STATE_OFFSET % _Alignof(kmw_sync_state) == 0, "the state is aligned there");

/* More than one: pages are left one at a time, so those of the dead become fewer. */
enum { BUCKETS = 64, LOOKS_A_SWEEP = 4 };

/*
 * Guards what follows. A leaf: nothing else is locked while it is held. Taken around fork, so that
 * it is free in the child.
 */
static pthread_mutex_t pages_mutex = PTHREAD_MUTEX_INITIALIZER;
static kmw_sync_page *named_pages[BUCKETS]; /* without those whose last reference has gone */
/* Of mutexes that were owned when their object went; this one is the next to be looked at. */
static kmw_sync_page *left_pages;

/* ---- fork ---- */

static void lock_pages(void) {
    pthread_mutex_lock(&pages_mutex);
}

static void unlock_pages(void) {
    pthread_mutex_unlock(&pages_mutex);
}

/* Before any handle is made: the handle table's handler for the child may let objects go, and runs
 * after this one's. */
__attribute__((constructor)) static void watch_forks(void) {
    (void)pthread_atfork(lock_pages, unlock_pages, unlock_pages);
}

/* ---- Lists; the caller has the mutex ---- */

static kmw_sync_page **bucket_of(dev_t device, ino_t inode) {
    return &named_pages[(device ^ inode) % BUCKETS];
}

/* A page whose last reference is going is on its way out and does not come back. */
static bool reference_if_alive(kmw_sync_page *page) {
    unsigned references = atomic_load_explicit(&page->references, memory_order_relaxed);
    while (references != 0) {
        if (atomic_compare_exchange_weak_explicit(&page->references, &references, references + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

static kmw_sync_page *find(dev_t device, ino_t inode) {
    for (kmw_sync_page *page = *bucket_of(device, inode); page != NULL; page = page->next) {
        if (page->device == device && page->inode == inode && reference_if_alive(page)) {
            return page;
        }
    }
    return NULL;
}

static void unlist_left(kmw_sync_page *page) {
    if (page->next_left == NULL) {
        return;
    }
    page->previous_left->next_left = page->next_left;
    page->next_left->previous_left = page->previous_left;
    if (left_pages == page) {
        left_pages = page->next_left == page ? NULL : page->next_left;
    }
    page->next_left = NULL;
    page->previous_left = NULL;
}

/* At the end: it is looked at after those that are there. */
static void list_left(kmw_sync_page *page) {
    if (left_pages == NULL) {
        left_pages = page->next_left = page->previous_left = page;
        return;
    }
    page->next_left = left_pages;
    page->previous_left = left_pages->previous_left;
    page->previous_left->next_left = page;
    left_pages->previous_left = page;
}

static void unlist(kmw_sync_page *page) {
    kmw_sync_page **at = page->named ? bucket_of(page->device, page->inode) : NULL;
    while (at != NULL && *at != NULL && *at != page) {
        at = &(*at)->next;
    }
    if (at != NULL && *at == page) {
        *at = page->next;
    }
    unlist_left(page);
}

/* ---- Making and freeing ---- */

static kmw_sync_page *page_over(void *mapping, size_t state_offset) {
    kmw_sync_page *page = mapping != MAP_FAILED ? calloc(1, sizeof *page) : NULL;
    if (page == NULL) {
        const int error = mapping == MAP_FAILED ? errno : ENOMEM;
        if (mapping != MAP_FAILED) {
            munmap(mapping, kmw_page_size());
        }
        errno = error;
        return NULL;
    }
    page->mapping = mapping;
    page->forks = kmw_fork_count();
    page->state = (kmw_sync_state *)((char *)mapping + state_offset);
    atomic_init(&page->references, 1);
    atomic_init(&page->owner, 0);
    return page;
}

kmw_sync_page *kmw_sync_page_new(void) {
    return page_over(
        mmap(NULL, kmw_page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 0);
}

static void page_free(kmw_sync_page *page) {
    munmap(page->mapping, kmw_page_size());
    free(page);
}

static kmw_sync_page *map_named(const kmw_named *named) {
    const int descriptor = kmw_named_reopen(named);
    if (descriptor < 0) {
        return NULL;
    }
    void *mapping = mmap(NULL, kmw_page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    const int error = errno;
    close(descriptor);
    errno = error;
    kmw_sync_page *page = page_over(mapping, KMW_STATE_OFFSET);
    if (page != NULL) {
        page->named = true;
        page->device = named->device;
        page->inode = named->inode;
        page->limit = page->state->limit;
    }
    return page;
}

kmw_sync_page *kmw_sync_page_of(const kmw_named *named) {
    lock_pages();
    kmw_sync_page *there = find(named->device, named->inode);
    unlock_pages();
    if (there != NULL) {
        return there;
    }
    kmw_sync_page *page = map_named(named);
    if (page == NULL) {
        return NULL;
    }
    lock_pages();
    there = find(named->device, named->inode); /* another thread may have been faster */
    if (there == NULL) {
        kmw_sync_page **bucket = bucket_of(page->device, page->inode);
        page->next = *bucket;
        *bucket = page;
    }
    unlock_pages();
    if (there != NULL) {
        page_free(page);
        return there;
    }
    return page;
}

void kmw_sync_page_reference(kmw_sync_page *page) {
    atomic_fetch_add_explicit(&page->references, 1, memory_order_relaxed);
}

void kmw_sync_page_release(kmw_sync_page *page) {
    if (atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    lock_pages();
    unlist(page);
    unlock_pages();
    page_free(page);
}

/* ---- Mutexes owned beyond their objects ---- */

void kmw_sync_page_leave(kmw_sync_page *page) {
    if (atomic_load(&page->owner) != 0) {
        lock_pages();
        if (page->next_left == NULL) {
            list_left(page);
        }
        unlock_pages();
    }
    kmw_sync_page_release(page);
}

/* The owner has died, and its reference is taken over by this call. */
static bool bury_owner(kmw_sync_page *page) {
    uint64_t owner = atomic_load(&page->owner);
    return owner != 0 && !kmw_thread_lives(owner) &&
           atomic_compare_exchange_strong(&page->owner, &owner, 0);
}

void kmw_sync_pages_sweep(void) {
    kmw_sync_page *orphans[LOOKS_A_SWEEP];
    unsigned count = 0;
    lock_pages();
    for (unsigned look = 0; look < LOOKS_A_SWEEP && left_pages != NULL; look++) {
        kmw_sync_page *page = left_pages;
        left_pages = page->next_left;
        if (bury_owner(page)) {
            unlist_left(page);
            orphans[count++] = page;
        }
    }
    unlock_pages();
    while (count > 0) {
        kmw_sync_page_release(orphans[--count]);
    }
}
