/*
 * test_lazy_memory.c - memory filled when it is touched.
 *
 * What ends in a signal is done in a child, which makes memory of its own. Where the process may
 * not use userfaultfd, there is none of this, and the tests are skipped.
 *
 * Not under valgrind: it does not know userfaultfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/userfault.h"
#include "support/process_facts.h"
#include "support/thread.h"

#define CHUNK ((size_t)64 * 1024)
#define PAGE ((size_t)4096)

enum { MOST_CHUNKS = 64, NO_CHUNK = MOST_CHUNKS };

/* What fills the memory, and what it has seen. */
typedef struct source {
    uint64_t damaged; /* this chunk cannot be had */
    atomic_int inside;
    atomic_bool overlapped;
    atomic_uint calls[MOST_CHUNKS];
    atomic_size_t lengths[MOST_CHUNKS];
} source;

static unsigned char byte_at(uint64_t offset) {
    return (unsigned char)(offset * 7 + offset / PAGE + 1);
}

static bool fill(void *arg, uint64_t chunk, void *to, size_t length) {
    source *from = arg;
    if (atomic_fetch_add(&from->inside, 1) != 0) {
        atomic_store(&from->overlapped, true);
    }
    atomic_fetch_add(&from->calls[chunk], 1);
    atomic_store(&from->lengths[chunk], length);
    for (size_t i = 0; i < length; ++i) {
        ((unsigned char *)to)[i] = byte_at(chunk * CHUNK + i);
    }
    atomic_fetch_sub(&from->inside, 1);
    return chunk != from->damaged;
}

static source *good_source(void) {
    source *from = calloc(1, sizeof *from);
    assert_non_null(from);
    from->damaged = NO_CHUNK;
    return from;
}

static unsigned total_calls(source *from) {
    unsigned total = 0;
    for (size_t i = 0; i < MOST_CHUNKS; ++i) {
        total += atomic_load(&from->calls[i]);
    }
    return total;
}

static bool may_use_userfaultfd(void) {
    const int userfault = kmw_userfault_open(0);
    if (userfault >= 0) {
        close(userfault);
    }
    return userfault >= 0;
}

static void need_userfaultfd(void) {
    if (!may_use_userfaultfd()) {
        skip(); /* the system refuses userfaultfd */
    }
}

static unsigned char *make(uint64_t size, bool writable, source *from, km_lazy_memory **memory) {
    void *base = NULL;
    assert_int_equal(
        km_platform_lazy_make(size, (uint32_t)CHUNK, writable, fill, from, memory, &base),
        ERROR_SUCCESS);
    return base;
}

static size_t first_difference(const volatile unsigned char *bytes, size_t start, size_t end) {
    while (start < end && bytes[start] == byte_at(start)) {
        ++start;
    }
    return start;
}

/* ---- Filling ---- */

static void the_first_touch_fills_its_chunk_and_no_other(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = make(8 * CHUNK, false, from, &memory);
    assert_int_equal((uintptr_t)bytes % 65536, 0);
    assert_int_equal(total_calls(from), 0);
    assert_int_equal(bytes[3 * CHUNK + 5000], byte_at(3 * CHUNK + 5000));
    assert_int_equal(first_difference(bytes, 3 * CHUNK, 4 * CHUNK), 4 * CHUNK);
    assert_int_equal(total_calls(from), 1);
    assert_int_equal(from->calls[3], 1);
    assert_int_equal(first_difference(bytes, 0, 8 * CHUNK), 8 * CHUNK);
    assert_int_equal(total_calls(from), 8);
    km_platform_lazy_free(memory);
    free(from);
}

static void a_short_last_chunk_is_followed_by_zeros(void **state) {
    (void)state;
    need_userfaultfd();
    const size_t sizes[] = {1, PAGE - 1, PAGE + 1, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 100};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        source *from = good_source();
        km_lazy_memory *memory = NULL;
        const volatile unsigned char *bytes = make(sizes[i], false, from, &memory);
        const size_t last = (sizes[i] - 1) / CHUNK;
        assert_int_equal(first_difference(bytes, 0, sizes[i]), sizes[i]);
        assert_int_equal(from->lengths[last], sizes[i] - last * CHUNK);
        for (size_t at = sizes[i]; at % PAGE != 0; ++at) {
            assert_int_equal(bytes[at], 0);
        }
        km_platform_lazy_free(memory);
        free(from);
    }
}

static void stores_stay_and_the_rest_of_the_chunk_is_filled(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = make(2 * CHUNK, true, from, &memory);
    bytes[CHUNK + 77] = 200;
    assert_true(km_platform_lazy_fill(memory, 0, 2 * CHUNK));
    assert_int_equal(bytes[CHUNK + 77], 200);
    assert_int_equal(first_difference(bytes, 0, CHUNK + 77), CHUNK + 77);
    assert_int_equal(first_difference(bytes, CHUNK + 78, 2 * CHUNK), 2 * CHUNK);
    assert_int_equal(total_calls(from), 2);
    km_platform_lazy_free(memory);
    free(from);
}

static void filling_ahead_fills_what_the_range_touches_once(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    make(8 * CHUNK + 10, false, from, &memory);
    assert_true(km_platform_lazy_fill(memory, 2 * CHUNK - 1, CHUNK + 2));
    assert_int_equal(total_calls(from), 3);
    assert_true(from->calls[1] == 1 && from->calls[2] == 1 && from->calls[3] == 1);
    assert_true(km_platform_lazy_fill(memory, CHUNK, 3 * CHUNK));
    assert_int_equal(total_calls(from), 3);
    assert_true(km_platform_lazy_fill(memory, 0, 0));
    assert_true(km_platform_lazy_fill(memory, 8 * CHUNK + 10, 0));
    assert_false(km_platform_lazy_fill(memory, 8 * CHUNK, 11));
    assert_false(km_platform_lazy_fill(memory, UINT64_MAX, 2));
    assert_int_equal(total_calls(from), 3);
    km_platform_lazy_free(memory);
    free(from);
}

static void discarded_pages_are_filled_again(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    unsigned char *bytes = make(2 * CHUNK, true, from, &memory);
    memset(bytes, 99, 2 * CHUNK);
    assert_int_equal(madvise(bytes + 2 * PAGE, 3 * PAGE, MADV_DONTNEED), 0);
    assert_int_equal(first_difference(bytes, 2 * PAGE, 5 * PAGE), 5 * PAGE);
    assert_int_equal(bytes[2 * PAGE - 1], 99);
    assert_int_equal(bytes[5 * PAGE], 99);
    km_platform_lazy_free(memory);
    free(from);
}

/* ---- Several threads ---- */

typedef struct walker {
    km_lazy_memory *memory;
    const volatile unsigned char *bytes;
    size_t size;
    size_t stride; /* chunks; odd, so that all are visited */
    bool ahead;    /* asks for each chunk before it looks */
    size_t wrong;
} walker;

static void walk(void *arg) {
    walker *one = arg;
    const size_t chunks = one->size / CHUNK;
    for (size_t i = 0; i < chunks; ++i) {
        const size_t start = i * one->stride % chunks * CHUNK;
        if (one->ahead && !km_platform_lazy_fill(one->memory, start, CHUNK)) {
            ++one->wrong;
        }
        one->wrong += first_difference(one->bytes, start, start + CHUNK) != start + CHUNK;
    }
}

static void threads_that_touch_the_same_chunks_all_see_them_whole(void **state) {
    (void)state;
    need_userfaultfd();
    for (int round = 0; round < 8; ++round) {
        source *from = good_source();
        km_lazy_memory *memory = NULL;
        const size_t size = (size_t)MOST_CHUNKS * CHUNK;
        const volatile unsigned char *bytes = make(size, round % 2 != 0, from, &memory);
        walker walkers[] = {{memory, bytes, size, 1, false, 0},
                            {memory, bytes, size, 1, true, 0},
                            {memory, bytes, size, 63, false, 0},
                            {memory, bytes, size, 5, true, 0}};
        thread *threads[4];
        for (size_t i = 0; i < 4; ++i) {
            threads[i] = thread_start(walk, &walkers[i]);
        }
        for (size_t i = 0; i < 4; ++i) {
            thread_join(threads[i]);
        }
        for (size_t i = 0; i < 4; ++i) {
            assert_int_equal(walkers[i].wrong, 0);
        }
        assert_false(atomic_load(&from->overlapped));
        assert_true(total_calls(from) >= MOST_CHUNKS);
        km_platform_lazy_free(memory);
        free(from);
    }
}

/* ---- The kernel's own accesses ---- */

static void the_kernel_sees_a_chunk_only_once_it_is_filled(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    unsigned char *bytes = make(4 * CHUNK, true, from, &memory);
    const int file = open("kernel", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes + CHUNK, PAGE), -1);
    assert_int_equal(errno, EFAULT);
    assert_int_equal(total_calls(from), 0);
    assert_true(km_platform_lazy_fill(memory, CHUNK, CHUNK));
    assert_int_equal(write(file, bytes + CHUNK, PAGE), PAGE);
    assert_int_equal(pread(file, bytes + 2 * CHUNK, PAGE, 0), -1);
    assert_int_equal(errno, EFAULT);
    assert_true(km_platform_lazy_fill(memory, 2 * CHUNK, PAGE));
    assert_int_equal(pread(file, bytes + 2 * CHUNK, PAGE, 0), PAGE);
    assert_memory_equal(bytes + 2 * CHUNK, bytes + CHUNK, PAGE);
    close(file);
    km_platform_lazy_free(memory);
    free(from);
}

/* ---- Signals ---- */

static const volatile unsigned char *handler_bytes;
static volatile sig_atomic_t handler_saw;

static void touch_in_handler(int signal) {
    (void)signal;
    handler_saw = handler_bytes[3 * CHUNK];
}

static bool fill_and_raise(void *arg, uint64_t chunk, void *to, size_t length) {
    (void)kill(getpid(), SIGUSR1); /* for any thread that takes it */
    return fill(arg, chunk, to, length);
}

static void a_handler_may_touch_what_is_not_filled_while_its_thread_fills_ahead(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    void *base = NULL;
    struct sigaction action = {.sa_handler = touch_in_handler};
    struct sigaction before;
    assert_int_equal(km_platform_lazy_make(4 * CHUNK, (uint32_t)CHUNK, false, fill_and_raise, from,
                                           &memory, &base),
                     ERROR_SUCCESS);
    handler_bytes = base;
    handler_saw = -1;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_true(km_platform_lazy_fill(memory, 0, 1));
    assert_int_equal(handler_saw, byte_at(3 * CHUNK));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    km_platform_lazy_free(memory);
    free(from);
}

/* ---- What must not be touched: in children ---- */

/* The signal that ended the child, or its exit code negated. */
static int end_of_child(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

/* In a child: memory whose chunk 2 is damaged, or that is read-only. */
static volatile unsigned char *make_for_end(source *from, bool writable, km_lazy_memory **memory) {
    void *base = NULL;
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    if (km_platform_lazy_make(4 * CHUNK, (uint32_t)CHUNK, writable, fill, from, memory, &base) !=
        ERROR_SUCCESS) {
        _exit(100);
    }
    return base;
}

static int signal_of_damage(void) {
    const int userfault = kmw_userfault_open(KMW_FEATURE_POISON);
    if (userfault >= 0) {
        close(userfault);
    }
    return userfault >= 0 ? SIGBUS : SIGSEGV;
}

static void touching_a_damaged_chunk_raises_a_signal(void **state) {
    (void)state;
    need_userfaultfd();
    for (int ahead = 0; ahead < 2; ++ahead) {
        const pid_t child = fork();
        if (child == 0) {
            source *from = good_source();
            km_lazy_memory *memory = NULL;
            from->damaged = 2;
            volatile unsigned char *bytes = make_for_end(from, true, &memory);
            if (first_difference(bytes, 0, 2 * CHUNK) != 2 * CHUNK ||
                (ahead != 0 && km_platform_lazy_fill(memory, 2 * CHUNK, 1))) {
                _exit(101);
            }
            _exit(bytes[2 * CHUNK + 3 * PAGE]);
        }
        assert_int_equal(end_of_child(child), signal_of_damage());
    }
}

static void a_damaged_chunk_is_asked_for_once_and_harms_no_other(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    from->damaged = 1;
    const volatile unsigned char *bytes = make(4 * CHUNK, false, from, &memory);
    assert_false(km_platform_lazy_fill(memory, 0, 4 * CHUNK));
    assert_false(km_platform_lazy_fill(memory, CHUNK, 1));
    assert_int_equal(from->calls[1], 1);
    assert_true(km_platform_lazy_fill(memory, 2 * CHUNK, 2 * CHUNK));
    assert_int_equal(first_difference(bytes, 0, CHUNK), CHUNK);
    assert_int_equal(first_difference(bytes, 2 * CHUNK, 4 * CHUNK), 4 * CHUNK);
    km_platform_lazy_free(memory);
    free(from);
}

static void discarding_a_damaged_chunk_does_not_mend_it(void **state) {
    (void)state;
    need_userfaultfd();
    const pid_t child = fork();
    if (child == 0) {
        source *from = good_source();
        km_lazy_memory *memory = NULL;
        from->damaged = 2;
        volatile unsigned char *bytes = make_for_end(from, true, &memory);
        if (km_platform_lazy_fill(memory, 2 * CHUNK, 1) ||
            madvise((void *)(uintptr_t)(bytes + 2 * CHUNK), CHUNK, MADV_DONTNEED) != 0) {
            _exit(101);
        }
        _exit(bytes[2 * CHUNK]);
    }
    assert_int_equal(end_of_child(child), signal_of_damage());
}

static void a_store_to_read_only_memory_raises_a_signal(void **state) {
    (void)state;
    need_userfaultfd();
    const pid_t child = fork();
    if (child == 0) {
        km_lazy_memory *memory = NULL;
        volatile unsigned char *bytes = make_for_end(good_source(), false, &memory);
        if (bytes[0] != byte_at(0)) {
            _exit(101);
        }
        bytes[0] = 1;
        _exit(0);
    }
    assert_int_equal(end_of_child(child), SIGSEGV);
}

static void a_child_has_not_got_the_memory_and_may_free_it(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = make(4 * CHUNK, true, from, &memory);
    bytes[0] = 9;
    const pid_t toucher = fork();
    if (toucher == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(bytes[0]);
    }
    assert_int_equal(end_of_child(toucher), SIGSEGV);
    const pid_t freer = fork();
    if (freer == 0) {
        km_platform_lazy_free(memory);
        _exit(3);
    }
    assert_int_equal(end_of_child(freer), -3);
    assert_int_equal(bytes[0], 9);
    assert_int_equal(bytes[2 * CHUNK], byte_at(2 * CHUNK));
    km_platform_lazy_free(memory);
    free(from);
}

static void a_child_fills_nothing_ahead_for_its_parent(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    km_lazy_memory *memory = NULL;
    const volatile unsigned char *bytes = make(4 * CHUNK, false, from, &memory);
    assert_int_equal(bytes[0], byte_at(0));
    const pid_t child = fork();
    if (child == 0) {
        const bool any =
            km_platform_lazy_fill(memory, 0, 1) || km_platform_lazy_fill(memory, 2 * CHUNK, 1);
        _exit(any || total_calls(from) != 1 ? 1 : 0);
    }
    assert_int_equal(end_of_child(child), 0);
    assert_int_equal(bytes[2 * CHUNK], byte_at(2 * CHUNK));
    assert_int_equal(from->calls[2], 1);
    km_platform_lazy_free(memory);
    free(from);
}

static void a_plain_user_has_it_too(void **state) {
    (void)state;
    if (geteuid() != 0) {
        skip(); /* the other tests are run by a plain user already */
    }
    const pid_t child = fork();
    if (child == 0) {
        if (setuid(65534) != 0) {
            _exit(100);
        }
        if (!may_use_userfaultfd()) {
            _exit(77);
        }
        km_lazy_memory *memory = NULL;
        volatile unsigned char *bytes = make_for_end(good_source(), true, &memory);
        const bool whole = first_difference(bytes, 0, 4 * CHUNK) == 4 * CHUNK;
        km_platform_lazy_free(memory);
        _exit(whole ? 0 : 101);
    }
    const int end = end_of_child(child);
    if (end == -77) {
        skip(); /* the system refuses userfaultfd to plain users */
    }
    assert_int_equal(end, 0);
}

/* ---- Making and freeing ---- */

static void what_makes_no_sense_is_refused_and_nothing_is_touched(void **state) {
    (void)state;
    source *from = good_source();
    km_lazy_memory *memory = (km_lazy_memory *)from;
    void *base = from;
    const uint32_t bad_chunks[] = {0, 4096, 32768, 65537, 3 * 65536};
    for (size_t i = 0; i < sizeof bad_chunks / sizeof bad_chunks[0]; ++i) {
        assert_int_equal(
            km_platform_lazy_make(CHUNK, bad_chunks[i], true, fill, from, &memory, &base),
            ERROR_INVALID_PARAMETER);
    }
    assert_int_equal(km_platform_lazy_make(0, (uint32_t)CHUNK, true, fill, from, &memory, &base),
                     ERROR_INVALID_PARAMETER);
    assert_int_equal(
        km_platform_lazy_make(CHUNK, (uint32_t)CHUNK, true, NULL, from, &memory, &base),
        ERROR_INVALID_PARAMETER);
    assert_ptr_equal(memory, from);
    assert_ptr_equal(base, from);
    free(from);
}

static void nothing_is_left_behind(void **state) {
    (void)state;
    need_userfaultfd();
    source *from = good_source();
    const unsigned descriptors = process_descriptors();
    for (int i = 0; i < 3; ++i) {
        km_lazy_memory *memory = NULL;
        volatile unsigned char *bytes = make(4 * CHUNK, i != 0, from, &memory);
        assert_int_equal(bytes[0], byte_at(0));
        km_platform_lazy_free(memory);
        assert_int_equal(msync((void *)(uintptr_t)bytes, PAGE, MS_ASYNC), -1);
        assert_int_equal(errno, ENOMEM);
    }
    km_platform_lazy_free(NULL);
    assert_int_equal(process_descriptors(), descriptors);
    free(from);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_touch_fills_its_chunk_and_no_other),
        cmocka_unit_test(a_short_last_chunk_is_followed_by_zeros),
        cmocka_unit_test(stores_stay_and_the_rest_of_the_chunk_is_filled),
        cmocka_unit_test(filling_ahead_fills_what_the_range_touches_once),
        cmocka_unit_test(discarded_pages_are_filled_again),
        cmocka_unit_test(threads_that_touch_the_same_chunks_all_see_them_whole),
        cmocka_unit_test(the_kernel_sees_a_chunk_only_once_it_is_filled),
        cmocka_unit_test(a_handler_may_touch_what_is_not_filled_while_its_thread_fills_ahead),
        cmocka_unit_test(touching_a_damaged_chunk_raises_a_signal),
        cmocka_unit_test(a_damaged_chunk_is_asked_for_once_and_harms_no_other),
        cmocka_unit_test(discarding_a_damaged_chunk_does_not_mend_it),
        cmocka_unit_test(a_store_to_read_only_memory_raises_a_signal),
        cmocka_unit_test(a_child_has_not_got_the_memory_and_may_free_it),
        cmocka_unit_test(a_child_fills_nothing_ahead_for_its_parent),
        cmocka_unit_test(a_plain_user_has_it_too),
        cmocka_unit_test(what_makes_no_sense_is_refused_and_nothing_is_touched),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
