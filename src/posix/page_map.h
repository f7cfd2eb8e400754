/*
 * page_map.h - what the kernel knows of this process's pages and mappings (/proc/self).
 */
#ifndef KMW_PAGE_MAP_H
#define KMW_PAGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap/win32.h>

/* One page, as /proc/self/pagemap shows it to everybody. */
#define KMW_PAGE_PRESENT ((uint64_t)1 << 63)
#define KMW_PAGE_SWAPPED ((uint64_t)1 << 62)
#define KMW_PAGE_SHARED ((uint64_t)1 << 61) /* a file's page, or shared memory's */

/* -1 and errno where the system does not tell. Closed with close. */
int kmw_page_map_open(void);
/* The entries of `count` pages from `address` on. false: errno. */
bool kmw_page_map_read(int page_map, const void *address, size_t count, uint64_t *entries);

/* What either's errno is called: ERROR_NOT_SUPPORTED, unless it is want of descriptors or memory.
 */
DWORD kmw_page_map_error(int error);

/* Has the page got a private copy? Such is a page of a copy-on-write mapping after a store. */
static inline bool kmw_page_is_copied(uint64_t entry) {
    return (entry & (KMW_PAGE_PRESENT | KMW_PAGE_SWAPPED)) != 0 && (entry & KMW_PAGE_SHARED) == 0;
}

/* Kept in memory by mlock? false where the system does not tell. */
bool kmw_page_is_locked(const void *address);

/* The mapping that contains an address, or, with `free`, the gap. */
typedef struct kmw_mapping {
    uintptr_t start;
    uintptr_t end;
    bool free;
    bool shared;
    bool file;      /* something with an inode is behind it */
    int protection; /* PROT_* */
} kmw_mapping;

/* false, errno: the system does not tell. A gap at the top ends at `top`. */
bool kmw_mapping_at(const void *address, uintptr_t top, kmw_mapping *mapping);

/* Bytes of address space in use; 0 if the system does not tell. */
uint64_t kmw_mapped_bytes(void);

#endif /* KMW_PAGE_MAP_H */
