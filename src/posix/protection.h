/*
 * protection.h - the PAGE_* protections: what each one lets happen, and what mmap calls it.
 */
#ifndef KMW_PROTECTION_H
#define KMW_PROTECTION_H

#include <stdbool.h>

#include <keepmap/win32.h>

/* What a protection lets happen to the section itself. A copy-on-write page only reads it. */
#define KMW_MAY_READ 1u
#define KMW_MAY_WRITE 2u
#define KMW_MAY_EXECUTE 4u

typedef struct kmw_protection {
    unsigned may; /* KMW_MAY_* */
    int mmap;     /* PROT_* */
    bool copies;  /* a store makes a private copy of the page */
} kmw_protection;

/* NULL unless `protection` is exactly one of PAGE_NOACCESS to PAGE_EXECUTE_WRITECOPY. */
const kmw_protection *kmw_protection_of(DWORD protection);

/* May something protected as `outer` be shown as `inner`? Both are valid. */
bool kmw_protection_covers(DWORD outer, DWORD inner);

/* SECTION_MAP_* that a section of this protection grants to its maker. */
DWORD kmw_protection_grants(DWORD protection);

/* SECTION_MAP_* that a handle needs for a view of this protection. */
DWORD kmw_protection_needs(DWORD protection);

/* The protection of the view that MapViewOfFile makes for `access` (FILE_MAP_*). */
DWORD kmw_protection_of_access(DWORD access);

/* A copy-on-write page that has been stored to. */
DWORD kmw_protection_when_copied(DWORD protection);

#endif /* KMW_PROTECTION_H */
