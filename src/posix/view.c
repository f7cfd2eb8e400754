/*
 * view.c - MapViewOfFile, UnmapViewOfFile, FlushViewOfFile.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "last_error.h"
#include "protection.h"
#include "size.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* A copy-on-write view takes memory page by page, as it is stored to: a file may be larger than
 * what the system would promise to copy. */
int kmw_view_mmap_flags(DWORD protection) {
    return kmw_protection_of(protection)->copies ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
}

uint64_t kmw_view_position(const kmw_view *view, size_t at) {
    return view->section->origin + view->offset + at;
}

void kmw_view_advise(const kmw_view *view, char *from, size_t length) {
    if (view->section->advice == 0) {
        return;
    }
    const bool random = (view->section->advice & FILE_FLAG_RANDOM_ACCESS) != 0;
    (void)madvise(from, length, random ? MADV_RANDOM : MADV_SEQUENTIAL);
}

/* ---- Mapping ---- */

/* A named one asked for them and has ordinary ones. */
static bool is_of_large_pages(const kmw_section *section) {
    return (section->flags & SEC_LARGE_PAGES) != 0 && section->origin == 0;
}

/* The system maps and unmaps nothing less. The section has whole ones, so the last is all there. */
static DWORD round_to_large_pages(kmw_view *view) {
    const size_t page = GetLargePageMinimum();
    if (page == 0 || view->offset % page != 0) {
        return ERROR_MAPPED_ALIGNMENT;
    }
    view->mapped = (view->length + page - 1) / page * page;
    return ERROR_SUCCESS;
}

/* Settles what the view shows; ERROR_ACCESS_DENIED is Windows' word for "past the section's end".
 */
static DWORD choose_range(const kmw_section *section, uint64_t offset, uint64_t asked,
                          kmw_view *view) {
    if (offset >= section->size || asked > section->size - offset) {
        return ERROR_ACCESS_DENIED;
    }
    const uint64_t length = asked != 0 ? asked : section->size - offset;
    if (length > SIZE_MAX - kmw_page_size()) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    view->offset = offset;
    view->length = (size_t)length;
    view->mapped = kmw_page_align_up((size_t)length);
    return is_of_large_pages(section) ? round_to_large_pages(view) : ERROR_SUCCESS;
}

static DWORD choose_protection(const kmw_section *section, DWORD handle_access, DWORD access,
                               kmw_view *view) {
    view->protection = kmw_protection_of_access(access);
    const DWORD needed = kmw_protection_needs(view->protection);
    if ((handle_access & needed) != needed) {
        return ERROR_ACCESS_DENIED;
    }
    if (!kmw_protection_covers(section->protection, view->protection)) {
        return ERROR_INVALID_PARAMETER;
    }
    return ERROR_SUCCESS;
}

/* Beyond what any process can map: the caller's mistake, not a lack of memory. */
static bool is_outside_user_space(const char *address, size_t length) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const uintptr_t last = (uintptr_t)system.lpMaximumApplicationAddress;
    return (uintptr_t)address > last || length - 1 > last - (uintptr_t)address;
}

/* The start of a reservation, which holds nothing yet. */
static DWORD place_in_reservation(kmw_view *view, void *address, int protection, int flags) {
    if (kmw_views_find(address) != NULL) {
        return ERROR_INVALID_ADDRESS;
    }
    view->base = mmap(address, view->mapped, protection, flags | MAP_FIXED,
                      view->section->descriptor, (off_t)kmw_view_position(view, 0));
    if (view->base == MAP_FAILED) {
        const int error = errno;
        (void)kmw_place_reserved_again(address, view->mapped);
        return kmw_error_of_errno(error);
    }
    return ERROR_SUCCESS;
}

/* The caller's own choice, where nothing may be. */
static DWORD place_at(kmw_view *view, void *address, int protection, int flags) {
    if (is_outside_user_space(address, view->mapped)) {
        return ERROR_INVALID_ADDRESS;
    }
    view->base = kmw_place_view_at(address, view->mapped, protection, flags,
                                   view->section->descriptor, kmw_view_position(view, 0));
    if (view->base != MAP_FAILED) {
        return ERROR_SUCCESS;
    }
    if (errno == EEXIST || errno == EPERM || errno == EINVAL) { /* EPERM: near 0 */
        return ERROR_INVALID_ADDRESS;
    }
    return kmw_error_of_errno(errno);
}

/* Maps the view's pages, when there is room for it in the registry; the mutex is held. */
static DWORD place(kmw_view *view, void *address) {
    const int protection = kmw_protection_of(view->protection)->mmap;
    const int flags = kmw_view_mmap_flags(view->protection);
    if (!kmw_views_make_room()) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    if (view->reserved != 0) {
        return place_in_reservation(view, address, protection, flags);
    }
    if (address != NULL) {
        return place_at(view, address, protection, flags);
    }
    view->base = kmw_place_view(view->mapped, protection, flags, view->section->descriptor,
                                kmw_view_position(view, 0));
    return view->base != MAP_FAILED ? ERROR_SUCCESS : kmw_error_of_errno(errno);
}

static DWORD map_section(kmw_section *section, DWORD handle_access, DWORD access, uint64_t offset,
                         uint64_t length, void *address, size_t reserved, void **base) {
    kmw_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *view = (kmw_view){.section = section, .reserved = reserved};
    DWORD error = choose_protection(section, handle_access, access, view);
    if (error == ERROR_SUCCESS) {
        error = choose_range(section, offset, length, view);
    }
    if (error == ERROR_SUCCESS && reserved != 0 && view->mapped > reserved) {
        error = ERROR_INVALID_PARAMETER;
    }
    if (error == ERROR_SUCCESS) {
        kmw_object_reference(&section->object);
        kmw_views_lock();
        error = place(view, address);
        if (error == ERROR_SUCCESS) {
            kmw_view_advise(view, view->base, view->mapped);
            kmw_views_insert(view);
            *base = view->base; /* once the mutex is free, another thread may unmap it */
        }
        kmw_views_unlock();
        if (error != ERROR_SUCCESS) {
            kmw_object_release(&section->object);
        }
    }
    if (error != ERROR_SUCCESS) {
        free(view);
    }
    return error;
}

void *kmw_view_map(HANDLE section, DWORD access, uint64_t offset, uint64_t length, void *address,
                   size_t reserved) {
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return NULL;
    }
    void *base = NULL;
    const DWORD error = map_section((kmw_section *)use.object, use.access, access, offset, length,
                                    address, reserved, &base);
    kmw_use_end(use);
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    return base;
}

LPVOID MapViewOfFileEx(HANDLE section, DWORD access, DWORD offset_high, DWORD offset_low,
                       SIZE_T length, LPVOID address) {
    const uint64_t offset = km_size_join(offset_high, offset_low);
    if (offset % KMW_GRANULARITY != 0 || (uintptr_t)address % KMW_GRANULARITY != 0) {
        SetLastError(ERROR_MAPPED_ALIGNMENT);
        return NULL;
    }
    return kmw_view_map(section, access, offset, length, address, 0);
}

LPVOID MapViewOfFile(HANDLE section, DWORD access, DWORD offset_high, DWORD offset_low,
                     SIZE_T length) {
    return MapViewOfFileEx(section, access, offset_high, offset_low, length, NULL);
}

/* ---- Unmapping ---- */

DWORD kmw_view_take_down(kmw_view *view) {
    if (view->reserved != 0) {
        if (!kmw_place_reserved_again(view->base, view->mapped)) {
            return kmw_error_of_errno(errno);
        }
    } else {
        if (munmap(view->base, view->mapped) != 0) {
            return kmw_error_of_errno(errno);
        }
        kmw_place_freed(view->base, view->mapped);
    }
    kmw_views_remove(view);
    return ERROR_SUCCESS;
}

void kmw_view_free(kmw_view *view) {
    kmw_object_release(&view->section->object);
    free(view->runs);
    free(view);
}

BOOL UnmapViewOfFile(LPCVOID address) {
    kmw_views_lock();
    kmw_view *view = kmw_views_find(address);
    const DWORD error = view != NULL ? kmw_view_take_down(view) : ERROR_INVALID_ADDRESS;
    kmw_views_unlock();
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    kmw_view_free(view);
    return TRUE;
}

/* ---- Flushing ---- */

/* Has the kernel begun to write that part of the file? The pages need not be mapped any more. */
static DWORD start_writing(const kmw_section *section, uint64_t offset, size_t length,
                           const char *address) {
#if defined(__linux__)
    if (sync_file_range(section->descriptor, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE) ==
        0) {
        return ERROR_SUCCESS;
    }
    if (errno != ENOSYS && errno != EINVAL && errno != ESPIPE && errno != EOPNOTSUPP) {
        return kmw_error_of_errno(errno);
    }
#else
    (void)section;
    (void)offset;
#endif
    const size_t lead = (uintptr_t)address % kmw_page_size();
    return msync((void *)((uintptr_t)address - lead), lead + length, MS_ASYNC) == 0
               ? ERROR_SUCCESS
               : kmw_error_of_errno(errno);
}

/* Memory that is no view has nothing to flush, which is no error; no memory at all is one. */
static DWORD flush_other_memory(LPCVOID address, SIZE_T length) {
    const size_t lead = (uintptr_t)address % kmw_page_size();
    const size_t bytes = length != 0 ? length : 1;
    if (bytes > UINTPTR_MAX - (uintptr_t)address ||
        msync((void *)((uintptr_t)address - lead), lead + bytes, MS_ASYNC) != 0) {
        return ERROR_INVALID_PARAMETER;
    }
    return ERROR_SUCCESS;
}

BOOL FlushViewOfFile(LPCVOID address, SIZE_T length) {
    kmw_section *section = NULL;
    uint64_t offset = 0;
    DWORD error = ERROR_SUCCESS;
    kmw_views_lock();
    const kmw_view *view = kmw_views_find(address);
    if (view != NULL) {
        const size_t at = (size_t)((const char *)address - view->base);
        if (length > view->mapped - at) {
            error = ERROR_INVALID_PARAMETER;
        } else if (view->section->file != NULL &&
                   (kmw_protection_of(view->protection)->may & KMW_MAY_WRITE) != 0) {
            length = length != 0 ? length : view->mapped - at;
            offset = view->offset + at;
            section = view->section;
            kmw_object_reference(&section->object);
        }
    }
    kmw_views_unlock();
    if (section != NULL) {
        error = start_writing(section, offset, length, address);
        kmw_object_release(&section->object);
    } else if (view == NULL) {
        error = flush_other_memory(address, length);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}
