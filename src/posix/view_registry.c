/*
 * view_registry.c - all views of this process, sorted by address.
 *
 * A sorted array: a search is a handful of comparisons, and moving a few thousand pointers on an
 * insertion is cheaper than the mmap beside it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "view.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* view.h says what it guards */
static kmw_view **views;
static size_t view_count;
static size_t view_capacity;

size_t kmw_page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t kmw_page_align_up(size_t length) {
    const size_t page = kmw_page_size();
    return (length + page - 1) & ~(page - 1);
}

void kmw_views_lock(void) {
    (void)pthread_mutex_lock(&mutex);
}

void kmw_views_unlock(void) {
    (void)pthread_mutex_unlock(&mutex);
}

/* A child forked by one thread while another holds the mutex could never take it again. */
__attribute__((constructor)) static void keep_mutex_usable_after_fork(void) {
    (void)pthread_atfork(kmw_views_lock, kmw_views_unlock, kmw_views_unlock);
}

/* The number of views that begin at or below `address`. */
static size_t count_up_to(const char *address) {
    size_t low = 0;
    size_t high = view_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uintptr_t)views[middle]->base <= (uintptr_t)address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

kmw_view *kmw_views_find(const void *address) {
    const size_t count = count_up_to(address);
    if (count == 0) {
        return NULL;
    }
    kmw_view *view = views[count - 1];
    return (uintptr_t)address - (uintptr_t)view->base < view->mapped ? view : NULL;
}

bool kmw_views_make_room(void) {
    if (view_count < view_capacity) {
        return true;
    }
    const size_t capacity = view_capacity == 0 ? 64 : view_capacity * 2;
    kmw_view **grown = realloc(views, capacity * sizeof(void *));
    if (grown == NULL) {
        return false;
    }
    views = grown;
    view_capacity = capacity;
    return true;
}

void kmw_views_insert(kmw_view *view) {
    const size_t at = count_up_to(view->base);
    memmove(views + at + 1, views + at, (view_count - at) * sizeof(void *));
    views[at] = view;
    ++view_count;
}

void kmw_views_remove(kmw_view *view) {
    const size_t at = count_up_to(view->base) - 1;
    memmove(views + at, views + at + 1, (view_count - at - 1) * sizeof(void *));
    --view_count;
}

/*
 * At exit Windows ends every view, and what has waited for it happens: a file to be deleted on
 * close goes. The memory stays as it is to the very end, since other threads may still be using it.
 */
__attribute__((destructor)) static void let_all_go(void) {
    kmw_views_lock();
    kmw_view **const left = views;
    const size_t count = view_count;
    views = NULL;
    view_count = 0;
    view_capacity = 0;
    kmw_views_unlock();
    kmw_marks_outlive_sections();
    for (size_t i = 0; i < count; ++i) {
        kmw_view_free(left[i]);
    }
    free(left);
}
