/*
 * section.c - CreateFileMapping and OpenFileMapping: what is asked for, and by whom it is made.
 */
#include "section.h"

#include <stdlib.h>
#include <unistd.h>

#include "fork_gate.h"
#include "last_error.h"
#include "protection.h"
#include "security.h"
#include "size.h"
#include "view.h"

#define SECTION_FLAGS                                                                              \
    (SEC_FILE | SEC_IMAGE | SEC_RESERVE | SEC_COMMIT | SEC_NOCACHE | SEC_WRITECOMBINE |            \
     SEC_LARGE_PAGES)

/* ---- The object ---- */

/*
 * What views are mapped from has no lock: through it one asks whether anybody else has the name.
 * Not after a fork: then parent and child have it together, and what one of them locks both have
 * locked. Each could take a name away that the other has just taken away, and somebody else has
 * made anew.
 */
static bool has_descriptor_alone(const kmw_section *section) {
    return section->file == NULL && section->forks == kmw_fork_count();
}

static void last_handle(kmw_object *object) {
    kmw_section *section = (kmw_section *)object;
    kmw_named_close_through(&section->named,
                            has_descriptor_alone(section) ? section->descriptor : -1);
}

static void destroy(kmw_object *object) {
    kmw_section *section = (kmw_section *)object;
    kmw_named_close(&section->named);
    if (section->file != NULL) {
        kmw_mark_end(section->file, kmw_section_is_writable(section->protection),
                     section->descriptor);
        kmw_object_release(&section->file->object);
    } else if (section->descriptor >= 0) {
        close(section->descriptor);
    }
    free(section);
}

bool kmw_section_is_writable(DWORD protection) {
    return (kmw_protection_of(protection)->may & KMW_MAY_WRITE) != 0;
}

static const kmw_class section_class = {KMW_SECTION, last_handle, destroy};

kmw_section *kmw_section_new(DWORD protection, DWORD flags, uint64_t size) {
    kmw_section *section = malloc(sizeof *section);
    if (section == NULL) {
        return NULL;
    }
    *section = (kmw_section){.descriptor = -1,
                             .forks = kmw_fork_count(),
                             .size = size,
                             .protection = protection,
                             .flags = flags,
                             .named = {.descriptor = -1}};
    kmw_object_init(&section->object, &section_class);
    return section;
}

HANDLE kmw_section_open_handle(kmw_section *section, DWORD access, bool inherit) {
    HANDLE handle = kmw_handle_open(&section->object, access, inherit);
    kmw_object_release(&section->object);
    return handle;
}

DWORD kmw_section_rights(DWORD access) {
    DWORD rights = access & ~(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
    rights |= access & GENERIC_READ ? READ_CONTROL | SECTION_QUERY | SECTION_MAP_READ : 0;
    rights |= access & GENERIC_WRITE ? READ_CONTROL | SECTION_MAP_WRITE : 0;
    rights |= access & GENERIC_EXECUTE ? READ_CONTROL | SECTION_MAP_EXECUTE : 0;
    rights |= access & GENERIC_ALL ? SECTION_ALL_ACCESS : 0;
    return rights;
}

/* ---- Making one ---- */

bool kmw_section_is_pagefile_backed(const kmw_section_request *request) {
    return request->file == INVALID_HANDLE_VALUE || request->file == NULL;
}

/* SEC_* alone, whatever is to be mapped. */
static bool flags_are_valid(DWORD flags) {
    if (flags == 0) {
        return true;
    }
    switch (flags & (SEC_FILE | SEC_IMAGE | SEC_RESERVE | SEC_COMMIT)) {
    case SEC_IMAGE:
        return (flags & (SEC_WRITECOMBINE | SEC_LARGE_PAGES)) == 0;
    case SEC_COMMIT:
        return true;
    case SEC_RESERVE:
        return (flags & SEC_LARGE_PAGES) == 0;
    default:
        return false;
    }
}

DWORD kmw_section_check_flags(const kmw_section_request *request) {
    if (!flags_are_valid(request->flags)) {
        return ERROR_INVALID_PARAMETER;
    }
    return kmw_section_is_pagefile_backed(request) && (request->flags & SEC_IMAGE) != 0
               ? ERROR_BAD_EXE_FORMAT
               : ERROR_SUCCESS;
}

static HANDLE create_unnamed(const kmw_section_request *request) {
    kmw_section *section = NULL;
    DWORD error = kmw_section_check_flags(request);
    if (error == ERROR_SUCCESS) {
        error = kmw_section_is_pagefile_backed(request) ? kmw_memory_section_make(request, &section)
                                                        : kmw_file_section_make(request, &section);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    HANDLE handle = kmw_section_open_handle(section, kmw_protection_grants(request->protection),
                                            request->inherit);
    if (handle == NULL) {
        return NULL;
    }
    if (section->file != NULL) { /* which the handle keeps: nobody else knows it yet */
        error = kmw_file_section_grow(section);
    }
    if (error != ERROR_SUCCESS) {
        CloseHandle(handle);
        handle = NULL;
    }
    SetLastError(error); /* never ERROR_ALREADY_EXISTS, which would mean a name in use */
    return handle;
}

/* What comes before the name, in Windows' order. */
static DWORD check_request(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                           uint64_t size, kmw_section_request *request) {
    *request = (kmw_section_request){.file = file,
                                     .protection = protection & ~SECTION_FLAGS,
                                     .flags = protection & SECTION_FLAGS,
                                     .size = size};
    const DWORD base = request->protection;
    if (kmw_protection_of(base) == NULL || base == PAGE_NOACCESS || base == PAGE_EXECUTE ||
        (kmw_section_is_pagefile_backed(request) && size == 0)) {
        return ERROR_INVALID_PARAMETER;
    }
    return kmw_security_read(security, &request->everybody, &request->inherit);
}

static HANDLE create(const kmw_section_request *request, kmw_object_name *name) {
    kmw_fork_gate_close();
    HANDLE handle =
        name->text == NULL ? create_unnamed(request) : kmw_named_section_create(name, request);
    kmw_fork_gate_open();
    kmw_object_name_free(name);
    return handle;
}

HANDLE CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                          DWORD size_high, DWORD size_low, LPCSTR name) {
    kmw_section_request request;
    kmw_object_name parsed;
    DWORD error =
        check_request(file, security, protection, km_size_join(size_high, size_low), &request);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf8(name, &parsed);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    return create(&request, &parsed);
}

HANDLE CreateFileMappingW(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                          DWORD size_high, DWORD size_low, LPCWSTR name) {
    kmw_section_request request;
    kmw_object_name parsed;
    DWORD error =
        check_request(file, security, protection, km_size_join(size_high, size_low), &request);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf16(name, KMW_SECTION_NAME_LIMIT_W, &parsed);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    return create(&request, &parsed);
}

/* ---- Opening one ---- */

/* FILE_MAP_COPY by itself asks for reading, and the bit that Win32 calls FILE_MAP_EXECUTE for the
 * right that a view needs. */
static DWORD rights_to_open(DWORD access) {
    if (access == FILE_MAP_COPY) {
        return SECTION_QUERY | SECTION_MAP_READ;
    }
    if ((access & MAXIMUM_ALLOWED) != 0) {
        return SECTION_ALL_ACCESS;
    }
    access = kmw_section_rights(access);
    return (access & FILE_MAP_EXECUTE) != 0 ? access | SECTION_MAP_EXECUTE : access;
}

static HANDLE open_section(DWORD access, BOOL inherit, DWORD error, kmw_object_name *name) {
    if (error == ERROR_SUCCESS && access == 0) {
        kmw_object_name_free(name);
        error = ERROR_ACCESS_DENIED;
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    kmw_fork_gate_close();
    HANDLE handle = kmw_named_section_open(name, rights_to_open(access), inherit != FALSE);
    kmw_fork_gate_open();
    kmw_object_name_free(name);
    return handle;
}

HANDLE OpenFileMappingA(DWORD access, BOOL inherit, LPCSTR name) {
    kmw_object_name parsed;
    DWORD error = kmw_object_name_to_open(name, name != NULL && name[0] == '\0');
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf8(name, &parsed);
    }
    return open_section(access, inherit, error, &parsed);
}

HANDLE OpenFileMappingW(DWORD access, BOOL inherit, LPCWSTR name) {
    kmw_object_name parsed;
    DWORD error = kmw_object_name_to_open(name, name != NULL && name[0] == 0);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf16(name, KMW_SECTION_NAME_LIMIT_W, &parsed);
    }
    return open_section(access, inherit, error, &parsed);
}
