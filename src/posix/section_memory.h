/*
 * section_memory.h - the bytes of pagefile-backed sections: made, and really there.
 *
 * A section without a name has a memory file of its own (memfd_create(2); where that is refused, an
 * unnamed file in /dev/shm or the temporary directory). A named one has its object's file. Either
 * way SEC_COMMIT means that every page is allocated before anybody can touch it: the limits are
 * looked at first (memory_limits.h), then it is allocated step by step with a look before each, or
 * refused with the numbers. SEC_RESERVE allocates nothing; section_commit.h says how it gets more.
 *
 * What is small is taken on credit: up to KMW_CREDIT bytes soon after a look of this process, which
 * has kept back twice as much (KMW_RESERVE). A look and what is taken after it are two steps: where
 * several programs take the last of what a group may have at the same time, each may have seen it
 * free. It is looked at again before each step, so they have to meet within one.
 */
#ifndef KMW_SECTION_MEMORY_H
#define KMW_SECTION_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "memory_limits.h"

#include <keepmap/win32.h>

#define KMW_CREDIT (KMW_RESERVE / 2)

/* Why memory was last refused to this thread. */
typedef struct kmw_commit_refusal {
    uint64_t asked; /* bytes that were still to be had, of those asked for */
    uint64_t free;  /* bytes that there were for them */
    kmw_limit limit;
} kmw_commit_refusal;

/*
 * A memory file of `size` bytes (not 0), zero filled, close-on-exec, with the pages that `flags`
 * asks for: SEC_COMMIT (or no flag), SEC_RESERVE, SEC_COMMIT | SEC_LARGE_PAGES. Its length is
 * `size` rounded up to pages, then `record` more bytes that are never allocated here (0 but for a
 * SEC_RESERVE section: section_commit.h). On failure nothing is left:
 *
 *   ERROR_COMMITMENT_LIMIT     it cannot be had; kmw_commit_refusal_last has the numbers
 *   ERROR_NOT_ENOUGH_MEMORY    SEC_RESERVE of more than any file can be long
 *   ERROR_NO_SYSTEM_RESOURCES  SEC_LARGE_PAGES: the pool has not enough of them
 *   ERROR_INVALID_PARAMETER    SEC_LARGE_PAGES: not a multiple of GetLargePageMinimum
 *
 * A file of large pages takes mmap only at offsets and addresses that are multiples of
 * GetLargePageMinimum, and munmap only of such lengths: views of it must be placed so.
 */
DWORD kmw_section_memory_make(uint64_t size, uint64_t record, DWORD flags, int *descriptor);

/*
 * Allocates [offset, offset + size) of a file that is long enough and keeps what is in it. Holes
 * become zeros. On failure some of the range may stay allocated (somebody else may have come to use
 * it): who makes a new file drops it. `born`: nobody else can reach the file yet, so that it may be
 * filled by writing where the file system cannot allocate; else that is ERROR_NOT_SUPPORTED.
 * Otherwise ERROR_COMMITMENT_LIMIT, with the numbers.
 */
DWORD kmw_section_memory_commit(int descriptor, uint64_t offset, uint64_t size, bool born);

/* May a few bytes (at most KMW_GRANULARITY) be taken without a look? Then they count as taken. */
bool kmw_section_memory_admit(uint64_t size);

/* What to call `error` (errno) of a call that wanted `size` more bytes in the file: with the
 * numbers, where it says that they are not to be had. */
DWORD kmw_section_memory_refused(int descriptor, int error, uint64_t size);

/* What went with this thread's last ERROR_COMMITMENT_LIMIT or ERROR_NO_SYSTEM_RESOURCES from here.
 * All zero if there was none. */
kmw_commit_refusal kmw_commit_refusal_last(void);
/* Keeps the numbers and returns `error`. */
DWORD kmw_commit_refuse(DWORD error, uint64_t asked, kmw_room room);

#endif /* KMW_SECTION_MEMORY_H */
