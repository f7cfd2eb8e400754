/*
 * test_lazy_limits.c - memory filled when it is touched, of terabytes, and where a process may have
 * little. Each in a child: limits are not to be had back.
 *
 * Not under asan: it keeps address space for itself, and looks at all that is mapped.
 * Not under tsan: likewise.
 * Not under valgrind: it does not know userfaultfd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/userfault.h"
#include "support/process_facts.h"

#define CHUNK ((size_t)64 * 1024)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

static bool fill(void *arg, uint64_t chunk, void *to, size_t length) {
    (void)arg;
    memset(to, (int)(chunk % 250 + 1), length);
    return true;
}

static unsigned char byte_at(uint64_t offset) {
    return (unsigned char)(offset / CHUNK % 250 + 1);
}

static void need_userfaultfd(void) {
    const int userfault = kmw_userfault_open(0);
    if (userfault < 0) {
        skip(); /* the system refuses userfaultfd */
    }
    close(userfault);
}

static DWORD make(uint64_t size, bool writable, km_lazy_memory **memory,
                  volatile unsigned char **bytes) {
    void *base = NULL;
    const DWORD error =
        km_platform_lazy_make(size, (uint32_t)CHUNK, writable, fill, NULL, memory, &base);
    *bytes = base;
    return error;
}

/* What `run` returns in a child. */
static int in_child(int (*run)(void)) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(run());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Here and there in memory that nobody has: only what is touched is there. */
static int touch_terabytes(void) {
    const uint64_t size = 16 * TIB - 5;
    const uint64_t places[] = {0, 3 * TIB + 123, 16 * TIB - 6};
    const struct rlimit little = {256 * MIB, 256 * MIB};
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    if (setrlimit(RLIMIT_DATA, &little) != 0) {
        return 1;
    }
    if (make(size, false, &memory, &bytes) != ERROR_SUCCESS) {
        return 2;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
        if (bytes[places[i]] != byte_at(places[i])) {
            return 3;
        }
    }
    km_platform_lazy_free(memory);
    return 0;
}

static void terabytes_can_be_opened_and_touched(void **state) {
    (void)state;
    need_userfaultfd();
    assert_int_equal(in_child(touch_terabytes), 0);
}

static void more_than_there_can_be_is_refused(void **state) {
    (void)state;
    need_userfaultfd();
    const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 4096, UINT64_MAX - 65536, (uint64_t)1 << 62};
    const unsigned descriptors = process_descriptors();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        km_lazy_memory *memory = NULL;
        volatile unsigned char *bytes = NULL;
        assert_int_equal(make(sizes[i], false, &memory, &bytes), ERROR_NOT_ENOUGH_MEMORY);
        assert_null(memory);
        assert_null(bytes);
    }
    assert_int_equal(process_descriptors(), descriptors);
}

static int exceed_address_space(void) {
    const struct rlimit limit = {512 * MIB, 512 * MIB};
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        return 1;
    }
    if (make(1024 * MIB, true, &memory, &bytes) != ERROR_NOT_ENOUGH_MEMORY || memory != NULL) {
        return 2;
    }
    if (make(16 * MIB, true, &memory, &bytes) != ERROR_SUCCESS || bytes[0] != byte_at(0)) {
        return 3;
    }
    km_platform_lazy_free(memory);
    return 0;
}

static void more_than_the_address_space_allowed_is_refused(void **state) {
    (void)state;
    need_userfaultfd();
    assert_int_equal(in_child(exceed_address_space), 0);
}

/* All memory shall be locked, and be there at once: it must not come as zeros. */
static int lock_all(void) {
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        return 77;
    }
    for (int writable = 0; writable < 2; ++writable) {
        const DWORD error = make(16 * MIB, writable != 0, &memory, &bytes);
        if (error != ERROR_SUCCESS) {
            return error == ERROR_NOT_ENOUGH_MEMORY && geteuid() != 0 ? 77 : 2;
        }
        for (uint64_t at = 0; at < 16 * MIB; at += 4096) {
            if (bytes[at] != byte_at(at)) {
                return 3;
            }
        }
        km_platform_lazy_free(memory);
    }
    return 0;
}

static void memory_that_is_to_be_locked_is_filled_too(void **state) {
    (void)state;
    need_userfaultfd();
    const int code = in_child(lock_all);
    if (code == 77) {
        skip(); /* may not lock so much memory */
    }
    assert_int_equal(code, 0);
}

static int lock_beyond_the_limit(void) {
    const struct rlimit limit = {4 * MIB, 4 * MIB};
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0) ||
        mlockall(MCL_FUTURE) != 0) {
        return 77;
    }
    return make(1024 * MIB, true, &memory, &bytes) == ERROR_NOT_ENOUGH_MEMORY ? 0 : 1;
}

static void more_than_may_be_locked_is_refused(void **state) {
    (void)state;
    need_userfaultfd();
    const int code = in_child(lock_beyond_the_limit);
    if (code == 77) {
        skip(); /* may not lock all memory */
    }
    assert_int_equal(code, 0);
}

static int want_descriptors(void) {
    const struct rlimit limit = {3, 3};
    km_lazy_memory *memory = NULL;
    km_tracker *tracker = NULL;
    volatile unsigned char *bytes = NULL;
    static unsigned char page[8192];
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1;
    }
    void *const view = (void *)(((uintptr_t)page + 4095) / 4096 * 4096);
    return make(MIB, true, &memory, &bytes) == ERROR_TOO_MANY_OPEN_FILES &&
                   km_platform_tracker_start(view, 4096, &tracker) == ERROR_TOO_MANY_OPEN_FILES
               ? 0
               : 2;
}

static void want_of_descriptors_is_told(void **state) {
    (void)state;
    need_userfaultfd();
    assert_int_equal(in_child(want_descriptors), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terabytes_can_be_opened_and_touched),
        cmocka_unit_test(more_than_there_can_be_is_refused),
        cmocka_unit_test(more_than_the_address_space_allowed_is_refused),
        cmocka_unit_test(memory_that_is_to_be_locked_is_filled_too),
        cmocka_unit_test(more_than_may_be_locked_is_refused),
        cmocka_unit_test(want_of_descriptors_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
