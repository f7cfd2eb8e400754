/*
 * large_pages.c - SEC_LARGE_PAGES: memory in pages of GetLargePageMinimum bytes.
 */
#include "large_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel_text.h"
#include "last_error.h"
#include "section_memory.h"
#include "signal_hold.h"
#include "size.h"

/* Of the size that the system gives when asked for large pages without saying which. */
static void read_pool(uint64_t *page_size, uint64_t *free) {
    enum { SIZE, FREE, RESERVED, KEYS };
    kmw_key keys[KEYS] = {
        {.name = "Hugepagesize:"}, {.name = "HugePages_Free:"}, {.name = "HugePages_Rsvd:"}};
    kmw_keys_in("/proc/meminfo", keys, KEYS);
    const uint64_t kibibytes = keys[SIZE].found ? keys[SIZE].value : 0;
    const uint64_t reserved = keys[RESERVED].found ? keys[RESERVED].value : 0;
    const uint64_t pages =
        keys[FREE].found && keys[FREE].value > reserved ? keys[FREE].value - reserved : 0;
    const bool sane = kibibytes <= UINT32_MAX && (kibibytes & (kibibytes - 1)) == 0;
    *page_size = sane ? kibibytes * 1024 : 0;
    *free = *page_size != 0 && pages <= KM_SIZE_MAX / *page_size ? pages * *page_size : 0;
}

SIZE_T GetLargePageMinimum(void) {
    uint64_t page_size = 0;
    uint64_t free = 0;
    read_pool(&page_size, &free);
    return (SIZE_T)page_size;
}

uint64_t kmw_large_pages_free(void) {
    uint64_t page_size = 0;
    uint64_t free = 0;
    read_pool(&page_size, &free);
    return free;
}

static DWORD refuse(uint64_t size) {
    return kmw_commit_refuse(ERROR_NO_SYSTEM_RESOURCES, size,
                             (kmw_room){kmw_large_pages_free(), KMW_LIMIT_LARGE_PAGES});
}

DWORD kmw_large_pages_check(uint64_t size) {
    const uint64_t page_size = GetLargePageMinimum();
    if (page_size == 0) {
        return refuse(size);
    }
    return size == 0 || size % page_size != 0 ? ERROR_INVALID_PARAMETER : ERROR_SUCCESS;
}

static bool allocate(int descriptor, uint64_t size) {
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    int result;
    do {
        result = ftruncate(descriptor, (off_t)size);
    } while (result != 0 && errno == EINTR);
    while (result == 0 && (result = fallocate(descriptor, 0, 0, (off_t)size)) != 0 &&
           errno == EINTR) {
        result = 0; /* what it has got by then stays, so this comes to an end */
    }
    kmw_signal_hold_end(&hold);
    return result == 0;
}

DWORD kmw_large_pages_make(uint64_t size, int *descriptor) {
    const DWORD error = kmw_large_pages_check(size);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (size > KM_SIZE_MAX) {
        return refuse(size);
    }
    const int made = memfd_create("keepmap", MFD_CLOEXEC | MFD_HUGETLB);
    if (made < 0) {
        return errno == EMFILE || errno == ENFILE ? kmw_error_of_errno(errno) : refuse(size);
    }
    if (!allocate(made, size)) {
        close(made);
        return refuse(size);
    }
    *descriptor = made;
    return ERROR_SUCCESS;
}
