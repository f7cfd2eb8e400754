/*
 * section.h - the object behind a section (file mapping) handle on POSIX.
 */
#ifndef KMW_SECTION_H
#define KMW_SECTION_H

#include <stdint.h>

#include "file.h"

typedef struct kmw_section {
    kmw_object object;
    int descriptor;   /* of its own, marked as mapped; views are mapped from it, so that the mark
                         lives as long as the section or any view, here or in a forked child */
    DWORD protection; /* one PAGE_* */
    uint64_t size;    /* bytes, exactly */
    DWORD advice;     /* FILE_FLAG_RANDOM_ACCESS, FILE_FLAG_SEQUENTIAL_SCAN, or 0 */
    kmw_file *file;   /* referenced: delete-on-close waits for it */
} kmw_section;

#endif /* KMW_SECTION_H */
