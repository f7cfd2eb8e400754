/*
 * view_query.c - VirtualQuery and QueryWorkingSetEx.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "last_error.h"
#include "page_map.h"
#include "protection.h"
#include "section_commit.h"
#include "view.h"

static uintptr_t page_of(const void *address) {
    return (uintptr_t)address & ~(uintptr_t)(kmw_page_size() - 1);
}

/* ---- VirtualQuery ---- */

/* Is `page` of the view committed? Cuts *end where that changes. */
static bool is_committed(const kmw_view *view, size_t page, size_t *end) {
    const kmw_section *section = view->section;
    if (section->file != NULL || (section->flags & SEC_RESERVE) == 0) {
        return true;
    }
    const kmw_reserved reserved = {section->descriptor, section->origin, section->size};
    const uint64_t first = view->offset / kmw_page_size();
    uint64_t stop = 0;
    const bool committed = kmw_commit_state(&reserved, first + page, first + *end, &stop);
    *end = (size_t)(stop - first);
    return committed;
}

static void describe_view(const kmw_view *view, uintptr_t page,
                          MEMORY_BASIC_INFORMATION *information) {
    const size_t page_size = kmw_page_size();
    const size_t number = (page - (uintptr_t)view->base) / page_size;
    size_t end = 0;
    information->Protect = kmw_view_page_protection(view, number, view->mapped / page_size, &end);
    const bool committed = is_committed(view, number, &end);
    if (!committed) {
        information->Protect = 0;
    }
    information->BaseAddress = (PVOID)page;
    information->AllocationBase = view->base;
    information->AllocationProtect = view->protection;
    information->RegionSize = (end - number) * page_size;
    information->State = committed ? MEM_COMMIT : MEM_RESERVE;
    information->Type = MEM_MAPPED;
}

/* Memory that keepmap has not mapped: as the system's own list has it. */
static DWORD protection_of_mapping(const kmw_mapping *mapping) {
    const bool executes = (mapping->protection & PROT_EXEC) != 0;
    if ((mapping->protection & PROT_WRITE) != 0) {
        const bool copies = mapping->file && !mapping->shared;
        return (copies ? PAGE_WRITECOPY : PAGE_READWRITE) << (executes ? 4 : 0);
    }
    if ((mapping->protection & PROT_READ) != 0) {
        return executes ? PAGE_EXECUTE_READ : PAGE_READONLY;
    }
    return executes ? PAGE_EXECUTE : PAGE_NOACCESS;
}

static void describe_mapping(const kmw_mapping *mapping, uintptr_t page,
                             MEMORY_BASIC_INFORMATION *information) {
    information->BaseAddress = (PVOID)page;
    information->RegionSize = mapping->end - page;
    information->PartitionId = 0;
    if (mapping->free) {
        information->AllocationBase = NULL;
        information->AllocationProtect = 0;
        information->Protect = PAGE_NOACCESS;
        information->State = MEM_FREE;
        information->Type = 0;
        return;
    }
    const bool reserved = mapping->protection == PROT_NONE && !mapping->file;
    information->AllocationBase = (PVOID)mapping->start;
    information->AllocationProtect = protection_of_mapping(mapping);
    information->Protect = reserved ? 0 : information->AllocationProtect;
    information->State = reserved ? MEM_RESERVE : MEM_COMMIT;
    information->Type = mapping->file ? MEM_MAPPED : MEM_PRIVATE;
}

/* The first address that no process can have. */
static uintptr_t top_of_user_space(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return page_of(system.lpMaximumApplicationAddress) + kmw_page_size();
}

static DWORD describe(const void *address, MEMORY_BASIC_INFORMATION *information) {
    const uintptr_t page = page_of(address);
    kmw_views_lock();
    const kmw_view *view = kmw_views_find(address);
    if (view != NULL) {
        describe_view(view, page, information);
    }
    kmw_views_unlock();
    if (view != NULL) {
        return ERROR_SUCCESS;
    }
    const uintptr_t top = top_of_user_space();
    kmw_mapping mapping;
    if (!kmw_mapping_at((const void *)page, top, &mapping)) {
        return ERROR_NOT_SUPPORTED;
    }
    if (mapping.free && page >= top) {
        return ERROR_INVALID_PARAMETER;
    }
    describe_mapping(&mapping, page, information);
    return ERROR_SUCCESS;
}

SIZE_T VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION information, SIZE_T length) {
    if (length < sizeof *information) {
        SetLastError(ERROR_BAD_LENGTH);
        return 0;
    }
    MEMORY_BASIC_INFORMATION found = {0};
    const DWORD error = describe(address, &found);
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return 0;
    }
    *information = found;
    return sizeof *information;
}

/* ---- QueryWorkingSetEx ---- */

/* The page of a view, without looking at its neighbours; false if it is in none. */
static bool page_in_view(const void *address, bool copied, DWORD *protection) {
    kmw_views_lock();
    const kmw_view *view = kmw_views_find(address);
    if (view != NULL) {
        size_t end = 0;
        const size_t number = (size_t)((const char *)address - view->base) / kmw_page_size();
        *protection = kmw_view_run(view, number, &end).protection;
    }
    kmw_views_unlock();
    if (view != NULL && copied) {
        *protection = kmw_protection_when_copied(*protection);
    }
    return view != NULL;
}

static PSAPI_WORKING_SET_EX_BLOCK attributes_of(const void *address, int page_map) {
    PSAPI_WORKING_SET_EX_BLOCK block = {0};
    uint64_t entry = 0;
    if (!kmw_page_map_read(page_map, address, 1, &entry)) {
        return block;
    }
    const bool copied = kmw_page_is_copied(entry);
    DWORD protection = 0;
    block.Shared = (entry & KMW_PAGE_SHARED) != 0;
    if (page_in_view(address, copied, &protection)) {
        block.Shared = !copied;
    } else {
        MEMORY_BASIC_INFORMATION memory = {0};
        if (describe(address, &memory) != ERROR_SUCCESS) {
            return block;
        }
        protection = memory.Protect;
    }
    if ((entry & KMW_PAGE_PRESENT) == 0) {
        return block;
    }
    block.Valid = 1;
    block.ShareCount = block.Shared;
    block.Win32Protection = protection & 0x7FFu;
    block.Locked = kmw_page_is_locked(address);
    return block;
}

BOOL QueryWorkingSetEx(HANDLE process, PVOID information, DWORD size) {
    PSAPI_WORKING_SET_EX_INFORMATION *pages = information;
    if (!kmw_is_current_process(process)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    if (size < sizeof *pages) {
        return kmw_fail(ERROR_BAD_LENGTH);
    }
    const int page_map = kmw_page_map_open();
    if (page_map < 0) {
        return kmw_fail(kmw_page_map_error(errno));
    }
    for (DWORD i = 0; i < size / sizeof *pages; ++i) {
        pages[i].VirtualAttributes = attributes_of(pages[i].VirtualAddress, page_map);
    }
    close(page_map);
    return TRUE;
}
