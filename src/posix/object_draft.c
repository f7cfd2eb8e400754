/*
 * object_draft.c - a named object before it has its name: its file made, locked, described, filled,
 * and put in its place.
 */
#include "object_draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "file_mutexes.h"
#include "last_error.h"
#include "object_probe.h"
#include "section_memory.h"
#include "signal_hold.h"
#include "view.h"

void kmw_named_remember(kmw_named *named, const kmw_object_place *at, int descriptor,
                        const struct stat *facts) {
    named->descriptor = descriptor;
    named->directory = at->directory;
    named->file = at->file;
    named->device = facts->st_dev;
    named->inode = facts->st_ino;
    named->owner = facts->st_uid;
}

/* ---- Its file ---- */

static mode_t mode_of(const kmw_birth *birth) {
    return birth->for_everybody ? 0666 : 0600;
}

static int open_draft(const kmw_object_place *at, mode_t mode, kmw_draft *draft) {
    draft->temporary[0] = '\0';
#ifdef O_TMPFILE
    const int nameless = openat(at->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return nameless;
    }
#endif
    static atomic_uint counter;
    const unsigned number = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    (void)snprintf(draft->temporary, sizeof draft->temporary, "%s.%ld-%u", at->file.name,
                   (long)getpid(), number);
    return openat(at->directory, draft->temporary,
                  O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Asked of the system once a process: it counts among the calls that making an object takes. */
static pid_t this_process(void) {
    static _Atomic(uint64_t) known; /* with the generation it is of, plus 1, above it; 0: never */
    const uint64_t generation = (uint64_t)kmw_fork_generation() + 1;
    uint64_t value = atomic_load_explicit(&known, memory_order_relaxed);
    if (value >> 32 != generation) {
        value = generation << 32 | (uint32_t)getpid();
        atomic_store_explicit(&known, value, memory_order_relaxed);
    }
    return (pid_t)(uint32_t)value;
}

static void describe(const kmw_object_name *name, const kmw_birth *birth,
                     kmw_object_header *header) {
    const size_t text = KMW_NAME_OFFSET + name->length + birth->extra_length;
    *header = (kmw_object_header){
        .kind = birth->kind,
        .name_length = (uint32_t)name->length,
        .extra_length = (uint32_t)birth->extra_length,
        .data_offset = kmw_page_align_up(text),
        .data_size = birth->data_size,
        .created_ns = now_ns(),
        .creator = (int32_t)this_process(),
        .flags = birth->flags,
        .exact_size = birth->exact_size,
    };
    kmw_object_stamp_header(header);
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
static int fill(int descriptor, const kmw_object_place *at, const kmw_object_name *name,
                const kmw_birth *birth, kmw_named *draft) {
    struct stat facts;
    if (!kmw_object_lock(descriptor, LOCK_SH)) {
        return errno;
    }
    int error = set_mode(descriptor, mode_of(birth), &facts);
    if (error != 0) {
        return error;
    }
    kmw_named_remember(draft, at, descriptor, &facts);
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

static void remove_temporary(const kmw_draft *draft, const kmw_object_place *at) {
    if (draft->temporary[0] != '\0') {
        (void)unlinkat(at->directory, draft->temporary, 0); /* at worst it is swept later */
    }
}

DWORD kmw_draft_make(const kmw_object_place *at, const kmw_object_name *name,
                     const kmw_birth *birth, kmw_draft *draft) {
    const int descriptor = open_draft(at, mode_of(birth), draft);
    if (descriptor < 0) {
        return kmw_error_of_errno(errno);
    }
    const int failed = fill(descriptor, at, name, birth, &draft->named);
    DWORD error = failed == 0 ? ERROR_SUCCESS
                              : kmw_section_memory_refused(descriptor, failed, size_of(birth));
    if (error == ERROR_SUCCESS && birth->prepare != NULL) {
        error = birth->prepare(&draft->named, birth->arg);
    }
    if (error != ERROR_SUCCESS) {
        draft->named.descriptor = descriptor;
        kmw_draft_drop(draft, at);
    }
    return error;
}

/* ---- Its name ---- */

int kmw_draft_give_name(const kmw_draft *draft, const kmw_object_place *at) {
    char proc[64];
    if (draft->temporary[0] != '\0') {
        const int result = linkat(at->directory, draft->temporary, at->directory, at->file.name, 0);
        return result == 0 ? 0 : errno;
    }
#ifdef AT_EMPTY_PATH
    /* Older kernels want a privilege for it. */
    if (linkat(draft->named.descriptor, "", at->directory, at->file.name, AT_EMPTY_PATH) == 0) {
        return 0;
    }
    if (errno == EEXIST) {
        return EEXIST;
    }
#endif
    (void)snprintf(proc, sizeof proc, "/proc/self/fd/%d", draft->named.descriptor);
    const int result = linkat(AT_FDCWD, proc, at->directory, at->file.name, AT_SYMLINK_FOLLOW);
    return result == 0 ? 0 : errno;
}

void kmw_draft_finish(kmw_draft *draft, const kmw_object_place *at, kmw_named *named) {
    remove_temporary(draft, at);
    *named = draft->named;
    draft->named.descriptor = -1;
}

void kmw_draft_drop(kmw_draft *draft, const kmw_object_place *at) {
    if (draft->named.descriptor < 0) {
        return;
    }
    close(draft->named.descriptor);
    remove_temporary(draft, at);
    draft->named.descriptor = -1;
}
