/*
 * section_memory.c - the bytes of pagefile-backed sections: made, and really there.
 */
#include "section_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "file_mutexes.h"
#include "large_pages.h"
#include "last_error.h"
#include "signal_hold.h"
#include "size.h"
#include "view.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

/* Allocated in one go: much takes the kernel long, and others take memory meanwhile. */
#define STEP ((uint64_t)64 << 20)
/* The kernel begins a step anew when a signal comes; a short one is done between any two. */
#define SHORTEST_STEP ((uint64_t)64 << 10)

/* ---- What was refused ---- */

static _Thread_local kmw_commit_refusal last_refusal;

DWORD kmw_commit_refuse(DWORD error, uint64_t asked, kmw_room room) {
    last_refusal = (kmw_commit_refusal){asked, room.free, room.limit};
    return error;
}

kmw_commit_refusal kmw_commit_refusal_last(void) {
    return last_refusal;
}

/* ---- Looking first ---- */

/*
 * Bytes that this process may still take before it looks again: soon, and not in a child, since
 * others look and take meanwhile. `until` is in GetTickCount64's milliseconds.
 */
static _Atomic uint64_t credit;
static _Atomic uint64_t credit_until;
static _Atomic unsigned credit_forks;

#define CREDIT_MS ((uint64_t)50)

static void give_credit(uint64_t size) {
    atomic_store_explicit(&credit_until, GetTickCount64() + CREDIT_MS, memory_order_relaxed);
    atomic_store_explicit(&credit_forks, kmw_fork_count(), memory_order_relaxed);
    atomic_store_explicit(&credit, size, memory_order_relaxed);
}

static bool take_credit(uint64_t size) {
    uint64_t left = atomic_load_explicit(&credit, memory_order_relaxed);
    if (left < size ||
        atomic_load_explicit(&credit_until, memory_order_relaxed) < GetTickCount64() ||
        atomic_load_explicit(&credit_forks, memory_order_relaxed) != kmw_fork_count()) {
        return false;
    }
    while (left >= size) {
        if (atomic_compare_exchange_weak_explicit(&credit, &left, left - size, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

bool kmw_section_memory_admit(uint64_t size) {
    return size <= KMW_GRANULARITY && take_credit(size);
}

/* May `size` more bytes be taken? After a look that allows it, small ones have credit again. */
static DWORD ask_for(int descriptor, uint64_t size) {
    if (kmw_section_memory_admit(size)) {
        return ERROR_SUCCESS;
    }
    const kmw_room room = kmw_memory_room(descriptor);
    const bool fits = size <= room.free;
    give_credit(fits ? KMW_CREDIT : 0);
    return fits ? ERROR_SUCCESS : kmw_commit_refuse(ERROR_COMMITMENT_LIMIT, size, room);
}

/* RLIMIT_FSIZE counts for files in memory as for others. */
static kmw_room file_size_room(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > KM_SIZE_MAX) {
        return (kmw_room){KM_SIZE_MAX, KMW_LIMIT_SIZE};
    }
    return (kmw_room){limit.rlim_cur, KMW_LIMIT_FILE_SIZE};
}

/* The system has refused what was asked for although there seemed to be enough. */
DWORD kmw_section_memory_refused(int descriptor, int error, uint64_t size) {
    if (error == EFBIG) {
        return kmw_commit_refuse(ERROR_COMMITMENT_LIMIT, size, file_size_room());
    }
    if (error != ENOSPC && error != ENOMEM && error != EDQUOT) {
        return kmw_error_of_errno(error);
    }
    atomic_store_explicit(&credit, 0, memory_order_relaxed);
    kmw_room room = kmw_memory_room(descriptor);
    if (error == EDQUOT) {
        room = (kmw_room){0, KMW_LIMIT_FILE_SYSTEM};
    } else if (room.free >= size) {
        room.limit = KMW_LIMIT_NONE; /* somebody has just given back what was missing */
    }
    return kmw_commit_refuse(ERROR_COMMITMENT_LIMIT, size, room);
}

/* ---- Allocating ---- */

/* For file systems that cannot allocate: zeros written over a part that has nothing in it. */
static int write_zeros(int descriptor, uint64_t offset, uint64_t size) {
    static const char zeros[65536];
    while (size > 0) {
        const size_t length = size < sizeof zeros ? (size_t)size : sizeof zeros;
        const ssize_t written = pwrite(descriptor, zeros, length, (off_t)offset);
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        const uint64_t done = written > 0 ? (uint64_t)written : 0;
        offset += done;
        size -= done;
    }
    return 0;
}

static bool cannot_allocate(int error) {
    return error == EOPNOTSUPP || error == ENOSYS;
}

static DWORD allocate(int descriptor, uint64_t offset, uint64_t size, bool born) {
    uint64_t longest = STEP;
    while (size > 0) {
        const uint64_t step = size < longest ? size : longest;
        const DWORD error = ask_for(descriptor, size);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        int failure = fallocate(descriptor, 0, (off_t)offset, (off_t)step) == 0 ? 0 : errno;
        if (cannot_allocate(failure) && born) {
            failure = write_zeros(descriptor, offset, step);
        }
        if (failure == EINTR) {
            longest = longest / 2 > SHORTEST_STEP ? longest / 2 : SHORTEST_STEP;
            continue;
        }
        if (failure != 0) {
            return kmw_section_memory_refused(descriptor, failure, size);
        }
        offset += step;
        size -= step;
    }
    return ERROR_SUCCESS;
}

DWORD kmw_section_memory_commit(int descriptor, uint64_t offset, uint64_t size, bool born) {
    if (!km_size_inside(offset, size, KM_SIZE_MAX)) {
        return kmw_commit_refuse(ERROR_COMMITMENT_LIMIT, size,
                                 (kmw_room){KM_SIZE_MAX, KMW_LIMIT_SIZE});
    }
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    const DWORD error = allocate(descriptor, offset, size, born);
    kmw_signal_hold_end(&hold);
    return error;
}

/* ---- The file ---- */

/* Older systems do not know the flag that says the file is no program. */
static int make_memfd(unsigned flags) {
    static atomic_bool without;
    if (!atomic_load_explicit(&without, memory_order_relaxed)) {
        int made = memfd_create("keepmap", MFD_CLOEXEC | MFD_NOEXEC_SEAL | flags);
        if (made >= 0 || errno != EINVAL) {
            return made;
        }
    }
    int made = memfd_create("keepmap", MFD_CLOEXEC | flags);
    if (made >= 0) {
        atomic_store_explicit(&without, true, memory_order_relaxed);
    }
    return made;
}

static int make_unnamed_file(void) {
    const char *chosen = secure_getenv("TMPDIR");
    const char *const directories[] = {"/dev/shm", chosen != NULL ? chosen : "/tmp", "/tmp"};
    int made = -1;
    for (size_t i = 0; made < 0 && i < sizeof directories / sizeof directories[0]; ++i) {
        made = open(directories[i], O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    }
    return made;
}

/* Refused: an old kernel, or a filter on system calls. */
static int make_file(void) {
    int made = make_memfd(0);
    if (made < 0 && (errno == ENOSYS || errno == EPERM || errno == EACCES)) {
        made = make_unnamed_file();
    }
    return made;
}

/* Gives a new file its length. errno, or 0. */
static int set_length(int descriptor, uint64_t length) {
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    int result;
    do {
        result = ftruncate(descriptor, (off_t)length);
    } while (result != 0 && errno == EINTR);
    kmw_signal_hold_end(&hold);
    return result == 0 ? 0 : errno;
}

static DWORD make_ordinary(uint64_t size, uint64_t record, bool reserve, int *descriptor) {
    const kmw_room room = file_size_room();
    uint64_t pages = 0;
    uint64_t length = 0;
    if (!km_size_align_up(size, kmw_page_size(), &pages) || !km_size_add(pages, record, &length) ||
        length > room.free) {
        const bool too_long = reserve && room.limit == KMW_LIMIT_SIZE;
        return too_long ? ERROR_NOT_ENOUGH_MEMORY
                        : kmw_commit_refuse(ERROR_COMMITMENT_LIMIT, size, room);
    }
    int made = make_file();
    if (made < 0) {
        return kmw_error_of_errno(errno);
    }
    DWORD error = ERROR_SUCCESS;
    const int failure = set_length(made, length);
    if (failure != 0) {
        error = kmw_section_memory_refused(made, failure, length);
    } else if (!reserve) {
        error = kmw_section_memory_commit(made, 0, pages, true);
    }
    if (error != ERROR_SUCCESS) {
        close(made);
        return error;
    }
    *descriptor = made;
    return ERROR_SUCCESS;
}

DWORD kmw_section_memory_make(uint64_t size, uint64_t record, DWORD flags, int *descriptor) {
    if ((flags & SEC_LARGE_PAGES) != 0) {
        return kmw_large_pages_make(size, descriptor);
    }
    return make_ordinary(size, record, (flags & SEC_RESERVE) != 0, descriptor);
}
