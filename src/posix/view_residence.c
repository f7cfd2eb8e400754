/*
 * view_residence.c - VirtualLock, VirtualUnlock, PrefetchVirtualMemory: pages that are in memory.
 *
 * They work on any memory of the process, not only on views.
 */
#include <errno.h>
#include <sys/mman.h>

#include "last_error.h"
#include "page_map.h"
#include "protection.h"
#include "view.h"

typedef struct page_range {
    char *start;
    size_t length;
} page_range;

/* The whole pages that [address, address + length) touches. false: it wraps around. */
static bool pages_touched(void *address, size_t length, page_range *range) {
    const uintptr_t page_size = kmw_page_size();
    const uintptr_t lead = (uintptr_t)address % page_size;
    if (length > UINTPTR_MAX - (uintptr_t)address - page_size) {
        return false;
    }
    range->start = (char *)address - lead;
    range->length = kmw_page_align_up(length + lead);
    return true;
}

/* msync that writes nothing and waits for nothing says whether all of it is mapped. */
static bool is_mapped(page_range range) {
    return msync(range.start, range.length, MS_ASYNC) == 0;
}

static bool is_copy_on_write(const void *address) {
    kmw_views_lock();
    const kmw_view *view = kmw_views_find(address);
    const bool copies = view != NULL && kmw_protection_of(view->protection)->copies;
    kmw_views_unlock();
    return copies;
}

/*
 * mlock on a copy-on-write view would copy every page at once, and cut the view off from the file.
 * So its pages are locked as they come, and then read in.
 */
static int lock_pages(page_range range) {
#if defined(__linux__) && defined(MADV_POPULATE_READ)
    if (is_copy_on_write(range.start)) {
        if (mlock2(range.start, range.length, MLOCK_ONFAULT) != 0) {
            return -1;
        }
        const int populated = madvise(range.start, range.length, MADV_POPULATE_READ);
        return populated != 0 && errno == EINVAL ? 0 : populated; /* before Linux 5.14 */
    }
#endif
    return mlock(range.start, range.length);
}

static bool is_locked(page_range range) {
    const size_t page_size = kmw_page_size();
    for (size_t at = 0; at < range.length; at += page_size) {
        if (!kmw_page_is_locked(range.start + at)) {
            return false;
        }
    }
    return true;
}

BOOL VirtualLock(LPVOID address, SIZE_T length) {
    page_range range;
    if (length == 0 || !pages_touched(address, length, &range)) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (!is_mapped(range)) {
        return kmw_fail(ERROR_NOACCESS);
    }
    if (lock_pages(range) == 0) {
        return TRUE;
    }
    if (errno == EPERM || errno == ENOMEM || errno == EAGAIN) {
        /* A limit is looked at before anything is done; what was locked before still is. */
        const bool over_limit = !is_locked(range);
        if (over_limit) {
            return kmw_fail(ERROR_WORKING_SET_QUOTA);
        }
    }
    /* Locked, but not all of it can be read: no access to it, or no file behind it any more. */
    (void)munlock(range.start, range.length);
    return kmw_fail(ERROR_NOACCESS);
}

BOOL VirtualUnlock(LPVOID address, SIZE_T length) {
    page_range range;
    if (length == 0 || !pages_touched(address, length, &range)) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (!is_mapped(range)) {
        return kmw_fail(ERROR_NOACCESS);
    }
#if defined(__linux__)
    if (!is_locked(range)) {
        return kmw_fail(ERROR_NOT_LOCKED);
    }
#endif
    return munlock(range.start, range.length) == 0 ? TRUE : kmw_fail_errno(errno);
}

BOOL PrefetchVirtualMemory(HANDLE process, ULONG_PTR count, PWIN32_MEMORY_RANGE_ENTRY ranges,
                           ULONG flags) {
    if (!kmw_is_current_process(process)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    if (count == 0 || ranges == NULL || flags != 0) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    for (ULONG_PTR i = 0; i < count; ++i) {
        page_range range;
        if (ranges[i].NumberOfBytes == 0 ||
            !pages_touched(ranges[i].VirtualAddress, ranges[i].NumberOfBytes, &range)) {
            return kmw_fail(ERROR_INVALID_PARAMETER);
        }
        /* Only a hole is an error: memory that cannot be read ahead is none. */
        if (madvise(range.start, range.length, MADV_WILLNEED) != 0 && !is_mapped(range)) {
            return kmw_fail(ERROR_INVALID_ADDRESS);
        }
    }
    return TRUE;
}
