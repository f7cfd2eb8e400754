/*
 * file_io.c - reading, writing and flushing through a file handle.
 *
 * Without an OVERLAPPED a call works at the file pointer, which is the kernel's own, so that
 * duplicated handles and forked children share it. With one it works at its offset, and leaves the
 * file pointer behind what was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file.h"
#include "last_error.h"
#include "sharing.h"
#include "signal_hold.h"

/* A place in the file, or none: then it is the file pointer, or the end for appending. */
typedef struct place {
    bool given;
    bool at_end;
    off_t offset;
} place;

static bool can_seek(const kmw_file *file) {
    return S_ISREG(file->type) || S_ISBLK(file->type);
}

/* false: no file is so long. All bits set means the end, for writing. */
static bool find_place(const kmw_file *file, const OVERLAPPED *at, DWORD access, bool writing,
                       place *where) {
    *where = (place){.at_end = writing && !(access & FILE_WRITE_DATA)};
    if (at == NULL || !can_seek(file)) {
        return true;
    }
    uint64_t offset = (uint64_t)at->OffsetHigh << 32 | at->Offset;
    if (writing && offset == UINT64_MAX) {
        where->at_end = true;
    }
    if (where->at_end) {
        return true;
    }
    where->given = true;
    where->offset = (off_t)offset;
    return offset <= INT64_MAX;
}

/* Has somebody locked what is about to be read or written? */
static bool is_locked(kmw_file *file, const place *where, DWORD length, bool writing) {
    if (length == 0 || !S_ISREG(file->type) ||
        !kmw_file_is_locked(file, 0, KMW_SHARING_BASE, writing)) {
        return false; /* one question over everything, and usually no need to know where we are */
    }
    off_t offset = where->offset;
    if (!where->given) {
        struct stat facts;
        if (!where->at_end) {
            offset = lseek(file->descriptor, 0, SEEK_CUR);
        } else {
            offset = fstat(file->descriptor, &facts) == 0 ? facts.st_size : -1;
        }
    }
    if (offset < 0 || offset >= KMW_SHARING_BASE) {
        return false; /* the call itself will say what is wrong */
    }
    off_t room = KMW_SHARING_BASE - offset;
    return kmw_file_is_locked(file, offset, length < room ? (off_t)length : room, writing);
}

static ssize_t read_once(const kmw_file *file, char *to, size_t length, const place *where,
                         DWORD done) {
    ssize_t result;
    do {
        result = where->given ? pread(file->descriptor, to, length, where->offset + done)
                              : read(file->descriptor, to, length);
    } while (result < 0 && errno == EINTR);
    return result;
}

/* The end is found and used in one step where the system can. */
static ssize_t append_once(int descriptor, const char *from, size_t length) {
#if defined(RWF_APPEND)
    struct iovec vector = {(void *)(uintptr_t)from, length};
    ssize_t result = pwritev2(descriptor, &vector, 1, -1, RWF_APPEND);
    if (result >= 0 || (errno != ENOSYS && errno != EOPNOTSUPP && errno != EINVAL)) {
        return result;
    }
#endif
    if (lseek(descriptor, 0, SEEK_END) < 0 && errno != ESPIPE) {
        return -1;
    }
    return write(descriptor, from, length);
}

static ssize_t write_once(const kmw_file *file, const char *from, size_t length, const place *where,
                          DWORD done) {
    ssize_t result;
    do {
        if (where->at_end) {
            result = append_once(file->descriptor, from, length);
        } else if (where->given) {
            result = pwrite(file->descriptor, from, length, where->offset + done);
        } else {
            result = write(file->descriptor, from, length);
        }
    } while (result < 0 && errno == EINTR);
    return result;
}

/* As many bytes as there are, up to `length`; a pipe or a device gives what it has. */
static int read_all(const kmw_file *file, char *to, DWORD length, const place *where, DWORD *done) {
    while (*done < length) {
        ssize_t count = read_once(file, to + *done, length - *done, where, *done);
        if (count < 0) {
            return errno;
        }
        *done += (DWORD)count;
        if (count == 0 || !can_seek(file)) {
            return 0;
        }
    }
    return 0;
}

static int write_all(const kmw_file *file, const char *from, DWORD length, const place *where,
                     DWORD *done) {
    while (*done < length) {
        ssize_t count = write_once(file, from + *done, length - *done, where, *done);
        if (count < 0) {
            return errno;
        }
        if (count == 0) {
            return ENOSPC;
        }
        *done += (DWORD)count;
    }
    return 0;
}

/* The file pointer follows, as on a Windows handle that is not overlapped. */
static void finish_at(const kmw_file *file, const place *where, DWORD done, LPOVERLAPPED at) {
    if (at != NULL) {
        at->Internal = 0;
        at->InternalHigh = done;
    }
    if (where->given) {
        (void)lseek(file->descriptor, where->offset + done, SEEK_SET); /* it has just been there */
    }
}

static DWORD error_of_io(const kmw_file *file, int error) {
    switch (error) {
    case EBADF:
    case EISDIR:
        return ERROR_INVALID_FUNCTION; /* a directory or a link has no bytes to read or write */
    case EFBIG:
    case ENOSPC:
    case EDQUOT:
        return ERROR_DISK_FULL;
    case EPIPE:
        return ERROR_NO_DATA;
    case EINVAL:
        return can_seek(file) ? ERROR_INVALID_PARAMETER : ERROR_INVALID_FUNCTION;
    default:
        return kmw_error_of_errno(error);
    }
}

static DWORD read_file(kmw_file *file, DWORD access, void *to, DWORD length, DWORD *done,
                       LPOVERLAPPED at) {
    place where;
    if (!find_place(file, at, access, false, &where)) {
        return ERROR_INVALID_PARAMETER;
    }
    if (is_locked(file, &where, length, false)) {
        return ERROR_LOCK_VIOLATION;
    }
    int error = read_all(file, to, length, &where, done);
    if (error != 0 && *done == 0) {
        return error_of_io(file, error);
    }
    if (*done == 0 && length > 0) {
        if (S_ISFIFO(file->type) || S_ISSOCK(file->type)) {
            return ERROR_BROKEN_PIPE;
        }
        if (where.given) {
            return ERROR_HANDLE_EOF;
        }
    }
    finish_at(file, &where, *done, at);
    return ERROR_SUCCESS;
}

/* What the system would send besides an error; 0: nothing. */
static int signal_of_writing(const kmw_file *file) {
    if (S_ISREG(file->type)) {
        return kmw_signal_of_growth();
    }
    return S_ISFIFO(file->type) || S_ISSOCK(file->type) ? SIGPIPE : 0;
}

static DWORD write_file(kmw_file *file, DWORD access, const void *from, DWORD length, DWORD *done,
                        LPOVERLAPPED at) {
    place where;
    if (!(access & (FILE_WRITE_DATA | FILE_APPEND_DATA))) {
        return ERROR_ACCESS_DENIED;
    }
    if (!find_place(file, at, access, true, &where)) {
        return ERROR_INVALID_PARAMETER;
    }
    if (is_locked(file, &where, length, true)) {
        return ERROR_LOCK_VIOLATION;
    }
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, signal_of_writing(file));
    int error = write_all(file, from, length, &where, done);
    kmw_signal_hold_end(&hold);
    if (error == 0 || *done > 0) {
        finish_at(file, &where, *done, at);
    }
    return error == 0 ? ERROR_SUCCESS : error_of_io(file, error);
}

BOOL ReadFile(HANDLE handle, LPVOID to, DWORD length, LPDWORD done, LPOVERLAPPED at) {
    kmw_file *file;
    DWORD count = 0;
    if (done != NULL) {
        *done = 0; /* Windows does, before it looks at anything */
    } else if (at == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    kmw_use use = kmw_file_use(handle, FILE_READ_DATA, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error = read_file(file, use.access, to, length, &count, at);
    kmw_use_end(use);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    if (done != NULL) {
        *done = count;
    }
    return TRUE;
}

BOOL WriteFile(HANDLE handle, LPCVOID from, DWORD length, LPDWORD done, LPOVERLAPPED at) {
    kmw_file *file;
    DWORD count = 0;
    if (done != NULL) {
        *done = 0;
    } else if (at == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error = write_file(file, use.access, from, length, &count, at);
    kmw_use_end(use);
    if (done != NULL) {
        *done = count; /* a disk that fills up in the middle has taken the first part */
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

/* 0 or errno. */
static int sync_descriptor(int descriptor) {
    int result;
    do {
#if defined(F_FULLFSYNC)
        result = fcntl(descriptor, F_FULLFSYNC); /* fsync stops at the drive's cache there */
        if (result != 0 && errno != EINTR) {
            result = fsync(descriptor);
        }
#else
        result = fsync(descriptor);
#endif
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

BOOL FlushFileBuffers(HANDLE handle) {
    kmw_file *file;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error = ERROR_ACCESS_DENIED;
    if (use.access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) {
        int failed = sync_descriptor(file->descriptor);
        error = failed == 0 ? ERROR_SUCCESS : error_of_io(file, failed);
    }
    kmw_use_end(use);
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}
