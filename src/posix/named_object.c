/*
 * named_object.c - how objects come to have a name, keep it, and lose it. The rules are in
 * named_object.h; each function here is one step of them.
 */
#include "named_object.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "last_error.h"
#include "object_directory.h"
#include "object_draft.h"
#include "object_probe.h"
#include "view.h"

/* Names change hands this often in a row only if others make progress each time. */
#define MOST_ROUNDS 1000

/* Whoever has locked an orphan clears it away within microseconds, unless he is suspended, or means
 * ill. Nobody waits longer than this for him. */
#define PATIENCE_NS 2000000000LL
#define FIRST_PAUSE_NS 10000L
#define LONGEST_PAUSE_NS 5000000L

static const char magic[8] = {'K', 'E', 'E', 'P', 'M', 'A', 'P', '1'};

/* In UTF-8, three bytes a unit; and the record of a file with its path. Nothing is allocated for
 * more, whatever a header says. */
#define LONGEST_NAME (3 * KMW_SECTION_NAME_LIMIT_W)
#define LONGEST_EXTRA ((size_t)2 * KMW_PATH_SIZE)

#ifdef __GLIBC__
#define C_LIBRARY 1u
#else
#define C_LIBRARY 0u
#endif

/* Programs that see the shared state differently must not share it: mutexes are the C library's. */
static uint32_t layout(void) {
    return C_LIBRARY << 31 | (uint32_t)sizeof(pthread_mutex_t) | (uint32_t)sizeof(void *) << 16 |
           (uint32_t)(kmw_page_size() >> 12) << 24;
}

static int64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- The file's contents ---- */

static bool read_fully(int descriptor, void *to, size_t length, off_t offset) {
    for (size_t done = 0; done < length;) {
        const ssize_t got =
            pread(descriptor, (char *)to + done, length - done, offset + (off_t)done);
        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool header_is_sound(const kmw_object_header *header, off_t file_size) {
    const uint64_t size = (uint64_t)file_size;
    const uint64_t text = (uint64_t)KMW_NAME_OFFSET + header->name_length + header->extra_length;
    return memcmp(header->magic, magic, sizeof magic) == 0 && header->layout == layout() &&
           header->kind >= KMW_SECTION && header->kind <= KMW_SEMAPHORE &&
           header->name_length > 0 && header->name_length <= LONGEST_NAME &&
           header->extra_length <= LONGEST_EXTRA && header->data_offset % kmw_page_size() == 0 &&
           header->data_offset >= text && header->data_offset <= size &&
           header->data_size == size - header->data_offset;
}

void kmw_object_stamp_header(kmw_object_header *header) {
    memcpy(header->magic, magic, sizeof magic);
    header->layout = layout();
}

bool kmw_object_read_header(int descriptor, off_t file_size, kmw_object_header *header) {
    return file_size >= (off_t)KMW_NAME_OFFSET &&
           read_fully(descriptor, header, sizeof *header, 0) && header_is_sound(header, file_size);
}

/* Is the name behind the header this one? `head` is what has been read of the file already. */
static bool has_name(int descriptor, const char *head, size_t head_length,
                     const kmw_object_header *header, const kmw_object_name *name) {
    char piece[512];
    const size_t read = head_length - KMW_NAME_OFFSET;
    size_t at = name->length < read ? name->length : read;
    if (header->name_length != name->length ||
        memcmp(head + KMW_NAME_OFFSET, name->text, at) != 0) {
        return false;
    }
    while (at < name->length) {
        const size_t rest = name->length - at;
        const size_t length = rest < sizeof piece ? rest : sizeof piece;
        if (!read_fully(descriptor, piece, length, (off_t)(KMW_NAME_OFFSET + at)) ||
            memcmp(piece, name->text + at, length) != 0) {
            return false;
        }
        at += length;
    }
    return true;
}

/* The header, if this is an object of that name: an ordinary name comes with the same read. */
static bool read_object(int descriptor, off_t file_size, const kmw_object_name *name,
                        kmw_object_header *header) {
    char head[KMW_NAME_OFFSET + 256];
    if (file_size < (off_t)sizeof head || !read_fully(descriptor, head, sizeof head, 0)) {
        return false;
    }
    memcpy(header, head, sizeof *header);
    return header_is_sound(header, file_size) &&
           has_name(descriptor, head, sizeof head, header, name);
}

DWORD kmw_named_read_extra(const kmw_named *named, void *to, size_t length) {
    const off_t at = (off_t)(KMW_NAME_OFFSET + named->header.name_length);
    if (length > named->header.extra_length || !read_fully(named->descriptor, to, length, at)) {
        return ERROR_INVALID_DATA;
    }
    return ERROR_SUCCESS;
}

/* ---- Finding an object ---- */

typedef enum found {
    FOUND,   /* and held */
    ABSENT,  /* cleared away just now, or not there */
    CHANGED, /* the name has changed hands meanwhile: look again */
    PASSING, /* dead, and about to be cleared away */
    KEPT,    /* dead, but not ours to clear away */
    FAILED,  /* *error says why */
} found;

static found fail(DWORD why, DWORD *error) {
    *error = why;
    return FAILED;
}

static DWORD place_of(const kmw_object_name *name, bool make, kmw_object_place *at) {
    kmw_object_file_of(name, &at->file);
    return kmw_object_directory(name->global, make, &at->directory);
}

/* It is alive, as this description is among its holders now. What it is, it must be to the last
 * byte: who made it may be anybody. */
static found examine(int descriptor, const struct stat *facts, const kmw_object_place *at,
                     const kmw_object_name *name, kmw_kind kind, kmw_named *named, DWORD *error) {
    if (!read_object(descriptor, facts->st_size, name, &named->header)) {
        return fail(ERROR_INVALID_DATA, error);
    }
    if (named->header.kind != (uint32_t)kind) {
        return fail(ERROR_INVALID_HANDLE, error);
    }
    kmw_named_remember(named, at, descriptor, facts);
    return FOUND;
}

/* The descriptor is freshly opened, and locked afterwards or not. */
static found hold(int descriptor, const kmw_object_place *at, const kmw_object_name *name,
                  kmw_kind kind, kmw_named *named, DWORD *error) {
    switch (kmw_object_probe(descriptor, at->directory, at->file.name)) {
    case KMW_PROBE_CLEARED:
        return ABSENT;
    case KMW_PROBE_GONE:
        return CHANGED;
    case KMW_PROBE_KEPT:
        return KEPT;
    case KMW_PROBE_FOREIGN:
        return fail(ERROR_INVALID_DATA, error);
    case KMW_PROBE_FAILED:
        return fail(kmw_error_of_errno(errno), error);
    case KMW_PROBE_HELD:
        break;
    }
    struct stat facts;
    if (!kmw_object_lock(descriptor, LOCK_SH)) {
        /* Locked exclusively, by whom there is: so nobody else holds it any more. */
        return errno == EWOULDBLOCK ? PASSING : fail(kmw_error_of_errno(errno), error);
    }
    if (fstat(descriptor, &facts) != 0) {
        return fail(kmw_error_of_errno(errno), error);
    }
    if (!kmw_object_is_at(at->directory, at->file.name, &facts)) {
        return CHANGED;
    }
    return examine(descriptor, &facts, at, name, kind, named, error);
}

/* Mostly there is nothing, and asking costs half of what trying to open it does. */
static bool is_vacant(const kmw_object_place *at) {
    return faccessat(at->directory, at->file.name, F_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) != 0 &&
           errno == ENOENT;
}

/* While we had it locked to look at it, its last holder may have closed it, and found it held. */
static void let_be(int descriptor, const kmw_object_place *at) {
    (void)kmw_object_probe(descriptor, at->directory, at->file.name);
    close(descriptor);
}

static found find(const kmw_object_place *at, const kmw_object_name *name, kmw_kind kind,
                  kmw_named *named, DWORD *error) {
    const int descriptor = kmw_object_open_file(at->directory, at->file.name, O_RDWR);
    if (descriptor < 0) {
        switch (errno) {
        case ENOENT:
            return ABSENT;
        case ELOOP:  /* a symbolic link: no object ever was one */
        case EISDIR: /* nor this */
        case ENXIO:  /* nor a socket */
            return fail(ERROR_INVALID_DATA, error);
        default:
            return fail(kmw_error_of_errno(errno), error);
        }
    }
    const found result = hold(descriptor, at, name, kind, named, error);
    if (result != FOUND) {
        let_be(descriptor, at);
    }
    return result;
}

/* ---- Creating and opening ---- */

/* false: long enough. */
static bool wait_for_passing(int round, int64_t *since) {
    const int64_t now = now_ns(CLOCK_MONOTONIC);
    *since = *since == 0 ? now : *since;
    if (now - *since > PATIENCE_NS) {
        return false;
    }
    long pause = FIRST_PAUSE_NS << (round < 12 ? round : 12);
    pause = pause < LONGEST_PAUSE_NS ? pause : LONGEST_PAUSE_NS;
    const struct timespec time = {.tv_nsec = pause};
    nanosleep(&time, NULL); /* cut short by a signal, it is a shorter pause */
    return true;
}

/* One attempt to give a draft the name; the draft is made with the first. */
static found put_in_place(const kmw_object_place *at, const kmw_object_name *name,
                          const kmw_birth *birth, kmw_draft *draft, DWORD *error) {
    if (draft->named.descriptor < 0) {
        *error = kmw_draft_make(at, name, birth, draft);
        if (*error != ERROR_SUCCESS) {
            return FAILED;
        }
    }
    const int failed = kmw_draft_give_name(draft, at);
    if (failed == EEXIST) {
        return CHANGED;
    }
    return failed == 0 ? FOUND : fail(kmw_error_of_errno(failed), error);
}

/*
 * Asking whether a name is free costs a fifteenth part of a small section's life, and linking the
 * draft to it answers the same question, for certain. So who has made many in a row, and found
 * every name free, is expected to find the next one free, and makes the draft at once. Only where a
 * draft costs little and does nothing that could not be taken back: being wrong costs it once.
 */
#define MADE_BEFORE_IT_IS_EXPECTED 16u
static atomic_uint made_in_a_row;

static bool is_expected_vacant(const kmw_birth *birth) {
    return birth->data == KMW_DATA_WRITTEN &&
           atomic_load_explicit(&made_in_a_row, memory_order_relaxed) >= MADE_BEFORE_IT_IS_EXPECTED;
}

/* Threads that come at once may count one for two. */
static void learn(bool existed) {
    const unsigned before = atomic_load_explicit(&made_in_a_row, memory_order_relaxed);
    if (existed || before < MADE_BEFORE_IT_IS_EXPECTED) {
        atomic_store_explicit(&made_in_a_row, existed ? 0 : before + 1, memory_order_relaxed);
    }
}

static DWORD create(const kmw_object_place *at, const kmw_object_name *name, const kmw_birth *birth,
                    kmw_named *named, bool *existed) {
    kmw_draft draft = {.named = {.descriptor = -1}};
    DWORD error = ERROR_ACCESS_DENIED;
    int64_t since = 0; /* when it was first in somebody's way */
    found result = CHANGED;
    bool unasked = is_expected_vacant(birth);
    for (int round = 0; round < MOST_ROUNDS && result != FOUND && result != FAILED; ++round) {
        *existed = true;
        result = unasked || is_vacant(at) ? ABSENT : find(at, name, birth->kind, named, &error);
        if (result == ABSENT) {
            *existed = false;
            result = put_in_place(at, name, birth, &draft, &error);
        }
        if (unasked && result != FOUND) {
            learn(true);
            result =
                CHANGED; /* if the name is taken, nothing that is wrong with the draft counts */
        }
        unasked = false;
        if (result == KEPT || (result == PASSING && !wait_for_passing(round, &since))) {
            result = fail(ERROR_ACCESS_DENIED, &error);
        }
    }
    if (result == FOUND) {
        learn(*existed);
    }
    if (result == FOUND && !*existed) {
        kmw_draft_finish(&draft, at, named);
        return ERROR_SUCCESS;
    }
    kmw_draft_drop(&draft, at);
    return result == FOUND ? ERROR_SUCCESS : error;
}

static DWORD open_existing(const kmw_object_place *at, const kmw_object_name *name, kmw_kind kind,
                           kmw_named *named) {
    DWORD error = ERROR_FILE_NOT_FOUND;
    for (int round = 0; round < MOST_ROUNDS; ++round) {
        switch (find(at, name, kind, named, &error)) {
        case FOUND:
            return ERROR_SUCCESS;
        case FAILED:
            return error;
        case CHANGED:
            continue;
        case ABSENT:
        case PASSING:
        case KEPT:
            return ERROR_FILE_NOT_FOUND;
        }
    }
    return ERROR_FILE_NOT_FOUND;
}

DWORD kmw_named_create(const kmw_object_name *name, const kmw_birth *birth, kmw_named *named,
                       bool *existed) {
    kmw_object_place at;
    DWORD error = place_of(name, true, &at);
    if (error == ERROR_SUCCESS) {
        kmw_named_sweep();
        error = create(&at, name, birth, named, existed);
    }
    if (error != ERROR_SUCCESS) {
        *named = (kmw_named){.descriptor = -1};
    }
    return error;
}

DWORD kmw_named_open(const kmw_object_name *name, kmw_kind kind, kmw_named *named) {
    kmw_object_place at;
    DWORD error = place_of(name, false, &at);
    if (error == ERROR_SUCCESS) {
        error = open_existing(&at, name, kind, named);
    }
    if (error != ERROR_SUCCESS) {
        *named = (kmw_named){.descriptor = -1};
    }
    return error;
}

/* ---- Letting go ---- */

/* If it is the last's, and the object cannot be cleared away by us, its owner shall be able to. */
static void clear_through(int asker, const kmw_named *named) {
    if (kmw_object_probe_held(asker, named) == KMW_PROBE_KEPT) {
        (void)kmw_object_lock(asker, LOCK_UN);
    }
}

void kmw_named_close_through(kmw_named *named, int asker) {
    if (named->descriptor < 0) {
        return;
    }
    const int saved = errno;
    close(named->descriptor);
    if (asker >= 0) {
        clear_through(asker, named);
    } else {
        kmw_object_clear(named->directory, named->file.name);
    }
    *named = (kmw_named){.descriptor = -1};
    errno = saved;
}

void kmw_named_close(kmw_named *named) {
    kmw_named_close_through(named, -1);
}

/* By its name, if that leads to this very file; it may have none yet, or have lost it by hand. */
int kmw_named_reopen(const kmw_named *named) {
    char proc[64];
    struct stat facts;
    const int descriptor = kmw_object_open_file(named->directory, named->file.name, O_RDWR);
    if (descriptor >= 0 && fstat(descriptor, &facts) == 0 && facts.st_dev == named->device &&
        facts.st_ino == named->inode) {
        return descriptor;
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    (void)snprintf(proc, sizeof proc, "/proc/self/fd/%d", named->descriptor);
    const int again = open(proc, O_RDWR | O_CLOEXEC);
    if (again < 0 && errno == ENOENT) {
        errno = ENOSYS; /* there is no /proc, without which this cannot be had */
    }
    return again;
}
