/*
 * test_view_threads.c - views made and ended by several threads at once, and across a fork.
 *
 * Not under valgrind: a forked child cannot free the stacks of threads that only its parent has.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)
#define GRANULE ((SIZE_T)65536)

enum { THREADS = 4, ROUNDS = 400, HELD = 7 };

static HANDLE open_section(const char *name, uint64_t size) {
    scratch_file(name, size, 3);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    return section;
}

typedef struct worker {
    HANDLE section;
    unsigned seed;
    const char *failure; /* asserts are for the test's own thread */
} worker;

static const char *use_view(unsigned char *view, SIZE_T offset, unsigned round) {
    MEMORY_BASIC_INFORMATION found;
    DWORD before = 0;
    if (view[5] != scratch_byte(offset + 5, 3)) {
        return "another view's bytes";
    }
    view[6] = (unsigned char)round;
    if (VirtualQuery(view, &found, sizeof found) == 0 || found.AllocationBase != view) {
        return "VirtualQuery";
    }
    if (round % 8 == 0 && !VirtualProtect(view, PAGE, PAGE_READONLY, &before)) {
        return "VirtualProtect";
    }
    if (round % 8 == 0 && !FlushViewOfFile(view, 0)) {
        return "FlushViewOfFile";
    }
    return NULL;
}

static void *map_and_unmap(void *argument) {
    worker *self = argument;
    unsigned char *held[HELD] = {NULL};
    for (unsigned round = 0; round < ROUNDS && self->failure == NULL; ++round) {
        unsigned char **const slot = &held[(round * 3 + self->seed) % HELD];
        const SIZE_T offset = round % 3 * GRANULE;
        if (*slot != NULL && !UnmapViewOfFile(*slot + round % PAGE)) {
            self->failure = "UnmapViewOfFile";
            return NULL;
        }
        *slot = MapViewOfFile(self->section, FILE_MAP_COPY, 0, (DWORD)offset, 0);
        if (*slot == NULL || (uintptr_t)*slot % GRANULE != 0) {
            self->failure = "MapViewOfFile";
            return NULL;
        }
        self->failure = use_view(*slot, offset, round);
    }
    for (unsigned i = 0; i < HELD; ++i) {
        if (held[i] != NULL && !UnmapViewOfFile(held[i])) {
            self->failure = "UnmapViewOfFile at the end";
        }
    }
    return NULL;
}

static void threads_map_and_unmap_at_once(void **state) {
    (void)state;
    HANDLE section = open_section("threads", 3 * GRANULE + 100);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; ++i) {
        workers[i] = (worker){section, i, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; ++i) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (workers[i].failure != NULL) {
            fail_msg("thread %u: %s", i, workers[i].failure);
        }
    }
    assert_true(CloseHandle(section));
}

typedef struct race {
    pthread_barrier_t barrier;
    unsigned char *view;
    atomic_int winners;
} race;

static void *unmap_once(void *argument) {
    race *shared = argument;
    (void)pthread_barrier_wait(&shared->barrier);
    if (UnmapViewOfFile(shared->view)) {
        (void)atomic_fetch_add(&shared->winners, 1);
    }
    return NULL;
}

static void of_two_who_unmap_a_view_one_succeeds(void **state) {
    (void)state;
    HANDLE section = open_section("race", GRANULE);
    for (unsigned round = 0; round < 30; ++round) {
        race shared;
        pthread_t other;
        atomic_init(&shared.winners, 0);
        assert_int_equal(pthread_barrier_init(&shared.barrier, NULL, 2), 0);
        shared.view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
        assert_non_null(shared.view);
        assert_int_equal(pthread_create(&other, NULL, unmap_once, &shared), 0);
        (void)unmap_once(&shared);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(atomic_load(&shared.winners), 1);
        (void)pthread_barrier_destroy(&shared.barrier);
    }
    assert_true(CloseHandle(section));
}

static int child_result(pid_t child) {
    int status = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int use_in_child(HANDLE section, unsigned char *shared, unsigned char *copy) {
    shared[0] = 0x71;
    copy[0] = 0x72;
    if (!UnmapViewOfFile(shared) || UnmapViewOfFile(shared)) {
        return 1;
    }
    unsigned char *again = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    if (again == NULL || again[0] != 0x71) {
        return 2;
    }
    return UnmapViewOfFile(again) && CloseHandle(section) ? 0 : 3;
}

static void a_forked_child_unmaps_its_own_view_only(void **state) {
    (void)state;
    HANDLE section = open_section("fork", GRANULE);
    unsigned char *shared = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    unsigned char *copy = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, 0);
    assert_non_null(shared);
    assert_non_null(copy);
    copy[0] = 0x70;
    const pid_t child = fork();
    if (child == 0) {
        _exit(use_in_child(section, shared, copy));
    }
    assert_int_equal(child_result(child), 0);
    assert_int_equal(shared[0], 0x71);
    assert_int_equal(copy[0], 0x70);
    assert_true(UnmapViewOfFile(shared));
    assert_true(UnmapViewOfFile(copy));
    assert_true(CloseHandle(section));
}

typedef struct busy {
    HANDLE section;
    atomic_bool stop;
} busy;

static void *keep_mapping(void *argument) {
    busy *shared = argument;
    while (!atomic_load(&shared->stop)) {
        void *view = MapViewOfFile(shared->section, FILE_MAP_READ, 0, 0, 0);
        if (view == NULL || !UnmapViewOfFile(view)) {
            return shared;
        }
    }
    return NULL;
}

static void a_child_forked_while_others_map_can_map_too(void **state) {
    (void)state;
    busy shared = {.section = open_section("busy", GRANULE)};
    atomic_init(&shared.stop, false);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, keep_mapping, &shared), 0);
    for (unsigned round = 0; round < 40; ++round) {
        const pid_t child = fork();
        if (child == 0) {
            (void)alarm(20); /* a mutex held for ever must not hang the suite */
            void *view = MapViewOfFile(shared.section, FILE_MAP_READ, 0, 0, 0);
            _exit(view != NULL && UnmapViewOfFile(view) ? 0 : 1);
        }
        assert_int_equal(child_result(child), 0);
    }
    atomic_store(&shared.stop, true);
    void *failure = NULL;
    assert_int_equal(pthread_join(other, &failure), 0);
    assert_null(failure);
    assert_true(CloseHandle(shared.section));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_map_and_unmap_at_once),
        cmocka_unit_test(of_two_who_unmap_a_view_one_succeeds),
        cmocka_unit_test(a_forked_child_unmaps_its_own_view_only),
        cmocka_unit_test(a_child_forked_while_others_map_can_map_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
