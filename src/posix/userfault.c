/*
 * userfault.c - opening userfaultfd, and registering memory with it.
 */
#include "userfault.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "page_map.h"

/* Linux before 5.11 does not know the flag; there, who may have none without it gets EPERM. */
static int open_any(void) {
    const int flags = O_CLOEXEC | O_NONBLOCK;
    const long user = syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
    return (int)(user >= 0 || errno != EINVAL ? user : syscall(SYS_userfaultfd, flags));
}

int kmw_userfault_open(uint64_t features) {
    const int userfault = open_any();
    if (userfault < 0) {
        return -1;
    }
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (ioctl(userfault, UFFDIO_API, &api) != 0) {
        const int error = errno;
        close(userfault);
        errno = error;
        return -1;
    }
    return userfault;
}

bool kmw_userfault_register(int userfault, const void *start, size_t length, uint64_t mode) {
    struct uffdio_register range = {.range = {(uintptr_t)start, length}, .mode = mode};
    return ioctl(userfault, UFFDIO_REGISTER, &range) == 0;
}

bool kmw_userfault_unregister(int userfault, const void *start, size_t length) {
    struct uffdio_range range = {(uintptr_t)start, length};
    return ioctl(userfault, UFFDIO_UNREGISTER, &range) == 0;
}

DWORD kmw_userfault_error(int error) {
    return kmw_page_map_error(error);
}
