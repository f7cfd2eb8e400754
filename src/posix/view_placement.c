/*
 * view_placement.c - finding address space for views, which begin at multiples of 64 KiB.
 *
 * mmap knows pages only. So it is given a hint: the space just below the last view, or the end of
 * the last one unmapped. Nearly always it is free and one system call is all; if not, a larger
 * range is reserved, the view put inside, and the rest given back.
 */
#include <errno.h>
#include <sys/mman.h>

#include "view.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0 /* the address is then a hint, and what comes of it is looked at */
#endif

#define RESERVATION (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Where the file's pages are huge, views that lie like the file does can use them whole. */
static const uint64_t huge_page = (uint64_t)2 << 20;

static uintptr_t cursor; /* space below it is likely to be free; 0: nothing known yet */

static bool is_aligned(const void *address) {
    return (uintptr_t)address % KMW_GRANULARITY == 0;
}

/* 0: no idea. */
static uintptr_t hint_for(size_t length, uint64_t offset) {
    const uintptr_t span = (length + KMW_GRANULARITY - 1) & ~(uintptr_t)(KMW_GRANULARITY - 1);
    if (span < length || cursor <= span) {
        return 0;
    }
    uintptr_t hint = cursor - span;
    if (length >= huge_page) {
        hint -= (uintptr_t)((hint - offset) % huge_page);
    }
    return hint;
}

void *kmw_place_view_at(void *address, size_t length, int protection, int flags, int descriptor,
                        uint64_t offset) {
    void *got =
        mmap(address, length, protection, flags | MAP_FIXED_NOREPLACE, descriptor, (off_t)offset);
    if (got != MAP_FAILED && got != address) {
        munmap(got, length);
        errno = EEXIST;
        return MAP_FAILED;
    }
    return got;
}

/* Aligned by asking for more than is needed, and giving back what lies before and behind. */
static void *reserve_aligned(size_t length) {
    const size_t slack = KMW_GRANULARITY - kmw_page_size();
    if (length > SIZE_MAX - slack) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    char *range = mmap(NULL, length + slack, PROT_NONE, RESERVATION, -1, 0);
    if (range == MAP_FAILED) {
        return MAP_FAILED;
    }
    const size_t before = (KMW_GRANULARITY - (uintptr_t)range % KMW_GRANULARITY) % KMW_GRANULARITY;
    if (before > 0) {
        munmap(range, before);
    }
    if (before < slack) {
        munmap(range + before + length, slack - before);
    }
    return range + before;
}

void *kmw_place_view(size_t length, int protection, int flags, int descriptor, uint64_t offset) {
    void *const hint = (void *)hint_for(length, offset);
    void *view = mmap(hint, length, protection, flags, descriptor, (off_t)offset);
    if (view == MAP_FAILED) {
        return MAP_FAILED;
    }
    if (!is_aligned(view)) {
        munmap(view, length);
        char *range = reserve_aligned(length);
        if (range == MAP_FAILED) {
            return MAP_FAILED;
        }
        view = mmap(range, length, protection, flags | MAP_FIXED, descriptor, (off_t)offset);
        if (view == MAP_FAILED) {
            const int error = errno;
            munmap(range, length);
            errno = error;
            return MAP_FAILED;
        }
    }
    cursor = (uintptr_t)view;
    return view;
}

void *kmw_place_reservation(size_t length) {
    return reserve_aligned(length);
}

bool kmw_place_reserved_again(void *address, size_t length) {
    return mmap(address, length, PROT_NONE, RESERVATION | MAP_FIXED, -1, 0) != MAP_FAILED;
}

void kmw_place_freed(const char *base, size_t length) {
    cursor = ((uintptr_t)base + length + KMW_GRANULARITY - 1) & ~(uintptr_t)(KMW_GRANULARITY - 1);
}
