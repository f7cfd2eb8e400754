/*
 * process_memory.c - ReadProcessMemory and WriteProcessMemory on oneself.
 *
 * The kernel copies: where a load or a store would raise a signal (no memory there, no permission,
 * no file behind the page any more), its copy just ends.
 */
#include "process_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "handle_table.h"
#include "last_error.h"

/* The address may be any, NULL as well, of which C's own arithmetic wants to know nothing. */
static void *behind(const void *address, size_t bytes) {
    return (void *)((uintptr_t)address + bytes);
}

#if defined(__linux__)
int kmw_copy_through_kernel(void *to, const void *from, size_t length, size_t *done) {
    const pid_t self = getpid();
    *done = 0;
    while (*done < length) {
        const struct iovec target = {behind(to, *done), length - *done};
        const struct iovec source = {behind(from, *done), length - *done};
        const ssize_t copied = process_vm_readv(self, &target, 1, &source, 1, 0);
        if (copied < 0) {
            return errno;
        }
        if (copied == 0) {
            return EFAULT;
        }
        *done += (size_t)copied;
    }
    return 0;
}
#endif

/* How far it is to where either side comes to another page: until there all or nothing is copied.
 */
static size_t piece(const char *to, const char *from, size_t left, size_t page_size) {
    const size_t to_end = page_size - (uintptr_t)to % page_size;
    const size_t from_end = page_size - (uintptr_t)from % page_size;
    const size_t end = to_end < from_end ? to_end : from_end;
    return end < left ? end : left;
}

/* The pipe is empty, and holds a page: neither call can wait. */
static int copy_piece(const int ends[2], char *to, const char *from, size_t length) {
    const ssize_t in = write(ends[1], from, length);
    if (in != (ssize_t)length) {
        return in < 0 ? errno : EFAULT;
    }
    const ssize_t out = read(ends[0], to, length);
    if (out != (ssize_t)length) {
        return out < 0 ? errno : EFAULT;
    }
    return 0;
}

int kmw_copy_through_pipe(void *to, const void *from, size_t length, size_t *done) {
    const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    int ends[2];
    *done = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    int error = 0;
    while (*done < length && error == 0) {
        char *target = behind(to, *done);
        const char *source = behind(from, *done);
        const size_t bytes = piece(target, source, length - *done, page_size);
        error = copy_piece(ends, target, source, bytes);
        *done += error == 0 ? bytes : 0;
    }
    close(ends[0]);
    close(ends[1]);
    return error;
}

static int copy(void *to, const void *from, size_t length, size_t *done) {
#if defined(__linux__)
    /* Sandboxes forbid it at times, though one could as well use memcpy. */
    const int error = kmw_copy_through_kernel(to, from, length, done);
    if (error != EPERM && error != ENOSYS) {
        return error;
    }
#endif
    return kmw_copy_through_pipe(to, from, length, done);
}

/* `unreachable`: what it is called if not even the first byte could be copied. */
static BOOL copy_memory(HANDLE process, void *to, const void *from, size_t length, SIZE_T *done,
                        DWORD unreachable) {
    if (!kmw_is_current_process(process)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    size_t copied = 0;
    const int error = copy(to, from, length, &copied);
    if (done != NULL) {
        *done = copied;
    }
    if (error == 0) {
        return TRUE;
    }
    if (error != EFAULT && error != ENOMEM) {
        return kmw_fail_errno(error);
    }
    return kmw_fail(copied == 0 ? unreachable : ERROR_PARTIAL_COPY);
}

BOOL ReadProcessMemory(HANDLE process, LPCVOID from, LPVOID to, SIZE_T length, SIZE_T *done) {
    return copy_memory(process, to, from, length, done, ERROR_PARTIAL_COPY);
}

BOOL WriteProcessMemory(HANDLE process, LPVOID to, LPCVOID from, SIZE_T length, SIZE_T *done) {
    return copy_memory(process, to, from, length, done, ERROR_NOACCESS);
}
