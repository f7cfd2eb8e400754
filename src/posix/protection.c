/*
 * protection.c - the PAGE_* protections: what each one lets happen, and what mmap calls it.
 */
#include "protection.h"

#include <stddef.h>
#include <sys/mman.h>

/* The values are single bits, 0x01 to 0x80: the bit's number is the index. */
static const kmw_protection protections[] = {
    {0, PROT_NONE, false},                                          /* PAGE_NOACCESS */
    {KMW_MAY_READ, PROT_READ, false},                               /* PAGE_READONLY */
    {KMW_MAY_READ | KMW_MAY_WRITE, PROT_READ | PROT_WRITE, false},  /* PAGE_READWRITE */
    {KMW_MAY_READ, PROT_READ | PROT_WRITE, true},                   /* PAGE_WRITECOPY */
    {KMW_MAY_EXECUTE, PROT_EXEC, false},                            /* PAGE_EXECUTE */
    {KMW_MAY_READ | KMW_MAY_EXECUTE, PROT_READ | PROT_EXEC, false}, /* PAGE_EXECUTE_READ */
    {KMW_MAY_READ | KMW_MAY_WRITE | KMW_MAY_EXECUTE, PROT_READ | PROT_WRITE | PROT_EXEC,
     false}, /* PAGE_EXECUTE_READWRITE */
    {KMW_MAY_READ | KMW_MAY_EXECUTE, PROT_READ | PROT_WRITE | PROT_EXEC,
     true}, /* PAGE_EXECUTE_WRITECOPY */
};

const kmw_protection *kmw_protection_of(DWORD protection) {
    for (size_t i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        if (protection == 1u << i) {
            return &protections[i];
        }
    }
    return NULL;
}

bool kmw_protection_covers(DWORD outer, DWORD inner) {
    return (kmw_protection_of(inner)->may & ~kmw_protection_of(outer)->may) == 0;
}

DWORD kmw_protection_grants(DWORD protection) {
    const unsigned may = kmw_protection_of(protection)->may;
    return STANDARD_RIGHTS_REQUIRED | SECTION_QUERY | SECTION_MAP_READ |
           ((may & KMW_MAY_WRITE) != 0 ? SECTION_MAP_WRITE : 0) |
           ((may & KMW_MAY_EXECUTE) != 0 ? SECTION_MAP_EXECUTE : 0);
}

/* A writable view asks for writing alone, and one without access for reading: Windows' rule. */
DWORD kmw_protection_needs(DWORD protection) {
    const unsigned may = kmw_protection_of(protection)->may;
    return ((may & KMW_MAY_WRITE) != 0 ? SECTION_MAP_WRITE : SECTION_MAP_READ) |
           ((may & KMW_MAY_EXECUTE) != 0 ? SECTION_MAP_EXECUTE : 0);
}

DWORD kmw_protection_of_access(DWORD access) {
    const DWORD ignored = FILE_MAP_LARGE_PAGES | FILE_MAP_TARGETS_INVALID | FILE_MAP_RESERVE;
    const DWORD data = access & ~(FILE_MAP_EXECUTE | ignored);
    const bool execute = (access & FILE_MAP_EXECUTE) != 0;
    if (data == FILE_MAP_COPY) {
        return execute ? PAGE_EXECUTE_WRITECOPY : PAGE_WRITECOPY;
    }
    if ((data & FILE_MAP_WRITE) != 0) {
        return execute ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE;
    }
    if ((data & FILE_MAP_READ) != 0) {
        return execute ? PAGE_EXECUTE_READ : PAGE_READONLY;
    }
    return PAGE_NOACCESS;
}

DWORD kmw_protection_when_copied(DWORD protection) {
    switch (protection) {
    case PAGE_WRITECOPY:
        return PAGE_READWRITE;
    case PAGE_EXECUTE_WRITECOPY:
        return PAGE_EXECUTE_READWRITE;
    default:
        return protection;
    }
}
