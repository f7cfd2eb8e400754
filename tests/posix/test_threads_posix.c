/*
 * test_threads_posix.c - the library's threads and signals, and what limits their number.
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/cgroup_processors.h"

/* ---- Signals ------------------------------------------------------------------------------- */

static void get_mask(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void mask_in_a_thread(sigset_t *mask) {
    km_thread thread;
    assert_int_equal(km_platform_thread_start(&thread, get_mask, mask), ERROR_SUCCESS);
    km_platform_thread_join(&thread);
}

static void a_thread_takes_no_signal_from_outside(void **state) {
    (void)state;
    static const int signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGCHLD, SIGPIPE, SIGXFSZ, SIGWINCH};
    sigset_t mask;
    mask_in_a_thread(&mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(sigismember(&mask, signals[i]), 1);
    }
}

static void a_fault_in_a_thread_is_handled_as_in_its_maker(void **state) {
    (void)state;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t mask;
    mask_in_a_thread(&mask);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        assert_int_equal(sigismember(&mask, faults[i]), 0);
    }
}

static void starting_a_thread_leaves_the_makers_mask(void **state) {
    (void)state;
    sigset_t mask;
    sigset_t before;
    sigset_t after;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &before, NULL), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    mask_in_a_thread(&mask);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        assert_int_equal(sigismember(&after, signal), sigismember(&before, signal));
    }
}

static void send_to_the_process(void *arg) {
    *(int *)arg = kill(getpid(), SIGUSR1);
}

/* This thread blocks it too, so it waits for somebody who does not. */
static void a_signal_to_the_process_passes_the_thread_by(void **state) {
    (void)state;
    sigset_t one;
    sigset_t before;
    sigset_t pending;
    int taken = 0;
    int sent = -1;
    km_thread thread;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &one, &before), 0);
    assert_int_equal(km_platform_thread_start(&thread, send_to_the_process, &sent), ERROR_SUCCESS);
    km_platform_thread_join(&thread);
    assert_int_equal(sent, 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGUSR1), 1);
    assert_int_equal(sigwait(&one, &taken), 0);
    assert_int_equal(taken, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* ---- Processors ---------------------------------------------------------------------------- */

static void a_thread_kept_on_one_processor_counts_one(void **state) {
    (void)state;
    cpu_set_t before;
    cpu_set_t one;
    size_t first = 0;
    if (sched_getaffinity(0, sizeof before, &before) != 0) {
        skip(); /* more processors than fit */
    }
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const unsigned processors = km_platform_processors();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(processors, 1);
}

/* A file below the scratch directory, with its directories. */
static void put(const char *path, const char *text) {
    char place[256];
    snprintf(place, sizeof place, "%s", path);
    for (char *at = strchr(place, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(place, 0777);
        *at = '/';
    }
    FILE *file = fopen(place, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#define MOUNT_2 "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
#define MOUNT_1 "31 24 0:27 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"

static void without_groups_there_is_no_quota(void **state) {
    (void)state;
    assert_int_equal(kmw_cgroup_processors("nowhere"), UINT_MAX);
}

static void the_least_quota_of_the_groups_above_counts(void **state) {
    (void)state;
    put("two/proc/self/mountinfo", MOUNT_2);
    put("two/proc/self/cgroup", "0::/a/b/c\n");
    put("two/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_int_equal(kmw_cgroup_processors("two"), UINT_MAX);
    put("two/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    assert_int_equal(kmw_cgroup_processors("two"), 8);
    put("two/sys/fs/cgroup/a/cpu.max", "150000 50000\n");
    assert_int_equal(kmw_cgroup_processors("two"), 3);
    put("two/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    assert_int_equal(kmw_cgroup_processors("two"), 3);
    put("two/sys/fs/cgroup/a/b/c/cpu.max", "10000 100000\n");
    assert_int_equal(kmw_cgroup_processors("two"), 1);
}

static void part_of_a_processor_counts_as_one(void **state) {
    (void)state;
    put("part/proc/self/mountinfo", MOUNT_2);
    put("part/proc/self/cgroup", "0::/\n");
    put("part/sys/fs/cgroup/cpu.max", "250001 100000\n");
    assert_int_equal(kmw_cgroup_processors("part"), 3);
    put("part/sys/fs/cgroup/cpu.max", "1000 100000\n");
    assert_int_equal(kmw_cgroup_processors("part"), 1);
}

static void a_group_by_the_hosts_name_is_the_mount_point(void **state) {
    (void)state;
    put("host/proc/self/mountinfo", MOUNT_2);
    put("host/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    put("host/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(kmw_cgroup_processors("host"), 2);
}

static void version_1_has_its_quota_in_two_files(void **state) {
    (void)state;
    put("one/proc/self/mountinfo", MOUNT_1);
    put("one/proc/self/cgroup",
        "4:memory:/m\n3:cpuset:/s\n2:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/\n");
    put("one/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("one/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    assert_int_equal(kmw_cgroup_processors("one"), UINT_MAX);
    put("one/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "500000\n");
    put("one/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(kmw_cgroup_processors("one"), 5);
}

static void nonsense_is_no_quota(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",           "\n",         "100000",      "x y\n",
        "0 100000\n", "100000 0\n", "100000 -1\n", "99999999999999999999 1\n"};
    put("bad/proc/self/mountinfo", MOUNT_2);
    put("bad/proc/self/cgroup", "nonsense\n0:\n0::\n0::relative\n0::/../..\n0::/\n");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("bad/sys/fs/cgroup/cpu.max", texts[i]);
        assert_int_equal(kmw_cgroup_processors("bad"), UINT_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_takes_no_signal_from_outside),
        cmocka_unit_test(a_fault_in_a_thread_is_handled_as_in_its_maker),
        cmocka_unit_test(starting_a_thread_leaves_the_makers_mask),
        cmocka_unit_test(a_signal_to_the_process_passes_the_thread_by),
        cmocka_unit_test(a_thread_kept_on_one_processor_counts_one),
        cmocka_unit_test(without_groups_there_is_no_quota),
        cmocka_unit_test(the_least_quota_of_the_groups_above_counts),
        cmocka_unit_test(part_of_a_processor_counts_as_one),
        cmocka_unit_test(a_group_by_the_hosts_name_is_the_mount_point),
        cmocka_unit_test(version_1_has_its_quota_in_two_files),
        cmocka_unit_test(nonsense_is_no_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
