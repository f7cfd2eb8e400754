/*
 * userfault.h - what keepmap uses of Linux' userfaultfd, and the scan of pages that goes with it.
 *
 * The words of newer kernels are defined here: the headers at hand may be older than the kernel.
 */
#ifndef KMW_USERFAULT_H
#define KMW_USERFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <linux/userfaultfd.h>

#include <keepmap/win32.h>

/* ---- Words of the kernel ---- */

#define KMW_FEATURE_POISON ((uint64_t)1 << 14)   /* Linux 6.6 */
#define KMW_FEATURE_WP_ASYNC ((uint64_t)1 << 15) /* Linux 6.7 */

/* UFFDIO_POISON: whoever touches one of these pages, none of which is there yet, gets SIGBUS. */
typedef struct kmw_poison {
    struct uffdio_range range;
    uint64_t mode;
    int64_t updated; /* bytes done, or a negative errno */
} kmw_poison;

#define KMW_UFFDIO_POISON _IOWR(UFFDIO, 0x08, kmw_poison)

/* PAGEMAP_SCAN, on /proc/self/pagemap: Linux 6.7. */
typedef struct kmw_page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
} kmw_page_region;

typedef struct kmw_page_scan {
    uint64_t size; /* of this structure */
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; /* how far it came */
    uint64_t regions;  /* address of an array of kmw_page_region */
    uint64_t region_count;
    uint64_t max_pages; /* 0: all */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
} kmw_page_scan;

#define KMW_PAGEMAP_SCAN _IOWR('f', 16, kmw_page_scan)

#define KMW_SCAN_PROTECT ((uint64_t)1 << 0) /* PM_SCAN_WP_MATCHING */
#define KMW_SCAN_CHECK ((uint64_t)1 << 1)   /* PM_SCAN_CHECK_WPASYNC: EPERM where it is not armed */
#define KMW_PAGE_WRITTEN ((uint64_t)1 << 1) /* PAGE_IS_WRITTEN */

/* ---- Calls ---- */

/*
 * A new descriptor with these features in use, non-blocking, close-on-exec; -1 and errno where
 * there is none. It serves faults of user code only, where the kernel knows the difference: so it
 * needs no privilege, and the kernel's own accesses meet EFAULT, whoever runs the program.
 */
int kmw_userfault_open(uint64_t features);

/* Registers whole pages. `mode` is UFFDIO_REGISTER_MODE_*. false: errno. */
bool kmw_userfault_register(int userfault, const void *start, size_t length, uint64_t mode);

/* Undoes that. false: errno. */
bool kmw_userfault_unregister(int userfault, const void *start, size_t length);

/* What either's errno is called: ERROR_NOT_SUPPORTED, unless it is want of descriptors or memory.
 */
DWORD kmw_userfault_error(int error);

#endif /* KMW_USERFAULT_H */
