/*
 * change_tracker.c - platform.h on POSIX: which pages of a view were stored to.
 *
 * The view's pages are write-protected through a userfaultfd in asynchronous mode: the first store
 * to a page takes the protection off in the kernel, without anybody being asked, and PAGEMAP_SCAN
 * finds the pages without it and protects them anew, in one step for each page, under its page
 * table's lock. Pages that are not there carry the protection in a marker, so that a later fault
 * for reading keeps it. What has neither page nor marker counts as written: whatever makes the
 * kernel forget shows as a store too many, never as one too few.
 *
 * Not seen, because no page table knows of it: what comes into the file or section another way
 * (another view, another process, write), and transfers by a device into pages that were pinned
 * before they were protected anew (a direct read under way, buffers registered with io_uring).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory_limits.h"
#include "page_map.h"
#include "platform.h"
#include "size.h"
#include "userfault.h"

/* Regions fetched by one call; the kernel keeps no more of its own. */
enum { REGIONS = 512 };

/* Markers want page tables, a 512th of the view; above so much it is first asked whether there is
 * memory for them. */
#define TABLES_WITHOUT_ASKING ((uint64_t)16 << 20)

struct km_tracker {
    int userfault;
    int page_map;
    pid_t process; /* the descriptors in a child made by fork mean its parent's memory */
    char *view;
    uint64_t size;
    size_t length; /* whole pages */
};

/* ---- Ranges of pages ---- */

/* All of it counts as unchanged from here on. false: errno. */
static bool arm(const km_tracker *tracker, const void *start, size_t length) {
    struct uffdio_writeprotect protection = {.range = {(uintptr_t)start, length},
                                             .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    return kmw_userfault_register(tracker->userfault, start, length, UFFDIO_REGISTER_MODE_WP) &&
           ioctl(tracker->userfault, UFFDIO_WRITEPROTECT, &protection) == 0;
}

/*
 * The written pages from *at on, as many regions as there is room for, and protects them anew if
 * `flags` say so; *at moves to where it ended. -1: errno.
 */
static int scan(const km_tracker *tracker, uint64_t flags, uint64_t *at, uint64_t end,
                kmw_page_region regions[REGIONS]) {
    kmw_page_scan request = {
        .size = sizeof request,
        .flags = flags | KMW_SCAN_CHECK,
        .start = *at,
        .end = end,
        .regions = (uintptr_t)regions,
        .region_count = REGIONS,
        .category_mask = KMW_PAGE_WRITTEN,
        .return_mask = KMW_PAGE_WRITTEN,
    };
    const int count = ioctl(tracker->page_map, KMW_PAGEMAP_SCAN, &request);
    if (count < 0) {
        return -1;
    }
    if (request.walk_end <= *at || request.walk_end > end) {
        errno = EIO; /* no step, or one too far */
        return -1;
    }
    *at = request.walk_end;
    return count;
}

/* How many pages are written, up to `length`, and protects them anew. -1: errno. */
static long take_written(const km_tracker *tracker, const void *start, size_t length) {
    kmw_page_region regions[REGIONS];
    uint64_t at = (uintptr_t)start;
    const uint64_t end = at + length;
    uint64_t bytes = 0;
    while (at < end) {
        const int count = scan(tracker, KMW_SCAN_PROTECT, &at, end, regions);
        if (count < 0) {
            return -1;
        }
        for (int i = 0; i < count; ++i) {
            bytes += regions[i].end - regions[i].start;
        }
    }
    return (long)(bytes / (uint64_t)sysconf(_SC_PAGESIZE));
}

/* ---- Beginning ---- */

/*
 * Two pages of our own, one of which was there before they were protected: no store shows none,
 * and a store shows its own page, once.
 */
static DWORD prove(const km_tracker *tracker) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile char *const own = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (own == MAP_FAILED) {
        return kmw_userfault_error(errno);
    }
    void *const start = (void *)(uintptr_t)own;
    DWORD error = ERROR_NOT_SUPPORTED;
    own[0] = 1;
    if (!arm(tracker, start, 2 * page)) {
        error = kmw_userfault_error(errno);
        goto out;
    }
    if (take_written(tracker, start, 2 * page) != 0) {
        goto out;
    }
    for (size_t i = 0; i < 2; ++i) {
        own[i * page] = 2;
        if (take_written(tracker, start, 2 * page) != 1) {
            goto out;
        }
    }
    if (take_written(tracker, start, 2 * page) == 0) {
        error = ERROR_SUCCESS;
    }
out:
    munmap(start, 2 * page);
    return error;
}

/* Can there be page tables for the whole view? */
static bool has_room(size_t length) {
    const uint64_t tables = (uint64_t)length / 512;
    return tables <= TABLES_WITHOUT_ASKING || tables <= kmw_memory_room_under("").free;
}

/* All that is mapped of the view. false: errno. */
static bool is_armed(const km_tracker *tracker) {
    kmw_page_region regions[REGIONS];
    uint64_t at = (uintptr_t)tracker->view;
    const uint64_t end = at + tracker->length;
    int count = 0;
    while (at < end && count >= 0) {
        count = scan(tracker, 0, &at, end, regions);
    }
    return count >= 0;
}

static void let_go(km_tracker *tracker) {
    if (tracker->page_map >= 0) {
        close(tracker->page_map);
    }
    if (tracker->userfault >= 0) {
        close(tracker->userfault);
    }
    free(tracker);
}

DWORD km_platform_tracker_start(void *view, uint64_t size, km_tracker **tracker) {
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t length = 0;
    if (size == 0 || (uintptr_t)view % page != 0 || !km_size_align_up(size, page, &length) ||
        length > UINTPTR_MAX - (uintptr_t)view) {
        return ERROR_INVALID_PARAMETER;
    }
    if (!has_room((size_t)length)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    km_tracker *made = malloc(sizeof *made);
    if (made == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *made = (km_tracker){
        .page_map = -1, .process = getpid(), .view = view, .size = size, .length = (size_t)length};
    made->userfault = kmw_userfault_open(KMW_FEATURE_WP_ASYNC);
    if (made->userfault < 0 || (made->page_map = kmw_page_map_open()) < 0) {
        const DWORD error = kmw_userfault_error(errno);
        let_go(made);
        return error;
    }
    DWORD error = prove(made);
    if (error == ERROR_SUCCESS && !(arm(made, view, (size_t)length) && is_armed(made))) {
        error = kmw_userfault_error(errno);
    }
    if (error != ERROR_SUCCESS) {
        km_platform_tracker_stop(made);
        return error;
    }
    *tracker = made;
    return ERROR_SUCCESS;
}

/* ---- Asking ---- */

/* Bits first to last, counted from the lowest of each byte. */
static void set_bits(uint8_t *bits, uint64_t first, uint64_t last) {
    const uint8_t head = (uint8_t)(0xFFu << first % 8);
    const uint8_t tail = (uint8_t)(0xFFu >> (7 - last % 8));
    if (first / 8 == last / 8) {
        bits[first / 8] |= head & tail;
        return;
    }
    bits[first / 8] |= head;
    memset(bits + first / 8 + 1, 0xFF, (size_t)(last / 8 - first / 8 - 1));
    bits[last / 8] |= tail;
}

/* A gap would pass for pages without a store. Linux does nothing else for MS_ASYNC. */
static bool is_mapped(const km_tracker *tracker) {
    return msync(tracker->view, tracker->length, MS_ASYNC) == 0;
}

DWORD km_platform_tracker_collect(km_tracker *tracker, uint64_t unit, uint8_t *changed) {
    if (unit < 4096 || (unit & (unit - 1)) != 0) {
        return ERROR_INVALID_PARAMETER;
    }
    if (tracker->process != getpid()) {
        return ERROR_NOT_SUPPORTED;
    }
    if (!is_mapped(tracker)) {
        return ERROR_INVALID_ADDRESS;
    }
    const uint64_t last_unit = (tracker->size - 1) / unit;
    memset(changed, 0, (size_t)(last_unit / 8 + 1));
    kmw_page_region regions[REGIONS];
    const uint64_t base = (uintptr_t)tracker->view;
    const uint64_t end = base + tracker->length;
    for (uint64_t at = base; at < end;) {
        const int count = scan(tracker, KMW_SCAN_PROTECT, &at, end, regions);
        if (count < 0) {
            return kmw_userfault_error(errno);
        }
        for (int i = 0; i < count; ++i) {
            const uint64_t last = (regions[i].end - 1 - base) / unit;
            set_bits(changed, (regions[i].start - base) / unit,
                     last < last_unit ? last : last_unit);
        }
    }
    return ERROR_SUCCESS;
}

/* ---- Ending ---- */

/*
 * Closing the descriptor disarms the view, unless a child made by fork has it too; so that is done
 * here. But where the view has been unmapped, something else may be by now: what is not armed like
 * a view is left alone.
 */
void km_platform_tracker_stop(km_tracker *tracker) {
    if (tracker == NULL) {
        return;
    }
    if (tracker->process == getpid() && tracker->page_map >= 0 && is_armed(tracker)) {
        (void)kmw_userfault_unregister(tracker->userfault, tracker->view, tracker->length);
    }
    let_go(tracker);
}
