/*
 * mapped_mark.c - the mark "mapped" of a file that has sections, and the claims beside it.
 */
#include "mapped_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"
#include "last_error.h"
#include "sharing.h"

static atomic_bool outliving; /* kmw_marks_outlive_sections has been called */

void kmw_marks_init(kmw_file *file) {
    file->marks = (kmw_marks){
        .claimed = true, .forks = kmw_fork_count(), .moved = {-1, -1}, .moved_claims = -1};
}

void kmw_marks_outlive_sections(void) {
    atomic_store(&outliving, true);
}

bool kmw_marks_are_here(const kmw_file *file) {
    return atomic_load(&file->marks.some);
}

bool kmw_marks_is_alone(const kmw_file *file) {
    return file->marks.forks == kmw_fork_count();
}

static void close_if_open(int descriptor) {
    if (descriptor >= 0) {
        close(descriptor);
    }
}

static int take_out(int *descriptor) {
    const int taken = *descriptor;
    *descriptor = -1;
    return taken;
}

/* ---- Sections that share the file's description; mutexes->marks is held ---- */

static bool has_marks(const kmw_file *file) {
    return file->marks.count[false] + file->marks.count[true] > 0;
}

bool kmw_marks_forbid_cutting(const kmw_file *file) {
    return has_marks(file) || file->marks.stuck;
}

/* What the file's own description stands for. */
static kmw_stake stake_of(const kmw_file *file) {
    return (kmw_stake){.access = file->marks.claimed ? file->access : 0,
                       .share = file->share,
                       .mapped = has_marks(file),
                       .written = file->marks.count[true] > 0};
}

static void list(kmw_file *file) {
    kmw_file **first = &file->mutexes->marked;
    file->marks.previous = NULL;
    file->marks.next = *first;
    if (*first != NULL) {
        (*first)->marks.previous = file;
    }
    *first = file;
}

static void unlist(kmw_file *file) {
    kmw_marks *marks = &file->marks;
    if (marks->next != NULL) {
        marks->next->marks.previous = marks->previous;
    }
    if (marks->previous != NULL) {
        marks->previous->marks.next = marks->next;
    } else {
        file->mutexes->marked = marks->next;
    }
    marks->next = NULL;
    marks->previous = NULL;
}

/*
 * Counts one section more and sees that it can share the descriptor; else nothing is counted. Those
 * who lock ranges look at `some`, and then put them elsewhere; or theirs are seen here.
 */
static bool count_one(kmw_file *file, bool writable) {
    if (!kmw_marks_is_alone(file) || !file->readable || (writable && !file->writable)) {
        return false;
    }
    atomic_store(&file->marks.some, true);
    if (kmw_file_locks_are_here(file)) {
        atomic_store(&file->marks.some, has_marks(file));
        return false;
    }
    file->marks.count[writable]++;
    return true;
}

static void uncount_one(kmw_file *file, bool writable) {
    file->marks.count[writable]--;
    atomic_store(&file->marks.some, has_marks(file));
}

/* The section has been counted. What a writable one adds to the mark is locked already, when it is
 * not the first: the handle it is made with claims write access. */
static DWORD mark_shared(kmw_file *file, bool writable) {
    bool enforced = false;
    if (file->marks.count[false] + file->marks.count[true] > 1) {
        return ERROR_SUCCESS;
    }
    const DWORD error = kmw_sharing_mark_mapped(file->descriptor, writable, &enforced);
    if (error != ERROR_SUCCESS) {
        uncount_one(file, writable);
        return error;
    }
    list(file);
    return ERROR_SUCCESS;
}

/* *moved and *own are descriptors that nobody needs any more, or -1. */
static void unmark_shared(kmw_file *file, bool writable, int *moved, int *own) {
    const kmw_stake before = stake_of(file);
    uncount_one(file, writable);
    const kmw_stake after = stake_of(file);
    *moved = file->marks.count[writable] == 0 ? take_out(&file->marks.moved[writable]) : -1;
    *own = after.mapped || file->marks.claimed ? -1 : take_out(&file->descriptor);
    if (!kmw_marks_is_alone(file)) {
        return; /* for this process only; closing is all it can do */
    }
    if (!after.mapped) {
        unlist(file);
    }
    if (*own < 0 && !atomic_load(&outliving)) {
        kmw_sharing_reduce(file->descriptor, &before, &after);
    }
}

/* ---- A section's own description ---- */

/* The descriptor is closed again unless it can be marked and measured. -1 is errno's failure. */
static DWORD mark_own(int descriptor, bool writable, struct stat *facts) {
    bool enforced = false;
    if (descriptor < 0) {
        return kmw_error_of_errno(errno);
    }
    DWORD error = kmw_sharing_mark_mapped(descriptor, writable, &enforced);
    if (error == ERROR_SUCCESS && fstat(descriptor, facts) != 0) {
        error = kmw_error_of_errno(errno);
    }
    if (error != ERROR_SUCCESS) {
        close(descriptor);
    }
    return error;
}

/*
 * Marked before it is measured, so that nobody cuts the file in between; and one look at it serves
 * to measure it and to see that its path still leads to it.
 *
 * A file whose permissions have become too strict for its owner to open it once more (a draft made
 * read-only, say) is mapped through the handle's description: the handle's right counts, and only
 * the handle itself is then not kept from cutting the file.
 */
static DWORD open_marked(const kmw_file *file, bool writable, int *marked, struct stat *facts) {
    const int open_flags = writable ? O_RDWR : O_RDONLY;
    int descriptor = kmw_file_open_again(file, KMW_BY_PATH, open_flags);
    DWORD error = mark_own(descriptor, writable, facts);
    if (error == ERROR_SUCCESS && kmw_file_is(file, facts)) {
        *marked = descriptor;
        return ERROR_SUCCESS;
    }
    if (error == ERROR_SUCCESS) {
        close(descriptor);
    }
    descriptor = kmw_file_open_again(file, KMW_BY_DESCRIPTOR, open_flags);
    if (descriptor < 0 && (errno == EACCES || errno == EPERM) &&
        (writable ? file->writable && file->readable : file->readable)) {
        descriptor = fcntl(file->descriptor, F_DUPFD_CLOEXEC, 0);
    }
    error = mark_own(descriptor, writable, facts);
    if (error == ERROR_SUCCESS) {
        *marked = descriptor;
    }
    return error;
}

/* ---- Beginning and ending ---- */

DWORD kmw_mark_begin(kmw_file *file, bool writable, int *descriptor, struct stat *facts) {
    DWORD error = ERROR_SUCCESS;
    pthread_mutex_lock(&file->mutexes->marks);
    const bool shared = count_one(file, writable);
    if (shared) {
        error = mark_shared(file, writable);
    }
    pthread_mutex_unlock(&file->mutexes->marks);
    if (!shared) {
        return open_marked(file, writable, descriptor, facts);
    }
    if (error == ERROR_SUCCESS && fstat(file->descriptor, facts) != 0) {
        error = kmw_error_of_errno(errno);
        kmw_mark_end(file, writable, file->descriptor);
    }
    if (error == ERROR_SUCCESS) {
        *descriptor = file->descriptor;
    }
    return error;
}

void kmw_mark_end(kmw_file *file, bool writable, int descriptor) {
    int moved = -1;
    int closing = descriptor;
    pthread_mutex_lock(&file->mutexes->marks);
    if (descriptor == file->descriptor) {
        unmark_shared(file, writable, &moved, &closing);
    }
    pthread_mutex_unlock(&file->mutexes->marks);
    close_if_open(moved);
    close_if_open(closing);
}

void kmw_marks_end_claims(kmw_file *file) {
    int own = -1;
    pthread_mutex_lock(&file->mutexes->marks);
    const kmw_stake before = stake_of(file);
    file->marks.claimed = false;
    const kmw_stake after = stake_of(file);
    const int moved = take_out(&file->marks.moved_claims);
    if (!after.mapped) {
        own = take_out(&file->descriptor);
    } else if (kmw_marks_is_alone(file)) {
        kmw_sharing_reduce(file->descriptor, &before, &after);
    }
    pthread_mutex_unlock(&file->mutexes->marks);
    close_if_open(moved);
    close_if_open(own);
}

/* ---- Moving before a fork; mutexes->marks is held ---- */

/* A description that stands for `stake` from now on; -1 if none can be had. */
static int open_for(const kmw_file *file, const kmw_stake *stake) {
    const int descriptor = kmw_file_reopen_apart(file, O_RDONLY);
    if (descriptor >= 0 && kmw_sharing_take_over(descriptor, stake) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

/*
 * The new locks are there before the old ones go. If one cannot be had, the old ones stay where
 * both processes have them, and nobody unlocks them any more: claims and mark then last until the
 * last handle and section of both are gone, and cutting through this handle is refused as long.
 */
static void move(kmw_file *file) {
    kmw_marks *marks = &file->marks;
    const kmw_stake all = stake_of(file);
    const kmw_stake wanted[] = {
        {.mapped = marks->count[false] > 0},
        {.mapped = marks->count[true] > 0, .written = marks->count[true] > 0},
        {.access = all.access, .share = all.share},
    };
    int *const places[] = {&marks->moved[false], &marks->moved[true], &marks->moved_claims};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
        if (wanted[i].mapped || wanted[i].access != 0) {
            *places[i] = open_for(file, &wanted[i]);
            marks->stuck = marks->stuck || *places[i] < 0;
        }
    }
    if (!marks->stuck) {
        kmw_sharing_reduce(file->descriptor, &all, &(kmw_stake){0});
        return;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
        close_if_open(take_out(places[i]));
    }
}

void kmw_marks_move(kmw_file **marked) {
    kmw_file *next;
    if (*marked == NULL) {
        return;
    }
    const int error = errno;
    int cancelling;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling); /* fork does not end a thread */
    for (kmw_file *file = *marked; file != NULL; file = next) {
        next = file->marks.next;
        file->marks.next = NULL;
        file->marks.previous = NULL;
        if (file->enforced) {
            move(file);
        }
    }
    *marked = NULL;
    pthread_setcancelstate(cancelling, &cancelling);
    errno = error;
}
