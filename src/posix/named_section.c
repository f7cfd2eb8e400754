/*
 * named_section.c - sections with a name: made, found, and opened.
 *
 * A name that is taken wins over everything that is wrong with the rest of the request, as on
 * Windows: what is to be made is looked at only when it is to be made, while the object is a draft
 * that nobody sees yet.
 */
#include <stdlib.h>

#include "last_error.h"
#include "protection.h"
#include "section.h"
#include "section_memory.h"
#include "view.h"

/* What prepare is given, and gives back. */
typedef struct making {
    const kmw_section_request *request;
    DWORD record_error; /* of kmw_file_record_make */
    kmw_section *file_section;
    bool written; /* the bytes are there already */
} making;

static DWORD prepare_memory(kmw_named *draft, void *arg) {
    const making *work = arg;
    const DWORD error = kmw_section_check_flags(work->request);
    return error != ERROR_SUCCESS || work->written ? error
                                                   : kmw_memory_section_fill(draft, work->request);
}

/* The section's exact size is known only now. */
static DWORD prepare_file(kmw_named *draft, void *arg) {
    making *work = arg;
    DWORD error = kmw_section_check_flags(work->request);
    if (error == ERROR_SUCCESS) {
        error = kmw_file_section_make(work->request, &work->file_section);
    }
    if (error == ERROR_SUCCESS) {
        error = work->record_error;
    }
    if (error == ERROR_SUCCESS) {
        error = kmw_named_set_exact_size(draft, work->file_section->size);
    }
    return error == ERROR_SUCCESS ? kmw_file_section_grow(work->file_section) : error;
}

/* A section for the object `named`, which becomes the section's unless this fails. */
static DWORD section_of(kmw_named *named, kmw_section **made) {
    const DWORD protection = named->header.flags & KMW_PROTECTION_BITS;
    if (kmw_protection_of(protection) == NULL) {
        return ERROR_INVALID_DATA;
    }
    const DWORD error = named->header.extra_length > 0 ? kmw_file_section_open(named, made)
                                                       : kmw_memory_section_open(named, made);
    if (error == ERROR_SUCCESS) {
        (*made)->named = *named;
        *named = (kmw_named){.descriptor = -1};
    }
    return error;
}

static DWORD create(const kmw_object_name *name, const kmw_birth *birth, making *work,
                    kmw_section **made, bool *existed) {
    kmw_named named;
    DWORD error = kmw_named_create(name, birth, &named, existed);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (!*existed && work->file_section != NULL) {
        *made = work->file_section;
        work->file_section = NULL;
        (*made)->named = named;
        return ERROR_SUCCESS;
    }
    error = section_of(&named, made);
    kmw_named_close(&named);
    return error;
}

/* How the bytes of a pagefile-backed section come to be there. */
static kmw_birth_data data_of(const kmw_section_request *request, uint64_t size) {
    if ((request->flags & SEC_RESERVE) != 0) {
        return KMW_DATA_HOLE;
    }
    const bool plain = size > 0 && (request->flags & SEC_LARGE_PAGES) == 0;
    return plain && size <= KMW_WRITTEN_DATA && kmw_section_memory_admit(size) ? KMW_DATA_WRITTEN
                                                                               : KMW_DATA_MISSING;
}

HANDLE kmw_named_section_create(const kmw_object_name *name, const kmw_section_request *request) {
    making work = {.request = request};
    kmw_file_record *record = NULL;
    kmw_section *section = NULL;
    bool existed = false;
    kmw_birth birth = {.kind = KMW_SECTION,
                       .for_everybody = request->everybody,
                       .flags = request->protection | (request->flags & KMW_KEPT_SECTION_FLAGS),
                       .arg = &work};
    if (kmw_section_is_pagefile_backed(request)) {
        birth.prepare = prepare_memory;
        birth.data_size = kmw_memory_section_space(request);
        birth.exact_size = kmw_memory_section_size(request);
        birth.data = data_of(request, birth.data_size);
    } else {
        birth.prepare = prepare_file;
        work.record_error = kmw_file_record_make(request->file, &record, &birth.extra_length);
        birth.extra = record;
    }
    work.written = birth.data == KMW_DATA_WRITTEN;
    DWORD error = create(name, &birth, &work, &section, &existed);
    if (error == ERROR_DISK_FULL && work.written) {
        work.written = false; /* to be refused with the numbers */
        birth.data = KMW_DATA_MISSING;
        error = create(name, &birth, &work, &section, &existed);
    }
    free(record);
    if (work.file_section != NULL) {
        kmw_object_release(&work.file_section->object);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    HANDLE handle = kmw_section_open_handle(section, kmw_protection_grants(request->protection),
                                            request->inherit);
    if (handle != NULL) {
        SetLastError(existed ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    }
    return handle;
}

HANDLE kmw_named_section_open(const kmw_object_name *name, DWORD access, bool inherit) {
    kmw_named named;
    kmw_section *section = NULL;
    DWORD error = kmw_named_open(name, KMW_SECTION, &named);
    if (error == ERROR_SUCCESS) {
        error = section_of(&named, &section);
        kmw_named_close(&named);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    return kmw_section_open_handle(section, access, inherit);
}
