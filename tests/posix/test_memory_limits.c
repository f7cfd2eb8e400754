/*
 * test_memory_limits.c - what says how much memory may be taken, and what it says: the kernel's
 * files as systems of many kinds have them, made here below a directory of this suite's own.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "posix/kernel_text.h"
#include "posix/memory_limits.h"

#define MIB ((uint64_t)1 << 20)

/* 1000 MiB of memory and 24 of swap. */
#define MACHINE "MemTotal: 4096000 kB\nMemAvailable:    1024000 kB\nSwapFree:   24576 kB\n"

#define V2_MOUNT                                                                                   \
    "30 24 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static char root[64];
static unsigned roots;

/* Every test has a system of its own. */
static int new_system(void **state) {
    (void)state;
    (void)snprintf(root, sizeof root, "system%u", ++roots);
    return mkdir(root, 0777);
}

/* A file of the system, with the directories that lead to it. */
static void put(const char *path, const char *text) {
    char whole[PATH_MAX];
    (void)snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *at = strchr(whole, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(whole, 0777);
        *at = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void put_number(const char *path, uint64_t number) {
    char text[32];
    (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    put(path, text);
}

static uint64_t less_reserve(uint64_t bytes) {
    return bytes - KMW_RESERVE - bytes / KMW_RESERVE_PART;
}

static void expect(kmw_limit limit, uint64_t free) {
    const kmw_room room = kmw_memory_room_under(root);
    assert_int_equal(room.limit, limit);
    assert_int_equal(room.free, free);
}

static void put_v2(const char *groups, const char *mounts) {
    put("/proc/meminfo", MACHINE);
    put("/proc/self/cgroup", groups);
    put("/proc/self/mountinfo", mounts);
}

static void a_system_that_tells_nothing_has_no_limit(void **state) {
    (void)state;
    expect(KMW_LIMIT_NONE, UINT64_MAX);
}

static void memory_and_swap_are_the_machines_limit(void **state) {
    (void)state;
    put("/proc/meminfo", MACHINE);
    expect(KMW_LIMIT_MEMORY, less_reserve(1024 * MIB));
}

static void nonsense_is_no_limit(void **state) {
    (void)state;
    char long_line[9000];
    memset(long_line, '7', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    put("/proc/meminfo", "MemAvailable: lots kB\nSwapFree: -1 kB\n");
    expect(KMW_LIMIT_NONE, UINT64_MAX);
    put("/proc/meminfo", "MemAvailable: 99999999999999999999999 kB");
    expect(KMW_LIMIT_NONE, UINT64_MAX);
    put("/proc/meminfo", long_line);
    put("/proc/self/cgroup", "::\n0\n0:\n0::\n0::relative\n:::::\n\n");
    put("/proc/self/mountinfo", "- - -\n30 24\n - cgroup2\n1 2 3 / /x rw - cgroup2 x\n");
    expect(KMW_LIMIT_NONE, UINT64_MAX);
}

static void lines_behind_one_too_long_are_read(void **state) {
    (void)state;
    char text[9100];
    memset(text, '7', 9000);
    (void)snprintf(text + 9000, sizeof text - 9000, "\nMemAvailable: 1048576 kB");
    put("/proc/meminfo", text);
    expect(KMW_LIMIT_MEMORY, less_reserve(1024 * MIB));
}

static void a_little_memory_is_all_kept_back(void **state) {
    (void)state;
    put("/proc/meminfo", "MemAvailable: 2000 kB\n");
    expect(KMW_LIMIT_MEMORY, 0);
}

static void strict_accounting_is_a_limit_where_it_is_on(void **state) {
    (void)state;
    put("/proc/meminfo", MACHINE "CommitLimit: 2048 kB\nCommitted_AS: 1024 kB\n");
    put("/proc/sys/vm/overcommit_memory", "0\n");
    expect(KMW_LIMIT_MEMORY, less_reserve(1024 * MIB));
    put("/proc/sys/vm/overcommit_memory", "2\n");
    expect(KMW_LIMIT_OVERCOMMIT, MIB);
    put("/proc/meminfo", MACHINE "CommitLimit: 1024 kB\nCommitted_AS: 2048 kB\n");
    expect(KMW_LIMIT_OVERCOMMIT, 0);
}

static void a_groups_limit_less_what_it_uses_counts(void **state) {
    (void)state;
    put_v2("0::/app\n", V2_MOUNT);
    put_number("/sys/fs/cgroup/app/memory.max", 100 * MIB);
    put_number("/sys/fs/cgroup/app/memory.current", 40 * MIB);
    put("/sys/fs/cgroup/app/memory.swap.max", "0\n");
    put("/sys/fs/cgroup/app/memory.swap.current", "0\n");
    expect(KMW_LIMIT_CGROUP, less_reserve(60 * MIB));
    put_number("/sys/fs/cgroup/app/memory.current", 101 * MIB);
    expect(KMW_LIMIT_CGROUP, 0);
}

static void the_tightest_group_on_the_way_up_counts(void **state) {
    (void)state;
    put_v2("0::/a/b/c\n", V2_MOUNT);
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/c/memory.high", "max\n");
    put_number("/sys/fs/cgroup/a/b/c/memory.current", MIB);
    put_number("/sys/fs/cgroup/a/b/memory.max", 500 * MIB);
    put_number("/sys/fs/cgroup/a/b/memory.current", 0);
    put("/sys/fs/cgroup/a/b/memory.swap.max", "max\n");
    expect(KMW_LIMIT_CGROUP, less_reserve(524 * MIB));
    put_number("/sys/fs/cgroup/a/memory.max", 80 * MIB);
    put_number("/sys/fs/cgroup/a/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(104 * MIB));
    put_number("/sys/fs/cgroup/memory.max", 50 * MIB); /* a container's own root has one */
    put_number("/sys/fs/cgroup/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(74 * MIB));
}

static void a_group_counts_at_which_the_system_slows_down(void **state) {
    (void)state;
    put_v2("0::/app\n", V2_MOUNT);
    put_number("/sys/fs/cgroup/app/memory.max", 500 * MIB);
    put_number("/sys/fs/cgroup/app/memory.high", 200 * MIB);
    put_number("/sys/fs/cgroup/app/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(224 * MIB));
    put("/sys/fs/cgroup/app/memory.max", "max\n");
    expect(KMW_LIMIT_CGROUP, less_reserve(224 * MIB));
}

static void a_groups_page_cache_counts_as_free(void **state) {
    (void)state;
    put_v2("0::/app\n", V2_MOUNT);
    put_number("/sys/fs/cgroup/app/memory.max", 100 * MIB);
    put_number("/sys/fs/cgroup/app/memory.current", 100 * MIB);
    put("/sys/fs/cgroup/app/memory.stat",
        "anon 1000\nfile 99000000\nshmem 8000000\ninactive_file 10485760\nactive_file 20971520\n");
    put_number("/sys/fs/cgroup/app/memory.swap.max", 8 * MIB);
    put_number("/sys/fs/cgroup/app/memory.swap.current", 6 * MIB);
    expect(KMW_LIMIT_CGROUP, less_reserve(32 * MIB));
}

static void a_group_of_version_1_counts_memory_and_swap_apart_and_together(void **state) {
    (void)state;
    put_v2("5:cpu:/x\n4:blkio,memory:/app\n1:name=systemd:/\n", V1_MOUNT);
    put_number("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", 100 * MIB);
    put_number("/sys/fs/cgroup/memory/app/memory.usage_in_bytes", 60 * MIB);
    put("/sys/fs/cgroup/memory/app/memory.stat",
        "inactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 2097152\n");
    expect(KMW_LIMIT_CGROUP, less_reserve(67 * MIB));
    put_number("/sys/fs/cgroup/memory/app/memory.memsw.limit_in_bytes", 110 * MIB);
    put_number("/sys/fs/cgroup/memory/app/memory.memsw.usage_in_bytes", 70 * MIB);
    expect(KMW_LIMIT_CGROUP, less_reserve(43 * MIB));
    put_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", 10 * MIB);
    put_number("/sys/fs/cgroup/memory/memory.usage_in_bytes", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(34 * MIB));
}

static void both_hierarchies_of_a_system_are_looked_at(void **state) {
    (void)state;
    put_v2("4:memory:/one\n0::/two\n",
           V1_MOUNT "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put_number("/sys/fs/cgroup/memory/one/memory.limit_in_bytes", 300 * MIB);
    put_number("/sys/fs/cgroup/memory/one/memory.usage_in_bytes", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(324 * MIB));
    put_number("/sys/fs/cgroup/unified/two/memory.max", 200 * MIB);
    put_number("/sys/fs/cgroup/unified/two/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(224 * MIB));
}

static void a_container_that_sees_its_own_group_alone_finds_it(void **state) {
    (void)state;
    put_v2("0::/docker/abc/inner\n",
           "30 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
    put_number("/sys/fs/cgroup/inner/memory.max", 90 * MIB);
    put_number("/sys/fs/cgroup/inner/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(114 * MIB));
    put_number("/sys/fs/cgroup/memory.max", 60 * MIB);
    put_number("/sys/fs/cgroup/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(84 * MIB));
}

static void a_group_out_of_sight_leaves_the_mount_point(void **state) {
    (void)state;
    put_v2("0::/../elsewhere\n", V2_MOUNT);
    put_number("/sys/fs/cgroup/memory.max", 60 * MIB);
    put_number("/sys/fs/cgroup/memory.current", 0);
    put_number("/sys/fs/elsewhere/memory.max", MIB);
    put_number("/sys/fs/elsewhere/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(84 * MIB));
}

static void a_name_that_only_begins_like_the_mounts_is_not_below_it(void **state) {
    (void)state;
    put_v2("0::/docker/abcdef\n",
           "30 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
    put_number("/sys/fs/cgroupdef/memory.max", MIB);
    put_number("/sys/fs/cgroupdef/memory.current", 0);
    expect(KMW_LIMIT_MEMORY, less_reserve(1024 * MIB));
}

static void a_mount_that_shows_our_group_goes_before_one_that_does_not(void **state) {
    (void)state;
    put_v2("0::/app\n", "29 24 0:26 /other /mnt/other rw - cgroup2 cgroup2 rw\n" V2_MOUNT);
    put_number("/mnt/other/memory.max", MIB);
    put_number("/mnt/other/memory.current", 0);
    put_number("/sys/fs/cgroup/app/memory.max", 60 * MIB);
    put_number("/sys/fs/cgroup/app/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(84 * MIB));
}

static void a_mount_point_with_a_space_is_found(void **state) {
    (void)state;
    put_v2("0::/app\n", "30 24 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    put_number("/my groups/app/memory.max", 60 * MIB);
    put_number("/my groups/app/memory.current", 0);
    expect(KMW_LIMIT_CGROUP, less_reserve(84 * MIB));
}

static void a_group_without_its_usage_is_no_limit(void **state) {
    (void)state;
    put_v2("0::/app\n", V2_MOUNT);
    put_number("/sys/fs/cgroup/app/memory.max", MIB);
    put("/sys/fs/cgroup/app/memory.current", "none\n");
    expect(KMW_LIMIT_MEMORY, less_reserve(1024 * MIB));
}

/* ---- This system ---- */

static void this_system_has_no_more_than_it_has(void **state) {
    (void)state;
    kmw_key keys[2] = {{.name = "MemTotal:"}, {.name = "SwapTotal:"}};
    kmw_keys_in("/proc/meminfo", keys, 2);
    assert_true(keys[0].found && keys[1].found);
    const kmw_room room = kmw_memory_room_under("");
    assert_true(room.limit != KMW_LIMIT_NONE);
    assert_in_range(room.free, 0, (keys[0].value + keys[1].value) * 1024);
}

static void a_small_file_system_in_memory_is_the_limit(void **state) {
    (void)state;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir("small", 0777) != 0 || mount("none", "small", "tmpfs", 0, "size=64k") != 0) {
        print_message("no privilege to mount a file system\n");
        skip();
    }
    const int file = open("small/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    kmw_room room = kmw_memory_room(file);
    assert_int_equal(room.limit, KMW_LIMIT_FILE_SYSTEM);
    assert_int_equal(room.free, 65536);
    assert_int_equal(write(file, root, 1), 1);
    room = kmw_memory_room(file);
    assert_int_equal(room.free, 65536 - (uint64_t)sysconf(_SC_PAGESIZE));
    close(file);
    assert_int_equal(umount2("small", MNT_DETACH), 0);
}

static void every_limit_has_a_text(void **state) {
    (void)state;
    for (int i = KMW_LIMIT_NONE; i <= KMW_LIMIT_SIZE; ++i) {
        for (int j = KMW_LIMIT_NONE; j < i; ++j) {
            assert_string_not_equal(kmw_limit_text((kmw_limit)i), kmw_limit_text((kmw_limit)j));
        }
    }
}

#define on_a_system(test) cmocka_unit_test_setup(test, new_system)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_a_system(a_system_that_tells_nothing_has_no_limit),
        on_a_system(memory_and_swap_are_the_machines_limit),
        on_a_system(nonsense_is_no_limit),
        on_a_system(lines_behind_one_too_long_are_read),
        on_a_system(a_little_memory_is_all_kept_back),
        on_a_system(strict_accounting_is_a_limit_where_it_is_on),
        on_a_system(a_groups_limit_less_what_it_uses_counts),
        on_a_system(the_tightest_group_on_the_way_up_counts),
        on_a_system(a_group_counts_at_which_the_system_slows_down),
        on_a_system(a_groups_page_cache_counts_as_free),
        on_a_system(a_group_of_version_1_counts_memory_and_swap_apart_and_together),
        on_a_system(both_hierarchies_of_a_system_are_looked_at),
        on_a_system(a_container_that_sees_its_own_group_alone_finds_it),
        on_a_system(a_group_out_of_sight_leaves_the_mount_point),
        on_a_system(a_name_that_only_begins_like_the_mounts_is_not_below_it),
        on_a_system(a_mount_that_shows_our_group_goes_before_one_that_does_not),
        on_a_system(a_mount_point_with_a_space_is_found),
        on_a_system(a_group_without_its_usage_is_no_limit),
        cmocka_unit_test(this_system_has_no_more_than_it_has),
        cmocka_unit_test(a_small_file_system_in_memory_is_the_limit),
        cmocka_unit_test(every_limit_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
