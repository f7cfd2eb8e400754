/*
 * platform_blocks_posix.c - holes, clones and copies inside the kernel: "Blocks" of platform.h, on
 * POSIX systems.
 */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#endif

#include "file.h"
#include "last_error.h"
#include "size.h"
#include "text.h"

/* stat(2) counts blocks of this size, whatever the file system's own. */
#define STAT_BLOCK 512u

DWORD km_platform_set_sparse(HANDLE file) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, FILE_WRITE_DATA, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    atomic_store(&opened->sparse, true);
    kmw_use_end(use);
    return ERROR_SUCCESS;
}

DWORD km_platform_allocated(HANDLE file, uint64_t *bytes) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    DWORD error = ERROR_SUCCESS;
    struct stat status;
    if (fstat(opened->descriptor, &status) == 0) {
        *bytes = (uint64_t)status.st_blocks * STAT_BLOCK;
    } else {
        error = kmw_error_of_errno(errno);
    }
    kmw_use_end(use);
    return error;
}

DWORD km_platform_disk_free(HANDLE file, uint64_t *bytes) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    DWORD error = ERROR_SUCCESS;
    struct statvfs status;
    if (fstatvfs(opened->descriptor, &status) == 0) {
        *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    } else {
        error = kmw_error_of_errno(errno);
    }
    kmw_use_end(use);
    return error;
}

/* ---- The longest file ---------------------------------------------------------------------- */

/* A process may have a limit of its own. Going past it is answered by a signal, SIGXFSZ. */
static bool is_past_own_limit(uint64_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           size > limit.rlim_cur;
}

#ifdef __linux__
/* FAT counts a file's bytes in 32 bits; it is the one file system in use that cannot be asked. */
static bool is_fat(const char *directory) {
    struct statfs status;
    return statfs(directory, &status) == 0 && status.f_type == MSDOS_SUPER_MAGIC;
}

/* Only the file system knows its limit, and says it when a file is made that long. */
static DWORD try_size(const char *directory, off_t size) {
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return is_fat(directory) && size > (off_t)UINT32_MAX ? ERROR_FILE_TOO_LARGE : ERROR_SUCCESS;
    }
    bool too_large = ftruncate(descriptor, size) != 0 && (errno == EFBIG || errno == EINVAL);
    close(descriptor);
    return too_large ? ERROR_FILE_TOO_LARGE : ERROR_SUCCESS;
}
#else
static DWORD try_size(const char *directory, off_t size) {
    (void)directory;
    (void)size;
    return ERROR_SUCCESS;
}
#endif

DWORD km_platform_size_allowed(const WCHAR *directory, uint64_t size) {
    kmw_path path;
    DWORD error = kmw_path_from_utf16(directory, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (size > KM_SIZE_MAX || is_past_own_limit(size)) {
        return ERROR_FILE_TOO_LARGE;
    }
    return try_size(path.text, (off_t)size);
}

/*
 * File systems let nobody go to a position that no file of theirs can have. Asked of another
 * description, since the file pointer is the handle's.
 */
static bool is_past_positions(const kmw_file *file, off_t size) {
    int descriptor = kmw_file_reopen(file, O_RDONLY);
    if (descriptor < 0) {
        return false;
    }
    bool past = lseek(descriptor, size, SEEK_SET) < 0 && (errno == EINVAL || errno == EOVERFLOW);
    close(descriptor);
    return past;
}

DWORD km_platform_growth_allowed(HANDLE file, uint64_t size) {
    if (size > KM_SIZE_MAX || is_past_own_limit(size)) {
        return ERROR_FILE_TOO_LARGE;
    }
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, FILE_WRITE_DATA, &opened);
    if (use.object == NULL) {
        return ERROR_SUCCESS;
    }
    bool past = is_past_positions(opened, (off_t)size);
    kmw_use_end(use);
    return past ? ERROR_FILE_TOO_LARGE : ERROR_SUCCESS;
}

/* ---- Holes --------------------------------------------------------------------------------- */

#if defined(SEEK_DATA) && defined(SEEK_HOLE)
static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Sets [*start, *end), which the caller has set to all of the rest. Where a run of data ends is
 * asked only if somebody wants to know: tmpfs walks through all of its pages to tell. */
static DWORD seek_data(int descriptor, uint64_t size, uint64_t *start, uint64_t *end) {
    const off_t data = lseek(descriptor, (off_t)*start, SEEK_DATA);
    const bool is_run = data >= 0 && (uint64_t)data < size;
    const off_t hole = is_run && end != NULL ? lseek(descriptor, data, SEEK_HOLE) : data;
    if (hole >= 0) {
        *start = smaller((uint64_t)data, size);
        if (end != NULL) {
            *end = smaller(is_run ? (uint64_t)hole : size, size);
        }
        return ERROR_SUCCESS;
    }
    if (errno == ENXIO) { /* nothing but a hole, or nothing at all, behind the offset */
        *start = size;
        return ERROR_SUCCESS;
    }
    /* A system call that this file system does not have leaves the rest as one run. */
    return errno == EINVAL || errno == EOPNOTSUPP ? ERROR_SUCCESS : kmw_error_of_errno(errno);
}
#else
static DWORD seek_data(int descriptor, uint64_t size, uint64_t *start, uint64_t *end) {
    (void)descriptor;
    (void)size;
    (void)start;
    (void)end;
    return ERROR_SUCCESS;
}
#endif

static void report_run(uint64_t from, uint64_t to, uint64_t *start, uint64_t *end) {
    *start = from;
    if (end != NULL) {
        *end = to;
    }
}

DWORD km_platform_next_data(HANDLE file, uint64_t offset, uint64_t size, uint64_t *start,
                            uint64_t *end) {
    uint64_t from = offset;
    uint64_t to = size;
    if (offset >= size) {
        report_run(size, size, start, end);
        return ERROR_SUCCESS;
    }
    if (offset > KM_SIZE_MAX) {
        return ERROR_INVALID_PARAMETER;
    }
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    DWORD error = seek_data(opened->descriptor, size, &from, end != NULL ? &to : NULL);
    kmw_use_end(use);
    if (error == ERROR_SUCCESS) {
        report_run(from, to, start, end);
    }
    return error;
}

/* ---- Between two files --------------------------------------------------------------------- */

typedef struct file_pair {
    kmw_file *from;
    kmw_file *to;
    kmw_use from_use;
    kmw_use to_use;
} file_pair;

static DWORD use_pair(file_pair *pair, HANDLE from, HANDLE to) {
    pair->from_use = kmw_file_use(from, FILE_READ_DATA, &pair->from);
    if (pair->from_use.object == NULL) {
        return GetLastError();
    }
    pair->to_use = kmw_file_use(to, FILE_WRITE_DATA, &pair->to);
    if (pair->to_use.object == NULL) {
        kmw_use_end(pair->from_use);
        return GetLastError();
    }
    return ERROR_SUCCESS;
}

static void end_pair(const file_pair *pair) {
    kmw_use_end(pair->to_use);
    kmw_use_end(pair->from_use);
}

/*
 * What the kernel says when it cannot do this between these two files: no such call (ENOSYS; EPERM
 * from a sandbox), no such thing on this file system, two file systems, a swap file. Whoever may
 * really not write gets the same answer again from the plain write that comes next.
 */
static bool means_unsupported(int error) {
    switch (error) {
    case ENOSYS:
    case EPERM:
    case EOPNOTSUPP:
    case ENOTTY:
    case EXDEV:
    case EINVAL:
    case ETXTBSY:
        return true;
    default:
        return false;
    }
}

#ifdef FICLONE
static DWORD clone_file(int from, int to) {
    struct stat status;
    if (fstat(from, &status) != 0) {
        return kmw_error_of_errno(errno);
    }
    /* The clone would be as long at once; whoever sets the size in another way is told in words. */
    if (is_past_own_limit((uint64_t)status.st_size)) {
        return ERROR_NOT_SUPPORTED;
    }
    if (ioctl(to, FICLONE, from) == 0) {
        return ERROR_SUCCESS;
    }
    return means_unsupported(errno) ? ERROR_NOT_SUPPORTED : kmw_error_of_errno(errno);
}
#else
static DWORD clone_file(int from, int to) {
    (void)from;
    (void)to;
    return ERROR_NOT_SUPPORTED;
}
#endif

DWORD km_platform_opened_size(HANDLE file, uint64_t *size) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return ERROR_INVALID_HANDLE;
    }
    *size = (uint64_t)opened->opened_size;
    kmw_use_end(use);
    return ERROR_SUCCESS;
}

/* A file written as a whole is cached in large folios, and a store dirties the whole of one. */
void km_platform_uncache(HANDLE file) {
#if defined(POSIX_FADV_DONTNEED)
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object != NULL) {
        (void)posix_fadvise(opened->descriptor, 0, 0, POSIX_FADV_DONTNEED);
        kmw_use_end(use);
    }
#else
    (void)file;
#endif
}

DWORD km_platform_bypass_cache(HANDLE file, bool bypass) {
#if defined(O_DIRECT)
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, FILE_WRITE_DATA, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    const int flags = fcntl(opened->descriptor, F_GETFL);
    const int wanted = bypass ? flags | O_DIRECT : flags & ~O_DIRECT;
    const bool set = flags >= 0 && fcntl(opened->descriptor, F_SETFL, wanted) == 0;
    kmw_use_end(use);
    return set ? ERROR_SUCCESS : ERROR_NOT_SUPPORTED;
#else
    (void)file;
    (void)bypass;
    return ERROR_NOT_SUPPORTED;
#endif
}

DWORD km_platform_clone(HANDLE from, HANDLE to) {
    file_pair pair;
    DWORD error = use_pair(&pair, from, to);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = clone_file(pair.from->descriptor, pair.to->descriptor);
    end_pair(&pair);
    return error;
}

#ifdef __linux__
static DWORD copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t length,
                        uint64_t *copied) {
    off_t start = from_offset;
    ssize_t count = 0;
    do {
        count = copy_file_range(from, &from_offset, to, &to_offset, length, 0);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return means_unsupported(errno) ? ERROR_NOT_SUPPORTED : kmw_error_of_errno(errno);
    }
    if (count == 0) {
        /* Some file systems that make their files up say 0 although there is more to read. */
        struct stat status;
        if (fstat(from, &status) != 0) {
            return kmw_error_of_errno(errno);
        }
        if (status.st_size > start) {
            return ERROR_NOT_SUPPORTED;
        }
    }
    *copied = (uint64_t)count;
    return ERROR_SUCCESS;
}
#else
static DWORD copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t length,
                        uint64_t *copied) {
    (void)from, (void)from_offset, (void)to, (void)to_offset, (void)length, (void)copied;
    return ERROR_NOT_SUPPORTED;
}
#endif

DWORD km_platform_copy_range(HANDLE from, uint64_t from_offset, HANDLE to, uint64_t to_offset,
                             uint64_t length, uint64_t *copied) {
    if (from_offset > KM_SIZE_MAX || to_offset > KM_SIZE_MAX || !km_size_addressable(length)) {
        return ERROR_INVALID_PARAMETER;
    }
    file_pair pair;
    DWORD error = use_pair(&pair, from, to);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = copy_range(pair.from->descriptor, (off_t)from_offset, pair.to->descriptor,
                       (off_t)to_offset, (size_t)length, copied);
    end_pair(&pair);
    return error;
}
