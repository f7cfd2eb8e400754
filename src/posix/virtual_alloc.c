/*
 * virtual_alloc.c - VirtualAlloc and VirtualFree, on views.
 *
 * The views' mutex is not held while memory is allocated: the section is, so that the pages stay
 * the section's even if the view goes meanwhile.
 */
#include <stdint.h>

#include "last_error.h"
#include "protection.h"
#include "section_commit.h"
#include "view.h"

/* What is to be committed, found while the mutex was held. */
typedef struct commit_plan {
    kmw_section *section; /* referenced */
    char *address;        /* the first page's */
    size_t length;        /* whole pages */
    uint64_t first, end;  /* pages of the section */
    bool protect;         /* the pages' protection is not, or may not be, the one asked for */
} commit_plan;

/* Fills `plan` for [address, address + length) of `view`. */
static DWORD plan_commit(const kmw_view *view, const char *address, size_t length, DWORD protection,
                         commit_plan *plan) {
    const size_t page_size = kmw_page_size();
    const size_t from = (size_t)(address - view->base);
    if (length > view->mapped - from) {
        return ERROR_INVALID_ADDRESS;
    }
    if (view->section->file != NULL) {
        return ERROR_ACCESS_DENIED;
    }
    if (!kmw_protection_covers(view->protection, protection)) {
        return ERROR_INVALID_PARAMETER;
    }
    const size_t first = from / page_size;
    const size_t pages = kmw_page_align_up(from + length) / page_size - first;
    plan->section = view->section;
    plan->address = view->base + first * page_size;
    plan->length = pages * page_size;
    plan->first = view->offset / page_size + first;
    plan->end = plan->first + pages;
    plan->protect = protection != view->protection || view->runs != NULL;
    kmw_object_reference(&plan->section->object);
    return ERROR_SUCCESS;
}

static DWORD find_view(const char *address, size_t length, DWORD type, DWORD protection,
                       commit_plan *plan) {
    kmw_views_lock();
    const kmw_view *view = kmw_views_find(address);
    DWORD error = ERROR_NOT_SUPPORTED;
    if (view != NULL && (type & MEM_RESERVE) != 0) {
        error = ERROR_INVALID_ADDRESS; /* it is taken */
    } else if (view != NULL && type == MEM_COMMIT) {
        error = plan_commit(view, address, length, protection, plan);
    }
    kmw_views_unlock();
    return error;
}

static DWORD commit(const commit_plan *plan, DWORD protection) {
    const kmw_section *section = plan->section;
    DWORD before = 0;
    if ((section->flags & SEC_RESERVE) != 0) {
        const kmw_reserved reserved = {section->descriptor, section->origin, section->size};
        const DWORD error = kmw_commit_pages(&reserved, plan->first, plan->end);
        if (error != ERROR_SUCCESS) {
            return error;
        }
    }
    if (plan->protect && !VirtualProtect(plan->address, plan->length, protection, &before)) {
        return GetLastError();
    }
    return ERROR_SUCCESS;
}

LPVOID VirtualAlloc(LPVOID address, SIZE_T length, DWORD type, DWORD protection) {
    if (length == 0 || type == 0 || kmw_protection_of(protection) == NULL) {
        kmw_fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    commit_plan plan = {0};
    DWORD error = find_view(address, length, type, protection, &plan);
    if (error == ERROR_SUCCESS) {
        error = commit(&plan, protection);
        kmw_object_release(&plan.section->object);
    }
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return NULL;
    }
    return plan.address;
}

/* Nothing here was got from VirtualAlloc, and a view's pages are not given back one by one. */
BOOL VirtualFree(LPVOID address, SIZE_T length, DWORD type) {
    const bool valid = type == MEM_DECOMMIT || (type == MEM_RELEASE && length == 0);
    kmw_views_lock();
    const bool in_view = kmw_views_find(address) != NULL;
    kmw_views_unlock();
    return kmw_fail(valid && !in_view ? ERROR_INVALID_ADDRESS : ERROR_INVALID_PARAMETER);
}
