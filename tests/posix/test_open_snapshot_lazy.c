/*
 * test_open_snapshot_lazy.c - a map of a snapshot that is unpacked when it is touched: from several
 * threads, in a forked child, in a sandbox, and while the file is deleted, replaced or damaged.
 *
 * Where the process may not use userfaultfd all is unpacked at the open; what is about the other
 * way is skipped then. Not under valgrind: it does not know userfaultfd.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "posix/userfault.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/thread.h"

#define CHUNK ((size_t)64 << 10)
#define CHUNKS 40
#define SIZE (CHUNKS * CHUNK)

enum { THREADS = 6 };

static bool may_use_userfaultfd(void) {
    const int userfault = kmw_userfault_open(0);
    if (userfault >= 0) {
        close(userfault);
    }
    return userfault >= 0;
}

static void need_userfaultfd(void) {
    if (!may_use_userfaultfd()) {
        skip();
    }
}

static unsigned char *make_snapshot(const char *name, unsigned seed) {
    size_t length = 0;
    unsigned char *image = malloc(SIZE);
    assert_non_null(image);
    snapshot_noise(image, SIZE, seed);
    unsigned char *snapshot =
        snapshot_build(image, SIZE, &(snapshot_plan){.level = 1, .seed = 7}, &length);
    scratch_write(name, snapshot, length);
    free(snapshot);
    return image;
}

static km_map *open_snapshot(const char *name, km_access access) {
    km_map *map = NULL;
    assert_int_equal(km_open_snapshot(&map, name, &(km_options){.access = access}), KM_OK);
    return map;
}

static const unsigned char *chunk_of(const km_map *map, size_t chunk) {
    return (const unsigned char *)km_data(map) + chunk * CHUNK;
}

static bool is_there(const void *page) {
    unsigned char resident = 0;
    return mincore((void *)(uintptr_t)page, 1, &resident) == 0 && (resident & 1) != 0;
}

/* The exit code of a child, or the signal that ended it, negative. */
static int end_of(pid_t child) {
    int status = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- Fork ---------------------------------------------------------------------------------- */

/* 0, or which of the calls was not refused. */
static int use_the_parents_map(km_map *map) {
    char byte = 0;
    if (km_read(map, 0, &byte, 1) != KM_E_INVALID || /* the parent has touched it */
        strstr(km_error_message(), "forked") == NULL) {
        return 1;
    }
    if (km_read(map, 20 * CHUNK, &byte, 1) != KM_E_INVALID) {
        return 2;
    }
    if (km_write(map, 21 * CHUNK, &byte, 1) != KM_E_INVALID) {
        return 3;
    }
    if (km_copy(map, "copy", NULL) != KM_E_INVALID ||
        km_snapshot(map, "snapshot", &(km_snapshot_options){.threads = 1}) != KM_E_INVALID) {
        return 4;
    }
    return 0;
}

static int live_with_the_parents_map(km_map *map) {
    const int refused = use_the_parents_map(map);
    if (refused != 0) {
        return refused;
    }
    /* What it has there by now is not what the map held. */
    void *const own = mmap(km_data(map), SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (own == MAP_FAILED || use_the_parents_map(map) != 0) {
        return 5;
    }
    /* A small window is unpacked at once. */
    km_map *window = NULL;
    char byte = 0;
    if (km_window(&window, map, 20 * CHUNK, CHUNK) != KM_OK ||
        km_read(window, 0, &byte, 1) != KM_OK || km_close(window) != KM_OK) {
        return 6;
    }
    return km_close(map) == KM_OK ? 0 : 7;
}

static void a_child_is_refused_its_parents_lazy_map_and_fills_nothing_of_it(void **state) {
    (void)state;
    need_userfaultfd();
    unsigned char *image = make_snapshot("forked", 1);
    km_map *map = open_snapshot("forked", KM_PRIVATE);
    assert_int_equal(chunk_of(map, 0)[0], image[0]);
    const size_t entries = scratch_entries();
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(live_with_the_parents_map(map));
    }
    assert_int_equal(end_of(child), 0);
    assert_int_equal(scratch_entries(), entries);
    assert_false(is_there(chunk_of(map, 20)));
    assert_false(is_there(chunk_of(map, 21)));
    assert_memory_equal(km_data(map), image, SIZE);
    assert_int_equal(km_close(map), KM_OK);
    free(image);
}

/* ---- Threads ------------------------------------------------------------------------------- */

typedef struct user {
    km_map *map;
    const unsigned char *image;
    unsigned number;
    atomic_uint *wrong;
} user;

static void use(void *arg) {
    const user *one = arg;
    unsigned char *read = malloc(SIZE);
    bool right = read != NULL;
    for (size_t i = 0; right && i < CHUNKS; i++) {
        const size_t chunk = (i * 7 + one->number) % CHUNKS;
        const size_t at = chunk * CHUNK + (size_t)100 * one->number;
        right = chunk_of(one->map, chunk)[(size_t)100 * one->number] == one->image[at] &&
                km_read(one->map, at, read, SIZE - at) == KM_OK &&
                memcmp(read, one->image + at, SIZE - at) == 0 &&
                km_advise(one->map, at, CHUNK / 2, KM_ADVICE_COLD) == KM_OK;
        km_map *window = NULL;
        right = right && km_window(&window, one->map, CHUNK + i, 20 * CHUNK) == KM_OK;
        right = right && memcmp((const char *)km_data(window) + 5 * CHUNK,
                                one->image + 6 * CHUNK + i, CHUNK) == 0;
        right = km_close(window) == KM_OK && right;
    }
    free(read);
    atomic_fetch_add(one->wrong, !right);
}

static void threads_may_touch_read_advise_and_make_windows_at_once(void **state) {
    (void)state;
    unsigned char *image = make_snapshot("threads", 2);
    km_map *map = open_snapshot("threads", KM_READ);
    atomic_uint wrong = 0;
    user users[THREADS];
    thread *threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (user){map, image, i, &wrong};
        threads[i] = thread_start(use, &users[i]);
    }
    assert_int_equal(km_copy(map, "threads copied", NULL), KM_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(scratch_equals("threads copied", image, SIZE));
    assert_int_equal(km_close(map), KM_OK);
    free(image);
}

/* ---- The file ------------------------------------------------------------------------------ */

static void a_snapshot_deleted_or_replaced_stays_mapped(void **state) {
    (void)state;
    for (int replaced = 0; replaced < 2; replaced++) {
        unsigned char *image = make_snapshot("gone", 3);
        free(make_snapshot("successor", 4));
        km_map *map = open_snapshot("gone", KM_READ);
        assert_int_equal(replaced != 0 ? rename("successor", "gone") : unlink("gone"), 0);
        assert_memory_equal(km_data(map), image, SIZE);
        assert_int_equal(km_check(map, NULL), KM_OK);
        assert_int_equal(km_close(map), KM_OK);
        free(image);
    }
}

static void a_snapshot_cut_short_keeps_what_was_touched(void **state) {
    (void)state;
    need_userfaultfd();
    unsigned char *image = make_snapshot("cut", 5);
    unsigned char *read = malloc(SIZE);
    assert_non_null(read);
    km_map *map = open_snapshot("cut", KM_READ);
    assert_int_equal(km_read(map, 0, read, 10 * CHUNK), KM_OK);
    assert_int_equal(truncate("cut", (off_t)CHUNK), 0);
    assert_int_equal(km_read(map, 20 * CHUNK, read, 1), KM_E_CORRUPT);
    assert_int_equal(km_read(map, 0, read, SIZE), KM_E_CORRUPT);
    assert_int_equal(km_copy(map, "cut copied", NULL), KM_E_CORRUPT);
    assert_int_equal(scratch_size("cut copied"), -1);
    assert_int_equal(km_check(map, NULL), KM_E_TRUNCATED);
    assert_int_equal(km_read(map, 0, read, 10 * CHUNK), KM_OK);
    assert_memory_equal(read, image, 10 * CHUNK);
    assert_memory_equal(km_data(map), image, 10 * CHUNK);
    assert_int_equal(km_close(map), KM_OK);
    free(read);
    free(image);
}

static _Thread_local sigjmp_buf back;

static void go_back(int number) {
    (void)number;
    siglongjmp(back, 1);
}

typedef struct toucher {
    const volatile unsigned char *page;
    atomic_uint *refused;
} toucher;

static void touch(void *arg) {
    const toucher *one = arg;
    if (sigsetjmp(back, 1) == 0) {
        (void)*one->page;
    } else {
        atomic_fetch_add(one->refused, 1);
    }
}

static unsigned count_refused(const km_map *map, size_t chunk) {
    atomic_uint refused = 0;
    toucher touchers[THREADS];
    thread *threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        touchers[i] = (toucher){chunk_of(map, chunk) + (size_t)4096 * (i / 2), &refused};
        threads[i] = thread_start(touch, &touchers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    return atomic_load(&refused);
}

static void threads_that_wait_for_a_damaged_chunk_all_get_the_signal(void **state) {
    (void)state;
    need_userfaultfd();
    unsigned char *image = make_snapshot("waited", 6);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        const struct sigaction handled = {.sa_handler = go_back};
        (void)sigaction(SIGBUS, &handled, NULL);
        (void)sigaction(SIGSEGV, &handled, NULL);
        km_map *map = NULL;
        if (km_open_snapshot(&map, "waited", NULL) != KM_OK ||
            truncate("waited", (off_t)CHUNK) != 0) {
            _exit(100);
        }
        unsigned refused = 0;
        for (size_t chunk = 10; chunk < 20; chunk++) {
            refused += count_refused(map, chunk);
        }
        _exit(refused == 10 * THREADS ? 0 : 101);
    }
    assert_int_equal(end_of(child), 0);
    free(image);
}

/* ---- Sandboxes ----------------------------------------------------------------------------- */

static bool refuse(int call, int error) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int map_in_a_sandbox(const unsigned char *image, int call, int error) {
    if (!refuse(call, error)) {
        return 77;
    }
    static const km_access accesses[] = {KM_READ, KM_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        km_map *map = NULL;
        if (km_open_snapshot(&map, "sandbox", &(km_options){.access = accesses[i]}) != KM_OK) {
            return 1;
        }
        unsigned char byte = 0;
        if (km_read(map, 20 * CHUNK, &byte, 1) != KM_OK || byte != image[20 * CHUNK] ||
            memcmp(km_data(map), image, SIZE) != 0 || km_close(map) != KM_OK) {
            return 2;
        }
    }
    return 0;
}

static void a_sandbox_that_forbids_what_it_takes_is_no_hindrance(void **state) {
    (void)state;
    static const struct {
        int call, error;
    } refusals[] = {
        {SYS_userfaultfd, EPERM},       {SYS_userfaultfd, ENOSYS}, {SYS_process_vm_readv, EPERM},
        {SYS_process_vm_readv, ENOSYS}, {SYS_eventfd2, EPERM},
    };
    unsigned char *image = make_snapshot("sandbox", 8);
    int end = 0;
    for (size_t i = 0; end == 0 && i < sizeof refusals / sizeof refusals[0]; i++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(map_in_a_sandbox(image, refusals[i].call, refusals[i].error));
        }
        end = end_of(child);
    }
    free(image);
    if (end == 77) {
        skip(); /* the system has no such filters */
    }
    assert_int_equal(end, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_refused_its_parents_lazy_map_and_fills_nothing_of_it),
        cmocka_unit_test(threads_may_touch_read_advise_and_make_windows_at_once),
        cmocka_unit_test(a_snapshot_deleted_or_replaced_stays_mapped),
        cmocka_unit_test(a_snapshot_cut_short_keeps_what_was_touched),
        cmocka_unit_test(threads_that_wait_for_a_damaged_chunk_all_get_the_signal),
        cmocka_unit_test(a_sandbox_that_forbids_what_it_takes_is_no_hindrance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
