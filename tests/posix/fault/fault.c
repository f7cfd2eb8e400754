/*
 * fault.c - the wrappers behind fault.h.
 *
 * Each wrapped call is one line of a table below. A call that cleans up (close, munmap, free) is
 * never made to fail by a sweep: what it guards would then be lost by the test's own doing.
 */
#include "fault.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct fault_plan {
    unsigned kinds; /* 0: disarmed */
    const char *only;
    unsigned left; /* calls until the fault; 0: it has struck */
    int error;
    bool from_then_on;
    const char *victim;
} fault_plan;

static _Thread_local fault_plan plan;
static atomic_long outstanding;

static void arm(unsigned kinds, const char *only, unsigned k, int error, bool from_then_on) {
    plan = (fault_plan){kinds, only, k, error, from_then_on, NULL};
}

void fault_arm(fault_kind kind, unsigned k, int error, bool from_then_on) {
    arm(kind, NULL, k, error, from_then_on);
}

void fault_arm_call(const char *name, unsigned k, int error, bool from_then_on) {
    arm(FAULT_ALLOCATIONS | FAULT_SYSTEM, name, k, error, from_then_on);
}

bool fault_disarm(void) {
    plan.kinds = 0;
    return plan.victim != NULL;
}

const char *fault_victim(void) {
    return plan.victim != NULL ? plan.victim : "none";
}

long fault_outstanding_allocations(void) {
    return atomic_load(&outstanding);
}

/* Is it this call's turn to fail? Sets errno then. */
static bool strikes(fault_kind kind, const char *name) {
    if ((plan.kinds & kind) == 0 || (plan.only != NULL && strcmp(plan.only, name) != 0)) {
        return false;
    }
    if (plan.left == 0) {
        if (!plan.from_then_on) {
            return false;
        }
    } else if (--plan.left > 0) {
        return false;
    }
    if (plan.victim == NULL) {
        plan.victim = name;
    }
    errno = plan.error;
    return true;
}

/* ---- Memory ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void __wrap_free(void *memory);

static void *counted(void *memory) {
    if (memory != NULL) {
        atomic_fetch_add(&outstanding, 1);
    }
    return memory;
}

void *__wrap_malloc(size_t size) {
    return strikes(FAULT_ALLOCATIONS, "malloc") ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return strikes(FAULT_ALLOCATIONS, "calloc") ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size) {
    if (strikes(FAULT_ALLOCATIONS, "realloc")) {
        return NULL;
    }
    void *grown = __real_realloc(memory, size);
    return memory == NULL ? counted(grown) : grown;
}

char *__wrap_strdup(const char *text) {
    return strikes(FAULT_ALLOCATIONS, "strdup") ? NULL : counted(__real_strdup(text));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    if (strikes(FAULT_ALLOCATIONS, "posix_memalign")) {
        return ENOMEM;
    }
    const int error = __real_posix_memalign(memory, alignment, size);
    if (error == 0) {
        (void)counted(*memory);
    }
    return error;
}

void __wrap_free(void *memory) {
    if (memory != NULL) {
        atomic_fetch_sub(&outstanding, 1);
    }
    __real_free(memory);
}

/* ---- System calls ---- */

/* X(result, name, parameters, arguments, result of a failure) */
#define SYSTEM_CALLS(X)                                                                            \
    X(int, fstat, (int d, struct stat *facts), (d, facts), -1)                                     \
    X(int, fstat64, (int d, struct stat *facts), (d, facts), -1)                                   \
    X(int, stat, (const char *path, struct stat *facts), (path, facts), -1)                        \
    X(int, stat64, (const char *path, struct stat *facts), (path, facts), -1)                      \
    X(int, lstat, (const char *path, struct stat *facts), (path, facts), -1)                       \
    X(int, lstat64, (const char *path, struct stat *facts), (path, facts), -1)                     \
    X(int, ftruncate, (int d, off_t size), (d, size), -1)                                          \
    X(int, ftruncate64, (int d, off_t size), (d, size), -1)                                        \
    X(int, fallocate, (int d, int mode, off_t at, off_t size), (d, mode, at, size), -1)            \
    X(int, fallocate64, (int d, int mode, off_t at, off_t size), (d, mode, at, size), -1)          \
    X(void *, mmap, (void *at, size_t n, int prot, int flags, int d, off_t offset),                \
      (at, n, prot, flags, d, offset), MAP_FAILED)                                                 \
    X(void *, mmap64, (void *at, size_t n, int prot, int flags, int d, off_t offset),              \
      (at, n, prot, flags, d, offset), MAP_FAILED)                                                 \
    X(int, mprotect, (void *at, size_t n, int prot), (at, n, prot), -1)                            \
    X(int, madvise, (void *at, size_t n, int advice), (at, n, advice), -1)                         \
    X(int, mlock, (const void *at, size_t n), (at, n), -1)                                         \
    X(int, msync, (void *at, size_t n, int flags), (at, n, flags), -1)                             \
    X(int, sync_file_range, (int d, off64_t at, off64_t n, unsigned flags), (d, at, n, flags), -1) \
    X(int, fsync, (int d), (d), -1)                                                                \
    X(int, fdatasync, (int d), (d), -1)                                                            \
    X(ssize_t, read, (int d, void *to, size_t n), (d, to, n), -1)                                  \
    X(ssize_t, write, (int d, const void *from, size_t n), (d, from, n), -1)                       \
    X(ssize_t, pread, (int d, void *to, size_t n, off_t at), (d, to, n, at), -1)                   \
    X(ssize_t, pread64, (int d, void *to, size_t n, off_t at), (d, to, n, at), -1)                 \
    X(ssize_t, pwrite, (int d, const void *from, size_t n, off_t at), (d, from, n, at), -1)        \
    X(ssize_t, pwrite64, (int d, const void *from, size_t n, off_t at), (d, from, n, at), -1)      \
    X(off_t, lseek, (int d, off_t at, int method), (d, at, method), -1)                            \
    X(off_t, lseek64, (int d, off_t at, int method), (d, at, method), -1)                          \
    X(int, link, (const char *from, const char *to), (from, to), -1)                               \
    X(int, linkat, (int d, const char *from, int e, const char *to, int flags),                    \
      (d, from, e, to, flags), -1)                                                                 \
    X(int, rename, (const char *from, const char *to), (from, to), -1)                             \
    X(int, renameat2, (int d, const char *from, int e, const char *to, unsigned flags),            \
      (d, from, e, to, flags), -1)                                                                 \
    X(int, fchmod, (int d, mode_t mode), (d, mode), -1)                                            \
    X(int, fchown, (int d, uid_t user, gid_t group), (d, user, group), -1)                         \
    X(int, statvfs, (const char *path, struct statvfs *facts), (path, facts), -1)                  \
    X(int, statvfs64, (const char *path, struct statvfs *facts), (path, facts), -1)                \
    X(int, fstatvfs, (int d, struct statvfs *facts), (d, facts), -1)                               \
    X(int, fstatvfs64, (int d, struct statvfs *facts), (d, facts), -1)                             \
    X(ssize_t, process_vm_readv,                                                                   \
      (pid_t pid, const struct iovec *to, unsigned long m, const struct iovec *from,               \
       unsigned long n, unsigned long flags),                                                      \
      (pid, to, m, from, n, flags), -1)                                                            \
    X(ssize_t, process_vm_writev,                                                                  \
      (pid_t pid, const struct iovec *from, unsigned long m, const struct iovec *to,               \
       unsigned long n, unsigned long flags),                                                      \
      (pid, from, m, to, n, flags), -1)                                                            \
    X(ssize_t, copy_file_range,                                                                    \
      (int d, off64_t *from, int e, off64_t *to, size_t n, unsigned flags),                        \
      (d, from, e, to, n, flags), -1)                                                              \
    X(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)                    \
    X(int, pipe2, (int *ends, int flags), (ends, flags), -1)                                       \
    X(int, pthread_create,                                                                         \
      (pthread_t * thread, const pthread_attr_t *with, void *(*run)(void *), void *arg),           \
      (thread, with, run, arg), errno)                                                             \
    X(int, pthread_condattr_setclock, (pthread_condattr_t * with, clockid_t clock), (with, clock), \
      errno)                                                                                       \
    X(int, sched_getaffinity, (pid_t pid, size_t n, cpu_set_t * set), (pid, n, set), -1)           \
    X(ssize_t, getrandom, (void *to, size_t n, unsigned flags), (to, n, flags), -1)

#define DEFINE_WRAPPER(type, name, parameters, arguments, failure)                                 \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        return strikes(FAULT_SYSTEM, #name) ? (failure) : __real_##name arguments;                 \
    }
SYSTEM_CALLS(DEFINE_WRAPPER)

/* It allocates, out of the linker's sight. */
char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved) {
    if (strikes(FAULT_SYSTEM, "realpath")) {
        return NULL;
    }
    char *found = __real_realpath(path, resolved);
    return resolved == NULL ? counted(found) : found;
}

/*
 * Calls with an optional last argument. It is passed on as a pointer-sized word whether given or
 * not, which every calling convention we test on allows for these.
 */
#define DEFINE_VARIADIC(name, parameters, last, ...)                                               \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters {                                                                 \
        va_list rest;                                                                              \
        va_start(rest, last);                                                                      \
        void *extra = va_arg(rest, void *);                                                        \
        va_end(rest);                                                                              \
        return strikes(FAULT_SYSTEM, #name) ? -1 : __real_##name(__VA_ARGS__, extra);              \
    }
DEFINE_VARIADIC(open, (const char *path, int flags, ...), flags, path, flags)
DEFINE_VARIADIC(open64, (const char *path, int flags, ...), flags, path, flags)
DEFINE_VARIADIC(openat, (int d, const char *path, int flags, ...), flags, d, path, flags)
DEFINE_VARIADIC(openat64, (int d, const char *path, int flags, ...), flags, d, path, flags)
DEFINE_VARIADIC(fcntl, (int d, int what, ...), what, d, what)
DEFINE_VARIADIC(fcntl64, (int d, int what, ...), what, d, what)
DEFINE_VARIADIC(ioctl, (int d, unsigned long what, ...), what, d, what)
