/*
 * test_map_threads.c - one map used by many threads at once, as far as keepmap.h allows it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include <keepmap.h>

#include "support/scratch.h"

enum { THREADS = 4, ROUNDS = 200, SIZE = 300000 };

typedef struct job {
    pthread_t thread;
    km_map *map;
    unsigned number;
    int failures;
} job;

static void run_threads(void *(*work)(void *), job *jobs) {
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i].number = i;
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, work, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
        assert_int_equal(jobs[i].failures, 0);
    }
}

/* Each thread stores in a part of its own. */
static void *use_one_map(void *arg) {
    job *mine = arg;
    const uint64_t start = (uint64_t)mine->number * (SIZE / THREADS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned char value = (unsigned char)(round + mine->number);
        unsigned char seen = 0;
        km_map *window = NULL;
        mine->failures += km_write(mine->map, start + round, &value, 1) != KM_OK;
        mine->failures += km_read(mine->map, start + round, &seen, 1) != KM_OK || seen != value;
        mine->failures += km_flush(mine->map, start, 100, KM_FLUSH_START) != KM_OK;
        mine->failures += km_advise(mine->map, start, 1000, KM_ADVICE_WILL_NEED) != KM_OK;
        if (km_window(&window, mine->map, start, 1000) != KM_OK) {
            mine->failures++;
            continue;
        }
        mine->failures += ((unsigned char *)km_data(window))[round] != value;
        km_close(window);
    }
    return NULL;
}

static void threads_read_write_flush_and_window_one_map(void **state) {
    (void)state;
    scratch_file("one", SIZE, 1);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "one", &(km_options){.access = KM_WRITE}), KM_OK);
    job jobs[THREADS] = {{.map = map}, {.map = map}, {.map = map}, {.map = map}};
    run_threads(use_one_map, jobs);
    km_close(map);
}

/* Thread 0 resizes the map; the others use and make windows, which are maps of their own. */
static void *use_windows_or_resize(void *arg) {
    job *mine = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (mine->number == 0) {
            mine->failures += km_resize(mine->map, SIZE + (round + 1) * 5000) != KM_OK;
            continue;
        }
        km_map *second = NULL;
        mine->failures += km_flush(mine->map, 0, 0, KM_FLUSH_START) != KM_OK;
        mine->failures += km_check(mine->map, NULL) != KM_OK;
        if (km_window(&second, mine->map, 10, 100) != KM_OK) {
            mine->failures++;
            continue;
        }
        mine->failures += *(unsigned char *)km_data(second) != scratch_byte(10, 2);
        km_close(second);
    }
    return NULL;
}

static void windows_are_used_while_their_map_is_resized(void **state) {
    (void)state;
    scratch_file("resized", SIZE, 2);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "resized", &(km_options){.access = KM_WRITE}), KM_OK);
    job jobs[THREADS] = {{.map = map}};
    for (unsigned i = 1; i < THREADS; i++) {
        assert_int_equal(km_window(&jobs[i].map, map, 0, 1000), KM_OK);
    }
    run_threads(use_windows_or_resize, jobs);
    for (unsigned i = 0; i < THREADS; i++) {
        km_close(jobs[i].map);
    }
}

/* Whoever gets the lock counts by a load and a store: with two inside, counts would be lost. */
static void *count_under_the_lock(void *arg) {
    job *mine = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (km_lock(mine->map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER) != KM_OK) {
            mine->failures++;
            continue;
        }
        uint64_t count = 0;
        mine->failures += km_read(mine->map, 0, &count, sizeof count) != KM_OK;
        count++;
        mine->failures += km_write(mine->map, 0, &count, sizeof count) != KM_OK;
        mine->failures += km_unlock(mine->map) != KM_OK;
    }
    return NULL;
}

static void maps_of_one_file_exclude_each_other(void **state) {
    (void)state;
    static const char zeros[100];
    scratch_write("count", zeros, sizeof zeros);
    job jobs[THREADS] = {{0}};
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(km_open(&jobs[i].map, "count", &(km_options){.access = KM_WRITE}), KM_OK);
    }
    run_threads(count_under_the_lock, jobs);
    uint64_t count = 0;
    assert_int_equal(km_read(jobs[0].map, 0, &count, sizeof count), KM_OK);
    assert_int_equal(count, THREADS * ROUNDS);
    for (unsigned i = 0; i < THREADS; i++) {
        km_close(jobs[i].map);
    }
}

/* All create the same file; one makes it. */
static void *create_the_file(void *arg) {
    job *mine = arg;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 1000};
    mine->failures += km_open(&mine->map, "created", &options) != KM_OK;
    return NULL;
}

static void of_many_creators_exactly_one_has_created(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        job jobs[THREADS] = {{0}};
        run_threads(create_the_file, jobs);
        int creators = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            creators += km_created(jobs[i].map);
            assert_int_equal(km_size(jobs[i].map), 1000);
            km_close(jobs[i].map);
        }
        assert_int_equal(creators, 1);
        scratch_remove("created");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_read_write_flush_and_window_one_map),
        cmocka_unit_test(windows_are_used_while_their_map_is_resized),
        cmocka_unit_test(maps_of_one_file_exclude_each_other),
        cmocka_unit_test(of_many_creators_exactly_one_has_created),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
