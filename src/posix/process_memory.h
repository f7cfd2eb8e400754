/*
 * process_memory.h - copying memory of one's own where it may not be there.
 */
#ifndef KMW_PROCESS_MEMORY_H
#define KMW_PROCESS_MEMORY_H

#include <stddef.h>

/*
 * Both copy `length` bytes until they meet memory that cannot be read or written, set *done to what
 * was copied, and return 0 or an errno: EFAULT there. No signal is raised.
 */
typedef int kmw_copy_function(void *to, const void *from, size_t length, size_t *done);

/* Through a pipe: works everywhere, costs two system calls a page. */
int kmw_copy_through_pipe(void *to, const void *from, size_t length, size_t *done);

#if defined(__linux__)
/* process_vm_readv on oneself; EPERM or ENOSYS, with nothing copied, where that is forbidden. */
int kmw_copy_through_kernel(void *to, const void *from, size_t length, size_t *done);
#endif

#endif /* KMW_PROCESS_MEMORY_H */
