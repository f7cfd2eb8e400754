/*
 * large_pages.h - SEC_LARGE_PAGES: memory in pages of GetLargePageMinimum bytes.
 *
 * A section without a name gets them from the system's pool, all of them at once or not at all. A
 * file of them takes mmap only at offsets and addresses that are multiples of GetLargePageMinimum,
 * and munmap only of such lengths: views of it must be placed so.
 *
 * A named section's file lies among ordinary ones, since a file of large pages has no name by which
 * other processes could find it. Its memory is of ordinary pages, as all are under Wine; its views
 * may advise MADV_HUGEPAGE. What the flag promises is speed, and no program can see the difference
 * but in its size, which is checked alike.
 */
#ifndef KMW_LARGE_PAGES_H
#define KMW_LARGE_PAGES_H

#include <stdint.h>

#include <keepmap/win32.h>

/* ERROR_SUCCESS; ERROR_NO_SYSTEM_RESOURCES: there are none on this system;
 * ERROR_INVALID_PARAMETER: `size` is 0 or not a multiple of theirs. */
DWORD kmw_large_pages_check(uint64_t size);

/* A memory file of large pages, all allocated. Errors as above, and ERROR_NO_SYSTEM_RESOURCES where
 * the pool has not enough of them; kmw_commit_refusal_last has the numbers. */
DWORD kmw_large_pages_make(uint64_t size, int *descriptor);

/* Bytes in the pool that nobody has. */
uint64_t kmw_large_pages_free(void);

#endif /* KMW_LARGE_PAGES_H */
