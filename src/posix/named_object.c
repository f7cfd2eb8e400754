/*
 * named_object.c - how objects come to have a name, keep it, and lose it. The rules are in
 * named_object.h; each function here is one step of them.
 */
#include "named_object.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "last_error.h"
#include "object_directory.h"
#include "object_probe.h"
#include "section_memory.h"
#include "signal_hold.h"
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

/* The file of an object, and the directory it lies in. */
typedef struct place {
    int directory;
    kmw_object_file file;
} place;

static DWORD place_of(const kmw_object_name *name, bool make, place *at) {
    kmw_object_file_of(name, &at->file);
    return kmw_object_directory(name->global, make, &at->directory);
}

static void remember(kmw_named *named, const place *at, int descriptor, const struct stat *facts) {
    named->descriptor = descriptor;
    named->directory = at->directory;
    named->file = at->file;
    named->device = facts->st_dev;
    named->inode = facts->st_ino;
    named->owner = facts->st_uid;
}

/* It is alive, as this description is among its holders now. What it is, it must be to the last
 * byte: who made it may be anybody. */
static found examine(int descriptor, const struct stat *facts, const place *at,
                     const kmw_object_name *name, kmw_kind kind, kmw_named *named, DWORD *error) {
    if (!read_object(descriptor, facts->st_size, name, &named->header)) {
        return fail(ERROR_INVALID_DATA, error);
    }
    if (named->header.kind != (uint32_t)kind) {
        return fail(ERROR_INVALID_HANDLE, error);
    }
    remember(named, at, descriptor, facts);
    return FOUND;
}

/* The descriptor is freshly opened, and locked afterwards or not. */
static found hold(int descriptor, const place *at, const kmw_object_name *name, kmw_kind kind,
                  kmw_named *named, DWORD *error) {
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
static bool is_vacant(const place *at) {
    return faccessat(at->directory, at->file.name, F_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) != 0 &&
           errno == ENOENT;
}

/* While we had it locked to look at it, its last holder may have closed it, and found it held. */
static void let_be(int descriptor, const place *at) {
    (void)kmw_object_probe(descriptor, at->directory, at->file.name);
    close(descriptor);
}

static found find(const place *at, const kmw_object_name *name, kmw_kind kind, kmw_named *named,
                  DWORD *error) {
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

/* ---- Making one ---- */

static mode_t mode_of(const kmw_birth *birth) {
    return birth->for_everybody ? 0666 : 0600;
}

/* The name that a draft has where files without one cannot be made; "" where they can. */
typedef struct temporary_name {
    char text[sizeof(kmw_object_file) + 32];
} temporary_name;

static int open_draft(const place *at, mode_t mode, temporary_name *temporary) {
    temporary->text[0] = '\0';
#ifdef O_TMPFILE
    const int nameless = openat(at->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return nameless;
    }
#endif
    static atomic_uint counter;
    const unsigned number = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    (void)snprintf(temporary->text, sizeof temporary->text, "%s.%ld-%u", at->file.name,
                   (long)getpid(), number);
    return openat(at->directory, temporary->text,
                  O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
}

static void describe(const kmw_object_name *name, const kmw_birth *birth,
                     kmw_object_header *header) {
    const size_t text = KMW_NAME_OFFSET + name->length + birth->extra_length;
    *header = (kmw_object_header){
        .layout = layout(),
        .kind = birth->kind,
        .name_length = (uint32_t)name->length,
        .extra_length = (uint32_t)birth->extra_length,
        .data_offset = kmw_page_align_up(text),
        .data_size = birth->data_size,
        .created_ns = (uint64_t)now_ns(CLOCK_REALTIME),
        .creator = (int32_t)getpid(),
        .flags = birth->flags,
        .exact_size = birth->exact_size,
    };
    memcpy(header->magic, magic, sizeof magic);
}

/* Writes from the start of the file: `length` bytes, then zeros up to `end`. 0 or errno. */
static int write_fully(int descriptor, const void *from, size_t length, size_t end) {
    static const char zeros[KMW_WRITTEN_DATA + 65536];
    for (size_t done = 0; done < end;) {
        const size_t head = done < length ? length - done : 0;
        const size_t rest = end - done - head;
        const struct iovec parts[] = {
            {(char *)from + (done < length ? done : length), head},
            {(char *)zeros, rest < sizeof zeros ? rest : sizeof zeros},
        };
        const ssize_t put = pwritev(descriptor, parts, 2, (off_t)done);
        if (put >= 0) {
            done += (size_t)put;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static int write_header(int descriptor, const kmw_object_name *name, const kmw_birth *birth,
                        const kmw_object_header *header) {
    const size_t length = KMW_NAME_OFFSET + name->length + birth->extra_length;
    const size_t end = birth->data == KMW_DATA_WRITTEN
                           ? (size_t)(header->data_offset + header->data_size)
                           : length;
    char small[1024];
    char *text = length <= sizeof small ? small : malloc(length);
    if (text == NULL) {
        return ENOMEM;
    }
    memset(text, 0, KMW_NAME_OFFSET);
    memcpy(text, header, sizeof *header);
    memcpy(text + KMW_NAME_OFFSET, name->text, name->length);
    if (birth->extra_length > 0) {
        memcpy(text + KMW_NAME_OFFSET + name->length, birth->extra, birth->extra_length);
    }
    kmw_signal_hold hold;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    const int error = write_fully(descriptor, text, length, end);
    kmw_signal_hold_end(&hold);
    if (text != small) {
        free(text);
    }
    return error;
}

DWORD kmw_named_set_exact_size(kmw_named *draft, uint64_t size) {
    kmw_signal_hold hold;
    draft->header.exact_size = size;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    const int error =
        write_fully(draft->descriptor, &draft->header, sizeof draft->header, sizeof draft->header);
    kmw_signal_hold_end(&hold);
    return error == 0 ? ERROR_SUCCESS : kmw_error_of_errno(error);
}

/* Whatever the umask says. */
static int set_mode(int descriptor, mode_t mode, struct stat *facts) {
    if (fstat(descriptor, facts) != 0) {
        return errno;
    }
    if ((facts->st_mode & 07777) != mode) {
        if (fchmod(descriptor, mode) != 0) {
            return errno;
        }
        facts->st_mode = (facts->st_mode & S_IFMT) | mode;
    }
    return 0;
}

/* Everything about a draft but what its kind does. 0 or errno. */
static int fill(int descriptor, const place *at, const kmw_object_name *name,
                const kmw_birth *birth, kmw_named *draft) {
    struct stat facts;
    if (!kmw_object_lock(descriptor, LOCK_SH)) {
        return errno;
    }
    int error = set_mode(descriptor, mode_of(birth), &facts);
    if (error != 0) {
        return error;
    }
    remember(draft, at, descriptor, &facts);
    describe(name, birth, &draft->header);
    if (birth->data_size > (uint64_t)INT64_MAX - draft->header.data_offset) {
        return EFBIG;
    }
    error = write_header(descriptor, name, birth, &draft->header);
    if (error != 0 || (birth->data_size > 0 && birth->data != KMW_DATA_HOLE)) {
        return error;
    }
    const off_t whole = (off_t)(draft->header.data_offset + birth->data_size);
    return kmw_object_set_size(descriptor, whole) ? 0 : errno;
}

/* Bytes that the object takes, or at least: some do not say how many. */
static uint64_t size_of(const kmw_birth *birth) {
    return birth->data_size + kmw_page_size();
}

/* The draft is an object in all but its name. On failure nothing is left. */
static DWORD make_draft(const place *at, const kmw_object_name *name, const kmw_birth *birth,
                        kmw_named *draft, temporary_name *temporary) {
    const int descriptor = open_draft(at, mode_of(birth), temporary);
    if (descriptor < 0) {
        return kmw_error_of_errno(errno);
    }
    const int failed = fill(descriptor, at, name, birth, draft);
    DWORD error = failed == 0 ? ERROR_SUCCESS
                              : kmw_section_memory_refused(descriptor, failed, size_of(birth));
    if (error == ERROR_SUCCESS && birth->prepare != NULL) {
        error = birth->prepare(draft, birth->arg);
    }
    if (error != ERROR_SUCCESS) {
        close(descriptor);
        if (temporary->text[0] != '\0') {
            /* The error that led here is the one to tell. */
            (void)unlinkat(at->directory, temporary->text, 0);
        }
        draft->descriptor = -1;
    }
    return error;
}

/* 0 or errno; EEXIST: the name is taken. */
static int give_name(const kmw_named *draft, const temporary_name *temporary, const place *at) {
    char proc[64];
    if (temporary->text[0] != '\0') {
        const int result = linkat(at->directory, temporary->text, at->directory, at->file.name, 0);
        return result == 0 ? 0 : errno;
    }
#ifdef AT_EMPTY_PATH
    /* Older kernels want a privilege for it. */
    if (linkat(draft->descriptor, "", at->directory, at->file.name, AT_EMPTY_PATH) == 0) {
        return 0;
    }
    if (errno == EEXIST) {
        return EEXIST;
    }
#endif
    (void)snprintf(proc, sizeof proc, "/proc/self/fd/%d", draft->descriptor);
    const int result = linkat(AT_FDCWD, proc, at->directory, at->file.name, AT_SYMLINK_FOLLOW);
    return result == 0 ? 0 : errno;
}

static void drop_draft(kmw_named *draft, const temporary_name *temporary, const place *at) {
    if (draft->descriptor < 0) {
        return;
    }
    if (temporary->text[0] != '\0') {
        (void)unlinkat(at->directory, temporary->text, 0); /* or it is swept later */
    }
    close(draft->descriptor);
    draft->descriptor = -1;
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
static found put_in_place(const place *at, const kmw_object_name *name, const kmw_birth *birth,
                          kmw_named *draft, temporary_name *temporary, DWORD *error) {
    if (draft->descriptor < 0) {
        *error = make_draft(at, name, birth, draft, temporary);
        if (*error != ERROR_SUCCESS) {
            return FAILED;
        }
    }
    const int failed = give_name(draft, temporary, at);
    if (failed == EEXIST) {
        return CHANGED;
    }
    return failed == 0 ? FOUND : fail(kmw_error_of_errno(failed), error);
}

static DWORD create(const place *at, const kmw_object_name *name, const kmw_birth *birth,
                    kmw_named *named, bool *existed) {
    kmw_named draft = {.descriptor = -1};
    temporary_name temporary = {{0}};
    DWORD error = ERROR_ACCESS_DENIED;
    int64_t since = 0; /* when it was first in somebody's way */
    found result = CHANGED;
    for (int round = 0; round < MOST_ROUNDS && result != FOUND && result != FAILED; ++round) {
        *existed = true;
        result = is_vacant(at) ? ABSENT : find(at, name, birth->kind, named, &error);
        if (result == ABSENT) {
            *existed = false;
            result = put_in_place(at, name, birth, &draft, &temporary, &error);
        }
        if (result == KEPT || (result == PASSING && !wait_for_passing(round, &since))) {
            result = fail(ERROR_ACCESS_DENIED, &error);
        }
    }
    if (result == FOUND && !*existed) {
        *named = draft;
        if (temporary.text[0] != '\0') {
            (void)unlinkat(at->directory, temporary.text, 0); /* at worst it is swept later */
        }
        return ERROR_SUCCESS;
    }
    drop_draft(&draft, &temporary, at);
    return result == FOUND ? ERROR_SUCCESS : error;
}

static DWORD open_existing(const place *at, const kmw_object_name *name, kmw_kind kind,
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
    place at;
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
    place at;
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
static void clear_through(int asker, int directory, const char *file) {
    if (kmw_object_probe(asker, directory, file) == KMW_PROBE_KEPT) {
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
        clear_through(asker, named->directory, named->file.name);
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
