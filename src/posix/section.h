/*
 * section.h - the object behind a section (file mapping) handle on POSIX.
 *
 * Every section is a piece of some file: of a disk file, of a memory file without a name, or of the
 * file of a named object. A name is kept by the section's handles; bytes by handles and views.
 */
#ifndef KMW_SECTION_H
#define KMW_SECTION_H

#include <stdint.h>

#include "file.h"
#include "named_object.h"

typedef struct kmw_section {
    kmw_object object;
    int descriptor;   /* what views are mapped from. Of a disk file: the file's or one of its own,
                         marked as mapped as long as the section or any view lives (mapped_mark.h).
                         Never the one that holds the name */
    uint64_t origin;  /* bytes before the section's first in what the descriptor leads to */
    uint64_t size;    /* bytes, exactly */
    DWORD protection; /* one PAGE_*, as it was made */
    DWORD flags;      /* SEC_RESERVE, SEC_LARGE_PAGES or 0 */
    DWORD advice;     /* FILE_FLAG_RANDOM_ACCESS, FILE_FLAG_SEQUENTIAL_SCAN, or 0 */
    kmw_file *file;   /* referenced: delete-on-close waits for it. NULL: pagefile-backed */
    off_t file_size;  /* which it had when it was marked */
    kmw_named named;  /* given up with the last handle */
    unsigned forks;   /* that this process had made before it had the descriptor */
} kmw_section;

/* What CreateFileMapping was asked for, once its own arguments are checked. */
typedef struct kmw_section_request {
    HANDLE file; /* INVALID_HANDLE_VALUE or NULL: pagefile-backed */
    DWORD protection;
    DWORD flags;   /* SEC_*, checked only when something is to be made */
    uint64_t size; /* as asked: 0 for all of a file */
    bool everybody;
    bool inherit;
} kmw_section_request;

/* What named sections keep of their making: PAGE_*, and these. */
#define KMW_PROTECTION_BITS 0xFFu
#define KMW_KEPT_SECTION_FLAGS (SEC_RESERVE | SEC_LARGE_PAGES)

bool kmw_section_is_pagefile_backed(const kmw_section_request *request);
/* May a section of this protection change what it shows? */
bool kmw_section_is_writable(DWORD protection);

/* Specific rights for generic ones. */
DWORD kmw_section_rights(DWORD access);

/* A section without anything but its maker's reference and these. NULL: no memory. */
kmw_section *kmw_section_new(DWORD protection, DWORD flags, uint64_t size);

/* ERROR_INVALID_PARAMETER or ERROR_BAD_EXE_FORMAT for SEC_* that nobody can have. */
DWORD kmw_section_check_flags(const kmw_section_request *request);

/* A handle to a section just made, which has the maker's reference: it goes over to the handle, or
 * the section goes. NULL and the last error. */
HANDLE kmw_section_open_handle(kmw_section *section, DWORD access, bool inherit);

/* ---- Over a disk file (file_section.c) ---- */

DWORD kmw_file_section_make(const kmw_section_request *request, kmw_section **made);
/* Makes the file as long as the section, if it is shorter: the one step that could not be taken
 * back, and so the last; but for a name, which nobody shall find before the file is so long. */
DWORD kmw_file_section_grow(const kmw_section *section);

/* What a named section keeps of its file, so that others find it. Followed by the path. */
typedef struct kmw_file_record {
    uint64_t device;
    uint64_t inode;
    uint32_t path_length; /* with the final zero */
    uint32_t reserved;
} kmw_file_record;

/* The record of the file behind a handle. ERROR_INVALID_HANDLE if there is none. Free it. */
DWORD kmw_file_record_make(HANDLE handle, kmw_file_record **record, size_t *length);
/* The section of the object, over the file that its record leads to. */
DWORD kmw_file_section_open(const kmw_named *named, kmw_section **made);

/* ---- Pagefile-backed (memory_section.c) ---- */

DWORD kmw_memory_section_make(const kmw_section_request *request, kmw_section **made);
/* The size in whole pages; 0 if no file can be so long. */
uint64_t kmw_memory_section_size(const kmw_section_request *request);
/* Bytes that the object's file has for such a section behind its header. */
uint64_t kmw_memory_section_space(const kmw_section_request *request);
/* Allocates what is to be there in a draft. */
DWORD kmw_memory_section_fill(const kmw_named *draft, const kmw_section_request *request);
DWORD kmw_memory_section_open(const kmw_named *named, kmw_section **made);

/* ---- With a name (named_section.c) ---- */

HANDLE kmw_named_section_create(const kmw_object_name *name, const kmw_section_request *request);
HANDLE kmw_named_section_open(const kmw_object_name *name, DWORD access, bool inherit);

#endif /* KMW_SECTION_H */
