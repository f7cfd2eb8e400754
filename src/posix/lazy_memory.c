/*
 * lazy_memory.c - platform.h on POSIX: memory filled when it is touched.
 *
 * Private anonymous memory is registered with a userfaultfd before it may be accessed at all, so no
 * page can come in empty. A thread of ours, the filler, is told of each page that is missed, has
 * the caller's function make the whole chunk in a buffer, and lets the kernel copy it into place,
 * which wakes those who wait. km_platform_lazy_fill does the same in its caller's thread. One chunk
 * is made at a time, in the one buffer, under a mutex.
 *
 * A thread that waits for a page may hold anything; so the filler never touches the memory, and
 * takes only that mutex. It is never held by a thread that might touch the memory: in
 * km_platform_lazy_fill not even a signal's handler can come in between.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "last_error.h"
#include "platform.h"
#include "size.h"
#include "userfault.h"
#include "view.h"

/* Of a chunk; two bits. It changes under the mutex, and is read without. */
enum { EMPTY = 0, FILLED = 1, DAMAGED = 2, STATE_MASK = 3, STATES_A_WORD = 16 };

struct km_lazy_memory {
    char *base;
    size_t length; /* whole pages */
    size_t page;
    uint64_t size;
    uint32_t chunk_size;
    int userfault;
    int wake;        /* an eventfd: the filler shall end */
    bool can_poison; /* else a chunk that cannot be had loses its access rights */
    bool has_mutex;
    bool has_filler;
    pid_t process; /* in a child made by fork there is neither the memory nor the filler */
    km_fill_function fill;
    void *arg;
    char *buffer; /* one chunk in whole pages */
    _Atomic uint32_t *states;
    pthread_mutex_t filling; /* whoever has it may use `buffer` and change states and pages */
    km_thread filler;
};

/* ---- States ---- */

static unsigned state_of(const km_lazy_memory *memory, uint64_t chunk) {
    const uint32_t word =
        atomic_load_explicit(&memory->states[chunk / STATES_A_WORD], memory_order_acquire);
    return word >> chunk % STATES_A_WORD * 2 & STATE_MASK;
}

/* A chunk is EMPTY once, and DAMAGED for good. */
static void add_state(km_lazy_memory *memory, uint64_t chunk, unsigned state) {
    atomic_fetch_or_explicit(&memory->states[chunk / STATES_A_WORD],
                             (uint32_t)state << chunk % STATES_A_WORD * 2, memory_order_release);
}

/* ---- Pages ---- */

typedef struct stretch {
    char *start; /* whole pages of the memory */
    size_t length;
} stretch;

static stretch stretch_of(const km_lazy_memory *memory, uint64_t chunk) {
    const size_t offset = (size_t)(chunk * memory->chunk_size);
    const size_t left = memory->length - offset;
    return (stretch){memory->base + offset, left < memory->chunk_size ? left : memory->chunk_size};
}

/* Those who wait for a page of the stretch look at it again. */
static void wake(const km_lazy_memory *memory, stretch pages) {
    struct uffdio_range range = {(uintptr_t)pages.start, pages.length};
    (void)ioctl(memory->userfault, UFFDIO_WAKE, &range);
}

/* Each puts something at `pages`, which are missing; the bytes done or a negative errno. */
typedef int64_t (*put_function)(const km_lazy_memory *memory, stretch pages, const char *from);

static int64_t put_bytes(const km_lazy_memory *memory, stretch pages, const char *from) {
    struct uffdio_copy copy = {
        .dst = (uintptr_t)pages.start, .src = (uintptr_t)from, .len = pages.length};
    if (ioctl(memory->userfault, UFFDIO_COPY, &copy) == 0) {
        return (int64_t)pages.length;
    }
    return copy.copy > 0 ? copy.copy : -errno;
}

static int64_t put_poison(const km_lazy_memory *memory, stretch pages, const char *from) {
    (void)from;
    kmw_poison poison = {.range = {(uintptr_t)pages.start, pages.length}};
    if (ioctl(memory->userfault, KMW_UFFDIO_POISON, &poison) == 0) {
        return (int64_t)pages.length;
    }
    return poison.updated > 0 ? poison.updated : -errno;
}

/* Pages that are there already stay as they are: the program may have stored to them. */
static bool put_all(const km_lazy_memory *memory, stretch pages, const char *from,
                    put_function put) {
    while (pages.length > 0) {
        int64_t done = put(memory, pages, from);
        if (done == -EAGAIN) { /* the address space is changing just now */
            sched_yield();
            continue;
        }
        if (done == -EEXIST) {
            done = (int64_t)memory->page;
        }
        if (done <= 0) {
            return false;
        }
        pages.start += done;
        pages.length -= (size_t)done;
        from += done;
    }
    return true;
}

/*
 * Touching the missing pages of the stretch shall end in a signal, never in a page of zeros. Access
 * rights can be refused, to one stretch too many, but not to all of the memory.
 */
static void spoil(const km_lazy_memory *memory, stretch pages) {
    if (!(memory->can_poison && put_all(memory, pages, memory->buffer, put_poison)) &&
        mprotect(pages.start, pages.length, PROT_NONE) != 0) {
        (void)mprotect(memory->base, memory->length, PROT_NONE);
    }
    wake(memory, pages);
}

/* ---- Filling ---- */

/* The chunk is made and put into place, or spoilt. `filling` is held. */
static void fill_chunk(km_lazy_memory *memory, uint64_t chunk) {
    const stretch pages = stretch_of(memory, chunk);
    const uint64_t left = memory->size - chunk * memory->chunk_size;
    const size_t length = left < pages.length ? (size_t)left : pages.length;
    bool filled = memory->fill(memory->arg, chunk, memory->buffer, length);
    if (filled) {
        memset(memory->buffer + length, 0, pages.length - length);
        filled = put_all(memory, pages, memory->buffer, put_bytes);
    }
    if (!filled) {
        spoil(memory, pages);
    }
    add_state(memory, chunk, filled ? FILLED : DAMAGED);
}

/* Is the page there? It is not where somebody has thrown it away (MADV_DONTNEED). */
static bool is_present(const km_lazy_memory *memory, stretch page) {
    unsigned char resident = 0;
    return mincore(page.start, memory->page, &resident) == 0 && (resident & 1) != 0;
}

/* Somebody waits for the page at `address`, or did when the message was written. */
static void answer(km_lazy_memory *memory, uint64_t address) {
    const uint64_t offset =
        km_size_align_down(address - (uintptr_t)memory->base, (uint64_t)memory->page);
    const stretch page = {memory->base + offset, memory->page};
    const uint64_t chunk = offset / memory->chunk_size;
    pthread_mutex_lock(&memory->filling);
    const unsigned state = state_of(memory, chunk);
    if (state >= DAMAGED) {
        spoil(memory, page);
    } else if (state == FILLED && is_present(memory, page)) {
        wake(memory, page);
    } else {
        fill_chunk(memory, chunk);
    }
    pthread_mutex_unlock(&memory->filling);
}

static void serve(void *arg) {
    km_lazy_memory *memory = arg;
    struct pollfd events[2] = {{memory->userfault, POLLIN, 0}, {memory->wake, POLLIN, 0}};
    for (;;) {
        if (poll(events, 2, -1) < 0) {
            continue; /* want of memory for a moment */
        }
        if (events[1].revents != 0) {
            return;
        }
        struct uffd_msg message;
        if (read(memory->userfault, &message, sizeof message) == (ssize_t)sizeof message &&
            message.event == UFFD_EVENT_PAGEFAULT) {
            answer(memory, message.arg.pagefault.address);
        }
    }
}

/* All but those that the thread's own instructions raise: nobody handles these by going on. */
static void hold_signals(sigset_t *before) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t held;
    sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; ++i) {
        sigdelset(&held, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &held, before);
}

static bool fill_now(km_lazy_memory *memory, uint64_t chunk) {
    sigset_t before;
    hold_signals(&before);
    pthread_mutex_lock(&memory->filling);
    if (state_of(memory, chunk) == EMPTY) {
        fill_chunk(memory, chunk);
    }
    pthread_mutex_unlock(&memory->filling);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return state_of(memory, chunk) == FILLED;
}

/* In a child made by fork the descriptor and the mutex would be its parent's still. */
bool km_platform_lazy_fill(km_lazy_memory *memory, uint64_t offset, uint64_t length) {
    if (!km_size_inside(offset, length, memory->size) || memory->process != getpid()) {
        return false;
    }
    if (length == 0) {
        return true;
    }
    const uint64_t last = (offset + length - 1) / memory->chunk_size;
    bool filled = true;
    for (uint64_t chunk = offset / memory->chunk_size; chunk <= last && filled; ++chunk) {
        filled = state_of(memory, chunk) == FILLED || fill_now(memory, chunk);
    }
    return filled;
}

/* ---- Making ---- */

static DWORD map_error(int error) {
    /* EAGAIN: all memory is to be locked (mlockall), and so much may not be. */
    return error == EAGAIN ? ERROR_NOT_ENOUGH_MEMORY : kmw_error_of_errno(error);
}

/*
 * Address space that cannot be accessed yet: who has asked for all memory to be locked and there
 * (mlockall) gets no pages into this, and a child none of it.
 */
static DWORD map_memory(km_lazy_memory *memory) {
    kmw_views_lock();
    void *const base = kmw_place_reservation(memory->length);
    const int error = errno;
    kmw_views_unlock();
    if (base == MAP_FAILED) {
        return map_error(error);
    }
    memory->base = base;
    return madvise(memory->base, memory->length, MADV_DONTFORK) == 0 ? ERROR_SUCCESS
                                                                     : map_error(errno);
}

static DWORD open_userfault(km_lazy_memory *memory) {
    memory->userfault = kmw_userfault_open(KMW_FEATURE_POISON);
    memory->can_poison = memory->userfault >= 0;
    if (!memory->can_poison && errno == EINVAL) {
        memory->userfault = kmw_userfault_open(0);
    }
    if (memory->userfault < 0) {
        return kmw_userfault_error(errno);
    }
    memory->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return memory->wake >= 0 ? ERROR_SUCCESS : kmw_userfault_error(errno);
}

static DWORD allocate(km_lazy_memory *memory) {
    const uint64_t chunks = (memory->size - 1) / memory->chunk_size + 1;
    const size_t words = (size_t)((chunks - 1) / STATES_A_WORD + 1);
    const stretch first = stretch_of(memory, 0);
    memory->states = calloc(words, sizeof *memory->states);
    memory->buffer = malloc(first.length);
    if (memory->states == NULL || memory->buffer == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    memory->has_mutex = pthread_mutex_init(&memory->filling, NULL) == 0;
    return memory->has_mutex ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
}

static DWORD set_up(km_lazy_memory *memory, bool writable) {
    DWORD error = open_userfault(memory);
    if (error == ERROR_SUCCESS) {
        error = map_memory(memory);
    }
    if (error == ERROR_SUCCESS) {
        error = allocate(memory);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (!kmw_userfault_register(memory->userfault, memory->base, memory->length,
                                UFFDIO_REGISTER_MODE_MISSING)) {
        return kmw_userfault_error(errno);
    }
    error = km_platform_thread_start(&memory->filler, serve, memory);
    memory->has_filler = error == ERROR_SUCCESS;
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    return mprotect(memory->base, memory->length, protection) == 0 ? ERROR_SUCCESS
                                                                   : map_error(errno);
}

DWORD km_platform_lazy_make(uint64_t size, uint32_t chunk_size, bool writable,
                            km_fill_function fill, void *arg, km_lazy_memory **memory,
                            void **base) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t length = 0;
    if (size == 0 || fill == NULL || chunk_size < KMW_GRANULARITY ||
        (chunk_size & (chunk_size - 1)) != 0) {
        return ERROR_INVALID_PARAMETER;
    }
    if (!km_size_align_up(size, page, &length) || !km_size_addressable(length)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    km_lazy_memory *made = malloc(sizeof *made);
    if (made == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *made = (km_lazy_memory){.length = (size_t)length,
                             .page = page,
                             .size = size,
                             .chunk_size = chunk_size,
                             .userfault = -1,
                             .wake = -1,
                             .process = getpid(),
                             .fill = fill,
                             .arg = arg};
    const DWORD error = set_up(made, writable);
    if (error != ERROR_SUCCESS) {
        km_platform_lazy_free(made);
        return error;
    }
    *memory = made;
    *base = made->base;
    return ERROR_SUCCESS;
}

/* ---- Freeing ---- */

/*
 * The filler ends first, so that it serves to the last. Whoever waits even now, against the
 * contract, is woken when there is nothing to wait for any more, also if a child made by fork keeps
 * the descriptor.
 */
static void take_down(km_lazy_memory *memory) {
    if (memory->has_filler) {
        (void)eventfd_write(memory->wake, 1);
        km_platform_thread_join(&memory->filler);
    }
    if (memory->base != NULL) {
        munmap(memory->base, memory->length);
        wake(memory, (stretch){memory->base, memory->length});
    }
    if (memory->has_mutex) {
        pthread_mutex_destroy(&memory->filling);
    }
}

void km_platform_lazy_free(km_lazy_memory *memory) {
    if (memory == NULL) {
        return;
    }
    if (memory->process == getpid()) {
        take_down(memory);
    }
    if (memory->wake >= 0) {
        close(memory->wake);
    }
    if (memory->userfault >= 0) {
        close(memory->userfault);
    }
    free(memory->states);
    free(memory->buffer);
    free(memory);
}
