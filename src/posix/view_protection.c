/*
 * view_protection.c - VirtualProtect on views.
 *
 * A view may only be given less than it was mapped with; copy-on-write counts as reading. A page of
 * a shared view that becomes copy-on-write is mapped anew, privately: it is "detached". When it
 * becomes writable again, it returns to the section unless it has been stored to meanwhile, in
 * which case it stays private, as on Windows. Where nobody can tell whether it has, it is left as
 * it is, and the call fails: neither its stores nor later ones may be lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "last_error.h"
#include "page_map.h"
#include "protection.h"
#include "view.h"

/* Page map entries looked at in one go. */
#define BATCH ((size_t)512)

/* ---- Looking at the pages of a view ---- */

static kmw_page_run whole_view(const kmw_view *view) {
    const kmw_page_run run = {0, view->protection, kmw_protection_of(view->protection)->copies};
    return run;
}

kmw_page_run kmw_view_run(const kmw_view *view, size_t page, size_t *end) {
    *end = view->mapped / kmw_page_size();
    if (view->runs == NULL) {
        return whole_view(view);
    }
    size_t low = 0;
    size_t high = view->run_count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (view->runs[middle].first <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if (low + 1 < view->run_count) {
        *end = view->runs[low + 1].first;
    }
    return view->runs[low];
}

/*
 * Has `page` a private copy, and up to which page, at most `end`, is that the same? The page map is
 * opened with the first question. false, errno: the system does not tell.
 */
static bool copied_run(const kmw_view *view, int *page_map, size_t page, size_t end, bool *copied,
                       size_t *run_end) {
    const size_t page_size = kmw_page_size();
    uint64_t entries[BATCH];
    *page_map = *page_map < 0 ? kmw_page_map_open() : *page_map;
    for (size_t at = page; at < end;) {
        const size_t count = end - at < BATCH ? end - at : BATCH;
        if (*page_map < 0 ||
            !kmw_page_map_read(*page_map, view->base + at * page_size, count, entries)) {
            return false;
        }
        if (at == page) {
            *copied = kmw_page_is_copied(entries[0]);
        }
        for (size_t i = 0; i < count; ++i) {
            if (kmw_page_is_copied(entries[i]) != *copied) {
                *run_end = at + i;
                return true;
            }
        }
        at += count;
    }
    *run_end = end;
    return true;
}

/* The answer may stop before it has to: a larger view is asked about in pieces, rather than keep
 * everybody waiting for the registry meanwhile. 4 GiB. */
#define LONGEST_LOOK ((size_t)1 << 20)

DWORD kmw_view_page_protection(const kmw_view *view, size_t page, size_t limit, size_t *end) {
    DWORD protection = 0;
    int page_map = -1;
    if (limit - page > LONGEST_LOOK && kmw_protection_of(view->protection)->copies) {
        limit = page + LONGEST_LOOK;
    }
    for (size_t at = page; at < limit;) {
        size_t run_end = 0;
        const kmw_page_run run = kmw_view_run(view, at, &run_end);
        DWORD shown = run.protection;
        run_end = run_end < limit ? run_end : limit;
        bool copied = false;
        if (kmw_protection_of(run.protection)->copies &&
            copied_run(view, &page_map, at, run_end, &copied, &run_end) && copied) {
            shown = kmw_protection_when_copied(run.protection);
        }
        if (at != page && shown != protection) {
            break;
        }
        protection = shown;
        *end = at = run_end;
    }
    if (page_map >= 0) {
        close(page_map);
    }
    return protection;
}

/* ---- Changing them ---- */

/* The runs a view is to have, in order; alike neighbours are one. */
typedef struct run_list {
    kmw_page_run *runs;
    size_t count;
    size_t capacity;
} run_list;

static bool append(run_list *list, kmw_page_run run) {
    if (list->count > 0) {
        const kmw_page_run *last = &list->runs[list->count - 1];
        if (last->protection == run.protection && last->detached == run.detached) {
            return true;
        }
    }
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        kmw_page_run *grown = realloc(list->runs, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        list->runs = grown;
        list->capacity = capacity;
    }
    list->runs[list->count++] = run;
    return true;
}

/* Pages [first, end), all in `run` now, as they are to be under `protection`. false: errno. */
static bool append_changed(run_list *list, const kmw_view *view, int *page_map, kmw_page_run run,
                           size_t first, size_t end, DWORD protection) {
    const kmw_protection *rules = kmw_protection_of(protection);
    const bool returns = run.detached && (rules->may & KMW_MAY_WRITE) != 0;
    for (size_t at = first; at < end;) {
        size_t stop = end;
        bool detached = run.detached || rules->copies;
        if (returns && !copied_run(view, page_map, at, end, &detached, &stop)) {
            return false;
        }
        const kmw_page_run changed = {at, protection, detached};
        if (!append(list, changed)) {
            return false;
        }
        at = stop;
    }
    return true;
}

static bool plan_change(const kmw_view *view, int *page_map, size_t first, size_t end,
                        DWORD protection, run_list *list) {
    const size_t pages = view->mapped / kmw_page_size();
    for (size_t at = 0; at < pages;) {
        size_t stop = 0;
        kmw_page_run run = kmw_view_run(view, at, &stop);
        bool planned = false;
        if (at >= first && at < end) {
            stop = stop < end ? stop : end;
            planned = append_changed(list, view, page_map, run, at, stop, protection);
        } else {
            stop = at < first && stop > first ? first : stop;
            run.first = at;
            planned = append(list, run);
        }
        if (!planned) {
            return false;
        }
        at = stop;
    }
    return true;
}

/* Makes pages [first, end) what `to` says; they are all as `from` says. false: errno. */
static bool set_pages(const kmw_view *view, size_t first, size_t end, const kmw_page_run *from,
                      const kmw_page_run *to) {
    const size_t page_size = kmw_page_size();
    char *const address = view->base + first * page_size;
    const size_t length = (end - first) * page_size;
    const int protection = kmw_protection_of(to->protection)->mmap;
    if (from->detached == to->detached) {
        return mprotect(address, length, protection) == 0;
    }
    const int flags = kmw_view_mmap_flags(to->detached ? PAGE_WRITECOPY : PAGE_READWRITE);
    if (mmap(address, length, protection, flags | MAP_FIXED, view->section->descriptor,
             (off_t)kmw_view_position(view, first * page_size)) == MAP_FAILED) {
        return false;
    }
    kmw_view_advise(view, address, length);
    return true;
}

/*
 * Takes pages [first, end) from what `view` says to what `after` says, piece by piece, or with
 * `back` the other way. Returns the page that it came to: `end`, or less with errno set.
 */
static size_t change_pages(const kmw_view *view, const kmw_view *after, size_t first, size_t end,
                           bool back) {
    size_t at = first;
    while (at < end) {
        size_t old_end = 0;
        size_t new_end = 0;
        const kmw_page_run old = kmw_view_run(view, at, &old_end);
        const kmw_page_run new = kmw_view_run(after, at, &new_end);
        size_t stop = old_end < new_end ? old_end : new_end;
        stop = stop < end ? stop : end;
        if (!set_pages(view, at, stop, back ? &new : &old, back ? &old : &new)) {
            return at;
        }
        at = stop;
    }
    return at;
}

static DWORD protect(kmw_view *view, size_t first, size_t end, DWORD protection) {
    run_list list = {0};
    int page_map = -1;
    DWORD error = ERROR_SUCCESS;
    if (!plan_change(view, &page_map, first, end, protection, &list)) {
        error = kmw_page_map_error(errno);
    } else {
        kmw_view after = *view;
        after.runs = list.runs;
        after.run_count = list.count;
        const size_t reached = change_pages(view, &after, first, end, false);
        if (reached < end) {
            error = kmw_error_of_errno(errno);
            (void)change_pages(view, &after, first, reached, true);
        }
    }
    if (error == ERROR_SUCCESS) {
        free(view->runs);
        view->runs = list.runs;
        view->run_count = list.count;
    } else {
        free(list.runs);
    }
    if (page_map >= 0) {
        close(page_map);
    }
    return error;
}

/* The pages of [address, address + length), numbered within the view; false: not all are in it. */
static bool pages_of(const kmw_view *view, const void *address, size_t length, size_t *first,
                     size_t *end) {
    const size_t page_size = kmw_page_size();
    const size_t at = (size_t)((const char *)address - view->base);
    if (length > view->mapped - at) {
        return false;
    }
    *first = at / page_size;
    *end = (at + length + page_size - 1) / page_size;
    return true;
}

BOOL VirtualProtect(LPVOID address, SIZE_T length, DWORD protection, PDWORD before) {
    if (before == NULL) {
        return kmw_fail(ERROR_NOACCESS);
    }
    if (length == 0 || kmw_protection_of(protection) == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    DWORD old_protection = 0;
    size_t first = 0;
    size_t end = 0;
    size_t ignored = 0;
    DWORD error = ERROR_SUCCESS;
    kmw_views_lock();
    kmw_view *view = kmw_views_find(address);
    if (view == NULL || !pages_of(view, address, length, &first, &end)) {
        error = ERROR_INVALID_ADDRESS;
    } else if (!kmw_protection_covers(view->protection, protection)) {
        error = ERROR_INVALID_PARAMETER;
    } else {
        old_protection = kmw_view_page_protection(view, first, first + 1, &ignored);
        error = protect(view, first, end, protection);
    }
    kmw_views_unlock();
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    *before = old_protection;
    return TRUE;
}
