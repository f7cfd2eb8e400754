/*
 * section.h - the object behind a section (file mapping) handle on POSIX.
 */
#ifndef KMW_SECTION_H
#define KMW_SECTION_H

#include <stdint.h>

#include "file.h"

typedef struct kmw_section {
    kmw_object object;
    int descriptor;   /* what views are mapped from: the file's, or the section's own. Marked as
                         mapped as long as the section or any view lives (mapped_mark.h) */
    DWORD protection; /* one PAGE_* */
    uint64_t size;    /* bytes, exactly */
    DWORD advice;     /* FILE_FLAG_RANDOM_ACCESS, FILE_FLAG_SEQUENTIAL_SCAN, or 0 */
    kmw_file *file;   /* referenced: delete-on-close waits for it. NULL: pagefile-backed, and only
                         then is set what follows */
    DWORD flags;      /* SEC_RESERVE, or SEC_COMMIT with or without SEC_LARGE_PAGES */
    uint64_t data_offset; /* of the first byte in the file behind `descriptor` */
} kmw_section;

#endif /* KMW_SECTION_H */
