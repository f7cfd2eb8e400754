/*
 * section_commit.c - which pages of a SEC_RESERVE section have been committed.
 */
#include "section_commit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "last_error.h"
#include "section_memory.h"
#include "signal_hold.h"
#include "size.h"
#include "view.h"

#define COMMITTED '\1'

/* Bytes of the record read or written at once. */
enum { PIECE = 4096 };

static uint64_t pages_of(uint64_t size) {
    const uint64_t page_size = kmw_page_size();
    return size / page_size + (size % page_size != 0);
}

uint64_t kmw_commit_record_size(uint64_t size) {
    uint64_t record = 0;
    return km_size_align_up(pages_of(size), kmw_page_size(), &record) && size <= KM_SIZE_MAX
               ? record
               : UINT64_MAX;
}

/* Where the byte of `page` is in the file. */
static uint64_t record_of(const kmw_reserved *section, uint64_t page) {
    return section->offset + pages_of(section->size) * kmw_page_size() + page;
}

/* The record of up to `count` pages from `page` on. Fewer: the file ends; 0 also if it cannot be
 * read. */
static size_t read_record(const kmw_reserved *section, uint64_t page, char *to, size_t count) {
    ssize_t got;
    do {
        got = pread(section->descriptor, to, count, (off_t)record_of(section, page));
    } while (got < 0 && errno == EINTR);
    return got > 0 ? (size_t)got : 0;
}

/* The first page from `page` on whose record may be other than 0, at most `limit`. */
static uint64_t skip_hole(const kmw_reserved *section, uint64_t page, uint64_t limit) {
    const uint64_t from = record_of(section, page);
    const off_t data = lseek(section->descriptor, (off_t)from, SEEK_DATA);
    if (data < 0) {
        return errno == ENXIO ? limit : page;
    }
    const uint64_t skipped = (uint64_t)data > from ? (uint64_t)data - from : 0;
    return skipped < limit - page ? page + skipped : limit;
}

bool kmw_commit_state(const kmw_reserved *section, uint64_t page, uint64_t limit, uint64_t *end) {
    char piece[PIECE];
    bool state = false;
    for (uint64_t at = page; at < limit;) {
        const size_t wanted = limit - at < PIECE ? (size_t)(limit - at) : PIECE;
        const size_t got = read_record(section, at, piece, wanted);
        if (at == page) {
            state = got > 0 && piece[0] == COMMITTED;
        }
        for (size_t i = 0; i < got; ++i) {
            if ((piece[i] == COMMITTED) != state) {
                *end = at + i;
                return state;
            }
        }
        at += got;
        if (got == 0) {
            *end = state ? at : limit;
            return state;
        }
        if (!state && at < limit) {
            at = skip_hole(section, at, limit);
        }
    }
    *end = limit;
    return state;
}

/* The pages are allocated, and so is their record. */
static DWORD record(const kmw_reserved *section, uint64_t first, uint64_t end) {
    char piece[PIECE];
    memset(piece, COMMITTED, sizeof piece);
    while (first < end) {
        const size_t count = end - first < PIECE ? (size_t)(end - first) : PIECE;
        const ssize_t written =
            pwrite(section->descriptor, piece, count, (off_t)record_of(section, first));
        if (written < 0 && errno != EINTR) {
            return kmw_section_memory_refused(section->descriptor, errno, end - first);
        }
        first += written > 0 ? (uint64_t)written : 0;
    }
    return ERROR_SUCCESS;
}

static DWORD allocate(const kmw_reserved *section, uint64_t first, uint64_t end) {
    const uint64_t page_size = kmw_page_size();
    return kmw_section_memory_commit(section->descriptor, section->offset + first * page_size,
                                     (end - first) * page_size, false);
}

DWORD kmw_commit_pages(const kmw_reserved *section, uint64_t first, uint64_t end) {
    uint64_t stop = 0;
    if (kmw_commit_state(section, first, end, &stop) && stop == end) {
        return ERROR_SUCCESS; /* also where no memory is left */
    }
    DWORD error = ERROR_SUCCESS;
    for (uint64_t at = first; at < end && error == ERROR_SUCCESS; at = stop) {
        if (!kmw_commit_state(section, at, end, &stop)) {
            error = allocate(section, at, stop);
        }
    }
    if (error == ERROR_SUCCESS) {
        error = kmw_section_memory_commit(section->descriptor, record_of(section, first),
                                          end - first, false);
    }
    if (error == ERROR_SUCCESS) {
        kmw_signal_hold hold;
        kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
        error = record(section, first, end);
        kmw_signal_hold_end(&hold);
    }
    return error;
}
