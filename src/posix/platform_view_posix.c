/*
 * platform_view_posix.c - platform.h on POSIX: address space, views that grow in place, advice.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "last_error.h"
#include "page_map.h"
#include "platform.h"
#include "protection.h"
#include "view.h"

uint64_t km_platform_address_space(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    uint64_t limit = (uintptr_t)system.lpMaximumApplicationAddress;
    struct rlimit allowed;
    if (getrlimit(RLIMIT_AS, &allowed) == 0 && allowed.rlim_cur != RLIM_INFINITY &&
        allowed.rlim_cur < limit) {
        limit = allowed.rlim_cur;
    }
    const uint64_t used = kmw_mapped_bytes();
    return used < limit ? limit - used : 0;
}

/* ---- Reservations ---- */

DWORD km_platform_reserve(uint64_t size, km_reservation *reservation) {
    if (size == 0 || size > SIZE_MAX - KMW_GRANULARITY) {
        return size == 0 ? ERROR_INVALID_PARAMETER : ERROR_NOT_ENOUGH_MEMORY;
    }
    const size_t rounded = ((size_t)size + KMW_GRANULARITY - 1) & ~(KMW_GRANULARITY - 1);
    kmw_views_lock();
    void *base = kmw_place_reservation(rounded);
    const int error = errno;
    kmw_views_unlock();
    if (base == MAP_FAILED) {
        return kmw_error_of_errno(error);
    }
    *reservation = (km_reservation){.base = base, .size = rounded};
    return ERROR_SUCCESS;
}

/* The view that lives in the reservation, or NULL; the registry's mutex is held. */
static kmw_view *view_in(const km_reservation *reservation) {
    kmw_view *view = kmw_views_find(reservation->base);
    return view != NULL && view->reserved != 0 ? view : NULL;
}

DWORD km_platform_unmap_reserved(km_reservation *reservation) {
    kmw_views_lock();
    kmw_view *view = view_in(reservation);
    const DWORD error = view != NULL ? kmw_view_take_down(view) : ERROR_INVALID_ADDRESS;
    kmw_views_unlock();
    if (error == ERROR_SUCCESS) {
        kmw_view_free(view);
    }
    return error;
}

/* A view goes with its address space: unmapping all of it at once needs nothing that could fail. */
void km_platform_release(km_reservation *reservation) {
    if (reservation->base == NULL) {
        return;
    }
    kmw_views_lock();
    kmw_view *view = view_in(reservation);
    if (view != NULL) {
        kmw_views_remove(view);
    }
    munmap(reservation->base, (size_t)reservation->size);
    kmw_views_unlock();
    if (view != NULL) {
        kmw_view_free(view);
    }
    *reservation = (km_reservation){0};
}

DWORD km_platform_map_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                               uint64_t length) {
    return kmw_view_map(section, access, 0, length, reservation->base, (size_t)reservation->size) !=
                   NULL
               ? ERROR_SUCCESS
               : GetLastError();
}

/* ---- Growing and shrinking in place ---- */

static bool same_file(const kmw_section *one, const kmw_section *other) {
    return one->file != NULL && other->file != NULL && one->file->device == other->file->device &&
           one->file->inode == other->file->inode;
}

/* Where protections were changed here and there, what comes behind has the view's own. */
static bool add_run(kmw_view *view) {
    if (view->runs == NULL) {
        return true;
    }
    kmw_page_run *grown = realloc(view->runs, (view->run_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    grown[view->run_count++] = (kmw_page_run){view->mapped / kmw_page_size(), view->protection,
                                              kmw_protection_of(view->protection)->copies};
    view->runs = grown;
    return true;
}

/* Forgets runs that begin behind the view's end. */
static void cut_runs(kmw_view *view) {
    const size_t pages = view->mapped / kmw_page_size();
    while (view->run_count > 0 && view->runs[view->run_count - 1].first >= pages) {
        --view->run_count;
    }
}

/*
 * More of the same file behind what is mapped already, which stays as it is, faulted in and all.
 * The tail is mapped through the view's own description: so it is one mapping for the kernel,
 * however often it grows.
 */
static DWORD map_tail(kmw_view *view, size_t mapped) {
    char *const tail = view->base + view->mapped;
    const size_t length = mapped - view->mapped;
    if (mmap(tail, length, kmw_protection_of(view->protection)->mmap,
             kmw_view_mmap_flags(view->protection) | MAP_FIXED, view->section->descriptor,
             (off_t)kmw_view_position(view, view->mapped)) == MAP_FAILED) {
        const DWORD error = kmw_error_of_errno(errno);
        (void)kmw_place_reserved_again(tail, length);
        return error;
    }
    kmw_view_advise(view, tail, length);
    return ERROR_SUCCESS;
}

static DWORD resize_view(kmw_view *view, size_t length) {
    const size_t mapped = kmw_page_align_up(length);
    DWORD error = ERROR_SUCCESS;
    if (mapped > view->reserved) {
        return ERROR_INVALID_PARAMETER;
    }
    if (mapped > view->mapped) {
        error = add_run(view) ? map_tail(view, mapped) : ERROR_NOT_ENOUGH_MEMORY;
    } else if (mapped < view->mapped &&
               !kmw_place_reserved_again(view->base + mapped, view->mapped - mapped)) {
        error = kmw_error_of_errno(errno);
    }
    if (error == ERROR_SUCCESS) {
        view->length = length;
        view->mapped = mapped;
    }
    cut_runs(view);
    return error;
}

/* May the handle be used for a view like `view` of so many bytes? */
static DWORD check_successor(const kmw_view *view, kmw_use use, DWORD access, uint64_t length) {
    const kmw_section *section = (const kmw_section *)use.object;
    const DWORD needed = kmw_protection_needs(view->protection);
    if (kmw_protection_of_access(access) != view->protection ||
        !same_file(view->section, section)) {
        return ERROR_INVALID_PARAMETER;
    }
    if ((use.access & needed) != needed || length > section->size) {
        return ERROR_ACCESS_DENIED;
    }
    return length == 0 || length > SIZE_MAX - kmw_page_size() ? ERROR_INVALID_PARAMETER
                                                              : ERROR_SUCCESS;
}

DWORD km_platform_remap_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                                 uint64_t length, HANDLE old_section, uint64_t old_length) {
    (void)old_section; /* the view itself knows them */
    (void)old_length;
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return ERROR_INVALID_HANDLE;
    }
    kmw_views_lock();
    kmw_view *view = view_in(reservation);
    DWORD error = view != NULL ? check_successor(view, use, access, length) : ERROR_INVALID_ADDRESS;
    if (error == ERROR_SUCCESS) {
        error = resize_view(view, (size_t)length);
    }
    kmw_views_unlock();
    kmw_use_end(use);
    return error;
}

/* ---- Advice ---- */

static int madvise_word(km_advice advice) {
    switch (advice) {
    case KM_ADVICE_RANDOM:
        return MADV_RANDOM;
    case KM_ADVICE_SEQUENTIAL:
        return MADV_SEQUENTIAL;
    case KM_ADVICE_WILL_NEED:
        return MADV_WILLNEED;
#if defined(MADV_COLD)
    case KM_ADVICE_COLD:
        return MADV_COLD; /* takes nothing away: a private page may be swapped, not dropped */
#endif
    default:
        return MADV_NORMAL;
    }
}

DWORD km_platform_advise(void *address, uint64_t length, km_advice advice, bool private_view) {
    (void)private_view;
    const int word = madvise_word(advice);
    if (advice != KM_ADVICE_NORMAL && word == MADV_NORMAL) {
        return ERROR_SUCCESS; /* a system without a word for it */
    }
    /* ENOMEM says that a part is not mapped; all else that it is of no use here. */
    if (madvise(address, (size_t)length, word) != 0 && errno == ENOMEM) {
        return ERROR_INVALID_ADDRESS;
    }
    return ERROR_SUCCESS;
}
