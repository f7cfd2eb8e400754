/*
 * memory_section.c - pagefile-backed sections: memory that lasts as long as a handle or a view.
 *
 * Without a name it is a memory file, with one the file of the named object, behind its header. A
 * view is mapped through a description that has no lock on that file, so that it keeps the memory
 * and not the name.
 */
#include <errno.h>
#include <unistd.h>

#include "large_pages.h"
#include "last_error.h"
#include "section.h"
#include "section_commit.h"
#include "section_memory.h"
#include "view.h"

/* More than any file can be long. */
static bool is_absurd(uint64_t size) {
    return size > (uint64_t)INT64_MAX / 2;
}

uint64_t kmw_memory_section_size(const kmw_section_request *request) {
    return is_absurd(request->size) ? 0 : kmw_page_align_up(request->size);
}

static uint64_t record_space(DWORD flags, uint64_t size) {
    return (flags & SEC_RESERVE) != 0 ? kmw_commit_record_size(size) : 0;
}

uint64_t kmw_memory_section_space(const kmw_section_request *request) {
    const uint64_t size = kmw_memory_section_size(request);
    return size + record_space(request->flags, size);
}

DWORD kmw_memory_section_make(const kmw_section_request *request, kmw_section **made) {
    const uint64_t size = kmw_memory_section_size(request);
    DWORD error = kmw_section_check_flags(request);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (is_absurd(request->size)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    kmw_section *section =
        kmw_section_new(request->protection, request->flags & KMW_KEPT_SECTION_FLAGS, size);
    if (section == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    error = kmw_section_memory_make(size, record_space(request->flags, size), request->flags,
                                    &section->descriptor);
    if (error != ERROR_SUCCESS) {
        kmw_object_release(&section->object);
        return error;
    }
    *made = section;
    return ERROR_SUCCESS;
}

DWORD kmw_memory_section_fill(const kmw_named *draft, const kmw_section_request *request) {
    if (is_absurd(request->size)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    if ((request->flags & SEC_RESERVE) != 0) {
        return ERROR_SUCCESS;
    }
    const uint64_t size = draft->header.exact_size;
    const DWORD error = (request->flags & SEC_LARGE_PAGES) != 0
                            ? kmw_large_pages_check(request->size)
                            : ERROR_SUCCESS;
    return error != ERROR_SUCCESS ? error
                                  : kmw_section_memory_commit(
                                        draft->descriptor, draft->header.data_offset, size, true);
}

/* What the object says of itself has been checked against its file, its exact size has not. */
DWORD kmw_memory_section_open(const kmw_named *named, kmw_section **made) {
    const kmw_object_header *header = &named->header;
    const DWORD flags = header->flags & KMW_KEPT_SECTION_FLAGS;
    const uint64_t size = header->exact_size;
    if (size == 0 || size % kmw_page_size() != 0 || size > header->data_size ||
        record_space(flags, size) != header->data_size - size) {
        return ERROR_INVALID_DATA;
    }
    kmw_section *section = kmw_section_new(header->flags & KMW_PROTECTION_BITS, flags, size);
    if (section == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    section->origin = header->data_offset;
    section->descriptor = kmw_named_reopen(named);
    if (section->descriptor < 0) {
        const DWORD error = kmw_error_of_errno(errno);
        kmw_object_release(&section->object);
        return error;
    }
    *made = section;
    return ERROR_SUCCESS;
}
