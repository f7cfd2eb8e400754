/*
 * test_platform_threads.c - platform.h: threads and monitors, chance and time, on both systems.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "deadline.h"
#include "platform.h"

#define NS_PER_S 1000000000u
#define IN_VAIN_MS 30000u
#define THREADS 3
#define ROUNDS 2000

/* ---- Threads and monitors ------------------------------------------------------------------ */

typedef struct meeting {
    km_monitor *monitor;
    unsigned count;
    bool open;
} meeting;

static void count_rounds(void *arg) {
    meeting *with = arg;
    for (int i = 0; i < ROUNDS; i++) {
        km_platform_monitor_enter(with->monitor);
        with->count++;
        km_platform_monitor_leave(with->monitor);
    }
}

static void one_at_a_time_is_inside_a_monitor(void **state) {
    (void)state;
    meeting with = {0};
    km_thread threads[THREADS];
    assert_int_equal(km_platform_monitor_make(&with.monitor), ERROR_SUCCESS);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(km_platform_thread_start(&threads[i], count_rounds, &with), ERROR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++) {
        km_platform_thread_join(&threads[i]);
    }
    assert_int_equal(with.count, THREADS * ROUNDS);
    km_platform_monitor_free(with.monitor);
}

static void pass_when_open(void *arg) {
    meeting *with = arg;
    const km_deadline deadline = km_deadline_in(IN_VAIN_MS);
    km_platform_monitor_enter(with->monitor);
    with->count++;
    km_platform_monitor_notify(with->monitor);
    while (!with->open && km_deadline_left(&deadline) > 0) {
        km_platform_monitor_wait(with->monitor, km_deadline_left(&deadline));
    }
    with->count -= with->open;
    km_platform_monitor_leave(with->monitor);
}

static void a_notification_reaches_all_who_wait(void **state) {
    (void)state;
    meeting with = {0};
    km_thread threads[THREADS];
    assert_int_equal(km_platform_monitor_make(&with.monitor), ERROR_SUCCESS);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(km_platform_thread_start(&threads[i], pass_when_open, &with),
                         ERROR_SUCCESS);
    }
    km_platform_monitor_enter(with.monitor);
    while (with.count < THREADS) {
        km_platform_monitor_wait(with.monitor, KM_WAIT_FOREVER);
    }
    with.open = true;
    km_platform_monitor_notify(with.monitor);
    km_platform_monitor_leave(with.monitor);
    for (int i = 0; i < THREADS; i++) {
        km_platform_thread_join(&threads[i]);
    }
    assert_int_equal(with.count, 0);
    km_platform_monitor_free(with.monitor);
}

static void a_wait_ends_with_its_time(void **state) {
    (void)state;
    km_monitor *monitor = NULL;
    assert_int_equal(km_platform_monitor_make(&monitor), ERROR_SUCCESS);
    km_platform_monitor_enter(monitor);
    km_platform_monitor_wait(monitor, 0);
    km_platform_monitor_wait(monitor, 1);
    km_platform_monitor_wait(monitor, 999); /* most clocks are in the next second then */
    km_platform_monitor_leave(monitor);
    km_platform_monitor_free(monitor);
}

static void nothing_is_freed_as_well(void **state) {
    (void)state;
    km_platform_monitor_free(NULL);
}

/* As deep as a codec and its sentences may go. */
static void use_stack(void *arg) {
    volatile unsigned char depth[512 * 1024];
    for (size_t i = 0; i < sizeof depth; i += 1024) {
        depth[i] = 1;
    }
    *(unsigned *)arg = depth[0] + depth[sizeof depth - 1024];
}

static void a_thread_has_room_on_its_stack(void **state) {
    (void)state;
    unsigned touched = 0;
    km_thread thread;
    assert_int_equal(km_platform_thread_start(&thread, use_stack, &touched), ERROR_SUCCESS);
    km_platform_thread_join(&thread);
    assert_int_equal(touched, 2);
}

static void there_is_a_processor(void **state) {
    (void)state;
    assert_in_range(km_platform_processors(), 1, 1u << 16);
}

/* ---- Chance and time ----------------------------------------------------------------------- */

static void random_bytes_never_meet(void **state) {
    (void)state;
    unsigned char one[16];
    unsigned char other[16];
    assert_int_equal(km_platform_random(one, sizeof one), ERROR_SUCCESS);
    assert_int_equal(km_platform_random(other, sizeof other), ERROR_SUCCESS);
    assert_memory_not_equal(one, other, sizeof one);
}

/* Bits that stay 0 in sixty-four tries are not random. */
static void every_random_byte_is_one_and_none_besides(void **state) {
    (void)state;
    for (size_t length = 0; length <= 9; length++) {
        unsigned char seen[12] = {0};
        for (int i = 0; i < 64; i++) {
            unsigned char bytes[12] = {0};
            assert_int_equal(km_platform_random(bytes, length), ERROR_SUCCESS);
            for (size_t at = 0; at < sizeof bytes; at++) {
                seen[at] |= bytes[at];
            }
        }
        for (size_t at = 0; at < sizeof seen; at++) {
            assert_int_equal(seen[at], at < length ? 0xFF : 0);
        }
    }
}

static void many_random_bytes_come_at_once(void **state) {
    (void)state;
    static unsigned char bytes[100003];
    size_t zeros = 0;
    assert_int_equal(km_platform_random(bytes, sizeof bytes), ERROR_SUCCESS);
    for (size_t i = 0; i < sizeof bytes; i++) {
        zeros += bytes[i] == 0;
    }
    assert_in_range(zeros, 100, 1000); /* 391 are expected */
    assert_memory_not_equal(bytes, bytes + sizeof bytes - 16, 16);
}

static void now_is_the_systems_time(void **state) {
    (void)state;
    const uint64_t before = (uint64_t)time(NULL);
    const uint64_t now = km_platform_now() / NS_PER_S;
    const uint64_t after = (uint64_t)time(NULL);
    assert_in_range(now, before - 1, after + 1); /* time() may lag by a tick */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_is_inside_a_monitor),
        cmocka_unit_test(a_notification_reaches_all_who_wait),
        cmocka_unit_test(a_wait_ends_with_its_time),
        cmocka_unit_test(nothing_is_freed_as_well),
        cmocka_unit_test(a_thread_has_room_on_its_stack),
        cmocka_unit_test(there_is_a_processor),
        cmocka_unit_test(random_bytes_never_meet),
        cmocka_unit_test(every_random_byte_is_one_and_none_besides),
        cmocka_unit_test(many_random_bytes_come_at_once),
        cmocka_unit_test(now_is_the_systems_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
