/*
 * test_fault_lazy.c - memory filled when it is touched, and trackers, when the system refuses:
 * there is an error and nothing is left; and never a page of zeros.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 *
 * Not under valgrind: it does not know userfaultfd.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/fault/fault.h"
#include "posix/userfault.h"
#include "support/process_facts.h"

#define CHUNK ((size_t)64 * 1024)
#define PAGE ((size_t)4096)

enum { CHUNKS = 4, DAMAGED = 2, MOST_CALLS = 100 };

/* What children say when it did not come as far as it should. */
enum { CAME_TOO_FAR = 90, COULD_NOT_MAKE = 91, WAS_FILLED = 92, WAS_WRONG = 93 };

static bool fill(void *arg, uint64_t chunk, void *to, size_t length) {
    memset(to, (int)chunk + 1, length);
    return arg == NULL || chunk != DAMAGED;
}

static void need_userfaultfd(void) {
    const int userfault = kmw_userfault_open(0);
    if (userfault < 0) {
        skip(); /* the system refuses userfaultfd */
    }
    close(userfault);
}

/* `arg` NULL: all chunks can be had. */
static DWORD make(void *arg, km_lazy_memory **memory, volatile unsigned char **bytes) {
    void *base = NULL;
    const DWORD error =
        km_platform_lazy_make(CHUNKS * CHUNK, (uint32_t)CHUNK, true, fill, arg, memory, &base);
    *bytes = base;
    return error;
}

/* The k-th call or allocation fails, for every k until none does. An attempt disarms, and says
 * whether anything failed, before it clears away what it has made. */
static void sweep(fault_kind kind, int error, DWORD (*attempt)(bool *struck)) {
    bool struck = true;
    unsigned strikes = 0;
    for (unsigned k = 1; struck && k < MOST_CALLS; ++k) {
        const unsigned descriptors = process_descriptors();
        const long allocations = fault_outstanding_allocations();
        fault_arm(kind, k, error, false);
        const DWORD result = attempt(&struck);
        assert_int_equal(process_descriptors(), descriptors);
        assert_int_equal(fault_outstanding_allocations(), allocations);
        if (struck && result == ERROR_SUCCESS) {
            fail_msg("%s, call %u, failed unseen", fault_victim(), k);
        }
        if (!struck) {
            assert_int_equal(result, ERROR_SUCCESS);
        }
        strikes += struck;
    }
    assert_false(struck);
    assert_true(strikes > 0);
}

/* ---- Making lazy memory ---- */

static DWORD make_and_free(bool *struck) {
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    const DWORD error = make(NULL, &memory, &bytes);
    *struck = fault_disarm();
    assert_true((memory == NULL) == (error != ERROR_SUCCESS));
    assert_true((bytes == NULL) == (error != ERROR_SUCCESS));
    if (bytes != NULL) {
        assert_int_equal(bytes[CHUNK], 2);
        km_platform_lazy_free(memory);
    }
    return error;
}

static void lazy_memory_that_cannot_be_made_leaves_nothing(void **state) {
    (void)state;
    need_userfaultfd();
    sweep(FAULT_ALLOCATIONS, ENOMEM, make_and_free);
    sweep(FAULT_SYSTEM, ENOMEM, make_and_free);
    sweep(FAULT_SYSTEM, EPERM, make_and_free);
}

/* ---- Filling ---- */

static void filling_goes_on_after_the_address_space_has_changed(void **state) {
    (void)state;
    need_userfaultfd();
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    assert_int_equal(make(NULL, &memory, &bytes), ERROR_SUCCESS);
    fault_arm_call("ioctl", 1, EAGAIN, false);
    assert_true(km_platform_lazy_fill(memory, CHUNK, 1));
    assert_true(fault_disarm());
    assert_int_equal(bytes[CHUNK], 2);
    assert_int_equal(bytes[2 * CHUNK - 1], 2);
    km_platform_lazy_free(memory);
}

/* In children: what fails, and then a touch that must not come back. */

static int touch_what_could_not_be_copied(void) {
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    if (make(NULL, &memory, &bytes) != ERROR_SUCCESS) {
        return COULD_NOT_MAKE;
    }
    fault_arm_call("ioctl", 1, ENOMEM, false);
    const bool filled = km_platform_lazy_fill(memory, CHUNK, 1);
    if (!fault_disarm() || filled || km_platform_lazy_fill(memory, CHUNK, 1)) {
        return WAS_FILLED;
    }
    if (bytes[0] != 1) {
        return WAS_WRONG;
    }
    return bytes[CHUNK] == 0 ? CAME_TOO_FAR : WAS_WRONG;
}

/* The damaged chunk, by whichever means its access is refused; `call` fails meanwhile. */
static int touch_what_is_damaged(bool old_kernel, const char *call, size_t touched) {
    km_lazy_memory *memory = NULL;
    volatile unsigned char *bytes = NULL;
    int damage = 0;
    if (old_kernel) {
        fault_arm_call("ioctl", 1, EINVAL, false); /* it does not know the feature */
    }
    const DWORD error = make(&damage, &memory, &bytes);
    if (error != ERROR_SUCCESS || (old_kernel && !fault_disarm())) {
        return COULD_NOT_MAKE;
    }
    if (bytes[0] != 1) {
        return WAS_WRONG;
    }
    if (call != NULL) {
        fault_arm_call(call, 1, ENOMEM, false);
        const bool filled = km_platform_lazy_fill(memory, DAMAGED * CHUNK, 1);
        if (!fault_disarm() || filled) {
            return WAS_FILLED;
        }
    }
    return bytes[touched] == 0 ? CAME_TOO_FAR : WAS_WRONG;
}

static int touch_on_an_older_kernel(void) {
    return touch_what_is_damaged(true, NULL, DAMAGED * CHUNK + PAGE);
}

static int touch_what_could_not_be_poisoned(void) {
    return touch_what_is_damaged(false, "ioctl", DAMAGED * CHUNK + PAGE);
}

static int touch_what_could_not_be_protected_alone(void) {
    return touch_what_is_damaged(true, "mprotect", DAMAGED * CHUNK + PAGE);
}

static void expect_signal(int (*run)(void), int signal_number, int other_signal) {
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        alarm(60);
        _exit(run());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        fail_msg("ended with %d", WEXITSTATUS(status));
    }
    assert_true(WTERMSIG(status) == signal_number || WTERMSIG(status) == other_signal);
}

static void what_cannot_be_had_raises_a_signal_whatever_fails(void **state) {
    (void)state;
    need_userfaultfd();
    expect_signal(touch_what_could_not_be_copied, SIGBUS, SIGSEGV);
    expect_signal(touch_on_an_older_kernel, SIGSEGV, SIGSEGV);
    expect_signal(touch_what_could_not_be_poisoned, SIGSEGV, SIGSEGV);
    expect_signal(touch_what_could_not_be_protected_alone, SIGSEGV, SIGSEGV);
}

/* ---- Trackers ---- */

static unsigned char *map_page(void) {
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    return page;
}

static void need_tracker(void) {
    const int userfault = kmw_userfault_open(KMW_FEATURE_WP_ASYNC);
    if (userfault < 0) {
        skip(); /* needs Linux 6.7 and userfaultfd */
    }
    close(userfault);
}

static unsigned char *tracked_page;

static DWORD start_and_collect(bool *struck) {
    km_tracker *tracker = NULL;
    uint8_t changed = 0xFF;
    DWORD error = km_platform_tracker_start(tracked_page, PAGE, &tracker);
    const bool started = error == ERROR_SUCCESS;
    if (started) {
        tracked_page[0] = 1;
        error = km_platform_tracker_collect(tracker, PAGE, &changed);
    }
    *struck = fault_disarm();
    assert_true((tracker != NULL) == started);
    assert_true(error != ERROR_SUCCESS || changed == 1);
    km_platform_tracker_stop(tracker);
    return error;
}

static void a_tracker_that_cannot_be_had_leaves_nothing(void **state) {
    (void)state;
    need_tracker();
    tracked_page = map_page();
    sweep(FAULT_ALLOCATIONS, ENOMEM, start_and_collect);
    sweep(FAULT_SYSTEM, ENOMEM, start_and_collect);
    sweep(FAULT_SYSTEM, EPERM, start_and_collect);
    munmap(tracked_page, PAGE);
}

static void a_kernel_without_the_feature_or_the_scan_has_no_tracker(void **state) {
    (void)state;
    need_tracker();
    unsigned char *page = map_page();
    km_tracker *tracker = NULL;
    const int errors[] = {EINVAL, ENOTTY};
    for (unsigned k = 1; k <= 10; ++k) {
        fault_arm_call("ioctl", k, errors[k % 2], false);
        assert_int_equal(km_platform_tracker_start(page, PAGE, &tracker), ERROR_NOT_SUPPORTED);
        assert_true(fault_disarm());
        assert_null(tracker);
    }
    munmap(page, PAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lazy_memory_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(filling_goes_on_after_the_address_space_has_changed),
        cmocka_unit_test(what_cannot_be_had_raises_a_signal_whatever_fails),
        cmocka_unit_test(a_tracker_that_cannot_be_had_leaves_nothing),
        cmocka_unit_test(a_kernel_without_the_feature_or_the_scan_has_no_tracker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
