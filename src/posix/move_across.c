/*
 * move_across.c - moving a file to another file system: copy, put in place, delete the original.
 *
 * The copy is made beside the target under a name of its own, so that the target appears whole or
 * not at all. It has the original's contents, holes, permissions, times and, where that is allowed,
 * owner; extended attributes are not copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file_facts.h"
#include "file_names.h"
#include "last_error.h"
#include "sharing.h"
#include "signal_hold.h"
#include "text.h"

enum { BUFFER_SIZE = 256 * 1024 };

/* 0 or errno. */
static int write_all(int to, const char *from, size_t length, off_t offset) {
    while (length > 0) {
        ssize_t done = pwrite(to, from, length, offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? errno : EIO;
        }
        from += done;
        length -= (size_t)done;
        offset += done;
    }
    return 0;
}

/* Copies [offset, end), or less if the file ends before. */
static int copy_run(int from, int to, off_t offset, off_t end, char *buffer) {
    while (offset < end) {
        size_t length = end - offset < BUFFER_SIZE ? (size_t)(end - offset) : BUFFER_SIZE;
        ssize_t got = pread(from, buffer, length, offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? errno : 0;
        }
        int error = write_all(to, buffer, (size_t)got, offset);
        if (error != 0) {
            return error;
        }
        offset += got;
    }
    return 0;
}

/* The next run of data at or behind `offset`, the whole rest where holes are not known. */
static bool next_run(int from, off_t offset, off_t size, off_t *start, off_t *end) {
    *start = offset;
    *end = size;
#if defined(SEEK_DATA)
    off_t data = lseek(from, offset, SEEK_DATA);
    if (data < 0) {
        return errno != ENXIO; /* that is: nothing but a hole */
    }
    off_t hole = lseek(from, data, SEEK_HOLE);
    *start = data;
    *end = hole < 0 || hole > size ? size : hole;
#endif
    return *start < size;
}

static int copy_contents(int from, int to, off_t size) {
    char *buffer = malloc(BUFFER_SIZE);
    if (buffer == NULL) {
        return ENOMEM;
    }
    int error = ftruncate(to, size) == 0 ? 0 : errno;
    off_t start = 0;
    off_t end = 0;
    while (error == 0 && end < size && next_run(from, end, size, &start, &end)) {
        error = copy_run(from, to, start, end, buffer);
    }
    free(buffer);
    return error;
}

static int copy_facts(int to, const struct stat *facts) {
    mode_t mode = facts->st_mode & 07777;
    if (fchown(to, facts->st_uid, facts->st_gid) != 0) {
        mode &= ~(mode_t)(S_ISUID | S_ISGID); /* those were given for the other owner */
    }
    if (fchmod(to, mode) != 0) {
        return errno;
    }
    struct timespec times[2];
#if defined(__APPLE__)
    times[0] = facts->st_atimespec;
    times[1] = facts->st_mtimespec;
#else
    times[0] = facts->st_atim;
    times[1] = facts->st_mtim;
#endif
    return futimens(to, times) == 0 ? 0 : errno;
}

/* A fresh file beside `to`; its name in `name`. -1 and errno. */
static int open_draft(const char *to, kmw_path *name) {
    kmw_path parent;
    kmw_name_parent(to, &parent);
    int length = snprintf(name->text, sizeof name->text, "%s/.km-XXXXXX", parent.text);
    if (length < 0 || (size_t)length >= sizeof name->text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkostemp(name->text, O_CLOEXEC);
}

/* Writes the copy and gives it the name. `source` as opened to read. */
static DWORD copy_across(int source, const char *from, const struct stat *facts, const char *to,
                         bool replace, bool durable) {
    kmw_path draft;
    int target = open_draft(to, &draft);
    if (target < 0) {
        return kmw_name_error(errno, from, to);
    }
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    int error = copy_contents(source, target, facts->st_size);
    if (error == 0) {
        error = copy_facts(target, facts);
    }
    if (error == 0 && durable && fsync(target) != 0) {
        error = errno;
    }
    kmw_signal_hold_end(&hold);
    if (close(target) != 0 && error == 0) {
        error = errno;
    }
    if (error == 0) {
        error = kmw_name_rename(draft.text, to, replace);
    }
    if (error != 0) {
        (void)unlink(draft.text); /* the first error is the one to tell */
        return kmw_name_error(error, from, to);
    }
    return durable ? kmw_name_sync(to) : ERROR_SUCCESS;
}

/* Nobody may write to what is copied, nor begin to. */
DWORD kmw_move_across(const char *from, const char *to, bool replace, bool durable) {
    int source = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (source < 0) {
        return kmw_error_of_errno(errno);
    }
    DWORD error = kmw_sharing_claim_name(source, FILE_READ_DATA, KMW_SHARE_ALL & ~FILE_SHARE_WRITE);
    struct stat facts;
    if (error == ERROR_SUCCESS && fstat(source, &facts) != 0) {
        error = kmw_error_of_errno(errno);
    }
    if (error == ERROR_SUCCESS) {
        error = copy_across(source, from, &facts, to, replace, durable);
    }
    if (error == ERROR_SUCCESS && !kmw_sharing_is_mapped(source)) {
        (void)unlink(from); /* as promised: staying is no failure */
    }
    close(source);
    return error;
}
