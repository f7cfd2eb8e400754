/*
 * section_commit.h - which pages of a SEC_RESERVE section have been committed.
 *
 * Committing a page makes it so in every view of the section in every process, so the record lies
 * in the section's own file: one byte for each page, behind the pages themselves, 0 until the page
 * is committed. Nothing ever makes it 0 again, so writers need no lock: two that commit the same
 * page write the same byte. The record is as full of holes as the section: what nobody commits
 * costs nothing.
 *
 * (The file system's own map of holes cannot say it: a page allocated and not yet touched is a hole
 * to SEEK_DATA, and one touched without leave is data.)
 *
 * Only VirtualAlloc and VirtualQuery ask. A page touched before it is committed is not refused, as
 * under Wine: the kernel allocates it then and there. A record that another process has filled with
 * nonsense makes answers wrong, and no more than answers.
 */
#ifndef KMW_SECTION_COMMIT_H
#define KMW_SECTION_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap/win32.h>

/* Where a SEC_RESERVE section's bytes and its record are. */
typedef struct kmw_reserved {
    int descriptor;  /* open for reading and writing, whatever the section's protection */
    uint64_t offset; /* of the section's first byte in the file, a multiple of the page size */
    uint64_t size;   /* of the section, in bytes */
} kmw_reserved;

/* Bytes that the file of a section of `size` needs for the record, behind the section's last page.
 * UINT64_MAX: there can be no such file. */
uint64_t kmw_commit_record_size(uint64_t size);

/*
 * Commits pages [first, end), those that are not yet: allocated as SEC_COMMIT does it, then
 * recorded. On failure (ERROR_COMMITMENT_LIMIT; section_memory.h) nothing is recorded of what this
 * call was to commit; some of it may be allocated. What is in the pages stays.
 */
DWORD kmw_commit_pages(const kmw_reserved *section, uint64_t first, uint64_t end);

/*
 * Is `page` committed? Up to *end, at most `limit` (which is beyond `page`), the others are like
 * it. What cannot be read counts as not committed.
 */
bool kmw_commit_state(const kmw_reserved *section, uint64_t page, uint64_t limit, uint64_t *end);

#endif /* KMW_SECTION_COMMIT_H */
