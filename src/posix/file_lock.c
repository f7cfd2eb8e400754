/*
 * file_lock.c - LockFile(Ex) and UnlockFile(Ex).
 *
 * Between handles and between programs the kernel keeps the ranges, as locks of the handle's open
 * file description. It merges what Windows keeps apart, so a table a file remembers each range as
 * it was asked for, and the kernel is told what they come to. Windows' rules within one handle:
 *   - an exclusive range overlaps no other; a shared one overlaps anything, one's own exclusive
 *     range included;
 *   - a range is unlocked exactly as it was locked, exclusive ones first; every lock asks for one
 *     unlock;
 *   - a range of no bytes stands between two bytes: it conflicts with what spans both. Kept within
 *     the handle only.
 * A request that waits for somebody else's lock is in the table already, so that later requests
 * through the same handle queue up behind it rather than change what the kernel is asked for.
 *
 * A shared lock of another program keeps WriteFile out, an exclusive one ReadFile too
 * (kmw_file_is_locked); views are not concerned.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "last_error.h"
#include "sharing.h"

typedef struct kmw_lock_range {
    struct kmw_lock_range *next;
    uint64_t offset, length; /* as asked for */
    off_t first, last;       /* for the kernel */
    bool exclusive;
    bool held;           /* false: waiting for somebody else's lock */
    unsigned generation; /* the process whose thread waits */
} range;

#if !defined(F_OFD_SETLK)
/* A system without such locks: every call on them fails. */
#define F_OFD_SETLK (-1)
#define F_OFD_SETLKW (-1)
#define F_OFD_GETLK (-1)
#endif

/*
 * Windows' offsets are 64 bits; the kernel's are 63, and the upper half of those is sharing's. Up
 * to 2^61 they are the same. What is above, eight bytes for one, still excludes what it must; two
 * such ranges may then conflict that only lie close together.
 */
static off_t kernel_offset(uint64_t offset) {
    const uint64_t same = UINT64_C(1) << 61;
    return (off_t)(offset < same ? offset : same + (offset - same) / 8);
}

static void set_range(range *of, uint64_t offset, uint64_t length) {
    of->offset = offset;
    of->length = length;
    of->first = kernel_offset(offset);
    of->last = length > 0 ? kernel_offset(offset + (length - 1)) : of->first - 1;
}

/* Is the place right before byte `offset` left of the end of `of`? */
static bool ends_behind(const range *of, uint64_t offset) {
    return of->length > 0 ? offset <= of->offset + (of->length - 1) : offset < of->offset;
}

static bool overlap(const range *one, const range *other) {
    return ends_behind(one, other->offset) && ends_behind(other, one->offset);
}

static int lock_call(int descriptor, int command, struct flock *lock) {
    int result;
    do {
        result = fcntl(descriptor, command, lock);
    } while (result < 0 && errno == EINTR);
    if (result == 0) {
        return 0;
    }
    return errno == EACCES ? EAGAIN : errno;
}

static struct flock lock_of(short type, off_t first, off_t last) {
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = first, .l_len = last - first + 1};
}

/* With mutexes->ranges held, all below to acquire. */

static int descriptor_of_locks(const kmw_file *file) {
    return file->lock_descriptor >= 0 ? file->lock_descriptor : file->descriptor;
}

/* From `first` on, what the held ranges come to and how far, up to `last`. */
static struct flock wanted_at(const kmw_file *file, off_t first, off_t last) {
    short type = F_UNLCK;
    for (const range *r = file->lock_ranges; r != NULL; r = r->next) {
        if (!r->held || r->length == 0 || r->last < first || r->first > last) {
            continue;
        }
        if (r->first > first) {
            last = r->first - 1;
            continue;
        }
        if (r->last < last) {
            last = r->last;
        }
        if (r->exclusive || type == F_UNLCK) {
            type = r->exclusive ? F_WRLCK : F_RDLCK;
        }
    }
    return lock_of(type, first, last);
}

/*
 * Makes the kernel's locks from `first` to `last` what the table says. 0 or errno, with *refused
 * the piece that failed. Never refused where the table says less than before.
 */
static int settle(const kmw_file *file, int descriptor, off_t first, off_t last,
                  struct flock *refused) {
    while (first <= last) {
        struct flock piece = wanted_at(file, first, last);
        first = piece.l_start + piece.l_len;
        struct flock request = piece;
        int error = lock_call(descriptor, F_OFD_SETLK, &request);
        if (error != 0) {
            *refused = piece;
            return error;
        }
    }
    return 0;
}

/* After something was taken out of the table or is not to be held. */
static void settle_less(const kmw_file *file, const range *of) {
    struct flock refused;
    (void)settle(file, descriptor_of_locks(file), of->first, of->last, &refused);
}

static bool is_in_the_way(const range *other, const range *wanted) {
    if (!overlap(other, wanted)) {
        return false;
    }
    if (!other->held && other->generation != kmw_fork_generation()) {
        return false; /* a thread of the parent's waits for it there */
    }
    return wanted->exclusive || (other->exclusive && !other->held);
}

static bool conflicts_here(const kmw_file *file, const range *wanted) {
    for (const range *r = file->lock_ranges; r != NULL; r = r->next) {
        if (is_in_the_way(r, wanted)) {
            return true;
        }
    }
    return false;
}

static void insert(kmw_file *file, range *entry) {
    entry->next = file->lock_ranges;
    file->lock_ranges = entry;
}

static void take_out(kmw_file *file, range *entry) {
    range **link = &file->lock_ranges;
    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    pthread_cond_broadcast(&file->mutexes->ranges_changed);
}

/* All that the handle's own description holds. */
static void let_go(const kmw_file *file) {
    struct flock all = lock_of(F_UNLCK, 0, KMW_SHARING_BASE - 1);
    (void)lock_call(file->descriptor, F_OFD_SETLK, &all);
}

/*
 * The kernel wants a description that may write for exclusive locks, Windows does not. All locks
 * move to the new one, or those of the handle would stand in each other's way.
 */
static int move_to_writable(kmw_file *file) {
    int descriptor = kmw_file_reopen(file, O_RDWR);
    if (descriptor < 0) {
        return errno;
    }
    struct flock refused;
    int error = settle(file, descriptor, 0, KMW_SHARING_BASE - 1, &refused);
    if (error != 0) {
        close(descriptor);
        return error;
    }
    let_go(file);
    file->lock_descriptor = descriptor;
    return 0;
}

/*
 * The descriptions that a child made by fork finds are its parent's too, who would be let in by the
 * child's locks, and lose his own with its unlocks. So the child locks through one of its own, as
 * soon as it holds nothing any more that was locked before the fork: that is one lock of both. Not
 * while a thread here waits on the old one.
 */
static bool shares_with_parent(const kmw_file *file) {
    if (file->lock_generation == kmw_fork_generation()) {
        return false;
    }
    for (const range *r = file->lock_ranges; r != NULL; r = r->next) {
        if (r->held || r->generation == kmw_fork_generation()) {
            return false;
        }
    }
    return true;
}

static int reopen_for_ranges(const kmw_file *file) {
    const int descriptor = kmw_file_reopen_apart(file, O_RDWR);
    return descriptor >= 0 || file->writable
               ? descriptor
               : kmw_file_reopen_apart(file, O_RDONLY); /* exclusive ranges are out of reach */
}

/* If there cannot be another description, the parent's has to do. */
static void part_from_parent(kmw_file *file) {
    const int descriptor = reopen_for_ranges(file);
    if (descriptor < 0) {
        return;
    }
    if (file->lock_descriptor >= 0) {
        close(file->lock_descriptor);
    }
    file->lock_descriptor = descriptor;
    file->lock_generation = kmw_fork_generation();
}

/*
 * A view keeps the description it was mapped from, and with it the locks that this has, longer than
 * any handle. So ranges have a description of their own where sections share the handle's; or none,
 * if there cannot be another one.
 */
static void move_apart(kmw_file *file) {
    file->lock_descriptor = reopen_for_ranges(file);
    if (file->lock_descriptor >= 0) {
        let_go(file); /* what somebody who waited got, and has not told the table yet */
    }
}

/* Waits, without the mutex, until the piece could be had. 0 or errno. */
static int wait_for(kmw_file *file, const struct flock *piece) {
    struct flock request = *piece;
    int descriptor = descriptor_of_locks(file);
    pthread_mutex_unlock(&file->mutexes->ranges);
    int error = lock_call(descriptor, F_OFD_SETLKW, &request);
    pthread_mutex_lock(&file->mutexes->ranges);
    if (error == 0 && descriptor != descriptor_of_locks(file)) {
        struct flock stray = lock_of(F_UNLCK, piece->l_start, piece->l_start + piece->l_len - 1);
        (void)lock_call(descriptor, F_OFD_SETLK, &stray); /* they moved meanwhile */
    }
    return error;
}

/* One attempt to hold `wanted`: 0, EAGAIN with the refused piece, or errno. */
static int try_to_hold(kmw_file *file, range *wanted, struct flock *refused) {
    if (shares_with_parent(file)) {
        part_from_parent(file);
    }
    if (wanted->exclusive && !file->writable && file->lock_descriptor < 0) {
        int error = move_to_writable(file);
        if (error != 0) {
            return error;
        }
    }
    if (file->lock_descriptor < 0 && file->lock_ranges == NULL && kmw_marks_are_here(file)) {
        move_apart(file);
    }
    wanted->held = true;
    insert(file, wanted);
    int error = settle(file, descriptor_of_locks(file), wanted->first, wanted->last, refused);
    if (error != 0) {
        wanted->held = false;
        settle_less(file, wanted);
        take_out(file, wanted);
    }
    return error;
}

/* 0 with `wanted` in the table, or errno. */
static int hold(kmw_file *file, range *wanted, bool wait) {
    for (;;) {
        while (conflicts_here(file, wanted)) {
            if (!wait) {
                return EAGAIN;
            }
            pthread_cond_wait(&file->mutexes->ranges_changed, &file->mutexes->ranges);
        }
        struct flock refused;
        int error = try_to_hold(file, wanted, &refused);
        if (error != EAGAIN || !wait) {
            return error;
        }
        insert(file, wanted);
        error = wait_for(file, &refused);
        take_out(file, wanted);
        if (error != 0) {
            return error;
        }
    }
}

static DWORD error_of_lock(int error) {
    switch (error) {
    case 0:
        return ERROR_SUCCESS;
    case EAGAIN:
        return ERROR_LOCK_VIOLATION;
    case EBADF:
        return ERROR_ACCESS_DENIED; /* the kernel wants more than the handle has */
    case EINVAL:
    case ENOLCK:
    case ENOSYS:
    case EOPNOTSUPP:
        return ERROR_NOT_SUPPORTED;
    default:
        return kmw_error_of_errno(error);
    }
}

static DWORD lock_file(kmw_file *file, uint64_t offset, uint64_t length, bool exclusive,
                       bool wait) {
    range *wanted = malloc(sizeof *wanted);
    if (wanted == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    set_range(wanted, offset, length);
    wanted->exclusive = exclusive;
    wanted->held = false;
    wanted->generation = kmw_fork_generation();
    pthread_mutex_lock(&file->mutexes->ranges);
    int error = hold(file, wanted, wait);
    pthread_mutex_unlock(&file->mutexes->ranges);
    if (error != 0) {
        free(wanted);
    }
    return error_of_lock(error);
}

static DWORD unlock_file(kmw_file *file, uint64_t offset, uint64_t length) {
    range *found = NULL;
    pthread_mutex_lock(&file->mutexes->ranges);
    for (range *r = file->lock_ranges; r != NULL; r = r->next) {
        if (r->held && r->offset == offset && r->length == length &&
            (found == NULL || r->exclusive)) {
            found = r;
        }
    }
    if (found != NULL) {
        take_out(file, found);
        settle_less(file, found);
    }
    pthread_mutex_unlock(&file->mutexes->ranges);
    free(found);
    return found != NULL ? ERROR_SUCCESS : ERROR_NOT_LOCKED;
}

static bool fits_64_bits(uint64_t offset, uint64_t length) {
    return length == 0 || length - 1 <= UINT64_MAX - offset;
}

static uint64_t join(DWORD low, DWORD high) {
    return (uint64_t)high << 32 | low;
}

/* A handle to a file's bytes, whatever it may do with them. */
static kmw_use use_for_locks(HANDLE handle, kmw_file **file) {
    kmw_use use = kmw_file_use(handle, 0, file);
    if (use.object == NULL) {
        return use;
    }
    DWORD error = ERROR_SUCCESS;
    if (!(use.access & (FILE_READ_DATA | FILE_WRITE_DATA))) {
        error = ERROR_ACCESS_DENIED;
    } else if (!S_ISREG((*file)->type)) {
        error = ERROR_INVALID_FUNCTION;
    }
    if (error != ERROR_SUCCESS) {
        kmw_use_end(use);
        use.object = NULL;
        kmw_fail(error);
    }
    return use;
}

BOOL LockFileEx(HANDLE handle, DWORD flags, DWORD reserved, DWORD length_low, DWORD length_high,
                LPOVERLAPPED at) {
    kmw_file *file;
    if (reserved != 0 || at == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    uint64_t offset = join(at->Offset, at->OffsetHigh);
    uint64_t length = join(length_low, length_high);
    kmw_use use = use_for_locks(handle, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error = ERROR_INVALID_PARAMETER;
    if (fits_64_bits(offset, length)) {
        error = lock_file(file, offset, length, flags & LOCKFILE_EXCLUSIVE_LOCK,
                          !(flags & LOCKFILE_FAIL_IMMEDIATELY));
    }
    kmw_use_end(use);
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

BOOL UnlockFileEx(HANDLE handle, DWORD reserved, DWORD length_low, DWORD length_high,
                  LPOVERLAPPED at) {
    kmw_file *file;
    if (reserved != 0 || at == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    kmw_use use = use_for_locks(handle, &file);
    if (use.object == NULL) {
        return FALSE;
    }
    DWORD error =
        unlock_file(file, join(at->Offset, at->OffsetHigh), join(length_low, length_high));
    kmw_use_end(use);
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

BOOL LockFile(HANDLE handle, DWORD offset_low, DWORD offset_high, DWORD length_low,
              DWORD length_high) {
    OVERLAPPED at = {.Offset = offset_low, .OffsetHigh = offset_high};
    return LockFileEx(handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, length_low,
                      length_high, &at);
}

BOOL UnlockFile(HANDLE handle, DWORD offset_low, DWORD offset_high, DWORD length_low,
                DWORD length_high) {
    OVERLAPPED at = {.Offset = offset_low, .OffsetHigh = offset_high};
    return UnlockFileEx(handle, 0, length_low, length_high, &at);
}

bool kmw_file_is_locked(kmw_file *file, off_t offset, off_t length, bool writing) {
    range asked = {.exclusive = writing};
    set_range(&asked, (uint64_t)offset, (uint64_t)length);
    bool own = false;
    pthread_mutex_lock(&file->mutexes->ranges);
    for (const range *r = file->lock_ranges; writing && !own && r != NULL; r = r->next) {
        own = r->held && !r->exclusive && r->length > 0 && overlap(r, &asked);
    }
    struct flock request = lock_of(writing ? F_WRLCK : F_RDLCK, asked.first, asked.last);
    bool others = !own && lock_call(descriptor_of_locks(file), F_OFD_GETLK, &request) == 0 &&
                  request.l_type != F_UNLCK;
    pthread_mutex_unlock(&file->mutexes->ranges);
    return own || others;
}

bool kmw_file_locks_are_here(kmw_file *file) {
    pthread_mutex_lock(&file->mutexes->ranges);
    bool here = file->lock_ranges != NULL && file->lock_descriptor < 0;
    pthread_mutex_unlock(&file->mutexes->ranges);
    return here;
}

void kmw_file_locks_init(kmw_file *file) {
    file->lock_ranges = NULL;
    file->lock_descriptor = -1;
    file->lock_generation = kmw_fork_generation();
}

static void forget_ranges(kmw_file *file) {
    while (file->lock_ranges != NULL) {
        range *next = file->lock_ranges->next;
        free(file->lock_ranges);
        file->lock_ranges = next;
    }
}

void kmw_file_locks_drop(kmw_file *file) {
    pthread_mutex_lock(&file->mutexes->ranges);
    bool some = file->lock_ranges != NULL;
    forget_ranges(file);
    if (file->lock_descriptor >= 0) {
        close(file->lock_descriptor);
        file->lock_descriptor = -1;
    } else if (some && (file->opener == getpid() || kmw_marks_is_alone(file))) {
        /* The descriptor may live on. A forked child's share of the locks is not for it to end. */
        let_go(file);
    }
    pthread_mutex_unlock(&file->mutexes->ranges);
}

void kmw_file_locks_destroy(kmw_file *file) {
    forget_ranges(file);
}
