/*
 * buffer.h - memory that bytes are read into in bulk.
 *
 * What malloc gives for a large piece begins 16 bytes behind the start of a page, and AMD's Zen 3
 * and 4 copy by `rep movsb`, the kernel's way and libc's, at a quarter of their speed to where the
 * place in the page is 1 to 31 bytes behind that of the source (glibc bug 30994; measured: 2 GB/s
 * instead of 8): just how such a buffer lies to a file's chunk in the cache. So these begin at a
 * multiple of 64, a cache line.
 */
#ifndef KM_BUFFER_H
#define KM_BUFFER_H

#include <stddef.h>

/* `size` bytes, more than 0, of no particular content. NULL: there is no memory. */
void *km_buffer_make(size_t size);

/* NULL is fine. */
void km_buffer_free(void *buffer);

/*
 * For megabytes that are written past the system's cache: zeros, in large pages where the system
 * gives them without more ado; `size` is a multiple of a page's. A disk takes memory in runs of
 * what lies together, so many a request (254 on virtio), which of small pages is no megabyte. The
 * first store to a large one costs some hundred microseconds.
 */
void *km_buffer_make_large(size_t size);
void km_buffer_free_large(void *buffer, size_t size); /* `size`: as when made. NULL is fine */

#endif /* KM_BUFFER_H */
