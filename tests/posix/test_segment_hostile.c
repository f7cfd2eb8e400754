/*
 * test_segment_hostile.c - segments and their locks while others cut the memory off, remove the
 * lock's file, keep it from being opened, or leave address space for a part only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "segment.h"
#include "support/scratch.h"
#include "support/unique.h"

/* A user who owns nothing here. */
#define NOBODY 65534

#define SIZE 100000u

static km_map *make(const char *name, uint32_t flags) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = flags, .size = SIZE};
    if (km_segment(&map, name, &options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

static km_map *open_segment(const char *name, uint32_t flags) {
    km_map *map = NULL;
    if (km_segment(&map, name, &(km_options){.access = KM_WRITE, .flags = flags}) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

/* The path of the file that the lock lies on; `object` with its prefix. */
static void lock_path(const char *object, char path[512]) {
    WCHAR wide[UNIQUE_SIZE];
    WCHAR *found = NULL;
    assert_true(MultiByteToWideChar(CP_UTF8, 0, object, -1, wide, UNIQUE_SIZE) > 0);
    assert_int_equal(km_platform_companion(wide, &found), ERROR_SUCCESS);
    assert_true(WideCharToMultiByte(CP_UTF8, 0, found, -1, path, 512, NULL, NULL) > 0);
    free(found);
}

/* Of the object itself, beside which the lock's lies. */
static void object_path(const char *name, char path[512]) {
    lock_path(unique_object("Local\\", name, ""), path);
    char *suffix = strstr(path, ".lock");
    assert_non_null(suffix);
    *suffix = '\0';
}

static int end_child(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- Memory that is cut off ---- */

static void what_is_cut_off_a_segment_is_an_error_with_the_numbers(void **state) {
    (void)state;
    static char bytes[SIZE];
    const char *name = unique_name("cut");
    char path[512];
    struct stat before;
    km_size_report report = {0};
    km_map *map = make(name, KM_OPEN_NEW);
    object_path(name, path);
    assert_int_equal(stat(path, &before), 0);
    const off_t origin = before.st_size - 102400; /* 25 pages behind the object's own */
    assert_int_equal(truncate(path, origin + 16384), 0);

    assert_int_equal(km_check(map, &report), KM_E_TRUNCATED);
    assert_int_equal(report.findings & KM_SIZE_TRUNCATED, KM_SIZE_TRUNCATED);
    assert_int_equal(report.actual, 16384);
    assert_int_equal(report.declared, SIZE);
    assert_int_equal(km_read(map, 0, bytes, SIZE), KM_E_TRUNCATED);
    assert_non_null(strstr(km_error_message(), "the segment has only 16384 bytes"));
    assert_int_equal(km_write(map, 0, bytes, SIZE), KM_E_TRUNCATED);
    assert_int_equal(km_read(map, 0, bytes, 16384), KM_OK);
    assert_int_equal(km_copy(map, "copy", NULL), KM_E_TRUNCATED);
    assert_int_equal(scratch_size("copy"), -1);
    km_map *other = NULL;
    assert_int_not_equal(km_segment(&other, name, NULL), KM_OK); /* and no signal */
    assert_null(other);
    km_close(map);
}

static void a_lock_is_given_back_even_if_its_mark_is_cut_off(void **state) {
    (void)state;
    const char *name = unique_name("mark");
    char path[512];
    struct stat before;
    km_map *map = make(name, KM_OPEN_NEW);
    km_map *other = open_segment(name, 0);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_unlock(other), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    object_path(name, path);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(km_unlock(map), KM_E_IO);
    assert_non_null(strstr(km_error_message(), "unlocked"));
    assert_int_equal(km_unlock(map), KM_E_INVALID);
    assert_int_equal(truncate(path, before.st_size), 0);
    assert_int_equal(km_lock(other, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    km_close(other);
    km_close(map);
}

/* ---- The lock's file ---- */

static bool has_open(pid_t process, const char *path) {
    char folder[64];
    char link[512];
    char target[512];
    bool found = false;
    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)process);
    DIR *descriptors = opendir(folder);
    assert_non_null(descriptors);
    for (struct dirent *entry = readdir(descriptors); entry != NULL; entry = readdir(descriptors)) {
        snprintf(link, sizeof link, "%s/%s", folder, entry->d_name);
        const ssize_t length = readlink(link, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            found = found || strcmp(target, path) == 0;
        }
    }
    closedir(descriptors);
    return found;
}

/* byte 0: the parent has the lock; byte 1: we have it; byte 2: the parent has seen enough. */
static int wait_for_the_parent_s_lock(const char *name) {
    km_map *map = NULL;
    if (km_segment(&map, name, &(km_options){.access = KM_WRITE}) != KM_OK) {
        return 90;
    }
    volatile char *bytes = km_data(map);
    while (bytes[0] == 0) {
        usleep(1000);
    }
    if (km_lock(map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER) != KM_OK) {
        return 91;
    }
    bytes[1] = 1;
    while (bytes[2] == 0) {
        usleep(1000);
    }
    return (int)km_close(map);
}

static void who_waits_on_a_file_that_was_removed_meets_the_others_at_the_new_one(void **state) {
    (void)state;
    const char *name = unique_name("waiting");
    char path[512];
    km_map *map = make(name, KM_OPEN_NEW);
    volatile char *bytes = km_data(map);
    const pid_t waiter = fork();
    assert_true(waiter >= 0);
    if (waiter == 0) {
        _exit(wait_for_the_parent_s_lock(name));
    }
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    lock_path(unique_object("Local\\", name, ""), path);
    bytes[0] = 1;
    while (!has_open(waiter, path)) {
        usleep(1000);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(km_unlock(map), KM_OK);
    while (bytes[1] == 0) {
        usleep(1000);
    }
    km_map *third = open_segment(name, 0);
    assert_int_equal(km_lock(third, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
    bytes[2] = 1;
    assert_int_equal(end_child(waiter), KM_OK);
    km_close(third);
    km_close(map);
}

/* By one who stopped while deleting it, say. */
static void the_time_for_a_lock_s_file_that_is_kept_closed_is_limited(void **state) {
    (void)state;
    const char *name = unique_name("kept");
    char path[512];
    km_map *map = make(name, KM_OPEN_NEW);
    lock_path(unique_object("Local\\", name, ""), path);
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    HANDLE keeper = CreateFileA(path, GENERIC_READ | DELETE, share, NULL, CREATE_NEW,
                                FILE_ATTRIBUTE_NORMAL, NULL);
    assert_true(keeper != INVALID_HANDLE_VALUE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 50), KM_E_TIMEOUT);
    assert_non_null(strstr(km_error_message(), "50 ms"));
    assert_true(CloseHandle(keeper));
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    km_close(map);
}

static void a_lock_s_file_that_nobody_may_open_is_waited_for_only_a_moment(void **state) {
    (void)state;
    const char *name = unique_name("folder");
    char path[512];
    km_map *map = make(name, KM_OPEN_NEW);
    lock_path(unique_object("Local\\", name, ""), path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER), KM_E_ACCESS);
    assert_int_equal(rmdir(path), 0);
    km_close(map);
}

/* byte 0: made; byte 1: root has locked. */
static int make_as_nobody(const char *name) {
    km_map *map = NULL;
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, .size = SIZE};
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0 || km_segment(&map, name, &options) != KM_OK) {
        return 90;
    }
    volatile char *bytes = km_data(map);
    bytes[0] = 1;
    while (bytes[1] == 0) {
        usleep(1000);
    }
    return (int)km_lock(map, KM_LOCK_EXCLUSIVE, 0);
}

static void the_owner_of_a_segment_can_lock_it_after_root_has_made_the_lock_s_file(void **state) {
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    const char *name = unique_name("owner");
    char path[512];
    struct stat facts;
    km_map *map = NULL;
    const pid_t owner = fork();
    assert_true(owner >= 0);
    if (owner == 0) {
        _exit(make_as_nobody(name));
    }
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_MACHINE_WIDE};
    km_status status = KM_E_NOT_FOUND;
    while (status == KM_E_NOT_FOUND) {
        status = km_segment(&map, name, &options);
        usleep(1000);
    }
    assert_int_equal(status, KM_OK);
    volatile char *bytes = km_data(map);
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_unlock(map), KM_OK);
    lock_path(unique_object("Global\\", name, ""), path);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_uid, NOBODY);
    assert_int_equal(facts.st_mode & 07777, 0600);
    bytes[1] = 1;
    assert_int_equal(end_child(owner), KM_OK);
    km_close(map);
}

/* ---- Two processes with one lock ---- */

/* byte 0: go; the result is that of the late km_unlock. */
static pid_t begin_late_unlock(km_map *map) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const volatile char *bytes = km_data(map);
        while (bytes[0] == 0) {
            usleep(1000);
        }
        _exit((int)km_unlock(map));
    }
    return child;
}

static void a_second_unlock_after_a_fork_takes_no_stranger_s_mark(void **state) {
    (void)state;
    const char *name = unique_name("stranger");
    km_map *map = make(name, KM_OPEN_NEW);
    volatile char *bytes = km_data(map);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    const pid_t late = begin_late_unlock(map);
    assert_int_equal(km_unlock(map), KM_OK);
    const pid_t stranger = fork();
    assert_true(stranger >= 0);
    if (stranger == 0) {
        km_map *own = open_segment(name, 0);
        if (km_lock(own, KM_LOCK_EXCLUSIVE, 0) == KM_OK) {
            bytes[1] = 1;
        }
        pause();
        _exit(1);
    }
    while (bytes[1] == 0) {
        usleep(1000);
    }
    bytes[0] = 1;
    assert_int_equal(end_child(late), KM_E_INVALID);
    kill(stranger, SIGKILL);
    assert_int_equal(end_child(stranger), 1000 + SIGKILL);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 20000), KM_E_OWNER_DIED);
    km_close(map);
}

static void a_second_unlock_after_a_fork_frees_no_later_lock(void **state) {
    (void)state;
    const char *name = unique_name("later");
    km_map *map = make(name, KM_OPEN_NEW);
    km_map *other = open_segment(name, 0);
    volatile char *bytes = km_data(map);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    const pid_t late = begin_late_unlock(map);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    bytes[0] = 1;
    assert_int_equal(end_child(late), KM_E_INVALID);
    assert_int_equal(km_lock(other, KM_LOCK_EXCLUSIVE, 0), KM_E_BUSY);
    assert_int_equal(km_unlock(map), KM_OK);
    km_close(other);
    km_close(map);
}

/* ---- Makers that stop ---- */

static void a_new_one_is_refused_at_once_where_one_is_ready_whoever_owns_the_mutex(void **state) {
    (void)state;
    const char *name = unique_name("ready");
    km_map *map = make(name, KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE);
    volatile char *bytes = km_data(map);
    const pid_t owner = fork();
    assert_true(owner >= 0);
    if (owner == 0) {
        bytes[0] =
            CreateMutexA(NULL, TRUE, unique_object("Global\\", name, KM_SEGMENT_SUFFIX)) ? 1 : 2;
        pause();
        _exit(1);
    }
    while (bytes[0] == 0) {
        usleep(1000);
    }
    assert_int_equal(bytes[0], 1);
    const uint32_t patience = km_segment_patience_ms;
    km_segment_patience_ms = 50;
    km_map *other = NULL;
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, .size = 10};
    assert_int_equal(km_segment(&other, name, &options), KM_E_EXISTS);
    km_segment_patience_ms = patience;
    kill(owner, SIGKILL);
    assert_int_equal(end_child(owner), 1000 + SIGKILL);
    km_close(map);
}

/* ---- Little address space ---- */

#define LARGE_GB 8u
#define LEFT_MB 256u

static int open_a_page(const char *name) {
    char line[128] = "";
    km_map *map = NULL;
    FILE *sizes = fopen("/proc/self/statm", "r");
    const bool told = sizes != NULL && fgets(line, sizeof line, sizes) != NULL;
    const unsigned long pages = strtoul(line, NULL, 10);
    if (sizes != NULL) {
        fclose(sizes);
    }
    if (!told || pages == 0) {
        return 90;
    }
    const rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {now + ((rlim_t)LEFT_MB << 20), RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        return 91;
    }
    return (int)km_segment(&map, name, &(km_options){.length = 4096});
}

static void a_window_needs_no_address_space_for_the_whole(void **state) {
    (void)state;
    const char *name = unique_name("large");
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE,
                                        LARGE_GB / 4, 0, name);
    assert_non_null(section);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(open_a_page(name));
    }
    assert_int_equal(end_child(child), KM_OK);
    assert_true(CloseHandle(section));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_cut_off_a_segment_is_an_error_with_the_numbers),
        cmocka_unit_test(a_lock_is_given_back_even_if_its_mark_is_cut_off),
        cmocka_unit_test(who_waits_on_a_file_that_was_removed_meets_the_others_at_the_new_one),
        cmocka_unit_test(the_time_for_a_lock_s_file_that_is_kept_closed_is_limited),
        cmocka_unit_test(a_lock_s_file_that_nobody_may_open_is_waited_for_only_a_moment),
        cmocka_unit_test(the_owner_of_a_segment_can_lock_it_after_root_has_made_the_lock_s_file),
        cmocka_unit_test(a_second_unlock_after_a_fork_takes_no_stranger_s_mark),
        cmocka_unit_test(a_second_unlock_after_a_fork_frees_no_later_lock),
        cmocka_unit_test(a_new_one_is_refused_at_once_where_one_is_ready_whoever_owns_the_mutex),
        cmocka_unit_test(a_window_needs_no_address_space_for_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
